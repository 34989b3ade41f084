/*
 * table - what the columns of row events are: TABLE_MAP events, and those that were seen.
 *
 * A TABLE_MAP gives the tables of the row events that follow a number, the table id.  Servers write one
 * before each statement, so struct tables keeps them: a map that says what it said before costs one
 * comparison.  A map with a known id and another content replaces the old one, as after DDL, and after a
 * restart of the server, which begins to count anew.
 *
 * Names, signedness, character sets, the texts of ENUM and SET, and the primary key are there only where the
 * server was told to write them (binlog_row_metadata=FULL; MINIMAL: signedness and character sets; NO_LOG,
 * and servers older than MySQL 8.0.1 and MariaDB 10.5: none).
 *
 * Threads: one at a time per struct tables.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_TABLE_H
#define SQUEAL_BINLOG_TABLE_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"
#include "squeal/binlog/event.h"

/* As in the binlog, but ENUM and SET, which it writes as a kind of STRING. */
enum column_type {
	COLUMN_DECIMAL_OLD = 0,
	COLUMN_TINY = 1,
	COLUMN_SHORT = 2,
	COLUMN_LONG = 3,
	COLUMN_FLOAT = 4,
	COLUMN_DOUBLE = 5,
	COLUMN_NULL = 6,
	COLUMN_TIMESTAMP = 7,
	COLUMN_LONGLONG = 8,
	COLUMN_INT24 = 9,
	COLUMN_DATE = 10,
	COLUMN_TIME = 11,
	COLUMN_DATETIME = 12,
	COLUMN_YEAR = 13,
	COLUMN_NEWDATE = 14,
	COLUMN_VARCHAR = 15,
	COLUMN_BIT = 16,
	COLUMN_TIMESTAMP2 = 17,
	COLUMN_DATETIME2 = 18,
	COLUMN_TIME2 = 19,
	COLUMN_TYPED_ARRAY = 20,
	COLUMN_BLOB_COMPRESSED = 140,	 /* MariaDB */
	COLUMN_VARCHAR_COMPRESSED = 141, /* MariaDB */
	COLUMN_VECTOR = 242,		 /* MySQL 9 */
	COLUMN_JSON = 245,		 /* MySQL; MariaDB's is a BLOB */
	COLUMN_NEWDECIMAL = 246,
	COLUMN_ENUM = 247,
	COLUMN_SET = 248,
	COLUMN_TINY_BLOB = 249,
	COLUMN_MEDIUM_BLOB = 250,
	COLUMN_LONG_BLOB = 251,
	COLUMN_BLOB = 252,
	COLUMN_VAR_STRING = 253,
	COLUMN_STRING = 254,
	COLUMN_GEOMETRY = 255,
};

enum { COLUMN_CHARSET_BINARY = 63 };

struct table_column {
	uint8_t type; /* enum column_type */
	/* How a value is found: `prefix` bytes of length and that many bytes, or, with 0, `size` bytes. */
	uint8_t prefix;
	uint16_t size;
	/* Fractional digits of times; precision << 8 | scale of NEWDECIMAL; bits of BIT; most bytes of
	 * strings. */
	uint16_t meta;
	bool is_nullable;
	bool is_unsigned;   /* false also where signedness is not known */
	bool is_invisible;  /* MySQL */
	uint32_t collation; /* its number in the server: 63 is binary; 0 where it is not known */
	struct span name;   /* empty where it is not known */
	struct span values; /* ENUM, SET: nvalues length-encoded strings; empty where they are not known */
	uint32_t nvalues;
};

struct table_key {
	uint32_t column;
	uint32_t prefix; /* characters that take part, 0: all */
};

struct table {
	uint64_t id;
	uint64_t version; /* no other table of the same struct tables ever has it */
	struct span db, name;
	uint32_t ncolumns;
	struct table_column *columns;
	bool has_layout;    /* false: a pre-release of MySQL 5.1 wrote it; its rows cannot be read */
	bool has_old_times; /* TIME, DATETIME or TIMESTAMP of before MySQL 5.6 and MariaDB 10.1 */
	bool has_names;
	bool has_signedness;
	uint32_t nkey; /* columns of the primary key; 0 where it is not known or there is none */
	struct table_key *key;
	uint32_t njson;
};

/* The index of the column; -1 when there is none or names are not known. */
int table_find(const struct table *t, struct span name);

struct tables; /* opaque */

enum { TABLES_MAX = 4096, TABLES_MAX_BYTES = 64 << 20 };

/* Beyond TABLES_MAX or TABLES_MAX_BYTES the one that was not used for longest is forgotten. */
struct tables *tables_create(void);
void tables_destroy(struct tables **ts); /* NULL is fine */

/* Forgets all: another file or stream begins. */
void tables_clear(struct tables *ts);

/*
 * Takes a BINLOG_TABLE event.  *out is valid until the next tables_put() or tables_clear(); the same
 * definition gives the same pointer and version.  ERR_BAD_EVENT; *why says what and where.
 */
err_t tables_put(struct tables *ts, const struct binlog_event *ev, const struct table **out,
		 struct err_detail *why) MUST_CHECK;

/* NULL when there is none. */
const struct table *tables_find(struct tables *ts, uint64_t id);

#endif
