/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

/*
 * Samples of several ways at several sizes, as a table, as JSON and as a drawing
 * with both axes logarithmic.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SWEEP_SAMPLES_MAX 99
#define SWEEP_POINTS_MAX 8
#define SWEEP_SERIES_MAX 24

struct sweep_point {
	double size;
	int samples_count;
	double samples[SWEEP_SAMPLES_MAX];
	char reason[96];	/* why there is none, or "" */
};

struct sweep_series {
	const char *name;
	const char *unit;	/* "ns" is printed as a time, all else as it is */
	int points_count;
	struct sweep_point points[SWEEP_POINTS_MAX];
};

struct sweep {
	const char *title, *sizes;	/* what is measured, and what grows */
	int series_count;
	struct sweep_series series[SWEEP_SERIES_MAX];
};

/* One more series; or the one of that name. */
struct sweep_series *sweep_series(struct sweep *sweep, const char *name,
				  const char *unit);
struct sweep_point *sweep_point(struct sweep_series *series, double size);
void sweep_add(struct sweep_point *point, double value);
double sweep_median(const struct sweep_point *point);

void sweep_print(const struct sweep *sweep);

/* Members of a JSON object, without its braces. */
void sweep_write_json(const struct sweep *sweep, FILE *file);

/* A whole file, of the series in that unit. Return: false, and says why on stderr */
bool sweep_write_svg(const struct sweep *sweep, const char *unit,
		     const char *path);

/* Date, machine, versions: the first members of a JSON object. */
void sweep_write_surroundings(FILE *file, const char *commit);

/* Return: NULL or false, and says why on stderr */
FILE *sweep_open(const char *path);
bool sweep_close(FILE *file, const char *path);

#endif
