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
	/* Starts a backup, clone or other job by name; writes what to answer to `out` (without line end). */
	bool (*job)(void *arg, struct cache *c, struct span command, struct out *out);
	/* The connection becomes a watcher of these kinds of log lines ("fetchers mutations …"); false:
	 * refused. */
	bool (*watch)(void *arg, struct span kinds);
	/* Note for the sight of hot keys, prefixes and latencies; called when `notes` of the host is on. */
	void (*note)(void *arg, int what, struct span key, uint64_t hash, bool hit, size_t bytes);
};

enum session_note {
	SESSION_NOTE_GET,
	SESSION_NOTE_SET,
	SESSION_NOTE_DELETE,
	SESSION_NOTE_ARITH,
	SESSION_NOTE_TOUCH
};

struct session_host {
	const struct session_host_ops *ops;
	void *arg;
	bool notes; /* somebody wants SESSION_NOTEs: detail, hot keys, watchers */
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
	const struct session_limits *limits;
	struct session_host host;
	struct out *out;

	enum { SESSION_UNDECIDED, SESSION_TEXT, SESSION_BINARY } protocol;
	enum session_want want;
	bool authenticated;
	bool udp;		/* one datagram: nothing may be left open */
	bool moreio;		/* text: a multi-get goes on, see session_text.c */
	const char *state_name; /* for `stats conns`: "conn_parse_cmd", "conn_nread", "conn_swallow", … */

	/* A value on its way into the store, or to be thrown away. */
	struct cache_set set;
	struct store_draft draft;
	uint64_t sink_at, sink_len; /* of the value with its line end */
	uint64_t swallow;	    /* bytes to be thrown away */
	char sink_tail[2];	    /* the line end behind the value */
	char key[256];		    /* of the request whose value is on its way */
	char flags[512];	    /* its meta flags */
	unsigned nflags_text;
	bool noreply;
	int pending_command;

	/* A get of many keys that was interrupted, a dump that goes on; the protocol's own. */
	uint64_t cursor;
	void *job; /* freed by session_fini() */
	void (*job_free)(void *job);
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

/* --- between the files of this room -----------------------------------------------------------------------
 */

size_t text_feed(struct session *s, const char *in, size_t len);   /* text.c, meta.c */
size_t binary_feed(struct session *s, const char *in, size_t len); /* binary.c */
void text_sunk(struct session *s);				   /* the whole value is there */
void binary_sunk(struct session *s);

#endif
