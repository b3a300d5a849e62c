/* SPDX-License-Identifier: MIT */
#include "waiters.h"

#include <errno.h>

#include "core/body.h"
#include "fake_futex.h"
#include "support.h"
#include "tolsey.h"

struct tol_link *one, *two, *three;
bool waits_to_send;
static void *pending_before;

static struct tol_link *open_link(unsigned int flags)
{
	struct tol_open_opts opts = { .flags = flags };
	struct tol_link *link;

	ck_assert_int_eq(tol_open(&link, "box", &opts), 0);
	link->futex = &fake_futex_ops;
	return link;
}

void waiters_begin(int index)
{
	struct robust_head *head = robust_find_head();

	pending_before = head == ROBUST_NONE ? NULL : head->list_op_pending;
	waits_to_send = index == 1;
	fake_reset();
	ck_assert_int_eq(tol_mailbox_create("box", 2, NULL), 1);
	one = open_link(TOL_SPIN_NEVER);
	two = open_link(TOL_SPIN_NEVER);
	three = open_link(TOL_SPIN_NEVER);
	for (int i = 0; waits_to_send && i < 2; i++)
		ck_assert_int_eq(tol_send(three, "o", 1, TOL_NOWAIT), 0);
	fake_reset();
}

void waiters_end(void)
{
	if (robust_thread_head != ROBUST_NONE &&
	    robust_thread_head != ROBUST_UNKNOWN)
		robust_thread_head->list_op_pending = pending_before;
	tol_close(one);
	tol_close(two);
	tol_close(three);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

/* The word of the kind that waits. */
static uint64_t *sleepers(void)
{
	return waits_to_send ? &one->head->senders : &one->head->receivers;
}

uint32_t count(void)
{
	return (uint32_t)*sleepers();
}

uint32_t epoch(void)
{
	return (uint32_t)(*sleepers() >> 32);
}

void set_sleepers(uint32_t new_count, uint32_t new_epoch)
{
	*sleepers() = (uint64_t)new_epoch << 32 | new_count;
}

int wait_call(struct tol_link *link, int64_t timeout_ns)
{
	char byte;
	ssize_t n;

	if (waits_to_send)
		return tol_send(link, "w", 1, timeout_ns);
	n = tol_recv(link, &byte, 1, timeout_ns);
	ck_assert(n < 0 || n == 1);
	return n < 0 ? (int)n : 0;
}

int serve_call(struct tol_link *link)
{
	char byte;

	if (!waits_to_send)
		return tol_send(link, "s", 1, TOL_NOWAIT);
	return tol_recv(link, &byte, 1, TOL_NOWAIT) == 1 ? 0 : -EAGAIN;
}

void serve_two(void)
{
	ck_assert_int_eq(serve_call(two), 0);
}

void serve_three(void)
{
	ck_assert_int_eq(serve_call(three), 0);
}

void serve_only(struct tol_link *link)
{
	if (waits_to_send) {
		struct ring_message message;
		struct ring_gate gate;

		ck_assert_int_eq(ring_find_message(link, &message, &gate), 0);
		ck_assert(ring_consume(link, &message));
	} else {
		struct ring_room room;
		struct draft draft;

		ck_assert_int_eq(ring_find_room(link, &room), 0);
		ck_assert_int_eq(draft_make(link, "s", 1,
					    &(struct draft_extra){ 0 }, &draft), 0);
		ck_assert_int_eq(ring_publish(link, draft.block.unit, &room),
				 0);
		pool_commit(link, &draft.block, room.position + 1);
	}
}

void serve_and_stop(void)
{
	serve_only(two);
}

void serve_and_die(void)
{
	serve_only(two);
	ck_assert_int_eq(fake_die(&two->head->bell), 1);
}
