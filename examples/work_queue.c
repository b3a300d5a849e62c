/* SPDX-License-Identifier: MIT */
/* Three workers share a queue of numbers; the squares come back. */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tolsey.h>
#include <unistd.h>

#define WORKERS 3
#define JOBS 100

/* A worker ends when the queue is removed. */
static int work(void)
{
	struct tol_link *jobs, *squares;
	uint64_t n;

	if (tol_open(&jobs, "jobs", NULL) < 0 ||
	    tol_open(&squares, "squares", NULL) < 0)
		return 1;
	while (tol_recv(jobs, &n, sizeof(n), TOL_FOREVER) == sizeof(n)) {
		n *= n;
		tol_send(squares, &n, sizeof(n), TOL_FOREVER);
	}
	return 0;
}

int main(void)
{
	struct tol_link *jobs, *squares;
	uint64_t sum = 0, n;
	int i;

	if (tol_mailbox_create("jobs", 8, NULL) < 0 ||
	    tol_mailbox_create("squares", JOBS, NULL) < 0 ||
	    tol_open(&jobs, "jobs", NULL) < 0 ||
	    tol_open(&squares, "squares", NULL) < 0)
		return 1;
	for (i = 0; i < WORKERS; i++)
		if (fork() == 0)
			_exit(work());
	for (n = 1; n <= JOBS; n++)
		tol_send(jobs, &n, sizeof(n), TOL_FOREVER);
	for (i = 0; i < JOBS; i++)
		if (tol_recv(squares, &n, sizeof(n), TOL_SECS(30)) == sizeof(n))
			sum += n;
	tol_mailbox_remove("jobs", NULL);
	while (wait(NULL) > 0)
		;
	tol_mailbox_remove("squares", NULL);
	printf("sum of %d squares: %llu\n", i, (unsigned long long)sum);
	return sum != 338350;
}
