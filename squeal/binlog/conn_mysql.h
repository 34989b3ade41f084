/*
 * conn - one connection to a database server, MariaDB or MySQL.
 *
 * Connects with the options' TLS and password, asks questions, sends replication commands and reads raw
 * packets, and turns the server's and the client library's errors into ours (refusal.h), with a sentence that
 * says what to do.  What differs between client libraries is behind library.h.
 *
 * Threads: one at a time, except conn_interrupt() and conn_break(), which any thread may call between create
 * and destroy. Blocks: every call, up to the timeout that was set.
 */
#ifndef SQUEAL_BINLOG_CONN_MYSQL_H
#define SQUEAL_BINLOG_CONN_MYSQL_H

#include "lib/conf/endpoint.h"
#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "squeal/binlog/dump.h"

struct conn;

/* `opt` is borrowed and must outlive it. */
struct conn *conn_create(const struct source_options *opt);
void conn_destroy(struct conn **c);

/* Connects to the endpoint of last time, the first one at first; every later answer must come within
 * connect_timeout until conn_set_timeout() says otherwise.
 * ERR_CONN, ERR_TIMEOUT, ERR_AUTH, ERR_CONFIG (password file). */
err_t conn_open(struct conn *c, struct err_detail *why) MUST_CHECK;

/* The same to another endpoint, which is copied. */
err_t conn_open_at(struct conn *c, const struct endpoint *e, struct err_detail *why) MUST_CHECK;
void conn_close(struct conn *c);
bool conn_is_open(const struct conn *c);

/* Makes a blocked call end with ERR_CONN, as if the link were lost; the connection can be opened again.  From
 * any thread. */
void conn_break(struct conn *c);

/* Makes a blocked call, and every later one, return ERR_CLOSED soon.  For good. */
void conn_interrupt(struct conn *c);
bool conn_is_interrupted(const struct conn *c);

/* From now on a read that waits longer than this is ERR_TIMEOUT. */
void conn_set_timeout(struct conn *c, uint64_t ms);

/* MariaDB, or MySQL and what is made of it; CONN_UNKNOWN while closed. */
enum conn_flavour { CONN_UNKNOWN, CONN_MARIADB, CONN_MYSQL };
enum conn_flavour conn_flavour(const struct conn *c);

/* Where conn_open() connects to. */
const struct endpoint *conn_endpoint(const struct conn *c);

/* "10.11.6-MariaDB-log", and the server's number of this connection.  Valid while open. */
struct span conn_version(const struct conn *c);
uint64_t conn_id(const struct conn *c);

/* The account that the server took us for, quoted: 'squeal'@'%'; and the cipher, NULL without TLS.  Valid
 * while open. */
const char *conn_account(const struct conn *c);
const char *conn_cipher(const struct conn *c);

/* A statement without an answer. */
err_t conn_do(struct conn *c, const char *sql, struct err_detail *why) MUST_CHECK;

/* A question; `row` gets each row, NULLs as empty spans, valid during the call. */
typedef void conn_row_fn(void *arg, const struct span *values, unsigned n);
err_t conn_ask(struct conn *c, const char *sql, conn_row_fn *row, void *arg,
	       struct err_detail *why) MUST_CHECK;

/* The first value of the first row, appended to `out`; nothing when there is no row. */
err_t conn_value(struct conn *c, const char *sql, struct buf *out, struct err_detail *why) MUST_CHECK;

/* Registers as the replica d->server_id and asks for the stream; of MariaDB the session's variables
 * (@slave_connect_state) say from where. */
err_t conn_dump(struct conn *c, const struct dump *d, struct err_detail *why) MUST_CHECK;

/* The next event of the stream, valid until the next call.  An empty span: the server ended the stream. */
err_t conn_event(struct conn *c, struct span *event, struct err_detail *why) MUST_CHECK;

#endif
