/*
 * story - the last deletes of the log and how each of them went, in fixed memory: squealctl trace.
 *
 * The feed notes each key that it queues for a server; what becomes of it is added when it is sent and
 * acknowledged.  The oldest make room for the new ones.  Beyond STORY_KEYS_PER_SECOND only keys that somebody
 * watches are noted, so that catching up costs no more for it; what was not noted is counted.
 *
 * A reference stands for one key on one server.  References of entries that are gone are harmless.
 *
 * Threads: the loop's.   Blocks: never.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_STORY_H
#define SQUEAL_ROUTER_STORY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/core/json.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "lib/wire/record.h"

/* clang-format off */
/*	  name                   kind     unit    help */
#define STORY_METRICS(M)                                                                                \
	M(router_story_kept,     COUNTER, "keys", "deletes noted for squealctl trace")                 \
	M(router_story_skipped,  COUNTER, "keys", "deletes not noted for it: too many in that second") \
	M(router_story_bytes,    GAUGE,   "bytes", "memory of what is noted")
/* clang-format on */

struct story_metrics {
	METRIC_FIELDS(STORY_METRICS)
};
extern const struct metric_row story_metric_rows[];
extern const size_t story_metric_nrows;

enum { STORY_KEYS_PER_SECOND = 20000, STORY_WATCHES = 64 };

struct story; /* opaque */

/* `bytes` 0: NULL, and every function below takes NULL and does nothing. */
struct story *story_create(size_t bytes, const struct clock *clock, struct story_metrics *metrics);
void story_destroy(struct story **s);

/* The keys that follow are of this transaction.  `at_us`: when the record came into the log. */
void story_txn(struct story *s, uint32_t partition, uint64_t offset, uint64_t at_us, const struct record *rec,
	       const struct record_txn *txn);

/* The key was queued for the server.  Returns its reference for the outbox; 0: not noted. */
uint64_t story_key(struct story *s, struct span key, const char *server, const char *pool);

/* hit: 1 the server had the key, 0 it had not, -1 nobody knows. */
void story_acked(struct story *s, uint64_t ref, uint64_t sent_us, uint64_t acked_us, int hit);

/* A delete of the same key that waited already, of the record at `offset`, stands for this one too. */
void story_coalesced(struct story *s, uint64_t ref, uint64_t offset);

/* From now on the key is always noted; of more than STORY_WATCHES the one asked for longest ago is forgotten.
 */
void story_watch(struct story *s, struct span key);

/*
 * Adds to an object: "noted_since_us", and "deletes", an array of at most `max`, the newest first:
 *
 *     {"server":"10.0.0.1:11211","pool":"default","state":"acknowledged","hit":true,"gtid":"0-1-100",
 *      "source":"main","origin":"update shop.users","partition":0,"offset":4711,
 *      "at_us":{"commit":…,"seen":…,"logged":…,"read":…,"sent":…,"acknowledged":…},
 *      "hops_us":{"commit_to_seen":…,"seen_to_logged":…,"logged_to_read":…,"read_to_sent":…,"sent_to_acknowledged":…}}
 *
 * "state" is waiting, coalesced or acknowledged; times that are not known are null.  commit is by the
 * source's clock, seen and logged by squeal's, the rest by ours.
 */
void story_json(const struct story *s, struct span key, size_t max, struct json *j);

#endif
