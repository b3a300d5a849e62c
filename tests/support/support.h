/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_H
#define SUPPORT_H

/*
 * What all tests share: a process and a space of its own for each, and a look for
 * descriptors, mappings and names that it left behind.
 */

#include <check.h>
#include <stdbool.h>
#include <sys/types.h>

/* The directory of this test; also in $TOLSEY_SPACE. */
extern char support_space[64];

/* A test case whose tests each get a space, and are looked at for leaks. */
TCase *support_tcase(const char *name);

/* A test that cannot run here, and why; to be called instead of adding it. */
void support_skip(const char *name, const char *why);

/* The same inside a test, in its own function; ends it. */
#define support_cannot(why)						\
	do {								\
		support_skip_inside(__func__, why);			\
		return;							\
	} while (0)

void support_skip_inside(const char *function, const char *why);

/*
 * Runs the suite, prints "N passed, N failed[, N skipped: which (why)]".
 *
 * Return: exit status for main()
 */
int support_run(Suite *suite);

/* Forks; in the child runs @body and exits with what it returns. */
pid_t support_fork(int (*body)(void *context), void *context);

/* Waits for a child. Return: its exit status, or -signal */
int support_wait(pid_t pid);

/* Waits, by looking, until a process sleeps in the kernel. */
void support_wait_asleep(pid_t pid);

/*
 * Which descriptors are open; and closes all others, behind the library's back, as
 * closefrom(3) does.
 */
void support_note_descriptors(void);
void support_close_others(void);

/* A number from $TOLSEY_TEST_SEED or a new one; printed. */
unsigned int support_seed(void);

#endif
