/* SPDX-License-Identifier: MIT */
/*
 * Two words changed by one swap: doc/mailbox-protocol.md, section 12; src/core/change.c.
 *
 * Every change turns both words over, so that they come back to what they were, and
 * a word alone does not tell how often it has changed. One step per shared access; a
 * party may be killed, or stop for good, after each. The number of one that was killed
 * goes to an heir, who writes its list in the same memory.
 *
 * Claims: what was read between two looks that saw the same is of one moment, both
 * words alike; a change that was made is carried out once, whole, and one that was not
 * never: in the end, when one more has come by, the words have been turned over as
 * often as a change was made.
 */
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef CHANGES
#define CHANGES 2	/* of each party, and of the heir */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif

#define IDLE 0
#define MADE 1

/* change, as one word: its number, whether it is made, by whom. */
byte number, made, by;

/* A word: its value, and the number of the change that wrote it. */
bit value[2];
byte written[2];

typedef list {
	bit old[2];
	byte old_written[2];
	bit new[2];
	byte new_written[2];
};
list lists[PARTIES];

byte total;		/* changes that were made */
byte kills = KILLS, stops = STOPS;
byte living = PARTIES;	/* that may still do something, heirs too */
byte heirs;		/* of number 0 */

#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto killed \
	:: stops > 0 -> stops--; goto stopped \
	fi

/* A word as a list says, if it is still the old one. */
inline carry(i, from)
{
#ifdef BUG_NO_NUMBER
	if
	:: value[i] == from.old[i] -> value[i] = from.new[i]
	:: else
	fi
#else
	if
	:: value[i] == from.old[i] && written[i] == from.old_written[i] ->
		value[i] = from.new[i];
		written[i] = from.new_written[i]
	:: else
	fi
#endif
}

inline finish(n)
{
	if
	:: number == n && made == MADE -> made = IDLE; by = 0
	:: else
	fi
}

proctype party(byte self; bit is_heir)
{
	byte left = CHANGES;
	byte n, who, w;
	bit is_made;
	list own, copy;

	do
	:: left == 0 -> break
	:: else ->
again:		FATE;
#ifdef BUG_LIST_FIRST
		/* Whatever `change` says, the list is written. */
		d_step {
			own.old[0] = value[0]; own.old_written[0] = written[0];
			own.old[1] = value[1]; own.old_written[1] = written[1];
			own.new[0] = 1 - value[0];
			own.new[1] = 1 - value[1];
			own.new_written[0] = number + 1;
			own.new_written[1] = number + 1
		};
		d_step { lists[self].old[0] = own.old[0];
			lists[self].old_written[0] = own.old_written[0];
			lists[self].new[0] = own.new[0];
			lists[self].new_written[0] = own.new_written[0];
			lists[self].old[1] = own.old[1];
			lists[self].old_written[1] = own.old_written[1];
			lists[self].new[1] = own.new[1];
			lists[self].new_written[1] = own.new_written[1] };
		FATE;
#endif
		d_step { n = number; is_made = made; who = by };
		if
		:: is_made ->
			/* change-seen: help. */
			FATE;
			d_step { copy.old[0] = lists[who].old[0];
				copy.old_written[0] = lists[who].old_written[0];
				copy.new[0] = lists[who].new[0];
				copy.new_written[0] = lists[who].new_written[0] };
			FATE;
			d_step { copy.old[1] = lists[who].old[1];
				copy.old_written[1] = lists[who].old_written[1];
				copy.new[1] = lists[who].new[1];
				copy.new_written[1] = lists[who].new_written[1] };
			FATE;
#ifndef BUG_NO_LOOK
			if
			:: number == n && made == MADE && by == who
			:: else -> goto again
			fi;
#endif
			FATE;
			d_step { carry(0, copy) };
			FATE;
#ifdef BUG_IDLE_FIRST
			d_step { finish(n) };
			FATE;
			d_step { carry(1, copy) };
#else
			d_step { carry(1, copy) };
			FATE;
			d_step { finish(n) };
#endif
			goto again
		:: else
		fi;
		FATE;
#ifndef BUG_LIST_FIRST
		d_step { own.old[0] = value[0]; own.old_written[0] = written[0] };
		FATE;
		d_step { own.old[1] = value[1]; own.old_written[1] = written[1] };
		/* change_is_current() */
		assert(!(number == n && made == IDLE) ||
		       own.old[0] == own.old[1]);
		d_step {
			own.new[0] = 1 - own.old[0];
			own.new[1] = 1 - own.old[1];
			own.new_written[0] = n + 1;
			own.new_written[1] = n + 1
		};
		FATE;
		d_step { lists[self].old[0] = own.old[0];
			lists[self].old_written[0] = own.old_written[0];
			lists[self].new[0] = own.new[0];
			lists[self].new_written[0] = own.new_written[0] };
		FATE;
		d_step { lists[self].old[1] = own.old[1];
			lists[self].old_written[1] = own.old_written[1];
			lists[self].new[1] = own.new[1];
			lists[self].new_written[1] = own.new_written[1] };
#endif
		FATE;
		/* change-made */
		d_step {
			if
			:: number == n && made == IDLE ->
				number = n + 1; made = MADE; by = self;
				total++; w = 1
			:: else -> w = 0
			fi
		};
		if
		:: w == 0 -> goto again
		:: else
		fi;
		FATE;
		d_step { carry(0, own) };
		FATE;
#ifdef BUG_IDLE_FIRST
		d_step { finish(n + 1) };
		FATE;
		d_step { carry(1, own) };
#else
		d_step { carry(1, own) };
		FATE;
		d_step { finish(n + 1) };
#endif
		left--
	od;
	goto stopped;
killed:	if
	:: self == 0 && !is_heir -> heirs++; goto gone
	:: else
	fi;
stopped: living--;
gone:	skip
}

init
{
	byte i;

	atomic {
		for (i : 0 .. PARTIES - 1) {
			run party(i, 0)
		}
	};
end_wait: do
	:: heirs > 0 -> heirs--; run party(0, 1)
	:: living == 0 -> break
	od;
	/* One more comes by. */
	skip;
	d_step {
		if
		:: made == MADE ->
			carry(0, lists[by]);
			carry(1, lists[by]);
			made = IDLE
		:: else
		fi
	};
	assert(value[0] == value[1]);
	assert(value[0] == total % 2)
}
