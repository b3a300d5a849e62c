/* SPDX-License-Identifier: MIT */
/*
 * What several processes do to one segment: count, grow, seal, as the header
 * says it, written from the header alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define PAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)

static struct tol_segment *make(const char *name, uint64_t size_bytes)
{
	struct tol_segment *s = NULL;

	ck_assert_int_eq(tol_segment_create(&s, name, size_bytes, NULL), 0);
	return s;
}

static struct tol_segment *open_segment(const char *name)
{
	struct tol_segment *s = NULL;

	ck_assert_int_eq(tol_segment_open(&s, name, NULL), 0);
	return s;
}

static int try_attach(struct tol_segment *s, unsigned int flags,
		      void **ret_address)
{
	struct tol_attach_opts opts = { .flags = flags };

	return tol_segment_attach(s, &opts, ret_address);
}

static unsigned char *attach(struct tol_segment *s, unsigned int flags)
{
	void *p = NULL;

	ck_assert_int_eq(try_attach(s, flags, &p), 0);
	return p;
}

static struct tol_segment_stat look(struct tol_segment *s)
{
	struct tol_segment_stat st;

	ck_assert_int_eq(tol_segment_stat(s, &st), 0);
	return st;
}

static void end(struct tol_segment *s, const char *name)
{
	tol_segment_close(s);
	if (name)
		ck_assert_int_eq(tol_segment_remove(name, NULL), 0);
}

/* What the processes of a test share beside the segment. */
struct stage {
	atomic_int step, ready_count;
	struct tol_segment *segment;
	unsigned char *address;
	atomic_int results[64];
};

static struct stage *make_stage(void)
{
	struct stage *stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(stage, MAP_FAILED);
	return stage;
}

/* One says that it is there and waits; the other waits for all and lets go. */
static void arrive(struct stage *stage, int step)
{
	atomic_fetch_add(&stage->ready_count, 1);
	while (atomic_load(&stage->step) < step)
		sched_yield();
}

static void await(struct stage *stage, int ready_count)
{
	while (atomic_load(&stage->ready_count) < ready_count)
		sched_yield();
}

/* ---- the count ------------------------------------------------------------ */

static int stay(void *context)
{
	arrive(context, 1);
	return 0;
}

static int detach_inherited(void *context)
{
	struct stage *stage = context;

	stage->address[1] = 2;
	if (tol_segment_detach(stage->segment, stage->address))
		return 1;
	arrive(stage, 1);
	tol_segment_close(stage->segment);
	return 0;
}

static int close_inherited(void *context)
{
	struct stage *stage = context;

	tol_segment_close(stage->segment);
	arrive(stage, 1);
	return 0;
}

static int close_descriptors(void *context)
{
	struct stage *stage = context;
	void *p;

	closefrom(3);
	stage->address[2] = 3;
	if (try_attach(stage->segment, 0, &p) != -ECHILD)
		return 1;
	arrive(stage, 1);
	return stage->address[2] != 3;
}

static int attach_again(void *context)
{
	struct stage *stage = context;
	void *p;

	if (try_attach(stage->segment, 0, &p))
		return 1;
	arrive(stage, 1);
	return 0;
}

static void *touch_in_thread(void *p)
{
	*(volatile unsigned char *)p = 5;
	return NULL;
}

static int end_a_thread(void *context)
{
	struct stage *stage = context;
	pthread_t thread;

	if (pthread_create(&thread, NULL, touch_in_thread, stage->address) ||
	    pthread_join(thread, NULL))
		return 1;
	arrive(stage, 1);
	return 0;
}

struct child_case {
	int (*body)(void *context);
	uint32_t count; /* while the child is there */
};

static const struct child_case child_cases[] = {
	{ stay, 2 },
	{ detach_inherited, 1 },
	{ close_inherited, 1 },
	{ close_descriptors, 2 },
	{ attach_again, 3 },
	{ end_a_thread, 2 },
};

/* By turns the child ends by itself or is killed. */
START_TEST(count_with_a_child)
{
	struct child_case it = child_cases[_i / 4];
	const char *name = _i & 1 ? "s" : NULL;
	struct stage *stage = make_stage();
	pid_t pid;

	stage->segment = make(name, 100);
	stage->address = attach(stage->segment, 0);
	pid = support_fork(it.body, stage);
	await(stage, 1);
	ck_assert_uint_eq(look(stage->segment).attach_count, it.count);
	ck_assert_uint_eq(look(stage->segment).attach_write_count, it.count);
	if (_i & 2) {
		kill(pid, SIGKILL);
		ck_assert_int_eq(support_wait(pid), -SIGKILL);
	} else {
		atomic_store(&stage->step, 1);
		ck_assert_int_eq(support_wait(pid), 0);
	}
	ck_assert_uint_eq(look(stage->segment).attach_count, 1);
	stage->address[0] = 1;
	ck_assert_int_eq(tol_segment_detach(stage->segment, stage->address), 0);
	ck_assert_uint_eq(look(stage->segment).attach_count, 0);
	end(stage->segment, name);
	munmap(stage, sizeof(*stage));
}
END_TEST

/* Becomes a cat. */
static int become_another(void *context)
{
	int *fds = context;

	dup2(fds[0], 0);
	dup2(fds[3], 1);
	close(fds[1]);
	execlp("cat", "cat", (char *)NULL);
	return 1;
}

START_TEST(exec_detaches)
{
	struct tol_segment *s = make(NULL, 100);
	int fds[4];
	char c;
	pid_t pid;

	attach(s, 0);
	ck_assert_int_eq(pipe(fds) | pipe(fds + 2), 0);
	pid = support_fork(become_another, fds);
	close(fds[0]);
	/* What comes back comes from cat: exec has happened. */
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(read(fds[2], &c, 1), 1);
	ck_assert_uint_eq(look(s).attach_count, 1);
	close(fds[1]);
	ck_assert_int_eq(support_wait(pid), 0);
	close(fds[2]);
	close(fds[3]);
	end(s, NULL);
}
END_TEST

static int attach_and_detach_often(void *context)
{
	struct stage *stage = context;
	struct tol_segment *s = open_segment("s");

	atomic_fetch_add(&stage->ready_count, 1);
	for (int i = 0; atomic_load(&stage->step) == 0 || i < 50; i++) {
		unsigned char *p = attach(s, i % 2 ? TOL_ATTACH_READONLY : 0);
		struct tol_segment_stat st = look(s);

		/* The first one's and this one's stay all the while. */
		if (st.attach_count < 2 || st.attach_write_count < 1 ||
		    tol_segment_detach(s, p))
			return 1;
	}
	return 0;
}

static int change_place(void *context)
{
	struct stage *stage = context;
	struct tol_segment *s = open_segment("s");
	unsigned char *before = attach(s, 0), *p;

	atomic_fetch_add(&stage->ready_count, 1);
	while (atomic_load(&stage->step) == 0) {
		p = attach(s, 0);
		if (tol_segment_detach(s, before))
			return 1;
		before = p;
		usleep(2000);
	}
	return 0;
}

/* One who comes and goes is seen as it was at some moment: once, or twice. */
START_TEST(count_is_of_one_moment)
{
	struct stage *stage = make_stage();
	struct tol_segment *s = make("s", 100);
	pid_t pid = support_fork(change_place, stage);

	await(stage, 1);
	for (int i = 0; i < 30; i++)
		attach(s, TOL_ATTACH_READONLY);
	for (int i = 0; i < 300; i++) {
		struct tol_segment_stat st = look(s);

		ck_assert_uint_ge(st.attach_count, 31);
		ck_assert_uint_le(st.attach_count, 32);
		ck_assert_uint_eq(st.attach_count - st.attach_write_count, 30);
	}
	atomic_store(&stage->step, 1);
	ck_assert_int_eq(support_wait(pid), 0);
	end(s, "s");
	munmap(stage, sizeof(*stage));
}
END_TEST

START_TEST(count_while_others_come_and_are_killed)
{
	struct stage *stage = make_stage();
	struct tol_segment *s = make("s", 100);
	pid_t pids[8];

	attach(s, TOL_ATTACH_NOFORK);
	for (int i = 0; i < 8; i++)
		pids[i] = support_fork(attach_and_detach_often, stage);
	await(stage, 8);
	for (int i = 0; i < 4; i++) {
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(support_wait(pids[i]), -SIGKILL);
	}
	atomic_store(&stage->step, 1);
	for (int i = 4; i < 8; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_uint_eq(look(s).attach_count, 1);
	ck_assert_uint_eq(look(s).attach_write_count, 1);
	end(s, "s");
	munmap(stage, sizeof(*stage));
}
END_TEST

/* ---- grow ----------------------------------------------------------------- */

START_TEST(grow_rules)
{
	const char *name = _i ? "s" : NULL;
	struct tol_segment *s = make(name, 2 * PAGE);
	struct tol_attach_opts opts = { .reserve_bytes = MIB };
	unsigned char *p, *beyond;
	void *q;

	ck_assert_int_eq(tol_segment_attach(s, &opts, &q), 0);
	p = q;
	opts.flags = TOL_ATTACH_READONLY;
	ck_assert_int_eq(tol_segment_attach(s, &opts, &q), 0);
	p[2 * PAGE - 1] = 8;
	ck_assert_int_eq(tol_segment_grow(s, 0), 0);
	ck_assert_int_eq(tol_segment_grow(s, 1), 0);
	ck_assert_int_eq(tol_segment_grow(s, 2 * PAGE), 0);
	ck_assert_uint_eq(look(s).size_bytes, 2 * PAGE);
	ck_assert_int_eq(tol_segment_grow(s, 2 * PAGE + 1), 0);
	ck_assert_uint_eq(look(s).size_bytes, 2 * PAGE + 1);
	ck_assert_int_eq(tol_segment_grow(s, MIB), 0);
	ck_assert_uint_eq(look(s).size_bytes, MIB);
	ck_assert_uint_ge(look(s).memory_bytes, MIB);
	ck_assert_int_eq(tol_segment_grow(s, 5), 0);
	for (uint64_t i = 2 * PAGE; i < MIB; i++)
		if (p[i])
			ck_abort_msg("byte %llu", (unsigned long long)i);
	p[MIB - 1] = 9;
	ck_assert_uint_eq(((unsigned char *)q)[MIB - 1], 9);
	ck_assert_int_eq(tol_segment_grow(s, 2 * MIB), 0);
	beyond = attach(s, 0);
	ck_assert_uint_eq(beyond[MIB - 1], 9);
	ck_assert_uint_eq(beyond[2 * MIB - 1], 0);
	ck_assert_int_eq(tol_segment_grow(s, TOL_SEGMENT_SIZE_MAX_BYTES + 1),
			 -EFBIG);
	ck_assert_uint_eq(look(s).size_bytes, 2 * MIB);
	end(s, name);
}
END_TEST

static int see_growth(void *context)
{
	struct stage *stage = context;

	arrive(stage, 1);
	return stage->address[10 * PAGE] != 44;
}

START_TEST(growth_shows_in_every_process)
{
	struct tol_attach_opts opts = { .reserve_bytes = 16 * PAGE,
					.flags = TOL_ATTACH_READONLY };
	struct stage *stage = make_stage();
	struct tol_segment *s = make("s", 1);
	void *p;
	pid_t pid;

	ck_assert_int_eq(tol_segment_attach(s, &opts, &p), 0);
	stage->address = p;
	pid = support_fork(see_growth, stage);
	await(stage, 1);
	ck_assert_int_eq(tol_segment_grow(s, 11 * PAGE), 0);
	attach(s, 0)[10 * PAGE] = 44;
	atomic_store(&stage->step, 1);
	ck_assert_int_eq(support_wait(pid), 0);
	end(s, "s");
	munmap(stage, sizeof(*stage));
}
END_TEST

static int grow_in_steps(void *context)
{
	struct stage *stage = context;
	struct tol_segment *s = open_segment("s");
	struct tol_attach_opts opts = { .reserve_bytes = 400 * PAGE };
	int number = atomic_fetch_add(&stage->ready_count, 1);
	uint64_t size = 0;
	void *q;

	if (tol_segment_attach(s, &opts, &q))
		return 1;
	while (atomic_load(&stage->step) < 1)
		sched_yield();
	for (uint64_t n = 1; n <= 100; n++) {
		uint64_t wanted = (n * 4 - (uint64_t)number) * PAGE;

		if (tol_segment_grow(s, wanted))
			return 2;
		if (look(s).size_bytes < wanted || look(s).size_bytes < size)
			return 3;
		size = look(s).size_bytes;
		((volatile unsigned char *)q)[wanted - 1] = 1;
	}
	return 0;
}

START_TEST(many_grow_at_once)
{
	struct stage *stage = make_stage();
	struct tol_segment *s = make("s", 1);
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = support_fork(grow_in_steps, stage);
	await(stage, 4);
	atomic_store(&stage->step, 1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_uint_eq(look(s).size_bytes, 400 * PAGE);
	for (uint64_t i = 1; i <= 400; i++)
		ck_assert_uint_eq(attach(s, 0)[i * PAGE - 1], 1);
	end(s, "s");
	munmap(stage, sizeof(*stage));
}
END_TEST

START_TEST(grow_beyond_file_size_limit)
{
	struct tol_segment *s = make(_i ? "s" : NULL, PAGE), *t = NULL;
	struct rlimit before, small;
	int grown, created, named;

	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 64 * PAGE;
	/* libcheck writes files too: no assertion while the limit is there. */
	setrlimit(RLIMIT_FSIZE, &small);
	grown = tol_segment_grow(s, MIB);
	created = tol_segment_create(&t, NULL, MIB, NULL);
	named = tol_segment_create(&t, "t", MIB, NULL);
	setrlimit(RLIMIT_FSIZE, &before);
	ck_assert_int_eq(grown, -EFBIG);
	ck_assert_int_eq(created, -EFBIG);
	ck_assert_int_eq(named, -EFBIG);
	ck_assert_uint_eq(look(s).size_bytes, PAGE);
	ck_assert_int_eq(tol_segment_grow(s, MIB), 0);
	end(s, _i ? "s" : NULL);
}
END_TEST

/* ---- seal ----------------------------------------------------------------- */

static int stay_attached(void *context)
{
	struct stage *stage = context;

	attach(stage->segment, stage->results[0] ? TOL_ATTACH_READONLY : 0);
	arrive(stage, 1);
	return 0;
}

START_TEST(seal_rules)
{
	const char *name = _i & 1 ? "s" : NULL;
	struct stage *stage = make_stage();
	struct tol_segment *s = make(name, 100);
	unsigned char *p = attach(s, 0), *r = attach(s, TOL_ATTACH_READONLY);
	struct tol_attach_opts opts = { 0 };
	void *q;
	pid_t pid;

	p[99] = 3;
	ck_assert_int_eq(tol_segment_seal(s), -EBUSY);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	stage->segment = s;
	stage->results[0] = _i & 2;
	pid = support_fork(stay_attached, stage);
	await(stage, 1);
	ck_assert_int_eq(look(s).is_sealed, 0);
	ck_assert_int_eq(tol_segment_seal(s), _i & 2 ? 0 : -EBUSY);
	ck_assert_int_eq(look(s).is_sealed != 0, (_i & 2) != 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert_int_ne(look(s).is_sealed, 0);
	ck_assert_int_eq(tol_segment_attach(s, &opts, &q), -EPERM);
	ck_assert_int_eq(tol_segment_grow(s, 200), -EPERM);
	ck_assert_int_eq(tol_segment_grow(s, 50), 0);
	ck_assert_uint_eq(r[99], 3);
	ck_assert_uint_eq(attach(s, TOL_ATTACH_READONLY)[99], 3);
	ck_assert_uint_eq(look(s).attach_write_count, 0);
	if (name) {
		ck_assert_uint_eq(look(s).mode, 0400);
		tol_segment_close(s);
		s = open_segment("s");
		ck_assert_int_lt(tol_segment_attach(s, &opts, &q), 0);
		ck_assert_int_eq(tol_segment_seal(s), 0);
	}
	end(s, name);
	munmap(stage, sizeof(*stage));
}
END_TEST

/* No process, whatever it holds, can write a private one again. */
START_TEST(sealed_by_the_kernel)
{
	struct tol_segment *s = make(NULL, 100);
	int found = 0;

	ck_assert_int_eq(tol_segment_seal(s), 0);
	for (int fd = 3; fd < 64; fd++) {
		char path[64], target[128] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) < 0 ||
		    !strstr(target, "memfd:"))
			continue;
		found++;
		ck_assert_int_eq(pwrite(fd, "x", 1, 4096), -1);
		ck_assert_int_eq(ftruncate(fd, 0), -1);
		ck_assert_int_eq(ftruncate(fd, 1 << 20), -1);
		ck_assert_ptr_eq(
			mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 4096),
			MAP_FAILED);
	}
	ck_assert_int_eq(found, 1);
	tol_segment_close(s);
}
END_TEST

#define RACERS_COUNT 6

/* Even ones seal, odd ones attach for writing; both for named and private. */
static int seal_or_write(void *context)
{
	struct stage *stage = context;
	int number = atomic_fetch_add(&stage->ready_count, 1), result;
	struct tol_segment *s = stage->segment;
	void *p = NULL;

	while (atomic_load(&stage->step) < 1)
		sched_yield();
	if (number % 2 == 0) {
		result = tol_segment_seal(s);
	} else {
		result = try_attach(s, 0, &p);
		/* Who may write, writes, and no seal says that it is there. */
		if (result == 0 && look(s).is_sealed)
			return 1;
		if (result == 0)
			*(unsigned char *)p = 1;
	}
	atomic_store(&stage->results[number], result);
	atomic_fetch_add(&stage->ready_count, 1);
	while (atomic_load(&stage->step) < 2)
		sched_yield();
	return 0;
}

START_TEST(sealers_and_writers_at_once)
{
	struct stage *stage = make_stage();
	const char *name = _i & 1 ? "s" : NULL;
	pid_t pids[RACERS_COUNT];
	int sealed = 0;
	unsigned int writing = 0;
	bool is_root = geteuid() == 0;

	/* Root may write where no write bit is left: by turns as another. */
	if (is_root && _i & 2) {
		ck_assert_int_eq(chmod(support_space, 01777), 0);
		is_root = setresuid(65533, 65533, 0) == 0;
	}
	stage->segment = make(name, 100);
	for (int i = 0; i < RACERS_COUNT; i++)
		pids[i] = support_fork(seal_or_write, stage);
	await(stage, RACERS_COUNT);
	atomic_store(&stage->step, 1);
	await(stage, 2 * RACERS_COUNT);
	for (int i = 0; i < RACERS_COUNT; i++) {
		int result = stage->results[i];

		if (i % 2 == 0)
			ck_assert_msg(result == 0 || result == -EBUSY,
				      "seal: %d", result);
		else
			ck_assert_msg(result == 0 || result == -EPERM,
				      "attach: %d", result);
		sealed += i % 2 == 0 && result == 0;
		writing += i % 2 == 1 && result == 0;
	}
	ck_assert_msg(!sealed || !writing, "%d sealed, %u write", sealed,
		      writing);
	ck_assert_int_eq(look(stage->segment).is_sealed != 0, sealed != 0);
	ck_assert_uint_eq(look(stage->segment).attach_write_count, writing);
	atomic_store(&stage->step, 2);
	for (int i = 0; i < RACERS_COUNT; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_int_eq(tol_segment_seal(stage->segment), 0);
	end(stage->segment, name);
	if (is_root && _i & 2)
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	munmap(stage, sizeof(*stage));
}
END_TEST

/* ---- remove --------------------------------------------------------------- */

static int remove_traced(void *unused)
{
	(void)unused;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 99;
	raise(SIGSTOP);
	return -tol_segment_remove("x", NULL);
}

/* Whether this process may do so; tried. */
static bool can_trace(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Return: true before that call; false: it has ended, with that status */
static bool run_to_call(pid_t pid, const long *calls, int *ret_status)
{
	for (;;) {
		struct __ptrace_syscall_info info;

		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, ret_status, 0), pid);
		if (!WIFSTOPPED(*ret_status))
			return false;
		ck_assert_int_gt(ptrace(PTRACE_GET_SYSCALL_INFO, pid,
					sizeof(info), &info),
				 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY &&
		    ((long)info.entry.nr == calls[0] ||
		     (long)info.entry.nr == calls[1]))
			return true;
	}
}

static pid_t start_remover(void)
{
	pid_t pid = support_fork(remove_traced, NULL);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
			 0);
	return pid;
}

/*
 * It has looked, and is about to take the name away: just then the name goes
 * to a mailbox, which must stay; or to another segment, which may go.
 */
START_TEST(name_changes_hands_under_a_remover)
{
	const long calls[] = { SYS_renameat2, SYS_unlinkat };
	pid_t pid;
	int status;

	tol_segment_close(make("x", 1));
	pid = start_remover();
	ck_assert(run_to_call(pid, calls, &status));
	ck_assert_int_eq(tol_segment_remove("x", NULL), 0);
	if (_i == 0)
		ck_assert_int_eq(tol_mailbox_create("x", 1, NULL), 1);
	else if (_i == 1)
		tol_segment_close(make("x", 1));
	while (run_to_call(pid, calls, &status))
		;
	ck_assert(WIFEXITED(status));
	if (_i == 0) {
		ck_assert_int_eq(WEXITSTATUS(status), EMEDIUMTYPE);
		ck_assert_int_eq(tol_mailbox_remove("x", NULL), 0);
	} else {
		ck_assert_int_eq(WEXITSTATUS(status), _i == 1 ? 0 : ENOENT);
		ck_assert_int_eq(tol_segment_remove("x", NULL), -ENOENT);
	}
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
}
END_TEST

/* Before each call that takes something away: removed, or not; then clean. */
START_TEST(remover_is_killed)
{
	const long calls[] = { SYS_renameat2, SYS_unlinkat };
	int status, err, stops = 0;
	pid_t pid;

	tol_segment_close(make("x", 1));
	pid = start_remover();
	while (stops <= _i && run_to_call(pid, calls, &status))
		stops++;
	if (stops > _i) {
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	}
	err = tol_segment_remove("x", NULL);
	ck_assert_int_eq(err, _i == 0 ? 0 : -ENOENT);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
}
END_TEST

/* ---- what runs out --------------------------------------------------------- */

START_TEST(descriptors_run_out)
{
	int lowest = dup(0), created, named, opened, attached, imported, grown;
	struct tol_segment *s = make("s", PAGE), *made[4] = { NULL };
	struct tol_segment_handle handle;
	struct rlimit before, small;
	void *p = NULL;

	close(lowest);
	ck_assert_int_eq(tol_segment_export(s, &handle), 0);
	getrlimit(RLIMIT_NOFILE, &before);
	small = before;
	small.rlim_cur = (rlim_t)(lowest + _i);
	setrlimit(RLIMIT_NOFILE, &small);
	attached = try_attach(s, 0, &p);
	grown = tol_segment_grow(s, 2 * PAGE);
	created = tol_segment_create(&made[0], NULL, 1, NULL);
	named = tol_segment_create(&made[1], "t", 1, NULL);
	opened = tol_segment_open(&made[2], "s", NULL);
	imported = tol_segment_import(&made[3], &handle);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_msg(attached == 0 || attached == -EMFILE, "%d", attached);
	ck_assert_msg(grown == 0 || grown == -EMFILE, "%d", grown);
	ck_assert_msg(created == 0 || created == -EMFILE, "%d", created);
	ck_assert_msg(named == 0 || named == -EMFILE, "%d", named);
	ck_assert_msg(opened == 0 || opened == -EMFILE, "%d", opened);
	ck_assert_msg(imported == 0 || imported == -EMFILE, "%d", imported);
	if (_i == 0)
		ck_assert_msg(attached && grown && created && named && opened &&
				      imported,
			      "%d %d %d %d %d %d", attached, grown, created,
			      named, opened, imported);
	ck_assert_uint_eq(look(s).attach_count, attached == 0);
	for (int i = 0; i < 4; i++)
		tol_segment_close(made[i]);
	ck_assert_int_eq(tol_segment_remove("t", NULL), named ? -ENOENT : 0);
	end(s, "s");
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	Suite *suite = suite_create("contract_segment_share");
	TCase *tc = support_tcase("contract_segment_share");

	tcase_add_loop_test(tc, count_with_a_child, 0, 4 * COUNT(child_cases));
	tcase_add_test(tc, exec_detaches);
	tcase_add_test(tc, count_is_of_one_moment);
	tcase_add_test(tc, count_while_others_come_and_are_killed);
	tcase_add_loop_test(tc, grow_rules, 0, 2);
	tcase_add_test(tc, growth_shows_in_every_process);
	tcase_add_test(tc, many_grow_at_once);
	tcase_add_loop_test(tc, grow_beyond_file_size_limit, 0, 2);
	tcase_add_loop_test(tc, seal_rules, 0, 4);
	tcase_add_test(tc, sealed_by_the_kernel);
	tcase_add_loop_test(tc, sealers_and_writers_at_once, 0, 200);
	if (can_trace()) {
		tcase_add_loop_test(tc, name_changes_hands_under_a_remover, 0,
				    3);
		tcase_add_loop_test(tc, remover_is_killed, 0, 3);
	} else {
		support_skip("name_changes_hands_under_a_remover",
			     "needs ptrace");
		support_skip("remover_is_killed", "needs ptrace");
	}
	tcase_add_loop_test(tc, descriptors_run_out, 0, 5);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
