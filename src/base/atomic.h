/* SPDX-License-Identifier: MIT */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

/*
 * Atomic access to words that other threads or processes see, with the order
 * in the name. A word in shared memory is always read and written through
 * these, once for each use, so that a peer cannot change it under a check.
 */

#include <stdbool.h>
#include <stdint.h>

#define DEFINE_ATOMIC(bits)						\
	static inline uint##bits##_t					\
	load_relaxed_##bits(const uint##bits##_t *word)			\
	{								\
		return __atomic_load_n(word, __ATOMIC_RELAXED);		\
	}								\
									\
	static inline uint##bits##_t					\
	load_acquire_##bits(const uint##bits##_t *word)			\
	{								\
		return __atomic_load_n(word, __ATOMIC_ACQUIRE);		\
	}								\
									\
	static inline void						\
	store_relaxed_##bits(uint##bits##_t *word, uint##bits##_t value) \
	{								\
		__atomic_store_n(word, value, __ATOMIC_RELAXED);	\
	}								\
									\
	static inline void						\
	store_release_##bits(uint##bits##_t *word, uint##bits##_t value) \
	{								\
		__atomic_store_n(word, value, __ATOMIC_RELEASE);	\
	}								\
									\
	/* Sequentially consistent on success; on failure *expected */	\
	/* becomes what was found, read with acquire. */		\
	static inline bool						\
	cas_##bits(uint##bits##_t *word, uint##bits##_t *expected,	\
		   uint##bits##_t desired)				\
	{								\
		return __atomic_compare_exchange_n(word, expected,	\
						   desired, false,	\
						   __ATOMIC_SEQ_CST,	\
						   __ATOMIC_ACQUIRE);	\
	}								\
									\
	static inline uint##bits##_t					\
	fetch_add_##bits(uint##bits##_t *word, uint##bits##_t value)	\
	{								\
		return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST); \
	}								\
									\
	static inline uint##bits##_t					\
	fetch_sub_##bits(uint##bits##_t *word, uint##bits##_t value)	\
	{								\
		return __atomic_fetch_sub(word, value, __ATOMIC_SEQ_CST); \
	}

DEFINE_ATOMIC(32)
DEFINE_ATOMIC(64)

#undef DEFINE_ATOMIC

/*
 * After an atomic read-modify-write: later loads are not made before it. On
 * x86 the locked instruction is a full barrier already.
 */
static inline void fence_after_rmw(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Only the compiler is held; for what this thread's own death must find. */
static inline void fence_compiler(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

#endif
