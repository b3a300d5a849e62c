/* SPDX-License-Identifier: MIT */
#include "base/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/sys.h"

static const uint32_t no_process;
const uint32_t *fork_process_word = &no_process;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static const struct fork_hooks *hooks, *outer_hooks;
static bool is_registered;
static uint32_t numbers_count;	/* inherited, so a child's number is new */

/* Theirs first; once more if they were set before we had the guard. */
static void before_fork(void)
{
	const struct fork_hooks *seen = NULL;

	for (;;) {
		pthread_mutex_lock(&guard);
		if (outer_hooks == seen)
			break;
		seen = outer_hooks;
		pthread_mutex_unlock(&guard);
		seen->prepare();
	}
	if (hooks)
		hooks->prepare();
}

static void after_fork_in_parent(void)
{
	const struct fork_hooks *outer = outer_hooks;

	if (hooks)
		hooks->parent();
	pthread_mutex_unlock(&guard);
	if (outer)
		outer->parent();
}

static void after_fork_in_child(void)
{
	const struct fork_hooks *outer = outer_hooks;

	if (hooks)
		hooks->child();
	pthread_mutex_unlock(&guard);
	if (outer)
		outer->child();
}

static int make_process_word(void)
{
	void *page = mmap(NULL, SYS_PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	if (madvise(page, SYS_PAGE_BYTES, MADV_WIPEONFORK) < 0) {
		munmap(page, SYS_PAGE_BYTES);
		return -ENOMEM;
	}
	fork_process_word = page;
	return 0;
}

static int init_locked(void)
{
	uint32_t *word;
	int err;

	if (fork_process_word == &no_process) {
		err = make_process_word();
		if (err < 0)
			return err;
	}
	if (!is_registered) {
		if (pthread_atfork(before_fork, after_fork_in_parent,
				   after_fork_in_child))
			return -ENOMEM;
		is_registered = true;
	}
	word = (uint32_t *)fork_process_word;
	if (*word == 0)
		__atomic_store_n(word, ++numbers_count, __ATOMIC_RELEASE);
	return 0;
}

int fork_init(void)
{
	int err;

	pthread_mutex_lock(&guard);
	err = init_locked();
	pthread_mutex_unlock(&guard);
	return err;
}

void fork_guard_enter(void)
{
	pthread_mutex_lock(&guard);
}

void fork_guard_leave(void)
{
	pthread_mutex_unlock(&guard);
}

void fork_set_hooks(const struct fork_hooks *new_hooks)
{
	hooks = new_hooks;
}

void fork_set_outer_hooks(const struct fork_hooks *new_hooks)
{
	pthread_mutex_lock(&guard);
	outer_hooks = new_hooks;
	pthread_mutex_unlock(&guard);
}
