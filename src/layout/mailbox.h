/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_MAILBOX_H
#define LAYOUT_MAILBOX_H

/*
 * Every byte of a mailbox's file. doc/mailbox-protocol.md says what it is for.
 *
 *	0		struct mailbox_layout			one page
 *	ring_offset	uint64_t slot[ring_slots]		whole pages; of an
 *								unbounded one granules
 *								where they are used
 *	participants_	struct participant_layout[4096]		backed up to
 *	  offset						participants_high
 *	holds_offset	uint64_t hold_word[65536]		backed up to
 *								holds_high
 *	hold_records_	struct hold_layout[65536]		the same
 *	  offset
 *	chunks_offset	uint32_t chunk[pool_chunks]		backed up to
 *								chunks_high
 *	pool_offset	uint8_t unit[pool_chunks][1024][64]	backed where
 *								a chunk was taken
 *	index_offset	see layout/index.h
 *	identities_	struct identity_layout[65536]		backed up to
 *	  offset						identities_backed
 *
 * An unbounded mailbox, and one with a limit of memory, has a heap instead of
 * the table of chunks (core/heap.c):
 *
 *	pages_offset	uint32_t heap_page[pool_chunks / 512]	whole pages
 *	chunks_offset	uint64_t heap_chunk[pool_chunks]	where heap_page
 *								says so
 *
 * The offsets follow from capacity and pool_chunks alone. The file is sparse:
 * memory is taken as it is needed, always by a call that can fail.
 *
 * Invariants (T first position never filled, H first not consumed):
 *	head <= H <= T <= H + capacity		tail <= T
 *	participants_high >= any number ever taken, + 1
 *	chunks_high >= any chunk ever taken, + 1
 *	holds_high > any hold cell ever used
 *	returns has count 0 => no hold cell is RETURNED; dead_letters: DEAD
 * Unbounded: punched_done <= punched_below <= H <= T <= ring_backed
 */

#include <stdbool.h>

#include "layout/identity.h"
#include "layout/index.h"
#include "layout/object.h"

#define MAILBOX_PAGE_BYTES 4096u
#define MAILBOX_UNIT_BYTES 64u
#define MAILBOX_CHUNK_UNITS 1024u
#define MAILBOX_CHUNK_BYTES (MAILBOX_UNIT_BYTES * MAILBOX_CHUNK_UNITS)
#define MAILBOX_POOL_CHUNKS_MAX 65536u
#define MAILBOX_POOL_CHUNKS_MIN 64u
#define MAILBOX_PARTICIPANTS_MAX 4096u
#define MAILBOX_HOLDS_MAX 65536u
#define MAILBOX_CAPACITY_MAX_MSGS (UINT64_C(1) << 20)

/* Of an unbounded one: as many slots and chunks, halved until they fit. */
#define MAILBOX_UNBOUNDED UINT64_MAX
#define MAILBOX_RING_SHIFT_MAX 32u
#define MAILBOX_RING_SHIFT_MIN 16u
#define MAILBOX_GRANULE_SLOTS 2048u
#define MAILBOX_GRANULE_BYTES (MAILBOX_GRANULE_SLOTS * 8u)
#define MAILBOX_HEAP_CHUNKS_MAX ((1u << 22) - 512u)
#define MAILBOX_HEAP_PAGE_CHUNKS 512u

/* Low 8 bits of control; above them the remover's presence number. */
#define CONTROL_LIVE 0u
#define CONTROL_REMOVING 1u
#define CONTROL_REMOVED 2u
#define CONTROL_QUARANTINED 3u
#define CONTROL_STATE_MASK UINT64_C(0xff)
#define CONTROL_NUMBER_SHIFT 8

/* Presence numbers: participants first, those who remove after them. */
#define MAILBOX_REMOVER_BASE (UINT64_C(1) << 32)
#define MAILBOX_REMOVERS_COUNT (UINT64_C(1) << 32)

/*
 *	  0 .. 31	head
 *	 32 .. 63	fixed when it was made
 *	 64 .. 71	written when its capacity is changed
 *	 72 .. 95	fixed when it was made
 *	 96 .. 103	read by every send, written when somebody taps
 *	128 .. 191	control, bell and what came back: read by every call,
 *			written when somebody sleeps, returns or removes
 *	192 .. 239	memory of the ring and the heap: read by every call on
 *			an unbounded mailbox, written once in 2048 messages
 *	240 .. 255	dead letters; leases, for those who poll
 *	256 .. 263	tail hint		any sender
 *	384 .. 391	head hint		any receiver
 *	512 .. 539	marks that only grow	any participant
 */
struct mailbox_layout {
	struct object_layout object;
	uint64_t capacity_msgs;
	uint32_t pool_chunks;
	uint32_t creator_pid;
	uint64_t id;
	int64_t created_unix_ns;
	uint64_t limit_msgs;	/* capacity now, not above capacity_msgs */

	uint32_t ring_shift;		/* unbounded only: log2 of its slots */
	uint32_t has_heap;
	uint64_t memory_limit_bytes;	/* 0 none; of bodies, whole chunks */
	uint64_t sender_quota_bytes;	/* the same, of each participant's */
	uint64_t taps;		/* four numbers of 16 bits; 0 nobody taps */
	uint64_t shape_check;	/* of capacity, chunks, shift, heap: as made */
	uint8_t pad_112[16];

	uint64_t control;
	uint64_t receivers;	/* {count, epoch} of sleepers in receive */
	uint64_t senders;	/* {count, epoch} of sleepers in send */
	uint32_t bell;		/* always 0 */
	uint32_t ended;		/* 1: no more messages, for good */
	uint64_t returns;	/* {count, epoch}: 0, nothing has come back */
	uint32_t polled;	/* POLLED_ and a version: see core/watch.h */
	uint32_t pad_172;
	uint64_t dead_receivers; /* {count, epoch} asleep for dead letters */
	uint64_t lease_due;	/* when the first lease may end; see hold.c */

	uint64_t ring_backed;	/* first position without memory */
	uint64_t punched_below;	/* nobody enters below */
	uint64_t punched_done;	/* memory is given back below */
	uint64_t collector;	/* {version, number + 1}; see collect.c */
	uint32_t garbage;	/* not 0: something to be given back */
	uint32_t chunk_hint;	/* the lowest that may be free */
	uint32_t pages_high;	/* no page of chunk words was used from here on */
	uint32_t unwatched;	/* {version, 1: receivers sleep without a look now and then} */
	uint64_t dead_letters;	/* as returns, for dead letters */
	uint64_t polled_due;	/* lease_due as those who poll know it */

	uint64_t tail;
	uint8_t pad_264[120];

	uint64_t head;
	uint8_t pad_392[120];

	uint32_t participants_high;
	uint32_t chunks_high;
	uint32_t has_body_files;	/* 0, or 1 for good */
	uint32_t holds_high;
	uint32_t sorted;	/* SORTED_ */
	uint32_t identities_next;	/* counts who has joined */
	uint32_t identities_backed;
	uint32_t pad_540;	/* or where longs have 32 bits it would be shorter */
};

/* Somebody selects, or has sent with a priority: receive from the index. */
#define SORTED_NOT 0u
#define SORTED_UNTOLD 1u	/* those who sleep are to be told */
#define SORTED_TOLD 2u

static_assert(offsetof(struct mailbox_layout, capacity_msgs) == 32, "layout");
static_assert(offsetof(struct mailbox_layout, pool_chunks) == 40, "layout");
static_assert(offsetof(struct mailbox_layout, creator_pid) == 44, "layout");
static_assert(offsetof(struct mailbox_layout, id) == 48, "layout");
static_assert(offsetof(struct mailbox_layout, created_unix_ns) == 56, "layout");
static_assert(offsetof(struct mailbox_layout, limit_msgs) == 64, "layout");
static_assert(offsetof(struct mailbox_layout, control) == 128, "layout");
static_assert(offsetof(struct mailbox_layout, receivers) == 136, "layout");
static_assert(offsetof(struct mailbox_layout, senders) == 144, "layout");
static_assert(offsetof(struct mailbox_layout, bell) == 152, "layout");
static_assert(offsetof(struct mailbox_layout, ended) == 156, "layout");
static_assert(offsetof(struct mailbox_layout, returns) == 160, "layout");
static_assert(offsetof(struct mailbox_layout, polled) == 168, "layout");
static_assert(offsetof(struct mailbox_layout, dead_receivers) == 176, "layout");
static_assert(offsetof(struct mailbox_layout, lease_due) == 184, "layout");
static_assert(offsetof(struct mailbox_layout, ring_shift) == 72, "layout");
static_assert(offsetof(struct mailbox_layout, memory_limit_bytes) == 80, "layout");
static_assert(offsetof(struct mailbox_layout, taps) == 96, "layout");
static_assert(offsetof(struct mailbox_layout, ring_backed) == 192, "layout");
static_assert(offsetof(struct mailbox_layout, garbage) == 224, "layout");
static_assert(offsetof(struct mailbox_layout, unwatched) == 236, "layout");
static_assert(offsetof(struct mailbox_layout, dead_letters) == 240, "layout");
static_assert(offsetof(struct mailbox_layout, tail) == 256, "layout");
static_assert(offsetof(struct mailbox_layout, head) == 384, "layout");
static_assert(offsetof(struct mailbox_layout, participants_high) == 512, "layout");
static_assert(offsetof(struct mailbox_layout, chunks_high) == 516, "layout");
static_assert(offsetof(struct mailbox_layout, has_body_files) == 520, "layout");
static_assert(offsetof(struct mailbox_layout, holds_high) == 524, "layout");
static_assert(offsetof(struct mailbox_layout, sorted) == 528, "layout");
static_assert(sizeof(struct mailbox_layout) == 544, "layout");

/*
 * One participant; written only by whoever holds the lock on its number.
 * 0 .. 63 who it is, 64 .. 127 what its next heir needs, 128 .. 191 who of it is
 * inside a call, see core/inside.h.
 */
#define PARTICIPANT_INSIDE_COUNT 16u

#define PARTICIPANT_FREE 0u
#define PARTICIPANT_JOINED 1u
#define PARTICIPANT_MAY_SEND 1u
#define PARTICIPANT_MAY_RECV 2u

struct participant_layout {
	uint32_t state;
	uint32_t pid;
	uint32_t uid;
	uint32_t flags;
	char program[16];
	uint32_t waiting_send;
	uint32_t waiting_recv;
	uint32_t identity;		/* or 0; see layout/identity.h */
	uint8_t pad_44[20];

	uint32_t current_chunk;		/* number + 1, or 0 */
	uint32_t current_used_units;
	uint64_t body_serial;
	uint32_t body_drafts_count;	/* files of bodies not yet messages */
	uint8_t pad_84[4];

	/* Those of it who wait otherwise than asleep in a call: core/watch.h. */
	uint64_t watch[2];		/* to receive, to send */
	uint64_t poll_sockets[2];	/* of descriptors: .poll.ID, or 0 */
	uint64_t hub_socket;		/* of tol_wait(), or 0 */

	uint32_t inside[PARTICIPANT_INSIDE_COUNT];
};

static_assert(offsetof(struct participant_layout, program) == 16, "layout");
static_assert(offsetof(struct participant_layout, waiting_send) == 32, "layout");
static_assert(offsetof(struct participant_layout, current_chunk) == 64, "layout");
static_assert(offsetof(struct participant_layout, body_serial) == 72, "layout");
static_assert(offsetof(struct participant_layout, body_drafts_count) == 80,
	      "layout");
static_assert(offsetof(struct participant_layout, watch) == 88, "layout");
static_assert(offsetof(struct participant_layout, inside) == 128, "layout");
static_assert(sizeof(struct participant_layout) == 192, "layout");

/*
 * A watch word; only who holds the number arms it, anybody else rings.
 *
 *	 63                       3  2     1   0
 *	+--------------------------+------+-------+
 *	|  arming                  | dead | state |
 *	+--------------------------+------+-------+
 *
 * dead: it waits for dead letters.
 */
#define WATCH_IDLE 0u
#define WATCH_ARMED 1u		/* to be rung when it is ready */
#define WATCH_RINGING 2u	/* somebody is about to, or did */
#define WATCH_STATE_MASK UINT64_C(3)
#define WATCH_DEAD UINT64_C(4)
#define WATCH_STEP UINT64_C(8)

/* Of polled: somebody may be armed for that; above them a version. */
#define POLLED_RECV 1u
#define POLLED_SEND 2u
#define POLLED_DEAD 4u
#define POLLED_MASK 7u
#define POLLED_STEP 8u

/* A chunk word: 0 free, else the participant's number + 1. */
#define CHUNK_FREE 0u

/*
 * A chunk word of a heap. Whole words are swapped; 0 is FREE.
 *
 *	 63             16 15         3 2     0
 *	+-----------------+------------+-------+
 *	|  end position   | owner + 1  | state |
 *	+-----------------+------------+-------+
 */
#define HEAP_FREE 0u
#define HEAP_TAKEN 1u		/* by its owner, has no memory yet */
#define HEAP_OPEN 2u		/* its owner cuts blocks from it */
#define HEAP_LENT 3u		/* the same, and some are lent: nobody else's */
#define HEAP_CLOSED 4u		/* its messages are all below its end */
#define HEAP_GOING 5u		/* closed, and its memory is being given back */
#define HEAP_REVOKED 6u		/* open, but its owner must not use it any more */
#define HEAP_END_BITS 48

static inline uint64_t heap_make(unsigned int state, uint32_t owner_plus_1,
				 uint64_t end_position)
{
	return state | (uint64_t)(owner_plus_1 & 0x1fff) << 3 |
	       end_position << (64 - HEAP_END_BITS);
}

static inline unsigned int heap_state(uint64_t word)
{
	return (unsigned int)(word & 7);
}

static inline uint32_t heap_owner_plus_1(uint64_t word)
{
	return (uint32_t)(word >> 3 & 0x1fff);
}

/* Is @position at or behind the end of the word's messages? Over the wrap. */
static inline bool heap_ends_below(uint64_t word, uint64_t position)
{
	uint64_t end = word >> (64 - HEAP_END_BITS);

	return (int64_t)((position - end) << (64 - HEAP_END_BITS)) >= 0;
}

/* Of a page of the table of chunk words. */
#define HEAP_PAGE_ABSENT 0u	/* it has no memory */
#define HEAP_PAGE_PRESENT 1u
#define HEAP_PAGE_GOING 2u	/* memory is being given back: not to be used */

/*
 * What a body begins with, in its first unit; the bytes follow. Written by the
 * sender before the message exists, not after, until it is consumed.
 */
#define BODY_IN_FILE 1u		/* the bytes are the file's serial, 8 bytes */
#define BODY_HAS_EXTRA 2u	/* struct body_extra_layout comes before them */
#define BODY_HAS_SEGMENT 4u	/* its segment bytes are those of a handle */

struct body_layout {
	uint64_t size_bytes;	/* of the message */
	uint64_t tag;
	uint16_t flags;
	uint16_t priority;
	uint32_t sender;	/* see layout/identity.h */
	uint32_t sender_pid;
	uint32_t sender_uid;
};

static_assert(offsetof(struct body_layout, flags) == 16, "layout");
static_assert(sizeof(struct body_layout) == 32, "layout");

/* What few messages have; and all that were written in place. */
struct body_extra_layout {
	int64_t expires_ns;	/* base/clock.h, or 0 never */
	uint8_t pad_8[24];
	uint8_t segment[64];	/* a handle */
};

static_assert(offsetof(struct body_extra_layout, segment) == 32, "layout");
static_assert(sizeof(struct body_extra_layout) == 96, "layout");

/*
 * A hold cell: one message that somebody has taken, or that came back, or a
 * dead letter. The word says which; the record is written by the owner of a
 * claim, before the message is its, and then stays as it is, save the deadline.
 *
 *	 63        44 43               15 14          3 2     0
 *	+------------+-------------------+-------------+-------+
 *	|    bump    |       grant       |    owner    | state |
 *	+------------+-------------------+-------------+-------+
 *
 * grant: goes up by one each time that somebody gets the cell, or the message
 * in it. bump: by one with every other change.
 */
#define HOLD_FREE 0u
#define HOLD_CLAIM 1u		/* the owner is about to take a message */
#define HOLD_HELD 2u
#define HOLD_RETURNED 3u	/* for whoever comes first */
#define HOLD_DEAD 4u		/* a dead letter */
#define HOLD_HELD_DEAD 5u	/* a dead letter that somebody has taken */
#define HOLD_POINT 6u		/* of a receiver that waited: see its bump */
#define HOLD_STATE_MASK UINT64_C(7)
#define HOLD_OWNER_SHIFT 3
#define HOLD_OWNER_MASK UINT64_C(0xfff)
#define HOLD_GRANT_SHIFT 15
#define HOLD_GRANT_MASK UINT64_C(0x1fffffff)
#define HOLD_BUMP_SHIFT 44

struct hold_layout {
	uint64_t position;
	uint64_t unit;
	uint64_t units_count;	/* that its body takes in the pool */
	uint64_t deadline;	/* {ms of base/clock.h, 0 none; grant, low 24 bits} */
	uint32_t wish;		/* of a call that waits: a waiter + 1, 0 any */
	uint32_t first_grant;	/* tries = grant - first_grant + 1 */
	/* Of a call that waits in a mailbox of capacity 0. */
	uint32_t bell;		/* always 0 */
	uint32_t asleep;	/* 1: to be woken when its place has changed */
	uint32_t waiter;	/* thread; the kernel marks it when it dies */
	uint8_t pad_52[12];
};

static_assert(offsetof(struct hold_layout, bell) == 40, "layout");
static_assert(offsetof(struct hold_layout, deadline) == 24, "layout");
static_assert(sizeof(struct hold_layout) == 64, "layout");
static_assert(MAILBOX_PARTICIPANTS_MAX - 1 == HOLD_OWNER_MASK, "layout");

static inline uint64_t hold_make(unsigned int state, uint32_t owner,
				 uint64_t grant, uint64_t bump)
{
	return state | (uint64_t)owner << HOLD_OWNER_SHIFT |
	       (grant & HOLD_GRANT_MASK) << HOLD_GRANT_SHIFT |
	       bump << HOLD_BUMP_SHIFT;
}

static inline unsigned int hold_state(uint64_t word)
{
	return (unsigned int)(word & HOLD_STATE_MASK);
}

static inline uint32_t hold_owner(uint64_t word)
{
	return (uint32_t)(word >> HOLD_OWNER_SHIFT & HOLD_OWNER_MASK);
}

static inline uint32_t hold_grant(uint64_t word)
{
	return (uint32_t)(word >> HOLD_GRANT_SHIFT & HOLD_GRANT_MASK);
}

static inline uint64_t hold_bump(uint64_t word)
{
	return word >> HOLD_BUMP_SHIFT;
}

/*
 * A slot word:
 *
 *	 63    58 57          32 31                2 1   0
 *	+--------+--------------+-------------------+-----+
 *	| lap hi |     unit     |     lap low 30    |state|
 *	+--------+--------------+-------------------+-----+
 *
 * The low half changes with every transition; sleepers compare it.
 */
#define SLOT_EMPTY 1u
#define SLOT_FULL 2u
#define SLOT_TAKEN 3u		/* the unit is the number of a hold cell */
#define SLOT_UNIT_END SLOT_UNIT_MASK	/* with SLOT_TAKEN: nothing comes here */
#define SLOT_UNIT_MOVED (SLOT_UNIT_MASK - 1)	/* its message is in the index */
#define SLOT_LAP_BITS 36
#define SLOT_LAP_LOW_MASK UINT64_C(0x3fffffff)
#define SLOT_UNIT_MASK UINT64_C(0x03ffffff)

static inline uint64_t slot_make(unsigned int state, uint64_t lap,
				 uint32_t unit)
{
	return state | (lap & SLOT_LAP_LOW_MASK) << 2 | (uint64_t)unit << 32 |
	       (lap >> 30 & 0x3f) << 58;
}

static inline unsigned int slot_state(uint64_t word)
{
	return (unsigned int)(word & 3);
}

static inline uint32_t slot_unit(uint64_t word)
{
	return (uint32_t)(word >> 32 & SLOT_UNIT_MASK);
}

/* Of 36 bits. */
static inline uint64_t slot_lap(uint64_t word)
{
	return (word >> 2 & SLOT_LAP_LOW_MASK) | (word >> 58) << 30;
}

/* How many laps the word is ahead of @lap, over the wrap of 36 bits. */
static inline int64_t slot_laps_ahead(uint64_t word, uint64_t lap)
{
	return (int64_t)((slot_lap(word) - lap) << (64 - SLOT_LAP_BITS)) >>
	       (64 - SLOT_LAP_BITS);
}

/*
 * A slot from which the message goes to the index, with its unit + 1, so that no
 * such word is 0. It becomes MOVED, or, in an unbounded mailbox, EMPTY of the next
 * lap.
 */
#define SLOT_MOVING 0u

/*
 * A slot word of an unbounded mailbox: lap of 30 bits, unit of 32; the low half
 * is as above. The word 0 is EMPTY of the lap of its position.
 */
static inline uint64_t slot_make_unbounded(unsigned int state, uint64_t lap,
					   uint32_t unit)
{
	return state | (lap & SLOT_LAP_LOW_MASK) << 2 | (uint64_t)unit << 32;
}

static inline uint32_t slot_unit_unbounded(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline int64_t slot_laps_ahead_unbounded(uint64_t word, uint64_t lap)
{
	return (int64_t)(((word >> 2 & SLOT_LAP_LOW_MASK) - lap) << 34) >> 34;
}

/*
 * Capacity 0: the ring has those who wait. A slot word:
 *
 *	 63      48 47      32 31              3 2     0
 *	+----------+----------+-----------------+-------+
 *	|  offer   | request  |       lap       | state |
 *	+----------+----------+-----------------+-------+
 *
 * offer and request are numbers of hold cells, MEET_NONE where there is none.
 */
#define MEET_SLOTS 4096u
#define MEET_EMPTY 1u		/* nobody has waited here in this lap */
#define MEET_OFFER 2u		/* a sender waits */
#define MEET_REQUEST 3u		/* a receiver waits */
#define MEET_MATCHED 4u		/* they have met */
#define MEET_GONE 5u		/* it does not wait any more */
#define MEET_NONE 0xffffu
#define MEET_LAP_BITS 29

static inline uint64_t meet_make(unsigned int state, uint64_t lap,
				 uint32_t request, uint32_t offer)
{
	return state | (lap & ((UINT64_C(1) << MEET_LAP_BITS) - 1)) << 3 |
	       (uint64_t)request << 32 | (uint64_t)offer << 48;
}

static inline unsigned int meet_state(uint64_t word)
{
	return (unsigned int)(word & 7);
}

static inline uint32_t meet_request(uint64_t word)
{
	return (uint32_t)(word >> 32 & MEET_NONE);
}

static inline uint32_t meet_offer(uint64_t word)
{
	return (uint32_t)(word >> 48);
}

static inline int64_t meet_laps_ahead(uint64_t word, uint64_t lap)
{
	uint64_t ahead = ((word >> 3) - lap) << (64 - MEET_LAP_BITS);

	return (int64_t)ahead >> (64 - MEET_LAP_BITS);
}

/* The geometry, computed once from checked numbers. */
struct mailbox_geometry {
	uint64_t capacity_msgs;		/* or MAILBOX_UNBOUNDED */
	uint64_t ring_slots;
	uint64_t ring_offset;
	uint64_t participants_offset;
	uint64_t holds_offset;
	uint64_t hold_records_offset;
	uint64_t index_offset;
	uint64_t live_offset;
	uint64_t entries_offset;
	uint64_t nodes_offset;
	uint64_t waiters_offset;
	uint64_t lists_offset;
	uint64_t identities_offset;
	uint64_t pages_offset;
	uint64_t chunks_offset;
	uint64_t pool_offset;
	uint64_t file_bytes;
	uint32_t pool_chunks;
	uint32_t entries_max;
	bool has_heap;
};

static inline bool mailbox_is_unbounded(const struct mailbox_geometry *geometry)
{
	return geometry->capacity_msgs == MAILBOX_UNBOUNDED;
}

uint64_t mailbox_signature(void);

/* What the geometry follows from. */
struct mailbox_shape {
	uint64_t capacity_msgs;
	uint32_t pool_chunks;
	uint32_t ring_shift;
	bool has_heap;
};

/*
 * What a tap is sent of a message (core/tap.h): this, then the first bytes of the
 * body, in a mailbox of its own.
 */
struct tapped_layout {
	uint64_t position;
	uint64_t size_bytes;	/* of the whole body */
	uint64_t tag;
	uint32_t sender_pid;
	uint32_t sender_uid;
	uint32_t flags;		/* BODY_HAS_SEGMENT */
	uint32_t priority;
	uint32_t sender;
	uint8_t pad_44[20];
	uint8_t segment[64];
};

static_assert(offsetof(struct tapped_layout, segment) == 64, "layout");
static_assert(sizeof(struct tapped_layout) == 128, "layout");

/* Return: false if the numbers are out of range */
bool mailbox_compute(const struct mailbox_shape *shape,
		     struct mailbox_geometry *ret_geometry);

uint64_t mailbox_shape_check(const struct mailbox_layout *head);

/* Return: 0; -EBADMSG, -EPROTO, -EMEDIUMTYPE */
int mailbox_check(const struct mailbox_layout *head, uint64_t file_bytes,
		  struct mailbox_geometry *ret_geometry);

#endif
