/* SPDX-License-Identifier: MIT */
#include "layout/segment.h"

#include <errno.h>

static uint64_t fold(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(0x100000001b3);
}

/* Two builds that disagree about a size or a place must not meet. */
uint64_t segment_signature(void)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = fold(hash, sizeof(struct segment_layout));
	hash = fold(hash, offsetof(struct segment_layout, data_offset));
	hash = fold(hash, offsetof(struct segment_layout, sealed));
	hash = fold(hash, offsetof(struct segment_layout, change));
	hash = fold(hash, offsetof(struct segment_layout, use));
	hash = fold(hash, SEGMENT_SEALER);
	hash = fold(hash, SEGMENT_GROWER_BASE);
	return fold(hash, SEGMENT_HUGE_BYTES);
}

int segment_check_head(const struct segment_layout *head, uint64_t file_bytes)
{
	uint64_t data_offset = SEGMENT_PAGE_BYTES;
	int err = object_check(&head->object, SEGMENT_KIND,
			       segment_signature());

	if (err < 0)
		return err;
	if (head->flags & SEGMENT_IS_HUGE)
		data_offset = SEGMENT_HUGE_BYTES;
	if ((head->flags & ~SEGMENT_FLAGS_KNOWN) ||
	    head->data_offset != data_offset || file_bytes <= data_offset)
		return -EBADMSG;
	return 0;
}
