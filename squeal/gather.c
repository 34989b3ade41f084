#include "squeal/gather.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"
#include "markers/comment.h"
#include "squeal/keyset.h"
#include "squeal/origin.h"
#include "squeal/pause.h"
#include "squeal/rowkeys.h"

enum {
	MOVES = 1000,	    /* transactions without keys until a move of the position is emitted */
	SAVEPOINTS = 10000, /* remembered per transaction; a rollback to an older one keeps its keys */
	SPILL_PAUSE_MS = 200,
};

typedef struct gather_metrics metric_owner;
const struct metric_row gather_metric_rows[] = {METRIC_ROWS(GATHER_METRICS)};
const size_t gather_metric_nrows = sizeof(gather_metric_rows) / sizeof(gather_metric_rows[0]);

struct savepoint {
	char *name;
	struct keyset_mark mark;
	size_t sources; /* sources_mark() */
};

struct gather {
	struct gather_parts parts;
	struct comment_parser parser;
	struct keyset *keys;
	struct rowkeys *rowkeys;      /* NULL without rules */
	struct savepoint *savepoints; /* oldest first */
	size_t nsavepoints, cap_savepoints;

	/* of the open transaction */
	uint32_t holdoff_ms;
	struct origin origin;
	const struct table *row_table; /* of the row event under way, until it has given a key */
	int row_action;		       /* enum binlog_action */
	struct buf pool;
	bool pool_conflict;

	struct position pos;
	struct position since;
	bool has_since;
	struct gtid gtid;      /* of the open transaction */
	struct gtid_set offer; /* gather_offer_gtids() */
	bool has_offer;
	bool started;
	uint64_t moves; /* transactions without keys since the position was last emitted */
	struct place_name *file;
	struct err_detail why; /* of the last error that a callback returned */
	_Atomic bool interrupted;
};

static err_t on_rule_key(void *arg, struct span key, const struct rule_group *group);

struct gather *
gather_create(const struct gather_parts *parts)
{
	struct gather *g = MEM_NEW(struct gather);
	struct err_detail why = {0};

	g->parts = *parts;
	g->keys = keyset_create(parts->txn_memory, parts->spill_dir);
	if (comment_parser_init(&g->parser, span_of(parts->markers->tag), parts->markers->anywhere, &why) !=
	    ERR_OK) {
		/* topology_load() has checked the tag */
		log_crit(parts->log, "unusable tag", F_STR("reason", err_why(&why)));
		abort();
	}
	if (parts->rules != NULL)
		g->rowkeys = rowkeys_create(&(struct rowkeys_parts){
		    .rules = parts->rules,
		    .metrics = parts->rule_metrics,
		    .log = parts->log,
		    .schema = parts->schema,
		    .at = &g->pos,
		    .max_event = parts->max_event,
		    .key = on_rule_key,
		    .arg = g,
		});
	return g;
}

static void
forget_savepoints(struct gather *g, size_t keep)
{
	while (g->nsavepoints > keep)
		free(g->savepoints[--g->nsavepoints].name);
}

static void
forget_transaction(struct gather *g)
{
	keyset_clear(g->keys);
	forget_savepoints(g, 0);
	g->holdoff_ms = 0;
	origin_clear(&g->origin);
	buf_clear(&g->pool);
	g->pool_conflict = false;
}

void
gather_destroy(struct gather **g)
{
	if (*g == NULL)
		return;
	forget_transaction(*g);
	free((*g)->savepoints);
	keyset_destroy(&(*g)->keys);
	rowkeys_destroy(&(*g)->rowkeys);
	buf_fini(&(*g)->pool);
	position_fini(&(*g)->pos);
	position_fini(&(*g)->since);
	gtid_set_fini(&(*g)->offer);
	place_name_release(&(*g)->file);
	free(*g);
	*g = NULL;
}

void
gather_interrupt(struct gather *g)
{
	atomic_store(&g->interrupted, true);
	if (g->parts.schema != NULL)
		schema_interrupt(g->parts.schema);
}

const struct err_detail *
gather_why(const struct gather *g)
{
	return &g->why;
}

const struct position *
gather_position(const struct gather *g)
{
	return &g->pos;
}

const struct position *
gather_since(const struct gather *g)
{
	return g->has_since ? &g->since : NULL;
}

void
gather_take_since(struct gather *g, const struct position *since)
{
	position_copy(&g->since, since);
	g->has_since = true;
}

static struct queue_item *
blank_item(struct gather *g)
{
	return g->parts.blank != NULL ? g->parts.blank(g->parts.arg) : queue_item_create();
}

/* Emits the whole position. */
static bool
emit_position(struct gather *g)
{
	struct queue_item *it = blank_item(g);

	it->whole = MEM_NEW(struct position);
	position_copy(it->whole, &g->pos);
	g->moves = 0;
	return g->parts.emit(g->parts.arg, it);
}

bool
gather_start(struct gather *g, const struct position *start)
{
	forget_transaction(g);
	g->has_offer = false;
	if (g->started && position_same(&g->pos, start))
		return true;
	if (!g->started && !g->has_since)
		gather_take_since(g, start);
	g->started = true;
	if (g->parts.schema != NULL)
		schema_start(g->parts.schema, start);
	position_copy(&g->pos, start);
	return emit_position(g);
}

void
gather_offer_gtids(struct gather *g, const struct gtid_set *before)
{
	g->has_offer = g->pos.kind == POSITION_FILE;
	if (g->has_offer)
		gtid_set_copy(&g->offer, before);
}

/* Behind a transaction.  False: nobody takes the position. */
static bool
take_offer(struct gather *g, const struct gtid *gtid)
{
	bool taken = g->has_offer && gtid->kind == GTID_MYSQL;

	g->has_offer = false;
	if (!taken)
		return true;
	gtid_set_add(&g->offer, gtid);
	position_clear(&g->pos);
	g->pos.kind = POSITION_MYSQL;
	gtid_set_copy(&g->pos.mysql, &g->offer);
	gather_take_since(g, &g->pos);
	log_notice(g->parts.log, "the source gives ids now; the checkpoint is a GTID set from here on");
	return emit_position(g);
}

bool
gather_idle(struct gather *g)
{
	return g->moves == 0 || emit_position(g);
}

/* --- statements ------------------------------------------------------------------------------------------
 */

static err_t
add_key(struct gather *g, enum key_kind kind, struct span key, const struct comment_group *group)
{
	bool said = false;
	bool added = false;

	metric_bump(&g->parts.metrics->key_found, 1);
	for (;;) {
		uint64_t spilled = keyset_spilled(g->keys);
		struct err_detail why; /* not zeroed whole: this runs for every key */
		err_t err;

		err_clear(&why);
		err = keyset_add(g->keys, kind, key, &added, &why);
		if (err == ERR_OK) {
			if (keyset_spilled(g->keys) > spilled)
				metric_bump(&g->parts.metrics->spill_bytes,
					    keyset_spilled(g->keys) - spilled);
			break;
		}
		if (!said) {
			metric_bump(&g->parts.metrics->spill_retry, 1);
			log_error(g->parts.log, "waiting for room to spill a large transaction",
				  F_STR("reason", err_why(&why)));
		}
		said = true;
		if (atomic_load(&g->interrupted))
			return ERR_CLOSED;
		pause_ms(&g->interrupted, SPILL_PAUSE_MS);
	}
	if (!added)
		metric_bump(&g->parts.metrics->key_repeated, 1);
	if (group->holdoff_ms > g->holdoff_ms)
		g->holdoff_ms = group->holdoff_ms;
	/* One pool for the transaction, or none when its statements do not agree: none means every pool. */
	if (keyset_count(g->keys) == 1 && added) {
		buf_clear(&g->pool);
		buf_put_span(&g->pool, group->pool);
	} else if (!span_eq(buf_span(&g->pool), group->pool)) {
		buf_clear(&g->pool);
		if (!g->pool_conflict)
			metric_bump(&g->parts.metrics->marker_pool_conflict, 1);
		g->pool_conflict = true;
	}
	if (g->pool_conflict)
		buf_clear(&g->pool);
	return ERR_OK;
}

static err_t
on_key(void *arg, struct span key, const struct comment_group *group)
{
	struct gather *g = arg;

	if (g->parts.sources != NULL)
		sources_add_comment(g->parts.sources, key, false);
	return add_key(g, KEY_DELETE, key, group);
}

static err_t
on_marker(void *arg, struct span key, const struct comment_group *group)
{
	struct gather *g = arg;

	if (g->parts.sources != NULL)
		sources_add_comment(g->parts.sources, key, true);
	return add_key(g, KEY_MARKER, key, group);
}

static err_t
on_rule_key(void *arg, struct span key, const struct rule_group *group)
{
	static const char *const changes[] = {
	    [BINLOG_INSERT] = "insert", [BINLOG_UPDATE] = "update", [BINLOG_DELETE] = "delete"};
	const struct comment_group as_comment = {.pool = group->pool, .holdoff_ms = group->holdoff_ms};
	struct gather *g = arg;

	if (g->parts.sources != NULL)
		sources_add_rule(g->parts.sources, key, group);
	if (g->row_table != NULL) {
		origin_rows(&g->origin, span_of(changes[g->row_action]), g->row_table->db,
			    g->row_table->name);
		g->row_table = NULL; /* once for the event */
	}
	return add_key(g, KEY_DELETE, key, &as_comment);
}

static void
on_issue(void *arg, const struct comment_issue *issue)
{
	struct gather *g = arg;
	metric_t *counter = &g->parts.metrics->marker_bad;

	if (comment_reason_err(issue->reason) == ERR_BAD_KEY)
		counter = &g->parts.metrics->key_bad;
	else if (comment_reason_err(issue->reason) == ERR_TOO_LONG)
		counter = &g->parts.metrics->marker_too_long;
	metric_bump(counter, 1);
	if (comment_reason_lost(issue->reason))
		log_warn(g->parts.log, "part of a comment was not delivered",
			 F_STR("reason", comment_reason_text(issue->reason)), F_SPAN("bytes", issue->excerpt),
			 F_STR("file", g->file != NULL ? g->file->text : NULL));
	else
		log_debug(g->parts.log, "odd comment", F_STR("reason", comment_reason_text(issue->reason)),
			  F_SPAN("bytes", issue->excerpt));
}

static err_t
on_statement(void *arg, struct span sql)
{
	static const struct comment_ops ops = {.key = on_key, .marker = on_marker, .issue = on_issue};
	struct gather *g = arg;
	struct comment_counts counts;
	err_t err;

	metric_bump(&g->parts.metrics->statement, 1);
	if (g->parts.markers->rules_only)
		return ERR_OK;
	if (g->parts.sources != NULL)
		sources_enter_statement(g->parts.sources, sql);
	err = comment_parse(&g->parser, sql, 0, &ops, g, &counts);
	if (counts.keys + counts.markers > 0) {
		metric_bump(&g->parts.metrics->statement_with_keys, 1);
		origin_statement(&g->origin, sql);
	}
	return err;
}

/* --- rows ------------------------------------------------------------------------------------------------
 */

static err_t
on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct gather *g = arg;

	err_clear(&g->why);
	if (g->parts.sources != NULL)
		sources_enter_rows(g->parts.sources, ev, t);
	g->row_action = ev->u.rows.action;
	g->row_table = t;
	return rowkeys_take(g->rowkeys, ev, t, &g->why);
}

/* DDL gives tables other columns. */
static err_t
on_query(void *arg, const struct binlog_event *ev)
{
	struct gather *g = arg;

	if (g->parts.schema == NULL)
		return ERR_OK;
	err_clear(&g->why);
	return schema_statement(g->parts.schema, &g->pos, &g->gtid, ev, &g->why);
}

/* Changes that come as rows say so with their rows; these came as a statement only. */
static err_t
on_without_rows(void *arg, struct span sql)
{
	static const char *const changes[] = {"insert", "update", "delete", "replace", "load", "with"};
	struct gather *g = arg;

	sql = span_trim(sql);
	while (span_starts(sql, SPAN_LIT("/*")) && span_find(sql, SPAN_LIT("*/")) >= 0)
		sql = span_trim(span_from(sql, (size_t)span_find(sql, SPAN_LIT("*/")) + 2));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		if (!span_ieq(span_first(sql, strlen(changes[i])), span_of(changes[i])))
			continue;
		metric_bump(&g->parts.metrics->rule_blind, 1);
		log_warn(g->parts.log,
			 "a change came in statement format, which no rule can see; set binlog_format=ROW in "
			 "every "
			 "session",
			 F_SPAN("statement", span_first(sql, 80)),
			 F_STR("file", g->file != NULL ? g->file->text : NULL));
		break;
	}
	return ERR_OK;
}

/* --- savepoints ------------------------------------------------------------------------------------------
 */

static size_t
find_savepoint(const struct gather *g, struct span name)
{
	for (size_t i = g->nsavepoints; i > 0; i--) {
		if (span_ieq(span_of(g->savepoints[i - 1].name), name))
			return i;
	}
	return 0;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	struct gather *g = arg;
	size_t old = find_savepoint(g, name);

	/* Setting a name again forgets where it stood before. */
	if (old > 0) {
		free(g->savepoints[old - 1].name);
		memmove(&g->savepoints[old - 1], &g->savepoints[old],
			(g->nsavepoints - old) * sizeof(*g->savepoints));
		g->nsavepoints--;
	}
	if (g->nsavepoints == SAVEPOINTS) {
		free(g->savepoints[0].name);
		memmove(&g->savepoints[0], &g->savepoints[1], (SAVEPOINTS - 1) * sizeof(*g->savepoints));
		g->nsavepoints--;
	}
	if (g->nsavepoints == g->cap_savepoints) {
		g->cap_savepoints = g->cap_savepoints > 0 ? g->cap_savepoints * 2 : 8;
		g->savepoints = mem_realloc(g->savepoints, g->cap_savepoints * sizeof(*g->savepoints));
	}
	g->savepoints[g->nsavepoints++] = (struct savepoint){
	    .name = span_dup(name),
	    .mark = keyset_mark(g->keys),
	    .sources = g->parts.sources != NULL ? sources_mark(g->parts.sources) : 0,
	};
	return ERR_OK;
}

static err_t
on_rollback_to(void *arg, struct span name)
{
	struct gather *g = arg;
	size_t at = find_savepoint(g, name);
	struct err_detail why = {0};
	uint64_t before = keyset_count(g->keys);

	if (at == 0) {
		metric_bump(&g->parts.metrics->savepoint_lost, 1);
		return ERR_OK;
	}
	forget_savepoints(g, at);
	if (keyset_rollback(g->keys, g->savepoints[at - 1].mark, &why) != ERR_OK) {
		/* Keeping keys is always safe. */
		metric_bump(&g->parts.metrics->savepoint_lost, 1);
		log_warn(g->parts.log, "kept the keys of a rolled-back savepoint",
			 F_STR("reason", err_why(&why)));
		return ERR_OK;
	}
	if (g->parts.sources != NULL)
		sources_rollback(g->parts.sources, g->savepoints[at - 1].sources);
	metric_bump(&g->parts.metrics->key_rolled_back, before - keyset_count(g->keys));
	return ERR_OK;
}

/* --- ends ------------------------------------------------------------------------------------------------
 */

static void
enter_file(struct gather *g, struct span file)
{
	if (file.len == 0 || (g->file != NULL && span_is(file, g->file->text)))
		return;
	place_name_release(&g->file);
	g->file = place_name_create(file);
}

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct gather *g = arg;

	forget_transaction(g);
	g->gtid = b->gtid;
	if (g->parts.sources != NULL)
		sources_clear(g->parts.sources);
	return ERR_OK;
}

/* Emits an end with the keys that there are, and begins anew. */
static err_t
emit_end(struct gather *g, const struct txn_end *e)
{
	static const enum queue_kind kinds[] = {
	    [TXN_ORDINARY] = QUEUE_COMMIT,
	    [TXN_PREPARED] = QUEUE_PREPARED,
	    [TXN_XA_COMMIT] = QUEUE_XA_COMMIT,
	    [TXN_XA_ROLLBACK] = QUEUE_XA_ROLLBACK,
	};
	struct queue_item *it = blank_item(g);

	if (e->kind == TXN_XA_COMMIT || e->kind == TXN_XA_ROLLBACK)
		gather_take_since(g, &g->pos);
	it->kind = kinds[e->kind];
	if (e->kind != TXN_ORDINARY) {
		it->xid = MEM_NEW(struct xid);
		*it->xid = *e->xid;
		it->cannot_be_undone = e->cannot_be_undone;
	}
	it->gtid = e->gtid;
	it->file = place_name_acquire(g->file);
	it->pos = e->place.pos;
	it->ticket = e->ticket;
	it->commit_us = e->commit_us;
	it->seen_us = clock_real_us(g->parts.clock);
	it->holdoff_ms = g->holdoff_ms;
	it->pool = g->pool.len > 0 ? span_dup(buf_span(&g->pool)) : NULL;
	it->origin = g->origin.len > 0 ? span_dup(origin_text(&g->origin)) : NULL;
	keyset_take(g->keys, &it->keys);
	forget_transaction(g);
	if (!g->parts.emit(g->parts.arg, it) || !take_offer(g, &e->gtid))
		return ERR_CLOSED;
	CRASH_POINT("squeal.queued");
	return ERR_OK;
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct gather *g = arg;

	CRASH_POINT("squeal.commit");
	enter_file(g, e->place.file);
	position_advance(&g->pos, &e->gtid, e->place.file, e->place.pos);
	if (g->parts.gate != NULL)
		gate_note(g->parts.gate,
			  &(struct gate_mark){e->place.file, e->place.pos, e->ticket, e->gtid});
	if (e->no_text && !g->parts.markers->rules_only)
		log_warn(
		    g->parts.log,
		    "rows were changed without the statement's text, so its keys are not known; set "
		    "binlog_annotate_row_events=ON (MySQL: binlog_rows_query_log_events=ON) in every session",
		    F_SPAN("file", e->place.file), F_UINT("pos", e->place.pos));
	if (keyset_count(g->keys) == 0 && !g->parts.each && e->kind == TXN_ORDINARY) {
		metric_bump(&g->parts.metrics->txn_without_keys, 1);
		forget_transaction(g);
		if (!take_offer(g, &e->gtid))
			return ERR_CLOSED;
		return ++g->moves < MOVES || emit_position(g) ? ERR_OK : ERR_CLOSED;
	}
	if (e->kind == TXN_ORDINARY)
		metric_bump(keyset_count(g->keys) > 0 ? &g->parts.metrics->txn_with_keys
						      : &g->parts.metrics->txn_without_keys,
			    1);
	if (e->rolled_back)
		metric_bump(&g->parts.metrics->txn_kept_at_rollback, 1);
	return emit_end(g, e);
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	struct gather *g = arg;

	enter_file(g, e->place.file);
	metric_bump(&g->parts.metrics->key_rolled_back, keyset_count(g->keys));
	forget_transaction(g);
	/* The server may give the same GTID to another transaction: resuming behind it would skip that one.
	 */
	if (e->torn)
		return ERR_OK;
	position_advance(&g->pos, &e->gtid, e->place.file, e->place.pos);
	if (g->parts.gate != NULL)
		gate_note(g->parts.gate,
			  &(struct gate_mark){e->place.file, e->place.pos, e->ticket, e->gtid});
	if (e->kind == TXN_XA_ROLLBACK)
		return emit_end(g, e);
	return ++g->moves < MOVES || emit_position(g) ? ERR_OK : ERR_CLOSED;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	struct gather *g = arg;

	enter_file(g, place->file);
	/* A checkpoint that stayed in an old file would be lost with it. */
	if (g->pos.kind == POSITION_FILE) {
		position_move(&g->pos, place->file, place->pos);
		g->moves++;
	}
	return ERR_OK;
}

const struct txn_ops gather_ops = {
    .begin = on_begin,
    .statement = on_statement,
    .savepoint = on_savepoint,
    .rollback_to = on_rollback_to,
    .commit = on_commit,
    .rollback = on_rollback,
    .moved = on_moved,
};

const struct txn_ops gather_row_ops = {
    .begin = on_begin,
    .statement = on_statement,
    .savepoint = on_savepoint,
    .rollback_to = on_rollback_to,
    .commit = on_commit,
    .rollback = on_rollback,
    .moved = on_moved,
    .rows = on_rows,
    .without_rows = on_without_rows,
    .query = on_query,
};
