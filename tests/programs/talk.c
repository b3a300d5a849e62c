/* SPDX-License-Identifier: MIT */
/*
 * What the library can do, each thing once, in a process of its own: a line
 * "NAME ok", or "NAME" and what went wrong. For surroundings in which the kernel
 * does not do all: whatever it says, nothing may crash or hang.
 *
 *	talk [NAME...]		these things only
 *	talk hold NAME MS	no such thing: takes a message of mailbox NAME with a
 *				lease of so many ms, 0 none, says so and waits
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tolsey.h"

#define ROUNDS 200
#define LARGE_BYTES ((size_t)2 << 20)
#define FAILED (-1000)		/* no error, but a wrong result */

#define TRY(call)							\
	do {								\
		long try_result = (long)(call);				\
									\
		if (try_result < 0)					\
			return (int)try_result;				\
	} while (0)
#define MUST(condition)							\
	do {								\
		if (!(condition)) {					\
			printf("(line %d) ", __LINE__);			\
			return FAILED;					\
		}							\
	} while (0)

static const struct tol_open_opts sleeper = { .flags = TOL_SPIN_NEVER };

/* Another process that runs @body; its exit status is 0 for 0. */
static pid_t start(int (*body)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(body() != 0);
	return pid;
}

static int finish(pid_t pid)
{
	int status = 1;

	MUST(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static int make(struct tol_link **ret_link, const char *name, uint64_t capacity)
{
	TRY(tol_mailbox_create(name, capacity, NULL));
	TRY(tol_open(ret_link, name, &sleeper));
	return 0;
}

static int unmake(struct tol_link *link, const char *name)
{
	tol_close(link);
	return tol_mailbox_remove(name, NULL);
}

static int now(void)
{
	struct tol_link *link;
	char buf[8];

	TRY(make(&link, "now", 4));
	TRY(tol_send(link, "hello", 5, TOL_NOWAIT));
	MUST(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT) == 5);
	MUST(memcmp(buf, "hello", 5) == 0);
	MUST(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT) == -EAGAIN);
	MUST(tol_recv(link, buf, sizeof(buf), TOL_MSECS(2)) == -ETIMEDOUT);
	return unmake(link, "now");
}

/* Both directions over mailboxes that hold one, so that both ends sleep. */
static int echo(void)
{
	struct tol_link *there, *back;
	int value;

	TRY(tol_open(&there, "there", &sleeper));
	TRY(tol_open(&back, "back", &sleeper));
	for (int i = 0; i < ROUNDS; i++) {
		TRY(tol_recv(there, &value, sizeof(value), TOL_FOREVER));
		TRY(tol_send(back, &value, sizeof(value), TOL_FOREVER));
	}
	tol_close(there);
	tol_close(back);
	return 0;
}

static int turns(uint64_t capacity)
{
	struct tol_link *there, *back;
	pid_t pid;

	/* Where one before it failed. */
	tol_mailbox_remove("there", NULL);
	tol_mailbox_remove("back", NULL);
	TRY(make(&there, "there", capacity));
	TRY(make(&back, "back", capacity));
	pid = start(echo);
	for (int i = 0; i < ROUNDS; i++) {
		int value = -1;

		TRY(tol_send(there, &i, sizeof(i), TOL_FOREVER));
		TRY(tol_recv(back, &value, sizeof(value), TOL_FOREVER));
		MUST(value == i);
	}
	TRY(finish(pid));
	TRY(unmake(there, "there"));
	return unmake(back, "back");
}

static int asleep(void)
{
	return turns(1);
}

static int meet(void)
{
	return turns(0);
}

static int take_and_die(void)
{
	struct tol_message message;
	struct tol_link *link;

	TRY(tol_open(&link, "killed", NULL));
	TRY(tol_take(link, TOL_FOREVER, NULL, &message));
	kill(getpid(), SIGKILL);
	return 1;
}

/* What a killed process held comes back, also for one that sleeps. */
static int killed(void)
{
	struct tol_link *link;
	int status;
	pid_t pid;
	char c;

	TRY(make(&link, "killed", 4));
	TRY(tol_send(link, "x", 1, TOL_NOWAIT));
	pid = start(take_and_die);
	MUST(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	MUST(tol_recv(link, &c, 1, TOL_SECS(30)) == 1 && c == 'x');
	return unmake(link, "killed");
}

static int held(void)
{
	const struct tol_take_opts lease = { .lease_ns = TOL_MSECS(1) };
	struct tol_message message;
	struct tol_link *link;

	TRY(make(&link, "held", 4));
	TRY(tol_send(link, "x", 1, TOL_NOWAIT));
	TRY(tol_take(link, TOL_NOWAIT, NULL, &message));
	TRY(tol_return(link, &message));
	TRY(tol_take(link, TOL_NOWAIT, &lease, &message));
	TRY(tol_take(link, TOL_SECS(30), NULL, &message));
	MUST(message.tries == 3);
	TRY(tol_ack(link, &message));
	return unmake(link, "held");
}

static int unbounded(void)
{
	struct tol_mailbox_stat st;
	struct tol_link *link;
	char body[300] = { 0 };
	uint64_t most;

	TRY(make(&link, "unbounded", TOL_CAPACITY_UNBOUNDED));
	for (int i = 0; i < 20000; i++)
		TRY(tol_send(link, body, sizeof(body), TOL_NOWAIT));
	TRY(tol_mailbox_stat("unbounded", NULL, &st, NULL, NULL));
	most = st.memory_bytes;
	for (int i = 0; i < 20000; i++)
		TRY(tol_recv(link, body, sizeof(body), TOL_NOWAIT));
	/* Whoever looks in vain gives back what is left to be. */
	for (int i = 0; i < 100000 && st.memory_bytes >= most; i++) {
		MUST(tol_recv(link, body, sizeof(body), TOL_NOWAIT) == -EAGAIN);
		TRY(tol_mailbox_stat("unbounded", NULL, &st, NULL, NULL));
	}
	MUST(st.memory_bytes < most);
	return unmake(link, "unbounded");
}

static int large(void)
{
	char *body = malloc(LARGE_BYTES);
	struct tol_message message;
	struct tol_link *link;

	MUST(body != NULL);
	memset(body, 'l', LARGE_BYTES);
	TRY(make(&link, "large", 4));
	TRY(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT));
	TRY(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT));
	TRY(tol_recv(link, body, LARGE_BYTES, TOL_NOWAIT));
	TRY(tol_take(link, TOL_NOWAIT, NULL, &message));
	MUST(memcmp(body, message.body, LARGE_BYTES) == 0);
	TRY(tol_ack(link, &message));
	free(body);
	return unmake(link, "large");
}

static int selected(void)
{
	const struct tol_send_opts one = { .tag = 1 }, two = { .tag = 2 };
	const struct tol_select want = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 2, .last_tag = 2,
	};
	struct tol_message message;
	struct tol_link *link;
	char c;

	TRY(make(&link, "selected", 4));
	TRY(tol_send_message(link, "a", 1, TOL_NOWAIT, &one));
	TRY(tol_send_message(link, "b", 1, TOL_NOWAIT, &two));
	TRY(tol_recv_select(link, &want, &c, 1, TOL_NOWAIT, &message));
	MUST(c == 'b');
	return unmake(link, "selected");
}

static int send_one(void)
{
	struct tol_link *link;

	TRY(tol_open(&link, "woken", NULL));
	TRY(tol_send(link, "x", 1, TOL_NOWAIT));
	tol_close(link);
	return 0;
}

static int many(void)
{
	struct tol_link *link, *other;
	struct tol_wait waits[2];
	pid_t pid;
	char c;
	int err;

	TRY(make(&link, "woken", 4));
	TRY(make(&other, "quiet", 4));
	waits[0] = (struct tol_wait){ .link = other, .wanted = TOL_RECV };
	waits[1] = (struct tol_wait){ .link = link, .wanted = TOL_RECV };
	/* Somebody has slept, wherever the next message comes. */
	err = tol_wait(waits, 2, TOL_MSECS(2));
	if (err != -ETIMEDOUT)
		return err;
	pid = start(send_one);
	do {
		TRY(tol_wait(waits, 2, TOL_SECS(30)));
	} while (tol_recv(link, &c, 1, TOL_NOWAIT) != 1);
	TRY(finish(pid));
	TRY(unmake(other, "quiet"));
	return unmake(link, "woken");
}

static int polled(void)
{
	struct pollfd fd = { .events = POLLIN };
	struct tol_link *link;
	pid_t pid;
	char c;

	/* Where one before it failed. */
	tol_mailbox_remove("woken", NULL);
	TRY(make(&link, "woken", 4));
	TRY(fd.fd = tol_descriptor(link, TOL_RECV));
	pid = start(send_one);
	while (tol_recv(link, &c, 1, TOL_NOWAIT) != 1)
		MUST(poll(&fd, 1, 30000) == 1);
	TRY(finish(pid));
	return unmake(link, "woken");
}

static int segment(void)
{
	struct tol_segment *segment;
	void *address;

	TRY(tol_segment_create(&segment, "segment", 100000, NULL));
	TRY(tol_segment_attach(segment, NULL, &address));
	memset(address, 1, 100000);
	TRY(tol_segment_grow(segment, 200000));
	TRY(tol_segment_detach(segment, address));
	tol_segment_close(segment);
	return tol_segment_remove("segment", NULL);
}

static struct tol_segment_handle handle;

static int import(void)
{
	struct tol_segment *segment;
	void *address;

	TRY(tol_segment_import(&segment, &handle));
	TRY(tol_segment_attach(segment, NULL, &address));
	MUST(strcmp(address, "shared") == 0);
	tol_segment_close(segment);
	return 0;
}

static int private(void)
{
	struct tol_segment *segment;
	void *address;

	TRY(tol_segment_create(&segment, NULL, 100000, NULL));
	TRY(tol_segment_attach(segment, NULL, &address));
	strcpy(address, "shared");
	TRY(tol_segment_export(segment, &handle));
	TRY(finish(start(import)));
	tol_segment_close(segment);
	return 0;
}

static int look(void)
{
	struct tol_mailbox_health health;
	struct tol_link *link, *tap;
	struct tol_mailbox_stat st;
	char buf[16];

	TRY(make(&link, "look", 4));
	TRY(tol_open(&tap, "look:tap", NULL));
	TRY(tol_send(link, "x", 1, TOL_NOWAIT));
	MUST(tol_recv(tap, buf, sizeof(buf), TOL_NOWAIT) == 1);
	MUST(tol_peek(link, 0, buf, sizeof(buf), NULL) == 1);
	TRY(tol_mailbox_stat("look", NULL, &st, NULL, NULL));
	MUST(st.queued_msgs == 1 && st.receivers_count == 1);
	TRY(tol_resize(link, 2));
	TRY(tol_mailbox_verify("look", NULL, &health, NULL, NULL));
	MUST(health.is_sound);
	TRY(tol_space_clean(NULL, 0, NULL, NULL));
	tol_close(tap);
	return unmake(link, "look");
}

/*
 * Somebody, such as logind, deletes the file of a mailbox, and then the space, under
 * those who have it open: they go on with each other, and nobody new comes in.
 */
static int deleted(void)
{
	char path[200], file[256];
	const struct tol_mailbox_opts there = { .space = path };
	struct tol_open_opts in = { .space = path };
	struct tol_link *link, *other, *late;
	char *body = calloc(1, LARGE_BYTES);

	MUST(body != NULL);
	snprintf(path, sizeof(path), "%s/deleted.d", getenv("TOLSEY_SPACE"));
	snprintf(file, sizeof(file), "%s/box", path);
	if (mkdir(path, 0700) < 0)
		return -errno;
	TRY(tol_mailbox_create("box", 4, &there));
	TRY(tol_open(&link, "box", &in));
	TRY(tol_open(&other, "box", &in));
	MUST(remove(file) == 0);
	TRY(tol_send(link, "x", 1, TOL_NOWAIT));
	MUST(tol_recv(other, body, 1, TOL_NOWAIT) == 1);
	MUST(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT) == -EIDRM);
	MUST(tol_descriptor(link, TOL_RECV) == -EIDRM);
	MUST(tol_open(&late, "box", &in) == -ENOENT);
	MUST(tol_mailbox_remove("box", &there) == -ENOENT);
	MUST(remove(path) == 0);
	TRY(tol_send(link, body, 8, TOL_NOWAIT));
	MUST(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT) == -ENOENT);
	MUST(tol_recv(other, body, LARGE_BYTES, TOL_NOWAIT) == 8);
	MUST(tol_descriptor(link, TOL_RECV) == -ENOENT);
	tol_close(link);
	tol_close(other);
	free(body);
	return 0;
}

static int hold(const char *name, const char *lease_ms)
{
	const struct tol_take_opts opts = {
		.lease_ns = TOL_MSECS(atoll(lease_ms)),
	};
	struct tol_message message;
	struct tol_link *link;

	TRY(tol_open(&link, name, NULL));
	TRY(tol_take(link, TOL_SECS(30), &opts, &message));
	puts("held");
	fflush(stdout);
	for (;;)
		pause();
}

static const struct thing {
	const char *name;
	int (*body)(void);
} things[] = {
	{ "now", now },		  { "asleep", asleep },	  { "meet", meet },
	{ "held", held },	  { "killed", killed },	  { "large", large },
	{ "unbounded", unbounded }, { "selected", selected }, { "many", many },
	{ "polled", polled },	  { "segment", segment }, { "private", private },
	{ "look", look },	  { "deleted", deleted },
};

static int is_asked_for(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc < 2;
}

/* A process for each, which ends itself should it hang. */
static int run(const struct thing *thing)
{
	int status, result;
	pid_t pid;

	printf("%s ", thing->name);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		alarm(20);
		result = thing->body();
		if (result < 0)
			printf("%s\n", result == FAILED ? "wrong"
							: strerror(-result));
		else
			puts("ok");
		fflush(stdout);
		_exit(result < 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("died of signal %d\n", WTERMSIG(status));
	return status != 0;
}

int main(int argc, char **argv)
{
	int wrong = 0;

	if (argc == 4 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], argv[3]) != 0;
	for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++)
		if (is_asked_for(things[i].name, argc, argv))
			wrong += run(&things[i]);
	return wrong > 0;
}
