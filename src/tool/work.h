/* SPDX-License-Identifier: MIT */
#ifndef TOOL_WORK_H
#define TOOL_WORK_H

/* tolsey work: what its files have in common. */

#include <pthread.h>

#include "tool.h"

#define JOBS_MAX 1024

/* Before a message that failed is tried again: twice as long each time. */
#define PAUSE_FIRST_NS TOL_MSECS(100)
#define PAUSE_MAX_NS TOL_SECS(10)

/* From the request to end until the group is killed. */
#define KILL_AFTER_NS TOL_SECS(2)

/* ---- keeper.c: ends the jobs of a worker that was killed ---- */

struct keeper {
	pid_t pid;
	int fd;			/* that only the worker and its forks write */
};

/* Return: 0; -errno. Before the link is opened and threads are started */
int keeper_start(struct keeper *keeper);
/* @pid: of a group that begins, negative of one that is over. 0; -errno */
int keeper_tell(const struct keeper *keeper, pid_t pid);
void keeper_end(struct keeper *keeper);

/* ---- taker.c: a thread that waits for a message ---- */

struct taker {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t asked;
	struct tol_link *link;
	const struct tol_take_opts *opts;
	int wake_fd;		/* gets a byte with each answer */
	int is_wanted, is_answered, is_stopping;
	int error;
	struct tol_message message;
};

int taker_start(struct taker *taker);
/* One message, please. Not before the last answer was fetched. */
void taker_ask(struct taker *taker);
/* Return: 1 and the answer; 0 there is none yet */
int taker_answer(struct taker *taker, int *ret_error,
		 struct tol_message *ret_message);
/* No more waiting: the answer to what was asked comes soon. */
void taker_stop(struct taker *taker);
void taker_join(struct taker *taker);

/* ---- job.c: one run of the command ---- */

enum job_state {
	JOB_FREE = 0,
	JOB_WAITS,		/* it failed: its message is held for a while */
	JOB_RUNS,
	JOB_ENDS,		/* was asked to */
	JOB_KILLED,
};

struct job {
	enum job_state state;
	struct tol_message message;
	pid_t pid;		/* of its first process and of its group */
	int64_t started_ns;
	int64_t signal_ns;	/* when the next signal is due; INT64_MAX never;
				   of one that waits: when it is returned */
	int is_over_time;
};

/* What all jobs of a worker have in common. */
struct job_setup {
	char **argv;
	char **envp;		/* a copy, whose first entries are a job's own */
	char *variables;	/* their text */
	const struct keeper *keeper;
	pid_t worker_pid;
	int output_fd, error_fd;	/* for its 1 and 2, or -1: the worker's */
};

int job_setup_init(struct job_setup *setup, const struct tool *tool,
		   const char *mailbox, char **argv);
void job_setup_fini(struct job_setup *setup);
/* Return: 0 the command can be found; -errno */
int job_find_command(const char *command);
/* Return: descriptor from which the body is read; -errno */
int job_body(const struct tol_message *message);
/* Return: 0 it runs; -errno, and @ret_what says what failed */
int job_start(const struct job_setup *setup, struct job *job, int body_fd,
	      const char **ret_what);
void job_signal(const struct job *job, int number);

/* ---- work_show.c: the line on a terminal ---- */

#define RATE_SAMPLES 8

struct work_show {
	int is_wanted, is_shown, is_changed;
	int is_middle;		/* the last output had no newline at its end */
	int fd;			/* what jobs print when there is a line, or -1 */
	int64_t next_ns, sample_ns, fall_ns;
	uint64_t running, waiting, done, failed, dead;
	int is_stopping;
	uint64_t samples[RATE_SAMPLES];
	int64_t sample_times_ns[RATE_SAMPLES];
	unsigned int samples_count;
};

/* Return: 0; -errno. @jobs_fd: what jobs may write to, to be closed by them */
int work_show_init(struct work_show *show, int *ret_jobs_fd);
/* Before anything else is printed. */
void work_show_clear(struct work_show *show);
void work_show_relay(struct work_show *show);
/* Return: when it wants to be called again; INT64_MAX never */
int64_t work_show_update(struct work_show *show, int64_t at_ns);
void work_show_fini(struct work_show *show);

#endif
