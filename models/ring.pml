/* SPDX-License-Identifier: MIT */
/*
 * The ring: doc/mailbox-protocol.md, section 1; src/core/ring.c.
 *
 * One step per access to a slot, a hint or a half of a body; a process may be
 * killed after each. Stopped is never scheduled again, which every prefix of a run
 * covers. Calls do not wait: what a full or empty ring says is checked against
 * the truth, which ghost variables hold (t: first position never filled, h: first
 * not consumed). Nobody but assertions reads these.
 *
 * Bodies have two halves and lie in blocks of their sender, which it writes again
 * as soon as the position is consumed.
 */
#ifndef CAP
#define CAP 1		/* slots */
#endif
#ifndef NS
#define NS 2		/* senders */
#endif
#ifndef NR
#define NR 2		/* receivers */
#endif
#ifndef SO
#define SO 2		/* calls of each sender */
#endif
#ifndef RO
#define RO 2		/* calls of each receiver */
#endif
#ifndef BLOCKS
#define BLOCKS 1	/* of each sender */
#endif
#ifndef KILLS
#define KILLS 0
#endif

#define EMPTY 1
#define FULL 2
#define MSGS (NS * SO)
#define NONE 255

typedef slot {
	byte state = EMPTY;
	byte lap;
	byte unit
};

slot ring[CAP];
byte tail, head;		/* the hints */
byte half_1[NS * BLOCKS], half_2[NS * BLOCKS];
byte kills = KILLS;

byte t, h;			/* ghosts */
byte sent[MSGS];		/* message of a position */
byte received[MSGS];		/* how often a message was */
byte done;

#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto end \
	fi

/* The hints are raised, or not: ring.c leaves most of them out. */
inline raise(hint, to)
{
	atomic {
		if
		:: true -> seen = to
		:: seen = hint
		fi;
		FATE
	}
	do
	:: atomic { seen >= to -> seen = 0; break }
	:: atomic { seen < to ->
		if
		:: hint == seen -> hint = to; seen = to
		:: else -> seen = hint
		fi;
		FATE }
	od
}

#define LAP(p) ((p) / CAP)
#define INDEX(p) ((p) % CAP)

proctype sender(byte me)
{
	byte calls = SO, serial = me * SO, pos, state, lap, unit, seen, b;
	byte home[BLOCKS];	/* position + 1 that a block was sent at */

next_call:
	/* Is the position that the block was sent at consumed? */
	atomic {
		if
		:: calls == 0 -> goto end
		:: else -> calls--
		fi;
		b = 0;
#if BLOCKS > 1
		if
		:: b = 0
		:: b = 1
		fi;
#endif
		if
		:: home[b] == 0
#ifndef BUG_REUSE_EARLY
		:: home[b] != 0 &&
		   ring[INDEX(home[b] - 1)].lap <= LAP(home[b] - 1) ->
			goto next_call		/* no memory */
#endif
		:: else
		fi;
		FATE
	}
	atomic { half_1[me * BLOCKS + b] = serial; FATE }
	atomic { half_2[me * BLOCKS + b] = serial; FATE }
	atomic {
		if
		:: pos = tail
		:: true		/* its own hint */
		fi;
		FATE
	}
#ifdef BUG_CAP_BY_HINT
	atomic {
		if
		:: tail - head >= CAP -> assert(t - h == CAP); goto next_call
		:: else
		fi
	}
#endif
look:
	atomic {
		state = ring[INDEX(pos)].state;
		lap = ring[INDEX(pos)].lap;
		unit = ring[INDEX(pos)].unit;
		if
		:: state == EMPTY && lap == LAP(pos)
		:: state == EMPTY && lap > LAP(pos) ->
			pos = pos + (lap - LAP(pos) - 1) * CAP + 1; FATE; goto look
		:: state == FULL && lap >= LAP(pos) ->
			pos = pos + (lap - LAP(pos)) * CAP + 1; FATE; goto look
#ifndef BUG_FULL_LATE
		:: state == FULL && lap + 1 == LAP(pos) ->
			/* would wait */
			assert(pos == t && t - h == CAP);
			home[b] = 0; state = 0; lap = 0; unit = 0;
			FATE;
			goto next_call
#endif
		:: else -> assert(false)	/* nonsense */
		fi;
		FATE
	}
#ifdef BUG_HINT_AHEAD
	if
	:: pos >= tail -> tail = pos + 1
	:: else
	fi;
#endif
	atomic {
		if
#ifdef BUG_SEND_NO_LAP
		:: ring[INDEX(pos)].state == EMPTY ->
#else
		:: ring[INDEX(pos)].state == EMPTY &&
		   ring[INDEX(pos)].lap == LAP(pos) ->
#endif
			assert(pos == t && t - h < CAP);
			ring[INDEX(pos)].state = FULL;
			ring[INDEX(pos)].lap = LAP(pos);
			ring[INDEX(pos)].unit = me * BLOCKS + b;
			sent[pos] = serial;
			t++;
			serial++;
			home[b] = pos + 1;
			state = 0; lap = 0; unit = 0;
			FATE
		:: else -> FATE; goto look
		fi
	}
	raise(tail, pos + 1);
	atomic { pos++; goto next_call }
end:
	atomic { state = 0; lap = 0; unit = 0; seen = 0; pos = 0; b = 0;
		calls = 0; done++ }
}

proctype receiver(byte me)
{
	byte calls = RO, pos, state, lap, unit, seen, copy_1, copy_2;

next_call:
	atomic {
		if
		:: calls == 0 -> goto end
		:: else -> calls--
		fi;
		if
		:: pos = head
		:: true
		fi;
		FATE
	}
look:
	atomic {
		state = ring[INDEX(pos)].state;
		lap = ring[INDEX(pos)].lap;
		unit = ring[INDEX(pos)].unit;
		if
		:: state == FULL && lap == LAP(pos)
		:: state == EMPTY && lap == LAP(pos) ->
			assert(pos == h && t == h);	/* would wait */
			state = 0; lap = 0; unit = 0;
			FATE;
			goto next_call
		:: lap > LAP(pos) ->
			pos = pos + (lap - LAP(pos) - 1) * CAP + 1; FATE; goto look
		:: else -> assert(false)
		fi;
		FATE
	}
#ifndef BUG_COPY_LATE
	atomic { copy_1 = half_1[unit]; FATE }
	atomic { copy_2 = half_2[unit]; FATE }
#endif
	atomic {
		if
#ifdef BUG_RECV_NO_LAP
		:: ring[INDEX(pos)].state == FULL ->
#else
		:: ring[INDEX(pos)].state == FULL &&
		   ring[INDEX(pos)].lap == lap &&
		   ring[INDEX(pos)].unit == unit ->
#endif
			ring[INDEX(pos)].state = EMPTY;
#ifndef BUG_SAME_LAP
			ring[INDEX(pos)].lap = lap + 1;
#endif
			ring[INDEX(pos)].unit = 0;
			assert(pos == h && h < t);
			h++;
#ifndef BUG_COPY_LATE
			assert(copy_1 == sent[pos] && copy_2 == sent[pos]);
#endif
			received[sent[pos]]++;
			assert(received[sent[pos]] == 1);
#ifndef BUG_COPY_LATE
			unit = 0;
#endif
			copy_1 = 0; copy_2 = 0; state = 0; lap = 0;
			FATE
		:: else -> copy_1 = 0; copy_2 = 0; FATE; goto look
		fi
	}
#ifdef BUG_COPY_LATE
	copy_1 = half_1[unit];
	copy_2 = half_2[unit];
	assert(copy_1 == sent[pos] && copy_2 == sent[pos]);
#endif
	raise(head, pos + 1);
	atomic { pos++; goto next_call }
end:
	atomic { state = 0; lap = 0; unit = 0; seen = 0; pos = 0; copy_1 = 0;
		copy_2 = 0; calls = 0; done++ }
}

/* In the end: what was sent and not received is there, whole and in order. */
init {
	byte p;

	atomic {
		for (p : 0 .. NS - 1) {
			run sender(p)
		}
		for (p : 0 .. NR - 1) {
			run receiver(p)
		}
		p = 0
	}
	atomic {
		done == NS + NR;
		assert(h <= t && t - h <= CAP && tail <= t && head <= h);
		p = h;
		do
		:: p < t ->
			assert(ring[INDEX(p)].state == FULL);
			assert(ring[INDEX(p)].lap == LAP(p));
			assert(half_1[ring[INDEX(p)].unit] == sent[p]);
			assert(half_2[ring[INDEX(p)].unit] == sent[p]);
			assert(received[sent[p]] == 0);
			p++
		:: else -> break
		od;
		p = 0
	}
}
