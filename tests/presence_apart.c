/* SPDX-License-Identifier: MIT */
/*
 * Who counts as alive across what keeps processes apart: reused pids, pid
 * namespaces, users; and several copies of the library in one process.
 */
#include "alive.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define CANNOT 77	/* exit status: not possible here */
#define NOBODY 65534

static void say_ready(int fd)
{
	alive_say(fd, 0);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

/* ---- pid namespaces -------------------------------------------------------- */

/* Root may, and elsewhere whoever may be root in a user namespace. */
static bool enter_pid_namespace(void)
{
	return unshare(CLONE_NEWPID) == 0 ||
	       unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
}

/*
 * A child that runs @body as the first process of a new pid namespace; it first
 * says that process's pid as seen from here.
 */
static struct victim start_in_namespace(int (*body)(int fd))
{
	struct victim helper;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	helper.pid = fork();
	ck_assert_int_ge(helper.pid, 0);
	if (helper.pid == 0) {
		int held[2], status;
		pid_t first;
		char byte;

		must(pipe2(held, O_CLOEXEC) == 0);
		if (!enter_pid_namespace()) {
			alive_say(fds[1], -1);
			_exit(CANNOT);
		}
		first = fork();
		must(first >= 0);
		if (first == 0) {
			close(held[1]);
			must(read(held[0], &byte, 1) == 0);
			_exit(body(fds[1]));
		}
		alive_say(fds[1], first);
		close(held[0]);
		close(held[1]);
		must(waitpid(first, &status, 0) == first);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
	}
	close(fds[1]);
	helper.pipe_fd = fds[0];
	return helper;
}

static int end_helper(struct victim helper)
{
	int status = support_wait(helper.pid);

	close(helper.pipe_fd);
	return status;
}

/* Return: as fork(); the child has exactly that pid. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int reuse_pid(int fd)
{
	const pid_t pid = 77;
	int fds[2], value;

	must(pipe2(fds, O_CLOEXEC) == 0);
	for (int turn = 0; turn < 2; turn++) {
		pid_t child = fork_as(pid);

		if (child < 0 && (errno == EPERM || errno == ENOSYS))
			return CANNOT;
		must(child >= 0);
		if (child == 0) {
			must(getpid() == pid);
			/* The second one only has the pid of the first. */
			must(turn == 1 || alive_join() == 0);
			say_ready(fds[1]);
			wait_for_ever();
		}
		must(child == pid);
		must(read(fds[0], &value, sizeof(value)) == sizeof(value));
		must(kill(pid, 0) == 0);
		must(alive_await(turn == 0 ? 1 : 0));
		kill(pid, SIGKILL);
		must(waitpid(pid, NULL, 0) == pid);
	}
	say_ready(fd);
	return 0;
}

START_TEST(a_reused_pid_is_not_taken_for_its_last_owner)
{
	struct victim helper;
	int status;

	alive_begin(_i);
	helper = start_in_namespace(reuse_pid);
	alive_hear(helper.pipe_fd);
	status = end_helper(helper);
	alive_end();
	if (status == CANNOT)
		support_cannot("no pid namespace, or no choice of pids");
	ck_assert_int_eq(status, 0);
}
END_TEST

static int join_as_first(int fd)
{
	must(getpid() == 1);
	must(alive_join() == 0);
	say_ready(fd);
	wait_for_ever();
	return 0;
}

START_TEST(one_in_another_pid_namespace_is_seen)
{
	struct victim helper;
	pid_t pid;

	alive_begin(_i);
	helper = start_in_namespace(join_as_first);
	pid = alive_hear(helper.pipe_fd);
	if (pid < 0) {
		end_helper(helper);
		alive_end();
		support_cannot("no pid namespace");
	}
	alive_hear(helper.pipe_fd);
	ck_assert_int_eq(alive_count(), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(alive_await(0));
	ck_assert_int_eq(end_helper(helper), 0);
	alive_end();
}
END_TEST

static pid_t outer_pid;

static int watch_as_first(int fd)
{
	/* For us there is no such process, or it is another one. */
	must(outer_pid != 1 && kill(outer_pid, 0) < 0 && errno == ESRCH);
	must(alive_count() == 1);
	say_ready(fd);
	must(alive_await(0));
	return 0;
}

START_TEST(one_outside_of_the_own_pid_namespace_is_seen)
{
	struct victim victim, helper;
	bool has_namespace;

	alive_begin(_i);
	victim = alive_start(say_ready);
	alive_hear(victim.pipe_fd);
	outer_pid = victim.pid;
	helper = start_in_namespace(watch_as_first);
	has_namespace = alive_hear(helper.pipe_fd) > 0;
	if (has_namespace)
		alive_hear(helper.pipe_fd);
	alive_finish(victim);
	ck_assert_int_eq(end_helper(helper), has_namespace ? 0 : CANNOT);
	alive_end();
	if (!has_namespace)
		support_cannot("no pid namespace");
}
END_TEST

/* ---- users ----------------------------------------------------------------- */

static bool become_nobody(void)
{
	return setgroups(0, NULL) == 0 &&
	       setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	       setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static int join_as_nobody(int fd)
{
	must(become_nobody());
	must(alive_join() == 0);
	say_ready(fd);
	wait_for_ever();
	return 0;
}

static int watch_as_nobody(int fd)
{
	must(become_nobody());
	must(kill(outer_pid, 0) < 0 && errno == EPERM);
	must(alive_count() == 1);
	say_ready(fd);
	must(alive_await(0));
	return 0;
}

static struct victim start_as_nobody(int (*body)(int fd))
{
	struct victim helper;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	helper.pid = fork();
	ck_assert_int_ge(helper.pid, 0);
	if (helper.pid == 0)
		_exit(body(fds[1]));
	close(fds[1]);
	helper.pipe_fd = fds[0];
	return helper;
}

static bool has_two_users(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(become_nobody() ? 0 : 1);
	return support_wait(pid) == 0;
}

START_TEST(one_of_another_user_is_seen)
{
	struct victim victim;

	if (!has_two_users())
		support_cannot("only root can be two users");
	alive_begin(_i);
	alive_let_all();
	victim = start_as_nobody(join_as_nobody);
	alive_hear(victim.pipe_fd);
	ck_assert_int_eq(alive_count(), 1);
	kill(victim.pid, SIGKILL);
	ck_assert(alive_await(0));
	alive_finish(victim);
	alive_end();
}
END_TEST

START_TEST(another_user_sees_the_owners)
{
	struct victim victim, watcher;

	if (!has_two_users())
		support_cannot("only root can be two users");
	alive_begin(_i);
	alive_let_all();
	victim = alive_start(say_ready);
	alive_hear(victim.pipe_fd);
	outer_pid = victim.pid;
	watcher = start_as_nobody(watch_as_nobody);
	alive_hear(watcher.pipe_fd);
	alive_finish(victim);
	ck_assert_int_eq(end_helper(watcher), 0);
	alive_end();
}
END_TEST

/* ---- copies of the library ------------------------------------------------- */

struct copy {
	void *handle;
	int (*open)(struct tol_link **, const char *,
		    const struct tol_open_opts *);
	void (*close)(struct tol_link *);
	int (*send)(struct tol_link *, const void *, size_t, int64_t);
	ssize_t (*recv)(struct tol_link *, void *, size_t, int64_t);
	struct tol_link *link;
};

static void find(void *handle, const char *name, void *ret_function)
{
	void *function = dlsym(handle, name);

	ck_assert_ptr_nonnull(function);
	memcpy(ret_function, &function, sizeof(function));
}

/* The shared library of this build, from a file of its own. */
static void load_copy(struct copy *copy)
{
	char name[] = "/tmp/tolsey-copy.XXXXXX", path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);
	struct stat st;
	int from, to;

	ck_assert_int_gt(length, 0);
	path[length] = '\0';
	strcpy(strrchr(path, '/'), "/../libtolsey.so");
	from = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(from >= 0, "no %s", path);
	to = mkostemp(name, O_CLOEXEC);
	ck_assert_int_ge(to, 0);
	ck_assert_int_eq(fstat(from, &st), 0);
	ck_assert_int_eq(sendfile(to, from, NULL, (size_t)st.st_size),
			 st.st_size);
	close(from);
	close(to);
	copy->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	unlink(name);
	ck_assert_msg(copy->handle != NULL, "%s", dlerror());
	find(copy->handle, "tol_open", &copy->open);
	find(copy->handle, "tol_close", &copy->close);
	find(copy->handle, "tol_send", &copy->send);
	find(copy->handle, "tol_recv", &copy->recv);
}

static void load_copies(struct copy copies[3])
{
	copies[0] = (struct copy){ NULL, tol_open, tol_close, tol_send,
		tol_recv, NULL };
	load_copy(&copies[1]);
	load_copy(&copies[2]);
	ck_assert_ptr_ne(copies[1].handle, copies[2].handle);
	ck_assert(copies[1].open != copies[2].open);
	ck_assert(copies[1].open != copies[0].open);
}

static void unload_copies(struct copy copies[3])
{
	ck_assert_int_eq(dlclose(copies[1].handle), 0);
	ck_assert_int_eq(dlclose(copies[2].handle), 0);
}

START_TEST(copies_of_the_library_count_for_themselves)
{
	struct copy copies[3];
	uint64_t value;

	alive_begin(1);
	load_copies(copies);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(copies[i].open(&copies[i].link, "object",
						NULL), 0);
		ck_assert_int_eq(alive_count(), i + 1);
	}
	for (uint64_t i = 0; i < 9; i++) {
		struct copy *to = &copies[i / 3], *from = &copies[i % 3];

		ck_assert_int_eq(to->send(to->link, &i, 8, TOL_NOWAIT), 0);
		ck_assert_int_eq(from->recv(from->link, &value, 8, TOL_NOWAIT),
				 8);
		ck_assert_uint_eq(value, i);
	}
	for (int i = 0; i < 3; i++) {
		copies[i].close(copies[i].link);
		ck_assert_int_eq(alive_count(), 2 - i);
	}
	unload_copies(copies);
	alive_end();
}
END_TEST

static void join_with_copies(int fd)
{
	struct copy copies[3];

	load_copies(copies);
	for (int i = 0; i < 3; i++)
		must(copies[i].open(&copies[i].link, "object", NULL) == 0);
	say_ready(fd);
}

START_TEST(copies_of_the_library_die_together)
{
	struct victim victim;

	alive_begin(1);
	victim = alive_start(join_with_copies);
	alive_hear(victim.pipe_fd);
	ck_assert_int_eq(alive_count(), 4);
	kill(victim.pid, SIGKILL);
	ck_assert(alive_await(0));
	alive_finish(victim);
	alive_end();
}
END_TEST

/* Each has its own handlers of fork(), also after others are unloaded. */
START_TEST(copies_of_the_library_fork_and_unload)
{
	struct copy copies[3];
	pid_t pid;

	alive_begin(1);
	load_copies(copies);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(copies[i].open(&copies[i].link, "object",
						NULL), 0);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 3; i++) {
			struct copy *c = &copies[i];

			must(c->send(c->link, "x", 1, TOL_NOWAIT) == -ECHILD);
			c->close(c->link);
			must(alive_count() == 3 + i);
			must(c->open(&c->link, "object", NULL) == 0);
			must(alive_count() == 4 + i);
		}
		_exit(0);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert(alive_await(3));
	for (int i = 0; i < 3; i++)
		copies[i].close(copies[i].link);
	unload_copies(copies);
	pid = fork();
	if (pid == 0) {
		must(tol_open(&copies[0].link, "object", NULL) == 0);
		must(alive_count() == 1);
		_exit(0);
	}
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert(alive_await(0));
	alive_end();
}
END_TEST

#define ADD_ALL(test) tcase_add_loop_test(tcase, test, 0, ALIVE_LEVELS_COUNT)

int main(void)
{
	Suite *suite = suite_create("presence_apart");
	TCase *tcase = support_tcase("presence_apart");

	ADD_ALL(a_reused_pid_is_not_taken_for_its_last_owner);
	ADD_ALL(one_in_another_pid_namespace_is_seen);
	ADD_ALL(one_outside_of_the_own_pid_namespace_is_seen);
	ADD_ALL(one_of_another_user_is_seen);
	ADD_ALL(another_user_sees_the_owners);
	tcase_add_test(tcase, copies_of_the_library_count_for_themselves);
	tcase_add_test(tcase, copies_of_the_library_die_together);
	tcase_add_test(tcase, copies_of_the_library_fork_and_unload);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
