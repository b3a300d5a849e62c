/* SPDX-License-Identifier: MIT */
#ifndef CORE_PARTICIPANT_H
#define CORE_PARTICIPANT_H

/*
 * Participants: taking a number, and cleaning up after those who are gone.
 * The lock on a number (base/presence.h) is the truth about who is alive, and
 * the right to write the number's record and to inherit from it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"

/**
 * participant_join - take a number and what its last owner left
 * @fd: the description that the link is mapped from; it bears the lock
 *
 * Return: 0; -EUSERS; -ENOSPC, -ENOMEM; -EBADMSG
 */
int participant_join(struct tol_link *link, int fd);

/* The record says so; the lock goes with the mapping. */
void participant_leave(struct tol_link *link);

/* Frees the chunks of all who are gone and whose messages are consumed. */
/* Return: how many of them there were */
int participant_reap_all(struct tol_link *link);

/* Is there nobody else? False also when that cannot be told. */
bool participant_is_alone(struct tol_link *link);

/* The same, asked through a descriptor of link_reopen(). */
bool participant_is_alone_at(const struct tol_link *link, int fd);

/* The marked number of records, within bounds. */
uint32_t participant_high(const struct mailbox_layout *head);

/*
 * A new description of the link's file, by its name. Writable only where it has to
 * be: closing such a one wakes all who poll. Return: fd; -errno
 */
int link_reopen(const struct tol_link *link, bool writable);

#endif
