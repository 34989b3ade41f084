/*
 * report - what the server says about itself: `stats`, dumps, Prometheus, /status, /readyz.
 *
 * `stats` has memcached's keys, order and formats, so that its exporters and tools work unchanged; what is
 * new is in reports of its own and in Prometheus:
 *
 *     stats leases       the guard: fill and bounds, leases, hold-offs, epochs
 *     stats containers   all containers: policy, memory, items, hits
 *     stats segments     ranges of TTLs with their segments
 *     stats hotkeys      keys that come most often, with their share
 *     stats hotclients   clients that send most
 *     stats latency      how long commands take
 *     stats restart      what the memory file gave, and whether the router has caught up
 *     stats prefixes     gets, hits, sets, deletes for each prefix (`stats detail` as pairs)
 *
 * A key or value never holds a space.  memcached's slab classes are mapped to ranges of TTLs: class 1 is the
 * first range in use, and so on; see README.md.
 *
 * Sources: memcached 1.6.45, doc/protocol.txt and the behaviour of `stats`; prometheus/memcached_exporter
 * 0.16 for what must be there.
 *
 * Threads: report_stats() and report_dump() on any worker, the pages on the admin port's thread; all at once.
 * Blocks: on a mutex of its own for moments.   Clock: injected.
 */
#ifndef SQUEAL_CACHE_SERVER_REPORT_REPORT_H
#define SQUEAL_CACHE_SERVER_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "cache-server/proto/session.h"
#include "cache-server/report/serve_metrics.h"
#include "cache-server/report/watch.h"
#include "cache-server/settings/settings.h"
#include "cache-server/sight/latency.h"
#include "cache-server/sight/prefix.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/topk.h"
#include "lib/net/admin.h"

/* Arrays have one entry for each worker; an array that is NULL: that is not kept. */
struct report_container {
	struct cache *cache;
	const struct container_settings *settings;
	struct topk *const *hot_keys;
	struct prefix *const *prefixes;
};

/* A connection or listener, for `stats conns`; valid during the call. */
struct report_connection {
	int fd;
	bool udp;
	bool listening; /* a listener, or a UDP socket that waits: no listen_addr */
	const char
	    *address; /* "tcp:127.0.0.1:40000", "tcp6:[::1]:40000", "udp:0.0.0.0:11211", "unix:/run/c.sock" */
	const char *listen_address; /* the own side */
	const char *state;	    /* session.state_name; "conn_listening", "conn_watch", "conn_closing" */
	uint64_t idle_s;	    /* since the last command */
};
typedef void report_connection_fn(void *arg, const struct report_connection *c);

struct report_sources {
	const struct settings *settings;
	const struct report_container *containers;
	size_t ncontainers;
	size_t nthreads;		    /* workers */
	struct topk *const *hot_clients;    /* one for each worker; NULL: not kept */
	struct latency *const *latencies;   /* the same */
	struct serve_metrics *const *serve; /* one for each thread that has any */
	size_t nserve;
	struct watch *watch; /* may be NULL */
	const struct clock *clock;

	/* What may change while the server runs.  All may be NULL; called on any thread. */
	void *arg;
	/* Changes what differs from settings_now() and the container's memory. */
	void (*now)(void *arg, struct cache *c, struct settings_now *out);
	bool (*accepting)(void *arg);		  /* accepting_conns */
	uint64_t (*certificate_age_s)(void *arg); /* time_since_server_cert_refresh */
	/* Calls fn for each; it may lock, and should not look at more than it must. */
	void (*connections)(void *arg, report_connection_fn *fn, void *fn_arg);
	/* What else keeps the server from being ready, for /readyz. */
	void (*not_ready)(void *arg, struct admin_reasons *reasons);
};

struct report; /* opaque */

/* The sources are copied, what they point to must outlive it.  Uptime begins now.  It listens to the stores'
 * evictions, so no thread has joined them yet, and all have left before it is destroyed. */
err_t report_create(struct report **out, const struct report_sources *src, struct err_detail *why) MUST_CHECK;
void report_destroy(struct report **r); /* NULL is fine */

/*
 * session_host_ops.stats.  `what` is what stands behind "stats": one or two words, "" for the general report.
 * False: no such report (also `detail` under -X).  What is not pairs:
 *
 *     reset, detail on, detail off    true, and nothing was emitted
 *     detail dump                     true; the names are lines to send as they are, END comes behind them
 */
bool report_stats(struct report *r, struct cache *c, struct span what, session_emit_fn *emit, void *emit_arg);

/* session_host_ops.dump: "cachedump <class> <n>", "metadump <ids>", "mgdump <ids>", with or without the words
 * "stats" or "lru_crawler" in front. */
struct session_dump *report_dump(struct report *r, struct cache *c, struct span command, const char **why);

/* `stats detail` is on, so that keys must be noted in `prefixes`.  One relaxed load: fine for each batch. */
bool report_detail(const struct report *r);

/* Registers /metrics (added to those of the registry), /status and /readyz of the containers. */
void report_admin(struct report *r, struct admin *a);

/* The same text without an admin port; for tests. */
void report_metrics(struct report *r, struct buf *out);
void report_status(struct report *r, struct json *j);

/* The tables of metrics for docs/metrics.md. */
void report_markdown(struct buf *out);

#endif
