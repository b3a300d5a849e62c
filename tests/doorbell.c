/* SPDX-License-Identifier: MIT */
/*
 * What the doorbell (doc/mailbox-protocol.md, section 3) takes for granted of
 * the kernel, one test for each fact: on a kernel where one fails, its name says
 * what cannot be relied upon. doc/adr/0003-doorbell.md
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive.h"
#include "base/atomic.h"
#include "base/futex.h"
#include "base/robust.h"
#include "support.h"

#define ROUNDS 20000
#define TRIES 1000

/* As in a mailbox: the bell, the epoch of a kind, the gate; apart. */
static struct shared {
	_Alignas(64) uint32_t bell;
	_Alignas(64) uint32_t epoch;
	_Alignas(64) uint32_t gate;
	_Alignas(64) uint32_t turn;
	uint32_t ready_count;
} *shared;

static void make_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
}

static int wake(uint32_t *word, int count)
{
	return futex_kernel_ops.wake(word, count);
}

static int sleep_on_all(void)
{
	struct futex_word words[] = {
		{ &shared->bell, 0 }, { &shared->epoch, 0 },
		{ &shared->gate, 0 },
	};

	return futex_kernel_ops.wait(words, 3, FUTEX_NO_DEADLINE);
}

/* Exit status of a sleeper: the word it was woken on, or this less -errno. */
#define FAILED 100

static int status_of(int rc)
{
	return rc < 0 ? FAILED - rc : rc;
}

static int run_sleeper(void *context)
{
	(void)context;
	return status_of(sleep_on_all());
}

static int run_armed_sleeper(void *context)
{
	(void)context;
	robust_arm(&shared->bell);
	return status_of(sleep_on_all());
}

static pid_t start_sleeper(int (*body)(void *context))
{
	pid_t pid = support_fork(body, NULL);

	support_wait_asleep(pid);
	return pid;
}

/* ---- a thread that dies: list_op_pending ----------------------------------- */

static void die_of_sigkill(void)
{
	raise(SIGKILL);
}

static void die_of_sigterm(void)
{
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

static void die_by_exit(void)
{
	_exit(0);
}

static void die_as_thread_by_call(void)
{
	syscall(SYS_exit, 0);
}

static void die_by_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

/*
 * What a death leaves: one of two sleepers woken, on the bell, and the other
 * still queued there. (On another word the first one counts until it has run.)
 */
static void check_death_wakes_one(void (*die)(void))
{
	pid_t sleepers[2], dying;
	int status;

	make_shared();
	sleepers[0] = start_sleeper(run_sleeper);
	sleepers[1] = start_sleeper(run_sleeper);
	dying = fork();
	if (dying == 0) {
		struct robust_saved saved = robust_arm(&shared->bell);

		must(robust_is_armed(saved));
		die();
		_exit(99);
	}
	status = support_wait(dying);
	ck_assert_int_ne(status, 99);
	ck_assert_uint_eq(load_acquire_32(&shared->bell), 0);
	ck_assert_int_eq(wake(&shared->bell, INT_MAX), 1);
	ck_assert_int_eq(support_wait(sleepers[0]), 0);
	ck_assert_int_eq(support_wait(sleepers[1]), 0);
	munmap(shared, sizeof(*shared));
}

START_TEST(sigkill_of_an_armed_thread_wakes_one_sleeper)
{
	check_death_wakes_one(die_of_sigkill);
}
END_TEST

START_TEST(a_fatal_signal_wakes_one_sleeper)
{
	check_death_wakes_one(die_of_sigterm);
}
END_TEST

START_TEST(exit_of_an_armed_process_wakes_one_sleeper)
{
	check_death_wakes_one(die_by_exit);
}
END_TEST

START_TEST(exit_of_an_armed_thread_wakes_one_sleeper)
{
	check_death_wakes_one(die_as_thread_by_call);
}
END_TEST

START_TEST(exec_of_an_armed_thread_wakes_one_sleeper)
{
	check_death_wakes_one(die_by_exec);
}
END_TEST

static void *run_armed_thread(void *context)
{
	must(robust_is_armed(robust_arm(context)));
	return NULL;
}

/* The process goes on: the list is the thread's own. */
START_TEST(the_end_of_an_armed_thread_wakes_while_its_process_lives)
{
	pthread_t thread;
	pid_t sleeper;

	make_shared();
	sleeper = start_sleeper(run_sleeper);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_armed_thread,
					&shared->bell), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(support_wait(sleeper), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

static void *wait_armed(void *context)
{
	must(robust_is_armed(robust_arm(context)));
	fetch_add_32(&shared->ready_count, 1);
	for (;;)
		pause();
	return NULL;
}

static int run_armed_threads(void *context)
{
	pthread_t thread;

	(void)context;
	for (int i = 0; i < 2; i++)
		must(pthread_create(&thread, NULL, wait_armed, &shared->bell) ==
		     0);
	wait_armed(&shared->bell);
	return 0;
}

static void await_ready(uint32_t count)
{
	while (load_acquire_32(&shared->ready_count) < count)
		sched_yield();
}

START_TEST(each_armed_thread_of_a_killed_process_wakes_one)
{
	pid_t sleepers[5], dying;

	make_shared();
	for (int i = 0; i < 5; i++)
		sleepers[i] = start_sleeper(run_sleeper);
	dying = support_fork(run_armed_threads, NULL);
	await_ready(3);
	kill(dying, SIGKILL);
	ck_assert_int_eq(support_wait(dying), -SIGKILL);
	ck_assert_int_eq(wake(&shared->bell, INT_MAX), 2);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(support_wait(sleepers[i]), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* It was asleep itself: it is taken off the queue first, then wakes another. */
START_TEST(an_armed_sleeper_that_is_killed_wakes_another)
{
	pid_t killed, other;

	make_shared();
	killed = start_sleeper(run_armed_sleeper);
	other = start_sleeper(run_sleeper);
	kill(killed, SIGKILL);
	ck_assert_int_eq(support_wait(killed), -SIGKILL);
	ck_assert_int_eq(support_wait(other), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

static int run_woken_without_acting(void *context)
{
	(void)context;
	robust_arm(&shared->bell);
	must(sleep_on_all() == 1);
	fetch_add_32(&shared->ready_count, 1);
	for (;;)
		pause();
}

/* The wake that it had been given is not lost with it. */
START_TEST(one_killed_between_being_woken_and_acting_wakes_another)
{
	pid_t killed, other;

	make_shared();
	killed = start_sleeper(run_woken_without_acting);
	ck_assert_int_eq(wake(&shared->epoch, 1), 1);
	await_ready(1);
	other = start_sleeper(run_sleeper);
	kill(killed, SIGKILL);
	ck_assert_int_eq(support_wait(killed), -SIGKILL);
	ck_assert_int_eq(support_wait(other), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* Return: how many of two sleepers a killed process woke */
static int count_woken(uint32_t bell_value, bool armed, bool killed)
{
	pid_t sleepers[2], dying;
	int still_asleep_count, status;

	make_shared();
	sleepers[0] = start_sleeper(run_sleeper);
	sleepers[1] = start_sleeper(run_sleeper);
	shared->bell = bell_value;
	dying = fork();
	if (dying == 0) {
		struct robust_saved saved = robust_arm(&shared->bell);

		if (!armed)
			robust_disarm(saved);
		fetch_add_32(&shared->ready_count, 1);
		for (;;)
			pause();
	}
	await_ready(1);
	kill(dying, killed ? SIGKILL : SIGSTOP);
	ck_assert_int_eq(waitpid(dying, &status, WUNTRACED), dying);
	still_asleep_count = wake(&shared->bell, INT_MAX);
	if (!killed) {
		kill(dying, SIGKILL);
		support_wait(dying);
	}
	ck_assert_uint_eq(load_acquire_32(&shared->bell), bell_value);
	support_wait(sleepers[0]);
	support_wait(sleepers[1]);
	munmap(shared, sizeof(*shared));
	return 2 - still_asleep_count;
}

START_TEST(only_an_armed_one_wakes_and_only_by_dying)
{
	ck_assert_int_eq(count_woken(0, true, true), 1);
	ck_assert_int_eq(count_woken(0, false, true), 0);
	ck_assert_int_eq(count_woken(0, true, false), 0);
}
END_TEST

/* The low 30 bits name an owner: the bell must stay 0. */
START_TEST(a_word_that_seems_to_have_an_owner_wakes_nobody)
{
	ck_assert_int_eq(count_woken(1, true, true), 0);
	ck_assert_int_eq(count_woken(FUTEX_TID_MASK, true, true), 0);
	/* The two bits above do not count. */
	ck_assert_int_eq(count_woken(FUTEX_WAITERS, true, true), 1);
}
END_TEST

/* Unmapped by then: nothing happens, to anybody. */
START_TEST(a_word_that_is_gone_when_the_thread_dies_does_no_harm)
{
	pid_t dying;

	make_shared();
	dying = fork();
	if (dying == 0) {
		robust_arm(&shared->bell);
		munmap(shared, sizeof(*shared));
		_exit(5);
	}
	ck_assert_int_eq(support_wait(dying), 5);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* ---- one that sleeps on several words: futex_waitv ------------------------- */

START_TEST(a_wake_on_each_word_reaches_the_sleeper_and_says_which)
{
	uint32_t *words[3];

	make_shared();
	words[0] = &shared->bell;
	words[1] = &shared->epoch;
	words[2] = &shared->gate;
	for (int i = 0; i < 3; i++) {
		pid_t sleeper = start_sleeper(run_sleeper);

		ck_assert_int_eq(wake(words[i], 1), 1);
		ck_assert_int_eq(support_wait(sleeper), i);
		/* Not queued on the others any more. */
		for (int j = 0; j < 3; j++)
			ck_assert_int_eq(wake(words[j], INT_MAX), 0);
	}
	munmap(shared, sizeof(*shared));
}
END_TEST

START_TEST(a_wake_of_one_wakes_one_and_tells_how_many)
{
	pid_t sleepers[3];

	make_shared();
	for (int i = 0; i < 3; i++)
		sleepers[i] = start_sleeper(run_sleeper);
	ck_assert_int_eq(wake(&shared->epoch, 1), 1);
	ck_assert_int_eq(wake(&shared->epoch, INT_MAX), 2);
	ck_assert_int_eq(wake(&shared->epoch, INT_MAX), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(sleepers[i]), 1);
	munmap(shared, sizeof(*shared));
}
END_TEST

START_TEST(a_word_with_another_value_keeps_from_sleeping)
{
	uint32_t *words[3];

	make_shared();
	words[0] = &shared->bell;
	words[1] = &shared->epoch;
	words[2] = &shared->gate;
	for (int i = 0; i < 3; i++) {
		*words[i] = 1;
		ck_assert_int_eq(sleep_on_all(), -EAGAIN);
		*words[i] = 0;
	}
	munmap(shared, sizeof(*shared));
}
END_TEST

static int run_player(void *context)
{
	uint32_t me = *(uint32_t *)context;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		while (load_acquire_32(&shared->turn) % 2 != me) {
			struct futex_word words[] = {
				{ &shared->bell, 0 }, { &shared->epoch, 0 },
				{ &shared->turn, load_acquire_32(&shared->turn) },
			};

			if (words[2].value % 2 == me)
				break;
			futex_kernel_ops.wait(words, 3, FUTEX_NO_DEADLINE);
		}
		fetch_add_32(&shared->turn, 1);
		wake(&shared->epoch, 1);
	}
	return 0;
}

/*
 * Each is queued on a word before the next is compared: a change of the last
 * word followed by a wake on an earlier one is either seen or felt. Else this
 * hangs, since each change and wake come but once.
 */
START_TEST(a_change_of_the_gate_and_a_wake_on_the_epoch_are_never_missed)
{
	uint32_t numbers[] = { 0, 1 };
	pid_t players[2];

	make_shared();
	for (int i = 0; i < 2; i++)
		players[i] = support_fork(run_player, &numbers[i]);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(support_wait(players[i]), 0);
	ck_assert_uint_eq(shared->turn, 2 * ROUNDS);
	munmap(shared, sizeof(*shared));
}
END_TEST

static int run_idle_sleeper(void *context)
{
	struct sched_param param = { 0 };

	(void)context;
	must(sched_setscheduler(0, SCHED_IDLE, &param) == 0);
	return status_of(sleep_on_all());
}

/*
 * Two wakes before it runs: both count as given, and it is told the later word
 * of its list. So the bell is the first word: who was woken on the epoch, whose
 * waker has lowered the count, learns of that one.
 */
START_TEST(one_woken_on_two_words_learns_of_the_later_in_its_list)
{
	cpu_set_t cpus, one;
	int seen = 0;

	make_shared();
	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CPU_ZERO(&one);
	for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	for (int i = 0; i < TRIES && seen < 6; i++) {
		pid_t sleeper = start_sleeper(run_idle_sleeper);
		uint32_t *first = i % 2 ? &shared->epoch : &shared->bell;
		uint32_t *second = i % 2 ? &shared->bell : &shared->epoch;
		int a = wake(first, 1), b = wake(second, 1);
		int status = support_wait(sleeper);

		ck_assert_int_eq(a, 1);
		if (b == 1) {
			ck_assert_int_eq(status, 1);
			seen++;
		}
	}
	ck_assert_int_eq(seen, 6);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* It swallows no wake, and compares again when it goes on. */
START_TEST(a_stopped_sleeper_is_not_queued)
{
	pid_t sleeper;
	int status;

	make_shared();
	sleeper = start_sleeper(run_sleeper);
	kill(sleeper, SIGSTOP);
	ck_assert_int_eq(waitpid(sleeper, &status, WUNTRACED), sleeper);
	ck_assert(WIFSTOPPED(status));
	ck_assert_int_eq(wake(&shared->epoch, INT_MAX), 0);
	ck_assert_int_eq(wake(&shared->bell, INT_MAX), 0);
	kill(sleeper, SIGCONT);
	support_wait_asleep(sleeper);
	kill(sleeper, SIGSTOP);
	ck_assert_int_eq(waitpid(sleeper, &status, WUNTRACED), sleeper);
	shared->gate = 1;
	kill(sleeper, SIGCONT);
	ck_assert_int_eq(support_wait(sleeper), FAILED + EAGAIN);
	munmap(shared, sizeof(*shared));
}
END_TEST

START_TEST(a_killed_sleeper_is_not_queued)
{
	pid_t sleeper;

	make_shared();
	sleeper = start_sleeper(run_sleeper);
	kill(sleeper, SIGKILL);
	ck_assert_int_eq(support_wait(sleeper), -SIGKILL);
	ck_assert_int_eq(wake(&shared->bell, INT_MAX), 0);
	ck_assert_int_eq(wake(&shared->epoch, INT_MAX), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

static int run_other_mapping(void *context)
{
	int fd = *(int *)context;
	uint32_t *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			       fd, 0);
	struct futex_word list[] = { { &words[0], 0 }, { &words[1], 0 } };

	must(words != MAP_FAILED);
	return status_of(futex_kernel_ops.wait(list, 2, FUTEX_NO_DEADLINE));
}

/* The word is known by file and offset, not by address. */
START_TEST(a_wake_reaches_sleepers_on_another_mapping_of_the_file)
{
	int fd = memfd_create("doorbell", MFD_CLOEXEC);
	uint32_t *words;
	pid_t sleeper;

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	sleeper = support_fork(run_other_mapping, &fd);
	support_wait_asleep(sleeper);
	ck_assert_int_eq(wake(&words[1], 1), 1);
	ck_assert_int_eq(support_wait(sleeper), 1);
	munmap(words, 4096);
	close(fd);
}
END_TEST

/* ---- what is here ---------------------------------------------------------- */

static bool has_waitv(void)
{
	uint32_t word = 1;
	struct futex_word words[] = { { &word, 0 } };

	return futex_kernel_ops.wait(words, 1, FUTEX_NO_DEADLINE) == -EAGAIN;
}

static TCase *tcase;

static void add(const TTest *test, bool is_possible, const char *why)
{
	if (is_possible)
		tcase_add_test(tcase, test);
	else
		support_skip(test->name, why);
}

int main(void)
{
	Suite *suite = suite_create("doorbell");
	bool waitv = has_waitv();
	bool both = waitv && robust_find_head() != ROBUST_NONE;

	tcase = support_tcase("doorbell");
#define ROBUST(test) add(test, both, "no robust list, or no futex_waitv()")
	ROBUST(sigkill_of_an_armed_thread_wakes_one_sleeper);
	ROBUST(a_fatal_signal_wakes_one_sleeper);
	ROBUST(exit_of_an_armed_process_wakes_one_sleeper);
	ROBUST(exit_of_an_armed_thread_wakes_one_sleeper);
	ROBUST(exec_of_an_armed_thread_wakes_one_sleeper);
	ROBUST(the_end_of_an_armed_thread_wakes_while_its_process_lives);
	ROBUST(each_armed_thread_of_a_killed_process_wakes_one);
	ROBUST(an_armed_sleeper_that_is_killed_wakes_another);
	ROBUST(one_killed_between_being_woken_and_acting_wakes_another);
	ROBUST(only_an_armed_one_wakes_and_only_by_dying);
	ROBUST(a_word_that_seems_to_have_an_owner_wakes_nobody);
	ROBUST(a_word_that_is_gone_when_the_thread_dies_does_no_harm);
#define WAITV(test) add(test, waitv, "no futex_waitv()")
	WAITV(a_wake_on_each_word_reaches_the_sleeper_and_says_which);
	WAITV(a_wake_of_one_wakes_one_and_tells_how_many);
	WAITV(a_word_with_another_value_keeps_from_sleeping);
	WAITV(a_change_of_the_gate_and_a_wake_on_the_epoch_are_never_missed);
	WAITV(one_woken_on_two_words_learns_of_the_later_in_its_list);
	WAITV(a_stopped_sleeper_is_not_queued);
	WAITV(a_killed_sleeper_is_not_queued);
	WAITV(a_wake_reaches_sleepers_on_another_mapping_of_the_file);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
