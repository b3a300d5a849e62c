/* SPDX-License-Identifier: MIT */
#ifndef CORE_HOLD_H
#define CORE_HOLD_H

/*
 * Hold cells: messages that are out of the queue and not yet done with.
 * doc/mailbox-protocol.md, section 6; models/hold.pml.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"
#include "core/select.h"

/* A cell, and its word as it was seen. */
struct hold {
	uint32_t cell;
	uint64_t word;
};

/* Where those go that come back. */
enum hold_kind { HOLD_KIND_RETURNED, HOLD_KIND_DEAD };

/* Return: false that is no cell in use */
bool hold_look_at(const struct tol_link *link, uint32_t cell,
		  struct hold *ret_hold);

/* For ring.c: the message is in it. Return: false nonsense */
bool hold_confirm(const struct tol_link *link, const struct hold *hold);

/**
 * hold_claim - get a cell for a message that is about to be taken
 *
 * Return: 0; -ENOSPC no memory for one; -EUSERS all are in use
 */
int hold_claim(struct tol_link *link, struct hold *ret_hold);

/*
 * For meet.c: the message of an offer is the receiver's, whose claim points to it.
 * Return: false nonsense
 */
bool hold_give(const struct tol_link *link, const struct hold *offer,
	       const struct hold *request);

/* Where our own claim points to; it is free then. Return: false nowhere yet */
bool hold_follow(struct tol_link *link, const struct hold *request,
		 struct hold *ret_offer);

bool hold_has_changed(const struct tol_link *link, const struct hold *hold);

/* Another was faster. */
void hold_unclaim(struct tol_link *link, const struct hold *hold);

/* What a claim is for. @lease_ns: 0 no limit; on CLOCK_MONOTONIC from now */
void hold_fill(struct tol_link *link, const struct hold *hold,
	       uint64_t position, uint64_t unit, uint64_t size_bytes,
	       int64_t lease_ns);

/* Of that kind, the one with the lowest position. Return: 0; -EAGAIN none */
int hold_find(const struct tol_link *link, enum hold_kind kind,
	      struct hold *ret_hold);

/* The same from a position on, as it is now. Return: false none was seen */
bool hold_find_from(const struct tol_link *link, enum hold_kind kind,
		    uint64_t from_position, struct hold *ret_hold);

/* Of that kind, the first from a cell on, as it is now. Return: false none */
bool hold_next(const struct tol_link *link, enum hold_kind kind,
	       uint32_t *cell, struct hold *ret_hold,
	       struct hold_layout *ret_record);

/*
 * What a message in a cell is selected by; believed if hold_read() still says the
 * same. Return: false nonsense
 */
bool hold_key(struct tol_link *link, const struct hold_layout *record,
	      struct select_key *ret_key);

/* The same, without certainty if there is none: for who rings. */
bool hold_is_there(const struct tol_link *link, enum hold_kind kind);

/* Of a cell that was found: what it holds. Return: false it has changed */
bool hold_read(const struct tol_link *link, const struct hold *hold,
	       struct hold_layout *ret_record);

/* Return: true the message of a cell that was found is received for good */
bool hold_consume(const struct tol_link *link, const struct hold *hold);

/* Return: true it is ours; @hold is its word then */
bool hold_take(struct tol_link *link, struct hold *hold, int64_t lease_ns);

/* How many have had it. */
uint32_t hold_tries(const struct hold_layout *record, const struct hold *hold);

/* It came back once too often. Return: true, or somebody was faster */
bool hold_bury(struct tol_link *link, const struct hold *hold);

/* The same by its last holder, who has just returned it. */
void hold_bury_returned(struct tol_link *link, uint32_t cell, uint32_t grant);

/*
 * For its owner, by the grant: done with, back, or later. A lease that has ended
 * is not there any more.
 *
 * Return: 0; -ESTALE
 */
int hold_ack(struct tol_link *link, uint32_t cell, uint32_t grant);
int hold_return(struct tol_link *link, uint32_t cell, uint32_t grant);
int hold_extend(struct tol_link *link, uint32_t cell, uint32_t grant,
		int64_t lease_ns);

/* Is it still held by us? Then also its record. */
bool hold_is_ours(const struct tol_link *link, uint32_t cell, uint32_t grant);

/* All of a number whose owner is gone, or of our own. Return: how many */
uint32_t hold_return_all_of(struct tol_link *link, uint32_t number);

/* Puts back what dead ones held, and what leases have ended of. */
void hold_sweep(struct tol_link *link);

/* The same if it is time for it, seen from a call that found nothing. */
void hold_sweep_now_and_then(struct tol_link *link, int64_t now_ns);

/* Does anybody else hold something that may come back by itself? */
bool hold_is_watched(const struct tol_link *link);

/* The same, but for claims: of those who only wait, with capacity 0. */
bool hold_is_held(const struct tol_link *link);

/* Does anybody? */
bool hold_is_any_owned(const struct tol_link *link);

/* When the first lease may end, on CLOCK_MONOTONIC; INT64_MAX never. */
int64_t hold_due_ns(const struct tol_link *link);

/* Of two values that lease_due had: is there a lease that ends before the other's? */
bool hold_due_is_before(uint64_t due, uint64_t other);

/* Is a body of these units held? */
bool hold_pins(const struct tol_link *link, uint64_t unit,
	       uint64_t units_count);

/* To be looked at before the queue: something came back, or may have to. */
static inline bool hold_is_eventful(struct tol_link *link)
{
	return (uint32_t)load_acquire_64(&link->head->returns) != 0;
}

#endif
