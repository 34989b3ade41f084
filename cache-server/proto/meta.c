#include "cache-server/proto/meta_parse.h"

#include "cache-server/proto/base64.h"
#include "cache-server/proto/marking.h"
#include "cache-server/proto/number.h"
#include "cache-server/proto/text.h"

enum {
	/* Every flag once: the key as base64, an opaque, an epoch, seven numbers, letters. */
	MAX_HEAD = 1024,
	DAYS_30 = 60 * 60 * 24 * 30,
	GROUP = 16,
};

#define LONG_OPAQUE "CLIENT_ERROR opaque token too long"

static inline char *
put_letter(char *to, char letter)
{
	to[0] = ' ';
	to[1] = letter;
	return to + 2;
}

static inline char *
put_two(char *to, const char *two)
{
	memcpy(to, two, 2);
	return to + 2;
}

static char *
put_key(char *to, const struct meta_request *m)
{
	to = put_letter(to, 'k');
	if (m->binary)
		return put_letter(base64_put(to, m->key), 'b');
	memcpy(to, m->key.p, m->key.len);
	return to + m->key.len;
}

static inline char *
put_opaque(char *to, struct span flag)
{
	*to = ' ';
	memcpy(to + 1, flag.p, flag.len);
	return to + 1 + flag.len;
}

/* O and k, which every answer echoes; other flags give nothing. */
static char *
put_echoed(char *to, const struct meta_request *m, struct span flag)
{
	if (flag.p[0] == 'O')
		return put_opaque(to, flag);
	return flag.p[0] == 'k' ? put_key(to, m) : to;
}

static char *
put_echo(char *to, const struct meta_request *m)
{
	for (unsigned i = 0; i < m->n; i++)
		to = put_echoed(to, m, m->flag[i]);
	return to;
}

static void
reply_echo(struct session *s, const struct meta_request *m, const char *status)
{
	char *to = out_room(s->out, MAX_HEAD);

	if (to == NULL)
		return;
	to = put_two(put_echo(put_two(to, status), m), "\r\n");
	s->out->len = (size_t)(to - s->out->bytes);
}

static void
reply_error(struct session *s, const char *error)
{
	s->noreply = false;
	text_reply(s, error);
}

static inline char *
put_ttl(struct session *s, char *to, uint32_t expiry)
{
	return number_put_signed(put_letter(to, 't'), cache_ttl(s->cache, expiry));
}

/* --- mg ------------------------------------------------------------------------------------------------- */

static char *
put_bound(struct session *s, char *to, const struct cache_get_meta *g)
{
	struct epoch bound;

	to = put_letter(to, 'a');
	if (!g->stale && cache_bound(s->cache, &g->view, &bound))
		return to + epoch_print(&bound, to);
	*to = '-';
	return to + 1;
}

static void
put_hit(struct session *s, const struct meta_request *m, const struct cache_get_meta *g)
{
	const struct store_view *v = &g->view;
	struct out *o = s->out;
	bool value = meta_has(m, 'v') && !(meta_has(m, 'C') && item_cas(v->item, v->state) == m->compare);
	bool copy = value && v->value != NULL && v->len <= OUT_COPY_MAX;
	uint32_t expiry = g->expiry_before;
	char *to = out_room(o, MAX_HEAD + (copy ? v->len : 0));

	if (to == NULL)
		return;
	if (value) {
		to = put_two(to, "VA");
		*to++ = ' ';
		to = number_put(to, v->len);
	} else
		to = put_two(to, "HD");
	for (unsigned i = 0; i < m->n; i++) {
		char letter = m->flag[i].p[0];

		switch (letter) {
		case 'T':
			expiry = g->touch_expiry;
			break;
		case 's':
			to = number_put(put_letter(to, 's'), v->len);
			break;
		case 't':
			to = put_ttl(s, to, expiry);
			break;
		case 'c':
			to = number_put(put_letter(to, 'c'), item_cas(v->item, v->state));
			break;
		case 'f':
			to = number_put(put_letter(to, 'f'), item_client_flags(v->item, v->state));
			break;
		case 'l':
			to = number_put(put_letter(to, 'l'), g->idle_s);
			break;
		case 'h':
			to = put_letter(to, 'h');
			*to++ = (char)('0' + g->hit_before);
			break;
		case 'O':
			to = put_opaque(to, m->flag[i]);
			break;
		case 'k':
			to = put_key(to, m);
			break;
		case 'a':
			to = put_bound(s, to, g);
			break;
		default:
			break;
		}
	}
	if (g->token_sent)
		to = put_letter(to, 'Z');
	if (g->stale)
		to = put_letter(to, 'X');
	if (g->won)
		to = put_letter(to, 'W');
	to = put_two(to, "\r\n");
	if (copy) {
		memcpy(to, v->value, v->len);
		to = put_two(to + v->len, "\r\n");
	} else if (value) {
		o->len = (size_t)(to - o->bytes);
		out_value(o, cache_store_thread(s->cache), v);
		OUT_LITERAL(o, "\r\n");
		return;
	}
	o->len = (size_t)(to - o->bytes);
}

/* "VA <length>" or "HD", then the flags, then put_body(). */
static inline char *
put_head(char *to, const struct meta_request *m, size_t len)
{
	to = put_two(to, meta_has(m, 'v') ? "VA" : "HD");
	if (meta_has(m, 'v')) {
		*to++ = ' ';
		to = number_put(to, len);
	}
	return to;
}

/* The line's end, and the value for who asked for it. */
static inline char *
put_body(char *to, const struct meta_request *m, const char *p, size_t len)
{
	to = put_two(to, "\r\n");
	if (meta_has(m, 'v')) {
		memcpy(to, p, len);
		to = put_two(to + len, "\r\n");
	}
	return to;
}

static void
get_marker(struct session *s, const struct meta_request *m)
{
	struct out *o = s->out;
	struct buf tokens;
	bool hit;
	char *to;

	if (!marking_room(&tokens)) {
		o->failed = true;
		return;
	}
	hit = marker_check(s->cache, m->key, m->hash, &tokens) > 0;
	to = out_room(o, MAX_HEAD + tokens.len);

	text_note(s, SESSION_NOTE_GET, m->key, m->hash, hit, tokens.len);
	if (!hit) {
		if (!meta_has(m, 'q'))
			reply_echo(s, m, "EN");
	} else if (to != NULL) {
		to = put_head(to, m, tokens.len);
		for (unsigned i = 0; i < m->n; i++) {
			switch (m->flag[i].p[0]) {
			case 's':
				to = number_put(put_letter(to, 's'), tokens.len);
				break;
			case 'c':
			case 'f':
				to = put_letter(to, m->flag[i].p[0]);
				*to++ = '0';
				break;
			default:
				to = put_echoed(to, m, m->flag[i]);
				break;
			}
		}
		to = put_body(to, m, tokens.p, tokens.len);
		o->len = (size_t)(to - o->bytes);
	}
	buf_fini(&tokens);
}

/* R is seconds that are left, or beyond 30 days a point in time, as any TTL. */
static int64_t
recache_seconds(struct session *s, int32_t recache)
{
	if (recache <= 0)
		return 0;
	return recache <= DAYS_30 ? recache : cache_ttl(s->cache, cache_expiry(s->cache, recache));
}

static void
mg(struct session *s, const struct meta_request *m)
{
	struct cache_get_meta g;
	bool hit;

	if (__builtin_expect(s->marker, 0)) {
		get_marker(s, m);
		return;
	}
	memset(&g, 0, sizeof g);
	g.key = m->key;
	g.hash = m->hash;
	g.no_bump = meta_has(m, 'u');
	if (meta_has(m, 'N')) {
		g.vivify = true;
		g.vivify_expiry = cache_expiry(s->cache, m->vivify);
	}
	if (meta_has(m, 'R')) {
		g.has_recache = true;
		g.recache_s = recache_seconds(s, m->recache);
	}
	if (meta_has(m, 'T')) {
		g.has_touch = true;
		g.touch_expiry = cache_expiry(s->cache, m->touch);
		for (unsigned i = 0; i < m->n && m->flag[i].p[0] != 'R'; i++)
			g.touch_first |= m->flag[i].p[0] == 'T';
	}
	if (meta_has(m, 'E')) {
		g.has_cas = true;
		g.cas = m->cas;
	}
	if (meta_has(m, 'A'))
		g.not_older = &m->epoch;
	hit = cache_get_meta(s->cache, &g) == CACHE_OK;
	text_note(s, SESSION_NOTE_GET, g.key, g.hash, hit, hit ? g.view.len : 0);
	if (hit) {
		put_hit(s, m, &g);
		if (!g.no_bump)
			cache_used(s->cache, &g.view);
	} else if (!meta_has(m, 'q'))
		reply_echo(s, m, "EN");
}

/* --- ms ------------------------------------------------------------------------------------------------- */

/* What meta_stored() needs of the flags, for values that take their time: "O… k b c s ". */
static size_t
stash(const struct meta_request *m, char *to)
{
	size_t n = 0;

	for (unsigned i = 0; i < m->n; i++) {
		struct span flag = m->flag[i];

		if (memchr("Okbcs", flag.p[0], 5) == NULL)
			continue;
		if (flag.p[0] != 'O')
			flag.len = 1;
		memcpy(to + n, flag.p, flag.len);
		n += flag.len;
		to[n++] = ' ';
	}
	return n;
}

void
meta_stored(struct session *s, enum cache_result result, const struct cache_set *set, struct span flags)
{
	static const char STATUS[][3] = {
	    [CACHE_OK] = "HD",	   [CACHE_STALE_STORED] = "NS", [CACHE_NOT_STORED] = "NS",
	    [CACHE_EXISTS] = "EX", [CACHE_NOT_FOUND] = "NF",
	};
	struct meta_request m = {.key = set->key};
	char *to;

	if (result == CACHE_TOO_LARGE || result == CACHE_NO_MEMORY || result == CACHE_NON_NUMERIC) {
		reply_error(s, result == CACHE_TOO_LARGE ? TEXT_TOO_LARGE : TEXT_NO_MEMORY);
		return;
	}
	if ((s->noreply && result == CACHE_OK) || (to = out_room(s->out, MAX_HEAD)) == NULL)
		return;
	for (struct span rest = flags; rest.len > 0;)
		m.binary |= span_is(span_cut(&rest, ' '), "b");
	to = put_two(to, STATUS[result]);
	while (flags.len > 0) {
		struct span flag = span_cut(&flags, ' ');

		switch (flag.p[0]) {
		case 'O':
			to = put_opaque(to, flag);
			break;
		case 'k':
			to = put_key(to, &m);
			break;
		case 'c':
			to = number_put(put_letter(to, 'c'), set->cas_out);
			break;
		case 's':
			to = number_put(put_letter(to, 's'), set->len_out);
			break;
		default:
			break;
		}
	}
	to = put_two(to, "\r\n");
	s->out->len = (size_t)(to - s->out->bytes);
}

/* What M, C and I make of it; false: no such mode. */
static bool
set_mode(const struct meta_request *m, struct cache_set *set)
{
	switch (m->mode) {
	case 0:
	case 'S':
		set->mode = CACHE_SET;
		break;
	case 'E':
		set->mode = CACHE_ADD;
		break;
	case 'A':
		set->mode = CACHE_APPEND;
		break;
	case 'P':
		set->mode = CACHE_PREPEND;
		break;
	case 'R':
		set->mode = CACHE_REPLACE;
		break;
	default:
		return false;
	}
	return true;
}

static void
fill_set(struct session *s, const struct meta_request *m, struct cache_set *set)
{
	bool extends = set->mode == CACHE_APPEND || set->mode == CACHE_PREPEND;

	set->key = m->key;
	set->hash = text_hash(s, m->key);
	store_prefetch_bucket(s->store, set->hash);
	set->client_flags = m->client_flags;
	set->expiry = cache_expiry(s->cache, meta_has(m, 'T') ? m->touch : 0);
	/* An add does not look at C; extending does unless it is 0; the others are a cas with it. */
	set->compare = m->compare;
	set->has_compare = meta_has(m, 'C') && set->mode != CACHE_ADD && !(extends && m->compare == 0);
	if (set->has_compare && !extends) {
		set->mode = CACHE_SET;
		set->invalidate = meta_has(m, 'I');
	}
	set->has_cas = meta_has(m, 'E');
	set->cas = m->cas;
	if (extends && meta_has(m, 'N')) {
		set->vivify = true;
		set->expiry = set->vivify_expiry = cache_expiry(s->cache, m->vivify);
	}
	if (meta_has(m, 'A') && !extends)
		set->epoch = &m->epoch;
}

static size_t
ms(struct session *s, const struct meta_request *m, const char *in, size_t line_len, const char *end)
{
	const char *error = m->error;
	struct cache_set set;
	char flags[64];

	memset(&set, 0, sizeof set);
	if (error == NULL && !set_mode(m, &set))
		error = "CLIENT_ERROR invalid mode for ms M token";
	if (error == NULL && m->long_opaque)
		error = LONG_OPAQUE;
	if (error == NULL && s->marker &&
	    (set.mode > CACHE_ADD || meta_has(m, 'C') || meta_has(m, 'E') || meta_has(m, 'A')))
		error = TEXT_NOT_MARKER;
	if (error != NULL) {
		if (m->value_len != UINT64_MAX)
			return text_store_refuse(s, error, m->value_len, line_len, in, end);
		reply_error(s, error);
		return line_len;
	}
	fill_set(s, m, &set);
	s->noreply = meta_has(m, 'q');
	return text_store_value(s, TEXT_META_STORE, &set, m->value_len, span_make(flags, stash(m, flags)), in,
				line_len, end);
}

/* --- md, ma, me ----------------------------------------------------------------------------------------- */

static enum cache_result
delete_marker(struct session *s, const struct meta_request *m)
{
	if (meta_has(m, 'K'))
		return marker_clear(s->cache, m->key, m->hash, m->token);
	if (meta_has(m, 'x'))
		return marker_clear_all(s->cache, m->key, m->hash);
	return marking_delete(s->cache, s->store, m->key);
}

static void
md(struct session *s, const struct meta_request *m)
{
	struct cache_delete d;
	enum cache_result result;

	if (s->marker && (meta_has(m, 'C') || meta_has(m, 'I') || meta_has(m, 'A') || meta_has(m, 'H'))) {
		reply_error(s, TEXT_NOT_MARKER);
		return;
	}
	memset(&d, 0, sizeof d);
	d.key = m->key;
	if (__builtin_expect(s->marker, 0)) {
		result = delete_marker(s, m);
	} else {
		d.hash = m->hash;
		d.has_compare = meta_has(m, 'C');
		d.compare = m->compare;
		d.has_cas = meta_has(m, 'E');
		d.cas = m->cas;
		d.mark_stale = meta_has(m, 'I');
		d.drop_value = meta_has(m, 'x');
		if ((d.has_expiry = meta_has(m, 'T')))
			d.expiry = cache_expiry(s->cache, m->touch);
		d.has_client_flags = meta_has(m, 'F');
		d.client_flags = m->client_flags;
		d.holdoff_ms = m->holdoff_ms;
		d.epoch = meta_has(m, 'A') ? &m->epoch : NULL;
		result = session_log_delete(s, &d, SESSION_LOG_MD);
	}
	text_note(s, SESSION_NOTE_DELETE, m->key, d.hash, result == CACHE_OK, 0);
	switch (result) {
	case CACHE_OK:
		if (!meta_has(m, 'q'))
			reply_echo(s, m, "HD");
		break;
	case CACHE_EXISTS:
		reply_echo(s, m, "EX");
		break;
	case CACHE_NOT_FOUND:
		reply_echo(s, m, "NF");
		break;
	case CACHE_NO_MEMORY:
		reply_error(s, "SERVER_ERROR out of memory");
		break;
	default:
		reply_echo(s, m, "NS");
	}
}

static void
put_sum(struct session *s, const struct meta_request *m, const struct cache_arith *a)
{
	char number[NUMBER_MAX_TEXT], *to = out_room(s->out, MAX_HEAD);
	size_t len = (size_t)(number_put(number, a->value_out) - number);

	if (to == NULL)
		return;
	to = put_head(to, m, len);
	for (unsigned i = 0; i < m->n; i++) {
		switch (m->flag[i].p[0]) {
		case 'c':
			to = number_put(put_letter(to, 'c'), a->cas_out);
			break;
		case 't':
			to = put_ttl(s, to, a->expiry_out);
			break;
		default:
			to = put_echoed(to, m, m->flag[i]);
			break;
		}
	}
	to = put_body(to, m, number, len);
	s->out->len = (size_t)(to - s->out->bytes);
}

static void
ma(struct session *s, const struct meta_request *m)
{
	struct cache_arith a;

	memset(&a, 0, sizeof a);
	a.key = m->key;
	a.decrement = m->mode == 'D' || m->mode == '-';
	a.delta = m->delta;
	if ((a.vivify = meta_has(m, 'N')))
		a.vivify_expiry = cache_expiry(s->cache, m->vivify);
	a.initial = m->initial;
	if ((a.has_touch = meta_has(m, 'T')))
		a.touch_expiry = cache_expiry(s->cache, m->touch);
	/* memcached cannot compare with 0. */
	a.has_compare = m->compare != 0;
	a.compare = m->compare;
	a.has_cas = meta_has(m, 'E');
	a.cas = m->cas;
	a.hash = m->hash;
	switch (cache_arith(s->cache, &a)) {
	case CACHE_OK:
		text_note(s, SESSION_NOTE_ARITH, a.key, a.hash, true, 0);
		if (!meta_has(m, 'q'))
			put_sum(s, m, &a);
		return;
	case CACHE_NON_NUMERIC:
		reply_error(s, "CLIENT_ERROR cannot increment or decrement non-numeric value");
		break;
	case CACHE_EXISTS:
		reply_echo(s, m, "EX");
		break;
	case CACHE_NOT_FOUND:
		reply_echo(s, m, "NF");
		break;
	case CACHE_NO_MEMORY:
		reply_error(s, "SERVER_ERROR out of memory");
		break;
	default:
		reply_echo(s, m, "NS");
	}
	text_note(s, SESSION_NOTE_ARITH, a.key, a.hash, false, 0);
}

static void
me(struct session *s, const struct meta_request *m)
{
	struct store_thread *t = cache_store_thread(s->cache);
	struct store_view v;
	char *to;

	metric_bump(&cache_thread_counters(s->cache)->cmd_meta, 1);
	if (!store_find(t, m->key, m->hash, &v)) {
		OUT_LITERAL(s->out, "EN\r\n");
		return;
	}
	if ((to = out_room(s->out, MAX_HEAD)) == NULL)
		return;
	memcpy(to, "ME ", 3);
	to += 3;
	if (m->binary)
		to = base64_put(to, m->key);
	else {
		memcpy(to, m->key.p, m->key.len);
		to += m->key.len;
	}
	s->out->len = (size_t)(to - s->out->bytes);
	/* There are no slab classes; 1 is what memcached's tools take for one. */
	out_fmt(s->out, " exp=%lld la=%lu cas=%llu fetch=%s cls=1 size=%llu\r\n",
		(long long)cache_ttl(s->cache, v.expiry), (unsigned long)store_idle(t, &v),
		(unsigned long long)item_cas(v.item, v.state), v.state & ITEM_FETCHED ? "yes" : "no",
		(unsigned long long)(item_size(v.item, v.state) + (v.value ? 0 : v.len)));
}

/* --- all of them ---------------------------------------------------------------------------------------- */

/* A whole line but for ms; `hash` is of the word behind the command. */
static void
answer(struct session *s, struct span text, uint64_t hash)
{
	struct meta_request m;
	char command = text.p[1];

	s->noreply = false;
	meta_parse(&m, span_from(text, 2), false);
	if (m.error == NULL && command == 'a' && m.mode && memchr("I+D-", m.mode, 4) == NULL)
		m.error = "CLIENT_ERROR invalid mode for ma M token";
	else if (m.error != NULL && command == 'a' && !m.unreadable)
		m.error = "CLIENT_ERROR invalid or duplicate flag";
	else if (m.error != NULL && command == 'e' && !m.unreadable)
		m.error = m.key.len == 0 || m.key.len > STORE_MAX_KEY ? TEXT_BAD_FORMAT : NULL;
	if (m.error == NULL && m.long_opaque)
		m.error = LONG_OPAQUE;
	if (m.error == NULL && s->marker && (command == 'a' || command == 'e'))
		m.error = TEXT_NOT_MARKER;
	m.hash = m.binary ? store_hash(s->store, m.key) : hash;
	if (m.error != NULL)
		reply_error(s, m.error);
	else if (command == 'g')
		mg(s, &m);
	else if (command == 'd')
		md(s, &m);
	else if (command == 'a')
		ma(s, &m);
	else
		me(s, &m);
}

struct ahead {
	struct span text;
	const char *after;
	uint64_t hash;
};

/* The first word behind the command. */
static struct span
key_word(struct span text)
{
	struct span rest = span_from(text, 2);
	const char *p = rest.p, *end = p + rest.len;

	while (p < end && *p == ' ')
		p++;
	return span_make(p, (size_t)(line_blank(p, end) - p));
}

/* As many mg and md as follow each other are looked at before the first is answered, as in text_get.c. */
static unsigned
gather(struct session *s, const char *p, const char *end, unsigned *budget, struct ahead *group)
{
	unsigned n = 0;
	struct line l;

	while (n < GROUP && line_find(p, end, &l)) {
		p += l.len;
		group[n].text = l.text;
		group[n].after = p;
		group[n].hash = store_hash(s->store, key_word(l.text));
		store_prefetch_bucket(s->store, group[n].hash);
		n++;
		if (*budget == 0 || end - p < 8 || p[0] != 'm' || (p[1] != 'g' && p[1] != 'd') || p[2] != ' ')
			break;
		(*budget)--;
	}
	return n;
}

static size_t
run(struct session *s, const char *in, const char *end, unsigned *budget)
{
	struct ahead group[GROUP];
	unsigned n = gather(s, in, end, budget, group);

	if (n == 0)
		return text_unfinished(s, in, end);
	for (unsigned i = 0; n > 1 && i < n; i++)
		store_prefetch_item(s->store, group[i].hash);
	for (unsigned i = 0; i < n; i++) {
		answer(s, group[i].text, group[i].hash);
		if (session_full(s)) {
			s->want = SESSION_DRAIN;
			return (size_t)(group[i].after - in);
		}
	}
	return (size_t)(group[n - 1].after - in);
}

size_t
meta_command(struct session *s, const char *in, const char *end, unsigned *budget)
{
	struct meta_request m;
	struct line l;

	if (in[1] != 'n' && in[1] != 's')
		return run(s, in, end, budget);
	if (!line_find(in, end, &l))
		return text_unfinished(s, in, end);
	s->noreply = false;
	if (in[1] == 'n') {
		OUT_LITERAL(s->out, "MN\r\n");
		return l.len;
	}
	meta_parse(&m, span_from(l.text, 2), true);
	return ms(s, &m, in, l.len, end);
}
