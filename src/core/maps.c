/* SPDX-License-Identifier: MIT */
#include "core/maps.h"

#include <errno.h>
#include <stdlib.h>

#include "core/body_file.h"
#include "core/link.h"

struct map {
	struct map *next;
	uint64_t key;
	void *address;
	size_t size_bytes;
	uint64_t serial;
};

void maps_init(struct maps *maps)
{
	maps->first = NULL;
	lock_init(&maps->lock);
}

void maps_fini(struct tol_link *link)
{
	bool is_ours = link->process_number == fork_process_number();

	while (link->maps.first) {
		struct map *map = link->maps.first;

		link->maps.first = map->next;
		if (is_ours && map->serial != MAPS_NO_SERIAL) {
			body_file_remove(link, link->number, map->serial);
			body_file_end_draft(link);
		}
		/* A child does not have them. */
		if (is_ours)
			sys_unmap(map->address, map->size_bytes);
		free(map);
	}
}

int maps_add(struct tol_link *link, uint64_t key, void *address,
	     size_t size_bytes, uint64_t serial)
{
	struct map *map = malloc(sizeof(*map));
	bool entered;

	if (!map)
		return -ENOMEM;
	*map = (struct map){
		.key = key,
		.address = address,
		.size_bytes = size_bytes,
		.serial = serial,
	};
	entered = lock_enter(&link->maps.lock);
	map->next = link->maps.first;
	link->maps.first = map;
	lock_leave(&link->maps.lock, entered);
	return 0;
}

void maps_remove(struct tol_link *link, uint64_t key)
{
	bool entered = lock_enter(&link->maps.lock);
	struct map **at = &link->maps.first, *map;

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	map = *at;
	if (map)
		*at = map->next;
	lock_leave(&link->maps.lock, entered);
	if (!map)
		return;
	sys_unmap(map->address, map->size_bytes);
	free(map);
}
