/* SPDX-License-Identifier: MIT */
/*
 * The bell: how those sleep who have to wait, and how they are woken.
 *
 * Words: bell (always 0), receivers and senders {count, epoch}. The count is
 * raised by a sleeper before it sleeps and lowered by its waker; the epoch
 * changes when a count is set right again, and is odd meanwhile. A sleeper is
 * queued on the bell, where the kernel alone wakes, in the place of a thread that
 * died, and on the epoch of its kind, where all others wake: they reach the kind
 * that they mean.
 *
 * What ends each sleep, in the order announce, check again, sleep:
 *   a message or room that came before the check: the check finds it
 *   between the check and the sleep: the gate, half of the slot's word, is
 *	compared by the kernel after the caller is queued on the bell; and so
 *	are the word that says whether it has ended, and the count of what came
 *	back, 0 if nothing did
 *   after that: bell-ring finds count != 0 (the announcement precedes the look
 *	at the slot, the CAS on the slot precedes the look at the count)
 *   a waker that died in between: the kernel, since its thread is armed
 *   a waker that is stopped in between: bell-settle of the next operation
 *
 * Edges: bell-announce (seq_cst RMW) and bell-ring's load after the CAS on the
 * slot (seq_cst RMW): of a sleeper that looks at the slot and a waker that looks
 * at the count at least one sees the other. Without it: a lost wake-up.
 *
 * models/bell.pml checks this, with crashes at every step.
 */
#include "core/bell.h"

#include <errno.h>
#include <limits.h>

#include "core/collect.h"
#include "core/hold.h"
#include "core/index.h"
#include "core/index_wait.h"
#include "core/meet.h"
#include "core/polling.h"
#include "core/tap.h"

/* Sleeping where nobody may come to wake: without the kernel's help, or while
 * the mailbox is being removed. */
#define SLICE_NS 5000000

#define EPOCH_STEP (UINT64_C(1) << 32)

/* The words a sleeper names, in the order in which the kernel takes them. */
#define WORD_BELL 0
#define WORD_EPOCH 1

static inline uint32_t count_of(uint64_t sleepers)
{
	return (uint32_t)sleepers;
}

static inline uint32_t epoch_of(uint64_t sleepers)
{
	return (uint32_t)(sleepers >> 32);
}

static inline const uint32_t *low_half(const uint64_t *word)
{
	return (const uint32_t *)word;
}

static inline uint32_t *high_half(uint64_t *word)
{
	return (uint32_t *)word + 1;
}

/* One sleeper less, unless the count has been set right since. */
static void lower(uint64_t *sleepers, uint32_t epoch)
{
	uint64_t seen = load_relaxed_64(sleepers);

	while (epoch_of(seen) == epoch && count_of(seen) > 0)
		if (cas_64(sleepers, &seen, seen - 1))
			return;
}

/*
 * Nobody slept, whatever the count says: somebody was killed, or is on the way
 * in or out. First the epoch becomes odd, which turns away those on the way in;
 * then those who slipped in before are woken; then the count is right: 0, if
 * nobody announced meanwhile. In an odd epoch no waker lowers the count, or it
 * could come back to the same number over one who sleeps. Killed or stopped
 * after any step, the count is too high, which costs the next one this call.
 *
 * Return: false somebody came, or was faster
 */
static bool set_right(struct tol_link *link, uint64_t *sleepers, uint64_t seen)
{
	uint64_t step = epoch_of(seen) % 2 ? EPOCH_STEP * 2 : EPOCH_STEP;
	uint64_t next = seen + step;

	if (!cas_64(sleepers, &seen, next))
		return false;
	link->futex->wake(high_half(sleepers), INT_MAX);
	cas_64(sleepers, &next, next - count_of(next) + EPOCH_STEP);
	return true;
}

static void ring(struct tol_link *link, uint64_t *sleepers)
{
	uint64_t seen = load_acquire_64(sleepers);
	int woken;

	if (count_of(seen) == 0)
		return;
	woken = link->futex->wake(high_half(sleepers), 1);
	if (woken == 0)
		set_right(link, sleepers, seen);
	else if (woken > 0 && epoch_of(seen) % 2 == 0)
		lower(sleepers, epoch_of(seen));
}

static void ring_kind(uint64_t *sleepers, const struct futex_ops *futex)
{
	fetch_add_64(sleepers, EPOCH_STEP * 2);
	futex->wake(high_half(sleepers), INT_MAX);
}

/*
 * unwatched: receivers went to sleep while nobody held anything, to sleep for as
 * long as it takes. Once somebody holds they have to look now and then, since a
 * death or the end of a lease wakes nobody. A sleeper sets it and then asks whether
 * anything is held; who holds does so and then looks at it: one sees the other. It is
 * taken back only as it was read, after all were woken: whoever set it anew stays.
 */
static void set_unwatched(struct tol_link *link)
{
	uint32_t *word = &link->head->unwatched;
	uint32_t seen = load_relaxed_32(word);

	while (!cas_32(word, &seen, (seen | 1) + 2))
		;
	fence_full();
}

static void call_to_watch(struct tol_link *link)
{
	uint32_t seen = load_acquire_32(&link->head->unwatched);

	if (!(seen & 1) || !hold_is_any_owned(link))
		return;
	ring_kind(&link->head->receivers, link->futex);
	ring_kind(&link->head->dead_receivers, link->futex);
	cas_32(&link->head->unwatched, &seen, seen & ~1u);
}

static inline __attribute__((always_inline)) void
settle_queue(struct tol_link *link)
{
	struct ring_message message;
	struct ring_room room;
	struct ring_gate gate;

	call_to_watch(link);
	if (link->is_meeting) {
		if ((uint32_t)load_acquire_64(&link->head->returns))
			meet_tell_of_returns(link);
	} else if (index_is_used(link)) {
		/* Nobody waits: a count that says so is set right. */
		if (!index_settle(link))
			ring(link, &link->head->receivers);
	} else if (count_of(load_acquire_64(&link->head->receivers)) &&
		   (hold_is_there(link, HOLD_KIND_RETURNED) ||
		    ring_find_message(link, &message, &gate) == 0)) {
		ring(link, &link->head->receivers);
	}
	if (!link->is_meeting &&
	    count_of(load_acquire_64(&link->head->senders)) &&
	    ring_find_room(link, &room) == 0)
		ring(link, &link->head->senders);
}

/* All: who wants another one than is there would keep the wake. */
static inline void ring_for_dead(struct tol_link *link)
{
	uint64_t *sleepers = &link->head->dead_receivers;
	uint64_t seen;

	do
		seen = load_acquire_64(sleepers);
	while (count_of(seen) && hold_is_there(link, HOLD_KIND_DEAD) &&
	       !set_right(link, sleepers, seen));
}

void bell_settle_slow(struct tol_link *link)
{
	settle_queue(link);
	ring_for_dead(link);
	watch_settle(link);
}

void bell_update_polling(const struct bell_waiter *waiter)
{
	polling_update(waiter->link, waiter->kind == BELL_SENDERS ? WATCH_SEND
								  : WATCH_RECV);
}

/*
 * For one that is about to sleep. One that waits for dead letters, and has seen
 * those that are there, tells the others once: else they would wake each other for ever.
 */
static void settle_before_sleep(struct bell_waiter *waiter)
{
	if (waiter->kind != BELL_DEAD_RECEIVERS) {
		bell_settle(waiter->link);
		return;
	}
	fence_after_rmw();
	settle_queue(waiter->link);
	watch_settle(waiter->link);
}

void bell_ring_all(struct mailbox_layout *head, const struct futex_ops *futex)
{
	ring_kind(&head->receivers, futex);
	ring_kind(&head->senders, futex);
	ring_kind(&head->dead_receivers, futex);
}

void bell_ring_receivers(struct tol_link *link)
{
	ring_kind(&link->head->receivers, link->futex);
}

static uint64_t *sleepers_of(const struct bell_waiter *waiter)
{
	struct mailbox_layout *head = waiter->link->head;

	switch (waiter->kind) {
	case BELL_SENDERS:
		return &head->senders;
	case BELL_DEAD_RECEIVERS:
		return &head->dead_receivers;
	default:
		return &head->receivers;
	}
}

static uint32_t *waiting_count_of(const struct bell_waiter *waiter)
{
	struct participant_layout *own = waiter->link->own;

	return waiter->kind == BELL_SENDERS ? &own->waiting_send : &own->waiting_recv;
}

struct spin *bell_spin_of(const struct bell_waiter *waiter)
{
	struct tol_link *link = waiter->link;

	return waiter->kind == BELL_SENDERS ? &link->send_spin : &link->recv_spin;
}

void bell_retract(struct bell_waiter *waiter)
{
	waiter->is_announced = false;
	lower(sleepers_of(waiter), waiter->epoch);
}

void bell_learn(const struct bell_waiter *waiter)
{
	spin_slept(bell_spin_of(waiter), waiter->has_looked,
		   waiter->link->futex->now_ns() - waiter->start_ns);
}

bool bell_is_over(struct bell_waiter *waiter, int64_t now_ns)
{
	if (waiter->timeout_ns < 0)
		return false;
	if (!waiter->is_deadline_known) {
		waiter->is_deadline_known = true;
		waiter->deadline_ns =
			waiter->timeout_ns > INT64_MAX - 1 - now_ns
				? INT64_MAX - 1
				: now_ns + waiter->timeout_ns;
	}
	return now_ns >= waiter->deadline_ns;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * Looks at the gate, once in a call.
 *
 * Return: true if something changed
 */
static bool look(struct bell_waiter *waiter, const struct ring_gate *gate,
		 int64_t now_ns)
{
	struct tol_link *link = waiter->link;
	int64_t passed_ns = 0;
	uint32_t budget_ns;

	if (!link->may_spin || waiter->has_looked || waiter->has_slept)
		return false;
	budget_ns = spin_begin(bell_spin_of(waiter));
	if (budget_ns == 0)
		return false;
	waiter->has_looked = true;
	while (passed_ns < budget_ns) {
		for (int i = 0; i < 16; i++) {
			if (!ring_gate_holds(gate) ||
			    load_relaxed_64(&link->head->control) !=
				    CONTROL_LIVE) {
				spin_helped(bell_spin_of(waiter),
					    passed_ns);
				return true;
			}
			cpu_relax();
		}
		/* Outside for a moment, and the slot may be gone. */
		if (link->has_heap) {
			uint64_t below = load_relaxed_64(
				&link->head->punched_below);

			inside_pause(link);
			if (load_acquire_64(&link->head->punched_below) !=
			    below)
				return true;
		}
		passed_ns = link->futex->now_ns() - now_ns;
	}
	return false;
}

/*
 * Return: true if a waker has taken the announcement back. The kernel, which wakes
 * on the bell, has not.
 */
static bool sleep_in_kernel(struct bell_waiter *waiter,
			    const struct ring_gate *gate, int64_t now_ns)
{
	struct tol_link *link = waiter->link;
	const struct futex_word words[] = {
		{ &link->head->bell, 0 },
		{ high_half(sleepers_of(waiter)), waiter->epoch },
		{ low_half(gate->slot), (uint32_t)gate->word },
		{ &link->head->ended, 0 },
		{ low_half(&link->head->returns),
		  (uint32_t)waiter->returns_seen },
	};
	unsigned int count = waiter->kind == BELL_RECEIVERS ? 5 : 4;
	int64_t deadline_ns = waiter->timeout_ns < 0 ? FUTEX_NO_DEADLINE
						     : waiter->deadline_ns;
	int rc = -ENOSYS;

	/* Being removed: if the remover is killed only the name tells. */
	if (load_acquire_64(&link->head->control) != CONTROL_LIVE)
		deadline_ns = earlier(deadline_ns, now_ns + SLICE_NS);
	/* What others hold may come back, and nobody wakes us then. */
	if (waiter->kind != BELL_SENDERS) {
		/* Our own too: else two threads would call each other for ever. */
		if (!hold_is_any_owned(link))
			set_unwatched(link);
		if (hold_is_any_owned(link))
			deadline_ns = earlier(deadline_ns, now_ns + SLICE_NS);
	}
	deadline_ns = earlier(deadline_ns, hold_due_ns(link));
	if (waiter->kind == BELL_RECEIVERS)
		deadline_ns = earlier(deadline_ns, collect_due_ns(link));
	/* The end of what it taps is not told to it. */
	if (link->tap)
		deadline_ns = earlier(deadline_ns, now_ns + TAP_SLICE_NS);
	if (robust_is_armed(waiter->armed))
		rc = link->futex->wait(words, count, deadline_ns);
	/* Nobody wakes us in a dead one's place: look now and then. */
	if (rc == -ENOSYS)
		return link->futex->wait_one(&words[WORD_EPOCH],
					     earlier(deadline_ns,
						     now_ns + SLICE_NS)) == 0;
	return rc == WORD_EPOCH;
}

int bell_wait(struct bell_waiter *waiter, const struct ring_gate *gate)
{
	struct tol_link *link = waiter->link;
	int64_t now_ns;

	if (waiter->timeout_ns == TOL_NOWAIT)
		return -EAGAIN;
	/* Before a sleep: after the announcement, whose epoch is moved on. */
	if (load_acquire_32(&link->is_interrupted))
		return -ECANCELED;
	now_ns = link->futex->now_ns();
	if (waiter->start_ns == 0)
		waiter->start_ns = now_ns;
	if (bell_is_over(waiter, now_ns))
		return -ETIMEDOUT;
	if (link->flags & TOL_SPIN_ONLY) {
		/* Whoever ends this wait may sleep on a wake that a stopped one owes. */
		settle_before_sleep(waiter);
		for (int i = 0; i < 64 && ring_gate_holds(gate); i++)
			cpu_relax();
		inside_pause(link);
		return 0;
	}
	if (!waiter->is_announced) {
		if (look(waiter, gate, now_ns))
			return 0;
		if (waiter->kind == BELL_DEAD_RECEIVERS && !waiter->has_slept)
			bell_settle(link);
		/* bell-announce; then the caller looks again. */
		waiter->epoch = epoch_of(fetch_add_64(sleepers_of(waiter), 1));
		waiter->is_announced = true;
		fence_after_rmw();
		return 0;
	}
	robust_arm_again(waiter->armed, &link->head->bell);
	settle_before_sleep(waiter);
	waiter->has_slept = true;
	fetch_add_32(waiting_count_of(waiter), 1);
	inside_leave(link);
	if (sleep_in_kernel(waiter, gate, now_ns))
		waiter->is_announced = false;
	else
		bell_retract(waiter);
	inside_enter(link);
	fetch_sub_32(waiting_count_of(waiter), 1);
	return 0;
}
