/* SPDX-License-Identifier: MIT */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* What was measured, as a table and as JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

#define SAMPLES_MAX 99
#define CELLS_MAX 256

/* One transport at one size, shape and mode. */
struct cell {
	const char *transport;
	size_t size_bytes;
	enum bench_mode mode;
	bool is_stream;
	int samples_count;
	double ns[SAMPLES_MAX];		/* a message, or a round trip */
	double before_ns[SAMPLES_MAX];	/* a cache line there and back, before */
	double after_ns[SAMPLES_MAX];	/* and after; 0 if there is no other */
	char reason[96];		/* why there is no sample, or "" */
};

struct report {
	int rounds;
	const char *commit;
	int cells_count;
	struct cell cells[CELLS_MAX];
};

void report_init(struct report *report, int rounds, const char *commit);
struct cell *report_cell(struct report *report, const char *transport,
			 size_t size_bytes, bool is_stream,
			 enum bench_mode mode);
void cell_add(struct cell *cell, double ns, double before_ns, double after_ns);

/* On a terminal only. */
void report_progress(const struct report *report, const struct cell *cell,
		     int round);

void report_print(const struct report *report);

/* Return: false, and says why on stderr */
bool report_write_json(const struct report *report, const char *path);

#endif
