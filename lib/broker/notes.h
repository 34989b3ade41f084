/*
 * notes - the table of notes in a log (broker.h), of one source.
 *
 * Private to lib/broker.  A log that is older than the table gets it when it is opened for writing.  A sum is
 * XXH3 over the value, seeded with everything else in the row.
 *
 * Threads: the writer's.   Blocks: on the disk.
 */
#ifndef SQUEAL_LIB_BROKER_NOTES_H
#define SQUEAL_LIB_BROKER_NOTES_H

#include "lib/broker/broker.h"
#include "lib/broker/store.h"

#define NOTES_SQL                                                                                            \
	"CREATE TABLE IF NOT EXISTS notes (source TEXT NOT NULL, name BLOB NOT NULL, part INTEGER NOT NULL," \
	" sum INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (source, name, part));"

enum notes_sql { NOTES_PUT, NOTES_DROP, NOTES_GET, NOTES_NAMES, NOTES_SQL_N };

struct notes {
	struct store *store;
	const char *source;
	sqlite3_stmt *sql[NOTES_SQL_N];
};

/* `store` and `source` are borrowed.  notes_close() is called after errors as well. */
err_t notes_open(struct notes *n, struct store *store, const char *source, struct err_detail *why) MUST_CHECK;
void notes_close(struct notes *n); /* all zero is fine */

/* Inside the caller's transaction. */
err_t notes_change(struct notes *n, const struct broker_note *note, struct err_detail *why) MUST_CHECK;

/* As broker_note_read() and broker_note_names(). */
err_t notes_read(struct notes *n, struct span name, uint32_t part, struct buf *out, bool *found,
		 struct err_detail *why) MUST_CHECK;
err_t notes_names(struct notes *n, broker_note_fn *fn, void *arg, struct err_detail *why) MUST_CHECK;

#endif
