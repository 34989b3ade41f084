/*
 * anchor - the comments that stand at the two ends of a statement.
 *
 * Where string literals begin and end depends on the session's sql_mode and character set, which a binlog
 * does not always tell.  A comment that starts the statement or ends it is recognised without knowing them,
 * and at a cost that depends on the size of the comments only: a statement of megabytes costs as much as a
 * short one.
 *
 *      ; / * a * / / * b * /   UPDATE ...   / * c * / ; / * d * / ;
 *     '------- lead --------' '-- middle --' '------ trail -------'
 *
 * White space and semicolons around comments do not count.  A comment that the server executes (its body
 * starts with "!" or "M!") is code: it is part of the middle, and nothing behind the first one is `lead`,
 * nothing before the last one is `trail`.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_ANCHOR_H
#define SQUEAL_MARKERS_ANCHOR_H

#include "lib/core/span.h"

struct anchor {
	struct span lead;   /* the leading comments and what separates them; may be empty */
	struct span middle; /* everything else; together the three are the statement */
	struct span trail;  /* from the first trailing comment to the end of the statement; may be empty */
	bool open;	    /* the statement starts with a comment that is never closed */
};

/* The parts point into `sql`. */
void anchor_find(struct span sql, struct anchor *a);

/*
 * Takes the next comment from the front of *rest, which is the lead or the trail of an anchor.  *comment has
 * its delimiters.  False when there is none.
 */
bool anchor_next(struct span *rest, struct span *comment);

/* The offset behind the first comment terminator in `s` at or behind `from`; 0 when there is none. */
size_t anchor_close(struct span s, size_t from);

/* Whether `s`, which starts with a comment opener, starts a comment whose content the server executes. */
bool anchor_executable(struct span s);

/* Space, tab, newline and the like. */
static inline bool
anchor_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The statement's length without white space and semicolons at its end. */
size_t anchor_code_end(struct span sql);

#endif
