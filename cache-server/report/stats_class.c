/*
 * `stats items` and `stats slabs`: ranges of TTLs as memcached's slab classes.
 *
 * What the store counts only as a whole (evictions, hits) is in the first class, so that sums over classes
 * are right.  Sizes of chunks are averages.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cache-server/report/inside.h"
#include "lib/core/mem.h"

#define GET(from, field) metric_get(&(from)->field)

unsigned
report_class(uint32_t ttl)
{
	unsigned octave, class;

	if (ttl == 0)
		return REPORT_NEVER_CLASS;
	octave = 31 - (unsigned)__builtin_clz(ttl);
	class = REPORT_NEVER_CLASS + 1 + 2 * octave + (octave > 0 ? (ttl >> (octave - 1)) & 1 : 0);
	return class < REPORT_MAX_CLASS ? class : REPORT_MAX_CLASS;
}

void
report_classes(struct store *s, struct report_classes *out)
{
	struct store_ttl_row *rows = mem_zalloc(REPORT_MAX_ROWS, sizeof *rows);
	size_t n = store_ttl_rows(s, rows, REPORT_MAX_ROWS);

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < n; i++) {
		struct report_class_row *c =
		    &out->at[report_class(rows[i].ttl_from == 0 && rows[i].ttl_to == 0
					      ? 0
					      : (rows[i].ttl_from > 0 ? rows[i].ttl_from : 1))];

		if (!c->used)
			c->row.ttl_from = rows[i].ttl_from;
		c->used = true;
		c->row.ttl_to = rows[i].ttl_to;
		c->row.segments += rows[i].segments;
		c->row.items += rows[i].items;
		c->row.bytes += rows[i].bytes;
		c->row.live_bytes += rows[i].live_bytes;
		if (rows[i].oldest > c->row.oldest)
			c->row.oldest = rows[i].oldest;
	}
	free(rows);
}

#define ITEM_U64(name, value) report_row(e, "items", n, name, "%" PRIu64, (uint64_t)(value))

static void
put_items(const struct report_class_row *c, unsigned n, bool lists, const struct cache_counters *counters,
	  const struct store_metrics *st, const struct report_emit *e)
{
	ITEM_U64("number", c->row.items);
	if (lists) {
		ITEM_U64("number_hot", 0);
		ITEM_U64("number_warm", 0);
		ITEM_U64("number_cold", c->row.items);
		ITEM_U64("age_hot", 0);
		ITEM_U64("age_warm", 0);
	}
	ITEM_U64("age", c->row.oldest);
	ITEM_U64("mem_requested", c->row.live_bytes);
	ITEM_U64("evicted", GET(st, store_evicted));
	ITEM_U64("evicted_nonzero", 0);
	ITEM_U64("evicted_time", 0);
	ITEM_U64("outofmemory", GET(counters, store_no_memory));
	ITEM_U64("tailrepairs", 0);
	ITEM_U64("reclaimed", GET(st, store_expired) + GET(st, store_flushed_items));
	ITEM_U64("expired_unfetched", GET(st, store_expired_unfetched));
	ITEM_U64("evicted_unfetched", GET(st, store_evicted_unfetched));
	if (lists)
		ITEM_U64("evicted_active", GET(st, store_evicted_active));
	ITEM_U64("crawler_reclaimed", GET(st, store_expired) + GET(st, store_flushed_items));
	ITEM_U64("crawler_items_checked", 0);
	ITEM_U64("lrutail_reflocked", 0);
	if (lists) {
		ITEM_U64("moves_to_cold", 0);
		ITEM_U64("moves_to_warm", 0);
		ITEM_U64("moves_within_lru", GET(st, store_moved));
		ITEM_U64("direct_reclaims", GET(st, store_inline_merges));
		ITEM_U64("hits_to_hot", 0);
		ITEM_U64("hits_to_warm", 0);
		ITEM_U64("hits_to_cold", GET(counters, get_hits));
		ITEM_U64("hits_to_temp", 0);
	}
}

void
report_items(struct report *r, size_t container, const struct report_emit *e)
{
	struct cache *cache = r->src.containers[container].cache;
	struct report_classes *classes = MEM_NEW(struct report_classes);
	struct cache_counters *counters = MEM_NEW(struct cache_counters);
	struct store_metrics *st = MEM_NEW(struct store_metrics);

	report_classes(cache_store(cache), classes);
	cache_counters(cache, counters);
	report_store(r, container, st);
	for (unsigned n = 1; n <= REPORT_MAX_CLASS; n++) {
		if (classes->at[n].row.items == 0)
			continue;
		put_items(&classes->at[n], n, r->src.settings->lru_maintainer, counters, st, e);
		memset(counters, 0, sizeof *counters);
		memset(st, 0, sizeof *st);
	}
	free(classes);
	free(counters);
	free(st);
}

#define SLAB_U64(name, value) report_row(e, "", n, name, "%" PRIu64, (uint64_t)(value))

static void
put_slab(const struct report_class_row *c, unsigned n, uint64_t segment_size,
	 const struct cache_counters *counters, const struct report_emit *e)
{
	uint64_t average = c->row.items > 0 ? c->row.bytes / c->row.items : segment_size;
	uint64_t chunk = average < 8 ? 8 : average < segment_size ? average : segment_size;
	uint64_t per_page = segment_size / chunk, total = per_page * c->row.segments;
	uint64_t used = c->row.items < total ? c->row.items : total;

	SLAB_U64("chunk_size", chunk);
	SLAB_U64("chunks_per_page", per_page);
	SLAB_U64("total_pages", c->row.segments);
	SLAB_U64("total_chunks", total);
	SLAB_U64("used_chunks", used);
	SLAB_U64("free_chunks", total - used);
	SLAB_U64("free_chunks_end", 0);
	SLAB_U64("get_hits", GET(counters, get_hits));
	SLAB_U64("cmd_set", GET(counters, cmd_set));
	SLAB_U64("delete_hits", GET(counters, delete_hits));
	SLAB_U64("incr_hits", GET(counters, incr_hits));
	SLAB_U64("decr_hits", GET(counters, decr_hits));
	SLAB_U64("cas_hits", GET(counters, cas_hits));
	SLAB_U64("cas_badval", GET(counters, cas_badval));
	SLAB_U64("touch_hits", GET(counters, touch_hits));
}

void
report_slabs(struct report *r, size_t container, const struct report_emit *e)
{
	struct cache *cache = r->src.containers[container].cache;
	struct report_classes *classes = MEM_NEW(struct report_classes);
	struct cache_counters *counters = MEM_NEW(struct cache_counters);
	uint64_t segment_size = store_segment_size(cache_store(cache)), segments = 0;
	unsigned active = 0;

	report_classes(cache_store(cache), classes);
	cache_counters(cache, counters);
	for (unsigned n = 1; n <= REPORT_MAX_CLASS; n++) {
		if (classes->at[n].row.segments == 0)
			continue;
		put_slab(&classes->at[n], n, segment_size, counters, e);
		memset(counters, 0, sizeof *counters);
		segments += classes->at[n].row.segments;
		active++;
	}
	report_pair(e, "active_slabs", "%u", active);
	report_pair(e, "total_malloced", "%" PRIu64, segments * segment_size);
	free(classes);
	free(counters);
}
