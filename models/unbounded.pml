/* SPDX-License-Identifier: MIT */
/*
 * Memory of an unbounded mailbox: doc/mailbox-protocol.md, section 8;
 * src/core/ring_unbounded.c, heap.c, collect.c.
 *
 * A ring of RING slots, each a granule of its own that is backed with memory
 * before it is used and punched after; CHUNKS chunks of BLOCKS bodies. One step
 * per access to shared memory; a process may be killed after each, which frees its
 * number. Stopped is never scheduled again, which every prefix of a run covers.
 *
 * Claims: nobody touches a slot or a chunk that has no memory; positions are
 * filled and consumed in order, each once, and a body is what was sent; once
 * all have left, one collection leaves nothing but the slots that may be written
 * next.
 */
#ifndef RING
#define RING 2
#endif
#ifndef CHUNKS
#define CHUNKS 2
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef NS
#define NS 1
#endif
#ifndef NR
#define NR 2
#endif
#ifndef SO
#define SO 3
#endif
#ifndef RO
#define RO 2
#endif
#ifndef KILLS
#define KILLS 0
#endif

#define PARTIES (NS + NR + 1)
#define NONE 255

/* slots: 0 never used since it was backed */
#define EMPTY 1
#define FULL 2
byte slot_state[RING], slot_lap[RING], slot_unit[RING];
bit slot_backed[RING];

#define FREE 0
#define TAKEN 1		/* by its owner, not yet backed */
#define OPEN 2
#define CLOSED 3	/* its messages are all below its end */
#define GOING 4		/* drained; its memory is being given back */
#define REVOKED 5	/* was open */
byte chunk_state[CHUNKS], chunk_owner[CHUNKS], chunk_end[CHUNKS];
bit chunk_backed[CHUNKS];
byte body[CHUNKS * BLOCKS];

byte backed;			/* no position from here on has memory */
byte punched_below;		/* nobody enters below */
byte punched_done;		/* memory is given back below */
byte collector;			/* number + 1 */
byte inside[PARTIES];
bit locked[PARTIES];		/* a participant lives */

byte t, h;			/* ghosts */
byte sent[8];
byte done;
byte kills = KILLS;

#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto dying \
	fi
#define LAP(p) ((p) / RING)
#define AT(p) ((p) % RING)

inline enter()
{
#ifdef BUG_LOAD_FIRST
	/* what the puncher's membarrier prevents */
	atomic { low = punched_below; FATE }
	atomic { inside[me] = 1; FATE }
#else
	atomic { inside[me] = 1; FATE }
	atomic { low = punched_below; FATE }
#endif
}

inline leave()
{
	atomic { inside[me] = 0; FATE }
}

/* All who were inside have left since, or are dead. One who stays: give up. */
inline quiesce(result)
{
	result = 1;
	i = 0;
	do
	:: i == PARTIES -> break
	:: i < PARTIES ->
		atomic {
			if
			:: i == me || inside[i] == 0
			:: else ->
#ifdef BUG_NO_QUIESCE
				skip
#else
				if
				:: !locked[i]
				:: locked[i] -> result = 0
				fi
#endif
			fi;
			i++;
			FATE
		}
	od;
	i = 0
}

inline collect(idle)
{
	atomic {
		mine = 0;
		if
		:: collector == 0 -> collector = me + 1; mine = 1
		:: collector != 0 ->
			if
#ifndef BUG_TWO_COLLECTORS
			:: !locked[collector - 1] ->
				collector = me + 1; mine = 1
			:: locked[collector - 1]
#else
			:: collector = me + 1; mine = 1
#endif
			fi
		fi;
		FATE
	}
	if
	:: !mine
	:: mine ->
		/* the first position not consumed, as it was seen */
		atomic { head = h; FATE }
		quiesce(ok);
		bold = ok && idle;
		c = 0;
		do
		:: c == CHUNKS -> break
		:: c < CHUNKS ->
			atomic {
				if
				:: chunk_state[c] == CLOSED &&
				   chunk_end[c] <= head ->
					chunk_state[c] = GOING
				:: chunk_state[c] == OPEN && bold ->
					chunk_state[c] = REVOKED
#ifdef BUG_REVOKED_END
					; chunk_end[c] = head
#endif
				:: else
				fi;
				c++;
				FATE
			}
		od;
		atomic {
			if
			:: head > punched_below -> punched_below = head
			:: else
			fi;
			FATE
		}
		quiesce(ok);
		/* what is published by now is all that a revoked one bears */
		atomic { end = t; FATE }
		c = 0;
		do
		:: c == CHUNKS -> break
		:: c < CHUNKS && !ok ->
			atomic {
				if
				:: chunk_state[c] == GOING ->
					chunk_state[c] = CLOSED
				:: else
				fi;
				c++;
				FATE
			}
		:: c < CHUNKS && ok ->
			atomic {
				if
				:: chunk_state[c] == REVOKED ->
#ifdef BUG_REVOKED_END
					chunk_state[c] = GOING
#else
					if
					:: end <= head -> chunk_state[c] = GOING
					:: end > head ->
						chunk_state[c] = CLOSED;
						chunk_end[c] = end
					fi
#endif
				:: else
				fi;
				FATE
			}
			if
			:: chunk_state[c] == GOING ->
				atomic { chunk_backed[c] = 0; FATE }
				atomic {
					chunk_state[c] = FREE;
					chunk_end[c] = 0;
					chunk_owner[c] = 0;
					FATE
				}
			:: else
			fi;
			c++
		od;
		if
		:: ok && head > 0 ->
			i = punched_done;
			do
			:: i >= head -> break
			:: i < head ->
				atomic {
					slot_backed[AT(i)] = 0;
					slot_state[AT(i)] = 0;
					slot_lap[AT(i)] = 0;
					slot_unit[AT(i)] = 0;
					i++;
					FATE
				}
			od;
			atomic { i = 0; punched_done = head; FATE }
		:: else
		fi;
		atomic { collector = 0; FATE }
	fi;
	atomic { mine = 0; ok = 0; bold = 0; c = 0; end = 0; head = 0 }
}

proctype sender(byte me)
{
	byte calls = SO, low, pos, i, c, used, serial = me * SO + 1;
	byte current = NONE, current_end, state, unit;

next_call:
	if
	:: calls == 0 -> goto dying
	:: else -> calls--
	fi;
	enter();
	/* memory for the body */
	if
	:: current != NONE ->
		atomic {
			if
			:: chunk_state[current] != OPEN ||
			   chunk_owner[current] != me + 1 ->
#ifndef BUG_REVOKED_USED
				current = NONE
#else
				skip
#endif
			:: else
			fi;
			FATE
		}
	:: else
	fi;
	if
	:: current != NONE && used == BLOCKS ->
		/* drained: again from its beginning; else closed */
		atomic {
			if
			:: current_end <= h -> used = 0
			:: current_end > h ->
				if
				:: chunk_state[current] == OPEN ->
					chunk_state[current] = CLOSED;
					chunk_end[current] = current_end
				:: else
				fi;
				current = NONE
			fi;
			FATE
		}
	:: else
	fi;
	if
	:: current == NONE ->
		atomic {
			c = 0;
			do
			:: c == CHUNKS -> break
			:: c < CHUNKS && (chunk_state[c] == FREE ||
				(chunk_state[c] == CLOSED &&
				 chunk_end[c] <= h)) -> break
			:: c < CHUNKS && !(chunk_state[c] == FREE ||
				(chunk_state[c] == CLOSED &&
				 chunk_end[c] <= h)) -> c++
			od;
			if
			:: c == CHUNKS
			:: c < CHUNKS ->
				chunk_state[c] = TAKEN;
				chunk_owner[c] = me + 1;
				chunk_end[c] = 0
			fi;
			FATE
		}
		if
		:: c == CHUNKS -> goto over	/* -ENOSPC */
		:: else
		fi;
		atomic { chunk_backed[c] = 1; FATE }
		atomic { chunk_state[c] = OPEN; FATE }
		current = c;
		used = 0;
		current_end = 0
	:: else
	fi;
	unit = current * BLOCKS + used;
	used++;
	atomic {
		assert(chunk_backed[current]);
		body[unit] = serial;
		FATE
	}
	if
	:: pos < low -> pos = low
	:: else
	fi;
look:
	atomic {
		if
		:: pos >= backed -> goto back
		:: else
		fi;
		FATE
	}
	atomic {
		assert(slot_backed[AT(pos)]);
		state = slot_state[AT(pos)];
		if
		:: state == 0 || (state == EMPTY && slot_lap[AT(pos)] == LAP(pos))
		:: slot_lap[AT(pos)] > LAP(pos) ||
		   (state == FULL && slot_lap[AT(pos)] == LAP(pos)) ->
			pos++; FATE; goto look
		:: else -> assert(false)
		fi;
		FATE
	}
	atomic {
		assert(slot_backed[AT(pos)]);
		if
		:: slot_state[AT(pos)] == state && state != FULL &&
		   (state == 0 || slot_lap[AT(pos)] == LAP(pos)) ->
			assert(pos == t);
			slot_state[AT(pos)] = FULL;
			slot_lap[AT(pos)] = LAP(pos);
			slot_unit[AT(pos)] = unit;
			sent[pos] = serial;
			t++;
			serial++;
			current_end = pos + 1;
			pos++;
			FATE;
			goto over
		:: else -> FATE; goto look
		fi
	}
back:
	/* The granule a ring before is given back, or -ENOSPC. */
	atomic {
		if
#ifndef BUG_REUSE_EARLY
		:: pos >= RING && pos + 1 - RING > punched_done ->
			used--; FATE; goto over
#endif
		:: else
		fi;
		FATE
	}
	atomic { slot_backed[AT(pos)] = 1; FATE }
	atomic {
		if
		:: backed == pos -> backed = pos + 1
		:: else
		fi;
		FATE;
		goto look
	}
over:
	atomic { state = 0; unit = 0; c = 0; low = 0 }
	leave();
	goto next_call;
dying:
	atomic {
		calls = 0; low = 0; pos = 0; i = 0; c = 0; used = 0; serial = 0;
		current = 0; current_end = 0; state = 0; unit = 0;
		locked[me] = 0;
		done++
	}
}

proctype receiver(byte me)
{
	byte calls = RO, low, pos, i, c, head, end, state, unit, copy;
	bit mine, ok, bold;

next_call:
	if
	:: calls == 0 -> goto dying
	:: else -> calls--
	fi;
	enter();
	if
	:: pos < low -> pos = low
	:: else
	fi;
look:
	atomic {
		if
		:: pos >= backed -> assert(pos == h && h == t); FATE; goto nothing
		:: else
		fi;
		FATE
	}
	atomic {
		assert(slot_backed[AT(pos)]);
		state = slot_state[AT(pos)];
		if
		:: state == FULL && slot_lap[AT(pos)] == LAP(pos) ->
			unit = slot_unit[AT(pos)]
		:: state == 0 || (state == EMPTY && slot_lap[AT(pos)] == LAP(pos)) ->
			assert(pos == h && h == t); FATE; goto nothing
		:: state != 0 && slot_lap[AT(pos)] > LAP(pos) ->
			pos++; FATE; goto look
		:: else -> assert(false)
		fi;
		FATE
	}
	atomic {
		assert(chunk_backed[unit / BLOCKS]);
		copy = body[unit];
		FATE
	}
	atomic {
		assert(slot_backed[AT(pos)]);
		if
		:: slot_state[AT(pos)] == FULL &&
		   slot_lap[AT(pos)] == LAP(pos) &&
		   slot_unit[AT(pos)] == unit ->
			assert(pos == h && copy == sent[pos]);
			h++;
			slot_state[AT(pos)] = EMPTY;
			slot_lap[AT(pos)] = LAP(pos) + 1;
			slot_unit[AT(pos)] = 0;
			pos++;
			state = 0; unit = 0; copy = 0;
			FATE
		:: else -> unit = 0; copy = 0; FATE; goto look
		fi
	}
	if
	:: collect(false)
	:: skip
	fi;
	goto over;
nothing:
	state = 0;
	if
	:: collect(true)
	:: skip
	fi;
over:
	low = 0;
	leave();
	goto next_call;
dying:
	atomic {
		calls = 0; low = 0; pos = 0; i = 0; c = 0; head = 0; end = 0;
		state = 0; unit = 0; copy = 0; mine = 0; ok = 0; bold = 0;
		locked[me] = 0;
		done++
	}
}

/* Whoever comes last: takes what is there, and gives all memory back. */
init {
	byte me = PARTIES - 1, low, i, c, head, end;
	bit mine, ok, bold;

	atomic {
		for (i : 0 .. PARTIES - 1) {
			locked[i] = 1
		}
		for (i : 0 .. NS - 1) {
			run sender(i)
		}
		for (i : NS .. NS + NR - 1) {
			run receiver(i)
		}
		i = 0
	}
	atomic { done == NS + NR; kills = 0 }
	/* as an heir or a reaper does with what the dead left */
	d_step {
		i = 0;
		do
		:: i == CHUNKS -> break
		:: i < CHUNKS ->
			if
			:: chunk_state[i] == TAKEN || chunk_state[i] == OPEN ->
				chunk_state[i] = CLOSED;
				chunk_end[i] = t
			:: else
			fi;
			i++
		od;
		i = h;
		do
		:: i == t -> break
		:: i < t ->
			assert(slot_backed[AT(i)]);
			assert(slot_state[AT(i)] == FULL);
			assert(slot_lap[AT(i)] == LAP(i));
			assert(chunk_backed[slot_unit[AT(i)] / BLOCKS]);
			assert(body[slot_unit[AT(i)]] == sent[i]);
			slot_state[AT(i)] = EMPTY;
			slot_lap[AT(i)] = LAP(i) + 1;
			i++
		od;
		h = t;
		i = 0
	}
	collect(true);
	d_step {
		i = 0;
		do
		:: i == CHUNKS -> break
		:: i < CHUNKS ->
			assert(chunk_state[i] == FREE && !chunk_backed[i]);
			i++
		od;
		assert(punched_done == t && backed >= t);
		i = backed;
		do
		:: i >= t + RING -> break
		:: i < t + RING ->
			/* at most the one that a dead sender was backing */
			assert(!slot_backed[AT(i)] || i == backed);
			i++
		od
	}
dying:
	skip
}
