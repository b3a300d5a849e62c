/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "tolsey.h"

/*
 * The one table of this library's errors. The header, the man pages and a test
 * name the same codes.
 */
static const struct {
	int error;
	const char *text;
} texts[] = {
	{ 0, "done" },
	{ EAGAIN, "it would have to wait: full, empty or in use just now" },
	{ ETIMEDOUT, "the time to wait is over" },
	{ EMSGSIZE, "the message is larger than the buffer; it is still there" },
	{ ENOSPC, "no memory left for it in the space" },
	{ ENOMEM, "no memory or address space left for this process" },
	{ ECANCELED, "tol_interrupt() was called: this link waits no more" },
	{ ESHUTDOWN, "no more messages: somebody has closed the mailbox" },
	{ ENODATA, "the mailbox is closed and all its messages received" },
	{ EIDRM, "the object was removed" },
	{ EBADMSG, "the object is damaged or quarantined: its bytes make no sense" },
	{ EPROTO, "made by a version of tolsey with another layout" },
	{ EMEDIUMTYPE, "the name stands for something of another kind" },
	{ ECHILD, "opened by the parent process: open it again in this one" },
	{ EEXIST, "something of that name is there already" },
	{ ENOENT, "nothing of that name" },
	{ EINVAL, "a name, size or option that cannot be" },
	{ ERANGE, "capacity above the maximum of 1048576 messages" },
	{ ENOTSUP, "not supported here: by the file system, or of this mailbox" },
	{ EOVERFLOW, "larger than a 32-bit process can map: make it with reserve_bytes" },
	{ E2BIG, "more tags were asked for than TOL_SELECT_TAGS_MAX: use a range" },
	{ EACCES, "permission denied by the file's mode" },
	{ EPERM, "not allowed: unsafe owner or mode, sealed, or a limit" },
	{ ELOOP, "a symbolic link, and those are not followed" },
	{ ENOTDIR, "the space is not a directory" },
	{ EFBIG, "larger than the maximum or than the file size limit (ulimit -f)" },
	{ EUSERS, "too many: 4096 processes have it open, or 65536 messages are held" },
	{ EBUSY, "attached for writing by somebody" },
	{ ESTALE, "too late: the lease has ended, or who sent the segment closed it" },
	{ EMFILE, "too many open files in this process (ulimit -n)" },
	{ EBADF, "the descriptor behind the handle was closed by the program" },
	{ ENFILE, "too many open files in the system" },
	{ ENAMETOOLONG, "the path of the space is too long" },
	{ ENOLCK, "the kernel has no room for another lock" },
	{ ENOSYS, "the kernel cannot do it, or a filter of system calls refuses it" },
	{ EROFS, "the space is on a read-only file system" },
};

const char *tol_strerror(int error)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error || texts[i].error == -(int64_t)error)
			return texts[i].text;
	return "unexpected error of the system";
}

const char *tol_version(void)
{
	return "0.1.0";
}
