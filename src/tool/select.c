/* SPDX-License-Identifier: MIT */
/* Options by which a receiver says which messages it wants. */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static int is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		(c >= 'A' && c <= 'F');
}

/* 7 or 0x1f at @text; where it ends. -EINVAL no number; -ERANGE above 64 bits. */
static int parse_number(const char *text, uint64_t *ret_value,
			const char **ret_end)
{
	int is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long long value;
	char *end;

	if (is_hex ? !is_hex_digit(text[2]) : text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, is_hex ? 16 : 10);
	if (errno != 0)
		return -ERANGE;
	*ret_value = value;
	*ret_end = end;
	return 0;
}

static int wrong(struct tool *tool, const char *option, const char *text,
		 int error, const char *wanted)
{
	char clean[80];

	return say_usage(tool, "%s '%s' %s", option,
			 say_clean(text, clean, sizeof(clean)),
			 error == -ERANGE ? "is too large: 64 bits at most"
					  : wanted);
}

int args_number(struct tool *tool, const char *option, const char *text,
		uint64_t *ret_value)
{
	const char *end;
	int error = parse_number(text, ret_value, &end);

	if (error == 0 && *end != '\0')
		error = -EINVAL;
	return error == 0 ? 0 : wrong(tool, option, text, error,
				      "is not a number, such as 7 or 0x1f");
}

int args_priority(struct tool *tool, const char *text, uint32_t *ret_priority)
{
	uint64_t value;

	if (args_number(tool, "--priority", text, &value) != 0)
		return STATUS_USAGE;
	if (value > TOL_PRIORITY_MAX)
		return say_usage(tool, "--priority takes 0 to %u",
				 TOL_PRIORITY_MAX);
	*ret_priority = (uint32_t)value;
	return 0;
}

/* 7 or 7,9,0x1f; what is given again is added. */
static int add_tags(struct tool *tool, struct selection *selection,
		    const char *text)
{
	struct tol_select *select = &selection->select;
	const char *p = text, *end;
	uint64_t tag;

	select->tags = selection->tags;
	for (;; p = end + 1) {
		int error = parse_number(p, &tag, &end);

		if (error == 0 && *end != ',' && *end != '\0')
			error = -EINVAL;
		if (error != 0)
			return wrong(tool, "--tag", text, error,
				     "is not a number, nor numbers with commas "
				     "between them, such as 7,9,0x1f");
		if (select->tags_count == TOL_SELECT_TAGS_MAX)
			return say_usage(tool, "--tag takes at most %d tags: "
					 "take --tag-range for more",
					 TOL_SELECT_TAGS_MAX);
		selection->tags[select->tags_count++] = tag;
		if (*end == '\0')
			return 0;
	}
}

/* 5-9, 5- or -9. */
static int parse_range(const char *text, struct tol_select *select)
{
	const char *p = text;
	int error = 0;

	select->first_tag = 0;
	select->last_tag = UINT64_MAX;
	if (*p != '-')
		error = parse_number(p, &select->first_tag, &p);
	else if (p[1] == '\0')
		return -EINVAL;
	if (error == 0 && *p++ != '-')
		error = -EINVAL;
	if (error == 0 && *p != '\0')
		error = parse_number(p, &select->last_tag, &p);
	return error == 0 && *p != '\0' ? -EINVAL : error;
}

static int set_range(struct tool *tool, struct tol_select *select,
		     const char *text)
{
	char clean[80];
	int error = parse_range(text, select);

	if (error != 0)
		return wrong(tool, "--tag-range", text, error,
			     "is not a range, such as 5-9, 5- or -9");
	if (select->first_tag > select->last_tag)
		return say_usage(tool, "--tag-range '%s' ends before it begins: "
				 "the lower tag comes first",
				 say_clean(text, clean, sizeof(clean)));
	return 0;
}

static int set_sender(struct tool *tool, struct tol_select *select,
		      const char *text)
{
	const char *end;
	uint64_t pid = 0;

	if (*text == '@')
		return say_usage(tool, "--from takes no names of processes in "
				 "this version: take the process id, as "
				 "'tolsey peek --json' shows it");
	if (parse_number(text, &pid, &end) != 0 || *end != '\0' || pid == 0 ||
	    pid > INT_MAX)
		return wrong(tool, "--from", text, 0,
			     "is not a process id, such as 4711");
	select->sender_pid = (pid_t)pid;
	return 0;
}

int select_option(struct tool *tool, struct selection *selection, int option)
{
	static const enum tol_select_by by_option[] = {
		TOL_SELECT_TAGS, TOL_SELECT_TAG_RANGE, TOL_SELECT_TAG_NOT,
		TOL_SELECT_TAG_LOWEST, TOL_SELECT_SENDER,
	};
	struct tol_select *select = &selection->select;
	enum tol_select_by by = by_option[option - OPT_SELECT];

	if (select->by != TOL_SELECT_ANY &&
	    (select->by != by || by != TOL_SELECT_TAGS))
		return say_usage(tool, select->by == by ?
			"that option is given twice" :
			"--tag, --tag-range, --not-tag, --lowest-tag and --from "
			"exclude each other");
	select->by = by;
	switch (by) {
	case TOL_SELECT_TAGS:
		return add_tags(tool, selection, optarg);
	case TOL_SELECT_TAG_RANGE:
		return set_range(tool, select, optarg);
	case TOL_SELECT_TAG_NOT:
		return args_number(tool, "--not-tag", optarg,
				   &select->first_tag);
	case TOL_SELECT_TAG_LOWEST:
		return args_number(tool, "--lowest-tag", optarg,
				   &select->last_tag);
	default:
		return set_sender(tool, select, optarg);
	}
}

const struct tol_select *select_of(const struct selection *selection)
{
	return selection->select.by == TOL_SELECT_ANY ? NULL
						      : &selection->select;
}
