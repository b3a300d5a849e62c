/* SPDX-License-Identifier: MIT */
/*
 * Hold cells: doc/mailbox-protocol.md, section 6; src/core/hold.c.
 *
 * The ring has one slot here (ring.pml has the rest); the position of a message
 * is its lap. Takers take, and then finish, return, or keep what they have; a
 * receiver receives. Each step that touches shared memory is one step here, and a
 * taker or the receiver may be killed after each. Whoever calls looks for the dead
 * first, as hold_sweep() does.
 *
 * Claims: every message is received at most once; a cell that a slot names is a
 * claim or held; with count 0 nothing is RETURNED; and when nobody can move any more,
 * one who comes and calls until it finds nothing has received, with the others,
 * every message that was sent, save one that a killed receiver had.
 */
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef TAKERS
#define TAKERS 2
#endif
#ifndef CALLS
#define CALLS 2		/* of each taker */
#endif
#ifndef RECEIVES
#define RECEIVES 1	/* calls of the receiver */
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define CELLS	3	/* one for each taker, and one */
#define NOBODY	9
#define WORD(s, o, g, b) ((s) + 8 * (o) + 128 * (g) + 1024 * (b))
#define STATE(w)	((w) % 8)
#define OWNER(w)	(((w) / 8) % 16)
#define GRANT(w)	(((w) / 128) % 8)
#define BUMP(w)		((w) / 1024)

#define FREE 0
#define CLAIM 1
#define HELD 2
#define RETURNED 3

#define EMPTY 1
#define FULL 2
#define TAKEN 3

int cell[CELLS];	/* words */
byte pos[CELLS];	/* records */
byte slot_state = EMPTY, slot_lap, slot_cell;
byte count, epoch;	/* of returns */
bit is_dead[TAKERS + 2];
byte received[MESSAGES];
byte kills = KILLS;
byte done;

#define FATE \
	if \
	:: skip \
	:: kills > 0 && who < TAKERS + 1 -> kills--; goto dying \
	fi

/* The invariants, where they could break. */
#define SLOT_IS_RIGHT (slot_state != TAKEN || STATE(cell[slot_cell]) == CLAIM || \
		       STATE(cell[slot_cell]) == HELD)
#define COUNT_IS_RIGHT (count > 0 || (STATE(cell[0]) != RETURNED && \
		STATE(cell[1]) != RETURNED && STATE(cell[2]) != RETURNED))
#define CHECK_ALL assert(SLOT_IS_RIGHT && COUNT_IS_RIGHT)

inline swap(c, from, to, ret)
{
	d_step {
		if
		:: cell[c] == from -> cell[c] = to; ret = 1
		:: else -> ret = 0
		fi;
		CHECK_ALL
	}
}

/* help_taken() of a slot that was seen as TAKEN(l, c). */
inline help(l, c)
{
	h = cell[c];
	FATE;
#ifdef BUG_NO_SECOND_LOOK
	if
	:: true ->
#else
	if
	:: slot_state == TAKEN && slot_lap == l && slot_cell == c ->
#endif
		FATE;
#ifndef BUG_EMPTY_FIRST
		if
		:: STATE(h) == CLAIM ->
			swap(c, h, WORD(HELD, OWNER(h), GRANT(h), BUMP(h) + 1),
			     ok)
		:: else
		fi;
		FATE;
#endif
		d_step {
			if
			:: slot_state == TAKEN && slot_lap == l &&
			   slot_cell == c ->
				slot_state = EMPTY; slot_lap++; slot_cell = 0
			:: else
			fi;
		}
#ifdef BUG_EMPTY_FIRST
		FATE;
		if
		:: STATE(h) == CLAIM ->
			swap(c, h, WORD(HELD, OWNER(h), GRANT(h), BUMP(h) + 1),
			     ok)
		:: else
		fi
#endif
	:: else
	fi;
	h = 0
}

/* put(): w was read before. */
inline put_back(c, w)
{
#ifdef BUG_COUNT_LATE
	swap(c, w, WORD(RETURNED, 0, GRANT(w), BUMP(w) + 1), ok);
	FATE;
	count++
#else
	count++;
	FATE;
	swap(c, w, WORD(RETURNED, 0, GRANT(w), BUMP(w) + 1), ok)
#endif
}

/* hold_sweep() of one cell */
inline sweep(c)
{
	do
	:: w = cell[c];
		FATE;
		if
#ifdef BUG_ASKED_ONCE
		:: (STATE(w) == CLAIM || STATE(w) == HELD) &&
		   (is_dead[OWNER(w)] || was_dead) ->
			was_dead = 1;
#else
		:: (STATE(w) == CLAIM || STATE(w) == HELD) &&
		   is_dead[OWNER(w)] ->
#endif
			l = pos[c];
			was_taken = 0;
			FATE;
#ifndef BUG_NOT_SETTLED
			if
			:: slot_state == TAKEN && slot_lap == l &&
			   slot_cell == c ->
				was_taken = 1;
				help(l, c)
			:: else
			fi;
			FATE;
#endif
			if
			:: STATE(w) == HELD -> put_back(c, w)
			:: STATE(w) == CLAIM && !was_taken ->
				swap(c, w, WORD(FREE, 0, GRANT(w),
						BUMP(w) + 1), ok)
			:: else
			fi
		:: else -> break
		fi
	od;
	was_dead = 0
}

/* hold_find(): found == CELLS: there is none, for certain; CELLS + 1: again. */
inline find()
{
	found = CELLS;
	s = count + 16 * epoch;
	FATE;
	if
	:: s % 16 == 0
	:: else ->
		for (c : 0 .. CELLS - 1) {
			w = cell[c];
			if
			:: STATE(w) == RETURNED &&
			   (found == CELLS || pos[c] < pos[found]) ->
				found = c; fw = w
			:: else
			fi;
			w = 0;
		}
		FATE;
		if
		:: found < CELLS
		:: else ->
			for (c : 0 .. CELLS - 1) {
				w = cell[c];
				FATE;
#ifndef BUG_NO_BUMP
				if
				:: STATE(w) == HELD ->
					swap(c, w, WORD(HELD, OWNER(w),
							GRANT(w), BUMP(w) + 1),
					     ok);
					if
					:: ok
					:: else -> found = CELLS + 1
					fi
				:: STATE(w) == RETURNED -> found = CELLS + 1
				:: else
				fi;
#endif
				w = 0
			}
			if
			:: found == CELLS ->
				d_step {
					if
					:: count + 16 * epoch == s ->
						count = 0; epoch++; CHECK_ALL
					:: else -> found = CELLS + 1
					fi
				}
			:: else
			fi
		fi
	fi;
	c = 0; s = 0
}

inline note_received(p)
{
	received[p]++;
	assert(received[p] == 1)
}

/* A call. is_take: what it gets is held in cell mine, of grant mine_grant. */
inline call(is_take)
{
	for (c : 0 .. CELLS - 1) {
		sweep(c)
	}
	c = 0; w = 0; l = 0; was_taken = 0;
	mine = NOBODY; is_nothing = 0;
	find();
	if
	:: found < CELLS && is_take ->
		swap(found, fw, WORD(HELD, who, GRANT(fw) + 1, BUMP(fw) + 1),
		     ok);
		if
		:: ok -> mine = found; mine_grant = GRANT(fw) + 1
		:: else
		fi
	:: found < CELLS && !is_take ->
		p = pos[found];
		FATE;
		d_step {
			if
			:: cell[found] == fw ->
				cell[found] = WORD(FREE, 0, GRANT(fw),
						   BUMP(fw) + 1);
				note_received(p)
			:: else
			fi;
			CHECK_ALL
		}
	:: found == CELLS + 1
	:: found == CELLS ->
		l = slot_lap; s = slot_state; c = slot_cell;
		FATE;
		if
		:: s == EMPTY -> is_nothing = 1
		:: s == TAKEN -> help(l, c)
		:: s == FULL && !is_take ->
			d_step {
				if
				:: slot_state == FULL && slot_lap == l ->
					slot_state = EMPTY; slot_lap++;
					note_received(l)
				:: else
				fi
			}
		:: s == FULL && is_take ->
			/* A free cell: there is always one. */
			for (c : 0 .. CELLS - 1) {
				w = cell[c];
				if
				:: STATE(w) == FREE && mine == NOBODY ->
					swap(c, w, WORD(CLAIM, who,
							GRANT(w) + 1,
							BUMP(w) + 1), ok);
					if
					:: ok ->
						mine = c;
						mine_grant = GRANT(w) + 1;
						fw = WORD(CLAIM, who,
							  GRANT(w) + 1,
							  BUMP(w) + 1)
					:: else
					fi
				:: else
				fi;
				w = 0
			}
			FATE;
			if
			:: mine != NOBODY ->
				pos[mine] = l;
				FATE;
				d_step {
					if
					:: slot_state == FULL && slot_lap == l ->
						slot_state = TAKEN;
						slot_cell = mine; ok = 1
					:: else -> ok = 0
					fi;
					CHECK_ALL
				}
				FATE;
				if
				:: ok -> c = mine; help(l, c)
				:: else ->
					swap(mine, fw, WORD(FREE, 0, GRANT(fw),
							    BUMP(fw) + 1), ok);
					mine = NOBODY
				fi
			:: else
			fi
		fi
	fi;
	c = 0; s = 0; l = 0; w = 0; fw = 0; found = 0; p = 0
}

#define LOCALS \
	byte c, l, s, p, found, mine = NOBODY, mine_grant; \
	int w, h, fw; \
	bit ok, was_taken, was_dead, is_nothing

active proctype sender()
{
	byte i;

	do
	:: i < MESSAGES && slot_state == EMPTY -> d_step { slot_state = FULL; i++ }
	:: i == MESSAGES -> break
	od
}

active [TAKERS] proctype taker()
{
	LOCALS;
	byte who = _pid - 1, calls;

	do
	:: calls == CALLS -> break
	:: else ->
		calls++;
		call(1);
		if
		:: mine == NOBODY
		:: mine != NOBODY -> break	/* keeps it, and dies */
		:: mine != NOBODY ->		/* returns it */
			do
			:: w = cell[mine];
				if
				:: STATE(w) == HELD && OWNER(w) == who &&
				   GRANT(w) == mine_grant ->
					FATE;
					put_back(mine, w);
					if
					:: ok -> break
					:: else
					fi
				:: else -> assert(false)
				fi
			od
		:: mine != NOBODY ->		/* has done with it */
			do
			:: w = cell[mine];
				FATE;
				d_step {
					p = pos[mine];
					assert(STATE(w) == HELD &&
					       OWNER(w) == who);
					if
					:: cell[mine] == w ->
						cell[mine] = WORD(FREE, 0,
							GRANT(w), BUMP(w) + 1);
						note_received(p); ok = 1
					:: else -> ok = 0
					fi
				}
				if
				:: ok -> break
				:: else
				fi
			od
		fi;
		w = 0; mine = NOBODY; mine_grant = 0; ok = 0
	od;
dying:
	atomic { is_dead[who] = 1; done++ }
}

active proctype receiver()
{
	LOCALS;
	byte who = TAKERS, calls;

	do
	:: calls == RECEIVES -> break
	:: else -> calls++; call(0)
	od;
dying:
	atomic { is_dead[who] = 1; done++ }
}

/* When all is still: one comes and receives all there is. */
active proctype probe()
{
	LOCALS;
	byte who = TAKERS + 1;

	done == TAKERS + 1;
	do
	:: call(0);
		if
		:: is_nothing && slot_lap == MESSAGES -> break
		:: is_nothing && slot_lap < MESSAGES -> slot_state != EMPTY
		:: else
		fi
	od;
	for (c : 0 .. MESSAGES - 1) {
		assert(received[c] == 1)
	}
dying:
	skip
}
