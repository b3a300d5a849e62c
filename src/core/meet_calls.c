/* SPDX-License-Identifier: MIT */
/*
 * A send in a mailbox of capacity 0 has happened when it has met a receiver: the
 * CAS of meet_match(), its own or the receiver's. Before it the message is a body
 * of the sender's, named by a hold cell that it has claimed; after it the cell is
 * the receiver's. Nothing is copied where nobody waits and the call may not.
 */
#include "core/meet_calls.h"

#include <errno.h>

#include "core/hold.h"
#include "core/meet.h"

static int make_draft(struct tol_link *link, struct meeting *meeting)
{
	int err;

	if (meeting->has_draft)
		return 0;
	err = draft_make(link, meeting->copy->body, meeting->copy->size_bytes,
			 meeting->copy->extra, &meeting->draft);
	meeting->has_draft = err == 0;
	return err;
}

/* Return: 1 they have met; 0 look again; -errno */
static int meet_once(struct bell_waiter *waiter, struct meeting *meeting,
		     const struct hold *own, const struct meet_spot *spot,
		     bool is_found)
{
	struct tol_link *link = waiter->link;
	const struct pool_block *block = &meeting->draft.block;

	hold_fill(link, own, spot->position, block->unit,
		  (uint64_t)block->units * MAILBOX_UNIT_BYTES, 0);
	return is_found ? meet_match(waiter, spot, own)
			: meet_wait(waiter, spot, own);
}

static int meet_somebody(struct bell_waiter *waiter, struct meeting *meeting,
			 struct meet_spot *ret_spot)
{
	struct tol_link *link = waiter->link;
	const struct meet_wish wish = {
		.kind = BELL_SENDERS,
		.key = {
			.tag = meeting->copy->extra->tag,
			.priority = meeting->copy->extra->priority,
			.sender_pid = link->pid,
		},
	};
	struct hold own = { 0 };
	bool has_claim = false;
	int met = 0;

	while (met == 0) {
		int found = meet_look(link, &wish, ret_spot);

		met = found;
		if (found == 0 && waiter->timeout_ns == TOL_NOWAIT)
			met = -EAGAIN;
		if (met >= 0)
			met = make_draft(link, meeting);
		if (met >= 0 && !has_claim) {
			met = hold_claim(link, &own);
			has_claim = met == 0;
		}
		if (met >= 0)
			met = meet_once(waiter, meeting, &own, ret_spot,
					found == 1);
		if (met == 0)
			met = send_check(link);
	}
	if (met < 0 && has_claim)
		hold_unclaim(link, &own);
	return met < 0 ? met : 0;
}

static void commit(struct tol_link *link, const struct draft *draft,
		   const struct tap_copy *copy, uint64_t position)
{
	if (__builtin_expect(tap_is_there(link), 0))
		tap_show(link, position, copy);
	draft_commit(link, draft, 0);
}

int meet_send(struct bell_waiter *waiter, struct meeting *meeting)
{
	struct tol_link *link = waiter->link;
	struct meet_spot spot;
	int err = meet_somebody(waiter, meeting, &spot);

	if (err == 0)
		commit(link, &meeting->draft, meeting->copy, spot.position);
	else if (meeting->has_draft)
		draft_drop(link, &meeting->draft);
	return err;
}

int meet_post(struct bell_waiter *waiter, const struct draft *draft,
	      const struct tap_copy *copy)
{
	struct meeting meeting = {
		.copy = copy,
		.draft = *draft,
		.has_draft = true,
	};
	struct meet_spot spot;
	int err = meet_somebody(waiter, &meeting, &spot);

	if (err == 0)
		commit(waiter->link, draft, copy, spot.position);
	return err;
}
