/* SPDX-License-Identifier: MIT */
/*
 * A thread that waits for a message, so that the worker can wait for its jobs,
 * its time limits and signals meanwhile. It takes one when it is asked to, and
 * waits in slices, so that it can be told to stop; in between it sleeps in the
 * kernel. What it takes and nobody fetches comes back when the process ends.
 */

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "work.h"

#define SLICE_NS TOL_MSECS(100)

static int must_stop(struct taker *taker)
{
	int stop;

	pthread_mutex_lock(&taker->mutex);
	stop = taker->is_stopping;
	pthread_mutex_unlock(&taker->mutex);
	return stop;
}

/* Return: 0 stop */
static int wait_for_request(struct taker *taker)
{
	int wanted;

	pthread_mutex_lock(&taker->mutex);
	while (!taker->is_wanted && !taker->is_stopping)
		pthread_cond_wait(&taker->asked, &taker->mutex);
	wanted = taker->is_wanted;
	pthread_mutex_unlock(&taker->mutex);
	return wanted;
}

static void *take(void *context)
{
	struct taker *taker = context;
	struct tol_message message;
	int error;

	while (wait_for_request(taker)) {
		do
			error = tol_take(taker->link, SLICE_NS, taker->opts,
					 &message);
		while (error == -ETIMEDOUT && !must_stop(taker));
		pthread_mutex_lock(&taker->mutex);
		taker->is_wanted = 0;
		taker->is_answered = 1;
		taker->error = error;
		taker->message = message;
		pthread_mutex_unlock(&taker->mutex);
		/* A pipe that is full wakes as well. */
		if (write(taker->wake_fd, "", 1) < 0 && errno == EBADF)
			break;
	}
	return NULL;
}

int taker_start(struct taker *taker)
{
	sigset_t all, old;
	int error;

	pthread_mutex_init(&taker->mutex, NULL);
	pthread_cond_init(&taker->asked, NULL);
	/* Signals are for the thread that handles them. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	error = pthread_create(&taker->thread, NULL, take, taker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -error;
}

void taker_ask(struct taker *taker)
{
	pthread_mutex_lock(&taker->mutex);
	taker->is_wanted = 1;
	pthread_cond_signal(&taker->asked);
	pthread_mutex_unlock(&taker->mutex);
}

int taker_answer(struct taker *taker, int *ret_error,
		 struct tol_message *ret_message)
{
	int answered;

	pthread_mutex_lock(&taker->mutex);
	answered = taker->is_answered;
	taker->is_answered = 0;
	*ret_error = taker->error;
	*ret_message = taker->message;
	pthread_mutex_unlock(&taker->mutex);
	return answered;
}

void taker_stop(struct taker *taker)
{
	pthread_mutex_lock(&taker->mutex);
	taker->is_stopping = 1;
	pthread_cond_signal(&taker->asked);
	pthread_mutex_unlock(&taker->mutex);
}

void taker_join(struct taker *taker)
{
	pthread_join(taker->thread, NULL);
	pthread_cond_destroy(&taker->asked);
	pthread_mutex_destroy(&taker->mutex);
}
