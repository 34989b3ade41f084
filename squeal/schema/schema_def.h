/*
 * schema_def - the columns of a table as information_schema tells them, for row events without names.
 *
 * A TABLE_MAP without binlog_row_metadata=FULL has the types of columns, how many bytes they take, and no
 * names.  A definition adds names, signedness, the texts of ENUM and SET, and which strings are binary.  It
 * is of another moment than the event, so it must agree with what the TABLE_MAP says: schema_def_agrees().
 *
 * Tables may end in columns that no query shows: MariaDB's system versioning and hashes of long unique keys.
 *
 * Texts of ENUM and SET come in UTF-8.  Where a column has another character set and a text is not ASCII, its
 * bytes in the column are not known, and the column is left without texts.
 *
 * Threads: any; a definition does not change once it is made.   Blocks: never.
 */
#ifndef SQUEAL_SCHEMA_DEF_H
#define SQUEAL_SCHEMA_DEF_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "squeal/binlog/table.h"

struct schema_def; /* opaque */

enum { SCHEMA_HIDDEN_MAX = 64 };

/* Add the columns in the table's order. */
struct schema_def *schema_def_create(void);
void schema_def_destroy(struct schema_def **d); /* NULL is fine */

/* COLUMN_NAME, COLUMN_TYPE, CHARACTER_OCTET_LENGTH (0 for NULL), COLLATION_NAME (empty for NULL). */
void schema_def_add(struct schema_def *d, struct span name, struct span type, uint64_t octets,
		    struct span collation);

/* At most this many columns that are not shown may follow. */
void schema_def_hide(struct schema_def *d, uint32_t hidden);

size_t schema_def_columns(const struct schema_def *d);

/* Whether rows of `t` can be rows of this definition; ERR_KEYS_UNKNOWN: what does not agree. */
err_t schema_def_agrees(const struct schema_def *d, const struct table *t, struct err_detail *why) MUST_CHECK;

/* A copy of `t`, with which the definition agrees, with names and all; free with schema_table_destroy().
 * Points into nothing but `t`. */
struct table *schema_def_apply(const struct schema_def *d, const struct table *t);
void schema_table_destroy(struct table **t); /* NULL is fine */

/* As words of text without white space and line ends, and back.  ERR_CORRUPT. */
void schema_def_write(const struct schema_def *d, struct buf *out);
err_t schema_def_read(struct schema_def **out, struct span text, struct err_detail *why) MUST_CHECK;

/* One such word, which may be any bytes; and the next one of a text.  False: there is none, or it is damaged.
 */
void schema_word_put(struct buf *out, struct span word);
bool schema_word_take(struct span *text, struct buf *word);

#endif
