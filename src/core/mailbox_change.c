/* SPDX-License-Identifier: MIT */
/*
 * What changes a mailbox that is in use: its end, its capacity, throwing away
 * what is in it.
 *
 * The end: the word is set, which turns new senders away. One that is past it may
 * still publish; whoever then finds nothing closes the very slot where that one
 * would have to (ring_end()). So after the first receiver has heard of the end
 * no message can come. Crash and stop: who finds out tells those who sleep.
 *
 * The capacity: a word that senders read for each message, not above the slots of
 * the ring. Those who wait for room are told; killed before that, the kernel wakes
 * one, who sends and wakes the next.
 */
#include <errno.h>

#include "core/bell.h"
#include "core/body.h"
#include "core/change.h"
#include "core/collect.h"
#include "core/hold.h"
#include "core/index.h"
#include "core/receive.h"
#include "core/send.h"
#include "core/watch.h"

/* Killed before this, one who sleeps is woken by the kernel and tells the others. */
static void tell_all(struct tol_link *link, struct robust_saved armed)
{
	bell_ring_all(link->head, link->futex);
	fence_full();
	watch_settle(link);
	robust_disarm(armed);
}

int tol_shutdown(struct tol_link *link)
{
	struct robust_saved armed;
	int err = link ? send_check(link) : -EINVAL;

	if (err == -ESHUTDOWN)
		return 0;
	if (err < 0)
		return err;
	armed = robust_arm(&link->head->bell);
	store_release_32(&link->head->ended, 1);
	tell_all(link, armed);
	return 0;
}

int tol_resize(struct tol_link *link, uint64_t capacity_msgs)
{
	struct robust_saved armed;
	int err = link ? link_check(link) : -EINVAL;

	if (err < 0)
		return err;
	if (link->is_dead_view || link->tap)
		return -EPERM;
	if (capacity_msgs == 0)
		return -EINVAL;
	if (link->is_unbounded)
		return capacity_msgs == TOL_CAPACITY_UNBOUNDED ? 0 : -ENOTSUP;
	if (capacity_msgs > link->capacity_msgs)
		return -ERANGE;
	armed = robust_arm(&link->head->bell);
	store_release_64(&link->head->limit_msgs, capacity_msgs);
	tell_all(link, armed);
	return 0;
}

/* Return: 1 one is gone; 0 there is none; -EAGAIN */
static int drop_back(struct tol_link *link, enum hold_kind kind)
{
	struct hold_layout record;
	struct reading reading;
	struct hold hold;
	bool is_read;

	if (hold_find(link, kind, &hold) < 0)
		return 0;
	if (!hold_read(link, &hold, &record))
		return -EAGAIN;
	is_read = record.unit <= UINT32_MAX &&
		  body_look(link, (uint32_t)record.unit, &reading) == 0;
	if (!hold_consume(link, &hold))
		return -EAGAIN;
	if (is_read)
		body_consume(link, &reading, UINT64_MAX);
	return 1;
}

static int drop_queued(struct tol_link *link, uint64_t end_position)
{
	struct ring_message message;
	struct reading reading;
	struct ring_gate gate;
	bool is_read;
	int err = ring_find_message(link, &message, &gate);

	if (err == -EAGAIN || err == -ENODATA ||
	    (err == 0 && message.position >= end_position))
		return 0;
	if (err < 0)
		return err;
	is_read = body_look(link, ring_unit(link, &message), &reading) == 0;
	if (!ring_consume(link, &message))
		return -EAGAIN;
	if (is_read)
		body_consume(link, &reading, message.position);
	return 1;
}

/*
 * All that came before is in the index then, and stays in its entries.
 *
 * Return: 1 one is gone; 0 there is none from *entry on; -EAGAIN; -errno
 */
static int drop_sorted(struct tol_link *link, uint64_t end_position,
		       uint32_t *entry)
{
	struct ring_message nothing;
	struct index_found found;
	struct reading reading;
	struct ring_gate gate;
	int err = change_prepare(link);

	if (err == 0)
		err = index_move(link, &nothing, &gate);
	if (err < 0 && err != -ENODATA)
		return err;
	err = index_find_below(link, end_position, entry, &found);
	if (err < 0)
		return err == -EAGAIN ? 0 : err;
	err = body_look(link, found.unit, &reading);
	if (!index_is_there(link, &found))
		return -EAGAIN;
	if (err == 0)
		err = index_receive(link, NULL, &found, NULL, NULL);
	if (err < 0)
		return err;
	body_consume(link, &reading, UINT64_MAX);
	return 1;
}

static int drop_one(struct tol_link *link, uint64_t end_position,
		    uint32_t *entry)
{
	int err = drop_back(link, link->is_dead_view ? HOLD_KIND_DEAD
						     : HOLD_KIND_RETURNED);
	bool entered;

	if (err != 0 || link->is_dead_view)
		return err;
	if (!index_is_used(link) || link->is_meeting) {
		err = drop_queued(link, end_position);
		if (err != -EBUSY)
			return err;
		return index_is_used(link) ? -EAGAIN : link_quarantine(link);
	}
	entered = lock_enter(&link->index_lock);
	err = drop_sorted(link, end_position, entry);
	lock_leave(&link->index_lock, entered);
	return err;
}

static ssize_t drop_all(struct tol_link *link, uint64_t end_position)
{
	uint32_t entry = 1;
	ssize_t count = 0;
	int err = 1;

	while (err > 0 || err == -EAGAIN) {
		err = drop_one(link, end_position, &entry);
		if (err > 0)
			count++;
	}
	return err < 0 ? err : count;
}

ssize_t tol_purge(struct tol_link *link)
{
	struct bell_waiter waiter;
	uint64_t end_position;
	ssize_t count;
	int err = link ? receive_check(link) : -EINVAL;

	if (err < 0)
		return err;
	bell_begin(&waiter, link, receive_kind(link), TOL_NOWAIT);
	/* What nobody alive holds has come back, whoever notices. */
	if (hold_is_watched(link))
		hold_sweep(link);
	err = ring_find_tail(link, &end_position);
	count = err < 0 ? err : drop_all(link, end_position);
	collect_if_empty(link);
	bell_end(&waiter);
	return count;
}
