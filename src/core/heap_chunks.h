/* SPDX-License-Identifier: MIT */
#ifndef CORE_HEAP_CHUNKS_H
#define CORE_HEAP_CHUNKS_H

/* For heap.c: taking chunks. The caller is inside and holds the pool's lock. */

#include "core/heap.h"
#include "core/link.h"

/* Chunks that the largest body takes. */
#define HEAP_RUN_CHUNKS_MAX 18u

/* The page of the word has memory. */
static inline uint64_t heap_load_word(const struct tol_link *link,
				      uint32_t chunk)
{
	return load_acquire_64(&link->heap_chunks[chunk]);
}

/* What may be taken: with memory for sure, or any. */
enum heap_wanted { HEAP_ANY, HEAP_BACKED };

/**
 * heap_take - the lowest @count chunks one after the other that can be had
 *
 * Return: the first; they are TAKEN and have memory; -ENOSPC
 */
int64_t heap_take(struct tol_link *link, uint32_t count);

/* The same without memory. @words: what they were, for heap_untake() */
int64_t heap_take_lowest(struct tol_link *link, uint32_t count,
			 enum heap_wanted wanted, uint64_t *words);

/* Back to what they were. */
void heap_untake(struct tol_link *link, uint32_t first, uint32_t count,
		 const uint64_t *words);

/* May we have @count more? */
bool heap_is_in_quota(struct tol_link *link, uint32_t count);

/* Something can be given back. */
void heap_note_garbage(struct tol_link *link);

#endif
