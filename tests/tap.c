/* SPDX-License-Identifier: MIT */
/* Watching messages go by. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *open_address(const char *address, unsigned int flags)
{
	struct tol_open_opts opts = { .flags = flags };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, address, &opts), 0);
	return link;
}

static struct tol_link *make(uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	return open_address("box", 0);
}

/* How many files a tap has left, or has. */
static int count_files(void)
{
	DIR *dir = opendir(support_space);
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += strncmp(entry->d_name, ".tap.", 5) == 0;
	closedir(dir);
	return count;
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(count_files(), 0);
}

static void put(struct tol_link *link, uint64_t number)
{
	struct tol_send_opts opts = { .tag = number * 10 };

	ck_assert_int_eq(tol_send_message(link, &number, 8, TOL_NOWAIT, &opts),
			 0);
}

static uint64_t get(struct tol_link *link)
{
	uint64_t number = 0;

	ck_assert_int_eq(tol_recv(link, &number, 8, TOL_NOWAIT), 8);
	return number;
}

static void expect(struct tol_link *tap, uint64_t number, uint64_t position)
{
	struct tol_message message;
	uint64_t seen = 0;

	ck_assert_int_eq(tol_recv_message(tap, &seen, 8, TOL_NOWAIT, &message),
			 8);
	ck_assert_uint_eq(seen, number);
	ck_assert_uint_eq(message.tag, number * 10);
	ck_assert_uint_eq(message.position, position);
	ck_assert_uint_eq(message.sent_bytes, 8);
	ck_assert_int_eq(message.sender_pid, getpid());
	ck_assert_uint_eq(message.sender_uid, getuid());
}

static void expect_none(struct tol_link *tap)
{
	uint64_t seen;

	ck_assert_int_eq(tol_recv(tap, &seen, 8, TOL_NOWAIT), -EAGAIN);
}

START_TEST(copies_of_what_is_sent)
{
	struct tol_link *link = make(4), *tap;
	struct tol_mailbox_stat stat;

	put(link, 1);
	tap = open_address("box:tap", 0);
	expect_none(tap);
	put(link, 2);
	ck_assert_uint_eq(get(link), 1);
	put(link, 3);
	expect(tap, 2, 1);
	ck_assert_uint_eq(get(link), 2);
	ck_assert_uint_eq(get(link), 3);
	expect(tap, 3, 2);
	expect_none(tap);
	ck_assert_int_eq(tol_tap_missed(tap), 0);
	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	/* It is nobody that could receive. */
	ck_assert_uint_eq(stat.receivers_count, 1);
	ck_assert_uint_eq(stat.received_msgs, 3);
	tol_close(tap);
	put(link, 4);
	ck_assert_uint_eq(get(link), 4);
	unmake(link);
}
END_TEST

START_TEST(an_unbounded_one_and_each_way_to_send)
{
	struct tol_outgoing many[2] = { { .body = "b", .size_bytes = 1 },
					{ .body = "cc", .size_bytes = 2 } };
	struct tol_link *link = make(TOL_CAPACITY_UNBOUNDED);
	struct tol_link *tap = open_address("box:tap", TOL_RECV);
	struct tol_loan loan;
	char buf[8];

	ck_assert_int_eq(tol_send(link, NULL, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_send_many(link, many, 2, 2, TOL_NOWAIT), 2);
	ck_assert_int_eq(tol_loan(link, 3, &loan), 0);
	memcpy(loan.body, "ddd", 3);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		static const char *const wanted[] = { "", "b", "cc", "ddd" };

		ck_assert_int_eq(tol_recv(tap, buf, 8, TOL_NOWAIT), (ssize_t)i);
		ck_assert_mem_eq(buf, wanted[i], i);
	}
	tol_close(tap);
	unmake(link);
}
END_TEST

static int receive_one(void *context)
{
	struct tol_link *link = open_address(context, TOL_RECV);
	char buf[8];

	return tol_recv(link, buf, 8, TOL_FOREVER) == 3 ? 0 : 1;
}

START_TEST(capacity_zero)
{
	struct tol_link *link = make(0), *tap = open_address("box:tap", 0);
	struct tol_message message;
	char buf[8];
	pid_t pid;

	ck_assert_int_eq(tol_send(link, "one", 3, TOL_NOWAIT), -EAGAIN);
	expect_none(tap);
	pid = support_fork(receive_one, "box");
	ck_assert_int_eq(tol_send(link, "one", 3, TOL_FOREVER), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_recv_message(tap, buf, 8, TOL_NOWAIT, &message), 3);
	ck_assert_mem_eq(buf, "one", 3);
	expect_none(tap);
	ck_assert_int_eq(tol_tap_missed(tap), 0);
	ck_assert_int_eq(tol_peek(link, 0, buf, 8, NULL), -EAGAIN);
	tol_close(tap);
	unmake(link);
}
END_TEST

START_TEST(the_beginning_of_large_ones)
{
	static const size_t bytes[] = { TOL_TAP_BODY_MAX_BYTES - 1,
					TOL_TAP_BODY_MAX_BYTES,
					TOL_TAP_BODY_MAX_BYTES + 1, 3 << 20 };
	struct tol_link *link = make(4), *tap = open_address("box:tap", 0);
	char *body = malloc(3 << 20), seen[TOL_TAP_BODY_MAX_BYTES];
	struct tol_message message;
	struct tol_loan loan;

	for (size_t i = 0; i < 8; i++) {
		size_t size = bytes[i / 2];
		size_t shown = size < sizeof(seen) ? size : sizeof(seen);

		memset(body, 'a' + (int)i, size);
		if (i % 2) {
			ck_assert_int_eq(tol_loan(link, size, &loan), 0);
			memcpy(loan.body, body, size);
			ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT,
						  NULL), 0);
		} else {
			ck_assert_int_eq(tol_send(link, body, size,
						  TOL_NOWAIT), 0);
		}
		ck_assert_int_eq(tol_recv(link, body, 3 << 20, TOL_NOWAIT),
				 (ssize_t)size);
		ck_assert_int_eq(tol_recv_message(tap, seen, shown - 1,
						  TOL_NOWAIT, &message),
				 -EMSGSIZE);
		ck_assert_uint_eq(message.size_bytes, shown);
		ck_assert_int_eq(tol_recv_message(tap, seen, sizeof(seen),
						  TOL_NOWAIT, &message),
				 (ssize_t)shown);
		ck_assert_uint_eq(message.sent_bytes, size);
		ck_assert_mem_eq(seen, body, shown);
	}
	free(body);
	tol_close(tap);
	unmake(link);
}
END_TEST

START_TEST(four_at_once)
{
	struct tol_link *link = make(4), *taps[5];

	for (int i = 0; i < 4; i++)
		taps[i] = open_address("box:tap", 0);
	ck_assert_int_eq(tol_open(&taps[4], "box:tap", NULL), -EUSERS);
	put(link, 5);
	for (int i = 0; i < 4; i++)
		expect(taps[i], 5, 0);
	tol_close(taps[2]);
	taps[2] = open_address("box:tap", 0);
	put(link, 6);
	for (int i = 0; i < 4; i++)
		expect(taps[i], 6, 1);
	for (int i = 0; i < 4; i++)
		tol_close(taps[i]);
	unmake(link);
}
END_TEST

START_TEST(what_a_slow_one_misses)
{
	struct tol_link *link = make(1), *tap = open_address("box:tap", 0);
	uint64_t count = TOL_TAP_CAPACITY_MSGS + 1000;

	for (uint64_t i = 0; i < count; i++) {
		put(link, i);
		ck_assert_uint_eq(get(link), i);
	}
	ck_assert_int_eq(tol_tap_missed(tap), 1000);
	for (uint64_t i = 0; i < TOL_TAP_CAPACITY_MSGS; i++)
		expect(tap, i, i);
	expect_none(tap);
	put(link, count);
	expect(tap, count, count);
	ck_assert_int_eq(tol_tap_missed(tap), 1000);
	tol_close(tap);
	unmake(link);
}
END_TEST

START_TEST(errors)
{
	struct tol_open_opts sender = { .flags = TOL_SEND };
	struct tol_link *link = make(4), *tap, *other;
	struct tol_message message;
	uint64_t seen;

	ck_assert_int_eq(tol_open(&other, "box:tap", &sender), -EINVAL);
	ck_assert_int_eq(tol_open(&other, "none:tap", NULL), -ENOENT);
	ck_assert_int_eq(tol_open(&other, ":tap", NULL), -EINVAL);
	ck_assert_int_eq(tol_tap_missed(link), -EINVAL);
	ck_assert_int_eq(tol_tap_missed(NULL), -EINVAL);
	tap = open_address("box:tap", 0);
	ck_assert_int_eq(tol_send(tap, "x", 1, TOL_NOWAIT), -EPERM);
	ck_assert_int_eq(tol_take(tap, TOL_NOWAIT, NULL, &message), -EPERM);
	ck_assert_int_eq(tol_resize(tap, 1), -EPERM);
	put(link, 1);
	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(tol_peek(tap, 0, &seen, 8, NULL), 8);
	expect(tap, 1, 0);
	ck_assert_int_eq(tol_recv(tap, &seen, 8, TOL_FOREVER), -ENODATA);
	tol_close(tap);
	tap = open_address("box:tap", 0);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(tol_recv(tap, &seen, 8, TOL_FOREVER), -EIDRM);
	ck_assert_int_eq(tol_tap_missed(tap), -EIDRM);
	tol_close(tap);
	tol_close(link);
	ck_assert_int_eq(count_files(), 0);
}
END_TEST

/* A tap in a child, which tells by a pipe that it is there. */
static int told[2];

static int tap_and_wait(void *context)
{
	struct tol_link *tap = open_address(context, 0);

	if (!tap || write(told[1], "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static pid_t start_tap(void)
{
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(told), 0);
	pid = support_fork(tap_and_wait, "box:tap");
	ck_assert_int_eq(read(told[0], &byte, 1), 1);
	close(told[0]);
	close(told[1]);
	return pid;
}

START_TEST(a_dead_one_is_found_out_by_senders)
{
	struct tol_link *link = make(1);
	pid_t pid = start_tap();
	uint64_t i;

	put(link, 0);
	ck_assert_uint_eq(get(link), 0);
	ck_assert_int_eq(count_files(), 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	/* Not at once, but by the time that it is full. */
	for (i = 1; i < 100000000 && count_files() > 0; i++) {
		for (int k = 0; k < 100; k++) {
			put(link, i);
			ck_assert_uint_eq(get(link), i);
		}
	}
	ck_assert_int_eq(count_files(), 0);
	unmake(link);
}
END_TEST

START_TEST(a_dead_one_is_cleaned_up_after)
{
	struct tol_link *link = make(4), *taps[4];
	pid_t pid = start_tap();

	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(count_files(), 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_int_gt(tol_space_clean(NULL, 1, NULL, NULL), 0);
	ck_assert_int_eq(count_files(), 1);
	ck_assert_int_gt(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(count_files(), 0);
	/* Its place is free. */
	for (int i = 0; i < 4; i++)
		taps[i] = open_address("box:tap", 0);
	put(link, 9);
	for (int i = 0; i < 4; i++) {
		expect(taps[i], 9, 0);
		tol_close(taps[i]);
	}
	unmake(link);
}
END_TEST

START_TEST(a_stopped_one_holds_up_nobody)
{
	struct tol_link *link = make(1);
	pid_t pid = start_tap();

	kill(pid, SIGSTOP);
	for (uint64_t i = 0; i < 3 * TOL_TAP_CAPACITY_MSGS; i++) {
		put(link, i);
		ck_assert_uint_eq(get(link), i);
	}
	ck_assert_int_eq(count_files(), 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_int_gt(tol_space_clean(NULL, 0, NULL, NULL), 0);
	unmake(link);
}
END_TEST

/* Several senders, a receiver that sleeps, and taps that come and go. */
#define BUSY_MSGS 5000
#define BUSY_SENDERS 3

static int busy_send(void *context)
{
	struct tol_link *link = open_address(context, TOL_SEND);

	for (uint64_t i = 0; i < BUSY_MSGS; i++)
		if (tol_send(link, &i, 8, TOL_FOREVER) != 0)
			return 1;
	tol_close(link);
	return 0;
}

static int busy_receive(void *context)
{
	struct tol_link *link = open_address(context, TOL_RECV);
	uint64_t number;

	for (int i = 0; i < BUSY_MSGS * BUSY_SENDERS; i++)
		if (tol_recv(link, &number, 8, TOL_FOREVER) != 8)
			return 1;
	tol_close(link);
	return 0;
}

START_TEST(senders_in_their_order)
{
	struct tol_link *link = make(3), *tap = open_address("box:tap", 0);
	uint64_t next[BUSY_SENDERS] = { 0 }, shown = 0, number;
	pid_t senders[BUSY_SENDERS], receiver;
	struct tol_message message;

	receiver = support_fork(busy_receive, "box");
	for (int i = 0; i < BUSY_SENDERS; i++)
		senders[i] = support_fork(busy_send, "box");
	for (;;) {
		ssize_t n = tol_recv_message(tap, &number, 8, TOL_MSECS(20),
					     &message);
		int who = 0;

		if (n == -ETIMEDOUT && shown + (uint64_t)tol_tap_missed(tap) ==
				       BUSY_MSGS * BUSY_SENDERS)
			break;
		if (n == -ETIMEDOUT)
			continue;
		ck_assert_int_eq(n, 8);
		while (senders[who] != message.sender_pid)
			ck_assert_int_lt(++who, BUSY_SENDERS);
		ck_assert_uint_ge(number, next[who]);
		next[who] = number + 1;
		shown++;
	}
	ck_assert_int_eq(support_wait(receiver), 0);
	for (int i = 0; i < BUSY_SENDERS; i++)
		ck_assert_int_eq(support_wait(senders[i]), 0);
	ck_assert_uint_gt(shown, 0);
	tol_close(tap);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tap");
	TCase *tcase = support_tcase("tap");

	tcase_add_test(tcase, copies_of_what_is_sent);
	tcase_add_test(tcase, an_unbounded_one_and_each_way_to_send);
	tcase_add_test(tcase, capacity_zero);
	tcase_add_test(tcase, the_beginning_of_large_ones);
	tcase_add_test(tcase, four_at_once);
	tcase_add_test(tcase, what_a_slow_one_misses);
	tcase_add_test(tcase, errors);
	tcase_add_test(tcase, a_dead_one_is_found_out_by_senders);
	tcase_add_test(tcase, a_dead_one_is_cleaned_up_after);
	tcase_add_test(tcase, a_stopped_one_holds_up_nobody);
	tcase_add_test(tcase, senders_in_their_order);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
