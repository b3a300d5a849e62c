/* SPDX-License-Identifier: MIT */
/*
 * A System V queue for jobs and one for results. A message is at most
 * kernel.msgmax bytes (8192 unless root raised it), so that a file goes in
 * chunks; they carry the worker's lane as type, to reach the same one.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "transport.h"

#define CHUNK_BYTES 8192

struct chunk {
	long type;
	unsigned char bytes[CHUNK_BYTES];
};

static int jobs = -1, results = -1;

static void remove_queues(void)
{
	if (jobs >= 0)
		msgctl(jobs, IPC_RMID, NULL);
	if (results >= 0)
		msgctl(results, IPC_RMID, NULL);
	jobs = results = -1;
}

/* Queues outlive processes: they go before this one fails. */
static void fail_removed(const char *what)
{
	int err = -errno;

	remove_queues();
	fail(what, err);
}

static void create(void)
{
	jobs = msgget(IPC_PRIVATE, 0600);
	if (jobs < 0)
		fail("msgget", -errno);
	results = msgget(IPC_PRIVATE, 0600);
	if (results < 0)
		fail_removed("msgget");
}

static void nothing(void)
{
}

static void put(int queue, long type, const void *data, size_t size_bytes)
{
	struct chunk chunk = { .type = type };

	memcpy(chunk.bytes, data, size_bytes);
	/* The end of a child interrupts, whatever SA_RESTART says. */
	while (msgsnd(queue, &chunk, size_bytes, 0) < 0)
		if (errno != EINTR)
			fail_removed("msgsnd");
}

static size_t take(int queue, long type, void *data, size_t size_bytes)
{
	struct chunk chunk;
	ssize_t n;

	while ((n = msgrcv(queue, &chunk, size_bytes, type, 0)) < 0)
		if (errno != EINTR)
			fail_removed("msgrcv");
	memcpy(data, chunk.bytes, (size_t)n);
	return (size_t)n;
}

static void send_job(int lane, const void *job, size_t size_bytes)
{
	uint64_t length = size_bytes;
	size_t done = 0, n;

	put(jobs, lane + 1, &length, sizeof(length));
	for (; done < size_bytes; done += n) {
		n = size_bytes - done;
		if (n > CHUNK_BYTES)
			n = CHUNK_BYTES;
		put(jobs, lane + 1, (const unsigned char *)job + done, n);
	}
}

static const unsigned char *recv_job(int lane, struct buffer *buffer,
				     size_t *ret_size_bytes)
{
	uint64_t length;
	size_t done = 0;

	take(jobs, lane + 1, &length, sizeof(length));
	buffer_need(buffer, length + CHUNK_BYTES);
	while (done < length)
		done += take(jobs, lane + 1, buffer->bytes + done, CHUNK_BYTES);
	*ret_size_bytes = length;
	return buffer->bytes;
}

static void send_result(const void *result, size_t size_bytes)
{
	put(results, 1, result, size_bytes);
}

static void recv_result(void *result, size_t size_bytes)
{
	take(results, 0, result, size_bytes);
}

const struct transport transport_sysv = {
	.name = "System V messages",
	.how = "in chunks of 8192 bytes: its limit for a message (msgmax)",
	.create = create, .join = nothing,
	.send_job = send_job, .recv_job = recv_job, .end_job = nothing,
	.send_result = send_result, .recv_result = recv_result,
	.leave = nothing, .remove = remove_queues,
};
