/* SPDX-License-Identifier: MIT */
/* Many kills: how soon the survivor runs, and what memory is left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "points.h"
#include "world.h"

#define ROUNDS 100
#define KILLS 300
#define KILLS_A_CLEAN 50

/* Of the table of senders, whole pages. */
#define SENDERS_BYTES ((KILLS - KILLS_A_CLEAN) / 64 * 4096u + 4096u)

/* ---- how soon ---- */

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

static const struct scenario *find_scenario(const struct scenario *list,
					    const char *name)
{
	while (list->name && strcmp(list->name, name) != 0)
		list++;
	return list->name ? list : NULL;
}

/* The point behind the atomic instruction, or the call, where it happens. */
static size_t find_flip(void)
{
	for (size_t i = 0; i + 1 < points_recorded(); i++)
		if ((points[i].code & (CODE_LOCKED | CODE_SYSCALL)) &&
		    points_is_in(&points[i], scenario->flip))
			return i + 1;
	return 0;
}

/* The later of the two, if two slept. */
static int64_t awake_ns(void)
{
	int64_t first = shared->sleepers[0].awake_ns;
	int64_t second = shared->sleepers[1].awake_ns;

	return first > second ? first : second;
}

static bool measure(const struct scenario *s)
{
	int64_t from_kill[ROUNDS], from_end[ROUNDS];
	size_t flip;

	if (!s || !record_points(s))
		return false;
	flip = find_flip();
	for (int i = 0; i < ROUNDS; i++) {
		if (run_trial(&points[flip]) != 0 || !shared->has_happened)
			return false;
		from_kill[i] = awake_ns() - shared->killed_ns;
		from_end[i] = awake_ns() - shared->ended_ns;
	}
	qsort(from_kill, ROUNDS, sizeof(from_kill[0]), compare);
	qsort(from_end, ROUNDS, sizeof(from_end[0]), compare);
	printf("latency, %s: %d kills; microseconds from the kill p50 %.0f max"
	       " %.0f, from the end as its parent sees it p50 %.0f max %.0f\n",
	       s->name, ROUNDS, (double)from_kill[ROUNDS / 2] / 1e3,
	       (double)from_kill[ROUNDS - 1] / 1e3,
	       (double)from_end[ROUNDS / 2] / 1e3,
	       (double)from_end[ROUNDS - 1] / 1e3);
	return true;
}

bool run_latency(void)
{
	return measure(find_scenario(call_scenarios, "send to a sleeper")) &&
	       measure(find_scenario(call_scenarios,
				     "recv before a sleeper")) &&
	       measure(find_scenario(object_scenarios,
				     "remove, receivers asleep"));
}

/* ---- what is left behind ---- */

struct use {
	uint64_t memory_bytes;
	int names_count;
};

static struct use measure_space(void)
{
	DIR *dir = opendir(space);
	struct use use = { 0 };
	struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			use.memory_bytes += (uint64_t)st.st_blocks * 512;
		use.names_count++;
	}
	if (dir)
		closedir(dir);
	return use;
}

static void begin_ledger(void)
{
	numbers_sent = 0;
	victims_seen = 0;
	memset(numbers_seen, 0, sizeof(numbers_seen));
}

/* One that ended before it came to the point has been waited for. */
static void kill_victim(void)
{
	kill(victim_pid, SIGKILL);
	while (waitpid(victim_pid, &(int){ 0 }, 0) < 0 && errno == EINTR)
		;
}

static void kill_one_more(void)
{
	begin_ledger();
	if (scenario->queued)
		put();
	points_reach(&points[(size_t)random() % points_recorded()]);
	kill_victim();
	take_all_by(link_here, scenario->queued);
}

/* All on one mailbox, whose other user stays. */
static int kill_many(int index)
{
	struct use first = { 0 }, before, after = { 0 };
	uint64_t most_bytes = 0;

	(void)index;
	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
	for (int i = 1; i <= KILLS; i++) {
		kill_one_more();
		if (i % KILLS_A_CLEAN)
			continue;
		before = measure_space();
		if (most_bytes < before.memory_bytes)
			most_bytes = before.memory_bytes;
		must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
		after = measure_space();
		must_be(after.names_count, 1);
		if (i == KILLS_A_CLEAN)
			first = after;
		/* Who opened it has 64 bytes in the table of senders, up to 65535. */
		if (after.memory_bytes > first.memory_bytes + SENDERS_BYTES)
			fail("memory grows: %llu bytes after %d kills, %llu"
			     " after %d", (unsigned long long)after.memory_bytes,
			     i, (unsigned long long)first.memory_bytes,
			     KILLS_A_CLEAN);
	}
	check_usable(link_here);
	printf("memory, %s: %d kills, before a clean %llu KiB at most, after"
	       " each %llu KiB\n", scenario->name, KILLS,
	       (unsigned long long)most_bytes / 1024,
	       (unsigned long long)after.memory_bytes / 1024);
	fflush(stdout);
	tol_close(link_here);
	return tol_mailbox_remove("box", NULL) == 0 ? 0 : 1;
}

static bool kill_many_of(const char *name)
{
	const struct scenario *s = find_scenario(call_scenarios, name);
	struct scenario on_one_mailbox;

	if (!s || !record_points(s))
		return false;
	on_one_mailbox = *s;
	on_one_mailbox.set_up = world_nothing;
	on_one_mailbox.passed = 0;
	scenario = &on_one_mailbox;
	return end_child(start_child(kill_many, 0)) == 0;
}

bool run_memory(void)
{
	return kill_many_of("send, the first") &&
	       kill_many_of("send of 100 KiB") &&
	       kill_many_of("send of 2 MiB") &&
	       kill_many_of("recv of 2 MiB");
}
