/* SPDX-License-Identifier: MIT */
/* libevent: cc libevent.c -ltolsey -levent (Debian: libevent-dev) */
#include <event2/event.h>

#include "lines.h"

static struct event_base *base;

static void on_readable(evutil_socket_t fd, short events, void *context)
{
	(void)fd;
	(void)events;
	if (!print_lines(context))
		event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);
	struct event *event;

	base = event_base_new();
	if (!link || !base)
		return 1;
	event = event_new(base, tol_descriptor(link, TOL_RECV),
			  EV_READ | EV_PERSIST, on_readable, link);
	if (!event || event_add(event, NULL) < 0)
		return 1;
	event_base_dispatch(base);
	event_free(event);
	event_base_free(base);
	tol_close(link);
	return 0;
}
