/* SPDX-License-Identifier: MIT */
#ifndef CORE_LINK_H
#define CORE_LINK_H

/*
 * A link: this process's own view of a mailbox. Everything here is private
 * memory; what lies in shared memory has types that end in _layout.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/fork.h"
#include "base/futex.h"
#include "base/lock.h"
#include "base/robust.h"
#include "base/sys.h"
#include "core/maps.h"
#include "core/pool.h"
#include "core/spin.h"
#include "layout/mailbox.h"
#include "tolsey.h"

struct change;
struct look_list;
struct polling;
struct tap;

/* Where copies of messages go. */
#define TAPS_MAX 4u
struct tap_outlet {
	struct tol_link *link;		/* NULL: not open */
	int64_t retry_ns;		/* not before */
	int64_t asked_ns;		/* whether it is alive */
	uint16_t number;
};

struct tol_link {
	/* Written when it was opened. */
	struct mailbox_layout *head;
	uint64_t *ring;
	struct participant_layout *participants;
	struct participant_layout *own;
	uint64_t *holds;
	struct hold_layout *hold_records;
	struct index_layout *index;
	uint64_t *live;			/* of the index, for each chunk */
	struct entry_layout *entries;
	struct node_layout *nodes;
	struct waiter_layout *waiters;
	uint32_t *chunks;
	uint32_t *heap_pages;		/* of a mailbox with a heap */
	uint64_t *heap_chunks;
	uint8_t *pool_bytes;
	uint64_t capacity_msgs;
	int capacity_shift;		/* log2, or -1 if no power of two */
	uint32_t number;		/* of this participant */
	uint32_t process_number;	/* fork_process_number() */
	uint32_t pid, uid;
	uint32_t sender;		/* what its messages say who sent them */
	unsigned int flags;		/* TOL_ of tol_open() */
	bool may_spin;
	bool is_dead_view;		/* of NAME:dead */
	bool is_unbounded, has_heap;
	bool is_meeting;		/* capacity 0: meet.c */
	bool has_barrier;		/* sys_barrier_all() reaches this process */
	uint32_t chunks_limit;		/* of the heap: from here on none is taken */
	uint32_t chunks_quota;		/* of the heap, for us */
	const struct futex_ops *futex;
	struct mailbox_geometry geometry;
	uint64_t device, inode;
	uint64_t id;
	char *space_path;
	char *name;
	int64_t clock_offset_ns;	/* own clock minus that of all: sys.h */
	struct maps maps;

	/* Hints of its own: never ahead of the truth; see ring.c. */
	_Alignas(64) uint64_t send_position;
	struct spin send_spin;
	_Alignas(64) uint64_t recv_position;
	struct spin recv_spin;
	uint32_t hold_hint;		/* a cell that may be free */
	uint64_t swept_ns;		/* when holders were last asked for */

	uint64_t collector_seen;	/* who was in the way last time */
	uint64_t collect_after_ns;	/* it was tried in vain */

	/* Those who tap this mailbox, as far as they are sent to; see tap.h. */
	struct lock tap_lock;
	uint64_t taps_known;
	struct tap_outlet outlets[TAPS_MAX];
	bool is_outlet;
	struct tap *tap;		/* of NAME:tap */

	struct polling *polling;	/* or NULL: nobody polls it */
	uint32_t is_interrupted;	/* no call waits any more */

	/* Changes of the index by this link; see change.h. */
	struct lock index_lock;
	struct change *change;		/* or NULL: none yet */

	/* Of the last tol_peek(); see look.c. */
	struct lock look_lock;
	uint64_t look_head, look_index, look_position;
	struct look_list *look_list;	/* of the last tol_peek_select(), or NULL */

	_Alignas(64) struct pool pool;
};

static inline void *pool_at(const struct tol_link *link, uint32_t unit)
{
	return link->pool_bytes + (size_t)unit * MAILBOX_UNIT_BYTES;
}

static inline struct polling *link_polling(const struct tol_link *link)
{
	return __atomic_load_n(&link->polling, __ATOMIC_ACQUIRE);
}

/* mailbox_state.c: live, removed or quarantined */

int link_state_slow(struct tol_link *link, uint64_t control);

/* Return: 0; -ECHILD, -EIDRM, -EBADMSG */
static inline int link_check(struct tol_link *link)
{
	uint64_t control;

	if (__builtin_expect(link->process_number != fork_process_number(), 0))
		return -10; /* ECHILD, asserted in mailbox_state.c */
	control = load_acquire_64(&link->head->control);
	if (__builtin_expect(control != CONTROL_LIVE, 0))
		return link_state_slow(link, control);
	return 0;
}

/*
 * Times in shared memory are of a clock that is the same in every time namespace;
 * this process's own is another one.
 */
static inline int64_t link_shared_ns(const struct tol_link *link, int64_t own_ns)
{
	return own_ns - link->clock_offset_ns;
}

static inline int64_t link_own_ns(const struct tol_link *link, int64_t shared_ns)
{
	return shared_ns + link->clock_offset_ns;
}

/* Nobody uses it any more until it is repaired. Return: -EBADMSG */
int link_quarantine(struct tol_link *link);

#endif
