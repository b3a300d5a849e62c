/* SPDX-License-Identifier: MIT */
/* tolsey create, stat, rm. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int create_option(struct tool *tool, int option,
			 uint64_t *capacity_msgs, struct tol_mailbox_opts *opts)
{
	switch (option) {
	case 'c':
		if (strcmp(optarg, "unbounded") != 0)
			return args_count(tool, "--capacity", optarg,
					  capacity_msgs);
		*capacity_msgs = TOL_CAPACITY_UNBOUNDED;
		return 0;
	case 'u':
		*capacity_msgs = TOL_CAPACITY_UNBOUNDED;
		return 0;
	case 'l':
		return args_size(tool, "--memory-limit", optarg,
				 &opts->memory_limit_bytes);
	case 'q':
		return args_size(tool, "--sender-quota", optarg,
				 &opts->sender_quota_bytes);
	case 'r':
		return args_size(tool, "--reserve", optarg,
				 &opts->reserve_bytes);
	case 'x':
		return args_count(tool, "--capacity-max", optarg,
				  &opts->capacity_max_msgs);
	case 'm':
		return args_mode(tool, optarg, &opts->mode);
	default:
		opts->if_missing = 1;
		return 0;
	}
}

static int run_create(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "capacity", required_argument, NULL, 'c' },
		{ "capacity-max", required_argument, NULL, 'x' },
		{ "unbounded", no_argument, NULL, 'u' },
		{ "memory-limit", required_argument, NULL, 'l' },
		{ "sender-quota", required_argument, NULL, 'q' },
		{ "reserve", required_argument, NULL, 'r' },
		{ "mode", required_argument, NULL, 'm' },
		{ "if-missing", no_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	struct tol_mailbox_opts opts = { 0 };
	uint64_t capacity_msgs = TOL_CAPACITY_DEFAULT_MSGS;
	const char *name;
	int option, error, has_capacity = 0, is_unbounded = 0;

	while ((option = args_next(tool, argc, argv, ":hc:m:", options)) >= 0) {
		has_capacity |= option == 'c';
		is_unbounded |= option == 'u';
		if (create_option(tool, option, &capacity_msgs, &opts) != 0)
			return STATUS_USAGE;
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (has_capacity && is_unbounded)
		return say_usage(tool, "--capacity and --unbounded exclude each "
				 "other");
	if (args_name(tool, argc, argv, &name) != 0)
		return STATUS_USAGE;
	if (capacity_msgs == 0 && (opts.capacity_max_msgs ||
				   opts.memory_limit_bytes ||
				   opts.sender_quota_bytes))
		return say_usage(tool, "with capacity 0 nothing is queued: leave "
				 "out the limits");
	if (opts.capacity_max_msgs && capacity_msgs == TOL_CAPACITY_UNBOUNDED)
		return say_usage(tool, "--capacity-max makes no sense with an "
				 "unbounded capacity");
	if (opts.capacity_max_msgs && opts.capacity_max_msgs < capacity_msgs)
		return say_usage(tool, "--capacity-max is below the capacity, "
				 "%" PRIu64, capacity_msgs);
	opts.space = tool->space;
	error = tol_mailbox_create(name, capacity_msgs, &opts);
	if (error == -EINVAL && opts.reserve_bytes)
		return say_failed(tool, name, "--reserve is too small for that "
				  "capacity: 512M is enough for any");
	return error < 0 ? say_error(tool, name, error) : STATUS_DONE;
}

const struct command cmd_create = {
	.name = "create",
	.run = run_create,
	.brief = "Make a mailbox.",
	.usage = "create NAME [--capacity N | --unbounded] [--capacity-max N]\n"
		 "                     [--memory-limit SIZE] [--sender-quota SIZE]\n"
		 "                     [--reserve SIZE] [--mode MODE] [--if-missing]",
	.help = "\n"
"  -c, --capacity N    messages that it holds, 0 to 1048576; else 64. With 0 a\n"
"                      send waits until somebody receives it\n"
"      --capacity-max N  'resize' goes up to that; else the capacity\n"
"      --unbounded     as many as there is memory for: nobody waits to send\n"
"      --memory-limit SIZE  of all bodies in it, such as 64M; else none\n"
"      --sender-quota SIZE  of those of one sender; else none\n"
"      --reserve SIZE  address space that it takes in each process, for 32-bit\n"
"                      ones 256M; else 4G and more\n"
"  -m, --mode MODE     who may use it, in octal; else 0600\n"
"      --if-missing    a mailbox that is there already is fine too\n",
};

static int run_rm(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS, { NULL, 0, NULL, 0 },
	};
	struct tol_mailbox_opts opts = { 0 };
	int option, error, status = STATUS_DONE;

	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0)
		;
	if (option != OPT_DONE)
		return args_status(option);
	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	opts.space = tool->space;
	for (; optind < argc; optind++) {
		error = tol_mailbox_remove(argv[optind], &opts);
		if (error == -EBADMSG || error == -EPROTO)
			say_failed(tool, argv[optind], "was removed, but could "
				   "not be understood: who waits on it was not "
				   "told");
		else if (error != 0)
			status = say_error(tool, argv[optind], error);
	}
	return status;
}

const struct command cmd_rm = {
	.name = "rm",
	.run = run_rm,
	.brief = "Remove mailboxes with all their messages.",
	.usage = "rm NAME...",
	.help = "\nWho waits on one of them is told that it was removed.\n\n",
};

/* ---- stat ---------------------------------------------------------------- */

static const char *state_name(enum tol_mailbox_state state)
{
	switch (state) {
	case TOL_MAILBOX_LIVE:
		return "live";
	case TOL_MAILBOX_REMOVED:
		return "removed";
	case TOL_MAILBOX_QUARANTINED:
		return "quarantined";
	}
	return "unknown";
}

struct participants {
	struct buffer text;	/* of the lines, or of the JSON objects */
	struct json json;
	int count;
};

static size_t program_size(const struct tol_participant_stat *participant)
{
	const char *end = memchr(participant->program, '\0',
				 sizeof(participant->program));

	return end ? (size_t)(end - participant->program) :
		sizeof(participant->program);
}

static void add_json(const struct tol_participant_stat *participant,
		     void *context)
{
	struct participants *all = context;
	struct json *json = &all->json;

	json_open(json, '{');
	json_key_i64(json, "pid", participant->pid);
	json_text_or_base64(json, "program", participant->program,
			    program_size(participant));
	json_key_bool(json, "may_send", participant->may_send);
	json_key_bool(json, "may_recv", participant->may_recv);
	json_key_bool(json, "alive", participant->alive);
	json_key_u64(json, "waiting_send", participant->waiting_send);
	json_key_u64(json, "waiting_recv", participant->waiting_recv);
	json_close(json, '}');
}

static const char *waiting_text(const struct tol_participant_stat *participant)
{
	if (!participant->alive)
		return "dead, not yet cleaned up after";
	if (participant->waiting_send && participant->waiting_recv)
		return "waiting to send and to receive";
	if (participant->waiting_send)
		return "waiting to send";
	if (participant->waiting_recv)
		return "waiting to receive";
	return "-";
}

static const char *role_text(const struct tol_participant_stat *participant)
{
	if (participant->may_send && participant->may_recv)
		return "both";
	return participant->may_send ? "sender" : "receiver";
}

static void add_line(const struct tol_participant_stat *participant,
		     void *context)
{
	struct participants *all = context;
	char program[17] = { 0 }, clean[17];

	memcpy(program, participant->program, program_size(participant));
	if (all->json.error == 0)
		all->json.error = buffer_printf(&all->text,
			"  %-8ld %-16s %-9s %s\n", (long)participant->pid,
			say_clean(program, clean, sizeof(clean)),
			role_text(participant), waiting_text(participant));
	all->count++;
}

#define DEPTH_LINES_MAX 24

/* What is queued, by priority and tag. */
struct depths {
	struct buffer text;	/* of the lines, or of the JSON objects */
	struct json json;
	uint64_t count, messages_left_out;
	int is_plain;		/* of no other tag or priority than 0 */
	int is_unknown;		/* the mailbox is damaged */
};

static void add_depth_json(const struct tol_depth *depth, void *context)
{
	struct depths *depths = context;
	struct json *json = &depths->json;

	json_open(json, '{');
	json_key_u64(json, "priority", depth->priority);
	json_key_u64(json, "tag", depth->tag);
	json_key_u64(json, "msgs", depth->msgs);
	json_key_u64(json, "bytes", depth->bytes);
	json_close(json, '}');
}

static void add_depth_line(const struct tol_depth *depth, void *context)
{
	struct depths *depths = context;

	if (depth->priority != 0 || depth->tag != 0)
		depths->is_plain = 0;
	if (depths->count++ >= DEPTH_LINES_MAX) {
		depths->messages_left_out += depth->msgs;
		return;
	}
	if (depths->json.error == 0)
		depths->json.error = buffer_printf(&depths->text,
			"  %-8" PRIu32 " %-20" PRIu64 " %-10" PRIu64 " %"
			PRIu64 "\n", depth->priority, depth->tag, depth->msgs,
			depth->bytes);
}

static int get_depths(struct tool *tool, const char *name, int as_json,
		      struct depths *depths)
{
	struct tol_mailbox_opts opts = { .space = tool->space };
	int error;

	depths->json.out = &depths->text;
	depths->is_plain = 1;
	error = tol_mailbox_depth(name, &opts, as_json ? add_depth_json :
				  add_depth_line, depths);
	depths->is_unknown = error == -EBADMSG;
	return error < 0 && error != -EBADMSG ? error : depths->json.error;
}

static int depths_text(struct buffer *out, const struct depths *depths)
{
	int error;

	if (depths->is_plain)
		return 0;
	error = buffer_printf(out, "\n  %-8s %-20s %-10s %s\n", "PRIORITY",
			      "TAG", "MESSAGES", "BYTES");
	if (error == 0)
		error = buffer_add(out, depths->text.data,
				   depths->text.size_bytes);
	if (error == 0 && depths->count > DEPTH_LINES_MAX)
		error = buffer_printf(out, "  %" PRIu64 " lines more, of %"
				      PRIu64 " messages: see --json\n",
				      depths->count - DEPTH_LINES_MAX,
				      depths->messages_left_out);
	return error;
}

/* An array of what was written as objects with commas between them. */
static void json_array(struct json *json, const char *key,
		       const struct buffer *objects)
{
	json_key(json, key);
	json_open(json, '[');
	if (json->error == 0)
		json->error = buffer_add(json->out, objects->data,
					 objects->size_bytes);
	json_close(json, ']');
}

static void stat_json(struct json *json, const char *name,
		      const struct tol_mailbox_stat *stat)
{
	json_open(json, '{');
	json_key_text(json, "name", name);
	json_key_text(json, "kind", "mailbox");
	json_key_text(json, "state", state_name(stat->state));
	json_key_u64(json, "layout_version", stat->layout_version);
	json_key_capacity(json, "capacity_msgs", stat->capacity_msgs);
	json_key_capacity(json, "capacity_max_msgs", stat->capacity_max_msgs);
	json_key_bool(json, "ended", stat->is_ended);
	json_key_u64(json, "queued_msgs", stat->queued_msgs);
	json_key_u64(json, "returned_msgs", stat->returned_msgs);
	json_key_u64(json, "held_msgs", stat->held_msgs);
	json_key_u64(json, "dead_msgs", stat->dead_msgs);
	json_key_u64(json, "queued_bytes", stat->queued_bytes);
	json_key_u64(json, "sent_msgs", stat->sent_msgs);
	json_key_u64(json, "received_msgs", stat->received_msgs);
	json_key_u64(json, "senders_count", stat->senders_count);
	json_key_u64(json, "receivers_count", stat->receivers_count);
	json_key_u64(json, "waiting_senders_count", stat->waiting_senders_count);
	json_key_u64(json, "waiting_receivers_count",
		     stat->waiting_receivers_count);
	json_key_u64(json, "dead_count", stat->dead_count);
	json_key_u64(json, "memory_bytes", stat->memory_bytes);
	json_key_u64(json, "memory_limit_bytes", stat->memory_limit_bytes);
	json_key_u64(json, "sender_quota_bytes", stat->sender_quota_bytes);
	json_key_mode(json, "mode", stat->mode);
	json_key_u64(json, "uid", stat->uid);
	json_key_u64(json, "gid", stat->gid);
	json_key_i64(json, "creator_pid", stat->creator_pid);
	json_key_i64(json, "created_unix_ns", stat->created_unix_ns);
}

static int stat_text(struct buffer *out, const char *name,
		     const struct tol_mailbox_stat *stat)
{
	char user[64], group[64], when[64], capacity[24];
	int error;

	error = buffer_printf(out,
		"mailbox       %s\n"
		"state         %s%s, layout version %" PRIu32 "\n"
		"messages      %" PRIu64 " of %s, %" PRIu64 " bytes\n"
		"totals        %" PRIu64 " sent, %" PRIu64 " received\n",
		name, state_name(stat->state), stat->is_ended ? ", closed" : "",
		stat->layout_version,
		stat->queued_msgs,
		show_capacity(stat->capacity_msgs, capacity, sizeof(capacity)),
		stat->queued_bytes, stat->sent_msgs, stat->received_msgs);
	if (error == 0)
		error = buffer_printf(out,
			"held          %" PRIu64 "\n"
			"returned      %" PRIu64 " of the messages above\n"
			"dead letters  %" PRIu64 "\n",
			stat->held_msgs, stat->returned_msgs, stat->dead_msgs);
	if (error == 0)
		error = buffer_printf(out,
			"senders       %" PRIu32 ", %" PRIu32 " waiting\n"
			"receivers     %" PRIu32 ", %" PRIu32 " waiting\n"
			"dead          %" PRIu32 "\n"
			"memory        %" PRIu64 " bytes\n",
			stat->senders_count, stat->waiting_senders_count,
			stat->receivers_count, stat->waiting_receivers_count,
			stat->dead_count, stat->memory_bytes);
	if (error == 0 && stat->memory_limit_bytes)
		error = buffer_printf(out, "limit         %" PRIu64 " bytes\n",
				      stat->memory_limit_bytes);
	if (error == 0 && stat->sender_quota_bytes)
		error = buffer_printf(out,
				      "sender quota  %" PRIu64 " bytes\n",
				      stat->sender_quota_bytes);
	if (error == 0)
		error = buffer_printf(out,
			"mode          %04o\n"
			"owner         %s:%s\n"
			"created       %s by process %ld\n",
			(unsigned int)stat->mode & 07777,
			show_user(stat->uid, user, sizeof(user)),
			show_group(stat->gid, group, sizeof(group)),
			show_time(stat->created_unix_ns, when, sizeof(when)),
			(long)stat->creator_pid);
	return error;
}

static int all_json(struct buffer *out, const char *name,
		    const struct tol_mailbox_stat *stat,
		    const struct depths *depths,
		    const struct participants *participants)
{
	struct json json = { .out = out };

	stat_json(&json, name, stat);
	if (depths->is_unknown) {
		json_key(&json, "depths");
		json_null(&json);
	} else {
		json_array(&json, "depths", &depths->text);
	}
	json_array(&json, "participants", &participants->text);
	json_close(&json, '}');
	return json.error ? json.error : buffer_add(out, "\n", 1);
}

static int all_text(struct buffer *out, const char *name,
		    const struct tol_mailbox_stat *stat,
		    const struct depths *depths,
		    const struct participants *participants)
{
	int error = stat_text(out, name, stat);

	if (error == 0 && !depths->is_unknown)
		error = depths_text(out, depths);
	if (error == 0 && participants->count != 0)
		error = buffer_printf(out, "\n  %-8s %-16s %-9s %s\n", "PID",
				      "PROGRAM", "ROLE", "WAITING");
	return error ? error : buffer_add(out, participants->text.data,
					  participants->text.size_bytes);
}

static int show_stat(struct tool *tool, const char *name, int as_json)
{
	struct tol_mailbox_opts opts = { .space = tool->space };
	struct participants participants = { 0 };
	struct depths depths = { 0 };
	struct tol_mailbox_stat stat;
	struct buffer out = { 0 };
	int error;

	participants.json.out = &participants.text;
	error = tol_mailbox_stat(name, &opts, &stat, as_json ? add_json :
				 add_line, &participants);
	if (error == 0)
		error = participants.json.error;
	if (error == 0)
		error = get_depths(tool, name, as_json, &depths);
	if (error == 0)
		error = (as_json ? all_json : all_text)(&out, name, &stat,
							&depths, &participants);
	buffer_fini(&participants.text);
	buffer_fini(&depths.text);
	if (error != 0) {
		buffer_fini(&out);
		return say_error(tool, name, error);
	}
	return print_buffer(tool, &out);
}

static int run_stat(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *name;
	int option, as_json = 0;

	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0)
		as_json = 1;
	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &name) != 0)
		return STATUS_USAGE;
	return show_stat(tool, name, as_json);
}

const struct command cmd_stat = {
	.name = "stat",
	.run = run_stat,
	.brief = "Show a mailbox: messages, totals, who takes part and waits.",
	.usage = "stat NAME [--json]",
	.help = "\nIf there are tags or priorities, also how many messages there are of each.\n\n"
"      --json          one object\n",
};
