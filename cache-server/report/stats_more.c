/* Reports that memcached does not have.  Keys with a row in front begin with a number, as its exporters want.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cache-server/report/inside.h"
#include "lib/core/mem.h"

enum { TOP = 20 };

#define U64(key, value)	       report_pair(e, key, "%" PRIu64, (uint64_t)(value))
#define ROW_U64(n, key, value) report_row(e, "", n, key, "%" PRIu64, (uint64_t)(value))
#define GET(from, field)       metric_get(&(from)->field)

void
report_leases(struct report *r, size_t container, const struct report_emit *e)
{
	struct cache *cache = r->src.containers[container].cache;
	struct cache_counters *c = MEM_NEW(struct cache_counters);
	struct cache_guard_row g;

	cache_counters(cache, c);
	cache_guard_row(cache, &g);
	U64("guard_slots", g.slots);
	U64("guard_leases", g.leases);
	U64("guard_holdoffs", g.holdoffs);
	U64("guard_epochs", g.epochs);
	U64("guard_floors", g.floors);
	U64("guard_markers", g.markers);
	U64("guard_marker_tokens", g.marker_tokens);
	U64("guard_overflow", g.overflows);
	U64("cmd_lease_get", GET(c, cmd_lease_get));
	U64("cmd_lease_set", GET(c, cmd_lease_set));
	U64("lease_given", GET(c, lease_given));
	U64("lease_hot", GET(c, lease_hot));
	U64("lease_filled", GET(c, lease_filled));
	U64("lease_refused", GET(c, lease_refused));
	U64("stale_served", GET(c, stale_served));
	U64("stale_kept", GET(c, stale_kept));
	U64("holdoff_armed", GET(c, holdoff_armed));
	U64("holdoff_refused", GET(c, holdoff_refused));
	U64("epoch_refused", GET(c, epoch_refused));
	U64("epoch_floor_refused", GET(c, epoch_floor_refused));
	U64("epoch_kept", GET(c, epoch_kept));
	U64("unproven_refused", GET(c, unproven_refused));
	U64("marker_set", GET(c, marker_set));
	U64("marker_cleared", GET(c, marker_cleared));
	U64("marker_expired", GET(c, marker_expired));
	U64("marker_refused", GET(c, marker_refused));
	free(c);
}

const char *
report_policy(enum cache_policy policy)
{
	return policy == CACHE_EVICT ? "evict" : policy == CACHE_STORE ? "store" : "marker";
}

void
report_containers(struct report *r, const struct report_emit *e)
{
	struct cache_counters *c = MEM_NEW(struct cache_counters);
	struct store_metrics *st = MEM_NEW(struct store_metrics);

	U64("containers", r->src.ncontainers);
	for (size_t i = 0; i < r->src.ncontainers; i++) {
		struct cache *cache = r->src.containers[i].cache;
		unsigned n = (unsigned)i;
		struct buf name = BUF_INIT;

		cache_counters(cache, c);
		report_store(r, i, st);
		report_word(&name, span_of(cache_name(cache)));
		report_row(e, "", n, "name", "%s", buf_str(&name));
		report_row(e, "", n, "policy", "%s", report_policy(cache_policy(cache)));
		ROW_U64(n, "limit_maxbytes", report_now(r, i).memory);
		ROW_U64(n, "bytes", GET(st, store_bytes));
		ROW_U64(n, "curr_items", GET(st, store_items));
		ROW_U64(n, "evictions", GET(st, store_evicted));
		ROW_U64(n, "refused", GET(st, store_refused));
		ROW_U64(n, "cmd_get", GET(c, cmd_get));
		ROW_U64(n, "get_hits", GET(c, get_hits));
		ROW_U64(n, "get_misses", GET(c, get_misses));
		ROW_U64(n, "cmd_set", GET(c, cmd_set));
		ROW_U64(n, "delete_hits", GET(c, delete_hits));
		ROW_U64(n, "bytes_read", GET(c, bytes_read));
		ROW_U64(n, "bytes_written", GET(c, bytes_written));
		report_row(e, "", n, "caught_up", "%s",
			   store_is_caught_up(cache_store(cache)) ? "yes" : "no");
		buf_fini(&name);
	}
	free(c);
	free(st);
}

void
report_segments(struct report *r, size_t container, const struct report_emit *e)
{
	struct store *s = cache_store(r->src.containers[container].cache);
	struct store_ttl_row *rows = mem_zalloc(REPORT_MAX_ROWS, sizeof *rows);
	struct store_metrics *st = MEM_NEW(struct store_metrics);
	size_t n = store_ttl_rows(s, rows, REPORT_MAX_ROWS);

	report_store(r, container, st);
	U64("segment_size", store_segment_size(s));
	U64("segments", GET(st, store_segments));
	U64("segments_free", GET(st, store_segments_free));
	U64("segments_freed", GET(st, store_segments_freed));
	U64("merges", GET(st, store_merges));
	U64("inline_merges", GET(st, store_inline_merges));
	U64("items_moved", GET(st, store_moved));
	U64("index_buckets", GET(st, store_index_buckets));
	U64("index_growing", GET(st, store_index_growing));
	U64("index_grown", GET(st, store_index_grown));
	for (size_t i = 0; i < n; i++) {
		unsigned row = (unsigned)i + 1;

		ROW_U64(row, "ttl_from", rows[i].ttl_from);
		ROW_U64(row, "ttl_to", rows[i].ttl_to);
		ROW_U64(row, "segments", rows[i].segments);
		ROW_U64(row, "items", rows[i].items);
		ROW_U64(row, "bytes", rows[i].bytes);
		ROW_U64(row, "live_bytes", rows[i].live_bytes);
		ROW_U64(row, "oldest", rows[i].oldest);
	}
	free(rows);
	free(st);
}

void
report_hot(struct topk *const *ts, size_t n, const char *what, const struct report_emit *e)
{
	struct topk_row *rows = mem_zalloc(TOP, sizeof *rows);
	uint64_t total = 0;
	size_t found = ts ? topk_top(ts, n, rows, TOP, &total) : 0;

	for (size_t i = 0; i < found; i++) {
		unsigned row = (unsigned)i + 1;
		struct buf name = BUF_INIT;

		report_word(&name, span_make(rows[i].name, rows[i].len));
		report_row(e, "", row, what, "%s", buf_str(&name));
		ROW_U64(row, "count", rows[i].count);
		ROW_U64(row, "error", rows[i].error);
		report_row(e, "", row, "share", "%.4f",
			   total > 0 ? (double)rows[i].count / (double)total : 0.0);
		buf_fini(&name);
	}
	U64("total", total);
	free(rows);
}

static void
put_latency(void *arg, struct span key, struct span value)
{
	const struct report_emit *e = arg;

	e->emit(e->arg, key, value);
}

void
report_latency(struct report *r, const struct report_emit *e)
{
	if (r->src.latencies)
		latency_stats(r->src.latencies, r->src.nthreads, put_latency, (void *)e);
}

struct prefixes {
	const struct report_emit *e;
	unsigned row;
};

static void
put_prefix(void *arg, const struct prefix_row *p)
{
	struct prefixes *to = arg;
	const struct report_emit *e = to->e;
	unsigned row = ++to->row;
	struct buf name = BUF_INIT;

	report_word(&name, p->others ? SPAN_LIT("(others)") : p->name);
	report_row(e, "", row, "prefix", "%s", buf_str(&name));
	ROW_U64(row, "get", p->gets);
	ROW_U64(row, "hit", p->hits);
	ROW_U64(row, "set", p->sets);
	ROW_U64(row, "del", p->deletes);
	buf_fini(&name);
}

void
report_prefixes(struct report *r, size_t container, const struct report_emit *e)
{
	const struct report_container *rc = &r->src.containers[container];
	struct prefixes to = {.e = e};

	report_pair(e, "detail_enabled", "%s", report_detail(r) ? "yes" : "no");
	if (rc->prefixes)
		prefix_each(rc->prefixes, r->src.nthreads, put_prefix, &to);
}

void
report_restart(struct report *r, size_t container, const struct report_emit *e)
{
	struct cache *cache = r->src.containers[container].cache;
	const struct cache_options *opt = cache_options(cache);
	struct store_metrics *st = MEM_NEW(struct store_metrics);
	struct cache_counters *c = MEM_NEW(struct cache_counters);
	struct buf file = BUF_INIT;

	report_store(r, container, st);
	cache_counters(cache, c);
	report_word(&file, opt->file && opt->file[0] != '\0' ? span_of(opt->file) : SPAN_LIT("none"));
	report_pair(e, "file", "%s", buf_str(&file));
	report_pair(e, "caught_up", "%s", store_is_caught_up(cache_store(cache)) ? "yes" : "no");
	U64("owed", store_owed(cache_store(cache)));
	report_pair(e, "serve_immediately", "%s", opt->serve_immediately ? "yes" : "no");
	U64("warm_items", GET(st, store_warm_items));
	U64("dropped_at_start", GET(st, store_dropped_at_start));
	U64("unproven_refused", GET(c, unproven_refused));
	/* Which process this is: by these a router tells a restart from another server under the same
	 * address. */
	U64("started_us", r->started_us);
	U64("age_us", (clock_mono_ns(r->src.clock) - r->started_ns) / 1000);
	buf_fini(&file);
	free(st);
	free(c);
}
