/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAPS_H
#define CORE_MAPS_H

/*
 * Large bodies that this process has mapped: those it has taken, and loans. A
 * private list, so that closing the link leaves none behind.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"

struct tol_link;
struct map;

struct maps {
	struct lock lock;
	struct map *first;
};

/* For a loan, whose file goes if it is not sent. */
#define MAPS_NO_SERIAL UINT64_MAX

void maps_init(struct maps *maps);

/* All that is left, and the files of loans. */
void maps_fini(struct tol_link *link);

/* Return: 0; -ENOMEM */
int maps_add(struct tol_link *link, uint64_t key, void *address,
	     size_t size_bytes, uint64_t serial);

/* Unmaps it, if there is one. */
void maps_remove(struct tol_link *link, uint64_t key);

#endif
