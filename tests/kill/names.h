/* SPDX-License-Identifier: MIT */
#ifndef NAMES_H
#define NAMES_H

/*
 * Names of places in this very program. It is linked statically, so that libc is
 * a part of it and addresses stay.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The function at an address, from the program's own symbol table, and how far
 * into it. Return: "outside" if there is none
 */
const char *names_function(uint64_t address, uint64_t *ret_offset);

/* Of the kernel's code in every process, that reads the clock. */
bool names_is_kernels(uint64_t address);

/* The source line, by addr2line, or "" if that is not installed. */
void names_line(uint64_t address, char *buf, size_t size_bytes);

#endif
