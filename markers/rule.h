/*
 * rule - cache keys of row changes: the rules that speak about a table, applied to its rows.
 *
 *      TABLE_MAP ──▶ rule_table_match() ──▶ struct rule_table          once per version of a table
 *      row ────────▶ rule_apply() ──asks──▶ get(image, column)         for each row
 *                         └────────────────▶ key(), issue()
 *
 * Knows nothing of binlogs: names come in as spans, values are asked for one by one and only when a key needs
 * them.
 *
 * Images.  In an update, {column} gives one key of the row as it was and one of the row as it is (`image` of
 * the rule narrows that); two equal keys are handed out once.  An insert has a new row only, a delete an old
 * one only, whatever `image` says.  Templates with {old.column} say nothing about inserts, those with
 * {new.column} nothing about deletes.
 *
 * Columns that are not in an image (binlog_row_image MINIMAL or NOBLOB): an update leaves a key column out of
 * the new row only when it did not touch it, so the old row's value stands in.  Nothing stands in for the old
 * row's: its key cannot be known.  For `when_changed` a column that either row does not hold may have
 * changed. Not so where a REPLACE sets a key column back to a default other than AUTO_INCREMENT, and with
 * virtual columns: a get() that knows of these answers RULE_NO_TEXT where the new row does not hold them.
 *
 * Promises: nothing is dropped without a count and an issue (NULL, which is meant, is only counted); what one
 * key cannot do costs no other key; every key that is handed out is valid by key.h.  rule_counts_lost() tells
 * of keys that are invalid in caches now, and whose names nobody can know: a gap.
 *
 * Threads: a table does not change, so any; `counts` and `scratch` are the caller's.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_RULE_H
#define SQUEAL_MARKERS_RULE_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/metric.h"
#include "markers/rule_set.h"

/*
 * What can be wrong.  ERR_GAP: keys that should have been deleted are not known.  ERR_BAD_KEY: this one key
 * is not delivered, and memcached cannot hold it either.  ERR_CONFIG: more is delivered than was meant.
 */
/* clang-format off */
/*    name                    error        label             text                                                 */
#define RULE_REASONS(X)                                                                                            \
	X(RULE_NO_COLUMN,         ERR_GAP,     "no_column",      "the table has no such column: correct the rule, or narrow its table pattern") \
	X(RULE_NO_NAMES,          ERR_GAP,     "no_names",       "the names of the table's columns are not known: set binlog_row_metadata=FULL on the source") \
	X(RULE_NO_CHANGE_COLUMN,  ERR_CONFIG,  "no_change_column", "the table has no such column in when_changed, so every update counts as a change: correct the rule") \
	X(RULE_ABSENT,            ERR_GAP,     "absent",         "the binlog does not hold the column's value: set binlog_row_image=FULL on the source, or make the key of primary key columns") \
	X(RULE_UNREADABLE,        ERR_GAP,     "unreadable",     "the column's value cannot be turned into text: make the key of another column") \
	X(RULE_KEY_EMPTY,         ERR_BAD_KEY, "key_empty",      "empty key: put some text around the value")              \
	X(RULE_KEY_LONG,          ERR_BAD_KEY, "key_long",       "key of more than 250 bytes: make it of a shorter column") \
	X(RULE_KEY_CONTROL,       ERR_BAD_KEY, "key_control",    "key with a space or control character: add |url to the value, and to the key in the application")
/* clang-format on */

enum rule_reason {
#define RULE_ENUM(name, err, label, text) name,
	RULE_REASONS(RULE_ENUM)
#undef RULE_ENUM
	    RULE_NREASONS
};

/* The columns of RULE_REASONS. */
const char *rule_reason_label(enum rule_reason reason);
const char *rule_reason_text(enum rule_reason reason);
err_t rule_reason_err(enum rule_reason reason);

/* Names and templates live as long as the set, the rest during the call. */
struct rule_issue {
	enum rule_reason reason;
	struct span rule;     /* its name */
	struct span template; /* empty for RULE_NO_CHANGE_COLUMN */
	struct span column;   /* empty for RULE_KEY_* */
	struct span excerpt;  /* of the key; RULE_KEY_* only: any byte, so escape it */
};

/* What goes with a key; lives as long as the set. */
struct rule_group {
	struct span pool;     /* empty for none */
	uint32_t holdoff_ms;  /* 0 for none */
	struct span rule;     /* its name */
	struct span template; /* of the key, as it stands in the file */
};

struct rule_ops {
	/* `key` is valid during the call.  An error ends rule_apply(). */
	err_t (*key)(void *arg, struct span key, const struct rule_group *group);
	void (*issue)(void *arg, const struct rule_issue *issue);
};

/* Added to, never reset, by the functions below. */
struct rule_counts {
	uint64_t rows;	     /* that at least one rule spoke about */
	uint64_t keys;	     /* handed out */
	uint64_t nulls;	     /* keys not made because a value was NULL */
	uint64_t absent;     /* keys not made because a value was not in the binlog */
	uint64_t unreadable; /* ... or could not be turned into text */
	uint64_t no_column;  /* ... or its column is not known */
	uint64_t bad_keys;   /* made, but not valid */
};

/* Keys that nobody can name. */
static inline uint64_t
rule_counts_lost(const struct rule_counts *c)
{
	return c->absent + c->unreadable + c->no_column;
}

/* clang-format off */
/*	  name             kind     unit    help */
#define RULE_METRICS(M)                                                                                            \
	M(rule_row,        COUNTER, "rows", "row changes that at least one rule spoke about")                      \
	M(rule_key,        COUNTER, "keys", "keys made by rules")                                                  \
	M(rule_null,       COUNTER, "keys", "keys not made because a column was NULL")                             \
	M(rule_absent,     COUNTER, "keys", "keys that cannot be known because the binlog does not hold a column's value") \
	M(rule_unreadable, COUNTER, "keys", "keys that cannot be known because a column's value has no text")      \
	M(rule_no_column,  COUNTER, "keys", "keys that cannot be known because a rule names a column that the table does not have, or whose name is not known") \
	M(rule_key_bad,    COUNTER, "keys", "keys made by rules that are not valid cache keys; not delivered")
/* clang-format on */

struct rule_metrics {
	METRIC_FIELDS(RULE_METRICS)
};
extern const struct metric_row rule_metric_rows[];
extern const size_t rule_metric_nrows;

/* Adds `c` to the metrics and sets it to zero. */
void rule_counts_flush(struct rule_counts *c, struct rule_metrics *m);

struct rule_table; /* opaque: what the rules say about one version of one table */

/*
 * NULL: no rule speaks about this table.  `names` (`n` of them, in the table's order) may be NULL when they
 * are not known; then keys that need columns cannot be made, see rule_set_needs_names().  Each column that is
 * missing is reported once, here; rows that lose keys by it are counted by rule_apply().  Nothing is kept but
 * a reference to `set`.  The caller destroys it.
 */
struct rule_table *rule_table_match(struct rule_set *set, struct span db, struct span table,
				    const struct span *names, size_t n, const struct rule_ops *ops,
				    void *arg);
void rule_table_destroy(struct rule_table **t);

/* The set that it was made of; a caller that has another one now makes the table again. */
const struct rule_set *rule_table_set(const struct rule_table *t);

/* The changes (of RULES_*) that some rule is about; rows of others need not be decoded. */
unsigned rule_table_on(const struct rule_table *t);

/*
 * Bit c % 64 of word c / 64: column c of this image may be asked for in a change `op` (one of RULES_*). NULL:
 * none is. *nwords words.
 */
const uint64_t *rule_table_columns(const struct rule_table *t, unsigned op, enum rule_image image,
				   size_t *nwords);

enum rule_value {
	RULE_TEXT,	/* *text is set */
	RULE_NULL,	/* SQL NULL */
	RULE_NOT_THERE, /* the image does not hold the column */
	RULE_NO_TEXT,	/* it holds something that cannot be read as text */
};

/* One changed row. */
struct rule_row {
	unsigned op; /* one of RULES_* */
	/* The value of a column; *text is valid until the next call.  Asked for RULE_BEFORE in updates and
	 * deletes, for RULE_AFTER in updates and inserts only. */
	enum rule_value (*get)(void *arg, enum rule_image image, size_t column, struct span *text);
	void *arg;
	struct buf *scratch; /* for comparing; keep it from row to row */
};

/* Hands the keys of the row to `ops`.  Returns ERR_OK or what key() returned. */
err_t rule_apply(const struct rule_table *t, const struct rule_row *row, const struct rule_ops *ops,
		 void *arg, struct rule_counts *counts) MUST_CHECK;

#endif
