/* SPDX-License-Identifier: MIT */
#ifndef CORE_DESCRIPTOR_H
#define CORE_DESCRIPTOR_H

/*
 * The descriptor of a link: a set that the user polls, of
 *	a socket	others send to it: ready, or look again
 *	a timer		the end of a lease; also how we make it ready ourselves
 *	deaths		see deaths.h
 *
 * Either the word is ARMED as we left it and all three are empty, or one of them is
 * readable. A call that leaves nothing to do drains them, arms the word anew if
 * somebody rang, and looks again.
 */

#include "core/polling.h"

void descriptor_init(struct descriptor *d);

/* Makes it readable for a moment: look again. */
void descriptor_poke(struct tol_link *link);

/* With the lock of the polling. */
void descriptor_update(struct tol_link *link, enum watch_kind kind);
void descriptor_close(struct tol_link *link, enum watch_kind kind);

/* In a child: copies. */
void descriptor_close_copy(struct descriptor *d);

#endif
