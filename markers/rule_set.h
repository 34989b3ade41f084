/*
 * rule_set - the rules of a file, ready to match; and the place where the current ones are found.
 *
 * A set does not change once it is made.  It is counted: whoever keeps one holds a reference, and a new set
 * takes its place without waiting for anybody.  A rule_live holds the set that is in force; a reload puts
 * another one there, or leaves the old one and says why.
 *
 * Threads: a set and a rule_live: any.   Blocks: never, but for rule_set_load() and rule_live_load(), on the
 * file.
 */
#ifndef SQUEAL_MARKERS_RULE_SET_H
#define SQUEAL_MARKERS_RULE_SET_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/conf/rules.h"
#include "lib/core/arena.h"
#include "lib/core/err.h"
#include "markers/rule_pattern.h"
#include "markers/template.h"

enum rule_image { RULE_BEFORE, RULE_AFTER };

struct rule_key {
	struct span text; /* as it stands in the file */
	struct template template;
};

/* Read-only; for rule.c. */
struct rule {
	struct span name; /* for people; the table where the file gives none */
	struct rule_pattern pattern;
	unsigned on;	    /* of RULES_* */
	bool before, after; /* what {column} stands for in an update */
	uint32_t holdoff_ms;
	struct span pool; /* empty for none */
	struct rule_key *keys;
	size_t nkeys;
	const struct span *when_changed; /* columns */
	size_t nwhen_changed;
};

struct rule_set {
	_Atomic unsigned refs;
	struct rule *rules; /* in the file's order */
	size_t n;
	struct arena arena;
};

/*
 * Takes what it needs from `from`.  Mistakes in patterns and templates, keys that can never be made:
 * ERR_CONFIG and "rules.yaml:4:12: key template "user:{id": ...".  The caller has a reference.
 */
err_t rule_set_create(struct rule_set **out, const struct rules *from, struct err_detail *why) MUST_CHECK;

/* From a file. */
err_t rule_set_load(struct rule_set **out, const char *path, struct err_detail *why) MUST_CHECK;

/* Another reference to the same set. */
struct rule_set *rule_set_acquire(struct rule_set *s);

/* Gives the reference up and sets *s to NULL.  NULL is fine. */
void rule_set_release(struct rule_set **s);

/* Whether a rule that matches the table names a column: without column names its keys cannot be made. */
bool rule_set_needs_names(const struct rule_set *s, struct span db, struct span table);

struct rule_live {
	pthread_mutex_t mutex;
	struct rule_set *set;
	_Atomic uint64_t generation;
};

/* Takes over the reference; NULL for no rules at all. */
void rule_live_init(struct rule_live *l, struct rule_set *set);
void rule_live_fini(struct rule_live *l);

/* Changes with every replacement; cheap enough to ask for each table. */
static inline uint64_t
rule_live_generation(const struct rule_live *l)
{
	return atomic_load_explicit((_Atomic uint64_t *)&l->generation, memory_order_acquire);
}

/* A reference to the set in force, or NULL when there are no rules. */
struct rule_set *rule_live_acquire(struct rule_live *l);

/* Takes over the reference; what others have acquired stays theirs. */
void rule_live_replace(struct rule_live *l, struct rule_set *set);

/* From a file, at SIGHUP.  On error the old set stays in force and *why says what is wrong with the new one.
 */
err_t rule_live_load(struct rule_live *l, const char *path, struct err_detail *why) MUST_CHECK;

#endif
