/* SPDX-License-Identifier: MIT */
#ifndef BASE_ROBUST_H
#define BASE_ROBUST_H

/*
 * "If this thread dies now, wake somebody": the kernel's robust list.
 *
 * libc registers a list head for each thread. Its list_op_pending names the
 * one futex that the thread is just working on; when the thread dies and that
 * word's owner bits (the low 30) are 0, the kernel wakes one sleeper of it
 * (kernel/futex/core.c, handle_futex_death()). Arming costs two stores, no
 * system call. libc uses the field itself inside robust mutex calls: what was
 * there is put back, since a signal handler may have interrupted one.
 */

#include <stdbool.h>
#include <stdint.h>

struct robust_head {
	void *list;
	long futex_offset;
	void *list_op_pending;
};

struct robust_saved {
	struct robust_head *head;
	void *pending;
};

#define ROBUST_UNKNOWN ((struct robust_head *)0)
#define ROBUST_NONE ((struct robust_head *)1)

/*
 * Of a word that holds the thread's number instead: the kernel sets this bit, and
 * takes the number away, when the thread dies.
 */
#define ROBUST_OWNER_DIED 0x40000000u

extern _Thread_local struct robust_head *robust_thread_head
	__attribute__((tls_model("initial-exec")));

/* Asks the kernel; ROBUST_NONE where there is none (an emulator, musl). */
struct robust_head *robust_find_head(void);

/* @word must be 4-aligned and have owner bits 0 at all times, or the thread's. */
static inline struct robust_saved robust_arm(uint32_t *word)
{
	struct robust_saved saved;
	struct robust_head *head = robust_thread_head;

	if (__builtin_expect(head == ROBUST_UNKNOWN, 0))
		head = robust_find_head();
	saved.head = head;
	saved.pending = (void *)0;
	if (__builtin_expect(head != ROBUST_NONE, 1)) {
		saved.pending = head->list_op_pending;
		head->list_op_pending = (char *)word - head->futex_offset;
	}
	/* The kernel must find it set at any later instruction. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return saved;
}

static inline void robust_disarm(struct robust_saved saved)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(saved.head != ROBUST_NONE, 1))
		saved.head->list_op_pending = saved.pending;
}

/* A signal handler may have used a robust mutex meanwhile: libc leaves 0. */
static inline void robust_arm_again(struct robust_saved saved, uint32_t *word)
{
	if (saved.head != ROBUST_NONE)
		saved.head->list_op_pending =
			(char *)word - saved.head->futex_offset;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline bool robust_is_armed(struct robust_saved saved)
{
	return saved.head != ROBUST_NONE;
}

#endif
