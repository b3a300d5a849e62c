/* SPDX-License-Identifier: MIT */
/* A receiver is killed while it waits: the message is for the next one. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tolsey.h>
#include <unistd.h>

static void wait_for_ever(int ready)
{
	struct tol_link *jobs;
	char buf[64];

	if (tol_open(&jobs, "jobs", NULL) == 0 && write(ready, "", 1) == 1)
		tol_recv(jobs, buf, sizeof(buf), TOL_FOREVER);
	_exit(1);
}

int main(void)
{
	struct tol_link *jobs;
	char buf[64];
	int ready[2];
	ssize_t n = -1;
	pid_t pid;

	if (tol_mailbox_create("jobs", 1, NULL) < 0 || pipe(ready) < 0)
		return 1;
	pid = fork();
	if (pid == 0)
		wait_for_ever(ready[1]);
	close(ready[1]);
	if (pid > 0 && read(ready[0], buf, 1) == 1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (tol_open(&jobs, "jobs", NULL) == 0) {
			tol_send(jobs, "still here", 10, TOL_NOWAIT);
			n = tol_recv(jobs, buf, sizeof(buf), TOL_NOWAIT);
			tol_close(jobs);
		}
	}
	tol_mailbox_remove("jobs", NULL);
	if (n == 10)
		printf("%.*s\n", (int)n, buf);
	return n != 10;
}
