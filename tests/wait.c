/* SPDX-License-Identifier: MIT */
/* tol_wait(): many links at once. Who is not woken does not end in its time. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define LINKS_MAX 300

static struct tol_link *links[LINKS_MAX];
static struct tol_wait waits[LINKS_MAX];
static int links_count;

static struct tol_link *open_number(int number)
{
	struct tol_link *link = NULL;
	char name[16];

	snprintf(name, sizeof(name), "box%d", number);
	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	return link;
}

static void make_all(int count, uint64_t capacity_msgs, unsigned int wanted)
{
	char name[16];

	links_count = count;
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "box%d", i);
		ck_assert_int_eq(tol_mailbox_create(name, capacity_msgs, NULL),
				 1);
		links[i] = open_number(i);
		waits[i] = (struct tol_wait){ links[i], wanted, 99 };
	}
}

static void unmake_all(void)
{
	char name[16];

	for (int i = 0; i < links_count; i++) {
		tol_close(links[i]);
		snprintf(name, sizeof(name), "box%d", i);
		ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
	}
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

static int wait_all(int64_t timeout_ns)
{
	return tol_wait(waits, (size_t)links_count, timeout_ns);
}

static const int counts[] = { 1, 2, 64, 65, 200, LINKS_MAX };

START_TEST(tells_which)
{
	int count = counts[_i];

	make_all(count, 4, TOL_RECV);
	ck_assert_int_eq(wait_all(TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(waits[0].ready, 0);
	put(links[count - 1]);
	ck_assert_int_eq(wait_all(TOL_NOWAIT), 1);
	ck_assert_int_eq(waits[count - 1].ready, TOL_RECV);
	if (count > 1) {
		put(links[0]);
		ck_assert_int_eq(wait_all(TOL_FOREVER), 2);
		ck_assert_int_eq(waits[0].ready, TOL_RECV);
		ck_assert_int_eq(waits[1].ready, count == 2 ? TOL_RECV : 0);
	}
	unmake_all();
}
END_TEST

/* ---- asleep ---- */

static int send_to_each(void *context)
{
	for (int i = 0; i < links_count; i++) {
		struct tol_link *link = open_number(i);

		/* One at a time: each has to wake it. */
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), 0);
		ck_assert_int_eq(tol_send(link, "y", 1, TOL_FOREVER), 0);
		tol_close(link);
	}
	(void)context;
	return 0;
}

/* Capacity 1: the second send shows that the first has been received. */
START_TEST(wakes_for_each)
{
	int got = 0;
	pid_t pid;

	make_all(counts[_i], 1, TOL_RECV);
	pid = support_fork(send_to_each, NULL);
	while (got < 2 * links_count) {
		ck_assert_int_ge(wait_all(TOL_FOREVER), 1);
		for (int i = 0; i < links_count; i++)
			if (waits[i].ready && try_get(links[i]) == 1)
				got++;
	}
	ck_assert_int_eq(support_wait(pid), 0);
	unmake_all();
}
END_TEST

static int wait_in_child(void *context)
{
	int count = *(int *)context, n;

	for (int i = 0; i < count; i++)
		waits[i].link = open_number(i);
	if (tol_descriptor(waits[0].link, TOL_RECV) < 0)
		return 2;
	do {
		n = tol_wait(waits, (size_t)count, TOL_FOREVER);
		if (n < 1)
			return 1;
		for (int i = 0; i < count && n > 0; i++)
			if (waits[i].ready & TOL_RECV)
				n = try_get(waits[i].link) == 1 ? -1 : n;
	} while (n >= 0);
	for (int i = 0; i < count; i++)
		tol_close(waits[i].link);
	return 0;
}

START_TEST(wakes_who_sleeps)
{
	int count = counts[_i];
	pid_t pid;

	make_all(count, 4, TOL_RECV);
	for (int i = 0; i < count; i += count / 3 + 1) {
		pid = support_fork(wait_in_child, &count);
		support_wait_asleep(pid);
		put(links[i]);
		ck_assert_int_eq(support_wait(pid), 0);
	}
	unmake_all();
}
END_TEST

START_TEST(room_and_messages)
{
	make_all(3, 1, TOL_RECV | TOL_SEND);
	waits[1].wanted = TOL_SEND;
	waits[2].wanted = TOL_RECV;
	ck_assert_int_eq(wait_all(TOL_FOREVER), 2);
	ck_assert_int_eq(waits[0].ready, TOL_SEND);
	ck_assert_int_eq(waits[1].ready, TOL_SEND);
	put(links[0]);
	put(links[1]);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(waits[0].ready, TOL_RECV);
	ck_assert_int_eq(try_get(links[1]), 1);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 2);
	ck_assert_int_eq(waits[1].ready, TOL_SEND);
	unmake_all();
}
END_TEST

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void ignore(int signal_number)
{
	(void)signal_number;
}

/* Not before its time, however often it is interrupted. */
START_TEST(times_out)
{
	const struct sigaction action = { .sa_handler = ignore };
	timer_t timer;
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM,
	};
	const struct itimerspec often = {
		.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000,
	};
	int64_t start_ns = now_ns();

	make_all(counts[_i], 1, TOL_RECV);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	ck_assert_int_eq(timer_settime(timer, 0, &often, NULL), 0);
	ck_assert_int_eq(wait_all(TOL_MSECS(30)), -ETIMEDOUT);
	ck_assert_int_ge(now_ns() - start_ns, TOL_MSECS(30));
	timer_delete(timer);
	unmake_all();
}
END_TEST

START_TEST(of_no_link)
{
	struct tol_wait none = { NULL, TOL_RECV, 9 };
	int64_t start_ns = now_ns();

	ck_assert_int_eq(tol_wait(NULL, 0, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_wait(NULL, 0, TOL_MSECS(5)), -ETIMEDOUT);
	ck_assert_int_eq(tol_wait(&none, 1, TOL_MSECS(5)), -ETIMEDOUT);
	ck_assert_int_eq(none.ready, 0);
	ck_assert_int_ge(now_ns() - start_ns, TOL_MSECS(10));
}
END_TEST

/* ---- what comes by itself ---- */

static int take_and_stay(void *context)
{
	const struct tol_take_opts *opts = context;
	struct tol_link *link = open_number(1);
	struct tol_message message;

	ck_assert_int_eq(tol_take(link, TOL_FOREVER, opts, &message), 0);
	for (;;)
		pause();
	return 0;
}

static int wait_for_return(void *context)
{
	(void)context;
	for (int i = 0; i < 2; i++)
		waits[i].link = open_number(i);
	do {
		if (tol_wait(waits, 2, TOL_FOREVER) < 1 ||
		    waits[1].ready != TOL_RECV)
			return 1;
	} while (try_get(waits[1].link) != 1);
	tol_close(waits[0].link);
	tol_close(waits[1].link);
	return 0;
}

static const struct tol_take_opts lease = { .lease_ns = 30000000 };

START_TEST(comes_back)
{
	pid_t holder, waiter;

	make_all(2, 4, TOL_RECV);
	put(links[1]);
	holder = support_fork(take_and_stay,
			      (void *)(uintptr_t)(_i ? &lease : NULL));
	support_wait_asleep(holder);
	waiter = support_fork(wait_for_return, NULL);
	if (_i == 0) {
		support_wait_asleep(waiter);
		kill(holder, SIGKILL);
	}
	ck_assert_int_eq(support_wait(waiter), 0);
	if (_i == 1)
		kill(holder, SIGKILL);
	support_wait(holder);
	unmake_all();
}
END_TEST

START_TEST(ends_and_errors)
{
	make_all(2, 1, TOL_RECV);
	waits[1].wanted = TOL_SEND;
	put(links[1]);
	ck_assert_int_eq(tol_shutdown(links[1]), 0);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(waits[1].ready, TOL_SEND);
	ck_assert_int_eq(tol_send(links[1], "x", 1, TOL_NOWAIT), -ESHUTDOWN);
	ck_assert_int_eq(tol_mailbox_remove("box0", NULL), 0);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 2);
	ck_assert_int_eq(waits[0].ready, TOL_RECV);
	ck_assert_int_eq(try_get(links[0]), -EIDRM);
	tol_close(links[0]);
	tol_close(links[1]);
	ck_assert_int_eq(tol_mailbox_remove("box1", NULL), 0);
}
END_TEST

static int remove_box(void *context)
{
	(void)context;
	support_wait_asleep(getppid());
	return tol_mailbox_remove("box0", NULL) == 0 ? 0 : 1;
}

START_TEST(removed_while_it_sleeps)
{
	pid_t pid;

	make_all(1, 1, TOL_RECV);
	pid = support_fork(remove_box, NULL);
	while (try_get(links[0]) != -EIDRM)
		ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(support_wait(pid), 0);
	tol_close(links[0]);
}
END_TEST

static int meet_each(void *context)
{
	struct tol_link *link = open_number(0);
	char byte;

	(void)context;
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), 0);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_FOREVER), 1);
	tol_close(link);
	return 0;
}

START_TEST(rendezvous)
{
	int err = -EAGAIN;
	pid_t pid;

	make_all(1, 0, TOL_RECV);
	pid = support_fork(meet_each, NULL);
	do
		ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	while (try_get(links[0]) == -EAGAIN);
	waits[0].wanted = TOL_SEND;
	while (err == -EAGAIN) {
		ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
		err = tol_send(links[0], "x", 1, TOL_NOWAIT);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake_all();
}
END_TEST

/* ---- threads ---- */

#define THREADS 6
#define ROUNDS 500

static _Atomic int received;

/* Each waits for all, and for one of its own besides. */
static void *wait_in_thread(void *context)
{
	struct tol_wait own[LINKS_MAX];

	(void)context;
	memcpy(own, waits, sizeof(own));
	for (;;) {
		int n = tol_wait(own, (size_t)links_count, TOL_FOREVER);

		ck_assert_int_ge(n, 1);
		for (int i = 0; i < links_count; i++) {
			char byte = 0;

			if (!own[i].ready ||
			    tol_recv(links[i], &byte, 1, TOL_NOWAIT) != 1)
				continue;
			if (byte == 'q')
				return NULL;
			received++;
		}
	}
}

static int send_rounds(void *context)
{
	struct tol_link *own[8];

	(void)context;
	for (int i = 0; i < 8; i++)
		own[i] = open_number(i);
	for (int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(tol_send(own[i % 8], "x", 1, TOL_FOREVER), 0);
	for (int i = 0; i < 8; i++)
		tol_close(own[i]);
	return 0;
}

START_TEST(many_threads)
{
	pthread_t threads[THREADS];
	pid_t pids[2];

	make_all(8, 1, TOL_RECV);
	received = 0;
	for (int i = 0; i < 2; i++)
		pids[i] = support_fork(send_rounds, NULL);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						wait_in_thread, NULL),
				 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(tol_send(links[i], "q", 1, TOL_FOREVER), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	while (try_get(links[0]) == 1 || try_get(links[1]) == 1)
		;
	ck_assert_int_eq(received, 2 * ROUNDS);
	unmake_all();
}
END_TEST

START_TEST(several_spaces)
{
	char second[80];
	struct tol_mailbox_opts make_opts = { .space = second };
	struct tol_open_opts open_opts = { .space = second };
	struct tol_link *other = NULL;

	snprintf(second, sizeof(second), "%s/second", support_space);
	ck_assert_int_eq(mkdir(second, 0700), 0);
	make_all(1, 4, TOL_RECV);
	ck_assert_int_eq(tol_mailbox_create("box", 4, &make_opts), 1);
	ck_assert_int_eq(tol_open(&other, "box", &open_opts), 0);
	waits[1] = (struct tol_wait){ other, TOL_RECV, 0 };
	links_count = 2;
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	put(other);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(waits[1].ready, TOL_RECV);
	links_count = 1;
	tol_close(other);
	ck_assert_int_eq(tol_mailbox_remove("box", &make_opts), 0);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	unmake_all();
	ck_assert_int_eq(rmdir(second), 0);
}
END_TEST

/* Serving each that is ready once, nobody is passed over. */
START_TEST(is_fair)
{
	int served[5] = { 0 };

	make_all(5, 64, TOL_RECV);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 5 - i; k++)
				if (tol_send(links[i], "x", 1, TOL_NOWAIT) < 0)
					break;
		ck_assert_int_eq(wait_all(TOL_FOREVER), 5);
		for (int i = 0; i < 5; i++)
			served[i] += waits[i].ready &&
				     try_get(links[i]) == 1;
	}
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(served[i], 50);
	unmake_all();
}
END_TEST

static int wait_in_fork(void *context)
{
	(void)context;
	if (wait_all(TOL_NOWAIT) != -ECHILD)
		return 1;
	waits[0].link = open_number(0);
	links_count = 1;
	if (wait_all(TOL_FOREVER) != 1 || try_get(waits[0].link) != 1)
		return 2;
	tol_close(waits[0].link);
	return 0;
}

START_TEST(after_fork)
{
	pid_t pid;

	make_all(3, 4, TOL_RECV);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	pid = support_fork(wait_in_fork, NULL);
	support_wait_asleep(pid);
	put(links[0]);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	put(links[2]);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	unmake_all();
}
END_TEST

/* A link that has a descriptor can be waited for as well. */
START_TEST(with_descriptors)
{
	int count = 2;
	pid_t pid;

	make_all(2, 4, TOL_RECV);
	ck_assert_int_ge(tol_descriptor(links[0], TOL_RECV), 0);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	pid = support_fork(wait_in_child, &count);
	support_wait_asleep(pid);
	put(links[0]);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	put(links[0]);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(waits[0].ready, TOL_RECV);
	unmake_all();
}
END_TEST

START_TEST(closed_behind_our_back)
{
	support_note_descriptors();
	make_all(3, 4, TOL_RECV);
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	support_close_others();
	ck_assert_int_eq(wait_all(TOL_MSECS(1)), -ETIMEDOUT);
	put(links[2]);
	ck_assert_int_eq(wait_all(TOL_FOREVER), 1);
	ck_assert_int_eq(waits[2].ready, TOL_RECV);
	unmake_all();
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 1);
}
END_TEST

START_TEST(bad_arguments)
{
	const struct tol_open_opts receives = { .flags = TOL_RECV };
	struct tol_link *receiver = NULL;

	make_all(2, 4, TOL_RECV);
	ck_assert_int_eq(tol_wait(NULL, 1, TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_wait(waits, 2, -2), -EINVAL);
	waits[1].wanted = 4;
	ck_assert_int_eq(wait_all(TOL_NOWAIT), -EINVAL);
	ck_assert_int_eq(tol_open(&receiver, "box0", &receives), 0);
	waits[1] = (struct tol_wait){ receiver, TOL_SEND, 0 };
	ck_assert_int_eq(wait_all(TOL_NOWAIT), -EPERM);
	tol_close(receiver);
	unmake_all();
}
END_TEST

/* ---- fork while other threads wait and close ---- */

#define FORKS 100

static uint32_t forks_are_done;

static void use_and_close(const char *name)
{
	struct tol_wait wait = { NULL, TOL_RECV, 0 };

	ck_assert_int_eq(tol_open(&wait.link, name, NULL), 0);
	ck_assert_int_ge(tol_descriptor(wait.link, TOL_RECV), 0);
	/* Short, but long enough to be in the set of all. */
	ck_assert_int_eq(tol_wait(&wait, 1, 1), -ETIMEDOUT);
	tol_close(wait.link);
}

static void *use_and_close_in_thread(void *context)
{
	while (!__atomic_load_n(&forks_are_done, __ATOMIC_ACQUIRE))
		use_and_close("box0");
	return context;
}

static int use_once(void *context)
{
	use_and_close("box1");
	return *(int *)context;
}

/* Whoever holds a lock of ours then is not in the child: it has to be free there. */
START_TEST(forked_meanwhile)
{
	pthread_t threads[2];
	int status = 0;

	make_all(2, 4, TOL_RECV);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						use_and_close_in_thread, NULL),
				 0);
	for (int i = 0; i < FORKS; i++)
		ck_assert_int_eq(support_wait(support_fork(use_once, &status)),
				 0);
	__atomic_store_n(&forks_are_done, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	unmake_all();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wait");
	TCase *tests = support_tcase("wait");
	int counts_count = (int)(sizeof(counts) / sizeof(counts[0]));

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, tells_which, 0, counts_count);
	tcase_add_loop_test(tests, wakes_for_each, 0, counts_count);
	tcase_add_loop_test(tests, wakes_who_sleeps, 0, counts_count);
	tcase_add_test(tests, room_and_messages);
	tcase_add_loop_test(tests, times_out, 0, counts_count);
	tcase_add_test(tests, of_no_link);
	tcase_add_loop_test(tests, comes_back, 0, 2);
	tcase_add_test(tests, ends_and_errors);
	tcase_add_test(tests, removed_while_it_sleeps);
	tcase_add_test(tests, rendezvous);
	tcase_add_test(tests, many_threads);
	tcase_add_test(tests, several_spaces);
	tcase_add_test(tests, is_fair);
	tcase_add_test(tests, after_fork);
	tcase_add_test(tests, forked_meanwhile);
	tcase_add_test(tests, with_descriptors);
	tcase_add_test(tests, closed_behind_our_back);
	tcase_add_test(tests, bad_arguments);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
