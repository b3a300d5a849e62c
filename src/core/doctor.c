/* SPDX-License-Identifier: MIT */
/*
 * tol_mailbox_verify(), tol_mailbox_repair().
 *
 * Who repairs must be alone: one who is past the look at the state may still send,
 * and the message would be in the old file. So the mailbox is quarantined, which
 * nobody passes from then on, and then the locks of all participants are looked at,
 * in this order: who has passed has locked before. The repairer itself locks a byte
 * of its own, so there is one.
 *
 * Crash: a mailbox in quarantine, as before; else doctor_build.c.
 */
#include "core/doctor.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/fork.h"
#include "base/presence.h"

/* While others use it. */
#define LOOKS_MAX 8

static enum tol_mailbox_state state_of(const struct exam *exam)
{
	switch (exam->head.control & CONTROL_STATE_MASK) {
	case CONTROL_LIVE:
	case CONTROL_REMOVING:
		return TOL_MAILBOX_LIVE;
	case CONTROL_REMOVED:
		return TOL_MAILBOX_REMOVED;
	default:
		return TOL_MAILBOX_QUARANTINED;
	}
}

static void make_health(const struct exam *exam,
			struct tol_mailbox_health *health)
{
	memset(health, 0, sizeof(*health));
	health->state = state_of(exam);
	health->readable_msgs = exam->found_count;
	for (uint64_t i = 0; i < exam->flaws_count; i++) {
		if (exam->flaws[i].kind == TOL_FINDING_LOST)
			health->lost_msgs++;
		else
			health->damage_count++;
	}
	health->is_sound = exam->flaws_count == 0 &&
			   health->state == TOL_MAILBOX_LIVE;
}

static void report(const struct exam *exam,
		   void (*visit)(const struct tol_finding *, void *),
		   void *context)
{
	static const char *const places[] = { "came back", "queue",
					      "dead letter" };
	struct tol_finding finding;

	for (uint64_t i = 0; visit && i < exam->flaws_count; i++) {
		finding = (struct tol_finding){
			.kind = exam->flaws[i].kind,
			.where = exam->flaws[i].where,
			.what = exam->flaws[i].what,
			.position = exam->flaws[i].position,
		};
		visit(&finding, context);
	}
	for (uint64_t i = 0; visit && i < exam->found_count; i++) {
		finding = (struct tol_finding){
			.kind = TOL_FINDING_READABLE,
			.where = places[exam->found[i].kind],
			.what = "",
			.position = exam->found[i].position,
			.size_bytes = exam->found[i].size_bytes,
		};
		visit(&finding, context);
	}
}

/* Also true if it cannot be told. */
static bool is_used(int fd)
{
	struct presence found;

	return presence_find(fd, 0, MAILBOX_PARTICIPANTS_MAX, &found) != 0;
}

static int open_for(struct space *space, const char *name,
		    const struct tol_mailbox_opts *opts, bool writable)
{
	int fd, err;

	if (space_check_name(name) < 0)
		return -EINVAL;
	err = space_open(space, opts ? opts->space : NULL, false);
	if (err < 0)
		return err;
	fd = space_open_object(space, name, writable, NULL);
	if (fd < 0)
		space_close(space);
	return fd;
}

int tol_mailbox_verify(const char *name, const struct tol_mailbox_opts *opts,
		       struct tol_mailbox_health *ret_health,
		       void (*visit)(const struct tol_finding *finding,
				     void *context),
		       void *context)
{
	struct exam exam;
	struct space space;
	int fd, err;

	if (!ret_health)
		return -EINVAL;
	fd = open_for(&space, name, opts, false);
	if (fd < 0)
		return fd;
	err = exam_begin(&exam, fd, &space);
	for (int i = 0; i < LOOKS_MAX && err > 0; i++) {
		err = exam_run(&exam);
		if (err == 0 && exam.flaws_count > 0 && is_used(fd))
			err = 1;
	}
	if (err >= 0) {
		make_health(&exam, ret_health);
		report(&exam, visit, context);
		err = !ret_health->is_sound;
	}
	exam_fini(&exam);
	sys_close(fd);
	space_close(&space);
	return err;
}

/* Nobody begins anything from here on, and nobody is at it. Return: 0; -EBUSY */
static int shut_out(int fd, const struct exam *exam)
{
	struct mailbox_layout *head;
	uint64_t seen;
	void *address;
	int err;

	if (is_used(fd))
		return -EBUSY;
	/* So short that nobody can open it, or it is touched by none. */
	if (exam->st.size_bytes < MAILBOX_PAGE_BYTES)
		return 0;
	err = sys_map(fd, 0, MAILBOX_PAGE_BYTES, true, NULL, &address);
	if (err < 0)
		return err;
	head = address;
	seen = load_acquire_64(&head->control);
	while (!cas_64(&head->control, &seen, CONTROL_QUARANTINED))
		;
	fence_after_rmw();
	if (is_used(fd)) {
		uint64_t ours = CONTROL_QUARANTINED;

		if ((seen & CONTROL_STATE_MASK) == CONTROL_LIVE)
			cas_64(&head->control, &ours, CONTROL_LIVE);
		err = -EBUSY;
	}
	sys_unmap(address, MAILBOX_PAGE_BYTES);
	return err;
}

static bool is_removed(const struct exam *exam, const char *name)
{
	struct presence found;
	struct sys_stat st;

	return sys_stat_at(exam->space->fd, name, &st) < 0 ||
	       st.inode != exam->st.inode ||
	       presence_find(exam->fd, MAILBOX_REMOVER_BASE,
			     MAILBOX_REMOVERS_COUNT, &found) != 0;
}

/* Return: 0 it was sound; 1 repaired; -errno */
static int repair(struct exam *exam, const char *name)
{
	int err = exam_run(exam);

	if (err < 0)
		return err;
	if (exam->flaws_count == 0 && state_of(exam) == TOL_MAILBOX_LIVE)
		return 0;
	if (is_removed(exam, name))
		return -EBUSY;
	err = shut_out(exam->fd, exam);
	if (err < 0)
		return err;
	err = exam_run(exam);
	if (err == 0)
		err = exam_rebuild(exam, name);
	return err < 0 ? err : 1;
}

static int repair_open(const struct space *space, const char *name, int fd,
		       struct tol_mailbox_health *ret_health,
		       void (*visit)(const struct tol_finding *, void *),
		       void *context)
{
	struct exam exam;
	int err;

	err = presence_take(fd, PRESENCE_REPAIRER, false);
	if (err < 0)
		return err == -EAGAIN ? -EBUSY : err;
	err = exam_begin(&exam, fd, space);
	if (err > 0 && is_used(fd)) {
		/* It may be sound: that is no reason to fail. */
		err = exam_run(&exam);
		if (err == 0 && (exam.flaws_count > 0 ||
				 state_of(&exam) != TOL_MAILBOX_LIVE))
			err = -EBUSY;
	} else if (err > 0) {
		err = repair(&exam, name);
	} else if (err == 0) {
		err = -EBADMSG;
	}
	if (err >= 0 || exam.flaws_count > 0)
		report(&exam, visit, context);
	if (err >= 0) {
		make_health(&exam, ret_health);
		ret_health->is_repaired = err == 1;
	}
	exam_fini(&exam);
	return err;
}

/* The fork guard: a child would keep the repairer's lock. */
int tol_mailbox_repair(const char *name, const struct tol_mailbox_opts *opts,
		       struct tol_mailbox_health *ret_health,
		       void (*visit)(const struct tol_finding *finding,
				     void *context),
		       void *context)
{
	struct space space;
	int fd, err;

	if (!ret_health)
		return -EINVAL;
	err = fork_init();
	if (err < 0)
		return err;
	fork_guard_enter();
	fd = open_for(&space, name, opts, true);
	if (fd >= 0) {
		err = repair_open(&space, name, fd, ret_health, visit, context);
		sys_close(fd);
		space_close(&space);
	} else {
		err = fd;
	}
	fork_guard_leave();
	return err;
}
