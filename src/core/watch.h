/* SPDX-License-Identifier: MIT */
#ifndef CORE_WATCH_H
#define CORE_WATCH_H

/*
 * Those who wait outside of a call: they poll a descriptor (descriptor.h), or wait
 * for many mailboxes at once (hub.h). doc/mailbox-protocol.md, section 13;
 * models/watch.pml.
 *
 * Each participant has a watch word for what it may receive and one for room, with
 * the names of sockets that make it ready. Who waits arms its word, says so in
 * polled and looks; who makes a mailbox ready, or passes by, rings all that are
 * armed: RINGING, then the sockets, then IDLE. So a word that is still ARMED as
 * its owner left it has not been rung by anybody, and nobody is about to; whoever
 * sees RINGING rings, too.
 *
 * Crash: a ringer that is killed has closed the mailbox, and the kernel tells all
 * who wait (deaths.h). Stop: the next operation rings.
 */

#include "core/link.h"

enum watch_kind {
	WATCH_RECV,		/* a message; of NAME:dead a dead letter */
	WATCH_SEND,		/* room */
};

/* Need a call of that kind not wait? Also if it would only report an error. */
bool watch_is_ready(struct tol_link *link, enum watch_kind kind);

/**
 * watch_arm - be rung when it is ready; then look
 *
 * Return: the word, for watch_is_armed()
 */
uint64_t watch_arm(struct tol_link *link, enum watch_kind kind);

/* Has nobody rung since? @armed may be 0: never armed */
static inline bool watch_is_armed(const struct tol_link *link,
				  enum watch_kind kind, uint64_t armed)
{
	return armed != 0 &&
	       load_after_reads_64(&link->own->watch[kind]) == armed;
}

/* For bell_settle_slow(): rings those for whom it is ready. */
void watch_settle(struct tol_link *link);

/* The mailbox has an end or is quarantined: all. */
void watch_ring_all(struct tol_link *link);

/* Of a number whose owner is gone, or of our own: it waits no more. */
void watch_forget(struct tol_link *link, uint32_t number);

/* ---- sockets in a space: .poll.ID ---- */

struct space;

#define WATCH_SOCKET_NAME_BYTES 32

/* Return: descriptor of a new one with a new name; -errno */
int watch_socket_open(struct tol_link *link, uint64_t *ret_id,
		      uint64_t *ret_inode);
void watch_socket_remove(const char *space_path, uint64_t id);

/* Is it the name of one that nobody has open any more? */
bool watch_socket_is_remnant(const struct space *space, const char *name);

#endif
