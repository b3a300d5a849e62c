/* SPDX-License-Identifier: MIT */
/*
 * tol_recv(), and what tol_take() has in common with it.
 *
 * A receive has one instruction at which it happens: the CAS of ring_consume() or
 * ring_take(), or of hold_consume() or hold_take() for a message that had come back. Before
 * it the caller has a copy that nobody else sees, or a claim that the heir finds
 * in vain.
 */
#include "core/receive.h"

#include <errno.h>
#include <stdint.h>

#include "core/collect.h"
#include "core/index.h"
#include "core/index_wait.h"
#include "core/meet.h"
#include "core/receive_sorted.h"
#include "core/ring_unbounded.h"

#define AGAIN RECEIVE_AGAIN
#define NOTHING RECEIVE_NOTHING

/* The handle that tol_ack() is given. */
static uint64_t make_handle(const struct hold *hold)
{
	return UINT64_C(1) << 63 | (uint64_t)hold->cell << 32 |
	       hold_grant(hold->word);
}

static void set_body(struct receiving *r, const struct reading *reading,
		     const struct hold *hold, void *address)
{
	r->ret_message->hold = make_handle(hold);
	if (r->take->max_tries && r->ret_message->tries >= r->take->max_tries)
		r->ret_message->hold |= HANDLE_LAST_TRY;
	if (reading->body.size_bytes == 0)
		return;
	r->ret_message->body = address ? address
				       : body_at(r->link, reading);
}

int receive_map_body(struct receiving *r, const struct reading *reading,
		     void **ret_address)
{
	*ret_address = NULL;
	if (!(reading->body.flags & BODY_IN_FILE))
		return 0;
	return body_map_file(r->link, reading, ret_address);
}

/* Ours now: or, if that cannot be noted, given back by the caller. */
static int keep_map(struct receiving *r, const struct reading *reading,
		    const struct hold *hold, void *address)
{
	return address ? maps_add(r->link, make_handle(hold), address,
				  (size_t)reading->body.size_bytes,
				  MAPS_NO_SERIAL)
		       : 0;
}

void receive_drop_map(const struct reading *reading, void *address)
{
	if (address)
		sys_unmap(address, (size_t)reading->body.size_bytes);
}

int receive_hand_over(struct receiving *r, const struct reading *reading,
		      const struct hold *hold, void *address)
{
	int err = keep_map(r, reading, hold, address);

	if (err < 0) {
		receive_drop_map(reading, address);
		hold_return(r->link, hold->cell, hold_grant(hold->word));
		return err;
	}
	set_body(r, reading, hold, address);
	return 0;
}

/* ---- a message that came back, or a dead letter ---- */

static int take_back(struct receiving *r, const struct hold *found,
		     const struct reading *reading)
{
	struct hold hold = *found;
	void *address;
	int err = receive_map_body(r, reading, &address);

	if (err < 0)
		return err;
	if (!hold_take(r->link, &hold, r->take->lease_ns)) {
		receive_drop_map(reading, address);
		return AGAIN;
	}
	return receive_hand_over(r, reading, &hold, address);
}

static int consume_back(struct receiving *r, const struct hold *hold,
			const struct reading *reading)
{
	if (!hold_consume(r->link, hold))
		return AGAIN;
	body_consume(r->link, reading, UINT64_MAX);
	return 0;
}

static bool is_there_yet(const struct receiving *r, const struct hold *hold)
{
	struct hold_layout record;

	return hold_read(r->link, hold, &record);
}

int receive_held(struct receiving *r, enum hold_kind kind,
		 const struct hold *hold)
{
	struct tol_link *link = r->link;
	struct hold_layout record;
	struct reading reading;
	int err;

	if (!hold_read(link, hold, &record))
		return AGAIN;
	err = record.unit > UINT32_MAX
		      ? -EBADMSG
		      : body_look(link, (uint32_t)record.unit, &reading);
	if (err == 0) {
		uint32_t tries = hold_tries(&record, hold);

		if (kind == HOLD_KIND_RETURNED && r->take &&
		    r->take->max_tries && tries >= r->take->max_tries) {
			hold_bury(link, hold);
			return AGAIN;
		}
		if (receive_is_expired(r->link, &reading)) {
			consume_back(r, hold, &reading);
			return AGAIN;
		}
		err = receive_fetch(r, &reading, record.position, tries + 1);
		if (err == 0)
			err = r->take ? take_back(r, hold, &reading)
				      : consume_back(r, hold, &reading);
	}
	if (err < 0 && err != AGAIN && !is_there_yet(r, hold))
		return AGAIN;
	return err == -EBADMSG ? link_quarantine(link) : err;
}

bool receive_find_held(struct receiving *r, enum hold_kind kind,
		       struct hold *ret_hold, struct select_key *ret_key)
{
	struct hold_layout record;
	struct select_key key;
	struct hold hold;
	bool is_found = false;

	for (uint32_t cell = 0;
	     hold_next(r->link, kind, &cell, &hold, &record); cell++) {
		if (!hold_key(r->link, &record, &key) ||
		    !hold_read(r->link, &hold, &record) ||
		    !select_matches(r->select, &key) ||
		    (is_found && select_is_before(r->select, ret_key, &key)))
			continue;
		is_found = true;
		*ret_hold = hold;
		*ret_key = key;
	}
	return is_found;
}

/* Return: 0; AGAIN; NOTHING; -errno */
static int receive_back(struct receiving *r, enum hold_kind kind)
{
	struct select_key key;
	struct hold hold;

	if (hold_find(r->link, kind, &hold) < 0 ||
	    (r->select && !receive_find_held(r, kind, &hold, &key)))
		return NOTHING;
	return receive_held(r, kind, &hold);
}

/* ---- a queued message ---- */

static int take_queued(struct receiving *r, const struct ring_message *message,
		       const struct reading *reading)
{
	struct tol_link *link = r->link;
	struct hold hold;
	void *address;
	int err = receive_map_body(r, reading, &address);

	if (err < 0)
		return err;
	err = hold_claim(link, &hold);
	if (err < 0) {
		receive_drop_map(reading, address);
		return err;
	}
	hold_fill(link, &hold, message->position, reading->unit,
		  body_span_bytes(reading), r->take->lease_ns);
	if (!ring_take(link, message, hold.cell)) {
		hold_unclaim(link, &hold);
		receive_drop_map(reading, address);
		return AGAIN;
	}
	return receive_hand_over(r, reading, &hold, address);
}

static int consume_queued(struct receiving *r,
			  const struct ring_message *message,
			  const struct reading *reading)
{
	if (!either_consume(r->link, message))
		return AGAIN;
	body_consume(r->link, reading, message->position);
	if (__builtin_expect(r->link->has_heap, 0))
		collect_passing(r->link, message->position);
	return 0;
}

static int receive_queued(struct receiving *r, struct ring_gate *gate)
{
	struct tol_link *link = r->link;
	struct ring_message message;
	struct reading reading;
	int err;

	err = either_find_message(link, &message, gate);
	/* After that look: before anybody selected it was the next one. */
	if (__builtin_expect(index_is_used(link), 0))
		return AGAIN;
	if (__builtin_expect(err == -EBUSY, 0))
		return link_quarantine(link);
	if (err == -EAGAIN && !load_acquire_32(&link->head->ended))
		return NOTHING;
	/* Who sends had not published when this said so, and now never will. */
	if (err == -EAGAIN) {
		err = ring_end(link, &message);
		return err == 0 ? -ENODATA : err;
	}
	if (err < 0)
		return err;
	err = body_look(link, ring_unit(link, &message), &reading);
	if (!ring_is_there(link, &message))
		return AGAIN;
	if (err < 0)
		return link_quarantine(link);
	if (receive_is_expired(r->link, &reading)) {
		consume_queued(r, &message, &reading);
		return AGAIN;
	}
	err = receive_fetch(r, &reading, message.position, 1);
	if (err == 0)
		err = r->take ? take_queued(r, &message, &reading)
			      : consume_queued(r, &message, &reading);
	if (err < 0 && err != AGAIN && err != -EMSGSIZE &&
	    !ring_is_there(link, &message))
		return AGAIN;
	return err == -EBADMSG ? link_quarantine(link) : err;
}

static int receive_one(struct receiving *r, struct ring_gate *gate)
{
	struct tol_link *link = r->link;

	receive_look_after_holds(link);
	if (__builtin_expect(link->is_dead_view, 0)) {
		/* While the word is as it was there is none. */
		gate->slot = &link->head->dead_letters;
		gate->word = load_acquire_64(gate->slot);
		return receive_back(r, HOLD_KIND_DEAD);
	}
	if (__builtin_expect(hold_is_eventful(link), 0)) {
		int err = index_is_used(link)
				  ? AGAIN : receive_back(r, HOLD_KIND_RETURNED);

		if (err != NOTHING)
			return err;
	}
	return receive_queued(r, gate);
}

/* ---- capacity 0 ---- */

/* What an offer is of, before it is accepted: does it fit? */
static int check_offer(struct receiving *r, const struct meet_spot *spot)
{
	struct tol_link *link = r->link;
	struct reading reading;
	struct hold offer;
	uint64_t unit = 0;
	int err = -EBADMSG;

	if (meet_claim_of(link, spot, &offer)) {
		unit = load_relaxed_64(&link->hold_records[offer.cell].unit);
		err = unit > UINT32_MAX
			      ? -EBADMSG
			      : body_look(link, (uint32_t)unit, &reading);
	}
	if (!meet_is_there(link, spot))
		return AGAIN;
	if (err < 0)
		return link_quarantine(link);
	if (r->take || reading.body.size_bytes <= r->size_bytes)
		return 0;
	body_describe(link, &reading, spot->position, 1, r->ret_message);
	return meet_is_there(link, spot) ? -EMSGSIZE : AGAIN;
}

/* It is ours, as if we had taken it: if it cannot be delivered it goes back. */
static int deliver(struct receiving *r, const struct hold *given)
{
	struct tol_link *link = r->link;
	uint32_t grant = hold_grant(given->word);
	struct hold_layout record = link->hold_records[given->cell];
	struct reading reading;
	void *address = NULL;
	int err = record.unit > UINT32_MAX
			  ? -EBADMSG
			  : body_look(link, (uint32_t)record.unit, &reading);

	if (err < 0)
		return link_quarantine(link);
	if (receive_is_expired(link, &reading)) {
		if (hold_ack(link, given->cell, grant) == 0)
			body_consume(link, &reading, UINT64_MAX);
		return AGAIN;
	}
	err = receive_fetch(r, &reading, record.position, 1);
	if (err == 0 && r->take) {
		err = receive_map_body(r, &reading, &address);
		if (err == 0)
			err = keep_map(r, &reading, given, address);
		if (err == 0 && r->take->lease_ns > 0)
			hold_extend(link, given->cell, grant,
				    r->take->lease_ns);
		if (err == 0)
			set_body(r, &reading, given, address);
		else
			receive_drop_map(&reading, address);
	} else if (err == 0) {
		if (hold_ack(link, given->cell, grant) < 0)
			return AGAIN;
		body_consume(link, &reading, UINT64_MAX);
	}
	if (err < 0)
		hold_return(link, given->cell, grant);
	return err == -EBADMSG ? link_quarantine(link) : err;
}

/*
 * What came back goes before an offer that is not to be received before it.
 *
 * Return: 0; AGAIN; NOTHING and what to wait for besides; -errno
 */
static int meet_back(struct receiving *r, struct bell_waiter *waiter,
		     const struct meet_spot *offer)
{
	struct tol_link *link = r->link;
	struct select_key key;
	struct hold hold;

	waiter->returns_seen = load_acquire_64(&link->head->returns);
	if ((uint32_t)waiter->returns_seen == 0)
		return NOTHING;
	/* There is none: the count says so now. */
	if (hold_find(link, HOLD_KIND_RETURNED, &hold) < 0)
		return AGAIN;
	if (!index_is_used(link))
		return receive_held(r, HOLD_KIND_RETURNED, &hold);
	if (receive_find_held(r, HOLD_KIND_RETURNED, &hold, &key) &&
	    (!offer || !select_is_before(r->select, &offer->key, &key)))
		return receive_held(r, HOLD_KIND_RETURNED, &hold);
	return NOTHING;
}

/* Who waits says what for, in a place that is its own during the call. */
static int make_wish(struct receiving *r, struct waiter_layout **place,
		     const struct hold *own)
{
	int err = 0;

	if (!r->select)
		return 0;
	if (!*place)
		err = index_wait_claim(r->link, r->select, place);
	if (err == 0)
		store_relaxed_32(&r->link->hold_records[own->cell].wish,
				 (uint32_t)(*place - r->link->waiters) + 1);
	return err;
}

/* Meets one, or waits. Return: 0 it is delivered; AGAIN; NOTHING; -errno */
static int meet_once(struct receiving *r, struct bell_waiter *waiter,
		     struct waiter_layout **place)
{
	struct tol_link *link = r->link;
	const struct meet_wish wish = {
		.kind = BELL_RECEIVERS, .select = r->select,
	};
	struct meet_spot spot;
	struct hold own, given;
	int found, met;

	receive_look_after_holds(link);
	found = meet_look(link, &wish, &spot);
	met = meet_back(r, waiter, found == 1 ? &spot : NULL);
	if (met != NOTHING)
		return met;
	if (load_acquire_32(&link->head->ended))
		return -ENODATA;
	/* Nothing at one moment: nobody has come since the look at those who wait. */
	if (found == 0 && waiter->timeout_ns == TOL_NOWAIT)
		return meet_is_there(link, &spot) ? NOTHING : AGAIN;
	met = found == 1 ? check_offer(r, &spot) : found;
	if (met < 0)
		return met;
	met = hold_claim(link, &own);
	if (met < 0)
		return met;
	hold_fill(link, &own, spot.position, 0, 0, 0);
	if (found == 1)
		met = meet_match(waiter, &spot, &own);
	else
		met = make_wish(r, place, &own);
	if (found == 0 && met == 0)
		met = meet_wait(waiter, &spot, &own);
	if (met == 1 && hold_follow(link, &own, &given))
		return deliver(r, &given);
	hold_unclaim(link, &own);
	if (met == 1)
		return link_quarantine(link);
	return met == 0 ? AGAIN : met == -ETIMEDOUT ? NOTHING : met;
}

static int meet_or_wait(struct receiving *r, struct bell_waiter *waiter,
			struct waiter_layout **place)
{
	bool is_last_look = false;

	for (;;) {
		int err = meet_once(r, waiter, place);

		if (err != AGAIN && err != NOTHING && err != -ENODATA)
			return err;
		if (err != AGAIN) {
			if (err == NOTHING)
				err = waiter->timeout_ns == TOL_NOWAIT
					      ? -EAGAIN : -ETIMEDOUT;
			if (is_last_look || !hold_is_watched(r->link))
				return err;
			hold_sweep(r->link);
			is_last_look = true;
		}
		err = link_check(r->link);
		if (err < 0)
			return err;
	}
}

static int receive_meeting(struct receiving *r, struct bell_waiter *waiter)
{
	struct waiter_layout *place = NULL;
	int err = meet_or_wait(r, waiter, &place);

	if (place)
		index_wait_release(place);
	return err;
}

int receive_waiting(struct receiving *r, struct bell_waiter *waiter)
{
	struct ring_gate gate;
	bool is_last_look = false;

	if (__builtin_expect(r->link->is_meeting, 0) &&
	    !r->link->is_dead_view)
		return receive_meeting(r, waiter);
	for (;;) {
		int err = receive_one(r, &gate);

		if (__builtin_expect(err == AGAIN, 0) &&
		    index_is_used(r->link) && !r->link->is_dead_view)
			return receive_sorted(*r, waiter);

		if (err != AGAIN && err != NOTHING && err != -ENODATA)
			return err;
		if (err == NOTHING)
			collect_if_empty(r->link);
		if (err == NOTHING && r->link->tap) {
			err = tap_check(r->link);
			if (err < 0)
				return err;
			err = NOTHING;
		}
		if (err != -ENODATA)
			err = err == NOTHING ? bell_wait(waiter, &gate) : 0;
		if (err == 0)
			err = link_check(r->link);
		if (err == 0)
			continue;
		/* "Nothing there" is said when nobody who holds is dead. */
		if (is_last_look || (err != -EAGAIN && err != -ETIMEDOUT &&
				     err != -ENODATA) ||
		    !hold_is_watched(r->link))
			return err;
		hold_sweep(r->link);
		is_last_look = true;
	}
}

int receive_check(struct tol_link *link)
{
	int err = link_check(link);

	if (err == 0 && !(link->flags & TOL_RECV))
		err = -EPERM;
	return err;
}

int receive(struct receiving *r, int64_t timeout_ns)
{
	struct tol_link *link = r->link;
	struct bell_waiter waiter;
	int err = receive_check(link);

	if (err < 0)
		return err;
	bell_begin(&waiter, link, receive_kind(link), timeout_ns);
	err = receive_waiting(r, &waiter);
	bell_end(&waiter);
	if (err == -ENODATA)
		bell_tell_end(link);
	return err;
}

/* The way that most messages go: no calls between. */
__attribute__((flatten))
ssize_t tol_recv_message(struct tol_link *link, void *buf, size_t size_bytes,
			 int64_t timeout_ns, struct tol_message *ret_message)
{
	struct receiving r = {
		.link = link,
		.buf = buf,
		.size_bytes = size_bytes,
		.ret_message = ret_message,
	};
	int err;

	if (!link || (!buf && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    !ret_message)
		return -EINVAL;
	err = receive(&r, timeout_ns);
	return err < 0 ? err : (ssize_t)ret_message->size_bytes;
}

int receive_select(struct tol_link *link, const struct tol_select *select)
{
	int err = select_check(select);

	if (err < 0 || !select)
		return err;
	if (link->tap)
		return -EPERM;
	err = receive_check(link);
	/* Dead letters are few. */
	return err < 0 || link->is_dead_view ? err : index_start(link);
}

ssize_t tol_recv_select(struct tol_link *link, const struct tol_select *select,
			void *buf, size_t size_bytes, int64_t timeout_ns,
			struct tol_message *ret_message)
{
	struct receiving r = {
		.link = link,
		.buf = buf,
		.size_bytes = size_bytes,
		.select = select,
		.ret_message = ret_message,
	};
	int err;

	if (!link || (!buf && size_bytes > 0) || timeout_ns < TOL_FOREVER ||
	    !ret_message)
		return -EINVAL;
	err = receive_select(link, select);
	if (err == 0)
		err = receive(&r, timeout_ns);
	return err < 0 ? err : (ssize_t)ret_message->size_bytes;
}

ssize_t tol_recv(struct tol_link *link, void *buf, size_t size_bytes,
		 int64_t timeout_ns)
{
	struct tol_message message;

	return tol_recv_message(link, buf, size_bytes, timeout_ns, &message);
}
