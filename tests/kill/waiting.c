/* SPDX-License-Identifier: MIT */
/* Victims that wait: killed and stopped before, asleep, and once they are woken. */
#include <errno.h>

#include "core/link.h"
#include "layout/mailbox.h"
#include "waiting.h"
#include "world.h"

static void make_room(void)
{
	must_be(take(), FROM_HERE);
}

/*
 * A time that passes when the victim has slept for a time, and not before: what
 * it learns from how long it waited would make its path another one each time.
 */
static int64_t fake_now_ns = 1;

static int64_t read_fake_clock(void)
{
	return fake_now_ns;
}

static int sleep_shortly(const struct futex_word *words, unsigned int count,
			 int64_t deadline_ns)
{
	int rc;

	if (deadline_ns == FUTEX_NO_DEADLINE)
		return futex_kernel_ops.wait(words, count, deadline_ns);
	rc = futex_kernel_ops.wait(words, count,
				   futex_kernel_ops.now_ns() + 1000000);
	if (rc == -ETIMEDOUT)
		fake_now_ns = deadline_ns;
	return rc;
}

static struct futex_ops fake_ops;

int open_with_fake_clock(void)
{
	int err = open_victim();

	if (err < 0)
		return err;
	fake_ops = futex_kernel_ops;
	fake_ops.now_ns = read_fake_clock;
	fake_ops.wait = sleep_shortly;
	link_victim->futex = &fake_ops;
	return 0;
}

void op_send_timed(void)
{
	shared->result = tol_send(link_victim, scratch(), scenario->size_bytes,
				  TOL_SECS(1));
}

void op_recv_timed(void)
{
	receive_as_victim(TOL_SECS(1));
}

/* ---- two who sleep: the wake of the first goes on to the second ---- */

static void another_sender_then_room(void)
{
	start_sleeping_sender(0);
	make_room();
}

static void another_receiver_then_message(void)
{
	start_sleeping_receiver(0);
	put();
}

/* One of the two must come, unaided. */
static bool check_senders(void)
{
	if (!has_acted)
		return check_send();
	await_sent((uint64_t)(scenario->passed + scenario->queued + 1));
	take_all_by(link_here, 0);
	must_be(end_sleeper(0), 0);
	take_all_by(link_here, 0);
	check_usable(link_here);
	return victims_seen > 0;
}

static bool check_receivers(void)
{
	uint64_t number;

	if (!has_acted)
		return check_recv();
	await_received((uint64_t)scenario->passed + 1);
	put();
	must_be(end_sleeper(0), (int64_t)scenario->size_bytes);
	number = shared->sleepers[0].number;
	must(number < 2);
	take_all_by(link_here, 2);
	must(!numbers_seen[number]);
	numbers_seen[number] = true;
	must(numbers_seen[1]);
	check_usable(link_here);
	return !numbers_seen[0];
}

/* The next operation passes on what the stopped one was woken for. */
static void others_wake_second_sender(void)
{
	if (has_acted) {
		must(take() != FROM_NOBODY);
		must_be(end_sleeper(0), 0);
	}
	others_use_it();
}

static void others_wake_second_receiver(void)
{
	if (has_acted) {
		put();
		must_be(end_sleeper(0), (int64_t)scenario->size_bytes);
		must(shared->sleepers[0].number < 2);
		while (take() != FROM_NOBODY)
			;
		must(!numbers_seen[shared->sleepers[0].number]);
		numbers_seen[shared->sleepers[0].number] = true;
	}
	others_leave_one();
}

/* ---- removed while they sleep ---- */

static void another_then_removed(void)
{
	start_sleeping_receiver(0);
	must_be(tol_mailbox_remove("box", NULL), 0);
}

/* The remover is dead: one of the sleepers, woken by the kernel, finishes. */
static void another_then_half_removed(void)
{
	start_sleeping_receiver(0);
	leave_dead(op_remove, is_name_gone);
}

static bool check_told(void)
{
	if (!has_acted)
		return check_recv();
	must_be(end_sleeper(0), -EIDRM);
	must(is_name_gone());
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	return false;
}

static void others_are_told(void)
{
	if (!has_acted) {
		others_leave_one();
		return;
	}
	must(is_name_gone());
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	must_be(end_sleeper(0), -EIDRM);
}

static void resumed_told(void)
{
	if (has_acted)
		must_be(shared->result, -EIDRM);
	else
		resumed_recv();
}

#define SEND .passed = 13, .queued = CAPACITY, .size_bytes = 40,	\
	.set_up = world_fill, .prepare = open_with_fake_clock,		\
	.op = op_send_forever, .resumed = resumed_send, .variants = 1
#define RECV .passed = 15, .queued = 0, .size_bytes = 40,		\
	.set_up = world_fill, .prepare = open_with_fake_clock,		\
	.op = op_recv_forever, .after = note_what_came, .variants = 1

const struct scenario waiting_scenarios[] = {
	{ .name = "send, asleep", SEND, .act = make_room, .check = check_send,
	  .flip = "ring_publish", .others = others_use_it },
	{ .name = "recv, asleep", RECV, .act = put, .check = check_recv,
	  .flip = "ring_consume", .others = others_leave_one,
	  .resumed = resumed_recv },
	{ .name = "send, timed out", .passed = 13, .queued = CAPACITY,
	  .size_bytes = 40, .set_up = world_fill,
	  .prepare = open_with_fake_clock, .op = op_send_timed,
	  .check = check_send, .others = others_use_it,
	  .resumed = resumed_send, .variants = 1 },
	{ .name = "recv, timed out", .passed = 15, .size_bytes = 40,
	  .set_up = world_fill, .prepare = open_with_fake_clock,
	  .op = op_recv_timed, .after = note_what_came, .check = check_recv,
	  .others = others_leave_one, .resumed = resumed_recv,
	  .variants = 1 },
	{ .name = "send, asleep before another", SEND,
	  .act = another_sender_then_room, .check = check_senders,
	  .flip = "ring_publish", .others = others_wake_second_sender },
	{ .name = "recv, asleep before another", RECV,
	  .act = another_receiver_then_message, .check = check_receivers,
	  .flip = "ring_consume", .others = others_wake_second_receiver,
	  .resumed = resumed_recv },
	{ .name = "recv, asleep, removed", RECV, .act = another_then_removed,
	  .check = check_told, .others = others_are_told,
	  .resumed = resumed_told },
	{ .name = "recv, asleep, half removed", RECV,
	  .act = another_then_half_removed, .check = check_told,
	  .others = others_are_told, .resumed = resumed_told },
	{ .name = NULL },
};
