/* SPDX-License-Identifier: MIT */
#ifndef HARNESS_H
#define HARNESS_H

/*
 * The kill harness; doc/kill-harness.md says what it shows.
 *
 * A *trial* is a process of its own: it sets a scenario up, starts a victim,
 * lets it come to one point of the operation, kills or stops it there, and looks
 * at what the survivors see. All trials of a scenario are forked from one process
 * whose memory does not change, so that the victims take the same path.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tolsey.h"

#define CAPACITY 3
#define SLEEPERS_MAX 4

struct scenario {
	const char *name;
	/* Passed before, so that the call is at that position; queued then. */
	int passed, queued;
	size_t size_bytes;		/* of bodies */
	void (*set_up)(void);
	int (*prepare)(void);		/* in the victim, not traced */
	void (*op)(void);		/* in the victim, point by point */
	void (*after)(void);		/* in a victim that was resumed */
	void (*act)(void);		/* by the survivor, once it sleeps */
	bool (*check)(void);		/* it was killed. Did it happen? */
	const char *flip;	/* the function or system call where it does */
	void (*others)(void);		/* it is stopped: what others do */
	void (*resumed)(void);		/* it has ended */
	int variants;			/* of the stop; see variant */
	bool is_faulty;			/* the harness must object */
};

/* Ends with an entry without a name. */
extern const struct scenario self_scenarios[], call_scenarios[],
	waiting_scenarios[], holding_scenarios[], changing_scenarios[],
	meeting_scenarios[], polling_scenarios[], selecting_scenarios[],
	unbounded_scenarios[], object_scenarios[], recovery_scenarios[], segment_scenarios[];

/* Of another kind: many kills in a row. Return: passed? */
bool run_latency(void);
bool run_memory(void);

/* For those: a scenario's points, and a trial of one. Return: 0 it was reached */
struct point;
bool record_points(const struct scenario *scenario);
int run_trial(const struct point *at);

/* What was asked for. */
struct options {
	const char *only_scenario;
	const char *only_point;		/* as points_key() writes it */
	int only_variant;		/* of a stop at it; -1 a kill */
	long samples;			/* random points of each; 0 all */
	unsigned long seed;
	int hang_secs;			/* how long is without end */
};

extern struct options options;

/* In a process and a space of its own. Return: passed? */
bool run_scenario(const struct scenario *scenario);

/* What all processes of a trial see. */
struct shared {
	int64_t result;			/* of the victim's call */
	uint64_t number;		/* of the message that it received */
	bool is_whole;
	bool has_happened;		/* found by check() */
	char awaited[80];
	int64_t killed_ns, ended_ns;
	uint64_t words[2];
	struct {
		int64_t result;
		uint64_t number;
		pid_t from;
		int64_t awake_ns;
	} sleepers[SLEEPERS_MAX];
};

extern struct shared *shared;
extern const struct scenario *scenario;
extern char space[64];
extern int variant;
extern bool has_acted;
extern pid_t victim_pid;

/* Ends the trial. */
__attribute__((noreturn, format(printf, 1, 2)))
void fail(const char *format, ...);

#define must(what) \
	((what) ? (void)0						\
		: fail("%s:%d: not so: %s", __FILE__, __LINE__, #what))
#define must_be(value, wanted)						\
	do {								\
		int64_t is_ = (value), wanted_ = (wanted);		\
		if (is_ != wanted_)					\
			fail("%s:%d: %s is %lld, not %lld", __FILE__,	\
			     __LINE__, #value, (long long)is_,		\
			     (long long)wanted_);			\
	} while (0)

/* For others than the victim: ends with the trial, at the latest. */
pid_t start_child(int (*body)(int index), int index);
int end_child(pid_t pid);

#endif
