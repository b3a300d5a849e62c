/* SPDX-License-Identifier: MIT */
/* Capacity 0: a send and a receive happen together or not at all. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static unsigned int open_flags;

static struct tol_link *open_box(void)
{
	struct tol_open_opts opts = { .flags = open_flags };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", &opts), 0);
	return link;
}

static struct tol_link *make(void)
{
	ck_assert_int_eq(tol_mailbox_create("box", 0, NULL), 1);
	return open_box();
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat stat;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	return stat;
}

static void await_senders(uint32_t count)
{
	while (look().waiting_senders_count < count)
		sched_yield();
}

static void await_receivers(uint32_t count)
{
	while (look().waiting_receivers_count < count)
		sched_yield();
}

/* ---- others, by what they do ---- */

struct task {
	uint64_t number;
	size_t size_bytes;
	int64_t timeout_ns;
};

static int send_task(void *context)
{
	const struct task *task = context;
	struct tol_link *link = open_box();
	unsigned char *body = malloc(task->size_bytes + 8);
	int err;

	memset(body, (int)task->number, task->size_bytes);
	if (task->size_bytes >= 8)
		memcpy(body, &task->number, 8);
	err = tol_send(link, body, task->size_bytes, task->timeout_ns);
	free(body);
	tol_close(link);
	return -err;
}

static int recv_task(void *context)
{
	const struct task *task = context;
	struct tol_link *link = open_box();
	uint64_t number = 0;
	ssize_t n = tol_recv(link, &number, 8, task->timeout_ns);

	tol_close(link);
	return n < 0 ? (int)-n : number == task->number ? 0 : 255;
}

START_TEST(nobody_waits)
{
	struct tol_link *link = make();
	char byte;

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_MSECS(2)), -ETIMEDOUT);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_MSECS(2)), -ETIMEDOUT);
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_uint_eq(look().sent_msgs, 0);
	ck_assert_uint_eq(look().queued_msgs, 0);
	ck_assert_uint_eq(look().capacity_msgs, 0);
	ck_assert_uint_eq(look().held_msgs, 0);
	unmake(link);
}
END_TEST

START_TEST(receiver_waits)
{
	struct task task = { 7, 8, TOL_FOREVER };
	struct tol_link *link = make();
	pid_t pid = support_fork(recv_task, &task);

	await_receivers(1);
	ck_assert_int_eq(tol_send(link, &task.number, 8,
				  _i ? TOL_NOWAIT : TOL_FOREVER), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_uint_eq(look().sent_msgs, 1);
	unmake(link);
}
END_TEST

static const size_t sizes[] = { 0, 8, 33, 3000, 70000, 1 << 20, 2 << 20 };

START_TEST(sender_waits)
{
	struct task task = { 9, sizes[_i % 7], TOL_FOREVER };
	struct tol_link *link = make();
	unsigned char *body = malloc(task.size_bytes + 1);
	struct tol_message message;
	pid_t pid = support_fork(send_task, &task);

	await_senders(1);
	if (task.size_bytes > 0) {
		ck_assert_int_eq(tol_recv_message(link, body,
						  task.size_bytes - 1, 0,
						  &message), -EMSGSIZE);
		ck_assert_uint_eq(message.size_bytes, task.size_bytes);
		ck_assert_uint_eq(look().waiting_senders_count, 1);
	}
	if (_i < 7) {
		ck_assert_int_eq(tol_recv(link, body, task.size_bytes, 0),
				 (ssize_t)task.size_bytes);
	} else {
		ck_assert_int_eq(tol_take(link, 0, NULL, &message), 0);
		ck_assert_uint_eq(message.size_bytes, task.size_bytes);
		if (task.size_bytes > 0)
			memcpy(body, message.body, task.size_bytes);
		ck_assert_int_eq(support_wait(pid), 0);
		ck_assert_uint_eq(look().held_msgs, 1);
		/* Back: it is there for a receiver, without a sender. */
		ck_assert_int_eq(tol_return(link, &message), 0);
		ck_assert_int_eq(tol_take(link, 0, NULL, &message), 0);
		ck_assert_uint_eq(message.tries, 2);
		ck_assert_int_eq(tol_ack(link, &message), 0);
	}
	for (size_t i = 8; i < task.size_bytes; i++)
		ck_assert_uint_eq(body[i], 9);
	if (_i < 7)
		ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_recv(link, body, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	free(body);
	unmake(link);
}
END_TEST

/* In the order in which they came. */
START_TEST(first_come_first_met)
{
	struct tol_link *link = make();
	struct task tasks[6];
	pid_t pids[6];

	for (uint64_t i = 0; i < 6; i++) {
		tasks[i] = (struct task){ i + 1, 8, TOL_FOREVER };
		pids[i] = support_fork(_i ? recv_task : send_task, &tasks[i]);
		if (_i)
			await_receivers((uint32_t)i + 1);
		else
			await_senders((uint32_t)i + 1);
	}
	for (uint64_t i = 1; i <= 6; i++) {
		uint64_t number = i;

		if (_i) {
			ck_assert_int_eq(tol_send(link, &number, 8, 0), 0);
		} else {
			ck_assert_int_eq(tol_recv(link, &number, 8, 0), 8);
			ck_assert_uint_eq(number, i);
		}
	}
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmake(link);
}
END_TEST

/* Killed while waiting: as if it had never been. */
START_TEST(killed_while_waiting)
{
	struct task task = { 1, 8, TOL_FOREVER }, next = { 2, 8, TOL_FOREVER };
	struct tol_link *link = make();
	uint64_t number = 2;
	pid_t dead = support_fork(_i % 2 ? recv_task : send_task, &task), pid;

	if (_i % 2)
		await_receivers(1);
	else
		await_senders(1);
	support_wait_asleep(dead);
	kill(dead, SIGKILL);
	ck_assert_int_eq(support_wait(dead), -SIGKILL);
	if (_i < 2) {
		ck_assert_int_eq(_i % 2 ? tol_send(link, &number, 8, 0)
					: (int)tol_recv(link, &number, 8, 0),
				 -EAGAIN);
		unmake(link);
		return;
	}
	/* Behind it another one. */
	pid = support_fork(_i % 2 ? recv_task : send_task, &next);
	if (_i % 2)
		ck_assert_int_eq(tol_send(link, &number, 8, TOL_FOREVER), 0);
	else
		ck_assert_int_eq(tol_recv(link, &number, 8, TOL_FOREVER), 8);
	ck_assert_uint_eq(number, 2);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_uint_eq(look().dead_count, 0);
	unmake(link);
}
END_TEST

/* A stopped one that waits keeps nobody from meeting those behind it. */
START_TEST(stopped_while_waiting)
{
	struct task task = { 1, 8, TOL_FOREVER };
	struct tol_link *link = make();
	uint64_t number = 1;
	pid_t pid = support_fork(_i ? recv_task : send_task, &task);

	if (_i)
		await_receivers(1);
	else
		await_senders(1);
	support_wait_asleep(pid);
	kill(pid, SIGSTOP);
	/* It has met somebody all the same. */
	if (_i)
		ck_assert_int_eq(tol_send(link, &number, 8, 0), 0);
	else
		ck_assert_int_eq(tol_recv(link, &number, 8, 0), 8);
	ck_assert_int_eq(tol_send(link, &number, 8, 0), -EAGAIN);
	kill(pid, SIGCONT);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* ---- many at once ---- */

#define THREADS 4
#define ROUNDS 3000

struct crowd {
	struct tol_link *link;
	uint64_t number;
	uint64_t done, given_up;
	uint32_t *seen;
	unsigned int seed;
};

static int64_t random_time(unsigned int *seed)
{
	return rand_r(seed) % 3 ? rand_r(seed) % 60000 : TOL_NOWAIT;
}

static void *send_many(void *context)
{
	struct crowd *crowd = context;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t id = crowd->number * ROUNDS + i;
		int err = tol_send(crowd->link, &id, 8,
				   random_time(&crowd->seed));

		if (err == 0)
			__atomic_fetch_add(&crowd->seen[id], 1000,
					   __ATOMIC_RELAXED);
		else if (err != -EAGAIN && err != -ETIMEDOUT)
			abort();
	}
	return NULL;
}

static void *recv_many(void *context)
{
	struct crowd *crowd = context;
	uint64_t id;

	for (;;) {
		ssize_t n = tol_recv(crowd->link, &id, 8,
				     random_time(&crowd->seed));

		if (n == 8)
			__atomic_fetch_add(&crowd->seen[id], 1,
					   __ATOMIC_RELAXED);
		else if (n == -ENODATA)
			return NULL;
		else if (n != -EAGAIN && n != -ETIMEDOUT)
			abort();
	}
}

/* A time-out and an acceptance never both, and never neither. */
START_TEST(times_and_meetings)
{
	uint32_t *seen = calloc(THREADS * ROUNDS, sizeof(*seen));
	struct crowd senders[THREADS], receivers[THREADS];
	pthread_t send_threads[THREADS], recv_threads[THREADS];
	struct tol_link *link;
	uint64_t met = 0;

	open_flags = _i ? TOL_SPIN_NEVER : 0;
	link = make();
	for (unsigned int i = 0; i < THREADS; i++) {
		senders[i] = (struct crowd){ .link = link, .number = i,
					     .seen = seen, .seed = i };
		receivers[i] = senders[i];
		receivers[i].seed += 100;
		pthread_create(&recv_threads[i], NULL, recv_many,
			       &receivers[i]);
		pthread_create(&send_threads[i], NULL, send_many, &senders[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(send_threads[i], NULL);
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(recv_threads[i], NULL);
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		ck_assert(seen[i] == 0 || seen[i] == 1001);
		met += seen[i] != 0;
	}
	ck_assert_uint_eq(look().sent_msgs, met);
	ck_assert_uint_gt(met, 0);
	free(seen);
	unmake(link);
}
END_TEST

START_TEST(end_and_removal_wake)
{
	struct task task = { 1, 8, TOL_FOREVER };
	struct tol_link *link = make();
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = support_fork(_i % 2 ? recv_task : send_task, &task);
	if (_i % 2)
		await_receivers(3);
	else
		await_senders(3);
	for (int i = 0; i < 3; i++)
		support_wait_asleep(pids[i]);
	if (_i < 2)
		ck_assert_int_eq(tol_shutdown(link), 0);
	else
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(pids[i]),
				 _i >= 2 ? EIDRM : _i ? ENODATA : ESHUTDOWN);
	tol_close(link);
	if (_i < 2)
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

/* One waits for long while others come and go, more than there are places. */
START_TEST(long_and_short_waits)
{
	struct task task = { 5, 8, TOL_FOREVER };
	struct tol_link *link = make();
	uint64_t number = 5;
	pid_t pid = support_fork(recv_task, &task);

	await_receivers(1);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(tol_recv(link, &number, 8, 1), -ETIMEDOUT);
	ck_assert_int_eq(tol_send(link, &number, 8, TOL_FOREVER), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* A receiver that waits with too small a buffer: the message comes back. */
START_TEST(too_small_a_buffer)
{
	struct task task = { 5, 8, TOL_FOREVER };
	struct tol_link *link = make();
	unsigned char body[100] = { 1 };
	pid_t pid = support_fork(recv_task, &task);

	await_receivers(1);
	ck_assert_int_eq(tol_send(link, body, 100, TOL_FOREVER), 0);
	ck_assert_int_eq(support_wait(pid), EMSGSIZE);
	ck_assert_int_eq(tol_recv(link, body, 100, TOL_NOWAIT), 100);
	unmake(link);
}
END_TEST

/* What was matched to one that dies before it is done comes to another. */
static int take_and_die(void *context)
{
	struct tol_link *link = open_box();
	struct tol_message message;

	(void)context;
	if (tol_take(link, TOL_FOREVER, NULL, &message) < 0)
		return 1;
	raise(SIGKILL);
	return 2;
}

START_TEST(death_of_a_holder_wakes_one_that_waits)
{
	struct task task = { 5, 8, TOL_FOREVER };
	struct tol_link *link = make();
	uint64_t number = 5;
	pid_t holder = support_fork(take_and_die, NULL), pid;

	await_receivers(1);
	pid = support_fork(recv_task, &task);
	await_receivers(2);
	ck_assert_int_eq(tol_send(link, &number, 8, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(holder), -SIGKILL);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

START_TEST(loans_and_batches)
{
	struct task task = { 5, 8, TOL_FOREVER };
	struct tol_outgoing out[2] = { { "one", 3, NULL }, { "two", 3, NULL } };
	struct tol_link *link = make();
	struct tol_loan loan;
	pid_t pid;

	ck_assert_int_eq(tol_loan(link, 8, &loan), 0);
	memcpy(loan.body, &task.number, 8);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), -EAGAIN);
	pid = support_fork(recv_task, &task);
	ck_assert_int_eq(tol_post(link, &loan, TOL_FOREVER, NULL), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(tol_send_many(link, out, 2, 0, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_purge(link), 0);
	ck_assert_int_eq(tol_resize(link, 1), -ERANGE);
	unmake(link);
}
END_TEST

/* ---- several processes, some of them killed ---- */

#define PROCESSES 4
#define CALLS 400

/* Per sender and number: sent (1), and received (0x100) */
static uint32_t *ledger;

struct party {
	uint64_t number;
	unsigned int seed;
};

static int send_calls(void *context)
{
	const struct party *party = context;
	unsigned int seed = party->seed;
	struct tol_link *link = open_box();

	for (uint64_t i = 0; i < CALLS; i++) {
		uint64_t id = party->number * CALLS + i;

		__atomic_fetch_or(&ledger[id], 2, __ATOMIC_SEQ_CST);
		if (tol_send(link, &id, 8, random_time(&seed)) == 0)
			__atomic_fetch_or(&ledger[id], 1, __ATOMIC_SEQ_CST);
		else
			__atomic_fetch_or(&ledger[id], 4, __ATOMIC_SEQ_CST);
	}
	tol_close(link);
	return 0;
}

static int recv_calls(void *context)
{
	const struct party *party = context;
	unsigned int seed = party->seed;
	struct tol_link *link = open_box();
	uint64_t id;
	ssize_t n;

	for (;;) {
		n = tol_recv(link, &id, 8, random_time(&seed));
		if (n == 8)
			__atomic_fetch_add(&ledger[id], 0x100,
					   __ATOMIC_SEQ_CST);
		else if (n == -ENODATA)
			break;
	}
	tol_close(link);
	return 0;
}

/* Those who send are killed: each message was received, or was not sent. */
START_TEST(killed_senders)
{
	struct party parties[PROCESSES * 2 + 1];
	unsigned int seed = support_seed() + (unsigned int)_i;
	struct tol_link *link = make();
	pid_t senders[PROCESSES], receivers[PROCESSES];

	ledger = mmap(NULL, PROCESSES * CALLS * 4, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		parties[i] = (struct party){ i, seed + i };
		receivers[i] = support_fork(recv_calls, &parties[i]);
		senders[i] = support_fork(send_calls, &parties[i]);
	}
	for (unsigned int i = 0; i < PROCESSES - 1; i++) {
		uint64_t last = i * CALLS + (uint64_t)rand_r(&seed) % CALLS;

		while (!__atomic_load_n(&ledger[last], __ATOMIC_SEQ_CST))
			sched_yield();
		kill(senders[i], SIGKILL);
		support_wait(senders[i]);
	}
	ck_assert_int_eq(support_wait(senders[PROCESSES - 1]), 0);
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(support_wait(receivers[i]), 0);
	for (int i = 0; i < PROCESSES * CALLS; i++) {
		uint32_t got = ledger[i] >> 8;

		ck_assert_uint_le(got, 1);
		if (ledger[i] & 1)
			ck_assert_uint_eq(got, 1);
		if (ledger[i] & 4)
			ck_assert_uint_eq(got, 0);
	}
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_uint_eq(look().dead_count, 0);
	ck_assert_uint_eq(look().held_msgs, 0);
	munmap(ledger, PROCESSES * CALLS * 4);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("meet");
	TCase *tests = support_tcase("meet");

	tcase_add_test(tests, nobody_waits);
	tcase_add_loop_test(tests, receiver_waits, 0, 2);
	tcase_add_loop_test(tests, sender_waits, 0, 14);
	tcase_add_loop_test(tests, first_come_first_met, 0, 2);
	tcase_add_loop_test(tests, killed_while_waiting, 0, 4);
	tcase_add_loop_test(tests, stopped_while_waiting, 0, 2);
	tcase_add_loop_test(tests, times_and_meetings, 0, 2);
	tcase_add_loop_test(tests, end_and_removal_wake, 0, 4);
	tcase_add_test(tests, long_and_short_waits);
	tcase_add_test(tests, too_small_a_buffer);
	tcase_add_test(tests, death_of_a_holder_wakes_one_that_waits);
	tcase_add_test(tests, loans_and_batches);
	tcase_add_loop_test(tests, killed_senders, 0, 8);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
