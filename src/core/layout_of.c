/* SPDX-License-Identifier: MIT */
/* Which layout an object has, for those who cannot open it. */
#include <errno.h>

#include "core/space.h"
#include "layout/mailbox.h"
#include "layout/segment.h"
#include "tolsey.h"

static int read_head(const char *name, const char *space_option,
		     struct object_layout *ret_head)
{
	struct space space;
	int err, fd;
	ssize_t n;

	err = space_open(&space, space_option, false);
	if (err < 0)
		return err;
	fd = space_open_object(&space, name, false, NULL);
	space_close(&space);
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

int tol_object_layout(const char *name, const char *space,
		      struct tol_layout *ret_object, struct tol_layout *ret_own)
{
	struct object_layout head;
	int err;

	if (space_check_name(name) < 0 || !ret_object || !ret_own)
		return -EINVAL;
	err = read_head(name, space, &head);
	if (err < 0)
		return err;
	if (head.kind != TOL_KIND_MAILBOX && head.kind != TOL_KIND_SEGMENT)
		return -EMEDIUMTYPE;
	*ret_object = (struct tol_layout){
		.version = head.layout_version,
		.incompatible_flags = head.incompatible_flags,
		.signature = head.signature,
	};
	*ret_own = (struct tol_layout){
		.version = OBJECT_LAYOUT_VERSION,
		.signature = head.kind == TOL_KIND_MAILBOX
				     ? mailbox_signature()
				     : segment_signature(),
	};
	return 0;
}
