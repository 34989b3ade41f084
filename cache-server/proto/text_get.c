#include "cache-server/proto/text.h"

#include "cache-server/cache/marker.h"
#include "cache-server/proto/marking.h"
#include "cache-server/proto/number.h"

/*
 * Keys are answered in groups: the memory that the first look at each needs is on its way while the others
 * are hashed.  A group also goes on over gets that follow each other, as pipelining clients send them.
 */
enum { GROUP = 16 };

struct key {
	const char *p, *after; /* `after`: the byte behind it, or behind its line's end */
	uint64_t hash;
	uint32_t len; /* 0: spaces before the line's end; END is all that is missing */
	bool first, last;
};

struct run {
	struct session *s;
	struct store *store;
	enum text_kind kind;
	const char *at, *end;
	const char *begun; /* of the open command; NULL: in an earlier feed */
	bool open;	   /* inside of a command */
	bool whole;	   /* its line's end is there, or is not waited for */
	bool answered;	   /* keys of it have been answered */
	bool can_rewind;   /* …and can be taken back to `mark` */
	struct out_mark mark;
	unsigned n, begun_n; /* keys of the group; the open command's begin there */
	struct key keys[GROUP];
};

enum stop { STOP_GROUP, STOP_OTHER, STOP_SHORT, STOP_BAD };

/* The end of the line is not there: it is waited for, or a line this long is taken as it comes. */
static enum stop
stop_short(struct run *r)
{
	if (!r->whole && r->end - r->begun <= TEXT_LONG_LINE) {
		r->n = r->begun_n;
		r->at = r->begun;
		r->open = false;
	} else
		r->whole = true;
	return STOP_SHORT;
}

static enum stop
gather(struct run *r, unsigned *budget)
{
	const char *const end = r->end;

	r->n = r->begun_n = 0;
	while (r->n < GROUP) {
		struct key *k = &r->keys[r->n];
		const char *p, *stop;
		size_t len;

		if (!r->open) {
			if (r->kind != TEXT_GET || end - r->at < 8 || *budget == 0 ||
			    line_four(r->at) != LINE_FOUR('g', 'e', 't', ' '))
				return STOP_OTHER;
			(*budget)--;
			r->begun = r->at;
			r->begun_n = r->n;
			r->at += 4;
			r->open = true;
			r->whole = r->answered = false;
		}
		for (p = r->at; p < end && *p == ' ';)
			p++;
		r->at = p;
		stop = line_blank(p, end);
		len = (size_t)(stop - p);
		if (stop == end)
			return len > STORE_MAX_KEY + 1 ? STOP_BAD : stop_short(r);
		k->last = *stop == '\n';
		if (k->last && len > 0 && stop[-1] == '\r')
			len--;
		k->first = r->n == r->begun_n && !r->answered;
		if (len > STORE_MAX_KEY || (len == 0 && k->first))
			return STOP_BAD;
		k->p = p;
		k->len = (uint32_t)len;
		k->after = r->at = stop + k->last;
		r->open = !k->last;
		if (len > 0) {
			k->hash = store_hash(r->store, span_make(p, len));
			store_prefetch_bucket(r->store, k->hash);
		}
		r->n++;
	}
	if (r->open && !r->whole) {
		if (memchr(r->at, '\n', (size_t)(end - r->at)) == NULL) {
			if (end - r->begun <= TEXT_LONG_LINE)
				return stop_short(r);
		}
		r->whole = true;
	}
	return STOP_GROUP;
}

static inline char *
put_bytes(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

/* "VALUE <key> <flags> <bytes>[ <cas>]", the value, and END behind the last one. */
static void
put_value(struct session *s, const struct key *k, const struct store_view *v, bool cas)
{
	struct out *o = s->out;
	bool copy = v->value != NULL && v->len <= OUT_COPY_MAX;
	char *to = out_room(o, 6 + k->len + 3 * (1 + NUMBER_MAX_TEXT) + 2 + (copy ? v->len : 0) + 7);

	if (to == NULL)
		return;
	to = put_bytes(to, "VALUE ", 6);
	to = put_bytes(to, k->p, k->len);
	*to++ = ' ';
	to = number_put(to, item_client_flags(v->item, v->state));
	*to++ = ' ';
	to = number_put(to, v->len);
	if (cas) {
		*to++ = ' ';
		to = number_put(to, item_cas(v->item, v->state));
	}
	to = put_bytes(to, "\r\n", 2);
	if (copy)
		to = put_bytes(to, v->value, v->len);
	else {
		o->len = (size_t)(to - o->bytes);
		out_value(o, cache_store_thread(s->cache), v);
		if ((to = out_room(o, 7)) == NULL)
			return;
	}
	if (k->last)
		to = put_bytes(to, "\r\nEND\r\n", 7);
	else
		to = put_bytes(to, "\r\n", 2);
	o->len = (size_t)(to - o->bytes);
}

static void
put_lease(struct session *s, const struct key *k)
{
	struct cache_lease l = {.key = span_make(k->p, k->len), .hash = k->hash};
	struct out *o = s->out;

	cache_lease_get(s->cache, &l);
	text_note(s, SESSION_NOTE_GET, l.key, l.hash, l.hit, l.hit ? l.view.len : 0);
	if (l.hit) {
		put_value(s, k, &l.view, false);
		cache_used(s->cache, &l.view);
		return;
	}
	OUT_LITERAL(o, "LVALUE ");
	out_span(o, l.key);
	OUT_LITERAL(o, " ");
	out_u64(o, l.token);
	OUT_LITERAL(o, " ");
	out_u64(o, l.has_stale ? item_client_flags(l.view.item, l.view.state) : 0);
	OUT_LITERAL(o, " ");
	out_u64(o, l.has_stale ? l.view.len : 0);
	OUT_LITERAL(o, "\r\n");
	if (l.has_stale) {
		out_value(o, cache_store_thread(s->cache), &l.view);
		cache_used(s->cache, &l.view);
	}
	OUT_LITERAL(o, "\r\n");
	if (k->last)
		OUT_LITERAL(o, "END\r\n");
}

/* A marker container: the value is the tokens that are left. */
static void
put_marker(struct session *s, const struct key *k, enum text_kind kind)
{
	struct span key = span_make(k->p, k->len);
	struct out *o = s->out;
	struct buf tokens;
	bool hit;

	if (!marking_room(&tokens)) {
		o->failed = true;
		return;
	}
	hit = marker_check(s->cache, key, k->hash, &tokens) > 0;
	text_note(s, SESSION_NOTE_GET, key, k->hash, hit, tokens.len);
	if (hit) {
		OUT_LITERAL(o, "VALUE ");
		out_span(o, key);
		OUT_LITERAL(o, " 0 ");
		out_u64(o, tokens.len);
		if (kind == TEXT_GETS)
			OUT_LITERAL(o, " 0");
		OUT_LITERAL(o, "\r\n");
		out_span(o, buf_span(&tokens));
		OUT_LITERAL(o, "\r\n");
	} else if (kind == TEXT_LEASE_GET) {
		OUT_LITERAL(o, "LVALUE ");
		out_span(o, key);
		OUT_LITERAL(o, " 1 0 0\r\n\r\n");
	}
	if (k->last)
		OUT_LITERAL(o, "END\r\n");
	buf_fini(&tokens);
}

static inline void
answer(struct run *r, const struct key *k)
{
	struct session *s = r->s;
	struct span key = span_make(k->p, k->len);
	struct store_view v;
	bool hit = false;

	if (k->first) {
		r->mark = out_mark(s->out);
		r->can_rewind = true;
	}
	if (k->len > 0) {
		if (__builtin_expect(s->marker, 0)) {
			put_marker(s, k, r->kind);
			return;
		}
		if (r->kind == TEXT_LEASE_GET) {
			put_lease(s, k);
			return;
		}
		if (r->kind <= TEXT_GETS)
			hit = cache_get(s->cache, key, k->hash, &v);
		else
			hit = cache_touch(s->cache, key, k->hash, (uint32_t)s->cursor, &v) == CACHE_OK;
		text_note(s, r->kind <= TEXT_GETS ? SESSION_NOTE_GET : SESSION_NOTE_TOUCH, key, k->hash, hit,
			  hit ? v.len : 0);
	}
	if (hit) {
		put_value(s, k, &v, r->kind == TEXT_GETS || r->kind == TEXT_GATS);
		cache_used(s->cache, &v);
	} else if (k->last)
		OUT_LITERAL(s->out, "END\r\n");
}

/* One error for the whole command, whatever of it has been answered; the rest of its line is not looked at.
 */
static size_t
refuse(struct run *r, const char *in)
{
	struct session *s = r->s;
	const char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));

	if (r->answered && r->can_rewind)
		out_rewind(s->out, r->mark);
	s->noreply = false;
	if (nl != NULL) {
		r->at = nl + 1;
		s->pending_command = TEXT_NONE;
	} else {
		r->at = r->end;
		s->pending_command = TEXT_SKIP;
	}
	TEXT_REPLY(s, TEXT_BAD_FORMAT);
	return (size_t)(r->at - in);
}

static size_t
run(struct run *r, const char *in, unsigned *budget)
{
	struct session *s = r->s;

	s->pending_command = TEXT_NONE;
	for (;;) {
		enum stop stop = gather(r, budget);

		if (stop == STOP_BAD)
			r->n = r->begun_n;
		if (r->n > 1) {
			for (unsigned i = 0; i < r->n; i++)
				if (r->keys[i].len > 0)
					store_prefetch_item(r->store, r->keys[i].hash);
		}
		for (unsigned i = 0; i < r->n; i++) {
			const struct key *k = &r->keys[i];

			answer(r, k);
			if (session_full(s)) {
				if (!k->last)
					s->pending_command = r->kind;
				s->want = SESSION_DRAIN;
				return (size_t)(k->after - in);
			}
		}
		/* The open command's keys are the last of the group. */
		if (r->open && r->n > r->begun_n)
			r->answered = true;
		if (stop == STOP_BAD)
			return refuse(r, in);
		if (stop != STOP_GROUP) {
			if (r->open)
				s->pending_command = r->kind;
			return (size_t)(r->at - in);
		}
	}
}

size_t
text_get(struct session *s, enum text_kind kind, const char *in, const char *at, const char *end,
	 unsigned *budget)
{
	struct run r;

	r.s = s;
	r.store = s->store;
	r.kind = kind;
	r.at = at;
	r.end = end;
	r.begun = in;
	r.open = true;
	/* What an earlier feed began has been answered in part, and that part may be on its way. */
	r.whole = r.answered = in == NULL;
	r.can_rewind = false;
	return run(&r, in ? in : at, budget);
}

size_t
text_get_line(struct session *s, enum text_kind kind, const struct line *l, unsigned *budget)
{
	const char *in = l->text.p, *end = in + l->len;
	unsigned first = kind == TEXT_LEASE_GET ? 1 : 2;
	struct run r;

	if (l->n <= first) {
		s->noreply = false;
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return l->len;
	}
	if (kind != TEXT_LEASE_GET) {
		int32_t exptime;

		if (s->marker) {
			s->noreply = false;
			TEXT_REPLY(s, TEXT_NOT_MARKER);
			return l->len;
		}
		if (!number_i32(l->word[1], &exptime)) {
			s->noreply = false;
			TEXT_REPLY(s, "CLIENT_ERROR invalid exptime argument");
			return l->len;
		}
		s->cursor = cache_expiry(s->cache, exptime);
	}
	r.s = s;
	r.store = s->store;
	r.kind = kind;
	r.at = l->word[first].p;
	r.end = end;
	r.begun = in;
	r.open = r.whole = true;
	r.answered = r.can_rewind = false;
	return run(&r, in, budget);
}
