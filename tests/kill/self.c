/* SPDX-License-Identifier: MIT */
/* Operations with a fault, which the harness must find. */
#include "world.h"

static void op_torn(void)
{
	shared->words[0] = 1;
	__asm__ volatile("" ::: "memory");
	shared->words[1] = 1;
}

static void op_undone(void)
{
	volatile uint64_t *word = shared->words;

	word[0] = 1;
	word[0] = 0;
	word[0] = 1;
}

static void op_sound(void)
{
	volatile uint64_t *word = shared->words;

	word[1] = 1;
	word[0] = 1;
}

static bool check_words(void)
{
	must_be((int64_t)shared->words[0], (int64_t)shared->words[1]);
	return shared->words[0];
}

static bool check_word(void)
{
	return shared->words[0];
}

const struct scenario self_scenarios[] = {
	{ .name = "self-test: torn", .set_up = world_nothing, .op = op_torn,
	  .check = check_words, .flip = "op_torn", .is_faulty = true },
	{ .name = "self-test: undone", .set_up = world_nothing,
	  .op = op_undone, .check = check_word, .flip = "op_undone",
	  .is_faulty = true },
	{ .name = "self-test: elsewhere", .set_up = world_nothing,
	  .op = op_sound, .check = check_word, .flip = "op_torn",
	  .is_faulty = true },
	{ .name = "self-test: sound", .set_up = world_nothing, .op = op_sound,
	  .check = check_word, .flip = "op_sound" },
	{ .name = NULL },
};
