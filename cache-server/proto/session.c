#include "cache-server/proto/session.h"

#include <string.h>

enum { BINARY_REQUEST = 0x80 };

void
session_init(struct session *s, struct cache_thread *cache, const struct session_limits *limits,
	     const struct session_host *host, struct out *out)
{
	/* Not the whole struct: key and flags are bytes that nobody reads before they are written. */
	s->cache = cache;
	s->store = cache_store(cache_of(cache));
	s->marker = cache_policy(cache_of(cache)) == CACHE_MARKER;
	s->limits = limits;
	s->host = *host;
	s->out = out;
	s->protocol = SESSION_UNDECIDED;
	s->want = SESSION_READ;
	s->authenticated = false;
	s->udp = false;
	s->state_name = "conn_new_cmd";
	s->sinking = false;
	s->sink_at = s->sink_len = 0;
	s->flags_len = 0;
	s->noreply = false;
	s->ahead = (struct span){NULL, 0};
	s->pending_command = 0;
	s->swallow = 0;
	s->cursor = 0;
	s->job = NULL;
	s->job_free = NULL;
	s->dump = NULL;
}

void
session_fini(struct session *s)
{
	if (s->sinking) {
		s->sinking = false;
		cache_set_abort(s->cache, &s->draft);
	}
	if (s->job) {
		s->job_free(s->job);
		s->job = NULL;
	}
	if (s->dump) {
		s->dump->free(s->dump);
		s->dump = NULL;
	}
}

char *
session_sink(struct session *s, size_t *n)
{
	uint64_t value_len = s->draft.value_len;
	char *where;

	if (s->sink_at >= value_len) {
		*n = (size_t)(s->sink_len - s->sink_at);
		return s->sink_tail + (s->sink_at - value_len);
	}
	*n = store_draft_room(cache_store_thread(s->cache), &s->draft, s->sink_at, &where);
	if (*n > value_len - s->sink_at)
		*n = (size_t)(value_len - s->sink_at);
	return where;
}

void
session_sunk(struct session *s, size_t n)
{
	s->sink_at += n;
	if (s->sink_at < s->sink_len) {
		s->want = SESSION_SINK;
		return;
	}
	s->sinking = false;
	s->want = SESSION_READ;
	s->state_name = "conn_new_cmd";
	if (s->protocol == SESSION_TEXT)
		text_sunk(s);
	else
		binary_sunk(s);
}

/* What is at hand of a value that is on its way. */
static size_t
sink_feed(struct session *s, const char *in, size_t len)
{
	size_t taken = 0;

	/* A value of no bytes without a line end is there before anything was read. */
	if (s->sink_at == s->sink_len)
		session_sunk(s, 0);
	while (s->sinking && taken < len) {
		size_t n;
		char *to = session_sink(s, &n);

		if (n > len - taken)
			n = len - taken;
		memcpy(to, in + taken, n);
		taken += n;
		session_sunk(s, n);
	}
	if (s->sinking)
		s->want = SESSION_SINK;
	return taken;
}

size_t
session_sink_begin(struct session *s, unsigned tail, const char *in, size_t len)
{
	s->sinking = true;
	s->sink_at = 0;
	s->sink_len = s->draft.value_len + tail;
	s->state_name = "conn_nread";
	return sink_feed(s, in, len);
}

size_t
session_swallow(struct session *s, size_t len)
{
	if (len > s->swallow)
		len = (size_t)s->swallow;
	s->swallow -= len;
	s->want = SESSION_READ;
	s->state_name = s->swallow > 0 ? "conn_swallow" : "conn_new_cmd";
	return len;
}

size_t
session_feed(struct session *s, const char *in, size_t len)
{
	size_t taken = 0;

	if (s->protocol == SESSION_UNDECIDED) {
		bool binary = s->limits->binary;

		if (s->limits->text && binary) {
			if (len == 0)
				return 0;
			binary = (unsigned char)in[0] == BINARY_REQUEST;
		}
		s->protocol = binary ? SESSION_BINARY : SESSION_TEXT;
	}
	if (__builtin_expect(s->sinking || s->swallow > 0, 0)) {
		taken = s->sinking ? sink_feed(s, in, len) : 0;
		if (s->sinking)
			return taken;
		taken += session_swallow(s, len - taken);
		if (s->swallow > 0)
			return taken;
	}
	return taken + (s->protocol == SESSION_TEXT ? text_feed(s, in + taken, len - taken)
						    : binary_feed(s, in + taken, len - taken));
}
