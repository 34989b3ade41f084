#include "squeal/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/mem.h"

struct queue {
	pthread_mutex_t lock; /* guards everything */
	pthread_cond_t filled;
	pthread_cond_t drained;
	struct queue_item *first;
	struct queue_item **last;
	size_t bytes;
	size_t max_bytes;
	bool closed;
	bool taker_waits;
	bool putter_waits;
	struct queue_item *spare;  /* given back, empty */
	struct queue_item *blank;  /* the putter's own part of them */
	struct timespec next_take; /* the taker's own */
};

enum { SPARE_BYTES = 4096 }; /* an item whose keys took more memory than this is not kept */

struct place_name *
place_name_create(struct span text)
{
	struct place_name *n = mem_alloc(sizeof(*n) + text.len + 1);

	atomic_init(&n->refs, 1);
	if (text.len > 0)
		memcpy(n->text, text.p, text.len);
	n->text[text.len] = '\0';
	return n;
}

struct place_name *
place_name_acquire(struct place_name *n)
{
	if (n != NULL)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

void
place_name_release(struct place_name **n)
{
	if (*n != NULL && atomic_fetch_sub_explicit(&(*n)->refs, 1, memory_order_acq_rel) == 1)
		free(*n);
	*n = NULL;
}

struct queue_item *
queue_item_create(void)
{
	struct queue_item *it = MEM_NEW(struct queue_item);

	it->keys.spill_fd = -1;
	return it;
}

void
queue_item_clear(struct queue_item *it)
{
	struct buf memory = it->keys.tail;

	place_name_release(&it->file);
	if (it->whole != NULL)
		position_fini(it->whole);
	free(it->whole);
	free(it->pool);
	free(it->origin);
	free(it->xid);
	it->keys.tail = BUF_INIT;
	keyset_keys_fini(&it->keys);
	buf_clear(&memory);
	*it = (struct queue_item){.keys = {.tail = memory, .spill_fd = -1}};
}

void
queue_item_destroy(struct queue_item **it)
{
	if (*it == NULL)
		return;
	queue_item_clear(*it);
	buf_fini(&(*it)->keys.tail);
	free(*it);
	*it = NULL;
}

/* What an item costs while it waits; spilled keys cost disk, not memory. */
static size_t
cost_of(const struct queue_item *it)
{
	return sizeof(*it) + it->keys.tail.cap;
}

struct queue *
queue_create(size_t max_bytes)
{
	struct queue *q = MEM_NEW(struct queue);
	pthread_condattr_t attr;

	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->filled, &attr);
	pthread_cond_init(&q->drained, &attr);
	pthread_condattr_destroy(&attr);
	q->last = &q->first;
	q->max_bytes = max_bytes;
	return q;
}

static void
destroy_chain(struct queue_item *it)
{
	while (it != NULL) {
		struct queue_item *next = it->next;

		queue_item_destroy(&it);
		it = next;
	}
}

void
queue_destroy(struct queue **q)
{
	if (*q == NULL)
		return;
	destroy_chain((*q)->first);
	destroy_chain((*q)->spare);
	destroy_chain((*q)->blank);
	pthread_cond_destroy(&(*q)->filled);
	pthread_cond_destroy(&(*q)->drained);
	pthread_mutex_destroy(&(*q)->lock);
	free(*q);
	*q = NULL;
}

struct queue_item *
queue_blank(struct queue *q)
{
	struct queue_item *it;

	if (q->blank == NULL) {
		pthread_mutex_lock(&q->lock);
		q->blank = q->spare;
		q->spare = NULL;
		pthread_mutex_unlock(&q->lock);
	}
	it = q->blank;
	if (it == NULL)
		return queue_item_create();
	q->blank = it->next;
	it->next = NULL;
	return it;
}

bool
queue_put(struct queue *q, struct queue_item *it)
{
	size_t cost = cost_of(it);
	bool closed;

	it->next = NULL;
	pthread_mutex_lock(&q->lock);
	/* Once it is full it is filled again when it is half empty: fewer wake-ups, larger batches. */
	if (q->bytes > 0 && q->bytes + cost > q->max_bytes) {
		q->putter_waits = true;
		while (!q->closed && q->bytes > q->max_bytes / 2)
			pthread_cond_wait(&q->drained, &q->lock);
		q->putter_waits = false;
	}
	closed = q->closed;
	if (!closed) {
		*q->last = it;
		q->last = &it->next;
		q->bytes += cost;
		if (q->taker_waits)
			pthread_cond_signal(&q->filled);
	}
	pthread_mutex_unlock(&q->lock);
	if (closed)
		queue_item_destroy(&it);
	return !closed;
}

static struct timespec
later(struct timespec t, uint64_t ns)
{
	t.tv_sec += (time_t)(ns / 1000000000u);
	t.tv_nsec += (long)(ns % 1000000000u);
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

static struct timespec
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

struct queue_item *
queue_take(struct queue *q, unsigned timeout_ms)
{
	struct timespec until = later(now(), (uint64_t)timeout_ms * 1000000u);
	struct queue_item *all;

	/* In the past unless the last take was just now; then this returns at once. */
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &q->next_take, NULL) == EINTR)
		;
	pthread_mutex_lock(&q->lock);
	q->taker_waits = true;
	while (q->first == NULL && !q->closed) {
		if (pthread_cond_timedwait(&q->filled, &q->lock, &until) != 0)
			break;
	}
	q->taker_waits = false;
	all = q->first;
	q->first = NULL;
	q->last = &q->first;
	pthread_mutex_unlock(&q->lock);
	q->next_take = later(now(), QUEUE_PACE_US * 1000u);
	return all;
}

void
queue_give_back(struct queue *q, struct queue_item **items)
{
	struct queue_item *kept = NULL;
	struct queue_item **end = &kept;
	size_t cost = 0;

	while (*items != NULL) {
		struct queue_item *it = *items;

		*items = it->next;
		cost += cost_of(it);
		if (it->keys.tail.cap > SPARE_BYTES) {
			queue_item_destroy(&it);
			continue;
		}
		queue_item_clear(it);
		*end = it;
		end = &it->next;
	}
	pthread_mutex_lock(&q->lock);
	*end = q->spare;
	q->spare = kept;
	q->bytes -= cost;
	if (q->putter_waits && q->bytes <= q->max_bytes / 2)
		pthread_cond_signal(&q->drained);
	pthread_mutex_unlock(&q->lock);
}

void
queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->filled);
	pthread_cond_broadcast(&q->drained);
	pthread_mutex_unlock(&q->lock);
}

bool
queue_is_closed(struct queue *q)
{
	bool closed;

	pthread_mutex_lock(&q->lock);
	closed = q->closed;
	pthread_mutex_unlock(&q->lock);
	return closed;
}

size_t
queue_bytes(struct queue *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->bytes;
	pthread_mutex_unlock(&q->lock);
	return n;
}

bool
queue_is_full(struct queue *q)
{
	bool full;

	pthread_mutex_lock(&q->lock);
	full = q->putter_waits;
	pthread_mutex_unlock(&q->lock);
	return full;
}
