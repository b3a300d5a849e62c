/* SPDX-License-Identifier: MIT */
#ifndef BACKLOG_H
#define BACKLOG_H

/*
 * For tests of unbounded mailboxes: one named "box", and messages that bear a
 * number and bytes that follow from it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tolsey.h"

#define MIB ((size_t)1 << 20)
#define PATIENCE_S 60
#define LARGE_BYTES (3 * MIB + 8)

/* For any body. */
extern unsigned char large[LARGE_BYTES];

struct tol_link *open_link(void);
void make(const struct tol_mailbox_opts *opts);
void unmake(void);
struct tol_mailbox_stat look(void);

/* 5 per cent more than before, in whole pages. */
uint64_t back_bytes(uint64_t before_bytes);

/* Does it take no more than that? */
bool is_back(uint64_t before_bytes);

/* Looks until a receiver that goes on has given all back. */
void await_back(struct tol_link *link, uint64_t before_bytes);

/* Also for children: no assertions. Return: as tol_send() */
int put(struct tol_link *link, uint64_t number, size_t size_bytes,
	unsigned char *body);

/* Return: 0; -EAGAIN and others of tol_recv(); -EIO it is torn */
int get(struct tol_link *link, uint64_t *ret_number, unsigned char *body,
	size_t room_bytes);

void send_range(struct tol_link *link, uint64_t first, uint64_t end,
		size_t size_bytes);
void recv_range(struct tol_link *link, uint64_t first, uint64_t end);
void check_empty(struct tol_link *link);
int64_t now_s(void);

#endif
