/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* The low bytes of an instruction word; how far a breakpoint lets the pc go. */
#if defined(__x86_64__)
#define CODE_OF_SYSCALL(word) (((word) & 0xffff) == 0x050f)
#define BREAK_MASK UINT64_C(0xff)
#define BREAK_CODE UINT64_C(0xcc)
#define BREAK_LENGTH 1
#elif defined(__aarch64__)
#define CODE_OF_SYSCALL(word) (((word) & 0xffffffff) == 0xd4000001)
#define BREAK_MASK UINT64_C(0xffffffff)
#define BREAK_CODE UINT64_C(0xd4200000)
#define BREAK_LENGTH 0
#else
#error "tests/kill knows x86_64 and aarch64"
#endif

static bool get_registers(pid_t pid, struct user_regs_struct *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };

	return ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) == 0;
}

static bool set_registers(pid_t pid, struct user_regs_struct *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };

	return ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &iov) == 0;
}

static uint64_t pc_of(const struct user_regs_struct *regs)
{
#if defined(__x86_64__)
	return regs->rip;
#else
	return regs->pc;
#endif
}

static uint64_t call_of(const struct user_regs_struct *regs)
{
#if defined(__x86_64__)
	return regs->rax;
#else
	return regs->regs[8];
#endif
}

static bool move_back(pid_t pid, uint64_t pc)
{
	struct user_regs_struct regs;

	if (BREAK_LENGTH == 0)
		return true;
	if (!get_registers(pid, &regs))
		return false;
#if defined(__x86_64__)
	regs.rip = pc;
#else
	regs.pc = pc;
#endif
	return set_registers(pid, &regs);
}

uint64_t trace_pc(pid_t pid)
{
	struct user_regs_struct regs;

	return get_registers(pid, &regs) ? pc_of(&regs) : 0;
}

static uint64_t peek(pid_t pid, uint64_t address)
{
	return (uint64_t)ptrace(PTRACE_PEEKTEXT, pid, (void *)address, NULL);
}

/* Locked by prefix, or xchg with memory; the exclusive stores of arm. */
static bool is_locked(uint64_t word)
{
#if defined(__x86_64__)
	uint64_t opcode = word & 0xff;
	uint64_t modrm = word >> 8 & 0xff;

	if (opcode == 0xf0)
		return true;
	if ((opcode & 0xf0) == 0x40) {
		opcode = word >> 8 & 0xff;
		modrm = word >> 16 & 0xff;
	}
	return (opcode == 0x86 || opcode == 0x87) && modrm < 0xc0;
#else
	return (word & 0x3fc00000) == 0x08000000 ||
	       (word & 0x3f200c00) == 0x38200000 ||
	       (word & 0x3fa07c00) == 0x08a07c00;
#endif
}

unsigned int trace_code(pid_t pid, int *ret_call)
{
	struct user_regs_struct regs;
	uint64_t word, call;

	*ret_call = 0;
	if (!get_registers(pid, &regs))
		return 0;
	word = peek(pid, pc_of(&regs));
	if (!CODE_OF_SYSCALL(word))
		return is_locked(word) ? CODE_LOCKED : 0;
	call = call_of(&regs);
	*ret_call = (int)call;
	return CODE_SYSCALL | (call == SYS_futex || call == SYS_futex_waitv
				       ? CODE_MAY_SLEEP : 0);
}

/* Does the kernel say that it sleeps in one of the two? */
bool trace_is_asleep(pid_t pid)
{
	char path[64], line[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	if (fd >= 0)
		close(fd);
	return line[0] >= '0' && line[0] <= '9' &&
	       (atoi(line) == SYS_futex || atoi(line) == SYS_futex_waitv ||
		atoi(line) == SYS_poll || atoi(line) == SYS_ppoll);
}

/*
 * A victim that sleeps where it did not before would be waited for in vain: the
 * timer of the harness interrupts the wait from time to time, to look.
 */
static enum step await(pid_t pid, int *ret_signal)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR || trace_is_asleep(pid))
			return STEP_LOST;
	if (!WIFSTOPPED(status))
		return STEP_LOST;
	*ret_signal = WSTOPSIG(status);
	return STEP_DONE;
}

enum step trace_await(pid_t pid)
{
	int signal = 0;
	enum step step = await(pid, &signal);

	return signal == SIGTRAP ? step : STEP_LOST;
}

int trace_begin(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return -errno;
	return raise(SIGSTOP) == 0 ? 0 : -EINVAL;
}

bool trace_catch(pid_t pid)
{
	int signal = 0;

	return await(pid, &signal) == STEP_DONE && signal == SIGSTOP &&
	       ptrace(PTRACE_SETOPTIONS, pid, NULL,
		      (void *)PTRACE_O_EXITKILL) == 0;
}

enum step trace_step(pid_t pid, bool may_sleep)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
		return STEP_LOST;
	if (!may_sleep)
		return trace_await(pid);
	for (;;) {
		bool asleep = trace_is_asleep(pid);

		/* Asleep, or stopped already: only the second is reported. */
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSTOPPED(status) &&
			       WSTOPSIG(status) == SIGTRAP
				       ? STEP_DONE : STEP_LOST;
		if (asleep)
			return STEP_ASLEEP;
		sched_yield();
	}
}

/* Once around: over the instruction where it stands, and to it again. */
static enum step run_round(pid_t pid, uint64_t pc, uint64_t word, bool is_there)
{
	enum step step;

	if (is_there) {
		step = trace_step(pid, false);
		if (step != STEP_DONE || trace_pc(pid) == pc)
			return step;
	}
	if (ptrace(PTRACE_POKETEXT, pid, (void *)pc,
		   (void *)((word & ~BREAK_MASK) | BREAK_CODE)) < 0 ||
	    ptrace(PTRACE_CONT, pid, NULL, NULL) < 0)
		return STEP_LOST;
	step = trace_await(pid);
	if (step != STEP_DONE)
		return step;
	if (trace_pc(pid) != pc + BREAK_LENGTH || !move_back(pid, pc) ||
	    ptrace(PTRACE_POKETEXT, pid, (void *)pc, (void *)word) < 0)
		return STEP_LOST;
	return STEP_DONE;
}

enum step trace_run_to(pid_t pid, uint64_t pc, uint32_t occurrence)
{
	uint64_t word = peek(pid, pc);
	bool is_there = trace_pc(pid) == pc;
	uint32_t count = is_there;

	while (count < occurrence) {
		enum step step = run_round(pid, pc, word, is_there);

		if (step != STEP_DONE)
			return step;
		is_there = true;
		count++;
	}
	return STEP_DONE;
}

enum step trace_next_call(pid_t pid)
{
	if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
		return STEP_LOST;
	return trace_await(pid);
}

bool trace_leave_stopped(pid_t pid, bool asleep)
{
	int signal, status;

	/*
	 * A stop interrupts its sleep, and so ends the step as well, which the
	 * kernel may report first. In a stop of ptrace it is already.
	 */
	if (asleep && (kill(pid, SIGSTOP) < 0 ||
		       await(pid, &signal) != STEP_DONE ||
		       (signal != SIGSTOP && signal != SIGTRAP)))
		return false;
	if (ptrace(PTRACE_DETACH, pid, NULL, (void *)SIGSTOP) < 0)
		return false;
	while (waitpid(pid, &status, WUNTRACED) != pid)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(status);
}
