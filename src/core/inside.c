/* SPDX-License-Identifier: MIT */
#include "core/inside.h"

#include "base/presence.h"
#include "core/participant.h"

/* How long one is waited for that does not leave, and all together. */
#define ONE_NS 2000
#define ALL_NS 50000

struct looks {
	struct tol_link *link;
	int64_t end_ns;		/* of all */
	int fd;
};

static bool is_dead(struct looks *looks, uint32_t number)
{
	struct presence found;

	if (looks->fd == -1)
		looks->fd = link_reopen(looks->link, false);
	return looks->fd >= 0 &&
	       presence_find(looks->fd, number, 1, &found) == 0;
}

/* Until the word is @own_count or less. */
static bool await(struct looks *looks, const uint32_t *word, uint32_t own_count)
{
	int64_t now_ns, end_ns = 0;

	while (load_acquire_32(word) > own_count) {
		for (int i = 0; i < 8; i++)
			cpu_relax();
		now_ns = looks->link->futex->now_ns();
		if (end_ns == 0)
			end_ns = now_ns + ONE_NS;
		if (now_ns >= end_ns || now_ns >= looks->end_ns)
			return false;
	}
	return true;
}

static bool await_participant(struct looks *looks, uint32_t number)
{
	const struct tol_link *link = looks->link;
	const uint32_t *words = link->participants[number].inside;

	for (uint32_t i = 0; i < PARTICIPANT_INSIDE_COUNT; i++) {
		uint32_t own_count = &words[i] == inside_word(link);

		if (await(looks, &words[i], own_count))
			continue;
		/* Of the dead all words are ignored. */
		return number != link->number && is_dead(looks, number);
	}
	return true;
}

bool inside_is_quiet(struct tol_link *link)
{
	uint32_t high = participant_high(link->head);
	struct looks looks = {
		.link = link,
		.end_ns = link->futex->now_ns() + ALL_NS,
		.fd = -1,
	};
	bool is_quiet = true;

	for (uint32_t i = 0; i < high && is_quiet; i++)
		is_quiet = await_participant(&looks, i);
	if (looks.fd >= 0)
		sys_close(looks.fd);
	return is_quiet;
}

/* Without the barrier nothing is known of others, unless there are none. */
bool inside_quiesce(struct tol_link *link)
{
	if (!link->has_barrier || sys_barrier_all() < 0) {
		fence_full();
		if (!participant_is_alone(link))
			return false;
	}
	return inside_is_quiet(link);
}
