/*
 * server - one squeal-cache process: containers with their ports, the workers that serve them, the upkeep of
 * their stores, the admin port, signals.
 *
 * The main thread accepts connections and hands each to a worker, which it stays with.  It also turns the
 * clock (once a second), collects watchers' lines and answers the admin port; none of this waits for a
 * worker.  Every worker serves every container.
 *
 *     main thread (lib/net loop)          worker threads                        upkeep thread
 *     accept, admin, signals, clock ──▶   epoll: conn, datagram ──▶ session     store_upkeep()
 *
 * What workers share: the containers (cache.h says how), a few counters of connections, the auth file and the
 * certificates, which are replaced as a whole while in use.
 *
 * Source: behaviour of memcached 1.6.45 (memcached.c, thread.c).
 *
 * Threads: each section says.   Blocks: server_run() only.   Clock: injected.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_SERVER_H
#define SQUEAL_CACHE_SERVER_SERVE_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "cache-server/report/report.h"
#include "cache-server/report/serve_metrics.h"
#include "cache-server/report/watch.h"
#include "cache-server/serve/door.h"
#include "cache-server/serve/job.h"
#include "cache-server/serve/keeper.h"
#include "cache-server/serve/port.h"
#include "cache-server/serve/tls.h"
#include "cache-server/serve/worker.h"
#include "cache-server/settings/auth_file.h"
#include "cache-server/settings/settings.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"

struct server_options {
	const struct settings *settings; /* must outlive the server */
	struct port_list *ports;	 /* open; taken over */
	const struct clock *clock;
	struct log *log;
	void (*ready)(void *arg); /* everything is up; may be NULL */
	void *ready_arg;
};

struct server_auth { /* replaced by SIGHUP; what is old is freed when no worker looks at it any more */
	struct auth_file *file;
	uint64_t stamp;
	struct server_auth *next;
};

struct server_sight { /* the workers' tables in the order that report wants */
	struct report_container *containers;
	struct topk **hot_keys, **hot_clients;
	struct prefix **prefixes;
	struct latency **latencies;
	struct serve_metrics **metrics;
};

struct server {
	const struct settings *settings;
	const struct clock *clock;
	struct log *log;
	void (*ready)(void *arg);
	void *ready_arg;

	struct quiesce *quiesce;
	struct cache **caches; /* one for each container, in the settings' order */
	struct session_limits *limits;
	size_t ncaches;

	struct port_list ports;
	struct worker **workers;
	size_t nworkers;
	struct keeper *keeper;
	struct jobs *jobs; /* NULL without --job-dir */
	struct tls *tls;   /* NULL without -Z */
	struct watch *watch;
	struct watch_ring *ring; /* the main thread's */
	struct report *report;
	struct server_sight *sight;
	struct door *door;

	struct loop *loop;
	struct daemon *daemon;
	struct admin *admin;
	struct loop_timer second, collect;
	struct loop_signal usr1;

	_Atomic(struct server_auth *) auth; /* release: filled before it is seen */
	struct server_auth *old_auth;	    /* main thread */

	_Atomic uint32_t now_s;	  /* seconds since start, turned by the main thread */
	_Atomic unsigned verbose; /* -v, verbosity */
	_Atomic uint64_t *memory; /* of each container: cache_memlimit; 0: as it was set */
	_Atomic bool watching;	  /* the collector has been woken */
	_Atomic int stop;	  /* enum server_stop */
	uint64_t start_ms;
};

enum server_stop { SERVER_RUNS, SERVER_STOPS, SERVER_STOPS_GRACEFULLY };

/* --- main thread --------------------------------------------------------------------------------------- */

/* Makes containers, workers and all; nothing is served yet.  Ports are taken over in any case. */
err_t server_create(struct server **out, const struct server_options *opt, struct err_detail *why) MUST_CHECK;

/* Serves until a signal or `shutdown`. */
err_t server_run(struct server *s, struct err_detail *why) MUST_CHECK;

/* Memory files are marked clean.  NULL is fine. */
void server_destroy(struct server **s);

/* --- workers ------------------------------------------------------------------------------------------- */

void server_stop(struct server *s, bool graceful);
void server_watching(struct server *s); /* somebody began to watch */

static inline uint32_t
server_now_s(const struct server *s)
{
	return atomic_load_explicit(&s->now_s, memory_order_relaxed);
}

/* The index of a container. */
size_t server_cache_index(const struct server *s, const struct cache *c);

#endif
