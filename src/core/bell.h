/* SPDX-License-Identifier: MIT */
#ifndef CORE_BELL_H
#define CORE_BELL_H

/* Waiting and waking: doc/mailbox-protocol.md, section 3. */

#include "core/inside.h"
#include "core/link.h"
#include "core/ring.h"

/* Who sleeps, and what for. */
enum bell_kind {
	BELL_RECEIVERS,		/* a message */
	BELL_SENDERS,		/* room */
	BELL_DEAD_RECEIVERS,	/* a dead letter */
};

/* One call that may have to wait. */
struct bell_waiter {
	struct tol_link *link;
	struct robust_saved armed;
	uint32_t *inside;		/* see core/inside.h */
	int64_t timeout_ns;
	int64_t start_ns;		/* of the first wait, or 0 */
	int64_t deadline_ns;		/* if is_deadline_known */
	uint64_t returns_seen;		/* of what came back it wants none */
	uint32_t epoch;			/* if is_announced */
	enum bell_kind kind;
	bool is_announced;
	bool is_deadline_known;
	bool has_looked;
	bool has_slept;
};

/* Arms the thread: from here to bell_end() its death wakes a sleeper. */
static inline void bell_begin(struct bell_waiter *waiter, struct tol_link *link,
			      enum bell_kind kind, int64_t timeout_ns)
{
	waiter->link = link;
	waiter->timeout_ns = timeout_ns;
	waiter->start_ns = 0;
	waiter->returns_seen = 0;
	waiter->kind = kind;
	waiter->is_announced = false;
	waiter->is_deadline_known = false;
	waiter->has_looked = false;
	waiter->has_slept = false;
	waiter->armed = robust_arm(&link->head->bell);
	waiter->inside = inside_enter(link);
}

/**
 * bell_wait - the call was told to wait: spin, announce or sleep
 * @gate: the slot that said so
 *
 * Return: 0 try again; -EAGAIN (TOL_NOWAIT); -ETIMEDOUT
 */
int bell_wait(struct bell_waiter *waiter, const struct ring_gate *gate);

/* For bell_end(): takes the announcement back. */
void bell_retract(struct bell_waiter *waiter);

/* For bell_end(): the call slept; what is learnt from it. */
void bell_learn(const struct bell_waiter *waiter);

/* Has its time passed? The deadline is known from the first call on. */
bool bell_is_over(struct bell_waiter *waiter, int64_t now_ns);

/* What it has learnt about looking before it sleeps. */
struct spin *bell_spin_of(const struct bell_waiter *waiter);

/* For bell_end(): the link has a descriptor that may have to become unready. */
void bell_update_polling(const struct bell_waiter *waiter);

/* For bell_settle(): somebody sleeps or polls, or did. */
void bell_settle_slow(struct tol_link *link);

/*
 * bell-settle: whoever passes by gives the wakes that a stopped one owes, its own
 * among them. The lower halves are the counts of sleepers.
 */
static inline void bell_settle(struct tol_link *link)
{
	fence_after_rmw();
	if (__builtin_expect(
		    (link->is_meeting |
		     (load_relaxed_32(&link->head->polled) & POLLED_MASK) |
		     (uint32_t)(load_relaxed_64(&link->head->receivers) |
				load_relaxed_64(&link->head->senders) |
				load_relaxed_64(
					&link->head->dead_receivers))) != 0,
		    0))
		bell_settle_slow(link);
}

/* The call ends, with whatever result: gives wakes that are owed. */
static inline void bell_end(struct bell_waiter *waiter)
{
	if (waiter->is_announced)
		bell_retract(waiter);
	bell_settle(waiter->link);
	if (__builtin_expect(link_polling(waiter->link) != NULL, 0))
		bell_update_polling(waiter);
	inside_leave_by(waiter->link, waiter->inside);
	robust_disarm(waiter->armed);
	if (waiter->has_slept)
		bell_learn(waiter);
}

/* Wakes all sleepers and turns away those on their way: the state changed. */
void bell_ring_all(struct mailbox_layout *head, const struct futex_ops *futex);

/* The same for those who receive. */
void bell_ring_receivers(struct tol_link *link);

/*
 * Nothing is to come any more: who said so may have been killed or stopped before
 * all were told, so everybody who finds out tells those who sleep.
 */
static inline void bell_tell_end(struct tol_link *link)
{
	if (link->is_meeting ||
	    (uint32_t)(load_acquire_64(&link->head->receivers) |
		       load_acquire_64(&link->head->senders)))
		bell_ring_all(link->head, link->futex);
}

#endif
