/* SPDX-License-Identifier: MIT */
#include "surroundings.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static void set_limit(const char *path, const char *value)
{
	FILE *file = fopen(path, "we");

	if (file) {
		fputs(value, file);
		fclose(file);
	}
}

static bool is_own;	/* the IPC namespace */

void surroundings_widen(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (unshare(CLONE_NEWIPC) < 0)
		return;
	is_own = true;
	setrlimit(RLIMIT_MSGQUEUE, &all);
	set_limit("/proc/sys/fs/mqueue/msg_max", "64");
	set_limit("/proc/sys/fs/mqueue/msgsize_max", "1048576");
	set_limit("/proc/sys/kernel/msgmax", "1048576");
	set_limit("/proc/sys/kernel/msgmnb", "8388608");
}

void surroundings_lengthen(void)
{
	if (!is_own)
		return;
	set_limit("/proc/sys/fs/mqueue/msg_max", "65536");
	set_limit("/proc/sys/kernel/msgmnb", "1073741824");
}

void surroundings_remove_queues(int ids[2])
{
	for (int i = 0; i < 2; i++)
		if (ids[i] >= 0)
			msgctl(ids[i], IPC_RMID, NULL);
}

void surroundings_cpu(char *buf, size_t size_bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(buf, size_bytes, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *value = strstr(line, ": ");

		if (strncmp(line, "model name", 10) != 0 || !value)
			continue;
		value[strcspn(value, "\n")] = 0;
		snprintf(buf, size_bytes, "%s", value + 2);
		break;
	}
	if (file)
		fclose(file);
}

void surroundings_kernel(char *buf, size_t size_bytes)
{
	struct utsname name;

	if (uname(&name) < 0)
		snprintf(buf, size_bytes, "unknown");
	else
		snprintf(buf, size_bytes, "%s %s", name.sysname, name.release);
}
