/*
 * squeal - puts cache keys into SQL statements.
 *
 * A statement that carries its cache keys in a comment makes every configured cache forget them as soon as
 * the transaction commits, because squeal reads the comment in the database's binlog:
 *
 *      struct squeal_bytes keys[] = {SQUEAL_BYTES("user:42"), SQUEAL_BYTES("feed:42")};
 *      struct squeal_keys what = {.keys = keys, .nkeys = 2};
 *      char *sql;
 *      size_t len;
 *      int err = squeal_embed("UPDATE u SET n='x' WHERE id=42", 30, &what, NULL, &sql, &len);
 *
 *      if (err != SQUEAL_OK)
 *              fail(squeal_strerror(err));
 *      mysql_real_query(db, sql, len);
 *      squeal_free(sql);
 *
 * Link with -lsqueal.  The library keeps no state, does no I/O and never aborts.  See squeal_embed(3).
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_H
#define SQUEAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SQUEAL_API __attribute__((visibility("default")))
#else
#define SQUEAL_API
#endif

enum { SQUEAL_KEY_MAX = 250 };

/* What the functions return. */
enum squeal_error {
	SQUEAL_OK = 0,
	SQUEAL_E_KEY_EMPTY = -1,   /* a key of no bytes */
	SQUEAL_E_KEY_LONG = -2,	   /* a key of more than 250 bytes */
	SQUEAL_E_KEY_CONTROL = -3, /* a key with white space or a control character */
	SQUEAL_E_POOL = -4,	   /* the pool breaks one of the rules for keys */
	SQUEAL_E_TAG = -5,	   /* the tag is not 1 to 64 letters, digits, '_', '.', '-' */
	SQUEAL_E_SQL_EMPTY = -6,   /* there is no statement to put a comment on */
	SQUEAL_E_SQL_OPEN = -7,	   /* the statement starts with a comment that is never closed */
	SQUEAL_E_NO_MEMORY = -8,
	SQUEAL_E_ARGUMENT = -9 /* NULL where there must be something */
};

/* Any bytes; `p` may be NULL when `len` is 0. */
struct squeal_bytes {
	const char *p;
	size_t len;
};

/* A string literal as squeal_bytes, in initialisers. */
#define SQUEAL_BYTES(literal)                                                                                \
	{                                                                                                    \
		literal, sizeof(literal) - 1                                                                 \
	}

/* What a statement makes stale.  Zero-initialise it; nothing is kept after the call. */
struct squeal_keys {
	const struct squeal_bytes *keys; /* to delete */
	size_t nkeys;
	const struct squeal_bytes *markers; /* remote markers to delete */
	size_t nmarkers;
	struct squeal_bytes pool; /* pool or route prefix; empty for none */
	uint32_t holdoff_ms;	  /* refuse fills of these keys for this long; 0 for none */
};

/* Zero-initialise it, so that what a later version adds is off.  NULL options are all zero. */
struct squeal_options {
	const char *tag; /* NULL for "inv"; as in squeal.yaml */
	int leading;	 /* in front of the statement and not at its end */
	int anywhere;	 /* squeal_extract(): comments inside the statement too, as in squeal.yaml */
	const void *reserved[4];
};

/*
 * *out becomes a copy of `sql` with the keys in a comment, NUL-terminated; *out_len its length without the
 * NUL. Give it back with squeal_free().  Without keys and markers it is just a copy.
 *
 * The comment goes to the end, before a semicolon, and into a sqlcommenter comment that is already there.
 * Keys that need more than 64 KiB are spread over several comments.  On error *out is NULL and *out_len 0.
 */
SQUEAL_API int squeal_embed(const char *sql, size_t sql_len, const struct squeal_keys *keys,
			    const struct squeal_options *options, char **out, size_t *out_len);

/* SQUEAL_OK, or what squeal_embed() would say of this key. */
SQUEAL_API int squeal_check_key(const char *key, size_t len);

/* What squeal reads from a statement.  Everything lives until squeal_found_free(). */
struct squeal_found {
	struct squeal_bytes *keys;
	size_t nkeys;
	struct squeal_bytes *markers;
	size_t nmarkers;
	struct squeal_bytes pool; /* the first one that has been found */
	uint32_t holdoff_ms;	  /* the largest */
	const char **problems;	  /* one sentence each; empty when all is well */
	size_t nproblems;
};

/* Reads a statement exactly as the daemon does, so that applications can test what they send. */
SQUEAL_API int squeal_extract(const char *sql, size_t sql_len, const struct squeal_options *options,
			      struct squeal_found **out);

SQUEAL_API void squeal_free(char *sql);			   /* NULL is fine */
SQUEAL_API void squeal_found_free(struct squeal_found *f); /* NULL is fine */

/* A sentence that says what is wrong and what to do; never NULL. */
SQUEAL_API const char *squeal_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
