/* SPDX-License-Identifier: MIT */
#include "sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "surroundings.h"
#include "tolsey.h"

struct sweep_series *sweep_series(struct sweep *sweep, const char *name,
				  const char *unit)
{
	for (int i = 0; i < sweep->series_count; i++)
		if (!strcmp(sweep->series[i].name, name))
			return &sweep->series[i];
	if (sweep->series_count == SWEEP_SERIES_MAX)
		abort();
	sweep->series[sweep->series_count].name = name;
	sweep->series[sweep->series_count].unit = unit;
	return &sweep->series[sweep->series_count++];
}

struct sweep_point *sweep_point(struct sweep_series *series, double size)
{
	for (int i = 0; i < series->points_count; i++)
		if (series->points[i].size == size)
			return &series->points[i];
	if (series->points_count == SWEEP_POINTS_MAX)
		abort();
	series->points[series->points_count].size = size;
	return &series->points[series->points_count++];
}

void sweep_add(struct sweep_point *point, double value)
{
	if (point->samples_count < SWEEP_SAMPLES_MAX)
		point->samples[point->samples_count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double sweep_median(const struct sweep_point *point)
{
	double sorted[SWEEP_SAMPLES_MAX];
	size_t count = (size_t)point->samples_count;

	if (count == 0)
		return 0;
	memcpy(sorted, point->samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[count / 2];
}

/* ---- a table ---- */

static void print_value(const char *unit, double value)
{
	if (strcmp(unit, "ns") != 0)
		printf(" %9.4g %s", value, unit);
	else if (value < 1e3)
		printf(" %9.0f ns", value);
	else if (value < 1e6)
		printf(" %9.2f us", value / 1e3);
	else
		printf(" %9.2f ms", value / 1e6);
}

void sweep_print(const struct sweep *sweep)
{
	printf("%s\n", sweep->title);
	for (int s = 0; s < sweep->series_count; s++) {
		const struct sweep_series *series = &sweep->series[s];

		printf("  %s\n", series->name);
		for (int p = 0; p < series->points_count; p++) {
			const struct sweep_point *point = &series->points[p];

			printf("    %8.0f %s", point->size, sweep->sizes);
			if (point->samples_count == 0)
				printf("  not measured: %s", point->reason);
			else
				print_value(series->unit, sweep_median(point));
			printf("\n");
		}
	}
}

/* ---- JSON ---- */

FILE *sweep_open(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	return file;
}

bool sweep_close(FILE *file, const char *path)
{
	bool ok = !ferror(file);

	if (fclose(file) == 0 && ok)
		return true;
	fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	return false;
}

void sweep_write_surroundings(FILE *file, const char *commit)
{
	char cpu[128], kernel[128], date[32];
	time_t now = time(NULL);
	struct tm utc;

	surroundings_cpu(cpu, sizeof(cpu));
	surroundings_kernel(kernel, sizeof(kernel));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&now, &utc));
	fprintf(file, "  \"date\": \"%s\",\n  \"cpu\": \"%s\",\n"
		"  \"kernel\": \"%s\",\n  \"compiler\": \"%s\",\n"
		"  \"tolsey\": \"%s\",\n  \"commit\": \"%s\",\n", date, cpu,
		kernel, __VERSION__, tol_version(), commit);
}

static void write_point(FILE *file, const struct sweep_series *series,
			const struct sweep_point *point)
{
	fprintf(file, "    {\"way\": \"%s\", \"size\": %.0f, ", series->name,
		point->size);
	if (point->samples_count == 0) {
		fprintf(file, "\"not_measured\": \"%s\"}", point->reason);
		return;
	}
	fprintf(file, "\"unit\": \"%s\", \"median\": %.1f, \"samples\": [",
		series->unit, sweep_median(point));
	for (int i = 0; i < point->samples_count; i++)
		fprintf(file, "%s%.1f", i ? ", " : "", point->samples[i]);
	fprintf(file, "]}");
}

void sweep_write_json(const struct sweep *sweep, FILE *file)
{
	bool is_first = true;

	fprintf(file, "  \"title\": \"%s\",\n  \"sizes\": \"%s\",\n"
		"  \"points\": [\n", sweep->title, sweep->sizes);
	for (int s = 0; s < sweep->series_count; s++)
		for (int p = 0; p < sweep->series[s].points_count; p++) {
			fprintf(file, "%s", is_first ? "" : ",\n");
			write_point(file, &sweep->series[s],
				    &sweep->series[s].points[p]);
			is_first = false;
		}
	fprintf(file, "\n  ]\n");
}

/* ---- a drawing ---- */

#define LEFT 80.0
#define TOP 40.0
#define WIDTH 520.0
#define HEIGHT 380.0

/* Whole decades of what is drawn. */
struct range {
	double first, count;
};

static void widen(double value, double *low, double *high)
{
	if (value <= 0)
		return;
	*low = fmin(*low, floor(log10(value)));
	*high = fmax(*high, ceil(log10(value)));
}

static void find_ranges(const struct sweep *sweep, const char *unit,
			struct range *x, struct range *y)
{
	double low[2] = { 99, 99 }, high[2] = { -99, -99 };

	for (int s = 0; s < sweep->series_count; s++) {
		const struct sweep_series *series = &sweep->series[s];

		for (int p = 0; !strcmp(series->unit, unit) &&
		     p < series->points_count; p++) {
			widen(series->points[p].size, &low[0], &high[0]);
			widen(sweep_median(&series->points[p]), &low[1],
			      &high[1]);
		}
	}
	*x = (struct range){ low[0], fmax(high[0] - low[0], 1) };
	*y = (struct range){ low[1], fmax(high[1] - low[1], 1) };
}

static double at(struct range range, double value)
{
	return (log10(value) - range.first) / range.count;
}

static void draw_mark(FILE *file, const char *unit, double power)
{
	static const char *const units[] = { "ns", "\u00b5s", "ms", "s" };
	int step = (int)floor(power / 3);

	if (!strcmp(unit, "ns") && step >= 0 && step < 4)
		fprintf(file, "%.0f %s", pow(10, power - 3 * step),
			units[step]);
	else
		fprintf(file, "%g %s", pow(10, power),
			strcmp(unit, "ns") ? unit : "");
}

static void draw_axes(FILE *file, const struct sweep *sweep, const char *unit,
		      struct range rx, struct range ry)
{
	for (int i = 0; i <= (int)rx.count; i++) {
		double x = LEFT + i / rx.count * WIDTH;

		fprintf(file, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
			"%.0f</text>\n", x, TOP, TOP + HEIGHT, x,
			TOP + HEIGHT + 18, pow(10, rx.first + i));
	}
	for (int i = 0; i <= (int)ry.count; i++) {
		double y = TOP + HEIGHT - i / ry.count * HEIGHT;

		fprintf(file, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
			LEFT, y, LEFT + WIDTH, LEFT - 8, y + 4);
		draw_mark(file, unit, ry.first + i);
		fprintf(file, "</text>\n");
	}
	fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s"
		"</text>\n<text x=\"%.1f\" y=\"24\">%s, median</text>\n",
		LEFT + WIDTH / 2, TOP + HEIGHT + 38, sweep->sizes, LEFT,
		sweep->title);
}

static void draw_series(FILE *file, const struct sweep_series *series,
			int number, struct range rx, struct range ry)
{
	static const char *const colours[] = {
		"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910",
		"#555555",
	};
	static const char *const dashes[] = { "", "7 3", "2 3" };
	bool is_begun = false;
	double y = TOP + 6 + 17 * number;

	fprintf(file, "<path class=\"curve\" stroke=\"%s\" "
		"stroke-dasharray=\"%s\" d=\"", colours[number % 6],
		dashes[number / 6 % 3]);
	for (int p = 0; p < series->points_count; p++) {
		double value = sweep_median(&series->points[p]);

		if (value <= 0)
			continue;
		fprintf(file, "%s%.1f %.1f", is_begun ? "L" : "M",
			LEFT + at(rx, series->points[p].size) * WIDTH,
			TOP + HEIGHT - at(ry, value) * HEIGHT);
		is_begun = true;
	}
	fprintf(file, "M%.1f %.1fh30\"/><text x=\"%.1f\" y=\"%.1f\">%s"
		"</text>\n", LEFT + WIDTH + 15, y, LEFT + WIDTH + 52, y + 4,
		series->name);
}

bool sweep_write_svg(const struct sweep *sweep, const char *unit,
		     const char *path)
{
	struct range x, y;
	FILE *file = sweep_open(path);
	int number = 0;

	if (!file)
		return false;
	find_ranges(sweep, unit, &x, &y);
	fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" "
		"width=\"1000\" height=\"480\" viewBox=\"0 0 1000 480\">\n"
		"<style>text{font:12px sans-serif;fill:#333}"
		".grid{stroke:#ddd;fill:none}"
		".curve{fill:none;stroke-width:2}</style>\n"
		"<rect width=\"1000\" height=\"480\" fill=\"#fff\"/>\n");
	draw_axes(file, sweep, unit, x, y);
	for (int s = 0; s < sweep->series_count; s++)
		if (!strcmp(sweep->series[s].unit, unit))
			draw_series(file, &sweep->series[s], number++, x, y);
	fprintf(file, "</svg>\n");
	return sweep_close(file, path);
}
