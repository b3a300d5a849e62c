/* SPDX-License-Identifier: MIT */
/*
 * Words of chunks: who may take which, what may be read, what is left by the dead.
 * heap.c says what the words mean.
 */
#include "core/heap_chunks.h"

#include <errno.h>

#include "core/hold.h"
#include "core/ring.h"

/* How far to look for one to be used again, before one without memory. */
#define GARBAGE_CHUNKS_NEAR 256u

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

uint32_t heap_pages_count(const struct tol_link *link)
{
	uint32_t high = load_acquire_32(&link->head->pages_high);
	uint32_t all = link->geometry.pool_chunks / MAILBOX_HEAP_PAGE_CHUNKS;

	return high < all ? high : all;
}

static void raise_pages_high(struct tol_link *link, uint32_t high)
{
	uint32_t seen = load_relaxed_32(&link->head->pages_high);

	while (seen < high)
		if (cas_32(&link->head->pages_high, &seen, high))
			return;
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
	/* First, or one who is killed leaves memory that nobody finds. */
	raise_pages_high(link, page + 1);
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

void heap_note_garbage(struct tol_link *link)
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

/* ---- taking chunks ---- */

static bool is_available(const struct tol_link *link, uint32_t chunk,
			 uint64_t word, uint64_t head_position,
			 enum heap_wanted wanted)
{
	if (word == 0)
		return wanted == HEAP_ANY;
	return heap_state(word) == HEAP_CLOSED &&
	       heap_is_free_again(link, chunk, word, head_position);
}

/* Back to what they were. */
void heap_untake(struct tol_link *link, uint32_t first, uint32_t count,
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
			heap_untake(link, first, i, words);
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
			    uint32_t count, enum heap_wanted wanted,
			    uint64_t *words)
{
	uint64_t head_position = known_head(link);
	uint32_t run = 0;

	for (uint32_t chunk = from; chunk < to; chunk++) {
		uint64_t word;

		if (chunk == from || chunk % MAILBOX_HEAP_PAGE_CHUNKS == 0) {
			uint32_t page = chunk / MAILBOX_HEAP_PAGE_CHUNKS;
			int err = wanted == HEAP_ANY
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
		word = heap_load_word(link, chunk);
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
int64_t heap_take_lowest(struct tol_link *link, uint32_t count,
			   enum heap_wanted wanted, uint64_t *words)
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
	heap_untake(link, first, count, words);
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
			    count, HEAP_BACKED, words);
}

/* Return: the first of @count chunks with memory, TAKEN; -ENOSPC */
int64_t heap_take(struct tol_link *link, uint32_t count)
{
	uint64_t words[HEAP_RUN_CHUNKS_MAX];
	int64_t first;
	int err;

	first = take_garbage(link, count, words);
	if (first >= 0 && back_run(link, (uint32_t)first, count, words) == 0)
		return first;
	for (enum heap_wanted wanted = HEAP_ANY;; wanted = HEAP_BACKED) {
		first = heap_take_lowest(link, count, wanted, words);
		if (first < 0)
			return first;
		err = back_run(link, (uint32_t)first, count, words);
		if (err == 0)
			return first;
		if (err != -ENOSPC || wanted == HEAP_BACKED)
			return err;
	}
}

/* ---- the quota ---- */

static uint32_t count_ours(struct tol_link *link)
{
	uint64_t head_position = known_head(link);
	uint32_t count = 0;

	uint32_t end = heap_pages_count(link) * MAILBOX_HEAP_PAGE_CHUNKS;

	for (uint32_t chunk = 0; chunk < end; chunk++) {
		uint64_t word;

		if (!heap_page_is_usable(link,
					 chunk / MAILBOX_HEAP_PAGE_CHUNKS)) {
			chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
			continue;
		}
		word = heap_load_word(link, chunk);
		if (heap_owner_plus_1(word) == link->number + 1 &&
		    !is_available(link, chunk, word, head_position, HEAP_ANY))
			count++;
	}
	return count;
}

/* May we have @count more? */
bool heap_is_in_quota(struct tol_link *link, uint32_t count)
{
	struct pool *pool = &link->pool;

	if (link->chunks_quota == UINT32_MAX)
		return true;
	if (pool->taken_chunks + count > link->chunks_quota)
		pool->taken_chunks = count_ours(link);
	return pool->taken_chunks + count <= link->chunks_quota;
}

/* ---- reading ---- */

static bool is_readable(const struct tol_link *link, uint32_t chunk)
{
	if (load_acquire_32(&link->heap_pages[chunk /
					      MAILBOX_HEAP_PAGE_CHUNKS]) ==
	    HEAP_PAGE_ABSENT)
		return false;
	return heap_state(heap_load_word(link, chunk)) >= HEAP_OPEN;
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
			uint64_t word, bool is_file)
{
	uint32_t chunk = unit / MAILBOX_CHUNK_UNITS;

	/* Files are few, and dear enough for that. */
	if (is_file)
		heap_note_garbage(link);
	if (heap_state(word) != HEAP_CLOSED ||
	    !heap_ends_below(word, position == UINT64_MAX ? known_head(link)
							  : position + 1))
		return;
	heap_lower_hint(link, chunk);
	heap_note_garbage(link);
}

/* ---- the end of an owner ---- */

static void visit_of(struct tol_link *link, uint32_t number,
		     bool (*visit)(struct tol_link *link, uint32_t chunk,
				   uint64_t word, void *context),
		     void *context)
{
	uint32_t end = heap_pages_count(link) * MAILBOX_HEAP_PAGE_CHUNKS;

	for (uint32_t chunk = 0; chunk < end; chunk++) {
		uint64_t word;

		if (!heap_page_is_usable(link,
					 chunk / MAILBOX_HEAP_PAGE_CHUNKS)) {
			chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
			continue;
		}
		word = heap_load_word(link, chunk);
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
	heap_note_garbage(link);
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

