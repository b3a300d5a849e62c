/* SPDX-License-Identifier: MIT */
#include "base/robust.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct robust_head *robust_thread_head
	__attribute__((tls_model("initial-exec")));

struct robust_head *robust_find_head(void)
{
	struct robust_head *head = NULL;
	size_t size_bytes = 0;
	long err = syscall(SYS_get_robust_list, 0, &head, &size_bytes);

	if (err < 0 || !head || size_bytes != sizeof(*head))
		head = ROBUST_NONE;
	robust_thread_head = head;
	return head;
}
