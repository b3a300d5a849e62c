/* SPDX-License-Identifier: MIT */
/* tolsey seg create, write, read, stat, grow, seal, rm. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

/* What the options of these commands may set. */
struct seg {
	struct tool *tool;
	const char *name;
	uint64_t size_bytes, offset_bytes, length_bytes;
	int has_size, has_length, as_json;
	struct tol_segment_opts opts;
	struct tol_segment *segment;
};

static const struct option options_create[] = {
	COMMON_OPTIONS,
	{ "size", required_argument, NULL, 's' },
	{ "lazy", no_argument, NULL, 'z' },
	{ "mode", required_argument, NULL, 'm' },
	{ NULL, 0, NULL, 0 },
};
static const struct option options_grow[] = {
	COMMON_OPTIONS,
	{ "size", required_argument, NULL, 's' },
	{ NULL, 0, NULL, 0 },
};
static const struct option options_write[] = {
	COMMON_OPTIONS,
	{ "offset", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};
static const struct option options_read[] = {
	COMMON_OPTIONS,
	{ "offset", required_argument, NULL, 'o' },
	{ "length", required_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};
static const struct option options_stat[] = {
	COMMON_OPTIONS,
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};
static const struct option options_none[] = {
	COMMON_OPTIONS, { NULL, 0, NULL, 0 },
};

static int seg_option(struct seg *seg, int option)
{
	switch (option) {
	case 's':
		seg->has_size = 1;
		return args_size(seg->tool, "--size", optarg, &seg->size_bytes);
	case 'o':
		return args_size(seg->tool, "--offset", optarg,
				 &seg->offset_bytes);
	case 'n':
		seg->has_length = 1;
		return args_size(seg->tool, "--length", optarg,
				 &seg->length_bytes);
	case 'm':
		return args_mode(seg->tool, optarg, &seg->opts.mode);
	case 'z':
		seg->opts.flags |= TOL_SEGMENT_LAZY;
		return 0;
	default:
		seg->as_json = 1;
		return 0;
	}
}

/* Options and the NAME. -1 go on, else the exit status. */
static int seg_args(struct seg *seg, struct tool *tool, int argc, char **argv,
		    const char *letters, const struct option *options)
{
	int option;

	*seg = (struct seg){ .tool = tool };
	while ((option = args_next(tool, argc, argv, letters, options)) >= 0)
		if (seg_option(seg, option) != 0)
			return STATUS_USAGE;
	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &seg->name) != 0)
		return STATUS_USAGE;
	seg->opts.space = tool->space;
	return -1;
}

/* -1 it is open, else the exit status. */
static int seg_open(struct seg *seg)
{
	int error = tol_segment_open(&seg->segment, seg->name, &seg->opts);

	return error ? say_error(seg->tool, seg->name, error) : -1;
}

static int run_create(struct tool *tool, int argc, char **argv)
{
	struct seg seg;
	int error, status = seg_args(&seg, tool, argc, argv, ":hs:m:",
				     options_create);

	if (status >= 0)
		return status;
	if (!seg.has_size)
		return say_usage(tool, "--size is missing");
	error = tol_segment_create(&seg.segment, seg.name, seg.size_bytes,
				   &seg.opts);
	if (error != 0)
		return say_error(tool, seg.name, error);
	tol_segment_close(seg.segment);
	return STATUS_DONE;
}

static int run_grow(struct tool *tool, int argc, char **argv)
{
	struct tol_segment_stat stat;
	struct seg seg;
	int error, status = seg_args(&seg, tool, argc, argv, ":hs:",
				     options_grow);

	if (status >= 0)
		return status;
	if (!seg.has_size)
		return say_usage(tool, "--size is missing");
	status = seg_open(&seg);
	if (status >= 0)
		return status;
	status = STATUS_DONE;
	error = tol_segment_stat(seg.segment, &stat);
	if (error == 0 && seg.size_bytes < stat.size_bytes)
		status = say_failed(tool, seg.name, "has %" PRIu64 " bytes: a "
				    "segment never shrinks, take a larger "
				    "--size", stat.size_bytes);
	else if (error == 0)
		error = tol_segment_grow(seg.segment, seg.size_bytes);
	if (error != 0)
		status = say_error(tool, seg.name, error);
	tol_segment_close(seg.segment);
	return status;
}

static int run_seal(struct tool *tool, int argc, char **argv)
{
	struct seg seg;
	int error, status = seg_args(&seg, tool, argc, argv, ":h",
				     options_none);

	if (status >= 0)
		return status;
	status = seg_open(&seg);
	if (status >= 0)
		return status;
	error = tol_segment_seal(seg.segment);
	status = error ? say_error(tool, seg.name, error) : STATUS_DONE;
	tol_segment_close(seg.segment);
	return status;
}

static int run_rm(struct tool *tool, int argc, char **argv)
{
	struct tol_segment_opts opts = { 0 };
	int option, error, status = STATUS_DONE;

	while ((option = args_next(tool, argc, argv, ":h", options_none)) >= 0)
		;
	if (option != OPT_DONE)
		return args_status(option);
	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	opts.space = tool->space;
	for (; optind < argc; optind++) {
		error = tol_segment_remove(argv[optind], &opts);
		if (error != 0)
			status = say_error(tool, argv[optind], error);
	}
	return status;
}

/* ---- write and read ------------------------------------------------------ */

/* -1 go on, else the exit status: is the offset inside, and does a file fit? */
static int check_room(struct seg *seg, uint64_t size_bytes)
{
	uint64_t room_bytes = size_bytes - seg->offset_bytes;
	struct stat input;
	off_t at;

	if (seg->offset_bytes > size_bytes)
		return say_failed(seg->tool, seg->name, "--offset %" PRIu64
				  " is behind the end: it has %" PRIu64
				  " bytes", seg->offset_bytes, size_bytes);
	if (fstat(STDIN_FILENO, &input) != 0 || !S_ISREG(input.st_mode))
		return -1;
	at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	if (at < 0 || at >= input.st_size ||
	    (uint64_t)(input.st_size - at) <= room_bytes)
		return -1;
	return say_failed(seg->tool, seg->name, "the input does not fit, "
			  "nothing was written: it has %" PRIu64 " bytes and "
			  "there is room for %" PRIu64 "; grow it with 'tolsey "
			  "seg grow %s --size %" PRIu64 "'",
			  (uint64_t)(input.st_size - at), room_bytes, seg->name,
			  seg->offset_bytes + (uint64_t)(input.st_size - at));
}

/*
 * From the input into the memory, without a copy between. If there is no
 * memory behind a lazy segment read() says EFAULT where a store would die.
 */
static int fill(struct seg *seg, char *memory, uint64_t size_bytes)
{
	uint64_t at = seg->offset_bytes;
	char beyond;
	ssize_t n;

	for (;;) {
		if (at < size_bytes)
			n = read(STDIN_FILENO, memory + at,
				 (size_t)(size_bytes - at));
		else
			n = read(STDIN_FILENO, &beyond, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EFAULT)
			return say_error_after(seg->tool, seg->name, EFAULT,
				"; %" PRIu64 " bytes were written",
				at - seg->offset_bytes);
		if (n < 0)
			return say_failed(seg->tool, seg->name, "cannot read "
				"standard input: %s; %" PRIu64
				" bytes were written", strerror(errno),
				at - seg->offset_bytes);
		if (n == 0)
			return STATUS_DONE;
		if (at == size_bytes)
			break;
		at += (uint64_t)n;
	}
	return say_failed(seg->tool, seg->name, "the input does not fit: "
			  "%" PRIu64 " bytes were written, up to the end; grow "
			  "it with 'tolsey seg grow %s --size SIZE'",
			  at - seg->offset_bytes, seg->name);
}

static int run_write(struct tool *tool, int argc, char **argv)
{
	struct tol_segment_stat stat;
	struct seg seg;
	void *memory;
	int error, status = seg_args(&seg, tool, argc, argv, ":ho:",
				     options_write);

	if (status >= 0)
		return status;
	status = seg_open(&seg);
	if (status >= 0)
		return status;
	error = tol_segment_stat(seg.segment, &stat);
	if (error == 0)
		status = check_room(&seg, stat.size_bytes);
	if (error == 0 && status < 0) {
		error = tol_segment_attach(seg.segment, NULL, &memory);
		if (error == 0)
			status = fill(&seg, memory, stat.size_bytes);
	}
	if (error != 0)
		status = say_error(tool, seg.name, error);
	tol_segment_close(seg.segment);
	return status;
}

static int print_memory(struct seg *seg, const char *memory,
			uint64_t size_bytes)
{
	size_t done;
	int error;

	if (seg->offset_bytes > size_bytes)
		return say_failed(seg->tool, seg->name, "--offset %" PRIu64
				  " is behind the end: it has %" PRIu64
				  " bytes", seg->offset_bytes, size_bytes);
	size_bytes -= seg->offset_bytes;
	if (seg->has_length && seg->length_bytes > size_bytes)
		return say_failed(seg->tool, seg->name, "--length %" PRIu64
				  " goes beyond the end: there are %" PRIu64
				  " bytes from --offset on", seg->length_bytes,
				  size_bytes);
	if (seg->has_length)
		size_bytes = seg->length_bytes;
	error = write_all(STDOUT_FILENO, memory + seg->offset_bytes,
			  (size_t)size_bytes, &done);
	if (error == -EFAULT)
		return say_error(seg->tool, seg->name, error);
	if (error != 0)
		return say_failed(seg->tool, seg->name, "cannot write to "
				  "standard output: %s", strerror(-error));
	return STATUS_DONE;
}

static int run_read(struct tool *tool, int argc, char **argv)
{
	struct tol_attach_opts attach = { .flags = TOL_ATTACH_READONLY };
	struct tol_segment_stat stat;
	struct seg seg;
	void *memory;
	int error, status = seg_args(&seg, tool, argc, argv, ":ho:n:",
				     options_read);

	if (status >= 0)
		return status;
	status = seg_open(&seg);
	if (status >= 0)
		return status;
	error = tol_segment_stat(seg.segment, &stat);
	if (error == 0)
		error = tol_segment_attach(seg.segment, &attach, &memory);
	if (error == 0)
		status = print_memory(&seg, memory, stat.size_bytes);
	else
		status = say_error(tool, seg.name, error);
	tol_segment_close(seg.segment);
	return status;
}

/* ---- stat ---------------------------------------------------------------- */

static int stat_json(struct buffer *out, const char *name,
		     const struct tol_segment_stat *stat)
{
	struct json json = { .out = out };

	json_open(&json, '{');
	json_key_text(&json, "name", name);
	json_key_text(&json, "kind", "segment");
	json_key_u64(&json, "size_bytes", stat->size_bytes);
	json_key_u64(&json, "memory_bytes", stat->memory_bytes);
	json_key_u64(&json, "attach_count", stat->attach_count);
	json_key_u64(&json, "attach_write_count", stat->attach_write_count);
	json_key_bool(&json, "is_sealed", stat->is_sealed);
	json_key_bool(&json, "is_lazy", stat->is_lazy);
	json_key_bool(&json, "is_removed", stat->is_removed);
	json_key_mode(&json, "mode", stat->mode);
	json_key_u64(&json, "uid", stat->uid);
	json_key_u64(&json, "gid", stat->gid);
	json_key_i64(&json, "creator_pid", stat->creator_pid);
	json_key_i64(&json, "last_pid", stat->last_pid);
	json_key_i64(&json, "created_unix_ns", stat->created_unix_ns);
	json_key_i64(&json, "attached_unix_ns", stat->attached_unix_ns);
	json_key_i64(&json, "detached_unix_ns", stat->detached_unix_ns);
	json_key_i64(&json, "changed_unix_ns", stat->changed_unix_ns);
	json_close(&json, '}');
	return json.error ? json.error : buffer_add(out, "\n", 1);
}

static int stat_text(struct buffer *out, const char *name,
		     const struct tol_segment_stat *stat)
{
	char user[64], group[64], created[64], attached[64], detached[64];
	char changed[64];
	int error;

	error = buffer_printf(out,
		"segment       %s\n"
		"state         %s%s\n"
		"size          %" PRIu64 " bytes\n"
		"memory        %" PRIu64 " bytes\n"
		"attached      %" PRIu32 ", %" PRIu32 " for writing\n",
		name, stat->is_sealed ? "sealed" : "writable",
		stat->is_lazy ? ", lazy" : "", stat->size_bytes,
		stat->memory_bytes, stat->attach_count,
		stat->attach_write_count);
	if (error != 0)
		return error;
	return buffer_printf(out,
		"mode          %04o\n"
		"owner         %s:%s\n"
		"created       %s by process %ld\n"
		"last attach   %s\n"
		"last detach   %s\n"
		"last process  %ld\n"
		"changed       %s\n",
		(unsigned int)stat->mode & 07777,
		show_user(stat->uid, user, sizeof(user)),
		show_group(stat->gid, group, sizeof(group)),
		show_time(stat->created_unix_ns, created, sizeof(created)),
		(long)stat->creator_pid,
		show_time(stat->attached_unix_ns, attached, sizeof(attached)),
		show_time(stat->detached_unix_ns, detached, sizeof(detached)),
		(long)stat->last_pid,
		show_time(stat->changed_unix_ns, changed, sizeof(changed)));
}

static int run_stat(struct tool *tool, int argc, char **argv)
{
	struct tol_segment_stat stat;
	struct buffer out = { 0 };
	struct seg seg;
	int error, status = seg_args(&seg, tool, argc, argv, ":h",
				     options_stat);

	if (status >= 0)
		return status;
	status = seg_open(&seg);
	if (status >= 0)
		return status;
	error = tol_segment_stat(seg.segment, &stat);
	tol_segment_close(seg.segment);
	if (error == 0)
		error = (seg.as_json ? stat_json : stat_text)(&out, seg.name,
							      &stat);
	if (error == 0)
		return print_buffer(tool, &out);
	buffer_fini(&out);
	return say_error(tool, seg.name, error);
}

/* ---- the commands -------------------------------------------------------- */

const struct command cmd_seg_create = {
	.name = "seg create",
	.run = run_create,
	.brief = "Make a segment; its content is zero.",
	.usage = "seg create NAME --size SIZE [--lazy] [--mode MODE]",
	.help = "\n"
"  -s, --size SIZE     in bytes, or 64K, 16M, 1G; at most 1T\n"
"      --lazy          take memory as it is touched, do not reserve it\n"
"  -m, --mode MODE     who may use it, in octal; else 0600\n",
};

const struct command cmd_seg_write = {
	.name = "seg write",
	.run = run_write,
	.brief = "Copy standard input into a segment.",
	.usage = "seg write NAME [--offset N]",
	.help = "\n"
"The segment does not grow: input that does not fit is an error.\n\n"
"  -o, --offset N      begin there instead of at 0; 4096, 64K, 16M\n",
};

const struct command cmd_seg_read = {
	.name = "seg read",
	.run = run_read,
	.brief = "Copy a segment to standard output.",
	.usage = "seg read NAME [--offset N] [--length N]",
	.help = "\n"
"  -o, --offset N      begin there instead of at 0; 4096, 64K, 16M\n"
"  -n, --length N      that many bytes instead of all up to the end\n",
};

const struct command cmd_seg_stat = {
	.name = "seg stat",
	.run = run_stat,
	.brief = "Show a segment: size, who has it attached, times.",
	.usage = "seg stat NAME [--json]",
	.help = "\n"
"      --json          one object\n",
};

const struct command cmd_seg_grow = {
	.name = "seg grow",
	.run = run_grow,
	.brief = "Make a segment larger, also while it is attached.",
	.usage = "seg grow NAME --size SIZE",
	.help = "\n"
"  -s, --size SIZE     the new size: 4096, 64K, 16M, 1G\n",
};

const struct command cmd_seg_seal = {
	.name = "seg seal",
	.run = run_seal,
	.brief = "Let nobody write a segment any more.",
	.usage = "seg seal NAME",
	.help = "\nIts owner can undo that with chmod(1).\n\n",
};

const struct command cmd_seg_rm = {
	.name = "seg rm",
	.run = run_rm,
	.brief = "Remove segments.",
	.usage = "seg rm NAME...",
	.help = "\n"
"The name is gone at once, the memory when the last process detaches or ends.\n\n",
};
