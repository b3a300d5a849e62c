/* SPDX-License-Identifier: MIT */
/*
 * How many messages are queued, by priority and tag: those in the ring, those that
 * came back and those in the index, added up in a table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/peek.h"

/* Before a mailbox is called damaged; and until what has moved meanwhile is missed. */
#define LOOKS_MAX 8
#define MOVES_MAX 3

#define SLOTS_MIN ((size_t)64)

/* Open addressing, at most half full; msgs is 0 in a free slot. */
struct table {
	struct tol_depth *slots;
	size_t slots_count;	/* a power of two */
	size_t used_count;
	uint64_t below;		/* positions from here on are not counted */
};

static struct tol_depth *find(const struct table *table, uint64_t tag,
			      uint32_t priority)
{
	uint64_t hash = (tag ^ (uint64_t)priority << 48) *
			UINT64_C(0x9e3779b97f4a7c15);
	size_t slot = (size_t)(hash >> 32) & (table->slots_count - 1);

	while (table->slots[slot].msgs != 0 &&
	       (table->slots[slot].tag != tag ||
		table->slots[slot].priority != priority))
		slot = (slot + 1) & (table->slots_count - 1);
	return &table->slots[slot];
}

static int grow(struct table *table)
{
	struct table larger = { .below = table->below };

	larger.slots_count = table->slots_count ? table->slots_count * 2
						: SLOTS_MIN;
	larger.used_count = table->used_count;
	larger.slots = calloc(larger.slots_count, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->slots_count; i++)
		if (table->slots[i].msgs != 0)
			*find(&larger, table->slots[i].tag,
			      table->slots[i].priority) = table->slots[i];
	free(table->slots);
	*table = larger;
	return 0;
}

static int add(struct table *table, const struct body_layout *body)
{
	struct tol_depth *depth;
	int err;

	if (table->used_count >= table->slots_count / 2) {
		err = grow(table);
		if (err < 0)
			return err;
	}
	depth = find(table, body->tag, body->priority);
	if (depth->msgs == 0) {
		table->used_count++;
		depth->tag = body->tag;
		depth->priority = body->priority;
	}
	depth->msgs++;
	depth->bytes += body->size_bytes;
	return 0;
}

static int add_queued(const struct peek_body *body, void *context)
{
	return add(context, &body->body);
}

/* What has moved since the pass over the ring was counted there. */
static int add_indexed(const struct peek_body *body, void *context)
{
	struct table *table = context;

	return body->position < table->below ? add(table, &body->body) : 0;
}

static int add_returned(int fd, const struct mailbox_geometry *geometry,
			struct table *table)
{
	uint32_t high;
	int err = peek_holds_high(fd, &high);

	for (uint32_t i = 0; err == 0 && i < high; i++) {
		struct peek_hold hold;

		err = peek_hold(fd, geometry, i, &hold);
		if (err == 1)
			err = hold_state(hold.word) == HOLD_RETURNED
				      ? add(table, &hold.body.body) : 0;
	}
	return err;
}

/* Return: 0; 1 messages have left the ring meanwhile; -EBADMSG; -errno */
static int count_once(int fd, struct table *table)
{
	struct mailbox_geometry geometry;
	struct mailbox_layout head;
	struct peek_queue queue;
	struct peek_moved after;
	int err = peek_head(fd, &head, &geometry);

	if (table->used_count != 0)
		memset(table->slots, 0,
		       table->slots_count * sizeof(*table->slots));
	table->used_count = 0;
	if (err == 0)
		err = peek_queue(fd, &geometry, &head, &queue, add_queued,
				 table);
	if (err < 0)
		return err;
	table->below = queue.moved.moved_below;
	err = peek_index(fd, &geometry, add_indexed, table);
	if (err == 0)
		err = add_returned(fd, &geometry, table);
	if (err == 0)
		err = peek_moved(fd, &geometry, &after);
	if (err < 0)
		return err;
	return after.moved_below != queue.moved.moved_below;
}

static int count(int fd, struct table *table)
{
	int looks = 0, moves = 0, err;

	do
		err = count_once(fd, table);
	while ((err == 1 && ++moves < MOVES_MAX) ||
	       (err == -EBADMSG && ++looks < LOOKS_MAX));
	return err < 0 ? err : 0;
}

static int compare(const void *a, const void *b)
{
	const struct tol_depth *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

static void show(struct table *table,
		 void (*visit)(const struct tol_depth *depth, void *context),
		 void *context)
{
	size_t used = 0;

	for (size_t i = 0; i < table->slots_count; i++)
		if (table->slots[i].msgs != 0)
			table->slots[used++] = table->slots[i];
	if (used != 0)
		qsort(table->slots, used, sizeof(*table->slots), compare);
	for (size_t i = 0; i < used; i++)
		visit(&table->slots[i], context);
}

int tol_mailbox_depth(const char *name, const struct tol_mailbox_opts *opts,
		      void (*visit)(const struct tol_depth *depth,
				    void *context),
		      void *context)
{
	struct table table = { 0 };
	struct sys_stat st;
	int fd, err;

	if (!visit)
		return -EINVAL;
	fd = peek_open(name, opts, &st);
	if (fd < 0)
		return fd;
	err = count(fd, &table);
	sys_close(fd);
	if (err == 0)
		show(&table, visit, context);
	free(table.slots);
	return err;
}
