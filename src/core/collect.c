/* SPDX-License-Identifier: MIT */
/*
 * The collector: one at a time, whoever comes by. models/unbounded.pml.
 *
 * 1. Marks: drained chunks CLOSED -> GOING, open ones OPEN -> REVOKED (@whole, and
 *    only if nobody seems to be inside for long: so they cannot pile up), and
 *    punched_below up to the granule of the first message.
 * 2. Waits until everybody has been outside: inside_quiesce(). If one stays, undoes
 *    GOING, and comes again later.
 * 3. Reads the tail: all that a revoked chunk bears is below. Drained: GOING; else
 *    CLOSED(tail).
 * 4. Punches what is GOING, then it is FREE. Punches the ring, then raises
 *    punched_done. Pages of chunk words that are all FREE likewise, with a wait of
 *    their own.
 *
 * The word collector = {version, number + 1} keeps all others out. Its holder may
 * be stopped, even just before it punches: nobody can do anything with what it
 * marked until it goes on, and memory elsewhere is used meanwhile. If it is
 * dead, whoever comes next has the word, and finds the marks.
 *
 * Edges: collect-mark before inside_quiesce() before collect-punch; who enters
 * later sees the marks. Without it: memory taken anew by a reader, or a SIGBUS.
 */
#include "core/collect.h"

#include <errno.h>

#include "base/presence.h"
#include "core/heap.h"
#include "core/hold.h"
#include "core/inside.h"
#include "core/participant.h"
#include "core/ring.h"

/* A ring with messages in it all the time is punched so many slots at a time. */
#define PASSING_SLOTS (64u * MAILBOX_GRANULE_SLOTS)

/*
 * Who found nothing and collected does so again after this time only, or a mailbox
 * that is often empty for a moment would do nothing else.
 */
#define AGAIN_NS 30000000

struct collection {
	struct tol_link *link;
	uint64_t head;			/* nothing before it is queued */
	uint64_t tail;			/* all that a revoked one bears is before */
	uint64_t bytes;
	bool is_bold;
	bool has_marked;
};

/* ---- one at a time ---- */

static uint64_t make_holder(uint64_t seen, uint32_t number_plus_1)
{
	return ((seen >> 32) + 1) << 32 | number_plus_1;
}

static bool is_dead(struct tol_link *link, uint32_t number)
{
	struct presence found;
	int fd = link_reopen(link, false);
	bool is_gone = false;

	if (fd >= 0) {
		is_gone = presence_find(fd, number, 1, &found) == 0;
		sys_close(fd);
	}
	return is_gone;
}

/* Who has it is asked about once it was in the way twice. */
static bool acquire(struct tol_link *link)
{
	uint64_t seen = load_acquire_64(&link->head->collector);
	uint32_t number_plus_1 = (uint32_t)seen;

	if (number_plus_1 != 0) {
		uint64_t before = load_relaxed_64(&link->collector_seen);

		store_relaxed_64(&link->collector_seen, seen);
		if (number_plus_1 == link->number + 1 || seen != before ||
		    !is_dead(link, number_plus_1 - 1))
			return false;
	}
	return cas_64(&link->head->collector, &seen,
		      make_holder(seen, link->number + 1));
}

static void release(struct tol_link *link)
{
	uint64_t seen = load_relaxed_64(&link->head->collector);

	cas_64(&link->head->collector, &seen, make_holder(seen, 0));
}

void collect_release(struct tol_link *link, uint32_t number)
{
	uint64_t seen = load_acquire_64(&link->head->collector);

	if ((uint32_t)seen == number + 1)
		cas_64(&link->head->collector, &seen, make_holder(seen, 0));
}

/* ---- chunks ---- */

/* One that is GOING was left by a collector that is dead. */
static bool has_memory(const struct tol_link *link, uint32_t page)
{
	return load_acquire_32(&link->heap_pages[page]) != HEAP_PAGE_ABSENT;
}

static void for_each_chunk(struct collection *c,
			   void (*visit)(struct collection *c, uint32_t chunk,
					 uint64_t word))
{
	for (uint32_t page = 0; page < heap_pages_count(c->link); page++) {
		uint32_t first = page * MAILBOX_HEAP_PAGE_CHUNKS;

		if (!has_memory(c->link, page))
			continue;
		for (uint32_t i = 0; i < MAILBOX_HEAP_PAGE_CHUNKS; i++) {
			uint64_t word = load_acquire_64(
				&c->link->heap_chunks[first + i]);

			if (word != 0)
				visit(c, first + i, word);
		}
	}
}

static bool swap(struct collection *c, uint32_t chunk, uint64_t word,
		 unsigned int state, uint64_t end_position)
{
	return cas_64(&c->link->heap_chunks[chunk], &word,
		      heap_make(state, heap_owner_plus_1(word), end_position));
}

static uint64_t end_of(uint64_t word)
{
	return word >> (64 - HEAP_END_BITS);
}

/* collect-mark */
static void mark(struct collection *c, uint32_t chunk, uint64_t word)
{
	switch (heap_state(word)) {
	case HEAP_CLOSED:
		if (heap_is_free_again(c->link, chunk, word, c->head) &&
		    swap(c, chunk, word, HEAP_GOING, end_of(word)))
			c->has_marked = true;
		break;
	case HEAP_OPEN:
		if (c->is_bold && swap(c, chunk, word, HEAP_REVOKED, 0))
			c->has_marked = true;
		break;
	case HEAP_GOING:
	case HEAP_REVOKED:
		c->has_marked = true;
		break;
	}
}

static void unmark(struct collection *c, uint32_t chunk, uint64_t word)
{
	if (heap_state(word) == HEAP_GOING)
		swap(c, chunk, word, HEAP_CLOSED, end_of(word));
}

/* Step 3. */
static void judge_revoked(struct collection *c, uint32_t chunk, uint64_t word)
{
	uint64_t closed = heap_make(HEAP_CLOSED, heap_owner_plus_1(word),
				    c->tail);

	if (heap_state(word) != HEAP_REVOKED)
		return;
	if (heap_is_free_again(c->link, chunk, closed, c->head))
		swap(c, chunk, word, HEAP_GOING, c->tail);
	else
		swap(c, chunk, word, HEAP_CLOSED, c->tail);
}

/* collect-punch: neighbours together. */
static void punch_chunks(struct collection *c)
{
	struct tol_link *link = c->link;
	uint32_t chunks = heap_pages_count(link) * MAILBOX_HEAP_PAGE_CHUNKS;
	uint32_t first = 0, count = 0;

	for (uint32_t chunk = 0; chunk <= chunks; chunk++) {
		uint32_t page = chunk / MAILBOX_HEAP_PAGE_CHUNKS;
		bool is_going = chunk < chunks && has_memory(link, page) &&
				heap_state(load_acquire_64(
					&link->heap_chunks[chunk])) ==
					HEAP_GOING;

		if (is_going) {
			if (count++ == 0)
				first = chunk;
			continue;
		}
		if (count > 0) {
			if (sys_punch(pool_at(link,
					      first * MAILBOX_CHUNK_UNITS),
				      (size_t)count * MAILBOX_CHUNK_BYTES) == 0)
				c->bytes += (uint64_t)count *
					    MAILBOX_CHUNK_BYTES;
			for (uint32_t i = 0; i < count; i++)
				store_release_64(&link->heap_chunks[first + i],
						 0);
			heap_lower_hint(link, first);
			count = 0;
		}
		if (chunk < chunks && !has_memory(link, page))
			chunk |= MAILBOX_HEAP_PAGE_CHUNKS - 1;
	}
}

/* ---- pages of chunk words ---- */

static bool is_page_free(const struct tol_link *link, uint32_t page)
{
	const uint64_t *words =
		&link->heap_chunks[page * MAILBOX_HEAP_PAGE_CHUNKS];

	for (uint32_t i = 0; i < MAILBOX_HEAP_PAGE_CHUNKS; i++)
		if (load_acquire_64(&words[i]) != 0)
			return false;
	return true;
}

/* The first page stays. One that is GOING already was left by a dead one. */
static bool mark_pages(struct tol_link *link)
{
	bool has_marked = false;

	for (uint32_t page = 1; page < heap_pages_count(link); page++) {
		uint32_t present = HEAP_PAGE_PRESENT;

		if (!has_memory(link, page))
			continue;
		if (!heap_page_is_usable(link, page) ||
		    (is_page_free(link, page) &&
		     cas_32(&link->heap_pages[page], &present,
			    HEAP_PAGE_GOING)))
			has_marked = true;
	}
	return has_marked;
}

static void punch_pages(struct collection *c, bool may_punch)
{
	struct tol_link *link = c->link;

	for (uint32_t page = 1; page < heap_pages_count(link); page++) {
		void *words =
			&link->heap_chunks[page * MAILBOX_HEAP_PAGE_CHUNKS];
		uint32_t next = HEAP_PAGE_PRESENT;

		if (load_acquire_32(&link->heap_pages[page]) != HEAP_PAGE_GOING)
			continue;
		/* Somebody may have taken one of it until all had left. */
		if (may_punch && is_page_free(link, page) &&
		    sys_punch(words, MAILBOX_PAGE_BYTES) == 0) {
			c->bytes += MAILBOX_PAGE_BYTES;
			next = HEAP_PAGE_ABSENT;
		}
		store_release_32(&link->heap_pages[page], next);
	}
}

/* ---- the ring ---- */

static void punch_slots(struct collection *c, uint64_t from, uint64_t to)
{
	struct tol_link *link = c->link;
	uint64_t slots = link->geometry.ring_slots;

	while (from < to) {
		uint64_t index = from & (slots - 1);
		uint64_t count = to - from;

		if (count > slots - index)
			count = slots - index;
		if (sys_punch(&link->ring[index],
			      (size_t)count * sizeof(uint64_t)) == 0)
			c->bytes += count * sizeof(uint64_t);
		from += count;
	}
}

static bool mark_ring(struct collection *c)
{
	struct mailbox_layout *head = c->link->head;
	uint64_t below = c->head & ~(uint64_t)(MAILBOX_GRANULE_SLOTS - 1);

	if (!c->link->is_unbounded)
		return false;
	if (below > load_relaxed_64(&head->punched_below))
		store_release_64(&head->punched_below, below);
	return load_relaxed_64(&head->punched_done) <
	       load_relaxed_64(&head->punched_below);
}

static void punch_ring(struct collection *c)
{
	struct mailbox_layout *head = c->link->head;
	uint64_t done = load_relaxed_64(&head->punched_done);
	uint64_t below = load_relaxed_64(&head->punched_below);

	if (!c->link->is_unbounded || done >= below ||
	    below - done > c->link->geometry.ring_slots)
		return;
	punch_slots(c, done, below);
	store_release_64(&head->punched_done, below);
}

/* ---- all of it ---- */

/* "Empty" also ends the walk. */
static bool find_head(struct collection *c)
{
	struct ring_message message;
	struct ring_gate gate;
	int err = ring_find_message(c->link, &message, &gate);

	c->head = message.position;
	return err == 0 || err == -EAGAIN || err == -ENODATA || err == -EBUSY;
}

/* Return: false some of it is left */
static bool give_back(struct collection *c)
{
	struct tol_link *link = c->link;
	bool is_ring_marked, is_done = true;
	uint64_t tail;

	if (!find_head(c))
		return true;
	is_ring_marked = mark_ring(c);
	for_each_chunk(c, mark);
	if (c->has_marked || is_ring_marked) {
		if (!inside_quiesce(link)) {
			for_each_chunk(c, unmark);
			return false;
		}
		punch_ring(c);
		if (ring_find_tail(link, &tail) < 0 || !find_head(c))
			return true;
		c->tail = tail;
		for_each_chunk(c, judge_revoked);
		punch_chunks(c);
	}
	if (mark_pages(link)) {
		is_done = inside_quiesce(link);
		punch_pages(c, is_done);
	}
	return is_done;
}

uint64_t collect(struct tol_link *link, bool whole)
{
	struct collection c = { .link = link };

	if (!acquire(link))
		return 0;
	store_release_32(&link->head->garbage, 0);
	c.is_bold = whole && inside_is_quiet(link);
	if (!give_back(&c) || (whole && !c.is_bold))
		store_release_32(&link->head->garbage, 1);
	release(link);
	return c.bytes;
}

void collect_slow(struct tol_link *link)
{
	uint64_t now_ns = (uint64_t)link->futex->now_ns();

	if (now_ns < load_relaxed_64(&link->collect_after_ns))
		return;
	store_relaxed_64(&link->collect_after_ns, now_ns + AGAIN_NS);
	collect(link, true);
}

int64_t collect_due_ns(const struct tol_link *link)
{
	if (!link->has_heap || !load_relaxed_32(&link->head->garbage))
		return INT64_MAX;
	return (int64_t)load_relaxed_64(&link->collect_after_ns);
}

void collect_passing_slow(struct tol_link *link, uint64_t position)
{
	uint64_t next = position + 1;

	if (!link->is_unbounded ||
	    next - load_relaxed_64(&link->head->punched_done) < PASSING_SLOTS)
		return;
	collect(link, false);
}
