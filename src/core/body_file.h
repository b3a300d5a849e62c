/* SPDX-License-Identifier: MIT */
#ifndef CORE_BODY_FILE_H
#define CORE_BODY_FILE_H

/*
 * Bodies too large for the pool: a file of their own in the space.
 *
 * The file is written whole, then linked as .body.ID.NUMBER.SERIAL (the
 * mailbox's id, the sender's number, its running count), then the message is
 * published with that serial. Whoever consumes the message unlinks the file. A
 * file whose message was never published, or whose receiver died between, is
 * swept by the heir of the number, or by tol_space_clean().
 */

#include <stddef.h>
#include <stdint.h>

#include "core/link.h"
#include "core/space.h"

/* Larger messages go into a file. */
#define BODY_IN_POOL_MAX_BYTES ((size_t)1 << 20)

/*
 * Until body_file_end_draft() the file counts as one whose message may come.
 *
 * Return: 0; -ENOSPC; -EFBIG; errors of the space
 */
int body_file_write(struct tol_link *link, const void *body, size_t size_bytes,
		    uint64_t *ret_serial);

/* The same, mapped to be written in place; not in a forked child. */
int body_file_make(struct tol_link *link, size_t size_bytes,
		   uint64_t *ret_serial, void **ret_address);

/* The same, of the body of another mailbox, which keeps it. */
int body_file_adopt(struct tol_link *link, const struct space *space,
		    const char *file_name, size_t size_bytes,
		    uint64_t *ret_serial);

/* The message is there, or the file is gone. */
void body_file_end_draft(struct tol_link *link);

/*
 * Could a file of that number, which has been seen, still become a message? Reads
 * the mailbox by descriptor alone. Return: 1, 0, -errno
 */
int body_file_may_be_draft(int fd, const struct mailbox_geometry *geometry,
			   uint32_t number);

/*
 * Return: bytes read; -EBADMSG there is no such file, since the message is gone or
 *	somebody removed it; errors of the space, which say nothing of the message
 */
ssize_t body_file_read(struct tol_link *link, uint32_t number, uint64_t serial,
		       void *buf, size_t size_bytes);

/* The same, mapped to be read, whole. Return: 0; also -ENOMEM */
int body_file_map(struct tol_link *link, uint32_t number, uint64_t serial,
		  size_t size_bytes, void **ret_address);

void body_file_remove(struct tol_link *link, uint32_t number, uint64_t serial);

#define BODY_FILE_NAME_BYTES 80
void body_file_make_name(char name[BODY_FILE_NAME_BYTES], uint64_t id,
			 uint32_t number, uint64_t serial);

/* What a hidden name says. Return: false if it is no body's name */
struct body_file_name {
	uint64_t id, serial;
	uint32_t number;
};
bool body_file_parse(const char *name, struct body_file_name *ret_name);

/*
 * Removes the files of a number that nobody owns and no queued message refers
 * to. The caller holds the lock on the number; @fd is the mailbox's.
 */
void body_file_sweep(struct tol_link *link, int fd, uint32_t number);

/*
 * Is there a message with that body, queued or held? Reads the mailbox by descriptor
 * alone. Return: 1, 0, -errno
 */
int body_file_is_queued(int fd, const struct mailbox_geometry *geometry,
			uint32_t number, uint64_t serial);

#endif
