/* SPDX-License-Identifier: MIT */
/*
 * The ring of a bounded mailbox: many senders, many receivers, lock-free.
 *
 * Roles: any participant may do anything here. The protocol, its table of
 * states and its invariants I1-I3 are in doc/mailbox-protocol.md, sections 1
 * and 2; models/ring.pml checks it, with crashes at every step.
 *
 * Linearization: a send at the CAS EMPTY -> FULL (ring-publish), a receive at
 * the CAS FULL -> EMPTY (ring-consume), a take at the CAS FULL -> TAKEN
 * (ring-take); "full" and "empty" at the load of the slot that says so.
 *
 * Edges:
 *   ring-publish (release) -> ring-look (acquire): the receiver sees the body.
 *	Without it: a body of zeroes or of an older message.
 *   ring-consume (release) -> ring-look of the next sender, and ring-drained
 *	of the owner (acquire): the copy of the body was finished before its
 *	memory is written again. Without it: a torn copy that passes the CAS.
 *   hints, shared and the link's own (release) -> walk (acquire): the slots are at
 *	least as new as the hint. Without it: a slot of a lap before the hint's,
 *	which no correct process writes, and a mailbox in quarantine for nothing.
 *
 * Crash and stop: between the CAS and the hint there is nothing that a peer
 * needs; everybody steps over a hint that is behind. A slot that is TAKEN is
 * emptied by whoever comes across it. A hint is raised once
 * in HINT_EVERY positions, so that one participant alone never reads the
 * other side's line.
 */
#include "core/ring.h"

#include <errno.h>

#include "core/hold.h"
#include "core/ring_unbounded.h"

#define HINT_EVERY 16u

/*
 * A correct ring makes a caller repeat a step only because another one got on.
 * Arbitrary bytes could send it around for ever.
 */
#define STEPS_MAX (UINT64_C(1) << 22)

struct place {
	uint64_t lap;
	uint64_t index;
};

static inline struct place place_of(const struct tol_link *link,
				    uint64_t position)
{
	if (link->capacity_shift >= 0)
		return (struct place){
			.lap = position >> link->capacity_shift,
			.index = position & (link->capacity_msgs - 1),
		};
	return (struct place){
		.lap = position / link->capacity_msgs,
		.index = position % link->capacity_msgs,
	};
}

static void raise_hint(uint64_t *hint, uint64_t position)
{
	uint64_t seen = load_relaxed_64(hint);

	while (seen < position)
		if (cas_64(hint, &seen, position))
			return;
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Where a caller is to look next, or what it found. */
enum finding { FOUND, MOVING, WAIT, ENDED, STEP, SORTED, NONSENSE };

/*
 * ring-taken: the slot says that the message is in a hold cell. The cell is told
 * so, and then the slot is empty: in this order, or the cell would go on to
 * another message. It was read between two looks at the slot that saw the same.
 */
static enum finding
help_taken(const struct tol_link *link, const struct ring_gate *gate)
{
	uint64_t *slot = (uint64_t *)(uintptr_t)gate->slot;
	uint64_t word = gate->word;
	struct hold hold;
	bool is_known;

	if (slot_unit(word) == SLOT_UNIT_END)
		return ENDED;
	is_known = hold_look_at(link, slot_unit(word), &hold);
	if (load_acquire_64(slot) != word)
		return STEP;
	if (!is_known || !hold_confirm(link, &hold))
		return NONSENSE;
	cas_64(slot, &word, slot_make(SLOT_EMPTY, slot_lap(word) + 1, 0));
	return STEP;
}

static inline bool is_moved(uint64_t word)
{
	return slot_state(word) == SLOT_TAKEN && slot_unit(word) == SLOT_UNIT_MOVED;
}

/*
 * ring-moved: its message is in the index. The slot is free once so many messages
 * have been received, whichever they were: then full is exact, and slots are freed in
 * order.
 */
static bool free_moved(const struct tol_link *link, const uint64_t *slot,
		       uint64_t word, uint64_t position)
{
	if (load_acquire_64(&link->index->received_count) <= position)
		return false;
	cas_64((uint64_t *)(uintptr_t)slot, &word,
	       slot_make(SLOT_EMPTY, slot_lap(word) + 1, 0));
	return true;
}

/* The slot of a position that room is looked for is neither EMPTY nor FULL. */
static __attribute__((noinline)) enum finding
look_behind(const struct tol_link *link, uint64_t *position, int64_t ahead,
	    const struct ring_gate *gate)
{
	if (slot_state(gate->word) == SLOT_TAKEN && !is_moved(gate->word))
		return help_taken(link, gate);
	if (ahead >= 0) {
		*position += (uint64_t)ahead * link->capacity_msgs + 1;
		return STEP;
	}
	return is_moved(gate->word) &&
			       free_moved(link, gate->slot, gate->word,
					  *position - link->capacity_msgs)
		       ? STEP : WAIT;
}

/* The same for a message. Who does not receive from the index goes no further. */
static __attribute__((noinline)) enum finding
look_ahead(const struct tol_link *link, uint64_t *position, int64_t ahead,
	   const struct ring_gate *gate, bool is_sorted)
{
	/* Nothing has come since, and the slot is not free yet. */
	bool is_last = ahead == -1 && is_moved(gate->word);

	if (ahead < 0 && !is_last)
		return NONSENSE;
	if (slot_state(gate->word) == SLOT_TAKEN && !is_moved(gate->word))
		return help_taken(link, gate);
	if (!is_sorted)
		return SORTED;
	if (is_last)
		return WAIT;
	if (slot_state(gate->word) == SLOT_MOVING && ahead == 0)
		return MOVING;
	if (slot_state(gate->word) == SLOT_MOVING)
		ahead--;
	*position += (uint64_t)ahead * link->capacity_msgs + 1;
	return STEP;
}

/*
 * The capacity has been made smaller than the ring: also the slot of the position
 * that many before must be consumed. Once it is it stays so.
 */
static __attribute__((noinline, cold)) enum finding
look_at_limit(const struct tol_link *link, uint64_t limit_msgs,
	      uint64_t position, struct ring_gate *gate)
{
	struct ring_gate before;
	struct place place;

	if (limit_msgs == 0 || position < limit_msgs)
		return FOUND;
	place = place_of(link, position - limit_msgs);
	before.slot = &link->ring[place.index];
	before.word = load_acquire_64(before.slot);
	if (slot_laps_ahead(before.word, place.lap) > 0 ||
	    slot_state(before.word) == SLOT_EMPTY)
		return FOUND;
	if (is_moved(before.word) &&
	    load_acquire_64(&link->index->received_count) >
		    position - limit_msgs)
		return FOUND;
	if (slot_state(before.word) == SLOT_TAKEN && !is_moved(before.word)) {
		help_taken(link, &before);
		return FOUND;
	}
	*gate = before;
	return WAIT;
}

/*
 * Looks at the slot of a position that is not ahead of T. On STEP *position
 * becomes a later one that is not ahead of T either: every slot that was
 * passed, and so all before it, have been filled.
 */
static inline __attribute__((always_inline)) enum finding
look_for_room(const struct tol_link *link, uint64_t *position,
	      struct ring_gate *gate)
{
	struct place place = place_of(link, *position);
	uint64_t limit_msgs;
	int64_t ahead;

	gate->slot = &link->ring[place.index];
	gate->word = load_acquire_64(gate->slot); /* ring-look */
	ahead = slot_laps_ahead(gate->word, place.lap);
	if (slot_state(gate->word) == SLOT_EMPTY) {
		limit_msgs = load_relaxed_64(&link->head->limit_msgs);
		if (ahead == 0 &&
		    __builtin_expect(limit_msgs >= link->capacity_msgs, 1))
			return FOUND;
		if (ahead == 0)
			return look_at_limit(link, limit_msgs, *position, gate);
		if (ahead < 0)
			return NONSENSE;
		*position += (uint64_t)(ahead - 1) * link->capacity_msgs + 1;
		return STEP;
	}
	if (ahead < -1)
		return NONSENSE;
	if (slot_state(gate->word) != SLOT_FULL)
		return look_behind(link, position, ahead, gate);
	if (ahead == -1)
		return WAIT;
	*position += (uint64_t)ahead * link->capacity_msgs + 1;
	return STEP;
}

/* The same for a receiver and H. */
static inline __attribute__((always_inline)) enum finding
look_for_either(const struct tol_link *link, uint64_t *position,
		struct ring_gate *gate, bool is_sorted)
{
	struct place place = place_of(link, *position);
	int64_t ahead;
	unsigned int state;

	gate->slot = &link->ring[place.index];
	gate->word = load_acquire_64(gate->slot); /* ring-look */
	ahead = slot_laps_ahead(gate->word, place.lap);
	state = slot_state(gate->word);
	if (state != SLOT_FULL && state != SLOT_EMPTY)
		return look_ahead(link, position, ahead, gate, is_sorted);
	if (ahead < 0)
		return NONSENSE;
	if (ahead == 0)
		return state == SLOT_FULL ? FOUND : WAIT;
	*position += (uint64_t)(ahead - 1) * link->capacity_msgs + 1;
	return STEP;
}

static inline __attribute__((always_inline)) enum finding
look_for_message(const struct tol_link *link, uint64_t *position,
		 struct ring_gate *gate)
{
	return look_for_either(link, position, gate, false);
}

/* The first that has not left for the index; MOVING if it is about to. */
static inline __attribute__((always_inline)) enum finding
look_for_unmoved(const struct tol_link *link, uint64_t *position,
		 struct ring_gate *gate)
{
	return look_for_either(link, position, gate, true);
}

typedef enum finding look(const struct tol_link *link, uint64_t *position,
			  struct ring_gate *gate);

/*
 * From the shared hint. Who was stopped between reading it and looking may be
 * half of all laps behind, where a slot seems to be of the past: nonsense is what
 * it is only if the hint has not moved meanwhile.
 */
static enum finding walk_from_hint(const struct tol_link *link, look *look_at,
				   const uint64_t *hint, uint64_t *position,
				   struct ring_gate *gate)
{
	uint64_t begin = load_acquire_64(hint);
	enum finding found = STEP;

	*position = begin;
	for (uint64_t steps = 0; steps <= STEPS_MAX; steps++) {
		uint64_t seen;

		found = look_at(link, position, gate);
		if (found == STEP)
			continue;
		if (found != NONSENSE)
			return found;
		seen = load_acquire_64(hint);
		if (seen == begin)
			return NONSENSE;
		*position = begin = seen;
	}
	return NONSENSE;
}

/* The first look found STEP or NONSENSE. */
static __attribute__((noinline)) enum finding
walk_on(const struct tol_link *link, look *look_at, const uint64_t *hint,
	enum finding found, uint64_t *position, struct ring_gate *gate)
{
	if (found == STEP) {
		*position = larger(*position, load_acquire_64(hint));
		for (uint64_t steps = 0; found == STEP && steps <= STEPS_MAX;
		     steps++)
			found = look_at(link, position, gate);
	}
	if (found == STEP || found == NONSENSE)
		found = walk_from_hint(link, look_at, hint, position, gate);
	return found;
}

/*
 * Walks from the link's own hint; the common case is one look. The shared hint
 * is read after a step, and when the own one makes no sense any more: the link
 * was idle while more than half of all laps went by.
 */
static inline __attribute__((always_inline)) enum finding
walk(const struct tol_link *link, look *look_at, const uint64_t *own_hint,
     const uint64_t *hint, uint64_t *ret_position, struct ring_gate *gate)
{
	uint64_t position = load_acquire_64(own_hint);
	enum finding found = look_at(link, &position, gate);

	*ret_position = position;
	if (__builtin_expect(found == STEP || found == NONSENSE, 0))
		return walk_on(link, look_at, hint, found, ret_position, gate);
	return found;
}

static inline __attribute__((always_inline)) enum finding
walk_to_room(const struct tol_link *link, uint64_t *ret_position,
	     struct ring_gate *gate)
{
	return walk(link, look_for_room, &link->send_position,
		    &link->head->tail, ret_position, gate);
}

int ring_find_room(struct tol_link *link, struct ring_room *ret_room)
{
	enum finding found;

	if (__builtin_expect(link->is_unbounded, 0))
		return unbounded_find_room(link, ret_room);
	found = walk_to_room(link, &ret_room->position, &ret_room->gate);
	if (found == NONSENSE)
		return link_quarantine(link);
	store_release_64(&link->send_position, ret_room->position);
	if (found == ENDED)
		return -ESHUTDOWN;
	return found == FOUND ? 0 : -EAGAIN;
}

int ring_publish(struct tol_link *link, uint32_t unit, struct ring_room *room)
{
	if (__builtin_expect(link->is_unbounded, 0))
		return unbounded_publish(link, unit, room);
	for (uint64_t tries = 0; tries <= STEPS_MAX; tries++) {
		struct place place = place_of(link, room->position);
		uint64_t word = room->gate.word;
		int err;

		if (cas_64(&link->ring[place.index], &word,
			   slot_make(SLOT_FULL, place.lap, unit))) {
			/* ring-publish: sent. */
			store_release_64(&link->send_position,
					 room->position + 1);
			if (room->position % HINT_EVERY == HINT_EVERY - 1)
				raise_hint(&link->head->tail,
					   room->position + 1);
			return 0;
		}
		err = ring_find_room(link, room);
		if (err < 0)
			return err;
	}
	return link_quarantine(link);
}

/*
 * "Full" also ends the walk, and the end: T is then known, since all before it
 * were seen filled and T itself was not.
 */
int ring_find_tail(struct tol_link *link, uint64_t *ret_position)
{
	struct ring_gate gate;
	enum finding found;

	if (link->is_unbounded)
		return unbounded_find_tail(link, ret_position);
	/* Capacity 0: nothing is ever queued; its ring is meet.c's. */
	if (link->is_meeting) {
		*ret_position = 0;
		return 0;
	}
	found = walk_to_room(link, ret_position, &gate);
	return found == NONSENSE ? link_quarantine(link) : 0;
}

/* What was found, for a receiver. */
static int tell_found(struct tol_link *link, enum finding found,
		      uint64_t position, const struct ring_gate *gate,
		      struct ring_message *ret_message)
{
	if (found == NONSENSE)
		return link_quarantine(link);
	ret_message->position = position;
	ret_message->word = gate->word;
	switch (found) {
	case FOUND:
		return 0;
	case MOVING:
		return 1;
	case ENDED:
		return -ENODATA;
	case SORTED:
		return -EBUSY;
	default:
		return -EAGAIN;
	}
}

int ring_find_message(struct tol_link *link, struct ring_message *ret_message,
		      struct ring_gate *ret_gate)
{
	uint64_t position;
	enum finding found;

	if (__builtin_expect(link->is_meeting, 0))
		return -EAGAIN;
	if (__builtin_expect(link->is_unbounded, 0))
		return unbounded_find_message(link, ret_message, ret_gate);
	found = walk(link, look_for_message, &link->recv_position,
		     &link->head->head, &position, ret_gate);
	if (__builtin_expect(found != FOUND && found != WAIT, 0))
		return tell_found(link, found, position, ret_gate, ret_message);
	store_release_64(&link->recv_position, position);
	ret_message->position = position;
	ret_message->word = ret_gate->word;
	return found == FOUND ? 0 : -EAGAIN;
}

int ring_find_unmoved(struct tol_link *link, struct ring_message *ret_message,
		      struct ring_gate *ret_gate)
{
	uint64_t position;
	enum finding found;

	if (link->is_unbounded)
		return unbounded_find_unmoved(link, ret_message, ret_gate);
	found = walk(link, look_for_unmoved, &link->recv_position,
		     &link->head->head, &position, ret_gate);
	if (found != NONSENSE)
		store_release_64(&link->recv_position, position);
	return tell_found(link, found, position, ret_gate, ret_message);
}

bool ring_begin_move(struct tol_link *link, struct ring_message *message)
{
	uint64_t word = message->word, moving;
	uint64_t *slot;

	if (link->is_unbounded)
		return unbounded_begin_move(link, message);
	slot = &link->ring[place_of(link, message->position).index];
	moving = slot_make(SLOT_MOVING, slot_lap(word),
			   (slot_unit(word) + 1) & (uint32_t)SLOT_UNIT_MASK);
	if (!cas_64(slot, &word, moving))
		return false;
	message->word = moving;
	return true;
}

void ring_end_move(struct tol_link *link, const struct ring_message *message)
{
	uint64_t word = message->word;

	if (link->is_unbounded) {
		unbounded_end_move(link, message);
	} else {
		uint64_t *slot =
			&link->ring[place_of(link, message->position).index];

		cas_64(slot, &word, slot_make(SLOT_TAKEN, slot_lap(word),
					      SLOT_UNIT_MOVED));
	}
	if (message->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, message->position + 1);
}

void ring_free_moved(struct tol_link *link, uint64_t position)
{
	struct place place;
	const uint64_t *slot;
	uint64_t word;

	if (link->is_unbounded)
		return;
	place = place_of(link, position);
	slot = &link->ring[place.index];
	word = load_acquire_64(slot);
	if (is_moved(word) && slot_laps_ahead(word, place.lap) == 0)
		free_moved(link, slot, word, position);
}

int ring_end(struct tol_link *link, const struct ring_message *nothing)
{
	uint64_t word = nothing->word;
	struct place place;

	if (link->is_unbounded)
		return unbounded_end(link, nothing);
	place = place_of(link, nothing->position);
	return cas_64(&link->ring[place.index], &word,
		      slot_make(SLOT_TAKEN, place.lap, SLOT_UNIT_END))
		       ? 0 : -EAGAIN;
}

enum ring_seen ring_look_at(const struct tol_link *link, uint64_t position,
			    struct ring_message *ret_message)
{
	struct place place;
	int64_t ahead;

	if (link->is_unbounded)
		return unbounded_look_at(link, position, ret_message);
	place = place_of(link, position);
	ret_message->position = position;
	ret_message->word = load_acquire_64(&link->ring[place.index]);
	ahead = slot_laps_ahead(ret_message->word, place.lap);
	if (ahead == 0 && slot_state(ret_message->word) == SLOT_FULL)
		return RING_MESSAGE;
	if (ahead == 0 && (slot_state(ret_message->word) == SLOT_MOVING ||
			   (slot_state(ret_message->word) == SLOT_TAKEN &&
			    slot_unit(ret_message->word) != SLOT_UNIT_END)))
		return RING_GONE;
	return ahead > 0 ? RING_GONE : RING_NOTHING;
}

bool ring_consume(struct tol_link *link, const struct ring_message *message)
{
	struct place place;
	uint64_t word = message->word;

	if (__builtin_expect(link->is_unbounded, 0))
		return unbounded_consume(link, message);
	place = place_of(link, message->position);
	if (!cas_64(&link->ring[place.index], &word,
		    slot_make(SLOT_EMPTY, place.lap + 1, 0)))
		return false;
	/* ring-consume: received. */
	store_release_64(&link->recv_position, message->position + 1);
	if (message->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, message->position + 1);
	return true;
}

bool ring_take(const struct tol_link *link, const struct ring_message *message,
	       uint32_t cell)
{
	uint64_t word = message->word;
	struct ring_gate gate;
	struct place place;

	if (link->is_unbounded)
		return unbounded_take(link, message, cell);
	place = place_of(link, message->position);
	gate.slot = &link->ring[place.index];
	gate.word = slot_make(SLOT_TAKEN, place.lap, cell);
	if (!cas_64(&link->ring[place.index], &word, gate.word))
		return false;
	/* ring-take: taken. */
	help_taken(link, &gate);
	if (message->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, message->position + 1);
	return true;
}

bool ring_settle_taken(const struct tol_link *link, uint64_t position,
		       uint32_t cell)
{
	struct ring_gate gate;
	struct place place;

	if (link->is_unbounded)
		return unbounded_settle_taken(link, position, cell);
	place = place_of(link, position);
	gate.slot = &link->ring[place.index];
	gate.word = load_acquire_64(gate.slot);
	if (gate.word != slot_make(SLOT_TAKEN, place.lap, cell))
		return false;
	help_taken(link, &gate);
	return true;
}

/* Positions are consumed in order: the last one tells for all before it. */
bool ring_is_drained(const struct tol_link *link, uint64_t end_position)
{
	struct place place;
	uint64_t word;

	if (end_position == 0)
		return true;
	if (link->is_unbounded)
		return unbounded_is_drained(link, end_position);
	place = place_of(link, end_position - 1);
	word = load_acquire_64(&link->ring[place.index]); /* ring-drained */
	/* What has moved to the index is pinned there. */
	return slot_laps_ahead(word, place.lap) > 0 ||
	       (is_moved(word) && slot_laps_ahead(word, place.lap) == 0);
}
