/* SPDX-License-Identifier: MIT */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

/*
 * Atomic access to words that other threads or processes see, with the order
 * in the name. A word in shared memory is always read and written through
 * these, once for each use, so that a peer cannot change it under a check.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED_THREADS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREADS 1
#endif

/*
 * Reads a word that tells whether what was read before it, with plain reads, was
 * still whole: those are not made after it. The sanitizer knows no fences.
 */
static inline uint64_t load_after_reads_64(const uint64_t *word)
{
#ifdef SANITIZED_THREADS
	return __atomic_fetch_add((uint64_t *)(uintptr_t)word, 0,
				  __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(word, __ATOMIC_RELAXED);
#endif
}

/*
 * Copies bytes that somebody may be writing meanwhile. The caller finds out
 * afterwards whether that was so, by load_after_reads_64() or a swap, and then
 * believes nothing of it. Such a race is meant: the sanitizer is not told of it.
 * What the copy says is from then on read in the copy, not once more at its source.
 */
#ifdef SANITIZED_THREADS
__attribute__((no_sanitize_thread, noinline, unused)) static void
copy_unsettled(void *to, const void *from, size_t size_bytes)
{
	const volatile uint8_t *source = (const volatile uint8_t *)from;
	volatile uint8_t *target = (volatile uint8_t *)to;

	for (size_t i = 0; i < size_bytes; i++)
		target[i] = source[i];
}
#else
static inline void copy_unsettled(void *to, const void *from, size_t size_bytes)
{
	memcpy(to, from, size_bytes);
	/* Or the compiler may take a field that it needs from there again. */
	__asm__ volatile("" : : "r"(to) : "memory");
}
#endif

/* From here on a copy writes whole lines. */
#define COPY_LINES_FROM_BYTES ((size_t)1 << 18)

/*
 * Copies a body to memory that others have read before. A large one by the
 * string instruction, which writes whole lines and so need not fetch them from
 * the cache of whoever read them last: between far CPUs that halves the time.
 */
static inline void copy_to_shared(void *to, const void *from, size_t size_bytes)
{
#if defined(__x86_64__)
	if (size_bytes >= COPY_LINES_FROM_BYTES) {
		__asm__ volatile("rep movsb"
				 : "+D"(to), "+S"(from), "+c"(size_bytes)
				 :
				 : "memory");
		return;
	}
#endif
	memcpy(to, from, size_bytes);
}

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

/* The thread sanitizer knows no fences: there it is an operation of its own. */
static inline void fence_full(void)
{
#if defined(__SANITIZE_THREAD__)
	int word = 0;

	__atomic_fetch_add(&word, 0, __ATOMIC_SEQ_CST);
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
