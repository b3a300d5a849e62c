/* SPDX-License-Identifier: MIT */
/*
 * Threads that share one link: every message once, whole, in the order of its
 * sender. Built with SAN=thread it also says whether private memory is guarded.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tolsey.h"

#define SENDERS 3
#define RECEIVERS 3
#define MESSAGES 3000	/* of each sender */
#define BODY_MAX_BYTES 3000

struct message {
	uint32_t sender, number, size_bytes, sum;
};

struct received {
	struct tol_link *link;
	bool is_in_place;
	uint32_t *seen;		/* [SENDERS * MESSAGES] how often; atomic */
	bool is_whole, is_ordered;
};

struct sending {
	struct tol_link *link;
	bool is_in_place;
	uint32_t number;
};

static uint32_t sum_of(const unsigned char *bytes, size_t size_bytes)
{
	uint32_t sum = 1;

	for (size_t i = 0; i < size_bytes; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

/* Copied, or written in place. */
static int send_one(const struct sending *sending, const void *body,
		    size_t size_bytes)
{
	struct tol_loan loan;
	int err;

	if (!sending->is_in_place)
		return tol_send(sending->link, body, size_bytes, TOL_FOREVER);
	err = tol_loan(sending->link, size_bytes, &loan);
	if (err < 0)
		return err;
	memcpy(loan.body, body, size_bytes);
	return tol_post(sending->link, &loan, TOL_FOREVER, NULL);
}

static void *send_all(void *argument)
{
	struct sending *sending = argument;
	unsigned char body[BODY_MAX_BYTES];
	struct message message = { .sender = sending->number };
	unsigned int seed = sending->number;

	for (uint32_t i = 0; i < MESSAGES; i++) {
		message.number = i;
		message.size_bytes = (uint32_t)rand_r(&seed) %
			(uint32_t)(BODY_MAX_BYTES - sizeof(message));
		memset(body, (int)(i ^ sending->number), sizeof(body));
		message.sum = sum_of(body + sizeof(message),
				     message.size_bytes);
		memcpy(body, &message, sizeof(message));
		if (send_one(sending, body,
			     sizeof(message) + message.size_bytes) < 0)
			abort();
	}
	return NULL;
}

/* In place; each fifth message goes back once, and then comes to somebody. */
static ssize_t take_one(struct tol_link *link, void *body)
{
	struct tol_message message;

	for (;;) {
		if (tol_take(link, TOL_FOREVER, NULL, &message) < 0)
			return -1;
		if (message.position % 5 == 0 && message.tries == 1) {
			if (tol_return(link, &message) < 0)
				return -1;
			continue;
		}
		memcpy(body, message.body, message.size_bytes);
		if (tol_ack(link, &message) < 0)
			return -1;
		return (ssize_t)message.size_bytes;
	}
}

/* A sender number of none ends a receiver. */
static void *recv_all(void *argument)
{
	struct received *received = argument;
	uint32_t next[SENDERS] = { 0 };
	unsigned char body[BODY_MAX_BYTES];
	struct message message;

	received->is_whole = received->is_ordered = true;
	for (;;) {
		ssize_t n = received->is_in_place
				    ? take_one(received->link, body)
				    : tol_recv(received->link, body,
					       sizeof(body), TOL_FOREVER);

		if (n < (ssize_t)sizeof(message))
			abort();
		memcpy(&message, body, sizeof(message));
		if (message.sender >= SENDERS)
			return NULL;
		if ((size_t)n != sizeof(message) + message.size_bytes ||
		    message.number >= MESSAGES ||
		    message.sum != sum_of(body + sizeof(message),
					  message.size_bytes)) {
			received->is_whole = false;
			continue;
		}
		if (message.number < next[message.sender] &&
		    !received->is_in_place)
			received->is_ordered = false;
		next[message.sender] = message.number + 1;
		__atomic_fetch_add(&received->seen[message.sender * MESSAGES +
						   message.number], 1,
				   __ATOMIC_RELAXED);
	}
}

static void run(uint64_t capacity, unsigned int flags, bool is_in_place)
{
	uint32_t *seen = calloc(SENDERS * MESSAGES, sizeof(*seen));
	const struct message end = { .sender = SENDERS };
	struct tol_open_opts opts = { .flags = flags };
	pthread_t senders[SENDERS], receivers[RECEIVERS];
	struct received received[RECEIVERS];
	struct sending sending[SENDERS];
	struct tol_link *link;

	ck_assert_int_eq(tol_mailbox_create("shared", capacity, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "shared", &opts), 0);
	for (uint32_t i = 0; i < RECEIVERS; i++) {
		received[i] = (struct received){ .link = link, .seen = seen,
						 .is_in_place = is_in_place };
		pthread_create(&receivers[i], NULL, recv_all, &received[i]);
	}
	for (uint32_t i = 0; i < SENDERS; i++) {
		sending[i] = (struct sending){ .link = link, .number = i,
					       .is_in_place = is_in_place };
		pthread_create(&senders[i], NULL, send_all, &sending[i]);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	for (uint32_t i = 0; i < RECEIVERS; i++)
		ck_assert_int_eq(tol_send(link, &end, sizeof(end), TOL_FOREVER),
				 0);
	for (uint32_t i = 0; i < RECEIVERS; i++) {
		pthread_join(receivers[i], NULL);
		ck_assert(received[i].is_whole);
		ck_assert(received[i].is_ordered);
	}
	for (uint32_t i = 0; i < SENDERS * MESSAGES; i++)
		ck_assert_uint_eq(seen[i], 1);
	free(seen);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("shared", NULL), 0);
}

START_TEST(one_link_capacity_1)
{
	run(1, 0, false);
}
END_TEST

START_TEST(one_link_capacity_5)
{
	run(5, 0, false);
}
END_TEST

START_TEST(one_link_capacity_64)
{
	run(64, 0, false);
}
END_TEST

START_TEST(one_link_sleeping)
{
	run(2, TOL_SPIN_NEVER, false);
}
END_TEST

START_TEST(one_link_in_place)
{
	static const uint64_t capacities[] = { 1, 5, 64 };

	run(capacities[_i % 3], _i < 3 ? 0 : TOL_SPIN_NEVER, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("threads");
	TCase *tc = support_tcase("threads");

	tcase_add_test(tc, one_link_capacity_1);
	tcase_add_test(tc, one_link_capacity_5);
	tcase_add_test(tc, one_link_capacity_64);
	tcase_add_test(tc, one_link_sleeping);
	tcase_add_loop_test(tc, one_link_in_place, 0, 6);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
