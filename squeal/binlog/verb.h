/*
 * verb - what the text of a QUERY event does to the transaction that it stands in.
 *
 * Knows the few statements that begin, end and divide transactions, in the forms that servers write into a
 * binlog and in those that people write: any case, comments and white space before and between the words,
 * WORK.  A comment that servers execute counts as its text.  Everything else is a statement.
 *
 * Parsers do no I/O, keep no pointers, trust no lengths.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_VERB_H
#define SQUEAL_BINLOG_VERB_H

#include <stdbool.h>

#include "lib/core/span.h"

enum verb {
	VERB_STATEMENT,
	VERB_BEGIN, /* and XA START */
	VERB_COMMIT,
	VERB_ROLLBACK,
	VERB_SAVEPOINT,
	VERB_ROLLBACK_TO,
	VERB_XA_END,
	VERB_XA_PREPARE,
	VERB_XA_COMMIT,
	VERB_XA_ROLLBACK,
	VERB_NOTHING, /* a filler in place of an event that the server did not send */
};

/* verb_of() of what does not begin like most statements. */
enum verb verb_read(struct span sql, struct span *name);

/* *name becomes the name of a savepoint without its quotes, or what begins with the id of an XA transaction;
 * otherwise it is as it was. */
static inline enum verb
verb_of(struct span sql, struct span *name)
{
	/* Nearly all statements end here: UPDATE, INSERT, DELETE. */
	if (sql.len > 0) {
		switch (sql.p[0] | 0x20) {
		case 'u':
		case 'i':
		case 'd':
			return VERB_STATEMENT;
		}
	}
	return verb_read(sql, name);
}

/* Whether what follows the id of XA COMMIT says ONE PHASE. */
bool verb_is_one_phase(struct span rest);

#endif
