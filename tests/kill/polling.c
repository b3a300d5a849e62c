/* SPDX-License-Identifier: MIT */
/*
 * Those who wait outside of a call, in poll() or in tol_wait(): whoever makes the
 * mailbox ready for them is killed or stopped; and so are they.
 */
#include <errno.h>

#include "world.h"

static void fill_and_poller(void)
{
	world_fill();
	start_polling_receiver(0);
}

static void fill_and_waiter(void)
{
	world_fill();
	start_waiting_receiver(0);
}

static void fill_and_polling_sender(void)
{
	world_fill();
	start_polling_sender(0);
}

/* ---- the victim polls ---- */

static void op_descriptor(void)
{
	int fd = tol_descriptor(link_victim, TOL_RECV);

	shared->result = fd < 0 ? fd
				: tol_recv(link_victim, scratch(),
					   BODY_MAX_BYTES, TOL_NOWAIT);
}

static void op_wait_for_one(void)
{
	struct tol_wait one = { link_victim, TOL_RECV, 0 };

	shared->result = tol_wait(&one, 1, TOL_MSECS(1));
}

/* Nothing was to happen; and its socket goes. */
static bool check_nothing(void)
{
	bool happened = check_recv();

	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must_be(tol_space_clean(NULL, 0, NULL, NULL), 0);
	return happened;
}

static void resumed_with_nothing(void)
{
	must(shared->result == -EAGAIN || shared->result == -ETIMEDOUT ||
	     shared->result == 1);
	take_all_by(link_here, 0);
	check_usable(link_here);
}

#define POLLED_SEND_OF(name_, set_up_)					\
	.name = name_, .passed = 15, .size_bytes = 8, .op = op_send,	\
	.set_up = set_up_, .prepare = open_victim,			\
	.check = check_send_to_sleeper, .flip = "ring_publish",		\
	.others = others_wake_receiver, .resumed = resumed_send,	\
	.variants = 1

const struct scenario polling_scenarios[] = {
	{ POLLED_SEND_OF("send to one that polls", fill_and_poller) },
	{ POLLED_SEND_OF("send to one in tol_wait", fill_and_waiter) },
	{ .name = "recv before one that polls for room", .passed = 15,
	  .queued = CAPACITY, .size_bytes = 8, .op = op_recv,
	  .after = note_what_came, .set_up = fill_and_polling_sender,
	  .prepare = open_victim, .check = check_recv_before_sleeper,
	  .flip = "ring_consume", .others = others_wake_sender,
	  .resumed = resumed_recv, .variants = 1 },
	{ .name = "descriptor, the first", .size_bytes = 8,
	  .op = op_descriptor, .set_up = world_fill, .prepare = open_victim,
	  .check = check_nothing, .others = others_use_it,
	  .resumed = resumed_with_nothing, .variants = 1 },
	{ .name = "tol_wait, the first", .size_bytes = 8,
	  .op = op_wait_for_one, .set_up = world_fill, .prepare = open_victim,
	  .check = check_nothing, .others = others_use_it,
	  .resumed = resumed_with_nothing, .variants = 1 },
	{ .name = NULL },
};
