/* SPDX-License-Identifier: MIT */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tolsey.h>

/* Exit statuses, the same for every command. */
enum {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NOT_NOW = 3,	/* would wait, timed out, full, empty */
	STATUS_ENDED = 4,	/* closed, and all its messages received */
};

struct command;

/* What one run of the tool knows. */
struct tool {
	const char *space;	/* --space, or NULL */
	const struct command *command;
};

struct command {
	const char *name;	/* "send", "seg create" */
	int (*run)(struct tool *tool, int argc, char **argv);
	const char *brief;	/* one line for the list of commands */
	const char *usage;	/* after "usage: tolsey " */
	const char *help;	/* the rest of --help */
};

extern const struct command cmd_create, cmd_send, cmd_recv, cmd_ls, cmd_stat;
extern const struct command cmd_rm, cmd_clean, cmd_close, cmd_purge, cmd_resize;
extern const struct command cmd_peek, cmd_tap, cmd_doctor, cmd_work;
extern const struct command cmd_seg_create, cmd_seg_write, cmd_seg_read;
extern const struct command cmd_seg_ls, cmd_seg_stat, cmd_seg_grow;
extern const struct command cmd_seg_seal, cmd_seg_rm;

/* args.c */

#define OPT_SPACE 1000
#define OPT_DONE (-1)		/* no options left */
#define OPT_EXIT (-2)		/* --help was given and answered */
#define OPT_WRONG (-3)		/* a usage error was said */
#define COMMON_OPTIONS \
	{ "space", required_argument, NULL, OPT_SPACE }, \
	{ "help", no_argument, NULL, 'h' }

int args_next(struct tool *tool, int argc, char **argv, const char *letters,
	      const struct option *options);
int args_status(int option);
int args_name(struct tool *tool, int argc, char **argv, const char **ret_name);
int args_count(struct tool *tool, const char *option, const char *text,
	       uint64_t *ret_value);
int args_size(struct tool *tool, const char *option, const char *text,
	      uint64_t *ret_bytes);
int args_duration(struct tool *tool, const char *option, const char *text,
		  int64_t *ret_ns);
int args_mode(struct tool *tool, const char *text, mode_t *ret_mode);

/* select.c: numbers as 7 or 0x1f; which messages are wanted */

int args_number(struct tool *tool, const char *option, const char *text,
		uint64_t *ret_value);
int args_priority(struct tool *tool, const char *text, uint32_t *ret_priority);

#define OPT_SELECT 1100
#define OPT_SELECT_LAST (OPT_SELECT + 4)
#define SELECT_OPTIONS \
	{ "tag", required_argument, NULL, OPT_SELECT }, \
	{ "tag-range", required_argument, NULL, OPT_SELECT + 1 }, \
	{ "not-tag", required_argument, NULL, OPT_SELECT + 2 }, \
	{ "lowest-tag", required_argument, NULL, OPT_SELECT + 3 }, \
	{ "from", required_argument, NULL, OPT_SELECT_LAST }
#define SELECT_USAGE \
	"[--tag T[,T...] | --tag-range A-B | --not-tag T |\n" \
	"                    --lowest-tag N | --from PID]"
#define SELECT_HELP \
"      --tag T[,T...]  only messages with that tag, or one of those\n" \
"      --tag-range A-B with a tag from A to B; A- from A on, -B up to B\n" \
"      --not-tag T     with any tag but that\n" \
"      --lowest-tag N  with the lowest tag that is there, up to N\n" \
"      --from PID      sent by that process\n"

struct selection {
	struct tol_select select;
	uint64_t tags[TOL_SELECT_TAGS_MAX];
};

static inline int is_select_option(int option)
{
	return option >= OPT_SELECT && option <= OPT_SELECT_LAST;
}

/* 0, or the exit status. */
int select_option(struct tool *tool, struct selection *selection, int option);
/* NULL: any. */
const struct tol_select *select_of(const struct selection *selection);

/* say.c */

const char *say_clean(const char *text, char *buf, size_t size_bytes);
int say_usage(struct tool *tool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int say_failed(struct tool *tool, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int say_error(struct tool *tool, const char *name, int error);
int say_error_after(struct tool *tool, const char *name, int error,
		    const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void say_help(const struct command *command);
enum tol_kind say_kind_of(struct tool *tool, const char *name);

/* buffer.c: bytes that grow, and writing them out */

struct buffer {
	char *data;
	size_t size_bytes, room_bytes;
};

int buffer_reserve(struct buffer *buffer, size_t room_bytes);
int buffer_add(struct buffer *buffer, const void *data, size_t size_bytes);
int buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void buffer_fini(struct buffer *buffer);
int write_all(int fd, const void *data, size_t size_bytes, size_t *ret_done);
int print_buffer(struct tool *tool, struct buffer *buffer);

/* json.c */

struct json {
	struct buffer *out;
	int error;		/* -ENOMEM once memory has run out */
	int has_previous;	/* a comma is due */
};

int utf8_is_valid(const void *data, size_t size_bytes);
void json_open(struct json *json, char bracket);
void json_close(struct json *json, char bracket);
void json_key(struct json *json, const char *key);
void json_u64(struct json *json, uint64_t value);
void json_i64(struct json *json, int64_t value);
void json_bool(struct json *json, int value);
void json_bytes(struct json *json, const void *data, size_t size_bytes);
void json_base64(struct json *json, const void *data, size_t size_bytes);
void json_text_or_base64(struct json *json, const char *key, const void *data,
			 size_t size_bytes);
void json_null(struct json *json);
void json_key_u64(struct json *json, const char *key, uint64_t value);
/* A capacity: null if it is unbounded. */
void json_key_capacity(struct json *json, const char *key, uint64_t msgs);
void json_key_i64(struct json *json, const char *key, int64_t value);
void json_key_bool(struct json *json, const char *key, int value);
void json_key_text(struct json *json, const char *key, const char *text);
void json_key_seconds(struct json *json, const char *key, int64_t ns);
void json_key_mode(struct json *json, const char *key, mode_t mode);

/* cmd_look.c */

int look_add_json(struct buffer *out, struct tol_link *link,
		  const struct tol_message *message, const void *body);

/* Who has sent it, as far as that is known. */
void look_add_sender(struct json *json, struct tol_link *link,
		     const struct tol_message *message);

/* show.c */

const char *show_time(int64_t unix_ns, char *buf, size_t size_bytes);
const char *show_capacity(uint64_t msgs, char *buf, size_t size_bytes);
const char *show_user(uid_t uid, char *buf, size_t size_bytes);
const char *show_group(gid_t gid, char *buf, size_t size_bytes);

struct progress {
	int wanted;
	int shown;
	int64_t next_ns;
	uint64_t messages, bytes;
};

void progress_init(struct progress *progress, int data_fd);
void progress_add(struct progress *progress, size_t size_bytes);
void progress_fini(struct progress *progress);
int64_t now_ns(void);

/*
 * In a signal handler: does this one count? timeout(1), and a kill of a whole group
 * by one of it, send two at once, which mean one.
 */
int signal_counts(int64_t *last_ns);

#endif
