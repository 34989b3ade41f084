/*
 * cache - one memcached that is audited: a connection that is kept up, a probe about once a second, and
 * questions.
 *
 * TLS and a password are those of the server in squeal.yaml, as the router uses them.
 *
 * The probe is the only thing that is ever stored.  Answers come in the order of the questions; a server that
 * leaves one unanswered for `answer_timeout_ms`, or answers something else, is away until it can be reached
 * again, and what it was asked is AUDIT_UNASKED.  With the connection goes what was known about the ages of
 * its items: the process behind the address may be another one afterwards.
 *
 * A server that cannot be audited at all (no CAS, no meta commands) is told to on_unfit().
 *
 * Threads: the loop's.   Blocks: never.   Clock: the loop's.
 */
#ifndef SQUEAL_REPLAY_CACHE_H
#define SQUEAL_REPLAY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/topology.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "lib/deliver/server_security.h"
#include "lib/net/loop.h"
#include "replay/audit.h"

enum { CACHE_PROBE_MS = 1000, CACHE_PROBE_TTL_S = 10 };

/* clang-format off */
/*	  name                  kind     unit         help */
#define CACHE_METRICS(M)                                                                                        \
	M(audit_server_up,      GAUGE,   "",          "1: the server is connected and answers probes")         \
	M(audit_probes,         COUNTER, "probes",    "probes stored")                                         \
	M(audit_probe_errors,   COUNTER, "probes",    "probes that the server would not store")                \
	M(audit_forgotten,      COUNTER, "times",     "ages of the items forgotten: the connection was lost, or CAS ids went back") \
	M(audit_questions,      COUNTER, "questions", "keys asked for")                                        \
	M(audit_no_answer,      COUNTER, "questions", "questions not asked or not answered, because the server was away") \
	M(audit_question_errors, COUNTER, "questions", "questions answered by an error")
/* clang-format on */

struct cache_metrics {
	METRIC_FIELDS(CACHE_METRICS)
};
extern const struct metric_row cache_metric_rows[];
extern const size_t cache_metric_nrows;

struct cache; /* opaque */

struct cache_context {
	struct loop *loop;
	struct log *log;
	const struct server_security *security; /* TLS and password; NULL: neither */
	struct audit *audit;			/* gets the answers */
	size_t index;				/* of the server there */
	struct span probe_key;			/* with the namespace; valid by mc_request_key_ok() */
	uint64_t history_ms;			/* how far back ages are known */
	uint64_t connect_timeout_ms, answer_timeout_ms, pause_ms;
	void (*on_unfit)(void *arg, const char *why); /* a sentence; may be called again and again */
	void *arg;
};

/* `opt` must outlive it. */
struct cache *cache_create(const struct server_options *opt, const struct cache_context *ctx);

/* What it was asked and has not answered is AUDIT_UNASKED. */
void cache_destroy(struct cache **c);

void cache_start(struct cache *c);

/* Asks for the check's key with the next cache_flush(); false: it is away. */
bool cache_ask(struct cache *c, struct audit_check *check);
void cache_flush(struct cache *c);

bool cache_is_up(const struct cache *c);
const char *cache_error(const struct cache *c); /* why it was left last; "" where it never was */
const char *cache_name(const struct cache *c);	/* as squeal.yaml and the router write it: "10.0.0.1:11211" */
const struct cache_metrics *cache_metrics(const struct cache *c);

#endif
