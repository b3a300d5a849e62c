/* SPDX-License-Identifier: MIT */
/* Where bodies lie, and that they stay there for as long as somebody needs them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/link.h"
#include "core/pool.h"
#include "support.h"
#include "tolsey.h"

#define LARGE_BYTES ((size_t)2 << 20)

static struct tol_link *open_link(const char *name)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	return link;
}

static struct tol_link *make(const char *name, uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create(name, capacity_msgs, NULL), 1);
	return open_link(name);
}

static void unmake(struct tol_link *link, const char *name)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
}

static char *large_body(void)
{
	char *body = malloc(LARGE_BYTES);

	ck_assert_ptr_nonnull(body);
	memset(body, 'x', LARGE_BYTES);
	return body;
}

static void write_layout_version(uint32_t version)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/box", support_space);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, &version, sizeof(version),
				offsetof(struct object_layout, layout_version)),
			 sizeof(version));
	close(fd);
}

static void leave_large_message(void)
{
	struct tol_link *link = make("box", 4);
	char *body = large_body();

	ck_assert_int_eq(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT), 0);
	tol_close(link);
	free(body);
}

static void expect_large_message(void)
{
	struct tol_link *link = open_link("box");
	char *body = large_body();

	ck_assert_int_eq(tol_recv(link, body, LARGE_BYTES, TOL_NOWAIT),
			 (ssize_t)LARGE_BYTES);
	unmake(link, "box");
	free(body);
}

START_TEST(clean_keeps_what_newer_version_may_need)
{
	leave_large_message();
	write_layout_version(OBJECT_LAYOUT_VERSION + 1);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	write_layout_version(OBJECT_LAYOUT_VERSION);
	expect_large_message();
}
END_TEST

START_TEST(clean_without_descriptors_keeps_bodies)
{
	struct rlimit old, limit;

	leave_large_message();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (rlim_t count = 3; count < 24; count++) {
		limit = old;
		limit.rlim_cur = count;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		tol_space_clean(NULL, 0, NULL, NULL);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	expect_large_message();
}
END_TEST

/* A receiver that cannot reach the space any more harms nobody else's mailbox. */
START_TEST(space_out_of_reach_is_no_damage)
{
	struct tol_mailbox_opts opts = { 0 };
	struct tol_open_opts open_opts = { 0 };
	char path[128], moved[128];
	struct tol_link *link;
	char *body = large_body();

	snprintf(path, sizeof(path), "%s/space", support_space);
	snprintf(moved, sizeof(moved), "%s/moved", support_space);
	opts.space = open_opts.space = path;
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(tol_mailbox_create("box", 4, &opts), 1);
	ck_assert_int_eq(tol_open(&link, "box", &open_opts), 0);
	ck_assert_int_eq(tol_send(link, body, LARGE_BYTES, TOL_NOWAIT), 0);
	ck_assert_int_eq(rename(path, moved), 0);
	ck_assert_int_eq(tol_recv(link, body, LARGE_BYTES, TOL_NOWAIT),
			 -ENOENT);
	ck_assert_int_eq(rename(moved, path), 0);
	ck_assert_int_eq(tol_recv(link, body, LARGE_BYTES, TOL_NOWAIT),
			 (ssize_t)LARGE_BYTES);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", &opts), 0);
	ck_assert_int_eq(rmdir(path), 0);
	free(body);
}
END_TEST

static int send_as_other(void *context)
{
	struct tol_link *link;
	char *body = large_body();
	int err;

	(void)context;
	if (setresuid(65534, 65534, 65534) < 0)
		return 99;
	link = open_link("box");
	err = tol_send(link, body, LARGE_BYTES, TOL_NOWAIT);
	tol_close(link);
	free(body);
	return -err;
}

/* In a space that all may write a large body is the file of another user. */
START_TEST(large_body_of_another_user)
{
	struct tol_mailbox_opts opts = { .mode = 0666 };
	struct tol_link *link;
	char *body = large_body();

	ck_assert_int_eq(chmod(support_space, 01777), 0);
	ck_assert_int_eq(tol_mailbox_create("box", 4, &opts), 1);
	ck_assert_int_eq(support_wait(support_fork(send_as_other, NULL)), 0);
	ck_assert_int_eq(setresuid(65533, 65533, 0), 0);
	link = open_link("box");
	ck_assert_int_eq(tol_recv(link, body, LARGE_BYTES, TOL_NOWAIT),
			 (ssize_t)LARGE_BYTES);
	tol_close(link);
	free(body);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 1);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static void pass_through(struct tol_link *link, size_t size_bytes)
{
	char *body = large_body();

	ck_assert_int_eq(tol_send(link, body, size_bytes, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv(link, body, size_bytes, TOL_NOWAIT),
			 (ssize_t)size_bytes);
	free(body);
}

/* A run of two chunks that small bodies were cut from is given back whole. */
START_TEST(closing_gives_all_chunks_back)
{
	struct tol_link *watcher = make("box", 4);
	struct tol_link *link = open_link("box");

	pass_through(link, 100000);
	pass_through(link, 1);
	pass_through(link, 1);
	tol_close(link);
	for (uint32_t i = 0; i < load_acquire_32(&watcher->head->chunks_high);
	     i++)
		ck_assert_uint_eq(load_acquire_32(&watcher->chunks[i]), 0);
	unmake(watcher, "box");
}
END_TEST

/* As if it had been stopped since it saw that it is alone. */
START_TEST(trim_only_while_alone)
{
	struct tol_link *link = make("box", 4);
	struct tol_link *newcomer;

	pass_through(link, 1000000);
	newcomer = open_link("box");
	ck_assert_uint_eq(pool_trim(link), 0);
	tol_close(newcomer);
	pass_through(link, 1000000);
	ck_assert_uint_gt(pool_trim(link), 0);
	unmake(link, "box");
}
END_TEST

/* Free where the space is, and free for this process as well. */
static bool has_memory(uint64_t bytes)
{
	unsigned long long available_kb = 0;
	struct statvfs fs;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &available_kb) == 1)
			break;
	if (file)
		fclose(file);
	return available_kb * 1024 > 2 * bytes + bytes / 4 &&
	       statvfs(support_space, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize > bytes + bytes / 16;
}

/* A number every 64 KiB, and in the last bytes. */
static void stamp(char *body, uint64_t size_bytes)
{
	for (uint64_t at = 0; at + 8 <= size_bytes; at += 65536)
		memcpy(body + at, &at, 8);
	memcpy(body + size_bytes - 8, &size_bytes, 8);
}

static bool is_stamped(const char *body, uint64_t size_bytes)
{
	uint64_t number;

	for (uint64_t at = 0; at + 16 <= size_bytes; at += 65536) {
		memcpy(&number, body + at, 8);
		if (number != at)
			return false;
	}
	memcpy(&number, body + size_bytes - 8, 8);
	return number == size_bytes;
}

/* In place, back, and then copied. */
START_TEST(four_gibibytes)
{
	uint64_t size_bytes = (UINT64_C(4) << 30) + 1;
	struct tol_message message;
	struct tol_link *link;
	struct tol_loan loan;
	char *copy;

	if (!has_memory(size_bytes))
		support_cannot("needs 9 GiB of memory, half of it in the space");
	link = make("box", 1);
	ck_assert_int_eq(tol_loan(link, size_bytes, &loan), 0);
	stamp(loan.body, size_bytes);
	ck_assert_int_eq(tol_post(link, &loan, TOL_NOWAIT, NULL), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_uint_eq(message.size_bytes, size_bytes);
	ck_assert(is_stamped(message.body, size_bytes));
	ck_assert_int_eq(tol_return(link, &message), 0);
	copy = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(copy, MAP_FAILED);
	ck_assert_int_eq(tol_recv(link, copy, size_bytes - 1, TOL_NOWAIT),
			 -EMSGSIZE);
	ck_assert_int_eq(tol_recv(link, copy, size_bytes, TOL_NOWAIT),
			 (ssize_t)size_bytes);
	ck_assert(is_stamped(copy, size_bytes));
	munmap(copy, size_bytes);
	unmake(link, "box");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bodies");
	TCase *tc = support_tcase("bodies");

	tcase_add_test(tc, clean_keeps_what_newer_version_may_need);
	tcase_add_test(tc, clean_without_descriptors_keeps_bodies);
	tcase_add_test(tc, space_out_of_reach_is_no_damage);
	if (geteuid() == 0)
		tcase_add_test(tc, large_body_of_another_user);
	else
		support_skip("large_body_of_another_user", "needs root");
	tcase_add_test(tc, closing_gives_all_chunks_back);
	tcase_add_test(tc, trim_only_while_alone);
	tcase_add_test(tc, four_gibibytes);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
