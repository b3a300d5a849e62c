/* SPDX-License-Identifier: MIT */
#ifndef CORE_SPIN_H
#define CORE_SPIN_H

/*
 * How long to look before sleeping. To sleep and be woken costs a few tens of
 * microseconds; to look costs a CPU. Looking pays if the wait is shorter than
 * that and somebody else can run meanwhile, which only trying shows:
 *
 * - the budget follows what the last waits took, asleep or not, so that two who
 *   put each other to sleep with every message find out of it;
 * - each look in vain doubles the number of waits that go without looking, each
 *   one that helped forgets them: with more processes than CPUs, or a peer that
 *   takes its time, less than one wait in two hundred still tries.
 *
 * One for each direction of a link. Its words are hints: threads that share the
 * link read and write them without order.
 */

#include <stdbool.h>
#include <stdint.h>

struct spin {
	uint32_t budget_ns;
	uint32_t skip_count;	/* waits still to go without looking */
	uint32_t misses_count;	/* looks in vain since one helped */
};

void spin_init(struct spin *spin);

/* Return: nanoseconds to look, 0 not at all */
uint32_t spin_begin(struct spin *spin);

/* What was waited for came while looking, after that time. */
void spin_helped(struct spin *spin, int64_t passed_ns);

/* It did not: slept then; the whole wait took that time. */
void spin_slept(struct spin *spin, bool has_looked, int64_t waited_ns);

#endif
