/* SPDX-License-Identifier: MIT */
/*
 * Random operations by several processes, some of them killed, and a plain model
 * that is asked afterwards whether the whole history can have been.
 *
 * Each process writes down what it does: what it begins, with the time, before the
 * call, and what came of it, with the time, after. So each operation took effect
 * at some moment between two times, and one that a killed process began may have,
 * or not. The judge knows nothing of how a mailbox works. With capacity 0 its count of
 * what is queued says that a send has not returned before its receive began.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define PROCESSES 6
#define STEPS 300		/* of each process */
#define LOG_MAX (STEPS * 2)
#define PARTIES (PROCESSES * 3 + 1)	/* with those that replace the killed */
#define BODY_MAX_BYTES 5000

enum op { OP_SEND = 1, OP_RECV, OP_TAKE, OP_ACK, OP_RETURN };

struct entry {
	enum op op;
	int is_done;		/* or its process was killed in it */
	int64_t begin_ns, end_ns;
	int64_t result;		/* 0, or -errno */
	uint64_t id;		/* of the message */
	uint64_t position;
	uint32_t tries;
	int is_whole;
	int may_wait;
};

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
	struct entry *entry;
	struct tol_loan loan;
	int64_t timeout_ns;
	int err;

	if (rand_r(&actor->seed) % 2) {
		make_body(body, id);
		entry = begin(actor, OP_SEND);
		entry->id = id;
		timeout_ns = choose_time(actor, entry);
		end(entry, tol_send(actor->link, body, size_of(id),
				    timeout_ns));
		return;
	}
	if (tol_loan(actor->link, size_of(id), &loan) < 0)
		return;
	make_body(loan.body, id);
	entry = begin(actor, OP_SEND);
	entry->id = id;
	timeout_ns = choose_time(actor, entry);
	err = tol_post(actor->link, &loan, timeout_ns, NULL);
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
}

static void do_recv(struct actor *actor)
{
	static unsigned char body[BODY_MAX_BYTES];
	struct tol_message message;
	struct entry *entry = begin(actor, OP_RECV);
	ssize_t n = tol_recv_message(actor->link, body, sizeof(body),
				     choose_time(actor, entry), &message);

	if (n >= 0)
		note(entry, body, &message);
	end(entry, n);
}

static void do_take(struct actor *actor)
{
	struct entry *entry = begin(actor, OP_TAKE);
	int err = tol_take(actor->link, choose_time(actor, entry), NULL,
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

/* ---- the judge ---- */

/* Everything that was written down about one message. */
struct life {
	uint64_t id;
	const struct entry *send;
	uint64_t position;
	int has_position;
	int finals;		/* received, or taken and done with */
	int has_doubt;		/* a call of a killed one may have ended it */
	const struct entry *first;	/* delivered for the first time */
	int is_first_known;	/* nobody had it before: tries is 1 */
};

struct history {
	const struct entry *entries[PARTIES * LOG_MAX];
	size_t count;
	struct life lives[PARTIES * LOG_MAX];
	size_t lives_count;
	int doubts;		/* calls of killed ones that take something */
	uint64_t capacity_msgs;
};

static int is_delivery(const struct entry *entry)
{
	return (entry->op == OP_RECV || entry->op == OP_TAKE) &&
	       entry->is_done && entry->result == 0;
}

static struct life *life_of(struct history *history, uint64_t id)
{
	for (size_t i = 0; i < history->lives_count; i++)
		if (history->lives[i].id == id)
			return &history->lives[i];
	return NULL;
}

static const char *note_send(struct history *history, const struct entry *entry)
{
	struct life *life;

	if (entry->is_done && entry->result < 0)
		return NULL;
	if (life_of(history, entry->id))
		return "one number was sent twice";
	life = &history->lives[history->lives_count++];
	*life = (struct life){ .id = entry->id, .send = entry };
	return NULL;
}

static const char *note_delivery(struct history *history,
				 const struct entry *entry)
{
	struct life *life;

	if (!entry->is_whole)
		return "a message was torn";
	life = life_of(history, entry->id);
	if (!life)
		return "a message that nobody sent";
	if (life->has_position && life->position != entry->position)
		return "a message changed its position";
	life->has_position = 1;
	life->position = entry->position;
	life->finals += entry->op == OP_RECV;
	if (!life->first || entry->begin_ns < life->first->begin_ns) {
		life->first = entry;
		life->is_first_known = entry->tries == 1;
	}
	return NULL;
}

static const char *note_end(struct history *history, const struct entry *entry)
{
	struct life *life = life_of(history, entry->id);

	if (!life)
		return "the end of a message that nobody sent";
	if (!entry->is_done)
		life->has_doubt |= entry->op == OP_ACK;
	else if (entry->result < 0)
		return "what was held could not be ended";
	else
		life->finals += entry->op == OP_ACK;
	return NULL;
}

static const char *note_all(struct history *history)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < history->count && !wrong; i++)
		if (history->entries[i]->op == OP_SEND)
			wrong = note_send(history, history->entries[i]);
	for (size_t i = 0; i < history->count && !wrong; i++) {
		const struct entry *entry = history->entries[i];

		if (is_delivery(entry))
			wrong = note_delivery(history, entry);
		else if (entry->op == OP_RECV && !entry->is_done)
			history->doubts++;
		else if (entry->op == OP_ACK || entry->op == OP_RETURN)
			wrong = note_end(history, entry);
		else if (entry->is_done && entry->result < 0 &&
			 entry->result != -EAGAIN &&
			 entry->result != -ETIMEDOUT)
			wrong = entry->op == OP_SEND
					? "a send failed in another way"
					: "a receive failed in another way";
	}
	return wrong;
}

/* Each message to one receiver. */
static const char *judge_counts(const struct history *history)
{
	int missing = 0;

	for (size_t i = 0; i < history->lives_count; i++) {
		const struct life *life = &history->lives[i];

		if (life->finals > 1)
			return "a message was received twice";
		if (life->finals == 0 && !life->has_doubt &&
		    life->send->is_done)
			missing++;
	}
	return missing > history->doubts ? "a message was lost" : NULL;
}

/* Sent one after the other: received so, those that nobody had before. */
static const char *judge_order(const struct history *history)
{
	for (size_t i = 0; i < history->lives_count; i++)
		for (size_t j = 0; j < history->lives_count; j++) {
			const struct life *a = &history->lives[i];
			const struct life *b = &history->lives[j];

			if (!a->has_position || !b->has_position)
				continue;
			if (a->send->is_done &&
			    a->send->end_ns < b->send->begin_ns &&
			    a->position > b->position)
				return "positions are not in the order sent";
			if (a->position < b->position && a->is_first_known &&
			    b->first->end_ns < a->first->begin_ns)
				return "a newer message went first";
		}
	return NULL;
}

/* What came back goes ahead of newer ones, unless a killed one had it meanwhile. */
static const char *judge_return(const struct history *history,
				const struct entry *entry)
{
	const struct entry *next = NULL;
	uint64_t position = 0;
	uint32_t tries = 0;

	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (is_delivery(other) && other->id == entry->id) {
			position = other->position;
			if (other->end_ns <= entry->begin_ns &&
			    other->tries > tries)
				tries = other->tries;
			if (other->end_ns > entry->end_ns &&
			    (!next || other->begin_ns < next->begin_ns))
				next = other;
		}
	}
	if (!next || next->tries != tries + 1)
		return NULL;
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (is_delivery(other) && other->position > position &&
		    other->begin_ns > entry->end_ns &&
		    other->end_ns < next->begin_ns)
			return "a newer one went before one that came back";
	}
	return NULL;
}

static const char *judge_returns(const struct history *history)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < history->count && !wrong; i++)
		if (history->entries[i]->op == OP_RETURN &&
		    history->entries[i]->is_done)
			wrong = judge_return(history, history->entries[i]);
	return wrong;
}

/* At that time: queued for certain, and perhaps queued. */
static void count_queued(const struct history *history, int64_t at_ns,
			 uint64_t *surely, uint64_t *perhaps)
{
	*surely = *perhaps = 0;
	for (size_t i = 0; i < history->lives_count; i++) {
		const struct life *life = &history->lives[i];
		int64_t sent_ns = life->send->is_done ? life->send->end_ns
						      : INT64_MAX;

		if (!life->first) {
			*perhaps += life->send->begin_ns <= at_ns;
			continue;
		}
		*surely += life->is_first_known && sent_ns < at_ns &&
			   at_ns < life->first->begin_ns;
		*perhaps += life->send->begin_ns <= at_ns &&
			    (!life->is_first_known ||
			     at_ns <= life->first->end_ns);
	}
}

/* The counts change at the times written down: one after each is looked at. */
static const char *judge_capacity(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		uint64_t surely, perhaps;

		if (!history->entries[i]->is_done)
			continue;
		count_queued(history, history->entries[i]->end_ns + 1, &surely,
			     &perhaps);
		if (surely > history->capacity_msgs)
			return "more were queued than the capacity";
	}
	return NULL;
}

/*
 * "Empty", and nothing else, only if there was a moment in the call at which not
 * one was there for certain; "full" likewise. Enough to look at both ends and at what
 * happened between.
 */
static int could_be(const struct history *history, const struct entry *entry,
		    int64_t at_ns)
{
	uint64_t surely, perhaps;

	if (at_ns < entry->begin_ns || at_ns > entry->end_ns)
		return 0;
	count_queued(history, at_ns, &surely, &perhaps);
	return entry->op == OP_SEND ? perhaps >= history->capacity_msgs
				    : surely == 0;
}

static int could_be_refused(const struct history *history,
			    const struct entry *entry)
{
	if (could_be(history, entry, entry->begin_ns) ||
	    could_be(history, entry, entry->end_ns))
		return 1;
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (could_be(history, entry, other->begin_ns) ||
		    (other->is_done &&
		     could_be(history, entry, other->end_ns)))
			return 1;
	}
	return 0;
}

static const char *judge_refusals(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *entry = history->entries[i];

		if (entry->is_done && entry->result < 0 &&
		    !could_be_refused(history, entry))
			return entry->op == OP_SEND
				       ? "full, and it was not"
				       : "empty, and it was not";
	}
	return NULL;
}

/* Of one message: each time one more, and by how many if nobody was killed. */
static const char *judge_tries(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		for (size_t j = 0; j < history->count; j++) {
			const struct entry *a = history->entries[i];
			const struct entry *b = history->entries[j];

			if (is_delivery(a) && is_delivery(b) &&
			    a->op == OP_TAKE && b->op == OP_TAKE &&
			    a->id == b->id && a->end_ns < b->begin_ns &&
			    a->tries >= b->tries)
				return "tries do not go up";
		}
	return NULL;
}

static const char *judge(struct history *history)
{
	const char *wrong = note_all(history);

	if (!wrong)
		wrong = judge_counts(history);
	if (!wrong)
		wrong = judge_order(history);
	if (!wrong)
		wrong = judge_returns(history);
	if (!wrong)
		wrong = judge_capacity(history);
	if (!wrong)
		wrong = judge_refusals(history);
	return wrong ? wrong : judge_tries(history);
}

static struct history *read_diaries(void)
{
	struct history *history = calloc(1, sizeof(*history));

	ck_assert_ptr_nonnull(history);
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
	struct actor actor = { .diary = &diaries[PARTIES - 1], .seed = 1 };

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
	run(support_seed() + (unsigned int)_i, capacities[_i % CAPACITIES], 0);
}
END_TEST

START_TEST(some_are_killed)
{
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
		.is_whole = 1, .position = UINT64_MAX,
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

static const struct fault {
	void (*make)(void);
	const char *verdict;
	uint64_t capacity;
} faults[] = {
	{ lose_one, "a message was lost", 20 },
	{ double_one, "a message was received twice", 20 },
	{ invent_one, "a message that nobody sent", 20 },
	{ tear_one, "a message was torn", 20 },
	{ reorder_two, "a newer message went first", 20 },
	{ exceed, "more were queued than the capacity", 20 },
	{ refuse, "full, and it was not", 20 },
	{ lose_one, "a message was lost", TOL_CAPACITY_UNBOUNDED },
	{ refuse, "full, and it was not", TOL_CAPACITY_UNBOUNDED },
	{ queue_one, "more were queued than the capacity", 0 },
	{ deny_send, "a message that nobody sent", 0 },
	{ double_one, "a message was received twice", 0 },
};

START_TEST(judge_objects)
{
	struct history *history;
	const char *wrong;

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
	tcase_add_loop_test(tests, nobody_is_killed, 0, 2 * CAPACITIES);
	tcase_add_loop_test(tests, some_are_killed, 0, 4 * CAPACITIES);
	tcase_add_loop_test(tests, judge_objects, 0,
			    (int)(sizeof(faults) / sizeof(faults[0])));
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
