/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_SEGMENT_H
#define LAYOUT_SEGMENT_H

/*
 * Every byte of a segment's file but the user's own.
 *
 *	0		struct segment_layout			one page
 *	data_offset	the user's bytes			to the file's end
 *
 * data_offset is 4096, or 2 MiB if huge pages shall be possible; what lies
 * between the head and it is a hole. The size is the file's size less
 * data_offset, exactly, and stands nowhere else. The head is never mapped:
 * it is read and written by calls, so nobody who truncates the file can hurt
 * whoever looks at it.
 *
 * Beside the bytes, locks (presence.h) say who uses it. Numbers:
 *	0 .. 2^40-1			attachments, each a random one;
 *					a read lock for a read-only one
 *	SEGMENT_SEALER			whoever is sealing it
 *	SEGMENT_GROWER_BASE ..		whoever is making it larger
 */

#include "layout/object.h"

#define SEGMENT_PAGE_BYTES 4096u
#define SEGMENT_HUGE_BYTES (UINT64_C(1) << 21)
#define SEGMENT_KIND 2u

#define SEGMENT_IS_PRIVATE 1u
#define SEGMENT_IS_LAZY 2u
#define SEGMENT_IS_HUGE 4u
#define SEGMENT_FLAGS_KNOWN 7u

/* Values of sealed. A named segment only: the kernel seals a private one. */
#define SEGMENT_OPEN 0u
#define SEGMENT_SEALING 1u	/* means nothing unless SEGMENT_SEALER is locked */
#define SEGMENT_SEALED 2u

#define SEGMENT_SEALER (UINT64_C(1) << 40)
#define SEGMENT_GROWER_BASE (UINT64_C(1) << 41)
#define SEGMENT_GROWERS_COUNT (UINT64_C(1) << 40)

/* Mode and owner after a change by this library, and when that was. */
struct segment_change_layout {
	int64_t changed_unix_ns;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t pad_20;
};

/*
 * Last use for writing. Attaching writes 0 .. 15 in one call, detaching
 * 8 .. 23, so that a pid always stands with the time it belongs to.
 */
struct segment_use_layout {
	int64_t attached_unix_ns;
	uint32_t last_pid;
	uint32_t pad_12;
	int64_t detached_unix_ns;
};

/*
 *	  0 .. 71	fixed when it was made
 *	128 .. 131	sealed			the sealer, holding its lock
 *	136 .. 159	change			who makes it, grows it, seals it
 *	192 .. 215	use			who attaches it for writing
 */
struct segment_layout {
	struct object_layout object;
	uint64_t data_offset;
	uint32_t flags;
	uint32_t creator_pid;
	uint64_t id[2];
	int64_t created_unix_ns;
	uint8_t pad_72[56];

	uint32_t sealed;
	uint32_t pad_132;
	struct segment_change_layout change;
	uint8_t pad_160[32];

	struct segment_use_layout use;
};

static_assert(sizeof(struct segment_change_layout) == 24, "layout");
static_assert(offsetof(struct segment_use_layout, last_pid) == 8, "layout");
static_assert(offsetof(struct segment_use_layout, detached_unix_ns) == 16,
	      "layout");
static_assert(sizeof(struct segment_use_layout) == 24, "layout");
static_assert(offsetof(struct segment_layout, data_offset) == 32, "layout");
static_assert(offsetof(struct segment_layout, flags) == 40, "layout");
static_assert(offsetof(struct segment_layout, creator_pid) == 44, "layout");
static_assert(offsetof(struct segment_layout, id) == 48, "layout");
static_assert(offsetof(struct segment_layout, created_unix_ns) == 64, "layout");
static_assert(offsetof(struct segment_layout, sealed) == 128, "layout");
static_assert(offsetof(struct segment_layout, change) == 136, "layout");
static_assert(offsetof(struct segment_layout, use) == 192, "layout");
static_assert(sizeof(struct segment_layout) == 216, "layout");

uint64_t segment_signature(void);

/**
 * segment_check_head - does it make sense?
 * @head: a private copy of the bytes
 * @file_bytes: size of the file
 *
 * Return: 0; -EBADMSG, -EPROTO, -EMEDIUMTYPE
 */
int segment_check_head(const struct segment_layout *head, uint64_t file_bytes);

/*
 * The bytes of a struct tol_segment_handle: where to look in /proc, and what
 * must be found there. Untrusted whenever it is read.
 */
#define SEGMENT_HANDLE_MAGIC UINT64_C(0x0167657379656c74)	/* "tleyseg\1" */

struct segment_handle_layout {
	uint64_t magic;
	int32_t pid;
	int32_t fd;
	uint64_t device;
	uint64_t inode;
	uint64_t id[2];
	uint64_t zero[2];
};

static_assert(offsetof(struct segment_handle_layout, device) == 16, "layout");
static_assert(offsetof(struct segment_handle_layout, id) == 32, "layout");
static_assert(sizeof(struct segment_handle_layout) == 64, "layout");

#endif
