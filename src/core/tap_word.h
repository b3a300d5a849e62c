/* SPDX-License-Identifier: MIT */
#ifndef CORE_TAP_WORD_H
#define CORE_TAP_WORD_H

/* The word in which taps announce themselves, and their names. */

#include "core/tap.h"

static inline uint16_t tap_number(uint64_t word, unsigned int field)
{
	return (uint16_t)(word >> field * 16);
}

static inline uint64_t tap_with(uint64_t word, unsigned int field,
				uint16_t number)
{
	return (word & ~(UINT64_C(0xffff) << field * 16)) |
	       (uint64_t)number << field * 16;
}

void tap_make_name(char name[TAP_NAME_BYTES], uint64_t id, uint16_t number);

/* The field is free again, if it has that number. */
void tap_clear(struct tol_link *tapped, unsigned int field, uint16_t number);

/* Is that tap surely gone? */
bool tap_is_gone(const struct tol_link *tapped, uint16_t number);

/* Clears the field of a tap that is gone, and removes its file. */
void tap_forget(struct tol_link *tapped, unsigned int field, uint16_t number);

#endif
