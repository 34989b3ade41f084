/*
 * gate - waits until a transaction that was read from the binlog can be seen by readers of the database.
 *
 * A server hands a transaction to replicas once it is in the binlog, which is before its engines have
 * committed it.  A delete that is sent in between can be followed by a reader that fetches the old row and
 * fills the cache with it for good.  The gate asks the server, on a connection of its own, and only when the
 * last answer does not reach far enough.  What it asks depends on the server:
 *
 *   MariaDB   how many transactions its engines have committed in binlog order (status Binlog_commits,
 *             counted under the lock that commits hold).  Which number a transaction has, its ticket, is
 *             known from the stream; where tickets and count meet is learnt from status Binlog_snapshot_file
 *             and Binlog_snapshot_position.
 *   MySQL     whether the transaction's id is in @@GLOBAL.gtid_executed, to which the server adds it after
 *             its engines have committed it (mysql-server, sql/binlog.cc, process_commit_stage_queue() and
 *             finish_commit()).  Transactions without an id (gtid_mode=OFF) cannot be asked about: each is
 *             held for a fixed time after it was read.
 *
 * README.md has the proofs and the measurements.
 *
 * Threads: gate_wait() one at a time; gate_note(), gate_reset(), gate_lost() and gate_interrupt() from
 * any.   Blocks:
 * gate_open() for connect_timeout; gate_wait() until the transaction is visible, the time is up or it is
 * interrupted; the others never.   Clock: injected.
 */
#ifndef SQUEAL_BINLOG_GATE_H
#define SQUEAL_BINLOG_GATE_H

#include "lib/conf/endpoint.h"
#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "squeal/binlog/gtid.h"
#include "squeal/binlog/gtid_set.h"
#include "squeal/binlog/xid.h"

/* clang-format off */
/*	  name             kind       unit       help */
#define GATE_METRICS(M)                                                                                                \
	M(gate_pass,       COUNTER,   "calls",   "transactions known to be visible without asking")                    \
	M(gate_wait,       COUNTER,   "calls",   "transactions that were not visible yet when the source was asked first") \
	M(gate_query,      COUNTER,   "queries", "times the source was asked how far commits are visible")             \
	M(gate_calibrated, COUNTER,   "times",   "tickets were matched with the source's count of commits for the first time, or again after they did not fit") \
	M(gate_held,       COUNTER,   "calls",   "transactions let through after a fixed time: they have no GTID (MySQL), or tickets did not fit the source's count yet (MariaDB)") \
	M(gate_connect,    COUNTER,   "connections", "connections made to ask")                                        \
	M(gate_error,      COUNTER,   "errors",  "failures to connect or to ask")                                      \
	M(gate_query_time, HISTOGRAM, "us",      "time of one question")                                               \
	M(gate_time,       HISTOGRAM, "us",      "time from the first question until the transaction was visible")
/* clang-format on */

struct gate_metrics {
	METRIC_FIELDS(GATE_METRICS)
};
extern const struct metric_row gate_metric_rows[];
extern const size_t gate_metric_nrows;

struct gate;

/* Connects at the first wait.  `opt`, `clock` and `metrics` are borrowed and must outlive the gate. */
struct gate *gate_create(const struct source_options *opt, const struct clock *clock,
			 struct gate_metrics *metrics);
void gate_destroy(struct gate **g);

/* Connects now, so that mistakes show early.  Errors as in source_mysql.h.  Connected already is fine. */
err_t gate_open(struct gate *g, struct err_detail *why) MUST_CHECK;

/* What the stream says of a transaction: txn_end's place, ticket and GTID. */
struct gate_mark {
	struct span file; /* "mariadb-bin.000007" */
	uint64_t pos;
	uint64_t ticket;
	struct gtid gtid;
};

/* Tells the gate of a transaction that was read, in the stream's order.  Every one; this is what tickets are
 * matched by, and how it is known what comes before a transaction.  Cheap. */
void gate_note(struct gate *g, const struct gate_mark *m);

/*
 * Returns ERR_OK when the transaction `m`, and with it every one before it, is visible.  ERR_TIMEOUT: not
 * within `timeout_ms` (or a second more): call again; when it stays so, `m` is not of this server.  Who asks
 * for a later one instead has given up on `m`.  ERR_CONN and others of
 * source_mysql.h: the gate connects again at the next call; the caller backs off.  ERR_CLOSED:
 * gate_interrupt().
 */
err_t gate_wait(struct gate *g, const struct gate_mark *m, uint64_t timeout_ms,
		struct err_detail *why) MUST_CHECK;

/*
 * For a transaction that XA COMMIT ended, after gate_wait() let it through.  MariaDB counts its XA COMMIT
 * when it is in the binlog, and commits it after that, outside of what it counts: here it is asked until XA
 * RECOVER does not list the id any more.  (An id that is prepared again in the meantime is listed again: then
 * this takes as long as that.)  MySQL's answer to gate_wait() covers XA COMMIT.  Returns as gate_wait().
 */
err_t gate_wait_xa(struct gate *g, const struct xid *xid, uint64_t timeout_ms,
		   struct err_detail *why) MUST_CHECK;

/* Forgets all answers, and closes the connection: call it whenever the stream is opened again, since the
 * server may have been restarted or be another one.  `at` is where the stream comes from, copied: only that
 * server knows what its readers see.  NULL: the options' first endpoint. */
void gate_reset(struct gate *g, const struct endpoint *at);

/* The server that is followed now does not have these, which were read from another one: they are not waited
 * for until they are read again.  Any thread. */
void gate_lost(struct gate *g, const struct gtid_set *lost);

/* Makes a blocked wait, and every later one, return ERR_CLOSED soon.  For good. */
void gate_interrupt(struct gate *g);

#endif
