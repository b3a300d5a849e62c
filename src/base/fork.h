/* SPDX-License-Identifier: MIT */
#ifndef BASE_FORK_H
#define BASE_FORK_H

/*
 * What fork() does to us, in one place.
 *
 * The guard keeps other threads of this process from forking while a
 * descriptor that bears a presence is open. The process number tells a handle
 * made by this process from one inherited over a fork, also over a raw
 * clone(): it lies in a page that the kernel wipes in a child.
 */

#include <stdint.h>

/* Called around libc's fork(), with the guard held. */
struct fork_hooks {
	void (*prepare)(void);
	void (*parent)(void);
	void (*child)(void);
};

/**
 * fork_init - register the handlers once, give this process its number
 *
 * Return: 0; -ENOMEM. Thread: MT-Safe
 */
int fork_init(void);

void fork_guard_enter(void);
void fork_guard_leave(void);

/* One set of hooks; the segments' own. Call with the guard held. */
void fork_set_hooks(const struct fork_hooks *hooks);

/*
 * Another set, of locks that are held while the guard is entered. To be set before
 * any of them is taken, and for good. MT-Safe
 */
void fork_set_outer_hooks(const struct fork_hooks *hooks);

extern const uint32_t *fork_process_word;

/* This process's number; 0 in a child that has not called fork_init() yet. */
static inline uint32_t fork_process_number(void)
{
	return *fork_process_word;
}

#endif
