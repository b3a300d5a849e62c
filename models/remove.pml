/* SPDX-License-Identifier: MIT */
/*
 * Removal: doc/mailbox-protocol.md, section 5; src/core/mailbox_state.c.
 *
 * Removers and users of one mailbox, each killed or stopped after any step. Users
 * have nothing to receive: they sleep until it is removed. The removal happens
 * when the name is renamed away.
 *
 * Claim, checked whenever nothing can move any more: if the name is gone and
 * somebody was able to see it (a user that is alive and not stopped), nobody
 * sleeps and the control word says REMOVED; and as long as the name is there the word
 * never says REMOVED. After a stop it holds once one more call was made.
 */
#ifndef USERS
#define USERS 2		/* that sleep */
#endif
#ifndef LOOKERS
#define LOOKERS 1	/* that make one call without waiting */
#endif
#ifndef REMOVERS
#define REMOVERS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif

#define LIVE 0
#define REMOVED 99
/* REMOVING: 1 + the number of the remover */

#define MAX (USERS + LOOKERS + 1)

byte control = LIVE;
bit name_is_there = 1;
byte removers_alive;			/* bytes that are locked */
bit alive[REMOVERS + 1];
byte epoch, asleep;
chan on_bell = [MAX] of { byte };
chan on_epoch = [MAX] of { byte };
bit woken[MAX];
byte kills = KILLS, stops = STOPS;
bit is_stopped, is_probed, somebody_finished;

#define FATE \
	if \
	:: skip \
	:: kills > 0 -> kills--; goto dying \
	:: stops > 0 -> stops--; is_stopped = 1; goto end_stopped \
	fi

inline wake_all()
{
	do
	:: on_epoch ? y -> woken[y] = 1
	:: empty(on_epoch) -> break
	od;
	y = 0
}

inline die_armed()
{
	if
	:: on_bell ? y -> woken[y] = 1
	:: empty(on_bell)
	fi;
	y = 0
}

inline unqueue()
{
	if
	:: on_bell ?? [eval(me)] -> on_bell ?? eval(me)
	:: else
	fi;
	if
	:: on_epoch ?? [eval(me)] -> on_epoch ?? eval(me)
	:: else
	fi
}

inline set_removed()
{
	assert(!name_is_there);
	control = REMOVED
}

proctype user(byte me; bit may_wait)
{
	byte seen, e, y;
	bit announced, sleeping, dies, slice;

check:
	atomic {
		seen = control;
		FATE;
		if
		:: seen == LIVE -> goto go_on
		:: seen == REMOVED ->
#ifdef BUG_REMOVED_SILENT
			goto done
#else
			goto wake_others
#endif
		:: else
		fi
	}
	/* REMOVING */
#ifdef BUG_NAME_FIRST
	atomic {
		FATE;
		if
		:: !name_is_there -> goto finish
		:: else
		fi
	}
	atomic {
		FATE;
		if
		:: removers_alive > 0 -> slice = 1; goto go_on
		:: else
		fi
	}
#else
	atomic {
#ifdef BUG_ONE_REMOVER
		dies = !alive[seen - 1];
#else
		dies = removers_alive == 0;
#endif
		FATE
	}
	atomic {
		FATE;
		if
		:: !name_is_there -> dies = 0; goto finish
		:: name_is_there && !dies ->
#ifndef BUG_NO_SLICE
			slice = 1;
#endif
			goto go_on
		:: else -> dies = 0
		fi
	}
#endif
	atomic {
		if
		:: control == seen -> control = LIVE
		:: else
		fi;
		FATE;
		goto go_on
	}
finish:
	atomic { set_removed(); FATE }
wake_others:
	atomic { epoch++; FATE }
	atomic { wake_all(); somebody_finished = 1; FATE; goto done }
go_on:
	if
	:: !may_wait -> goto done
	:: may_wait && slice ->		/* sleeps for a short time only */
		atomic { slice = 0; announced = 0; FATE; goto check }
	:: may_wait && !slice && !announced ->
		atomic { announced = 1; e = epoch; FATE; goto check }
	:: else
	fi;
	atomic { on_bell ! me; FATE }
	atomic {
		if
#ifndef BUG_NO_EPOCH
		:: epoch != e -> goto awake
#endif
		:: else -> on_epoch ! me; asleep++; sleeping = 1
		fi;
		if
		:: true
		:: kills > 0 -> kills--; dies = 1
		fi
	}
end_sleep:
	atomic {
		if
		:: woken[me]
		:: dies -> dies = 0; goto dying
		fi
	}
awake:
	atomic {
		unqueue();
		asleep = asleep - sleeping;
		sleeping = 0;
		kills = kills + dies;
		dies = 0;
		announced = 0;
		woken[me] = 0;
		e = 0;
		FATE;
		goto check
	}
dying:
	atomic {
		unqueue();
		asleep = asleep - sleeping;
		sleeping = 0;
		woken[me] = 0
	}
	atomic { die_armed(); goto done }
end_stopped:
	false;
done:
	atomic { seen = 0; e = 0; announced = 0; dies = 0; slice = 0 }
}

proctype remover(byte r)
{
	byte y;
	bit announced;

	atomic { alive[r] = 1; removers_alive++ }
	atomic {
#ifdef BUG_UNANNOUNCED
		if
		:: control == LIVE -> control = 1 + r
		:: else
		fi;
#else
		if
		:: control != REMOVED -> control = 1 + r
		:: else
		fi;
#endif
		FATE
	}
#ifndef BUG_NO_TURNING_AWAY
	atomic { epoch++; FATE }	/* those on their way in look again */
#endif
#ifdef BUG_REMOVED_FIRST
	atomic { control = REMOVED; FATE }
#endif
	atomic { name_is_there = 0; FATE }	/* or -ENOENT: another one did */
	atomic { set_removed(); FATE }
	atomic { epoch++; FATE }
	atomic { wake_all(); somebody_finished = 1; FATE; goto gone }
dying:
#ifndef BUG_NOT_ARMED
	atomic { die_armed(); goto gone }	/* threads end before files close */
#else
	goto gone;
#endif
end_stopped:
	false;
gone:
	atomic { alive[r] = 0; removers_alive-- }
}

init {
	atomic {
		byte i;

		for (i : 0 .. USERS - 1) {
			run user(i, 1)
		}
		for (i : USERS .. USERS + LOOKERS - 1) {
			run user(i, 0)
		}
		for (i : 0 .. REMOVERS - 1) {
			run remover(i)
		}
		i = 0
	}
end_quiet:
	atomic {
		timeout ->
		if
		:: is_stopped && !is_probed ->
			is_probed = 1;
			kills = 0; stops = 0;
			run user(USERS + LOOKERS, 0);
			goto end_quiet
		:: else
		fi;
		/* Nobody was there to see it: the next one will. */
		assert(name_is_there || asleep == 0);
		assert(name_is_there || control != LIVE);
		assert(!name_is_there || control != REMOVED)
	}
}
