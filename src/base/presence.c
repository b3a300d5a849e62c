/* SPDX-License-Identifier: MIT */
#include "base/presence.h"

#include <errno.h>
#include <fcntl.h>

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

/* Under locks that come and go all the while. */
#define COUNTS_MAX 8

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

/* Numbers are random: another set of them has another sum. */
struct tally {
	uint32_t count, shared_count;
	uint64_t numbers_sum;
};

/*
 * The kernel names one lock of a range, whichever comes first in its own
 * list, so the range is split around each that is found. Whoever has the
 * right to lock could set a lock over many bytes: such a one ends the count of
 * its part, and the depth is that of a 40-bit range.
 */
static int count_range(int fd, uint64_t first, uint64_t end,
		       struct tally *tally)
{
	struct presence found;
	int err;

	while (first < end) {
		err = presence_find(fd, first, end - first, &found);
		if (err <= 0)
			return err;
		if (found.number < first || found.number >= end) {
			tally->count++;
			return 0;
		}
		tally->count++;
		tally->shared_count += found.is_shared;
		tally->numbers_sum += found.number + 1;
		if (found.number - first < end - found.number) {
			err = count_range(fd, first, found.number, tally);
			first = found.number + 1;
		} else {
			err = count_range(fd, found.number + 1, end, tally);
			end = found.number;
		}
		if (err < 0)
			return err;
	}
	return 0;
}

/*
 * One who unlocks a byte and locks another meanwhile may be found twice, or not
 * at all. Two counts in a row that found the same are of the moment between.
 */
int presence_count(int fd, uint32_t *ret_count, uint32_t *ret_shared_count)
{
	struct tally tally, before = { .count = UINT32_MAX };

	for (int tries = 0; tries < COUNTS_MAX; tries++) {
		int err;

		tally = (struct tally){ 0 };
		err = count_range(fd, 0, PRESENCE_COUNT, &tally);
		if (err < 0)
			return err;
		if (tally.count == before.count &&
		    tally.shared_count == before.shared_count &&
		    tally.numbers_sum == before.numbers_sum)
			break;
		before = tally;
	}
	*ret_count = tally.count;
	*ret_shared_count = tally.shared_count;
	return 0;
}
