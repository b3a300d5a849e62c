/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAILBOX_STATE_H
#define CORE_MAILBOX_STATE_H

#include "core/space.h"

/* Finishes the removal of a mailbox that bears a hidden name, .rm.INODE. */
int mailbox_finish_removed(const struct space *space, const char *hidden_name);

/* The files of bodies of a mailbox that is gone. */
void mailbox_remove_body_files(int dir_fd, uint64_t id);

#endif
