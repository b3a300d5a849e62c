/* SPDX-License-Identifier: MIT */
/*
 * tol_descriptor(): when it is readable, for whom, and what it costs. A descriptor
 * that has to become readable is polled without a limit: a lost wake-up is a test that
 * does not end in its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *open_address(const char *address)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, address, NULL), 0);
	return link;
}

static struct tol_link *make(uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	return open_address("box");
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static int descriptor(struct tol_link *link, unsigned int direction)
{
	int fd = tol_descriptor(link, direction);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

static bool is_readable(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	return poll(&one, 1, 0) == 1;
}

static void await(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	while (poll(&one, 1, -1) != 1)
		ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(one.revents, POLLIN);
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

/* As an event loop does it. */
static void await_message(struct tol_link *link, int fd)
{
	int n;

	do {
		await(fd);
		n = try_get(link);
	} while (n == -EAGAIN);
	ck_assert_int_eq(n, 1);
}

static void become_quiet(struct tol_link *link, int fd)
{
	/* What others had begun may come late: readable, and for nothing. */
	while (is_readable(fd))
		ck_assert_int_eq(try_get(link), -EAGAIN);
}

static const uint64_t capacities[] = { 1, 64, TOL_CAPACITY_UNBOUNDED };

START_TEST(readable_while_a_message_is_there)
{
	struct tol_link *link = make(capacities[_i]);
	struct tol_link *other = open_address("box");
	int fd = descriptor(link, TOL_RECV);

	ck_assert_int_eq(tol_descriptor(link, TOL_RECV), fd);
	for (int i = 0; i < 20; i++) {
		ck_assert(!is_readable(fd));
		put(i % 2 ? link : other);
		ck_assert(is_readable(fd));
		ck_assert(is_readable(fd));
		ck_assert_int_eq(try_get(link), 1);
	}
	ck_assert(!is_readable(fd));
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(there_before_it_was_asked_for)
{
	struct tol_link *link = make(4);
	int fd;

	put(link);
	put(link);
	fd = descriptor(link, TOL_RECV);
	ck_assert(is_readable(fd));
	ck_assert_int_eq(try_get(link), 1);
	ck_assert(is_readable(fd));
	ck_assert_int_eq(try_get(link), 1);
	ck_assert(!is_readable(fd));
	unmake(link);
}
END_TEST

START_TEST(room)
{
	struct tol_link *link = make(2);
	struct tol_link *other = open_address("box");
	int fd = descriptor(link, TOL_SEND);

	ck_assert(is_readable(fd));
	put(link);
	ck_assert(is_readable(fd));
	put(link);
	ck_assert(!is_readable(fd));
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(try_get(other), 1);
	ck_assert(is_readable(fd));
	/* Somebody else takes the room. */
	put(other);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert(!is_readable(fd));
	ck_assert_int_eq(tol_purge(other), 2);
	ck_assert(is_readable(fd));
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(more_room)
{
	struct tol_mailbox_opts opts = { .capacity_max_msgs = 8 };
	struct tol_link *link;
	int fd;

	ck_assert_int_eq(tol_mailbox_create("box", 1, &opts), 1);
	link = open_address("box");
	fd = descriptor(link, TOL_SEND);
	put(link);
	ck_assert(!is_readable(fd));
	ck_assert_int_eq(tol_resize(link, 2), 0);
	ck_assert(is_readable(fd));
	unmake(link);
}
END_TEST

/* ---- other ways to poll ---- */

START_TEST(in_select)
{
	struct tol_link *link = make(4);
	int fd = descriptor(link, TOL_RECV);
	struct timeval none = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	ck_assert_int_eq(select(fd + 1, &set, NULL, NULL, &none), 0);
	put(link);
	FD_SET(fd, &set);
	ck_assert_int_eq(select(fd + 1, &set, NULL, NULL, NULL), 1);
	unmake(link);
}
END_TEST

static int add_to_new_set(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int set = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_ge(set, 0);
	ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	return set;
}

/* Level-triggered, in a set in a set in a set. */
START_TEST(in_epoll_nested)
{
	struct tol_link *link = make(4);
	int fd = descriptor(link, TOL_RECV);
	struct epoll_event event;
	int sets[3];

	for (int i = 0; i < 3; i++)
		sets[i] = add_to_new_set(i ? sets[i - 1] : fd, EPOLLIN);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(epoll_wait(sets[2], &event, 1, 0), 0);
		put(link);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(epoll_wait(sets[i], &event, 1, -1),
					 1);
		ck_assert_int_eq(try_get(link), 1);
	}
	for (int i = 0; i < 3; i++)
		close(sets[i]);
	unmake(link);
}
END_TEST

/* Who calls until -EAGAIN gets an edge for whatever comes after. */
START_TEST(in_epoll_edge_triggered)
{
	struct tol_link *link = make(64), *other = open_address("box");
	int fd = descriptor(link, TOL_RECV);
	int set = add_to_new_set(fd, EPOLLIN | EPOLLET);
	struct epoll_event event;
	int got = 0;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i <= round % 3; i++)
			put(other);
		ck_assert_int_eq(epoll_wait(set, &event, 1, -1), 1);
		while (try_get(link) == 1)
			got++;
	}
	ck_assert_int_eq(got, 17 + 17 * 2 + 16 * 3);
	close(set);
	tol_close(other);
	unmake(link);
}
END_TEST

/* ---- several processes ---- */

static int read_one(void *context)
{
	struct tol_link *link = open_address("box");
	int fd = descriptor(link, TOL_RECV);

	(void)context;
	await_message(link, fd);
	tol_close(link);
	return 0;
}

START_TEST(several_processes)
{
	struct tol_link *link = make(64);
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = support_fork(read_one, NULL);
	for (int i = 0; i < 4; i++)
		support_wait_asleep(pids[i]);
	/* One message wakes all of them, one of which gets it. */
	for (int i = 0; i < 4; i++)
		put(link);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_int_eq(try_get(link), -EAGAIN);
	unmake(link);
}
END_TEST

/* All become readable, and whoever is late has it readable for nothing. */
START_TEST(two_who_poll_one_mailbox)
{
	struct tol_link *link = make(4), *other = open_address("box");
	int fds[2] = { descriptor(link, TOL_RECV),
		       descriptor(other, TOL_RECV) };

	put(link);
	ck_assert(is_readable(fds[0]) && is_readable(fds[1]));
	ck_assert_int_eq(try_get(link), 1);
	ck_assert(!is_readable(fds[0]));
	become_quiet(other, fds[1]);
	put(other);
	ck_assert(is_readable(fds[0]) && is_readable(fds[1]));
	tol_close(other);
	unmake(link);
}
END_TEST

static int stream(void *context)
{
	struct tol_link *link = open_address("box");

	for (int i = 0; i < *(int *)context; i++)
		ck_assert_int_eq(tol_send(link, &i, sizeof(i), TOL_FOREVER),
				 0);
	tol_close(link);
	return 0;
}

/* Nothing is lost however the two interleave, and the order stays. */
START_TEST(stream_through_a_loop)
{
	struct tol_link *link = make(capacities[_i]);
	int fd = descriptor(link, TOL_RECV), count = 20000, number;
	pid_t pid = support_fork(stream, &count);

	for (int i = 0; i < count;) {
		await(fd);
		while (tol_recv(link, &number, sizeof(number), TOL_NOWAIT) > 0)
			ck_assert_int_eq(number, i++);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	become_quiet(link, fd);
	unmake(link);
}
END_TEST

static int drain_count(void *context)
{
	struct tol_link *link = open_address("box");

	for (int i = 0; i < *(int *)context; i++)
		ck_assert_int_eq(try_get(link) == -EAGAIN ? (i--, 1) : 1, 1);
	tol_close(link);
	return 0;
}

START_TEST(stream_out_of_a_loop)
{
	struct tol_link *link = make(capacities[_i % 2]);
	int fd = descriptor(link, TOL_SEND), count = 5000;
	pid_t pid = support_fork(drain_count, &count);

	for (int i = 0; i < count;) {
		await(fd);
		while (i < count &&
		       tol_send(link, &i, 1, TOL_NOWAIT) == 0)
			i++;
	}
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* ---- what comes by itself ---- */

static int take_and_wait(void *context)
{
	struct tol_link *link = open_address("box");
	struct tol_message message;

	if (tol_take(link, TOL_FOREVER, context, &message) < 0)
		return 1;
	for (;;)
		pause();
}

static pid_t start_holder(const struct tol_take_opts *opts)
{
	pid_t pid = support_fork(take_and_wait, (void *)(uintptr_t)opts);

	support_wait_asleep(pid);
	return pid;
}

START_TEST(death_of_a_holder)
{
	struct tol_link *link = make(4);
	int fd;
	pid_t pid;

	put(link);
	pid = start_holder(NULL);
	fd = descriptor(link, TOL_RECV);
	become_quiet(link, fd);
	kill(pid, SIGKILL);
	await_message(link, fd);
	support_wait(pid);
	unmake(link);
}
END_TEST

static const struct tol_take_opts short_lease = { .lease_ns = 30000000 };
static const struct tol_take_opts long_lease = { .lease_ns = 60000000000 };

START_TEST(end_of_a_lease)
{
	struct tol_link *link = make(4);
	int fd;
	pid_t pid;

	put(link);
	if (_i == 0) {		/* it began before we polled */
		pid = start_holder(&short_lease);
		fd = descriptor(link, TOL_RECV);
	} else {		/* after, and ends before another one */
		pid_t first = start_holder(&long_lease);

		fd = descriptor(link, TOL_RECV);
		become_quiet(link, fd);
		put(link);
		pid = start_holder(&short_lease);
		await_message(link, fd);
		kill(first, SIGKILL);
		support_wait(first);
	}
	await_message(link, fd);
	kill(pid, SIGKILL);
	support_wait(pid);
	unmake(link);
}
END_TEST

START_TEST(returned)
{
	struct tol_link *link = make(4), *other = open_address("box");
	struct tol_message message;
	int fd = descriptor(link, TOL_RECV);

	put(link);
	ck_assert_int_eq(tol_take(other, TOL_NOWAIT, NULL, &message), 0);
	become_quiet(link, fd);
	ck_assert_int_eq(tol_return(other, &message), 0);
	await_message(link, fd);
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(dead_letters)
{
	const struct tol_take_opts once = { .max_tries = 1 };
	struct tol_link *link = make(4), *dead = open_address("box:dead");
	struct tol_message message;
	int fd = descriptor(dead, TOL_RECV), queue = descriptor(link, TOL_RECV);

	put(link);
	ck_assert(!is_readable(fd));
	ck_assert(is_readable(queue));
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &once, &message), 0);
	ck_assert_int_eq(tol_return(link, &message), 0);
	await_message(dead, fd);
	become_quiet(dead, fd);
	become_quiet(link, queue);
	tol_close(dead);
	unmake(link);
}
END_TEST

START_TEST(the_end)
{
	struct tol_link *link = make(1), *other = open_address("box");
	int recv_fd = descriptor(link, TOL_RECV), send_fd;

	put(link);
	send_fd = descriptor(link, TOL_SEND);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert(!is_readable(send_fd));
	ck_assert_int_eq(tol_shutdown(other), 0);
	ck_assert(is_readable(send_fd));
	ck_assert_int_eq(try_get(link), 1);
	await(recv_fd);
	ck_assert_int_eq(try_get(link), -ENODATA);
	await(recv_fd);
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(removal)
{
	struct tol_link *link = make(1);
	int fd = descriptor(link, TOL_RECV);

	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	await(fd);
	ck_assert_int_eq(try_get(link), -EIDRM);
	ck_assert_int_eq(tol_descriptor(link, TOL_RECV), -EIDRM);
	tol_close(link);
}
END_TEST

START_TEST(selected_and_by_priority)
{
	const struct tol_send_opts opts = { .tag = 7, .priority = _i ? 3 : 0 };
	const struct tol_select seven = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 7, .last_tag = 7,
	};
	struct tol_link *link = make(8), *other = open_address("box");
	int fd = descriptor(link, TOL_RECV);
	struct tol_message message;
	char byte;

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(tol_recv_select(link, &seven, &byte, 1,
						 TOL_NOWAIT, &message),
				 -EAGAIN);
		ck_assert(!is_readable(fd));
		ck_assert_int_eq(tol_send_message(other, "x", 1, TOL_NOWAIT,
						  &opts),
				 0);
		await(fd);
		ck_assert_int_eq(tol_recv_select(link, &seven, &byte, 1,
						 TOL_NOWAIT, &message),
				 1);
	}
	tol_close(other);
	unmake(link);
}
END_TEST

/* ---- capacity 0 ---- */

static int send_one(void *context)
{
	struct tol_link *link = open_address("box");
	int err = tol_send(link, "x", 1, TOL_FOREVER);

	(void)context;
	tol_close(link);
	return err;
}

static int recv_one(void *context)
{
	struct tol_link *link = open_address("box");
	char byte;
	int n = (int)tol_recv(link, &byte, 1, TOL_FOREVER);

	(void)context;
	tol_close(link);
	return n == 1 ? 0 : 1;
}

START_TEST(rendezvous)
{
	struct tol_link *link = make(0);
	int recv_fd = descriptor(link, TOL_RECV);
	int send_fd = descriptor(link, TOL_SEND), err;
	pid_t pid;

	for (int i = 0; i < 5; i++) {
		become_quiet(link, recv_fd);
		pid = support_fork(send_one, NULL);
		await_message(link, recv_fd);
		ck_assert_int_eq(support_wait(pid), 0);
		pid = support_fork(recv_one, NULL);
		do {
			await(send_fd);
			err = tol_send(link, "x", 1, TOL_NOWAIT);
		} while (err == -EAGAIN);
		ck_assert_int_eq(err, 0);
		ck_assert_int_eq(support_wait(pid), 0);
	}
	unmake(link);
}
END_TEST

/* ---- the surroundings ---- */

/* Its numbers may be somebody else's by then. */
START_TEST(closed_behind_our_back)
{
	struct tol_link *link = make(4);
	int fd, others[8], pipes[2];
	char byte;

	support_note_descriptors();
	descriptor(link, TOL_RECV);
	support_close_others();
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(write(pipes[1], "y", 1), 1);
	for (int i = 0; i < 8; i++)
		others[i] = dup(pipes[0]);
	put(link);
	ck_assert_int_eq(try_get(link), 1);
	ck_assert_int_eq(try_get(link), -EAGAIN);
	/* Nothing was read from what is not ours. */
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	fd = descriptor(link, TOL_RECV);
	ck_assert(!is_readable(fd));
	put(link);
	await_message(link, fd);
	for (int i = 0; i < 8; i++)
		close(others[i]);
	close(pipes[0]);
	close(pipes[1]);
	unmake(link);
}
END_TEST

static int use_in_child(void *context)
{
	struct tol_link *link = context, *own;
	int fd, n;

	if (tol_descriptor(link, TOL_RECV) != -ECHILD ||
	    try_get(link) != -ECHILD)
		return 1;
	own = open_address("box");
	fd = descriptor(own, TOL_RECV);
	await(fd);
	n = try_get(own);
	tol_close(own);
	tol_close(link);
	return n == 1 ? 0 : 2;
}

START_TEST(after_fork)
{
	struct tol_link *link = make(4);
	int fd = descriptor(link, TOL_RECV);
	pid_t pid = support_fork(use_in_child, link);

	support_wait_asleep(pid);
	put(link);
	ck_assert_int_eq(support_wait(pid), 0);
	become_quiet(link, fd);
	put(link);
	await_message(link, fd);
	unmake(link);
}
END_TEST

/* All instances that a user may have are in use: by the clock, then. */
START_TEST(without_inotify)
{
	struct tol_link *link = make(4);
	int fds[4096], count = 0, fd;
	pid_t pid;

	while (count < 4096 && (fds[count] = inotify_init1(IN_CLOEXEC)) >= 0)
		count++;
	ck_assert_int_eq(errno, EMFILE);
	fd = descriptor(link, TOL_RECV);
	put(link);
	await_message(link, fd);
	put(link);
	pid = start_holder(NULL);
	ck_assert_int_eq(try_get(link), -EAGAIN);
	kill(pid, SIGKILL);
	await_message(link, fd);
	support_wait(pid);
	while (count > 0)
		close(fds[--count]);
	unmake(link);
}
END_TEST

static int poll_and_die(void *context)
{
	struct tol_link *link = open_address("box");

	(void)context;
	descriptor(link, TOL_RECV);
	kill(getpid(), SIGKILL);
	return 0;
}

/* What one that was killed leaves is found by whoever rings, and cleaned. */
START_TEST(killed_while_it_polls)
{
	struct tol_link *link = make(4);
	pid_t pid = support_fork(poll_and_die, NULL);

	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	put(link);
	ck_assert_int_eq(try_get(link), 1);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 1);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	unmake(link);
}
END_TEST

START_TEST(bad_arguments)
{
	const struct tol_open_opts receives = { .flags = TOL_RECV };
	struct tol_link *link = make(4), *receiver = NULL;

	ck_assert_int_eq(tol_open(&receiver, "box", &receives), 0);
	ck_assert_int_eq(tol_descriptor(NULL, TOL_RECV), -EINVAL);
	ck_assert_int_eq(tol_descriptor(link, 0), -EINVAL);
	ck_assert_int_eq(tol_descriptor(link, TOL_RECV | TOL_SEND), -EINVAL);
	ck_assert_int_eq(tol_descriptor(receiver, TOL_SEND), -EPERM);
	tol_close(receiver);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptor");
	TCase *tests = support_tcase("descriptor");

	tcase_add_loop_test(tests, readable_while_a_message_is_there, 0, 3);
	tcase_add_test(tests, there_before_it_was_asked_for);
	tcase_add_test(tests, room);
	tcase_add_test(tests, more_room);
	tcase_add_test(tests, in_select);
	tcase_add_test(tests, in_epoll_nested);
	tcase_add_test(tests, in_epoll_edge_triggered);
	tcase_add_test(tests, several_processes);
	tcase_add_test(tests, two_who_poll_one_mailbox);
	tcase_add_loop_test(tests, stream_through_a_loop, 0, 3);
	tcase_add_loop_test(tests, stream_out_of_a_loop, 0, 2);
	tcase_add_test(tests, death_of_a_holder);
	tcase_add_loop_test(tests, end_of_a_lease, 0, 2);
	tcase_add_test(tests, returned);
	tcase_add_test(tests, dead_letters);
	tcase_add_test(tests, the_end);
	tcase_add_test(tests, removal);
	tcase_add_loop_test(tests, selected_and_by_priority, 0, 2);
	tcase_add_test(tests, rendezvous);
	tcase_add_test(tests, closed_behind_our_back);
	tcase_add_test(tests, after_fork);
	tcase_add_test(tests, without_inotify);
	tcase_add_test(tests, killed_while_it_polls);
	tcase_add_test(tests, bad_arguments);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
