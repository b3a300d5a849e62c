/* SPDX-License-Identifier: MIT */
/*
 * corpus - hash every file of a tree in worker processes
 *
 *	corpus ROOT OUT SEED
 *
 * LANES senders read files and send them whole, LANES workers hash them. The
 * job is done four times: by mailbox while a worker and a sender are killed,
 * by mailbox, by pipes, by System V messages. Each writes "HASH  PATH" with a
 * zero after it, as sha256sum -z, to OUT.killed, OUT.mailbox, OUT.pipe,
 * OUT.sysv.
 *
 * Why nothing is missed or done twice: a sender counts a file as begun before
 * it sends it, and its successor goes on behind it. What a killed worker had
 * taken comes back by itself, unless it was just done with. Once all senders are
 * done the workers get a STOP each, after all files; once each has said BYE, after
 * its results, whatever has no result was in the hand of a killed process,
 * and is sent again.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <tolsey.h>
#include <unistd.h>

#include "sha256.h"
#include "transport.h"

enum kind { RESULT, DONE, BYE };	/* DONE: a sender, BYE: a worker */

#define STOP UINT32_MAX		/* instead of a file's number */

struct job_head {
	uint32_t file;
};

struct result {
	uint32_t kind, file;
	uint64_t size_bytes;
	unsigned char hash[SHA256_BYTES];
};

struct file {
	char *path;
	uint64_t size_bytes;
	unsigned char hash[SHA256_BYTES];
	int has_result;
};

/* What a round has to do, and who does it. */
struct round {
	const uint32_t *todo;
	uint32_t todo_count;
	int lanes_count;
	pid_t senders[LANES], workers[LANES];
	int senders_done, workers_gone, results_count;
};

struct outcome {
	const char *name;
	double seconds;
	uint32_t resent, duplicates;
	int kills;
};

static struct file *files;
static uint32_t files_count, files_room;
static uint64_t bytes_total;
static const struct transport *transport;
/* Of each sender: how many of its files it has begun; shared with them. */
static volatile uint32_t *begun;
static int show_progress;

static pid_t coordinator;
static volatile pid_t victim;

/* ---- processes ---------------------------------------------------------- */

/* Ends everything when the user says so, or when a child fails. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (getpid() != coordinator)
		_exit(1);
	if (sig == SIGCHLD && (info->si_pid == victim ||
	    (info->si_code == CLD_EXITED && info->si_status == 0)))
		return;
	/* The children ask to be killed when the parent ends. */
	if (transport && transport != &transport_mailbox)
		transport->remove();
	_exit(sig == SIGCHLD || sig == SIGALRM ? 1 : 128 + sig);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_RESTART };
	static const int signals[] = {
		SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD,
	};

	action.sa_sigaction = on_signal;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	/* A deadlock is a failure, not a demo without end. */
	alarm(240);
}

/* fork(), and the child is ready to work. */
static pid_t start(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fail("fork", -errno);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != coordinator)
		_exit(1);
	transport->join();
	return 0;
}

static void read_file(const char *path, struct buffer *buffer, size_t *ret_size)
{
	size_t size = sizeof(struct job_head);
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(path, -errno);
	do {
		buffer_need(buffer, size + (size_t)st.st_size + 1);
		n = read(fd, buffer->bytes + size, buffer->size_bytes - size);
		if (n < 0)
			fail(path, -errno);
		size += (size_t)n;
	} while (n > 0);
	close(fd);
	*ret_size = size;
}

static pid_t start_sender(const struct round *round, int lane)
{
	struct result done = { .kind = DONE };
	struct buffer buffer = { 0 };
	size_t size;
	pid_t pid = start();

	if (pid > 0)
		return pid;
	for (;;) {
		struct job_head head;
		uint32_t at = (uint32_t)lane +
			begun[lane] * (uint32_t)round->lanes_count;

		if (at >= round->todo_count)
			break;
		head.file = round->todo[at];
		begun[lane]++;
		read_file(files[head.file].path, &buffer, &size);
		memcpy(buffer.bytes, &head, sizeof(head));
		transport->send_job(lane, buffer.bytes, size);
	}
	transport->send_result(&done, sizeof(done));
	transport->leave();
	_exit(0);
}

static pid_t start_worker(int lane)
{
	struct buffer buffer = { 0 };
	struct result result = { .kind = RESULT };
	struct job_head head;
	pid_t pid = start();

	if (pid > 0)
		return pid;
	for (;;) {
		size_t n;
		const unsigned char *job = transport->recv_job(lane, &buffer,
							       &n);

		if (n < sizeof(head))
			fail("a job", -EBADMSG);
		memcpy(&head, job, sizeof(head));
		if (head.file == STOP)
			break;
		result.file = head.file;
		result.size_bytes = n - sizeof(head);
		if (sha256(job + sizeof(head), n - sizeof(head),
			   result.hash) < 0)
			fail("SHA-256", -EIO);
		transport->end_job();
		transport->send_result(&result, sizeof(result));
	}
	transport->end_job();
	result.kind = BYE;
	transport->send_result(&result, sizeof(result));
	transport->leave();
	_exit(0);
}

/* A process of its own, so that the coordinator goes on taking results. */
static void start_stopper(int lanes_count)
{
	struct job_head head = { STOP };

	if (start() > 0)
		return;
	for (int lane = 0; lane < lanes_count; lane++)
		transport->send_job(lane, &head, sizeof(head));
	transport->leave();
	_exit(0);
}

static void kill_and_reap(pid_t pid)
{
	int status;

	victim = pid;
	if (kill(pid, SIGKILL) < 0)
		fail("kill", -errno);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid", -errno);
	if (!WIFSIGNALED(status))
		fail("the victim ended before it was killed", -ECHILD);
}

/* ---- the coordinator ---------------------------------------------------- */

static void take_result(struct round *round, struct outcome *outcome,
			const struct result *result)
{
	struct file *file;

	if (result->file >= files_count)
		fail("a result", -EBADMSG);
	file = &files[result->file];
	outcome->duplicates += (uint32_t)file->has_result;
	file->has_result = 1;
	file->size_bytes = result->size_bytes;
	memcpy(file->hash, result->hash, SHA256_BYTES);
	round->results_count++;
	if (show_progress && round->results_count % 64 == 0)
		fprintf(stderr, "\r%-20s %d of %u files ", outcome->name,
			round->results_count, round->todo_count);
}

/* Kills one of each kind when the time for it has come. */
static void kill_some(struct round *round, struct outcome *outcome,
		      const int kill_at[2])
{
	int lane = rand() % LANES;

	if (round->results_count == kill_at[0]) {
		kill_and_reap(round->workers[lane]);
		printf("  killed worker %d after %d results, and replaced it\n",
		       lane, round->results_count);
		round->workers[lane] = start_worker(lane);
		outcome->kills++;
	}
	if (round->results_count == kill_at[1]) {
		/* One that is not done: it would be no sender any more. */
		for (int i = 0; i < LANES; i++, lane = (lane + 1) % LANES)
			if (begun[lane] < round->todo_count / LANES)
				break;
		kill_and_reap(round->senders[lane]);
		printf("  killed sender %d after %d results, and replaced it\n",
		       lane, round->results_count);
		round->senders[lane] = start_sender(round, lane);
		outcome->kills++;
	}
}

static void run_round(struct round *round, struct outcome *outcome,
		      const int kill_at[2])
{
	struct result result;

	for (int i = 0; i < LANES; i++)
		begun[i] = 0;
	for (int i = 0; i < round->lanes_count; i++) {
		round->workers[i] = start_worker(i);
		round->senders[i] = start_sender(round, i);
	}
	while (round->workers_gone < round->lanes_count) {
		transport->recv_result(&result, sizeof(result));
		if (result.kind == BYE) {
			round->workers_gone++;
		} else if (result.kind == DONE) {
			if (++round->senders_done == round->lanes_count)
				start_stopper(round->lanes_count);
		} else {
			take_result(round, outcome, &result);
			if (kill_at)
				kill_some(round, outcome, kill_at);
		}
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	if (show_progress)
		fprintf(stderr, "\r%60s\r", "");
}

static uint32_t find_missing(uint32_t *todo)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < files_count; i++)
		if (!files[i].has_result)
			todo[count++] = i;
	return count;
}

static void write_hashes(const char *out, const char *suffix)
{
	char path[4096];
	FILE *stream;

	snprintf(path, sizeof(path), "%s.%s", out, suffix);
	stream = fopen(path, "w");
	if (!stream)
		fail(path, -errno);
	for (uint32_t i = 0; i < files_count; i++) {
		for (int j = 0; j < SHA256_BYTES; j++)
			fprintf(stream, "%02x", files[i].hash[j]);
		fprintf(stream, "  %s%c", files[i].path, 0);
	}
	if (fclose(stream) != 0)
		fail(path, -errno);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_job(const struct transport *with, const int kill_at[2],
		    struct outcome *outcome)
{
	uint32_t *todo = calloc(files_count, sizeof(*todo));
	struct round round = { .todo = todo, .lanes_count = LANES };
	double begin;

	if (!todo)
		fail("memory", -ENOMEM);
	for (uint32_t i = 0; i < files_count; i++)
		files[i].has_result = 0;
	transport = with;
	outcome->name = with->name;
	begin = now();
	transport->create();
	transport->join();
	round.todo_count = find_missing(todo);
	run_round(&round, outcome, kill_at);
	while ((round.todo_count = find_missing(todo)) > 0) {
		outcome->resent += round.todo_count;
		round = (struct round){ .todo = todo, .lanes_count = 1,
					.todo_count = round.todo_count };
		run_round(&round, outcome, NULL);
	}
	transport->leave();
	transport->remove();
	outcome->seconds = now() - begin;
	transport = NULL;
	free(todo);
}

static void report(const struct outcome *outcome, const char *how)
{
	printf("  %-19s %6u files %7.1f MB %6.2f s %7.0f files/s %6.0f MB/s\n"
	       "  %19s (%s)\n", outcome->name, files_count,
	       (double)bytes_total / 1e6, outcome->seconds,
	       files_count / outcome->seconds,
	       (double)bytes_total / 1e6 / outcome->seconds, "", how);
	fflush(stdout);
}

static int add_file(const char *path, const struct stat *st, int type,
		    struct FTW *walk)
{
	(void)walk;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (files_count == files_room) {
		files_room = files_room ? 2 * files_room : 1024;
		files = realloc(files, files_room * sizeof(*files));
		if (!files)
			fail("memory", -ENOMEM);
	}
	files[files_count] = (struct file){ .path = strdup(path) };
	if (!files[files_count].path)
		fail("memory", -ENOMEM);
	files_count++;
	bytes_total += (uint64_t)st->st_size;
	return 0;
}

static void share_counters(struct tol_segment **ret_segment)
{
	void *memory;
	int err = tol_segment_create(ret_segment, NULL,
				     LANES * sizeof(*begun), NULL);

	if (err == 0)
		err = tol_segment_attach(*ret_segment, NULL, &memory);
	if (err < 0)
		fail("private segment for the counters", err);
	begun = memory;
}

static int count_name(const char *name, enum tol_kind kind, void *context)
{
	(void)name;
	(void)kind;
	++*(int *)context;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const struct transport *transport;
		const char *suffix;
	} jobs[] = {
		{ &transport_mailbox, "killed" },
		{ &transport_mailbox, "mailbox" },
		{ &transport_pipe, "pipe" },
		{ &transport_sysv, "sysv" },
	};
	struct outcome outcomes[4] = { 0 };
	struct tol_segment *segment;
	const char *library;
	int kill_at[2], left = 0, wrong = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: corpus ROOT OUT SEED\n");
		return 2;
	}
	coordinator = getpid();
	show_progress = isatty(STDERR_FILENO);
	library = sha256_init();
	if (!library)
		fail("SHA-256 of libcrypto or the kernel", -EOPNOTSUPP);
	if (nftw(argv[1], add_file, 64, FTW_PHYS) < 0)
		fail(argv[1], -errno);
	/* Fewer, and a sender is done before it can be killed. */
	if (files_count < 8 * CAPACITY) {
		fprintf(stderr, "corpus: %s has %u files: name a tree of at "
			"least %d\n", argv[1], files_count, 8 * CAPACITY);
		return 2;
	}
	srand((unsigned int)strtoul(argv[3], NULL, 10));
	kill_at[0] = 1 + rand() % (int)(files_count / 4);
	kill_at[1] = 1 + rand() % (int)(files_count / 4);
	printf("%u files, %llu bytes; SHA-256 by %s; seed %s\n", files_count,
	       (unsigned long long)bytes_total, library, argv[3]);
	catch_signals();
	share_counters(&segment);
	for (int i = 0; i < 4; i++) {
		run_job(jobs[i].transport, i == 0 ? kill_at : NULL,
			&outcomes[i]);
		write_hashes(argv[2], jobs[i].suffix);
		if (i == 0)
			printf("  in a killed process's hand, missing, sent "
			       "again: %u\n", outcomes[0].resent);
		report(&outcomes[i], i == 0 ? "with the two kills" :
		       jobs[i].transport->how);
		/* A killed process had one file in hand, at most. */
		wrong += outcomes[i].duplicates != 0 ||
			outcomes[i].kills != (i == 0 ? 2 : 0) ||
			outcomes[i].resent > (uint32_t)outcomes[i].kills;
	}
	tol_segment_close(segment);
	if (tol_space_list(NULL, count_name, &left) < 0 || left != 0)
		wrong++;
	printf("  results twice: %u; objects left: %d; processes left: %s\n",
	       outcomes[0].duplicates, left,
	       waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ?
	       "none" : "some");
	return wrong != 0;
}
