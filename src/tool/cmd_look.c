/* SPDX-License-Identifier: MIT */
/* tolsey peek: messages that wait, as they are, without taking any. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

struct peek {
	struct tool *tool;
	const char *name;
	struct tol_link *link;
	struct selection selection;
	uint64_t index;
	int all, as_json;
	struct buffer body, json;
};

void look_add_sender(struct json *json, struct tol_link *link,
		     const struct tol_message *message)
{
	struct tol_sender sender;

	json_key_i64(json, "sender_pid", message->sender_pid);
	json_key_u64(json, "sender_uid", message->sender_uid);
	if (tol_sender(link, message, &sender) < 0 || !sender.is_known)
		return;
	json_key_u64(json, "sender_gid", sender.gid);
	json_key_i64(json, "sender_start_ns", sender.start_ns);
	json_key_text(json, "sender_program", sender.program);
}

/* A line of JSON for a message whose bytes are in @body. */
int look_add_json(struct buffer *out, struct tol_link *link,
		  const struct tol_message *message, const void *body)
{
	struct json json = { .out = out };

	json_open(&json, '{');
	json_key_u64(&json, "position", message->position);
	json_key_u64(&json, "tag", message->tag);
	json_key_u64(&json, "priority", message->priority);
	json_key_u64(&json, "tries", message->tries);
	look_add_sender(&json, link, message);
	json_key_bool(&json, "has_segment", message->has_segment);
	json_key_u64(&json, "size_bytes", message->size_bytes);
	json_text_or_base64(&json, "body", body, message->size_bytes);
	json_close(&json, '}');
	return json.error ? json.error : buffer_add(out, "\n", 1);
}

/* One message into the buffer, which grows to fit. Return: 0; -errno */
static int peek_sized(struct peek *peek, struct tol_message *ret_message)
{
	ssize_t n;

	for (;;) {
		n = tol_peek_select(peek->link, select_of(&peek->selection),
				    peek->index, peek->body.data,
				    peek->body.room_bytes - 1, ret_message);
		if (n != -EMSGSIZE)
			return n < 0 ? (int)n : 0;
		if (ret_message->size_bytes >= SIZE_MAX - 1 ||
		    buffer_reserve(&peek->body,
				   ret_message->size_bytes + 1) != 0)
			return -ENOMEM;
	}
}

/* Return: STATUS_DONE, or the exit status */
static int show(struct peek *peek, const struct tol_message *message)
{
	size_t size = message->size_bytes, done = 0;
	int error;

	if (peek->as_json) {
		peek->json.size_bytes = 0;
		error = look_add_json(&peek->json, peek->link, message,
				      peek->body.data);
		if (error == 0)
			error = write_all(STDOUT_FILENO, peek->json.data,
					  peek->json.size_bytes, &done);
	} else {
		if (peek->all)
			peek->body.data[size++] = '\n';
		error = write_all(STDOUT_FILENO, peek->body.data, size, &done);
	}
	return error == 0 ? STATUS_DONE : say_failed(peek->tool, peek->name,
						     "cannot write to standard "
						     "output: %s",
						     strerror(-error));
}

static int peek_all(struct peek *peek)
{
	struct tol_message message;
	int error, status = STATUS_DONE;

	do {
		error = peek_sized(peek, &message);
		if (error == 0)
			status = show(peek, &message);
		if (status != STATUS_DONE)
			return status;
		peek->index++;
	} while (error == 0 && peek->all);
	/* None is an answer to --all, and no failure of it. */
	if (error == -EAGAIN && peek->all)
		error = 0;
	if (error == -EAGAIN && select_of(&peek->selection) != NULL) {
		say_failed(peek->tool, peek->name, "no message that is wanted "
			   "waits there");
		return STATUS_NOT_NOW;
	}
	return error < 0 ? say_error(peek->tool, peek->name, error)
			 : STATUS_DONE;
}

static int peek_open(struct peek *peek)
{
	struct tol_open_opts opts = {
		.space = peek->tool->space,
		.flags = TOL_RECV,
	};
	int status, error;

	if (buffer_reserve(&peek->body, 1 << 16) != 0)
		return say_error(peek->tool, peek->name, -ENOMEM);
	error = tol_open(&peek->link, peek->name, &opts);
	if (error < 0) {
		buffer_fini(&peek->body);
		return say_error(peek->tool, peek->name, error);
	}
	status = peek_all(peek);
	tol_close(peek->link);
	buffer_fini(&peek->body);
	buffer_fini(&peek->json);
	return status;
}

static int run_peek(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		SELECT_OPTIONS,
		{ "index", required_argument, NULL, 'i' },
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct peek peek = { .tool = tool };
	int option, has_index = 0;

	while ((option = args_next(tool, argc, argv, ":hi:a", options)) >= 0) {
		if (is_select_option(option)) {
			if (select_option(tool, &peek.selection, option) != 0)
				return STATUS_USAGE;
		} else if (option == 'i') {
			has_index = 1;
			if (args_count(tool, "--index", optarg,
				       &peek.index) != 0)
				return STATUS_USAGE;
		} else if (option == 'a') {
			peek.all = 1;
		} else {
			peek.as_json = 1;
		}
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (has_index && peek.all)
		return say_usage(tool, "--index and --all exclude each other");
	if (args_name(tool, argc, argv, &peek.name) != 0)
		return STATUS_USAGE;
	return peek_open(&peek);
}

const struct command cmd_peek = {
	.name = "peek",
	.run = run_peek,
	.brief = "Show a message that waits, without taking it.",
	.usage = "peek NAME [--index N | --all] [--json]\n"
		 "                   " SELECT_USAGE,
	.help = "\n"
"Status 3 if no message waits there. NAME:dead: the dead letters.\n\n"
"  -i, --index N       the one that N others go before; 0 if not said\n"
"  -a, --all           all that wait, a newline after each\n"
"      --json          an object in a line for each message\n"
SELECT_HELP,
};
