/* SPDX-License-Identifier: MIT */
/*
 * Watch words, and ringing for them.
 *
 * Edges: watch-arm (seq_cst RMW on polled, after the word) precedes the look at the
 * mailbox; the swap that makes it ready precedes the look at polled (the fence of
 * bell_settle()). Without it: one looks before the message, the other before the
 * arming, and nobody rings.
 */
#include "core/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/poll.h"
#include "core/hold.h"
#include "core/index.h"
#include "core/meet.h"
#include "core/participant.h"
#include "core/ring.h"
#include "core/ring_unbounded.h"
#include "core/space.h"

/* ---- is it ready? ---- */

static bool has_message(struct tol_link *link)
{
	struct ring_message message;
	struct ring_gate gate;

	if (hold_is_there(link, HOLD_KIND_RETURNED))
		return true;
	if (link->is_meeting)
		return meet_is_there_for(link, BELL_RECEIVERS);
	if (index_is_used(link))
		return index_count(link) > 0 ||
		       ring_find_unmoved(link, &message, &gate) != -EAGAIN;
	return either_find_message(link, &message, &gate) != -EAGAIN;
}

static bool has_room(struct tol_link *link)
{
	struct ring_room room;

	if (link->is_meeting)
		return meet_is_there_for(link, BELL_SENDERS);
	return either_find_room(link, &room) != -EAGAIN;
}

bool watch_is_ready(struct tol_link *link, enum watch_kind kind)
{
	if (load_acquire_64(&link->head->control) != CONTROL_LIVE)
		return true;
	if (kind == WATCH_RECV && link->is_dead_view)
		return hold_is_there(link, HOLD_KIND_DEAD);
	if (load_acquire_32(&link->head->ended))
		return true;
	return kind == WATCH_RECV ? has_message(link) : has_room(link);
}

/* ---- to arm ---- */

static uint32_t bit_of(const struct tol_link *link, enum watch_kind kind)
{
	if (kind == WATCH_SEND)
		return POLLED_SEND;
	return link->is_dead_view ? POLLED_DEAD : POLLED_RECV;
}

static void set_polled(struct tol_link *link, uint32_t bit)
{
	uint32_t seen = load_relaxed_32(&link->head->polled);

	while (!cas_32(&link->head->polled, &seen,
		       (seen | bit) + POLLED_STEP))
		;
	fence_full();
}

uint64_t watch_arm(struct tol_link *link, enum watch_kind kind)
{
	uint64_t *word = &link->own->watch[kind];
	uint64_t seen = load_relaxed_64(word), next;
	uint32_t bit = bit_of(link, kind);

	/* The first of those to whom the end of a lease matters. */
	if (bit != POLLED_SEND &&
	    !(load_acquire_32(&link->head->polled) &
	      (POLLED_RECV | POLLED_DEAD)))
		store_release_64(&link->head->polled_due,
				 load_acquire_64(&link->head->lease_due));
	do {
		next = (seen & ~(WATCH_STEP - 1)) + WATCH_STEP + WATCH_ARMED;
		if (bit == POLLED_DEAD)
			next |= WATCH_DEAD;
	} while (!cas_64(word, &seen, next));
	set_polled(link, bit); /* watch-arm */
	return next;
}

/* ---- to ring ---- */

static void make_name(char name[WATCH_SOCKET_NAME_BYTES], uint64_t id)
{
	snprintf(name, WATCH_SOCKET_NAME_BYTES, ".poll.%016" PRIx64, id);
}

/* What a ringer has open while it rings. */
struct ringing {
	struct tol_link *link;
	struct space space;
	int fd;			/* -1: not yet */
	bool has_space;
	bool has_touched;
};

/*
 * Without a descriptor, or the right to send there: touching the file tells all who
 * have an eye on it, by way of the kernel.
 */
static bool touch(struct ringing *ringing)
{
	struct tol_link *link = ringing->link;
	char path[SPACE_PATH_MAX_BYTES + TOL_NAME_MAX_BYTES + 2];

	if (ringing->has_touched)
		return true;
	snprintf(path, sizeof(path), "%s/%s", link->space_path, link->name);
	ringing->has_touched = sys_touch(-1, path) == 0;
	return ringing->has_touched;
}

static int open_ringing(struct ringing *ringing)
{
	int err = 0;

	if (!ringing->has_space) {
		err = space_open(&ringing->space, ringing->link->space_path,
				 false);
		ringing->has_space = err == 0;
	}
	if (err == 0 && ringing->fd < 0)
		ringing->fd = poll_sender_open();
	return err == 0 && ringing->fd < 0 ? ringing->fd : err;
}

static void close_ringing(struct ringing *ringing)
{
	if (ringing->fd >= 0)
		sys_close(ringing->fd);
	if (ringing->has_space)
		space_close(&ringing->space);
}

/* Return: false somebody may not know; somebody else has to try again */
static bool ring_socket(struct ringing *ringing, const uint64_t *place)
{
	char name[WATCH_SOCKET_NAME_BYTES];
	uint64_t id = load_acquire_64(place);
	int err;

	if (id == 0)
		return true;
	make_name(name, id);
	err = open_ringing(ringing);
	if (err == 0)
		err = poll_sender_ring(ringing->fd, ringing->space.fd, name);
	/* Refused: whose it was has closed it, or is dead. */
	return err == 0 || err == -ECONNREFUSED || touch(ringing);
}

/* Return: false as ring_socket() */
static bool ring_one(struct ringing *ringing, uint32_t number,
		     enum watch_kind kind, uint64_t seen)
{
	struct participant_layout *at = &ringing->link->participants[number];
	uint64_t *word = &at->watch[kind];
	uint64_t rings = (seen & ~WATCH_STATE_MASK) | WATCH_RINGING;

	/* Armed anew meanwhile, by another thread of it, who may be stopped. */
	if ((seen & WATCH_STATE_MASK) == WATCH_ARMED &&
	    !cas_64(word, &seen, rings))
		return (seen & WATCH_STATE_MASK) == WATCH_IDLE;
	if (!ring_socket(ringing, &at->poll_sockets[kind]) ||
	    !ring_socket(ringing, &at->hub_socket))
		return false;
	cas_64(word, &rings, seen & ~WATCH_STATE_MASK);
	return true;
}

static bool is_awaited(uint64_t word, uint32_t bit)
{
	unsigned int state = (unsigned int)(word & WATCH_STATE_MASK);

	if (state != WATCH_ARMED && state != WATCH_RINGING)
		return false;
	return bit == POLLED_SEND ||
	       ((word & WATCH_DEAD) != 0) == (bit == POLLED_DEAD);
}

/*
 * All who are armed for that. Whoever arms after polled was read changes it, so that
 * the bit stays.
 */
static void ring(struct tol_link *link, uint32_t bit)
{
	enum watch_kind kind = bit == POLLED_SEND ? WATCH_SEND : WATCH_RECV;
	struct ringing ringing = { .link = link, .fd = -1 };
	uint32_t seen = load_acquire_32(&link->head->polled);
	uint32_t high = participant_high(link->head);
	bool is_done = true;

	for (uint32_t i = 0; i < high; i++) {
		uint64_t word =
			load_acquire_64(&link->participants[i].watch[kind]);

		if (is_awaited(word, bit) &&
		    !ring_one(&ringing, i, kind, word))
			is_done = false;
	}
	if (is_done)
		cas_32(&link->head->polled, &seen, seen & ~bit);
	close_ringing(&ringing);
}

/* One that ends earlier than those who wait know. */
static void settle_leases(struct tol_link *link, uint32_t polled)
{
	uint64_t known = load_acquire_64(&link->head->polled_due);
	uint64_t due = load_acquire_64(&link->head->lease_due);

	if (!hold_due_is_before(due, known))
		return;
	if (polled & POLLED_RECV)
		ring(link, POLLED_RECV);
	if (polled & POLLED_DEAD)
		ring(link, POLLED_DEAD);
	cas_64(&link->head->polled_due, &known, due);
}

void watch_settle(struct tol_link *link)
{
	uint32_t polled = load_acquire_32(&link->head->polled);

	if (polled & (POLLED_RECV | POLLED_DEAD))
		settle_leases(link, polled);
	if ((polled & POLLED_RECV) &&
	    (load_acquire_32(&link->head->ended) || has_message(link)))
		ring(link, POLLED_RECV);
	if ((polled & POLLED_SEND) &&
	    (load_acquire_32(&link->head->ended) || has_room(link)))
		ring(link, POLLED_SEND);
	if ((polled & POLLED_DEAD) && hold_is_there(link, HOLD_KIND_DEAD))
		ring(link, POLLED_DEAD);
}

void watch_ring_all(struct tol_link *link)
{
	uint32_t polled = load_acquire_32(&link->head->polled);

	for (uint32_t bit = POLLED_RECV; bit <= POLLED_DEAD; bit <<= 1)
		if (polled & bit)
			ring(link, bit);
}

/* ---- sockets ---- */

static int open_in(const struct space *space, struct tol_link *link,
		   uint64_t *ret_id, uint64_t *ret_inode)
{
	char name[WATCH_SOCKET_NAME_BYTES];
	struct sys_stat st;
	int fd, err;

	err = sys_stat_at(space->fd, link->name, &st);
	if (err < 0)
		return err == -ENOENT ? -EIDRM : err;
	do {
		*ret_id = sys_random();
		make_name(name, *ret_id);
		/* Others than we use it: they need not be of our group. */
		fd = *ret_id == 0
			     ? -EEXIST
			     : poll_socket_open(space->fd, name,
						(st.mode & 0022) ||
							st.uid != link->uid,
						ret_inode);
	} while (fd == -EEXIST);
	return fd == -ENOENT ? -EACCES : fd;
}

int watch_socket_open(struct tol_link *link, uint64_t *ret_id,
		      uint64_t *ret_inode)
{
	struct space space;
	int err = space_open(&space, link->space_path, false);

	if (err < 0)
		return err;
	err = open_in(&space, link, ret_id, ret_inode);
	space_close(&space);
	return err;
}

void watch_socket_remove(const char *space_path, uint64_t id)
{
	char name[WATCH_SOCKET_NAME_BYTES];
	struct space space;

	if (id == 0 || space_open(&space, space_path, false) < 0)
		return;
	make_name(name, id);
	sys_unlink(space.fd, name);
	space_close(&space);
}

bool watch_socket_is_remnant(const struct space *space, const char *name)
{
	return strncmp(name, ".poll.", 6) == 0 &&
	       poll_socket_is_open(space->fd, name) == 0;
}

/* ---- those who are gone ---- */

static void remove_if_remnant(const struct tol_link *link, uint64_t id)
{
	char name[WATCH_SOCKET_NAME_BYTES];
	struct space space;

	if (id == 0 || space_open(&space, link->space_path, false) < 0)
		return;
	make_name(name, id);
	if (watch_socket_is_remnant(&space, name))
		sys_unlink(space.fd, name);
	space_close(&space);
}

/* The words go on counting: who is late with an old one changes nothing. */
void watch_forget(struct tol_link *link, uint32_t number)
{
	struct participant_layout *at = &link->participants[number];

	for (int kind = 0; kind < 2; kind++) {
		uint64_t seen = load_acquire_64(&at->watch[kind]);
		uint64_t id = load_acquire_64(&at->poll_sockets[kind]);

		while (!cas_64(&at->watch[kind], &seen,
			       (seen & ~(WATCH_STEP - 1)) + WATCH_STEP))
			;
		store_release_64(&at->poll_sockets[kind], 0);
		remove_if_remnant(link, id);
	}
	remove_if_remnant(link, load_acquire_64(&at->hub_socket));
	store_release_64(&at->hub_socket, 0);
}
