/*
 * library - what differs between client libraries; one of library_libmariadb.c and library_libmysqlclient.c
 * is built.
 *
 *     libmariadb       MariaDB Connector/C: commands are sent as they are, packets read raw
 *     libmysqlclient   Oracle's: mysql_binlog_open() and mysql_binlog_fetch() (C API, "Binary Log Interface")
 *
 * Functions that ask the server return 0, or non-zero when mysql_errno() tells what went wrong.
 *
 * Threads: one at a time per object.   Blocks: what asks the server does, up to the timeout that was set.
 * Time: waits are real time.
 */
#ifndef SQUEAL_BINLOG_LIBRARY_H
#define SQUEAL_BINLOG_LIBRARY_H

#include <mysql.h>

#include "squeal/binlog/dump.h"

struct library;

/* "libmariadb 3.3.20" */
const char *library_name(void);

/* Before connecting.  `tls`: off, preferred, required or verify; whether there is TLS is checked afterwards.
 * `longest_ms`: no answer will ever be waited for longer than this. */
void library_set_options(MYSQL *m, const char *tls, uint64_t connect_ms, uint64_t longest_ms);

/* After connecting; destroy it before mysql_close(). */
struct library *library_create(MYSQL *m);
void library_destroy(struct library **l);

int library_socket(const struct library *l);

/* From now on a read that waits longer than this fails. */
void library_set_timeout(struct library *l, uint64_t ms);

/* Each call that asks the server stands between these two.  leave() gives errno, ETIMEDOUT for a read that
 * waited too long. */
void library_enter(struct library *l);
int library_leave(struct library *l);

/* Shows us in SHOW REPLICAS.  Does nothing where the library cannot. */
int library_register(struct library *l, uint32_t server_id);

int library_dump(struct library *l, const struct dump *d);

/* The next packet with its first byte, valid until the next call; an empty one ends the stream. */
int library_packet(struct library *l, const unsigned char **p, size_t *n);

#endif
