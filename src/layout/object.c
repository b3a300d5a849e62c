/* SPDX-License-Identifier: MIT */
#include "layout/object.h"

#include <errno.h>

int object_check(const struct object_layout *head, uint32_t kind,
		 uint64_t signature)
{
	if (head->magic != OBJECT_MAGIC)
		return -EBADMSG;
	if (head->layout_version != OBJECT_LAYOUT_VERSION ||
	    head->incompatible_flags != 0)
		return -EPROTO;
	if (head->kind != kind)
		return -EMEDIUMTYPE;
	/* The same version of another build, or of another machine's. */
	return head->signature == signature ? 0 : -EPROTO;
}
