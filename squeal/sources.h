/*
 * sources - where each key of the open transaction comes from: `squeal keys --sources`.
 *
 * One JSON object for each time that a key was given, in the order of the binlog; a key that a comment and a
 * rule give, or two statements, has two.
 *
 *     {"key":"user:42","from":"comment","statement":1,"kind":"update","at":1234}
 *     {"key":"user:42","from":"rule","rule":"shop.users","template":"user:{id}","table":"shop.users",
 *      "change":"update","statement":1,"at":1300}
 *
 * `statement` counts the texts of the transaction (0: rows before any text), `kind` is the first word of the
 * text, `at` is where the event with the text or the rows begins.  Marker keys have "marker":true.
 *
 * Kept in memory until the transaction ends.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_SOURCES_H
#define SQUEAL_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"
#include "markers/rule.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/table.h"

struct sources; /* opaque */

struct sources *sources_create(void);
void sources_destroy(struct sources **s); /* NULL is fine */

/* What comes next stands in the event that begins at this offset of its file. */
void sources_enter_event(struct sources *s, uint64_t at);

/* Another transaction begins. */
void sources_clear(struct sources *s);

/* The text, or the row event, that the next keys come from; valid until the next one. */
void sources_enter_statement(struct sources *s, struct span sql);
void sources_enter_rows(struct sources *s, const struct binlog_event *ev, const struct table *t);

void sources_add_comment(struct sources *s, struct span key, bool is_marker);
void sources_add_rule(struct sources *s, struct span key, const struct rule_group *group);

/* Savepoints: sources_rollback() forgets what was added since the mark. */
size_t sources_mark(const struct sources *s);
void sources_rollback(struct sources *s, size_t mark);

/* The objects, with commas between them. */
struct span sources_text(const struct sources *s);

#endif
