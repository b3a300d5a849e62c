/* SPDX-License-Identifier: MIT */
#ifndef CORE_LOOK_LIST_H
#define CORE_LOOK_LIST_H

/*
 * What waits in a mailbox, in the order in which it would be received by a selection:
 * for tol_peek_select(). Private memory; of one moment, as far as nobody changes it
 * meanwhile.
 */

#include "core/receive.h"

struct look_list;

void look_list_free(struct look_list *list);

/**
 * look_list_show - copies the message at an index of the list
 * @r: its select may be NULL
 *
 * Return: 0; RECEIVE_NOTHING not so many; -EMSGSIZE, -ENOMEM, -EBADMSG, errors of
 *	the space
 */
int look_list_show(struct receiving *r, uint64_t index);

#endif
