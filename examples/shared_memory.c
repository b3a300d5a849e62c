/* SPDX-License-Identifier: MIT */
/* Allocate, attach, access, detach, remove; the child reads. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <tolsey.h>
#include <unistd.h>

static int read_it(void)
{
	struct tol_segment *segment;
	struct tol_attach_opts opts = { .flags = TOL_ATTACH_READONLY };
	void *memory;

	if (tol_segment_open(&segment, "frame", NULL) < 0 ||
	    tol_segment_attach(segment, &opts, &memory) < 0)
		return 1;
	puts(memory);
	fflush(stdout);
	tol_segment_detach(segment, memory);
	tol_segment_close(segment);
	return 0;
}

int main(void)
{
	struct tol_segment *segment;
	void *memory;
	int status = 1;
	pid_t pid;

	if (tol_segment_create(&segment, "frame", 4096, NULL) < 0)
		return 1;
	if (tol_segment_attach(segment, NULL, &memory) == 0) {
		strcpy(memory, "Writing to shared memory");
		pid = fork();
		if (pid == 0)
			_exit(read_it());
		if (pid > 0)
			waitpid(pid, &status, 0);
		tol_segment_detach(segment, memory);
	}
	tol_segment_close(segment);
	return tol_segment_remove("frame", NULL) < 0 || status;
}
