/*
 * refusal - what the errors of servers and client libraries mean: our code, and what to do about it.
 *
 * One table (REFUSAL_TABLE in refusal.c) of error numbers and pieces of texts: servers tell most about a
 * binlog that cannot be read in the text of error 1236 only.  Numbers and texts are those of MySQL 5.7 to 9.7
 * (share/messages_to_clients.txt, sql/rpl_binlog_sender.cc) and MariaDB 10.3 to 12 (sql/sql_repl.cc), 2000
 * and above those of the client libraries (errmsg.h).  docs/operations.md explains each.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_REFUSAL_H
#define SQUEAL_BINLOG_REFUSAL_H

#include <stdbool.h>

#include "lib/core/err.h"

struct refusal {
	unsigned code;	     /* mysql_errno() */
	const char *text;    /* mysql_error() */
	const char *at;	     /* "db1:3306" */
	const char *account; /* 'squeal'@'%', as far as known */
	bool connecting;     /* not let in yet */
	bool mariadb;	     /* which server's words to use; false until it is known */
};

/* Our code for it. */
err_t refusal_class(const struct refusal *r);

/* The same, with a sentence: where, the server's text, what to do. */
err_t refusal_explain(const struct refusal *r, struct err_detail *why);

/* For what is found out without a server's error: the row's advice under the same code. */
err_t refusal_too_long(const char *at, unsigned long bytes, struct err_detail *why);
err_t refusal_timed_out(const char *at, struct err_detail *why);

#endif
