#include "markers/rule.h"

#include <stdlib.h>

#include "lib/core/mem.h"

typedef struct rule_metrics metric_owner;
const struct metric_row rule_metric_rows[] = {METRIC_ROWS(RULE_METRICS)};
const size_t rule_metric_nrows = sizeof(rule_metric_rows) / sizeof(rule_metric_rows[0]);

static const struct {
	err_t err;
	const char *label, *text;
} reasons[] = {
#define RULE_ROW(name, err, label, text) [name] = {err, label, text},
    RULE_REASONS(RULE_ROW)
#undef RULE_ROW
};

enum { NO_COLUMN = -1, NOPS = 3, NIMAGES = 2 };

/* A part of a key of this table; db and table have become literals. */
struct part {
	const struct template_part *part;
	struct span literal; /* part is NULL */
	long column;
};

struct key {
	const struct rule_key *key;
	struct rule_group group;
	struct part *parts;
	size_t nparts;
	bool known;	    /* the table has all columns */
	bool row, old, new; /* what it asks for */
};

struct entry {
	const struct rule *rule;
	struct key *keys; /* as many as the rule has */
	long *when_changed;
	size_t nwhen_changed; /* 0: every update */
};

struct rule_table {
	struct rule_set *set;
	struct entry *entries; /* in the file's order */
	size_t n;
	unsigned on;
	uint64_t *columns[NOPS][NIMAGES]; /* NULL: none */
	size_t nwords;
	struct arena arena;
};

const char *
rule_reason_label(enum rule_reason reason)
{
	return (unsigned)reason < RULE_NREASONS ? reasons[reason].label : "unknown";
}

const char *
rule_reason_text(enum rule_reason reason)
{
	return (unsigned)reason < RULE_NREASONS ? reasons[reason].text : "unknown";
}

err_t
rule_reason_err(enum rule_reason reason)
{
	return (unsigned)reason < RULE_NREASONS ? reasons[reason].err : ERR_GAP;
}

void
rule_counts_flush(struct rule_counts *c, struct rule_metrics *m)
{
	const struct {
		metric_t *metric;
		uint64_t n;
	} all[] = {{&m->rule_row, c->rows},
		   {&m->rule_key, c->keys},
		   {&m->rule_null, c->nulls},
		   {&m->rule_absent, c->absent},
		   {&m->rule_unreadable, c->unreadable},
		   {&m->rule_no_column, c->no_column},
		   {&m->rule_key_bad, c->bad_keys}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].n > 0)
			metric_add(all[i].metric, all[i].n);
	}
	*c = (struct rule_counts){0};
}

/* --- a table ---------------------------------------------------------------------------------------------
 */

struct match {
	struct rule_table *t;
	struct span db, table;
	const struct span *names;
	size_t n;
	const struct rule_ops *ops;
	void *arg;
};

/* Names of columns are the same in either case, as in SQL; an exact one goes first, in case a server
 * disagrees. */
static long
find_column(const struct match *m, struct span name)
{
	for (size_t i = 0; i < m->n; i++) {
		if (span_eq(m->names[i], name))
			return (long)i;
	}
	for (size_t i = 0; i < m->n; i++) {
		if (span_ieq(m->names[i], name))
			return (long)i;
	}
	return NO_COLUMN;
}

static void
report(const struct match *m, enum rule_reason reason, const struct rule *rule, struct span template,
       struct span column)
{
	m->ops->issue(m->arg, &(struct rule_issue){.reason = reason,
						   .rule = rule->name,
						   .template = template,
						   .column = column,
						   .excerpt = {"", 0}});
}

static void
put_literal(struct match *m, struct key *key, struct span text)
{
	struct part *last = key->nparts > 0 ? &key->parts[key->nparts - 1] : NULL;
	char *both;

	if (text.len == 0 || (last != NULL && last->part == NULL && last->literal.len > KEY_MAX))
		return;
	if (last == NULL || last->part != NULL) {
		key->parts[key->nparts++] = (struct part){.literal = text, .column = NO_COLUMN};
		return;
	}
	both = arena_alloc(&m->t->arena, last->literal.len + text.len);
	memcpy(both, last->literal.p, last->literal.len);
	memcpy(both + last->literal.len, text.p, text.len);
	last->literal = span_make(both, last->literal.len + text.len);
}

/* A name of 64 characters may become longer than a key in its steps; the key is too long then, whatever the
 * row. */
static void
put_name(struct match *m, struct key *key, const struct template_part *part, struct span name)
{
	struct template_out o;

	template_out_clear(&o);
	template_out_value(&o, part, name, false);
	if (o.too_long) {
		char *filler = arena_alloc(&m->t->arena, KEY_MAX + 1);

		memset(filler, '.', KEY_MAX + 1);
		put_literal(m, key, span_make(filler, KEY_MAX + 1));
	} else {
		put_literal(m, key, arena_copy(&m->t->arena, span_make(o.bytes, o.len)));
	}
}

static void
match_key(struct match *m, const struct rule *rule, const struct rule_key *from, struct key *key)
{
	const struct template *tpl = &from->template;

	*key = (struct key){
	    .key = from,
	    .group = {rule->pool, rule->holdoff_ms, rule->name, from->text},
	    .known = true,
	};
	key->parts = arena_alloc(&m->t->arena, tpl->n * sizeof(*key->parts));
	for (size_t i = 0; i < tpl->n; i++) {
		const struct template_part *part = &tpl->parts[i];
		long column;

		switch (part->source) {
		case TEMPLATE_LITERAL:
			put_literal(m, key, part->text);
			continue;
		case TEMPLATE_DB:
			put_name(m, key, part, m->db);
			continue;
		case TEMPLATE_TABLE:
			put_name(m, key, part, m->table);
			continue;
		case TEMPLATE_ROW:
			key->row = true;
			break;
		case TEMPLATE_OLD:
			key->old = true;
			break;
		case TEMPLATE_NEW:
			key->new = true;
			break;
		}
		column = find_column(m, part->text);
		if (column == NO_COLUMN) {
			key->known = false;
			report(m, m->names != NULL ? RULE_NO_COLUMN : RULE_NO_NAMES, rule, from->text,
			       part->text);
		}
		key->parts[key->nparts++] = (struct part){.part = part, .column = column};
	}
}

static void
match_entry(struct match *m, const struct rule *rule, struct entry *e)
{
	*e = (struct entry){.rule = rule};
	e->keys = arena_alloc(&m->t->arena, rule->nkeys * sizeof(*e->keys));
	for (size_t i = 0; i < rule->nkeys; i++)
		match_key(m, rule, &rule->keys[i], &e->keys[i]);
	e->when_changed = arena_alloc(&m->t->arena, rule->nwhen_changed * sizeof(*e->when_changed));
	e->nwhen_changed = rule->nwhen_changed;
	for (size_t i = 0; i < rule->nwhen_changed; i++) {
		e->when_changed[i] = find_column(m, rule->when_changed[i]);
		if (e->when_changed[i] == NO_COLUMN) {
			/* One that cannot be looked at may have changed. */
			e->nwhen_changed = 0;
			report(m, m->names != NULL ? RULE_NO_CHANGE_COLUMN : RULE_NO_NAMES, rule,
			       (struct span){"", 0}, rule->when_changed[i]);
		}
	}
}

static void
need(struct rule_table *t, unsigned op, enum rule_image image, long column)
{
	uint64_t **words = &t->columns[op >> 1][image];

	if (column == NO_COLUMN)
		return;
	if (*words == NULL) {
		*words = arena_alloc(&t->arena, t->nwords * sizeof(**words));
		memset(*words, 0, t->nwords * sizeof(**words));
	}
	(*words)[column / 64] |= (uint64_t)1 << (column % 64);
}

/* What build() may ask for, kept beside it in mind. */
static void
need_key(struct rule_table *t, const struct rule *rule, const struct key *key)
{
	for (size_t i = 0; i < key->nparts; i++) {
		const struct part *p = &key->parts[i];
		enum template_source source = p->part != NULL ? p->part->source : TEMPLATE_LITERAL;

		if (source == TEMPLATE_LITERAL || !key->known)
			continue;
		if ((rule->on & RULES_INSERT) && !key->old)
			need(t, RULES_INSERT, RULE_AFTER, p->column);
		if ((rule->on & RULES_DELETE) && !key->new)
			need(t, RULES_DELETE, RULE_BEFORE, p->column);
		if (!(rule->on & RULES_UPDATE))
			continue;
		/* The old row too for a new value: it stands in for what is not there. */
		need(t, RULES_UPDATE, RULE_BEFORE, p->column);
		if (source == TEMPLATE_NEW || (source == TEMPLATE_ROW && rule->after))
			need(t, RULES_UPDATE, RULE_AFTER, p->column);
	}
}

struct rule_table *
rule_table_match(struct rule_set *set, struct span db, struct span table, const struct span *names, size_t n,
		 const struct rule_ops *ops, void *arg)
{
	struct match m = {
	    .db = db, .table = table, .names = names, .n = names != NULL ? n : 0, .ops = ops, .arg = arg};
	struct rule_table *t;
	size_t matching = 0;

	for (size_t i = 0; i < set->n; i++)
		matching += rule_pattern_matches(&set->rules[i].pattern, db, table);
	if (matching == 0)
		return NULL;
	t = MEM_NEW(struct rule_table);
	t->arena = ARENA_INIT;
	t->set = rule_set_acquire(set);
	t->nwords = (m.n + 63) / 64;
	t->entries = arena_alloc(&t->arena, matching * sizeof(*t->entries));
	m.t = t;
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *rule = &set->rules[i];
		struct entry *e = &t->entries[t->n];

		if (!rule_pattern_matches(&rule->pattern, db, table))
			continue;
		t->n++;
		t->on |= rule->on;
		match_entry(&m, rule, e);
		for (size_t k = 0; k < rule->nkeys; k++)
			need_key(t, rule, &e->keys[k]);
		for (size_t k = 0; k < e->nwhen_changed; k++) {
			need(t, RULES_UPDATE, RULE_BEFORE, e->when_changed[k]);
			need(t, RULES_UPDATE, RULE_AFTER, e->when_changed[k]);
		}
	}
	return t;
}

void
rule_table_destroy(struct rule_table **tp)
{
	struct rule_table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	rule_set_release(&t->set);
	arena_fini(&t->arena);
	free(t);
}

const struct rule_set *
rule_table_set(const struct rule_table *t)
{
	return t->set;
}

unsigned
rule_table_on(const struct rule_table *t)
{
	return t->on;
}

const uint64_t *
rule_table_columns(const struct rule_table *t, unsigned op, enum rule_image image, size_t *nwords)
{
	*nwords = t->nwords;
	return t->columns[op >> 1][image];
}

/* --- a row -----------------------------------------------------------------------------------------------
 */

struct apply {
	const struct rule_row *row;
	const struct rule_ops *ops;
	void *arg;
	struct rule_counts *counts;
};

static void
say(const struct apply *a, enum rule_reason reason, const struct entry *e, const struct key *key,
    struct span column, struct span excerpt)
{
	a->ops->issue(a->arg, &(struct rule_issue){.reason = reason,
						   .rule = e->rule->name,
						   .template = key->key->text,
						   .column = column,
						   .excerpt = excerpt});
}

/* What an update left out of the new row is as it was. */
static inline enum rule_value
get_value(const struct apply *a, enum rule_image image, size_t column, struct span *text)
{
	enum rule_value v = a->row->get(a->row->arg, image, column, text);

	if (v == RULE_NOT_THERE && image == RULE_AFTER && a->row->op == RULES_UPDATE)
		v = a->row->get(a->row->arg, RULE_BEFORE, column, text);
	return v;
}

/*
 * Whether the update may have changed the column.  One that an image does not hold may have: a REPLACE is
 * written as an update of the columns that it names, and sets all others back to their defaults; a virtual
 * column changes unwritten.
 */
static bool
has_changed(const struct apply *a, size_t column)
{
	const struct rule_row *row = a->row;
	struct span text = {"", 0};
	enum rule_value before, after = row->get(row->arg, RULE_AFTER, column, &text);

	if (after == RULE_NOT_THERE || after == RULE_NO_TEXT)
		return true;
	buf_clear(row->scratch);
	if (after == RULE_TEXT)
		buf_put_span(row->scratch, text);
	before = row->get(row->arg, RULE_BEFORE, column, &text);
	if (before != after)
		return true;
	return before == RULE_TEXT && !span_eq(text, buf_span(row->scratch));
}

static bool
is_meant(const struct apply *a, const struct entry *e)
{
	if (!(e->rule->on & a->row->op))
		return false;
	if (a->row->op != RULES_UPDATE || e->nwhen_changed == 0)
		return true;
	for (size_t i = 0; i < e->nwhen_changed; i++) {
		if (has_changed(a, (size_t)e->when_changed[i]))
			return true;
	}
	return false;
}

/* The key with {column} of `image`; false when there is none. */
static bool
build(const struct apply *a, const struct entry *e, const struct key *key, enum rule_image image,
      struct template_out *out)
{
	template_out_clear(out);
	for (size_t i = 0; i < key->nparts; i++) {
		const struct part *p = &key->parts[i];
		struct span text = {"", 0};
		enum rule_value v;

		if (p->part == NULL) {
			template_out_put(out, p->literal);
			continue;
		}
		v = get_value(a,
			      p->part->source == TEMPLATE_OLD	? RULE_BEFORE
			      : p->part->source == TEMPLATE_NEW ? RULE_AFTER
								: image,
			      (size_t)p->column, &text);
		switch (v) {
		case RULE_TEXT:
		case RULE_NULL:
			if (!template_out_value(out, p->part, text, v == RULE_NULL)) {
				a->counts->nulls++;
				return false;
			}
			break;
		case RULE_NOT_THERE:
			a->counts->absent++;
			say(a, RULE_ABSENT, e, key, p->part->text, (struct span){"", 0});
			return false;
		case RULE_NO_TEXT:
			a->counts->unreadable++;
			say(a, RULE_UNREADABLE, e, key, p->part->text, (struct span){"", 0});
			return false;
		}
	}
	return true;
}

static err_t
hand_out(const struct apply *a, const struct entry *e, const struct key *key, const struct template_out *out)
{
	struct span bytes = span_make(out->bytes, out->len);
	enum key_fault fault = out->too_long ? KEY_TOO_LONG : key_fault(bytes);
	enum rule_reason reason = fault == KEY_EMPTY	  ? RULE_KEY_EMPTY
				  : fault == KEY_TOO_LONG ? RULE_KEY_LONG
							  : RULE_KEY_CONTROL;

	if (fault == KEY_OK) {
		a->counts->keys++;
		return a->ops->key(a->arg, bytes, &key->group);
	}
	a->counts->bad_keys++;
	say(a, reason, e, key, (struct span){"", 0}, span_first(bytes, 64));
	return ERR_OK;
}

static err_t
apply_key(const struct apply *a, const struct entry *e, const struct key *key)
{
	struct template_out outs[NIMAGES];
	bool made[NIMAGES] = {false, false};
	bool update = a->row->op == RULES_UPDATE;
	err_t err = ERR_OK;

	if ((key->old && a->row->op == RULES_INSERT) || (key->new && a->row->op == RULES_DELETE))
		return ERR_OK;
	if (!key->known) {
		a->counts->no_column++;
		return ERR_OK;
	}
	/* Without {column} both images give the same; an update's own images are the rule's choice. */
	if (a->row->op == RULES_DELETE || (update && key->row && e->rule->before))
		made[RULE_BEFORE] = build(a, e, key, RULE_BEFORE, &outs[RULE_BEFORE]);
	if (a->row->op == RULES_INSERT || (update && (!key->row || e->rule->after)))
		made[RULE_AFTER] = build(a, e, key, RULE_AFTER, &outs[RULE_AFTER]);
	if (made[RULE_BEFORE])
		err = hand_out(a, e, key, &outs[RULE_BEFORE]);
	if (err != ERR_OK || !made[RULE_AFTER])
		return err;
	/* Beginnings of keys that are too long say nothing about their ends, and are reported either way. */
	if (made[RULE_BEFORE] && !outs[RULE_BEFORE].too_long && !outs[RULE_AFTER].too_long &&
	    span_eq(span_make(outs[RULE_BEFORE].bytes, outs[RULE_BEFORE].len),
		    span_make(outs[RULE_AFTER].bytes, outs[RULE_AFTER].len)))
		return ERR_OK;
	return hand_out(a, e, key, &outs[RULE_AFTER]);
}

err_t
rule_apply(const struct rule_table *t, const struct rule_row *row, const struct rule_ops *ops, void *arg,
	   struct rule_counts *counts)
{
	struct apply a = {.row = row, .ops = ops, .arg = arg, .counts = counts};
	bool meant = false;
	err_t err = ERR_OK;

	if (!(t->on & row->op))
		return ERR_OK;
	for (size_t i = 0; err == ERR_OK && i < t->n; i++) {
		const struct entry *e = &t->entries[i];

		if (!is_meant(&a, e))
			continue;
		meant = true;
		for (size_t k = 0; err == ERR_OK && k < e->rule->nkeys; k++)
			err = apply_key(&a, e, &e->keys[k]);
	}
	counts->rows += meant;
	return err;
}
