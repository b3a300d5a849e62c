/* SPDX-License-Identifier: MIT */
/*
 * A new mailbox of what could be read of a damaged one.
 *
 * It is built under a hidden name, .repair.INODE of the old one, with the bodies
 * that have files of their own linked to a second name. One rename exchanges the two:
 * the repair has happened. Then the old one is removed, with its files.
 *
 * Crash: before the exchange the old one is as it was, and .repair.* is the new one;
 * after it, the other way round. Nobody is alive in it, so clean removes it.
 */
#include "core/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/presence.h"
#include "core/bell.h"
#include "core/body.h"
#include "core/hold.h"
#include "core/index.h"
#include "core/mailbox_make.h"
#include "core/mailbox_state.h"
#include "core/ring.h"

#define NAME_BYTES 48

bool doctor_is_remnant(const struct space *space, const char *name)
{
	struct presence found;
	bool is_remnant;
	int fd;

	if (strncmp(name, ".repair.", 8) != 0)
		return false;
	fd = space_open_object(space, name, false, NULL);
	if (fd < 0)
		return false;
	is_remnant = presence_find(fd, 0, MAILBOX_PARTICIPANTS_MAX,
				   &found) == 0 &&
		     presence_find(fd, PRESENCE_REPAIRER, 1, &found) == 0;
	sys_close(fd);
	return is_remnant;
}

/* ---- one message ---- */

/* What comes before the bytes. */
struct opening {
	struct body_layout body;
	struct body_extra_layout extra;
	struct tol_segment_handle handle;
	struct draft_extra draft;
};

static bool read_opening(const struct exam *exam, const struct found *found,
			 struct opening *ret_opening)
{
	uint64_t offset = exam->geometry.pool_offset +
			  found->unit * MAILBOX_UNIT_BYTES;

	memset(ret_opening, 0, sizeof(*ret_opening));
	if (!exam_read(exam, &ret_opening->body, sizeof(ret_opening->body),
		       offset))
		return false;
	ret_opening->draft.tag = ret_opening->body.tag;
	ret_opening->draft.priority = ret_opening->body.priority;
	if (!(found->flags & BODY_HAS_EXTRA))
		return true;
	if (!exam_read(exam, &ret_opening->extra, sizeof(ret_opening->extra),
		       offset + sizeof(ret_opening->body)))
		return false;
	ret_opening->draft.expires_ns = ret_opening->extra.expires_ns;
	if (found->flags & BODY_HAS_SEGMENT) {
		memcpy(ret_opening->handle.bytes, ret_opening->extra.segment,
		       sizeof(ret_opening->handle.bytes));
		ret_opening->draft.segment = &ret_opening->handle;
	}
	return true;
}

static int copy_body(const struct exam *exam, const struct found *found,
		     struct tol_link *link, const struct opening *opening,
		     struct draft *ret_draft)
{
	size_t size_bytes = (size_t)found->size_bytes;
	uint64_t offset = exam->geometry.pool_offset +
			  found->unit * MAILBOX_UNIT_BYTES +
			  found->offset_bytes;
	char name[BODY_FILE_NAME_BYTES];
	void *bytes;
	int err;

	if (found->flags & BODY_IN_FILE) {
		body_file_make_name(name, exam->head.id, found->sender_number,
				    found->serial);
		return draft_adopt(link, exam->space, name, size_bytes,
				   &opening->draft, ret_draft);
	}
	bytes = malloc(size_bytes + 1);
	if (!bytes)
		return -ENOMEM;
	err = exam_read(exam, bytes, size_bytes, offset)
		      ? draft_make(link, bytes, size_bytes, &opening->draft,
				   ret_draft)
		      : -EBADMSG;
	free(bytes);
	return err;
}

/* A message goes to a hold cell, as it was in one. With capacity 0 it is in no ring. */
static int put_in_cell(const struct found *found, struct tol_link *link,
		       const struct draft *draft)
{
	uint32_t tries = (found->grant - found->first_grant) & HOLD_GRANT_MASK;
	uint64_t bytes = draft->in_file ? sizeof(uint64_t) : found->size_bytes;
	struct ring_message message = { .position = found->position };
	bool is_dead = found->kind == FOUND_DEAD;
	struct ring_gate gate;
	struct hold hold;
	int err = 0;

	if (!link->is_meeting)
		err = ring_find_message(link, &message, &gate);
	if (err == 0)
		err = hold_claim(link, &hold);
	if (err < 0)
		return err;
	hold_fill(link, &hold, message.position, draft->block.unit,
		  found->offset_bytes + bytes, 0);
	if (!link->is_meeting && !ring_take(link, &message, hold.cell))
		return -EBADMSG;
	fetch_add_64(is_dead ? &link->head->dead_letters : &link->head->returns,
		     1);
	store_release_64(&link->holds[hold.cell],
			 hold_make(is_dead ? HOLD_DEAD : HOLD_RETURNED, 0,
				   hold_grant(hold.word) + tries,
				   hold_bump(hold.word) + 2));
	return 0;
}

static int send_found(const struct exam *exam, const struct found *found,
		      struct tol_link *link)
{
	struct ring_room room = { .position = 0 };
	struct opening opening;
	struct body_layout *body;
	struct draft draft;
	int err = 0;

	if (!link->is_meeting)
		err = ring_find_room(link, &room);
	if (err < 0)
		return err;
	if (!read_opening(exam, found, &opening))
		return -EBADMSG;
	err = copy_body(exam, found, link, &opening, &draft);
	if (err < 0)
		return err;
	/* It is not known to anybody yet. */
	body = pool_at(link, draft.block.unit);
	body->sender_pid = opening.body.sender_pid;
	body->sender_uid = opening.body.sender_uid;
	if (link->is_meeting)
		err = put_in_cell(found, link, &draft);
	else
		err = ring_publish(link, draft.block.unit, &room);
	if (err < 0) {
		draft_drop(link, &draft);
		return err;
	}
	draft_commit(link, &draft, link->is_meeting ? 0 : room.position + 1);
	return found->kind == FOUND_QUEUED || link->is_meeting
		       ? 0 : put_in_cell(found, link, &draft);
}

/* Receivers are to look for the highest priority, as before. */
static int start_index(const struct exam *exam, struct tol_link *link)
{
	return exam->head.sorted == SORTED_NOT ? 0 : index_start(link);
}

/* Cells first: the ring must have room for all that are queued. */
static int send_all(const struct exam *exam, struct tol_link *link)
{
	struct bell_waiter waiter;
	int err = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t i = 0; i < exam->found_count && err == 0; i++) {
			const struct found *found = &exam->found[i];

			if ((found->kind == FOUND_QUEUED) != (pass == 1))
				continue;
			bell_begin(&waiter, link, BELL_SENDERS, TOL_NOWAIT);
			err = send_found(exam, found, link);
			bell_end(&waiter);
		}
	}
	return err < 0 ? err : start_index(exam, link);
}

/* ---- the mailbox ---- */

/* What else was set, as far as it makes sense. Nobody can see it yet. */
static void set_head(const struct exam *exam, struct mailbox_layout *head)
{
	const struct mailbox_layout *old = &exam->head;

	head->created_unix_ns = old->created_unix_ns;
	head->creator_pid = old->creator_pid;
	head->memory_limit_bytes = old->memory_limit_bytes;
	head->sender_quota_bytes = old->sender_quota_bytes;
	head->ended = old->ended == 1;
	if (!mailbox_is_unbounded(&exam->geometry) && old->limit_msgs > 0 &&
	    old->limit_msgs <= head->capacity_msgs)
		head->limit_msgs = old->limit_msgs;
}

static int set_owner(const struct exam *exam, int fd)
{
	struct sys_stat st;
	int err = sys_stat_fd(fd, &st);

	if (err < 0 || (st.uid == exam->st.uid && st.gid == exam->st.gid))
		return err;
	return st.uid == exam->st.uid
		       ? sys_set_group(fd, exam->st.gid)
		       : sys_set_owner(fd, exam->st.uid, exam->st.gid);
}

static int give_hidden_name(const struct exam *exam, int fd, const char *hidden)
{
	int err = sys_link_unnamed(fd, exam->space->fd, hidden);

	if (err != -EEXIST || !doctor_is_remnant(exam->space, hidden))
		return err;
	mailbox_finish_removed(exam->space, hidden);
	return sys_link_unnamed(fd, exam->space->fd, hidden);
}

/* Joined before it can be seen, so that clean leaves it alone. */
static int make_new(const struct exam *exam, struct tol_link *link)
{
	struct sys_stat st;
	int err, fd = mailbox_make_like(exam->space, &exam->head,
					exam->st.mode & 0777);

	if (fd < 0)
		return fd;
	err = set_owner(exam, fd);
	if (err == 0)
		err = sys_stat_fd(fd, &st);
	if (err == 0) {
		link->inode = st.inode;
		link->device = st.device;
		err = link_map_and_join(link, fd);
	}
	if (err == 0)
		err = give_hidden_name(exam, fd, link->name);
	sys_close(fd);
	return err;
}

/*
 * If somebody has removed the old one meanwhile and made another under its name,
 * that one is put back.
 */
static int exchange(const struct exam *exam, const char *hidden,
		    const char *name)
{
	struct sys_stat st;
	int err = sys_rename_exchange(exam->space->fd, hidden, name);

	if (err < 0)
		return err == -EINVAL || err == -ENOSYS ? -EOPNOTSUPP : err;
	if (sys_stat_at(exam->space->fd, hidden, &st) == 0 &&
	    st.inode == exam->st.inode)
		return 0;
	err = sys_rename_exchange(exam->space->fd, hidden, name);
	return err < 0 ? err : -EBUSY;
}

static int build(const struct exam *exam, struct tol_link *link,
		 const char *hidden, const char *name)
{
	int err = make_new(exam, link);

	if (err < 0)
		return err;
	err = send_all(exam, link);
	if (err == 0) {
		set_head(exam, link->head);
		err = exchange(exam, hidden, name);
	}
	return err;
}

int exam_rebuild(const struct exam *exam, const char *name)
{
	struct tol_link *link;
	char hidden[NAME_BYTES];
	struct sys_stat st;
	uint64_t inode;
	int err = -ENOMEM;

	snprintf(hidden, sizeof(hidden), ".repair.%llu",
		 (unsigned long long)exam->st.inode);
	link = link_new(hidden, TOL_SEND | TOL_RECV | TOL_SPIN_NEVER);
	if (!link)
		return err;
	link->space_path = strdup(exam->space->path);
	if (link->space_path && link->name)
		err = build(exam, link, hidden, name);
	inode = link->inode;
	if (link->own)
		tol_close(link);
	else
		link_free(link);
	/* The old one, or one that was not finished. */
	if (sys_stat_at(exam->space->fd, hidden, &st) == 0 &&
	    st.inode == (err == 0 ? exam->st.inode : inode))
		mailbox_finish_removed(exam->space, hidden);
	if (err == 0 && exam->head.has_body_files)
		mailbox_remove_body_files(exam->space->fd, exam->head.id);
	return err;
}
