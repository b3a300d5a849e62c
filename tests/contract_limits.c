/* SPDX-License-Identifier: MIT */
/*
 * Mailboxes where memory, rights, descriptors, address space or participants
 * run out: an error that the header names, nothing lost, nothing leaked, and
 * usable again afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

#define MIB ((size_t)1 << 20)

static struct tol_link *open_link(const char *name)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	return link;
}

static struct tol_link *make(const char *name, uint64_t capacity_msgs)
{
	ck_assert_int_eq(tol_mailbox_create(name, capacity_msgs, NULL), 1);
	return open_link(name);
}

static struct tol_mailbox_stat look(const char *name)
{
	struct tol_mailbox_stat st;

	ck_assert_int_eq(tol_mailbox_stat(name, NULL, &st, NULL, NULL), 0);
	return st;
}

static unsigned char large[3 * MIB + 3];

/* A body of that size that begins with a number and ends with its low byte. */
static unsigned char *numbered(uint32_t number, size_t size_bytes)
{
	memset(large, (int)(number & 0xff), size_bytes);
	memcpy(large, &number, 4);
	return large;
}

static void recv_numbered(struct tol_link *link, uint32_t number,
			  size_t size_bytes)
{
	uint32_t got;

	ck_assert_int_eq(tol_recv(link, large, sizeof(large), TOL_NOWAIT),
			 (ssize_t)size_bytes);
	memcpy(&got, large, 4);
	ck_assert_uint_eq(got, number);
	for (size_t i = 4; i < size_bytes; i++)
		if (large[i] != (unsigned char)number)
			ck_abort_msg("byte %zu of message %u", i, number);
}

/* ---- memory -------------------------------------------------------------- */

/* Return: how many were sent before it said -ENOSPC */
static uint32_t send_until_full(struct tol_link *link, size_t size_bytes)
{
	uint32_t count = 0;
	int err;

	while ((err = tol_send(link, numbered(count, size_bytes), size_bytes,
			       TOL_NOWAIT)) == 0)
		count++;
	ck_assert_int_eq(err, -ENOSPC);
	return count;
}

START_TEST(full_tmpfs)
{
	static const size_t sizes[] = { 4,   100,     4000,   70000,
					MIB, MIB + 1, 3 * MIB };
	size_t size = sizes[_i];
	struct tol_link *link;
	uint32_t count, again;

	surroundings_mount(8 << 20);
	link = make("a", 200000);
	for (int lap = 0; lap < 2; lap++) {
		count = send_until_full(link, size);
		ck_assert_uint_ge(count, 1);
		ck_assert_uint_eq(look("a").queued_msgs, count);
		/* -ENOSPC also for one that may wait, and it stays so. */
		ck_assert_int_eq(tol_send(link, large, size, TOL_FOREVER),
				 -ENOSPC);
		ck_assert_int_eq(tol_send(link, large, sizeof(large), 1),
				 -ENOSPC);
		for (uint32_t i = 0; i < count; i++)
			recv_numbered(link, i, size);
		ck_assert_int_eq(tol_recv(link, large, 1, TOL_NOWAIT), -EAGAIN);
	}
	again = send_until_full(link, size);
	ck_assert_uint_eq(again, count);
	tol_close(link);
	link = open_link("a");
	for (uint32_t i = 0; i < count; i++)
		recv_numbered(link, i, size);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
	surroundings_unmount();
}
END_TEST

static void fill_space(void)
{
	int fd = open(surroundings_path(".filler"), O_CREAT | O_WRONLY, 0600);

	while (write(fd, large, sizeof(large)) > 0)
		;
	while (write(fd, large, 1) > 0)
		;
	close(fd);
}

/* Somebody else has taken the very last page. */
START_TEST(tmpfs_filled_by_others)
{
	struct tol_mailbox_opts there = { .if_missing = 1 };
	struct tol_segment *segment = NULL;
	struct tol_link *link, *second = NULL;
	uint32_t count = 0;
	int err;

	surroundings_mount(4 << 20);
	link = make("a", 100000);
	ck_assert_int_eq(tol_send(link, numbered(0, 4000), 4000, TOL_NOWAIT),
			 0);
	fill_space();
	ck_assert_int_eq(tol_mailbox_create("b", 64, NULL), -ENOSPC);
	ck_assert_int_eq(tol_mailbox_create("b", 64, &there), -ENOSPC);
	ck_assert_int_eq(tol_mailbox_create("a", 64, &there), 0);
	ck_assert_int_eq(tol_segment_create(&segment, "s", 1, NULL), -ENOSPC);
	ck_assert_int_eq(tol_mailbox_remove("b", NULL), -ENOENT);
	/* What has memory already may be used up; then it is an error. */
	while ((err = tol_send(link, numbered(count + 1, 4000), 4000,
			       TOL_NOWAIT)) == 0)
		count++;
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_uint_eq(look("a").queued_msgs, count + 1);
	err = tol_open(&second, "a", NULL);
	ck_assert(err == 0 || err == -ENOSPC);
	for (uint32_t i = 0; i < count + 1; i++)
		recv_numbered(err == 0 ? second : link, i, 4000);
	ck_assert_int_eq(unlink(surroundings_path(".filler")), 0);
	ck_assert_int_eq(
		tol_send(link, numbered(7, MIB + 1), MIB + 1, TOL_NOWAIT), 0);
	recv_numbered(link, 7, MIB + 1);
	tol_close(second);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
	surroundings_unmount();
}
END_TEST

/* ---- limits of the process ------------------------------------------------ */

/* libcheck writes a file at each assertion: none between these two. */
static struct rlimit limit_before;

static void limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit now;

	ck_assert_int_eq(getrlimit(resource, &limit_before), 0);
	now = limit_before;
	now.rlim_cur = value;
	if (setrlimit(resource, &now) != 0)
		abort();
}

static void unlimit(__rlimit_resource_t resource)
{
	if (setrlimit(resource, &limit_before) != 0)
		abort();
}

START_TEST(file_size_limit)
{
	static const rlim_t limits[] = { 0, 1, 4096, 65536, MIB, 2 * MIB };
	static const size_t sizes[] = { 1, 5000, 100000, MIB + 1, 3 * MIB };
	struct tol_link *link = make("a", 10);
	int sent[5], created;

	ck_assert_int_eq(
		tol_send(link, numbered(1, MIB + 1), MIB + 1, TOL_NOWAIT), 0);
	limit(RLIMIT_FSIZE, limits[_i]);
	created = tol_mailbox_create("b", 64, NULL);
	for (int i = 0; i < 5; i++)
		sent[i] = tol_send(link, numbered((uint32_t)i, sizes[i] + 3),
				   sizes[i] + 3, TOL_NOWAIT);
	unlimit(RLIMIT_FSIZE);
	ck_assert_msg(created == 1 || created == -EFBIG, "create %d", created);
	if (created == 1)
		ck_assert_int_eq(tol_mailbox_remove("b", NULL), 0);
	recv_numbered(link, 1, MIB + 1);
	for (int i = 0; i < 5; i++) {
		ck_assert_msg(sent[i] == 0 || sent[i] == -EFBIG, "send %zu: %d",
			      sizes[i], sent[i]);
		if (sizes[i] > MIB && sizes[i] > limits[_i])
			ck_assert_int_eq(sent[i], -EFBIG);
		if (sent[i] == 0)
			recv_numbered(link, (uint32_t)i, sizes[i] + 3);
	}
	ck_assert_int_eq(tol_recv(link, large, 1, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_send(link, large, 3 * MIB, TOL_NOWAIT), 0);
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}
END_TEST

static int ignore(const char *name, enum tol_kind kind, void *context)
{
	(void)name;
	(void)kind;
	(void)context;
	return 0;
}

static void tell(const struct tol_clean_event *event, void *context)
{
	(void)context;
	fprintf(stderr, "left: %s: %s\n", event->name, event->what);
}

/*
 * With 0, 1, 2... descriptors left: all calls work or say -EMFILE, and what
 * they say is true.
 */
START_TEST(descriptors_run_out)
{
	int lowest = dup(0);
	struct tol_link *link = make("a", 10), *second = NULL;
	struct tol_mailbox_stat st;
	int list, stat_error, created, opened, small, removed, body, got;

	ck_assert_int_eq(close(lowest), 0);
	ck_assert_int_eq(
		tol_send(link, numbered(3, MIB + 1), MIB + 1, TOL_NOWAIT), 0);
	limit(RLIMIT_NOFILE, (rlim_t)(lowest + _i));
	list = tol_space_list(NULL, ignore, NULL);
	stat_error = tol_mailbox_stat("a", NULL, &st, NULL, NULL);
	created = tol_mailbox_create("b", 1, NULL);
	opened = tol_open(&second, "a", NULL);
	body = tol_send(link, numbered(4, MIB + 2), MIB + 2, TOL_NOWAIT);
	small = tol_send(link, "x", 1, TOL_NOWAIT);
	got = (int)tol_recv(link, large, sizeof(large), TOL_NOWAIT);
	removed = tol_mailbox_remove("a", NULL);
	unlimit(RLIMIT_NOFILE);
	ck_assert_msg(list == 0 || list == -EMFILE, "list %d", list);
	ck_assert_msg(stat_error == 0 || stat_error == -EMFILE, "stat %d",
		      stat_error);
	ck_assert_msg(created == 1 || created == -EMFILE, "create %d", created);
	ck_assert_msg(opened == 0 || opened == -EMFILE, "open %d", opened);
	ck_assert_msg(removed == 0 || removed == -EMFILE, "remove %d", removed);
	ck_assert_msg(body == 0 || body == -EMFILE, "large send %d", body);
	ck_assert_msg(got == MIB + 1 || got == -EMFILE, "large recv %d", got);
	ck_assert_int_eq(small, 0);
	if (_i == 0)
		ck_assert(list && stat_error && created < 0 && opened &&
			  removed && body && got < 0);
	if (created == 1)
		ck_assert_int_eq(tol_mailbox_remove("b", NULL), 0);
	if (removed < 0) {
		if (got < 0)
			recv_numbered(link, 3, MIB + 1);
		if (body == 0)
			recv_numbered(link, 4, MIB + 2);
		ck_assert_int_eq(tol_recv(link, large, 1, TOL_NOWAIT), 1);
		ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
	}
	tol_close(second);
	tol_close(link);
	/* A remover that cannot list the space leaves bodies to clean. */
	ck_assert_int_le(tol_space_clean(NULL, 0, tell, NULL), removed == 0);
	ck_assert_int_eq(tol_space_clean(NULL, 0, tell, NULL), 0);
}
END_TEST

static rlim_t address_space_used(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return pages * 4096;
}

START_TEST(address_space_runs_out)
{
	struct tol_link *link = NULL, *first = make("a", 10);
	struct tol_segment *segment;
	void *address;
	int opened, attached;

	ck_assert_int_eq(tol_segment_create(&segment, NULL, 64 * MIB, NULL), 0);
	limit(RLIMIT_AS, address_space_used() + MIB);
	opened = tol_open(&link, "a", NULL);
	attached = tol_segment_attach(segment, NULL, &address);
	unlimit(RLIMIT_AS);
	ck_assert_int_eq(opened, -ENOMEM);
	ck_assert_int_eq(attached, -ENOMEM);
	ck_assert_uint_eq(look("a").senders_count, 1);
	ck_assert_uint_eq(look("a").dead_count, 0);
	tol_close(open_link("a"));
	ck_assert_int_eq(tol_segment_attach(segment, NULL, &address), 0);
	tol_segment_close(segment);
	tol_close(first);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}
END_TEST

#define PARTICIPANTS_MAX 4096

/* One more may not; after one has left it may. */
START_TEST(participants_run_out)
{
	struct tol_link **links = calloc(PARTICIPANTS_MAX, sizeof(*links));
	struct tol_link *more = NULL;
	char buf[1];

	ck_assert_int_eq(tol_mailbox_create("a", 1, NULL), 1);
	for (int i = 0; i < PARTICIPANTS_MAX; i++)
		ck_assert_int_eq(tol_open(&links[i], "a", NULL), 0);
	ck_assert_int_eq(tol_open(&more, "a", NULL), -EUSERS);
	ck_assert_uint_eq(look("a").senders_count, PARTICIPANTS_MAX);
	ck_assert_int_eq(
		tol_send(links[PARTICIPANTS_MAX - 1], "x", 1, TOL_NOWAIT), 0);
	tol_close(links[77]);
	ck_assert_int_eq(tol_open(&links[77], "a", NULL), 0);
	ck_assert_int_eq(tol_open(&more, "a", NULL), -EUSERS);
	ck_assert_int_eq(tol_recv(links[77], buf, 1, TOL_NOWAIT), 1);
	for (int i = 0; i < PARTICIPANTS_MAX; i++)
		tol_close(links[i]);
	free(links);
	ck_assert_uint_eq(look("a").senders_count, 0);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}
END_TEST

/* ---- rights --------------------------------------------------------------- */

struct attempt {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	int open_error, stat_error;
};

#define UID SURROUNDINGS_UID
#define GID SURROUNDINGS_GID

/* The file is root's, of group GID. */
static const struct attempt attempts[] = {
	{ UID, GID, 0600, -EACCES, -EACCES },
	{ UID, GID, 0606, -EACCES, -EACCES },
	{ UID, GID, 0660, 0, 0 },
	{ UID, GID, 0640, -EACCES, 0 },
	{ UID, GID, 0620, -EACCES, -EACCES },
	{ UID, GID - 1, 0660, -EACCES, -EACCES },
	{ UID, GID - 1, 0666, 0, 0 },
	{ UID, GID - 1, 0664, -EACCES, 0 },
};

static int attempt_as_other(void *context)
{
	const struct attempt *attempt = context;
	struct tol_mailbox_opts opts = { .mode = 0660, .if_missing = 1 };
	struct tol_mailbox_stat st;
	struct tol_link *link = NULL;
	int err;

	surroundings_become(attempt->uid, attempt->gid);
	if (tol_open(&link, "a", NULL) != attempt->open_error)
		return 1;
	if (tol_mailbox_stat("a", NULL, &st, NULL, NULL) != attempt->stat_error)
		return 2;
	if (link && tol_send(link, "x", 1, TOL_NOWAIT))
		return 3;
	tol_close(link);
	err = tol_mailbox_remove("a", NULL);
	if (err != -EACCES && err != -EPERM)
		return 4;
	if (tol_mailbox_create("new", 1, &opts) != -EACCES)
		return 5;
	if (tol_mailbox_create("a", 1, &opts) != attempt->stat_error)
		return 6;
	return 0;
}

START_TEST(rights_of_another_user)
{
	struct attempt attempt = attempts[_i];
	struct tol_message message;
	struct tol_link *link = make("a", 1);
	const char *path = surroundings_path("a");

	ck_assert_int_eq(chmod(support_space, 0755), 0);
	ck_assert_int_eq(chown(path, 0, GID), 0);
	ck_assert_int_eq(chmod(path, attempt.mode), 0);
	ck_assert_int_eq(support_wait(support_fork(attempt_as_other, &attempt)),
			 0);
	ck_assert_uint_eq(look("a").mode, attempt.mode);
	ck_assert_uint_eq(look("a").gid, GID);
	ck_assert_uint_eq(look("a").queued_msgs, attempt.open_error == 0);
	if (attempt.open_error == 0) {
		ck_assert_int_eq(
			tol_recv_message(link, large, 1, TOL_NOWAIT, &message),
			1);
		ck_assert_uint_eq(message.sender_uid, UID);
	}
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	Suite *suite = suite_create("contract_limits");
	TCase *tc = support_tcase("contract_limits");

	if (surroundings_can_mount()) {
		tcase_add_loop_test(tc, full_tmpfs, 0, 7);
		tcase_add_test(tc, tmpfs_filled_by_others);
	} else {
		support_skip("full_tmpfs", "needs the right to mount");
		support_skip("tmpfs_filled_by_others",
			     "needs the right to mount");
	}
	tcase_add_loop_test(tc, file_size_limit, 0, 6);
	tcase_add_loop_test(tc, descriptors_run_out, 0, 7);
	tcase_add_test(tc, address_space_runs_out);
	tcase_add_test(tc, participants_run_out);
	if (surroundings_can_setuid())
		tcase_add_loop_test(tc, rights_of_another_user, 0,
				    COUNT(attempts));
	else
		support_skip("rights_of_another_user", "needs root");
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
