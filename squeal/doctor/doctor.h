/*
 * doctor - what about a server, a cache or a configuration would make invalidations disappear, and what mends
 * it.
 *
 * Facts go in (names and values: the server's variables, and what survey.h, probe.h and canary.h found out),
 * findings come out.  The tables of doctor_rows.h are all there is to know: rows of the same check stand
 * together, worst first, and the first one that fires is the check's finding, so a check gives one finding
 * or, where its fact does not exist on this server, none.  A fact that could not be got gives a note that
 * says so.
 *
 * Texts may name facts: "sync_binlog is {sync_binlog}".
 *
 * Threads: one at a time.   Blocks: never.   Clock: none; ages are facts.
 */
#ifndef SQUEAL_DOCTOR_H
#define SQUEAL_DOCTOR_H

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,   /* good to know */
	DOCTOR_DANGER, /* works until something else fails; then invalidations are lost, late or early */
	DOCTOR_BROKEN, /* does not work */
};

/* What the facts are about. */
enum doctor_scope { DOCTOR_CONFIG, DOCTOR_SERVER, DOCTOR_CACHE, DOCTOR_CANARY };

/* Where the mending text goes. */
enum doctor_place {
	DOCTOR_NOWHERE,	   /* there is nothing to mend */
	DOCTOR_SQL,	   /* a statement on the server; a SET GLOBAL belongs into its configuration too */
	DOCTOR_SERVER_CNF, /* a line of the server's configuration, and a restart */
	DOCTOR_YAML,	   /* a line of squeal.yaml */
	DOCTOR_SHELL,	   /* a command */
	DOCTOR_ADVICE,	   /* a sentence */
};

/* --- facts ------------------------------------------------------------------------------------------------
 */

struct doctor_facts;

struct doctor_facts *doctor_facts_create(void);
void doctor_facts_destroy(struct doctor_facts **f);

/* Copies; a fact that is there is replaced. */
void doctor_fact_put(struct doctor_facts *f, const char *name, struct span value);
void doctor_fact_printf(struct doctor_facts *f, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A sentence "what happened; what to do": the first half under `name`, the second under `name`.mend, which
 * says something in any case. */
void doctor_fact_sentence(struct doctor_facts *f, const char *name, const char *sentence);

/* It exists, and could not be got.  `statement`: what would change that; NULL when nobody knows. */
void doctor_fact_failed(struct doctor_facts *f, const char *name, const char *why, const char *statement);

/* NULL when it is not known. */
const char *doctor_fact(const struct doctor_facts *f, const char *name);

/* Puts the facts that follow from others: what the server is (server.flavor, server.number, set), variables
 * under one name whatever this server calls them (replica.updates, semi_sync.point), sums (expiry.s,
 * gtid.domains). */
void doctor_derive(struct doctor_facts *f);

/* --- judging ----------------------------------------------------------------------------------------------
 */

struct doctor_row {
	const char *check;
	enum doctor_scope scope;
	enum doctor_level level;
	enum doctor_place place;
	const char *fact; /* must be known, otherwise the row says nothing */
	bool (*fires)(const struct doctor_facts *f);
	const char *what;
	const char *danger; /* one sentence; "" in rows of level DOCTOR_OK */
	const char *mend;
};

/* The rows of all tables, one after the other; NULL behind the last one. */
const struct doctor_row *doctor_row(size_t i);

/* Texts are valid during the call. */
struct doctor_finding {
	enum doctor_level level;
	const char *check;
	const char *subject; /* as given to doctor_judge() */
	const char *what;
	const char *danger; /* "" when there is none */
	enum doctor_place place;
	const char *mend; /* "" when there is nothing to do */
	const char *keep; /* lines of the server's configuration that make the statement last; "" for none */
	const struct doctor_row *row; /* NULL: not checked */
};
typedef void doctor_emit_fn(void *arg, const struct doctor_finding *finding);

/* One finding for each check of `scope` that the facts allow, in the table's order.  `subject` is whom they
 * are about, or "". */
void doctor_judge(const struct doctor_facts *f, enum doctor_scope scope, const char *subject,
		  doctor_emit_fn *emit, void *arg);

/* "ok", "note", "danger", "broken". */
const char *doctor_level_name(enum doctor_level level);

/* "sql", "server configuration, then restart", "squeal.yaml", "shell", "advice"; "" for DOCTOR_NOWHERE. */
const char *doctor_place_name(enum doctor_place place);

#endif
