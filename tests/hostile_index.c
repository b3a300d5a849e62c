/* SPDX-License-Identifier: MIT */
/*
 * Arbitrary bytes in the index of a mailbox, before a call and while others call: an
 * error, or a message that is not what was sent; no crash, no hang.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/link.h"
#include "support.h"
#include "tolsey.h"

#define MESSAGES 24u
#define HANG_SECS 60

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* What a call may say to that. */
static bool is_fine(int64_t result)
{
	return result >= 0 || result == -EBADMSG || result == -EAGAIN ||
	       result == -ETIMEDOUT || result == -EMSGSIZE ||
	       result == -ENOSPC || result == -EUSERS || result == -ESTALE ||
	       result == -ENODATA || result == -EIDRM || result == -ENOENT ||
	       result == -ESHUTDOWN || result == -ENOMEM || result == -EPROTO;
}

static struct tol_link *make(uint64_t capacity_msgs)
{
	static const struct tol_select nothing = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = 1000,
		.last_tag = 1000,
	};
	struct tol_link *link = NULL;
	struct tol_message message;

	ck_assert_int_eq(tol_mailbox_create("box", capacity_msgs, NULL), 1);
	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		const struct tol_send_opts opts = {
			.tag = i % 7, .priority = i % 3,
		};

		ck_assert_int_eq(tol_send_message(link, &i, sizeof(i),
						  TOL_NOWAIT, &opts), 0);
		if (i == MESSAGES - 4)
			ck_assert_int_eq(tol_recv_select(link, &nothing, NULL,
							 0, TOL_NOWAIT,
							 &message), -EAGAIN);
	}
	/* So that its places have been used. */
	ck_assert_int_eq(tol_recv_select(link, &nothing, NULL, 0, 1000,
					 &message), -ETIMEDOUT);
	return link;
}

/* Each call that uses the index once. Return: 0, or which was not fine */
static int use_once(struct tol_link *link)
{
	uint64_t tags[] = { next_random() % 8, next_random() };
	struct tol_select select = {
		.by = (enum tol_select_by)(next_random() % 6),
		.first_tag = next_random() % 4,
		.last_tag = 4 + next_random() % 4,
		.tags = tags, .tags_count = 2, .sender_pid = getpid(),
	};
	const struct tol_send_opts opts = { .tag = 3, .priority = 2 };
	const struct tol_take_opts take = { .select = &select };
	struct tol_mailbox_health health;
	struct tol_mailbox_stat stat;
	struct tol_message message;
	char buf[64];

	if (!is_fine(tol_recv_select(link, &select, buf, sizeof(buf),
				     20000, &message)))
		return 1;
	if (!is_fine(tol_send_message(link, "xxxx", 4, TOL_NOWAIT, &opts)))
		return 2;
	if (!is_fine(tol_peek_select(link, &select, next_random() % 3, buf,
				     sizeof(buf), &message)))
		return 3;
	if (!is_fine(tol_recv(link, buf, sizeof(buf), TOL_NOWAIT)))
		return 4;
	if (!is_fine(tol_take(link, TOL_NOWAIT, &take, &message)))
		return 5;
	if (!is_fine(tol_mailbox_stat("box", NULL, &stat, NULL, NULL)))
		return 6;
	if (next_random() % 8 == 0 &&
	    !is_fine(tol_mailbox_verify("box", NULL, &health, NULL, NULL)))
		return 7;
	if (next_random() % 4 == 0 && !is_fine(tol_purge(link)))
		return 8;
	if (next_random() % 4 != 0)
		return 0;
	return is_fine(tol_space_clean(NULL, 0, NULL, NULL)) ? 0 : 9;
}

/* A word of the index that has memory. */
static uint64_t *choose_word(struct tol_link *link)
{
	switch (next_random() % 6) {
	case 0:
		return (uint64_t *)link->index + next_random() % 32;
	case 1:
		return (uint64_t *)link->entries +
		       next_random() % (MESSAGES * 8);
	case 2:
		return (uint64_t *)link->nodes + next_random() % (MESSAGES * 8);
	case 3:
		return (uint64_t *)link->waiters + next_random() % 72;
	case 4:
		return (uint64_t *)(void *)((uint8_t *)link->head +
					    link->geometry.lists_offset) +
		       next_random() % 64;
	default:
		return &link->ring[next_random() % MESSAGES];
	}
}

static void scribble(struct tol_link *link)
{
	uint64_t *word = choose_word(link);

	switch (next_random() % 5) {
	case 0:
		*word = next_random();
		break;
	case 1:
		*word ^= UINT64_C(1) << next_random() % 64;
		break;
	case 2:
		*word = *choose_word(link);
		break;
	case 3:
		*word += next_random() % 3 - 1;
		break;
	default:
		*word = 0;
	}
}

static const uint64_t capacities[] = { 32, TOL_CAPACITY_UNBOUNDED };

/* In a process of its own: it may crash or hang. */
static int scribble_and_use(void *context)
{
	uint64_t number = *(const uint64_t *)context;
	struct tol_link *link = make(capacities[number % 2]);

	alarm(HANG_SECS);
	state = support_seed() + number * 7919 + 1;
	for (int i = 0; i < 12; i++) {
		for (uint64_t k = next_random() % 4 + 1; k > 0; k--)
			scribble(link);
		link->head->control = CONTROL_LIVE;
		if (use_once(link) != 0)
			return 1;
	}
	tol_close(link);
	return 0;
}

START_TEST(before_a_call)
{
	for (uint64_t number = 0; number < 30; number++) {
		uint64_t here = number + (uint64_t)_i * 1000;
		int status = support_wait(support_fork(scribble_and_use, &here));

		ck_assert_msg(status == 0, "%llu: %d",
			      (unsigned long long)here, status);
		tol_mailbox_remove("box", NULL);
	}
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
}
END_TEST

static int use_for_ever(void *context)
{
	struct tol_link *link = context;

	(void)link;
	if (tol_open(&link, "box", NULL) < 0)
		return 0;
	alarm(HANG_SECS);
	state = (uint64_t)getpid() * 31 + 7;
	for (int i = 0; i < 150; i++)
		if (use_once(link) != 0)
			return 1;
	tol_close(link);
	return 0;
}

/* Live, by one who goes on while others call. */
START_TEST(while_others_call)
{
	struct tol_link *link = make(capacities[_i % 2]);
	pid_t pids[2];

	state = support_seed() + (uint64_t)_i;
	for (int i = 0; i < 2; i++)
		pids[i] = support_fork(use_for_ever, NULL);
	for (int i = 0; i < 2; i++) {
		siginfo_t info = { .si_pid = 0 };

		while (info.si_pid == 0) {
			scribble(link);
			link->head->control = CONTROL_LIVE;
			ck_assert_int_eq(waitid(P_PID, (id_t)pids[i], &info,
						WEXITED | WNOHANG | WNOWAIT),
					 0);
		}
		ck_assert_int_eq(support_wait(pids[i]), 0);
	}
	tol_close(link);
	tol_mailbox_remove("box", NULL);
	ck_assert_int_ge(tol_space_clean(NULL, 0, NULL, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_index");
	TCase *tcase = support_tcase("hostile_index");

	tcase_set_timeout(tcase, 250);
	tcase_add_loop_test(tcase, before_a_call, 0, 2);
	tcase_add_loop_test(tcase, while_others_call, 0, 4);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
