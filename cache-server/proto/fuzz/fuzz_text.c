/*
 * A client's bytes to a session over a real small cache.  Every reply is well formed, and how the bytes were
 * cut makes no difference (numbers apart: tokens are random).
 *
 * The first byte says what the session is like, the second how long the pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/proto/test/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                                                           \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			abort();                                                                             \
	} while (0)

enum { WITH_AUTH = 1, MARKERS = 2, SMALL_OUT = 4, FEW_REQUESTS = 8, STALE = 16, MAX_COMPARED = 2048 };

static const char *const REPLIES[] = {
    "STORED",	    "STALE_STORED",
    "NOT_STORED",   "EXISTS",
    "NOT_FOUND",    "DELETED",
    "TOUCHED",	    "OK",
    "ERROR",	    "CLIENT_ERROR ",
    "SERVER_ERROR", "END",
    "HD",	    "EN",
    "NF",	    "NS",
    "EX",	    "MN",
    "ME ",	    "STAT ",
    "RESET",	    "VERSION 1.6.45 ",
    "MEMLIMIT_",    "BADCLASS ",
    "PREFIX ",
};

static bool
is_known(struct span line)
{
	if (line.len > 0 && line.len <= 20) {
		uint64_t n;

		if (span_u64(line, &n))
			return true;
	}
	for (size_t i = 0; i < sizeof REPLIES / sizeof *REPLIES; i++)
		if (span_starts(line, span_of(REPLIES[i])))
			return true;
	return false;
}

/* How many bytes of value follow this line; -1: none. */
static int64_t
value_behind(struct span line)
{
	bool lease = span_starts(line, SPAN_LIT("LVALUE "));
	uint64_t n = 0;

	if (span_starts(line, SPAN_LIT("VA "))) {
		span_cut(&line, ' ');
		MUST(span_u64(span_cut(&line, ' '), &n));
		return (int64_t)n;
	}
	if (!lease && !span_starts(line, SPAN_LIT("VALUE ")))
		return -1;
	for (unsigned words = lease ? 4 : 3; words > 0; words--)
		MUST(span_cut(&line, ' ').len > 0);
	MUST(span_u64(span_cut(&line, ' '), &n));
	return (int64_t)n;
}

static void
check_replies(struct span all)
{
	while (all.len > 0) {
		ptrdiff_t stop = span_find(all, SPAN_LIT("\r\n"));
		struct span line;
		int64_t value;

		MUST(stop >= 0);
		line = span_first(all, (size_t)stop);
		/* A key may hold a return; it is never the last byte before the line's end of a reply. */
		all = span_from(all, (size_t)stop + 2);
		value = value_behind(line);
		if (value < 0) {
			MUST(is_known(line));
			continue;
		}
		MUST(all.len >= (size_t)value + 2);
		MUST(memcmp(all.p + value, "\r\n", 2) == 0);
		all = span_from(all, (size_t)value + 2);
	}
}

static void
run(struct span bytes, unsigned how, size_t piece, struct buf *replies, bool *closed)
{
	struct cache_options opt = {.memory = 4u << 20,
				    .max_value = 100000,
				    .policy = how & MARKERS ? CACHE_MARKER : CACHE_EVICT,
				    .guard_memory = 1,
				    .stale_s = how & STALE ? 10 : 0};
	struct talk f;

	talk_begin(&f, &opt);
	f.limits.needs_auth = how & WITH_AUTH;
	f.limits.max_value = 100000;
	f.limits.max_pending = how & SMALL_OUT ? 10 : 0;
	f.limits.max_requests = how & FEW_REQUESTS ? 2 : 0;
	/* What looks at what is pending depends on how the bytes were cut. */
	f.limits.no_dump = f.limits.no_watch = true;
	while (bytes.len > 0 && !f.closed) {
		struct span some = span_first(bytes, piece);

		talk_say(&f, some.p, some.len);
		bytes = span_from(bytes, some.len);
		MUST(f.in.len <= SESSION_BUFFER_MIN + piece);
	}
	check_replies(buf_span(&f.replies));
	*closed = f.closed;
	buf_put_span(replies, buf_span(&f.replies));
	talk_end(&f);
}

/* Numbers of any length become one digit. */
static void
mask(struct buf *b)
{
	size_t to = 0;

	for (size_t i = 0; i < b->len; i++) {
		bool digit = b->p[i] >= '0' && b->p[i] <= '9';

		if (!digit)
			b->p[to++] = b->p[i];
		else if (to == 0 || b->p[to - 1] != '0')
			b->p[to++] = '0';
	}
	b->len = to;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;
	struct span bytes;
	bool closed, closed_too;

	if (size < 2)
		return 0;
	bytes = span_make(data + 2, size - 2);
	/* A return in a key would look like a line's end to the simple reader above. */
	if (memmem(bytes.p, bytes.len, "\r\r", 2))
		return 0;
	run(bytes, data[0], SIZE_MAX, &whole, &closed);
	run(bytes, data[0], data[1] + 1u, &cut, &closed_too);
	if (bytes.len <= MAX_COMPARED) {
		mask(&whole);
		mask(&cut);
		MUST(closed == closed_too);
		MUST(span_eq(buf_span(&whole), buf_span(&cut)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
