/* SPDX-License-Identifier: MIT */
/*
 * Mailboxes as things with names: what the header says of them, sentence by
 * sentence, written from the header alone. Sending and receiving
 * is in contract_link.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "surroundings.h"
#include "tolsey.h"

static int create(const char *name, uint64_t capacity_msgs)
{
	return tol_mailbox_create(name, capacity_msgs, NULL);
}

static int unmake(const char *name)
{
	return tol_mailbox_remove(name, NULL);
}

static struct tol_link *open_link(const char *name)
{
	struct tol_link *link = NULL;

	ck_assert_int_eq(tol_open(&link, name, NULL), 0);
	ck_assert_ptr_nonnull(link);
	return link;
}

static struct tol_mailbox_stat look(const char *name)
{
	struct tol_mailbox_stat st;

	memset(&st, 0xff, sizeof(st));
	ck_assert_int_eq(tol_mailbox_stat(name, NULL, &st, NULL, NULL), 0);
	return st;
}

static void make_segment(const char *name)
{
	struct tol_segment *segment;

	ck_assert_int_eq(tol_segment_create(&segment, name, 100, NULL), 0);
	tol_segment_close(segment);
}

static void write_file(const char *name, const void *bytes, size_t size_bytes)
{
	FILE *file = fopen(surroundings_path(name), "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size_bytes, file), size_bytes);
	ck_assert_int_eq(fclose(file), 0);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(surroundings_path(name), &st) == 0;
}

/* ---- mailboxes ---------------------------------------------------------- */

START_TEST(create_capacities)
{
	static const uint64_t good[] = {
		1,
		2,
		31,
		64,
		1000,
		TOL_CAPACITY_MAX_MSGS - 1,
		TOL_CAPACITY_MAX_MSGS,
	};
	static const uint64_t too_many[] = {
		TOL_CAPACITY_MAX_MSGS + 1,
		(uint64_t)1 << 32,
		(uint64_t)1 << 40,
		UINT64_MAX - 1,
	};

	ck_assert_int_eq(create("a", 0), 1);
	ck_assert_uint_eq(look("a").capacity_msgs, 0);
	ck_assert_int_eq(tol_mailbox_remove("a", NULL), 0);
	for (size_t i = 0; i < sizeof(too_many) / sizeof(too_many[0]); i++)
		ck_assert_int_eq(create("a", too_many[i]), -ERANGE);
	ck_assert(!exists("a"));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(create("a", good[i]), 1);
		ck_assert_uint_eq(look("a").capacity_msgs, good[i]);
		ck_assert_int_eq(create("a", good[i]), -EEXIST);
		ck_assert_int_eq(unmake("a"), 0);
	}
}
END_TEST

START_TEST(create_modes)
{
	static const mode_t good[] = { 0600, 0640, 0660, 0666, 0644, 0622 };
	static const mode_t bad[] = { 010600, 04600,          02600,
				      01600,  S_IFREG | 0600, (mode_t)-1 };
	struct tol_mailbox_opts opts = { 0 };
	struct tol_segment_opts segment_opts = { 0 };
	struct tol_segment *s;
	struct stat st;

	umask(0077);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		opts.mode = segment_opts.mode = good[i];
		ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), 1);
		ck_assert_int_eq(stat(surroundings_path("a"), &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, good[i]);
		ck_assert_uint_eq(look("a").mode, good[i]);
		ck_assert_int_eq(unmake("a"), 0);
		ck_assert_int_eq(tol_segment_create(&s, "s", 1, &segment_opts),
				 0);
		tol_segment_close(s);
		ck_assert_int_eq(stat(surroundings_path("s"), &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, good[i]);
		ck_assert_int_eq(tol_segment_remove("s", NULL), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		opts.mode = segment_opts.mode = bad[i];
		ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), -EINVAL);
		ck_assert_int_eq(tol_segment_create(&s, "s", 1, &segment_opts),
				 -EINVAL);
	}
	umask(0);
	ck_assert_int_eq(create("a", 1), 1);
	ck_assert_uint_eq(look("a").mode, 0600);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

START_TEST(create_if_missing)
{
	struct tol_mailbox_opts opts = { .if_missing = 1, .mode = 0640 };
	struct tol_link *link;

	ck_assert_int_eq(tol_mailbox_create("a", 5, &opts), 1);
	link = open_link("a");
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	opts.mode = 0666;
	ck_assert_int_eq(tol_mailbox_create("a", 9, &opts), 0);
	ck_assert_uint_eq(look("a").capacity_msgs, 5);
	ck_assert_uint_eq(look("a").mode, 0640);
	ck_assert_uint_eq(look("a").queued_msgs, 1);
	tol_close(link);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

/* Of those, a file without our head could be a mailbox that was damaged. */
START_TEST(create_where_something_is)
{
	static const char *const names[] = { "segment", "dir", "fifo", "text",
					     "empty" };
	struct tol_mailbox_opts there = { .if_missing = 1 };

	make_segment("segment");
	write_file("text", "a text of some other program\n", 29);
	write_file("empty", "", 0);
	ck_assert_int_eq(mkdir(surroundings_path("dir"), 0700), 0);
	ck_assert_int_eq(mkfifo(surroundings_path("fifo"), 0600), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int error = i < 3 ? -EMEDIUMTYPE : -EBADMSG;
		struct tol_link *link = NULL;
		struct tol_mailbox_stat st;

		ck_assert_int_eq(create(names[i], 1), -EEXIST);
		ck_assert_msg(tol_mailbox_create(names[i], 1, &there) ==
				      -EMEDIUMTYPE,
			      "%s", names[i]);
		ck_assert_int_eq(tol_open(&link, names[i], NULL), error);
		ck_assert_int_eq(
			tol_mailbox_stat(names[i], NULL, &st, NULL, NULL),
			error);
		ck_assert_int_eq(unmake(names[i]), error);
		ck_assert_int_eq(exists(names[i]), i < 3);
	}
	ck_assert_int_eq(tol_segment_remove("segment", NULL), 0);
	ck_assert_int_eq(unlink(surroundings_path("fifo")), 0);
	ck_assert_int_eq(rmdir(surroundings_path("dir")), 0);
}
END_TEST

START_TEST(symbolic_links_are_not_followed)
{
	struct tol_segment *segment = NULL;
	struct tol_mailbox_stat st;
	struct tol_link *link = NULL;
	char target[128];

	ck_assert_int_eq(create("a", 1), 1);
	make_segment("s");
	snprintf(target, sizeof(target), "%s", surroundings_path("a"));
	ck_assert_int_eq(symlink(target, surroundings_path("to-a")), 0);
	ck_assert_int_eq(symlink("s", surroundings_path("to-s")), 0);
	ck_assert_int_eq(tol_open(&link, "to-a", NULL), -ELOOP);
	ck_assert_int_eq(tol_mailbox_stat("to-a", NULL, &st, NULL, NULL),
			 -ELOOP);
	ck_assert_int_eq(tol_segment_open(&segment, "to-s", NULL), -ELOOP);
	ck_assert(!link && !segment);
	ck_assert_int_eq(create("to-a", 1), -EEXIST);
	ck_assert_int_lt(unmake("to-a"), 0);
	ck_assert_int_lt(tol_segment_remove("to-s", NULL), 0);
	ck_assert(exists("a") && exists("s"));
	unlink(surroundings_path("to-a"));
	unlink(surroundings_path("to-s"));
	ck_assert_int_eq(unmake("a"), 0);
	ck_assert_int_eq(tol_segment_remove("s", NULL), 0);
}
END_TEST

#define CREATORS_COUNT 8

static int create_after(void *context)
{
	struct tol_mailbox_opts opts = { .if_missing = 1 };
	int *gate = context;
	char c;
	int error;

	close(gate[1]);
	if (read(gate[0], &c, 1) != 0)
		return 9;
	error = tol_mailbox_create("a", 3, gate[2] ? &opts : NULL);
	return error == 1 ? 1 : error == (gate[2] ? 0 : -EEXIST) ? 2 : 3;
}

START_TEST(one_of_many_creators_makes_it)
{
	pid_t pids[CREATORS_COUNT];
	int made = 0, there = 0, gate[3] = { 0, 0, _i };

	ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
	for (int i = 0; i < CREATORS_COUNT; i++)
		pids[i] = support_fork(create_after, gate);
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < CREATORS_COUNT; i++) {
		int result = support_wait(pids[i]);

		made += result == 1;
		there += result == 2;
	}
	ck_assert_int_eq(made, 1);
	ck_assert_int_eq(there, CREATORS_COUNT - 1);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

static int create_all_the_time(void *context)
{
	struct tol_mailbox_opts there = { .if_missing = 1 };
	volatile int *stop = context;

	while (!*stop) {
		int err = tol_mailbox_create("a", 1, &there);

		if (err < 0)
			return -err;
	}
	return 0;
}

/* One that goes while if_missing looks at it is missing. */
START_TEST(if_missing_while_others_remove)
{
	int *stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = support_fork(create_all_the_time, stop);

	for (int i = 0; i < 5000; i++) {
		int err = unmake("a");

		ck_assert(err == 0 || err == -ENOENT);
	}
	*stop = 1;
	ck_assert_int_eq(support_wait(pid), 0);
	unmake("a");
	munmap(stop, sizeof(*stop));
}
END_TEST

START_TEST(file_system_that_cannot)
{
	struct tol_mailbox_opts opts = { .space = "/proc" };
	struct tol_segment_opts segment_opts = { .space = "/proc" };
	struct tol_segment *s = NULL;
	/* Who may not write there does not come so far. */
	int error = access("/proc", W_OK) == 0 ? -EOPNOTSUPP : -EACCES;

	ck_assert_int_eq(tol_mailbox_create("a", 1, &opts), error);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, &segment_opts), error);
}
END_TEST

static int sleep_in_recv(void *name)
{
	struct tol_link *link = open_link(name);
	char buf[8];

	return (int)-tol_recv(link, buf, 8, TOL_FOREVER);
}

static int sleep_in_send(void *name)
{
	return -tol_send(open_link(name), "y", 1, INT64_MAX);
}

START_TEST(remove_wakes_and_name_is_free)
{
	struct tol_link *old, *new;
	pid_t receivers[3], senders[3];
	char buf[8];

	ck_assert_int_eq(create("full", 1), 1);
	ck_assert_int_eq(create("empty", 1), 1);
	old = open_link("full");
	ck_assert_int_eq(tol_send(old, "x", 1, TOL_NOWAIT), 0);
	for (int i = 0; i < 3; i++) {
		receivers[i] = support_fork(sleep_in_recv, "empty");
		senders[i] = support_fork(sleep_in_send, "full");
		support_wait_asleep(receivers[i]);
		support_wait_asleep(senders[i]);
	}
	ck_assert_int_eq(unmake("full"), 0);
	ck_assert_int_eq(unmake("empty"), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(support_wait(receivers[i]), EIDRM);
		ck_assert_int_eq(support_wait(senders[i]), EIDRM);
	}
	ck_assert_int_eq(unmake("full"), -ENOENT);
	ck_assert_int_eq(tol_open(&new, "full", NULL), -ENOENT);
	ck_assert_int_eq(create("full", 2), 1);
	new = open_link("full");
	ck_assert_int_eq(tol_send(old, "x", 1, TOL_FOREVER), -EIDRM);
	ck_assert_int_eq(tol_send(old, "x", 1, TOL_NOWAIT), -EIDRM);
	ck_assert_int_eq(tol_recv(old, buf, 8, TOL_NOWAIT), -EIDRM);
	ck_assert_int_eq(tol_recv(new, buf, 8, TOL_NOWAIT), -EAGAIN);
	ck_assert_int_eq(tol_send(new, "z", 1, TOL_NOWAIT), 0);
	tol_close(old);
	ck_assert_int_eq(tol_recv(new, buf, 8, TOL_NOWAIT), 1);
	ck_assert_int_eq(buf[0], 'z');
	ck_assert_uint_eq(look("full").capacity_msgs, 2);
	tol_close(new);
	ck_assert_int_eq(unmake("full"), 0);
}
END_TEST

/* ---- stat ------------------------------------------------------------ */

struct seen {
	int count;
	struct tol_participant_stat of[8];
};

static void see(const struct tol_participant_stat *participant, void *context)
{
	struct seen *seen = context;

	if (seen->count < 8)
		seen->of[seen->count] = *participant;
	seen->count++;
}

static const struct tol_participant_stat *find(const struct seen *seen,
					       pid_t pid)
{
	for (int i = 0; i < seen->count && i < 8; i++)
		if (seen->of[i].pid == pid)
			return &seen->of[i];
	ck_abort_msg("pid %d is not listed", (int)pid);
	return NULL;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

START_TEST(stat_of_an_unused_mailbox)
{
	int64_t before = now_ns() - 10000000;
	struct tol_mailbox_stat st;
	struct seen seen = { 0 };
	struct stat file;

	ck_assert_int_eq(create("a", TOL_CAPACITY_DEFAULT_MSGS), 1);
	ck_assert_int_eq(tol_mailbox_stat("a", NULL, &st, see, &seen), 0);
	ck_assert_int_eq(stat(surroundings_path("a"), &file), 0);
	ck_assert_int_eq(seen.count, 0);
	ck_assert_int_eq(st.state, TOL_MAILBOX_LIVE);
	ck_assert_uint_gt(st.layout_version, 0);
	ck_assert_uint_eq(st.capacity_msgs, TOL_CAPACITY_DEFAULT_MSGS);
	ck_assert_uint_eq(st.queued_msgs | st.queued_bytes | st.sent_msgs |
				  st.received_msgs,
			  0);
	ck_assert_uint_eq(st.senders_count | st.receivers_count |
				  st.waiting_senders_count |
				  st.waiting_receivers_count | st.dead_count,
			  0);
	ck_assert_uint_eq(st.memory_bytes, (uint64_t)file.st_blocks * 512);
	ck_assert_uint_le(st.memory_bytes, 64 << 10);
	ck_assert_uint_eq(st.mode, 0600);
	ck_assert_uint_eq(st.uid, getuid());
	ck_assert_uint_eq(st.gid, file.st_gid);
	ck_assert_int_eq(st.creator_pid, getpid());
	ck_assert_int_ge(st.created_unix_ns, before);
	ck_assert_int_le(st.created_unix_ns, now_ns());
	ck_assert_int_eq(chmod(surroundings_path("a"), 0664), 0);
	ck_assert_uint_eq(look("a").mode, 0664);
	memset(&st, 0x5a, sizeof(st));
	ck_assert_int_eq(tol_mailbox_stat("b", NULL, &st, NULL, NULL), -ENOENT);
	for (size_t i = 0; i < sizeof(st); i++)
		ck_assert_uint_eq(((unsigned char *)&st)[i], 0x5a);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

START_TEST(stat_counts_messages)
{
	static char large[(1 << 20) + 1];
	struct tol_mailbox_stat st;
	struct tol_link *link;
	uint64_t memory;

	ck_assert_int_eq(create("a", 10), 1);
	link = open_link("a");
	ck_assert_int_eq(tol_send(link, "", 0, TOL_NOWAIT), 0);
	ck_assert_int_eq(tol_send(link, large, 100, TOL_NOWAIT), 0);
	memory = look("a").memory_bytes;
	ck_assert_int_eq(tol_send(link, large, sizeof(large), TOL_NOWAIT), 0);
	st = look("a");
	ck_assert_uint_eq(st.queued_msgs, 3);
	ck_assert_uint_eq(st.queued_bytes, sizeof(large) + 100);
	ck_assert_uint_ge(st.memory_bytes, memory + sizeof(large));
	for (int i = 0; i < 3; i++)
		ck_assert_int_ge(
			tol_recv(link, large, sizeof(large), TOL_NOWAIT), 0);
	st = look("a");
	ck_assert_uint_eq(st.queued_msgs, 0);
	ck_assert_uint_eq(st.queued_bytes, 0);
	ck_assert_uint_eq(st.sent_msgs, 3);
	ck_assert_uint_eq(st.received_msgs, 3);
	ck_assert_uint_lt(st.memory_bytes, memory + sizeof(large));
	tol_close(link);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

static int sleep_only_receiver(void *name)
{
	struct tol_open_opts opts = { .flags = TOL_RECV };
	struct tol_link *link;
	char buf[8];

	return tol_open(&link, name, &opts) ||
	       tol_recv(link, buf, 8, TOL_FOREVER) < 0;
}

START_TEST(stat_tells_who_takes_part)
{
	struct tol_open_opts opts = { .flags = TOL_SEND };
	const struct tol_participant_stat *it;
	struct tol_mailbox_stat st;
	struct seen seen = { 0 };
	struct tol_link *send_only;
	char program[16] = { 0 };
	pid_t pid;
	FILE *comm = fopen("/proc/self/comm", "re");

	ck_assert(comm && fscanf(comm, "%15s", program) == 1);
	fclose(comm);
	ck_assert_int_eq(create("a", 10), 1);
	ck_assert_int_eq(tol_open(&send_only, "a", &opts), 0);
	pid = support_fork(sleep_only_receiver, "a");
	support_wait_asleep(pid);
	ck_assert_int_eq(tol_mailbox_stat("a", NULL, &st, see, &seen), 0);
	ck_assert_uint_eq(st.senders_count, 1);
	ck_assert_uint_eq(st.receivers_count, 1);
	ck_assert_uint_eq(st.waiting_receivers_count, 1);
	ck_assert_uint_eq(st.waiting_senders_count, 0);
	ck_assert_int_eq(seen.count, 2);
	it = find(&seen, pid);
	ck_assert(it->may_recv && !it->may_send && it->alive);
	ck_assert_uint_eq(it->waiting_recv, 1);
	ck_assert_uint_eq(it->waiting_send, 0);
	it = find(&seen, getpid());
	ck_assert(it->may_send && !it->may_recv && it->alive);
	ck_assert_str_eq(it->program, program);
	kill(pid, SIGKILL);
	ck_assert_int_eq(support_wait(pid), -SIGKILL);
	st = look("a");
	ck_assert_uint_eq(st.receivers_count, 0);
	ck_assert_uint_eq(st.waiting_receivers_count, 0);
	ck_assert_uint_eq(st.dead_count, 1);
	tol_close(send_only);
	ck_assert_uint_eq(look("a").senders_count, 0);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

START_TEST(stat_tells_that_a_sender_waits)
{
	struct tol_link *link;
	char buf[8];
	pid_t pid;

	ck_assert_int_eq(create("a", 1), 1);
	link = open_link("a");
	ck_assert_int_eq(tol_send(link, "x", 1, TOL_NOWAIT), 0);
	pid = support_fork(sleep_in_send, "a");
	support_wait_asleep(pid);
	ck_assert_uint_eq(look("a").waiting_senders_count, 1);
	ck_assert_uint_eq(look("a").senders_count, 2);
	ck_assert_uint_eq(look("a").receivers_count, 2);
	ck_assert_int_eq(tol_recv(link, buf, 8, TOL_NOWAIT), 1);
	ck_assert_int_eq(tol_recv(link, buf, 8, TOL_FOREVER), 1);
	ck_assert_int_eq(support_wait(pid), 0);
	ck_assert_uint_eq(look("a").waiting_senders_count, 0);
	tol_close(link);
	ck_assert_int_eq(unmake("a"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract_mailbox");
	TCase *tc = support_tcase("contract_mailbox");

	tcase_add_test(tc, create_capacities);
	tcase_add_test(tc, create_modes);
	tcase_add_test(tc, create_if_missing);
	tcase_add_test(tc, create_where_something_is);
	tcase_add_test(tc, symbolic_links_are_not_followed);
	tcase_add_loop_test(tc, one_of_many_creators_makes_it, 0, 2);
	tcase_add_test(tc, if_missing_while_others_remove);
	tcase_add_test(tc, file_system_that_cannot);
	tcase_add_test(tc, remove_wakes_and_name_is_free);
	tcase_add_test(tc, stat_of_an_unused_mailbox);
	tcase_add_test(tc, stat_counts_messages);
	tcase_add_test(tc, stat_tells_who_takes_part);
	tcase_add_test(tc, stat_tells_that_a_sender_waits);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
