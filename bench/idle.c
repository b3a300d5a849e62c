/* SPDX-License-Identifier: MIT */
/*
 * idle: what waiting costs while nothing comes. A process for each way to wait does
 * nothing but wait, for a minute; its CPU time and how often it ran are told.
 *
 * usage: idle [--quick] [--seconds N] [--json FILE] [--commit TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "surroundings.h"
#include "sweep.h"
#include "tolsey.h"

enum mailbox { EMPTY, FULL, ZERO, BESIDE_A_HOLDER };

static const char *const mailboxes[] = { "empty", "full", "zero", "held" };

struct kind {
	const char *name;
	enum mailbox mailbox;
	int (*wait)(struct tol_link *link, int64_t timeout_ns);
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int wait_recv(struct tol_link *link, int64_t timeout_ns)
{
	char byte;

	return (int)tol_recv(link, &byte, 1, timeout_ns);
}

static int wait_send(struct tol_link *link, int64_t timeout_ns)
{
	return tol_send(link, "x", 1, timeout_ns);
}

static int wait_take(struct tol_link *link, int64_t timeout_ns)
{
	struct tol_message message;

	return tol_take(link, timeout_ns, NULL, &message);
}

static int wait_select(struct tol_link *link, int64_t timeout_ns)
{
	const struct tol_select seven = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 7, .last_tag = 7,
	};
	struct tol_message message;
	char byte;

	return (int)tol_recv_select(link, &seven, &byte, 1, timeout_ns,
				    &message);
}

static int wait_many(struct tol_link *link, int64_t timeout_ns)
{
	struct tol_wait one = { link, TOL_RECV, 0 };

	return tol_wait(&one, 1, timeout_ns);
}

static int wait_poll(struct tol_link *link, int64_t timeout_ns)
{
	struct pollfd one = { .events = POLLIN };
	int64_t end_ns = now_ns() + timeout_ns, left_ns = timeout_ns;
	int n = -EAGAIN;
	char byte;

	one.fd = tol_descriptor(link, TOL_RECV);
	/* As others end it is readable for nothing. */
	while (n == -EAGAIN && left_ns > 0) {
		if (poll(&one, 1, (int)(left_ns / 1000000) + 1) > 0)
			n = (int)tol_recv(link, &byte, 1, TOL_NOWAIT);
		left_ns = end_ns - now_ns();
	}
	return n == -EAGAIN ? -ETIMEDOUT : n;
}

static const struct kind kinds[] = {
	{ "tol_recv", EMPTY, wait_recv },
	{ "tol_take", EMPTY, wait_take },
	{ "tol_recv_select", EMPTY, wait_select },
	{ "tol_wait", EMPTY, wait_many },
	{ "poll on tol_descriptor", EMPTY, wait_poll },
	{ "tol_send, full", FULL, wait_send },
	{ "tol_recv, capacity 0", ZERO, wait_recv },
	{ "tol_wait, somebody holds a message", BESIDE_A_HOLDER, wait_many },
	{ "tol_descriptor, somebody holds a message", BESIDE_A_HOLDER,
	  wait_poll },
	{ "tol_recv, somebody holds a message", BESIDE_A_HOLDER, wait_recv },
};

#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static void stop(const char *what, int error)
{
	fprintf(stderr, "idle: %s: %s\n", what, strerror(error));
	exit(1);
}

static void make(const char *name, uint64_t capacity)
{
	if (tol_mailbox_create(name, capacity, NULL) != 1)
		stop("creating a mailbox", EEXIST);
}

static pid_t start(const struct kind *kind, int64_t timeout_ns)
{
	struct tol_link *link = NULL;
	pid_t pid = fork();

	if (pid < 0)
		stop("fork", errno);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tol_open(&link, mailboxes[kind->mailbox], NULL) < 0)
		_exit(1);
	_exit(kind->wait(link, timeout_ns) == -ETIMEDOUT ? 0 : 2);
}

static double cpu_ns(const struct rusage *use)
{
	return (double)(use->ru_utime.tv_sec + use->ru_stime.tv_sec) * 1e9 +
	       (double)(use->ru_utime.tv_usec + use->ru_stime.tv_usec) * 1e3;
}

static void run(struct sweep *cpu, struct sweep *runs, int seconds)
{
	struct tol_link *full = NULL, *held = NULL;
	struct tol_message message;
	pid_t pids[KINDS];

	make("empty", 4);
	make("full", 1);
	make("zero", 0);
	make("held", 4);
	if (tol_open(&full, "full", NULL) < 0 ||
	    tol_send(full, "x", 1, TOL_NOWAIT) < 0 ||
	    tol_open(&held, "held", NULL) < 0 ||
	    tol_send(held, "x", 1, TOL_NOWAIT) < 0 ||
	    tol_take(held, TOL_NOWAIT, NULL, &message) < 0)
		stop("filling a mailbox", EBADMSG);
	for (int i = 0; i < KINDS; i++)
		pids[i] = start(&kinds[i], TOL_SECS(seconds));
	for (int i = 0; i < KINDS; i++) {
		struct rusage use;
		int status;

		if (wait4(pids[i], &status, 0, &use) != pids[i] || status != 0)
			stop(kinds[i].name, ECHILD);
		sweep_add(sweep_point(sweep_series(cpu, kinds[i].name, "ns"),
				      seconds), cpu_ns(&use));
		sweep_add(sweep_point(sweep_series(runs, kinds[i].name,
						   "times"), seconds),
			  (double)use.ru_nvcsw);
	}
	tol_close(full);
	tol_close(held);
	for (int i = 0; i < 4; i++)
		tol_mailbox_remove(mailboxes[i], NULL);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "seconds", required_argument, NULL, 'n' },
		{ "json", required_argument, NULL, 'j' },
		{ "commit", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	static struct sweep cpu = {
		.title = "CPU time of a process that waits, start and end included",
		.sizes = "seconds",
	};
	static struct sweep runs = {
		.title = "how often it slept", .sizes = "seconds",
	};
	const char *json = NULL, *commit = "unknown";
	int seconds = 60, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q')
			seconds = 1;
		else if (option == 'n')
			seconds = atoi(optarg);
		else if (option == 'j')
			json = optarg;
		else if (option == 'c')
			commit = optarg;
		else
			return 2;
	}
	if (optind != argc || seconds < 1 || seconds > 3600) {
		fprintf(stderr, "idle: --seconds is 1 to 3600\n");
		return 2;
	}
	run(&cpu, &runs, seconds);
	sweep_print(&cpu);
	sweep_print(&runs);
	if (json) {
		FILE *file = sweep_open(json);

		if (!file)
			return 1;
		fprintf(file, "{\n");
		sweep_write_surroundings(file, commit);
		sweep_write_json(&cpu, file);
		fprintf(file, "  ,\n  \"runs\": {\n");
		sweep_write_json(&runs, file);
		fprintf(file, "  }\n}\n");
		if (!sweep_close(file, json))
			return 1;
	}
	return 0;
}
