/* SPDX-License-Identifier: MIT */
/*
 * Those who wait in a mailbox of capacity 0: a queue of calls, of one side only at
 * any time ("dual queue"). Who comes and finds the other side waiting meets the
 * first of them; else it queues behind its own. Once somebody selects, or sends with a
 * priority, both sides may wait at once: who comes looks at all of them, and queues
 * if none suits.
 *
 *	EMPTY(lap) --wait--> OFFER or REQUEST --meet--> MATCHED --> EMPTY(lap + 1)
 *	OFFER or REQUEST --time is over, owner dead, in the way--> GONE
 *	GONE(lap) --wait--> OFFER or REQUEST (lap + 1)
 *
 * Linearization: sends and receives that meet at the CAS to MATCHED (meet-match);
 * a time-out at the CAS to GONE (meet-gone).
 *
 * I1 Positions are filled in order, each once a lap. What was seen GONE, MATCHED or
 *	of a later lap stays done. So who fills position T has seen that no one
 *	of the other side (who suits) waits before it, and still nobody does.
 * I2 Of an OFFER the cell is CLAIM of the sender, its record names the body; of a
 *	REQUEST CLAIM of the receiver. Of MATCHED the offer's cell is that or
 *	already HELD by the receiver, the request's CLAIM or POINT.
 * I3 MATCHED goes on to EMPTY only when both cells have been told, and woken:
 *	whoever comes across it does so. Nobody waits for who made the match.
 *
 * Edges: meet-wait (release, by CAS) -> meet-look (acquire): the record and the body
 *	are whole. Asleep: a waiter stores asleep, then looks at its place, and the
 *	kernel once more; who changes the place (CAS) then looks at asleep: one
 *	sees the other.
 *
 * Crash: who waits has its thread's mark in `waiter`: the kernel sets
 * FUTEX_OWNER_DIED, and whoever comes by takes the spot away. Who matches is armed
 * with the bell of the other's cell: killed after the CAS, the kernel wakes that one,
 * who does the rest. What is matched to a dead receiver is HELD by a dead one, and
 * comes back: hold.c.
 *
 * Wrap: a spot that waits while MEET_SLOTS others come and go behind it is put
 * out of the way (GONE, with its cell), and queues anew: it loses its turn. Who
 * did that may be killed or stopped before it tells: whoever comes to the place next
 * tells again. A word repeats after 2^29 laps.
 */
#include "core/meet.h"

#include <errno.h>

#include "base/presence.h"
#include "core/index.h"
#include "core/index_wait.h"
#include "core/participant.h"
#include "core/watch.h"

#define STEPS_MAX (UINT64_C(1) << 22)
#define HINT_EVERY 16u

/* Asleep, how often it is asked who is dead: of holders, of others who wait. */
#define SLICE_NS 5000000
#define SLICE_WAITERS_NS 100000000

static uint64_t *slot_at(const struct tol_link *link, uint64_t position)
{
	return &link->ring[position % MEET_SLOTS];
}

static uint64_t lap_of(uint64_t position)
{
	return position / MEET_SLOTS;
}

static void raise_hint(uint64_t *hint, uint64_t position)
{
	uint64_t seen = load_relaxed_64(hint);

	while (seen < position)
		if (cas_64(hint, &seen, position))
			return;
}

static bool is_waiting(uint64_t word)
{
	return meet_state(word) == MEET_OFFER ||
	       meet_state(word) == MEET_REQUEST;
}

/* Of one that waits. */
static uint32_t cell_of(uint64_t word)
{
	return meet_state(word) == MEET_OFFER ? meet_offer(word)
					      : meet_request(word);
}

/* Who waits sleeps on its place. asleep stays: the first who wakes may stop here. */
static void wake(const struct tol_link *link, uint64_t *slot, uint32_t cell)
{
	fence_after_rmw();
	if (load_acquire_32(&link->hold_records[cell].asleep))
		link->futex->wake((uint32_t *)slot, 1);
}

/*
 * Both cells are told, then woken, then the slot is free: in this order. The cells
 * were read between two looks at the slot that saw the same. Return: false nonsense
 */
static bool finish(const struct tol_link *link, uint64_t *slot, uint64_t word)
{
	uint64_t lap = (word & UINT64_C(0xffffffff)) >> 3;
	struct hold offer, request;
	bool are_known = meet_offer(word) != meet_request(word) &&
			 hold_look_at(link, meet_offer(word), &offer) &&
			 hold_look_at(link, meet_request(word), &request);

	if (load_acquire_64(slot) != word)
		return true;
	if (!are_known || !hold_give(link, &offer, &request))
		return false;
	wake(link, slot, offer.cell);
	wake(link, slot, request.cell);
	cas_64(slot, &word, meet_make(MEET_EMPTY, lap + 1, 0, 0));
	return true;
}

/* Without the kernel's mark its lock is asked. */
static __attribute__((noinline)) bool is_owner_gone(struct tol_link *link,
						    uint32_t cell)
{
	struct hold hold;
	struct presence found;
	bool is_gone;
	int fd;

	if (!hold_look_at(link, cell, &hold))
		return false;
	fd = link_reopen(link, false);
	if (fd < 0)
		return false;
	is_gone = hold_owner(hold.word) != link->number &&
		  presence_find(fd, hold_owner(hold.word), 1, &found) == 0;
	sys_close(fd);
	return is_gone;
}

/* Is the owner of a claim gone? */
static inline bool is_dead(struct tol_link *link, uint32_t cell)
{
	uint32_t waiter = load_acquire_32(&link->hold_records[cell].waiter);

	if (__builtin_expect(waiter == 0, 0))
		return is_owner_gone(link, cell);
	return waiter & ROBUST_OWNER_DIED;
}

/*
 * meet-gone. @told: MEET_NONE, or the cell of one that has to be told.
 * Return: false somebody was faster
 */
static bool take_away(const struct tol_link *link, const struct meet_spot *spot,
		      uint32_t told)
{
	uint64_t word = spot->word;

	return cas_64(slot_at(link, spot->position), &word,
		      meet_make(MEET_GONE, (word & UINT64_C(0xffffffff)) >> 3,
				MEET_NONE, told));
}

enum finding { WAITS, PASSED, LAST, CHANGED, NONSENSE };

/* Who waits at a position, or nobody any more, or nobody yet. */
static inline __attribute__((always_inline)) enum finding
look_at(struct tol_link *link, struct meet_spot *spot)
{
	uint64_t *slot = slot_at(link, spot->position);
	int64_t ahead;

	spot->word = load_acquire_64(slot); /* meet-look */
	ahead = meet_laps_ahead(spot->word, lap_of(spot->position));
	if (ahead > 0)
		return PASSED;
	if (ahead < -1)
		return NONSENSE;
	switch (meet_state(spot->word)) {
	case MEET_MATCHED:
		if (!finish(link, slot, spot->word))
			return NONSENSE;
		return ahead == 0 ? PASSED : CHANGED;
	case MEET_EMPTY:
		return ahead == 0 ? LAST : NONSENSE;
	case MEET_GONE:
		return ahead == 0 ? PASSED : LAST;
	case MEET_OFFER:
	case MEET_REQUEST:
		break;
	default:
		return NONSENSE;
	}
	if (cell_of(spot->word) >= MAILBOX_HOLDS_MAX)
		return NONSENSE;
	if (is_dead(link, cell_of(spot->word))) {
		take_away(link, spot, MEET_NONE);
		return CHANGED;
	}
	return ahead == 0 ? WAITS : LAST;
}

static bool is_of(enum bell_kind kind, uint64_t word)
{
	return meet_state(word) == (kind == BELL_SENDERS ? MEET_OFFER
							 : MEET_REQUEST);
}

/* The place for the next is taken by one who has waited since a lap ago. */
static int make_way(struct tol_link *link, const struct meet_spot *spot)
{
	uint64_t *slot = slot_at(link, spot->position);
	uint32_t waiting = 0;

	/* Who took it away may not have come to tell. */
	if (meet_state(spot->word) == MEET_GONE &&
	    meet_offer(spot->word) != MEET_NONE)
		link->futex->wake((uint32_t *)slot, 1);
	if (!is_waiting(spot->word))
		return 0;
	for (uint64_t i = 0; i < MEET_SLOTS; i++)
		waiting += is_waiting(load_relaxed_64(&link->ring[i]));
	if (waiting > MEET_SLOTS - MEET_SLOTS / 8)
		return -EUSERS;
	if (take_away(link, spot, cell_of(spot->word)))
		link->futex->wake((uint32_t *)slot, 1);
	return -EAGAIN;
}

static void pass(struct tol_link *link, struct meet_spot *spot, bool is_first)
{
	if (is_first && spot->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, spot->position + 1);
	spot->position++;
}

static int look_for_any(struct tol_link *link, enum bell_kind kind,
			struct meet_spot *ret_spot)
{
	bool has_own = false;
	int err;

	ret_spot->position = load_acquire_64(&link->head->head);
	for (uint64_t steps = 0; steps < STEPS_MAX; steps++) {
		switch (look_at(link, ret_spot)) {
		case PASSED:
			pass(link, ret_spot, !has_own);
			continue;
		case WAITS:
			if (!is_of(kind, ret_spot->word) && !has_own)
				return 1;
			/* It came after those who are gone by now, or selects. */
			if (!is_of(kind, ret_spot->word)) {
				if (index_is_used(link))
					return 0;
				has_own = false;
				ret_spot->position = load_acquire_64(
					&link->head->head);
				continue;
			}
			has_own = true;
			ret_spot->position++;
			continue;
		case CHANGED:
			continue;
		case LAST:
			err = make_way(link, ret_spot);
			if (err == -EAGAIN)
				continue;
			return err;
		case NONSENSE:
			return link_quarantine(link);
		}
	}
	return link_quarantine(link);
}

/* Does one of the other side suit? Of an offer also its key. Return: -EBADMSG nonsense */
static int suits(struct tol_link *link, const struct meet_wish *wish,
		  struct meet_spot *spot)
{
	const struct hold_layout *record =
		&link->hold_records[cell_of(spot->word)];
	struct hold_layout seen = { .position = spot->position };
	struct tol_select select;
	uint32_t place;

	if (is_of(wish->kind, spot->word))
		return 0;
	if (wish->kind == BELL_SENDERS) {
		place = load_relaxed_32(&record->wish);
		if (place == 0)
			return 1;
		if (!index_wait_wish(link, place - 1, &select))
			return -EBADMSG;
		return select_matches(&select, &wish->key);
	}
	seen.unit = load_relaxed_64(&record->unit);
	if (!hold_key(link, &seen, &spot->key))
		return -EBADMSG;
	return select_matches(wish->select, &spot->key);
}

/* A sender meets the first who wants its message, a receiver the best. */
static __attribute__((noinline)) int
look_for_best(struct tol_link *link, const struct meet_wish *wish,
	      struct meet_spot *ret_spot)
{
	struct meet_spot best;
	bool is_found = false, is_first = true;
	int err, suited;

	ret_spot->position = load_acquire_64(&link->head->head);
	for (uint64_t steps = 0; steps < STEPS_MAX; steps++) {
		switch (look_at(link, ret_spot)) {
		case PASSED:
			pass(link, ret_spot, is_first);
			continue;
		case WAITS:
			is_first = false;
			suited = suits(link, wish, ret_spot);
			if (!meet_is_there(link, ret_spot))
				continue;
			if (suited < 0)
				return link_quarantine(link);
			if (suited && wish->kind == BELL_SENDERS)
				return 1;
			if (suited && (!is_found ||
				       select_is_before(wish->select,
							&ret_spot->key,
							&best.key)))
				best = *ret_spot;
			is_found |= suited;
			ret_spot->position++;
			continue;
		case CHANGED:
			continue;
		case LAST:
			if (is_found) {
				*ret_spot = best;
				return 1;
			}
			err = make_way(link, ret_spot);
			if (err == -EAGAIN)
				continue;
			return err;
		case NONSENSE:
			return link_quarantine(link);
		}
	}
	return link_quarantine(link);
}

/* Who was found before it was seen that somebody selects may not suit. */
int meet_look(struct tol_link *link, const struct meet_wish *wish,
	      struct meet_spot *ret_spot)
{
	if (__builtin_expect(!index_is_used(link), 1)) {
		int found = look_for_any(link, wish->kind, ret_spot);

		if (__builtin_expect(!index_is_used(link), 1))
			return found;
	}
	return look_for_best(link, wish, ret_spot);
}

bool meet_is_there_for(struct tol_link *link, enum bell_kind kind)
{
	struct meet_spot spot;

	return look_for_any(link, kind, &spot) != 0;
}

bool meet_is_there(const struct tol_link *link, const struct meet_spot *spot)
{
	return load_after_reads_64(slot_at(link, spot->position)) == spot->word;
}

bool meet_claim_of(const struct tol_link *link, const struct meet_spot *spot,
		   struct hold *ret_hold)
{
	return hold_look_at(link, cell_of(spot->word), ret_hold);
}

int meet_match(struct bell_waiter *waiter, const struct meet_spot *spot,
	       const struct hold *own)
{
	struct tol_link *link = waiter->link;
	uint64_t *slot = slot_at(link, spot->position);
	uint32_t other = cell_of(spot->word);
	bool is_offer = meet_state(spot->word) == MEET_OFFER;
	uint64_t word = spot->word;
	uint64_t next = meet_make(MEET_MATCHED, lap_of(spot->position),
				  is_offer ? own->cell : other,
				  is_offer ? other : own->cell);
	bool has_met;
	int met;

	/* From here the kernel wakes the other one if this thread dies. */
	robust_arm_again(waiter->armed, &link->hold_records[other].bell);
	has_met = cas_64(slot, &word, next); /* meet-match */
	met = has_met;
	if (has_met) {
		fetch_add_64(&link->head->tail, 1);
		/* Else the other one sleeps on, and nobody tells it. */
		if (!finish(link, slot, next))
			met = link_quarantine(link);
	}
	robust_arm_again(waiter->armed, &link->head->bell);
	return met;
}

bool meet_settle(const struct tol_link *link, uint64_t position,
		 const struct hold *hold)
{
	uint64_t *slot = slot_at(link, position);
	struct meet_spot spot = {
		.position = position, .word = load_acquire_64(slot),
	};
	uint32_t cell = hold->cell;

	if (meet_laps_ahead(spot.word, lap_of(position)) != 0)
		return false;
	/* Of this owner, not of one who has the cell by now. */
	if (is_waiting(spot.word) && cell_of(spot.word) == cell &&
	    !hold_has_changed(link, hold) && take_away(link, &spot, MEET_NONE))
		return false;
	spot.word = load_acquire_64(slot);
	if (meet_laps_ahead(spot.word, lap_of(position)) != 0 ||
	    meet_state(spot.word) != MEET_MATCHED ||
	    (meet_offer(spot.word) != cell && meet_request(spot.word) != cell))
		return false;
	return finish(link, slot, spot.word);
}

/* All: the first may be stopped, and each looks for itself. */
void meet_tell_of_returns(struct tol_link *link)
{
	bell_ring_receivers(link);
}

/* ---- waiting ---- */

/* One who waits, as long as it does. */
struct waiting {
	struct bell_waiter *waiter;
	struct tol_link *link;
	struct meet_spot spot;
	struct hold own;
	struct hold_layout *record;
};

static uint64_t *sleepers_of(const struct waiting *w)
{
	return w->waiter->kind == BELL_SENDERS ? &w->link->head->senders
					       : &w->link->head->receivers;
}

/* Return: 1 it has met; 0 it has not, and waits no more */
static int withdraw(struct waiting *w)
{
	uint64_t *slot = slot_at(w->link, w->spot.position);
	uint64_t word;

	if (take_away(w->link, &w->spot, MEET_NONE))
		return 0;
	/* Met, or put out of the way: the cell knows, once the slot is done. */
	word = load_acquire_64(slot);
	if (meet_laps_ahead(word, lap_of(w->spot.position)) == 0 &&
	    meet_state(word) == MEET_MATCHED)
		finish(w->link, slot, word);
	return hold_has_changed(w->link, &w->own);
}

static bool still_waits(const struct waiting *w)
{
	return !hold_has_changed(w->link, &w->own) &&
	       load_acquire_64(slot_at(w->link, w->spot.position)) ==
		       w->spot.word;
}

/* Is there a reason not to wait that is no meeting? Return: 0; 1 look again; -errno */
static int look_around(struct waiting *w, int64_t now_ns)
{
	struct tol_link *link = w->link;
	int err = link_check(link);

	if (err < 0)
		return err;
	if (load_acquire_32(&link->head->ended))
		return w->waiter->kind == BELL_SENDERS ? -ESHUTDOWN : -ENODATA;
	if (bell_is_over(w->waiter, now_ns))
		return -ETIMEDOUT;
	if (load_acquire_32(&link->is_interrupted))
		return -ECANCELED;
	if (w->waiter->kind == BELL_SENDERS)
		return 0;
	hold_sweep_now_and_then(link, now_ns);
	return load_acquire_64(&link->head->returns) != w->waiter->returns_seen;
}

static void spin(struct waiting *w, int64_t now_ns)
{
	struct spin *policy = bell_spin_of(w->waiter);
	int64_t passed_ns = 0;
	uint32_t budget_ns = w->link->may_spin ? spin_begin(policy) : 0;

	if (budget_ns == 0)
		return;
	w->waiter->has_looked = true;
	while (passed_ns < budget_ns) {
		for (int i = 0; i < 16; i++) {
			if (!still_waits(w)) {
				spin_helped(policy, passed_ns);
				return;
			}
			cpu_relax();
		}
		passed_ns = w->link->futex->now_ns() - now_ns;
	}
}

/*
 * On all words that may tell of something. The place's own is the gate: met, or put
 * out of the way, after it was seen for the last time, there is no sleep. asleep is
 * not taken back: the cell may have its next owner by then. What came back is counted
 * from 1 again once nothing is there: the same count may be of another message. So
 * @epoch was read before the whole word was looked at: who tells of one raises it.
 */
static void sleep_in_kernel(struct waiting *w, int64_t now_ns, uint32_t epoch)
{
	struct tol_link *link = w->link;
	bool is_sender = w->waiter->kind == BELL_SENDERS;
	const struct futex_word words[] = {
		{ &link->head->bell, 0 },
		{ &w->record->bell, 0 },
		{ (uint32_t *)sleepers_of(w) + 1, epoch },
		{ &link->head->ended, 0 },
		{ (uint32_t *)slot_at(link, w->spot.position),
		  (uint32_t)w->spot.word },
		{ (const uint32_t *)&link->head->returns,
		  (uint32_t)w->waiter->returns_seen },
	};
	int64_t deadline_ns = w->waiter->timeout_ns < 0
				      ? FUTEX_NO_DEADLINE
				      : w->waiter->deadline_ns;
	int64_t slice_ns = now_ns + SLICE_NS;
	int64_t waiters_ns = now_ns + SLICE_WAITERS_NS;
	int64_t due_ns = is_sender ? INT64_MAX : hold_due_ns(link);
	int rc = -ENOSYS;

	store_relaxed_32(&w->record->asleep, 1);
	fence_full();
	/* Removed between the epoch and here. */
	if (slice_ns < deadline_ns &&
	    (load_acquire_64(&link->head->control) != CONTROL_LIVE ||
	     (!is_sender && hold_is_held(link))))
		deadline_ns = slice_ns;
	/* One who is met before us and dies at once would hold it. */
	if (waiters_ns < deadline_ns && !is_sender && hold_is_watched(link))
		deadline_ns = waiters_ns;
	if (due_ns < deadline_ns)
		deadline_ns = due_ns;
	if (!still_waits(w))
		return;
	if (robust_is_armed(w->waiter->armed))
		rc = link->futex->wait(words, is_sender ? 5 : 6, deadline_ns);
	if (rc == -ENOSYS)
		link->futex->wait_one(&words[4], slice_ns < deadline_ns
							 ? slice_ns
							 : deadline_ns);
}

static int wait_until_met(struct waiting *w)
{
	struct bell_waiter *waiter = w->waiter;
	int64_t now_ns = w->link->futex->now_ns();
	uint32_t epoch;
	int around, met;

	if (waiter->start_ns == 0)
		waiter->start_ns = now_ns;
	if (!(w->link->flags & TOL_SPIN_ONLY) && !waiter->has_slept)
		spin(w, now_ns);
	for (;;) {
		if (!still_waits(w))
			return withdraw(w);
		now_ns = w->link->futex->now_ns();
		epoch = (uint32_t)(load_acquire_64(sleepers_of(w)) >> 32);
		around = look_around(w, now_ns);
		if (around != 0) {
			met = withdraw(w);
			return met ? 1 : around < 0 ? around : 0;
		}
		if (w->link->flags & TOL_SPIN_ONLY) {
			cpu_relax();
			continue;
		}
		waiter->has_slept = true;
		sleep_in_kernel(w, now_ns, epoch);
	}
}

int meet_wait(struct bell_waiter *waiter, const struct meet_spot *spot,
	      const struct hold *own)
{
	struct tol_link *link = waiter->link;
	bool is_sender = waiter->kind == BELL_SENDERS;
	struct waiting w = {
		.waiter = waiter,
		.link = link,
		.spot = *spot,
		.own = *own,
		.record = &link->hold_records[own->cell],
	};
	uint64_t word = spot->word;
	uint32_t *waiting_count = is_sender ? &link->own->waiting_send
					    : &link->own->waiting_recv;
	int met;

	if (waiter->timeout_ns == TOL_NOWAIT)
		return -EAGAIN;
	store_release_32(&w.record->waiter,
			 robust_is_armed(waiter->armed)
				 ? (uint32_t)sys_thread() : 0);
	/* From here its death is marked. */
	robust_arm_again(waiter->armed, &w.record->waiter);
	w.spot.word = is_sender
			      ? meet_make(MEET_OFFER, lap_of(spot->position),
					  MEET_NONE, own->cell)
			      : meet_make(MEET_REQUEST, lap_of(spot->position),
					  own->cell, MEET_NONE);
	/* meet-wait */
	if (!cas_64(slot_at(link, spot->position), &word, w.spot.word)) {
		robust_arm_again(waiter->armed, &link->head->bell);
		return 0;
	}
	/* For those of the other side who poll. */
	fence_after_rmw();
	if (load_relaxed_32(&link->head->polled) & POLLED_MASK)
		watch_settle(link);
	fetch_add_32(waiting_count, 1);
	met = wait_until_met(&w);
	fetch_sub_32(waiting_count, 1);
	robust_arm_again(waiter->armed, &link->head->bell);
	return met;
}
