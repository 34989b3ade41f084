/*
 * doctor_rows - how the tables of doctor.h are written: one file for each theme, one row for each item.
 *
 * What MariaDB and MySQL have in common is one row.  What they call by other names is one row too, about a
 * fact with a name of its own (doctor_derive()).  What only one of them has is a row about a variable that
 * the other does not have: a row whose fact is not known says nothing.
 *
 * A statement that sets a variable begins with "{set} ": SET PERSIST where the server has it, which lasts,
 * and SET GLOBAL elsewhere, which needs its line in the server's configuration as well.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_DOCTOR_ROWS_H
#define SQUEAL_DOCTOR_ROWS_H

#include "squeal/doctor/doctor.h"

struct doctor_theme {
	const struct doctor_row *rows;
	size_t n;
};

extern const struct doctor_theme doctor_squeal;	     /* its configuration, the caches, the canary */
extern const struct doctor_theme doctor_connection;  /* version, account, TLS, clocks */
extern const struct doctor_theme doctor_binlog;	     /* what is in it, is it durable, how long is it there */
extern const struct doctor_theme doctor_replication; /* GTIDs, replicas, ids, semi-sync; limits */

/* --- rows -------------------------------------------------------------------------------------------------
 */

/* clang-format off */
#define ROW(check_, scope_, level_, fact_, fires_, what_, danger_, place_, mend_)                              \
	{.check = check_, .scope = DOCTOR_##scope_, .level = DOCTOR_##level_, .fact = fact_, .fires = fires_,  \
	 .what = what_, .danger = danger_, .place = DOCTOR_##place_, .mend = mend_},
#define FINE(check_, scope_, fact_, what_) ROW(check_, scope_, OK, fact_, doctor_always, what_, "", NOWHERE, "")

/* A judge is one question about the facts `f`. */
#define JUDGE(name, expression)                                                                                \
	static bool name(const struct doctor_facts *f)                                                         \
	{                                                                                                      \
		return expression;                                                                             \
	}

#define TEXT(name)            doctor_text(f, name)
#define NUM(name)             doctor_number(f, name)
#define IS(name, value)       doctor_is(f, name, value)
#define HAS(name)             (doctor_text(f, name)[0] != '\0')
#define CONTAINS(name, part)  doctor_contains(f, name, part)
#define ON(name)              doctor_on(f, name)
#define OFF(name)             doctor_off(f, name)
#define MAY(privilege)        doctor_may(f, privilege)
#define MARIADB               doctor_is(f, "server.flavor", "mariadb")
#define MYSQL                 doctor_is(f, "server.flavor", "mysql")
/* clang-format on */

bool doctor_always(const struct doctor_facts *f);

/* --- questions --------------------------------------------------------------------------------------------
 */

/* "" when it is not known. */
const char *doctor_text(const struct doctor_facts *f, const char *name);
double doctor_number(const struct doctor_facts *f, const char *name);

/* In any case of letters. */
bool doctor_is(const struct doctor_facts *f, const char *name, const char *value);
bool doctor_contains(const struct doctor_facts *f, const char *name, const char *part);

/* ON or 1; and known, but not so. */
bool doctor_on(const struct doctor_facts *f, const char *name);
bool doctor_off(const struct doctor_facts *f, const char *name);

/* What the account may on *.*, by the fact "grants"; and whether it may more than squeal and its doctor need.
 */
bool doctor_may(const struct doctor_facts *f, const char *privilege);
bool doctor_may_more(const struct doctor_facts *f);

/* The halves of a sentence "what happened; what to do". */
void doctor_split(const char *sentence, struct span *what, struct span *mend);

/* Why a fact could not be got, and what would help (or NULL); NULL when it did not fail. */
const char *doctor_fact_failure(const struct doctor_facts *f, const char *name, const char **statement);

#endif
