/* SPDX-License-Identifier: MIT */
/* tolsey close, purge, resize: what changes a mailbox in use. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

/* Opens a link for one call. Return: 0, or a status that was said */
static int open_link(struct tool *tool, const char *name, unsigned int flags,
		     struct tol_link **ret_link)
{
	struct tol_open_opts opts = { .space = tool->space, .flags = flags };
	int error = tol_open(ret_link, name, &opts);

	return error < 0 ? say_error(tool, name, error) : STATUS_DONE;
}

static int no_options(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS, { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0)
		;
	return option;
}

static int close_one(struct tool *tool, const char *name)
{
	struct tol_link *link;
	int error, status = open_link(tool, name, TOL_SEND, &link);

	if (status != STATUS_DONE)
		return status;
	error = tol_shutdown(link);
	tol_close(link);
	return error < 0 ? say_error(tool, name, error) : STATUS_DONE;
}

static int run_close(struct tool *tool, int argc, char **argv)
{
	int option = no_options(tool, argc, argv), status = STATUS_DONE;

	if (option != OPT_DONE)
		return args_status(option);
	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	for (; optind < argc; optind++) {
		int failed = close_one(tool, argv[optind]);

		if (failed != STATUS_DONE)
			status = failed;
	}
	return status;
}

const struct command cmd_close = {
	.name = "close",
	.run = run_close,
	.brief = "No more messages: receivers get the rest, then the end.",
	.usage = "close NAME...",
	.help = "\nSenders fail from now on, for good. 'recv --follow' ends when "
		"all has been\nreceived; 'recv' has status 4 then.\n\n",
};

static int run_purge(struct tool *tool, int argc, char **argv)
{
	struct tol_link *link;
	const char *name;
	int option = no_options(tool, argc, argv), status;
	ssize_t count;

	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &name) != 0)
		return STATUS_USAGE;
	status = open_link(tool, name, TOL_RECV, &link);
	if (status != STATUS_DONE)
		return status;
	count = tol_purge(link);
	tol_close(link);
	if (count < 0)
		return say_error(tool, name, (int)count);
	printf("%zd\n", count);
	return STATUS_DONE;
}

const struct command cmd_purge = {
	.name = "purge",
	.run = run_purge,
	.brief = "Throw away what is queued; prints how many messages.",
	.usage = "purge NAME",
	.help = "\nWhat is held by somebody stays. NAME:dead: the dead letters."
		"\n\n",
};

static int run_resize(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "capacity", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	struct tol_link *link;
	uint64_t capacity_msgs = 0;
	const char *name;
	int option, error, status;

	while ((option = args_next(tool, argc, argv, ":hc:", options)) >= 0)
		if (args_count(tool, "--capacity", optarg, &capacity_msgs) != 0)
			return STATUS_USAGE;
	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &name) != 0)
		return STATUS_USAGE;
	if (capacity_msgs == 0)
		return say_usage(tool, "--capacity N is missing, 1 or more");
	status = open_link(tool, name, 0, &link);
	if (status != STATUS_DONE)
		return status;
	error = tol_resize(link, capacity_msgs);
	tol_close(link);
	if (error == -ERANGE)
		return say_failed(tool, name, "it was made for fewer than "
				  "%" PRIu64 " messages: 'stat' shows for how "
				  "many, 'create --capacity-max' sets it",
				  capacity_msgs);
	if (error == -ENOTSUP)
		return say_failed(tool, name, "its capacity is unbounded, and "
				  "stays so");
	return error < 0 ? say_error(tool, name, error) : STATUS_DONE;
}

const struct command cmd_resize = {
	.name = "resize",
	.run = run_resize,
	.brief = "Change the capacity of a mailbox in use.",
	.usage = "resize NAME --capacity N",
	.help = "\n"
"  -c, --capacity N    1 to what 'create --capacity-max' said. Nothing that is\n"
"                      queued is lost: senders wait for longer\n",
};
