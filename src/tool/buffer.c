/* SPDX-License-Identifier: MIT */
/* Bytes that grow, and writing them out wholly. */

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Room for @room_bytes in all. 0 or -ENOMEM. */
int buffer_reserve(struct buffer *buffer, size_t room_bytes)
{
	size_t room = buffer->room_bytes < 4096 ? 4096 : buffer->room_bytes;
	char *data;

	if (room_bytes <= buffer->room_bytes)
		return 0;
	while (room < room_bytes)
		room = room > SIZE_MAX / 2 ? room_bytes : room * 2;
	data = realloc(buffer->data, room);
	if (data == NULL)
		return -ENOMEM;
	buffer->data = data;
	buffer->room_bytes = room;
	return 0;
}

int buffer_add(struct buffer *buffer, const void *data, size_t size_bytes)
{
	if (size_bytes > SIZE_MAX - buffer->size_bytes ||
	    buffer_reserve(buffer, buffer->size_bytes + size_bytes) != 0)
		return -ENOMEM;
	if (size_bytes != 0)
		memcpy(buffer->data + buffer->size_bytes, data, size_bytes);
	buffer->size_bytes += size_bytes;
	return 0;
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n >= sizeof(text))
		n = (int)sizeof(text) - 1;
	return buffer_add(buffer, text, (size_t)n);
}

void buffer_fini(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}

/* 0 or -errno; @ret_done has in either case how much was written. */
int write_all(int fd, const void *data, size_t size_bytes, size_t *ret_done)
{
	const char *p = data;
	ssize_t n;

	*ret_done = 0;
	while (*ret_done < size_bytes) {
		n = write(fd, p + *ret_done, size_bytes - *ret_done);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			*ret_done += (size_t)n;
	}
	return 0;
}

/* Prints and frees what a command has built. The exit status. */
int print_buffer(struct tool *tool, struct buffer *buffer)
{
	size_t done;
	int error = write_all(STDOUT_FILENO, buffer->data, buffer->size_bytes,
			      &done);

	buffer_fini(buffer);
	if (error == 0)
		return STATUS_DONE;
	return say_failed(tool, NULL, "cannot write to standard output: %s",
			  strerror(-error));
}
