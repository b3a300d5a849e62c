/* SPDX-License-Identifier: MIT */
#ifndef DEMO_SHA256_H
#define DEMO_SHA256_H

#include <stddef.h>

#define SHA256_BYTES 32

/* Finds a SHA-256 that the machine has. Returns its name, or NULL. */
const char *sha256_init(void);

/* Returns 0, or -1 if the machine's SHA-256 failed. */
int sha256(const void *data, size_t size_bytes,
	   unsigned char ret_hash[SHA256_BYTES]);

#endif
