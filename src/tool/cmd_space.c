/* SPDX-License-Identifier: MIT */
/* tolsey ls, seg ls, clean. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

struct listing {
	struct tool *tool;
	int segments_only;
	int as_json;
	int error;
	struct buffer out;
	struct json json;
};

struct row {
	const char *name, *kind;
	char content[160];
	uint64_t memory_bytes;
	mode_t mode;
	uid_t uid;
	int error;		/* why it cannot be looked at */
	struct tol_mailbox_stat mailbox;
	struct tol_segment_stat segment;
};

static int look_segment(struct listing *list, struct row *row)
{
	struct tol_segment_opts opts = { .space = list->tool->space };
	struct tol_segment *segment;
	int error = tol_segment_open(&segment, row->name, &opts);

	row->kind = "segment";
	if (error == 0) {
		error = tol_segment_stat(segment, &row->segment);
		tol_segment_close(segment);
	}
	if (error != 0)
		return error;
	snprintf(row->content, sizeof(row->content),
		 "%" PRIu64 " bytes, %" PRIu32 " attached%s",
		 row->segment.size_bytes, row->segment.attach_count,
		 row->segment.is_sealed ? ", sealed" : "");
	row->memory_bytes = row->segment.memory_bytes;
	row->mode = row->segment.mode;
	row->uid = row->segment.uid;
	return 0;
}

static void add_count(struct row *row, uint64_t count, const char *what)
{
	size_t n = strlen(row->content);

	if (count != 0)
		snprintf(row->content + n, sizeof(row->content) - n,
			 ", %" PRIu64 " %s", count, what);
}

static int look_mailbox(struct listing *list, struct row *row)
{
	struct tol_mailbox_opts opts = { .space = list->tool->space };
	char capacity[24];
	int error = tol_mailbox_stat(row->name, &opts, &row->mailbox, NULL,
				     NULL);

	row->kind = "mailbox";
	if (error != 0)
		return error;
	snprintf(row->content, sizeof(row->content),
		 "%" PRIu64 " of %s messages, %" PRIu64 " bytes%s",
		 row->mailbox.queued_msgs,
		 show_capacity(row->mailbox.capacity_msgs, capacity,
			       sizeof(capacity)),
		 row->mailbox.queued_bytes,
		 row->mailbox.state == TOL_MAILBOX_QUARANTINED ?
		 ", quarantined" : "");
	add_count(row, row->mailbox.held_msgs, "held");
	add_count(row, row->mailbox.dead_msgs, "dead letters");
	row->memory_bytes = row->mailbox.memory_bytes;
	row->mode = row->mailbox.mode;
	row->uid = row->mailbox.uid;
	return 0;
}

static void row_json(struct json *json, const struct row *row)
{
	json_open(json, '{');
	json_key_text(json, "name", row->name);
	json_key_text(json, "kind", row->kind);
	if (row->error != 0) {
		json_key_text(json, "error", tol_strerror(row->error));
	} else if (strcmp(row->kind, "unknown") != 0) {
		if (strcmp(row->kind, "mailbox") == 0) {
			json_key_capacity(json, "capacity_msgs",
					  row->mailbox.capacity_msgs);
			json_key_u64(json, "queued_msgs",
				     row->mailbox.queued_msgs);
			json_key_u64(json, "held_msgs",
				     row->mailbox.held_msgs);
			json_key_u64(json, "dead_msgs",
				     row->mailbox.dead_msgs);
			json_key_u64(json, "queued_bytes",
				     row->mailbox.queued_bytes);
		} else {
			json_key_u64(json, "size_bytes",
				     row->segment.size_bytes);
			json_key_u64(json, "attach_count",
				     row->segment.attach_count);
			json_key_bool(json, "is_sealed",
				      row->segment.is_sealed);
		}
		json_key_u64(json, "memory_bytes", row->memory_bytes);
		json_key_mode(json, "mode", row->mode);
		json_key_u64(json, "uid", row->uid);
	}
	json_close(json, '}');
}

static int row_text(struct buffer *out, const struct row *row)
{
	char name[TOL_NAME_MAX_BYTES + 1], user[64];

	say_clean(row->name, name, sizeof(name));
	if (row->error != 0)
		return buffer_printf(out, "%-20s %-8s %-5s %-10s %12s  %s\n",
				     name, row->kind, "-", "-", "-",
				     tol_strerror(row->error));
	if (strcmp(row->kind, "unknown") == 0)
		return buffer_printf(out, "%-20s %-8s %-5s %-10s %12s  %s\n",
				     name, row->kind, "-", "-", "-",
				     "not made by tolsey, or damaged");
	return buffer_printf(out, "%-20s %-8s %04o  %-10s %12" PRIu64 "  %s\n",
			     name, row->kind, (unsigned int)row->mode & 07777,
			     show_user(row->uid, user, sizeof(user)),
			     row->memory_bytes, row->content);
}

static int add_row(const char *name, enum tol_kind kind, void *context)
{
	struct listing *list = context;
	struct row row = { .name = name, .kind = "unknown" };

	if (list->segments_only && kind != TOL_KIND_SEGMENT)
		return 0;
	if (kind == TOL_KIND_MAILBOX)
		row.error = look_mailbox(list, &row);
	else if (kind == TOL_KIND_SEGMENT)
		row.error = look_segment(list, &row);
	if (list->as_json) {
		row_json(&list->json, &row);
		list->error = list->json.error;
	} else {
		list->error = row_text(&list->out, &row);
	}
	return list->error != 0;
}

static int list_space(struct tool *tool, int argc, char **argv, int segments)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct listing list = { .tool = tool, .segments_only = segments };
	int option, error;

	list.json.out = &list.out;
	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0)
		list.as_json = 1;
	if (option != OPT_DONE)
		return args_status(option);
	if (optind < argc)
		return say_usage(tool, "takes no NAME, 'stat' does");
	if (list.as_json)
		json_open(&list.json, '[');
	else
		list.error = buffer_printf(&list.out,
			"%-20s %-8s %-5s %-10s %12s  %s\n", "NAME", "KIND",
			"MODE", "OWNER", "MEMORY", "CONTENT");
	error = tol_space_list(tool->space, add_row, &list);
	if (error == 0 && list.as_json) {
		json_close(&list.json, ']');
		error = list.json.error;
		if (error == 0)
			error = buffer_add(&list.out, "\n", 1);
	}
	if (list.error != 0)
		error = list.error;
	if (error != 0) {
		buffer_fini(&list.out);
		return say_error(tool, NULL, error);
	}
	return print_buffer(tool, &list.out);
}

static int run_ls(struct tool *tool, int argc, char **argv)
{
	return list_space(tool, argc, argv, 0);
}

static int run_seg_ls(struct tool *tool, int argc, char **argv)
{
	return list_space(tool, argc, argv, 1);
}

const struct command cmd_ls = {
	.name = "ls",
	.run = run_ls,
	.brief = "List the mailboxes and segments of the space.",
	.usage = "ls [--json]",
	.help = "\n"
"      --json          one array\n",
};

const struct command cmd_seg_ls = {
	.name = "seg ls",
	.run = run_seg_ls,
	.brief = "List the segments of the space.",
	.usage = "seg ls [--json]",
	.help = "\n"
"      --json          one array\n",
};

/* ---- clean --------------------------------------------------------------- */

static void add_event(const struct tol_clean_event *event, void *context)
{
	struct listing *list = context;
	char name[TOL_NAME_MAX_BYTES + 64], what[128];

	if (list->as_json) {
		json_open(&list->json, '{');
		json_key_text(&list->json, "name", event->name);
		json_key_text(&list->json, "what", event->what);
		json_key_u64(&list->json, "size_bytes", event->size_bytes);
		json_close(&list->json, '}');
	} else if (list->error == 0) {
		list->error = buffer_printf(&list->out,
			"%s: %s, %" PRIu64 " bytes\n",
			say_clean(event->name, name, sizeof(name)),
			say_clean(event->what, what, sizeof(what)),
			event->size_bytes);
	}
}

static int run_clean(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "dry-run", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct listing list = { .tool = tool };
	int option, dry_run = 0, error;

	list.json.out = &list.out;
	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0) {
		if (option == 'd')
			dry_run = 1;
		else
			list.as_json = 1;
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (optind < argc)
		return say_usage(tool, "takes no NAME: it looks at the whole "
				 "space");
	if (list.as_json)
		json_open(&list.json, '[');
	error = tol_space_clean(tool->space, dry_run, add_event, &list);
	if (list.as_json) {
		json_close(&list.json, ']');
		list.error = list.json.error;
		if (list.error == 0)
			list.error = buffer_add(&list.out, "\n", 1);
	} else if (error == 0 && list.error == 0) {
		list.error = buffer_printf(&list.out, "nothing to clean\n");
	}
	if (error < 0 || list.error != 0) {
		buffer_fini(&list.out);
		return say_error(tool, NULL, error < 0 ? error : list.error);
	}
	return print_buffer(tool, &list.out);
}

const struct command cmd_clean = {
	.name = "clean",
	.run = run_clean,
	.brief = "Remove what no live process uses and nobody can reach.",
	.usage = "clean [--dry-run] [--json]",
	.help = "\n"
"A mailbox, a segment or a message is never removed. Prints what it did.\n\n"
"      --dry-run       only print what it would do\n"
"      --json          one array\n",
};
