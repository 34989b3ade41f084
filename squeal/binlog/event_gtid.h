/*
 * event_gtid - the events that name a transaction: MariaDB's GTID and GTID_LIST; MySQL's GTID, ANONYMOUS_GTID
 * and, since 8.3, GTID_TAGGED, which has a format of its own (mysql::serialization).
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_EVENT_GTID_H
#define SQUEAL_BINLOG_EVENT_GTID_H

#include "squeal/binlog/event.h"

/* A BINLOG_GTID's body into ev->u.gtid.  ERR_BAD_EVENT, ERR_UNKNOWN_EVENT: *what says what is wrong with it,
 * or what makes it readable. */
err_t event_gtid_read(struct binlog_event *ev, const char **what) MUST_CHECK;

/* A BINLOG_GTID_LIST's into ev->u.gtid_list; the same. */
err_t event_gtid_read_list(struct binlog_event *ev, const char **what) MUST_CHECK;

#endif
