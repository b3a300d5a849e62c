/* SPDX-License-Identifier: MIT */
/*
 * The index of a mailbox that may be damaged: a copy of it in private memory, with the
 * change carried out that its maker may not have come to. Each entry in use has a
 * message; both trees must have each of them once, in order, or the index is damaged,
 * and a new one is made of the messages.
 */
#include "core/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BITS 79u

struct copy {
	struct exam *exam;
	struct index_layout head;
	struct entry_layout *entries;
	struct node_layout *nodes;
	uint32_t entries_count, nodes_count;
	uint8_t *seen;		/* of an entry: a bit for each tree it is in */
};

static void note(struct exam *exam, const char *what)
{
	exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION, what, "index");
}

/* A word of the copy, by its place in the file. NULL: not of what was copied */
static uint64_t *word_at(struct copy *copy, uint64_t offset)
{
	const struct mailbox_geometry *g = &copy->exam->geometry;
	uint64_t entries_bytes = (uint64_t)copy->entries_count *
				 sizeof(*copy->entries);
	uint64_t nodes_bytes = (uint64_t)copy->nodes_count *
			       sizeof(*copy->nodes);

	if (offset % sizeof(uint64_t))
		return NULL;
	if (offset >= g->index_offset &&
	    offset - g->index_offset < sizeof(copy->head))
		return (uint64_t *)(void *)((uint8_t *)&copy->head +
					    (offset - g->index_offset));
	if (offset >= g->entries_offset &&
	    offset - g->entries_offset < entries_bytes)
		return (uint64_t *)(void *)((uint8_t *)copy->entries +
					    (offset - g->entries_offset));
	if (offset >= g->nodes_offset && offset - g->nodes_offset < nodes_bytes)
		return (uint64_t *)(void *)((uint8_t *)copy->nodes +
					    (offset - g->nodes_offset));
	return NULL;
}

/* As change.c would. */
static void carry_out(struct copy *copy)
{
	const struct mailbox_geometry *g = &copy->exam->geometry;
	struct change_list_layout list;
	uint64_t offset = g->lists_offset +
			  change_participant(copy->head.change) *
				  (uint64_t)CHANGE_LIST_BYTES;

	if ((copy->head.change & 1) == CHANGE_IDLE)
		return;
	if (!exam_read(copy->exam, &list, sizeof(list), offset) ||
	    list.count > CHANGE_ENTRIES_MAX ||
	    list.number != change_number(copy->head.change)) {
		note(copy->exam, "a change that was made has no list");
		return;
	}
	for (uint64_t i = 0; i < list.count; i++) {
		uint64_t *word = word_at(copy, list.entries[i].offset_bytes);

		if (word && *word == list.entries[i].old_word)
			*word = list.entries[i].new_word;
	}
}

/* One more of each than there are: a change may take them. Return: whether */
static bool copy_tables(struct copy *copy)
{
	const struct mailbox_geometry *g = &copy->exam->geometry;
	uint64_t entries = index_value(copy->head.entries_high) + UINT64_C(1);
	uint64_t nodes = index_value(copy->head.nodes_high) +
			 (uint64_t)INDEX_NODES_PER_ENTRY;

	/* Nor can there be more than the file has memory for. */
	if (entries > g->entries_max + UINT64_C(1) ||
	    nodes > (g->entries_max + UINT64_C(1)) * INDEX_NODES_PER_ENTRY ||
	    entries * sizeof(*copy->entries) >
		    copy->exam->st.memory_bytes + MAILBOX_PAGE_BYTES ||
	    nodes * sizeof(*copy->nodes) >
		    copy->exam->st.memory_bytes + MAILBOX_PAGE_BYTES) {
		note(copy->exam, "its size makes no sense");
		return false;
	}
	copy->entries_count = (uint32_t)entries;
	copy->nodes_count = (uint32_t)nodes;
	copy->entries = calloc(copy->entries_count, sizeof(*copy->entries));
	copy->nodes = calloc(copy->nodes_count, sizeof(*copy->nodes));
	copy->seen = calloc(copy->entries_count, 1);
	if (!copy->entries || !copy->nodes || !copy->seen) {
		copy->exam->error = -ENOMEM;
		return false;
	}
	if (sys_pread(copy->exam->fd, copy->entries,
		      copy->entries_count * sizeof(*copy->entries),
		      g->entries_offset) < 0 ||
	    sys_pread(copy->exam->fd, copy->nodes,
		      copy->nodes_count * sizeof(*copy->nodes),
		      g->nodes_offset) < 0) {
		note(copy->exam, "it cannot be read");
		return false;
	}
	return true;
}

/* ---- the messages ---- */

static bool is_used(const struct copy *copy, uint32_t entry)
{
	const struct entry_layout *at = &copy->entries[entry];

	return entry < index_value(copy->head.entries_high) &&
	       entry < copy->entries_count && at->unit != 0 &&
	       index_value(at->unit) != INDEX_NO_UNIT;
}

static uint64_t look_at_entries(struct copy *copy)
{
	struct exam *exam = copy->exam;
	uint64_t count = 0;

	for (uint32_t entry = 0; entry < copy->entries_count; entry++) {
		const struct entry_layout *at = &copy->entries[entry];
		struct found found;
		const char *what;

		if (!is_used(copy, entry))
			continue;
		count++;
		what = at->position >= copy->head.moved_below
			       ? "its position makes no sense"
			       : exam_body(exam, index_value(at->unit), &found);
		if (what) {
			exam_note(exam, TOL_FINDING_LOST, at->position, what,
				  "index entry %u", entry);
			continue;
		}
		found.position = at->position;
		found.kind = FOUND_QUEUED;
		exam_keep(exam, &found);
	}
	return count;
}

/* ---- the trees ---- */

/* A list: each entry once, in order of positions, from both ends. */
static bool is_list_sound(struct copy *copy, const struct node_layout *leaf,
			  unsigned int tree)
{
	uint32_t previous = 0, entry = index_value(leaf->first);
	uint64_t count = 0;

	while (entry != 0) {
		const struct entry_layout *at;

		if (entry > copy->entries_count ||
		    !is_used(copy, entry - 1) ||
		    (copy->seen[entry - 1] & 1u << tree))
			return false;
		at = &copy->entries[entry - 1];
		if (index_value(at->links[tree].previous) != previous ||
		    (previous &&
		     copy->entries[previous - 1].position >= at->position))
			return false;
		copy->seen[entry - 1] |= (uint8_t)(1u << tree);
		count++;
		previous = entry;
		entry = index_value(at->links[tree].next);
	}
	return count > 0 && previous == index_value(leaf->last) &&
	       count == index_value(leaf->count);
}

/* Bits grow on every way down; so no way is long, and none comes back. */
static bool is_tree_sound(struct copy *copy, unsigned int tree)
{
	struct {
		uint32_t ref, least_bit;
	} todo[KEY_BITS * 2 + 2];
	uint32_t count = 0, root = index_value(copy->head.roots[tree]);

	if (root)
		todo[count++].ref = root, todo[0].least_bit = 0;
	while (count > 0) {
		uint32_t ref = todo[--count].ref;
		uint32_t least_bit = todo[count].least_bit, bit;
		const struct node_layout *node;

		if ((ref & ~INDEX_LEAF) == 0 ||
		    (ref & ~INDEX_LEAF) > copy->nodes_count)
			return false;
		node = &copy->nodes[(ref & ~INDEX_LEAF) - 1];
		if (ref & INDEX_LEAF) {
			if (!is_list_sound(copy, node, tree))
				return false;
			continue;
		}
		bit = index_value(node->count);
		if (bit < least_bit || bit >= KEY_BITS)
			return false;
		todo[count].ref = index_value(node->first);
		todo[count++].least_bit = bit + 1;
		todo[count].ref = index_value(node->last);
		todo[count++].least_bit = bit + 1;
	}
	return true;
}

static void look_at_trees(struct copy *copy)
{
	static const uint8_t both = (1u << INDEX_TREES) - 1;

	for (unsigned int tree = 0; tree < INDEX_TREES; tree++)
		if (!is_tree_sound(copy, tree)) {
			note(copy->exam, "a tree in it makes no sense");
			return;
		}
	for (uint32_t entry = 0; entry < copy->entries_count; entry++)
		if (is_used(copy, entry) && copy->seen[entry] != both) {
			note(copy->exam, "a message is not in both trees");
			return;
		}
}

static void look_at_copy(struct copy *copy)
{
	uint64_t count;

	if (!copy_tables(copy))
		return;
	carry_out(copy);
	copy->exam->moved_below = copy->head.moved_below;
	count = look_at_entries(copy);
	if (copy->head.moved_below - copy->head.received_count != count)
		note(copy->exam, "it has not as many messages as it says");
	look_at_trees(copy);
}

void exam_index(struct exam *exam)
{
	struct copy copy = { .exam = exam };

	exam->moved_below = 0;
	if (exam->head.sorted == SORTED_NOT ||
	    exam->geometry.capacity_msgs == 0)
		return;
	if (exam->head.sorted > SORTED_TOLD)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "whether it is sorted makes no sense", "head");
	if (exam_read(exam, &copy.head, sizeof(copy.head),
		      exam->geometry.index_offset))
		look_at_copy(&copy);
	else
		note(exam, "it cannot be read");
	free(copy.entries);
	free(copy.nodes);
	free(copy.seen);
}
