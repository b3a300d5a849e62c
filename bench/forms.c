/* SPDX-License-Identifier: MIT */
/*
 * forms: the two forms that a crash-safe mailbox can take, as bare prototypes,
 * beside a ring without any safety and the library itself. For ADR 0004.
 *
 *	limit	one line a message: a flag and the bytes, one sender, one
 *		receiver, nothing survives a kill
 *	line	one line a message: a sender first claims the bytes of the slot
 *		for itself, writes them, then publishes by a second swap
 *	block	the body in a line of the sender's own, then one swap on a word
 *	tolsey	tol_send() and tol_recv()
 *
 * All poll. Each receives by copying and swapping. Two processes, pinned.
 * forms [MESSAGES [ROUNDS]]; prints medians and ranges.
 */
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tolsey.h>

#define SLOTS 64u
#define UNITS 1024u
#define BODY_BYTES 8u
#define ROUNDS_MAX 99

#define EMPTY 1u
#define FULL 2u

struct limit_slot {
	_Alignas(64) uint64_t sequence;
	char body[56];
};

struct line_slot {
	_Alignas(64) uint64_t word;	/* state, lap << 8 */
	uint64_t tenant;		/* who may write the bytes: lap << 16 | who */
	uint64_t size_bytes;
	uint64_t sender;
	char body[32];
};

struct unit {
	_Alignas(64) uint64_t size_bytes;
	uint64_t sender[3];
	char body[32];
};

/* One direction, everything of it that is shared. */
struct shared {
	struct limit_slot limit[SLOTS];
	struct line_slot line[SLOTS];
	_Alignas(64) uint64_t block[SLOTS];	/* state, unit << 8, lap << 32 */
	_Alignas(64) uint64_t control;
	uint64_t sleepers;
	struct unit units[UNITS];
};

/* What one process knows of one direction. */
struct end {
	struct shared *shared;
	struct tol_link *link;
	uint64_t who;
	_Alignas(64) uint64_t send_position;
	uint64_t next_unit;
	_Alignas(64) uint64_t recv_position;
};

static bool nobody_sleeps(const struct shared *shared)
{
	return __atomic_load_n(&shared->sleepers, __ATOMIC_RELAXED) == 0;
}

static bool is_live(const struct shared *shared)
{
	return __atomic_load_n(&shared->control, __ATOMIC_ACQUIRE) == 0;
}

static bool swap(uint64_t *word, uint64_t seen, uint64_t next)
{
	return __atomic_compare_exchange_n(word, &seen, next, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static bool limit_send(struct end *end, const char *body)
{
	struct limit_slot *slot =
		&end->shared->limit[end->send_position % SLOTS];
	uint64_t lap = end->send_position / SLOTS;

	if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != lap * 2)
		return false;
	memcpy(slot->body, body, BODY_BYTES);
	__atomic_store_n(&slot->sequence, lap * 2 + 1, __ATOMIC_RELEASE);
	end->send_position++;
	return true;
}

static bool limit_recv(struct end *end, char *body)
{
	struct limit_slot *slot =
		&end->shared->limit[end->recv_position % SLOTS];
	uint64_t lap = end->recv_position / SLOTS;

	if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != lap * 2 + 1)
		return false;
	memcpy(body, slot->body, BODY_BYTES);
	__atomic_store_n(&slot->sequence, lap * 2 + 2, __ATOMIC_RELEASE);
	end->recv_position++;
	return true;
}

static bool line_send(struct end *end, const char *body)
{
	struct line_slot *slot = &end->shared->line[end->send_position % SLOTS];
	uint64_t lap = end->send_position / SLOTS;
	uint64_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
	uint64_t tenant = __atomic_load_n(&slot->tenant, __ATOMIC_RELAXED);

	if (!is_live(end->shared) || word != (EMPTY | lap << 8) ||
	    !swap(&slot->tenant, tenant, lap << 16 | end->who))
		return false;
	/* A tenant who comes late must see that the bytes are a message's. */
	if (__atomic_load_n(&slot->word, __ATOMIC_ACQUIRE) != word)
		return false;
	slot->size_bytes = BODY_BYTES;
	slot->sender = end->who;
	memcpy(slot->body, body, BODY_BYTES);
	if (!swap(&slot->word, word, FULL | lap << 8))
		return false;
	end->send_position++;
	return nobody_sleeps(end->shared);
}

static bool line_recv(struct end *end, char *body)
{
	struct line_slot *slot = &end->shared->line[end->recv_position % SLOTS];
	uint64_t lap = end->recv_position / SLOTS;
	uint64_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);

	if (!is_live(end->shared) || word != (FULL | lap << 8) ||
	    slot->size_bytes > BODY_BYTES)
		return false;
	memcpy(body, slot->body, slot->size_bytes);
	if (!swap(&slot->word, word, EMPTY | (lap + 1) << 8))
		return false;
	end->recv_position++;
	return nobody_sleeps(end->shared);
}

static bool block_send(struct end *end, const char *body)
{
	uint64_t *slot = &end->shared->block[end->send_position % SLOTS];
	uint64_t lap = end->send_position / SLOTS;
	uint64_t number = end->who * (UNITS / 2) + end->next_unit;
	struct unit *unit = &end->shared->units[number];
	uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

	if (!is_live(end->shared) || word != (EMPTY | lap << 32))
		return false;
	unit->size_bytes = BODY_BYTES;
	unit->sender[0] = end->who;
	memcpy(unit->body, body, BODY_BYTES);
	if (!swap(slot, word, FULL | number << 8 | lap << 32))
		return false;
	end->next_unit = (end->next_unit + 1) % (UNITS / 2);
	end->send_position++;
	return nobody_sleeps(end->shared);
}

static bool block_recv(struct end *end, char *body)
{
	uint64_t *slot = &end->shared->block[end->recv_position % SLOTS];
	uint64_t lap = end->recv_position / SLOTS;
	uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	const struct unit *unit;

	if (!is_live(end->shared) || (word & 3) != FULL || word >> 32 != lap)
		return false;
	unit = &end->shared->units[word >> 8 & (UNITS - 1)];
	if (unit->size_bytes > BODY_BYTES)
		return false;
	memcpy(body, unit->body, unit->size_bytes);
	if (!swap(slot, word, EMPTY | (lap + 1) << 32))
		return false;
	end->recv_position++;
	return nobody_sleeps(end->shared);
}

static bool tolsey_send(struct end *end, const char *body)
{
	return tol_send(end->link, body, BODY_BYTES, TOL_NOWAIT) == 0;
}

static bool tolsey_recv(struct end *end, char *body)
{
	return tol_recv(end->link, body, BODY_BYTES, TOL_NOWAIT) >= 0;
}

static const struct form {
	const char *name;
	bool (*send)(struct end *end, const char *body);
	bool (*recv)(struct end *end, char *body);
} forms[] = {
	{ "limit", limit_send, limit_recv },
	{ "line", line_send, line_recv },
	{ "block", block_send, block_recv },
	{ "tolsey", tolsey_send, tolsey_recv },
};

#define FORMS_COUNT (sizeof(forms) / sizeof(forms[0]))

static const char *const mailbox_names[2] = { "forms-there", "forms-back" };

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void stop(const char *what)
{
	fprintf(stderr, "forms: %s failed\n", what);
	exit(1);
}

static void reset(struct shared *shared)
{
	memset(shared, 0, sizeof(*shared));
	for (unsigned int i = 0; i < SLOTS; i++) {
		shared->line[i].word = EMPTY;
		shared->block[i] = EMPTY;
	}
}

static void begin(struct end ends[2], struct shared *shared, unsigned int who)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(who, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		stop("pinning to CPU 0 and 1");
	for (int i = 0; i < 2; i++) {
		ends[i] = (struct end){ .shared = &shared[i], .who = who };
		if (tol_open(&ends[i].link, mailbox_names[i], NULL) < 0)
			stop("opening a mailbox");
	}
}

static void send_one(const struct form *form, struct end *end, uint64_t number)
{
	while (!form->send(end, (const char *)&number))
		;
}

static void recv_one(const struct form *form, struct end *end, uint64_t number)
{
	uint64_t got = 0;

	while (!form->recv(end, (char *)&got))
		;
	if (got != number)
		stop("the order of messages");
}

/* The one that answers each message, or only the last. */
static void answer(const struct form *form, struct shared *shared,
		   uint64_t count, bool is_stream)
{
	struct end ends[2];

	begin(ends, shared, 1);
	for (uint64_t i = 0; i < count; i++) {
		recv_one(form, &ends[0], i);
		if (!is_stream || i == count - 1)
			send_one(form, &ends[1], i);
	}
	_exit(0);
}

/* Return: nanoseconds a message or a round trip */
static double run(const struct form *form, struct shared *shared,
		  uint64_t count, bool is_stream)
{
	struct end ends[2];
	int64_t start_ns = 0;
	pid_t child;
	int status;
	double ns;

	reset(&shared[0]);
	reset(&shared[1]);
	child = fork();
	if (child == 0)
		answer(form, shared, count, is_stream);
	begin(ends, shared, 0);
	for (uint64_t i = 0; i < count; i++) {
		if (i == count / 10)
			start_ns = now_ns();
		send_one(form, &ends[0], i);
		if (!is_stream || i == count - 1)
			recv_one(form, &ends[1], i);
	}
	ns = (double)(now_ns() - start_ns) / (double)(count - count / 10);
	tol_close(ends[0].link);
	tol_close(ends[1].link);
	if (waitpid(child, &status, 0) != child || status != 0)
		stop("the other process");
	return ns;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double ns[FORMS_COUNT][2][ROUNDS_MAX];
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	int rounds = argc > 2 ? atoi(argv[2]) : 7;
	struct shared *shared;

	if (count < 10 || rounds < 1 || rounds > ROUNDS_MAX)
		stop("reading the arguments");
	shared = mmap(NULL, 2 * sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		stop("mmap");
	for (int i = 0; i < 2; i++)
		if (tol_mailbox_create(mailbox_names[i], SLOTS, NULL) < 0)
			stop("making a mailbox");
	for (int r = 0; r < rounds; r++)
		for (size_t f = 0; f < FORMS_COUNT; f++)
			for (int s = 0; s < 2; s++)
				ns[f][s][r] = run(&forms[f], shared, count, s);
	for (size_t f = 0; f < FORMS_COUNT; f++) {
		double *trip = ns[f][0], *each = ns[f][1];

		qsort(trip, (size_t)rounds, sizeof(*trip), compare);
		qsort(each, (size_t)rounds, sizeof(*each), compare);
		printf("%-7s round trip %4.0f ns (%.0f to %.0f)  stream %6.1f "
		       "million/s (%.1f to %.1f)\n", forms[f].name,
		       trip[rounds / 2], trip[0], trip[rounds - 1],
		       1e3 / each[rounds / 2], 1e3 / each[rounds - 1],
		       1e3 / each[0]);
	}
	for (int i = 0; i < 2; i++)
		tol_mailbox_remove(mailbox_names[i], NULL);
	return 0;
}
