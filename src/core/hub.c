/* SPDX-License-Identifier: MIT */
#include "core/hub.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/deaths.h"

#define WHAT_SOCKET 0u
#define WHAT_TIMER 1u
#define WHAT_DEATHS 2u

struct hub_space {
	struct hub_space *next;
	char *path;
	uint64_t socket_id, socket_inode;
	int socket_fd;
	unsigned int users_count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hub_space *spaces;
static int set_fd = -1, timer_fd = -1;
static uint32_t process_number;
static uint32_t number = 1;	/* goes up when all is made anew */

/* Words of this process: no other sees them. */
static uint32_t epoch;
static uint32_t leader;		/* its thread, or 0 */
static uint32_t followers_count;
static uint32_t deaths_count;

/*
 * All that was made before is somebody else's: of the parent process, or closed
 * behind our back. Links find out by the number, and look at what they had no more.
 */
static void start_afresh(void)
{
	process_number = fork_process_number();
	while (spaces) {
		struct hub_space *next = spaces->next;

		free(spaces->path);
		free(spaces);
		spaces = next;
	}
	set_fd = timer_fd = -1;
	store_release_32(&leader, 0);
	store_release_32(&number, number + 1);
}

static bool is_lost(void)
{
	if (process_number != fork_process_number())
		return true;
	for (struct hub_space *at = spaces; at; at = at->next)
		if (!poll_socket_is(at->socket_fd, at->socket_inode))
			return true;
	return false;
}

static int make_sure(void)
{
	if (set_fd >= 0 && process_number == fork_process_number())
		return 0;
	start_afresh();
	timer_fd = poll_timer_open();
	if (timer_fd < 0)
		return timer_fd;
	set_fd = poll_set_open();
	if (set_fd >= 0) {
		int err = poll_set_add(set_fd, timer_fd, WHAT_TIMER);

		if (err == 0)
			return 0;
		sys_close(set_fd);
		set_fd = err;
	}
	sys_close(timer_fd);
	timer_fd = -1;
	return set_fd;
}

/* Return: NULL with @ret_err */
static struct hub_space *add_space(struct tol_link *link, int *ret_err)
{
	struct hub_space *at = calloc(1, sizeof(*at));

	*ret_err = -ENOMEM;
	if (!at)
		return NULL;
	at->path = strdup(link->space_path);
	if (at->path) {
		at->socket_fd = watch_socket_open(link, &at->socket_id,
						  &at->socket_inode);
		*ret_err = at->socket_fd < 0 ? at->socket_fd
					     : poll_set_add(set_fd,
							    at->socket_fd,
							    WHAT_SOCKET);
		if (*ret_err == 0) {
			at->next = spaces;
			spaces = at;
			return at;
		}
		if (at->socket_fd >= 0) {
			sys_close(at->socket_fd);
			watch_socket_remove(at->path, at->socket_id);
		}
	}
	free(at->path);
	free(at);
	return NULL;
}

static int join(struct tol_link *link, int deaths_fd)
{
	struct polling *polling = link->polling;
	struct hub_space *at;
	int err = make_sure();

	if (err < 0 || polling->hub_number == number)
		return err;
	/* -EEXIST mostly; not if who shared it had all left, and it was made anew. */
	if (deaths_fd >= 0)
		poll_set_add(set_fd, deaths_fd, WHAT_DEATHS);
	for (at = spaces; at && strcmp(at->path, link->space_path) != 0;)
		at = at->next;
	if (!at)
		at = add_space(link, &err);
	if (!at)
		return err;
	at->users_count++;
	polling->hub_space = at;
	store_relaxed_64(&polling->hub_armed[0], 0);
	store_relaxed_64(&polling->hub_armed[1], 0);
	/* Before it is armed for the first time. */
	store_release_64(&link->own->hub_socket, at->socket_id);
	store_release_32(&polling->hub_number, number);
	return 0;
}

int hub_join(struct tol_link *link)
{
	const struct polling *polling = link_polling(link);
	int deaths_fd, err;

	if (polling &&
	    load_acquire_32(&polling->hub_number) == load_acquire_32(&number))
		return 0;
	err = polling_make(link);
	if (err < 0)
		return err;
	deaths_fd = deaths_join(link, POLLING_HUB);
	pthread_mutex_lock(&lock);
	err = join(link, deaths_fd);
	pthread_mutex_unlock(&lock);
	return err;
}

static void drop_space(struct hub_space *space)
{
	struct hub_space **at = &spaces;
	bool is_ours;

	while (*at && *at != space)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = space->next;
	is_ours = poll_socket_is(space->socket_fd, space->socket_inode);
	if (is_ours) {
		poll_set_remove(set_fd, space->socket_fd);
		sys_close(space->socket_fd);
	}
	watch_socket_remove(space->path, space->socket_id);
	free(space->path);
	free(space);
	if (spaces)
		return;
	/* The last one: nothing is left open. */
	if (is_ours) {
		sys_close(set_fd);
		sys_close(timer_fd);
	}
	start_afresh();
}

void hub_leave(struct tol_link *link)
{
	struct polling *polling = link->polling;

	pthread_mutex_lock(&lock);
	if (polling->hub_number != 0 && polling->hub_number == number &&
	    --polling->hub_space->users_count == 0)
		drop_space(polling->hub_space);
	polling->hub_space = NULL;
	polling->hub_number = 0;
	store_release_64(&link->own->hub_socket, 0);
	pthread_mutex_unlock(&lock);
}

uint32_t hub_epoch(void)
{
	return load_acquire_32(&epoch);
}

uint32_t hub_deaths(void)
{
	return load_acquire_32(&deaths_count);
}

/* Whoever sleeps on the epoch looks again, and one of them may lead. */
static void wake_followers(void)
{
	fetch_add_32(&epoch, 1);
	if (load_acquire_32(&followers_count))
		futex_kernel_ops.wake(&epoch, INT_MAX);
}

static void drain_all(const uint32_t *what, int count)
{
	bool has_socket = false, has_died = false;

	for (int i = 0; i < count; i++) {
		has_socket |= what[i] == WHAT_SOCKET;
		has_died |= what[i] == WHAT_DEATHS;
	}
	pthread_mutex_lock(&lock);
	poll_timer_set(timer_fd, POLL_FOREVER);
	for (struct hub_space *at = has_socket ? spaces : NULL; at;
	     at = at->next)
		poll_socket_drain(at->socket_fd);
	pthread_mutex_unlock(&lock);
	if (has_died)
		deaths_take_of_hub();
}

static void lead(uint32_t seen, int64_t deadline_ns)
{
	uint32_t what[POLL_SET_MAX];
	const struct futex_word word = { &epoch, seen };
	bool lost;
	int count;

	pthread_mutex_lock(&lock);
	lost = is_lost();
	if (lost)
		start_afresh();
	pthread_mutex_unlock(&lock);
	if (lost || load_acquire_32(&epoch) != seen)
		return;
	/* Nobody waits for any link. */
	if (set_fd < 0) {
		futex_kernel_ops.wait_one(&word, deadline_ns);
		return;
	}
	count = poll_set_wait(set_fd, deadline_ns, what);
	if (count > 0)
		drain_all(what, count);
}

void hub_sleep(uint32_t seen, int64_t deadline_ns)
{
	uint32_t own = (uint32_t)sys_thread(), nobody = 0;
	const struct futex_word word = { &epoch, seen };

	/* Our own: a handler has left that call by longjmp(). */
	if (cas_32(&leader, &nobody, own) || nobody == own) {
		lead(seen, deadline_ns);
		store_release_32(&leader, 0);
		wake_followers();
		return;
	}
	fetch_add_32(&followers_count, 1);
	fence_after_rmw();
	if (load_acquire_32(&leader) != 0)
		futex_kernel_ops.wait_one(&word, deadline_ns);
	fetch_sub_32(&followers_count, 1);
}

void hub_poke(struct tol_link *link)
{
	if (load_acquire_32(&link->polling->hub_number) == 0)
		return;
	pthread_mutex_lock(&lock);
	fetch_add_32(&deaths_count, 1);
	if (!is_lost() && timer_fd >= 0)
		poll_timer_set(timer_fd, 0);
	pthread_mutex_unlock(&lock);
}

/* A thread that is about to sleep on the set finds the timer over. */
void hub_interrupt(void)
{
	int timer = __atomic_load_n(&timer_fd, __ATOMIC_ACQUIRE);

	fetch_add_32(&epoch, 1);
	futex_kernel_ops.wake(&epoch, INT_MAX);
	if (timer >= 0 && process_number == fork_process_number())
		poll_timer_set(timer, 0);
}

void hub_lock_for_fork(void)
{
	pthread_mutex_lock(&lock);
}

void hub_unlock_after_fork(bool is_child)
{
	if (is_child) {
		store_release_32(&leader, 0);
		store_release_32(&followers_count, 0);
	}
	pthread_mutex_unlock(&lock);
}
