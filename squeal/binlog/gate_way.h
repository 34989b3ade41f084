/*
 * gate_way - how a kind of server is asked whether commits are visible; private to the gate.
 *
 * Each way is told of every transaction of the stream and answers for one of them and all before it.  gate.c
 * owns the connection, chooses the way by what answers at its other end, and repeats the question.
 *
 *     gate_tickets   MariaDB: counts commits, see README.md
 *     gate_gtid      MySQL: waits until ids are in @@GLOBAL.gtid_executed; transactions without an id are
 *                    held for a fixed time
 *
 * Threads: as gate.h says of the functions that call these.   Clock: injected.
 */
#ifndef SQUEAL_BINLOG_GATE_WAY_H
#define SQUEAL_BINLOG_GATE_WAY_H

#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/gate.h"

struct gate_way_ops {
	void *(*create)(const struct clock *clock, struct gate_metrics *metrics);
	void (*destroy)(void *way);

	/* Another connection, perhaps to another server: answers that were got so far mean nothing.  Any
	 * thread. */
	void (*forget)(void *way);

	/* A connection was made: can this server be asked? */
	err_t (*open)(void *way, struct conn *c, struct err_detail *why);

	void (*note)(void *way, const struct gate_mark *m); /* any thread; never blocks */

	/* As gate_lost(); NULL: nothing to do.  Any thread. */
	void (*lose)(void *way, const struct gtid_set *lost);

	/* From the answers so far; never blocks. */
	bool (*is_visible)(void *way, const struct gate_mark *m);

	/* One question, for `waited_ms` after the first one about `m`; may take up to a second.  What came of
	 * it is_visible() tells. */
	err_t (*ask)(void *way, struct conn *c, const struct gate_mark *m, uint64_t waited_ms,
		     struct err_detail *why);
};

extern const struct gate_way_ops gate_tickets_ops;
extern const struct gate_way_ops gate_gtid_ops;

/* The number at the end of a binlog's name. */
uint64_t gate_file_number(struct span name);

#endif
