/* SPDX-License-Identifier: MIT */
/* Capacity 0, priorities and selection: those meet who suit each other. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *open_box(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
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
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat stat;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	return stat;
}

static void await(uint32_t senders, uint32_t receivers)
{
	for (;;) {
		struct tol_mailbox_stat stat = look();

		if (stat.waiting_senders_count >= senders &&
		    stat.waiting_receivers_count >= receivers)
			return;
		sched_yield();
	}
}

/* ---- what is sent, and what is wanted ---- */

static int send_one(struct tol_link *link, uint64_t tag, uint32_t priority,
		    int64_t timeout_ns)
{
	const struct tol_send_opts opts = { .tag = tag, .priority = priority };
	uint64_t body = tag * 1000 + priority;

	return tol_send_message(link, &body, 8, timeout_ns, &opts);
}

static struct tol_select one_tag(uint64_t tag)
{
	return (struct tol_select){ .by = TOL_SELECT_TAG_RANGE,
				    .first_tag = tag, .last_tag = tag };
}

/* Return: tag * 1000 + priority; -errno */
static int64_t recv_one(struct tol_link *link, const struct tol_select *select,
			int64_t timeout_ns)
{
	struct tol_message message;
	uint64_t body = 0;
	ssize_t n = tol_recv_select(link, select, &body, 8, timeout_ns,
				    &message);

	if (n < 0)
		return n;
	ck_assert_int_eq(n, 8);
	ck_assert_uint_eq(body, message.tag * 1000 + message.priority);
	return (int64_t)body;
}

static int64_t recv_tag(struct tol_link *link, uint64_t tag,
			int64_t timeout_ns)
{
	const struct tol_select select = one_tag(tag);

	return recv_one(link, &select, timeout_ns);
}

/* ---- others ---- */

struct task {
	uint64_t tag;
	uint32_t priority;
	const struct tol_select *select;	/* of a receiver; NULL any */
};

static int send_task(void *context)
{
	const struct task *task = context;
	struct tol_link *link = open_box();
	int err = send_one(link, task->tag, task->priority, TOL_FOREVER);

	tol_close(link);
	return -err;
}

/* What it wants is what it gets: of that tag and priority. */
static int recv_task(void *context)
{
	const struct task *task = context;
	struct tol_link *link = open_box();
	int64_t got = recv_one(link, task->select, TOL_FOREVER);

	tol_close(link);
	return got < 0 ? (int)-got
		       : got == (int64_t)(task->tag * 1000 + task->priority)
				 ? 0 : 255;
}

/* On return it waits. Nobody may be about to wait no more. */
static pid_t start_sender(uint64_t tag, uint32_t priority)
{
	struct task task = { tag, priority, NULL };
	uint32_t waiting = look().waiting_senders_count;
	pid_t pid = support_fork(send_task, &task);

	await(waiting + 1, 0);
	return pid;
}

static pid_t start_receiver(const struct tol_select *select, uint64_t tag,
			    uint32_t priority)
{
	struct task task = { tag, priority, select };
	uint32_t waiting = look().waiting_receivers_count;
	pid_t pid = support_fork(recv_task, &task);

	await(0, waiting + 1);
	return pid;
}

static pid_t start_receiver_of(uint64_t tag)
{
	struct tol_select select = one_tag(tag);

	return start_receiver(&select, tag, 0);
}

/* ---- who suits ---- */

#define SENDERS 5

static const uint64_t tags[SENDERS] = { 30, 10, 20, 50, 40 };

static const uint64_t wanted[] = { 7, 20, 50 };

static const struct {
	struct tol_select select;
	int64_t order[SENDERS + 1];	/* of tags; the rest does not suit */
} choices[] = {
	{ { .by = TOL_SELECT_ANY }, { 30, 10, 20, 50, 40 } },
	{ { .by = TOL_SELECT_TAGS, .tags = wanted, .tags_count = 3 },
	  { 20, 50 } },
	{ { .by = TOL_SELECT_TAG_RANGE, .first_tag = 15, .last_tag = 40 },
	  { 30, 20, 40 } },
	{ { .by = TOL_SELECT_TAG_NOT, .first_tag = 10 },
	  { 30, 20, 50, 40 } },
	{ { .by = TOL_SELECT_TAG_LOWEST, .last_tag = 40 },
	  { 10, 20, 30, 40 } },
	{ { .by = TOL_SELECT_TAG_RANGE, .first_tag = 60, .last_tag = 70 },
	  { 0 } },
};

#define CHOICES (int)(sizeof(choices) / sizeof(choices[0]))

START_TEST(senders_wait_for_who_wants_them)
{
	const struct tol_select *select = &choices[_i].select;
	struct tol_link *link = make();
	pid_t pids[SENDERS];
	int count = 0, left = SENDERS;

	for (int i = 0; i < SENDERS; i++)
		pids[i] = start_sender(tags[i], 0);
	for (; choices[_i].order[count]; count++)
		ck_assert_int_eq(recv_one(link, select, TOL_NOWAIT),
				 choices[_i].order[count] * 1000);
	ck_assert_int_eq(recv_one(link, select, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(recv_one(link, select, TOL_MSECS(1)), -ETIMEDOUT);
	left -= count;
	/* Those that nobody wanted, in their order. */
	for (int i = 0; i < SENDERS; i++) {
		bool is_left = true;

		for (int j = 0; j < count; j++)
			is_left &= choices[_i].order[j] != (int64_t)tags[i];
		if (is_left)
			ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT),
					 (int64_t)tags[i] * 1000);
		left -= is_left;
	}
	ck_assert_int_eq(left, 0);
	for (int i = 0; i < SENDERS; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmake(link);
}
END_TEST

/* The same choices by one that waits: others' messages pass it by. */
START_TEST(receiver_waits_for_what_it_wants)
{
	struct tol_link *link = make();
	uint64_t first = choices[_i].order[0]
				 ? (uint64_t)choices[_i].order[0] : 65;
	pid_t pid = start_receiver(&choices[_i].select, first, 0);

	for (int i = 0; i < SENDERS; i++) {
		bool suits = false;

		for (int j = 0; j < SENDERS; j++)
			suits |= choices[_i].order[j] == (int64_t)tags[i];
		if (!suits)
			ck_assert_int_eq(send_one(link, tags[i], 0, TOL_NOWAIT),
					 -EAGAIN);
	}
	ck_assert_int_eq(send_one(link, first, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(send_one(link, first, 0, TOL_NOWAIT), -EAGAIN);
	unmake(link);
}
END_TEST

START_TEST(priority_goes_first)
{
	static const uint32_t priorities[] = { 3, 9, 3, 32767, 0, 9 };
	struct tol_link *link = make();
	pid_t pids[6];

	for (uint64_t i = 0; i < 6; i++)
		pids[i] = start_sender(i + 1, priorities[i]);
	if (_i == 0) {
		ck_assert_int_eq(recv_one(link, NULL, 0), 4000 + 32767);
		ck_assert_int_eq(recv_one(link, NULL, 0), 2009);
		ck_assert_int_eq(recv_tag(link, 5, 0), 5000);
		ck_assert_int_eq(recv_one(link, NULL, 0), 6009);
		ck_assert_int_eq(recv_one(link, NULL, 0), 1003);
		ck_assert_int_eq(recv_one(link, NULL, 0), 3003);
	} else {
		static const uint64_t order[] = { 4, 2, 6, 1, 3, 5 };
		struct tol_incoming items[8];
		uint64_t bodies[8];

		for (int i = 0; i < 8; i++)
			items[i] = (struct tol_incoming){ .buf = &bodies[i],
							  .size_bytes = 8 };
		ck_assert_int_eq(tol_recv_many(link, items, 8, 0, TOL_NOWAIT),
				 6);
		for (int i = 0; i < 6; i++)
			ck_assert_uint_eq(items[i].message.tag, order[i]);
	}
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmake(link);
}
END_TEST

START_TEST(from_one_sender)
{
	struct tol_link *link = make();
	pid_t first = start_sender(1, 0), second = start_sender(2, 0);
	struct tol_select select = { .by = TOL_SELECT_SENDER,
				     .sender_pid = second };
	pid_t pid;

	ck_assert_int_eq(recv_one(link, &select, 0), 2000);
	ck_assert_int_eq(recv_one(link, &select, 0), -EAGAIN);
	ck_assert_int_eq(recv_one(link, NULL, 0), 1000);
	ck_assert_int_eq(support_wait(first), 0);
	ck_assert_int_eq(support_wait(second), 0);
	/* One that waits for us. */
	select.sender_pid = getpid();
	pid = start_receiver(&select, 4, 0);
	first = start_sender(3, 0);
	ck_assert_int_eq(send_one(link, 4, 0, 0), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(recv_one(link, NULL, 0), 3000);
	ck_assert_int_eq(support_wait(first), 0);
	unmake(link);
}
END_TEST

/* Of several that want it, the one that came first. */
START_TEST(first_come_first_met)
{
	struct tol_select wide = { .by = TOL_SELECT_TAG_RANGE, .last_tag = 9 };
	struct tol_link *link = make();
	pid_t pids[4] = { start_receiver_of(5) };

	pids[1] = start_receiver(&wide, 6, 1);
	pids[2] = start_receiver_of(6);
	pids[3] = start_receiver(NULL, 10, 2);
	ck_assert_int_eq(send_one(link, 10, 2, 0), 0);
	ck_assert_int_eq(support_wait(pids[3]), 0);
	ck_assert_int_eq(send_one(link, 6, 1, 0), 0);
	ck_assert_int_eq(support_wait(pids[1]), 0);
	ck_assert_int_eq(send_one(link, 6, 0, 0), 0);
	ck_assert_int_eq(support_wait(pids[2]), 0);
	ck_assert_int_eq(send_one(link, 6, 0, 0), -EAGAIN);
	ck_assert_int_eq(send_one(link, 5, 0, 0), 0);
	ck_assert_int_eq(support_wait(pids[0]), 0);
	unmake(link);
}
END_TEST

START_TEST(both_sides_wait)
{
	struct tol_link *link = make();
	pid_t senders[4], receivers[4];

	for (uint64_t i = 0; i < 4; i++) {
		receivers[i] = start_receiver_of(10 + i);
		senders[i] = start_sender(20 + i, 0);
	}
	ck_assert_uint_eq(look().waiting_senders_count, 4);
	ck_assert_uint_eq(look().waiting_receivers_count, 4);
	ck_assert_uint_eq(look().sent_msgs, 0);
	for (uint64_t i = 4; i-- > 0;) {
		ck_assert_int_eq(send_one(link, 10 + i, 0, TOL_NOWAIT), 0);
		ck_assert_int_eq(support_wait(receivers[i]), 0);
		ck_assert_int_eq(recv_tag(link, 20 + i, TOL_NOWAIT),
				 (int64_t)(20 + i) * 1000);
		ck_assert_int_eq(support_wait(senders[i]), 0);
	}
	ck_assert_uint_eq(look().sent_msgs, 8);
	unmake(link);
}
END_TEST

/* Nobody selected when they came. */
START_TEST(those_who_came_before_somebody_selected)
{
	struct tol_link *link = make();
	pid_t pids[3], pid;

	if (_i) {
		pid = start_receiver(NULL, 3, 8);
		ck_assert_int_eq(send_one(link, 3, 8, TOL_NOWAIT), 0);
		ck_assert_int_eq(support_wait(pid), 0);
		unmake(link);
		return;
	}
	for (uint64_t i = 0; i < 3; i++)
		pids[i] = start_sender(i + 1, 0);
	ck_assert_int_eq(recv_tag(link, 2, 0), 2000);
	ck_assert_int_eq(recv_tag(link, 2, 0), -EAGAIN);
	ck_assert_int_eq(recv_one(link, NULL, 0), 1000);
	ck_assert_int_eq(recv_one(link, NULL, 0), 3000);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmake(link);
}
END_TEST

/* Too small a buffer: it is told of the one that it wants. */
START_TEST(too_small_a_buffer)
{
	struct tol_link *link = make();
	struct tol_select select = one_tag(2);
	struct tol_message message;
	pid_t first = start_sender(1, 5), second = start_sender(2, 0);
	char body[7];

	ck_assert_int_eq(tol_recv_select(link, &select, body, 7, 0, &message),
			 -EMSGSIZE);
	ck_assert_uint_eq(message.tag, 2);
	ck_assert_uint_eq(message.size_bytes, 8);
	ck_assert_uint_eq(look().waiting_senders_count, 2);
	ck_assert_int_eq(recv_tag(link, 2, 0), 2000);
	ck_assert_int_eq(recv_one(link, NULL, 0), 1005);
	ck_assert_int_eq(support_wait(first), 0);
	ck_assert_int_eq(support_wait(second), 0);
	unmake(link);
}
END_TEST

/* ---- killed, stopped, out of time ---- */

START_TEST(killed_while_waiting)
{
	struct tol_link *link = make();
	pid_t receiver = start_receiver_of(1), sender = start_sender(2, 0);
	pid_t next = start_receiver_of(1);

	support_wait_asleep(receiver);
	support_wait_asleep(sender);
	kill(receiver, SIGKILL);
	kill(sender, SIGKILL);
	ck_assert_int_eq(support_wait(receiver), -SIGKILL);
	ck_assert_int_eq(support_wait(sender), -SIGKILL);
	ck_assert_int_eq(recv_tag(link, 2, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(send_one(link, 1, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(next), 0);
	ck_assert_int_eq(send_one(link, 1, 0, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_uint_eq(look().dead_count, 0);
	ck_assert_uint_eq(look().held_msgs, 0);
	unmake(link);
}
END_TEST

/* Their places are given back: there are only so many. */
START_TEST(many_killed)
{
	struct tol_link *link = make();

	for (int i = 0; i < 300; i++) {
		pid_t pid = start_receiver_of(1);

		kill(pid, SIGKILL);
		ck_assert_int_eq(support_wait(pid), -SIGKILL);
		ck_assert_int_eq(send_one(link, 1, 0, TOL_NOWAIT), -EAGAIN);
	}
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_uint_eq(look().dead_count, 0);
	unmake(link);
}
END_TEST

START_TEST(stopped_while_waiting)
{
	struct tol_link *link = make();
	pid_t stopped = _i ? start_receiver_of(1) : start_sender(1, 0), other;

	support_wait_asleep(stopped);
	kill(stopped, SIGSTOP);
	/* Others go on. */
	other = start_receiver_of(2);
	ck_assert_int_eq(send_one(link, 2, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(other), 0);
	other = start_sender(3, 0);
	ck_assert_int_eq(recv_tag(link, 3, TOL_NOWAIT), 3000);
	ck_assert_int_eq(support_wait(other), 0);
	/* It has met somebody all the same. */
	if (_i)
		ck_assert_int_eq(send_one(link, 1, 0, TOL_NOWAIT), 0);
	else
		ck_assert_int_eq(recv_tag(link, 1, TOL_NOWAIT), 1000);
	ck_assert_int_eq(send_one(link, 1, 0, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(recv_tag(link, 1, TOL_NOWAIT), -EAGAIN);
	kill(stopped, SIGCONT);
	ck_assert_int_eq(support_wait(stopped), 0);
	unmake(link);
}
END_TEST

/*
 * One of each side waits for long while others come and go, more than there are
 * places: put out of its turn, it is still met.
 */
START_TEST(long_and_short_waits)
{
	struct tol_link *link = make();
	pid_t receiver = start_receiver_of(1), sender = start_sender(2, 7);

	for (int i = 0; i < 6000; i++) {
		ck_assert_int_eq(recv_tag(link, 3, 1), -ETIMEDOUT);
		ck_assert_int_eq(send_one(link, 4, 0, 1), -ETIMEDOUT);
	}
	ck_assert_int_eq(send_one(link, 1, 0, TOL_FOREVER), 0);
	ck_assert_int_eq(recv_one(link, NULL, TOL_FOREVER), 2007);
	ck_assert_int_eq(support_wait(receiver), 0);
	ck_assert_int_eq(support_wait(sender), 0);
	unmake(link);
}
END_TEST

START_TEST(end_wakes_both_sides)
{
	struct tol_link *link = make();
	pid_t receiver = start_receiver_of(1), sender = start_sender(2, 0);

	support_wait_asleep(receiver);
	support_wait_asleep(sender);
	if (_i == 0)
		ck_assert_int_eq(tol_shutdown(link), 0);
	else
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(support_wait(receiver), _i ? EIDRM : ENODATA);
	ck_assert_int_eq(support_wait(sender), _i ? EIDRM : ESHUTDOWN);
	tol_close(link);
	if (_i == 0)
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

/* ---- what came back ---- */

static void take(struct tol_link *link, pid_t sender, uint64_t tag,
		 struct tol_message *ret_message)
{
	struct tol_select select = one_tag(tag);
	struct tol_take_opts opts = { .select = &select };

	ck_assert_int_eq(tol_take(link, TOL_FOREVER, &opts, ret_message), 0);
	ck_assert_uint_eq(ret_message->tag, tag);
	ck_assert_int_eq(support_wait(sender), 0);
}

/* It stands where its priority and its turn say, among those who offer. */
START_TEST(what_came_back_has_its_turn)
{
	struct tol_link *link = make();
	struct tol_message low, high, back;
	pid_t pids[2];

	take(link, start_sender(1, 4), 1, &low);
	take(link, start_sender(2, 8), 2, &high);
	pids[0] = start_sender(3, 6);
	pids[1] = start_sender(4, 4);
	ck_assert_int_eq(tol_return(link, &low), 0);
	ck_assert_int_eq(recv_tag(link, 9, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT), 3006);
	ck_assert_int_eq(support_wait(pids[0]), 0);
	ck_assert_int_eq(tol_return(link, &high), 0);
	if (_i) {
		take(link, start_sender(5, 0), 5, &back);
		ck_assert_int_eq(tol_return(link, &back), 0);
		ck_assert_int_eq(recv_tag(link, 5, TOL_NOWAIT), 5000);
		ck_assert_int_eq(recv_tag(link, 4, TOL_NOWAIT), 4004);
	}
	ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT), 2008);
	ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT), 1004);
	if (!_i)
		ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT), 4004);
	ck_assert_int_eq(recv_one(link, NULL, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(support_wait(pids[1]), 0);
	unmake(link);
}
END_TEST

/*
 * One that waits while something has come back that it does not want; that goes,
 * and the one that it wants comes back: as many as before.
 */
START_TEST(what_came_back_instead)
{
	struct tol_link *link = make();
	struct tol_message other, wanted_one;
	pid_t pid;

	take(link, start_sender(1, 0), 1, &other);
	take(link, start_sender(2, 0), 2, &wanted_one);
	ck_assert_int_eq(tol_return(link, &other), 0);
	pid = start_receiver_of(2);
	support_wait_asleep(pid);
	ck_assert_int_eq(recv_tag(link, 1, TOL_NOWAIT), 1000);
	ck_assert_int_eq(recv_tag(link, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_return(link, &wanted_one), 0);
	ck_assert_int_eq(support_wait(pid), 0);
	unmake(link);
}
END_TEST

/* Of a killed one. */
static int take_and_die(void *context)
{
	struct tol_link *link = open_box();
	struct tol_select select = one_tag(*(uint64_t *)context);
	struct tol_take_opts opts = { .select = &select };
	struct tol_message message;

	if (tol_take(link, TOL_FOREVER, &opts, &message) == 0)
		raise(SIGKILL);
	return 1;
}

START_TEST(death_of_a_holder)
{
	struct tol_link *link = make();
	uint64_t tag = 5;
	pid_t holder = support_fork(take_and_die, &tag), others, pid;

	await(0, 1);
	others = start_receiver_of(6);
	pid = start_receiver_of(5);
	ck_assert_int_eq(send_one(link, 5, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(holder), -SIGKILL);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_int_eq(send_one(link, 6, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(support_wait(others), 0);
	unmake(link);
}
END_TEST

/* ---- dead letters, of any mailbox ---- */

static int recv_dead_task(void *context)
{
	struct tol_select select = one_tag(*(uint64_t *)context);
	struct tol_link *link = NULL;
	int64_t got;

	if (tol_open(&link, "box:dead", NULL) < 0)
		return 1;
	got = recv_one(link, &select, TOL_FOREVER);
	tol_close(link);
	return got == (int64_t)select.first_tag * 1000 ? 0 : 2;
}

static void bury(struct tol_link *link, uint64_t tag)
{
	struct tol_take_opts opts = { .max_tries = 1 };
	struct tol_message message;
	pid_t pid = 0;

	if (look().capacity_msgs == 0)
		pid = start_sender(tag, 0);
	else
		ck_assert_int_eq(send_one(link, tag, 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_take(link, TOL_FOREVER, &opts, &message), 0);
	ck_assert_uint_eq(message.tag, tag);
	ck_assert_int_eq(tol_return(link, &message), 0);
	if (pid)
		ck_assert_int_eq(support_wait(pid), 0);
}

START_TEST(dead_letters)
{
	static const uint64_t capacities[] = { 0, 8 };
	struct tol_link *link, *dead = NULL;
	uint64_t two = 2, three = 3;
	pid_t pids[2];

	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	link = open_box();
	ck_assert_int_eq(tol_open(&dead, "box:dead", NULL), 0);
	bury(link, 1);
	pids[0] = support_fork(recv_dead_task, &three);
	support_wait_asleep(pids[0]);
	pids[1] = support_fork(recv_dead_task, &two);
	support_wait_asleep(pids[1]);
	bury(link, 4);
	bury(link, 2);
	ck_assert_int_eq(support_wait(pids[1]), 0);
	bury(link, 3);
	ck_assert_int_eq(support_wait(pids[0]), 0);
	ck_assert_int_eq(recv_tag(dead, 3, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(recv_tag(dead, 4, TOL_NOWAIT), 4000);
	ck_assert_int_eq(recv_tag(dead, 2, TOL_MSECS(1)), -ETIMEDOUT);
	ck_assert_int_eq(recv_one(dead, NULL, TOL_NOWAIT), 1000);
	tol_close(dead);
	unmake(link);
}
END_TEST

/* ---- many at once ---- */

#define THREADS 6
#define ROUNDS 400

struct party {
	struct tol_link *link;
	uint64_t number;
	unsigned int seed;
};

static void *send_to_each(void *context)
{
	const struct party *party = context;

	for (int i = 0; i < ROUNDS; i++)
		if (send_one(party->link, party->number, 0, TOL_FOREVER) != 0)
			abort();
	return NULL;
}

static void *recv_own(void *context)
{
	const struct party *party = context;

	for (int i = 0; i < ROUNDS; i++)
		if (recv_tag(party->link, party->number, TOL_FOREVER) !=
		    (int64_t)party->number * 1000)
			abort();
	return NULL;
}

/* One that suited and was not seen would wait for ever. */
START_TEST(each_finds_its_own)
{
	struct party parties[THREADS];
	pthread_t send_threads[THREADS], recv_threads[THREADS];
	struct tol_link *link = make();

	for (unsigned int i = 0; i < THREADS; i++) {
		/* Of two pairs the same tag. */
		parties[i] = (struct party){ link, i / 2 + 1, 0 };
		pthread_create(&recv_threads[i], NULL, recv_own, &parties[i]);
		pthread_create(&send_threads[i], NULL, send_to_each,
			       &parties[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(send_threads[i], NULL);
		pthread_join(recv_threads[i], NULL);
	}
	ck_assert_uint_eq(look().sent_msgs, THREADS * ROUNDS);
	unmake(link);
}
END_TEST

static uint32_t sent[8], received[8];

static int64_t random_time(unsigned int *seed)
{
	return rand_r(seed) % 3 ? rand_r(seed) % 60000 : TOL_NOWAIT;
}

static void *send_random(void *context)
{
	struct party *party = context;

	for (int i = 0; i < 2000; i++) {
		uint64_t tag = (uint64_t)rand_r(&party->seed) % 8;
		int err = send_one(party->link, tag,
				   (uint32_t)rand_r(&party->seed) % 4,
				   random_time(&party->seed));

		if (err == 0)
			__atomic_fetch_add(&sent[tag], 1, __ATOMIC_RELAXED);
		else if (err != -EAGAIN && err != -ETIMEDOUT)
			abort();
	}
	return NULL;
}

static void *recv_random(void *context)
{
	struct party *party = context;

	for (;;) {
		uint64_t first = (uint64_t)rand_r(&party->seed) % 8;
		uint64_t last = first + (uint64_t)rand_r(&party->seed) % 3;
		struct tol_select select = { .by = TOL_SELECT_TAG_RANGE,
					     .first_tag = first,
					     .last_tag = last };
		int64_t got = recv_one(party->link, &select,
				       random_time(&party->seed));
		uint64_t tag = (uint64_t)got / 1000;

		if (got == -ENODATA)
			return NULL;
		if (got == -EAGAIN || got == -ETIMEDOUT)
			continue;
		if (got < 0 || tag < first || tag > last)
			abort();
		__atomic_fetch_add(&received[tag], 1, __ATOMIC_RELAXED);
	}
}

/* Each that was sent is received once, by one that wants it; others are not. */
START_TEST(times_and_wishes)
{
	struct party parties[8];
	pthread_t threads[8];
	unsigned int seed = support_seed();
	struct tol_link *link = make();
	uint32_t met = 0;

	for (unsigned int i = 0; i < 8; i++) {
		parties[i] = (struct party){ link, i, seed + i };
		pthread_create(&threads[i], NULL,
			       i < 4 ? send_random : recv_random, &parties[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (int i = 4; i < 8; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 8; i++) {
		ck_assert_uint_eq(sent[i], received[i]);
		met += sent[i];
	}
	ck_assert_uint_gt(met, 0);
	ck_assert_uint_eq(look().sent_msgs, met);
	ck_assert_uint_eq(look().held_msgs, 0);
	unmake(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("meet_select");
	TCase *tests = support_tcase("meet_select");

	tcase_add_loop_test(tests, senders_wait_for_who_wants_them, 0, CHOICES);
	tcase_add_loop_test(tests, receiver_waits_for_what_it_wants, 0,
			    CHOICES);
	tcase_add_loop_test(tests, priority_goes_first, 0, 2);
	tcase_add_test(tests, from_one_sender);
	tcase_add_test(tests, first_come_first_met);
	tcase_add_test(tests, both_sides_wait);
	tcase_add_loop_test(tests, those_who_came_before_somebody_selected, 0,
			    2);
	tcase_add_test(tests, too_small_a_buffer);
	tcase_add_test(tests, killed_while_waiting);
	tcase_add_test(tests, many_killed);
	tcase_add_loop_test(tests, stopped_while_waiting, 0, 2);
	tcase_add_test(tests, long_and_short_waits);
	tcase_add_loop_test(tests, end_wakes_both_sides, 0, 2);
	tcase_add_loop_test(tests, what_came_back_has_its_turn, 0, 2);
	tcase_add_test(tests, what_came_back_instead);
	tcase_add_test(tests, death_of_a_holder);
	tcase_add_loop_test(tests, dead_letters, 0, 2);
	tcase_add_test(tests, each_finds_its_own);
	tcase_add_test(tests, times_and_wishes);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
