/* SPDX-License-Identifier: MIT */
/* base/sys.h: what the calls promise beyond what the system's own do. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "alive.h"
#include "base/sys.h"
#include "support.h"
#include "surroundings.h"

#define PAGE 4096u
#define MIB (1u << 20)

static int space_fd;

static void open_space(void)
{
	space_fd = sys_open_dir(support_space);
	ck_assert_int_ge(space_fd, 0);
}

static void close_space(void)
{
	ck_assert_int_eq(sys_close(space_fd), 0);
}

/* A file of that size without a name. */
static int make_file(size_t size_bytes)
{
	int fd = sys_open_unnamed(space_fd, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sys_set_size(fd, size_bytes), 0);
	return fd;
}

static unsigned char *map(int fd, size_t size_bytes)
{
	void *p;

	ck_assert_int_eq(sys_map(fd, 0, size_bytes, true, NULL, &p), 0);
	return p;
}

/* How a child ends that writes there: -signal, or 0. */
static int write_in_child(volatile unsigned char *address)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*address = 1;
		_exit(0);
	}
	return support_wait(pid);
}

/* ---- files -------------------------------------------------------------------- */

START_TEST(descriptors_are_closed_by_exec)
{
	int fds[6];

	open_space();
	fds[0] = sys_open_unnamed(space_fd, 0600);
	ck_assert_int_eq(sys_link_unnamed(fds[0], space_fd, "a"), 0);
	fds[1] = sys_open_read(space_fd, "a");
	fds[2] = sys_open_write(space_fd, "a");
	fds[3] = sys_reopen(fds[0], true);
	fds[4] = sys_memfd("a");
	fds[5] = sys_open_peer_fd(getpid(), fds[0], true);
	ck_assert_int_eq(fcntl(space_fd, F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 6; i++) {
		ck_assert_msg(fcntl(fds[i], F_GETFD) == FD_CLOEXEC, "%d", i);
		ck_assert_int_eq(sys_close(fds[i]), 0);
	}
	ck_assert_int_eq(sys_close(fds[0]), -EBADF);
	ck_assert_int_eq(sys_unlink(space_fd, "a"), 0);
	close_space();
}
END_TEST

START_TEST(a_file_appears_whole_and_replaces_nothing)
{
	struct sys_stat by_fd, by_name;
	int first, second;

	open_space();
	umask(077);
	first = sys_open_unnamed(space_fd, 0666);
	second = sys_open_unnamed(space_fd, 0640);
	ck_assert_int_eq(sys_pwrite(first, "first", 5, 0), 5);
	ck_assert_int_eq(sys_stat_at(space_fd, "a", &by_name), -ENOENT);
	ck_assert_int_eq(sys_link_unnamed(first, space_fd, "a"), 0);
	ck_assert_int_eq(sys_link_unnamed(second, space_fd, "a"), -EEXIST);
	ck_assert_int_eq(symlinkat("nowhere", space_fd, "link"), 0);
	ck_assert_int_eq(sys_link_unnamed(second, space_fd, "link"), -EEXIST);
	ck_assert_int_eq(sys_link_unnamed(second, space_fd, "b"), 0);
	ck_assert_int_eq(sys_rename_new(space_fd, "a", "b"), -EEXIST);
	ck_assert_int_eq(sys_rename_new(space_fd, "a", "link"), -EEXIST);
	ck_assert_int_eq(sys_rename_new(space_fd, "a", "c"), 0);
	ck_assert_int_eq(sys_rename_new(space_fd, "a", "d"), -ENOENT);
	ck_assert_int_eq(sys_stat_fd(first, &by_fd), 0);
	ck_assert_int_eq(sys_stat_at(space_fd, "c", &by_name), 0);
	ck_assert_uint_eq(by_fd.inode, by_name.inode);
	ck_assert_uint_eq(by_fd.mode, S_IFREG | 0666);
	ck_assert_uint_eq(by_fd.size_bytes, 5);
	ck_assert_uint_eq(by_fd.links_count, 1);
	ck_assert_uint_eq(by_fd.uid, geteuid());
	ck_assert_int_eq(sys_stat_at(space_fd, "link", &by_name), 0);
	ck_assert(S_ISLNK(by_name.mode));
	ck_assert_int_eq(sys_unlink(space_fd, "c"), 0);
	ck_assert_int_eq(sys_unlink(space_fd, "c"), -ENOENT);
	ck_assert_int_eq(sys_unlink(space_fd, "b"), 0);
	ck_assert_int_eq(sys_unlink(space_fd, "link"), 0);
	sys_close(first);
	sys_close(second);
	close_space();
}
END_TEST

/* Neither holds up the opener, nor is followed. */
START_TEST(what_is_no_file_is_no_danger)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_space();
	ck_assert_int_eq(mkfifoat(space_fd, "fifo", 0600), 0);
	ck_assert_int_eq(mkdirat(space_fd, "dir", 0700), 0);
	ck_assert_int_eq(symlinkat("fifo", space_fd, "link"), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
		 support_space);
	ck_assert_int_eq(bind(socket_fd, (struct sockaddr *)&address,
			      sizeof(address)), 0);
	fd = sys_open_read(space_fd, "fifo");
	ck_assert_int_ge(fd, 0);
	sys_close(fd);
	fd = sys_open_write(space_fd, "fifo");
	ck_assert_int_ge(fd, 0);
	sys_close(fd);
	ck_assert_int_eq(sys_open_write(space_fd, "dir"), -EISDIR);
	ck_assert_int_eq(sys_open_read(space_fd, "link"), -ELOOP);
	ck_assert_int_eq(sys_open_write(space_fd, "link"), -ELOOP);
	ck_assert_int_eq(sys_open_read(space_fd, "socket"), -ENXIO);
	ck_assert_int_eq(sys_open_read(space_fd, "none"), -ENOENT);
	sys_unlink(space_fd, "fifo");
	sys_unlink(space_fd, "link");
	sys_unlink(space_fd, "socket");
	unlinkat(space_fd, "dir", AT_REMOVEDIR);
	close(socket_fd);
	close_space();
}
END_TEST

static int names_left;

static int count_name(const char *name, void *context)
{
	++*(int *)context;
	ck_assert(name[0] != '.' || !strcmp(name, ".hidden"));
	return --names_left == 0 ? 42 : 0;
}

START_TEST(a_directory_is_listed_from_its_start_each_time)
{
	static const char *const names[] = { "a", "b", ".hidden" };
	int count = 0;

	open_space();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(symlinkat("x", space_fd, names[i]), 0);
	for (int turn = 1; turn <= 2; turn++) {
		ck_assert_int_eq(sys_list_dir(space_fd, count_name, &count), 0);
		ck_assert_int_eq(count, 3 * turn);
	}
	names_left = 2;
	ck_assert_int_eq(sys_list_dir(space_fd, count_name, &count), 42);
	ck_assert_int_eq(count, 8);
	for (int i = 0; i < 3; i++)
		sys_unlink(space_fd, names[i]);
	close_space();
}
END_TEST

START_TEST(a_read_is_short_only_at_the_end)
{
	char text[32] = "";
	int fd, full = open("/dev/full", O_RDWR | O_CLOEXEC);

	open_space();
	fd = make_file(0);
	ck_assert_int_eq(sys_pwrite(fd, "0123456789", 10, 5), 10);
	ck_assert_int_eq(sys_pread(fd, text, sizeof(text), 0), 15);
	ck_assert_int_eq(memcmp(text, "\0\0\0\0\0" "0123456789", 15), 0);
	ck_assert_int_eq(sys_pread(fd, text, 4, 6), 4);
	ck_assert_int_eq(sys_pread(fd, text, 4, 15), 0);
	ck_assert_int_eq(sys_pread(fd, text, 4, 1000), 0);
	ck_assert_int_eq(sys_pread(space_fd, text, 4, 0), -EISDIR);
	ck_assert_int_eq(sys_pwrite(full, "x", 1, 0), -ENOSPC);
	close(full);
	sys_close(fd);
	close_space();
}
END_TEST

/* Over the limit the system would send a signal that kills. */
START_TEST(a_file_above_the_limit_is_an_error_and_no_signal)
{
	struct rlimit limit = { 2 * PAGE, 2 * PAGE };
	struct sys_stat st;
	int fd;

	open_space();
	fd = make_file(0);
	ck_assert_int_eq(sys_set_size(fd, (uint64_t)INT64_MAX + 1), -EFBIG);
	ck_assert_int_eq(sys_reserve(fd, INT64_MAX, 1), -EFBIG);
	ck_assert(sys_size_is_allowed(INT64_MAX));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(sys_size_is_allowed(2 * PAGE));
	ck_assert(!sys_size_is_allowed(2 * PAGE + 1));
	ck_assert_int_eq(sys_set_size(fd, 2 * PAGE + 1), -EFBIG);
	ck_assert_int_eq(sys_reserve(fd, PAGE, PAGE + 1), -EFBIG);
	ck_assert_int_eq(sys_stat_fd(fd, &st), 0);
	ck_assert_uint_eq(st.size_bytes, 0);
	ck_assert_int_eq(sys_reserve(fd, PAGE, PAGE), 0);
	ck_assert_int_eq(sys_stat_fd(fd, &st), 0);
	ck_assert_uint_eq(st.size_bytes, 2 * PAGE);
	ck_assert_uint_eq(st.memory_bytes, PAGE);
	sys_close(fd);
	close_space();
}
END_TEST

START_TEST(full_memory_is_an_error_and_no_signal)
{
	unsigned char *p;
	int fd;

	surroundings_mount(MIB);
	open_space();
	fd = make_file(4 * MIB);
	ck_assert_int_eq(sys_reserve(fd, 0, 2 * MIB), -ENOSPC);
	p = map(fd, 4 * MIB);
	ck_assert_int_eq(sys_populate(p, 4 * MIB, true), -ENOSPC);
	ck_assert_uint_gt(sys_memory_left(fd), 0);
	sys_unmap(p, 4 * MIB);
	sys_close(fd);
	close_space();
	surroundings_unmount();
}
END_TEST

/* ---- memory ------------------------------------------------------------------- */

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int c, count = 0;

	while ((c = fgetc(maps)) != EOF)
		count += c == '\n';
	fclose(maps);
	return count;
}

START_TEST(a_mapping_goes_nowhere_else_and_over_nothing)
{
	unsigned char *p;
	void *q;
	int fd;

	open_space();
	fd = make_file(2 * PAGE);
	p = map(fd, 2 * PAGE);
	ck_assert_int_eq(sys_map(fd, 0, PAGE, true, p, &q), -EEXIST);
	ck_assert_int_eq(sys_map_nothing(p, PAGE), -EEXIST);
	p[PAGE] = 7;
	ck_assert_int_eq(sys_map_over(fd, PAGE, PAGE, true, p), 0);
	ck_assert_uint_eq(p[0], 7);
	ck_assert_int_eq(sys_unmap(p, PAGE), 0);
	ck_assert_int_eq(sys_map_nothing(p, PAGE), 0);
	ck_assert_int_eq(write_in_child(p), -SIGSEGV);
	ck_assert_int_eq(sys_map_over(fd, 0, PAGE, false, p), 0);
	ck_assert_int_eq(write_in_child(p), -SIGSEGV);
	ck_assert_int_eq(write_in_child(p + PAGE), 0);
	ck_assert_int_eq(sys_keep_from_child(p + PAGE, PAGE), 0);
	ck_assert_int_eq(write_in_child(p + PAGE), -SIGSEGV);
	ck_assert_int_eq(sys_unmap(p, 2 * PAGE), 0);
	ck_assert_int_eq(sys_map(fd, 0, PAGE, true, p, &q), 0);
	ck_assert_ptr_eq(p, q);
	sys_unmap(q, PAGE);
	sys_close(fd);
	close_space();
}
END_TEST

START_TEST(an_aligned_mapping_leaves_nothing_around_it)
{
	static const size_t sizes[] = { 1, PAGE, 3 * PAGE, 2 * MIB };
	int fd, before;
	void *p;

	open_space();
	fd = make_file(2 * MIB);
	count_mappings();	/* stdio's own memory */
	before = count_mappings();
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(sys_map_aligned(fd, 0, sizes[i], true, 2 * MIB,
						 &p), 0);
		ck_assert_uint_eq((uintptr_t)p % (2 * MIB), 0);
		*(volatile unsigned char *)p = 1;
		ck_assert_int_le(count_mappings(), before + 1);
		ck_assert_int_eq(sys_unmap(p, sizes[i]), 0);
		ck_assert_int_eq(count_mappings(), before);
	}
	ck_assert_int_eq(sys_map_aligned(fd, 0, SIZE_MAX, true, 2 * MIB, &p),
			 -ENOMEM);
	sys_close(fd);
	close_space();
}
END_TEST

START_TEST(memory_is_taken_and_given_back_when_told)
{
	struct sys_stat st;
	unsigned char *p;
	int fd;

	open_space();
	fd = make_file(8 * PAGE);
	p = map(fd, 16 * PAGE);
	ck_assert_int_eq(sys_populate(p, 8 * PAGE, true), 0);
	ck_assert_int_eq(sys_stat_fd(fd, &st), 0);
	ck_assert_uint_eq(st.memory_bytes, 8 * PAGE);
	memset(p, 9, 8 * PAGE);
	ck_assert_int_eq(sys_punch(p + PAGE, 4 * PAGE), 0);
	ck_assert_int_eq(sys_stat_fd(fd, &st), 0);
	ck_assert_uint_eq(st.memory_bytes, 4 * PAGE);
	ck_assert_uint_eq(st.size_bytes, 8 * PAGE);
	ck_assert_uint_eq(p[0], 9);
	ck_assert_uint_eq(p[PAGE], 0);
	ck_assert_uint_eq(p[5 * PAGE], 9);
	/* Beyond the end of the file an access would be a SIGBUS. */
	ck_assert_int_eq(sys_populate(p + 8 * PAGE, PAGE, true), -ENOSPC);
	ck_assert_int_eq(sys_populate(p + 8 * PAGE, PAGE, false), -ENOSPC);
	sys_unmap(p, 16 * PAGE);
	sys_close(fd);
	close_space();
}
END_TEST

START_TEST(seals_hold)
{
	unsigned char *p;
	int fd = sys_memfd("sealed"), plain;

	open_space();
	plain = make_file(PAGE);
	ck_assert_int_lt(sys_is_sealed(plain), 1);
	ck_assert(!sys_cannot_shrink(plain));
	ck_assert_int_eq(sys_set_size(fd, 2 * PAGE), 0);
	ck_assert(!sys_cannot_shrink(fd));
	ck_assert_int_eq(sys_seal(fd, false), 0);
	ck_assert(sys_cannot_shrink(fd));
	ck_assert_int_eq(sys_is_sealed(fd), 0);
	ck_assert_int_eq(sys_set_size(fd, PAGE), -EPERM);
	ck_assert_int_eq(sys_set_size(fd, 3 * PAGE), 0);
	p = map(fd, PAGE);
	ck_assert_int_eq(sys_seal(fd, true), -EBUSY);
	sys_unmap(p, PAGE);
	ck_assert_int_eq(sys_seal(fd, true), 0);
	ck_assert_int_eq(sys_is_sealed(fd), 1);
	ck_assert_int_eq(sys_set_size(fd, 4 * PAGE), -EPERM);
	ck_assert_int_eq(sys_pwrite(fd, "x", 1, 0), -EPERM);
	ck_assert_int_eq(sys_map(fd, 0, PAGE, true, NULL, (void **)&p), -EPERM);
	sys_close(fd);
	sys_close(plain);
	close_space();
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
static int lock_as_other(void *address)
{
	struct rlimit one = { PAGE, PAGE }, none = { 0, 0 };

	if (geteuid() == 0)
		surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	must(setrlimit(RLIMIT_MEMLOCK, &one) == 0);
	must(sys_lock_memory(address, PAGE) == 0);
	must(sys_lock_memory(address, 2 * PAGE) == -EPERM);
	must(munlock(address, PAGE) == 0);
	must(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
	must(sys_lock_memory(address, PAGE) == -EPERM);
	return 0;
}

START_TEST(memory_that_may_not_be_locked_is_not_permitted)
{
	void *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_int_eq(support_wait(support_fork(lock_as_other, p)), 0);
	munmap(p, 2 * PAGE);
}
END_TEST
#endif

/* ---- others, and ourselves ------------------------------------------------------ */

START_TEST(a_descriptor_of_another_process_is_opened_anew)
{
	int fd = sys_memfd("peer"), fds[2], ours, value = 0;
	struct sys_stat st;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	ck_assert_int_eq(sys_pwrite(fd, "peer", 4, 0), 4);
	ck_assert_int_eq(sys_stat_peer_fd(pid, fd, &st), 0);
	ck_assert_uint_eq(st.size_bytes, 4);
	ck_assert_int_eq(sys_stat_peer_fd(pid, fds[0], &st), 0);
	ck_assert(S_ISFIFO(st.mode));
	ours = sys_open_peer_fd(pid, fd, false);
	ck_assert_int_ge(ours, 0);
	ck_assert_int_eq(sys_pread(ours, &value, 4, 0), 4);
	ck_assert_int_eq(memcmp(&value, "peer", 4), 0);
	ck_assert_int_eq(sys_pwrite(ours, "x", 1, 0), -EBADF);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_int_eq(sys_open_peer_fd(pid, fd, false), -ENOENT);
	ck_assert_int_eq(sys_stat_peer_fd(pid, fd, &st), -ENOENT);
	close(ours);
	close(fds[0]);
	close(fds[1]);
	close(fd);
}
END_TEST

START_TEST(a_process_knows_itself)
{
	time_t before = time(NULL);
	char name[16];
	cpu_set_t set;
	unsigned int cpus_count;

	ck_assert_int_eq(sys_pid(), getpid());
	ck_assert_uint_eq(sys_uid(), geteuid());
	ck_assert(!sys_is_privileged_exec());
	ck_assert_int_eq(prctl(PR_SET_NAME, "0123456789abcdefgh", 0, 0, 0), 0);
	sys_program_name(name);
	ck_assert_str_eq(name, "0123456789abcde");
	ck_assert_int_eq(prctl(PR_SET_NAME, "x", 0, 0, 0), 0);
	memset(name, 'y', sizeof(name));
	sys_program_name(name);
	for (int i = 1; i < 16; i++)
		ck_assert_int_eq(name[i], 0);
	/* Of the machine: a peer may run where this process may not. */
	cpus_count = sys_cpus_count();
	ck_assert_uint_ge(cpus_count, 1);
	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	ck_assert_uint_eq(sys_cpus_count(), cpus_count);
	ck_assert_uint_ne(sys_random(), sys_random());
	ck_assert(sys_unix_ns() >= before * INT64_C(1000000000));
	ck_assert(sys_unix_ns() < (time(NULL) + 1) * INT64_C(1000000000));
}
END_TEST

START_TEST(a_path_is_made_absolute)
{
	char path[200], small[8] = "unused";

	ck_assert_int_eq(chdir(support_space), 0);
	ck_assert_int_eq(sys_absolute_path(".", path, sizeof(path)), 0);
	ck_assert_str_eq(path, support_space);
	ck_assert_int_eq(sys_absolute_path(path, path, sizeof(path)), 0);
	ck_assert_str_eq(path, support_space);
	ck_assert_int_eq(sys_absolute_path(".", small, sizeof(small)),
			 -ENAMETOOLONG);
	ck_assert_str_eq(small, "unused");
	ck_assert_int_eq(sys_absolute_path("none", path, sizeof(path)),
			 -ENOENT);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sys");
	TCase *tcase = support_tcase("sys");

	tcase_add_test(tcase, descriptors_are_closed_by_exec);
	tcase_add_test(tcase, a_file_appears_whole_and_replaces_nothing);
	tcase_add_test(tcase, what_is_no_file_is_no_danger);
	tcase_add_test(tcase, a_directory_is_listed_from_its_start_each_time);
	tcase_add_test(tcase, a_read_is_short_only_at_the_end);
	tcase_add_test(tcase, a_file_above_the_limit_is_an_error_and_no_signal);
	tcase_add_test(tcase, a_mapping_goes_nowhere_else_and_over_nothing);
	tcase_add_test(tcase, an_aligned_mapping_leaves_nothing_around_it);
	tcase_add_test(tcase, memory_is_taken_and_given_back_when_told);
	tcase_add_test(tcase, seals_hold);
	tcase_add_test(tcase, a_descriptor_of_another_process_is_opened_anew);
	tcase_add_test(tcase, a_process_knows_itself);
	tcase_add_test(tcase, a_path_is_made_absolute);
	if (surroundings_can_mount())
		tcase_add_test(tcase, full_memory_is_an_error_and_no_signal);
	else
		support_skip("full_memory_is_an_error_and_no_signal",
			     "no right to mount");
#ifdef __SANITIZE_ADDRESS__
	support_skip("memory_that_may_not_be_locked_is_not_permitted",
		     "the sanitizer makes nothing of mlock()");
#else
	if (geteuid() != 0 || surroundings_can_setuid())
		tcase_add_test(tcase,
			       memory_that_may_not_be_locked_is_not_permitted);
	else
		support_skip("memory_that_may_not_be_locked_is_not_permitted",
			     "root cannot become another user");
#endif
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
