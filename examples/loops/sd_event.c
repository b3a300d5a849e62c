/* SPDX-License-Identifier: MIT */
/* sd-event: cc sd_event.c -ltolsey -lsystemd (Debian: libsystemd-dev) */
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "lines.h"

static int on_readable(sd_event_source *source, int fd, uint32_t events,
		       void *context)
{
	(void)fd;
	(void)events;
	if (print_lines(context))
		return 0;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);
	sd_event *event = NULL;

	if (!link || sd_event_default(&event) < 0 ||
	    sd_event_add_io(event, NULL, tol_descriptor(link, TOL_RECV),
			    EPOLLIN, on_readable, link) < 0)
		return 1;
	if (sd_event_loop(event) < 0)
		return 1;
	sd_event_unref(event);
	tol_close(link);
	return 0;
}
