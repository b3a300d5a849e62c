/* SPDX-License-Identifier: MIT */
#ifndef CORE_IDENTITY_H
#define CORE_IDENTITY_H

/* Who has sent a message: doc/adr/0010-sender.md. */

#include "core/link.h"

/*
 * Notes who this participant is, as it joins. @fd: of the mailbox
 *
 * Return: 0; -ENOSPC no memory for it
 */
int identity_note(struct tol_link *link, int fd);

#endif
