/* SPDX-License-Identifier: MIT */
/* The lowest layer: atomics, futexes, robust lists, fork. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alive.h"
#include "base/atomic.h"
#include "base/fork.h"
#include "base/futex.h"
#include "base/robust.h"
#include "base/sys.h"
#include "support.h"
#include "tolsey.h"

#define ROUNDS 200000

static void *map_shared(size_t size_bytes)
{
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* ---- atomic.h -------------------------------------------------------------- */

/* Each operation on the middle of three words; the outer two stay. */
#define CHECK_WIDTH(bits, max)						\
	do {								\
		uint##bits##_t w[3] = { max, 0, max }, seen;		\
									\
		ck_assert(__atomic_always_lock_free(sizeof(w[1]), 0));	\
		store_relaxed_##bits(&w[1], max - 1);			\
		ck_assert(load_relaxed_##bits(&w[1]) == max - 1);	\
		store_release_##bits(&w[1], 7);				\
		ck_assert(load_acquire_##bits(&w[1]) == 7);		\
		seen = 8;						\
		ck_assert(!cas_##bits(&w[1], &seen, 9));		\
		ck_assert(seen == 7 && w[1] == 7);			\
		ck_assert(cas_##bits(&w[1], &seen, max));		\
		ck_assert(seen == 7 && w[1] == max);			\
		ck_assert(fetch_add_##bits(&w[1], 3) == max);		\
		ck_assert(w[1] == 2);					\
		ck_assert(fetch_sub_##bits(&w[1], 3) == 2);		\
		ck_assert(w[1] == max);					\
		ck_assert(w[0] == max && w[2] == max);			\
	} while (0)

START_TEST(atomics_have_their_width_and_wrap)
{
	CHECK_WIDTH(32, UINT32_MAX);
	CHECK_WIDTH(64, UINT64_MAX);
}
END_TEST

static uint64_t pattern_word, sum_word;

static void *write_patterns(void *context)
{
	(void)context;
	for (int i = 0; i < ROUNDS; i++) {
		store_release_64(&pattern_word, i % 2 ? UINT64_MAX : 0);
		fetch_add_64(&sum_word, UINT32_MAX);
	}
	return NULL;
}

START_TEST(atomics_are_whole_between_threads)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_patterns, NULL),
			 0);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t seen = load_acquire_64(&pattern_word);

		ck_assert(seen == 0 || seen == UINT64_MAX);
		seen = load_relaxed_64(&sum_word);
		while (!cas_64(&sum_word, &seen, seen + UINT32_MAX))
			;
	}
	pthread_join(thread, NULL);
	ck_assert(sum_word == UINT64_C(2) * ROUNDS * UINT32_MAX);
}
END_TEST

/* ---- futex.h --------------------------------------------------------------- */

static const struct futex_ops *const ops = &futex_kernel_ops;

static bool has_waitv(void)
{
	uint32_t word = 1;
	struct futex_word list[] = { { &word, 0 } };

	return ops->wait(list, 1, FUTEX_NO_DEADLINE) == -EAGAIN;
}

START_TEST(the_clock_is_monotonic)
{
	struct timespec before, after;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &before);
	now = ops->now_ns();
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert(before.tv_sec * INT64_C(1000000000) + before.tv_nsec <= now);
	ck_assert(now <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec);
}
END_TEST

/* Return: what both kinds of wait say, which is the same */
static int wait_either(int kind, const uint32_t *word, uint32_t value,
		       int64_t deadline_ns)
{
	const struct futex_word list[] = { { word, value } };

	return kind == 0 ? ops->wait_one(list, deadline_ns)
			 : ops->wait(list, 1, deadline_ns);
}

START_TEST(deadlines_are_absolute)
{
	uint32_t word = 0;
	int64_t deadline_ns;

	if (_i == 1 && !has_waitv())
		support_cannot("no futex_waitv()");
	ck_assert_int_eq(wait_either(_i, &word, 0, 0), -ETIMEDOUT);
	ck_assert_int_eq(wait_either(_i, &word, 0, ops->now_ns() - 1),
			 -ETIMEDOUT);
	deadline_ns = ops->now_ns() + 2000000;
	ck_assert_int_eq(wait_either(_i, &word, 0, deadline_ns), -ETIMEDOUT);
	/* Not a moment early. */
	ck_assert(ops->now_ns() >= deadline_ns);
	/* Another value comes first, however late it is. */
	ck_assert_int_eq(wait_either(_i, &word, 1, 0), -EAGAIN);
	ck_assert_int_eq(wait_either(_i, &word, 1, INT64_MAX - 1), -EAGAIN);
	ck_assert_int_eq(wait_either(_i, &word, 1, FUTEX_NO_DEADLINE),
			 -EAGAIN);
}
END_TEST

static int sleep_kind;
static int64_t sleep_deadline_ns;
static uint32_t *sleep_word;

static int run_sleeper(void *context)
{
	(void)context;
	return wait_either(sleep_kind, sleep_word, 0, sleep_deadline_ns) == 0
		       ? 0 : 1;
}

START_TEST(wakes_are_counted_and_far_deadlines_are_far)
{
	static const int64_t deadlines[] = { FUTEX_NO_DEADLINE, INT64_MAX - 1 };
	pid_t pids[2];

	if (_i == 1 && !has_waitv())
		support_cannot("no futex_waitv()");
	sleep_word = map_shared(4096);
	sleep_kind = _i;
	ck_assert_int_eq(ops->wake(sleep_word, INT_MAX), 0);
	for (int i = 0; i < 2; i++) {
		sleep_deadline_ns = deadlines[i];
		pids[i] = support_fork(run_sleeper, NULL);
		support_wait_asleep(pids[i]);
	}
	ck_assert_int_eq(ops->wake(sleep_word, 1), 1);
	ck_assert_int_eq(ops->wake(sleep_word, INT_MAX), 1);
	ck_assert_int_eq(support_wait(pids[0]), 0);
	ck_assert_int_eq(support_wait(pids[1]), 0);
	munmap(sleep_word, 4096);
}
END_TEST

static void ignore_alarm(int signal_number)
{
	(void)signal_number;
}

/* The alarm comes again and again: one of them finds the call asleep. */
START_TEST(a_signal_ends_the_sleep)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	struct sigaction action = { .sa_handler = ignore_alarm };
	uint32_t word = 0;

	if (_i == 1 && !has_waitv())
		support_cannot("no futex_waitv()");
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	ck_assert_int_eq(wait_either(_i, &word, 0, FUTEX_NO_DEADLINE), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

START_TEST(too_many_words_are_refused)
{
	uint32_t word = 0;
	struct futex_word list[FUTEX_WORDS_MAX + 1];

	for (int i = 0; i <= FUTEX_WORDS_MAX; i++)
		list[i] = (struct futex_word){ &word, 1 };
	ck_assert_int_eq(ops->wait(list, FUTEX_WORDS_MAX + 1, 0), -EINVAL);
}
END_TEST

/* As old container profiles do. */
static void deny(int number, uint32_t error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

static int run_denied_waitv(void *context)
{
	static const uint32_t errors[] = { EPERM, EACCES, ENOSYS };
	uint32_t word = 0;
	struct futex_word list[] = { { &word, 0 } };

	(void)context;
	for (int i = 0; i < 3; i++) {
		deny(449, errors[i]);
		must(ops->wait(list, 1, FUTEX_NO_DEADLINE) == -ENOSYS);
	}
	must(ops->wait_one(list, 0) == -ETIMEDOUT);
	return 0;
}

/* The caller then sleeps in slices: see tests/bell.c. */
START_TEST(a_denied_futex_waitv_is_missing)
{
	int status = support_wait(support_fork(run_denied_waitv, NULL));

	if (status == 77)
		support_cannot("no seccomp filter");
	ck_assert_int_eq(status, 0);
}
END_TEST

static int ready_fd;

static int run_denied_receiver(void *context)
{
	struct tol_link *link;
	char byte;

	deny(*(int *)context, EPERM);
	must(tol_open(&link, "box", NULL) == 0);
	must(tol_recv(link, &byte, 1, TOL_NOWAIT) == -EAGAIN);
	must(tol_recv(link, &byte, 1, TOL_MSECS(20)) == -ETIMEDOUT);
	alive_say(ready_fd, 0);
	must(tol_recv(link, &byte, 1, TOL_FOREVER) == 1 && byte == 'x');
	return 0;
}

START_TEST(a_process_without_them_still_gets_its_messages)
{
	int denied = _i ? SYS_get_robust_list : 449;
	struct tol_link *link;
	int fds[2], status, value;
	pid_t pid;

	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ready_fd = fds[1];
	pid = support_fork(run_denied_receiver, &denied);
	close(fds[1]);
	if (read(fds[0], &value, sizeof(value)) == sizeof(value)) {
		support_wait_asleep(pid);
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	}
	close(fds[0]);
	status = support_wait(pid);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	if (status == 77)
		support_cannot("no seccomp filter");
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- robust.h -------------------------------------------------------------- */

START_TEST(arming_keeps_what_libc_had_there)
{
	uint32_t bell = 0, other = 0;
	struct robust_head *head = robust_find_head();
	struct robust_saved outer, inner;
	char mark;

	if (head == ROBUST_NONE)
		support_cannot("no robust list");
	ck_assert_ptr_eq(head->list_op_pending, NULL);
	head->list_op_pending = &mark;
	outer = robust_arm(&bell);
	ck_assert(robust_is_armed(outer));
	ck_assert_ptr_eq((char *)head->list_op_pending + head->futex_offset,
			 &bell);
	inner = robust_arm(&other);
	ck_assert_ptr_eq((char *)head->list_op_pending + head->futex_offset,
			 &other);
	robust_disarm(inner);
	ck_assert_ptr_eq((char *)head->list_op_pending + head->futex_offset,
			 &bell);
	robust_disarm(outer);
	ck_assert_ptr_eq(head->list_op_pending, &mark);
	head->list_op_pending = NULL;
}
END_TEST

static void *tell_head(void *context)
{
	uint32_t word = 0;

	(void)context;
	robust_disarm(robust_arm(&word));
	return robust_thread_head;
}

START_TEST(each_thread_has_its_own_list)
{
	pthread_t thread;
	void *other;
	pid_t pid;

	if (robust_find_head() == ROBUST_NONE)
		support_cannot("no robust list");
	ck_assert_int_eq(pthread_create(&thread, NULL, tell_head, NULL), 0);
	pthread_join(thread, &other);
	ck_assert_ptr_nonnull(other);
	ck_assert_ptr_ne(other, robust_find_head());
	/* A forked child's is where its parent's was, and it is registered. */
	pid = fork();
	if (pid == 0) {
		struct robust_head *before = robust_thread_head;

		_exit(robust_find_head() == before ? 0 : 1);
	}
	ck_assert_int_eq(support_wait(pid), 0);
}
END_TEST

START_TEST(without_a_list_arming_does_nothing)
{
	struct robust_saved saved;
	uint32_t word = 0;

	robust_thread_head = ROBUST_NONE;
	saved = robust_arm(&word);
	ck_assert(!robust_is_armed(saved));
	robust_disarm(saved);
	robust_thread_head = ROBUST_UNKNOWN;
}
END_TEST

struct with_mutex {
	pthread_mutex_t first, second;
	uint32_t bell;
	uint32_t ready;
};

static int run_bell_sleeper(void *context)
{
	struct with_mutex *with = context;
	struct futex_word word = { &with->bell, 0 };

	return ops->wait_one(&word, FUTEX_NO_DEADLINE) == 0 ? 0 : 1;
}

/* Holds one robust mutex over the armed time, and uses another in it. */
static int run_holder(void *context)
{
	struct with_mutex *with = context;
	struct robust_saved saved;

	must(pthread_mutex_lock(&with->first) == 0);
	must(pthread_mutex_lock(&with->second) == 0);
	saved = robust_arm(&with->bell);
	must(robust_is_armed(saved));
	robust_disarm(saved);
	must(pthread_mutex_unlock(&with->second) == 0);
	robust_arm(&with->bell);
	store_release_32(&with->ready, 1);
	for (;;)
		pause();
}

START_TEST(libc_and_we_use_the_list_side_by_side)
{
	struct with_mutex *with = map_shared(sizeof(*with));
	pthread_mutexattr_t attributes;
	pid_t holder, sleeper;

	if (robust_find_head() == ROBUST_NONE)
		support_cannot("no robust list");
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&with->first, &attributes);
	pthread_mutex_init(&with->second, &attributes);
	sleeper = support_fork(run_bell_sleeper, with);
	support_wait_asleep(sleeper);
	holder = support_fork(run_holder, with);
	while (!load_acquire_32(&with->ready))
		sched_yield();
	kill(holder, SIGKILL);
	ck_assert_int_eq(support_wait(holder), -SIGKILL);
	ck_assert_int_eq(pthread_mutex_lock(&with->first), EOWNERDEAD);
	ck_assert_int_eq(pthread_mutex_lock(&with->second), 0);
	ck_assert_int_eq(support_wait(sleeper), 0);
	munmap(with, sizeof(*with));
}
END_TEST

/* ---- fork.h ---------------------------------------------------------------- */

START_TEST(a_process_knows_its_number_and_a_child_that_it_has_none)
{
	uint32_t number;
	pid_t pid;

	ck_assert_uint_eq(fork_process_number(), 0);
	ck_assert_int_eq(fork_init(), 0);
	number = fork_process_number();
	ck_assert_uint_ne(number, 0);
	ck_assert_int_eq(fork_init(), 0);
	ck_assert_uint_eq(fork_process_number(), number);
	pid = _i ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
	if (pid == 0) {
		uint32_t own;

		must(fork_process_number() == 0);
		must(fork_init() == 0);
		own = fork_process_number();
		must(own != 0 && own != number);
		pid = fork();
		if (pid == 0) {
			must(fork_process_number() == 0);
			must(fork_init() == 0);
			must(fork_process_number() != 0);
			must(fork_process_number() != own);
			must(fork_process_number() != number);
			_exit(0);
		}
		must(support_wait(pid) == 0);
		must(fork_process_number() == own);
		_exit(0);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_uint_eq(fork_process_number(), number);
}
END_TEST

static uint32_t forker_tid, has_forked;

static void *fork_at_once(void *context)
{
	pid_t pid;

	store_release_32(&forker_tid, (uint32_t)syscall(SYS_gettid));
	pid = fork();
	if (pid == 0) {
		/* What was open under the guard has been closed. */
		_exit(fcntl(*(int *)context, F_GETFD) < 0 ? 0 : 1);
	}
	store_release_32(&has_forked, 1);
	return (void *)(intptr_t)support_wait(pid);
}

static void await_thread_in_futex(uint32_t tid)
{
	char path[64], line[64];

	snprintf(path, sizeof(path), "/proc/self/task/%u/syscall", tid);
	do {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, line, sizeof(line) - 1);

		close(fd);
		ck_assert_int_gt(n, 0);
		line[n] = '\0';
		sched_yield();
	} while (atoi(line) != SYS_futex);
}

START_TEST(a_fork_waits_for_the_guard)
{
	pthread_t thread;
	void *status;
	int fd;

	ck_assert_int_eq(fork_init(), 0);
	fork_guard_enter();
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, fork_at_once, &fd), 0);
	while (load_acquire_32(&forker_tid) == 0)
		sched_yield();
	await_thread_in_futex(forker_tid);
	ck_assert_uint_eq(load_acquire_32(&has_forked), 0);
	close(fd);
	fork_guard_leave();
	pthread_join(thread, &status);
	ck_assert_ptr_eq(status, NULL);
	/* Free again, in the parent. */
	fork_guard_enter();
	fork_guard_leave();
}
END_TEST

static char calls[8];

static void note_prepare(void) { strcat(calls, "p"); }
static void note_parent(void) { strcat(calls, "P"); }
static void note_child(void) { strcat(calls, "c"); }

START_TEST(hooks_run_around_a_fork_and_the_guard_is_free_after)
{
	static const struct fork_hooks hooks = { note_prepare, note_parent,
		note_child };
	pid_t pid;

	ck_assert_int_eq(fork_init(), 0);
	fork_guard_enter();
	fork_set_hooks(&hooks);
	fork_guard_leave();
	pid = fork();
	if (pid == 0) {
		must(strcmp(calls, "pc") == 0);
		fork_guard_enter();
		fork_guard_leave();
		_exit(0);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_str_eq(calls, "pP");
	fork_guard_enter();
	fork_set_hooks(NULL);
	fork_guard_leave();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = support_tcase("base");

	tcase_add_test(tcase, atomics_have_their_width_and_wrap);
	tcase_add_test(tcase, atomics_are_whole_between_threads);
	tcase_add_test(tcase, the_clock_is_monotonic);
	tcase_add_loop_test(tcase, deadlines_are_absolute, 0, 2);
	tcase_add_loop_test(tcase, wakes_are_counted_and_far_deadlines_are_far,
			    0, 2);
	tcase_add_loop_test(tcase, a_signal_ends_the_sleep, 0, 2);
	tcase_add_test(tcase, too_many_words_are_refused);
	tcase_add_test(tcase, a_denied_futex_waitv_is_missing);
	tcase_add_loop_test(tcase, a_process_without_them_still_gets_its_messages,
			    0, 2);
	tcase_add_test(tcase, arming_keeps_what_libc_had_there);
	tcase_add_test(tcase, each_thread_has_its_own_list);
	tcase_add_test(tcase, without_a_list_arming_does_nothing);
	tcase_add_test(tcase, libc_and_we_use_the_list_side_by_side);
	tcase_add_loop_test(tcase,
			    a_process_knows_its_number_and_a_child_that_it_has_none,
			    0, 2);
	tcase_add_test(tcase, a_fork_waits_for_the_guard);
	tcase_add_test(tcase, hooks_run_around_a_fork_and_the_guard_is_free_after);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
