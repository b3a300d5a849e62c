/* SPDX-License-Identifier: MIT */
#ifndef CORE_PEEK_H
#define CORE_PEEK_H

/*
 * Looking into a mailbox through a descriptor, without mapping it or taking
 * part: holes stay holes and a truncated file is an error, not a SIGBUS.
 */

#include <stdint.h>

#include "base/sys.h"
#include "layout/mailbox.h"
#include "tolsey.h"

struct peek_body {
	struct body_layout body;
	uint64_t serial;	/* if it is in a file */
	uint64_t position;	/* of one in the queue or in the index */
};

/* Return: descriptor, to read; -EINVAL; -ENOENT, -EACCES; errors of the space */
int peek_open(const char *name, const struct tol_mailbox_opts *opts,
	      struct sys_stat *ret_stat);

/* Return: 0; as mailbox_check() */
int peek_head(int fd, struct mailbox_layout *ret_head,
	      struct mailbox_geometry *ret_geometry);

/* Return: 0; -EBADMSG; -errno */
int peek_body(int fd, const struct mailbox_geometry *geometry, uint64_t unit,
	      struct peek_body *ret_body);

/* Heads of bodies are read beyond the end of a chunk only if they are nonsense. */
#define PEEK_SPILL_BYTES 256u

static_assert(sizeof(struct body_layout) + sizeof(struct body_extra_layout) +
		      sizeof(uint64_t) <= PEEK_SPILL_BYTES, "layout");

/* A chunk, and zeros behind it. */
struct peek_chunk {
	uint64_t number_plus_1;		/* 0: what was read is old */
	uint8_t bytes[MAILBOX_CHUNK_BYTES + PEEK_SPILL_BYTES];
};

/* The same by the whole chunk of a unit, read if @chunk has another one. */
int peek_body_in(int fd, const struct mailbox_geometry *geometry,
		 struct peek_chunk *chunk, uint64_t unit,
		 struct peek_body *ret_body);

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

/* What has left the ring for the index; zeros if nothing ever has. */
struct peek_moved {
	uint64_t moved_below;
	uint64_t received_count;	/* of those */
	uint32_t entries_high;
};

/* Return: 0; -EBADMSG; -errno */
int peek_moved(int fd, const struct mailbox_geometry *geometry,
	       struct peek_moved *ret_moved);

/*
 * Of each message that is found. Return: 0 go on; else the walk ends and returns
 * that; 1 or -errno
 */
typedef int peek_visit(const struct peek_body *body, void *context);

/**
 * peek_index - each message in the index, in no order
 *
 * One that comes or goes meanwhile is seen or not.
 *
 * Return: 0; what @visit returned; -ENOMEM, -EBADMSG; -errno
 */
int peek_index(int fd, const struct mailbox_geometry *geometry,
	       peek_visit *visit, void *context);

/**
 * peek_queue - the first positions never filled and not consumed, and what lies
 * between, as found by one pass over the slots
 */
struct peek_queue {
	uint64_t tail, head;
	uint64_t bytes;
	uint64_t in_files_bytes;	/* memory of bodies in files of their own */
	struct peek_moved moved;	/* before the pass */
};

/**
 * peek_unbounded - the same of an unbounded mailbox, and each message in it
 *
 * Return: 0; what @visit returned; -ENOMEM, -EBADMSG; -errno
 */
int peek_unbounded(int fd, const struct mailbox_geometry *geometry,
		   struct peek_queue *ret_queue, peek_visit *visit,
		   void *context);

/* @visit: NULL, or called for each message in the ring. Return: the same */
int peek_queue(int fd, const struct mailbox_geometry *geometry,
	       const struct mailbox_layout *head, struct peek_queue *ret_queue,
	       peek_visit *visit, void *context);

/* Adds a body to bytes and in_files_bytes. */
void peek_count(const struct peek_body *body, struct peek_queue *queue);

#endif
