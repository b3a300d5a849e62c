/* SPDX-License-Identifier: MIT */
#ifndef CORE_POLLING_H
#define CORE_POLLING_H

/*
 * What a link has once somebody polls it: private memory, made at the first call
 * of tol_descriptor() or tol_wait() and kept until it is closed.
 */

#include "base/lock.h"
#include "base/poll.h"
#include "core/watch.h"

struct deaths_group;
struct hub_space;

/* What tol_descriptor() gave: a set of a socket, a timer and deaths. */
struct descriptor {
	int set_fd;		/* -1: none */
	int socket_fd, timer_fd;
	uint64_t socket_id;	/* its name */
	uint64_t socket_inode;	/* to know it again */
	uint64_t armed;		/* the watch word as it was armed, or 0 */
	uint64_t timer_ns;	/* what the timer is set to */
	bool is_signalled;	/* by ourselves, since it was last drained */
};

/* The two ways to poll. */
enum polling_way {
	POLLING_HUB,
	POLLING_DESCRIPTOR,
};

/* Of deaths.h. */
struct polling_watch {
	struct deaths_group *group;	/* NULL: not told */
	struct tol_link *next;		/* of the group */
	int number;		/* of the file; -1: it cannot be watched */
};

struct polling {
	struct lock lock;	/* of descriptors */
	struct descriptor descriptors[2];

	/* deaths.h */
	struct polling_watch watches[2];
	int64_t suspect_until_ns;

	/* hub.h */
	struct hub_space *hub_space;
	uint32_t hub_number;	/* the hub's; 0: not in it */
	uint64_t hub_armed[2];
};

/* Return: 0; -ENOMEM */
int polling_make(struct tol_link *link);

/* For tol_close(), in the process whose link it is: nobody polls any more. */
void polling_end(struct tol_link *link);

/* The memory, and in a child the copies of descriptors. */
void polling_free(struct tol_link *link);

/*
 * When it has to be looked at again though nobody rings: the end of a lease, what
 * the kernel cannot tell, or tells a moment too early. POLL_FOREVER never.
 */
int64_t polling_deadline_ns(struct tol_link *link, enum polling_way way,
			    enum watch_kind kind);

/* For bell_end(): a call of that kind has been made. */
void polling_update(struct tol_link *link, enum watch_kind kind);

#endif
