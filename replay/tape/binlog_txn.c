#include "replay/tape/binlog_txn.h"

void
binlog_txn_fini(struct binlog_txn *b)
{
	buf_fini(&b->gtid);
}

static err_t
give_keys(struct binlog_txn *b, const struct queue_item *it, struct err_detail *why)
{
	struct keyset_cursor cursor = KEYSET_CURSOR_INIT;
	enum key_kind kind;
	struct span key;
	bool more = true;
	err_t err;

	for (;;) {
		err = keyset_next(&it->keys, &cursor, &kind, &key, &more, why);
		if (err != ERR_OK || !more)
			break;
		if (!b->sink->key(b->sink->arg, key)) {
			err = ERR_CLOSED;
			break;
		}
	}
	keyset_cursor_fini(&cursor);
	return err;
}

err_t
binlog_txn_take(void *arg, const struct reading_txn *t, struct err_detail *why)
{
	struct binlog_txn *b = arg;
	struct tape_counts *counts = &b->tape->counts;
	struct tape_txn txn = {
	    .mark = {.file = span_of(t->file), .at = t->end->pos},
	    .source = b->source,
	    .commit_us = t->end->commit_us,
	    .tables = t->tables,
	    .ntables = t->ntables,
	    .knows_tables = b->tables && !t->is_blind,
	};

	if (atomic_load_explicit(&b->tape->stopping, memory_order_relaxed))
		return ERR_CLOSED;
	if (b->moved != NULL)
		b->moved(b->arg, t->file, t->end->pos);
	if (b->from != NULL && !tape_mark_same(b->from, &txn.mark))
		return ERR_OK;
	b->from = NULL;
	if (counts->txns++ == 0)
		counts->begins_inside = range_left_out(b->range) == 0;
	counts->xa_unknown += t->xa_unknown;
	if (t->keys == NULL || t->keys->keys.nkeys == 0)
		return ERR_OK;
	buf_clear(&b->gtid);
	gtid_format(&t->end->gtid, &b->gtid);
	txn.gtid = buf_span(&b->gtid);
	txn.holdoff_ms = t->keys->holdoff_ms;
	if (t->keys->pool != NULL)
		txn.pool = span_of(t->keys->pool);
	switch (b->sink->txn(b->sink->arg, &txn)) {
	case TAPE_STOP:
		return ERR_CLOSED;
	case TAPE_SKIP:
		return ERR_OK;
	case TAPE_TAKE:
		break;
	}
	return give_keys(b, t->keys, why);
}
