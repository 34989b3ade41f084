#include "replay/send/belt.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct belt {
	void (*wake)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct belt_chunk *first, **end;
	struct belt_chunk *spare;
	size_t n;
	bool closed, ended;
	err_t err;
	struct err_detail why;
};

/* --- chunks -----------------------------------------------------------------------------------------------
 */

/* As it lies in `entries`, with the key behind it. */
struct entry {
	struct targets_hop hop; /* hop.key.key.p is not used */
};

void
belt_chunk_add(struct belt_chunk *c, const struct targets_answer *to)
{
	for (size_t i = 0; i < to->n; i++) {
		const struct span key = to->hops[i].key.key;
		char *room = buf_room(&c->entries, sizeof(struct entry) + key.len);
		struct entry e = {to->hops[i]};

		e.hop.key.key.p = NULL;
		memcpy(room, &e, sizeof(e));
		memcpy(room + sizeof(e), key.p, key.len);
		buf_added(&c->entries, sizeof(e) + key.len);
	}
	c->ndeletes += to->n;
	c->nkeys++;
}

bool
belt_chunk_is_whole(const struct belt_chunk *c)
{
	return c->ndeletes >= BELT_DELETES || c->nkeys >= BELT_KEYS;
}

void
belt_chunk_end(struct belt_chunk *c, const struct select_place *end)
{
	c->end = *end;
	buf_clear(&c->end_file);
	buf_put_span(&c->end_file, end->mark.file);
	buf_clear(&c->end_gtid);
	buf_put_span(&c->end_gtid, end->gtid);
	c->end.mark.file = buf_span(&c->end_file);
	c->end.gtid = buf_span(&c->end_gtid);
}

bool
belt_chunk_next(struct belt_chunk *c, struct targets_hop *out)
{
	struct entry e;

	if (c->at >= c->entries.len)
		return false;
	memcpy(&e, c->entries.p + c->at, sizeof(e));
	*out = e.hop;
	out->key.key.p = c->entries.p + c->at + sizeof(e);
	c->at += sizeof(e) + out->key.key.len;
	return true;
}

static void
chunk_destroy(struct belt_chunk *c)
{
	buf_fini(&c->entries);
	buf_fini(&c->end_file);
	buf_fini(&c->end_gtid);
	free(c);
}

static void
chain_destroy(struct belt_chunk *c)
{
	while (c != NULL) {
		struct belt_chunk *next = c->next;

		chunk_destroy(c);
		c = next;
	}
}

/* --- the belt ---------------------------------------------------------------------------------------------
 */

struct belt *
belt_create(void (*wake)(void *arg), void *arg)
{
	struct belt *b = MEM_NEW(struct belt);

	b->wake = wake;
	b->arg = arg;
	b->end = &b->first;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->room, NULL);
	return b;
}

void
belt_destroy(struct belt **b)
{
	if (*b == NULL)
		return;
	chain_destroy((*b)->first);
	chain_destroy((*b)->spare);
	pthread_cond_destroy(&(*b)->room);
	pthread_mutex_destroy(&(*b)->lock);
	free(*b);
	*b = NULL;
}

struct belt_chunk *
belt_blank(struct belt *b)
{
	struct belt_chunk *c;

	pthread_mutex_lock(&b->lock);
	c = b->spare;
	if (c != NULL)
		b->spare = c->next;
	pthread_mutex_unlock(&b->lock);
	if (c == NULL)
		return MEM_NEW(struct belt_chunk);
	buf_clear(&c->entries);
	c->next = NULL;
	c->ndeletes = c->nkeys = c->at = 0;
	return c;
}

bool
belt_put(struct belt *b, struct belt_chunk *c)
{
	bool was_empty = false, closed;

	c->next = NULL;
	pthread_mutex_lock(&b->lock);
	while (b->n >= BELT_CHUNKS && !b->closed)
		pthread_cond_wait(&b->room, &b->lock);
	closed = b->closed;
	if (!closed) {
		was_empty = b->n++ == 0;
		*b->end = c;
		b->end = &c->next;
	}
	pthread_mutex_unlock(&b->lock);
	if (closed)
		chunk_destroy(c);
	else if (was_empty)
		b->wake(b->arg);
	return !closed;
}

void
belt_end(struct belt *b, err_t err, const struct err_detail *why)
{
	pthread_mutex_lock(&b->lock);
	b->ended = true;
	b->err = err;
	b->why = *why;
	pthread_mutex_unlock(&b->lock);
	b->wake(b->arg);
}

struct belt_chunk *
belt_take(struct belt *b)
{
	struct belt_chunk *c;

	pthread_mutex_lock(&b->lock);
	c = b->first;
	if (c != NULL) {
		b->first = c->next;
		if (b->first == NULL)
			b->end = &b->first;
		if (b->n-- == BELT_CHUNKS)
			pthread_cond_signal(&b->room);
		c->next = NULL;
	}
	pthread_mutex_unlock(&b->lock);
	return c;
}

void
belt_give_back(struct belt *b, struct belt_chunk *c)
{
	pthread_mutex_lock(&b->lock);
	c->next = b->spare;
	b->spare = c;
	pthread_mutex_unlock(&b->lock);
}

bool
belt_is_over(struct belt *b, err_t *err, struct err_detail *why)
{
	bool over;

	pthread_mutex_lock(&b->lock);
	over = b->ended && b->first == NULL;
	if (over) {
		*err = b->err;
		*why = b->why;
	}
	pthread_mutex_unlock(&b->lock);
	return over;
}

void
belt_close(struct belt *b)
{
	pthread_mutex_lock(&b->lock);
	b->closed = true;
	pthread_cond_broadcast(&b->room);
	pthread_mutex_unlock(&b->lock);
}
