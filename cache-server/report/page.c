/* The admin port: Prometheus, /status, /readyz. */
#include <inttypes.h>
#include <stdlib.h>

#include "cache-server/report/inside.h"
#include "lib/core/json.h"
#include "lib/core/mem.h"

/* clang-format off */
/* Prometheus sees squeal_cache_get_hits_total{container="default"}. */
#define PAGE_ROW(nm, kd, un, hp) \
	{.name = "cache_" #nm, .kind = METRIC_##kd, .unit = un, .help = hp, .offset = offsetof(metric_owner, nm)},
/* The store has one name that commands have, too. */
#define PAGE_STORE_ROW(nm, kd, un, hp) \
	{.name = __builtin_strcmp(#nm, "store_too_large") == 0 ? "cache_store_refused_too_large" : "cache_" #nm, \
	 .kind = METRIC_##kd, .unit = un, .help = hp, .offset = offsetof(metric_owner, nm)},
#define metric_owner struct cache_counters
static const struct metric_row cache_rows[] = {CACHE_COUNTERS(PAGE_ROW)};
#undef metric_owner
#define metric_owner struct store_metrics
static const struct metric_row store_rows[] = {STORE_METRICS(PAGE_STORE_ROW)};
#undef metric_owner
#define metric_owner struct serve_metrics
static const struct metric_row serve_rows[] = {SERVE_METRICS(PAGE_ROW)};
#undef metric_owner

/*	  name                kind     unit        help */
#define GUARD_METRICS(M)                                                                                             \
	M(guard_slots,        GAUGE,   "slots",    "places for leases, hold-offs and invalidations in the guard")        \
	M(guard_leases,       GAUGE,   "leases",   "leases that are open")                                               \
	M(guard_holdoffs,     GAUGE,   "keys",     "hold-offs that are in force")                                        \
	M(guard_epochs,       GAUGE,   "keys",     "invalidations that are remembered with their epoch")                 \
	M(guard_floors,       GAUGE,   "buckets",  "buckets whose floor was raised because something had to go")         \
	M(guard_markers,      GAUGE,   "keys",     "keys that are marked")                                               \
	M(guard_marker_tokens, GAUGE,  "tokens",   "tokens of all markers")                                              \
	M(limit_bytes,        GAUGE,   "bytes",    "memory for items")                                                   \
	M(caught_up,          GAUGE,   "",         "1 when items of before the restart may be served, or there are none")
struct guard_metrics {
	METRIC_FIELDS(GUARD_METRICS)
};
#define metric_owner struct guard_metrics
static const struct metric_row guard_rows[] = {GUARD_METRICS(PAGE_ROW)};
#undef metric_owner

/*	  name                kind     unit        help */
#define WATCH_METRICS(M)                                                                                             \
	M(log_worker_dropped,   COUNTER, "lines",    "lines for watchers that did not fit into a worker's ring")         \
	M(log_worker_written,   COUNTER, "lines",    "lines for watchers written by workers")                            \
	M(log_watcher_skipped,  COUNTER, "lines",    "lines that did not fit into a watcher's buffer")                   \
	M(log_watcher_sent,     COUNTER, "lines",    "lines put into watchers' buffers")                                 \
	M(log_watchers,         GAUGE,   "watchers", "connections that watch")
/* clang-format on */
struct watch_metrics {
	METRIC_FIELDS(WATCH_METRICS)
};
#define metric_owner struct watch_metrics
static const struct metric_row watch_rows[] = {WATCH_METRICS(PAGE_ROW)};
#undef metric_owner

#define NROWS(rows) (sizeof(rows) / sizeof *(rows))

/* What one container shows. */
struct page {
	struct cache_counters counters;
	struct store_metrics store;
	struct guard_metrics guard;
};

static void
fill_guard(struct report *r, size_t container, struct guard_metrics *m)
{
	struct cache *cache = r->src.containers[container].cache;
	struct cache_guard_row g;

	cache_guard_row(cache, &g);
	metric_set(&m->guard_slots, g.slots);
	metric_set(&m->guard_leases, g.leases);
	metric_set(&m->guard_holdoffs, g.holdoffs);
	metric_set(&m->guard_epochs, g.epochs);
	metric_set(&m->guard_floors, g.floors);
	metric_set(&m->guard_markers, g.markers);
	metric_set(&m->guard_marker_tokens, g.marker_tokens);
	metric_set(&m->limit_bytes, report_now(r, container).memory);
	metric_set(&m->caught_up, store_is_caught_up(cache_store(cache)));
}

void
report_metrics(struct report *r, struct buf *out)
{
	size_t n = r->src.ncontainers;
	struct metric_registry *registry = metric_registry_create();
	struct page *pages = mem_zalloc(n, sizeof *pages);
	struct serve_metrics *serve = MEM_NEW(struct serve_metrics);
	struct watch_metrics watch = {0};
	struct watch_figures figures = {0};

	report_serve_total(r, serve);
	metric_registry_add(registry, serve_rows, NROWS(serve_rows), serve, "");
	for (size_t i = 0; i < n; i++) {
		struct cache *cache = r->src.containers[i].cache;
		struct buf label = BUF_INIT;

		buf_put_str(&label, "container=\"");
		report_word(&label, span_of(cache_name(cache)));
		buf_putc(&label, '"');
		cache_counters(cache, &pages[i].counters);
		report_store_total(r, i, &pages[i].store);
		fill_guard(r, i, &pages[i].guard);
		metric_registry_add(registry, cache_rows, NROWS(cache_rows), &pages[i].counters,
				    buf_str(&label));
		metric_registry_add(registry, store_rows, NROWS(store_rows), &pages[i].store,
				    buf_str(&label));
		metric_registry_add(registry, guard_rows, NROWS(guard_rows), &pages[i].guard,
				    buf_str(&label));
		buf_fini(&label);
	}
	if (r->src.watch) {
		watch_figures(r->src.watch, &figures);
		metric_set(&watch.log_worker_dropped, figures.dropped);
		metric_set(&watch.log_worker_written, figures.written);
		metric_set(&watch.log_watcher_skipped, figures.skipped);
		metric_set(&watch.log_watcher_sent, figures.sent);
		metric_set(&watch.log_watchers, figures.watchers);
		metric_registry_add(registry, watch_rows, NROWS(watch_rows), &watch, "");
	}
	metric_registry_render(registry, out);
	if (r->src.latencies)
		latency_render(r->src.latencies, r->src.nthreads, out);
	metric_registry_destroy(&registry);
	free(pages);
	free(serve);
}

void
report_markdown(struct buf *out)
{
	metric_markdown(serve_rows, NROWS(serve_rows), "squeal-cache: connections", out);
	metric_markdown(cache_rows, NROWS(cache_rows), "squeal-cache: commands, by container", out);
	metric_markdown(store_rows, NROWS(store_rows), "squeal-cache: store, by container", out);
	metric_markdown(guard_rows, NROWS(guard_rows), "squeal-cache: guard and limits, by container", out);
	metric_markdown(watch_rows, NROWS(watch_rows), "squeal-cache: watchers", out);
}

/* --- /status -------------------------------------------------------------------------------------------- */

static void
put_rows(struct json *j, const struct metric_row *rows, size_t n, const void *base)
{
	for (size_t i = 0; i < n; i++)
		json_kv_u64(j, rows[i].name + sizeof "cache_" - 1,
			    metric_get((const metric_t *)((const char *)base + rows[i].offset)));
}

static void
put_segments(struct json *j, struct store *s)
{
	struct store_ttl_row *rows = mem_zalloc(REPORT_MAX_ROWS, sizeof *rows);
	size_t n = store_ttl_rows(s, rows, REPORT_MAX_ROWS);

	json_name(j, "segments");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		json_object(j);
		json_kv_u64(j, "ttl_from_s", rows[i].ttl_from);
		json_kv_u64(j, "ttl_to_s", rows[i].ttl_to);
		json_kv_u64(j, "segments", rows[i].segments);
		json_kv_u64(j, "items", rows[i].items);
		json_kv_u64(j, "bytes", rows[i].bytes);
		json_kv_u64(j, "live_bytes", rows[i].live_bytes);
		json_kv_u64(j, "oldest_s", rows[i].oldest);
		json_object_end(j);
	}
	json_array_end(j);
	free(rows);
}

static void
put_container(struct report *r, size_t i, struct json *j)
{
	struct cache *cache = r->src.containers[i].cache;
	const struct cache_options *opt = cache_options(cache);
	struct page *p = MEM_NEW(struct page);

	cache_counters(cache, &p->counters);
	report_store_total(r, i, &p->store);
	fill_guard(r, i, &p->guard);
	json_object(j);
	json_kv_str(j, "name", cache_name(cache));
	json_kv_str(j, "policy", report_policy(cache_policy(cache)));
	json_name(j, "restart");
	json_object(j);
	json_kv_str(j, "file", opt->file);
	json_kv_bool(j, "serve_immediately", opt->serve_immediately);
	json_kv_bool(j, "caught_up", store_is_caught_up(cache_store(cache)));
	json_kv_u64(j, "warm_items", metric_get(&p->store.store_warm_items));
	json_kv_u64(j, "dropped_at_start", metric_get(&p->store.store_dropped_at_start));
	json_object_end(j);
	json_name(j, "guard");
	json_object(j);
	put_rows(j, guard_rows, NROWS(guard_rows), &p->guard);
	json_object_end(j);
	json_name(j, "commands");
	json_object(j);
	put_rows(j, cache_rows, NROWS(cache_rows), &p->counters);
	json_object_end(j);
	json_name(j, "store");
	json_object(j);
	json_kv_u64(j, "segment_size", store_segment_size(cache_store(cache)));
	put_rows(j, store_rows, NROWS(store_rows), &p->store);
	json_object_end(j);
	put_segments(j, cache_store(cache));
	json_object_end(j);
	free(p);
}

void
report_status(struct report *r, struct json *j)
{
	struct serve_metrics *serve = MEM_NEW(struct serve_metrics);

	report_serve_total(r, serve);
	json_name(j, "connections");
	json_object(j);
	put_rows(j, serve_rows, NROWS(serve_rows), serve);
	json_object_end(j);
	json_name(j, "containers");
	json_array(j);
	for (size_t i = 0; i < r->src.ncontainers; i++)
		put_container(r, i, j);
	json_array_end(j);
	free(serve);
}

/* --- the admin port ------------------------------------------------------------------------------------- */

static void
on_metrics(void *arg, struct buf *out)
{
	report_metrics(arg, out);
}

static void
on_status(void *arg, struct json *j)
{
	report_status(arg, j);
}

static void
on_ready(void *arg, struct admin_reasons *reasons)
{
	struct report *r = arg;

	for (size_t i = 0; i < r->src.ncontainers; i++) {
		struct cache *cache = r->src.containers[i].cache;

		if (store_owed(cache_store(cache)) != 0)
			admin_not_ready(reasons,
					"container %s was restored: deliver all deletes since %llu again, "
					"then say \"caughtup "
					"%llu\"",
					cache_name(cache), (unsigned long long)store_owed(cache_store(cache)),
					(unsigned long long)store_owed(cache_store(cache)));
		else if (!store_is_caught_up(cache_store(cache)))
			admin_not_ready(
			    reasons,
			    "container %s serves nothing of before the restart until the router says "
			    "that it has caught up",
			    cache_name(cache));
	}
	if (r->src.not_ready)
		r->src.not_ready(r->src.arg, reasons);
}

void
report_admin(struct report *r, struct admin *a)
{
	admin_on_metrics(a, on_metrics, r);
	admin_on_status(a, on_status, r);
	admin_on_ready(a, on_ready, r);
}
