/* SPDX-License-Identifier: MIT */
/* Looking into damaged mailboxes, and repairing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

#include "layout/mailbox.h"
#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define CAPACITY_MSGS 8
#define HOLDS_OFFSET (2 * 4096 + MAILBOX_PARTICIPANTS_MAX * \
		      sizeof(struct participant_layout))
#define RECORDS_OFFSET (HOLDS_OFFSET + MAILBOX_HOLDS_MAX * sizeof(uint64_t))
#define CHUNKS_OFFSET (RECORDS_OFFSET + MAILBOX_HOLDS_MAX * \
		       sizeof(struct hold_layout))
#define SLOT_OFFSET(index) (4096 + 8 * (uint64_t)(index))

static struct tol_link *open_box(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

static void send_number(struct tol_link *link, uint64_t number, size_t size)
{
	struct tol_send_opts opts = { .tag = number * 10 };
	char *body = calloc(1, size);

	memcpy(body, &number, sizeof(number));
	ck_assert_int_eq(tol_send_message(link, body, size, TOL_NOWAIT, &opts),
			 0);
	free(body);
}

/* Receives one that must be there. */
static uint64_t get(struct tol_link *link)
{
	static char body[2 << 20];
	struct tol_message message;
	uint64_t number;

	ck_assert_int_ge(tol_recv_message(link, body, sizeof(body), TOL_NOWAIT,
					  &message), 8);
	memcpy(&number, body, sizeof(number));
	ck_assert_uint_eq(message.tag, number * 10);
	ck_assert_int_eq(message.sender_pid, getpid());
	return number;
}

/* A few that were received, then numbers 3 to 7 at positions 3 to 7. */
static void make(uint64_t capacity_msgs)
{
	struct tol_mailbox_opts opts = { .mode = 0640 };
	struct tol_link *link;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, &opts), 1);
	link = open_box();
	for (uint64_t i = 0; i < 3; i++) {
		send_number(link, i, 8);
		ck_assert_uint_eq(get(link), i);
	}
	for (uint64_t i = 3; i < 8; i++)
		send_number(link, i, i == 6 ? 1500000 : 8 * i);
	tol_close(link);
}

static int count_hidden(void)
{
	DIR *dir = opendir(support_space);
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] == '.' && entry->d_name[1] != '.' &&
			 entry->d_name[1] != '\0';
	closedir(dir);
	return count;
}

static void patch(const void *bytes, size_t size, uint64_t offset)
{
	int fd = open(surroundings_path("box"), O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

static void patch_64(uint64_t value, uint64_t offset)
{
	patch(&value, sizeof(value), offset);
}

static uint64_t read_64(uint64_t offset)
{
	int fd = open(surroundings_path("box"), O_RDONLY | O_CLOEXEC);
	uint64_t value = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &value, 8, (off_t)offset), 8);
	close(fd);
	return value;
}

/* Of a bounded one with the largest pool. */
static uint64_t body_offset(uint64_t index)
{
	uint32_t chunks = (uint32_t)read_64(40);
	uint64_t pool = CHUNKS_OFFSET + chunks * sizeof(uint32_t);

	pool = (pool + MAILBOX_CHUNK_BYTES - 1) / MAILBOX_CHUNK_BYTES *
	       MAILBOX_CHUNK_BYTES;
	return pool + slot_unit(read_64(SLOT_OFFSET(index))) *
			      (uint64_t)MAILBOX_UNIT_BYTES;
}

/* What was reported. */
static struct {
	unsigned int readable, lost, damage;
	uint64_t lost_positions;	/* a bit for each */
	char last[200];
} told;

static void note(const struct tol_finding *finding, void *context)
{
	(void)context;
	ck_assert_ptr_nonnull(finding->where);
	ck_assert_ptr_nonnull(finding->what);
	if (finding->kind == TOL_FINDING_READABLE) {
		told.readable++;
		return;
	}
	ck_assert_str_ne(finding->what, "");
	snprintf(told.last, sizeof(told.last), "%s: %s", finding->where,
		 finding->what);
	if (finding->kind == TOL_FINDING_LOST) {
		told.lost++;
		if (finding->position < 64)
			told.lost_positions |= UINT64_C(1) << finding->position;
	} else {
		told.damage++;
	}
}

static int verify(struct tol_mailbox_health *health)
{
	int err;

	memset(&told, 0, sizeof(told));
	err = tol_mailbox_verify("box", NULL, health, note, NULL);
	if (err >= 0) {
		ck_assert_uint_eq(health->readable_msgs, told.readable);
		ck_assert_uint_eq(health->lost_msgs, told.lost);
		ck_assert_uint_eq(health->damage_count, told.damage);
		ck_assert_int_eq(health->is_sound, err == 0);
	}
	return err;
}

static int repair(struct tol_mailbox_health *health)
{
	memset(&told, 0, sizeof(told));
	return tol_mailbox_repair("box", NULL, health, note, NULL);
}

/* Repairs; then exactly the numbers of @kept are there, a bit for each. */
static void expect_repaired(uint64_t kept)
{
	struct tol_mailbox_health health;
	struct tol_mailbox_stat stat;
	struct tol_link *link;
	uint64_t number;

	ck_assert_msg(repair(&health) == 1, "%s", told.last);
	ck_assert_int_eq(health.is_repaired, 1);
	ck_assert_int_eq(count_hidden(), (kept & 1 << 6) != 0);
	ck_assert_int_eq(verify(&health), 0);
	ck_assert_uint_eq(health.readable_msgs,
			  (uint64_t)__builtin_popcountll(kept));
	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	ck_assert_uint_eq(stat.mode, 0640);
	link = open_box();
	for (number = 0; number < 64; number++)
		if (kept >> number & 1)
			ck_assert_uint_eq(get(link), number);
	ck_assert_int_eq(tol_recv(link, &number, 8, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(count_hidden(), 0);
	/* As good as a new one. */
	for (uint64_t i = 0; i < CAPACITY_MSGS; i++)
		send_number(link, i, 100);
	if (stat.capacity_msgs == CAPACITY_MSGS)
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY_MSGS; i++)
		ck_assert_uint_eq(get(link), i);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(count_hidden(), 0);
}

#define ALL_KEPT 0xf8u

START_TEST(sound_ones)
{
	static const uint64_t capacities[] = { CAPACITY_MSGS,
					       TOL_CAPACITY_UNBOUNDED };
	struct tol_mailbox_health health;

	for (int i = 0; i < 2; i++) {
		make(capacities[i]);
		ck_assert_msg(verify(&health) == 0, "%s", told.last);
		ck_assert_uint_eq(health.readable_msgs, 5);
		ck_assert_int_eq(repair(&health), 0);
		ck_assert_int_eq(health.is_repaired, 0);
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	}
}
END_TEST

/* Damage, one kind each, and what is left. */
static const struct damage {
	const char *name;
	uint64_t offset, value;
	int size;
	uint64_t kept;
	bool is_in_body;	/* offset into the body in slot 4 */
} damages[] = {
	{ "quarantine", 128, CONTROL_QUARANTINED, 8, ALL_KEPT, false },
	{ "state", 128, 77, 8, ALL_KEPT, false },
	{ "bell", 152, 5, 4, ALL_KEPT, false },
	{ "receivers", 136, 0xffffffff, 4, ALL_KEPT, false },
	{ "limit", 64, 9, 8, ALL_KEPT, false },
	{ "no limit", 64, 0, 8, ALL_KEPT, false },
	{ "tail hint", 256, 1000, 8, ALL_KEPT, false },
	{ "head hint", 384, 5, 8, ALL_KEPT, false },
	{ "wild tail", 256, UINT64_MAX, 8, ALL_KEPT, false },
	{ "participants", 512, 5000, 4, ALL_KEPT, false },
	{ "chunks", 516, 1u << 20, 4, ALL_KEPT, false },
	{ "few chunks", 516, 0, 4, ALL_KEPT, false },
	{ "holds", 524, 1u << 20, 4, ALL_KEPT, false },
	{ "slot", SLOT_OFFSET(5), UINT64_MAX, 8, ALL_KEPT & ~(1u << 5), false },
	{ "empty slot", SLOT_OFFSET(1), 0, 8, ALL_KEPT, false },
	{ "oldest slot", SLOT_OFFSET(3), 0, 8, ALL_KEPT & ~(1u << 3), false },
	{ "unit", SLOT_OFFSET(4) + 4, 0x3ffffff, 4, ALL_KEPT & ~(1u << 4),
	  false },
	{ "record", 8192, 7, 4, ALL_KEPT, false },
	{ "other record", 8192 + 40 * sizeof(struct participant_layout), 1, 4,
	  ALL_KEPT, false },
	{ "cell", HOLDS_OFFSET + 8 * 3, 7, 8, ALL_KEPT, false },
	{ "cell without one", HOLDS_OFFSET + 8 * 3, HOLD_RETURNED, 8, 0, false },
	{ "chunk word", CHUNKS_OFFSET + 4 * 9, 9999, 4, ALL_KEPT, false },
	{ "chunk of all", CHUNKS_OFFSET, 0, 4, 0, false },
	{ "body size", 0, UINT64_MAX, 8, ALL_KEPT & ~(1u << 4), true },
	{ "body flags", 16, 0xffff, 4, ALL_KEPT & ~(1u << 4), true },
	{ "body sender", 20, 4095, 4, ALL_KEPT & ~(1u << 4), true },
	{ "body pid", 24, 0, 4, ALL_KEPT & ~(1u << 4), true },
};

#define DAMAGES_COUNT ((int)(sizeof(damages) / sizeof(damages[0])))

START_TEST(each_kind_of_damage)
{
	const struct damage *damage = &damages[_i];
	struct tol_mailbox_health health;
	uint64_t offset = damage->offset;

	make(CAPACITY_MSGS);
	/* A cell that names unit 0 holds what slot 3 or another one has. */
	if (damage->kept == 0 && damage->size == 8) {
		struct hold_layout record = { .unit = 1u << 30, .position = 2 };

		patch(&record, sizeof(record), RECORDS_OFFSET +
						       3 * sizeof(record));
	}
	if (damage->is_in_body)
		offset += body_offset(4);
	patch(&damage->value, (size_t)damage->size, offset);
	ck_assert_msg(verify(&health) == 1, "%s: not found", damage->name);
	ck_assert_msg(health.damage_count + health.lost_msgs > 0 ||
			      health.state == TOL_MAILBOX_QUARANTINED, "%s",
		      damage->name);
	if (damage->kept == 0 && damage->size == 8)
		expect_repaired(ALL_KEPT);
	else
		expect_repaired(damage->kept);
}
END_TEST

START_TEST(what_is_lost_is_named)
{
	struct tol_mailbox_health health;

	make(CAPACITY_MSGS);
	patch_64(UINT64_MAX, SLOT_OFFSET(4));
	patch_64(UINT64_MAX, body_offset(7));
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_uint_eq(told.lost_positions, 1 << 4 | 1 << 7);
	ck_assert_uint_eq(told.lost, 2);
	expect_repaired(1 << 3 | 1 << 5 | 1 << 6);
}
END_TEST

START_TEST(two_in_the_same_memory)
{
	make(CAPACITY_MSGS);
	patch_64(slot_make(SLOT_FULL, 0,
			   slot_unit(read_64(SLOT_OFFSET(3)))), SLOT_OFFSET(5));
	expect_repaired(ALL_KEPT & ~(1u << 5));
}
END_TEST

START_TEST(a_file_that_is_gone)
{
	struct tol_mailbox_health health;
	DIR *dir = opendir(support_space);
	struct dirent *entry;

	make(CAPACITY_MSGS);
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, ".body.", 6) == 0)
			ck_assert_int_eq(unlink(surroundings_path(
						 entry->d_name)), 0);
	closedir(dir);
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_uint_eq(told.lost_positions, 1 << 6);
	expect_repaired(ALL_KEPT & ~(1u << 6));
}
END_TEST

START_TEST(an_unbounded_one)
{
	make(TOL_CAPACITY_UNBOUNDED);
	patch_64(CONTROL_QUARANTINED, 128);
	expect_repaired(ALL_KEPT);
	make(TOL_CAPACITY_UNBOUNDED);
	patch_64(UINT64_MAX, SLOT_OFFSET(4));
	expect_repaired(ALL_KEPT & ~(1u << 4));
}
END_TEST

/* Of an unbounded one: what only its ring has. */
static const struct {
	uint64_t offset, value, kept;
} unbounded_damages[] = {
	{ SLOT_OFFSET(5), 0, ALL_KEPT & ~(1u << 5) },
	{ SLOT_OFFSET(5), 1 | 1 << 2, ALL_KEPT & ~(1u << 5) },	/* received */
	{ SLOT_OFFSET(3), 0, ALL_KEPT & ~(1u << 3) },
	{ 64, 5, ALL_KEPT },			/* limit_msgs */
	{ 104, 5, ALL_KEPT },			/* shape_check */
	{ 208, 4096, ALL_KEPT },		/* punched_done */
	{ 256, UINT64_MAX, ALL_KEPT },		/* tail */
	{ 384, 6, ALL_KEPT },			/* head */
};

START_TEST(an_unbounded_ring)
{
	struct tol_mailbox_health health;

	make(TOL_CAPACITY_UNBOUNDED);
	patch_64(unbounded_damages[_i].value, unbounded_damages[_i].offset);
	ck_assert_int_eq(verify(&health), 1);
	expect_repaired(unbounded_damages[_i].kept);
}
END_TEST

/* All the rest would be looked for in wrong places. It is left as it was. */
START_TEST(a_wrong_capacity)
{
	struct tol_mailbox_health health;
	struct tol_link *link;

	make(CAPACITY_MSGS);
	patch_64(_i == 0 ? 0 : CAPACITY_MSGS - 2 + (uint64_t)_i, 32);
	ck_assert_int_eq(tol_open(&link, "box", NULL), -EBADMSG);
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_int_eq(repair(&health), -EBADMSG);
	patch_64(CAPACITY_MSGS, 32);
	patch_64(CONTROL_QUARANTINED, 128);
	expect_repaired(ALL_KEPT);
}
END_TEST

static int take_and_die(void *context)
{
	struct tol_take_opts *opts = context;
	struct tol_link *link = open_box();
	struct tol_message message;

	if (tol_take(link, TOL_NOWAIT, opts, &message) != 0)
		return 1;
	raise(SIGKILL);
	return 0;
}

/* Held, come back and dead letters; by processes that are gone. */
START_TEST(what_was_held)
{
	struct tol_mailbox_health health;
	struct tol_take_opts once = { .max_tries = 1 };
	struct tol_message message;
	struct tol_link *link, *dead;

	make(CAPACITY_MSGS);
	/* 3 is a dead letter, 4 was tried twice, 5 once, 6 is held. */
	link = open_box();
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, &once, &message), 0);
	ck_assert_int_eq(tol_return(link, &message), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_int_eq(tol_return(link, &message), 0);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_uint_eq(message.position, 4);
	ck_assert_uint_eq(message.tries, 2);
	tol_close(link);
	ck_assert_int_eq(support_wait(support_fork(take_and_die, NULL)),
			 -SIGKILL);
	patch_64(CONTROL_QUARANTINED, 128);
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_uint_eq(health.readable_msgs, 5);
	ck_assert_int_eq(repair(&health), 1);
	link = open_box();
	ck_assert_int_eq(tol_open(&dead, "box:dead", NULL), 0);
	ck_assert_uint_eq(get(dead), 3);
	tol_close(dead);
	ck_assert_int_eq(tol_take(link, TOL_NOWAIT, NULL, &message), 0);
	ck_assert_uint_eq(message.tag, 40);
	ck_assert_uint_ge(message.tries, 3);
	ck_assert_int_eq(tol_ack(link, &message), 0);
	for (uint64_t i = 5; i < 8; i++)
		ck_assert_uint_eq(get(link), i);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(count_hidden(), 0);
}
END_TEST

static int wait_and_die(void *context)
{
	struct tol_link *link = open_box();
	struct tol_message message;

	(void)context;
	if (tol_take(link, TOL_FOREVER, NULL, &message) != 0)
		return 1;
	raise(SIGKILL);
	return 0;
}

/* Nothing is queued, but what a dead one held. */
START_TEST(capacity_zero)
{
	struct tol_mailbox_opts opts = { .mode = 0640 };
	struct tol_send_opts send_opts = { .tag = 50 };
	struct tol_mailbox_health health;
	struct tol_link *link;
	uint64_t number = 5;
	pid_t pid;

	ck_assert_int_eq(tol_mailbox_create("box", 0, &opts), 1);
	ck_assert_msg(verify(&health) == 0, "%s", told.last);
	pid = support_fork(wait_and_die, NULL);
	link = open_box();
	ck_assert_int_eq(tol_send_message(link, &number, 8, TOL_FOREVER,
					  &send_opts), 0);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ck_assert_msg(verify(&health) == 0, "%s", told.last);
	ck_assert_uint_eq(health.readable_msgs, 1);
	tol_close(link);
	patch_64(UINT64_MAX, SLOT_OFFSET(5));
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_int_eq(repair(&health), 1);
	ck_assert_msg(verify(&health) == 0, "%s", told.last);
	ck_assert_uint_eq(health.readable_msgs, 1);
	link = open_box();
	ck_assert_uint_eq(get(link), 5);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
	pid = support_fork(wait_and_die, NULL);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_FOREVER), 0);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(count_hidden(), 0);
}
END_TEST

START_TEST(truncated)
{
	static const off_t sizes[] = { 0, 31, 100, 4096, 4096 + 40, 8192, 700000,
				       4800000 };
	struct tol_mailbox_health health;
	int err;

	make(CAPACITY_MSGS);
	ck_assert_int_eq(truncate(surroundings_path("box"), sizes[_i]), 0);
	err = verify(&health);
	if (sizes[_i] < 32) {
		ck_assert_int_eq(err, -EBADMSG);
	} else {
		ck_assert_int_eq(err, 1);
		ck_assert_uint_gt(told.damage, 0);
	}
	err = repair(&health);
	if (sizes[_i] < 4096) {
		ck_assert_int_eq(err, -EBADMSG);
		ck_assert_int_eq(unlink(surroundings_path("box")), 0);
		ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	} else {
		struct tol_link *link;

		ck_assert_msg(err == 1, "%d %s", err, told.last);
		link = open_box();
		send_number(link, 9, 8);
		while (tol_purge(link) > 0)
			;
		tol_close(link);
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	}
	ck_assert_int_eq(count_hidden(), 0);
}
END_TEST

START_TEST(others_have_it_open)
{
	struct tol_mailbox_health health;
	struct tol_link *link;

	make(CAPACITY_MSGS);
	link = open_box();
	ck_assert_int_eq(repair(&health), 0);
	patch_64(UINT64_MAX, SLOT_OFFSET(5));
	ck_assert_int_eq(repair(&health), -EBUSY);
	/* It was not even put in quarantine. */
	ck_assert_uint_eq(get(link), 3);
	ck_assert_uint_eq(get(link), 4);
	ck_assert_int_eq(tol_recv(link, &health, sizeof(health), TOL_NOWAIT),
			 -EBADMSG);
	ck_assert_int_eq(repair(&health), -EBUSY);
	tol_close(link);
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_int_eq(health.state, TOL_MAILBOX_QUARANTINED);
	expect_repaired(1 << 6 | 1 << 7);
}
END_TEST

START_TEST(not_mailboxes)
{
	struct tol_mailbox_health health;
	struct tol_segment *segment;
	int fd = open(surroundings_path("file"), O_CREAT | O_WRONLY, 0600);

	ck_assert_int_eq(write(fd, "0123456789012345678901234567890123456789",
			       40), 40);
	close(fd);
	ck_assert_int_eq(tol_segment_create(&segment, "segment", 100, NULL), 0);
	tol_segment_close(segment);
	ck_assert_int_eq(tol_mailbox_verify("file", NULL, &health, NULL, NULL),
			 -EMEDIUMTYPE);
	ck_assert_int_eq(tol_mailbox_repair("segment", NULL, &health, NULL,
					    NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_mailbox_verify("none", NULL, &health, NULL, NULL),
			 -ENOENT);
	ck_assert_int_eq(tol_mailbox_verify("a/b", NULL, &health, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(tol_mailbox_verify("file", NULL, NULL, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(unlink(surroundings_path("file")), 0);
	ck_assert_int_eq(tol_segment_remove("segment", NULL), 0);
}
END_TEST

/* Any bytes anywhere: no crash; and what was repaired is sound. */
START_TEST(hostile_bytes)
{
	static const struct { uint64_t offset; unsigned int words; } areas[] = {
		{ 112, 54 }, { 4096, 8 }, { 8192, 100 }, { HOLDS_OFFSET, 32 },
		{ RECORDS_OFFSET, 64 }, { CHUNKS_OFFSET, 16 }, { 0, 64 },
	};
	struct tol_mailbox_health health;
	unsigned int seed = support_seed() + (unsigned int)_i;

	for (int round = 0; round < 12; round++) {
		int err;

		make(_i % 2 ? TOL_CAPACITY_UNBOUNDED : CAPACITY_MSGS);
		for (int k = 0; k < 1 + round; k++) {
			int area = rand_r(&seed) % 7;
			uint64_t offset = areas[area].offset +
				8 * ((unsigned int)rand_r(&seed) %
				     areas[area].words);
			uint64_t value = (uint64_t)rand_r(&seed) << 33 ^
					 (uint64_t)rand_r(&seed);

			/* The last one: in a body. */
			if (area == 6 && _i % 2 == 0)
				offset += body_offset(3 + (unsigned int)round % 5);
			else if (area == 6)
				offset += 8192;
			if (rand_r(&seed) % 2)
				value >>= rand_r(&seed) % 64;
			/* In range, so that the pool is not left by pread(). */
			patch_64(value, offset % (UINT64_C(1) << 40));
		}
		err = verify(&health);
		ck_assert_msg(err >= 0, "verify: %d", err);
		err = repair(&health);
		ck_assert_msg(err >= 0, "repair: %d, %s", err, told.last);
		err = verify(&health);
		ck_assert_msg(err == 0, "after: %d, %s", err, told.last);
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
		tol_space_clean(NULL, 0, NULL, NULL);
		ck_assert_int_eq(count_hidden(), 0);
	}
}
END_TEST

/* Nothing is wrong while others are at it. */
static int busy(void *context)
{
	struct tol_link *link = open_box();
	struct tol_message message;
	uint64_t number = 0;

	(void)context;
	for (int i = 0; i < 4000; i++) {
		if (i % 2)
			tol_send(link, &number, 8, TOL_MSECS(1));
		else if (i % 4)
			tol_recv(link, &number, 8, TOL_MSECS(1));
		else if (tol_take(link, TOL_MSECS(1), NULL, &message) == 0)
			i % 8 ? tol_ack(link, &message)
			      : tol_return(link, &message);
	}
	tol_close(link);
	return 0;
}

START_TEST(while_others_use_it)
{
	struct tol_mailbox_health health;
	pid_t pids[2];
	int status;

	ck_assert_int_eq(tol_mailbox_create("box", 4, NULL), 1);
	for (int i = 0; i < 2; i++)
		pids[i] = support_fork(busy, NULL);
	for (int i = 0; i < 2; i++)
		while (waitpid(pids[i], &status, WNOHANG) == 0)
			ck_assert_msg(verify(&health) == 0, "%s", told.last);
	ck_assert_int_eq(verify(&health), 0);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

START_TEST(full_memory)
{
	struct tol_mailbox_health health;
	char *filler = calloc(1, 1 << 16);
	ssize_t n;
	int fd;

	surroundings_mount(8 << 20);
	make(CAPACITY_MSGS);
	patch_64(CONTROL_QUARANTINED, 128);
	fd = open(surroundings_path(".filler"), O_CREAT | O_WRONLY, 0600);
	do {
		n = write(fd, filler, 1 << 16);
	} while (n > 0);
	close(fd);
	free(filler);
	ck_assert_int_eq(repair(&health), -ENOSPC);
	ck_assert_int_eq(count_hidden(), 2);
	ck_assert_int_eq(verify(&health), 1);
	ck_assert_uint_eq(health.readable_msgs, 5);
	ck_assert_int_eq(unlink(surroundings_path(".filler")), 0);
	expect_repaired(ALL_KEPT);
	surroundings_unmount();
}
END_TEST

/* Another user: who may read it can look, only the owner can repair. */
static int look_as_another(void *context)
{
	struct tol_mailbox_health health;
	int err;

	(void)context;
	surroundings_become(SURROUNDINGS_UID, SURROUNDINGS_GID);
	err = verify(&health);
	if (err != 1 || health.readable_msgs != 4)
		return 1;
	err = repair(&health);
	return err == -EPERM || err == -EACCES ? 0 : 2;
}

START_TEST(two_users)
{
	struct tol_mailbox_health health;

	ck_assert_int_eq(chmod(support_space, 0777 | S_ISVTX), 0);
	make(CAPACITY_MSGS);
	ck_assert_int_eq(chmod(surroundings_path("box"), 0666), 0);
	patch_64(UINT64_MAX, SLOT_OFFSET(5));
	ck_assert_int_eq(support_wait(support_fork(look_as_another, NULL)), 0);
	/* Nothing of that is left, and root can do it for a user. */
	ck_assert_int_eq(count_hidden(), 1);
	ck_assert_int_eq(chmod(surroundings_path("box"), 0640), 0);
	ck_assert_int_eq(chown(surroundings_path("box"), SURROUNDINGS_UID,
			       SURROUNDINGS_GID), 0);
	ck_assert_int_eq(chown(support_space, SURROUNDINGS_UID, 0), 0);
	ck_assert_int_eq(repair(&health), 1);
	{
		struct stat st;

		ck_assert_int_eq(stat(surroundings_path("box"), &st), 0);
		ck_assert_uint_eq(st.st_uid, SURROUNDINGS_UID);
		ck_assert_uint_eq(st.st_gid, SURROUNDINGS_GID);
		ck_assert_uint_eq(st.st_mode & 0777, 0640);
	}
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	ck_assert_int_eq(chown(support_space, 0, 0), 0);
}
END_TEST

/* ---- killed in the middle ---- */

static int repair_traced(void *context)
{
	struct tol_mailbox_health health;

	(void)context;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		return 99;
	raise(SIGSTOP);
	return repair(&health) == 1 ? 0 : 1;
}

/* Reading changes nothing. */
static bool changes_something(pid_t pid)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <=
		    0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	switch ((long)info.entry.nr) {
	case __NR_pread64:
#ifdef __NR_brk
	case __NR_brk:
#endif
	case __NR_mmap:
	case __NR_munmap:
	case __NR_futex:
	case __NR_close:
		return false;
	default:
		return true;
	}
}

/* Return: whether it was killed; false it came to its end before */
static bool kill_at(int count)
{
	pid_t pid = support_fork(repair_traced, NULL);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
	for (;;) {
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			ck_assert_int_eq(WEXITSTATUS(status), 0);
			return false;
		}
		if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    changes_something(pid) && count-- == 0)
			break;
	}
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	return true;
}

static void kill_everywhere(uint64_t capacity_msgs)
{
	struct tol_mailbox_health health;
	struct tol_link *link;
	int count = 0, repaired = 0;
	bool was_killed;

	do {
		int err;

		make(capacity_msgs);
		patch_64(UINT64_MAX, SLOT_OFFSET(4));
		was_killed = kill_at(count++);
		/* The old one or the new one, whole. */
		err = verify(&health);
		ck_assert_int_ge(err, 0);
		ck_assert_uint_eq(health.readable_msgs, 4);
		ck_assert_uint_eq(health.lost_msgs, err ? 1 : 0);
		repaired += err == 0;
		ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
		ck_assert_msg(count_hidden() == 1, "killed at %d", count);
		if (err == 1)
			ck_assert_int_eq(repair(&health), 1);
		ck_assert_int_eq(count_hidden(), 1);
		link = open_box();
		for (uint64_t i = 3; i < 8; i++)
			if (i != 4)
				ck_assert_uint_eq(get(link), i);
		tol_close(link);
		ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
		ck_assert_int_eq(count_hidden(), 0);
	} while (was_killed);
	ck_assert_int_gt(count, 20);
	ck_assert_int_gt(repaired, 2);
	ck_assert_int_lt(repaired, count - 10);
}

START_TEST(killed_at_each_system_call)
{
	kill_everywhere(CAPACITY_MSGS);
}
END_TEST

START_TEST(killed_at_each_system_call_unbounded)
{
	kill_everywhere(TOL_CAPACITY_UNBOUNDED);
}
END_TEST

static bool can_trace(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	Suite *suite = suite_create("doctor");
	TCase *tcase = support_tcase("doctor");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, sound_ones);
	tcase_add_loop_test(tcase, each_kind_of_damage, 0, DAMAGES_COUNT);
	tcase_add_test(tcase, what_is_lost_is_named);
	tcase_add_test(tcase, two_in_the_same_memory);
	tcase_add_test(tcase, a_file_that_is_gone);
	tcase_add_test(tcase, an_unbounded_one);
	tcase_add_loop_test(tcase, an_unbounded_ring, 0, 8);
	tcase_add_loop_test(tcase, a_wrong_capacity, 0, 2);
	tcase_add_test(tcase, what_was_held);
	tcase_add_test(tcase, capacity_zero);
	tcase_add_loop_test(tcase, truncated, 0, 8);
	tcase_add_test(tcase, others_have_it_open);
	tcase_add_test(tcase, not_mailboxes);
	tcase_add_loop_test(tcase, hostile_bytes, 0, 8);
	tcase_add_test(tcase, while_others_use_it);
	if (surroundings_can_mount())
		tcase_add_test(tcase, full_memory);
	else
		support_skip("full_memory", "may not mount");
	if (surroundings_can_setuid())
		tcase_add_test(tcase, two_users);
	else
		support_skip("two_users", "is not root");
	if (can_trace()) {
		tcase_add_test(tcase, killed_at_each_system_call);
		tcase_add_test(tcase, killed_at_each_system_call_unbounded);
	} else {
		support_skip("killed_at_each_system_call", "may not trace");
		support_skip("killed_at_each_system_call_unbounded",
			     "may not trace");
	}
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
