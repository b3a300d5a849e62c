/* SPDX-License-Identifier: MIT */
/* tol_mailbox_verify() and tol_mailbox_repair() of a mailbox with an index. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/link.h"
#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define MESSAGES 12u

static const uint64_t capacities[] = { 16, TOL_CAPACITY_UNBOUNDED };
#define CAPACITIES_COUNT 2

static struct mailbox_geometry geometry;

static struct tol_link *open_box(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static void select_nothing(struct tol_link *link)
{
	const struct tol_select select = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 9000,
		.last_tag = 9001,
	};
	struct tol_message message;

	ck_assert_int_eq(tol_recv_select(link, &select, NULL, 0, TOL_NOWAIT,
					 &message), -EAGAIN);
}

/* Tags 0 to 11, priorities 0 to 2; the last two are still in the ring. */
static void make(uint64_t capacity_msgs)
{
	struct tol_link *link;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	link = open_box();
	geometry = link->geometry;
	for (uint64_t i = 0; i < MESSAGES; i++) {
		const struct tol_send_opts opts = {
			.tag = i, .priority = (uint32_t)(i % 3),
		};

		if (i == MESSAGES - 2)
			select_nothing(link);
		ck_assert_int_eq(tol_send_message(link, &i, sizeof(i),
						  TOL_NOWAIT, &opts), 0);
	}
	tol_close(link);
}

static void patch(uint64_t offset, uint64_t value)
{
	int fd = open(surroundings_path("box"), O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, &value, 8, (off_t)offset), 8);
	close(fd);
}

static uint64_t word_at(uint64_t offset)
{
	int fd = open(surroundings_path("box"), O_RDONLY | O_CLOEXEC);
	uint64_t value;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &value, 8, (off_t)offset), 8);
	close(fd);
	return value;
}

/* The order in which they are received. */
static void check_order(uint32_t lost_bits)
{
	struct tol_link *link = open_box();
	uint64_t number;

	for (uint32_t priority = 3; priority-- > 0;) {
		for (uint64_t i = priority; i < MESSAGES; i += 3) {
			struct tol_message message;

			if (lost_bits >> i & 1)
				continue;
			ck_assert_int_eq(tol_recv_message(link, &number, 8,
							  TOL_NOWAIT,
							  &message), 8);
			ck_assert_uint_eq(number, i);
			ck_assert_uint_eq(message.tag, i);
			ck_assert_uint_eq(message.priority, priority);
		}
	}
	ck_assert_int_eq(tol_recv(link, &number, 8, TOL_NOWAIT), -EAGAIN);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

START_TEST(sound)
{
	struct tol_mailbox_health health;

	make(capacities[_i]);
	ck_assert_int_eq(tol_mailbox_verify("box", NULL, &health, NULL, NULL),
			 0);
	ck_assert_uint_eq(health.readable_msgs, MESSAGES);
	ck_assert_int_eq(tol_mailbox_repair("box", NULL, &health, NULL, NULL),
			 0);
	check_order(0);
}
END_TEST

/* Where the index has what, and what is lost with it. */
static const struct damage {
	const char *what;
	uint64_t offset;	/* in the index's head, entries or nodes */
	uint64_t value;
	enum { HEAD, ENTRIES, NODES } area;
	uint32_t lost_bits;
} damages[] = {
	{ "count", 72, 5, HEAD, 0 },
	{ "root", 112, 77, HEAD, 0 },
	{ "root of senders", 120, 0, HEAD, 0 },
	{ "link", 3 * 64 + 24, 1, ENTRIES, 0 },
	{ "unit", 2 * 64, 0x7fffffff, ENTRIES, 1u << 2 },
	{ "position", 4 * 64 + 8, UINT64_MAX / 2, ENTRIES, 1u << 4 },
	{ "side", 0, 0, NODES, 0 },
};

START_TEST(damaged)
{
	const struct damage *d = &damages[_i];
	struct tol_mailbox_health health;
	uint64_t offset = d->offset;

	make(16);
	offset += d->area == HEAD ? geometry.index_offset
				  : d->area == ENTRIES ? geometry.entries_offset
						       : geometry.nodes_offset;
	ck_assert_uint_ne(word_at(offset), d->value);
	patch(offset, d->value);
	ck_assert_msg(tol_mailbox_verify("box", NULL, &health, NULL, NULL) == 1,
		      "%s", d->what);
	ck_assert_int_eq(tol_mailbox_repair("box", NULL, &health, NULL, NULL),
			 1);
	ck_assert_int_eq(tol_mailbox_verify("box", NULL, &health, NULL, NULL),
			 0);
	check_order(d->lost_bits);
}
END_TEST

/* Killed where a change is made and not carried out: that is no damage. */
static int receive_for_ever(void *context)
{
	struct tol_link *link = open_box();
	uint64_t number = 0;

	(void)context;
	for (;;) {
		const struct tol_send_opts opts = {
			.tag = number % 20, .priority = (uint32_t)number % 3,
		};

		int err = tol_send_message(link, &number, 8, TOL_NOWAIT, &opts);

		/* Those that were killed before have left theirs. */
		if ((err != 0 && err != -EAGAIN) ||
		    tol_recv(link, &number, 8, TOL_NOWAIT) != 8)
			return 1;
		number++;
	}
}

START_TEST(killed_in_between)
{
	struct tol_mailbox_health health;
	unsigned int in_between = 0;

	srand(support_seed());
	make(capacities[_i]);
	for (int round = 0; round < 150; round++) {
		pid_t pid = support_fork(receive_for_ever, NULL);
		int err;

		usleep((useconds_t)(rand() % 1500));
		kill(pid, SIGKILL);
		ck_assert_int_eq(support_wait(pid), -SIGKILL);
		in_between += (unsigned int)word_at(geometry.index_offset) & 1;
		err = tol_mailbox_verify("box", NULL, &health, NULL, NULL);
		ck_assert_msg(err == 0, "%d: %llu lost, %llu damaged", err,
			      (unsigned long long)health.lost_msgs,
			      (unsigned long long)health.damage_count);
		ck_assert_uint_ge(health.readable_msgs + (unsigned int)round,
				  MESSAGES - 1);
	}
	printf("%u of 150 were killed within a change\n", in_between);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doctor_sorted");
	TCase *tcase = support_tcase("doctor_sorted");

	tcase_add_loop_test(tcase, sound, 0, CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, damaged, 0,
			    (int)(sizeof(damages) / sizeof(damages[0])));
	tcase_add_loop_test(tcase, killed_in_between, 0, CAPACITIES_COUNT);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
