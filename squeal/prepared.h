/*
 * prepared - the keys of XA transactions between XA PREPARE and XA COMMIT or XA ROLLBACK.
 *
 * They are notes of the log (broker.h), written together with the checkpoint behind XA PREPARE and removed
 * together with that behind the other end.  In between they survive squeal and the database.  prepared_note.h
 * says what they hold.
 *
 * There is no time limit: a database keeps a prepared transaction until somebody ends it.  A transaction that
 * is prepared again under the same id replaces what was kept under it.
 *
 * What is kept is exact as long as the stream goes on from the checkpoint.  When it began elsewhere
 * (source.start), the transaction may have ended in between and its id may have been used again: then what is
 * kept is marked `unsure`.  Its keys are still delivered at XA COMMIT, because too much does no harm; but it
 * is said that they may be others' and that the right ones may be missing.
 *
 * Threads: the writing thread.   Blocks: on the log.   Clock: none.
 */
#ifndef SQUEAL_PREPARED_H
#define SQUEAL_PREPARED_H

#include "lib/broker/broker.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "squeal/batch.h"
#include "squeal/queue.h"

/* clang-format off */
/*	  name            kind     unit            help */
#define PREPARED_METRICS(M)                                                                                    \
	M(xa_kept,        GAUGE,   "transactions", "XA transactions whose keys are kept because neither XA COMMIT nor XA ROLLBACK has come") \
	M(xa_delivered,   COUNTER, "transactions", "XA COMMITs whose keys were found")                         \
	M(xa_unknown,     COUNTER, "transactions", "XA COMMITs of transactions that were prepared before the stream began; their keys are not known") \
	M(xa_unsure,      COUNTER, "transactions", "XA COMMITs of transactions that were kept from before a gap; their keys were delivered, others may be missing") \
	M(xa_not_undone,  COUNTER, "transactions", "XA ROLLBACKs whose keys were delivered because not everything could be undone")
/* clang-format on */

struct prepared_metrics {
	METRIC_FIELDS(PREPARED_METRICS)
};
extern const struct metric_row prepared_metric_rows[];
extern const size_t prepared_metric_nrows;

struct prepared; /* opaque */

/* All borrowed; `log` may be NULL. */
struct prepared *prepared_create(struct broker_writer *broker, struct log *log,
				 struct prepared_metrics *metrics);
void prepared_destroy(struct prepared **p);

/*
 * Looks through what the log keeps, says so in the log file, and gives `b` the changes that it needs: notes
 * without a head (squeal died while it wrote them) are dropped, and with `unsure` the others are marked.
 * Errors of broker_note_read(); then it may be called again, before `b` has taken anything else.
 */
err_t prepared_load(struct prepared *p, bool unsure, struct batch *b, struct err_detail *why) MUST_CHECK;

/* An item of kind QUEUE_PREPARED goes into the batch. */
void prepared_add(struct prepared *p, const struct queue_item *it);

/*
 * Gives an item of kind QUEUE_XA_COMMIT what is kept for it: keys, hold-off and pool.  The keys are read
 * while batch_add() goes through them, and until then the next call must wait.  What is not known is counted
 * and logged, and the item has no keys.  QUEUE_XA_ROLLBACK gets keys only where not everything could be
 * undone. Changes of the same note that a batch holds must be in the log.
 */
err_t prepared_find(struct prepared *p, struct queue_item *it, struct err_detail *why) MUST_CHECK;

#endif
