#include "markers/rule_set.h"

#include <stdlib.h>

#include "lib/core/mem.h"

enum { SHOWN = 80 };

/* --- making a set ----------------------------------------------------------------------------------------
 */

/* "FILE:LINE:COLUMN: what "text": sentence" */
static err_t
bad(const struct rules *from, const struct rules_text *text, const char *what,
    const struct err_detail *detail, struct err_detail *why)
{
	return err_set(why, ERR_CONFIG, "%s:%u:%u: %s \"%.*s\": %s", from->file, text->line, text->column,
		       what, SPAN_FMT(span_first(text->text, SHOWN)), err_why(detail));
}

/* Whether some change of `on` gives the values that the template asks for. */
static err_t
check_possible(const struct template *t, unsigned on, struct err_detail *why)
{
	bool old = false, new = false;

	for (size_t i = 0; i < t->n; i++) {
		old = old || t->parts[i].source == TEMPLATE_OLD;
		new = new || t->parts[i].source == TEMPLATE_NEW;
	}
	if (old && on == RULES_INSERT)
		return err_set(why, ERR_CONFIG,
			       "an inserted row has no old values, and the rule is on inserts only; write "
			       "{column} for {old.column}");
	if (new &&on == RULES_DELETE)
		return err_set(why, ERR_CONFIG,
			       "a deleted row has no new values, and the rule is on deletes only; write "
			       "{column} for {new.column}");
	if (old && new && !(on & RULES_UPDATE))
		return err_set(why, ERR_CONFIG,
			       "only updates have old and new values, and the rule is not on updates; make "
			       "it two templates");
	return ERR_OK;
}

static err_t
take_keys(struct rule_set *s, struct rule *rule, const struct rules *from, const struct rules_rule *spec,
	  struct err_detail *why)
{
	rule->keys = arena_alloc(&s->arena, spec->keys.n * sizeof(*rule->keys));
	for (size_t i = 0; i < spec->keys.n; i++) {
		const struct rules_text *text = &spec->keys.items[i];
		struct rule_key *key = &rule->keys[i];
		struct err_detail detail = {0};
		err_t err;

		key->text = arena_copy(&s->arena, text->text);
		err = template_parse(&key->template, key->text, &s->arena, &detail);
		if (err == ERR_OK)
			err = check_possible(&key->template, spec->on, &detail);
		if (err != ERR_OK)
			return bad(from, text, "key template", &detail, why);
	}
	rule->nkeys = spec->keys.n;
	return ERR_OK;
}

static err_t
take_rule(struct rule_set *s, struct rule *rule, const struct rules *from, const struct rules_rule *spec,
	  struct err_detail *why)
{
	struct err_detail detail = {0};
	struct span *columns;

	*rule = (struct rule){.on = spec->on, .holdoff_ms = (uint32_t)spec->opt.holdoff};
	rule->before = strcmp(spec->opt.image, "after") != 0;
	rule->after = strcmp(spec->opt.image, "before") != 0;
	rule->name = arena_copy(&s->arena, spec->name.text.len > 0 ? spec->name.text : spec->table.text);
	if (rule_pattern_parse(&rule->pattern, arena_copy(&s->arena, spec->table.text),
			       !spec->opt.ignore_case, &detail) != ERR_OK)
		return bad(from, &spec->table, "table", &detail, why);
	rule->pool = arena_copy(&s->arena, spec->pool.text);
	if (rule->pool.len > 0 && key_check(rule->pool, &detail) != ERR_OK)
		return bad(from, &spec->pool, "pool", &detail, why);
	columns = arena_alloc(&s->arena, spec->when_changed.n * sizeof(*columns));
	for (size_t i = 0; i < spec->when_changed.n; i++)
		columns[i] = arena_copy(&s->arena, spec->when_changed.items[i].text);
	rule->when_changed = columns;
	rule->nwhen_changed = spec->when_changed.n;
	return take_keys(s, rule, from, spec, why);
}

err_t
rule_set_create(struct rule_set **out, const struct rules *from, struct err_detail *why)
{
	struct rule_set *s = MEM_NEW(struct rule_set);
	err_t err = ERR_OK;

	*out = NULL;
	atomic_init(&s->refs, 1);
	s->arena = ARENA_INIT;
	s->rules = mem_zalloc(from->n, sizeof(*s->rules));
	for (s->n = 0; err == ERR_OK && s->n < from->n; s->n++)
		err = take_rule(s, &s->rules[s->n], from, &from->rules[s->n], why);
	if (err == ERR_OK)
		*out = s;
	else
		rule_set_release(&s);
	return err;
}

err_t
rule_set_load(struct rule_set **out, const char *path, struct err_detail *why)
{
	struct rules *from = NULL;
	err_t err = rules_load(&from, path, why);

	*out = NULL;
	if (err == ERR_OK)
		err = rule_set_create(out, from, why);
	rules_destroy(&from);
	return err;
}

struct rule_set *
rule_set_acquire(struct rule_set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void
rule_set_release(struct rule_set **sp)
{
	struct rule_set *s = *sp;

	*sp = NULL;
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	arena_fini(&s->arena);
	free(s->rules);
	free(s);
}

bool
rule_set_needs_names(const struct rule_set *s, struct span db, struct span table)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = &s->rules[i];

		if (!rule_pattern_matches(&rule->pattern, db, table))
			continue;
		if (rule->nwhen_changed > 0)
			return true;
		for (size_t k = 0; k < rule->nkeys; k++) {
			for (size_t p = 0; p < rule->keys[k].template.n; p++) {
				if (rule->keys[k].template.parts[p].source >= TEMPLATE_ROW)
					return true;
			}
		}
	}
	return false;
}

/* --- the set in force ------------------------------------------------------------------------------------
 */

void
rule_live_init(struct rule_live *l, struct rule_set *set)
{
	*l = (struct rule_live){.mutex = PTHREAD_MUTEX_INITIALIZER, .set = set};
	atomic_init(&l->generation, 1);
}

void
rule_live_fini(struct rule_live *l)
{
	rule_set_release(&l->set);
	pthread_mutex_destroy(&l->mutex);
}

struct rule_set *
rule_live_acquire(struct rule_live *l)
{
	struct rule_set *s;

	pthread_mutex_lock(&l->mutex);
	s = l->set != NULL ? rule_set_acquire(l->set) : NULL;
	pthread_mutex_unlock(&l->mutex);
	return s;
}

void
rule_live_replace(struct rule_live *l, struct rule_set *set)
{
	struct rule_set *old;

	pthread_mutex_lock(&l->mutex);
	old = l->set;
	l->set = set;
	atomic_fetch_add_explicit(&l->generation, 1, memory_order_release);
	pthread_mutex_unlock(&l->mutex);
	rule_set_release(&old);
}

err_t
rule_live_load(struct rule_live *l, const char *path, struct err_detail *why)
{
	struct rule_set *fresh = NULL;
	err_t err = rule_set_load(&fresh, path, why);

	if (err == ERR_OK)
		rule_live_replace(l, fresh);
	return err;
}
