/* SPDX-License-Identifier: MIT */
#ifndef BASE_POLL_H
#define BASE_POLL_H

/*
 * What a descriptor to be polled is made of: a set (epoll), a socket in a space
 * that others send to, a timer, and the news that a writer of a file has closed
 * it or died (inotify). None of the calls is a cancellation point, all return
 * 0 or a value, or -errno; all descriptors are close-on-exec and non-blocking.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- sets ---- */

#define POLL_SET_MAX 8
#define POLL_FOREVER INT64_MAX

int poll_set_open(void);
int poll_set_add(int set, int fd, uint32_t what);
int poll_set_remove(int set, int fd);

/**
 * poll_set_wait - which are ready?
 * @deadline_ns: on CLOCK_MONOTONIC; 0 do not wait; POLL_FOREVER
 * @ret_what: [POLL_SET_MAX] what they were added as
 *
 * Return: how many, 0 at the deadline; -EINTR
 */
int poll_set_wait(int set, int64_t deadline_ns, uint32_t *ret_what);

/* Is it still the set that was opened? A number may have been used again. */
bool poll_set_is(int fd);

/* ---- a socket with a name, that is sent to in order to make it ready ---- */

/**
 * poll_socket_open - bind one to a new name in a directory
 * @for_all: who may not write in the directory's owner's name may send, too
 * @ret_inode: of the open socket, to know it again
 *
 * Return: descriptor; -EEXIST, -EACCES, -EMFILE, -ENOSPC...
 */
int poll_socket_open(int dir_fd, const char *name, bool for_all,
		     uint64_t *ret_inode);
bool poll_socket_is(int fd, uint64_t inode);
void poll_socket_drain(int fd);

/* One to send from. */
int poll_sender_open(void);

/* Return: 0 it is ready; -ECONNREFUSED nobody has it open; -ENOENT, -EACCES... */
int poll_sender_ring(int fd, int dir_fd, const char *name);

/* Has anybody it open? Return: 1; 0; -errno */
int poll_socket_is_open(int dir_fd, const char *name);

/* ---- timers ---- */

int poll_timer_open(void);

/* Ready from then on; 0 now; POLL_FOREVER never. Ends what it was. */
int poll_timer_set(int timer, int64_t deadline_ns);

/* ---- writers that have closed a file, or died ---- */

int poll_closes_open(void);
bool poll_closes_is(int fd);

/* Return: a number, the same for the same file; -errno */
int poll_closes_watch(int fd, int file_fd);
void poll_closes_forget(int fd, int number);

/*
 * Calls @tell with each number that something happened to, -1 for any of them.
 */
void poll_closes_take(int fd, void (*tell)(int number, void *context),
		      void *context);

#endif
