/* SPDX-License-Identifier: MIT */
/*
 * A participant counts as alive exactly while an address space that can write
 * the object exists: what ends a process, and what only seems to. Each test
 * runs at every level of alive.h. doc/adr/0002-liveness.md
 */
#include "alive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/presence.h"
#include "support.h"
#include "tolsey.h"

static void say_ready(int fd)
{
	alive_say(fd, 0);
}

/* Nobody has waited for it: it is a zombie, and its pid is still taken. */
START_TEST(a_killed_one_is_gone_while_it_is_a_zombie)
{
	struct victim victim;
	siginfo_t info = { 0 };

	alive_begin(_i);
	victim = alive_start(say_ready);
	alive_hear(victim.pipe_fd);
	ck_assert_int_eq(alive_count(), 1);
	kill(victim.pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)victim.pid, &info,
				WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(info.si_pid, victim.pid);
	ck_assert(alive_await(0));
	ck_assert_int_eq(kill(victim.pid, 0), 0);
	alive_finish(victim);
	alive_end();
}
END_TEST

START_TEST(a_stopped_one_is_alive)
{
	struct victim victim;
	int status;

	alive_begin(_i);
	victim = alive_start(say_ready);
	alive_hear(victim.pipe_fd);
	kill(victim.pid, SIGSTOP);
	ck_assert_int_eq(waitpid(victim.pid, &status, WUNTRACED), victim.pid);
	ck_assert(WIFSTOPPED(status));
	ck_assert_int_eq(alive_count(), 1);
	alive_finish(victim);
	alive_end();
}
END_TEST

static void exit_at_once(int fd)
{
	say_ready(fd);
	_exit(0);
}

static void exit_by_signal(int fd)
{
	say_ready(fd);
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

static void exit_by_libc(int fd)
{
	say_ready(fd);
	exit(0);
}

static void *exit_in_thread(void *context)
{
	(void)context;
	_exit(0);
}

static void exit_by_another_thread(int fd)
{
	pthread_t thread;

	say_ready(fd);
	must(pthread_create(&thread, NULL, exit_in_thread, NULL) == 0);
}

START_TEST(one_that_exits_is_gone)
{
	static void (*const ways[])(int) = { exit_at_once, exit_by_signal,
		exit_by_libc, exit_by_another_thread };

	alive_begin(_i);
	for (int i = 0; i < 4; i++) {
		struct victim victim = alive_start(ways[i]);

		alive_hear(victim.pipe_fd);
		ck_assert(alive_await(0));
		alive_finish(victim);
	}
	alive_end();
}
END_TEST

static void exec_now(int fd)
{
	say_ready(fd);
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	alive_die(__FILE__, __LINE__, "/bin/sleep can be run");
}

static void *exec_in_thread(void *context)
{
	exec_now(*(int *)context);
	return NULL;
}

static void exec_by_another_thread(int fd)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, exec_in_thread, &fd) == 0);
	for (;;)
		pause();
}

START_TEST(one_that_execs_is_gone_and_its_process_lives)
{
	static void (*const ways[])(int) = { exec_now,
		exec_by_another_thread };

	alive_begin(_i);
	for (int i = 0; i < 2; i++) {
		struct victim victim = alive_start(ways[i]);

		alive_hear(victim.pipe_fd);
		ck_assert(alive_await(0));
		ck_assert_int_eq(waitpid(victim.pid, NULL, WNOHANG), 0);
		alive_finish(victim);
	}
	alive_end();
}
END_TEST

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void leave_child(int fd)
{
	pid_t pid = fork();

	if (pid == 0)
		wait_for_ever();
	alive_say(fd, pid);
}

static void leave_raw_child(int fd)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		wait_for_ever();
	alive_say(fd, (int)pid);
}

START_TEST(a_forked_child_does_not_keep_it)
{
	static void (*const ways[])(int) = { leave_child, leave_raw_child };

	alive_begin(_i);
	for (int i = 0; i < 2; i++) {
		struct victim victim = alive_start(ways[i]);
		pid_t child = alive_hear(victim.pipe_fd);

		ck_assert_int_gt(child, 1);
		ck_assert_int_eq(alive_count(), 1);
		kill(victim.pid, SIGKILL);
		ck_assert(alive_await(0));
		/* The child is ours to wait for once its parent has ended. */
		alive_finish(victim);
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
	}
	alive_end();
}
END_TEST

static int run_sharer(void *context)
{
	(void)context;
	wait_for_ever();
	return 0;
}

/* What vfork() makes: a process of its own in the same address space. */
static void leave_sharer(int fd)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = clone(run_sharer, stack + sizeof(stack),
			  CLONE_VM | SIGCHLD, NULL);

	alive_say(fd, pid);
}

START_TEST(a_process_in_the_same_address_space_keeps_it)
{
	struct victim victim;
	pid_t sharer;

	alive_begin(_i);
	victim = alive_start(leave_sharer);
	sharer = alive_hear(victim.pipe_fd);
	ck_assert_int_gt(sharer, 1);
	alive_finish(victim);
	ck_assert_int_eq(alive_count(), 1);
	kill(sharer, SIGKILL);
	ck_assert_int_eq(waitpid(sharer, NULL, 0), sharer);
	ck_assert(alive_await(0));
	alive_end();
}
END_TEST

static void *say_when_alone(void *context)
{
	int fd = *(int *)context;
	char state[256];

	do {
		int stat_fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
		ssize_t n = read(stat_fd, state, sizeof(state) - 1);

		must(n > 0);
		state[n] = '\0';
		close(stat_fd);
		sched_yield();
	} while (!strstr(state, ") Z "));
	say_ready(fd);
	wait_for_ever();
	return NULL;
}

static void end_main_thread(int fd)
{
	static int kept_fd;
	pthread_t thread;

	kept_fd = fd;
	must(pthread_create(&thread, NULL, say_when_alone, &kept_fd) == 0);
	pthread_exit(NULL);
}

START_TEST(the_end_of_the_main_thread_is_not_its_end)
{
	struct victim victim;

	alive_begin(_i);
	victim = alive_start(end_main_thread);
	alive_hear(victim.pipe_fd);
	ck_assert_int_eq(alive_count(), 1);
	kill(victim.pid, SIGKILL);
	ck_assert(alive_await(0));
	alive_finish(victim);
	alive_end();
}
END_TEST

static void *join_in_thread(void *ret_err)
{
	*(int *)ret_err = alive_join();
	return NULL;
}

START_TEST(the_end_of_the_thread_that_joined_is_not_its_end)
{
	pthread_t thread;
	int err = -1;

	alive_begin(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, join_in_thread, &err),
			 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(alive_count(), 1);
	ck_assert_int_eq(alive_leave(), 0);
	alive_end();
}
END_TEST

/* Each of these drops a POSIX lock, or a lock that a descriptor holds. */
static void close_all(int fd)
{
	int other = alive_open_file();
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	must(other >= 0);
	must(fcntl(other, F_SETLK, &lock) == 0);
	must(flock(other, LOCK_EX) == 0);
	must(close(other) == 0);
	for (int i = 3; i < fd; i++)
		close(i);
	must(syscall(SYS_close_range, fd + 1, ~0U, 0) == 0);
	say_ready(fd);
}

START_TEST(closing_every_descriptor_changes_nothing)
{
	struct victim victim;

	alive_begin(_i);
	victim = alive_start(close_all);
	alive_hear(victim.pipe_fd);
	ck_assert_int_eq(alive_count(), 1);
	kill(victim.pid, SIGKILL);
	ck_assert(alive_await(0));
	alive_finish(victim);
	alive_end();
}
END_TEST

START_TEST(one_that_leaves_is_gone)
{
	alive_begin(_i);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(alive_join(), 0);
		ck_assert_int_eq(alive_count(), 1);
		ck_assert_int_eq(alive_leave(), 0);
		ck_assert_int_eq(alive_count(), 0);
	}
	alive_end();
}
END_TEST

static volatile bool may_end;

static void *join_and_leave(void *context)
{
	(void)context;
	while (!may_end) {
		must(alive_join() == 0);
		must(alive_leave() == 0);
	}
	return NULL;
}

/*
 * The descriptor that bears a lock is open for some microseconds, in which a
 * child must not be forked: it would keep the lock as long as it lives.
 */
START_TEST(forks_of_other_threads_keep_nothing)
{
	uint32_t count, shared_count;
	pid_t children[100];
	pthread_t thread;
	int fd;

	alive_begin(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, join_and_leave, NULL),
			 0);
	for (int i = 0; i < 100; i++) {
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (children[i] == 0)
			wait_for_ever();
	}
	may_end = true;
	pthread_join(thread, NULL);
	/* The locks themselves: who left says so in a mailbox as well. */
	fd = alive_open_file();
	ck_assert_int_eq(presence_count(fd, &count, &shared_count), 0);
	close(fd);
	ck_assert_uint_eq(count, 0);
	for (int i = 0; i < 100; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	alive_end();
}
END_TEST

/* ---- the locks alone ------------------------------------------------------- */

START_TEST(a_number_has_one_owner)
{
	struct presence found;
	int a, b;

	alive_begin(0);
	a = alive_open_file();
	b = alive_open_file();
	ck_assert_int_eq(presence_take(a, 7, false), 0);
	ck_assert_int_eq(presence_take(b, 7, false), -EAGAIN);
	ck_assert_int_eq(presence_take(b, 7, true), -EAGAIN);
	ck_assert_int_eq(presence_take(b, 8, false), 0);
	ck_assert_int_eq(presence_find(b, 0, 8, &found), 1);
	ck_assert_uint_eq(found.number, 7);
	ck_assert(!found.is_shared);
	/* Its own locks are not somebody else's. */
	ck_assert_int_eq(presence_find(a, 0, 8, &found), 0);
	ck_assert_int_eq(presence_find(a, 8, 1, &found), 1);
	ck_assert_int_eq(presence_drop(a, 7), 0);
	ck_assert_int_eq(presence_take(b, 7, false), 0);
	close(a);
	close(b);
	alive_end();
}
END_TEST

START_TEST(readers_are_told_from_writers_and_all_are_counted)
{
	static const uint64_t numbers[] = { 0, 1, 2, 5, 4095, UINT64_C(1) << 32,
		PRESENCE_COUNT - 1 };
	uint32_t count, shared_count;
	int fds[7], fd;

	alive_begin(0);
	for (int i = 0; i < 7; i++) {
		fds[i] = alive_open_file();
		ck_assert_int_eq(presence_take(fds[i], numbers[i], i % 2), 0);
	}
	fd = alive_open_file();
	ck_assert_int_eq(presence_count(fd, &count, &shared_count), 0);
	ck_assert_uint_eq(count, 7);
	ck_assert_uint_eq(shared_count, 3);
	ck_assert_int_eq(presence_take(fd, numbers[1], true), 0);
	close(fd);
	for (int i = 0; i < 7; i++)
		close(fds[i]);
	alive_end();
}
END_TEST

/* ---- why nothing simpler: doc/adr/0002-liveness.md -------------------------- */

START_TEST(an_unrelated_close_drops_a_posix_lock)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	pid_t asker;
	int fd;

	alive_begin(0);
	fd = alive_open_file();
	ck_assert_int_eq(fcntl(fd, F_SETLK, &lock), 0);
	close(alive_open_file());
	asker = fork();
	if (asker == 0) {
		must(fcntl(fd, F_GETLK, &lock) == 0);
		_exit(lock.l_type == F_UNLCK ? 0 : 2);
	}
	ck_assert_int_eq(support_wait(asker), 0);
	close(fd);
	alive_end();
}
END_TEST

/* The same with flock() and with sockets: what a descriptor holds. */
START_TEST(a_forked_child_keeps_a_lock_held_by_a_descriptor)
{
	int fd, pipe_fds[2];
	pid_t owner, child;

	alive_begin(0);
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	owner = fork();
	if (owner == 0) {
		fd = alive_open_file();
		must(presence_take(fd, 0, false) == 0);
		child = fork();
		if (child == 0)
			wait_for_ever();
		alive_say(pipe_fds[1], child);
		_exit(0);
	}
	child = alive_hear(pipe_fds[0]);
	ck_assert_int_eq(support_wait(owner), 0);
	ck_assert_int_eq(alive_count(), 1);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert(alive_await(0));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	alive_end();
}
END_TEST

static void *die_with_robust_lock(void *context)
{
	pthread_mutex_lock(context);
	return NULL;
}

START_TEST(a_robust_mutex_says_dead_when_a_thread_ends)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t mutex;
	pthread_t thread;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&mutex, &attributes);
	pthread_create(&thread, NULL, die_with_robust_lock, &mutex);
	pthread_join(thread, NULL);
	ck_assert_int_eq(pthread_mutex_lock(&mutex), EOWNERDEAD);
	pthread_mutex_consistent(&mutex);
	pthread_mutex_unlock(&mutex);
	pthread_mutex_destroy(&mutex);
}
END_TEST

#define ADD_ALL(test) tcase_add_loop_test(tcase, test, 0, ALIVE_LEVELS_COUNT)

int main(void)
{
	Suite *suite = suite_create("presence");
	TCase *tcase = support_tcase("presence");

	ADD_ALL(a_killed_one_is_gone_while_it_is_a_zombie);
	ADD_ALL(a_stopped_one_is_alive);
	ADD_ALL(one_that_exits_is_gone);
	ADD_ALL(one_that_execs_is_gone_and_its_process_lives);
	ADD_ALL(a_forked_child_does_not_keep_it);
	ADD_ALL(a_process_in_the_same_address_space_keeps_it);
	ADD_ALL(the_end_of_the_main_thread_is_not_its_end);
	ADD_ALL(the_end_of_the_thread_that_joined_is_not_its_end);
	ADD_ALL(closing_every_descriptor_changes_nothing);
	ADD_ALL(one_that_leaves_is_gone);
	/* The guard is the business of those who call base. */
	tcase_add_loop_test(tcase, forks_of_other_threads_keep_nothing, 1,
			    ALIVE_LEVELS_COUNT);
	tcase_add_test(tcase, a_number_has_one_owner);
	tcase_add_test(tcase, readers_are_told_from_writers_and_all_are_counted);
	tcase_add_test(tcase, an_unrelated_close_drops_a_posix_lock);
	tcase_add_test(tcase, a_forked_child_keeps_a_lock_held_by_a_descriptor);
	tcase_add_test(tcase, a_robust_mutex_says_dead_when_a_thread_ends);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
