/* SPDX-License-Identifier: MIT */
#ifndef TRACE_H
#define TRACE_H

/*
 * A victim under ptrace, stepped one instruction at a time, and the name of the
 * place where it stands. It is a forked child of the harness, so that the
 * harness's own symbol table names its places.
 */

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum step {
	STEP_DONE,	/* one instruction further */
	STEP_ASLEEP,	/* inside the system call of this instruction */
	STEP_END,	/* at the stop behind the operation */
	STEP_GONE,	/* ended or crashed */
};

static inline uint64_t trace_registers(pid_t pid, uint64_t *ret_call)
{
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof(regs) };

	*ret_call = 0;
	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) < 0)
		return 0;
#if defined(__x86_64__)
	*ret_call = regs.rax;
	return regs.rip;
#elif defined(__aarch64__)
	*ret_call = regs.regs[8];
	return regs.pc;
#else
#error "tests/kill knows x86_64 and aarch64"
#endif
}

/* Is the next instruction a system call that may sleep on a futex? */
static inline bool trace_may_sleep(pid_t pid)
{
	uint64_t call, pc = trace_registers(pid, &call);
	uint64_t code = (uint64_t)ptrace(PTRACE_PEEKTEXT, pid, (void *)pc, NULL);

	if (call != SYS_futex && call != SYS_futex_waitv)
		return false;
#if defined(__x86_64__)
	return (code & 0xffff) == 0x050f;
#else
	return (code & 0xffffffff) == 0xd4000001;
#endif
}

/* Does the kernel say that it sleeps in one of the two? */
static inline bool trace_is_asleep(pid_t pid)
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
	       (atoi(line) == SYS_futex || atoi(line) == SYS_futex_waitv);
}

static inline enum step trace_read(int status)
{
	if (!WIFSTOPPED(status))
		return STEP_GONE;
	if (WSTOPSIG(status) == SIGTRAP)
		return STEP_DONE;
	return WSTOPSIG(status) == SIGSTOP ? STEP_END : STEP_GONE;
}

/* The step that was asleep: waits for its end. */
static inline enum step trace_await(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? trace_read(status) : STEP_GONE;
}

static inline enum step trace_step(pid_t pid, bool look_for_sleep)
{
	bool may_sleep = look_for_sleep && trace_may_sleep(pid);
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
		return STEP_GONE;
	if (!may_sleep)
		return trace_await(pid);
	for (;;) {
		bool is_asleep = trace_is_asleep(pid);

		/* Asleep, or stopped already: only the second is reported. */
		if (waitpid(pid, &status, WNOHANG) == pid)
			return trace_read(status);
		if (is_asleep)
			return STEP_ASLEEP;
		sched_yield();
	}
}

/* "symbol+0x12" for an address of this program or of a library. */
static inline const char *trace_name(uint64_t address)
{
	static char name[160];
	static unsigned char *image;
	static uint64_t bias;
	const Elf64_Ehdr *head;
	const Elf64_Shdr *sections;
	struct stat stat;
	Dl_info info;

	if (!image) {
		int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &stat) < 0)
			return "?";
		image = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE,
			     fd, 0);
		close(fd);
		if (dladdr(__extension__(void *)trace_name, &info))
			bias = (uint64_t)info.dli_fbase;
	}
	if (image == MAP_FAILED)
		return "?";
	head = (const void *)image;
	sections = (const void *)(image + head->e_shoff);
	for (unsigned int i = 0; i < head->e_shnum; i++) {
		const Elf64_Sym *symbols =
			(const void *)(image + sections[i].sh_offset);
		const char *strings;

		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		strings = (const char *)image +
			  sections[sections[i].sh_link].sh_offset;
		for (size_t n = sections[i].sh_size / sizeof(*symbols); n--;) {
			uint64_t from = symbols[n].st_value +
				(head->e_type == ET_DYN ? bias : 0);

			if (ELF64_ST_TYPE(symbols[n].st_info) != STT_FUNC ||
			    address < from ||
			    address >= from + symbols[n].st_size)
				continue;
			snprintf(name, sizeof(name), "%s+0x%llx",
				 strings + symbols[n].st_name,
				 (unsigned long long)(address - from));
			return name;
		}
	}
	if (dladdr((void *)address, &info) && info.dli_fname) {
		const char *file = strrchr(info.dli_fname, '/');
		const char *symbol = info.dli_sname ? info.dli_sname : "";
		void *from = info.dli_sname ? info.dli_saddr : info.dli_fbase;

		snprintf(name, sizeof(name), "%s:%s+0x%llx",
			 file ? file + 1 : info.dli_fname, symbol,
			 (unsigned long long)(address - (uint64_t)from));
	} else {
		snprintf(name, sizeof(name), "0x%llx",
			 (unsigned long long)address);
	}
	return name;
}

#endif
