/* SPDX-License-Identifier: MIT */
/* Whoever sends while somebody taps: core/tap.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/presence.h"
#include "core/bell.h"
#include "core/mailbox_make.h"
#include "core/ring.h"
#include "core/tap.h"
#include "core/tap_word.h"

/* One that cannot be opened now, though it is there. */
#define RETRY_NS 100000000

/* How often a full one is asked whether it is alive. */
#define ASK_NS 10000000

void tap_make_name(char name[TAP_NAME_BYTES], uint64_t id, uint16_t number)
{
	snprintf(name, TAP_NAME_BYTES, ".tap.%016" PRIx64 ".%04x", id, number);
}

void tap_clear(struct tol_link *tapped, unsigned int field, uint16_t number)
{
	uint64_t seen = load_relaxed_64(&tapped->head->taps);

	while (tap_number(seen, field) == number)
		if (cas_64(&tapped->head->taps, &seen,
			   tap_with(seen, field, 0)))
			return;
}

/* A tap is participant 0 of its mailbox from before that has a name. */
bool tap_is_remnant(const struct space *space, const char *name)
{
	struct presence found;
	bool is_gone;
	int fd;

	if (strncmp(name, ".tap.", 5) != 0)
		return false;
	fd = space_open_object(space, name, false, NULL);
	if (fd < 0)
		return false;
	is_gone = presence_find(fd, 0, 1, &found) == 0;
	sys_close(fd);
	return is_gone;
}

bool tap_is_gone(const struct tol_link *tapped, uint16_t number)
{
	char name[TAP_NAME_BYTES];
	struct space space;
	struct sys_stat st;
	bool is_gone;

	if (space_open(&space, tapped->space_path, false) < 0)
		return false;
	tap_make_name(name, tapped->id, number);
	is_gone = sys_stat_at(space.fd, name, &st) == -ENOENT ||
		  tap_is_remnant(&space, name);
	space_close(&space);
	return is_gone;
}

void tap_forget(struct tol_link *tapped, unsigned int field, uint16_t number)
{
	char name[TAP_NAME_BYTES];
	struct space space;

	tap_clear(tapped, field, number);
	if (space_open(&space, tapped->space_path, false) < 0)
		return;
	tap_make_name(name, tapped->id, number);
	if (tap_is_remnant(&space, name))
		sys_unlink(space.fd, name);
	space_close(&space);
}

static void close_outlet(struct tap_outlet *outlet)
{
	if (outlet->link)
		tol_close(outlet->link);
	*outlet = (struct tap_outlet){ .number = 0 };
}

void tap_close_outlets(struct tol_link *link)
{
	for (unsigned int i = 0; i < TAPS_MAX; i++)
		close_outlet(&link->outlets[i]);
}

static int open_outlet(const struct tol_link *link, struct tap_outlet *outlet)
{
	char name[TAP_NAME_BYTES];
	struct tol_link *opened;
	struct space space;
	int err;

	err = space_open(&space, link->space_path, false);
	if (err < 0)
		return err;
	tap_make_name(name, link->id, outlet->number);
	opened = link_new(name, TOL_SEND);
	err = opened ? link_open_in(opened, &space) : -ENOMEM;
	space_close(&space);
	if (err < 0) {
		if (opened)
			link_free(opened);
		return err;
	}
	opened->is_outlet = true;
	outlet->link = opened;
	return 0;
}

/* Return: 0; -EAGAIN full; errors of tol_send() */
static int send_copy(const struct tol_link *link, struct tol_link *to,
		     uint64_t position, const struct tap_copy *copy)
{
	uint8_t bytes[sizeof(struct tapped_layout) + TOL_TAP_BODY_MAX_BYTES];
	const struct draft_extra *extra = copy->extra;
	struct tapped_layout head = {
		.position = position,
		.size_bytes = copy->size_bytes,
		.tag = extra->tag,
		.priority = extra->priority,
		.sender_pid = link->pid,
		.sender_uid = link->uid,
		.sender = link->sender,
		.flags = extra->segment ? BODY_HAS_SEGMENT : 0,
	};
	size_t size_bytes = copy->size_bytes < TOL_TAP_BODY_MAX_BYTES
				    ? copy->size_bytes
				    : TOL_TAP_BODY_MAX_BYTES;
	struct ring_room room;
	int err = link_check(to);

	if (err == 0)
		err = ring_find_room(to, &room);
	if (err < 0)
		return err;
	if (extra->segment)
		memcpy(head.segment, extra->segment->bytes,
		       sizeof(head.segment));
	memcpy(bytes, &head, sizeof(head));
	if (size_bytes > 0)
		memcpy(bytes + sizeof(head), copy->body, size_bytes);
	return tol_send(to, bytes, sizeof(head) + size_bytes, TOL_NOWAIT);
}

/* What is in the way: the tap is slow, or gone. Return: it is gone */
static bool is_gone_after(struct tol_link *link, struct tap_outlet *outlet,
			  int err)
{
	int64_t now_ns;

	if (err == 0)
		return false;
	if (err == -EIDRM || err == -EBADMSG || err == -ENOENT)
		return true;
	now_ns = link->futex->now_ns();
	if (!outlet->link)
		outlet->retry_ns = now_ns + RETRY_NS;
	if (now_ns < outlet->asked_ns + ASK_NS)
		return false;
	outlet->asked_ns = now_ns;
	return tap_is_gone(link, outlet->number);
}

static void show_one(struct tol_link *link, unsigned int field,
		     uint16_t number, uint64_t position,
		     const struct tap_copy *copy)
{
	struct tap_outlet *outlet = &link->outlets[field];
	int err = 0;

	if (outlet->number != number) {
		close_outlet(outlet);
		outlet->number = number;
	}
	if (number == 0)
		return;
	if (!outlet->link) {
		if (link->futex->now_ns() < outlet->retry_ns)
			return;
		err = open_outlet(link, outlet);
	}
	if (err == 0)
		err = send_copy(link, outlet->link, position, copy);
	if (is_gone_after(link, outlet, err)) {
		close_outlet(outlet);
		tap_forget(link, field, number);
	}
}

void tap_show(struct tol_link *link, uint64_t position,
	      const struct tap_copy *copy)
{
	uint64_t word = load_acquire_64(&link->head->taps);
	bool entered;

	if (link->is_outlet)
		return;
	/* From here on this thread is armed for other mailboxes at times. */
	bell_settle(link);
	entered = lock_enter(&link->tap_lock);
	for (unsigned int i = 0; i < TAPS_MAX; i++)
		show_one(link, i, tap_number(word, i), position, copy);
	store_relaxed_64(&link->taps_known, word);
	lock_leave(&link->tap_lock, entered);
}
