/* SPDX-License-Identifier: MIT */
#include "core/spin.h"

#include "base/atomic.h"

/* About what sleeping and being woken costs both sides together. */
#define BUDGET_MAX_NS 60000u

/*
 * Not less: an interrupt takes as long, and so does memory for the next slots of an
 * unbounded mailbox, 12 µs. Neither is a reason to sleep.
 */
#define BUDGET_MIN_NS 25000u

#define BUDGET_START_NS 25000u

/* 2 to the power of this, minus 1, waits are skipped at most. */
#define MISSES_MAX 8u

static void set_budget(struct spin *spin, int64_t waited_ns)
{
	int64_t budget_ns = BUDGET_MAX_NS;

	if (waited_ns < BUDGET_MAX_NS / 2)
		budget_ns = waited_ns * 2;
	if (budget_ns < BUDGET_MIN_NS)
		budget_ns = BUDGET_MIN_NS;
	store_relaxed_32(&spin->budget_ns, (uint32_t)budget_ns);
}

void spin_init(struct spin *spin)
{
	*spin = (struct spin){ .budget_ns = BUDGET_START_NS };
}

uint32_t spin_begin(struct spin *spin)
{
	uint32_t skip_count = load_relaxed_32(&spin->skip_count);

	if (skip_count > 0) {
		store_relaxed_32(&spin->skip_count, skip_count - 1);
		return 0;
	}
	return load_relaxed_32(&spin->budget_ns);
}

void spin_helped(struct spin *spin, int64_t passed_ns)
{
	store_relaxed_32(&spin->misses_count, 0);
	set_budget(spin, passed_ns);
}

void spin_slept(struct spin *spin, bool has_looked, int64_t waited_ns)
{
	uint32_t misses_count = load_relaxed_32(&spin->misses_count);

	set_budget(spin, waited_ns);
	if (!has_looked)
		return;
	if (misses_count < MISSES_MAX)
		store_relaxed_32(&spin->misses_count, ++misses_count);
	store_relaxed_32(&spin->skip_count, (1u << misses_count) - 1);
}
