/* SPDX-License-Identifier: MIT */
#include "base/poll.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/futex.h"

#if defined(SYS_ppoll_time64) && __SIZEOF_LONG__ == 4
#define SYS_PPOLL SYS_ppoll_time64
#else
#define SYS_PPOLL SYS_ppoll
#endif

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

/* A filter may refuse it: no right, and nothing that the link was opened for. */
static int made(long value)
{
	return value < 0 && errno == EPERM ? -EACCES : result(value);
}

/* Says the kernel that the descriptor is of that kind? Without /proc: no. */
static bool is_anonymous(int fd, const char *kind)
{
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, kind) == 0;
}

/* ---- sets ---- */

int poll_set_open(void)
{
	return made(epoll_create1(EPOLL_CLOEXEC));
}

int poll_set_add(int set, int fd, uint32_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

	return result(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

int poll_set_remove(int set, int fd)
{
	return result(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
}

/* By system calls of their own number: libc's are cancellation points. */
int poll_set_wait(int set, int64_t deadline_ns, uint32_t *ret_what)
{
	struct epoll_event events[POLL_SET_MAX];
	int count;

	if (deadline_ns > 0) {
		struct pollfd one = { .fd = set, .events = POLLIN };
		int64_t left_ns = deadline_ns - futex_kernel_ops.now_ns();
		/* The kernel's; libc's own has 32 bits on some. */
		struct {
			int64_t secs, ns;
		} left;

		if (left_ns < 0)
			left_ns = 0;
		left.secs = left_ns / 1000000000;
		left.ns = left_ns % 1000000000;
		count = result(syscall(
			SYS_PPOLL, &one, 1,
			deadline_ns == POLL_FOREVER ? NULL : &left, NULL, 0));
		if (count <= 0)
			return count;
	}
	count = result(syscall(SYS_epoll_pwait, set, events, POLL_SET_MAX, 0,
			       NULL, 0));
	for (int i = 0; i < count; i++)
		ret_what[i] = events[i].data.u32;
	return count;
}

bool poll_set_is(int fd)
{
	return is_anonymous(fd, "anon_inode:[eventpoll]");
}

/* ---- sockets ---- */

/* Any directory, however long its path: by the number of its descriptor. */
static socklen_t make_address(int dir_fd, const char *name,
			      struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_address->sun_path, sizeof(ret_address->sun_path),
		 "/proc/self/fd/%d/%s", dir_fd, name);
	return (socklen_t)sizeof(*ret_address);
}

static int open_socket(void)
{
	return made(socket(AF_UNIX,
			   SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int poll_socket_open(int dir_fd, const char *name, bool for_all,
		     uint64_t *ret_inode)
{
	struct sockaddr_un address;
	socklen_t size_bytes = make_address(dir_fd, name, &address);
	int fd = open_socket(), err;
	struct stat st;

	if (fd < 0)
		return fd;
	err = made(bind(fd, (struct sockaddr *)&address, size_bytes));
	if (err == 0)
		err = result(fchmodat(dir_fd, name, for_all ? 0622 : 0600, 0));
	if (err == 0)
		err = result(fstat(fd, &st));
	if (err < 0) {
		close(fd);
		return err == -EADDRINUSE ? -EEXIST : err;
	}
	*ret_inode = st.st_ino;
	return fd;
}

bool poll_socket_is(int fd, uint64_t inode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       st.st_ino == inode;
}

void poll_socket_drain(int fd)
{
	char byte;

	/* Nobody can keep us here: the queue of a socket is short. */
	for (int i = 0; i < 1024; i++)
		if (syscall(SYS_recvfrom, fd, &byte, 1, MSG_DONTWAIT, NULL,
			    NULL) < 0 &&
		    errno != EINTR)
			return;
}

int poll_sender_open(void)
{
	return open_socket();
}

int poll_sender_ring(int fd, int dir_fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t size_bytes = make_address(dir_fd, name, &address);
	int err;

	do {
		err = result(syscall(SYS_sendto, fd, "", 1,
				     MSG_DONTWAIT | MSG_NOSIGNAL, &address,
				     size_bytes));
	} while (err == -EINTR);
	/* It holds as many as it can: it is ready. */
	return err == -EAGAIN || err > 0 ? 0 : err;
}

int poll_socket_is_open(int dir_fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t size_bytes = make_address(dir_fd, name, &address);
	int fd = open_socket(), err;

	if (fd < 0)
		return fd;
	err = result(syscall(SYS_connect, fd, &address, size_bytes));
	close(fd);
	return err == 0 || err == -EPERM ? 1 : err == -ECONNREFUSED ? 0 : err;
}

/* ---- timers ---- */

int poll_timer_open(void)
{
	return made(timerfd_create(CLOCK_MONOTONIC,
				   TFD_NONBLOCK | TFD_CLOEXEC));
}

int poll_timer_set(int timer, int64_t deadline_ns)
{
	struct itimerspec at = { 0 };

	if (deadline_ns < 1)
		deadline_ns = 1;
	if (deadline_ns != POLL_FOREVER) {
		at.it_value.tv_sec = (time_t)(deadline_ns / 1000000000);
		at.it_value.tv_nsec = (long)(deadline_ns % 1000000000);
	}
	return result(timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL));
}

/* ---- writers that have closed ---- */

int poll_closes_open(void)
{
	return result(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

bool poll_closes_is(int fd)
{
	return is_anonymous(fd, "anon_inode:inotify");
}

/* IN_ATTRIB: who cannot send to a socket touches the file; see sys_touch(). */
int poll_closes_watch(int fd, int file_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
	return result(inotify_add_watch(fd, path, IN_CLOSE_WRITE | IN_ATTRIB));
}

void poll_closes_forget(int fd, int number)
{
	inotify_rm_watch(fd, number);
}

void poll_closes_take(int fd, void (*tell)(int number, void *context),
		      void *context)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = syscall(SYS_read, fd, buf, sizeof(buf))) > 0) {
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *event = (void *)at;

			tell(event->mask & IN_Q_OVERFLOW ? -1 : event->wd,
			     context);
			at += sizeof(*event) + event->len;
		}
	}
}
