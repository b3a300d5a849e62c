/* SPDX-License-Identifier: MIT */
#ifndef CORE_BODY_H
#define CORE_BODY_H

/*
 * Bodies of messages: written before the message exists, read while it may
 * vanish. The memory is the sender's own; see core/pool.h and core/body_file.h.
 */

#include <errno.h>
#include <string.h>

#include "core/body_file.h"
#include "core/heap.h"
#include "core/link.h"

/* Where the bytes are, if something comes before them: whole units. */
#define BODY_EXTRA_OFFSET_BYTES (2u * MAILBOX_UNIT_BYTES)

static_assert(sizeof(struct body_layout) + sizeof(struct body_extra_layout) ==
		      BODY_EXTRA_OFFSET_BYTES, "layout");

/* A body that is written and not yet sent. */
struct draft {
	struct pool_block block;
	uint64_t serial;
	bool in_file;
};

/* What goes with it. */
struct draft_extra {
	uint64_t tag;
	uint16_t priority;
	int64_t expires_ns;
	const struct tol_segment_handle *segment;
};

/* Return: 0; -ENOSPC, -ENOMEM, -EFBIG; errors of the space */
int draft_make(struct tol_link *link, const void *body, size_t size_bytes,
	       const struct draft_extra *extra, struct draft *ret_draft);

/* The same with the file of a body of another mailbox. */
int draft_adopt(struct tol_link *link, const struct space *space,
		const char *file_name, size_t size_bytes,
		const struct draft_extra *extra, struct draft *ret_draft);

/* It did not become a message. */
void draft_drop(struct tol_link *link, const struct draft *draft);

/* It became one, at a position below @end. */
void draft_commit(struct tol_link *link, const struct draft *draft,
		  uint64_t end_position);

/**
 * draft_loan - one whose bytes the caller writes in place
 * @ret_address: [size_bytes] bytes, in the mailbox, or a mapping of their own
 */
int draft_loan(struct tol_link *link, size_t size_bytes,
	       struct draft *ret_draft, void **ret_address);

/* Its bytes are written: so is the rest. */
void draft_finish(struct tol_link *link, const struct draft *draft,
		  size_t size_bytes, const struct draft_extra *extra);

/* The head of a body, read once, and where its bytes are. */
struct reading {
	struct body_layout body;
	uint64_t serial;
	uint32_t unit;
	uint32_t offset_bytes;
};

/* What it takes of the pool. */
static inline uint64_t body_span_bytes(const struct reading *reading)
{
	return reading->offset_bytes + (reading->body.flags & BODY_IN_FILE
						? sizeof(reading->serial)
						: reading->body.size_bytes);
}

int body_copy_file(struct tol_link *link, const struct reading *reading,
		   void *buf);
int body_map_file(struct tol_link *link, const struct reading *reading,
		  void **ret_address);
void body_remove_file(struct tol_link *link, const struct reading *reading);
void body_read_extra(const struct tol_link *link, const struct reading *reading,
		     struct body_extra_layout *ret_extra);

/* heap_may_read() for what lies in one chunk: no call. */
static inline bool heap_is_at_hand(const struct tol_link *link, uint32_t unit,
				   uint64_t size_bytes)
{
	uint32_t chunk = unit / MAILBOX_CHUNK_UNITS;

	return link->has_heap && chunk < link->geometry.pool_chunks &&
	       pool_is_one_chunk(unit, size_bytes) &&
	       load_acquire_32(&link->heap_pages[chunk /
						 MAILBOX_HEAP_PAGE_CHUNKS]) !=
		       HEAP_PAGE_ABSENT &&
	       heap_state(load_acquire_64(&link->heap_chunks[chunk])) >=
		       HEAP_OPEN;
}

static inline bool body_may_read(struct tol_link *link, uint32_t unit,
				 uint64_t size_bytes)
{
	return pool_is_at_hand(&link->pool, unit, size_bytes) ||
	       heap_is_at_hand(link, unit, size_bytes) ||
	       pool_may_read(link, unit, size_bytes);
}

/*
 * These two read what may be overwritten meanwhile. The caller believes them, an
 * error among them, only once it has seen that the message was still there
 * afterwards.
 *
 * Return: 0; -EBADMSG; -errno
 */
static inline int body_look(struct tol_link *link, uint32_t unit,
			    struct reading *ret_reading)
{
	const struct body_layout *layout = pool_at(link, unit);

	if (!body_may_read(link, unit, sizeof(*layout) +
				       sizeof(ret_reading->serial)))
		return -EBADMSG;
	ret_reading->unit = unit;
	ret_reading->offset_bytes = sizeof(*layout);
	copy_unsettled(&ret_reading->body, layout, sizeof(*layout));
	if (ret_reading->body.flags & BODY_HAS_EXTRA)
		ret_reading->offset_bytes = BODY_EXTRA_OFFSET_BYTES;
	if (ret_reading->body.size_bytes > PTRDIFF_MAX ||
	    (!(ret_reading->body.flags & BODY_IN_FILE) &&
	     ret_reading->body.size_bytes > BODY_IN_POOL_MAX_BYTES) ||
	    (!pool_is_one_chunk(unit, body_span_bytes(ret_reading)) &&
	     !body_may_read(link, unit, body_span_bytes(ret_reading))))
		return -EBADMSG;
	if (ret_reading->body.flags & BODY_IN_FILE)
		copy_unsettled(&ret_reading->serial,
			       (const uint8_t *)layout +
				       ret_reading->offset_bytes,
			       sizeof(ret_reading->serial));
	return 0;
}

static inline const void *body_at(const struct tol_link *link,
				  const struct reading *reading)
{
	return (const uint8_t *)pool_at(link, reading->unit) +
	       reading->offset_bytes;
}

static inline int body_copy(struct tol_link *link,
			    const struct reading *reading, void *buf)
{
	if (reading->body.flags & BODY_IN_FILE)
		return body_copy_file(link, reading, buf);
	if (reading->body.size_bytes > 0)
		copy_unsettled(buf, body_at(link, reading),
			       (size_t)reading->body.size_bytes);
	return 0;
}

/*
 * The message is received: what its body had of its own goes. @position:
 * UINT64_MAX for one that was held.
 */
static inline void body_consume(struct tol_link *link,
				const struct reading *reading,
				uint64_t position)
{
	/* Its body was looked at in this call: the chunk's word has memory. */
	if (__builtin_expect(link->has_heap, 0)) {
		uint64_t word;

		fence_after_rmw();
		word = load_acquire_64(
			&link->heap_chunks[reading->unit / MAILBOX_CHUNK_UNITS]);
		if (__builtin_expect(heap_state(word) == HEAP_CLOSED ||
				     reading->body.flags & BODY_IN_FILE, 0))
			heap_note_consumed(link, position, reading->unit, word,
					   reading->body.flags & BODY_IN_FILE);
	}
	if (reading->body.flags & BODY_IN_FILE)
		body_remove_file(link, reading);
}

/* Before the message is consumed, if it has an extra. */
static inline void body_describe(const struct tol_link *link,
				 const struct reading *reading,
				 uint64_t position, uint32_t tries,
				 struct tol_message *ret_message)
{
	ret_message->size_bytes = (size_t)reading->body.size_bytes;
	ret_message->sent_bytes = reading->body.size_bytes;
	ret_message->tag = reading->body.tag;
	ret_message->priority = reading->body.priority;
	ret_message->position = position;
	ret_message->sender_pid = (pid_t)reading->body.sender_pid;
	ret_message->sender_uid = (uid_t)reading->body.sender_uid;
	ret_message->sender = reading->body.sender;
	ret_message->tries = tries;
	ret_message->has_segment = 0;
	ret_message->body = NULL;
	ret_message->hold = 0;
	if (reading->body.flags & BODY_HAS_SEGMENT &&
	    reading->body.flags & BODY_HAS_EXTRA) {
		struct body_extra_layout extra;

		body_read_extra(link, reading, &extra);
		ret_message->has_segment = 1;
		memcpy(ret_message->segment.bytes, extra.segment,
		       sizeof(extra.segment));
	}
}

#endif
