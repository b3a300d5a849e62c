/* SPDX-License-Identifier: MIT */
/*
 * One run of the command: its input, its surroundings, its process group.
 *
 * The body is copied to a file without a name, which is the job's standard input:
 * a job that never reads it holds up nobody, one that closes it early offends
 * nobody, and any size will do.
 */

/* For memfd_create() and pipe2(). */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

extern char **environ;

/* The variables of a job come first, those that never change behind them. */
static const char *const changing[] = {
	"TOLSEY_TAG", "TOLSEY_SENDER", "TOLSEY_SENDER_UID", "TOLSEY_TRY",
	"TOLSEY_POSITION", "TOLSEY_PRIORITY",
};

#define CHANGING_COUNT (sizeof(changing) / sizeof(changing[0]))
#define CHANGING_SIZE_BYTES ((size_t)64)
#define FIXED_COUNT 2	/* TOLSEY_MAILBOX, TOLSEY_SPACE */

static int is_variable(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

static int is_ours(const char *entry, int has_space)
{
	size_t i;

	for (i = 0; i < CHANGING_COUNT; i++)
		if (is_variable(entry, changing[i]))
			return 1;
	return is_variable(entry, "TOLSEY_MAILBOX") ||
		(has_space && is_variable(entry, "TOLSEY_SPACE"));
}

int job_setup_init(struct job_setup *setup, const struct tool *tool,
		   const char *mailbox, char **argv)
{
	size_t fixed = strlen(mailbox) + 16, space = 16;
	size_t count = 0, at = 0, i;
	char *text;

	if (tool->space != NULL)
		space += strlen(tool->space);
	while (environ[count] != NULL)
		count++;
	setup->argv = argv;
	setup->worker_pid = getpid();
	setup->envp = calloc(count + CHANGING_COUNT + FIXED_COUNT + 1,
			     sizeof(*setup->envp));
	setup->variables = calloc(1, CHANGING_COUNT * CHANGING_SIZE_BYTES +
				  fixed + space);
	if (setup->envp == NULL || setup->variables == NULL) {
		job_setup_fini(setup);
		return -ENOMEM;
	}
	text = setup->variables;
	for (i = 0; i < CHANGING_COUNT; i++, text += CHANGING_SIZE_BYTES)
		setup->envp[at++] = text;
	snprintf(text, fixed, "TOLSEY_MAILBOX=%s", mailbox);
	setup->envp[at++] = text;
	if (tool->space != NULL) {
		text += fixed;
		snprintf(text, space, "TOLSEY_SPACE=%s", tool->space);
		setup->envp[at++] = text;
	}
	for (i = 0; i < count; i++)
		if (!is_ours(environ[i], tool->space != NULL))
			setup->envp[at++] = environ[i];
	return 0;
}

void job_setup_fini(struct job_setup *setup)
{
	free(setup->envp);
	free(setup->variables);
	setup->envp = NULL;
	setup->variables = NULL;
}

static void set_variable(const struct job_setup *setup, size_t index,
			 uint64_t value)
{
	snprintf(setup->envp[index], CHANGING_SIZE_BYTES, "%s=%" PRIu64,
		 changing[index], value);
}

static int can_run(const char *file)
{
	struct stat stat_buf;

	if (access(file, X_OK) != 0 || stat(file, &stat_buf) != 0)
		return -errno;
	return S_ISDIR(stat_buf.st_mode) ? -EACCES : 0;
}

/* A name that cannot be found costs no message a try. */
int job_find_command(const char *command)
{
	const char *path = getenv("PATH"), *end;
	char file[4096];
	int error = -ENOENT;

	if (*command == '\0')
		return -ENOENT;
	if (strchr(command, '/') != NULL)
		return can_run(command);
	if (path == NULL)
		return 0;
	for (;; path = end + 1) {
		end = strchrnul(path, ':');
		if (snprintf(file, sizeof(file), "%.*s%s%s", (int)(end - path),
			     path, end == path ? "" : "/", command) <
		    (int)sizeof(file)) {
			int found = can_run(file);

			if (found == 0)
				return 0;
			if (found == -EACCES)
				error = -EACCES;
		}
		if (*end == '\0')
			return error;
	}
}

int job_body(const struct tol_message *message)
{
	int fd = memfd_create("message", MFD_CLOEXEC), error;
	size_t done;

	if (fd < 0)
		return -errno;
	error = write_all(fd, message->body, message->size_bytes, &done);
	if (error == 0 && lseek(fd, 0, SEEK_SET) < 0)
		error = -errno;
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

/* What the worker ignores or catches is as usual for its jobs. */
static void reset_signals(const sigset_t *mask)
{
	static const int numbers[] = { SIGPIPE, SIGXFSZ, SIGBUS, SIGCHLD };
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		signal(numbers[i], SIG_DFL);
	for (i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		if (sigaction(caught[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			signal(caught[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
}

/* In the child. Returns only if it failed. */
static void become_job(const struct job_setup *setup, int body_fd,
		       const sigset_t *mask)
{
	if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return;
	if (getppid() != setup->worker_pid)
		_exit(STATUS_FAILED);
	if (dup2(body_fd, STDIN_FILENO) < 0 ||
	    (setup->output_fd >= 0 &&
	     dup2(setup->output_fd, STDOUT_FILENO) < 0) ||
	    (setup->error_fd >= 0 && dup2(setup->error_fd, STDERR_FILENO) < 0))
		return;
	errno = -keeper_tell(setup->keeper, getpid());
	if (errno != 0)
		return;
	reset_signals(mask);
	environ = setup->envp;
	execvp(setup->argv[0], setup->argv);
}

/* Return: 0; or what the child said */
static int wait_for_exec(int fd)
{
	int error = 0;
	ssize_t n;

	do
		n = read(fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

static void say_and_exit(int fd)
{
	int error = errno;

	if (write(fd, &error, sizeof(error)) < 0)
		_exit(STATUS_USAGE);
	_exit(STATUS_FAILED);
}

int job_start(const struct job_setup *setup, struct job *job, int body_fd,
	      const char **ret_what)
{
	const struct tol_message *message = &job->message;
	sigset_t all, mask;
	int fds[2], error;

	*ret_what = "cannot start a process";
	set_variable(setup, 0, message->tag);
	set_variable(setup, 1, (uint64_t)message->sender_pid);
	set_variable(setup, 2, message->sender_uid);
	set_variable(setup, 3, message->tries);
	set_variable(setup, 4, message->position);
	set_variable(setup, 5, message->priority);
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	/* None is handled in the child by the worker's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	job->pid = fork();
	if (job->pid == 0) {
		become_job(setup, body_fd, &mask);
		say_and_exit(fds[1]);
	}
	error = job->pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	close(fds[1]);
	if (error == 0) {
		error = -wait_for_exec(fds[0]);
		*ret_what = "cannot run the command";
		if (error != 0) {
			keeper_tell(setup->keeper, -job->pid);
			waitpid(job->pid, NULL, 0);
		}
	}
	close(fds[0]);
	return error;
}

void job_signal(const struct job *job, int number)
{
	kill(-job->pid, number);
}
