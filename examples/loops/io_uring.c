/* SPDX-License-Identifier: MIT */
/*
 * io_uring, with polls that go on by themselves: cc io_uring.c -ltolsey -luring
 * (Debian: liburing-dev). Such a poll is edge-triggered: print_lines() goes on until there
 * is nothing.
 */
#include <liburing.h>
#include <poll.h>

#include "lines.h"

static int poll_again(struct io_uring *ring, int fd)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);

	io_uring_prep_poll_multishot(entry, fd, POLLIN);
	return io_uring_submit(ring);
}

int main(int argc, char **argv)
{
	struct tol_link *link = open_lines(argc, argv);
	struct io_uring_cqe *event;
	struct io_uring ring;
	bool goes_on = true;
	int fd, err;

	if (!link)
		return 1;
	err = io_uring_queue_init(8, &ring, 0);
	if (err < 0)
		return 77; /* not allowed here */
	fd = tol_descriptor(link, TOL_RECV);
	if (fd < 0 || poll_again(&ring, fd) < 0)
		return 1;
	while (goes_on && io_uring_wait_cqe(&ring, &event) == 0) {
		bool is_over = !(event->flags & IORING_CQE_F_MORE);

		io_uring_cqe_seen(&ring, event);
		goes_on = print_lines(link);
		if (goes_on && is_over && poll_again(&ring, fd) < 0)
			return 1;
	}
	io_uring_queue_exit(&ring);
	tol_close(link);
	return 0;
}
