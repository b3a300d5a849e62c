/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking: doc/mailbox-protocol.md, section 3; src/core/bell.c.
 *
 * The ring is abstract here (ring.pml has it): a try is one step, and the gate of
 * a slot holds as long as the position that the caller looked at is as it was.
 * Everything of the bell is one step per shared access, and a process may be
 * killed or stopped after each: announce, retract, settle's loads, ring, the
 * reset, the three steps by which futex_waitv() queues and compares, the
 * kernel's wake for a thread that died armed.
 *
 * Claim, checked whenever nothing can move any more: no message (no room) is
 * there while a receiver (a sender) sleeps, and no count is lower than the number of
 * sleepers. After a stop the claim holds once one more operation has been done.
 */
#ifndef CAP
#define CAP 1		/* slots */
#endif
#ifndef NR
#define NR 2		/* receivers */
#endif
#ifndef NS
#define NS 2		/* senders */
#endif
#ifndef RO
#define RO 1		/* calls of each receiver */
#endif
#ifndef SO
#define SO 1		/* calls of each sender */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef ALARMS
#define ALARMS 0	/* sleeps that end by timeout or signal */
#endif
#ifndef NOWAITS
#define NOWAITS 0	/* calls that do not wait, of either kind */
#endif
#ifndef FULL
#define FULL 0		/* messages queued at the start */
#endif

#define RECV 0
#define SEND 1
#define MAX 6		/* parties, the probe included */

byte head, tail = FULL;
byte count[2], epoch[2];
chan on_bell = [MAX] of { byte };
chan on_receivers = [MAX] of { byte };
chan on_senders = [MAX] of { byte };
byte woken[MAX];	/* 1: on the bell, 2: on the epoch */
byte asleep[2];
byte kills = KILLS, stops = STOPS, alarms = ALARMS, nowaits = NOWAITS;
bit is_stopped, is_probed;

#define HAS(k)	((k) == RECV && tail > head || (k) == SEND && tail - head < CAP)

/* What may happen to the caller between any two shared steps. */
#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto dying \
	:: stops > 0 -> stops--; is_stopped = 1; goto end_stopped \
	fi

inline wake_one(k, ret)
{
#ifdef BUG_RING_BELL
	if
	:: on_bell ? y -> woken[y] = woken[y] | 1; ret = 1
	:: empty(on_bell) -> ret = 0
	fi;
#else
	if
	:: k == RECV && nempty(on_receivers) -> on_receivers ? y; ret = 1
	:: k == SEND && nempty(on_senders) -> on_senders ? y; ret = 1
	:: else -> ret = 0
	fi;
	if
	:: ret == 1 -> woken[y] = woken[y] | 2
	:: else
	fi;
#endif
	y = 0
}

inline wake_all(k)
{
#ifdef BUG_RING_BELL
	do
	:: on_bell ? y -> woken[y] = woken[y] | 1
	:: empty(on_bell) -> break
	od;
#else
	do
	:: k == RECV && nempty(on_receivers) -> on_receivers ? y;
		woken[y] = woken[y] | 2
	:: k == SEND && nempty(on_senders) -> on_senders ? y;
		woken[y] = woken[y] | 2
	:: else -> break
	od;
#endif
	y = 0
}

inline unqueue()
{
	if
	:: on_bell ?? [eval(me)] -> on_bell ?? eval(me)
	:: else
	fi;
	if
	:: on_receivers ?? [eval(me)] -> on_receivers ?? eval(me)
	:: else
	fi;
	if
	:: on_senders ?? [eval(me)] -> on_senders ?? eval(me)
	:: else
	fi
}

inline lower_own()
{
	if
	:: epoch[k] == e && count[k] > 0 -> count[k]--
	:: else
	fi;
	e = 0
}

proctype party(byte me; bit k; byte ops)
{
	byte e, at;		/* epoch announced in; gate */
	byte c, f, n, y;	/* ring's */
	bit announced, sleeping, gives_up, may_wait, over, x;
	byte alarm;

next_call:
	atomic {
		if
		:: ops == 0 -> goto end_done
		:: else -> ops--
		fi;
		announced = 0; gives_up = 0; over = 0; may_wait = 1;
		if
		:: nowaits > 0 -> nowaits--; may_wait = 0
		:: true
		fi
	}
try:
	atomic {
		if
		:: HAS(k) ->
			if
			:: k == RECV -> head++
			:: else -> tail++
			fi;
			over = 1
		:: !HAS(k) && (gives_up || !may_wait) -> over = 1
		:: else -> at = (k == RECV -> tail : head)
		fi;
		FATE;
		if
		:: over -> goto leave
		:: !over && announced -> goto settle
		:: else
		fi
	}
	atomic {
		count[k]++;
		e = epoch[k];
		announced = 1;
		FATE;
#ifdef BUG_NO_CHECK
		goto settle
#else
		goto try
#endif
	}
leave:
	if
	:: announced -> atomic { announced = 0; lower_own(); FATE }
	:: else
	fi;
#ifdef BUG_NO_SETTLE_END
	if
	:: gives_up -> goto next_call
	:: else
	fi;
#endif
settle:
#ifdef BUG_NO_SETTLE_SLEEP
	if
	:: !over -> goto sleep
	:: else
	fi;
#endif
	x = 0;
	atomic {	/* the fast way: both counts are 0 */
		if
		:: count[0] == 0 && count[1] == 0 -> FATE; x = 1; goto settled_kind
		:: else
		fi
	}
settle_kind:
	atomic {
		if
		:: count[x] == 0 || !HAS(x) -> goto settled_kind
		:: else -> c = count[x]; f = epoch[x]
		fi;
		FATE
	}
	atomic { wake_one(x, n); FATE }
	if
	:: n == 1 -> atomic {
#ifdef BUG_LOWER_ODD
		if
		:: epoch[x] == f && count[x] > 0 -> count[x]--
		:: else
		fi;
#else
		if
		:: epoch[x] == f && f % 2 == 0 && count[x] > 0 -> count[x]--
		:: else
		fi;
#endif
		FATE }
	:: else ->
#ifdef BUG_RESET_FIRST
		atomic {
			if
			:: count[x] == c && epoch[x] == f ->
				count[x] = 0; epoch[x] = f + 1
			:: else -> goto settled_kind
			fi;
			FATE
		}
		atomic { wake_all(x); FATE }
#else
		atomic {
			if
			:: count[x] == c && epoch[x] == f ->
				f = f + 1 + f % 2;
				epoch[x] = f
			:: else -> goto settled_kind
			fi;
			FATE
		}
#ifndef BUG_NO_WAKE_ALL
		atomic { wake_all(x); FATE }
#endif
		atomic {
			if
			:: count[x] == c && epoch[x] == f ->
				count[x] = 0; epoch[x] = f + 1
			:: else
			fi;
			FATE
		}
#endif
	fi;
settled_kind:
	atomic {
		c = 0; f = 0; n = 0;
		if
		:: x == 0 -> x = 1; goto settle_kind
		:: else -> x = 0
		fi;
		if
		:: over -> at = 0; e = 0; over = 0; goto next_call
		:: else
		fi
	}
sleep:	/* futex_waitv */
#ifdef BUG_GATE_FIRST
	atomic {
		if
		:: at != (k == RECV -> tail : head) -> goto awake
		:: else
		fi;
		FATE
	}
#endif
	atomic { on_bell ! me; FATE }
	atomic {
		if
#ifndef BUG_NO_EPOCH
		:: epoch[k] != e -> goto awake
#endif
		:: else
		fi;
#ifndef BUG_RING_BELL
		if
		:: k == RECV -> on_receivers ! me
		:: else -> on_senders ! me
		fi;
#endif
		FATE
	}
	atomic {
#if !defined(BUG_GATE_FIRST) && !defined(BUG_NO_GATE)
		if
		:: at != (k == RECV -> tail : head) -> goto awake
		:: else
		fi;
#endif
		asleep[k]++;
		sleeping = 1;
		if
		:: true
		:: alarms > 0 -> alarms--; alarm = 1
		:: kills > 0 -> kills--; alarm = 2
		fi
	}
end_sleep:
	atomic {
		if
		:: woken[me] != 0
		:: alarm == 1 ->
			if
			:: gives_up = 1
			:: true
			fi
		:: alarm == 2 -> alarm = 0; goto dying
		fi
	}
awake:
	atomic {
		unqueue();
		if
		:: sleeping -> asleep[k]--; sleeping = 0
		:: else
		fi;
		if	/* killed or timed out too late: it had been woken */
		:: alarm == 2 -> kills++
		:: alarm == 1 && !gives_up && woken[me] -> alarms++
		:: else
		fi;
		alarm = 0;
		n = woken[me];
		woken[me] = 0;
		FATE
	}
	atomic {
		announced = 0;
		if
#ifdef BUG_RING_BELL
		:: n != 0 -> e = 0
#else
		:: n >= 2 -> e = 0	/* the waker has lowered the count */
#endif
		:: else -> lower_own()
		fi;
		n = 0;
		FATE;
		goto try
	}
dying:
	atomic {
		unqueue();
		if
		:: sleeping -> asleep[k]--; sleeping = 0
		:: else
		fi;
		woken[me] = 0
	}
#ifndef BUG_NOT_ARMED
	atomic {	/* the kernel, for list_op_pending */
		if
		:: on_bell ? y -> woken[y] = woken[y] | 1
		:: empty(on_bell)
		fi;
		y = 0
	}
#endif
	goto end_done;
end_stopped:
	false;
end_done:
	atomic {
		e = 0; at = 0; c = 0; f = 0; n = 0; x = 0; announced = 0;
		gives_up = 0; may_wait = 0; over = 0; alarm = 0; ops = 0
	}
}

init {
	atomic {
		byte i;

		for (i : 0 .. NR - 1) {
			run party(i, RECV, RO)
		}
		for (i : NR .. NR + NS - 1) {
			run party(i, SEND, SO)
		}
		i = 0
	}
end_quiet:
	atomic {
		timeout ->
		if
		:: is_stopped && !is_probed ->
			/* the next operation does what a stopped one owes */
			is_probed = 1;
			kills = 0; stops = 0; alarms = 0; nowaits = 1;
			if
			:: run party(NR + NS, RECV, 1)
			:: run party(NR + NS, SEND, 1)
			fi;
			goto end_quiet
		:: else
		fi;
		assert(!(HAS(RECV) && asleep[RECV] > 0));
		assert(!(HAS(SEND) && asleep[SEND] > 0));
		assert(count[RECV] >= asleep[RECV]);
		assert(count[SEND] >= asleep[SEND])
	}
}
