/* SPDX-License-Identifier: MIT */
/*
 * A victim is killed, or stopped, at every instruction of a send or a receive.
 *
 * The victim is a child under ptrace; one run counts its instructions between
 * two stops, then for each k a fresh victim on a fresh mailbox is stepped k
 * instructions and killed. A survivor then looks: did the call happen or not, is
 * every other message there once and in order, does exactly the capacity fit,
 * does a sleeper on the other side wake. Over k there must be exactly one
 * instruction before which it never happened and after which it always did. A
 * point is a count of instructions, and malloc() inside the call takes a few more
 * or less from victim to victim: that jitter is allowed around the one flip.
 * TOLSEY_TEST_STRIDE=1 takes every instruction (a quarter of an hour and more);
 * without it every 29th is taken, from a random one on. TOLSEY_TEST_POINT=k runs
 * that point alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define CAPACITY 3
#define VICTIMS_MESSAGE 1000
#define STEPS_MAX 200000
#define JITTER_STEPS_MAX 300

struct scenario {
	const char *name;
	bool is_send;
	int queued;		/* messages before the call */
	bool has_sleeper;	/* somebody sleeps on the other side */
	size_t size_bytes;	/* of the victim's message; at least 8 */
};

static const struct scenario scenarios[] = {
	{ "send into an empty one", true, 0, false, 8 },
	{ "send of 100 bytes", true, 1, false, 100 },
	{ "send that fills it", true, 2, false, 8 },
	{ "send into a full one", true, 3, false, 8 },
	{ "send to a sleeper", true, 0, true, 8 },
	{ "receive from an empty one", false, 0, false, 8 },
	{ "receive the only one", false, 1, false, 8 },
	{ "receive from a full one", false, 3, false, 8 },
	{ "receive that makes room for a sleeper", false, 3, true, 8 },
};

static const struct scenario *scenario;

/* The call that is tested, and nothing else, between two stops. */
static int victim(void *context)
{
	unsigned char body[128] = { 0 };
	uint64_t number = VICTIMS_MESSAGE;
	struct tol_link *link;

	(void)context;
	if (tol_open(&link, "box", NULL) < 0 ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 1;
	memcpy(body, &number, 8);
	raise(SIGSTOP);
	if (scenario->is_send)
		tol_send(link, body, scenario->size_bytes, TOL_NOWAIT);
	else
		tol_recv(link, body, sizeof(body), TOL_NOWAIT);
	raise(SIGSTOP);
	return 0;
}

static int sleeper(void *context)
{
	unsigned char body[128];
	uint64_t number = 500;
	struct tol_link *link;

	(void)context;
	if (tol_open(&link, "box",
		     &(struct tol_open_opts){ .flags = TOL_SPIN_NEVER }) < 0)
		return 100;
	if (!scenario->is_send)
		return tol_send(link, &number, 8, TOL_FOREVER) == 0 ? 0 : 101;
	if (tol_recv(link, body, sizeof(body), TOL_FOREVER) < 8)
		return 102;
	memcpy(&number, body, 8);
	return number == VICTIMS_MESSAGE ? 1 : 0;
}

static pid_t start_victim(void)
{
	pid_t pid = support_fork(victim, NULL);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status), "the victim did not begin");
	return pid;
}

/* Return: true while the call is still running */
static bool step(pid_t pid)
{
	int status;

	ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	return WSTOPSIG(status) == SIGTRAP;
}

static long stride(void)
{
	const char *given = getenv("TOLSEY_TEST_STRIDE");
	long value = given ? strtol(given, NULL, 0) : 29;

	return value > 0 ? value : 1;
}

static long first_point(void)
{
	return (long)(support_seed() % (unsigned long)stride());
}

static long count_steps(void)
{
	pid_t pid = start_victim();
	long steps = 0;

	while (step(pid)) {
		steps++;
		ck_assert_int_lt(steps, STEPS_MAX);
	}
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	return steps;
}

static uint64_t take(struct tol_link *link)
{
	unsigned char body[128];
	uint64_t number;
	ssize_t n = tol_recv(link, body, sizeof(body), TOL_NOWAIT);

	ck_assert_msg(n >= 8, "a message is missing: %zd", n);
	memcpy(&number, body, 8);
	if (number == VICTIMS_MESSAGE)
		ck_assert_int_eq(n, (ssize_t)scenario->size_bytes);
	for (ssize_t i = 8; i < n; i++)
		ck_assert_msg(body[i] == 0, "a torn message");
	return number;
}

/* Exactly the capacity fits, and comes out in order. */
static void check_usable(struct tol_link *link)
{
	for (uint64_t i = 0; i < CAPACITY; i++)
		ck_assert_int_eq(tol_send(link, &i, 8, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_send(link, "xxxxxxxx", 8, TOL_NOWAIT), -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY; i++)
		ck_assert_uint_eq(take(link), i);
	ck_assert_int_eq(tol_recv(link, NULL, 0, TOL_NOWAIT), -EAGAIN);
}

/* Takes all there is. Return: did the victim's call happen? */
static bool take_all(struct tol_link *link, bool sleeper_sent)
{
	bool happened = false;
	uint64_t next = 0;
	struct tol_mailbox_stat stat;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	if (!scenario->is_send && scenario->queued > 0)
		happened = stat.queued_msgs - sleeper_sent <
			   (uint64_t)scenario->queued;
	if (happened)
		next = 1;
	for (; next < (uint64_t)scenario->queued; next++)
		ck_assert_uint_eq(take(link), next);
	if (sleeper_sent)
		ck_assert_uint_eq(take(link), 500);
	if (scenario->is_send && stat.queued_msgs > (uint64_t)scenario->queued) {
		ck_assert_uint_eq(take(link), VICTIMS_MESSAGE);
		happened = true;
	}
	ck_assert_int_eq(tol_recv(link, NULL, 0, TOL_NOWAIT), -EAGAIN);
	return happened;
}

/*
 * The sleeper must come back: by the victim's call if it happened (the kernel
 * rings in the place of the dead), else by ours.
 */
static bool check_sleeper(struct tol_link *link, pid_t asleep)
{
	struct tol_mailbox_stat stat;
	uint64_t number = 7;
	int result;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	if (scenario->is_send) {
		/* One message more than needed: it stays if the other came. */
		ck_assert_int_eq(tol_send(link, &number, 8, TOL_NOWAIT), 0);
		result = support_wait(asleep);
		ck_assert(result == 0 || result == 1);
		if (result == 1)
			ck_assert_uint_eq(take(link), 7);
		ck_assert_int_eq(tol_recv(link, NULL, 0, TOL_NOWAIT), -EAGAIN);
		return result == 1;
	}
	if (stat.queued_msgs == CAPACITY && stat.received_msgs == 0) {
		ck_assert_uint_eq(take(link), 0);
		ck_assert_int_eq(support_wait(asleep), 0);
		for (uint64_t i = 1; i < CAPACITY; i++)
			ck_assert_uint_eq(take(link), i);
		ck_assert_uint_eq(take(link), 500);
		return false;
	}
	ck_assert_int_eq(support_wait(asleep), 0);
	return take_all(link, true);
}

static bool kill_at(long point)
{
	struct tol_link *link;
	pid_t pid, asleep = 0;
	bool happened;

	ck_assert_int_eq(tol_mailbox_create("box", CAPACITY, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (uint64_t i = 0; i < (uint64_t)scenario->queued; i++)
		ck_assert_int_eq(tol_send(link, &i, 8, TOL_NOWAIT), 0);
	if (scenario->has_sleeper) {
		asleep = support_fork(sleeper, NULL);
		support_wait_asleep(asleep);
	}
	pid = start_victim();
	for (long i = 0; i < point; i++)
		if (!step(pid))
			break;
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	happened = asleep ? check_sleeper(link, asleep)
			  : take_all(link, false);
	check_usable(link);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	return happened;
}

START_TEST(killed_at_every_instruction)
{
	const char *only = getenv("TOLSEY_TEST_POINT");
	long steps, first_happened = -1, last_not = -1;

	scenario = &scenarios[_i];
	ck_assert_int_eq(tol_mailbox_create("box", CAPACITY, NULL), 1);
	steps = count_steps();
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	if (only) {
		kill_at(strtol(only, NULL, 0));
		return;
	}
	/* The count is of an empty box; a call on another may be longer. */
	steps += 600;
	for (long point = first_point(); point < steps; point += stride()) {
		if (!kill_at(point))
			last_not = point;
		else if (first_happened < 0)
			first_happened = point;
	}
	printf("%s: every %ldth of %ld points, happens from %ld on\n",
	       scenario->name, stride(), steps, first_happened);
	if ((scenario->is_send && scenario->queued == CAPACITY) ||
	    (!scenario->is_send && scenario->queued == 0)) {
		ck_assert_int_eq(first_happened, -1);
	} else {
		ck_assert_int_ge(first_happened, 0);
		ck_assert_int_ge(last_not, 0);
		ck_assert_int_lt(last_not - first_happened, JITTER_STEPS_MAX);
	}
}
END_TEST

/*
 * Stopped at an instruction, the victim holds up nobody: others fill and drain
 * the mailbox over several laps. Resumed, it does no harm: what it sent comes
 * once and whole, and what it received is one of the messages, once.
 */
static void stop_at(long point)
{
	struct tol_link *link;
	uint64_t sent = 0, got;
	int left = 0, status;
	pid_t pid;

	ck_assert_int_eq(tol_mailbox_create("box", CAPACITY, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	pid = start_victim();
	for (long i = 0; i < point; i++)
		if (!step(pid))
			break;
	for (int lap = 0; lap < 3 * CAPACITY; lap++) {
		ck_assert_int_eq(tol_send(link, &sent, 8, TOL_NOWAIT), 0);
		sent++;
		got = take(link);
		if (got == VICTIMS_MESSAGE)
			got = take(link);
		ck_assert_uint_eq(got, sent - 1);
	}
	ck_assert_int_eq(tol_send(link, &sent, 8, TOL_NOWAIT), 0);
	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	kill(pid, SIGKILL);
	if (WIFSTOPPED(status))
		support_wait(pid);
	while (tol_recv(link, &got, 8, TOL_NOWAIT) == 8)
		left++;
	ck_assert_int_le(left, 2);
	check_usable(link);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

START_TEST(stopped_at_every_instruction)
{
	static const int which[] = { 0, 5 };
	long steps;

	scenario = &scenarios[which[_i]];
	ck_assert_int_eq(tol_mailbox_create("box", CAPACITY, NULL), 1);
	steps = count_steps();
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	for (long point = first_point(); point < steps; point += stride())
		stop_at(point);
	printf("stopped, %s: every %ldth of %ld points\n", scenario->name,
	       stride(), steps);
}
END_TEST

static bool may_trace(void)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	Suite *suite = suite_create("kill_points");
	TCase *tcase = support_tcase("kill_points");

	if (!may_trace()) {
		puts("skipped: kill_points: ptrace is not permitted here");
		puts("0 passed, 0 failed, 11 skipped");
		return 0;
	}
	tcase_set_timeout(tcase, 400);
	tcase_add_loop_test(tcase, killed_at_every_instruction, 0,
			    sizeof(scenarios) / sizeof(scenarios[0]));
	tcase_add_loop_test(tcase, stopped_at_every_instruction, 0, 2);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
