/* SPDX-License-Identifier: MIT */
#include "alive.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/presence.h"
#include "base/sys.h"
#include "support.h"
#include "tolsey.h"

#define OBJECT_NAME "object"
#define OBJECT_BYTES 4096
#define NUMBERS_COUNT 16
#define LOOKS_MAX 1000000

struct level {
	void (*make)(void);
	int (*join)(void);
	int (*leave)(void);
	int (*count)(void);
	void (*unmake)(void);
};

static const struct level *level;
static void *mapping;
static struct tol_link *link_here;
static struct tol_segment *segment_here;

int alive_open_file(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/" OBJECT_NAME, support_space);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* ---- the locks, as the library takes them ---------------------------------- */

static void base_make(void)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/" OBJECT_NAME, support_space);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, OBJECT_BYTES), 0);
	close(fd);
}

static int base_join(void)
{
	int fd = alive_open_file();
	int err = -EAGAIN;

	if (fd < 0)
		return -errno;
	for (uint64_t i = 0; i < NUMBERS_COUNT && err == -EAGAIN; i++)
		err = presence_take(fd, i, false);
	if (err == 0)
		err = sys_map(fd, 0, OBJECT_BYTES, true, NULL, &mapping);
	if (err == 0)
		err = sys_keep_from_child(mapping, OBJECT_BYTES);
	close(fd);
	return err;
}

static int base_leave(void)
{
	return sys_unmap(mapping, OBJECT_BYTES);
}

static int base_count(void)
{
	uint32_t count = 0, shared_count = 0;
	int fd = alive_open_file();
	int err = fd < 0 ? -errno
			 : presence_count(fd, &count, &shared_count);

	close(fd);
	return err < 0 ? err : (int)count;
}

static void base_unmake(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/" OBJECT_NAME, support_space);
	unlink(path);
}

/* ---- receivers of a mailbox ------------------------------------------------ */

static void mailbox_make(void)
{
	ck_assert_int_eq(tol_mailbox_create(OBJECT_NAME, 4, NULL), 1);
}

static int mailbox_join(void)
{
	struct tol_open_opts opts = { .flags = TOL_RECV };

	return tol_open(&link_here, OBJECT_NAME, &opts);
}

static int mailbox_leave(void)
{
	tol_close(link_here);
	return 0;
}

static int mailbox_count(void)
{
	struct tol_mailbox_stat stat;
	int err = tol_mailbox_stat(OBJECT_NAME, NULL, &stat, NULL, NULL);

	return err < 0 ? err : (int)stat.receivers_count;
}

static void mailbox_unmake(void)
{
	ck_assert_int_eq(tol_mailbox_remove(OBJECT_NAME, NULL), 0);
}

/* ---- attachments of a segment ---------------------------------------------- */

static void segment_make(void)
{
	struct tol_segment *segment;

	ck_assert_int_eq(tol_segment_create(&segment, OBJECT_NAME, OBJECT_BYTES,
					    NULL), 0);
	tol_segment_close(segment);
}

static int segment_join(void)
{
	struct tol_attach_opts opts = { .flags = TOL_ATTACH_NOFORK };
	void *address;
	int err = tol_segment_open(&segment_here, OBJECT_NAME, NULL);

	if (err == 0)
		err = tol_segment_attach(segment_here, &opts, &address);
	return err;
}

static int segment_leave(void)
{
	tol_segment_close(segment_here);
	return 0;
}

static int segment_count(void)
{
	struct tol_segment_stat stat = { 0 };
	struct tol_segment *segment;
	int err = tol_segment_open(&segment, OBJECT_NAME, NULL);

	if (err < 0)
		return err;
	err = tol_segment_stat(segment, &stat);
	tol_segment_close(segment);
	return err < 0 ? err : (int)stat.attach_count;
}

static void segment_unmake(void)
{
	ck_assert_int_eq(tol_segment_remove(OBJECT_NAME, NULL), 0);
}

/* ---- what tests use -------------------------------------------------------- */

static const struct level levels[ALIVE_LEVELS_COUNT] = {
	{ base_make, base_join, base_leave, base_count, base_unmake },
	{ mailbox_make, mailbox_join, mailbox_leave, mailbox_count,
	  mailbox_unmake },
	{ segment_make, segment_join, segment_leave, segment_count,
	  segment_unmake },
};

void alive_begin(int index)
{
	level = &levels[index];
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	level->make();
	ck_assert_int_eq(level->count(), 0);
}

void alive_end(void)
{
	ck_assert_int_eq(level->count(), 0);
	level->unmake();
}

int alive_join(void)
{
	return level->join();
}

int alive_leave(void)
{
	return level->leave();
}

int alive_count(void)
{
	return level->count();
}

void alive_let_all(void)
{
	int fd = alive_open_file();

	ck_assert_int_eq(fchmod(fd, 0666), 0);
	close(fd);
	ck_assert_int_eq(chmod(support_space, 0755), 0);
}

bool alive_await(int count)
{
	for (int i = 0; i < LOOKS_MAX; i++) {
		if (level->count() == count)
			return true;
		sched_yield();
	}
	return false;
}

struct victim alive_start(void (*body)(int ready_fd))
{
	struct victim victim;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	victim.pid = fork();
	ck_assert_int_ge(victim.pid, 0);
	if (victim.pid == 0) {
		close(fds[0]);
		must(level->join() == 0);
		body(fds[1]);
		for (;;)
			pause();
	}
	close(fds[1]);
	victim.pipe_fd = fds[0];
	return victim;
}

void alive_say(int ready_fd, int value)
{
	must(write(ready_fd, &value, sizeof(value)) == sizeof(value));
}

int alive_hear(int pipe_fd)
{
	int value;

	ck_assert_int_eq(read(pipe_fd, &value, sizeof(value)), sizeof(value));
	return value;
}

void alive_finish(struct victim victim)
{
	kill(victim.pid, SIGKILL);
	waitpid(victim.pid, NULL, 0);
	close(victim.pipe_fd);
}

_Noreturn void alive_die(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	fflush(stderr);
	_exit(1);
}
