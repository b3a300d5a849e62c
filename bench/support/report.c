/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tolsey.h>
#include <unistd.h>

#include "surroundings.h"

static const char *const mode_names[] = { "polling", "blocking" };

void report_init(struct report *report, int rounds, const char *commit)
{
	memset(report, 0, sizeof(*report));
	report->commit = commit;
	report->rounds = rounds;
}

struct cell *report_cell(struct report *report, const char *transport,
			 size_t size_bytes, bool is_stream,
			 enum bench_mode mode)
{
	struct cell *cell;

	if (report->cells_count == CELLS_MAX)
		abort();
	cell = &report->cells[report->cells_count++];
	*cell = (struct cell){
		.transport = transport,
		.size_bytes = size_bytes,
		.mode = mode,
		.is_stream = is_stream,
	};
	return cell;
}

void cell_add(struct cell *cell, double ns, double before_ns, double after_ns)
{
	cell->ns[cell->samples_count] = ns;
	cell->before_ns[cell->samples_count] = before_ns;
	cell->after_ns[cell->samples_count++] = after_ns;
}

void report_progress(const struct report *report, const struct cell *cell,
		     int round)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s, %s, %zu bytes, %s: round %d of %d",
		mode_names[cell->mode], cell->is_stream ? "stream" : "round trip",
		cell->size_bytes, cell->transport, round + 1, report->rounds);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary {
	double least, median, most;
};

static struct summary summarise(const double *values, int count)
{
	double sorted[SAMPLES_MAX];

	memcpy(sorted, values, (size_t)count * sizeof(*values));
	qsort(sorted, (size_t)count, sizeof(*sorted), compare);
	return (struct summary){ sorted[0], sorted[count / 2],
				 sorted[count - 1] };
}

static bool is_peer(const struct cell *cell)
{
	return strncmp(cell->transport, "tolsey", 6) != 0 &&
	       strncmp(cell->transport, "limit", 5) != 0;
}

static void print_time(double ns)
{
	if (ns < 1e3)
		printf(" %11.0f ns", ns);
	else
		printf(" %11.2f us", ns / 1e3);
}

/* What one message of a stream comes to. */
static void print_rate(const struct cell *cell, double ns)
{
	if (cell->size_bytes < 65536)
		printf(" %10.2f M/s", 1e3 / ns);
	else
		printf(" %9.2f GB/s", (double)cell->size_bytes / ns);
}

static void print_cell(const struct cell *cell, double ours_ns)
{
	struct summary ns, line;

	printf("  %-17s", cell->transport);
	if (cell->reason[0]) {
		printf("  not measured: %s\n", cell->reason);
		return;
	}
	ns = summarise(cell->ns, cell->samples_count);
	print_time(ns.median);
	if (cell->is_stream)
		print_rate(cell, ns.median);
	printf("   %9.0f to %.0f ns", ns.least, ns.most);
	line = summarise(cell->before_ns, cell->samples_count);
	if (line.median > 0)
		printf(", line %3.0f ns", line.median);
	if (ours_ns > 0)
		printf(", ours %.2f of it", ours_ns / ns.median);
	printf("\n");
}

static double ours_ns(const struct report *report, const struct cell *like)
{
	for (int i = 0; i < report->cells_count; i++) {
		const struct cell *cell = &report->cells[i];

		if (!strcmp(cell->transport, "tolsey") &&
		    cell->size_bytes == like->size_bytes &&
		    cell->is_stream == like->is_stream &&
		    cell->mode == like->mode && cell->samples_count > 0)
			return summarise(cell->ns, cell->samples_count).median;
	}
	return 0;
}

void report_print(const struct report *report)
{
	const struct cell *last = NULL;
	int ahead = 0, behind = 0;

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	for (int i = 0; i < report->cells_count; i++) {
		const struct cell *cell = &report->cells[i];
		double ours = ours_ns(report, cell);

		if (!last || last->size_bytes != cell->size_bytes ||
		    last->is_stream != cell->is_stream ||
		    last->mode != cell->mode)
			printf("%s%s, %zu bytes, %s\n", last ? "\n" : "",
			       cell->is_stream ? "stream" : "round trip",
			       cell->size_bytes, mode_names[cell->mode]);
		print_cell(cell, is_peer(cell) ? ours : 0);
		if (is_peer(cell) && cell->samples_count > 0 && ours > 0) {
			if (ours < summarise(cell->ns,
					     cell->samples_count).median)
				ahead++;
			else
				behind++;
		}
		last = cell;
	}
	printf("\ntolsey is ahead in %d of %d comparisons with the kernel's ways\n",
	       ahead, ahead + behind);
}

static void write_values(FILE *file, const char *key, const double *values,
			 int count)
{
	fprintf(file, "\"%s\": [", key);
	for (int i = 0; i < count; i++)
		fprintf(file, "%s%.1f", i ? ", " : "", values[i]);
	fprintf(file, "]");
}

static void write_cell(FILE *file, const struct cell *cell)
{
	fprintf(file, "    {\"transport\": \"%s\", \"bytes\": %zu, "
		"\"shape\": \"%s\", \"mode\": \"%s\", ", cell->transport,
		cell->size_bytes, cell->is_stream ? "stream" : "round_trip",
		mode_names[cell->mode]);
	if (cell->reason[0]) {
		fprintf(file, "\"not_measured\": \"%s\"}", cell->reason);
		return;
	}
	fprintf(file, "\"median_ns\": %.1f, ",
		summarise(cell->ns, cell->samples_count).median);
	write_values(file, "ns", cell->ns, cell->samples_count);
	fprintf(file, ", ");
	write_values(file, "line_before_ns", cell->before_ns,
		     cell->samples_count);
	fprintf(file, ", ");
	write_values(file, "line_after_ns", cell->after_ns,
		     cell->samples_count);
	fprintf(file, "}");
}

bool report_write_json(const struct report *report, const char *path)
{
	FILE *file = fopen(path, "we");
	char cpu[128], kernel[128], date[32];
	time_t now = time(NULL);
	struct tm utc;
	bool ok;

	if (!file) {
		fprintf(stderr, "transports: %s: %s\n", path, strerror(errno));
		return false;
	}
	surroundings_cpu(cpu, sizeof(cpu));
	surroundings_kernel(kernel, sizeof(kernel));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&now, &utc));
	fprintf(file, "{\n  \"date\": \"%s\",\n  \"cpu\": \"%s\",\n"
		"  \"kernel\": \"%s\",\n  \"compiler\": \"%s\",\n"
		"  \"tolsey\": \"%s\",\n  \"commit\": \"%s\",\n  \"rounds\": %d,\n  \"cells\": [\n",
		date, cpu, kernel, __VERSION__, tol_version(),
		report->commit, report->rounds);
	for (int i = 0; i < report->cells_count; i++) {
		write_cell(file, &report->cells[i]);
		fprintf(file, "%s\n", i + 1 < report->cells_count ? "," : "");
	}
	fprintf(file, "  ]\n}\n");
	ok = !ferror(file);
	if (fclose(file) != 0 || !ok) {
		fprintf(stderr, "transports: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}
