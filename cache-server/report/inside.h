/*
 * inside - what the files of this room share.
 *
 * Threads: any.   Blocks: report_reset() on the report's mutex.   Clock: the report's.
 */
#ifndef SQUEAL_CACHE_SERVER_REPORT_INSIDE_H
#define SQUEAL_CACHE_SERVER_REPORT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache-server/report/report.h"

/* As memcached's slab classes: 1 to 63.  1: never expires; others by the octave and half octave of the TTL.
 */
enum { REPORT_MAX_CLASS = 63, REPORT_NEVER_CLASS = 1, REPORT_MAX_ROWS = 2048 };

struct evictions { /* of one container */
	struct watch *watch;
	struct store *store;
};

struct report {
	struct report_sources src;
	uint64_t started_ns;
	uint64_t started_us; /* by the wall clock */
	_Atomic bool detail;
	pthread_mutex_t mutex;
	/* What counters were at `stats reset`; counters themselves belong to the threads that count. */
	struct serve_metrics serve_base;
	struct store_metrics *store_base; /* one for each container */
	struct evictions *evictions;	  /* the same */
};

/* One report on its way to the client: pairs, one by one. */
struct report_emit {
	session_emit_fn *emit;
	void *arg;
};

void report_pair(const struct report_emit *e, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "items:3:number", "3:chunk_size" */
void report_row(const struct report_emit *e, const char *group, unsigned row, const char *name,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* A text of any bytes as one word. */
void report_word(struct buf *out, struct span text);

/* Sums since the last reset; gauges as they are. */
void report_serve(struct report *r, struct serve_metrics *out);
void report_store(struct report *r, size_t container, struct store_metrics *out);
/* The same since the start, for Prometheus. */
void report_serve_total(struct report *r, struct serve_metrics *out);
void report_store_total(struct report *r, size_t container, struct store_metrics *out);

/* The index of the cache's container. */
size_t report_container_of(const struct report *r, const struct cache *c);

struct settings_now report_now(struct report *r, size_t container);
unsigned report_class(uint32_t ttl);
const char *report_policy(enum cache_policy policy);

/* TTL ranges that are in use, put together by class. */
struct report_class_row {
	struct store_ttl_row row;
	bool used;
};
struct report_classes {
	struct report_class_row at[REPORT_MAX_CLASS + 1];
};
void report_classes(struct store *s, struct report_classes *out);

/* The reports: stats.c, stats_class.c, stats_more.c. */
void report_general(struct report *r, size_t container, const struct report_emit *e);
void report_items(struct report *r, size_t container, const struct report_emit *e);
void report_slabs(struct report *r, size_t container, const struct report_emit *e);
void report_conns(struct report *r, const struct report_emit *e);
void report_leases(struct report *r, size_t container, const struct report_emit *e);
void report_containers(struct report *r, const struct report_emit *e);
void report_segments(struct report *r, size_t container, const struct report_emit *e);
void report_hot(struct topk *const *ts, size_t n, const char *what, const struct report_emit *e);
void report_latency(struct report *r, const struct report_emit *e);
void report_prefixes(struct report *r, size_t container, const struct report_emit *e);
void report_restart(struct report *r, size_t container, const struct report_emit *e);

#endif
