/* SPDX-License-Identifier: MIT */
#include "core/body.h"

#include <errno.h>
#include <string.h>

#include "core/body_file.h"

static void write_body(struct tol_link *link, const struct draft *draft,
		       const void *body, size_t size_bytes)
{
	struct body_layout *layout = pool_at(link, draft->block.unit);

	*layout = (struct body_layout){
		.size_bytes = size_bytes,
		.flags = draft->in_file ? BODY_IN_FILE : 0,
		.sender_number = link->number,
		.sender_pid = link->pid,
		.sender_uid = link->uid,
	};
	if (draft->in_file)
		memcpy(layout + 1, &draft->serial, sizeof(draft->serial));
	else if (size_bytes > 0)
		copy_to_shared(layout + 1, body, size_bytes);
}

static int make_draft_in_file(struct tol_link *link, const void *body,
			      size_t size_bytes, struct draft *draft)
{
	int err;

	draft->in_file = true;
	err = pool_alloc(link, sizeof(struct body_layout) + sizeof(uint64_t),
			 &draft->block);
	if (err < 0)
		return err;
	err = body_file_write(link, body, size_bytes, &draft->serial);
	if (err < 0)
		pool_abort(link, &draft->block);
	return err;
}

int draft_make(struct tol_link *link, const void *body,
		      size_t size_bytes, struct draft *draft)
{
	int err;

	draft->in_file = false;
	if (size_bytes > BODY_IN_POOL_MAX_BYTES)
		err = -ENOSPC;
	else
		err = pool_alloc(link, sizeof(struct body_layout) + size_bytes,
				 &draft->block);
	/* A full pool is not full memory: large bodies have another way. */
	if (err == -ENOSPC && size_bytes > MAILBOX_CHUNK_BYTES / 4)
		err = make_draft_in_file(link, body, size_bytes, draft);
	if (err == 0)
		write_body(link, draft, body, size_bytes);
	return err;
}

void draft_drop(struct tol_link *link, const struct draft *draft)
{
	if (draft->in_file) {
		body_file_remove(link, link->number, draft->serial);
		body_file_end_draft(link);
	}
	pool_abort(link, &draft->block);
}

int body_copy_file(struct tol_link *link, const struct reading *reading,
		   void *buf)
{
	size_t size_bytes = (size_t)reading->body.size_bytes;
	ssize_t n = body_file_read(link, reading->body.sender_number,
				   reading->serial, buf, size_bytes);

	if (n == (ssize_t)size_bytes)
		return 0;
	return n >= 0 ? -EBADMSG : (int)n;
}

void body_remove_file(struct tol_link *link, const struct reading *reading)
{
	body_file_remove(link, reading->body.sender_number, reading->serial);
}
