/* SPDX-License-Identifier: MIT */
/* Who waits for what it has selected: the right one wakes, and nobody else. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static const uint64_t capacities[] = { 0, 1000, TOL_CAPACITY_UNBOUNDED };
#define CAPACITIES_COUNT 3

static struct tol_link *make(uint64_t capacity_msgs)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static void send_tag(struct tol_link *link, uint64_t tag)
{
	const struct tol_send_opts opts = { .tag = tag };

	ck_assert_int_eq(tol_send_message(link, "x", 1, TOL_SECS(20), &opts),
			 0);
}

/* ---- those who wait ---- */

static int wait_selecting(void *context)
{
	const struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };
	const struct tol_select *select = context;
	struct tol_message message;
	struct tol_link *link;
	char buf[8];

	if (tol_open(&link, "box", &opts) < 0)
		return 100;
	if (tol_recv_select(link, select, buf, sizeof(buf), TOL_FOREVER,
			    &message) != 1)
		return 101;
	tol_close(link);
	return (int)message.tag;
}

static pid_t start(struct tol_select *select)
{
	pid_t pid = support_fork(wait_selecting, select);

	support_wait_asleep(pid);
	return pid;
}

static pid_t start_for_tag(uint64_t tag)
{
	struct tol_select select = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = tag, .last_tag = tag,
	};

	return start(&select);
}

static unsigned long switches_of(pid_t pid)
{
	unsigned long count = 0;
	char line[200];
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
	file = fopen(line, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
			break;
	fclose(file);
	return count;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info,
				WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == pid;
}

static void end(struct tol_link *link, pid_t pid, uint64_t tag)
{
	send_tag(link, tag);
	ck_assert_int_eq(support_wait(pid), (int)tag);
}

/* ---- the right one ---- */

START_TEST(nobody_else)
{
	struct tol_link *link = make(capacities[1 + _i]);
	uint64_t set[] = { 3, 13, 23 };
	struct tol_select selects[] = {
		{ .by = TOL_SELECT_TAG_RANGE, .first_tag = 1, .last_tag = 1 },
		{ .by = TOL_SELECT_TAG_RANGE, .first_tag = 10, .last_tag = 12 },
		{ .by = TOL_SELECT_TAGS, .tags = set, .tags_count = 3 },
		{ .by = TOL_SELECT_TAG_LOWEST, .last_tag = 0 },
		{ .by = TOL_SELECT_SENDER, .sender_pid = 1 },
	};
	static const uint64_t wanted[] = { 1, 11, 23, 0 };
	unsigned long before[5];
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = start(&selects[i]);
	for (int i = 0; i < 5; i++)
		before[i] = switches_of(pids[i]);
	for (int i = 0; i < 500; i++)
		send_tag(link, 50 + (uint64_t)i % 7);
	for (int i = 3; i >= 0; i--) {
		end(link, pids[i], wanted[i]);
		/* An unbounded one may look once whether memory can go. */
		for (int k = 0; k < 5; k++)
			if (k < i || k == 4)
				ck_assert_uint_le(switches_of(pids[k]),
						  before[k] + (_i ? 1 : 0));
	}
	ck_assert(!has_ended(pids[4]));
	kill(pids[4], SIGKILL);
	ck_assert_int_eq(support_wait(pids[4]), -SIGKILL);
	unmake(link);
}
END_TEST

START_TEST(first_come_first_served)
{
	struct tol_link *link = make(capacities[_i]);
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = start_for_tag(7);
	for (int i = 0; i < 4; i++) {
		end(link, pids[i], 7);
		for (int k = i + 1; k < 4; k++)
			ck_assert(!has_ended(pids[k]));
	}
	unmake(link);
}
END_TEST

/* ---- dead, stopped ---- */

START_TEST(killed_before)
{
	struct tol_link *link = make(capacities[_i]);
	pid_t first = start_for_tag(7), second = start_for_tag(7);

	kill(first, SIGKILL);
	ck_assert_int_eq(support_wait(first), -SIGKILL);
	end(link, second, 7);
	unmake(link);
}
END_TEST

/* It has been named, and is killed before it comes. */
START_TEST(killed_after)
{
	struct tol_link *link = make(capacities[1 + _i]);
	pid_t first = start_for_tag(7), second = start_for_tag(7);

	kill(first, SIGSTOP);
	send_tag(link, 7);
	kill(first, SIGKILL);
	ck_assert_int_eq(support_wait(first), -SIGKILL);
	/* Unaided: the kernel wakes one that sleeps. */
	ck_assert_int_eq(support_wait(second), 7);
	unmake(link);
}
END_TEST

START_TEST(stopped)
{
	struct tol_link *link = make(capacities[1 + _i]);
	pid_t first = start_for_tag(7), second = start_for_tag(7);
	siginfo_t info;

	kill(first, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)first, &info,
				WSTOPPED | WNOWAIT), 0);
	send_tag(link, 7);
	/* Any other call passes it on. */
	send_tag(link, 8);
	ck_assert_int_eq(support_wait(second), 7);
	kill(first, SIGCONT);
	end(link, first, 7);
	unmake(link);
}
END_TEST

/* ---- what comes back, and the end ---- */

START_TEST(what_comes_back)
{
	struct tol_link *link = make(capacities[_i]);
	struct tol_message message;
	pid_t right, wrong, sender;
	uint64_t tag = 7;

	sender = _i ? 0 : fork();
	if (sender == 0) {
		struct tol_link *own = link;

		if (_i == 0 && tol_open(&own, "box", NULL) < 0)
			_exit(1);
		send_tag(own, tag);
		if (_i == 0)
			_exit(0);
	}
	ck_assert_int_eq(tol_take(link, TOL_SECS(20), NULL, &message), 0);
	if (sender)
		ck_assert_int_eq(support_wait(sender), 0);
	wrong = start_for_tag(8);
	right = start_for_tag(7);
	ck_assert_int_eq(tol_return(link, &message), 0);
	ck_assert_int_eq(support_wait(right), 7);
	ck_assert(!has_ended(wrong));
	end(link, wrong, 8);
	unmake(link);
}
END_TEST

START_TEST(the_end_and_removal)
{
	struct tol_link *link = make(capacities[_i]);
	pid_t first = start_for_tag(7), second = start_for_tag(8), third;

	if (_i > 0)
		send_tag(link, 9);
	ck_assert_int_eq(tol_shutdown(link), 0);
	ck_assert_int_eq(support_wait(first), 101);
	ck_assert_int_eq(support_wait(second), 101);
	unmake(link);
	link = make(capacities[_i]);
	third = start_for_tag(7);
	unmake(link);
	ck_assert_int_eq(support_wait(third), 101);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("select_sleepers");
	TCase *tcase = support_tcase("select_sleepers");

	tcase_add_loop_test(tcase, nobody_else, 0, 2);
	tcase_add_loop_test(tcase, first_come_first_served, 0,
			    CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, killed_before, 0, CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, killed_after, 0, 2);
	tcase_add_loop_test(tcase, stopped, 0, 2);
	tcase_add_loop_test(tcase, what_comes_back, 0, CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, the_end_and_removal, 0, CAPACITIES_COUNT);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
