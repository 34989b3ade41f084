/*
 * The decoder of records, by hand: it is on the way of every delete of every router, and protobuf-c's copies
 * each key and looks each field up.  The format is protobuf's,
 * https://protobuf.dev/programming-guides/encoding/; test_record.c holds it against protobuf-c.
 */
#include <inttypes.h>

#include "lib/wire/record.h"

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

struct field {
	uint64_t number;
	enum wire_type type;
	uint64_t value;	   /* WIRE_VARINT */
	struct span bytes; /* WIRE_LEN; into the input */
};

/* Takes a varint from the front; false when it is cut off or longer than ten bytes. */
static bool
take_long_varint(struct span *in, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < in->len && i < 10; i++) {
		unsigned char c = (unsigned char)in->p[i];

		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80) {
			*in = span_from(*in, i + 1);
			*out = v;
			return true;
		}
	}
	return false;
}

/* Nearly all are of one byte: tags, and lengths of keys. */
static inline bool
take_varint(struct span *in, uint64_t *out)
{
	if (in->len == 0 || (unsigned char)in->p[0] >= 0x80)
		return take_long_varint(in, out);
	*out = (unsigned char)in->p[0];
	in->p++;
	in->len--;
	return true;
}

static inline bool
take_bytes(struct span *in, uint64_t n, struct span *out)
{
	if (n > in->len)
		return false;
	*out = span_first(*in, (size_t)n);
	*in = span_from(*in, (size_t)n);
	return true;
}

static inline bool
take_field(struct span *in, struct field *f)
{
	uint64_t tag, n = 0;

	if (!take_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
		return false;
	f->number = tag >> 3;
	f->type = (enum wire_type)(tag & 7);
	switch (f->type) {
	case WIRE_VARINT:
		return take_varint(in, &f->value);
	case WIRE_LEN:
		return take_varint(in, &n) && take_bytes(in, n, &f->bytes);
	case WIRE_I64:
		return take_bytes(in, 8, &f->bytes);
	case WIRE_I32:
		return take_bytes(in, 4, &f->bytes);
	}
	return false; /* groups */
}

/* Do the known fields have their types?  Bit n of `varints` and `lens`: field n has that type. */
static bool
type_fits(const struct field *f, unsigned varints, unsigned lens)
{
	if (f->number > 31)
		return true;
	if (varints >> f->number & 1)
		return f->type == WIRE_VARINT;
	return !(lens >> f->number & 1) || f->type == WIRE_LEN;
}

enum {
	BATCH_VERSION = 1,
	BATCH_SOURCE = 2,
	BATCH_POSITION = 3,
	BATCH_EPOCH = 4,
	BATCH_TRANSACTIONS = 5,
	BATCH_VARINTS = 1 << BATCH_VERSION,
	BATCH_LENS = 1 << BATCH_SOURCE | 1 << BATCH_POSITION | 1 << BATCH_EPOCH | 1 << BATCH_TRANSACTIONS,

	TXN_GTID = 1,
	TXN_COMMIT_US = 2,
	TXN_SEEN_US = 3,
	TXN_CONTINUES = 4,
	TXN_HOLDOFF_MS = 5,
	TXN_KEYS = 6,
	TXN_MARKERS = 7,
	TXN_POOL = 8,
	TXN_ORIGIN = 9,
	TXN_VARINTS = 1 << TXN_COMMIT_US | 1 << TXN_SEEN_US | 1 << TXN_CONTINUES | 1 << TXN_HOLDOFF_MS,
	TXN_LENS = 1 << TXN_GTID | 1 << TXN_KEYS | 1 << TXN_MARKERS | 1 << TXN_POOL | 1 << TXN_ORIGIN,

	EPOCH_LENS = 1 << 1,
	EPOCH_VARINTS = 1 << 2 | 1 << 3,
};

/* No reader uses it so far; it must be whole all the same. */
static bool
epoch_is_whole(struct span in)
{
	struct field f = {0};

	while (in.len > 0) {
		if (!take_field(&in, &f) || !type_fits(&f, EPOCH_VARINTS, EPOCH_LENS))
			return false;
	}
	return true;
}

/* Everything but the keys, which are counted. */
static bool
txn_head(struct span in, struct record_txn *txn)
{
	struct field f = {0};

	while (in.len > 0) {
		if (!take_field(&in, &f) || !type_fits(&f, TXN_VARINTS, TXN_LENS))
			return false;
		switch (f.number) {
		case TXN_GTID:
			txn->gtid = f.bytes;
			break;
		case TXN_COMMIT_US:
			txn->commit_us = f.value;
			break;
		case TXN_SEEN_US:
			txn->seen_us = f.value;
			break;
		case TXN_CONTINUES:
			txn->continues = f.value != 0;
			break;
		case TXN_HOLDOFF_MS:
			txn->holdoff_ms = (uint32_t)f.value;
			break;
		case TXN_KEYS:
			txn->nkeys++;
			break;
		case TXN_MARKERS:
			txn->nmarkers++;
			break;
		case TXN_POOL:
			txn->pool = f.bytes;
			break;
		case TXN_ORIGIN:
			txn->origin = f.bytes;
			break;
		}
	}
	return true;
}

static bool
txn_decode(struct span in, struct arena *arena, struct record_txn *txn)
{
	struct span *keys, *markers;
	struct field f = {0};

	*txn = (struct record_txn){.gtid = {"", 0}, .pool = {"", 0}, .origin = {"", 0}};
	if (!txn_head(in, txn))
		return false;
	txn->keys = keys = arena_alloc(arena, txn->nkeys * sizeof(*keys));
	txn->markers = markers = arena_alloc(arena, txn->nmarkers * sizeof(*markers));
	while (in.len > 0 && take_field(&in, &f)) {
		if (f.number == TXN_KEYS)
			*keys++ = f.bytes;
		else if (f.number == TXN_MARKERS)
			*markers++ = f.bytes;
	}
	return true;
}

/* Everything but the transactions, which are counted. */
static bool
batch_head(struct span in, struct record *rec)
{
	struct field f = {0};

	while (in.len > 0) {
		if (!take_field(&in, &f) || !type_fits(&f, BATCH_VARINTS, BATCH_LENS))
			return false;
		if (f.number == BATCH_VERSION)
			rec->version = (uint32_t)f.value;
		else if (f.number == BATCH_SOURCE)
			rec->source = f.bytes;
		else if (f.number == BATCH_POSITION)
			rec->position = f.bytes;
		else if (f.number == BATCH_TRANSACTIONS)
			rec->ntxns++;
		else if (f.number == BATCH_EPOCH && !epoch_is_whole(f.bytes))
			return false;
	}
	return true;
}

static bool
batch_decode(struct span in, struct arena *arena, struct record *rec)
{
	struct record_txn *txns;
	struct field f = {0};

	*rec = (struct record){.source = {"", 0}, .position = {"", 0}};
	if (!batch_head(in, rec))
		return false;
	rec->txns = txns = arena_alloc(arena, rec->ntxns * sizeof(*txns));
	while (in.len > 0 && take_field(&in, &f)) {
		if (f.number == BATCH_TRANSACTIONS && !txn_decode(f.bytes, arena, txns++))
			return false;
	}
	return true;
}

err_t
record_decode(struct span bytes, struct arena *arena, struct record *rec, struct err_detail *why)
{
	struct record found;

	*rec = (struct record){0};
	if (!batch_decode(bytes, arena, &found))
		return err_set(
		    why, ERR_BAD_RECORD,
		    "a log record of %zu bytes is no invalidation batch; if squeal and its readers are of "
		    "different versions, run the same everywhere",
		    bytes.len);
	if (found.version == 0 || found.version > RECORD_VERSION)
		return err_set(why, ERR_BAD_RECORD,
			       "a log record has format version %" PRIu32
			       " and this program knows versions 1 to %d; %s",
			       found.version, RECORD_VERSION,
			       found.version == 0 ? "it was not written by squeal" : "upgrade this program");
	*rec = found;
	return ERR_OK;
}
