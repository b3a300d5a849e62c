/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include <errno.h>

#include "tolsey.h"

int is_sorted;

uint64_t tag_of(uint64_t id)
{
	return is_sorted ? (id * 0x9e3779b97f4a7c15u >> 40) % TAGS : 0;
}

uint32_t priority_of(uint64_t id)
{
	return is_sorted ? (uint32_t)((id * 0x9e3779b97f4a7c15u >> 50) % 3) : 0;
}

int is_delivery(const struct entry *entry)
{
	return (entry->op == OP_RECV || entry->op == OP_TAKE) &&
	       entry->is_done && entry->result == 0;
}

static struct life *life_of(struct history *history, uint64_t id)
{
	for (size_t i = 0; i < history->lives_count; i++)
		if (history->lives[i].id == id)
			return &history->lives[i];
	return NULL;
}

static const char *note_send(struct history *history, const struct entry *entry)
{
	struct life *life;

	if (entry->is_done && entry->result < 0)
		return NULL;
	if (life_of(history, entry->id))
		return "one number was sent twice";
	life = &history->lives[history->lives_count++];
	*life = (struct life){ .id = entry->id, .send = entry };
	return NULL;
}

static const char *note_delivery(struct history *history,
				 const struct entry *entry)
{
	struct life *life;

	if (!entry->is_whole)
		return "a message was torn";
	if (entry->tag != tag_of(entry->id) ||
	    !(entry->wanted >> entry->tag & 1))
		return "a message that was not wanted";
	life = life_of(history, entry->id);
	if (!life)
		return "a message that nobody sent";
	if (life->has_position && life->position != entry->position)
		return "a message changed its position";
	life->has_position = 1;
	life->position = entry->position;
	life->finals += entry->op == OP_RECV;
	if (!life->first || entry->begin_ns < life->first->begin_ns) {
		life->first = entry;
		life->is_first_known = entry->tries == 1;
	}
	return NULL;
}

static const char *note_end(struct history *history, const struct entry *entry)
{
	struct life *life = life_of(history, entry->id);

	if (!life)
		return "the end of a message that nobody sent";
	if (!entry->is_done)
		life->has_doubt |= entry->op == OP_ACK;
	else if (entry->result < 0)
		return "what was held could not be ended";
	else
		life->finals += entry->op == OP_ACK;
	return NULL;
}

static const char *note_all(struct history *history)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < history->count && !wrong; i++)
		if (history->entries[i]->op == OP_SEND)
			wrong = note_send(history, history->entries[i]);
	for (size_t i = 0; i < history->count && !wrong; i++) {
		const struct entry *entry = history->entries[i];

		if (is_delivery(entry))
			wrong = note_delivery(history, entry);
		else if (entry->op == OP_RECV && !entry->is_done)
			history->doubts++;
		else if (entry->op == OP_ACK || entry->op == OP_RETURN)
			wrong = note_end(history, entry);
		else if (entry->is_done && entry->result < 0 &&
			 entry->result != -EAGAIN &&
			 entry->result != -ETIMEDOUT)
			wrong = entry->op == OP_SEND
					? "a send failed in another way"
					: "a receive failed in another way";
	}
	return wrong;
}

/* Each message to one receiver. */
static const char *judge_counts(const struct history *history)
{
	int missing = 0;

	for (size_t i = 0; i < history->lives_count; i++) {
		const struct life *life = &history->lives[i];

		if (life->finals > 1)
			return "a message was received twice";
		if (life->finals == 0 && !life->has_doubt &&
		    life->send->is_done)
			missing++;
	}
	return missing > history->doubts ? "a message was lost" : NULL;
}

static int wants(const struct entry *delivery, uint64_t id)
{
	return delivery->wanted >> tag_of(id) & 1;
}

/* A receiver that began when @a was sent, and wants it, must not get @b first. */
static const char *judge_priorities(const struct history *history)
{
	for (size_t i = 0; i < history->lives_count && is_sorted; i++)
		for (size_t j = 0; j < history->lives_count; j++) {
			const struct life *a = &history->lives[i];
			const struct life *b = &history->lives[j];

			if (a->first && b->first && a->is_first_known &&
			    priority_of(a->id) > priority_of(b->id) &&
			    a->send->is_done &&
			    a->send->end_ns < b->first->begin_ns &&
			    b->first->end_ns < a->first->begin_ns &&
			    wants(b->first, a->id))
				return "a lower priority went first";
		}
	return NULL;
}

/*
 * Sent one after the other: received so, those that nobody had before. With capacity 0
 * a position is that of who waited, which says nothing once both sides may.
 */
static const char *judge_order(const struct history *history)
{
	if (is_sorted && history->capacity_msgs == 0)
		return NULL;
	for (size_t i = 0; i < history->lives_count; i++)
		for (size_t j = 0; j < history->lives_count; j++) {
			const struct life *a = &history->lives[i];
			const struct life *b = &history->lives[j];

			if (!a->has_position || !b->has_position)
				continue;
			if (a->send->is_done &&
			    a->send->end_ns < b->send->begin_ns &&
			    a->position > b->position)
				return "positions are not in the order sent";
			if (a->position < b->position && a->is_first_known &&
			    b->first->end_ns < a->first->begin_ns &&
			    priority_of(a->id) >= priority_of(b->id) &&
			    wants(b->first, a->id) &&
			    (!is_sorted || (a->send->is_done &&
					    a->send->end_ns <
						    b->first->begin_ns)))
				return "a newer message went first";
		}
	return NULL;
}

/* What came back goes ahead of newer ones, unless a killed one had it meanwhile. */
static const char *judge_return(const struct history *history,
				const struct entry *entry)
{
	const struct entry *next = NULL;
	uint64_t position = 0;
	uint32_t tries = 0;

	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (is_delivery(other) && other->id == entry->id) {
			position = other->position;
			if (other->end_ns <= entry->begin_ns &&
			    other->tries > tries)
				tries = other->tries;
			if (other->end_ns > entry->end_ns &&
			    (!next || other->begin_ns < next->begin_ns))
				next = other;
		}
	}
	if (!next || next->tries != tries + 1)
		return NULL;
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (is_delivery(other) && other->position > position &&
		    wants(other, entry->id) &&
		    priority_of(other->id) <= priority_of(entry->id) &&
		    other->begin_ns > entry->end_ns &&
		    other->end_ns < next->begin_ns)
			return "a newer one went before one that came back";
	}
	return NULL;
}

static const char *judge_returns(const struct history *history)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < history->count && !wrong; i++)
		if (history->entries[i]->op == OP_RETURN &&
		    history->entries[i]->is_done)
			wrong = judge_return(history, history->entries[i]);
	return wrong;
}

/* At that time: queued for certain, and perhaps queued. */
static void count_queued(const struct history *history, int64_t at_ns,
			 unsigned int wanted, uint64_t *surely,
			 uint64_t *perhaps)
{
	*surely = *perhaps = 0;
	for (size_t i = 0; i < history->lives_count; i++) {
		const struct life *life = &history->lives[i];
		int64_t sent_ns = life->send->is_done ? life->send->end_ns
						      : INT64_MAX;

		if (!(wanted >> tag_of(life->id) & 1))
			continue;

		if (!life->first) {
			*perhaps += life->send->begin_ns <= at_ns;
			continue;
		}
		*surely += life->is_first_known && sent_ns < at_ns &&
			   at_ns < life->first->begin_ns;
		*perhaps += life->send->begin_ns <= at_ns &&
			    (!life->is_first_known ||
			     at_ns <= life->first->end_ns);
	}
}

/* The counts change at the times written down: one after each is looked at. */
static const char *judge_capacity(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		uint64_t surely, perhaps;

		if (!history->entries[i]->is_done)
			continue;
		count_queued(history, history->entries[i]->end_ns + 1, ANY_TAG,
			     &surely, &perhaps);
		if (surely > history->capacity_msgs)
			return "more were queued than the capacity";
	}
	return NULL;
}

/*
 * "Empty", and nothing else, only if there was a moment in the call at which not
 * one was there for certain; "full" likewise. Enough to look at both ends and at what
 * happened between.
 */
static int could_be(const struct history *history, const struct entry *entry,
		    int64_t at_ns)
{
	uint64_t surely, perhaps;

	if (at_ns < entry->begin_ns || at_ns > entry->end_ns)
		return 0;
	count_queued(history, at_ns,
		     entry->op == OP_SEND ? ANY_TAG : entry->wanted, &surely,
		     &perhaps);
	return entry->op == OP_SEND ? perhaps >= history->capacity_msgs
				    : surely == 0;
}

static int could_be_refused(const struct history *history,
			    const struct entry *entry)
{
	if (could_be(history, entry, entry->begin_ns) ||
	    could_be(history, entry, entry->end_ns))
		return 1;
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *other = history->entries[i];

		if (could_be(history, entry, other->begin_ns) ||
		    (other->is_done &&
		     could_be(history, entry, other->end_ns)))
			return 1;
	}
	return 0;
}

static const char *judge_refusals(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		const struct entry *entry = history->entries[i];

		if (entry->is_done && entry->result < 0 &&
		    !could_be_refused(history, entry))
			return entry->op == OP_SEND
				       ? "full, and it was not"
				       : "empty, and it was not";
	}
	return NULL;
}

/* Of one message: each time one more, and by how many if nobody was killed. */
static const char *judge_tries(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		for (size_t j = 0; j < history->count; j++) {
			const struct entry *a = history->entries[i];
			const struct entry *b = history->entries[j];

			if (is_delivery(a) && is_delivery(b) &&
			    a->op == OP_TAKE && b->op == OP_TAKE &&
			    a->id == b->id && a->end_ns < b->begin_ns &&
			    a->tries >= b->tries)
				return "tries do not go up";
		}
	return NULL;
}

const char *judge(struct history *history)
{
	const char *wrong = note_all(history);

	if (!wrong)
		wrong = judge_counts(history);
	if (!wrong)
		wrong = judge_priorities(history);
	if (!wrong)
		wrong = judge_order(history);
	if (!wrong)
		wrong = judge_returns(history);
	if (!wrong)
		wrong = judge_capacity(history);
	if (!wrong)
		wrong = judge_refusals(history);
	return wrong ? wrong : judge_tries(history);
}
