/* SPDX-License-Identifier: MIT */
#ifndef CORE_SEND_H
#define CORE_SEND_H

/* What sending a copy and posting a loan have in common. */

#include "core/bell.h"
#include "core/body.h"
#include "core/ring.h"
#include "core/tap.h"

/* Return: 0; -ECHILD, -EIDRM, -EBADMSG, -EPERM, -ESHUTDOWN */
int send_check(struct tol_link *link);

/* Return: 0; -EINVAL; errors of tol_segment_export() */
int send_make_extra(struct tol_link *link,
		    const struct tol_send_opts *opts,
		    struct tol_segment_handle *handle,
		    struct draft_extra *ret_extra);

/* Return: 0 and where there is room; errors of tol_send() */
int send_wait_for_room(struct tol_link *link, struct bell_waiter *waiter,
		       struct ring_room *ret_room);

/* Return: 0 the draft is a message, and done with; errors of tol_send() */
int send_publish(struct tol_link *link, struct bell_waiter *waiter,
		 const struct draft *draft, struct ring_room *room,
		 const struct tap_copy *copy);

/* One message, inside a call that has begun. Return: as tol_send() */
int send_waiting(struct tol_link *link, struct bell_waiter *waiter,
		 const void *body, size_t size_bytes,
		 const struct draft_extra *extra);

#endif
