/* SPDX-License-Identifier: MIT */
#include "core/deaths.h"

#include <errno.h>
#include <stdlib.h>

#include "core/descriptor.h"
#include "core/hub.h"
#include "core/participant.h"

/* Links that share an instance. */
struct deaths_group {
	struct deaths_group *next;
	enum polling_way way;
	int closes_fd;
	unsigned int links_count;
	struct tol_link *links;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t process_number;
static struct deaths_group *groups;

static struct polling_watch *watch_of(const struct tol_link *link,
				      enum polling_way way)
{
	return &link->polling->watches[way];
}

/* Closed behind our back, its number may be somebody else's by now. */
static bool is_lost(const struct deaths_group *group)
{
	return !poll_closes_is(group->closes_fd);
}

static int watch(struct deaths_group *group, struct tol_link *link)
{
	int file_fd = link_reopen(link, false);
	int number = file_fd;

	if (file_fd >= 0) {
		number = poll_closes_watch(group->closes_fd, file_fd);
		sys_close(file_fd);
	}
	watch_of(link, group->way)->number = number < 0 ? -1 : number;
	return number < 0 ? number : 0;
}

static int open_again(struct deaths_group *group)
{
	group->closes_fd = poll_closes_open();
	if (group->closes_fd < 0)
		return group->closes_fd;
	for (struct tol_link *at = group->links; at;
	     at = watch_of(at, group->way)->next)
		watch(group, at);
	return 0;
}

/* Return: NULL no memory, or no instance left: @ret_err */
static struct deaths_group *find_group(enum polling_way way, int *ret_err)
{
	struct deaths_group *group = groups;

	while (group && (group->way != way ||
			 (way == POLLING_DESCRIPTOR &&
			  group->links_count >= DEATHS_GROUP_MAX)))
		group = group->next;
	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	*ret_err = -ENOMEM;
	if (!group)
		return NULL;
	group->way = way;
	*ret_err = group->closes_fd = poll_closes_open();
	if (group->closes_fd < 0) {
		free(group);
		return NULL;
	}
	group->next = groups;
	groups = group;
	return group;
}

static void drop_group(struct deaths_group *group)
{
	struct deaths_group **at = &groups;

	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	if (!is_lost(group))
		sys_close(group->closes_fd);
	free(group);
}

static int enter(struct tol_link *link, enum polling_way way)
{
	struct polling_watch *own = watch_of(link, way);
	struct deaths_group *group;
	int err;

	group = find_group(way, &err);
	if (!group)
		return err;
	err = is_lost(group) ? open_again(group) : 0;
	if (err == 0)
		err = watch(group, link);
	if (err < 0) {
		if (!group->links)
			drop_group(group);
		return err;
	}
	own->group = group;
	own->next = group->links;
	group->links = link;
	group->links_count++;
	return group->closes_fd;
}

static int join(struct tol_link *link, enum polling_way way)
{
	struct polling_watch *own = watch_of(link, way);
	int err;

	/* What the parent process had is its own. */
	if (process_number != fork_process_number()) {
		process_number = fork_process_number();
		groups = NULL;
	}
	if (!own->group)
		return enter(link, way);
	err = is_lost(own->group) ? open_again(own->group) : 0;
	if (err == 0 && own->number < 0)
		err = -ENOSPC;
	return err < 0 ? err : own->group->closes_fd;
}

int deaths_join(struct tol_link *link, enum polling_way way)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = join(link, way);
	pthread_mutex_unlock(&lock);
	return fd;
}

/* Two links of one mailbox have the same number. */
static bool is_number_used(const struct deaths_group *group, int number)
{
	for (struct tol_link *at = group->links; at;
	     at = watch_of(at, group->way)->next)
		if (watch_of(at, group->way)->number == number)
			return true;
	return false;
}

static void leave(struct tol_link *link, enum polling_way way)
{
	struct polling_watch *own = watch_of(link, way);
	struct deaths_group *group = own->group;
	struct tol_link **at;

	if (!group)
		return;
	for (at = &group->links; *at != link;)
		at = &watch_of(*at, way)->next;
	*at = own->next;
	own->group = NULL;
	group->links_count--;
	if (!group->links)
		drop_group(group);
	else if (own->number >= 0 && !is_lost(group) &&
		 !is_number_used(group, own->number))
		poll_closes_forget(group->closes_fd, own->number);
}

/* Sets that have it are closed before, or their links are watched. */
void deaths_leave(struct tol_link *link)
{
	pthread_mutex_lock(&lock);
	leave(link, POLLING_HUB);
	leave(link, POLLING_DESCRIPTOR);
	pthread_mutex_unlock(&lock);
}

static void tell(int number, void *context)
{
	struct deaths_group *group = context;

	for (struct tol_link *at = group->links; at;
	     at = watch_of(at, group->way)->next) {
		int64_t until_ns = at->futex->now_ns() + DEATHS_SUSPECT_NS;

		if (number != -1 && watch_of(at, group->way)->number != number)
			continue;
		store_release_64((uint64_t *)&at->polling->suspect_until_ns,
				 (uint64_t)until_ns);
		if (group->way == POLLING_HUB)
			hub_poke(at);
		else
			descriptor_poke(at);
	}
}

static void take(struct deaths_group *group)
{
	if (group && process_number == fork_process_number() &&
	    !is_lost(group))
		poll_closes_take(group->closes_fd, tell, group);
}

void deaths_take_of(struct tol_link *link)
{
	pthread_mutex_lock(&lock);
	take(watch_of(link, POLLING_DESCRIPTOR)->group);
	pthread_mutex_unlock(&lock);
}

void deaths_take_of_hub(void)
{
	struct deaths_group *group;

	pthread_mutex_lock(&lock);
	for (group = groups; group && group->way != POLLING_HUB;)
		group = group->next;
	take(group);
	pthread_mutex_unlock(&lock);
}

void deaths_lock_for_fork(void)
{
	pthread_mutex_lock(&lock);
}

void deaths_unlock_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}
