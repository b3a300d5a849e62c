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
#include "core/body_file.h"
#include "core/ring.h"

/* A body that is written and not yet sent. */
struct draft {
	struct pool_block block;
	uint64_t serial;
	bool in_file;
};

static void write_body(struct tol_link *link, const struct draft *draft,
		       const void *body, size_t size_bytes)
{
	struct body_layout *layout = pool_at(link, draft->block.unit);

	*layout = (struct body_layout){
		.size_bytes = size_bytes,
		.flags = draft->in_file ? BODY_IN_FILE : 0,
		.sender_number = link->number,
		.sender_pid = link->pid,
		.sender_uid = link->uid,
	};
	if (draft->in_file)
		memcpy(layout + 1, &draft->serial, sizeof(draft->serial));
	else if (size_bytes > 0)
		memcpy(layout + 1, body, size_bytes);
}

static int make_draft_in_file(struct tol_link *link, const void *body,
			      size_t size_bytes, struct draft *draft)
{
	int err;

	draft->in_file = true;
	err = pool_alloc(link, sizeof(struct body_layout) + sizeof(uint64_t),
			 &draft->block);
	if (err < 0)
		return err;
	err = body_file_write(link, body, size_bytes, &draft->serial);
	if (err < 0)
		pool_abort(link, &draft->block);
	return err;
}

static int make_draft(struct tol_link *link, const void *body,
		      size_t size_bytes, struct draft *draft)
{
	int err;

	draft->in_file = false;
	if (size_bytes > BODY_IN_POOL_MAX_BYTES)
		err = -ENOSPC;
	else
		err = pool_alloc(link, sizeof(struct body_layout) + size_bytes,
				 &draft->block);
	/* A full pool is not full memory: large bodies have another way. */
	if (err == -ENOSPC && size_bytes > MAILBOX_CHUNK_BYTES / 4)
		err = make_draft_in_file(link, body, size_bytes, draft);
	if (err == 0)
		write_body(link, draft, body, size_bytes);
	return err;
}

static void drop_draft(struct tol_link *link, const struct draft *draft)
{
	if (draft->in_file)
		body_file_remove(link, link->number, draft->serial);
	pool_abort(link, &draft->block);
}

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
		err = make_draft(link, body, size_bytes, &draft);
	if (err < 0)
		return err;
	while ((err = ring_publish(link, draft.block.unit, &room)) ==
	       -EAGAIN) {
		err = wait_for_room(link, waiter, &room);
		if (err < 0)
			break;
	}
	if (err < 0)
		drop_draft(link, &draft);
	else
		pool_commit(link, &draft.block, room.position + 1);
	return err;
}

int tol_send(struct tol_link *link, const void *body, size_t size_bytes,
	     int64_t timeout_ns)
{
	struct bell_waiter waiter;
	int err;

	if (!link || (!body && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	if (!(link->flags & TOL_SEND))
		return -EPERM;
	err = link_check(link);
	if (err < 0)
		return err;
	bell_begin(&waiter, link, true, timeout_ns);
	err = send_waiting(link, &waiter, body, size_bytes);
	bell_end(&waiter);
	return err;
}

/* The head of a body, read once, and where its bytes are. */
struct reading {
	struct body_layout body;
	uint64_t serial;
	uint32_t unit;
};

/*
 * Reads the head of a message's body and checks it, once it is certain that the
 * message was still there when it was read.
 *
 * Return: 0; -EAGAIN somebody else took it; -EBADMSG
 */
static int read_head(struct tol_link *link, const struct ring_message *message,
		     struct reading *ret_reading)
{
	struct reading reading = { .unit = slot_unit(message->word) };
	const struct body_layout *layout = pool_at(link, reading.unit);
	uint64_t span_bytes = sizeof(*layout) + sizeof(reading.serial);

	if (!pool_may_read(link, reading.unit, span_bytes))
		return link_quarantine(link);
	memcpy(&reading.body, layout, sizeof(reading.body));
	memcpy(&reading.serial, layout + 1, sizeof(reading.serial));
	if (!ring_is_there(link, message))
		return -EAGAIN;
	if (reading.body.size_bytes > PTRDIFF_MAX)
		return link_quarantine(link);
	if (!(reading.body.flags & BODY_IN_FILE)) {
		span_bytes = sizeof(*layout) + reading.body.size_bytes;
		if (reading.body.size_bytes > BODY_IN_POOL_MAX_BYTES ||
		    !pool_may_read(link, reading.unit, span_bytes))
			return link_quarantine(link);
	}
	*ret_reading = reading;
	return 0;
}

/* Return: 0; -EAGAIN somebody else took it; -EBADMSG, -errno */
static int copy_body(struct tol_link *link, const struct ring_message *message,
		     const struct reading *reading, void *buf)
{
	const struct body_layout *layout = pool_at(link, reading->unit);
	size_t size_bytes = (size_t)reading->body.size_bytes;
	ssize_t n;

	if (!(reading->body.flags & BODY_IN_FILE)) {
		if (size_bytes > 0)
			memcpy(buf, layout + 1, size_bytes);
		return 0;
	}
	n = body_file_read(link, reading->body.sender_number, reading->serial,
			   buf, size_bytes);
	if (n == (ssize_t)size_bytes)
		return 0;
	if (!ring_is_there(link, message))
		return -EAGAIN;
	return n >= 0 || n == -ENOENT ? link_quarantine(link) : (int)n;
}

static void describe(const struct ring_message *message,
		     const struct reading *reading,
		     struct tol_message *ret_message)
{
	*ret_message = (struct tol_message){
		.size_bytes = (size_t)reading->body.size_bytes,
		.sender_pid = (pid_t)reading->body.sender_pid,
		.sender_uid = (uid_t)reading->body.sender_uid,
		.position = message->position,
	};
}

/* Return: size; -EAGAIN and *is_empty, or somebody else was faster; -errno */
static ssize_t receive_one(struct tol_link *link, void *buf, size_t size_bytes,
			   struct tol_message *ret_message,
			   struct ring_gate *gate, bool *is_empty)
{
	struct ring_message message;
	struct reading reading = { 0 };
	int err;

	*is_empty = false;
	err = ring_find_message(link, &message, gate);
	if (err < 0) {
		*is_empty = err == -EAGAIN;
		return err;
	}
	err = read_head(link, &message, &reading);
	if (err < 0)
		return err;
	if (reading.body.size_bytes > size_bytes) {
		describe(&message, &reading, ret_message);
		return -EMSGSIZE;
	}
	err = copy_body(link, &message, &reading, buf);
	if (err < 0)
		return err;
	if (!ring_consume(link, &message))
		return -EAGAIN;
	if (reading.body.flags & BODY_IN_FILE)
		body_file_remove(link, reading.body.sender_number,
				 reading.serial);
	describe(&message, &reading, ret_message);
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
	if (!(link->flags & TOL_RECV))
		return -EPERM;
	n = link_check(link);
	if (n < 0)
		return n;
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
