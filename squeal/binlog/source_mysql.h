/*
 * source_mysql - events from a MariaDB or MySQL server, as a replica gets them.
 *
 * open() connects, checks that the server is set up so that no statement text is missing, finds the start,
 * proves that the server can go on from there (resume.h), registers as a replica and asks for the stream: by
 * GTID, of MySQL without gtid_mode=ON by file and position.  next() gives one event after the other; when the
 * server has nothing to say it sends a heartbeat event.  Reads only: nothing on the server is changed.
 *
 * Of several endpoints (source.endpoints) open() takes the first that works and can go on from our position,
 * beginning with the one that worked last, or, when its stream ended with an error, with the one behind it.
 * It tries each once; the caller backs off after that.  ERR_GAP comes when every endpoint says that it will
 * never have our position, or when for gap_patience no one that could be asked had it and none could go on
 * without (source_mysql_may_rewind()).
 *
 *     ERR_CONN          not reachable, or the link was lost            back off, open again
 *     ERR_TIMEOUT       nothing heard for dead_after (first_event before the first event)    the same
 *     ERR_AUTH          wrong user or password, TLS refused            an operator; trying again is harmless
 *     ERR_PRIVILEGE     a privilege is missing; *why has the GRANT     the same
 *     ERR_SOURCE_SETUP  binlog off, texts of row changes off; *why has the statement    the same
 *     ERR_GAP           the server no longer has, or never had, what follows the start
 *     ERR_IN_USE        another replica has our server_id
 *     ERR_CONFIG        the password file or the start cannot be read
 *     ERR_PROTOCOL      what the server sent makes no sense
 *     ERR_TOO_LONG      an event is longer than max_event
 *     ERR_CLOSED        source_interrupt() was called
 *
 * Threads: see source.h.   Blocks: open up to connect_timeout per round trip, next up to dead_after.
 */
#ifndef SQUEAL_BINLOG_SOURCE_MYSQL_H
#define SQUEAL_BINLOG_SOURCE_MYSQL_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "squeal/binlog/gtid_set.h"
#include "squeal/binlog/source.h"

/* `opt` is borrowed and must outlive the source.  `region` and the source's name make the server_id where
 * that is 0. */
struct source *source_mysql_create(const struct source_options *opt, const char *region);

/* The time that gap_patience is measured by; the system's clock where this is not called.  Borrowed. */
void source_mysql_use_clock(struct source *s, const struct clock *clock);

/* Keys are made of rows: a server that is not set to write all changes as rows is ERR_SOURCE_SETUP. */
void source_mysql_need_rows(struct source *s);

/* Nobody looks at the texts of statements: a server that does not write them is fine. */
void source_mysql_without_texts(struct source *s);

/* The stream ends (next() gives an empty span) where the binlog ends now, instead of waiting for more. */
void source_mysql_stop_at_end(struct source *s);

/*
 * Called in open() before a server is followed that lacks `lost` of what was read: promoted without it, after
 * the old primary died.  ERR_OK: the caller can delete the keys of `lost` once more, and will do so before
 * anything of the new stream, when info.lost names them.  Otherwise *why has a sentence, and the server
 * counts as one that lacks our position.
 *
 * It is called only when no endpoint has our whole position and none was left for being stale (two servers
 * that both go on are two histories), at once for a server that takes writes (read_only=OFF), and for a
 * read-only one after gap_patience.  MySQL with GTIDs only.
 */
typedef err_t source_lost_fn(void *arg, const struct gtid_set *lost, struct err_detail *why);

/* Where this is not called no server is followed that lacks what was read. */
void source_mysql_may_rewind(struct source *s, source_lost_fn *fn, void *arg);

/* The id under which we register: opt->server_id, or one derived from region and name, always above 65535. */
uint32_t source_mysql_server_id(const struct source_options *opt, const char *region);

#endif
