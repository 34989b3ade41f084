#include "lib/wire/record.h"

#include <protobuf-c/protobuf-c.h>

#include "schemas/invalidation.pb-c.h"

typedef Squeal__V1__InvalidationBatch pb_batch;
typedef Squeal__V1__Transaction pb_txn;

static ProtobufCBinaryData
pb_of(struct span s)
{
	return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)s.p};
}

static ProtobufCBinaryData *
pb_list(struct arena *a, const struct span *spans, size_t n)
{
	ProtobufCBinaryData *list = arena_alloc(a, n * sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = pb_of(spans[i]);
	return list;
}

static void
pb_txn_fill(pb_txn *to, const struct record_txn *from, struct arena *a)
{
	squeal__v1__transaction__init(to);
	to->gtid = pb_of(from->gtid);
	to->commit_us = from->commit_us;
	to->seen_us = from->seen_us;
	to->continues = from->continues;
	to->holdoff_ms = from->holdoff_ms;
	to->keys = pb_list(a, from->keys, from->nkeys);
	to->n_keys = from->nkeys;
	to->marker_keys = pb_list(a, from->markers, from->nmarkers);
	to->n_marker_keys = from->nmarkers;
	to->pool = pb_of(from->pool);
	to->origin = pb_of(from->origin);
}

void
record_encode(const struct record *rec, struct buf *out)
{
	struct arena arena = ARENA_INIT;
	pb_batch batch;
	pb_txn *txns = arena_alloc(&arena, rec->ntxns * sizeof(*txns));
	pb_txn **list = arena_alloc(&arena, rec->ntxns * sizeof(*list));
	size_t n;

	squeal__v1__invalidation_batch__init(&batch);
	batch.version = rec->version;
	batch.source = pb_of(rec->source);
	batch.position = pb_of(rec->position);
	for (size_t i = 0; i < rec->ntxns; i++) {
		pb_txn_fill(&txns[i], &rec->txns[i], &arena);
		list[i] = &txns[i];
	}
	batch.transactions = list;
	batch.n_transactions = rec->ntxns;
	n = squeal__v1__invalidation_batch__get_packed_size(&batch);
	squeal__v1__invalidation_batch__pack(&batch, (uint8_t *)buf_room(out, n));
	buf_added(out, n);
	arena_fini(&arena);
}
