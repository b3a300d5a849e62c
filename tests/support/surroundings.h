/* SPDX-License-Identifier: MIT */
#ifndef SURROUNDINGS_H
#define SURROUNDINGS_H

/*
 * What a test may need around it and not every machine gives: a small file
 * system, a second user. Ask first, and name the test as skipped without.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SURROUNDINGS_UID 65533
#define SURROUNDINGS_GID 65532

/* Whether this process may mount; tried in a child. */
bool surroundings_can_mount(void);

/*
 * Whether this process may become another user; tried in a child. Then also
 * such a user can reach the test's space.
 */
bool surroundings_can_setuid(void);

/* For a child: a tmpfs of its own at that place. */
void surroundings_mount_at(const char *path, uint64_t size_bytes, mode_t mode);

/*
 * Mounts a tmpfs of this size over the space of the test, in a mount
 * namespace of this process. The end unmounts it, and fails the test if names
 * are left in it.
 */
void surroundings_mount(uint64_t size_bytes);
void surroundings_unmount(void);

/* What is free in the file system of the space. */
uint64_t surroundings_free_bytes(void);

/* Path of a name in the space; the next call overwrites it. */
const char *surroundings_path(const char *name);

/* For a child that does not come back: another user, with that group only. */
void surroundings_become(uid_t uid, gid_t gid);

#endif
