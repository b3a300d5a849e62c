/* SPDX-License-Identifier: MIT */
/*
 * wait: what it costs to wait for one of many, ours and the kernel's ways in one
 * run, by one loop.
 *
 * One process waits for messages of N queues; another sends to one of them after
 * another, at random, and waits for the answer, which comes by one more queue of the
 * same kind. The time is of such a round trip of two messages of 8 bytes, the answer's wait
 * included. "asleep": both are told never to look before they sleep, as the
 * kernel's ways do. "nobody waits": the time of one call that finds the last of N
 * ready at once.
 *
 * usage: wait [--quick] [--rounds N] [--json FILE] [--svg FILE] [--commit TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "surroundings.h"
#include "sweep.h"
#include "tolsey.h"

#define LINKS_MAX 1000
#define STOP UINT64_MAX

static const int sizes[] = { 1, 10, 100, 1000 };

/* One side of the N queues and the answer's. */
struct side {
	int count;
	struct tol_link *links[LINKS_MAX], *answer;
	struct tol_wait waits[LINKS_MAX];
	int fds[LINKS_MAX], answer_fd, set_fd;
	struct pollfd polls[LINKS_MAX];
};

struct way {
	const char *name;
	unsigned int flags;		/* of tol_open() */
	bool is_ours, has_set;
};

static const struct way ways[] = {
	{ "tol_wait", 0, true, false },
	{ "tol_wait, asleep", TOL_SPIN_NEVER, true, false },
	{ "tol_descriptor and epoll, asleep", TOL_SPIN_NEVER, true, true },
	{ "sockets and poll", 0, false, false },
	{ "sockets and epoll", 0, false, true },
};

#define WAYS_COUNT ((int)(sizeof(ways) / sizeof(ways[0])))

static struct side here, there;
static int (*pairs)[2];		/* of sockets; the last one is the answer's */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void stop(const char *what, int error)
{
	fprintf(stderr, "wait: %s: %s\n", what, strerror(error));
	exit(1);
}

static void must(const char *what, long result)
{
	if (result < 0)
		stop(what, result == -1 ? errno : (int)-result);
}

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* ---- the queues ---- */

static void make_name(char name[16], int number)
{
	snprintf(name, 16, "q%d", number);
}

static void make_queues(const struct way *way, int count)
{
	const struct timeval limit = { .tv_sec = 30 };
	char name[16];

	for (int i = 0; i <= count; i++) {
		make_name(name, i);
		if (way->is_ours)
			must("creating",
			     tol_mailbox_create(name, 4, NULL) - 1);
		else
			must("sockets", socketpair(AF_UNIX,
						   SOCK_SEQPACKET |
							   SOCK_CLOEXEC,
						   0, pairs[i]));
		if (!way->is_ours)
			setsockopt(pairs[i][0], SOL_SOCKET, SO_RCVTIMEO,
				   &limit, sizeof(limit));
	}
}

static void remove_queues(const struct way *way, int count)
{
	char name[16];

	for (int i = 0; i <= count; i++) {
		make_name(name, i);
		if (way->is_ours) {
			tol_mailbox_remove(name, NULL);
		} else {
			close(pairs[i][0]);
			close(pairs[i][1]);
		}
	}
}

static struct tol_link *open_queue(const struct way *way, int number)
{
	const struct tol_open_opts opts = { .flags = way->flags };
	struct tol_link *link = NULL;
	char name[16];

	make_name(name, number);
	must("opening", tol_open(&link, name, &opts));
	return link;
}

static void open_side(const struct way *way, struct side *side, int count,
		      int end)
{
	side->count = count;
	for (int i = 0; i <= count; i++) {
		struct tol_link *link =
			way->is_ours ? open_queue(way, i) : NULL;

		if (i == count) {
			side->answer = link;
			side->answer_fd = way->is_ours ? -1 : pairs[i][end];
			break;
		}
		side->links[i] = link;
		side->fds[i] = way->is_ours ? -1 : pairs[i][end];
		side->waits[i] = (struct tol_wait){ link, TOL_RECV, 0 };
	}
}

static void close_side(const struct way *way, struct side *side)
{
	if (side->set_fd > 0)
		close(side->set_fd);
	side->set_fd = 0;
	for (int i = 0; way->is_ours && i < side->count; i++)
		tol_close(side->links[i]);
	tol_close(side->answer);
}

static void put(const struct way *way, struct tol_link *link, int fd,
		uint64_t number)
{
	if (way->is_ours)
		must("sending", tol_send(link, &number, sizeof(number),
					 TOL_FOREVER));
	else
		must("sending", send(fd, &number, sizeof(number), 0));
}

/* Return: false it was not there */
static bool get(const struct way *way, struct side *side, int i,
		uint64_t *ret_number)
{
	long n = way->is_ours
			 ? tol_recv(side->links[i], ret_number,
				    sizeof(*ret_number), TOL_NOWAIT)
			 : recv(side->fds[i], ret_number, sizeof(*ret_number),
				MSG_DONTWAIT);

	if (n == -EAGAIN || (n == -1 && errno == EAGAIN))
		return false;
	must("receiving", n);
	return true;
}

static void get_answer(const struct way *way, struct side *side,
		       uint64_t number)
{
	uint64_t answer = 0;

	if (way->is_ours)
		must("receiving", tol_recv(side->answer, &answer,
					   sizeof(answer), TOL_SECS(30)));
	else
		must("receiving", recv(side->answer_fd, &answer,
				       sizeof(answer), 0));
	if (answer != number)
		stop("another answer", EBADMSG);
}

/* ---- to wait ---- */

static void make_ready(const struct way *way, struct side *side)
{
	if (way->has_set)
		side->set_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < side->count; i++) {
		struct epoll_event event = {
			.events = EPOLLIN, .data.u32 = (uint32_t)i,
		};
		int fd = way->is_ours && way->has_set
				 ? tol_descriptor(side->links[i], TOL_RECV)
				 : side->fds[i];

		side->polls[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (way->has_set) {
			must("a descriptor", fd);
			must("epoll_ctl", epoll_ctl(side->set_fd,
						    EPOLL_CTL_ADD, fd,
						    &event));
		}
	}
}

/* Return: one that is ready */
static int wait_for_one(const struct way *way, struct side *side)
{
	struct epoll_event event;

	if (way->has_set) {
		must("epoll_wait", epoll_wait(side->set_fd, &event, 1, -1));
		return (int)event.data.u32;
	}
	if (way->is_ours)
		must("tol_wait", tol_wait(side->waits, (size_t)side->count,
					  TOL_FOREVER));
	else
		must("poll", poll(side->polls, (nfds_t)side->count, -1));
	for (int i = 0; i < side->count; i++)
		if (way->is_ours ? side->waits[i].ready
				 : (unsigned int)side->polls[i].revents)
			return i;
	return 0;
}

static void answer_all(const struct way *way, struct side *side)
{
	uint64_t number = 0;

	while (number != STOP) {
		int i = wait_for_one(way, side);

		if (get(way, side, i, &number))
			put(way, side->answer, side->answer_fd, number);
	}
}

static pid_t start_other(const struct way *way, int count)
{
	pid_t parent = getpid(), pid = fork();

	must("fork", pid);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	pin(1);
	open_side(way, &there, count, 1);
	make_ready(way, &there);
	answer_all(way, &there);
	close_side(way, &there);
	_exit(0);
}

/* ---- samples ---- */

static void sample(const struct way *way, struct sweep_point *point, int count,
		   int64_t length_ns)
{
	uint64_t number = 1;
	int64_t start_ns, passed_ns;
	pid_t other;
	int status;

	make_queues(way, count);
	other = start_other(way, count);
	open_side(way, &here, count, 0);
	for (int i = 0; i < 100; i++, number++) {
		put(way, here.links[0], here.fds[0], number);
		get_answer(way, &here, number);
	}
	start_ns = now_ns();
	do {
		int i = (int)(number * UINT64_C(0x9e3779b97f4a7c15) >> 33) %
			count;

		put(way, here.links[i], here.fds[i], number);
		get_answer(way, &here, number);
		number++;
		passed_ns = now_ns() - start_ns;
	} while (passed_ns < length_ns);
	sweep_add(point, (double)passed_ns / (double)(number - 101));
	put(way, here.links[0], here.fds[0], STOP);
	get_answer(way, &here, STOP);
	if (waitpid(other, &status, 0) != other || status != 0)
		stop("the other process", ECHILD);
	close_side(way, &here);
	remove_queues(way, count);
}

static void sample_ready(const struct way *way, struct sweep_point *point,
			 int count)
{
	int64_t start_ns;
	int calls = 2000000 / (count + 20) / (way->is_ours ? 1 : 10) + 1;

	make_queues(way, count);
	open_side(way, &here, count, 0);
	make_ready(way, &here);
	if (way->is_ours)
		put(way, here.links[count - 1], -1, 1);
	else
		put(way, NULL, pairs[count - 1][1], 1);
	start_ns = now_ns();
	for (int i = 0; i < calls; i++)
		wait_for_one(way, &here);
	sweep_add(point, (double)(now_ns() - start_ns) / calls);
	close_side(way, &here);
	remove_queues(way, count);
}

static void run(struct sweep *trips, struct sweep *calls, int rounds,
		int sizes_count, int64_t length_ns)
{
	for (int s = 0; s < sizes_count; s++)
		for (int round = 0; round < rounds; round++)
			for (int w = 0; w < WAYS_COUNT; w++) {
				const struct way *way = &ways[w];

				if (isatty(STDERR_FILENO))
					fprintf(stderr, "\r\033[K%d links, "
						"round %d: %s", sizes[s],
						round + 1, way->name);
				sample(way, sweep_point(sweep_series(trips,
							way->name, "ns"),
							sizes[s]),
				       sizes[s], length_ns);
				sample_ready(way, sweep_point(
						     sweep_series(calls,
								  way->name,
								  "ns"),
						     sizes[s]), sizes[s]);
			}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

static void widen(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	pairs = calloc(LINKS_MAX + 1, sizeof(*pairs));
	if (!pairs)
		stop("memory", ENOMEM);
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
	static struct sweep trips = {
		.title = "round trip, one of N links", .sizes = "links",
	};
	static struct sweep calls = {
		.title = "one call, the last of N is ready", .sizes = "links",
	};
	const char *json = NULL, *svg = NULL, *commit = "unknown";
	int rounds = 7, sizes_count = 4, option;
	int64_t length_ns = 100000000;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q') {
			rounds = 1;
			length_ns = 1000000;
			sizes_count = 2;
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
		fprintf(stderr, "wait: --rounds is 1 to %d\n",
			SWEEP_SAMPLES_MAX);
		return 2;
	}
	widen();
	pin(0);
	run(&trips, &calls, rounds, sizes_count, length_ns);
	sweep_print(&trips);
	sweep_print(&calls);
	if (json) {
		FILE *file = sweep_open(json);

		if (!file)
			return 1;
		fprintf(file, "{\n");
		sweep_write_surroundings(file, commit);
		fprintf(file, "  \"rounds\": %d,\n", rounds);
		sweep_write_json(&trips, file);
		fprintf(file, "  ,\n  \"calls\": {\n");
		sweep_write_json(&calls, file);
		fprintf(file, "  }\n}\n");
		if (!sweep_close(file, json))
			return 1;
	}
	return svg && !sweep_write_svg(&trips, "ns", svg);
}
