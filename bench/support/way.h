/* SPDX-License-Identifier: MIT */
#ifndef BENCH_WAY_H
#define BENCH_WAY_H

/*
 * One way to receive a message that is wanted from among others, as the one loop of
 * the bench sees it. All in one process: what is measured is the finding.
 */

#include <mqueue.h>
#include <stdbool.h>
#include <stdint.h>
#include <tolsey.h>

enum wanted {
	WANTED_TAG_OF_TWO,	/* all others have one other tag */
	WANTED_TAG_OF_MANY,	/* all others have tags of their own */
	WANTED_SET,		/* one of 64, among tags of their own */
	WANTED_RANGE,		/* a range of ten tags, among tags of their own */
	WANTED_ALL_BUT,		/* all others have the tag that is not wanted */
	WANTED_LOWEST,		/* the lowest up to ten, among tags of their own */
	WANTED_SENDER,		/* all others are from another process */
	WANTED_PRIORITY,	/* all others have a lower one */
	WANTED_COUNT
};

#define WAY_BODY_BYTES 16u	/* number, and the same again */
#define WAY_MSGS_MORE 64u	/* that a queue holds beside the others */

struct way;

struct queue {
	const struct way *way;
	enum wanted wanted;
	uint64_t others_count;
	char reason[96];	/* why open failed */
	char name[64];
	struct tol_link *link;
	struct tol_select select;
	uint64_t tags[TOL_SELECT_TAGS_MAX];
	int sysv_id;
	mqd_t mq;
	int wanted_pid;		/* the one who sends what is wanted */
};

struct way {
	const char *name;
	unsigned int wanteds;	/* bits 1 << enum wanted */
	/* 0, or -1 and a reason */
	int (*open)(struct queue *queue);
	/* In a new process: what it needs to receive. 0 or -errno */
	int (*join)(struct queue *queue);
	/* One of the others, number @i. 0 or -errno */
	int (*send_other)(struct queue *queue, uint64_t i);
	int (*send_wanted)(struct queue *queue, const uint64_t body[2]);
	int (*recv_wanted)(struct queue *queue, uint64_t body[2]);
	void (*close)(struct queue *queue);
};

extern const struct way way_tolsey, way_sysv, way_mq;

/* A tag or type that no other @i has, above all that are wanted. */
static inline uint64_t way_own_tag(uint64_t i)
{
	return 1000 + (i * 2654435761u & 0x3fffffff);
}

#endif
