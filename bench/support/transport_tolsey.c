/* SPDX-License-Identifier: MIT */
/* Two mailboxes in $TOLSEY_SPACE. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tolsey.h>

#include "transport.h"

static const char *const names[2] = { "bench-ping", "bench-pong" };

static void tolsey_close_pair(struct pair *pair)
{
	(void)pair;
	for (int i = 0; i < 2; i++)
		tol_mailbox_remove(names[i], NULL);
}

static int tolsey_open_pair(struct pair *pair)
{
	uint64_t capacity_msgs = depth_msgs(pair->size_bytes);

	if (pair->transport == &transport_tolsey_unbounded)
		capacity_msgs = TOL_CAPACITY_UNBOUNDED;
	if (pair->transport == &transport_tolsey_meeting)
		capacity_msgs = 0;
	for (int i = 0; i < 2; i++) {
		int r = tol_mailbox_create(names[i], capacity_msgs, NULL);

		if (r < 0) {
			snprintf(pair->reason, sizeof(pair->reason),
				 "%s: %.60s", names[i], tol_strerror(r));
			tolsey_close_pair(pair);
			return -1;
		}
	}
	return 0;
}

static int tolsey_join(struct pair *pair)
{
	struct tol_open_opts opts = {
		.flags = pair->transport == &transport_tolsey_sleeping
				 ? TOL_SPIN_NEVER : 0,
	};

	for (int i = 0; i < 2; i++) {
		struct tol_link *link;
		int r = tol_open(&link, names[i], &opts);

		if (r < 0)
			return r;
		pair->links[i] = link;
	}
	return 0;
}

static int tolsey_send(struct pair *pair, int queue, const void *body)
{
	int r = tol_send(pair->links[queue], body, pair->size_bytes,
			 pair->mode == MODE_POLL ? TOL_NOWAIT : TOL_FOREVER);

	return r == 0 ? 1 : r == -EAGAIN ? 0 : r;
}

static int tolsey_recv(struct pair *pair, int queue, void *body)
{
	ssize_t n = tol_recv(pair->links[queue], body, pair->size_bytes,
			     pair->mode == MODE_POLL ? TOL_NOWAIT :
			     TOL_FOREVER);

	if (n == (ssize_t)pair->size_bytes)
		return 1;
	return n == -EAGAIN ? 0 : n < 0 ? (int)n : -EBADMSG;
}

/* Written where it is sent from: the copy stands for making the message. */
static int in_place_send(struct pair *pair, int queue, const void *body)
{
	struct tol_loan loan;
	int r = tol_loan(pair->links[queue], pair->size_bytes, &loan);

	if (r < 0)
		return r;
	memcpy(loan.body, body, pair->size_bytes);
	r = tol_post(pair->links[queue], &loan,
		     pair->mode == MODE_POLL ? TOL_NOWAIT : TOL_FOREVER, NULL);
	if (r == 0)
		return 1;
	tol_loan_drop(pair->links[queue], &loan);
	return r == -EAGAIN ? 0 : r;
}

static int in_place_recv(struct pair *pair, int queue, void *body)
{
	static struct tol_message message;
	int r = tol_take(pair->links[queue], pair->mode == MODE_POLL ?
			 TOL_NOWAIT : TOL_FOREVER, NULL, &message);

	(void)body;
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	pair->held = &message;
	pair->received = message.body;
	return message.size_bytes == pair->size_bytes ? 1 : -EBADMSG;
}

static int in_place_end(struct pair *pair, int queue)
{
	return tol_ack(pair->links[queue], pair->held);
}

static void tolsey_leave(struct pair *pair)
{
	for (int i = 0; i < 2; i++)
		tol_close(pair->links[i]);
}

#define TOLSEY_TRANSPORT(shown, how) {					\
	.name = shown, .modes = how,					\
	.open_pair = tolsey_open_pair, .join = tolsey_join,		\
	.send = tolsey_send, .recv = tolsey_recv,			\
	.leave = tolsey_leave, .close_pair = tolsey_close_pair,		\
}

const struct transport transport_tolsey =
	TOLSEY_TRANSPORT("tolsey", 1u << MODE_POLL | 1u << MODE_BLOCK);

/* As the kernel's ways do it: who has to wait sleeps at once. */
const struct transport transport_tolsey_sleeping =
	TOLSEY_TRANSPORT("tolsey, no spin", 1u << MODE_BLOCK);

/* tol_loan() and tol_post(), tol_take() and tol_ack(). */
const struct transport transport_tolsey_in_place = {
	.name = "tolsey in place",
	.modes = 1u << MODE_POLL | 1u << MODE_BLOCK,
	.open_pair = tolsey_open_pair, .join = tolsey_join,
	.send = in_place_send, .recv = in_place_recv, .end = in_place_end,
	.leave = tolsey_leave, .close_pair = tolsey_close_pair,
};

/* Capacity 0: who polls never meets another who does. */
const struct transport transport_tolsey_meeting = {
	.name = "tolsey capacity 0",
	.modes = 1u << MODE_BLOCK,
	.open_pair = tolsey_open_pair, .join = tolsey_join,
	.send = tolsey_send, .recv = tolsey_recv,
	.leave = tolsey_leave, .close_pair = tolsey_close_pair,
};

/*
 * Nothing would keep the sender from running ahead: here it waits as if the queue
 * were as deep as the others, so that the backlog is as short as theirs. The
 * receiver says how far it is every TELL_EVERY messages.
 */
#define TELL_EVERY 4

struct progress {
	_Alignas(64) uint64_t told;	/* by the receiver */
	_Alignas(64) uint64_t received;
	_Alignas(64) uint64_t sent, seen;
};

static struct progress *progress_of(const struct pair *pair, int queue)
{
	return (struct progress *)pair->memory + queue;
}

static int unbounded_open_pair(struct pair *pair)
{
	void *memory = mmap(NULL, 2 * sizeof(struct progress),
			    PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		snprintf(pair->reason, sizeof(pair->reason), "no memory");
		return -1;
	}
	pair->memory = memory;
	return tolsey_open_pair(pair);
}

static int unbounded_send(struct pair *pair, int queue, const void *body)
{
	struct progress *p = progress_of(pair, queue);
	int r;

	if (p->sent - p->seen >= depth_msgs(pair->size_bytes)) {
		p->seen = __atomic_load_n(&p->told, __ATOMIC_ACQUIRE);
		if (p->sent - p->seen >= depth_msgs(pair->size_bytes))
			return 0;
	}
	r = tolsey_send(pair, queue, body);
	p->sent += r == 1;
	return r;
}

static int unbounded_recv(struct pair *pair, int queue, void *body)
{
	struct progress *p = progress_of(pair, queue);
	int r = tolsey_recv(pair, queue, body);

	if (r == 1 && ++p->received % TELL_EVERY == 0)
		__atomic_store_n(&p->told, p->received, __ATOMIC_RELEASE);
	return r;
}

static void unbounded_close_pair(struct pair *pair)
{
	munmap(pair->memory, 2 * sizeof(struct progress));
	tolsey_close_pair(pair);
}

const struct transport transport_tolsey_unbounded = {
	.name = "tolsey unbounded",
	.modes = 1u << MODE_POLL | 1u << MODE_BLOCK,
	.open_pair = unbounded_open_pair, .join = tolsey_join,
	.send = unbounded_send, .recv = unbounded_recv,
	.leave = tolsey_leave, .close_pair = unbounded_close_pair,
};
