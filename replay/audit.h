/*
 * audit - which invalidated keys are looked for again, when, and what the answers mean.
 *
 * Of the keys in the log one in `sample` is taken, chosen by its hash.  Each is asked for on every server of
 * the cluster after each of the delays, because a client that puts keys elsewhere than the router looks for
 * them leaves them on another server than their own.  The worst answer is the key's verdict at that delay.
 *
 * An item is stale when it was stored before the delete was in the log: the delete has not been done, or not
 * there. "Before" is known from two clocks of ours that both must agree, so that neither a wrong clock of the
 * database nor one of squeal makes a false alarm: the stamps in the log less AUDIT_MARGIN_MS, and the last
 * time that the log was read to its end without the record.
 *
 * What waits is bounded by max_pending; a key beyond it is dropped and counted.
 *
 * Threads: one at a time.   Blocks: never.   Clock: injected.
 */
#ifndef SQUEAL_REPLAY_AUDIT_H
#define SQUEAL_REPLAY_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

enum {
	AUDIT_DELAYS_MAX = 8,
	AUDIT_MARGIN_MS = 1000, /* an item younger than this at the commit gets the benefit of the doubt */
};

/* clang-format off */
/*	  name            kind     unit    help */
#define AUDIT_METRICS(M)                                                                                        \
	M(audit_keys,     COUNTER, "keys", "keys in the log")                                                  \
	M(audit_sampled,  COUNTER, "keys", "keys taken to be looked for")                                      \
	M(audit_dropped,  COUNTER, "keys", "sampled keys given up because too many were waiting")              \
	M(audit_invalid,  COUNTER, "keys", "sampled keys that cannot be asked for: no valid key with the namespace, or the probe's own") \
	M(audit_pending,  GAUGE,   "keys", "keys that wait for a look")

/* Per delay; a key counts in one of the rows gone to stale. */
#define AUDIT_CHECK_METRICS(M)                                                                                  \
	M(audit_asked,     COUNTER, "keys", "keys looked for on every server")                                 \
	M(audit_gone,      COUNTER, "keys", "no server had it")                                                \
	M(audit_refilled,  COUNTER, "keys", "held, and stored after the delete was in the log")                \
	M(audit_near,      COUNTER, "keys", "held, and stored within about two seconds of the commit: before or after cannot be told") \
	M(audit_unasked,   COUNTER, "keys", "not found, but a server was away or did not answer")              \
	M(audit_unknown,   COUNTER, "keys", "held by a server whose items' ages are not known: it or the audit was started lately, or it refused to answer") \
	M(audit_stale,     COUNTER, "keys", "held, and stored before the commit: a delete is missing")         \
	M(audit_misrouted, COUNTER, "keys", "held by several servers at once: clients and router disagree (counted beside the others)")
/* clang-format on */

struct audit_metrics {
	METRIC_FIELDS(AUDIT_METRICS)
};
extern const struct metric_row audit_metric_rows[];
extern const size_t audit_metric_nrows;

struct audit_check_metrics {
	METRIC_FIELDS(AUDIT_CHECK_METRICS)
};
extern const struct metric_row audit_check_metric_rows[];
extern const size_t audit_check_metric_nrows;

struct audit;	    /* opaque */
struct audit_check; /* opaque: one key that waits, or is being asked for */

/* What one server says, from harmless to bad. */
enum audit_answer {
	AUDIT_GONE,
	AUDIT_REFILLED,
	AUDIT_NEAR,
	AUDIT_UNASKED, /* it was away, or went away before it answered */
	AUDIT_UNKNOWN,
	AUDIT_STALE,
};

struct audit_finding {
	bool misrouted; /* otherwise stale */
	struct span key;
	struct span gtid;
	uint64_t offset; /* in the log */
	uint32_t partition;
	size_t server;
	uint64_t after_ms;     /* the delay */
	uint64_t least_age_ns; /* the item's; 0: not known */
};

struct audit_ops {
	/* Ask the server for the key; audit_answer() then comes once, now or later.  False: it is away. */
	bool (*ask)(void *arg, size_t server, struct audit_check *c);

	/* Texts are valid during the call. */
	void (*found)(void *arg, const struct audit_finding *f);
};

struct audit_options {
	uint64_t sample;		      /* one key in so many; at least 1 */
	uint64_t delays_ms[AUDIT_DELAYS_MAX]; /* growing */
	size_t ndelays;			      /* at least 1 */
	size_t nservers;
	size_t max_pending;
	uint64_t seed; /* of the choice */
};

struct audit *audit_create(const struct audit_options *opt, const struct clock *clock,
			   const struct audit_ops *ops, void *arg);

/* Nothing may be asked for any more: the servers have answered, AUDIT_UNASKED at worst. */
void audit_destroy(struct audit **a);

/* Where a key comes from. */
struct audit_origin {
	struct span gtid;
	uint64_t offset;
	uint64_t seen_us; /* wall clock: when squeal had read the commit; 0: not known */
	uint64_t at_us;	  /* wall clock: when it was appended to the log */
	uint64_t
	    end_ns; /* monotonic: that part of the log had no record beyond those before it; 0: not known */
	uint32_t partition; /* of the log */
	size_t copies;	    /* servers that may hold it at the same time (replicas, gutters); 0 is 1 */
};

/* A key of the log.  `wire`: as servers know it, or an empty span when it cannot be asked for. */
bool audit_samples(const struct audit *a, struct span key);
void audit_key(struct audit *a, const struct audit_origin *from, struct span key, struct span wire);

/* Asks for what is due. */
void audit_run(struct audit *a);

/* One server's answer; `least_age_ns` of an item that it holds. */
void audit_answer(struct audit *a, struct audit_check *c, size_t server, enum audit_answer answer,
		  uint64_t least_age_ns);

/* The key as servers know it. */
struct span audit_check_key(const struct audit_check *c);

/* The commit lies between them (monotonic). */
uint64_t audit_check_from_ns(const struct audit_check *c);
uint64_t audit_check_to_ns(const struct audit_check *c);

size_t audit_pending(const struct audit *a);
const struct audit_metrics *audit_metrics(const struct audit *a);

/* Of the delay `i`. */
const struct audit_check_metrics *audit_check_metrics(const struct audit *a, size_t i);

#endif
