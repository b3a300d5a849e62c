/* SPDX-License-Identifier: MIT */
/*
 * Which directories and files are taken for a space and its objects: nothing
 * that another could have put there. The rest is in contract_space.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define OWNER_UID 65530
#define VISITOR_UID 65531

static int visit_none(const char *name, enum tol_kind kind, void *context)
{
	(void)name;
	(void)kind;
	(void)context;
	return 0;
}

/* What the calls say to a space in which nothing is; all the same. */
static int ask(const char *space)
{
	struct tol_mailbox_opts box = { .space = space };
	struct tol_segment_opts segment = { .space = space };
	struct tol_open_opts opts = { .space = space };
	struct tol_segment *seg;
	struct tol_link *link;
	int err = tol_space_list(space, visit_none, NULL);

	ck_assert_int_eq(tol_mailbox_create("a", 1, &box), err ? err : 1);
	ck_assert_int_eq(tol_open(&link, "a", &opts), err);
	if (err == 0)
		tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", &box), err);
	ck_assert_int_eq(tol_segment_create(&seg, "a", 1, &segment), err);
	if (err == 0)
		tol_segment_close(seg);
	ck_assert_int_eq(tol_segment_remove("a", &segment), err);
	return err;
}

static const char *at(const char *name)
{
	static char paths[4][200];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", support_space, name);
	return path;
}

/* ---- spaces ------------------------------------------------------------------ */

START_TEST(a_symbolic_link_is_no_space)
{
	static const char *const ends[] = { "", "/", "//", "/.", "/./", "/.//." };
	char path[200];

	ck_assert_int_eq(mkdir(at("real"), 0700), 0);
	ck_assert_int_eq(symlink("real", at("link")), 0);
	ck_assert_int_eq(symlink("nowhere", at("dangling")), 0);
	ck_assert_int_eq(symlink("/dev/null", at("to-file")), 0);
	for (int i = 0; i < 6; i++) {
		snprintf(path, sizeof(path), "%s%s", at("link"), ends[i]);
		ck_assert_msg(ask(path) == -ELOOP, "%s", path);
		snprintf(path, sizeof(path), "%s%s", at("dangling"), ends[i]);
		ck_assert_msg(ask(path) == -ELOOP, "%s", path);
		snprintf(path, sizeof(path), "%s%s", at("to-file"), ends[i]);
		ck_assert_msg(ask(path) == -ELOOP, "%s", path);
		snprintf(path, sizeof(path), "%s%s", at("real"), ends[i]);
		ck_assert_msg(ask(path) == 0, "%s", path);
	}
	ck_assert_int_lt(access(at("nowhere"), F_OK), 0);
	unlink(at("link"));
	unlink(at("dangling"));
	unlink(at("to-file"));
	rmdir(at("real"));
}
END_TEST

START_TEST(what_is_no_directory_is_no_space)
{
	char path[5000];

	ck_assert_int_eq(mkfifo(at("fifo"), 0600), 0);
	ck_assert_int_eq(ask(at("fifo")), -ENOTDIR);
	ck_assert_int_eq(ask("/dev/null"), -ENOTDIR);
	ck_assert_int_eq(ask("/dev/null/x"), -ENOTDIR);
	ck_assert_int_eq(ask(at("none")), -ENOENT);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(ask(path), -ENAMETOOLONG);
	unlink(at("fifo"));
}
END_TEST

/* The environment is one way to say it, the option another that wins. */
START_TEST(the_option_wins_over_the_environment)
{
	struct tol_mailbox_opts opts = { .space = at("real") };

	ck_assert_int_eq(mkdir(at("real"), 0700), 0);
	ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), 1);
	ck_assert_int_eq(access(at("real/a"), F_OK), 0);
	ck_assert_int_lt(access(at("a"), F_OK), 0);
	setenv("TOLSEY_SPACE", at("real"), 1);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
	setenv("TOLSEY_SPACE", "/dev/null", 1);
	ck_assert_int_eq(ask(at("real")), 0);
	rmdir(at("real"));
}
END_TEST

/* What is opened later, such as the body of a large message, is found too. */
START_TEST(a_relative_path_is_that_of_the_moment)
{
	static char body[(1 << 20) + 1];
	struct tol_mailbox_opts opts = { .space = "real" };
	struct tol_open_opts opening = { .space = "real/" };
	struct tol_link *link;

	ck_assert_int_eq(mkdir(at("real"), 0700), 0);
	ck_assert_int_eq(chdir(support_space), 0);
	ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), 1);
	ck_assert_int_eq(tol_open(&link, "a", &opening), 0);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(tol_send(link, body, sizeof(body), TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv(link, body, sizeof(body), TOL_NOWAIT),
			 sizeof(body));
	tol_close(link);
	opts.space = at("real");
	ck_assert_int_eq(tol_mailbox_remove("a", &opts), 0);
	ck_assert_int_eq(rmdir(at("real")), 0);
}
END_TEST

/* ---- objects ------------------------------------------------------------------ */

/* What all calls say of an object that is none. */
static int ask_object(const char *name)
{
	struct tol_mailbox_opts there = { .if_missing = 1 };
	struct tol_mailbox_stat stat;
	struct tol_segment *seg;
	struct tol_link *link;
	int err = tol_open(&link, name, NULL);

	if (err == 0)
		tol_close(link);
	ck_assert_int_eq(tol_mailbox_stat(name, NULL, &stat, NULL, NULL), err);
	ck_assert_int_eq(tol_mailbox_create(name, 1, NULL), -EEXIST);
	if (err == -ELOOP) {
		ck_assert_int_eq(tol_mailbox_create(name, 1, &there),
				 -EMEDIUMTYPE);
		ck_assert_int_eq(tol_segment_create(&seg, name, 1, NULL),
				 -EEXIST);
		ck_assert_int_eq(tol_segment_open(&seg, name, NULL), err);
	}
	return err;
}

/* Nor is anything made at the other end of it. */
START_TEST(a_symbolic_link_is_no_object)
{
	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	ck_assert_int_eq(symlink("box", at("link")), 0);
	ck_assert_int_eq(symlink("nowhere", at("dangling")), 0);
	ck_assert_int_eq(symlink("loop", at("loop")), 0);
	ck_assert_int_eq(ask_object("box"), 0);
	ck_assert_int_eq(ask_object("link"), -ELOOP);
	ck_assert_int_eq(ask_object("dangling"), -ELOOP);
	ck_assert_int_eq(ask_object("loop"), -ELOOP);
	ck_assert_int_lt(access(at("nowhere"), F_OK), 0);
	unlink(at("link"));
	unlink(at("dangling"));
	unlink(at("loop"));
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static int make_theirs(void *name)
{
	struct tol_mailbox_opts opts = { .mode = 0666 };

	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	return tol_mailbox_create(name, 1, &opts) == 1 ? 0 : 1;
}

static int open_as_visitor(void *name)
{
	struct tol_link *link;
	int err;

	surroundings_become(VISITOR_UID, SURROUNDINGS_GID);
	err = tol_open(&link, name, NULL);
	if (err == 0)
		tol_close(link);
	return -err;
}

/*
 * Where all may make files, one of a stranger may be a trap: only those of the
 * caller, of root and of the space's owner are taken.
 */
START_TEST(an_object_of_a_stranger_is_refused_where_all_may_make_them)
{
	struct tol_mailbox_opts opts = { .mode = 0666 };
	char name[] = "theirs", own[] = "roots";

	ck_assert_int_eq(chmod(support_space, 01777), 0);
	ck_assert_int_eq(support_wait(support_fork(make_theirs, name)), 0);
	ck_assert_int_eq(tol_mailbox_create(own, 1, &opts), 1);
	ck_assert_int_eq(ask_object(name), -EPERM);
	ck_assert_int_eq(support_wait(support_fork(open_as_visitor, name)),
			 EPERM);
	ck_assert_int_eq(support_wait(support_fork(open_as_visitor, own)), 0);
	ck_assert_int_eq(chmod(support_space, 01775), 0);
	ck_assert_int_eq(ask_object(name), -EPERM);
	/* The owner of the space may, and so what is his may be used. */
	ck_assert_int_eq(chown(at(own), OWNER_UID, SURROUNDINGS_GID), 0);
	ck_assert_int_eq(support_wait(support_fork(open_as_visitor, own)),
			 EPERM);
	ck_assert_int_eq(chown(support_space, OWNER_UID, SURROUNDINGS_GID), 0);
	ck_assert_int_eq(support_wait(support_fork(open_as_visitor, own)), 0);
	ck_assert_int_eq(chown(support_space, 0, 0), 0);
	ck_assert_int_eq(chmod(support_space, 0700), 0);
	unlink(at(own));
	unlink(at(name));
}
END_TEST

/* ---- the default space -------------------------------------------------------- */

static int use_default(void *context)
{
	static const struct {
		mode_t mode;
		int err;
	} cases[] = { { 0700, 0 }, { 0750, 0 }, { 0755, 0 }, { 0701, 0 },
		      { 0720, -EPERM }, { 0702, -EPERM }, { 0770, -EPERM },
		      { 01777, -EPERM }, { 01770, -EPERM } };
	char path[64], slash[66];

	(void)context;
	surroundings_mount_at("/dev/shm", 1 << 20, 01777);
	unsetenv("TOLSEY_SPACE");
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	snprintf(path, sizeof(path), "/dev/shm/tolsey-%u",
		 (unsigned int)geteuid());
	snprintf(slash, sizeof(slash), "%s/", path);
	if (mkdir(path, 0700) < 0)
		return 1;
	for (int i = 0; i < 9; i++)
		if (chmod(path, cases[i].mode) < 0 ||
		    ask(NULL) != cases[i].err || ask(slash) != cases[i].err)
			return 10 + i;
	if (rmdir(path) < 0 || mkdir("/dev/shm/other", 0700) < 0)
		return 2;
	/* As a stranger might, to have the caller make files elsewhere. */
	if (symlink("other", path) < 0 || ask(NULL) != -ELOOP)
		return 3;
	return rmdir("/dev/shm/other") < 0 ? 4 : 0;
}

START_TEST(the_default_space_is_the_callers_alone)
{
	ck_assert_int_eq(support_wait(support_fork(use_default, NULL)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("space");
	TCase *tcase = support_tcase("space");

	tcase_add_test(tcase, a_symbolic_link_is_no_space);
	tcase_add_test(tcase, what_is_no_directory_is_no_space);
	tcase_add_test(tcase, the_option_wins_over_the_environment);
	tcase_add_test(tcase, a_relative_path_is_that_of_the_moment);
	tcase_add_test(tcase, a_symbolic_link_is_no_object);
	if (surroundings_can_setuid())
		tcase_add_test(tcase,
			       an_object_of_a_stranger_is_refused_where_all_may_make_them);
	else
		support_skip("an_object_of_a_stranger_is_refused", "needs root");
	if (surroundings_can_setuid() && surroundings_can_mount())
		tcase_add_test(tcase, the_default_space_is_the_callers_alone);
	else
		support_skip("the_default_space_is_the_callers_alone",
			     "needs root and the right to mount");
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
