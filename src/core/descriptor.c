/* SPDX-License-Identifier: MIT */
#include "core/descriptor.h"

#include <errno.h>

#include "core/deaths.h"
#include "core/inside.h"

#define WHAT_SOCKET 0u
#define WHAT_TIMER 1u
#define WHAT_DEATHS 2u

void descriptor_init(struct descriptor *d)
{
	*d = (struct descriptor){
		.set_fd = -1, .socket_fd = -1, .timer_fd = -1,
	};
}

/* Closed behind our back, its numbers may be somebody else's by now. */
static bool is_lost(const struct descriptor *d)
{
	return !poll_socket_is(d->socket_fd, d->socket_inode);
}

/* The numbers are not used any more; the name goes. */
static void lose(struct tol_link *link, enum watch_kind kind)
{
	struct descriptor *d = &link->polling->descriptors[kind];

	__atomic_store_n(&d->set_fd, -1, __ATOMIC_RELEASE);
	store_release_64(&link->own->poll_sockets[kind], 0);
	watch_socket_remove(link->space_path, d->socket_id);
}

/* Also by who has not the lock, to say that somebody died. */
static void set_timer(struct descriptor *d, int64_t deadline_ns)
{
	store_relaxed_64(&d->timer_ns, (uint64_t)deadline_ns);
	poll_timer_set(d->timer_fd, deadline_ns);
}

static void signal_self(struct descriptor *d)
{
	d->is_signalled = true;
	set_timer(d, 0);
}

static void drain(struct tol_link *link, struct descriptor *d)
{
	uint32_t what[POLL_SET_MAX];
	int count = poll_set_wait(d->set_fd, 0, what);
	bool is_over = load_relaxed_64(&d->timer_ns) != POLL_FOREVER;

	for (int i = 0; i < count; i++) {
		if (what[i] == WHAT_SOCKET)
			poll_socket_drain(d->socket_fd);
		else if (what[i] == WHAT_DEATHS)
			deaths_take_of(link);
		else
			is_over = true;	/* timer_ns may not say so: see below */
	}
	/* Setting it also empties it. */
	if (is_over)
		set_timer(d, POLL_FOREVER);
	d->is_signalled = false;
}

/*
 * Whoever takes the deaths of a group pokes its other links, without our lock, after
 * they became suspects. Had we set the timer over that, we find them suspects now.
 */
static void set_deadline(struct tol_link *link, struct descriptor *d,
			 enum watch_kind kind)
{
	const uint64_t *suspect_until_ns =
		(uint64_t *)&link->polling->suspect_until_ns;
	uint64_t seen;

	do {
		int64_t deadline_ns;

		seen = load_acquire_64(suspect_until_ns);
		deadline_ns =
			polling_deadline_ns(link, POLLING_DESCRIPTOR, kind);
		if (load_relaxed_64(&d->timer_ns) != (uint64_t)deadline_ns)
			set_timer(d, deadline_ns);
		fence_full();
	} while (load_acquire_64(suspect_until_ns) != seen);
}

void descriptor_update(struct tol_link *link, enum watch_kind kind)
{
	struct descriptor *d = &link->polling->descriptors[kind];

	if (d->set_fd < 0)
		return;
	if (watch_is_ready(link, kind)) {
		if (d->is_signalled)
			return;
		if (is_lost(d))
			lose(link, kind);
		else
			signal_self(d);
		return;
	}
	if (is_lost(d)) {
		lose(link, kind);
		return;
	}
	drain(link, d);
	if (!watch_is_armed(link, kind, d->armed))
		d->armed = watch_arm(link, kind);
	set_deadline(link, d, kind);
	if (watch_is_ready(link, kind))
		signal_self(d);
}

/* Called with the lock of deaths: only what needs no other. */
void descriptor_poke(struct tol_link *link)
{
	for (int kind = 0; kind < 2; kind++) {
		struct descriptor *d = &link->polling->descriptors[kind];

		if (__atomic_load_n(&d->set_fd, __ATOMIC_ACQUIRE) >= 0 &&
		    !is_lost(d))
			set_timer(d, 0);
	}
}

void descriptor_close_copy(struct descriptor *d)
{
	if (d->set_fd < 0 || is_lost(d))
		return;
	sys_close(d->socket_fd);
	sys_close(d->timer_fd);
	if (poll_set_is(d->set_fd))
		sys_close(d->set_fd);
}

void descriptor_close(struct tol_link *link, enum watch_kind kind)
{
	struct descriptor *d = &link->polling->descriptors[kind];

	if (d->set_fd < 0)
		return;
	descriptor_close_copy(d);
	lose(link, kind);
}

/* ---- to make one ---- */

static int fill(struct tol_link *link, struct descriptor *d)
{
	int deaths_fd, err;

	d->timer_fd = poll_timer_open();
	if (d->timer_fd < 0)
		return d->timer_fd;
	d->set_fd = poll_set_open();
	if (d->set_fd < 0)
		return d->set_fd;
	err = poll_set_add(d->set_fd, d->socket_fd, WHAT_SOCKET);
	if (err == 0)
		err = poll_set_add(d->set_fd, d->timer_fd, WHAT_TIMER);
	deaths_fd = deaths_join(link, POLLING_DESCRIPTOR);
	/* Else the timer: see polling_deadline_ns(). */
	if (err == 0 && deaths_fd >= 0)
		err = poll_set_add(d->set_fd, deaths_fd, WHAT_DEATHS);
	return err;
}

static int make(struct tol_link *link, enum watch_kind kind)
{
	struct descriptor *d = &link->polling->descriptors[kind];
	struct descriptor made;
	int err;

	descriptor_init(&made);
	made.timer_ns = (uint64_t)POLL_FOREVER;
	made.socket_fd = watch_socket_open(link, &made.socket_id,
					   &made.socket_inode);
	if (made.socket_fd < 0)
		return made.socket_fd;
	err = fill(link, &made);
	if (err == 0) {
		/* Before it is armed for the first time. */
		store_release_64(&link->own->poll_sockets[kind],
				 made.socket_id);
		d->socket_fd = made.socket_fd;
		d->timer_fd = made.timer_fd;
		d->socket_id = made.socket_id;
		d->socket_inode = made.socket_inode;
		d->timer_ns = made.timer_ns;
		d->armed = 0;
		d->is_signalled = false;
		__atomic_store_n(&d->set_fd, made.set_fd, __ATOMIC_RELEASE);
		return 0;
	}
	sys_close(made.socket_fd);
	if (made.timer_fd >= 0)
		sys_close(made.timer_fd);
	if (made.set_fd >= 0)
		sys_close(made.set_fd);
	watch_socket_remove(link->space_path, made.socket_id);
	return err;
}

static int find_or_make(struct tol_link *link, enum watch_kind kind)
{
	struct descriptor *d = &link->polling->descriptors[kind];
	int err = 0;

	if (d->set_fd >= 0 && is_lost(d))
		lose(link, kind);
	if (d->set_fd < 0)
		err = make(link, kind);
	if (err < 0)
		return err;
	descriptor_update(link, kind);
	return d->set_fd;
}

int tol_descriptor(struct tol_link *link, unsigned int direction)
{
	bool entered;
	int err;

	if (!link || (direction != TOL_RECV && direction != TOL_SEND))
		return -EINVAL;
	err = link_check(link);
	if (err == 0 && !(link->flags & direction))
		err = -EPERM;
	if (err == 0)
		err = polling_make(link);
	if (err < 0)
		return err;
	inside_enter(link);
	entered = lock_enter(&link->polling->lock);
	err = find_or_make(link, direction == TOL_RECV ? WATCH_RECV
						       : WATCH_SEND);
	lock_leave(&link->polling->lock, entered);
	inside_leave(link);
	return err;
}
