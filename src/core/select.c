/* SPDX-License-Identifier: MIT */
#include "core/select.h"

#include <errno.h>
#include <stddef.h>

int select_check(const struct tol_select *select)
{
	if (!select)
		return 0;
	switch (select->by) {
	case TOL_SELECT_TAGS:
		if (!select->tags || select->tags_count == 0)
			return -EINVAL;
		return select->tags_count > TOL_SELECT_TAGS_MAX ? -E2BIG : 0;
	case TOL_SELECT_TAG_RANGE:
		return select->first_tag > select->last_tag ? -EINVAL : 0;
	case TOL_SELECT_SENDER:
		return select->sender_pid <= 0 ? -EINVAL : 0;
	case TOL_SELECT_ANY:
	case TOL_SELECT_TAG_NOT:
	case TOL_SELECT_TAG_LOWEST:
		return 0;
	}
	return -EINVAL;
}

static bool is_among(const struct tol_select *select, uint64_t tag)
{
	for (size_t i = 0; i < select->tags_count; i++)
		if (select->tags[i] == tag)
			return true;
	return false;
}

bool select_matches(const struct tol_select *select,
		    const struct select_key *key)
{
	if (!select)
		return true;
	switch (select->by) {
	case TOL_SELECT_TAGS:
		return is_among(select, key->tag);
	case TOL_SELECT_TAG_RANGE:
		return key->tag >= select->first_tag &&
		       key->tag <= select->last_tag;
	case TOL_SELECT_TAG_NOT:
		return key->tag != select->first_tag;
	case TOL_SELECT_TAG_LOWEST:
		return key->tag <= select->last_tag;
	case TOL_SELECT_SENDER:
		return key->sender_pid == (uint32_t)select->sender_pid;
	case TOL_SELECT_ANY:
		break;
	}
	return true;
}

bool select_is_before(const struct tol_select *select,
		      const struct select_key *a, const struct select_key *b)
{
	if (select && select->by == TOL_SELECT_TAG_LOWEST && a->tag != b->tag)
		return a->tag < b->tag;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->position < b->position;
}
