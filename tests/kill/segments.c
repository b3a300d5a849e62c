/* SPDX-License-Identifier: MIT */
/* What is done to a named segment. */
#include <errno.h>

#include "world.h"

#define SIZE_BYTES 100000

static struct tol_segment *segment;

static void set_up_segment(void)
{
	must_be(tol_segment_create(&segment, "seg", SIZE_BYTES, NULL), 0);
}

static void op_segment_create(void)
{
	tol_segment_create(&segment, "seg", SIZE_BYTES, NULL);
}

static void op_segment_grow(void)
{
	tol_segment_grow(segment, 2 * SIZE_BYTES);
}

static void op_segment_remove(void)
{
	tol_segment_remove("seg", NULL);
}

static void op_segment_attach(void)
{
	void *address;

	tol_segment_attach(segment, NULL, &address);
}

/* Return: is the segment there? *ret_size_bytes: and how large? */
static bool look_at_segment(uint64_t *ret_size_bytes)
{
	struct tol_segment_stat stat;
	struct tol_segment *seen;
	int err = tol_segment_open(&seen, "seg", NULL);

	tol_segment_close(segment);
	if (err == -ENOENT)
		return false;
	must_be(err, 0);
	must_be(tol_segment_stat(seen, &stat), 0);
	must_be(stat.attach_count, 0);
	tol_segment_close(seen);
	*ret_size_bytes = stat.size_bytes;
	return true;
}

static bool check_segment(void)
{
	uint64_t size_bytes;

	if (!look_at_segment(&size_bytes))
		return false;
	must_be((int64_t)size_bytes, SIZE_BYTES);
	return true;
}

static bool check_segment_gone(void)
{
	return !check_segment();
}

static bool check_segment_stays(void)
{
	must(check_segment());
	return false;
}

static bool check_grow(void)
{
	uint64_t size_bytes = 0;

	must(look_at_segment(&size_bytes));
	must(size_bytes == SIZE_BYTES || size_bytes == 2 * SIZE_BYTES);
	return size_bytes == 2 * SIZE_BYTES;
}

const struct scenario segment_scenarios[] = {
	{ .name = "segment create", .set_up = world_nothing,
	  .op = op_segment_create, .check = check_segment,
	  .flip = "linkat" },
	{ .name = "segment attach", .set_up = set_up_segment,
	  .op = op_segment_attach, .check = check_segment_stays },
	{ .name = "segment grow", .set_up = set_up_segment,
	  .op = op_segment_grow, .check = check_grow, .flip = "fallocate" },
	{ .name = "segment remove", .set_up = set_up_segment,
	  .op = op_segment_remove, .check = check_segment_gone,
	  .flip = "renameat2" },
	{ .name = NULL },
};
