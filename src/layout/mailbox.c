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
	hash = fold(hash, sizeof(struct body_layout));
	hash = fold(hash, offsetof(struct mailbox_layout, limit_msgs));
	hash = fold(hash, offsetof(struct mailbox_layout, returns));
	hash = fold(hash, sizeof(struct body_extra_layout));
	hash = fold(hash, sizeof(struct hold_layout));
	hash = fold(hash, HOLD_GRANT_SHIFT << 8 | HOLD_BUMP_SHIFT);
	hash = fold(hash, MAILBOX_HOLDS_MAX);
	hash = fold(hash, MAILBOX_PARTICIPANTS_MAX);
	hash = fold(hash, MAILBOX_UNIT_BYTES);
	hash = fold(hash, MAILBOX_CHUNK_UNITS);
	return fold(hash, SLOT_LAP_BITS);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

bool mailbox_compute(uint64_t capacity_msgs, uint32_t pool_chunks,
		     struct mailbox_geometry *ret_geometry)
{
	struct mailbox_geometry g = {
		.capacity_msgs = capacity_msgs,
		.pool_chunks = pool_chunks,
	};

	if (capacity_msgs < 1 || capacity_msgs > MAILBOX_CAPACITY_MAX_MSGS ||
	    pool_chunks < MAILBOX_POOL_CHUNKS_MIN ||
	    pool_chunks > MAILBOX_POOL_CHUNKS_MAX)
		return false;
	g.ring_offset = MAILBOX_PAGE_BYTES;
	g.participants_offset = g.ring_offset +
		round_up(capacity_msgs * sizeof(uint64_t), MAILBOX_PAGE_BYTES);
	g.holds_offset = g.participants_offset +
		MAILBOX_PARTICIPANTS_MAX * sizeof(struct participant_layout);
	g.hold_records_offset = g.holds_offset +
		MAILBOX_HOLDS_MAX * sizeof(uint64_t);
	g.chunks_offset = g.hold_records_offset +
		MAILBOX_HOLDS_MAX * sizeof(struct hold_layout);
	g.pool_offset = round_up(g.chunks_offset +
				 pool_chunks * sizeof(uint32_t),
				 MAILBOX_CHUNK_BYTES);
	g.file_bytes = g.pool_offset +
		(uint64_t)pool_chunks * MAILBOX_CHUNK_BYTES;
	*ret_geometry = g;
	return true;
}

int mailbox_check(const struct mailbox_layout *head, uint64_t file_bytes,
		  struct mailbox_geometry *ret_geometry)
{
	struct mailbox_geometry g;
	int err = object_check(&head->object, KIND_MAILBOX,
			       mailbox_signature());

	if (err < 0)
		return err;
	if (!mailbox_compute(head->capacity_msgs, head->pool_chunks, &g) ||
	    file_bytes < g.file_bytes)
		return -EBADMSG;
	*ret_geometry = g;
	return 0;
}
