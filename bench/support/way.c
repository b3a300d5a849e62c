/* SPDX-License-Identifier: MIT */
#include "way.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

#define TAG_WANTED 5u
#define TAG_OTHER 20u
#define TAG_LAST 10u
#define TAG_SET_FIRST 500u	/* the others of a set: nothing has them */

static uint64_t other_tag(const struct queue *queue, uint64_t i)
{
	switch (queue->wanted) {
	case WANTED_TAG_OF_MANY:
	case WANTED_SET:
	case WANTED_RANGE:
	case WANTED_LOWEST:
		return way_own_tag(i);
	default:
		return TAG_OTHER;
	}
}

static int refuse(struct queue *queue, const char *what)
{
	snprintf(queue->reason, sizeof(queue->reason), "%s: %s", what,
		 strerror(errno));
	return -1;
}

/* ---- tolsey ---- */

static int tolsey_open(struct queue *queue)
{
	int err;

	snprintf(queue->name, sizeof(queue->name), "select-%ld-%d",
		 (long)getpid(), (int)queue->wanted);
	err = tol_mailbox_create(queue->name,
				 queue->others_count + WAY_MSGS_MORE, NULL);
	if (err >= 0)
		err = tol_open(&queue->link, queue->name, NULL);
	if (err < 0) {
		errno = -err;
		return refuse(queue, "tol_mailbox_create, tol_open");
	}
	queue->select = (struct tol_select){
		.first_tag = 1,
		.last_tag = TAG_LAST,
		.tags = queue->tags,
		.tags_count = queue->wanted == WANTED_SET ? TOL_SELECT_TAGS_MAX
							  : 1,
		.sender_pid = queue->wanted_pid,
	};
	queue->tags[0] = TAG_WANTED;
	for (unsigned int i = 1; i < TOL_SELECT_TAGS_MAX; i++)
		queue->tags[i] = TAG_SET_FIRST + i;
	switch (queue->wanted) {
	case WANTED_RANGE:
		queue->select.by = TOL_SELECT_TAG_RANGE;
		break;
	case WANTED_ALL_BUT:
		queue->select.by = TOL_SELECT_TAG_NOT;
		queue->select.first_tag = TAG_OTHER;
		break;
	case WANTED_LOWEST:
		queue->select.by = TOL_SELECT_TAG_LOWEST;
		break;
	case WANTED_SENDER:
		queue->select.by = TOL_SELECT_SENDER;
		break;
	default:
		queue->select.by = TOL_SELECT_TAGS;
	}
	return 0;
}

static int tolsey_join(struct queue *queue)
{
	queue->link = NULL;
	return tol_open(&queue->link, queue->name, NULL);
}

static int tolsey_send_other(struct queue *queue, uint64_t i)
{
	const struct tol_send_opts opts = { .tag = other_tag(queue, i) };
	const uint64_t body[2] = { 0, 0 };

	return tol_send_message(queue->link, body, sizeof(body), TOL_NOWAIT,
				&opts);
}

static int tolsey_send_wanted(struct queue *queue, const uint64_t body[2])
{
	const struct tol_send_opts opts = {
		.tag = queue->wanted == WANTED_SENDER ? TAG_OTHER : TAG_WANTED,
		.priority = queue->wanted == WANTED_PRIORITY,
	};

	return tol_send_message(queue->link, body, WAY_BODY_BYTES, TOL_NOWAIT,
				&opts);
}

static int tolsey_recv_wanted(struct queue *queue, uint64_t body[2])
{
	struct tol_message message;
	ssize_t n;

	if (queue->wanted == WANTED_PRIORITY)
		n = tol_recv(queue->link, body, WAY_BODY_BYTES, TOL_NOWAIT);
	else
		n = tol_recv_select(queue->link, &queue->select, body,
				    WAY_BODY_BYTES, TOL_NOWAIT, &message);
	return n < 0 ? (int)n : 0;
}

static void tolsey_close(struct queue *queue)
{
	tol_close(queue->link);
	tol_mailbox_remove(queue->name, NULL);
}

const struct way way_tolsey = {
	.name = "tolsey",
	.wanteds = (1u << WANTED_COUNT) - 1,
	.open = tolsey_open,
	.join = tolsey_join,
	.send_other = tolsey_send_other,
	.send_wanted = tolsey_send_wanted,
	.recv_wanted = tolsey_recv_wanted,
	.close = tolsey_close,
};

/* ---- System V ---- */

struct sysv_message {
	long type;
	uint64_t body[2];
};

static int sysv_open(struct queue *queue)
{
	struct msqid_ds info;
	uint64_t bytes = (queue->others_count + WAY_MSGS_MORE) * WAY_BODY_BYTES;

	queue->sysv_id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	if (queue->sysv_id < 0)
		return refuse(queue, "msgget");
	if (msgctl(queue->sysv_id, IPC_STAT, &info) == 0) {
		if (info.msg_qbytes >= bytes)
			return 0;
		info.msg_qbytes = bytes;
		if (msgctl(queue->sysv_id, IPC_SET, &info) == 0)
			return 0;
	}
	refuse(queue, "limit: kernel.msgmnb");
	msgctl(queue->sysv_id, IPC_RMID, NULL);
	return -1;
}

static int sysv_join(struct queue *queue)
{
	(void)queue;
	return 0;
}

static int sysv_send(struct queue *queue, uint64_t type, const uint64_t *body)
{
	const struct sysv_message message = {
		.type = (long)type, .body = { body[0], body[1] },
	};

	return msgsnd(queue->sysv_id, &message, WAY_BODY_BYTES,
		      IPC_NOWAIT) == 0 ? 0 : -errno;
}

static int sysv_send_other(struct queue *queue, uint64_t i)
{
	const uint64_t body[2] = { 0, 0 };

	return sysv_send(queue, other_tag(queue, i), body);
}

static int sysv_send_wanted(struct queue *queue, const uint64_t body[2])
{
	return sysv_send(queue, TAG_WANTED, body);
}

static int sysv_recv_wanted(struct queue *queue, uint64_t body[2])
{
	struct sysv_message message;
	long type = TAG_WANTED;
	int flags = IPC_NOWAIT;

	if (queue->wanted == WANTED_ALL_BUT) {
		type = TAG_OTHER;
		flags |= MSG_EXCEPT;
	} else if (queue->wanted == WANTED_LOWEST) {
		type = -(long)TAG_LAST;
	}
	if (msgrcv(queue->sysv_id, &message, WAY_BODY_BYTES, type, flags) !=
	    WAY_BODY_BYTES)
		return -errno;
	memcpy(body, message.body, WAY_BODY_BYTES);
	return 0;
}

static void sysv_close(struct queue *queue)
{
	msgctl(queue->sysv_id, IPC_RMID, NULL);
}

const struct way way_sysv = {
	.name = "system v",
	.wanteds = 1u << WANTED_TAG_OF_TWO | 1u << WANTED_TAG_OF_MANY |
		   1u << WANTED_ALL_BUT | 1u << WANTED_LOWEST,
	.open = sysv_open,
	.join = sysv_join,
	.send_other = sysv_send_other,
	.send_wanted = sysv_send_wanted,
	.recv_wanted = sysv_recv_wanted,
	.close = sysv_close,
};

/* ---- POSIX message queues: by priority alone ---- */

static int mq_way_open(struct queue *queue)
{
	struct mq_attr attr = {
		.mq_maxmsg = (long)(queue->others_count + WAY_MSGS_MORE),
		.mq_msgsize = WAY_BODY_BYTES,
	};

	snprintf(queue->name, sizeof(queue->name), "/tolsey-select-%ld",
		 (long)getpid());
	queue->mq = mq_open(queue->name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK,
			    0600, &attr);
	if (queue->mq == (mqd_t)-1)
		return refuse(queue, "limit: fs.mqueue.msg_max (65536 at most) "
			      "or RLIMIT_MSGQUEUE");
	return 0;
}

static int mq_way_join(struct queue *queue)
{
	queue->mq = mq_open(queue->name, O_RDWR | O_NONBLOCK);
	return queue->mq == (mqd_t)-1 ? -errno : 0;
}

static int mq_way_send_other(struct queue *queue, uint64_t i)
{
	const uint64_t body[2] = { 0, 0 };

	(void)i;
	return mq_send(queue->mq, (const char *)body, sizeof(body), 0) == 0
		       ? 0 : -errno;
}

static int mq_way_send_wanted(struct queue *queue, const uint64_t body[2])
{
	return mq_send(queue->mq, (const char *)body, WAY_BODY_BYTES, 1) == 0
		       ? 0 : -errno;
}

static int mq_way_recv_wanted(struct queue *queue, uint64_t body[2])
{
	return mq_receive(queue->mq, (char *)body, WAY_BODY_BYTES, NULL) ==
			       WAY_BODY_BYTES ? 0 : -errno;
}

static void mq_way_close(struct queue *queue)
{
	mq_close(queue->mq);
	mq_unlink(queue->name);
}

const struct way way_mq = {
	.name = "posix mq",
	.wanteds = 1u << WANTED_PRIORITY,
	.open = mq_way_open,
	.join = mq_way_join,
	.send_other = mq_way_send_other,
	.send_wanted = mq_way_send_wanted,
	.recv_wanted = mq_way_recv_wanted,
	.close = mq_way_close,
};
