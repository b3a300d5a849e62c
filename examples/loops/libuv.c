/* SPDX-License-Identifier: MIT */
/* libuv: cc libuv.c -ltolsey -luv (Debian: libuv1-dev) */
#include <uv.h>

#include "lines.h"

static void on_readable(uv_poll_t *poll, int status, int events)
{
	if (status < 0 || ((events & UV_READABLE) && !print_lines(poll->data)))
		uv_poll_stop(poll);
}

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);
	uv_poll_t poll = { .data = link };
	uv_loop_t *loop = uv_default_loop();

	if (!link ||
	    uv_poll_init(loop, &poll, tol_descriptor(link, TOL_RECV)) < 0 ||
	    uv_poll_start(&poll, UV_READABLE, on_readable) < 0)
		return 1;
	uv_run(loop, UV_RUN_DEFAULT);
	tol_close(link);
	return 0;
}
