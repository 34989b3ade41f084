/*
 * outbox - the deletes for one server: waiting, in flight, acknowledged.
 *
 * Deletes go in with the transaction and the log record that they belong to.  They leave in windows: up to
 * window_keys quiet deletes and one end mark.  Several windows are in flight at a time; the end mark's answer
 * acknowledges the oldest.  While something is in flight only full windows are added, so deletes gather into
 * packets exactly as long as the server needs to answer.
 *
 *     meta servers      md <key> q ... mn         HD and NF lines may come (memcached 1.6.18 prints NF even
 *                                                 with q); MN is the acknowledgement
 *     older servers     delete <key> ... version  every delete answers one line, which are counted; VERSION
 *                                                 is the acknowledgement
 *
 * One window in sample_hits is sent without q: its answers say which keys the server had.
 *
 * A window with an error line in it is not acknowledged but sent again; when it fails again its keys are sent
 * one by one.  A single key that is answered CLIENT_ERROR is given up, counted and logged: this is the only
 * way a delete is ever given up.  SERVER_ERROR and ERROR are tried again with a growing pause, for as long as
 * it takes.
 *
 * Coalescing: a key that waits and was not sent yet is not queued twice.  The entry that waits stands for
 * both, and becomes the stronger of the two (a delete is stronger than stale, the longer hold-off and the
 * shorter stale time win); it is sent after both commits, which is all that a delete has to be.
 *
 * Rate limits: a key with a limit that has no token left waits aside, and the keys behind it go on.  Until it
 * is acknowledged outbox_acked() stays at its record, whatever else is acknowledged.
 *
 * outbox_acked() is the offset below which every record is fully acknowledged.  A flush_all is an entry like
 * a delete that is never given up.
 *
 * Bytes in, bytes out: no I/O here.  Memory: what is queued, which is outbox_bytes(), and an index of the
 * keys that came last of 32 KiB, of 128 KiB for each limit that something waits for; a repeat of a key that
 * is in the index no more is queued like a new one.
 *
 * Threads: the loop's.   Blocks: never.   Clock: injected.
 */
#ifndef SQUEAL_LIB_DELIVER_OUTBOX_H
#define SQUEAL_LIB_DELIVER_OUTBOX_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "lib/wire/mc_reply.h"

/* clang-format off */
/*	  name                        kind       unit       help */
#define OUTBOX_METRICS(M)                                                                                           \
	M(router_deletes_sent,        COUNTER,   "keys",    "deletes sent, those sent again included")             \
	M(router_deletes_acked,       COUNTER,   "keys",    "deletes acknowledged by the server")                  \
	M(router_deletes_given_up,    COUNTER,   "keys",    "deletes that the server refused for good (CLIENT_ERROR on the key alone)") \
	M(router_windows_acked,       COUNTER,   "windows", "windows acknowledged")                                \
	M(router_retries,             COUNTER,   "windows", "windows or single keys sent again")                   \
	M(router_client_errors,       COUNTER,   "replies", "CLIENT_ERROR replies")                                \
	M(router_server_errors,       COUNTER,   "replies", "SERVER_ERROR and ERROR replies")                      \
	M(router_flushes,             COUNTER,   "calls",   "acknowledged flush_all after a gap")                  \
	M(router_deletes_coalesced,   COUNTER,   "keys",    "deletes not queued because the same key waited already, unsent")  \
	M(router_delete_hits,         COUNTER,   "keys",    "sampled deletes of keys that the server had")         \
	M(router_delete_misses,       COUNTER,   "keys",    "sampled deletes of keys that it did not have: of all that were sampled, the share that was for nothing") \
	M(router_deletes_limited,     COUNTER,   "keys",    "deletes that had to wait for the rate limit of their prefix")     \
	M(router_limited_waiting,     GAUGE,     "keys",    "deletes that wait for the rate limit of their prefix")            \
	M(router_stales_sent,         COUNTER,   "keys",    "deletes sent that leave the value behind as stale")   \
	M(router_stale_unsupported,   COUNTER,   "keys",    "deletes that were to leave the value as stale, sent as plain ones because the server has no meta commands") \
	M(router_holdoffs_sent,       COUNTER,   "keys",    "deletes sent with a hold-off")                         \
	M(router_holdoff_unsupported, COUNTER,   "keys",    "deletes that asked for a hold-off, sent without it because the server knows none") \
	M(router_caught_up,           COUNTER,   "calls",   "times that a squeal-cache was told that it has had every delete of the log") \
	M(router_queue_bytes,         GAUGE,     "bytes",   "deletes waiting or in flight")                        \
	M(router_seen_to_ack,         HISTOGRAM, "us",      "from squeal's reading of a commit to the acknowledgement of its last delete here") \
	M(router_commit_to_ack,       HISTOGRAM, "us",      "from the commit by the source's clock to the acknowledgement of its last delete here")
/* clang-format on */

struct outbox_metrics {
	METRIC_FIELDS(OUTBOX_METRICS)
};
extern const struct metric_row outbox_metric_rows[];
extern const size_t outbox_metric_nrows;

struct outbox; /* opaque */

/* What to do with a key on a server; the stronger first. */
enum outbox_action {
	OUTBOX_DELETE,
	OUTBOX_STALE, /* readers that ask (mg) get the value for stale_ms more, marked as stale; md I T */
};

struct outbox_key {
	struct span prefix; /* namespace put before the key; "" for none */
	struct span key;
	enum outbox_action action;
	uint32_t holdoff_ms; /* for so long nobody may fill the key again; 0: none */
	uint32_t stale_ms;   /* with OUTBOX_STALE; whole seconds are sent, rounded up */
	uint64_t ref;	     /* brought back by the acknowledgement */
	uint32_t limit;	     /* index of its rate limit + 1; 0: none */
};

struct outbox_limit {
	uint32_t keys_per_s; /* to this server; 0: no limit */
};

enum outbox_hit { OUTBOX_HIT_UNKNOWN, OUTBOX_HIT, OUTBOX_MISS };

/* A delete that was acknowledged.  Times by the wall clock; 0: not known. */
struct outbox_ack {
	uint64_t offset, ref;
	uint64_t seen_us, commit_us; /* of outbox_txn() */
	uint64_t queued_us, sent_us, acked_us;
	struct span key; /* without the prefix; valid during the call */
	enum outbox_hit hit;
};

/* Called with each delete when it is acknowledged; in the log's order, but for those that waited for a limit.
 * A key that was coalesced has no acknowledgement of its own. */
typedef void outbox_acked_fn(void *arg, const struct outbox_ack *ack);

/* The key just put in, with this ref, is not queued: the one of the record at `offset` that waits stands for
 * both. */
typedef void outbox_coalesced_fn(void *arg, uint64_t ref, uint64_t offset);

struct outbox_context {
	const struct router_options
	    *opt; /* window_keys, windows, backoff_max, sample_hits; may change between calls */
	const struct clock *clock;
	struct log *log;		   /* may be NULL */
	struct outbox_metrics *metrics;	   /* never NULL */
	const char *server;		   /* named in log lines */
	outbox_acked_fn *on_acked;	   /* may be NULL */
	outbox_coalesced_fn *on_coalesced; /* may be NULL */
	void *arg;
};

/* `acked`: the cursor that the server starts from.  What `ctx` points to must outlive the outbox. */
struct outbox *outbox_create(const struct outbox_context *ctx, uint64_t acked);
void outbox_destroy(struct outbox **o);

/* --- filling ----------------------------------------------------------------------------------------------
 */

/* The deletes that follow belong to this transaction of the record at `offset`.  Times may be 0: not known.
 */
void outbox_txn(struct outbox *o, uint64_t offset, uint64_t seen_us, uint64_t commit_us);

/*
 * Copies the key.  ERR_BAD_KEY: it cannot be sent with its prefix; nothing was queued.
 *
 * What a server cannot do is done as far as it can, and counted: a hold-off only squeal-cache knows, and gets
 * a plain delete elsewhere; stale needs meta commands, and is a plain delete without.
 */
err_t outbox_put(struct outbox *o, const struct outbox_key *k) MUST_CHECK;

/* Everything of the records before `next` is queued; a record without a delete for this server is said too.
 */
void outbox_record_end(struct outbox *o, uint64_t next);

/* Everything on the server must go: its deletes are not all known.  One that waits already, with no delete
 * behind it, serves for both. */
void outbox_flush_all(struct outbox *o);

/* Everything that the server missed while it was away is queued before this: a squeal-cache serves what it
 * kept over a restart once it has been told.  Other servers are told nothing. */
void outbox_caught_up(struct outbox *o);

/* The deletes come from part `part` of the `parts` of the log, which is told with that.  A server that knows
 * no parts is then never told. */
void outbox_part(struct outbox *o, uint32_t part, uint32_t parts);

/* Drops everything and starts anew from `acked`.  While something is in flight the connection must be closed
 * first. */
void outbox_restart(struct outbox *o, uint64_t acked);

/* --- pace -------------------------------------------------------------------------------------------------
 */

/* These change what may be sent now: call server_pump() after them. */

/* At most so many keys a second, all together; 0: as many as the server takes.  What is sent again is not
 * counted. */
void outbox_rate(struct outbox *o, uint64_t keys_per_s);

/* The rate limits that outbox_key.limit names, 65535 at most.  Keys that wait keep the index that they have.
 */
void outbox_limits(struct outbox *o, const struct outbox_limit *limits, size_t n);

/* While paused nothing more is sent; what is in flight is awaited. */
void outbox_pause(struct outbox *o, bool pause);
bool outbox_is_paused(const struct outbox *o);

/* --- the connection ---------------------------------------------------------------------------------------
 */

/* What the server said of itself; before outbox_connected(), and forgotten when the connection ends. */
enum outbox_ability { OUTBOX_HOLDOFF = 1, OUTBOX_CAUGHT_UP = 2, OUTBOX_CAUGHT_UP_PART = 4 };
void outbox_abilities(struct outbox *o, unsigned can);

/* A new connection; `meta`: the server knows md and mn.  Whatever was in flight is sent again. */
void outbox_connected(struct outbox *o, bool meta);

/* The connection is gone. */
void outbox_disconnected(struct outbox *o);

/* Appends what may be sent now; returns false when that is nothing. */
bool outbox_send(struct outbox *o, struct buf *out);

/*
 * Takes one reply.  ERR_PROTOCOL: it does not belong to anything that was sent; close the connection.
 */
err_t outbox_reply(struct outbox *o, const struct mc_reply *reply, struct err_detail *why) MUST_CHECK;

/* --- looking ----------------------------------------------------------------------------------------------
 */

/* Every record before this offset is fully acknowledged. */
uint64_t outbox_acked(const struct outbox *o);

/* Bytes queued, those that wait for a limit included. */
size_t outbox_bytes(const struct outbox *o);

/* Nothing is waiting, not for a limit either, and nothing is in flight. */
bool outbox_is_empty(const struct outbox *o);

/* flush_all that are not acknowledged yet. */
size_t outbox_flushes_pending(const struct outbox *o);

/* End marks that are not answered yet. */
size_t outbox_in_flight(const struct outbox *o);

/* Since when (monotonic) the oldest end mark in flight has been the next to be answered; 0 when none is. */
uint64_t outbox_waiting_since_ms(const struct outbox *o);

/* When outbox_send() may have something that only time brings; 0 when nothing waits for time. */
uint64_t outbox_retry_at_ms(struct outbox *o);

#endif
