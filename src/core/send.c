/* SPDX-License-Identifier: MIT */
/*
 * tol_send() and tol_send_message().
 *
 * A send has one instruction at which it happens, the CAS of ring_publish().
 * Before it everything is private to the caller (its own memory), after it
 * everything left to do can be done by others, or by the heir.
 */
#include "core/send.h"

#include <errno.h>
#include <stdint.h>

#include "core/index.h"
#include "core/meet_calls.h"
#include "core/ring_unbounded.h"

int send_check(struct tol_link *link)
{
	int err = link_check(link);

	if (err == 0 && !(link->flags & TOL_SEND))
		err = -EPERM;
	if (err == 0 && load_acquire_32(&link->head->ended)) {
		bell_tell_end(link);
		err = -ESHUTDOWN;
	}
	return err;
}

int send_make_extra(struct tol_link *link,
		    const struct tol_send_opts *opts,
		    struct tol_segment_handle *handle,
		    struct draft_extra *ret_extra)
{
	int err;

	*ret_extra = (struct draft_extra){ 0 };
	if (!opts)
		return 0;
	if (opts->ttl_ns < 0 || opts->priority > TOL_PRIORITY_MAX)
		return -EINVAL;
	ret_extra->tag = opts->tag;
	ret_extra->priority = (uint16_t)opts->priority;
	/* Before it is there: receivers are to look for the highest. */
	if (opts->priority > 0) {
		err = index_start(link);
		if (err < 0)
			return err;
	}
	if (opts->ttl_ns > 0) {
		int64_t now_ns = link_shared_ns(link, link->futex->now_ns());

		ret_extra->expires_ns = opts->ttl_ns > INT64_MAX - now_ns
						? INT64_MAX
						: now_ns + opts->ttl_ns;
	}
	if (!opts->segment)
		return 0;
	err = tol_segment_export(opts->segment, handle);
	if (err == 0)
		ret_extra->segment = handle;
	return err;
}

int send_wait_for_room(struct tol_link *link, struct bell_waiter *waiter,
		       struct ring_room *ret_room)
{
	int err;

	for (;;) {
		err = ring_find_room(link, ret_room);
		if (err != -EAGAIN)
			return err;
		err = bell_wait(waiter, &ret_room->gate);
		if (err == 0)
			err = send_check(link);
		if (err < 0)
			return err;
	}
}

int send_publish(struct tol_link *link, struct bell_waiter *waiter,
		 const struct draft *draft, struct ring_room *room,
		 const struct tap_copy *copy)
{
	int err;

	while ((err = either_publish(link, draft->block.unit, room)) ==
	       -EAGAIN) {
		err = send_wait_for_room(link, waiter, room);
		if (err < 0)
			break;
	}
	if (err < 0)
		return err;
	/* While its memory is not yet to be used again. */
	if (__builtin_expect(tap_is_there(link), 0))
		tap_show(link, room->position, copy);
	draft_commit(link, draft, room->position + 1);
	return 0;
}

/*
 * A full mailbox costs no copy: the body is written once there is room. The
 * link has been checked when the call began.
 */
int send_waiting(struct tol_link *link, struct bell_waiter *waiter,
		 const void *body, size_t size_bytes,
		 const struct draft_extra *extra)
{
	const struct tap_copy copy = { body, size_bytes, extra };
	struct ring_room room;
	struct draft draft;
	int err;

	if (__builtin_expect(link->is_meeting, 0)) {
		struct meeting meeting = { .copy = &copy };

		return meet_send(waiter, &meeting);
	}
	err = either_find_room(link, &room);
	if (err == -EAGAIN)
		err = send_wait_for_room(link, waiter, &room);
	if (err == 0)
		err = draft_make(link, body, size_bytes, extra, &draft);
	if (err < 0)
		return err;
	err = send_publish(link, waiter, &draft, &room, &copy);
	if (err < 0)
		draft_drop(link, &draft);
	return err;
}

static int send_extra(struct tol_link *link, const void *body,
		      size_t size_bytes, int64_t timeout_ns,
		      const struct draft_extra *extra)
{
	struct bell_waiter waiter;
	int err;

	bell_begin(&waiter, link, BELL_SENDERS, timeout_ns);
	err = send_waiting(link, &waiter, body, size_bytes, extra);
	bell_end(&waiter);
	return err;
}

static int check_send(struct tol_link *link, const void *body,
		      size_t size_bytes, int64_t timeout_ns)
{
	if (!link || (!body && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	return send_check(link);
}

/* The way that most messages go: no calls between. */
__attribute__((flatten))
int tol_send(struct tol_link *link, const void *body, size_t size_bytes,
	     int64_t timeout_ns)
{
	static const struct draft_extra plain;
	int err = check_send(link, body, size_bytes, timeout_ns);

	if (err < 0)
		return err;
	return send_extra(link, body, size_bytes, timeout_ns, &plain);
}

int tol_send_message(struct tol_link *link, const void *body, size_t size_bytes,
		     int64_t timeout_ns, const struct tol_send_opts *opts)
{
	struct tol_segment_handle handle;
	struct draft_extra extra;
	int err = check_send(link, body, size_bytes, timeout_ns);

	if (err == 0)
		err = send_make_extra(link, opts, &handle, &extra);
	if (err < 0)
		return err;
	return send_extra(link, body, size_bytes, timeout_ns, &extra);
}
