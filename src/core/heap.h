/* SPDX-License-Identifier: MIT */
#ifndef CORE_HEAP_H
#define CORE_HEAP_H

/*
 * The pool of an unbounded mailbox, and of one with a limit of memory: chunks
 * that anybody may use again, or give back, once their messages are consumed.
 * doc/mailbox-protocol.md, section 8. The calls are those of pool.h. The caller is
 * inside (core/inside.h).
 */

#include "core/pool.h"

/* A chunk word and what is known when it is looked at. */
struct heap_look {
	uint32_t chunk;
	uint64_t word;
};

/* The limits of the link, from the head of its file. */
void heap_init(struct tol_link *link, const struct mailbox_layout *head);

int heap_alloc(struct tol_link *link, size_t size_bytes, bool is_loan,
	       struct pool_block *ret_block);
void heap_commit(struct tol_link *link, const struct pool_block *block,
		 uint64_t end_position);
void heap_abort(struct tol_link *link, const struct pool_block *block);

/**
 * heap_reserve - count a file of that size, which the block will name
 *
 * Takes chunks that get no memory, if there is a limit or a quota. They are done
 * with as the block is. Return: 0; -ENOSPC; -ENOMEM
 */
int heap_reserve(struct tol_link *link, size_t size_bytes,
		 const struct pool_block *block);

bool heap_may_read(struct tol_link *link, uint32_t unit, uint64_t size_bytes);
void heap_fini(struct tol_link *link);

/* Private memory only: also in a child, and after heap_fini(). */
void heap_free_lists(struct pool *pool);

/* Of a number without an owner: closes its chunks below @tail. */
void heap_close_all_of(struct tol_link *link, uint32_t number,
		       uint64_t tail_position);
bool heap_has_chunks_of(struct tol_link *link, uint32_t number);

/*
 * The message of that position is consumed, or, if @position is UINT64_MAX, one
 * that was held is done with. Notes whether something can be given back. @word:
 * of its chunk, read after that; nothing is to be noted if it is not CLOSED,
 * unless it is a file.
 */
void heap_note_consumed(struct tol_link *link, uint64_t position, uint32_t unit,
			uint64_t word, bool is_file);

/* ---- for collect.c ---- */

/* Pages of chunk words that were ever used. */
uint32_t heap_pages_count(const struct tol_link *link);

bool heap_page_is_usable(const struct tol_link *link, uint32_t page);

/*
 * Is nothing of a closed chunk queued or held any more? @head: a position that
 * is not ahead of the first not consumed.
 */
bool heap_is_free_again(const struct tol_link *link, uint32_t chunk,
			uint64_t word, uint64_t head_position);

/* Somebody may find a free one there. */
void heap_lower_hint(struct tol_link *link, uint32_t chunk);

#endif
