/* SPDX-License-Identifier: MIT */
/* Messages that are taken and held, that come back, and loans. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "world.h"

static struct tol_message held;
static struct tol_loan loan;

/* ---- what the victim does ---- */

static void op_take(void)
{
	shared->result = tol_take(link_victim, TOL_NOWAIT, NULL, &held);
}

static void op_take_forever(void)
{
	shared->result = tol_take(link_victim, TOL_FOREVER, NULL, &held);
}

static void op_take_once_only(void)
{
	struct tol_take_opts opts = { .max_tries = 1 };

	shared->result = tol_take(link_victim, TOL_NOWAIT, &opts, &held);
}

static void op_ack(void)
{
	shared->result = tol_ack(link_victim, &held);
}

static void op_return(void)
{
	shared->result = tol_return(link_victim, &held);
}

static void op_loan(void)
{
	shared->result = tol_loan(link_victim, scenario->size_bytes, &loan);
}

static void op_post(void)
{
	shared->result = tol_post(link_victim, &loan, TOL_NOWAIT, NULL);
}

static int open_and_take(void)
{
	int err = open_victim();

	return err < 0 ? err : tol_take(link_victim, TOL_NOWAIT, NULL, &held);
}

static int open_and_loan(void)
{
	int err = open_victim();

	if (err == 0)
		err = tol_loan(link_victim, scenario->size_bytes, &loan);
	if (err == 0)
		make_body(loan.body, scenario->size_bytes, VICTIMS_NUMBER);
	return err;
}

/* What it holds is what was sent. */
static void note_what_is_held(void)
{
	uint64_t number;

	if (shared->result < 0)
		return;
	memcpy(&number, held.body, sizeof(number));
	shared->number = number;
	shared->is_whole = held.size_bytes == scenario->size_bytes &&
			   is_body_of(held.body, scenario->size_bytes, number);
}

/* ---- what is there before ---- */

static void fill_and_return(void)
{
	struct tol_message message;

	world_fill();
	must_be(tol_take(link_here, TOL_NOWAIT, NULL, &message), 0);
	must_be(tol_return(link_here, &message), 0);
}

static int hold_and_die(int index)
{
	struct tol_link *link;

	(void)index;
	if (tol_open(&link, "box", NULL) < 0 ||
	    tol_take(link, TOL_NOWAIT, NULL, &held) < 0)
		return 1;
	raise(SIGKILL);
	return 2;
}

static void fill_and_leave_dead_holder(void)
{
	world_fill();
	must_be(end_child(start_child(hold_and_die, 0)), -SIGKILL);
}

/* The victim is nobody's heir: it has to find out. */
static int open_then_let_holder_die(void)
{
	int err = open_victim();

	must_be(end_child(start_child(hold_and_die, 0)), -SIGKILL);
	return err;
}

/* ---- killed ---- */

/* Whatever it held comes back, first of all. */
static void all_is_there(int missing)
{
	struct tol_link *fresh;

	must_be(tol_open(&fresh, "box", NULL), 0);
	take_all_by(fresh, missing);
	must(look().held_msgs == 0);
	must(look().returned_msgs == 0);
	check_usable(fresh);
	check_usable(link_here);
	tol_close(fresh);
}

static bool check_take(void)
{
	bool happened = look().received_msgs > (uint64_t)scenario->passed;

	all_is_there(0);
	return happened;
}

static bool check_take_again(void)
{
	bool happened = look().held_msgs == 1;

	all_is_there(0);
	return happened;
}

static bool check_ack(void)
{
	all_is_there(1);
	return count_missing() > 0;
}

static bool check_return(void)
{
	bool happened = look().returned_msgs == 1;

	all_is_there(0);
	return happened;
}

static bool check_nothing_is_lost(void)
{
	all_is_there(0);
	return false;
}

static bool check_bury(void)
{
	bool happened = look().dead_msgs == 1;
	struct tol_link *dead;

	must_be(tol_open(&dead, "box:dead", NULL), 0);
	take_all_by(dead, (int)numbers_sent);
	tol_close(dead);
	all_is_there(0);
	return happened;
}

/* ---- stopped ---- */

static void others_go_on(void)
{
	may_come_late = true;
	others_use_it();
}

static void others_go_on_and_leave_one(void)
{
	others_go_on();
	put();
}

/* It has ended, and what it held is back. */
static void resumed_holder(void)
{
	if (shared->result == 0 && !shared->is_whole &&
	    scenario->after == note_what_is_held)
		fail("what the victim holds is torn");
	must(shared->result == 0 || shared->result == -EAGAIN);
	take_all_by(link_here, 0);
	check_usable(link_here);
}

static void resumed_ack(void)
{
	must_be(shared->result, 0);
	take_all_by(link_here, 1);
	must_be(count_missing(), 1);
	check_usable(link_here);
}

static void resumed_loan(void)
{
	must_be(shared->result, 0);
	take_all_by(link_here, 0);
	check_usable(link_here);
}

static void resumed_post(void)
{
	must_be(shared->result, 0);
	take_all_by(link_here, 0);
	must_be(victims_seen, 1);
	check_usable(link_here);
}

#define WITH(name_, passed_, queued_, size_)				\
	.name = name_, .passed = passed_, .queued = queued_,		\
	.size_bytes = size_
#define PLAIN .set_up = world_fill, .prepare = open_victim
#define TAKEN .op = op_take, .after = note_what_is_held
#define STOPPED(others_, resumed_)					\
	.others = others_, .resumed = resumed_, .variants = 1

const struct scenario holding_scenarios[] = {
	{ WITH("take, the only one", 0, 1, 32), PLAIN, TAKEN,
	  .check = check_take, .flip = "ring_take",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("take, full", 15, CAPACITY, 33), PLAIN, TAKEN,
	  .check = check_take, .flip = "ring_take",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("take of 100 KiB", 15, 2, 100 << 10), PLAIN, TAKEN,
	  .check = check_take, .flip = "ring_take",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("take of 2 MiB", 15, 1, 2 << 20), PLAIN, TAKEN,
	  .check = check_take, .flip = "ring_take",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("take, asleep", 15, 0, 8), PLAIN, .op = op_take_forever,
	  .act = put, .check = check_take, .flip = "ring_take" },
	{ WITH("take of one that came back", 15, 2, 32),
	  .set_up = fill_and_return, .prepare = open_victim, TAKEN,
	  .check = check_take_again, .flip = "hold_take",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("take, burying", 15, 1, 32), .set_up = fill_and_return,
	  .prepare = open_victim, .op = op_take_once_only,
	  .check = check_bury, .flip = "hold_bury" },
	{ WITH("recv of one that came back", 15, 2, 32),
	  .set_up = fill_and_return, .prepare = open_victim, .op = op_recv,
	  .after = note_what_came, .check = check_recv,
	  .flip = "hold_consume" },
	{ WITH("recv, from a dead holder", 15, 2, 32), .set_up = world_fill,
	  .prepare = open_then_let_holder_die, .op = op_recv,
	  .after = note_what_came, .check = check_recv,
	  .flip = "hold_consume" },
	{ WITH("open, as heir of a dead holder", 15, 2, 32),
	  .set_up = fill_and_leave_dead_holder,
	  .op = op_open, .check = check_nothing_is_lost },
	{ WITH("ack", 15, 2, 32), .set_up = world_fill,
	  .prepare = open_and_take, .op = op_ack, .check = check_ack,
	  .flip = "hold_ack", STOPPED(others_go_on, resumed_ack) },
	{ WITH("ack of 2 MiB", 15, 2, 2 << 20), .set_up = world_fill,
	  .prepare = open_and_take, .op = op_ack, .check = check_ack,
	  .flip = "hold_ack", STOPPED(others_go_on, resumed_ack) },
	{ WITH("return", 15, 2, 32), .set_up = world_fill,
	  .prepare = open_and_take, .op = op_return, .check = check_return,
	  .flip = "put", STOPPED(others_go_on, resumed_holder) },
	{ WITH("loan of 100 KiB", 15, 1, 100 << 10), PLAIN, .op = op_loan,
	  .check = check_nothing_is_lost,
	  STOPPED(others_go_on, resumed_loan) },
	{ WITH("loan of 2 MiB", 15, 1, 2 << 20), PLAIN, .op = op_loan,
	  .check = check_nothing_is_lost,
	  STOPPED(others_go_on, resumed_loan) },
	{ WITH("post", 15, 1, 32), .set_up = world_fill,
	  .prepare = open_and_loan, .op = op_post, .check = check_send,
	  .flip = "ring_publish", STOPPED(others_go_on, resumed_post) },
	{ WITH("post of 2 MiB", 15, 1, 2 << 20), .set_up = world_fill,
	  .prepare = open_and_loan, .op = op_post, .check = check_send,
	  .flip = "ring_publish", STOPPED(others_go_on, resumed_post) },
	{ .name = NULL },
};
