/* The general report: memcached's keys in memcached's order.  What it has and we have not is 0. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cache-server/proto/binary.h"
#include "cache-server/report/inside.h"
#include "lib/core/mem.h"

enum { BUCKET_BYTES = 64 };

#define U64(key, value)	 report_pair(e, key, "%" PRIu64, (uint64_t)(value))
#define TEXT(key, value) report_pair(e, key, "%s", value)
#define GET(from, field) metric_get(&(from)->field)

static void
put_process(struct report *r, const struct report_emit *e)
{
	const struct clock *clock = r->src.clock;
	struct rusage use = {0};

	getrusage(RUSAGE_SELF, &use);
	U64("pid", getpid());
	U64("uptime", (clock_mono_ns(clock) - r->started_ns) / 1000000000);
	U64("time", clock_real_us(clock) / 1000000);
	TEXT("version", BINARY_VERSION);
	TEXT("libevent", "none"); /* workers use epoll */
	U64("pointer_size", 8 * sizeof(void *));
	report_pair(e, "rusage_user", "%ld.%06ld", (long)use.ru_utime.tv_sec, (long)use.ru_utime.tv_usec);
	report_pair(e, "rusage_system", "%ld.%06ld", (long)use.ru_stime.tv_sec, (long)use.ru_stime.tv_usec);
}

static void
put_connections(const struct settings *set, const struct serve_metrics *m, const struct report_emit *e)
{
	U64("max_connections", set->maxconns);
	U64("curr_connections", GET(m, curr_connections));
	U64("total_connections", GET(m, total_connections));
	if (set->maxconns_fast)
		U64("rejected_connections", GET(m, rejected_connections));
	U64("connection_structures", GET(m, connection_structures));
	U64("response_obj_oom", GET(m, response_obj_oom));
	U64("response_obj_count", GET(m, response_obj_count));
	U64("response_obj_bytes", GET(m, response_obj_bytes));
	U64("read_buf_count", GET(m, read_buf_count));
	U64("read_buf_bytes", GET(m, read_buf_bytes));
	U64("read_buf_bytes_free", GET(m, read_buf_bytes_free));
	U64("read_buf_oom", GET(m, read_buf_oom));
	U64("reserved_fds", 0);
}

static void
put_commands(const struct cache_counters *c, const struct report_emit *e)
{
	U64("cmd_get", GET(c, cmd_get));
	U64("cmd_set", GET(c, cmd_set));
	U64("cmd_flush", GET(c, cmd_flush));
	U64("cmd_touch", GET(c, cmd_touch));
	U64("cmd_meta", GET(c, cmd_meta));
	U64("get_hits", GET(c, get_hits));
	U64("get_misses", GET(c, get_misses));
	U64("get_expired", GET(c, get_expired));
	U64("get_flushed", GET(c, get_flushed));
	U64("delete_misses", GET(c, delete_misses));
	U64("delete_hits", GET(c, delete_hits));
	U64("incr_misses", GET(c, incr_misses));
	U64("incr_hits", GET(c, incr_hits));
	U64("decr_misses", GET(c, decr_misses));
	U64("decr_hits", GET(c, decr_hits));
	U64("cas_misses", GET(c, cas_misses));
	U64("cas_hits", GET(c, cas_hits));
	U64("cas_badval", GET(c, cas_badval));
	U64("touch_hits", GET(c, touch_hits));
	U64("touch_misses", GET(c, touch_misses));
	U64("store_too_large", GET(c, store_too_large));
	U64("store_no_memory", GET(c, store_no_memory));
	U64("auth_cmds", GET(c, auth_cmds));
	U64("auth_errors", GET(c, auth_errors));
}

/* The power of two of the table that has so many buckets, chained ones included. */
static unsigned
power_level(uint64_t buckets)
{
	return buckets > 0 ? 63 - (unsigned)__builtin_clzll(buckets) : 0;
}

static void
put_engine(const struct settings *set, const struct store_metrics *st, const struct report_emit *e)
{
	uint64_t buckets = GET(st, store_index_buckets);

	U64("hash_power_level", power_level(buckets));
	U64("hash_bytes", buckets * BUCKET_BYTES);
	U64("hash_is_expanding", GET(st, store_index_growing));
	if (set->slab_reassign) {
		U64("slab_reassign_rescues", GET(st, store_moved));
		U64("slab_reassign_chunk_rescues", 0);
		U64("slab_reassign_inline_reclaim", GET(st, store_inline_merges));
		U64("slab_reassign_busy_items", 0);
		U64("slab_reassign_busy_deletes", 0);
		U64("slab_reassign_busy_nomem", 0);
		TEXT("slab_reassign_last_busy_status", "none");
		U64("slab_reassign_running", 0);
		U64("slabs_moved", GET(st, store_merges));
	}
	if (set->lru_crawler) {
		U64("lru_crawler_running", 0);
		U64("lru_crawler_starts", 0);
	}
	if (set->lru_maintainer)
		U64("lru_maintainer_juggles", 0);
}

static void
put_log(struct report *r, const struct serve_metrics *m, const struct report_emit *e)
{
	const struct settings *set = r->src.settings;
	struct watch_figures w = {0};

	if (r->src.watch)
		watch_figures(r->src.watch, &w);
	U64("malloc_fails", GET(m, malloc_fails));
	U64("log_worker_dropped", w.dropped);
	U64("log_worker_written", w.written);
	U64("log_watcher_skipped", w.skipped);
	U64("log_watcher_sent", w.sent);
	U64("log_watchers", w.watchers);
	if (set->tls) {
		if (set->ssl_session_cache)
			U64("ssl_new_sessions", GET(m, ssl_new_sessions));
		U64("ssl_handshake_errors", GET(m, ssl_handshake_errors));
		U64("ssl_proto_errors", GET(m, ssl_proto_errors));
		U64("time_since_server_cert_refresh",
		    r->src.certificate_age_s ? r->src.certificate_age_s(r->src.arg) : 0);
	}
	U64("unexpected_napi_ids", 0);
	U64("round_robin_fallback", GET(m, round_robin_fallback));
}

static void
put_items(const struct settings *set, const struct cache_counters *c, const struct store_metrics *st,
	  const struct report_emit *e)
{
	U64("bytes", GET(st, store_bytes));
	U64("curr_items", GET(st, store_items));
	U64("total_items", GET(c, cmd_set));
	U64("slab_global_page_pool", GET(st, store_segments_free));
	U64("expired_unfetched", GET(st, store_expired_unfetched));
	U64("evicted_unfetched", GET(st, store_evicted_unfetched));
	if (set->lru_maintainer)
		U64("evicted_active", GET(st, store_evicted_active));
	U64("evictions", GET(st, store_evicted));
	/* Expired and flushed items are found by going through segments, as memcached's crawler does through
	 * its lists.
	 */
	U64("reclaimed", GET(st, store_expired) + GET(st, store_flushed_items));
	U64("crawler_reclaimed", GET(st, store_expired) + GET(st, store_flushed_items));
	U64("crawler_items_checked", 0);
	U64("lrutail_reflocked", 0);
	if (set->lru_maintainer) {
		U64("moves_to_cold", 0);
		U64("moves_to_warm", 0);
		U64("moves_within_lru", GET(st, store_moved));
		U64("direct_reclaims", GET(st, store_inline_merges));
		U64("lru_bumps_dropped", 0);
	}
}

void
report_general(struct report *r, size_t container, const struct report_emit *e)
{
	const struct settings *set = r->src.settings;
	struct settings_now now = report_now(r, container);
	struct cache_counters *c = MEM_NEW(struct cache_counters);
	struct serve_metrics *m = MEM_NEW(struct serve_metrics);
	struct store_metrics *st = MEM_NEW(struct store_metrics);

	cache_counters(r->src.containers[container].cache, c);
	report_serve(r, m);
	report_store(r, container, st);
	put_process(r, e);
	put_connections(set, m, e);
	put_commands(c, e);
	if (set->idle_timeout > 0)
		U64("idle_kicks", GET(m, idle_kicks));
	U64("bytes_read", GET(c, bytes_read));
	U64("bytes_written", GET(c, bytes_written));
	U64("limit_maxbytes", now.memory);
	U64("accepting_conns", r->src.accepting ? r->src.accepting(r->src.arg) : 1);
	U64("listen_disabled_num", GET(m, listen_disabled_num));
	U64("time_in_listen_disabled_us", GET(m, time_in_listen_disabled_us));
	U64("threads", set->threads);
	U64("conn_yields", GET(m, conn_yields));
	put_engine(set, st, e);
	put_log(r, m, e);
	put_items(set, c, st, e);
	free(c);
	free(m);
	free(st);
}

static void
put_connection(void *arg, const struct report_connection *c)
{
	const struct report_emit *e = arg;
	unsigned fd = (unsigned)c->fd;
	struct buf address = BUF_INIT;

	if (c->udp)
		report_row(e, "", fd, "UDP", "UDP");
	report_word(&address, span_of(c->address));
	report_row(e, "", fd, "addr", "%s", buf_str(&address));
	if (!c->listening) {
		buf_clear(&address);
		report_word(&address, span_of(c->listen_address));
		report_row(e, "", fd, "listen_addr", "%s", buf_str(&address));
	}
	report_row(e, "", fd, "state", "%s", c->state);
	report_row(e, "", fd, "secs_since_last_cmd", "%" PRIu64, c->idle_s);
	buf_fini(&address);
}

void
report_conns(struct report *r, const struct report_emit *e)
{
	if (r->src.connections)
		r->src.connections(r->src.arg, put_connection, (void *)e);
}
