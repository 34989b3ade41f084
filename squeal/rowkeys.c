#include "squeal/rowkeys.h"

#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum { SLOTS = 256 }; /* tables whose rules are remembered; power of two */

/* What the rules say about one version of a table; its `table` is NULL where they say nothing. */
struct slot {
	bool used;
	uint64_t version;
	uint64_t generation;
	uint64_t schema; /* the same of the schema */
	struct rule_table *table;
	struct table *named; /* with the names that the binlog does not have; NULL where it has them */
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

static void
forget(struct slot *s)
{
	rule_table_destroy(&s->table);
	schema_table_destroy(&s->named);
	s->used = false;
}

void
rowkeys_destroy(struct rowkeys **k)
{
	if (*k == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		forget(&(*k)->slots[i]);
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

/* What the rules in force say about the table, in *out. */
static err_t
rules_of(struct rowkeys *k, const struct table *t, struct slot **out, struct err_detail *why)
{
	uint64_t generation = rule_live_generation(k->parts.rules);
	uint64_t schema = k->parts.schema != NULL ? schema_generation(k->parts.schema) : 0;
	struct slot *s = &k->slots[t->version & (SLOTS - 1)];
	struct rule_set *set;
	err_t err = ERR_OK;

	*out = s;
	if (s->used && s->version == t->version && s->generation == generation && s->schema == schema)
		return ERR_OK;
	forget(s);
	set = rule_live_acquire(k->parts.rules);
	if (set != NULL && !t->has_names && k->parts.schema != NULL &&
	    rule_set_needs_names(set, t->db, t->name)) {
		err = schema_name(k->parts.schema, k->parts.at, t, &s->named, why);
		if (err != ERR_OK)
			goto done;
		t = s->named;
	}
	if (t->has_names && t->ncolumns > k->cap_names) {
		k->cap_names = t->ncolumns;
		k->names = mem_realloc(k->names, k->cap_names * sizeof(*k->names));
	}
	for (uint32_t i = 0; t->has_names && i < t->ncolumns; i++)
		k->names[i] = t->columns[i].name;
	if (set != NULL)
		s->table = rule_table_match(set, t->db, t->name, t->has_names ? k->names : NULL, t->ncolumns,
					    &rule_ops, k);
	s->used = true;
	s->version = t->version;
	s->generation = generation;
	s->schema = schema;
done:
	rule_set_release(&set);
	return err;
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
	/* A number where the application has a text would be another key. */
	if ((v.column->type == COLUMN_ENUM || v.column->type == COLUMN_SET) && v.column->nvalues == 0)
		return RULE_NO_TEXT;
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
	struct slot *slot;
	struct rule_row row = {.op = op_of(ev->u.rows.action), .get = get, .arg = k, .scratch = &k->scratch};
	bool more = true;
	err_t err;

	k->table = t;
	err = rules_of(k, t, &slot, why);
	if (err != ERR_OK || slot->table == NULL || (rule_table_on(slot->table) & row.op) == 0)
		return err;
	if (slot->named != NULL)
		t = slot->named;
	err = rows_open(k->rows, ev, t, why);
	while (err == ERR_OK) {
		err = rows_next(k->rows, &k->row, &more, why);
		if (err != ERR_OK || !more)
			break;
		err = rule_apply(slot->table, &row, &rule_ops, k, &k->counts);
	}
	if (err == ERR_OK && rule_counts_lost(&k->counts) > 0)
		err = err_set(
		    why, ERR_KEYS_UNKNOWN,
		    "%llu key%s of table %.*s.%.*s cannot be known (see the warnings before this: set "
		    "binlog_row_image=FULL and binlog_row_metadata=FULL on the source, or correct the rule)",
		    (unsigned long long)rule_counts_lost(&k->counts),
		    rule_counts_lost(&k->counts) == 1 ? "" : "s", SPAN_FMT(span_first(t->db, 64)),
		    SPAN_FMT(span_first(t->name, 64)));
	rule_counts_flush(&k->counts, k->parts.metrics);
	return err;
}
