/* SPDX-License-Identifier: MIT */
/*
 * No wake-up lost: sixteen processes send, receive, take, select, poll and wait at
 * random on five mailboxes of every capacity, for as long as it takes, are killed
 * and stopped in between, and new ones take their places.
 *
 * A lost wake-up is one that never comes, so no time is judged: now and then nobody
 * is killed or stopped any more, and all are told to end. Each ends its call first;
 * so the conductor sends to mailboxes where receivers sleep and receives where
 * senders do, one message at a time, and each must wake somebody: as long as
 * one is asleep there, and a message or room is too, the number of calls made has to
 * go up. It looks for a minute before it says that it does not.
 *
 * TOLSEY_TEST_STORM=N: so many operations instead of 300,000.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

#define ACTORS 16
#define BOXES 5
#define SENDERS_MAX 100000	/* actors in all */

static const uint64_t capacities[BOXES] = { 0, 1, 3, 64,
					    TOL_CAPACITY_UNBOUNDED };

struct body {
	uint32_t sender, number;
};

/* What they share; each writes its own part alone. */
struct actor {
	uint64_t calls_count;	/* that have returned */
	uint32_t box;		/* where it is */
};

static struct shared {
	uint32_t is_over;
	uint64_t operations_count, received_count, sent_count, twice_count;
	struct actor actors[ACTORS];
	/* By sender: the next number; a bit for each received. */
	uint32_t sent[SENDERS_MAX];
} *shared;

/* Each message once: a byte for each in a table of hashes would be too small. */
#define SEEN_BITS (UINT64_C(1) << 33)
static uint8_t *seen;

static uint32_t own;		/* number among all who ever were */
static unsigned int seed;

static int64_t pick_timeout(void)
{
	switch (rand_r(&seed) % 4) {
	case 0:
		return TOL_NOWAIT;
	case 1:
		return (int64_t)(rand_r(&seed) % 300) * 1000;
	default:
		return TOL_FOREVER;
	}
}

static void note_received(const void *bytes)
{
	struct body body;
	uint64_t bit;
	uint8_t old;

	memcpy(&body, bytes, sizeof(body));
	/* The conductor's are all the same. */
	if (body.sender == 0)
		return;
	__atomic_add_fetch(&shared->received_count, 1, __ATOMIC_RELAXED);
	bit = ((uint64_t)body.sender << 16 | (body.number & 0xffff)) %
	      SEEN_BITS;
	old = __atomic_fetch_or(&seen[bit / 8], (uint8_t)(1u << bit % 8),
				__ATOMIC_RELAXED);
	if (old & 1u << bit % 8)
		__atomic_add_fetch(&shared->twice_count, 1, __ATOMIC_RELAXED);
}

static void send_some(struct tol_link *link, int64_t timeout_ns)
{
	struct tol_send_opts opts = {
		.tag = (uint64_t)(rand_r(&seed) % 3),
	};
	struct body body = { own, shared->sent[own] };

	if (body.number == 0xffff)
		return;
	/* First: killed in between, that number was never sent. */
	shared->sent[own]++;
	if (tol_send_message(link, &body, sizeof(body), timeout_ns, &opts) == 0)
		__atomic_add_fetch(&shared->sent_count, 1, __ATOMIC_RELAXED);
}

static void recv_some(struct tol_link *link, int64_t timeout_ns, bool selects)
{
	uint64_t tag = (uint64_t)(rand_r(&seed) % 3);
	const struct tol_select one = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = tag, .last_tag = tag,
	};
	struct tol_message message;
	struct body body;
	ssize_t n = selects ? tol_recv_select(link, &one, &body, sizeof(body),
					      timeout_ns, &message)
			    : tol_recv(link, &body, sizeof(body), timeout_ns);

	if (n == sizeof(body))
		note_received(&body);
}

static void take_some(struct tol_link *link, int64_t timeout_ns)
{
	struct tol_message message;
	struct body body;

	if (tol_take(link, timeout_ns, NULL, &message) < 0)
		return;
	memcpy(&body, message.body, sizeof(body));
	if (rand_r(&seed) % 3 == 0)
		tol_return(link, &message);
	else if (tol_ack(link, &message) == 0)
		note_received(&body);
}

/* Waits outside of a call, then does it without waiting. */
static void wait_some(struct tol_link *link, int64_t timeout_ns, bool polls)
{
	unsigned int wanted = rand_r(&seed) % 2 ? TOL_RECV : TOL_SEND;
	struct tol_wait one = { link, wanted, 0 };
	struct pollfd descriptor = { .events = POLLIN };
	int ready;

	if (polls) {
		descriptor.fd = tol_descriptor(link, wanted);
		ready = poll(&descriptor, 1,
			     timeout_ns < 0 ? -1 : (int)(timeout_ns / 1000000));
	} else {
		ready = tol_wait(&one, 1, timeout_ns);
	}
	if (ready < 1)
		return;
	if (wanted == TOL_RECV)
		recv_some(link, TOL_NOWAIT, false);
	else
		send_some(link, TOL_NOWAIT);
}

static void do_one(struct tol_link **links, struct actor *actor)
{
	int64_t timeout_ns = pick_timeout();
	uint32_t box = (uint32_t)rand_r(&seed) % BOXES;
	struct tol_link *link = links[box];
	int what = rand_r(&seed) % 16;

	__atomic_store_n(&actor->box, box, __ATOMIC_RELEASE);
	if (what < 7)
		send_some(link, timeout_ns);
	else if (what < 10)
		recv_some(link, timeout_ns, false);
	else if (what < 12)
		take_some(link, timeout_ns);
	else if (what < 13)
		recv_some(link, timeout_ns, true);
	else
		wait_some(link, timeout_ns, what == 15);
	__atomic_add_fetch(&actor->calls_count, 1, __ATOMIC_RELEASE);
	__atomic_add_fetch(&shared->operations_count, 1, __ATOMIC_RELAXED);
}

static void make_name(char name[8], int box)
{
	snprintf(name, 8, "box%d", box);
}

static void act(int place)
{
	struct tol_link *links[BOXES];
	char name[8];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed ^= own * 2654435761u;
	for (int i = 0; i < BOXES; i++) {
		make_name(name, i);
		if (tol_open(&links[i], name, NULL) < 0)
			_exit(1);
	}
	while (!__atomic_load_n(&shared->is_over, __ATOMIC_ACQUIRE))
		do_one(links, &shared->actors[place]);
	for (int i = 0; i < BOXES; i++)
		tol_close(links[i]);
	_exit(0);
}

/* ---- the conductor ---- */

static pid_t pids[ACTORS];
static bool is_stopped[ACTORS];
static uint32_t actors_count;
static struct tol_link *watching[BOXES];

static void start(int place)
{
	own = ++actors_count;
	ck_assert_uint_lt(own, SENDERS_MAX);
	is_stopped[place] = false;
	pids[place] = fork();
	ck_assert_int_ge(pids[place], 0);
	if (pids[place] == 0)
		act(place);
}

static void disturb(void)
{
	int place = rand_r(&seed) % ACTORS;

	switch (rand_r(&seed) % 4) {
	case 0:
		kill(pids[place], SIGKILL);
		waitpid(pids[place], NULL, 0);
		start(place);
		break;
	case 1:
		kill(pids[place], SIGSTOP);
		is_stopped[place] = true;
		break;
	default:
		kill(pids[place], SIGCONT);
		is_stopped[place] = false;
	}
}

static uint64_t calls_now(void)
{
	uint64_t count = 0;

	for (int i = 0; i < ACTORS; i++)
		count += __atomic_load_n(&shared->actors[i].calls_count,
					 __ATOMIC_ACQUIRE);
	return count;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int alive_count(void)
{
	int count = 0;

	for (int i = 0; i < ACTORS; i++) {
		int status;

		if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			ck_assert_int_eq(status, 0);
			pids[i] = 0;
		}
		count += pids[i] != 0;
	}
	return count;
}

/*
 * One message to each mailbox, or one from it, whichever is asked for there. With
 * capacity 0 for a moment inside of a call: that is what those who poll wait for.
 */
static void feed(uint32_t *number)
{
	for (int i = 0; i < BOXES; i++) {
		const struct tol_send_opts opts = { .tag = *number % 3 };
		int64_t timeout_ns = capacities[i] ? TOL_NOWAIT : TOL_MSECS(1);
		struct body body = { 0, 0 };
		int err;

		/* Not counted: number 0 is the conductor's. */
		err = tol_send_message(watching[i], &body, sizeof(body),
				       timeout_ns, &opts);
		if ((err == -EAGAIN || err == -ETIMEDOUT) &&
		    tol_recv(watching[i], &body, sizeof(body), timeout_ns) ==
			    sizeof(body))
			note_received(&body);
	}
	++*number;
}

/*
 * All are to end. Each feeding makes something ready everywhere; if all calls of a
 * minute make nobody go on, one was not woken.
 */
static void let_all_end(void)
{
	uint64_t calls = calls_now();
	int64_t since_ns = now_ns();
	uint32_t number = 0;

	for (int i = 0; i < ACTORS; i++)
		kill(pids[i], SIGCONT);
	__atomic_store_n(&shared->is_over, 1, __ATOMIC_RELEASE);
	for (int left = ACTORS, before = ACTORS; left > 0; before = left) {
		feed(&number);
		sched_yield();
		left = alive_count();
		if (left < before || calls_now() != calls) {
			calls = calls_now();
			since_ns = now_ns();
		}
		ck_assert_msg(now_ns() - since_ns < TOL_SECS(60),
			      "%d sleep, such as process %d on mailbox %u, "
			      "whatever is sent", left, (int)pids[0],
			      shared->actors[0].box);
	}
}

static void drain(void)
{
	struct body body;

	for (int i = 0; i < BOXES; i++)
		while (tol_recv(watching[i], &body, sizeof(body),
				TOL_NOWAIT) == sizeof(body))
			note_received(&body);
}

static void run(uint64_t operations)
{
	char name[8];

	for (int i = 0; i < BOXES; i++) {
		make_name(name, i);
		ck_assert_int_eq(tol_mailbox_create(name, capacities[i], NULL),
				 1);
		ck_assert_int_eq(tol_open(&watching[i], name, NULL), 0);
	}
	for (int i = 0; i < ACTORS; i++)
		start(i);
	while (__atomic_load_n(&shared->operations_count, __ATOMIC_RELAXED) <
	       operations) {
		/* Those who all wait need somebody who does something. */
		uint32_t number = (uint32_t)rand_r(&seed);
		const struct timespec pause = { .tv_nsec = 2000000 };

		nanosleep(&pause, NULL);
		disturb();
		feed(&number);
	}
	let_all_end();
	drain();
	for (int i = 0; i < BOXES; i++) {
		tol_close(watching[i]);
		make_name(name, i);
		ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
	}
	tol_space_clean(NULL, 0, NULL, NULL);
}

static void *map(size_t size_bytes)
{
	void *address = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(address, MAP_FAILED);
	return address;
}

START_TEST(nobody_is_forgotten)
{
	const char *asked = getenv("TOLSEY_TEST_STORM");
	uint64_t operations = asked ? strtoull(asked, NULL, 10) : 300000;

	seed = support_seed();
	shared = map(sizeof(*shared));
	seen = map(SEEN_BITS / 8);
	run(operations);
	printf("%llu operations by %u processes: %llu sent, %llu received\n",
	       (unsigned long long)shared->operations_count, actors_count,
	       (unsigned long long)shared->sent_count,
	       (unsigned long long)shared->received_count);
	ck_assert_uint_eq(shared->twice_count, 0);
	/* Killed behind the send, or behind the receive: one each at most. */
	ck_assert_uint_le(shared->received_count,
			  shared->sent_count + actors_count);
	ck_assert_uint_le(shared->sent_count,
			  shared->received_count + actors_count);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("storm");
	TCase *tests = support_tcase("storm");

	tcase_set_timeout(tests, 36000);
	tcase_add_test(tests, nobody_is_forgotten);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
