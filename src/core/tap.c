/* SPDX-License-Identifier: MIT */
/* Whoever taps: core/tap.h. */
#include "core/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bell.h"
#include "core/mailbox_make.h"
#include "core/participant.h"
#include "core/ring.h"
#include "core/tap_word.h"

/* 128 MiB: more than all that may wait. */
#define POOL_CHUNKS 2048u

struct tap {
	struct tol_link *tapped;
	uint64_t start_position;
	uint16_t number;
};

/* Forgets the taps that are gone. Return: true and a field that is free */
static bool find_field(struct tol_link *tapped, unsigned int *ret_field)
{
	uint64_t word = load_acquire_64(&tapped->head->taps);

	for (unsigned int i = 0; i < TAPS_MAX; i++) {
		uint16_t number = tap_number(word, i);

		if (number != 0 && tap_is_gone(tapped, number))
			tap_forget(tapped, i, number);
	}
	word = load_acquire_64(&tapped->head->taps);
	for (unsigned int i = 0; i < TAPS_MAX; i++)
		if (tap_number(word, i) == 0) {
			*ret_field = i;
			return true;
		}
	return false;
}

static bool announce(struct tol_link *tapped, uint16_t number)
{
	uint64_t seen = load_acquire_64(&tapped->head->taps);
	unsigned int field;

	for (;;) {
		for (field = 0; field < TAPS_MAX; field++)
			if (tap_number(seen, field) == 0)
				break;
		if (field == TAPS_MAX)
			return false;
		if (cas_64(&tapped->head->taps, &seen,
			   tap_with(seen, field, number)))
			return true;
	}
}

/* With the rights of what it taps: whoever may send there must reach it. */
static int make_file(const struct space *space, const struct tol_link *tapped,
		     struct tol_link *link)
{
	struct sys_stat st;
	int fd, err;

	err = sys_stat_at(space->fd, tapped->name, &st);
	if (err < 0)
		return err;
	fd = mailbox_make_hidden(space, TOL_TAP_CAPACITY_MSGS, POOL_CHUNKS,
				 st.mode & 0777);
	if (fd < 0)
		return fd;
	sys_set_group(fd, st.gid);
	err = sys_stat_fd(fd, &st);
	if (err == 0) {
		link->inode = st.inode;
		link->device = st.device;
		err = link_map_and_join(link, fd);
	}
	/* Alive before it can be seen. */
	if (err == 0)
		err = sys_link_unnamed(fd, space->fd, link->name);
	sys_close(fd);
	return err;
}

static struct tol_link *make_hidden(const struct space *space,
				    const struct tol_link *tapped,
				    unsigned int flags, uint16_t *ret_number,
				    int *ret_err)
{
	char name[TAP_NAME_BYTES];
	struct tol_link *link;

	do {
		*ret_number = (uint16_t)(sys_random() % 0xffff + 1);
		tap_make_name(name, tapped->id, *ret_number);
		link = link_new(name, flags);
		if (!link) {
			*ret_err = -ENOMEM;
			return NULL;
		}
		link->space_path = strdup(space->path);
		*ret_err = -ENOMEM;
		if (link->space_path && link->name) {
			fork_guard_enter();
			*ret_err = make_file(space, tapped, link);
			fork_guard_leave();
		}
		if (*ret_err == 0)
			return link;
		link_free(link);
	} while (*ret_err == -EEXIST);
	return NULL;
}

static void remove_file(const struct tol_link *link)
{
	struct space space;

	store_release_64(&link->head->control, CONTROL_REMOVED);
	if (space_open(&space, link->space_path, false) < 0)
		return;
	sys_unlink(space.fd, link->name);
	space_close(&space);
}

/* How many were sent, ever. */
static int find_tail(struct tol_link *link, uint64_t *ret_position)
{
	struct bell_waiter waiter;
	int err = link_check(link);

	if (err < 0)
		return err;
	/* Capacity 0: it counts those that have met. */
	if (link->is_meeting) {
		*ret_position = load_acquire_64(&link->head->tail);
		return 0;
	}
	bell_begin(&waiter, link, BELL_RECEIVERS, TOL_NOWAIT);
	err = ring_find_tail(link, ret_position);
	bell_end(&waiter);
	return err;
}

/* From the announcement on, all that is sent is either shown or missed. */
static int begin(struct tap *tap)
{
	if (!announce(tap->tapped, tap->number))
		return -EUSERS;
	return find_tail(tap->tapped, &tap->start_position);
}

int tap_open(const struct space *space, const char *name, unsigned int flags,
	     struct tol_link **ret_link)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	struct tol_link *link = NULL;
	unsigned int field;
	int err = -ENOMEM;

	if (!tap)
		return err;
	tap->tapped = link_new(name, 0);
	if (tap->tapped)
		err = link_open_in(tap->tapped, space);
	if (err < 0) {
		if (tap->tapped)
			link_free(tap->tapped);
		free(tap);
		return err;
	}
	if (find_field(tap->tapped, &field))
		link = make_hidden(space, tap->tapped, flags, &tap->number,
				   &err);
	else
		err = -EUSERS;
	if (!link) {
		tol_close(tap->tapped);
		free(tap);
		return err;
	}
	link->tap = tap;
	link->is_outlet = true;
	err = begin(tap);
	if (err < 0)
		tol_close(link);
	else
		*ret_link = link;
	return err;
}

void tap_close(struct tol_link *link)
{
	struct tap *tap = link->tap;

	if (!tap)
		return;
	link->tap = NULL;
	if (link->process_number == fork_process_number()) {
		for (unsigned int i = 0; i < TAPS_MAX; i++)
			tap_clear(tap->tapped, i, tap->number);
		remove_file(link);
	}
	tol_close(tap->tapped);
	free(tap);
}

int tap_check(struct tol_link *link)
{
	struct tol_link *tapped = link->tap->tapped;
	int err = link_check(tapped);

	if (err == 0 && load_acquire_32(&tapped->head->ended))
		err = -ENODATA;
	return err;
}

const struct tol_link *tap_of(const struct tap *tap)
{
	return tap->tapped;
}

int tap_fetch(struct tol_link *link, const struct reading *reading, void *buf,
	      size_t size_bytes, struct tol_message *ret_message)
{
	const uint8_t *bytes = body_at(link, reading);
	uint64_t shown_bytes = reading->body.size_bytes;
	struct tapped_layout tapped;

	if (shown_bytes < sizeof(tapped) || reading->body.flags & BODY_IN_FILE)
		return -EBADMSG;
	shown_bytes -= sizeof(tapped);
	copy_unsettled(&tapped, bytes, sizeof(tapped));
	*ret_message = (struct tol_message){
		.size_bytes = (size_t)shown_bytes,
		.sent_bytes = tapped.size_bytes,
		.tag = tapped.tag,
		.priority = tapped.priority,
		.position = tapped.position,
		.sender_pid = (pid_t)tapped.sender_pid,
		.sender_uid = tapped.sender_uid,
		.sender = tapped.sender,
		.tries = 1,
		.has_segment = (tapped.flags & BODY_HAS_SEGMENT) != 0,
	};
	memcpy(ret_message->segment.bytes, tapped.segment,
	       sizeof(tapped.segment));
	if (shown_bytes > size_bytes)
		return -EMSGSIZE;
	if (shown_bytes > 0)
		copy_unsettled(buf, bytes + sizeof(tapped),
			       (size_t)shown_bytes);
	return 0;
}

/* What was shown is what has ever been in the tap's own mailbox. */
int64_t tol_tap_missed(struct tol_link *link)
{
	uint64_t sent, shown;
	int err = link && link->tap ? 0 : -EINVAL;

	if (err == 0)
		err = find_tail(link, &shown);
	if (err == 0)
		err = find_tail(link->tap->tapped, &sent);
	if (err < 0)
		return err;
	sent -= link->tap->start_position;
	return sent > shown ? (int64_t)(sent - shown) : 0;
}
