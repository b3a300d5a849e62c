/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAILBOX_STATE_H
#define CORE_MAILBOX_STATE_H

#include "core/space.h"

/* Finishes the removal of a mailbox that bears a hidden name, .rm.INODE. */
int mailbox_finish_removed(const struct space *space, const char *hidden_name);

#endif
