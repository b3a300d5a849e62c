/* SPDX-License-Identifier: MIT */
/*
 * transports: what a message costs, ours and the kernel's ways in one run, by one
 * loop.
 *
 * Two processes, pinned to CPU 0 and 1. For each size and shape the transports
 * take turns, a sample of each, so that a change of the machine's mood meets
 * all; the result is the median. The sender stamps each message with its number,
 * the receiver reads every byte and checks the number. Before and after each
 * sample the two bounce a cache line: that tells how near the CPUs were.
 *
 * usage: transports [--quick] [--rounds N] [--json FILE] [--commit TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"
#include "surroundings.h"
#include "transport.h"

/* In the number of a message: the last one, and one that wants an answer. */
#define LAST (UINT64_C(1) << 63)
#define ASKS (UINT64_C(1) << 62)
#define BOUNCES 2000
#define FRONT_BYTES 64			/* before a body: System V's type */

static const struct transport *const transports[] = {
	&transport_tolsey, &transport_tolsey_sleeping,
	&transport_tolsey_in_place, &transport_tolsey_unbounded,
	&transport_tolsey_meeting,
	&transport_pipe,
	&transport_stream, &transport_seqpacket, &transport_posix_mq, &transport_sysv,
	&transport_ring,
};

#define TRANSPORTS_COUNT (sizeof(transports) / sizeof(transports[0]))

static const size_t sizes[] = { 8, 64, 1024, 65536, 1048576 };

#define SIZES_COUNT (sizeof(sizes) / sizeof(sizes[0]))

/* What both processes see beside the transport. */
struct shared {
	_Alignas(64) uint64_t ball;
	_Alignas(64) uint64_t failed;	/* 0, or why, as errno */
};

static struct shared *shared;
static char *body;	/* of the largest size, FRONT_BYTES before it */
static char *copy;	/* the same, for the limit */
static int sysv_ids[2] = { -1, -1 };
static volatile uint64_t sink;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void stop(const char *what, int error)
{
	fprintf(stderr, "transports: %s: %s\n", what, strerror(error));
	exit(1);
}

/* Neither may wait for the other for ever. */
static void stop_both(const char *what, int error)
{
	__atomic_store_n(&shared->failed, (uint64_t)error, __ATOMIC_RELEASE);
	stop(what, error);
}

static void check_other(void)
{
	if (__atomic_load_n(&shared->failed, __ATOMIC_ACQUIRE))
		exit(1);
}

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		stop_both("pinning to a CPU", errno);
}

static void await_ball(uint64_t value)
{
	while (__atomic_load_n(&shared->ball, __ATOMIC_ACQUIRE) != value)
		check_other();
}

/* Return: nanoseconds a round trip of one cache line, for the one who serves */
static double bounce(bool serves)
{
	uint64_t first = __atomic_load_n(&shared->ball, __ATOMIC_ACQUIRE);
	int64_t start_ns = 0;

	if (!serves)
		first &= ~UINT64_C(1);
	for (uint64_t i = 0; i < BOUNCES; i++) {
		if (serves) {
			if (i == BOUNCES / 2)
				start_ns = now_ns();
			__atomic_store_n(&shared->ball, first + 2 * i + 1,
					 __ATOMIC_RELEASE);
			await_ball(first + 2 * i + 2);
		} else {
			await_ball(first + 2 * i + 1);
			__atomic_store_n(&shared->ball, first + 2 * i + 2,
					 __ATOMIC_RELEASE);
		}
	}
	return (double)(now_ns() - start_ns) / (BOUNCES / 2);
}

static void send_one(struct pair *pair, int queue, uint64_t number)
{
	int done;

	memcpy(body, &number, sizeof(number));
	memcpy(body + pair->size_bytes - sizeof(number), &number,
	       sizeof(number));
	while ((done = pair->transport->send(pair, queue, body)) == 0)
		check_other();
	if (done < 0)
		stop_both("sending", -done);
}

/* Return: the number, once every byte has been read */
static uint64_t recv_one(struct pair *pair, int queue)
{
	uint64_t number, again = 0, sum = 0;
	const char *bytes;
	int done;

	while ((done = pair->transport->recv(pair, queue, body)) == 0)
		check_other();
	if (done < 0)
		stop_both("receiving", -done);
	bytes = pair->transport->end ? pair->received : body;
	for (size_t i = 0; i < pair->size_bytes; i += sizeof(again)) {
		memcpy(&again, bytes + i, sizeof(again));
		sum += again;
	}
	sink = sum;
	memcpy(&number, bytes, sizeof(number));
	if (pair->transport->end) {
		done = pair->transport->end(pair, queue);
		if (done < 0)
			stop_both("ending a message", -done);
	}
	if (number != again)
		stop_both("a torn message", EBADMSG);
	return number;
}

/* The other process: answers each message, or only the last. */
static void answer(struct pair *pair, bool is_stream)
{
	uint64_t number, expected = 0;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	err = pair->transport->join(pair);
	if (err < 0)
		stop_both("joining", -err);
	bounce(false);
	do {
		number = recv_one(pair, 0);
		if ((number & ~(LAST | ASKS)) != expected++)
			stop_both("the order of messages", EBADMSG);
		if (!is_stream || (number & (LAST | ASKS)))
			send_one(pair, 1, number);
	} while (!(number & LAST));
	bounce(false);
	pair->transport->leave(pair);
	_exit(0);
}

/*
 * Messages until the time is over. The last one is answered in a stream as well:
 * then the queue is empty, however deep it is, and the next clock starts fair.
 * mark is in its number. Return: how many
 */
static uint64_t drive(struct pair *pair, bool is_stream, uint64_t first,
		      int64_t end_ns, uint64_t at_least, uint64_t mark)
{
	uint64_t number = first;
	bool is_over;

	do {
		is_over = number - first >= at_least &&
			  ((number & 15) == 0 || pair->size_bytes > 4096) &&
			  now_ns() >= end_ns;
		send_one(pair, 0, is_over ? number | mark : number);
		if ((!is_stream || is_over) &&
		    (recv_one(pair, 1) & ~mark) != number)
			stop_both("the order of answers", EBADMSG);
		number++;
	} while (!is_over);
	return number - first;
}

/* One sample. Return: false if the transport cannot do it here */
static bool sample(struct cell *cell, const struct transport *transport,
		   int64_t length_ns)
{
	struct pair pair = {
		.transport = transport,
		.mode = cell->mode,
		.size_bytes = cell->size_bytes,
		.remember_ids = sysv_ids,
	};
	double before_ns, after_ns, message_ns;
	uint64_t warm, count;
	int64_t start_ns;
	pid_t child;
	int status, err;

	if (transport->open_pair(&pair) < 0) {
		snprintf(cell->reason, sizeof(cell->reason), "%s", pair.reason);
		return false;
	}
	memset(shared, 0, sizeof(*shared));
	child = fork();
	if (child < 0)
		stop("fork", errno);
	if (child == 0)
		answer(&pair, cell->is_stream);
	err = transport->join(&pair);
	if (err < 0)
		stop_both("joining", -err);
	before_ns = bounce(true);
	warm = drive(&pair, cell->is_stream, 0, now_ns() + length_ns / 5,
		     depth_msgs(pair.size_bytes) * 3, ASKS);
	start_ns = now_ns();
	count = drive(&pair, cell->is_stream, warm, start_ns + length_ns, 16,
		      LAST);
	message_ns = (double)(now_ns() - start_ns) / (double)count;
	after_ns = bounce(true);
	cell_add(cell, message_ns, before_ns, after_ns);
	if (waitpid(child, &status, 0) != child || status != 0)
		stop("the other process", ECHILD);
	transport->leave(&pair);
	transport->close_pair(&pair);
	return true;
}

/* The limit of any way that copies: memcpy() of this size, in the cache. */
static void sample_memcpy(struct cell *cell, int64_t length_ns)
{
	uint64_t count = 0;
	int64_t start_ns = now_ns(), end_ns;

	do {
		for (int i = 0; i < 16; i++) {
			memcpy(copy, body, cell->size_bytes);
			__asm__ volatile("" : : "r"(copy), "r"(body)
					 : "memory");
		}
		count += 16;
		end_ns = now_ns();
	} while (end_ns - start_ns < length_ns);
	cell_add(cell, (double)(end_ns - start_ns) / (double)count, 0, 0);
}

/* One size, shape and mode: the transports take turns. */
static void run_row(struct report *report, size_t size_bytes, bool is_stream,
		    enum bench_mode mode, int rounds, int64_t length_ns)
{
	struct cell *cells[TRANSPORTS_COUNT] = { NULL }, *limit = NULL;

	for (size_t t = 0; t < TRANSPORTS_COUNT; t++)
		if (transports[t]->modes & 1u << mode)
			cells[t] = report_cell(report, transports[t]->name,
					       size_bytes, is_stream, mode);
	if (is_stream && mode == MODE_POLL)
		limit = report_cell(report, "limit: memcpy", size_bytes,
				    is_stream, mode);
	for (int round = 0; round < rounds; round++) {
		for (size_t t = 0; t < TRANSPORTS_COUNT; t++)
			if (cells[t] && !cells[t]->reason[0]) {
				report_progress(report, cells[t], round);
				sample(cells[t], transports[t], length_ns);
			}
		if (limit)
			sample_memcpy(limit, length_ns);
	}
}

static void remove_queues(int signal_number)
{
	surroundings_remove_queues(sysv_ids);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void prepare(void)
{
	const size_t body_bytes = sizes[SIZES_COUNT - 1];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		fprintf(stderr, "transports: needs two CPUs\n");
		exit(1);
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	body = aligned_alloc(FRONT_BYTES, FRONT_BYTES + body_bytes);
	copy = aligned_alloc(FRONT_BYTES, body_bytes);
	if (shared == MAP_FAILED || !body || !copy)
		stop("memory", ENOMEM);
	memset(body, 1, FRONT_BYTES + body_bytes);
	memset(copy, 1, body_bytes);
	body += FRONT_BYTES;
	signal(SIGINT, remove_queues);
	signal(SIGTERM, remove_queues);
	pin(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "json", required_argument, NULL, 'j' },
		{ "commit", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	static struct report report;
	int64_t length_ns = 20000000;
	const char *json = NULL, *commit = "unknown";
	int rounds = 7, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q') {
			rounds = 1;
			length_ns = 500000;
		} else if (option == 'r') {
			rounds = atoi(optarg);
		} else if (option == 'j') {
			json = optarg;
		} else if (option == 'c') {
			commit = optarg;
		} else {
			return 2;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SAMPLES_MAX) {
		fprintf(stderr, "transports: --rounds is 1 to %d\n",
			SAMPLES_MAX);
		return 2;
	}
	surroundings_widen();
	prepare();
	report_init(&report, rounds, commit);
	for (int mode = MODE_POLL; mode <= MODE_BLOCK; mode++)
		for (int is_stream = 0; is_stream < 2; is_stream++)
			for (size_t s = 0; s < SIZES_COUNT; s++)
				run_row(&report, sizes[s], is_stream,
					(enum bench_mode)mode, rounds,
					length_ns);
	report_print(&report);
	return json && !report_write_json(&report, json) ? 1 : 0;
}
