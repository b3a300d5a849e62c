/* SPDX-License-Identifier: MIT */
/*
 * Capacity 0: doc/mailbox-protocol.md, section 9; src/core/meet.c.
 *
 * Senders and receivers that call, wait for each other in a ring of SLOTS places, give
 * up, and may be killed or stopped for good after every step. Each step that
 * touches shared memory is one step here. What a killed one held comes back by
 * what hold.pml is about; here it is RETURNED and whoever receives looks there first.
 *
 * With SELECT messages are of two kinds and receivers want one of them: both sides may
 * wait at once.
 *
 * Claims: who waits suits nobody who waits on the other side (without SELECT: there
 * is nobody); who is met waited longest of those who suit; a send that
 * succeeds is received once, one that fails never; a receiver that fails
 * has received nothing; when all is still nobody sleeps who has been met (after
 * a stop: once the next call was made), and whoever waits is met by the next one;
 * in the end all cells are free and no place names anybody.
 */
#ifndef NS
#define NS 1		/* senders */
#endif
#ifndef NR
#define NR 2		/* receivers */
#endif
#ifndef CALLS
#define CALLS 1		/* of each */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef TIMES
#define TIMES 1		/* how many waits end by time alone */
#endif
#ifndef HURRY
#define HURRY N	/* from which on a process does not wait */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif

#ifndef SHIFT
#define SHIFT 0		/* the first receiver wants that kind */
#endif

#define N	(NS + NR)
#define CELLS	(N + NR + 1)
#define PROBE	N
#define MESSAGES (NS * CALLS + 1)
#define NONE	7

#define ANY 2
#ifdef SELECT
#define WANT(p) ((p) == PROBE -> ANY : \
		 ((p) < NS -> (p) % 2 : ((p) - NS + SHIFT) % 2))
#else
#define WANT(p) ANY
#endif
#define SUIT(a, b) ((a) == (b) || (a) == ANY || (b) == ANY)

/* to: of a POINT, the cell it points to */
#define WORD(s, o, g, to) ((s) + 8 * (o) + 64 * (g) + 1024 * (to))
#define STATE(w)	((w) % 8)
#define OWNER(w)	(((w) / 8) % 8)
#define GRANT(w)	(((w) / 64) % 16)
#define TO(w)		((w) / 1024)
#define FREE 0
#define CLAIM 1
#define HELD 2
#define RETURNED 3
#define POINT 4

#define PLACE(s, l, o, r) ((s) + 8 * (l) + 128 * (o) + 1024 * (r))
#define IS(w)		((w) % 8)
#define LAP(w)		(((w) / 8) % 16)
#define OFFERED(w)	(((w) / 128) % 8)
#define ASKED(w)	((w) / 1024)
#define EMPTY 1
#define OFFER 2
#define REQUEST 3
#define MATCHED 4
#define GONE 5

int cell[CELLS];
byte pos[CELLS], msg[CELLS];	/* records */
byte want[CELLS];		/* the kind of a message, or that is wanted */
bit asleep[CELLS], marked[CELLS];
byte waiter[CELLS];
int place[SLOTS] = 1;		/* EMPTY of lap 0 */
byte head;			/* the hint */

bit is_dead[N + 1], is_stopped[N + 1];
bit sleeping[N + 1];		/* in the kernel; at a place, with a cell */
byte sleeps_at[N + 1], sleeps_with[N + 1];
byte received[MESSAGES];
bit was_sent[MESSAGES], was_not_sent[MESSAGES];
byte kills = KILLS, stops = STOPS, times = TIMES, done, sleepers;
bit is_over, is_probed, is_told;

#define FATE \
	if \
	:: skip \
	:: kills > 0 && who < N -> kills--; goto dying \
	:: stops > 0 && who < N -> stops--; goto stopped \
	fi

#define WAITS(w) (IS(w) == OFFER || IS(w) == REQUEST)
#define WHO_WAITS(w) (IS(w) == OFFER -> OFFERED(w) : ASKED(w))

inline swap(c, from, to, ret)
{
	d_step {
		if
		:: cell[c] == from -> cell[c] = to; ret = 1
		:: else -> ret = 0
		fi
	}
}

inline swap_place(p, from, to, ret)
{
	d_step {
		if
		:: place[p] == from -> place[p] = to; ret = 1
		:: else -> ret = 0
		fi
	}
}

inline wake_up(p)
{
	d_step {
		sleepers = sleepers - sleeping[p]; sleeping[p] = 0;
		sleeps_at[p] = 0; sleeps_with[p] = 0
	}
}

/* The kernel: who sleeps at a place, or with a cell that a killed one was armed with. */
inline wake_sleeper(where, x)
{
	d_step {
		y = 0;
		do
		:: y < N && sleeping[y] && where == x ->
			sleepers--; sleeping[y] = 0;
			sleeps_at[y] = 0; sleeps_with[y] = 0; y++
		:: y < N && !(sleeping[y] && where == x) -> y++
		:: y == N -> break
		od;
		y = 0
	}
}

inline wake(p, c)
{
	if
	:: asleep[c] ->
#ifdef BUG_CLEAR_FIRST
		asleep[c] = 0;
		FATE;
#endif
		wake_sleeper(sleeps_at[y], p)
	:: else
	fi
}

inline set_empty(p, fw)
{
	swap_place(p, fw, PLACE(EMPTY, LAP(fw) + 1, 0, 0), ok)
}

/* finish() of place p that was seen as fw, MATCHED */
inline finish(p, fw)
{
	fo = cell[OFFERED(fw)];
	fr = cell[ASKED(fw)];
#ifdef BUG_NO_SECOND_LOOK
	if
	:: true ->
#else
	if
	:: place[p] == fw ->
#endif
#ifdef BUG_EMPTY_FIRST
		set_empty(p, fw);
		FATE;
#endif
		if
		:: STATE(fo) == CLAIM ->
			swap(OFFERED(fw), fo, WORD(HELD, OWNER(fr), GRANT(fo), 0), ok)
		:: else -> assert(STATE(fo) == HELD)
		fi;
		FATE;
		if
		:: STATE(fr) == CLAIM ->
			swap(ASKED(fw), fr, WORD(POINT, OWNER(fr), GRANT(fr),
						 OFFERED(fw)), ok)
		:: else -> assert(STATE(fr) == POINT)
		fi;
		FATE;
#ifdef BUG_WAKE_LATE
		set_empty(p, fw);
		FATE;
#endif
		wake(p, OFFERED(fw));
		wake(p, ASKED(fw));
#ifndef BUG_WAKE_LATE
#ifndef BUG_EMPTY_FIRST
		FATE;
		set_empty(p, fw)
#endif
#endif
	:: else
	fi;
	fo = 0; fr = 0
}

/* look_at() and meet_look(): found 1: w is the first; 0: w can be waited at. */
inline look(mine, others)
{
	d_step { at = head; has_own = 0; w = place[at % SLOTS] };
	do
	:: if
		:: LAP(w) > at / SLOTS -> at++
		:: LAP(w) <= at / SLOTS && IS(w) == MATCHED ->
			finish(at % SLOTS, w);
#ifndef BUG_SKIP
			if
			:: LAP(w) == at / SLOTS -> at++
			:: else
			fi
#else
			at++
#endif
		:: LAP(w) == at / SLOTS && IS(w) == GONE ->
			d_step {
				at++;
				if
				:: !has_own && head < at -> head = at
				:: else
				fi
			}
		:: LAP(w) == at / SLOTS && IS(w) == EMPTY -> found = 0; break
		:: LAP(w) < at / SLOTS && IS(w) == GONE ->
			/* Put out of the way, and perhaps not told. */
#ifndef BUG_TOLD_ONCE
			if
			:: OFFERED(w) != NONE ->
				wake_sleeper(sleeps_at[y], at % SLOTS)
			:: else
			fi;
#endif
			found = 0; break
		:: LAP(w) <= at / SLOTS && WAITS(w) && marked[WHO_WAITS(w)] ->
			swap_place(at % SLOTS, w,
				   PLACE(GONE, LAP(w), NONE, NONE), ok)
		:: LAP(w) < at / SLOTS && WAITS(w) && !marked[WHO_WAITS(w)] ->
			/* make_way() */
			d_step {
				c = 0;
				do
				:: c < SLOTS && WAITS(place[c]) -> c++
				:: else -> break
				od;
				is_timed_out = (c == SLOTS);	/* -EUSERS */
				c = 0
			}
			if
			:: is_timed_out -> break
			:: else
			fi;
			c = WHO_WAITS(w);
			swap_place(at % SLOTS, w,
				   PLACE(GONE, LAP(w), c, NONE), ok);
			FATE;
			if
			:: ok -> wake_sleeper(sleeps_at[y], at % SLOTS)
			:: else
			fi
		:: LAP(w) == at / SLOTS && WAITS(w) && !marked[WHO_WAITS(w)] ->
#ifdef SELECT
			c = want[WHO_WAITS(w)];
			if
			:: place[at % SLOTS] == w && IS(w) == others &&
			   SUIT(c, WANT(who)) -> found = 1; break
			:: place[at % SLOTS] == w && !(IS(w) == others &&
			   SUIT(c, WANT(who))) -> has_own = 1; at++
			:: place[at % SLOTS] != w
			fi;
			c = 0
#else
			if
			:: IS(w) == mine -> has_own = 1; at++
			:: IS(w) == others && has_own -> has_own = 0; at = head
			:: IS(w) == others && !has_own -> found = 1; break
			fi
#endif
		fi;
		w = place[at % SLOTS]
	od;
	ok = 0; c = 0
}

/* hold_claim(): there is always one. */
inline claim()
{
	d_step {
		c = 0;
		do
		:: STATE(cell[c]) != FREE -> c++
		:: else -> break
		od;
		own = c;
		own_word = WORD(CLAIM, who, GRANT(cell[c]) + 1, 0);
		cell[c] = own_word;
		has_claim = 1;
		c = 0
	}
}

inline unclaim()
{
	swap(own, own_word, WORD(FREE, 0, GRANT(own_word), 0), ok);
	has_claim = 0; own = 0; own_word = 0; ok = 0
}

/* The first of those who wait and suit, and live: nobody is passed over. */
inline check_turn(p, others)
{
	c = 0;
	do
	:: c < SLOTS ->
		assert(!(WAITS(place[c]) && !marked[WHO_WAITS(place[c])] &&
#ifdef SELECT
			 IS(place[c]) == others &&
			 SUIT(want[WHO_WAITS(place[c])], WANT(who)) &&
#endif
			 LAP(place[c]) * SLOTS + c < p));
		c++
	:: else -> break
	od;
	c = 0
}

inline check_sides(others)
{
	c = 0;
	do
	:: c < SLOTS -> assert(IS(place[c]) != others ||
			       !SUIT(want[WHO_WAITS(place[c])], WANT(who))); c++
	:: else -> break
	od;
	c = 0
}

/* meet_match(): met */
inline match(mine)
{
	w2 = (mine == OFFER -> PLACE(MATCHED, LAP(w), own, WHO_WAITS(w))
			    : PLACE(MATCHED, LAP(w), WHO_WAITS(w), own));
	armed = WHO_WAITS(w);
	is_armed = 1;
	d_step {
		if
		:: place[at % SLOTS] == w ->
			check_turn(at, (mine == OFFER -> REQUEST : OFFER));
			place[at % SLOTS] = w2; met = 1
		:: else -> met = 0
		fi
	}
	FATE;
	if
	:: met -> finish(at % SLOTS, w2)
	:: else
	fi;
	is_armed = 0; armed = 0; w2 = 0
}

#define STILL_WAITS (cell[own] == own_word && place[at % SLOTS] == w2)

/* meet_wait(): met; is_timed_out */
inline wait(mine, others)
{
	d_step { marked[own] = 0; waiter[own] = who };
	armed = own;
	is_armed = 1; is_own = 1;
	FATE;
	w2 = (mine == OFFER -> PLACE(OFFER, at / SLOTS, own, NONE)
			    : PLACE(REQUEST, at / SLOTS, NONE, own));
	met = 0;
#ifdef BUG_NEXT_PLACE
	d_step {
		if
		:: place[at % SLOTS] != w &&
		   place[(at + 1) % SLOTS] == PLACE(EMPTY, (at + 1) / SLOTS, 0, 0) ->
			at++; pos[own] = at; w = place[at % SLOTS];
			w2 = (mine == OFFER ->
				PLACE(OFFER, at / SLOTS, own, NONE) :
				PLACE(REQUEST, at / SLOTS, NONE, own))
		:: else
		fi
	}
#endif
	d_step {
		if
		:: place[at % SLOTS] == w ->
			check_sides(others);
			place[at % SLOTS] = w2; ok = 1
		:: else -> ok = 0
		fi
	}
	if
	:: ok ->
		do
		:: FATE;
			if
			:: !STILL_WAITS -> break
			:: else
			fi;
			if
			:: is_over || is_timed_out -> is_timed_out = 1; break
			:: else
			fi;
			asleep[own] = 1;
			FATE;
			if
			:: !STILL_WAITS
			:: else ->
				/* futex_waitv() */
				d_step {
#ifdef BUG_NO_GATE
					if
					:: cell[own] == own_word ->
#else
					if
					:: place[at % SLOTS] == w2 ->
#endif
						sleeps_at[who] = at % SLOTS;
						sleeps_with[who] = own;
						sleeping[who] = 1; sleepers++
					:: else
					fi
				}
				if
				:: !sleeping[who]
				:: is_over -> wake_up(who)
				:: atomic { times > 0 && !is_probed -> times--;
						is_timed_out = 1; wake_up(who) }
				:: atomic { kills > 0 && who < N && !is_probed ->
						kills--; wake_up(who) };
					goto dying
				fi
			fi
#ifdef BUG_CLEAR_LATE
			; asleep[own] = 0
#endif
		od;
		/* withdraw() */
		FATE;
#ifdef BUG_LEAVE_BLIND
		d_step {
			if
			:: is_timed_out -> place[at % SLOTS] = PLACE(GONE,
						at / SLOTS, NONE, NONE); ok = 1
			:: !is_timed_out && place[at % SLOTS] == w2 ->
				place[at % SLOTS] = PLACE(GONE, at / SLOTS, NONE,
							  NONE); ok = 1
			:: else -> ok = 0
			fi
		}
#else
		swap_place(at % SLOTS, w2, PLACE(GONE, at / SLOTS, NONE, NONE),
			   ok);
#endif
		FATE;
		if
		:: ok
		:: else ->
			w2 = place[at % SLOTS];
			if
			:: LAP(w2) == at / SLOTS && IS(w2) == MATCHED ->
				finish(at % SLOTS, w2)
			:: else
			fi;
			met = (cell[own] != own_word)
		fi
	:: else
	fi;
	is_armed = 0; is_own = 0; armed = 0; w2 = 0; ok = 0
}

/* meet_settle(): ok: it has met */
inline settle(p, l)
{
	w = place[p];
	was_met = 0;
	if
#ifdef BUG_SETTLE_BLIND
	:: LAP(w) == l && WAITS(w) && WHO_WAITS(w) == c ->
#else
	:: LAP(w) == l && WAITS(w) && WHO_WAITS(w) == c && cell[c] == w2 ->
#endif
		swap_place(p, w, PLACE(GONE, l, NONE, NONE), ok);
		FATE;
	:: else -> ok = 0
	fi;
	if
	:: !ok ->
		w = place[p];
		if
		:: LAP(w) == l && IS(w) == MATCHED &&
		   (OFFERED(w) == c || ASKED(w) == c) ->
			finish(p, w);
			was_met = 1
		:: else
		fi
	:: else
	fi;
	w = 0; ok = 0
}

/* hold_sweep(): all that dead ones own */
inline sweep()
{
	do
	:: d_step {
			c = 0;
			do
			:: c < CELLS && !(STATE(cell[c]) != FREE &&
					  STATE(cell[c]) != RETURNED &&
					  is_dead[OWNER(cell[c])]) -> c++
			:: else -> break
			od;
			if
			:: c < CELLS -> w2 = cell[c]; at = pos[c]
			:: else
			fi
		}
		if
		:: c == CELLS -> break
		:: else
		fi;
#ifndef BUG_NOT_SETTLED
		settle(at % SLOTS, at / SLOTS);
#endif
		if
		:: STATE(w2) == POINT ->
			swap(c, w2, WORD(FREE, 0, GRANT(w2), 0), ok)
		:: STATE(w2) == HELD ->
			swap(c, w2, WORD(RETURNED, 0, GRANT(w2), 0),
			     ok)
		:: STATE(w2) == CLAIM && !was_met ->
			swap(c, w2, WORD(FREE, 0, GRANT(w2), 0), ok)
		:: else
		fi;
		FATE
	od;
	c = 0; w2 = 0; at = 0; ok = 0; was_met = 0
}

/* receive_back(): has_got */
inline receive_back()
{
	d_step {
		c = 0;
		do
		:: c < CELLS && !(STATE(cell[c]) == RETURNED &&
				  SUIT(want[c], WANT(who))) -> c++
		:: else -> break
		od;
		skip
	}
	if
	:: c < CELLS ->
		w2 = cell[c];
		d_step {
			if
			:: cell[c] == w2 && STATE(w2) == RETURNED ->
				note_received(msg[c]);
				cell[c] = WORD(FREE, 0, GRANT(w2), 0);
				has_got = 1
			:: else
			fi
		}
	:: else
	fi;
	c = 0; w2 = 0
}

inline note_received(m)
{
	received[m]++;
	assert(received[m] == 1 && !was_not_sent[m])
}

/* tol_send() of message m; may_wait: or TOL_NOWAIT. has_got: it succeeded */
inline send(m, may_wait)
{
	has_got = 0; is_timed_out = 0; met = 0;
	do
	:: met || is_timed_out -> break
	:: else ->
		look(OFFER, REQUEST);
		if
		:: is_timed_out || (!found && !may_wait) -> break
		:: else
		fi;
		if
		:: !has_claim -> claim(); FATE
		:: else
		fi;
		d_step { pos[own] = at; msg[own] = m; asleep[own] = 0;
			 want[own] = WANT(who) };
		if
		:: found -> match(OFFER)
		:: else -> wait(OFFER, REQUEST)
		fi;
		w = 0; at = 0
	od;
	if
	:: met -> has_got = 1; assert(!was_not_sent[m]);
		was_sent[m] = 1; has_claim = 0
	:: else -> was_not_sent[m] = 1; assert(!received[m]);
		FATE;
		if
		:: has_claim -> unclaim()
		:: else
		fi
	fi;
	w = 0; at = 0; found = 0; own = 0; own_word = 0; met = 0; has_own = 0;
	is_timed_out = 0
}

/* tol_recv(): has_got */
inline recv(may_wait)
{
	has_got = 0; is_timed_out = 0;
	do
	:: sweep();
		receive_back();
		if
		:: has_got -> break
		:: else
		fi;
		look(REQUEST, OFFER);
		if
		:: is_timed_out || (!found && !may_wait) -> break
		:: else
		fi;
		claim();
		FATE;
		d_step { pos[own] = at; asleep[own] = 0; want[own] = WANT(who) };
		if
		:: found -> match(REQUEST)
		:: else -> wait(REQUEST, OFFER)
		fi;
		FATE;
		if
		:: met ->
			/* hold_follow(), deliver() */
			w = cell[own];
			assert(STATE(w) == POINT && OWNER(w) == who);
			at = TO(w);
			swap(own, w, WORD(FREE, 0, GRANT(w), 0), ok);
			FATE;
			w = cell[at];
			assert(STATE(w) == HELD && OWNER(w) == who);
			d_step {
				assert(SUIT(want[at], WANT(who)));
				assert(cell[at] == w);
				note_received(msg[at]);
				cell[at] = WORD(FREE, 0, GRANT(w), 0)
			}
			has_got = 1; has_claim = 0;
			break
		:: else -> unclaim()
		fi;
		w = 0; at = 0;
		if
		:: is_timed_out -> break
		:: else
		fi
	od;
	w = 0; at = 0; found = 0; own = 0; own_word = 0; met = 0; has_own = 0;
	ok = 0; is_timed_out = 0
}

#define LOCALS \
	byte at, c, y, own, armed, calls; \
	int w, w2, fo, fr, own_word; \
	bit ok, found, has_own, has_claim, met, is_timed_out, is_armed, \
	    is_own, was_met, has_got

/*
 * Killed: the kernel marks what the thread was armed with, and wakes; then the files
 * are closed.
 */
#ifdef BUG_NOT_ARMED
#define DEATH \
	if \
	:: is_armed && is_own -> d_step { \
			if \
			:: waiter[armed] == who -> marked[armed] = 1 \
			:: else \
			fi } \
	:: else \
	fi
#else
#define DEATH \
	if \
	:: is_armed && is_own -> d_step { \
			if \
			:: waiter[armed] == who -> marked[armed] = 1 \
			:: else \
			fi } \
	:: is_armed && !is_own -> wake_sleeper(sleeps_with[y], armed) \
	:: else \
	fi
#endif

#define ENDS \
	dying: \
		DEATH; \
		atomic { is_dead[who] = 1; done++ }; \
		goto gone; \
	stopped: \
		atomic { is_stopped[who] = 1; done++ }; \
	gone: \
		skip

active [NS] proctype sender()
{
	LOCALS;
	byte who = _pid;

	do
	:: calls == CALLS -> break
	:: else -> send(who * CALLS + calls, (who < HURRY)); calls++
	od;
	atomic { done++; goto gone };
	ENDS
}

active [NR] proctype receiver()
{
	LOCALS;
	byte who = _pid;

	do
	:: calls == CALLS -> break
	:: else -> recv((who < HURRY)); calls++
	od;
	atomic { done++; goto gone };
	ENDS
}

/* Of who is asleep: has nobody met it? */
inline check_sleepers()
{
	d_step {
		c = 0;
		do
		:: c < N && sleeping[c] ->
			assert((WAITS(place[sleeps_at[c]]) &&
				WHO_WAITS(place[sleeps_at[c]]) ==
					sleeps_with[c]) ||
			       (!is_told && IS(place[sleeps_at[c]]) == GONE &&
				OFFERED(place[sleeps_at[c]]) == sleeps_with[c]));
			c++
		:: c < N && !sleeping[c] -> c++
		:: c == N -> break
		od;
		c = 0
	}
}

#define WAIT_FOR_REST (done + sleepers == N)

/* When all is still: who waits is met; then all time is over; then nothing is left. */
active proctype probe()
{
	LOCALS;
	byte who = PROBE;

	atomic { WAIT_FOR_REST; is_probed = 1 };
#if STOPS == 0
	check_sleepers();
#endif
	/* Whom a call wakes may call again. */
	do
	:: WAIT_FOR_REST;
		recv(0);
		if
		:: has_got -> calls = 0
		:: !has_got && calls < CALLS -> calls++
		:: else -> break
		fi
	od;
	WAIT_FOR_REST;
	is_told = 1;
	check_sleepers();
	d_step {
		c = 0;
		do
		:: c < SLOTS -> assert(IS(place[c]) != OFFER ||
			is_dead[OWNER(cell[OFFERED(place[c])])]); c++
		:: else -> break
		od;
		c = 0
	}
	is_over = 1;
	done == N;
	do
	:: recv(0);
		if
		:: has_got
		:: else -> break
		fi
	od;
	skip;
	d_step {
		c = 0;
		do
		:: c < SLOTS -> assert(IS(place[c]) == EMPTY ||
			IS(place[c]) == GONE ||
			is_stopped[OWNER(cell[WHO_WAITS(place[c])])]); c++
		:: else -> break
		od;
		c = 0;
		do
		:: c < CELLS -> assert(STATE(cell[c]) == FREE ||
				       is_stopped[OWNER(cell[c])]); c++
		:: else -> break
		od;
		c = 0;
		do
		:: c < MESSAGES - 1 ->
			assert(!was_sent[c] || received[c] == 1 || STOPS > 0);
			assert(!was_not_sent[c] || received[c] == 0); c++
		:: else -> break
		od;
		c = 0
	}
	goto gone;
	ENDS
}
