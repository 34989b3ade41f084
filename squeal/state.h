/*
 * state - what the daemon is doing, for /status, /readyz and the log.
 *
 * The reading thread and the writing thread say what they do; the admin port asks.  One mutex, held for a few
 * copies.
 *
 * Threads: any.   Blocks: never for long.   Clock: injected.
 */
#ifndef SQUEAL_STATE_H
#define SQUEAL_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

/* What the reading side does. */
enum state_source {
	STATE_CONNECTING,
	STATE_STREAMING,
	STATE_GAP,     /* continuity cannot be proven: stopped until an operator decides */
	STATE_STOPPED, /* shutting down, or the end of what was to be read */
};

/* What the writing side does. */
enum state_log {
	STATE_LOG_OK,
	STATE_LOG_WAITING, /* for commits to become visible on the source */
	STATE_LOG_BLOCKED, /* the log does not take records; tried again */
	STATE_LOG_FAILED,  /* it never will: the daemon ends */
};

/* clang-format off */
/*	  name                 kind     unit          help */
#define STATE_METRICS(M)                                                                                       \
	M(source_up,           GAUGE,   "",           "1 while events are streamed from the source")           \
	M(source_gap,          GAUGE,   "",           "1 in state GAP: continuity of the binlog cannot be proven") \
	M(source_connect,      COUNTER, "connections", "streams opened")                                       \
	M(source_error_auth,   COUNTER, "errors",     "connections refused for user, password or TLS")         \
	M(source_error_privilege, COUNTER, "errors",  "connections that lacked a privilege")                   \
	M(source_error_setup,  COUNTER, "errors",     "connections to a database that is not set up for this") \
	M(source_error_conn,   COUNTER, "errors",     "connections that failed or were lost")                  \
	M(source_error_timeout, COUNTER, "errors",    "connections given up because nothing was heard")        \
	M(source_error_other,  COUNTER, "errors",     "other failures of the stream")                          \
	M(log_up,              GAUGE,   "",           "1 while the log takes records")                         \
	M(log_retry,           COUNTER, "calls",      "appends that were tried again")                         \
	M(log_halved,          COUNTER, "records",    "records that were too large for the topic and were written as two") \
	M(visibility_gave_up,  COUNTER, "calls",      "batches released although the source did not confirm in time that they are visible") \
	M(queue_bytes,         GAUGE,   "bytes",      "transactions read but not yet in the log")              \
	M(queue_full,          GAUGE,   "",           "1 while reading waits for the log")                     \
	M(heard,               GAUGE,   "us",         "age of the last event or heartbeat of the source")      \
	M(commit_to_log,       HISTOGRAM, "us",       "time from the end of reading a transaction until it is in the log")
/* clang-format on */

struct state_metrics {
	METRIC_FIELDS(STATE_METRICS)
};
extern const struct metric_row state_metric_rows[];
extern const size_t state_metric_nrows;

struct state; /* opaque */

/* `metrics` is borrowed. */
struct state *state_create(const char *source, const struct clock *clock, struct state_metrics *metrics);
void state_destroy(struct state **s);

/* A stream was opened: what server it is and where it starts. */
void state_streaming(struct state *s, struct span server, struct span start);

/* The source side changed for `why` (a sentence, copied); counts the error by its kind. */
void state_source(struct state *s, enum state_source now, const struct err_detail *why);

/* Something was heard from the source.  The reading thread says so for every event, so it only counts; the
 * time is taken by state_refresh(), to its caller's precision. */
void state_heard(struct state *s);

/* The reading side stands behind this place. */
void state_read(struct state *s, struct span file, uint64_t pos);

void state_log(struct state *s, enum state_log now, const struct err_detail *why);

/* `checkpoint` and everything before it is in the log. */
void state_acknowledged(struct state *s, struct span checkpoint, uint64_t ntxns, uint64_t nkeys);

/* True from the moment on when a checkpoint of this run is in the log. */
bool state_has_checkpoint(struct state *s);

/* Sentences that say why the daemon is not ready, one call each; none when it is. */
typedef void state_reason_fn(void *arg, const char *sentence);
void state_reasons(struct state *s, uint64_t unready_after_ms, state_reason_fn *fn, void *arg);

/* Members for /status, into an open object. */
void state_json(struct state *s, struct json *j);

/* The one-line summary for `systemctl status`. */
void state_line(struct state *s, char *out, size_t size);

/* Brings the gauges up to date before they are shown. */
void state_refresh(struct state *s, uint64_t queue_bytes, bool queue_full);

#endif
