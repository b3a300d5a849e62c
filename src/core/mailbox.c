/* SPDX-License-Identifier: MIT */
/*
 * Making, opening and closing a mailbox.
 *
 * Crash: a mailbox is made in a file without a name and linked in one step. An
 * opener locks its number before it is seen; killed anywhere after that it is
 * a dead participant, and before it is nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/presence.h"
#include "core/heap.h"
#include "core/link.h"
#include "core/mailbox_make.h"
#include "core/look_list.h"
#include "core/participant.h"
#include "core/polling.h"
#include "core/peek.h"
#include "core/ring.h"
#include "core/space.h"
#include "core/tap.h"

/* Bytes of chunk memory from which on the last one to leave tidies up. */
#define TRIM_FROM_CHUNKS 16u

/* What is asked for. */
struct request {
	const char *name;
	uint64_t capacity_msgs, capacity_max_msgs;
	uint64_t memory_limit_bytes, sender_quota_bytes;
	uint64_t reserve_bytes;		/* address space, UINT64_MAX any */
	mode_t mode;
	bool has_heap;
};

/*
 * Of a process with 32 bits what is large enough for any capacity, and leaves it
 * and others like it most of their address space.
 */
#define RESERVE_DEFAULT_BYTES						\
	(sizeof(size_t) < 8 ? UINT64_C(1) << 29 : UINT64_MAX)

/* What sys_map() can be asked for. */
#define MAP_MAX_BYTES ((uint64_t)SIZE_MAX / 2)

/* The first page of the heap's table has memory, and stays. */
static int fill_pages(int fd, const struct mailbox_geometry *geometry)
{
	const uint32_t first = HEAP_PAGE_PRESENT;
	ssize_t n;
	int err = sys_reserve(fd, geometry->pages_offset,
			      geometry->chunks_offset - geometry->pages_offset);

	if (err < 0)
		return err;
	n = sys_pwrite(fd, &first, sizeof(first), geometry->pages_offset);
	return n < 0 ? (int)n : 0;
}

static int fill_ring(int fd, const struct mailbox_geometry *geometry)
{
	uint64_t words[512];
	uint64_t left = geometry->ring_slots;
	uint64_t offset = geometry->ring_offset;

	for (size_t i = 0; i < 512; i++)
		words[i] = slot_make(SLOT_EMPTY, 0, 0);
	while (left > 0) {
		uint64_t count = left < 512 ? left : 512;
		ssize_t n = sys_pwrite(fd, words,
				       (size_t)count * sizeof(words[0]),
				       offset);

		if (n < 0)
			return (int)n;
		offset += count * sizeof(words[0]);
		left -= count;
	}
	return 0;
}

static int fill(int fd, const struct mailbox_geometry *geometry,
		const struct request *request)
{
	struct mailbox_layout head = {
		.object = {
			.magic = OBJECT_MAGIC,
			.layout_version = OBJECT_LAYOUT_VERSION,
			.kind = TOL_KIND_MAILBOX,
			.signature = mailbox_signature(),
		},
		.capacity_msgs = geometry->capacity_msgs,
		.pool_chunks = geometry->pool_chunks,
		.has_heap = geometry->has_heap,
		.memory_limit_bytes = request->memory_limit_bytes,
		.sender_quota_bytes = request->sender_quota_bytes,
		.creator_pid = (uint32_t)sys_pid(),
		.id = sys_random(),
		.created_unix_ns = sys_unix_ns(),
		.limit_msgs = request->capacity_msgs,
	};
	ssize_t n;
	int err;

	if (mailbox_is_unbounded(geometry)) {
		head.ring_shift = (uint32_t)__builtin_ctzll(
			geometry->ring_slots);
		head.ring_backed = MAILBOX_GRANULE_SLOTS;
	}
	head.shape_check = mailbox_shape_check(&head);
	head.pages_high = geometry->has_heap;
	err = sys_set_size(fd, geometry->file_bytes);
	if (err == 0) /* head, and all slots or the first of them */
		err = sys_reserve(fd, 0, mailbox_is_unbounded(geometry)
					  ? geometry->ring_offset +
						    MAILBOX_GRANULE_BYTES
					  : geometry->participants_offset);
	if (err == 0)
		err = sys_reserve(fd, geometry->participants_offset,
				  MAILBOX_PAGE_BYTES);
	if (err == 0)
		err = sys_reserve(fd, geometry->chunks_offset,
				  MAILBOX_PAGE_BYTES);
	if (err == 0 && geometry->has_heap)
		err = fill_pages(fd, geometry);
	if (err < 0)
		return err;
	n = sys_pwrite(fd, &head, sizeof(head), 0);
	if (n < 0 || mailbox_is_unbounded(geometry))
		return n < 0 ? (int)n : 0;
	return fill_ring(fd, geometry);
}

/* As large a pool as the limit on file sizes, and what was asked for, allow. */
static int choose_geometry(uint64_t capacity_msgs, uint32_t chunks,
			   uint64_t reserve_bytes,
			   struct mailbox_geometry *ret_geometry)
{
	int err = -EINVAL;

	for (; chunks >= MAILBOX_POOL_CHUNKS_MIN; chunks /= 2) {
		struct mailbox_shape shape = {
			.capacity_msgs = capacity_msgs,
			.pool_chunks = chunks,
		};

		if (!mailbox_compute(&shape, ret_geometry))
			return -EINVAL;
		if (ret_geometry->file_bytes > reserve_bytes)
			continue;
		if (sys_size_is_allowed(ret_geometry->file_bytes))
			return 0;
		err = -EFBIG;
	}
	return err;
}

/* Could this process map it? */
static int try_map(int fd, uint64_t file_bytes)
{
	void *address;
	int err;

	if (file_bytes > MAP_MAX_BYTES)
		return -ENOMEM;
	err = sys_map(fd, 0, (size_t)file_bytes, true, NULL, &address);
	return err < 0 ? err : sys_unmap(address, (size_t)file_bytes);
}

/* With a heap: the same, and as the address space of this process allows. */
static int choose_heap(int fd, const struct request *request,
		       struct mailbox_geometry *ret_geometry)
{
	bool is_unbounded = request->capacity_max_msgs == MAILBOX_UNBOUNDED;
	struct mailbox_shape shape = {
		.capacity_msgs = request->capacity_max_msgs,
		.pool_chunks = is_unbounded ? MAILBOX_HEAP_CHUNKS_MAX
					    : MAILBOX_POOL_CHUNKS_MAX,
		.ring_shift = is_unbounded ? MAILBOX_RING_SHIFT_MAX : 0,
		.has_heap = true,
	};
	int err = -EINVAL;

	while (mailbox_compute(&shape, ret_geometry)) {
		if (ret_geometry->file_bytes <= request->reserve_bytes) {
			err = sys_set_size(fd, ret_geometry->file_bytes);
			if (err == 0)
				err = try_map(fd, ret_geometry->file_bytes);
			if (err == 0)
				return 0;
		}
		shape.pool_chunks = shape.pool_chunks / 2 /
				    MAILBOX_HEAP_PAGE_CHUNKS *
				    MAILBOX_HEAP_PAGE_CHUNKS;
		if (is_unbounded && shape.ring_shift > MAILBOX_RING_SHIFT_MIN)
			shape.ring_shift--;
	}
	return err;
}

/* Return: its descriptor; -errno */
static int make_unnamed(const struct space *space,
			const struct request *request)
{
	struct mailbox_geometry geometry;
	int fd, err = 0;

	if (!request->has_heap)
		err = choose_geometry(request->capacity_max_msgs,
				      MAILBOX_POOL_CHUNKS_MAX,
				      request->reserve_bytes, &geometry);
	if (err < 0)
		return err;
	fd = sys_open_unnamed(space->fd, request->mode);
	if (fd < 0)
		return fd;
	if (request->has_heap)
		err = choose_heap(fd, request, &geometry);
	if (err == 0)
		err = fill(fd, &geometry, request);
	if (err == 0)
		return fd;
	sys_close(fd);
	return err;
}

int mailbox_make_like(const struct space *space,
		      const struct mailbox_layout *head, mode_t mode)
{
	struct mailbox_shape shape = {
		.capacity_msgs = head->capacity_msgs,
		.pool_chunks = head->pool_chunks,
		.ring_shift = head->ring_shift,
		.has_heap = head->has_heap != 0,
	};
	struct request request = {
		.capacity_msgs = head->capacity_msgs,
		.capacity_max_msgs = head->capacity_msgs,
		.reserve_bytes = RESERVE_DEFAULT_BYTES,
		.mode = mode,
		.has_heap = shape.has_heap,
	};
	struct mailbox_geometry old;

	/* Who had room for the old one has room for the new one. */
	if (mailbox_compute(&shape, &old))
		request.reserve_bytes = old.file_bytes;
	return make_unnamed(space, &request);
}

int mailbox_make_hidden(const struct space *space, uint64_t capacity_msgs,
			uint32_t chunks, mode_t mode)
{
	struct request request = {
		.capacity_msgs = capacity_msgs,
		.capacity_max_msgs = capacity_msgs,
	};
	struct mailbox_geometry geometry;
	int fd, err = choose_geometry(capacity_msgs, chunks, UINT64_MAX,
				      &geometry);

	if (err < 0)
		return err;
	fd = sys_open_unnamed(space->fd, mode);
	if (fd < 0)
		return fd;
	err = fill(fd, &geometry, &request);
	if (err == 0)
		return fd;
	sys_close(fd);
	return err;
}

static int make(const struct space *space, const struct request *request)
{
	int err, fd = make_unnamed(space, request);

	if (fd < 0)
		return fd;
	err = sys_link_unnamed(fd, space->fd, request->name);
	sys_close(fd);
	return err;
}

/*
 * First a look: what is there is fine also where nothing could be made, for lack
 * of memory or of leave. One that goes between the look and the making, or the
 * other way round, is looked for again.
 */
static int make_if_missing(const struct space *space,
			   const struct request *request)
{
	for (;;) {
		int err = space_check_kind(space, request->name,
					   TOL_KIND_MAILBOX, NULL);

		if (err == -ELOOP)
			return -EMEDIUMTYPE;
		if (err != -ENOENT)
			return err;
		err = make(space, request);
		if (err != -EEXIST)
			return err < 0 ? err : 1;
	}
}

static int make_request(const char *name, uint64_t capacity_msgs,
			const struct tol_mailbox_opts *opts,
			struct request *ret_request)
{
	*ret_request = (struct request){
		.name = name,
		.capacity_msgs = capacity_msgs,
		.capacity_max_msgs = capacity_msgs,
		.reserve_bytes = opts && opts->reserve_bytes
					 ? opts->reserve_bytes
					 : RESERVE_DEFAULT_BYTES,
		.mode = opts && opts->mode ? opts->mode : 0600,
		.has_heap = capacity_msgs == TOL_CAPACITY_UNBOUNDED,
	};
	if (opts && opts->capacity_max_msgs)
		ret_request->capacity_max_msgs = opts->capacity_max_msgs;
	if (opts && (opts->memory_limit_bytes || opts->sender_quota_bytes)) {
		ret_request->memory_limit_bytes = opts->memory_limit_bytes;
		ret_request->sender_quota_bytes = opts->sender_quota_bytes;
		ret_request->has_heap = true;
	}
	if (space_check_name(name) < 0 ||
	    (ret_request->mode & ~(mode_t)0777))
		return -EINVAL;
	/* Nothing is queued: there is no memory to limit, or room to make. */
	if (capacity_msgs == 0 &&
	    (ret_request->capacity_max_msgs || ret_request->has_heap))
		return -EINVAL;
	if (ret_request->capacity_max_msgs < capacity_msgs)
		return -EINVAL;
	if (capacity_msgs == TOL_CAPACITY_UNBOUNDED)
		return 0;
	return ret_request->capacity_max_msgs > TOL_CAPACITY_MAX_MSGS ? -ERANGE
								      : 0;
}

int tol_mailbox_create(const char *name, uint64_t capacity_msgs,
		       const struct tol_mailbox_opts *opts)
{
	struct request request;
	struct space space;
	int err = make_request(name, capacity_msgs, opts, &request);

	if (err < 0)
		return err;
	err = space_open(&space, opts ? opts->space : NULL, true);
	if (err < 0)
		return err;
	if (opts && opts->if_missing) {
		err = make_if_missing(&space, &request);
	} else {
		err = make(&space, &request);
		if (err == 0)
			err = 1;
	}
	space_close(&space);
	return err;
}

static void set_addresses(struct tol_link *link, void *address)
{
	const struct mailbox_geometry *g = &link->geometry;
	uint8_t *bytes = address;

	link->head = address;
	link->ring = (uint64_t *)(void *)(bytes + g->ring_offset);
	link->participants = (struct participant_layout *)(void *)(
		bytes + g->participants_offset);
	link->holds = (uint64_t *)(void *)(bytes + g->holds_offset);
	link->hold_records = (struct hold_layout *)(void *)(
		bytes + g->hold_records_offset);
	link->index = (struct index_layout *)(void *)(bytes + g->index_offset);
	link->live = (uint64_t *)(void *)(bytes + g->live_offset);
	link->entries = (struct entry_layout *)(void *)(bytes +
							g->entries_offset);
	link->nodes = (struct node_layout *)(void *)(bytes + g->nodes_offset);
	link->waiters = (struct waiter_layout *)(void *)(bytes +
							 g->waiters_offset);
	link->chunks = (uint32_t *)(void *)(bytes + g->chunks_offset);
	link->pool_bytes = bytes + g->pool_offset;
	link->capacity_msgs = g->capacity_msgs;
	link->pool.chunks_count = g->pool_chunks;
	link->capacity_shift = -1;
	if ((g->ring_slots & (g->ring_slots - 1)) == 0)
		link->capacity_shift = __builtin_ctzll(g->ring_slots);
	link->is_unbounded = mailbox_is_unbounded(g);
	link->is_meeting = g->capacity_msgs == 0;
	link->has_heap = g->has_heap;
	if (g->has_heap) {
		link->heap_pages = (uint32_t *)(void *)(bytes +
							g->pages_offset);
		link->heap_chunks = (uint64_t *)(void *)(bytes +
							 g->chunks_offset);
		/* Before it is inside for the first time. */
		link->has_barrier = sys_barrier_join() == 0;
		link->pool.chunks_count = 0;
	}
	link->send_position = load_acquire_64(&link->head->tail);
	link->recv_position = load_acquire_64(&link->head->head);
}

void link_free(struct tol_link *link)
{
	maps_fini(link);
	pool_fini(link);
	if (link->head && link->process_number == fork_process_number())
		sys_unmap(link->head, (size_t)link->geometry.file_bytes);
	polling_free(link);
	free(link->change);
	look_list_free(link->look_list);
	free(link->space_path);
	free(link->name);
	free(link);
}

/* What the opener must not yet have a copy of: checked once, then private. */
int link_map_and_join(struct tol_link *link, int fd)
{
	struct mailbox_layout head;
	size_t size_bytes;
	void *address;
	int err;

	err = peek_head(fd, &head, &link->geometry);
	if (err < 0)
		return err;
	if (link->geometry.file_bytes > MAP_MAX_BYTES)
		return -EOVERFLOW;
	size_bytes = (size_t)link->geometry.file_bytes;
	link->id = head.id;
	err = sys_map(fd, 0, size_bytes, true, NULL, &address);
	if (err < 0)
		return err;
	set_addresses(link, address);
	heap_init(link, &head);
	err = sys_keep_from_child(address, size_bytes);
	if (err == 0)
		err = link_check(link);
	if (err == -EIDRM)
		return -ENOENT;
	return err < 0 ? err : participant_join(link, fd);
}

int link_open_in(struct tol_link *link, const struct space *space)
{
	struct sys_stat st;
	int fd, err;

	link->space_path = strdup(space->path);
	if (!link->space_path || !link->name)
		return -ENOMEM;
	fork_guard_enter();
	fd = space_open_object(space, link->name, true, &st);
	if (fd >= 0) {
		link->inode = st.inode;
		link->device = st.device;
		err = link_map_and_join(link, fd);
		sys_close(fd);
	} else {
		err = fd;
	}
	fork_guard_leave();
	return err;
}

struct tol_link *link_new(const char *name, unsigned int flags)
{
	struct tol_link *link = aligned_alloc(64, sizeof(*link));

	if (!link)
		return NULL;
	memset(link, 0, sizeof(*link));
	link->flags = flags;
	link->process_number = fork_process_number();
	link->pid = (uint32_t)sys_pid();
	link->uid = (uint32_t)sys_uid();
	link->futex = &futex_kernel_ops;
	link->may_spin = !(flags & TOL_SPIN_NEVER) && sys_cpus_count() > 1;
	spin_init(&link->send_spin);
	spin_init(&link->recv_spin);
	link->clock_offset_ns = sys_clock_offset_ns();
	maps_init(&link->maps);
	lock_init(&link->index_lock);
	lock_init(&link->look_lock);
	lock_init(&link->tap_lock);
	link->name = strdup(name);
	if (pool_init(link) < 0) {
		free(link->name);
		free(link);
		return NULL;
	}
	return link;
}

/* What an address says. */
struct address {
	char name[TOL_NAME_MAX_BYTES + 1];
	bool is_dead_view, is_tap;
};

static int parse_address(const char *text, struct address *ret_address)
{
	const char *suffix = text ? strchr(text, ':') : NULL;
	size_t length;

	if (!text)
		return -EINVAL;
	ret_address->is_dead_view = suffix && strcmp(suffix, ":dead") == 0;
	ret_address->is_tap = suffix && strcmp(suffix, ":tap") == 0;
	length = ret_address->is_dead_view || ret_address->is_tap
			 ? (size_t)(suffix - text)
			 : strlen(text);
	if (length > TOL_NAME_MAX_BYTES)
		return -EINVAL;
	memcpy(ret_address->name, text, length);
	ret_address->name[length] = '\0';
	return space_check_name(ret_address->name);
}

/* Dead letters, and what a tap shows, can only be received. */
static int check_flags(unsigned int *flags, bool is_view)
{
	if ((*flags & ~(TOL_SEND | TOL_RECV | TOL_SPIN_NEVER | TOL_SPIN_ONLY)) ||
	    ((*flags & TOL_SPIN_NEVER) && (*flags & TOL_SPIN_ONLY)) ||
	    (is_view && (*flags & TOL_SEND)))
		return -EINVAL;
	if (!(*flags & (TOL_SEND | TOL_RECV)))
		*flags |= is_view ? TOL_RECV : TOL_SEND | TOL_RECV;
	return 0;
}

static int open_mailbox(const struct space *space,
			const struct address *address, unsigned int flags,
			struct tol_link **ret_link)
{
	struct tol_link *link = link_new(address->name, flags);
	int err;

	if (!link)
		return -ENOMEM;
	link->is_dead_view = address->is_dead_view;
	err = link_open_in(link, space);
	if (err < 0)
		link_free(link);
	else
		*ret_link = link;
	return err;
}

int tol_open(struct tol_link **ret_link, const char *address_text,
	     const struct tol_open_opts *opts)
{
	unsigned int flags = opts ? opts->flags : 0;
	struct address address;
	struct tol_link *link;
	struct space space;
	int err;

	if (!ret_link || parse_address(address_text, &address) < 0 ||
	    check_flags(&flags, address.is_dead_view || address.is_tap) < 0)
		return -EINVAL;
	err = fork_init();
	if (err == 0)
		err = space_open(&space, opts ? opts->space : NULL, false);
	if (err < 0)
		return err;
	err = address.is_tap
		      ? tap_open(&space, address.name, flags, &link)
		      : open_mailbox(&space, &address, flags, &link);
	space_close(&space);
	if (err == 0)
		*ret_link = link;
	return err;
}

void tol_close(struct tol_link *link)
{
	if (!link)
		return;
	tap_close(link);
	tap_close_outlets(link);
	maps_fini(link);
	if (link->process_number == fork_process_number()) {
		if (load_relaxed_32(&link->head->chunks_high) >
			    TRIM_FROM_CHUNKS &&
		    participant_is_alone(link))
			pool_trim(link);
		polling_end(link);
		participant_leave(link);
	}
	link_free(link);
}
