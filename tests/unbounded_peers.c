/* SPDX-License-Identifier: MIT */
/*
 * Unbounded mailboxes whose participants die, stop, hold, lend, end it or write
 * nonsense.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "backlog.h"
#include "core/inside.h"
#include "core/link.h"
#include "support.h"

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

int main(void)
{
	Suite *suite = suite_create("unbounded_peers");
	TCase *tc = support_tcase("unbounded_peers");

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
