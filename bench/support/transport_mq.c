/* SPDX-License-Identifier: MIT */
/* POSIX message queues and System V messages, within the system's limits. */

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "transport.h"

static long limit_of(const char *path, long fallback)
{
	FILE *file = fopen(path, "re");
	long value = fallback;

	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = fallback;
		fclose(file);
	}
	return value;
}

#define MQ_FRONT_BYTES 128	/* that the kernel counts beside a body, at most */

/*
 * How deep RLIMIT_MSGQUEUE lets the two queues be. Where it is too small for
 * both, the one that leads back, which holds answers, gets room for one.
 */
static void depths_within_limit(size_t size_bytes, long ret_depths[2])
{
	uint64_t want = depth_msgs(size_bytes), room = UINT64_MAX;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MSGQUEUE, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY)
		room = limit.rlim_cur / (size_bytes + MQ_FRONT_BYTES);
	ret_depths[0] = ret_depths[1] = (long)want;
	if (room / 2 >= want)
		return;
	ret_depths[1] = 1;
	ret_depths[0] = room < 2 ? 0 : room - 1 < want ? (long)room - 1 :
		(long)want;
}

static void posix_close_pair(struct pair *pair)
{
	for (int i = 0; i < 2; i++)
		if (pair->fds[i][0] >= 0)
			mq_close(pair->fds[i][0]);
}

/*
 * What RLIMIT_MSGQUEUE counts is the user's, over all processes: EMFILE may mean
 * that another one has queues just now. A second is long enough to tell.
 */
static mqd_t open_queue(const char *name, int flags, struct mq_attr *attr)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	mqd_t queue;

	for (int i = 0; i < 1000; i++) {
		queue = mq_open(name, flags, 0600, attr);
		if (queue != (mqd_t)-1 || errno != EMFILE)
			break;
		nanosleep(&pause, NULL);
	}
	return queue;
}

static int posix_open_pair(struct pair *pair)
{
	long msg_max = limit_of("/proc/sys/fs/mqueue/msg_max", 10);
	long size_max = limit_of("/proc/sys/fs/mqueue/msgsize_max", 8192);
	struct mq_attr attr = { .mq_msgsize = (long)pair->size_bytes };
	long depths[2];

	memset(pair->fds, -1, sizeof(pair->fds));
	if (attr.mq_msgsize > size_max) {
		snprintf(pair->reason, sizeof(pair->reason),
			 "fs.mqueue.msgsize_max is %ld", size_max);
		return -1;
	}
	depths_within_limit(pair->size_bytes, depths);
	if (depths[0] < 1) {
		snprintf(pair->reason, sizeof(pair->reason),
			 "above RLIMIT_MSGQUEUE; raising it needs CAP_SYS_RESOURCE");
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		char name[48];

		attr.mq_maxmsg = depths[i] < msg_max ? depths[i] : msg_max;
		snprintf(name, sizeof(name), "/tolsey-bench-%ld-%d",
			 (long)getpid(), i);
		pair->fds[i][0] = open_queue(name, O_RDWR | O_CREAT | O_EXCL |
			(pair->mode == MODE_POLL ? O_NONBLOCK : 0), &attr);
		if (pair->fds[i][0] < 0) {
			snprintf(pair->reason, sizeof(pair->reason),
				 "mq_open: %s", strerror(errno));
			posix_close_pair(pair);
			return -1;
		}
		/* The queue needs no name any more: nothing can be left. */
		mq_unlink(name);
	}
	return 0;
}

static int mq_nothing(struct pair *pair)
{
	(void)pair;
	return 0;
}

static void mq_leave(struct pair *pair)
{
	(void)pair;
}

static int posix_send(struct pair *pair, int queue, const void *body)
{
	if (mq_send(pair->fds[queue][0], body, pair->size_bytes, 0) == 0)
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

static int posix_recv(struct pair *pair, int queue, void *body)
{
	if (mq_receive(pair->fds[queue][0], body, pair->size_bytes, NULL) ==
	    (ssize_t)pair->size_bytes)
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

const struct transport transport_posix_mq = {
	.name = "posix mq",
	.modes = 1u << MODE_POLL | 1u << MODE_BLOCK,
	.open_pair = posix_open_pair,
	.join = mq_nothing,
	.send = posix_send,
	.recv = posix_recv,
	.leave = mq_leave,
	.close_pair = posix_close_pair,
};

/* The message of msgsnd(2) has its type in front: the loop's buffers have 8
 * bytes of room before the body for it. */
static void sysv_close_pair(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		if (pair->ids[i] >= 0)
			msgctl(pair->ids[i], IPC_RMID, NULL);
		pair->remember_ids[i] = -1;
	}
}

/* As many messages as the others hold; with the right to it, beyond msgmnb. */
static void sysv_limit(int id, size_t size_bytes)
{
	struct msqid_ds queue;

	if (msgctl(id, IPC_STAT, &queue) < 0)
		return;
	queue.msg_qbytes = size_bytes * depth_msgs(size_bytes);
	msgctl(id, IPC_SET, &queue);
}

static int sysv_open_pair(struct pair *pair)
{
	long size_max = limit_of("/proc/sys/kernel/msgmax", 8192);

	pair->ids[0] = pair->ids[1] = -1;
	if ((long)pair->size_bytes > size_max) {
		snprintf(pair->reason, sizeof(pair->reason),
			 "kernel.msgmax is %ld", size_max);
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		pair->ids[i] = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
		if (pair->ids[i] < 0) {
			snprintf(pair->reason, sizeof(pair->reason),
				 "msgget: %s", strerror(errno));
			sysv_close_pair(pair);
			return -1;
		}
		pair->remember_ids[i] = pair->ids[i];
		sysv_limit(pair->ids[i], pair->size_bytes);
	}
	return 0;
}

static int sysv_send(struct pair *pair, int queue, const void *body)
{
	long *message = (long *)(uintptr_t)body - 1;

	*message = 1;
	if (msgsnd(pair->ids[queue], message, pair->size_bytes,
		   pair->mode == MODE_POLL ? IPC_NOWAIT : 0) == 0)
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

static int sysv_recv(struct pair *pair, int queue, void *body)
{
	if (msgrcv(pair->ids[queue], (long *)body - 1, pair->size_bytes, 0,
		   pair->mode == MODE_POLL ? IPC_NOWAIT : 0) ==
	    (ssize_t)pair->size_bytes)
		return 1;
	return errno == ENOMSG ? 0 : -errno;
}

const struct transport transport_sysv = {
	.name = "system v",
	.modes = 1u << MODE_POLL | 1u << MODE_BLOCK,
	.open_pair = sysv_open_pair,
	.join = mq_nothing,
	.send = sysv_send,
	.recv = sysv_recv,
	.leave = mq_leave,
	.close_pair = sysv_close_pair,
};
