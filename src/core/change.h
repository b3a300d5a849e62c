/* SPDX-License-Identifier: MIT */
#ifndef CORE_CHANGE_H
#define CORE_CHANGE_H

/*
 * Several words of a mailbox changed by one swap: doc/mailbox-protocol.md, section
 * 12; models/change.pml. The caller holds link->index_lock.
 *
 *	for (;;) {
 *		change_begin(c);		what others have made is done
 *		... change_get(), change_put()
 *		if (change_make(c)) break;	it has happened
 *	}					or another one has: read anew
 *
 * Between the two a reader may see words of several moments, and must get along
 * with that; change_is_over() tells before it loops for long.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"

#define CHANGE_SLOTS 1024u	/* a power of two, well above the entries */

struct change {
	struct tol_link *link;
	struct change_list_layout *list;	/* our own, in shared memory */
	uint64_t seen;		/* the word `change`, idle, when it began */
	uint64_t number;	/* of this change */
	uint32_t count;
	bool is_damaged;	/* something made no sense; or it was not of one moment */
	bool is_short;		/* of entries or nodes that have memory */
	uint16_t stamp;		/* of slots that are of this change */
	struct {
		uint16_t stamp, entry;
	} slots[CHANGE_SLOTS];	/* where in the list a word is */
};

/* Return: 0 and link->change; -ENOSPC, -ENOMEM */
int change_prepare(struct tol_link *link);

void change_begin(struct change *c);

/* A word as it will be. */
uint64_t change_get(struct change *c, const uint64_t *word);

/* Words that only grow are written as they are. */
void change_put(struct change *c, uint64_t *word, uint64_t value);

/* Words with the number of their change. */
static inline uint32_t change_value(struct change *c, const uint64_t *word)
{
	return index_value(change_get(c, word));
}

static inline void change_set(struct change *c, uint64_t *word, uint32_t value)
{
	change_put(c, word, index_word(value, c->number));
}

/* Is all that was read since change_begin() of one moment, until now? */
bool change_is_current(const struct change *c);

/* Return: true it has happened, and is carried out; false: begin again */
bool change_make(struct change *c);

/* Carries out what somebody has made and not finished. */
void change_help(struct tol_link *link);

#endif
