/* SPDX-License-Identifier: MIT */
#ifndef CORE_DEATHS_H
#define CORE_DEATHS_H

/*
 * That somebody died, for those who poll: the kernel says that a writer of the
 * mailbox's file has closed it (inotify(7)), by whatever end, once its mapping is
 * gone. A user has 128 instances of it: the process takes one for all links of the
 * hub, and one for every DEATHS_GROUP_MAX links with descriptors, since the kernel
 * lets a descriptor be in some hundred sets that are in other sets, no more.
 *
 * The kernel says so a moment before it drops the locks that tell who lives: who
 * held something may still seem alive, so it is looked again for a while.
 */

#include "core/polling.h"

/* How long after a death, and how often, holders are asked for again. */
#define DEATHS_SUSPECT_NS 1000000000
#define DEATHS_LOOK_NS 4000000

#define DEATHS_GROUP_MAX 25u

/**
 * deaths_join - be told of the deaths of those who use the link's mailbox
 *
 * Return: the descriptor that is readable then; -errno the kernel does not tell
 */
int deaths_join(struct tol_link *link, enum polling_way way);
void deaths_leave(struct tol_link *link);

/* That of the link's group was readable: tells all of the group whom it concerns. */
void deaths_take_of(struct tol_link *link);

/* The same for that of the hub. */
void deaths_take_of_hub(void);

/* Around fork(); before hub_lock_for_fork(). */
void deaths_lock_for_fork(void);
void deaths_unlock_after_fork(void);

#endif
