/* SPDX-License-Identifier: MIT */
/*
 * Changes that name hold cells, which others swap outside of any change:
 * doc/mailbox-protocol.md, section 12; src/core/change.c, hold.c (release()). change.pml
 * has two words that change together; here lists differ in length, order and
 * words, and every field of one is a step of its own.
 *
 * Two words, each {value, number of the change that wrote it}, and cells, each
 * {state, bump}. Participants make changes of one or both words, in either order, or
 * of their own cell and a word. One may be killed after any step; an heir takes
 * its number and finds its list as it is. A sweeper takes back the cells of the dead;
 * a reader reads both words.
 *
 * Claims: a change happens whole or not at all, once, and none of its swaps after it is
 * over; while `change` says IDLE(n) the words are those after n changes; words read
 * between two looks that saw the same IDLE are of one moment; a cell is given if a
 * change says so, and only then; what one left undone that was killed is done once the
 * next one has looked.
 */
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef CHANGES
#define CHANGES 3	/* that are begun, by all together */
#endif
#ifndef READS
#define READS 1		/* calls of the reader */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef SWEEPS
#define SWEEPS 0	/* more: changes may name a cell, and so often somebody sweeps */
#endif
#ifndef FIXED
#define FIXED 0		/* 1: which words a change is of is not left open */
#endif

#define MAX	(CHANGES + 1)
#define NONE	255

/* A word: its value is 0 or 1. */
#ifdef BUG_NO_NUMBERS
#define WORD(v, n)	(v)
#else
#define WORD(v, n)	((v) + 2 * (n))
#endif
#define VALUE(w)	((w) % 2)

/* A word of a cell. */
#define CELL(s, b)	((s) + 4 * (b))
#define STATE(w)	((w) % 4)
#define BUMP(w)		((w) / 4)
#define FREE 0
#define CLAIM 1
#define HELD 2

/* change */
#define IDLE(n)		(8 * (n))
#define MADE(n, p)	(1 + 2 * (p) + 8 * (n))
#define IS_MADE(w)	((w) % 2)
#define PARTY(w)	(((w) / 2) % 4)
#define NUMBER(w)	((w) / 8)

typedef list {
	byte count;
	byte at[2], old[2], new[2];
}

byte word[2 + PARTIES];		/* the last ones are cells */
byte change;
list lists[PARTIES];
byte kills = KILLS, changes = CHANGES, done;
byte dead_bump[PARTIES];	/* cells up to this one are a dead one's */

/* What should be so: not seen by those who run. */
bit after0[MAX], after1[MAX];	/* values after n changes */
byte gave[MAX];			/* the cell that change n names, or NONE */
bit is_given;		/* that cell: it has been */
byte made;

/* What may happen to the caller before its next step. */
#define FATE \
	if \
	:: true \
	:: kills > 0 && me < PARTIES -> kills--; goto dying \
	fi

#define WORDS_ARE_OF(n) (VALUE(word[0]) == after0[n] && \
			 VALUE(word[1]) == after1[n])

/* One swap of a list: by one who is not late, and to what it says. */
inline swap(sa, so, sw)
{
	if
	:: word[sa] == so ->
		word[sa] = sw;
		assert(IS_MADE(change));
		assert(sa != 0 || VALUE(sw) == after0[made]);
		assert(sa != 1 || VALUE(sw) == after1[made]);
		assert(sa < 2 || gave[made] == sa && !is_given);
		is_given = is_given || sa >= 2
	:: else
	fi
}

inline close()
{
	if
#ifdef BUG_CLOSE_BLIND
	:: IS_MADE(change) && PARTY(change) == PARTY(seen) ->
#else
	:: change == seen ->
#endif
		change = IDLE(NUMBER(change));
		assert(WORDS_ARE_OF(made));
		assert(gave[made] == NONE || is_given)
	:: else
	fi
}

#ifdef BUG_IDLE_FIRST
#define IS_EARLY (i + 1 == n)
#else
#define IS_EARLY 0
#endif

/* Of the own list, or of a copy. */
inline carry_out(ca, co, cn)
{
	do
	:: i < n && IS_EARLY ->
		atomic { close(); FATE }
		atomic { swap(ca, co, cn); i++; FATE }
	:: i < n && !IS_EARLY -> atomic { swap(ca, co, cn); i++; FATE }
	:: i == n -> break
	od;
	atomic {
		close();
		i = 0; n = 0; seen = 0;
		at[0] = 0; old[0] = 0; new[0] = 0;
		at[1] = 0; old[1] = 0; new[1] = 0;
		FATE
	}
}

/* Then seen is IDLE. */
inline settle()
{
	do
	:: atomic {
		seen = change;
		FATE;
		if
#ifdef BUG_NOT_HELPED
		:: true -> seen = IDLE(NUMBER(seen)); break
#endif
		:: !IS_MADE(seen) -> break
		:: else
		fi
	   }
	   /* the copy */
	   atomic { n = lists[PARTY(seen)].count; FATE }
	   do
	   :: i < n ->
		atomic { at[i] = lists[PARTY(seen)].at[i]; FATE }
		atomic { old[i] = lists[PARTY(seen)].old[i]; FATE }
		atomic { new[i] = lists[PARTY(seen)].new[i]; i++; FATE }
	   :: i == n -> break
	   od;
	   atomic {
		i = 0;
#ifndef BUG_NO_SECOND_LOOK
		if
		:: change != seen -> n = 0
		:: else
		fi;
#endif
		FATE
	   }
	   if
	   :: n == 0
	   :: else -> carry_out(at[i], old[i], new[i])
	   fi
	od
}

#define LOCALS \
	byte seen, i, n; \
	byte at[2], old[2], new[2]

#define FORGET \
	seen = 0; i = 0; n = 0; r[0] = 0; r[1] = 0; \
	at[0] = 0; old[0] = 0; new[0] = 0; a[0] = 0; \
	at[1] = 0; old[1] = 0; new[1] = 0; a[1] = 0

/* What the list says of a word: a cell that it has claimed, or one that it has read. */
#define OLD(w)	((w) < 2 -> r[w] : mine)
#define NEW(w)	((w) < 2 -> WORD(1 - VALUE(r[w]), NUMBER(seen) + 1) \
			 : CELL(HELD, BUMP(mine) + 1))

proctype party(byte me)
{
	LOCALS;
	byte mine;
	byte r[2];	/* as they were read */
	byte a[2];	/* which it changes */

next:
	atomic {
		if
		:: changes == 0 -> goto leave
		:: else -> changes--
		fi;
		if
		:: !FIXED || changes % 3 == 0 -> a[0] = 0; a[1] = 1
		:: !FIXED || changes % 3 == 1 -> a[0] = 1; a[1] = 0
		:: !FIXED || changes % 3 == 2 -> a[0] = 1; a[1] = NONE
#if SWEEPS
		:: STATE(word[2 + me]) == FREE ->
			mine = CELL(CLAIM, BUMP(word[2 + me]) + 1);
			word[2 + me] = mine;
			a[0] = 2 + me; a[1] = 0
#endif
		fi;
		FATE
	}
again:
#ifdef BUG_LIST_FIRST
	atomic { lists[me].at[0] = a[0]; FATE }
	atomic { lists[me].at[1] = a[1] % 2; FATE }
#endif
	settle();
	atomic { r[0] = word[0]; FATE }
	atomic { r[1] = word[1]; n = (a[1] == NONE -> 1 : 2); FATE }
	do
	:: i < n ->
#ifndef BUG_LIST_FIRST
		atomic { lists[me].at[i] = a[i]; FATE }
#endif
		atomic { lists[me].old[i] = OLD(a[i]); FATE }
		atomic { lists[me].new[i] = NEW(a[i]); i++; FATE }
	:: i == n -> break
	od;
	atomic { lists[me].count = n; i = 0; FATE }
	atomic {
		if
#ifdef BUG_NOT_HELPED
		:: IDLE(NUMBER(change)) == seen ->
#else
		:: change == seen ->
#endif
			/* It has happened. */
			assert(VALUE(r[0]) == after0[made]);
			assert(VALUE(r[1]) == after1[made]);
			made++;
			assert(made == NUMBER(seen) + 1);
			change = MADE(made, me);
			seen = change;
			after0[made] = (a[0] == 0 || a[1] == 0 -> 1 - VALUE(r[0])
							       : VALUE(r[0]));
			after1[made] = (a[0] == 1 || a[1] == 1 -> 1 - VALUE(r[1])
							       : VALUE(r[1]));
			gave[made] = (a[0] >= 2 -> a[0] : NONE);
			is_given = 0;
			r[0] = 0; r[1] = 0;
			FATE
		:: else ->
			seen = 0; n = 0; r[0] = 0; r[1] = 0;
			FATE;
			goto again
		fi
	}
	carry_out(lists[me].at[i], lists[me].old[i], lists[me].new[i]);
#if SWEEPS
	if
	:: a[0] >= 2 -> atomic {	/* it has done with it */
		assert(word[a[0]] == CELL(HELD, BUMP(mine) + 1));
		word[a[0]] = CELL(FREE, BUMP(mine) + 2);
		FATE }
	:: else
	fi;
#endif
	atomic { a[0] = 0; a[1] = 0; mine = 0; goto next }
dying:
	atomic {
		FORGET; mine = 0;
		dead_bump[me] = BUMP(word[2 + me]);
		if
		:: goto next	/* its heir */
		:: true
		fi
	}
leave:
	done++
}

proctype reader(byte me)
{
	LOCALS;
	byte calls;
	byte r[2];

	do
	:: calls == READS -> break
	:: else ->
		settle();
		r[0] = word[0];
		r[1] = word[1];
		atomic {
			if
			:: change == seen ->
				assert(VALUE(r[0]) == after0[NUMBER(seen)]);
				assert(VALUE(r[1]) == after1[NUMBER(seen)]);
				calls++
			:: else
			fi;
			r[0] = 0; r[1] = 0; seen = 0
		}
	od;
dying:
	done++
}

/* release() of hold.c */
proctype sweeper(byte me)
{
	LOCALS;
	byte calls, c, w;
	byte r[2];

	do
	:: calls == SWEEPS -> break
	:: else ->
		atomic {
			calls++;
			if
			:: c = 2
			:: c = 1 + PARTIES
			fi;
			w = word[c]
		}
		if	/* and then its owner was dead */
		:: STATE(w) != FREE && BUMP(w) <= dead_bump[c - 2] ->
#ifndef BUG_SWEEP_BLIND
			settle();
#endif
			atomic {
				if
				:: word[c] == w ->
					word[c] = CELL(FREE, BUMP(w) + 1)
				:: else
				fi
			}
		:: else
		fi;
		atomic { c = 0; w = 0; seen = 0 }
	od;
dying:
	done++
}

init {
	LOCALS;
	byte me = PARTIES + 1;

	atomic {
		for (i : 0 .. MAX - 1) {
			gave[i] = NONE
		}
		for (i : 0 .. PARTIES - 1) {
			run party(i)
		}
		i = 0;
		done = 2;
#if READS
		done--;
		run reader(PARTIES);
#endif
#if SWEEPS
		done--;
		run sweeper(PARTIES)
#endif
	}
	done == PARTIES + 2;
	/* The next one comes. */
	settle();
	assert(NUMBER(seen) == made && WORDS_ARE_OF(made))
dying:
	skip
}
