/* SPDX-License-Identifier: MIT */
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef TMPFS_MAGIC	/* of linux/magic.h, which some libcs come without */
#define TMPFS_MAGIC 0x01021994
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

static int open_retry(int dir_fd, const char *name, int flags, mode_t mode)
{
	int fd;

	do {
		fd = openat(dir_fd, name, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return result(fd);
}

/* For a symbolic link the kernel would only say "not a directory". */
int sys_open_dir(const char *path)
{
	struct stat st;
	int fd = open_retry(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
			    0);

	if (fd == -ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
		return -ELOOP;
	return fd;
}

int sys_make_dir(const char *path, mode_t mode)
{
	return result(mkdir(path, mode));
}

/* O_NONBLOCK: a FIFO under an object's name must not hold the opener. */
int sys_open_read(int dir_fd, const char *name)
{
	return open_retry(dir_fd, name,
			  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
}

int sys_open_write(int dir_fd, const char *name)
{
	return open_retry(dir_fd, name,
			  O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
}

/* fchmod: the mode is exact, whatever the process's umask. */
int sys_open_unnamed(int dir_fd, mode_t mode)
{
	int fd = open_retry(dir_fd, ".", O_RDWR | O_TMPFILE, mode);
	int err;

	if (fd == -EISDIR || fd == -EINVAL)
		return -EOPNOTSUPP;
	if (fd < 0)
		return fd;
	err = result(fchmod(fd, mode));
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * The one step in which an object gets its name. AT_EMPTY_PATH needs a
 * capability before Linux 6.10, the way over /proc needs /proc.
 */
int sys_link_unnamed(int fd, int dir_fd, const char *name)
{
	char path[64];
	int err = result(linkat(fd, "", dir_fd, name, AT_EMPTY_PATH));

	if (err != -ENOENT && err != -EPERM && err != -EINVAL)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result(linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW));
}

/* A new open file description of the same file, with locks of its own. */
int sys_reopen(int fd, bool writable)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open_retry(AT_FDCWD, path, writable ? O_RDWR : O_RDONLY, 0);
}

/* Linux closes the descriptor also when it reports EINTR. */
int sys_close(int fd)
{
	return result(close(fd));
}

static int64_t timespec_ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void convert_stat(const struct stat *st, struct sys_stat *ret_stat)
{
	*ret_stat = (struct sys_stat){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size_bytes = (uint64_t)st->st_size,
		.memory_bytes = (uint64_t)st->st_blocks * 512,
		.links_count = st->st_nlink,
		.changed_unix_ns = timespec_ns(st->st_ctim),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
}

int sys_stat_fd(int fd, struct sys_stat *ret_stat)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	convert_stat(&st, ret_stat);
	return 0;
}

int sys_stat_at(int dir_fd, const char *name, struct sys_stat *ret_stat)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	convert_stat(&st, ret_stat);
	return 0;
}

/* The time of its last change: seen by who watches it. By whoever may write. */
int sys_touch(int dir_fd, const char *name)
{
	return result(utimensat(dir_fd, name, NULL, 0));
}

int sys_unlink(int dir_fd, const char *name)
{
	return result(unlinkat(dir_fd, name, 0));
}

int sys_rename_new(int dir_fd, const char *from, const char *to)
{
	return result(syscall(SYS_renameat2, dir_fd, from, dir_fd, to,
			      RENAME_NOREPLACE));
}

int sys_rename_exchange(int dir_fd, const char *one, const char *other)
{
	return result(syscall(SYS_renameat2, dir_fd, one, dir_fd, other,
			      RENAME_EXCHANGE));
}

int sys_link_named(int dir_fd, const char *from, const char *to)
{
	return result(linkat(dir_fd, from, dir_fd, to, 0));
}

int sys_chmod(int fd, mode_t mode)
{
	return result(fchmod(fd, mode));
}

int sys_set_owner(int fd, uid_t uid, gid_t gid)
{
	return result(fchown(fd, uid, gid));
}

int sys_set_group(int fd, gid_t gid)
{
	return result(fchown(fd, (uid_t)-1, gid));
}

int sys_absolute_path(const char *path, char *buf, size_t size_bytes)
{
	char resolved[PATH_MAX];

	if (!realpath(path, resolved))
		return -errno;
	if (strlen(resolved) >= size_bytes)
		return -ENAMETOOLONG;
	strcpy(buf, resolved);
	return 0;
}

int sys_list_dir(int dir_fd, int (*visit)(const char *name, void *context),
		 void *context)
{
	int fd = open_retry(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *entry;
	DIR *dir;
	int err = 0;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			err = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = visit(entry->d_name, context);
	}
	closedir(dir);
	return err;
}

/* Reads until the end of the file or of the buffer: short only at the end. */
ssize_t sys_pread(int fd, void *buf, size_t size_bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < size_bytes) {
		ssize_t n = pread(fd, (char *)buf + done, size_bytes - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t sys_pwrite(int fd, const void *buf, size_t size_bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < size_bytes) {
		ssize_t n = pwrite(fd, (const char *)buf + done,
				   size_bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A size above RLIMIT_FSIZE would cost the process a SIGXFSZ. */
bool sys_size_is_allowed(uint64_t size_bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return true;
	return limit.rlim_cur == RLIM_INFINITY || size_bytes <= limit.rlim_cur;
}

int sys_set_size(int fd, uint64_t size_bytes)
{
	int err;

	if (size_bytes > INT64_MAX || !sys_size_is_allowed(size_bytes))
		return -EFBIG;
	do {
		err = result(ftruncate(fd, (off_t)size_bytes));
	} while (err == -EINTR);
	return err;
}

/* Makes the file at least that long and backs the range with memory. */
int sys_reserve(int fd, uint64_t offset, uint64_t size_bytes)
{
	int err;

	if (offset + size_bytes > INT64_MAX ||
	    !sys_size_is_allowed(offset + size_bytes))
		return -EFBIG;
	do {
		err = result(fallocate(fd, 0, (off_t)offset,
				       (off_t)size_bytes));
	} while (err == -EINTR);
	return err == -ENOMEM ? -ENOSPC : err;
}

int sys_memfd(const char *name)
{
	return result(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/* Never smaller, or, for good, never changed at all. */
int sys_seal(int fd, bool also_write)
{
	int seals = F_SEAL_SHRINK;

	if (also_write)
		seals |= F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	return result(fcntl(fd, F_ADD_SEALS, seals));
}

int sys_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals < 0 ? -errno : (seals & F_SEAL_WRITE) != 0;
}

int sys_open_peer_fd(pid_t pid, int fd, bool writable)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
	return open_retry(AT_FDCWD, path,
			  (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK |
				  O_NOCTTY, 0);
}

/* Before it is opened: opening a device or a FIFO could have an effect. */
int sys_stat_peer_fd(pid_t pid, int fd, struct sys_stat *ret_stat)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
	if (stat(path, &st) < 0)
		return -errno;
	convert_stat(&st, ret_stat);
	return 0;
}

bool sys_cannot_shrink(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK);
}

static uint64_t read_kilobytes(const char *text, const char *field)
{
	const char *line = strstr(text, field);

	return line ? strtoull(line + strlen(field), NULL, 10) * 1024 : 0;
}

/*
 * How much can be backed for that file before the system kills somebody for
 * it: a file system in memory may allow more than there is. UINT64_MAX if it
 * is not in memory, or nobody knows.
 */
uint64_t sys_memory_left(int fd)
{
	struct statfs fs;
	char text[4096];
	uint64_t left;
	ssize_t n;
	int info;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return UINT64_MAX;
	info = open_retry(AT_FDCWD, "/proc/meminfo", O_RDONLY, 0);
	if (info < 0)
		return UINT64_MAX;
	n = sys_pread(info, text, sizeof(text) - 1, 0);
	close(info);
	if (n <= 0)
		return UINT64_MAX;
	text[n] = '\0';
	left = read_kilobytes(text, "MemAvailable:");
	return left ? left + read_kilobytes(text, "SwapFree:") : UINT64_MAX;
}

int sys_map(int fd, uint64_t offset, size_t size_bytes, bool writable,
	    void *address, void **ret_address)
{
	int flags = MAP_SHARED | MAP_NORESERVE;
	void *p;

	if (address)
		flags |= MAP_FIXED_NOREPLACE;
	p = mmap(address, size_bytes,
		 writable ? PROT_READ | PROT_WRITE : PROT_READ, flags, fd,
		 (off_t)offset);
	if (p == MAP_FAILED)
		return -errno;
	*ret_address = p;
	return 0;
}

/* Reserves more than enough, maps inside it and gives back both ends. */
int sys_map_aligned(int fd, uint64_t offset, size_t size_bytes, bool writable,
		    size_t alignment_bytes, void **ret_address)
{
	size_t span = size_bytes + alignment_bytes;
	uintptr_t start, aligned, end;
	void *p, *q;

	if (span < size_bytes)
		return -ENOMEM;
	p = mmap(NULL, span, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	start = (uintptr_t)p;
	aligned = (start + alignment_bytes - 1) & ~(alignment_bytes - 1);
	end = (aligned + size_bytes + SYS_PAGE_BYTES - 1) &
	      ~(uintptr_t)(SYS_PAGE_BYTES - 1);
	q = mmap((void *)aligned, size_bytes,
		 writable ? PROT_READ | PROT_WRITE : PROT_READ,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset);
	if (q == MAP_FAILED) {
		int err = -errno;

		munmap(p, span);
		return err;
	}
	if (aligned > start)
		munmap(p, aligned - start);
	if (start + span > end)
		munmap((void *)end, start + span - end);
	*ret_address = q;
	return 0;
}

/* Replaces what is mapped there, in one step. */
int sys_map_over(int fd, uint64_t offset, size_t size_bytes, bool writable,
		 void *address)
{
	void *p = mmap(address, size_bytes,
		       writable ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		       (off_t)offset);

	return p == MAP_FAILED ? -errno : 0;
}

/* Keeps others from the place: any access there is a SIGSEGV. */
int sys_map_nothing(void *address, size_t size_bytes)
{
	void *p = mmap(address, size_bytes, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			       MAP_FIXED_NOREPLACE, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

int sys_unmap(void *address, size_t size_bytes)
{
	return result(munmap(address, size_bytes));
}

int sys_keep_from_child(void *address, size_t size_bytes)
{
	return result(madvise(address, size_bytes, MADV_DONTFORK));
}

/*
 * Touches every page now, so that lack of memory is an error here and not a
 * SIGBUS at the first access.
 */
int sys_populate(void *address, size_t size_bytes, bool writable)
{
	int err;

	do {
		err = result(madvise(address, size_bytes,
				     writable ? MADV_POPULATE_WRITE
					      : MADV_POPULATE_READ));
	} while (err == -EINTR || err == -EAGAIN);
	if (err == -EFAULT || err == -ENOMEM || err == -EHWPOISON)
		return -ENOSPC;
	return err;
}

/* Gives the pages back to the system; they read as zero afterwards. */
int sys_punch(void *address, size_t size_bytes)
{
	return result(madvise(address, size_bytes, MADV_REMOVE));
}

int sys_lock_memory(void *address, size_t size_bytes)
{
	int err = result(mlock(address, size_bytes));

	return err == -ENOMEM || err == -EAGAIN ? -EPERM : err;
}

int sys_make_huge(void *address, size_t size_bytes)
{
	int err = result(madvise(address, size_bytes, MADV_HUGEPAGE));

	if (err == 0)
		err = result(madvise(address, size_bytes, MADV_COLLAPSE));
	return err == -ENOSPC || err >= 0 ? err : -EOPNOTSUPP;
}

pid_t sys_thread(void)
{
	return (pid_t)syscall(SYS_gettid);
}

pid_t sys_pid(void)
{
	return getpid();
}

gid_t sys_gid(void)
{
	return getegid();
}

/* The field after the program's name, which may have any bytes in it. */
int64_t sys_start_ns(void)
{
	long a_second = sysconf(_SC_CLK_TCK);
	unsigned long long ticks = 0;
	char buf[1024];
	const char *at;
	ssize_t n;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = sys_pread(fd, buf, sizeof(buf) - 1, 0);
	sys_close(fd);
	if (n <= 0 || a_second <= 0)
		return 0;
	buf[n] = '\0';
	at = strrchr(buf, ')');
	if (!at || sscanf(at + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u "
			  "%*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
		return 0;
	return (int64_t)(ticks * (UINT64_C(1000000000) / (uint64_t)a_second));
}

uid_t sys_uid(void)
{
	return geteuid();
}

bool sys_is_privileged_exec(void)
{
	return getauxval(AT_SECURE) != 0;
}

void sys_program_name(char buf[16])
{
	memset(buf, 0, 16);
	prctl(PR_GET_NAME, buf, 0, 0, 0);
	buf[15] = '\0';
}

/* Of the machine: a peer may run where this process may not. */
unsigned int sys_cpus_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : (unsigned int)count;
}

/* MEMBARRIER_CMD_ of linux/membarrier.h. */
#define BARRIER_GLOBAL_EXPEDITED 2
#define BARRIER_REGISTER_GLOBAL_EXPEDITED 4

int sys_barrier_join(void)
{
	return result(syscall(SYS_membarrier, BARRIER_REGISTER_GLOBAL_EXPEDITED,
			      0, 0));
}

int sys_barrier_all(void)
{
	return result(syscall(SYS_membarrier, BARRIER_GLOBAL_EXPEDITED, 0, 0));
}

uint64_t sys_random(void)
{
	struct timespec t;
	uint64_t value;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) ==
	    (ssize_t)sizeof(value))
		return value;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec ^
		(uint64_t)getpid() << 20) * 0x9e3779b97f4a7c15u;
}

int64_t sys_unix_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return timespec_ns(t);
}

/* Lines such as "monotonic -86400 0"; no such file: no such namespaces. */
int64_t sys_clock_offset_ns(void)
{
	int fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	char text[256];
	long long secs, ns;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = sys_pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "monotonic %lld %lld", &secs, &ns) != 2)
		return 0;
	return secs * 1000000000 + ns;
}
