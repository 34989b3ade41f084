/*
 * sqllex - finds the comments inside a statement, and only those.
 *
 * Knows what MySQL's and MariaDB's lexers know about where a comment can begin: not in a string ('..' and
 * ".." with doubled quotes and backslashes), not in a quoted identifier (`..`), not in a line comment (# or
 * "-- " up to the newline), not in another comment.  The content of an executed comment (its body starts with
 * "!" or "M!") is code; a comment in it counts.
 *
 * Whether a backslash escapes is a matter of the session's sql_mode: tell what is known of it.  Character
 * sets in which a quote or backslash can be the second byte of a character (GBK, SJIS, Big5) are not
 * understood.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_SQLLEX_H
#define SQUEAL_MARKERS_SQLLEX_H

#include "lib/core/span.h"

enum sqllex_mode {
	SQLLEX_DEFAULT = 0,
	SQLLEX_NO_BACKSLASH_ESCAPES = 1, /* a backslash is a character like any other */
	SQLLEX_ANSI_QUOTES = 2,		 /* ".." is an identifier: a backslash does not escape in it */
};

struct sqllex {
	struct span rest; /* code that was not looked at yet */
	unsigned mode;	  /* of enum sqllex_mode */
	bool executable;  /* inside a comment that the server executes */
};

static inline struct sqllex
sqllex_of(struct span sql, unsigned mode)
{
	return (struct sqllex){sql, mode, false};
}

/*
 * The next comment, with its delimiters; points into the statement.  False at the end.  A comment that is
 * never closed is none.
 */
bool sqllex_comment(struct sqllex *lx, struct span *comment);

#endif
