/* SPDX-License-Identifier: MIT */
/*
 * Selective receive against a model: one process, random calls, and a list that says
 * what each must do. Then many processes, killed at random.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Few, many, and those that differ in one bit only. */
static uint64_t random_tag(void)
{
	switch (next_random() % 4) {
	case 0:
		return next_random() % 4;
	case 1:
		return UINT64_C(1) << next_random() % 64;
	case 2:
		return UINT64_MAX - next_random() % 3;
	default:
		return next_random() % 1000;
	}
}

/* ---- the model ---- */

#define ITEMS_MAX 4096

struct item {
	uint64_t tag, seq;
	uint32_t priority;
	bool is_held, has_come_back;
	struct tol_message held;
};

static struct item items[ITEMS_MAX];
static size_t items_count;
static uint64_t capacity, next_seq;

static size_t queued_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < items_count; i++)
		count += !items[i].is_held;
	return count;
}

/* What has come back is queued besides. */
static bool is_full(void)
{
	size_t count = 0;

	for (size_t i = 0; i < items_count; i++)
		count += !items[i].is_held && !items[i].has_come_back;
	return count >= capacity;
}

static bool wants(const struct tol_select *select, const struct item *item)
{
	switch (select->by) {
	case TOL_SELECT_TAGS:
		for (size_t i = 0; i < select->tags_count; i++)
			if (select->tags[i] == item->tag)
				return true;
		return false;
	case TOL_SELECT_TAG_RANGE:
		return item->tag >= select->first_tag &&
		       item->tag <= select->last_tag;
	case TOL_SELECT_TAG_NOT:
		return item->tag != select->first_tag;
	case TOL_SELECT_TAG_LOWEST:
		return item->tag <= select->last_tag;
	case TOL_SELECT_SENDER:
		return select->sender_pid == getpid();
	case TOL_SELECT_ANY:
		break;
	}
	return true;
}

static bool goes_before(const struct tol_select *select, const struct item *a,
			const struct item *b)
{
	if (select->by == TOL_SELECT_TAG_LOWEST && a->tag != b->tag)
		return a->tag < b->tag;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->seq < b->seq;
}

/* The one that @index others go before. Return: NULL not so many */
static struct item *find(const struct tol_select *select, uint64_t index)
{
	for (size_t i = 0; i < items_count; i++) {
		uint64_t before = 0;

		if (items[i].is_held || !wants(select, &items[i]))
			continue;
		for (size_t k = 0; k < items_count; k++)
			before += !items[k].is_held &&
				  wants(select, &items[k]) &&
				  goes_before(select, &items[k], &items[i]);
		if (before == index)
			return &items[i];
	}
	return NULL;
}

static void drop(struct item *item)
{
	*item = items[--items_count];
}

/* ---- random calls ---- */

static void random_select(struct tol_select *select, uint64_t *tags)
{
	*select = (struct tol_select){
		.by = (enum tol_select_by)(next_random() % 6),
		.first_tag = random_tag(),
		.last_tag = random_tag(),
		.tags = tags,
		.tags_count = 1 + next_random() % 5,
		.sender_pid = next_random() % 8 ? getpid() : 1,
	};
	for (size_t i = 0; i < select->tags_count; i++)
		tags[i] = items_count && next_random() % 2
				  ? items[next_random() % items_count].tag
				  : random_tag();
	if (select->by == TOL_SELECT_TAG_RANGE &&
	    select->first_tag > select->last_tag) {
		uint64_t tag = select->first_tag;

		select->first_tag = select->last_tag;
		select->last_tag = tag;
	}
}

static void send_one(struct tol_link *link)
{
	struct item item = {
		.tag = random_tag(), .seq = next_seq,
		.priority = next_random() % 3 ? 0 : (uint32_t)(next_random() %
							       4),
	};
	const struct tol_send_opts opts = {
		.tag = item.tag, .priority = item.priority,
	};
	int err = tol_send_message(link, &next_seq, 8, TOL_NOWAIT, &opts);

	if (is_full()) {
		ck_assert_int_eq(err, -EAGAIN);
		return;
	}
	ck_assert_int_eq(err, 0);
	items[items_count++] = item;
	next_seq++;
}

static void check_message(const struct item *item, const struct tol_message *m,
			  uint64_t seq)
{
	ck_assert_uint_eq(seq, item->seq);
	ck_assert_uint_eq(m->tag, item->tag);
	ck_assert_uint_eq(m->priority, item->priority);
	ck_assert_int_eq(m->sender_pid, getpid());
}

static void receive_one(struct tol_link *link)
{
	uint64_t tags[8], seq = 0;
	struct tol_select select;
	struct tol_message m;
	struct item *item;
	ssize_t n;

	random_select(&select, tags);
	item = find(&select, 0);
	n = select.by == TOL_SELECT_ANY
		    ? tol_recv_message(link, &seq, 8, TOL_NOWAIT, &m)
		    : tol_recv_select(link, &select, &seq, 8, TOL_NOWAIT, &m);
	ck_assert_int_eq(n, item ? 8 : -EAGAIN);
	if (!item)
		return;
	check_message(item, &m, seq);
	drop(item);
}

static void look_at_one(struct tol_link *link)
{
	uint64_t tags[8], seq = 0, index = next_random() % 6;
	struct tol_select select;
	struct tol_message m;
	struct item *item;
	ssize_t n;

	random_select(&select, tags);
	item = find(&select, index);
	n = tol_peek_select(link, &select, index, &seq, 8, &m);
	ck_assert_int_eq(n, item ? 8 : -EAGAIN);
	if (item)
		check_message(item, &m, seq);
}

static void take_one(struct tol_link *link)
{
	uint64_t tags[8], seq;
	struct tol_select select;
	struct tol_take_opts opts = { .select = &select };
	struct tol_message m;
	struct item *item;
	int err;

	random_select(&select, tags);
	item = find(&select, 0);
	err = tol_take(link, TOL_NOWAIT, &opts, &m);
	ck_assert_int_eq(err, item ? 0 : -EAGAIN);
	if (!item)
		return;
	memcpy(&seq, m.body, 8);
	check_message(item, &m, seq);
	item->is_held = true;
	item->held = m;
}

static void end_one(struct tol_link *link)
{
	struct item *item = NULL;

	for (size_t i = 0; i < items_count && !item; i++)
		if (items[i].is_held)
			item = &items[i];
	if (!item)
		return;
	if (next_random() % 2) {
		ck_assert_int_eq(tol_ack(link, &item->held), 0);
		drop(item);
	} else {
		ck_assert_int_eq(tol_return(link, &item->held), 0);
		item->is_held = false;
		item->has_come_back = true;
	}
}

static void purge(struct tol_link *link)
{
	ck_assert_int_eq(tol_purge(link), (ssize_t)queued_count());
	for (size_t i = items_count; i-- > 0;)
		if (!items[i].is_held)
			drop(&items[i]);
}

/* The doctor finds all that is there, and nothing wrong. */
static void examine(void)
{
	struct tol_mailbox_health health;

	ck_assert_int_eq(tol_mailbox_verify("box", NULL, &health, NULL, NULL),
			 0);
	ck_assert_uint_eq(health.readable_msgs, items_count);
	ck_assert_uint_eq(health.damage_count, 0);
}

static const uint64_t capacities[] = { 1, 3, 64, 500, TOL_CAPACITY_UNBOUNDED };
#define CAPACITIES_COUNT (sizeof(capacities) / sizeof(capacities[0]))

START_TEST(as_the_model_says)
{
	struct tol_link *link;

	state = support_seed() + 77 * (uint64_t)_i + 1;
	capacity = capacities[_i % (int)CAPACITIES_COUNT];
	items_count = 0;
	ck_assert_int_eq(tol_mailbox_create("box", capacity, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (int step = 0; step < 6000; step++) {
		/* Grows for a while, then shrinks. */
		uint64_t sends = step / 1000 % 2 ? 3 : 6;
		uint64_t what = next_random() % 12;

		if (next_random() % 700 == 0)
			purge(link);
		else if (what < sends && items_count < 400)
			send_one(link);
		else if (what < 8)
			receive_one(link);
		else if (what == 8)
			take_one(link);
		else if (what == 9)
			look_at_one(link);
		else
			end_one(link);
		if (step % 250 == 0)
			examine();
	}
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

/* ---- many processes, killed at random ---- */

#define SENDERS 3
#define RECEIVERS 3
#define TAGS 6u
#define EACH 2500u
#define KILLS 120

struct body {
	uint32_t sender, seq, tag, priority;
};

/* Of all processes. */
static struct ledger {
	uint8_t received[SENDERS][EACH];
	uint32_t sent[SENDERS];		/* so many, at least */
	uint32_t going_on[RECEIVERS];	/* killed now it may have one */
} *ledger;

static int send_all(void *context)
{
	uint32_t sender = *(const uint32_t *)context;
	struct tol_link *link;

	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	state = support_seed() + sender * 31 + (uint64_t)getpid();
	while (ledger->sent[sender] < EACH) {
		struct body body = {
			.sender = sender, .seq = ledger->sent[sender],
			.tag = (uint32_t)(next_random() % TAGS),
			.priority = (uint32_t)(next_random() % 2),
		};
		const struct tol_send_opts opts = {
			.tag = body.tag, .priority = body.priority,
		};
		int err = tol_send_message(link, &body, sizeof(body),
					   TOL_FOREVER, &opts);

		if (err < 0)
			return 2;
		__atomic_store_n(&ledger->sent[sender], body.seq + 1,
				 __ATOMIC_SEQ_CST);
	}
	tol_close(link);
	return 0;
}

/* Each its own tags, so that one that is not woken is missed. */
static int receive_all(void *context)
{
	uint32_t number = *(const uint32_t *)context;
	uint64_t tags[TAGS / RECEIVERS];
	const struct tol_select select = {
		.by = TOL_SELECT_TAGS, .tags = tags,
		.tags_count = TAGS / RECEIVERS,
	};
	struct tol_link *link;

	for (uint32_t i = 0; i < TAGS / RECEIVERS; i++)
		tags[i] = number + i * RECEIVERS;
	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (;;) {
		struct tol_message message;
		struct body body;
		ssize_t n;

		__atomic_store_n(&ledger->going_on[number], 1,
				 __ATOMIC_SEQ_CST);
		n = tol_recv_select(link, &select, &body, sizeof(body),
				    TOL_FOREVER, &message);
		if (n == -ENODATA)
			break;
		if (n != sizeof(body) || message.tag != body.tag ||
		    body.tag % RECEIVERS != number ||
		    message.priority != body.priority)
			return 2;
		/* A sender that was killed after it sent sends the same again. */
		__atomic_fetch_add(&ledger->received[body.sender][body.seq], 1,
				   __ATOMIC_SEQ_CST);
		__atomic_store_n(&ledger->going_on[number], 0,
				 __ATOMIC_SEQ_CST);
	}
	tol_close(link);
	return 0;
}

struct worker {
	uint32_t number;
	bool is_sender;
	pid_t pid;
};

static void start(struct worker *worker)
{
	worker->pid = support_fork(worker->is_sender ? send_all : receive_all,
				   &worker->number);
}

static void kill_one(struct worker *workers, size_t count)
{
	struct worker *worker = &workers[next_random() % count];
	int status;

	kill(worker->pid, SIGKILL);
	ck_assert_int_eq(waitpid(worker->pid, &status, 0), worker->pid);
	if (WIFEXITED(status))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	start(worker);
}

START_TEST(killed_at_random)
{
	struct worker workers[SENDERS + RECEIVERS];
	uint32_t twice = 0, missing = 0;
	struct tol_link *link;

	state = support_seed() + (uint64_t)_i * 7 + 1;
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	ck_assert_int_eq(tol_mailbox_create("box", capacities[_i], NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (uint32_t i = 0; i < SENDERS + RECEIVERS; i++) {
		workers[i].is_sender = i < SENDERS;
		workers[i].number = i < SENDERS ? i : i - SENDERS;
		start(&workers[i]);
	}
	for (int i = 0; i < KILLS; i++) {
		usleep((useconds_t)(next_random() % 2000));
		kill_one(workers, SENDERS + RECEIVERS);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		ck_assert_int_eq(support_wait(workers[i].pid), 0);
	ck_assert_int_eq(tol_shutdown(link), 0);
	for (uint32_t i = SENDERS; i < SENDERS + RECEIVERS; i++)
		ck_assert_int_eq(support_wait(workers[i].pid), 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		for (uint32_t seq = 0; seq < EACH; seq++) {
			missing += ledger->received[i][seq] == 0;
			if (ledger->received[i][seq] > 1)
				twice += ledger->received[i][seq] - 1u;
		}
	}
	/* One that a killed one had received, or had sent without saying so. */
	ck_assert_uint_le(missing, KILLS);
	ck_assert_uint_le(twice, KILLS);
	ck_assert_int_eq(tol_recv(link, NULL, 0, TOL_NOWAIT), -ENODATA);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	munmap(ledger, sizeof(*ledger));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("select");
	TCase *tcase = support_tcase("select");

	tcase_add_loop_test(tcase, as_the_model_says, 0,
			    4 * (int)CAPACITIES_COUNT);
	tcase_add_loop_test(tcase, killed_at_random, 0, (int)CAPACITIES_COUNT);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
