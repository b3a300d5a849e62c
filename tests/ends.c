/* SPDX-License-Identifier: MIT */
/* Many in one call, the end of a mailbox, its capacity, throwing away. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *open_flags(unsigned int flags)
{
	struct tol_open_opts opts = { .flags = flags };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", &opts), 0);
	return link;
}

static struct tol_link *make(uint64_t capacity_msgs, uint64_t max_msgs)
{
	struct tol_mailbox_opts opts = { .capacity_max_msgs = max_msgs };

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, &opts), 1);
	return open_flags(0);
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static void put(struct tol_link *link, uint64_t number)
{
	ck_assert_int_eq(tol_send(link, &number, 8, TOL_NOWAIT), 0);
}

static uint64_t get(struct tol_link *link)
{
	uint64_t number = 0;

	ck_assert_int_eq(tol_recv(link, &number, 8, TOL_NOWAIT), 8);
	return number;
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat stat;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	return stat;
}

static uint64_t numbers[64];

static void fill(struct tol_outgoing *items, size_t count, uint64_t first)
{
	for (size_t i = 0; i < count; i++) {
		numbers[i] = first + i;
		items[i] = (struct tol_outgoing){ &numbers[i], 8, NULL };
	}
}

static void make_buffers(struct tol_incoming *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		items[i] = (struct tol_incoming){ .buf = &numbers[i],
						  .size_bytes = 8 };
}

START_TEST(as_many_as_fit)
{
	struct tol_link *link = make(10, 0);
	struct tol_outgoing out[16];
	struct tol_incoming in[16];

	fill(out, 16, 0);
	ck_assert_int_eq(tol_send_many(link, out, 16, 0, TOL_FOREVER), 10);
	ck_assert_int_eq(tol_send_many(link, out, 16, 0, TOL_FOREVER),
			 -EAGAIN);
	ck_assert_int_eq(tol_send_many(link, out, 16, 16, TOL_NOWAIT),
			 -EAGAIN);
	make_buffers(in, 16);
	ck_assert_int_eq(tol_recv_many(link, in, 4, 4, TOL_NOWAIT), 4);
	ck_assert_int_eq(tol_recv_many(link, in + 4, 12, 0, TOL_FOREVER), 6);
	for (size_t i = 0; i < 10; i++) {
		ck_assert_uint_eq(numbers[i], i);
		ck_assert_uint_eq(in[i].message.position, i);
		ck_assert_uint_eq(in[i].message.size_bytes, 8);
	}
	ck_assert_int_eq(tol_recv_many(link, in, 4, 0, TOL_FOREVER), -EAGAIN);
	ck_assert_int_eq(tol_recv_many(link, in, 4, 1, TOL_MSECS(1)),
			 -ETIMEDOUT);
	ck_assert_int_eq(tol_send_many(link, out, 0, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv_many(link, in, 0, 0, TOL_NOWAIT), 0);
	unmake(link);
}
END_TEST

static int receive_all(void *context)
{
	struct tol_link *link = open_flags(TOL_RECV);
	struct tol_incoming in[7];
	uint64_t next = 0;

	(void)context;
	while (next < 700) {
		ssize_t n;

		make_buffers(in, 7);
		n = tol_recv_many(link, in, 7, 7, TOL_FOREVER);
		if (n != 7)
			return 1;
		for (int i = 0; i < 7; i++)
			if (numbers[i] != next++)
				return 2;
	}
	tol_close(link);
	return 0;
}

START_TEST(all_of_them)
{
	struct tol_link *link = make(3, 0);
	pid_t pid = support_fork(receive_all, NULL);
	struct tol_outgoing out[50];

	for (uint64_t i = 0; i < 700; i += 50) {
		fill(out, 50, i);
		ck_assert_int_eq(tol_send_many(link, out, 50, 50, TOL_FOREVER),
				 50);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* What was done before it failed counts. */
START_TEST(a_part_of_them)
{
	struct tol_link *link = make(10, 0);
	struct tol_outgoing out[4];
	struct tol_incoming in[4];
	char small;

	fill(out, 4, 0);
	out[2].body = NULL;
	ck_assert_int_eq(tol_send_many(link, out, 4, 4, TOL_NOWAIT), 2);
	ck_assert_int_eq(tol_send_many(link, out + 2, 2, 2, TOL_NOWAIT),
			 -EINVAL);
	ck_assert_int_eq(tol_send_many(link, out, 4, 5, TOL_NOWAIT), -EINVAL);
	make_buffers(in, 4);
	in[1].buf = &small;
	in[1].size_bytes = 1;
	ck_assert_int_eq(tol_recv_many(link, in, 4, 2, TOL_FOREVER), 1);
	ck_assert_uint_eq(in[1].message.size_bytes, 8);
	ck_assert_int_eq(tol_recv_many(link, in + 1, 3, 1, TOL_FOREVER),
			 -EMSGSIZE);
	ck_assert_uint_eq(get(link), 1);
	unmake(link);
}
END_TEST

START_TEST(end_is_seen_after_the_rest)
{
	struct tol_link *link = make(4, 0), *other = open_flags(TOL_RECV);
	struct tol_message held;
	struct tol_incoming in[4];
	uint64_t number;

	ck_assert_int_eq(tol_shutdown(other), -EPERM);
	put(link, 0);
	put(link, 1);
	put(link, 2);
	ck_assert_int_eq(tol_take(other, TOL_NOWAIT, NULL, &held), 0);
	ck_assert_int_eq(look().is_ended, 0);
	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(look().is_ended, 1);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), -ESHUTDOWN);
	ck_assert_uint_eq(get(other), 1);
	make_buffers(in, 4);
	ck_assert_int_eq(tol_recv_many(other, in, 4, 4, TOL_FOREVER), 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tol_recv(other, &number, 8, TOL_FOREVER),
				 -ENODATA);
		ck_assert_int_eq(tol_recv(link, &number, 8, TOL_NOWAIT),
				 -ENODATA);
	}
	ck_assert_int_eq(tol_return(other, &held), 0);
	ck_assert_uint_eq(get(link), 0);
	ck_assert_int_eq(tol_recv(other, &number, 8, TOL_FOREVER), -ENODATA);
	ck_assert_uint_eq(look().queued_msgs, 0);
	ck_assert_uint_eq(look().sent_msgs, 3);
	tol_close(other);
	other = open_flags(0);
	ck_assert_int_eq(tol_recv(other, &number, 8, TOL_FOREVER), -ENODATA);
	ck_assert_int_eq(tol_send(other, "x", 1, TOL_FOREVER), -ESHUTDOWN);
	tol_close(other);
	unmake(link);
}
END_TEST

static int wait_to_receive(void *context)
{
	struct tol_link *link = open_flags(TOL_RECV);
	char byte;

	(void)context;
	return -(int)tol_recv(link, &byte, 1, TOL_FOREVER);
}

static int wait_to_send(void *context)
{
	struct tol_link *link = open_flags(TOL_SEND);

	(void)context;
	return -tol_send(link, "x", 1, TOL_FOREVER);
}

START_TEST(end_wakes_all)
{
	struct tol_link *link = make(1, 0);
	int (*body)(void *) = _i ? wait_to_send : wait_to_receive;
	pid_t pids[3];

	if (_i)
		put(link, 1);
	for (int i = 0; i < 3; i++) {
		pids[i] = support_fork(body, NULL);
		support_wait_asleep(pids[i]);
	}
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(pids[i]),
				 _i ? ESHUTDOWN : ENODATA);
	unmake(link);
}
END_TEST

/* Who said "end" sends no more, whoever raced with it: none after the end. */
static int send_until_end(void *context)
{
	struct tol_link *link = open_flags(TOL_SEND);
	uint64_t *count = context;
	int err;

	do {
		err = tol_send(link, "x", 1, TOL_FOREVER);
		if (err == 0)
			(*count)++;
	} while (err == 0);
	return err == -ESHUTDOWN ? (int)(*count % 251) : 255;
}

START_TEST(end_loses_none)
{
	struct tol_link *link = make(2, 0);
	uint64_t received = 0, sum = 0, start = 0;
	pid_t pids[3];
	ssize_t n;
	char byte;

	for (int i = 0; i < 3; i++)
		pids[i] = support_fork(send_until_end, &start);
	while (received < 1000 + (uint64_t)_i) {
		ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), 1);
		received++;
	}
	ck_assert_int_eq(tol_shutdown(link), 0);
	while ((n = tol_recv(link, &byte, 1, TOL_FOREVER)) == 1)
		received++;
	ck_assert_int_eq(n, -ENODATA);
	for (int i = 0; i < 3; i++) {
		int status = support_wait(pids[i]);

		ck_assert_int_ne(status, 255);
		sum += (uint64_t)status;
	}
	ck_assert_uint_eq(received % 251, sum % 251);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -ENODATA);
	unmake(link);
}
END_TEST

START_TEST(purge)
{
	struct tol_link *link = make(5, 0), *sender = open_flags(TOL_SEND);
	struct tol_link *dead;
	struct tol_take_opts once = { .max_tries = 1 };
	struct tol_message one, two;
	char *large = calloc(1, 2 << 20);
	char byte;
	pid_t pid;

	ck_assert_int_eq(tol_purge(sender), -EPERM);
	ck_assert_int_eq(tol_purge(link), 0);
	for (uint64_t i = 0; i < 5; i++)
		put(link, i);
	ck_assert_int_eq(tol_take(link, 0, NULL, &one), 0);
	ck_assert_int_eq(tol_take(link, 0, NULL, &two), 0);
	ck_assert_int_eq(tol_return(link, &two), 0);
	ck_assert_int_eq(tol_send(link, large, 2 << 20, 0), 0);
	put(link, 5);
	pid = support_fork(wait_to_send, NULL);
	support_wait_asleep(pid);
	ck_assert_int_eq(tol_purge(link), 6);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_recv(link, &byte, 1, 0), 1);
	ck_assert_int_eq(tol_recv(link, &byte, 1, 0), -EAGAIN);
	/* What is held stays; and then it is a dead letter. */
	ck_assert_int_eq(tol_return(link, &one), 0);
	ck_assert_int_eq(tol_take(link, 0, &once, &one), -EAGAIN);
	ck_assert_uint_eq(look().dead_msgs, 1);
	ck_assert_int_eq(tol_purge(link), 0);
	ck_assert_int_eq(tol_open(&dead, "box:dead", NULL), 0);
	ck_assert_int_eq(tol_purge(dead), 1);
	ck_assert_int_eq(tol_resize(dead, 1), -EPERM);
	tol_close(dead);
	ck_assert_int_eq(tol_space_clean(NULL, 1, NULL, NULL), 0);
	free(large);
	tol_close(sender);
	unmake(link);
}
END_TEST

static const uint64_t capacities_msgs[] = { 4, 0, TOL_CAPACITY_UNBOUNDED };

static int take_and_die(void *context)
{
	struct tol_link *link = open_flags(0);
	struct tol_message message;

	(void)context;
	if (tol_take(link, TOL_FOREVER, NULL, &message) < 0)
		return 1;
	for (;;)
		pause();
}

/* A child that holds the only message. */
static pid_t hold_one(struct tol_link *link)
{
	pid_t pid = support_fork(take_and_die, NULL);

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), 0);
	while (look().held_msgs == 0)
		usleep(100);
	return pid;
}

static void end_child(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
}

/* "No more" is not said while a dead one's message has to come back. */
START_TEST(end_after_a_dead_holder)
{
	struct tol_link *link = make(capacities_msgs[_i], 0);
	pid_t pid = hold_one(link);
	char byte;

	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), -ENODATA);
	end_child(pid);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), 1);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), -ENODATA);
	unmake(link);
}
END_TEST

START_TEST(purge_after_a_dead_holder)
{
	struct tol_link *link = make(capacities_msgs[_i], 0);
	pid_t pid = hold_one(link);
	char byte;

	ck_assert_int_eq(tol_purge(link), 0);
	end_child(pid);
	ck_assert_int_eq(tol_purge(link), 1);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EAGAIN);
	unmake(link);
}
END_TEST

START_TEST(resize)
{
	static const uint64_t steps[] = { 7, 1, 10, 3, 3, 9, 2, 10 };
	struct tol_link *link = make(4, 10), *other = open_flags(0);
	uint64_t sent = 0, received = 0;

	ck_assert_int_eq(tol_resize(link, 11), -ERANGE);
	ck_assert_int_eq(tol_resize(link, 0), -EINVAL);
	ck_assert_uint_eq(look().capacity_msgs, 4);
	ck_assert_uint_eq(look().capacity_max_msgs, 10);
	for (int i = 0; i < 200; i++) {
		uint64_t capacity = steps[i % 8];

		ck_assert_int_eq(tol_resize(i % 2 ? link : other, capacity),
				 0);
		ck_assert_uint_eq(look().capacity_msgs, capacity);
		while (sent - received < capacity)
			put(i % 3 ? link : other, sent++);
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_int_eq(tol_send(other, "x", 1, TOL_NOWAIT),
				 -EAGAIN);
		for (int n = 0; n < 3 && received < sent; n++)
			ck_assert_uint_eq(get(i % 5 ? link : other),
					  received++);
	}
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(resize_wakes_senders)
{
	struct tol_link *link = make(1, 3);
	pid_t pids[2];

	put(link, 1);
	for (int i = 0; i < 2; i++) {
		pids[i] = support_fork(wait_to_send, NULL);
		support_wait_asleep(pids[i]);
	}
	ck_assert_int_eq(tol_resize(link, 3), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_uint_eq(look().queued_msgs, 3);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ends");
	TCase *tests = support_tcase("ends");

	tcase_add_test(tests, as_many_as_fit);
	tcase_add_test(tests, all_of_them);
	tcase_add_test(tests, a_part_of_them);
	tcase_add_test(tests, end_is_seen_after_the_rest);
	tcase_add_loop_test(tests, end_wakes_all, 0, 2);
	tcase_add_loop_test(tests, end_loses_none, 0, 10);
	tcase_add_test(tests, purge);
	tcase_add_loop_test(tests, end_after_a_dead_holder, 0, 3);
	tcase_add_loop_test(tests, purge_after_a_dead_holder, 0, 3);
	tcase_add_test(tests, resize);
	tcase_add_test(tests, resize_wakes_senders);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
