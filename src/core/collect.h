/* SPDX-License-Identifier: MIT */
#ifndef CORE_COLLECT_H
#define CORE_COLLECT_H

/*
 * Giving memory of consumed messages back to the system, while others go on:
 * doc/mailbox-protocol.md, section 8.
 */

#include "core/link.h"

/**
 * collect - give back what can be had without waiting
 * @whole: also chunks that are open: they are revoked from their owners
 *
 * The caller is inside, once, and has nothing of its own in an open chunk that is
 * not yet a message, if @whole. Somebody who is inside for long, or collects, makes
 * this do less, or nothing.
 *
 * Return: bytes given back
 */
uint64_t collect(struct tol_link *link, bool whole);

/* Found nothing, and there is garbage: unless this link collected just now. */
void collect_slow(struct tol_link *link);

static inline void collect_if_empty(struct tol_link *link)
{
	if (__builtin_expect(link->has_heap, 0) &&
	    load_relaxed_32(&link->head->garbage))
		collect_slow(link);
}

/* When a receiver that sleeps has to collect, on CLOCK_MONOTONIC; INT64_MAX never. */
int64_t collect_due_ns(const struct tol_link *link);

/* Consumed the message of that position: now and then also if not empty. */
void collect_passing_slow(struct tol_link *link, uint64_t position);

static inline void collect_passing(struct tol_link *link, uint64_t position)
{
	if (__builtin_expect((position + 1) % MAILBOX_GRANULE_SLOTS == 0, 0))
		collect_passing_slow(link, position);
}

/* The number has no owner: it does not collect any more. */
void collect_release(struct tol_link *link, uint32_t number);

#endif
