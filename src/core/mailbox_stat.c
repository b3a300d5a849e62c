/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/presence.h"
#include "core/peek.h"

/* Before a mailbox is called damaged. */
#define LOOKS_MAX 8

static void count_participant(const struct participant_layout *record,
			      bool alive, struct tol_mailbox_stat *stat)
{
	if (!alive) {
		stat->dead_count++;
		return;
	}
	if (record->flags & PARTICIPANT_MAY_SEND)
		stat->senders_count++;
	if (record->flags & PARTICIPANT_MAY_RECV)
		stat->receivers_count++;
	stat->waiting_senders_count += record->waiting_send;
	stat->waiting_receivers_count += record->waiting_recv;
}

static int stat_participants(int fd, const struct mailbox_layout *head,
			     const struct mailbox_geometry *geometry,
			     struct tol_mailbox_stat *stat,
			     void (*visit)(const struct tol_participant_stat *,
					   void *context),
			     void *context)
{
	uint32_t high = head->participants_high;

	if (high > MAILBOX_PARTICIPANTS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < high; i++) {
		struct participant_layout record;
		struct tol_participant_stat one;
		struct presence found;
		int err;

		if (sys_pread(fd, &record, sizeof(record),
			      geometry->participants_offset +
				      i * sizeof(record)) !=
		    (ssize_t)sizeof(record))
			return -EBADMSG;
		if (record.state != PARTICIPANT_JOINED)
			continue;
		err = presence_find(fd, i, 1, &found);
		if (err < 0)
			return err;
		count_participant(&record, err == 1, stat);
		if (!visit)
			continue;
		one = (struct tol_participant_stat){
			.pid = (pid_t)record.pid,
			.may_send = (record.flags & PARTICIPANT_MAY_SEND) != 0,
			.may_recv = (record.flags & PARTICIPANT_MAY_RECV) != 0,
			.alive = err == 1,
			.waiting_send = record.waiting_send,
			.waiting_recv = record.waiting_recv,
		};
		memcpy(one.program, record.program, sizeof(one.program) - 1);
		visit(&one, context);
	}
	return 0;
}

/* What is out of the queue. */
static int stat_holds(int fd, const struct mailbox_geometry *geometry,
		      struct tol_mailbox_stat *stat)
{
	uint32_t high;
	int err = peek_holds_high(fd, &high);

	for (uint32_t i = 0; i < high && err >= 0; i++) {
		struct peek_hold hold;

		err = peek_hold(fd, geometry, i, &hold);
		if (err != 1)
			continue;
		switch (hold_state(hold.word)) {
		case HOLD_RETURNED:
			stat->returned_msgs++;
			stat->queued_msgs++;
			stat->queued_bytes += hold.body.body.size_bytes;
			break;
		case HOLD_DEAD:
			stat->dead_msgs++;
			break;
		case HOLD_HELD:
		case HOLD_HELD_DEAD:
			stat->held_msgs++;
			break;
		}
		if (hold.body.body.flags & BODY_IN_FILE)
			stat->memory_bytes += (hold.body.body.size_bytes +
					       MAILBOX_PAGE_BYTES - 1) /
					      MAILBOX_PAGE_BYTES *
					      MAILBOX_PAGE_BYTES;
	}
	return err < 0 ? err : 0;
}

static enum tol_mailbox_state state_of(const struct mailbox_layout *head)
{
	switch (head->control & CONTROL_STATE_MASK) {
	case CONTROL_LIVE:
	case CONTROL_REMOVING:
		return TOL_MAILBOX_LIVE;
	case CONTROL_REMOVED:
		return TOL_MAILBOX_REMOVED;
	default:
		return TOL_MAILBOX_QUARANTINED;
	}
}

static int count_indexed(const struct peek_body *body, void *context)
{
	peek_count(body, context);
	return 0;
}

/* Slots of a long ring in full use may be too far apart to make sense. */
static int stat_queue(int fd, struct mailbox_layout *head,
		      struct mailbox_geometry *geometry,
		      struct peek_queue *queue)
{
	int err = -EBADMSG;

	for (int tries = 0; tries < LOOKS_MAX; tries++) {
		struct peek_moved after;

		err = peek_head(fd, head, geometry);
		if (err < 0)
			return err;
		err = peek_queue(fd, geometry, head, queue, NULL, NULL);
		if (err == 0)
			err = peek_moved(fd, geometry, &after);
		if (err < 0 && err != -EBADMSG)
			return err;
		/* What has left the ring meanwhile is in neither count. */
		if (err == 0 &&
		    after.moved_below == queue->moved.moved_below)
			break;
	}
	return err < 0 ? err : peek_index(fd, geometry, count_indexed, queue);
}

static void stat_counts(const struct peek_queue *queue,
			struct tol_mailbox_stat *stat)
{
	uint64_t received = queue->head;

	/* In the ring nothing lies below. */
	if (received < queue->moved.moved_below)
		received = queue->moved.moved_below;
	received -= queue->moved.moved_below - queue->moved.received_count;
	stat->sent_msgs = queue->tail;
	stat->received_msgs = received < queue->tail ? received : queue->tail;
	stat->queued_msgs = queue->tail - stat->received_msgs;
	stat->queued_bytes = queue->bytes;
}

static int stat_open(int fd, const struct sys_stat *st,
		     struct tol_mailbox_stat *ret_stat,
		     void (*visit)(const struct tol_participant_stat *,
				   void *context),
		     void *context)
{
	struct mailbox_geometry geometry;
	struct mailbox_layout head;
	struct peek_queue queue = { 0 };
	struct tol_mailbox_stat stat = { 0 };
	int err;

	err = peek_head(fd, &head, &geometry);
	if (err < 0)
		return err;
	err = stat_queue(fd, &head, &geometry, &queue);
	if (err < 0 && err != -EBADMSG)
		return err;
	stat.state = err == -EBADMSG ? TOL_MAILBOX_QUARANTINED
				     : state_of(&head);
	stat.layout_version = head.object.layout_version;
	stat.capacity_msgs = head.limit_msgs;
	stat.capacity_max_msgs = head.capacity_msgs;
	stat.is_ended = head.ended != 0;
	stat.memory_limit_bytes = head.memory_limit_bytes;
	stat.sender_quota_bytes = head.sender_quota_bytes;
	stat_counts(&queue, &stat);
	stat.memory_bytes = st->memory_bytes + queue.in_files_bytes;
	stat.mode = st->mode & 07777;
	stat.uid = st->uid;
	stat.gid = st->gid;
	stat.creator_pid = (pid_t)head.creator_pid;
	stat.created_unix_ns = head.created_unix_ns;
	err = stat_holds(fd, &geometry, &stat);
	if (err == -EBADMSG)
		stat.state = TOL_MAILBOX_QUARANTINED;
	else if (err < 0)
		return err;
	err = stat_participants(fd, &head, &geometry, &stat, visit, context);
	if (err == 0)
		*ret_stat = stat;
	return err;
}

int tol_mailbox_stat(const char *name, const struct tol_mailbox_opts *opts,
		     struct tol_mailbox_stat *ret_stat,
		     void (*visit)(const struct tol_participant_stat *,
				   void *context),
		     void *context)
{
	struct sys_stat st;
	int fd, err;

	if (!ret_stat)
		return -EINVAL;
	fd = peek_open(name, opts, &st);
	if (fd < 0)
		return fd;
	err = stat_open(fd, &st, ret_stat, visit, context);
	sys_close(fd);
	return err;
}
