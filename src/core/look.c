/* SPDX-License-Identifier: MIT */
/*
 * tol_peek(), tol_peek_select(): a copy of a message that stays where it is.
 *
 * What is read may be overwritten meanwhile, as in a receive: it is believed only
 * if the message was still there afterwards. Nothing is written, but what any
 * call does for dead holders.
 */
#include <errno.h>
#include <stdint.h>

#include "core/index.h"
#include "core/look_list.h"
#include "core/receive.h"

/* There are not so many. Not this one. */
enum { NOTHING = 1, PASSED = 2, BUSY = 3 };

/*
 * One message that was found: passed if its time is over, or if @left more are to
 * be passed, else copied. The caller looks whether it was there all the time.
 */
static int look_at_body(struct receiving *r, uint64_t unit, uint64_t position,
			uint32_t tries, uint64_t *left)
{
	struct reading reading;
	int err = unit > UINT32_MAX
			  ? -EBADMSG
			  : body_look(r->link, (uint32_t)unit, &reading);

	if (err < 0)
		return err;
	if (receive_is_expired(r->link, &reading))
		return PASSED;
	if (*left > 0) {
		--*left;
		return PASSED;
	}
	return receive_fetch(r, &reading, position, tries);
}

/* Return: 0; NOTHING and @left what is to be passed elsewhere; -errno */
static int look_at_holds(struct receiving *r, enum hold_kind kind,
			 uint64_t *left)
{
	uint64_t from_position = 0;
	struct hold_layout record;
	struct hold hold;

	while (hold_find_from(r->link, kind, from_position, &hold)) {
		uint64_t left_then = *left;
		int err;

		if (!hold_read(r->link, &hold, &record))
			continue;
		err = look_at_body(r, record.unit, record.position,
				   hold_tries(&record, &hold) + 1,
				   left);
		if (!hold_read(r->link, &hold, &record)) {
			*left = left_then;
			continue;
		}
		if (err == -EBADMSG || record.position == UINT64_MAX)
			return link_quarantine(r->link);
		if (err != PASSED)
			return err;
		from_position = record.position + 1;
	}
	return NOTHING;
}

/*
 * Where the walk of the last call ended: good for this one if the queue begins
 * where it did then.
 */
static uint64_t recall(struct tol_link *link, uint64_t head, uint64_t *left)
{
	uint64_t position = head;
	bool entered = lock_enter(&link->look_lock);

	if (link->look_position > head && link->look_head == head &&
	    link->look_index <= *left) {
		position = link->look_position;
		*left -= link->look_index;
	}
	lock_leave(&link->look_lock, entered);
	return position;
}

static void remember(struct tol_link *link, uint64_t head, uint64_t index,
		     uint64_t position)
{
	bool entered = lock_enter(&link->look_lock);

	link->look_head = head;
	link->look_index = index;
	link->look_position = position;
	lock_leave(&link->look_lock, entered);
}

/* Return: 0; NOTHING; -errno */
static int look_at_queue(struct receiving *r, uint64_t index)
{
	struct tol_link *link = r->link;
	struct ring_message message;
	struct ring_gate gate;
	uint64_t position, head, left = index;
	int err = ring_find_message(link, &message, &gate);

	if (err == -EAGAIN || err == -ENODATA)
		return NOTHING;
	/* Somebody selects by now: the next look is another one. */
	if (err == -EBUSY)
		return index_is_used(link) ? BUSY : link_quarantine(link);
	if (err < 0)
		return err;
	head = message.position;
	for (position = recall(link, head, &left);; position++) {
		uint64_t left_then = left;
		enum ring_seen seen = ring_look_at(link, position, &message);

		if (seen == RING_NOTHING)
			return NOTHING;
		if (seen == RING_GONE)
			continue;
		err = look_at_body(r, ring_unit(link, &message), position,
				   1, &left);
		if (!ring_is_there(link, &message)) {
			left = left_then;
			continue;
		}
		if (err == -EBADMSG)
			return link_quarantine(link);
		if (err == PASSED)
			continue;
		/* With -EMSGSIZE the caller comes again. */
		remember(link, head, index, position);
		return err;
	}
}

static int look(struct receiving *r, uint64_t index)
{
	bool is_last_look = false;

	for (;;) {
		uint64_t left = index;
		int err;

		if (r->select || (index_is_used(r->link) &&
				  !r->link->is_dead_view)) {
			err = look_list_show(r, index);
		} else if (r->link->is_dead_view) {
			err = look_at_holds(r, HOLD_KIND_DEAD, &left);
		} else {
			err = look_at_holds(r, HOLD_KIND_RETURNED, &left);
			if (err == NOTHING)
				err = look_at_queue(r, left);
		}
		if (err == BUSY)
			continue;
		if (err != NOTHING)
			return err;
		/* "Not so many" is said when nobody who holds is dead. */
		if (is_last_look || !hold_is_watched(r->link))
			return -EAGAIN;
		hold_sweep(r->link);
		is_last_look = true;
	}
}

ssize_t tol_peek_select(struct tol_link *link, const struct tol_select *select,
			uint64_t index, void *buf, size_t size_bytes,
			struct tol_message *ret_message)
{
	struct tol_message message;
	struct receiving r = {
		.link = link,
		.buf = buf,
		.size_bytes = size_bytes,
		.select = select,
		.ret_message = ret_message ? ret_message : &message,
	};
	struct bell_waiter waiter;
	int err;

	if (!link || (!buf && size_bytes > 0))
		return -EINVAL;
	err = select_check(select);
	if (err == 0 && select && link->tap)
		err = -EPERM;
	if (err == 0)
		err = receive_check(link);
	if (err < 0)
		return err;
	/* What a sweep puts back others are to be woken for. */
	bell_begin(&waiter, link, receive_kind(link), TOL_NOWAIT);
	err = look(&r, index);
	bell_end(&waiter);
	return err < 0 ? err : (ssize_t)r.ret_message->size_bytes;
}

ssize_t tol_peek(struct tol_link *link, uint64_t index, void *buf,
		 size_t size_bytes, struct tol_message *ret_message)
{
	return tol_peek_select(link, NULL, index, buf, size_bytes, ret_message);
}
