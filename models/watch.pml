/* SPDX-License-Identifier: MIT */
/*
 * Those who wait outside of a call: doc/mailbox-protocol.md, section 13;
 * src/core/watch.c, descriptor.c, hub.c.
 *
 * The mailbox is a number of messages. Two participants have a watch word each; the
 * first has two who poll, a descriptor and the hub, with a socket each, and they arm
 * the one word in turns. Each access to shared memory and each system call is a
 * step, after which a party may be killed (the kernel tells all who poll, some time
 * after that) or stopped for good. The hub looks only if the word is not ARMED as it
 * left it.
 *
 * Claim, whenever nothing can move any more: no message is there while one sleeps.
 * After a stop the claim holds once one more call was made.
 */
#ifndef POLLERS
#define POLLERS 3	/* 0 descriptor and 1 hub of participant 0; 2 of participant 1 */
#endif
#ifndef SENDS
#define SENDS 2
#endif
#ifndef STEALS
#define STEALS 1	/* by receivers that do not poll */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif

#define IDLE 0
#define ARMED 1
#define RINGING 2
#define NEVER 255

#define PART(o)	((o) / 2)

byte messages;
byte state[2], arming[2];
bit polled;
byte version;
bit has_byte[3], has_news[3], asleep[3];
byte kills = KILLS, stops = STOPS;
bit is_stopped, is_probed;

#define FATE \
	if \
	:: true \
	:: kills > 0 -> kills--; goto dying \
	:: stops > 0 -> stops--; is_stopped = 1; goto stopped \
	fi

/* The fence is before it; who finds nothing rings for nobody. */
inline settle()
{
	if
	:: atomic { !polled -> FATE }
	:: atomic { polled -> FATE }
		if
		:: atomic { messages == 0 -> FATE }
		:: atomic { messages > 0 -> FATE }
			ring()
		fi
	fi
}

inline ring()
{
	atomic { v = version; i = 0; FATE }
	do
	:: i == 2 -> break
	:: i < 2 ->
		atomic { w = state[i]; n = arming[i]; FATE }
		if
		:: w == IDLE
#ifdef BUG_NOT_TWICE
		:: w == RINGING -> w = IDLE
#endif
		:: w == ARMED ->
			atomic {
				if
				:: state[i] == ARMED && arming[i] == n ->
#ifdef BUG_IDLE_FIRST
					state[i] = IDLE
#else
#ifndef BUG_BYTE_FIRST
					state[i] = RINGING
#endif
#endif
				/* Armed anew meanwhile: by another thread of it. */
				:: else -> w = IDLE;
#ifndef BUG_CLEAR_OVER
					keep = 1
#endif
				fi;
				FATE
			}
#ifndef BUG_NOT_TWICE
		:: w == RINGING
#endif
		fi;
		if
		:: w == IDLE
		:: else ->
			atomic { has_byte[2 * i] = 1; FATE }
			if
			:: i == 0 -> atomic { has_byte[1] = 1; FATE }
			:: else
			fi;
			atomic {
				if
				:: arming[i] == n && state[i] != IDLE ->
					state[i] = IDLE
				:: else
				fi;
				FATE
			}
		fi;
		atomic { i++; w = 0; n = 0 }
	od;
	atomic {
		i = 0;
#ifdef BUG_CLEAR
		polled = 0;
#else
		if
		:: version == v && !keep -> polled = 0
		:: else
		fi;
#endif
		v = 0; keep = 0;
		FATE
	}
}

#define IS_MINE (state[PART(o)] == ARMED && arming[PART(o)] == own)

proctype poller(byte o)
{
	byte i, v, w, n, own = NEVER;
	bit keep;

call:
	/* A receive. */
	if
	:: atomic { messages > 0 -> messages--; FATE }
		settle();
		goto end_done
	:: atomic { messages == 0 -> FATE }
	fi;
	settle();
update:
	/* The hub's own: who is woken by others looks at what was rung. */
	if
	:: atomic { o != 1 && messages > 0 -> goto call }
	:: atomic { o == 1 || messages == 0 -> FATE }
	fi;
	atomic { has_byte[o] = 0; FATE }
	atomic { w = has_news[o]; has_news[o] = 0; FATE }
#ifdef BUG_LOOK_FIRST
	if
	:: atomic { messages > 0 -> w = 0; goto call }
	:: atomic { messages == 0 -> FATE }
	fi;
#endif
	if
	:: atomic { IS_MINE -> FATE }
	:: atomic { !IS_MINE ->
		arming[PART(o)]++; state[PART(o)] = ARMED;
		own = arming[PART(o)];
		w = 1;
		FATE }
		atomic { polled = 1; version++; FATE }
	fi;
#ifndef BUG_LOOK_FIRST
	if
	:: atomic { (o != 1 || w) && messages > 0 -> w = 0; goto call }
	:: atomic { !((o != 1 || w) && messages > 0) -> w = 0; FATE }
	fi;
#else
	w = 0;
#endif
	asleep[o] = 1;
end_asleep:
	atomic {
		has_byte[o] || has_news[o] ->
		asleep[o] = 0;
		if
		:: o == 1 -> goto update
		:: else -> goto call
		fi
	}
dying:
	asleep[o] = 0;
#ifndef BUG_NO_NEWS
	atomic { has_news[0] = 1; has_news[1] = 1; has_news[2] = 1 };
#endif
	goto end_done;
stopped:
	asleep[o] = 0;
end_stopped:
	false;
end_done:
	atomic { i = 0; v = 0; w = 0; n = 0; own = 0; keep = 0; asleep[o] = 0 }
}

/* A call that does not poll: @what is 0 a send, 1 a receive, 2 neither. */
proctype other(byte what)
{
	byte i, v, w, n;
	bit keep;

	atomic {
		if
		:: what == 0 -> messages++
		:: what == 1 && messages > 0 -> messages--
		:: what == 1 && messages == 0
		:: what == 2
		fi;
		FATE
	}
	settle();
	goto end_done;
dying:
#ifndef BUG_NO_NEWS
	atomic { has_news[0] = 1; has_news[1] = 1; has_news[2] = 1 };
#endif
	goto end_done;
stopped:
	skip;
end_stopped:
	false;
end_done:
	atomic { i = 0; v = 0; w = 0; n = 0; keep = 0 }
}

init {
	byte k;

	atomic {
		for (k : 0 .. POLLERS - 1) {
			run poller(k)
		}
		k = 0;
		do
		:: k < SENDS -> run other(0); k++
		:: k >= SENDS && k < SENDS + STEALS -> run other(1); k++
		:: k == SENDS + STEALS -> break
		od;
		k = 0
	}
end_quiet:
	atomic {
		timeout ->
		if
		:: is_stopped && !is_probed ->
			is_probed = 1;
			kills = 0; stops = 0;
			run other(2);
			goto end_quiet
		:: else
		fi;
		assert(!(messages > 0 && (asleep[0] || asleep[1] || asleep[2])))
	}
}
