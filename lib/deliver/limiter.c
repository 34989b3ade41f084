#include "lib/deliver/limiter.h"

#include <stdlib.h>

#include "lib/core/mem.h"

enum { UNSENT_SLOTS = 16384 }; /* about as many keys as wait in 1 MiB; made when the first one waits */

void
limiter_init(struct limiter *l, uint64_t seed)
{
	*l = (struct limiter){.seed = seed};
}

void
limiter_fini(struct limiter *l)
{
	for (size_t i = 0; i < l->n; i++) {
		buf_fini(&l->limits[i].queue);
		unsent_fini(&l->limits[i].unsent);
	}
	free(l->limits);
	limiter_init(l, l->seed);
}

void
limiter_clear(struct limiter *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct limit *limit = &l->limits[i];

		buf_fini(&limit->queue);
		unsent_clear(&limit->unsent);
		limit->base = limit->from = limit->mark = 0;
	}
	l->bytes = l->waiting = 0;
}

void
limiter_rate(struct limiter *l, size_t index, uint64_t keys_per_s, uint64_t now_ns)
{
	if (index >= l->n) {
		l->limits = mem_realloc(l->limits, (index + 1) * sizeof(l->limits[0]));
		for (; l->n <= index; l->n++) {
			l->limits[l->n] = (struct limit){0};
			unsent_init(&l->limits[l->n].unsent, l->seed, UNSENT_SLOTS);
		}
	}
	bucket_rate(&l->limits[index].bucket, keys_per_s, now_ns);
}

static bool
limit_waits(const struct limit *limit)
{
	return limit->from < limit->base + limit->queue.len;
}

bool
limiter_pass(struct limiter *l, size_t index, uint64_t now_ns)
{
	struct limit *limit = &l->limits[index];

	if (limit_waits(limit) || bucket_tokens(&limit->bucket, now_ns) == 0)
		return false;
	bucket_take(&limit->bucket, 1);
	return true;
}

char *
limiter_find(struct limiter *l, size_t index, struct span sent)
{
	struct limit *limit = &l->limits[index];
	struct unsent_queue q = {&limit->queue, limit->base, limit->from};

	return unsent_find(&limit->unsent, &q, sent);
}

void
limiter_put(struct limiter *l, size_t index, const struct entry_txn *txn, const struct entry_key *key,
	    struct span sent)
{
	struct limit *limit = &l->limits[index];

	buf_put(&limit->queue, txn, sizeof(*txn));
	unsent_add(&limit->unsent, limit->base + limit->queue.len);
	buf_put(&limit->queue, key, sizeof(*key));
	buf_put_span(&limit->queue, sent);
	l->bytes += sizeof(*txn) + sizeof(*key) + sent.len;
	l->waiting++;
}

struct span
limiter_next(struct limiter *l, uint64_t now_ns)
{
	for (size_t i = 0; l->waiting > 0 && i < l->n; i++) {
		struct limit *limit = &l->limits[i];
		const char *at;
		size_t n;

		if (!limit_waits(limit) || bucket_tokens(&limit->bucket, now_ns) == 0)
			continue;
		bucket_take(&limit->bucket, 1);
		at = limit->queue.p + (limit->from - limit->base);
		n = sizeof(struct entry_txn) + entry_bytes(at + sizeof(struct entry_txn));
		limit->from += n;
		l->waiting--;
		return span_make(at, n);
	}
	return (struct span){"", 0};
}

void
limiter_acked(struct limiter *l, size_t index)
{
	struct limit *limit = &l->limits[index];
	size_t n = sizeof(struct entry_txn) + entry_bytes(limit->queue.p + sizeof(struct entry_txn));

	buf_take(&limit->queue, n);
	limit->base += n;
	l->bytes -= n;
	if (limit->queue.len == 0)
		unsent_clear(&limit->unsent);
}

void
limiter_mark(struct limiter *l)
{
	for (size_t i = 0; i < l->n; i++)
		l->limits[i].mark = l->limits[i].base + l->limits[i].queue.len;
}

bool
limiter_passed(const struct limiter *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->limits[i].from < l->limits[i].mark)
			return false;
	}
	return true;
}

uint64_t
limiter_first(const struct limiter *l, uint64_t offset)
{
	for (size_t i = 0; l->bytes > 0 && i < l->n; i++) {
		const struct limit *limit = &l->limits[i];

		if (limit->queue.len > 0) {
			ENTRY_LOAD(entry_txn, txn, limit->queue.p);
			if (txn.offset < offset)
				offset = txn.offset;
		}
	}
	return offset;
}

uint64_t
limiter_wait_ms(struct limiter *l, uint64_t now_ns)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; l->waiting > 0 && i < l->n; i++) {
		uint64_t ms;

		if (!limit_waits(&l->limits[i]))
			continue;
		ms = bucket_wait_ms(&l->limits[i].bucket, 1, now_ns);
		if (ms < least)
			least = ms;
	}
	return least == UINT64_MAX ? 0 : least;
}
