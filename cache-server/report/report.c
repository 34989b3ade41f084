#include "cache-server/report/inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

/* clang-format off */
#define metric_owner struct serve_metrics
static const struct metric_row serve_rows[] = {METRIC_ROWS(SERVE_METRICS)};
#undef metric_owner
#define metric_owner struct store_metrics
static const struct metric_row store_rows[] = {METRIC_ROWS(STORE_METRICS)};
#undef metric_owner
/* clang-format on */

enum { NSERVE = sizeof serve_rows / sizeof *serve_rows, NSTORE = sizeof store_rows / sizeof *store_rows };

static void
on_evicted(void *arg, const struct item *it, uint64_t state, uint32_t expiry, uint32_t idle)
{
	const struct evictions *of = arg;
	uint32_t now = store_now(of->store), ttl = expiry > now ? expiry - now : 0;
	struct watch_eviction e = {.key = span_make(item_key(it, state), item_klen(it)),
				   .fetched = (state & ITEM_FETCHED) != 0,
				   .ttl_s = expiry == 0 ? -1 : (int64_t)ttl,
				   .idle_s = idle,
				   .class_id = report_class(ttl),
				   .size = item_vlen(state)};

	watch_log_eviction(of->watch, &e);
}

/* `fn` for all stores. */
static void
listen_to_evictions(struct report *r, store_evicted_fn *fn)
{
	for (size_t i = 0; r->src.watch && i < r->src.ncontainers; i++)
		store_on_evicted(cache_store(r->src.containers[i].cache), fn, &r->evictions[i]);
}

err_t
report_create(struct report **out, const struct report_sources *src, struct err_detail *why)
{
	struct report *r;

	*out = NULL;
	if (src->ncontainers == 0)
		return err_set(why, ERR_USAGE, "a report needs a container: give it at least one");
	r = MEM_NEW(struct report);
	r->src = *src;
	r->started_ns = clock_mono_ns(src->clock);
	r->started_us = clock_real_us(src->clock);
	atomic_store(&r->detail, src->settings->detail_enabled);
	pthread_mutex_init(&r->mutex, NULL);
	r->store_base = mem_zalloc(src->ncontainers, sizeof *r->store_base);
	r->evictions = mem_zalloc(src->ncontainers, sizeof *r->evictions);
	for (size_t i = 0; i < src->ncontainers; i++)
		r->evictions[i] = (struct evictions){src->watch, cache_store(src->containers[i].cache)};
	listen_to_evictions(r, on_evicted);
	*out = r;
	return ERR_OK;
}

void
report_destroy(struct report **rp)
{
	struct report *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	listen_to_evictions(r, NULL);
	pthread_mutex_destroy(&r->mutex);
	free(r->evictions);
	free(r->store_base);
	free(r);
}

bool
report_detail(const struct report *r)
{
	return atomic_load_explicit((_Atomic bool *)&r->detail, memory_order_relaxed);
}

/* --- pairs ---------------------------------------------------------------------------------------------- */

enum { MAX_NAME = 96 };

static void
put_pair(const struct report_emit *e, const char *name, const char *fmt, va_list ap)
{
	struct buf value = BUF_INIT;

	buf_vprintf(&value, fmt, ap);
	e->emit(e->arg, span_of(name), buf_span(&value));
	buf_fini(&value);
}

void
report_pair(const struct report_emit *e, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_pair(e, name, fmt, ap);
	va_end(ap);
}

void
report_row(const struct report_emit *e, const char *group, unsigned row, const char *name, const char *fmt,
	   ...)
{
	char full[MAX_NAME];
	va_list ap;

	if (group[0] != '\0')
		snprintf(full, sizeof full, "%s:%u:%s", group, row, name);
	else
		snprintf(full, sizeof full, "%u:%s", row, name);
	va_start(ap, fmt);
	put_pair(e, full, fmt, ap);
	va_end(ap);
}

void
report_word(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= ' ' || c >= 0x7f || c == '%')
			buf_printf(out, "%%%02X", c);
		else
			buf_putc(out, (char)c);
	}
}

/* --- sums ----------------------------------------------------------------------------------------------- */

static metric_t *
metric_at(const void *base, const struct metric_row *row)
{
	return (metric_t *)((char *)base + row->offset);
}

/* A counter less what it was at the reset; a gauge as it is. */
static void
less(const struct metric_row *rows, size_t n, void *now, const void *base)
{
	for (size_t i = 0; i < n; i++) {
		metric_t *m = metric_at(now, &rows[i]);

		if (rows[i].kind == METRIC_COUNTER)
			metric_set(m, metric_get(m) - metric_get(metric_at(base, &rows[i])));
	}
}

void
report_serve_total(struct report *r, struct serve_metrics *out)
{
	memset(out, 0, sizeof *out);
	for (size_t t = 0; t < r->src.nserve; t++) {
		for (size_t i = 0; i < NSERVE; i++)
			metric_bump(metric_at(out, &serve_rows[i]),
				    metric_get(metric_at(r->src.serve[t], &serve_rows[i])));
	}
}

void
report_serve(struct report *r, struct serve_metrics *out)
{
	report_serve_total(r, out);
	pthread_mutex_lock(&r->mutex);
	less(serve_rows, NSERVE, out, &r->serve_base);
	pthread_mutex_unlock(&r->mutex);
}

void
report_store_total(struct report *r, size_t container, struct store_metrics *out)
{
	const struct store_metrics *now = store_metrics(cache_store(r->src.containers[container].cache));

	for (size_t i = 0; i < NSTORE; i++)
		metric_set(metric_at(out, &store_rows[i]), metric_get(metric_at(now, &store_rows[i])));
}

void
report_store(struct report *r, size_t container, struct store_metrics *out)
{
	report_store_total(r, container, out);
	pthread_mutex_lock(&r->mutex);
	less(store_rows, NSTORE, out, &r->store_base[container]);
	pthread_mutex_unlock(&r->mutex);
}

static void
reset(struct report *r, size_t container)
{
	const struct report_container *rc = &r->src.containers[container];
	struct serve_metrics *serve = MEM_NEW(struct serve_metrics);

	cache_counters_reset(rc->cache);
	report_serve_total(r, serve);
	pthread_mutex_lock(&r->mutex);
	r->serve_base = *serve;
	report_store_total(r, container, &r->store_base[container]);
	pthread_mutex_unlock(&r->mutex);
	if (rc->prefixes)
		prefix_reset(rc->prefixes, r->src.nthreads);
	if (r->src.latencies)
		latency_reset(r->src.latencies, r->src.nthreads);
	free(serve);
}

size_t
report_container_of(const struct report *r, const struct cache *c)
{
	for (size_t i = 0; i < r->src.ncontainers; i++) {
		if (r->src.containers[i].cache == c)
			return i;
	}
	return 0;
}

struct settings_now
report_now(struct report *r, size_t container)
{
	struct settings_now now = settings_now(r->src.settings);

	if (r->src.containers[container].settings)
		now.memory = r->src.containers[container].settings->opt.memory;
	if (r->src.now)
		r->src.now(r->src.arg, r->src.containers[container].cache, &now);
	now.detail = report_detail(r);
	return now;
}

/* --- stats ---------------------------------------------------------------------------------------------- */

static void
put_setting(void *arg, struct span key, struct span value)
{
	const struct report_emit *e = arg;

	e->emit(e->arg, key, value);
}

static void
put_line(void *arg, const struct prefix_row *row)
{
	const struct report_emit *e = arg;
	struct buf line = BUF_INIT;

	buf_put_str(&line, "PREFIX ");
	report_word(&line, row->others ? SPAN_LIT("(others)") : row->name);
	buf_printf(&line, " get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64, row->gets,
		   row->hits, row->sets, row->deletes);
	e->emit(e->arg, buf_span(&line), (struct span){"", 0});
	buf_fini(&line);
}

static bool
detail(struct report *r, size_t container, struct span how, const struct report_emit *e)
{
	const struct report_container *rc = &r->src.containers[container];

	if (span_is(how, "on") || span_is(how, "off")) {
		atomic_store_explicit(&r->detail, how.len == 2, memory_order_relaxed);
		return true;
	}
	if (!span_is(how, "dump"))
		return false;
	if (rc->prefixes)
		prefix_each(rc->prefixes, r->src.nthreads, put_line, (void *)e);
	return true;
}

bool
report_stats(struct report *r, struct cache *c, struct span what, session_emit_fn *emit, void *emit_arg)
{
	const struct report_emit e = {emit, emit_arg};
	struct span rest = span_trim(what), first = span_cut(&rest, ' ');
	size_t i = report_container_of(r, c);

	if (first.len == 0)
		report_general(r, i, &e);
	else if (span_is(first, "reset"))
		reset(r, i);
	else if (span_is(first, "detail"))
		return !r->src.settings->disable_dumping && detail(r, i, span_trim(rest), &e);
	else if (span_is(first, "settings")) {
		struct settings_now now = report_now(r, i);

		settings_stats(r->src.settings, &now, put_setting, (void *)&e);
	} else if (span_is(first, "items"))
		report_items(r, i, &e);
	else if (span_is(first, "slabs"))
		report_slabs(r, i, &e);
	else if (span_is(first, "sizes"))
		report_pair(&e, "sizes_status", "disabled");
	else if (span_is(first, "conns"))
		report_conns(r, &e);
	else if (span_is(first, "leases"))
		report_leases(r, i, &e);
	else if (span_is(first, "containers"))
		report_containers(r, &e);
	else if (span_is(first, "segments"))
		report_segments(r, i, &e);
	else if (span_is(first, "hotkeys"))
		report_hot(r->src.containers[i].hot_keys, r->src.nthreads, "key", &e);
	else if (span_is(first, "hotclients"))
		report_hot(r->src.hot_clients, r->src.nthreads, "client", &e);
	else if (span_is(first, "latency"))
		report_latency(r, &e);
	else if (span_is(first, "prefixes"))
		report_prefixes(r, i, &e);
	else if (span_is(first, "restart"))
		report_restart(r, i, &e);
	else
		return false;
	return true;
}
