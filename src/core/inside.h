/* SPDX-License-Identifier: MIT */
#ifndef CORE_INSIDE_H
#define CORE_INSIDE_H

/*
 * Who is inside a call on a mailbox with a heap: doc/mailbox-protocol.md,
 * section 8; models/unbounded.pml.
 *
 * A call enters before it reads any mark (punched_below, ring_backed, a page or
 * a chunk word), and leaves when it touches the ring and the heap no more. Whoever
 * gives memory back raises marks first and then waits until every participant
 * has been seen outside: who enters later sees the marks.
 *
 * Edge: inside-enter (store) before the loads of marks. A plain store does not
 * hold back later loads, so the collector makes every CPU that runs a thread of
 * a participant pass a barrier (sys_barrier_all()) between the marks and its looks.
 * Without it: a call that is inside, unseen, with an old mark.
 *
 * Crash: a word of a dead participant stays set. Its lock is free: it is ignored.
 */

#include "core/link.h"

/* Threads of a process have words of their own, as far as there are enough. */
static inline uint32_t *inside_word(const struct tol_link *link)
{
	uint64_t own = (uint64_t)(uintptr_t)&robust_thread_head;

	return &link->own->inside[(own >> 6) * UINT64_C(0x9e3779b97f4a7c15) >>
				  60];
}

static inline bool inside_is_plain(const struct tol_link *link)
{
#ifdef LOCK_CAN_SKIP
	return link->has_barrier && __libc_single_threaded;
#else
	(void)link;
	return false;
#endif
}

/* Return: the word, for inside_leave_by(); NULL without a heap */
static inline uint32_t *inside_enter(const struct tol_link *link)
{
	uint32_t *word;

	if (__builtin_expect(!link->has_heap, 1))
		return NULL;
	word = inside_word(link);
	/* inside-enter */
	if (inside_is_plain(link)) {
		store_relaxed_32(word, load_relaxed_32(word) + 1);
		fence_compiler();
		return word;
	}
	fetch_add_32(word, 1);
	fence_after_rmw();
	return word;
}

/* By the thread that entered. */
static inline void inside_leave_by(const struct tol_link *link, uint32_t *word)
{
	if (__builtin_expect(!word, 1))
		return;
	if (inside_is_plain(link))
		store_release_32(word, load_relaxed_32(word) - 1);
	else
		fetch_sub_32(word, 1);
}

static inline void inside_leave(const struct tol_link *link)
{
	if (__builtin_expect(link->has_heap, 0))
		inside_leave_by(link, inside_word(link));
}

/* For who looks at a gate for long: it holds up nobody. Then look again. */
static inline void inside_pause(const struct tol_link *link)
{
	inside_leave(link);
	inside_enter(link);
}

/* Is nobody else inside for long? Says nothing of who enters meanwhile. */
bool inside_is_quiet(struct tol_link *link);

/*
 * Waits for a short time until all who were inside when it was called have left,
 * or are dead. The caller has entered once.
 *
 * Return: false not all
 */
bool inside_quiesce(struct tol_link *link);

#endif
