/* SPDX-License-Identifier: MIT */
/*
 * Handles of segments: they travel in messages, cannot be forged, and end with
 * who exported them, as the header says. Written from the header alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define PAGE ((uint64_t)4096)

static struct tol_segment *make(const char *name, uint64_t size_bytes)
{
	struct tol_segment *s = NULL;

	ck_assert_int_eq(tol_segment_create(&s, name, size_bytes, NULL), 0);
	return s;
}

static unsigned char *attach(struct tol_segment *s, unsigned int flags)
{
	struct tol_attach_opts opts = { .flags = flags };
	void *p = NULL;

	ck_assert_int_eq(tol_segment_attach(s, &opts, &p), 0);
	return p;
}

static struct tol_segment_stat look(struct tol_segment *s)
{
	struct tol_segment_stat st;

	ck_assert_int_eq(tol_segment_stat(s, &st), 0);
	return st;
}

static int import_from_message(void *unused)
{
	struct tol_segment_handle handle;
	struct tol_segment *s = NULL;
	struct tol_link *link;
	unsigned char *p;

	(void)unused;
	if (tol_open(&link, "box", NULL) ||
	    tol_recv(link, &handle, sizeof(handle), TOL_FOREVER) != 64 ||
	    tol_segment_import(&s, &handle))
		return 1;
	p = attach(s, 0);
	if (p[0] != 'h' || look(s).attach_count != 2)
		return 2;
	p[1] = 'i';
	if (tol_segment_grow(s, 2 * PAGE))
		return 3;
	/* An importer may hand it on for itself. */
	if (tol_segment_export(s, &handle) || tol_segment_detach(s, p))
		return 4;
	tol_segment_close(s);
	if (tol_segment_import(&s, &handle) != -ESTALE)
		return 5;
	return 0;
}

START_TEST(handle_travels_in_a_message)
{
	const char *name = _i ? "s" : NULL;
	struct tol_segment *s = make(name, PAGE);
	struct tol_segment_handle handle;
	unsigned char *p = attach(s, TOL_ATTACH_NOFORK);
	struct tol_link *link;
	pid_t pid;

	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	p[0] = 'h';
	ck_assert_int_eq(tol_segment_export(s, &handle), 0);
	/* Also for one whose name is gone by then. */
	if (name)
		ck_assert_int_eq(tol_segment_remove(name, NULL), 0);
	pid = support_fork(import_from_message, NULL);
	ck_assert_int_eq(tol_send(link, &handle, sizeof(handle), TOL_FOREVER),
			 0);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_uint_eq(p[1], 'i');
	ck_assert_uint_eq(look(s).size_bytes, 2 * PAGE);
	tol_close(link);
	tol_segment_close(s);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

START_TEST(handle_that_is_forged)
{
	struct tol_segment_handle handle, forged;
	struct tol_segment *s = make(NULL, PAGE), *t = NULL;

	ck_assert_int_eq(tol_segment_export(s, &handle), 0);
	for (size_t bit = 0; bit < 512; bit++) {
		int err;

		forged = handle;
		forged.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		err = tol_segment_import(&t, &forged);
		ck_assert_msg(err == -EBADMSG || err == -ESTALE ||
				      err == -EACCES,
			      "bit %zu: %d", bit, err);
	}
	for (size_t kept = 0; kept < 48; kept++) {
		memset(&forged, 0, sizeof(forged));
		memcpy(&forged, &handle, kept);
		if (memcmp(&forged, &handle, sizeof(forged)) == 0)
			continue;
		ck_assert_int_lt(tol_segment_import(&t, &forged), 0);
	}
	memset(&forged, 0xff, sizeof(forged));
	ck_assert_int_eq(tol_segment_import(&t, &forged), -EBADMSG);
	memset(&forged, 0, sizeof(forged));
	ck_assert_int_eq(tol_segment_import(&t, &forged), -EBADMSG);
	ck_assert_ptr_null(t);
	ck_assert_int_eq(tol_segment_import(&t, &handle), 0);
	tol_segment_close(t);
	/* Its number may be another's by now. */
	tol_segment_close(s);
	t = NULL;
	ck_assert_int_eq(tol_segment_import(&t, &handle), -ESTALE);
	s = make(NULL, PAGE);
	ck_assert_int_eq(tol_segment_import(&t, &handle), -ESTALE);
	ck_assert_ptr_null(t);
	tol_segment_close(s);
}
END_TEST

static int import_as_other(void *handle)
{
	struct tol_segment *s = NULL;

	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	return -tol_segment_import(&s, handle);
}

START_TEST(handle_for_another_user)
{
	struct tol_segment_opts opts = { .mode = 0666 };
	struct tol_segment_handle handle;
	struct tol_segment *s;

	ck_assert_int_eq(tol_segment_create(&s, NULL, PAGE, &opts), 0);
	ck_assert_int_eq(tol_segment_export(s, &handle), 0);
	ck_assert_int_eq(support_wait(support_fork(import_as_other, &handle)),
			 EACCES);
	tol_segment_close(s);
}
END_TEST

START_TEST(handle_of_one_that_was_killed)
{
	struct tol_segment_handle handle;
	struct tol_segment *s = NULL;
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		s = make(NULL, 10);
		if (tol_segment_export(s, &handle) ||
		    write(fds[1], &handle, 64) != 64)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(fds[0], &handle, 64), 64);
	ck_assert_int_eq(tol_segment_import(&s, &handle), 0);
	attach(s, 0)[9] = 1;
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_uint_eq(attach(s, 0)[9], 1);
	tol_segment_close(s);
	s = NULL;
	ck_assert_int_eq(tol_segment_import(&s, &handle), -ESTALE);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_handle");
	TCase *tc = support_tcase("contract_handle");

	tcase_add_loop_test(tc, handle_travels_in_a_message, 0, 2);
	tcase_add_test(tc, handle_that_is_forged);
	if (surroundings_can_setuid())
		tcase_add_test(tc, handle_for_another_user);
	else
		support_skip("handle_for_another_user", "needs root");
	tcase_add_test(tc, handle_of_one_that_was_killed);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
