/* SPDX-License-Identifier: MIT */
#ifndef CORE_INDEX_H
#define CORE_INDEX_H

/*
 * A mailbox in which somebody selects: its messages move from the ring to an index,
 * and are received from there. doc/mailbox-protocol.md, section 12; doc/adr/0009.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/hold.h"
#include "core/link.h"
#include "core/ring.h"
#include "core/select.h"

/* A message in the index, as it was seen. */
struct index_found {
	uint64_t change;	/* the word, when it was the first to be received */
	uint32_t entry;
	uint32_t unit;
	bool is_any;		/* to be received though it is not the first */
	struct select_key key;
};

/* Is it to be received from there? */
static inline bool index_is_used(const struct tol_link *link)
{
	return load_acquire_32(&link->head->sorted) != SORTED_NOT;
}

/* From now on, for all. Return: 0; -ENOSPC, -ENOMEM */
int index_start(struct tol_link *link);

/**
 * index_move - moves what has come to the index
 * @ret_nothing, @ret_gate: where the next message will come
 *
 * Return: 0; -ENODATA and nothing is to come any more; -ENOSPC, -ENOMEM no memory:
 *	then some are still in the ring; -EBADMSG
 */
int index_move(struct tol_link *link, struct ring_message *ret_nothing,
	       struct ring_gate *ret_gate);

/* Return: 0 and the first that is to be received; -EAGAIN none; -EBADMSG */
int index_find(struct tol_link *link, const struct tol_select *select,
	       struct index_found *ret_found);

/*
 * If it is still the first to be received: it is, for good, or into a cell that is
 * claimed for it. What the caller waits with is at rest then.
 *
 * Return: 0; -EAGAIN it is not; -EBADMSG
 */
int index_receive(struct tol_link *link, const struct tol_select *select,
		  const struct index_found *found, const struct hold *cell,
		  const struct waiter_layout *waiter);

/*
 * One of those that came before a position, from an entry on, which becomes its own.
 *
 * Return: 0; -EAGAIN; -EBADMSG
 */
int index_find_below(struct tol_link *link, uint64_t end_position,
		     uint32_t *entry, struct index_found *ret_found);

/* Is it still there? What was read of it before is then whole. */
bool index_is_there(struct tol_link *link, const struct index_found *found);

/* Is a message there whose body lies in one of these chunks? */
bool index_pins(const struct tol_link *link, uint64_t first_chunk,
		uint64_t chunks_count);

/* How many messages are there? */
uint64_t index_count(const struct tol_link *link);

#endif
