/* SPDX-License-Identifier: MIT */
/*
 * tolsey work: a command for each message.
 *
 * One thread does everything but wait for messages, which taker.c does. It sleeps
 * in poll() on one pipe that gets a byte from the taker and from each signal. A
 * message is held while its job runs, and ends with it: acknowledged, or returned.
 * Whatever ends this process returns all of them, and keeper.c ends the jobs.
 *
 * A time limit is kept by us, not by the mailbox: there the lease is longer by the
 * time that a job gets to end, so that nobody begins a message anew that is still
 * being worked on. Only if this process is stopped does the lease end first.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

/* How often is looked for messages where nothing would wake us. */
#define LOOK_NS TOL_MSECS(100)
#define LEASE_MARGIN_NS (KILL_AFTER_NS + TOL_SECS(1))

struct work {
	struct tool *tool;
	const char *name;
	struct tol_link *link;
	struct tol_take_opts opts;
	struct selection selection;
	int64_t limit_ns;	/* of a job; 0 none */
	uint64_t jobs_count;	/* at once */
	uint64_t count;		/* to take in all; 0: no limit */
	int as_json, drain;

	struct job_setup setup;
	struct keeper keeper;
	struct taker taker;
	struct work_show show;
	struct job *jobs;
	int wake_fds[2];
	int jobs_fd;		/* what they print goes there, or -1 */
	uint64_t taken;
	int is_asked;		/* the taker has been */
	int is_empty;		/* when last looked */
	int is_alone;		/* nobody else held any, when last looked */
	int is_ended;		/* the mailbox was closed */
	int is_stopping;
	int signals_seen;
	int status;
	int64_t look_ns;	/* when to look again; INT64_MAX never */
	struct buffer json;
};

static int wake_fd = -1;
static volatile sig_atomic_t signals_count, first_signal;

static void wake_up(int number)
{
	static int64_t last_ns;
	int error = errno;

	if (number != SIGCHLD && signal_counts(&last_ns)) {
		if (signals_count == 0)
			first_signal = number;
		if (signals_count < 3)
			signals_count++;
	}
	if (write(wake_fd, "", 1) < 0)
		errno = error;
	errno = error;
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	struct sigaction action = { .sa_handler = wake_up }, old;
	size_t i;

	action.sa_flags = SA_RESTART;
	sigfillset(&action.sa_mask);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		/* What nohup and the shell's & have ignored stays ignored. */
		if (numbers[i] == SIGCHLD ||
		    (sigaction(numbers[i], NULL, &old) == 0 &&
		     old.sa_handler != SIG_IGN))
			sigaction(numbers[i], &action, NULL);
	/* Whoever started us may have kept it from us. */
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL);
}

/* Takes no more. What runs goes on. */
static void stop(struct work *work)
{
	if (work->is_stopping)
		return;
	work->is_stopping = 1;
	work->show.is_stopping = 1;
	work->show.is_changed = 1;
	taker_stop(&work->taker);
}

static int takes_more(const struct work *work)
{
	return !work->is_stopping && signals_count == 0 &&
		(work->count == 0 || work->taken < work->count);
}

static void fail(struct work *work, int status)
{
	if (work->status == STATUS_DONE)
		work->status = status;
	stop(work);
}

/* ---- the end of a job ---- */

enum result { RESULT_DONE, RESULT_RETURNED, RESULT_DEAD, RESULT_EXPIRED };

static int build_json(struct work *work, const struct job *job, int status,
		      enum result result, int64_t took_ns)
{
	static const char *const names[] = {
		"done", "returned", "dead_letter", "expired",
	};
	struct json json = { .out = &work->json };

	work->json.size_bytes = 0;
	json_open(&json, '{');
	json_key_u64(&json, "position", job->message.position);
	json_key_u64(&json, "tag", job->message.tag);
	json_key_u64(&json, "priority", job->message.priority);
	json_key_u64(&json, "try", job->message.tries);
	json_key_text(&json, "result", names[result]);
	if (WIFSIGNALED(status))
		json_key_i64(&json, "signal", WTERMSIG(status));
	else
		json_key_i64(&json, "exit_status", WEXITSTATUS(status));
	json_key_bool(&json, "timed_out", job->is_over_time);
	json_key_seconds(&json, "seconds", took_ns);
	json_close(&json, '}');
	if (json.error == 0)
		json.error = buffer_add(&work->json, "\n", 1);
	return json.error;
}

static void tell_json(struct work *work, const struct job *job, int status,
		      enum result result)
{
	int64_t took_ns = now_ns() - job->started_ns;
	size_t done;
	int error = build_json(work, job, status, result, took_ns);

	work_show_clear(&work->show);
	if (error == 0)
		error = write_all(STDOUT_FILENO, work->json.data,
				  work->json.size_bytes, &done);
	if (error != 0)
		fail(work, say_failed(work->tool, work->name,
				      "cannot write to standard output: %s",
				      strerror(-error)));
}

/* Does it become a dead letter when the next one looks at it? */
static int is_last_try(const struct work *work,
		       const struct tol_message *message)
{
	return work->opts.max_tries != 0 &&
		message->tries >= work->opts.max_tries;
}

/*
 * A message that fails is not tried again at once, or one that always fails would
 * keep a CPU busy. It is held meanwhile, and keeps its place among the jobs: with
 * one at a time nothing overtakes it.
 *
 * Return: 1 it waits; 0 it is to be returned now
 */
static int pause_message(struct work *work, struct job *job)
{
	int64_t pause_ns = PAUSE_FIRST_NS, lease_ns = 0;
	uint32_t i;

	if (!takes_more(work) || is_last_try(work, &job->message))
		return 0;
	for (i = 1; i < job->message.tries && pause_ns < PAUSE_MAX_NS; i++)
		pause_ns *= 2;
	if (pause_ns > PAUSE_MAX_NS)
		pause_ns = PAUSE_MAX_NS;
	if (work->opts.lease_ns != 0)
		lease_ns = pause_ns + LEASE_MARGIN_NS;
	if (tol_extend(work->link, &job->message, lease_ns) != 0)
		return 0;
	job->state = JOB_WAITS;
	job->signal_ns = now_ns() + pause_ns;
	work->show.waiting++;
	work->show.is_changed = 1;
	return 1;
}

/* Its pause is over: for whoever comes first. */
static void end_pause(struct work *work, struct job *job)
{
	tol_return(work->link, &job->message);
	job->state = JOB_FREE;
	work->show.waiting--;
	work->show.is_changed = 1;
}

/* Those that we would not take again need not wait for us. */
static void end_pauses(struct work *work)
{
	uint64_t i;

	for (i = 0; work->show.waiting != 0 && i < work->jobs_count; i++)
		if (work->jobs[i].state == JOB_WAITS)
			end_pause(work, &work->jobs[i]);
}

static void give_back(struct work *work, const struct tol_message *message)
{
	/* A lease that has ended, or a removed mailbox, has done it already. */
	tol_return(work->link, message);
	work->show.failed++;
	if (is_last_try(work, message))
		work->show.dead++;
}

static enum result end_message(struct work *work, struct job *job, int status)
{
	int error;

	if (job->state != JOB_RUNS || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		if (pause_message(work, job)) {
			work->show.failed++;
			return RESULT_RETURNED;
		}
		give_back(work, &job->message);
		return is_last_try(work, &job->message) ? RESULT_DEAD :
			RESULT_RETURNED;
	}
	error = tol_ack(work->link, &job->message);
	if (error == 0) {
		work->show.done++;
		return RESULT_DONE;
	}
	work->show.failed++;
	/* That the mailbox is gone is said once, not for each job. */
	if (error != -ESTALE && work->status == STATUS_DONE) {
		work_show_clear(&work->show);
		fail(work, say_error(work->tool, work->name, error));
	}
	return RESULT_EXPIRED;
}

static void end_job(struct work *work, struct job *job, int status)
{
	enum result result = end_message(work, job, status);

	if (work->as_json)
		tell_json(work, job, status, result);
	if (job->state != JOB_WAITS)
		job->state = JOB_FREE;
	work->show.running--;
	work->show.is_changed = 1;
}

static struct job *job_of(struct work *work, pid_t pid)
{
	uint64_t i;

	for (i = 0; i < work->jobs_count; i++)
		if (work->jobs[i].state >= JOB_RUNS && work->jobs[i].pid == pid)
			return &work->jobs[i];
	return NULL;
}

/* Its number is its own until it is reaped, and until then it is used. */
static void reap(struct work *work)
{
	siginfo_t info;
	struct job *job;
	int status;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == 0)
			return;
		job = job_of(work, info.si_pid);
		/* What was to end ends wholly. */
		if (job != NULL && job->state != JOB_RUNS)
			job_signal(job, SIGKILL);
		if (job != NULL)
			keeper_tell(&work->keeper, -job->pid);
		if (waitpid(info.si_pid, &status, 0) != info.si_pid)
			return;
		if (job != NULL)
			end_job(work, job, status);
		if (info.si_pid == work->keeper.pid) {
			work->keeper.pid = 0;
			work_show_clear(&work->show);
			fail(work, say_failed(work->tool, work->name,
				"the process that would end the jobs of a dead "
				"worker was killed: no more messages are taken"));
		}
	}
}

/* ---- the beginning of a job ---- */

static void cannot_start(struct work *work, const struct tol_message *message,
			 const char *what, int error)
{
	char clean[80];

	give_back(work, message);
	work_show_clear(&work->show);
	fail(work, say_failed(work->tool, work->name,
			      "%s '%s': %s; message %" PRIu64 " was returned",
			      what, say_clean(work->setup.argv[0], clean,
					      sizeof(clean)),
			      strerror(-error), message->position));
}

static void begin_job(struct work *work, const struct tol_message *message)
{
	const char *what = "cannot copy the message for";
	struct job *job = work->jobs;
	int fd, error;

	while (job->state != JOB_FREE)
		job++;
	work->taken++;
	fd = job_body(message);
	if (fd < 0) {
		cannot_start(work, message, what, fd);
		return;
	}
	/* The copy counts only if the message was ours to its end. */
	error = tol_extend(work->link, message, work->opts.lease_ns);
	if (error == 0) {
		job->message = *message;
		error = job_start(&work->setup, job, fd, &what);
		if (error != 0)
			cannot_start(work, message, what, error);
	} else if (error != -ESTALE) {
		work_show_clear(&work->show);
		fail(work, say_error(work->tool, work->name, error));
	}
	close(fd);
	if (error != 0)
		return;
	job->state = JOB_RUNS;
	job->is_over_time = 0;
	job->started_ns = now_ns();
	job->signal_ns = INT64_MAX;
	if (work->limit_ns != 0 &&
	    work->limit_ns < INT64_MAX - job->started_ns)
		job->signal_ns = job->started_ns + work->limit_ns;
	work->show.running++;
	work->show.is_changed = 1;
}

/* ---- messages ---- */

/* A signal that came a moment ago counts: what follows it is not taken. */
static int has_room(const struct work *work)
{
	return takes_more(work) &&
		work->show.running + work->show.waiting < work->jobs_count;
}

/* Return: 0 and a message; -EINPROGRESS none yet; else as tol_take() */
static int next_message(struct work *work, struct tol_message *ret_message)
{
	int error;

	if (work->is_asked) {
		if (!taker_answer(&work->taker, &error, ret_message))
			return -EINPROGRESS;
		work->is_asked = 0;
		return error == -ETIMEDOUT ? -EAGAIN : error;
	}
	if (!has_room(work))
		return -EINPROGRESS;
	return tol_take(work->link, TOL_NOWAIT, &work->opts, ret_message);
}

static void take_messages(struct work *work)
{
	struct tol_message message;
	int error;

	while ((error = next_message(work, &message)) == 0) {
		work->is_empty = work->is_alone = 0;
		/* Taken before it was told to stop: that one is still done. */
		if (work->signals_seen > 1)
			give_back(work, &message);
		else
			begin_job(work, &message);
	}
	if (error == -EINPROGRESS || work->is_stopping)
		return;
	if (error != -EAGAIN && error != -ENODATA) {
		work_show_clear(&work->show);
		fail(work, say_error(work->tool, work->name, error));
		return;
	}
	work->is_empty = 1;
	work->is_ended = error == -ENODATA;
	if (work->drain || work->is_ended) {
		/* Something may come back yet, which rings for waiters only. */
		work->look_ns = now_ns() + LOOK_NS;
	} else {
		work->is_asked = 1;
		taker_ask(&work->taker);
	}
}

/* Does somebody else hold a message, which may come back? */
static int is_held_elsewhere(struct work *work)
{
	struct tol_mailbox_opts opts = { .space = work->tool->space };
	char name[TOL_NAME_MAX_BYTES + 8];
	struct tol_mailbox_stat stat;

	snprintf(name, sizeof(name), "%s", work->name);
	name[strcspn(name, ":")] = '\0';
	return tol_mailbox_stat(name, &opts, &stat, NULL, NULL) == 0 &&
		stat.held_msgs != 0;
}

static int is_over(struct work *work)
{
	if (work->show.running != 0 || work->show.waiting != 0 ||
	    work->is_asked)
		return 0;
	if (work->is_stopping ||
	    (work->count != 0 && work->taken >= work->count))
		return 1;
	if (!work->is_empty || (!work->drain && !work->is_ended))
		return 0;
	if (is_held_elsewhere(work)) {
		work->is_alone = 0;
		return 0;
	}
	/* It may have come back between the two looks: once more. */
	if (work->is_alone)
		return 1;
	work->is_alone = 1;
	work->look_ns = 0;
	return 0;
}

/* ---- signals and times ---- */

static void end_running(struct work *work, int number)
{
	int64_t at_ns = now_ns();
	uint64_t i;

	for (i = 0; i < work->jobs_count; i++) {
		struct job *job = &work->jobs[i];

		if (job->state < JOB_RUNS)
			continue;
		job->state = number == SIGKILL ? JOB_KILLED : JOB_ENDS;
		job->signal_ns = number == SIGKILL ? INT64_MAX :
			at_ns + KILL_AFTER_NS;
		job_signal(job, number);
	}
}

static void heed_signals(struct work *work)
{
	while (work->signals_seen < signals_count) {
		work->signals_seen++;
		if (work->signals_seen == 1)
			stop(work);
		else
			end_running(work, work->signals_seen == 2 ? SIGTERM :
				    SIGKILL);
	}
}

/* Return: when the next one is due */
static int64_t heed_limits(struct work *work)
{
	int64_t at_ns = now_ns(), next_ns = INT64_MAX;
	uint64_t i;

	for (i = 0; i < work->jobs_count; i++) {
		struct job *job = &work->jobs[i];

		if (job->state == JOB_FREE)
			continue;
		if (job->signal_ns <= at_ns && job->state == JOB_WAITS) {
			end_pause(work, job);
			/* It is for us to look for it. */
			next_ns = at_ns;
			continue;
		}
		if (job->signal_ns <= at_ns && job->state == JOB_RUNS) {
			job->state = JOB_ENDS;
			job->is_over_time = 1;
			job->signal_ns = at_ns + KILL_AFTER_NS;
			job_signal(job, SIGTERM);
		} else if (job->signal_ns <= at_ns) {
			job->state = JOB_KILLED;
			job->signal_ns = INT64_MAX;
			job_signal(job, SIGKILL);
		}
		if (job->signal_ns < next_ns)
			next_ns = job->signal_ns;
	}
	return next_ns;
}

static void sleep_until(struct work *work, int64_t until_ns)
{
	struct pollfd fds[2] = {
		{ .fd = work->wake_fds[0], .events = POLLIN },
		{ .fd = work->show.fd, .events = POLLIN },
	};
	int64_t left_ms = -1;
	char bytes[256];

	if (until_ns != INT64_MAX) {
		left_ms = (until_ns - now_ns() + 999999) / 1000000;
		if (left_ms < 0)
			left_ms = 0;
		if (left_ms > 3600000)
			left_ms = 3600000;
	}
	if (poll(fds, 2, (int)left_ms) <= 0)
		return;
	if (fds[0].revents != 0)
		while (read(work->wake_fds[0], bytes, sizeof(bytes)) ==
		       (ssize_t)sizeof(bytes))
			;
	if (fds[1].revents != 0)
		work_show_relay(&work->show);
}

static void work_loop(struct work *work)
{
	int64_t due_ns, next_ns;

	for (;;) {
		heed_signals(work);
		reap(work);
		work->look_ns = INT64_MAX;
		take_messages(work);
		if (!takes_more(work))
			end_pauses(work);
		if (is_over(work))
			return;
		due_ns = heed_limits(work);
		next_ns = work_show_update(&work->show, now_ns());
		if (due_ns < next_ns)
			next_ns = due_ns;
		if (work->look_ns < next_ns)
			next_ns = work->look_ns;
		sleep_until(work, next_ns);
	}
}

/* ---- from the options to the end ---- */

/* Ends the way the shell expects of an interrupted command: 130, 143. */
static int end_interrupted(void)
{
	int number = first_signal;
	sigset_t set;

	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	return STATUS_FAILED;
}

/* What there is before the first message, in the order in which it ends. */
static int set_up(struct work *work)
{
	struct tol_open_opts opts = {
		.space = work->tool->space,
		.flags = TOL_RECV | TOL_SPIN_NEVER,
	};
	int i, error;

	work->jobs = calloc((size_t)work->jobs_count, sizeof(*work->jobs));
	if (work->jobs == NULL)
		return -ENOMEM;
	error = job_setup_init(&work->setup, work->tool, work->name,
			       work->setup.argv);
	if (error == 0)
		error = keeper_start(&work->keeper);
	if (error != 0)
		return error;
	work->setup.keeper = &work->keeper;
	if (pipe(work->wake_fds) != 0)
		return -errno;
	for (i = 0; i < 2; i++) {
		fcntl(work->wake_fds[i], F_SETFD, FD_CLOEXEC);
		fcntl(work->wake_fds[i], F_SETFL, O_NONBLOCK);
	}
	wake_fd = work->taker.wake_fd = work->wake_fds[1];
	error = tol_open(&work->link, work->name, &opts);
	if (error != 0)
		return error;
	work->taker.link = work->link;
	work->taker.opts = &work->opts;
	return taker_start(&work->taker);
}

/* Where jobs print: to the line's pipe if to its terminal, else as we do. */
static int set_up_output(struct work *work)
{
	int error = work_show_init(&work->show, &work->jobs_fd);

	work->setup.error_fd = work->jobs_fd;
	work->setup.output_fd = -1;
	if (work->jobs_fd >= 0 && (work->as_json || isatty(STDOUT_FILENO)))
		work->setup.output_fd = work->jobs_fd;
	else if (work->as_json)
		work->setup.output_fd = STDERR_FILENO;
	return error;
}

static int finish(struct work *work)
{
	work_show_fini(&work->show);
	if (work->status == STATUS_DONE && work->show.dead != 0)
		work->status = say_failed(work->tool, work->name,
			"%" PRIu64 " messages became dead letters: see 'tolsey "
			"recv %s:dead'", work->show.dead, work->name);
	return work->status;
}

static int run(struct work *work)
{
	int error = job_find_command(work->setup.argv[0]), status;
	char clean[80];

	if (error != 0)
		return say_failed(work->tool, work->name, "cannot run '%s': "
				  "%s; no message was taken",
				  say_clean(work->setup.argv[0], clean,
					    sizeof(clean)), strerror(-error));
	error = set_up(work);
	if (error == 0)
		error = set_up_output(work);
	if (error != 0)
		return say_error(work->tool, work->name, error);
	catch_signals();
	work_loop(work);
	taker_stop(&work->taker);
	taker_join(&work->taker);
	status = finish(work);
	tol_close(work->link);
	keeper_end(&work->keeper);
	job_setup_fini(&work->setup);
	buffer_fini(&work->json);
	free(work->jobs);
	return signals_count != 0 ? end_interrupted() : status;
}

static int work_option(struct work *work, int option)
{
	uint64_t tries;

	if (is_select_option(option))
		return select_option(work->tool, &work->selection, option);
	switch (option) {
	case 'j':
		return args_count(work->tool, "-j", optarg, &work->jobs_count);
	case 'n':
		return args_count(work->tool, "-n", optarg, &work->count);
	case 'k':
		if (args_count(work->tool, "--max-tries", optarg, &tries) != 0)
			return STATUS_USAGE;
		if (tries == 0 || tries > UINT32_MAX)
			return say_usage(work->tool, "--max-tries takes 1 or "
					 "more");
		work->opts.max_tries = (uint32_t)tries;
		return 0;
	case 'l':
		if (args_duration(work->tool, "--lease", optarg,
				  &work->limit_ns) != 0)
			return STATUS_USAGE;
		if (work->limit_ns == 0)
			return say_usage(work->tool, "--lease takes more than "
					 "nothing");
		work->opts.lease_ns = INT64_MAX;
		if (work->limit_ns < INT64_MAX - LEASE_MARGIN_NS)
			work->opts.lease_ns = work->limit_ns + LEASE_MARGIN_NS;
		return 0;
	case 'd':
		work->drain = 1;
		return 0;
	default:
		work->as_json = 1;
		return 0;
	}
}

static int run_work(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		SELECT_OPTIONS,
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-tries", required_argument, NULL, 'k' },
		{ "lease", required_argument, NULL, 'l' },
		{ "count", required_argument, NULL, 'n' },
		{ "drain", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct work work = { .tool = tool, .jobs_count = 1 };
	int option, has_count = 0;

	while ((option = args_next(tool, argc, argv, ":hj:n:", options)) >= 0) {
		if (work_option(&work, option) != 0)
			return STATUS_USAGE;
		has_count |= option == 'n';
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (work.jobs_count == 0 || work.jobs_count > JOBS_MAX)
		return say_usage(tool, "-j takes 1 to %d", JOBS_MAX);
	if (has_count && work.count == 0)
		return say_usage(tool, "-n takes 1 or more");
	work.opts.select = select_of(&work.selection);
	if (optind >= argc)
		return say_usage(tool, "NAME is missing");
	work.name = argv[optind++];
	if (optind >= argc)
		return say_usage(tool, "COMMAND is missing");
	work.setup.argv = argv + optind;
	if (work.opts.max_tries != 0 && strchr(work.name, ':') != NULL)
		return say_usage(tool, "--max-tries is not for dead letters: "
				 "they stay what they are");
	return run(&work);
}

const struct command cmd_work = {
	.name = "work",
	.run = run_work,
	.brief = "Run a command for each message.",
	.usage = "work NAME [-j N] [--max-tries K] [--lease TIME] [-n COUNT]\n"
		 "                   [--drain] [--json]\n"
		 "                   " SELECT_USAGE "\n"
		 "                   -- COMMAND...",
	.help = "\n"
"The message is the command's standard input. Exit status 0: it is done with.\n"
"Anything else returns it after a pause, 0.1 s at first and 10 s at most, and any\n"
"worker tries it again, ahead of newer ones. The command has TOLSEY_MAILBOX,\n"
"TOLSEY_TAG, TOLSEY_PRIORITY, TOLSEY_SENDER, TOLSEY_SENDER_UID, TOLSEY_TRY and\n"
"TOLSEY_POSITION in its environment.\n"
"Ctrl-C: what runs is finished. Again: it is ended, and its messages returned.\n\n"
"  -j, --jobs N        that many at once; else 1\n"
"      --max-tries K   failed so often: a dead letter, see 'recv NAME:dead'\n"
"      --lease TIME    a job that takes longer is ended: 30s, 5m\n"
"  -n, --count COUNT   take that many messages, then end\n"
"      --drain         end when the mailbox is empty and all is done\n"
"      --json          an object in a line for each job that has ended\n"
SELECT_HELP,
};
