/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CURVES_H
#define BENCH_CURVES_H

/* What bench/select.c measured, as a table, as JSON and as a drawing. */

#include "way.h"

#define CURVE_POINTS 4
#define CURVE_SAMPLES_MAX 99
#define CURVES_MAX 16

/* The times of one point, in nanoseconds. */
enum curve_time {
	TIME_RECV,	/* one receive */
	TIME_SEND,	/* one send of what is wanted */
	TIME_FRESH,	/* a new process: the first receive */
	TIME_FRESH_OPEN,	/* the same, and to open the queue before */
	TIME_COUNT
};

struct point {
	uint64_t others_count;
	int samples_count;
	double ns[TIME_COUNT][CURVE_SAMPLES_MAX];
	double first_ns;	/* the very first receive; one sample */
	char reason[96];	/* why there is none, or "" */
};

/* One way and one kind of choice. */
struct curve {
	const struct way *way;
	enum wanted wanted;
	int points_count;
	struct point points[CURVE_POINTS];
};

struct curves {
	int rounds;
	const char *commit;
	int count;
	struct curve all[CURVES_MAX];
};

struct curve *curves_add(struct curves *curves, const struct way *way,
			 enum wanted wanted);
void curves_print(const struct curves *curves);

/* Return: false, and says why on stderr */
bool curves_write_json(const struct curves *curves, const char *path);
bool curves_write_svg(const struct curves *curves, const char *path);

#endif
