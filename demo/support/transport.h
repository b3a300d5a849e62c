/* SPDX-License-Identifier: MIT */
#ifndef DEMO_TRANSPORT_H
#define DEMO_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

#define LANES 4
#define CAPACITY 64

/* A growing buffer. */
struct buffer {
	unsigned char *bytes;
	size_t size_bytes;	/* that it can hold */
};

/* Makes room for @size_bytes, or ends the process. */
void buffer_need(struct buffer *buffer, size_t size_bytes);

/* Says what failed and ends the process. @error: -errno of tolsey. */
_Noreturn void fail(const char *what, int error);

/*
 * A way to bring jobs, of any size, to LANES workers, and results, of at most
 * 512 bytes, back. Whoever uses one calls join() first, after it was forked.
 * A lane is the worker that a job is for: where all workers share one queue,
 * it is ignored. All calls wait, and end the process if they fail.
 */
struct transport {
	const char *name, *how;
	void (*create)(void);
	void (*join)(void);
	void (*send_job)(int lane, const void *job, size_t size_bytes);
	/* Return: its bytes, in @buffer or where they lie, until end_job() */
	const unsigned char *(*recv_job)(int lane, struct buffer *buffer,
					 size_t *ret_size_bytes);
	void (*end_job)(void);
	void (*send_result)(const void *result, size_t size_bytes);
	void (*recv_result)(void *result, size_t size_bytes);
	void (*leave)(void);
	void (*remove)(void);	/* may be called from a signal handler, except
				   that of the mailbox */
};

extern const struct transport transport_mailbox;
extern const struct transport transport_pipe;
extern const struct transport transport_sysv;

#endif
