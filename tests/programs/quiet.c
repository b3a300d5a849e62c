/* SPDX-License-Identifier: MIT */
/*
 * Sends and receives that need not wait, between two marks that strace sees.
 * quiet SIZE COUNT: in one process, and of messages
 * that another has sent. quiet batch: of many in one call, for one that sleeps.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The child sleeps: it has said that it waits, and the kernel says that it does. */
static void await_asleep(pid_t child)
{
	struct tol_mailbox_stat st;
	char path[64], line[512] = "";
	char *state = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
	do {
		if (tol_mailbox_stat("quiet", NULL, &st, NULL, NULL) < 0)
			stop("stat", -1);
		file = fopen(path, "r");
		if (!file || !fgets(line, sizeof(line), file))
			stop("the other process", -1);
		fclose(file);
		state = strrchr(line, ')');
	} while (st.waiting_receivers_count + st.waiting_senders_count == 0 || !state ||
		 state[2] != 'S');
}

/* CAPACITY messages in one call, and the other end one that sleeps for it. */
static void wake_once(struct tol_link *link, bool is_sender)
{
	static char bufs[CAPACITY][8];
	struct tol_outgoing out[CAPACITY] = { 0 };
	struct tol_incoming in[CAPACITY] = { 0 };
	const struct tol_open_opts never = {
		.flags = TOL_SPIN_NEVER,
	};
	struct tol_link *other;
	ssize_t done;
	int status;
	pid_t child;

	for (int i = 0; i < CAPACITY; i++) {
		out[i] = (struct tol_outgoing){ .body = "x", .size_bytes = 1 };
		in[i].buf = bufs[i];
		in[i].size_bytes = sizeof(bufs[i]);
	}
	child = fork();
	if (child == 0) {
		if (tol_open(&other, "quiet", &never) < 0)
			_exit(1);
		done = is_sender ? tol_recv_many(other, in, CAPACITY, CAPACITY,
						 TOL_FOREVER)
				 : tol_send_many(other, out, CAPACITY,
						 CAPACITY, TOL_FOREVER);
		_exit(done != CAPACITY);
	}
	await_asleep(child);
	mark();
	done = is_sender ? tol_send_many(link, out, CAPACITY, 0, TOL_NOWAIT)
			 : tol_recv_many(link, in, CAPACITY, 0, TOL_NOWAIT);
	mark();
	if (done != CAPACITY || waitpid(child, &status, 0) != child ||
	    status != 0)
		stop("a batch", done < 0 ? done : -1);
}

static void batches(struct tol_link *link)
{
	char buf[8];

	wake_once(link, true);
	for (int i = 0; i < CAPACITY; i++)
		send_some(link, "x", 1, 1);
	wake_once(link, false);
	recv_some(link, buf, 1, CAPACITY);
}

int main(int argc, char **argv)
{
	bool is_batch = argc > 1 && strcmp(argv[1], "batch") == 0;
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
	if (is_batch) {
		batches(link);
	} else {
		mark();
		alone(link, buf, size, count);
		mark();
		between_two(link, buf, size);
	}
	tol_close(link);
	free(buf);
	return tol_mailbox_remove("quiet", NULL) < 0;
}
