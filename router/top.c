#include "router/top.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/core/topk.h"

enum { SETS = 64, SAMPLE = 16 };

struct top {
	struct topk *keys;   /* one delete in SAMPLE */
	struct topk *wasted; /* every delete that is known to have been for nothing */
	uint64_t deletes, sampled, misses;
};

struct top *
top_create(uint64_t seed)
{
	struct top *t = MEM_NEW(struct top);

	t->keys = topk_create(SETS, SAMPLE, seed);
	t->wasted = topk_create(SETS, 1, ~seed);
	return t;
}

void
top_destroy(struct top **t)
{
	if (*t == NULL)
		return;
	topk_destroy(&(*t)->keys);
	topk_destroy(&(*t)->wasted);
	free(*t);
	*t = NULL;
}

void
top_note(struct top *t, struct span key, int hit)
{
	t->deletes++;
	if (topk_due(t->keys))
		topk_take(t->keys, key, hash_span(key, 0), 1);
	if (hit < 0)
		return;
	t->sampled++;
	if (hit > 0)
		return;
	t->misses++;
	topk_note(t->wasted, key, hash_span(key, 0), 1);
}

void
top_fade(struct top *t)
{
	topk_decay(t->keys);
	topk_decay(t->wasted);
	t->deletes /= 2;
	t->sampled /= 2;
	t->misses /= 2;
}

static void
put_rows(struct json *j, const char *name, struct topk *k, size_t rows, bool counts)
{
	struct topk_row *row = mem_zalloc(TOP_ROWS_MAX, sizeof(*row));
	uint64_t total = 0;
	size_t n = topk_top(&k, 1, row, rows < TOP_ROWS_MAX ? rows : TOP_ROWS_MAX, &total);

	json_name(j, name);
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		json_object(j);
		json_kv_span(j, "key", (struct span){row[i].name, row[i].len});
		if (counts)
			json_kv_u64(j, "deletes", row[i].count);
		json_name(j, "share");
		json_double(j, total > 0 ? (double)row[i].count / (double)total : 0);
		json_object_end(j);
	}
	json_array_end(j);
	free(row);
}

void
top_json(const struct top *t, size_t rows, struct json *j)
{
	json_kv_u64(j, "window_s", (uint64_t)2 * TOP_WINDOW_S);
	json_kv_u64(j, "deletes", t->deletes);
	json_kv_u64(j, "sampled", t->sampled);
	json_name(j, "wasted_share");
	if (t->sampled > 0)
		json_double(j, (double)t->misses / (double)t->sampled);
	else
		json_null(j);
	put_rows(j, "keys", t->keys, rows, true);
	put_rows(j, "wasted", t->wasted, rows, false);
}
