/* SPDX-License-Identifier: MIT */
#include "core/segment.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fork.h"
#include "base/presence.h"

/*
 * Attachments, and what fork() makes of them.
 *
 * An attachment is a mapping whose open file description bears a lock on a
 * number of its own, and no descriptor: the lock lives as long as the mapping
 * in this address space (presence.h), so the locks are the attachments.
 *
 * libc's fork() runs three hooks of ours with the guard held:
 *	prepare	opens a description for each attachment that the child shall
 *		have, and locks a number for it
 *	child	maps each of them where the parent has it: there is a hole,
 *		since no mapping of ours is inherited. What cannot be had
 *		becomes a mapping without any right, so that nothing else
 *		comes to lie there
 *	parent	closes its copies; the child's keep the lock
 */

#define FLAGS_KNOWN (TOL_ATTACH_READONLY | TOL_ATTACH_PREFAULT | \
		     TOL_ATTACH_LOCK | TOL_ATTACH_HUGE | TOL_ATTACH_NOFORK)
#define FLAGS_OF_MEMORY (TOL_ATTACH_PREFAULT | TOL_ATTACH_LOCK | \
			 TOL_ATTACH_HUGE)

/* Whatever is in the list belongs to the process of that number; 0: to this. */
static uint32_t list_process_number;
static struct tol_segment *segments;
static struct segment_passing *passings;

/* ---- the list ------------------------------------------------------------- */

static void forget_attachments(struct tol_segment *segment)
{
	while (segment->attachments) {
		struct attachment *attachment = segment->attachments;

		segment->attachments = attachment->next;
		free(attachment);
	}
}

/*
 * A child made by a raw clone() had no hook: its mappings are gone, and at
 * their addresses may be anything.
 */
static void notice_clone(void)
{
	uint32_t number = fork_process_number();

	if (list_process_number != 0 && list_process_number != number)
		for (struct tol_segment *s = segments; s; s = s->next)
			forget_attachments(s);
	list_process_number = number;
}

void segment_pass(struct segment_passing *passing)
{
	passing->next = passings;
	passings = passing;
}

void segment_pass_end(struct segment_passing *passing)
{
	struct segment_passing **p;

	fork_guard_enter();
	for (p = &passings; *p; p = &(*p)->next) {
		if (*p == passing) {
			*p = passing->next;
			break;
		}
	}
	sys_close(passing->fd);
	fork_guard_leave();
}

void segment_register(struct tol_segment *segment)
{
	segment->next = segments;
	segments = segment;
}

void segment_unregister(struct tol_segment *segment)
{
	for (struct tol_segment **p = &segments; *p; p = &(*p)->next) {
		if (*p == segment) {
			*p = segment->next;
			return;
		}
	}
}

static struct attachment *unlist_attachment(struct tol_segment *segment,
					    const void *address)
{
	struct attachment **p, *found;

	for (p = &segment->attachments; *p; p = &(*p)->next) {
		if ((*p)->address == address) {
			found = *p;
			*p = found->next;
			return found;
		}
	}
	return NULL;
}

/* ---- fork ----------------------------------------------------------------- */

/*
 * Two readers may lock one number and would count as one: whoever finds that
 * it is not alone takes another.
 */
static int take_presence(int fd, bool is_writable)
{
	struct presence other;
	uint64_t number;
	int err;

	for (;;) {
		number = sys_random() % PRESENCE_COUNT;
		err = presence_take(fd, number, !is_writable);
		if (err == -EAGAIN)
			continue;
		if (err < 0 || is_writable)
			return err;
		err = presence_find(fd, number, 1, &other);
		if (err <= 0)
			return err;
		presence_drop(fd, number);
	}
}

/* Return: a description of the file's that bears a presence; -errno */
static int open_present(const struct tol_segment *segment, bool is_writable)
{
	int fd = segment_reopen(segment, is_writable);
	int err;

	if (fd < 0)
		return fd;
	err = take_presence(fd, is_writable);
	if (err < 0) {
		sys_close(fd);
		return err;
	}
	return fd;
}

static void prepare_fork(void)
{
	struct sys_stat st;

	notice_clone();
	for (struct tol_segment *s = segments; s; s = s->next) {
		struct attachment *a = s->attachments;
		bool is_open = a && segment_check_fd(s, &st) == 0;

		for (; a; a = a->next) {
			a->fork_fd = -1;
			if (is_open && a->is_ready && a->is_inherited &&
			    !a->is_absent)
				a->fork_fd = open_present(s, a->is_writable);
		}
	}
}

static void close_fork_fds(void)
{
	for (struct tol_segment *s = segments; s; s = s->next) {
		for (struct attachment *a = s->attachments; a; a = a->next) {
			if (a->fork_fd >= 0)
				sys_close(a->fork_fd);
			a->fork_fd = -1;
		}
	}
}

static int map_for_child(const struct tol_segment *segment,
			 const struct attachment *a)
{
	void *address;
	int err;

	if (a->fork_fd < 0)
		return a->fork_fd;
	err = sys_map(a->fork_fd, segment->data_offset, a->span_bytes,
		      a->is_writable, a->address, &address);
	if (err < 0)
		return err;
	err = sys_keep_from_child(a->address, a->span_bytes);
	if (err < 0)
		sys_unmap(a->address, a->span_bytes);
	return err;
}

/* Return: false if the child has nothing of it, not even a place */
static bool inherit_attachment(const struct tol_segment *segment,
			       struct attachment *a)
{
	bool is_mapped;

	if (!a->is_ready || !a->is_inherited)
		return false;
	is_mapped = map_for_child(segment, a) == 0;
	if (a->fork_fd >= 0)
		sys_close(a->fork_fd);
	a->fork_fd = -1;
	if (is_mapped)
		return true;
	/* What was absent in the parent is so here: that mapping came along. */
	if (a->is_absent)
		return true;
	a->is_absent = true;
	return sys_map_nothing(a->address, a->span_bytes) == 0;
}

static void inherit_segment(struct tol_segment *segment)
{
	struct attachment **p = &segment->attachments;

	while (*p) {
		struct attachment *a = *p;

		if (inherit_attachment(segment, a)) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		free(a);
	}
}

/* A handle that another thread of the parent was just making. */
static void drop_unfinished(struct tol_segment *segment)
{
	if (segment->fd >= 0)
		sys_close(segment->fd);
	if (segment->dir_fd >= 0)
		sys_close(segment->dir_fd);
	free(segment);
}

static void enter_child(void)
{
	struct tol_segment **p = &segments;

	/* They lie on stacks of threads that are not here. */
	for (struct segment_passing *d = passings; d; d = d->next)
		sys_close(d->fd);
	passings = NULL;
	while (*p) {
		struct tol_segment *s = *p;

		if (s->is_ready) {
			inherit_segment(s);
			p = &s->next;
			continue;
		}
		*p = s->next;
		drop_unfinished(s);
	}
	list_process_number = 0;
}

static const struct fork_hooks hooks = {
	.prepare = prepare_fork,
	.parent = close_fork_fds,
	.child = enter_child,
};

void segment_guard_enter_again(void)
{
	/* At most gives a child its number, where there is a place for it. */
	fork_init();
	fork_guard_enter();
	fork_set_hooks(&hooks);
	notice_clone();
}

int segment_guard_enter(void)
{
	int err = fork_init();

	if (err == 0)
		segment_guard_enter_again();
	return err;
}

void segment_guard_leave(void)
{
	fork_guard_leave();
}

/* ---- attach --------------------------------------------------------------- */

static int check_attach(const struct tol_attach_opts *opts)
{
	if ((opts->flags & ~FLAGS_KNOWN) ||
	    (uintptr_t)opts->address % SEGMENT_PAGE_BYTES != 0 ||
	    opts->reserve_bytes > TOL_SEGMENT_SIZE_MAX_BYTES)
		return -EINVAL;
	return 0;
}

static uint64_t round_to_pages(uint64_t size_bytes)
{
	return (size_bytes + SEGMENT_PAGE_BYTES - 1) /
	       SEGMENT_PAGE_BYTES * SEGMENT_PAGE_BYTES;
}

/* Maps and closes: from then on the mapping alone keeps the presence. */
static int map_present(const struct tol_segment *segment, struct attachment *a,
		       const struct tol_attach_opts *opts)
{
	int fd = open_present(segment, a->is_writable);
	int err = 0;

	if (fd < 0)
		return fd;
	if (a->is_writable)
		err = segment_may_write(segment, fd);
	if (err == 0 && (opts->flags & TOL_ATTACH_HUGE) && !opts->address)
		err = sys_map_aligned(fd, segment->data_offset, a->span_bytes,
				      a->is_writable, SEGMENT_HUGE_BYTES,
				      &a->address);
	else if (err == 0)
		err = sys_map(fd, segment->data_offset, a->span_bytes,
			      a->is_writable, opts->address, &a->address);
	if (err == 0) {
		err = sys_keep_from_child(a->address, a->span_bytes);
		if (err < 0)
			sys_unmap(a->address, a->span_bytes);
	}
	sys_close(fd);
	return err;
}

static int attach_locked(struct tol_segment *segment, struct attachment *a,
			 const struct tol_attach_opts *opts,
			 struct sys_stat *ret_stat)
{
	uint64_t span;
	int err = segment_check_fd(segment, ret_stat);

	if (err < 0)
		return err;
	if (a->is_writable) {
		err = segment_is_sealed(segment);
		if (err != 0)
			return err > 0 ? -EPERM : err;
		if (!segment->is_writable)
			return -EACCES;
	}
	span = ret_stat->size_bytes - segment->data_offset;
	if (span < opts->reserve_bytes)
		span = opts->reserve_bytes;
	span = round_to_pages(span);
	if (span > SIZE_MAX / 2)
		return -ENOMEM;
	a->span_bytes = (size_t)span;
	err = map_present(segment, a, opts);
	if (err < 0)
		return err;
	a->is_ready = !(opts->flags & FLAGS_OF_MEMORY);
	a->next = segment->attachments;
	segment->attachments = a;
	return 0;
}

/*
 * Huge pages first, since they are what is then touched; touched before
 * locked, so that lack of memory and lack of leave are told apart. May take
 * long, so the guard is not held.
 */
static int prepare_memory(const struct tol_segment *segment,
			  const struct attachment *a, unsigned int flags,
			  const struct sys_stat *st)
{
	uint64_t size_bytes = st->size_bytes - segment->data_offset;
	size_t huge_bytes = (size_t)(size_bytes / SEGMENT_HUGE_BYTES *
				     SEGMENT_HUGE_BYTES);
	int err = 0;

	if (st->size_bytes > st->memory_bytes &&
	    st->size_bytes - st->memory_bytes > sys_memory_left(segment->fd))
		return -ENOSPC;
	if (flags & TOL_ATTACH_HUGE) {
		if (!(segment->flags & SEGMENT_IS_HUGE) || huge_bytes == 0 ||
		    (uintptr_t)a->address % SEGMENT_HUGE_BYTES != 0)
			return -EOPNOTSUPP;
		err = sys_make_huge(a->address, huge_bytes);
	}
	if (err == 0 && (flags & (TOL_ATTACH_PREFAULT | TOL_ATTACH_LOCK)))
		err = sys_populate(a->address,
				   (size_t)round_to_pages(size_bytes),
				   a->is_writable);
	if (err == 0 && (flags & TOL_ATTACH_LOCK))
		err = sys_lock_memory(a->address,
				      (size_t)round_to_pages(size_bytes));
	return err;
}

/* For those who look at the segment; it may fail, and does once sealed. */
static void note_use(const struct tol_segment *segment, bool is_attach)
{
	struct segment_use_layout use = {
		.attached_unix_ns = sys_unix_ns(),
		.last_pid = (uint32_t)sys_pid(),
	};
	size_t first = is_attach ? 0
			: offsetof(struct segment_use_layout, last_pid);
	size_t end = is_attach
			? offsetof(struct segment_use_layout, detached_unix_ns)
			: sizeof(use);
	struct sys_stat st;

	use.detached_unix_ns = use.attached_unix_ns;
	if (segment->is_writable && segment_check_fd(segment, &st) == 0)
		segment_write_head(segment->fd, (const char *)&use + first,
				   end - first,
				   offsetof(struct segment_layout, use) + first);
}

static int finish_attach(struct tol_segment *segment, struct attachment *a,
			 unsigned int flags, const struct sys_stat *st)
{
	int err;

	if (!(flags & FLAGS_OF_MEMORY))
		return 0;
	err = prepare_memory(segment, a, flags, st);
	fork_guard_enter();
	if (err == 0) {
		a->is_ready = true;
	} else {
		unlist_attachment(segment, a->address);
		sys_unmap(a->address, a->span_bytes);
	}
	fork_guard_leave();
	return err;
}

int tol_segment_attach(struct tol_segment *segment,
		       const struct tol_attach_opts *opts, void **ret_address)
{
	static const struct tol_attach_opts defaults;
	struct attachment *a;
	struct sys_stat st;
	void *address;
	int err;

	if (!segment || !ret_address)
		return -EINVAL;
	if (!opts)
		opts = &defaults;
	err = check_attach(opts);
	if (err < 0)
		return err;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->is_writable = !(opts->flags & TOL_ATTACH_READONLY);
	a->is_inherited = !(opts->flags & TOL_ATTACH_NOFORK);
	a->fork_fd = -1;
	segment_guard_enter_again();
	err = attach_locked(segment, a, opts, &st);
	segment_guard_leave();
	if (err == 0)
		err = finish_attach(segment, a, opts->flags, &st);
	if (err < 0) {
		free(a);
		return err;
	}
	address = a->address;
	if (a->is_writable)
		note_use(segment, true);
	*ret_address = address;
	return 0;
}

/* ---- detach --------------------------------------------------------------- */

void segment_detach_all(struct tol_segment *segment)
{
	bool has_written = false;

	for (struct attachment *a = segment->attachments; a; a = a->next) {
		sys_unmap(a->address, a->span_bytes);
		has_written |= a->is_writable && !a->is_absent;
	}
	forget_attachments(segment);
	if (has_written)
		note_use(segment, false);
}

int tol_segment_detach(struct tol_segment *segment, void *address)
{
	struct attachment *a;
	bool has_written;

	if (!segment)
		return -EINVAL;
	segment_guard_enter_again();
	a = unlist_attachment(segment, address);
	if (a)
		sys_unmap(a->address, a->span_bytes);
	segment_guard_leave();
	if (!a)
		return -EINVAL;
	has_written = a->is_writable && !a->is_absent;
	free(a);
	if (has_written)
		note_use(segment, false);
	return 0;
}
