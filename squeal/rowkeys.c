#include "squeal/rowkeys.h"

#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum { SLOTS = 256 }; /* tables whose rules are remembered; power of two */

/* What the rules say about one version of a table; `table` is NULL where they say nothing. */
struct slot {
	bool used;
	uint64_t version;
	uint64_t generation;
	struct rule_table *table;
};

struct rowkeys {
	struct rowkeys_parts parts;
	struct rows *rows;
	struct slot slots[SLOTS];
	struct span *names;
	size_t cap_names;
	struct buf text;    /* of the value that is looked at */
	struct buf scratch; /* rule_apply()'s */
	struct rule_counts counts;
	struct row row; /* that the rules look at */
	const struct table *table;
};

struct rowkeys *
rowkeys_create(const struct rowkeys_parts *parts)
{
	struct rowkeys *k = MEM_NEW(struct rowkeys);

	k->parts = *parts;
	k->rows = rows_create(parts->max_event);
	return k;
}

void
rowkeys_destroy(struct rowkeys **k)
{
	if (*k == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		rule_table_destroy(&(*k)->slots[i].table);
	rows_destroy(&(*k)->rows);
	free((*k)->names);
	buf_fini(&(*k)->text);
	buf_fini(&(*k)->scratch);
	free(*k);
	*k = NULL;
}

static err_t
on_key(void *arg, struct span key, const struct rule_group *group)
{
	struct rowkeys *k = arg;

	return k->parts.key(k->parts.arg, key, group);
}

static void
on_issue(void *arg, const struct rule_issue *issue)
{
	struct rowkeys *k = arg;

	log_warn(k->parts.log, "a rule cannot make a key", F_SPAN("rule", issue->rule),
		 F_SPAN("template", issue->template), F_SPAN("db", k->table->db),
		 F_SPAN("table", k->table->name), F_SPAN("column", issue->column),
		 F_SPAN("bytes", issue->excerpt), F_STR("reason", rule_reason_text(issue->reason)));
}

static const struct rule_ops rule_ops = {.key = on_key, .issue = on_issue};

/* What the rules in force say about the table; NULL: nothing. */
static const struct rule_table *
rules_of(struct rowkeys *k, const struct table *t)
{
	uint64_t generation = rule_live_generation(k->parts.rules);
	struct slot *s = &k->slots[t->version & (SLOTS - 1)];
	struct rule_set *set;

	if (s->used && s->version == t->version && s->generation == generation)
		return s->table;
	if (t->has_names && t->ncolumns > k->cap_names) {
		k->cap_names = t->ncolumns;
		k->names = mem_realloc(k->names, k->cap_names * sizeof(*k->names));
	}
	for (uint32_t i = 0; t->has_names && i < t->ncolumns; i++)
		k->names[i] = t->columns[i].name;
	rule_table_destroy(&s->table);
	set = rule_live_acquire(k->parts.rules);
	*s = (struct slot){.used = true, .version = t->version, .generation = generation};
	if (set != NULL)
		s->table = rule_table_match(set, t->db, t->name, t->has_names ? k->names : NULL, t->ncolumns,
					    &rule_ops, k);
	rule_set_release(&set);
	return s->table;
}

static enum rule_value
get(void *arg, enum rule_image image, size_t column, struct span *text)
{
	struct rowkeys *k = arg;
	struct row_value v;

	if (!row_get(image == RULE_BEFORE ? &k->row.before : &k->row.after, (uint32_t)column, &v))
		return RULE_NOT_THERE;
	if (v.is_null)
		return RULE_NULL;
	buf_clear(&k->text);
	if (!rows_value_text(&v, &k->text))
		return RULE_NO_TEXT;
	*text = buf_span(&k->text);
	return RULE_TEXT;
}

static unsigned
op_of(enum binlog_action action)
{
	return action == BINLOG_INSERT ? RULES_INSERT : action == BINLOG_UPDATE ? RULES_UPDATE : RULES_DELETE;
}

err_t
rowkeys_take(struct rowkeys *k, const struct binlog_event *ev, const struct table *t, struct err_detail *why)
{
	const struct rule_table *rules;
	struct rule_row row = {.op = op_of(ev->u.rows.action), .get = get, .arg = k, .scratch = &k->scratch};
	bool more = true;
	err_t err;

	k->table = t;
	rules = rules_of(k, t);
	if (rules == NULL || (rule_table_on(rules) & row.op) == 0)
		return ERR_OK;
	err = rows_open(k->rows, ev, t, why);
	while (err == ERR_OK) {
		err = rows_next(k->rows, &k->row, &more, why);
		if (err != ERR_OK || !more)
			break;
		err = rule_apply(rules, &row, &rule_ops, k, &k->counts);
	}
	if (err == ERR_OK && rule_counts_lost(&k->counts) > 0)
		err = err_set(
		    why, ERR_GAP,
		    "%llu key%s of table %.*s.%.*s cannot be known (see the warnings before this: set "
		    "binlog_row_image=FULL and binlog_row_metadata=FULL on the source, or correct the rule)",
		    (unsigned long long)rule_counts_lost(&k->counts),
		    rule_counts_lost(&k->counts) == 1 ? "" : "s", SPAN_FMT(span_first(t->db, 64)),
		    SPAN_FMT(span_first(t->name, 64)));
	rule_counts_flush(&k->counts, k->parts.metrics);
	return err;
}
