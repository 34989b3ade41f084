#include "squeal/binlog/txn.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/verb.h"

struct txn {
	const struct txn_ops *ops;
	void *arg;
	struct binlog_metrics *metrics;
	uint64_t ticket;

	bool open;
	bool has_begin; /* ends with COMMIT, ROLLBACK, XID or XA_PREPARE; otherwise with its only statement */
	bool is_loose;	/* row changes outside of any group: ends with the statement's last event */
	bool can_be_undone; /* the source vouches for it */
	bool has_statement;
	bool has_rows;
	bool has_text;
	bool rows_have_text; /* of the statement whose rows come now */
	bool rows_are_counted;
	struct gtid gtid;
	uint64_t commit_us;
	struct tables *tables; /* NULL when nobody asks for rows */
};

static void
bump(metric_t *m)
{
	metric_set(m, metric_get(m) + 1);
}

struct txn *
txn_create(const struct txn_ops *ops, void *arg, struct binlog_metrics *metrics)
{
	struct txn *t = MEM_NEW(struct txn);

	t->ops = ops;
	t->arg = arg;
	t->metrics = metrics;
	if (ops->table != NULL || ops->rows != NULL)
		t->tables = tables_create();
	return t;
}

void
txn_destroy(struct txn **t)
{
	if (*t != NULL)
		tables_destroy(&(*t)->tables);
	free(*t);
	*t = NULL;
}

void
txn_reset(struct txn *t)
{
	t->open = false;
	if (t->tables != NULL)
		tables_clear(t->tables);
	t->ticket = ((t->ticket >> TXN_TICKET_BITS) + 1) << TXN_TICKET_BITS;
}

bool
txn_is_open(const struct txn *t)
{
	return t->open;
}

/* --- groups -----------------------------------------------------------------------------------------------
 */

static struct txn_place
place_of(const struct binlog_event *ev)
{
	return (struct txn_place){.file = ev->file, .pos = ev->end};
}

static void
saw_time(struct txn *t, const struct binlog_event *ev)
{
	uint64_t us = (uint64_t)ev->timestamp * 1000000;

	if (ev->kind == BINLOG_QUERY && ev->u.query.micros < 1000000)
		us += ev->u.query.micros;
	if (us > t->commit_us)
		t->commit_us = us;
}

static err_t
begin(struct txn *t, const struct binlog_event *ev, const struct gtid *gtid)
{
	struct txn_begin b = {.gtid = *gtid};

	t->open = true;
	t->has_begin = false;
	t->is_loose = false;
	t->can_be_undone = false;
	t->has_statement = false;
	t->has_rows = false;
	t->has_text = false;
	t->rows_have_text = false;
	t->rows_are_counted = false;
	t->gtid = *gtid;
	if (gtid->kind != GTID_MARIADB)
		t->ticket++;
	t->commit_us = 0;
	if (ev->kind == BINLOG_GTID && ev->u.gtid.commit_us > 0)
		t->commit_us = ev->u.gtid.commit_us;
	else
		saw_time(t, ev);
	b.at_us = t->commit_us;
	return t->ops->begin(t->arg, &b);
}

static void
end(struct txn *t, const struct binlog_event *ev, struct txn_end *e)
{
	e->gtid = t->gtid;
	e->place = place_of(ev);
	e->ticket = t->ticket;
	/* What MySQL says in its GTID event is exact; the other times are when statements began. */
	if (t->gtid.kind != GTID_MYSQL || t->commit_us % 1000000 == 0)
		saw_time(t, ev);
	e->commit_us = t->commit_us;
	e->no_text = t->has_rows && !t->has_text;
	t->open = false;
}

static err_t
finish(struct txn *t, const struct binlog_event *ev, bool rolled_back)
{
	struct txn_end e = {.rolled_back = rolled_back};

	end(t, ev, &e);
	if (rolled_back && t->can_be_undone) {
		bump(&t->metrics->binlog_txn_rolled_back);
		return t->ops->rollback(t->arg, &e);
	}
	if (e.no_text)
		bump(&t->metrics->binlog_txn_no_text);
	bump(&t->metrics->binlog_txn);
	return t->ops->commit(t->arg, &e);
}

static err_t
finish_prepared(struct txn *t, const struct binlog_event *ev, const struct xid *xid)
{
	struct txn_end e = {
	    .kind = TXN_PREPARED,
	    .xid = xid,
	    .cannot_be_undone = t->gtid.kind == GTID_MARIADB && !t->can_be_undone,
	};

	end(t, ev, &e);
	if (e.no_text)
		bump(&t->metrics->binlog_txn_no_text);
	bump(&t->metrics->binlog_xa_prepared);
	return t->ops->commit(t->arg, &e);
}

/* The server crashed while it wrote the group, and undid it when it came up again. */
static err_t
torn(struct txn *t, const struct binlog_event *ev)
{
	struct txn_end e = {
	    .gtid = t->gtid,
	    .place = {.file = {"", 0}},
	    .commit_us = t->commit_us,
	    .rolled_back = true,
	    .torn = true,
	    .ticket = t->ticket,
	};

	if (!t->open)
		return ERR_OK;
	t->open = false;
	bump(&t->metrics->binlog_txn_torn);
	return t->ops->rollback(t->arg, &e);
}

static err_t
on_gtid(struct txn *t, const struct binlog_event *ev)
{
	bool mariadb = ev->type == BINLOG_TYPE_MARIADB_GTID;
	uint8_t flags = ev->u.gtid.flags;
	bool alone = mariadb && flags & BINLOG_GTID_STANDALONE;
	err_t err;

	err = torn(t, ev);
	if (err != ERR_OK)
		return err;
	/* What goes through the server's group commit: all but what is written to the binlog directly. */
	if (mariadb && (!alone || flags & BINLOG_GTID_COMPLETED_XA))
		t->ticket++;
	err = begin(t, ev, &ev->u.gtid.id);
	t->has_begin = mariadb && !alone;
	t->can_be_undone = mariadb && flags & BINLOG_GTID_TRANSACTIONAL;
	return err;
}

static err_t
on_statement(struct txn *t, const struct binlog_event *ev)
{
	const struct gtid none = {0};
	err_t err;

	if (!t->open) {
		err = begin(t, ev, &none);
		if (err != ERR_OK)
			return err;
	}
	t->has_statement = true;
	t->has_text = true;
	saw_time(t, ev);
	if (t->ops->query != NULL) {
		err = t->ops->query(t->arg, ev);
		if (err != ERR_OK)
			return err;
	}
	if (t->ops->without_rows != NULL) {
		err = t->ops->without_rows(t->arg, ev->u.query.sql);
		if (err != ERR_OK)
			return err;
	}
	err = t->ops->statement(t->arg, ev->u.query.sql);
	if (err == ERR_OK && !t->has_begin && !t->is_loose)
		err = finish(t, ev, false);
	return err;
}

/* An event that begins a group, or is the first of one that its GTID event has opened already. */
static err_t
begin_here(struct txn *t, const struct binlog_event *ev)
{
	const struct gtid none = {0};
	err_t err = ERR_OK;

	if (t->open && (t->has_begin || t->has_statement || t->has_rows) &&
	    (t->gtid.kind != GTID_MARIADB || t->has_statement || t->has_rows)) {
		err = torn(t, ev);
		if (err != ERR_OK)
			return err;
	}
	return t->open ? ERR_OK : begin(t, ev, &none);
}

static err_t
on_begin(struct txn *t, const struct binlog_event *ev)
{
	err_t err = begin_here(t, ev);

	t->has_begin = true;
	return err;
}

static err_t
bad_xid(const struct binlog_event *ev, struct err_detail *why)
{
	return err_set(why, ERR_BAD_EVENT,
		       "%s event (type %u) before %.*s:%llu names an XA transaction in a way that cannot be "
		       "read; compare with mariadb-binlog, or start behind it",
		       binlog_type_name(ev->type), ev->type, SPAN_FMT(span_first(ev->file, 255)),
		       (unsigned long long)ev->end);
}

static err_t
on_xa_prepare(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	struct xid xid;

	if (!t->open)
		return ERR_OK;
	if (ev->u.xa.one_phase)
		return finish(t, ev, false);
	if (!xid_make(&xid, ev->u.xa.format, ev->u.xa.gtrid, ev->u.xa.bqual))
		return bad_xid(ev, why);
	return finish_prepared(t, ev, &xid);
}

/* XA PREPARE, COMMIT and ROLLBACK as text. */
static err_t
on_xa_text(struct txn *t, const struct binlog_event *ev, enum verb verb, struct span rest,
	   struct err_detail *why)
{
	struct xid xid;
	struct txn_end e = {
	    .kind = verb == VERB_XA_COMMIT ? TXN_XA_COMMIT : TXN_XA_ROLLBACK,
	    .xid = &xid,
	};
	err_t err;

	if (!xid_parse(&xid, &rest))
		return bad_xid(ev, why);
	if (verb == VERB_XA_PREPARE)
		return t->open ? finish_prepared(t, ev, &xid) : ERR_OK;
	if (verb_is_one_phase(rest))
		return t->open ? finish(t, ev, false) : ERR_OK;
	err = begin_here(t, ev);
	if (err != ERR_OK)
		return err;
	end(t, ev, &e);
	if (verb == VERB_XA_COMMIT) {
		bump(&t->metrics->binlog_xa_commit);
		bump(&t->metrics->binlog_txn);
		return t->ops->commit(t->arg, &e);
	}
	bump(&t->metrics->binlog_xa_rollback);
	return t->ops->rollback(t->arg, &e);
}

static err_t
on_query(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	struct span name = {"", 0};
	enum verb verb = verb_of(ev->u.query.sql, &name);

	switch (verb) {
	case VERB_BEGIN:
		return on_begin(t, ev);
	case VERB_COMMIT:
		return t->open ? finish(t, ev, false) : ERR_OK;
	case VERB_ROLLBACK:
		return t->open ? finish(t, ev, true) : ERR_OK;
	case VERB_SAVEPOINT:
		return t->open ? t->ops->savepoint(t->arg, name) : ERR_OK;
	case VERB_ROLLBACK_TO:
		return t->open && t->can_be_undone ? t->ops->rollback_to(t->arg, name) : ERR_OK;
	case VERB_XA_PREPARE:
	case VERB_XA_COMMIT:
	case VERB_XA_ROLLBACK:
		return on_xa_text(t, ev, verb, name, why);
	case VERB_XA_END:
	case VERB_NOTHING:
		return ERR_OK;
	case VERB_STATEMENT:
		break;
	}
	return on_statement(t, ev);
}

/* Row changes may stand outside of any group in files of old servers. */
static err_t
open_loose(struct txn *t, const struct binlog_event *ev)
{
	const struct gtid none = {0};
	err_t err;

	if (t->open)
		return ERR_OK;
	err = begin(t, ev, &none);
	t->is_loose = true;
	return err;
}

static err_t
on_rows_text(struct txn *t, const struct binlog_event *ev)
{
	err_t err = open_loose(t, ev);

	if (err != ERR_OK)
		return err;
	t->has_statement = true;
	t->has_text = true;
	t->rows_have_text = true;
	saw_time(t, ev);
	return t->ops->statement(t->arg, ev->u.text);
}

static err_t
on_table(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	const struct table *table;
	err_t err = open_loose(t, ev);

	if (err != ERR_OK || t->tables == NULL)
		return err;
	err = tables_put(t->tables, ev, &table, why);
	if (err == ERR_OK && t->ops->table != NULL)
		err = t->ops->table(t->arg, table);
	return err;
}

/* An event without table and rows, which only ends its statement. */
static bool
is_dummy(const struct binlog_event *ev)
{
	uint64_t id = ev->u.rows.table_id;

	return ev->u.rows.flags & BINLOG_ROWS_STMT_END &&
	       (id == 0xffffff || id == UINT32_MAX || id == UINT64_C(0xffffffffffff));
}

static err_t
hand_out_rows(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	const struct table *table = tables_find(t->tables, ev->u.rows.table_id);

	if (table != NULL)
		return t->ops->rows(t->arg, ev, table);
	if (is_dummy(ev))
		return ERR_OK;
	return err_set(
	    why, ERR_BAD_EVENT,
	    "%s event (type %u) before %.*s:%llu is of table number %llu, which no TABLE_MAP named; "
	    "compare with mariadb-binlog, or start behind it",
	    binlog_type_name(ev->type), ev->type, SPAN_FMT(span_first(ev->file, 255)),
	    (unsigned long long)ev->end, (unsigned long long)ev->u.rows.table_id);
}

static err_t
on_rows(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	err_t err = open_loose(t, ev);

	if (err != ERR_OK)
		return err;
	t->has_rows = true;
	if (!t->rows_have_text && !t->rows_are_counted) {
		t->rows_are_counted = true;
		bump(&t->metrics->binlog_rows_no_text);
	}
	if (t->ops->rows != NULL) {
		err = hand_out_rows(t, ev, why);
		if (err != ERR_OK)
			return err;
	}
	if (!(ev->u.rows.flags & BINLOG_ROWS_STMT_END))
		return ERR_OK;
	t->rows_have_text = false;
	t->rows_are_counted = false;
	return t->is_loose ? finish(t, ev, false) : ERR_OK;
}

static err_t
on_incident(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	bump(&t->metrics->binlog_incident);
	return err_set(
	    why, ERR_INCIDENT,
	    "the server lost events before %.*s:%llu and says \"%.*s\": what they changed is not known; "
	    "flush the caches, then start behind it",
	    SPAN_FMT(span_first(ev->file, 255)), (unsigned long long)ev->end,
	    SPAN_FMT(span_first(ev->u.text, 200)));
}

err_t
txn_feed(struct txn *t, const struct binlog_event *ev, struct err_detail *why)
{
	struct txn_place at;
	err_t err;

	switch (ev->kind) {
	case BINLOG_TABLE:
		return on_table(t, ev, why);
	case BINLOG_ROWS:
		return on_rows(t, ev, why);
	case BINLOG_QUERY:
		return on_query(t, ev, why);
	case BINLOG_ROWS_TEXT:
		return on_rows_text(t, ev);
	case BINLOG_GTID:
		return on_gtid(t, ev);
	case BINLOG_XID:
		return t->open ? finish(t, ev, false) : ERR_OK;
	case BINLOG_XA_PREPARE:
		return on_xa_prepare(t, ev, why);
	case BINLOG_INCIDENT:
		return on_incident(t, ev, why);
	case BINLOG_ROTATE:
		if (t->tables != NULL)
			tables_clear(t->tables);
		err = torn(t, ev);
		at = place_of(ev);
		return err == ERR_OK ? t->ops->moved(t->arg, &at) : err;
	case BINLOG_FORMAT:
	case BINLOG_STOP:
		/* No group spans two files. */
		if (t->tables != NULL)
			tables_clear(t->tables);
		return torn(t, ev);
	case BINLOG_UNKNOWN:
	case BINLOG_HEARTBEAT:
	case BINLOG_GTID_LIST:
	case BINLOG_GTID_SET:
	case BINLOG_PART:
	case BINLOG_NOTE:
	case BINLOG_PAYLOAD: /* what is inside of it comes by itself */
		return ERR_OK;
	case BINLOG_REFUSED:
		break;
	}
	return err_set(why, ERR_UNKNOWN_EVENT, "%s event (type %u) cannot be read",
		       binlog_type_name(ev->type), ev->type);
}

/* The events inside of a payload. */
static err_t
feed_payload(struct txn *t, struct binlog_decoder *d, struct err_detail *why)
{
	struct binlog_event ev;
	bool more = true;
	err_t err = ERR_OK;

	while (err == ERR_OK && more) {
		err = binlog_next(d, &ev, &more, why);
		if (err == ERR_OK && more)
			err = txn_feed(t, &ev, why);
	}
	return err;
}

err_t
txn_read(struct txn *t, struct binlog_decoder *d, struct span bytes, struct binlog_event *ev,
	 struct err_detail *why)
{
	err_t err = binlog_decode(d, bytes, ev, why);

	if (err == ERR_OK)
		err = txn_feed(t, ev, why);
	if (err == ERR_OK && ev->kind == BINLOG_PAYLOAD)
		err = feed_payload(t, d, why);
	return err;
}
