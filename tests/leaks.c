/* SPDX-License-Identifier: MIT */
/*
 * The looks for leaks themselves: a test that leaves something must fail, each
 * kind for its own reason, and one that leaves nothing must pass.
 */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int make_file(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", support_space, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	unlink(path);
	return fd;
}

START_TEST(leaves_nothing)
{
	close(make_file("a"));
}
END_TEST

START_TEST(leaves_a_descriptor)
{
	make_file("a");
}
END_TEST

START_TEST(leaves_a_mapping)
{
	int fd = make_file("a");

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
}
END_TEST

START_TEST(leaves_a_name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/left", support_space);
	close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}
END_TEST

static int wait_for_the_end(void *context)
{
	(void)context;
	pause();
	return 0;
}

START_TEST(leaves_a_process)
{
	support_fork(wait_for_the_end, NULL);
}
END_TEST

START_TEST(crashes)
{
	abort();
}
END_TEST

static const struct expected {
	const char *test;
	const char *message;	/* NULL: it passes */
} expected[] = {
	{ "leaves_nothing", NULL },
	{ "leaves_a_descriptor", "descriptors leaked" },
	{ "leaves_a_mapping", "mappings leaked" },
	{ "leaves_a_name", "names leaked" },
	{ "leaves_a_process", "a child process is left" },
	{ "crashes", "signal 6" },
};

#define EXPECTED_COUNT (sizeof(expected) / sizeof(expected[0]))

static int is_as_expected(TestResult *result)
{
	const char *name = tr_tcname(result);
	const struct expected *wanted = NULL;

	for (size_t i = 0; i < EXPECTED_COUNT; i++)
		if (!strcmp(expected[i].test, name))
			wanted = &expected[i];
	if (!wanted)
		return 0;
	if (!wanted->message)
		return tr_rtype(result) == CK_PASS;
	if (tr_rtype(result) != CK_PASS &&
	    strstr(tr_msg(result), wanted->message))
		return 1;
	printf("%s: %s\n", name, tr_msg(result));
	return 0;
}

/* Each in a case of its own, since results bear the name of their case. */
static void add(Suite *suite, const char *name, const TTest *test)
{
	TCase *tcase = support_tcase(name);

	tcase_add_test(tcase, test);
	suite_add_tcase(suite, tcase);
}

int main(void)
{
	Suite *suite = suite_create("leaks");
	TestResult **results;
	SRunner *runner;
	int passed = 0, count;

	add(suite, "leaves_nothing", leaves_nothing);
	add(suite, "leaves_a_descriptor", leaves_a_descriptor);
	add(suite, "leaves_a_mapping", leaves_a_mapping);
	add(suite, "leaves_a_name", leaves_a_name);
	add(suite, "leaves_a_process", leaves_a_process);
	add(suite, "crashes", crashes);
	runner = srunner_create(suite);
	/* What they say is what is looked for here, not what went wrong. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	srunner_run_all(runner, CK_SILENT);
	results = srunner_results(runner);
	count = srunner_ntests_run(runner);
	for (int i = 0; i < count; i++)
		passed += is_as_expected(results[i]);
	printf("%d passed, %d failed\n", passed,
	       (int)EXPECTED_COUNT - passed);
	free(results);
	srunner_free(runner);
	return passed != (int)EXPECTED_COUNT;
}
