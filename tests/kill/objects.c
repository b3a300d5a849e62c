/* SPDX-License-Identifier: MIT */
/* Create, open, close and remove, and those who sleep on what is removed. */
#include <errno.h>

#include "layout/mailbox.h"
#include "world.h"

static void op_create(void)
{
	shared->result = tol_mailbox_create("box", CAPACITY, NULL);
}

static void op_close(void)
{
	tol_close(link_victim);
}

/* ---- killed ---- */

static bool check_create(void)
{
	int err = tol_open(&link_here, "box", NULL);

	if (err == -ENOENT) {
		must_be(tol_mailbox_create("box", 1, NULL), 1);
		return false;
	}
	must_be(err, 0);
	must_be(tol_mailbox_create("box", 1, NULL), -EEXIST);
	check_usable(link_here);
	return true;
}

/* No trace of it, once it is dead. */
static bool check_nothing(void)
{
	take_all_by(link_here, 0);
	check_usable(link_here);
	must_be(look().senders_count, 1);
	must_be(look().receivers_count, 1);
	return false;
}

static void check_is_gone(void)
{
	must(is_name_gone());
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	must_be(tol_recv(link_here, NULL, 0, TOL_NOWAIT), -EIDRM);
	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
}

static bool check_remove(void)
{
	if (is_name_gone()) {
		check_is_gone();
		return true;
	}
	take_all_by(link_here, 0);
	check_usable(link_here);
	/* Who used it has found its remover dead. */
	must_be((int64_t)control_word(), CONTROL_LIVE);
	return false;
}

static void two_receivers(void)
{
	world_fill();
	start_sleeping_receiver(0);
	start_sleeping_receiver(1);
}

static void two_senders(void)
{
	world_fill();
	start_sleeping_sender(0);
	start_sleeping_sender(1);
}

static void end_sleepers(int64_t result)
{
	must_be(end_sleeper(0), result);
	must_be(end_sleeper(1), result);
}

/* Unaided: the kernel wakes one of the two, who must tell the other. */
static bool check_remove_receivers(void)
{
	if (is_name_gone()) {
		end_sleepers(-EIDRM);
		check_is_gone();
		return true;
	}
	must_be(tol_send(link_here, "12345678", 8, TOL_NOWAIT), 0);
	must_be(tol_send(link_here, "12345678", 8, TOL_NOWAIT), 0);
	end_sleepers(8);
	return check_remove();
}

static bool check_remove_senders(void)
{
	if (is_name_gone()) {
		end_sleepers(-EIDRM);
		check_is_gone();
		return true;
	}
	must_be(take(), FROM_HERE);
	must_be(take(), FROM_HERE);
	end_sleepers(0);
	return check_remove();
}

/* ---- create, stopped: 0 others have it, 1 others have had it ---- */

static bool is_victims;		/* the name led to the victim's mailbox */

static void others_create(void)
{
	int err = tol_mailbox_create("box", CAPACITY, NULL);

	is_victims = err == -EEXIST;
	must(is_victims || err == 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
	others_use_it();
	put();
	if (variant == 0)
		return;
	must_be(tol_mailbox_remove("box", NULL), 0);
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	tol_close(link_here);
	link_here = NULL;
}

static void resumed_create(void)
{
	if (variant == 0) {
		must_be(shared->result, is_victims ? 1 : -EEXIST);
		must_be(take(), FROM_HERE);
		check_usable(link_here);
		return;
	}
	must_be(shared->result, 1);
	must_be(is_name_gone(), is_victims);
	if (is_victims)
		return;
	must_be(tol_open(&link_here, "box", NULL), 0);
	check_usable(link_here);
}

/* ---- open and close, stopped: 0 used, 1 removed, 2 and made anew ---- */

static void others_of_opener(void)
{
	others_use_it();
	if (variant == 0)
		return;
	must_be(tol_mailbox_remove("box", NULL), 0);
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	if (variant == 2)
		must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
}

/* In the victim. */
static void send_if_open(void)
{
	if (shared->result == 0)
		shared->words[0] = (uint64_t)(int64_t)tol_send(
			link_victim, "from it.", 8, TOL_NOWAIT);
}

static void resumed_open(void)
{
	int64_t sent = (int64_t)shared->words[0];
	struct tol_link *fresh;
	uint64_t number;

	if (variant == 0) {
		must_be(shared->result, 0);
		must_be(sent, 0);
		must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), 8);
		check_usable(link_here);
		return;
	}
	if (shared->result < 0)
		must_be(shared->result, -ENOENT);
	else if (sent < 0)
		must_be(sent, -EIDRM);
	if (variant == 1) {
		must(is_name_gone());
		must(shared->result < 0 || sent < 0);
		return;
	}
	must_be(tol_open(&fresh, "box", NULL), 0);
	if (shared->result == 0 && sent == 0)
		must_be(tol_recv(fresh, &number, 8, TOL_NOWAIT), 8);
	check_usable(fresh);
	tol_close(fresh);
}

static void resumed_close(void)
{
	if (variant == 0)
		check_usable(link_here);
	else
		must_be(is_name_gone(), variant == 1);
}

/* ---- remove, stopped: 0 others use it, 1 remove it and make it anew ---- */

static struct tol_link *link_new;

static void others_of_remover(void)
{
	int err;

	if (variant == 0) {
		if (is_name_gone())
			must_be(tol_send(link_here, "x", 1, TOL_NOWAIT),
				-EIDRM);
		else
			others_use_it();
		return;
	}
	err = tol_mailbox_remove("box", NULL);
	must(err == 0 || err == -ENOENT);
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	must_be(tol_mailbox_create("box", CAPACITY, NULL), 1);
	must_be(tol_open(&link_new, "box", NULL), 0);
	check_usable(link_new);
}

static void resumed_remove(void)
{
	must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
	if (variant == 0) {
		must_be(shared->result, 0);
		must(is_name_gone());
		return;
	}
	/* What bears the name when it goes on is what it may remove. */
	if (is_name_gone()) {
		must_be(shared->result, 0);
		must_be(tol_send(link_new, "x", 1, TOL_NOWAIT), -EIDRM);
	} else {
		must(shared->result == 0 || shared->result == -ENOENT);
		check_usable(link_new);
	}
	tol_close(link_new);
}

/* The first who uses it tells those who sleep, if it has been removed. */
static void others_end_receivers(void)
{
	if (is_name_gone()) {
		must_be(tol_send(link_here, "x", 1, TOL_NOWAIT), -EIDRM);
		end_sleepers(-EIDRM);
		return;
	}
	must_be(tol_send(link_here, "12345678", 8, TOL_NOWAIT), 0);
	must_be(tol_send(link_here, "12345678", 8, TOL_NOWAIT), 0);
	end_sleepers(8);
}

static void others_end_senders(void)
{
	if (is_name_gone()) {
		must_be(tol_recv(link_here, NULL, 0, TOL_NOWAIT), -EIDRM);
		end_sleepers(-EIDRM);
		return;
	}
	must_be(take(), FROM_HERE);
	must_be(take(), FROM_HERE);
	end_sleepers(0);
}

const struct scenario object_scenarios[] = {
	{ .name = "create", .size_bytes = 8, .set_up = world_nothing,
	  .op = op_create, .check = check_create, .flip = "linkat",
	  .others = others_create, .resumed = resumed_create, .variants = 2 },
	{ .name = "open", .queued = 1, .size_bytes = 8, .set_up = world_fill,
	  .op = op_open, .after = send_if_open, .check = check_nothing,
	  .others = others_of_opener, .resumed = resumed_open, .variants = 3 },
	{ .name = "close", .queued = 1, .size_bytes = 8,
	  .set_up = world_fill, .prepare = open_victim, .op = op_close,
	  .check = check_nothing, .others = others_of_opener,
	  .resumed = resumed_close, .variants = 3 },
	{ .name = "remove", .queued = 2, .size_bytes = 8,
	  .set_up = world_fill, .op = op_remove, .check = check_remove,
	  .flip = "renameat2", .others = others_of_remover,
	  .resumed = resumed_remove, .variants = 2 },
	{ .name = "remove, receivers asleep", .size_bytes = 8,
	  .set_up = two_receivers, .op = op_remove,
	  .check = check_remove_receivers, .flip = "renameat2",
	  .others = others_end_receivers, .resumed = resumed_remove,
	  .variants = 1 },
	{ .name = "remove, senders asleep", .queued = CAPACITY,
	  .size_bytes = 8, .set_up = two_senders, .op = op_remove,
	  .check = check_remove_senders, .flip = "renameat2",
	  .others = others_end_senders, .resumed = resumed_remove,
	  .variants = 1 },
	{ .name = NULL },
};
