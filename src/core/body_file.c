/* SPDX-License-Identifier: MIT */
#include "core/body_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/presence.h"
#include "core/peek.h"

void body_file_make_name(char name[BODY_FILE_NAME_BYTES], uint64_t id, uint32_t number,
		      uint64_t serial)
{
	snprintf(name, BODY_FILE_NAME_BYTES, ".body.%016" PRIx64 ".%" PRIu32 ".%" PRIx64,
		 id, number, serial);
}

bool body_file_parse(const char *name, struct body_file_name *ret_name)
{
	struct body_file_name parsed;
	char again[BODY_FILE_NAME_BYTES];

	if (sscanf(name, ".body.%16" SCNx64 ".%" SCNu32 ".%" SCNx64,
		   &parsed.id, &parsed.number, &parsed.serial) != 3)
		return false;
	body_file_make_name(again, parsed.id, parsed.number, parsed.serial);
	if (strcmp(again, name) != 0)
		return false;
	*ret_name = parsed;
	return true;
}

static int map_private_to_us(int fd, size_t size_bytes, bool writable,
			     void **ret_address)
{
	int err = sys_map(fd, 0, size_bytes, writable, NULL, ret_address);

	if (err < 0)
		return err;
	err = sys_keep_from_child(*ret_address, size_bytes);
	if (err < 0)
		sys_unmap(*ret_address, size_bytes);
	return err;
}

/* What is to be a file: bytes to be written, or a mapping to be made. */
struct content {
	const void *body;
	size_t size_bytes;
	void **ret_address;
	const char *file_name;	/* or, if not NULL, one that is there */
};

static int fill_file(int fd, const struct content *content)
{
	int err = sys_reserve(fd, 0, content->size_bytes);
	ssize_t n;

	if (err < 0)
		return err;
	if (content->ret_address)
		return map_private_to_us(fd, content->size_bytes, true,
					 content->ret_address);
	n = sys_pwrite(fd, content->body, content->size_bytes, 0);
	return n < 0 ? (int)n : 0;
}

static int write_file(struct tol_link *link, const struct space *space,
		      const struct content *content, const char *name)
{
	struct sys_stat st;
	int fd, err;

	if (content->file_name) {
		store_release_32(&link->head->has_body_files, 1);
		return sys_link_named(space->fd, content->file_name, name);
	}
	err = sys_stat_at(space->fd, link->name, &st);
	if (err < 0)
		return err == -ENOENT ? -EIDRM : err;
	fd = sys_open_unnamed(space->fd, st.mode & 0777);
	if (fd < 0)
		return fd;
	/* Where the sender may do that: for those who share by a group. */
	sys_set_group(fd, st.gid);
	err = fill_file(fd, content);
	if (err == 0) {
		store_release_32(&link->head->has_body_files, 1);
		err = sys_link_unnamed(fd, space->fd, name);
		if (err < 0 && content->ret_address)
			sys_unmap(*content->ret_address, content->size_bytes);
	}
	sys_close(fd);
	return err;
}

static int make_file(struct tol_link *link, const struct content *content,
		     uint64_t *ret_serial)
{
	struct space space;
	char name[BODY_FILE_NAME_BYTES];
	uint64_t serial;
	int err;

	err = space_open(&space, link->space_path, false);
	if (err < 0)
		return err;
	/* Before the name is there: see body_file_may_be_draft(). */
	fetch_add_32(&link->own->body_drafts_count, 1);
	do {
		/* An heir goes on counting; a file that is left is passed. */
		serial = fetch_add_64(&link->own->body_serial, 1);
		body_file_make_name(name, link->id, link->number, serial);
		err = write_file(link, &space, content, name);
	} while (err == -EEXIST);
	space_close(&space);
	if (err == 0)
		*ret_serial = serial;
	else
		body_file_end_draft(link);
	return err;
}

int body_file_write(struct tol_link *link, const void *body, size_t size_bytes,
		    uint64_t *ret_serial)
{
	struct content content = { .body = body, .size_bytes = size_bytes };

	return make_file(link, &content, ret_serial);
}

int body_file_make(struct tol_link *link, size_t size_bytes,
		   uint64_t *ret_serial, void **ret_address)
{
	struct content content = {
		.size_bytes = size_bytes,
		.ret_address = ret_address,
	};

	return make_file(link, &content, ret_serial);
}

/* The kernel may not let us link to what others own: then it is copied. */
int body_file_adopt(struct tol_link *link, const struct space *space,
		    const char *file_name, size_t size_bytes,
		    uint64_t *ret_serial)
{
	struct content content = { .file_name = file_name };
	int fd, err = make_file(link, &content, ret_serial);
	void *address;

	if (err != -EPERM && err != -EACCES && err != -EMLINK)
		return err;
	fd = sys_open_read(space->fd, file_name);
	if (fd < 0)
		return fd;
	err = sys_map(fd, 0, size_bytes, false, NULL, &address);
	sys_close(fd);
	if (err < 0)
		return err;
	err = body_file_write(link, address, size_bytes, ret_serial);
	sys_unmap(address, size_bytes);
	return err;
}

void body_file_end_draft(struct tol_link *link)
{
	fetch_sub_32(&link->own->body_drafts_count, 1);
}

int body_file_may_be_draft(int fd, const struct mailbox_geometry *geometry,
			   uint32_t number)
{
	struct participant_layout record;
	struct presence found;
	int err;

	if (number >= MAILBOX_PARTICIPANTS_MAX)
		return 0;
	err = presence_find(fd, number, 1, &found);
	if (err <= 0)
		return err;
	if (sys_pread(fd, &record, sizeof(record),
		      geometry->participants_offset +
			      number * sizeof(record)) !=
	    (ssize_t)sizeof(record))
		return -EBADMSG;
	return record.body_drafts_count > 0;
}

/*
 * Whoever may write the mailbox is trusted with what it sends, so the file may be
 * anybody's, also in a space that all may write: no other user can take the place
 * of a sender's file there.
 */
static int open_file(struct tol_link *link, uint32_t number, uint64_t serial,
		     struct sys_stat *ret_st)
{
	struct space space;
	char name[BODY_FILE_NAME_BYTES];
	int fd, err;

	err = space_open(&space, link->space_path, false);
	if (err < 0)
		return err;
	body_file_make_name(name, link->id, number, serial);
	fd = sys_open_read(space.fd, name);
	space_close(&space);
	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP ? -EBADMSG : fd;
	err = sys_stat_fd(fd, ret_st);
	if (err == 0 && !S_ISREG(ret_st->mode))
		err = -EBADMSG;
	if (err == 0)
		return fd;
	sys_close(fd);
	return err;
}

ssize_t body_file_read(struct tol_link *link, uint32_t number, uint64_t serial,
		       void *buf, size_t size_bytes)
{
	struct sys_stat st;
	int fd = open_file(link, number, serial, &st);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys_pread(fd, buf, size_bytes, 0);
	sys_close(fd);
	return n;
}

int body_file_map(struct tol_link *link, uint32_t number, uint64_t serial,
		  size_t size_bytes, void **ret_address)
{
	struct sys_stat st;
	int fd = open_file(link, number, serial, &st);
	int err = -EBADMSG;

	if (fd < 0)
		return fd;
	if (st.size_bytes >= size_bytes)
		err = map_private_to_us(fd, size_bytes, false, ret_address);
	sys_close(fd);
	return err;
}

void body_file_remove(struct tol_link *link, uint32_t number, uint64_t serial)
{
	struct space space;
	char name[BODY_FILE_NAME_BYTES];

	if (space_open(&space, link->space_path, false) < 0)
		return;
	body_file_make_name(name, link->id, number, serial);
	sys_unlink(space.fd, name);
	space_close(&space);
}

static bool is_that_body(const struct peek_body *body, uint32_t number,
			 uint64_t serial)
{
	return (body->body.flags & BODY_IN_FILE) &&
	       identity_number(body->body.sender) == number && body->serial == serial;
}

struct wanted_body {
	uint32_t number;
	uint64_t serial;
};

static int compare_body(const struct peek_body *body, void *context)
{
	const struct wanted_body *wanted = context;

	return is_that_body(body, wanted->number, wanted->serial);
}

/* Return: 1, 0, -errno */
static int is_in_slots(int fd, const struct mailbox_geometry *geometry,
		       uint32_t number, uint64_t serial)
{
	struct wanted_body wanted = { number, serial };
	struct peek_queue queue = { 0 };
	struct peek_body body;
	int err;

	if (mailbox_is_unbounded(geometry))
		return peek_unbounded(fd, geometry, &queue, compare_body,
				      &wanted);
	for (uint64_t i = 0; i < geometry->capacity_msgs; i++) {
		err = peek_slot(fd, geometry, i, &body);
		if (err < 0)
			return err;
		if (err == 1 && is_that_body(&body, number, serial))
			return 1;
	}
	return 0;
}

/* The queue, the index, the cells: a message goes from each to the next. */
int body_file_is_queued(int fd, const struct mailbox_geometry *geometry,
			uint32_t number, uint64_t serial)
{
	struct wanted_body wanted = { number, serial };
	struct peek_hold hold;
	uint32_t high;
	int err = is_in_slots(fd, geometry, number, serial);

	if (err == 0)
		err = peek_index(fd, geometry, compare_body, &wanted);
	if (err != 0)
		return err;
	err = peek_holds_high(fd, &high);
	for (uint32_t i = 0; i < high && err == 0; i++) {
		err = peek_hold(fd, geometry, i, &hold);
		if (err == 1 && is_that_body(&hold.body, number, serial))
			return 1;
		if (err > 0)
			err = 0;
	}
	return err;
}

struct sweep {
	struct tol_link *link;
	struct space space;
	int fd;
	uint32_t number;
};

static int sweep_one(const char *name, void *context)
{
	struct sweep *sweep = context;
	struct body_file_name parsed;

	if (body_file_parse(name, &parsed) && parsed.id == sweep->link->id &&
	    parsed.number == sweep->number &&
	    body_file_is_queued(sweep->fd, &sweep->link->geometry,
				parsed.number, parsed.serial) == 0)
		sys_unlink(sweep->space.fd, name);
	return 0;
}

void body_file_sweep(struct tol_link *link, int fd, uint32_t number)
{
	struct sweep sweep = { .link = link, .fd = fd, .number = number };

	if (!load_acquire_32(&link->head->has_body_files) ||
	    space_open(&sweep.space, link->space_path, false) < 0)
		return;
	sys_list_dir(sweep.space.fd, sweep_one, &sweep);
	space_close(&sweep.space);
}
