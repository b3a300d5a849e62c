/* SPDX-License-Identifier: MIT */
/*
 * Crit-bit trees of groups. A key has 79 bits: the tag (or the sender), then the
 * priority, inverted, so that the leaf most to the left of a tag is that of its highest
 * priority. An inner node has the number of the first bit in which its two sides
 * differ, and the best message below it. A leaf has a list in order of positions.
 *
 * Invariants, when no change is under way: bits grow on every way down; best is
 * the entry with the highest priority, and of these the lowest position, of all
 * leaves below; every entry in use is in one leaf of each tree.
 *
 * What is read may be of several moments, or damaged: every number is checked before
 * it is used, and no way down is longer than the key.
 */
#include "core/tree.h"

#include "core/body.h"

#define KEY_BITS 79u
#define TAG_BITS 64u

struct key {
	uint64_t high;		/* tag or sender */
	uint32_t low;		/* TOL_PRIORITY_MAX - priority */
};

/* The inner nodes that were passed, and the word that led to each. */
struct path {
	uint32_t depth;
	struct node_layout *nodes[KEY_BITS];
	uint64_t *link;		/* the word that leads to where it ended */
	uint64_t *last_link;	/* that led to the last inner node */
};

static uint32_t damaged(struct change *c)
{
	c->is_damaged = true;
	return 0;
}

struct entry_layout *tree_entry(struct change *c, uint32_t entry)
{
	if (entry == 0 || entry > c->link->geometry.entries_max ||
	    entry > load_acquire_32(&c->link->index->entries_backed)) {
		damaged(c);
		return NULL;
	}
	return &c->link->entries[entry - 1];
}

static struct node_layout *node_at(struct change *c, uint32_t ref)
{
	uint32_t number = ref & ~INDEX_LEAF;

	if (number == 0 ||
	    number > load_acquire_32(&c->link->index->nodes_backed) ||
	    number / INDEX_NODES_PER_ENTRY > c->link->geometry.entries_max) {
		damaged(c);
		return NULL;
	}
	return &c->link->nodes[number - 1];
}

bool tree_key(struct change *c, uint32_t entry, struct select_key *ret_key)
{
	struct entry_layout *at = tree_entry(c, entry);
	const struct body_layout *body;
	uint32_t unit;

	if (!at)
		return false;
	unit = change_value(c, &at->unit);
	if (unit == INDEX_NO_UNIT ||
	    !body_may_read(c->link, unit, sizeof(*body))) {
		damaged(c);
		return false;
	}
	body = pool_at(c->link, unit);
	*ret_key = (struct select_key){
		.tag = load_relaxed_64(&body->tag),
		.position = change_get(c, &at->position),
		.priority = change_value(c, &at->priority),
		.sender_pid = load_relaxed_32(&body->sender_pid),
	};
	if (ret_key->priority > TOL_PRIORITY_MAX)
		damaged(c);
	return true;
}

static bool key_of(struct change *c, enum tree tree, uint32_t entry,
		   struct key *ret_key)
{
	struct select_key key;

	if (!tree_key(c, entry, &key))
		return false;
	ret_key->high = tree == TREE_TAG ? key.tag : key.sender_pid;
	ret_key->low = (TOL_PRIORITY_MAX - key.priority) & TOL_PRIORITY_MAX;
	return true;
}

static bool bit_of(const struct key *key, uint32_t bit)
{
	return bit < TAG_BITS ? key->high >> (TAG_BITS - 1 - bit) & 1
			      : key->low >> (KEY_BITS - 1 - bit) & 1;
}

/* The first bit in which they differ; KEY_BITS if in none. */
static uint32_t first_difference(const struct key *a, const struct key *b)
{
	if (a->high != b->high)
		return (uint32_t)__builtin_clzll(a->high ^ b->high);
	if (a->low != b->low)
		return TAG_BITS + (uint32_t)__builtin_clz(a->low ^ b->low) -
		       (32 - (KEY_BITS - TAG_BITS));
	return KEY_BITS;
}

/* ---- memory ---- */

static uint32_t take_free(struct change *c, uint64_t *free_word,
			  uint64_t *high_word, uint32_t backed, uint32_t free,
			  uint64_t *next_word)
{
	uint32_t high;

	if (free) {
		if (next_word)
			change_set(c, free_word, change_value(c, next_word));
		return free;
	}
	high = change_value(c, high_word);
	if (high >= backed) {
		c->is_short = true;
		return 0;
	}
	change_set(c, high_word, high + 1);
	return high + 1;
}

uint32_t tree_new_entry(struct change *c, uint32_t unit, uint64_t position,
			uint32_t priority)
{
	struct index_layout *index = c->link->index;
	uint32_t free = change_value(c, &index->free_entry);
	struct entry_layout *at = free ? tree_entry(c, free) : NULL;
	uint32_t entry;

	if (free && !at)
		return 0;
	entry = take_free(c, &index->free_entry, &index->entries_high,
			  load_acquire_32(&index->entries_backed), free,
			  at ? &at->links[0].next : NULL);
	at = entry ? tree_entry(c, entry) : NULL;
	if (!at)
		return 0;
	change_set(c, &at->unit, unit);
	change_put(c, &at->position, position);
	change_set(c, &at->priority, priority);
	change_set(c, &at->named, 0);
	return entry;
}

static uint32_t new_node(struct change *c)
{
	struct index_layout *index = c->link->index;
	uint32_t free = change_value(c, &index->free_node);
	struct node_layout *at = free ? node_at(c, free) : NULL;

	if (free && !at)
		return 0;
	return take_free(c, &index->free_node, &index->nodes_high,
			 load_acquire_32(&index->nodes_backed), free,
			 at ? &at->first : NULL);
}

static void free_node(struct change *c, uint32_t ref)
{
	struct index_layout *index = c->link->index;
	struct node_layout *at = node_at(c, ref);

	if (!at)
		return;
	change_set(c, &at->first, change_value(c, &index->free_node));
	change_set(c, &index->free_node, ref & ~INDEX_LEAF);
}

/* ---- ways down ---- */

static uint64_t *side_of(struct node_layout *node, bool right)
{
	return right ? &node->last : &node->first;
}

/*
 * Down from the root as the key says, to a leaf, or to the first node whose bit is
 * not below @end_bit. Return: what is there; 0 an empty tree, or c->is_damaged
 */
static uint32_t descend(struct change *c, enum tree tree, const struct key *key,
			uint32_t end_bit, struct path *path)
{
	uint32_t least_bit = 0;

	path->depth = 0;
	path->last_link = NULL;
	path->link = &c->link->index->roots[tree];
	for (;;) {
		uint32_t ref = change_value(c, path->link);
		struct node_layout *node;
		uint32_t bit;

		if (ref == 0 || ref & INDEX_LEAF)
			return ref;
		node = node_at(c, ref);
		bit = node ? change_value(c, &node->count) : 0;
		if (!node || bit < least_bit || bit >= KEY_BITS)
			return damaged(c);
		if (bit >= end_bit)
			return ref;
		least_bit = bit + 1;
		path->nodes[path->depth++] = node;
		path->last_link = path->link;
		path->link = side_of(node, bit_of(key, bit));
	}
}

/* The best message below. */
static uint32_t best_of(struct change *c, uint32_t ref)
{
	struct node_layout *node = node_at(c, ref);

	if (!node)
		return 0;
	return change_value(c, ref & INDEX_LEAF ? &node->first : &node->best);
}

static uint32_t better(struct change *c, uint32_t a, uint32_t b)
{
	struct entry_layout *at_a = tree_entry(c, a), *at_b = tree_entry(c, b);
	uint32_t priority_a, priority_b;

	if (!at_a || !at_b)
		return 0;
	priority_a = change_value(c, &at_a->priority);
	priority_b = change_value(c, &at_b->priority);
	if (priority_a != priority_b)
		return priority_a > priority_b ? a : b;
	return change_get(c, &at_a->position) < change_get(c, &at_b->position)
		       ? a : b;
}

/* ---- to insert ---- */

static void append(struct change *c, enum tree tree, uint32_t leaf,
		   uint32_t entry)
{
	struct node_layout *node = node_at(c, leaf);
	struct entry_layout *at = tree_entry(c, entry);
	uint32_t last = node ? change_value(c, &node->last) : 0;
	struct entry_layout *at_last = tree_entry(c, last);

	if (!at || !at_last)
		return;
	change_set(c, &at->links[tree].next, 0);
	change_set(c, &at->links[tree].previous, last);
	change_set(c, &at_last->links[tree].next, entry);
	change_set(c, &node->last, entry);
	change_set(c, &node->count, change_value(c, &node->count) + 1);
}

static uint32_t new_leaf(struct change *c, enum tree tree, uint32_t entry)
{
	struct entry_layout *at = tree_entry(c, entry);
	uint32_t number = new_node(c);
	struct node_layout *node = number ? node_at(c, number) : NULL;

	if (!at || !node)
		return 0;
	change_set(c, &at->links[tree].next, 0);
	change_set(c, &at->links[tree].previous, 0);
	change_set(c, &node->first, entry);
	change_set(c, &node->last, entry);
	change_set(c, &node->count, 1);
	return number | INDEX_LEAF;
}

/* A new one may be better than all below its ancestors, from the last one up. */
static void raise_best(struct change *c, const struct path *path, uint32_t entry)
{
	for (uint32_t i = path->depth; i-- > 0;) {
		uint64_t *best = &path->nodes[i]->best;

		if (better(c, entry, change_value(c, best)) != entry)
			return;
		change_set(c, best, entry);
	}
}

static void insert_in(struct change *c, enum tree tree, uint32_t entry)
{
	struct node_layout *node, *near;
	struct key key, other;
	struct path path;
	uint32_t ref, leaf, bit, inner;

	if (!key_of(c, tree, entry, &key))
		return;
	ref = descend(c, tree, &key, KEY_BITS, &path);
	if (c->is_damaged)
		return;
	if (ref == 0) {
		leaf = new_leaf(c, tree, entry);
		change_set(c, path.link, leaf);
		return;
	}
	near = node_at(c, ref);
	if (!near || !key_of(c, tree, change_value(c, &near->first), &other))
		return;
	bit = first_difference(&key, &other);
	if (bit == KEY_BITS) {
		append(c, tree, ref, entry);
		return;
	}
	ref = descend(c, tree, &key, bit, &path);
	leaf = new_leaf(c, tree, entry);
	inner = new_node(c);
	node = inner ? node_at(c, inner) : NULL;
	if (ref == 0 || leaf == 0 || !node)
		return;
	change_set(c, &node->count, bit);
	change_set(c, side_of(node, bit_of(&key, bit)), leaf);
	change_set(c, side_of(node, !bit_of(&key, bit)), ref);
	change_set(c, &node->best, better(c, entry, best_of(c, ref)));
	change_set(c, path.link, inner);
	raise_best(c, &path, entry);
}

void tree_insert(struct change *c, uint32_t entry)
{
	insert_in(c, TREE_TAG, entry);
	if (!c->is_short && !c->is_damaged)
		insert_in(c, TREE_SENDER, entry);
}

/* ---- to remove ---- */

/* The best of some ancestors goes: from the last one up. */
static void renew_best(struct change *c, const struct path *path,
		       uint32_t depth, uint32_t entry)
{
	for (uint32_t i = depth; i-- > 0;) {
		struct node_layout *node = path->nodes[i];

		if (change_value(c, &node->best) != entry)
			return;
		change_set(c, &node->best,
			   better(c, best_of(c, change_value(c, &node->first)),
				  best_of(c, change_value(c, &node->last))));
	}
}

static void remove_leaf(struct change *c, const struct path *path, uint32_t leaf,
			uint32_t entry)
{
	struct node_layout *inner;
	uint32_t inner_ref, other;

	if (path->depth == 0) {
		change_set(c, path->link, 0);
		free_node(c, leaf);
		return;
	}
	inner = path->nodes[path->depth - 1];
	inner_ref = change_value(c, path->last_link);
	other = change_value(c, side_of(inner, path->link == &inner->first));
	change_set(c, path->last_link, other);
	free_node(c, leaf);
	free_node(c, inner_ref);
	renew_best(c, path, path->depth - 1, entry);
}

static void remove_from(struct change *c, enum tree tree, uint32_t entry)
{
	struct entry_layout *at = tree_entry(c, entry), *neighbour;
	struct node_layout *node;
	struct path path;
	struct key key;
	uint32_t leaf, next, previous;

	if (!at || !key_of(c, tree, entry, &key))
		return;
	leaf = descend(c, tree, &key, KEY_BITS, &path);
	node = leaf ? node_at(c, leaf) : NULL;
	if (!node) {
		damaged(c);
		return;
	}
	next = change_value(c, &at->links[tree].next);
	previous = change_value(c, &at->links[tree].previous);
	if (!next && !previous) {
		if (change_value(c, &node->first) == entry)
			remove_leaf(c, &path, leaf, entry);
		else
			damaged(c);
		return;
	}
	neighbour = next ? tree_entry(c, next) : NULL;
	if (neighbour)
		change_set(c, &neighbour->links[tree].previous, previous);
	else
		change_set(c, &node->last, previous);
	neighbour = previous ? tree_entry(c, previous) : NULL;
	if (neighbour)
		change_set(c, &neighbour->links[tree].next, next);
	else
		change_set(c, &node->first, next);
	change_set(c, &node->count, change_value(c, &node->count) - 1);
	if (!previous)
		renew_best(c, &path, path.depth, entry);
}

void tree_remove(struct change *c, uint32_t entry)
{
	struct entry_layout *at = tree_entry(c, entry);
	uint64_t *free_word = &c->link->index->free_entry;

	remove_from(c, TREE_TAG, entry);
	if (!c->is_damaged)
		remove_from(c, TREE_SENDER, entry);
	if (c->is_damaged || !at)
		return;
	change_set(c, &at->unit, INDEX_NO_UNIT);
	change_set(c, &at->links[0].next, change_value(c, free_word));
	change_set(c, free_word, entry);
}

/* ---- to find ---- */

static uint32_t better_or_any(struct change *c, uint32_t a, uint32_t b)
{
	return a && b ? better(c, a, b) : a ? a : b;
}

/* The bits of the key say the way; below the tag to the highest priority. */
static uint32_t find_one(struct change *c, enum tree tree, uint64_t high)
{
	struct key key = { high, 0 }, found;
	struct path path;
	uint32_t leaf = descend(c, tree, &key, KEY_BITS, &path);
	uint32_t entry = leaf ? best_of(c, leaf) : 0;

	if (!entry || !key_of(c, tree, entry, &found) || found.high != high)
		return 0;
	return entry;
}

/* What tags there may be below, from one of them and the bit that decides. */
static bool span_of(struct change *c, uint32_t ref, uint64_t *ret_first,
		    uint64_t *ret_last)
{
	struct node_layout *node = node_at(c, ref);
	uint32_t bit = TAG_BITS;
	uint64_t below = 0;
	struct key key;

	if (!node || !key_of(c, TREE_TAG, best_of(c, ref), &key))
		return false;
	if (!(ref & INDEX_LEAF))
		bit = change_value(c, &node->count);
	if (bit < TAG_BITS)
		below = UINT64_MAX >> bit;
	*ret_first = key.high & ~below;
	*ret_last = key.high | below;
	return true;
}

/* Whole subtrees where they can be, along the two edges of the range. */
static uint32_t find_range(struct change *c, uint64_t first, uint64_t last)
{
	uint32_t todo[2 * KEY_BITS], count = 0, found = 0;
	uint32_t ref = change_value(c, &c->link->index->roots[TREE_TAG]);

	if (ref)
		todo[count++] = ref;
	for (uint32_t steps = 0; count > 0 && !c->is_damaged; steps++) {
		uint64_t span_first, span_last;
		struct node_layout *node;

		ref = todo[--count];
		if (!span_of(c, ref, &span_first, &span_last))
			return 0;
		if (span_last < first || span_first > last)
			continue;
		if (span_first >= first && span_last <= last) {
			found = better_or_any(c, found, best_of(c, ref));
			continue;
		}
		node = node_at(c, ref);
		if (!node || ref & INDEX_LEAF || steps > 4 * KEY_BITS ||
		    count + 2 > 2 * KEY_BITS)
			return damaged(c);
		todo[count++] = change_value(c, &node->first);
		todo[count++] = change_value(c, &node->last);
	}
	return found;
}

static uint32_t find_lowest(struct change *c, uint64_t last)
{
	static const struct key lowest;
	struct path path;
	uint32_t ref = change_value(c, &c->link->index->roots[TREE_TAG]);
	uint32_t entry;
	struct key found;

	if (ref == 0)
		return 0;
	ref = descend(c, TREE_TAG, &lowest, KEY_BITS, &path);
	entry = ref ? best_of(c, ref) : 0;
	if (!entry || !key_of(c, TREE_TAG, entry, &found) || found.high > last)
		return 0;
	return entry;
}

uint32_t tree_find(struct change *c, const struct tol_select *select)
{
	uint32_t found = 0, ref;
	uint64_t tag;

	switch (select ? select->by : TOL_SELECT_ANY) {
	case TOL_SELECT_ANY:
		ref = change_value(c, &c->link->index->roots[TREE_TAG]);
		return ref ? best_of(c, ref) : 0;
	case TOL_SELECT_TAGS:
		for (size_t i = 0; i < select->tags_count; i++)
			found = better_or_any(c, found,
					      find_one(c, TREE_TAG,
						       select->tags[i]));
		return found;
	case TOL_SELECT_TAG_RANGE:
		return find_range(c, select->first_tag, select->last_tag);
	case TOL_SELECT_TAG_NOT:
		tag = select->first_tag;
		if (tag > 0)
			found = find_range(c, 0, tag - 1);
		if (tag < UINT64_MAX)
			found = better_or_any(c, found,
					      find_range(c, tag + 1,
							 UINT64_MAX));
		return found;
	case TOL_SELECT_TAG_LOWEST:
		return find_lowest(c, select->last_tag);
	case TOL_SELECT_SENDER:
		return find_one(c, TREE_SENDER, (uint32_t)select->sender_pid);
	}
	return 0;
}
