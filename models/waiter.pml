/* SPDX-License-Identifier: MIT */
/*
 * Sleepers that select: doc/mailbox-protocol.md, section 12; src/core/index_wait.c.
 *
 * A change is one step here (change.pml), so is setting a count right (bell.pml).
 * Two waiters want the same messages; others, that nobody wants, come as well. All
 * else is one step per access or system call: announce, look, the change to WAITS, the
 * three steps by which futex_waitv() queues and compares, publish, pass on, move
 * and name, wake, mark as rung, ask whether somebody is dead. A party may be killed or
 * stop for good after each; the kernel wakes one for it, and its lock is free some
 * time after that.
 *
 * Claim, whenever nothing can move any more: no message is there that one who sleeps
 * wants. After a stop the claim holds once more calls were made.
 */
#ifndef SENDS
#define SENDS 2		/* messages, each by a sender of its own */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef ALARMS
#define ALARMS 0	/* sleeps that end by timeout */
#endif
#ifndef PROBES
#define PROBES 1	/* calls after a stop */
#endif

#define UNSENT 0
#define RING 1
#define INDEX 2
#define GONE 3

#define IDLE 0
#define WAITS 1
#define NAMED 2

#define NOBODY 9
#define NONE 9

byte message[SENDS];
bit is_wanted[SENDS];
byte named[SENDS];		/* the waiter that it is for + 1 */

byte state[2], number[2];	/* number: of the change that wrote the state */
byte entry[2], rung[2];
byte older;			/* of two that wait */
bit is_gone[2];			/* its lock is free */

byte tail;			/* messages that came to the ring */
byte count, epoch;
bit on_bell[2], on_epoch[2], on_state[2];
byte woken[2];			/* 1: on the bell or its state, 2: on the epoch */
bit asleep[2];
byte kills = KILLS, stops = STOPS, alarms = ALARMS, probes = PROBES;
bit is_stopped;

#define FATE \
	if \
	:: true \
	:: kills > 0 -> kills--; goto dying \
	:: stops > 0 -> stops--; is_stopped = 1; goto stopped \
	fi

#define IS_THERE(m)	(message[m] == INDEX && is_wanted[m])
#define IS_ITS(w)	(state[w] == NAMED && entry[w] != NONE && \
			 message[entry[w]] == INDEX && \
			 named[entry[w]] == (w) + 1)

/* ---- inside changes ---- */

inline set_state(sw, ss)
{
	state[sw] = ss;
	number[sw] = (number[sw] + 1) % 8
}

/* The one that has waited longest. */
inline name_for(ne)
{
	if
	:: !is_wanted[ne] -> y = NOBODY
	:: else ->
		if
		:: state[0] == WAITS && (state[1] != WAITS || older == 0) -> y = 0
		:: state[1] == WAITS && (state[0] != WAITS || older == 1) -> y = 1
		:: else -> y = NOBODY
		fi
	fi;
	if
	:: y != NOBODY ->
		set_state(y, NAMED);
		entry[y] = ne;
		named[ne] = y + 1
	:: else
	fi;
	y = 0
}

/* index_rest(): it waits no more; got: what it takes with it, or NONE. */
inline rest(rw, got)
{
	if
	:: state[rw] != IDLE ->
		x = (IS_ITS(rw) -> entry[rw] : NONE);
		set_state(rw, IDLE);
		entry[rw] = NONE;
#ifndef BUG_LEAVE_SILENT
		if
		:: x != NONE && x != got -> name_for(x)
		:: else
		fi;
#endif
		x = 0
	:: else
	fi
}

/* ---- what every call does for others ---- */

inline wake_state(ww)
{
	if
	:: on_state[ww] ->
		woken[ww] = woken[ww] | 1;
		on_state[ww] = 0;
		n = 1
	:: else -> n = 0
	fi
}

/* index_ring_named() */
inline ring_named()
{
	do
	:: atomic {
		do
		:: i < 2 && (state[i] != NAMED || rung[i] == number[i]) -> i++
		:: else -> break
		od;
		if
		:: i == 2 -> i = 0; break
		:: else -> v = number[i]; FATE
		fi
	   }
#ifdef BUG_RUNG_FIRST
		atomic { rung[i] = v; FATE }
#endif
		atomic { wake_state(i); FATE }
		atomic {
			if
			:: n == 0 && i != me && state[i] == NAMED &&
			   number[i] == v && is_gone[i] ->
				rest(i, NONE);
				n = 2
#ifndef BUG_DYING
			/* It may be dying, and its lock not free yet. */
			:: n == 0 && i != me && number[i] == v &&
			   !is_gone[i] && IS_ITS(i) &&
			   (state[0] == WAITS || state[1] == WAITS) ->
				x = entry[i];
				name_for(x);
				x = 0;
				n = 2
#endif
			:: else
			fi;
			FATE
		}
		atomic {
			if
			:: n == 2 -> i = 0
			:: else -> rung[i] = v; i++; FATE
			fi;
			n = 0; v = 0
		}
	od
}

/* index_move() */
inline move()
{
	do
	:: atomic {
		do
		:: j < SENDS && message[j] != RING -> j++
		:: else -> break
		od;
		if
		:: j == SENDS -> j = 0; break
		:: else -> FATE
		fi
	   }
#ifdef BUG_NAME_LATE
		atomic {
			if
			:: message[j] == RING -> message[j] = INDEX; n = 1
			:: else -> n = 0
			fi;
			FATE
		}
		atomic {
			if
			:: n == 1 -> name_for(j)
			:: else
			fi;
			n = 0;
			FATE
		}
#else
		atomic {
			if
			:: message[j] == RING -> message[j] = INDEX; name_for(j)
			:: else
			fi;
			FATE
		}
#endif
		ring_named();
		j++
	od
}

/* bell_settle() */
inline settle()
{
	if
	:: count == 0
	:: else ->
		if
		:: atomic { state[0] == IDLE && state[1] == IDLE ->
			c = count; f = epoch; FATE }
			/* ring() of bell.c */
			atomic {
				n = 0;
				if
				:: on_epoch[0] -> n = 1; on_epoch[0] = 0;
					woken[0] = woken[0] | 2
				:: !on_epoch[0] && on_epoch[1] -> n = 1;
					on_epoch[1] = 0;
					woken[1] = woken[1] | 2
				:: else
				fi;
				FATE
			}
			atomic {
				if
				:: n == 1 && epoch == f && count > 0 -> count--
				:: n == 0 && epoch == f && count == c ->
					count = 0;
					epoch = (epoch + 1) % 8;
					woken[0] = woken[0] | 2 * on_epoch[0];
					woken[1] = woken[1] | 2 * on_epoch[1];
					on_epoch[0] = 0; on_epoch[1] = 0
				:: else
				fi;
				c = 0; f = 0; n = 0;
				FATE
			}
		:: atomic { !(state[0] == IDLE && state[1] == IDLE) -> FATE }
			do
			:: i == 2 -> break
			:: i < 2 -> atomic {	/* pass_on() */
				if
				:: IS_ITS(i) && rung[i] == number[i] ->
					x = entry[i];
					name_for(x);
					x = 0
				:: else
				fi;
				i++;
				FATE }
			od;
			i = 0;
			move();
			ring_named()
		fi
	fi
}

#define LOCALS byte i, j, n, v, x, y, c, f

inline lower_own()
{
	if
	:: epoch == e && count > 0 -> count--
	:: else
	fi;
	e = 0
}

inline unqueue()
{
	on_bell[me] = 0; on_epoch[me] = 0; on_state[me] = 0; asleep[me] = 0
}

/* The kernel, for one that was armed. */
inline wake_for_dead()
{
	if
	:: on_bell[0] -> on_bell[0] = 0; woken[0] = woken[0] | 1
	:: on_bell[1] -> on_bell[1] = 0; woken[1] = woken[1] | 1
	:: !on_bell[0] && !on_bell[1]
	fi
}

proctype waiter(byte me)
{
	LOCALS;
	byte e, g, at, found;
	bit announced, gives_up, alarm;

look:
	at = tail;	/* the slot where the next one comes */
	move();
	atomic {
		found = 0;
		do
		:: found < SENDS && !IS_THERE(found) -> found++
		:: else -> break
		od;
		FATE
	}
	if
	:: found < SENDS ->
		atomic {
			if
			:: message[found] == INDEX ->
				message[found] = GONE;
				rest(me, found)
			:: else -> found = 0; goto look
			fi;
			found = 0;
			FATE
		}
		ring_named();
		goto leave
	:: else
	fi;
	found = 0;
	if
	:: gives_up ->
		atomic { rest(me, NONE); FATE }
		ring_named();
		goto leave
	:: !gives_up && !announced ->
		atomic { count++; e = epoch; announced = 1; FATE; goto look }
	:: else
	fi;
	atomic {	/* index_wait_begin() */
		j = 0;
		do
		:: j < SENDS && !IS_THERE(j) -> j++
		:: else -> break
		od;
		if
		:: j < SENDS -> j = 0; goto look
		:: else -> j = 0
		fi;
		rest(me, NONE);
		set_state(me, WAITS);
		g = number[me];
		older = (state[1 - me] == WAITS -> 1 - me : me);
		FATE
	}
	ring_named();
	settle();
	/* futex_waitv() */
	atomic { on_bell[me] = 1; FATE }
	atomic {
		if
		:: epoch != e -> goto awake
		:: else -> on_epoch[me] = 1
		fi;
		FATE
	}
	atomic {
		if
		:: state[me] != WAITS || number[me] != g -> goto awake
#ifndef BUG_NO_GATE
		:: tail != at -> goto awake
#endif
		:: else -> on_state[me] = 1
		fi;
		asleep[me] = 1;
		if
		:: alarms > 0 -> alarms--; alarm = 1
		:: true
		fi;
		FATE
	}
end_sleep:
	atomic {
		if
		:: woken[me] != 0
		:: alarm -> gives_up = 1
		:: kills > 0 -> kills--; goto dying
		:: stops > 0 -> stops--; is_stopped = 1; goto stopped
		fi
	}
awake:
	atomic {
		unqueue();
		alarm = 0;
		n = woken[me];
		woken[me] = 0;
		FATE
	}
	atomic {
		announced = 0;
		if
		:: n >= 2 -> e = 0
		:: else -> lower_own()
		fi;
		n = 0; g = 0;
		FATE;
		goto look
	}
leave:
	atomic {
		if
		:: announced -> announced = 0; lower_own(); FATE
		:: else
		fi
	}
	settle();
	goto end_done;
dying:
	atomic { unqueue(); woken[me] = 0; wake_for_dead() }
	is_gone[me] = 1;
	goto end_done;
stopped:
	atomic { unqueue(); woken[me] = 0 }
end_stopped:
	false;
end_done:
	atomic { i = 0; j = 0; n = 0; v = 0; x = 0; y = 0; c = 0; f = 0;
		e = 0; g = 0; at = 0; found = 0; announced = 0; gives_up = 0 }
}

proctype sender(byte m)
{
	LOCALS;
	byte me = NOBODY;

	atomic {
		if
		:: m == SENDS	/* a call that sends nothing */
		:: m < SENDS -> message[m] = RING; tail++; is_wanted[m] = 1
		:: m < SENDS -> message[m] = RING; tail++
		fi;
		FATE
	}
	settle();
	goto end_done;
dying:
	atomic { wake_for_dead() }
	goto end_done;
stopped:
	skip;
end_stopped:
	false;
end_done:
	atomic { i = 0; j = 0; n = 0; v = 0; x = 0; y = 0; c = 0; f = 0 }
}

init {
	byte k;

	atomic {
		entry[0] = NONE; entry[1] = NONE;
		rung[0] = NOBODY; rung[1] = NOBODY;
		run waiter(0);
		run waiter(1);
		for (k : 0 .. SENDS - 1) {
			run sender(k)
		}
		k = 0
	}
end_quiet:
	atomic {
		timeout ->
		if
		:: is_stopped && probes > 0 ->
			probes--;
			kills = 0; stops = 0; alarms = 0;
			run sender(SENDS);
			goto end_quiet
		:: else
		fi;
		for (k : 0 .. SENDS - 1) {
			assert(!((message[k] == RING || message[k] == INDEX) &&
				 is_wanted[k] && (asleep[0] || asleep[1])))
		}
	}
}
