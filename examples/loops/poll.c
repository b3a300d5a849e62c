/* SPDX-License-Identifier: MIT */
/*
 * poll(2): passes messages on from one mailbox to another, and never waits for
 * either: while the other is full it polls for room alone.
 *
 * cc poll.c -ltolsey
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <tolsey.h>

int main(int argc, char **argv)
{
	struct tol_link *from, *to;
	struct pollfd polls[2] = { { .events = POLLIN }, { .fd = -1 } };
	char body[256];
	ssize_t n = -EAGAIN;	/* bytes that wait to be sent, or why none do */
	int room;

	if (argc != 3 || tol_open(&from, argv[1], NULL) < 0 ||
	    tol_open(&to, argv[2], NULL) < 0) {
		fprintf(stderr, "usage: %s FROM TO\n", argv[0]);
		return 1;
	}
	polls[0].fd = tol_descriptor(from, TOL_RECV);
	polls[1].events = POLLIN; /* readable when there is room */
	room = tol_descriptor(to, TOL_SEND);
	if (polls[0].fd < 0 || room < 0)
		return 1;
	do {
		if (n >= 0 &&
		    tol_send(to, body, (size_t)n, TOL_NOWAIT) != -EAGAIN)
			n = -EAGAIN;
		if (n == -EAGAIN)
			n = tol_recv(from, body, sizeof(body), TOL_NOWAIT);
		polls[1].fd = n >= 0 ? room : -1;
		if (n == -EAGAIN || (n >= 0 && polls[1].fd >= 0))
			poll(n >= 0 ? &polls[1] : polls, 1, -1);
	} while (n >= 0 || n == -EAGAIN);
	tol_close(from);
	tol_close(to);
	return n != -ENODATA;
}
