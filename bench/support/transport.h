/* SPDX-License-Identifier: MIT */
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * One way to pass messages between two processes, as the one loop of the
 * bench sees it. Queue 0 leads from the driver to its peer, queue 1 back.
 */

enum bench_mode {
	MODE_POLL,	/* no call waits; the loop calls again */
	MODE_BLOCK,	/* every call waits as the mechanism waits by default */
};

/* Of a queue, where the mechanism lets us choose: 64 messages or 8 MiB. */
static inline uint64_t depth_msgs(size_t size_bytes)
{
	return size_bytes > (8u << 20) / 64 ? (8u << 20) / size_bytes : 64;
}

struct pair;

struct transport {
	const char *name;
	unsigned int modes;	/* bits 1 << enum bench_mode */
	/* Before the fork. 0, or -1 with ret_reason why it cannot be. */
	int (*open_pair)(struct pair *pair);
	/* In each process, after the fork. 0 or -errno. */
	int (*join)(struct pair *pair);
	/* 1 done, 0 would wait (MODE_POLL only), -errno. A message is whole. */
	int (*send)(struct pair *pair, int queue, const void *body);
	int (*recv)(struct pair *pair, int queue, void *body);
	/* The message was read where it lies. NULL: recv copies it to @body */
	int (*end)(struct pair *pair, int queue);
	void (*leave)(struct pair *pair);
	void (*close_pair)(struct pair *pair);
};

struct pair {
	const struct transport *transport;
	enum bench_mode mode;
	size_t size_bytes;		/* of every message */
	char reason[96];		/* why open_pair failed */
	int fds[2][2];			/* [queue][0 to receive, 1 to send] */
	size_t done_bytes[2][2];	/* of a message that is under way */
	int ids[2];			/* System V */
	int *remember_ids;		/* what to remove after a Ctrl-C */
	void *links[2];
	void *held;			/* struct tol_message, until end() */
	const void *received;		/* where the last message lies */
	void *memory;
	size_t memory_bytes;
	uint64_t positions[2];
};

extern const struct transport transport_tolsey, transport_tolsey_sleeping,
	transport_tolsey_in_place, transport_tolsey_unbounded,
	transport_tolsey_meeting,
	transport_pipe, transport_stream, transport_seqpacket,
	transport_posix_mq, transport_sysv, transport_ring;

#endif
