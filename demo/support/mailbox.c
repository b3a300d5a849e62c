/* SPDX-License-Identifier: MIT */
/* Jobs in one mailbox, results in another. */
#include <errno.h>
#include <tolsey.h>

#include "transport.h"

static struct tol_link *jobs, *results;
static struct tol_message job_in_hand;

static void create(void)
{
	int err = tol_mailbox_create("jobs", CAPACITY, NULL);

	if (err < 0)
		fail("create mailbox jobs", err);
	err = tol_mailbox_create("results", CAPACITY, NULL);
	if (err < 0)
		fail("create mailbox results", err);
}

static void join(void)
{
	int err = tol_open(&jobs, "jobs", NULL);

	if (err < 0)
		fail("open mailbox jobs", err);
	err = tol_open(&results, "results", NULL);
	if (err < 0)
		fail("open mailbox results", err);
}

static void send_job(int lane, const void *job, size_t size_bytes)
{
	int err = tol_send(jobs, job, size_bytes, TOL_FOREVER);

	(void)lane;
	if (err < 0)
		fail("send to mailbox jobs", err);
}

/* In place; if this process is killed before end_job() another one gets it. */
static const unsigned char *recv_job(int lane, struct buffer *buffer,
				     size_t *ret_size_bytes)
{
	int err = tol_take(jobs, TOL_FOREVER, NULL, &job_in_hand);

	(void)lane;
	(void)buffer;
	if (err < 0)
		fail("take from mailbox jobs", err);
	*ret_size_bytes = job_in_hand.size_bytes;
	return job_in_hand.body;
}

static void end_job(void)
{
	int err = tol_ack(jobs, &job_in_hand);

	if (err < 0)
		fail("acknowledge to mailbox jobs", err);
}

static void send_result(const void *result, size_t size_bytes)
{
	int err = tol_send(results, result, size_bytes, TOL_FOREVER);

	if (err < 0)
		fail("send to mailbox results", err);
}

static void recv_result(void *result, size_t size_bytes)
{
	ssize_t n = tol_recv(results, result, size_bytes, TOL_FOREVER);

	if (n != (ssize_t)size_bytes)
		fail("receive from mailbox results",
		     n < 0 ? (int)n : -EBADMSG);
}

static void leave(void)
{
	tol_close(jobs);
	tol_close(results);
	jobs = results = NULL;
}

static void remove_both(void)
{
	int err = tol_mailbox_remove("jobs", NULL);

	if (err < 0)
		fail("remove mailbox jobs", err);
	err = tol_mailbox_remove("results", NULL);
	if (err < 0)
		fail("remove mailbox results", err);
}

const struct transport transport_mailbox = {
	.name = "tolsey mailbox",
	.how = "one mailbox of 64, any worker takes any file, in place",
	.create = create, .join = join,
	.send_job = send_job, .recv_job = recv_job, .end_job = end_job,
	.send_result = send_result, .recv_result = recv_result,
	.leave = leave, .remove = remove_both,
};
