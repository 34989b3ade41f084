/*
 * txn - assembles binlog events to transactions.
 *
 * Events go in one after the other; begin, statement, savepoint, commit and rollback come out.  Nothing of a
 * transaction is kept here, so its size does not matter.  Statements are handed out as they arrive, before it
 * is known whether the transaction commits: the receiver keeps what it takes from them until commit and drops
 * it at rollback.
 *
 * A rollback in the binlog undoes transactional tables only.  When the source does not vouch that everything
 * in the group could be undone (MariaDB: FL_TRANSACTIONAL in the GTID event; MySQL writes such a group only
 * when something could not be), the group ends in commit() with `rolled_back` set: its keys are kept, because
 * what a non-transactional engine wrote is still there.  For the same reason rollback_to() is called only in
 * groups that the source vouches for.  (A server that could undo everything cuts the statements out of its
 * binlog instead, so most rollbacks never get here.)  Over-invalidation is allowed, under-invalidation is
 * not.
 *
 * The statements of an XA transaction come before XA PREPARE, and whether they count is known only at XA
 * COMMIT or XA ROLLBACK, which may come much later, after other transactions, and from another connection.
 * `kind` tells these ends apart; the receiver keeps what it took under the transaction's id in between.  XA
 * COMMIT ... ONE PHASE is an ordinary end.
 *
 * A transaction that another one begins in the middle of was torn by a crash of the server, which gave it up:
 * it ends in rollback().
 *
 * Threads: one at a time.   Blocks: never.   Time: none but what the events carry.
 */
#ifndef SQUEAL_BINLOG_TXN_H
#define SQUEAL_BINLOG_TXN_H

#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/gtid.h"
#include "squeal/binlog/table.h"
#include "squeal/binlog/xid.h"

/* Where an event stands.  `file` is valid during the call. */
struct txn_place {
	struct span file; /* "mariadb-bin.000007"; empty when not known */
	uint64_t pos;	  /* offset behind the event, 64 bits wide; 0 when not known */
};

struct txn_begin {
	struct gtid gtid; /* kind GTID_NONE when the source has none */
	uint64_t at_us;	  /* event time; whole seconds for MariaDB */
};

enum { TXN_TICKET_BITS = 40 };

enum txn_kind {
	TXN_ORDINARY,
	TXN_PREPARED,	 /* commit(): what came before it is prepared as `xid`, and not to be used yet */
	TXN_XA_COMMIT,	 /* commit(): what was prepared as `xid` is committed; nothing came before it */
	TXN_XA_ROLLBACK, /* rollback(): what was prepared as `xid` is undone; nothing came before it */
};

struct txn_end {
	struct gtid gtid;
	struct txn_place place; /* behind the last event of the transaction: safe to resume from */
	uint64_t commit_us;	/* as exact as the source knows; whole seconds for MariaDB */
	enum txn_kind kind;
	const struct xid *xid; /* of the three XA kinds, valid during the call; otherwise NULL */
	/* TXN_PREPARED: the source does not vouch that XA ROLLBACK can undo all of it (MariaDB, where a
	 * table without transactions was changed).  MySQL writes such changes outside of the group. */
	bool cannot_be_undone;
	bool rolled_back; /* see above */
	bool no_text;	  /* rows were changed, and no statement's text came with them */
	/* rollback() only: the server crashed while it wrote the group.  `gtid` may come again with other
	 * content, so it is not a place to resume behind; `place` is empty. */
	bool torn;
	/* MariaDB: how many transactions that its group commit counts came by since the stream began, this
	 * one included; gate.h compares it with the server's count.  MySQL: how many transactions came by.
	 * The bits from TXN_TICKET_BITS on say which stream it is: txn_reset() begins the next one, whose
	 * tickets are all higher. */
	uint64_t ticket;
};

/* Any callback may return an error, which txn_feed() then returns. */
struct txn_ops {
	err_t (*begin)(void *arg, const struct txn_begin *b);
	/* The text of one statement: QUERY, or ANNOTATE_ROWS / ROWS_QUERY.  Valid during the call. */
	err_t (*statement)(void *arg, struct span sql);
	/* Names come without their quotes; the server does not tell upper from lower case in them. */
	err_t (*savepoint)(void *arg, struct span name);
	err_t (*rollback_to)(void *arg, struct span name);
	err_t (*commit)(void *arg, const struct txn_end *e);
	err_t (*rollback)(void *arg, const struct txn_end *e);
	/* The stream went on without a transaction (rotation): a new resume place. */
	err_t (*moved)(void *arg, const struct txn_place *place);
	/* The two may be NULL; then nobody reads what tables and rows are.  Before the row events of a
	 * statement its tables come, once for each; `t` is valid during the call. */
	err_t (*table)(void *arg, const struct table *t);
	/* A row event: rows_open(rows, ev, t, why) gives its rows. */
	err_t (*rows)(void *arg, const struct binlog_event *ev, const struct table *t);
	/* May be NULL.  Before statement(): its changes do not come as rows (a QUERY event). */
	err_t (*without_rows)(void *arg, struct span sql);
	/* May be NULL.  Before without_rows(): the QUERY event itself, its database and place. */
	err_t (*query)(void *arg, const struct binlog_event *ev);
};

struct txn; /* opaque */

/* `ops` and `metrics` are borrowed and must outlive it. */
struct txn *txn_create(const struct txn_ops *ops, void *arg, struct binlog_metrics *metrics);
void txn_destroy(struct txn **t);

/* Forgets an unfinished transaction, as after a reconnect.  No callback. */
void txn_reset(struct txn *t);

bool txn_is_open(const struct txn *t);

/*
 * Takes one decoded event.  ERR_UNKNOWN_EVENT, ERR_INCIDENT, ERR_BAD_EVENT: the stream cannot be
 * trusted from here on; *why says which event at which place and what the operator can do.
 */
err_t txn_feed(struct txn *t, const struct binlog_event *ev, struct err_detail *why) MUST_CHECK;

/*
 * Decodes the bytes of one event and takes it, and the events inside of it when it is a payload.  *ev is the
 * event that the bytes hold.
 */
err_t txn_read(struct txn *t, struct binlog_decoder *d, struct span bytes, struct binlog_event *ev,
	       struct err_detail *why) MUST_CHECK;

#endif
