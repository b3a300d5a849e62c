/* SPDX-License-Identifier: MIT */
/*
 * Memory of the dead: doc/mailbox-protocol.md, section 4; participant_join(),
 * reap() in src/core/participant.c, pool.c.
 *
 * One number of participant, one chunk of its own that holds one body in two
 * halves, a ring of CAP slots. Whoever holds the lock on the number may write the
 * chunk: the first owner, who sends and may be killed; then an heir, who sends
 * from the same chunk; then another one. A reaper may come between and give the
 * chunk back, and a stranger then takes it. Receivers copy late.
 *
 * Claim: every message is received whole and once, or is still whole in the end.
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef HEIRS
#define HEIRS 2		/* who take the number one after the other */
#endif
#ifndef SENDS
#define SENDS 2		/* of each */
#endif
#ifndef NR
#define NR 2
#endif
#ifndef RO
#define RO 2
#endif
#ifndef REAPERS
#define REAPERS 1
#endif
#ifndef KILLS
#define KILLS 2
#endif

#define FREE 0
#define OURS 1		/* of the number */
#define STRANGERS 2

byte what[CAP];		/* the serial that the body of a position should have */
bit locked;			/* the number */
byte chunk = FREE;
byte half_1, half_2;		/* of the only body of the chunk */
byte t, h;			/* first never filled, first not consumed */
byte serial;
byte received[8];
byte kills = KILLS;
byte done;

#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto dying \
	fi

#define DRAINED(end) ((end) == 0 || h >= (end))

/* An owner of the number: joins, sends, leaves or dies; the lock goes last. */
proctype owner()
{
	byte end, mine, n = SENDS;
	bit has;

	atomic { !locked -> locked = 1; FATE }
#ifdef BUG_TAIL_BEFORE_LOCK
	/* seen before it had the lock: anything that was true then */
	atomic {
		if
		:: end = t
		:: t > 0 -> end = t - 1
		fi;
		FATE
	}
#else
	atomic { end = t; FATE }
#endif
	atomic { has = (chunk == OURS); FATE }
next:
	if
	:: n == 0 -> goto dying
	:: else -> n--
	fi;
	atomic {
		if
		:: has
		:: !has && chunk == FREE -> chunk = OURS; has = 1; end = 0
		:: else -> goto next	/* no memory */
		fi;
		FATE
	}
	atomic {
		if
#ifndef BUG_NOT_DRAINED
		:: !DRAINED(end) -> goto next
#endif
		:: else
		fi;
		FATE
	}
	atomic { mine = serial; serial++; half_1 = mine; FATE }
	atomic { half_2 = mine; FATE }
	atomic {
		if
		:: t - h < CAP ->
			what[t % CAP] = mine;
			t++;
			end = t
		:: else
		fi;
		FATE;
		goto next
	}
dying:
	atomic { end = 0; mine = 0; has = 0; n = 0; locked = 0; done++ }
}

proctype receiver()
{
	byte at, copy_1, copy_2, n = RO;

next:
	if
	:: n == 0 -> goto dying
	:: else -> n--
	fi;
	atomic {
		if
		:: h < t -> at = h
		:: else -> goto next
		fi;
		FATE
	}
	atomic { copy_1 = half_1; FATE }
	atomic { copy_2 = half_2; FATE }
	atomic {
		if
		:: h == at ->	/* the slot is as it was: consumed */
			assert(copy_1 == what[at % CAP] &&
			       copy_2 == what[at % CAP]);
			received[what[at % CAP]]++;
			assert(received[what[at % CAP]] == 1);
			h++
		:: else
		fi;
		copy_1 = 0; copy_2 = 0; at = 0;
		FATE;
		goto next
	}
dying:
	atomic { at = 0; copy_1 = 0; copy_2 = 0; n = 0; done++ }
}

/* Gives back what the number left, and a stranger writes there. */
proctype reaper()
{
	byte end;

#ifdef BUG_REAP_UNLOCKED
	atomic { end = t; FATE }
#else
#ifdef BUG_REAP_TAIL_FIRST
	atomic { end = t; FATE }
#endif
	atomic {
		if
		:: !locked -> locked = 1
		:: locked -> goto over
		fi;
		FATE
	}
#ifndef BUG_REAP_TAIL_FIRST
	atomic { end = t; FATE }
#endif
#endif
	atomic {
		if
#ifndef BUG_REAP_NOT_DRAINED
		:: !DRAINED(end) -> goto dying
#endif
		:: else
		fi;
		FATE
	}
	atomic {
		if
		:: chunk == OURS -> chunk = FREE
		:: else
		fi;
		FATE
	}
dying:
#ifndef BUG_REAP_UNLOCKED
	locked = 0;
#endif
over:
	atomic { end = 0; done++ }
}

/* Any other sender: takes a free chunk and writes at once. */
proctype stranger()
{
	atomic {
		if
		:: chunk == FREE && (h > 0 || t > 0) -> chunk = STRANGERS
		:: timeout -> goto over
		fi
	}
	half_1 = 255;
	half_2 = 255;
over:
	done++
}

init {
	byte i;

	atomic {
		for (i : 1 .. HEIRS) {
			run owner()
		}
		for (i : 1 .. NR) {
			run receiver()
		}
		for (i : 1 .. REAPERS) {
			run reaper()
		}
		run stranger()
		i = 0
	}
	atomic {
		done == HEIRS + NR + REAPERS + 1;
		assert(h == t ||
		       half_1 == what[h % CAP] && half_2 == what[h % CAP])
	}
}
