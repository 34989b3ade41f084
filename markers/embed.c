#include "markers/embed.h"

#include "markers/anchor.h"
#include "markers/comment.h"
#include "markers/key.h"

enum { DELIMITERS = 4 }; /* bytes that open and close a comment */

/* Counts what does not fit. */
struct sink {
	char *p;
	size_t cap;
	size_t len;
};

/* How far the keys are written. */
struct progress {
	size_t keys;
	size_t markers;
};

/* Where the comment goes. */
struct spot {
	size_t at;	    /* offset in the statement */
	char before;	    /* what separates it from the text before; NUL for nothing */
	struct span merged; /* body of the comment that takes the pairs in; p is NULL for none */
};

static inline void
sink_put(struct sink *s, const char *p, size_t n)
{
	if (s->len < s->cap && n > 0)
		memcpy(s->p + s->len, p, n < s->cap - s->len ? n : s->cap - s->len);
	s->len += n;
}

static inline void
sink_span(struct sink *s, struct span bytes)
{
	sink_put(s, bytes.p, bytes.len);
}

static inline void
sink_str(struct sink *s, const char *text)
{
	sink_put(s, text, strlen(text));
}

/* Characters that the grammar does not allow in a key as it stands. */
static inline bool
needs_inner(unsigned char c)
{
	return c == ',' || c == '%' || c == '\'' || c == '\\' || c == '*' || c == '?' || c == ';';
}

static inline bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.' || c == '~';
}

static size_t
encoded_len(struct squeal_bytes key)
{
	size_t len = 0;

	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];

		len += needs_inner(c) ? 5 : is_unreserved(c) ? 1 : 3;
	}
	return len;
}

static void
put_encoded(struct sink *s, struct squeal_bytes key)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];
		char both[5] = {'%', '2', '5', hex[c >> 4], hex[c & 15]};
		char outer[3] = {'%', hex[c >> 4], hex[c & 15]};

		if (needs_inner(c))
			sink_put(s, both, sizeof(both));
		else if (is_unreserved(c))
			sink_put(s, key.p + i, 1);
		else
			sink_put(s, outer, sizeof(outer));
	}
}

/* tag suffix=' with a comma before it unless it is the first pair */
static void
open_pair(struct sink *s, const struct embed *e, const char *suffix, bool *first)
{
	if (!*first)
		sink_str(s, ",");
	*first = false;
	sink_put(s, e->tag.name, e->tag.len);
	sink_str(s, suffix);
	sink_str(s, "='");
}

/* How many of the `n` keys fit into `room`, which becomes smaller by what they take with `overhead` for the
 * pair. */
static size_t
fitting(const struct squeal_bytes *keys, size_t n, size_t overhead, size_t *room)
{
	size_t used = overhead;
	size_t took = 0;

	for (; took < n; took++) {
		size_t more = encoded_len(keys[took]) + (took > 0 ? 3 : 0);

		if (more > *room || used > *room - more)
			break;
		used += more;
	}
	if (took > 0)
		*room -= used;
	return took;
}

static void
put_list(struct sink *s, const struct embed *e, const char *suffix, const struct squeal_bytes *keys, size_t n,
	 bool *first)
{
	if (n == 0)
		return;
	open_pair(s, e, suffix, first);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sink_str(s, "%2C");
		put_encoded(s, keys[i]);
	}
	sink_str(s, "'");
}

static bool
is_done(const struct embed *e, const struct progress *done)
{
	return done->keys == e->keys->nkeys && done->markers == e->keys->nmarkers;
}

/* Pairs with the next keys, of at most COMMENT_MAX - `taken` bytes; one key fits always when nothing is
 * taken. */
static void
put_pairs(struct sink *s, const struct embed *e, struct progress *done, size_t taken)
{
	const struct squeal_keys *k = e->keys;
	size_t room = COMMENT_MAX - DELIMITERS - taken;
	size_t overhead = e->tag.len + sizeof(",_m=''") - 1;
	bool first = true;
	size_t nkeys, nmarkers;
	char digits[16];
	size_t at = sizeof(digits);

	for (uint32_t ms = k->holdoff_ms; ms > 0; ms /= 10)
		digits[--at] = (char)('0' + ms % 10);
	if (k->holdoff_ms > 0)
		room -= overhead + sizeof(digits) - at;
	if (k->pool.len > 0)
		room -= overhead + encoded_len(k->pool);
	nkeys = fitting(k->keys + done->keys, k->nkeys - done->keys, overhead, &room);
	put_list(s, e, "", k->keys + done->keys, nkeys, &first);
	done->keys += nkeys;
	if (k->holdoff_ms > 0) {
		open_pair(s, e, "_h", &first);
		sink_put(s, digits + at, sizeof(digits) - at);
		sink_str(s, "'");
	}
	/* Markers wait until the keys are through, so that the order stays. */
	if (done->keys == k->nkeys) {
		nmarkers = fitting(k->markers + done->markers, k->nmarkers - done->markers, overhead, &room);
		put_list(s, e, "_m", k->markers + done->markers, nmarkers, &first);
		done->markers += nmarkers;
	}
	if (k->pool.len > 0) {
		open_pair(s, e, "_p", &first);
		put_encoded(s, k->pool);
		sink_str(s, "'");
	}
}

static void
put_comments(struct sink *s, const struct embed *e)
{
	struct progress done = {0, 0};

	while (!is_done(e, &done)) {
		sink_str(s, "/*");
		put_pairs(s, e, &done, 0);
		sink_str(s, "*/");
	}
}

/* The offset in `body` of the pair before which ours belong; its length when they go last. */
static size_t
place_in(const struct embed *e, struct span body)
{
	struct pairs it = pairs_of(&e->tag, body);
	struct pair pair;

	while (pair_next(&it, &pair)) {
		size_t n = pair.tag.len < e->tag.len ? pair.tag.len : e->tag.len;
		int order = memcmp(pair.tag.p, e->tag.name, n);

		if (order > 0 || (order == 0 && pair.tag.len > e->tag.len))
			return (size_t)(pair.text.p - body.p);
	}
	return body.len;
}

/* Whether `comment` is nothing but sqlcommenter pairs of others, with room for all of ours. */
static bool
can_merge(const struct embed *e, struct span comment)
{
	struct span body = span_make(comment.p + 2, comment.len - 4);
	struct pairs it = pairs_of(&e->tag, body);
	size_t fixed = 3 * (e->tag.len + sizeof(",_m=''")) + 5 * KEY_MAX + 16;
	struct progress done = {0, 0};
	struct sink measure = {NULL, 0, 0};
	struct pair pair;

	while (pair_next(&it, &pair))
		if (pair.kind != PAIR_FOREIGN)
			return false;
	if (!it.strict || comment.len + fixed > COMMENT_MAX)
		return false;
	put_pairs(&measure, e, &done, body.len + 1);
	return is_done(e, &done);
}

/* Whether a line comment may be open at the end of `text`; says so too often rather than too rarely. */
static bool
may_end_in_line_comment(struct span text)
{
	const char *newline = text.len > 0 ? memrchr(text.p, '\n', text.len) : NULL;
	struct span line = newline == NULL ? text : span_from(text, (size_t)(newline + 1 - text.p));

	return (line.len > 0 && memchr(line.p, '#', line.len) != NULL) ||
	       span_find(line, SPAN_LIT("--")) >= 0;
}

static struct spot
leading_spot(const struct embed *e)
{
	struct anchor a;

	/* Behind comments that are there already: some proxies obey the first one of a statement. */
	anchor_find(e->sql, &a);
	return (struct spot){a.lead.len, a.lead.len > 0 ? ' ' : '\0', {NULL, 0}};
}

static struct spot
trailing_spot(const struct embed *e)
{
	struct anchor a;
	struct spot spot = {0, ' ', {NULL, 0}};
	struct span comment = {NULL, 0};
	struct span rest;

	anchor_find(e->sql, &a);
	spot.at = anchor_code_end(span_first(e->sql, a.lead.len + a.middle.len));
	rest = span_from(e->sql, spot.at);
	/* Behind the trailing comments, but not behind a semicolon: there a second statement would begin. */
	for (struct span next = rest; anchor_next(&next, &comment); rest = next) {
		if (memchr(rest.p, ';', (size_t)(comment.p - rest.p)) != NULL)
			break;
		spot.at = (size_t)(next.p - e->sql.p);
		spot.merged = comment;
	}
	if (may_end_in_line_comment(span_first(e->sql, spot.at))) {
		spot.before = '\n';
		spot.merged.p = NULL;
	}
	/* Behind an executed comment, what looks like a comment may be part of a literal. */
	if (spot.merged.p != NULL && (!can_merge(e, spot.merged) || span_find(e->sql, SPAN_LIT("/*!")) >= 0 ||
				      span_find(e->sql, SPAN_LIT("/*M!")) >= 0))
		spot.merged.p = NULL;
	if (spot.merged.p != NULL)
		spot.merged = span_make(spot.merged.p + 2, spot.merged.len - 4);
	return spot;
}

static void
write_merged(struct sink *s, const struct embed *e, struct span body)
{
	size_t body_at = (size_t)(body.p - e->sql.p);
	size_t in_body = place_in(e, body);
	struct progress done = {0, 0};

	sink_span(s, span_first(e->sql, body_at + in_body));
	if (in_body == body.len)
		sink_str(s, ",");
	put_pairs(s, e, &done, body.len + 1);
	if (in_body < body.len)
		sink_str(s, ",");
	sink_span(s, span_from(e->sql, body_at + in_body));
}

enum squeal_error
embed_check_key(struct squeal_bytes key)
{
	if (key.p == NULL && key.len > 0)
		return SQUEAL_E_ARGUMENT;
	switch (key_fault(span_make(key.p, key.len))) {
	case KEY_OK:
		return SQUEAL_OK;
	case KEY_EMPTY:
		return SQUEAL_E_KEY_EMPTY;
	case KEY_TOO_LONG:
		return SQUEAL_E_KEY_LONG;
	default:
		return SQUEAL_E_KEY_CONTROL;
	}
}

static enum squeal_error
check_list(const struct squeal_bytes *keys, size_t n)
{
	if (n > 0 && keys == NULL)
		return SQUEAL_E_ARGUMENT;
	for (size_t i = 0; i < n; i++) {
		enum squeal_error err = embed_check_key(keys[i]);

		if (err != SQUEAL_OK)
			return err;
	}
	return SQUEAL_OK;
}

enum squeal_error
embed_check(const struct embed *e)
{
	enum squeal_error err = check_list(e->keys->keys, e->keys->nkeys);
	struct anchor a;

	if (err == SQUEAL_OK)
		err = check_list(e->keys->markers, e->keys->nmarkers);
	if (err != SQUEAL_OK)
		return err;
	if (e->keys->pool.len > 0 && embed_check_key(e->keys->pool) != SQUEAL_OK)
		return SQUEAL_E_POOL;
	anchor_find(e->sql, &a);
	if (a.open)
		return SQUEAL_E_SQL_OPEN;
	if (anchor_code_end(a.middle) == 0)
		return SQUEAL_E_SQL_EMPTY;
	return SQUEAL_OK;
}

size_t
embed_write(const struct embed *e, char *out, size_t cap)
{
	struct sink s = {out, cap, 0};
	struct spot spot;

	if (e->keys->nkeys == 0 && e->keys->nmarkers == 0) {
		sink_span(&s, e->sql);
		return s.len;
	}
	spot = e->leading ? leading_spot(e) : trailing_spot(e);
	if (spot.merged.p != NULL) {
		write_merged(&s, e, spot.merged);
		return s.len;
	}
	sink_span(&s, span_first(e->sql, spot.at));
	if (spot.before != '\0')
		sink_put(&s, &spot.before, 1);
	put_comments(&s, e);
	if (e->leading)
		sink_str(&s, " ");
	sink_span(&s, span_from(e->sql, spot.at));
	return s.len;
}
