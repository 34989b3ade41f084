#include "router/feed.h"

#include <stdlib.h>

#include "lib/core/arena.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"

typedef struct feed_metrics metric_owner;
const struct metric_row feed_metric_rows[] = {METRIC_ROWS(FEED_METRICS)};
const size_t feed_metric_nrows = sizeof(feed_metric_rows) / sizeof(feed_metric_rows[0]);

struct feed {
	struct ring *ring;
	struct outbox **outboxes;
	size_t n;
	struct feed_metrics *metrics;
	struct log *log;
	uint64_t txn;	/* counts transactions */
	uint64_t *told; /* per server: the transaction that its outbox was told last */
	struct arena arena;
	struct span namespace;
};

struct feed *
feed_create(struct ring *ring, struct outbox **outboxes, size_t n, struct feed_metrics *metrics,
	    struct log *log)
{
	struct feed *f = MEM_NEW(struct feed);

	f->ring = ring;
	f->outboxes = outboxes;
	f->n = n;
	f->metrics = metrics;
	f->log = log;
	f->namespace = SPAN_LIT("");
	f->told = mem_zalloc(n, sizeof(f->told[0]));
	return f;
}

void
feed_destroy(struct feed **f)
{
	if (*f == NULL)
		return;
	arena_fini(&(*f)->arena);
	free((*f)->told);
	free(*f);
	*f = NULL;
}

void
feed_namespace(struct feed *f, const char *namespace)
{
	f->namespace = span_of(namespace);
}

/* Routes and queues one key; false when it was not for a server that takes part, or cannot be sent. */
static bool
put_key(struct feed *f, uint64_t offset, const struct record_txn *txn, struct span key,
	const bool *takes_part)
{
	size_t s = ring_route(f->ring, key);
	struct outbox_key k = {.prefix = f->namespace, .key = key, .holdoff_ms = txn->holdoff_ms};

	if (!takes_part[s])
		return false;
	if (f->told[s] != f->txn) {
		outbox_txn(f->outboxes[s], offset, txn->seen_us, txn->commit_us);
		f->told[s] = f->txn;
	}
	if (outbox_put(f->outboxes[s], &k) != ERR_OK) {
		metric_inc(&f->metrics->router_keys_invalid);
		log_warn(f->log, "a key in the log cannot be sent; it is skipped", F_UINT("offset", offset),
			 F_SPAN("gtid", txn->gtid), F_UINT("bytes", key.len),
			 F_SPAN("key", span_first(key, 300)));
		return false;
	}
	metric_inc(&f->metrics->router_keys);
	if (txn->pool.len > 0)
		metric_inc(&f->metrics->router_pool_ignored);
	return true;
}

err_t
feed_record(struct feed *f, uint64_t offset, struct span bytes, const bool *takes_part,
	    struct err_detail *why)
{
	struct record rec;
	err_t err;

	arena_reset(&f->arena);
	err = record_decode(bytes, &f->arena, &rec, why);
	if (err != ERR_OK)
		return err;
	for (size_t t = 0; t < rec.ntxns; t++) {
		const struct record_txn *txn = &rec.txns[t];

		f->txn++;
		for (size_t i = 0; i < txn->nkeys; i++)
			put_key(f, offset, txn, txn->keys[i], takes_part);
		for (size_t i = 0; i < txn->nmarkers; i++) {
			if (put_key(f, offset, txn, txn->markers[i], takes_part))
				metric_inc(&f->metrics->router_markers);
		}
	}
	return ERR_OK;
}
