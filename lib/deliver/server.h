/*
 * server - the connection to one memcached server, kept up for ever, and the outbox that it carries.
 *
 *     AWAY -- pause over --> CONNECTING -- connected --> GREETING -- answered --> UP
 *       ^                        |                          |                     |
 *       +------------------------+--------------------------+---------------------+
 *              refused, closed, too slow, or an answer that is none
 *
 * The greeting is the password where there is one, "version" and "mn": a server that answers MN gets meta
 * deletes, an older one classic deletes; and "stats", which tells which process it is: see server_identity().
 * A server is away when it cannot be connected within connect_timeout, when an end mark stays
 * unanswered for ack_timeout, or when it answers garbage; it is tried again after a pause that doubles up to
 * backoff_max, with jitter.  Whatever was not acknowledged is sent again.  Nothing here ever waits for a
 * server, and nothing that one server does is felt by another.
 *
 * Threads: the loop's.   Blocks: never.   Clock: the loop's.
 */
#ifndef SQUEAL_LIB_DELIVER_SERVER_H
#define SQUEAL_LIB_DELIVER_SERVER_H

#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/deliver/outbox.h"
#include "lib/deliver/server_security.h"
#include "lib/net/loop.h"

/* clang-format off */
/*	  name                        kind     unit       help */
#define SERVER_METRICS(M)                                                                                       \
	M(router_server_up,           GAUGE,   "",        "1 while the server is connected and answers")       \
	M(router_connects,            COUNTER, "calls",   "tries to connect")                                  \
	M(router_reconnects,          COUNTER, "calls",   "connections that came up after the first")          \
	M(router_connect_errors,      COUNTER, "calls",   "tries to connect that failed")                      \
	M(router_disconnects,         COUNTER, "calls",   "connections lost: closed or reset by the server")   \
	M(router_ack_timeouts,        COUNTER, "calls",   "connections closed because an answer took longer than ack_timeout") \
	M(router_garbage,             COUNTER, "calls",   "connections closed because the answer was no memcached reply, or not to what was asked") \
	M(router_auth_errors,         COUNTER, "calls",   "connections closed because the server refused the password")      \
	M(router_packets,             COUNTER, "calls",   "writes to the server: deletes_sent / packets is the batching") \
	M(router_bytes_sent,          COUNTER, "bytes",   "bytes written to the server")
/* clang-format on */

struct server_metrics {
	METRIC_FIELDS(SERVER_METRICS)
};
extern const struct metric_row server_metric_rows[];
extern const size_t server_metric_nrows;

struct server; /* opaque */

enum server_change {
	SERVER_SAME,	  /* the process that was connected before, or the first */
	SERVER_RESTARTED, /* another, begun after we last heard from the former one: the outbox has all it
			     missed */
	SERVER_OTHER, /* another, which ran, or may have run, while we still talked to the former one: what it
			 has may be older than its cursor says */
};

/*
 * Which process answers.  The same is one with the same pid, start by its own clock, and more connections
 * than before; squeal-cache says itself when it began, to the microsecond.  Of stock memcached the start is
 * only known to a few seconds: one that was restarted faster than that and holds items already is
 * SERVER_OTHER, too.
 */
struct server_identity {
	bool known; /* false: it does not answer "stats", as proxies do not; it counts as the same */
	uint64_t pid;
	uint64_t started_us; /* by our wall clock; not later than it really began */
	enum server_change changed;
};

/*
 * What is kept of the process that answers, so that another one is noticed even when we were not there: after
 * a restart of ours, or on a second connection to the server.
 */
struct server_past {
	uint64_t pid;
	uint64_t born_s;      /* by its own clock */
	uint64_t started_us;  /* 0: it does not say */
	uint64_t connections; /* that it had had at the greeting */
	int64_t
	    heard_ms; /* the last that came from it, by the loop's monotonic clock; may be before its zero */
};

/* Called after every change that may let the owner go on: answers came, the connection came or went. */
typedef void server_progress_fn(void *arg, struct server *s);

struct server_context {
	struct loop *loop;
	const struct router_options *opt;	/* timeouts and windows; may change between callbacks */
	struct log *log;			/* may be NULL */
	uint64_t seed;				/* of the jitter */
	const struct server_security *security; /* TLS and password; NULL: neither */
	server_progress_fn *on_progress;
	outbox_acked_fn *on_acked;	   /* may be NULL */
	outbox_coalesced_fn *on_coalesced; /* may be NULL */
	void *arg;
};

/* `opt` is the server's part of squeal.yaml.  Nothing is sent before server_start().  What `ctx` points
 * to must outlive the server; of `opt` a copy is made. */
struct server *server_create(const struct server_options *opt, const struct server_context *ctx);
void server_destroy(struct server **s);

/* The process that was there before: another one that answers is noticed at the first greeting.  Does nothing
 * after that. */
void server_recall(struct server *s, const struct server_past *past);

/* Begins to connect. */
void server_start(struct server *s);

/* The deletes for it; after putting some in, call server_pump(). */
struct outbox *server_outbox(struct server *s);

/* Sends what may be sent now. */
void server_pump(struct server *s);

/* Closes the connection and connects again soon. */
void server_reconnect(struct server *s, const char *reason);

bool server_is_up(const struct server *s);

/* "away", "connecting", "greeting", "up" */
const char *server_state(const struct server *s);

const char *server_name(const struct server *s);       /* as squeal.yaml writes it: "10.0.0.1:11211" */
const char *server_address(const struct server *s);    /* that it is connected by */
const char *server_version(const struct server *s);    /* "1.6.18"; "" before the first greeting */
const char *server_last_error(const struct server *s); /* "" when there was none */
unsigned server_can(const struct server *s);	       /* enum outbox_ability, while it is up */
uint64_t server_greetings(const struct server *s);     /* connections that came up so far */
bool server_has_meta(const struct server *s);	       /* md and mn, as of the last greeting */

/* As of the last greeting. */
const struct server_identity *server_identity(const struct server *s);

/* The process that answered last, or was recalled; false: none is known. */
bool server_past(const struct server *s, struct server_past *out);

/*
 * Puts into the JSON object that is open: address, version, deletes, tls, auth, identity, cannot (sentences),
 * and the counts of what was asked for in vain.
 */
void server_status(const struct server *s, struct json *j);

const struct server_metrics *server_metrics(const struct server *s);
const struct outbox_metrics *server_outbox_metrics(const struct server *s);

/* Shows and hides both sets of metrics; `labels` as in server="10.0.0.1:11211". */
void server_metrics_add(struct server *s, struct metric_registry *r, const char *labels);
void server_metrics_remove(struct server *s, struct metric_registry *r);

#endif
