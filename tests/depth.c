/* SPDX-License-Identifier: MIT */
/* How many messages are queued, by priority and tag; and what tol_mailbox_stat() says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define DEPTHS_MAX 512

/* What should be there, and what is said to be there. */
struct depths {
	size_t count;
	struct tol_depth all[DEPTHS_MAX];
};

static const uint64_t capacities[] = { 64, 1000, TOL_CAPACITY_UNBOUNDED };

#define CAPACITIES_COUNT (int)(sizeof(capacities) / sizeof(capacities[0]))

static void note(const struct tol_depth *depth, void *context)
{
	struct depths *depths = context;

	ck_assert_uint_lt(depths->count, DEPTHS_MAX);
	depths->all[depths->count++] = *depth;
}

static bool is_before(const struct tol_depth *a, const struct tol_depth *b)
{
	return a->priority > b->priority ||
	       (a->priority == b->priority && a->tag < b->tag);
}

/* One message more, or, with @msgs -1, one less. */
static void expect(struct depths *depths, uint64_t tag, uint32_t priority,
		   uint64_t size_bytes, int msgs)
{
	struct tol_depth wanted = { .tag = tag, .priority = priority };
	size_t i = 0;

	while (i < depths->count && is_before(&depths->all[i], &wanted))
		i++;
	if (i == depths->count || is_before(&wanted, &depths->all[i])) {
		memmove(&depths->all[i + 1], &depths->all[i],
			(depths->count++ - i) * sizeof(wanted));
		depths->all[i] = wanted;
	}
	depths->all[i].msgs += (uint64_t)msgs;
	depths->all[i].bytes += msgs > 0 ? size_bytes : 0 - size_bytes;
	if (depths->all[i].msgs == 0)
		memmove(&depths->all[i], &depths->all[i + 1],
			(--depths->count - i) * sizeof(wanted));
}

static void check(const struct depths *wanted, uint64_t held_msgs)
{
	static struct depths got;
	struct tol_mailbox_stat stat;
	uint64_t msgs = 0, bytes = 0;

	got.count = 0;
	ck_assert_int_eq(tol_mailbox_depth("box", NULL, note, &got), 0);
	ck_assert_uint_eq(got.count, wanted->count);
	for (size_t i = 0; i < wanted->count; i++) {
		ck_assert_uint_eq(got.all[i].tag, wanted->all[i].tag);
		ck_assert_uint_eq(got.all[i].priority, wanted->all[i].priority);
		ck_assert_uint_eq(got.all[i].msgs, wanted->all[i].msgs);
		ck_assert_uint_eq(got.all[i].bytes, wanted->all[i].bytes);
		msgs += wanted->all[i].msgs;
		bytes += wanted->all[i].bytes;
	}
	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	ck_assert_uint_eq(stat.queued_msgs, msgs);
	ck_assert_uint_eq(stat.queued_bytes, bytes);
	ck_assert_uint_eq(stat.held_msgs, held_msgs);
}

static void send_one(struct tol_link *link, struct depths *depths, uint64_t tag,
		     uint32_t priority, size_t size_bytes)
{
	const struct tol_send_opts opts = { .tag = tag, .priority = priority };
	static char body[300000];

	ck_assert_uint_le(size_bytes, sizeof(body));
	ck_assert_int_eq(tol_send_message(link, body, size_bytes, TOL_NOWAIT,
					  &opts), 0);
	expect(depths, tag, priority, size_bytes, 1);
}

static void forget(struct depths *depths, const struct tol_message *message,
		   int msgs)
{
	expect(depths, message->tag, message->priority, message->size_bytes,
	       msgs);
}

START_TEST(every_queued_message_counts)
{
	struct tol_message taken[3], message;
	static struct depths depths;
	struct tol_link *link;
	char buf[64];

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	check(&depths, 0);
	for (uint64_t i = 0; i < 60; i++)
		send_one(link, &depths, i % 3 ? i % 7 : UINT64_MAX - i % 2,
			 i % 4 == 3 ? TOL_PRIORITY_MAX : (uint32_t)i % 2,
			 (size_t)i);
	check(&depths, 0);
	/* Held ones do not count; one that came back does. */
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &taken[i]),
				 0);
		forget(&depths, &taken[i], -1);
	}
	check(&depths, 3);
	ck_assert_int_eq(tol_return(link, &taken[1]), 0);
	forget(&depths, &taken[1], 1);
	check(&depths, 2);
	ck_assert_int_eq(tol_ack(link, &taken[0]), 0);
	check(&depths, 1);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_ge(tol_recv_message(link, buf, sizeof(buf),
						  TOL_NOWAIT, &message), 0);
		forget(&depths, &message, -1);
	}
	check(&depths, 1);
	tol_close(link);
	/* What was held has come back: the next one says so, and then it counts. */
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	ck_assert_int_ge(tol_peek(link, 0, buf, sizeof(buf), &message), 0);
	forget(&depths, &taken[2], 1);
	check(&depths, 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

/* A body in a file of its own has its size. */
START_TEST(large_bodies_count)
{
	static struct depths depths;
	struct tol_link *link;

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (int i = 0; i < 3; i++)
		send_one(link, &depths, 9, 0, 300000);
	check(&depths, 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

START_TEST(many_tags)
{
	struct tol_link *link;
	static struct depths depths;
	unsigned int seed = support_seed();

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", TOL_CAPACITY_UNBOUNDED,
					    NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	srandom(seed);
	for (int i = 0; i < 3000; i++)
		send_one(link, &depths, (uint64_t)random() % 200 << 55,
			 (uint32_t)random() % 2, 1);
	check(&depths, 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

START_TEST(errors)
{
	static struct depths depths;
	char path[128];

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_depth("ghost", NULL, note, &depths),
			 -ENOENT);
	ck_assert_int_eq(tol_mailbox_depth("a/b", NULL, note, &depths),
			 -EINVAL);
	ck_assert_int_eq(tol_mailbox_create("box", 4, NULL), 1);
	ck_assert_int_eq(tol_mailbox_depth("box", NULL, NULL, NULL), -EINVAL);
	snprintf(path, sizeof(path), "%s/box", support_space);
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_int_eq(tol_mailbox_depth("box", NULL, note, &depths),
			 -EBADMSG);
	ck_assert_uint_eq(depths.count, 0);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("depth");
	TCase *tcase = support_tcase("depth");

	tcase_add_loop_test(tcase, every_queued_message_counts, 0,
			    CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, large_bodies_count, 0, CAPACITIES_COUNT);
	tcase_add_test(tcase, many_tags);
	tcase_add_test(tcase, errors);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
