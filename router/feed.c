#include "router/feed.h"

#include <stdlib.h>

#include "lib/core/arena.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"

typedef struct feed_metrics metric_owner;
const struct metric_row feed_metric_rows[] = {METRIC_ROWS(FEED_METRICS)};
const size_t feed_metric_nrows = sizeof(feed_metric_rows) / sizeof(feed_metric_rows[0]);

struct feed {
	const struct route *route;
	struct outbox **outboxes;
	struct feed_metrics *metrics;
	struct log *log;
	struct story *story; /* may be NULL */
	uint32_t partition;
	uint32_t cold_ms;
	uint64_t txn;	/* counts transactions */
	uint64_t *told; /* per server: the transaction that its outbox was told last */
	struct route_answer answer;
	struct arena arena;
};

/* What a record's keys have in common. */
struct piece {
	uint64_t offset;
	const struct record_txn *txn;
	const bool *takes_part;
};

struct feed *
feed_create(const struct route *route, struct outbox **outboxes, size_t n, struct feed_metrics *metrics,
	    struct log *log)
{
	struct feed *f = MEM_NEW(struct feed);

	f->metrics = metrics;
	f->log = log;
	feed_route(f, route, outboxes, n);
	return f;
}

void
feed_destroy(struct feed **f)
{
	if (*f == NULL)
		return;
	route_answer_fini(&(*f)->answer);
	arena_fini(&(*f)->arena);
	free((*f)->told);
	free(*f);
	*f = NULL;
}

void
feed_route(struct feed *f, const struct route *route, struct outbox **outboxes, size_t n)
{
	f->route = route;
	f->outboxes = outboxes;
	free(f->told);
	f->told = mem_zalloc(n, sizeof(f->told[0]));
}

void
feed_story(struct feed *f, struct story *story, uint32_t partition)
{
	f->story = story;
	f->partition = partition;
}

void
feed_cold(struct feed *f, uint32_t holdoff_ms)
{
	f->cold_ms = holdoff_ms;
}

static uint32_t
longest(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Queues the key for one server; false when it cannot be sent. */
static bool
put_hop(struct feed *f, const struct piece *piece, const struct route_hop *hop)
{
	const struct record_txn *txn = piece->txn;
	struct outbox *o = f->outboxes[hop->server];
	struct outbox_key k = {.prefix = hop->prefix,
			       .key = f->answer.key,
			       .action = hop->action == ROUTE_STALE ? OUTBOX_STALE : OUTBOX_DELETE,
			       .stale_ms = hop->stale_ms,
			       .limit = hop->limit};

	k.holdoff_ms = longest(longest(txn->holdoff_ms, hop->holdoff_ms), f->cold_ms);
	if (f->told[hop->server] != f->txn) {
		outbox_txn(o, piece->offset, txn->seen_us, txn->commit_us);
		f->told[hop->server] = f->txn;
	}
	if (f->story != NULL)
		k.ref = story_key(f->story, k.key, route_server_name(f->route, hop->server),
				  route_pool_name(f->route, hop->pool));
	if (outbox_put(o, &k) != ERR_OK) {
		metric_inc(&f->metrics->router_keys_invalid);
		log_warn(f->log, "a key in the log cannot be sent; it is skipped",
			 F_UINT("offset", piece->offset), F_SPAN("gtid", txn->gtid),
			 F_UINT("bytes", k.key.len), F_SPAN("key", span_first(k.key, 300)));
		return false;
	}
	metric_bump(&f->metrics->router_keys, 1);
	if (hop->old)
		metric_inc(&f->metrics->router_deletes_extra);
	if (hop->shadow)
		metric_inc(&f->metrics->router_deletes_shadow);
	return true;
}

/* Routes and queues one key; returns for how many servers. */
static uint64_t
put_key(struct feed *f, const struct piece *piece, struct span key)
{
	struct route_answer *a = &f->answer;
	uint64_t n = 0;

	route_key(f->route, key, piece->txn->pool, a);
	if (a->foreign)
		metric_inc(&f->metrics->router_keys_foreign);
	if (a->homeless)
		metric_inc(&f->metrics->router_keys_homeless);
	if (a->unknown_pool)
		metric_inc(&f->metrics->router_pool_unknown);
	for (size_t i = 0; i < a->n; i++) {
		if (piece->takes_part[a->hops[i].server])
			n += put_hop(f, piece, &a->hops[i]);
	}
	return n;
}

err_t
feed_record(struct feed *f, uint64_t offset, uint64_t at_us, struct span bytes, const bool *takes_part,
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
		struct piece piece = {offset, txn, takes_part};

		f->txn++;
		if (f->story != NULL)
			story_txn(f->story, f->partition, offset, at_us, &rec, txn);
		for (size_t i = 0; i < txn->nkeys; i++)
			put_key(f, &piece, txn->keys[i]);
		for (size_t i = 0; i < txn->nmarkers; i++)
			metric_add(&f->metrics->router_markers, put_key(f, &piece, txn->markers[i]));
	}
	return ERR_OK;
}
