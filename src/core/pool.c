/* SPDX-License-Identifier: MIT */
/*
 * Chunks and blocks.
 *
 * Shared: chunk words. FREE -> number + 1 by CAS of any participant for
 * itself; number + 1 -> FREE by the owner, or, once the owner is gone and all
 * that it sent is consumed, by whoever holds the lock on its number.
 *
 * Invariant: bytes of a chunk are written by its owner only, and bytes of a
 * block never between publication and consumption of its message.
 *
 * Crash: a chunk taken and not used is the heir's. The heir goes on behind the
 * mark current_used_units, which is stored before a block is written: what
 * lies before may be queued, what lies behind cannot be.
 *
 * Everything else here is private and under the pool's lock, except the count
 * of writers and the end position of an extent.
 */
#include "core/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "core/collect.h"
#include "core/heap.h"
#include "core/hold.h"
#include "core/inside.h"
#include "core/link.h"
#include "core/participant.h"
#include "core/ring.h"

#define TABLE_WORDS_A_PAGE (MAILBOX_PAGE_BYTES / (uint32_t)sizeof(uint32_t))

/* Larger bodies get chunks of their own. */
#define SMALL_UNITS_MAX 256u

/* What is kept for the next body: 64 MiB. The rest is for other senders. */
#define IDLE_CHUNKS_MAX 1024u

/* A run of chunks of ours. */
struct extent {
	struct extent *next;
	uint32_t first_chunk;
	uint32_t chunks_count;
	uint32_t used_units;
	uint32_t writers_count;		/* blocks not yet committed; atomic */
	uint64_t end_position;		/* its messages are all below; atomic */
};

static bool is_known_backed(const struct tol_link *link, uint32_t chunk)
{
	return load_relaxed_64(&link->pool.backed[chunk / 64]) >> chunk % 64 & 1;
}

static void note_backed(struct tol_link *link, uint32_t chunk)
{
	__atomic_fetch_or(&link->pool.backed[chunk / 64],
			  UINT64_C(1) << chunk % 64, __ATOMIC_RELAXED);
}

static int back_chunk(struct tol_link *link, uint32_t chunk, bool writable)
{
	int err;

	if (is_known_backed(link, chunk))
		return 0;
	err = sys_populate(pool_at(link, chunk * MAILBOX_CHUNK_UNITS),
			   MAILBOX_CHUNK_BYTES, writable);
	if (err == 0)
		note_backed(link, chunk);
	return err;
}

/* The page that a chunk word lies on has memory from now on. */
static int back_table(struct tol_link *link, uint32_t chunk)
{
	uint32_t page = chunk / TABLE_WORDS_A_PAGE;
	uint64_t bit = UINT64_C(1) << page;
	int err;

	if (load_relaxed_64(&link->pool.table_backed) & bit)
		return 0;
	err = sys_populate(link->chunks + page * TABLE_WORDS_A_PAGE,
			   MAILBOX_PAGE_BYTES, true);
	if (err == 0)
		__atomic_fetch_or(&link->pool.table_backed, bit,
				  __ATOMIC_RELAXED);
	return err;
}

/* What was ever taken, as far as the table can reach. */
static uint32_t chunks_high(const struct tol_link *link)
{
	uint32_t high = load_acquire_32(&link->head->chunks_high);

	return high < link->geometry.pool_chunks ? high
						 : link->geometry.pool_chunks;
}

bool pool_may_read(struct tol_link *link, uint32_t unit, uint64_t size_bytes)
{
	uint32_t units_count = link->geometry.pool_chunks * MAILBOX_CHUNK_UNITS;
	uint32_t first, last;

	if (__builtin_expect(link->has_heap, 0))
		return heap_may_read(link, unit, size_bytes);
	if (unit >= units_count || size_bytes == 0 ||
	    size_bytes > (uint64_t)(units_count - unit) * MAILBOX_UNIT_BYTES)
		return false;
	first = unit / MAILBOX_CHUNK_UNITS;
	last = (uint32_t)((unit * (uint64_t)MAILBOX_UNIT_BYTES + size_bytes - 1) /
			  MAILBOX_CHUNK_BYTES);
	for (uint32_t chunk = first; chunk <= last; chunk++) {
		if (is_known_backed(link, chunk))
			continue;
		/* Nobody ever took it: no message lies there. */
		if (chunk >= chunks_high(link) ||
		    back_chunk(link, chunk, false) < 0)
			return false;
	}
	return true;
}

static void raise_chunks_high(struct tol_link *link, uint32_t high)
{
	uint32_t seen = load_relaxed_32(&link->head->chunks_high);

	while (seen < high)
		if (cas_32(&link->head->chunks_high, &seen, high))
			return;
}

static void free_chunks(struct tol_link *link, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		store_release_32(&link->chunks[first + i], CHUNK_FREE);
}

/* Claims a run whole, or nothing. */
static bool claim_run(struct tol_link *link, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t word = CHUNK_FREE;

		if (!cas_32(&link->chunks[first + i], &word,
			    link->number + 1)) {
			free_chunks(link, first, i);
			return false;
		}
	}
	return true;
}

/* The lowest free run: the pool stays dense. Return: its first chunk, -errno */
static int64_t take_run(struct tol_link *link, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t chunk = 0; chunk < link->geometry.pool_chunks; chunk++) {
		int err = back_table(link, chunk);

		if (err < 0)
			return err;
		run = load_relaxed_32(&link->chunks[chunk]) == CHUNK_FREE
				? run + 1 : 0;
		if (run < count)
			continue;
		/* Above all chunks it takes: before anybody can be killed. */
		raise_chunks_high(link, chunk + 1);
		if (claim_run(link, chunk + 1 - count, count))
			return chunk + 1 - count;
		run = 0;
	}
	return -ENOSPC;
}

static int take_backed_run(struct tol_link *link, uint32_t count,
			   uint32_t *ret_first)
{
	int64_t first = take_run(link, count);

	if (first < 0)
		return (int)first;
	for (uint32_t i = 0; i < count; i++) {
		int err = back_chunk(link, (uint32_t)first + i, true);

		if (err < 0) {
			free_chunks(link, (uint32_t)first, count);
			return err;
		}
	}
	*ret_first = (uint32_t)first;
	return 0;
}

static struct extent *new_extent(uint32_t first_chunk, uint32_t chunks_count)
{
	struct extent *extent = calloc(1, sizeof(*extent));

	if (extent) {
		extent->first_chunk = first_chunk;
		extent->chunks_count = chunks_count;
	}
	return extent;
}

static void add_busy(struct pool *pool, struct extent *extent)
{
	extent->next = NULL;
	if (pool->busy_last)
		pool->busy_last->next = extent;
	else
		pool->busy_first = extent;
	pool->busy_last = extent;
}

static void add_idle(struct tol_link *link, struct extent *extent)
{
	struct pool *pool = &link->pool;

	if (pool->idle_chunks + extent->chunks_count > IDLE_CHUNKS_MAX) {
		free_chunks(link, extent->first_chunk, extent->chunks_count);
		free(extent);
		return;
	}
	extent->used_units = 0;
	extent->end_position = 0;
	extent->next = pool->idle;
	pool->idle = extent;
	pool->idle_chunks += extent->chunks_count;
}

static bool is_pinned(const struct tol_link *link, uint32_t first_chunk,
		      uint32_t chunks_count)
{
	return hold_pins(link, (uint64_t)first_chunk * MAILBOX_CHUNK_UNITS,
			 (uint64_t)chunks_count * MAILBOX_CHUNK_UNITS);
}

/* First the queue: a message goes from there to the hold cells. */
static bool is_free_again(const struct tol_link *link,
			  const struct extent *extent)
{
	return load_acquire_32(&extent->writers_count) == 0 &&
	       ring_is_drained(link, load_relaxed_64(&extent->end_position)) &&
	       !is_pinned(link, extent->first_chunk, extent->chunks_count);
}

/*
 * Moves what is free again from busy to idle. The oldest are free first, apart
 * from large bodies: @whole looks at all.
 */
static void reclaim(struct tol_link *link, bool whole)
{
	struct pool *pool = &link->pool;
	struct extent **at = &pool->busy_first;
	struct extent *last = NULL;

	while (*at) {
		struct extent *extent = *at;

		if (is_free_again(link, extent)) {
			*at = extent->next;
			if (pool->busy_last == extent)
				pool->busy_last = last;
			add_idle(link, extent);
			continue;
		}
		if (!whole)
			return;
		last = extent;
		at = &extent->next;
	}
}

/* An idle run that is large enough and not far too large. */
static struct extent *find_idle(struct pool *pool, uint32_t chunks_count)
{
	for (struct extent **at = &pool->idle; *at; at = &(*at)->next) {
		struct extent *extent = *at;

		if (extent->chunks_count < chunks_count ||
		    extent->chunks_count > chunks_count * 2)
			continue;
		*at = extent->next;
		pool->idle_chunks -= extent->chunks_count;
		return extent;
	}
	return NULL;
}

static void drop_idle(struct tol_link *link)
{
	struct pool *pool = &link->pool;

	while (pool->idle) {
		struct extent *extent = pool->idle;

		pool->idle = extent->next;
		free_chunks(link, extent->first_chunk, extent->chunks_count);
		free(extent);
	}
	pool->idle_chunks = 0;
}

/* An extent of our own: from what is free again, else from the shared pool. */
static int get_extent(struct tol_link *link, uint32_t chunks_count,
		      struct extent **ret_extent)
{
	struct extent *extent;
	uint32_t first;
	int err;

	reclaim(link, false);
	extent = find_idle(&link->pool, chunks_count);
	if (!extent) {
		reclaim(link, true);
		extent = find_idle(&link->pool, chunks_count);
	}
	if (extent) {
		*ret_extent = extent;
		return 0;
	}
	err = take_backed_run(link, chunks_count, &first);
	if (err == -ENOSPC) {
		drop_idle(link);
		participant_reap_all(link);
		err = take_backed_run(link, chunks_count, &first);
	}
	if (err < 0)
		return err;
	extent = new_extent(first, chunks_count);
	if (!extent) {
		free_chunks(link, first, chunks_count);
		return -ENOMEM;
	}
	*ret_extent = extent;
	return 0;
}

/* The heir must find no mark that belongs to another chunk. */
static void set_current(struct tol_link *link, struct extent *extent)
{
	store_relaxed_32(&link->own->current_chunk, 0);
	fence_compiler();
	store_relaxed_32(&link->own->current_used_units,
			 extent ? extent->used_units : 0);
	fence_compiler();
	if (extent)
		store_release_32(&link->own->current_chunk,
				 extent->first_chunk + 1);
	link->pool.current = extent;
}

/* A child forked at any instruction must not find one in two lists. */
static __attribute__((noinline)) int renew_current(struct tol_link *link)
{
	struct extent *full = link->pool.current;
	struct extent *extent;
	int err;

	if (full && is_free_again(link, full)) {
		full->used_units = 0;
		set_current(link, full);
		return 0;
	}
	err = get_extent(link, 1, &extent);
	if (err < 0)
		return err;
	set_current(link, extent);
	fence_compiler();
	if (full)
		add_busy(&link->pool, full);
	return 0;
}

static inline int cut_small(struct tol_link *link, uint32_t units,
			    struct pool_block *block)
{
	struct extent *extent = link->pool.current;

	if (__builtin_expect(!extent || extent->used_units + units >
						MAILBOX_CHUNK_UNITS, 0)) {
		int err = renew_current(link);

		if (err < 0)
			return err;
		extent = link->pool.current;
	}
	block->unit = extent->first_chunk * MAILBOX_CHUNK_UNITS +
		      extent->used_units;
	extent->used_units += units;
	/* Before the block is written, for the heir. */
	store_relaxed_32(&link->own->current_used_units, extent->used_units);
	fence_compiler();
	block->extent = extent;
	return 0;
}

static __attribute__((noinline)) int cut_large(struct tol_link *link,
					       uint32_t units,
					       struct pool_block *block)
{
	uint32_t chunks_count = (units + MAILBOX_CHUNK_UNITS - 1) /
				MAILBOX_CHUNK_UNITS;
	struct extent *extent;
	int err = get_extent(link, chunks_count, &extent);

	if (err < 0)
		return err;
	add_busy(&link->pool, extent);
	block->unit = extent->first_chunk * MAILBOX_CHUNK_UNITS;
	block->extent = extent;
	return 0;
}

int pool_alloc(struct tol_link *link, size_t size_bytes,
	       struct pool_block *ret_block)
{
	uint32_t units = (uint32_t)((size_bytes + MAILBOX_UNIT_BYTES - 1) /
				    MAILBOX_UNIT_BYTES);
	bool entered;
	int err;

	if (__builtin_expect(link->has_heap, 0))
		return heap_alloc(link, size_bytes, false, ret_block);
	entered = lock_enter(&link->pool.lock);
	if (units <= SMALL_UNITS_MAX)
		err = cut_small(link, units, ret_block);
	else
		err = cut_large(link, units, ret_block);
	if (err == 0) {
		ret_block->units = units & 0x7fffffff;
		store_relaxed_32(&ret_block->extent->writers_count,
			ret_block->extent->writers_count + 1);
	}
	lock_leave(&link->pool.lock, entered);
	return err;
}

int pool_reserve(struct tol_link *link, size_t size_bytes,
		 const struct pool_block *block)
{
	return link->has_heap ? heap_reserve(link, size_bytes, block) : 0;
}

void pool_commit(struct tol_link *link, const struct pool_block *block,
		 uint64_t end_position)
{
	struct extent *extent = block->extent;
	bool entered;

	if (__builtin_expect(link->has_heap, 0)) {
		heap_commit(link, block, end_position);
		return;
	}
	entered = lock_enter(&link->pool.lock);
	if (extent->end_position < end_position)
		store_relaxed_64(&extent->end_position, end_position);
	store_relaxed_32(&extent->writers_count, extent->writers_count - 1);
	lock_leave(&link->pool.lock, entered);
}

/* The last block cut is simply put back. */
void pool_abort(struct tol_link *link, const struct pool_block *block)
{
	struct extent *extent = block->extent;
	bool entered;

	if (link->has_heap) {
		heap_abort(link, block);
		return;
	}
	entered = lock_enter(&link->pool.lock);
	if (extent == link->pool.current &&
	    extent->first_chunk * MAILBOX_CHUNK_UNITS + extent->used_units ==
		    block->unit + block->units) {
		extent->used_units -= block->units;
		store_relaxed_32(&link->own->current_used_units,
				 extent->used_units);
	}
	store_relaxed_32(&extent->writers_count, extent->writers_count - 1);
	lock_leave(&link->pool.lock, entered);
}

int pool_init(struct tol_link *link)
{
	struct pool *pool = &link->pool;

	*pool = (struct pool){ 0 };
	lock_init(&pool->lock);
	pool->backed = calloc(MAILBOX_POOL_CHUNKS_MAX / 64, sizeof(uint64_t));
	return pool->backed ? 0 : -ENOMEM;
}

int pool_adopt(struct tol_link *link, uint64_t tail_position)
{
	uint32_t current = load_relaxed_32(&link->own->current_chunk);
	uint32_t used = load_relaxed_32(&link->own->current_used_units);
	uint32_t high = chunks_high(link);

	if (link->has_heap) {
		heap_close_all_of(link, link->number, tail_position);
		return 0;
	}
	/* As reap() does: else one killed after the other would take new ones. */
	if (ring_is_drained(link, tail_position)) {
		set_current(link, NULL);
		if (pool_free_chunks_of(link, link->number, tail_position))
			return 0;
		current = 0;
	}
	for (uint32_t chunk = 0; chunk < high; chunk++) {
		struct extent *extent;
		int err = back_table(link, chunk);

		if (err < 0)
			return err;
		if (load_relaxed_32(&link->chunks[chunk]) != link->number + 1)
			continue;
		err = back_chunk(link, chunk, true);
		if (err < 0)
			return err;
		extent = new_extent(chunk, 1);
		if (!extent)
			return -ENOMEM;
		extent->end_position = tail_position;
		if (chunk + 1 == current && used <= MAILBOX_CHUNK_UNITS) {
			extent->used_units = used;
			link->pool.current = extent;
		} else {
			add_busy(&link->pool, extent);
		}
	}
	if (!link->pool.current)
		set_current(link, NULL);
	return 0;
}

static void free_list(struct extent *extent)
{
	while (extent) {
		struct extent *next = extent->next;

		free(extent);
		extent = next;
	}
}

void pool_fini(struct tol_link *link)
{
	struct pool *pool = &link->pool;

	if (link->has_heap && link->own &&
	    link->process_number == fork_process_number()) {
		inside_enter(link);
		heap_fini(link);
		inside_leave(link);
	} else if (link->own &&
		   link->process_number == fork_process_number()) {
		reclaim(link, true);
		drop_idle(link);
		if (pool->current && is_free_again(link, pool->current)) {
			struct extent *extent = pool->current;

			set_current(link, NULL);
			free_chunks(link, extent->first_chunk,
				    extent->chunks_count);
			free(extent);
		}
	}
	heap_free_lists(pool);
	free_list(pool->busy_first);
	free_list(pool->idle);
	free(pool->current);
	free(pool->backed);
}

bool pool_has_chunks_of(struct tol_link *link, uint32_t number)
{
	uint32_t high = chunks_high(link);

	if (link->has_heap)
		return heap_has_chunks_of(link, number);
	for (uint32_t chunk = 0; chunk < high; chunk++)
		if (back_table(link, chunk) == 0 &&
		    load_relaxed_32(&link->chunks[chunk]) == number + 1)
			return true;
	return false;
}

bool pool_free_chunks_of(struct tol_link *link, uint32_t number,
			 uint64_t tail_position)
{
	uint32_t high = chunks_high(link);
	bool is_all = true;

	if (link->has_heap) {
		heap_close_all_of(link, number, tail_position);
		return true;
	}
	for (uint32_t chunk = 0; chunk < high; chunk++) {
		if (back_table(link, chunk) < 0 ||
		    load_relaxed_32(&link->chunks[chunk]) != number + 1)
			continue;
		if (is_pinned(link, chunk, 1))
			is_all = false;
		else
			free_chunks(link, chunk, 1);
	}
	return is_all;
}

/*
 * Who joins later than the look for others finds the chunk taken, and so cannot
 * believe later that it has memory. A look before the loop would not do: stopped
 * in between, this one would punch chunks that others have come to know since.
 */
static uint64_t trim_table(struct tol_link *link)
{
	uint32_t high = chunks_high(link);
	uint64_t bytes = 0;
	int fd = link_reopen(link, false);
	bool entered, is_alone = true;

	if (fd < 0)
		return 0;
	entered = lock_enter(&link->pool.lock);
	reclaim(link, true);
	drop_idle(link);
	for (uint32_t chunk = 0; chunk < high && is_alone; chunk++) {
		uint64_t bit = UINT64_C(1) << chunk % 64;

		if (back_table(link, chunk) < 0 ||
		    load_relaxed_32(&link->chunks[chunk]) != CHUNK_FREE ||
		    !claim_run(link, chunk, 1))
			continue;
		is_alone = participant_is_alone_at(link, fd);
		if (is_alone &&
		    sys_punch(pool_at(link, chunk * MAILBOX_CHUNK_UNITS),
			      MAILBOX_CHUNK_BYTES) == 0)
			bytes += MAILBOX_CHUNK_BYTES;
		__atomic_fetch_and(&link->pool.backed[chunk / 64], ~bit,
				   __ATOMIC_RELAXED);
		free_chunks(link, chunk, 1);
	}
	lock_leave(&link->pool.lock, entered);
	sys_close(fd);
	return bytes;
}

uint64_t pool_trim(struct tol_link *link)
{
	uint64_t bytes;

	if (!link->has_heap)
		return trim_table(link);
	inside_enter(link);
	bytes = collect(link, true);
	inside_leave(link);
	return bytes;
}
