/* SPDX-License-Identifier: MIT */
/* How many messages are queued, by priority and tag; and what tol_mailbox_stat() says. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/link.h"
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

/* Random ways in and out, with the index in use from somewhere on. */
START_TEST(what_is_selected_is_gone)
{
	static struct depths depths;
	struct tol_message message, held;
	struct tol_link *link;
	uint64_t tag = 0, is_held = 0;
	char buf[64];

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	srandom(support_seed());
	for (int i = 0; i < 2000; i++) {
		struct tol_select select = {
			.by = TOL_SELECT_TAGS, .tags = &tag, .tags_count = 1,
		};
		const struct tol_take_opts opts = { .select = &select };
		long what = random() % 8;
		ssize_t n;

		tag = (uint64_t)random() % 5;
		if (what < 4 && depths.count < 15) {
			if (tol_send_message(link, buf, tag, TOL_NOWAIT,
					     &(struct tol_send_opts){
						.tag = tag,
						.priority = (uint32_t)what,
					     }) == 0)
				expect(&depths, tag, (uint32_t)what, tag, 1);
		} else if (what < 6) {
			n = tol_recv_select(link, &select, buf, sizeof(buf),
					    TOL_NOWAIT, &message);
			if (n >= 0)
				forget(&depths, &message, -1);
			else
				ck_assert_int_eq(n, -EAGAIN);
		} else if (what == 6 && !is_held) {
			is_held = tol_take(link, TOL_NOWAIT, &opts, &held) == 0;
			if (is_held)
				forget(&depths, &held, -1);
		} else if (is_held) {
			ck_assert_int_eq(tol_return(link, &held), 0);
			forget(&depths, &held, 1);
			is_held = 0;
		}
		if (i % 16 == 0)
			check(&depths, is_held);
	}
	check(&depths, is_held);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

#define LARGE_BYTES ((size_t)(1 << 20) + 1)

static int send_large(void *context)
{
	const struct tol_send_opts opts = { .tag = 3 };
	struct tol_link *link;
	char *body = malloc(LARGE_BYTES);

	(void)context;
	memset(body, 'x', LARGE_BYTES);
	if (tol_open(&link, "box", NULL) != 0)
		return 1;
	for (int i = 0; i < 3; i++)
		if (tol_send_message(link, body, LARGE_BYTES, TOL_NOWAIT,
				     &opts) != 0)
			return 2;
	/* Without an end: its files are for others to look after. */
	_exit(0);
}

static void count_event(const struct tol_clean_event *event, void *context)
{
	(void)event;
	++*(int *)context;
}

/* The body of a message in the index has a file of its own, whose sender is dead. */
START_TEST(a_file_stays_while_its_message_does)
{
	static const uint64_t none = 99;
	const struct tol_select select = {
		.by = TOL_SELECT_TAGS, .tags = &none, .tags_count = 1,
	};
	char *buf = malloc(LARGE_BYTES);
	static struct depths depths;
	struct tol_message message;
	struct tol_link *link;
	int events = 0;

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	ck_assert_int_eq(support_wait(support_fork(send_large, NULL)), 0);
	/* None of those is wanted: they go to the index. */
	ck_assert_int_eq(tol_recv_select(link, &select, NULL, 0, TOL_NOWAIT,
					 &message), -EAGAIN);
	for (int i = 0; i < 3; i++)
		expect(&depths, 3, 0, LARGE_BYTES, 1);
	check(&depths, 0);
	ck_assert_int_ge(tol_space_clean(NULL, 0, count_event, &events), 0);
	check(&depths, 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tol_recv(link, buf, LARGE_BYTES, TOL_NOWAIT),
				 (int)LARGE_BYTES);
		ck_assert_int_eq(buf[LARGE_BYTES - 1], 'x');
	}
	free(buf);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

#define BUSY_COUNT 3u
#define BUSY_MSGS 50

/* Sends and selects until the mailbox is ended. */
static int keep_busy(void *context)
{
	unsigned int number = *(unsigned int *)context;
	struct tol_link *link;
	char buf[64] = "";
	int more = 0;

	if (tol_open(&link, "box", NULL) != 0)
		return 1;
	for (unsigned int i = number;; i += BUSY_COUNT) {
		uint64_t tag = i % 7;
		const struct tol_select select = {
			.by = i % 2 ? TOL_SELECT_TAGS : TOL_SELECT_TAG_LOWEST,
			.last_tag = tag,
			.tags = &tag,
			.tags_count = 1,
		};
		const struct tol_send_opts opts = {
			.tag = i % 5, .priority = i % 3,
		};
		struct tol_message message;
		ssize_t n = tol_send_message(link, buf, 8, TOL_NOWAIT, &opts);

		if (n == -ESHUTDOWN)
			break;
		if (n != 0 && n != -EAGAIN)
			return 2;
		more += n == 0;
		n = tol_recv_select(link, &select, buf, sizeof(buf), TOL_NOWAIT,
				    &message);
		if (n < 0 && n != -EAGAIN && n != -ENODATA)
			return 3;
		more -= n >= 0;
		/* Not for ever more of what nobody selects. */
		if (more < BUSY_MSGS)
			continue;
		n = tol_recv(link, buf, sizeof(buf), TOL_NOWAIT);
		if (n < 0 && n != -EAGAIN && n != -ENODATA)
			return 4;
		more -= n >= 0;
	}
	tol_close(link);
	return 0;
}

static void add_up(const struct tol_depth *depth, void *context)
{
	ck_assert_uint_lt(depth->tag, 5);
	ck_assert_uint_lt(depth->priority, 3);
	ck_assert_uint_eq(depth->bytes, depth->msgs * 8);
	*(uint64_t *)context += depth->msgs;
}

/* What is under way may be missed or seen twice; never does it look damaged. */
START_TEST(while_others_are_busy)
{
	struct tol_mailbox_stat stat;
	struct tol_link *link;
	pid_t pids[BUSY_COUNT];

	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (unsigned int i = 0; i < BUSY_COUNT; i++)
		pids[i] = support_fork(keep_busy, &i);
	for (int i = 0; i < 400; i++) {
		uint64_t msgs = 0;

		ck_assert_int_eq(tol_mailbox_depth("box", NULL, add_up, &msgs),
				 0);
		ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL,
						  NULL), 0);
		ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
		/* At most twice, if it came and went and came again. */
		ck_assert_uint_le(msgs, 4 * BUSY_COUNT * BUSY_MSGS);
	}
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (unsigned int i = 0; i < BUSY_COUNT; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static void ignore(const struct tol_depth *depth, void *context)
{
	(void)depth;
	(void)context;
}

/* Words of the index that make no sense: an error, or other numbers. */
START_TEST(noise_in_the_index)
{
	struct mailbox_geometry geometry;
	struct tol_mailbox_stat stat;
	static struct depths depths;
	struct tol_link *link;
	int errors = 0, fd;
	char path[128];

	depths.count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", 64, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (int i = 0; i < 60; i++)
		send_one(link, &depths, (uint64_t)i, (uint32_t)i, 8);
	/* So that all are in the index. */
	ck_assert_int_eq(tol_recv(link, path, sizeof(path), TOL_NOWAIT), 8);
	geometry = link->geometry;
	tol_close(link);
	snprintf(path, sizeof(path), "%s/box", support_space);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	srandom(support_seed());
	for (int i = 0; i < 1000; i++) {
		uint64_t area = random() % 2 ? geometry.index_offset
					     : geometry.entries_offset;
		off_t offset = (off_t)(area + (uint64_t)random() % 512 * 8);
		uint64_t word, noise = (uint64_t)random() << (random() % 33);
		int err;

		ck_assert_int_eq(pread(fd, &word, sizeof(word), offset), 8);
		ck_assert_int_eq(pwrite(fd, &noise, sizeof(noise), offset), 8);
		err = tol_mailbox_depth("box", NULL, ignore, NULL);
		ck_assert(err == 0 || err == -EBADMSG);
		errors += err != 0;
		ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL,
						  NULL), 0);
		/* Half of it stays, and adds up. */
		if (i % 2)
			ck_assert_int_eq(pwrite(fd, &word, sizeof(word),
						offset), 8);
	}
	ck_assert_int_gt(errors, 0);
	close(fd);
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
	tcase_add_loop_test(tcase, what_is_selected_is_gone, 0,
			    CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, a_file_stays_while_its_message_does, 0,
			    CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, while_others_are_busy, 0, CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, noise_in_the_index, 0, 4);
	tcase_add_test(tcase, errors);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
