/*
 * rowkeys - keys of row changes: applies the rules to row events.
 *
 * Keeps, for each version of a table, what the rules say about it, and decodes only the columns that a key
 * needs.  Columns that have no names in the binlog get them from schema.h.  A key that cannot be known (a
 * column that the binlog does not hold, or whose name nobody knows) is ERR_KEYS_UNKNOWN: it is invalid in the
 * caches now, and nobody can say which it was.
 *
 * Threads: the reading thread; the rules may be replaced from another one.   Blocks: as schema_name() does.
 * Clock: none.
 */
#ifndef SQUEAL_ROWKEYS_H
#define SQUEAL_ROWKEYS_H

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "markers/rule.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/table.h"
#include "squeal/schema/schema.h"

struct rowkeys; /* opaque */

/* All borrowed; `log` may be NULL. */
struct rowkeys_parts {
	struct rule_live *rules;
	struct rule_metrics *metrics;
	struct log *log;
	struct schema *schema;	   /* names for tables that come without; NULL: their names are not known */
	const struct position *at; /* with `schema`: the place behind the last whole transaction */
	size_t max_event;	   /* bounds rows after decompression */
	/* Takes a key, valid during the call.  An error ends rowkeys_take(). */
	err_t (*key)(void *arg, struct span key, const struct rule_group *group);
	void *arg;
};

struct rowkeys *rowkeys_create(const struct rowkeys_parts *parts);
void rowkeys_destroy(struct rowkeys **k); /* NULL is fine */

/* Hands over the keys of a row event of table `t`.  ERR_KEYS_UNKNOWN, or what schema_name(), rows_open(),
 * rows_next() or key() said. */
err_t rowkeys_take(struct rowkeys *k, const struct binlog_event *ev, const struct table *t,
		   struct err_detail *why) MUST_CHECK;

#endif
