/* SPDX-License-Identifier: MIT */
#ifndef BASE_SYS_H
#define BASE_SYS_H

/*
 * Every system call of the library, save those of waiting (futex.h), locks
 * that tell who lives (presence.h) and fork (fork.h). Each returns 0 or a
 * value, or -errno; none touches errno's meaning for the caller; EINTR is
 * retried. Descriptors are close-on-exec.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYS_PAGE_BYTES 4096u

struct sys_stat {
	uint64_t device, inode;
	uint64_t size_bytes;
	uint64_t memory_bytes;
	uint64_t links_count;
	int64_t changed_unix_ns;
	mode_t mode;		/* type and permissions */
	uid_t uid;
	gid_t gid;
};

/* Objects and spaces */
int sys_open_dir(const char *path);
int sys_make_dir(const char *path, mode_t mode);
int sys_open_read(int dir_fd, const char *name);
int sys_open_write(int dir_fd, const char *name);
int sys_open_unnamed(int dir_fd, mode_t mode);
int sys_link_unnamed(int fd, int dir_fd, const char *name);
int sys_reopen(int fd, bool writable);
int sys_close(int fd);
int sys_stat_fd(int fd, struct sys_stat *ret_stat);
int sys_stat_at(int dir_fd, const char *name, struct sys_stat *ret_stat);
int sys_unlink(int dir_fd, const char *name);
int sys_touch(int dir_fd, const char *name);
int sys_rename_new(int dir_fd, const char *from, const char *to);
int sys_rename_exchange(int dir_fd, const char *one, const char *other);
int sys_link_named(int dir_fd, const char *from, const char *to);
int sys_set_owner(int fd, uid_t uid, gid_t gid);
int sys_chmod(int fd, mode_t mode);
int sys_set_group(int fd, gid_t gid);
int sys_absolute_path(const char *path, char *buf, size_t size_bytes);
int sys_list_dir(int dir_fd, int (*visit)(const char *name, void *context),
		 void *context);

/* Contents and size */
ssize_t sys_pread(int fd, void *buf, size_t size_bytes, uint64_t offset);
ssize_t sys_pwrite(int fd, const void *buf, size_t size_bytes, uint64_t offset);
int sys_set_size(int fd, uint64_t size_bytes);
int sys_reserve(int fd, uint64_t offset, uint64_t size_bytes);
bool sys_size_is_allowed(uint64_t size_bytes);

/* Memory without a name, and its seals */
int sys_memfd(const char *name);
int sys_seal(int fd, bool also_write);
int sys_is_sealed(int fd);
int sys_open_peer_fd(pid_t pid, int fd, bool writable);
int sys_stat_peer_fd(pid_t pid, int fd, struct sys_stat *ret_stat);
bool sys_cannot_shrink(int fd);
uint64_t sys_memory_left(int fd);

/* Mappings */
int sys_map(int fd, uint64_t offset, size_t size_bytes, bool writable,
	    void *address, void **ret_address);
int sys_map_aligned(int fd, uint64_t offset, size_t size_bytes, bool writable,
		    size_t alignment_bytes, void **ret_address);
int sys_map_over(int fd, uint64_t offset, size_t size_bytes, bool writable,
		 void *address);
int sys_map_nothing(void *address, size_t size_bytes);
int sys_unmap(void *address, size_t size_bytes);
int sys_keep_from_child(void *address, size_t size_bytes);
int sys_populate(void *address, size_t size_bytes, bool writable);
int sys_punch(void *address, size_t size_bytes);
int sys_lock_memory(void *address, size_t size_bytes);
int sys_make_huge(void *address, size_t size_bytes);

/* Who and where we are */
pid_t sys_pid(void);
pid_t sys_thread(void);
uid_t sys_uid(void);
gid_t sys_gid(void);
int64_t sys_start_ns(void);	/* of this process, since the machine started; 0 not known */
bool sys_is_privileged_exec(void);
void sys_program_name(char buf[16]);
unsigned int sys_cpus_count(void);
uint64_t sys_random(void);

/*
 * A barrier on every CPU that runs a thread of a process that has joined: what
 * each of them stored before is seen, what it loads after is new. Joining lasts
 * until the process ends or execs. Return: 0; -ENOSYS, -EINVAL, -EPERM
 */
int sys_barrier_join(void);
int sys_barrier_all(void);

int64_t sys_unix_ns(void);

/*
 * CLOCK_MONOTONIC minus this is the same in every time namespace of the machine;
 * for times in shared memory.
 */
int64_t sys_clock_offset_ns(void);

#endif
