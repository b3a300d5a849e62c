/* SPDX-License-Identifier: MIT */
#ifndef CORE_RECEIVE_SORTED_H
#define CORE_RECEIVE_SORTED_H

#include "core/receive.h"

/*
 * receive_waiting() for a mailbox in which somebody selects. By value: in the common
 * case, where this is not called, @r then need not be in memory.
 */
int receive_sorted(struct receiving r, struct bell_waiter *waiter);

#endif
