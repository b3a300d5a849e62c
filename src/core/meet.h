/* SPDX-License-Identifier: MIT */
#ifndef CORE_MEET_H
#define CORE_MEET_H

/*
 * Capacity 0: senders and receivers that wait for each other, in the order in
 * which they came. doc/mailbox-protocol.md, section 9; models/meet.pml.
 */

#include "core/bell.h"
#include "core/hold.h"

/* One who waits, or the place for the next one. */
struct meet_spot {
	uint64_t position;
	uint64_t word;
	struct select_key key;	/* of an offer, if anybody selects */
};

/* Whom a call would meet. */
struct meet_wish {
	enum bell_kind kind;
	const struct tol_select *select;	/* of a receiver, or NULL */
	struct select_key key;			/* of a sender's message */
};

/**
 * meet_look - is somebody of the other side waiting who suits?
 *
 * Return: 1 and who comes first; 0 and where to wait; -EUSERS too many wait; -EBADMSG
 */
int meet_look(struct tol_link *link, const struct meet_wish *wish,
	      struct meet_spot *ret_spot);

/* Does anybody of the other side wait, whatever for? Also if that cannot be told. */
bool meet_is_there_for(struct tol_link *link, enum bell_kind kind);

/* Is who was found still there? What was read of its message is then whole. */
bool meet_is_there(const struct tol_link *link, const struct meet_spot *spot);

/* The claim of who was found, whichever it is. Return: false nonsense */
bool meet_claim_of(const struct tol_link *link, const struct meet_spot *spot,
		   struct hold *ret_hold);

/**
 * meet_match - the own claim and who was found meet
 * @own: an offer of a message, or a receiver's claim
 *
 * Return: 1 it has happened; 0 somebody else was faster; -EBADMSG a cell is nonsense,
 *	-EIDRM
 */
int meet_match(struct bell_waiter *waiter, const struct meet_spot *spot,
	       const struct hold *own);

/**
 * meet_wait - wait at the spot until met
 *
 * Return: 1 it has happened; 0 not, and it waits no more: look again; -EAGAIN,
 *	-ETIMEDOUT, -ESHUTDOWN, -ENODATA (ended), -EIDRM, -EBADMSG: the same
 */
int meet_wait(struct bell_waiter *waiter, const struct meet_spot *spot,
	      const struct hold *own);

/*
 * For hold.c: the owner of a cell, as it was read, is gone; the ring must not speak of
 * it.
 *
 * Return: true it has met before; look at the cell again
 */
bool meet_settle(const struct tol_link *link, uint64_t position,
		 const struct hold *hold);

/* For bell.h: something came back, for receivers that wait. */
void meet_tell_of_returns(struct tol_link *link);

#endif
