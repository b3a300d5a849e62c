/* SPDX-License-Identifier: MIT */
/*
 * One matrix: every capacity, with calls that do not wait, wait a time or for ever,
 * bodies of every kind, copied or in place, of one and of several senders, to one
 * and to several receivers, in turn, selected by tag, or by priority. In each cell
 * every message arrives once, whole, and each sender's in order; what is full or
 * empty says so; nothing is left over. It knows the library by its header alone.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "support.h"
#include "tolsey.h"

#define SENDERS_MAX 3
#define RECEIVERS_MAX 3
#define MESSAGES_MAX 40		/* of one sender */
#define LARGE_BYTES (((size_t)1 << 20) + 1)
#define A_WHILE TOL_MSECS(20)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint64_t capacities[] = { 0, 1, 3, 64, TOL_CAPACITY_UNBOUNDED };
static const size_t sizes[] = { 0, 24, 5000, LARGE_BYTES };
static const int many[] = { 1, SENDERS_MAX };

enum wait { NOWAIT, TIMED, FOREVER, WAITS_COUNT };
enum turn { IN_TURN, SELECTED, BY_PRIORITY, TURNS_COUNT };
#define PRIORITIES 3

/* One cell. Of two that only try, none waits: with capacity 0 one side does. */
static struct cell {
	uint64_t capacity;
	enum wait send_wait, recv_wait;
	size_t size_bytes;
	bool in_place;
	enum turn turn;
	int senders, receivers;
	int messages;		/* of each sender */
} cell;

/* What the processes of a cell say to the test. */
static struct shared {
	char complaint[160];
	uint32_t arrived[SENDERS_MAX][MESSAGES_MAX];
} *shared;

static int complain(const char *what, int64_t got, int64_t number)
{
	snprintf(shared->complaint, sizeof(shared->complaint),
		 "%s: %lld (of %lld)", what, (long long)got, (long long)number);
	return 1;
}

static int64_t timeout_of(enum wait wait)
{
	return wait == NOWAIT ? TOL_NOWAIT : wait == TIMED ? A_WHILE
							   : TOL_FOREVER;
}

/* What a call says that waited as long as it may. */
static int in_vain(enum wait wait)
{
	return wait == NOWAIT ? -EAGAIN : -ETIMEDOUT;
}

/* Every byte follows from whose message it is, which one, and where. */
static unsigned char byte_at(uint64_t tag, size_t i)
{
	return (unsigned char)((tag >> 32) * 89 + tag * 31 + i + i / 251);
}

static void write_body(unsigned char *body, uint64_t tag)
{
	for (size_t i = 0; i < cell.size_bytes; i++)
		body[i] = byte_at(tag, i);
}

static bool is_whole(const unsigned char *body, uint64_t tag)
{
	for (size_t i = 0; i < cell.size_bytes; i++)
		if (body[i] != byte_at(tag, i))
			return false;
	return true;
}

static unsigned char buf[4 * LARGE_BYTES];

/* What a receiver asks for; NULL: whatever comes. */
static const struct tol_select *selection;

static uint32_t priority_of(uint64_t tag)
{
	return cell.turn == BY_PRIORITY ? (uint32_t)tag % PRIORITIES : 0;
}

static struct tol_send_opts opts_of(uint64_t tag)
{
	return (struct tol_send_opts){
		.tag = tag, .priority = priority_of(tag),
	};
}

/* ---- one message ---- */

static int send_copy(struct tol_link *link, uint64_t tag, int64_t timeout_ns)
{
	const struct tol_send_opts opts = opts_of(tag);

	write_body(buf, tag);
	return tol_send_message(link, buf, cell.size_bytes, timeout_ns, &opts);
}

static int send_in_place(struct tol_link *link, uint64_t tag, int64_t timeout_ns)
{
	const struct tol_send_opts opts = opts_of(tag);
	struct tol_loan loan;
	int err = tol_loan(link, cell.size_bytes, &loan);

	if (err < 0)
		return err;
	write_body(loan.body, tag);
	err = tol_post(link, &loan, timeout_ns, &opts);
	if (err < 0)
		tol_loan_drop(link, &loan);
	return err;
}

static int send_one(struct tol_link *link, uint64_t tag, int64_t timeout_ns)
{
	return cell.in_place ? send_in_place(link, tag, timeout_ns)
			     : send_copy(link, tag, timeout_ns);
}

/* Return: 0 a whole one; 1 a torn one; -errno */
static int recv_one(struct tol_link *link, uint64_t *ret_tag,
		    int64_t timeout_ns)
{
	const struct tol_take_opts opts = { .select = selection };
	struct tol_message message;
	bool whole;
	ssize_t n;
	int err;

	if (!cell.in_place) {
		n = selection ? tol_recv_select(link, selection, buf,
						sizeof(buf), timeout_ns,
						&message)
			      : tol_recv_message(link, buf, sizeof(buf),
						 timeout_ns, &message);
		*ret_tag = message.tag;
		return n < 0 ? (int)n : n != (ssize_t)cell.size_bytes ||
						!is_whole(buf, message.tag);
	}
	err = tol_take(link, timeout_ns, &opts, &message);
	if (err < 0)
		return err;
	*ret_tag = message.tag;
	whole = message.size_bytes == cell.size_bytes &&
		is_whole(message.body, message.tag);
	err = tol_ack(link, &message);
	return err < 0 ? err : !whole;
}

/* ---- the processes of a cell ---- */

static int sender(void *context)
{
	uint64_t who = (uint64_t)(uintptr_t)context;
	int64_t timeout_ns = timeout_of(cell.send_wait);
	struct tol_link *link;
	int err = tol_open(&link, "box", NULL);

	if (err < 0)
		return complain("open", err, 0);
	for (int i = 0; i < cell.messages;) {
		err = send_one(link, who << 32 | (unsigned int)i, timeout_ns);
		if (err == 0)
			i++;
		else if (cell.send_wait == FOREVER ||
			 err != in_vain(cell.send_wait))
			return complain("send", err, i);
		else
			sched_yield();
	}
	tol_close(link);
	return 0;
}

/* Return: 0, or it has complained */
static int note(uint64_t tag, int64_t *last)
{
	uint64_t who = tag >> 32;
	int64_t number = tag & UINT32_MAX;
	int64_t *before = &last[who % SENDERS_MAX * PRIORITIES +
				priority_of(tag)];

	if (who >= (uint64_t)cell.senders || number >= cell.messages)
		return complain("nobody sent that", (int64_t)tag, 0);
	if (__atomic_add_fetch(&shared->arrived[who][number], 1,
			       __ATOMIC_RELAXED) != 1)
		return complain("twice", number, (int64_t)who);
	if (cell.receivers == 1 && cell.turn != BY_PRIORITY
		    ? number != *before + 1 : number <= *before)
		return complain("out of order", number, *before);
	*before = number;
	return 0;
}

/* One alone gets all, by a range; of several each has its numbers. */
static void select_own(uint64_t self)
{
	static uint64_t tags[TOL_SELECT_TAGS_MAX];
	static struct tol_select own;

	selection = NULL;
	if (cell.turn != SELECTED)
		return;
	own = (struct tol_select){
		.by = TOL_SELECT_TAG_RANGE, .last_tag = UINT64_MAX,
	};
	selection = &own;
	if (cell.receivers == 1)
		return;
	own.by = TOL_SELECT_TAGS;
	own.tags = tags;
	for (uint64_t who = 0; who < (uint64_t)cell.senders; who++)
		for (uint64_t i = self; i < (uint64_t)cell.messages;
		     i += (uint64_t)cell.receivers)
			tags[own.tags_count++] = who << 32 | i;
}

/* Of the test's own, which has sent all there are. */
static void select_all(void)
{
	static const struct tol_select all = {
		.by = TOL_SELECT_TAG_NOT, .first_tag = UINT64_MAX,
	};

	selection = cell.turn == SELECTED ? &all : NULL;
}

/* Until the end, which the test says. */
static int receiver(void *context)
{
	int64_t timeout_ns = timeout_of(cell.recv_wait);
	int64_t last[SENDERS_MAX * PRIORITIES];
	struct tol_link *link;
	uint64_t tag;
	int err = tol_open(&link, "box", NULL);

	for (size_t i = 0; i < COUNT(last); i++)
		last[i] = -1;
	select_own((uint64_t)(uintptr_t)context);
	if (err < 0)
		return complain("open", err, 0);
	for (;;) {
		err = recv_one(link, &tag, timeout_ns);
		if (err == -ENODATA)
			break;
		if (err == 0 && note(tag, last) != 0)
			return 1;
		if (err == 0)
			continue;
		if (cell.recv_wait == FOREVER || err != in_vain(cell.recv_wait))
			return complain(err == 1 ? "torn" : "receive", err,
					(int64_t)tag);
		sched_yield();
	}
	tol_close(link);
	return 0;
}

/*
 * The sizes at which a body may change its place: a byte below, at and above each
 * power of two, with and without what may stand before it. Return: 0 no more
 */
static size_t threshold(int index)
{
	static const size_t before_bytes[] = { 0, 32, 64 };
	size_t power = (size_t)1 << (7 + index / 9);

	return power > 2 * LARGE_BYTES
		       ? 0
		       : power - before_bytes[index / 3 % 3] +
				 (size_t)(index % 3) - 1;
}

static int receiver_of_thresholds(void *unused)
{
	struct tol_link *link;
	uint64_t tag;
	int err = tol_open(&link, "box", NULL);

	(void)unused;
	for (int i = 0; err == 0 && (cell.size_bytes = threshold(i)) != 0; i++) {
		err = recv_one(link, &tag, TOL_FOREVER);
		if (err == 0 && tag != (uint64_t)i)
			return complain("out of order", (int64_t)tag, i);
	}
	tol_close(link);
	return err ? complain(err == 1 ? "torn" : "receive", err,
			      (int64_t)cell.size_bytes) : 0;
}

/* ---- the test ---- */

static const char *name_of_cell(void)
{
	static const char *const waits[] = { "tries", "a while", "for ever" };
	static const char *const turns[] = { "in turn", "selected",
					     "by priority" };
	static char name[200];

	snprintf(name, sizeof(name), "capacity %lld, sends %s, receives %s, "
		 "%zu bytes, %s, %s, %d to %d", (long long)cell.capacity,
		 waits[cell.send_wait], waits[cell.recv_wait], cell.size_bytes,
		 cell.in_place ? "in place" : "copied", turns[cell.turn],
		 cell.senders, cell.receivers);
	return name;
}

#define is(got, wanted)							\
	do {								\
		int64_t got_ = (int64_t)(got);				\
		if (got_ != (int64_t)(wanted))				\
			ck_abort_msg("%s: " #got " is %lld, not %lld; %s", \
				     name_of_cell(), (long long)got_,	\
				     (long long)(wanted),		\
				     shared->complaint);		\
	} while (0)

static struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat st;

	is(tol_mailbox_stat("box", NULL, &st, NULL, NULL), 0);
	return st;
}

/* Of one that nobody else uses: empty, full, and empty again. Return: how many went */
static uint64_t check_bounds(struct tol_link *link)
{
	uint64_t tag, sent = 0, wanted = cell.capacity;

	is(recv_one(link, &tag, TOL_NOWAIT), -EAGAIN);
	is(recv_one(link, &tag, TOL_MSECS(1)), -ETIMEDOUT);
	/* As many of the large ones as memory is likely to have. */
	if (wanted == TOL_CAPACITY_UNBOUNDED)
		wanted = cell.size_bytes == LARGE_BYTES ? 5 : 200;
	else if (cell.size_bytes == LARGE_BYTES && wanted > 5)
		return 0;
	while (sent < wanted) {
		is(send_one(link, sent, timeout_of(cell.send_wait)), 0);
		sent++;
	}
	is(look().queued_msgs, sent);
	if (cell.capacity != TOL_CAPACITY_UNBOUNDED) {
		is(send_one(link, sent, TOL_NOWAIT), -EAGAIN);
		is(send_one(link, sent, TOL_MSECS(1)), -ETIMEDOUT);
	}
	for (uint32_t priority = PRIORITIES; priority-- > 0;)
		for (uint64_t i = 0; i < sent; i++) {
			if (priority_of(i) != priority)
				continue;
			is(recv_one(link, &tag, timeout_of(cell.recv_wait)), 0);
			is(tag, i);
		}
	is(recv_one(link, &tag, TOL_NOWAIT), -EAGAIN);
	return sent;
}

static void check_all_arrived(void)
{
	for (int i = 0; i < cell.senders; i++)
		for (int j = 0; j < cell.messages; j++)
			is(shared->arrived[i][j], 1);
}

static void check_nothing_left(uint64_t sent)
{
	struct tol_mailbox_stat st;
	int files = 0;
	DIR *dir;

	is(tol_space_clean(NULL, 0, NULL, NULL) < 0, 0);
	st = look();
	is(st.queued_msgs, 0);
	is(st.held_msgs, 0);
	is(st.dead_msgs, 0);
	is(st.sent_msgs, sent);
	is(st.received_msgs, sent);
	is(st.dead_count, 0);
	dir = opendir(support_space);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		files += entry->d_name[0] != '.';
	closedir(dir);
	is(files, 1);
	is(tol_mailbox_remove("box", NULL), 0);
}

static void run_cell(void)
{
	pid_t senders[SENDERS_MAX], receivers[RECEIVERS_MAX];
	struct tol_link *link;
	uint64_t sent;

	memset(shared, 0, sizeof(*shared));
	is(tol_mailbox_create("box", cell.capacity, NULL), 1);
	is(tol_open(&link, "box", NULL), 0);
	select_all();
	sent = check_bounds(link);
	for (int i = 0; i < cell.receivers; i++)
		receivers[i] = support_fork(receiver, (void *)(uintptr_t)i);
	for (int i = 0; i < cell.senders; i++)
		senders[i] = support_fork(sender, (void *)(uintptr_t)i);
	for (int i = 0; i < cell.senders; i++)
		is(support_wait(senders[i]), 0);
	is(tol_shutdown(link), 0);
	for (int i = 0; i < cell.receivers; i++)
		is(support_wait(receivers[i]), 0);
	check_all_arrived();
	tol_close(link);
	check_nothing_left(sent + (uint64_t)(cell.senders * cell.messages));
}

/* All cells of one capacity, one way of waiting, copied or in place. */
static void run_cells(enum wait send_wait, enum wait recv_wait)
{
	cell.send_wait = send_wait;
	cell.recv_wait = recv_wait;
	for (size_t i = 0; i < COUNT(sizes) * COUNT(many) * COUNT(many); i++) {
		cell.size_bytes = sizes[i % COUNT(sizes)];
		/* The turn is the same for bodies in the mailbox's memory. */
		if (cell.turn != IN_TURN && i % COUNT(sizes) % 2 == 0)
			continue;
		cell.senders = many[i / COUNT(sizes) % COUNT(many)];
		cell.receivers = many[i / COUNT(sizes) / COUNT(many)];
		cell.messages = cell.size_bytes == LARGE_BYTES ? 3
							       : MESSAGES_MAX;
		run_cell();
	}
}

START_TEST(cells)
{
	size_t i = (size_t)_i % (COUNT(capacities) * WAITS_COUNT * 2);
	enum wait wait = (enum wait)(i / COUNT(capacities) % WAITS_COUNT);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	cell.capacity = capacities[i % COUNT(capacities)];
	cell.in_place = i / COUNT(capacities) / WAITS_COUNT;
	cell.turn = (enum turn)((size_t)_i / (COUNT(capacities) * WAITS_COUNT *
					      2));
	if (cell.capacity == 0 && wait == NOWAIT) {
		run_cells(NOWAIT, FOREVER);
		run_cells(FOREVER, NOWAIT);
	} else {
		run_cells(wait, wait);
	}
	munmap(shared, sizeof(*shared));
}
END_TEST

START_TEST(thresholds)
{
	struct tol_link *link;
	uint64_t sent = 0;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	cell = (struct cell){
		.capacity = capacities[(size_t)_i % COUNT(capacities)],
		.send_wait = FOREVER, .recv_wait = FOREVER,
		.in_place = (size_t)_i >= COUNT(capacities),
		.senders = 1, .receivers = 1,
	};
	is(tol_mailbox_create("box", cell.capacity, NULL), 1);
	is(tol_open(&link, "box", NULL), 0);
	pid = support_fork(receiver_of_thresholds, NULL);
	while ((cell.size_bytes = threshold((int)sent)) != 0) {
		is(send_one(link, sent, TOL_FOREVER), 0);
		sent++;
	}
	is(support_wait(pid), 0);
	tol_close(link);
	check_nothing_left(sent);
	munmap(shared, sizeof(*shared));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("matrix");
	TCase *tests = support_tcase("matrix");

	tcase_add_loop_test(tests, cells, 0,
			    (int)(COUNT(capacities) * WAITS_COUNT * 2 *
				  TURNS_COUNT));
	tcase_add_loop_test(tests, thresholds, 0, (int)COUNT(capacities) * 2);
	suite_add_tcase(suite, tests);
	return support_run(suite);
}
