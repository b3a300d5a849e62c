/* SPDX-License-Identifier: MIT */
/*
 * Segments: the contract of the header, call by call. segment_fork.c has what
 * happens to them over the ends and forks of processes.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layout/segment.h"
#include "surroundings.h"
#include "tolsey.h"

static struct tol_segment *make(const char *name, uint64_t size_bytes,
				unsigned int flags)
{
	struct tol_segment *segment = NULL;
	struct tol_segment_opts opts = { .flags = flags };

	ck_assert_int_eq(tol_segment_create(&segment, name, size_bytes, &opts),
			 0);
	return segment;
}

static void *attach(struct tol_segment *segment, unsigned int flags)
{
	struct tol_attach_opts opts = { .flags = flags };
	void *address = NULL;

	ck_assert_int_eq(tol_segment_attach(segment, &opts, &address), 0);
	return address;
}

static struct tol_segment_stat look(struct tol_segment *segment)
{
	struct tol_segment_stat st;

	ck_assert_int_eq(tol_segment_stat(segment, &st), 0);
	return st;
}

static int wait_for(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void write_file(const char *name, const void *bytes, size_t size_bytes)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", support_space, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, size_bytes, f), size_bytes);
	fclose(f);
}

static void remove_file(const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", support_space, name);
	ck_assert_int_eq(unlink(path), 0);
}

START_TEST(five_steps)
{
	struct tol_segment *a = make("a", 100, 0), *b;
	struct tol_segment_stat st;
	char *p = attach(a, 0), *q;

	strcpy(p, "Writing to shared memory");
	ck_assert_int_eq(tol_segment_open(&b, "a", NULL), 0);
	q = attach(b, TOL_ATTACH_READONLY);
	ck_assert_str_eq(q, "Writing to shared memory");
	st = look(b);
	ck_assert_uint_eq(st.size_bytes, 100);
	ck_assert_uint_eq(st.attach_count, 2);
	ck_assert_uint_eq(st.attach_write_count, 1);
	ck_assert_int_eq(st.creator_pid, getpid());
	ck_assert_int_eq(st.last_pid, getpid());
	ck_assert_uint_eq(st.mode, 0600);
	ck_assert_uint_eq(st.uid, geteuid());
	ck_assert(!st.is_private && !st.is_sealed && !st.is_lazy &&
		  !st.is_removed);
	ck_assert(st.attached_unix_ns >= st.created_unix_ns);
	ck_assert_int_eq(st.detached_unix_ns, 0);
	ck_assert_int_eq(st.changed_unix_ns, st.created_unix_ns);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	ck_assert(look(b).is_removed);
	ck_assert_int_eq(tol_segment_detach(a, p), 0);
	ck_assert_int_eq(tol_segment_detach(a, p), -EINVAL);
	st = look(b);
	ck_assert_uint_eq(st.attach_count, 1);
	ck_assert(st.detached_unix_ns >= st.attached_unix_ns);
	tol_segment_close(a);
	ck_assert_str_eq(q, "Writing to shared memory");
	tol_segment_close(b);
	tol_segment_close(NULL);
}
END_TEST

START_TEST(bad_arguments)
{
	struct tol_segment *s = NULL;
	struct tol_segment_opts flags = { .flags = 4 }, mode = { .mode = 04600 };
	struct tol_attach_opts attach_flags = { .flags = 32 };
	struct tol_attach_opts odd = { .address = (void *)0x10001 };
	char long_name[260];
	void *p;

	memset(long_name, 'a', sizeof(long_name));
	long_name[201] = '\0';
	ck_assert_int_eq(tol_segment_create(&s, "", 1, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "../x", 1, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, long_name, 1, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "a", 0, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, &flags), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, &mode), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "a",
			 TOL_SEGMENT_SIZE_MAX_BYTES + 1, NULL), -EFBIG);
	ck_assert_int_eq(tol_segment_open(&s, NULL, NULL), -EINVAL);
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -ENOENT);
	ck_assert_int_eq(tol_segment_remove("a", NULL), -ENOENT);
	ck_assert_ptr_null(s);
	s = make("a", 1, 0);
	ck_assert_int_eq(tol_segment_attach(s, &attach_flags, &p), -EINVAL);
	ck_assert_int_eq(tol_segment_attach(s, &odd, &p), -EINVAL);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, NULL), -EEXIST);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

START_TEST(sizes_from_one_byte_to_64_gib)
{
	static const uint64_t sizes[] = { 1, 4095, 4096, 4097, 1 << 20 };
	struct tol_segment *s;
	char *p;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		s = make("a", sizes[i], 0);
		p = attach(s, 0);
		ck_assert_int_eq(p[sizes[i] - 1], 0);
		p[sizes[i] - 1] = 1;
		ck_assert_uint_eq(look(s).size_bytes, sizes[i]);
		ck_assert_uint_ge(look(s).memory_bytes, sizes[i]);
		tol_segment_close(s);
		ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	}
	s = make("a", UINT64_C(64) << 30, TOL_SEGMENT_LAZY);
	p = attach(s, 0);
	p[(UINT64_C(64) << 30) - 1] = 1;
	ck_assert_uint_eq(look(s).size_bytes, UINT64_C(64) << 30);
	ck_assert_uint_lt(look(s).memory_bytes, 1 << 20);
	ck_assert(look(s).is_lazy);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

START_TEST(mode_is_exact)
{
	struct tol_segment_opts opts = { .mode = 0666 };
	struct tol_segment *s;

	umask(077);
	ck_assert_int_eq(tol_segment_create(&s, "a", 1, &opts), 0);
	ck_assert_uint_eq(look(s).mode, 0666);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	ck_assert_int_eq(tol_segment_create(&s, NULL, 1, &opts), 0);
	ck_assert_uint_eq(look(s).mode, 0666);
	ck_assert(look(s).is_private);
	tol_segment_close(s);
}
END_TEST

START_TEST(more_than_there_is)
{
	struct tol_segment *s = NULL;
	struct tol_attach_opts prefault = { .flags = TOL_ATTACH_PREFAULT };
	void *p;

	ck_assert_int_eq(tol_segment_create(&s, NULL,
			 TOL_SEGMENT_SIZE_MAX_BYTES, NULL), -ENOSPC);
	ck_assert_int_eq(tol_segment_create(&s, "a",
			 TOL_SEGMENT_SIZE_MAX_BYTES, NULL), -ENOSPC);
	ck_assert_ptr_null(s);
	s = make(NULL, TOL_SEGMENT_SIZE_MAX_BYTES, TOL_SEGMENT_LAZY);
	ck_assert_int_eq(tol_segment_attach(s, &prefault, &p), -ENOSPC);
	ck_assert_uint_eq(look(s).attach_count, 0);
	tol_segment_close(s);
}
END_TEST

START_TEST(file_size_limit)
{
	struct rlimit limit = { .rlim_cur = 64 << 10, .rlim_max = 64 << 10 };
	struct rlimit zero = { .rlim_cur = 0, .rlim_max = 64 << 10 };
	struct tol_segment *s;
	void *p;
	int attached, detached;

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(tol_segment_create(&s, NULL, 1 << 20, NULL), -EFBIG);
	s = make(NULL, 100, 0);
	ck_assert_int_eq(tol_segment_grow(s, 1 << 20), -EFBIG);
	ck_assert_uint_eq(look(s).size_bytes, 100);
	/* What is noted in the head is then not; nobody gets a signal. */
	setrlimit(RLIMIT_FSIZE, &zero);
	attached = tol_segment_attach(s, NULL, &p);
	detached = tol_segment_detach(s, p);
	setrlimit(RLIMIT_FSIZE, &limit);	/* libcheck writes files too */
	ck_assert_int_eq(attached, 0);
	ck_assert_int_eq(detached, 0);
	tol_segment_close(s);
}
END_TEST

START_TEST(full_tmpfs)
{
	struct tol_attach_opts prefault = { .flags = TOL_ATTACH_PREFAULT };
	struct tol_segment *s = NULL, *lazy;
	uint64_t before;
	char *p;
	void *q;

	surroundings_mount(1 << 20);
	before = surroundings_free_bytes();
	ck_assert_int_eq(tol_segment_create(&s, "a", 2 << 20, NULL), -ENOSPC);
	ck_assert_uint_eq(surroundings_free_bytes(), before);
	s = make("a", 512 << 10, 0);
	p = attach(s, 0);
	ck_assert_int_eq(tol_segment_grow(s, 2 << 20), -ENOSPC);
	ck_assert_uint_eq(look(s).size_bytes, 512 << 10);
	memset(p, 1, 512 << 10);
	lazy = make("b", 4 << 20, TOL_SEGMENT_LAZY);
	ck_assert_int_eq(tol_segment_attach(lazy, &prefault, &q), -ENOSPC);
	tol_segment_close(lazy);
	ck_assert_int_eq(tol_segment_remove("b", NULL), 0);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	ck_assert_uint_lt(surroundings_free_bytes(), before);
	p[0] = 2;
	tol_segment_close(s);
	ck_assert_uint_eq(surroundings_free_bytes(), before);
	surroundings_unmount();
}
END_TEST

START_TEST(attach_at_an_address)
{
	struct tol_segment *s = make(NULL, 8192, 0);
	char *p = attach(s, 0);
	struct tol_attach_opts opts = { .address = p };
	void *q;

	ck_assert_int_eq(tol_segment_attach(s, &opts, &q), -EEXIST);
	ck_assert_uint_eq(look(s).attach_count, 1);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	ck_assert_int_eq(tol_segment_attach(s, &opts, &q), 0);
	ck_assert_ptr_eq(q, p);
	tol_segment_close(s);
}
END_TEST

/* Return: the signal that a child died of when it wrote there, or 0 */
static int write_in_child(char *p)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit none = { 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*(volatile char *)p = 1;
		_exit(0);
	}
	status = wait_for(pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(read_only_is_read_only)
{
	struct tol_segment *s = make(NULL, 10, 0);
	char *p = attach(s, TOL_ATTACH_READONLY);
	char *q = attach(s, 0);

	ck_assert_int_eq(write_in_child(p), SIGSEGV);
	ck_assert_int_eq(write_in_child(q), 0);
	ck_assert_int_eq(p[0], 1);
	tol_segment_close(s);
}
END_TEST

START_TEST(grow_while_attached)
{
	struct tol_segment *s = make("a", 4096, 0);
	struct tol_attach_opts opts = { .reserve_bytes = 1 << 20 };
	int to_child[2], from_child[2];
	void *address;
	char *p, c;
	pid_t pid;

	ck_assert_int_eq(tol_segment_attach(s, &opts, &address), 0);
	p = address;
	ck_assert_int_eq(write_in_child(p + 4096), SIGBUS);
	ck_assert_int_eq(pipe(to_child), 0);
	ck_assert_int_eq(pipe(from_child), 0);
	pid = fork();
	if (pid == 0) {
		if (read(to_child[0], &c, 1) != 1)
			_exit(1);
		_exit(p[500000] == 'x' ? 0 : 2);
	}
	ck_assert_int_eq(tol_segment_grow(s, 600000), 0);
	ck_assert_int_eq(tol_segment_grow(s, 10), 0);
	ck_assert_uint_eq(look(s).size_bytes, 600000);
	ck_assert_int_eq(p[500000], 0);
	p[500000] = 'x';
	ck_assert_int_eq(write(to_child[1], "", 1), 1);
	ck_assert_int_eq(wait_for(pid), 0);
	for (int i = 0; i < 2; i++) {
		close(to_child[i]);
		close(from_child[i]);
	}
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

static void *grow_step_by_step(void *segment)
{
	for (uint64_t i = 1; i <= 300; i++)
		if (tol_segment_grow(segment, i * 3000) < 0)
			return segment;
	return NULL;
}

/* It never shrinks, and ends at the largest that anybody asked for. */
static void race_growers(unsigned int flags)
{
	struct tol_segment *s = make("a", 1, flags), *t;
	uint64_t size_bytes = 1, now;
	pthread_t thread;
	void *failed;
	pid_t pid = fork();

	ck_assert_int_eq(tol_segment_open(&t, "a", NULL), 0);
	if (pid == 0)
		_exit(grow_step_by_step(t) != NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, grow_step_by_step, s),
			 0);
	while (size_bytes < 900000) {
		now = look(t).size_bytes;
		ck_assert_uint_ge(now, size_bytes);
		size_bytes = now;
	}
	pthread_join(thread, &failed);
	ck_assert_ptr_null(failed);
	ck_assert_int_eq(wait_for(pid), 0);
	ck_assert_uint_eq(look(s).size_bytes, 900000);
	tol_segment_close(s);
	tol_segment_close(t);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}

START_TEST(two_growers)
{
	race_growers(0);
	race_growers(TOL_SEGMENT_LAZY);
}
END_TEST

START_TEST(seal_private)
{
	struct tol_segment *s = make(NULL, 10, 0);
	char *reader = attach(s, TOL_ATTACH_READONLY);
	char *writer = attach(s, 0);
	struct segment_handle_layout h;
	struct tol_segment_handle handle;
	void *p;

	writer[0] = 'x';
	ck_assert_int_eq(tol_segment_seal(s), -EBUSY);
	ck_assert(!look(s).is_sealed);
	ck_assert_int_eq(tol_segment_detach(s, writer), 0);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert(look(s).is_sealed);
	ck_assert_int_eq(reader[0], 'x');
	ck_assert_int_eq(tol_segment_attach(s, NULL, &p), -EPERM);
	ck_assert_int_eq(tol_segment_grow(s, 100), -EPERM);
	ck_assert_int_eq(tol_segment_export(s, &handle), 0);
	memcpy(&h, &handle, sizeof(h));
	ck_assert_int_eq(pwrite(h.fd, "y", 1, 4096), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(((char *)attach(s, TOL_ATTACH_READONLY))[0], 'x');
	tol_segment_close(s);
}
END_TEST

START_TEST(seal_named)
{
	struct tol_segment *s = make("a", 10, 0), *t;
	char *writer = attach(s, 0);
	void *p;

	attach(s, TOL_ATTACH_READONLY);
	ck_assert_int_eq(tol_segment_open(&t, "a", NULL), 0);
	ck_assert_int_eq(tol_segment_seal(t), -EBUSY);
	ck_assert_uint_eq(look(s).mode, 0600);
	ck_assert(!look(s).is_sealed);
	ck_assert_int_eq(tol_segment_detach(s, writer), 0);
	tol_segment_detach(s, attach(s, 0));
	ck_assert_int_eq(tol_segment_seal(t), 0);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert(look(s).is_sealed);
	ck_assert_uint_eq(look(s).mode, 0400);
	ck_assert_int_eq(tol_segment_attach(s, NULL, &p), -EPERM);
	ck_assert_int_eq(tol_segment_grow(s, 100), -EPERM);
	ck_assert_uint_eq(look(s).attach_count, 1);
	tol_segment_close(s);
	tol_segment_close(t);
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), 0);
	ck_assert_int_eq(tol_segment_attach(s, NULL, &p), -EPERM);
	attach(s, TOL_ATTACH_READONLY);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

/* A sealer killed before the last step: the word says SEALING, no lock. */
START_TEST(sealer_was_killed)
{
	struct tol_segment *s = make("a", 10, 0);
	uint32_t word = SEGMENT_SEALING;
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/a", support_space);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pwrite(fd, &word, 4,
				offsetof(struct segment_layout, sealed)), 4);
	close(fd);
	ck_assert(!look(s).is_sealed);
	tol_segment_detach(s, attach(s, 0));
	ck_assert_int_eq(tol_segment_grow(s, 20), 0);
	ck_assert_int_eq(tol_segment_seal(s), 0);
	ck_assert(look(s).is_sealed);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

/* Either it works, or the system's refusal has the documented code. */
static bool try_attach(struct tol_segment *s, unsigned int flags, int refusal)
{
	struct tol_attach_opts opts = { .flags = flags };
	void *p;
	int err = tol_segment_attach(s, &opts, &p);

	if (err == 0) {
		memset(p, 1, 1 << 20);
		ck_assert_int_eq(tol_segment_detach(s, p), 0);
		return true;
	}
	ck_assert_int_eq(err, refusal);
	ck_assert_uint_eq(look(s).attach_count, 0);
	return false;
}

START_TEST(memory_options)
{
	struct tol_segment *s = make(NULL, 5 << 20, TOL_SEGMENT_LAZY);
	struct tol_segment *huge = make(NULL, 5 << 20, TOL_SEGMENT_HUGE);

	ck_assert(try_attach(s, TOL_ATTACH_PREFAULT, 0));
	ck_assert_uint_ge(look(s).memory_bytes, 5 << 20);
	printf("lock in RAM: %s\n",
	       try_attach(s, TOL_ATTACH_LOCK, -EPERM) ? "works" : "refused");
	ck_assert(!try_attach(s, TOL_ATTACH_HUGE, -EOPNOTSUPP));
	printf("huge pages: %s\n",
	       try_attach(huge, TOL_ATTACH_HUGE, -EOPNOTSUPP) ? "work"
							      : "refused");
	tol_segment_close(s);
	tol_segment_close(huge);
}
END_TEST

#ifndef SANITIZED
START_TEST(lock_beyond_the_limit)
{
	struct rlimit none = { 0 };
	struct tol_attach_opts opts = { .flags = TOL_ATTACH_LOCK };
	struct tol_segment *s;
	void *p;

	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	s = make(NULL, 1 << 20, 0);
	ck_assert_int_eq(tol_segment_attach(s, &opts, &p), -EPERM);
	ck_assert_uint_eq(look(s).attach_count, 0);
	tol_segment_close(s);
	if (setresuid(0, 0, 0) < 0)
		ck_assert_int_eq(errno, EPERM);
}
END_TEST
#endif

START_TEST(damaged_files)
{
	unsigned int seed = (unsigned int)getpid();
	static char bytes[20000];
	struct segment_layout head = {
		.object = { OBJECT_MAGIC, OBJECT_LAYOUT_VERSION, SEGMENT_KIND,
			    0, 0, segment_signature() },
		.data_offset = 4096,
	};
	struct tol_segment *s = NULL;
	char path[160];

	printf("seed %u\n", seed);
	srand(seed);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)rand();
	write_file("a", bytes, sizeof(bytes));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EBADMSG);
	ck_assert_int_eq(tol_segment_remove("a", NULL), -EMEDIUMTYPE);
	write_file("a", bytes, 0);
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EBADMSG);
	write_file("a", &head, sizeof(head));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EBADMSG);
	memset(bytes, 0, sizeof(bytes));
	head.data_offset = 8192;
	memcpy(bytes, &head, sizeof(head));
	write_file("a", bytes, sizeof(bytes));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EBADMSG);
	head.data_offset = 4096;
	head.flags = SEGMENT_IS_PRIVATE;
	memcpy(bytes, &head, sizeof(head));
	write_file("a", bytes, sizeof(bytes));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EBADMSG);
	head.flags = 0;
	head.object.kind = TOL_KIND_MAILBOX;
	memcpy(bytes, &head, sizeof(head));
	write_file("a", bytes, sizeof(bytes));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EMEDIUMTYPE);
	ck_assert_int_eq(tol_segment_remove("a", NULL), -EMEDIUMTYPE);
	head.object.kind = SEGMENT_KIND;
	head.object.layout_version++;
	memcpy(bytes, &head, sizeof(head));
	write_file("a", bytes, sizeof(bytes));
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EPROTO);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
	ck_assert_ptr_null(s);

	snprintf(path, sizeof(path), "%s/a", support_space);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -ELOOP);
	remove_file("a");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(tol_segment_open(&s, "a", NULL), -EMEDIUMTYPE);
	remove_file("a");
}
END_TEST

START_TEST(truncated_under_us)
{
	struct tol_segment *s = make("a", 10000, 0);
	struct tol_segment_stat st;
	char path[160];
	void *p = attach(s, 0);

	snprintf(path, sizeof(path), "%s/a", support_space);
	ck_assert_int_eq(truncate(path, 3), 0);
	ck_assert_int_eq(tol_segment_stat(s, &st), -EBADMSG);
	ck_assert_int_eq(tol_segment_attach(s, NULL, &p), -EBADMSG);
	ck_assert_int_eq(tol_segment_grow(s, 20000), -EBADMSG);
	ck_assert_int_eq(tol_segment_seal(s), -EBADMSG);
	ck_assert_int_eq(tol_segment_detach(s, p), 0);
	tol_segment_close(s);
	remove_file("a");
}
END_TEST

START_TEST(second_user)
{
	struct tol_segment *s, *t;
	struct tol_segment_opts opts = { .mode = 0644 };
	void *p;

	ck_assert_int_eq(chmod(support_space, 0755), 0);
	ck_assert_int_eq(tol_segment_create(&t, "read", 10, &opts), 0);
	s = make("none", 10, 0);
	tol_segment_close(s);
	ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	ck_assert_int_eq(tol_segment_open(&s, "none", NULL), -EACCES);
	ck_assert_int_eq(tol_segment_remove("none", NULL), -EACCES);
	ck_assert_int_eq(tol_segment_open(&s, "read", NULL), 0);
	ck_assert_int_eq(tol_segment_attach(s, NULL, &p), -EACCES);
	ck_assert_int_eq(tol_segment_grow(s, 20), -EACCES);
	ck_assert_int_eq(tol_segment_seal(s), -EACCES);
	attach(s, TOL_ATTACH_READONLY);
	ck_assert_uint_eq(look(s).attach_count, 1);
	ck_assert_uint_eq(look(t).attach_write_count, 0);
	ck_assert_int_eq(tol_segment_remove("read", NULL), -EACCES);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	tol_segment_close(s);
	tol_segment_close(t);
	ck_assert_int_eq(tol_segment_remove("read", NULL), 0);
	ck_assert_int_eq(tol_segment_remove("none", NULL), 0);
}
END_TEST

START_TEST(changed_by_hand)
{
	struct tol_segment *s = make("a", 10, 0);
	int64_t made = look(s).changed_unix_ns;
	char path[160];

	((char *)attach(s, 0))[0] = 1;
	ck_assert_int_eq(look(s).changed_unix_ns, made);
	ck_assert_int_eq(tol_segment_grow(s, 20), 0);
	ck_assert_int_gt(look(s).changed_unix_ns, made);
	snprintf(path, sizeof(path), "%s/a", support_space);
	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert_uint_eq(look(s).mode, 0640);
	tol_segment_close(s);
	ck_assert_int_eq(tol_segment_remove("a", NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *tc = support_tcase("segment");

	tcase_add_test(tc, five_steps);
	tcase_add_test(tc, bad_arguments);
	tcase_add_test(tc, sizes_from_one_byte_to_64_gib);
	tcase_add_test(tc, mode_is_exact);
	tcase_add_test(tc, more_than_there_is);
	tcase_add_test(tc, file_size_limit);
	if (surroundings_can_mount())
		tcase_add_test(tc, full_tmpfs);
	else
		support_skip("full_tmpfs", "needs the right to mount");
	tcase_add_test(tc, attach_at_an_address);
	tcase_add_test(tc, read_only_is_read_only);
	tcase_add_test(tc, grow_while_attached);
	tcase_add_test(tc, two_growers);
	tcase_add_test(tc, seal_private);
	tcase_add_test(tc, seal_named);
	tcase_add_test(tc, sealer_was_killed);
	tcase_add_test(tc, memory_options);
#ifndef SANITIZED	/* they make mlock() do nothing */
	tcase_add_test(tc, lock_beyond_the_limit);
#endif
	tcase_add_test(tc, damaged_files);
	tcase_add_test(tc, truncated_under_us);
	if (surroundings_can_setuid())
		tcase_add_test(tc, second_user);
	else
		support_skip("second_user", "needs root");
	tcase_add_test(tc, changed_by_hand);
	suite_add_tcase(suite, tc);
	return support_run(suite);
}
