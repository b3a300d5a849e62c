/* SPDX-License-Identifier: MIT */
/* tolsey: shared memory segments and mailboxes from the command line. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const struct command *const commands[] = {
	&cmd_create, &cmd_send, &cmd_recv, &cmd_work, &cmd_ls, &cmd_stat, &cmd_rm,
	&cmd_peek, &cmd_tap, &cmd_doctor, &cmd_close, &cmd_purge, &cmd_resize,
	&cmd_clean,
	&cmd_seg_create, &cmd_seg_write, &cmd_seg_read,
	&cmd_seg_ls, &cmd_seg_stat, &cmd_seg_grow, &cmd_seg_seal, &cmd_seg_rm,
};

#define COMMANDS_COUNT (sizeof(commands) / sizeof(commands[0]))

static void help_all(void)
{
	size_t i;

	puts("usage: tolsey [--space DIR] COMMAND ...\n\n"
	     "Mailboxes and shared memory segments for the processes of one "
	     "machine.\n");
	for (i = 0; i < COMMANDS_COUNT; i++)
		printf("  %-12s %s\n", commands[i]->name, commands[i]->brief);
	puts("  help         this text, or 'tolsey help COMMAND'\n\n"
	     "  --space DIR  the space; else $TOLSEY_SPACE, else "
	     "/dev/shm/tolsey-UID\n"
	     "  --version    version of the tool and of the library\n\n"
	     "Exit status: 0 done, 1 failed, 2 usage, 3 not now (would wait, "
	     "timed out,\nfull, empty), 4 closed and drained.\n"
	     "'tolsey COMMAND --help' has the rest.");
}

/* Letters to change, add or leave out to make @b of @a. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[32], i, j, diagonal, above, best;

	for (j = 0; b[j] != '\0' && j + 2 < 32; j++)
		row[j] = j;
	row[j] = j;
	for (i = 0; a[i] != '\0'; i++) {
		diagonal = row[0];
		row[0] = i + 1;
		for (j = 0; b[j] != '\0' && j + 2 < 32; j++) {
			above = row[j + 1];
			best = diagonal + (a[i] != b[j]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
			diagonal = above;
		}
	}
	return row[j];
}

static const char *nearest(const char *word)
{
	const char *found = NULL;
	unsigned int best = 3, d;
	size_t i;

	if (strlen(word) > 24)
		return NULL;
	for (i = 0; i < COMMANDS_COUNT; i++) {
		d = distance(word, commands[i]->name);
		if (d < best) {
			best = d;
			found = commands[i]->name;
		}
	}
	return found;
}

/* The command that argv[at] begins; @ret_words is how many words it has. */
static const struct command *find(int argc, char **argv, int at,
				  char *ret_text, size_t size_bytes,
				  int *ret_words)
{
	size_t i;

	*ret_words = 1;
	snprintf(ret_text, size_bytes, "%s", argv[at]);
	if (strcmp(argv[at], "seg") == 0 && at + 1 < argc) {
		snprintf(ret_text, size_bytes, "seg %s", argv[at + 1]);
		*ret_words = 2;
	}
	for (i = 0; i < COMMANDS_COUNT; i++)
		if (strcmp(commands[i]->name, ret_text) == 0)
			return commands[i];
	return NULL;
}

static int unknown(struct tool *tool, const char *text)
{
	const char *near = nearest(text);
	char clean[64];

	if (strcmp(text, "seg") == 0)
		return say_usage(tool, "seg needs one of create, write, read, "
				 "ls, stat, grow, seal, rm");
	say_clean(text, clean, sizeof(clean));
	if (near != NULL)
		return say_usage(tool, "no command '%s', did you mean '%s'",
				 clean, near);
	return say_usage(tool, "no command '%s'", clean);
}

static void help_seg(void)
{
	size_t i;

	puts("usage: tolsey seg COMMAND ...\n");
	for (i = 0; i < COMMANDS_COUNT; i++)
		if (strncmp(commands[i]->name, "seg ", 4) == 0)
			printf("  %-12s %s\n", commands[i]->name,
			       commands[i]->brief);
}

static int help(struct tool *tool, int argc, char **argv, int at)
{
	const struct command *command;
	char text[64];
	int words;

	if (at >= argc) {
		help_all();
		return STATUS_DONE;
	}
	if (strcmp(argv[at], "seg") == 0 && at + 1 >= argc) {
		help_seg();
		return STATUS_DONE;
	}
	command = find(argc, argv, at, text, sizeof(text), &words);
	if (command == NULL)
		return unknown(tool, text);
	say_help(command);
	return STATUS_DONE;
}

/*
 * A closed descriptor 0, 1 or 2 would be given to an object's file, and what
 * is meant for a pipe would go there. Each gets a stand-in that refuses.
 */
static int guard_standard_files(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			return -1;
	return 0;
}

static int run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const struct command *command;
	char text[64];
	int option, words;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:hV", options, NULL)) != -1) {
		if (option == OPT_SPACE) {
			tool->space = optarg;
		} else if (option == 'h') {
			help_all();
			return STATUS_DONE;
		} else if (option == 'V') {
			printf("tolsey %d.%d.%d (library %s)\n",
			       TOL_VERSION_MAJOR, TOL_VERSION_MINOR,
			       TOL_VERSION_PATCH, tol_version());
			return STATUS_DONE;
		} else {
			return say_usage(tool, option == ':' ?
				"an option needs a value" : "unknown option");
		}
	}
	if (optind >= argc)
		return say_usage(tool, "a command is missing");
	if (strcmp(argv[optind], "help") == 0)
		return help(tool, argc, argv, optind + 1);
	command = find(argc, argv, optind, text, sizeof(text), &words);
	if (command == NULL && (strcmp(text, "seg --help") == 0 ||
				strcmp(text, "seg -h") == 0)) {
		help_seg();
		return STATUS_DONE;
	}
	if (command == NULL)
		return unknown(tool, text);
	tool->command = command;
	argc -= optind + words - 1;
	argv += optind + words - 1;
	optind = 0;
	return command->run(tool, argc, argv);
}

/* What somebody who may write the file can always do to its users. */
static void say_truncated(int number)
{
	static const char text[] = "tolsey: the memory of an object is gone: "
		"its file was truncated, or the space is full; see "
		"'tolsey ls'\n";

	(void)number;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(STATUS_FAILED);
	_exit(STATUS_FAILED);
}

int main(int argc, char **argv)
{
	struct tool tool = { 0 };
	int status;

	if (guard_standard_files() != 0)
		return STATUS_FAILED;
	/* A line at once: those of several processes must not mix. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	/* A reader that went away is an error to report, not a death. */
	signal(SIGPIPE, SIG_IGN);
	/* So is the limit of 'ulimit -f', of our output or of a large body. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGBUS, say_truncated);
	/* Options may follow names, whatever the environment says. */
	unsetenv("POSIXLY_CORRECT");
	status = run(&tool, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "tolsey: cannot write to standard output: %s\n",
			strerror(errno));
		if (status == STATUS_DONE)
			status = STATUS_FAILED;
	}
	return status;
}
