/* SPDX-License-Identifier: MIT */
#include "layout/mailbox.h"

#include <errno.h>

#define KIND_MAILBOX 1u

static uint64_t fold(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(0x100000001b3);
}

/* Two builds that disagree about a size or a place must not meet. */
uint64_t mailbox_signature(void)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = fold(hash, sizeof(struct mailbox_layout));
	hash = fold(hash, offsetof(struct mailbox_layout, control));
	hash = fold(hash, offsetof(struct mailbox_layout, bell));
	hash = fold(hash, offsetof(struct mailbox_layout, tail));
	hash = fold(hash, offsetof(struct mailbox_layout, head));
	hash = fold(hash, sizeof(struct participant_layout));
	hash = fold(hash, offsetof(struct participant_layout, watch));
	hash = fold(hash, offsetof(struct mailbox_layout, polled));
	hash = fold(hash, sizeof(struct body_layout));
	hash = fold(hash, offsetof(struct mailbox_layout, limit_msgs));
	hash = fold(hash, offsetof(struct mailbox_layout, returns));
	hash = fold(hash, sizeof(struct body_extra_layout));
	hash = fold(hash, sizeof(struct hold_layout));
	hash = fold(hash, HOLD_GRANT_SHIFT << 8 | HOLD_BUMP_SHIFT);
	hash = fold(hash, MAILBOX_HOLDS_MAX);
	hash = fold(hash, MEET_SLOTS << 8 | MEET_LAP_BITS);
	hash = fold(hash, MAILBOX_PARTICIPANTS_MAX);
	hash = fold(hash, MAILBOX_UNIT_BYTES);
	hash = fold(hash, MAILBOX_CHUNK_UNITS);
	hash = fold(hash, offsetof(struct mailbox_layout, taps));
	hash = fold(hash, offsetof(struct mailbox_layout, shape_check));
	hash = fold(hash, sizeof(struct tapped_layout));
	hash = fold(hash, offsetof(struct mailbox_layout, ring_backed));
	hash = fold(hash, MAILBOX_GRANULE_SLOTS);
	hash = fold(hash, HEAP_END_BITS << 8 | MAILBOX_HEAP_PAGE_CHUNKS);
	hash = fold(hash, offsetof(struct mailbox_layout, sorted));
	hash = fold(hash, sizeof(struct index_layout));
	hash = fold(hash, (uint64_t)sizeof(struct entry_layout) << 32 |
			  sizeof(struct waiter_layout) << 8 |
			  sizeof(struct node_layout));
	hash = fold(hash, CHANGE_NUMBER_SHIFT << 24 | CHANGE_ENTRIES_MAX);
	hash = fold(hash, (uint64_t)sizeof(struct identity_layout) << 32 |
			  IDENTITY_TURN_SHIFT << 8 | IDENTITY_SHIFT);
	return fold(hash, SLOT_LAP_BITS);
}

/* Of what the places of all else are computed from. */
uint64_t mailbox_shape_check(const struct mailbox_layout *head)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = fold(hash, head->capacity_msgs);
	hash = fold(hash, head->pool_chunks);
	hash = fold(hash, head->ring_shift);
	return fold(hash, head->has_heap);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static bool is_possible(const struct mailbox_shape *shape)
{
	uint32_t chunks_min = MAILBOX_POOL_CHUNKS_MIN;
	uint32_t chunks_max = MAILBOX_POOL_CHUNKS_MAX;

	if (shape->has_heap)
		chunks_min = MAILBOX_HEAP_PAGE_CHUNKS;
	if (shape->capacity_msgs == MAILBOX_UNBOUNDED) {
		chunks_max = MAILBOX_HEAP_CHUNKS_MAX;
		if (!shape->has_heap ||
		    shape->ring_shift < MAILBOX_RING_SHIFT_MIN ||
		    shape->ring_shift > MAILBOX_RING_SHIFT_MAX)
			return false;
	} else if (shape->capacity_msgs > MAILBOX_CAPACITY_MAX_MSGS ||
		   (shape->capacity_msgs == 0 && shape->has_heap)) {
		return false;
	}
	return shape->pool_chunks >= chunks_min &&
	       shape->pool_chunks <= chunks_max &&
	       (!shape->has_heap ||
		shape->pool_chunks % MAILBOX_HEAP_PAGE_CHUNKS == 0);
}

/* An unbounded one: less where the address space is short. */
static void compute_index(struct mailbox_geometry *g)
{
	g->entries_max = (uint32_t)g->capacity_msgs;
	if (mailbox_is_unbounded(g))
		g->entries_max = (uint32_t)(g->ring_slots / 16 <
							    INDEX_ENTRIES_MAX
						    ? g->ring_slots / 16
						    : INDEX_ENTRIES_MAX);
	g->index_offset = g->pool_offset +
		(uint64_t)g->pool_chunks * MAILBOX_CHUNK_BYTES;
	g->live_offset = g->index_offset + INDEX_HEAD_BYTES;
	g->entries_offset = g->live_offset +
		round_up(g->pool_chunks * sizeof(uint64_t), MAILBOX_PAGE_BYTES);
	g->nodes_offset = g->entries_offset +
		round_up(g->entries_max * sizeof(struct entry_layout),
			 MAILBOX_PAGE_BYTES);
	g->waiters_offset = g->nodes_offset +
		round_up((uint64_t)g->entries_max * INDEX_NODES_PER_ENTRY *
				 sizeof(struct node_layout),
			 MAILBOX_PAGE_BYTES);
	g->lists_offset = g->waiters_offset +
		round_up(INDEX_WAITERS_MAX * sizeof(struct waiter_layout),
			 MAILBOX_PAGE_BYTES);
}

bool mailbox_compute(const struct mailbox_shape *shape,
		     struct mailbox_geometry *ret_geometry)
{
	struct mailbox_geometry g = {
		.capacity_msgs = shape->capacity_msgs,
		.ring_slots = shape->capacity_msgs,
		.pool_chunks = shape->pool_chunks,
		.has_heap = shape->has_heap,
	};
	uint64_t word_bytes = g.has_heap ? sizeof(uint64_t) : sizeof(uint32_t);

	if (!is_possible(shape))
		return false;
	if (mailbox_is_unbounded(&g))
		g.ring_slots = UINT64_C(1) << shape->ring_shift;
	else if (g.capacity_msgs == 0)
		g.ring_slots = MEET_SLOTS;
	g.ring_offset = MAILBOX_PAGE_BYTES;
	g.participants_offset = g.ring_offset +
		round_up(g.ring_slots * sizeof(uint64_t), MAILBOX_PAGE_BYTES);
	g.holds_offset = g.participants_offset +
		MAILBOX_PARTICIPANTS_MAX * sizeof(struct participant_layout);
	g.hold_records_offset = g.holds_offset +
		MAILBOX_HOLDS_MAX * sizeof(uint64_t);
	g.pages_offset = g.hold_records_offset +
		MAILBOX_HOLDS_MAX * sizeof(struct hold_layout);
	g.chunks_offset = g.pages_offset;
	if (g.has_heap)
		g.chunks_offset += round_up(
			g.pool_chunks / MAILBOX_HEAP_PAGE_CHUNKS *
				sizeof(uint32_t), MAILBOX_PAGE_BYTES);
	g.pool_offset = round_up(g.chunks_offset + g.pool_chunks * word_bytes,
				 MAILBOX_CHUNK_BYTES);
	compute_index(&g);
	g.identities_offset = g.lists_offset +
		MAILBOX_PARTICIPANTS_MAX * CHANGE_LIST_BYTES;
	g.file_bytes = g.identities_offset +
		IDENTITIES_COUNT * sizeof(struct identity_layout);
	*ret_geometry = g;
	return true;
}

int mailbox_check(const struct mailbox_layout *head, uint64_t file_bytes,
		  struct mailbox_geometry *ret_geometry)
{
	struct mailbox_shape shape = {
		.capacity_msgs = head->capacity_msgs,
		.pool_chunks = head->pool_chunks,
		.ring_shift = head->ring_shift,
		.has_heap = head->has_heap != 0,
	};
	struct mailbox_geometry g;
	int err = object_check(&head->object, KIND_MAILBOX,
			       mailbox_signature());

	if (err < 0)
		return err;
	/* A damaged capacity would have everything looked for in wrong places. */
	if (head->shape_check != mailbox_shape_check(head))
		return -EBADMSG;
	if (!mailbox_compute(&shape, &g) || file_bytes < g.file_bytes)
		return -EBADMSG;
	*ret_geometry = g;
	return 0;
}
