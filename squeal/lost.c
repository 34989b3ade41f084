#include "squeal/lost.h"

#include "lib/core/arena.h"
#include "lib/core/buf.h"
#include "lib/wire/record.h"

enum {
	FIRST_SPAN = 4096, /* records behind the log's end that are looked through first, … */
	SPAN_FACTOR = 8,   /* … and how many times more when these are not enough */
	READ_RECORDS = 256,
	READ_BYTES = 4 * 1024 * 1024,
	READ_MS = 30000, /* patience for records that are elsewhere */
};

typedef struct lost_metrics metric_owner;
const struct metric_row lost_metric_rows[] = {METRIC_ROWS(LOST_METRICS)};
const size_t lost_metric_nrows = sizeof(lost_metric_rows) / sizeof(lost_metric_rows[0]);

/* One way through the log. */
struct scan {
	const struct lost_parts *parts;
	const struct gtid_set *set;
	struct arena arena;
	bool is_before;	 /* a record was seen whose position has none of the set */
	bool is_damaged; /* one behind it cannot be read */
	bool emits;
	bool is_closed;
	uint64_t nkeys;
};

static bool
is_disjoint(const struct gtid_set *set, const struct gtid_set *other)
{
	struct gtid_set rest = {0};
	bool same;

	gtid_set_minus(set, other, &rest);
	same = gtid_set_same(&rest, set);
	gtid_set_fini(&rest);
	return same;
}

static bool
has_none(const struct position *pos, const struct gtid_set *set)
{
	return pos->kind == POSITION_EMPTY || (pos->kind == POSITION_MYSQL && is_disjoint(set, &pos->mysql));
}

/* False: nobody takes it. */
static bool
emit_txn(struct scan *s, const struct record_txn *txn)
{
	struct queue_item *it = s->parts->blank(s->parts->arg);

	for (size_t i = 0; i < txn->nkeys; i++)
		keyset_pack(&it->keys.tail, KEY_DELETE, txn->keys[i]);
	for (size_t i = 0; i < txn->nmarkers; i++)
		keyset_pack(&it->keys.tail, KEY_MARKER, txn->markers[i]);
	it->keys.nkeys = txn->nkeys + txn->nmarkers;
	it->seen_us = clock_real_us(s->parts->clock);
	it->holdoff_ms = txn->holdoff_ms;
	it->pool = txn->pool.len > 0 ? span_dup(txn->pool) : NULL;
	s->nkeys += it->keys.nkeys;
	return s->parts->emit(s->parts->arg, it);
}

static bool
on_record(void *arg, const struct broker_record *rec)
{
	struct scan *s = arg;
	struct position pos = {0};
	struct record r;

	if (!span_is(rec->source, s->parts->source) && !rec->damaged)
		return true;
	arena_reset(&s->arena);
	if (rec->damaged || record_decode(rec->bytes, &s->arena, &r, NULL) != ERR_OK) {
		s->is_damaged = true;
		return true;
	}
	/* Whatever of the set we have, we have read behind this record. */
	if (!s->emits && r.position.len > 0 && position_parse(r.position, &pos, NULL) == ERR_OK &&
	    has_none(&pos, s->set)) {
		s->is_before = true;
		s->is_damaged = false;
	}
	position_fini(&pos);
	for (size_t i = 0; i < r.ntxns && s->emits && !s->is_closed; i++) {
		struct gtid id;

		if (gtid_parse(r.txns[i].gtid, &id, NULL) == ERR_OK && gtid_set_has(s->set, &id))
			s->is_closed = !emit_txn(s, &r.txns[i]);
	}
	return !s->is_closed;
}

/* From `first` to where the log ends. */
static err_t
read_from(struct scan *s, struct broker_reader *r, uint64_t first, struct err_detail *why)
{
	uint64_t next = first, at;
	err_t err;

	do {
		at = next;
		err = broker_read_wait(r, at, READ_RECORDS, READ_BYTES, on_record, s, &next, READ_MS, why);
	} while (err == ERR_OK && next > at && !s->is_closed);
	return err;
}

/*
 * Goes through the end of the log, and through more of it until it reaches back far enough; *from is where
 * it began.
 */
static err_t
look(struct scan *s, struct broker_reader *r, uint64_t *from, struct err_detail *why)
{
	uint64_t first, end;
	err_t err = broker_bounds(r, &first, &end, why);

	for (uint64_t span = FIRST_SPAN; err == ERR_OK; span *= SPAN_FACTOR) {
		*from = end - first > span ? end - span : first;
		s->is_damaged = false;
		err = read_from(s, r, *from, why);
		if (err != ERR_OK || s->is_before || *from == first)
			break;
	}
	/* The first offset that a log has: nothing was ever removed from it. */
	if (err == ERR_OK && *from == (broker_is_kafka(s->parts->log_opt) ? 0 : 1))
		s->is_before = true;
	if (err == ERR_GAP)
		err_clear(why);
	if (err == ERR_GAP || (err == ERR_OK && !s->is_before))
		err = err_set(why, ERR_BEHIND,
			      "the log does not reach back to before the first of them "
			      "(log.retention, log.max_size)");
	else if (err == ERR_OK && s->is_damaged)
		err = err_set(why, ERR_BEHIND, "a record of the log that may hold them is damaged");
	return err;
}

/* Puts what the sentence is about in front of it. */
static void
say_which(const struct gtid_set *set, struct err_detail *why)
{
	enum { SHOWN = 160 };
	struct buf text = BUF_INIT;

	gtid_set_format(set, &text);
	if (text.len > SHOWN) {
		text.len = SHOWN;
		buf_put_str(&text, "…");
	}
	err_wrap(
	    why,
	    "the server was promoted without transactions that we have read, %s, and their keys cannot be "
	    "deleted once more, so flush the caches, then start with source.start: now",
	    buf_str(&text));
	buf_fini(&text);
}

err_t
lost_check(const struct lost_parts *parts, const struct gtid_set *set, const struct position *since,
	   struct err_detail *why)
{
	struct scan s = {.parts = parts, .set = set};
	struct broker_reader *r = NULL;
	uint64_t from = 0;
	err_t err;

	if (since == NULL || !has_none(since, set))
		err = err_set(why, ERR_BEHIND,
			      "some were read before the log kept them, or as ends of XA transactions");
	else
		err = broker_reader_open_source(&r, parts->log_opt, parts->source, parts->context, why);
	if (err == ERR_OK)
		err = look(&s, r, &from, why);
	broker_reader_close(&r);
	arena_fini(&s.arena);
	if (err != ERR_OK)
		say_which(set, why);
	return err;
}

err_t
lost_emit(const struct lost_parts *parts, const struct gtid_set *set, uint64_t *nkeys, struct err_detail *why)
{
	struct scan s = {.parts = parts, .set = set};
	struct broker_reader *r = NULL;
	uint64_t from = 0;
	err_t err;

	*nkeys = 0;
	err = broker_reader_open_source(&r, parts->log_opt, parts->source, parts->context, why);
	if (err == ERR_OK)
		err = look(&s, r, &from, why);
	if (err == ERR_OK) {
		s.emits = true;
		s.is_damaged = false;
		err = read_from(&s, r, from, why);
	}
	if (err == ERR_GAP) {
		err_clear(why);
		err = err_set(why, ERR_BEHIND, "the log was trimmed meanwhile");
	}
	if (err == ERR_OK && s.is_closed)
		err = ERR_CLOSED;
	broker_reader_close(&r);
	arena_fini(&s.arena);
	if (err == ERR_OK) {
		metric_inc(&parts->metrics->source_rewound);
		metric_bump(&parts->metrics->rewound_keys, s.nkeys);
		*nkeys = s.nkeys;
	} else if (err != ERR_CLOSED) {
		say_which(set, why);
	}
	return err;
}
