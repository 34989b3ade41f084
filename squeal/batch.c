#include "squeal/batch.h"

#include <stdlib.h>

#include "lib/core/arena.h"
#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"
#include "squeal/prepared_note.h"

enum {
	TAKE_RECORDS = 64,	      /* finished records that should be taken before more are made … */
	TAKE_BYTES = 4 * 1024 * 1024, /* … or bytes of them */
	TAKE_NOTES = 4096,	      /* … or changes of notes */
	TXN_OVERHEAD = 48,	      /* about what a transaction costs in a record beside its keys */
};

typedef struct batch_metrics metric_owner;
const struct metric_row batch_metric_rows[] = {METRIC_ROWS(BATCH_METRICS)};
const size_t batch_metric_nrows = sizeof(batch_metric_rows) / sizeof(batch_metric_rows[0]);

/* A transaction of the record under way; its keys are ranges of the two key lists. */
struct open_txn {
	struct record_txn txn;
	size_t first_key, first_marker;
};

struct span_list {
	struct span *at;
	size_t n, cap;
};

struct batch {
	char *source;
	struct batch_limits limits;
	struct batch_metrics *metrics;
	struct position pos;
	bool pos_moved; /* since the last batch_clear() */

	/* the record under way */
	struct open_txn *txns;
	size_t ntxns, cap_txns;
	struct span_list keys, markers;
	struct arena arena; /* gtid texts and spilled keys */
	size_t record_bytes;

	/* the item under way */
	bool item_open;
	uint64_t item_keys; /* of it, put into records so far */
	struct keyset_cursor cursor;

	struct buf part; /* packed keys of a prepared transaction */
	uint32_t nparts; /* written before it */

	/* changes of notes; their bytes are in the arena */
	struct broker_note *notes;
	size_t nnotes, cap_notes;
	struct arena note_arena;

	/* finished records: offsets into `bytes` while it grows, spans when taken */
	struct buf bytes;
	struct span_list records;
	uint64_t nkeys, out_txns;
	struct record_txn *flat; /* scratch for encoding */
	size_t cap_flat;
	struct buf checkpoint;
	struct buf text; /* scratch */
};

struct batch *
batch_create(const char *source, struct batch_limits limits, struct batch_metrics *metrics)
{
	struct batch *b = MEM_NEW(struct batch);

	b->source = mem_strdup(source);
	b->limits = limits;
	b->metrics = metrics;
	return b;
}

void
batch_destroy(struct batch **b)
{
	if (*b == NULL)
		return;
	position_fini(&(*b)->pos);
	free((*b)->txns);
	free((*b)->keys.at);
	free((*b)->markers.at);
	free((*b)->records.at);
	free((*b)->flat);
	free((*b)->notes);
	arena_fini(&(*b)->arena);
	arena_fini(&(*b)->note_arena);
	buf_fini(&(*b)->part);
	keyset_cursor_fini(&(*b)->cursor);
	buf_fini(&(*b)->bytes);
	buf_fini(&(*b)->checkpoint);
	buf_fini(&(*b)->text);
	free((*b)->source);
	free(*b);
	*b = NULL;
}

void
batch_set_limits(struct batch *b, struct batch_limits limits)
{
	b->limits = limits;
}

const struct position *
batch_position(const struct batch *b)
{
	return &b->pos;
}

static void
list_add(struct span_list *l, struct span s)
{
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 64;
		l->at = mem_realloc(l->at, l->cap * sizeof(*l->at));
	}
	l->at[l->n++] = s;
}

static struct open_txn *
begin_txn(struct batch *b, const struct queue_item *it)
{
	struct open_txn *t;

	if (b->ntxns == b->cap_txns) {
		b->cap_txns = b->cap_txns > 0 ? b->cap_txns * 2 : 64;
		b->txns = mem_realloc(b->txns, b->cap_txns * sizeof(*b->txns));
	}
	buf_clear(&b->text);
	gtid_format(&it->gtid, &b->text);
	t = &b->txns[b->ntxns++];
	*t = (struct open_txn){
	    .txn =
		{
		    .gtid = arena_copy(&b->arena, buf_span(&b->text)),
		    .commit_us = it->commit_us,
		    .seen_us = it->seen_us,
		    .holdoff_ms = it->holdoff_ms,
		    .pool =
			it->pool != NULL ? arena_copy(&b->arena, span_of(it->pool)) : (struct span){"", 0},
		    .origin = it->origin != NULL ? arena_copy(&b->arena, span_of(it->origin))
						 : (struct span){"", 0},
		},
	    .first_key = b->keys.n,
	    .first_marker = b->markers.n,
	};
	b->record_bytes += TXN_OVERHEAD + t->txn.gtid.len + t->txn.pool.len + t->txn.origin.len;
	return t;
}

/* Encodes the record under way behind the finished ones.  `continues`: its last transaction goes on. */
static void
finish_record(struct batch *b, bool continues)
{
	struct record rec = {.version = RECORD_VERSION, .source = span_of(b->source)};
	size_t before = b->bytes.len;

	if (b->ntxns == 0)
		return;
	if (b->ntxns > b->cap_flat) {
		b->cap_flat = b->cap_txns;
		b->flat = mem_realloc(b->flat, b->cap_flat * sizeof(*b->flat));
	}
	for (size_t i = 0; i < b->ntxns; i++) {
		size_t end_key = i + 1 < b->ntxns ? b->txns[i + 1].first_key : b->keys.n;
		size_t end_marker = i + 1 < b->ntxns ? b->txns[i + 1].first_marker : b->markers.n;
		struct record_txn *t = &b->flat[i];

		*t = b->txns[i].txn;
		t->keys = b->keys.at + b->txns[i].first_key;
		t->nkeys = end_key - b->txns[i].first_key;
		t->markers = b->markers.at + b->txns[i].first_marker;
		t->nmarkers = end_marker - b->txns[i].first_marker;
	}
	b->flat[b->ntxns - 1].continues = continues;
	rec.txns = b->flat;
	rec.ntxns = b->ntxns;
	if (!continues) {
		buf_clear(&b->text);
		position_format(&b->pos, &b->text);
		rec.position = buf_span(&b->text);
	}
	record_encode(&rec, &b->bytes);
	list_add(&b->records, (struct span){NULL, b->bytes.len - before});
	metric_bump(&b->metrics->batch_record, 1);
	if (continues)
		metric_bump(&b->metrics->batch_part, 1);
	metric_bump(&b->metrics->batch_key, b->keys.n + b->markers.n);
	b->nkeys += b->keys.n + b->markers.n;
	b->ntxns = 0;
	b->keys.n = 0;
	b->markers.n = 0;
	b->record_bytes = 0;
	arena_reset(&b->arena);
}

static bool
is_record_full(const struct batch *b)
{
	return b->keys.n + b->markers.n >= b->limits.keys || b->record_bytes >= b->limits.bytes;
}

static bool
should_be_taken(const struct batch *b)
{
	return b->records.n >= TAKE_RECORDS || b->bytes.len + b->note_arena.used >= TAKE_BYTES ||
	       b->nnotes >= TAKE_NOTES;
}

static void
end_item(struct batch *b, const struct queue_item *it)
{
	if (it->whole != NULL)
		position_copy(&b->pos, it->whole);
	else
		position_advance(&b->pos, &it->gtid,
				 it->file != NULL ? span_of(it->file->text) : (struct span){"", 0}, it->pos);
	b->pos_moved = true;
	b->item_open = false;
	keyset_cursor_fini(&b->cursor);
}

/* --- notes ------------------------------------------------------------------------------------------------
 */

void
batch_change_note(struct batch *b, const struct broker_note *note)
{
	struct broker_note *copy;

	if (b->nnotes == b->cap_notes) {
		b->cap_notes = b->cap_notes > 0 ? b->cap_notes * 2 : 64;
		b->notes = mem_realloc(b->notes, b->cap_notes * sizeof(*b->notes));
	}
	copy = &b->notes[b->nnotes++];
	*copy = *note;
	copy->name = arena_copy(&b->note_arena, note->name);
	copy->value = arena_copy(&b->note_arena, note->value);
}

bool
batch_changes_note(const struct batch *b, struct span name)
{
	for (size_t i = 0; i < b->nnotes; i++) {
		if (span_eq(b->notes[i].name, name))
			return true;
	}
	return false;
}

/* Of the transaction that the item names. */
static void
change_its_note(struct batch *b, const struct queue_item *it, struct broker_note note)
{
	buf_clear(&b->text);
	prepared_note_name(it->xid, &b->text);
	note.name = buf_span(&b->text);
	batch_change_note(b, &note);
}

static void
put_note(struct batch *b, const struct queue_item *it, uint32_t part, struct span value)
{
	change_its_note(b, it, (struct broker_note){.change = BROKER_NOTE_PUT, .part = part, .value = value});
}

static void
drop_note(struct batch *b, const struct queue_item *it)
{
	change_its_note(b, it, (struct broker_note){.change = BROKER_NOTE_DROP});
}

static void
put_part(struct batch *b, const struct queue_item *it)
{
	put_note(b, it, ++b->nparts, buf_span(&b->part));
	buf_clear(&b->part);
}

/* The head comes last, together with the position: a transaction of which only parts are there does not
 * count, and is read again. */
static void
put_head(struct batch *b, const struct queue_item *it)
{
	const struct prepared_note_head head = {
	    .cannot_be_undone = it->cannot_be_undone,
	    .holdoff_ms = it->holdoff_ms,
	    .nparts = b->nparts,
	    .nkeys = it->keys.nkeys,
	    .prepared_us = it->commit_us,
	    .pool = it->pool != NULL ? span_of(it->pool) : (struct span){"", 0},
	};

	buf_clear(&b->part);
	prepared_note_encode(&head, &b->part);
	put_note(b, it, PREPARED_NOTE_HEAD, buf_span(&b->part));
	buf_clear(&b->part);
}

/* As batch_add(). */
static err_t
add_prepared(struct batch *b, const struct queue_item *it, bool *done, struct err_detail *why)
{
	*done = false;
	if (!b->item_open) {
		if (should_be_taken(b))
			return ERR_OK;
		b->item_open = true;
		b->nparts = 0;
		buf_clear(&b->part);
		drop_note(b, it); /* of the same transaction, read before */
	}
	for (;;) {
		enum key_kind kind;
		struct span key;
		bool more;
		err_t err;

		if (b->part.len >= PREPARED_NOTE_PART) {
			put_part(b, it);
			if (should_be_taken(b)) {
				/* The position is taken, too: everything before it must be. */
				finish_record(b, false);
				return ERR_OK;
			}
		}
		err = keyset_next(&it->keys, &b->cursor, &kind, &key, &more, why);
		if (err != ERR_OK)
			return err;
		if (!more)
			break;
		keyset_pack(&b->part, kind, key);
	}
	if (b->part.len > 0)
		put_part(b, it);
	put_head(b, it);
	end_item(b, it);
	*done = true;
	return ERR_OK;
}

/* --- adding -----------------------------------------------------------------------------------------------
 */

err_t
batch_add(struct batch *b, const struct queue_item *it, bool *done, struct err_detail *why)
{
	bool is_begun = false;						    /* in the record under way */
	bool is_passing = it->keys.spill_fd >= 0 || it->keys.parts != NULL; /* a key's bytes do not stay */

	if (it->kind == QUEUE_PREPARED)
		return add_prepared(b, it, done, why);
	*done = false;
	if (!b->item_open) {
		/* A transaction starts in a fresh record when the last one is full. */
		if (is_record_full(b))
			finish_record(b, false);
		if (should_be_taken(b))
			return ERR_OK;
		b->item_open = true;
		b->item_keys = 0;
		if (it->keys.nkeys > 0)
			metric_bump(&b->metrics->batch_txn, 1);
		b->out_txns += it->keys.nkeys > 0;
	}
	for (;;) {
		enum key_kind kind;
		struct span key;
		bool more;
		err_t err;

		if (is_begun && is_record_full(b) && b->item_keys < it->keys.nkeys) {
			finish_record(b, true);
			is_begun = false;
			if (should_be_taken(b))
				return ERR_OK;
		}
		err = keyset_next(&it->keys, &b->cursor, &kind, &key, &more, why);
		if (err != ERR_OK)
			return err;
		if (!more)
			break;
		if (!is_begun)
			begin_txn(b, it);
		is_begun = true;
		b->item_keys++;
		if (is_passing)
			key = arena_copy(&b->arena, key);
		list_add(kind == KEY_MARKER ? &b->markers : &b->keys, key);
		b->record_bytes += key.len + 3;
	}
	if (it->xid != NULL)
		drop_note(b, it);
	end_item(b, it);
	*done = true;
	return ERR_OK;
}

bool
batch_has_news(const struct batch *b)
{
	return b->records.n > 0 || b->ntxns > 0 || b->nnotes > 0 || b->pos_moved;
}

void
batch_take(struct batch *b, struct batch_output *out)
{
	const char *at;

	if (!b->item_open)
		finish_record(b, false);
	at = b->bytes.p;
	for (size_t i = 0; i < b->records.n; i++) {
		b->records.at[i].p = at;
		at += b->records.at[i].len;
	}
	buf_clear(&b->checkpoint);
	if (b->pos_moved) {
		position_format(&b->pos, &b->checkpoint);
	}
	*out = (struct batch_output){
	    .records = b->records.at,
	    .nrecords = b->records.n,
	    .nkeys = b->nkeys,
	    .ntxns = b->out_txns,
	    .checkpoint = buf_span(&b->checkpoint),
	    .notes = b->notes,
	    .nnotes = b->nnotes,
	};
}

void
batch_clear(struct batch *b)
{
	buf_clear(&b->bytes);
	b->records.n = 0;
	b->nkeys = 0;
	b->out_txns = 0;
	b->nnotes = 0;
	arena_reset(&b->note_arena);
	b->pos_moved = false;
}
