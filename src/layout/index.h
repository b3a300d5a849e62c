/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_INDEX_H
#define LAYOUT_INDEX_H

/*
 * The index of a mailbox in which somebody selects: doc/mailbox-protocol.md,
 * section 12. It lies in the mailbox's file, behind the pool:
 *
 *	index_offset	struct index_layout			one page
 *	live_offset	uint64_t live[pool_chunks]		backed as live_backed
 *								says
 *	entries_offset	struct entry_layout[entries_max]	backed up to
 *								entries_backed
 *	nodes_offset	struct node_layout[4 * entries_max]	backed up to
 *								nodes_backed
 *	waiters_offset	struct waiter_layout[4096]		backed up to
 *								waiters_high
 *	lists_offset	struct change_list_layout[4096]		each by its owner
 *
 * A *word* here has a value in its low half and, in its high half, the low half of
 * the number of the change that wrote it. Numbers of entries and nodes are + 1; 0 is
 * none.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_ENTRIES_MAX (UINT64_C(1) << 26)
#define INDEX_NODES_PER_ENTRY 4u	/* a leaf and an inner one, in two trees */
#define INDEX_WAITERS_MAX 4096u
#define INDEX_SELECT_TAGS_MAX 64u
#define INDEX_TREES 2u			/* by tag, by sender */

static inline uint64_t index_word(uint32_t value, uint64_t change_number)
{
	return value | change_number << 32;
}

static inline uint32_t index_value(uint64_t word)
{
	return (uint32_t)word;
}

/*
 * change: {number of the change, participant, state}. IDLE: as many have been made.
 *
 *	 63                 13 12            1    0
 *	+---------------------+---------------+-----+
 *	|       number        |  participant  |state|
 *	+---------------------+---------------+-----+
 */
#define CHANGE_IDLE 0u
#define CHANGE_MADE 1u		/* its list is to be carried out */
#define CHANGE_NUMBER_SHIFT 13

static inline uint64_t change_word(unsigned int state, uint32_t participant,
				   uint64_t number)
{
	return state | (uint64_t)(participant & 0xfff) << 1 |
	       number << CHANGE_NUMBER_SHIFT;
}

static inline uint64_t change_number(uint64_t word)
{
	return word >> CHANGE_NUMBER_SHIFT;
}

static inline uint32_t change_participant(uint64_t word)
{
	return (uint32_t)(word >> 1 & 0xfff);
}

#define INDEX_LIVE_PAGE_CHUNKS 512u
#define INDEX_LIVE_PAGES_MAX 8192u

struct index_layout {
	uint64_t change;
	uint8_t pad_8[56];

	/* Written by changes only. These two only grow. */
	uint64_t moved_below;		/* positions that have left the ring */
	uint64_t received_count;	/* so many of them: slots below are free */
	/* Words. */
	uint64_t free_entry;		/* the rest by its links[0].next */
	uint64_t entries_high;
	uint64_t free_node;		/* the rest by its first */
	uint64_t nodes_high;
	uint64_t roots[INDEX_TREES];
	uint64_t waiting_count;		/* waiters that wait */
	uint64_t named_count;		/* and that have been named */
	uint8_t pad_144[48];

	/* Marks that only grow, written by whoever backs more. */
	uint32_t entries_backed;
	uint32_t nodes_backed;
	uint32_t waiters_high;
	uint8_t pad_204[52];
	uint64_t live_backed[INDEX_LIVE_PAGES_MAX / 64];	/* bits */
};

#define INDEX_HEAD_BYTES 4096u

static_assert(offsetof(struct index_layout, moved_below) == 64, "layout");
static_assert(offsetof(struct index_layout, roots) == 112, "layout");
static_assert(offsetof(struct index_layout, entries_backed) == 192, "layout");
static_assert(offsetof(struct index_layout, live_backed) == 256, "layout");
static_assert(sizeof(struct index_layout) <= INDEX_HEAD_BYTES, "layout");

/*
 * A message that has left the ring. Its position is written once for each message
 * and only grows; the rest are words. In a free entry unit is INDEX_NO_UNIT.
 */
#define INDEX_NO_UNIT UINT32_MAX

struct entry_layout {
	uint64_t unit;
	uint64_t position;
	uint64_t priority;
	struct {
		uint64_t next, previous;	/* in its group: entries */
	} links[INDEX_TREES];
	uint64_t named;		/* the waiter that it is for + 1 */
};

static_assert(sizeof(struct entry_layout) == 64, "layout");

/*
 * A node of a tree. A reference to one is its number + 1, and INDEX_LEAF if it is a
 * leaf: a group of messages with the same key and priority.
 */
#define INDEX_LEAF UINT32_C(0x80000000)

struct node_layout {
	uint64_t first;		/* leaf: entries; inner: left; free: the next free */
	uint64_t last;		/* inner: right */
	uint64_t count;		/* leaf: entries in it; inner: the bit that decides */
	uint64_t best;		/* inner: entry */
};

static_assert(sizeof(struct node_layout) == 32, "layout");

/* One who waits for what it has selected. */
#define WAITER_IDLE 0u
#define WAITER_WAITS 1u
#define WAITER_NAMED 2u		/* a message is there that it wants */

struct waiter_layout {
	uint64_t owner;		/* {changes, number + 1}; 0 in the low half: free */
	uint64_t state;		/* a word */
	uint64_t entry;		/* a word: the message that it was named for */
	uint64_t since;		/* number of the change by which it waits */
	uint32_t rung;		/* high half of the state for which it was woken */
	uint32_t by;		/* TOL_SELECT_; from here on its owner's, */
	uint64_t first_tag;	/* written while it is idle */
	uint64_t last_tag;
	uint32_t tags_count;
	uint32_t sender_pid;
	uint64_t tags[INDEX_SELECT_TAGS_MAX];
};

static_assert(offsetof(struct waiter_layout, rung) == 32, "layout");
static_assert(offsetof(struct waiter_layout, tags) == 64, "layout");
static_assert(sizeof(struct waiter_layout) == 576, "layout");

/* What one change writes, in its order. */
struct change_entry_layout {
	uint64_t offset_bytes;	/* of the word, in the file */
	uint64_t old_word;
	uint64_t new_word;
};

#define CHANGE_ENTRIES_MAX 340u

struct change_list_layout {
	uint64_t number;	/* of the change that it is for */
	uint64_t count;
	struct change_entry_layout entries[CHANGE_ENTRIES_MAX];
};

#define CHANGE_LIST_BYTES 8192u

static_assert(sizeof(struct change_list_layout) <= CHANGE_LIST_BYTES, "layout");

#endif
