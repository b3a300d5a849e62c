/* SPDX-License-Identifier: MIT */
/*
 * Unbounded mailboxes, and limits of memory: nothing is lost or out of order however
 * long the backlog is, an error where memory ends, and all of it is given back
 * once the messages are received.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backlog.h"
#include "core/inside.h"
#include "core/link.h"
#include "support.h"
#include "surroundings.h"

/* ---- a long backlog ------------------------------------------------------- */

#ifdef SANITIZED
#define MANY UINT64_C(300000)
#else
#define MANY UINT64_C(10000000)
#endif
#define STOP_NUMBER UINT64_MAX
#define BACKLOG_BYTES (MANY * 220)

static bool has_memory(void)
{
	struct statvfs fs;
	char line[128];
	unsigned long long available_kb = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &available_kb) == 1)
			break;
	if (file)
		fclose(file);
	return statvfs("/dev/shm", &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize > BACKLOG_BYTES &&
	       available_kb * 1024 > BACKLOG_BYTES + (UINT64_C(1) << 30);
}

/* Until it gets the message to stop; what it gets is in order. */
static int read_on(void *start_fd)
{
	struct tol_link *link;
	uint64_t number = 0, last = 0;
	char byte;

	if (tol_open(&link, "box", NULL) < 0 ||
	    read(*(int *)start_fd, &byte, 1) != 1)
		return 1;
	while (number != STOP_NUMBER) {
		int err = get(link, &number, large, sizeof(large));

		if (err == -EAGAIN)
			continue;
		if (err || number < last)
			return 2;
		last = number;
	}
	tol_close(link);
	return 0;
}

/*
 * All but the last go to one receiver, then to two others, who read on while the
 * memory comes back. The sender has its link and does nothing.
 */
START_TEST(ten_million)
{
	struct tol_link *sender, *receiver;
	struct tol_mailbox_stat st;
	int start[2];
	pid_t pids[2];
	uint64_t before_bytes;
	int64_t end_s;

	if (!has_memory())
		support_cannot("needs 3.2 GB of memory");
	make(NULL);
	sender = open_link();
	receiver = open_link();
	ck_assert_int_eq(pipe(start), 0);
	for (int i = 0; i < 2; i++)
		pids[i] = support_fork(read_on, &start[0]);
	while (look().receivers_count < 4)
		sched_yield();
	before_bytes = look().memory_bytes;
	send_range(sender, 0, MANY, 100);
	st = look();
	ck_assert_uint_eq(st.queued_msgs, MANY);
	ck_assert_uint_eq(st.queued_bytes, MANY * 100);
	recv_range(receiver, 0, MANY - 1000);
	ck_assert_int_eq(write(start[1], "go", 2), 2);
	for (end_s = now_s() + PATIENCE_S; now_s() < end_s;) {
		st = look();
		if (st.queued_msgs == 0 && is_back(before_bytes))
			break;
	}
	ck_assert_uint_eq(st.queued_msgs, 0);
	ck_assert_uint_le(look().memory_bytes, back_bytes(before_bytes));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(put(sender, STOP_NUMBER, 8, large), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	close(start[0]);
	close(start[1]);
	tol_close(sender);
	tol_close(receiver);
	unmake();
}
END_TEST

/* Large and small, several times; the sender idle, gone before, or one. */
START_TEST(memory_comes_back)
{
	static const struct {
		size_t size_bytes;
		uint64_t count;
	} shapes[] = {
		{ 8, 100000 },	 { 100, 50000 },   { 5000, 5000 },
		{ 16384, 2000 }, { 16400, 1000 },  { 70000, 500 },
		{ MIB, 40 },	 { MIB + 1, 20 },  { 3 * MIB, 10 },
	};
	struct tol_link *receiver, *sender;
	uint64_t before_bytes, count = shapes[_i].count;

	make(NULL);
	receiver = open_link();
	before_bytes = look().memory_bytes;
	for (int lap = 0; lap < 3; lap++) {
		sender = open_link();
		send_range(sender, 0, count, shapes[_i].size_bytes);
		ck_assert_uint_eq(look().queued_msgs, count);
		ck_assert_uint_eq(look().queued_bytes,
				  count * shapes[_i].size_bytes);
		if (lap == 1)
			tol_close(sender);
		recv_range(receiver, 0, count);
		check_empty(receiver);
		await_back(receiver, before_bytes);
		if (lap != 1)
			tol_close(sender);
	}
	tol_close(receiver);
	ck_assert_uint_le(look().memory_bytes, back_bytes(before_bytes));
	unmake();
}
END_TEST

/* A backlog that never ends takes no more memory than it has messages. */
START_TEST(steady_backlog)
{
	struct tol_link *link;
	uint64_t sent = 0, received = 0, most_bytes = 0;

	make(NULL);
	link = open_link();
	for (int lap = 0; lap < 400; lap++) {
		send_range(link, sent, sent + 2000, 100);
		sent += 2000;
		if (lap < 4)
			continue;
		recv_range(link, received, received + 2000);
		received += 2000;
		if (lap % 10 == 0 && look().memory_bytes > most_bytes)
			most_bytes = look().memory_bytes;
	}
	/* 10000 messages of 192 bytes, chunks, and 1 MiB of passed slots. */
	ck_assert_uint_le(most_bytes, 6 * MIB);
	tol_close(link);
	unmake();
}
END_TEST

/* So little address space that the ring is short: around it several times. */
START_TEST(around_the_ring)
{
	struct rlimit before, now;
	struct tol_link *link;
	uint64_t sent = 0, received = 0, slots;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	int err;

	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	now = before;
	now.rlim_cur = pages * 4096 + 200 * MIB;
	if (setrlimit(RLIMIT_AS, &now) != 0)
		abort();
	err = tol_mailbox_create("box", TOL_CAPACITY_UNBOUNDED, NULL);
	if (setrlimit(RLIMIT_AS, &before) != 0)
		abort();
	ck_assert_int_eq(err, 1);
	link = open_link();
	slots = link->geometry.ring_slots;
	ck_assert_uint_le(slots, 1 << 22);
	for (; sent < slots * 5 / 2; sent += 5000) {
		send_range(link, sent, sent + 5000, 8);
		if (sent < 20000)
			continue;
		recv_range(link, received, received + 5000);
		received += 5000;
	}
	recv_range(link, received, sent);
	check_empty(link);
	ck_assert_uint_gt(link->head->punched_done, slots * 2);
	tol_close(link);
	unmake();
}
END_TEST

/* ---- where memory ends ---------------------------------------------------- */

static uint64_t send_until_full(struct tol_link *link, size_t size_bytes)
{
	uint64_t count = 0;
	int err;

	while ((err = put(link, count, size_bytes, large)) == 0)
		count++;
	ck_assert_int_eq(err, -ENOSPC);
	return count;
}

/* Looks on, with the file's holes and all, until its parent has done. */
static int look_on(void *unused)
{
	struct tol_link *link;

	(void)unused;
	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (;;) {
		ssize_t n = tol_recv(link, large, sizeof(large), TOL_NOWAIT);

		/* The one of 3 bytes is the end. */
		if (n == 3)
			break;
		if (n != -EAGAIN)
			return 2;
	}
	tol_close(link);
	return 0;
}

START_TEST(full_tmpfs)
{
	static const size_t sizes[] = { 8,   100,     4000,   70000,
					MIB, MIB + 1, 3 * MIB };
	size_t size = sizes[_i];
	struct tol_link *sender, *receiver;
	uint64_t count, first = 0, before_bytes;
	pid_t pid;

	surroundings_mount(8 << 20);
	make(NULL);
	sender = open_link();
	receiver = open_link();
	before_bytes = look().memory_bytes;
	for (int lap = 0; lap < 4; lap++) {
		count = send_until_full(sender, size);
		ck_assert_uint_ge(count, 1);
		if (lap == 0)
			first = count;
		/* One chunk more or less, by where they lie. */
		ck_assert_uint_ge(count + 2 + 65536 / size, first);
		ck_assert_uint_eq(look().queued_msgs, count);
		/* Nobody waits: -ENOSPC also for ever, from anybody. */
		ck_assert_int_eq(tol_send(sender, large, sizeof(large),
					  TOL_FOREVER), -ENOSPC);
		ck_assert_int_eq(tol_send(receiver, large, sizeof(large),
					  TOL_FOREVER), -ENOSPC);
		recv_range(receiver, 0, count);
		check_empty(receiver);
		await_back(receiver, before_bytes);
	}
	pid = support_fork(look_on, NULL);
	while (look().receivers_count < 3)
		sched_yield();
	ck_assert_int_eq(tol_send(sender, "end", 3, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	tol_close(sender);
	tol_close(receiver);
	unmake();
	surroundings_unmount();
}
END_TEST

/* With somebody stopped inside nothing is lost either, and it comes back after. */
START_TEST(full_tmpfs_stopped)
{
	struct tol_link *sender, *receiver, *stopped;
	uint64_t before_bytes;

	surroundings_mount(8 << 20);
	make(NULL);
	sender = open_link();
	receiver = open_link();
	stopped = open_link();
	before_bytes = look().memory_bytes;
	inside_enter(stopped);
	for (int lap = 0; lap < 6; lap++) {
		recv_range(receiver, 0, send_until_full(sender, 4000));
		check_empty(receiver);
	}
	inside_leave(stopped);
	recv_range(receiver, 0, send_until_full(sender, 4000));
	await_back(receiver, before_bytes);
	tol_close(stopped);
	tol_close(sender);
	tol_close(receiver);
	unmake();
	surroundings_unmount();
}
END_TEST

/* What was received is used again, also while it cannot be given back. */
START_TEST(limit_stopped)
{
	struct tol_mailbox_opts opts = { .memory_limit_bytes = 4 * MIB };
	struct tol_link *sender, *receiver, *stopped;
	uint64_t count, first = 0, before_bytes;

	make(&opts);
	sender = open_link();
	receiver = open_link();
	stopped = open_link();
	before_bytes = look().memory_bytes;
	inside_enter(stopped);
	for (int lap = 0; lap < 6; lap++) {
		count = send_until_full(sender, 1000);
		if (lap == 0)
			first = count;
		ck_assert_uint_ge(count, first);
		recv_range(receiver, 0, count);
		check_empty(receiver);
	}
	inside_leave(stopped);
	await_back(receiver, before_bytes);
	tol_close(stopped);
	tol_close(sender);
	tol_close(receiver);
	unmake();
}
END_TEST

START_TEST(memory_limit)
{
	static const size_t sizes[] = { 8, 1000, 20000, 300000, 3 * MIB };
	struct tol_mailbox_opts opts = { .memory_limit_bytes = 8 * MIB };
	uint64_t capacity_msgs = _i % 2 ? 100000 : TOL_CAPACITY_UNBOUNDED;
	size_t size = sizes[_i / 2];
	struct tol_link *one, *two;
	uint64_t count, again, empty_bytes;
	struct tol_mailbox_stat st;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, &opts), 1);
	one = open_link();
	two = open_link();
	st = look();
	ck_assert_uint_eq(st.memory_limit_bytes, 8 * MIB);
	ck_assert_uint_eq(st.sender_quota_bytes, 0);
	ck_assert_uint_eq(st.capacity_msgs, capacity_msgs);
	empty_bytes = st.memory_bytes;
	for (int lap = 0; lap < 3; lap++) {
		uint64_t ring_bytes;

		if (size == 8 && capacity_msgs == 100000)
			count = 100000;	/* full before it */
		else
			count = 8 * MIB / (size + 65536 + 64);
		if (size == 8 && capacity_msgs == 100000) {
			send_range(one, 0, count, size);
			ck_assert_int_eq(put(one, 0, size, large), -EAGAIN);
		} else {
			again = send_until_full(one, size);
			ck_assert_uint_ge(again, count / 2);
			count = again;
			if (size <= 300000)
				ck_assert_int_eq(put(two, 0, 300000, large),
						 -ENOSPC);
		}
		ring_bytes = count * 8 + 65536;
		/* A body in a file takes its size and its name, in a chunk. */
		ck_assert_uint_le(look().memory_bytes, empty_bytes + 8 * MIB +
						       ring_bytes);
		recv_range(two, 0, count);
		check_empty(two);
		/* What the first keeps the second gets. */
		ck_assert_int_eq(put(two, 0, size, large), 0);
		recv_range(one, 0, 1);
	}
	tol_close(one);
	tol_close(two);
	unmake();
}
END_TEST

START_TEST(sender_quota)
{
	static const size_t sizes[] = { 100, 20000, 300000, MIB + 1 };
	struct tol_mailbox_opts opts = { .sender_quota_bytes = 4 * MIB };
	size_t size = sizes[_i];
	struct tol_link *one, *two;
	uint64_t count_one, count_two;

	make(&opts);
	one = open_link();
	two = open_link();
	for (int lap = 0; lap < 3; lap++) {
		count_one = send_until_full(one, size);
		ck_assert_uint_ge(count_one, 1);
		ck_assert_uint_le(count_one, 4 * MIB / size);
		count_two = send_until_full(two, size);
		ck_assert_uint_ge(count_two, 1);
		ck_assert_uint_le(look().memory_bytes, 9 * MIB);
		recv_range(two, 0, count_one);
		/* All of the first are gone, none of the second. */
		ck_assert_int_eq(put(two, count_two, size, large), -ENOSPC);
		ck_assert_int_eq(put(one, count_two, size, large), 0);
		recv_range(one, 0, count_two + 1);
		check_empty(one);
	}
	tol_close(one);
	tol_close(two);
	unmake();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unbounded");
	TCase *tc = support_tcase("unbounded");

	tcase_add_test(tc, ten_million);
	tcase_add_loop_test(tc, memory_comes_back, 0, 9);
	tcase_add_test(tc, steady_backlog);
	tcase_add_test(tc, around_the_ring);
	if (surroundings_can_mount()) {
		tcase_add_loop_test(tc, full_tmpfs, 0, 7);
		tcase_add_test(tc, full_tmpfs_stopped);
	} else {
		support_skip("full_tmpfs", "needs the right to mount");
		support_skip("full_tmpfs_stopped", "needs the right to mount");
	}
	tcase_add_test(tc, limit_stopped);
	tcase_add_loop_test(tc, memory_limit, 0, 10);
	tcase_add_loop_test(tc, sender_quota, 0, 4);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
