/* SPDX-License-Identifier: MIT */
#include "core/deaths.h"

#include <errno.h>

#include "core/descriptor.h"
#include "core/hub.h"
#include "core/participant.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int closes_fd = -1;
static uint32_t process_number;
static struct tol_link *watched;

static int watch(struct tol_link *link)
{
	int file_fd = link_reopen(link, false);
	int number = file_fd;

	if (file_fd >= 0) {
		number = poll_closes_watch(closes_fd, file_fd);
		sys_close(file_fd);
	}
	link->polling->file_number = number < 0 ? -1 : number;
	return number < 0 ? number : 0;
}

/* It is a child's own, or was closed behind our back: all anew. */
static int make_sure(void)
{
	if (process_number != fork_process_number()) {
		process_number = fork_process_number();
		closes_fd = -1;
		watched = NULL;
	}
	if (closes_fd >= 0 && poll_closes_is(closes_fd))
		return 0;
	closes_fd = poll_closes_open();
	if (closes_fd < 0)
		return closes_fd;
	for (struct tol_link *at = watched; at; at = at->polling->next_watched)
		watch(at);
	return 0;
}

static int join(struct tol_link *link)
{
	struct polling *polling = link->polling;
	int err = make_sure();

	if (err < 0)
		return err;
	if (!polling->is_watched) {
		err = watch(link);
		if (err < 0)
			return err;
		polling->next_watched = watched;
		watched = link;
		polling->is_watched = true;
	}
	return polling->file_number < 0 ? -ENOSPC : closes_fd;
}

int deaths_join(struct tol_link *link)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = join(link);
	pthread_mutex_unlock(&lock);
	return fd;
}

/* Two links of one mailbox have the same number. */
static bool is_number_used(int number)
{
	for (struct tol_link *at = watched; at; at = at->polling->next_watched)
		if (at->polling->file_number == number)
			return true;
	return false;
}

/* Sets that have it are closed before, or their links are watched. */
void deaths_leave(struct tol_link *link)
{
	struct polling *polling = link->polling;
	struct tol_link **at = &watched;

	pthread_mutex_lock(&lock);
	if (polling->is_watched) {
		while (*at && *at != link)
			at = &(*at)->polling->next_watched;
		if (*at)
			*at = polling->next_watched;
		polling->is_watched = false;
		if (polling->file_number >= 0 && poll_closes_is(closes_fd) &&
		    !is_number_used(polling->file_number))
			poll_closes_forget(closes_fd, polling->file_number);
		if (!watched && poll_closes_is(closes_fd)) {
			sys_close(closes_fd);
			closes_fd = -1;
		}
	}
	pthread_mutex_unlock(&lock);
}

static void tell(int number, void *context)
{
	(void)context;
	for (struct tol_link *at = watched; at;
	     at = at->polling->next_watched) {
		int64_t until_ns = at->futex->now_ns() + DEATHS_SUSPECT_NS;

		if (number != -1 && at->polling->file_number != number)
			continue;
		store_release_64((uint64_t *)&at->polling->suspect_until_ns,
				 (uint64_t)until_ns);
		descriptor_poke(at);
		hub_poke(at);
	}
}

void deaths_take(void)
{
	pthread_mutex_lock(&lock);
	if (process_number == fork_process_number() &&
	    poll_closes_is(closes_fd))
		poll_closes_take(closes_fd, tell, NULL);
	pthread_mutex_unlock(&lock);
}
