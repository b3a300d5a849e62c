/* SPDX-License-Identifier: MIT */
#include "points.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "names.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define POINTS_MAX ((size_t)1 << 20)
#define TALLY_SLOTS ((size_t)1 << 16)	/* more than different instructions */

/* How often the path has come to an instruction. */
struct tally {
	uint64_t pc;
	uint32_t count;
};

struct table {
	size_t count;
	struct tally tally[TALLY_SLOTS];
	struct point points[POINTS_MAX];
};

struct point *points;

static struct table *table;

bool points_init(void)
{
	if (table)
		munmap(table, sizeof(*table));
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return false;
	points = table->points;
	return true;
}

size_t points_recorded(void)
{
	return table->count;
}

static uint32_t count_another(uint64_t pc)
{
	size_t slot = (pc ^ pc >> 16) % TALLY_SLOTS;

	while (table->tally[slot].count && table->tally[slot].pc != pc)
		slot = (slot + 1) % TALLY_SLOTS;
	table->tally[slot].pc = pc;
	return ++table->tally[slot].count;
}

static void add(uint64_t pc, uint8_t phase, unsigned int code,
			 int call)
{
	struct point *point = &table->points[table->count++];

	must(table->count < POINTS_MAX);
	*point = (struct point){
		.pc = pc,
		.occurrence = count_another(pc),
		.phase = phase,
		.code = (uint8_t)code,
		.call = (int16_t)call,
	};
}

/* Behind the operation; not inlined, so that it has an address. */
__attribute__((noinline)) static void end_of_op(void)
{
	__asm__ volatile("" ::: "memory");
}

static uint64_t address_of(void (*function)(void))
{
	return (uint64_t)(uintptr_t)function;
}

static int be_victim(int index)
{
	(void)index;
	if (scenario->prepare && scenario->prepare() < 0)
		return 1;
	if (trace_begin() < 0)
		return 1;
	scenario->op();
	end_of_op();
	if (scenario->after)
		scenario->after();
	return 0;
}

static void start_victim(void)
{
	victim_pid = start_child(be_victim, 0);
	must(trace_catch(victim_pid));
	must_be(trace_run_to(victim_pid, address_of(scenario->op), 1),
		STEP_DONE);
}

/*
 * Not in the kernel's code that reads the clock: it changes nothing that others
 * see, so that its points are the one behind it; and it tries again when a tick
 * comes between, so that the nth time in it is not the same place every time.
 */
void points_record(void)
{
	uint8_t phase = 0;

	scenario->set_up();
	start_victim();
	for (;;) {
		uint64_t pc = trace_pc(victim_pid);
		int call;
		unsigned int code = trace_code(victim_pid, &call);
		enum step step;

		if (!names_is_kernels(pc))
			add(pc, phase, code, call);
		if (pc == address_of(end_of_op))
			return;
		step = trace_step(victim_pid, code & CODE_MAY_SLEEP);
		if (step == STEP_ASLEEP) {
			table->points[table->count] =
				table->points[table->count - 1];
			table->points[table->count++].asleep = true;
			memset(table->tally, 0, sizeof(table->tally));
			phase++;
			if (scenario->act && phase == 1)
				scenario->act();
			step = trace_await(victim_pid);
		}
		must_be(step, STEP_DONE);
	}
}

static const struct point *find_sleep(unsigned int phase)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->points[i].asleep && table->points[i].phase == phase)
			return &table->points[i];
	fail("the call does not sleep so often");
}

static bool fall_asleep(const struct point *at)
{
	return trace_run_to(victim_pid, at->pc, at->occurrence) == STEP_DONE &&
	       trace_step(victim_pid, true) == STEP_ASLEEP;
}

bool points_reach(const struct point *at)
{
	scenario->set_up();
	start_victim();
	for (unsigned int phase = 0; phase < at->phase; phase++) {
		if (!fall_asleep(find_sleep(phase)))
			return false;
		if (scenario->act && phase == 0) {
			scenario->act();
			has_acted = true;
		}
		if (trace_await(victim_pid) != STEP_DONE)
			return false;
	}
	if (at->asleep)
		return fall_asleep(at);
	return trace_run_to(victim_pid, at->pc, at->occurrence) == STEP_DONE;
}

/* Those that show on their own, by the name that they have in the manual. */
static const char *name_of_call(int call)
{
	static const struct {
		int number;
		const char *name;
	} calls[] = {
		{ SYS_linkat, "linkat" },
		{ SYS_renameat2, "renameat2" },
		{ SYS_fallocate, "fallocate" },
		{ SYS_unlinkat, "unlinkat" },
		{ SYS_futex, "futex" },
		{ SYS_futex_waitv, "futex_waitv" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].number == call)
			return calls[i].name;
	return "system call";
}

bool points_is_in(const struct point *at, const char *what)
{
	uint64_t offset;

	return strcmp((at->code & CODE_SYSCALL) ? name_of_call(at->call)
			: names_function(at->pc, &offset), what) == 0;
}

void points_name(const struct point *at, bool with_line, char *buf,
		 size_t size_bytes)
{
	uint64_t offset;
	const char *function = names_function(at->pc, &offset);
	char line[256] = "";

	if (with_line)
		names_line(at->pc, line, sizeof(line));
	snprintf(buf, size_bytes, "%s+0x%" PRIx64 " #%u%s%s%s%s%s%s%s", function,
		 offset, at->occurrence, at->phase ? " after waking" : "",
		 at->asleep ? " asleep" : "",
		 (at->code & CODE_SYSCALL) ? ", " : "",
		 (at->code & CODE_SYSCALL) ? name_of_call(at->call) : "",
		 line[0] ? " (" : "", line, line[0] ? ")" : "");
}

void points_key(const struct point *at, char *buf, size_t size_bytes)
{
	snprintf(buf, size_bytes, "0x%" PRIx64 "#%u@%u%s", at->pc,
		 at->occurrence, at->phase, at->asleep ? "z" : "");
}

bool points_parse(const char *text, struct point *ret_point)
{
	unsigned int phase;
	struct point point = { .occurrence = 1 };

	if (sscanf(text, "%" SCNx64 "#%u@%u", &point.pc, &point.occurrence,
		   &phase) != 3)
		return false;
	point.phase = (uint8_t)phase;
	point.asleep = text[strlen(text) - 1] == 'z';
	*ret_point = point;
	return true;
}
