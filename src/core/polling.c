/* SPDX-License-Identifier: MIT */
#include "core/polling.h"

#include <errno.h>
#include <stdlib.h>

#include "core/collect.h"
#include "core/deaths.h"
#include "core/descriptor.h"
#include "core/hold.h"
#include "core/hub.h"
#include "core/tap.h"

/* Where the kernel does not tell of deaths, or while it is being removed. */
#define SLICE_NS 5000000

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static uint32_t has_hooks;

static struct polling *make_one(void)
{
	struct polling *polling = calloc(1, sizeof(*polling));

	if (!polling)
		return NULL;
	lock_init(&polling->lock);
	descriptor_init(&polling->descriptors[0]);
	descriptor_init(&polling->descriptors[1]);
	return polling;
}

/* ---- fork() while another thread holds a lock: the child has nobody to free it ---- */

static void prepare_fork(void)
{
	pthread_mutex_lock(&making);
	deaths_lock_for_fork();
	hub_lock_for_fork();
}

static void leave_fork(bool is_child)
{
	hub_unlock_after_fork(is_child);
	deaths_unlock_after_fork();
	pthread_mutex_unlock(&making);
}

static void leave_fork_in_parent(void)
{
	leave_fork(false);
}

static void leave_fork_in_child(void)
{
	leave_fork(true);
}

static const struct fork_hooks hooks = {
	.prepare = prepare_fork,
	.parent = leave_fork_in_parent,
	.child = leave_fork_in_child,
};

int polling_make(struct tol_link *link)
{
	if (!load_acquire_32(&has_hooks)) {
		fork_set_outer_hooks(&hooks);
		store_release_32(&has_hooks, 1);
	}
	pthread_mutex_lock(&making);
	if (!link->polling)
		__atomic_store_n(&link->polling, make_one(), __ATOMIC_RELEASE);
	pthread_mutex_unlock(&making);
	return link->polling ? 0 : -ENOMEM;
}

void polling_end(struct tol_link *link)
{
	if (!link->polling)
		return;
	hub_leave(link);
	descriptor_close(link, WATCH_RECV);
	descriptor_close(link, WATCH_SEND);
	deaths_leave(link);
}

void polling_free(struct tol_link *link)
{
	if (!link->polling)
		return;
	descriptor_close_copy(&link->polling->descriptors[0]);
	descriptor_close_copy(&link->polling->descriptors[1]);
	free(link->polling);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t polling_deadline_ns(struct tol_link *link, enum polling_way way,
			    enum watch_kind kind)
{
	struct polling *polling = link->polling;
	int64_t suspect_until_ns = (int64_t)load_acquire_64(
		(uint64_t *)&polling->suspect_until_ns);
	int64_t deadline_ns = POLL_FOREVER, now_ns = link->futex->now_ns();

	if (kind == WATCH_RECV) {
		deadline_ns = earlier(hold_due_ns(link), collect_due_ns(link));
		if (now_ns < suspect_until_ns && hold_is_watched(link))
			deadline_ns = earlier(deadline_ns,
					      now_ns + DEATHS_LOOK_NS);
	}
	if (!polling->watches[way].group || polling->watches[way].number < 0 ||
	    load_acquire_64(&link->head->control) != CONTROL_LIVE)
		deadline_ns = earlier(deadline_ns, now_ns + SLICE_NS);
	if (link->tap)
		deadline_ns = earlier(deadline_ns, now_ns + TAP_SLICE_NS);
	return deadline_ns;
}

void polling_update(struct tol_link *link, enum watch_kind kind)
{
	const int *set_fd = &link->polling->descriptors[kind].set_fd;
	bool entered;

	if (__atomic_load_n(set_fd, __ATOMIC_ACQUIRE) < 0)
		return;
	entered = lock_enter(&link->polling->lock);
	descriptor_update(link, kind);
	lock_leave(&link->polling->lock, entered);
}
