/* SPDX-License-Identifier: MIT */
#ifndef TRACE_H
#define TRACE_H

/*
 * A victim under ptrace: stepped one instruction at a time, or run up to the
 * nth time that it comes to a given instruction, or asleep inside one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum step {
	STEP_DONE,	/* stands before the next instruction */
	STEP_ASLEEP,	/* inside the system call of this instruction */
	STEP_LOST,	/* sleeps, stopped or ended where it should not */
};

/* What kind of instruction it stands before. */
#define CODE_SYSCALL 1u
#define CODE_MAY_SLEEP 2u	/* a system call that waits on a futex */
#define CODE_LOCKED 4u		/* an atomic read-modify-write */

uint64_t trace_pc(pid_t pid);

/* @ret_call: the number of the system call, if it is one */
unsigned int trace_code(pid_t pid, int *ret_call);

/* For the child: from now on it is traced, and stops. */
int trace_begin(void);

/* The stop of trace_begin(). It dies when its tracer does. */
bool trace_catch(pid_t pid);

/* One instruction. @may_sleep: look whether it falls asleep in it */
enum step trace_step(pid_t pid, bool may_sleep);

/* Waits for the end of a step that was asleep. */
enum step trace_await(pid_t pid);

/*
 * Runs until it stands before the instruction at @pc for the @occurrence-th
 * time, from 1; where it stands now counts.
 */
enum step trace_run_to(pid_t pid, uint64_t pc, uint32_t occurrence);

/* Runs to the next entry or exit of a system call. */
enum step trace_next_call(pid_t pid);

/* Does it sleep in the kernel, on a futex? Not for one that is stopped. */
bool trace_is_asleep(pid_t pid);

/* Stops it as SIGSTOP does, and traces it no more. @asleep: where it stands */
bool trace_leave_stopped(pid_t pid, bool asleep);

#endif
