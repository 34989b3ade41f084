/*
 * origin - what a transaction's keys come from, in a few words for people: "update users, insert shop.feed".
 *
 * Kinds and tables of the statements and row changes that gave keys, each once, in the order of the binlog,
 * until the text is full ("..." stands for the rest).  A statement's table is as it was written there: with
 * its schema when it was, and without quotes.  A statement whose table is not where it is in plain INSERT,
 * UPDATE, DELETE or REPLACE gives its first word only.  Nothing depends on it but what squealctl trace shows
 * and what replay is asked to choose.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_ORIGIN_H
#define SQUEAL_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/span.h"

enum { ORIGIN_MAX = 160 }; /* bytes of text */

struct origin {
	size_t len;
	bool full;
	char text[ORIGIN_MAX + 4]; /* no NUL behind it */
};

void origin_clear(struct origin *o);

/* The kind and the table of one statement's text. */
void origin_statement(struct origin *o, struct span sql);

/* A row change: "update", "shop", "users". */
void origin_rows(struct origin *o, struct span kind, struct span db, struct span table);

/* Valid until `o` changes. */
struct span origin_text(const struct origin *o);

#endif
