/* SPDX-License-Identifier: MIT */
/*
 * A list of all that waits and matches, sorted; kept in the link for the next look, as
 * long as nothing has changed: who walks through n messages sorts once.
 *
 * Three places are gone through in the order in which messages go, the ring, the
 * index, the cells of those that came back. One that moves meanwhile may be seen
 * twice; then its second place is found gone.
 */
#include "core/look_list.h"

#include <stdlib.h>

#include "core/change.h"
#include "core/index.h"

enum place { IN_RING, IN_INDEX, IN_CELL };

struct item {
	struct select_key key;
	struct hold hold;		/* of a cell */
	uint32_t entry, unit;		/* of the index */
	enum place place;
	enum tol_select_by by;		/* of the list, for qsort() */
};

/* What it was made from: if it is all the same, so is the list. */
struct origin {
	struct tol_select select;
	uint64_t tags[TOL_SELECT_TAGS_MAX];
	uint64_t head, tail, change, returns;
};

struct look_list {
	struct origin origin;
	size_t count, room;
	struct item *items;
};

void look_list_free(struct look_list *list)
{
	if (list)
		free(list->items);
	free(list);
}

static bool add(struct look_list *list, const struct tol_select *select,
		const struct item *item)
{
	if (!select_matches(select, &item->key))
		return true;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		struct item *items = realloc(list->items,
					     room * sizeof(*items));

		if (!items)
			return false;
		list->items = items;
		list->room = room;
	}
	list->items[list->count] = *item;
	list->items[list->count++].by = select ? select->by : TOL_SELECT_ANY;
	return true;
}

static struct select_key key_of(const struct reading *reading, uint64_t position)
{
	return (struct select_key){
		.tag = reading->body.tag,
		.position = position,
		.priority = reading->body.priority,
		.sender_pid = reading->body.sender_pid,
	};
}

/* ---- the three places ---- */

static int add_ring(struct tol_link *link, struct look_list *list,
		    const struct tol_select *select)
{
	struct ring_message message;
	struct ring_gate gate;
	int err = link->is_meeting
			  ? -EAGAIN
			  : ring_find_unmoved(link, &message, &gate);

	if (err == -EAGAIN || err == -ENODATA)
		return 0;
	if (err < 0)
		return err;
	for (uint64_t at = message.position;; at++) {
		enum ring_seen seen = ring_look_at(link, at, &message);
		struct item item = { .place = IN_RING };
		struct reading reading;

		if (seen == RING_NOTHING)
			return 0;
		if (seen == RING_GONE)
			continue;
		err = body_look(link, ring_unit(link, &message), &reading);
		if (!ring_is_there(link, &message))
			continue;
		if (err < 0)
			return err;
		item.key = key_of(&reading, at);
		if (!receive_is_expired(link, &reading) &&
		    !add(list, select, &item))
			return -ENOMEM;
	}
}

static int add_index(struct tol_link *link, struct look_list *list,
		     const struct tol_select *select)
{
	struct index_layout *index = link->index;
	uint32_t high = 0;

	if (index_is_used(link))
		high = index_value(load_acquire_64(&index->entries_high));
	if (high > load_acquire_32(&index->entries_backed) ||
	    high > link->geometry.entries_max)
		return -EBADMSG;
	for (uint32_t entry = 1; entry <= high; entry++) {
		const struct entry_layout *at = &link->entries[entry - 1];
		uint64_t position = load_acquire_64(&at->position);
		struct item item = {
			.place = IN_INDEX,
			.entry = entry,
			.unit = index_value(load_acquire_64(&at->unit)),
		};
		struct reading reading;

		if (item.unit == INDEX_NO_UNIT ||
		    body_look(link, item.unit, &reading) < 0 ||
		    load_after_reads_64(&at->position) != position ||
		    index_value(load_acquire_64(&at->unit)) != item.unit)
			continue;
		item.key = key_of(&reading, position);
		if (!receive_is_expired(link, &reading) &&
		    !add(list, select, &item))
			return -ENOMEM;
	}
	return 0;
}

static int add_cells(struct tol_link *link, struct look_list *list,
		     const struct tol_select *select)
{
	enum hold_kind kind = link->is_dead_view ? HOLD_KIND_DEAD
						 : HOLD_KIND_RETURNED;
	struct hold_layout record;
	struct item item = { .place = IN_CELL };

	for (uint32_t cell = 0;
	     hold_next(link, kind, &cell, &item.hold, &record); cell++) {
		struct reading reading;

		if (record.unit > UINT32_MAX ||
		    body_look(link, (uint32_t)record.unit, &reading) < 0 ||
		    !hold_read(link, &item.hold, &record))
			continue;
		item.key = key_of(&reading, record.position);
		if (!receive_is_expired(link, &reading) &&
		    !add(list, select, &item))
			return -ENOMEM;
	}
	return 0;
}

/* ---- the list ---- */

static int compare(const void *a, const void *b)
{
	const struct item *one = a, *other = b;
	struct tol_select select = { .by = one->by };

	if (select_is_before(&select, &one->key, &other->key))
		return -1;
	return select_is_before(&select, &other->key, &one->key);
}

static void look_at_origin(struct tol_link *link,
			   const struct tol_select *select,
			   struct origin *origin)
{
	memset(origin, 0, sizeof(*origin));
	if (select) {
		origin->select = *select;
		origin->select.tags = NULL;
		if (select->by == TOL_SELECT_TAGS)
			memcpy(origin->tags, select->tags,
			       select->tags_count * sizeof(*select->tags));
	}
	origin->head = load_acquire_64(&link->recv_position);
	ring_find_tail(link, &origin->tail);
	origin->returns = link->is_dead_view
				  ? load_acquire_64(&link->head->dead_letters)
				  : load_acquire_64(&link->head->returns);
	if (index_is_used(link))
		origin->change = load_acquire_64(&link->index->change);
}

static bool is_same(const struct origin *a, const struct origin *b)
{
	return memcmp(&a->tags, &b->tags, sizeof(a->tags)) == 0 &&
	       a->select.by == b->select.by &&
	       a->select.first_tag == b->select.first_tag &&
	       a->select.last_tag == b->select.last_tag &&
	       a->select.tags_count == b->select.tags_count &&
	       a->select.sender_pid == b->select.sender_pid &&
	       a->head == b->head && a->tail == b->tail &&
	       a->change == b->change && a->returns == b->returns;
}

static int make(struct tol_link *link, const struct tol_select *select,
		struct look_list *list)
{
	int err;

	list->count = 0;
	err = link->is_dead_view ? 0 : add_ring(link, list, select);
	if (err == 0 && !link->is_dead_view)
		err = add_index(link, list, select);
	if (err == 0)
		err = add_cells(link, list, select);
	look_at_origin(link, select, &list->origin);
	if (err == 0 && list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare);
	return err;
}

/* ---- one of them ---- */

/* Return: 0; RECEIVE_AGAIN it is not there any more; -errno */
static int show(struct receiving *r, const struct item *item)
{
	struct tol_link *link = r->link;
	struct index_found found = {
		.entry = item->entry, .unit = item->unit, .key = item->key,
	};
	struct ring_message message = { .position = 0 };
	struct hold_layout record = { .position = 0 };
	struct reading reading;
	uint32_t unit = item->unit, tries = 1;
	bool is_there = true;
	int err;

	if (item->place == IN_RING) {
		if (ring_look_at(link, item->key.position, &message) !=
		    RING_MESSAGE)
			return RECEIVE_AGAIN;
		unit = ring_unit(link, &message);
	} else if (item->place == IN_CELL) {
		if (!hold_read(link, &item->hold, &record))
			return RECEIVE_AGAIN;
		unit = (uint32_t)record.unit;
		tries = hold_tries(&record, &item->hold) + 1;
	}
	err = body_look(link, unit, &reading);
	if (err == 0)
		err = receive_fetch(r, &reading, item->key.position, tries);
	if (item->place == IN_RING)
		is_there = ring_is_there(link, &message);
	else if (item->place == IN_CELL)
		is_there = hold_read(link, &item->hold, &record);
	else
		is_there = index_is_there(link, &found);
	return is_there ? err : RECEIVE_AGAIN;
}

static int show_locked(struct receiving *r, uint64_t index)
{
	struct tol_link *link = r->link;
	int err = RECEIVE_AGAIN;

	if (!link->look_list)
		link->look_list = calloc(1, sizeof(*link->look_list));
	if (!link->look_list)
		return -ENOMEM;
	while (err == RECEIVE_AGAIN) {
		struct look_list *list = link->look_list;
		struct origin now;

		look_at_origin(link, r->select, &now);
		if (!is_same(&now, &list->origin)) {
			err = make(link, r->select, list);
			if (err < 0)
				break;
		}
		if (index >= list->count)
			return RECEIVE_NOTHING;
		err = show(r, &list->items[index]);
		if (err == RECEIVE_AGAIN)
			list->origin.tail = UINT64_MAX;
	}
	return err == -EBADMSG ? link_quarantine(link) : err;
}

int look_list_show(struct receiving *r, uint64_t index)
{
	bool entered = lock_enter(&r->link->look_lock);
	bool entered_index = lock_enter(&r->link->index_lock);
	int err = index_is_used(r->link) ? change_prepare(r->link) : 0;

	if (err == 0)
		err = show_locked(r, index);
	lock_leave(&r->link->index_lock, entered_index);
	lock_leave(&r->link->look_lock, entered);
	return err;
}
