/* SPDX-License-Identifier: MIT */
/*
 * A pipe to each worker, since frames larger than PIPE_BUF from several
 * writers would mix in one. Results are small: they share a pipe.
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "transport.h"

static int lanes[LANES][2], results[2];

static void create(void)
{
	for (int i = 0; i < LANES; i++)
		if (pipe(lanes[i]) < 0)
			fail("pipe", -errno);
	if (pipe(results) < 0)
		fail("pipe", -errno);
}

static void nothing(void)
{
}

static void write_all(int fd, const void *data, size_t size_bytes)
{
	const unsigned char *at = data;

	while (size_bytes > 0) {
		ssize_t n = write(fd, at, size_bytes);

		if (n < 0)
			fail("write to a pipe", -errno);
		at += n;
		size_bytes -= (size_t)n;
	}
}

static void read_all(int fd, void *data, size_t size_bytes)
{
	unsigned char *at = data;

	while (size_bytes > 0) {
		ssize_t n = read(fd, at, size_bytes);

		if (n <= 0)
			fail("read from a pipe", n < 0 ? -errno : -EPIPE);
		at += n;
		size_bytes -= (size_t)n;
	}
}

static void send_job(int lane, const void *job, size_t size_bytes)
{
	uint64_t length = size_bytes;

	write_all(lanes[lane][1], &length, sizeof(length));
	write_all(lanes[lane][1], job, size_bytes);
}

static const unsigned char *recv_job(int lane, struct buffer *buffer,
				     size_t *ret_size_bytes)
{
	uint64_t length;

	read_all(lanes[lane][0], &length, sizeof(length));
	buffer_need(buffer, length);
	read_all(lanes[lane][0], buffer->bytes, length);
	*ret_size_bytes = length;
	return buffer->bytes;
}

static void send_result(const void *result, size_t size_bytes)
{
	write_all(results[1], result, size_bytes);
}

static void recv_result(void *result, size_t size_bytes)
{
	read_all(results[0], result, size_bytes);
}

static void remove_pipes(void)
{
	for (int i = 0; i < LANES; i++) {
		close(lanes[i][0]);
		close(lanes[i][1]);
	}
	close(results[0]);
	close(results[1]);
}

const struct transport transport_pipe = {
	.name = "pipes",
	.how = "a pipe to each worker: writers of one would mix large frames",
	.create = create, .join = nothing,
	.send_job = send_job, .recv_job = recv_job, .end_job = nothing,
	.send_result = send_result, .recv_result = recv_result,
	.leave = nothing, .remove = remove_pipes,
};
