/*
 * text - the text protocol's files among themselves: text.c finds out which command a line is and calls
 * text_get.c (get and its like), text_store.c (commands that come with data), text_admin.c (the rest, rare)
 * or meta.c (commands of two letters).
 *
 * A function that takes a request returns how many bytes it took: 0 when the request is not whole yet, and
 * nothing has been done then.  When s->want is not SESSION_READ afterwards, or s->pending_command is set, no
 * further request may be taken.
 *
 * Sources: memcached's doc/protocol.txt, 1.6.45; schemas/cache-protocol.md.
 *
 * Threads: the session's.   Blocks: as session.h.   Clock: the cache's.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_TEXT_H
#define SQUEAL_CACHE_SERVER_PROTO_TEXT_H

#include "cache-server/proto/line.h"
#include "cache-server/proto/session.h"
#include "cache-server/proto/session_log.h"

/* memcached's: a line that is longer than this and has no end yet can only be a get of many keys. */
enum { TEXT_LONG_LINE = 2048 };

/* session.pending_command */
enum text_kind {
	TEXT_NONE,
	TEXT_GET,
	TEXT_GETS,
	TEXT_GAT, /* session.cursor is the new expiry */
	TEXT_GATS,
	TEXT_LEASE_GET,
	TEXT_SKIP,  /* the rest of a line that was refused */
	TEXT_STORE, /* its value is on its way */
	TEXT_META_STORE,
	TEXT_AUTH, /* session.cursor bytes of a password */
};

#define TEXT_BAD_FORMAT "CLIENT_ERROR bad command line format"
#define TEXT_TOO_LARGE	"SERVER_ERROR object too large for cache"
#define TEXT_NO_MEMORY	"SERVER_ERROR out of memory storing object"
#define TEXT_BAD_CHUNK	"CLIENT_ERROR bad data chunk"
#define TEXT_NOT_MARKER "CLIENT_ERROR not in a marker container"

/* Appends a line of our own. */
#define TEXT_REPLY(s, text)                                                                                  \
	do {                                                                                                 \
		if (!(s)->noreply)                                                                           \
			OUT_LITERAL((s)->out, text "\r\n");                                                  \
	} while (0)

static inline void
text_reply(struct session *s, const char *text)
{
	if (s->noreply)
		return;
	out_span(s->out, span_of(text));
	OUT_LITERAL(s->out, "\r\n");
}

/* Whether memcached would say that an item is too large for -I. */
static inline bool
text_too_large(const struct session *s, size_t key_len, uint32_t client_flags, uint64_t value_len)
{
	uint64_t max = s->limits->max_value;

	return max > 0 &&
	       48 + (s->limits->no_cas ? 0 : 8) + key_len + 1 + (client_flags ? 4 : 0) + value_len + 2 > max;
}

static inline void
text_note(struct session *s, enum session_note what, struct span key, uint64_t hash, bool hit, size_t bytes)
{
	if (__builtin_expect(s->host.notes, 0))
		s->host.ops->note(s->host.arg, what, key, hash, hit, bytes);
	if (what == SESSION_NOTE_GET || what == SESSION_NOTE_TOUCH)
		session_log_get(s, key, hit, bytes);
}

/*
 * Looks at the key of the request that follows, when it is one that changes something: its bucket's memory is
 * on its way while the request before is carried out.
 */
void text_look_ahead(struct session *s, const char *next, const char *end);

/* The hash of a key of this feed's bytes; often known from text_look_ahead(). */
static inline uint64_t
text_hash(const struct session *s, struct span key)
{
	return key.p == s->ahead.p && key.len == s->ahead.len ? s->ahead_hash : store_hash(s->store, key);
}

/*
 * The keys of a get and its like, from `at` on; `in` is where the command began, NULL when that was in an
 * earlier feed.  Takes further gets that follow as well, *budget of them.
 */
size_t text_get(struct session *s, enum text_kind kind, const char *in, const char *at, const char *end,
		unsigned *budget);
/* gat and gats, lease-get: whole lines, after their words have been found. */
size_t text_get_line(struct session *s, enum text_kind kind, const struct line *l, unsigned *budget);

/* set, add, replace, append, prepend in their usual form; 0 also when it is another: text_store_line(). */
size_t text_store_quick(struct session *s, enum cache_mode mode, const char *in, const char *args,
			const char *end);
enum text_store_how { TEXT_STORE_PLAIN, TEXT_STORE_CAS, TEXT_STORE_LEASE };
size_t text_store_line(struct session *s, enum cache_mode mode, enum text_store_how how, const struct line *l,
		       const char *end);

/*
 * The value of `set`, which has everything but the value, follows the line of `line_len` bytes that begins at
 * `in`.  `meta` is what the reply of a meta command needs, or empty.  Replies.
 */
size_t text_store_value(struct session *s, enum text_kind kind, struct cache_set *set, uint64_t len,
			struct span meta, const char *in, size_t line_len, const char *end);

/* An error instead of a value that follows: `len` bytes and a line end are thrown away. */
size_t text_store_refuse(struct session *s, const char *error, uint64_t len, size_t line_len, const char *in,
			 const char *end);

/* Everything else that is not meta; the words of the line have been found. */
void text_admin(struct session *s, const struct line *l);

/* No line end in sight: 0, and the connection is closed when it can be no request any more. */
size_t text_unfinished(struct session *s, const char *in, const char *end);

/* A request of a client that has to authenticate. */
size_t text_auth(struct session *s, const char *in, const char *end);

/* Meta commands, *budget of further ones as well: the line begins with "m", a letter, and ' ' or its end. */
size_t meta_command(struct session *s, const char *in, const char *end, unsigned *budget);
/* The answer to an ms; `flags` as given to text_store_value(). */
void meta_stored(struct session *s, enum cache_result result, const struct cache_set *set, struct span flags);

#endif
