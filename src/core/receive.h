/* SPDX-License-Identifier: MIT */
#ifndef CORE_RECEIVE_H
#define CORE_RECEIVE_H

/* What receiving a copy and taking in place have in common. */

#include "core/bell.h"
#include "core/body.h"
#include "core/hold.h"
#include "core/ring.h"
#include "core/tap.h"

/* In a handle: who has it was told not to have it taken again. */
#define HANDLE_LAST_TRY (UINT64_C(1) << 62)

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

/* Its time has passed: it is received by nobody. */
static inline bool receive_is_expired(const struct tol_link *link,
				      const struct reading *reading)
{
	struct body_extra_layout extra;

	if (!(reading->body.flags & BODY_HAS_EXTRA))
		return false;
	body_read_extra(link, reading, &extra);
	return extra.expires_ns != 0 &&
	       link_shared_ns(link, link->futex->now_ns()) >= extra.expires_ns;
}

/*
 * Before the message is taken for good: what it says, and its bytes if wanted.
 *
 * Return: 0; -EMSGSIZE; as body_copy()
 */
static inline __attribute__((always_inline)) int
receive_fetch(struct receiving *r, const struct reading *reading,
	      uint64_t position, uint32_t tries)
{
	if (__builtin_expect(r->link->tap != NULL, 0))
		return tap_fetch(r->link, reading, r->buf, r->size_bytes,
				 r->ret_message);
	body_describe(r->link, reading, position, tries, r->ret_message);
	if (r->take)
		return 0;
	if (reading->body.size_bytes > r->size_bytes)
		return -EMSGSIZE;
	return body_copy(r->link, reading, r->buf);
}

/* Return: 0; -ECHILD, -EIDRM, -EBADMSG, -EPERM */
int receive_check(struct tol_link *link);

/* Return: 0 it is received; -errno as tol_recv_message() */
int receive(struct receiving *receiving, int64_t timeout_ns);

/* The same inside a call that has begun. */
int receive_waiting(struct receiving *receiving, struct bell_waiter *waiter);

#endif
