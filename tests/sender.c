/* SPDX-License-Identifier: MIT */
/* Who has sent a message: tol_sender(). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/link.h"
#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

static struct tol_link *open_box(const char *address)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, address, NULL), 0);
	return link;
}

static struct tol_link *make_box(uint64_t capacity_msgs)
{
	struct tol_mailbox_opts opts = { .mode = 0666 };

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, &opts), 1);
	return open_box("box");
}

static void unmake(struct tol_link *link)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

static void receive(struct tol_link *link, struct tol_message *ret_message)
{
	char buf[8];

	ck_assert_int_eq(tol_recv_message(link, buf, sizeof(buf), TOL_NOWAIT,
					  ret_message), 1);
}

/* A process that sends one message, and ends. */
static pid_t send_from_child(const char *program, uid_t uid, gid_t gid)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct tol_link *link;

		prctl(PR_SET_NAME, program, 0, 0, 0);
		if (gid && (setgid(gid) < 0 || setuid(uid) < 0))
			_exit(2);
		if (tol_open(&link, "box", NULL) < 0 ||
		    tol_send(link, "x", 1, TOL_NOWAIT) < 0)
			_exit(3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	return pid;
}

START_TEST(this_process)
{
	static const uint64_t capacities[] = { 4, TOL_CAPACITY_UNBOUNDED };
	struct tol_link *link = make_box(capacities[_i]);
	struct tol_sender sender;
	struct tol_message message;

	prctl(PR_SET_NAME, "sends-it", 0, 0, 0);
	tol_close(link);
	link = open_box("box");
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	receive(link, &message);
	ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
	ck_assert_int_eq(sender.pid, getpid());
	ck_assert_uint_eq(sender.uid, geteuid());
	ck_assert_int_ne(sender.is_known, 0);
	ck_assert_uint_eq(sender.gid, getegid());
	ck_assert_str_eq(sender.program, "sends-it");
	ck_assert_int_eq(sender.start_ns, sys_start_ns());
	ck_assert_int_gt(sender.start_ns, 0);
	unmake(link);
}
END_TEST

/* Each is told, long after it has ended and its number is another's. */
START_TEST(those_that_have_ended)
{
	struct tol_link *link = make_box(300);
	pid_t pids[200];

	for (int i = 0; i < 200; i++) {
		char program[16];

		snprintf(program, sizeof(program), "worker-%d", i);
		pids[i] = send_from_child(program, 0, 0);
	}
	for (int i = 0; i < 200; i++) {
		struct tol_sender sender;
		struct tol_message message;
		char program[16];

		snprintf(program, sizeof(program), "worker-%d", i);
		receive(link, &message);
		ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
		ck_assert_int_eq(sender.pid, pids[i]);
		ck_assert_int_ne(sender.is_known, 0);
		ck_assert_str_eq(sender.program, program);
	}
	unmake(link);
}
END_TEST

START_TEST(another_user)
{
	struct tol_link *link;
	struct tol_sender sender;
	struct tol_message message;
	pid_t pid;

	ck_assert_int_eq(chmod(support_space, 01777), 0);
	link = make_box(4);
	pid = send_from_child("other", SURROUNDINGS_UID, SURROUNDINGS_GID);
	receive(link, &message);
	ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
	ck_assert_int_eq(sender.pid, pid);
	ck_assert_uint_eq(sender.uid, SURROUNDINGS_UID);
	ck_assert_uint_eq(sender.gid, SURROUNDINGS_GID);
	unmake(link);
}
END_TEST

/* One that opens it again and again stays who it was, and takes no memory. */
START_TEST(the_same_again)
{
	struct tol_link *link = make_box(4);
	uint32_t first;

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	first = link->head->identities_next;
	for (int i = 0; i < 1000; i++)
		tol_close(open_box("box"));
	ck_assert_uint_le(link->head->identities_next, first + 1);
	unmake(link);
}
END_TEST

/* The table has been around: those that are still there are passed over. */
START_TEST(around_the_table)
{
	struct tol_link *link = make_box(300), *other;
	struct tol_sender sender;
	struct tol_message early, message;

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	send_from_child("early", 0, 0);
	link->head->identities_next = IDENTITIES_COUNT + 1;
	/* Takes this one's number if it may, and then the next. */
	for (int i = 0; i < 8; i++)
		send_from_child("late", 0, 0);
	receive(link, &message);
	ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
	ck_assert_int_eq(sender.pid, getpid());
	ck_assert_int_ne(sender.is_known, 0);
	receive(link, &early);
	ck_assert_int_eq(tol_sender(link, &early, &sender), 0);
	ck_assert_int_eq(sender.pid, early.sender_pid);
	ck_assert_int_eq(sender.is_known, 0);
	ck_assert_str_eq(sender.program, "");
	receive(link, &message);
	ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
	ck_assert_str_eq(sender.program, "late");
	other = open_box("box");
	ck_assert_int_eq(tol_send(other, "x", 1, TOL_NOWAIT), 0);
	tol_close(other);
	unmake(link);
}
END_TEST

START_TEST(by_a_tap)
{
	struct tol_link *link = make_box(4), *tap = open_box("box:tap");
	struct tol_sender sender;
	struct tol_message message;
	pid_t pid = send_from_child("tapped", 0, 0);

	receive(tap, &message);
	ck_assert_int_eq(tol_sender(tap, &message, &sender), 0);
	ck_assert_int_eq(sender.pid, pid);
	ck_assert_str_eq(sender.program, "tapped");
	tol_close(tap);
	unmake(link);
}
END_TEST

/* Nonsense in the table, or in the message, is not known. */
START_TEST(hostile_bytes)
{
	struct tol_link *link = make_box(4);
	struct identity_layout *table;
	struct tol_sender sender;
	struct tol_message message;

	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	receive(link, &message);
	table = (struct identity_layout *)(void *)(
		(uint8_t *)link->head + link->geometry.identities_offset);
	for (uint32_t i = 1; i < 64; i++)
		memset(&table[i], 0xff, sizeof(table[i]));
	ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
	ck_assert_int_eq(sender.is_known, 0);
	for (uint32_t bit = 0; bit < 32; bit++) {
		message.sender = UINT32_C(1) << bit;
		ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
		message.sender = ~message.sender;
		ck_assert_int_eq(tol_sender(link, &message, &sender), 0);
		ck_assert_int_eq(sender.is_known, 0);
	}
	for (int i = 0; i < 3; i++)
		tol_close(open_box("box"));
	unmake(link);
}
END_TEST

START_TEST(bad_arguments)
{
	struct tol_link *link = make_box(4);
	struct tol_message message = { 0 };
	struct tol_sender sender;

	ck_assert_int_eq(tol_sender(NULL, &message, &sender), -EINVAL);
	ck_assert_int_eq(tol_sender(link, NULL, &sender), -EINVAL);
	ck_assert_int_eq(tol_sender(link, &message, NULL), -EINVAL);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(tol_sender(link, &message, &sender), -EIDRM);
	tol_close(link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sender");
	TCase *tcase = support_tcase("sender");

	tcase_add_loop_test(tcase, this_process, 0, 2);
	tcase_add_test(tcase, those_that_have_ended);
	if (surroundings_can_setuid())
		tcase_add_test(tcase, another_user);
	else
		support_skip("another_user", "needs root");
	tcase_add_test(tcase, the_same_again);
	tcase_add_test(tcase, around_the_table);
	tcase_add_test(tcase, by_a_tap);
	tcase_add_test(tcase, hostile_bytes);
	tcase_add_test(tcase, bad_arguments);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
