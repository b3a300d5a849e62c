/* SPDX-License-Identifier: MIT */
/*
 * Sends and receives that need not wait, between two marks that strace sees.
 * quiet SIZE COUNT: in one process, and of messages
 * that another has sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tolsey.h>

#define CAPACITY 64
#define ROUNDS 20

static void stop(const char *what, long error)
{
	fprintf(stderr, "quiet: %s: %s\n", what, tol_strerror((int)error));
	exit(1);
}

static void mark(void)
{
	(void)getppid();
}

static void send_some(struct tol_link *link, const char *body, size_t size,
		      long count)
{
	for (long i = 0; i < count; i++) {
		int err = tol_send(link, body, size, TOL_FOREVER);

		if (err < 0)
			stop("send", err);
	}
}

static void recv_some(struct tol_link *link, char *buf, size_t size, long count)
{
	for (long i = 0; i < count; i++) {
		ssize_t n = tol_recv(link, buf, size, TOL_FOREVER);

		if (n != (ssize_t)size)
			stop("receive", n);
	}
}

/* Bursts of all lengths: the rings and the memory turn over many times. */
static void alone(struct tol_link *link, char *buf, size_t size, long count)
{
	for (long i = 0; i < count; i++) {
		send_some(link, buf, size, 1 + i % CAPACITY);
		recv_some(link, buf, size, 1 + i % CAPACITY);
	}
}

/* The other process fills the mailbox again and again, and says so each time. */
static void fill_rounds(int told_fd, int say_fd, const char *body, size_t size)
{
	struct tol_link *link;
	char byte = 0;

	if (tol_open(&link, "quiet", NULL) < 0)
		_exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		send_some(link, body, size, CAPACITY);
		if (write(say_fd, &byte, 1) != 1 ||
		    read(told_fd, &byte, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

/* All of its memory has been seen before the last round. */
static void between_two(struct tol_link *link, char *buf, size_t size)
{
	int there[2], back[2], status;
	char byte = 0;
	pid_t child;

	if (pipe(there) < 0 || pipe(back) < 0)
		stop("pipe", -1);
	child = fork();
	if (child == 0)
		fill_rounds(there[0], back[1], buf, size);
	for (int i = 0; i < ROUNDS; i++) {
		if (read(back[0], &byte, 1) != 1)
			stop("the other process", -1);
		if (i == ROUNDS - 1)
			mark();
		recv_some(link, buf, size, CAPACITY);
		if (i == ROUNDS - 1)
			mark();
		if (write(there[1], &byte, 1) != 1)
			stop("the other process", -1);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		stop("the other process", -1);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
	long count = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
	char *buf = calloc(1, size + 1);
	struct tol_link *link;
	int err;

	err = tol_mailbox_create("quiet", CAPACITY, NULL);
	if (err < 0 || !buf)
		stop("create", err);
	err = tol_open(&link, "quiet", NULL);
	if (err < 0)
		stop("open", err);
	/* Memory is taken from the system as it is first used. */
	alone(link, buf, size, count);
	mark();
	alone(link, buf, size, count);
	mark();
	between_two(link, buf, size);
	tol_close(link);
	free(buf);
	return tol_mailbox_remove("quiet", NULL) < 0;
}
