/* SPDX-License-Identifier: MIT */
#include "base/futex.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of linux/futex.h, which some libcs come without. */
#define WAKE 1
#define WAIT_BITSET 9
#define MATCH_ANY 0xffffffffu

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* The kernel's own type is missing from older headers. */
struct waitv_entry {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};

#define WAITV_32BIT_SHARED 2u

/* As the kernel reads it everywhere; libc's own has 32 bits on some. */
struct kernel_time {
	int64_t secs;
	int64_t ns;
};

#if defined(SYS_futex_time64) && __SIZEOF_LONG__ == 4
#define SYS_FUTEX_WAIT SYS_futex_time64
#else
#define SYS_FUTEX_WAIT SYS_futex
#endif

static int64_t kernel_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct kernel_time to_kernel_time(int64_t ns)
{
	return (struct kernel_time){
		.secs = ns / 1000000000,
		.ns = ns % 1000000000,
	};
}

static int kernel_wait(const struct futex_word *words, unsigned int count,
		       int64_t deadline_ns)
{
	struct waitv_entry entries[FUTEX_WORDS_MAX];
	struct kernel_time deadline = to_kernel_time(deadline_ns);
	long rc;

	if (count > FUTEX_WORDS_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct waitv_entry){
			.value = words[i].value,
			.address = (uintptr_t)words[i].word,
			.flags = WAITV_32BIT_SHARED,
		};
	rc = syscall(SYS_futex_waitv, entries, count, 0,
		     deadline_ns == FUTEX_NO_DEADLINE ? NULL : &deadline,
		     CLOCK_MONOTONIC);
	if (rc >= 0)
		return (int)rc;
	/* A seccomp profile may deny it with another error than the kernel. */
	return errno == EPERM || errno == EACCES ? -ENOSYS : -errno;
}

static int kernel_wait_one(const struct futex_word *word, int64_t deadline_ns)
{
	struct kernel_time deadline = to_kernel_time(deadline_ns);
	long rc = syscall(SYS_FUTEX_WAIT, word->word, WAIT_BITSET, word->value,
			  deadline_ns == FUTEX_NO_DEADLINE ? NULL : &deadline,
			  NULL, MATCH_ANY);

	return rc < 0 ? -errno : 0;
}

static int kernel_wake(uint32_t *word, int count)
{
	long rc = syscall(SYS_futex, word, WAKE, count, NULL, NULL, 0);

	return rc < 0 ? -errno : (int)rc;
}

const struct futex_ops futex_kernel_ops = {
	.now_ns = kernel_now_ns,
	.wait = kernel_wait,
	.wait_one = kernel_wait_one,
	.wake = kernel_wake,
};
