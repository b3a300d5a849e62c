/* SPDX-License-Identifier: MIT */
/*
 * tol_send_many(), tol_recv_many(): many in one call, with one look at who sleeps.
 * Who is woken passes the wake on while there is more; see bell_settle().
 *
 * Crash: each message is sent or received by itself.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>

#include "core/receive.h"
#include "core/send.h"

/* Once there are enough only what need not be waited for. */
static void want_no_more(struct bell_waiter *waiter, size_t count,
			 size_t min_count)
{
	if (count >= min_count)
		waiter->timeout_ns = TOL_NOWAIT;
}

static ssize_t result(size_t count, int err)
{
	return count > 0 ? (ssize_t)count : err;
}

static int send_item(struct tol_link *link, struct bell_waiter *waiter,
		     const struct tol_outgoing *item)
{
	struct tol_segment_handle handle;
	struct draft_extra extra;
	int err;

	if ((!item->body && item->size_bytes > 0) ||
	    item->size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	err = send_make_extra(link, item->opts, &handle, &extra);
	if (err < 0)
		return err;
	return send_waiting(link, waiter, item->body, item->size_bytes, &extra);
}

ssize_t tol_send_many(struct tol_link *link, const struct tol_outgoing *items,
		      size_t count, size_t min_count, int64_t timeout_ns)
{
	struct bell_waiter waiter;
	size_t done = 0;
	int err;

	if (!link || (!items && count > 0) || timeout_ns < TOL_FOREVER ||
	    min_count > count || count > SSIZE_MAX)
		return -EINVAL;
	err = send_check(link);
	if (err < 0)
		return err;
	bell_begin(&waiter, link, BELL_SENDERS, timeout_ns);
	while (done < count && err == 0) {
		want_no_more(&waiter, done, min_count);
		err = send_item(link, &waiter, &items[done]);
		if (err == 0)
			done++;
	}
	bell_end(&waiter);
	return result(done, err);
}

ssize_t tol_recv_many(struct tol_link *link, struct tol_incoming *items,
		      size_t count, size_t min_count, int64_t timeout_ns)
{
	struct bell_waiter waiter;
	size_t done = 0;
	int err;

	if (!link || (!items && count > 0) || timeout_ns < TOL_FOREVER ||
	    min_count > count || count > SSIZE_MAX)
		return -EINVAL;
	err = receive_check(link);
	if (err < 0)
		return err;
	bell_begin(&waiter, link, receive_kind(link), timeout_ns);
	while (done < count && err == 0) {
		struct receiving r = {
			.link = link,
			.buf = items[done].buf,
			.size_bytes = items[done].size_bytes,
			.ret_message = &items[done].message,
		};

		want_no_more(&waiter, done, min_count);
		err = !r.buf && r.size_bytes > 0
			      ? -EINVAL : receive_waiting(&r, &waiter);
		if (err == 0)
			done++;
	}
	bell_end(&waiter);
	if (err == -ENODATA)
		bell_tell_end(link);
	return result(done, err);
}
