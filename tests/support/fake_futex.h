/* SPDX-License-Identifier: MIT */
#ifndef FAKE_FUTEX_H
#define FAKE_FUTEX_H

/*
 * A clock and a futex for tests of waiting, in one thread. What another process
 * would do at a certain point of a call is a function that is set for that
 * point; it is called there once, and may call the library itself, on another
 * link, also so that it sleeps. A call that sleeps when nobody will ever wake it
 * and it has no deadline fails the test.
 */

#include <stdint.h>
#include <stdbool.h>

#include "base/futex.h"

enum fake_point {
	FAKE_BEFORE_WAIT,	/* on the way into the kernel */
	FAKE_QUEUED_1,		/* queued on the first word, not yet compared */
	FAKE_QUEUED_2,
	FAKE_QUEUED_3,
	FAKE_ASLEEP,		/* called until it is woken */
	FAKE_BEFORE_WAKE,
	FAKE_AFTER_WAKE,
	FAKE_CLOCK,		/* it looks at the clock */
	FAKE_POINTS_COUNT,
};

extern struct fake {
	int64_t now_ns;
	int64_t tick_ns;	/* that each look at the clock takes */
	bool has_waitv;
	/* At the next sleep: return that, nothing woken. */
	int next_error;
	int waits_count, wait_ones_count, wakes_count, clocks_count;
	int sleeps_count;	/* waits that did sleep */
	int woken_count;	/* by wakes, all together */
	int64_t last_deadline_ns;
	/* Each is called once; it may set its own point again. */
	void (*at[FAKE_POINTS_COUNT])(void);
} fake;

extern const struct futex_ops fake_futex_ops;

/* Sets everything to its start: no points, the clock at one second. */
void fake_reset(void);

/* Calls of all kinds together. */
int fake_calls_count(void);

/* What the kernel does for an armed thread that dies. Return: how many woken */
int fake_die(const uint32_t *bell);

/* The same for the one that has slept longest: it was killed in its sleep. */
int fake_kill_sleeper(const uint32_t *bell);

#endif
