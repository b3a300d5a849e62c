/* SPDX-License-Identifier: MIT */
/* A mailbox in which somebody selects: the index, and who waits for a tag. */
#include <errno.h>
#include <string.h>

#include "waiting.h"
#include "world.h"

#define WANTED_TAG 7u

/* ---- what is there before ---- */

/* Nothing has that tag: all that is there moves to the index. */
static void select_nothing(void)
{
	const struct tol_select select = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 1000,
		.last_tag = 2000,
	};
	struct tol_message message;

	must_be(tol_recv_select(link_here, &select, NULL, 0, TOL_NOWAIT,
				&message), -EAGAIN);
}

/* Still in the ring, and to be moved. */
static void fill_unmoved(void)
{
	uint64_t number;

	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
	select_nothing();
	for (int i = 0; i < scenario->passed; i++) {
		must_be(tol_send(link_here, "passed..", 8, TOL_NOWAIT), 0);
		must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), 8);
	}
	for (int i = 0; i < scenario->queued; i++)
		put();
}

static void fill_moved(void)
{
	fill_unmoved();
	select_nothing();
}

/* One of the moved ones is received: its slot is not the one that is free. */
static void fill_moved_and_take(void)
{
	fill_moved();
	must_be(take(), FROM_HERE);
}

static void fill_unmoved_and_receiver(void)
{
	fill_unmoved();
	start_sleeping_receiver(0);
}

static void fill_moved_and_sender(void)
{
	fill_moved();
	start_sleeping_sender(0);
}

/* Messages of other tags around the one that is wanted. */
static void fill_with_tags(void)
{
	world_fill();
	for (uint64_t tag = WANTED_TAG - 1; tag <= WANTED_TAG + 1; tag++) {
		const struct tol_send_opts opts = { .tag = tag };

		make_body(scratch(), scenario->size_bytes, numbers_sent);
		must_be(tol_send_message(link_here, scratch(),
					 scenario->size_bytes, TOL_NOWAIT,
					 &opts), 0);
		numbers_sent++;
	}
	may_come_late = true;
}

static void fill_with_moved_tags(void)
{
	fill_with_tags();
	select_nothing();
}

/* ---- what the victim does ---- */

static struct tol_message came;

static void op_select(void)
{
	const struct tol_select select = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = WANTED_TAG,
		.last_tag = WANTED_TAG,
	};

	shared->result = tol_recv_select(link_victim, &select, scratch(),
					 scenario->size_bytes, TOL_NOWAIT,
					 &came);
}

static void note_what_was_selected(void)
{
	shared->number = 1;
	shared->is_whole = shared->result == (int64_t)scenario->size_bytes &&
			   came.tag == WANTED_TAG &&
			   is_body_of(scratch(), scenario->size_bytes, 1);
}

static struct tol_message held;

static void op_take(void)
{
	shared->result = tol_take(link_victim, TOL_NOWAIT, NULL, &held);
}

static void op_send_first(void)
{
	const struct tol_send_opts opts = { .priority = 3 };

	shared->result = tol_send_message(link_victim, scratch(),
					  scenario->size_bytes, TOL_NOWAIT,
					  &opts);
}

static void op_purge(void)
{
	shared->result = tol_purge(link_victim);
}

/* ---- killed ---- */

static bool sorted_check_send_to_sleeper(void)
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

static bool sorted_check_recv_before_sleeper(void)
{
	int left = 0;

	/* It is there by now, or still waits for room. */
	while (take() != FROM_NOBODY)
		left++;
	must_be(end_sleeper(0), 0);
	while (take() != FROM_NOBODY)
		left++;
	check_usable(link_here);
	return left < scenario->queued + 1;
}

static bool check_take(void)
{
	struct tol_link *fresh;
	bool happened;

	/* Its heir puts back what it held. */
	must_be(tol_open(&fresh, "box", NULL), 0);
	happened = look().returned_msgs == 1;
	take_all_by(fresh, 0);
	must_be((int64_t)look().held_msgs, 0);
	check_usable(fresh);
	check_usable(link_here);
	tol_close(fresh);
	return happened;
}

/* One of the two must come, unaided. */
static bool check_receivers(void)
{
	if (!has_acted)
		return check_recv();
	await_received((uint64_t)scenario->passed + 1);
	put();
	must_be(end_sleeper(0), (int64_t)scenario->size_bytes);
	must(shared->sleepers[0].number < 2);
	numbers_seen[shared->sleepers[0].number] = true;
	may_come_late = true;
	take_all_by(link_here, 1);
	check_usable(link_here);
	return count_missing() > 0;
}

static bool check_purge(void)
{
	int left = 0;

	may_come_late = true;
	while (take() != FROM_NOBODY)
		left++;
	must(left <= scenario->queued);
	check_usable(link_here);
	return left == 0;
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

static void sorted_others_wake_receiver(void)
{
	put();
	must_be(end_sleeper(0), 8);
	if (shared->sleepers[0].from == victim_pid)
		victims_seen++;
	else
		numbers_seen[0] = shared->sleepers[0].number == 0;
	others_go_on();
}

static void sorted_others_wake_sender(void)
{
	must_be(take(), FROM_HERE);
	must_be(end_sleeper(0), 0);
	others_go_on_and_leave_one();
}

/* It may have been named for the message that the other one wants. */
static void others_wake_second(void)
{
	if (has_acted) {
		put();
		must_be(end_sleeper(0), (int64_t)scenario->size_bytes);
		must(shared->sleepers[0].number < 2);
		numbers_seen[shared->sleepers[0].number] = true;
	}
	others_go_on_and_leave_one();
}

static void resumed_select(void)
{
	must(shared->result == -EAGAIN || shared->is_whole);
	if (shared->result >= 0) {
		must(!numbers_seen[1]);
		numbers_seen[1] = true;
	}
	take_all_by(link_here, 0);
	check_usable(link_here);
}

static void resumed_holder(void)
{
	must(shared->result == 0 || shared->result == -EAGAIN);
	take_all_by(link_here, 0);
	check_usable(link_here);
}

static void another_receiver_then_message(void)
{
	start_sleeping_receiver(0);
	put();
}

#define WITH(name_, passed_, queued_, size_)				\
	.name = name_, .passed = passed_, .queued = queued_,		\
	.size_bytes = size_, .prepare = open_victim
#define RECV .op = op_recv, .after = note_what_came, .check = check_recv, \
	.flip = "change_make"
#define SEND .op = op_send, .check = check_send, .flip = "ring_publish"
#define STOPPED(others_, resumed_)					\
	.others = others_, .resumed = resumed_, .variants = 1

const struct scenario selecting_scenarios[] = {
	{ WITH("sorted recv, unmoved", 15, 2, 32), .set_up = fill_unmoved,
	  RECV, STOPPED(others_go_on_and_leave_one, resumed_recv) },
	{ WITH("sorted recv, full", 15, CAPACITY, 33), .set_up = fill_moved,
	  RECV, STOPPED(others_go_on_and_leave_one, resumed_recv) },
	{ WITH("sorted recv of 100 KiB", 15, 2, 100 << 10),
	  .set_up = fill_moved, RECV },
	{ WITH("sorted recv of 2 MiB", 15, 1, 2 << 20),
	  .set_up = fill_unmoved, RECV },
	{ WITH("sorted recv, empty", 15, 0, 8), .set_up = fill_moved,
	  .op = op_recv, .after = note_what_came, .check = check_recv,
	  STOPPED(others_go_on_and_leave_one, resumed_recv) },
	{ WITH("sorted recv, asleep", 15, 0, 8), .set_up = fill_unmoved,
	  .op = op_recv_forever, .act = put, .after = note_what_came,
	  .check = check_recv, .flip = "change_make",
	  STOPPED(others_go_on_and_leave_one, resumed_recv) },
	{ WITH("sorted recv, asleep before another", 15, 0, 8),
	  .set_up = fill_unmoved, .op = op_recv_forever,
	  .act = another_receiver_then_message, .after = note_what_came,
	  .check = check_receivers, .flip = "change_make",
	  STOPPED(others_wake_second, resumed_recv) },
	{ .name = "sorted recv, timed out", .passed = 15, .size_bytes = 8,
	  .set_up = fill_unmoved, .prepare = open_with_fake_clock,
	  .op = op_recv_timed, .after = note_what_came, .check = check_recv,
	  STOPPED(others_go_on_and_leave_one, resumed_recv) },
	{ WITH("sorted recv before a sleeper", 15, CAPACITY, 8),
	  .set_up = fill_moved_and_sender, .op = op_recv,
	  .after = note_what_came, .check = sorted_check_recv_before_sleeper,
	  .flip = "change_make", STOPPED(sorted_others_wake_sender, resumed_recv) },
	{ WITH("select the middle one", 15, 0, 40), .set_up = fill_with_tags,
	  .op = op_select, .after = note_what_was_selected,
	  .check = check_recv, .flip = "change_make",
	  STOPPED(others_go_on, resumed_select) },
	{ WITH("select the middle one, moved", 15, 0, 40),
	  .set_up = fill_with_moved_tags, .op = op_select,
	  .after = note_what_was_selected, .check = check_recv,
	  .flip = "change_make", STOPPED(others_go_on, resumed_select) },
	{ WITH("sorted take", 15, 2, 32), .set_up = fill_moved,
	  .op = op_take, .check = check_take, .flip = "change_make",
	  STOPPED(others_go_on_and_leave_one, resumed_holder) },
	{ WITH("sorted purge", 15, 1, 32), .set_up = fill_unmoved,
	  .op = op_purge, .check = check_purge, .flip = "change_make" },
	{ WITH("sorted send", 15, 1, 32), .set_up = fill_moved, SEND,
	  STOPPED(others_go_on, resumed_send) },
	{ WITH("sorted send, filling it", 15, CAPACITY, 8),
	  .set_up = fill_moved_and_take, SEND,
	  STOPPED(others_go_on, resumed_send) },
	{ WITH("sorted send, the first priority", 15, 1, 32),
	  .set_up = world_fill, .op = op_send_first, .check = check_send,
	  .flip = "ring_publish" },
	{ WITH("sorted send to a sleeper", 15, 0, 8),
	  .set_up = fill_unmoved_and_receiver, .op = op_send,
	  .check = sorted_check_send_to_sleeper, .flip = "ring_publish",
	  STOPPED(sorted_others_wake_receiver, resumed_send) },
	{ .name = NULL },
};
