/* SPDX-License-Identifier: MIT */
/* Runs a scenario: which points, in which trials, and what is to come out. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "points.h"
#include "world.h"

#define TICKS_A_SEC 20
#define TRIES_MAX 5
#define NEIGHBOURS 6		/* of the flip that are tried in any case */
#define AGAIN_AT_FLIP 3

#define EXIT_FAILED 1
#define EXIT_LOST 3
#define EXIT_HANGS 4

struct shared *shared;
const struct scenario *scenario;
char space[64];
int variant = -1;		/* of a stop; -1 the victim is killed */
bool has_acted;
pid_t victim_pid;

static const struct point *point_now;
static pid_t trial_pid;
static volatile sig_atomic_t ticks;
static size_t points_count;

/* ---- a trial ---- */

static void say_where(void)
{
	char name[400], key[80], stop[32] = "";

	if (!point_now)
		return;
	points_name(point_now, true, name, sizeof(name));
	points_key(point_now, key, sizeof(key));
	if (variant >= 0)
		snprintf(stop, sizeof(stop), " --stop %d", variant);
	printf("%s, %s before %s: ", scenario->name,
	       variant < 0 ? "killed" : "stopped", name);
	printf("again: tests/kill/run --scenario '%s' --point %s%s"
	       " (seed %lu)\n", scenario->name, key, stop, options.seed);
}

void fail(const char *format, ...)
{
	va_list args;

	say_where();
	va_start(args, format);
	printf("%s: ", scenario->name);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(EXIT_FAILED);
}

pid_t start_child(int (*body)(int index), int index)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(body(index));
	}
	return pid;
}

int end_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		must(errno == EINTR);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *what_is_awaited = "the victim, to end";

void waiting_for(const char *what)
{
	what_is_awaited = what;
}

/* Interrupts a wait, so that it looks; and ends a trial that hangs. */
static void tick(int signal)
{
	(void)signal;
	if (++ticks <= options.hang_secs * TICKS_A_SEC || getpid() != trial_pid)
		return;
	strcpy(shared->awaited, what_is_awaited);
	_exit(EXIT_HANGS);
}

static void start_clock(void)
{
	struct sigaction action = { .sa_handler = tick };
	struct timeval tick_time = { 0, 1000000 / TICKS_A_SEC };
	struct itimerval timer = { tick_time, tick_time };

	trial_pid = getpid();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Nothing is left, of the dead either. */
static void check_space_clean(void)
{
	struct tol_mailbox_stat stat;

	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must_be(tol_space_clean(NULL, 0, NULL, NULL), 0);
	if (tol_mailbox_stat("box", NULL, &stat, NULL, NULL) == 0) {
		must_be(stat.dead_count, 0);
		must(stat.senders_count <= (link_here ? 1 : 0));
	}
	tol_close(link_here);
	tol_mailbox_remove("box", NULL);
	tol_segment_remove("seg", NULL);
	if (rmdir(space) < 0 || mkdir(space, 0700) < 0)
		fail("something hidden is left in the space");
}

static void kill_and_check(void)
{
	shared->killed_ns = now_ns();
	must(kill(victim_pid, SIGKILL) == 0);
	must_be(end_child(victim_pid), -SIGKILL);
	shared->ended_ns = now_ns();
	shared->has_happened = scenario->check();
	check_space_clean();
}

static void stop_and_check(bool asleep)
{
	must(trace_leave_stopped(victim_pid, asleep));
	scenario->others();
	waiting_for("the victim, resumed, to end");
	must(kill(victim_pid, SIGCONT) == 0);
	must_be(end_child(victim_pid), 0);
	scenario->resumed();
	check_space_clean();
}

static void try_point(const struct point *at)
{
	point_now = at;
	if (!points_reach(at))
		_exit(EXIT_LOST);
	if (variant < 0)
		kill_and_check();
	else
		stop_and_check(at->asleep);
}

int run_trial(const struct point *at)
{
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return EXIT_FAILED;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start_clock();
		if (at)
			try_point(at);
		else
			points_record();
		_exit(0);
	}
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFEXITED(status) && WEXITSTATUS(status) != EXIT_HANGS)
		return WEXITSTATUS(status);
	point_now = at;
	say_where();
	if (WIFEXITED(status))
		printf("%s: it waits without end for %s\n", scenario->name,
		       shared->awaited);
	else
		printf("%s: the trial crashed\n", scenario->name);
	return EXIT_FAILED;
}

/* ---- a scenario ---- */

struct summary {
	size_t killed, stopped, lost;
	size_t before, after;	/* the flip is between these two points */
	struct point lost_at;	/* the last one that was lost */
};

static void empty_space(void)
{
	DIR *dir = opendir(space);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* Return: false the trial failed */
static bool try(size_t i, struct summary *summary)
{
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		int status = run_trial(&points[i]);

		if (status == 0) {
			points[i].outcome = shared->has_happened
						    ? HAPPENED : HAPPENED_NOT;
			return true;
		}
		empty_space();
		if (status != EXIT_LOST)
			return false;
	}
	points[i].outcome = UNREACHED;
	summary->lost_at = points[i];
	summary->lost++;
	return true;
}

/*
 * Next to system calls and atomic instructions, where what others see changes,
 * and at random; without samples all.
 */
static void choose(size_t count)
{
	for (size_t i = 0; i < points_count; i++) {
		bool near = points[i].asleep || i + 1 == points_count ||
			    (points[i].code & (CODE_SYSCALL | CODE_LOCKED)) ||
			    (i > 0 && (points[i - 1].code &
				       (CODE_SYSCALL | CODE_LOCKED)));

		points[i].wanted = options.samples == 0 || (near && count > 0);
		points[i].outcome = UNKNOWN;
	}
	for (size_t i = 0; options.samples > 0 && i < count; i++)
		points[(size_t)random() % points_count].wanted = true;
}

/* Return: false it happened before one point and not before a later one */
static bool look_for_flip(struct summary *summary)
{
	summary->before = 0;
	summary->after = points_count;
	for (size_t i = 0; i < points_count; i++) {
		if (points[i].outcome == HAPPENED_NOT)
			summary->before = i;
		else if (points[i].outcome == HAPPENED && summary->after > i)
			summary->after = i;
	}
	return summary->after > summary->before;
}

/*
 * A point is a number of times that an instruction has run. Where a random number is
 * printed its digits are more or fewer by run, and a point lies before the flip or
 * behind it: it says nothing, as one that was not reached.
 */
static bool is_steady(size_t i, struct summary *summary)
{
	int outcome = (int)points[i].outcome;

	for (int n = 0; n < AGAIN_AT_FLIP; n++) {
		if (!try(i, summary))
			return true;
		if ((int)points[i].outcome == outcome)
			continue;
		points[i].outcome = UNREACHED;
		summary->lost_at = points[i];
		summary->lost++;
		return false;
	}
	return true;
}

static bool find_flip(struct summary *summary)
{
	size_t before, after;
	char name[400];

	do {
		if (look_for_flip(summary))
			return true;
		before = summary->before;
		after = summary->after;
	} while (!is_steady(before, summary) || !is_steady(after, summary));
	point_now = &points[before];
	say_where();
	points_name(&points[after], false, name, sizeof(name));
	printf("%s: undone: it had happened already at %s\n", scenario->name,
	       name);
	return false;
}

/* Both sides of the flip, until they are neighbours. */
static bool narrow(struct summary *summary)
{
	while (summary->after - summary->before > 1) {
		size_t middle = summary->before +
				(summary->after - summary->before) / 2;

		while (points[middle].outcome == UNREACHED &&
		       middle > summary->before)
			middle--;
		if (middle == summary->before)
			return false;
		if (!try(middle, summary))
			return false;
		summary->killed++;
		if (!find_flip(summary))
			return false;
	}
	return true;
}

static bool surround(struct summary *summary)
{
	size_t first = summary->before > NEIGHBOURS
			       ? summary->before - NEIGHBOURS : 0;
	size_t before = summary->before;

	for (size_t i = first; i < before + NEIGHBOURS && i < points_count;
	     i++, summary->killed++)
		if (points[i].outcome == UNKNOWN && !try(i, summary))
			return false;
	for (int n = 0; n < AGAIN_AT_FLIP; n++, summary->killed += 2)
		if (!try(before, summary) || !try(before + 1, summary))
			return false;
	return find_flip(summary) && summary->before == before;
}

static bool check_flip(struct summary *summary)
{
	const struct point *flip;
	char name[400];

	if (!find_flip(summary))
		return false;
	if (!scenario->flip) {
		if (summary->after == points_count)
			return true;
		printf("%s: an effect was left\n", scenario->name);
		return false;
	}
	if (summary->after == points_count) {
		printf("%s: it never happens\n", scenario->name);
		return false;
	}
	if (!narrow(summary) || !surround(summary)) {
		printf("%s: no single instruction\n", scenario->name);
		return false;
	}
	flip = &points[summary->before];
	if (!points_is_in(flip, scenario->flip)) {
		points_name(flip, true, name, sizeof(name));
		printf("%s: happens at %s, not in %s\n", scenario->name, name,
		       scenario->flip);
		return false;
	}
	return true;
}

static bool kill_at_points(struct summary *summary)
{
	variant = -1;
	choose((size_t)options.samples);
	for (size_t i = 0; i < points_count; i++) {
		if (!points[i].wanted)
			continue;
		if (!try(i, summary))
			return false;
		summary->killed++;
	}
	return check_flip(summary);
}

/* At the same kind of points, and around the flip. */
static bool stop_at_points(struct summary *summary)
{
	size_t flip = scenario->flip ? summary->before : points_count;

	for (variant = 0; variant < scenario->variants; variant++) {
		choose((size_t)options.samples);
		for (size_t i = flip > NEIGHBOURS ? flip - NEIGHBOURS : 0;
		     i < flip + NEIGHBOURS && i < points_count; i++)
			points[i].wanted |= flip < points_count;
		for (size_t i = 0; i < points_count; i++) {
			if (!points[i].wanted)
				continue;
			if (!try(i, summary))
				return false;
			summary->stopped++;
		}
	}
	return true;
}

static void report(const struct summary *summary, const struct point *flip)
{
	char name[400] = "nowhere";

	if (scenario->flip)
		points_name(flip, true, name, sizeof(name));
	printf("%s: %zu points, killed at %zu, stopped at %zu",
	       scenario->name, points_count, summary->killed,
	       summary->stopped);
	printf(", happens at %s\n", name);
	if (summary->lost == 0)
		return;
	points_name(&summary->lost_at, true, name, sizeof(name));
	printf("%s: %zu points were not reached, such as %s\n",
	       scenario->name, summary->lost, name);
}

static bool try_one_point(void)
{
	struct point at;
	int status;

	if (!points_parse(options.only_point, &at))
		return false;
	variant = options.only_variant;
	status = run_trial(&at);
	if (status == 0)
		printf("%s: %s\n", scenario->name,
		       variant >= 0 ? "right" : shared->has_happened
				? "happened" : "did not happen");
	return status == 0;
}

bool record_points(const struct scenario *s)
{
	scenario = s;
	if (!points_init() || run_trial(NULL) != 0)
		return false;
	empty_space();
	points_count = points_recorded();
	return true;
}

bool run_scenario(const struct scenario *s)
{
	struct summary summary = { 0 };
	struct point flip;

	srandom((unsigned int)options.seed);
	if (!record_points(s))
		return false;
	if (options.only_point)
		return try_one_point();
	if (!kill_at_points(&summary))
		return false;
	flip = points[summary.before];
	if (s->others && !stop_at_points(&summary))
		return false;
	/* A path that is never the same would not be tested at all. */
	if (summary.lost * 20 > summary.killed + summary.stopped) {
		printf("%s: %zu points were not reached\n", s->name,
		       summary.lost);
		return false;
	}
	report(&summary, &flip);
	return true;
}
