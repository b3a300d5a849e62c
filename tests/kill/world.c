/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/futex.h"
#include "base/sys.h"
#include "layout/mailbox.h"
#include "trace.h"

#define ASLEEP_LOOKS_MAX 20000000

struct tol_link *link_here, *link_victim;
uint64_t numbers_sent;
bool numbers_seen[NUMBERS_MAX];
int victims_seen;
bool may_come_late;

static unsigned char body_here[BODY_MAX_BYTES + 8];
static pid_t sleeper_pids[SLEEPERS_MAX];

unsigned char *scratch(void)
{
	return body_here;
}

/* ---- bodies ---- */

static unsigned char byte_of(uint64_t number, size_t i)
{
	return (unsigned char)(number * 167 + i * 13 + (i >> 8) * 7 + 1);
}

void make_body(unsigned char *body, size_t size_bytes, uint64_t number)
{
	for (size_t i = 0; i < size_bytes; i++)
		body[i] = byte_of(number, i);
	if (size_bytes >= sizeof(number))
		memcpy(body, &number, sizeof(number));
}

bool is_body_of(const unsigned char *body, size_t size_bytes, uint64_t number)
{
	size_t i = 0;

	if (size_bytes >= sizeof(number)) {
		if (memcmp(body, &number, sizeof(number)) != 0)
			return false;
		i = sizeof(number);
	}
	for (; i < size_bytes; i++)
		if (body[i] != byte_of(number, i))
			return false;
	return true;
}

/* The number of a message of ours: in it or, if it is too small, its position. */
static uint64_t number_of(const unsigned char *body,
			  const struct tol_message *message)
{
	uint64_t number;

	if (message->size_bytes < sizeof(number))
		return message->position - (uint64_t)scenario->passed;
	memcpy(&number, body, sizeof(number));
	return number;
}

/* ---- the ledger ---- */

/* Ours are as large as the victim's, if that is enough to tell them apart. */
static size_t own_size(void)
{
	bool is_send = scenario->op == op_send ||
		       scenario->op == op_send_forever;

	return is_send && scenario->size_bytes < 8 ? 8 : scenario->size_bytes;
}

void put(void)
{
	must(numbers_sent < NUMBERS_MAX);
	make_body(body_here, own_size(), numbers_sent);
	must_be(tol_send(link_here, body_here, own_size(), TOL_NOWAIT), 0);
	numbers_sent++;
}

static enum from write_down(const struct tol_message *message)
{
	uint64_t number = number_of(body_here, message);

	if (message->sender_pid == victim_pid) {
		if (message->size_bytes != scenario->size_bytes ||
		    !is_body_of(body_here, message->size_bytes, VICTIMS_NUMBER))
			fail("the victim's message is torn");
		if (victims_seen++ > 0)
			fail("the victim's message came twice");
		return FROM_VICTIM;
	}
	if (number >= SLEEPERS_NUMBER)
		return FROM_SLEEPER;
	if (number >= numbers_sent ||
	    !is_body_of(body_here, message->size_bytes, number))
		fail("a message that nobody sent, or a torn one: %llu",
		     (unsigned long long)number);
	if (numbers_seen[number])
		fail("message %llu came twice", (unsigned long long)number);
	for (uint64_t i = number + 1; i < numbers_sent; i++)
		if (numbers_seen[i] && !may_come_late)
			fail("message %llu came late",
			     (unsigned long long)number);
	numbers_seen[number] = true;
	return FROM_HERE;
}

enum from take_by(struct tol_link *link)
{
	struct tol_message message;
	ssize_t n = tol_recv_message(link, body_here, BODY_MAX_BYTES,
				     TOL_NOWAIT, &message);

	if (n == -EAGAIN)
		return FROM_NOBODY;
	if (n < 0)
		fail("receive failed: %zd", n);
	return write_down(&message);
}

enum from take(void)
{
	return take_by(link_here);
}

int count_missing(void)
{
	int missing = 0;

	for (uint64_t i = 0; i < numbers_sent; i++)
		missing += !numbers_seen[i];
	return missing;
}

void take_all_by(struct tol_link *link, int missing)
{
	while (take_by(link) != FROM_NOBODY)
		;
	if (count_missing() > missing)
		fail("%d messages are lost", count_missing() - missing);
}

void check_usable(struct tol_link *link)
{
	uint64_t number;

	for (uint64_t i = 0; i < CAPACITY; i++)
		must_be(tol_send(link, &i, 8, TOL_NOWAIT), 0);
	must_be(tol_send(link, "xxxxxxxx", 8, TOL_NOWAIT), -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY; i++) {
		must_be(tol_recv(link, &number, 8, TOL_NOWAIT), 8);
		must_be((int64_t)number, (int64_t)i);
	}
	must_be(tol_recv(link, NULL, 0, TOL_NOWAIT), -EAGAIN);
}

/* ---- the mailbox ---- */

void world_nothing(void)
{
}

void world_fill(void)
{
	uint64_t number;

	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
	for (int i = 0; i < scenario->passed; i++) {
		must_be(tol_send(link_here, "passed..", 8, TOL_NOWAIT), 0);
		must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), 8);
	}
	for (int i = 0; i < scenario->queued; i++)
		put();
}

struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat stat;

	must_be(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	return stat;
}

uint64_t control_word(void)
{
	struct mailbox_layout head;
	int dir_fd = sys_open_dir(space);
	int fd = sys_open_read(dir_fd, "box");

	sys_close(dir_fd);
	if (fd < 0)
		return CONTROL_REMOVED;
	must(sys_pread(fd, &head, sizeof(head), 0) == sizeof(head));
	sys_close(fd);
	return head.control;
}

bool is_name_gone(void)
{
	struct sys_stat st;
	int dir_fd = sys_open_dir(space);
	int err = sys_stat_at(dir_fd, "box", &st);

	sys_close(dir_fd);
	return err == -ENOENT;
}

bool is_removing(void)
{
	return (control_word() & CONTROL_STATE_MASK) == CONTROL_REMOVING;
}

void await_sent(uint64_t count)
{
	waiting_for("a sleeping sender, to be woken and send");
	while (look().sent_msgs < count)
		sched_yield();
}

void await_received(uint64_t count)
{
	waiting_for("a sleeping receiver, to be woken and receive");
	while (look().received_msgs < count)
		sched_yield();
}

/* Takes memory of its own, which must be nobody else's. */
static void use_as_newcomer(void)
{
	struct tol_link *link;

	must_be(tol_open(&link, "box", NULL), 0);
	for (int i = 0; i < CAPACITY; i++) {
		make_body(body_here, own_size(), numbers_sent);
		must_be(tol_send(link, body_here, own_size(), TOL_NOWAIT), 0);
		numbers_sent++;
	}
	take_all_by(link, 1);
	tol_close(link);
}

static void use_another(void)
{
	struct tol_link *other;
	uint64_t number = 5;

	must_be(tol_mailbox_create("other", 1, NULL), 1);
	must_be(tol_open(&other, "other", NULL), 0);
	must_be(tol_send(other, &number, 8, TOL_NOWAIT), 0);
	must_be(tol_recv(other, &number, 8, TOL_NOWAIT), 8);
	tol_close(other);
	must_be(tol_mailbox_remove("other", NULL), 0);
}

/* What the stopped victim sent may come in between, once. */
static void take_next(void)
{
	enum from from = take();

	if (from == FROM_VICTIM)
		from = take();
	must_be(from, FROM_HERE);
}

void others_use_it(void)
{
	struct tol_mailbox_stat stat;

	while (take() != FROM_NOBODY)
		;
	for (int lap = 0; lap < 3 * CAPACITY; lap++) {
		put();
		take_next();
	}
	start_sleeping_receiver(SLEEPERS_MAX - 1);
	must_be(tol_send(link_here, "wake up.", 8, TOL_NOWAIT), 0);
	must_be(end_sleeper(SLEEPERS_MAX - 1), 8);
	for (int i = 0; i < CAPACITY; i++)
		put();
	start_sleeping_sender(SLEEPERS_MAX - 1);
	take_next();
	must_be(end_sleeper(SLEEPERS_MAX - 1), 0);
	while (take() != FROM_NOBODY)
		;
	use_another();
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	stat = look();
	must_be(stat.dead_count, 0);
	use_as_newcomer();
}

/* ---- those who sleep ---- */

int64_t now_ns(void)
{
	return futex_kernel_ops.now_ns();
}

static struct tol_link *open_own(void)
{
	struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };
	struct tol_link *link;

	return tol_open(&link, "box", &opts) < 0 ? NULL : link;
}

static int receive_asleep(int index)
{
	struct tol_link *link = open_own();
	struct tol_message message = { 0 };

	if (!link)
		return 1;
	shared->sleepers[index].result =
		tol_recv_message(link, body_here, BODY_MAX_BYTES, TOL_FOREVER,
				 &message);
	shared->sleepers[index].awake_ns = now_ns();
	shared->sleepers[index].from = message.sender_pid;
	memcpy(&shared->sleepers[index].number, body_here, 8);
	return 0;
}

static int send_asleep(int index)
{
	uint64_t number = SLEEPERS_NUMBER + (uint64_t)index;
	struct tol_link *link = open_own();

	if (!link)
		return 1;
	shared->sleepers[index].result =
		tol_send(link, &number, 8, TOL_FOREVER);
	shared->sleepers[index].awake_ns = now_ns();
	return 0;
}

static void start_sleeper(int (*body)(int index), int index)
{
	pid_t pid = start_child(body, index);

	sleeper_pids[index] = pid;
	for (int i = 0; !trace_is_asleep(pid); i++) {
		must(i < ASLEEP_LOOKS_MAX);
		sched_yield();
	}
}

/* Outside of a call: in poll(), or in tol_wait(). */
static int receive_polling(struct tol_link *link, bool polls,
			   struct tol_message *ret_message)
{
	struct tol_wait one = { link, TOL_RECV, 0 };
	struct pollfd descriptor = { .events = POLLIN };
	ssize_t n = -EAGAIN;

	if (polls)
		descriptor.fd = tol_descriptor(link, TOL_RECV);
	while (n == -EAGAIN) {
		if ((polls ? poll(&descriptor, 1, -1)
			   : tol_wait(&one, 1, TOL_FOREVER)) != 1)
			return -EIO;
		n = tol_recv_message(link, body_here, BODY_MAX_BYTES,
				     TOL_NOWAIT, ret_message);
	}
	return (int)n;
}

static int receive_outside(int index, bool polls)
{
	struct tol_link *link = open_own();
	struct tol_message message = { 0 };

	if (!link)
		return 1;
	shared->sleepers[index].result = receive_polling(link, polls, &message);
	shared->sleepers[index].awake_ns = now_ns();
	shared->sleepers[index].from = message.sender_pid;
	memcpy(&shared->sleepers[index].number, body_here, 8);
	tol_close(link);
	return 0;
}

static int receive_in_poll(int index)
{
	return receive_outside(index, true);
}

static int receive_in_wait(int index)
{
	return receive_outside(index, false);
}

static int send_in_poll(int index)
{
	uint64_t number = SLEEPERS_NUMBER + (uint64_t)index;
	struct tol_link *link = open_own();
	struct pollfd descriptor = { .events = POLLIN };
	int err = -EAGAIN;

	if (!link)
		return 1;
	descriptor.fd = tol_descriptor(link, TOL_SEND);
	while (err == -EAGAIN) {
		if (poll(&descriptor, 1, -1) != 1)
			return 1;
		err = tol_send(link, &number, 8, TOL_NOWAIT);
	}
	shared->sleepers[index].result = err;
	shared->sleepers[index].awake_ns = now_ns();
	tol_close(link);
	return 0;
}

void start_polling_receiver(int index)
{
	start_sleeper(receive_in_poll, index);
}

void start_waiting_receiver(int index)
{
	start_sleeper(receive_in_wait, index);
}

void start_polling_sender(int index)
{
	start_sleeper(send_in_poll, index);
}

void start_sleeping_receiver(int index)
{
	start_sleeper(receive_asleep, index);
}

void start_sleeping_sender(int index)
{
	start_sleeper(send_asleep, index);
}

int64_t end_sleeper(int index)
{
	waiting_for("a sleeper, to be woken and end");
	must_be(end_child(sleeper_pids[index]), 0);
	return shared->sleepers[index].result;
}

/* ---- victims ---- */

int open_victim(void)
{
	struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };
	int err = tol_open(&link_victim, "box", &opts);

	make_body(body_here, scenario->size_bytes, VICTIMS_NUMBER);
	return err;
}

void op_send(void)
{
	shared->result = tol_send(link_victim, body_here, scenario->size_bytes,
				  TOL_NOWAIT);
}

void op_send_forever(void)
{
	shared->result = tol_send(link_victim, body_here, scenario->size_bytes,
				  TOL_FOREVER);
}

static struct tol_message message_of_victim;

void receive_as_victim(int64_t timeout_ns)
{
	shared->result = tol_recv_message(link_victim, body_here,
					  scenario->size_bytes, timeout_ns,
					  &message_of_victim);
}

void op_recv(void)
{
	receive_as_victim(TOL_NOWAIT);
}

void op_recv_forever(void)
{
	receive_as_victim(TOL_FOREVER);
}

void note_what_came(void)
{
	uint64_t number;

	if (shared->result < 0)
		return;
	number = number_of(body_here, &message_of_victim);
	shared->number = number;
	shared->is_whole = shared->result == (int64_t)scenario->size_bytes &&
			   is_body_of(body_here, scenario->size_bytes, number);
}

void op_remove(void)
{
	shared->result = tol_mailbox_remove("box", NULL);
}

void op_open(void)
{
	struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };

	shared->result = tol_open(&link_victim, "box", &opts);
}

static void (*op_of_dead)(void);

static int be_dead_soon(int index)
{
	(void)index;
	if (trace_begin() < 0)
		return 1;
	op_of_dead();
	return 0;
}

void leave_dead(void (*op)(void), bool (*is_so)(void))
{
	pid_t pid;

	op_of_dead = op;
	pid = start_child(be_dead_soon, 0);
	must(trace_catch(pid));
	while (!is_so())
		must_be(trace_next_call(pid), STEP_DONE);
	must(kill(pid, SIGKILL) == 0);
	must_be(end_child(pid), -SIGKILL);
}
