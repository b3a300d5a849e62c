/* SPDX-License-Identifier: MIT */
#ifndef CORE_PEEK_H
#define CORE_PEEK_H

/*
 * Looking into a mailbox through a descriptor, without mapping it or taking
 * part: holes stay holes and a truncated file is an error, not a SIGBUS.
 */

#include <stdint.h>

#include "layout/mailbox.h"

struct peek_body {
	struct body_layout body;
	uint64_t serial;	/* if it is in a file */
};

/* Return: 0; as mailbox_check() */
int peek_head(int fd, struct mailbox_layout *ret_head,
	      struct mailbox_geometry *ret_geometry);

/* Return: 1 a message lies in slot @index; 0 none; -EBADMSG; -errno */
int peek_slot(int fd, const struct mailbox_geometry *geometry, uint64_t index,
	      struct peek_body *ret_body);

/* A hold cell that is in use. */
struct peek_hold {
	uint64_t word;
	struct hold_layout record;
	struct peek_body body;
};

int peek_holds_high(int fd, uint32_t *ret_high);

/* Return: 1 a message is in cell @number; 0 none; -EBADMSG; -errno */
int peek_hold(int fd, const struct mailbox_geometry *geometry, uint32_t number,
	      struct peek_hold *ret_hold);

/**
 * peek_queue - the first positions never filled and not consumed, and what lies
 * between, as found by one pass over the slots
 */
struct peek_queue {
	uint64_t tail, head;
	uint64_t bytes;
	uint64_t in_files_bytes;	/* memory of bodies in files of their own */
};

/**
 * peek_unbounded - the same of an unbounded mailbox, and each message in it
 * @visit: not 0 ends it; 1 or -errno
 *
 * Return: 0; what @visit returned; -ENOMEM, -EBADMSG; -errno
 */
int peek_unbounded(int fd, const struct mailbox_geometry *geometry,
		   struct peek_queue *ret_queue,
		   int (*visit)(const struct peek_body *, void *context),
		   void *context);

int peek_queue(int fd, const struct mailbox_geometry *geometry,
	       const struct mailbox_layout *head, struct peek_queue *ret_queue);

#endif
