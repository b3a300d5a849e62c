/* SPDX-License-Identifier: MIT */
/*
 * Segments: creating, opening, attaching, removing, looking at them, as the
 * header says it, sentence by sentence, written from the header alone. What
 * several processes do to one segment is in contract_segment_share.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define PAGE ((uint64_t)4096)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct tol_segment *make(const char *name, uint64_t size_bytes,
				unsigned int flags)
{
	struct tol_segment_opts opts = { .flags = flags };
	struct tol_segment *s = NULL;

	ck_assert_int_eq(tol_segment_create(&s, name, size_bytes, &opts), 0);
	ck_assert_ptr_nonnull(s);
	return s;
}

static struct tol_segment *open_segment(const char *name)
{
	struct tol_segment *s = NULL;

	ck_assert_int_eq(tol_segment_open(&s, name, NULL), 0);
	return s;
}

static int try_attach(struct tol_segment *s, unsigned int flags, void *address,
		      void **ret_address)
{
	struct tol_attach_opts opts = { .flags = flags, .address = address };

	return tol_segment_attach(s, &opts, ret_address);
}

static unsigned char *attach(struct tol_segment *s, unsigned int flags)
{
	void *p = NULL;

	ck_assert_int_eq(try_attach(s, flags, NULL, &p), 0);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % PAGE, 0);
	return p;
}

static struct tol_segment_stat look(struct tol_segment *s)
{
	struct tol_segment_stat st;

	memset(&st, 0x5a, sizeof(st));
	ck_assert_int_eq(tol_segment_stat(s, &st), 0);
	return st;
}

static void unmake(const char *name)
{
	ck_assert_int_eq(tol_segment_remove(name, NULL), 0);
}

/* Return: 0, or -signal of a child that touches it */
static int touch_in_child(volatile unsigned char *p, bool write)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* sanitizers have their own */
		signal(SIGBUS, SIG_DFL);
		if (write)
			*p = 1;
		else
			(void)*p;
		_exit(0);
	}
	return support_wait(pid);
}

/* ---- create and open ------------------------------------------------------ */

START_TEST(create_refusals)
{
	static const unsigned int bad[] = { 4, 8, 1u << 31, ~0u };
	struct tol_segment_opts opts = { 0 };
	struct tol_segment *s = NULL;
	const char *name = _i ? "s" : NULL;

	ck_assert_int_eq(tol_segment_create(&s, name, 0, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, name,
					    TOL_SEGMENT_SIZE_MAX_BYTES + 1,
					    NULL),
			 -EFBIG);
	ck_assert_int_eq(tol_segment_create(&s, name, UINT64_MAX, NULL),
			 -EFBIG);
	ck_assert_int_eq(tol_segment_create(&s, "", 1, NULL), -EINVAL);
	for (int i = 0; i < COUNT(bad); i++) {
		opts.flags = bad[i];
		ck_assert_int_eq(tol_segment_create(&s, name, 1, &opts),
				 -EINVAL);
	}
	ck_assert_ptr_null(s);
	ck_assert_int_eq(tol_segment_open(&s, "s", NULL), -ENOENT);
	ck_assert_int_eq(tol_segment_remove("s", NULL), -ENOENT);
	tol_segment_close(NULL);
}
END_TEST

static const uint64_t sizes[] = {
	1,    2,        31,      32,  33,      PAGE - 1,
	PAGE, PAGE + 1, MIB - 1, MIB, MIB + 1, 64 * MIB,
};

static void check_content(struct tol_segment *s, uint64_t size)
{
	unsigned char *p = attach(s, 0);

	ck_assert_uint_eq(look(s).size_bytes, size);
	ck_assert_uint_ge(look(s).memory_bytes, size);
	for (uint64_t i = 0; i < size; i++)
		if (p[i])
			ck_abort_msg("byte %llu", (unsigned long long)i);
	p[0] = 1;
	p[size - 1] = 2;
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	p = attach(s, TOL_ATTACH_READONLY);
	ck_assert_uint_eq(p[size - 1], 2);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
}

START_TEST(size_is_exact_and_content_zero)
{
	struct tol_segment *s = make("s", sizes[_i], 0), *t;

	ck_assert_int_eq(tol_segment_create(&t, "s", 1, NULL), -EEXIST);
	check_content(s, sizes[_i]);
	tol_segment_close(s);
	s = open_segment("s");
	ck_assert_uint_eq(look(s).size_bytes, sizes[_i]);
	ck_assert_uint_eq(attach(s, 0)[sizes[_i] - 1], 2);
	tol_segment_close(s);
	unmake("s");
	s = make(NULL, sizes[_i], 0);
	check_content(s, sizes[_i]);
	tol_segment_close(s);
}
END_TEST

START_TEST(lazy_takes_memory_as_touched)
{
	const char *name = _i ? "s" : NULL;
	struct tol_segment *s = make(name, 64 * GIB, TOL_SEGMENT_LAZY);
	struct tol_segment_stat st = look(s);
	unsigned char *p = attach(s, 0);

	ck_assert_uint_eq(st.size_bytes, 64 * GIB);
	ck_assert_int_ne(st.is_lazy, 0);
	ck_assert_uint_le(st.memory_bytes, 64 << 10);
	p[0] = p[33 * GIB] = p[64 * GIB - 1] = 9;
	ck_assert_uint_ge(look(s).memory_bytes, 3 * PAGE);
	ck_assert_uint_eq(p[GIB], 0);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	p = attach(s, TOL_ATTACH_READONLY);
	ck_assert_uint_eq(p[33 * GIB], 9);
	tol_segment_close(s);
	if (name)
		unmake(name);
}
END_TEST

START_TEST(largest)
{
	struct tol_segment *s = make("s", TOL_SEGMENT_SIZE_MAX_BYTES,
				     TOL_SEGMENT_LAZY);

	ck_assert_int_eq(tol_segment_grow(s, TOL_SEGMENT_SIZE_MAX_BYTES + 1),
			 -EFBIG);
	ck_assert_int_eq(tol_segment_grow(s, UINT64_MAX), -EFBIG);
	attach(s, 0)[TOL_SEGMENT_SIZE_MAX_BYTES - 1] = 1;
	tol_segment_close(s);
	unmake("s");
}
END_TEST

/* What is missing is an error, here as with links. */
START_TEST(null_arguments)
{
	struct tol_segment_handle handle = { { 0 } };
	struct tol_segment *s = make("s", 1, 0), *t;
	struct tol_segment_stat st;

	ck_assert_int_eq(tol_segment_create(NULL, "t", 1, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_open(NULL, "s", NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_attach(s, NULL, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_grow(NULL, 1), -EINVAL);
	ck_assert_int_eq(tol_segment_seal(NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_stat(s, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_stat(NULL, &st), -EINVAL);
	ck_assert_int_eq(tol_segment_export(s, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_export(NULL, &handle), -EINVAL);
	ck_assert_int_eq(tol_segment_import(NULL, &handle), -EINVAL);
	ck_assert_int_eq(tol_segment_import(&t, NULL), -EINVAL);
	ck_assert_uint_eq(look(s).attach_count, 0);
	tol_segment_close(s);
	unmake("s");
}
END_TEST

/* Without our head it may be a segment that was damaged. */
START_TEST(open_what_is_none)
{
	static const char text[] =
		"a text of some other program, which is longer "
		"than any head of ours could possibly be";
	struct tol_segment *s = NULL;
	FILE *file = fopen(surroundings_path("text"), "we");

	ck_assert_uint_eq(fwrite(text, 1, sizeof(text), file), sizeof(text));
	fclose(file);
	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	ck_assert_int_eq(mkdir(surroundings_path("dir"), 0700), 0);
	ck_assert_int_eq(tol_segment_open(&s, "box", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_segment_remove("box", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_segment_open(&s, "dir", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_segment_remove("dir", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_segment_open(&s, "text", NULL), -EBADMSG);
	ck_assert_ptr_null(s);
	ck_assert_int_eq(rmdir(surroundings_path("dir")), 0);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(unlink(surroundings_path("text")), 0);
}
END_TEST

/* ---- attach and detach ---------------------------------------------------- */

START_TEST(attach_refusals)
{
	static const unsigned int bad[] = { 32, 64, 1u << 31, ~0u };
	struct tol_segment *s = make(NULL, 3 * PAGE, 0), *t;
	unsigned char *mine = attach(s, 0), *other;
	struct tol_attach_opts huge = { .reserve_bytes = UINT64_MAX };
	void *p = &s;

	for (int i = 0; i < COUNT(bad); i++)
		ck_assert_int_eq(try_attach(s, bad[i], NULL, &p), -EINVAL);
	ck_assert_int_eq(try_attach(s, 0, mine + 1, &p), -EINVAL);
	ck_assert_int_eq(try_attach(s, 0, mine, &p), -EEXIST);
	ck_assert_int_eq(try_attach(s, 0, mine + 2 * PAGE, &p), -EEXIST);
	ck_assert_int_lt(tol_segment_attach(s, &huge, &p), 0);
	huge.reserve_bytes = (uint64_t)1 << 50;
	ck_assert_int_lt(tol_segment_attach(s, &huge, &p), 0);
	ck_assert_int_eq(tol_segment_attach(NULL, NULL, &p), -EINVAL);
	ck_assert_ptr_eq(p, &s);
	ck_assert_uint_eq(look(s).attach_count, 1);
	t = make(NULL, 3 * PAGE, 0);
	other = attach(t, 0);
	ck_assert_int_eq(tol_segment_detach(s, other), -EINVAL);
	ck_assert_int_eq(tol_segment_detach(s, mine + PAGE), -EINVAL);
	ck_assert_int_eq(tol_segment_detach(s, mine + 1), -EINVAL);
	ck_assert_int_eq(tol_segment_detach(s, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_detach(NULL, mine), -EINVAL);
	ck_assert_int_eq(tol_segment_detach(s, mine), 0);
	ck_assert_int_eq(tol_segment_detach(s, mine), -EINVAL);
	tol_segment_close(s);
	tol_segment_close(t);
}
END_TEST

START_TEST(attach_at_an_address)
{
	struct tol_segment *s = make("s", 5 * PAGE + 1, 0);
	unsigned char *room = mmap(NULL, 64 * PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *p;

	ck_assert_int_eq(try_attach(s, 0, room + 8 * PAGE, &p), -EEXIST);
	/* Only the last page is in the way. */
	munmap(room, 13 * PAGE);
	ck_assert_int_eq(try_attach(s, 0, room + 8 * PAGE, &p), -EEXIST);
	munmap(room + 13 * PAGE, PAGE);
	ck_assert_int_eq(try_attach(s, 0, room + 8 * PAGE, &p), 0);
	ck_assert_ptr_eq(p, room + 8 * PAGE);
	memset(p, 1, 5 * PAGE + 1);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	ck_assert_int_eq(
		try_attach(s, TOL_ATTACH_READONLY, room + 8 * PAGE, &p), 0);
	tol_segment_close(s);
	munmap(room + 14 * PAGE, 50 * PAGE);
	unmake("s");
}
END_TEST

START_TEST(each_attachment_counts_once)
{
	struct tol_segment *s = make(_i ? "s" : NULL, 10, 0);
	unsigned char *p[40];
	uint32_t writers = 0;

	ck_assert_uint_eq(look(s).attach_count, 0);
	for (uint32_t i = 0; i < 40; i++) {
		p[i] = attach(s, i % 3 ? TOL_ATTACH_READONLY : 0);
		writers += i % 3 == 0;
		ck_assert_uint_eq(look(s).attach_count, i + 1);
		ck_assert_uint_eq(look(s).attach_write_count, writers);
	}
	p[0][0] = 77;
	for (uint32_t i = 0; i < 39; i++) {
		ck_assert_uint_eq(p[39][0], 77);
		ck_assert_int_eq(tol_segment_detach(s, p[i]), 0);
		ck_assert_uint_eq(look(s).attach_count, 39 - i);
	}
	/* The 40th, index 39, is one of those for writing. */
	ck_assert_uint_eq(look(s).attach_write_count, 1);
	tol_segment_close(s);
	if (_i) {
		s = open_segment("s");
		ck_assert_uint_eq(look(s).attach_count, 0);
		tol_segment_close(s);
		unmake("s");
	}
}
END_TEST

START_TEST(what_may_be_touched)
{
	struct tol_segment *s = make(NULL, 10, 0);
	struct tol_attach_opts reserve = { .reserve_bytes = 16 * PAGE };
	unsigned char *read_only = attach(s, TOL_ATTACH_READONLY);
	unsigned char *not_forked = attach(s, TOL_ATTACH_NOFORK);
	unsigned char *forked = attach(s, 0);
	void *reserved;

	ck_assert_int_eq(tol_segment_attach(s, &reserve, &reserved), 0);
	ck_assert_int_eq(touch_in_child(read_only, false), 0);
	ck_assert_int_eq(touch_in_child(read_only, true), -SIGSEGV);
	ck_assert_int_eq(touch_in_child(not_forked, false), -SIGSEGV);
	ck_assert_int_eq(touch_in_child(forked, true), 0);
	ck_assert_uint_eq(not_forked[0], 1);
	ck_assert_int_eq(touch_in_child((unsigned char *)reserved, true), 0);
	ck_assert_int_eq(
		touch_in_child((unsigned char *)reserved + PAGE, false),
		-SIGBUS);
	ck_assert_int_eq(
		touch_in_child((unsigned char *)reserved + 15 * PAGE, true),
		-SIGBUS);
	ck_assert_uint_eq(look(s).attach_count, 4);
	tol_segment_close(s);
}
END_TEST

START_TEST(options_that_may_be_refused)
{
	struct tol_segment *s = make(
		NULL, 4 * MIB, TOL_SEGMENT_LAZY | (_i ? TOL_SEGMENT_HUGE : 0));
	void *p = NULL;
	int err;

	ck_assert_int_eq(try_attach(s, TOL_ATTACH_PREFAULT, NULL, &p), 0);
	ck_assert_uint_ge(look(s).memory_bytes, 4 * MIB);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	err = try_attach(s, TOL_ATTACH_HUGE, NULL, &p);
	ck_assert_msg(err == 0 || err == -EOPNOTSUPP, "huge: %d", err);
	ck_assert_uint_eq(look(s).attach_count, err == 0);
	if (err == 0)
		ck_assert_int_eq(tol_segment_detach(s, p), 0);
	err = try_attach(s, TOL_ATTACH_LOCK, NULL, &p);
	ck_assert_msg(err == 0 || err == -EPERM, "lock: %d", err);
	ck_assert_uint_eq(look(s).attach_count, err == 0);
	tol_segment_close(s);
}
END_TEST

#ifndef SANITIZED
static int lock_beyond_limit(void *unused)
{
	struct rlimit none = { 0, 0 };
	struct tol_segment *s = NULL;
	struct tol_segment_stat st;
	void *p;

	(void)unused;
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (tol_segment_create(&s, NULL, 1 << 20, NULL))
		return 1;
	if (try_attach(s, TOL_ATTACH_LOCK, NULL, &p) != -EPERM)
		return 2;
	return tol_segment_stat(s, &st) || st.attach_count != 0;
}

START_TEST(lock_is_refused)
{
	ck_assert_int_eq(support_wait(support_fork(lock_beyond_limit, NULL)),
			 0);
}
END_TEST
#endif

/* ---- memory --------------------------------------------------------------- */

START_TEST(full_memory)
{
	struct tol_segment *s = NULL, *lazy;
	uint64_t empty, left;
	unsigned char *p;
	void *q = NULL;

	surroundings_mount(8 * MIB);
	empty = surroundings_free_bytes();
	ck_assert_int_eq(tol_segment_create(&s, "s", 8 * MIB + 1, NULL),
			 -ENOSPC);
	ck_assert_int_eq(tol_segment_open(&s, "s", NULL), -ENOENT);
	ck_assert_uint_eq(surroundings_free_bytes(), empty);
	s = make("s", 4 * MIB, 0);
	p = attach(s, 0);
	lazy = make("lazy", 64 * MIB, TOL_SEGMENT_LAZY);
	ck_assert_int_eq(tol_segment_grow(s, 16 * MIB), -ENOSPC);
	ck_assert_uint_eq(look(s).size_bytes, 4 * MIB);
	/* What others take later does not take what was reserved. */
	left = surroundings_free_bytes();
	ck_assert_int_eq(try_attach(lazy, TOL_ATTACH_PREFAULT, NULL, &q),
			 -ENOSPC);
	ck_assert_uint_eq(look(lazy).attach_count, 0);
	memset(p, 7, 4 * MIB);
	ck_assert_uint_le(surroundings_free_bytes(), left);
	tol_segment_close(lazy);
	unmake("lazy");
	/* Removed while attached: the memory comes back with the last one. */
	unmake("s");
	ck_assert_int_eq(tol_segment_open(&lazy, "s", NULL), -ENOENT);
	ck_assert_int_ne(look(s).is_removed, 0);
	ck_assert_uint_le(surroundings_free_bytes(), empty - 4 * MIB);
	ck_assert_uint_eq(p[4 * MIB - 1], 7);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	tol_segment_close(s);
	ck_assert_uint_eq(surroundings_free_bytes(), empty);
	surroundings_unmount();
}
END_TEST

static int attach_and_wait(void *context)
{
	int *fds = context;
	struct tol_segment *s = open_segment("s");
	char c;

	attach(s, 0);
	if (write(fds[3], "x", 1) != 1)
		return 1;
	return (int)read(fds[0], &c, 1);
}

/* Memory of a removed one is held by the last who has it, killed or not. */
START_TEST(memory_goes_with_the_last)
{
	struct tol_segment *s;
	uint64_t empty;
	int fds[4];
	char c;
	pid_t pid;

	surroundings_mount(8 * MIB);
	empty = surroundings_free_bytes();
	ck_assert_int_eq(pipe(fds) | pipe(fds + 2), 0);
	s = make("s", 2 * MIB, 0);
	pid = support_fork(attach_and_wait, fds);
	ck_assert_int_eq(read(fds[2], &c, 1), 1);
	ck_assert_uint_eq(look(s).attach_count, 1);
	unmake("s");
	tol_segment_close(s);
	ck_assert_uint_le(surroundings_free_bytes(), empty - 2 * MIB);
	s = make("s", 1, 0);
	ck_assert_uint_eq(look(s).attach_count, 0);
	ck_assert_int_eq(look(s).is_removed, 0);
	tol_segment_close(s);
	unmake("s");
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_uint_eq(surroundings_free_bytes(), empty);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	surroundings_unmount();
}
END_TEST

/* ---- stat ----------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int attach_read_only(void *name)
{
	attach(open_segment(name), TOL_ATTACH_READONLY);
	return 0;
}

static int attach_and_detach(void *name)
{
	struct tol_segment *s = open_segment(name);

	return tol_segment_detach(s, attach(s, 0));
}

START_TEST(stat_of_a_segment)
{
	int64_t before = now_ns() - 10000000;
	struct tol_segment *s = make("s", 5000, 0);
	struct tol_segment_stat st = look(s), later;
	pid_t pid;

	ck_assert_uint_eq(st.size_bytes, 5000);
	ck_assert(!st.is_private && !st.is_sealed && !st.is_lazy &&
		  !st.is_removed);
	ck_assert_uint_eq(st.mode, 0600);
	ck_assert_uint_eq(st.uid, getuid());
	ck_assert_uint_eq(st.gid, getgid());
	ck_assert_int_eq(st.creator_pid, getpid());
	ck_assert_int_eq(st.last_pid, 0);
	ck_assert(st.attached_unix_ns == 0 && st.detached_unix_ns == 0);
	ck_assert_int_ge(st.created_unix_ns, before);
	ck_assert_int_ge(st.changed_unix_ns, before);
	ck_assert_int_le(st.created_unix_ns, now_ns());
	ck_assert_int_eq(support_wait(support_fork(attach_read_only, "s")), 0);
	ck_assert_int_eq(look(s).last_pid, 0);
	pid = support_fork(attach_and_detach, "s");
	ck_assert_int_eq(support_wait(pid), 0);
	later = look(s);
	ck_assert_int_eq(later.last_pid, pid);
	ck_assert_int_ge(later.attached_unix_ns, st.created_unix_ns);
	ck_assert_int_ge(later.detached_unix_ns, later.attached_unix_ns);
	ck_assert_int_le(later.detached_unix_ns, now_ns());
	attach(s, 0);
	ck_assert_int_eq(look(s).last_pid, getpid());
	ck_assert_int_ge(look(s).attached_unix_ns, later.detached_unix_ns);
	ck_assert_int_eq(look(s).detached_unix_ns, later.detached_unix_ns);
	ck_assert_int_eq(chmod(surroundings_path("s"), 0640), 0);
	ck_assert_uint_eq(look(s).mode, 0640);
	ck_assert_int_ge(look(s).changed_unix_ns, later.changed_unix_ns);
	ck_assert_int_eq(look(s).created_unix_ns, st.created_unix_ns);
	ck_assert_int_eq(tol_segment_stat(NULL, &st), -EINVAL);
	tol_segment_close(s);
	unmake("s");
	s = make(NULL, 5000, 0);
	ck_assert_int_ne(look(s).is_private, 0);
	ck_assert_int_eq(look(s).creator_pid, getpid());
	ck_assert_uint_eq(look(s).mode, 0600);
	tol_segment_close(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_segment");
	TCase *tc = support_tcase("contract_segment");

	tcase_add_loop_test(tc, create_refusals, 0, 2);
	tcase_add_loop_test(tc, size_is_exact_and_content_zero, 0,
			    COUNT(sizes));
	tcase_add_loop_test(tc, lazy_takes_memory_as_touched, 0, 2);
	tcase_add_test(tc, largest);
	tcase_add_test(tc, null_arguments);
	tcase_add_test(tc, open_what_is_none);
	tcase_add_test(tc, attach_refusals);
	tcase_add_test(tc, attach_at_an_address);
	tcase_add_loop_test(tc, each_attachment_counts_once, 0, 2);
	tcase_add_test(tc, what_may_be_touched);
	tcase_add_loop_test(tc, options_that_may_be_refused, 0, 2);
#ifdef SANITIZED
	support_skip("lock_is_refused", "sanitizers make mlock() do nothing");
#else
	if (surroundings_can_setuid())
		tcase_add_test(tc, lock_is_refused);
	else
		support_skip("lock_is_refused", "needs root");
#endif
	if (surroundings_can_mount()) {
		tcase_add_test(tc, full_memory);
		tcase_add_test(tc, memory_goes_with_the_last);
	} else {
		support_skip("full_memory", "needs the right to mount");
		support_skip("memory_goes_with_the_last",
			     "needs the right to mount");
	}
	tcase_add_test(tc, stat_of_a_segment);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
