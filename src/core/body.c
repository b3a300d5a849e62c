/* SPDX-License-Identifier: MIT */
#include "core/body.h"

#include <errno.h>
#include <string.h>

#include "core/body_file.h"

/* What never has a file, whatever memory there is: see make_block(). */
#define MAKE_PLAIN_MAX_BYTES (MAILBOX_CHUNK_BYTES / 4)

/* All but the bytes. */
static inline __attribute__((always_inline)) void
write_head(struct tol_link *link, const struct draft *draft, size_t size_bytes,
	   const struct draft_extra *extra, bool has_extra)
{
	struct body_layout *layout = pool_at(link, draft->block.unit);
	uint8_t *bytes = (uint8_t *)(layout + 1);
	uint32_t flags = draft->in_file ? BODY_IN_FILE : 0;

	if (has_extra) {
		struct body_extra_layout *more = (void *)bytes;

		flags |= BODY_HAS_EXTRA;
		*more = (struct body_extra_layout){
			.expires_ns = extra->expires_ns,
		};
		if (extra->segment) {
			flags |= BODY_HAS_SEGMENT;
			memcpy(more->segment, extra->segment->bytes,
			       sizeof(more->segment));
		}
		bytes += sizeof(*more);
	}
	*layout = (struct body_layout){
		.size_bytes = size_bytes,
		.tag = extra->tag,
		.flags = (uint16_t)flags,
		.priority = extra->priority,
		.sender = link->sender,
		.sender_pid = link->pid,
		.sender_uid = link->uid,
	};
	if (draft->in_file)
		memcpy(bytes, &draft->serial, sizeof(draft->serial));
}

/* @is_loan: it is written outside of calls. */
static inline int alloc(struct tol_link *link, size_t size_bytes, bool is_loan,
			struct pool_block *ret_block)
{
	return __builtin_expect(link->has_heap, 0)
		       ? heap_alloc(link, size_bytes, is_loan, ret_block)
		       : pool_alloc(link, size_bytes, ret_block);
}

/* Return: 0 a block in the pool; 1 a block that will name a file; -errno */
static int make_block(struct tol_link *link, size_t offset_bytes,
		      size_t size_bytes, bool is_loan, struct draft *draft)
{
	int err = -ENOSPC;

	draft->in_file = false;
	if (size_bytes <= BODY_IN_POOL_MAX_BYTES)
		err = alloc(link, offset_bytes + size_bytes, is_loan,
			    &draft->block);
	/* A full pool is not full memory: large bodies have another way. */
	if (err != -ENOSPC || size_bytes <= MAILBOX_CHUNK_BYTES / 4)
		return err;
	draft->in_file = true;
	err = alloc(link, offset_bytes + sizeof(uint64_t), is_loan,
		    &draft->block);
	if (err == 0) {
		err = pool_reserve(link, size_bytes, &draft->block);
		if (err < 0)
			pool_abort(link, &draft->block);
	}
	return err < 0 ? err : 1;
}

/* With all that few messages have. */
static __attribute__((noinline)) int
make_any(struct tol_link *link, const void *body, size_t size_bytes,
	 const struct draft_extra *extra, struct draft *draft)
{
	bool has_extra = extra->expires_ns != 0 || extra->segment;
	size_t offset_bytes = has_extra ? BODY_EXTRA_OFFSET_BYTES
					: sizeof(struct body_layout);
	int err = make_block(link, offset_bytes, size_bytes, false, draft);

	if (err < 0)
		return err;
	if (draft->in_file) {
		err = body_file_write(link, body, size_bytes, &draft->serial);
		if (err < 0) {
			pool_abort(link, &draft->block);
			return err;
		}
	}
	if (has_extra)
		write_head(link, draft, size_bytes, extra, true);
	else
		write_head(link, draft, size_bytes, extra, false);
	if (!draft->in_file && size_bytes > 0)
		copy_to_shared((uint8_t *)pool_at(link, draft->block.unit) +
				       offset_bytes,
			       body, size_bytes);
	return 0;
}

int draft_make(struct tol_link *link, const void *body, size_t size_bytes,
	       const struct draft_extra *extra, struct draft *draft)
{
	int err;

	if (__builtin_expect(size_bytes > MAKE_PLAIN_MAX_BYTES ||
			     extra->expires_ns != 0 || extra->segment, 0))
		return make_any(link, body, size_bytes, extra, draft);
	err = alloc(link, sizeof(struct body_layout) + size_bytes, false,
		    &draft->block);
	if (err < 0)
		return err;
	draft->in_file = false;
	write_head(link, draft, size_bytes, extra, false);
	if (size_bytes > 0)
		copy_to_shared((struct body_layout *)pool_at(
				       link, draft->block.unit) + 1,
			       body, size_bytes);
	return 0;
}

int draft_adopt(struct tol_link *link, const struct space *space,
		const char *file_name, size_t size_bytes,
		const struct draft_extra *extra, struct draft *draft)
{
	bool has_extra = extra->expires_ns != 0 || extra->segment;
	size_t offset_bytes = has_extra ? BODY_EXTRA_OFFSET_BYTES
					: sizeof(struct body_layout);
	int err = pool_alloc(link, offset_bytes + sizeof(uint64_t),
			     &draft->block);

	if (err < 0)
		return err;
	draft->in_file = true;
	err = body_file_adopt(link, space, file_name, size_bytes,
			      &draft->serial);
	if (err < 0)
		pool_abort(link, &draft->block);
	else
		write_head(link, draft, size_bytes, extra, has_extra);
	return err;
}

int draft_loan(struct tol_link *link, size_t size_bytes, struct draft *draft,
	       void **ret_address)
{
	int err = make_block(link, BODY_EXTRA_OFFSET_BYTES, size_bytes, true,
			     draft);

	if (err < 0)
		return err;
	if (!draft->in_file) {
		*ret_address = (uint8_t *)pool_at(link, draft->block.unit) +
			       BODY_EXTRA_OFFSET_BYTES;
		return 0;
	}
	err = body_file_make(link, size_bytes, &draft->serial, ret_address);
	if (err < 0)
		pool_abort(link, &draft->block);
	return err;
}

void draft_finish(struct tol_link *link, const struct draft *draft,
		  size_t size_bytes, const struct draft_extra *extra)
{
	write_head(link, draft, size_bytes, extra, true);
}

void draft_drop(struct tol_link *link, const struct draft *draft)
{
	if (draft->in_file) {
		body_file_remove(link, link->number, draft->serial);
		body_file_end_draft(link);
	}
	pool_abort(link, &draft->block);
}

void draft_commit(struct tol_link *link, const struct draft *draft,
		  uint64_t end_position)
{
	if (draft->in_file)
		body_file_end_draft(link);
	if (__builtin_expect(link->has_heap, 0))
		heap_commit(link, &draft->block, end_position);
	else
		pool_commit(link, &draft->block, end_position);
}

int body_copy_file(struct tol_link *link, const struct reading *reading,
		   void *buf)
{
	size_t size_bytes = (size_t)reading->body.size_bytes;
	ssize_t n = body_file_read(link, identity_number(reading->body.sender),
				   reading->serial, buf, size_bytes);

	if (n == (ssize_t)size_bytes)
		return 0;
	return n >= 0 ? -EBADMSG : (int)n;
}

int body_map_file(struct tol_link *link, const struct reading *reading,
		  void **ret_address)
{
	if (reading->body.size_bytes > SIZE_MAX / 2)
		return -ENOMEM;
	return body_file_map(link, identity_number(reading->body.sender), reading->serial,
			     (size_t)reading->body.size_bytes, ret_address);
}

void body_remove_file(struct tol_link *link, const struct reading *reading)
{
	body_file_remove(link, identity_number(reading->body.sender), reading->serial);
}

void body_read_extra(const struct tol_link *link, const struct reading *reading,
		     struct body_extra_layout *ret_extra)
{
	copy_unsettled(ret_extra,
		       (const struct body_layout *)pool_at(link,
							   reading->unit) + 1,
		       sizeof(*ret_extra));
}
