/* SPDX-License-Identifier: MIT */
#ifndef CORE_RING_UNBOUNDED_H
#define CORE_RING_UNBOUNDED_H

/*
 * The calls of ring.h for an unbounded mailbox: see there. The caller is inside
 * (core/inside.h).
 */

#include "core/ring.h"

int unbounded_find_room(struct tol_link *link, struct ring_room *ret_room);
int unbounded_publish(struct tol_link *link, uint32_t unit,
		      struct ring_room *room);
int unbounded_find_tail(struct tol_link *link, uint64_t *ret_position);
int unbounded_find_message(struct tol_link *link,
			   struct ring_message *ret_message,
			   struct ring_gate *ret_gate);
int unbounded_end(struct tol_link *link, const struct ring_message *nothing);
enum ring_seen unbounded_look_at(const struct tol_link *link, uint64_t position,
				 struct ring_message *ret_message);
bool unbounded_consume(struct tol_link *link,
		       const struct ring_message *message);
bool unbounded_take(const struct tol_link *link,
		    const struct ring_message *message, uint32_t cell);
bool unbounded_settle_taken(const struct tol_link *link, uint64_t position,
			    uint32_t cell);
bool unbounded_is_drained(const struct tol_link *link, uint64_t end_position);

#endif
