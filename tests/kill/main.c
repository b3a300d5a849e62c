/* SPDX-License-Identifier: MIT */
/* The list of scenarios: each in a process and a space of its own, two at a time. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/futex.h"
#include "harness.h"

#define SAMPLES 100
#define JOBS 2
#define RUNS_MAX 128
#define REMOVE_TRIES_MAX 1000

struct run {
	const struct scenario *scenario;
	const char *name;
	bool (*special)(void);
	pid_t pid;
	char space[64];
};

struct options options = {
	.only_variant = -1,
	.samples = SAMPLES,
	.hang_secs = 30,
};

static struct run runs[RUNS_MAX];
static size_t runs_count;
static bool is_known;		/* the scenario that was asked for */
static int passed, failed;

static void add(const char *name, const struct scenario *s,
		bool (*special)(void))
{
	if (options.only_scenario && strcmp(options.only_scenario, name) != 0)
		return;
	is_known = true;
	if (runs_count == RUNS_MAX)
		return;
	runs[runs_count++] = (struct run){
		.scenario = s, .name = name, .special = special
	};
}

static void add_list(const struct scenario *list)
{
	for (; list->name; list++)
		add(list->name, list, NULL);
}

static bool make_space(struct run *run)
{
	strcpy(run->space, "/dev/shm/tolsey-kill.XXXXXX");
	if (mkdtemp(run->space))
		return true;
	strcpy(run->space, "/tmp/tolsey-kill.XXXXXX");
	return mkdtemp(run->space) != NULL;
}

static void empty_space(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* Who is just dying may still make a file in it. */
static void remove_space(const char *path)
{
	for (int tries = 0; tries < REMOVE_TRIES_MAX; tries++) {
		empty_space(path);
		if (rmdir(path) == 0)
			return;
		sched_yield();
	}
}

static bool start(struct run *run)
{
	if (!make_space(run))
		return false;
	fflush(stdout);
	run->pid = fork();
	if (run->pid == 0) {
		bool ok;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		strcpy(space, run->space);
		setenv("TOLSEY_SPACE", space, 1);
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ok = shared != MAP_FAILED &&
		     (run->special ? run->special()
				   : run_scenario(run->scenario));
		fflush(stdout);
		_exit(ok ? 0 : 1);
	}
	return run->pid > 0;
}

/* Those who run die with this process, and theirs with them. */
static void clean_up(int signal_number)
{
	for (size_t i = 0; i < runs_count; i++) {
		if (runs[i].pid <= 0)
			continue;
		kill(runs[i].pid, SIGKILL);
		waitpid(runs[i].pid, NULL, 0);
		remove_space(runs[i].space);
	}
	_exit(128 + signal_number);
}

static void finish_one(void)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	for (size_t i = 0; i < runs_count; i++) {
		struct run *run = &runs[i];
		bool is_faulty = run->scenario && run->scenario->is_faulty;

		if (pid <= 0 || run->pid != pid)
			continue;
		run->pid = 0;
		remove_space(run->space);
		if (!WIFEXITED(status))
			printf("%s: crashed\n", run->name);
		if (WIFEXITED(status) &&
		    WEXITSTATUS(status) == (is_faulty ? 1 : 0)) {
			passed++;
		} else {
			failed++;
			printf("FAILED: %s\n", run->name);
		}
	}
}

static void run_all(void)
{
	int running = 0;

	for (size_t i = 0; i < runs_count; i++) {
		if (running == JOBS) {
			finish_one();
			running--;
		}
		if (start(&runs[i])) {
			running++;
		} else {
			perror(runs[i].name);
			failed++;
		}
	}
	for (; running > 0; running--)
		finish_one();
}

static bool may_trace(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Not with the stopgap of an old kernel, which wakes by itself. */
static bool can_sleep(void)
{
	uint32_t word = 1;
	const struct futex_word other = { &word, 0 };

	return futex_kernel_ops.wait(&other, 1, FUTEX_NO_DEADLINE) == -EAGAIN;
}

/*
 * Addresses of heap and stack that stay from run to run, where that is allowed.
 * And a memcpy() without the instruction that is stepped through byte by byte.
 */
static void start_afresh(char **argv)
{
	int now = personality(0xffffffff);

	if (getenv("GLIBC_TUNABLES"))
		return;
	if (now != -1)
		personality((unsigned long)now | ADDR_NO_RANDOMIZE);
	setenv("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff"
	       ":glibc.cpu.x86_rep_stosb_threshold=0x7fffffff", 1);
	execv("/proc/self/exe", argv);
}

static bool read_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--full"))
			options.samples = 0;
		else if (i + 1 == argc)
			return false;
		else if (!strcmp(argv[i], "--samples"))
			options.samples = atol(argv[++i]);
		else if (!strcmp(argv[i], "--scenario"))
			options.only_scenario = argv[++i];
		else if (!strcmp(argv[i], "--point"))
			options.only_point = argv[++i];
		else if (!strcmp(argv[i], "--stop"))
			options.only_variant = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--hang"))
			options.hang_secs = atoi(argv[++i]);
		else
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *given = getenv("TOLSEY_TEST_SEED");
	size_t before_waiting;

	start_afresh(argv);
	options.seed = given ? strtoul(given, NULL, 0)
			     : (unsigned long)time(NULL) ^
				       (unsigned long)getpid() << 16;
	if (!read_options(argc, argv))
		return fputs("usage: harness [--full | --samples N]"
			     " [--hang SECONDS] [--scenario NAME"
			     " [--point P [--stop V]]]\n",
			     stderr), 2;
	add_list(self_scenarios);
	add_list(call_scenarios);
	before_waiting = runs_count;
	add_list(waiting_scenarios);
	add_list(holding_scenarios);
	add_list(changing_scenarios);
	add_list(meeting_scenarios);
	add_list(selecting_scenarios);
	add_list(polling_scenarios);
	add_list(unbounded_scenarios);
	if (!can_sleep()) {
		runs_count = before_waiting;
		puts("skipped: waiting victims: no futex_waitv here");
	}
	add_list(object_scenarios);
	add_list(recovery_scenarios);
	add_list(segment_scenarios);
	add("latency", NULL, run_latency);
	add("memory", NULL, run_memory);
	if (!is_known)
		return fputs("no such scenario\n", stderr), 2;
	if (!may_trace()) {
		printf("skipped: tests/kill: ptrace is not permitted here\n"
		       "0 passed, 0 failed, %zu skipped\n", runs_count);
		return 0;
	}
	signal(SIGTERM, clean_up);
	signal(SIGINT, clean_up);
	printf("TOLSEY_TEST_SEED=%lu\n", options.seed);
	run_all();
	if (can_sleep())
		printf("%d passed, %d failed\n", passed, failed);
	else
		printf("%d passed, %d failed, 1 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
