/*
 * watch - `watch fetchers mutations …`: what happens, as lines, to connections that ask for it.
 *
 * A thread that has something to say writes a record into a ring of its own (-o worker_logbuf_size), which
 * takes no lock; one thread collects the rings now and then, makes lines of the records and puts each into
 * the buffer (-o watcher_logbuf_size) of every watcher that wants its kind.  What does not fit is dropped and
 * counted: in a ring as log_worker_dropped, in a watcher's buffer as log_watcher_skipped and, for the
 * watcher, in a line "skipped=N" in front of the next one.
 *
 *     ts=1700000000.123456 gid=7 type=item_get key=foo status=found clsid=1 cfd=25 size=4
 *
 * Lines of one thread are in order; gid orders those of several.  Nothing is written, and no time is read,
 * while nobody watches: callers ask watch_wants() first.
 *
 * Source: memcached 1.6.45, logger.c (format of the lines).
 *
 * Memory ordering: a ring has one producer and one consumer.  The producer stores `head` with release after
 * the record is complete, the consumer loads it with acquire; `tail` the other way round.  The set of kinds
 * is one relaxed word: a record too few or too many while a watcher comes or goes is fine.
 *
 * Threads: each function says.   Blocks: on a watcher's mutex for as long as lines are copied; never in
 * watch_wants() and the watch_log functions.   Clock: injected.
 */
#ifndef SQUEAL_CACHE_SERVER_REPORT_WATCH_H
#define SQUEAL_CACHE_SERVER_REPORT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/proto/session.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { WATCH_MAX_WATCHERS = 20, WATCH_MAX_LINE = 2048 };

/* clang-format off */
/*        name                bit                    in text */
#define WATCH_KINDS(X)                                                                \
	X(WATCH_FETCHERS,     SESSION_LOG_FETCHERS,  "fetchers")                      \
	X(WATCH_MUTATIONS,    SESSION_LOG_MUTATIONS, "mutations")                     \
	X(WATCH_DELETIONS,    SESSION_LOG_DELETIONS, "deletions")                     \
	X(WATCH_EVICTIONS,    1u << 3,               "evictions")                     \
	X(WATCH_CONNEVENTS,   1u << 4,               "connevents")                    \
	X(WATCH_RAWCMDS,      1u << 5,               "rawcmds")                       \
	X(WATCH_SYSEVENTS,    1u << 6,               "sysevents")                     \
	X(WATCH_PROXYREQS,    1u << 7,               "proxyreqs")                     \
	X(WATCH_PROXYEVENTS,  1u << 8,               "proxyevents")                   \
	X(WATCH_PROXYUSER,    1u << 9,               "proxyuser")
/* clang-format on */
enum watch_kind {
#define WATCH_ENUM(name, bit, text) name = (bit),
	WATCH_KINDS(WATCH_ENUM)
#undef WATCH_ENUM
};

struct watch;	   /* opaque */
struct watch_ring; /* opaque: one thread's */
struct watcher;	   /* opaque: one connection's */

struct watch_options {
	size_t ring_bytes;    /* -o worker_logbuf_size; 0: 64 KiB */
	size_t watcher_bytes; /* -o watcher_logbuf_size; 0: 256 KiB */
	const struct clock *clock;
};

/* --- life: the main thread -------------------------------------------------------------------------- */

err_t watch_create(struct watch **out, const struct watch_options *opt, struct err_detail *why) MUST_CHECK;

/* All watchers are gone, and nobody writes to a ring any more.  NULL is fine. */
void watch_destroy(struct watch **w);

/* One for each thread that logs, before it starts; freed by watch_destroy(). */
struct watch_ring *watch_ring_create(struct watch *w);

/* --- the thread that owns the ring --------------------------------------------------------------------- */

/* All kinds that somebody watches now, as session_host.logs wants them; 0: nobody watches. */
unsigned watch_wants(const struct watch *w);

/* A get, a set, a delete: session_host_ops.log.  `fd` is the connection's. */
void watch_log(struct watch_ring *r, const struct session_log *l, int fd);

struct watch_eviction {
	struct span key;
	bool fetched;
	int64_t ttl_s; /* -1: never expires */
	uint32_t idle_s;
	unsigned class_id;
	uint64_t size;
};
/* Any thread: it has a ring of its own, with a mutex that is taken while evictions are watched. */
void watch_log_eviction(struct watch *w, const struct watch_eviction *e);

enum watch_close { WATCH_CLOSE_ERROR, WATCH_CLOSE_NORMAL, WATCH_CLOSE_IDLE, WATCH_CLOSE_SHUTDOWN };

/* `address` is "127.0.0.1" or "unix"; `transport` is "tcp", "udp" or "local". */
void watch_log_open(struct watch_ring *r, const char *address, unsigned port, const char *transport, int fd);
void watch_log_close(struct watch_ring *r, const char *address, unsigned port, const char *transport,
		     enum watch_close reason, int fd);

/* --- watchers: the worker of the connection ----------------------------------------------------------- */

/* The kinds of "fetchers mutations"; an empty text means fetchers.  False: a word is none of them. */
bool watch_parse(struct span text, unsigned *kinds);

/*
 * From now on lines of these kinds gather for the connection.  `wake` is called by the collecting thread when
 * there is something to take and there was nothing before; it must not call into watch.  NULL: there are
 * WATCH_MAX_WATCHERS already, or no memory.
 */
typedef void watch_wake_fn(void *arg);
struct watcher *watch_add(struct watch *w, unsigned kinds, watch_wake_fn *wake, void *wake_arg);

/* Takes lines, whole or not, as many bytes as fit; returns how many: 0 when there is nothing more. */
size_t watcher_take(struct watcher *wr, char *to, size_t max);

/* The connection is gone: no wake follows.  NULL is fine. */
void watch_remove(struct watch *w, struct watcher **wr);

/* --- the thread that collects ------------------------------------------------------------------------- */

/* Call it every 10 to 100 ms while watch_wants(), and at least once after; true: it found something. */
bool watch_collect(struct watch *w);

struct watch_figures { /* log_worker_dropped, log_worker_written, log_watcher_skipped, log_watcher_sent */
	uint64_t dropped, written, skipped, sent, watchers;
};
void watch_figures(struct watch *w, struct watch_figures *out); /* any thread */

#endif
