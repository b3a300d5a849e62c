/* SPDX-License-Identifier: MIT */
/*
 * The ring of an unbounded mailbox: as ring.c, but so long that it is never full,
 * and with memory only where messages are. doc/mailbox-protocol.md, section 8;
 * models/unbounded.pml.
 *
 * Memory comes and goes in granules. Who comes to ring_backed backs the next
 * one, which reads as zero: nothing was ever there. Who gives memory back
 * (collect.c) first raises punched_below. Nobody touches a slot at or beyond
 * ring_backed or below punched_below, both read inside.
 *
 * I1 punched_done <= punched_below <= H <= T <= ring_backed, the last three
 *	punched_below and ring_backed of whole granules
 * I2 ring_backed <= punched_done + ring_slots: a slot is of one lap at a time
 *
 * So a slot that may be touched is 0, or of the lap of its position, or of the
 * next one if it is consumed; all else no correct process wrote.
 *
 * Edges: those of ring.c, and
 *   ring-back (release) -> loads of ring_backed (acquire): the granule has memory.
 *	Without it: on a machine that reorders, an access that takes memory.
 *
 * Crash and stop: killed between populating and ring-back, the next one finds
 * the granule as it was. Two who back the same one do no harm: memory that is
 * there stays as it is.
 */
#include "core/ring_unbounded.h"

#include <errno.h>

#include "core/collect.h"
#include "core/hold.h"

#define HINT_EVERY 16u

/* As in ring.c. */
#define STEPS_MAX (UINT64_C(1) << 22)

enum finding { FOUND, MOVING, WAIT, ENDED, STEP, BACK, NONSENSE };

static inline uint64_t *slot_of(const struct tol_link *link, uint64_t position)
{
	return &link->ring[position & (link->geometry.ring_slots - 1)];
}

static inline uint64_t lap_of(const struct tol_link *link, uint64_t position)
{
	return position >> link->capacity_shift;
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void raise_hint(uint64_t *hint, uint64_t position)
{
	uint64_t seen = load_relaxed_64(hint);

	while (seen < position)
		if (cas_64(hint, &seen, position))
			return;
}

/* As ring-taken in ring.c. */
static __attribute__((noinline)) enum finding
help_taken(const struct tol_link *link, uint64_t *slot, uint64_t word)
{
	uint64_t lap = word >> 2 & SLOT_LAP_LOW_MASK;
	struct hold hold;
	bool is_known;

	if (slot_unit_unbounded(word) == SLOT_UNIT_END)
		return ENDED;
	is_known = hold_look_at(link, slot_unit_unbounded(word), &hold);
	if (load_acquire_64(slot) != word)
		return STEP;
	if (!is_known || !hold_confirm(link, &hold))
		return NONSENSE;
	cas_64(slot, &word, slot_make_unbounded(SLOT_EMPTY, lap + 1, 0));
	return STEP;
}

/*
 * Looks at the slot of a position that is not ahead of the end that is looked
 * for. On STEP the position is passed, or to be looked at again.
 */
static inline enum finding look(const struct tol_link *link, uint64_t *position,
				struct ring_gate *gate, bool for_room)
{
	uint64_t backed = load_acquire_64(&link->head->ring_backed);
	uint64_t *slot = slot_of(link, *position);
	int64_t ahead;

	if (*position >= backed) {
		gate->slot = &link->head->ring_backed;
		gate->word = backed;
		return *position == backed ? BACK : NONSENSE;
	}
	gate->slot = slot;
	gate->word = load_acquire_64(slot); /* ring-look */
	if (gate->word == 0)
		return for_room ? FOUND : WAIT;
	ahead = slot_laps_ahead_unbounded(gate->word, lap_of(link, *position));
	switch (slot_state(gate->word)) {
	case SLOT_EMPTY:
		if (ahead == 0)
			return for_room ? FOUND : WAIT;
		if (ahead != 1)
			return NONSENSE;
		++*position;
		return STEP;
	case SLOT_FULL:
		if (ahead != 0)
			return NONSENSE;
		if (!for_room)
			return FOUND;
		++*position;
		return STEP;
	case SLOT_TAKEN:
		return ahead ? NONSENSE : help_taken(link, slot, gate->word);
	default: /* SLOT_MOVING */
		if (ahead != 0)
			return NONSENSE;
		if (!for_room)
			return MOVING;
		++*position;
		return STEP;
	}
}

/* The first look found STEP. */
static __attribute__((noinline)) enum finding
walk_on(const struct tol_link *link, bool for_room, const uint64_t *hint,
	uint64_t *position, struct ring_gate *gate)
{
	enum finding found = STEP;

	*position = larger(*position, load_acquire_64(hint));
	for (uint64_t steps = 0; found == STEP && steps <= STEPS_MAX; steps++)
		found = look(link, position, gate, for_room);
	return found == STEP ? NONSENSE : found;
}

/* From the link's own hint, which may be of before it last entered. */
static inline __attribute__((always_inline)) enum finding
walk(const struct tol_link *link, bool for_room, const uint64_t *own_hint,
     const uint64_t *hint, uint64_t *ret_position, struct ring_gate *gate)
{
	uint64_t position =
		larger(load_acquire_64(own_hint),
		       load_acquire_64(&link->head->punched_below));
	enum finding found = look(link, &position, gate, for_room);

	*ret_position = position;
	if (__builtin_expect(found == STEP, 0))
		return walk_on(link, for_room, hint, ret_position, gate);
	return found;
}

/* Return: 0 the granule at @backed has memory; -ENOSPC; -EBADMSG */
static int back_granule(struct tol_link *link, uint64_t backed)
{
	uint64_t next = backed + MAILBOX_GRANULE_SLOTS;
	int err;

	if (backed % MAILBOX_GRANULE_SLOTS != 0)
		return link_quarantine(link);
	if (next > load_acquire_64(&link->head->punched_done) +
			   link->geometry.ring_slots)
		return -ENOSPC;
	err = sys_populate(slot_of(link, backed), MAILBOX_GRANULE_BYTES, true);
	if (err == 0)
		cas_64(&link->head->ring_backed, &backed, next); /* ring-back */
	return err;
}

/* Who has a body written already must not have its chunk collected. */
static int find_room(struct tol_link *link, struct ring_room *ret_room,
		     bool has_draft)
{
	bool has_collected = false;

	for (;;) {
		enum finding found = walk(link, true, &link->send_position,
					  &link->head->tail,
					  &ret_room->position, &ret_room->gate);
		int err;

		if (found == NONSENSE)
			return link_quarantine(link);
		store_release_64(&link->send_position, ret_room->position);
		if (found != BACK)
			return found == ENDED ? -ESHUTDOWN : 0;
		err = back_granule(link, ret_room->position);
		if (err == -ENOSPC && !has_collected) {
			has_collected = true;
			collect(link, !has_draft);
			continue;
		}
		if (err < 0)
			return err;
	}
}

int unbounded_find_room(struct tol_link *link, struct ring_room *ret_room)
{
	return find_room(link, ret_room, false);
}

int unbounded_publish(struct tol_link *link, uint32_t unit,
		      struct ring_room *room)
{
	for (uint64_t tries = 0; tries <= STEPS_MAX; tries++) {
		uint64_t word = room->gate.word;
		int err;

		if (cas_64(slot_of(link, room->position), &word,
			   slot_make_unbounded(SLOT_FULL,
					       lap_of(link, room->position),
					       unit))) {
			/* ring-publish: sent. */
			store_release_64(&link->send_position,
					 room->position + 1);
			if (room->position % HINT_EVERY == HINT_EVERY - 1)
				raise_hint(&link->head->tail,
					   room->position + 1);
			return 0;
		}
		err = find_room(link, room, true);
		if (err < 0)
			return err;
	}
	return link_quarantine(link);
}

int unbounded_find_tail(struct tol_link *link, uint64_t *ret_position)
{
	struct ring_gate gate;
	enum finding found = walk(link, true, &link->send_position,
				  &link->head->tail, ret_position, &gate);

	return found == NONSENSE ? link_quarantine(link) : 0;
}

int unbounded_find_message(struct tol_link *link,
			   struct ring_message *ret_message,
			   struct ring_gate *ret_gate)
{
	uint64_t position;
	enum finding found = walk(link, false, &link->recv_position,
				  &link->head->head, &position, ret_gate);

	if (found == NONSENSE)
		return link_quarantine(link);
	store_release_64(&link->recv_position, position);
	ret_message->position = position;
	ret_message->word = ret_gate->word;
	if (found == ENDED)
		return -ENODATA;
	if (found == MOVING)
		return -EBUSY;
	return found == FOUND ? 0 : -EAGAIN;
}

int unbounded_find_unmoved(struct tol_link *link,
			   struct ring_message *ret_message,
			   struct ring_gate *ret_gate)
{
	int err = unbounded_find_message(link, ret_message, ret_gate);

	return err == -EBUSY ? 1 : err;
}

bool unbounded_begin_move(struct tol_link *link, struct ring_message *message)
{
	uint64_t word = message->word;
	uint64_t moving = slot_make_unbounded(
		SLOT_MOVING, lap_of(link, message->position),
		slot_unit_unbounded(word) + 1);

	if (!cas_64(slot_of(link, message->position), &word, moving))
		return false;
	message->word = moving;
	return true;
}

void unbounded_end_move(struct tol_link *link, const struct ring_message *message)
{
	uint64_t word = message->word;

	cas_64(slot_of(link, message->position), &word,
	       slot_make_unbounded(SLOT_EMPTY,
				   lap_of(link, message->position) + 1, 0));
}

/* The slot must have memory, to say it there. */
int unbounded_end(struct tol_link *link, const struct ring_message *nothing)
{
	uint64_t word = nothing->word;
	int err;

	if (nothing->position == load_acquire_64(&link->head->ring_backed)) {
		err = back_granule(link, nothing->position);
		return err < 0 ? err : -EAGAIN;
	}
	return cas_64(slot_of(link, nothing->position), &word,
		      slot_make_unbounded(SLOT_TAKEN,
					  lap_of(link, nothing->position),
					  SLOT_UNIT_END))
		       ? 0 : -EAGAIN;
}

enum ring_seen unbounded_look_at(const struct tol_link *link, uint64_t position,
				 struct ring_message *ret_message)
{
	int64_t ahead;

	ret_message->position = position;
	if (position >= load_acquire_64(&link->head->ring_backed))
		return RING_NOTHING;
	ret_message->word = load_acquire_64(slot_of(link, position));
	if (ret_message->word == 0)
		return RING_NOTHING;
	ahead = slot_laps_ahead_unbounded(ret_message->word,
					  lap_of(link, position));
	if (ahead == 0 && slot_state(ret_message->word) == SLOT_FULL)
		return RING_MESSAGE;
	if (ahead == 0 && slot_state(ret_message->word) == SLOT_TAKEN &&
	    slot_unit_unbounded(ret_message->word) != SLOT_UNIT_END)
		return RING_GONE;
	return ahead > 0 ? RING_GONE : RING_NOTHING;
}

bool unbounded_consume(struct tol_link *link, const struct ring_message *message)
{
	uint64_t word = message->word;

	if (!cas_64(slot_of(link, message->position), &word,
		    slot_make_unbounded(SLOT_EMPTY,
					lap_of(link, message->position) + 1,
					0)))
		return false;
	/* ring-consume: received. */
	store_release_64(&link->recv_position, message->position + 1);
	if (message->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, message->position + 1);
	return true;
}

bool unbounded_take(const struct tol_link *link,
		    const struct ring_message *message, uint32_t cell)
{
	uint64_t *slot = slot_of(link, message->position);
	uint64_t word = message->word;
	uint64_t taken = slot_make_unbounded(
		SLOT_TAKEN, lap_of(link, message->position), cell);

	if (!cas_64(slot, &word, taken))
		return false;
	/* ring-take: taken. */
	help_taken(link, slot, taken);
	if (message->position % HINT_EVERY == HINT_EVERY - 1)
		raise_hint(&link->head->head, message->position + 1);
	return true;
}

static bool may_touch(const struct tol_link *link, uint64_t position)
{
	return position >= load_acquire_64(&link->head->punched_below) &&
	       position < load_acquire_64(&link->head->ring_backed);
}

bool unbounded_settle_taken(const struct tol_link *link, uint64_t position,
			    uint32_t cell)
{
	uint64_t *slot = slot_of(link, position);
	uint64_t word;

	if (!may_touch(link, position))
		return false;
	word = load_acquire_64(slot);
	if (word != slot_make_unbounded(SLOT_TAKEN, lap_of(link, position),
					cell))
		return false;
	help_taken(link, slot, word);
	return true;
}

bool unbounded_is_drained(const struct tol_link *link, uint64_t end_position)
{
	uint64_t word;

	if (end_position <= load_acquire_64(&link->head->punched_below))
		return true;
	if (!may_touch(link, end_position - 1))
		return false;
	word = load_acquire_64(slot_of(link, end_position - 1));
	/* ring-drained */
	return word != 0 &&
	       slot_laps_ahead_unbounded(word,
					 lap_of(link, end_position - 1)) > 0;
}
