/* SPDX-License-Identifier: MIT */
/* The bounded buffer: a producer is held up while five items wait. */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tolsey.h>
#include <unistd.h>

#define ITEMS 1000

static int produce(void)
{
	struct tol_link *buffer;
	int err = tol_open(&buffer, "buffer", NULL);

	for (uint32_t item = 0; err == 0 && item < ITEMS; item++)
		err = tol_send(buffer, &item, sizeof(item), TOL_FOREVER);
	return err != 0;
}

static int consume(void)
{
	struct tol_link *buffer;
	uint32_t item, expected = 0;

	if (tol_open(&buffer, "buffer", NULL) < 0)
		return 1;
	while (expected < ITEMS) {
		if (tol_recv(buffer, &item, sizeof(item), TOL_SECS(30)) !=
		    sizeof(item) || item != expected)
			return 1;
		expected++;
	}
	tol_close(buffer);
	printf("%u items, in order\n", expected);
	return 0;
}

int main(void)
{
	int err = tol_mailbox_create("buffer", 5, NULL);
	int status = 0, failed;
	pid_t pid;

	if (err < 0) {
		fprintf(stderr, "buffer: %s\n", tol_strerror(err));
		return 1;
	}
	pid = fork();
	if (pid == 0)
		_exit(produce());
	failed = pid < 0 || consume();
	tol_mailbox_remove("buffer", NULL);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return failed || status;
}
