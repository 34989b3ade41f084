/*
 * schema_mysql - asks a server for a table's columns, on a connection of its own.
 *
 * A definition is only useful with the place in the binlog that it belongs to, so it is asked for like this:
 *
 *     before:    where the binlog is
 *     SHOW CREATE TABLE: waits for a DDL of the table that has its binlog event, and is not visible yet
 * (MySQL) the columns SHOW CREATE TABLE: waits for a DDL that is visible, and whose GTID is not in
 * gtid_executed yet (MySQL) after:     where the binlog is
 *
 * It takes no lock that lasts, reads no rows, and needs no privilege on data: REFERENCES on the tables is the
 * least that shows their columns, on MariaDB 10.11 and MySQL 9.7.
 *
 * Threads: one at a time, but interrupt.   Blocks: on the server, connect_timeout per answer.
 */
#ifndef SQUEAL_SCHEMA_MYSQL_H
#define SQUEAL_SCHEMA_MYSQL_H

#include "lib/conf/topology.h"
#include "squeal/binlog/source.h"
#include "squeal/schema/schema.h"

struct schema_mysql; /* opaque */

/* Both are borrowed.  The server that `source` streams from is asked. */
struct schema_mysql *schema_mysql_create(const struct source_options *opt, const struct source *source);
void schema_mysql_destroy(struct schema_mysql **m); /* NULL is fine */

/* Their `arg` is the struct schema_mysql. */
extern const struct schema_ops schema_mysql_ops;

#endif
