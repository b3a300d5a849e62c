/* SPDX-License-Identifier: MIT */
/* tolsey send: an argument, all of the input, or the input in pieces. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define READ_SIZE_BYTES ((size_t)1 << 16)

struct send {
	struct tool *tool;
	const char *name, *text;
	struct tol_link *link;
	int64_t timeout_ns;
	int separator;		/* -1: none, all of the input is one message */
	const char *segment_name;	/* or NULL */
	struct tol_send_opts opts;
	struct progress progress;
};

static int send_one(struct send *send, const void *body, size_t size_bytes)
{
	int error = tol_send_message(send->link, body, size_bytes,
				     send->timeout_ns, &send->opts);

	if (error == 0) {
		progress_add(&send->progress, size_bytes);
		return 0;
	}
	progress_fini(&send->progress);
	if (send->separator < 0)
		return say_error(send->tool, send->name, error);
	return say_error_after(send->tool, send->name, error,
			       "; %" PRIu64 " messages were sent",
			       send->progress.messages);
}

/* Sends what is complete in @input and keeps the rest at its beginning. */
static int send_complete(struct send *send, struct buffer *input,
			 size_t searched_bytes)
{
	char *from = input->data, *end = input->data + input->size_bytes;
	char *look = input->data + searched_bytes, *stop;
	int status;

	while (look < end &&
	       (stop = memchr(look, send->separator, (size_t)(end - look)))) {
		status = send_one(send, from, (size_t)(stop - from));
		if (status != 0)
			return status;
		from = look = stop + 1;
	}
	input->size_bytes = (size_t)(end - from);
	if (from != input->data && input->size_bytes != 0)
		memmove(input->data, from, input->size_bytes);
	return 0;
}

static int send_input(struct send *send, struct buffer *input)
{
	size_t before;
	ssize_t n;
	int status;

	for (;;) {
		if (buffer_reserve(input, input->size_bytes +
				   READ_SIZE_BYTES) != 0)
			return say_failed(send->tool, send->name,
					  "no memory for a message of more than "
					  "%zu bytes; %" PRIu64 " messages were "
					  "sent", input->size_bytes,
					  send->progress.messages);
		/* As much as there is room for: few calls for a long input. */
		n = read(STDIN_FILENO, input->data + input->size_bytes,
			 input->room_bytes - input->size_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say_failed(send->tool, send->name,
					  "cannot read standard input: %s; "
					  "%" PRIu64 " messages were sent",
					  strerror(errno),
					  send->progress.messages);
		if (n == 0)
			break;
		before = input->size_bytes;
		input->size_bytes += (size_t)n;
		if (send->separator < 0)
			continue;
		status = send_complete(send, input, before);
		if (status != 0)
			return status;
	}
	if (send->separator < 0 || input->size_bytes != 0)
		return send_one(send, input->data, input->size_bytes);
	return 0;
}

/* Of the segment, not of the mailbox. */
static int say_segment_error(struct send *send, int error)
{
	if (error == -ENOENT)
		return say_failed(send->tool, send->segment_name, "no such "
				  "segment: 'tolsey seg ls' lists what there is");
	if (error == -EMEDIUMTYPE)
		return say_failed(send->tool, send->segment_name, "is not a "
				  "segment: 'tolsey seg ls' lists what there is");
	return say_error(send->tool, send->segment_name, error);
}

static int send_open(struct send *send)
{
	struct tol_segment_opts segment_opts = { .space = send->tool->space };
	struct tol_open_opts opts = {
		.space = send->tool->space,
		.flags = TOL_SEND,
	};
	struct buffer input = { 0 };
	int status, error;

	if (send->segment_name != NULL) {
		error = tol_segment_open(&send->opts.segment,
					 send->segment_name, &segment_opts);
		if (error != 0)
			return say_segment_error(send, error);
	}
	error = tol_open(&send->link, send->name, &opts);
	if (error != 0) {
		tol_segment_close(send->opts.segment);
		return say_error(send->tool, send->name, error);
	}
	progress_init(&send->progress, STDIN_FILENO);
	if (send->text != NULL)
		status = send_one(send, send->text, strlen(send->text));
	else
		status = send_input(send, &input);
	progress_fini(&send->progress);
	buffer_fini(&input);
	tol_close(send->link);
	tol_segment_close(send->opts.segment);
	return status;
}

struct send_args {
	int nowait, timed;
};

/* 0, or the exit status. */
static int send_option(struct send *send, struct send_args *args, int option)
{
	switch (option) {
	case 'l':
	case '0':
		if (send->separator >= 0 &&
		    send->separator != (option == 'l' ? '\n' : '\0'))
			return say_usage(send->tool, "--lines and --null "
					 "exclude each other");
		send->separator = option == 'l' ? '\n' : '\0';
		return 0;
	case 'w':
		args->nowait = 1;
		send->timeout_ns = TOL_NOWAIT;
		return 0;
	case 't':
		args->timed = 1;
		return args_duration(send->tool, "--timeout", optarg,
				     &send->timeout_ns);
	case 'g':
		return args_number(send->tool, "--tag", optarg,
				   &send->opts.tag);
	case 'p':
		return args_priority(send->tool, optarg,
				     &send->opts.priority);
	case 'e':
		if (args_duration(send->tool, "--ttl", optarg,
				  &send->opts.ttl_ns) != 0)
			return STATUS_USAGE;
		if (send->opts.ttl_ns == 0)
			return say_usage(send->tool, "--ttl takes more than "
					 "nothing");
		return 0;
	default:
		send->segment_name = optarg;
		return 0;
	}
}

static int run_send(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "lines", no_argument, NULL, 'l' },
		{ "null", no_argument, NULL, '0' },
		{ "nowait", no_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "tag", required_argument, NULL, 'g' },
		{ "priority", required_argument, NULL, 'p' },
		{ "ttl", required_argument, NULL, 'e' },
		{ "segment", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	struct send send = {
		.tool = tool, .timeout_ns = TOL_FOREVER, .separator = -1,
	};
	struct send_args args = { 0 };
	int option;

	while ((option = args_next(tool, argc, argv, ":hl0t:", options)) >= 0)
		if (send_option(&send, &args, option) != 0)
			return STATUS_USAGE;
	if (option != OPT_DONE)
		return args_status(option);
	if (args.nowait && args.timed)
		return say_usage(tool, "--nowait and --timeout exclude each "
				 "other");
	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	send.name = argv[optind++];
	if (optind < argc)
		send.text = argv[optind++];
	if (optind < argc)
		return say_usage(tool, "one TEXT only: put it in quotes");
	if (send.text != NULL && send.separator >= 0)
		return say_usage(tool, "--lines and --null are for standard "
				 "input, not for TEXT");
	return send_open(&send);
}

const struct command cmd_send = {
	.name = "send",
	.run = run_send,
	.brief = "Send messages to a mailbox.",
	.usage = "send NAME [TEXT] [--lines | --null] "
		 "[--nowait | --timeout TIME]\n"
		 "                   [--tag T] [--priority P] [--ttl TIME] [--segment NAME]",
	.help = "\n"
"TEXT is one message; one that begins with - goes after '--'. Without TEXT all\n"
"of standard input is one message. A full mailbox is waited for.\n\n"
"  -l, --lines         each line is a message, without its newline\n"
"  -0, --null          the same with a zero byte at the end of each\n"
"      --nowait        status 3 if the mailbox is full\n"
"  -t, --timeout TIME  wait that long for each message: 250ms, 2s, 1m\n"
"      --tag T         a number for the receiver to select by; else 0\n"
"      --priority P    0 to 32767, higher ones are received first; else 0\n"
"      --ttl TIME      not received within that time, it is dropped\n"
"      --segment NAME  the way to that segment goes along\n",
};
