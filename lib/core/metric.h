/*
 * metric - counters, gauges and histograms as tables, rendered as Prometheus text.
 *
 * A module's header holds a table:
 *
 *     (*    name            kind     unit     help                              *)
 *     #define BATCH_METRICS(M)                                                  \
 *         M(batch_keys,     COUNTER, "keys",  "keys added")                     \
 *         M(batch_pending,  GAUGE,   "keys",  "keys waiting now")               \
 *         M(batch_age,      HISTOGRAM, "us",  "age of the oldest key at flush")
 *     struct batch_metrics { METRIC_FIELDS(BATCH_METRICS) };
 *
 * and its source the rows (typedef struct batch_metrics metric_owner; METRIC_ROWS(BATCH_METRICS)).
 * Prometheus sees squeal_batch_keys_total, squeal_batch_pending, squeal_batch_age_seconds (a summary with
 * quantiles; microseconds become seconds).
 *
 * Threads: any thread may count (relaxed atomics) and any may render.   Blocks: render takes a mutex that
 * only add and remove share.
 */
#ifndef SQUEAL_LIB_CORE_METRIC_H
#define SQUEAL_LIB_CORE_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/histogram.h"

typedef _Atomic uint64_t metric_t;

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
	const char *name;
	enum metric_kind kind;
	const char *unit;
	const char *help;
	size_t offset;
};

#define METRIC_C_COUNTER   metric_t
#define METRIC_C_GAUGE	   metric_t
#define METRIC_C_HISTOGRAM struct histogram

#define METRIC_FIELD(name, kind, unit, help) METRIC_C_##kind name;
#define METRIC_FIELDS(table)		     table(METRIC_FIELD)
#define METRIC_ROW(nm, kd, un, hp)                                                                           \
	{.name = #nm, .kind = METRIC_##kd, .unit = un, .help = hp, .offset = offsetof(metric_owner, nm)},
#define METRIC_ROWS(table) table(METRIC_ROW)

static inline void
metric_add(metric_t *m, uint64_t n)
{
	atomic_fetch_add_explicit(m, n, memory_order_relaxed);
}

static inline void
metric_inc(metric_t *m)
{
	metric_add(m, 1);
}

/* The same for a metric that only one thread counts: no locked instruction, for hot paths. */
static inline void
metric_bump(metric_t *m, uint64_t n)
{
	atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void
metric_set(metric_t *m, uint64_t v)
{
	atomic_store_explicit(m, v, memory_order_relaxed);
}

static inline uint64_t
metric_get(const metric_t *m)
{
	return atomic_load_explicit((metric_t *)m, memory_order_relaxed);
}

struct metric_registry;

struct metric_registry *metric_registry_create(void);
void metric_registry_destroy(struct metric_registry **r);

/*
 * Shows the struct at `base` under `labels` (`server="10.0.0.1:11211"`, "" for none; copied).  `rows` and
 * `base` must outlive the registration.  Sets with the same rows are one family with several label sets.
 */
void metric_registry_add(struct metric_registry *r, const struct metric_row *rows, size_t nrows,
			 const void *base, const char *labels);
void metric_registry_remove(struct metric_registry *r, const void *base);

/* Prometheus text format 0.0.4. */
void metric_registry_render(struct metric_registry *r, struct buf *out);

/* A table of a module's metrics for docs/metrics.md. */
void metric_markdown(const struct metric_row *rows, size_t nrows, const char *title, struct buf *out);

#endif
