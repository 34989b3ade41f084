#include "squeal/queue.h"

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
};

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
queue_item_destroy(struct queue_item **it)
{
	if (*it == NULL)
		return;
	place_name_release(&(*it)->file);
	if ((*it)->whole != NULL)
		gtid_pos_fini((*it)->whole);
	free((*it)->whole);
	keyset_keys_fini(&(*it)->keys);
	free((*it)->pool);
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

void
queue_destroy(struct queue **q)
{
	struct queue_item *it;

	if (*q == NULL)
		return;
	while ((it = (*q)->first) != NULL) {
		(*q)->first = it->next;
		queue_item_destroy(&it);
	}
	pthread_cond_destroy(&(*q)->filled);
	pthread_cond_destroy(&(*q)->drained);
	pthread_mutex_destroy(&(*q)->lock);
	free(*q);
	*q = NULL;
}

bool
queue_put(struct queue *q, struct queue_item *it)
{
	size_t cost = cost_of(it);
	bool closed;

	it->next = NULL;
	pthread_mutex_lock(&q->lock);
	while (!q->closed && q->bytes > 0 && q->bytes + cost > q->max_bytes) {
		q->putter_waits = true;
		pthread_cond_wait(&q->drained, &q->lock);
	}
	q->putter_waits = false;
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

struct queue_item *
queue_take(struct queue *q, unsigned timeout_ms)
{
	struct queue_item *all;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
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
	return all;
}

void
queue_give_back(struct queue *q, struct queue_item **it)
{
	size_t cost = cost_of(*it);

	queue_item_destroy(it);
	pthread_mutex_lock(&q->lock);
	q->bytes -= cost;
	if (q->putter_waits)
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
