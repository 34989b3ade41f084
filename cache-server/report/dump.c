/*
 * Dumps: `lru_crawler metadump`, `mgdump`, `stats cachedump`.
 *
 * A step looks at one segment after the other until 64 KiB are there or it has looked at some, so a dump of a
 * large store neither stops the worker nor fills its memory, also when next to nothing is wanted of it, and
 * it goes on only as fast as the client reads.  The store may change meanwhile: an item that moves can be in
 * the dump twice, one that is there all the time is there.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cache-server/proto/base64.h"
#include "cache-server/proto/number.h"
#include "cache-server/report/inside.h"
#include "lib/core/mem.h"

enum { STEP_BYTES = 65536, STEP_SEGMENTS = 4, CACHEDUMP_BYTES = 2 << 20, MAX_LINE = 4096 };

enum dump_kind { METADUMP, MGDUMP, CACHEDUMP };

struct dump {
	struct session_dump base;
	struct report *report;
	enum dump_kind kind;
	bool begun;
	uint64_t cursor;
	uint64_t classes;	      /* a bit for each that is wanted */
	uint64_t limit, shown, bytes; /* cachedump */
	bool full;

	/* During a step. */
	struct cache_thread *thread;
	struct out *out;
	uint64_t now_s; /* wall clock */
	uint32_t now;	/* of the store */
};

/* No space, no line end: it can stand in a line as it is. */
static bool
is_plain(struct span key)
{
	for (size_t i = 0; i < key.len; i++) {
		if ((unsigned char)key.p[i] <= ' ' || (unsigned char)key.p[i] == 0x7f)
			return false;
	}
	return true;
}

/* As memcached's uriencode(). */
static char *
put_encoded(char *to, struct span key)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
		    c == '.' || c == '_' || c == '~') {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	return to;
}

static uint64_t
wall(const struct dump *d, uint32_t expiry)
{
	return expiry > d->now ? d->now_s + (expiry - d->now) : d->now_s - (d->now - expiry);
}

static void
put_metadump(struct dump *d, const struct store_view *v, struct span key, unsigned class)
{
	char text[STORE_MAX_KEY * 3];
	size_t len = (size_t)(put_encoded(text, span_first(key, STORE_MAX_KEY)) - text);

	OUT_LITERAL(d->out, "key=");
	out_put(d->out, text, len);
	if (v->expiry == 0)
		OUT_LITERAL(d->out, " exp=-1");
	else
		out_fmt(d->out, " exp=%" PRIu64, wall(d, v->expiry));
	out_fmt(d->out, " la=%" PRIu64 " cas=%" PRIu64 " fetch=%s cls=%u size=%" PRIu64 " flags=%u \n",
		d->now_s - store_idle(cache_store_thread(d->thread), v), item_cas(v->item, v->state),
		v->state & ITEM_FETCHED ? "yes" : "no", class,
		(uint64_t)(sizeof(struct item) + item_extra(v->state) + key.len + v->len),
		item_client_flags(v->item, v->state));
}

static void
put_mgdump(struct dump *d, struct span key)
{
	OUT_LITERAL(d->out, "mg ");
	if (is_plain(key)) {
		out_span(d->out, key);
		OUT_LITERAL(d->out, "\r\n");
	} else {
		char text[BASE64_TEXT(STORE_MAX_KEY)];
		char *end = base64_put(text, span_first(key, STORE_MAX_KEY));

		out_put(d->out, text, (size_t)(end - text));
		OUT_LITERAL(d->out, " b\r\n");
	}
}

static void
put_cachedump(struct dump *d, const struct store_view *v, struct span key)
{
	size_t before = d->out->len;

	if (!is_plain(key) || (d->limit > 0 && d->shown >= d->limit) || d->bytes >= CACHEDUMP_BYTES) {
		d->full |= is_plain(key);
		return;
	}
	OUT_LITERAL(d->out, "ITEM ");
	out_span(d->out, key);
	out_fmt(d->out, " [%" PRIu64 " b; %" PRIu64 " s]\r\n", v->len,
		v->expiry == 0 ? 0 : wall(d, v->expiry));
	d->bytes += d->out->len - before;
	d->shown++;
}

static void
visit(void *arg, const struct store_view *v, struct span key)
{
	struct dump *d = arg;
	unsigned class;

	if (v->expiry != 0 && v->expiry <= d->now)
		return;
	class = report_class(v->expiry == 0 ? 0 : v->expiry - d->now);
	if ((d->classes & 1ull << class) == 0)
		return;
	if (d->kind == METADUMP)
		put_metadump(d, v, key, class);
	else if (d->kind == MGDUMP)
		put_mgdump(d, key);
	else
		put_cachedump(d, v, key);
}

static bool
dump_step(struct session_dump *base, struct cache_thread *t, struct out *out)
{
	struct dump *d = (struct dump *)base;
	struct store_thread *st = cache_store_thread(t);
	size_t begin = out_pending(out);
	unsigned seen = 0;

	d->thread = t;
	d->out = out;
	d->now = store_now(cache_store(cache_of(t)));
	d->now_s = clock_real_us(d->report->src.clock) / 1000000;
	if (!d->begun && d->kind != CACHEDUMP)
		OUT_LITERAL(out, "OK\r\n");
	d->begun = true;
	do {
		store_visit(st, &d->cursor, 1, visit, d);
		if (d->cursor == 0 || d->full) {
			if (d->kind == MGDUMP)
				OUT_LITERAL(out, "EN\r\n");
			else
				OUT_LITERAL(out, "END\r\n");
			return false;
		}
	} while (++seen < STEP_SEGMENTS && out_pending(out) - begin < STEP_BYTES && !out->failed);
	return !out->failed;
}

static void
dump_free(struct session_dump *base)
{
	free(base);
}

/* "all", "hash", or "1,2,5"; false: not classes. */
static bool
parse_classes(struct span text, uint64_t *out)
{
	*out = 0;
	if (span_is(text, "all") || span_is(text, "hash")) {
		*out = ~0ull;
		return true;
	}
	while (text.len > 0) {
		uint64_t id;

		if (!span_u64(span_cut(&text, ','), &id) || id < 1 || id > REPORT_MAX_CLASS)
			return false;
		*out |= 1ull << id;
	}
	return *out != 0;
}

struct session_dump *
report_dump(struct report *r, struct cache *c, struct span command, const char **why)
{
	struct span rest = span_trim(command), word = span_cut(&rest, ' ');
	struct dump d = {.base = {dump_step, dump_free}, .report = r}, *out;
	uint64_t id;

	*why = NULL;
	if (span_is(word, "stats") || span_is(word, "lru_crawler")) {
		rest = span_trim(rest);
		word = span_cut(&rest, ' ');
	}
	rest = span_trim(rest);
	if (span_is(word, "cachedump")) {
		d.kind = CACHEDUMP;
		if (!span_u64(span_cut(&rest, ' '), &id) || !span_u64(span_trim(rest), &d.limit)) {
			*why = "CLIENT_ERROR bad command line format";
			return NULL;
		}
		if (id > REPORT_MAX_CLASS) {
			*why = "CLIENT_ERROR Illegal slab id";
			return NULL;
		}
		d.classes = 1ull << id;
	} else if (span_is(word, "metadump") || span_is(word, "mgdump")) {
		d.kind = word.p[1] == 'e' ? METADUMP : MGDUMP;
		if (!parse_classes(rest, &d.classes)) {
			*why = "BADCLASS invalid class id";
			return NULL;
		}
		if (!span_is(rest, "hash") && metric_get(&store_metrics(cache_store(c))->store_items) == 0) {
			*why = "NOTSTARTED no items to crawl";
			return NULL;
		}
	} else {
		*why = "ERROR";
		return NULL;
	}
	out = MEM_NEW(struct dump);
	*out = d;
	return &out->base;
}
