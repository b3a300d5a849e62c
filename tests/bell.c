/* SPDX-License-Identifier: MIT */
/*
 * Waiting and waking, one interleaving at a time, with a clock and a futex of
 * our own (support/fake_futex.h): doc/mailbox-protocol.md, section 3. Tests in a
 * loop run for receivers of an empty mailbox (0) and senders to a full one (1).
 */
#include <errno.h>
#include <stdint.h>

#include "fake_futex.h"
#include "support.h"
#include "tolsey.h"
#include "waiters.h"

#define MSEC 1000000
#define SLICE_NS (5 * MSEC)

/* ---- nobody waits ---------------------------------------------------------- */

START_TEST(calls_that_need_not_wait_make_no_call)
{
	char byte;

	waiters_begin(0);
	for (int lap = 0; lap < 5; lap++) {
		ck_assert_int_eq(tol_send(one, "x", 1, TOL_FOREVER), 0);
		ck_assert_int_eq(tol_send(two, "x", 1, TOL_SECS(1)), 0);
		ck_assert_int_eq(tol_send(two, "x", 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_int_eq(tol_recv(one, &byte, 1, TOL_FOREVER), 1);
		ck_assert_int_eq(tol_recv(two, &byte, 1, TOL_SECS(1)), 1);
		ck_assert_int_eq(tol_recv(two, &byte, 1, TOL_NOWAIT), -EAGAIN);
	}
	ck_assert_int_eq(fake_calls_count(), 0);
	ck_assert_uint_eq(one->head->receivers, 0);
	ck_assert_uint_eq(one->head->senders, 0);
	waiters_end();
}
END_TEST

/* ---- one that waits, and what comes at each point of its way ---------------- */

struct way {
	struct bell_waiter waiter;
	struct ring_gate gate;
};

/* Looks once. Return: 0 it need not wait; -EAGAIN */
static int look(struct way *way)
{
	struct ring_message message;
	struct ring_room room;
	int err;

	if (!waits_to_send)
		return ring_find_message(one, &message, &way->gate);
	err = ring_find_room(one, &room);
	way->gate = room.gate;
	return err;
}

START_TEST(what_comes_before_the_announcement_is_found_without_a_wake)
{
	struct way way;

	waiters_begin(_i);
	bell_begin(&way.waiter, one, waits_to_send, TOL_FOREVER);
	ck_assert_int_eq(look(&way), -EAGAIN);
	serve_two();
	ck_assert_int_eq(fake.wakes_count, 0);
	ck_assert_int_eq(bell_wait(&way.waiter, &way.gate), 0);
	ck_assert_uint_eq(count(), 1);
	ck_assert_int_eq(look(&way), 0);
	bell_end(&way.waiter);
	ck_assert_uint_eq(count(), 0);
	ck_assert_int_eq(fake.waits_count, 0);
	waiters_end();
}
END_TEST

START_TEST(what_comes_after_the_announcement_turns_it_away)
{
	struct way way;

	waiters_begin(_i);
	bell_begin(&way.waiter, one, waits_to_send, TOL_FOREVER);
	ck_assert_int_eq(look(&way), -EAGAIN);
	ck_assert_int_eq(bell_wait(&way.waiter, &way.gate), 0);
	ck_assert_uint_eq(count(), 1);
	serve_two();
	/* Nobody was asleep: the count is 0 and the epoch another. */
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 2);
	ck_assert_int_eq(look(&way), 0);
	bell_end(&way.waiter);
	ck_assert_uint_eq(count(), 0);
	ck_assert_int_eq(fake.waits_count, 0);
	waiters_end();
}
END_TEST

/* After the last look, at each step by which the kernel queues and compares. */
static void check_arrival(enum fake_point point, void (*serve)(void))
{
	fake.at[point] = serve;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_ptr_null(fake.at[point]);
	ck_assert_int_eq(fake.sleeps_count, 0);
	ck_assert_int_eq(fake.waits_count, 1);
	ck_assert_uint_eq(count(), 0);
}

static const enum fake_point ways_in[] = { FAKE_BEFORE_WAIT, FAKE_QUEUED_1,
	FAKE_QUEUED_2, FAKE_QUEUED_3 };

START_TEST(what_comes_on_the_way_into_the_kernel_is_not_slept_over)
{
	waiters_begin(_i % 2);
	check_arrival(ways_in[_i / 2], serve_two);
	waiters_end();
}
END_TEST

/* Its gate alone tells: nobody wakes, and no epoch changes. */
START_TEST(what_a_stopped_one_did_on_the_way_in_is_not_slept_over)
{
	waiters_begin(_i % 2);
	check_arrival(ways_in[_i / 2], serve_and_stop);
	ck_assert_uint_eq(epoch(), 0);
	ck_assert_int_eq(fake.woken_count, 0);
	waiters_end();
}
END_TEST

START_TEST(one_asleep_is_woken_by_one_wake)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 1);
	ck_assert_int_eq(fake.wakes_count, 1);
	ck_assert_int_eq(fake.woken_count, 1);
	ck_assert_int_eq(fake.wait_ones_count, 0);
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 0);
	waiters_end();
}
END_TEST

static uint32_t *said_count(void)
{
	return waits_to_send ? &one->own->waiting_send
			     : &one->own->waiting_recv;
}

static void see_it_said(void)
{
	ck_assert_uint_eq(*said_count(), 1);
	serve_two();
}

START_TEST(who_is_asleep_is_said_in_its_record)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = see_it_said;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_uint_eq(*said_count(), 0);
	ck_assert_int_eq(wait_call(one, MSEC),
			 -ETIMEDOUT);
	ck_assert_uint_eq(*said_count(), 0);
	waiters_end();
}
END_TEST

/* Woken by nobody's word: it looks, and sleeps again. */
static void wake_for_nothing(void)
{
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(fake_die(&one->head->bell), 1);
}

START_TEST(one_woken_for_nothing_sleeps_again)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = wake_for_nothing;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_int_eq(fake.woken_count, 1);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

static void serve_another_first(void)
{
	serve_two();
	ck_assert_int_eq(wait_call(three, TOL_NOWAIT), 0);
	fake.at[FAKE_ASLEEP] = serve_two;
}

START_TEST(one_who_was_overtaken_sleeps_again)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = serve_another_first;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

static void remove_it(void)
{
	store_release_64(&one->head->control, CONTROL_REMOVED);
	bell_ring_all(one->head, &fake_futex_ops);
}

START_TEST(removal_wakes_and_turns_away)
{
	static const enum fake_point points[] = { FAKE_BEFORE_WAIT,
		FAKE_QUEUED_1, FAKE_QUEUED_2, FAKE_QUEUED_3, FAKE_ASLEEP };

	waiters_begin(_i % 2);
	fake.at[points[_i / 2]] = remove_it;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), -EIDRM);
	store_release_64(&one->head->control, CONTROL_LIVE);
	waiters_end();
}
END_TEST

/* ---- wakers that are killed or stopped -------------------------------------- */

START_TEST(a_waker_killed_before_its_wake_is_replaced_by_the_kernel)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = serve_and_die;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 1);
	ck_assert_int_eq(fake.woken_count, 0);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

/* A call that does not get what it wants still gives wakes that are owed. */
static void pass_by_in_vain(void)
{
	char byte;

	ck_assert_int_eq(fake.woken_count, 0);
	if (waits_to_send)
		ck_assert_int_eq(tol_recv(three, &byte, 0, TOL_NOWAIT),
				 -EMSGSIZE);
	else
		ck_assert_int_eq(tol_send(three, "s", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(fake.woken_count, 1);
}

static void stop_then_pass_by(void)
{
	serve_only(two);
	if (!waits_to_send)
		serve_only(two);
	fake.at[FAKE_ASLEEP] = pass_by_in_vain;
}

START_TEST(the_wake_of_a_stopped_one_is_given_by_the_next_call)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = stop_then_pass_by;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 1);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

static void see_other_kind_woken(void)
{
	ck_assert_int_eq(fake.woken_count, 1);
}

/* The one stopped has emptied (filled) it; the next wants the same in vain. */
static void stop_then_sleep_as_other_kind(void)
{
	char byte;

	serve_only(two);
	serve_only(two);
	fake.at[FAKE_ASLEEP] = see_other_kind_woken;
	if (waits_to_send)
		ck_assert_int_eq(tol_recv(three, &byte, 1, MSEC), -ETIMEDOUT);
	else
		ck_assert_int_eq(tol_send(three, "s", 1, MSEC), -ETIMEDOUT);
	ck_assert_ptr_null(fake.at[FAKE_ASLEEP]);
}

START_TEST(one_about_to_sleep_first_wakes_the_other_kind)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = stop_then_sleep_as_other_kind;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_uint_eq(one->head->receivers & UINT32_MAX, 0);
	ck_assert_uint_eq(one->head->senders & UINT32_MAX, 0);
	waiters_end();
}
END_TEST

static void wake_and_kill_the_woken(void)
{
	serve_three();
	ck_assert_int_eq(fake.woken_count, 1);
	ck_assert_int_eq(fake_kill_sleeper(&one->head->bell), 1);
}

static void sleep_beside_one_who_dies(void)
{
	fake.at[FAKE_ASLEEP] = wake_and_kill_the_woken;
	ck_assert_int_eq(wait_call(two, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_uint_eq(count(), 0);
}

/* In the fake the dead one goes on afterwards, as a stopped one would. */
START_TEST(the_wake_of_one_who_dies_before_acting_goes_to_another)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = sleep_beside_one_who_dies;
	ck_assert_int_eq(wait_call(one, MSEC), -ETIMEDOUT);
	ck_assert_int_eq(fake.sleeps_count, 3);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

/* ---- how many are woken ------------------------------------------------------ */

static void serve_second(void)
{
	serve_three();
	ck_assert_int_eq(fake.wakes_count, 2);
	ck_assert_int_eq(fake.woken_count, 2);
	ck_assert_uint_eq(count(), 0);
}

static void serve_first(void)
{
	ck_assert_uint_eq(count(), 2);
	serve_three();
	ck_assert_int_eq(fake.wakes_count, 1);
	ck_assert_int_eq(fake.woken_count, 1);
	ck_assert_uint_eq(count(), 1);
	fake.at[FAKE_ASLEEP] = serve_second;
}

static void sleep_beside(void)
{
	fake.at[FAKE_ASLEEP] = serve_first;
	ck_assert_int_eq(wait_call(two, TOL_FOREVER), 0);
}

START_TEST(each_event_wakes_one_of_those_who_sleep)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = sleep_beside;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_int_eq(fake.wakes_count, 2);
	waiters_end();
}
END_TEST

/* ---- counts ------------------------------------------------------------------ */

START_TEST(the_count_of_killed_sleepers_is_set_right_once)
{
	waiters_begin(_i);
	set_sleepers(3, 0);
	serve_two();
	ck_assert_int_eq(fake.wakes_count, 2);
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 2);
	serve_two();
	ck_assert_int_eq(fake.wakes_count, 2);
	waiters_end();
}
END_TEST

/* Whoever was setting it right was killed in the middle. */
START_TEST(a_count_left_in_an_odd_epoch_is_set_right_too)
{
	waiters_begin(_i);
	set_sleepers(3, 1);
	serve_two();
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 4);
	set_sleepers(1, UINT32_MAX);
	serve_two();
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 2);
	waiters_end();
}
END_TEST

/* Else it could come back to the number that a reset expects. */
START_TEST(in_an_odd_epoch_no_waker_lowers_the_count)
{
	waiters_begin(_i);
	set_sleepers(0, 1);
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_uint_eq(count(), 1);
	ck_assert_uint_eq(epoch(), 1);
	serve_two();
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 4);
	waiters_end();
}
END_TEST

static struct way newcomer;

static void announce_newcomer(void)
{
	ck_assert_uint_eq(epoch(), 1);
	bell_begin(&newcomer.waiter, one, waits_to_send, TOL_FOREVER);
	ck_assert_int_eq(bell_wait(&newcomer.waiter, &newcomer.gate), 0);
	ck_assert_uint_eq(count(), 3);
}

static void announce_at_next_wake(void)
{
	fake.at[FAKE_BEFORE_WAKE] = announce_newcomer;
}

START_TEST(a_count_is_not_set_right_over_one_who_announced_meanwhile)
{
	waiters_begin(_i);
	set_sleepers(2, 0);
	fake.at[FAKE_BEFORE_WAKE] = announce_at_next_wake;
	serve_two();
	ck_assert_uint_eq(count(), 3);
	ck_assert_uint_eq(epoch(), 1);
	/* It goes, and gives the wake that it was: nobody is there. */
	bell_end(&newcomer.waiter);
	ck_assert_uint_eq(count(), 0);
	ck_assert_uint_eq(epoch(), 4);
	waiters_end();
}
END_TEST

START_TEST(a_late_retraction_does_not_lower_a_newer_count)
{
	struct way way;

	waiters_begin(_i);
	bell_begin(&way.waiter, one, waits_to_send, TOL_FOREVER);
	ck_assert_int_eq(look(&way), -EAGAIN);
	ck_assert_int_eq(bell_wait(&way.waiter, &way.gate), 0);
	set_sleepers(5, 2);
	bell_end(&way.waiter);
	ck_assert_uint_eq(count(), 5);
	waiters_end();
}
END_TEST

static void serve_and_wake_twice(void)
{
	serve_two();
	ck_assert_int_eq(fake_die(&one->head->bell), 1);
}

/* Its waker has lowered the count: it must not do so too. */
START_TEST(one_woken_on_bell_and_epoch_is_counted_once)
{
	waiters_begin(_i);
	set_sleepers(1, 0);
	fake.at[FAKE_ASLEEP] = serve_and_wake_twice;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_uint_eq(count(), 1);
	waiters_end();
}
END_TEST

/* ---- time -------------------------------------------------------------------- */

START_TEST(a_timeout_ends_at_its_deadline_and_not_before)
{
	static const int64_t timeouts[] = { 1, MSEC, TOL_SECS(3600) };
	int64_t start_ns, timeout_ns = timeouts[_i / 2];

	waiters_begin(_i % 2);
	start_ns = fake.now_ns;
	/* A signal first: then the same deadline once more. */
	fake.next_error = -EINTR;
	ck_assert_int_eq(wait_call(one, timeout_ns), -ETIMEDOUT);
	ck_assert_int_eq(fake.last_deadline_ns, start_ns + timeout_ns);
	ck_assert_int_eq(fake.now_ns, start_ns + timeout_ns);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

START_TEST(a_timeout_beyond_all_time_is_no_overflow)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, INT64_MAX), 0);
	ck_assert_int_eq(fake.last_deadline_ns, INT64_MAX - 1);
	waiters_end();
}
END_TEST

START_TEST(a_timeout_that_is_over_before_the_sleep_does_not_sleep)
{
	waiters_begin(_i);
	fake.tick_ns = 10;
	ck_assert_int_eq(wait_call(one, 5), -ETIMEDOUT);
	ck_assert_int_eq(fake.waits_count, 0);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

static void serve_too_late(void)
{
	fake.now_ns += TOL_SECS(1);
	serve_only(two);
}

/* Late, and woken by nobody: what is there is taken all the same. */
START_TEST(what_is_there_at_the_deadline_is_taken)
{
	waiters_begin(_i);
	fake.at[FAKE_ASLEEP] = serve_too_late;
	ck_assert_int_eq(wait_call(one, MSEC), 0);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

START_TEST(signals_do_not_end_a_call)
{
	waiters_begin(_i);
	fake.next_error = -EINTR;
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 2);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

/* ---- without the kernel's help ------------------------------------------------ */

static void lose_help(int index)
{
	waiters_begin(index % 2);
	if (index / 2 == 0)
		fake.has_waitv = false;
	else
		robust_thread_head = ROBUST_NONE;
}

static void regain_help(void)
{
	if (robust_thread_head == ROBUST_NONE)
		robust_thread_head = ROBUST_UNKNOWN;
	waiters_end();
}

START_TEST(without_help_it_sleeps_in_slices)
{
	int64_t start_ns;

	lose_help(_i);
	start_ns = fake.now_ns;
	ck_assert_int_eq(wait_call(one, 12 * MSEC), -ETIMEDOUT);
	ck_assert_int_eq(fake.wait_ones_count, 3);
	ck_assert_int_eq(fake.waits_count, _i / 2 == 0 ? 3 : 0);
	ck_assert_int_eq(fake.now_ns, start_ns + 12 * MSEC);
	ck_assert_uint_eq(count(), 0);
	regain_help();
}
END_TEST

START_TEST(without_help_one_is_still_woken_at_once)
{
	int64_t start_ns;

	lose_help(_i);
	start_ns = fake.now_ns;
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.now_ns, start_ns);
	ck_assert_int_eq(fake.woken_count, 1);
	ck_assert_uint_eq(count(), 0);
	regain_help();
}
END_TEST

START_TEST(without_help_a_killed_waker_costs_one_slice)
{
	int64_t start_ns;

	lose_help(_i);
	start_ns = fake.now_ns;
	fake.at[FAKE_ASLEEP] = serve_and_stop;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.now_ns, start_ns + SLICE_NS);
	ck_assert_uint_eq(count(), 0);
	regain_help();
}
END_TEST

/* ---- looking before sleeping --------------------------------------------------- */

static void serve_at_next_look(void)
{
	fake.at[FAKE_CLOCK] = serve_two;
}

START_TEST(what_comes_while_looking_costs_no_futex_call)
{
	waiters_begin(_i);
	one->flags &= ~TOL_SPIN_NEVER;
	one->may_spin = true;
	fake.tick_ns = 1000;
	fake.at[FAKE_CLOCK] = serve_at_next_look;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.waits_count + fake.wakes_count, 0);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

START_TEST(looking_in_vain_ends_and_then_it_sleeps)
{
	waiters_begin(_i);
	one->flags &= ~TOL_SPIN_NEVER;
	one->may_spin = true;
	fake.tick_ns = 1000;
	fake.at[FAKE_ASLEEP] = serve_two;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	ck_assert_int_eq(fake.sleeps_count, 1);
	ck_assert_int_gt(fake.clocks_count, 4);
	ck_assert_int_lt(fake.clocks_count, 1000);
	waiters_end();
}
END_TEST

START_TEST(who_only_spins_never_sleeps)
{
	waiters_begin(_i);
	one->flags |= TOL_SPIN_ONLY;
	fake.tick_ns = 1000;
	fake.at[FAKE_CLOCK] = serve_at_next_look;
	ck_assert_int_eq(wait_call(one, TOL_FOREVER), 0);
	while (wait_call(three, TOL_NOWAIT) == 0)
		;
	ck_assert_int_eq(wait_call(one, MSEC), -ETIMEDOUT);
	ck_assert_int_eq(fake.waits_count + fake.wait_ones_count +
			 fake.wakes_count, 0);
	ck_assert_uint_eq(count(), 0);
	waiters_end();
}
END_TEST

static TCase *tcase;

static void add(const TTest *test, int count_of_kinds)
{
	if (robust_find_head() == ROBUST_NONE)
		support_skip(test->name, "no robust list");
	else
		tcase_add_loop_test(tcase, test, 0, count_of_kinds);
}

static void add_sleepers(void)
{
	add(what_comes_before_the_announcement_is_found_without_a_wake, 2);
	add(what_comes_after_the_announcement_turns_it_away, 2);
	add(what_comes_on_the_way_into_the_kernel_is_not_slept_over, 8);
	add(what_a_stopped_one_did_on_the_way_in_is_not_slept_over, 8);
	add(one_asleep_is_woken_by_one_wake, 2);
	add(who_is_asleep_is_said_in_its_record, 2);
	add(one_woken_for_nothing_sleeps_again, 2);
	add(one_who_was_overtaken_sleeps_again, 2);
	add(removal_wakes_and_turns_away, 10);
}

static void add_wakers(void)
{
	add(a_waker_killed_before_its_wake_is_replaced_by_the_kernel, 2);
	add(the_wake_of_a_stopped_one_is_given_by_the_next_call, 2);
	add(one_about_to_sleep_first_wakes_the_other_kind, 2);
	add(the_wake_of_one_who_dies_before_acting_goes_to_another, 2);
	add(each_event_wakes_one_of_those_who_sleep, 2);
	add(the_count_of_killed_sleepers_is_set_right_once, 2);
	add(a_count_left_in_an_odd_epoch_is_set_right_too, 2);
	add(in_an_odd_epoch_no_waker_lowers_the_count, 2);
	add(a_count_is_not_set_right_over_one_who_announced_meanwhile, 2);
	add(a_late_retraction_does_not_lower_a_newer_count, 2);
	add(one_woken_on_bell_and_epoch_is_counted_once, 2);
}

static struct tol_take_opts for_a_second = { .lease_ns = TOL_SECS(1) };

static void lease_ends_and_two_takes(void)
{
	struct tol_message message;

	fake.now_ns += TOL_SECS(2);
	ck_assert_int_eq(tol_take(two, TOL_NOWAIT, &for_a_second, &message), 0);
}

START_TEST(who_extends_too_late_leaves_the_next_lease_alone)
{
	struct tol_message message;

	waiters_begin(0);
	ck_assert_int_eq(tol_send(one, "x", 1, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_take(one, TOL_NOWAIT, &for_a_second, &message), 0);
	fake.at[FAKE_CLOCK] = lease_ends_and_two_takes;
	ck_assert_int_eq(tol_extend(one, &message, TOL_SECS(1)), -ESTALE);
	fake.now_ns += TOL_SECS(2);
	ck_assert_int_eq(tol_take(three, TOL_NOWAIT, NULL, &message), 0);
	waiters_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bell");

	tcase = support_tcase("bell");
	tcase_add_test(tcase, calls_that_need_not_wait_make_no_call);
	add_sleepers();
	add_wakers();
	add(a_timeout_ends_at_its_deadline_and_not_before, 6);
	add(a_timeout_beyond_all_time_is_no_overflow, 2);
	add(a_timeout_that_is_over_before_the_sleep_does_not_sleep, 2);
	add(what_is_there_at_the_deadline_is_taken, 2);
	add(signals_do_not_end_a_call, 2);
	add(without_help_it_sleeps_in_slices, 4);
	add(without_help_one_is_still_woken_at_once, 4);
	add(without_help_a_killed_waker_costs_one_slice, 4);
	add(what_comes_while_looking_costs_no_futex_call, 2);
	add(looking_in_vain_ends_and_then_it_sleeps, 2);
	add(who_only_spins_never_sleeps, 2);
	tcase_add_test(tcase, who_extends_too_late_leaves_the_next_lease_alone);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
