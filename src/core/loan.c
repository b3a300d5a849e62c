/* SPDX-License-Identifier: MIT */
/*
 * tol_loan(), tol_post(), tol_loan_drop(): a draft that the caller writes.
 *
 * Crash: a loan is memory of the mailbox that its owner alone knows; the heir
 * finds it in the owner's chunks, like any block that never became a message. A
 * large one is a file with a name, counted as a draft, see body_file.h.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/meet_calls.h"
#include "core/send.h"

/* What struct tol_loan keeps for us. */
struct loan {
	struct draft draft;
	size_t size_bytes;		/* that it was made for */
	const struct tol_link *link;	/* NULL: over */
};

static_assert(sizeof(struct loan) <= sizeof(((struct tol_loan *)0)->reserved),
	      "loan");

static bool unpack(const struct tol_link *link, const struct tol_loan *loan,
		   struct loan *ret_own)
{
	memcpy(ret_own, loan->reserved, sizeof(*ret_own));
	return ret_own->link == link;
}

static void drop(struct tol_link *link, const struct draft *draft)
{
	inside_enter(link);
	draft_drop(link, draft);
	inside_leave(link);
}

int tol_loan(struct tol_link *link, size_t size_bytes,
	     struct tol_loan *ret_loan)
{
	struct loan own = { .size_bytes = size_bytes, .link = link };
	struct tol_loan made = { .size_bytes = size_bytes };
	int err;

	if (!link || !ret_loan || size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	err = send_check(link);
	if (err < 0)
		return err;
	inside_enter(link);
	err = draft_loan(link, size_bytes, &own.draft, &made.body);
	inside_leave(link);
	if (err < 0)
		return err;
	if (own.draft.in_file) {
		err = maps_add(link, (uintptr_t)made.body, made.body,
			       size_bytes, own.draft.serial);
		if (err < 0) {
			sys_unmap(made.body, size_bytes);
			drop(link, &own.draft);
			return err;
		}
	}
	memcpy(made.reserved, &own, sizeof(own));
	*ret_loan = made;
	return 0;
}

/* The mapping goes, and the file's name if it was not sent. */
static void end_loan(struct tol_link *link, struct tol_loan *loan,
		     const struct loan *own)
{
	if (own->draft.in_file)
		maps_remove(link, (uintptr_t)loan->body);
	memset(loan, 0, sizeof(*loan));
}

int tol_post(struct tol_link *link, struct tol_loan *loan, int64_t timeout_ns,
	     const struct tol_send_opts *opts)
{
	struct tol_segment_handle handle;
	struct draft_extra extra;
	struct bell_waiter waiter;
	struct ring_room room;
	struct loan own;
	int err;

	if (!link || !loan || timeout_ns < TOL_FOREVER)
		return -EINVAL;
	err = send_check(link);
	if (err < 0)
		return err;
	if (!unpack(link, loan, &own) || loan->size_bytes > own.size_bytes)
		return -EINVAL;
	err = send_make_extra(link, opts, &handle, &extra);
	if (err < 0)
		return err;
	bell_begin(&waiter, link, BELL_SENDERS, timeout_ns);
	if (!link->is_meeting)
		err = send_wait_for_room(link, &waiter, &room);
	if (err == 0) {
		const struct tap_copy copy = {
			loan->body, loan->size_bytes, &extra,
		};

		draft_finish(link, &own.draft, loan->size_bytes, &extra);
		err = link->is_meeting
			      ? meet_post(&waiter, &own.draft, &copy)
			      : send_publish(link, &waiter, &own.draft, &room,
					     &copy);
	}
	bell_end(&waiter);
	if (err == 0)
		end_loan(link, loan, &own);
	return err;
}

void tol_loan_drop(struct tol_link *link, struct tol_loan *loan)
{
	struct loan own;

	if (!link || !loan || link->process_number != fork_process_number() ||
	    !unpack(link, loan, &own))
		return;
	end_loan(link, loan, &own);
	drop(link, &own.draft);
}
