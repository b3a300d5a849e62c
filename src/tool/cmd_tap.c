/* SPDX-License-Identifier: MIT */
/* tolsey tap: watch messages go by, without taking any. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Interrupted, it ends within that time. */
#define SLICE_NS TOL_MSECS(100)

/* Of a body, in a line for people. */
#define TEXT_BYTES 200

struct tap {
	struct tool *tool;
	const char *name;
	struct tol_link *link;
	uint64_t count;
	int as_json;
	struct buffer line;
	char body[TOL_TAP_BODY_MAX_BYTES];
};

static volatile sig_atomic_t interrupted;

/* The second one of a kind has its usual effect. */
static void note_signal(int number)
{
	static int64_t last_ns;
	int is_again = interrupted == number;

	if (!signal_counts(&last_ns))
		return;
	interrupted = number;
	if (is_again) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = note_signal };

	sigfillset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static uint64_t missed(const struct tap *tap)
{
	int64_t count = tol_tap_missed(tap->link);

	return count > 0 ? (uint64_t)count : 0;
}

static int add_json(struct tap *tap, const struct tol_message *message)
{
	struct json json = { .out = &tap->line };

	json_open(&json, '{');
	json_key_u64(&json, "position", message->position);
	json_key_u64(&json, "tag", message->tag);
	json_key_u64(&json, "priority", message->priority);
	look_add_sender(&json, tap->link, message);
	json_key_bool(&json, "has_segment", message->has_segment);
	json_key_u64(&json, "sent_bytes", message->sent_bytes);
	json_key_u64(&json, "size_bytes", message->size_bytes);
	json_key_u64(&json, "missed_msgs", missed(tap));
	json_text_or_base64(&json, "body", tap->body, message->size_bytes);
	json_close(&json, '}');
	return json.error ? json.error : buffer_add(&tap->line, "\n", 1);
}

/* May a terminal have it? Not the control characters, nor those beyond 127. */
static int is_safe(const char *body, size_t i, int is_text)
{
	unsigned char c = (unsigned char)body[i];
	unsigned char before = i > 0 ? (unsigned char)body[i - 1] : 0;

	if (c < 0x80)
		return c >= ' ' && c != 127;
	if (!is_text)
		return 0;
	return !(before == 0xc2 && c < 0xa0) &&
		!(c == 0xc2 && (unsigned char)body[i + 1] < 0xa0);
}

static int add_text(struct tap *tap, const struct tol_message *message)
{
	size_t size = message->size_bytes < TEXT_BYTES ? message->size_bytes
						       : TEXT_BYTES;
	char text[TEXT_BYTES + 1];
	size_t i, end;
	int is_text;

	/* Not through the middle of a letter. */
	for (end = size; end > 0 && size < message->size_bytes &&
			 ((unsigned char)tap->body[end] & 0xc0) == 0x80;)
		end--;
	is_text = end > 0 && utf8_is_valid(tap->body, end);
	if (is_text)
		size = end;
	for (i = 0; i < size; i++)
		text[i] = is_safe(tap->body, i, is_text) ? tap->body[i] : '?';
	text[size] = '\0';
	return buffer_printf(&tap->line,
			     "%" PRIu64 " pid=%ld tag=%" PRIu64 " bytes=%" PRIu64
			     " %s%s\n",
			     message->position, (long)message->sender_pid,
			     message->tag, message->sent_bytes, text,
			     size < message->sent_bytes ? "..." : "");
}

static int show(struct tap *tap, const struct tol_message *message)
{
	size_t done = 0;
	int error;

	tap->line.size_bytes = 0;
	error = tap->as_json ? add_json(tap, message) : add_text(tap, message);
	if (error == 0)
		error = write_all(STDOUT_FILENO, tap->line.data,
				  tap->line.size_bytes, &done);
	return error;
}

static int tap_all(struct tap *tap)
{
	struct tol_message message;
	uint64_t shown = 0;
	ssize_t n = 0;
	int error = 0;

	while (!interrupted && error == 0 && shown < tap->count) {
		n = tol_recv_message(tap->link, tap->body, sizeof(tap->body),
				     SLICE_NS, &message);
		if (n == -ETIMEDOUT)
			continue;
		if (n < 0)
			break;
		error = show(tap, &message);
		shown++;
	}
	if (missed(tap) > 0)
		say_failed(tap->tool, tap->name, "%" PRIu64
			   " messages were missed", missed(tap));
	if (error != 0)
		return say_failed(tap->tool, tap->name, "cannot write to "
				  "standard output: %s", strerror(-error));
	if (n < 0 && n != -ENODATA && n != -ETIMEDOUT)
		return say_error(tap->tool, tap->name, (int)n);
	return STATUS_DONE;
}

static int run_tap(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct tol_open_opts opts = { .flags = TOL_RECV };
	struct tap tap = { .tool = tool, .count = UINT64_MAX };
	char address[TOL_NAME_MAX_BYTES + 8];
	int option, error, status;

	while ((option = args_next(tool, argc, argv, ":hn:", options)) >= 0) {
		if (option == 'j')
			tap.as_json = 1;
		else if (args_count(tool, "--count", optarg, &tap.count) != 0)
			return STATUS_USAGE;
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &tap.name) != 0)
		return STATUS_USAGE;
	if (strlen(tap.name) > TOL_NAME_MAX_BYTES)
		return say_error(tool, tap.name, -EINVAL);
	snprintf(address, sizeof(address), "%s:tap", tap.name);
	opts.space = tool->space;
	/* From the moment that it has a file to remove. */
	catch_signals();
	error = tol_open(&tap.link, address, &opts);
	if (error == -EUSERS)
		return say_failed(tool, tap.name, "four taps are there already, "
				  "or 4096 participants");
	if (error < 0)
		return say_error(tool, tap.name, error);
	status = tap_all(&tap);
	tol_close(tap.link);
	buffer_fini(&tap.line);
	return status;
}

const struct command cmd_tap = {
	.name = "tap",
	.run = run_tap,
	.brief = "Watch the messages that are sent, without taking any.",
	.usage = "tap NAME [--count N] [--json]",
	.help = "\n"
"Until interrupted, or the mailbox is closed. Senders do not wait for it: what it\n"
"missed it says at the end.\n\n"
"  -n, --count N       end after that many\n"
"      --json          an object in a line for each message\n",
};
