/* SPDX-License-Identifier: MIT */
#ifndef POINTS_H
#define POINTS_H

/* The points of an operation: its path, and how a victim comes to one. */

#include "harness.h"
#include "trace.h"

/*
 * Before the instruction at pc, for the nth time since the operation began, or,
 * once it has slept, since it was woken: phase counts the sleeps. Or asleep in
 * that instruction.
 */
struct point {
	uint64_t pc;
	uint32_t occurrence;
	uint8_t phase;
	uint8_t code;		/* CODE_ */
	int16_t call;		/* the system call that it makes */
	bool asleep;
	bool wanted;
	int8_t outcome;
};

enum outcome { UNKNOWN, HAPPENED_NOT, HAPPENED, UNREACHED };

/* Of this scenario; the last one is behind the operation. */
extern struct point *points;

/* Makes room for the points of a scenario; those of the last are gone. */
bool points_init(void);

/* How many a trial wrote down. */
size_t points_recorded(void);

/* In a trial: steps a victim through all of it and writes the points down. */
void points_record(void);

/* In a trial: a new victim that stands at a point. Return: false it got lost */
bool points_reach(const struct point *at);

/* Is it in that function, or does it make that system call? */
bool points_is_in(const struct point *at, const char *what);

/* "ring_publish+0x85 #1", and the source line if @with_line */
void points_name(const struct point *at, bool with_line, char *buf,
		 size_t size_bytes);

/* The other way: "0x401234#2@1", or "...@0z" asleep. Return: false nonsense */
bool points_parse(const char *text, struct point *ret_point);
void points_key(const struct point *at, char *buf, size_t size_bytes);

#endif
