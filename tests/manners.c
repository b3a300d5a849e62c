/* SPDX-License-Identifier: MIT */
/*
 * Threads, signals, cancellation, forks, exec: what a program does around calls
 * that wait. The parent is never harmed, no death is false, nobody dead lives on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

extern char **environ;

static struct tol_link *open_box(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static struct tol_link *make(uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	return open_box();
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static void put(struct tol_link *link)
{
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
}

static int try_get(struct tol_link *link)
{
	char byte;

	return (int)tol_recv(link, &byte, 1, TOL_NOWAIT);
}

/* ---- ways to wait ---- */

static int wait_recv(struct tol_link *link)
{
	char byte;

	return (int)tol_recv(link, &byte, 1, TOL_FOREVER);
}

static int wait_send(struct tol_link *link)
{
	return tol_send(link, "y", 1, TOL_FOREVER);
}

static int wait_take(struct tol_link *link)
{
	struct tol_message message;

	return tol_take(link, TOL_FOREVER, NULL, &message);
}

static int wait_select(struct tol_link *link)
{
	const struct tol_select seven = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 7, .last_tag = 7,
	};
	struct tol_message message;
	char byte;

	return (int)tol_recv_select(link, &seven, &byte, 1, TOL_FOREVER,
				    &message);
}

static int wait_many(struct tol_link *link)
{
	struct tol_wait one = { link, TOL_RECV, 0 };

	return tol_wait(&one, 1, TOL_FOREVER);
}

static const struct way {
	uint64_t capacity_msgs;
	int (*wait)(struct tol_link *link);
	bool is_full, sends;
} ways[] = {
	{ 1, wait_recv, false, false },
	{ 1, wait_take, false, false },
	{ 1, wait_send, true, true },
	{ 1, wait_select, false, false },
	{ 1, wait_many, false, false },
	{ 0, wait_recv, false, false },
	{ 0, wait_send, false, true },
	{ 0, wait_select, false, false },
	{ TOL_CAPACITY_UNBOUNDED, wait_recv, false, false },
};

#define WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

static struct tol_link *make_for(const struct way *way)
{
	struct tol_link *link = make(way->capacity_msgs);

	if (way->is_full)
		put(link);
	return link;
}

/* The mailbox is as if nobody had waited: others send and receive. */
static int use_it(void *context)
{
	const struct way *way = context;
	struct tol_link *link = open_box();

	if (way->is_full)
		ck_assert_int_eq(try_get(link), 1);
	if (way->capacity_msgs) {
		put(link);
		ck_assert_int_eq(try_get(link), 1);
	}
	ck_assert_int_eq(try_get(link), -EAGAIN);
	if (!way->capacity_msgs)
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	tol_close(link);
	return 0;
}

static void check_unharmed(const struct way *way)
{
	pid_t pid = support_fork(use_it, (void *)(uintptr_t)way);

	ck_assert_int_eq(support_wait(pid), 0);
}

/* ---- threads ---- */

struct sleeper {
	const struct way *way;
	struct tol_link *link;
	pthread_t thread;
	pid_t tid;
	int result;
};

static void *sleep_in_call(void *context)
{
	struct sleeper *sleeper = context;

	__atomic_store_n(&sleeper->tid, gettid(), __ATOMIC_RELEASE);
	sleeper->result = sleeper->way->wait(sleeper->link);
	return NULL;
}

static void start(struct sleeper *sleeper, const struct way *way,
		  struct tol_link *link)
{
	*sleeper = (struct sleeper){ .way = way, .link = link };
	ck_assert_int_eq(pthread_create(&sleeper->thread, NULL, sleep_in_call,
					sleeper),
			 0);
	while (!__atomic_load_n(&sleeper->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	support_wait_asleep(sleeper->tid);
}

START_TEST(interrupted)
{
	const struct way *way = &ways[_i];
	struct tol_link *link = make_for(way);
	struct sleeper sleepers[3];

	for (int i = 0; i < 3; i++)
		start(&sleepers[i], way, link);
	ck_assert_int_eq(tol_interrupt(link), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(sleepers[i].thread, NULL);
		ck_assert_int_eq(sleepers[i].result, -ECANCELED);
	}
	/* From now on it waits no more, and does what need not wait. */
	ck_assert_int_eq(way->wait(link), -ECANCELED);
	if (way->is_full)
		ck_assert_int_eq(try_get(link), 1);
	ck_assert_int_eq(try_get(link), -EAGAIN);
	tol_close(link);
	link = open_box();
	if (way->is_full)
		put(link);
	check_unharmed(way);
	unmake(link);
}
END_TEST

/* Others that wait for the same go on doing so. */
START_TEST(interrupts_nobody_else)
{
	struct tol_link *link = make(1), *other = open_box();
	struct sleeper mine, theirs;

	start(&mine, &ways[0], link);
	start(&theirs, &ways[0], other);
	ck_assert_int_eq(tol_interrupt(link), 0);
	pthread_join(mine.thread, NULL);
	ck_assert_int_eq(mine.result, -ECANCELED);
	support_wait_asleep(theirs.tid);
	put(link);
	pthread_join(theirs.thread, NULL);
	ck_assert_int_eq(theirs.result, 1);
	ck_assert_int_eq(tol_interrupt(NULL), -EINVAL);
	tol_close(other);
	unmake(link);
}
END_TEST

/* No cancellation point: the call ends as it would have. */
START_TEST(cancelled)
{
	const struct way *way = &ways[_i];
	struct tol_link *link = make_for(way);
	struct sleeper sleeper;

	start(&sleeper, way, link);
	ck_assert_int_eq(pthread_cancel(sleeper.thread), 0);
	support_wait_asleep(sleeper.tid);
	ck_assert_int_eq(tol_interrupt(link), 0);
	pthread_join(sleeper.thread, NULL);
	tol_close(link);
	check_unharmed(way);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

/* ---- signals ---- */

static struct tol_link *handled_link;
static sigjmp_buf back;
static volatile sig_atomic_t handled;

static void interrupt_it(int number)
{
	(void)number;
	tol_interrupt(handled_link);
}

static void count_it(int number)
{
	(void)number;
	handled++;
}

static void leave(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
}

static int wake_parent(void *context)
{
	(void)context;
	support_wait_asleep(getppid());
	kill(getppid(), SIGUSR1);
	return 0;
}

START_TEST(interrupted_by_a_handler)
{
	const struct way *way = &ways[_i];
	pid_t pid;

	handled_link = make_for(way);
	handle(interrupt_it, SA_RESTART);
	pid = support_fork(wake_parent, NULL);
	ck_assert_int_eq(way->wait(handled_link), -ECANCELED);
	ck_assert_int_eq(support_wait(pid), 0);
	tol_close(handled_link);
	check_unharmed(way);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static int signal_and_send(void *context)
{
	struct tol_link *link;

	for (int i = 0; i < *(int *)context; i++) {
		support_wait_asleep(getppid());
		kill(getppid(), SIGUSR1);
	}
	support_wait_asleep(getppid());
	link = open_box();
	put(link);
	tol_close(link);
	return 0;
}

/* With and without SA_RESTART. */
START_TEST(goes_on_after_handlers)
{
	struct tol_link *link = make(1);
	int count = 20;
	pid_t pid;

	handled = 0;
	handle(count_it, _i ? SA_RESTART : 0);
	pid = support_fork(signal_and_send, &count);
	ck_assert_int_eq(wait_recv(link), 1);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_ge(handled, 1);
	unmake(link);
}
END_TEST

/* The link may be closed, and what it waited for goes to others. */
START_TEST(left_by_longjmp)
{
	const struct way *way = &ways[_i];
	struct tol_link *link = make_for(way);
	pid_t pid;

	handle(leave, 0);
	pid = support_fork(wake_parent, NULL);
	if (sigsetjmp(back, 1) == 0) {
		way->wait(link);
		ck_abort_msg("it did not leave");
	}
	ck_assert_int_eq(support_wait(pid), 0);
	tol_close(link);
	check_unharmed(way);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static int stop_parent(void *context)
{
	struct tol_link *link = open_box();

	(void)context;
	support_wait_asleep(getppid());
	kill(getppid(), SIGSTOP);
	put(link);
	kill(getppid(), SIGCONT);
	tol_close(link);
	return 0;
}

START_TEST(stopped_and_continued)
{
	struct tol_link *link = make(1);
	pid_t pid = support_fork(stop_parent, NULL);

	ck_assert_int_eq(wait_recv(link), 1);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* ---- fork and exec ---- */

/* Every call on an inherited link says so, and closing it harms nobody. */
static int use_inherited(void *context)
{
	struct tol_link *link = context, *own;
	struct tol_message message = { 0 };
	struct tol_wait one = { link, TOL_RECV, 0 };
	char byte;

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -ECHILD);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), -ECHILD);
	ck_assert_int_eq(tol_take(link, TOL_FOREVER, NULL, &message), -ECHILD);
	ck_assert_int_eq(tol_shutdown(link), -ECHILD);
	ck_assert_int_eq(tol_interrupt(link), -ECHILD);
	ck_assert_int_eq(tol_wait(&one, 1, TOL_FOREVER), -ECHILD);
	own = open_box();
	put(own);
	ck_assert_int_eq(try_get(own), 1);
	tol_close(own);
	tol_close(link);
	return 0;
}

static bool holds_any(struct tol_link *link)
{
	struct tol_mailbox_stat stat;

	(void)link;
	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	return stat.dead_count > 0;
}

START_TEST(forked)
{
	struct tol_link *link = make(4);
	struct tol_message message;
	pid_t pid;

	put(link);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	pid = support_fork(use_inherited, link);
	ck_assert_int_eq(support_wait(pid), 0);
	/* Still its: nobody took us for dead. */
	ck_assert(!holds_any(link));
	ck_assert_int_eq(tol_ack(link, &message), 0);
	unmake(link);
}
END_TEST

static _Atomic bool storm_is_over;

static void *fork_all_the_time(void *context)
{
	(void)context;
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	storm_is_over = true;
	return NULL;
}

static void *send_all_the_time(void *context)
{
	for (uint64_t i = 0; !storm_is_over; i++) {
		struct tol_link *link = open_box();

		ck_assert_int_eq(tol_send(context, &i, sizeof(i), TOL_FOREVER),
				 0);
		tol_close(link);
	}
	return NULL;
}

START_TEST(forks_while_others_send)
{
	struct tol_link *link = make(8);
	uint64_t number, next = 0;
	pthread_t threads[2];

	storm_is_over = false;
	pthread_create(&threads[0], NULL, send_all_the_time, link);
	pthread_create(&threads[1], NULL, fork_all_the_time, NULL);
	while (!storm_is_over)
		if (tol_recv(link, &number, sizeof(number), TOL_NOWAIT) > 0)
			ck_assert_uint_eq(number, next++);
	while (tol_recv(link, &number, sizeof(number), TOL_MSECS(1)) > 0)
		ck_assert_uint_eq(number, next++);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	while (tol_recv(link, &number, sizeof(number), TOL_NOWAIT) > 0)
		ck_assert_uint_eq(number, next++);
	ck_assert_uint_gt(next, 0);
	unmake(link);
}
END_TEST

static int names_count(void)
{
	DIR *dir = opendir(support_space);
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") != 0 &&
			 strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

/* A child outlives it, with copies of all it had open. */
static int hold_with_a_child(void *context)
{
	struct tol_link *link = open_box();
	struct tol_message message;
	int *pipe_end = context;

	if (tol_take(link, TOL_FOREVER, NULL, &message) < 0 ||
	    tol_descriptor(link, TOL_RECV) < 0)
		return 1;
	if (fork() == 0) {
		char byte;

		/* Until the test is over. */
		if (read(pipe_end[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	for (;;)
		pause();
}

START_TEST(dead_with_a_living_child)
{
	struct tol_link *link = make(4);
	struct tol_message message;
	int pipe_ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
	put(link);
	pid = support_fork(hold_with_a_child, pipe_ends);
	support_wait_asleep(pid);
	kill(pid, SIGKILL);
	ck_assert_int_eq(tol_take(link, TOL_FOREVER, NULL, &message), 0);
	ck_assert_int_eq(message.tries, 2);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	/* Its socket goes once the child's copy has gone. */
	ck_assert_int_eq(write(pipe_ends[1], "x", 1), 1);
	while (names_count() > 1)
		ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	unmake(link);
}
END_TEST

static int become_daemon(void *context)
{
	struct tol_link *inherited = context, *own;
	pid_t pid = fork();

	if (pid > 0)
		_exit(0);
	setsid();
	if (fork() > 0)
		_exit(0);
	if (chdir("/") < 0 ||
	    tol_send(inherited, "x", 1, TOL_NOWAIT) != -ECHILD)
		_exit(1);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	tol_close(inherited);
	own = open_box();
	put(own);
	tol_close(own);
	_exit(0);
}

START_TEST(daemonised)
{
	struct tol_link *link = make(4);
	pid_t pid = support_fork(become_daemon, link);

	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(wait_recv(link), 1);
	unmake(link);
}
END_TEST

/* Its messages go back as it becomes another program, which lives on. */
static int hold_and_exec(void *context)
{
	struct tol_link *link = open_box();
	struct tol_message message;

	(void)context;
	if (tol_take(link, TOL_FOREVER, NULL, &message) < 0)
		return 1;
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return 2;
}

START_TEST(exec_is_the_end)
{
	struct tol_link *link = make(4);
	struct tol_message message;
	pid_t pid;

	put(link);
	pid = support_fork(hold_and_exec, NULL);
	do
		ck_assert_int_eq(tol_take(link, TOL_FOREVER, NULL, &message),
				 0);
	while (message.tries < 2 && tol_return(link, &message) == 0);
	ck_assert_int_eq(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	support_wait(pid);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	unmake(link);
}
END_TEST

/* posix_spawn() and vfork(): nothing goes along, the parent stays what it was. */
START_TEST(spawned)
{
	struct tol_link *link = make(4);
	char *arguments[] = { (char *)"true", NULL };
	struct tol_message message;
	pid_t pid;

	put(link);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	for (int i = 0; i < 20; i++) {
		if (i % 2) {
			ck_assert_int_eq(posix_spawn(&pid, "/bin/true", NULL,
						     NULL, arguments, environ),
					 0);
		} else {
			pid = vfork();
			if (pid == 0) {
				execv("/bin/true", arguments);
				_exit(9);
			}
		}
		ck_assert_int_eq(support_wait(pid), 0);
	}
	ck_assert(!holds_any(link));
	ck_assert_int_eq(tol_ack(link, &message), 0);
	unmake(link);
}
END_TEST

static int put_one(void *context)
{
	struct tol_link *link = open_box();

	(void)context;
	support_wait_asleep(getppid());
	put(link);
	tol_close(link);
	return 0;
}

START_TEST(all_descriptors_closed)
{
	struct tol_link *link = make(4);
	struct tol_message message;
	pid_t pid;

	put(link);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	support_note_descriptors();
	support_close_others();
	pid = support_fork(put_one, NULL);
	ck_assert_int_eq(wait_recv(link), 1);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("manners");
	TCase *tests = support_tcase("manners");

	tcase_add_loop_test(tests, interrupted, 0, WAYS);
	tcase_add_test(tests, interrupts_nobody_else);
	tcase_add_loop_test(tests, cancelled, 0, WAYS);
	tcase_add_loop_test(tests, interrupted_by_a_handler, 0, WAYS);
	tcase_add_loop_test(tests, goes_on_after_handlers, 0, 2);
	tcase_add_loop_test(tests, left_by_longjmp, 0, WAYS);
	tcase_add_test(tests, stopped_and_continued);
	tcase_add_test(tests, forked);
	tcase_add_test(tests, forks_while_others_send);
	tcase_add_test(tests, dead_with_a_living_child);
	tcase_add_test(tests, daemonised);
	tcase_add_test(tests, exec_is_the_end);
	tcase_add_test(tests, spawned);
	tcase_add_test(tests, all_descriptors_closed);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
