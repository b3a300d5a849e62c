/* SPDX-License-Identifier: MIT */
#ifndef ALIVE_H
#define ALIVE_H

/*
 * For tests of who counts as alive, at three levels: the locks themselves
 * (base/presence.h), receivers of a mailbox, attachments of a segment. A test
 * begins with alive_begin(), tells a victim to join and watches the count.
 */

#include <stdbool.h>
#include <sys/types.h>

#define ALIVE_LEVELS_COUNT 3

/* Makes the object of level @index, and takes in orphans of this test. */
void alive_begin(int index);
void alive_end(void);

/* This process takes part, or no more. Return: 0 or -errno */
int alive_join(void);
int alive_leave(void);

/* How many take part, as anybody can ask. Return: -errno */
int alive_count(void);

/* A descriptor of the object's file, opened anew. */
int alive_open_file(void);

/* Everybody may use the object. */
void alive_let_all(void);

/* Waits, by looking, until the count is that. Return: false it never is */
bool alive_await(int count);

/* A child that joins, runs @body, which says ready, and waits to be ended. */
struct victim {
	pid_t pid;
	int pipe_fd;	/* what it writes; ends with the last who has it */
};

struct victim alive_start(void (*body)(int ready_fd));

/* For bodies. */
void alive_say(int ready_fd, int value);

/* Reads what a body said. */
int alive_hear(int pipe_fd);

/* Kills it if it lives, and waits for it. */
void alive_finish(struct victim victim);

/* As check.h has them, in a child, where libcheck's own do not work. */
#define must(what) ((what) ? (void)0 : alive_die(__FILE__, __LINE__, #what))

_Noreturn void alive_die(const char *file, int line, const char *what);

#endif
