/* SPDX-License-Identifier: MIT */
#include "core/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/* No slash and no dot in front: no name leads out of the space or is hidden. */
int space_check_name(const char *name)
{
	size_t length_bytes;

	if (!name || !is_plain(name[0]))
		return -EINVAL;
	for (length_bytes = 1; name[length_bytes]; length_bytes++) {
		char c = name[length_bytes];

		if (!is_plain(c) && c != '.' && c != '-')
			return -EINVAL;
		if (length_bytes >= TOL_NAME_MAX_BYTES)
			return -EINVAL;
	}
	return 0;
}

ssize_t tol_space_path(const char *option, char *buf, size_t size_bytes)
{
	int n;

	if ((!option || !*option) && !sys_is_privileged_exec())
		option = getenv("TOLSEY_SPACE");
	if (option && *option)
		n = snprintf(buf, size_bytes, "%s", option);
	else
		n = snprintf(buf, size_bytes, "/dev/shm/tolsey-%lu",
			     (unsigned long)sys_uid());
	if (n < 0 || (size_t)n >= size_bytes)
		return -ENAMETOOLONG;
	return n;
}

bool space_is_default(const struct space *space)
{
	char own[64];

	snprintf(own, sizeof(own), "/dev/shm/tolsey-%lu",
		 (unsigned long)sys_uid());
	return strcmp(space->path, own) == 0;
}

/*
 * The default space must be the caller's alone: /dev/shm is open to all and
 * another user could have made the directory first. A space that was named is
 * taken as meant, unless anybody at all could replace the objects in it.
 */
static int check_safe(const struct space *space, bool is_default)
{
	const struct sys_stat *st = &space->stat;

	if (is_default)
		return st->uid == sys_uid() && !(st->mode & 0022) ? 0 : -EPERM;
	if ((st->mode & 0002) && !(st->mode & S_ISVTX))
		return -EPERM;
	return 0;
}

/* With a slash behind it the kernel would follow a link. */
static void strip_end(char *path)
{
	size_t length = strlen(path);

	while (length > 1 && (path[length - 1] == '/' ||
			      (path[length - 1] == '.' &&
			       path[length - 2] == '/')))
		path[--length] = '\0';
}

void space_make_removed_name(char name[SPACE_REMOVED_NAME_BYTES],
			     uint64_t inode)
{
	snprintf(name, SPACE_REMOVED_NAME_BYTES, ".rm.%llu",
		 (unsigned long long)inode);
}

int space_open(struct space *space, const char *option, bool create)
{
	ssize_t n = tol_space_path(option, space->path, sizeof(space->path));
	bool is_default;
	int err;

	if (n < 0)
		return (int)n;
	strip_end(space->path);
	is_default = space_is_default(space);
	space->fd = sys_open_dir(space->path);
	if (space->fd == -ENOENT && is_default && create) {
		err = sys_make_dir(space->path, 0700);
		if (err < 0 && err != -EEXIST)
			return err;
		space->fd = sys_open_dir(space->path);
	}
	if (space->fd < 0)
		return space->fd;
	err = sys_stat_fd(space->fd, &space->stat);
	if (err == 0)
		err = check_safe(space, is_default);
	if (err == 0 && space->path[0] != '/')
		err = sys_absolute_path(space->path, space->path,
					sizeof(space->path));
	if (err < 0)
		space_close(space);
	return err;
}

void space_close(struct space *space)
{
	if (space->fd >= 0)
		sys_close(space->fd);
	space->fd = -1;
}

static int check_object_file(const struct space *space,
			     const struct sys_stat *st)
{
	if (!S_ISREG(st->mode))
		return -EMEDIUMTYPE;
	if ((space->stat.mode & S_ISVTX) && (space->stat.mode & 0022) &&
	    st->uid != sys_uid() && st->uid != 0 && st->uid != space->stat.uid)
		return -EPERM;
	return 0;
}

int space_open_object(const struct space *space, const char *name,
		      bool writable, struct sys_stat *ret_stat)
{
	struct sys_stat st;
	int fd, err;

	fd = writable ? sys_open_write(space->fd, name)
		      : sys_open_read(space->fd, name);
	if (fd == -EISDIR || fd == -ENXIO)
		return -EMEDIUMTYPE;
	if (fd < 0)
		return fd;
	err = sys_stat_fd(fd, &st);
	if (err == 0)
		err = check_object_file(space, &st);
	if (err < 0) {
		sys_close(fd);
		return err;
	}
	if (ret_stat)
		*ret_stat = st;
	return fd;
}

/* Return: 0 it is one of ours; -EMEDIUMTYPE; as space_open_object() */
static int read_object(const struct space *space, const char *name,
		       struct object_layout *ret_head,
		       struct sys_stat *ret_stat)
{
	int fd = space_open_object(space, name, false, ret_stat);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys_pread(fd, ret_head, sizeof(*ret_head), 0);
	sys_close(fd);
	if (n < 0)
		return (int)n;
	return (size_t)n == sizeof(*ret_head) && ret_head->magic == OBJECT_MAGIC
		       ? 0
		       : -EMEDIUMTYPE;
}

int space_check_kind(const struct space *space, const char *name, uint32_t kind,
		     struct sys_stat *ret_stat)
{
	struct object_layout head;
	int err = read_object(space, name, &head, ret_stat);

	if (err < 0)
		return err;
	return head.kind == kind ? 0 : -EMEDIUMTYPE;
}

enum tol_kind space_kind_of(const struct space *space, const char *name)
{
	struct object_layout head;

	if (read_object(space, name, &head, NULL) < 0)
		return TOL_KIND_UNKNOWN;
	if (head.kind == TOL_KIND_MAILBOX || head.kind == TOL_KIND_SEGMENT)
		return (enum tol_kind)head.kind;
	return TOL_KIND_UNKNOWN;
}

struct name_list {
	char **names;
	size_t count, room;
};

static int remember_name(const char *name, void *context)
{
	struct name_list *list = context;

	if (space_check_name(name) < 0)
		return 0;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		char **names = realloc(list->names, room * sizeof(*names));

		if (!names)
			return -ENOMEM;
		list->names = names;
		list->room = room;
	}
	list->names[list->count] = strdup(name);
	if (!list->names[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int tol_space_list(const char *option,
		   int (*visit)(const char *name, enum tol_kind kind,
				void *context),
		   void *context)
{
	struct name_list list = { 0 };
	struct space space;
	int err;

	err = space_open(&space, option, false);
	if (err == -ENOENT && space_is_default(&space))
		return 0;
	if (err < 0)
		return err;
	err = sys_list_dir(space.fd, remember_name, &list);
	if (err == 0 && list.count > 0)
		qsort(list.names, list.count, sizeof(*list.names),
		      compare_names);
	for (size_t i = 0; i < list.count; i++) {
		if (err == 0)
			err = visit(list.names[i],
				    space_kind_of(&space, list.names[i]),
				    context);
		free(list.names[i]);
	}
	free(list.names);
	space_close(&space);
	return err;
}
