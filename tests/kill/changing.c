/* SPDX-License-Identifier: MIT */
/* What changes a mailbox that is in use, and batches: the end, the capacity, a purge. */
#include <errno.h>
#include <string.h>

#include "world.h"

static void op_shutdown(void)
{
	shared->result = tol_shutdown(link_victim);
}

static void op_purge(void)
{
	shared->result = tol_purge(link_victim);
}

static void two_sleeping_receivers(void)
{
	world_fill();
	start_sleeping_receiver(0);
	start_sleeping_receiver(1);
}

/* Both are told, unaided; if it did not happen two messages wake them. */
static bool check_shutdown(void)
{
	bool happened = look().is_ended;

	for (uint64_t i = 0; i < 2 && !happened; i++)
		must_be(tol_send(link_here, &i, 8, TOL_NOWAIT), 0);
	for (int i = 0; i < 2; i++)
		must_be(end_sleeper(i), happened ? -ENODATA : 8);
	if (happened) {
		must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -ESHUTDOWN);
		must_be(tol_recv(link_here, NULL, 0, TOL_FOREVER), -ENODATA);
	} else {
		check_usable(link_here);
	}
	return happened;
}

/* The oldest are gone, one after the other. */
static bool check_purge(void)
{
	int left = 0;

	while (take() != FROM_NOBODY)
		left++;
	must(left <= scenario->queued);
	for (int i = 0; i < scenario->queued; i++)
		must(numbers_seen[i] == (i >= scenario->queued - left));
	check_usable(link_here);
	return left == 0;
}

/* ---- the capacity ---- */

/* Down to one, which is there, so that two wait for room. */
static void shrink_and_wait(void)
{
	world_fill();
	must_be(tol_resize(link_here, 1), 0);
	start_sleeping_sender(0);
	start_sleeping_sender(1);
}

static void op_resize(void)
{
	shared->result = tol_resize(link_victim, CAPACITY);
}

static void end_both_senders(void)
{
	must_be(end_sleeper(0), 0);
	must_be(end_sleeper(1), 0);
	take_all_by(link_here, 0);
	check_usable(link_here);
}

/* Both get room, unaided; if it did not happen the survivor gives it. */
static bool check_resize(void)
{
	bool happened = look().capacity_msgs == CAPACITY;

	if (!happened)
		must_be(tol_resize(link_here, CAPACITY), 0);
	end_both_senders();
	return happened;
}

/* Whom the stopped one has not told is told by who does the same. */
static void others_resize(void)
{
	must_be(tol_resize(link_here, CAPACITY), 0);
	end_both_senders();
}

static void resumed_resize(void)
{
	must_be(shared->result, 0);
	check_usable(link_here);
}

/* ---- batches ---- */

static unsigned char room[CAPACITY][64];

static void op_send_many(void)
{
	struct tol_outgoing items[CAPACITY];

	for (uint64_t i = 0; i < CAPACITY; i++) {
		make_body(room[i], scenario->size_bytes, VICTIMS_NUMBER + i);
		items[i] = (struct tol_outgoing){
			.body = room[i], .size_bytes = scenario->size_bytes,
		};
	}
	shared->result = tol_send_many(link_victim, items, CAPACITY, 0,
				       TOL_NOWAIT);
}

static void op_recv_many(void)
{
	struct tol_incoming items[CAPACITY] = { 0 };

	for (int i = 0; i < CAPACITY; i++) {
		items[i].buf = room[i];
		items[i].size_bytes = sizeof(room[i]);
	}
	shared->result = tol_recv_many(link_victim, items, CAPACITY, 0,
				       TOL_NOWAIT);
}

/* The first of them, whole and in order. Return: how many */
static int take_batch(void)
{
	int count = 0;

	while (tol_recv(link_here, room[0], sizeof(room[0]), TOL_NOWAIT) >= 0) {
		must(is_body_of(room[0], scenario->size_bytes,
				VICTIMS_NUMBER + (uint64_t)count));
		count++;
	}
	must(count <= CAPACITY);
	return count;
}

/* The sleeper has the first, or is woken by another. */
static bool check_send_many(void)
{
	int count;

	if (look().received_msgs == (uint64_t)scenario->passed &&
	    look().queued_msgs == 0)
		must_be(tol_send(link_here, "wake up.", 8, TOL_NOWAIT), 0);
	must_be(end_sleeper(0) > 0, 1);
	while (tol_recv(link_here, room[0], sizeof(room[0]), TOL_NOWAIT) >= 0)
		;
	count = (int)(look().sent_msgs - (uint64_t)scenario->passed);
	must(count >= 1 && count <= CAPACITY);
	check_usable(link_here);
	return false;
}

static bool check_send_many_in_order(void)
{
	take_batch();
	check_usable(link_here);
	return false;
}

/* The oldest are gone, and nothing behind one that is there. */
static bool check_recv_many(void)
{
	check_purge();
	return false;
}

static void sleeping_receiver(void)
{
	world_fill();
	start_sleeping_receiver(0);
}

const struct scenario changing_scenarios[] = {
	{ .name = "shutdown, receivers asleep", .passed = 15, .size_bytes = 8,
	  .set_up = two_sleeping_receivers, .prepare = open_victim,
	  .op = op_shutdown, .check = check_shutdown, .flip = "tol_shutdown" },
	{ .name = "purge", .passed = 15, .queued = 1, .size_bytes = 32,
	  .set_up = world_fill, .prepare = open_victim, .op = op_purge,
	  .check = check_purge, .flip = "ring_consume" },
	{ .name = "resize, senders asleep", .passed = 15, .queued = 1,
	  .size_bytes = 8, .set_up = shrink_and_wait, .prepare = open_victim,
	  .op = op_resize, .check = check_resize, .flip = "tol_resize",
	  .others = others_resize, .resumed = resumed_resize, .variants = 1 },
	{ .name = "send of a batch", .passed = 15, .size_bytes = 40,
	  .set_up = world_fill, .prepare = open_victim, .op = op_send_many,
	  .check = check_send_many_in_order },
	{ .name = "send of a batch to a sleeper", .passed = 15,
	  .size_bytes = 8, .set_up = sleeping_receiver,
	  .prepare = open_victim, .op = op_send_many,
	  .check = check_send_many },
	{ .name = "recv of a batch", .passed = 15, .queued = CAPACITY,
	  .size_bytes = 40, .set_up = world_fill, .prepare = open_victim,
	  .op = op_recv_many, .check = check_recv_many },
	{ .name = NULL },
};
