/* SPDX-License-Identifier: MIT */
/*
 * Kills a victim at the instructions of one operation, waiting ones and those on
 * names included; see doc/kill-harness.md.
 */
#include <errno.h>
#include <stdarg.h>

#include "tolsey.h"
#include "trace.h"

#define CAPACITY 2
#define SIZE_BYTES 100000
#define AGAIN_MAX 20

static struct tol_link *link_here, *link_victim;
static struct tol_segment *segment;
static char space[64];
static volatile uint64_t *words;	/* shared with the victim */
static const char *scenario_name;
static long point_now;
static uint64_t pc_now;

static void fail(const char *format, ...)
{
	va_list args;

	printf("%s, point %ld at %s: ", scenario_name, point_now,
	       trace_name(pc_now));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nagain: --scenario '%s' --point %ld\n", scenario_name,
	       point_now);
	fflush(stdout);
	_exit(1);
}

#define must(what) ((what) ? (void)0 : fail("not so: %s", #what))

static void fill(int queued)
{
	must(tol_mailbox_create("box", CAPACITY, NULL) == 1);
	must(tol_open(&link_here, "box", NULL) == 0);
	for (uint64_t i = 0; i < (uint64_t)queued; i++)
		must(tol_send(link_here, &i, 8, TOL_NOWAIT) == 0);
}

static void fill_none(void) { fill(0); }
static void fill_all(void) { fill(CAPACITY); }
static void nothing(void) { }

static int open_victim(void)
{
	struct tol_open_opts opts = { .flags = TOL_SPIN_NEVER };

	return tol_open(&link_victim, "box", &opts);
}

static void make_room(void)
{
	uint64_t number;

	must(tol_recv(link_here, &number, 8, TOL_NOWAIT) == 8 && number == 0);
}

static void give(void)
{
	uint64_t number = 77;

	must(tol_send(link_here, &number, 8, TOL_NOWAIT) == 0);
}

static void send_forever(void)
{
	uint64_t number = 1000;

	tol_send(link_victim, &number, 8, TOL_FOREVER);
}

static void recv_forever(void)
{
	uint64_t number;

	tol_recv(link_victim, &number, 8, TOL_FOREVER);
}

static void send_timed(void)
{
	uint64_t number = 1000;

	tol_send(link_victim, &number, 8, TOL_MSECS(2));
}

static void check_usable(void)
{
	uint64_t number;

	for (uint64_t i = 0; i < CAPACITY; i++)
		must(tol_send(link_here, &i, 8, TOL_NOWAIT) == 0);
	must(tol_send(link_here, "x", 1, TOL_NOWAIT) == -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY; i++)
		must(tol_recv(link_here, &number, 8, TOL_NOWAIT) == 8 &&
		     number == i);
	must(tol_recv(link_here, &number, 8, TOL_NOWAIT) == -EAGAIN);
}

/* @acted: the survivor has made room. Return: was the message sent? */
static bool check_send(bool acted)
{
	uint64_t number, next = acted ? 1 : 0;
	bool sent = false;

	while (tol_recv(link_here, &number, 8, TOL_NOWAIT) == 8) {
		must(!sent);
		if (number == 1000)
			sent = true;
		else
			must(number == next++);
	}
	must(next == CAPACITY);
	must(!sent || acted);
	check_usable();
	return sent;
}

static bool check_recv(bool acted)
{
	uint64_t number;
	bool is_left = tol_recv(link_here, &number, 8, TOL_NOWAIT) == 8;

	must(!is_left || (acted && number == 77));
	check_usable();
	return acted && !is_left;
}

static bool check_no_effect(bool acted)
{
	struct tol_mailbox_stat stat;

	(void)acted;
	check_usable();
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must(tol_mailbox_stat("box", NULL, &stat, NULL, NULL) == 0);
	must(stat.senders_count == 1 && stat.receivers_count == 1 &&
	     stat.dead_count == 0);
	return false;
}

static void op_create(void) { tol_mailbox_create("box", CAPACITY, NULL); }
static void op_open(void) { open_victim(); }
static void op_close(void) { tol_close(link_victim); }
static void op_remove(void) { tol_mailbox_remove("box", NULL); }

static bool check_create(bool acted)
{
	int err = tol_open(&link_here, "box", NULL);

	(void)acted;
	if (err == -ENOENT)
		return false;
	must(err == 0);
	check_usable();
	return true;
}

static bool check_remove(bool acted)
{
	struct tol_mailbox_stat stat;
	int err = tol_mailbox_stat("box", NULL, &stat, NULL, NULL);

	(void)acted;
	if (err == -ENOENT) {
		must(tol_send(link_here, "x", 1, TOL_NOWAIT) == -EIDRM);
		return true;
	}
	must(err == 0);
	check_usable();
	return false;
}

static void set_up_segment(void)
{
	must(tol_segment_create(&segment, "seg", SIZE_BYTES, NULL) == 0);
}

static void op_segment_create(void)
{
	tol_segment_create(&segment, "seg", SIZE_BYTES, NULL);
}

static void op_segment_grow(void)
{
	tol_segment_grow(segment, 2 * SIZE_BYTES);
}

static void op_segment_remove(void) { tol_segment_remove("seg", NULL); }

static void op_segment_attach(void)
{
	void *address;

	tol_segment_attach(segment, NULL, &address);
}

/* Return: is the segment there? *ret_size_bytes: and how large? */
static bool look_at_segment(uint64_t *ret_size_bytes)
{
	struct tol_segment_stat stat;
	struct tol_segment *seen;
	int err = tol_segment_open(&seen, "seg", NULL);

	if (err == -ENOENT)
		return false;
	must(err == 0);
	must(tol_segment_stat(seen, &stat) == 0);
	must(stat.attach_count == 0);
	tol_segment_close(seen);
	*ret_size_bytes = stat.size_bytes;
	return true;
}

static bool check_segment(bool acted)
{
	uint64_t size_bytes;

	(void)acted;
	if (!look_at_segment(&size_bytes))
		return false;
	must(size_bytes == SIZE_BYTES);
	return true;
}

static bool check_segment_gone(bool acted) { return !check_segment(acted); }

static bool check_segment_stays(bool acted)
{
	must(check_segment(acted));
	return false;
}

static bool check_grow(bool acted)
{
	uint64_t size_bytes = 0;

	(void)acted;
	must(look_at_segment(&size_bytes));
	must(size_bytes == SIZE_BYTES || size_bytes == 2 * SIZE_BYTES);
	return size_bytes == 2 * SIZE_BYTES;
}

/* Operations with a fault, which the harness must find. */
static void op_torn(void)
{
	words[0] = 1;
	words[1] = 1;
}

static void op_twice(void)
{
	words[0] = 1;
	words[0] = 0;
	words[0] = 1;
}

static void clear_words(void) { words[0] = words[1] = 0; }

static bool check_words(bool acted)
{
	(void)acted;
	must(words[0] == words[1]);
	return words[0];
}

static bool check_word(bool acted)
{
	(void)acted;
	return words[0];
}

static const struct scenario {
	const char *name;
	void (*set_up)(void);
	int (*prepare)(void);		/* in the victim, not traced */
	void (*op)(void);
	void (*act)(void);		/* by the survivor, once it sleeps */
	bool (*check)(bool acted);	/* did it happen? */
	bool never;			/* no effect that outlives it */
	bool is_faulty;			/* the harness must object */
} scenarios[] = {
	{ "self-test: torn", clear_words, NULL, op_torn, NULL, check_words,
	  false, true },
	{ "self-test: twice", clear_words, NULL, op_twice, NULL, check_word,
	  false, true },
	{ "send, asleep", fill_all, open_victim, send_forever, make_room,
	  check_send, false, false },
	{ "send, timed out", fill_all, open_victim, send_timed, NULL,
	  check_send, true, false },
	{ "recv, asleep", fill_none, open_victim, recv_forever, give,
	  check_recv, false, false },
	{ "create", nothing, NULL, op_create, NULL, check_create, false, false },
	{ "open", fill_none, NULL, op_open, NULL, check_no_effect, true, false },
	{ "close", fill_none, open_victim, op_close, NULL, check_no_effect,
	  true, false },
	{ "remove", fill_none, NULL, op_remove, NULL, check_remove, false,
	  false },
	{ "segment create", nothing, NULL, op_segment_create, NULL,
	  check_segment, false, false },
	{ "segment attach", set_up_segment, NULL, op_segment_attach, NULL,
	  check_segment_stays, true, false },
	{ "segment grow", set_up_segment, NULL, op_segment_grow, NULL,
	  check_grow, false, false },
	{ "segment remove", set_up_segment, NULL, op_segment_remove, NULL,
	  check_segment_gone, false, false },
};

static pid_t start(const struct scenario *s)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		if ((s->prepare && s->prepare() < 0) ||
		    ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		s->op();
		raise(SIGSTOP);
		_exit(0);
	}
	must(trace_await(pid) == STEP_END);
	return pid;
}

/* Kills at point @k, or at the end. *ret_points: how far it came */
static bool kill_at(const struct scenario *s, long k, long *ret_points)
{
	enum step step = STEP_DONE;
	bool acted = false, happened;
	uint64_t call;
	pid_t pid;
	long i;

	point_now = k;
	s->set_up();
	pid = start(s);
	for (i = 0; i != k && step != STEP_END; i++) {
		if (step == STEP_ASLEEP) {
			if (s->act && !acted) {
				s->act();
				acted = true;
			}
			step = trace_await(pid);
		} else {
			step = trace_step(pid, s->prepare != NULL);
		}
		must(step != STEP_GONE);
	}
	if (step != STEP_ASLEEP)
		pc_now = trace_registers(pid, &call);
	kill(pid, SIGKILL);
	while (waitpid(pid, &(int){ 0 }, 0) != pid)
		must(errno == EINTR);
	*ret_points = i;
	happened = s->check(acted);
	tol_close(link_here);
	tol_segment_close(segment);
	link_here = NULL;
	segment = NULL;
	must(tol_space_clean(NULL, 0, NULL, NULL) >= 0);
	must(tol_space_clean(NULL, 0, NULL, NULL) == 0);
	tol_mailbox_remove("box", NULL);
	tol_segment_remove("seg", NULL);
	/* The space is empty again, or something hidden was left. */
	must(rmdir(space) == 0 && mkdir(space, 0700) == 0);
	return happened;
}

/*
 * Who was woken by another process does not always take the same number of
 * instructions, so point k is not always the same place: a point that seems to
 * undo what an earlier one did is tried again.
 */
static bool has_happened(const struct scenario *s, long k)
{
	long unused;
	bool happened = kill_at(s, k, &unused);

	for (int i = 0; s->act && !happened && i < AGAIN_MAX; i++)
		happened = kill_at(s, k, &unused);
	return happened;
}

/* All points, or @samples of them and then those around the flip. */
static void run(const struct scenario *s, long samples)
{
	long points, stride, unused, before = -1, after = -1, tried = 0;

	must(kill_at(s, -1, &points) == !s->never);
	stride = samples > 0 && points > samples ? points / samples : 1;
	for (long k = 0; k < points; k += stride, tried++) {
		if (after < 0 ? kill_at(s, k, &unused)
			      : has_happened(s, k)) {
			must(!s->never);
			if (after < 0)
				after = k;
		} else {
			must(after < 0);	/* else it was undone */
			before = k;
		}
	}
	while (!s->never && after >= 0 && after - before > 1) {
		long middle = before + (after - before) / 2;

		if (kill_at(s, middle, &unused))
			after = middle;
		else
			before = middle;
		tried++;
	}
	for (int i = 0; !s->never && before >= 0 && i < AGAIN_MAX; i++)
		if (!kill_at(s, before, &unused))
			break;
	printf("%s: %ld of %ld points%s%s\n", s->name, tried, points,
	       s->never ? "" : s->act ? ", happens near " : ", happens at ",
	       s->never ? "" : trace_name(pc_now));
	fflush(stdout);
	_exit(0);
}

/* Return: has it passed? */
static bool run_apart(const struct scenario *s, long samples, long point)
{
	int status;
	long unused;
	pid_t pid = fork();

	if (pid == 0) {
		scenario_name = s->name;
		alarm(200);
		if (point < 0)
			run(s, samples);
		printf("%s: point %ld: %s\n", s->name, point,
		       kill_at(s, point, &unused) ? "happened" : "did not");
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	if (!WIFEXITED(status))
		printf("%s: no end, or a crash: status %d\n", s->name, status);
	return s->is_faulty ? WIFEXITED(status) && WEXITSTATUS(status) == 1
			    : status == 0;
}

static bool may_trace(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	long samples = 60, point = -1;
	int passed = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--full"))
			samples = 0;
		else if (!strcmp(argv[i], "--scenario") && i + 1 < argc)
			only = argv[++i];
		else if (!strcmp(argv[i], "--point") && i + 1 < argc)
			point = atol(argv[++i]);
		else
			return fputs("usage: harness [--full] [--scenario NAME"
				     " [--point K]]\n", stderr), 2;
	}
	if (!may_trace()) {
		puts("skipped: tests/kill: ptrace is not permitted here");
		puts("0 passed, 0 failed, 1 skipped");
		return 0;
	}
	words = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (only && strcmp(only, scenarios[i].name) != 0)
			continue;
		strcpy(space, "/dev/shm/tolsey-kill.XXXXXX");
		if (words == MAP_FAILED || !mkdtemp(space))
			return perror("tests/kill: no space to work in"), 1;
		setenv("TOLSEY_SPACE", space, 1);
		if (run_apart(&scenarios[i], samples, point))
			passed++;
		else
			failed++;
		rmdir(space);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
