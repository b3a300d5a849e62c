/* SPDX-License-Identifier: MIT */
/*
 * The slots of a mailbox that may be damaged. Each slot word tells which position
 * is filled in it next; those of a sound ring are N numbers in a row, from T, the
 * first position never filled. So T is where most of them fit; what does not
 * fit is damaged.
 */
#include "core/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of an unbounded one: more than any hint is behind. */
#define BEHIND_SLOTS (UINT64_C(1) << 16)

/* A slot, as its word says. */
struct reading {
	uint64_t position;	/* of its message, or of the next */
	unsigned int state;
	uint32_t unit;
	bool is_sense;
};

/* A hint that no mailbox can have come to says nothing. */
static uint64_t lap_of_hint(const struct exam *exam)
{
	return exam->head.tail < UINT64_MAX / 4
		       ? exam->head.tail / exam->geometry.ring_slots : 0;
}

static struct reading read_word(const struct exam *exam, uint64_t word,
				uint64_t index)
{
	uint64_t n = exam->geometry.ring_slots;
	uint64_t base_lap = lap_of_hint(exam);
	int64_t ahead = slot_laps_ahead(word, base_lap);
	struct reading r = {
		.state = slot_state(word),
		.unit = slot_unit(word),
	};

	/* Of one that moves the unit is + 1. */
	r.is_sense = (r.state != SLOT_MOVING || r.unit != 0) &&
		     (ahead >= 0 || base_lap >= (uint64_t)-ahead) &&
		     base_lap + (uint64_t)ahead < UINT64_MAX / n / 2;
	r.position = (base_lap + (uint64_t)ahead) * n + index;
	return r;
}

static uint64_t next_fill(const struct exam *exam, const struct reading *r)
{
	bool is_empty = r->state == SLOT_EMPTY ||
			(r->state == SLOT_TAKEN && r->unit == SLOT_UNIT_END);

	return is_empty ? r->position
			: r->position + exam->geometry.ring_slots;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* The begin of the N positions in a row that most fit in. */
static uint64_t find_tail(const struct exam *exam, uint64_t *next,
			  uint64_t count)
{
	uint64_t n = exam->geometry.ring_slots, best_count = 0, end = 0;
	uint64_t best = exam->head.tail;

	if (count > 0)
		qsort(next, (size_t)count, sizeof(*next), compare);
	for (uint64_t i = 0; i < count; i++) {
		while (end < count && next[end] - next[i] < n)
			end++;
		if (end - i < best_count ||
		    (end - i == best_count &&
		     apart(next[i], exam->head.tail) >=
			     apart(best, exam->head.tail)))
			continue;
		best_count = end - i;
		best = next[i];
	}
	return best;
}

/* A message that a slot names. */
static void look_at_message(struct exam *exam, uint64_t index,
			    uint64_t position, uint64_t unit, uint64_t word)
{
	struct found found;
	const char *what = exam_body(exam, unit, &found);
	uint64_t again;

	if (!what) {
		found.position = position;
		found.kind = FOUND_QUEUED;
		exam_keep(exam, &found);
		return;
	}
	/* Somebody may have received it just now. */
	if (exam_read(exam, &again, sizeof(again),
		      exam->geometry.ring_offset + index * sizeof(again)) &&
	    again == word)
		exam_note(exam, TOL_FINDING_LOST, position, what, "slot %llu",
			  (unsigned long long)index);
}

static bool fits(const struct exam *exam, const struct reading *r)
{
	uint64_t next = next_fill(exam, r);

	return r->is_sense && next >= exam->tail &&
	       next - exam->tail < exam->geometry.ring_slots;
}

/* The oldest that is queued; T if none is. */
static uint64_t find_head(const struct exam *exam, const uint64_t *words)
{
	uint64_t head = exam->tail;

	for (uint64_t i = 0; i < exam->geometry.ring_slots; i++) {
		struct reading r = read_word(exam, words[i], i);

		if (fits(exam, &r) &&
		    (r.state == SLOT_FULL || r.state == SLOT_MOVING) &&
		    r.position < head)
			head = r.position;
	}
	return head;
}

static void look_at_slot(struct exam *exam, uint64_t index, uint64_t word,
			 uint64_t head)
{
	uint64_t n = exam->geometry.ring_slots;
	struct reading r = read_word(exam, word, index);
	/* Of the last N filled ones, the one that was here. */
	uint64_t last = exam->tail - 1 - (exam->tail - 1 - index) % n;
	bool was_filled = exam->tail > index;

	if (fits(exam, &r) && r.state == SLOT_FULL) {
		look_at_message(exam, index, r.position, r.unit, word);
	} else if (fits(exam, &r) && r.state == SLOT_MOVING) {
		if (exam->moved_below <= r.position)
			look_at_message(exam, index, r.position, r.unit - 1,
					word);
	} else if (fits(exam, &r) && r.state == SLOT_TAKEN &&
		   r.unit == SLOT_UNIT_MOVED) {
		if (exam->moved_below <= r.position)
			exam_note(exam, TOL_FINDING_LOST, r.position,
				  "its slot says that it is in the index, and it "
				  "never was", "slot %llu",
				  (unsigned long long)index);
	} else if (!fits(exam, &r)) {
		if (was_filled && last >= head && head < exam->tail)
			exam_note(exam, TOL_FINDING_LOST, last,
				  "its slot makes no sense", "slot %llu",
				  (unsigned long long)index);
		else
			exam_note(exam, TOL_FINDING_DAMAGE,
				  was_filled ? last : EXAM_NO_POSITION,
				  "it makes no sense: a message in it, if there "
				  "was one, is lost", "slot %llu",
				  (unsigned long long)index);
	} else if (r.state == SLOT_TAKEN && r.unit != SLOT_UNIT_END) {
		if (!exam_cell_has(exam, r.unit, r.position))
			exam_note(exam, TOL_FINDING_LOST, r.position,
				  "its slot says that it is held, and it is not",
				  "slot %llu", (unsigned long long)index);
	} else if (was_filled && last >= head && head < exam->tail) {
		exam_note(exam, TOL_FINDING_LOST, last,
			  "its slot says that it was received, before older "
			  "ones", "slot %llu", (unsigned long long)index);
	}
}

static void look_at_hints(struct exam *exam, uint64_t head)
{
	if (exam->head.tail > exam->tail)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "the hint where to send is ahead of the slots", "head");
	if (exam->head.head > head)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "the hint where to receive is ahead of the slots",
			  "head");
}

/* What cannot be read stays 0: nonsense. */
static void read_slots(const struct exam *exam, uint64_t *words, uint64_t count,
		       uint64_t index)
{
	size_t size_bytes = (size_t)count * sizeof(*words);

	memset(words, 0, size_bytes);
	if (sys_pread(exam->fd, words, size_bytes,
		      exam->geometry.ring_offset + index * sizeof(*words)) < 0)
		memset(words, 0, size_bytes);
}

static void look_at_ring(struct exam *exam, uint64_t *words, uint64_t *next)
{
	uint64_t n = exam->geometry.ring_slots, count = 0, head;

	read_slots(exam, words, n, 0);
	for (uint64_t i = 0; i < n; i++) {
		struct reading r = read_word(exam, words[i], i);

		if (r.is_sense)
			next[count++] = next_fill(exam, &r);
	}
	exam->tail = find_tail(exam, next, count);
	head = find_head(exam, words);
	for (uint64_t i = 0; i < n; i++)
		look_at_slot(exam, i, words[i], head);
	look_at_hints(exam, head);
}

/* ---- unbounded: positions are known, and the rest is holes ---- */

static void look_at_position(struct exam *exam, uint64_t position, uint64_t word)
{
	uint64_t n = exam->geometry.ring_slots;
	int64_t ahead = slot_laps_ahead_unbounded(word, position / n);

	if (word == 0 || (slot_state(word) == SLOT_EMPTY &&
			  (ahead == 0 || ahead == 1)))
		return;
	if (slot_state(word) == SLOT_MOVING && ahead == 0) {
		if (exam->moved_below <= position)
			look_at_message(exam, position % n, position,
					slot_unit_unbounded(word) - 1, word);
		return;
	}
	if (slot_state(word) == SLOT_FULL && ahead == 0)
		look_at_message(exam, position % n, position,
				slot_unit_unbounded(word), word);
	else if (slot_state(word) != SLOT_TAKEN || ahead != 0)
		exam_note(exam, TOL_FINDING_LOST, position,
			  "its slot makes no sense", "slot %llu",
			  (unsigned long long)(position % n));
	else if (slot_unit_unbounded(word) != SLOT_UNIT_END &&
		 !exam_cell_has(exam, slot_unit_unbounded(word), position))
		exam_note(exam, TOL_FINDING_LOST, position,
			  "its slot says that it is held, and it is not",
			  "slot %llu", (unsigned long long)(position % n));
}

/*
 * Positions are filled and received one after the other: an empty slot before the
 * last one that was filled, or a received one behind a message, had a message. One
 * before the oldest message may have been received.
 */
static void look_for_gaps(struct exam *exam, uint64_t begin, uint64_t head)
{
	uint64_t n = exam->geometry.ring_slots;
	uint64_t words[MAILBOX_GRANULE_SLOTS];

	for (uint64_t position = begin; position < exam->tail; position++) {
		uint64_t i = position % MAILBOX_GRANULE_SLOTS;
		bool is_empty;

		if (i == 0)
			read_slots(exam, words, MAILBOX_GRANULE_SLOTS,
				   position % n);
		is_empty = words[i] == 0 ||
			   (slot_state(words[i]) == SLOT_EMPTY &&
			    slot_laps_ahead_unbounded(words[i],
						      position / n) == 0);
		if (position < head && is_empty)
			exam_note(exam, TOL_FINDING_DAMAGE, position,
				  "it makes no sense: a message in it, if there "
				  "was one, is lost", "slot %llu",
				  (unsigned long long)(position % n));
		else if (position > head &&
			 (is_empty || slot_state(words[i]) == SLOT_EMPTY))
			exam_note(exam, TOL_FINDING_LOST, position,
				  "its slot is empty, and later ones are not",
				  "slot %llu",
				  (unsigned long long)(position % n));
	}
}

static void look_at_unbounded(struct exam *exam)
{
	const struct mailbox_layout *head = &exam->head;
	uint64_t begin = head->punched_below, end = head->ring_backed;
	uint64_t words[MAILBOX_GRANULE_SLOTS], first = UINT64_MAX;

	if (begin > end || end - begin > exam->geometry.ring_slots ||
	    head->punched_done > begin ||
	    begin % MAILBOX_GRANULE_SLOTS || end % MAILBOX_GRANULE_SLOTS ||
	    end > UINT64_MAX / 2) {
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "the marks of the ring's memory make no sense", "head");
		begin = head->head - head->head % MAILBOX_GRANULE_SLOTS;
		if (head->tail < begin ||
		    head->tail - begin > exam->geometry.ring_slots)
			return;
		end = head->tail - head->tail % MAILBOX_GRANULE_SLOTS +
		      BEHIND_SLOTS;
	}
	exam->tail = begin;
	for (uint64_t position = begin; position < end;
	     position += MAILBOX_GRANULE_SLOTS) {
		read_slots(exam, words, MAILBOX_GRANULE_SLOTS,
			   position % exam->geometry.ring_slots);
		for (uint64_t i = 0; i < MAILBOX_GRANULE_SLOTS; i++) {
			look_at_position(exam, position + i, words[i]);
			if (words[i] != 0)
				exam->tail = position + i + 1;
			if (slot_state(words[i]) == SLOT_FULL &&
			    position + i < first)
				first = position + i;
		}
	}
	if (first > exam->tail)
		first = exam->tail;
	look_for_gaps(exam, begin, first);
	look_at_hints(exam, first);
}

/* ---- capacity 0: those who wait, and no messages ---- */

static void look_at_meeting(struct exam *exam)
{
	uint64_t words[MEET_SLOTS], first = exam->head.head;

	exam->tail = exam->head.tail;
	read_slots(exam, words, MEET_SLOTS, 0);
	/* It may be behind, and not ahead. */
	if (meet_laps_ahead(words[first % MEET_SLOTS], first / MEET_SLOTS) < 0)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "the hint who waits first is ahead of the slots",
			  "head");
	for (uint64_t i = 0; i < MEET_SLOTS; i++) {
		unsigned int state = meet_state(words[i]);
		bool has_offer = state == MEET_OFFER || state == MEET_MATCHED;
		bool has_request = state == MEET_REQUEST ||
				   state == MEET_MATCHED;

		if (state >= MEET_EMPTY && state <= MEET_GONE &&
		    !(has_offer && meet_offer(words[i]) == MEET_NONE) &&
		    !(has_request && meet_request(words[i]) == MEET_NONE))
			continue;
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "who waits there makes no sense", "slot %llu",
			  (unsigned long long)i);
	}
}

int exam_ring(struct exam *exam)
{
	uint64_t *words;

	if (exam->geometry.capacity_msgs == 0) {
		look_at_meeting(exam);
		return 0;
	}

	if (mailbox_is_unbounded(&exam->geometry)) {
		look_at_unbounded(exam);
		return 0;
	}
	words = malloc((size_t)exam->geometry.ring_slots * 2 * sizeof(*words));
	if (!words)
		return -ENOMEM;
	look_at_ring(exam, words, words + exam->geometry.ring_slots);
	free(words);
	return 0;
}
