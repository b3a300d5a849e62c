/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_IDENTITY_H
#define LAYOUT_IDENTITY_H

/*
 * Who those are that have sent: a table at the end of a mailbox's file, of as many
 * processes as have opened it, in turn. A message names its sender by
 *
 *	 31   28 27                12 11              0
 *	+-------+--------------------+-----------------+
 *	| turn  |      identity      |   participant   |
 *	+-------+--------------------+-----------------+
 *
 * turn: of the low bits of how often the record has been used. Identity 0 is nobody's.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITIES_COUNT 65536u
#define IDENTITY_SHIFT 12
#define IDENTITY_TURN_SHIFT 28
#define IDENTITY_NUMBER_MASK 0xfffu

struct identity_layout {
	uint32_t turn;		/* 0: never used */
	uint32_t number;	/* of the participant */
	uint32_t pid, uid, gid;
	uint32_t pad_20;
	int64_t start_ns;	/* of the process, since the machine started */
	char program[16];
	uint8_t pad_48[16];
};

static_assert(sizeof(struct identity_layout) == 64, "layout");

static inline uint32_t identity_make(uint32_t number, uint32_t identity,
				     uint32_t turn)
{
	return (number & IDENTITY_NUMBER_MASK) | identity << IDENTITY_SHIFT |
	       turn << IDENTITY_TURN_SHIFT;
}

static inline uint32_t identity_number(uint32_t sender)
{
	return sender & IDENTITY_NUMBER_MASK;
}

static inline uint32_t identity_of(uint32_t sender)
{
	return sender >> IDENTITY_SHIFT & (IDENTITIES_COUNT - 1);
}

#endif
