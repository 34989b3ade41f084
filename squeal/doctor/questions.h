/*
 * questions - what doctor asks a database over one SQL connection: MariaDB, or MySQL 5.7 and later.
 *
 * Reads only, and nothing that needs more than squeal's own account has; what needs more is a failed fact
 * with the statement that would help.  Statements that MySQL has renamed are asked in the new form first,
 * then in the old one; when both fail, both errors are told.
 *
 * Threads: one at a time per connection.   Blocks: up to source.connect_timeout per question.   Clock:
 * injected.
 */
#ifndef SQUEAL_QUESTIONS_H
#define SQUEAL_QUESTIONS_H

#include "lib/core/clock.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/doctor/doctor.h"

/*
 * Facts: every global variable by its name; server.version, account, cipher, account.*, grants, clock.*,
 * binlog.*, replica, replicas.*, uuid.clash, tables.*, lost.*, and resume.missing and resume.unknown where
 * `start` is a set of MySQL's GTIDs.  our.server_id must be there already.
 */
void questions_ask(struct conn *c, const struct clock *clock, const char *start, struct doctor_facts *f);

#endif
