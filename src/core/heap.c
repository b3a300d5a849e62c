/* SPDX-License-Identifier: MIT */
/*
 * Chunks of a heap.
 *
 *	FREE --take--> TAKEN --backed--> OPEN --full--> CLOSED(end)
 *	CLOSED, drained --take--> TAKEN		(memory is used again as it is)
 *	OPEN <--> LENT				(by its owner, while loans are out)
 *	CLOSED, drained --> GOING --> FREE	(collect.c: memory is given back)
 *	OPEN --> REVOKED --> GOING or CLOSED(end)
 *
 * Every change is a CAS of the whole word. The owner cuts blocks from what is
 * OPEN or LENT with private bookkeeping, and looks at the word once in each
 * call: a chunk that was revoked is dropped. Whoever revokes waits until every
 * owner has been outside, see collect.c.
 *
 * Invariant: a chunk that is OPEN, LENT, CLOSED or REVOKED has memory, and bytes of
 * a block in it are not written between publication and consumption of its
 * message. CLOSED(end): all its messages are below end.
 *
 * Chunk words have memory a page at a time: heap_pages says which. Chunks from
 * chunks_limit on are never taken: that is the limit of memory, and needs no count.
 * The quota of a sender is a count of its own, made anew from the words
 * when it seems to be reached; so nobody's crash can make it wrong.
 *
 * Crash: TAKEN, OPEN and LENT chunks of a dead one are closed with the tail that is
 * read after its number was locked: all that it sent is below.
 */
#include "core/heap_chunks.h"

#include <errno.h>
#include <stdlib.h>

#include "core/collect.h"
#include "core/hold.h"
#include "core/participant.h"
#include "core/ring.h"

/* Larger bodies get chunks of their own; the largest has as many. */
#define SMALL_UNITS_MAX 256u

static_assert((HEAP_RUN_CHUNKS_MAX - 1) * MAILBOX_CHUNK_BYTES >= (1u << 20) + 128u,
	      "the largest body in the pool");

/*
 * What an owner keeps open for its next bodies, so that a mailbox that is never
 * far from empty takes no memory and gives none back. From so many chunks on it is
 * worth collecting.
 */
#define KEPT_RUNS_MAX 64u
#define KEPT_CHUNKS_MAX 256u
#define KEPT_GARBAGE_CHUNKS 4u

/* Chunks of ours that lie one after the other. */
struct run {
	struct run *next;
	uint32_t first_chunk;
	uint32_t chunks_count;
	uint32_t used_units;
	uint32_t writers_count;		/* blocks not yet committed */
	uint32_t loans_count;		/* of those, lent */
	uint32_t for_unit;		/* of a reservation: its block */
	uint64_t end_position;		/* its messages are all below */
	bool is_dropped;
};

/*
 * Is it open by us, whatever the end? One that was revoked may be gone by now, and
 * the memory of its word.
 */
static inline bool is_ours(const struct tol_link *link, uint32_t chunk,
			   uint64_t *ret_word)
{
	unsigned int state;
	uint64_t word;

	if (load_acquire_32(&link->heap_pages[chunk /
					      MAILBOX_HEAP_PAGE_CHUNKS]) ==
	    HEAP_PAGE_ABSENT)
		return false;
	word = *ret_word = heap_load_word(link, chunk);
	state = heap_state(word);

	return heap_owner_plus_1(word) == link->number + 1 &&
	       (state == HEAP_OPEN || state == HEAP_LENT);
}

static bool is_run_ours(const struct tol_link *link, const struct run *run)
{
	uint64_t word;

	for (uint32_t i = 0; i < run->chunks_count; i++)
		if (!is_ours(link, run->first_chunk + i, &word))
			return false;
	return true;
}

/* From OPEN or LENT to another state. */
static void change_run(struct tol_link *link, const struct run *run,
		       unsigned int state, uint64_t end_position)
{
	for (uint32_t i = 0; i < run->chunks_count; i++) {
		uint32_t chunk = run->first_chunk + i;
		uint64_t word;

		while (is_ours(link, chunk, &word))
			if (cas_64(&link->heap_chunks[chunk], &word,
				   heap_make(state, link->number + 1,
					     end_position)))
				break;
	}
}

/* ---- runs ---- */

static struct run *new_run(uint32_t first_chunk, uint32_t chunks_count)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run) {
		run->first_chunk = first_chunk;
		run->chunks_count = chunks_count;
	}
	return run;
}

/* Nobody here cuts from it any more. */
static void drop_run(struct run *run)
{
	if (run->writers_count > 0)
		run->is_dropped = true;
	else
		free(run);
}

static bool is_drained(const struct tol_link *link, const struct run *run)
{
	return run->writers_count == 0 &&
	       ring_is_drained(link, run->end_position) &&
	       !hold_pins(link,
			  (uint64_t)run->first_chunk * MAILBOX_CHUNK_UNITS,
			  (uint64_t)run->chunks_count * MAILBOX_CHUNK_UNITS);
}

/*
 * Closed, it is for all. What was consumed before is noted here, what is consumed
 * after by who does it: one of the two sees the other.
 */
static void close_run(struct tol_link *link, struct run *run)
{
	change_run(link, run, HEAP_CLOSED, run->end_position);
	if (ring_is_drained(link, run->end_position)) {
		heap_lower_hint(link, run->first_chunk);
		heap_note_garbage(link);
	}
	drop_run(run);
}

static void unlink_kept(struct pool *pool, struct run **at)
{
	struct run *run = *at;

	*at = run->next;
	run->next = NULL;
	pool->kept_runs--;
	pool->kept_chunks -= run->chunks_count;
}

/* Beyond what may be kept, the oldest that nobody is writing goes. */
static void keep_run(struct tol_link *link, struct run *run)
{
	struct pool *pool = &link->pool;
	struct run **at = &pool->kept;

	while (*at)
		at = &(*at)->next;
	run->next = NULL;
	*at = run;
	pool->kept_runs++;
	pool->kept_chunks += run->chunks_count;
	if (pool->kept_chunks > KEPT_GARBAGE_CHUNKS)
		heap_note_garbage(link);
	at = &pool->kept;
	while (*at && (pool->kept_runs > KEPT_RUNS_MAX ||
		       pool->kept_chunks > KEPT_CHUNKS_MAX)) {
		struct run *oldest = *at;

		if (oldest->writers_count > 0 || oldest == run) {
			at = &oldest->next;
			continue;
		}
		unlink_kept(pool, at);
		close_run(link, oldest);
	}
}

/* One that is free again, large enough and not far too large; out of the list. */
static struct run *find_kept(struct tol_link *link, uint32_t chunks_count)
{
	struct run **at = &link->pool.kept;

	while (*at) {
		struct run *run = *at;

		if (run->chunks_count < chunks_count ||
		    run->chunks_count > chunks_count * 2) {
			at = &run->next;
			continue;
		}
		/* Those that follow are younger. */
		if (!is_drained(link, run))
			return NULL;
		unlink_kept(&link->pool, at);
		if (is_run_ours(link, run)) {
			run->used_units = 0;
			run->end_position = 0;
			return run;
		}
		close_run(link, run);
	}
	return NULL;
}

/* All that is ours and that nobody writes: for others. */
static void close_kept(struct tol_link *link)
{
	struct run **at = &link->pool.kept;

	while (*at) {
		struct run *run = *at;

		if (run->writers_count > 0) {
			at = &run->next;
			continue;
		}
		unlink_kept(&link->pool, at);
		close_run(link, run);
	}
}

static bool has_any_of(const struct run *run, uint32_t first, uint32_t count)
{
	return run->first_chunk < first + count &&
	       first < run->first_chunk + run->chunks_count;
}

/*
 * We have just taken these chunks. A run of ours that has some of them was revoked
 * and does not know it yet: soon their words would seem to be its own.
 */
static void forget_revoked(struct tol_link *link, uint32_t first,
			   uint32_t count)
{
	struct pool *pool = &link->pool;
	struct run **at = &pool->kept;

	if (pool->open && has_any_of(pool->open, first, count)) {
		close_run(link, pool->open);
		pool->open = NULL;
	}
	while (*at) {
		struct run *run = *at;

		if (!has_any_of(run, first, count)) {
			at = &run->next;
			continue;
		}
		unlink_kept(pool, at);
		close_run(link, run);
	}
}

/* They are TAKEN; if there is no memory for a run they are given up. */
static struct run *open_run(struct tol_link *link, uint32_t first,
			    uint32_t count)
{
	struct run *run = new_run(first, count);
	uint64_t taken = heap_make(HEAP_TAKEN, link->number + 1, 0);
	uint64_t word;

	forget_revoked(link, first, count);
	word = heap_make(run ? HEAP_OPEN : HEAP_CLOSED, link->number + 1, 0);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t seen = taken;

		cas_64(&link->heap_chunks[first + i], &seen, word);
	}
	if (run)
		link->pool.taken_chunks += count;
	return run;
}

static int get_run(struct tol_link *link, uint32_t count, struct run **ret_run)
{
	struct run *run = find_kept(link, count);
	int64_t first = -ENOSPC;

	for (int tries = 0; !run && first < 0; tries++) {
		if (heap_is_in_quota(link, count))
			first = heap_take(link, count);
		if (first >= 0)
			break;
		if (first != -ENOSPC || tries > 0)
			return (int)first;
		/* What others keep open and do not need is ours, too. */
		close_kept(link);
		participant_reap_all(link);
		collect(link, true);
	}
	if (!run)
		run = open_run(link, (uint32_t)first, count);
	*ret_run = run;
	return run ? 0 : -ENOMEM;
}

/* ---- blocks ---- */

static int find_small(struct tol_link *link, uint32_t units,
		      struct run **ret_run)
{
	struct pool *pool = &link->pool;
	struct run *run = pool->open;
	int err;

	if (run && !is_run_ours(link, run)) {
		drop_run(run);
		run = pool->open = NULL;
	}
	if (run && run->used_units + units > MAILBOX_CHUNK_UNITS) {
		if (is_drained(link, run)) {
			run->used_units = 0;
			run->end_position = 0;
		} else {
			pool->open = NULL;
			keep_run(link, run);
			run = NULL;
		}
	}
	if (!run) {
		err = get_run(link, 1, &run);
		if (err < 0)
			return err;
		pool->open = run;
	}
	*ret_run = run;
	return 0;
}

static int find_large(struct tol_link *link, uint32_t units,
		      struct run **ret_run)
{
	uint32_t count = (units + MAILBOX_CHUNK_UNITS - 1) /
			 MAILBOX_CHUNK_UNITS;
	int err;

	if (count > HEAP_RUN_CHUNKS_MAX)
		return -ENOSPC;
	err = get_run(link, count, ret_run);
	return err;
}

/* Nobody may revoke it from now on. Return: false somebody has */
static bool lend(struct tol_link *link, struct run *run)
{
	if (run->loans_count == 0)
		change_run(link, run, HEAP_LENT, 0);
	if (!is_run_ours(link, run))
		return false;
	run->loans_count++;
	return true;
}

static int cut(struct tol_link *link, uint32_t units, bool is_loan,
	       struct pool_block *ret_block)
{
	bool is_small = units <= SMALL_UNITS_MAX;
	struct run *run;
	int err = is_small ? find_small(link, units, &run)
			   : find_large(link, units, &run);

	if (err < 0)
		return err;
	if (is_loan && !lend(link, run)) {
		if (is_small)
			link->pool.open = NULL;
		close_run(link, run);
		return -EAGAIN;
	}
	*ret_block = (struct pool_block){
		.run = run,
		.unit = run->first_chunk * MAILBOX_CHUNK_UNITS +
			run->used_units,
		.units = units & 0x7fffffff,
		.is_loan = is_loan,
	};
	run->used_units += units;
	run->writers_count++;
	if (!is_small)
		keep_run(link, run);
	return 0;
}

static __attribute__((noinline)) int cut_slowly(struct tol_link *link,
						uint32_t units, bool is_loan,
						struct pool_block *ret_block)
{
	int err;

	do {
		err = cut(link, units, is_loan, ret_block);
	} while (err == -EAGAIN);
	return err;
}

/* Most blocks: there is room in the chunk that is open, and it is still ours. */
static inline bool cut_from_open(struct tol_link *link, uint32_t units,
				 struct pool_block *ret_block)
{
	struct run *run = link->pool.open;
	uint64_t word;

	if (!run || units > SMALL_UNITS_MAX || run->chunks_count != 1 ||
	    run->used_units + units > MAILBOX_CHUNK_UNITS ||
	    !is_ours(link, run->first_chunk, &word))
		return false;
	*ret_block = (struct pool_block){
		.run = run,
		.unit = run->first_chunk * MAILBOX_CHUNK_UNITS +
			run->used_units,
		.units = units & 0x7fffffff,
	};
	run->used_units += units;
	run->writers_count++;
	return true;
}

int heap_alloc(struct tol_link *link, size_t size_bytes, bool is_loan,
	       struct pool_block *ret_block)
{
	uint32_t units = (uint32_t)((size_bytes + MAILBOX_UNIT_BYTES - 1) /
				    MAILBOX_UNIT_BYTES);
	bool entered = lock_enter(&link->pool.lock);
	int err = 0;

	if (is_loan || !cut_from_open(link, units, ret_block))
		err = cut_slowly(link, units, is_loan, ret_block);
	lock_leave(&link->pool.lock, entered);
	return err;
}

/* ---- what files count for ---- */

int heap_reserve(struct tol_link *link, size_t size_bytes,
		 const struct pool_block *block)
{
	uint64_t left = (size_bytes + MAILBOX_CHUNK_BYTES - 1) /
			MAILBOX_CHUNK_BYTES;
	bool entered;
	int err = 0;

	if (!link->head->memory_limit_bytes && !link->head->sender_quota_bytes)
		return 0;
	if (left > link->chunks_limit)
		return -ENOSPC;
	entered = lock_enter(&link->pool.lock);
	if (!heap_is_in_quota(link, (uint32_t)left))
		err = -ENOSPC;
	while (left > 0 && err == 0) {
		uint64_t words[HEAP_RUN_CHUNKS_MAX];
		uint32_t count = left > 16 ? 16 : 1;
		int64_t first = heap_take_lowest(link, count, HEAP_ANY, words);
		struct run *run;

		if (first == -ENOSPC && count > 1) {
			count = 1;
			first = heap_take_lowest(link, count, HEAP_ANY, words);
		}
		if (first < 0) {
			err = (int)first;
			break;
		}
		run = new_run((uint32_t)first, count);
		if (!run) {
			heap_untake(link, (uint32_t)first, count, words);
			err = -ENOMEM;
			break;
		}
		run->for_unit = block->unit;
		run->next = link->pool.reserved;
		link->pool.reserved = run;
		link->pool.taken_chunks += count;
		left -= count;
	}
	lock_leave(&link->pool.lock, entered);
	return err;
}

/* Those of a block: closed, below @end. */
static void end_reserved(struct tol_link *link, uint32_t unit,
			 uint64_t end_position)
{
	struct run **at = &link->pool.reserved;

	while (*at) {
		struct run *run = *at;

		if (run->for_unit != unit) {
			at = &run->next;
			continue;
		}
		*at = run->next;
		for (uint32_t i = 0; i < run->chunks_count; i++)
			store_release_64(
				&link->heap_chunks[run->first_chunk + i],
				heap_make(HEAP_CLOSED, link->number + 1,
					  end_position));
		free(run);
	}
}

/* ---- the end of a block ---- */

/* The lock is held. */
static inline void end_block(struct tol_link *link,
			     const struct pool_block *block,
			     uint64_t end_position)
{
	struct run *run = block->run;

	if (__builtin_expect(link->pool.reserved != NULL, 0))
		end_reserved(link, block->unit, end_position);
	if (run->end_position < end_position)
		run->end_position = end_position;
	run->writers_count--;
	if (block->is_loan && --run->loans_count == 0)
		change_run(link, run, HEAP_OPEN, 0);
	if (run->is_dropped && run->writers_count == 0)
		free(run);
}

void heap_commit(struct tol_link *link, const struct pool_block *block,
		 uint64_t end_position)
{
	bool entered = lock_enter(&link->pool.lock);

	end_block(link, block, end_position);
	lock_leave(&link->pool.lock, entered);
}

/* The last block cut is simply put back. */
void heap_abort(struct tol_link *link, const struct pool_block *block)
{
	struct run *run = block->run;
	bool entered = lock_enter(&link->pool.lock);

	if (run == link->pool.open &&
	    run->first_chunk * MAILBOX_CHUNK_UNITS + run->used_units ==
		    block->unit + block->units)
		run->used_units -= block->units;
	end_block(link, block, 0);
	lock_leave(&link->pool.lock, entered);
}

/* ---- the end of an owner ---- */

static void close_list(struct tol_link *link, struct run *run)
{
	while (run) {
		struct run *next = run->next;

		run->writers_count = 0;
		close_run(link, run);
		run = next;
	}
}

/* Loans that were never posted end with the link. */
void heap_fini(struct tol_link *link)
{
	struct pool *pool = &link->pool;
	struct run *reserved;

	while ((reserved = pool->reserved))
		end_reserved(link, reserved->for_unit, 0);
	close_list(link, pool->open);
	close_list(link, pool->kept);
	pool->open = pool->kept = NULL;
	if (load_acquire_32(&link->head->garbage))
		collect(link, true);
}

static void free_runs(struct run *run)
{
	while (run) {
		struct run *next = run->next;

		free(run);
		run = next;
	}
}

void heap_free_lists(struct pool *pool)
{
	free_runs(pool->open);
	free_runs(pool->kept);
	free_runs(pool->reserved);
}
