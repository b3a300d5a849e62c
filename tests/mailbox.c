/* SPDX-License-Identifier: MIT */
/* Mailboxes, as the header promises them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "tolsey.h"

static struct tol_link *make(const char *name, uint64_t capacity_msgs)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_mailbox_create(name, capacity_msgs, NULL), 1);
	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	return link;
}

static void unmake(struct tol_link *link, const char *name)
{
	tol_close(link);
	ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", support_space, name);
	return path;
}

START_TEST(capacity_is_exact_and_order_kept)
{
	static const uint64_t capacities[] = { 1, 2, 3, 7, 64, 100, 1000 };
	uint64_t capacity = capacities[_i];
	struct tol_link *link = make("box", capacity);
	uint64_t sent = 0, received = 0;

	for (int lap = 0; lap < 50; lap++) {
		uint64_t got;

		while (sent - received < capacity) {
			ck_assert_int_eq(tol_send(link, &sent, 8, TOL_NOWAIT),
					 0);
			sent++;
		}
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EAGAIN);
		ck_assert_int_eq(tol_send(link, "x", 1, TOL_MSECS(1)),
				 -ETIMEDOUT);
		for (uint64_t n = capacity / 2 + 1; n > 0; n--) {
			ck_assert_int_eq(tol_recv(link, &got, 8, TOL_FOREVER),
					 8);
			ck_assert_uint_eq(got, received++);
		}
	}
	while (received < sent) {
		uint64_t got;

		ck_assert_int_eq(tol_recv(link, &got, 8, TOL_NOWAIT), 8);
		ck_assert_uint_eq(got, received++);
	}
	ck_assert_int_eq(tol_recv(link, &sent, 8, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_recv(link, &sent, 8, TOL_MSECS(1)), -ETIMEDOUT);
	unmake(link, "box");
}
END_TEST

/* Each threshold of where a body lies, by one byte: unit, run, file. */
START_TEST(every_size)
{
	static const size_t sizes[] = { 0, 1, 31, 32, 33, 95, 96, 97, 4096,
		16351, 16352, 16353, 65503, 65504, 65505, 65536,
		(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20 };
	size_t size = sizes[_i];
	struct tol_link *link = make("box", 4);
	unsigned char *body = malloc(size + 1), *got = malloc(size + 1);
	struct tol_message message;

	for (size_t i = 0; i < size; i++)
		body[i] = (unsigned char)(i * 31 + size);
	for (int turn = 0; turn < 3; turn++) {
		ck_assert_int_eq(tol_send(link, body, size, TOL_NOWAIT), 0);
		ck_assert_int_eq(tol_send(link, body, size, TOL_NOWAIT), 0);
		if (size > 0) {
			ck_assert_int_eq(tol_recv_message(link, got, size - 1,
					TOL_NOWAIT, &message), -EMSGSIZE);
			ck_assert_uint_eq(message.size_bytes, size);
		}
		for (int i = 0; i < 2; i++) {
			memset(got, 0, size);
			ck_assert_int_eq(tol_recv_message(link, got, size,
					TOL_NOWAIT, &message), (ssize_t)size);
			ck_assert_int_eq(memcmp(body, got, size), 0);
			ck_assert_int_eq(message.sender_pid, getpid());
		}
	}
	free(body);
	free(got);
	unmake(link, "box");
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	static const char *const names[] = { "", ".", "..", "../x", "a/b", "-a",
					     ".hidden", "a b", "@alice", NULL };
	char name[256];
	struct tol_link *link = NULL;

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(tol_mailbox_create(names[i], 1, NULL),
				 -EINVAL);
		ck_assert_int_eq(tol_open(&link, names[i], NULL), -EINVAL);
		ck_assert_int_eq(tol_mailbox_remove(names[i], NULL), -EINVAL);
	}
	memset(name, 'n', sizeof(name));
	name[TOL_NAME_MAX_BYTES + 1] = '\0';
	ck_assert_int_eq(tol_mailbox_create(name, 1, NULL), -EINVAL);
	name[TOL_NAME_MAX_BYTES] = '\0';
	ck_assert_int_eq(tol_mailbox_create(name, 1, NULL), 1);
	ck_assert_int_eq(tol_mailbox_remove(name, NULL), 0);
	ck_assert_int_eq(tol_mailbox_create("a", (uint64_t)1 << 40, NULL),
			 -ERANGE);
	ck_assert_int_eq(tol_open(&link, "absent", NULL), -ENOENT);
	ck_assert_int_eq(tol_mailbox_remove("absent", NULL), -ENOENT);
	ck_assert_int_eq(tol_send(NULL, "", 0, 0), -EINVAL);
	link = make("a", 1);
	ck_assert_int_eq(tol_send(link, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(tol_send(link, "", 0, -2), -EINVAL);
	ck_assert_int_eq(tol_mailbox_create("a", 1, NULL), -EEXIST);
	ck_assert_int_eq(tol_mailbox_create("a", 9,
		&(struct tol_mailbox_opts){ .if_missing = 1 }), 0);
	unmake(link, "a");
}
END_TEST

START_TEST(one_way_links)
{
	struct tol_link *link = make("box", 1), *sender, *receiver;
	char c;

	ck_assert_int_eq(tol_open(&sender, "box",
		&(struct tol_open_opts){ .flags = TOL_SEND }), 0);
	ck_assert_int_eq(tol_open(&receiver, "box",
		&(struct tol_open_opts){ .flags = TOL_RECV }), 0);
	ck_assert_int_eq(tol_send(receiver, "a", 1, TOL_NOWAIT), -EPERM);
	ck_assert_int_eq(tol_recv(sender, &c, 1, TOL_NOWAIT), -EPERM);
	ck_assert_int_eq(tol_send(sender, "a", 1, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv(receiver, &c, 1, TOL_NOWAIT), 1);
	tol_close(sender);
	tol_close(receiver);
	unmake(link, "box");
}
END_TEST

static int child_uses_parents_link(void *context)
{
	struct tol_link *link = context, *own;
	char c;

	if (tol_send(link, "x", 1, TOL_NOWAIT) != -ECHILD ||
	    tol_recv(link, &c, 1, TOL_NOWAIT) != -ECHILD)
		return 1;
	tol_close(link);
	if (tol_open(&own, "box", NULL) < 0)
		return 2;
	if (tol_send(own, "y", 1, TOL_NOWAIT) < 0)
		return 3;
	tol_close(own);
	return 0;
}

START_TEST(a_forked_child_has_to_open_anew)
{
	struct tol_link *link = make("box", 2);
	char c;

	ck_assert_int_eq(support_wait(support_fork(child_uses_parents_link,
						   link)), 0);
	ck_assert_int_eq(tol_recv(link, &c, 1, TOL_NOWAIT), 1);
	ck_assert_int_eq(c, 'y');
	unmake(link, "box");
}
END_TEST

static int sleep_in_recv(void *context)
{
	struct tol_link *link;
	char c;
	int err = tol_open(&link, "box", NULL);

	(void)context;
	if (err == 0)
		err = (int)tol_recv(link, &c, 1, TOL_FOREVER);
	return err == -EIDRM ? 0 : 1;
}

static int sleep_in_send(void *context)
{
	struct tol_link *link;
	int err = tol_open(&link, "box", NULL);

	(void)context;
	while (err == 0)
		err = tol_send(link, "x", 1, TOL_FOREVER);
	return err == -EIDRM ? 0 : 1;
}

START_TEST(removal_wakes_all_and_ends_all)
{
	struct tol_link *link = make("box", 1);
	pid_t pids[4];
	char c;

	for (int i = 0; i < 4; i++) {
		pids[i] = support_fork(_i ? sleep_in_send : sleep_in_recv,
				       NULL);
		support_wait_asleep(pids[i]);
	}
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), -EIDRM);
	ck_assert_int_eq(tol_recv(link, &c, 1, TOL_NOWAIT), -EIDRM);
	tol_close(link);
}
END_TEST

static int answer(void *context)
{
	struct tol_link *link;
	uint64_t value;

	(void)context;
	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	return tol_recv(link, &value, 8, TOL_FOREVER) == 8 && value == 7
		       ? 0 : 2;
}

START_TEST(a_message_wakes_a_sleeper)
{
	struct tol_link *link = make("box", 8);
	uint64_t value = 7;
	pid_t pids[3];

	for (int i = 0; i < 3; i++) {
		pids[i] = support_fork(answer, NULL);
		support_wait_asleep(pids[i]);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(tol_send(link, &value, 8, TOL_FOREVER), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(support_wait(pids[i]), 0);
	unmake(link, "box");
}
END_TEST

#define SENDERS 3
#define RECEIVERS 3
#define EACH 20000

struct tally {
	uint32_t seen[SENDERS][EACH];
};

static int send_numbers(void *context)
{
	uint32_t message[2] = { (uint32_t)(uintptr_t)context, 0 };
	struct tol_link *link;

	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (; message[1] < EACH; message[1]++)
		if (tol_send(link, message, 8, TOL_FOREVER) < 0)
			return 2;
	tol_close(link);
	return 0;
}

static int tally_numbers(void *context)
{
	struct tally *tally = context;
	uint32_t message[2], last[SENDERS] = { 0 };
	struct tol_link *link;

	if (tol_open(&link, "box", NULL) < 0)
		return 1;
	for (;;) {
		ssize_t n = tol_recv(link, message, 8, TOL_FOREVER);

		if (n == 0)
			break;
		if (n != 8 || message[0] >= SENDERS || message[1] >= EACH)
			return 2;
		if (message[1] + 1 <= last[message[0]])
			return 3;
		last[message[0]] = message[1] + 1;
		__atomic_fetch_add(&tally->seen[message[0]][message[1]], 1,
				   __ATOMIC_RELAXED);
	}
	tol_close(link);
	return 0;
}

START_TEST(each_message_to_one_receiver)
{
	static const uint64_t capacities[] = { 1, 2, 5, 64 };
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tol_link *link = make("box", capacities[_i]);
	pid_t senders[SENDERS], receivers[RECEIVERS];

	for (uintptr_t i = 0; i < RECEIVERS; i++)
		receivers[i] = support_fork(tally_numbers, tally);
	for (uintptr_t i = 0; i < SENDERS; i++)
		senders[i] = support_fork(send_numbers, (void *)i);
	for (int i = 0; i < SENDERS; i++)
		ck_assert_int_eq(support_wait(senders[i]), 0);
	for (int i = 0; i < RECEIVERS; i++)
		ck_assert_int_eq(tol_send(link, NULL, 0, TOL_FOREVER), 0);
	for (int i = 0; i < RECEIVERS; i++)
		ck_assert_int_eq(support_wait(receivers[i]), 0);
	for (int s = 0; s < SENDERS; s++)
		for (int i = 0; i < EACH; i++)
			ck_assert_uint_eq(tally->seen[s][i], 1);
	munmap(tally, sizeof(*tally));
	unmake(link, "box");
}
END_TEST

START_TEST(stat_tells)
{
	struct tol_link *link = make("box", 5);
	struct tol_mailbox_stat stat;
	char c[8];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(tol_send(link, "abcd", 4, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_recv(link, c, 8, TOL_NOWAIT), 4);
	ck_assert_int_eq(tol_mailbox_stat("box", NULL, &stat, NULL, NULL), 0);
	ck_assert_int_eq(stat.state, TOL_MAILBOX_LIVE);
	ck_assert_uint_eq(stat.capacity_msgs, 5);
	ck_assert_uint_eq(stat.queued_msgs, 2);
	ck_assert_uint_eq(stat.queued_bytes, 8);
	ck_assert_uint_eq(stat.sent_msgs, 3);
	ck_assert_uint_eq(stat.received_msgs, 1);
	ck_assert_uint_eq(stat.senders_count, 1);
	ck_assert_uint_eq(stat.receivers_count, 1);
	ck_assert_int_eq(stat.mode, 0600);
	ck_assert_int_eq(stat.creator_pid, getpid());
	unmake(link, "box");
}
END_TEST

/* At most 64 KiB until it is used. */
START_TEST(an_idle_mailbox_is_small)
{
	struct stat st;

	ck_assert_int_eq(tol_mailbox_create("box", TOL_CAPACITY_DEFAULT_MSGS,
					    NULL), 1);
	ck_assert_int_eq(stat(path_of("box"), &st), 0);
	ck_assert_int_le(st.st_blocks * 512, 64 << 10);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), 0);
}
END_TEST

static void patch(const char *name, off_t offset, const void *bytes,
		  size_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, size, offset), (ssize_t)size);
	close(fd);
}

START_TEST(foreign_bytes_are_errors)
{
	struct tol_layout object, own;
	struct tol_link *link = NULL;
	uint32_t newer = 99;
	int fd;

	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	patch("box", 8, &newer, 4);
	ck_assert_int_eq(tol_open(&link, "box", NULL), -EPROTO);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), -EPROTO);
	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	patch("box", 24, &newer, 4);
	ck_assert_int_eq(tol_open(&link, "box", NULL), -EPROTO);
	ck_assert_int_eq(tol_object_layout("box", NULL, &object, &own), 0);
	ck_assert_uint_eq(object.version, own.version);
	ck_assert_uint_ne(object.signature, own.signature);
	ck_assert_int_eq(tol_mailbox_remove("box", NULL), -EPROTO);
	ck_assert_int_eq(tol_object_layout("box", NULL, &object, &own),
			 -ENOENT);
	ck_assert_int_eq(tol_mailbox_create("box", 1, NULL), 1);
	ck_assert_int_eq(truncate(path_of("box"), 4096), 0);
	ck_assert_int_eq(tol_open(&link, "box", NULL), -EBADMSG);
	ck_assert_int_eq(truncate(path_of("box"), 7), 0);
	ck_assert_int_eq(tol_open(&link, "box", NULL), -EBADMSG);
	unlink(path_of("box"));
	fd = open(path_of("noise"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, "this is no mailbox at all, but long enough "
			       "to be read as one", 60), 60);
	close(fd);
	ck_assert_int_eq(tol_open(&link, "noise", NULL), -EBADMSG);
	ck_assert_int_eq(tol_mailbox_remove("noise", NULL), -EBADMSG);
}
END_TEST

/* Noise over everything that is shared: an error or a success, no crash. */
START_TEST(noise_in_a_live_mailbox)
{
	unsigned int seed = support_seed() + (unsigned int)_i;
	struct tol_link *link = make("box", 8);
	unsigned char *got = malloc(2 << 20);
	int fd = open(path_of("box"), O_RDWR | O_CLOEXEC);

	for (int round = 0; round < 400; round++) {
		off_t offset = 128 + rand_r(&seed) % 8000;
		uint64_t noise = (uint64_t)rand_r(&seed) << 33 ^
				 (uint64_t)rand_r(&seed);
		ssize_t n;

		ck_assert_int_eq(pwrite(fd, &noise, (size_t)(1 + round % 8), offset),
				 1 + round % 8);
		n = tol_send(link, got, (size_t)rand_r(&seed) % 3000,
			     TOL_NOWAIT);
		ck_assert(n == 0 || n == -EAGAIN || n == -EBADMSG ||
			  n == -EIDRM || n == -ENOSPC || n == -ESHUTDOWN);
		n = tol_recv(link, got, 2 << 20, TOL_NOWAIT);
		ck_assert(n >= 0 || n == -EAGAIN || n == -EBADMSG ||
			  n == -EIDRM || n == -EMSGSIZE || n == -ENODATA);
	}
	close(fd);
	free(got);
	tol_close(link);
	tol_mailbox_remove("box", NULL);
	unlink(path_of("box"));
}
END_TEST

/* Another kind, a link, a pipe, a directory under the name. */
START_TEST(other_files_are_refused)
{
	struct tol_link *link = NULL;
	struct tol_segment *segment = NULL;

	ck_assert_int_eq(symlink("box", path_of("link")), 0);
	ck_assert_int_eq(tol_open(&link, "link", NULL), -ELOOP);
	unlink(path_of("link"));
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
	ck_assert_int_eq(tol_open(&link, "fifo", NULL), -EMEDIUMTYPE);
	unlink(path_of("fifo"));
	ck_assert_int_eq(mkdir(path_of("dir"), 0700), 0);
	ck_assert_int_eq(tol_open(&link, "dir", NULL), -EMEDIUMTYPE);
	rmdir(path_of("dir"));
	ck_assert_int_eq(tol_segment_create(&segment, "seg", 10, NULL), 0);
	ck_assert_int_eq(tol_open(&link, "seg", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_mailbox_remove("seg", NULL), -EMEDIUMTYPE);
	tol_segment_close(segment);
	ck_assert_int_eq(tol_segment_remove("seg", NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mailbox");
	TCase *tcase = support_tcase("mailbox");

	tcase_add_loop_test(tcase, capacity_is_exact_and_order_kept, 0, 7);
	tcase_add_loop_test(tcase, every_size, 0, 20);
	tcase_add_test(tcase, bad_arguments_are_refused);
	tcase_add_test(tcase, one_way_links);
	tcase_add_test(tcase, a_forked_child_has_to_open_anew);
	tcase_add_loop_test(tcase, removal_wakes_all_and_ends_all, 0, 2);
	tcase_add_test(tcase, a_message_wakes_a_sleeper);
	tcase_add_loop_test(tcase, each_message_to_one_receiver, 0, 4);
	tcase_add_test(tcase, stat_tells);
	tcase_add_test(tcase, an_idle_mailbox_is_small);
	tcase_add_test(tcase, foreign_bytes_are_errors);
	tcase_add_loop_test(tcase, noise_in_a_live_mailbox, 0, 10);
	tcase_add_test(tcase, other_files_are_refused);
	suite_add_tcase(suite, tcase);
	return support_run(suite);
}
