/* SPDX-License-Identifier: MIT */
/* Send and receive that do not wait, all sizes, and the sleeper they wake. */
#include <errno.h>
#include <string.h>

#include "world.h"

/*
 * After a kill: a newcomer, who is the dead one's heir and believes the hints,
 * sends, into memory next to what the dead one sent, and takes what is there.
 */
bool check_send(void)
{
	uint64_t number = SLEEPERS_NUMBER;
	struct tol_link *fresh;
	bool happened;
	int err;

	must_be(tol_open(&fresh, "box", NULL), 0);
	err = tol_send(fresh, &number, 8, TOL_NOWAIT);
	must(err == 0 || (err == -EAGAIN && look().queued_msgs == CAPACITY));
	take_all_by(fresh, 0);
	happened = victims_seen > 0;
	check_usable(fresh);
	check_usable(link_here);
	tol_close(fresh);
	return happened;
}

/* The message of a receiver that is killed goes with it: one may be missing. */
bool check_recv(void)
{
	struct tol_link *fresh;

	must_be(tol_open(&fresh, "box", NULL), 0);
	take_all_by(fresh, 1);
	check_usable(fresh);
	check_usable(link_here);
	tol_close(fresh);
	return count_missing() > 0;
}

/* Without anybody's help: the kernel rings in the place of the dead. */
bool check_send_to_sleeper(void)
{
	bool happened = look().sent_msgs > (uint64_t)scenario->passed;

	if (!happened)
		put();
	must_be(end_sleeper(0), 8);
	if (happened)
		must_be(shared->sleepers[0].from, victim_pid);
	else
		numbers_seen[0] = shared->sleepers[0].number == 0;
	take_all_by(link_here, 0);
	must_be(victims_seen, 0);
	check_usable(link_here);
	return happened;
}

bool check_recv_before_sleeper(void)
{
	bool happened = look().received_msgs > (uint64_t)scenario->passed;

	if (!happened)
		must_be(take(), FROM_HERE);
	must_be(end_sleeper(0), 0);
	take_all_by(link_here, happened ? 1 : 0);
	check_usable(link_here);
	return happened;
}

static void fill_and_receiver(void)
{
	world_fill();
	start_sleeping_receiver(0);
}

/* ---- somebody taps ---- */

static struct tol_link *tap;

static void fill_and_tap(void)
{
	world_fill();
	must_be(tol_open(&tap, "box:tap", NULL), 0);
}

static void fill_and_tap_and_receiver(void)
{
	fill_and_tap();
	start_sleeping_receiver(0);
}

/* What was sent is shown or missed; and the tap goes on. */
static void check_tap(void)
{
	uint64_t sent = look().sent_msgs, shown = 0;
	struct tol_message message;
	ssize_t n;

	must_be(tol_send(link_here, "shown...", 8, TOL_NOWAIT), 0);
	must_be(tol_recv(link_here, scratch(), BODY_MAX_BYTES, TOL_NOWAIT), 8);
	do {
		n = tol_recv_message(tap, scratch(), BODY_MAX_BYTES,
				     TOL_NOWAIT, &message);
		shown += n >= 0;
	} while (n >= 0 && message.position < sent);
	must_be(n, 8);
	must_be(memcmp(scratch(), "shown...", 8), 0);
	must_be(tol_recv(tap, scratch(), BODY_MAX_BYTES, TOL_NOWAIT), -EAGAIN);
	must_be(tol_tap_missed(tap),
		(int64_t)(sent + 1 - (uint64_t)scenario->passed - shown));
	must(tol_tap_missed(tap) <= 1);
	tol_close(tap);
}

static bool check_send_tapped(void)
{
	bool happened = check_send();

	check_tap();
	return happened;
}

static bool check_send_tapped_to_sleeper(void)
{
	bool happened = check_send_to_sleeper();

	check_tap();
	return happened;
}

static void fill_and_sender(void)
{
	world_fill();
	start_sleeping_sender(0);
}

static int open_and_warm_up(void)
{
	int err = open_victim();

	if (err == 0)
		err = tol_send(link_victim, "warm up.", 8, TOL_NOWAIT);
	if (err == 0)
		err = tol_recv(link_victim, scratch(), 8, TOL_NOWAIT) == 8
			      ? 0 : -EIO;
	make_body(scratch(), scenario->size_bytes, VICTIMS_NUMBER);
	return err;
}

/* ---- stopped ---- */

/* It may have found it full before it was stopped. */
void resumed_send(void)
{
	bool was_full = scenario->queued == CAPACITY;

	take_all_by(link_here, 0);
	if (shared->result == 0 || !was_full ||
	    scenario->op == op_send_forever) {
		must_be(shared->result, 0);
		must_be(victims_seen, 1);
	} else {
		must(shared->result == -EAGAIN ||
		     shared->result == -ETIMEDOUT);
		must_be(victims_seen, 0);
	}
	check_usable(link_here);
}

static void resumed_send_tapped(void)
{
	resumed_send();
	check_tap();
}

/* One message is left for it, unless it has one already. */
void others_leave_one(void)
{
	others_use_it();
	put();
}

void resumed_recv(void)
{
	bool was_empty = scenario->queued == 0;

	if (shared->result < 0) {
		must(was_empty && scenario->op != op_recv_forever);
		must(shared->result == -EAGAIN ||
		     shared->result == -ETIMEDOUT);
	} else {
		if (!shared->is_whole)
			fail("what the victim received is torn");
		if (shared->number >= numbers_sent ||
		    numbers_seen[shared->number])
			fail("the victim received what others had");
		numbers_seen[shared->number] = true;
	}
	take_all_by(link_here, 0);
	check_usable(link_here);
}

void others_wake_receiver(void)
{
	put();
	must_be(end_sleeper(0), 8);
	if (shared->sleepers[0].from == victim_pid)
		victims_seen++;
	else
		numbers_seen[0] = shared->sleepers[0].number == 0;
	others_use_it();
}

void others_wake_sender(void)
{
	must_be(take(), FROM_HERE);
	must_be(end_sleeper(0), 0);
	others_leave_one();
}

#define SEND(name_, passed_, queued_, size_)				\
	.name = name_, .passed = passed_, .queued = queued_,		\
	.size_bytes = size_, .op = op_send
#define RECV(name_, passed_, queued_, size_)				\
	.name = name_, .passed = passed_, .queued = queued_,		\
	.size_bytes = size_, .op = op_recv, .after = note_what_came
#define PLAIN .set_up = world_fill, .prepare = open_victim
#define SENT .check = check_send, .flip = "ring_publish"
#define RECEIVED .check = check_recv, .flip = "ring_consume"
#define STOPPED_SEND							\
	.others = others_use_it, .resumed = resumed_send, .variants = 1
#define STOPPED_RECV							\
	.others = others_leave_one, .resumed = resumed_recv, .variants = 1

const struct scenario call_scenarios[] = {
	{ SEND("send, the first", 0, 0, 32), PLAIN, SENT, STOPPED_SEND },
	{ SEND("send, raising the hint", 15, 0, 33), PLAIN, SENT,
	  STOPPED_SEND },
	{ SEND("send, warm", 14, 0, 8), .set_up = world_fill,
	  .prepare = open_and_warm_up, SENT },
	{ SEND("send, filling it", 13, 2, 8), PLAIN, SENT, STOPPED_SEND },
	{ SEND("send, full", 0, CAPACITY, 8), PLAIN, .check = check_send,
	  STOPPED_SEND },
	{ SEND("send of 0 bytes", 15, 0, 0), PLAIN, SENT, STOPPED_SEND },
	{ SEND("send of 100 KiB", 15, 0, 100 << 10), PLAIN, SENT,
	  STOPPED_SEND },
	{ SEND("send of 2 MiB", 15, 0, 2 << 20), PLAIN, SENT, STOPPED_SEND },
	{ SEND("send to a sleeper", 15, 0, 8), .set_up = fill_and_receiver,
	  .prepare = open_victim, .check = check_send_to_sleeper,
	  .flip = "ring_publish", .others = others_wake_receiver,
	  .resumed = resumed_send, .variants = 1 },
	{ SEND("send, tapped", 14, 0, 100), .set_up = fill_and_tap,
	  .prepare = open_and_warm_up, .check = check_send_tapped,
	  .flip = "ring_publish", .others = others_use_it,
	  .resumed = resumed_send_tapped, .variants = 1 },
	{ SEND("send to a sleeper, tapped", 15, 0, 8),
	  .set_up = fill_and_tap_and_receiver, .prepare = open_victim,
	  .check = check_send_tapped_to_sleeper, .flip = "ring_publish",
	  .others = others_wake_receiver, .resumed = resumed_send_tapped,
	  .variants = 1 },
	{ RECV("recv, empty", 0, 0, 8), PLAIN, .check = check_recv,
	  STOPPED_RECV },
	{ RECV("recv, the only one", 0, 1, 32), PLAIN, RECEIVED,
	  STOPPED_RECV },
	{ RECV("recv, raising the hint", 15, 1, 33), PLAIN, RECEIVED,
	  STOPPED_RECV },
	{ RECV("recv, full", 15, CAPACITY, 8), PLAIN, RECEIVED, STOPPED_RECV },
	{ RECV("recv of 0 bytes", 15, 2, 0), PLAIN, RECEIVED },
	{ RECV("recv of 100 KiB", 15, 1, 100 << 10), PLAIN, RECEIVED,
	  STOPPED_RECV },
	{ RECV("recv of 2 MiB", 15, 1, 2 << 20), PLAIN, RECEIVED,
	  STOPPED_RECV },
	{ RECV("recv before a sleeper", 15, CAPACITY, 8),
	  .set_up = fill_and_sender, .prepare = open_victim,
	  .check = check_recv_before_sleeper, .flip = "ring_consume",
	  .others = others_wake_sender, .resumed = resumed_recv,
	  .variants = 1 },
	{ .name = NULL },
};
