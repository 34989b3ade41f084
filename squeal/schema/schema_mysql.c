#include "squeal/schema/schema_mysql.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/pause.h"

enum { PAUSE_MS = 20 };

struct schema_mysql {
	const struct source *source;
	struct conn *conn;
	struct buf sql;
	struct buf text;
	bool is_mariadb;
	_Atomic bool interrupted;
};

struct schema_mysql *
schema_mysql_create(const struct source_options *opt, const struct source *source)
{
	struct schema_mysql *m = MEM_NEW(struct schema_mysql);

	m->source = source;
	m->conn = conn_create(opt);
	return m;
}

void
schema_mysql_destroy(struct schema_mysql **m)
{
	if (*m == NULL)
		return;
	conn_destroy(&(*m)->conn);
	buf_fini(&(*m)->sql);
	buf_fini(&(*m)->text);
	free(*m);
	*m = NULL;
}

static bool
mysql_pause(void *arg)
{
	struct schema_mysql *m = arg;

	pause_ms(&m->interrupted, PAUSE_MS);
	return !atomic_load(&m->interrupted);
}

static void
mysql_interrupt(void *arg)
{
	struct schema_mysql *m = arg;

	atomic_store(&m->interrupted, true);
	conn_interrupt(m->conn);
}

/* A plain text for SQL; backslashes escape, since sql_mode is empty. */
static void
put_text(struct buf *out, struct span s)
{
	buf_putc(out, '\'');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\'' || s.p[i] == '\\')
			buf_putc(out, s.p[i]);
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '\'');
}

static void
put_identifier(struct buf *out, struct span s)
{
	buf_putc(out, '`');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '`')
			buf_putc(out, '`');
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '`');
}

static err_t
connect_to(struct schema_mysql *m, struct err_detail *why)
{
	struct err_detail ignored = {0};
	const struct endpoint *streams = m->source->info.endpoint;
	err_t err = streams != NULL ? conn_open_at(m->conn, streams, why) : conn_open(m->conn, why);

	if (err != ERR_OK)
		return err;
	m->is_mariadb = conn_flavour(m->conn) == CONN_MARIADB;
	err = conn_do(m->conn, "SET SESSION sql_mode='', lock_wait_timeout=10", why);
	/* Primary keys that MySQL makes up are in the binlog whether they are shown or not.  Servers before
	 * 8.0.30 do not know the variable. */
	if (err == ERR_OK && !m->is_mariadb &&
	    conn_do(m->conn, "SET SESSION show_gipk_in_create_table_and_information_schema=ON", &ignored) !=
		ERR_OK)
		err_clear(&ignored);
	return err;
}

/* --- where its binlog is -------------------------------------------------------------------------------- */

static void
take_status(void *arg, const struct span *v, unsigned n)
{
	struct buf *out = arg;

	buf_clear(out);
	if (n >= 2)
		buf_printf(out, "file:%.*s:%.*s", SPAN_FMT(v[0]), SPAN_FMT(v[1]));
}

static err_t
read_place(struct schema_mysql *m, enum position_kind kind, struct position *out, struct err_detail *why)
{
	struct err_detail first = {0};
	err_t err;

	buf_clear(&m->text);
	if (kind == POSITION_FILE) {
		/* Each of the two is unknown to some server. */
		err = conn_ask(m->conn, "SHOW BINARY LOG STATUS", take_status, &m->text, &first);
		if (err == ERR_PROTOCOL)
			err = conn_ask(m->conn, "SHOW MASTER STATUS", take_status, &m->text, why);
		else if (err != ERR_OK)
			err_set(why, err, "%s", err_why(&first));
	} else {
		buf_put_str(&m->text, "gtid:");
		err = conn_value(m->conn,
				 m->is_mariadb ? "SELECT @@global.gtid_binlog_pos"
					       : "SELECT @@global.gtid_executed",
				 &m->text, why);
	}
	if (err == ERR_OK)
		err = position_parse(buf_span(&m->text), out, why);
	return err;
}

/* --- the table ------------------------------------------------------------------------------------------ */

static void
take_nothing(void *arg, const struct span *v, unsigned n)
{
	(void)arg;
	(void)v;
	(void)n;
}

static err_t
explain_privilege(struct schema_mysql *m, struct span db, struct span table, struct err_detail *why)
{
	err_clear(why);
	buf_clear(&m->text);
	put_identifier(&m->text, db);
	return err_set(
	    why, ERR_PRIVILEGE,
	    "the binlog has no column names (binlog_row_metadata is not FULL), and the account %s may not "
	    "see the columns of %.*s.%.*s: run GRANT REFERENCES ON %s.* TO %s, which shows columns and no "
	    "rows, or SET GLOBAL binlog_row_metadata=FULL",
	    conn_account(m->conn), SPAN_FMT(span_first(db, 64)), SPAN_FMT(span_first(table, 64)),
	    buf_str(&m->text), conn_account(m->conn));
}

/* Waits until no DDL of the table is between its binlog event and its end.  ERR_NOT_FOUND: no such table. */
static err_t
wait_for_ddl(struct schema_mysql *m, struct span db, struct span table, struct err_detail *why)
{
	struct err_detail said = {0};
	err_t err;

	buf_clear(&m->sql);
	buf_put_str(&m->sql, "SHOW CREATE TABLE ");
	put_identifier(&m->sql, db);
	buf_putc(&m->sql, '.');
	put_identifier(&m->sql, table);
	err = conn_ask(m->conn, buf_str(&m->sql), take_nothing, NULL, &said);
	if (err == ERR_PRIVILEGE)
		return explain_privilege(m, db, table, why);
	/* What the server answers in words only, such as that it has no such table. */
	if (err == ERR_PROTOCOL)
		return ERR_NOT_FOUND;
	return err == ERR_OK ? ERR_OK : err_set(why, err, "%s", err_why(&said));
}

static void
put_where(struct buf *out, struct span db, struct span table)
{
	buf_put_str(out, " WHERE TABLE_SCHEMA=");
	put_text(out, db);
	buf_put_str(out, " AND TABLE_NAME=");
	put_text(out, table);
}

static err_t
ask_value(struct schema_mysql *m, const char *select, struct span db, struct span table, const char *more,
	  struct err_detail *why)
{
	buf_clear(&m->sql);
	buf_put_str(&m->sql, select);
	put_where(&m->sql, db, table);
	buf_put_str(&m->sql, more);
	buf_clear(&m->text);
	return conn_value(m->conn, buf_str(&m->sql), &m->text, why);
}

struct columns {
	struct schema_def *def;
	uint64_t last; /* ordinal position */
	bool has_hole;
};

static void
take_column(void *arg, const struct span *v, unsigned n)
{
	struct columns *c = arg;
	uint64_t octets = 0, position = 0;

	if (n < 5)
		return;
	span_u64(v[2], &octets);
	span_u64(v[4], &position);
	c->has_hole = c->has_hole || position != c->last + 1;
	c->last = position;
	schema_def_add(c->def, v[0], v[1], octets, v[3]);
}

/* Columns that a table has and information_schema never shows. */
static err_t
count_hidden(struct schema_mysql *m, struct span db, struct span table, bool versioned, uint32_t *out,
	     struct err_detail *why)
{
	uint64_t hashes = 0;
	err_t err;

	*out = 0;
	if (!m->is_mariadb)
		return ERR_OK;
	err = ask_value(m, "SELECT COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS", db, table,
			" AND INDEX_TYPE='HASH' AND NON_UNIQUE=0", why);
	if (err == ERR_OK)
		span_u64(buf_span(&m->text), &hashes);
	*out = (versioned ? 2 : 0) + (uint32_t)hashes;
	return err;
}

static err_t
read_table(struct schema_mysql *m, struct span db, struct span table, struct schema_def **out,
	   struct err_detail *why)
{
	struct columns columns = {.def = NULL};
	uint32_t hidden;
	err_t err;

	err = ask_value(m, "SELECT TABLE_TYPE FROM information_schema.TABLES", db, table, "", why);
	if (err != ERR_OK)
		return err;
	/* Nothing, or a view that has taken its name: views have no rows in the binlog. */
	if (m->text.len == 0 || span_find(buf_span(&m->text), SPAN_LIT("VIEW")) >= 0)
		return ERR_OK;
	err = count_hidden(m, db, table, span_is(buf_span(&m->text), "SYSTEM VERSIONED"), &hidden, why);
	if (err != ERR_OK)
		return err;
	columns.def = schema_def_create();
	buf_clear(&m->sql);
	buf_put_str(&m->sql, "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_OCTET_LENGTH, COLLATION_NAME, "
			     "ORDINAL_POSITION FROM information_schema.COLUMNS");
	put_where(&m->sql, db, table);
	buf_put_str(&m->sql, " ORDER BY ORDINAL_POSITION");
	err = conn_ask(m->conn, buf_str(&m->sql), take_column, &columns, why);
	if (err == ERR_OK && (columns.last == 0 || columns.has_hole))
		err = explain_privilege(m, db, table, why);
	if (err == ERR_OK) {
		schema_def_hide(columns.def, hidden);
		*out = columns.def;
		columns.def = NULL;
	}
	schema_def_destroy(&columns.def);
	return err;
}

/* Whether nothing, or a view, is called so.  A table that can be seen and not be opened is ERR_BUSY. */
static err_t
check_missing(struct schema_mysql *m, struct span db, struct span table, struct err_detail *why)
{
	err_t err = ask_value(m, "SELECT TABLE_TYPE FROM information_schema.TABLES", db, table, "", why);

	if (err == ERR_OK && m->text.len > 0 && span_find(buf_span(&m->text), SPAN_LIT("VIEW")) < 0)
		err = err_set(why, ERR_BUSY, "the server does not let us look at table %.*s.%.*s yet",
			      SPAN_FMT(span_first(db, 64)), SPAN_FMT(span_first(table, 64)));
	return err;
}

static err_t
ask_once(struct schema_mysql *m, enum position_kind kind, struct span db, struct span table,
	 struct position *before, struct schema_def **def, struct position *after, struct err_detail *why)
{
	err_t err = read_place(m, kind, before, why);

	if (err == ERR_OK)
		err = wait_for_ddl(m, db, table, why);
	if (err == ERR_OK)
		err = read_table(m, db, table, def, why);
	if (err == ERR_OK)
		err = wait_for_ddl(m, db, table, why);
	if (err == ERR_NOT_FOUND) {
		schema_def_destroy(def);
		err = check_missing(m, db, table, why);
	}
	return err == ERR_OK ? read_place(m, kind, after, why) : err;
}

static err_t
mysql_ask(void *arg, enum position_kind kind, struct span db, struct span table, struct position *before,
	  struct schema_def **def, struct position *after, struct err_detail *why)
{
	struct schema_mysql *m = arg;
	const struct endpoint *streams = m->source->info.endpoint;
	bool was_open = conn_is_open(m->conn);
	err_t err = ERR_OK;

	*def = NULL;
	if (was_open && streams != NULL && !endpoint_same(conn_endpoint(m->conn), streams)) {
		conn_close(m->conn);
		was_open = false;
	}
	if (!was_open)
		err = connect_to(m, why);
	if (err == ERR_OK)
		err = ask_once(m, kind, db, table, before, def, after, why);
	if (err == ERR_CONN && was_open && !atomic_load(&m->interrupted)) {
		/* It was not used for long, and the server has closed it. */
		schema_def_destroy(def);
		conn_close(m->conn);
		err_clear(why);
		err = connect_to(m, why);
		if (err == ERR_OK)
			err = ask_once(m, kind, db, table, before, def, after, why);
	}
	if (err != ERR_OK) {
		schema_def_destroy(def);
		conn_close(m->conn);
	}
	return atomic_load(&m->interrupted) ? ERR_CLOSED : err;
}

const struct schema_ops schema_mysql_ops = {
    .ask = mysql_ask,
    .pause = mysql_pause,
    .interrupt = mysql_interrupt,
};
