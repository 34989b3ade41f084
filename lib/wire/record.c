#include "lib/wire/record.h"

#include <inttypes.h>
#include <protobuf-c/protobuf-c.h>

#include "schemas/invalidation.pb-c.h"

typedef Squeal__V1__InvalidationBatch pb_batch;
typedef Squeal__V1__Transaction pb_txn;

static ProtobufCBinaryData
pb_of(struct span s)
{
	return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)s.p};
}

static struct span
span_of_pb(ProtobufCBinaryData b)
{
	return b.len > 0 ? span_make(b.data, b.len) : (struct span){"", 0};
}

/* --- encoding ---------------------------------------------------------------------------------------------
 */

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

/* --- decoding ---------------------------------------------------------------------------------------------
 */

static void *
take(void *arg, size_t n)
{
	return arena_alloc(arg, n);
}

/* The arena gives everything up at once. */
static void
give_up(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

static const struct span *
span_list(struct arena *a, const ProtobufCBinaryData *list, size_t n)
{
	struct span *spans = arena_alloc(a, n * sizeof(*spans));

	for (size_t i = 0; i < n; i++)
		spans[i] = span_of_pb(list[i]);
	return spans;
}

static void
txn_fill(struct record_txn *to, const pb_txn *from, struct arena *a)
{
	*to = (struct record_txn){
	    .gtid = span_of_pb(from->gtid),
	    .commit_us = from->commit_us,
	    .seen_us = from->seen_us,
	    .continues = from->continues,
	    .holdoff_ms = from->holdoff_ms,
	    .keys = span_list(a, from->keys, from->n_keys),
	    .nkeys = from->n_keys,
	    .markers = span_list(a, from->marker_keys, from->n_marker_keys),
	    .nmarkers = from->n_marker_keys,
	    .pool = span_of_pb(from->pool),
	    .origin = span_of_pb(from->origin),
	};
}

err_t
record_decode(struct span bytes, struct arena *arena, struct record *rec, struct err_detail *why)
{
	ProtobufCAllocator allocator = {take, give_up, arena};
	struct record_txn *txns;
	const pb_batch *batch;

	*rec = (struct record){0};
	batch = squeal__v1__invalidation_batch__unpack(&allocator, bytes.len, (const uint8_t *)bytes.p);
	if (batch == NULL)
		return err_set(
		    why, ERR_BAD_RECORD,
		    "a log record of %zu bytes is no invalidation batch; if squeal and its readers are of "
		    "different versions, run the same everywhere",
		    bytes.len);
	if (batch->version == 0 || batch->version > RECORD_VERSION)
		return err_set(why, ERR_BAD_RECORD,
			       "a log record has format version %" PRIu32
			       " and this program knows versions 1 to %d; %s",
			       batch->version, RECORD_VERSION,
			       batch->version == 0 ? "it was not written by squeal" : "upgrade this program");
	txns = arena_alloc(arena, batch->n_transactions * sizeof(*txns));
	for (size_t i = 0; i < batch->n_transactions; i++)
		txn_fill(&txns[i], batch->transactions[i], arena);
	*rec = (struct record){
	    .version = batch->version,
	    .source = span_of_pb(batch->source),
	    .position = span_of_pb(batch->position),
	    .txns = txns,
	    .ntxns = batch->n_transactions,
	};
	return ERR_OK;
}
