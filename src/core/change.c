/* SPDX-License-Identifier: MIT */
/*
 * Several words changed by one swap.
 *
 * Linearization: the CAS of `change` from IDLE(n) to MADE(n + 1, participant), at
 * change-made. Before it nothing is changed; after it the list of that participant
 * says what is, and whoever comes carries it out.
 *
 * Roles: a list is written by its owner alone, between a look at `change` that said
 * IDLE and its own CAS: so nobody needs what it said before. An owner that died
 * while MADE names it is no exception: its heir helps before it writes.
 *
 * Edges:
 *   change-made (release) -> change-seen (acquire): the list is whole.
 *   carry-out (seq_cst CAS, in the order of the list) -> IDLE (release) ->
 *	change_begin() (acquire): the words are those of the last change.
 *   a late helper: it has copied the list, then seen `change` unchanged, so the copy is
 *	that change's. Its CAS finds words of later changes, which differ: a word
 *	bears the number of the change that wrote it, or only grows, or is that of a
 *	hold cell, which has its own. Wrap: 2^32 changes while a helper stands
 *	between two instructions, to the very one.
 *
 * Crash and stop: nothing that others need stays undone; see above.
 */
#include "core/change.h"

#include <errno.h>
#include <stdlib.h>

/* Who has just made a change is about to finish it: looks before one helps. */
#define LOOKS_MAX 256

static struct index_layout *index_of(const struct tol_link *link)
{
	return link->index;
}

static struct change_list_layout *list_of(const struct tol_link *link,
					  uint32_t participant)
{
	return (struct change_list_layout *)(void *)(
		(uint8_t *)link->head + link->geometry.lists_offset +
		(size_t)participant * CHANGE_LIST_BYTES);
}

/* Only words that changes may write: others' bytes are not believed. */
static uint64_t *word_at(const struct tol_link *link, uint64_t offset_bytes)
{
	const struct mailbox_geometry *g = &link->geometry;
	bool is_index = offset_bytes >= g->index_offset + sizeof(uint64_t) &&
			offset_bytes < g->lists_offset;
	bool is_hold = offset_bytes >= g->holds_offset &&
		       offset_bytes < g->hold_records_offset;

	if (offset_bytes % sizeof(uint64_t) || (!is_index && !is_hold))
		return NULL;
	return (uint64_t *)(void *)((uint8_t *)link->head + offset_bytes);
}

static void carry_out(struct tol_link *link, uint64_t made,
		      const struct change_entry_layout *entries, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t *word = word_at(link, entries[i].offset_bytes);
		uint64_t old = entries[i].old_word;

		/* carry-out */
		if (word)
			cas_64(word, &old, entries[i].new_word);
	}
	cas_64(&index_of(link)->change, &made,
	       change_word(CHANGE_IDLE, 0, change_number(made)));
}

static __attribute__((noinline)) void help(struct tol_link *link, uint64_t made)
{
	struct change_list_layout copy;
	uint32_t participant = change_participant(made);
	const struct change_list_layout *list = list_of(link, participant);
	uint64_t count;

	for (int i = 0; i < LOOKS_MAX; i++) {
		if (load_relaxed_64(&index_of(link)->change) != made)
			return;
		cpu_relax();
	}
	count = load_acquire_64(&list->count);
	if (count > CHANGE_ENTRIES_MAX)
		count = 0;
	copy_unsettled(copy.entries, list->entries,
		       (size_t)count * sizeof(copy.entries[0]));
	/* Unchanged: what was copied is the list of this very change. */
	if (load_after_reads_64(&index_of(link)->change) == made)
		carry_out(link, made, copy.entries, count);
}

static uint64_t settle(struct tol_link *link)
{
	for (;;) {
		/* change-seen */
		uint64_t seen = load_acquire_64(&index_of(link)->change);

		if ((seen & 1) == CHANGE_IDLE)
			return seen;
		help(link, seen);
	}
}

void change_help(struct tol_link *link)
{
	settle(link);
}

int change_prepare(struct tol_link *link)
{
	struct change *c = link->change;
	int err;

	if (c)
		return 0;
	err = sys_populate(list_of(link, link->number), CHANGE_LIST_BYTES, true);
	if (err < 0)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->link = link;
	c->list = list_of(link, link->number);
	link->change = c;
	return 0;
}

void change_begin(struct change *c)
{
	c->seen = settle(c->link);
	c->number = change_number(c->seen) + 1;
	c->count = 0;
	c->is_damaged = false;
	c->is_short = false;
	if (++c->stamp == 0) {
		memset(c->slots, 0, sizeof(c->slots));
		c->stamp = 1;
	}
}

/* Return: the slot of a word, or the free one where it would be */
static uint32_t find(const struct change *c, uint64_t offset_bytes)
{
	uint32_t slot = (uint32_t)(offset_bytes * UINT64_C(0x9e3779b97f4a7c15) >>
				   54);

	while (c->slots[slot].stamp == c->stamp &&
	       c->list->entries[c->slots[slot].entry].offset_bytes !=
		       offset_bytes)
		slot = (slot + 1) % CHANGE_SLOTS;
	return slot;
}

static uint64_t offset_of(const struct change *c, const uint64_t *word)
{
	return (uint64_t)((const uint8_t *)word -
			  (const uint8_t *)c->link->head);
}

uint64_t change_get(struct change *c, const uint64_t *word)
{
	uint32_t slot;

	if (c->count == 0)
		return load_acquire_64(word);
	slot = find(c, offset_of(c, word));
	if (c->slots[slot].stamp != c->stamp)
		return load_acquire_64(word);
	return c->list->entries[c->slots[slot].entry].new_word;
}

void change_put(struct change *c, uint64_t *word, uint64_t value)
{
	uint64_t offset_bytes = offset_of(c, word);
	uint32_t slot = find(c, offset_bytes);
	struct change_entry_layout *entry;

	if (c->slots[slot].stamp == c->stamp) {
		c->list->entries[c->slots[slot].entry].new_word = value;
		return;
	}
	if (c->count == CHANGE_ENTRIES_MAX) {
		c->is_damaged = true;
		return;
	}
	entry = &c->list->entries[c->count];
	entry->offset_bytes = offset_bytes;
	entry->old_word = load_acquire_64(word);
	entry->new_word = value;
	c->slots[slot].stamp = c->stamp;
	c->slots[slot].entry = (uint16_t)c->count++;
}

bool change_is_current(const struct change *c)
{
	return load_after_reads_64(&index_of(c->link)->change) == c->seen;
}

bool change_make(struct change *c)
{
	uint64_t seen = c->seen;
	uint64_t made = change_word(CHANGE_MADE, c->link->number, c->number);

	c->list->number = c->number;
	store_release_64(&c->list->count, c->count);
	/* change-made: it has happened. */
	if (!cas_64(&index_of(c->link)->change, &seen, made))
		return false;
	carry_out(c->link, made, c->list->entries, c->count);
	return true;
}
