/* SPDX-License-Identifier: MIT */
/*
 * Hostile bytes where messages are held, came back or are dead letters, and where
 * sends and receives meet (capacity 0): words are overwritten by turns, at random
 * while in use, and as someone would who knows the layout. What comes is an
 * error or a result; never a crash, a hang, or an access outside of the mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout/mailbox.h"
#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define CAPACITY_MSGS 6
#define CELLS_COUNT 12u		/* that are looked at: all that are used */
#define KINDS_COUNT 6

static uint64_t state;

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool is_fine(int64_t error)
{
	static const int errors[] = {
		EAGAIN, ETIMEDOUT,   EMSGSIZE,	EIDRM,	 EBADMSG, ENOENT,
		EPROTO, EUSERS,	     ENOSPC,	ESTALE,	 ENODATA, ERANGE,
		ENOTSUP, EMEDIUMTYPE, ESHUTDOWN,
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (error == -errors[i])
			return true;
	return error >= 0;
}

/* ---- what is overwritten ---- */

struct target {
	struct mailbox_geometry geometry;
	unsigned char *bytes;
	size_t size_bytes;
};

static struct target map_target(void)
{
	struct target target = { 0 };
	struct mailbox_shape shape = { 0 };
	const struct mailbox_layout *head;
	int fd = open(surroundings_path("a"), O_RDWR | O_CLOEXEC);
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	target.size_bytes = (size_t)st.st_size;
	target.bytes = mmap(NULL, target.size_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(target.bytes, MAP_FAILED);
	close(fd);
	head = (const void *)target.bytes;
	shape.capacity_msgs = head->capacity_msgs;
	shape.pool_chunks = head->pool_chunks;
	shape.ring_shift = head->ring_shift;
	shape.has_heap = head->has_heap;
	ck_assert(mailbox_compute(&shape, &target.geometry));
	return target;
}

static void unmap_target(struct target *target)
{
	munmap(target->bytes, target->size_bytes);
}

static struct mailbox_layout *head_of(const struct target *target)
{
	return (void *)target->bytes;
}

static uint64_t *ring_of(const struct target *target)
{
	return (void *)(target->bytes + target->geometry.ring_offset);
}

static uint64_t *cells_of(const struct target *target)
{
	return (void *)(target->bytes + target->geometry.holds_offset);
}

static uint64_t *records_of(const struct target *target)
{
	return (void *)(target->bytes + target->geometry.hold_records_offset);
}

#define HEAD_WORDS (528u / 8)
#define RING_WORDS 8u
#define RECORD_WORDS (CELLS_COUNT * 8u)
#define POOL_WORDS 96u
#define WORDS_COUNT \
	(HEAD_WORDS + RING_WORDS + CELLS_COUNT + RECORD_WORDS + POOL_WORDS)

/* The words that matter to a mailbox that is hardly used, one after the other. */
static uint64_t *word_at(const struct target *target, size_t i)
{
	if (i < HEAD_WORDS)
		return (uint64_t *)(void *)target->bytes + i;
	i -= HEAD_WORDS;
	if (i < RING_WORDS)
		return ring_of(target) + i % CAPACITY_MSGS;
	i -= RING_WORDS;
	if (i < CELLS_COUNT)
		return cells_of(target) + i;
	i -= CELLS_COUNT;
	if (i < RECORD_WORDS)
		return records_of(target) + i;
	i -= RECORD_WORDS;
	return (uint64_t *)(void *)(target->bytes +
				    target->geometry.pool_offset) + i;
}

static uint64_t hostile_cell(void)
{
	return hold_make((unsigned int)next_random() & 7,
			 (uint32_t)next_random() & 3,
			 next_random() % 4, next_random() % 5 ? next_random() % 6
							      : next_random());
}

static uint64_t hostile_meeting(uint64_t lap)
{
	uint32_t request = (uint32_t)next_random() % 6;
	uint32_t offer = (uint32_t)next_random() % 6;

	if (next_random() % 4 == 0)
		request = (uint32_t)next_random() & MEET_NONE;
	if (next_random() % 4 == 0)
		offer = (uint32_t)next_random() & MEET_NONE;
	return meet_make((unsigned int)next_random() & 7,
			 lap + next_random() % 3 - 1, request, offer);
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
	case 4:
		return next_random() % 2 ? hostile_cell() : hostile_meeting(0);
	default:
		return next_random();
	}
}

/* ---- every call ---- */

static char buf[300000];
static volatile unsigned char sink;

static void read_all(const struct tol_message *message)
{
	const unsigned char *body = message->body;

	for (size_t i = 0; body && i < message->size_bytes; i++)
		sink = (unsigned char)(sink + body[i]);
}

/* Return: 0, or which said what no caller expects */
static int use_held(struct tol_link *link, const struct tol_message *held)
{
	struct tol_take_opts limits = { .lease_ns = 20000, .max_tries = 2 };
	struct tol_message taken;
	int err;

	if (!is_fine(tol_extend(link, held, TOL_MSECS(1))))
		return 11;
	err = tol_take(link, TOL_NOWAIT, next_random() % 2 ? &limits : NULL,
		       &taken);
	if (!is_fine(err))
		return 12;
	if (err == 0) {
		read_all(&taken);
		if (!is_fine(tol_extend(link, &taken, 0)))
			return 13;
		if (!is_fine(next_random() % 2 ? tol_return(link, &taken)
					       : tol_ack(link, &taken)))
			return 14;
	}
	err = tol_take(link, 20000, &limits, &taken);
	if (!is_fine(err))
		return 15;
	if (err == 0)
		read_all(&taken);
	return is_fine(next_random() % 2 ? tol_ack(link, held)
					 : tol_return(link, held)) ? 0 : 16;
}

static int use_dead_letters(void)
{
	struct tol_link *dead = NULL;
	struct tol_message taken;
	int err;

	if (!is_fine(tol_open(&dead, "a:dead", NULL)))
		return 21;
	if (!dead)
		return 0;
	if (!is_fine(tol_peek(dead, 0, buf, sizeof(buf), &taken)))
		return 22;
	err = tol_take(dead, TOL_NOWAIT, NULL, &taken);
	if (!is_fine(err))
		return 23;
	if (err == 0) {
		read_all(&taken);
		if (!is_fine(tol_return(dead, &taken)))
			return 24;
	}
	if (!is_fine(tol_recv(dead, buf, sizeof(buf), 20000)))
		return 25;
	if (!is_fine(tol_purge(dead)))
		return 26;
	tol_close(dead);
	return 0;
}

static int look(void)
{
	struct tol_mailbox_health health;
	struct tol_mailbox_stat st;

	if (!is_fine(tol_mailbox_stat("a", NULL, &st, NULL, NULL)))
		return 31;
	if (!is_fine(tol_mailbox_verify("a", NULL, &health, NULL, NULL)))
		return 32;
	return is_fine(tol_space_clean(NULL, 0, NULL, NULL)) ? 0 : 33;
}

static int use_once(struct tol_link *link, const struct tol_message *held)
{
	struct tol_message message;
	int used;

	for (uint64_t i = 0; i < 3; i++)
		if (!is_fine(tol_peek(link, i, buf, 100 + i * 100000,
				      &message)))
			return 1;
	used = use_held(link, held);
	if (used == 0)
		used = look();
	if (used)
		return used;
	if (!is_fine(tol_send(link, buf, 3000, 20000)))
		return 2;
	if (!is_fine(tol_send(link, buf, 70, TOL_NOWAIT)))
		return 3;
	if (!is_fine(tol_recv_message(link, buf, 10, 20000, &message)))
		return 4;
	if (!is_fine(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT)))
		return 5;
	used = use_dead_letters();
	if (used)
		return used;
	if (!is_fine(tol_resize(link, 1 + next_random() % CAPACITY_MSGS)))
		return 6;
	if (!is_fine(tol_purge(link)))
		return 7;
	if (next_random() % 2 && !is_fine(tol_shutdown(link)))
		return 8;
	return is_fine(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT)) ? 0 : 9;
}

/* ---- with messages that are held, came back, are dead letters ---- */

static void bury_one(struct tol_link *link)
{
	struct tol_take_opts once = { .max_tries = 1 };
	struct tol_message taken;

	ck_assert_int_eq(tol_take(link, 0, &once, &taken), 0);
	ck_assert_int_eq(tol_return(link, &taken), 0);
}

static struct tol_link *make_held(struct tol_message *ret_held)
{
	static const size_t sizes[] = { 30, 5000, 100, 70000, 0, 12 };
	struct tol_link *link = NULL;
	struct tol_message taken[2];

	ck_assert_int_eq(tol_mailbox_create("a", CAPACITY_MSGS, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "a", NULL), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ck_assert_int_eq(tol_send(link, buf, sizes[i], TOL_NOWAIT), 0);
	bury_one(link);
	ck_assert_int_eq(tol_take(link, 0, NULL, ret_held), 0);
	ck_assert_int_eq(tol_take(link, 0, NULL, &taken[0]), 0);
	ck_assert_int_eq(tol_take(link, 0, NULL, &taken[1]), 0);
	ck_assert_int_eq(tol_return(link, &taken[0]), 0);
	ck_assert_int_eq(tol_return(link, &taken[1]), 0);
	return link;
}

static void remove_damaged(void)
{
	int err = tol_mailbox_remove("a", NULL);

	if (err == -EMEDIUMTYPE)
		err = unlink(surroundings_path("a"));
	ck_assert_msg(err == 0 || err == -EBADMSG || err == -EPROTO ||
			      err == -ENOENT, "remove: %d", err);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
}

START_TEST(every_word_by_turns)
{
	state = support_seed();
	for (size_t i = 0; i < WORDS_COUNT; i++) {
		struct tol_message held;
		struct tol_link *link = make_held(&held);
		struct target target = map_target();
		uint64_t *word = word_at(&target, i);
		int used;

		*word = hostile_word(*word, _i);
		used = use_once(link, &held);
		ck_assert_msg(used == 0, "word %zu: call %d", i, used);
		unmap_target(&target);
		tol_close(link);
		remove_damaged();
	}
}
END_TEST

/* Several words at once. Quarantined or not, it goes on: that is a word as well. */
START_TEST(many_words)
{
	state = support_seed() + (unsigned int)_i;
	for (int round = 0; round < 60; round++) {
		struct tol_message held;
		struct tol_link *link = make_held(&held);
		struct target target = map_target();

		for (int n = 0; n < 10; n++) {
			size_t i = HEAD_WORDS + next_random() %
				   (WORDS_COUNT - HEAD_WORDS);
			uint64_t *word = word_at(&target, i);
			int used;

			*word = hostile_word(*word, (int)(next_random() %
							  KINDS_COUNT));
			head_of(&target)->control = CONTROL_LIVE;
			head_of(&target)->ended = 0;
			used = use_once(link, &held);
			ck_assert_msg(used == 0, "word %zu: call %d", i, used);
		}
		unmap_target(&target);
		tol_close(link);
		remove_damaged();
	}
}
END_TEST

/* ---- capacity 0 ---- */

static struct tol_link *make_meeting(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_mailbox_create("a", 0, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "a", NULL), 0);
	return link;
}

/* The hint says that all begins at that word. */
START_TEST(every_place)
{
	const struct tol_message none = { .hold = UINT64_C(1) << 63 | 1 };

	state = support_seed();
	for (size_t i = 0; i < MEET_SLOTS; i++) {
		struct tol_link *link = make_meeting();
		struct target target = map_target();
		uint64_t *word = ring_of(&target) + i;
		int used;

		/* So there is a cell. */
		ck_assert_int_eq(tol_recv(link, buf, 1, 1), -ETIMEDOUT);
		head_of(&target)->head = i;
		*word = next_random() % 2
				? hostile_meeting(next_random() % 2)
				: hostile_word(*word, (int)(next_random() %
							    KINDS_COUNT));
		used = use_once(link, &none);
		ck_assert_msg(used == 0, "place %zu: call %d", i, used);
		unmap_target(&target);
		tol_close(link);
		remove_damaged();
	}
}
END_TEST

static int use_often(void *unused)
{
	struct tol_link *link = NULL;

	(void)unused;
	state += (uint64_t)getpid();
	for (int i = 0; i < 80; i++) {
		struct tol_message held;
		int err, used;

		if (!link && !is_fine(tol_open(&link, "a", NULL)))
			return 100;
		if (!link)
			continue;
		err = tol_take(link, 100000, NULL, &held);
		if (!is_fine(err))
			return 101;
		if (err == 0)
			read_all(&held);
		else
			held = (struct tol_message){ .hold = next_random() };
		for (int n = 0; n < 3; n++)
			if (!is_fine(tol_send(link, buf, 200, 100000)))
				return 102;
		if (err == 0) {
			used = use_held(link, &held);
			if (used)
				return used;
		}
		used = i % 8 ? 0 : look();
		if (used)
			return used;
		if (i % 16 == 15) {
			tol_close(link);
			link = NULL;
		}
	}
	tol_close(link);
	return 0;
}

static uint64_t *random_word(const struct target *target)
{
	switch (next_random() % 4) {
	case 0:
		return &ring_of(target)[head_of(target)->head % MEET_SLOTS];
	case 1:
		return &ring_of(target)[next_random() % MEET_SLOTS];
	case 2:
		return &cells_of(target)[next_random() % CELLS_COUNT];
	default:
		return &records_of(target)[next_random() % RECORD_WORDS];
	}
}

/* Others meet meanwhile; what was quarantined is made to go on. */
START_TEST(random_words_while_in_use)
{
	struct target target;
	pid_t pids[4];

	state = support_seed() + (unsigned int)_i;
	tol_close(make_meeting());
	target = map_target();
	for (int i = 0; i < 4; i++)
		pids[i] = support_fork(use_often, NULL);
	for (int n = 0; n < 3000; n++) {
		uint64_t *word = random_word(&target);

		*word = hostile_word(*word, (int)(next_random() % KINDS_COUNT));
		head_of(&target)->control = CONTROL_LIVE;
		if (n % 4 == 0)
			sched_yield();
	}
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmap_target(&target);
	remove_damaged();
}
END_TEST

/* ---- by someone who knows the layout ---- */

static int receive_forever(void *unused)
{
	struct tol_link *link = NULL;
	ssize_t n;

	(void)unused;
	if (tol_open(&link, "a", NULL))
		return 255;
	n = tol_recv(link, buf, sizeof(buf), TOL_FOREVER);
	tol_close(link);
	return n < 0 ? (int)-n : 0;
}

/* Return: the cell of the one who waits at the first place */
static uint32_t await_request(const struct target *target)
{
	uint64_t word;

	do {
		sched_yield();
		word = __atomic_load_n(ring_of(target), __ATOMIC_ACQUIRE);
	} while (meet_state(word) != MEET_REQUEST);
	return meet_request(word);
}

/* A receiver's own cell tells of an offer that there cannot be. */
START_TEST(points_nowhere)
{
	static const unsigned int states[] = { HOLD_POINT, HOLD_FREE, HOLD_HELD };
	struct tol_link *link = make_meeting();
	struct target target = map_target();
	pid_t pid = support_fork(receive_forever, NULL);
	uint32_t cell = await_request(&target);
	int err;

	support_wait_asleep(pid);
	__atomic_store_n(&cells_of(&target)[cell],
			 hold_make(states[_i], 1, 1, 0xfff0), __ATOMIC_RELEASE);
	err = tol_send(link, "x", 1, TOL_NOWAIT);
	ck_assert_msg(err == 0 || err == -EBADMSG || err == -EAGAIN, "%d", err);
	ck_assert_int_eq(support_wait(pid), EBADMSG);
	unmap_target(&target);
	tol_close(link);
	remove_damaged();
}
END_TEST

/* A dead one is said to have met somebody who has nothing. */
START_TEST(dead_one_met_nobody)
{
	struct tol_link *link = make_meeting(), *heir = NULL;
	struct target target = map_target();
	pid_t pid = support_fork(receive_forever, NULL);
	uint32_t cell = await_request(&target);
	int err;

	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	ring_of(&target)[0] = meet_make(MEET_MATCHED, 0, cell, cell + 1);
	if (_i == 1)
		ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
	err = tol_open(&heir, "a", NULL);
	ck_assert_msg(is_fine(err), "%d", err);
	tol_close(heir);
	ck_assert_int_eq(tol_recv(link, buf, 1, TOL_NOWAIT), -EBADMSG);
	unmap_target(&target);
	tol_close(link);
	remove_damaged();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_hostile_holds");
	TCase *tc = support_tcase("contract_hostile_holds");

	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, every_word_by_turns, 0, KINDS_COUNT);
	tcase_add_loop_test(tc, many_words, 0, 6);
	tcase_add_test(tc, every_place);
	tcase_add_loop_test(tc, random_words_while_in_use, 0, 15);
	tcase_add_loop_test(tc, points_nowhere, 0, 3);
	tcase_add_loop_test(tc, dead_one_met_nobody, 0, 2);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
