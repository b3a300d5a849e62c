/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_SECS 120
#define ASLEEP_LOOKS_MAX 20000000

char support_space[64];
static int descriptors_count;
static int tests_count;

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int count_mappings_of_space(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, support_space) || strstr(line, "/memfd:"))
			count++;
	fclose(maps);
	return count;
}

/* Empties the space. Return: how many names there were */
static int empty_space(void)
{
	DIR *dir = opendir(support_space);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		fprintf(stderr, "left in the space: %s\n", entry->d_name);
		unlinkat(dirfd(dir), entry->d_name, 0);
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

/*
 * All spaces of a run lie in one directory, which the runner removes: a test that
 * fails or crashes cannot do it itself.
 */
static char root[40];
static pid_t root_pid;

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	if (getpid() == root_pid)
		nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void make_root(void)
{
	if (root_pid)
		return;
	strcpy(root, "/dev/shm/tolsey-test.XXXXXX");
	if (!mkdtemp(root)) {
		strcpy(root, "/tmp/tolsey-test.XXXXXX");
		if (!mkdtemp(root))
			abort();
	}
	/* Other users pass through. */
	chmod(root, 0711);
	root_pid = getpid();
	atexit(remove_root);
}

static void set_up(void)
{
	snprintf(support_space, sizeof(support_space), "%s/%ld", root,
		 (long)getpid());
	ck_assert_int_eq(mkdir(support_space, 0700), 0);
	setenv("TOLSEY_SPACE", support_space, 1);
	descriptors_count = count_descriptors();
}

static void tear_down(void)
{
	int descriptors = count_descriptors() - descriptors_count;
	int mappings = count_mappings_of_space();
	int names = empty_space();

	rmdir(support_space);
	ck_assert_msg(descriptors == 0, "%d descriptors leaked", descriptors);
	ck_assert_msg(mappings == 0, "%d mappings leaked", mappings);
	ck_assert_msg(names == 0, "%d names leaked", names);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD,
		      "a child process is left");
}

TCase *support_tcase(const char *name)
{
	TCase *tcase = tcase_create(name);

	make_root();
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, TIMEOUT_SECS);
	return tcase;
}

/* What tests, in children of the runner, could not do. */
static struct skips {
	int inside_count;
	int count;
	char text[2000];
} *skips;

static struct skips *get_skips(void)
{
	if (!skips)
		skips = mmap(NULL, sizeof(*skips), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (skips == MAP_FAILED)
		abort();
	return skips;
}

void support_skip(const char *name, const char *why)
{
	struct skips *s = get_skips();
	size_t used = strlen(s->text);
	char text[200];

	snprintf(text, sizeof(text), "%s (%s)", name, why);
	s->count++;
	/* A test that runs in a loop is named once. */
	if (!strstr(s->text, text))
		snprintf(s->text + used, sizeof(s->text) - used, "%s%s",
			 used ? ", " : "", text);
}

/* libcheck appends _fn to a test's name. */
void support_skip_inside(const char *function, const char *why)
{
	char name[100];
	size_t length;

	snprintf(name, sizeof(name), "%s", function);
	length = strlen(name);
	if (length > 3 && !strcmp(name + length - 3, "_fn"))
		name[length - 3] = '\0';
	support_skip(name, why);
	get_skips()->inside_count++;
}

int support_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	get_skips();
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_NORMAL);
	tests_count = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("%d passed, %d failed",
	       tests_count - failed - skips->inside_count, failed);
	if (skips->count > 0)
		printf(", %d skipped: %s", skips->count, skips->text);
	printf("\n");
	return failed ? 1 : 0;
}

pid_t support_fork(int (*body)(void *context), void *context)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(body(context));
	return pid;
}

int support_wait(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* By system calls that nothing but waiting is done with. */
static bool is_sleep(long number)
{
	static const long numbers[] = {
		SYS_futex, 449 /* futex_waitv */, SYS_ppoll, SYS_epoll_pwait,
		SYS_pselect6,
#ifdef SYS_poll
		SYS_poll, SYS_pause, SYS_epoll_wait, SYS_select,
#endif
	};

	/* "running", and what it says of one that is about to start, is 0. */
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (number == numbers[i] && number != 0)
			return true;
	return false;
}

void support_wait_asleep(pid_t pid)
{
	char path[64], line[64];

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	for (int i = 0; i < ASLEEP_LOOKS_MAX; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

		if (fd >= 0)
			close(fd);
		ck_assert_msg(n >= 0, "process %d is gone", (int)pid);
		line[n] = '\0';
		if (is_sleep(strtol(line, NULL, 10)))
			return;
		sched_yield();
	}
	ck_abort_msg("process %d does not fall asleep", (int)pid);
}

static bool was_open[256];

void support_note_descriptors(void)
{
	for (int fd = 0; fd < 256; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
}

void support_close_others(void)
{
	for (int fd = 0; fd < 256; fd++)
		if (!was_open[fd])
			close(fd);
}

unsigned int support_seed(void)
{
	const char *given = getenv("TOLSEY_TEST_SEED");
	unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 0)
				  : (unsigned int)time(NULL) ^
					    (unsigned int)getpid() << 16;

	printf("TOLSEY_TEST_SEED=%u\n", seed);
	fflush(stdout);
	return seed;
}
