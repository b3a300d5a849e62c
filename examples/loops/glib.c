/* SPDX-License-Identifier: MIT */
/* GLib: cc glib.c -ltolsey $(pkg-config --cflags --libs glib-2.0)
 * (Debian: libglib2.0-dev) */
#include <glib-unix.h>

#include "lines.h"

static GMainLoop *loop;

static gboolean on_readable(gint fd, GIOCondition condition, gpointer context)
{
	(void)fd;
	(void)condition;
	if (print_lines(context))
		return G_SOURCE_CONTINUE;
	g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);

	if (!link)
		return 1;
	loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(tol_descriptor(link, TOL_RECV), G_IO_IN, on_readable,
		      link);
	g_main_loop_run(loop);
	g_main_loop_unref(loop);
	tol_close(link);
	return 0;
}
