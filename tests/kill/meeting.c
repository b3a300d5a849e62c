/* SPDX-License-Identifier: MIT */
/* Capacity 0: those who meet, and those who wait and give up. */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "layout/mailbox.h"
#include "waiting.h"
#include "world.h"

static void make_meeting(void)
{
	must_be(tol_mailbox_create("box", 0, NULL), 1);
	must_be(tol_open(&link_here, "box", NULL), 0);
}

static void meeting_and_receiver(void)
{
	make_meeting();
	start_sleeping_receiver(0);
}

static void meeting_and_sender(void)
{
	make_meeting();
	start_sleeping_sender(0);
}

/* The first place, seen without touching anything. */
static unsigned int first_place(void)
{
	uint64_t word;
	int dir_fd = sys_open_dir(space);
	int fd = sys_open_read(dir_fd, "box");

	sys_close(dir_fd);
	must(fd >= 0);
	must(sys_pread(fd, &word, sizeof(word), MAILBOX_PAGE_BYTES) ==
	     sizeof(word));
	sys_close(fd);
	return meet_laps_ahead(word, 0) > 0 ? MEET_EMPTY : meet_state(word);
}

/* Nobody waits any more; and then two meet. */
static void check_meeting(void)
{
	uint64_t number = SLEEPERS_NUMBER;

	must_be(tol_send(link_here, &number, 8, TOL_NOWAIT), -EAGAIN);
	must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), -EAGAIN);
	start_sleeping_receiver(SLEEPERS_MAX - 1);
	must_be(tol_send(link_here, &number, 8, TOL_NOWAIT), 0);
	must_be(end_sleeper(SLEEPERS_MAX - 1), 8);
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must_be(look().dead_count, 0);
	must(look().held_msgs == 0);
}

/* Who waited is woken without anybody's help. */
static bool check_send_meets(void)
{
	bool happened = first_place() != MEET_REQUEST;
	uint64_t number = 0;

	if (!happened)
		must_be(tol_send(link_here, &number, 8, TOL_NOWAIT), 0);
	must_be(end_sleeper(0), 8);
	must_be(shared->sleepers[0].from,
		happened ? victim_pid : shared->sleepers[0].from);
	check_meeting();
	return happened;
}

/* The sender's message is not lost, unless the dead one had it. */
static bool check_recv_meets(void)
{
	bool happened = first_place() != MEET_OFFER;
	uint64_t number = 0;
	ssize_t n;

	if (happened)
		must_be(end_sleeper(0), 0);
	n = tol_recv(link_here, &number, 8, TOL_NOWAIT);
	must(n == 8 || (happened && n == -EAGAIN));
	if (!happened)
		must_be(end_sleeper(0), 0);
	if (n == 8)
		must_be((int64_t)number, SLEEPERS_NUMBER);
	check_meeting();
	return happened;
}

/* It leaves no trace. */
static bool check_gave_up(void)
{
	check_meeting();
	return false;
}

/* What it was given comes back, or it was done with it. */
static bool check_waited(void)
{
	take_all_by(link_here, 1);
	check_meeting();
	return count_missing() > 0;
}

/* ---- stopped: nobody else waits for it ---- */

static int64_t others_result;

/* Two others meet, while it is stopped. */
static void others_meet(void)
{
	uint64_t number = SLEEPERS_NUMBER;

	start_sleeping_receiver(1);
	must_be(tol_send(link_here, &number, 8, TOL_NOWAIT), 0);
	must_be(end_sleeper(1), 8);
}

/* Whom it has met, and not yet woken, is by the next call; else by that one's own. */
static void others_meet_receiver(void)
{
	uint64_t number = SLEEPERS_NUMBER;

	if (first_place() == MEET_REQUEST) {
		others_result = 0;
		must_be(tol_send(link_here, &number, 8, TOL_NOWAIT), 0);
	} else {
		others_result = -EAGAIN;
		must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), -EAGAIN);
	}
	must_be(end_sleeper(0), 8);
	others_meet();
}

static void others_meet_sender(void)
{
	uint64_t number;
	bool is_waiting = first_place() == MEET_OFFER;

	others_result = tol_recv(link_here, &number, 8, TOL_NOWAIT);
	must_be(others_result, is_waiting ? 8 : -EAGAIN);
	must_be(end_sleeper(0), 0);
	others_meet();
}

/* One of two had what there was for one. */
static void resumed_meets(void)
{
	if (others_result == -EAGAIN)
		must(shared->result >= 0);
	else
		must_be(shared->result, -EAGAIN);
	check_meeting();
}

static void others_try_recv(void)
{
	uint64_t number;

	others_result = tol_recv(link_here, &number, 8, TOL_NOWAIT);
	must(others_result == 8 || others_result == -EAGAIN);
	others_meet();
}

static void others_try_send(void)
{
	uint64_t number = SLEEPERS_NUMBER;

	others_result = tol_send(link_here, &number, 8, TOL_NOWAIT);
	must(others_result == 0 || others_result == -EAGAIN);
	if (others_result == 0) {
		/* It is the stopped one's, who may sleep now. */
		start_sleeping_sender(1);
		must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), 8);
		must_be(end_sleeper(1), 0);
	} else {
		others_meet();
	}
}

static void resumed_gave_up(void)
{
	if (others_result == -EAGAIN)
		must_be(shared->result, -ETIMEDOUT);
	else
		must(shared->result >= 0);
	check_meeting();
}

/* ---- with a selection: others wait, on both sides, whom it does not suit ---- */

#define WANTED_TAG 7u

static ssize_t select_by(struct tol_link *link, uint64_t tag,
			 int64_t timeout_ns)
{
	const struct tol_select select = {
		.by = TOL_SELECT_TAG_RANGE, .first_tag = tag, .last_tag = tag,
	};
	struct tol_message message;

	return tol_recv_select(link, &select, scratch(), 8, timeout_ns,
			       &message);
}

static void op_select_forever(void)
{
	shared->result = select_by(link_victim, WANTED_TAG, TOL_FOREVER);
}

/* What sleepers send has no tag. */
static void op_select_untagged(void)
{
	shared->result = select_by(link_victim, 0, TOL_NOWAIT);
}

static int send_wanted(struct tol_link *link, int64_t timeout_ns)
{
	const struct tol_send_opts opts = { .tag = WANTED_TAG };

	return tol_send_message(link, "wanted..", 8, timeout_ns, &opts);
}

/* What it does not want waits beside it; then what it wants. */
static void put_wanted(void)
{
	start_sleeping_sender(0);
	must_be(send_wanted(link_here, TOL_NOWAIT), 0);
}

/* The other one still waits, and is met. */
static void meet_the_other(void)
{
	uint64_t number = 0;

	must_be(tol_recv(link_here, &number, 8, TOL_NOWAIT), 8);
	must_be((int64_t)number, SLEEPERS_NUMBER);
	must_be(end_sleeper(0), 0);
}

/* What it had met comes back, once, unless it was done with it. */
static bool check_selected(void)
{
	ssize_t n = select_by(link_here, WANTED_TAG, TOL_NOWAIT);

	must(n == -EAGAIN || (n == 8 && has_acted));
	must_be(select_by(link_here, WANTED_TAG, TOL_NOWAIT), -EAGAIN);
	if (has_acted)
		meet_the_other();
	check_meeting();
	return has_acted && n == -EAGAIN;
}

static pid_t wanted_pid;

static int send_wanted_forever(int index)
{
	struct tol_link *link = NULL;

	(void)index;
	return tol_open(&link, "box", NULL) < 0 ||
	       send_wanted(link, TOL_FOREVER) < 0;
}

/* One that it wants comes once others have met, or has come. */
static void others_pass_it_by(void)
{
	if (has_acted)
		meet_the_other();
	others_meet();
	if (!has_acted)
		wanted_pid = start_child(send_wanted_forever, 1);
}

static void resumed_selects(void)
{
	must_be(shared->result, 8);
	if (!has_acted)
		must_be(end_child(wanted_pid), 0);
	must_be(select_by(link_here, WANTED_TAG, TOL_NOWAIT), -EAGAIN);
	check_meeting();
}

#define MEETS(name_, op_)						\
	.name = name_, .size_bytes = 8, .prepare = open_victim, .op = op_
#define GIVES_UP(name_, op_)						\
	.name = name_, .size_bytes = 8, .set_up = make_meeting,		\
	.prepare = open_with_fake_clock, .op = op_, .check = check_gave_up, \
	.resumed = resumed_gave_up, .variants = 1

const struct scenario meeting_scenarios[] = {
	{ MEETS("send, meeting one that waits", op_send),
	  .set_up = meeting_and_receiver, .check = check_send_meets,
	  .flip = "meet_match", .others = others_meet_receiver,
	  .resumed = resumed_meets, .variants = 1 },
	{ MEETS("recv, meeting one that waits", op_recv),
	  .set_up = meeting_and_sender, .check = check_recv_meets,
	  .flip = "meet_match", .others = others_meet_sender,
	  .resumed = resumed_meets, .variants = 1 },
	{ MEETS("send, meeting nobody", op_send), .set_up = make_meeting,
	  .check = check_gave_up },
	{ GIVES_UP("send, meeting nobody in time", op_send_timed),
	  .others = others_try_recv },
	{ GIVES_UP("recv, meeting nobody in time", op_recv_timed),
	  .others = others_try_send },
	{ MEETS("recv, asleep, then met", op_recv_forever),
	  .set_up = make_meeting, .act = put, .check = check_waited,
	  .flip = "hold_ack" },
	{ MEETS("recv with a selection, meeting one that waits",
		op_select_untagged),
	  .set_up = meeting_and_sender, .check = check_recv_meets,
	  .flip = "meet_match", .others = others_meet_sender,
	  .resumed = resumed_meets, .variants = 1 },
	{ MEETS("recv with a selection, asleep, then met", op_select_forever),
	  .set_up = make_meeting, .act = put_wanted, .check = check_selected,
	  .flip = "hold_ack", .others = others_pass_it_by,
	  .resumed = resumed_selects, .variants = 1 },
	{ .name = NULL },
};
