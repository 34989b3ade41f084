/* Nanoseconds per row of a rule with two keys: bench_rule [ROWS]. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "markers/rule.h"

static const struct span names[] = {{"id", 2}, {"name", 4}, {"owner_id", 8}, {"email", 5}, {"seen_at", 7}};

enum { NNAMES = sizeof(names) / sizeof(names[0]) };

struct row {
	char before[NNAMES][24], after[NNAMES][24];
	size_t before_len[NNAMES], after_len[NNAMES];
};

static uint64_t bytes; /* so that the compiler cannot leave the work out */

static enum rule_value
get(void *arg, enum rule_image image, size_t column, struct span *text)
{
	struct row *r = arg;

	*text = image == RULE_BEFORE ? span_make(r->before[column], r->before_len[column])
				     : span_make(r->after[column], r->after_len[column]);
	return RULE_TEXT;
}

static err_t
on_key(void *arg, struct span key, const struct rule_group *group)
{
	bytes += key.len;
	return ERR_OK;
}

static void
on_issue(void *arg, const struct rule_issue *issue)
{
	abort();
}

static void
fill(struct row *r, uint64_t i)
{
	for (size_t c = 0; c < NNAMES; c++) {
		uint64_t v = i * 7919 + c * 104729;

		r->before_len[c] = (size_t)snprintf(r->before[c], sizeof(r->before[c]), "%" PRIu64, v);
		r->after_len[c] =
		    (size_t)snprintf(r->after[c], sizeof(r->after[c]), "%" PRIu64, c == 1 ? v + 1 : v);
	}
}

static void
measure(const char *what, const char *yaml, unsigned op, uint64_t n)
{
	static const struct rule_ops ops = {on_key, on_issue};
	struct rules *rules = NULL;
	struct rule_set *set = NULL;
	struct err_detail why = {0};
	struct rule_table *t;
	struct rule_counts counts = {0};
	struct buf scratch = BUF_INIT;
	struct timespec a, b;
	struct row rows[64];

	if (rules_parse(&rules, span_of(yaml), "bench", &why) != ERR_OK ||
	    rule_set_create(&set, rules, &why) != ERR_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	t = rule_table_match(set, SPAN_LIT("shop"), SPAN_LIT("users"), names, NNAMES, &ops, NULL);
	for (uint64_t i = 0; i < 64; i++)
		fill(&rows[i], i);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (uint64_t i = 0; i < n; i++) {
		struct rule_row row = {.op = op, .get = get, .arg = &rows[i % 64], .scratch = &scratch};

		if (rule_apply(t, &row, &ops, NULL, &counts) != ERR_OK)
			exit(1);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%-40s %7.1f ns/row  %" PRIu64 " keys\n", what,
	       ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n,
	       counts.keys);
	rule_table_destroy(&t);
	rule_set_release(&set);
	rules_destroy(&rules);
	buf_fini(&scratch);
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	static const char two[] = "rules: [{table: shop.users, keys: ['user:{id}', 'feed:{owner_id}']}]";
	static const char changed[] = "rules: [{table: shop.users, keys: ['user:{id}', 'feed:{owner_id}'], "
				      "when_changed: [email, seen_at]}]";
	static const char steps[] =
	    "rules: [{table: shop.users, keys: ['user:{id|lower|url}', '{db}:{table}:{email|hex}']}]";

	measure("insert, two keys", two, RULES_INSERT, n);
	measure("update, two keys, both images", two, RULES_UPDATE, n);
	measure("update, when_changed, nothing did", changed, RULES_UPDATE, n);
	measure("insert, two keys with steps", steps, RULES_INSERT, n);
	return bytes == 0;
}
