/* SPDX-License-Identifier: MIT */
/*
 * What moves messages from the ring to the index, and takes them out.
 *
 *	slot FULL --> MOVING --(change: it is in the index)--> MOVED --> EMPTY
 *
 * Each arrow is made by whoever comes, in order of positions. MOVING has the unit, so
 * that anybody can go on; moved_below says whether the change has been made. MOVED is
 * no message's any more: the slot is free once as many messages have been received
 * as its position says (received_count), so that N in use are N queued. In an unbounded
 * mailbox the slot is free at once.
 *
 * Linearization: of a receive, the change that removes the entry. A message was in the
 * mailbox before, from its send on, and moving it changes nothing that can be told.
 *
 * I1 moved_below is the first position that may still be in the ring: below it each
 *	was moved, or received by one who did not yet know that the mailbox is
 *	sorted; the next change that moves one counts those as received.
 * I2 moved_below - received_count messages are in the index.
 * I3 live[chunk] is how many entries have a body in that chunk. It is raised by the
 *	change that inserts, before the slot is MOVED; a body's owner looks at
 *	the ring first, then here.
 *
 * Crash and stop: between any two steps the rest is for whoever comes next; see
 * change.c for what is inside of one.
 */
#include "core/index.h"

#include <errno.h>

#include "core/body.h"
#include "core/index_wait.h"
#include "core/tree.h"

#define ENTRIES_A_STEP 64u
#define ENTRIES_A_STEP_MAX 16384u

/* Changes that are made anew only because another one was made. */
#define TRIES_MAX (UINT64_C(1) << 22)

/* ---- memory ---- */

static int back_live(struct tol_link *link, uint64_t chunk)
{
	uint64_t page = chunk / INDEX_LIVE_PAGE_CHUNKS;
	uint64_t *word = &link->index->live_backed[page / 64];
	uint64_t bit = UINT64_C(1) << page % 64;
	int err;

	if (load_acquire_64(word) & bit)
		return 0;
	err = sys_populate(&link->live[page * INDEX_LIVE_PAGE_CHUNKS],
			   MAILBOX_PAGE_BYTES, true);
	if (err == 0)
		__atomic_fetch_or(word, bit, __ATOMIC_RELEASE);
	return err;
}

static bool is_live_backed(const struct tol_link *link, uint64_t chunk)
{
	uint64_t page = chunk / INDEX_LIVE_PAGE_CHUNKS;

	return load_acquire_64(&link->index->live_backed[page / 64]) >>
		       page % 64 & 1;
}

static void raise_mark(uint32_t *mark, uint32_t value)
{
	uint32_t seen = load_relaxed_32(mark);

	while (seen < value)
		if (cas_32(mark, &seen, value))
			return;
}

/* A quarter more each time. */
static uint32_t next_mark(uint32_t backed, uint32_t max)
{
	uint32_t step = backed / 4 / ENTRIES_A_STEP * ENTRIES_A_STEP;

	if (step < ENTRIES_A_STEP)
		step = ENTRIES_A_STEP;
	if (step > ENTRIES_A_STEP_MAX)
		step = ENTRIES_A_STEP_MAX;
	return max - backed < step ? max : backed + step;
}

static int back_more(uint8_t *base, uint32_t *mark, uint32_t max,
		     size_t one_bytes)
{
	uint32_t backed = load_acquire_32(mark);
	uint32_t next;
	size_t first, end;
	int err;

	if (backed >= max)
		return -ENOSPC;
	next = next_mark(backed, max);
	first = backed * one_bytes & ~(size_t)(MAILBOX_PAGE_BYTES - 1);
	end = next * one_bytes;
	err = sys_populate(base + first, end - first, true);
	if (err == 0)
		raise_mark(mark, next);
	return err;
}

/* For one more message, as far as can be told without a change. */
static int back_one(struct tol_link *link)
{
	struct index_layout *index = link->index;
	uint32_t max = link->geometry.entries_max;
	int err = 0;

	if (index_value(load_acquire_64(&index->free_entry)) == 0 &&
	    index_value(load_acquire_64(&index->entries_high)) >=
		    load_acquire_32(&index->entries_backed))
		err = back_more((uint8_t *)link->entries, &index->entries_backed,
				max, sizeof(struct entry_layout));
	while (err == 0 &&
	       index_value(load_acquire_64(&index->nodes_high)) +
			       INDEX_NODES_PER_ENTRY >
		       load_acquire_32(&index->nodes_backed) &&
	       load_acquire_32(&index->nodes_backed) <
		       max * INDEX_NODES_PER_ENTRY)
		err = back_more((uint8_t *)link->nodes, &index->nodes_backed,
				max * INDEX_NODES_PER_ENTRY,
				sizeof(struct node_layout));
	return err;
}

/* Or so many messages are in it as there can be. */
static bool has_room(const struct tol_link *link)
{
	return load_acquire_32(&link->index->entries_backed) <
	       link->geometry.entries_max;
}

/* ---- to move ---- */

static void count_live(struct change *c, uint32_t unit, uint64_t span_bytes,
		       uint32_t step)
{
	uint64_t first = unit / MAILBOX_CHUNK_UNITS;
	uint64_t last = (unit + (span_bytes - 1) / MAILBOX_UNIT_BYTES) /
			MAILBOX_CHUNK_UNITS;

	for (uint64_t chunk = first; chunk <= last; chunk++) {
		uint64_t *live = &c->link->live[chunk];

		if (chunk >= c->link->geometry.pool_chunks ||
		    !is_live_backed(c->link, chunk)) {
			c->is_damaged = true;
			return;
		}
		change_set(c, live, change_value(c, live) + step);
	}
}

static void insert(struct change *c, const struct ring_message *message,
		   const struct reading *reading)
{
	struct index_layout *index = c->link->index;
	uint64_t moved_below = change_get(c, &index->moved_below);
	uint64_t received = change_get(c, &index->received_count);
	uint32_t priority = reading->body.priority;
	uint32_t entry;

	if (priority > TOL_PRIORITY_MAX)
		priority = TOL_PRIORITY_MAX;
	/* I1: those between were received by who did not know. */
	if (message->position > moved_below)
		change_put(c, &index->received_count,
			   received + message->position - moved_below);
	change_put(c, &index->moved_below, message->position + 1);
	count_live(c, reading->unit, body_span_bytes(reading), 1);
	entry = tree_new_entry(c, reading->unit, message->position, priority);
	if (entry && !c->is_damaged)
		tree_insert(c, entry);
	if (!c->is_short && !c->is_damaged)
		index_name_waiter(c, entry);
}

static int back_body(struct tol_link *link, const struct reading *reading)
{
	uint64_t first = reading->unit / MAILBOX_CHUNK_UNITS;
	uint64_t last = (reading->unit + (body_span_bytes(reading) - 1) /
						 MAILBOX_UNIT_BYTES) /
			MAILBOX_CHUNK_UNITS;
	int err = 0;

	for (uint64_t chunk = first; chunk <= last && err == 0; chunk++)
		err = back_live(link, chunk);
	return err;
}

/* Return: 0 it is in the index; -errno */
static int finish_move(struct tol_link *link, const struct ring_message *message)
{
	struct change *c = link->change;
	struct reading reading;
	int err;

	for (uint64_t tries = 0; tries < TRIES_MAX; tries++) {
		change_begin(c);
		if (change_get(c, &link->index->moved_below) > message->position)
			break;
		err = body_look(link, ring_moving_unit(link, message), &reading);
		if (err == 0)
			err = back_body(link, &reading);
		if (err == 0)
			insert(c, message, &reading);
		if (err == -EBADMSG || c->is_damaged) {
			if (!change_is_current(c))
				continue;
			return link_quarantine(link);
		}
		if (err == 0 && c->is_short) {
			if (!change_is_current(c))
				continue;
			err = back_one(link);
		}
		if (err < 0)
			return err;
		if (!c->is_short && change_make(c)) {
			index_ring_named(link);
			break;
		}
	}
	ring_end_move(link, message);
	return 0;
}

int index_move(struct tol_link *link, struct ring_message *ret_nothing,
	       struct ring_gate *ret_gate)
{
	for (;;) {
		int err = ring_find_unmoved(link, ret_nothing, ret_gate);

		if (err == -EAGAIN)
			return 0;
		if (err < 0)
			return err;
		if (err == 0) {
			/* Before it is said that it moves; all in use: see then. */
			err = has_room(link) ? back_one(link) : 0;
			if (err < 0)
				return err;
			if (!ring_begin_move(link, ret_nothing))
				continue;
		}
		err = finish_move(link, ret_nothing);
		if (err < 0)
			return err;
	}
}

/* ---- to receive ---- */

int index_find(struct tol_link *link, const struct tol_select *select,
	       struct index_found *ret_found)
{
	struct change *c = link->change;
	uint32_t entry;

	do {
		change_begin(c);
		entry = tree_find(c, select);
		if (entry && tree_key(c, entry, &ret_found->key))
			ret_found->unit = change_value(
				c, &link->entries[entry - 1].unit);
	} while (!change_is_current(c));
	if (c->is_damaged)
		return link_quarantine(link);
	if (!entry)
		return -EAGAIN;
	ret_found->entry = entry;
	ret_found->change = c->seen;
	ret_found->is_any = false;
	return 0;
}

int index_find_below(struct tol_link *link, uint64_t end_position,
		     uint32_t *entry, struct index_found *ret_found)
{
	struct change *c = link->change;

	change_begin(c);
	while (*entry <= change_value(c, &link->index->entries_high)) {
		struct entry_layout *at = tree_entry(c, *entry);

		if (!at)
			return link_quarantine(link);
		*ret_found = (struct index_found){
			.change = c->seen,
			.entry = *entry,
			.unit = change_value(c, &at->unit),
			.is_any = true,
			.key.position = change_get(c, &at->position),
		};
		if (!change_is_current(c))
			change_begin(c);
		else if (ret_found->unit != INDEX_NO_UNIT &&
			 ret_found->key.position < end_position)
			return 0;
		else
			++*entry;
	}
	return -EAGAIN;
}

/* As a hold cell is confirmed; see hold.c. */
static void give(struct change *c, const struct hold *cell)
{
	change_put(c, &c->link->holds[cell->cell],
		   hold_make(HOLD_HELD, hold_owner(cell->word),
			     hold_grant(cell->word),
			     hold_bump(cell->word) + 1));
}

static void take_out(struct change *c, const struct index_found *found,
		     const struct reading *reading, const struct hold *cell,
		     const struct waiter_layout *waiter)
{
	struct index_layout *index = c->link->index;

	/* First what pins its body from now on. */
	if (cell)
		give(c, cell);
	tree_remove(c, found->entry);
	count_live(c, found->unit, body_span_bytes(reading), UINT32_MAX);
	change_put(c, &index->received_count,
		   change_get(c, &index->received_count) + 1);
	if (waiter)
		index_rest(c, waiter, found->entry);
}

int index_receive(struct tol_link *link, const struct tol_select *select,
		  const struct index_found *found, const struct hold *cell,
		  const struct waiter_layout *waiter)
{
	struct change *c = link->change;
	struct reading reading;
	uint64_t count;

	for (uint64_t tries = 0; tries < TRIES_MAX; tries++) {
		struct entry_layout *at = &link->entries[found->entry - 1];

		change_begin(c);
		count = change_get(c, &link->index->received_count);
		if (c->seen != found->change &&
		    ((!found->is_any && tree_find(c, select) != found->entry) ||
		     change_value(c, &at->unit) != found->unit ||
		     change_get(c, &at->position) != found->key.position)) {
			if (change_is_current(c))
				return c->is_damaged ? link_quarantine(link)
						     : -EAGAIN;
			continue;
		}
		if (body_look(link, found->unit, &reading) == 0)
			take_out(c, found, &reading, cell, waiter);
		else
			c->is_damaged = true;
		if (c->is_damaged && !change_is_current(c))
			continue;
		if (c->is_damaged)
			return link_quarantine(link);
		if (!change_make(c))
			continue;
		ring_free_moved(link, count);
		if (waiter)
			index_ring_named(link);
		return 0;
	}
	return link_quarantine(link);
}

bool index_is_there(struct tol_link *link, const struct index_found *found)
{
	const struct entry_layout *at = &link->entries[found->entry - 1];
	struct change *c = link->change;
	bool is_there;

	do {
		change_begin(c);
		is_there = change_value(c, &at->unit) == found->unit &&
			   change_get(c, &at->position) == found->key.position;
	} while (!change_is_current(c));
	return is_there;
}

bool index_pins(const struct tol_link *link, uint64_t first_chunk,
		uint64_t chunks_count)
{
	for (uint64_t i = first_chunk; i < first_chunk + chunks_count; i++)
		if (is_live_backed(link, i) &&
		    index_value(load_acquire_64(&link->live[i])) != 0)
			return true;
	return false;
}

uint64_t index_count(const struct tol_link *link)
{
	uint64_t received = load_acquire_64(&link->index->received_count);
	uint64_t moved = load_acquire_64(&link->index->moved_below);

	return moved > received ? moved - received : 0;
}

int index_start(struct tol_link *link)
{
	uint32_t seen = SORTED_NOT;
	int err;

	if (index_is_used(link))
		return 0;
	err = sys_populate(link->index, INDEX_HEAD_BYTES, true);
	if (err == 0)
		cas_32(&link->head->sorted, &seen, SORTED_UNTOLD);
	if (err == 0)
		index_tell_start(link);
	return err;
}
