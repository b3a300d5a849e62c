/* SPDX-License-Identifier: MIT */
/* All but the slots: see core/doctor.h. */
#include "core/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/body_file.h"
#include "core/peek.h"

/* No process has more threads, and no machine more processes. */
#define SLEEPERS_MAX (UINT32_C(1) << 22)

void exam_note(struct exam *exam, enum tol_finding_kind kind,
	       uint64_t position, const char *what, const char *where_format,
	       ...)
{
	struct flaw *flaw;
	va_list args;

	if (exam->flaws_count == exam->flaws_room) {
		uint64_t room = exam->flaws_room ? exam->flaws_room * 2 : 16;
		struct flaw *flaws = realloc(exam->flaws,
					     (size_t)room * sizeof(*flaws));

		if (!flaws) {
			exam->error = -ENOMEM;
			return;
		}
		exam->flaws = flaws;
		exam->flaws_room = room;
	}
	flaw = &exam->flaws[exam->flaws_count++];
	flaw->kind = kind;
	flaw->position = position;
	flaw->what = what;
	va_start(args, where_format);
	vsnprintf(flaw->where, sizeof(flaw->where), where_format, args);
	va_end(args);
}

void exam_keep(struct exam *exam, const struct found *found)
{
	if (exam->found_count == exam->found_room) {
		uint64_t room = exam->found_room ? exam->found_room * 2 : 64;
		struct found *list = realloc(exam->found,
					     (size_t)room * sizeof(*list));

		if (!list) {
			exam->error = -ENOMEM;
			return;
		}
		exam->found = list;
		exam->found_room = room;
	}
	exam->found[exam->found_count++] = *found;
}

bool exam_read(const struct exam *exam, void *buf, size_t size_bytes,
	       uint64_t offset)
{
	return sys_pread(exam->fd, buf, size_bytes, offset) ==
	       (ssize_t)size_bytes;
}

static void note_head(struct exam *exam, const char *what)
{
	exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION, what, "head");
}

/*
 * It is the check of the shape that is damaged, and not the shape, if the size of
 * the file and the capacity that resize changes agree with it.
 */
static int check_anyway(struct exam *exam)
{
	struct mailbox_layout head = exam->head;
	int err;

	head.shape_check = mailbox_shape_check(&head);
	err = mailbox_check(&head, UINT64_MAX, &exam->geometry);
	if (err == 0 && (exam->st.size_bytes != exam->geometry.file_bytes ||
			 head.limit_msgs != head.capacity_msgs))
		err = -EBADMSG;
	return err;
}

int exam_begin(struct exam *exam, int fd, const struct space *space)
{
	ssize_t n;
	int err;

	memset(exam, 0, sizeof(*exam));
	exam->fd = fd;
	exam->space = space;
	err = sys_stat_fd(fd, &exam->st);
	if (err < 0)
		return err;
	n = sys_pread(fd, &exam->head, sizeof(exam->head), 0);
	if (n < 0)
		return (int)n;
	/* That it is a mailbox must be told from the rest. */
	if ((size_t)n < sizeof(struct object_layout))
		return -EBADMSG;
	err = mailbox_check(&exam->head, UINT64_MAX, &exam->geometry);
	if (err == -EBADMSG && (size_t)n == sizeof(exam->head))
		err = check_anyway(exam);
	if ((size_t)n < sizeof(exam->head) || err == -EBADMSG) {
		if (exam->head.object.magic != OBJECT_MAGIC)
			return -EMEDIUMTYPE;
		note_head(exam, "its size, or its capacity, makes no sense: "
				"nothing can be found without them");
		return exam->error;
	}
	return err < 0 ? err : 1;
}

void exam_fini(struct exam *exam)
{
	free(exam->found);
	free(exam->flaws);
}

/* ---- bodies ---- */

static const char *look_at_file(const struct exam *exam,
				const struct found *found)
{
	char name[BODY_FILE_NAME_BYTES];
	struct sys_stat st;

	body_file_make_name(name, exam->head.id, found->sender_number,
			    found->serial);
	if (sys_stat_at(exam->space->fd, name, &st) < 0)
		return "the file of its body is not there";
	if (!S_ISREG(st.mode) || st.size_bytes < found->size_bytes)
		return "the file of its body is too short";
	return NULL;
}

/* Whose the memory is, of each chunk that the body lies in. */
static const char *look_at_chunks(const struct exam *exam, uint64_t unit,
				  uint64_t bytes, uint32_t number)
{
	const struct mailbox_geometry *g = &exam->geometry;
	uint64_t first = unit / MAILBOX_CHUNK_UNITS;
	uint64_t last = (unit * MAILBOX_UNIT_BYTES + bytes - 1) /
			MAILBOX_CHUNK_BYTES;

	for (uint64_t chunk = first; chunk <= last; chunk++) {
		uint64_t wide = 0;
		uint32_t word = 0;
		bool is_read = g->has_heap
			? exam_read(exam, &wide, 8, g->chunks_offset + chunk * 8)
			: exam_read(exam, &word, 4, g->chunks_offset + chunk * 4);

		if (!is_read)
			return "the file is too short";
		if (g->has_heap ? heap_state(wide) == HEAP_FREE
				: word != number + 1)
			return "its memory is not its sender's";
	}
	return NULL;
}

static const char *look_at_layout(const struct body_layout *body)
{
	if (body->flags & ~(BODY_IN_FILE | BODY_HAS_EXTRA | BODY_HAS_SEGMENT) ||
	    ((body->flags & BODY_HAS_SEGMENT) &&
	     !(body->flags & BODY_HAS_EXTRA)) ||
	    body->sender_pid == 0 || body->sender_pid > INT32_MAX)
		return "what its body begins with makes no sense";
	if (body->size_bytes > PTRDIFF_MAX ||
	    (!(body->flags & BODY_IN_FILE) &&
	     body->size_bytes > BODY_IN_POOL_MAX_BYTES))
		return "the size of its body makes no sense";
	return NULL;
}

const char *exam_body(const struct exam *exam, uint64_t unit,
		      struct found *ret_found)
{
	const struct mailbox_geometry *g = &exam->geometry;
	uint64_t pool_bytes = g->index_offset - g->pool_offset, offset, span_bytes;
	struct body_layout body;
	const char *what;

	if (unit > pool_bytes / MAILBOX_UNIT_BYTES - 3)
		return "its body would lie outside of the mailbox";
	offset = g->pool_offset + unit * MAILBOX_UNIT_BYTES;
	if (!exam_read(exam, &body, sizeof(body), offset))
		return "the file is too short";
	what = look_at_layout(&body);
	if (what)
		return what;
	*ret_found = (struct found){
		.unit = unit,
		.size_bytes = body.size_bytes,
		.sender_number = identity_number(body.sender),
		.flags = body.flags,
		.offset_bytes = sizeof(body),
	};
	if (body.flags & BODY_HAS_EXTRA)
		ret_found->offset_bytes += sizeof(struct body_extra_layout);
	span_bytes = ret_found->offset_bytes +
		     (body.flags & BODY_IN_FILE ? 8 : body.size_bytes);
	if (span_bytes > pool_bytes - unit * MAILBOX_UNIT_BYTES)
		return "its body would lie outside of the mailbox";
	if (offset + span_bytes > exam->st.size_bytes)
		return "the file is too short";
	what = look_at_chunks(exam, unit, span_bytes, identity_number(body.sender));
	if (what || !(body.flags & BODY_IN_FILE))
		return what;
	if (!exam_read(exam, &ret_found->serial, 8,
		       offset + ret_found->offset_bytes))
		return "the file is too short";
	return look_at_file(exam, ret_found);
}

static uint64_t units_of(const struct found *found)
{
	uint64_t bytes = found->offset_bytes +
			 (found->flags & BODY_IN_FILE ? 8 : found->size_bytes);

	return (bytes + MAILBOX_UNIT_BYTES - 1) / MAILBOX_UNIT_BYTES;
}

static int by_unit(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

static int by_turn(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

/* Of two messages in the same memory one cannot be right: the first is kept. */
static void part_overlaps(struct exam *exam)
{
	uint64_t kept = 0, end = 0;

	if (exam->found_count == 0)
		return;
	qsort(exam->found, (size_t)exam->found_count, sizeof(*exam->found),
	      by_unit);
	for (uint64_t i = 0; i < exam->found_count; i++) {
		const struct found *found = &exam->found[i];

		if (found->unit < end) {
			exam_note(exam, TOL_FINDING_LOST, found->position,
				  "its body lies in the memory of another "
				  "message", "message");
			continue;
		}
		end = found->unit + units_of(found);
		exam->found[kept++] = *found;
	}
	exam->found_count = kept;
	qsort(exam->found, (size_t)kept, sizeof(*exam->found), by_turn);
}

/* ---- the head and the tables ---- */

static void look_at_sleepers(struct exam *exam, uint64_t word, const char *what)
{
	if ((uint32_t)word > SLEEPERS_MAX)
		note_head(exam, what);
}

static void look_at_head(struct exam *exam)
{
	const struct mailbox_layout *head = &exam->head;
	bool is_unbounded = mailbox_is_unbounded(&exam->geometry);

	if (exam->st.size_bytes < exam->geometry.file_bytes)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "it was truncated", "file");
	if (head->shape_check != mailbox_shape_check(head))
		note_head(exam, "the check of its capacity is wrong");
	/* Only who removes has a number. */
	if ((head->control & CONTROL_STATE_MASK) != CONTROL_REMOVING &&
	    head->control > CONTROL_QUARANTINED)
		note_head(exam, "its state makes no sense");
	if (is_unbounded || exam->geometry.capacity_msgs == 0
		    ? head->limit_msgs != head->capacity_msgs
		    : head->limit_msgs == 0 ||
			      head->limit_msgs > head->capacity_msgs)
		note_head(exam, "its capacity is not what it was made for");
	if (head->bell != 0)
		note_head(exam, "its bell is not 0");
	if (head->ended > 1)
		note_head(exam, "whether it is closed makes no sense");
	if (head->has_body_files > 1)
		note_head(exam, "whether it has files makes no sense");
	if (head->participants_high > MAILBOX_PARTICIPANTS_MAX)
		note_head(exam, "the number of participants makes no sense");
	if (head->holds_high > MAILBOX_HOLDS_MAX)
		note_head(exam, "the number of hold cells makes no sense");
	if (!exam->geometry.has_heap &&
	    head->chunks_high > exam->geometry.pool_chunks)
		note_head(exam, "the number of chunks makes no sense");
	look_at_sleepers(exam, head->receivers,
			 "the number of sleeping receivers makes no sense");
	look_at_sleepers(exam, head->senders,
			 "the number of sleeping senders makes no sense");
	look_at_sleepers(exam, head->dead_receivers,
			 "the number of those who sleep for dead letters makes "
			 "no sense");
}

static const char *look_at_record(const struct exam *exam, uint32_t number,
				  const struct participant_layout *record)
{
	if (record->state > PARTICIPANT_JOINED)
		return "its state makes no sense";
	if (record->state == PARTICIPANT_JOINED &&
	    number >= exam->head.participants_high)
		return "it is beyond the number of participants";
	if (record->flags & ~(PARTICIPANT_MAY_SEND | PARTICIPANT_MAY_RECV))
		return "what it may do makes no sense";
	if (record->program[sizeof(record->program) - 1])
		return "the name of its program has no end";
	if (record->current_chunk > exam->geometry.pool_chunks)
		return "its chunk makes no sense";
	return NULL;
}

static void look_at_participants(struct exam *exam)
{
	struct participant_layout records[64];

	for (uint32_t first = 0; first < MAILBOX_PARTICIPANTS_MAX; first += 64) {
		if (!exam_read(exam, records, sizeof(records),
			       exam->geometry.participants_offset +
				       first * sizeof(records[0])))
			return; /* said by look_at_head() */
		for (uint32_t i = 0; i < 64; i++) {
			const char *what = look_at_record(exam, first + i,
							  &records[i]);

			if (what)
				exam_note(exam, TOL_FINDING_DAMAGE,
					  EXAM_NO_POSITION, what,
					  "participant %u", first + i);
		}
	}
}

static void look_at_chunk_words(struct exam *exam)
{
	const struct mailbox_geometry *g = &exam->geometry;
	uint32_t words[1024];

	/* Of a heap a page that is absent has no words. */
	if (g->has_heap)
		return;
	for (uint32_t first = 0; first < g->pool_chunks; first += 1024) {
		uint32_t count = g->pool_chunks - first < 1024
					 ? g->pool_chunks - first : 1024;

		if (!exam_read(exam, words, count * sizeof(words[0]),
			       g->chunks_offset + first * sizeof(words[0])))
			return;
		for (uint32_t i = 0; i < count; i++) {
			const char *what = NULL;

			if (words[i] > MAILBOX_PARTICIPANTS_MAX)
				what = "its owner makes no sense";
			else if (words[i] && first + i >= exam->head.chunks_high)
				what = "it is beyond the number of chunks";
			if (what)
				exam_note(exam, TOL_FINDING_DAMAGE,
					  EXAM_NO_POSITION, what, "chunk %u",
					  first + i);
		}
	}
}

/* ---- hold cells ---- */

static bool read_cell(const struct exam *exam, uint32_t cell, uint64_t *ret_word,
		      struct hold_layout *ret_record)
{
	return exam_read(exam, ret_word, sizeof(*ret_word),
			 exam->geometry.holds_offset +
				 cell * sizeof(*ret_word)) &&
	       exam_read(exam, ret_record, sizeof(*ret_record),
			 exam->geometry.hold_records_offset +
				 cell * sizeof(*ret_record));
}

bool exam_cell_has(const struct exam *exam, uint32_t cell, uint64_t position)
{
	struct hold_layout record;
	uint64_t word;

	return cell < MAILBOX_HOLDS_MAX &&
	       read_cell(exam, cell, &word, &record) &&
	       (hold_state(word) == HOLD_CLAIM ||
		hold_state(word) == HOLD_HELD) &&
	       record.position == position;
}

/* A claim has the message only if the slot says so; of capacity 0, the offer's. */
static bool slot_says_taken(const struct exam *exam, uint64_t position,
			    uint32_t cell)
{
	const struct mailbox_geometry *g = &exam->geometry;
	uint64_t word, lap = position / g->ring_slots;

	if (!exam_read(exam, &word, sizeof(word),
		       g->ring_offset +
			       position % g->ring_slots * sizeof(word)))
		return false;
	if (g->capacity_msgs == 0)
		return meet_state(word) == MEET_MATCHED &&
		       meet_offer(word) == cell;
	return word == (mailbox_is_unbounded(g)
				? slot_make_unbounded(SLOT_TAKEN, lap, cell)
				: slot_make(SLOT_TAKEN, lap, cell));
}

static void look_at_cell(struct exam *exam, uint32_t cell, uint64_t word)
{
	struct hold_layout record;
	struct found found;
	const char *what;
	uint64_t again;

	/* A receiver's that waited, and no message's. */
	if (hold_state(word) == HOLD_POINT &&
	    exam->geometry.capacity_msgs == 0)
		return;
	if (hold_state(word) > HOLD_HELD_DEAD) {
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "its state makes no sense: a message in it is lost",
			  "hold cell %u", cell);
		return;
	}
	if (!read_cell(exam, cell, &again, &record)) {
		exam_note(exam, TOL_FINDING_LOST, EXAM_NO_POSITION,
			  "the file is too short", "hold cell %u", cell);
		return;
	}
	if (hold_state(word) == HOLD_CLAIM &&
	    !slot_says_taken(exam, record.position, cell))
		return;
	if (cell >= exam->head.holds_high)
		exam_note(exam, TOL_FINDING_DAMAGE, EXAM_NO_POSITION,
			  "it is beyond the number of hold cells",
			  "hold cell %u", cell);
	what = record.position >> 62 ? "its position makes no sense"
				     : exam_body(exam, record.unit, &found);
	if (what) {
		if (read_cell(exam, cell, &again, &record) && again == word)
			exam_note(exam, TOL_FINDING_LOST, record.position, what,
				  "hold cell %u", cell);
		return;
	}
	found.position = record.position;
	found.grant = hold_grant(word);
	found.first_grant = record.first_grant;
	found.kind = hold_state(word) == HOLD_DEAD ||
				     hold_state(word) == HOLD_HELD_DEAD
			     ? FOUND_DEAD : FOUND_RETURNED;
	exam_keep(exam, &found);
	if ((hold_state(word) == HOLD_RETURNED && !(uint32_t)exam->head.returns) ||
	    (hold_state(word) == HOLD_DEAD && !(uint32_t)exam->head.dead_letters))
		exam_note(exam, TOL_FINDING_DAMAGE, record.position,
			  "it came back, and the head says that nothing did",
			  "hold cell %u", cell);
}

static void look_at_cells(struct exam *exam)
{
	uint64_t words[512];

	for (uint32_t first = 0; first < MAILBOX_HOLDS_MAX; first += 512) {
		if (!exam_read(exam, words, sizeof(words),
			       exam->geometry.holds_offset +
				       first * sizeof(words[0])))
			return;
		for (uint32_t i = 0; i < 512; i++)
			if (hold_state(words[i]) != HOLD_FREE)
				look_at_cell(exam, first + i, words[i]);
	}
}

int exam_run(struct exam *exam)
{
	int err;

	exam->flaws_count = 0;
	exam->found_count = 0;
	if (!exam_read(exam, &exam->head, sizeof(exam->head), 0))
		return -EBADMSG;
	look_at_head(exam);
	exam_index(exam);
	err = exam_ring(exam);
	if (err < 0)
		return err;
	look_at_cells(exam);
	look_at_participants(exam);
	look_at_chunk_words(exam);
	part_overlaps(exam);
	return exam->error;
}
