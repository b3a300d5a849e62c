/* SPDX-License-Identifier: MIT */
/*
 * tol_sender(), and the table that it reads.
 *
 * A record is written by the participant that has drawn its number, before it sends
 * anything that names it, and not by others until 65535 have joined after it. Those
 * that are then still alive are passed over. One process that opens a mailbox again
 * and again keeps its record.
 *
 * Crash: a number that was drawn and not used is skipped once. Stop: who is stopped
 * between drawing and writing while 65535 others join writes over one of them, whose
 * program is then told wrongly; pid and uid are in the message itself.
 */
#include "core/identity.h"

#include <errno.h>
#include <string.h>

#include "base/presence.h"
#include "base/sys.h"
#include "core/tap.h"

static struct identity_layout *identity_at(const struct tol_link *link,
					   uint32_t identity)
{
	return (struct identity_layout *)(void *)(
		(uint8_t *)link->head + link->geometry.identities_offset +
		(size_t)identity * sizeof(struct identity_layout));
}

/* A page at a time, for good. */
static int back(struct tol_link *link, uint32_t identity)
{
	uint32_t *mark = &link->head->identities_backed;
	uint32_t a_page = MAILBOX_PAGE_BYTES / sizeof(struct identity_layout);
	uint32_t first = identity / a_page * a_page;
	uint32_t seen = load_acquire_32(mark);
	int err = 0;

	if (identity < seen)
		return 0;
	/* All below, too: others may not have come to that. */
	for (uint32_t at = seen / a_page * a_page; at <= first && err == 0;
	     at += a_page)
		err = sys_populate(identity_at(link, at), MAILBOX_PAGE_BYTES,
				   true);
	while (err == 0 && seen < first + a_page)
		if (cas_32(mark, &seen, first + a_page))
			break;
	return err;
}

static bool is_the_same(const struct identity_layout *a,
			const struct identity_layout *b)
{
	return a->number == b->number && a->pid == b->pid && a->uid == b->uid &&
	       a->gid == b->gid && a->start_ns == b->start_ns &&
	       memcmp(a->program, b->program, sizeof(a->program)) == 0;
}

/* Of one that is alive and still uses it. */
static bool is_in_use(const struct tol_link *link, int fd, uint32_t identity)
{
	uint32_t number = load_relaxed_32(&identity_at(link, identity)->number);
	struct presence found;

	return number < MAILBOX_PARTICIPANTS_MAX &&
	       number < load_acquire_32(&link->head->participants_high) &&
	       load_relaxed_32(&link->participants[number].identity) ==
		       identity &&
	       number != link->number &&
	       presence_find(fd, number, 1, &found) == 1;
}

static int draw(struct tol_link *link, int fd, uint32_t *ret_identity)
{
	for (uint32_t tries = 0; tries < IDENTITIES_COUNT; tries++) {
		uint32_t identity = fetch_add_32(&link->head->identities_next,
						 1) % IDENTITIES_COUNT;
		int err;

		if (identity == 0)
			continue;
		err = back(link, identity);
		if (err < 0)
			return err;
		if (is_in_use(link, fd, identity))
			continue;
		*ret_identity = identity;
		return 0;
	}
	return -ENOSPC;
}

int identity_note(struct tol_link *link, int fd)
{
	uint32_t identity = load_relaxed_32(&link->own->identity);
	struct identity_layout own = {
		.number = link->number,
		.pid = link->pid,
		.uid = link->uid,
		.gid = sys_gid(),
		.start_ns = sys_start_ns(),
	};
	struct identity_layout *at;
	int err;

	sys_program_name(own.program);
	if (identity == 0 || identity >= IDENTITIES_COUNT ||
	    identity >= load_acquire_32(&link->head->identities_backed) ||
	    !is_the_same(identity_at(link, identity), &own)) {
		err = draw(link, fd, &identity);
		if (err < 0)
			return err;
		at = identity_at(link, identity);
		own.turn = load_relaxed_32(&at->turn) + 1;
		if (own.turn == 0)
			own.turn = 1;
		*at = own;
		store_release_32(&link->own->identity, identity);
	}
	at = identity_at(link, identity);
	link->sender = identity_make(link->number, identity,
				     load_relaxed_32(&at->turn));
	return 0;
}

/* Return: false it has been used again since, or never was */
static bool read_identity(const struct tol_link *link,
			  const struct tol_message *message,
			  struct identity_layout *ret_identity)
{
	uint32_t identity = identity_of(message->sender);

	if (identity == 0 ||
	    identity >= load_acquire_32(&link->head->identities_backed))
		return false;
	copy_unsettled(ret_identity, identity_at(link, identity),
		       sizeof(*ret_identity));
	ret_identity->program[sizeof(ret_identity->program) - 1] = '\0';
	return ret_identity->turn != 0 &&
	       identity_make(ret_identity->number, identity,
			     ret_identity->turn) == message->sender &&
	       ret_identity->pid == (uint32_t)message->sender_pid &&
	       ret_identity->uid == message->sender_uid;
}

int tol_sender(struct tol_link *link, const struct tol_message *message,
	       struct tol_sender *ret_sender)
{
	struct identity_layout identity;
	int err;

	if (!link || !message || !ret_sender)
		return -EINVAL;
	err = link_check(link);
	if (err < 0)
		return err;
	*ret_sender = (struct tol_sender){
		.pid = message->sender_pid,
		.uid = message->sender_uid,
	};
	if (!read_identity(link->tap ? tap_of(link->tap) : link, message,
			   &identity))
		return 0;
	ret_sender->is_known = 1;
	ret_sender->gid = identity.gid;
	ret_sender->start_ns = identity.start_ns;
	memcpy(ret_sender->program, identity.program, sizeof(identity.program));
	return 0;
}
