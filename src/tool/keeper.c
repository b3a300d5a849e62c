/* SPDX-License-Identifier: MIT */
/*
 * A process that does nothing until its worker is gone, and then ends what the
 * worker's jobs have left running.
 *
 * It reads from a pipe that only the worker writes, and the worker's forks until
 * they have become a job. A job tells its number before it is one, so that the
 * keeper knows of each; the worker tells that it is over before it reaps it, so
 * that the number is not somebody else's. The end of the pipe is the end of the
 * worker, however it came.
 *
 * The keeper is forked before the link is opened, so that it takes no part in the
 * mailbox, and keeps nothing else of the worker's open: who waits for the end of
 * the worker's output does not wait for the keeper.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

static void forget(pid_t *groups, size_t *count, pid_t group)
{
	size_t i;

	for (i = 0; i < *count; i++) {
		if (groups[i] != group)
			continue;
		groups[i] = groups[--*count];
		return;
	}
}

static void keep(int fd)
{
	static pid_t groups[JOBS_MAX + 1];
	size_t count = 0, i;
	pid_t told;
	ssize_t n;

	for (;;) {
		n = read(fd, &told, sizeof(told));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(told))
			break;
		if (told < 0)
			forget(groups, &count, -told);
		else if (count < sizeof(groups) / sizeof(groups[0]))
			groups[count++] = told;
	}
	for (i = 0; i < count; i++)
		kill(-groups[i], SIGKILL);
}

/* As closefrom(), which not every libc has. Without /proc those that are usual. */
static void close_others(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd;

	for (fd = STDERR_FILENO + 1; dir == NULL && fd < 1024; fd++)
		close(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		fd = atoi(entry->d_name);
		if (fd > STDERR_FILENO && fd != dirfd(dir))
			close(fd);
	}
	if (dir != NULL)
		closedir(dir);
}

static void be_keeper(int fd)
{
	int null;

	/* Ctrl-C, and what is sent to the worker's group, is not for us. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "tolsey-keeper");
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(fd, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(STATUS_FAILED);
	close_others();
	keep(STDIN_FILENO);
	_exit(STATUS_DONE);
}

int keeper_start(struct keeper *keeper)
{
	int fds[2], error;

	if (pipe(fds) != 0)
		return -errno;
	keeper->pid = fork();
	if (keeper->pid < 0) {
		error = -errno;
		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (keeper->pid == 0)
		be_keeper(fds[0]);
	close(fds[0]);
	keeper->fd = fds[1];
	fcntl(keeper->fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

int keeper_tell(const struct keeper *keeper, pid_t pid)
{
	size_t done;

	return write_all(keeper->fd, &pid, sizeof(pid), &done);
}

void keeper_end(struct keeper *keeper)
{
	close(keeper->fd);
	while (keeper->pid > 0 && waitpid(keeper->pid, NULL, 0) < 0 &&
	       errno == EINTR)
		;
}
