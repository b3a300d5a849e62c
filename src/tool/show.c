/* SPDX-License-Identifier: MIT */
/* Times, owners and progress, for people. */

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#define SIGNAL_APART_NS 100000000

int signal_counts(int64_t *last_ns)
{
	int64_t at_ns = now_ns();

	if (*last_ns != 0 && at_ns - *last_ns < SIGNAL_APART_NS)
		return 0;
	*last_ns = at_ns;
	return 1;
}

const char *show_time(int64_t unix_ns, char *buf, size_t size_bytes)
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm tm;

	if (unix_ns <= 0)
		return "never";
	if (localtime_r(&seconds, &tm) == NULL ||
	    strftime(buf, size_bytes, "%Y-%m-%d %H:%M:%S %z", &tm) == 0)
		return "?";
	return buf;
}

const char *show_capacity(uint64_t msgs, char *buf, size_t size_bytes)
{
	if (msgs == TOL_CAPACITY_UNBOUNDED)
		return "unbounded";
	snprintf(buf, size_bytes, "%" PRIu64, msgs);
	return buf;
}

const char *show_user(uid_t uid, char *buf, size_t size_bytes)
{
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		snprintf(buf, size_bytes, "%s", user->pw_name);
	else
		snprintf(buf, size_bytes, "%" PRIuMAX, (uintmax_t)uid);
	return buf;
}

const char *show_group(gid_t gid, char *buf, size_t size_bytes)
{
	const struct group *group = getgrgid(gid);

	if (group != NULL)
		snprintf(buf, size_bytes, "%s", group->gr_name);
	else
		snprintf(buf, size_bytes, "%" PRIuMAX, (uintmax_t)gid);
	return buf;
}

#define PROGRESS_EVERY_NS 1000000000

/* Shown only to somebody who looks, and never between the data itself. */
void progress_init(struct progress *progress, int data_fd)
{
	*progress = (struct progress){ 0 };
	progress->wanted = isatty(STDERR_FILENO) && !isatty(data_fd);
	if (progress->wanted)
		progress->next_ns = now_ns() + PROGRESS_EVERY_NS;
}

static void progress_show(struct progress *progress)
{
	fprintf(stderr, "\r%" PRIu64 " messages, %" PRIu64 " bytes",
		progress->messages, progress->bytes);
	progress->shown = 1;
}

void progress_add(struct progress *progress, size_t size_bytes)
{
	progress->messages++;
	progress->bytes += size_bytes;
	if (!progress->wanted || now_ns() < progress->next_ns)
		return;
	progress_show(progress);
	progress->next_ns = now_ns() + PROGRESS_EVERY_NS;
}

void progress_fini(struct progress *progress)
{
	if (!progress->shown)
		return;
	progress_show(progress);
	fputc('\n', stderr);
	progress->shown = 0;
}
