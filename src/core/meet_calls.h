/* SPDX-License-Identifier: MIT */
#ifndef CORE_MEET_CALLS_H
#define CORE_MEET_CALLS_H

/* Sending in a mailbox of capacity 0. */

#include "core/send.h"

/* One message that looks for a receiver. */
struct meeting {
	const struct tap_copy *copy;	/* its bytes, and what goes with them */
	struct draft draft;
	bool has_draft;
};

/* Return: 0 it is received; errors of tol_send(), and it was never tried */
int meet_send(struct bell_waiter *waiter, struct meeting *meeting);

/* The same of a draft that is finished; the caller keeps it on error. */
int meet_post(struct bell_waiter *waiter, const struct draft *draft,
	      const struct tap_copy *copy);

#endif
