/* SPDX-License-Identifier: MIT */
#include "core/peek.h"

#include <errno.h>
#include <stdlib.h>

#include "base/sys.h"

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

static int read_body(int fd, const struct mailbox_geometry *geometry,
		     uint64_t unit, struct peek_body *ret_body)
{
	uint64_t offset = geometry->pool_offset + unit * MAILBOX_UNIT_BYTES;
	int err;

	if (unit > (geometry->file_bytes - geometry->pool_offset) /
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
		if (slot_state(word) != SLOT_FULL)
			return slot_state(word) ? 0 : -EBADMSG;
		err = read_body(fd, geometry, slot_unit(word), ret_body);
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
		bad = err < 0 ? err : read_body(fd, geometry,
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

static void count_body(const struct body_layout *body, struct peek_queue *queue)
{
	queue->bytes += body->size_bytes;
	if (body->flags & BODY_IN_FILE)
		queue->in_files_bytes +=
			(body->size_bytes + MAILBOX_PAGE_BYTES - 1) /
			MAILBOX_PAGE_BYTES * MAILBOX_PAGE_BYTES;
}

/*
 * The hints say which lap it is; the slots say the rest. While others send and
 * receive the slots are of slightly different moments: then what is counted
 * lies between the true numbers of the beginning and the end.
 */
static int scan_slots(int fd, const struct mailbox_geometry *geometry,
		      const struct mailbox_layout *head, uint64_t *words,
		      struct peek_queue *queue)
{
	uint64_t n = geometry->capacity_msgs;
	bool has_full = false;

	queue->tail = head->tail;
	queue->head = UINT64_MAX;
	queue->bytes = 0;
	queue->in_files_bytes = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t base_lap = head->tail / n;
		int64_t ahead = slot_laps_ahead(words[i], base_lap);
		uint64_t position = (base_lap + (uint64_t)ahead) * n + i;
		struct peek_body body;
		int err;

		if (slot_state(words[i]) == SLOT_FULL) {
			if (position + 1 > queue->tail)
				queue->tail = position + 1;
			if (position < queue->head)
				queue->head = position;
			has_full = true;
			err = peek_slot(fd, geometry, i, &body);
			if (err < 0)
				return err;
			if (err == 1)
				count_body(&body.body, queue);
		} else if (slot_state(words[i]) == SLOT_EMPTY) {
			/* The position a lap before was filled and consumed. */
			if (position >= n && position - n + 1 > queue->tail)
				queue->tail = position - n + 1;
		} else if (slot_state(words[i]) == SLOT_TAKEN) {
			if (slot_unit(words[i]) == SLOT_UNIT_END)
				position--;
			if (position + 1 > queue->tail)
				queue->tail = position + 1;
		} else {
			return -EBADMSG;
		}
	}
	if (!has_full)
		queue->head = queue->tail;
	if (queue->head > queue->tail || queue->tail - queue->head > n)
		return -EBADMSG;
	return 0;
}

static int count_one(const struct peek_body *body, void *context)
{
	count_body(&body->body, context);
	return 0;
}

int peek_queue(int fd, const struct mailbox_geometry *geometry,
	       const struct mailbox_layout *head, struct peek_queue *ret_queue)
{
	size_t size_bytes = geometry->ring_slots * sizeof(uint64_t);
	struct peek_queue queue = { 0 };
	uint64_t *words;
	int err;

	if (mailbox_is_unbounded(geometry)) {
		err = peek_unbounded(fd, geometry, &queue, count_one, &queue);
		if (err == 0)
			*ret_queue = queue;
		return err;
	}
	/* Capacity 0: nothing is queued; so many have met. */
	if (geometry->capacity_msgs == 0) {
		queue.tail = queue.head = head->tail;
		*ret_queue = queue;
		return 0;
	}
	words = malloc(size_bytes);
	if (!words)
		return -ENOMEM;
	err = sys_pread(fd, words, size_bytes, geometry->ring_offset) ==
			      (ssize_t)size_bytes
		      ? scan_slots(fd, geometry, head, words, &queue)
		      : -EBADMSG;
	free(words);
	if (err == 0)
		*ret_queue = queue;
	return err;
}
