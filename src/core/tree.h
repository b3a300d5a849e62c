/* SPDX-License-Identifier: MIT */
#ifndef CORE_TREE_H
#define CORE_TREE_H

/*
 * The two trees of the index: its messages by tag, and by sender. Entries are
 * numbers + 1, 0 none. All inside a change, see change.h: what was read is believed
 * once the change is made, or change_is_current().
 */

#include "core/change.h"
#include "core/select.h"

enum tree { TREE_TAG, TREE_SENDER };

/* An entry in use: its number is one that has memory. NULL: c->is_damaged */
struct entry_layout *tree_entry(struct change *c, uint32_t entry);

/* What an entry is selected by: its body says so. Return: false c->is_damaged */
bool tree_key(struct change *c, uint32_t entry, struct select_key *ret_key);

/* Of a message that is not there yet. Return: 0: c->is_short */
uint32_t tree_new_entry(struct change *c, uint32_t unit, uint64_t position,
			uint32_t priority);

/* Its position is above that of all others. Else c->is_short, c->is_damaged */
void tree_insert(struct change *c, uint32_t entry);

/* And frees it. */
void tree_remove(struct change *c, uint32_t entry);

/* The first to be received. Return: 0 none */
uint32_t tree_find(struct change *c, const struct tol_select *select);

#endif
