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
int unbounded_find_unmoved(struct tol_link *link,
			   struct ring_message *ret_message,
			   struct ring_gate *ret_gate);
bool unbounded_begin_move(struct tol_link *link, struct ring_message *message);
void unbounded_end_move(struct tol_link *link,
			const struct ring_message *message);
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

/*
 * Where most messages go by: which of the two it is, is seen before the call.
 */
static inline int either_find_room(struct tol_link *link,
				   struct ring_room *ret_room)
{
	return __builtin_expect(link->is_unbounded, 0)
		       ? unbounded_find_room(link, ret_room)
		       : ring_find_room(link, ret_room);
}

static inline int either_publish(struct tol_link *link, uint32_t unit,
				 struct ring_room *room)
{
	return __builtin_expect(link->is_unbounded, 0)
		       ? unbounded_publish(link, unit, room)
		       : ring_publish(link, unit, room);
}

static inline int either_find_message(struct tol_link *link,
				      struct ring_message *ret_message,
				      struct ring_gate *ret_gate)
{
	return __builtin_expect(link->is_unbounded, 0)
		       ? unbounded_find_message(link, ret_message, ret_gate)
		       : ring_find_message(link, ret_message, ret_gate);
}

static inline bool either_consume(struct tol_link *link,
				  const struct ring_message *message)
{
	return __builtin_expect(link->is_unbounded, 0)
		       ? unbounded_consume(link, message)
		       : ring_consume(link, message);
}

#endif
