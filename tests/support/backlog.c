/* SPDX-License-Identifier: MIT */
#include "backlog.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "support.h"

unsigned char large[LARGE_BYTES];

struct tol_link *open_link(void)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, "box", NULL), 0);
	return link;
}

void make(const struct tol_mailbox_opts *opts)
{
	ck_assert_int_eq(tol_mailbox_create("box", TOL_CAPACITY_UNBOUNDED,
					    opts), 1);
}

void unmake(void)
{
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}

struct tol_mailbox_stat look(void)
{
	struct tol_mailbox_stat st;

	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &st, NULL, NULL), 0);
	ck_assert_int_eq((int)st.state, TOL_MAILBOX_LIVE);
	return st;
}

/* 5 per cent more, in whole pages. */
uint64_t back_bytes(uint64_t before_bytes)
{
	return (before_bytes + before_bytes / 20 + 4095) / 4096 * 4096;
}

bool is_back(uint64_t before_bytes)
{
	return look().memory_bytes <= back_bytes(before_bytes);
}

/* Without libcheck, for children: number, and a byte that follows from it. */
int put(struct tol_link *link, uint64_t number, size_t size_bytes,
	       unsigned char *body)
{
	memset(body, (int)(number * 7 & 0xff), size_bytes);
	memcpy(body, &number, sizeof(number));
	return tol_send(link, body, size_bytes, TOL_NOWAIT);
}

/* Return: 0; -EAGAIN and others of tol_recv(); -EIO it is torn */
int get(struct tol_link *link, uint64_t *ret_number, unsigned char *body,
	       size_t room_bytes)
{
	ssize_t n = tol_recv(link, body, room_bytes, TOL_NOWAIT);

	if (n < 0)
		return (int)n;
	if (n < 8)
		return -EIO;
	memcpy(ret_number, body, sizeof(*ret_number));
	for (ssize_t i = 8; i < n; i++)
		if (body[i] != (unsigned char)(*ret_number * 7))
			return -EIO;
	return 0;
}

void send_range(struct tol_link *link, uint64_t first, uint64_t end,
		       size_t size_bytes)
{
	for (uint64_t i = first; i < end; i++) {
		int err = put(link, i, size_bytes, large);

		if (err)
			ck_abort_msg("message %llu: %d", (unsigned long long)i,
				     err);
	}
}

void recv_range(struct tol_link *link, uint64_t first, uint64_t end)
{
	uint64_t number = 0;

	for (uint64_t i = first; i < end; i++) {
		int err = get(link, &number, large, LARGE_BYTES);

		if (err || number != i)
			ck_abort_msg("message %llu: %d, %llu",
				     (unsigned long long)i, err,
				     (unsigned long long)number);
	}
}

void check_empty(struct tol_link *link)
{
	ck_assert_int_eq(tol_recv(link, large, LARGE_BYTES, TOL_NOWAIT),
			 -EAGAIN);
}

int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Looks until a receiver that goes on has given all back. */
void await_back(struct tol_link *link, uint64_t before_bytes)
{
	int64_t end_s = now_s() + PATIENCE_S;

	while (!is_back(before_bytes) && now_s() < end_s)
		check_empty(link);
	ck_assert_uint_le(look().memory_bytes, back_bytes(before_bytes));
}
