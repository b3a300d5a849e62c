/* SPDX-License-Identifier: MIT */
/* Options and their values: counts, sizes, durations, modes. */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* After a '?': was it a letter that is none of ours, rather than a word? */
static int is_short(int letter, const struct option *options)
{
	if (letter <= ' ' || letter >= 127)
		return 0;
	for (; options->name != NULL; options++)
		if (options->val == letter)
			return 0;
	return 1;
}

/* The next option of a command; --space and --help are dealt with here. */
int args_next(struct tool *tool, int argc, char **argv, const char *letters,
	      const struct option *options)
{
	char clean[80];
	int c;

	opterr = 0;
	for (;;) {
		c = getopt_long(argc, argv, letters, options, NULL);
		switch (c) {
		case OPT_SPACE:
			tool->space = optarg;
			break;
		case 'h':
			say_help(tool->command);
			return OPT_EXIT;
		case ':':
			say_usage(tool, "option '%s' needs a value",
				  say_clean(argv[optind - 1], clean,
					    sizeof(clean)));
			return OPT_WRONG;
		case '?':
			if (is_short(optopt, options))
				say_usage(tool, "unknown option '-%c'", optopt);
			else
				say_usage(tool, "wrong option '%s'",
					  say_clean(argv[optind - 1], clean,
						    sizeof(clean)));
			return OPT_WRONG;
		case -1:
			return OPT_DONE;
		default:
			return c;
		}
	}
}

int args_status(int option)
{
	return option == OPT_EXIT ? STATUS_DONE : STATUS_USAGE;
}

/* The one NAME that a command takes. 0, or the exit status. */
int args_name(struct tool *tool, int argc, char **argv, const char **ret_name)
{
	char clean[80];

	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	if (optind + 1 < argc)
		return say_usage(tool, "one NAME only: '%s' is too much",
				 say_clean(argv[optind + 1], clean,
					   sizeof(clean)));
	*ret_name = argv[optind];
	return 0;
}

static int wrong_value(struct tool *tool, const char *option, const char *text,
		       const char *wanted)
{
	char clean[80];

	return say_usage(tool, "%s '%s': %s", option,
			 say_clean(text, clean, sizeof(clean)), wanted);
}

/* Digits at @text; where they end. -EINVAL none, -ERANGE above 64 bits. */
static int parse_digits(const char *text, uint64_t *ret_value,
			const char **ret_end)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	if (p == text)
		return -EINVAL;
	*ret_value = value;
	*ret_end = p;
	return 0;
}

int args_count(struct tool *tool, const char *option, const char *text,
	       uint64_t *ret_value)
{
	const char *end;
	int error = parse_digits(text, ret_value, &end);

	if (error == -ERANGE)
		return wrong_value(tool, option, text, "is too large");
	if (error != 0 || *end != '\0')
		return wrong_value(tool, option, text,
				   "is not a whole number, such as 64");
	return 0;
}

/* 0, 4096, 64K, 16M, 1G, 1T: powers of 1024. */
int args_size(struct tool *tool, const char *option, const char *text,
	      uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	const char *end, *unit;
	unsigned int shift = 0;
	uint64_t value;
	int error = parse_digits(text, &value, &end);

	if (error == 0 && *end != '\0') {
		unit = strchr(units, *end);
		if (unit == NULL || end[1] != '\0')
			error = -EINVAL;
		else
			shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (error == 0 && value > UINT64_MAX >> shift)
		error = -ERANGE;
	if (error == -ERANGE)
		return wrong_value(tool, option, text, "is too large");
	if (error != 0)
		return wrong_value(tool, option, text,
				   "is not a size, such as 4096, 64K, 16M, 1G");
	*ret_bytes = value << shift;
	return 0;
}

/* 250ms, 2s, 1m, 1h, also 10us and 10ns; a number alone is refused. */
int args_duration(struct tool *tool, const char *option, const char *text,
		  int64_t *ret_ns)
{
	static const struct {
		const char *unit;
		int64_t ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 },
		{ "s", 1000000000 }, { "m", 60 * (int64_t)1000000000 },
		{ "h", 3600 * (int64_t)1000000000 },
	};
	const char *end;
	uint64_t value;
	size_t i;
	int error = parse_digits(text, &value, &end);

	if (error == -ERANGE)
		return wrong_value(tool, option, text, "is too large");
	for (i = 0; error == 0 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (value > (uint64_t)(INT64_MAX / units[i].ns))
			return wrong_value(tool, option, text, "is too large");
		*ret_ns = (int64_t)value * units[i].ns;
		return 0;
	}
	return wrong_value(tool, option, text,
			   "is not a time with its unit, such as 250ms, 2s, 1m");
}

int args_mode(struct tool *tool, const char *text, mode_t *ret_mode)
{
	unsigned int mode = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '7' && mode <= 0777; p++)
		mode = mode * 8 + (unsigned int)(*p - '0');
	if (p == text || *p != '\0' || mode > 0777 || mode == 0)
		return wrong_value(tool, "--mode", text,
				   "is not a mode from 0001 to 0777 in octal, "
				   "such as 0660");
	*ret_mode = (mode_t)mode;
	return 0;
}
