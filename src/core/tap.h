/* SPDX-License-Identifier: MIT */
#ifndef CORE_TAP_H
#define CORE_TAP_H

/*
 * Taps: watching messages go by without taking any.
 *
 * A tap is a mailbox of its own, .tap.ID.NUMBER, with a name that no address has:
 * the tap receives from it, as its participant 0, and senders to the mailbox that
 * is tapped send copies to it, never waiting. A tap announces itself by its number,
 * not 0, in one of the four fields of the word taps of the mailbox that it taps.
 *
 * A sender looks at the word after it has published, sees to it that all wakes which
 * it owes are given (from then on it can be stopped or killed without harm, though
 * its thread is armed for the other mailbox), and then sends the copy. It keeps
 * the tap open. Whoever finds that a tap is full asks at times whether it is alive;
 * of a dead one it clears the field and removes the file.
 *
 * Crash: of a tap, see above; killed between making the file and announcing it, it
 * leaves a file whose number 0 is not locked, which clean removes.
 */

#include "core/body.h"
#include "core/link.h"
#include "core/space.h"

/* How long a tap that waits does not know of an end of what it taps. */
#define TAP_SLICE_NS 50000000

#define TAP_NAME_BYTES 48

/* What a sender has sent. */
struct tap_copy {
	const void *body;
	size_t size_bytes;
	const struct draft_extra *extra;
};

/* The mailbox whose messages it shows. */
const struct tol_link *tap_of(const struct tap *tap);

/* Does anybody tap, or did somebody whose mailbox is still open here? */
static inline bool tap_is_there(const struct tol_link *link)
{
	return (load_relaxed_64(&link->head->taps) |
		load_relaxed_64(&link->taps_known)) != 0;
}

/* The message has been sent. Changes nothing for anybody else. */
void tap_show(struct tol_link *link, uint64_t position,
	      const struct tap_copy *copy);

/* Of a sender's link that is being closed. */
void tap_close_outlets(struct tol_link *link);

/* Is it the name of a tap's mailbox whose tap is gone? */
bool tap_is_remnant(const struct space *space, const char *name);

/* For a link to NAME:tap. */
int tap_open(const struct space *space, const char *name, unsigned int flags,
	     struct tol_link **ret_link);
void tap_close(struct tol_link *link);

/* It has nothing. Return: 0; -ENODATA, -EIDRM, -EBADMSG: nor will it ever */
int tap_check(struct tol_link *link);

/* As receive_fetch(). */
int tap_fetch(struct tol_link *link, const struct reading *reading, void *buf,
	      size_t size_bytes, struct tol_message *ret_message);

#endif
