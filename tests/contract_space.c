/* SPDX-License-Identifier: MIT */
/*
 * Versions, errors, names and spaces: what the header says of them, sentence by
 * sentence, written from the header alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

static int create(const char *name, uint64_t capacity_msgs)
{
	return tol_mailbox_create(name, capacity_msgs, NULL);
}

static int unmake(const char *name)
{
	return tol_mailbox_remove(name, NULL);
}

static struct tol_link *open_link(const char *name)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	ck_assert_ptr_nonnull(link);
	return link;
}

static struct tol_mailbox_stat look(const char *name)
{
	struct tol_mailbox_stat st;

	memset(&st, 0xff, sizeof(st));
	ck_assert_int_eq(tol_mailbox_stat(name, NULL, &st, NULL, NULL), 0);
	return st;
}

static void make_segment(const char *name)
{
	struct tol_segment *segment;

	ck_assert_int_eq(tol_segment_create(&segment, name, 100, NULL), 0);
	tol_segment_close(segment);
}

static void write_file(const char *name, const void *bytes, size_t size_bytes)
{
	FILE *file = fopen(surroundings_path(name), "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size_bytes, file), size_bytes);
	ck_assert_int_eq(fclose(file), 0);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(surroundings_path(name), &st) == 0;
}

START_TEST(version_is_that_of_the_header)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "%d.%d.%d", TOL_VERSION_MAJOR,
		 TOL_VERSION_MINOR, TOL_VERSION_PATCH);
	ck_assert_str_eq(tol_version(), expected);
}
END_TEST

START_TEST(every_error_has_a_sentence)
{
	static const int errors[] = {
		EAGAIN, ETIMEDOUT,    EMSGSIZE, ENOSPC, EIDRM,      EBADMSG,
		EPROTO, ENAMETOOLONG, ENOENT,   EPERM,  EACCES,     ENOMEM,
		EEXIST, EINVAL,       ENOTSUP,  ERANGE, EOPNOTSUPP, EMEDIUMTYPE,
		EUSERS, ELOOP,        EMFILE,   ENFILE, ECHILD,     EFBIG,
		EBUSY,  ESTALE,
	};
	size_t count = sizeof(errors) / sizeof(errors[0]);
	const char *unknown = tol_strerror(-4000);

	for (int error = -5000; error <= 5000; error++)
		ck_assert_ptr_nonnull(tol_strerror(error));
	ck_assert_ptr_nonnull(tol_strerror(-2147483647 - 1));
	ck_assert_ptr_nonnull(tol_strerror(2147483647));
	for (size_t i = 0; i < count; i++) {
		const char *text = tol_strerror(-errors[i]);

		ck_assert_str_eq(text, tol_strerror(errors[i]));
		ck_assert_msg(strcmp(text, unknown) && strlen(text) > 10,
			      "errno %d: %s", errors[i], text);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(
				errors[i] == errors[j] ||
					strcmp(text, tol_strerror(-errors[j])),
				"%d and %d: %s", errors[i], errors[j], text);
	}
}
END_TEST

START_TEST(space_path_rules)
{
	char path[100], expected[100];
	ssize_t length = (ssize_t)strlen(support_space);
	size_t fits = (size_t)length + 1;

	ck_assert_int_eq(tol_space_path(NULL, path, sizeof(path)), length);
	ck_assert_str_eq(path, support_space);
	ck_assert_int_eq(tol_space_path(NULL, path, fits), length);
	ck_assert_int_eq(tol_space_path(NULL, path, fits - 1), -ENAMETOOLONG);
	ck_assert_int_eq(tol_space_path(NULL, path, 1), -ENAMETOOLONG);
	ck_assert_int_eq(tol_space_path(NULL, NULL, 0), -ENAMETOOLONG);
	ck_assert_int_eq(tol_space_path("/no/such", path, 9), 8);
	ck_assert_str_eq(path, "/no/such");
	ck_assert_int_eq(tol_space_path("/no/such", path, 8), -ENAMETOOLONG);
	snprintf(expected, sizeof(expected), "/dev/shm/tolsey-%u",
		 (unsigned int)getuid());
	for (int set = 0; set < 2; set++) {
		unsetenv("TOLSEY_SPACE");
		if (set)
			setenv("TOLSEY_SPACE", "", 1);
		ck_assert_int_eq(tol_space_path(NULL, path, sizeof(path)),
				 (ssize_t)strlen(expected));
		ck_assert_str_eq(path, expected);
	}
}
END_TEST

/* What main() does when it was started as a set-user-ID program. */
static int say_space(void)
{
	char path[100];

	return tol_space_path(NULL, path, sizeof(path)) < 0 ||
	       !strcmp(path, support_space) || !strcmp(path, "/foreign");
}

static int exec_other(void *path)
{
	setenv("TOLSEY_SPACE", "/foreign", 1);
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	execl(path, path, "--say-space", (char *)NULL);
	return 98;
}

START_TEST(set_user_id_ignores_the_environment)
{
	char path[128], command[400];

	surroundings_mount(64 << 20);
	ck_assert_int_eq(chmod(support_space, 0755), 0);
	snprintf(path, sizeof(path), "%s", surroundings_path("program"));
	snprintf(command, sizeof(command), "cp /proc/%d/exe %s && chmod %s %s",
		 (int)getpid(), path, _i ? "04755" : "0755", path);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(support_wait(support_fork(exec_other, path)), !_i);
	ck_assert_int_eq(unlink(path), 0);
	surroundings_unmount();
}
END_TEST

/* What all calls that take a name make of one; 1: each went its way. */
static int try_name(const char *name)
{
	struct tol_segment *segment = NULL;
	struct tol_link *link = NULL;
	struct tol_mailbox_stat st;
	int created = create(name, 1);

	if (created != 1) {
		ck_assert_int_eq(tol_open(&link, name, NULL), created);
		ck_assert_int_eq(unmake(name), created);
		ck_assert_int_eq(tol_mailbox_stat(name, NULL, &st, NULL, NULL),
				 created);
		ck_assert_int_eq(tol_segment_create(&segment, name, 1, NULL),
				 created);
		ck_assert_int_eq(tol_segment_open(&segment, name, NULL),
				 created);
		ck_assert_int_eq(tol_segment_remove(name, NULL), created);
		ck_assert(!link && !segment);
		return created;
	}
	ck_assert(exists(name));
	tol_close(open_link(name));
	look(name);
	ck_assert_int_eq(unmake(name), 0);
	ck_assert_int_eq(tol_segment_create(&segment, name, 1, NULL), 0);
	tol_segment_close(segment);
	ck_assert_int_eq(tol_segment_open(&segment, name, NULL), 0);
	tol_segment_close(segment);
	ck_assert_int_eq(tol_segment_remove(name, NULL), 0);
	ck_assert(!exists(name));
	return 1;
}

START_TEST(names_allowed)
{
	static const char first[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789_";
	char name[TOL_NAME_MAX_BYTES + 2];

	for (int c = 1; c < 256; c++) {
		char one[3] = { (char)c, '\0', '\0' };
		char two[3] = { 'a', (char)c, '\0' };

		ck_assert_msg(try_name(one) == (strchr(first, c) ? 1 : -EINVAL),
			      "first byte %d", c);
		ck_assert_msg(try_name(two) ==
				      (strchr(first, c) || c == '.' || c == '-'
					       ? 1
					       : -EINVAL),
			      "second byte %d", c);
	}
	memset(name, 'x', sizeof(name));
	name[TOL_NAME_MAX_BYTES + 1] = '\0';
	ck_assert_int_eq(try_name(name), -EINVAL);
	name[TOL_NAME_MAX_BYTES] = '\0';
	ck_assert_int_eq(try_name(name), 1);
	ck_assert_int_eq(try_name(""), -EINVAL);
	ck_assert_int_eq(try_name("../x"), -EINVAL);
	ck_assert_int_eq(try_name("a/b"), -EINVAL);
	ck_assert_int_eq(create(NULL, 1), -EINVAL);
	ck_assert_int_eq(unmake(NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_remove(NULL, NULL), -EINVAL);
}
END_TEST

struct listing {
	char text[256];
	int left;
};

static int note(const char *name, enum tol_kind kind, void *context)
{
	struct listing *listing = context;
	size_t length = strlen(listing->text);

	snprintf(listing->text + length, sizeof(listing->text) - length,
		 "%s:%d ", name, (int)kind);
	return --listing->left == 0 ? 77 : 0;
}

START_TEST(list_is_sorted_and_tells_kinds)
{
	struct listing all = { .left = -1 }, some = { .left = 2 };

	ck_assert_int_eq(tol_space_list(NULL, note, &all), 0);
	ck_assert_str_eq(all.text, "");
	ck_assert_int_eq(create("b", 1), 1);
	ck_assert_int_eq(create("_", 1), 1);
	ck_assert_int_eq(create("B", 1), 1);
	make_segment("a.b");
	make_segment("a");
	write_file("0", "", 0);
	write_file("zz", "a text of some other program\n", 29);
	ck_assert_int_eq(tol_space_list(NULL, note, &all), 0);
	ck_assert_str_eq(all.text, "0:0 B:1 _:1 a:2 a.b:2 b:1 zz:0 ");
	ck_assert_int_eq(tol_space_list(support_space, note, &some), 77);
	ck_assert_str_eq(some.text, "0:0 B:1 ");
	ck_assert_int_eq(unmake("b") | unmake("_") | unmake("B"), 0);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	ck_assert_int_eq(tol_segment_remove("a.b", NULL), 0);
	ck_assert_int_eq(unlink(surroundings_path("0")), 0);
	ck_assert_int_eq(unlink(surroundings_path("zz")), 0);
}
END_TEST

/* All calls on a space; each must say the same. */
static int ask_space(const char *space)
{
	struct tol_mailbox_opts mailbox = { .space = space };
	struct tol_segment_opts segment = { .space = space };
	struct tol_open_opts opening = { .space = space };
	struct listing listing = { .left = -1 };
	struct tol_mailbox_stat st;
	struct tol_segment *s = NULL;
	struct tol_link *link = NULL;
	int error = tol_space_list(space, note, &listing);

	ck_assert_int_eq(tol_space_clean(space, 0, NULL, NULL), error);
	ck_assert_int_eq(tol_mailbox_create("a", 1, &mailbox), error);
	ck_assert_int_eq(tol_open(&link, "a", &opening), error);
	ck_assert_int_eq(tol_mailbox_stat("a", &mailbox, &st, NULL, NULL),
			 error);
	ck_assert_int_eq(tol_mailbox_remove("a", &mailbox), error);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, &segment), error);
	ck_assert_int_eq(tol_segment_open(&s, "a", &segment), error);
	ck_assert_int_eq(tol_segment_remove("a", &segment), error);
	ck_assert(!s && !link);
	return error;
}

START_TEST(space_that_is_missing_or_unsafe)
{
	struct tol_mailbox_opts opts = { 0 };

	ck_assert_int_eq(ask_space(surroundings_path("none")), -ENOENT);
	ck_assert_int_eq(chmod(support_space, 0777), 0);
	ck_assert_int_eq(ask_space(support_space), -EPERM);
	ck_assert_int_eq(chmod(support_space, 0707), 0);
	ck_assert_int_eq(ask_space(support_space), -EPERM);
	ck_assert_int_eq(chmod(support_space, 01777), 0);
	ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), 1);
	ck_assert_int_eq(tol_mailbox_remove("a", &opts), 0);
}
END_TEST

static int ask_as_other(void *space)
{
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	return -ask_space(space);
}

START_TEST(space_of_another_user)
{
	pid_t pid = support_fork(ask_as_other, support_space);

	ck_assert_int_eq(support_wait(pid), EACCES);
	ck_assert_int_eq(chmod(support_space, 0707), 0);
	pid = support_fork(ask_as_other, support_space);
	ck_assert_int_eq(support_wait(pid), EPERM);
}
END_TEST

/* As some user, where /dev/shm is a file system of this process's own. */
static int use_default(void *unused)
{
	struct listing listing = { .left = -1 };
	char path[64];
	struct stat st;

	(void)unused;
	surroundings_mount_at("/dev/shm", 1 << 20, 01777);
	unsetenv("TOLSEY_SPACE");
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	if (tol_space_path(NULL, path, sizeof(path)) < 0 ||
	    tol_space_list(NULL, note, &listing) != 0 || listing.text[0] ||
	    tol_space_clean(NULL, 0, NULL, NULL) != 0 ||
	    access(path, F_OK) == 0)
		return 1;
	umask(0);
	if (tol_mailbox_create("a", 1, NULL) != 1 || stat(path, &st) != 0 ||
	    st.st_uid != SURROUNDINGS_UID || (st.st_mode & 07777) != 0700)
		return 2;
	if (tol_mailbox_remove("a", NULL) != 0)
		return 3;
	if (chmod(path, 0720) || ask_space(NULL) != -EPERM || rmdir(path))
		return 4;
	return 0;
}

static int use_default_of_another(void *unused)
{
	char path[64];

	(void)unused;
	surroundings_mount_at("/dev/shm", 1 << 20, 01777);
	unsetenv("TOLSEY_SPACE");
	snprintf(path, sizeof(path), "/dev/shm/tolsey-%d", SURROUNDINGS_UID);
	if (mkdir(path, 0755) != 0)
		return 1;
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	return -ask_space(NULL);
}

START_TEST(default_space)
{
	pid_t pid = support_fork(use_default, NULL);

	ck_assert_int_eq(support_wait(pid), 0);
	pid = support_fork(use_default_of_another, NULL);
	ck_assert_int_eq(support_wait(pid), EPERM);
}
END_TEST

static int send_and_be_killed(void *name)
{
	static char large[(1 << 20) + 1];
	struct tol_link *link = open_link(name);

	if (tol_send(link, large, sizeof(large), TOL_NOWAIT) == 0)
		kill(getpid(), SIGKILL);
	return 1;
}

static void count_report(const struct tol_clean_event *event, void *context)
{
	ck_assert(event->name && event->name[0] && event->what &&
		  event->what[0]);
	++*(int *)context;
}

START_TEST(clean_takes_only_what_nobody_can_reach)
{
	static char large[(1 << 20) + 1];
	struct tol_link *link;
	int found, reports = 0;

	ck_assert_int_eq(create("a", 10), 1);
	make_segment("s");
	ck_assert_int_eq(tol_space_clean(NULL, 0, count_report, &reports), 0);
	ck_assert_int_eq(reports, 0);
	ck_assert_int_eq(support_wait(support_fork(send_and_be_killed, "a")),
			 -SIGKILL);
	ck_assert_uint_eq(look("a").dead_count, 1);
	found = tol_space_clean(NULL, 1, count_report, &reports);
	ck_assert_int_ge(found, 1);
	ck_assert_int_eq(reports, found);
	ck_assert_uint_eq(look("a").dead_count, 1);
	ck_assert_int_eq(tol_space_clean(support_space, 0, NULL, NULL), found);
	ck_assert_uint_eq(look("a").dead_count, 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, NULL, NULL), 0);
	ck_assert(exists("a") && exists("s"));
	link = open_link("a");
	ck_assert_int_eq(tol_recv(link, large, sizeof(large), TOL_NOWAIT),
			 sizeof(large));
	tol_close(link);
	ck_assert_int_eq(unmake("a"), 0);
	ck_assert_int_eq(tol_segment_remove("s", NULL), 0);
}
END_TEST

static void add_privileged(TCase *tc)
{
	if (surroundings_can_setuid() && surroundings_can_mount()) {
		tcase_add_loop_test(tc, set_user_id_ignores_the_environment, 0,
				    2);
		tcase_add_test(tc, default_space);
	} else {
		support_skip("default_space",
			     "needs root and the right to mount");
		support_skip("set_user_id_ignores_the_environment",
			     "needs root and the right to mount");
	}
	if (surroundings_can_setuid())
		tcase_add_test(tc, space_of_another_user);
	else
		support_skip("space_of_another_user", "needs root");
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("contract_space");
	TCase *tc;

	/* Before there is a directory for the tests. */
	if (argc > 1 && !strcmp(argv[1], "--say-space"))
		_exit(say_space()); /* no look for leaks of the tests */
	tc = support_tcase("contract_space");
	tcase_add_test(tc, version_is_that_of_the_header);
	tcase_add_test(tc, every_error_has_a_sentence);
	tcase_add_test(tc, space_path_rules);
	tcase_add_test(tc, names_allowed);
	tcase_add_test(tc, list_is_sorted_and_tells_kinds);
	tcase_add_test(tc, space_that_is_missing_or_unsafe);
	tcase_add_test(tc, clean_takes_only_what_nobody_can_reach);
	add_privileged(tc);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
