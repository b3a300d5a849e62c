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
#include "core/link.h"

/* A body that is written and not yet sent. */
struct draft {
	struct pool_block block;
	uint64_t serial;
	bool in_file;
};

/* Return: 0; -ENOSPC, -ENOMEM, -EFBIG; errors of the space */
int draft_make(struct tol_link *link, const void *body, size_t size_bytes,
	       struct draft *ret_draft);

/* It did not become a message. */
void draft_drop(struct tol_link *link, const struct draft *draft);

/* The head of a body, read once, and where its bytes are. */
struct reading {
	struct body_layout body;
	uint64_t serial;
	uint32_t unit;
};

int body_copy_file(struct tol_link *link, const struct reading *reading,
		   void *buf);
void body_remove_file(struct tol_link *link, const struct reading *reading);

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
	uint64_t span_bytes = sizeof(*layout) + sizeof(ret_reading->serial);

	if (!pool_may_read(link, unit, span_bytes))
		return -EBADMSG;
	ret_reading->unit = unit;
	copy_unsettled(&ret_reading->body, layout, sizeof(*layout));
	copy_unsettled(&ret_reading->serial, layout + 1,
		       sizeof(ret_reading->serial));
	if (ret_reading->body.size_bytes > PTRDIFF_MAX)
		return -EBADMSG;
	if (ret_reading->body.flags & BODY_IN_FILE)
		return 0;
	span_bytes = sizeof(*layout) + ret_reading->body.size_bytes;
	if (ret_reading->body.size_bytes > BODY_IN_POOL_MAX_BYTES ||
	    !pool_may_read(link, unit, span_bytes))
		return -EBADMSG;
	return 0;
}

static inline int body_copy(struct tol_link *link,
			    const struct reading *reading, void *buf)
{
	const struct body_layout *layout = pool_at(link, reading->unit);

	if (reading->body.flags & BODY_IN_FILE)
		return body_copy_file(link, reading, buf);
	if (reading->body.size_bytes > 0)
		copy_unsettled(buf, layout + 1,
			       (size_t)reading->body.size_bytes);
	return 0;
}

/* The message is received: what its body had of its own goes. */
static inline void body_consume(struct tol_link *link,
				const struct reading *reading)
{
	if (reading->body.flags & BODY_IN_FILE)
		body_remove_file(link, reading);
}

static inline void body_describe(const struct reading *reading,
				 uint64_t position,
				 struct tol_message *ret_message)
{
	*ret_message = (struct tol_message){
		.size_bytes = (size_t)reading->body.size_bytes,
		.sender_pid = (pid_t)reading->body.sender_pid,
		.sender_uid = (uid_t)reading->body.sender_uid,
		.position = position,
	};
}

#endif
