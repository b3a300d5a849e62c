/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

/*
 * A lock between the threads of this process, for private memory only: no lock
 * of ours ever lies in shared memory. Costs nothing while the process has one
 * thread.
 */

#include <pthread.h>
#include <stdbool.h>

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define LOCK_CAN_SKIP 1
#endif
#endif

struct lock {
	pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *lock)
{
	pthread_mutex_init(&lock->mutex, (void *)0);
}

/* Return: what lock_leave() must be given */
static inline bool lock_enter(struct lock *lock)
{
#ifdef LOCK_CAN_SKIP
	if (__libc_single_threaded)
		return false;
#endif
	pthread_mutex_lock(&lock->mutex);
	return true;
}

static inline void lock_leave(struct lock *lock, bool entered)
{
	if (entered)
		pthread_mutex_unlock(&lock->mutex);
}

#endif
