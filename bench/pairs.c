/* SPDX-License-Identifier: MIT */
/*
 * pairs: does looking before sleeping pay, or hurt? N pairs of processes send a message
 * to and fro, with more processes than CPUs or all on one CPU, as they are and told never
 * to look before they sleep.
 *
 * usage: pairs [--quick] [--rounds N] [--json FILE] [--svg FILE] [--commit TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "surroundings.h"
#include "sweep.h"
#include "tolsey.h"

static const int sizes[] = { 1, 2, 4, 8 };

static const struct way {
	const char *name;
	unsigned int flags;
	int is_on_one_cpu;
} ways[] = {
	{ "all CPUs", 0, 0 },
	{ "all CPUs, asleep at once", TOL_SPIN_NEVER, 0 },
	{ "one CPU", 0, 1 },
	{ "one CPU, asleep at once", TOL_SPIN_NEVER, 1 },
};

#define WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void stop(const char *what, int error)
{
	fprintf(stderr, "pairs: %s: %s\n", what, strerror(error));
	exit(1);
}

static struct tol_link *open_end(const struct way *way, char end, int pair)
{
	const struct tol_open_opts opts = { .flags = way->flags };
	struct tol_link *link = NULL;
	char name[16];

	snprintf(name, sizeof(name), "%c%d", end, pair);
	if (tol_open(&link, name, &opts) < 0)
		_exit(1);
	return link;
}

static void bounce(const struct way *way, int pair, int is_first, int trips)
{
	struct tol_link *out = open_end(way, is_first ? 'a' : 'b', pair);
	struct tol_link *in = open_end(way, is_first ? 'b' : 'a', pair);
	cpu_set_t one;
	char body[8] = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (way->is_on_one_cpu)
		sched_setaffinity(0, sizeof(one), &one);
	for (int i = 0; i < trips; i++)
		if ((is_first && tol_send(out, body, 8, TOL_FOREVER) < 0) ||
		    tol_recv(in, body, 8, TOL_FOREVER) != 8 ||
		    (!is_first && tol_send(out, body, 8, TOL_FOREVER) < 0))
			_exit(2);
	_exit(0);
}

static void make_or_remove(int pairs, int is_made)
{
	char name[16];

	for (int i = 0; i < 2 * pairs; i++) {
		snprintf(name, sizeof(name), "%c%d", i % 2 ? 'a' : 'b', i / 2);
		if (is_made && tol_mailbox_create(name, 4, NULL) < 0)
			stop("creating", EEXIST);
		if (!is_made)
			tol_mailbox_remove(name, NULL);
	}
}

static void sample(const struct way *way, struct sweep_point *point, int pairs,
		   int trips)
{
	int64_t start_ns;
	int status, failed = 0;

	make_or_remove(pairs, 1);
	start_ns = now_ns();
	for (int i = 0; i < 2 * pairs; i++)
		if (fork() == 0)
			bounce(way, i / 2, i % 2, trips);
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		stop("a process", ECHILD);
	sweep_add(point, (double)(now_ns() - start_ns) / trips / pairs);
	make_or_remove(pairs, 0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "json", required_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 's' },
		{ "commit", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	static struct sweep sweep = {
		.title = "time of a round trip of any of N pairs",
		.sizes = "pairs",
	};
	const char *json = NULL, *svg = NULL, *commit = "unknown";
	int rounds = 5, trips = 20000, option;
	FILE *file;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q')
			rounds = 1, trips = 200;
		else if (option == 'r')
			rounds = atoi(optarg);
		else if (option == 'j')
			json = optarg;
		else if (option == 's')
			svg = optarg;
		else if (option == 'c')
			commit = optarg;
		else
			return 2;
	}
	if (optind != argc || rounds < 1 || rounds > SWEEP_SAMPLES_MAX) {
		fprintf(stderr, "pairs: --rounds is 1 to %d\n",
			SWEEP_SAMPLES_MAX);
		return 2;
	}
	for (int s = 0; s < 4; s++)
		for (int round = 0; round < rounds; round++)
			for (int w = 0; w < WAYS; w++)
				sample(&ways[w],
				       sweep_point(sweep_series(&sweep,
								ways[w].name,
								"ns"),
						   sizes[s]),
				       sizes[s], trips / sizes[s]);
	sweep_print(&sweep);
	if (json) {
		file = sweep_open(json);
		if (!file)
			return 1;
		fprintf(file, "{\n");
		sweep_write_surroundings(file, commit);
		fprintf(file, "  \"rounds\": %d,\n", rounds);
		sweep_write_json(&sweep, file);
		fprintf(file, "}\n");
		if (!sweep_close(file, json))
			return 1;
	}
	return svg && !sweep_write_svg(&sweep, "ns", svg);
}
