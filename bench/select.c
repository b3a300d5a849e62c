/* SPDX-License-Identifier: MIT */
/*
 * select: what it costs to receive the one message that is wanted from among many
 * that are not, ours and the kernel's ways in one run, by one loop.
 *
 * A queue holds so many messages that are not wanted. Then one that is, and fifteen
 * more, are sent behind them, and received one by one; that again until the time of
 * the sample is over. The clock runs while they are received, and apart from that
 * while they are sent. For each kind of choice and each length the ways take turns;
 * the result is the median. In each turn a new process opens the queue as well and
 * receives one. The very first receive, which has an index to build, is told
 * apart.
 *
 * usage: select [--quick] [--rounds N] [--json FILE] [--svg FILE] [--commit TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "curves.h"
#include "surroundings.h"

#define BATCH 16

static const struct way *const ways[] = { &way_tolsey, &way_sysv, &way_mq };

#define WAYS_COUNT (sizeof(ways) / sizeof(ways[0]))

static const uint64_t lengths[CURVE_POINTS] = { 10, 1000, 100000, 1000000 };

/* What a child tells. */
struct shared {
	double fresh_ns, fresh_open_ns;
};

static struct shared *shared;
static struct queue queues[WAYS_COUNT];
static volatile sig_atomic_t is_open[WAYS_COUNT];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void close_all(void)
{
	for (size_t w = 0; w < WAYS_COUNT; w++)
		if (is_open[w]) {
			is_open[w] = 0;
			queues[w].way->close(&queues[w]);
		}
}

static void stop(const char *what, int error)
{
	fprintf(stderr, "select: %s: %s\n", what, strerror(error));
	close_all();
	exit(1);
}

/* The mailboxes are in a space that goes away as a whole. */
static void remove_queues(int signal_number)
{
	int ids[2] = { -1, -1 };

	for (size_t w = 0; w < WAYS_COUNT; w++) {
		if (is_open[w] && queues[w].way == &way_sysv)
			ids[0] = queues[w].sysv_id;
		if (is_open[w] && queues[w].way == &way_mq)
			mq_unlink(queues[w].name);
	}
	surroundings_remove_queues(ids);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Return: 0 or -errno */
static int send_others(struct queue *queue)
{
	int err = 0;

	for (uint64_t i = 0; i < queue->others_count && err == 0; i++)
		err = queue->way->send_other(queue, i);
	return err;
}

/* By another process if it is the sender that is chosen. */
static void fill(struct queue *queue)
{
	int status = 0;
	pid_t child;

	if (queue->wanted != WANTED_SENDER) {
		int err = send_others(queue);

		if (err < 0)
			stop("filling a queue", -err);
		return;
	}
	child = fork();
	if (child < 0)
		stop("fork", errno);
	if (child == 0) {
		int err = queue->way->join(queue);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(err < 0 ? 1 : send_others(queue) < 0);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		stop("filling a queue by another process", ECHILD);
}

static void send_wanted(struct queue *queue, uint64_t number)
{
	const uint64_t body[2] = { number, number };
	int err = queue->way->send_wanted(queue, body);

	if (err < 0)
		stop("sending", -err);
}

static void recv_wanted(struct queue *queue, uint64_t number)
{
	uint64_t body[2] = { 0, 0 };
	int err = queue->way->recv_wanted(queue, body);

	if (err < 0)
		stop("receiving", -err);
	if (body[0] != number || body[1] != number)
		stop("it was another message", EBADMSG);
}

static void sample_fresh(struct queue *queue, struct point *point)
{
	pid_t child;
	int status;

	send_wanted(queue, 77);
	child = fork();
	if (child < 0)
		stop("fork", errno);
	if (child == 0) {
		int64_t start_ns, open_ns;
		uint64_t body[2] = { 0, 0 };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start_ns = now_ns();
		if (queue->way->join(queue) < 0)
			_exit(1);
		open_ns = now_ns();
		if (queue->way->recv_wanted(queue, body) < 0)
			_exit(2);
		shared->fresh_ns = (double)(now_ns() - open_ns);
		shared->fresh_open_ns = (double)(now_ns() - start_ns);
		_exit(body[0] == 77 && body[1] == 77 ? 0 : 3);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		stop("receiving in a new process", ECHILD);
	point->ns[TIME_FRESH][point->samples_count] = shared->fresh_ns;
	point->ns[TIME_FRESH_OPEN][point->samples_count] =
		shared->fresh_open_ns;
}

static void sample(struct queue *queue, struct point *point, int64_t length_ns)
{
	int64_t sending_ns = 0, receiving_ns = 0;
	uint64_t number = 1, count = 0;

	sample_fresh(queue, point);
	do {
		int64_t start_ns = now_ns(), sent_ns;

		for (uint64_t i = 0; i < BATCH; i++)
			send_wanted(queue, number + i);
		sent_ns = now_ns();
		for (uint64_t i = 0; i < BATCH; i++)
			recv_wanted(queue, number + i);
		receiving_ns += now_ns() - sent_ns;
		sending_ns += sent_ns - start_ns;
		number += BATCH;
		count += BATCH;
	} while (sending_ns + receiving_ns < length_ns);
	point->ns[TIME_RECV][point->samples_count] =
		(double)receiving_ns / (double)count;
	point->ns[TIME_SEND][point->samples_count++] =
		(double)sending_ns / (double)count;
}

static void set_up(size_t w, enum wanted wanted, struct point *point)
{
	struct queue *queue = &queues[w];
	int64_t start_ns;

	*queue = (struct queue){
		.way = ways[w],
		.wanted = wanted,
		.others_count = point->others_count,
		.wanted_pid = getpid(),
	};
	if (queue->way->open(queue) < 0) {
		memcpy(point->reason, queue->reason, sizeof(point->reason));
		return;
	}
	is_open[w] = 1;
	fill(queue);
	send_wanted(queue, 1);
	start_ns = now_ns();
	recv_wanted(queue, 1);
	point->first_ns = (double)(now_ns() - start_ns);
}

/* One kind of choice: for each length the ways take turns. */
static void run_wanted(struct curves *curves, enum wanted wanted, int lengths_count,
		       int64_t length_ns)
{
	struct curve *of[WAYS_COUNT] = { NULL };

	for (size_t w = 0; w < WAYS_COUNT; w++)
		if (ways[w]->wanteds & 1u << wanted) {
			of[w] = curves_add(curves, ways[w], wanted);
			of[w]->points_count = lengths_count;
		}
	for (int p = 0; p < lengths_count; p++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[Kchoice %d of %d, %llu messages",
				(int)wanted + 1, WANTED_COUNT,
				(unsigned long long)lengths[p]);
		for (size_t w = 0; w < WAYS_COUNT; w++)
			if (of[w]) {
				of[w]->points[p].others_count = lengths[p];
				set_up(w, wanted, &of[w]->points[p]);
			}
		for (int round = 0; round < curves->rounds; round++)
			for (size_t w = 0; w < WAYS_COUNT; w++)
				if (is_open[w])
					sample(&queues[w], &of[w]->points[p],
					       length_ns);
		close_all();
	}
}

static void prepare(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		stop("memory", ENOMEM);
	signal(SIGINT, remove_queues);
	signal(SIGTERM, remove_queues);
	surroundings_widen();
	surroundings_lengthen();
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
	static struct curves curves = { .rounds = 7, .commit = "unknown" };
	const char *json = NULL, *svg = NULL;
	int64_t length_ns = 20000000;
	int lengths_count = CURVE_POINTS, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q') {
			curves.rounds = 1;
			length_ns = 200000;
			lengths_count = 2;
		} else if (option == 'r') {
			curves.rounds = atoi(optarg);
		} else if (option == 'j') {
			json = optarg;
		} else if (option == 's') {
			svg = optarg;
		} else if (option == 'c') {
			curves.commit = optarg;
		} else {
			return 2;
		}
	}
	if (optind != argc || curves.rounds < 1 ||
	    curves.rounds > CURVE_SAMPLES_MAX) {
		fprintf(stderr, "select: --rounds is 1 to %d\n",
			CURVE_SAMPLES_MAX);
		return 2;
	}
	prepare();
	for (int wanted = 0; wanted < WANTED_COUNT; wanted++)
		run_wanted(&curves, (enum wanted)wanted, lengths_count,
			   length_ns);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	curves_print(&curves);
	return (json && !curves_write_json(&curves, json)) ||
	       (svg && !curves_write_svg(&curves, svg));
}
