/* SPDX-License-Identifier: MIT */
#ifndef CORE_BELL_H
#define CORE_BELL_H

/* Waiting and waking: doc/mailbox-protocol.md, section 3. */

#include "core/link.h"
#include "core/ring.h"

/* One call that may have to wait. */
struct bell_waiter {
	struct tol_link *link;
	uint64_t *sleepers;		/* the word of its kind */
	uint32_t *waiting_count;	/* in its own record, for stat */
	struct spin *spin;
	struct robust_saved armed;
	int64_t timeout_ns;
	int64_t start_ns;		/* of the first wait, or 0 */
	int64_t deadline_ns;
	uint32_t epoch;
	bool is_announced;
	bool is_deadline_known;
	bool has_looked;
	bool has_slept;
};

/* Arms the thread: from here to bell_end() its death wakes a sleeper. */
void bell_begin(struct bell_waiter *waiter, struct tol_link *link,
		bool is_sender, int64_t timeout_ns);

/**
 * bell_wait - the call was told to wait: spin, announce or sleep
 * @gate: the slot that said so
 *
 * Return: 0 try again; -EAGAIN (TOL_NOWAIT); -ETIMEDOUT
 */
int bell_wait(struct bell_waiter *waiter, const struct ring_gate *gate);

/* The call ends, with whatever result: gives wakes that are owed. */
void bell_end(struct bell_waiter *waiter);

/* Wakes all sleepers and turns away those on their way: the state changed. */
void bell_ring_all(struct mailbox_layout *head, const struct futex_ops *futex);

#endif
