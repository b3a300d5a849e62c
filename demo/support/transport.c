/* SPDX-License-Identifier: MIT */
/* What the transports share. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <tolsey.h>
#include <unistd.h>

#include "transport.h"

void fail(const char *what, int error)
{
	fprintf(stderr, "corpus: %s: %s\n", what, tol_strerror(error));
	fflush(NULL);
	_exit(1);
}

void buffer_need(struct buffer *buffer, size_t size_bytes)
{
	unsigned char *bytes;

	if (size_bytes <= buffer->size_bytes)
		return;
	size_bytes += size_bytes / 2;
	bytes = realloc(buffer->bytes, size_bytes);
	if (!bytes)
		fail("memory for a message", -ENOMEM);
	buffer->bytes = bytes;
	buffer->size_bytes = size_bytes;
}
