/* SPDX-License-Identifier: MIT */
/*
 * Receiving from a mailbox in which somebody selects.
 *
 * What is there is in three places: what has come since somebody last looked (the
 * ring: it is moved), the index, and what came back (hold cells). The first of all that
 * match is received: by the change that takes it out of the index, or by the CAS
 * of its cell.
 */
#include "core/receive_sorted.h"

#include "core/change.h"
#include "core/collect.h"
#include "core/index.h"
#include "core/index_wait.h"

#define AGAIN RECEIVE_AGAIN
#define NOTHING RECEIVE_NOTHING

/* A call that receives from the index. */
struct sorted {
	struct receiving *r;
	struct waiter_layout *place;	/* NULL: it has not waited */
	struct ring_message nothing;	/* where the next one comes */
	struct ring_gate gate;
	uint32_t returns_seen;		/* when what came back was looked at */
};

/* ---- from the index ---- */

static int take_found(struct receiving *r, const struct index_found *found,
		      const struct reading *reading,
		      const struct waiter_layout *place)
{
	struct tol_link *link = r->link;
	struct hold hold;
	void *address;
	int err = receive_map_body(r, reading, &address);

	if (err < 0)
		return err;
	err = hold_claim(link, &hold);
	if (err == 0) {
		hold_fill(link, &hold, found->key.position, reading->unit,
			  body_span_bytes(reading), r->take->lease_ns);
		err = index_receive(link, r->select, found, &hold, place);
		if (err < 0)
			hold_unclaim(link, &hold);
	}
	if (err < 0) {
		receive_drop_map(reading, address);
		return err;
	}
	return receive_hand_over(r, reading, &hold, address);
}

static int consume_found(struct receiving *r, const struct index_found *found,
			 const struct reading *reading,
			 const struct waiter_layout *place)
{
	int err = index_receive(r->link, r->select, found, NULL, place);

	if (err == 0)
		body_consume(r->link, reading, UINT64_MAX);
	return err;
}

/* As receive_queued() does with one in the ring. */
static int receive_found(struct sorted *s, const struct index_found *found)
{
	struct receiving *r = s->r;
	struct reading reading;
	int err = body_look(r->link, found->unit, &reading);

	if (err == 0 && receive_is_expired(r->link, &reading)) {
		consume_found(r, found, &reading, NULL);
		return AGAIN;
	}
	if (err == 0)
		err = receive_fetch(r, &reading, found->key.position, 1);
	if (err == 0)
		err = r->take ? take_found(r, found, &reading, s->place)
			      : consume_found(r, found, &reading, s->place);
	if (err < 0 && err != AGAIN && !index_is_there(r->link, found))
		return AGAIN;
	return err == -EBADMSG ? link_quarantine(r->link) : err;
}

/* No memory to move it to the index: the oldest as it is, to who takes any. */
static int receive_unmoved(struct sorted *s)
{
	struct tol_link *link = s->r->link;
	struct ring_message message;
	struct reading reading;
	struct ring_gate gate;
	int err = ring_find_unmoved(link, &message, &gate);

	if (err != 0 || s->r->take)
		return -ENOSPC;
	err = body_look(link, ring_unit(link, &message), &reading);
	if (err == 0)
		err = receive_fetch(s->r, &reading, message.position, 1);
	if (!ring_is_there(link, &message))
		return AGAIN;
	if (err < 0)
		return err;
	if (!ring_consume(link, &message))
		return AGAIN;
	body_consume(link, &reading, message.position);
	return 0;
}

/*
 * Nothing that is wanted was in the ring, then not in the index, then it had not come
 * back. If nothing has come to the ring since, all that was so at one moment.
 */
static int tell_nothing(struct sorted *s, int moved)
{
	struct tol_link *link = s->r->link;
	int err;

	if (load_after_reads_64(s->gate.slot) != s->gate.word)
		return AGAIN;
	if (moved == -ENODATA)
		return -ENODATA;
	if (moved < 0)
		return s->r->select ? moved : receive_unmoved(s);
	if (!load_acquire_32(&link->head->ended))
		return NOTHING;
	err = ring_end(link, &s->nothing);
	return err == 0 ? -ENODATA : err;
}

/* Return: 0; AGAIN; NOTHING; -errno */
static int receive_locked(struct sorted *s)
{
	struct receiving *r = s->r;
	struct tol_link *link = r->link;
	struct index_found found;
	struct select_key key;
	struct hold hold;
	int moved = index_move(link, &s->nothing, &s->gate);
	int err;

	if (moved == -EBADMSG)
		return moved;
	err = index_find(link, r->select, &found);
	if (err < 0 && err != -EAGAIN)
		return err;
	s->returns_seen = (uint32_t)load_acquire_64(&link->head->returns);
	if (s->returns_seen != 0) {
		/* So that the count is 0 again if it may be. */
		if (hold_find(link, HOLD_KIND_RETURNED, &hold) < 0)
			s->returns_seen = 0;
		else if (receive_find_held(r, HOLD_KIND_RETURNED, &hold, &key) &&
			 (err == -EAGAIN ||
			  select_is_before(r->select, &key, &found.key)))
			return receive_held(r, HOLD_KIND_RETURNED, &hold);
	}
	return err == 0 ? receive_found(s, &found) : tell_nothing(s, moved);
}

static int try_once(struct sorted *s)
{
	struct tol_link *link = s->r->link;
	bool entered;
	int err;

	receive_look_after_holds(link);
	entered = lock_enter(&link->index_lock);
	err = change_prepare(link);
	if (err == 0)
		err = receive_locked(s);
	else if (!s->r->select && index_count(link) == 0)
		err = receive_unmoved(s);
	lock_leave(&link->index_lock, entered);
	return err;
}

/* ---- waiting ---- */

/*
 * The first time it looks at the ring for a while, and announces itself; then, having
 * looked again, it waits to be named.
 */
static int wait_more(struct sorted *s, struct bell_waiter *waiter)
{
	struct tol_link *link = s->r->link;
	bool entered;
	int err = 0;

	if (!waiter->is_announced || waiter->timeout_ns == TOL_NOWAIT)
		return bell_wait(waiter, &s->gate);
	entered = lock_enter(&link->index_lock);
	if (!s->place)
		err = index_wait_claim(link, s->r->select, &s->place);
	if (err == 0)
		err = index_wait_begin(link, s->r->select, s->place, &s->gate);
	lock_leave(&link->index_lock, entered);
	if (err < 0)
		return err == -EAGAIN ? 0 : err;
	waiter->returns_seen = s->returns_seen;
	return bell_wait(waiter, &s->gate);
}

static int receive_or_wait(struct sorted *s, struct bell_waiter *waiter)
{
	struct tol_link *link = s->r->link;
	bool is_last_look = false;

	for (;;) {
		int err = try_once(s);

		if (err != AGAIN && err != NOTHING && err != -ENODATA)
			return err;
		if (err == NOTHING) {
			collect_if_empty(link);
			err = wait_more(s, waiter);
		} else if (err == AGAIN) {
			err = 0;
		}
		if (err == 0)
			err = link_check(link);
		if (err == 0)
			continue;
		/* "Nothing there" is said when nobody who holds is dead. */
		if (is_last_look || (err != -EAGAIN && err != -ETIMEDOUT &&
				     err != -ENODATA) ||
		    !hold_is_watched(link))
			return err;
		hold_sweep(link);
		is_last_look = true;
	}
}

int receive_sorted(struct receiving r, struct bell_waiter *waiter)
{
	struct sorted s = { .r = &r };
	int err = receive_or_wait(&s, waiter);

	if (s.place) {
		bool entered = lock_enter(&r.link->index_lock);

		index_wait_end(r.link, s.place);
		lock_leave(&r.link->index_lock, entered);
	}
	return err;
}
