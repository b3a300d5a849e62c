/* SPDX-License-Identifier: MIT */
#ifndef CORE_RING_H
#define CORE_RING_H

/*
 * The ring of slot words: doc/mailbox-protocol.md, section 1. Every call
 * is lock-free: a step that is repeated means that somebody else got on.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"

/* The slot that said "you would have to wait": while it holds, nothing changed. */
struct ring_gate {
	const uint64_t *slot;
	uint64_t word;
};

/* Where the next message may go, as it was seen. */
struct ring_room {
	uint64_t position;
	struct ring_gate gate;
};

/* A message that was found. */
struct ring_message {
	uint64_t position;
	uint64_t word;		/* of its slot */
};

static inline bool ring_gate_holds(const struct ring_gate *gate)
{
	return load_relaxed_64(gate->slot) == gate->word;
}

/* The unit of a message that was found. */
static inline uint32_t ring_unit(const struct tol_link *link,
				 const struct ring_message *message)
{
	return link->is_unbounded ? slot_unit_unbounded(message->word)
				  : slot_unit(message->word);
}

/*
 * Return: 0 and @ret_room; -EAGAIN full, see its gate; -ESHUTDOWN nothing is to
 *	come any more; -EBADMSG
 */
int ring_find_room(struct tol_link *link, struct ring_room *ret_room);

/**
 * ring_publish - make the body at @unit a message
 * @room: from ring_find_room(); becomes the room that was used, or what
 *	ring_find_room() says then
 *
 * Return: 0, the send has happened; -EAGAIN full by now; -ESHUTDOWN; -EBADMSG
 */
int ring_publish(struct tol_link *link, uint32_t unit, struct ring_room *room);

/*
 * Return: 0 and the oldest message; -EAGAIN none, see @ret_gate; -ENODATA and
 *	nothing is to come any more; -EBUSY it is to be received from the index;
 *	-EBADMSG
 */
int ring_find_message(struct tol_link *link, struct ring_message *ret_message,
		      struct ring_gate *ret_gate);

/*
 * For a mailbox in which somebody selects: the oldest that is not in the index.
 *
 * Return: 0; 1 the same, and somebody is about to move it; else as above
 */
int ring_find_unmoved(struct tol_link *link, struct ring_message *ret_message,
		      struct ring_gate *ret_gate);

/* Its unit, from the word of one that is about to be moved. */
static inline uint32_t ring_moving_unit(const struct tol_link *link,
					const struct ring_message *message)
{
	return link->is_unbounded
		       ? slot_unit_unbounded(message->word) - 1
		       : (slot_unit(message->word) - 1) &
				 (uint32_t)SLOT_UNIT_MASK;
}

/* It is to go to the index, by whoever comes. Return: false it has changed */
bool ring_begin_move(struct tol_link *link, struct ring_message *message);

/* It is there: the slot may be used again once enough have been received. */
void ring_end_move(struct tol_link *link, const struct ring_message *message);

/* That time has come for the slot of @position, if its message was moved. */
void ring_free_moved(struct tol_link *link, uint64_t position);

/*
 * Where nothing was found, nothing is to come: a sender who has not published by
 * now never will.
 *
 * Return: 0; -EAGAIN it has changed; -ENOSPC, unbounded only: no memory to say so
 */
int ring_end(struct tol_link *link, const struct ring_message *nothing);

/*
 * What lies at a position that is not before one that ring_find_message() gave: a
 * message; one that has been received since; nothing, nor behind it.
 */
enum ring_seen { RING_MESSAGE, RING_GONE, RING_NOTHING };
enum ring_seen ring_look_at(const struct tol_link *link, uint64_t position,
			    struct ring_message *ret_message);

/* Is it still the same? A body that was read before is then whole. */
static inline bool ring_is_there(const struct tol_link *link,
				 const struct ring_message *message)
{
	uint64_t index = message->position & (link->geometry.ring_slots - 1);

	/* With a shift, also of an unbounded one. */
	if (__builtin_expect(link->capacity_shift < 0, 0))
		index = message->position % link->capacity_msgs;
	/* After the reads of the body. */
	return load_after_reads_64(&link->ring[index]) == message->word;
}

/* Return: true, the receive has happened; false somebody else was faster */
bool ring_consume(struct tol_link *link, const struct ring_message *message);

/* The same for a hold cell that is claimed for it. */
bool ring_take(const struct tol_link *link, const struct ring_message *message,
	       uint32_t cell);

/*
 * Before a cell is done with its message: its slot must not speak of it any more.
 *
 * Return: whether it did
 */
bool ring_settle_taken(const struct tol_link *link, uint64_t position,
		       uint32_t cell);

/* Is nothing queued before @end any more? */
bool ring_is_drained(const struct tol_link *link, uint64_t end_position);

/* The first position never filled, at some moment of the call; -EBADMSG */
int ring_find_tail(struct tol_link *link, uint64_t *ret_position);

#endif
