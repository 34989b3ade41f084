#include "lib/conf/rules.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf/schema.h"
#include "lib/conf/section.h"
#include "lib/conf/yaml.h"
#include "lib/core/file.h"
#include "lib/core/json.h"
#include "lib/core/mem.h"

#define option_owner struct rule_options
static const struct option_row rule_rows[] = {OPTION_ROWS(RULE_OPTIONS)};
#undef option_owner

static const struct option_section rule_section = {.name = "rules[]",
						   .help = "which row changes become which keys",
						   .rows = rule_rows,
						   .nrows = sizeof(rule_rows) / sizeof(rule_rows[0]),
						   .size = sizeof(struct rule_options)};

static const char *const rule_lists[] = {"keys", "on", "when_changed"};
static const char *const op_words[] = {"insert", "update", "delete"};

enum { NLISTS = 3, NOPS = 3 };

struct reader {
	struct section_file file;
	struct rules *rules;
};

const struct option_section *
rules_section(void)
{
	return &rule_section;
}

/* --- texts and lists -------------------------------------------------------------------------------------
 */

static bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	}
	return false;
}

static err_t
take_text(struct reader *r, const struct yaml_node *v, const char *what, struct rules_text *out)
{
	if (v->kind != YAML_TEXT)
		return section_bad(
		    &r->file, v->at,
		    "%s of a rule holds %s where text belongs; put texts with braces in quotes, such as "
		    "\"user:{id}\"",
		    what, yaml_kind_text(v));
	if (yaml_is_nothing(v) || v->text.len == 0)
		return section_bad(&r->file, v->at,
				   "%s of a rule holds an empty text; give it one or remove it", what);
	if (has_control(v->text))
		return section_bad(&r->file, v->at,
				   "%s of a rule holds a control character; write it on one line without \\ "
				   "escapes",
				   what);
	*out = (struct rules_text){arena_copy(&r->rules->arena, v->text), v->at.line, v->at.column};
	return ERR_OK;
}

static err_t
add_item(struct reader *r, const struct yaml_node *v, const char *what, struct rules_list *list)
{
	struct rules_text *item = &list->items[list->n];
	err_t err = take_text(r, v, what, item);

	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < list->n; i++) {
		if (span_eq(list->items[i].text, item->text))
			return section_bad(&r->file, v->at,
					   "\"%.*s\" comes twice in %s of a rule; keep one of them",
					   SPAN_FMT(span_first(item->text, 60)), what);
	}
	list->n++;
	return ERR_OK;
}

/* A list of texts, or one text. */
static err_t
take_list(struct reader *r, const struct yaml_node *node, const char *what, struct rules_list *list)
{
	bool single = node->kind == YAML_TEXT && !yaml_is_nothing(node);

	if (!single && (node->kind != YAML_LIST || node->n == 0))
		return section_bad(
		    &r->file, node->at, "%s of a rule must be a text or a list of texts, not %s%s", what,
		    node->kind == YAML_LIST ? "an empty list" : yaml_kind_text(node),
		    node->kind == YAML_MAP ? "; put texts with braces in quotes, such as \"user:{id}\"" : "");
	if (node->kind == YAML_LIST && node->n > RULES_MAX_ITEMS)
		return section_bad(&r->file, node->at,
				   "%s of a rule has more than %d items; spread them over several rules",
				   what, RULES_MAX_ITEMS);
	list->items = arena_alloc(&r->rules->arena, (single ? 1 : node->n) * sizeof(*list->items));
	list->n = 0;
	if (single)
		return add_item(r, node, what, list);
	for (const struct yaml_node *v = node->first; v != NULL; v = v->next) {
		err_t err = add_item(r, v, what, list);

		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* --- rules -----------------------------------------------------------------------------------------------
 */

static err_t
take_ops(struct reader *r, const struct yaml_node *node, unsigned *on)
{
	struct rules_list words;
	err_t err = take_list(r, node, "on", &words);

	*on = 0;
	for (size_t i = 0; err == ERR_OK && i < words.n; i++) {
		struct rules_text *w = &words.items[i];
		const char *near = option_nearest_word(op_words, NOPS, w->text);
		unsigned bit = 0;

		for (unsigned op = 0; op < NOPS; op++) {
			if (span_is(w->text, op_words[op]))
				bit = 1u << op;
		}
		if (bit == 0)
			err = section_bad(
			    &r->file, (struct yaml_place){w->line, w->column},
			    "\"%.*s\" is no row change; %s%s%s", SPAN_FMT(span_first(w->text, 60)),
			    near != NULL ? "did you mean \"" : "there are: insert, update, delete",
			    near != NULL ? near : "", near != NULL ? "\"?" : "");
		*on |= bit;
	}
	return err;
}

/* A text option that was given and is not empty; leaves *out empty otherwise. */
static err_t
take_option(struct reader *r, const struct section *s, const char *name, struct rules_text *out)
{
	for (size_t i = 0; i < s->table->nrows; i++) {
		if (strcmp(s->table->rows[i].name, name) == 0 && s->values[i] != NULL &&
		    s->values[i]->text.len > 0)
			return take_text(r, s->values[i], name, out);
	}
	return ERR_OK;
}

static err_t
take_rule(struct reader *r, const struct yaml_node *node, struct rules_rule *rule)
{
	struct section s = {.table = &rule_section, .path = "a rule", .base = &rule->opt};
	const struct yaml_node *list;
	err_t err;

	rule->line = node->at.line;
	rule->column = node->at.column;
	rule->on = RULES_ALL;
	if (yaml_is_nothing(node))
		return section_bad(&r->file, node->at, "a rule is empty; it needs table and keys");
	err = section_read(&s, &r->file, node, rule_lists, NLISTS);
	if (err == ERR_OK)
		err = take_option(r, &s, "name", &rule->name);
	if (err == ERR_OK)
		err = take_option(r, &s, "table", &rule->table);
	if (err == ERR_OK)
		err = take_option(r, &s, "pool", &rule->pool);
	if (err == ERR_OK && rule->table.text.len == 0)
		err = section_bad(&r->file, node->at,
				  "a rule has no table; add one, such as table: shop.users");
	if (err != ERR_OK)
		return err;

	list = yaml_get(node, "keys");
	if (list == NULL)
		return section_bad(&r->file, node->at,
				   "a rule has no keys; add some, such as keys: [\"user:{id}\"]");
	err = take_list(r, list, "keys", &rule->keys);
	list = yaml_get(node, "on");
	if (err == ERR_OK && list != NULL)
		err = take_ops(r, list, &rule->on);
	list = yaml_get(node, "when_changed");
	if (err == ERR_OK && list != NULL)
		err = take_list(r, list, "when_changed", &rule->when_changed);
	if (err == ERR_OK && list != NULL && !(rule->on & RULES_UPDATE))
		err = section_bad(
		    &r->file, list->at,
		    "when_changed of a rule is about updates, and its \"on\" has none; remove one of them");
	return err;
}

/* Counters and logs would not tell two rules of one name apart. */
static err_t
check_names(struct reader *r)
{
	const struct rules *all = r->rules;

	for (size_t i = 0; i < all->n; i++) {
		const struct rules_text *name = &all->rules[i].name;

		for (size_t j = 0; name->text.len > 0 && j < i; j++) {
			if (span_eq(all->rules[j].name.text, name->text))
				return section_bad(
				    &r->file, (struct yaml_place){name->line, name->column},
				    "a second rule \"%.*s\"; the first is in line %u, give one another name",
				    SPAN_FMT(span_first(name->text, 60)), all->rules[j].name.line);
		}
	}
	return ERR_OK;
}

static err_t
take_rules(struct reader *r, const struct yaml_node *root)
{
	static const char *const keys[] = {"rules"};
	static const struct option_section no_rows = {.name = "", .help = "", .rows = rule_rows, .nrows = 0};
	struct section top = {.table = &no_rows, .path = "a rule file"};
	const struct yaml_node *list;
	err_t err;

	if (root->kind != YAML_MAP)
		return section_bad(&r->file, root->at,
				   "a rule file must be a mapping with the list \"rules:\", not %s",
				   yaml_kind_text(root));
	err = section_read(&top, &r->file, root, keys, 1);
	if (err != ERR_OK)
		return err;
	list = yaml_get(root, "rules");
	if (list == NULL)
		return section_bad(&r->file, root->at, "a rule file needs the list \"rules:\"");
	if (list->kind != YAML_LIST)
		return section_bad(&r->file, list->at,
				   "rules must be a list (\"- table: ...\" items), not %s; write [] for none",
				   yaml_kind_text(list));
	if (list->n > RULES_MAX)
		return section_bad(&r->file, list->at,
				   "more than %d rules; patterns of tables make do with fewer", RULES_MAX);
	r->rules->rules = mem_zalloc(list->n, sizeof(*r->rules->rules));
	for (const struct yaml_node *v = list->first; v != NULL; v = v->next) {
		struct rules_rule *rule = &r->rules->rules[r->rules->n++];

		option_defaults(&rule_section, &rule->opt);
		err = take_rule(r, v, rule);
		if (err != ERR_OK)
			return err;
	}
	return check_names(r);
}

/* --- the file --------------------------------------------------------------------------------------------
 */

err_t
rules_parse(struct rules **out, struct span text, const char *name, struct err_detail *why)
{
	struct rules *rules = MEM_NEW(struct rules);
	struct reader r = {.file = {.name = name, .why = why}, .rules = rules};
	struct yaml *tree = NULL;
	err_t err;

	*out = NULL;
	rules->file = mem_strdup(name);
	rules->arena = ARENA_INIT;
	err = yaml_create(&tree, text, name, why);
	if (err == ERR_OK)
		err = take_rules(&r, yaml_root(tree));
	if (err == ERR_OK) {
		*out = rules;
		rules = NULL;
	} else {
		err_one_line(why);
	}
	yaml_destroy(&tree);
	rules_destroy(&rules);
	return err;
}

err_t
rules_load(struct rules **out, const char *path, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	*out = NULL;
	err = file_read(path, YAML_MAX_BYTES, &text, why);
	if (err == ERR_OK)
		err = rules_parse(out, buf_span(&text), path, why);
	buf_fini(&text);
	return err;
}

void
rules_destroy(struct rules **rp)
{
	struct rules *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		option_fini(&rule_section, &r->rules[i].opt);
	free(r->rules);
	free(r->file);
	arena_fini(&r->arena);
	free(r);
}

/* --- JSON Schema -----------------------------------------------------------------------------------------
 */

/* A text or a list of texts; `words` (may be NULL) are the only ones. */
static void
put_list(struct json *j, const char *name, const char *help, const char *const *words, size_t nwords)
{
	json_name(j, name);
	json_object(j);
	json_kv_str(j, "description", help);
	json_name(j, "oneOf");
	json_array(j);
	for (int list = 0; list < 2; list++) {
		json_object(j);
		if (list) {
			json_kv_str(j, "type", "array");
			json_kv_u64(j, "minItems", 1);
			json_kv_u64(j, "maxItems", RULES_MAX_ITEMS);
			json_kv_bool(j, "uniqueItems", true);
			json_name(j, "items");
			json_object(j);
		}
		json_kv_str(j, "type", "string");
		json_kv_u64(j, "minLength", 1);
		if (words != NULL) {
			json_name(j, "enum");
			json_array(j);
			for (size_t i = 0; i < nwords; i++)
				json_str(j, words[i]);
			json_array_end(j);
		}
		if (list)
			json_object_end(j);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

void
rules_json_schema(struct buf *out)
{
	static const char *const required_top[] = {"rules"}, *const required_rule[] = {"table", "keys"};
	struct buf text = BUF_INIT;
	struct json j;

	json_init(&j, &text);
	json_object(&j);
	json_kv_str(&j, "$schema", "http://json-schema.org/draft-07/schema#");
	json_kv_str(&j, "title", "a rule file of squeal");
	json_kv_str(&j, "type", "object");
	json_kv_bool(&j, "additionalProperties", false);
	json_name(&j, "properties");
	json_object(&j);
	json_name(&j, "rules");
	json_object(&j);
	json_kv_str(&j, "type", "array");
	json_kv_u64(&j, "maxItems", RULES_MAX);
	json_name(&j, "items");
	json_object(&j);
	schema_begin_object(&j, &rule_section, false);
	put_list(&j, "keys", RULE_KEYS_HELP, NULL, 0);
	put_list(&j, "on", RULE_ON_HELP, op_words, NOPS);
	put_list(&j, "when_changed", RULE_CHANGED_HELP, NULL, 0);
	json_object_end(&j);
	schema_required(&j, required_rule, 2);
	json_object_end(&j);
	json_object_end(&j);
	json_object_end(&j);
	schema_required(&j, required_top, 1);
	json_object_end(&j);
	schema_indent(buf_span(&text), out);
	buf_fini(&text);
}
