/* SPDX-License-Identifier: MIT */
#ifndef WAITERS_H
#define WAITERS_H

/*
 * For tests of waiting with the fake futex: a mailbox of two slots and three
 * links to it. One waits, as a receiver of an empty one or a sender to a full one;
 * the others do what it waits for.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/bell.h"
#include "core/link.h"
#include "core/ring.h"

extern struct tol_link *one, *two, *three;
extern bool waits_to_send;

/* @index: 0 a receiver waits, 1 a sender. */
void waiters_begin(int index);
void waiters_end(void);

/* The word of the kind that waits. */
uint32_t count(void);
uint32_t epoch(void);
void set_sleepers(uint32_t new_count, uint32_t new_epoch);

/* The call that has to wait. Return: 0 done; -errno */
int wait_call(struct tol_link *link, int64_t timeout_ns);

/* The call that it waits for, which need not wait itself. */
int serve_call(struct tol_link *link);
void serve_two(void);
void serve_three(void);

/*
 * The same up to the instruction at which it has happened: whoever does this
 * is killed or stopped before it looks at who sleeps.
 */
void serve_only(struct tol_link *link);
void serve_and_stop(void);
void serve_and_die(void);

#endif
