/* SPDX-License-Identifier: MIT */
/*
 * count SIDE WAY: sends or receives 1024 messages between two marks, which are
 * calls of getppid(); for bench/syscalls. Each side goes on when the other has come
 * that far, so that a receiver that is to be asleep is.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tolsey.h>

#define MESSAGES 1024
#define BATCH 32

static struct tol_link *link_here;

static int is(const char *way, const char *name)
{
	return strcmp(way, name) == 0;
}

/* The receiver has to fall asleep again in between. */
static void let_it_sleep(void)
{
	const struct timespec moment = { .tv_nsec = 300000 };

	nanosleep(&moment, NULL);
}

static int send_all(const char *way)
{
	struct tol_outgoing items[BATCH];
	int pauses = is(way, "asleep") || is(way, "timed") || is(way, "poll") ||
		     is(way, "wait") || is(way, "zero");
	int err = 0;

	for (int i = 0; i < BATCH; i++)
		items[i] = (struct tol_outgoing){ .body = "12345678",
						  .size_bytes = 8 };
	for (int i = 0; i < MESSAGES && err >= 0;) {
		if (pauses)
			let_it_sleep();
		err = is(way, "batch")
			      ? (int)tol_send_many(link_here, items, BATCH, BATCH,
						   TOL_FOREVER)
			      : tol_send(link_here, "12345678", 8,
					 TOL_FOREVER);
		i += is(way, "batch") ? BATCH : 1;
	}
	return err < 0;
}

static int receive_one(const char *way, int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };
	struct tol_wait wait = { link_here, TOL_RECV, 0 };
	char body[8];

	if (is(way, "polling") || is(way, "batch"))
		while (tol_recv(link_here, body, 8, TOL_NOWAIT) == -EAGAIN)
			;
	else if (is(way, "timed"))
		return tol_recv(link_here, body, 8, TOL_SECS(60)) != 8;
	else if (is(way, "poll"))
		while (tol_recv(link_here, body, 8, TOL_NOWAIT) == -EAGAIN)
			poll(&one, 1, -1);
	else if (is(way, "wait"))
		while (tol_recv(link_here, body, 8, TOL_NOWAIT) == -EAGAIN)
			tol_wait(&wait, 1, TOL_FOREVER);
	else
		return tol_recv(link_here, body, 8, TOL_FOREVER) != 8;
	return 0;
}

static int receive_all(const char *way)
{
	int fd = is(way, "poll") ? tol_descriptor(link_here, TOL_RECV) : -1;

	for (int i = 0; i < MESSAGES; i++)
		if (receive_one(way, fd))
			return 1;
	return 0;
}

/* The first message is not counted: memory is taken, the other one starts. */
int main(int argc, char **argv)
{
	const struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };
	char body[8];
	int failed;

	if (argc != 3 || tol_open(&link_here, "box", &opts) < 0)
		return 2;
	if (is(argv[1], "send"))
		failed = tol_send(link_here, "first...", 8, TOL_FOREVER) < 0;
	else
		failed = tol_recv(link_here, body, 8, TOL_FOREVER) != 8;
	let_it_sleep();
	syscall(SYS_getppid);
	if (!failed)
		failed = is(argv[1], "send") ? send_all(argv[2])
					     : receive_all(argv[2]);
	syscall(SYS_getppid);
	tol_close(link_here);
	return failed;
}
