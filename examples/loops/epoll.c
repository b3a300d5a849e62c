/* SPDX-License-Identifier: MIT */
/*
 * epoll(7), level-triggered, or edge-triggered if EDGE is defined: print_lines()
 * goes on until there is nothing, which the second needs.
 *
 * cc epoll.c -ltolsey; cc -DEDGE epoll.c -ltolsey
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "lines.h"

#ifdef EDGE
#define EVENTS (EPOLLIN | EPOLLET)
#else
#define EVENTS EPOLLIN
#endif

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);
	struct epoll_event event = { .events = EVENTS, .data.ptr = link };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (!link || set < 0)
		return 1;
	if (epoll_ctl(set, EPOLL_CTL_ADD, tol_descriptor(link, TOL_RECV),
		      &event) < 0)
		return 1;
	do
		epoll_wait(set, &event, 1, -1);
	while (print_lines(event.data.ptr));
	close(set);
	tol_close(link);
	return 0;
}
