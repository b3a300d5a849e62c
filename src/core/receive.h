/* SPDX-License-Identifier: MIT */
#ifndef CORE_RECEIVE_H
#define CORE_RECEIVE_H

/* What receiving a copy and taking in place have in common. */

#include "core/bell.h"
#include "core/body.h"
#include "core/hold.h"
#include "core/ring.h"

/* One call. */
struct receiving {
	struct tol_link *link;
	void *buf;			/* to copy to */
	size_t size_bytes;
	const struct tol_take_opts *take;	/* or, if not NULL, to hold it */
	struct tol_message *ret_message;
};

static inline enum bell_kind receive_kind(const struct tol_link *link)
{
	return link->is_dead_view ? BELL_DEAD_RECEIVERS : BELL_RECEIVERS;
}

/* Return: 0; -ECHILD, -EIDRM, -EBADMSG, -EPERM */
int receive_check(struct tol_link *link);

/* Return: 0 it is received; -errno as tol_recv_message() */
int receive(struct receiving *receiving, int64_t timeout_ns);

/* The same inside a call that has begun. */
int receive_waiting(struct receiving *receiving, struct bell_waiter *waiter);

#endif
