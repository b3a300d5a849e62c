/* SPDX-License-Identifier: MIT */
#ifndef LINES_H
#define LINES_H

/*
 * What the loops of this directory do when their descriptor is readable: print
 * each message as a line. tests/loops.sh builds and runs them; each says on top
 * what it needs.
 */

#include <stdbool.h>
#include <stdio.h>
#include <tolsey.h>

/* Return: false no more will come, or it was removed */
static inline bool print_lines(struct tol_link *link)
{
	char line[256];
	ssize_t n;

	while ((n = tol_recv(link, line, sizeof(line), TOL_NOWAIT)) >= 0)
		printf("%.*s\n", (int)n, line);
	fflush(stdout);
	return n == -11; /* EAGAIN: wait for more */
}

static inline struct tol_link *open_lines(int argc, char **argv)
{
	struct tol_link *link = NULL;
	int err = argc == 2 ? tol_open(&link, argv[1], NULL) : -22;

	if (err < 0)
		fprintf(stderr, "usage: %s MAILBOX: %s\n", argv[0],
			tol_strerror(err));
	return link;
}

#endif
