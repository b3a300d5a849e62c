/* SPDX-License-Identifier: MIT */
/* Pipe, UNIX stream socket, UNIX seqpacket socket: bytes through an fd. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport.h"

static void fd_close_pair(struct pair *pair)
{
	for (int i = 0; i < 4; i++)
		if (pair->fds[i / 2][i % 2] >= 0)
			close(pair->fds[i / 2][i % 2]);
}

static void fd_init(struct pair *pair)
{
	memset(pair->fds, -1, sizeof(pair->fds));
	memset(pair->done_bytes, 0, sizeof(pair->done_bytes));
}

static int fd_set_mode(struct pair *pair)
{
	for (int i = 0; i < 4 && pair->mode == MODE_POLL; i++) {
		int fd = pair->fds[i / 2][i % 2];

		if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return -1;
	}
	return 0;
}

/*
 * Room for as many messages as the others hold, never below 64 KiB. Without the
 * right to it no more than fs.pipe-max-size, 1 MiB.
 */
static int pipe_open_pair(struct pair *pair)
{
	size_t want_bytes = pair->size_bytes * depth_msgs(pair->size_bytes);

	fd_init(pair);
	for (int i = 0; i < 2; i++) {
		if (pipe(pair->fds[i]) < 0)
			goto fail;
		if (want_bytes > 1 << 16 &&
		    fcntl(pair->fds[i][1], F_SETPIPE_SZ, (int)want_bytes) < 0)
			(void)fcntl(pair->fds[i][1], F_SETPIPE_SZ, 1 << 20);
	}
	if (fd_set_mode(pair) == 0)
		return 0;
fail:
	snprintf(pair->reason, sizeof(pair->reason), "pipe: %s",
		 strerror(errno));
	fd_close_pair(pair);
	return -1;
}

/* Beyond net.core.wmem_max only with the right to it. */
static void enlarge(int fd)
{
	int want_bytes = 8 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want_bytes,
		       sizeof(want_bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want_bytes,
			   sizeof(want_bytes));
}

static int socket_open(struct pair *pair, int type)
{
	fd_init(pair);
	for (int i = 0; i < 2; i++) {
		if (socketpair(AF_UNIX, type, 0, pair->fds[i]) < 0)
			goto fail;
		enlarge(pair->fds[i][1]);
	}
	if (fd_set_mode(pair) == 0)
		return 0;
fail:
	snprintf(pair->reason, sizeof(pair->reason), "socketpair: %s",
		 strerror(errno));
	fd_close_pair(pair);
	return -1;
}

static int stream_open_pair(struct pair *pair)
{
	return socket_open(pair, SOCK_STREAM);
}

static int seqpacket_open_pair(struct pair *pair)
{
	static char body[1 << 20];
	int r;

	if (socket_open(pair, SOCK_SEQPACKET) < 0)
		return -1;
	/* A message that the send buffer cannot take is refused at once. */
	if (send(pair->fds[0][1], body, pair->size_bytes, MSG_DONTWAIT) ==
	    (ssize_t)pair->size_bytes &&
	    recv(pair->fds[0][0], body, pair->size_bytes, MSG_DONTWAIT) ==
	    (ssize_t)pair->size_bytes)
		return 0;
	r = errno;
	snprintf(pair->reason, sizeof(pair->reason),
		 "above the send buffer (net.core.wmem_max): %s", strerror(r));
	fd_close_pair(pair);
	return -1;
}

static int fd_join(struct pair *pair)
{
	(void)pair;
	return 0;
}

/* A stream may take a part of a message; the next call goes on with it. */
static int fd_send(struct pair *pair, int queue, const void *body)
{
	size_t *done = &pair->done_bytes[queue][1];

	while (*done < pair->size_bytes) {
		ssize_t n = write(pair->fds[queue][1],
				  (const char *)body + *done,
				  pair->size_bytes - *done);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		*done += (size_t)n;
	}
	*done = 0;
	return 1;
}

static int fd_recv(struct pair *pair, int queue, void *body)
{
	size_t *done = &pair->done_bytes[queue][0];

	while (*done < pair->size_bytes) {
		ssize_t n = read(pair->fds[queue][0], (char *)body + *done,
				 pair->size_bytes - *done);

		if (n == 0)
			return -EPIPE;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		*done += (size_t)n;
	}
	*done = 0;
	return 1;
}

static void fd_leave(struct pair *pair)
{
	(void)pair;
}

#define FD_TRANSPORT(shown, open_it) {					\
	.name = shown, .modes = 1u << MODE_POLL | 1u << MODE_BLOCK,	\
	.open_pair = open_it, .join = fd_join, .send = fd_send,		\
	.recv = fd_recv, .leave = fd_leave, .close_pair = fd_close_pair, \
}

const struct transport transport_pipe =
	FD_TRANSPORT("pipe", pipe_open_pair);
const struct transport transport_stream =
	FD_TRANSPORT("unix stream", stream_open_pair);
const struct transport transport_seqpacket =
	FD_TRANSPORT("unix seqpacket", seqpacket_open_pair);
