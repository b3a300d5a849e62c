/* SPDX-License-Identifier: MIT */
/*
 * Opening, sending and receiving: what the header says of it, sentence by
 * sentence, written from the header alone. What happens where memory, rights
 * or descriptors are short is in contract_limits.c.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define MIB ((size_t)1 << 20)

static struct tol_link *open_flags(const char *name, unsigned int flags)
{
	struct tol_open_opts opts = { .flags = flags };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, &opts), 0);
	ck_assert_ptr_nonnull(link);
	return link;
}

static struct tol_link *make(uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create("a", capacity_msgs, NULL), 1);
	return open_flags("a", 0);
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat st;

	ck_assert_int_eq(tol_mailbox_stat("a", NULL, &st, NULL, NULL), 0);
	return st;
}

/* ---- open and close ------------------------------------------------------ */

START_TEST(open_refusals)
{
	static const unsigned int bad[] = { 16, 64, 1u << 16, 1u << 31, ~0u };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "a", NULL), -ENOENT);
	ck_assert_int_eq(tol_open(&link, NULL, NULL), -EINVAL);
	ck_assert_int_eq(tol_open(&link, "", NULL), -EINVAL);
	ck_assert_int_eq(tol_mailbox_create("a", 1, NULL), 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tol_open_opts opts = { .flags = bad[i] };

		ck_assert_int_eq(tol_open(&link, "a", &opts), -EINVAL);
	}
	ck_assert_ptr_null(link);
	ck_assert_uint_eq(look().dead_count, 0);
	tol_close(NULL);
	unmake(NULL);
}
END_TEST

START_TEST(directions)
{
	static const unsigned int spins[] = { 0, TOL_SPIN_NEVER,
					      TOL_SPIN_ONLY };
	unsigned int spin = spins[_i];
	struct tol_link *both = make(1), *send, *recv, *named;
	char buf[1];

	send = open_flags("a", TOL_SEND | spin);
	recv = open_flags("a", TOL_RECV | spin);
	named = open_flags("a", TOL_SEND | TOL_RECV | spin);
	ck_assert_uint_eq(look().senders_count, 3);
	ck_assert_uint_eq(look().receivers_count, 3);
	ck_assert_int_eq(tol_recv(send, buf, 1, TOL_NOWAIT), -EPERM);
	ck_assert_int_eq(tol_recv(send, buf, 1, TOL_FOREVER), -EPERM);
	ck_assert_int_eq(tol_send(recv, "x", 1, TOL_FOREVER), -EPERM);
	ck_assert_int_eq(tol_recv(recv, buf, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_recv(recv, buf, 1, TOL_MSECS(2)), -ETIMEDOUT);
	ck_assert_int_eq(tol_send(send, "x", 1, TOL_FOREVER), 0);
	ck_assert_int_eq(tol_send(send, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_send(send, "x", 1, TOL_MSECS(2)), -ETIMEDOUT);
	ck_assert_int_eq(tol_recv(named, buf, 1, TOL_FOREVER), 1);
	ck_assert_int_eq(tol_send(named, "y", 1, TOL_FOREVER), 0);
	ck_assert_int_eq(tol_recv(both, buf, 1, TOL_FOREVER), 1);
	tol_close(send);
	tol_close(recv);
	tol_close(named);
	ck_assert_uint_eq(look().senders_count, 1);
	unmake(both);
}
END_TEST

START_TEST(what_was_sent_stays)
{
	struct tol_link *link = make(2);
	char buf[4];

	ck_assert_int_eq(tol_send(link, "one", 4, TOL_NOWAIT), 0);
	tol_close(link);
	ck_assert_uint_eq(look().senders_count, 0);
	ck_assert_uint_eq(look().dead_count, 0);
	link = open_flags("a", 0);
	ck_assert_int_eq(tol_recv(link, buf, 4, TOL_NOWAIT), 4);
	ck_assert_str_eq(buf, "one");
	unmake(link);
}
END_TEST

static int use_parents_link(void *context)
{
	struct tol_link **links = context, *link = links[0], *own;
	struct tol_message message;
	char buf[8];

	if (tol_send(link, "x", 1, TOL_FOREVER) != -ECHILD ||
	    tol_send(link, "x", 1, TOL_NOWAIT) != -ECHILD ||
	    tol_recv(link, buf, 8, TOL_FOREVER) != -ECHILD ||
	    tol_recv_message(link, buf, 8, TOL_NOWAIT, &message) != -ECHILD)
		return 1;
	if (tol_send(links[1], "x", 1, TOL_NOWAIT) != -ECHILD)
		return 3;
	tol_close(link);
	tol_close(links[1]);
	if (tol_open(&own, "a", NULL) || tol_send(own, "child", 5, TOL_NOWAIT))
		return 2;
	tol_close(own);
	return 0;
}

START_TEST(childs_links_are_dead)
{
	struct tol_link *link = make(4);
	struct tol_link *links[2] = { link, open_flags("a", TOL_RECV) };
	char buf[8];

	ck_assert_int_eq(tol_send(link, "parent", 6, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(support_fork(use_parents_link, links)),
			 0);
	ck_assert_uint_eq(look().senders_count, 1);
	ck_assert_uint_eq(look().receivers_count, 2);
	tol_close(links[1]);
	ck_assert_int_eq(tol_recv(link, buf, 8, TOL_NOWAIT), 6);
	ck_assert_int_eq(tol_recv(link, buf, 8, TOL_NOWAIT), 5);
	unmake(link);
}
END_TEST

/* Opens, says so, and becomes a cat that lives until its input ends. */
static int open_and_exec(void *context)
{
	int *fds = context;

	open_flags("a", 0);
	dup2(fds[0], 0);
	dup2(fds[3], 1);
	close(fds[1]);
	close(fds[2]);
	if (write(1, "x", 1) != 1)
		return 1;
	execlp("cat", "cat", (char *)NULL);
	return 2;
}

START_TEST(exec_ends_a_link)
{
	int fds[4];
	char buf[2];
	pid_t pid;
	struct tol_link *link = make(1);

	ck_assert_int_eq(pipe(fds) | pipe(fds + 2), 0);
	pid = support_fork(open_and_exec, fds);
	close(fds[0]);
	close(fds[3]);
	/* The second byte comes from cat: exec has happened. */
	ck_assert_int_eq(read(fds[2], buf, 1), 1);
	ck_assert_int_eq(write(fds[1], "y", 1), 1);
	ck_assert_int_eq(read(fds[2], buf, 1), 1);
	ck_assert_uint_eq(look().senders_count, 1);
	ck_assert_uint_eq(look().dead_count, 1);
	close(fds[1]);
	ck_assert_int_eq(support_wait(pid), 0);
	close(fds[2]);
	unmake(link);
}
END_TEST

START_TEST(spawned_process_has_nothing)
{
	struct tol_link *link = make(1);
	char script[256], *argv[] = { "sh", "-c", script, NULL };
	extern char **environ;
	pid_t pid;

	snprintf(script, sizeof(script),
		 "! grep -q %s /proc/self/maps && ! ls -l /proc/self/fd | grep "
		 "%s",
		 support_space, support_space);
	ck_assert_int_eq(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ),
			 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

static int count_tasks(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int count = 0;

	while (fgets(line, sizeof(line), file))
		sscanf(line, "Threads: %d", &count);
	fclose(file);
	return count;
}

/* No call starts threads or handles signals, not even one that waits. */
START_TEST(nothing_of_the_process_is_changed)
{
	struct sigaction before[65], after;
	sigset_t mask_before, mask_after;
	struct tol_link *link;
	char buf[1];

	for (int i = 1; i < 65; i++)
		if (sigaction(i, NULL, &before[i]))
			before[i].sa_handler = SIG_DFL;
	sigprocmask(SIG_SETMASK, NULL, &mask_before);
	link = make(1);
	ck_assert_int_eq(tol_recv(link, buf, 1, TOL_MSECS(5)), -ETIMEDOUT);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_MSECS(5)), -ETIMEDOUT);
	ck_assert_int_eq(count_tasks(), 1);
	for (int i = 1; i < 65; i++)
		if (!sigaction(i, NULL, &after))
			ck_assert(before[i].sa_handler == after.sa_handler);
	sigprocmask(SIG_SETMASK, NULL, &mask_after);
	ck_assert_mem_eq(&mask_before, &mask_after, sizeof(mask_before));
	unmake(link);
}
END_TEST

/* ---- arguments ----------------------------------------------------------- */

START_TEST(arguments)
{
	static const int64_t bad_waits[] = { -2, -3, TOL_SECS(-1),
					     INT64_MIN + 1, INT64_MIN };
	struct tol_link *link = make(2);
	struct tol_message message;
	char buf[8];

	ck_assert_int_eq(tol_send(link, NULL, 1, TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_send(link, NULL, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv(link, NULL, 1, TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_recv(link, NULL, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_send(NULL, "x", 1, TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_recv(NULL, buf, 8, TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_recv_message(link, buf, 8, TOL_NOWAIT, NULL),
			 -EINVAL);
	for (size_t i = 0; i < sizeof(bad_waits) / sizeof(bad_waits[0]); i++) {
		int64_t bad = bad_waits[i];

		ck_assert_int_eq(tol_send(link, "x", 1, bad), -EINVAL);
		ck_assert_int_eq(tol_recv(link, buf, 8, bad), -EINVAL);
		ck_assert_int_eq(tol_recv_message(link, buf, 8, bad, &message),
				 -EINVAL);
	}
	ck_assert_uint_eq(look().queued_msgs, 0);
	ck_assert_int_lt(tol_send(link, buf, SIZE_MAX, TOL_NOWAIT), 0);
	ck_assert_int_lt(tol_send(link, buf, SIZE_MAX / 2, TOL_NOWAIT), 0);
	ck_assert_uint_eq(look().queued_msgs, 0);
	unmake(link);
}
END_TEST

START_TEST(timeouts)
{
	struct tol_link *link = make(1);
	char buf[1];

	ck_assert_int_eq(tol_recv(link, buf, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_recv(link, buf, 1, 1), -ETIMEDOUT);
	ck_assert_int_eq(tol_recv(link, buf, 1, TOL_MSECS(1)), -ETIMEDOUT);
	ck_assert_int_eq(tol_send(link, "x", 1, INT64_MAX), 0);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_send(link, "x", 1, 1), -ETIMEDOUT);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_MSECS(1)), -ETIMEDOUT);
	ck_assert_int_eq(tol_recv(link, buf, 1, INT64_MAX), 1);
	ck_assert_int_eq(tol_send(link, "x", 1, 1), 0);
	ck_assert_int_eq(tol_recv(link, buf, 1, 1), 1);
	unmake(link);
}
END_TEST

static int recv_waiting(void *context)
{
	struct tol_link *link = open_flags("a", 0);
	char buf[1];

	return tol_recv(link, buf, 1, *(int64_t *)context) != 1;
}

START_TEST(long_waits_end_with_a_message)
{
	static const int64_t waits[] = { TOL_FOREVER, INT64_MAX, INT64_MAX - 1,
					 TOL_SECS(4000000000) };
	int64_t wait = waits[_i];
	struct tol_link *link = make(1);
	pid_t pid = support_fork(recv_waiting, &wait);

	support_wait_asleep(pid);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

static void on_signal(int number)
{
	(void)number;
}

static int recv_through_signals(void *context)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	return recv_waiting(context);
}

START_TEST(goes_on_after_a_signal)
{
	int64_t wait = _i ? TOL_FOREVER : TOL_SECS(1000);
	struct tol_link *link = make(1);
	pid_t pid = support_fork(recv_through_signals, &wait);

	for (int i = 0; i < 5; i++) {
		support_wait_asleep(pid);
		kill(pid, SIGUSR1);
	}
	support_wait_asleep(pid);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* ---- bodies -------------------------------------------------------------- */

static unsigned char *noise(size_t size_bytes)
{
	unsigned char *bytes = malloc(size_bytes ? size_bytes : 1);
	uint32_t x = (uint32_t)size_bytes | 1;

	for (size_t i = 0; i < size_bytes; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(x >> 24);
	}
	return bytes;
}

static const size_t sizes[] = {
	0,        1,       7,    8,       31,          32,       33,
	34,       63,      64,   65,      95,          96,       97,
	4095,     4096,    4097, 65535,   65536,       65537,    MIB - 33,
	MIB - 32, MIB - 1, MIB,  MIB + 1, 2 * MIB + 3, 64 * MIB,
};

START_TEST(size_of_body)
{
	size_t size = sizes[_i];
	struct tol_link *link = make(2);
	unsigned char *body = noise(size), *copy = noise(size);
	unsigned char *buf = malloc(size + 16);
	struct tol_message message = { 0 };

	ck_assert_int_eq(tol_send(link, body, size, TOL_NOWAIT), 0);
	memset(body, 0, size);
	ck_assert_int_eq(tol_send(link, "after", 5, TOL_NOWAIT), 0);
	ck_assert_uint_eq(look().queued_bytes, size + 5);
	for (size_t small = size > 3 ? size - 3 : 0; small < size; small++) {
		memset(&message, 0, sizeof(message));
		ck_assert_int_eq(tol_recv_message(link, buf, small, TOL_NOWAIT,
						  &message),
				 -EMSGSIZE);
		ck_assert_uint_eq(message.size_bytes, size);
		ck_assert_int_eq(tol_recv(link, buf, small, TOL_FOREVER),
				 -EMSGSIZE);
	}
	if (size > 0)
		ck_assert_int_eq(
			tol_recv_message(link, NULL, 0, TOL_FOREVER, &message),
			-EMSGSIZE);
	ck_assert_uint_eq(look().queued_msgs, 2);
	memset(buf, 0xee, size + 16);
	ck_assert_int_eq(tol_recv_message(link, buf, size + (_i % 2 ? 16 : 0),
					  TOL_NOWAIT, &message),
			 (ssize_t)size);
	ck_assert_uint_eq(message.size_bytes, size);
	ck_assert(memcmp(buf, copy, size) == 0);
	for (int i = 0; i < 16; i++)
		ck_assert_uint_eq(buf[size + (size_t)i], 0xee);
	ck_assert_int_eq(tol_recv(link, buf, size + 16, TOL_NOWAIT), 5);
	ck_assert_mem_eq(buf, "after", 5);
	free(body);
	free(copy);
	free(buf);
	unmake(link);
}
END_TEST

START_TEST(message_tells_where_it_is_from)
{
	struct tol_link *link = make(3);
	struct tol_message message;
	char buf[8];

	for (uint64_t i = 0; i < 10; i++) {
		ck_assert_int_eq(tol_send(link, "abc", i % 4, TOL_NOWAIT), 0);
		memset(&message, 0xff, sizeof(message));
		ck_assert_int_eq(
			tol_recv_message(link, buf, 8, TOL_NOWAIT, &message),
			(ssize_t)(i % 4));
		ck_assert_uint_eq(message.size_bytes, i % 4);
		ck_assert_int_eq(message.sender_pid, getpid());
		ck_assert_uint_eq(message.sender_uid, getuid());
		ck_assert_uint_eq(message.position, i);
	}
	memset(&message, 0x5a, sizeof(message));
	ck_assert_int_eq(tol_recv_message(link, buf, 8, TOL_NOWAIT, &message),
			 -EAGAIN);
	ck_assert_int_eq(tol_recv_message(link, buf, 8, 1, &message),
			 -ETIMEDOUT);
	for (size_t i = 0; i < sizeof(message); i++)
		ck_assert_uint_eq(((unsigned char *)&message)[i], 0x5a);
	unmake(link);
}
END_TEST

/* ---- capacity and order -------------------------------------------------- */

static const uint64_t capacities[] = {
	1, 2, 3, 64, 65, 1000, TOL_CAPACITY_MAX_MSGS
};

START_TEST(holds_exactly_its_capacity)
{
	uint64_t capacity = capacities[_i];
	struct tol_link *link = make(capacity);
	int laps = capacity > 1000 ? 1 : 3;

	for (int lap = 0; lap < laps; lap++) {
		uint64_t got = 0;

		for (uint64_t i = 0; i < capacity; i++)
			if (tol_send(link, &i, 8, TOL_NOWAIT) != 0)
				ck_abort_msg("%llu", (unsigned long long)i);
		ck_assert_int_eq(tol_send(link, "", 0, TOL_NOWAIT), -EAGAIN);
		ck_assert_uint_eq(look().queued_msgs, capacity);
		for (uint64_t i = 0; i < capacity; i++)
			if (tol_recv(link, &got, 8, TOL_NOWAIT) != 8 ||
			    got != i)
				ck_abort_msg("%llu", (unsigned long long)i);
		ck_assert_int_eq(tol_recv(link, &got, 8, TOL_NOWAIT), -EAGAIN);
	}
	unmake(link);
}
END_TEST

#define ORDER_COUNT 3000

static int send_numbers(void *context)
{
	uint64_t base = *(uint64_t *)context;
	struct tol_link *link = open_flags("a", TOL_SEND);

	for (uint64_t i = 0; i < ORDER_COUNT; i++) {
		uint64_t number = base | i;

		if (tol_send(link, &number, 8, TOL_FOREVER))
			return 1;
	}
	return 0;
}

START_TEST(order_of_each_sender_is_kept)
{
	struct tol_link *link = make(capacities[_i]);
	uint64_t bases[2] = { 0, (uint64_t)1 << 32 }, next[2] = { 0, 0 }, got;
	pid_t pids[2];

	for (int i = 0; i < 2; i++)
		pids[i] = support_fork(send_numbers, &bases[i]);
	for (int i = 0; i < 2 * ORDER_COUNT; i++) {
		ck_assert_int_eq(tol_recv(link, &got, 8, TOL_FOREVER), 8);
		ck_assert_uint_eq((uint32_t)got, next[got >> 32]++);
	}
	ck_assert_int_eq(support_wait(pids[0]) | support_wait(pids[1]), 0);
	unmake(link);
}
END_TEST

/* Two who send in turns, passed on by pipe: what returned first comes first. */
static int send_in_turn(void *context)
{
	int *fds = context;
	struct tol_link *link = open_flags("a", TOL_SEND);
	uint32_t number;

	for (int i = 0; i < 200; i++) {
		if (read(fds[0], &number, 4) != 4 ||
		    tol_send(link, &number, 4, TOL_NOWAIT))
			return 1;
		number++;
		if (write(fds[3], &number, 4) != 4)
			return 2;
	}
	return 0;
}

START_TEST(sends_that_returned_come_first)
{
	struct tol_link *link = make(400), *other = open_flags("a", 0);
	uint32_t number = 0;
	int fds[4];
	pid_t pid;

	ck_assert_int_eq(pipe(fds) | pipe(fds + 2), 0);
	pid = support_fork(send_in_turn, fds);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(
			tol_send(i % 3 ? link : other, &number, 4, TOL_NOWAIT),
			0);
		number++;
		ck_assert_int_eq(write(fds[1], &number, 4), 4);
		ck_assert_int_eq(read(fds[2], &number, 4), 4);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	for (uint32_t i = 0; i < 400; i++) {
		ck_assert_int_eq(
			tol_recv(i % 2 ? link : other, &number, 4, TOL_NOWAIT),
			4);
		ck_assert_uint_eq(number, i);
	}
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	tol_close(other);
	unmake(link);
}
END_TEST

/* ---- many at once -------------------------------------------------------- */

#define EACH_COUNT 2000

/* Shared by all processes of a test. */
struct tally {
	atomic_uint next_number, seen[32 * EACH_COUNT + 64];
	unsigned int total;
};

static struct tally *make_tally(unsigned int total)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(tally, MAP_FAILED);
	tally->total = total;
	return tally;
}

static int send_share(struct tol_link *link, struct tally *tally)
{
	unsigned int number;

	while ((number = atomic_fetch_add(&tally->next_number, 1)) <
	       tally->total)
		if (tol_send(link, &number, 4, TOL_FOREVER))
			return 1;
	return 0;
}

/* Until it gets an empty message. */
static int recv_share(struct tol_link *link, struct tally *tally)
{
	unsigned int number;
	ssize_t n;

	while ((n = tol_recv(link, &number, 4, TOL_FOREVER)) == 4) {
		if (number >= tally->total)
			return 2;
		atomic_fetch_add(&tally->seen[number], 1);
	}
	return n != 0;
}

static int send_share_process(void *tally)
{
	return send_share(open_flags("a", TOL_SEND), tally);
}

static int recv_share_process(void *tally)
{
	return recv_share(open_flags("a", TOL_RECV), tally);
}

static void check_tally(struct tally *tally)
{
	for (unsigned int i = 0; i < tally->total; i++)
		ck_assert_msg(tally->seen[i] == 1, "message %u: %u times", i,
			      tally->seen[i]);
	munmap(tally, sizeof(*tally));
}

struct crowd {
	int senders, receivers;
	uint64_t capacity;
};

static const struct crowd crowds[] = {
	{ 1, 1, 1 },  { 4, 4, 1 },   { 4, 4, 3 },    { 1, 4, 64 },
	{ 4, 1, 64 }, { 32, 32, 1 }, { 32, 32, 64 },
};

START_TEST(each_message_to_one_of_many_processes)
{
	struct crowd crowd = crowds[_i];
	struct tol_link *link = make(crowd.capacity);
	struct tally *tally = make_tally(4 * EACH_COUNT);
	pid_t senders[32], receivers[32];

	for (int i = 0; i < crowd.receivers; i++)
		receivers[i] = support_fork(recv_share_process, tally);
	for (int i = 0; i < crowd.senders; i++)
		senders[i] = support_fork(send_share_process, tally);
	for (int i = 0; i < crowd.senders; i++)
		ck_assert_int_eq(support_wait(senders[i]), 0);
	for (int i = 0; i < crowd.receivers; i++)
		ck_assert_int_eq(tol_send(link, "", 0, TOL_FOREVER), 0);
	for (int i = 0; i < crowd.receivers; i++)
		ck_assert_int_eq(support_wait(receivers[i]), 0);
	ck_assert_uint_eq(look().queued_msgs, 0);
	check_tally(tally);
	unmake(link);
}
END_TEST

struct share {
	struct tol_link *link;
	struct tally *tally;
};

static void *send_share_thread(void *share)
{
	struct share *s = share;

	return send_share(s->link, s->tally) ? share : NULL;
}

static void *recv_share_thread(void *share)
{
	struct share *s = share;

	return recv_share(s->link, s->tally) ? share : NULL;
}

START_TEST(many_threads_on_one_link)
{
	struct share share = { make(_i ? 1 : 16), make_tally(4 * EACH_COUNT) };
	pthread_t threads[8];
	void *bad;

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						i < 4 ? recv_share_thread
						      : send_share_thread,
						&share),
				 0);
	for (int i = 4; i < 8; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(tol_send(share.link, "", 0, TOL_FOREVER), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	check_tally(share.tally);
	unmake(share.link);
}
END_TEST

/* Order: what the sender wrote elsewhere before it sent is seen. */
static int write_and_send(void *context)
{
	unsigned int *shared = context;
	struct tol_link *link = open_flags("a", TOL_SEND);

	for (unsigned int i = 0; i < EACH_COUNT; i++) {
		shared[i] = i + 1;
		if (tol_send(link, &i, 4, TOL_FOREVER))
			return 1;
	}
	return 0;
}

START_TEST(receiver_sees_what_was_written_before)
{
	struct tol_link *link = make(7);
	unsigned int *shared = mmap(NULL, EACH_COUNT * 4,
				    PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = support_fork(write_and_send, shared);

	for (unsigned int i = 0; i < EACH_COUNT; i++) {
		unsigned int number;

		ck_assert_int_eq(tol_recv(link, &number, 4, TOL_FOREVER), 4);
		ck_assert_uint_eq(shared[number], number + 1);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	munmap(shared, EACH_COUNT * 4);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_link");
	TCase *tc = support_tcase("contract_link");

	tcase_add_test(tc, open_refusals);
	tcase_add_loop_test(tc, directions, 0, 3);
	tcase_add_test(tc, what_was_sent_stays);
	tcase_add_test(tc, childs_links_are_dead);
	tcase_add_test(tc, exec_ends_a_link);
	tcase_add_test(tc, spawned_process_has_nothing);
	tcase_add_test(tc, nothing_of_the_process_is_changed);
	tcase_add_test(tc, arguments);
	tcase_add_test(tc, timeouts);
	tcase_add_loop_test(tc, long_waits_end_with_a_message, 0, 4);
	tcase_add_loop_test(tc, goes_on_after_a_signal, 0, 2);
	tcase_add_loop_test(tc, size_of_body, 0,
			    sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tc, message_tells_where_it_is_from);
	tcase_add_loop_test(tc, holds_exactly_its_capacity, 0,
			    sizeof(capacities) / sizeof(capacities[0]));
	tcase_add_loop_test(tc, order_of_each_sender_is_kept, 0, 5);
	tcase_add_test(tc, sends_that_returned_come_first);
	tcase_add_loop_test(tc, each_message_to_one_of_many_processes, 0,
			    sizeof(crowds) / sizeof(crowds[0]));
	tcase_add_loop_test(tc, many_threads_on_one_link, 0, 2);
	tcase_add_test(tc, receiver_sees_what_was_written_before);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
