/* SPDX-License-Identifier: MIT */
/*
 * Looking into the index of a mailbox (layout/index.h): every entry in use, whatever
 * tree it is in. A change may be half carried out, and its maker dead: so nothing is
 * followed from one entry to another, and each is believed if it said the same before
 * and after its body was read.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/sys.h"
#include "core/peek.h"

#define BLOCK_ENTRIES 512u

/* Of two words that are written one after the other. */
#define LOOKS_MAX 8

struct walk {
	int fd;
	const struct mailbox_geometry *geometry;
	struct entry_layout entries[BLOCK_ENTRIES], again[BLOCK_ENTRIES];
	struct peek_body bodies[BLOCK_ENTRIES];
	int errors[BLOCK_ENTRIES];
	struct peek_chunk chunk;
};

static int read_at(int fd, void *buf, size_t size_bytes, uint64_t offset)
{
	ssize_t n = sys_pread(fd, buf, size_bytes, offset);

	if (n < 0)
		return (int)n;
	return (size_t)n < size_bytes ? -EBADMSG : 0;
}

int peek_moved(int fd, const struct mailbox_geometry *geometry,
	       struct peek_moved *ret_moved)
{
	struct index_layout index;

	for (int i = 0; i < LOOKS_MAX; i++) {
		int err = read_at(fd, &index, sizeof(index),
				  geometry->index_offset);

		if (err < 0)
			return err;
		if (index.received_count > index.moved_below ||
		    index.moved_below - index.received_count >
			    geometry->entries_max ||
		    index_value(index.entries_high) > geometry->entries_max ||
		    index_value(index.entries_high) > index.entries_backed)
			continue;
		*ret_moved = (struct peek_moved){
			.moved_below = index.moved_below,
			.received_count = index.received_count,
			.entries_high = index_value(index.entries_high),
		};
		return 0;
	}
	return -EBADMSG;
}

/* A word that no change has written is 0: its entry has not been used. */
static bool is_used(const struct entry_layout *entry)
{
	return entry->unit != 0 && index_value(entry->unit) != INDEX_NO_UNIT;
}

/* Neighbours mostly lie in one chunk; of one that stands alone only its head. */
static int read_body(struct walk *walk, uint32_t i, uint32_t count)
{
	uint32_t unit = index_value(walk->entries[i].unit);
	uint32_t next = i + 1 < count && is_used(&walk->entries[i + 1])
				? index_value(walk->entries[i + 1].unit)
				: UINT32_MAX;
	uint32_t number = unit / MAILBOX_CHUNK_UNITS;

	if (walk->chunk.number_plus_1 != (uint64_t)number + 1 &&
	    next / MAILBOX_CHUNK_UNITS != number)
		return peek_body(walk->fd, walk->geometry, unit,
				 &walk->bodies[i]);
	return peek_body_in(walk->fd, walk->geometry, &walk->chunk, unit,
			    &walk->bodies[i]);
}

static int read_block(struct walk *walk, uint32_t from, uint32_t count)
{
	uint64_t offset = walk->geometry->entries_offset +
			  (uint64_t)from * sizeof(walk->entries[0]);
	size_t size_bytes = count * sizeof(walk->entries[0]);
	int err = read_at(walk->fd, walk->entries, size_bytes, offset);

	if (err < 0)
		return err;
	/* Chunks are read anew for each block. */
	walk->chunk.number_plus_1 = 0;
	for (uint32_t i = 0; i < count; i++)
		if (is_used(&walk->entries[i]))
			walk->errors[i] = read_body(walk, i, count);
	return read_at(walk->fd, walk->again, size_bytes, offset);
}

static int visit_block(struct walk *walk, uint32_t count, peek_visit *visit,
		       void *context)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct entry_layout *entry = &walk->entries[i];
		int err;

		if (!is_used(entry) || walk->again[i].unit != entry->unit ||
		    walk->again[i].position != entry->position)
			continue;
		if (walk->errors[i] < 0)
			return walk->errors[i];
		walk->bodies[i].position = entry->position;
		err = visit(&walk->bodies[i], context);
		if (err != 0)
			return err;
	}
	return 0;
}

int peek_index(int fd, const struct mailbox_geometry *geometry,
	       peek_visit *visit, void *context)
{
	struct peek_moved moved;
	struct walk *walk;
	int err = peek_moved(fd, geometry, &moved);

	if (err < 0 || moved.entries_high == 0)
		return err;
	walk = calloc(1, sizeof(*walk));
	if (!walk)
		return -ENOMEM;
	walk->fd = fd;
	walk->geometry = geometry;
	for (uint32_t from = 0; from < moved.entries_high && err == 0;) {
		uint32_t count = moved.entries_high - from;

		if (count > BLOCK_ENTRIES)
			count = BLOCK_ENTRIES;
		err = read_block(walk, from, count);
		if (err == 0)
			err = visit_block(walk, count, visit, context);
		from += count;
	}
	free(walk);
	return err;
}
