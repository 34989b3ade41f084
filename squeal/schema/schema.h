/*
 * schema - which columns the tables of row events have, where the binlog does not say it.
 *
 * Asked for a table at a place of the stream.  What it does not know it asks the server for, who tells what
 * is so now (`asked`), while the stream may be older (`at`).  A definition is right for the rows from `at` on
 * until the stream comes to a DDL of the table, and for those rows only if no DDL of the table lies between
 * `at` and `asked`.  That shows when the stream comes to it:
 *
 *      rows read with the definition           v DDL of the table
 *      ├──────────────────────────────────────┼────────┼──────────────▶ stream
 *      at                                     │        asked: the DDL is inside: GAP, the rows from `at` to
 *                                             │        the DDL may have been read with the wrong names
 *                                             asked here: no doubt, the definition ends at the DDL
 *
 * Besides that a definition must agree with each TABLE_MAP in number, types and sizes of columns.  What does
 * not agree is ERR_KEYS_UNKNOWN before a key is made.
 *
 * What is known, and up to where, is in a file beside the log, written before a key is made by it: a restart
 * goes on with the definitions that were right at the checkpoint, and does not forget a doubt.
 *
 * What it cannot see: DDL that is not in the binlog (sql_log_bin=0), where types and sizes stay the same.
 *
 * Threads: the reading thread, but schema_interrupt().   Blocks: on the server and the disk.   Clock: none.
 */
#ifndef SQUEAL_SCHEMA_H
#define SQUEAL_SCHEMA_H

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/position.h"
#include "squeal/binlog/table.h"
#include "squeal/schema/schema_def.h"

/* clang-format off */
/*	  name            kind     unit      help */
#define SCHEMA_METRICS(M)                                                                                          \
	M(schema_fetch,   COUNTER, "tables", "table definitions read from information_schema, because the binlog has no column names") \
	M(schema_dropped, COUNTER, "tables", "table definitions dropped at a DDL statement")                        \
	M(schema_known,   GAUGE,   "tables", "table definitions in use")
/* clang-format on */

struct schema_metrics {
	METRIC_FIELDS(SCHEMA_METRICS)
};
extern const struct metric_row schema_metric_rows[];
extern const size_t schema_metric_nrows;

/* Whom to ask.  Real: schema_mysql.h. */
struct schema_ops {
	/*
	 * *def: the table as it is now, NULL where there is none.  *before: a place that the server's data
	 * had reached before, and *after: one that it had not passed; both of the kind `kind`, where that is
	 * not POSITION_EMPTY.  The caller destroys *def.  ERR_PRIVILEGE, and errors of connections.
	 */
	err_t (*ask)(void *arg, enum position_kind kind, struct span db, struct span table,
		     struct position *before, struct schema_def **def, struct position *after,
		     struct err_detail *why);
	/* A moment until the next try; false: it was interrupted. */
	bool (*pause)(void *arg);
	/* From any thread. */
	void (*interrupt)(void *arg);
};

struct schema_parts {
	const struct schema_ops *ops;
	void *arg;
	struct log *log;  /* may be NULL */
	const char *path; /* the file; NULL: nothing is kept */
	bool resumed;	  /* the stream begins at the log's checkpoint; otherwise the file is emptied */
	struct schema_metrics *metrics;
};

struct schema; /* opaque */

/* All parts are borrowed, but `path`.  ERR_CORRUPT, ERR_IO: of the file. */
err_t schema_open(struct schema **out, const struct schema_parts *parts, struct err_detail *why) MUST_CHECK;
void schema_close(struct schema **s); /* NULL is fine */

/* Makes a blocked call, and every later one that would ask, return ERR_CLOSED soon.  For good.  Any thread.
 */
void schema_interrupt(struct schema *s);

/* The stream begins at `start`; again: it goes on elsewhere than it was, and nothing is known any more. */
void schema_start(struct schema *s, const struct position *start);

/* Changes when a definition may have ended: what schema_name() said must be asked for again. */
uint64_t schema_generation(const struct schema *s);

/*
 * A copy of `t`, a table without names, with names; the caller frees it with schema_table_destroy().  `at` is
 * the place behind the last whole transaction.  ERR_KEYS_UNKNOWN with what to do, ERR_PRIVILEGE, ERR_TIMEOUT,
 * ERR_CLOSED, errors of connections, ERR_IO.
 */
err_t schema_name(struct schema *s, const struct position *at, const struct table *t, struct table **out,
		  struct err_detail *why) MUST_CHECK;

/* A QUERY event of the transaction `gtid` behind `at`.  ERR_KEYS_UNKNOWN when keys that were made may be
 * wrong; ERR_IO. */
err_t schema_statement(struct schema *s, const struct position *at, const struct gtid *gtid,
		       const struct binlog_event *ev, struct err_detail *why) MUST_CHECK;

#endif
