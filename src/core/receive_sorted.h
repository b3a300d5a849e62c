/* SPDX-License-Identifier: MIT */
#ifndef CORE_RECEIVE_SORTED_H
#define CORE_RECEIVE_SORTED_H

#include "core/receive.h"

/* receive_waiting() for a mailbox in which somebody selects. */
int receive_sorted(struct receiving *r, struct bell_waiter *waiter);

#endif
