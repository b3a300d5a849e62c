/* SPDX-License-Identifier: MIT */
#ifndef CORE_POOL_H
#define CORE_POOL_H

/*
 * Where bodies lie: doc/mailbox-protocol.md, section 4. A sender takes chunks
 * of the shared pool for its own, cuts blocks from them and knows alone when a
 * block is free again: once the position of its message is consumed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/lock.h"
#include "layout/mailbox.h"

struct tol_link;
struct extent;
struct run;

struct pool {
	struct lock lock;
	struct extent *current;		/* small blocks are cut from it */
	struct extent *busy_first, *busy_last;	/* oldest first */
	struct extent *idle;		/* free to use, last used first */
	uint32_t idle_chunks;
	uint32_t chunks_count;
	uint64_t *backed;		/* bitmap: chunks that this process knows
					   to have memory */
	uint64_t table_backed;		/* the same for pages of chunk words */

	/* Of a heap instead: heap.c. */
	struct run *open;		/* small blocks are cut from it */
	struct run *kept;		/* used up, oldest first */
	uint32_t kept_runs, kept_chunks;
	struct run *reserved;		/* what files count for */
	uint32_t taken_chunks;		/* ours, or more */
};

/* A block that a body is being written to. */
struct pool_block {
	union {
		struct extent *extent;
		struct run *run;	/* of a heap */
	};
	uint32_t unit;
	uint32_t units : 31;
	uint32_t is_loan : 1;
};

int pool_init(struct tol_link *link);

/* The number's dead or departed owner left chunks: they are ours. */
int pool_adopt(struct tol_link *link, uint64_t tail_position);

/* Gives back what is free; the rest is for the heir. Frees private memory. */
void pool_fini(struct tol_link *link);

/**
 * pool_alloc - a block of memory of our own, backed, for one body
 *
 * Return: 0; -ENOSPC no memory; -ENOMEM
 */
int pool_alloc(struct tol_link *link, size_t size_bytes,
	       struct pool_block *ret_block);

/* For a block that will name a file of that size. Return: 0; -ENOSPC; -ENOMEM */
int pool_reserve(struct tol_link *link, size_t size_bytes,
		 const struct pool_block *block);

/* The block is a message at a position below @end: busy until then consumed. */
void pool_commit(struct tol_link *link, const struct pool_block *block,
		 uint64_t end_position);

/* It did not become a message. */
void pool_abort(struct tol_link *link, const struct pool_block *block);

/*
 * May [size_bytes] bytes from @unit be read? Inside the pool, and backed: to
 * touch a page that has no memory would take some, or be a SIGBUS.
 */
bool pool_may_read(struct tol_link *link, uint32_t unit, uint64_t size_bytes);

/* If so, what may be read of its beginning may be read to its end. */
static inline bool pool_is_one_chunk(uint32_t unit, uint64_t size_bytes)
{
	return (unit % MAILBOX_CHUNK_UNITS) * MAILBOX_UNIT_BYTES + size_bytes <=
	       MAILBOX_CHUNK_BYTES;
}

/* The same for what lies in one chunk that has been read before: no call. */
static inline bool pool_is_at_hand(const struct pool *pool, uint32_t unit,
				   uint64_t size_bytes)
{
	uint32_t chunk = unit / MAILBOX_CHUNK_UNITS;

	return chunk < pool->chunks_count &&
	       pool_is_one_chunk(unit, size_bytes) &&
	       (load_relaxed_64(&pool->backed[chunk / 64]) >> chunk % 64 & 1);
}

/*
 * Frees the chunks of a number that has no owner any more; the caller holds the
 * lock on it and has seen everything that was sent until then consumed. What is
 * held stays.
 *
 * Return: whether that was all
 */
bool pool_free_chunks_of(struct tol_link *link, uint32_t number,
			 uint64_t tail_position);

/* Does that number own chunks? */
bool pool_has_chunks_of(struct tol_link *link, uint32_t number);

/*
 * Gives free chunks back to the system, while this is the only participant:
 * nobody else reads a body late, or knows what has memory.
 *
 * Return: bytes given back
 */
uint64_t pool_trim(struct tol_link *link);

#endif
