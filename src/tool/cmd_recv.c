/* SPDX-License-Identifier: MIT */
/*
 * tolsey recv: take messages and write them to standard output.
 *
 * Whoever interrupts it must not lose a message. A signal that ended the
 * process inside tol_recv() could fall between the instruction that takes the
 * message and the return. So SIGINT, SIGTERM and SIGHUP only set a flag, which
 * is looked at when nothing is in hand; and because the library goes on after
 * EINTR, it waits 100 ms at a time. In between it sleeps in the kernel. The
 * same pause serves to see that the reader of the output has gone before a
 * message is taken for it. A second signal ends the process at once, for the
 * case that the output is blocked.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define SLICE_NS TOL_MSECS(100)

enum format { FORMAT_RAW, FORMAT_LINES, FORMAT_NULL, FORMAT_JSON };
enum amount { AMOUNT_COUNT, AMOUNT_ALL, AMOUNT_FOLLOW };

struct recv {
	struct tool *tool;
	const char *name;
	struct tol_link *link;
	struct selection selection;
	enum format format;
	enum amount amount;
	uint64_t count;
	int64_t timeout_ns;
	struct buffer body, json;
	struct progress progress;
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
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = note_signal }, old;
	size_t i;

	action.sa_flags = SA_RESTART;
	sigfillset(&action.sa_mask);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		/* What nohup and the shell's & have ignored stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

/* Ends the way the shell expects of an interrupted command: 130, 143. */
static int end_interrupted(struct recv *recv)
{
	int number = interrupted;
	sigset_t set;

	if (recv->amount == AMOUNT_FOLLOW)
		return STATUS_DONE;
	tol_close(recv->link);
	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	return STATUS_FAILED;
}

/* 0 while standard output would take bytes; asked before each message. */
static int output_error(void)
{
	struct pollfd output = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (poll(&output, 1, 0) > 0 &&
	    (output.revents & (POLLERR | POLLNVAL)) != 0)
		return EPIPE;
	return 0;
}

/* One attempt of at most @timeout_ns, with a buffer that grows to fit. */
static ssize_t recv_sized(struct recv *recv, int64_t timeout_ns,
			  struct tol_message *ret_message)
{
	ssize_t n;

	for (;;) {
		/* One byte is kept for the separator. */
		n = tol_recv_select(recv->link, select_of(&recv->selection),
				    recv->body.data, recv->body.room_bytes - 1,
				    timeout_ns, ret_message);
		if (n != -EMSGSIZE)
			return n;
		if (ret_message->size_bytes >= SIZE_MAX - 1 ||
		    buffer_reserve(&recv->body,
				   ret_message->size_bytes + 1) != 0)
			return -ENOMEM;
	}
}

/* Like recv_sized(), in slices. -EINTR interrupted, -EPIPE no reader. */
static ssize_t recv_one(struct recv *recv, struct tol_message *ret_message)
{
	int64_t timeout_ns = recv->timeout_ns;
	int64_t end_ns = timeout_ns > 0 ? now_ns() : 0, slice_ns;
	ssize_t n;

	if (timeout_ns > 0 && timeout_ns > INT64_MAX - end_ns)
		timeout_ns = TOL_FOREVER;
	else
		end_ns += timeout_ns;
	for (;;) {
		if (interrupted)
			return -EINTR;
		if (output_error() != 0)
			return -EPIPE;
		slice_ns = timeout_ns == TOL_NOWAIT ? TOL_NOWAIT : SLICE_NS;
		if (timeout_ns > 0) {
			slice_ns = end_ns - now_ns();
			if (slice_ns < 0)
				slice_ns = 0;
			if (slice_ns > SLICE_NS)
				slice_ns = SLICE_NS;
		}
		n = recv_sized(recv, slice_ns, ret_message);
		if (n == -EAGAIN && timeout_ns != TOL_NOWAIT)
			n = -ETIMEDOUT;
		if (n != -ETIMEDOUT)
			return n;
		if (timeout_ns > 0 && now_ns() >= end_ns)
			return n;
	}
}

/* Writes the message in hand, with its separator, in as few calls as can be. */
static int deliver(struct recv *recv, const struct tol_message *message)
{
	const char *data = recv->body.data;
	size_t size = message->size_bytes, done = 0;
	int error = 0;

	if (recv->format == FORMAT_JSON) {
		recv->json.size_bytes = 0;
		error = look_add_json(&recv->json, recv->link, message,
				      recv->body.data);
		data = recv->json.data;
		size = recv->json.size_bytes;
	} else if (recv->format != FORMAT_RAW) {
		recv->body.data[size++] =
			recv->format == FORMAT_LINES ? '\n' : '\0';
	}
	if (error == 0)
		error = write_all(STDOUT_FILENO, data, size, &done);
	if (error == 0) {
		progress_add(&recv->progress, message->size_bytes);
		return 0;
	}
	progress_fini(&recv->progress);
	return say_failed(recv->tool, recv->name,
			  "cannot write to standard output: %s; message %" PRIu64
			  " of %zu bytes was taken and is lost",
			  strerror(-error), message->position,
			  message->size_bytes);
}

/* That nothing came. Of others there may be enough. */
static int say_nothing(struct recv *recv, int error, uint64_t taken)
{
	char count[64] = "", clean[80];

	if (taken != 0)
		snprintf(count, sizeof(count), "; %" PRIu64 " messages were "
			 "received", taken);
	if (select_of(&recv->selection) != NULL && error == -ENODATA) {
		say_failed(recv->tool, recv->name, "it was closed, and no "
			   "message that is wanted is left%s", count);
		return STATUS_ENDED;
	}
	if (select_of(&recv->selection) != NULL &&
	    (error == -EAGAIN || error == -ETIMEDOUT)) {
		if (error == -EAGAIN)
			say_failed(recv->tool, recv->name, "no message that is "
				   "wanted is there: leave out --nowait to "
				   "wait%s", count);
		else
			say_failed(recv->tool, recv->name, "timed out, no "
				   "message that is wanted came: wait longer, or "
				   "see 'tolsey stat %s' for what is there%s",
				   say_clean(recv->name, clean, sizeof(clean)),
				   count);
		return STATUS_NOT_NOW;
	}
	return say_error_after(recv->tool, recv->name, error, "%s", count);
}

static int recv_all(struct recv *recv)
{
	struct tol_message message;
	uint64_t taken = 0;
	ssize_t n;
	int status;

	for (;;) {
		if (recv->amount == AMOUNT_COUNT && taken == recv->count)
			return STATUS_DONE;
		n = recv_one(recv, &message);
		if (n < 0)
			break;
		status = deliver(recv, &message);
		if (status != 0)
			return status;
		taken++;
	}
	progress_fini(&recv->progress);
	if (n == -EINTR)
		return end_interrupted(recv);
	if (n == -EPIPE)
		return say_failed(recv->tool, recv->name,
				  "standard output is closed: no further message "
				  "was taken");
	/* Empty is what --all waits for, and no failure of it. */
	if (recv->amount == AMOUNT_ALL && (n == -EAGAIN || n == -ETIMEDOUT))
		return STATUS_DONE;
	/* The end is what --follow waits for, too. */
	if (recv->amount != AMOUNT_COUNT && n == -ENODATA)
		return STATUS_DONE;
	return say_nothing(recv, (int)n, taken);
}

static int recv_open(struct recv *recv)
{
	struct tol_open_opts opts = {
		.space = recv->tool->space,
		.flags = TOL_RECV,
	};
	int status, error, flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return say_failed(recv->tool, recv->name, "standard output is "
				  "closed: no message was taken");
	if (buffer_reserve(&recv->body, 1 << 16) != 0)
		return say_error(recv->tool, recv->name, -ENOMEM);
	error = tol_open(&recv->link, recv->name, &opts);
	if (error != 0) {
		buffer_fini(&recv->body);
		return say_error(recv->tool, recv->name, error);
	}
	catch_signals();
	progress_init(&recv->progress, STDOUT_FILENO);
	status = recv_all(recv);
	progress_fini(&recv->progress);
	tol_close(recv->link);
	buffer_fini(&recv->body);
	buffer_fini(&recv->json);
	return status;
}

struct recv_args {
	int amounts, formats, waits;	/* how many options of each kind */
};

static int recv_option(struct recv *recv, struct recv_args *args, int option)
{
	if (is_select_option(option))
		return select_option(recv->tool, &recv->selection, option);
	switch (option) {
	case 'n':
		args->amounts++;
		recv->amount = AMOUNT_COUNT;
		return args_count(recv->tool, "-n", optarg, &recv->count);
	case 'a':
		args->amounts++;
		recv->amount = AMOUNT_ALL;
		return 0;
	case 'f':
		args->amounts++;
		recv->amount = AMOUNT_FOLLOW;
		return 0;
	case 'w':
		args->waits++;
		recv->timeout_ns = TOL_NOWAIT;
		return 0;
	case 't':
		args->waits++;
		return args_duration(recv->tool, "--timeout", optarg,
				     &recv->timeout_ns);
	case 'r':
		args->formats++;
		recv->format = FORMAT_RAW;
		return 0;
	case 'l':
		args->formats++;
		recv->format = FORMAT_LINES;
		return 0;
	case '0':
		args->formats++;
		recv->format = FORMAT_NULL;
		return 0;
	default:
		args->formats++;
		recv->format = FORMAT_JSON;
		return 0;
	}
}

static int run_recv(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		SELECT_OPTIONS,
		{ "count", required_argument, NULL, 'n' },
		{ "all", no_argument, NULL, 'a' },
		{ "follow", no_argument, NULL, 'f' },
		{ "nowait", no_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "raw", no_argument, NULL, 'r' },
		{ "lines", no_argument, NULL, 'l' },
		{ "null", no_argument, NULL, '0' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct recv recv = {
		.tool = tool, .count = 1, .timeout_ns = TOL_FOREVER,
	};
	struct recv_args args = { 0 };
	int option;

	while ((option = args_next(tool, argc, argv, ":hn:aft:l0", options)) >= 0)
		if (recv_option(&recv, &args, option) != 0)
			return STATUS_USAGE;
	if (option != OPT_DONE)
		return args_status(option);
	if (args.amounts > 1)
		return say_usage(tool, "-n, --all and --follow exclude each "
				 "other");
	if (args.formats > 1)
		return say_usage(tool, "--raw, --lines, --null and --json "
				 "exclude each other");
	if (args.waits > 1)
		return say_usage(tool, "--nowait and --timeout exclude each "
				 "other");
	/* --all ends when the mailbox is empty: it waits only if told to. */
	if (recv.amount == AMOUNT_ALL && args.waits == 0)
		recv.timeout_ns = TOL_NOWAIT;
	if (args_name(tool, argc, argv, &recv.name) != 0)
		return STATUS_USAGE;
	return recv_open(&recv);
}

const struct command cmd_recv = {
	.name = "recv",
	.run = run_recv,
	.brief = "Receive messages from a mailbox.",
	.usage = "recv NAME [-n COUNT | --all | --follow]\n"
		 "                   [--nowait | --timeout TIME]\n"
		 "                   [--raw | --lines | --null | --json]\n"
		 "                   " SELECT_USAGE,
	.help = "\n"
"Takes the oldest message of the highest priority and writes it to standard\n"
"output; an empty mailbox is waited for. Interrupted (Ctrl-C), it loses nothing.\n\n"
"  -n, --count COUNT   that many messages instead of one\n"
"  -a, --all           until the mailbox is empty\n"
"  -f, --follow        until interrupted or closed; that is status 0\n"
"      --nowait        status 3 if the mailbox is empty\n"
"  -t, --timeout TIME  wait that long for each message: 250ms, 2s, 1m\n"
"      --raw           the bytes as they are, nothing added (the default)\n"
"  -l, --lines         a newline after each message\n"
"  -0, --null          a zero byte after each message\n"
"      --json          an object in a line for each message\n"
SELECT_HELP,
};
