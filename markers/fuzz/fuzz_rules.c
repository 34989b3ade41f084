/*
 * Any bytes as a rule file: rules, or one line that names the file.  Rules are then applied to rows of
 * made-up values: every key is valid, and no column is asked for that was not announced.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/core/hash.h"
#include "markers/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct span names[] = {{"id", 2},	{"owner_id", 8}, {"email", 5},
				    {"a`b", 3}, {"db", 2},	 {"old", 3}};

enum { NNAMES = sizeof(names) / sizeof(names[0]) };

struct row {
	const struct rule_table *t;
	unsigned op;
	uint64_t seed;
	char text[300];
	bool issue;
};

static enum rule_value
get(void *arg, enum rule_image image, size_t column, struct span *text)
{
	struct row *r = arg;
	uint64_t h = hash_span(span_make(&column, sizeof(column)), r->seed + (unsigned)image);
	size_t nwords;
	const uint64_t *words = rule_table_columns(r->t, r->op, image, &nwords);

	if (words == NULL || column / 64 >= nwords || !(words[column / 64] >> (column % 64) & 1))
		abort();
	switch (h % 8) {
	case 0:
		return RULE_NULL;
	case 1:
		return RULE_NOT_THERE;
	case 2:
		return RULE_NO_TEXT;
	default:
		memset(r->text, (char)(h >> 8), sizeof(r->text));
		*text = span_make(r->text, h % 8 < 6 ? h >> 16 & 7 : h >> 16 & 255);
		return RULE_TEXT;
	}
}

static err_t
on_key(void *arg, struct span key, const struct rule_group *group)
{
	if (key_fault(key) != KEY_OK || (group->pool.len > 0 && key_fault(group->pool) != KEY_OK) ||
	    group->rule.len == 0)
		abort();
	return ERR_OK;
}

static void
on_issue(void *arg, const struct rule_issue *issue)
{
	if (issue->rule.len == 0 || rule_reason_text(issue->reason)[0] == '\0')
		abort();
}

static void
apply(struct rule_set *set, struct span db, struct span table, bool named, uint64_t seed, struct buf *scratch)
{
	static const struct rule_ops ops = {on_key, on_issue};
	struct rule_table *t = rule_table_match(set, db, table, named ? names : NULL, NNAMES, &ops, NULL);
	struct rule_counts counts = {0};

	for (unsigned op = RULES_INSERT; t != NULL && op <= RULES_DELETE; op <<= 1) {
		struct row r = {.t = t, .op = op, .seed = seed};
		struct rule_row row = {.op = op, .get = get, .arg = &r, .scratch = scratch};

		if (rule_apply(t, &row, &ops, NULL, &counts) != ERR_OK)
			abort();
	}
	rule_table_destroy(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct span tables[][2] = {{{"shop", 4}, {"users", 5}},
						{{"shard_1", 7}, {"Users", 5}},
						{{"a", 1}, {"b", 1}},
						{{"", 0}, {"", 0}}};
	struct rules *rules = NULL;
	struct rule_set *set = NULL;
	struct buf scratch = BUF_INIT;
	struct err_detail why = {0};
	err_t err = rules_parse(&rules, span_make(data, size), "f.yaml", &why);

	if (err == ERR_OK)
		err = rule_set_create(&set, rules, &why);
	if (err != ERR_OK) {
		if (set != NULL || strncmp(why.text, "f.yaml:", 7) != 0)
			abort();
		for (const char *c = why.text; *c != '\0'; c++) {
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				abort();
		}
	}
	for (size_t i = 0; set != NULL && i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (uint64_t seed = 0; seed < 4; seed++)
			apply(set, tables[i][0], tables[i][1], seed > 0, seed, &scratch);
	}
	rule_set_release(&set);
	rules_destroy(&rules);
	buf_fini(&scratch);
	return 0;
}
