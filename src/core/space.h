/* SPDX-License-Identifier: MIT */
#ifndef CORE_SPACE_H
#define CORE_SPACE_H

/*
 * Spaces: which directory, is it safe, and the files in it.
 *
 * Files of a space:	NAME		an object
 *			.rm.INODE	an object whose removal is under way
 *			.repair.INODE	one that is made in the place of a damaged
 *					one, then the damaged one
 *			.tap.ID.N	the mailbox of a tap (tap.h)
 *			.poll.ID	socket of one that polls (watch.h)
 *			.body.ID.P.S	body of a large message (body_file.h)
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"
#include "layout/object.h"
#include "tolsey.h"

#define SPACE_PATH_MAX_BYTES 3800
#define SPACE_HIDDEN_PREFIX '.'

#define SPACE_REMOVED_NAME_BYTES 48

struct space {
	int fd;
	struct sys_stat stat;
	char path[SPACE_PATH_MAX_BYTES];	/* absolute once open */
};

/* Return: 0 or -EINVAL */
int space_check_name(const char *name);

/**
 * space_open - open the directory, and make the default one if it is missing
 * @create: make the default space when it does not exist
 *
 * Return: 0; -ENOENT; -EPERM not safe; -ENOTDIR, -ELOOP, -EACCES...
 */
int space_open(struct space *space, const char *option, bool create);

/* Is it the caller's own? Also after space_open() said that it is missing. */
bool space_is_default(const struct space *space);

void space_close(struct space *space);

/* Where an object lies while it is being removed: .rm.INODE. */
void space_make_removed_name(char name[SPACE_REMOVED_NAME_BYTES],
			     uint64_t inode);

/**
 * space_open_object - open an object's file and check what can be checked
 * @writable: for reading and writing
 * @ret_stat: NULL or of the file that was opened
 *
 * Return: descriptor; -ENOENT, -EACCES, -ELOOP; -EMEDIUMTYPE not a regular
 *	file; -EPERM in a space where anybody may make files it belongs
 *	to somebody else than the caller, root or the owner of the space
 */
int space_open_object(const struct space *space, const char *name,
		      bool writable, struct sys_stat *ret_stat);

/**
 * space_check_kind - does the name stand for an object of that kind?
 * @ret_stat: NULL or of its file
 *
 * Of whatever layout version.
 *
 * Return: 0; -EMEDIUMTYPE no; as space_open_object()
 */
int space_check_kind(const struct space *space, const char *name, uint32_t kind,
		     struct sys_stat *ret_stat);

/* Which kind a name stands for; never an error. */
enum tol_kind space_kind_of(const struct space *space, const char *name);

#endif
