/* SPDX-License-Identifier: MIT */
/*
 * Runs a program for which the kernel refuses system calls, as the seccomp profile
 * of a container engine has it do.
 *
 *	deny ERROR CALL[,CALL...] PROGRAM [ARGUMENT...]
 *
 * ERROR: EPERM or ENOSYS. CALL: its name; "docker", what the default profile of
 * Docker refuses; "newer", all that are newer than Linux 5.1, as the profiles
 * of its time do. Exit status 2: no such call, or no program; 3: no filter here.
 * For x86-64, whose calls all have a number here.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* The numbers are one row for all machines from here on. */
#define FIRST_NEWER 424

#define NAMED(name) { #name, SYS_##name }

static const struct call {
	const char *name;
	unsigned int number;
} calls[] = {
	NAMED(bind), NAMED(close), NAMED(connect), NAMED(epoll_create1),
	NAMED(epoll_ctl), NAMED(epoll_pwait), NAMED(fallocate), NAMED(fchmod),
	NAMED(fchmodat), NAMED(fchown), NAMED(fcntl), NAMED(fstatfs),
	NAMED(ftruncate), NAMED(futex), NAMED(futex_waitv),
	NAMED(get_robust_list), NAMED(getdents64), NAMED(getpid),
	NAMED(getrandom), NAMED(gettid), NAMED(inotify_add_watch),
	NAMED(inotify_init1), NAMED(inotify_rm_watch), NAMED(io_uring_setup),
	NAMED(linkat), NAMED(madvise), NAMED(membarrier), NAMED(memfd_create),
	NAMED(mkdir), NAMED(mmap), NAMED(munmap), NAMED(newfstatat),
	NAMED(openat), NAMED(ppoll), NAMED(prctl), NAMED(pread64),
	NAMED(pwrite64), NAMED(prlimit64), NAMED(read), NAMED(readlink),
	NAMED(recvfrom), NAMED(renameat2), NAMED(sched_getaffinity),
	NAMED(sched_yield), NAMED(sendto), NAMED(socket),
	NAMED(timerfd_create), NAMED(timerfd_settime), NAMED(unlinkat),
	NAMED(utimensat), NAMED(write), NAMED(clock_nanosleep),
};

/* Of docs.docker.com, "Significant syscalls blocked by the default profile". */
static const unsigned int docker[] = {
	SYS_acct, SYS_add_key, SYS_bpf, SYS_clock_adjtime, SYS_clock_settime,
	SYS_delete_module, SYS_finit_module, SYS_get_mempolicy,
	SYS_init_module, SYS_kcmp, SYS_kexec_load, SYS_keyctl,
	SYS_lookup_dcookie, SYS_mbind, SYS_mount, SYS_move_pages,
	SYS_nfsservctl, SYS_open_by_handle_at, SYS_perf_event_open,
	SYS_personality, SYS_pivot_root, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_reboot,
	SYS_request_key, SYS_set_mempolicy, SYS_setns, SYS_settimeofday,
	SYS_swapon, SYS_swapoff, SYS_umount2, SYS_unshare, SYS_userfaultfd,
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
};

#define FILTER_MAX 200

static struct sock_filter filter[FILTER_MAX];
static unsigned short filter_count;

static void add(struct sock_filter instruction)
{
	if (filter_count == FILTER_MAX)
		abort();
	filter[filter_count++] = instruction;
}

static void refuse(unsigned int number, unsigned int error)
{
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0,
					 1));
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
					 SECCOMP_RET_ERRNO | error));
}

static void refuse_newer(unsigned int error)
{
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_NEWER,
					 0, 1));
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
					 SECCOMP_RET_ERRNO | error));
}

static int refuse_named(const char *name, unsigned int error)
{
	if (strcmp(name, "newer") == 0) {
		refuse_newer(error);
		return 0;
	}
	if (strcmp(name, "docker") == 0) {
		for (size_t i = 0; i < sizeof(docker) / sizeof(docker[0]); i++)
			refuse(docker[i], error);
		return 0;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, name) != 0)
			continue;
		refuse(calls[i].number, error);
		return 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct sock_fprog program = { .filter = filter };
	unsigned int error;
	char *name;

	if (argc < 4)
		return 2;
	error = strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;
	add((struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (name = strtok(argv[2], ","); name; name = strtok(NULL, ","))
		if (refuse_named(name, error) < 0) {
			fprintf(stderr, "deny: no such call: %s\n", name);
			return 2;
		}
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	program.len = filter_count;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("deny: no filter");
		return 3;
	}
	execv(argv[3], argv + 3);
	perror(argv[3]);
	return 2;
}
