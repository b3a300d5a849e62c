/* SPDX-License-Identifier: MIT */
/* Looking at messages that wait. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
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

static void expect(struct tol_link *link, uint64_t index, uint64_t number)
{
	struct tol_message message;
	uint64_t seen = 0;

	ck_assert_int_eq(tol_peek(link, index, &seen, 8, &message), 8);
	ck_assert_uint_eq(seen, number);
	ck_assert_uint_eq(message.tag, number * 10);
	ck_assert_uint_eq(message.size_bytes, 8);
	ck_assert_int_eq(message.sender_pid, getpid());
	ck_assert_ptr_null(message.body);
	ck_assert_uint_eq(message.hold, 0);
}

static void expect_none(struct tol_link *link, uint64_t index)
{
	uint64_t seen;

	ck_assert_int_eq(tol_peek(link, index, &seen, 8, NULL), -EAGAIN);
}

START_TEST(the_queue_in_order_over_many_laps)
{
	struct tol_link *link = make(5);
	uint64_t sent = 0, received = 0;

	expect_none(link, 0);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i <= round % 5 && sent - received < 5; i++)
			put(link, sent++);
		for (uint64_t i = 0; i < sent - received; i++)
			expect(link, i, received + i);
		for (uint64_t i = sent - received; i-- > 0;)
			expect(link, i, received + i);
		expect_none(link, sent - received);
		expect_none(link, UINT64_MAX);
		for (int i = 0; i <= round % 3 && received < sent; i++)
			ck_assert_uint_eq(get(link), received++);
	}
	unmake(link);
}
END_TEST

START_TEST(an_unbounded_one)
{
	struct tol_link *link = make(TOL_CAPACITY_UNBOUNDED);

	for (uint64_t i = 0; i < 5000; i++)
		put(link, i);
	for (uint64_t i = 0; i < 5000; i++)
		expect(link, i, i);
	expect_none(link, 5000);
	for (uint64_t i = 0; i < 3000; i++)
		ck_assert_uint_eq(get(link), i);
	expect(link, 0, 3000);
	expect(link, 1999, 4999);
	expect_none(link, 2000);
	unmake(link);
}
END_TEST

START_TEST(those_that_came_back_come_first)
{
	struct tol_link *link = make(8);
	struct tol_message held[3], message;
	uint64_t seen;

	for (uint64_t i = 0; i < 6; i++)
		put(link, i);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &held[i]), 0);
	expect(link, 0, 3);
	expect_none(link, 3);
	ck_assert_int_eq(tol_return(link, &held[2]), 0);
	ck_assert_int_eq(tol_return(link, &held[0]), 0);
	expect(link, 0, 0);
	expect(link, 1, 2);
	expect(link, 2, 3);
	expect(link, 4, 5);
	expect_none(link, 5);
	ck_assert_int_eq(tol_peek(link, 0, &seen, 8, &message), 8);
	ck_assert_uint_eq(message.position, 0);
	ck_assert_uint_eq(message.tries, 2);
	ck_assert_int_eq(tol_ack(link, &held[1]), 0);
	ck_assert_uint_eq(get(link), 0);
	ck_assert_uint_eq(get(link), 2);
	unmake(link);
}
END_TEST

START_TEST(dead_letters)
{
	struct tol_take_opts once = { .max_tries = 1 };
	struct tol_link *link = make(8), *dead;
	struct tol_message message;

	put(link, 1);
	put(link, 2);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &once, &message), 0);
	ck_assert_int_eq(tol_return(link, &message), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &once, &message), 0);
	dead = open_address("box:dead", 0);
	expect(dead, 0, 1);
	expect_none(dead, 1);
	expect_none(link, 0);
	tol_close(dead);
	unmake(link);
}
END_TEST

static int take_and_die(void *context)
{
	struct tol_link *link = open_address(context, 0);
	struct tol_message message;

	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	raise(SIGKILL);
	return 0;
}

START_TEST(what_a_dead_one_held_is_there)
{
	struct tol_link *link = make(2);

	put(link, 7);
	ck_assert_int_eq(support_wait(support_fork(take_and_die, "box")),
			 -SIGKILL);
	expect(link, 0, 7);
	expect_none(link, 1);
	ck_assert_uint_eq(get(link), 7);
	unmake(link);
}
END_TEST

START_TEST(all_sizes)
{
	static const size_t sizes[] = { 0, 1, 4096, 1 << 20, (1 << 20) + 1 };
	struct tol_link *link = make(8);
	char *body = malloc(1 << 21), *seen = malloc(1 << 21);
	struct tol_message message;

	for (int i = 0; i < 5; i++) {
		memset(body, 'a' + i, sizes[i]);
		ck_assert_int_eq(tol_send(link, body, sizes[i], TOL_NOWAIT), 0);
	}
	for (int i = 0; i < 5; i++) {
		memset(body, 'a' + i, sizes[i]);
		if (sizes[i] > 0) {
			ck_assert_int_eq(tol_peek(link, (uint64_t)i, seen,
						  sizes[i] - 1, &message),
					 -EMSGSIZE);
			ck_assert_uint_eq(message.size_bytes, sizes[i]);
		}
		ck_assert_int_eq(tol_peek(link, (uint64_t)i, seen, 1 << 21,
					  &message),
				 (ssize_t)sizes[i]);
		ck_assert_mem_eq(seen, body, sizes[i]);
	}
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(tol_recv(link, seen, 1 << 21, TOL_NOWAIT),
				 (ssize_t)sizes[i]);
	free(body);
	free(seen);
	unmake(link);
}
END_TEST

START_TEST(whose_time_has_passed_is_not_shown)
{
	struct tol_send_opts opts = { .ttl_ns = 1 };
	struct tol_link *link = make(4);

	put(link, 1);
	ck_assert_int_eq(tol_send_message(link, "x", 1, TOL_NOWAIT, &opts), 0);
	put(link, 2);
	expect(link, 0, 1);
	expect(link, 1, 2);
	expect_none(link, 2);
	unmake(link);
}
END_TEST

START_TEST(errors)
{
	struct tol_link *link = make(4), *sender = open_address("box", TOL_SEND);
	uint64_t seen;

	ck_assert_int_eq(tol_peek(NULL, 0, &seen, 8, NULL), -EINVAL);
	ck_assert_int_eq(tol_peek(link, 0, NULL, 8, NULL), -EINVAL);
	ck_assert_int_eq(tol_peek(sender, 0, &seen, 8, NULL), -EPERM);
	put(link, 3);
	ck_assert_int_eq(tol_peek(link, 0, NULL, 0, NULL), -EMSGSIZE);
	ck_assert_int_eq(tol_shutdown(link), 0);
	expect(link, 0, 3);
	ck_assert_uint_eq(get(link), 3);
	ck_assert_int_eq(tol_recv(link, &seen, 8, TOL_NOWAIT), -ENODATA);
	expect_none(link, 0);
	tol_close(sender);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(tol_peek(link, 0, &seen, 8, NULL), -EIDRM);
	tol_close(link);
}
END_TEST

/* While others send and receive: each message seen is whole. */
#define RACE_MSGS 20000

static int race_send(void *context)
{
	struct tol_link *link = open_address(context, TOL_SEND);
	uint64_t words[40];

	for (uint64_t i = 0; i < RACE_MSGS; i++) {
		for (int k = 0; k < 40; k++)
			words[k] = i;
		if (tol_send(link, words, 8 * (1 + i % 40), TOL_FOREVER) != 0)
			return 1;
	}
	tol_shutdown(link);
	tol_close(link);
	return 0;
}

static int race_receive(void *context)
{
	struct tol_link *link = open_address(context, TOL_RECV);
	uint64_t words[40], next = 0;
	ssize_t n;

	while ((n = tol_recv(link, words, sizeof(words), TOL_FOREVER)) > 0)
		if (words[0] != next++)
			return 1;
	tol_close(link);
	return n == -ENODATA && next == RACE_MSGS ? 0 : 1;
}

START_TEST(whole_while_others_receive)
{
	struct tol_link *link = make(7);
	pid_t sender = support_fork(race_send, "box");
	pid_t receiver = support_fork(race_receive, "box");
	struct tol_mailbox_stat stat;
	struct tol_message message;
	uint64_t words[40];

	do {
		for (uint64_t index = 0; index < 7; index++) {
			ssize_t n = tol_peek(link, index, words, sizeof(words),
					     &message);

			if (n == -EAGAIN)
				continue;
			ck_assert_int_gt(n, 0);
			ck_assert_uint_eq(message.position, words[0]);
			ck_assert_int_eq(n, (ssize_t)(8 * (1 + words[0] % 40)));
			for (ssize_t k = 0; k < n / 8; k++)
				ck_assert_uint_eq(words[k], words[0]);
		}
		ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL,
						  NULL), 0);
	} while (stat.received_msgs < RACE_MSGS);
	ck_assert_int_eq(support_wait(sender), 0);
	ck_assert_int_eq(support_wait(receiver), 0);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("peek");
	TCase *tcase = support_tcase("peek");

	tcase_add_test(tcase, the_queue_in_order_over_many_laps);
	tcase_add_test(tcase, an_unbounded_one);
	tcase_add_test(tcase, those_that_came_back_come_first);
	tcase_add_test(tcase, dead_letters);
	tcase_add_test(tcase, what_a_dead_one_held_is_there);
	tcase_add_test(tcase, all_sizes);
	tcase_add_test(tcase, whose_time_has_passed_is_not_shown);
	tcase_add_test(tcase, errors);
	tcase_add_test(tcase, whole_while_others_receive);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
