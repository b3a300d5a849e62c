/* SPDX-License-Identifier: MIT */
/*
 * Looking into an unbounded mailbox: only where messages may be, and bodies by
 * whole chunks, since millions of them may be queued.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/sys.h"
#include "core/peek.h"

#define BLOCK_SLOTS 512u
#define CHUNKS_KEPT 8u

struct walk {
	int fd;
	const struct mailbox_geometry *geometry;
	struct mailbox_layout head;
	uint64_t words[BLOCK_SLOTS], again[BLOCK_SLOTS];
	struct peek_body bodies[BLOCK_SLOTS];
	struct peek_chunk chunks[CHUNKS_KEPT];
};

static int read_at(int fd, void *buf, size_t size_bytes, uint64_t offset)
{
	ssize_t n = sys_pread(fd, buf, size_bytes, offset);

	if (n < 0)
		return (int)n;
	return (size_t)n < size_bytes ? -EBADMSG : 0;
}

static int read_head(struct walk *walk)
{
	int err = read_at(walk->fd, &walk->head, sizeof(walk->head), 0);

	if (err == 0 && (walk->head.ring_backed < walk->head.punched_below ||
			 walk->head.ring_backed - walk->head.punched_below >
				 walk->geometry->ring_slots))
		err = -EBADMSG;
	return err;
}

static int read_body(struct walk *walk, uint64_t word,
		     struct peek_body *ret_body)
{
	uint32_t unit = slot_unit_unbounded(word) -
			(slot_state(word) == SLOT_MOVING);

	return peek_body_in(walk->fd, walk->geometry,
			    &walk->chunks[unit / MAILBOX_CHUNK_UNITS %
					  CHUNKS_KEPT],
			    unit, ret_body);
}

/* All that are full; chunks are read anew for each block. */
static int read_bodies(struct walk *walk, uint32_t count)
{
	for (uint32_t i = 0; i < CHUNKS_KEPT; i++)
		walk->chunks[i].number_plus_1 = 0;
	for (uint32_t i = 0; i < count; i++) {
		int err;

		if (walk->words[i] == 0 ||
		    (slot_state(walk->words[i]) != SLOT_FULL &&
		     slot_state(walk->words[i]) != SLOT_MOVING))
			continue;
		err = read_body(walk, walk->words[i], &walk->bodies[i]);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Slots from @position to the end of the block. Return: how many; -errno */
static int read_block(struct walk *walk, uint64_t position)
{
	uint64_t index = position & (walk->geometry->ring_slots - 1);
	uint64_t offset = walk->geometry->ring_offset +
			  index * sizeof(uint64_t);
	uint32_t count = BLOCK_SLOTS - (uint32_t)(position % BLOCK_SLOTS);
	size_t size_bytes = count * sizeof(uint64_t);
	int err = read_at(walk->fd, walk->words, size_bytes, offset);

	if (err == 0)
		err = read_bodies(walk, count);
	if (err == 0)
		err = read_at(walk->fd, walk->again, size_bytes, offset);
	return err < 0 ? err : (int)count;
}

/* What a slot says of its position. */
enum saying { SAYS_QUEUED, SAYS_PASSED, SAYS_NOTHING, SAYS_NONSENSE };

static enum saying look_at(const struct walk *walk, uint64_t word,
			   uint64_t position, uint64_t moved_below)
{
	uint64_t lap = position / walk->geometry->ring_slots;
	int64_t ahead = slot_laps_ahead_unbounded(word, lap);

	if (word == 0)
		return SAYS_NOTHING;
	if (ahead != 0 && ahead != 1)
		return SAYS_NONSENSE;
	switch (slot_state(word)) {
	case SLOT_EMPTY:
		return ahead ? SAYS_PASSED : SAYS_NOTHING;
	case SLOT_FULL:
		return ahead ? SAYS_NONSENSE : SAYS_QUEUED;
	case SLOT_TAKEN:
		if (ahead)
			return SAYS_NONSENSE;
		return slot_unit_unbounded(word) == SLOT_UNIT_END
			       ? SAYS_NOTHING : SAYS_PASSED;
	default:
		/* SLOT_MOVING: it may have left already. */
		if (ahead)
			return SAYS_NONSENSE;
		return position < moved_below ? SAYS_PASSED : SAYS_QUEUED;
	}
}

static uint64_t start_of(const struct walk *walk)
{
	return walk->head.head > walk->head.punched_below
		       ? walk->head.head : walk->head.punched_below;
}

/*
 * Return: 1 up to the end of the block; 0 nothing is at *position; @visit's own;
 *	-errno
 */
static int walk_block(struct walk *walk, uint64_t *position,
		      struct peek_queue *queue,
		      peek_visit *visit, void *context)
{
	int count = read_block(walk, *position);

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++, ++*position) {
		enum saying saying;
		int err;

		if (*position >= walk->head.ring_backed)
			return 0;
		saying = look_at(walk, walk->words[i], *position,
				 queue->moved.moved_below);
		if (saying == SAYS_NOTHING)
			return 0;
		if (saying == SAYS_NONSENSE)
			return -EBADMSG;
		if (saying == SAYS_PASSED)
			continue;
		if (queue->head == UINT64_MAX)
			queue->head = *position;
		if (walk->again[i] != walk->words[i])
			continue;
		walk->bodies[i].position = *position;
		err = visit(&walk->bodies[i], context);
		if (err != 0)
			return err > 0 ? err + 1 : err;
	}
	return 1;
}

/* What was consumed and given back meanwhile reads as nothing: go on behind. */
static int walk_all(struct walk *walk, struct peek_queue *queue,
		    peek_visit *visit, void *context)
{
	uint64_t position;
	int err = peek_moved(walk->fd, walk->geometry, &queue->moved);

	if (err == 0)
		err = read_head(walk);
	if (err < 0)
		return err;
	queue->head = UINT64_MAX;
	position = start_of(walk);
	for (;;) {
		err = walk_block(walk, &position, queue, visit, context);
		if (err < 0 || err > 1)
			break;
		if (err == 0) {
			err = read_head(walk);
			if (err < 0 || start_of(walk) <= position)
				break;
			position = start_of(walk);
		}
	}
	queue->tail = position;
	if (queue->head == UINT64_MAX)
		queue->head = position;
	return err > 1 ? err - 1 : err;
}

int peek_unbounded(int fd, const struct mailbox_geometry *geometry,
		   struct peek_queue *ret_queue, peek_visit *visit,
		   void *context)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int err;

	if (!walk)
		return -ENOMEM;
	walk->fd = fd;
	walk->geometry = geometry;
	err = walk_all(walk, ret_queue, visit, context);
	free(walk);
	return err;
}
