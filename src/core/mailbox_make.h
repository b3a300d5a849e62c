/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAILBOX_MAKE_H
#define CORE_MAILBOX_MAKE_H

/* The steps of making and opening a mailbox, for those who do it otherwise. */

#include "core/link.h"
#include "core/space.h"

/**
 * mailbox_make_hidden - a bounded mailbox whose file has no name yet
 * @chunks: of its pool, at most
 *
 * Return: its descriptor; errors of tol_mailbox_create()
 */
int mailbox_make_hidden(const struct space *space, uint64_t capacity_msgs,
			uint32_t chunks, mode_t mode);

/* As large, and of the kind, as another one, without its limits. */
int mailbox_make_like(const struct space *space,
		      const struct mailbox_layout *head, mode_t mode);

/* Not open yet. Return: NULL no memory */
struct tol_link *link_new(const char *name, unsigned int flags);

/* By its name. Return: 0; errors of tol_open() */
int link_open_in(struct tol_link *link, const struct space *space);

/* By its descriptor, under the fork guard. */
int link_map_and_join(struct tol_link *link, int fd);

/* Of one that could not be opened. */
void link_free(struct tol_link *link);

#endif
