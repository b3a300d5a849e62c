/* SPDX-License-Identifier: MIT */
/*
 * The line about the work, on a terminal: drawn over itself.
 *
 * What jobs print on the same terminal would tear it. So it comes through a pipe,
 * and the line makes way for it. A line of output that has no end yet is left
 * alone: the line about the work waits for its newline.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "work.h"

#define EVERY_NS TOL_MSECS(100)
#define SAMPLE_NS TOL_SECS(1)

int work_show_init(struct work_show *show, int *ret_jobs_fd)
{
	int fds[2];

	*show = (struct work_show){ .fd = -1 };
	*ret_jobs_fd = -1;
	show->is_wanted = isatty(STDERR_FILENO);
	if (!show->is_wanted)
		return 0;
	if (pipe(fds) != 0)
		return -errno;
	fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	show->fd = fds[0];
	*ret_jobs_fd = fds[1];
	show->is_changed = 1;
	return 0;
}

void work_show_clear(struct work_show *show)
{
	if (!show->is_shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	show->is_shown = 0;
	show->is_changed = 1;
	/* It is back at once: output must not keep it away. */
	show->next_ns = 0;
}

void work_show_relay(struct work_show *show)
{
	char text[4096];
	int rounds = 16;
	size_t done;
	ssize_t n;

	if (show->fd < 0)
		return;
	/* A pipe's worth at most: signals and limits must not wait for more. */
	while (rounds-- > 0 && (n = read(show->fd, text, sizeof(text))) > 0) {
		work_show_clear(show);
		if (write_all(STDERR_FILENO, text, (size_t)n, &done) != 0)
			return;
		show->is_middle = text[n - 1] != '\n';
		if ((size_t)n < sizeof(text))
			return;
	}
}

/* Jobs a second, over the last few seconds. */
static double rate(struct work_show *show, int64_t at_ns)
{
	uint64_t finished = show->done + show->failed;
	unsigned int oldest;

	/* After a rest it begins anew. */
	if (at_ns > show->sample_ns + 2 * SAMPLE_NS)
		show->samples_count = 0;
	if (show->samples_count == 0 || at_ns >= show->sample_ns) {
		unsigned int at = show->samples_count++ % RATE_SAMPLES;

		show->samples[at] = finished;
		show->sample_times_ns[at] = at_ns;
		show->sample_ns = at_ns + SAMPLE_NS;
	}
	oldest = show->samples_count < RATE_SAMPLES ? 0 :
		show->samples_count % RATE_SAMPLES;
	if (at_ns <= show->sample_times_ns[oldest])
		return 0;
	return (double)(finished - show->samples[oldest]) * 1e9 /
		(double)(at_ns - show->sample_times_ns[oldest]);
}

static void draw(struct work_show *show, double per_second)
{
	struct winsize size = { 0 };
	char text[256], waiting[48] = "";
	size_t width = 80;
	int n;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		width = size.ws_col;
	if (show->waiting != 0)
		snprintf(waiting, sizeof(waiting), "%" PRIu64 " waiting, ",
			 show->waiting);
	n = snprintf(text, sizeof(text), "%" PRIu64 " running, %s%" PRIu64
		     " done, %" PRIu64 " failed, %" PRIu64 " dead letters, ",
		     show->running, waiting, show->done, show->failed,
		     show->dead);
	if (n >= 0 && n < (int)sizeof(text))
		n += show->is_stopping ?
			snprintf(text + n, sizeof(text) - (size_t)n,
				 "Ctrl-C again ends them") :
			snprintf(text + n, sizeof(text) - (size_t)n, "%.1f/s",
				 per_second);
	/* One column is left: a full line would begin the next one. */
	if (n < 0)
		return;
	if ((size_t)n >= width)
		n = (int)width - 1;
	fprintf(stderr, "\r%.*s\033[K", n, text);
	fflush(stderr);
	show->is_shown = 1;
	show->is_changed = 0;
}

int64_t work_show_update(struct work_show *show, int64_t at_ns)
{
	double per_second;

	if (!show->is_wanted || show->is_middle)
		return INT64_MAX;
	if (at_ns >= show->next_ns) {
		per_second = rate(show, at_ns);
		draw(show, per_second);
		show->next_ns = at_ns + EVERY_NS;
		/* A rate that is not 0 falls without an event. */
		show->fall_ns = per_second > 0 ? show->sample_ns : INT64_MAX;
	}
	return show->is_changed ? show->next_ns : show->fall_ns;
}

/* What was shown last stays, and is right. */
void work_show_fini(struct work_show *show)
{
	if (!show->is_wanted)
		return;
	work_show_relay(show);
	if (show->is_middle)
		fputc('\n', stderr);
	show->is_middle = 0;
	show->is_stopping = 0;
	show->next_ns = 0;
	work_show_update(show, now_ns());
	fputc('\n', stderr);
	close(show->fd);
	show->fd = -1;
	show->is_wanted = 0;
	show->is_shown = 0;
}
