/*
 * session - one client's conversation, without its socket: bytes go in, replies come out.
 *
 * The protocol is found by the first byte (0x80: binary) where both are allowed.  Requests may arrive in any
 * pieces; session_feed() takes as many whole ones as it finds and leaves the rest to be shown again.  A value
 * that does not fit into the connection's buffer is read straight into the store: session_sink().
 *
 * Replies wait in `out`.  A session stops taking requests when much is pending (SESSION_DRAIN), so a client
 * that does not read costs a bounded amount of memory, and goes on where it was, also inside of a get of
 * 10,000 keys.
 *
 * Sources: memcached's doc/protocol.txt and protocol-binary.xml; schemas/cache-protocol.md for what is beyond
 * them.
 *
 * Threads: the worker that owns the connection; online (quiesce.h) during every call.   Blocks: where
 * store_begin() does. Clock: the caches'.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_SESSION_H
#define SQUEAL_CACHE_SERVER_PROTO_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "cache-server/proto/out.h"
#include "lib/core/span.h"

/*
 * What a session may ask of the server around it.  Each connection has one; the functions are called on the
 * worker's thread and must not block.  `arg` is session_host.arg.
 */
struct session_host;
struct session_log;
typedef void session_emit_fn(void *arg, struct span name, struct span value);

struct session_host_ops {
	/* `stats [what…]`: calls emit for each pair.  False: there is no such report (the caller answers with
	 * an error). */
	bool (*stats)(void *arg, struct cache *c, struct span what, session_emit_fn *emit, void *emit_arg);

	/* User and password of -Y; constant time. */
	bool (*authenticate)(void *arg, struct span user, struct span password);

	void (*verbosity)(void *arg, unsigned level);
	void (*shutdown)(void *arg, bool graceful);
	/* cache_memlimit, in bytes; false: not possible. */
	bool (*memory_limit)(void *arg, struct cache *c, uint64_t bytes);
	/* refresh_certs: "" when done, else what went wrong. */
	const char *(*refresh_certificates)(void *arg);
	/*
	 * Starts a reply that is made in parts: `stats cachedump <class> <n>`, `lru_crawler metadump|mgdump
	 * all|hash|<ids>` (the arguments have been looked at; *why is NULL), `backup -`.  NULL: *why is what
	 * to answer instead, without line end ("BUSY …", "BADCLASS invalid class id", …).  NULL may also be
	 * the whole function: there are no dumps.
	 */
	struct session_dump *(*dump)(void *arg, struct cache *c, struct span command, const char **why);
	/* Starts a backup, clone or other job by name; writes what to answer to `out` (without line end). */
	bool (*job)(void *arg, struct cache *c, struct span command, struct out *out);
	/* The connection becomes a watcher of these kinds of log lines ("fetchers mutations …"); false:
	 * refused. */
	bool (*watch)(void *arg, struct span kinds);
	/* Note for the sight of hot keys, prefixes and latencies; called when `notes` of the host is on. */
	void (*note)(void *arg, int what, struct span key, uint64_t hash, bool hit, size_t bytes);
	/* A line for watchers; called when `logs` of the host has the bit of its kind. */
	void (*log)(void *arg, const struct session_log *l);
};

/* What watchers are told (`watch fetchers mutations deletions`). */
enum session_log_kind {
	SESSION_LOG_FETCHERS = 1 << 0,	/* status: 0 not_found, 1 found */
	SESSION_LOG_MUTATIONS = 1 << 1, /* status: enum cache_result */
	SESSION_LOG_DELETIONS = 1 << 2,
};
enum session_log_command {
	SESSION_LOG_NULL,
	SESSION_LOG_ADD,
	SESSION_LOG_SET,
	SESSION_LOG_REPLACE,
	SESSION_LOG_APPEND,
	SESSION_LOG_PREPEND,
	SESSION_LOG_CAS,
	SESSION_LOG_DELETE,
	SESSION_LOG_MD,
};
struct session_log {
	enum session_log_kind kind;
	enum session_log_command command;
	struct span key;
	int status;
	int64_t ttl_s; /* mutations: of the item; 0: never expires */
	uint64_t size; /* of the value */
};

enum session_note {
	SESSION_NOTE_GET,
	SESSION_NOTE_SET,
	SESSION_NOTE_DELETE,
	SESSION_NOTE_ARITH,
	SESSION_NOTE_TOUCH
};

/*
 * A reply that is made in parts, each when the one before has been sent.  `step` appends some of it (some
 * segments, or 64 KiB) and its end marker at the end; true: there is more, and others get their turn before
 * the next step.  `t` is the session's.
 */
struct session_dump {
	bool (*step)(struct session_dump *d, struct cache_thread *t, struct out *out);
	void (*free)(struct session_dump *d); /* also when the connection closes in the middle */
};

struct session_host {
	const struct session_host_ops *ops;
	void *arg;
	bool notes;    /* somebody wants SESSION_NOTEs: detail, hot keys; may change between feeds */
	unsigned logs; /* SESSION_LOG bits that somebody watches; may change between feeds */
};

struct session_limits {	       /* one for each container's port, constant */
	bool text, binary;     /* allowed protocols */
	bool needs_auth;       /* -Y */
	bool no_flush;	       /* -F */
	bool no_dump;	       /* -X */
	bool no_watch;	       /* -W */
	bool may_shutdown;     /* -A */
	bool no_cas;	       /* -C */
	bool debug_commands;   /* -o debug_commands: debugtime, for memcached's own tests */
	uint64_t max_value;    /* bytes of an item as -I counts them */
	unsigned max_requests; /* -R: requests in one go before others get their turn */
	size_t max_pending;    /* bytes in `out` before SESSION_DRAIN; 0: 256 KiB */
};

/*
 * What the connection's buffer must be able to hold: a request that is not longer, its value included, is
 * waited for until it is whole.  Of longer ones session_feed() takes what it is shown.
 */
enum { SESSION_BUFFER_MIN = 16384 };

enum session_want {
	SESSION_READ,  /* more bytes of requests */
	SESSION_SINK,  /* more bytes of a large value: session_sink() */
	SESSION_DRAIN, /* send what is pending, then feed again, also without new bytes */
	SESSION_YIELD, /* had its turn: feed again later, also without new bytes */
	SESSION_CLOSE, /* send what is pending, then close */
	SESSION_ABORT, /* close at once */
	SESSION_WATCH, /* a watcher from now on: nothing is read but the end */
};

struct session {
	struct cache_thread *cache;
	struct store *store; /* of the cache */
	const struct session_limits *limits;
	struct session_host host;
	struct out *out;
	bool marker; /* the container holds markers */

	enum { SESSION_UNDECIDED, SESSION_TEXT, SESSION_BINARY } protocol;
	enum session_want want;
	bool authenticated;
	bool udp;		/* one datagram: nothing may be left open */
	const char *state_name; /* for `stats conns`: "conn_parse_cmd", "conn_nread", "conn_swallow", … */

	/* A value on its way into the store: session_sink_begin(). */
	bool sinking;
	struct cache_set set;
	struct store_draft draft;
	uint64_t sink_at, sink_len; /* of the value with what follows it */
	char sink_tail[2];	    /* the line end behind the value */
	char key[256];		    /* of the request whose value is on its way */
	char flags[128];	    /* text: what its reply needs */
	unsigned flags_len;
	struct epoch epoch; /* where set.epoch points to */
	char epoch_source[EPOCH_MAX_SOURCE];
	bool noreply;
	struct span ahead; /* text: a key of the bytes of this feed, and its hash */
	uint64_t ahead_hash;
	int pending_command; /* the protocol's own: which command goes on, text: also a get of many keys */

	uint64_t swallow; /* bytes to be thrown away */
	uint64_t cursor;  /* the protocol's own */
	void *job;	  /* what goes on besides, the protocol's own; freed by session_fini() */
	void (*job_free)(void *job);
	struct session_dump *dump; /* a dump that goes on */
};

void session_init(struct session *s, struct cache_thread *cache, const struct session_limits *limits,
		  const struct session_host *host, struct out *out);
void session_fini(struct session *s); /* aborts what was on its way */

/*
 * Takes whole requests from the bytes and appends replies.  Returns how many bytes were taken; s->want says
 * what next. The rest must be shown again with what follows.  `in` is valid during the call only.
 */
size_t session_feed(struct session *s, const char *in, size_t len);

/* want == SESSION_SINK: where the next bytes go (at most *n of them), and that n have been put there. */
char *session_sink(struct session *s, size_t *n);
void session_sunk(struct session *s, size_t n);

/* --- between the files of this room --------------------------------------------------------------------- */

/*
 * The value of the request whose draft cache_set_begin() put into s->draft: draft.value_len bytes, then
 * `tail` (0 or 2) for sink_tail.  Takes what is at hand of it and returns how much.  When all is there
 * already, the protocol's _sunk() has been called; else s->want is SESSION_SINK and session_feed() or
 * session_sunk() goes on with it.  _sunk() commits or aborts the draft and answers.
 */
size_t session_sink_begin(struct session *s, unsigned tail, const char *in, size_t len);

/*
 * Throws away what is at hand of s->swallow bytes; returns how many.  session_feed() goes on with the rest,
 * and with values that are on their way, before it calls a protocol's feed.
 */
size_t session_swallow(struct session *s, size_t len);

/* Bytes in `out` from which on a session waits: limits->max_pending. */
static inline bool
session_full(const struct session *s)
{
	size_t max = s->limits->max_pending ? s->limits->max_pending : 262144;

	return out_pending(s->out) >= max;
}

size_t text_feed(struct session *s, const char *in, size_t len);   /* text.c, meta.c */
size_t binary_feed(struct session *s, const char *in, size_t len); /* binary.c */
void text_sunk(struct session *s);				   /* the whole value is there */
void binary_sunk(struct session *s);

#endif
