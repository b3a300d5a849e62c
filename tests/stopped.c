/* SPDX-License-Identifier: MIT */
/* What a participant that was stopped or idle for long must not do to others. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/robust.h"
#include "core/body.h"
#include "core/link.h"
#include "core/pool.h"
#include "core/ring.h"
#include "support.h"
#include "tolsey.h"

static struct tol_link *open_link(const char *name, unsigned int flags)
{
	struct tol_open_opts opts = { .flags = flags };
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, &opts), 0);
	return link;
}

static struct tol_link *make(const char *name, uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create(name, capacity_msgs, NULL), 1);
	return open_link(name, 0);
}

static void unmake(struct tol_link *link, const char *name)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
}

/*
 * The link looks at slots of a mailbox where more than half of all laps went by
 * since it looked last: they seem to be of its past.
 */
START_TEST(idle_for_half_of_all_laps)
{
	static const uint64_t laps[] = {
		(UINT64_C(1) << 35) - 1, (UINT64_C(1) << 35) + 1,
		(UINT64_C(1) << 36) - 1, (UINT64_C(1) << 36) + 5,
	};
	struct tol_link *link = make("box", 1);
	uint64_t position = laps[_i];
	char byte;

	store_release_64(&link->ring[0], slot_make(SLOT_EMPTY, position, 0));
	store_release_64(&link->head->tail, position);
	store_release_64(&link->head->head, position);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_int_eq(tol_send(link, "a", 1, TOL_NOWAIT), 0);
		ck_assert_int_eq(tol_send(link, "a", 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), 1);
	}
	unmake(link, "box");
}
END_TEST

/* What makes no sense from the shared hint either is still found. */
START_TEST(nonsense_is_nonsense)
{
	struct tol_link *link = make("box", 4);

	for (int i = 0; i < 4; i++)
		store_release_64(&link->ring[i], slot_make(SLOT_EMPTY, 9, 0));
	store_release_64(&link->head->tail, 4 * 12);
	ck_assert_int_eq(tol_send(link, "a", 1, TOL_NOWAIT), -EBADMSG);
	unmake(link, "box");
}
END_TEST

static int receive_one(void *context)
{
	struct tol_link *link = open_link("box", TOL_RECV | TOL_SPIN_NEVER);
	char byte;
	ssize_t n = tol_recv(link, &byte, 1, TOL_SECS(100));

	(void)context;
	tol_close(link);
	return n == 1 ? 0 : 1;
}

/* A sender that is stopped between the CAS and the wake, for good. */
START_TEST(spinner_gives_owed_wake)
{
	struct tol_link *stopped = make("box", 1);
	struct tol_link *spinner = open_link("box", TOL_SEND | TOL_SPIN_ONLY);
	pid_t receiver = support_fork(receive_one, NULL);
	struct ring_room room;
	struct draft draft;
	char byte;

	while ((uint32_t)load_acquire_64(&stopped->head->receivers) == 0)
		sched_yield();
	support_wait_asleep(receiver);
	ck_assert_int_eq(ring_find_room(stopped, &room), 0);
	ck_assert_int_eq(draft_make(stopped, "a", 1,
				    &(struct draft_extra){ 0 }, &draft), 0);
	ck_assert_int_eq(ring_publish(stopped, draft.block.unit, &room), 0);
	ck_assert_int_eq(tol_send(spinner, "b", 1, TOL_SECS(30)), 0);
	ck_assert_int_eq(support_wait(receiver), 0);
	pool_commit(stopped, &draft.block, room.position + 1);
	ck_assert_int_eq(tol_recv(stopped, &byte, 1, TOL_NOWAIT), 1);
	ck_assert_int_eq(byte, 'b');
	tol_close(spinner);
	unmake(stopped, "box");
}
END_TEST

static pthread_mutex_t robust_mutex;
static uint32_t handled_count, thread_id;

static void use_robust_mutex(int number)
{
	(void)number;
	pthread_mutex_lock(&robust_mutex);
	pthread_mutex_unlock(&robust_mutex);
	fetch_add_32(&handled_count, 1);
}

static void *receive_in_thread(void *link)
{
	static char byte;

	store_release_32(&thread_id, (uint32_t)syscall(SYS_gettid));
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_SECS(100)), 1);
	return NULL;
}

/*
 * libc disarms a thread whose signal handler uses a robust mutex. It sleeps on
 * after that, and must be armed again: woken for a message and killed before it
 * can act it would take that wake with it.
 */
START_TEST(sleeper_is_armed_after_handler)
{
	struct sigaction action = { .sa_handler = use_robust_mutex };
	struct tol_link *link = make("box", 1);
	pthread_mutexattr_t attributes;
	struct robust_head *head;
	pthread_t thread;
	size_t size_bytes;
	pid_t tid;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust_mutex, &attributes);
	sigaction(SIGUSR1, &action, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, receive_in_thread, link),
			 0);
	while ((tid = (pid_t)load_acquire_32(&thread_id)) == 0)
		sched_yield();
	support_wait_asleep(tid);
	ck_assert_int_eq(syscall(SYS_get_robust_list, tid, &head, &size_bytes),
			 0);
	ck_assert_ptr_nonnull(head->list_op_pending);
	pthread_kill(thread, SIGUSR1);
	while (load_acquire_32(&handled_count) == 0)
		sched_yield();
	support_wait_asleep(tid);
	ck_assert_ptr_eq((char *)head->list_op_pending + head->futex_offset,
			 &link->head->bell);
	ck_assert_int_eq(tol_send(link, "a", 1, TOL_NOWAIT), 0);
	pthread_join(thread, NULL);
	unmake(link, "box");
}
END_TEST

/* A word that leads to where no message ever was takes no memory there. */
START_TEST(message_where_none_can_be)
{
	struct tol_link *link = make("box", 4);
	char byte;

	store_release_64(&link->ring[0],
			 slot_make(SLOT_FULL, 0, 20000 * MAILBOX_CHUNK_UNITS));
	ck_assert_int_eq(tol_recv(link, &byte, 1, TOL_NOWAIT), -EBADMSG);
	unmake(link, "box");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stopped");
	TCase *tc = support_tcase("stopped");

	tcase_add_loop_test(tc, idle_for_half_of_all_laps, 0, 4);
	tcase_add_test(tc, nonsense_is_nonsense);
	tcase_add_test(tc, spinner_gives_owed_wake);
	tcase_add_test(tc, sleeper_is_armed_after_handler);
	tcase_add_test(tc, message_where_none_can_be);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
