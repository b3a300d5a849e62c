/* SPDX-License-Identifier: MIT */
/* Messages that are taken and held, and those that are written in place. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *make(uint64_t capacity_msgs)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static struct tol_link *open_address(const char *address)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, address, NULL), 0);
	return link;
}

static void put(struct tol_link *link, uint64_t number)
{
	ck_assert_int_eq(tol_send(link, &number, sizeof(number), TOL_NOWAIT),
			 0);
}

static uint64_t get(struct tol_link *link)
{
	uint64_t number = 0;

	ck_assert_int_eq(tol_recv(link, &number, sizeof(number), TOL_NOWAIT),
			 sizeof(number));
	return number;
}

static uint64_t take(struct tol_link *link, struct tol_message *message)
{
	uint64_t number;

	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, message), 0);
	ck_assert_uint_eq(message->size_bytes, sizeof(number));
	memcpy(&number, message->body, sizeof(number));
	return number;
}

static void is_empty(struct tol_link *link)
{
	char byte;

	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EAGAIN);
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat stat;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	return stat;
}

START_TEST(take_and_ack)
{
	struct tol_link *link = make(4);
	struct tol_message message;

	put(link, 1);
	put(link, 2);
	ck_assert_uint_eq(take(link, &message), 1);
	ck_assert_uint_eq(message.position, 0);
	ck_assert_uint_eq(message.tries, 1);
	ck_assert_int_eq(message.sender_pid, getpid());
	ck_assert_uint_eq((uintptr_t)message.body % 32, 0);
	ck_assert_uint_eq(look().held_msgs, 1);
	ck_assert_uint_eq(look().queued_msgs, 1);
	ck_assert_uint_eq(look().received_msgs, 1);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	ck_assert_int_eq(tol_ack(link, &message), -ESTALE);
	ck_assert_int_eq(tol_return(link, &message), -ESTALE);
	ck_assert_uint_eq(look().held_msgs, 0);
	ck_assert_uint_eq(get(link), 2);
	is_empty(link);
	unmake(link);
}
END_TEST

/* With room for one message only: nobody waits for who holds it. */
START_TEST(holding_blocks_nobody)
{
	struct tol_link *link = make(1), *other = open_address("box");
	struct tol_message held[100];

	for (uint64_t i = 0; i < 100; i++) {
		put(other, i);
		ck_assert_int_eq(tol_send(other, "x", 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_uint_eq(take(link, &held[i]), i);
	}
	put(other, 100);
	ck_assert_uint_eq(get(other), 100);
	is_empty(other);
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t number;

		memcpy(&number, held[i].body, sizeof(number));
		ck_assert_uint_eq(number, i);
		ck_assert_int_eq(tol_ack(link, &held[i]), 0);
	}
	is_empty(other);
	tol_close(other);
	unmake(link);
}
END_TEST

/* By position, however they came back, ahead of newer ones, over the capacity. */
START_TEST(returned_ones_go_first)
{
	struct tol_link *link = make(3), *other = open_address("box");
	struct tol_message held[3];

	for (uint64_t i = 0; i < 3; i++)
		put(link, i);
	for (uint64_t i = 0; i < 3; i++)
		take(link, &held[i]);
	for (uint64_t i = 3; i < 6; i++)
		put(link, i);
	ck_assert_int_eq(tol_return(link, &held[1]), 0);
	ck_assert_int_eq(tol_return(link, &held[2]), 0);
	ck_assert_int_eq(tol_return(link, &held[0]), 0);
	ck_assert_int_eq(tol_ack(link, &held[0]), -ESTALE);
	ck_assert_uint_eq(look().queued_msgs, 6);
	ck_assert_uint_eq(look().returned_msgs, 3);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	for (uint64_t i = 0; i < 6; i++)
		ck_assert_uint_eq(get(other), i);
	is_empty(link);
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(tries_are_counted)
{
	struct tol_link *link = make(3);
	struct tol_message message;

	put(link, 7);
	for (uint32_t tries = 1; tries < 5; tries++) {
		ck_assert_uint_eq(take(link, &message), 7);
		ck_assert_uint_eq(message.tries, tries);
		ck_assert_uint_eq(message.position, 0);
		ck_assert_int_eq(tol_return(link, &message), 0);
	}
	{
		uint64_t number;

		ck_assert_int_eq(tol_recv_message(link, &number, 8, TOL_NOWAIT,
						  &message), 8);
		ck_assert_uint_eq(message.tries, 5);
	}
	put(link, 8);
	take(link, &message);
	ck_assert_uint_eq(message.tries, 1);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	unmake(link);
}
END_TEST

START_TEST(dead_letters)
{
	struct tol_take_opts thrice = { .max_tries = 3 };
	struct tol_link *link = make(3), *dead = open_address("box:dead");
	struct tol_open_opts to_send = { .flags = TOL_SEND };
	struct tol_link *none;
	struct tol_message message;

	ck_assert_int_eq(tol_open(&none, "box:dead", &to_send), -EINVAL);
	ck_assert_int_eq(tol_open(&none, "box:alive", NULL), -EINVAL);
	ck_assert_int_eq(tol_send(dead, "x", 1, TOL_NOWAIT), -EPERM);
	is_empty(dead);
	put(link, 1);
	put(link, 2);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &thrice, &message),
				 0);
		ck_assert_uint_eq(message.position, 0);
		ck_assert_int_eq(tol_return(link, &message), 0);
	}
	/* At once, although nobody has come to take it again. */
	ck_assert_uint_eq(look().dead_msgs, 1);
	ck_assert_uint_eq(look().queued_msgs, 1);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &thrice, &message), 0);
	ck_assert_uint_eq(message.position, 1);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	is_empty(link);
	ck_assert_uint_eq(look().dead_msgs, 1);
	ck_assert_uint_eq(look().queued_msgs, 0);
	/* A dead letter that comes back is one again. */
	ck_assert_uint_eq(take(dead, &message), 1);
	ck_assert_uint_eq(look().dead_msgs, 0);
	ck_assert_int_eq(tol_return(dead, &message), 0);
	is_empty(link);
	ck_assert_uint_eq(get(dead), 1);
	is_empty(dead);
	tol_close(dead);
	unmake(link);
}
END_TEST

/* A holder of the last try that does not return it: whoever takes next. */
START_TEST(dead_letter_by_lease)
{
	struct tol_take_opts once = { .max_tries = 1, .lease_ns = 1 };
	struct tol_link *link = make(3), *dead = open_address("box:dead");
	static char large[3 << 20];
	struct tol_message message, none;

	/* In a file: it is mapped under its handle. */
	ck_assert_int_eq(tol_send(link, large, sizeof(large), TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &once, &message), 0);
	ck_assert_uint_eq(message.size_bytes, sizeof(large));
	while (look().dead_msgs == 0)
		ck_assert_int_eq(tol_take(link, TOL_MSECS(1), &once, &none),
				 -ETIMEDOUT);
	ck_assert_int_eq(tol_return(link, &message), -ESTALE);
	once.lease_ns = 0;
	ck_assert_int_eq(tol_take(dead, TOL_NOWAIT, &once, &message), 0);
	ck_assert_int_eq(tol_return(dead, &message), 0);
	ck_assert_uint_eq(look().dead_msgs, 1);
	ck_assert_int_eq(tol_take(dead, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_int_eq(tol_ack(dead, &message), 0);
	tol_close(dead);
	unmake(link);
}
END_TEST

/* What the child does before it is killed. */
static int take_and_pause(void *context)
{
	struct tol_link *link = open_address("box");
	struct tol_message message;
	const int *fds = context;

	for (int i = 0; i < fds[2]; i++)
		take(link, &message);
	if (write(fds[1], "t", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static pid_t start_holder(int count)
{
	int fds[3];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	fds[2] = count;
	pid = support_fork(take_and_pause, fds);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

/* Also where the receiver is asleep when the holder dies. */
static int kill_it(void *context)
{
	pid_t *pids = context;

	support_wait_asleep(pids[0]);
	kill(pids[1], SIGKILL);
	return 0;
}

START_TEST(death_of_the_holder)
{
	struct tol_link *link = make(3);
	uint64_t number;

	put(link, 1);
	put(link, 2);
	{
		pid_t pids[2] = { getpid(), start_holder(2) };
		pid_t killer = support_fork(kill_it, pids);

		put(link, 3);
		ck_assert_uint_eq(get(link), 3);
		ck_assert_int_eq(tol_recv(link, &number, 8, TOL_FOREVER), 8);
		ck_assert_uint_eq(number, 1);
		ck_assert_uint_eq(get(link), 2);
		is_empty(link);
		ck_assert_int_eq(support_wait(pids[1]), -SIGKILL);
		ck_assert_int_eq(support_wait(killer), 0);
	}
	unmake(link);
}
END_TEST

/* While newer ones are there, and who receives never waits. */
START_TEST(death_is_seen_by_a_busy_receiver)
{
	struct tol_link *link = make(3);
	uint64_t number, seen = 0;
	pid_t pid;

	put(link, 1);
	pid = start_holder(1);
	put(link, 2);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	while (seen != 1) {
		ck_assert_int_eq(tol_recv(link, &number, 8, TOL_FOREVER), 8);
		if (number == 1)
			seen = 1;
		else
			put(link, 3);
	}
	unmake(link);
}
END_TEST

START_TEST(close_returns)
{
	struct tol_link *link = make(3), *other = open_address("box");
	struct tol_message message;

	put(link, 1);
	put(link, 2);
	take(other, &message);
	tol_close(other);
	ck_assert_uint_eq(look().held_msgs, 0);
	ck_assert_uint_eq(get(link), 1);
	ck_assert_uint_eq(get(link), 2);
	unmake(link);
}
END_TEST

START_TEST(lease_ends)
{
	struct tol_take_opts brief = { .lease_ns = TOL_MSECS(20) };
	struct tol_link *link = make(3), *other = open_address("box");
	struct tol_message message, again;
	uint64_t number;

	put(link, 1);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &brief, &message), 0);
	is_empty(other);
	ck_assert_int_eq(tol_recv(other, &number, 8, TOL_FOREVER), 8);
	ck_assert_uint_eq(number, 1);
	ck_assert_int_eq(tol_ack(link, &message), -ESTALE);
	/* Longer: it is there when the first time is over. */
	put(link, 2);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &brief, &message), 0);
	ck_assert_int_eq(tol_extend(link, &message, TOL_SECS(3600)), 0);
	ck_assert_int_eq(tol_recv(other, &number, 8, TOL_MSECS(50)),
			 -ETIMEDOUT);
	ck_assert_int_eq(tol_extend(link, &message, TOL_MSECS(1)), 0);
	ck_assert_int_eq(tol_take(other, TOL_FOREVER, NULL, &again), 0);
	ck_assert_uint_eq(again.tries, 2);
	ck_assert_int_eq(tol_extend(link, &message, 0), -ESTALE);
	ck_assert_int_eq(tol_return(link, &message), -ESTALE);
	ck_assert_int_eq(tol_ack(other, &again), 0);
	tol_close(other);
	unmake(link);
}
END_TEST

/* The number of a dead holder is taken by another before anybody looks. */
START_TEST(heir_does_not_hold)
{
	struct tol_link *link = make(3), *heir;
	pid_t pid;

	put(link, 1);
	pid = start_holder(1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	heir = open_address("box");
	ck_assert_uint_eq(look().returned_msgs, 1);
	ck_assert_uint_eq(get(heir), 1);
	tol_close(heir);
	unmake(link);
}
END_TEST

/* Its memory is not given to another message, also after the sender is gone. */
START_TEST(body_stays)
{
	struct tol_link *link = make(2), *sender = open_address("box");
	size_t size_bytes = 30000;
	unsigned char *body = malloc(size_bytes);
	struct tol_message held;

	memset(body, 7, size_bytes);
	ck_assert_int_eq(tol_send(sender, body, size_bytes, 0), 0);
	ck_assert_int_eq(tol_take(link, 0, NULL, &held), 0);
	memset(body, 8, size_bytes);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(tol_send(sender, body, size_bytes, 0), 0);
		ck_assert_int_eq(tol_recv(link, body, size_bytes, 0),
				 (ssize_t)size_bytes);
	}
	tol_close(sender);
	sender = open_address("box");
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(tol_send(sender, body, size_bytes, 0), 0);
		ck_assert_int_eq(tol_recv(link, body, size_bytes, 0),
				 (ssize_t)size_bytes);
	}
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	for (size_t i = 0; i < size_bytes; i++)
		ck_assert_uint_eq(((const unsigned char *)held.body)[i], 7);
	ck_assert_int_eq(tol_ack(link, &held), 0);
	tol_close(sender);
	free(body);
	unmake(link);
}
END_TEST

/* Each size at which a body is kept in another way, and one byte either side. */
static const size_t sizes[] = {
	0, 1, 31, 32, 33, 63, 64, 65, 16 * 1024 - 128, 16 * 1024 - 32,
	16 * 1024 - 31, 16 * 1024, 16 * 1024 + 1, 65536 - 128, 65536 - 127,
	65536 - 32, 65536 - 31, 65536, 65537, (1 << 20) - 1, 1 << 20,
	(1 << 20) + 1, 3 << 20,
};

static void fill(unsigned char *body, size_t size_bytes, unsigned int seed)
{
	for (size_t i = 0; i < size_bytes; i++)
		body[i] = (unsigned char)(seed + i * 7 + (i >> 9));
}

START_TEST(loan_to_take)
{
	size_t size_bytes = sizes[_i];
	unsigned char *body = malloc(size_bytes + 1);
	struct tol_link *link = make(2);
	struct tol_send_opts opts = { .tag = 99 };
	struct tol_loan loan, none = { 0 };
	struct tol_message message;

	fill(body, size_bytes, 5);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(tol_loan(link, size_bytes, &loan), 0);
		ck_assert_uint_eq(loan.size_bytes, size_bytes);
		ck_assert_uint_eq((uintptr_t)loan.body % 64, 0);
		if (size_bytes > 0)
			memcpy(loan.body, body, size_bytes);
		is_empty(link);
		ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, &opts), 0);
		ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, &opts),
				 -EINVAL);
		ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message),
				 0);
		ck_assert_uint_eq(message.size_bytes, size_bytes);
		ck_assert_uint_eq(message.tag, 99);
		if (size_bytes > 0)
			ck_assert_mem_eq(message.body, body, size_bytes);
		/* Back, and once more, by copy. */
		if (round == 1) {
			ck_assert_int_eq(tol_return(link, &message), 0);
			memset(body, 0, size_bytes);
			ck_assert_int_eq(tol_recv(link, body, size_bytes, 0),
					 (ssize_t)size_bytes);
			fill(body, size_bytes, 5);
			continue;
		}
		ck_assert_int_eq(tol_ack(link, &message), 0);
	}
	ck_assert_int_eq(tol_loan(link, size_bytes, &loan), 0);
	tol_loan_drop(link, &loan);
	tol_loan_drop(link, &loan);
	tol_loan_drop(link, &none);
	/* Copied in, taken in place. */
	ck_assert_int_eq(tol_send(link, body, size_bytes, 0), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_uint_eq(message.size_bytes, size_bytes);
	if (size_bytes > 0)
		ck_assert_mem_eq(message.body, body, size_bytes);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	ck_assert_int_eq(tol_space_clean(NULL, 1, NULL, NULL), 0);
	free(body);
	unmake(link);
}
END_TEST

/* Nothing is left of loans and holds that nobody ended. */
START_TEST(close_ends_loans)
{
	struct tol_link *link = make(4), *other = open_address("box");
	size_t size_bytes = sizes[_i];
	struct tol_message message;
	struct tol_loan loan;

	ck_assert_int_eq(tol_loan(other, size_bytes, &loan), 0);
	ck_assert_int_eq(tol_post(other, &loan, 0, NULL), 0);
	ck_assert_int_eq(tol_take(other, 0, NULL, &message), 0);
	ck_assert_int_eq(tol_loan(other, size_bytes, &loan), 0);
	tol_close(other);
	ck_assert_int_eq(tol_take(link, 0, NULL, &message), 0);
	ck_assert_uint_eq(message.size_bytes, size_bytes);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL) >= 0, 1);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	unmake(link);
}
END_TEST

START_TEST(smaller_than_lent)
{
	struct tol_link *link = make(2);
	size_t lent[] = { 100, 100000, 3 << 20 };
	char buf[10];

	for (int i = 0; i < 3; i++) {
		struct tol_loan loan;

		ck_assert_int_eq(tol_loan(link, lent[i], &loan), 0);
		memcpy(loan.body, "0123456789", 10);
		loan.size_bytes = lent[i] + 1;
		ck_assert_int_eq(tol_post(link, &loan, 0, NULL), -EINVAL);
		loan.size_bytes = 10;
		ck_assert_int_eq(tol_post(link, &loan, 0, NULL), 0);
		ck_assert_int_eq(tol_recv(link, buf, 10, 0), 10);
		ck_assert_mem_eq(buf, "0123456789", 10);
	}
	unmake(link);
}
END_TEST

START_TEST(post_to_a_full_one)
{
	struct tol_link *link = make(1);
	struct tol_loan loan;

	put(link, 1);
	ck_assert_int_eq(tol_loan(link, 8, &loan), 0);
	memcpy(loan.body, &(uint64_t){ 2 }, 8);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), -EAGAIN);
	ck_assert_int_eq(tol_post(link, &loan, TOL_MSECS(1), NULL),
			 -ETIMEDOUT);
	ck_assert_uint_eq(get(link), 1);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), 0);
	ck_assert_uint_eq(get(link), 2);
	unmake(link);
}
END_TEST

START_TEST(tags_and_times)
{
	struct tol_send_opts tagged = { .tag = UINT64_MAX };
	struct tol_send_opts brief = { .ttl_ns = 1 };
	struct tol_send_opts lasting = { .ttl_ns = TOL_SECS(3600), .tag = 3 };
	struct tol_send_opts wrong = { .ttl_ns = -1 };
	struct tol_link *link = make(4);
	struct tol_message message;
	char byte;

	ck_assert_int_eq(tol_send_message(link, "a", 1, 0, &wrong), -EINVAL);
	ck_assert_int_eq(tol_send_message(link, "a", 1, 0, &tagged), 0);
	ck_assert_int_eq(tol_send_message(link, "b", 1, 0, &brief), 0);
	ck_assert_int_eq(tol_send_message(link, "c", 1, 0, &lasting), 0);
	ck_assert_int_eq(tol_send_message(link, "d", 1, 0, &brief), 0);
	ck_assert_int_eq(tol_recv_message(link, &byte, 1, 0, &message), 1);
	ck_assert_uint_eq(message.tag, UINT64_MAX);
	ck_assert_int_eq(tol_recv_message(link, &byte, 1, 0, &message), 1);
	ck_assert_int_eq(byte, 'c');
	ck_assert_uint_eq(message.tag, 3);
	is_empty(link);
	ck_assert_uint_eq(look().queued_msgs, 0);
	/* One that was taken in time and came back too late. */
	brief.ttl_ns = TOL_MSECS(20);
	ck_assert_int_eq(tol_send_message(link, "e", 1, 0, &brief), 0);
	ck_assert_int_eq(tol_take(link, 0, NULL, &message), 0);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_MSECS(30)), -ETIMEDOUT);
	ck_assert_int_eq(tol_return(link, &message), 0);
	is_empty(link);
	ck_assert_uint_eq(look().queued_msgs, 0);
	unmake(link);
}
END_TEST

START_TEST(carries_a_segment)
{
	struct tol_segment *segment, *came;
	struct tol_send_opts opts = { 0 };
	struct tol_link *link = make(4);
	struct tol_message message;
	void *memory;
	char byte;

	ck_assert_int_eq(tol_segment_create(&segment, _i ? "frame" : NULL,
					    10000, NULL), 0);
	ck_assert_int_eq(tol_segment_attach(segment, NULL, &memory), 0);
	strcpy(memory, "Writing to shared memory");
	opts.segment = segment;
	ck_assert_int_eq(tol_send_message(link, "s", 1, 0, &opts), 0);
	ck_assert_int_eq(tol_send(link, "n", 1, 0), 0);
	ck_assert_int_eq(tol_recv_message(link, &byte, 1, 0, &message), 1);
	ck_assert_int_ne(message.has_segment, 0);
	ck_assert_int_eq(tol_segment_import(&came, &message.segment), 0);
	ck_assert_int_eq(tol_segment_attach(came, NULL, &memory), 0);
	ck_assert_str_eq(memory, "Writing to shared memory");
	ck_assert_int_eq(tol_recv_message(link, &byte, 1, 0, &message), 1);
	ck_assert_int_eq(message.has_segment, 0);
	tol_segment_close(came);
	tol_segment_close(segment);
	if (_i)
		ck_assert_int_eq(tol_segment_remove("frame", NULL), 0);
	unmake(link);
}
END_TEST

START_TEST(bad_arguments)
{
	struct tol_take_opts wrong = { .lease_ns = -1 };
	struct tol_message message = { 0 };
	struct tol_link *link = make(1);
	struct tol_loan loan;

	ck_assert_int_eq(tol_take(link, -2, NULL, &message), -EINVAL);
	ck_assert_int_eq(tol_take(link, 0, &wrong, &message), -EINVAL);
	ck_assert_int_eq(tol_take(link, 0, NULL, NULL), -EINVAL);
	ck_assert_int_eq(tol_take(NULL, 0, NULL, &message), -EINVAL);
	ck_assert_int_eq(tol_take(link, 0, NULL, &message), -EAGAIN);
	ck_assert_int_eq(tol_take(link, 1, NULL, &message), -ETIMEDOUT);
	ck_assert_int_eq(tol_ack(link, &message), -EINVAL);
	ck_assert_int_eq(tol_return(link, NULL), -EINVAL);
	ck_assert_int_eq(tol_extend(link, &message, 0), -EINVAL);
	message.hold = UINT64_MAX;
	ck_assert_int_eq(tol_ack(link, &message), -ESTALE);
	ck_assert_int_eq(tol_loan(link, SIZE_MAX, &loan), -EINVAL);
	ck_assert_int_eq(tol_loan(link, 1, NULL), -EINVAL);
	unmake(link);
}
END_TEST

/* More than one page of cells, and then they are used again. */
START_TEST(many_are_held)
{
	struct tol_link *link = make(1000);
	struct tol_message *held = calloc(3000, sizeof(*held));

	for (int round = 0; round < 3; round++) {
		uint64_t memory = look().memory_bytes;

		for (uint64_t i = 0; i < 3000; i++) {
			put(link, i);
			ck_assert_uint_eq(take(link, &held[i]), i);
		}
		ck_assert_uint_eq(look().held_msgs, 3000);
		for (uint64_t i = 0; i < 3000; i += 2)
			ck_assert_int_eq(tol_return(link, &held[i]), 0);
		for (uint64_t i = 1; i < 3000; i += 2)
			ck_assert_int_eq(tol_ack(link, &held[i]), 0);
		for (uint64_t i = 0; i < 3000; i += 2)
			ck_assert_uint_eq(get(link), i);
		if (round > 1)
			ck_assert_uint_eq(look().memory_bytes, memory);
	}
	free(held);
	unmake(link);
}
END_TEST

/* The first one keeps it until it ends; the second one must get it then. */
static int take_in_turn(void *context)
{
	const struct tol_take_opts *opts = context;
	struct tol_link *link = open_address("box");
	struct tol_message message;

	if (tol_take(link, TOL_FOREVER, opts, &message) < 0)
		return 1;
	while (opts->lease_ns && message.tries == 1)
		pause();
	return 0;
}

/* Both slept before anything was held: then nobody looked now and then. */
START_TEST(sleeper_hears_of_a_later_holder)
{
	struct tol_take_opts opts = { .lease_ns = _i ? TOL_MSECS(20) : 0 };
	struct tol_link *link = make(4);
	pid_t pids[2], first;
	int status;

	for (int i = 0; i < 2; i++) {
		pids[i] = support_fork(take_in_turn, &opts);
		support_wait_asleep(pids[i]);
	}
	put(link, 1);
	first = wait(&status);
	ck_assert(first == pids[0] || first == pids[1]);
	ck_assert_int_eq(status, 0);
	if (_i)
		kill(pids[first == pids[0]], SIGKILL);
	ck_assert_int_eq(support_wait(pids[first == pids[0]]),
			 _i ? -SIGKILL : 0);
	ck_assert_uint_eq(get(link), 1);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hold");
	TCase *tests = support_tcase("hold");
	int sizes_count = (int)(sizeof(sizes) / sizeof(sizes[0]));

	tcase_add_test(tests, take_and_ack);
	tcase_add_test(tests, holding_blocks_nobody);
	tcase_add_test(tests, returned_ones_go_first);
	tcase_add_test(tests, tries_are_counted);
	tcase_add_test(tests, dead_letters);
	tcase_add_test(tests, dead_letter_by_lease);
	tcase_add_test(tests, death_of_the_holder);
	tcase_add_test(tests, death_is_seen_by_a_busy_receiver);
	tcase_add_test(tests, close_returns);
	tcase_add_test(tests, lease_ends);
	tcase_add_test(tests, heir_does_not_hold);
	tcase_add_test(tests, body_stays);
	tcase_add_loop_test(tests, loan_to_take, 0, sizes_count);
	tcase_add_loop_test(tests, close_ends_loans, 0, sizes_count);
	tcase_add_test(tests, smaller_than_lent);
	tcase_add_test(tests, post_to_a_full_one);
	tcase_add_test(tests, tags_and_times);
	tcase_add_loop_test(tests, carries_a_segment, 0, 2);
	tcase_add_test(tests, bad_arguments);
	tcase_add_test(tests, many_are_held);
	tcase_add_loop_test(tests, sleeper_hears_of_a_later_holder, 0, 2);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
