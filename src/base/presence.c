/* SPDX-License-Identifier: MIT */
#include "base/presence.h"

#include <errno.h>
#include <fcntl.h>

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

static int lock_bytes(int fd, int command, struct flock *lock)
{
	int err;

	do {
		err = fcntl(fd, command, lock);
	} while (err < 0 && errno == EINTR);
	if (err < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

int presence_take(int fd, uint64_t number, bool shared)
{
	struct flock lock = {
		.l_type = shared ? F_RDLCK : F_WRLCK,
		.l_start = (off_t)(PRESENCE_BASE + number),
		.l_len = 1,
	};

	return lock_bytes(fd, F_OFD_SETLK, &lock);
}

int presence_drop(int fd, uint64_t number)
{
	struct flock lock = {
		.l_type = F_UNLCK,
		.l_start = (off_t)(PRESENCE_BASE + number),
		.l_len = 1,
	};

	return lock_bytes(fd, F_OFD_SETLK, &lock);
}

int presence_find(int fd, uint64_t number, uint64_t count,
		  struct presence *ret_presence)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (off_t)(PRESENCE_BASE + number),
		.l_len = (off_t)count,
	};
	int err;

	if (count == 0)
		return 0;
	err = lock_bytes(fd, F_OFD_GETLK, &lock);
	if (err < 0)
		return err;
	if (lock.l_type == F_UNLCK)
		return 0;
	ret_presence->number = (uint64_t)lock.l_start > PRESENCE_BASE
			? (uint64_t)lock.l_start - PRESENCE_BASE : 0;
	ret_presence->is_shared = lock.l_type == F_RDLCK;
	return 1;
}

/*
 * The kernel names one lock of a range, whichever comes first in its own
 * list, so the range is split around each that is found. Whoever has the
 * right to lock could set a lock over many bytes: such a one ends the count of
 * its part, and the depth is that of a 40-bit range.
 */
static int count_range(int fd, uint64_t first, uint64_t end, uint32_t *count,
		       uint32_t *shared_count)
{
	struct presence found;
	int err;

	while (first < end) {
		err = presence_find(fd, first, end - first, &found);
		if (err <= 0)
			return err;
		if (found.number < first || found.number >= end) {
			++*count;
			return 0;
		}
		++*count;
		*shared_count += found.is_shared;
		if (found.number - first < end - found.number) {
			err = count_range(fd, first, found.number, count,
					  shared_count);
			first = found.number + 1;
		} else {
			err = count_range(fd, found.number + 1, end, count,
					  shared_count);
			end = found.number;
		}
		if (err < 0)
			return err;
	}
	return 0;
}

int presence_count(int fd, uint32_t *ret_count, uint32_t *ret_shared_count)
{
	uint32_t count = 0, shared_count = 0;
	int err = count_range(fd, 0, PRESENCE_COUNT, &count, &shared_count);

	if (err < 0)
		return err;
	*ret_count = count;
	*ret_shared_count = shared_count;
	return 0;
}
