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
	const struct tol_select *select;	/* or NULL: any */
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

/* Somebody else was faster: look again. There was nothing: wait. */
enum { RECEIVE_AGAIN = -EAGAIN, RECEIVE_NOTHING = 1 };

/* A large body is mapped before it is taken: that can fail. */
int receive_map_body(struct receiving *r, const struct reading *reading,
		     void **ret_address);
void receive_drop_map(const struct reading *reading, void *address);

/*
 * It is ours now: what the caller is told of it. If its map cannot be noted it goes
 * back. Return: 0; -ENOMEM
 */
int receive_hand_over(struct receiving *r, const struct reading *reading,
		      const struct hold *hold, void *address);

/*
 * A message that came back, or a dead letter, if it is still there.
 *
 * Return: 0; RECEIVE_AGAIN; -errno
 */
int receive_held(struct receiving *r, enum hold_kind kind,
		 const struct hold *hold);

/* Of those cells, the first that matches. Return: false none */
bool receive_find_held(struct receiving *r, enum hold_kind kind,
		       struct hold *ret_hold, struct select_key *ret_key);

/* Holders may be dead, or their time over: asked now and then. */
static inline void receive_look_after_holds(struct tol_link *link)
{
	if (__builtin_expect(load_relaxed_32(&link->head->holds_high) != 0,
			     0))
		hold_sweep_now_and_then(link, link->futex->now_ns());
}

/* Return: 0; -ECHILD, -EIDRM, -EBADMSG, -EPERM */
int receive_check(struct tol_link *link);

/*
 * Before a call that selects: from now on this mailbox has an index.
 *
 * Return: 0; -EINVAL, -E2BIG, -ENOSPC, -ENOMEM, errors of receive_check()
 */
int receive_select(struct tol_link *link, const struct tol_select *select);

/* Return: 0 it is received; -errno as tol_recv_message() */
int receive(struct receiving *receiving, int64_t timeout_ns);

/* The same inside a call that has begun. */
int receive_waiting(struct receiving *receiving, struct bell_waiter *waiter);

#endif
