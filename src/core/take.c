/* SPDX-License-Identifier: MIT */
/*
 * tol_take(), and how what was taken ends.
 *
 * Crash: who is killed holds until its end, and then not any more: hold.c.
 */
#include <errno.h>
#include <stdint.h>

#include "core/receive.h"

int tol_take(struct tol_link *link, int64_t timeout_ns,
	     const struct tol_take_opts *opts, struct tol_message *ret_message)
{
	static const struct tol_take_opts no_limits;
	struct receiving r = {
		.link = link,
		.take = opts ? opts : &no_limits,
		.ret_message = ret_message,
	};
	int err;

	if (!link || !ret_message || timeout_ns < TOL_FOREVER ||
	    r.take->lease_ns < 0)
		return -EINVAL;
	if (link->tap)
		return -EPERM;
	r.select = r.take->select;
	err = receive_select(link, r.select);
	return err < 0 ? err : receive(&r, timeout_ns);
}

struct handle {
	uint32_t cell, grant;
	uint64_t key;	/* of its map, if it has one */
};

static int check_handle(struct tol_link *link,
			const struct tol_message *message,
			struct handle *ret_handle)
{
	if (!link || !message || !(message->hold >> 63))
		return -EINVAL;
	ret_handle->cell = (uint32_t)(message->hold >> 32) & 0x3fffffff;
	ret_handle->grant = (uint32_t)message->hold;
	ret_handle->key = message->hold & ~HANDLE_LAST_TRY;
	return link_check(link);
}

/* What is read of the body is believed only if the ack is. */
int tol_ack(struct tol_link *link, const struct tol_message *message)
{
	struct reading reading = { .unit = 0 };
	struct handle handle;
	int err = check_handle(link, message, &handle);
	bool is_read = false;

	if (err < 0)
		return err;
	inside_enter(link);
	if (hold_is_ours(link, handle.cell, handle.grant)) {
		uint64_t unit = load_relaxed_64(
			&link->hold_records[handle.cell].unit);

		is_read = unit <= UINT32_MAX &&
			  body_look(link, (uint32_t)unit, &reading) == 0;
	}
	err = hold_ack(link, handle.cell, handle.grant);
	maps_remove(link, handle.key);
	if (err == 0 && is_read)
		body_consume(link, &reading, UINT64_MAX);
	inside_leave(link);
	return err;
}

int tol_return(struct tol_link *link, const struct tol_message *message)
{
	struct bell_waiter waiter;
	struct handle handle;
	int err = check_handle(link, message, &handle);

	if (err < 0)
		return err;
	bell_begin(&waiter, link, BELL_RECEIVERS, TOL_NOWAIT);
	err = hold_return(link, handle.cell, handle.grant);
	/* Killed in between: the next one who takes does it. */
	if (err == 0 && message->hold & HANDLE_LAST_TRY)
		hold_bury_returned(link, handle.cell, handle.grant);
	bell_end(&waiter);
	maps_remove(link, handle.key);
	return err;
}

int tol_extend(struct tol_link *link, const struct tol_message *message,
	       int64_t lease_ns)
{
	struct handle handle;
	int err = check_handle(link, message, &handle);

	if (err == 0 && lease_ns < 0)
		err = -EINVAL;
	return err < 0 ? err : hold_extend(link, handle.cell, handle.grant,
					   lease_ns);
}
