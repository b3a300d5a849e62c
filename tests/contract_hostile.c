/* SPDX-License-Identifier: MIT */
/*
 * Hostile bytes: every word of a mailbox is overwritten, by turns and at
 * random while others use it. What comes is an error code, never a crash, a
 * hang or an access outside of the mapping; and the name can be removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define CAPACITY_MSGS 5
#define SWEEP_BYTES 16384u
#define ROUNDS_COUNT 12
#define USES_COUNT 150

static uint64_t state;

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool is_one_of(long error, const int *errors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (error == -errors[i])
			return true;
	return error >= 0;
}

/* What bytes of others may lead to, by the header. */
static bool is_fine(long error)
{
	static const int errors[] = {
		EAGAIN, ETIMEDOUT, EMSGSIZE, EIDRM,  EBADMSG,
		ENOENT, EPROTO,    EUSERS,   ENOSPC, EMEDIUMTYPE,
		ESHUTDOWN, ENODATA,
	};

	return is_one_of(error, errors, sizeof(errors) / sizeof(errors[0]));
}

/* Every call once, for a moment each. Return: 0, or which failed */
static int use_once(struct tol_link *link)
{
	static char buf[300000];
	struct tol_mailbox_stat st;
	struct tol_message message;
	struct tol_link *second = NULL;
	int64_t wait_ns = 20000;

	if (link && !is_fine(tol_send(link, buf, 3000, TOL_NOWAIT)))
		return 1;
	if (link &&
	    !is_fine(tol_recv_message(link, buf, 2000, wait_ns, &message)))
		return 2;
	if (link && !is_fine(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT)))
		return 3;
	if (link && !is_fine(tol_send(link, buf, 33, wait_ns)))
		return 4;
	if (!is_fine(tol_mailbox_stat("a", NULL, &st, NULL, NULL)))
		return 5;
	if (!is_fine(tol_open(&second, "a", NULL)))
		return 6;
	if (second && !is_fine(tol_recv(second, buf, sizeof(buf), TOL_NOWAIT)))
		return 7;
	tol_close(second);
	return 0;
}

static struct tol_link *make(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_mailbox_create("a", CAPACITY_MSGS, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "a", NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
			tol_send(link, "0123456789", (size_t)i * 5, TOL_NOWAIT),
			0);
	return link;
}

/* Damaged or not, the name goes away, and whoever waits is not kept. */
static void remove_damaged(void)
{
	int err = tol_mailbox_remove("a", NULL);
	struct stat st;

	if (err == -EMEDIUMTYPE) /* now it says that it is a segment */
		err = tol_segment_remove("a", NULL);
	if (err == -EMEDIUMTYPE) /* or something that we do not know */
		err = unlink(surroundings_path("a"));
	/* -ENOENT: it said that it was being removed, and another did so. */
	ck_assert_msg(err == 0 || err == -EBADMSG || err == -EPROTO ||
			      err == -ENOENT,
		      "remove: %d", err);
	ck_assert_int_lt(stat(surroundings_path("a"), &st), 0);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
}

static uint64_t *map_file(size_t *ret_size_bytes)
{
	int fd = open(surroundings_path("a"), O_RDWR | O_CLOEXEC);
	struct stat st;
	void *words;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*ret_size_bytes = (size_t)st.st_size;
	words = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(words, MAP_FAILED);
	close(fd);
	return words;
}

static uint64_t hostile_word(uint64_t old, int kind)
{
	switch (kind) {
	case 0:
		return 0;
	case 1:
		return ~(uint64_t)0;
	case 2:
		return old ^ (uint64_t)1 << (next_random() & 63);
	case 3:
		return old + ((uint64_t)1 << 32);
	default:
		return next_random();
	}
}

/* Where the file has memory: everything else reads as 0 and is not used. */
static bool has_memory(const uint64_t *words, size_t i)
{
	unsigned char in_core = 0;

	return mincore((void *)((uintptr_t)&words[i] & ~(uintptr_t)4095), 1,
		       &in_core) == 0 &&
	       (in_core & 1);
}

START_TEST(every_word_by_turns)
{
	size_t size_bytes = SWEEP_BYTES, tried = 0;

	state = support_seed();
	for (size_t i = 0; i < SWEEP_BYTES / 8; i++) {
		struct tol_link *link = make();
		uint64_t *words = map_file(&size_bytes);
		int used = 0;

		if (has_memory(words, i)) {
			words[i] = hostile_word(words[i], _i);
			used = use_once(link);
			tried++;
		}
		munmap(words, size_bytes);
		ck_assert_msg(used == 0, "word %zu: call %d", i, used);
		tol_close(link);
		remove_damaged();
	}
	ck_assert_uint_ge(tried, 512);
}
END_TEST

static int use_often(void *unused)
{
	struct tol_link *link = NULL;

	(void)unused;
	for (int i = 0; i < USES_COUNT; i++) {
		int used;

		if (!link && !is_fine(tol_open(&link, "a", NULL)))
			return 9;
		used = use_once(link);
		if (used)
			return used;
		if (i % 16 == 15) {
			tol_close(link);
			link = NULL;
		}
	}
	return 0;
}

/* While three processes use it. */
START_TEST(random_words_while_in_use)
{
	size_t size_bytes;
	uint64_t *words;
	pid_t pids[3];

	state = support_seed() + (unsigned int)_i;
	tol_close(make());
	words = map_file(&size_bytes);
	for (int i = 0; i < 3; i++)
		pids[i] = support_fork(use_often, NULL);
	for (int n = 0; n < 2000; n++) {
		size_t i = next_random() % (SWEEP_BYTES / 8);

		/* Most damage is near: one word of the first pages. */
		if (has_memory(words, i))
			words[i] = hostile_word(words[i],
						(int)(next_random() % 5));
		if (n % 16 == 0)
			sched_yield();
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	munmap(words, size_bytes);
	remove_damaged();
}
END_TEST

/* All of the file is random, or a part of it. */
START_TEST(random_file)
{
	state = support_seed() + (unsigned int)_i;
	for (int round = 0; round < ROUNDS_COUNT; round++) {
		struct tol_link *link = make();
		size_t size_bytes, from, to;
		uint64_t *words = map_file(&size_bytes);
		int used;

		from = round % 4 ? next_random() % (SWEEP_BYTES / 8) : 0;
		to = round % 4 ? from + next_random() % 512 : SWEEP_BYTES / 8;
		for (size_t i = from; i < to && i < SWEEP_BYTES / 8; i++)
			if (has_memory(words, i))
				words[i] = next_random();
		used = use_once(link);
		munmap(words, size_bytes);
		ck_assert_msg(used == 0, "round %d: call %d", round, used);
		tol_close(link);
		remove_damaged();
	}
}
END_TEST

/* Once a call has said -EBADMSG, all calls say so, and stat tells. */
START_TEST(quarantine)
{
	struct tol_mailbox_opts there = { .if_missing = 1 };
	struct tol_link *link = make(), *second = NULL;
	struct tol_mailbox_stat st;
	uint64_t *words;
	size_t size_bytes;
	char buf[64];

	words = map_file(&size_bytes);
	/* All but the head, which would make it no mailbox at all. */
	for (size_t i = 512; i < SWEEP_BYTES / 8; i++)
		if (has_memory(words, i))
			words[i] = ~(uint64_t)0;
	munmap(words, size_bytes);
	ck_assert_int_eq(tol_recv(link, buf, 64, TOL_FOREVER), -EBADMSG);
	ck_assert_int_eq(tol_recv(link, buf, 64, TOL_NOWAIT), -EBADMSG);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), -EBADMSG);
	ck_assert_int_eq(tol_open(&second, "a", NULL), -EBADMSG);
	ck_assert_ptr_null(second);
	memset(&st, 0, sizeof(st));
	ck_assert_int_eq(tol_mailbox_stat("a", NULL, &st, NULL, NULL), 0);
	ck_assert_int_eq(st.state, TOL_MAILBOX_QUARANTINED);
	ck_assert_int_eq(tol_mailbox_create("a", 5, NULL), -EEXIST);
	ck_assert_int_eq(tol_mailbox_create("a", 5, &there), 0);
	tol_close(link);
	remove_damaged();
	ck_assert_int_eq(tol_mailbox_create("a", 5, NULL), 1);
	ck_assert_int_eq(tol_open(&second, "a", NULL), 0);
	ck_assert_int_eq(tol_send(second, "x", 1, TOL_NOWAIT), 0);
	tol_close(second);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}
END_TEST

/* ---- segments -------------------------------------------------------------- */

/* Every call on it. Return: 0, or which said what no caller expects */
static int use_segment(struct tol_segment *s)
{
	static const int errors[] = {
		EBADMSG, EPROTO, EMEDIUMTYPE, ESTALE, EPERM,
		EBUSY,   ENOENT, ENOSPC,      EFBIG,  EOPNOTSUPP,
	};
	const size_t count = sizeof(errors) / sizeof(errors[0]);
	struct tol_attach_opts prefault = { .flags = TOL_ATTACH_PREFAULT };
	struct tol_segment_handle handle;
	struct tol_segment_stat st;
	struct tol_segment *t = NULL;
	void *p = NULL;
	int err;

	if (!is_one_of(tol_segment_stat(s, &st), errors, count))
		return 1;
	err = tol_segment_attach(s, &prefault, &p);
	if (!is_one_of(err, errors, count))
		return 2;
	if (err == 0)
		((volatile char *)p)[99] = 1;
	if (!is_one_of(tol_segment_grow(s, 5000), errors, count))
		return 3;
	if (err == 0 && tol_segment_detach(s, p))
		return 4;
	if (tol_segment_export(s, &handle) == 0 &&
	    !is_one_of(tol_segment_import(&t, &handle), errors, count))
		return 5;
	tol_segment_close(t);
	t = NULL;
	if (!is_one_of(tol_segment_open(&t, "s", NULL), errors, count))
		return 6;
	if (t && !is_one_of(tol_segment_seal(t), errors, count))
		return 7;
	if (t && tol_segment_attach(t, NULL, &p) == 0)
		((volatile char *)p)[99] = 2;
	tol_segment_close(t);
	return 0;
}

#define SEGMENT_WORDS_COUNT 64

START_TEST(every_word_of_a_segment)
{
	state = support_seed();
	for (int i = 0; i < SEGMENT_WORDS_COUNT; i++) {
		struct tol_segment *s = NULL;
		uint64_t word = 0;
		int fd, used;

		ck_assert_int_eq(tol_segment_create(&s, "s", 100, NULL), 0);
		fd = open(surroundings_path("s"), O_RDWR | O_CLOEXEC);
		ck_assert_int_eq(pread(fd, &word, 8, i * 8), 8);
		word = hostile_word(word, _i);
		ck_assert_int_eq(pwrite(fd, &word, 8, i * 8), 8);
		close(fd);
		used = use_segment(s);
		ck_assert_msg(used == 0, "word %d: call %d", i, used);
		tol_segment_close(s);
		if (tol_segment_remove("s", NULL) == -EMEDIUMTYPE)
			ck_assert_int_eq(unlink(surroundings_path("s")), 0);
	}
}
END_TEST

/* ---- truncated ------------------------------------------------------------ */

static int use_truncated(void *link)
{
	(void)link;
	return use_often(NULL);
}

START_TEST(truncated_file)
{
	static const off_t kept[] = { 0,     1,     7,     8,    15,
				      16,    31,    63,    64,   127,
				      128,   4095,  4096,  4097, 8192,
				      16384, 65536, -4096, -1 };
	off_t size = kept[_i];
	struct tol_mailbox_stat st;
	struct tol_link *link = NULL;
	int whole, opened, result;

	tol_close(make());
	if (size < 0) {
		struct stat file;

		ck_assert_int_eq(stat(surroundings_path("a"), &file), 0);
		size += file.st_size;
	}
	ck_assert_int_eq(truncate(surroundings_path("a"), size), 0);
	whole = tol_mailbox_stat("a", NULL, &st, NULL, NULL);
	opened = tol_open(&link, "a", NULL);
	ck_assert_int_eq(whole, -EBADMSG);
	ck_assert_int_eq(opened, -EBADMSG);
	result = support_wait(support_fork(use_truncated, NULL));
	ck_assert_int_eq(result, 0);
	remove_damaged();
}
END_TEST

struct user {
	struct tol_link *link;
	atomic_int go;
};

static int use_when_told(void *context)
{
	struct user *user = context;
	struct tol_link *link = NULL;

	if (tol_open(&link, "a", NULL))
		return 8;
	/* The address sanitizer would make a report of it. */
	signal(SIGBUS, SIG_DFL);
	atomic_store(&user->go, 1);
	while (atomic_load(&user->go) == 1)
		sched_yield();
	return use_once(link);
}

/* "takes its users down with SIGBUS": that, or an error; nothing else. */
START_TEST(truncated_while_in_use)
{
	struct user *user = mmap(NULL, sizeof(*user), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int result;
	pid_t pid;

	tol_close(make());
	pid = support_fork(use_when_told, user);
	while (atomic_load(&user->go) == 0)
		sched_yield();
	ck_assert_int_eq(truncate(surroundings_path("a"), _i * 4096), 0);
	atomic_store(&user->go, 2);
	result = support_wait(pid);
	ck_assert_msg(result == 0 || result == -SIGBUS, "%d", result);
	munmap(user, sizeof(*user));
	remove_damaged();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_hostile");
	TCase *tc = support_tcase("contract_hostile");

	tcase_add_loop_test(tc, every_word_by_turns, 0, 5);
	tcase_add_loop_test(tc, random_words_while_in_use, 0, 30);
	tcase_add_loop_test(tc, random_file, 0, 4);
	tcase_add_test(tc, quarantine);
	tcase_add_loop_test(tc, every_word_of_a_segment, 0, 5);
	tcase_add_loop_test(tc, truncated_file, 0, 19);
	tcase_add_loop_test(tc, truncated_while_in_use, 0, 4);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
