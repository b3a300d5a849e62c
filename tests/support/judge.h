/* SPDX-License-Identifier: MIT */
#ifndef JUDGE_H
#define JUDGE_H

/*
 * Whether what several processes wrote down of their calls can have been: each took
 * effect at some moment between two times, and one that a killed process began may
 * have, or not. The judge knows nothing of how a mailbox works. With capacity 0 its
 * count of what is queued says that a send has not returned before its receive began.
 */

#include <stddef.h>
#include <stdint.h>

#define JUDGE_ENTRIES_MAX 12000

enum op { OP_SEND = 1, OP_RECV, OP_TAKE, OP_ACK, OP_RETURN };

struct entry {
	enum op op;
	int is_done;		/* or its process was killed in it */
	int64_t begin_ns, end_ns;
	int64_t result;		/* 0, or -errno */
	uint64_t id;		/* of the message */
	uint64_t position;
	uint32_t tries;
	int is_whole;
	int may_wait;
	unsigned int wanted;	/* bits of the tags that a receiver asked for */
	uint64_t tag;		/* of what came */
};

#define TAGS 4
#define ANY_TAG ((1u << TAGS) - 1)

/* Messages have tags and priorities, and are asked for. */
extern int is_sorted;

/* Both follow from the number of a message. */
uint64_t tag_of(uint64_t id);
uint32_t priority_of(uint64_t id);

/* Everything that was written down about one message. */
struct life {
	uint64_t id;
	const struct entry *send;
	uint64_t position;
	int has_position;
	int finals;		/* received, or taken and done with */
	int has_doubt;		/* a call of a killed one may have ended it */
	const struct entry *first;	/* delivered for the first time */
	int is_first_known;	/* nobody had it before: tries is 1 */
};

struct history {
	const struct entry *entries[JUDGE_ENTRIES_MAX];
	size_t count;
	struct life lives[JUDGE_ENTRIES_MAX];
	size_t lives_count;
	int doubts;		/* calls of killed ones that take something */
	uint64_t capacity_msgs;
};

/* Is it a receive or a take that got something? */
int is_delivery(const struct entry *entry);

/* Return: NULL, or what is wrong */
const char *judge(struct history *history);

#endif
