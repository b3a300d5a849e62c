/* SPDX-License-Identifier: MIT */
/*
 * Those who clean up after the dead are killed as well. What the first dead one
 * left is made anew for each trial.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "layout/mailbox.h"
#include "world.h"

/* ---- a sender died: 2 MiB queued, and as much not yet sent ---- */

static int count_body_files(void)
{
	DIR *dir = opendir(space);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += strncmp(entry->d_name, ".body.", 6) == 0;
	if (dir)
		closedir(dir);
	return count;
}

static bool is_second_body_there(void)
{
	return count_body_files() == 2;
}

/* Its pid is taken for the victim's: it is the one whose messages count. */
static void op_send_two(void)
{
	struct tol_link *link;

	make_body(scratch(), BODY_MAX_BYTES, VICTIMS_NUMBER);
	if (tol_open(&link, "box", NULL) < 0 ||
	    tol_send(link, scratch(), 100 << 10, TOL_NOWAIT) < 0 ||
	    tol_send(link, scratch(), BODY_MAX_BYTES, TOL_NOWAIT) < 0)
		return;
	tol_send(link, scratch(), BODY_MAX_BYTES, TOL_NOWAIT);
}

static void dead_sender(void)
{
	world_fill();
	leave_dead(op_send_two, is_second_body_there);
}

static void take_body(size_t size_bytes)
{
	must_be(tol_recv(link_here, scratch(), BODY_MAX_BYTES, TOL_NOWAIT),
		(int64_t)size_bytes);
	if (!is_body_of(scratch(), size_bytes, VICTIMS_NUMBER))
		fail("what the dead sender left is torn");
}

static bool check_dead_sender(void)
{
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	/* The body that is queued stays, the other one goes. */
	must_be(count_body_files(), 1);
	take_body(100 << 10);
	take_body(BODY_MAX_BYTES);
	must_be(count_body_files(), 0);
	check_usable(link_here);
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must_be(look().senders_count, 1);
	return false;
}

static void op_clean(void)
{
	shared->result = tol_space_clean(NULL, 0, NULL, NULL);
}

static void others_of_heir(void)
{
	take_body(100 << 10);
	take_body(BODY_MAX_BYTES);
	others_use_it();
}

static void resumed_heir(void)
{
	must(shared->result >= 0);
	check_usable(link_here);
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must_be(count_body_files(), 0);
}

/* ---- a remover died before the rename: the user who undoes it ---- */

static int open_and_announce(void)
{
	int err = open_victim();

	if (err == 0)
		leave_dead(op_remove, is_removing);
	return err;
}

static bool check_undone(void)
{
	bool happened = check_send();

	must_be((int64_t)control_word(), CONTROL_LIVE);
	return happened;
}

static void announced(void)
{
	world_fill();
	leave_dead(op_remove, is_removing);
}

static bool check_removed(void)
{
	if (is_name_gone()) {
		must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
		return true;
	}
	take_all_by(link_here, 0);
	check_usable(link_here);
	must_be((int64_t)control_word(), CONTROL_LIVE);
	return false;
}

/* ---- a remover died after the rename: who finishes it ---- */

static int open_and_half_remove(void)
{
	int err = open_victim();

	if (err == 0)
		leave_dead(op_remove, is_name_gone);
	return err;
}

static void half_removed(void)
{
	world_fill();
	leave_dead(op_remove, is_name_gone);
}

static bool check_gone(void)
{
	must(is_name_gone());
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
	return false;
}

static void others_find_it_gone(void)
{
	check_gone();
}

static void resumed_finisher(void)
{
	must(shared->result == -EIDRM || shared->result >= 0);
	must(!is_name_gone());
}

const struct scenario recovery_scenarios[] = {
	{ .name = "open, as heir of a dead sender", .size_bytes = 8,
	  .set_up = dead_sender, .op = op_open, .check = check_dead_sender,
	  .others = others_of_heir, .resumed = resumed_heir, .variants = 1 },
	{ .name = "clean, after a dead sender", .size_bytes = 8,
	  .set_up = dead_sender, .op = op_clean, .check = check_dead_sender,
	  .others = others_of_heir, .resumed = resumed_heir, .variants = 1 },
	{ .name = "send, undoing a removal", .queued = 1, .size_bytes = 8,
	  .set_up = world_fill, .prepare = open_and_announce, .op = op_send,
	  .check = check_undone, .flip = "ring_publish",
	  .others = others_use_it, .resumed = resumed_send, .variants = 1 },
	{ .name = "remove, after a dead remover", .queued = 1,
	  .size_bytes = 8, .set_up = announced, .op = op_remove,
	  .check = check_removed, .flip = "renameat2" },
	{ .name = "send, finishing a removal", .queued = 1, .size_bytes = 8,
	  .set_up = world_fill, .prepare = open_and_half_remove,
	  .op = op_send, .check = check_gone, .others = others_find_it_gone,
	  .resumed = resumed_finisher, .variants = 1 },
	{ .name = "clean, finishing a removal", .queued = 1, .size_bytes = 8,
	  .set_up = half_removed, .op = op_clean, .check = check_gone,
	  .others = others_find_it_gone, .resumed = resumed_finisher,
	  .variants = 1 },
	{ .name = NULL },
};
