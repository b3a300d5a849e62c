/* SPDX-License-Identifier: MIT */
/*
 * Hold cells: taken messages, those that came back, and dead letters.
 *
 * Roles: any participant may do anything here, also in the place of a dead one.
 *
 *	FREE --claim--> CLAIM --(slot TAKEN)--> HELD --ack--> FREE
 *	HELD --return, death, end of the lease--> RETURNED --take--> HELD
 *	RETURNED --receive--> FREE    RETURNED --too many tries--> DEAD
 *	DEAD --take--> HELD_DEAD --ack--> FREE    HELD_DEAD --return--> DEAD
 *
 * Linearization: a take of a queued message at ring-take, all else at the CAS of
 * the cell's word. A word of a cell is never the same twice, within the wrap of
 * its grant and bump (2^29 owners and, with the same owner, 2^20 changes).
 *
 * I1 While a slot is TAKEN by a cell, the cell is CLAIM or HELD: who changes a
 *	held one otherwise empties its slot first (ring_settle_taken()).
 * I2 If returns has count 0 no cell is RETURNED; dead_letters and DEAD alike. Who
 *	puts back reads the cell, raises the count, then swaps the cell's word: a
 *	swap of a word that was read before the count. Who sets the count to
 *	0 has read it, found no such cell, bumped every cell that could become one, and
 *	swaps the count as it was read: whoever read a cell before that fails and
 *	raises the count anew. Without the bump: one who was stopped between raising
 *	and swapping would hide its message.
 * I3 A cell that is not FREE pins the units of its body.
 *
 * Edges: hold-fill (release, by ring-take) -> hold-confirm: the record is whole.
 *	hold-consume (release) -> hold-pins of the body's owner (acquire): the
 *	copy was finished before its memory is written again.
 *
 * Crash: CLAIM of a dead owner: the slot tells whether it got the message; a
 * dead one's claim cannot succeed later. HELD of a dead owner: anybody puts it
 * back; the word was read before the lock on the number was seen free, so it is
 * the dead one's, whoever has the number by now.
 */
#include "core/hold.h"

#include <errno.h>

#include "base/presence.h"
#include "core/body.h"
#include "core/change.h"
#include "core/index.h"
#include "core/meet.h"
#include "core/participant.h"
#include "core/ring.h"

/* Cells that get their memory together: one page of records. */
#define CELLS_A_STEP 64u

/* How often a call that found nothing asks who is alive. */
#define SWEEP_EVERY_NS 2000000

/* A cell that changes that often is the next sweep's. */
#define SWEEP_TRIES_MAX 64

#define DUE_SHIFT 20
#define NS_A_MS 1000000

#define DEADLINE_GRANT_BITS 24
#define DEADLINE_GRANT_MASK ((UINT64_C(1) << DEADLINE_GRANT_BITS) - 1)
#define DEADLINE_MS_MAX (UINT64_MAX >> DEADLINE_GRANT_BITS)

static uint32_t cells_high(const struct tol_link *link)
{
	uint32_t high = load_acquire_32(&link->head->holds_high);

	return high < MAILBOX_HOLDS_MAX ? high : MAILBOX_HOLDS_MAX;
}

static inline uint64_t load_word(const struct tol_link *link, uint32_t cell)
{
	return load_acquire_64(&link->holds[cell]);
}

static inline bool swap(const struct tol_link *link, struct hold *hold,
			uint64_t next)
{
	return cas_64(&link->holds[hold->cell], &hold->word, next);
}

/* The same owner and grant. */
static uint64_t with_state(uint64_t word, unsigned int state)
{
	return hold_make(state, hold_owner(word), hold_grant(word),
			 hold_bump(word) + 1);
}

bool hold_look_at(const struct tol_link *link, uint32_t cell,
		  struct hold *ret_hold)
{
	if (cell >= cells_high(link))
		return false;
	ret_hold->cell = cell;
	ret_hold->word = load_word(link, cell);
	return true;
}

bool hold_confirm(const struct tol_link *link, const struct hold *hold)
{
	struct hold seen = *hold;

	if (hold_state(seen.word) == HOLD_CLAIM)
		swap(link, &seen, with_state(seen.word, HOLD_HELD));
	else if (hold_state(seen.word) != HOLD_HELD)
		return false;
	return true;
}

bool hold_give(const struct tol_link *link, const struct hold *offer,
	       const struct hold *request)
{
	struct hold given = *offer, asking = *request;
	uint32_t receiver = hold_owner(request->word);

	if (hold_state(given.word) == HOLD_CLAIM)
		swap(link, &given, hold_make(HOLD_HELD, receiver,
					     hold_grant(given.word),
					     hold_bump(given.word) + 1));
	else if (hold_state(given.word) != HOLD_HELD)
		return false;
	if (hold_state(asking.word) == HOLD_CLAIM)
		swap(link, &asking, hold_make(HOLD_POINT, receiver,
					      hold_grant(asking.word),
					      offer->cell));
	else if (hold_state(asking.word) != HOLD_POINT)
		return false;
	return true;
}

bool hold_follow(struct tol_link *link, const struct hold *request,
		 struct hold *ret_offer)
{
	struct hold seen = { request->cell, load_word(link, request->cell) };

	if (hold_state(seen.word) != HOLD_POINT ||
	    hold_grant(seen.word) != hold_grant(request->word) ||
	    !hold_look_at(link, (uint32_t)hold_bump(seen.word) & MEET_NONE,
			  ret_offer))
		return false;
	/* A plain word again: its bump must not look like an older one. */
	swap(link, &seen, hold_make(HOLD_FREE, 0, hold_grant(seen.word), 0));
	return true;
}

bool hold_has_changed(const struct tol_link *link, const struct hold *hold)
{
	return load_word(link, hold->cell) != hold->word;
}

/* ---- claims ---- */

static int grow(struct tol_link *link, uint32_t high)
{
	uint32_t next = high + CELLS_A_STEP;
	int err;

	if (high >= MAILBOX_HOLDS_MAX)
		return -EUSERS;
	high -= high % CELLS_A_STEP;
	err = sys_populate((void *)((uintptr_t)&link->holds[high] &
				    ~(uintptr_t)(MAILBOX_PAGE_BYTES - 1)),
			   MAILBOX_PAGE_BYTES, true);
	if (err == 0)
		err = sys_populate(&link->hold_records[high],
				   CELLS_A_STEP * sizeof(struct hold_layout),
				   true);
	if (err < 0)
		return err;
	high = load_relaxed_32(&link->head->holds_high);
	while (high < next)
		if (cas_32(&link->head->holds_high, &high, next))
			break;
	return 0;
}

static bool claim_one(struct tol_link *link, uint32_t cell,
		      struct hold *ret_hold)
{
	uint64_t next;

	ret_hold->cell = cell;
	ret_hold->word = load_word(link, cell);
	if (hold_state(ret_hold->word) != HOLD_FREE)
		return false;
	next = hold_make(HOLD_CLAIM, link->number,
			 hold_grant(ret_hold->word) + 1,
			 hold_bump(ret_hold->word) + 1);
	if (!swap(link, ret_hold, next))
		return false;
	ret_hold->word = next;
	store_relaxed_32(&link->hold_hint, cell);
	return true;
}

int hold_claim(struct tol_link *link, struct hold *ret_hold)
{
	uint32_t start = load_relaxed_32(&link->hold_hint);

	for (;;) {
		uint32_t high = cells_high(link);
		int err;

		for (uint32_t i = 0; i < high; i++)
			if (claim_one(link, (start + i) % high, ret_hold))
				return 0;
		err = grow(link, high);
		if (err < 0)
			return err;
		start = high;
	}
}

void hold_unclaim(struct tol_link *link, const struct hold *hold)
{
	struct hold seen = *hold;

	swap(link, &seen, with_state(seen.word, HOLD_FREE));
}

/* ---- leases ---- */

/*
 * lease_due: {milliseconds, changes}, never later than the end of any lease that
 * runs. Every lease that begins changes it, so that who is about to set it to a
 * later time has seen the lease, or fails.
 */
static uint64_t due_ms(uint64_t due)
{
	return due >> DUE_SHIFT;
}

static uint64_t make_due(uint64_t ms, uint64_t seen)
{
	return ms << DUE_SHIFT |
	       ((seen + 1) & ((UINT64_C(1) << DUE_SHIFT) - 1));
}

static void lower_due(struct tol_link *link, int64_t deadline_ns)
{
	uint64_t *due = &link->head->lease_due;
	uint64_t seen = load_relaxed_64(due);
	uint64_t ms = (uint64_t)deadline_ns / NS_A_MS;
	uint64_t next;

	do {
		next = due_ms(seen) && due_ms(seen) < ms ? due_ms(seen) : ms;
	} while (!cas_64(due, &seen, make_due(next, seen)));
}

bool hold_due_is_before(uint64_t due, uint64_t other)
{
	return due_ms(due) != 0 &&
	       (due_ms(other) == 0 || due_ms(due) < due_ms(other));
}

int64_t hold_due_ns(const struct tol_link *link)
{
	uint64_t ms = due_ms(load_acquire_64(&link->head->lease_due));

	if (ms == 0 || ms > (uint64_t)INT64_MAX / NS_A_MS / 2)
		return INT64_MAX;
	return link_own_ns(link, (int64_t)(ms + 1) * NS_A_MS);
}

/*
 * One word with the grant that it is of: who was stopped on the way to a later time
 * must not write over that of the next owner.
 */
static uint64_t make_deadline(const struct tol_link *link,
			      const struct hold *hold, int64_t lease_ns)
{
	uint64_t grant = hold_grant(hold->word) & DEADLINE_GRANT_MASK;
	uint64_t ms;
	int64_t now_ns;

	if (lease_ns <= 0)
		return grant;
	now_ns = link_shared_ns(link, link->futex->now_ns());
	ms = lease_ns > INT64_MAX / 4 - now_ns
		     ? (uint64_t)(INT64_MAX / 4 / NS_A_MS)
		     : (uint64_t)(now_ns + lease_ns - 1) / NS_A_MS + 1;
	if (ms > DEADLINE_MS_MAX)
		ms = DEADLINE_MS_MAX;
	return ms << DEADLINE_GRANT_BITS | grant;
}

static int64_t deadline_ns_of(uint64_t deadline)
{
	return (int64_t)(deadline >> DEADLINE_GRANT_BITS) * NS_A_MS;
}

static void set_deadline(struct tol_link *link, const struct hold *hold,
			 int64_t lease_ns)
{
	uint64_t deadline = make_deadline(link, hold, lease_ns);

	store_release_64(&link->hold_records[hold->cell].deadline, deadline);
	if (deadline_ns_of(deadline))
		lower_due(link, deadline_ns_of(deadline));
}

/* Return: 0; -ESTALE it is somebody else's; -EAGAIN it has just changed */
static int change_deadline(struct tol_link *link, const struct hold *hold,
			    int64_t lease_ns)
{
	uint64_t *word = &link->hold_records[hold->cell].deadline;
	uint64_t seen = load_acquire_64(word);
	uint64_t deadline = make_deadline(link, hold, lease_ns);

	if ((seen ^ deadline) & DEADLINE_GRANT_MASK)
		return -ESTALE;
	if (!cas_64(word, &seen, deadline))
		return -EAGAIN;
	if (deadline_ns_of(deadline))
		lower_due(link, deadline_ns_of(deadline));
	return 0;
}

/* Return: 0 it has none */
static int64_t deadline_of(const struct tol_link *link, const struct hold *hold)
{
	uint64_t deadline =
		load_acquire_64(&link->hold_records[hold->cell].deadline);

	if ((deadline ^ hold_grant(hold->word)) & DEADLINE_GRANT_MASK)
		return 0;
	return deadline_ns_of(deadline);
}

void hold_fill(struct tol_link *link, const struct hold *hold,
	       uint64_t position, uint64_t unit, uint64_t size_bytes,
	       int64_t lease_ns)
{
	struct hold_layout *record = &link->hold_records[hold->cell];

	/* hold-fill */
	store_relaxed_64(&record->position, position);
	store_relaxed_64(&record->unit, unit);
	store_relaxed_64(&record->units_count,
			 (size_bytes + MAILBOX_UNIT_BYTES - 1) /
				 MAILBOX_UNIT_BYTES);
	store_relaxed_32(&record->first_grant, hold_grant(hold->word));
	store_relaxed_32(&record->wish, 0);
	store_relaxed_32(&record->asleep, 0);
	set_deadline(link, hold, lease_ns);
}

/* ---- those that came back ---- */

static uint64_t *count_of(const struct tol_link *link, enum hold_kind kind)
{
	return kind == HOLD_KIND_DEAD ? &link->head->dead_letters
				      : &link->head->returns;
}

static unsigned int state_of(enum hold_kind kind)
{
	return kind == HOLD_KIND_DEAD ? HOLD_DEAD : HOLD_RETURNED;
}

/* May a cell in this state become one of that kind by one swap? */
static bool is_source(enum hold_kind kind, unsigned int state)
{
	if (kind == HOLD_KIND_DEAD)
		return state == HOLD_RETURNED || state == HOLD_HELD_DEAD;
	return state == HOLD_HELD;
}

/* The cell was read before: see I2. */
static bool put(struct tol_link *link, struct hold *hold, enum hold_kind kind)
{
	fetch_add_64(count_of(link, kind), 1);
	return swap(link, hold,
		    hold_make(state_of(kind), 0, hold_grant(hold->word),
			      hold_bump(hold->word) + 1));
}

bool hold_read(const struct tol_link *link, const struct hold *hold,
	       struct hold_layout *ret_record)
{
	copy_unsettled(ret_record, &link->hold_records[hold->cell],
		       sizeof(*ret_record));
	return load_after_reads_64(&link->holds[hold->cell]) == hold->word;
}

static bool find_lowest(const struct tol_link *link, enum hold_kind kind,
			uint64_t from_position, struct hold *ret_hold)
{
	uint32_t high = cells_high(link);
	uint64_t lowest = 0;
	bool is_found = false;

	for (uint32_t cell = 0; cell < high; cell++) {
		struct hold hold = { cell, load_word(link, cell) };
		struct hold_layout record;

		if (hold_state(hold.word) != state_of(kind) ||
		    !hold_read(link, &hold, &record) ||
		    record.position < from_position ||
		    (is_found && record.position >= lowest))
			continue;
		is_found = true;
		lowest = record.position;
		*ret_hold = hold;
	}
	return is_found;
}

bool hold_is_there(const struct tol_link *link, enum hold_kind kind)
{
	struct hold hold;

	return (uint32_t)load_acquire_64(count_of(link, kind)) != 0 &&
	       find_lowest(link, kind, 0, &hold);
}

bool hold_find_from(const struct tol_link *link, enum hold_kind kind,
		    uint64_t from_position, struct hold *ret_hold)
{
	return (uint32_t)load_acquire_64(count_of(link, kind)) != 0 &&
	       find_lowest(link, kind, from_position, ret_hold);
}

bool hold_next(const struct tol_link *link, enum hold_kind kind,
	       uint32_t *cell, struct hold *ret_hold,
	       struct hold_layout *ret_record)
{
	uint32_t high = cells_high(link);

	for (; *cell < high; ++*cell) {
		*ret_hold = (struct hold){ *cell, load_word(link, *cell) };
		if (hold_state(ret_hold->word) == state_of(kind) &&
		    hold_read(link, ret_hold, ret_record))
			return true;
	}
	return false;
}

bool hold_key(struct tol_link *link, const struct hold_layout *record,
	      struct select_key *ret_key)
{
	struct reading reading;

	if (record->unit > UINT32_MAX ||
	    body_look(link, (uint32_t)record->unit, &reading) < 0)
		return false;
	*ret_key = (struct select_key){
		.tag = reading.body.tag,
		.position = record->position,
		.priority = reading.body.priority,
		.sender_pid = reading.body.sender_pid,
	};
	return true;
}

/* Return: false one has become one of that kind */
static bool bump_sources(const struct tol_link *link, enum hold_kind kind)
{
	uint32_t high = cells_high(link);

	for (uint32_t cell = 0; cell < high; cell++) {
		struct hold hold = { cell, load_word(link, cell) };

		while (is_source(kind, hold_state(hold.word)))
			if (swap(link, &hold, with_state(hold.word,
						hold_state(hold.word))))
				break;
		if (hold_state(hold.word) == state_of(kind))
			return false;
	}
	return true;
}

int hold_find(const struct tol_link *link, enum hold_kind kind,
	      struct hold *ret_hold)
{
	uint64_t *count = count_of(link, kind);

	for (;;) {
		uint64_t seen = load_acquire_64(count);
		uint64_t none = ((seen >> 32) + 1) << 32;

		if ((uint32_t)seen == 0)
			return -EAGAIN;
		if (find_lowest(link, kind, 0, ret_hold))
			return 0;
		if (bump_sources(link, kind) && cas_64(count, &seen, none))
			return -EAGAIN;
	}
}

bool hold_consume(const struct tol_link *link, const struct hold *hold)
{
	struct hold seen = *hold;

	/* hold-consume */
	return swap(link, &seen, with_state(seen.word, HOLD_FREE));
}

bool hold_take(struct tol_link *link, struct hold *hold, int64_t lease_ns)
{
	unsigned int state = hold_state(hold->word) == HOLD_DEAD
				     ? HOLD_HELD_DEAD : HOLD_HELD;
	uint64_t next = hold_make(state, link->number,
				  hold_grant(hold->word) + 1,
				  hold_bump(hold->word) + 1);

	if (!swap(link, hold, next))
		return false;
	hold->word = next;
	set_deadline(link, hold, lease_ns);
	return true;
}

uint32_t hold_tries(const struct hold_layout *record, const struct hold *hold)
{
	return (uint32_t)((hold_grant(hold->word) - record->first_grant) &
			  HOLD_GRANT_MASK) + 1;
}

bool hold_bury(struct tol_link *link, const struct hold *hold)
{
	struct hold seen = *hold;

	return put(link, &seen, HOLD_KIND_DEAD);
}

void hold_bury_returned(struct tol_link *link, uint32_t cell, uint32_t grant)
{
	struct hold hold;

	if (hold_look_at(link, cell, &hold) &&
	    hold_state(hold.word) == HOLD_RETURNED &&
	    hold_grant(hold.word) == grant)
		hold_bury(link, &hold);
}

/* ---- what its owner does ---- */

static bool is_held(uint64_t word)
{
	return hold_state(word) == HOLD_HELD ||
	       hold_state(word) == HOLD_HELD_DEAD;
}

static bool look_at_ours(const struct tol_link *link, uint32_t cell,
			 uint32_t grant, struct hold *ret_hold)
{
	return hold_look_at(link, cell, ret_hold) && is_held(ret_hold->word) &&
	       hold_owner(ret_hold->word) == link->number &&
	       hold_grant(ret_hold->word) == grant;
}

bool hold_is_ours(const struct tol_link *link, uint32_t cell, uint32_t grant)
{
	struct hold hold;

	return look_at_ours(link, cell, grant, &hold);
}

int hold_ack(struct tol_link *link, uint32_t cell, uint32_t grant)
{
	struct hold hold;

	while (look_at_ours(link, cell, grant, &hold))
		if (swap(link, &hold, with_state(hold.word, HOLD_FREE)))
			return 0;
	return -ESTALE;
}

static bool put_back(struct tol_link *link, struct hold *hold)
{
	return put(link, hold, hold_state(hold->word) == HOLD_HELD_DEAD
				       ? HOLD_KIND_DEAD : HOLD_KIND_RETURNED);
}

int hold_return(struct tol_link *link, uint32_t cell, uint32_t grant)
{
	struct hold hold;

	while (look_at_ours(link, cell, grant, &hold))
		if (put_back(link, &hold))
			return 0;
	return -ESTALE;
}

/* The deadline first: who read the older one has read an older word too. */
int hold_extend(struct tol_link *link, uint32_t cell, uint32_t grant,
		int64_t lease_ns)
{
	struct hold hold;

	while (look_at_ours(link, cell, grant, &hold)) {
		int err = change_deadline(link, &hold, lease_ns);

		if (err == -ESTALE)
			return err;
		if (err < 0)
			continue;
		if (swap(link, &hold, with_state(hold.word,
						 hold_state(hold.word))))
			return 0;
	}
	return -ESTALE;
}

/* ---- in the place of others ---- */

static bool has_owner(uint64_t word)
{
	return is_held(word) || hold_state(word) == HOLD_CLAIM ||
	       hold_state(word) == HOLD_POINT;
}

/* Of somebody who is gone, or whose time is up; @hold as it was read before. */
static bool release(struct tol_link *link, struct hold *hold)
{
	uint64_t position = load_relaxed_64(
		&link->hold_records[hold->cell].position);
	bool was_taken = link->is_meeting
				 ? meet_settle(link, position, hold)
				 : ring_settle_taken(link, position, hold->cell);

	if (hold_state(hold->word) == HOLD_POINT)
		return swap(link, hold, hold_make(HOLD_FREE, 0,
						  hold_grant(hold->word), 0));
	if (hold_state(hold->word) != HOLD_CLAIM)
		return put_back(link, hold);
	/* From the index: its last change is made, or never will be. */
	if (index_is_used(link))
		change_help(link);
	/* It got the message, or never will. */
	return !was_taken &&
	       swap(link, hold, with_state(hold->word, HOLD_FREE));
}

uint32_t hold_return_all_of(struct tol_link *link, uint32_t number)
{
	uint32_t high = cells_high(link), count = 0;

	for (uint32_t cell = 0; cell < high; cell++) {
		struct hold hold = { cell, load_word(link, cell) };

		while (has_owner(hold.word) &&
		       hold_owner(hold.word) == number) {
			if (release(link, &hold)) {
				count++;
				break;
			}
			hold.word = load_word(link, cell);
		}
	}
	return count;
}

/*
 * Who was alive, asked once in a sweep. That one is dead is asked for every cell: its
 * number may have a new owner, who took what is looked at next.
 */
struct census {
	int fd;
	uint64_t is_alive[MAILBOX_PARTICIPANTS_MAX / 64];
};

/* Of the owner in a word that was read before. */
static bool is_dead(struct tol_link *link, struct census *census,
		    uint32_t number)
{
	uint64_t bit = UINT64_C(1) << number % 64;
	struct presence found;

	if (number == link->number || census->is_alive[number / 64] & bit)
		return false;
	if (census->fd == -1)
		census->fd = link_reopen(link, false);
	if (census->fd < 0)
		return false;
	if (presence_find(census->fd, number, 1, &found) == 0)
		return true;
	census->is_alive[number / 64] |= bit;
	return false;
}

static uint64_t earlier_ms(uint64_t a_ms, int64_t b_ns)
{
	uint64_t b_ms = (uint64_t)b_ns / NS_A_MS;

	return a_ms && a_ms < b_ms ? a_ms : b_ms;
}

/*
 * If its owner is dead, back with it. A word is read before anything is asked about its
 * owner, and all is asked anew when it has changed: whoever has it then may live.
 *
 * Return: true it is nobody's, or was a dead one's; false @ret_hold lives
 */
static bool sweep_dead(struct tol_link *link, struct census *census,
		       uint32_t cell, struct hold *ret_hold)
{
	ret_hold->cell = cell;
	for (int i = 0; i < SWEEP_TRIES_MAX; i++) {
		ret_hold->word = load_word(link, cell);
		if (!has_owner(ret_hold->word))
			return true;
		if (!is_dead(link, census, hold_owner(ret_hold->word)))
			return false;
		if (release(link, ret_hold))
			return true;
	}
	return true;
}

void hold_sweep(struct tol_link *link)
{
	uint32_t high = cells_high(link);
	uint64_t due = load_acquire_64(&link->head->lease_due);
	int64_t now_ns = link_shared_ns(link, link->futex->now_ns());
	struct census census = { .fd = -1 };
	uint64_t next_ms = 0;

	for (uint32_t cell = 0; cell < high; cell++) {
		struct hold hold;
		int64_t deadline_ns;

		if (sweep_dead(link, &census, cell, &hold))
			continue;
		deadline_ns = deadline_of(link, &hold);
		if (deadline_ns <= 0)
			continue;
		if (deadline_ns > now_ns || !is_held(hold.word) ||
		    !release(link, &hold))
			next_ms = earlier_ms(next_ms, deadline_ns);
	}
	if (due_ms(due))
		cas_64(&link->head->lease_due, &due, make_due(next_ms, due));
	if (census.fd >= 0)
		sys_close(census.fd);
	store_relaxed_64(&link->swept_ns, (uint64_t)link->futex->now_ns());
}

void hold_sweep_now_and_then(struct tol_link *link, int64_t now_ns)
{
	int64_t since_ns = now_ns - (int64_t)load_relaxed_64(&link->swept_ns);

	if (now_ns >= hold_due_ns(link) ||
	    (since_ns >= SWEEP_EVERY_NS && hold_is_watched(link)))
		hold_sweep(link);
}

bool hold_is_watched(const struct tol_link *link)
{
	uint32_t high = cells_high(link);

	for (uint32_t cell = 0; cell < high; cell++) {
		uint64_t word = load_word(link, cell);

		if (has_owner(word) && hold_owner(word) != link->number)
			return true;
	}
	return false;
}

bool hold_is_held(const struct tol_link *link)
{
	uint32_t high = cells_high(link);

	for (uint32_t cell = 0; cell < high; cell++) {
		uint64_t word = load_word(link, cell);

		if (has_owner(word) && hold_state(word) != HOLD_CLAIM &&
		    hold_owner(word) != link->number)
			return true;
	}
	return false;
}

bool hold_is_any_owned(const struct tol_link *link)
{
	uint32_t high = cells_high(link);

	for (uint32_t cell = 0; cell < high; cell++)
		if (has_owner(load_word(link, cell)))
			return true;
	return false;
}

bool hold_pins(const struct tol_link *link, uint64_t unit, uint64_t units_count)
{
	uint32_t high = cells_high(link);

	/* In the order in which messages go: from the index to a cell. */
	if (__builtin_expect(index_is_used(link), 0) &&
	    index_pins(link, unit / MAILBOX_CHUNK_UNITS,
		       (units_count + MAILBOX_CHUNK_UNITS - 1) /
			       MAILBOX_CHUNK_UNITS))
		return true;
	for (uint32_t cell = 0; cell < high; cell++) {
		const struct hold_layout *record = &link->hold_records[cell];
		uint64_t first, count;

		/* hold-pins */
		if (hold_state(load_word(link, cell)) == HOLD_FREE)
			continue;
		first = load_relaxed_64(&record->unit);
		count = load_relaxed_64(&record->units_count);
		if (first < unit + units_count && unit < first + count)
			return true;
	}
	return false;
}
