/* SPDX-License-Identifier: MIT */
#include "core/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fork.h"
#include "base/presence.h"
#include "core/space.h"

#define FLAGS_KNOWN (TOL_SEGMENT_LAZY | TOL_SEGMENT_HUGE)

int segment_begin(struct tol_segment **ret_segment)
{
	struct tol_segment *segment = calloc(1, sizeof(*segment));
	int err;

	if (!segment)
		return -ENOMEM;
	segment->fd = -1;
	segment->dir_fd = -1;
	err = segment_guard_enter();
	if (err < 0) {
		free(segment);
		return err;
	}
	segment_register(segment);
	*ret_segment = segment;
	return 0;
}

/*
 * A descriptor that is not ours any more is left alone: closing it would take
 * a file away from somebody else in this process.
 */
static void close_fd(const struct tol_segment *segment)
{
	struct sys_stat st;

	if (segment->fd < 0)
		return;
	if (segment->is_ready &&
	    (sys_stat_fd(segment->fd, &st) < 0 ||
	     st.device != segment->device || st.inode != segment->inode))
		return;
	sys_close(segment->fd);
}

void tol_segment_close(struct tol_segment *segment)
{
	if (!segment)
		return;
	segment_guard_enter_again();
	segment_detach_all(segment);
	segment_unregister(segment);
	close_fd(segment);
	if (segment->dir_fd >= 0)
		sys_close(segment->dir_fd);
	segment_guard_leave();
	free(segment);
}

int segment_end(struct tol_segment *segment, int err,
		struct tol_segment **ret_segment)
{
	segment->is_ready = err == 0;
	segment_guard_leave();
	if (err < 0)
		tol_segment_close(segment);
	else
		*ret_segment = segment;
	return err;
}

int segment_check_fd(const struct tol_segment *segment,
		     struct sys_stat *ret_stat)
{
	struct sys_stat st;

	if (!segment)
		return -EINVAL;
	if (sys_stat_fd(segment->fd, &st) < 0 ||
	    st.device != segment->device || st.inode != segment->inode)
		return segment->process_number == fork_process_number()
				? -EBADF : -ECHILD;
	if (st.size_bytes <= segment->data_offset)
		return -EBADMSG;
	*ret_stat = st;
	return 0;
}

int segment_write_head(int fd, const void *bytes, size_t size_bytes,
		       uint64_t offset)
{
	ssize_t n;

	if (!sys_size_is_allowed(offset + size_bytes))
		return -EFBIG;
	n = sys_pwrite(fd, bytes, size_bytes, offset);
	return n < 0 ? (int)n : 0;
}

int segment_adopt(struct tol_segment *segment)
{
	struct segment_layout head;
	struct sys_stat st;
	ssize_t n;
	int err = sys_stat_fd(segment->fd, &st);

	if (err < 0)
		return err;
	n = sys_pread(segment->fd, &head, sizeof(head), 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(head.object))
		return -EBADMSG;
	if ((size_t)n < sizeof(head))
		memset((char *)&head + n, 0, sizeof(head) - (size_t)n);
	err = segment_check_head(&head, st.size_bytes);
	if (err < 0)
		return err;
	/* What calls itself private must be memory that cannot shrink. */
	if ((head.flags & SEGMENT_IS_PRIVATE) && !sys_cannot_shrink(segment->fd))
		return -EBADMSG;
	segment->device = st.device;
	segment->inode = st.inode;
	segment->data_offset = head.data_offset;
	segment->flags = head.flags;
	segment->creator_pid = head.creator_pid;
	segment->id[0] = head.id[0];
	segment->id[1] = head.id[1];
	segment->created_unix_ns = head.created_unix_ns;
	segment->process_number = fork_process_number();
	return 0;
}

/* ---- create --------------------------------------------------------------- */

static int check_create(const char *name, uint64_t size_bytes,
			const struct tol_segment_opts *opts)
{
	if (name && space_check_name(name) < 0)
		return -EINVAL;
	if (size_bytes == 0 || (opts->flags & ~FLAGS_KNOWN) ||
	    (opts->mode & ~(mode_t)0777))
		return -EINVAL;
	return size_bytes > TOL_SEGMENT_SIZE_MAX_BYTES ? -EFBIG : 0;
}

/* The file, empty and unseen. The guard is held: a child must know of it. */
static int make_file(struct tol_segment *segment, const char *name,
		     const struct tol_segment_opts *opts)
{
	mode_t mode = opts->mode ? opts->mode : 0600;
	struct sys_stat st;
	struct space space;
	int err;

	if (!name) {
		segment->fd = sys_memfd("tolsey");
		return segment->fd < 0 ? segment->fd
				       : sys_chmod(segment->fd, mode);
	}
	err = space_open(&space, opts->space, true);
	if (err < 0)
		return err;
	segment->dir_fd = space.fd;
	/* Only to spare the work: what counts is the link at the end. */
	if (sys_stat_at(space.fd, name, &st) == 0)
		return -EEXIST;
	segment->fd = sys_open_unnamed(space.fd, mode);
	return segment->fd < 0 ? segment->fd : 0;
}

static int reserve_file(int fd, uint64_t data_offset, uint64_t size_bytes,
			bool is_lazy)
{
	int err = sys_reserve(fd, 0, SEGMENT_PAGE_BYTES);

	if (err < 0)
		return err;
	if (is_lazy)
		return sys_set_size(fd, data_offset + size_bytes);
	/*
	 * A file system in memory may allow more than the machine has; taking
	 * it would make the kernel kill somebody instead of returning.
	 */
	if (size_bytes > sys_memory_left(fd))
		return -ENOSPC;
	return sys_reserve(fd, data_offset, size_bytes);
}

static int fill_head(int fd, uint64_t data_offset, uint32_t flags)
{
	struct segment_layout head = {
		.object = {
			.magic = OBJECT_MAGIC,
			.layout_version = OBJECT_LAYOUT_VERSION,
			.kind = SEGMENT_KIND,
			.signature = segment_signature(),
		},
		.data_offset = data_offset,
		.flags = flags,
		.creator_pid = (uint32_t)sys_pid(),
		.id = { sys_random(), sys_random() },
		.created_unix_ns = sys_unix_ns(),
	};
	struct sys_stat st;
	int err = sys_stat_fd(fd, &st);

	if (err < 0)
		return err;
	head.change = (struct segment_change_layout){
		.changed_unix_ns = head.created_unix_ns,
		.mode = st.mode & 07777,
		.uid = st.uid,
		.gid = st.gid,
	};
	return segment_write_head(fd, &head, sizeof(head), 0);
}

static int fill_file(struct tol_segment *segment, const char *name,
		     uint64_t size_bytes, unsigned int opts_flags)
{
	uint64_t data_offset = SEGMENT_PAGE_BYTES;
	uint32_t flags = 0;
	int err;

	if (opts_flags & TOL_SEGMENT_LAZY)
		flags |= SEGMENT_IS_LAZY;
	if (opts_flags & TOL_SEGMENT_HUGE) {
		flags |= SEGMENT_IS_HUGE;
		data_offset = SEGMENT_HUGE_BYTES;
	}
	if (!name)
		flags |= SEGMENT_IS_PRIVATE;
	err = reserve_file(segment->fd, data_offset, size_bytes,
			   flags & SEGMENT_IS_LAZY);
	if (err == 0)
		err = fill_head(segment->fd, data_offset, flags);
	if (err == 0 && !name)
		err = sys_seal(segment->fd, false);
	if (err == 0)
		err = segment_adopt(segment);
	if (err == 0 && name)
		err = sys_link_unnamed(segment->fd, segment->dir_fd, name);
	return err;
}

int tol_segment_create(struct tol_segment **ret_segment, const char *name,
		       uint64_t size_bytes, const struct tol_segment_opts *opts)
{
	static const struct tol_segment_opts defaults;
	struct tol_segment *segment;
	int err;

	if (!ret_segment)
		return -EINVAL;
	if (!opts)
		opts = &defaults;
	err = check_create(name, size_bytes, opts);
	if (err < 0)
		return err;
	err = segment_begin(&segment);
	if (err < 0)
		return err;
	segment->is_writable = true;
	err = make_file(segment, name, opts);
	segment_guard_leave();
	/* Reserving may take long: no fork() has to wait for it. */
	if (err == 0)
		err = fill_file(segment, name, size_bytes, opts->flags);
	/* If it is complete a child inherits it from now on. */
	segment_guard_enter_again();
	if (err == 0) {
		if (segment->dir_fd >= 0)
			sys_close(segment->dir_fd);
		segment->dir_fd = -1;
	}
	return segment_end(segment, err, ret_segment);
}

/* ---- open, remove --------------------------------------------------------- */

static int open_file(struct tol_segment *segment, const char *name,
		     const char *option)
{
	struct space space;
	int err = space_open(&space, option, false);

	if (err < 0)
		return err;
	segment->is_writable = true;
	segment->fd = space_open_object(&space, name, true, NULL);
	if (segment->fd == -EACCES || segment->fd == -EROFS) {
		segment->is_writable = false;
		segment->fd = space_open_object(&space, name, false, NULL);
	}
	space_close(&space);
	if (segment->fd < 0)
		return segment->fd;
	return segment_adopt(segment);
}

int tol_segment_open(struct tol_segment **ret_segment, const char *name,
		     const struct tol_segment_opts *opts)
{
	struct tol_segment *segment;
	int err;

	if (!ret_segment || space_check_name(name) < 0)
		return -EINVAL;
	err = segment_begin(&segment);
	if (err < 0)
		return err;
	err = open_file(segment, name, opts ? opts->space : NULL);
	return segment_end(segment, err, ret_segment);
}

/*
 * Since the look others may have removed it and given the name to a mailbox,
 * which nobody must lose. So the name is taken away, and what it led to is looked
 * at again: a mailbox gets it back. Killed in between, the segment is removed,
 * and tol_space_clean() frees its memory.
 */
static int take_away(const struct space *space, const char *name,
		     uint64_t inode)
{
	char hidden[SPACE_REMOVED_NAME_BYTES];
	int err;

	space_make_removed_name(hidden, inode);
	err = sys_rename_new(space->fd, name, hidden);
	/* Not possible here, or a remnant is in the way. */
	if (err == -EINVAL || err == -ENOSYS || err == -EEXIST)
		return sys_unlink(space->fd, name);
	if (err < 0)
		return err;
	if (space_check_kind(space, hidden, SEGMENT_KIND, NULL) == -EMEDIUMTYPE &&
	    sys_rename_new(space->fd, hidden, name) == 0)
		return -EMEDIUMTYPE;
	err = sys_unlink(space->fd, hidden);
	return err == -ENOENT ? 0 : err;
}

int tol_segment_remove(const char *name, const struct tol_segment_opts *opts)
{
	struct space space;
	struct sys_stat st;
	int err = space_check_name(name);

	if (err < 0)
		return err;
	err = space_open(&space, opts ? opts->space : NULL, false);
	if (err < 0)
		return err;
	/* Of any version: an old one must be able to go. */
	err = space_check_kind(&space, name, SEGMENT_KIND, &st);
	if (err == 0)
		err = take_away(&space, name, st.inode);
	space_close(&space);
	/* A file of somebody else's in a sticky directory. */
	return err == -EPERM ? -EACCES : err;
}

/* ---- grow ----------------------------------------------------------------- */

/*
 * A call that says how long the file shall be at least: it never shrinks, so
 * that two who grow at once end at the larger size. A lazy one takes the page
 * of the last byte only, and thereby the size.
 */
static int extend(const struct tol_segment *segment, int fd,
		  uint64_t size_bytes)
{
	uint64_t end = segment->data_offset + size_bytes;
	struct sys_stat st;
	int err = segment_check_fd(segment, &st);

	if (err < 0)
		return err;
	if (end <= st.size_bytes)
		return 0;
	if (segment->flags & SEGMENT_IS_LAZY)
		err = sys_reserve(fd, end - 1, 1);
	else if (end - st.size_bytes > sys_memory_left(fd))
		err = -ENOSPC;
	else
		err = sys_reserve(fd, st.size_bytes, end - st.size_bytes);
	if (err == 0) {
		struct segment_change_layout change = {
			.changed_unix_ns = sys_unix_ns(),
			.mode = st.mode & 07777,
			.uid = st.uid,
			.gid = st.gid,
		};

		segment_write_head(fd, &change, sizeof(change),
				   offsetof(struct segment_layout, change));
	}
	return err;
}

/* A description that bears a lock against sealing, known to fork(). */
static int open_grower(const struct tol_segment *segment,
		       struct segment_passing *passing)
{
	int err;

	segment_guard_enter_again();
	passing->fd = segment_reopen(segment, true);
	if (passing->fd < 0) {
		segment_guard_leave();
		return passing->fd;
	}
	do {
		err = presence_take(passing->fd, SEGMENT_GROWER_BASE +
				    sys_random() % SEGMENT_GROWERS_COUNT,
				    false);
	} while (err == -EAGAIN);
	if (err == 0)
		segment_pass(passing);
	else
		sys_close(passing->fd);
	segment_guard_leave();
	return err;
}

int tol_segment_grow(struct tol_segment *segment, uint64_t size_bytes)
{
	struct segment_passing passing;
	struct sys_stat st;
	int err;

	if (size_bytes > TOL_SEGMENT_SIZE_MAX_BYTES)
		return -EFBIG;
	err = segment_check_fd(segment, &st);
	if (err < 0)
		return err;
	if (size_bytes <= st.size_bytes - segment->data_offset)
		return 0;
	err = segment_is_sealed(segment);
	if (err != 0)
		return err > 0 ? -EPERM : err;
	if (!segment->is_writable)
		return -EACCES;
	err = open_grower(segment, &passing);
	if (err < 0)
		return err;
	/* Taking memory may take long: no fork() has to wait for it. */
	err = segment_may_write(segment, passing.fd);
	if (err == 0)
		err = extend(segment, passing.fd, size_bytes);
	segment_pass_end(&passing);
	return err;
}
