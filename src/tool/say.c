/* SPDX-License-Identifier: MIT */
/* One line on standard error: what, which name, why, what to do. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

#define LINE_SIZE_BYTES 1024

/* Text of others, made fit for one line of a terminal. */
const char *say_clean(const char *text, char *buf, size_t size_bytes)
{
	size_t i;

	for (i = 0; i + 1 < size_bytes && text[i] != '\0'; i++) {
		unsigned char c = (unsigned char)text[i];

		buf[i] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
	}
	buf[i] = '\0';
	if (text[i] != '\0' && i >= 3)
		memcpy(buf + i - 3, "...", 3);
	return buf;
}

static void say_prefix(struct tool *tool)
{
	fputs("tolsey: ", stderr);
	if (tool->command != NULL)
		fprintf(stderr, "%s: ", tool->command->name);
}

int say_usage(struct tool *tool, const char *format, ...)
{
	const char *name = tool->command ? tool->command->name : NULL;
	va_list args;

	say_prefix(tool);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": see 'tolsey %s%s--help'\n", name ? name : "",
		name ? " " : "");
	return STATUS_USAGE;
}

static void say_name(const char *name)
{
	char clean[80];

	if (name != NULL)
		fprintf(stderr, "%s: ",
			*name ? say_clean(name, clean, sizeof(clean)) : "''");
}

int say_failed(struct tool *tool, const char *name, const char *format, ...)
{
	va_list args;

	say_prefix(tool);
	say_name(name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return STATUS_FAILED;
}

/*
 * The table from errno and command to advice: the first line that fits. A NULL
 * command fits all; one that ends in a space fits a family. %N is the name, %S
 * the space, %L both layouts.
 */
static const struct {
	int error;
	const char *command, *text;
} advices[] = {
	{ ENOENT, "seg ", "no such segment in %S: create it with "
		"'tolsey seg create %N --size SIZE'" },
	{ ENOENT, "rm", "no such mailbox in %S: 'tolsey ls' lists what there is" },
	{ ENOENT, NULL, "no such mailbox in %S: create it with "
		"'tolsey create %N --capacity N'" },
	{ EEXIST, "create", "is there already in %S: use --if-missing, or "
		"remove it with 'tolsey rm %N'" },
	{ EEXIST, "seg create", "is there already in %S: remove it with "
		"'tolsey seg rm %N'" },
	{ EAGAIN, "send", "the mailbox is full (or has capacity 0, and nobody "
		"receives): leave out --nowait to wait, or receive with "
		"'tolsey recv %N'" },
	{ EAGAIN, "recv", "the mailbox is empty: leave out --nowait to wait" },
	{ EAGAIN, "peek", "no message waits there" },
	{ EAGAIN, NULL, "in use just now: try again" },
	{ ENODATA, NULL, "it was closed, and all its messages are received" },
	{ ESHUTDOWN, NULL, "it was closed: it takes no more messages" },
	{ ETIMEDOUT, "send", "timed out, the mailbox was full all the time (or has "
		"capacity 0, and nobody received): receive with "
		"'tolsey recv %N', or wait longer" },
	{ ETIMEDOUT, "recv", "timed out, the mailbox was empty all the time: "
		"wait longer, or send with 'tolsey send %N TEXT'" },
	{ ENOSPC, "create", "no memory left in %S for a mailbox of that "
		"capacity: free some, see 'df %S' and 'tolsey ls'" },
	{ ENOSPC, "send", "no memory left in %S for the message: receive some, "
		"or free memory, see 'df %S'; or it is at its limit, see "
		"'tolsey stat %N'" },
	{ ENOSPC, "seg create", "no memory left in %S for a segment of that "
		"size: free some, see 'df %S', or try --lazy" },
	{ ENOSPC, NULL, "no memory left in %S: free some, see 'df %S'" },
	{ EFAULT, NULL, "no memory left in %S behind the segment: free some, "
		"see 'df %S'" },
	{ EIDRM, NULL, "was removed meanwhile: nothing to do, or create it "
		"again" },
	{ EBADMSG, "doctor", "nothing of it can be read: remove it with '%R'" },
	{ EBADMSG, "seg ", "is damaged, its bytes make no sense: remove it with "
		"'%R'" },
	{ EBADMSG, NULL, "is damaged, its bytes make no sense: see 'tolsey "
		"doctor %N', which can repair it, or remove it with '%R'" },
	{ EPROTO, NULL, "was made by a version of tolsey with another layout%L: "
		"use that version, or remove it with '%R'" },
	{ ERANGE, "create", "capacity is above the maximum: take at most "
		"1048576 messages" },
	{ EFBIG, "seg ", "size is above the maximum of 1T or the limit of "
		"'ulimit -f': take a smaller one or raise the limit" },
	{ EFBIG, NULL, "too large for the limit of 'ulimit -f': raise it" },
	{ EACCES, NULL, "permission denied by the mode of it or of %S: ask its "
		"owner, see 'ls -ld %S'" },
	{ EROFS, NULL, "the space %S is on a read-only file system: choose "
		"another with --space" },
	{ ELOOP, NULL, "is a symbolic link, in %S or on the way to it, and "
		"those are not followed: name the real one" },
	{ ENOTDIR, NULL, "the space %S is not a directory: choose another "
		"with --space" },
	{ EOPNOTSUPP, NULL, "the file system of %S cannot hold it: choose a "
		"directory on tmpfs, such as /dev/shm, with --space" },
	{ EPERM, "seg write", "is sealed, nobody can write it: make another "
		"with 'tolsey seg create'" },
	{ EPERM, "seg grow", "is sealed, its size is fixed: make another with "
		"'tolsey seg create'" },
	{ EPERM, "doctor", "is another user's: ask its owner to repair it, see "
		"'tolsey stat %N'" },
	{ EPERM, "rm", "is another user's, and in %S only its owner removes it: "
		"see 'tolsey stat %N'" },
	{ EBUSY, "seg seal", "is attached for writing by somebody: see "
		"'tolsey seg stat %N', seal it when they are done" },
	{ EUSERS, NULL, "4096 processes take part already: let some end, see "
		"'tolsey stat %N'" },
	{ EMFILE, NULL, "too many open files: raise 'ulimit -n'" },
	{ ENOMEM, NULL, "no memory left for this process: free some, or raise "
		"'ulimit -v'" },
	{ EOVERFLOW, NULL, "too large for this tolsey, which has 32 bits: make it "
		"again, with 'tolsey create %N --reserve 256M'" },
	{ EINVAL, "seg create", "size must be from 1 to 1T" },
};

static int fits(const char *wanted, const char *command)
{
	size_t n;

	if (wanted == NULL)
		return 1;
	n = strlen(wanted);
	if (wanted[n - 1] == ' ')
		return strncmp(wanted, command, n) == 0;
	return strcmp(wanted, command) == 0;
}

static const char *advice_for(struct tool *tool, int error)
{
	size_t i;

	for (i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		if (advices[i].error == error &&
		    fits(advices[i].command, tool->command->name))
			return advices[i].text;
	return NULL;
}

static void say_layouts(const char *name, const char *space)
{
	struct tol_layout object, own;

	if (tol_object_layout(name, space, &object, &own) != 0)
		return;
	fprintf(stderr, " (it has %" PRIu32 "-%016" PRIx64, object.version,
		object.signature);
	if (object.incompatible_flags)
		fprintf(stderr, " with flags %#" PRIx32,
			object.incompatible_flags);
	fprintf(stderr, ", tolsey %s has %" PRIu32 "-%016" PRIx64 ")",
		tol_version(), own.version, own.signature);
}

static void say_text(const char *text, const char *address, const char *space,
		     int segment)
{
	char clean[LINE_SIZE_BYTES], name[TOL_NAME_MAX_BYTES + 1];

	/* Of jobs:dead, the mailbox. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(address, ":"),
		 address);

	for (; *text != '\0'; text++) {
		if (text[0] != '%') {
			fputc(*text, stderr);
			continue;
		}
		text++;
		if (*text == 'L')
			say_layouts(name, space);
		else if (*text == 'R')
			fprintf(stderr, "tolsey %srm %s", segment ? "seg " : "",
				say_clean(name, clean, sizeof(clean)));
		else
			fputs(say_clean(*text == 'N' ? name : space, clean,
					sizeof(clean)), stderr);
	}
}

struct find_kind {
	const char *name;
	enum tol_kind kind;
};

static int find_kind(const char *name, enum tol_kind kind, void *context)
{
	struct find_kind *find = context;

	if (strcmp(name, find->name) != 0)
		return 0;
	find->kind = kind;
	return 1;
}

enum tol_kind say_kind_of(struct tool *tool, const char *name)
{
	struct find_kind find = { name, TOL_KIND_UNKNOWN };

	tol_space_list(tool->space, find_kind, &find);
	return find.kind;
}

static int visit_none(const char *name, enum tol_kind kind, void *context)
{
	(void)name;
	(void)kind;
	(void)context;
	return 1;
}

static int is_view(const char *name)
{
	const char *suffix = strchr(name, ':');

	return suffix != NULL && (strcmp(suffix, ":dead") == 0 ||
				  strcmp(suffix, ":tap") == 0);
}

/* Why a name cannot be one, or NULL. */
static const char *name_problem(const char *name)
{
	size_t size = strlen(name), i;

	if (size == 0)
		return "the name is empty: give it 1 to 200 letters, digits "
			"or . _ -";
	if (is_view(name))
		return "that is not for dead letters, or what a tap shows: "
			"name the mailbox, %N";
	for (i = 0; i < size; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
			    "xyz0123456789._-", name[i]))
			return "not a name: use letters, digits and . _ - only";
	if (name[0] == '.' || name[0] == '-')
		return "not a name: begin it with a letter, a digit or _";
	if (size > TOL_NAME_MAX_BYTES)
		return "the name is too long: take at most 200 bytes";
	return NULL;
}

static const char *other_kind(struct tool *tool, const char *name)
{
	int segment = strncmp(tool->command->name, "seg ", 4) == 0;

	switch (say_kind_of(tool, name)) {
	case TOL_KIND_SEGMENT:
		if (!segment)
			return "is a segment, not a mailbox: use "
				"'tolsey seg stat %N' or 'tolsey seg rm %N'";
		break;
	case TOL_KIND_MAILBOX:
		if (segment)
			return "is a mailbox, not a segment: use "
				"'tolsey stat %N' or 'tolsey rm %N'";
		break;
	case TOL_KIND_UNKNOWN:
		break;
	}
	return "is a file in %S that tolsey did not make, or is damaged: look "
		"with 'ls -l %S' and remove it with 'rm' if nobody needs it";
}

static const char *reason(struct tool *tool, const char *name, int error)
{
	const char *text = NULL;

	if (name != NULL && (error == EINVAL ||
			     (error == EPERM && is_view(name))))
		text = name_problem(name);
	if (error == EMEDIUMTYPE && name != NULL)
		text = other_kind(tool, name);
	/* The same codes for the space as a whole and for the object in it. */
	if (text == NULL && (error == ENOENT || error == EPERM)) {
		int listed = tol_space_list(tool->space, visit_none, NULL);

		if (listed == -ENOENT)
			text = "there is no space %S: make it with "
				"'mkdir -m 0700 %S', or choose with --space";
		else if (listed == -EPERM)
			text = "the space %S is not safe: somebody else owns it "
				"or may write in it; see 'ls -ld %S', or choose "
				"another with --space";
	}
	if (text == NULL)
		text = advice_for(tool, error);
	return text;
}

int say_error_after(struct tool *tool, const char *name, int error,
		    const char *format, ...)
{
	char space[PATH_MAX];
	const char *text;
	va_list args;

	error = error < 0 ? -error : error;
	if (tol_space_path(tool->space, space, sizeof(space)) < 0)
		strcpy(space, "the space");
	text = reason(tool, name, error);
	say_prefix(tool);
	say_name(name);
	if (text != NULL)
		say_text(text, name ? name : "NAME", space,
			 strncmp(tool->command->name, "seg ", 4) == 0);
	else
		fprintf(stderr, "%s (%s)", tol_strerror(error), strerror(error));
	if (format != NULL) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
	}
	fputc('\n', stderr);
	if (error == ENODATA)
		return STATUS_ENDED;
	return error == EAGAIN || error == ETIMEDOUT ? STATUS_NOT_NOW :
		STATUS_FAILED;
}

int say_error(struct tool *tool, const char *name, int error)
{
	return say_error_after(tool, name, error, NULL);
}

void say_help(const struct command *command)
{
	printf("usage: tolsey %s\n\n%s\n%s"
	       "      --space DIR     the space; else $TOLSEY_SPACE, else "
	       "/dev/shm/tolsey-UID\n"
	       "  -h, --help          this text\n",
	       command->usage, command->brief, command->help);
}
