/* SPDX-License-Identifier: MIT */
#ifndef TOLSEY_H
#define TOLSEY_H

/**
 * tolsey.h - shared memory segments and mailboxes for processes on one machine
 *
 * A *space* is a directory that holds named objects. A *segment* is a piece of
 * memory that processes attach. A *mailbox* is a queue of messages with many
 * senders and many receivers; each message goes to exactly one receiver. A
 * *link* is one opening of a mailbox by one process.
 *
 *	struct tol_link *jobs;
 *	char buf[64];
 *
 *	tol_mailbox_create("jobs", 64, NULL);
 *	tol_open(&jobs, "jobs", NULL);
 *	tol_send(jobs, "hello", 5, TOL_FOREVER);
 *	ssize_t n = tol_recv(jobs, buf, sizeof(buf), TOL_NOWAIT);
 *	tol_close(jobs);
 *	tol_mailbox_remove("jobs", NULL);
 *
 * Caveats, for all calls:
 *
 * - Every call returns 0 or a count on success and -errno on failure. Results
 *   come through ret_ parameters, which are written on success only, unless
 *   the call says otherwise. tol_strerror() has a sentence for each error.
 * - Whoever may write an object's file takes part in it and is trusted with
 *   it. Bytes that make no sense give -EBADMSG, never a crash; but a file that
 *   someone truncates takes its users down with SIGBUS.
 * - A name is 1 to 200 bytes of A-Z a-z 0-9 . _ - and begins with a letter, a
 *   digit or an underscore.
 * - After fork() a child's links are dead: every call on them returns -ECHILD,
 *   and tol_close() frees them without touching the parent's. Segments stay
 *   attached in the child (see tol_segment_attach()). vfork(), posix_spawn()
 *   and exec close everything. A child made by a raw clone() system call, past
 *   libc, has nothing attached; if it is made while another thread is inside
 *   tol_open() or tol_segment_attach(), it may keep that thread's process
 *   counted as alive for as long as the child lives.
 * - From a signal handler only calls marked AS-Safe may be made. A call that waits
 *   goes on after a handler has returned, whatever SA_RESTART says, and never
 *   waits longer for it; tol_interrupt() ends it. A handler that leaves a call by
 *   longjmp: if the call slept the link may only be closed, which gives back what
 *   it had; otherwise not even that. Other processes are not harmed in either case.
 * - No call is a cancellation point, and none waits in one: a thread that is
 *   cancelled ends after the call, which tol_interrupt() makes end. Asynchronous
 *   cancellation is as longjmp.
 * - No call prints, exits, aborts, starts threads or handles signals. The
 *   library registers a pthread_atfork() handler at the first open.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TOL_VERSION_MAJOR 0
#define TOL_VERSION_MINOR 1
#define TOL_VERSION_PATCH 0

#define TOL_API __attribute__((visibility("default")))

/* Times to wait, in nanoseconds, on CLOCK_MONOTONIC. */
#define TOL_NOWAIT ((int64_t)0)		/* never wait: -EAGAIN instead */
#define TOL_FOREVER ((int64_t)-1)	/* wait without a limit */
#define TOL_MSECS(n) ((int64_t)(n) * 1000000)
#define TOL_SECS(n) ((int64_t)(n) * 1000000000)

#define TOL_NAME_MAX_BYTES 200
#define TOL_CAPACITY_MAX_MSGS ((uint64_t)1 << 20)
#define TOL_CAPACITY_DEFAULT_MSGS ((uint64_t)64)
#define TOL_CAPACITY_UNBOUNDED UINT64_MAX	/* limited by memory alone */

/* ---- versions, errors, spaces ------------------------------------------ */

/**
 * tol_version - version of the library that runs, such as "0.1.0"
 *
 * Thread: MT-Safe	Signal: AS-Safe		Fork: any	Blocks: no
 */
TOL_API const char *tol_version(void);

/**
 * tol_strerror - one sentence for an error of this library: what and what to do
 * @error: a negative errno that a tol_ call returned (its positive is taken too)
 *
 * Return: a static string, never NULL
 * Thread: MT-Safe	Signal: AS-Safe		Fork: any	Blocks: no
 */
TOL_API const char *tol_strerror(int error);

/**
 * tol_space_path - the directory that a space option stands for
 * @space: a directory, or NULL for $TOLSEY_SPACE or, if that is not set or
 *	empty, the caller's own, /dev/shm/tolsey-UID
 * @buf, @size_bytes: where the path goes, with its terminating zero
 *
 * Nothing is made or checked. A set-user-ID program ignores the environment.
 *
 * Return: length of the path; -ENAMETOOLONG if it does not fit
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API ssize_t tol_space_path(const char *space, char *buf, size_t size_bytes);

/* What kind of object a name stands for. */
enum tol_kind {
	TOL_KIND_UNKNOWN = 0,	/* a file that is none of ours, or damaged */
	TOL_KIND_MAILBOX = 1,
	TOL_KIND_SEGMENT = 2,
};

/**
 * tol_space_list - call a function for each named object of a space
 * @space: as for tol_space_path()
 * @visit: called with the name, its kind and @context; not 0 ends the listing
 *
 * Names come sorted by byte value. Objects made or removed meanwhile may be
 * missed or seen. A default space that does not exist yet is empty.
 *
 * Return: 0, or what @visit returned; -ENOENT no such space; -EPERM the space
 *	is not safe (the default one and not the caller's alone, or writable by
 *	others without the sticky bit); -ELOOP it is a symbolic link; -ENOTDIR;
 *	-ENAMETOOLONG; -EACCES; -ENOMEM; -EMFILE, -ENFILE no descriptor left
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_space_list(const char *space,
			   int (*visit)(const char *name, enum tol_kind kind,
					void *context),
			   void *context);

/* What tol_space_clean() found, one call each. */
struct tol_clean_event {
	const char *name;	/* the object, or the file that was left over */
	const char *what;	/* what was done, or would be: a short phrase */
	uint64_t size_bytes;	/* memory that comes back */
};

/**
 * tol_space_clean - remove what no live process uses and nobody can reach
 * @space: as for tol_space_path()
 * @dry_run: not 0: report only
 * @report: NULL, or called for each thing found
 *
 * Finishes removals whose process was killed, removes bodies of large messages
 * that no mailbox refers to any more, and takes back what dead participants
 * of a mailbox left. A named object is never removed, nor a message in it.
 *
 * Return: number of things found; errors as tol_space_list()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: what was done is done; a second call does the rest
 */
TOL_API int tol_space_clean(const char *space, int dry_run,
			    void (*report)(const struct tol_clean_event *event,
					   void *context),
			    void *context);

/* How the bytes of an object are laid out. */
struct tol_layout {
	uint32_t version;
	uint32_t incompatible_flags;
	uint64_t signature;	/* of its sizes and places: builds of one version that
				   differ in them do not meet either */
};

/**
 * tol_object_layout - why a call says -EPROTO
 * @name: of a mailbox or a segment
 * @space: as for tol_space_path()
 * @ret_object: what the object has
 * @ret_own: what this library works with: all three are the same, or every call that
 *	needs more than the name says -EPROTO
 *
 * Return: 0; -ENOENT; -EMEDIUMTYPE no mailbox or segment of any version; -EINVAL;
 *	-EACCES, -ELOOP, -EMFILE, -ENFILE; errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_object_layout(const char *name, const char *space,
			      struct tol_layout *ret_object,
			      struct tol_layout *ret_own);

/* ---- mailboxes ---------------------------------------------------------- */

/*
 * A mailbox lives from tol_mailbox_create() to tol_mailbox_remove(), whoever
 * comes and goes, until the machine stops. Messages wait in it without any
 * process. Removed, it is gone for everybody at once: later calls and those
 * that sleep return -EIDRM.
 */

struct tol_mailbox_opts {
	const char *space;	/* as for tol_space_path() */
	mode_t mode;		/* of the file; 0 means 0600. umask is ignored */
	int if_missing;		/* not 0: a mailbox that is there is fine too */
	uint64_t capacity_max_msgs; /* tol_resize() goes up to that; 0: the capacity */
	uint64_t memory_limit_bytes; /* of all bodies in it; 0: none */
	uint64_t sender_quota_bytes; /* of those of one participant; 0: none */
	uint64_t reserve_bytes;	/* address space in each process; 0: as suits */
};

/**
 * tol_mailbox_create - make a mailbox
 * @name: its name in the space
 * @capacity_msgs: messages that it holds, exactly: 1 to TOL_CAPACITY_MAX_MSGS;
 *	TOL_CAPACITY_UNBOUNDED; or 0
 *
 * Capacity 0 is a rendezvous: nothing is ever queued, a send and a receive happen
 * together or not at all, first come, first met, on both sides. Who waits while
 * 4096 others come and go behind it loses its turn. A message that has met a
 * receiver is that one's, as if it had taken it: killed before its call returns, it
 * comes back, for another receiver; and so does a message that does not fit in the
 * buffer of a receiver that waited. Who is stopped while it waits still waits, and
 * is met in its turn.
 * @opts: NULL for the defaults
 *
 * The name appears in one step, on a mailbox that is complete. The space is
 * made if it is the default one and missing. With if_missing a mailbox that
 * is there is left as it is, whatever its capacity.
 *
 * To an unbounded mailbox nobody waits to send: a message for which there is no
 * memory is an error, -ENOSPC, that loses nothing, and once others are received
 * there is memory again. What was received is given back to the system while
 * others go on reading; a process that is stopped inside a call delays that.
 *
 * The limit and the quota count memory in steps of 64 KiB, and bodies in files of
 * their own; a send that would go beyond fails with -ENOSPC. A sender
 * needs at least one step, and may keep a few for its next messages; they are
 * taken from it when others lack them. A bounded mailbox with one of the two holds
 * 4 GiB of bodies at most. What a sender that died has queued counts for nobody's
 * quota.
 *
 * Who opens a mailbox has all of it in its address space, 4 GiB and more, though
 * memory is taken as it is used. What a 32-bit process makes has 512 MiB at most;
 * what it shall open and another makes needs reserve_bytes, such as 256 << 20: that
 * much at most, and correspondingly fewer bytes of bodies up to 1 MiB at once.
 *
 * Return: 1 made, 0 was there (if_missing only); -EEXIST; -EINVAL bad name or
 *	mode, a capacity_max_msgs below the capacity, a limit with capacity 0, or
 *	reserve_bytes too few: 512 << 20 are enough for all of it;
 *	-ERANGE capacity above the maximum;
 *	-ENOSPC no memory for it; -EFBIG RLIMIT_FSIZE forbids it; -ENOENT no
 *	such space; -EPERM space not safe; -EACCES; -EOPNOTSUPP the space's
 *	file system cannot do it; -EMEDIUMTYPE the name is taken by
 *	something that is not a mailbox (if_missing only); errors of the
 *	space as tol_space_list()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: the whole mailbox or none	Source: mq_open(3) with O_CREAT
 */
TOL_API int tol_mailbox_create(const char *name, uint64_t capacity_msgs,
			       const struct tol_mailbox_opts *opts);

/**
 * tol_mailbox_remove - remove a mailbox with all its messages
 * @name: its name
 * @opts: NULL, or only the space is looked at
 *
 * On return the name is gone and every later call on it returns -EIDRM; all
 * who sleep on it wake with -EIDRM.
 *
 * Return: 0; -ENOENT; -EMEDIUMTYPE not a mailbox; -EBADMSG or -EPROTO: not
 *	one that can be told to wake its users, but the name is removed all the
 *	same; errors of the space as tol_space_list()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: removed, or not; what is half done others finish or undo
 * Source: msgctl(2) IPC_RMID
 */
TOL_API int tol_mailbox_remove(const char *name,
			       const struct tol_mailbox_opts *opts);

enum tol_mailbox_state {
	TOL_MAILBOX_LIVE = 0,
	TOL_MAILBOX_REMOVED = 1,
	TOL_MAILBOX_QUARANTINED = 2,	/* it held bytes that make no sense */
};

struct tol_mailbox_stat {
	enum tol_mailbox_state state;
	uint32_t layout_version;
	uint64_t capacity_msgs;
	uint64_t capacity_max_msgs;	/* for tol_resize() */
	int is_ended;			/* see tol_shutdown() */
	uint64_t queued_msgs;		/* those that came back included */
	uint64_t returned_msgs;		/* of those: came back from a holder */
	uint64_t held_msgs;		/* taken and not yet done with */
	uint64_t dead_msgs;		/* dead letters: NAME:dead */
	uint64_t queued_bytes;		/* of bodies */
	uint64_t sent_msgs;		/* since it was made */
	uint64_t received_msgs;		/* or taken */
	uint32_t senders_count;		/* live participants that may send */
	uint32_t receivers_count;	/* live participants that may receive */
	uint32_t waiting_senders_count;	/* calls of live ones asleep in send */
	uint32_t waiting_receivers_count;
	uint32_t dead_count;		/* dead ones not yet cleaned up after */
	uint64_t memory_bytes;		/* that it takes now, bodies included */
	uint64_t memory_limit_bytes;	/* see struct tol_mailbox_opts */
	uint64_t sender_quota_bytes;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	pid_t creator_pid;		/* in the creator's pid namespace */
	int64_t created_unix_ns;
};

/* One process that takes part, as tol_mailbox_stat() lists them. */
struct tol_participant_stat {
	pid_t pid;		/* in its own pid namespace */
	char program[16];
	int may_send, may_recv, alive;
	uint32_t waiting_send, waiting_recv;	/* calls asleep */
};

/**
 * tol_mailbox_stat - look at a mailbox without taking part
 * @name, @opts: as tol_mailbox_remove()
 * @ret_stat: the answer
 * @visit: NULL, or called for each participant
 *
 * Needs only the right to read. Counts are of one moment each.
 *
 * Return: 0, also if it is quarantined: see state; else errors as tol_open()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_mailbox_stat(const char *name,
			     const struct tol_mailbox_opts *opts,
			     struct tol_mailbox_stat *ret_stat,
			     void (*visit)(const struct tol_participant_stat *,
					   void *context),
			     void *context);

/* Messages that are queued with one priority and one tag. */
struct tol_depth {
	uint64_t tag;
	uint32_t priority;
	uint64_t msgs;
	uint64_t bytes;		/* of their bodies */
};

/**
 * tol_mailbox_depth - how many messages are queued, by priority and tag
 * @name, @opts: as tol_mailbox_remove()
 * @visit: called once for each priority and tag that is there: the highest priority
 *	first, and within one the lowest tag
 *
 * Those that came back count; those that are held do not. Needs only the right to
 * read. While others send and receive, counts are of slightly different moments.
 *
 * Return: 0; -EBADMSG its bytes make no sense; -EINVAL, also without @visit; else
 *	errors as tol_open()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_mailbox_depth(const char *name,
			      const struct tol_mailbox_opts *opts,
			      void (*visit)(const struct tol_depth *depth,
					    void *context),
			      void *context);

/* What tol_mailbox_verify() and tol_mailbox_repair() found, one call each. */
enum tol_finding_kind {
	TOL_FINDING_READABLE = 0,	/* a message that can be read */
	TOL_FINDING_LOST = 1,		/* one that cannot */
	TOL_FINDING_DAMAGE = 2,		/* something else that makes no sense */
};

struct tol_finding {
	enum tol_finding_kind kind;
	const char *where;	/* "slot 5", "hold cell 3", "head"; "queue", "came
				   back" or "dead letter" of one that is readable */
	const char *what;	/* what is wrong, in words; else "" */
	uint64_t position;	/* of the message; UINT64_MAX not known */
	uint64_t size_bytes;	/* of one that is readable */
};

struct tol_mailbox_health {
	enum tol_mailbox_state state;
	int is_sound;		/* nothing is wrong, nor was it quarantined */
	int is_repaired;	/* it has been, just now */
	uint64_t readable_msgs;
	uint64_t lost_msgs;
	uint64_t damage_count;	/* of other things */
};

/**
 * tol_mailbox_verify - look at every word of a mailbox
 * @name, @opts: as tol_mailbox_remove()
 * @ret_health: the answer
 * @visit: NULL, or called for each thing that is wrong, and then for each message
 *	that can be read, in their order
 *
 * Needs only the right to read. Works with one that is quarantined or truncated.
 * While others use it, what they are about may look wrong for a moment: then it
 * looks again.
 *
 * Return: 0 sound; 1 not: see @ret_health; -EMEDIUMTYPE not a mailbox; -EPROTO
 *	another layout; -EBADMSG not even that can be told; -EINVAL; -ENOENT,
 *	-EACCES, -ENOMEM, errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_mailbox_verify(const char *name,
			       const struct tol_mailbox_opts *opts,
			       struct tol_mailbox_health *ret_health,
			       void (*visit)(const struct tol_finding *finding,
					     void *context),
			       void *context);

/**
 * tol_mailbox_repair - make a damaged mailbox usable again
 *
 * One that is sound stays as it is. Else a new one is made of what is readable, in
 * order, with tags, senders and tries, and takes its name in one step; it has the
 * same capacity, limits, mode and owner. Messages that somebody dead held come
 * back. Positions begin at 0. Nobody else may have it open.
 *
 * Return: 0 it was sound; 1 repaired; -EBUSY others have it open, or repair it, see
 *	tol_mailbox_stat(); -EPERM it is another user's; -EBADMSG nothing can be
 *	found in it: remove it; -ENOSPC no memory for a second one: it is as before;
 *	-EOPNOTSUPP not on this file system; else as tol_mailbox_verify()
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: the old one is there, or the new one; tol_space_clean() removes the other
 */
TOL_API int tol_mailbox_repair(const char *name,
			       const struct tol_mailbox_opts *opts,
			       struct tol_mailbox_health *ret_health,
			       void (*visit)(const struct tol_finding *finding,
					     void *context),
			       void *context);

/* ---- links: send and receive -------------------------------------------- */

/*
 * A link is one opening of an address by one process. Any number of threads
 * may use it at once. It ends with tol_close(), exec or the process.
 */
struct tol_link;

#define TOL_SEND 1u	/* open to send only */
#define TOL_RECV 2u	/* open to receive only */
#define TOL_SPIN_NEVER 4u	/* sleep at once when it has to wait */
#define TOL_SPIN_ONLY 8u	/* never sleep in the kernel: burn the CPU */

struct tol_open_opts {
	const char *space;	/* as for tol_space_path() */
	unsigned int flags;	/* TOL_SEND, TOL_RECV (neither: both), TOL_SPIN_ */
};

/**
 * tol_open - open a link to an address
 * @ret_link: the link; the caller closes it
 * @address: the name of a mailbox; or NAME:dead, its dead letters, to receive or
 *	take only; or NAME:tap, copies of what is sent, see tol_tap_missed()
 * @opts: NULL for the defaults
 *
 * Return: 0; -ENOENT nothing of that name; -EINVAL bad name or flags; -EACCES
 *	no right to read and write it; -EPROTO made by a version of tolsey with
 *	another layout; -EBADMSG damaged, or quarantined; -EMEDIUMTYPE not a
 *	mailbox; -EOVERFLOW larger than a 32-bit process can map, see reserve_bytes;
 *	-EUSERS 4096 participants already, or four taps; -ELOOP a symbolic link;
 *	-ENOSPC, -ENOMEM, -EMFILE, -ENFILE; errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Blocks: no
 * Fork: holds up a fork() of other threads for some microseconds
 * Crash: peers see a participant that is alive, or dead and clean
 */
TOL_API int tol_open(struct tol_link **ret_link, const char *address,
		     const struct tol_open_opts *opts);

/**
 * tol_close - end a link
 * @link: NULL is fine. No other thread may be in a call on it: tol_interrupt() makes
 *	those that wait return
 *
 * What was sent stays in the mailbox.
 *
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: in a child, frees the memory and nothing else
 * Crash: as if the process had been killed before or after
 */
TOL_API void tol_close(struct tol_link *link);

/**
 * tol_send - send a message
 * @link: a link that may send
 * @body: [size_bytes] bytes, copied
 * @size_bytes: 0 or more; limited by memory alone
 * @timeout_ns: TOL_NOWAIT, TOL_FOREVER or a time to wait for room
 *
 * On return the message is in the mailbox, whole, after all messages whose
 * send returned before this one began; with capacity 0 a receiver has it, and
 * "full" is that none waits.
 *
 * Return: 0; -EAGAIN full (TOL_NOWAIT); -ETIMEDOUT full all the time; -ENOSPC
 *	no memory for the body; -EIDRM removed; -EBADMSG quarantined; -EPERM
 *	the link is open to receive only; -ESHUTDOWN after tol_shutdown();
 *	-ECHILD a link of the parent process; -EINVAL; -EFBIG RLIMIT_FSIZE
 *	forbids it; errors of the space: no file for
 *	a large body; -EUSERS 3584 calls wait in a mailbox of capacity 0. Then
 *	nothing was sent
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: -ECHILD in the child
 * Blocks: while the mailbox is full, at most @timeout_ns
 * Crash: sent wholly, or not at all
 * Order: what the sender wrote before is seen by the receiver after
 * Source: mq_timedsend(3), without its limits
 */
TOL_API int tol_send(struct tol_link *link, const void *body, size_t size_bytes,
		     int64_t timeout_ns);

#define TOL_PRIORITY_MAX 32767u

/* What can go with a message. */
struct tol_segment;
struct tol_send_opts {
	uint64_t tag;		/* for the receiver to select by; default 0 */
	uint32_t priority;	/* 0 to TOL_PRIORITY_MAX: higher ones are received first */
	int64_t ttl_ns;		/* not received within that time: dropped; 0 keep */
	struct tol_segment *segment;	/* sent along, or NULL */
};

/**
 * tol_send_message - tol_send() with more than bytes
 * @opts: NULL: as tol_send()
 *
 * A segment goes as its way to it (see tol_segment_export()), not as a copy:
 * the sender keeps it open until the receiver has it, or, if it is a named one,
 * does not remove it. A message whose time has passed is dropped by whoever would
 * have received it; until then it counts as queued.
 *
 * Messages of a higher priority are received before those of a lower one, whenever
 * they were sent; those of the same one in their order.
 *
 * Return: as tol_send(); errors of tol_segment_export(); -EINVAL ttl_ns below 0, or
 *	a priority above TOL_PRIORITY_MAX
 * Everything else as tol_send().
 */
TOL_API int tol_send_message(struct tol_link *link, const void *body,
			     size_t size_bytes, int64_t timeout_ns,
			     const struct tol_send_opts *opts);

/* The way to a segment, as plain bytes that any message can carry. */
struct tol_segment_handle {
	unsigned char bytes[64];
};

/* What came with a message. */
struct tol_message {
	size_t size_bytes;	/* of the body, also if the buffer was too small */
	uint64_t tag;		/* as the sender gave it */
	uint32_t priority;	/* the same */
	uint64_t position;	/* its number in the mailbox, from 0 */
	pid_t sender_pid;	/* as the sender wrote it: not verified */
	uid_t sender_uid;	/* the same */
	uint32_t sender;	/* for tol_sender() */
	uint32_t tries;		/* 1; more if others had taken it before */
	int has_segment;	/* not 0: for tol_segment_import() */
	struct tol_segment_handle segment;
	const void *body;	/* tol_take(): where it lies; else NULL */
	uint64_t hold;		/* tol_take(): which one is held; else 0 */
	uint64_t sent_bytes;	/* of the body as it was sent: size_bytes, but of
				   NAME:tap, which shows the beginning */
};

/* Who has sent a message. */
struct tol_sender {
	pid_t pid;		/* in its own pid namespace */
	uid_t uid;
	int is_known;		/* not 0: so is what follows */
	gid_t gid;
	int64_t start_ns;	/* of the process, since the machine started; 0 not known */
	char program[16];
};

/**
 * tol_sender - who has sent a message
 * @link: that it came by
 * @message: as it was received, taken or looked at
 * @ret_sender: as of when the sender opened the mailbox
 *
 * Everything here is what the sender wrote. Whoever may write the mailbox's file may
 * write anything: believe it as far as you believe all who may, which is what the
 * file's mode says. A process is told from another one by pid and start_ns.
 * The mailbox knows the last 65535 that opened it, and all that have it open; of a
 * message of one before, gid, start and program are not known any more.
 *
 * Return: 0; -EINVAL; -ECHILD, -EIDRM, -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child	Crash: nothing has happened
 */
TOL_API int tol_sender(struct tol_link *link, const struct tol_message *message,
		       struct tol_sender *ret_sender);

/**
 * tol_recv - receive the oldest message of the highest priority
 * @link: a link that may receive
 * @buf: where the body goes, [size_bytes] bytes; NULL is fine if that is 0
 * @size_bytes: of the buffer
 * @timeout_ns: TOL_NOWAIT, TOL_FOREVER or a time to wait for a message
 *
 * On return the message is out of the mailbox and nobody else has it.
 *
 * Return: size of the body, 0 or more; -EAGAIN empty (TOL_NOWAIT); -ETIMEDOUT
 *	empty all the time; -EMSGSIZE the buffer is too small: the message stays
 *	where it is, see tol_recv_message(); -ENODATA empty for good: see
 *	tol_shutdown(); -EUSERS, -EIDRM, -EBADMSG, -ECHILD, -EINVAL as
 *	tol_send(); -ENOSPC no memory to wait with capacity 0; -EPERM the link is
 *	open to send only; errors of the space: a large body is out of reach,
 *	the message stays. Except on success, the buffer's content is
 *	unspecified
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: -ECHILD in the child
 * Blocks: while the mailbox is empty, at most @timeout_ns
 * Crash: received, or left for others. A message received by a process that
 *	is killed before it returns is gone with it
 * Order: sees what the sender wrote before it sent
 * Source: mq_timedreceive(3)
 */
TOL_API ssize_t tol_recv(struct tol_link *link, void *buf, size_t size_bytes,
			 int64_t timeout_ns);

/**
 * tol_recv_message - tol_recv() that also tells about the message
 * @ret_message: written on success and, unlike other results, with -EMSGSIZE:
 *	then its size_bytes is what the buffer must have. Another receiver may
 *	take the message before the caller comes again
 *
 * Everything else as tol_recv().
 */
TOL_API ssize_t tol_recv_message(struct tol_link *link, void *buf,
				 size_t size_bytes, int64_t timeout_ns,
				 struct tol_message *ret_message);

/* Which messages a receiver wants. */
enum tol_select_by {
	TOL_SELECT_ANY = 0,
	TOL_SELECT_TAGS,	/* one of tags[tags_count] */
	TOL_SELECT_TAG_RANGE,	/* first_tag to last_tag, both included */
	TOL_SELECT_TAG_NOT,	/* every tag but first_tag */
	TOL_SELECT_TAG_LOWEST,	/* the lowest tag that is there, up to last_tag */
	TOL_SELECT_SENDER,	/* sent by sender_pid */
};

struct tol_select {
	enum tol_select_by by;
	uint64_t first_tag, last_tag;
	const uint64_t *tags;
	size_t tags_count;	/* 1 to TOL_SELECT_TAGS_MAX */
	pid_t sender_pid;
};

#define TOL_SELECT_TAGS_MAX 64

/**
 * tol_recv_select - receive the first of the messages that are wanted
 * @select: which ones; NULL: any. It may be changed after the call
 *
 * The others stay where they are, and cost nothing. Of those that are wanted the one of
 * the highest priority comes first, and within a priority the oldest; by
 * TOL_SELECT_TAG_LOWEST the tag decides before the priority. Who waits is woken
 * by a message that it wants, and by no other.
 * From the first such call on, or the first message with a priority, the mailbox keeps
 * an index of its messages, and receiving from it, by whatever call, costs more.
 * With capacity 0 a receiver meets the first sender whose message it wants, by the same
 * order, and a sender the first receiver that wants its message; others wait on.
 *
 * Return: as tol_recv_message(); -EINVAL no such selection; -E2BIG more tags than
 *	TOL_SELECT_TAGS_MAX; -ENOSPC no memory for the index; -ENODATA after
 *	tol_shutdown(), if nothing that is wanted is left
 * Everything else as tol_recv_message().
 * Source: msgrcv(2) and its types; selective receive of Erlang
 */
TOL_API ssize_t tol_recv_select(struct tol_link *link,
				const struct tol_select *select, void *buf,
				size_t size_bytes, int64_t timeout_ns,
				struct tol_message *ret_message);

/**
 * tol_peek - copy a message that waits, without taking it
 * @index: 0: the one that tol_recv() would get; 1: the one after it...
 * @buf, @size_bytes: as for tol_recv()
 * @ret_message: NULL, or as for tol_recv_message(); hold and body stay empty
 *
 * Those that came back come first, then the queue. Nothing is changed for anybody,
 * so the next moment somebody else may have received what was seen, and the
 * others have another index: for a look, not to build on. Who walks through all
 * from 0 on is not slower for later ones, while nobody receives.
 *
 * Return: size of the body; -EAGAIN not so many wait; -EMSGSIZE; -EPERM the link
 *	is open to send only; -EINVAL, -ECHILD, -EIDRM, -EBADMSG, errors of the space
 *	as tol_recv()
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child	Crash: nothing has happened
 * Order: as tol_recv()		Source: recv(2) with MSG_PEEK
 */
TOL_API ssize_t tol_peek(struct tol_link *link, uint64_t index, void *buf,
			 size_t size_bytes, struct tol_message *ret_message);

/**
 * tol_peek_select - the same, among those that are wanted
 * @select: as for tol_recv_select()
 * @index: 0: the one that tol_recv_select() would get; 1: the one after it...
 *
 * Everything else as tol_peek(), and -EINVAL, -E2BIG as tol_recv_select().
 * Source: msgrcv(2) with MSG_COPY
 */
TOL_API ssize_t tol_peek_select(struct tol_link *link,
				const struct tol_select *select, uint64_t index,
				void *buf, size_t size_bytes,
				struct tol_message *ret_message);

#define TOL_TAP_BODY_MAX_BYTES 8192	/* that a tap shows of a body */
#define TOL_TAP_CAPACITY_MSGS 4096	/* that wait for a tap to look at them */

/**
 * tol_tap_missed - how many messages a tap does not show
 * @link: of the address NAME:tap
 *
 * A link to NAME:tap receives a copy of each message that is sent to NAME from then
 * on, and takes none away: its position, tag and sender, and the body, of which no
 * more than TOL_TAP_BODY_MAX_BYTES. Senders never wait for a tap: what does not fit
 * is missed. Messages of one sender come in their order. After the end of NAME
 * a receive says -ENODATA, after its removal -EIDRM. It cannot take or send: -EPERM.
 *
 * Return: messages sent since it was opened, less those that it has shown or still
 *	has; one that is on its way is counted; -EINVAL not a tap; -ECHILD, -EIDRM,
 *	-EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child
 * Crash: of the tap: senders find out, tol_space_clean() removes the rest; of a
 *	sender: a message may be sent and not shown
 */
TOL_API int64_t tol_tap_missed(struct tol_link *link);

/* ---- links: in place, and held ------------------------------------------- */

/* How a message is taken. */
struct tol_take_opts {
	int64_t lease_ns;	/* comes back by itself after that; 0: no limit */
	uint32_t max_tries;	/* taken so often before: a dead letter; 0: no limit */
	const struct tol_select *select;	/* as for tol_recv_select(); NULL any */
};

/**
 * tol_take - receive the oldest message in place, and hold it
 * @opts: NULL for no limits
 * @ret_message: its body is where the sender wrote it, 32-byte aligned, to be
 *	read until tol_ack() or tol_return(). NULL if size_bytes is 0
 *
 * On return the message is out of the queue, which has room for another one.
 * It is the caller's until tol_ack(), by which it is received for good. It comes
 * back, for any receiver and ahead of all newer ones, by tol_return(), when the
 * link is closed, when the process ends, however it does, or when the lease ends:
 * then tol_ack() says -ESTALE, and the body may be overwritten. The first receiver
 * that calls finds out about an end; one that sleeps does within 5 ms.
 * With max_tries a message that has been taken so often is not taken again: it
 * becomes a dead letter, and can be had from the address NAME:dead; by tol_return()
 * at once, otherwise when a receiver comes that takes with such a limit.
 *
 * Return: 0; -EUSERS 65536 are held or dead letters; -ENOSPC no memory to note that
 *	it is held; errors as tol_recv(); a mapping of a large body failed: -ENOMEM,
 *	-EMFILE: the message stays
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: the child does not have the body
 * Blocks: while there is none, at most @timeout_ns
 * Crash: taken, and then it comes back; or left where it was
 * Order: as tol_recv()
 * Source: leases of message brokers: receive, acknowledge, reject
 */
TOL_API int tol_take(struct tol_link *link, int64_t timeout_ns,
		     const struct tol_take_opts *opts,
		     struct tol_message *ret_message);

/**
 * tol_ack - a message that was taken is done with
 * @message: from tol_take() on the same link, by any thread of the process
 *
 * Return: 0; -ESTALE it is not held any more: the lease has ended, or this has
 *	been said before; -EINVAL it was not taken; -ECHILD, -EIDRM, -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child
 * Crash: done with, or it comes back
 */
TOL_API int tol_ack(struct tol_link *link, const struct tol_message *message);

/**
 * tol_return - give a message back that was taken, for any receiver
 *
 * Return: as tol_ack()
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child
 * Crash: it comes back in any case
 */
TOL_API int tol_return(struct tol_link *link, const struct tol_message *message);

/**
 * tol_extend - hold a message for longer
 * @lease_ns: from now on; 0: no limit
 *
 * Return: as tol_ack()
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child	Crash: the old limit, or the new one
 */
TOL_API int tol_extend(struct tol_link *link, const struct tol_message *message,
		       int64_t lease_ns);

/* Memory for a message that is written in place. */
struct tol_loan {
	void *body;		/* [size_bytes] bytes, 64-byte aligned */
	size_t size_bytes;	/* may be made smaller before tol_post() */
	uint64_t reserved[6];	/* the library's */
};

/**
 * tol_loan - get memory of a mailbox to write a message in
 * @size_bytes: 0 or more; limited by memory alone
 * @ret_loan: its content is unspecified; ends with tol_post() or
 *	tol_loan_drop(), or with the link or the process
 *
 * A loan holds up nobody, however long it is kept, and does not count as queued.
 *
 * Return: 0; -ENOSPC no memory for it; -EPERM the link is open to receive only;
 *	-ESHUTDOWN after tol_shutdown(); -EINVAL; -ECHILD, -EIDRM, -EBADMSG; errors of the space
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: the child does not have it	Crash: its memory comes back
 */
TOL_API int tol_loan(struct tol_link *link, size_t size_bytes,
		     struct tol_loan *ret_loan);

/**
 * tol_post - send what was written in a loan, without a copy
 * @loan: of this link; its size_bytes may be smaller than it was
 * @opts: as for tol_send_message()
 *
 * On success the loan is over and must not be written any more. Otherwise it is
 * still there, and can be posted again.
 *
 * Return: as tol_send_message(); -EINVAL no loan, or it has become larger
 * Everything else as tol_send().
 */
TOL_API int tol_post(struct tol_link *link, struct tol_loan *loan,
		     int64_t timeout_ns, const struct tol_send_opts *opts);

/**
 * tol_loan_drop - give a loan back unsent
 * @loan: NULL, or one that is over: nothing happens
 *
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: nothing in the child
 * Blocks: no
 */
TOL_API void tol_loan_drop(struct tol_link *link, struct tol_loan *loan);

/* ---- links: many at once, and the end ------------------------------------- */

/* One of many to send. */
struct tol_outgoing {
	const void *body;	/* [size_bytes] bytes */
	size_t size_bytes;
	const struct tol_send_opts *opts;	/* or NULL */
};

/**
 * tol_send_many - send messages in order, in one call
 * @items: [count], as for tol_send_message()
 * @min_count: how many to wait for room for: @count to send all, 0 to send as many
 *	as fit now
 *
 * Each message is sent by itself: others' messages may come between them. Sleeping
 * receivers are woken once, at the end, and wake each other.
 *
 * Return: how many were sent, from the first; -errno as tol_send_message() if none
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: -ECHILD in the child
 * Blocks: while fewer than @min_count are sent, at most @timeout_ns
 * Crash: some of the first are sent, the others not
 */
TOL_API ssize_t tol_send_many(struct tol_link *link,
			      const struct tol_outgoing *items, size_t count,
			      size_t min_count, int64_t timeout_ns);

/* One of many to receive. */
struct tol_incoming {
	void *buf;		/* [size_bytes] bytes */
	size_t size_bytes;
	struct tol_message message;	/* written: what came */
};

/**
 * tol_recv_many - receive the oldest messages, in one call
 * @items: [count]; of those that were received the message is written, and, with
 *	-EMSGSIZE or if the next buffer is too small, that of the next one
 * @min_count: how many to wait for: 0 only what is there now
 *
 * Return: how many were received; -errno as tol_recv_message() if none
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: -ECHILD in the child
 * Blocks: while there are fewer than @min_count, at most @timeout_ns
 * Crash: those received before are gone with the process, the others stay
 */
TOL_API ssize_t tol_recv_many(struct tol_link *link, struct tol_incoming *items,
			      size_t count, size_t min_count,
			      int64_t timeout_ns);

/**
 * tol_shutdown - no more messages: receivers drain the mailbox, then see the end
 * @link: a link that may send
 *
 * For good, and for all: on return every new send says -ESHUTDOWN, and so do
 * those that wait for room. Receivers get what is queued, then -ENODATA. A
 * message that somebody still holds may come back after that, and is then received
 * as ever.
 *
 * Return: 0, also if it was; -EPERM the link is open to receive only; -EINVAL;
 *	-ECHILD, -EIDRM, -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child	Crash: ended, or not
 * Source: shutdown(2) for writing; the closed channel of Go
 */
TOL_API int tol_shutdown(struct tol_link *link);

/**
 * tol_purge - throw away what is queued
 * @link: a link that may receive; on NAME:dead the dead letters go
 *
 * Messages sent after the call began stay, and so do those that are held.
 *
 * Return: how many were thrown away; -EPERM the link is open to send only;
 *	-EINVAL; -ECHILD, -EIDRM, -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child
 * Crash: some of the oldest are gone, the others stay
 */
TOL_API ssize_t tol_purge(struct tol_link *link);

/**
 * tol_resize - change the capacity of a mailbox in use
 * @capacity_msgs: 1 to the capacity_max_msgs that it was made with
 *
 * If more are queued than the new capacity nothing is lost: senders wait until
 * enough have been received.
 *
 * Return: 0; -ERANGE above that; -EINVAL 0; -ENOTSUP an unbounded mailbox, which
 *	stays so; -EPERM a link to dead letters;
 *	-ECHILD, -EIDRM, -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child	Crash: the old capacity, or the new one
 * Source: msgctl(2) IPC_SET, without the privilege
 */
TOL_API int tol_resize(struct tol_link *link, uint64_t capacity_msgs);

/* ---- links: in an event loop, and many at once ----------------------------- */

/**
 * tol_descriptor - a descriptor that is readable when a call need not wait
 * @link: a link that may do that
 * @direction: TOL_RECV or TOL_SEND; each has a descriptor of its own
 *
 * For poll(2), select(2), epoll(7) level- or edge-triggered, io_uring, and every
 * event loop: readable (POLLIN), also for TOL_SEND, while a receive or a send
 * with TOL_NOWAIT would do something or has an error to report; stays so until a
 * call on the link finds nothing to do. So: when it is readable call with TOL_NOWAIT,
 * once or until -EAGAIN; edge-triggered until -EAGAIN. At times it is readable and
 * the call says -EAGAIN: another receiver was faster, or somebody died. It is
 * readable when any message is there, also for those who select.
 * All who poll a mailbox become ready at a message, as with a pipe; with capacity 0
 * TOL_RECV is when a sender waits in a call, and TOL_SEND when a receiver does.
 *
 * Until the first call of this kind nobody pays for it. The descriptor is the same
 * each time, close-on-exec and the link's: do not read it or close it, tol_close()
 * does. Once it was closed all the same (closefrom(3)) the next call makes a new
 * one. It takes three descriptors, a socket in the space, and for every 25 links of a
 * process an instance of inotify(7), by which the kernel tells that others died; where
 * there are no more of these it is readable 200 times a second instead.
 * Those who send must still be able to reach the space by its path.
 *
 * Return: the descriptor; -EPERM the link was not opened for that; -EINVAL;
 *	-EMFILE, -ENFILE, -ENOSPC, -ENOMEM; -EACCES no right to make a file in the
 *	space, or no /proc; -ECHILD; -EIDRM, -EBADMSG; errors of the space
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: -ECHILD in the child; its copy may be closed, and polls for nothing
 * Crash: of the caller: nothing is left but the socket, for tol_space_clean()
 * Source: mq_open(3) on Linux, where a mailbox is a descriptor
 */
TOL_API int tol_descriptor(struct tol_link *link, unsigned int direction);

struct tol_wait {
	struct tol_link *link;	/* NULL: passed over, not ready */
	unsigned int wanted;	/* TOL_RECV, TOL_SEND or both */
	unsigned int ready;	/* of these; written by tol_wait() */
};

/**
 * tol_wait - wait until a call on one of many links need not
 * @waits: [count]; a link may be there more than once
 * @timeout_ns: TOL_NOWAIT, TOL_FOREVER or a time to wait
 *
 * A link is ready under the conditions of tol_descriptor(), in the order in which
 * they are given and all that are; to be fair serve each that is ready once, with
 * TOL_NOWAIT, before the next call. Ready is also who has an error to report.
 * Looks for a short, adaptive time and then sleeps, for all links at once and any
 * number of them: no descriptor for each.
 * Two that both only wait so, one to send and one to receive with capacity 0, do not
 * meet: one of them has to be in a call. (So it is in occam, where a choice
 * is among inputs.)
 *
 * Return: how many are ready, 1 or more; -EAGAIN none (TOL_NOWAIT); -ETIMEDOUT none
 *	all the time; -EPERM a link is not open for what is wanted; -EINVAL;
 *	-ECHILD a link of the parent process; -ECANCELED; -EMFILE, -ENFILE, -ENOMEM,
 *	-ENOSPC; -EACCES no right to make a file in the space, or no /proc. Nothing has
 *	happened to any message
 * Thread: MT-Safe	Signal: AS-Unsafe; goes on after EINTR
 * Fork: -ECHILD in the child
 * Blocks: while none is ready, at most @timeout_ns
 * Crash: as for tol_descriptor()
 * Source: poll(2); ALT of occam, select of Go, which take one as well
 */
TOL_API int tol_wait(struct tol_wait *waits, size_t count, int64_t timeout_ns);

/**
 * tol_interrupt - no call on the link waits any more
 *
 * Calls that wait, in whatever thread, return -ECANCELED, and so does from now on
 * each that would have to, tol_wait() with that link as well; calls that need
 * not wait, and those with TOL_NOWAIT, are as before. For good: then join the threads
 * and close the link. Other processes notice nothing, save that their sleepers look
 * once more.
 *
 * Return: 0; -EINVAL; -ECHILD
 * Thread: MT-Safe	Signal: AS-Safe		Blocks: no
 * Fork: -ECHILD in the child	Crash: nothing has happened
 */
TOL_API int tol_interrupt(struct tol_link *link);

/* ---- segments ------------------------------------------------------------ */

/*
 * A named segment lives until tol_segment_remove(); its memory until the last
 * process that attached it detaches or ends. A private one has no name: others
 * reach it by a handle, for as long as a process that exported it has it open.
 *
 *	struct tol_segment *seg;
 *	void *mem;
 *
 *	tol_segment_create(&seg, "frame", 16 << 20, NULL);
 *	tol_segment_attach(seg, NULL, &mem);
 *	strcpy(mem, "Writing to shared memory");
 *	tol_segment_detach(seg, mem);
 *	tol_segment_close(seg);
 *	tol_segment_remove("frame", NULL);
 */
struct tol_segment;

#define TOL_SEGMENT_LAZY 1u	/* memory as it is touched: full memory is SIGBUS */
#define TOL_SEGMENT_HUGE 2u	/* lay it out so that huge pages are possible */

#define TOL_SEGMENT_SIZE_MAX_BYTES ((uint64_t)1 << 40)

struct tol_segment_opts {
	const char *space;	/* as for tol_space_path() */
	mode_t mode;		/* 0 means 0600. umask is ignored */
	unsigned int flags;	/* TOL_SEGMENT_ */
};

/**
 * tol_segment_create - make a segment and open it
 * @ret_segment: the caller closes it
 * @name: its name, or NULL for a private one
 * @size_bytes: 1 to TOL_SEGMENT_SIZE_MAX_BYTES, exactly; content is zero
 * @opts: NULL for the defaults
 *
 * Memory is reserved before the call returns, unless TOL_SEGMENT_LAZY.
 *
 * Return: 0; -EEXIST; -EINVAL bad name, size 0, mode or flags; -EFBIG above the
 *	maximum or RLIMIT_FSIZE; -ENOSPC, -ENOMEM no memory for it; -EMFILE,
 *	-ENFILE; errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: the whole segment or none	Source: shmget(2) with IPC_CREAT|IPC_EXCL
 */
TOL_API int tol_segment_create(struct tol_segment **ret_segment,
			       const char *name, uint64_t size_bytes,
			       const struct tol_segment_opts *opts);

/**
 * tol_segment_open - open a named segment, without attaching it
 *
 * Opens for reading and writing if the file's mode allows, else for reading.
 *
 * Return: 0; -ENOENT; -EACCES; -EMEDIUMTYPE not a segment; -EPROTO; -EBADMSG;
 *	-ELOOP; -EMFILE, -ENFILE, -ENOMEM; errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_segment_open(struct tol_segment **ret_segment, const char *name,
			     const struct tol_segment_opts *opts);

/**
 * tol_segment_close - end the use of a segment's handle
 * @segment: NULL is fine
 *
 * Detaches whatever this handle still has attached in this process. No other
 * thread may be in a call on it.
 *
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Fork: in a child, ends the child's use only
 * Crash: as if the process had been killed before or after
 */
TOL_API void tol_segment_close(struct tol_segment *segment);

#define TOL_ATTACH_READONLY 1u
#define TOL_ATTACH_PREFAULT 2u	/* touch every page now: -ENOSPC, not SIGBUS */
#define TOL_ATTACH_LOCK 4u	/* keep it in RAM: -EPERM if RLIMIT_MEMLOCK says so */
#define TOL_ATTACH_HUGE 8u	/* huge pages now: -EOPNOTSUPP if there are none */
#define TOL_ATTACH_NOFORK 16u	/* a forked child does not have it */

struct tol_attach_opts {
	unsigned int flags;	/* TOL_ATTACH_ */
	void *address;		/* exactly there, page-aligned; NULL wherever */
	uint64_t reserve_bytes;	/* address space for growth; less than the size: the size */
};

/**
 * tol_segment_attach - map a segment into the caller's memory
 * @segment: an open segment
 * @opts: NULL for read and write, wherever
 * @ret_address: where it begins, page-aligned
 *
 * A segment may be attached many times. Each attachment counts once, exactly
 * as long as an address space has it. A child of fork() has it at the same
 * address and counts for itself, unless TOL_ATTACH_NOFORK; if the child cannot
 * have it (no descriptor left, no memory), its access there is a SIGSEGV.
 * Growth up to reserve_bytes shows at the same address, in every process; what
 * lies beyond the size is a SIGBUS to touch.
 *
 * Return: 0; -EACCES no right to write, try TOL_ATTACH_READONLY; -EPERM sealed,
 *	or memory may not be locked; -EEXIST something is mapped at the address;
 *	-EINVAL; -ENOSPC; -ENOMEM; -EOPNOTSUPP; -ECHILD the handle was the parent's
 *	and its descriptor is gone; -EBADF its descriptor was closed behind the
 *	library's back; -EMFILE, -ENFILE, -ENOLCK
 * Thread: MT-Safe	Signal: AS-Unsafe	Blocks: no
 * Crash: attached, or not		Source: shmat(2)
 */
TOL_API int tol_segment_attach(struct tol_segment *segment,
			       const struct tol_attach_opts *opts,
			       void **ret_address);

/**
 * tol_segment_detach - undo one attachment
 * @address: what tol_segment_attach() gave
 *
 * Return: 0; -EINVAL not an address of an attachment of this handle
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: detached, or with the process	Source: shmdt(2)
 */
TOL_API int tol_segment_detach(struct tol_segment *segment, void *address);

/**
 * tol_segment_grow - make a segment larger, while it is attached
 * @size_bytes: the new size; not larger than the old one: nothing happens
 *
 * New memory is zero and is reserved first, unless the segment is lazy.
 *
 * Return: 0; -ENOSPC and it is as before; -EPERM sealed; -EACCES; -EFBIG;
 *	-EBADF, -ECHILD as tol_segment_attach(); -EBADMSG
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: grown, or not		Source: ftruncate(2), never shrinking
 */
TOL_API int tol_segment_grow(struct tol_segment *segment, uint64_t size_bytes);

/**
 * tol_segment_seal - nobody writes any more, for good
 *
 * A private segment is sealed by the kernel: no process, whatever it holds,
 * can write it or change its size again. A named one cannot be (the kernel has
 * no seals for files with names): its mode loses the write bits and the library
 * refuses to attach it for writing, but its owner can undo that by hand.
 *
 * Return: 0, also if it was; -EBUSY attached for writing somewhere; -EACCES;
 *	-EBADF, -ECHILD as tol_segment_attach(); -EBADMSG; -ENOLCK
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: sealed, or not		Source: fcntl(2) F_ADD_SEALS
 */
TOL_API int tol_segment_seal(struct tol_segment *segment);

/**
 * tol_segment_remove - remove the name of a segment
 *
 * The name is gone at once, the memory when the last process that has it
 * attached or open detaches, closes or ends.
 *
 * Return: 0; -ENOENT; -EMEDIUMTYPE not a segment; -EACCES; errors of the space
 * Thread: MT-Safe env	Signal: AS-Unsafe	Fork: any	Blocks: no
 * Crash: removed, or not		Source: shmctl(2) IPC_RMID
 */
TOL_API int tol_segment_remove(const char *name,
			       const struct tol_segment_opts *opts);

struct tol_segment_stat {
	uint64_t size_bytes;
	uint64_t memory_bytes;		/* that it takes now */
	uint32_t attach_count;		/* exact, the caller's own included; some
					 * may be missed or seen twice only if others
					 * attach and detach without a pause */
	uint32_t attach_write_count;	/* of those, for writing */
	int is_private, is_sealed, is_lazy, is_removed;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	pid_t creator_pid;		/* in its own pid namespace */
	pid_t last_pid;			/* that attached or detached for writing; 0 */
	int64_t created_unix_ns;
	int64_t attached_unix_ns;	/* last time by last_pid, 0 never */
	int64_t detached_unix_ns;	/* the same; a killed process leaves none */
	int64_t changed_unix_ns;	/* size, mode or owner */
};

/**
 * tol_segment_stat - look at a segment
 *
 * Return: 0; -EBADMSG; -EBADF, -ECHILD as tol_segment_attach()
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_segment_stat(struct tol_segment *segment,
			     struct tol_segment_stat *ret_stat);

/**
 * tol_segment_export - make a handle that another process can import
 * @ret_handle: 64 bytes, good while the caller has @segment open
 *
 * A handle is an address, not a key: who imports it needs the kernel's leave to
 * look into the exporting process (the same user and pid namespace).
 *
 * Return: 0; -EBADF, -ECHILD as tol_segment_attach()
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_segment_export(struct tol_segment *segment,
			       struct tol_segment_handle *ret_handle);

/**
 * tol_segment_import - open the segment that a handle names
 *
 * Return: 0; -ESTALE the exporter has closed it or ended; -EACCES the kernel
 *	does not allow it; -EBADMSG not a handle; -EPROTO; -EMFILE, -ENFILE;
 *	-ENOMEM
 * Thread: MT-Safe	Signal: AS-Unsafe	Fork: any	Blocks: no
 */
TOL_API int tol_segment_import(struct tol_segment **ret_segment,
			       const struct tol_segment_handle *handle);

#ifdef __cplusplus
}
#endif
#endif
