/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/presence.h"
#include "core/segment.h"

/* ---- stat ----------------------------------------------------------------- */

/*
 * The file's own time of change moves with every write, so the head has one.
 * If mode or owner are not as they were then, somebody has changed them by
 * hand since, at the file's time at the latest.
 */
static int64_t find_change(const struct segment_change_layout *change,
			   const struct sys_stat *st)
{
	if (change->mode == (st->mode & 07777) && change->uid == st->uid &&
	    change->gid == st->gid)
		return change->changed_unix_ns;
	return st->changed_unix_ns;
}

int tol_segment_stat(struct tol_segment *segment,
		     struct tol_segment_stat *ret_stat)
{
	struct segment_layout head;
	uint32_t count, shared_count;
	struct sys_stat st;
	int err, is_sealed;

	err = ret_stat ? segment_check_fd(segment, &st) : -EINVAL;
	if (err < 0)
		return err;
	is_sealed = segment_is_sealed(segment);
	if (is_sealed < 0)
		return is_sealed;
	if (sys_pread(segment->fd, &head, sizeof(head), 0) <
	    (ssize_t)sizeof(head))
		return -EBADMSG;
	err = presence_count(segment->fd, &count, &shared_count);
	if (err < 0)
		return err;
	*ret_stat = (struct tol_segment_stat){
		.size_bytes = st.size_bytes - segment->data_offset,
		.memory_bytes = st.memory_bytes,
		.attach_count = count,
		.attach_write_count = count - shared_count,
		.is_private = (segment->flags & SEGMENT_IS_PRIVATE) != 0,
		.is_sealed = is_sealed,
		.is_lazy = (segment->flags & SEGMENT_IS_LAZY) != 0,
		.mode = st.mode & 07777,
		.uid = st.uid,
		.gid = st.gid,
		.creator_pid = (pid_t)segment->creator_pid,
		.last_pid = (pid_t)head.use.last_pid,
		.created_unix_ns = segment->created_unix_ns,
		.attached_unix_ns = head.use.attached_unix_ns,
		.detached_unix_ns = head.use.detached_unix_ns,
		.changed_unix_ns = find_change(&head.change, &st),
	};
	ret_stat->is_removed = !ret_stat->is_private && st.links_count == 0;
	return 0;
}

/* ---- handles -------------------------------------------------------------- */

int tol_segment_export(struct tol_segment *segment,
		       struct tol_segment_handle *ret_handle)
{
	struct segment_handle_layout handle;
	struct sys_stat st;
	int err = ret_handle ? segment_check_fd(segment, &st) : -EINVAL;

	if (err < 0)
		return err;
	handle = (struct segment_handle_layout){
		.magic = SEGMENT_HANDLE_MAGIC,
		.pid = (int32_t)sys_pid(),
		.fd = segment->fd,
		.device = segment->device,
		.inode = segment->inode,
		.id = { segment->id[0], segment->id[1] },
	};
	memcpy(ret_handle->bytes, &handle, sizeof(handle));
	return 0;
}

/*
 * A pid and a descriptor are reused; the file is compared before it is opened
 * and again after, and then the random number in its head.
 */
static int open_exported(const struct segment_handle_layout *handle,
			 bool *ret_writable)
{
	struct sys_stat st;
	bool is_writable = true;
	int err, fd;

	err = sys_stat_peer_fd(handle->pid, handle->fd, &st);
	if (err == -ENOENT || err == -ESRCH)
		return -ESTALE;
	if (err < 0)
		return err == -EPERM ? -EACCES : err;
	if (!S_ISREG(st.mode) || st.device != handle->device ||
	    st.inode != handle->inode)
		return -ESTALE;
	fd = sys_open_peer_fd(handle->pid, handle->fd, true);
	if (fd == -EACCES || fd == -EROFS) {
		is_writable = false;
		fd = sys_open_peer_fd(handle->pid, handle->fd, false);
	}
	if (fd == -ENOENT || fd == -ESRCH || fd == -ENXIO)
		return -ESTALE;
	if (fd < 0)
		return fd == -EPERM ? -EACCES : fd;
	*ret_writable = is_writable;
	return fd;
}

static int import_file(struct tol_segment *segment,
		       const struct segment_handle_layout *handle)
{
	int err;

	segment->fd = open_exported(handle, &segment->is_writable);
	if (segment->fd < 0)
		return segment->fd;
	err = segment_adopt(segment);
	/* The handle was forged, or the number has gone to something else. */
	if (err == -EMEDIUMTYPE)
		return -EBADMSG;
	if (err < 0)
		return err;
	if (segment->device != handle->device ||
	    segment->inode != handle->inode ||
	    segment->id[0] != handle->id[0] || segment->id[1] != handle->id[1])
		return -ESTALE;
	return 0;
}

int tol_segment_import(struct tol_segment **ret_segment,
		       const struct tol_segment_handle *bytes)
{
	struct segment_handle_layout handle;
	struct tol_segment *segment;
	int err;

	if (!ret_segment || !bytes)
		return -EINVAL;
	memcpy(&handle, bytes->bytes, sizeof(handle));
	if (handle.magic != SEGMENT_HANDLE_MAGIC || handle.pid <= 0 ||
	    handle.fd < 0 || handle.zero[0] != 0 || handle.zero[1] != 0)
		return -EBADMSG;
	err = segment_begin(&segment);
	if (err < 0)
		return err;
	err = import_file(segment, &handle);
	return segment_end(segment, err, ret_segment);
}
