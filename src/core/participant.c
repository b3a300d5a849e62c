/* SPDX-License-Identifier: MIT */
/*
 * Crash: the lock is taken first, by the kernel; the record says JOINED last.
 * A record whose lock nobody holds is that of a dead or departed one,
 * whatever it says. Killed while inheriting or reaping: the lock is free
 * again, and the next one finds chunks that are still owned by the number, or
 * already free. Doing it twice changes nothing.
 *
 * participant-tail: T is read after the lock is taken. Whoever owned the number
 * cannot publish any more, so all of its messages are below T. Read before, a
 * message sent in between would lie in memory that is reused.
 */
#include "core/participant.h"

#include <errno.h>
#include <string.h>

#include "base/presence.h"
#include "core/bell.h"
#include "core/body_file.h"
#include "core/collect.h"
#include "core/hold.h"
#include "core/identity.h"
#include "core/index_wait.h"
#include "core/inside.h"
#include "core/ring.h"
#include "core/space.h"
#include "core/watch.h"

/* How many records of living ones a newcomer tests for having died. */
#define PROBES_COUNT 8u

uint32_t participant_high(const struct mailbox_layout *head)
{
	uint32_t high = load_acquire_32(&head->participants_high);

	return high < MAILBOX_PARTICIPANTS_MAX ? high
					       : MAILBOX_PARTICIPANTS_MAX;
}

static void raise_high(struct mailbox_layout *head, uint32_t high)
{
	uint32_t seen = load_relaxed_32(&head->participants_high);

	while (seen < high)
		if (cas_32(&head->participants_high, &seen, high))
			return;
}

int link_reopen(const struct tol_link *link, bool writable)
{
	struct space space;
	struct sys_stat st;
	int fd, err;

	err = space_open(&space, link->space_path, false);
	if (err < 0)
		return err;
	fd = space_open_object(&space, link->name, writable, &st);
	space_close(&space);
	if (fd >= 0 && (st.inode != link->inode || st.device != link->device)) {
		sys_close(fd);
		return -ENOENT;
	}
	return fd;
}

static bool says_joined(const struct tol_link *link, uint32_t number)
{
	return load_relaxed_32(&link->participants[number].state) ==
	       PARTICIPANT_JOINED;
}

/* Return: 0 and a number whose lock is ours; -EUSERS; -errno */
static int take_number(struct tol_link *link, int fd, uint32_t *ret_number)
{
	uint32_t high = participant_high(link->head);
	uint32_t start = high ? (uint32_t)(sys_random() % high) : 0;
	int err = -EAGAIN;

	for (uint32_t i = 0; i < high && err == -EAGAIN; i++)
		if (!says_joined(link, i)) {
			err = presence_take(fd, i, false);
			*ret_number = i;
		}
	for (uint32_t i = 0; i < high && i < PROBES_COUNT && err == -EAGAIN;
	     i++) {
		*ret_number = (start + i) % high;
		err = presence_take(fd, *ret_number, false);
	}
	for (uint32_t i = high; i < MAILBOX_PARTICIPANTS_MAX && err == -EAGAIN;
	     i++) {
		err = presence_take(fd, i, false);
		*ret_number = i;
	}
	for (uint32_t i = 0; i < high && err == -EAGAIN; i++) {
		err = presence_take(fd, i, false);
		*ret_number = i;
	}
	return err == -EAGAIN ? -EUSERS : err;
}

/*
 * Records beyond the mark may have no memory yet; all below it must have. Others
 * who took numbers in between may not have come to that, so it is done for them.
 */
static int back_record(struct tol_link *link, uint32_t number)
{
	uint32_t high = participant_high(link->head);
	uintptr_t first = (uintptr_t)&link->participants[high];
	uintptr_t end = (uintptr_t)&link->participants[number + 1];
	int err;

	if (number < high)
		return 0;
	first &= ~(uintptr_t)(MAILBOX_PAGE_BYTES - 1);
	err = sys_populate((void *)first, end - first, true);
	if (err == 0)
		raise_high(link->head, number + 1);
	return err;
}

static void write_record(struct tol_link *link)
{
	struct participant_layout *own = link->own;
	uint32_t flags = 0;

	if (link->flags & TOL_SEND)
		flags |= PARTICIPANT_MAY_SEND;
	if (link->flags & TOL_RECV)
		flags |= PARTICIPANT_MAY_RECV;
	store_relaxed_32(&own->pid, link->pid);
	store_relaxed_32(&own->uid, link->uid);
	store_relaxed_32(&own->flags, flags);
	store_relaxed_32(&own->waiting_send, 0);
	store_relaxed_32(&own->waiting_recv, 0);
	store_relaxed_32(&own->body_drafts_count, 0);
	sys_program_name(own->program);
	store_release_32(&own->state, PARTICIPANT_JOINED);
}

/* Armed: killed in between, a sleeper wakes and sees what came back. */
static void return_holds_of(struct tol_link *link, uint32_t number)
{
	struct bell_waiter waiter;

	bell_begin(&waiter, link, BELL_RECEIVERS, TOL_NOWAIT);
	hold_return_all_of(link, number);
	index_wait_drop_all_of(link, number);
	bell_end(&waiter);
}

int participant_join(struct tol_link *link, int fd)
{
	uint32_t number = 0;
	uint64_t tail;
	int err;

	err = take_number(link, fd, &number);
	if (err == 0)
		err = back_record(link, number);
	if (err < 0)
		return err;
	link->number = number;
	link->own = &link->participants[number];
	collect_release(link, number);
	for (uint32_t i = 0; i < PARTICIPANT_INSIDE_COUNT; i++)
		store_relaxed_32(&link->own->inside[i], 0);
	inside_enter(link);
	if (load_relaxed_32(&link->own->state) == PARTICIPANT_JOINED)
		body_file_sweep(link, fd, number);
	return_holds_of(link, number);
	watch_forget(link, number);
	err = ring_find_tail(link, &tail); /* participant-tail */
	if (err == 0)
		err = pool_adopt(link, tail);
	if (err == 0)
		err = identity_note(link, fd);
	if (err == 0)
		write_record(link);
	inside_leave(link);
	return err;
}

void participant_leave(struct tol_link *link)
{
	return_holds_of(link, link->number);
	watch_forget(link, link->number);
	store_release_32(&link->own->state, PARTICIPANT_FREE);
}

/* One number that nobody holds. Return: 1 cleaned, 0 nothing to do or not yet */
static int reap(struct tol_link *link, int fd, uint32_t number)
{
	struct participant_layout *record = &link->participants[number];
	bool says_dead, has_chunks;
	uint64_t tail;
	int cleaned = 0;

	if (presence_take(fd, number, false) < 0)
		return 0;
	collect_release(link, number);
	return_holds_of(link, number);
	watch_forget(link, number);
	says_dead = says_joined(link, number);
	has_chunks = pool_has_chunks_of(link, number);
	if (says_dead)
		body_file_sweep(link, fd, number);
	if ((says_dead || has_chunks) &&
	    ring_find_tail(link, &tail) == 0) { /* participant-tail */
		/* Of a heap they can be closed, whatever is queued. */
		if (link->has_heap || ring_is_drained(link, tail)) {
			store_relaxed_32(&record->current_chunk, 0);
			has_chunks = !pool_free_chunks_of(link, number, tail);
			cleaned = says_dead || !has_chunks;
		}
		if (!has_chunks || says_dead) {
			store_release_32(&record->state, PARTICIPANT_FREE);
			cleaned = 1;
		}
	}
	presence_drop(fd, number);
	return cleaned;
}

/* The fork guard: a child must not inherit a description that bears locks. */
int participant_reap_all(struct tol_link *link)
{
	uint32_t high = participant_high(link->head);
	int fd, cleaned = 0;

	fork_guard_enter();
	inside_enter(link);
	fd = link_reopen(link, true);
	if (fd >= 0) {
		for (uint32_t i = 0; i < high; i++)
			if (i != link->number)
				cleaned += reap(link, fd, i);
		sys_close(fd);
	}
	inside_leave(link);
	fork_guard_leave();
	return cleaned;
}

bool participant_is_alone_at(const struct tol_link *link, int fd)
{
	struct presence found;

	return presence_find(fd, 0, link->number, &found) == 0 &&
	       presence_find(fd, link->number + 1,
			     MAILBOX_PARTICIPANTS_MAX - link->number - 1,
			     &found) == 0;
}

bool participant_is_alone(struct tol_link *link)
{
	int fd = link_reopen(link, false);
	bool alone;

	if (fd < 0)
		return false;
	alone = participant_is_alone_at(link, fd);
	sys_close(fd);
	return alone;
}
