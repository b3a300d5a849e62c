/* SPDX-License-Identifier: MIT */
/*
 * tol_space_clean(): what dead processes left in a space.
 *
 * Nothing that has a name is removed. Hidden files are: .rm.* are objects whose
 * remover was killed, and already out of reach; .body.* are bodies that no
 * message refers to and whose number has no owner who could still send them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fork.h"
#include "core/body_file.h"
#include "core/doctor.h"
#include "core/mailbox_state.h"
#include "core/participant.h"
#include "core/peek.h"
#include "core/pool.h"
#include "core/space.h"
#include "core/tap.h"
#include "core/watch.h"

struct clean {
	struct space space;
	const char *option;
	int dry_run;
	void (*report)(const struct tol_clean_event *event, void *context);
	void *context;
	int count;
	/* While a mailbox is looked for by its id. */
	uint64_t wanted_id;
	char found_name[TOL_NAME_MAX_BYTES + 1];
};

static void tell(struct clean *clean, const char *name, const char *what,
		 uint64_t size_bytes)
{
	struct tol_clean_event event = {
		.name = name,
		.what = what,
		.size_bytes = size_bytes,
	};

	clean->count++;
	if (clean->report)
		clean->report(&event, clean->context);
}

/*
 * A mailbox that cannot be looked into (no right, no descriptor left, damaged, of
 * a newer version) may be the one that is looked for: an error.
 */
static int compare_id(const char *name, void *context)
{
	struct clean *clean = context;
	struct mailbox_geometry geometry;
	struct mailbox_layout head = { 0 };
	int fd, err;

	if (space_check_name(name) < 0 && strncmp(name, ".repair.", 8) != 0)
		return 0;
	fd = space_open_object(&clean->space, name, false, NULL);
	if (fd == -ENOENT || fd == -ELOOP || fd == -EMEDIUMTYPE)
		return 0;
	if (fd < 0)
		return fd;
	err = peek_head(fd, &head, &geometry);
	sys_close(fd);
	if (err < 0) {
		bool is_foreign = head.object.magic != OBJECT_MAGIC ||
				  head.object.kind != TOL_KIND_MAILBOX;

		if (is_foreign && (err == -EBADMSG || err == -EPROTO ||
				   err == -EMEDIUMTYPE))
			return 0;
		return err;
	}
	if (head.id == clean->wanted_id)
		strcpy(clean->found_name, name);
	return clean->found_name[0] != '\0';
}

/* Return: 1 it may go; 0 somebody may still need it */
static int body_is_unreachable(struct clean *clean,
			       const struct body_file_name *parsed)
{
	struct mailbox_geometry geometry;
	struct mailbox_layout head;
	int fd, err;

	clean->wanted_id = parsed->id;
	clean->found_name[0] = '\0';
	err = sys_list_dir(clean->space.fd, compare_id, clean);
	if (err < 0)
		return 0;
	if (!clean->found_name[0])
		return 1;
	fd = space_open_object(&clean->space, clean->found_name, false, NULL);
	if (fd < 0)
		return 0;
	/* First the sender's end, then the queue: nothing comes after. */
	err = peek_head(fd, &head, &geometry) < 0 ||
	      body_file_may_be_draft(fd, &geometry, parsed->number) != 0 ||
	      body_file_is_queued(fd, &geometry, parsed->number,
				  parsed->serial) != 0;
	sys_close(fd);
	return !err;
}

static int clean_hidden(const char *name, void *context)
{
	struct clean *clean = context;
	struct body_file_name parsed;
	struct sys_stat st;

	if (name[0] != SPACE_HIDDEN_PREFIX ||
	    sys_stat_at(clean->space.fd, name, &st) < 0)
		return 0;
	if (strncmp(name, ".rm.", 4) == 0) {
		tell(clean, name, "removal finished",
		     st.memory_bytes);
		if (!clean->dry_run)
			mailbox_finish_removed(&clean->space, name);
	} else if (doctor_is_remnant(&clean->space, name)) {
		tell(clean, name, "what a repair left removed",
		     st.memory_bytes);
		if (!clean->dry_run)
			mailbox_finish_removed(&clean->space, name);
	} else if (tap_is_remnant(&clean->space, name)) {
		tell(clean, name, "tap of a dead process removed",
		     st.memory_bytes);
		if (!clean->dry_run)
			sys_unlink(clean->space.fd, name);
	} else if (watch_socket_is_remnant(&clean->space, name)) {
		tell(clean, name, "socket of a dead process removed", 0);
		if (!clean->dry_run)
			sys_unlink(clean->space.fd, name);
	} else if (body_file_parse(name, &parsed) &&
		   body_is_unreachable(clean, &parsed)) {
		tell(clean, name, "body that no message refers to removed",
		     st.memory_bytes);
		if (!clean->dry_run)
			sys_unlink(clean->space.fd, name);
	}
	return 0;
}

static uint64_t memory_of(struct clean *clean, const char *name)
{
	struct sys_stat st;

	return sys_stat_at(clean->space.fd, name, &st) == 0 ? st.memory_bytes
							     : 0;
}

static void clean_mailbox(struct clean *clean, const char *name)
{
	struct tol_open_opts open_opts = { .space = clean->space.path };
	struct tol_mailbox_opts opts = { .space = clean->space.path };
	struct tol_mailbox_stat stat;
	struct tol_link *link;
	uint64_t before;

	if (tol_mailbox_stat(name, &opts, &stat, NULL, NULL) < 0)
		return;
	if (clean->dry_run) {
		if (stat.dead_count)
			tell(clean, name, "dead participants cleaned up after",
			     0);
		return;
	}
	before = memory_of(clean, name);
	if (tol_open(&link, name, &open_opts) < 0)
		return;
	if (participant_reap_all(link) > 0 || stat.dead_count) {
		uint64_t after;

		if (participant_is_alone(link))
			pool_trim(link);
		after = memory_of(clean, name);
		tell(clean, name, "dead participants cleaned up after",
		     before > after ? before - after : 0);
	}
	tol_close(link);
}

static int clean_object(const char *name, enum tol_kind kind, void *context)
{
	if (kind == TOL_KIND_MAILBOX)
		clean_mailbox(context, name);
	return 0;
}

int tol_space_clean(const char *option, int dry_run,
		    void (*report)(const struct tol_clean_event *event,
				   void *context),
		    void *context)
{
	struct clean clean = {
		.option = option,
		.dry_run = dry_run,
		.report = report,
		.context = context,
	};
	int err;

	err = fork_init();
	if (err == 0)
		err = space_open(&clean.space, option, false);
	if (err == -ENOENT && space_is_default(&clean.space))
		return 0;
	if (err < 0)
		return err;
	err = tol_space_list(clean.space.path, clean_object, &clean);
	if (err == 0)
		err = sys_list_dir(clean.space.fd, clean_hidden, &clean);
	space_close(&clean.space);
	return err < 0 ? err : clean.count;
}
