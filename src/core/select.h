/* SPDX-License-Identifier: MIT */
#ifndef CORE_SELECT_H
#define CORE_SELECT_H

/* What a receiver asks for. */

#include <stdbool.h>
#include <stdint.h>

#include "tolsey.h"

/* Of a message, what is selected by. */
struct select_key {
	uint64_t tag;
	uint64_t position;
	uint32_t priority;
	uint32_t sender_pid;
};

/* Return: 0; -EINVAL; -E2BIG. NULL is any */
int select_check(const struct tol_select *select);

/* Is it one of those? By TOL_SELECT_TAG_LOWEST: if there is no lower one. */
bool select_matches(const struct tol_select *select,
		    const struct select_key *key);

/* Of two that match: is @a to be received before @b? */
bool select_is_before(const struct tol_select *select,
		      const struct select_key *a, const struct select_key *b);

#endif
