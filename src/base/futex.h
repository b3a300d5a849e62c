/* SPDX-License-Identifier: MIT */
#ifndef BASE_FUTEX_H
#define BASE_FUTEX_H

/*
 * Sleeping in the kernel and waking, and the clock. The calls go through a
 * table, so that tests put a fake clock and a fake futex in its place.
 */

#include <stdint.h>

/* One of the words that a sleeper names: it must hold the value to sleep. */
struct futex_word {
	const uint32_t *word;
	uint32_t value;
};

#define FUTEX_WORDS_MAX 6
#define FUTEX_NO_DEADLINE INT64_MAX

struct futex_ops {
	/* CLOCK_MONOTONIC */
	int64_t (*now_ns)(void);
	/**
	 * wait - sleep until one of the words is woken
	 * @words: [count]; the caller is queued on the first before the others
	 *	are compared
	 * @deadline_ns: absolute, or FUTEX_NO_DEADLINE
	 *
	 * Return: index of the word that was woken; -EAGAIN a word holds
	 *	another value; -ETIMEDOUT; -EINTR; -ENOSYS not here: see
	 *	wait_one
	 */
	int (*wait)(const struct futex_word *words, unsigned int count,
		    int64_t deadline_ns);
	/* The same for a single word, on every kernel. */
	int (*wait_one)(const struct futex_word *word, int64_t deadline_ns);
	/* Return: how many were woken, at most @count; -errno */
	int (*wake)(uint32_t *word, int count);
};

extern const struct futex_ops futex_kernel_ops;

#endif
