/* SPDX-License-Identifier: MIT */
#ifndef CORE_HUB_H
#define CORE_HUB_H

/*
 * Where the threads of this process sleep that wait for many links at once: one
 * socket for each space, whose name all those links' participants bear, and
 * deaths, in one set. Any number of links takes no more.
 *
 * One thread, the leader, sleeps on the set; the others on the epoch, until the
 * leader has drained the set, or leaves because its time is over.
 */

#include "core/polling.h"

/**
 * hub_join - from now on ringing for the link's participant reaches the hub
 *
 * Costs nothing when it has. Return: 0; -EMFILE, -EACCES...
 */
int hub_join(struct tol_link *link);
void hub_leave(struct tol_link *link);

/* Read before the links are armed and looked at; then sleep on what was read. */
uint32_t hub_epoch(void);

/* Sleeps until somebody rang since @epoch, or the time, or for no reason. */
void hub_sleep(uint32_t epoch, int64_t deadline_ns);

/* Around fork(): no other thread is within. In the child nobody waits. */
void hub_lock_for_fork(void);
void hub_unlock_after_fork(bool is_child);

/* For deaths: whoever sleeps looks at all links again. */
void hub_poke(struct tol_link *link);

/*
 * Whoever sleeps in the hub looks again. Takes no lock: signal handlers call it.
 */
void hub_interrupt(void);

/* How often. */
uint32_t hub_deaths(void);

#endif
