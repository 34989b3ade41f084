#include "replay/send/gauge.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/net/stream.h"

enum { PATIENCE_MS = 5000, CONNECT_MS = 1000 };

struct gauge {
	struct loop *loop;
	char *address, *tls_name;
	const struct server_security *security;
	struct stream *stream;
	bool is_asking, knows_misses, knows_rate;
	uint64_t asked_ms;
	uint64_t misses, at_ms; /* of the last answer */
	uint64_t new_misses;	/* of the one that comes in */
	uint64_t per_s;
};

static size_t on_bytes(void *arg, struct span bytes);
static void on_close(void *arg, err_t err, const char *why);
static void on_open(void *arg);

static const struct stream_ops ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};

struct gauge *
gauge_create(struct loop *loop, const char *address, const char *tls_name,
	     const struct server_security *security)
{
	struct gauge *g = MEM_NEW(struct gauge);

	g->loop = loop;
	g->address = mem_strdup(address);
	g->tls_name = mem_strdup(tls_name);
	g->security = security;
	return g;
}

void
gauge_destroy(struct gauge **g)
{
	if (*g == NULL)
		return;
	stream_close(&(*g)->stream);
	free((*g)->address);
	free((*g)->tls_name);
	free(*g);
	*g = NULL;
}

static uint64_t
now_ms(const struct gauge *g)
{
	return clock_mono_ms(loop_clock(g->loop));
}

static void
leave(struct gauge *g)
{
	stream_close(&g->stream);
	g->is_asking = false;
	g->knows_misses = g->knows_rate = false;
}

static void
on_close(void *arg, err_t err, const char *why)
{
	(void)err;
	(void)why;
	leave(arg);
}

static void
ask(struct gauge *g)
{
	g->is_asking = true;
	g->new_misses = UINT64_MAX;
	g->asked_ms = now_ms(g);
	stream_write_span(g->stream, SPAN_LIT("stats\r\n"));
}

/* The password goes as the value of a "set", as memcached -Y wants it. */
static void
on_open(void *arg)
{
	struct gauge *g = arg;
	struct span login = server_security_login(g->security);
	struct buf out = BUF_INIT;

	if (login.len > 0) {
		buf_printf(&out, "set auth 0 0 %zu\r\n", login.len);
		buf_put_span(&out, login);
		buf_put_str(&out, "\r\n");
		stream_write(g->stream, &out);
	}
	buf_fini(&out);
	ask(g);
}

void
gauge_ask(struct gauge *g)
{
	struct stream_options opt = {.connect_timeout_ms = CONNECT_MS,
				     .tls = server_security_tls(g->security),
				     .tls_name = g->tls_name};
	struct err_detail why = {0};

	if (g->stream != NULL && now_ms(g) - g->asked_ms > PATIENCE_MS)
		leave(g);
	if (g->stream == NULL) {
		g->asked_ms = now_ms(g);
		if (stream_connect(&g->stream, g->loop, g->address, &opt, &ops, g, &why) != ERR_OK)
			g->stream = NULL;
	} else if (stream_is_open(g->stream) && !g->is_asking) {
		ask(g);
	}
}

/* All of one answer is in. */
static void
conclude(struct gauge *g)
{
	uint64_t at = now_ms(g), ms = at - g->at_ms;

	g->is_asking = false;
	if (g->new_misses == UINT64_MAX)
		return;
	/* A server that was restarted counts from 0. */
	g->knows_rate = g->knows_misses && g->new_misses >= g->misses && ms > 0;
	if (g->knows_rate)
		g->per_s = (g->new_misses - g->misses) * 1000 / ms;
	g->knows_misses = true;
	g->misses = g->new_misses;
	g->at_ms = at;
}

size_t
gauge_take(struct gauge *g, struct span bytes)
{
	static const struct span wanted = SPAN_LIT("STAT get_misses ");
	struct span rest = bytes;

	for (;;) {
		const char *end = rest.len > 0 ? memchr(rest.p, '\n', rest.len) : NULL;
		struct span line;
		uint64_t v;

		if (end == NULL)
			return bytes.len - rest.len;
		line = span_trim(span_make(rest.p, (size_t)(end - rest.p)));
		rest = span_from(rest, (size_t)(end - rest.p) + 1);
		if (span_starts(line, wanted) && span_u64(span_from(line, wanted.len), &v))
			g->new_misses = v;
		else if (span_is(line, "END") || span_starts(line, SPAN_LIT("ERROR")))
			conclude(g);
	}
}

static size_t
on_bytes(void *arg, struct span bytes)
{
	return gauge_take(arg, bytes);
}

bool
gauge_misses(const struct gauge *g, uint64_t *per_s)
{
	*per_s = g->per_s;
	return g->knows_rate;
}
