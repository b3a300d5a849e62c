/* SPDX-License-Identifier: MIT */
/*
 * scale: what many mailboxes in a space, many links of one process, and many
 * processes on one mailbox cost. Ours alone: the kernel's queues end at some hundred.
 *
 * For each N: N mailboxes are made, opened by one process, used once each; then
 * the N + 1st is made and opened, one message goes round through each of them,
 * the space is listed, and the process waits for all of them for a second. Then
 * N processes open one mailbox and sleep in a receive; one more opens it, and sends
 * each of them a message.
 *
 * usage: scale [--quick] [--rounds N] [--json FILE] [--svg FILE] [--commit TEXT]
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "surroundings.h"
#include "sweep.h"
#include "tolsey.h"

#define MAILBOXES_MAX 10000
#define PROCESSES_MAX 1000

static const int sizes[] = { 10, 100, 1000, 10000 };

static struct tol_link *links[MAILBOXES_MAX];
static struct tol_wait waits[MAILBOXES_MAX];
static pid_t pids[PROCESSES_MAX];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void stop(const char *what, int error)
{
	fprintf(stderr, "scale: %s: %s\n", what, strerror(error));
	exit(1);
}

static void must(const char *what, long result)
{
	if (result < 0)
		stop(what, result == -1 ? errno : (int)-result);
}

static void make_name(char name[16], int number)
{
	snprintf(name, 16, "q%d", number);
}

static void add(struct sweep *sweep, const char *name, const char *unit,
		int size, double value)
{
	sweep_add(sweep_point(sweep_series(sweep, name, unit), size), value);
}

/* In KiB; of this process. */
static double read_status(const char *field)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	double value = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, field, strlen(field)))
			value = atof(line + strlen(field) + 1);
	if (file)
		fclose(file);
	return value;
}

static double space_kib(void)
{
	const char *path = getenv("TOLSEY_SPACE");
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;
	double blocks = 0;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG &&
		    fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			blocks += (double)st.st_blocks;
	if (dir)
		closedir(dir);
	return blocks / 2;
}

static int count_one(const char *name, enum tol_kind kind, void *context)
{
	(void)name;
	(void)kind;
	++*(int *)context;
	return 0;
}

/* ---- many mailboxes ---- */

static void make_and_open(struct sweep *sweep, int count)
{
	double rss_kib = read_status("VmRSS:"), table_kib = read_status("VmPTE:");
	int64_t start_ns;
	char name[16];

	start_ns = now_ns();
	for (int i = 0; i < count; i++) {
		make_name(name, i);
		must("creating", tol_mailbox_create(name, 64, NULL));
	}
	add(sweep, "create", "ns", count,
	    (double)(now_ns() - start_ns) / count);
	start_ns = now_ns();
	for (int i = 0; i < count; i++) {
		make_name(name, i);
		must("opening", tol_open(&links[i], name, NULL));
		waits[i] = (struct tol_wait){ links[i], TOL_RECV, 0 };
	}
	add(sweep, "open", "ns", count, (double)(now_ns() - start_ns) / count);
	add(sweep, "memory of a mailbox, opened", "KiB", count,
	    space_kib() / count);
	add(sweep, "memory of the process for a link", "KiB", count,
	    (read_status("VmRSS:") - rss_kib) / count);
	add(sweep, "its page tables", "KiB", count,
	    (read_status("VmPTE:") - table_kib) / count);
}

static void use_all(struct sweep *sweep, int count)
{
	int64_t start_ns;
	char byte;

	for (int round = 0; round < 2; round++) {
		start_ns = now_ns();
		for (int i = 0; i < count; i++) {
			must("sending", tol_send(links[i], "x", 1, TOL_NOWAIT));
			must("receiving",
			     tol_recv(links[i], &byte, 1, TOL_NOWAIT));
		}
		add(sweep, round ? "send and recv" : "send and recv, the first",
		    "ns", count, (double)(now_ns() - start_ns) / count);
	}
}

static void list_all(struct sweep *sweep, int count)
{
	int64_t start_ns = now_ns();
	int found = 0;

	must("listing", tol_space_list(NULL, count_one, &found));
	if (found != count)
		stop("listing", EBADMSG);
	add(sweep, "list the space, a mailbox", "ns", count,
	    (double)(now_ns() - start_ns) / count);
}

/* Idle: the CPU time of a second asleep, and what arming all took before. */
static void idle(struct sweep *sweep, int count, int64_t length_ns)
{
	struct rusage before, after;
	double us;

	tol_wait(waits, (size_t)count, TOL_MSECS(1));
	getrusage(RUSAGE_SELF, &before);
	if (tol_wait(waits, (size_t)count, length_ns) != -ETIMEDOUT)
		stop("waiting", EBADMSG);
	getrusage(RUSAGE_SELF, &after);
	us = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec +
		      after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e6 +
	     (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec +
		      after.ru_stime.tv_usec - before.ru_stime.tv_usec);
	add(sweep, "CPU time of one idle tol_wait for all", "ns", count,
	    us * 1e3);
	add(sweep, "times that it slept", "", count,
	    (double)(after.ru_nvcsw - before.ru_nvcsw));
}

static void run_mailboxes(struct sweep *sweep, int count, int64_t length_ns)
{
	int64_t start_ns;
	char name[16];

	make_and_open(sweep, count);
	use_all(sweep, count);
	list_all(sweep, count);
	idle(sweep, count, length_ns);
	start_ns = now_ns();
	for (int i = 0; i < count; i++)
		tol_close(links[i]);
	add(sweep, "close", "ns", count,
	    (double)(now_ns() - start_ns) / count);
	for (int i = 0; i < count; i++) {
		make_name(name, i);
		must("removing", tol_mailbox_remove(name, NULL));
	}
}

/* ---- many processes ---- */

struct shared {
	int asleep_count;
	int64_t opened_ns[PROCESSES_MAX];
};

static struct shared *shared;

static void receive_one(int number)
{
	struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };
	struct tol_link *link = NULL;
	int64_t start_ns = now_ns();
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tol_open(&link, "one", &opts) < 0)
		_exit(1);
	shared->opened_ns[number] = now_ns() - start_ns;
	__atomic_add_fetch(&shared->asleep_count, 1, __ATOMIC_RELEASE);
	if (tol_recv(link, &byte, 1, TOL_FOREVER) != 1)
		_exit(2);
	tol_close(link);
	_exit(0);
}

static void run_processes(struct sweep *sweep, int count)
{
	struct tol_link *link = NULL;
	double opened_ns = 0;
	int64_t start_ns;
	int status;

	must("creating", tol_mailbox_create("one", 64, NULL));
	memset(shared, 0, sizeof(*shared));
	for (int i = 0; i < count; i++) {
		pids[i] = fork();
		must("fork", pids[i]);
		if (pids[i] == 0)
			receive_one(i);
		while (__atomic_load_n(&shared->asleep_count,
				       __ATOMIC_ACQUIRE) <= i)
			if (waitpid(pids[i], &status, WNOHANG) == pids[i])
				stop("a process", ECHILD);
		opened_ns += (double)shared->opened_ns[i];
	}
	add(sweep, "open, one after another", "ns", count, opened_ns / count);
	start_ns = now_ns();
	must("opening", tol_open(&link, "one", NULL));
	add(sweep, "open, one more", "ns", count, (double)(now_ns() - start_ns));
	start_ns = now_ns();
	for (int i = 0; i < count; i++)
		must("sending", tol_send(link, "x", 1, TOL_FOREVER));
	for (int i = 0; i < count; i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			stop("a process", ECHILD);
	add(sweep, "a message to each that sleeps, until it has ended", "ns",
	    count, (double)(now_ns() - start_ns) / count);
	tol_close(link);
	must("removing", tol_mailbox_remove("one", NULL));
}

static bool write_json(const struct sweep *mailboxes,
		       const struct sweep *processes, int rounds,
		       const char *commit, const char *path)
{
	FILE *file = sweep_open(path);

	if (!file)
		return false;
	fprintf(file, "{\n");
	sweep_write_surroundings(file, commit);
	fprintf(file, "  \"rounds\": %d,\n", rounds);
	sweep_write_json(mailboxes, file);
	fprintf(file, "  ,\n  \"processes\": {\n");
	sweep_write_json(processes, file);
	fprintf(file, "  }\n}\n");
	return sweep_close(file, path);
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
	static struct sweep mailboxes = {
		.title = "N mailboxes in a space and in a process",
		.sizes = "mailboxes",
	};
	static struct sweep processes = {
		.title = "N processes on one mailbox", .sizes = "processes",
	};
	const char *json = NULL, *svg = NULL, *commit = "unknown";
	int rounds = 3, sizes_count = 4, option;
	int64_t length_ns = TOL_SECS(1);

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q') {
			rounds = 1;
			sizes_count = 2;
			length_ns = TOL_MSECS(10);
		} else if (option == 'r') {
			rounds = atoi(optarg);
		} else if (option == 'j') {
			json = optarg;
		} else if (option == 's') {
			svg = optarg;
		} else if (option == 'c') {
			commit = optarg;
		} else {
			return 2;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SWEEP_SAMPLES_MAX) {
		fprintf(stderr, "scale: --rounds is 1 to %d\n",
			SWEEP_SAMPLES_MAX);
		return 2;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		stop("memory", ENOMEM);
	surroundings_widen();
	for (int s = 0; s < sizes_count; s++)
		for (int round = 0; round < rounds; round++) {
			if (isatty(STDERR_FILENO))
				fprintf(stderr, "\r\033[K%d, round %d",
					sizes[s], round + 1);
			run_mailboxes(&mailboxes, sizes[s], length_ns);
			if (sizes[s] <= PROCESSES_MAX)
				run_processes(&processes, sizes[s]);
		}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	sweep_print(&mailboxes);
	sweep_print(&processes);
	if (json && !write_json(&mailboxes, &processes, rounds, commit, json))
		return 1;
	return svg && !sweep_write_svg(&mailboxes, "ns", svg);
}
