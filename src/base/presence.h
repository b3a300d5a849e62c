/* SPDX-License-Identifier: MIT */
#ifndef BASE_PRESENCE_H
#define BASE_PRESENCE_H

/*
 * Who is alive, as a fact kept by the kernel.
 *
 * A participant locks one byte of the object's file, far beyond its data, with
 * an open-file-description lock, maps the file from that same description
 * with MADV_DONTFORK and closes the descriptor. From then on the mapping alone
 * keeps the description, and so the lock: exactly as long as the address
 * space that can write the object exists. Not a pid, so no reuse and no
 * namespaces; not a descriptor, so no closefrom() and no forked child; not a
 * thread. Between open and close the fork guard (fork.h) is held, since a
 * child would get a copy of the descriptor.
 */

#include <stdbool.h>
#include <stdint.h>

/* The first byte that bears locks, and how many there may be. */
#define PRESENCE_BASE ((uint64_t)1 << 62)
#define PRESENCE_COUNT ((uint64_t)1 << 40)

/* A lock that was found. */
struct presence {
	uint64_t number;
	bool is_shared;
};

/**
 * presence_take - lock byte @number for the description of @fd
 * @shared: a read lock, for those who may only read the file
 *
 * Return: 0; -EAGAIN somebody has it; -EOPNOTSUPP, -ENOLCK, -EBADF
 */
int presence_take(int fd, uint64_t number, bool shared);

/* Gives the byte back while the description lives. */
int presence_drop(int fd, uint64_t number);

/**
 * presence_find - look for a lock of anybody else in a range of bytes
 *
 * Return: 1 and one of them, whichever; 0 none; -errno
 */
int presence_find(int fd, uint64_t number, uint64_t count,
		  struct presence *ret_presence);

/**
 * presence_count - how many bytes of the whole range are locked by others
 * @ret_shared_count: how many of them with a read lock
 *
 * Of one moment, unless others lock and unlock without a pause all the while.
 */
int presence_count(int fd, uint32_t *ret_count, uint32_t *ret_shared_count);

#endif
