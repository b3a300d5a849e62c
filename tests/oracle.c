/* SPDX-License-Identifier: MIT */
/*
 * Random operations by several processes, some of them killed, and a plain model
 * that is asked afterwards whether the whole history can have been.
 *
 * Each process writes down what it does: what it begins, with the time, before the
 * call, and what came of it, with the time, after; judge.h says what is made of it.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "support.h"
#include "tolsey.h"

#define PROCESSES 6
#define STEPS 300		/* of each process */
#define LOG_MAX (STEPS * 2)
#define PARTIES (PROCESSES * 3 + 1)	/* with those that replace the killed */
#define BODY_MAX_BYTES 5000

struct diary {
	size_t count;
	int is_over;		/* the process has come to its end */
	struct entry entries[LOG_MAX];
};

/* What all processes see. */
static struct diary *diaries;
static uint64_t capacity_msgs;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what the processes do ---- */

struct actor {
	struct tol_link *link;
	struct diary *diary;
	struct tol_message held;
	int has_held;
	int wants_all;
	uint64_t next_id;
	unsigned int seed;
};

static struct entry *begin(struct actor *actor, enum op op)
{
	struct entry *entry = &actor->diary->entries[actor->diary->count];

	*entry = (struct entry){ .op = op, .begin_ns = now_ns() };
	__atomic_store_n(&actor->diary->count, actor->diary->count + 1,
			 __ATOMIC_RELEASE);
	return entry;
}

static int end(struct entry *entry, int64_t result)
{
	entry->end_ns = now_ns();
	entry->result = result < 0 ? result : 0;
	__atomic_store_n(&entry->is_done, 1, __ATOMIC_RELEASE);
	return result >= 0;
}

static struct tol_send_opts opts_of(uint64_t id)
{
	return (struct tol_send_opts){
		.tag = tag_of(id), .priority = priority_of(id),
	};
}

/* What a receive asks for: one tag, two, three, or all. */
static const struct tol_select *choose_tags(struct actor *actor,
					    struct entry *entry)
{
	static uint64_t tags[TAGS];
	static struct tol_select select;

	entry->wanted = ANY_TAG;
	if (!is_sorted || actor->wants_all || rand_r(&actor->seed) % 3 == 0)
		return NULL;
	select = (struct tol_select){ .by = TOL_SELECT_TAGS, .tags = tags };
	if (rand_r(&actor->seed) % 2) {
		select.by = TOL_SELECT_TAG_NOT;
		select.first_tag = (uint64_t)(rand_r(&actor->seed) % TAGS);
		entry->wanted &= ~(1u << select.first_tag);
		return &select;
	}
	entry->wanted = 1u + (unsigned int)rand_r(&actor->seed) % ANY_TAG;
	for (unsigned int tag = 0; tag < TAGS; tag++)
		if (entry->wanted & 1u << tag)
			tags[select.tags_count++] = tag;
	return &select;
}

/* The size follows from the number, and each byte from both. */
static size_t size_of(uint64_t id)
{
	return 8 + (id * 2654435761u >> 7) % (BODY_MAX_BYTES - 8);
}

static void make_body(unsigned char *body, uint64_t id)
{
	size_t size_bytes = size_of(id);

	for (size_t i = 8; i < size_bytes; i++)
		body[i] = (unsigned char)(id * 31 + i);
	memcpy(body, &id, 8);
}

static int is_whole(const unsigned char *body, size_t size_bytes, uint64_t *id)
{
	static unsigned char wanted[BODY_MAX_BYTES];

	if (size_bytes < 8)
		return 0;
	memcpy(id, body, 8);
	if (size_bytes != size_of(*id))
		return 0;
	make_body(wanted, *id);
	return memcmp(body, wanted, size_bytes) == 0;
}

static int64_t choose_time(struct actor *actor, struct entry *entry)
{
	entry->may_wait = rand_r(&actor->seed) % 2;
	return entry->may_wait ? rand_r(&actor->seed) % 300000 : TOL_NOWAIT;
}

static void do_send(struct actor *actor)
{
	static unsigned char body[BODY_MAX_BYTES];
	uint64_t id = actor->next_id++;
	const struct tol_send_opts opts = opts_of(id);
	struct entry *entry;
	struct tol_loan loan;
	int64_t timeout_ns;
	int err;

	if (rand_r(&actor->seed) % 2) {
		make_body(body, id);
		entry = begin(actor, OP_SEND);
		entry->id = id;
		timeout_ns = choose_time(actor, entry);
		end(entry, tol_send_message(actor->link, body, size_of(id),
					    timeout_ns, &opts));
		return;
	}
	if (tol_loan(actor->link, size_of(id), &loan) < 0)
		return;
	make_body(loan.body, id);
	entry = begin(actor, OP_SEND);
	entry->id = id;
	timeout_ns = choose_time(actor, entry);
	err = tol_post(actor->link, &loan, timeout_ns, &opts);
	end(entry, err);
	if (err < 0)
		tol_loan_drop(actor->link, &loan);
}

static void note(struct entry *entry, const void *body,
		 const struct tol_message *message)
{
	entry->is_whole = is_whole(body, message->size_bytes, &entry->id);
	entry->position = message->position;
	entry->tries = message->tries;
	entry->tag = message->tag;
}

static void do_recv(struct actor *actor)
{
	static unsigned char body[BODY_MAX_BYTES];
	struct tol_message message;
	struct entry *entry = begin(actor, OP_RECV);
	const struct tol_select *select = choose_tags(actor, entry);
	int64_t timeout_ns = choose_time(actor, entry);
	ssize_t n = select ? tol_recv_select(actor->link, select, body,
					     sizeof(body), timeout_ns, &message)
			   : tol_recv_message(actor->link, body, sizeof(body),
					      timeout_ns, &message);

	if (n >= 0)
		note(entry, body, &message);
	end(entry, n);
}

static void do_take(struct actor *actor)
{
	struct entry *entry = begin(actor, OP_TAKE);
	const struct tol_take_opts opts = {
		.select = choose_tags(actor, entry),
	};
	int err = tol_take(actor->link, choose_time(actor, entry), &opts,
			   &actor->held);

	if (err == 0)
		note(entry, actor->held.body, &actor->held);
	actor->has_held = end(entry, err);
}

static void do_end_hold(struct actor *actor)
{
	enum op op = rand_r(&actor->seed) % 3 ? OP_ACK : OP_RETURN;
	uint64_t id;
	struct entry *entry;

	memcpy(&id, actor->held.body, 8);
	entry = begin(actor, op);
	entry->id = id;
	end(entry, op == OP_ACK ? tol_ack(actor->link, &actor->held)
				: tol_return(actor->link, &actor->held));
	actor->has_held = 0;
}

static void do_one(struct actor *actor)
{
	if (actor->has_held) {
		do_end_hold(actor);
		return;
	}
	switch (rand_r(&actor->seed) % 7) {
	case 0:
	case 1:
	case 2:
		do_send(actor);
		break;
	case 3:
	case 4:
		do_recv(actor);
		break;
	default:
		do_take(actor);
	}
}

struct start {
	unsigned int seed;
	int number;
};

static int act(void *context)
{
	const struct start *start = context;
	struct actor actor = {
		.diary = &diaries[start->number],
		.seed = start->seed,
		.next_id = (uint64_t)start->number << 32,
	};

	if (tol_open(&actor.link, "box", NULL) < 0)
		return 1;
	for (int i = 0; i < STEPS; i++) {
		do_one(&actor);
		if (rand_r(&actor.seed) % 100 == 0) {
			if (actor.has_held)
				do_end_hold(&actor);
			tol_close(actor.link);
			if (tol_open(&actor.link, "box", NULL) < 0)
				return 1;
		}
	}
	if (actor.has_held)
		do_end_hold(&actor);
	tol_close(actor.link);
	actor.diary->is_over = 1;
	return 0;
}

static struct history *read_diaries(void)
{
	struct history *history = calloc(1, sizeof(*history));

	ck_assert_ptr_nonnull(history);
	static_assert(PARTIES * LOG_MAX <= JUDGE_ENTRIES_MAX, "judge.h");
	history->capacity_msgs = capacity_msgs;
	for (int i = 0; i < PARTIES; i++)
		for (size_t j = 0; j < diaries[i].count; j++)
			history->entries[history->count++] =
				&diaries[i].entries[j];
	return history;
}

/* ---- runs ---- */

static void begin_run(uint64_t capacity)
{
	diaries = mmap(NULL, PARTIES * sizeof(*diaries), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(diaries, MAP_FAILED);
	capacity_msgs = capacity;
	ck_assert_int_eq(tol_mailbox_create("box", capacity, NULL), 1);
}

static void end_run(void)
{
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	munmap(diaries, PARTIES * sizeof(*diaries));
}

/* What is left: into the last diary. */
static void drain(void)
{
	struct actor actor = {
		.diary = &diaries[PARTIES - 1], .seed = 1, .wants_all = 1,
	};

	ck_assert_int_eq(tol_open(&actor.link, "box", NULL), 0);
	do {
		do_recv(&actor);
	} while (actor.diary->entries[actor.diary->count - 1].result == 0);
	tol_close(actor.link);
}

/* Waits, by looking, until it has come that far. */
static void await_steps(const struct diary *diary, size_t count)
{
	while (__atomic_load_n(&diary->count, __ATOMIC_ACQUIRE) < count &&
	       !__atomic_load_n(&diary->is_over, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void play(unsigned int seed, int kills)
{
	struct start start[PARTIES];
	pid_t pids[PROCESSES];
	int party[PROCESSES], next = 0;

	for (int i = 0; i < PROCESSES + kills; i++) {
		int slot = i % PROCESSES;

		if (i >= PROCESSES) {
			await_steps(&diaries[party[slot]],
				    (size_t)rand_r(&seed) % STEPS);
			kill(pids[slot], SIGKILL);
			support_wait(pids[slot]);
		}
		start[next] = (struct start){ seed + (unsigned int)next, next };
		party[slot] = next;
		pids[slot] = support_fork(act, &start[next]);
		next++;
	}
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	drain();
}

static void run(unsigned int seed, uint64_t capacity, int kills)
{
	struct history *history;
	const char *wrong;

	begin_run(capacity);
	play(seed, kills);
	history = read_diaries();
	wrong = judge(history);
	ck_assert_msg(!wrong, "seed %u: %s", seed, wrong);
	free(history);
	end_run();
}

static const uint64_t capacities[] = {
	0, 1, 2, 3, 7, 64, TOL_CAPACITY_UNBOUNDED,
};

#define CAPACITIES ((int)(sizeof(capacities) / sizeof(capacities[0])))

START_TEST(nobody_is_killed)
{
	is_sorted = _i / CAPACITIES % 2;
	run(support_seed() + (unsigned int)_i, capacities[_i % CAPACITIES], 0);
}
END_TEST

START_TEST(some_are_killed)
{
	is_sorted = _i / CAPACITIES % 2;
	run(support_seed() + (unsigned int)_i, capacities[_i % CAPACITIES],
	    PROCESSES + _i % PROCESSES);
}
END_TEST

/* ---- the judge must object ---- */

static struct entry *find_delivery(int number)
{
	for (int i = 0; i < PARTIES; i++)
		for (size_t j = 0; j < diaries[i].count; j++) {
			struct entry *entry = &diaries[i].entries[j];

			if (is_delivery(entry) && entry->op == OP_RECV &&
			    entry->tries == 1 && number-- == 0)
				return entry;
		}
	ck_abort_msg("no such delivery");
	return NULL;
}

static void swap_times(struct entry *a, struct entry *b)
{
	struct entry c = *a;

	a->begin_ns = b->begin_ns;
	a->end_ns = b->end_ns;
	b->begin_ns = c.begin_ns;
	b->end_ns = c.end_ns;
}

static void lose_one(void)
{
	struct entry *entry = find_delivery(40);

	entry->result = -EAGAIN;
}

static void double_one(void)
{
	struct diary *last = &diaries[PARTIES - 1];

	last->entries[last->count] = *find_delivery(40);
	last->entries[last->count].begin_ns = now_ns();
	last->entries[last->count++].end_ns = now_ns();
}

static void invent_one(void)
{
	find_delivery(40)->id += 1u << 20;
}

static void tear_one(void)
{
	find_delivery(40)->is_whole = 0;
}

/* Two with many between them: the later one goes where the earlier one was. */
static void reorder_two(void)
{
	struct entry *a = find_delivery(3), *b = a;

	for (int i = 4; b->position < a->position + 100; i++)
		b = find_delivery(i);
	swap_times(a, b);
}

static void exceed(void)
{
	capacity_msgs = 1;
}

static void refuse(void)
{
	/* At the end, when all is empty. */
	diaries[PARTIES - 1].entries[diaries[PARTIES - 1].count++] =
		(struct entry){ .op = OP_SEND, .is_done = 1,
				.result = -EAGAIN, .begin_ns = now_ns(),
				.end_ns = now_ns() };
}

/* Received when its send had returned. */
static void queue_one(void)
{
	struct diary *last = &diaries[PARTIES - 1];
	struct entry send = {
		.op = OP_SEND, .is_done = 1, .id = UINT64_MAX,
		.begin_ns = now_ns(),
	};
	struct entry recv = {
		.op = OP_RECV, .is_done = 1, .id = UINT64_MAX, .tries = 1,
		.is_whole = 1, .position = UINT64_MAX, .wanted = ANY_TAG,
	};

	send.end_ns = now_ns();
	recv.begin_ns = send.end_ns + 1000;
	recv.end_ns = recv.begin_ns + 1000;
	last->entries[last->count++] = send;
	last->entries[last->count++] = recv;
}

/* The sender was told that nobody has it. */
static void deny_send(void)
{
	uint64_t id = find_delivery(40)->id;

	for (int i = 0; i < PARTIES; i++)
		for (size_t j = 0; j < diaries[i].count; j++)
			if (diaries[i].entries[j].op == OP_SEND &&
			    diaries[i].entries[j].id == id)
				diaries[i].entries[j].result = -ETIMEDOUT;
}

/* It was asked for another tag. */
static void want_another(void)
{
	struct entry *entry = find_delivery(40);

	entry->wanted &= ~(1u << entry->tag);
}

static uint64_t send_time_of(uint64_t id)
{
	for (int i = 0; i < PARTIES; i++)
		for (size_t j = 0; j < diaries[i].count; j++)
			if (diaries[i].entries[j].op == OP_SEND &&
			    diaries[i].entries[j].id == id)
				return (uint64_t)diaries[i].entries[j].end_ns;
	return 0;
}

/* One that waited is said to have come after one of a lower priority. */
static void prefer_lower(void)
{
	for (int i = 0;; i++) {
		struct entry *high = find_delivery(i), *low;

		if (priority_of(high->id) < 2)
			continue;
		for (int j = i + 1; j < i + 20; j++) {
			low = find_delivery(j);
			if (priority_of(low->id) < 2 &&
			    low->begin_ns > high->end_ns &&
			    send_time_of(high->id) < (uint64_t)high->begin_ns) {
				low->wanted = ANY_TAG;
				high->wanted = ANY_TAG;
				swap_times(high, low);
				return;
			}
		}
	}
}

static const struct fault {
	void (*make)(void);
	const char *verdict;
	uint64_t capacity;
	int is_sorted;
} faults[] = {
	{ lose_one, "a message was lost", 20, 0 },
	{ double_one, "a message was received twice", 20, 0 },
	{ invent_one, "a message that nobody sent", 20, 0 },
	{ tear_one, "a message was torn", 20, 0 },
	{ reorder_two, "a newer message went first", 20, 0 },
	{ exceed, "more were queued than the capacity", 20, 0 },
	{ refuse, "full, and it was not", 20, 0 },
	{ lose_one, "a message was lost", TOL_CAPACITY_UNBOUNDED, 0 },
	{ refuse, "full, and it was not", TOL_CAPACITY_UNBOUNDED, 0 },
	{ queue_one, "more were queued than the capacity", 0, 0 },
	{ deny_send, "a message that nobody sent", 0, 0 },
	{ double_one, "a message was received twice", 0, 0 },
	{ lose_one, "a message was lost", 20, 1 },
	{ want_another, "a message that was not wanted", 20, 1 },
	{ want_another, "a message that was not wanted", 0, 1 },
	{ prefer_lower, "a lower priority went first", 20, 1 },
};

START_TEST(judge_objects)
{
	struct history *history;
	const char *wrong;

	is_sorted = faults[_i].is_sorted;
	begin_run(faults[_i].capacity);
	play(support_seed(), 0);
	faults[_i].make();
	history = read_diaries();
	wrong = judge(history);
	ck_assert_msg(wrong != NULL, "no objection");
	ck_assert_str_eq(wrong, faults[_i].verdict);
	free(history);
	end_run();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("oracle");
	TCase *tests = support_tcase("oracle");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, nobody_is_killed, 0, 4 * CAPACITIES);
	tcase_add_loop_test(tests, some_are_killed, 0, 4 * CAPACITIES);
	tcase_add_loop_test(tests, judge_objects, 0,
			    (int)(sizeof(faults) / sizeof(faults[0])));
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
