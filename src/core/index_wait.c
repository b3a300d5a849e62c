/* SPDX-License-Identifier: MIT */
/*
 * Sleepers that select.
 *
 *	IDLE --(it has looked, nothing is there)--> WAITS --(a message it
 *	wants)--> NAMED --(it has looked again)--> WAITS, or IDLE
 *
 * All by changes, see change.c; the look and the arrow are one change. So a message
 * that comes finds those who wait for it, and names one, the one that has waited
 * longest; the rest sleep on. Who has carried out the change wakes it.
 *
 * Who sleeps has announced itself to the bell, like any receiver (head->receivers):
 * a sender that sees the count moves its message to the index, and so names.
 *
 * What ends each sleep:
 *   a message that came before the change to WAITS: it was found, or was still
 *	in the ring: then its sender sees the count (bell-announce) and moves it
 *   after it: the change that moves it names
 *   named, and not woken: by the next call of anybody (rung tells), or by the kernel's
 *	wake on the bell if that one died
 *   named, and does not come, being stopped: the next call of anybody names
 *	another, if the message is still there
 *   named, and dead: nobody is woken on its word, so it is asked for; or the kernel wakes
 *	another in its place, which does as above
 *   named, and leaves without it: names another as it goes
 *   what came back: index_settle() names for it, too
 */
#include "core/index_wait.h"

#include <errno.h>

#include "base/presence.h"
#include "core/bell.h"
#include "core/hold.h"
#include "core/index.h"
#include "core/participant.h"
#include "core/tree.h"

#define OWNER_STEP (UINT64_C(1) << 32)

static uint32_t waiters_high(const struct tol_link *link)
{
	uint32_t high = load_acquire_32(&link->index->waiters_high);

	return high < INDEX_WAITERS_MAX ? high : INDEX_WAITERS_MAX;
}

/* ---- places ---- */

static int back_place(struct tol_link *link, uint32_t number)
{
	uintptr_t first = (uintptr_t)&link->waiters[number];
	uintptr_t end = (uintptr_t)&link->waiters[number + 1];
	uint32_t seen;
	int err;

	first &= ~(uintptr_t)(MAILBOX_PAGE_BYTES - 1);
	err = sys_populate((void *)first, end - first, true);
	seen = load_relaxed_32(&link->index->waiters_high);
	while (err == 0 && seen <= number)
		if (cas_32(&link->index->waiters_high, &seen, number + 1))
			break;
	return err;
}

static void write_select(struct waiter_layout *w, const struct tol_select *select)
{
	static const struct tol_select any;

	if (!select)
		select = &any;
	store_relaxed_32(&w->by, (uint32_t)select->by);
	store_relaxed_64(&w->first_tag, select->first_tag);
	store_relaxed_64(&w->last_tag, select->last_tag);
	store_relaxed_32(&w->sender_pid, (uint32_t)select->sender_pid);
	store_relaxed_32(&w->tags_count, 0);
	if (select->by != TOL_SELECT_TAGS)
		return;
	store_relaxed_32(&w->tags_count, (uint32_t)select->tags_count);
	for (size_t i = 0; i < select->tags_count; i++)
		store_relaxed_64(&w->tags[i], select->tags[i]);
}

/* Others' bytes: nothing in it is believed. */
static void read_select(const struct waiter_layout *w,
			struct tol_select *ret_select)
{
	uint32_t count = load_relaxed_32(&w->tags_count);

	*ret_select = (struct tol_select){
		.by = (enum tol_select_by)load_relaxed_32(&w->by),
		.first_tag = load_relaxed_64(&w->first_tag),
		.last_tag = load_relaxed_64(&w->last_tag),
		.tags = w->tags,
		.tags_count = count < INDEX_SELECT_TAGS_MAX
				      ? count : INDEX_SELECT_TAGS_MAX,
		.sender_pid = (pid_t)load_relaxed_32(&w->sender_pid),
	};
}

bool index_wait_wish(const struct tol_link *link, uint32_t number,
		     struct tol_select *ret_select)
{
	if (number >= waiters_high(link))
		return false;
	read_select(&link->waiters[number], ret_select);
	return true;
}

int index_wait_claim(struct tol_link *link, const struct tol_select *select,
		     struct waiter_layout **ret_waiter)
{
	for (uint32_t i = 0; i < INDEX_WAITERS_MAX; i++) {
		struct waiter_layout *w = &link->waiters[i];
		uint64_t seen;
		int err = i < waiters_high(link) ? 0 : back_place(link, i);

		if (err < 0)
			return err;
		seen = load_acquire_64(&w->owner);
		if ((uint32_t)seen != 0 ||
		    !cas_64(&w->owner, &seen, (seen & ~(OWNER_STEP - 1)) +
						      OWNER_STEP +
						      link->number + 1))
			continue;
		write_select(w, select);
		*ret_waiter = w;
		return 0;
	}
	return -EUSERS;
}

static void free_place(struct waiter_layout *w, uint64_t owner)
{
	cas_64(&w->owner, &owner, owner & ~(OWNER_STEP - 1));
}

void index_wait_release(struct waiter_layout *waiter)
{
	free_place(waiter, load_acquire_64(&waiter->owner));
}

/* ---- inside changes ---- */

static void add_to(struct change *c, uint64_t *word, uint32_t step)
{
	change_set(c, word, change_value(c, word) + step);
}

/* The one that has waited longest. */
static struct waiter_layout *find_waiter(struct change *c,
					 const struct select_key *key)
{
	uint32_t high = waiters_high(c->link);
	struct waiter_layout *found = NULL;

	for (uint32_t i = 0; i < high; i++) {
		struct waiter_layout *w = &c->link->waiters[i];
		struct tol_select select;

		if (change_value(c, &w->state) != WAITER_WAITS)
			continue;
		read_select(w, &select);
		if (select_matches(&select, key) &&
		    (!found || change_get(c, &w->since) <
				       change_get(c, &found->since)))
			found = w;
	}
	return found;
}

static void name(struct change *c, struct waiter_layout *w, uint32_t entry)
{
	struct index_layout *index = c->link->index;
	struct entry_layout *at = entry ? tree_entry(c, entry) : NULL;

	change_set(c, &w->entry, entry);
	change_set(c, &w->state, WAITER_NAMED);
	if (at)
		change_set(c, &at->named,
			   (uint32_t)(w - c->link->waiters) + 1);
	add_to(c, &index->waiting_count, UINT32_MAX);
	add_to(c, &index->named_count, 1);
}

void index_name_waiter(struct change *c, uint32_t entry)
{
	struct select_key key;
	struct waiter_layout *w;

	if (change_value(c, &c->link->index->waiting_count) == 0 ||
	    !tree_key(c, entry, &key))
		return;
	w = find_waiter(c, &key);
	if (w)
		name(c, w, entry);
}

/* Is the message that it was named for still there, and still its? */
static uint32_t entry_of(struct change *c, const struct waiter_layout *w)
{
	uint32_t entry = change_value(c, &w->entry);
	struct entry_layout *at = entry ? tree_entry(c, entry) : NULL;

	if (!at || change_value(c, &at->unit) == INDEX_NO_UNIT ||
	    change_value(c, &at->named) !=
		    (uint32_t)(w - c->link->waiters) + 1)
		return 0;
	return entry;
}

void index_rest(struct change *c, const struct waiter_layout *waiter,
		uint32_t entry)
{
	struct waiter_layout *w = (struct waiter_layout *)(uintptr_t)waiter;
	struct index_layout *index = c->link->index;
	uint32_t state = change_value(c, &w->state), other;

	if (state == WAITER_IDLE)
		return;
	add_to(c, state == WAITER_WAITS ? &index->waiting_count
					: &index->named_count, UINT32_MAX);
	change_set(c, &w->state, WAITER_IDLE);
	if (state != WAITER_NAMED)
		return;
	other = entry_of(c, w);
	if (other && other != entry)
		index_name_waiter(c, other);
}

/* ---- to wait ---- */

int index_wait_begin(struct tol_link *link, const struct tol_select *select,
		     struct waiter_layout *waiter, struct ring_gate *ret_gate)
{
	struct change *c = link->change;

	for (;;) {
		uint32_t entry;

		change_begin(c);
		entry = tree_find(c, select);
		if (entry || c->is_damaged) {
			if (!change_is_current(c))
				continue;
			return c->is_damaged ? link_quarantine(link) : -EAGAIN;
		}
		index_rest(c, waiter, 0);
		add_to(c, &link->index->waiting_count, 1);
		change_set(c, &waiter->state, WAITER_WAITS);
		change_put(c, &waiter->since, c->number);
		if (!change_make(c))
			continue;
		ret_gate->slot = &waiter->state;
		ret_gate->word = index_word(WAITER_WAITS, c->number);
		index_ring_named(link);
		return 0;
	}
}

/*
 * The owner is looked at inside: a new one would have to make a change before it
 * waits, and then this one fails.
 */
static bool leave(struct tol_link *link, struct waiter_layout *waiter,
		  uint64_t owner)
{
	struct change *c = link->change;

	for (;;) {
		change_begin(c);
		if (load_acquire_64(&waiter->owner) != owner)
			return true;
		index_rest(c, waiter, 0);
		if (c->is_damaged && !change_is_current(c))
			continue;
		if (c->is_damaged) {
			link_quarantine(link);
			return false;
		}
		if (c->count == 0 || change_make(c))
			break;
	}
	free_place(waiter, owner);
	return true;
}

void index_wait_end(struct tol_link *link, struct waiter_layout *waiter)
{
	leave(link, waiter, load_acquire_64(&waiter->owner));
	index_ring_named(link);
}

/* ---- those who are named ---- */

/* The owner was read before its lock is asked for: it is the dead one's. */
static bool is_owner_gone(struct tol_link *link, uint64_t owner)
{
	uint32_t number = (uint32_t)owner - 1;
	struct presence found;
	bool is_gone;
	int fd;

	if ((uint32_t)owner == 0 || number >= MAILBOX_PARTICIPANTS_MAX ||
	    number == link->number)
		return false;
	fd = link_reopen(link, false);
	if (fd < 0)
		return false;
	is_gone = presence_find(fd, number, 1, &found) == 0;
	sys_close(fd);
	return is_gone;
}

void index_ring_named(struct tol_link *link)
{
	uint32_t high = waiters_high(link);

	if (index_value(load_acquire_64(&link->index->named_count)) == 0)
		return;
	for (uint32_t i = 0; i < high; i++) {
		struct waiter_layout *w = &link->waiters[i];
		uint64_t owner = load_acquire_64(&w->owner);
		uint64_t state = load_acquire_64(&w->state);

		if (index_value(state) != WAITER_NAMED ||
		    load_acquire_32(&w->rung) == (uint32_t)(state >> 32))
			continue;
		/* Nobody sleeps there: it is on its way, or dead. */
		if (link->futex->wake((uint32_t *)(void *)&w->state, 1) == 0 &&
		    load_acquire_64(&w->state) == state &&
		    is_owner_gone(link, owner) && leave(link, w, owner)) {
			i = UINT32_MAX;	/* it may have named another */
			continue;
		}
		store_release_32(&w->rung, (uint32_t)(state >> 32));
	}
}

/*
 * Who was woken by a call before this one has not come yet, and may be stopped: another
 * one, if there is one that wants it.
 */
static void pass_on(struct tol_link *link)
{
	struct index_layout *index = link->index;
	struct change *c = link->change;
	uint32_t high = waiters_high(link);

	for (uint32_t i = 0; i < high; i++) {
		struct waiter_layout *w = &link->waiters[i];
		uint64_t state = load_acquire_64(&w->state);
		uint32_t entry;

		if (index_value(load_acquire_64(&index->waiting_count)) == 0)
			return;
		if (index_value(state) != WAITER_NAMED ||
		    load_acquire_32(&w->rung) != (uint32_t)(state >> 32))
			continue;
		change_begin(c);
		entry = change_get(c, &w->state) == state ? entry_of(c, w) : 0;
		if (entry)
			index_name_waiter(c, entry);
		if (c->count > 0 && !c->is_damaged)
			change_make(c);
	}
}

/* ---- what came back ---- */

static bool is_awaited(struct change *c, const struct select_key *key)
{
	uint32_t high = waiters_high(c->link);

	for (uint32_t i = 0; i < high; i++) {
		struct waiter_layout *w = &c->link->waiters[i];
		struct tol_select select;

		if (change_value(c, &w->state) != WAITER_NAMED ||
		    change_value(c, &w->entry) != 0)
			continue;
		read_select(w, &select);
		if (select_matches(&select, key))
			return true;
	}
	return false;
}

/* One that waits for it, unless one has been named that may come for it. */
static void name_for_returned(struct tol_link *link)
{
	struct change *c = link->change;
	struct hold_layout record;
	struct hold hold;

	for (uint32_t cell = 0; hold_next(link, HOLD_KIND_RETURNED, &cell, &hold,
					  &record); cell++) {
		struct waiter_layout *w;
		struct select_key key;

		do {
			change_begin(c);
			if (!hold_key(link, &record, &key) ||
			    !hold_read(link, &hold, &record) ||
			    is_awaited(c, &key))
				break;
			w = find_waiter(c, &key);
			if (w)
				name(c, w, 0);
		} while (c->count > 0 && !c->is_damaged && !change_make(c));
	}
}

/* ---- settling ---- */

void index_tell_start(struct tol_link *link)
{
	uint32_t seen = SORTED_UNTOLD;

	if (load_acquire_32(&link->head->sorted) != SORTED_UNTOLD)
		return;
	bell_ring_receivers(link);
	cas_32(&link->head->sorted, &seen, SORTED_TOLD);
}

static void settle(struct tol_link *link)
{
	struct ring_message nothing;
	struct ring_gate gate;
	int err = change_prepare(link);

	if (err == 0) {
		/* First those of before: who is named now has just been. */
		pass_on(link);
		err = index_move(link, &nothing, &gate);
		if (hold_is_eventful(link))
			name_for_returned(link);
		index_ring_named(link);
	}
	/* No memory to do it for them: each for itself. */
	if (err < 0 && err != -ENODATA)
		bell_ring_receivers(link);
}

bool index_settle(struct tol_link *link)
{
	struct index_layout *index = link->index;
	bool entered;

	index_tell_start(link);
	if (index_value(load_acquire_64(&index->waiting_count)) == 0 &&
	    index_value(load_acquire_64(&index->named_count)) == 0 &&
	    (load_acquire_64(&index->change) & 1) == CHANGE_IDLE)
		return false;
	entered = lock_enter(&link->index_lock);
	settle(link);
	lock_leave(&link->index_lock, entered);
	return true;
}

void index_wait_drop_all_of(struct tol_link *link, uint32_t number)
{
	uint32_t high = waiters_high(link);
	bool entered;

	if (!index_is_used(link))
		return;
	entered = lock_enter(&link->index_lock);
	/* Without memory for it a place stays until it is named. */
	if (change_prepare(link) == 0) {
		for (uint32_t i = 0; i < high; i++) {
			uint64_t owner =
				load_acquire_64(&link->waiters[i].owner);

			if ((uint32_t)owner == number + 1)
				leave(link, &link->waiters[i], owner);
		}
		index_ring_named(link);
	}
	lock_leave(&link->index_lock, entered);
}
