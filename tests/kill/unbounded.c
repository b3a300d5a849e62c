/* SPDX-License-Identifier: MIT */
/* Unbounded mailboxes: memory is taken and given back while somebody dies. */
#include <errno.h>
#include <string.h>

#include "world.h"

#define GRANULE 2048
#define LEFT_BEHIND 900		/* messages received, not yet given back */
#define LEFT_BYTES 1000
#define CLOSING_BYTES ((size_t)16000)
#define CLOSING_SENT 260	/* as many as its kept chunks hold */
#define MANY 3000

static uint64_t before_bytes;	/* that it takes when it is empty */
static uint64_t next_number;	/* of those sent here */

static void send_here(uint64_t number, size_t size_bytes)
{
	make_body(scratch(), size_bytes, number);
	must_be(tol_send(link_here, scratch(), size_bytes, TOL_NOWAIT), 0);
}

/* Return: false nothing there */
static bool take_number(struct tol_link *link, uint64_t *ret_number)
{
	ssize_t n = tol_recv(link, scratch(), BODY_MAX_BYTES, TOL_NOWAIT);

	if (n == -EAGAIN)
		return false;
	must(n >= 8);
	memcpy(ret_number, scratch(), 8);
	if (!is_body_of(scratch(), (size_t)n, *ret_number))
		fail("message %llu is torn", (unsigned long long)*ret_number);
	return true;
}

static void make_box(void)
{
	must_be(tol_mailbox_create("box", TOL_CAPACITY_UNBOUNDED, NULL), 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
	before_bytes = look().memory_bytes;
	next_number = 0;
}

/* All that was ever sent here comes in order, and then there is room. */
static void use_it(struct tol_link *link, uint64_t count)
{
	uint64_t number;

	for (uint64_t i = 0; i < count; i++)
		send_here(next_number + i, LEFT_BYTES);
	for (uint64_t i = 0; i < count; i++) {
		must(take_number(link, &number));
		must_be((int64_t)number, (int64_t)(next_number + i));
	}
	next_number += count;
	must(!take_number(link, &number));
}

/* A clean, and looks at what is empty: all memory comes back by that. */
static void check_memory(void)
{
	uint64_t number, bytes;
	int64_t end_ns = now_ns() + INT64_C(20000000000);

	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	do {
		must(!take_number(link_here, &number));
		bytes = look().memory_bytes;
	} while (bytes > before_bytes + before_bytes / 20 && now_ns() < end_ns);
	if (bytes > before_bytes + before_bytes / 20)
		fail("%llu bytes instead of %llu", (unsigned long long)bytes,
		     (unsigned long long)before_bytes);
	must_be(look().dead_count, 0);
}

static void check_use(void)
{
	struct tol_link *fresh;

	must_be(tol_open(&fresh, "box", NULL), 0);
	use_it(fresh, MANY);
	tol_close(fresh);
	use_it(link_here, 10);
	check_memory();
}

/* ---- a send that backs the next slots ---- */

static void to_the_edge(void)
{
	make_box();
	use_it(link_here, GRANULE);
	/* Once, so that the look after it has nothing to do any more. */
	check_memory();
}

/* Messages of the victim that are there, whole, and no others. */
static int count_victims(void)
{
	uint64_t number;
	int count = 0;

	while (take_number(link_here, &number)) {
		must_be((int64_t)number, VICTIMS_NUMBER);
		count++;
	}
	return count;
}

static bool check_sent(void)
{
	int count = count_victims();

	must(count <= 1);
	next_number = VICTIMS_NUMBER + 1;
	check_use();
	return count == 1;
}

/* ---- a receive that finds nothing, and gives memory back ---- */

static void leave_garbage(void)
{
	uint64_t number;

	make_box();
	for (uint64_t i = 0; i < LEFT_BEHIND; i++)
		send_here(i, LEFT_BYTES);
	for (uint64_t i = 0; i < LEFT_BEHIND; i++)
		must(take_number(link_here, &number));
	next_number = LEFT_BEHIND;
}

static bool check_collected(void)
{
	check_use();
	return false;
}

static void others_collect(void)
{
	struct tol_link *fresh;

	must_be(tol_open(&fresh, "box", NULL), 0);
	use_it(fresh, MANY);
	tol_close(fresh);
	use_it(link_here, 10);
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
}

static void resumed_collect(void)
{
	must_be(shared->result, -EAGAIN);
	check_use();
}

/* ---- a send that closes a chunk ---- */

static int open_and_fill(void)
{
	int err = open_victim();

	for (uint64_t i = 0; i < CLOSING_SENT && err == 0; i++) {
		make_body(scratch(), CLOSING_BYTES, i);
		err = tol_send(link_victim, scratch(), CLOSING_BYTES,
			       TOL_NOWAIT);
	}
	make_body(scratch(), CLOSING_BYTES, CLOSING_SENT);
	return err;
}

/* In order, without a gap. Return: how many */
static uint64_t take_in_order(void)
{
	uint64_t number, count = 0;

	/* Which gives back what it can, and no more. */
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	while (take_number(link_here, &number))
		must_be((int64_t)number, (int64_t)count++);
	return count;
}

static bool check_closed(void)
{
	uint64_t count = take_in_order();

	must(count == CLOSING_SENT || count == CLOSING_SENT + 1);
	next_number = CLOSING_SENT + 1;
	check_use();
	return count == CLOSING_SENT + 1;
}

static uint64_t taken_by_others;

static void others_take(void)
{
	taken_by_others = take_in_order();
	next_number = CLOSING_SENT + 1;
	others_collect();
}

static void resumed_close(void)
{
	uint64_t number;

	must_be(shared->result, 0);
	if (taken_by_others == CLOSING_SENT) {
		must(take_number(link_here, &number));
		must_be((int64_t)number, CLOSING_SENT);
	}
	check_use();
}

static int sent_meanwhile;

static void others_pass(void)
{
	sent_meanwhile = count_victims();
	next_number = VICTIMS_NUMBER + 1;
	others_collect();
}

static void resumed_back(void)
{
	must_be(shared->result, 0);
	must_be(sent_meanwhile + count_victims(), 1);
	check_use();
}

const struct scenario unbounded_scenarios[] = {
	{ .name = "send, taking memory for slots", .size_bytes = 100,
	  .set_up = to_the_edge, .prepare = open_victim, .op = op_send,
	  .check = check_sent, .flip = "unbounded_publish",
	  .others = others_pass, .resumed = resumed_back, .variants = 1 },
	{ .name = "recv, giving memory back", .size_bytes = 8,
	  .set_up = leave_garbage, .prepare = open_victim, .op = op_recv,
	  .check = check_collected, .others = others_collect,
	  .resumed = resumed_collect, .variants = 1 },
	{ .name = "send, closing a chunk", .size_bytes = CLOSING_BYTES,
	  .set_up = make_box, .prepare = open_and_fill, .op = op_send,
	  .check = check_closed, .flip = "unbounded_publish",
	  .others = others_take, .resumed = resumed_close, .variants = 1 },
	{ .name = NULL },
};
