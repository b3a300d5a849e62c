/* SPDX-License-Identifier: MIT */
/*
 * The end of a mailbox: tol_shutdown(), ring_end(); src/core/mailbox_change.c.
 *
 * One slot. Senders look at the word `ended`, then publish by a swap of the
 * slot, whenever they come to it. Receivers receive until they are told of the
 * end; where they find nothing and it has ended they take the slot for the end.
 * Sleeping is one step here, bell.pml has the rest: who has looked at the slot and
 * at the epoch sleeps while both are as they were.
 *
 * Claims: no message is published after a receiver was told of the end; what was
 * published before is received; no receiver sleeps when it has ended and nobody
 * is on the way, also if who ended it was killed, or stopped and then one more
 * operation was done.
 */
#ifndef NS
#define NS 2
#endif
#ifndef NR
#define NR 2
#endif
#ifndef SENDS
#define SENDS 2		/* of each sender */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif

#define EMPTY 0
#define FULL 1
#define END 2

byte slot = EMPTY, lap;
bit ended, was_told;
byte epoch, published, received;
bit woken[NR];
bit sleeps[NR];
byte kills = KILLS, stops = STOPS;
bit is_stopped;
byte at_work = NS + NR + 1;	/* who can still move, or wakes by itself */

inline ring_all()
{
	d_step {
		epoch++;
		for (x : 0 .. NR - 1) {
			if
			:: sleeps[x] && !woken[x] -> woken[x] = 1; at_work++
			:: else
			fi
		}
		x = 0
	}
}

/* The kernel wakes one in the place of a thread that dies. */
inline wake_one()
{
	if
	:: sleeps[0] && !woken[0] -> woken[0] = 1; at_work++
	:: NR > 1 && sleeps[NR - 1] && !woken[NR - 1] ->
		woken[NR - 1] = 1; at_work++
	:: (!sleeps[0] || woken[0]) && (!sleeps[NR - 1] || woken[NR - 1])
	fi
}

active [NS] proctype sender()
{
	byte i, l;

	do
	:: i == SENDS -> break
	:: i < SENDS && ended -> break		/* -ESHUTDOWN */
	:: i < SENDS && !ended ->
		/* It is on its way, for however long. */
		do
		:: slot == END -> goto out
		:: slot == EMPTY ->
			l = lap;
			d_step {
				if
				:: slot == EMPTY && lap == l ->
					slot = FULL;
					published++;
					assert(!was_told);
					l = 255
				:: else
				fi
			}
			if
			:: l == 255 -> break
			:: else
			fi
		:: slot == FULL && received + 2 < published -> skip
		od;
		l = 0; i++;
		/* Who sleeps is woken for the message: bell.pml. */
		atomic { wake_one() }
	od;
out:
	at_work--
}

active [NR] proctype receiver()
{
	byte l, e, x;
	byte me = _pid - NS;

	do
	:: slot == END -> break
	:: slot == FULL ->
		d_step {
			if
			:: slot == FULL -> slot = EMPTY; lap++; received++
			:: else
			fi
		}
	:: slot == EMPTY ->
		l = lap; e = epoch;
#ifdef BUG_NO_SLOT
		if
		:: ended && slot == EMPTY && lap == l -> break
#else
		if
		:: ended ->
			d_step {
				if
				:: slot == EMPTY && lap == l -> slot = END
				:: else
				fi
			}
#endif
		:: !ended ->
			/* It looked before it sleeps: the kernel compares. */
			atomic {
				if
#ifdef BUG_NO_GATE
				:: slot == EMPTY && lap == l && epoch == e ->
#else
				:: slot == EMPTY && lap == l && epoch == e &&
				   !ended ->
#endif
					sleeps[me] = 1; at_work--
				:: else -> goto again
				fi
			}
			atomic { woken[me] -> woken[me] = 0; sleeps[me] = 0 }
		fi;
again:
		skip
	od;
	was_told = 1;
	assert(received == published);
#ifndef BUG_TOLD_ONCE
	ring_all();
#endif
	at_work--
}

active proctype shutdown()
{
	byte x;

#ifdef BUG_RING_FIRST
	ring_all();
	if
	:: kills > 0 -> goto dying
	:: true
	fi;
	ended = 1;
	goto out;
#endif
	ended = 1;
	if
	:: kills > 0 -> goto dying
	/* Stopped: the next call of somebody else is told, and tells. */
	:: stops > 0 -> is_stopped = 1; at_work--; at_work == 0;
		atomic { is_stopped = 0; at_work++ }
	:: true
	fi;
	ring_all();
	goto out;
dying:
	/* Armed, unless it had not begun. */
#ifndef BUG_NOT_ARMED
	atomic { wake_one() };
#endif
out:
	at_work--
}

/* When nobody can move: nobody sleeps though it has ended. */
active proctype watch()
{
	at_work == 0 && !is_stopped;
	d_step {
		assert(!ended || !sleeps[0]);
		assert(!ended || !sleeps[NR - 1])
	}
}
