/* SPDX-License-Identifier: MIT */
#include "fake_futex.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define SLEEPERS_MAX 8
#define WAITS_MAX 1000

/* A call that is in the kernel; an inner one began later than the outer. */
struct sleeper {
	const struct futex_word *words;
	unsigned int queued_count;
	uint32_t woken_mask;
};

struct fake fake;
static struct sleeper sleepers[SLEEPERS_MAX];
static int sleepers_count;

static void reach(enum fake_point point)
{
	void (*happens)(void) = fake.at[point];

	fake.at[point] = NULL;
	if (happens)
		happens();
}

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.now_ns = 1000000000;
	fake.has_waitv = true;
	sleepers_count = 0;
}

int fake_calls_count(void)
{
	return fake.waits_count + fake.wait_ones_count + fake.wakes_count +
	       fake.clocks_count;
}

static int64_t fake_now_ns(void)
{
	fake.clocks_count++;
	reach(FAKE_CLOCK);
	fake.now_ns += fake.tick_ns;
	return fake.now_ns;
}

/* The last of the words that it was woken on, as the kernel says it. */
static int woken_index(const struct sleeper *sleeper)
{
	int index = -1;

	for (int i = 0; i < FUTEX_WORDS_MAX; i++)
		if (sleeper->woken_mask & 1u << i)
			index = i;
	return index;
}

/*
 * The kernel knows a shared word by file and offset, so links meet there that
 * have it mapped at different addresses. The words that are woken all lie in the
 * first page of a mailbox; a slot never has the offset of one in these tests.
 */
static bool is_same_word(const uint32_t *a, const uint32_t *b)
{
	return ((uintptr_t)a & 4095) == ((uintptr_t)b & 4095);
}

/* Who is woken on one word stays queued on the others until it runs. */
static int wake_on(const uint32_t *word, int count)
{
	int woken = 0;

	for (int i = 0; i < sleepers_count && woken < count; i++) {
		struct sleeper *sleeper = &sleepers[i];

		for (unsigned int j = 0; j < sleeper->queued_count; j++) {
			if (!is_same_word(sleeper->words[j].word, word) ||
			    sleeper->woken_mask & 1u << j)
				continue;
			sleeper->woken_mask |= 1u << j;
			woken++;
			break;
		}
	}
	return woken;
}

static int fake_wake(uint32_t *word, int count)
{
	int woken;

	fake.wakes_count++;
	reach(FAKE_BEFORE_WAKE);
	woken = wake_on(word, count);
	fake.woken_count += woken;
	reach(FAKE_AFTER_WAKE);
	return woken;
}

int fake_die(const uint32_t *bell)
{
	return wake_on(bell, 1);
}

int fake_kill_sleeper(const uint32_t *bell)
{
	ck_assert_int_gt(sleepers_count, 0);
	sleepers[0].queued_count = 0;
	return wake_on(bell, 1);
}

/* Queue and compare one word after the other; return: -EAGAIN or 0 */
static int queue(struct sleeper *sleeper, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		sleeper->queued_count = i + 1;
		if (i < 3)
			reach((enum fake_point)(FAKE_QUEUED_1 + i));
		if (__atomic_load_n(sleeper->words[i].word, __ATOMIC_SEQ_CST) !=
		    sleeper->words[i].value)
			return -EAGAIN;
	}
	return 0;
}

static int sleep_until(struct sleeper *sleeper, int64_t deadline_ns)
{
	while (sleeper->woken_mask == 0) {
		int error = fake.next_error;

		fake.next_error = 0;
		if (error)
			return error;
		if (fake.now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (fake.at[FAKE_ASLEEP]) {
			reach(FAKE_ASLEEP);
			continue;
		}
		ck_assert_msg(deadline_ns != FUTEX_NO_DEADLINE,
			      "asleep, and nobody will wake it");
		fake.now_ns = deadline_ns;
	}
	return 0;
}

static int wait_on(const struct futex_word *words, unsigned int count,
		   int64_t deadline_ns)
{
	struct sleeper *sleeper = &sleepers[sleepers_count];
	int rc, index;

	ck_assert_int_lt(sleepers_count, SLEEPERS_MAX);
	ck_assert_msg(fake.waits_count + fake.wait_ones_count < WAITS_MAX,
		      "it goes to sleep over and over");
	*sleeper = (struct sleeper){ .words = words };
	sleepers_count++;
	fake.last_deadline_ns = deadline_ns;
	rc = queue(sleeper, count);
	if (rc == 0) {
		fake.sleeps_count++;
		rc = sleep_until(sleeper, deadline_ns);
	}
	index = woken_index(sleeper);
	sleepers_count--;
	ck_assert_ptr_eq(sleeper, &sleepers[sleepers_count]);
	return index >= 0 ? index : rc;
}

static int fake_wait(const struct futex_word *words, unsigned int count,
		     int64_t deadline_ns)
{
	fake.waits_count++;
	reach(FAKE_BEFORE_WAIT);
	if (!fake.has_waitv)
		return -ENOSYS;
	return wait_on(words, count, deadline_ns);
}

static int fake_wait_one(const struct futex_word *word, int64_t deadline_ns)
{
	fake.wait_ones_count++;
	return wait_on(word, 1, deadline_ns);
}

const struct futex_ops fake_futex_ops = {
	.now_ns = fake_now_ns,
	.wait = fake_wait,
	.wait_one = fake_wait_one,
	.wake = fake_wake,
};
