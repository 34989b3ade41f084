/*
 * out - the reply bytes of one connection that have not been sent: bytes of our own, and references to large
 * values that stay where they are in the store (pinned) until they are sent.
 *
 * Positions in `bytes` stay what they are until the next out_sent() or out_rewind(): who writes a reply may
 * come back to an earlier place of it.
 *
 * Threads: the connection's worker.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_OUT_H
#define SQUEAL_CACHE_SERVER_PROTO_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "cache-server/store/store.h"
#include "lib/core/span.h"

enum {
	OUT_COPY_MAX = 16384, /* values up to this many bytes are copied; longer ones are sent from where
				 they are */
	OUT_KEEP = 65536,     /* memory that an empty buffer keeps for the next replies */
};

struct out_ref {
	size_t at; /* position in `bytes` that these come before */
	struct span span;
	struct store_pin pin;
};

struct out {
	char *bytes;
	size_t len, cap;
	size_t head; /* bytes of `bytes` that have been sent */
	struct out_ref *refs;
	size_t nrefs, cap_refs;
	size_t ref_head;  /* refs that have been sent */
	size_t ref_sent;  /* bytes of the next one that have been sent */
	size_t ref_bytes; /* of refs, not sent */
	bool failed;	  /* no memory: the connection must be closed */
};

void out_init(struct out *o);

/* Unpins, and frees all memory; what is left is as after out_init().  Fine for connections that fall idle. */
void out_fini(struct out *o);

/* Grows to have room for n more bytes; NULL: no memory (`failed` is set).  out_put() functions do nothing
 * then. */
char *out_grow(struct out *o, size_t n);

static inline char *
out_room(struct out *o, size_t n)
{
	return __builtin_expect(o->cap - o->len >= n, 1) ? o->bytes + o->len : out_grow(o, n);
}

static inline void
out_put(struct out *o, const void *p, size_t n)
{
	char *to = out_room(o, n);

	if (to) {
		memcpy(to, p, n);
		o->len += n;
	}
}

#define OUT_LITERAL(o, text) out_put((o), (text), sizeof(text) - 1)

static inline void
out_span(struct out *o, struct span s)
{
	out_put(o, s.p, s.len);
}

void out_u64(struct out *o, uint64_t n);
void out_i64(struct out *o, int64_t n);
void out_fmt(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Takes the pin over. */
void out_ref(struct out *o, struct span s, struct store_pin pin);

/* A whole value: copied, or by references. */
void out_value(struct out *o, struct store_thread *t, const struct store_view *v);

/* Bytes not sent. */
static inline size_t
out_pending(const struct out *o)
{
	return o->len - o->head + o->ref_bytes;
}

/* A place to come back to: what was put since then is forgotten.  Nothing may have been sent in between. */
struct out_mark {
	size_t len, nrefs;
};

static inline struct out_mark
out_mark(const struct out *o)
{
	return (struct out_mark){o->len, o->nrefs};
}

void out_rewind(struct out *o, struct out_mark m);

/* What to send next, at most `max` pieces; and how much of it was sent (unpins, and resets when all is gone).
 */
int out_iov(const struct out *o, struct iovec *iov, int max);
void out_sent(struct out *o, size_t n);

#endif
