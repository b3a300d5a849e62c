/* SPDX-License-Identifier: MIT */
/*
 * The limit: one sender, one receiver, a flag before each payload, no library,
 * no crash safety, no second sender, no sleeping. What the hardware allows.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "transport.h"

#define LINE_BYTES 64

/* The flag is position + 1 when the slot is full, 0 when it is empty. */
static _Atomic uint64_t *ring_slot(struct pair *pair, int queue)
{
	size_t stride_bytes = (pair->size_bytes + 8 + LINE_BYTES - 1) /
		LINE_BYTES * LINE_BYTES;
	uint64_t depth = depth_msgs(pair->size_bytes);
	size_t slot = (size_t)queue * depth + pair->positions[queue] % depth;

	return (_Atomic uint64_t *)(void *)((char *)pair->memory +
					    slot * stride_bytes);
}

static int ring_open_pair(struct pair *pair)
{
	size_t stride_bytes = (pair->size_bytes + 8 + LINE_BYTES - 1) /
		LINE_BYTES * LINE_BYTES;

	pair->memory_bytes = 2 * depth_msgs(pair->size_bytes) * stride_bytes;
	pair->positions[0] = pair->positions[1] = 0;
	pair->memory = mmap(NULL, pair->memory_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (pair->memory != MAP_FAILED)
		return 0;
	snprintf(pair->reason, sizeof(pair->reason), "mmap: %s",
		 strerror(errno));
	return -1;
}

static int ring_join(struct pair *pair)
{
	(void)pair;
	return 0;
}

static int ring_send(struct pair *pair, int queue, const void *body)
{
	_Atomic uint64_t *flag = ring_slot(pair, queue);

	if (atomic_load_explicit(flag, memory_order_acquire) != 0)
		return 0;
	memcpy((char *)(flag + 1), body, pair->size_bytes);
	atomic_store_explicit(flag, ++pair->positions[queue],
			      memory_order_release);
	return 1;
}

static int ring_recv(struct pair *pair, int queue, void *body)
{
	_Atomic uint64_t *flag = ring_slot(pair, queue);

	if (atomic_load_explicit(flag, memory_order_acquire) == 0)
		return 0;
	memcpy(body, (char *)(flag + 1), pair->size_bytes);
	atomic_store_explicit(flag, 0, memory_order_release);
	pair->positions[queue]++;
	return 1;
}

static void ring_leave(struct pair *pair)
{
	(void)pair;
}

static void ring_close_pair(struct pair *pair)
{
	munmap(pair->memory, pair->memory_bytes);
}

const struct transport transport_ring = {
	.name = "limit: bare ring",
	.modes = 1u << MODE_POLL,
	.open_pair = ring_open_pair,
	.join = ring_join,
	.send = ring_send,
	.recv = ring_recv,
	.leave = ring_leave,
	.close_pair = ring_close_pair,
};
