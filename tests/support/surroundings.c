/* SPDX-License-Identifier: MIT */
#include "surroundings.h"

#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static bool enter_namespace(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static int try_mount(void)
{
	return !(enter_namespace() &&
		 mount("none", "/tmp", "tmpfs", 0, "size=1m") == 0);
}

static int try_setuid(void)
{
	return !(setgroups(0, NULL) == 0 &&
		 setresuid(SURROUNDINGS_UID, SURROUNDINGS_UID,
			   SURROUNDINGS_UID) == 0 &&
		 access("/dev/shm", X_OK) == 0);
}

static bool works_in_child(int (*attempt)(void))
{
	int status = 1;
	pid_t pid = geteuid() == 0 ? fork() : -1;

	if (pid == 0)
		_exit(attempt());
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

bool surroundings_can_mount(void)
{
	return works_in_child(try_mount);
}

bool surroundings_can_setuid(void)
{
	return works_in_child(try_setuid);
}

void surroundings_mount_at(const char *path, uint64_t size_bytes, mode_t mode)
{
	char data[64];

	snprintf(data, sizeof(data), "size=%llu,mode=%o",
		 (unsigned long long)size_bytes, (unsigned int)mode);
	ck_assert(enter_namespace());
	ck_assert_int_eq(mount("none", path, "tmpfs", 0, data), 0);
}

void surroundings_mount(uint64_t size_bytes)
{
	surroundings_mount_at(support_space, size_bytes, 0700);
}

void surroundings_unmount(void)
{
	DIR *dir = opendir(support_space);
	struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		ck_assert_msg(entry->d_name[0] == '.' &&
				      (entry->d_name[1] == '\0' ||
				       entry->d_name[1] == '.'),
			      "left in the space: %s", entry->d_name);
	closedir(dir);
	ck_assert_int_eq(umount(support_space), 0);
}

uint64_t surroundings_free_bytes(void)
{
	struct statvfs st;

	ck_assert_int_eq(statvfs(support_space, &st), 0);
	return (uint64_t)st.f_bfree * st.f_bsize;
}

const char *surroundings_path(const char *name)
{
	static char path[sizeof(support_space) + 256];

	snprintf(path, sizeof(path), "%s/%s", support_space, name);
	return path;
}

void surroundings_become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		_exit(99);
}
