/* SPDX-License-Identifier: MIT */
#ifndef CORE_SEGMENT_H
#define CORE_SEGMENT_H

/*
 * Segments: this process's own view. doc/adr/0005-segments.md has the why.
 *
 * All handles of the process are in one list, for the sake of fork(). The list,
 * and each handle's attachments, are touched with the fork guard held only;
 * the rest of a handle does not change while it is ready.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"
#include "layout/segment.h"
#include "tolsey.h"

struct attachment {
	struct attachment *next;
	void *address;
	size_t span_bytes;	/* of the mapping, whole pages */
	bool is_writable;
	bool is_inherited;	/* by a child of fork() */
	bool is_ready;		/* the call that makes it has come through */
	bool is_absent;		/* a child could not have it: nothing there */
	int fork_fd;		/* while fork() runs: bears the child's presence */
};

struct tol_segment {
	struct tol_segment *next;
	struct attachment *attachments;
	int fd;			/* bears no lock */
	int dir_fd;		/* of the space, while it is being made */
	bool is_ready;		/* else a child drops it */
	bool is_writable;	/* as it was opened */
	uint32_t process_number;	/* fork_process_number() that opened it */
	uint64_t device, inode;

	/* Copied from the head once it was checked. */
	uint64_t data_offset;
	uint32_t flags;
	uint32_t creator_pid;
	uint64_t id[2];
	int64_t created_unix_ns;
};

/* segment_attach.c: the list */

/**
 * segment_guard_enter - take the fork guard, and notice a raw clone() child
 *
 * Return: 0; -ENOMEM and the guard is not held
 */
int segment_guard_enter(void);

/* The same where a handle is there: then it has succeeded, and cannot fail. */
void segment_guard_enter_again(void);
void segment_guard_leave(void);

/* With the guard held. */
void segment_register(struct tol_segment *segment);
void segment_unregister(struct tol_segment *segment);

/*
 * A descriptor in use by a call that does not hold the guard: a child made
 * meanwhile closes its copy. Lives on the caller's stack.
 */
struct segment_passing {
	struct segment_passing *next;
	int fd;
};

/* With the guard held. */
void segment_pass(struct segment_passing *passing);

/* Closes it. Without the guard. */
void segment_pass_end(struct segment_passing *passing);

/* Undoes all that this process has attached. With the guard held. */
void segment_detach_all(struct tol_segment *segment);

/* segment.c */

/**
 * segment_check_fd - is the descriptor still the segment's, and its size sane?
 *
 * closefrom() or a stray close() may have taken it, and open() given the
 * number to another file.
 *
 * Return: 0; -EINVAL no segment at all; -ECHILD it is gone and was the parent's;
 *	-EBADF it is gone; -EBADMSG truncated
 */
int segment_check_fd(const struct tol_segment *segment,
		     struct sys_stat *ret_stat);

/* Return: 1 or 0; -EBADMSG */
int segment_is_sealed(const struct tol_segment *segment);

/**
 * segment_reopen - a description of its own of the segment's file
 *
 * Return: descriptor; -EPERM sealed meanwhile, so that it cannot be written any
 *	more; -EACCES, -EMFILE...
 */
int segment_reopen(const struct tol_segment *segment, bool is_writable);

/* Writes into the head unless RLIMIT_FSIZE would make that a signal. */
int segment_write_head(int fd, const void *bytes, size_t size_bytes,
		       uint64_t offset);

/**
 * segment_adopt - read and check the head of what is open as @segment->fd
 *
 * Return: 0; -EBADMSG, -EPROTO, -EMEDIUMTYPE
 */
int segment_adopt(struct tol_segment *segment);

/**
 * segment_begin - a new handle, in the list, for a call that opens something
 *
 * On success the guard is held: a child must know of what is opened.
 *
 * Return: 0; -ENOMEM
 */
int segment_begin(struct tol_segment **ret_segment);

/* Leaves the guard; the handle is ready and given away, or freed if @err. */
int segment_end(struct tol_segment *segment, int err,
		struct tol_segment **ret_segment);

/* segment_seal.c */

/**
 * segment_may_write - after a presence was taken: is it still not sealed?
 * @fd: the description that bears the presence
 *
 * Return: 0; -EPERM sealed or just being sealed; -EBADMSG
 */
int segment_may_write(const struct tol_segment *segment, int fd);

#endif
