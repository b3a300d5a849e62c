/* SPDX-License-Identifier: MIT */
#include "core/segment.h"

#include <errno.h>

#include "base/presence.h"

/*
 * Sealing.
 *
 * A private segment is sealed by the kernel, which refuses while a writable
 * mapping exists. A named one has a word, and a rule:
 *
 *	sealer				writer (attach, grow)
 *	lock SEALER			lock a number of its own	W1
 *	word = SEALING		S1	read word			W2
 *	any writer's lock?	S2	SEALED: give up
 *	  yes: word = OPEN		SEALING and SEALER locked: give up
 *	  no: word = SEALED	S3	else it may write
 *
 * S3 is the instruction at which it is sealed. W1 and S2 go through the same
 * lock of the kernel's: if S2 comes first, then so does S1, and W2 finds
 * SEALING, with its sealer still there, or SEALED; if W1 comes first, then S2
 * finds the writer. A sealer that was killed before S3 leaves SEALING without
 * the lock, which means OPEN. Killed after S3 it leaves the write bits of the
 * mode; the next call of tol_segment_seal() takes them.
 */

static int read_word(int fd, uint32_t *ret_word)
{
	uint32_t word = 0;
	ssize_t n = sys_pread(fd, &word, sizeof(word),
			      offsetof(struct segment_layout, sealed));

	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(word) || word > SEGMENT_SEALED)
		return -EBADMSG;
	*ret_word = word;
	return 0;
}

static int write_word(int fd, uint32_t word)
{
	return segment_write_head(fd, &word, sizeof(word),
				  offsetof(struct segment_layout, sealed));
}

int segment_is_sealed(const struct tol_segment *segment)
{
	uint32_t word = 0;
	int err;

	if (segment->flags & SEGMENT_IS_PRIVATE)
		return sys_is_sealed(segment->fd);
	err = read_word(segment->fd, &word);
	return err < 0 ? err : word == SEGMENT_SEALED;
}

int segment_may_write(const struct tol_segment *segment, int fd)
{
	struct presence sealer;
	uint32_t word = 0;
	int err;

	if (segment->flags & SEGMENT_IS_PRIVATE)
		return 0;
	err = read_word(fd, &word);
	if (err < 0)
		return err;
	if (word == SEGMENT_OPEN)
		return 0;
	if (word == SEGMENT_SEALED)
		return -EPERM;
	err = presence_find(fd, SEGMENT_SEALER, 1, &sealer);
	if (err != 0)
		return err < 0 ? err : -EPERM;
	/* It let go since: it had reached S3, or it had not. */
	err = read_word(fd, &word);
	if (err < 0)
		return err;
	return word == SEGMENT_SEALED ? -EPERM : 0;
}

/* A sealer takes the write bits after S3: who has none then may ask why. */
int segment_reopen(const struct tol_segment *segment, bool is_writable)
{
	int fd = sys_reopen(segment->fd, is_writable);

	if (fd == -EACCES && is_writable && segment_is_sealed(segment) > 0)
		return -EPERM;
	return fd;
}

/* Return: 0; -EBUSY attached for writing, or being made larger */
static int check_no_writer(int fd)
{
	uint32_t count, shared_count;
	struct presence grower;
	int err = presence_count(fd, &count, &shared_count);

	if (err < 0)
		return err;
	if (count != shared_count)
		return -EBUSY;
	err = presence_find(fd, SEGMENT_GROWER_BASE, SEGMENT_GROWERS_COUNT,
			    &grower);
	return err > 0 ? -EBUSY : err;
}

static int take_write_bits(int fd)
{
	struct segment_change_layout change;
	struct sys_stat st;
	int err = sys_stat_fd(fd, &st);

	if (err < 0 || !(st.mode & 0222))
		return err;
	change = (struct segment_change_layout){
		.changed_unix_ns = sys_unix_ns(),
		.mode = st.mode & 07777 & ~(mode_t)0222,
		.uid = st.uid,
		.gid = st.gid,
	};
	segment_write_head(fd, &change, sizeof(change),
			   offsetof(struct segment_layout, change));
	return sys_chmod(fd, change.mode);
}

/* Would the mode be ours to change? Asked before anything is sealed. */
static int check_owner(int fd)
{
	struct sys_stat st;
	int err = sys_stat_fd(fd, &st);

	if (err == 0)
		err = sys_chmod(fd, st.mode & 07777);
	return err == -EPERM ? -EACCES : err;
}

static int seal_named(int fd)
{
	uint32_t word = 0;
	int err = presence_take(fd, SEGMENT_SEALER, false);

	if (err < 0)
		return err == -EAGAIN ? -EBUSY : err;
	/* Another sealer may have been faster: SEALED is never undone. */
	err = read_word(fd, &word);
	if (err < 0)
		return err;
	if (word == SEGMENT_SEALED)
		return take_write_bits(fd);
	err = write_word(fd, SEGMENT_SEALING);
	if (err < 0)
		return err;
	err = check_no_writer(fd);
	if (err == 0)
		err = check_owner(fd);
	if (err < 0) {
		write_word(fd, SEGMENT_OPEN);
		return err;
	}
	err = write_word(fd, SEGMENT_SEALED);
	return err < 0 ? err : take_write_bits(fd);
}

/* The time is written while it can be; the kernel has the last word. */
static int seal_private(int fd)
{
	struct segment_change_layout change;
	struct sys_stat st;
	int err = check_no_writer(fd);

	if (err == 0)
		err = sys_stat_fd(fd, &st);
	if (err < 0)
		return err;
	change = (struct segment_change_layout){
		.changed_unix_ns = sys_unix_ns(),
		.mode = st.mode & 07777,
		.uid = st.uid,
		.gid = st.gid,
	};
	segment_write_head(fd, &change, sizeof(change),
			   offsetof(struct segment_layout, change));
	err = sys_seal(fd, true);
	if (err == -EPERM && sys_is_sealed(fd) > 0)
		return 0;
	return err;
}

int tol_segment_seal(struct tol_segment *segment)
{
	struct sys_stat st;
	int err, fd;

	err = segment_check_fd(segment, &st);
	if (err < 0)
		return err;
	err = segment_is_sealed(segment);
	if (err < 0)
		return err;
	if (err > 0) {
		if (!(segment->flags & SEGMENT_IS_PRIVATE))
			take_write_bits(segment->fd);
		return 0;
	}
	if (!segment->is_writable)
		return -EACCES;
	if (segment->flags & SEGMENT_IS_PRIVATE)
		return seal_private(segment->fd);
	/* The lock goes with its description, which no child may inherit. */
	segment_guard_enter_again();
	fd = segment_reopen(segment, true);
	err = fd < 0 ? fd : seal_named(fd);
	if (fd >= 0)
		sys_close(fd);
	segment_guard_leave();
	/* Another sealer was faster. */
	return fd == -EPERM ? 0 : err;
}
