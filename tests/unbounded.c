/* SPDX-License-Identifier: MIT */
/*
 * Unbounded mailboxes, and limits of memory: nothing is lost or out of order however
 * long the backlog is, an error where memory ends, and all of it is given back
 * once the messages are received, whoever is idle, stopped or dead meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/collect.h"
#include "core/inside.h"
#include "core/link.h"
#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define MIB ((size_t)1 << 20)
#define PATIENCE_S 60

static unsigned char large[3 * MIB + 8];

static struct tol_link *open_link(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static void make(const struct tol_mailbox_opts *opts)
{
	ck_assert_int_eq(tol_mailbox_create("box", TOL_CAPACITY_UNBOUNDED,
					    opts), 1);
}

static void unmake(void)
{
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat st;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &st, NULL, NULL), 0);
	ck_assert_int_eq((int)st.state, TOL_MAILBOX_LIVE);
	return st;
}

static bool is_back(uint64_t before_bytes)
{
	return look().memory_bytes <= before_bytes + before_bytes / 20;
}

/* Without libcheck, for children: number, and a byte that follows from it. */
static int put(struct tol_link *link, uint64_t number, size_t size_bytes,
	       unsigned char *body)
{
	memset(body, (int)(number * 7 & 0xff), size_bytes);
	memcpy(body, &number, sizeof(number));
	return tol_send(link, body, size_bytes, TOL_NOWAIT);
}

/* Return: 0; -EAGAIN and others of tol_recv(); -EIO it is torn */
static int get(struct tol_link *link, uint64_t *ret_number, unsigned char *body,
	       size_t room_bytes)
{
	ssize_t n = tol_recv(link, body, room_bytes, TOL_NOWAIT);

	if (n < 0)
		return (int)n;
	if (n < 8)
		return -EIO;
	memcpy(ret_number, body, sizeof(*ret_number));
	for (ssize_t i = 8; i < n; i++)
		if (body[i] != (unsigned char)(*ret_number * 7))
			return -EIO;
	return 0;
}

static void send_range(struct tol_link *link, uint64_t first, uint64_t end,
		       size_t size_bytes)
{
	for (uint64_t i = first; i < end; i++) {
		int err = put(link, i, size_bytes, large);

		if (err)
			ck_abort_msg("message %llu: %d", (unsigned long long)i,
				     err);
	}
}

static void recv_range(struct tol_link *link, uint64_t first, uint64_t end)
{
	uint64_t number = 0;

	for (uint64_t i = first; i < end; i++) {
		int err = get(link, &number, large, sizeof(large));

		if (err || number != i)
			ck_abort_msg("message %llu: %d, %llu",
				     (unsigned long long)i, err,
				     (unsigned long long)number);
	}
}

static void check_empty(struct tol_link *link)
{
	ck_assert_int_eq(tol_recv(link, large, sizeof(large), TOL_NOWAIT),
			 -EAGAIN);
}

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Looks until a receiver that goes on has given all back. */
static void await_back(struct tol_link *link, uint64_t before_bytes)
{
	int64_t end_s = now_s() + PATIENCE_S;

	while (!is_back(before_bytes) && now_s() < end_s)
		check_empty(link);
	ck_assert_uint_le(look().memory_bytes,
			  before_bytes + before_bytes / 20);
}

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
	ck_assert_uint_le(look().memory_bytes,
			  before_bytes + before_bytes / 20);
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
		ck_assert_uint_le(look().memory_bytes,
				  before_bytes + before_bytes / 20);
		if (lap != 1)
			tol_close(sender);
	}
	tol_close(receiver);
	ck_assert_uint_le(look().memory_bytes,
			  before_bytes + before_bytes / 20);
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
		ck_assert_uint_le(look().memory_bytes,
				  before_bytes + before_bytes / 20);
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

/* ---- those who die or stop ------------------------------------------------ */

static int send_on(void *context)
{
	struct tol_link *link;

	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (uint64_t i = 0;; i++) {
		uint64_t number = *(uint64_t *)context << 32 | i;
		size_t size = i % 50 == 0 ? 70000 : 8 + i % 300;

		if (put(link, number, size, large) != 0)
			return 2;
		/* Not without end if nobody kills it. */
		if (i == 200000)
			return 3;
	}
}

static int recv_on(void *unused)
{
	struct tol_link *link;
	uint64_t number;

	(void)unused;
	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (;;) {
		int err = get(link, &number, large, sizeof(large));

		if (err && err != -EAGAIN)
			return 2;
	}
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
}

/* Senders are killed in the middle of it: all they sent is there, in order. */
START_TEST(killed_senders)
{
	struct tol_link *link;
	uint64_t number = 0, before_bytes;

	make(NULL);
	link = open_link();
	before_bytes = look().memory_bytes;
	for (uint64_t round = 0; round < 20; round++) {
		uint64_t last[3] = { 0 }, sent;
		pid_t pids[2];
		int err;

		for (uint64_t i = 0; i < 2; i++) {
			number = i + 1;
			pids[i] = support_fork(send_on, &number);
		}
		sent = look().sent_msgs + 3000 + round * 100;
		while (look().sent_msgs < sent)
			if (get(link, &number, large, sizeof(large)) == 0)
				last[number >> 32] = number;
		for (int i = 0; i < 2; i++)
			kill_one(pids[i]);
		while ((err = get(link, &number, large, sizeof(large))) == 0) {
			uint64_t who = number >> 32;

			ck_assert(who == 1 || who == 2);
			ck_assert(last[who] == 0 || number == last[who] + 1);
			last[who] = number;
		}
		ck_assert_int_eq(err, -EAGAIN);
	}
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	await_back(link, before_bytes);
	ck_assert_uint_eq(look().dead_count, 0);
	tol_close(link);
	unmake();
}
END_TEST

/* Receivers, who also collect: each that is killed takes one with it, at most. */
START_TEST(killed_receivers)
{
	struct tol_link *link, *sender;
	uint64_t before_bytes, sent = 0;

	make(NULL);
	link = open_link();
	sender = open_link();
	before_bytes = look().memory_bytes;
	for (int round = 0; round < 20; round++) {
		pid_t pids[2] = { support_fork(recv_on, NULL),
				  support_fork(recv_on, NULL) };
		uint64_t number = 0, last = 0;
		int err;

		send_range(sender, sent, sent + 10000, 150);
		sent += 10000;
		while (look().received_msgs + 5000 - (uint64_t)round * 100 <
		       sent)
			sched_yield();
		kill_one(pids[0]);
		send_range(sender, sent, sent + 3000, 150);
		sent += 3000;
		kill_one(pids[1]);
		while ((err = get(link, &number, large, sizeof(large))) == 0) {
			ck_assert(last == 0 || number == last + 1);
			last = number;
		}
		ck_assert_int_eq(err, -EAGAIN);
		ck_assert_uint_eq(look().received_msgs, sent);
	}
	await_back(link, before_bytes);
	tol_close(link);
	tol_close(sender);
	unmake();
}
END_TEST

/* Who is stopped inside a call keeps memory from going, and nothing else. */
START_TEST(stopped_inside)
{
	struct tol_link *link, *stopped;
	uint64_t before_bytes, sent = 0;

	make(NULL);
	link = open_link();
	stopped = open_link();
	before_bytes = look().memory_bytes;
	inside_enter(stopped);
	for (int lap = 0; lap < 5; lap++) {
		send_range(link, sent, sent + 20000, 100);
		recv_range(link, sent, sent + 20000);
		sent += 20000;
		check_empty(link);
		ck_assert(!is_back(before_bytes));
		/* Used again: bodies take no more than in the first lap. */
		ck_assert_uint_le(look().memory_bytes,
				  before_bytes + 20000 * 192 + 8 * sent +
					  40 * 65536);
	}
	inside_leave(stopped);
	await_back(link, before_bytes);
	tol_close(stopped);
	tol_close(link);
	unmake();
}
END_TEST

/* Leaves the collector's word, and itself inside. */
static int die_collecting(void *unused)
{
	struct tol_link *link;

	(void)unused;
	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	inside_enter(link);
	store_release_64(&link->head->collector,
			 (UINT64_C(7) << 32) | (link->number + 1));
	return 0;
}

START_TEST(dead_collector)
{
	struct tol_link *link;
	uint64_t before_bytes;

	make(NULL);
	link = open_link();
	before_bytes = look().memory_bytes;
	ck_assert_int_eq(support_wait(support_fork(die_collecting, NULL)), 0);
	send_range(link, 0, 20000, 100);
	recv_range(link, 0, 20000);
	await_back(link, before_bytes);
	tol_close(link);
	unmake();
}
END_TEST

/* ---- loans and holds ------------------------------------------------------ */

/* A loan stays where it is while all around it is given back. */
START_TEST(loan_stays)
{
	static const size_t sizes[] = { 100, 200000, 2 * MIB };
	struct tol_link *link, *other;
	struct tol_loan loan;
	uint64_t number = 0, before_bytes;

	make(NULL);
	link = open_link();
	other = open_link();
	before_bytes = look().memory_bytes;
	ck_assert_int_eq(tol_loan(link, sizes[_i], &loan), 0);
	memset(loan.body, 0, sizes[_i] / 2);
	for (int lap = 0; lap < 3; lap++) {
		send_range(link, 0, 10000, 100);
		recv_range(other, 0, 10000);
		check_empty(other);
	}
	memset((char *)loan.body + sizes[_i] / 2, 0, sizes[_i] - sizes[_i] / 2);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), 0);
	ck_assert_int_eq(get(other, &number, large, sizeof(large)), 0);
	ck_assert_uint_eq(number, 0);
	send_range(link, 0, 10000, 100);
	recv_range(other, 0, 10000);
	await_back(other, before_bytes);
	/* One that is dropped, and one that ends with the link. */
	ck_assert_int_eq(tol_loan(link, sizes[_i], &loan), 0);
	tol_loan_drop(link, &loan);
	ck_assert_int_eq(tol_loan(link, 100, &loan), 0);
	tol_close(link);
	await_back(other, before_bytes);
	tol_close(other);
	unmake();
}
END_TEST

/* So does a message that is held. */
START_TEST(held_stays)
{
	struct tol_link *link, *other;
	struct tol_message message;
	uint64_t before_bytes, number = 0;

	make(NULL);
	link = open_link();
	other = open_link();
	ck_assert_int_eq(put(link, 1, 5000, large), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	check_empty(link);
	before_bytes = look().memory_bytes;
	send_range(link, 0, 10000, 1000);
	recv_range(other, 0, 5000);
	ck_assert_int_eq(tol_take(other, TOL_NOWAIT, NULL, &message), 0);
	recv_range(link, 5001, 10000);
	check_empty(link);
	send_range(link, 0, 10000, 1000);
	recv_range(link, 0, 10000);
	check_empty(link);
	memcpy(&number, message.body, sizeof(number));
	ck_assert_uint_eq(number, 5000);
	for (size_t i = 8; i < 1000; i++)
		ck_assert_uint_eq(((const unsigned char *)message.body)[i],
				  (5000 * 7) & 0xff);
	ck_assert_int_eq(tol_return(other, &message), 0);
	recv_range(link, 5000, 5001);
	await_back(link, before_bytes);
	tol_close(link);
	tol_close(other);
	unmake();
}
END_TEST

/* ---- the rest ------------------------------------------------------------- */

/* Also where the next slot has no memory yet. */
START_TEST(ends)
{
	static const uint64_t counts[] = { 0, 5, 2047, 2048, 2049, 4096 };
	struct tol_link *link, *late;

	make(NULL);
	link = open_link();
	send_range(link, 0, counts[_i], 100);
	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(put(link, 0, 8, large), -ESHUTDOWN);
	late = open_link();
	recv_range(late, 0, counts[_i]);
	ck_assert_int_eq(tol_recv(link, large, 8, TOL_FOREVER), -ENODATA);
	ck_assert_int_eq(tol_recv(late, large, 8, TOL_FOREVER), -ENODATA);
	ck_assert_int_eq(put(late, 0, 8, large), -ESHUTDOWN);
	ck_assert_uint_eq(look().queued_msgs, 0);
	ck_assert_uint_eq(look().sent_msgs, counts[_i]);
	tol_close(late);
	tol_close(link);
	unmake();
}
END_TEST

START_TEST(purge_and_resize)
{
	struct tol_link *link;
	uint64_t before_bytes;

	make(NULL);
	link = open_link();
	before_bytes = look().memory_bytes;
	ck_assert_int_eq(tol_resize(link, 5), -ENOTSUP);
	ck_assert_int_eq(tol_resize(link, TOL_CAPACITY_UNBOUNDED), 0);
	send_range(link, 0, 30000, 100);
	ck_assert_int_eq(tol_purge(link), 30000);
	await_back(link, before_bytes);
	send_range(link, 0, 10, 100);
	recv_range(link, 0, 10);
	tol_close(link);
	unmake();
}
END_TEST

static void *send_in_thread(void *link)
{
	static _Thread_local unsigned char body[200];

	for (uint64_t i = 0; i < 20000; i++)
		if (put(link, i, 100, body) != 0)
			return link;
	return NULL;
}

static uint64_t received_count;

static void *recv_in_thread(void *link)
{
	static _Thread_local unsigned char body[200];
	uint64_t number = 0;

	while (load_acquire_64(&received_count) < 4 * 20000) {
		int err = get(link, &number, body, sizeof(body));

		if (err == 0)
			fetch_add_64(&received_count, 1);
		else if (err != -EAGAIN)
			return link;
	}
	return NULL;
}

START_TEST(threads)
{
	struct tol_link *link;
	pthread_t ids[7];
	uint64_t before_bytes;
	void *failed;

	make(NULL);
	link = open_link();
	before_bytes = look().memory_bytes;
	for (int i = 0; i < 7; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL,
						i < 4 ? send_in_thread
						      : recv_in_thread,
						link), 0);
	for (int i = 0; i < 7; i++) {
		pthread_join(ids[i], &failed);
		ck_assert_ptr_null(failed);
	}
	send_range(link, 0, 20000, 100);
	recv_range(link, 0, 20000);
	await_back(link, before_bytes);
	tol_close(link);
	unmake();
}
END_TEST

static bool is_fine(long error)
{
	return error >= 0 || error == -EAGAIN || error == -EBADMSG ||
	       error == -ENOSPC || error == -EMSGSIZE || error == -EPROTO ||
	       error == -ENODATA || error == -ESHUTDOWN || error == -EUSERS;
}

/* Words of the ring's marks, of slots, of chunks: an error, never a crash. */
static int use_hostile(void *context)
{
	unsigned int seed = *(unsigned int *)context;
	struct tol_mailbox_stat st;
	struct tol_link *link, *other;
	uint64_t *words[6];
	uint64_t value;
	long error;

	srandom(seed);
	if (tol_open(&link, "box", NULL) < 0 ||
	    tol_open(&other, "box", NULL) < 0)
		return 1;
	for (uint64_t i = 0; i < 3000; i++)
		put(link, i, 100, large);
	for (uint64_t i = 0; i < 500; i++)
		get(other, &value, large, sizeof(large));
	words[0] = (uint64_t *)(void *)link->head + 24 + random() % 6;
	words[1] = link->ring + random() % 2048;
	words[2] = link->heap_chunks + random() % 12;
	words[3] = (uint64_t *)(void *)link->heap_pages + random() % 4;
	words[4] = (uint64_t *)(void *)link->own + 16 + random() % 8;
	words[5] = link->ring + 500 + random() % 3;
	value = (uint64_t)random() << 33 ^ (uint64_t)random() << 2 ^
		(uint64_t)random();
	switch (random() % 4) {
	case 0:
		value = *words[seed % 6] + 1 + (uint64_t)(random() % 3);
		break;
	case 1:
		value = *words[seed % 6] ^ UINT64_C(1) << random() % 64;
		break;
	case 2:
		value = random() % 2 ? 0 : UINT64_MAX;
		break;
	}
	store_release_64(words[seed % 6], value);
	for (uint64_t i = 0; i < 3000; i++) {
		error = put(link, i, 100, large);
		if (!is_fine(error))
			return 2;
		error = tol_recv(other, large, sizeof(large), TOL_NOWAIT);
		if (!is_fine(error))
			return 3;
	}
	while ((error = tol_recv(other, large, sizeof(large), TOL_NOWAIT)) >= 0)
		;
	if (!is_fine(error))
		return 4;
	error = tol_mailbox_stat("box", NULL, &st, NULL, NULL);
	if (!is_fine(error))
		return 5;
	tol_close(link);
	tol_close(other);
	return 0;
}

START_TEST(hostile_words)
{
	unsigned int seed = support_seed();

	for (unsigned int i = 0; i < 120; i++, seed++) {
		int status;

		make(NULL);
		status = support_wait(support_fork(use_hostile, &seed));
		if (status != 0)
			ck_abort_msg("seed %u: %d", seed, status);
		unmake();
	}
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

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
	tcase_add_test(tc, killed_senders);
	tcase_add_test(tc, killed_receivers);
	tcase_add_test(tc, stopped_inside);
	tcase_add_test(tc, dead_collector);
	tcase_add_loop_test(tc, loan_stays, 0, 3);
	tcase_add_test(tc, held_stays);
	tcase_add_loop_test(tc, ends, 0, 6);
	tcase_add_test(tc, purge_and_resize);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, hostile_words);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
