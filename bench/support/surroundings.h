/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SURROUNDINGS_H
#define BENCH_SURROUNDINGS_H

#include <stddef.h>

/*
 * With the right to it, puts this process into an IPC namespace of its own and
 * raises the limits of message queues there, so that every size can be
 * measured and nobody else's limits change. Without, the limits stay, and
 * the report says what they refused.
 */
void surroundings_widen(void);

/* After that, and in that namespace alone: queues of a million messages. */
void surroundings_lengthen(void);

/* Safe in a signal handler. */
void surroundings_remove_queues(int ids[2]);

/* Machine, kernel, compiler, commit: one line each into @buf. */
void surroundings_cpu(char *buf, size_t size_bytes);
void surroundings_kernel(char *buf, size_t size_bytes);

#endif
