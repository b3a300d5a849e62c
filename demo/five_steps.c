/* SPDX-License-Identifier: MIT */
/* The five steps of shared memory, between two processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tolsey.h>
#include <unistd.h>

static const char text[] = "Writing to shared memory";

static void check(int err, const char *step)
{
	printf("  %-6d %s", (int)getpid(), step);
	if (err < 0) {
		printf(": %s\n", tol_strerror(err));
		fflush(stdout);
		_exit(1);
	}
	printf("\n");
	fflush(stdout);
}

static int reader(void)
{
	struct tol_segment *segment;
	struct tol_attach_opts opts = { .flags = TOL_ATTACH_READONLY };
	struct tol_link *ready;
	void *memory;
	int same;

	check(tol_open(&ready, "ready", NULL), "tol_open(\"ready\")");
	check((int)tol_recv(ready, NULL, 0, TOL_SECS(30)),
	      "tol_recv(): it is written");
	tol_close(ready);
	check(tol_segment_open(&segment, "frame", NULL),
	      "tol_segment_open(\"frame\")");
	check(tol_segment_attach(segment, &opts, &memory),
	      "2 attach    tol_segment_attach(), read only");
	same = strcmp(memory, text) == 0;
	printf("  %-6d 3 access    read: \"%.64s\"\n", (int)getpid(),
	       (const char *)memory);
	check(tol_segment_detach(segment, memory),
	      "4 detach    tol_segment_detach()");
	tol_segment_close(segment);
	return !same;
}

int main(void)
{
	struct tol_segment *segment;
	struct tol_segment_stat st;
	struct tol_link *ready;
	void *memory;
	int status;
	pid_t pid;

	check(tol_mailbox_create("ready", 1, NULL),
	      "tol_mailbox_create(\"ready\"), to say when it is written");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		status = reader();
		fflush(NULL);
		_exit(status);
	}
	check(tol_segment_create(&segment, "frame", 4096, NULL),
	      "1 allocate  tol_segment_create(\"frame\", 4096)");
	check(tol_segment_attach(segment, NULL, &memory),
	      "2 attach    tol_segment_attach()");
	memcpy(memory, text, sizeof(text));
	check(0, "3 access    write \"Writing to shared memory\"");
	check(tol_open(&ready, "ready", NULL), "tol_open(\"ready\")");
	check(tol_send(ready, NULL, 0, TOL_SECS(30)), "tol_send()");
	tol_close(ready);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 1;
	check(tol_segment_stat(segment, &st), "tol_segment_stat()");
	printf("  %-6d             attached by %u, for now\n", (int)getpid(),
	       st.attach_count);
	check(tol_segment_detach(segment, memory),
	      "4 detach    tol_segment_detach()");
	tol_segment_close(segment);
	check(tol_segment_remove("frame", NULL),
	      "5 remove    tol_segment_remove(\"frame\")");
	check(tol_mailbox_remove("ready", NULL),
	      "tol_mailbox_remove(\"ready\")");
	return st.attach_count != 1;
}
