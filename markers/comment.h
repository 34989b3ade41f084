/*
 * comment - reads cache keys out of the comments of an SQL statement.
 *
 *      UPDATE u SET n='x' WHERE id=42  / *inv='user:42,feed:42',inv_h='2000'* /
 *                                        key     key            hold-off
 *
 * The grammar, with what is accepted beyond it, is schemas/markers.md; schemas/markers-vectors.json has
 * examples that every implementation must agree on.  In short: sqlcommenter pairs; `inv` is a list of keys,
 * `inv_m` of marker keys, `inv_p` a pool, `inv_h` a hold-off in ms; the last two speak for the lists of the
 * same comment.  Other tags are none of our business.
 *
 * Only comments at the ends of the statement count (anchor.h) unless `anywhere` is set; then those in the
 * middle count as well (sqllex.h).
 *
 * Promises: nothing is dropped without an issue; a bad key costs no other key; what a string literal holds is
 * not read as a key; every key delivered is valid by key.h; no allocation; linear time, and without
 * `anywhere` the size of the statement does not matter.
 *
 * Threads: any; a parser is read-only once made.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_COMMENT_H
#define SQUEAL_MARKERS_COMMENT_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"
#include "markers/pair.h"
#include "markers/sqllex.h"

enum {
	COMMENT_MAX = 64 * 1024,   /* bytes of one comment, delimiters included */
	COMMENT_MANY_KEYS = 10000, /* keys of one statement from which on it is worth a note */
	COMMENT_SHOWN = 64,	   /* bytes of an issue's excerpt */
};

/*
 * What can be wrong.  `lost`: something that was probably meant as a key, pool or hold-off is not delivered;
 * the others are notes on what was delivered all the same.
 */
/* clang-format off */
/*    name                   error           lost   label            text                                   */
#define COMMENT_REASONS(X)                                                                                  \
	X(COMMENT_KEY_EMPTY,     ERR_BAD_KEY,    true,  "key_empty",     "empty key: remove the stray comma")   \
	X(COMMENT_KEY_LONG,      ERR_BAD_KEY,    true,  "key_long",      "key of more than 250 bytes: shorten or hash it") \
	X(COMMENT_KEY_CONTROL,   ERR_BAD_KEY,    true,  "key_control",   "key with a space or control character: memcached has no such keys") \
	X(COMMENT_MALFORMED,     ERR_BAD_MARKER, true,  "malformed",     "our tag, but not as tag='value': quote the value with single quotes, separate pairs with commas") \
	X(COMMENT_UNKNOWN_TAG,   ERR_BAD_MARKER, true,  "unknown_tag",   "tag that this version does not know: check its spelling or upgrade squeal") \
	X(COMMENT_BAD_POOL,      ERR_BAD_MARKER, true,  "bad_pool",      "pool that is no single valid name, or a second one: keys go without it") \
	X(COMMENT_BAD_HOLDOFF,   ERR_BAD_MARKER, true,  "bad_holdoff",   "hold-off that is not a whole number of milliseconds: keys go without it") \
	X(COMMENT_TOO_LONG,      ERR_TOO_LONG,   true,  "too_long",      "comment of more than 64 KiB: spread the keys over several comments") \
	X(COMMENT_EXECUTABLE,    ERR_BAD_MARKER, true,  "executable",    "malformed comment behind executed comment text, perhaps inside a literal: encode it properly") \
	X(COMMENT_LOOSE_QUOTE,   ERR_BAD_MARKER, false, "loose_quote",   "raw or missing quote, guessed: encode quotes as %27") \
	X(COMMENT_LOOSE_PERCENT, ERR_BAD_MARKER, false, "loose_percent", "% without two hex digits, taken as it is: encode it as %2525") \
	X(COMMENT_ORPHAN,        ERR_BAD_MARKER, false, "orphan",        "pool or hold-off without a key in the same comment has no effect") \
	X(COMMENT_MANY,          ERR_TOO_LONG,   false, "many_keys",     "more than 10000 keys in one statement, all delivered")
/* clang-format on */

enum comment_reason {
#define COMMENT_ENUM(name, err, lost, label, text) name,
	COMMENT_REASONS(COMMENT_ENUM)
#undef COMMENT_ENUM
	    COMMENT_NREASONS
};

struct comment_issue {
	enum comment_reason reason;
	struct span
	    excerpt; /* the first offending bytes as they stand in the statement: any byte, so escape them */
};

/* What a comment says about all keys and marker keys in it. */
struct comment_group {
	struct span pool;    /* empty for none; valid by key.h otherwise */
	uint32_t holdoff_ms; /* 0 for none; the largest when it is given twice */
};

/*
 * Everything that is handed out is valid during the call only.  The order is that of the statement.  An error
 * from key() or marker() ends the parse.
 */
struct comment_ops {
	err_t (*key)(void *arg, struct span key, const struct comment_group *group);
	err_t (*marker)(void *arg, struct span key, const struct comment_group *group);
	void (*issue)(void *arg, const struct comment_issue *issue);
};

struct comment_parser {
	struct pair_tag tag;
	bool anywhere;
};

struct comment_counts {
	size_t comments; /* that delivered something */
	size_t keys;
	size_t markers;
	size_t issues; /* notes included */
};

/* `tag` is copied.  ERR_CONFIG when it is no tag. */
err_t comment_parser_init(struct comment_parser *p, struct span tag, bool anywhere,
			  struct err_detail *why) MUST_CHECK;

/*
 * Hands the keys of `sql` to `ops`.  `sql_mode` (of enum sqllex_mode) matters with `anywhere` only.  `counts`
 * may be NULL.  Returns ERR_OK or what a callback returned.
 */
err_t comment_parse(const struct comment_parser *p, struct span sql, unsigned sql_mode,
		    const struct comment_ops *ops, void *arg, struct comment_counts *counts) MUST_CHECK;

/* The columns of COMMENT_REASONS. */
const char *comment_reason_label(enum comment_reason reason); /* "key_long": for metrics and vectors */
const char *comment_reason_text(enum comment_reason reason);
err_t comment_reason_err(enum comment_reason reason);
bool comment_reason_lost(enum comment_reason reason);

#endif
