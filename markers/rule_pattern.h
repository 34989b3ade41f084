/*
 * rule_pattern - which tables a rule speaks about.
 *
 *      shop.users   shop.*   *.users   shard_[0-9]*.users   shop.order?   shop.[!_]*   odd\.name.t
 *
 * A pattern of the database, a dot, a pattern of the table; each must match the whole name.  `*` is any text,
 * also none; `?` one character of UTF-8; `[a-z0]` one ASCII character of a set, `[!...]` one character that
 * is not in it;
 * `\` takes the next character as it is.
 *
 * Case: servers differ in whether names of tables keep theirs (lower_case_table_names), and a rule that never
 * matches loses keys silently.  So ASCII letters match in either case unless `exact` is asked for.
 *
 * Threads: any; a pattern does not change.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_RULE_PATTERN_H
#define SQUEAL_MARKERS_RULE_PATTERN_H

#include <stdbool.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

struct rule_pattern {
	struct span db, table;
	bool exact;
};

/* Points into `text`.  ERR_CONFIG with one sentence. */
err_t rule_pattern_parse(struct rule_pattern *out, struct span text, bool exact,
			 struct err_detail *why) MUST_CHECK;

bool rule_pattern_matches(const struct rule_pattern *p, struct span db, struct span table);

#endif
