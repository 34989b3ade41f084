/*
 * embed - writes keys into a statement as comments; the inverse of comment.h.
 *
 * Keys are encoded twice: the inner layer protects what separates keys (comma, percent) and what the grammar
 * bans, the outer one everything but letters, digits and "-_.~", as sqlcommenter does.  So nothing in a key
 * can end the comment (* /), look like a placeholder (?, :name), split a ProxySQL directive (;) or leave a
 * quote open.
 *
 * A trailing comment of sqlcommenter pairs takes the new pairs in, at the place where the order by tag wants
 * them; one that holds our tag already is left alone, because a pool or hold-off speaks for all keys of its
 * comment.  Where it is not certain that the end of the statement is such a comment, a new one is added.
 *
 * Works on the public types of squeal.h.  No allocation.   Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_EMBED_H
#define SQUEAL_MARKERS_EMBED_H

#include "lib/core/span.h"
#include "markers/pair.h"
#include "markers/squeal.h"

struct embed {
	struct span sql;
	const struct squeal_keys *keys;
	struct pair_tag tag;
	bool leading;
};

/* As squeal_check_key(). */
enum squeal_error embed_check_key(struct squeal_bytes key);

/* SQUEAL_OK when `e` can be written. */
enum squeal_error embed_check(const struct embed *e);

/*
 * Writes at most `cap` bytes, no NUL, and returns how many there are in all.  Only for what embed_check()
 * accepts; `out` may be NULL when `cap` is 0.
 */
size_t embed_write(const struct embed *e, char *out, size_t cap);

#endif
