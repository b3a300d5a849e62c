/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_OBJECT_H
#define LAYOUT_OBJECT_H

/*
 * The head that every named object's file begins with. Written before the
 * object gets its name, never changed after.
 *
 *	 0 .. 7		magic		"tolsey\0\1" in memory order
 *	 8 .. 11	layout_version	another one: -EPROTO
 *	12 .. 15	kind		enum tol_kind
 *	16 .. 19	incompatible	flags; an unknown one: -EPROTO
 *	20 .. 23	compatible	flags; unknown ones are ignored
 *	24 .. 31	signature	of the sizes and offsets of that kind; another
 *			one: -EPROTO
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define OBJECT_MAGIC UINT64_C(0x01007965736c6f74)
#define OBJECT_LAYOUT_VERSION 1u

struct object_layout {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t kind;
	uint32_t incompatible_flags;
	uint32_t compatible_flags;
	uint64_t signature;
};

static_assert(offsetof(struct object_layout, layout_version) == 8, "layout");
static_assert(offsetof(struct object_layout, kind) == 12, "layout");
static_assert(offsetof(struct object_layout, incompatible_flags) == 16, "layout");
static_assert(offsetof(struct object_layout, compatible_flags) == 20, "layout");
static_assert(offsetof(struct object_layout, signature) == 24, "layout");
static_assert(sizeof(struct object_layout) == 32, "layout");

/**
 * object_check - is this the head of an object of that kind and our layout?
 * @head: a private copy of the bytes
 *
 * Return: 0; -EBADMSG not ours, or damaged; -EPROTO another layout;
 *	-EMEDIUMTYPE another kind
 */
int object_check(const struct object_layout *head, uint32_t kind,
		 uint64_t signature);

#endif
