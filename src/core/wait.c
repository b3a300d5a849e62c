/* SPDX-License-Identifier: MIT */
/*
 * tol_wait(): many links at once.
 *
 * First all are looked at. Who has to wait arms the watch words, looks again and
 * sleeps in the hub; when it wakes it looks at those alone whose words have
 * changed, since one that is still armed as we left it has not been rung.
 */
#include <errno.h>

#include "core/bell.h"
#include "core/hold.h"
#include "core/hub.h"
#include "core/spin.h"

static const struct {
	unsigned int direction;
	enum watch_kind kind;
} kinds[] = {
	{ TOL_RECV, WATCH_RECV },
	{ TOL_SEND, WATCH_SEND },
};

struct waiting {
	struct tol_wait *waits;
	size_t count;
	int64_t deadline_ns;
	uint32_t deaths;
	bool may_spin, must_spin;
};

/* Of how long it looks before it sleeps, by all threads. */
static struct spin wait_spin;
static bool is_spin_ready;

static int check(struct waiting *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct tol_wait *at = &w->waits[i];

		if (at->link &&
		    at->link->process_number != fork_process_number())
			return -ECHILD;
		if (at->wanted & ~(TOL_SEND | TOL_RECV))
			return -EINVAL;
		if (at->link && (at->wanted & ~at->link->flags))
			return -EPERM;
	}
	return 0;
}

/* Has one of the links been interrupted? */
static bool is_interrupted(const struct waiting *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->waits[i].link &&
		    load_acquire_32(&w->waits[i].link->is_interrupted))
			return true;
	return false;
}

/* Also makes what is over come back, so that it is there. */
static bool look_at(struct tol_link *link, enum watch_kind kind, bool sweeps)
{
	bool is_ready;

	inside_enter(link);
	if (kind == WATCH_RECV && sweeps && hold_is_watched(link))
		hold_sweep_now_and_then(link, link->futex->now_ns());
	is_ready = link_check(link) < 0 || watch_is_ready(link, kind);
	inside_leave(link);
	return is_ready;
}

/* Return: how many are ready */
static int look_at_all(struct waiting *w, bool sweeps)
{
	int count = 0;

	for (size_t i = 0; i < w->count; i++) {
		struct tol_wait *at = &w->waits[i];

		at->ready = 0;
		for (size_t k = 0; at->link && k < 2; k++)
			if ((at->wanted & kinds[k].direction) &&
			    look_at(at->link, kinds[k].kind, sweeps))
				at->ready |= kinds[k].direction;
		count += at->ready != 0;
	}
	return count;
}

static bool arm_one(struct tol_link *link, enum watch_kind kind, bool looks)
{
	struct polling *polling = link->polling;
	uint64_t armed = load_relaxed_64(&polling->hub_armed[kind]);

	if (!watch_is_armed(link, kind, armed)) {
		store_relaxed_64(&polling->hub_armed[kind],
				 watch_arm(link, kind));
		looks = true;
	}
	return looks && look_at(link, kind, true);
}

/* Return: how many are ready; -errno */
static int arm_all(struct waiting *w, bool looks, int64_t *ret_deadline_ns)
{
	int count = 0;

	*ret_deadline_ns = w->deadline_ns;
	for (size_t i = 0; i < w->count; i++) {
		struct tol_wait *at = &w->waits[i];
		int err = at->link ? hub_join(at->link) : 0;

		if (err < 0)
			return err;
		at->ready = 0;
		for (size_t k = 0; at->link && k < 2; k++) {
			int64_t due_ns;

			if (!(at->wanted & kinds[k].direction))
				continue;
			if (arm_one(at->link, kinds[k].kind, looks))
				at->ready |= kinds[k].direction;
			due_ns = polling_deadline_ns(at->link, POLLING_HUB,
						     kinds[k].kind);
			if (due_ns < *ret_deadline_ns)
				*ret_deadline_ns = due_ns;
		}
		count += at->ready != 0;
	}
	return count;
}

/* What a stopped one owes to others is given before we sleep. */
static void settle_all(struct waiting *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->waits[i].link)
			bell_settle(w->waits[i].link);
}

/* Return: how many are ready; -ETIMEDOUT; -errno */
static int sleep_for(struct waiting *w)
{
	bool looks = true;

	for (;;) {
		uint32_t epoch = hub_epoch(), deaths = hub_deaths();
		int64_t deadline_ns, now_ns;
		int count = arm_all(w, looks || deaths != w->deaths,
				    &deadline_ns);

		w->deaths = deaths;
		if (count != 0)
			return count;
		/* After the epoch was read, which is moved on then. */
		if (is_interrupted(w))
			return -ECANCELED;
		now_ns = futex_kernel_ops.now_ns();
		if (now_ns >= w->deadline_ns)
			return -ETIMEDOUT;
		settle_all(w);
		hub_sleep(epoch, deadline_ns);
		/* It was for the sake of one of them. */
		looks = futex_kernel_ops.now_ns() >= deadline_ns;
	}
}

static int spin_for(struct waiting *w, bool *ret_has_looked)
{
	int64_t start_ns = futex_kernel_ops.now_ns(), passed_ns = 0;
	uint32_t budget_ns;
	int count = 0;

	if (!__atomic_exchange_n(&is_spin_ready, true, __ATOMIC_RELAXED))
		spin_init(&wait_spin);
	budget_ns = w->may_spin ? spin_begin(&wait_spin) : 0;
	*ret_has_looked = budget_ns > 0;
	while (count == 0 && (w->must_spin || passed_ns < budget_ns) &&
	       !(w->must_spin && is_interrupted(w)) &&
	       start_ns + passed_ns < w->deadline_ns) {
		cpu_relax();
		count = look_at_all(w, w->must_spin);
		if (w->must_spin && count == 0)
			settle_all(w);
		passed_ns = futex_kernel_ops.now_ns() - start_ns;
	}
	if (count > 0)
		spin_helped(&wait_spin, passed_ns);
	return count;
}

static int wait_for(struct waiting *w)
{
	int64_t start_ns = futex_kernel_ops.now_ns();
	bool has_looked;
	int count = spin_for(w, &has_looked);

	if (count > 0)
		return count;
	if (w->must_spin)
		return is_interrupted(w) ? -ECANCELED : -ETIMEDOUT;
	count = sleep_for(w);
	spin_slept(&wait_spin, has_looked,
		   futex_kernel_ops.now_ns() - start_ns);
	return count;
}

static int64_t make_deadline(int64_t timeout_ns)
{
	int64_t now_ns = futex_kernel_ops.now_ns();

	return timeout_ns < 0 || timeout_ns > INT64_MAX - 1 - now_ns
		       ? INT64_MAX
		       : now_ns + timeout_ns;
}

int tol_wait(struct tol_wait *waits, size_t count, int64_t timeout_ns)
{
	struct waiting w = {
		.waits = waits, .count = count, .may_spin = true,
	};
	int ready, err;

	if ((!waits && count > 0) || timeout_ns < TOL_FOREVER ||
	    count > INT32_MAX)
		return -EINVAL;
	err = check(&w);
	if (err < 0)
		return err;
	ready = look_at_all(&w, true);
	if (ready > 0)
		return ready;
	settle_all(&w);
	if (timeout_ns == TOL_NOWAIT)
		return -EAGAIN;
	for (size_t i = 0; i < count; i++) {
		const struct tol_link *link = waits[i].link;

		w.may_spin = w.may_spin && (!link || link->may_spin);
		w.must_spin |= link && (link->flags & TOL_SPIN_ONLY);
	}
	w.deadline_ns = make_deadline(timeout_ns);
	w.deaths = hub_deaths();
	return wait_for(&w);
}

int tol_interrupt(struct tol_link *link)
{
	if (!link)
		return -EINVAL;
	if (link->process_number != fork_process_number())
		return -ECHILD;
	store_release_32(&link->is_interrupted, 1);
	fence_full();
	bell_ring_all(link->head, link->futex);
	hub_interrupt();
	return 0;
}
