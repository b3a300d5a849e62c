/* SPDX-License-Identifier: MIT */
/*
 * The control word: LIVE, REMOVING, REMOVED, QUARANTINED.
 * doc/mailbox-protocol.md, section 5; models/remove.pml.
 *
 * The removal happens when the name is renamed away, by the remover's one
 * system call. REMOVING is announced before it, so that whoever uses the mailbox
 * then looks whether the name still leads to it, and finishes or undoes what a
 * dead remover began.
 */
#include <errno.h>

#include "base/presence.h"
#include "core/bell.h"
#include "core/body_file.h"
#include "core/mailbox_state.h"
#include "core/participant.h"
#include "core/peek.h"
#include "core/space.h"
#include "core/watch.h"

_Static_assert(ECHILD == 10, "link_check() has it as a number");

/* The word says REMOVED, everybody is told, and the file loses its last name. */
static void finish_removal(struct mailbox_layout *head,
			   const struct futex_ops *futex, int dir_fd,
			   uint64_t inode)
{
	uint64_t seen = load_acquire_64(&head->control);
	char name[SPACE_REMOVED_NAME_BYTES];
	struct sys_stat st;

	while (seen != CONTROL_REMOVED &&
	       !cas_64(&head->control, &seen, CONTROL_REMOVED))
		;
	bell_ring_all(head, futex);
	space_make_removed_name(name, inode);
	if (sys_stat_at(dir_fd, name, &st) == 0 && st.inode == inode)
		sys_unlink(dir_fd, name);
}

/* Is anybody removing it? Also if that cannot be told. */
static bool is_being_removed(struct tol_link *link)
{
	struct presence found;
	int fd = link_reopen(link, false);
	bool is_being = true;

	if (fd >= 0) {
		is_being = presence_find(fd, MAILBOX_REMOVER_BASE,
					 MAILBOX_REMOVERS_COUNT, &found) != 0;
		sys_close(fd);
	}
	return is_being;
}

/*
 * Does the name still lead to this mailbox? If so the removal has not happened,
 * and if nobody was at it before this look it never will. In this order: a
 * remover could take the name and die between the two looks. The swap fails if a
 * new one has announced itself.
 */
static int look_at_name(struct tol_link *link, uint64_t control)
{
	bool is_being = is_being_removed(link);
	struct space space;
	struct sys_stat st;
	int err;

	err = space_open(&space, link->space_path, false);
	/* It cannot be told: then it has not been removed for this process. */
	if (err < 0)
		return err == -ENOENT ? -EIDRM : 0;
	err = sys_stat_at(space.fd, link->name, &st);
	if (err == -ENOENT || (err == 0 && (st.inode != link->inode ||
					    st.device != link->device))) {
		finish_removal(link->head, link->futex, space.fd, link->inode);
		space_close(&space);
		return -EIDRM;
	}
	space_close(&space);
	if (err == 0 && !is_being)
		cas_64(&link->head->control, &control, CONTROL_LIVE);
	return 0;
}

int link_state_slow(struct tol_link *link, uint64_t control)
{
	switch (control & CONTROL_STATE_MASK) {
	case CONTROL_REMOVING:
		return look_at_name(link, control);
	case CONTROL_REMOVED:
		/* Killed or stopped, who wrote that may not have told all. */
		bell_ring_all(link->head, link->futex);
		watch_ring_all(link);
		return -EIDRM;
	default:
		bell_ring_all(link->head, link->futex);
		watch_ring_all(link);
		return -EBADMSG;
	}
}

int link_quarantine(struct tol_link *link)
{
	uint64_t live = CONTROL_LIVE;

	if (cas_64(&link->head->control, &live, CONTROL_QUARANTINED)) {
		bell_ring_all(link->head, link->futex);
		watch_ring_all(link);
	}
	return load_acquire_64(&link->head->control) == CONTROL_REMOVED
		       ? -EIDRM : -EBADMSG;
}

/* The files of bodies of a mailbox that is gone. */
struct remnant {
	int dir_fd;
	uint64_t id;
};

static int remove_file_of_body(const char *name, void *context)
{
	struct body_file_name parsed;
	const struct remnant *remnant = context;

	if (body_file_parse(name, &parsed) && parsed.id == remnant->id)
		sys_unlink(remnant->dir_fd, name);
	return 0;
}

void mailbox_remove_body_files(int dir_fd, uint64_t id)
{
	struct remnant remnant = { .dir_fd = dir_fd, .id = id };

	sys_list_dir(dir_fd, remove_file_of_body, &remnant);
}

/*
 * Takes the name away, if it still leads to a file of that number. What another
 * removal and creation put there meanwhile is what is removed: it bears the name.
 */
static int take_name_away(const struct space *space, const char *name,
			  uint64_t *inode)
{
	char removed_name[SPACE_REMOVED_NAME_BYTES];
	struct sys_stat st;
	int err;

	space_make_removed_name(removed_name, *inode);
	err = sys_rename_new(space->fd, name, removed_name);
	/* Not possible here, or a remnant is in the way. */
	if (err == -EINVAL || err == -ENOSYS || err == -EEXIST)
		return sys_unlink(space->fd, name);
	if (err < 0)
		return err;
	err = sys_stat_at(space->fd, removed_name, &st);
	if (err == 0)
		*inode = st.inode;
	return 0;
}

int mailbox_finish_removed(const struct space *space, const char *hidden_name)
{
	struct mailbox_geometry geometry;
	struct mailbox_layout head, *shared;
	struct sys_stat st;
	void *address;
	int fd, err;

	fd = space_open_object(space, hidden_name, true, &st);
	if (fd < 0)
		return fd;
	err = peek_head(fd, &head, &geometry);
	if (err == 0)
		err = sys_map(fd, 0, MAILBOX_PAGE_BYTES, true, NULL, &address);
	if (err == 0) {
		shared = address;
		finish_removal(shared, &futex_kernel_ops, space->fd, st.inode);
		sys_unmap(address, MAILBOX_PAGE_BYTES);
		if (head.has_body_files)
			mailbox_remove_body_files(space->fd, head.id);
	}
	sys_close(fd);
	return sys_unlink(space->fd, hidden_name) == -ENOENT ? 0 : err;
}

/*
 * Each remover announces itself, also over another one. Those who sleep, or are
 * about to, wake and see it: from then on they sleep for short times only.
 */
static void announce_removal(int fd, struct mailbox_layout *head)
{
	uint64_t number, word, seen = load_acquire_64(&head->control);

	do {
		number = sys_random() % MAILBOX_REMOVERS_COUNT;
	} while (presence_take(fd, MAILBOX_REMOVER_BASE + number, false) ==
		 -EAGAIN);
	word = CONTROL_REMOVING | number << CONTROL_NUMBER_SHIFT;
	do {
		if ((seen & CONTROL_STATE_MASK) != CONTROL_LIVE &&
		    (seen & CONTROL_STATE_MASK) != CONTROL_REMOVING)
			return;
	} while (!cas_64(&head->control, &seen, word));
	bell_ring_all(head, &futex_kernel_ops);
}

/*
 * -ENOENT from taking the name means that another remover has it: that one may be
 * dead by now, so the removal is finished here as well. If the name cannot be
 * taken the announcement stays; the next user sees that nobody is at it.
 */
static int remove_announced(const struct space *space, const char *name,
			    struct mailbox_layout *head, uint64_t own_inode)
{
	char removed_name[SPACE_REMOVED_NAME_BYTES];
	uint64_t inode = own_inode;
	int err = take_name_away(space, name, &inode);

	if ((err == 0 && inode == own_inode) || err == -ENOENT) {
		finish_removal(head, &futex_kernel_ops, space->fd, own_inode);
		if (load_relaxed_32(&head->has_body_files))
			mailbox_remove_body_files(space->fd, head->id);
		return err;
	}
	if (err < 0)
		return err;
	space_make_removed_name(removed_name, own_inode);
	return mailbox_finish_removed(space, removed_name);
}

static int remove_open(const struct space *space, const char *name, int fd,
		       const struct sys_stat *st)
{
	struct mailbox_geometry geometry;
	struct mailbox_layout copy, *head;
	struct robust_saved armed;
	void *address;
	int err;

	err = peek_head(fd, &copy, &geometry);
	if (err == -EMEDIUMTYPE)
		return err;
	if (err < 0) {
		int removed = sys_unlink(space->fd, name);

		return removed < 0 ? removed : err;
	}
	err = sys_map(fd, 0, MAILBOX_PAGE_BYTES, true, NULL, &address);
	if (err < 0)
		return err;
	head = address;
	/* Killed from here on, a sleeper wakes and looks at the name. */
	armed = robust_arm(&head->bell);
	announce_removal(fd, head);
	err = remove_announced(space, name, head, st->inode);
	robust_disarm(armed);
	sys_unmap(address, MAILBOX_PAGE_BYTES);
	return err;
}

int tol_mailbox_remove(const char *name, const struct tol_mailbox_opts *opts)
{
	struct space space;
	struct sys_stat st;
	int fd, err;

	err = space_check_name(name);
	if (err == 0)
		err = fork_init();
	if (err == 0)
		err = space_open(&space, opts ? opts->space : NULL, false);
	if (err < 0)
		return err;
	/* A child with a copy of the description would count as the remover. */
	fork_guard_enter();
	fd = space_open_object(&space, name, true, &st);
	if (fd >= 0) {
		err = remove_open(&space, name, fd, &st);
		sys_close(fd);
	} else {
		err = fd;
	}
	fork_guard_leave();
	space_close(&space);
	return err;
}
