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
#include "core/heap.h"

#include <errno.h>
#include <stdlib.h>

#include "core/collect.h"
#include "core/hold.h"
#include "core/inside.h"
#include "core/participant.h"
#include "core/ring.h"

/* Larger bodies get chunks of their own; the largest has as many. */
#define SMALL_UNITS_MAX 256u
#define RUN_CHUNKS_MAX 18u

static_assert((RUN_CHUNKS_MAX - 1) * MAILBOX_CHUNK_BYTES >= (1u << 20) + 128u,
	      "the largest body in the pool");

/*
 * What an owner keeps open for its next bodies, so that a mailbox that is never
 * far from empty takes no memory and gives none back. From so many chunks on it is
 * worth collecting.
 */
#define KEPT_RUNS_MAX 4u
#define KEPT_CHUNKS_MAX 64u
#define KEPT_GARBAGE_CHUNKS 20u

/* How far to look for one to be used again, before one without memory. */
#define GARBAGE_CHUNKS_NEAR 256u

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

void heap_init(struct tol_link *link, const struct mailbox_layout *head)
{
	uint64_t chunks = link->geometry.pool_chunks;
	uint64_t limit = head->memory_limit_bytes / MAILBOX_CHUNK_BYTES;
	uint64_t quota = head->sender_quota_bytes / MAILBOX_CHUNK_BYTES;

	link->chunks_limit = (uint32_t)chunks;
	link->chunks_quota = UINT32_MAX;
	if (head->memory_limit_bytes && limit < chunks)
		link->chunks_limit = limit ? (uint32_t)limit : 1;
	if (head->sender_quota_bytes && quota < chunks)
		link->chunks_quota = quota ? (uint32_t)quota : 1;
}

/* ---- words ---- */

static inline uint64_t load_word(const struct tol_link *link, uint32_t chunk)
{
	return load_acquire_64(&link->heap_chunks[chunk]);
}

bool heap_page_is_usable(const struct tol_link *link, uint32_t page)
{
	return load_acquire_32(&link->heap_pages[page]) == HEAP_PAGE_PRESENT;
}

/* Return: 0 words of that page may be touched; -EAGAIN not now; -ENOSPC */
static int back_page(struct tol_link *link, uint32_t page)
{
	uint32_t seen = load_acquire_32(&link->heap_pages[page]);
	int err;

	if (seen == HEAP_PAGE_PRESENT)
		return 0;
	if (seen != HEAP_PAGE_ABSENT)
		return -EAGAIN;
	err = sys_populate(&link->heap_chunks[page * MAILBOX_HEAP_PAGE_CHUNKS],
			   MAILBOX_PAGE_BYTES, true);
	if (err == 0 && !cas_32(&link->heap_pages[page], &seen,
				HEAP_PAGE_PRESENT) &&
	    seen != HEAP_PAGE_PRESENT)
		err = -EAGAIN;
	return err;
}

/* First the queue: a message goes from there to the hold cells. */
bool heap_is_free_again(const struct tol_link *link, uint32_t chunk,
			uint64_t word, uint64_t head_position)
{
	return heap_ends_below(word, head_position) &&
	       !hold_pins(link, (uint64_t)chunk * MAILBOX_CHUNK_UNITS,
			  MAILBOX_CHUNK_UNITS);
}

void heap_lower_hint(struct tol_link *link, uint32_t chunk)
{
	uint32_t seen = load_relaxed_32(&link->head->chunk_hint);

	while (seen > chunk)
		if (cas_32(&link->head->chunk_hint, &seen, chunk))
			return;
}

static void note_garbage(struct tol_link *link)
{
	if (load_relaxed_32(&link->head->garbage) == 0)
		store_release_32(&link->head->garbage, 1);
}

/* The first position not consumed; or one before it. */
static uint64_t known_head(struct tol_link *link)
{
	struct ring_message message;
	struct ring_gate gate;

	ring_find_message(link, &message, &gate);
	return load_acquire_64(&link->recv_position);
}

/*
 * Is it open by us, whatever the end? One that was revoked may be gone by now, and
 * the memory of its word.
 */
static bool is_ours(const struct tol_link *link, uint32_t chunk,
		    uint64_t *ret_word)
{
	unsigned int state;
	uint64_t word;

	if (load_acquire_32(&link->heap_pages[chunk /
					      MAILBOX_HEAP_PAGE_CHUNKS]) ==
	    HEAP_PAGE_ABSENT)
		return false;
	word = *ret_word = load_word(link, chunk);
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

/* ---- taking chunks ---- */

/* What may be taken: with memory for sure, or any. */
enum wanted { ANY, BACKED };

static bool is_available(const struct tol_link *link, uint32_t chunk,
			 uint64_t word, uint64_t head_position,
			 enum wanted wanted)
{
	if (word == 0)
		return wanted == ANY;
	return heap_state(word) == HEAP_CLOSED &&
	       heap_is_free_again(link, chunk, word, head_position);
}

/* Back to what they were. */
static void untake(struct tol_link *link, uint32_t first, uint32_t count,
		   const uint64_t *words)
{
	for (uint32_t i = 0; i < count; i++)
		store_release_64(&link->heap_chunks[first + i], words[i]);
	heap_lower_hint(link, first);
}

static bool take_all(struct tol_link *link, uint32_t first, uint32_t count,
		     uint64_t *words)
{
	uint64_t taken = heap_make(HEAP_TAKEN, link->number + 1, 0);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t seen = words[i];

		if (!cas_64(&link->heap_chunks[first + i], &seen, taken)) {
			untake(link, first, i, words);
			return false;
		}
	}
	return true;
}

/*
 * Looks for @count chunks one after the other in [from, to). @words become what
 * they were.
 *
 * Return: their first; -EAGAIN none; -ENOSPC no memory for the table
 */
static int64_t take_between(struct tol_link *link, uint32_t from, uint32_t to,
			    uint32_t count, enum wanted wanted,
			    uint64_t *words)
{
	uint64_t head_position = known_head(link);
	uint32_t run = 0;

	for (uint32_t chunk = from; chunk < to; chunk++) {
		uint64_t word;

		if (chunk == from || chunk % MAILBOX_HEAP_PAGE_CHUNKS == 0) {
			uint32_t page = chunk / MAILBOX_HEAP_PAGE_CHUNKS;
			int err = wanted == ANY
					? back_page(link, page)
					: heap_page_is_usable(link, page)
						? 0 : -EAGAIN;

			if (err == -EAGAIN) {
				chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
				run = 0;
				continue;
			}
			if (err < 0)
				return err;
		}
		word = load_word(link, chunk);
		if (!is_available(link, chunk, word, head_position, wanted)) {
			run = 0;
			continue;
		}
		words[run++] = word;
		if (run < count)
			continue;
		if (take_all(link, chunk + 1 - count, count, words))
			return chunk + 1 - count;
		run = 0;
	}
	return -EAGAIN;
}

/* The lowest, from where there may be one. */
static int64_t take_lowest(struct tol_link *link, uint32_t count,
			   enum wanted wanted, uint64_t *words)
{
	uint32_t hint = load_acquire_32(&link->head->chunk_hint);
	int64_t first;

	if (hint >= link->chunks_limit)
		hint = 0;
	first = take_between(link, hint, link->chunks_limit, count, wanted,
			     words);
	if (first == -EAGAIN && hint > 0)
		first = take_between(link, 0, link->chunks_limit, count,
				     wanted, words);
	if (first >= 0 && count == 1)
		cas_32(&link->head->chunk_hint, &hint, (uint32_t)first + 1);
	return first == -EAGAIN ? -ENOSPC : first;
}

/*
 * Those that had no memory nobody else can be reading: what they have got of it
 * goes at once.
 */
static int back_run(struct tol_link *link, uint32_t first, uint32_t count,
		    const uint64_t *words)
{
	int err = 0;

	for (uint32_t i = 0; i < count && err == 0; i++)
		err = sys_populate(pool_at(link,
					   (first + i) * MAILBOX_CHUNK_UNITS),
				   MAILBOX_CHUNK_BYTES, true);
	if (err == 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		if (words[i] == 0)
			sys_punch(pool_at(link,
					  (first + i) * MAILBOX_CHUNK_UNITS),
				  MAILBOX_CHUNK_BYTES);
	untake(link, first, count, words);
	return err;
}

/* Near the hint, while garbage is there: used again before it is new. */
static int64_t take_garbage(struct tol_link *link, uint32_t count,
			    uint64_t *words)
{
	uint32_t hint = load_acquire_32(&link->head->chunk_hint);
	uint32_t end = hint + GARBAGE_CHUNKS_NEAR;

	if (!load_relaxed_32(&link->head->garbage) ||
	    hint >= link->chunks_limit)
		return -EAGAIN;
	return take_between(link, hint,
			    end < link->chunks_limit ? end
						     : link->chunks_limit,
			    count, BACKED, words);
}

/* Return: the first of @count chunks with memory, TAKEN; -ENOSPC */
static int64_t take_backed(struct tol_link *link, uint32_t count)
{
	uint64_t words[RUN_CHUNKS_MAX];
	int64_t first;
	int err;

	first = take_garbage(link, count, words);
	if (first >= 0 && back_run(link, (uint32_t)first, count, words) == 0)
		return first;
	for (enum wanted wanted = ANY;; wanted = BACKED) {
		first = take_lowest(link, count, wanted, words);
		if (first < 0)
			return first;
		err = back_run(link, (uint32_t)first, count, words);
		if (err == 0)
			return first;
		if (err != -ENOSPC || wanted == BACKED)
			return err;
	}
}

/* ---- the quota ---- */

static uint32_t count_ours(struct tol_link *link)
{
	uint64_t head_position = known_head(link);
	uint32_t count = 0;

	for (uint32_t chunk = 0; chunk < link->chunks_limit; chunk++) {
		uint64_t word;

		if (!heap_page_is_usable(link,
					 chunk / MAILBOX_HEAP_PAGE_CHUNKS)) {
			chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
			continue;
		}
		word = load_word(link, chunk);
		if (heap_owner_plus_1(word) == link->number + 1 &&
		    !is_available(link, chunk, word, head_position, ANY))
			count++;
	}
	return count;
}

/* May we have @count more? */
static bool is_in_quota(struct tol_link *link, uint32_t count)
{
	struct pool *pool = &link->pool;

	if (link->chunks_quota == UINT32_MAX)
		return true;
	if (pool->taken_chunks + count > link->chunks_quota)
		pool->taken_chunks = count_ours(link);
	return pool->taken_chunks + count <= link->chunks_quota;
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
		note_garbage(link);
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
		note_garbage(link);
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
		    run->chunks_count > chunks_count * 2 ||
		    !is_drained(link, run)) {
			at = &run->next;
			continue;
		}
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

static struct run *open_run(struct tol_link *link, uint32_t first,
			    uint32_t count)
{
	struct run *run = new_run(first, count);
	uint64_t taken = heap_make(HEAP_TAKEN, link->number + 1, 0);
	uint64_t word;

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
		if (is_in_quota(link, count))
			first = take_backed(link, count);
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

	if (count > RUN_CHUNKS_MAX)
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

int heap_alloc(struct tol_link *link, size_t size_bytes, bool is_loan,
	       struct pool_block *ret_block)
{
	uint32_t units = (uint32_t)((size_bytes + MAILBOX_UNIT_BYTES - 1) /
				    MAILBOX_UNIT_BYTES);
	bool entered = lock_enter(&link->pool.lock);
	int err;

	do {
		err = cut(link, units, is_loan, ret_block);
	} while (err == -EAGAIN);
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
	if (!is_in_quota(link, (uint32_t)left))
		err = -ENOSPC;
	while (left > 0 && err == 0) {
		uint64_t words[RUN_CHUNKS_MAX];
		uint32_t count = left > 16 ? 16 : 1;
		int64_t first = take_lowest(link, count, ANY, words);
		struct run *run;

		if (first == -ENOSPC && count > 1) {
			count = 1;
			first = take_lowest(link, count, ANY, words);
		}
		if (first < 0) {
			err = (int)first;
			break;
		}
		run = new_run((uint32_t)first, count);
		if (!run) {
			untake(link, (uint32_t)first, count, words);
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
static void end_block(struct tol_link *link, const struct pool_block *block,
		      uint64_t end_position)
{
	struct run *run = block->run;

	if (link->pool.reserved)
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

/* ---- reading ---- */

static bool is_readable(const struct tol_link *link, uint32_t chunk)
{
	if (load_acquire_32(&link->heap_pages[chunk /
					      MAILBOX_HEAP_PAGE_CHUNKS]) ==
	    HEAP_PAGE_ABSENT)
		return false;
	return heap_state(load_word(link, chunk)) >= HEAP_OPEN;
}

bool heap_may_read(struct tol_link *link, uint32_t unit, uint64_t size_bytes)
{
	uint64_t bytes = (uint64_t)unit * MAILBOX_UNIT_BYTES;
	uint64_t pool_bytes = (uint64_t)link->geometry.pool_chunks *
			      MAILBOX_CHUNK_BYTES;

	if (size_bytes == 0 || bytes >= pool_bytes ||
	    size_bytes > pool_bytes - bytes)
		return false;
	for (uint64_t chunk = bytes / MAILBOX_CHUNK_BYTES;
	     chunk <= (bytes + size_bytes - 1) / MAILBOX_CHUNK_BYTES; chunk++)
		if (!is_readable(link, (uint32_t)chunk))
			return false;
	return true;
}

/*
 * The message that a closed chunk ends with tells of all in it. After the CAS that
 * consumed it: see close_run().
 */
void heap_note_consumed(struct tol_link *link, uint64_t position, uint32_t unit,
			bool is_file)
{
	uint32_t chunk = unit / MAILBOX_CHUNK_UNITS;
	uint64_t word;

	/* Its body was looked at in this call: the word has memory. */
	fence_after_rmw();
	word = load_word(link, chunk);
	/* Files are few, and dear enough for that. */
	if (is_file)
		note_garbage(link);
	if (heap_state(word) != HEAP_CLOSED ||
	    !heap_ends_below(word, position == UINT64_MAX ? known_head(link)
							  : position + 1))
		return;
	heap_lower_hint(link, chunk);
	note_garbage(link);
}

/* ---- the end of an owner ---- */

static void visit_of(struct tol_link *link, uint32_t number,
		     bool (*visit)(struct tol_link *link, uint32_t chunk,
				   uint64_t word, void *context),
		     void *context)
{
	for (uint32_t chunk = 0; chunk < link->geometry.pool_chunks; chunk++) {
		uint64_t word;

		if (!heap_page_is_usable(link,
					 chunk / MAILBOX_HEAP_PAGE_CHUNKS)) {
			chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
			continue;
		}
		word = load_word(link, chunk);
		if (heap_owner_plus_1(word) == number + 1 &&
		    !visit(link, chunk, word, context))
			return;
	}
}

/* What is closed counts for nobody's quota from now on. */
static bool close_one(struct tol_link *link, uint32_t chunk, uint64_t word,
		      void *context)
{
	const uint64_t *tail_position = context;
	unsigned int state = heap_state(word);

	if (state == HEAP_CLOSED)
		cas_64(&link->heap_chunks[chunk], &word,
		       heap_make(HEAP_CLOSED, 0, word >> (64 - HEAP_END_BITS)));
	else if (state == HEAP_TAKEN || state == HEAP_OPEN ||
		 state == HEAP_LENT)
		cas_64(&link->heap_chunks[chunk], &word,
		       heap_make(HEAP_CLOSED, 0, *tail_position));
	note_garbage(link);
	return true;
}

void heap_close_all_of(struct tol_link *link, uint32_t number,
		       uint64_t tail_position)
{
	visit_of(link, number, close_one, &tail_position);
}

static bool find_one(struct tol_link *link, uint32_t chunk, uint64_t word,
		     void *context)
{
	bool *is_found = context;

	(void)link;
	(void)chunk;
	(void)word;
	*is_found = true;
	return false;
}

bool heap_has_chunks_of(struct tol_link *link, uint32_t number)
{
	bool is_found = false;

	visit_of(link, number, find_one, &is_found);
	return is_found;
}

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
