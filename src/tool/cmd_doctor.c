/* SPDX-License-Identifier: MIT */
/* tolsey doctor: look into a mailbox that is damaged, and repair it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

/* Messages of one kind whose positions follow each other. */
struct run {
	const char *where;
	uint64_t first, last, count;
};

struct doctor {
	struct tool *tool;
	const char *name;
	int as_json, repair;
	struct buffer out;
	struct json json;
	struct run run;
};

static void end_run(struct doctor *doctor)
{
	const struct run *run = &doctor->run;

	if (run->count == 1)
		buffer_printf(&doctor->out, "  readable: %s, position %" PRIu64
			      "\n", run->where, run->first);
	else if (run->count > 1)
		buffer_printf(&doctor->out, "  readable: %s, positions %" PRIu64
			      " to %" PRIu64 "\n", run->where, run->first,
			      run->last);
	doctor->run.count = 0;
}

static void add_text(struct doctor *doctor, const struct tol_finding *finding)
{
	struct run *run = &doctor->run;

	if (finding->kind != TOL_FINDING_READABLE) {
		buffer_printf(&doctor->out, "  %s: %s",
			      finding->kind == TOL_FINDING_LOST ? "lost"
								: "damaged",
			      finding->where);
		if (finding->position != UINT64_MAX)
			buffer_printf(&doctor->out, ", position %" PRIu64,
				      finding->position);
		buffer_printf(&doctor->out, ": %s\n", finding->what);
		return;
	}
	if (run->count > 0 && (strcmp(run->where, finding->where) != 0 ||
			       finding->position != run->last + 1))
		end_run(doctor);
	if (run->count == 0) {
		run->where = finding->where;
		run->first = finding->position;
	}
	run->last = finding->position;
	run->count++;
}

static void add_json(struct doctor *doctor, const struct tol_finding *finding)
{
	static const char *const kinds[] = { "readable", "lost", "damage" };
	struct json *json = &doctor->json;

	json_open(json, '{');
	json_key_text(json, "kind", kinds[finding->kind]);
	json_key_text(json, "where", finding->where);
	if (finding->position != UINT64_MAX)
		json_key_u64(json, "position", finding->position);
	if (finding->kind == TOL_FINDING_READABLE)
		json_key_u64(json, "size_bytes", finding->size_bytes);
	else
		json_key_text(json, "what", finding->what);
	json_close(json, '}');
}

static void note(const struct tol_finding *finding, void *context)
{
	struct doctor *doctor = context;

	if (doctor->as_json)
		add_json(doctor, finding);
	else
		add_text(doctor, finding);
}

static const char *verdict(const struct tol_mailbox_health *health)
{
	if (health->is_repaired)
		return "repaired";
	if (health->is_sound)
		return "sound";
	if (health->lost_msgs == 0 && health->damage_count == 0)
		return "quarantined, and nothing is wrong with it now";
	return health->state == TOL_MAILBOX_QUARANTINED
		       ? "quarantined and damaged" : "damaged";
}

static int print(struct doctor *doctor, const struct tol_mailbox_health *health)
{
	struct json *json = &doctor->json;

	if (doctor->as_json) {
		json_close(json, ']');
		json_key_bool(json, "is_sound", health->is_sound);
		json_key_bool(json, "is_repaired", health->is_repaired);
		json_key_bool(json, "is_quarantined",
			      health->state == TOL_MAILBOX_QUARANTINED);
		json_key_u64(json, "readable_msgs", health->readable_msgs);
		json_key_u64(json, "lost_msgs", health->lost_msgs);
		json_key_u64(json, "damage_count", health->damage_count);
		json_close(json, '}');
		buffer_add(&doctor->out, "\n", 1);
		return print_buffer(doctor->tool, &doctor->out);
	}
	end_run(doctor);
	buffer_printf(&doctor->out, "%s: %s; %" PRIu64 " messages readable, %"
		      PRIu64 " lost\n", doctor->name, verdict(health),
		      health->readable_msgs, health->lost_msgs);
	return print_buffer(doctor->tool, &doctor->out);
}

static void add_user(const struct tol_participant_stat *participant,
		     void *context)
{
	struct buffer *users = context;
	char program[sizeof(participant->program)];

	if (participant->alive)
		buffer_printf(users, " %ld (%s)", (long)participant->pid,
			      say_clean(participant->program, program,
					sizeof(program)));
}

static int say_busy(struct doctor *doctor, const struct tol_mailbox_opts *opts)
{
	struct buffer users = { 0 };
	struct tol_mailbox_stat stat;
	int status;

	tol_mailbox_stat(doctor->name, opts, &stat, add_user, &users);
	if (users.size_bytes > 0)
		status = say_failed(doctor->tool, doctor->name, "not repaired: "
				    "these processes have it open:%.*s",
				    (int)users.size_bytes, users.data);
	else
		status = say_failed(doctor->tool, doctor->name, "not repaired: "
				    "another process is at it");
	buffer_fini(&users);
	return status;
}

static int examine(struct doctor *doctor)
{
	struct tol_mailbox_opts opts = { .space = doctor->tool->space };
	struct tol_mailbox_health health;
	int status, error;

	doctor->json.out = &doctor->out;
	if (doctor->as_json) {
		json_open(&doctor->json, '{');
		json_key_text(&doctor->json, "name", doctor->name);
		json_key(&doctor->json, "findings");
		json_open(&doctor->json, '[');
	}
	error = doctor->repair
			? tol_mailbox_repair(doctor->name, &opts, &health, note,
					     doctor)
			: tol_mailbox_verify(doctor->name, &opts, &health, note,
					     doctor);
	if (error >= 0) {
		status = print(doctor, &health);
		if (status != STATUS_DONE)
			return status;
		return health.lost_msgs == 0 &&
				       (health.is_sound || health.is_repaired)
			       ? STATUS_DONE : STATUS_FAILED;
	}
	if (!doctor->as_json) {
		end_run(doctor);
		print_buffer(doctor->tool, &doctor->out);
	}
	if (error == -EBUSY)
		return say_busy(doctor, &opts);
	return say_error(doctor->tool, doctor->name, error);
}

static int run_doctor(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "repair", no_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct doctor doctor = { .tool = tool };
	int option, status;

	while ((option = args_next(tool, argc, argv, ":h", options)) >= 0) {
		if (option == 'r')
			doctor.repair = 1;
		else
			doctor.as_json = 1;
	}
	if (option != OPT_DONE)
		return args_status(option);
	if (args_name(tool, argc, argv, &doctor.name) != 0)
		return STATUS_USAGE;
	status = examine(&doctor);
	buffer_fini(&doctor.out);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.run = run_doctor,
	.brief = "Say what is wrong with a mailbox, and repair it.",
	.usage = "doctor NAME [--repair] [--json]",
	.help = "\n"
"Status 0 if it is sound, or was repaired and nothing is lost; else 1.\n\n"
"      --repair        keep what is readable, in order; nobody else may have it\n"
"                      open\n"
"      --json          one object, with all that was found\n",
};
