/* SPDX-License-Identifier: MIT */
#include "core/peek.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/space.h"

int peek_open(const char *name, const struct tol_mailbox_opts *opts,
	      struct sys_stat *ret_stat)
{
	struct space space;
	int fd, err;

	if (space_check_name(name) < 0)
		return -EINVAL;
	err = space_open(&space, opts ? opts->space : NULL, false);
	if (err < 0)
		return err;
	fd = space_open_object(&space, name, false, ret_stat);
	space_close(&space);
	return fd;
}

int peek_head(int fd, struct mailbox_layout *ret_head,
	      struct mailbox_geometry *ret_geometry)
{
	struct sys_stat st;
	ssize_t n;
	int err;

	err = sys_stat_fd(fd, &st);
	if (err < 0)
		return err;
	n = sys_pread(fd, ret_head, sizeof(*ret_head), 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(struct object_layout))
		return -EBADMSG;
	/* A newer layout may be shorter: its version is told first. */
	if ((size_t)n < sizeof(*ret_head))
		st.size_bytes = 0;
	return mailbox_check(ret_head, st.size_bytes, ret_geometry);
}

static int read_at(int fd, void *buf, size_t size_bytes, uint64_t offset)
{
	ssize_t n = sys_pread(fd, buf, size_bytes, offset);

	if (n < 0)
		return (int)n;
	return (size_t)n < size_bytes ? -EBADMSG : 0;
}

int peek_body(int fd, const struct mailbox_geometry *geometry, uint64_t unit,
	      struct peek_body *ret_body)
{
	uint64_t offset = geometry->pool_offset + unit * MAILBOX_UNIT_BYTES;
	int err;

	if (unit > (geometry->index_offset - geometry->pool_offset) /
			   MAILBOX_UNIT_BYTES - 3)
		return -EBADMSG;
	err = read_at(fd, &ret_body->body, sizeof(ret_body->body), offset);
	if (err < 0 || !(ret_body->body.flags & BODY_IN_FILE))
		return err;
	offset += sizeof(ret_body->body);
	if (ret_body->body.flags & BODY_HAS_EXTRA)
		offset += sizeof(struct body_extra_layout);
	return read_at(fd, &ret_body->serial, sizeof(ret_body->serial), offset);
}

static int read_chunk(int fd, const struct mailbox_geometry *geometry,
		      struct peek_chunk *chunk, uint64_t number)
{
	int err;

	if (number >= geometry->pool_chunks)
		return -EBADMSG;
	if (chunk->number_plus_1 == number + 1)
		return 0;
	chunk->number_plus_1 = 0;
	memset(chunk->bytes + MAILBOX_CHUNK_BYTES, 0, PEEK_SPILL_BYTES);
	err = read_at(fd, chunk->bytes, MAILBOX_CHUNK_BYTES,
		      geometry->pool_offset + number * MAILBOX_CHUNK_BYTES);
	if (err == 0)
		chunk->number_plus_1 = number + 1;
	return err;
}

int peek_body_in(int fd, const struct mailbox_geometry *geometry,
		 struct peek_chunk *chunk, uint64_t unit,
		 struct peek_body *ret_body)
{
	const uint8_t *bytes = chunk->bytes +
			       (unit % MAILBOX_CHUNK_UNITS) * MAILBOX_UNIT_BYTES;
	int err = read_chunk(fd, geometry, chunk, unit / MAILBOX_CHUNK_UNITS);

	if (err < 0)
		return err;
	memcpy(&ret_body->body, bytes, sizeof(ret_body->body));
	bytes += sizeof(ret_body->body);
	if (ret_body->body.flags & BODY_HAS_EXTRA)
		bytes += sizeof(struct body_extra_layout);
	memcpy(&ret_body->serial, bytes, sizeof(ret_body->serial));
	return 0;
}

/* Does a message lie there? One that is about to leave still does. */
static bool has_message(uint64_t word)
{
	return slot_state(word) == SLOT_FULL || slot_state(word) == SLOT_MOVING;
}

static uint64_t unit_of(uint64_t word)
{
	return (uint64_t)slot_unit(word) - (slot_state(word) == SLOT_MOVING);
}

int peek_slot(int fd, const struct mailbox_geometry *geometry, uint64_t index,
	      struct peek_body *ret_body)
{
	uint64_t offset = geometry->ring_offset + index * sizeof(uint64_t);
	uint64_t word = 0, again = 0;
	int err;

	do {
		word = again;
		if (sys_pread(fd, &word, sizeof(word), offset) !=
		    (ssize_t)sizeof(word))
			return -EBADMSG;
		if (!has_message(word))
			return 0;
		err = peek_body(fd, geometry, unit_of(word), ret_body);
		if (err < 0)
			return err;
		if (sys_pread(fd, &again, sizeof(again), offset) !=
		    (ssize_t)sizeof(again))
			return -EBADMSG;
	} while (again != word);
	return 1;
}

int peek_holds_high(int fd, uint32_t *ret_high)
{
	return read_at(fd, ret_high, sizeof(*ret_high),
		       offsetof(struct mailbox_layout, holds_high));
}

/* A claim may be no message yet: then what it names makes no sense. */
int peek_hold(int fd, const struct mailbox_geometry *geometry, uint32_t number,
	      struct peek_hold *ret_hold)
{
	uint64_t offset = geometry->holds_offset + number * sizeof(uint64_t);
	uint64_t again;
	int err, bad;

	if (number >= MAILBOX_HOLDS_MAX)
		return -EBADMSG;
	do {
		err = read_at(fd, &ret_hold->word, sizeof(ret_hold->word),
			      offset);
		if (err < 0 || hold_state(ret_hold->word) == HOLD_FREE)
			return err;
		err = read_at(fd, &ret_hold->record, sizeof(ret_hold->record),
			      geometry->hold_records_offset +
				      number * sizeof(ret_hold->record));
		bad = err < 0 ? err : peek_body(fd, geometry,
						ret_hold->record.unit,
						&ret_hold->body);
		err = read_at(fd, &again, sizeof(again), offset);
		if (err < 0)
			return err;
	} while (again != ret_hold->word);
	if (bad < 0)
		return hold_state(again) == HOLD_CLAIM ? 0 : bad;
	return 1;
}

void peek_count(const struct peek_body *body, struct peek_queue *queue)
{
	uint64_t size_bytes = body->body.size_bytes;

	queue->bytes += size_bytes;
	if (body->body.flags & BODY_IN_FILE)
		queue->in_files_bytes +=
			(size_bytes + MAILBOX_PAGE_BYTES - 1) /
			MAILBOX_PAGE_BYTES * MAILBOX_PAGE_BYTES;
}

struct pass {
	int fd;
	const struct mailbox_geometry *geometry;
	struct peek_queue queue;
	peek_visit *visit;
	void *context;
	bool has_message;
};

static int count_one(const struct peek_body *body, void *context)
{
	struct pass *pass = context;

	peek_count(body, &pass->queue);
	return pass->visit ? pass->visit(body, pass->context) : 0;
}

/* Return: 0; what @visit returned; -EBADMSG; -errno */
static int pass_message(struct pass *pass, uint64_t index, uint64_t position)
{
	struct peek_body body;
	int err;

	if (position < pass->queue.head)
		pass->queue.head = position;
	pass->has_message = true;
	err = peek_slot(pass->fd, pass->geometry, index, &body);
	if (err != 1)
		return err;
	body.position = position;
	return count_one(&body, pass);
}

/* The same. A message that is about to leave may have left already. */
static int pass_slot(struct pass *pass, uint64_t word, uint64_t index,
		     uint64_t position)
{
	uint64_t n = pass->geometry->capacity_msgs, filled = position + 1;
	unsigned int state = slot_state(word);

	/* The position a lap before was filled and consumed. */
	if (state == SLOT_EMPTY)
		filled = position >= n ? filled - n : 0;
	else if (state == SLOT_TAKEN && slot_unit(word) == SLOT_UNIT_END)
		filled--;
	if (filled > pass->queue.tail)
		pass->queue.tail = filled;
	if (state == SLOT_MOVING && slot_unit(word) == 0)
		return -EBADMSG;
	if (state == SLOT_FULL || (state == SLOT_MOVING &&
				   position >= pass->queue.moved.moved_below))
		return pass_message(pass, index, position);
	return 0;
}

/*
 * The hints say which lap it is; the slots say the rest. While others send and
 * receive the slots are of slightly different moments: then what is counted
 * lies between the true numbers of the beginning and the end.
 */
static int pass_slots(struct pass *pass, uint64_t tail, const uint64_t *words)
{
	uint64_t n = pass->geometry->capacity_msgs;

	pass->queue.tail = tail;
	pass->queue.head = UINT64_MAX;
	for (uint64_t i = 0; i < n; i++) {
		int64_t ahead = slot_laps_ahead(words[i], tail / n);
		uint64_t position = (tail / n + (uint64_t)ahead) * n + i;
		int err = pass_slot(pass, words[i], i, position);

		if (err != 0)
			return err;
	}
	if (!pass->has_message)
		pass->queue.head = pass->queue.tail;
	if (pass->queue.head > pass->queue.tail ||
	    pass->queue.tail - pass->queue.head > n)
		return -EBADMSG;
	return 0;
}

static int pass_bounded(struct pass *pass, uint64_t tail)
{
	size_t size_bytes =
		(size_t)pass->geometry->ring_slots * sizeof(uint64_t);
	uint64_t *words = malloc(size_bytes);
	int err;

	if (!words)
		return -ENOMEM;
	err = read_at(pass->fd, words, size_bytes, pass->geometry->ring_offset);
	if (err == 0)
		err = pass_slots(pass, tail, words);
	free(words);
	return err;
}

int peek_queue(int fd, const struct mailbox_geometry *geometry,
	       const struct mailbox_layout *head, struct peek_queue *ret_queue,
	       peek_visit *visit, void *context)
{
	struct pass pass = {
		.fd = fd,
		.geometry = geometry,
		.visit = visit,
		.context = context,
	};
	int err = 0;

	if (mailbox_is_unbounded(geometry)) {
		err = peek_unbounded(fd, geometry, &pass.queue, count_one,
				     &pass);
	} else if (geometry->capacity_msgs == 0) {
		/* Nothing is queued; so many have met. */
		pass.queue.tail = pass.queue.head = head->tail;
	} else {
		err = peek_moved(fd, geometry, &pass.queue.moved);
		if (err == 0)
			err = pass_bounded(&pass, head->tail);
	}
	if (err == 0)
		*ret_queue = pass.queue;
	return err;
}
