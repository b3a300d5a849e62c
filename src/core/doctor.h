/* SPDX-License-Identifier: MIT */
#ifndef CORE_DOCTOR_H
#define CORE_DOCTOR_H

/*
 * Looking at every word of a mailbox, through a descriptor: a truncated file is an
 * error and not a SIGBUS, and nothing in it is believed.
 */

#include "core/space.h"
#include "layout/mailbox.h"
#include "tolsey.h"

enum found_kind { FOUND_RETURNED, FOUND_QUEUED, FOUND_DEAD };

/* A message that can be read. */
struct found {
	uint64_t position;
	uint64_t unit;
	uint64_t size_bytes;
	uint64_t serial;
	uint32_t sender_number;
	uint32_t flags;
	uint32_t offset_bytes;	/* of its bytes, or of the serial, in its block */
	uint32_t grant, first_grant;	/* of a hold cell */
	enum found_kind kind;
};

/* Something that is wrong. */
struct flaw {
	enum tol_finding_kind kind;
	char where[40];
	const char *what;
	uint64_t position;
};

struct exam {
	int fd;
	const struct space *space;
	struct sys_stat st;
	struct mailbox_layout head;
	struct mailbox_geometry geometry;
	struct found *found;
	uint64_t found_count, found_room;
	struct flaw *flaws;
	uint64_t flaws_count, flaws_room;
	uint64_t tail;		/* first position never filled, as it seems */
	uint64_t moved_below;	/* positions that have left for the index; or 0 */
	int error;		/* -ENOMEM, once there is no memory to note it */
};

/**
 * exam_begin - read the head
 * @fd: readable; stays the caller's
 *
 * Return: 1; 0 there is no telling how large it is: a flaw is noted; -EMEDIUMTYPE,
 *	-EPROTO; -errno. exam_fini() in any case
 */
int exam_begin(struct exam *exam, int fd, const struct space *space);

/* Looks at all of it. Return: 0; -errno */
int exam_run(struct exam *exam);
void exam_fini(struct exam *exam);

void exam_note(struct exam *exam, enum tol_finding_kind kind,
	       uint64_t position, const char *what, const char *where_format,
	       ...) __attribute__((format(printf, 5, 6)));
#define EXAM_NO_POSITION UINT64_MAX

/* Reads or says why not. Return: whether */
bool exam_read(const struct exam *exam, void *buf, size_t size_bytes,
	       uint64_t offset);

/**
 * exam_body - can a body be read?
 * @ret_found: all but position, kind and grants
 *
 * Return: NULL it can; or what is wrong with it
 */
const char *exam_body(const struct exam *exam, uint64_t unit,
		      struct found *ret_found);

void exam_keep(struct exam *exam, const struct found *found);

/*
 * doctor_build.c: makes a new mailbox of what was found, and puts it in the place of
 * the old one, which is quarantined and nobody else has open.
 *
 * Return: 0; -errno, and nothing has changed
 */
int exam_rebuild(const struct exam *exam, const char *name);

/* A byte of the presence range: whoever repairs locks it. */
#define PRESENCE_REPAIRER (MAILBOX_REMOVER_BASE + MAILBOX_REMOVERS_COUNT)

/* Is it what a repair that was killed has left? */
bool doctor_is_remnant(const struct space *space, const char *name);

/* doctor_ring.c: the slots. Return: 0; -ENOMEM */
int exam_ring(struct exam *exam);

/* doctor_index.c: what has moved to the index. Before the slots are looked at. */
void exam_index(struct exam *exam);

/* The message of a cell that a slot says has it. Is it there? */
bool exam_cell_has(const struct exam *exam, uint32_t cell, uint64_t position);

#endif
