/* SPDX-License-Identifier: MIT */
#include "curves.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "surroundings.h"

static const struct {
	const char *key, *text;
} wanteds[WANTED_COUNT] = {
	{ "tag_of_two", "a tag; the others have one other" },
	{ "tag_of_many", "a tag; the others have each its own" },
	{ "set_of_64", "one of 64 tags; the others have each its own" },
	{ "range", "a range of tags; the others have each its own" },
	{ "all_but", "all but a tag, which the others have" },
	{ "lowest", "the lowest tag up to 10; the others have each its own" },
	{ "sender", "a sender; the others are another's" },
	{ "priority", "the highest priority" },
};

static const char *const time_keys[TIME_COUNT] = {
	"recv_ns", "send_ns", "fresh_recv_ns", "fresh_open_and_recv_ns",
};

struct curve *curves_add(struct curves *curves, const struct way *way,
			 enum wanted wanted)
{
	struct curve *curve;

	if (curves->count == CURVES_MAX)
		abort();
	curve = &curves->all[curves->count++];
	curve->way = way;
	curve->wanted = wanted;
	return curve;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct point *point, enum curve_time what)
{
	double sorted[CURVE_SAMPLES_MAX];
	size_t count = (size_t)point->samples_count;

	memcpy(sorted, point->ns[what], count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[count / 2];
}

static void print_time(double ns)
{
	if (ns < 1e3)
		printf(" %9.0f ns", ns);
	else if (ns < 1e6)
		printf(" %9.2f us", ns / 1e3);
	else
		printf(" %9.2f ms", ns / 1e6);
}

static void print_point(const struct curve *curve, const struct point *point)
{
	printf("  %-9s %8llu", curve->way->name,
	       (unsigned long long)point->others_count);
	if (point->reason[0]) {
		printf("  not measured: %s\n", point->reason);
		return;
	}
	for (int what = 0; what < TIME_COUNT; what++)
		print_time(median(point, (enum curve_time)what));
	print_time(point->first_ns);
	printf("\n");
}

void curves_print(const struct curves *curves)
{
	for (int w = 0; w < WANTED_COUNT; w++) {
		printf("%s%s\n  %-9s %8s %12s %12s %12s %12s %12s\n",
		       w ? "\n" : "", wanteds[w].text, "", "others", "receive",
		       "send", "new process", "and open", "first ever");
		for (int c = 0; c < curves->count; c++)
			for (int p = 0; (int)curves->all[c].wanted == w &&
			     p < curves->all[c].points_count; p++)
				print_point(&curves->all[c],
					    &curves->all[c].points[p]);
	}
}

static void write_point(FILE *file, const struct curve *curve,
			const struct point *point)
{
	fprintf(file, "    {\"wanted\": \"%s\", \"way\": \"%s\", "
		"\"others\": %llu, ", wanteds[curve->wanted].key,
		curve->way->name, (unsigned long long)point->others_count);
	if (point->reason[0]) {
		fprintf(file, "\"not_measured\": \"%s\"}", point->reason);
		return;
	}
	for (int what = 0; what < TIME_COUNT; what++) {
		fprintf(file, "\"median_%s\": %.1f, \"%s\": [",
			time_keys[what], median(point, (enum curve_time)what),
			time_keys[what]);
		for (int i = 0; i < point->samples_count; i++)
			fprintf(file, "%s%.1f", i ? ", " : "",
				point->ns[what][i]);
		fprintf(file, "], ");
	}
	fprintf(file, "\"first_ever_ns\": %.1f}", point->first_ns);
}

static FILE *open_file(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		fprintf(stderr, "select: %s: %s\n", path, strerror(errno));
	return file;
}

static bool close_file(FILE *file, const char *path)
{
	bool ok = !ferror(file);

	if (fclose(file) == 0 && ok)
		return true;
	fprintf(stderr, "select: %s: %s\n", path, strerror(errno));
	return false;
}

bool curves_write_json(const struct curves *curves, const char *path)
{
	FILE *file = open_file(path);
	char cpu[128], kernel[128], date[32];
	time_t now = time(NULL);
	struct tm utc;
	bool is_first = true;

	if (!file)
		return false;
	surroundings_cpu(cpu, sizeof(cpu));
	surroundings_kernel(kernel, sizeof(kernel));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&now, &utc));
	fprintf(file, "{\n  \"date\": \"%s\",\n  \"cpu\": \"%s\",\n"
		"  \"kernel\": \"%s\",\n  \"compiler\": \"%s\",\n"
		"  \"tolsey\": \"%s\",\n  \"commit\": \"%s\",\n"
		"  \"rounds\": %d,\n  \"points\": [\n", date, cpu, kernel,
		__VERSION__, tol_version(), curves->commit, curves->rounds);
	for (int c = 0; c < curves->count; c++)
		for (int p = 0; p < curves->all[c].points_count; p++) {
			fprintf(file, "%s", is_first ? "" : ",\n");
			write_point(file, &curves->all[c],
				    &curves->all[c].points[p]);
			is_first = false;
		}
	fprintf(file, "\n  ]\n}\n");
	return close_file(file, path);
}

/* ---- the drawing: both axes logarithmic ---- */

#define LEFT 70.0
#define TOP 40.0
#define WIDTH 520.0
#define HEIGHT 380.0
#define DECADES_X 5.0		/* 10 to 1,000,000 */
#define DECADES_Y 6.0		/* 100 ns to 100 ms */

static double at_x(uint64_t count)
{
	return LEFT + (log10((double)count) - 1) / DECADES_X * WIDTH;
}

static double at_y(double ns)
{
	return TOP + HEIGHT - (log10(ns) - 2) / DECADES_Y * HEIGHT;
}

static void draw_axes(FILE *file)
{
	static const char *const times[] = {
		"100 ns", "1 \u00b5s", "10 \u00b5s", "100 \u00b5s", "1 ms",
		"10 ms", "100 ms",
	};

	for (int i = 0; i <= (int)DECADES_X; i++) {
		double x = LEFT + i / DECADES_X * WIDTH;

		fprintf(file, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
			"%.0f</text>\n", x, TOP, TOP + HEIGHT, x,
			TOP + HEIGHT + 18, pow(10, i + 1));
	}
	for (int i = 0; i <= (int)DECADES_Y; i++) {
		double y = TOP + HEIGHT - i / DECADES_Y * HEIGHT;

		fprintf(file, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s"
			"</text>\n", LEFT, y, LEFT + WIDTH, LEFT - 8, y + 4,
			times[i]);
	}
	fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
		"messages queued that are not wanted</text>\n",
		LEFT + WIDTH / 2, TOP + HEIGHT + 38);
	fprintf(file, "<text x=\"%.1f\" y=\"24\">time of one receive of the one "
		"that is wanted, median</text>\n", LEFT);
}

static void draw_curve(FILE *file, const struct curve *curve, int number)
{
	static const char *const dashes[WANTED_COUNT] = {
		"", "6 3", "8 2", "2 3", "9 3 2 3", "1 4", "12 4", "4 2",
	};
	const char *colour = curve->way == &way_tolsey ? "#1b6ca8"
			   : curve->way == &way_sysv ? "#c0392b" : "#2e8b57";
	bool is_begun = false;
	double y = TOP + 6 + 17 * number;

	fprintf(file, "<path class=\"curve\" stroke=\"%s\" "
		"stroke-dasharray=\"%s\" d=\"", colour, dashes[curve->wanted]);
	for (int p = 0; p < curve->points_count; p++) {
		const struct point *point = &curve->points[p];

		if (point->reason[0])
			continue;
		fprintf(file, "%s%.1f %.1f", is_begun ? "L" : "M",
			at_x(point->others_count),
			at_y(median(point, TIME_RECV)));
		is_begun = true;
	}
	fprintf(file, "M%.1f %.1fh30\"/><text x=\"%.1f\" y=\"%.1f\">%s: %s"
		"</text>\n", LEFT + WIDTH + 15, y, LEFT + WIDTH + 52, y + 4,
		curve->way->name, wanteds[curve->wanted].text);
}

bool curves_write_svg(const struct curves *curves, const char *path)
{
	FILE *file = open_file(path);

	if (!file)
		return false;
	fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" "
		"width=\"1040\" height=\"480\" viewBox=\"0 0 1040 480\">\n"
		"<style>text{font:12px sans-serif;fill:#333}"
		".grid{stroke:#ddd;fill:none}"
		".curve{fill:none;stroke-width:2}</style>\n"
		"<rect width=\"1040\" height=\"480\" fill=\"#fff\"/>\n");
	draw_axes(file);
	for (int c = 0; c < curves->count; c++)
		draw_curve(file, &curves->all[c], c);
	fprintf(file, "</svg>\n");
	return close_file(file, path);
}
