/* SPDX-License-Identifier: MIT */
/* Segments over the ends and forks of processes: the count stays exact. */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tolsey.h"

static struct tol_segment *segment;
static void *address;

static void make_segment(void)
{
	ck_assert_int_eq(tol_segment_create(&segment, NULL, 100, NULL), 0);
	ck_assert_int_eq(tol_segment_attach(segment, NULL, &address), 0);
}

static void close_segment(void)
{
	tol_segment_close(segment);
}

static uint32_t count(void)
{
	struct tol_segment_stat st;

	ck_assert_int_eq(tol_segment_stat(segment, &st), 0);
	return st.attach_count;
}

START_TEST(killed_child)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	ck_assert_uint_eq(count(), 2);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_uint_eq(count(), 1);
}
END_TEST

START_TEST(child_uses_and_zombie)
{
	siginfo_t info;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		*(char *)address = 7;
		_exit(tol_segment_detach(segment, address) != 0);
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_uint_eq(count(), 1);
	ck_assert_int_eq(*(char *)address, 7);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(stale_handle)
{
	struct tol_segment_handle handle;
	struct tol_segment *s;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		tol_segment_create(&s, NULL, 10, NULL);
		tol_segment_export(s, &handle);
		_exit(write(fds[1], &handle, 64) != 64);
	}
	ck_assert_int_eq(read(fds[0], &handle, 64), 64);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(tol_segment_import(&s, &handle), -ESTALE);
	ck_assert_int_eq(tol_segment_export(segment, &handle), 0);
	ck_assert_int_eq(tol_segment_import(&s, &handle), 0);
	tol_segment_close(s);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment_fork");
	TCase *tc = support_tcase("segment_fork");

	tcase_add_checked_fixture(tc, make_segment, close_segment);
	tcase_add_test(tc, killed_child);
	tcase_add_test(tc, child_uses_and_zombie);
	tcase_add_test(tc, stale_handle);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
