/* SPDX-License-Identifier: MIT */
#ifndef CORE_INDEX_WAIT_H
#define CORE_INDEX_WAIT_H

/*
 * Who waits for what it has selected: doc/mailbox-protocol.md, section 12;
 * models/waiter.pml. The caller holds link->index_lock, but for what is said.
 */

#include "core/change.h"
#include "core/ring.h"
#include "core/select.h"

/* A place to wait with. Return: 0; -EUSERS, -ENOSPC */
int index_wait_claim(struct tol_link *link, const struct tol_select *select,
		     struct waiter_layout **ret_waiter);

/**
 * index_wait_begin - wait for a message that is selected, if there is none
 * @ret_gate: its word changes when there is one
 *
 * Return: 0; -EAGAIN there is one; -EBADMSG
 */
int index_wait_begin(struct tol_link *link, const struct tol_select *select,
		     struct waiter_layout *waiter, struct ring_gate *ret_gate);

/* Waits no more, with whatever result, and gives the place back. */
void index_wait_end(struct tol_link *link, struct waiter_layout *waiter);

/* The same for one that never waited by an index: with capacity 0. No lock. */
void index_wait_release(struct waiter_layout *waiter);

/* What a place says that is wanted; from others' bytes. Return: false no place */
bool index_wait_wish(const struct tol_link *link, uint32_t number,
		     struct tol_select *ret_select);

/* Inside a change: a message is there that was not. */
void index_name_waiter(struct change *c, uint32_t entry);

/* Inside a change: its waiter has received @entry, or 0 nothing. */
void index_rest(struct change *c, const struct waiter_layout *waiter,
		uint32_t entry);

/* Wakes those that were named. */
void index_ring_named(struct tol_link *link);

/* Those who slept before there was an index look again. No lock. */
void index_tell_start(struct tol_link *link);

/*
 * For bell.c, no lock: what somebody owes to those who wait. Return: false nobody
 * waits
 */
bool index_settle(struct tol_link *link);

/* Places of a number whose owner is gone. No lock. */
void index_wait_drop_all_of(struct tol_link *link, uint32_t number);

#endif
