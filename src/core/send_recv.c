/* SPDX-License-Identifier: MIT */
/*
 * tol_send() and tol_recv(): bodies, the ring and the bell put together.
 *
 * A send has one instruction at which it happens, the CAS of ring_publish(), and
 * a receive one, that of ring_consume(). Before it everything is private to
 * the caller (its own memory, its buffer), after it everything left to do can
 * be done by others, or by the heir.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/bell.h"
#include "core/body.h"
#include "core/ring.h"

/*
 * A full mailbox costs no copy: the body is written once there is room. The
 * link has been checked when the call began.
 */
static int wait_for_room(struct tol_link *link, struct bell_waiter *waiter,
			 struct ring_room *ret_room)
{
	int err;

	for (;;) {
		err = ring_find_room(link, ret_room);
		if (err != -EAGAIN)
			return err;
		err = bell_wait(waiter, &ret_room->gate);
		if (err == 0)
			err = link_check(link);
		if (err < 0)
			return err;
	}
}

static int send_waiting(struct tol_link *link, struct bell_waiter *waiter,
			const void *body, size_t size_bytes)
{
	struct ring_room room;
	struct draft draft;
	int err;

	err = wait_for_room(link, waiter, &room);
	if (err == 0)
		err = draft_make(link, body, size_bytes, &draft);
	if (err < 0)
		return err;
	while ((err = ring_publish(link, draft.block.unit, &room)) ==
	       -EAGAIN) {
		err = wait_for_room(link, waiter, &room);
		if (err < 0)
			break;
	}
	if (err < 0) {
		draft_drop(link, &draft);
		return err;
	}
	if (draft.in_file)
		body_file_end_draft(link);
	pool_commit(link, &draft.block, room.position + 1);
	return 0;
}

int tol_send(struct tol_link *link, const void *body, size_t size_bytes,
	     int64_t timeout_ns)
{
	struct bell_waiter waiter;
	int err;

	if (!link || (!body && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	err = link_check(link);
	if (err < 0)
		return err;
	if (!(link->flags & TOL_SEND))
		return -EPERM;
	bell_begin(&waiter, link, true, timeout_ns);
	err = send_waiting(link, &waiter, body, size_bytes);
	bell_end(&waiter);
	return err;
}

/* Return: size; -EAGAIN and *is_empty, or somebody else was faster; -errno */
static ssize_t receive_one(struct tol_link *link, void *buf, size_t size_bytes,
			   struct tol_message *ret_message,
			   struct ring_gate *gate, bool *is_empty)
{
	struct ring_message message;
	struct reading reading;
	int err;

	*is_empty = false;
	err = ring_find_message(link, &message, gate);
	if (err < 0) {
		*is_empty = err == -EAGAIN;
		return err;
	}
	err = body_look(link, slot_unit(message.word), &reading);
	if (!ring_is_there(link, &message))
		return -EAGAIN;
	if (err < 0)
		return link_quarantine(link);
	if (reading.body.size_bytes > size_bytes) {
		body_describe(&reading, message.position, ret_message);
		return -EMSGSIZE;
	}
	err = body_copy(link, &reading, buf);
	if (err < 0 && !ring_is_there(link, &message))
		return -EAGAIN;
	if (err < 0)
		return err == -EBADMSG ? link_quarantine(link) : err;
	if (!ring_consume(link, &message))
		return -EAGAIN;
	body_consume(link, &reading);
	body_describe(&reading, message.position, ret_message);
	return (ssize_t)reading.body.size_bytes;
}

static ssize_t receive_waiting(struct tol_link *link,
			       struct bell_waiter *waiter, void *buf,
			       size_t size_bytes,
			       struct tol_message *ret_message)
{
	struct ring_gate gate;
	bool is_empty;

	for (;;) {
		ssize_t n = receive_one(link, buf, size_bytes, ret_message,
					&gate, &is_empty);

		if (n != -EAGAIN)
			return n;
		n = is_empty ? bell_wait(waiter, &gate) : 0;
		if (n == 0)
			n = link_check(link);
		if (n < 0)
			return n;
	}
}

ssize_t tol_recv_message(struct tol_link *link, void *buf, size_t size_bytes,
			 int64_t timeout_ns, struct tol_message *ret_message)
{
	struct bell_waiter waiter;
	ssize_t n;

	if (!link || (!buf && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    !ret_message)
		return -EINVAL;
	n = link_check(link);
	if (n < 0)
		return n;
	if (!(link->flags & TOL_RECV))
		return -EPERM;
	bell_begin(&waiter, link, false, timeout_ns);
	n = receive_waiting(link, &waiter, buf, size_bytes, ret_message);
	bell_end(&waiter);
	return n;
}

ssize_t tol_recv(struct tol_link *link, void *buf, size_t size_bytes,
		 int64_t timeout_ns)
{
	struct tol_message message;

	return tol_recv_message(link, buf, size_bytes, timeout_ns, &message);
}
