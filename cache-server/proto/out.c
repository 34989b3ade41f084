#include "cache-server/proto/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache-server/proto/number.h"

void
out_init(struct out *o)
{
	*o = (struct out){0};
}

void
out_fini(struct out *o)
{
	for (size_t i = o->ref_head; i < o->nrefs; i++)
		store_unpin(&o->refs[i].pin);
	free(o->refs);
	free(o->bytes);
	*o = (struct out){0};
}

char *
out_grow(struct out *o, size_t n)
{
	size_t cap = o->cap ? o->cap : 2048;
	char *bytes;

	if (o->failed || n > SIZE_MAX / 2 - o->len)
		goto failed;
	while (cap - o->len < n)
		cap *= 2;
	/* realloc() would copy bytes that have been sent, too, but they are few: see out_sent(). */
	bytes = realloc(o->bytes, cap);
	if (bytes == NULL)
		goto failed;
	o->bytes = bytes;
	o->cap = cap;
	return bytes + o->len;
failed:
	o->failed = true;
	return NULL;
}

void
out_u64(struct out *o, uint64_t n)
{
	char *to = out_room(o, NUMBER_MAX_TEXT);

	if (to)
		o->len = (size_t)(number_put(to, n) - o->bytes);
}

void
out_i64(struct out *o, int64_t n)
{
	char *to = out_room(o, NUMBER_MAX_TEXT);

	if (to)
		o->len = (size_t)(number_put_signed(to, n) - o->bytes);
}

void
out_fmt(struct out *o, const char *fmt, ...)
{
	size_t room = 512;

	for (;;) {
		char *to = out_room(o, room);
		va_list ap;
		int n;

		if (to == NULL)
			return;
		va_start(ap, fmt);
		n = vsnprintf(to, room, fmt, ap);
		va_end(ap);
		if (n < 0)
			return;
		if ((size_t)n < room) {
			o->len += (size_t)n;
			return;
		}
		room = (size_t)n + 1;
	}
}

void
out_ref(struct out *o, struct span s, struct store_pin pin)
{
	if (s.len == 0) {
		store_unpin(&pin);
		return;
	}
	if (o->nrefs == o->cap_refs) {
		size_t cap = o->cap_refs ? o->cap_refs * 2 : 8;
		struct out_ref *refs = o->failed ? NULL : realloc(o->refs, cap * sizeof *refs);

		if (refs == NULL) {
			o->failed = true;
			store_unpin(&pin);
			return;
		}
		o->refs = refs;
		o->cap_refs = cap;
	}
	o->refs[o->nrefs++] = (struct out_ref){o->len, s, pin};
	o->ref_bytes += s.len;
}

void
out_value(struct out *o, struct store_thread *t, const struct store_view *v)
{
	if (v->value != NULL && v->len <= OUT_COPY_MAX) {
		out_put(o, v->value, v->len);
		return;
	}
	for (uint64_t at = 0; at < v->len;) {
		struct span part = store_view_part(t, v, at);

		if (part.len == 0)
			break;
		if (v->len <= OUT_COPY_MAX)
			out_span(o, part);
		else
			out_ref(o, part, store_pin(t, part));
		at += part.len;
	}
}

void
out_rewind(struct out *o, struct out_mark m)
{
	while (o->nrefs > m.nrefs) {
		struct out_ref *r = &o->refs[--o->nrefs];

		o->ref_bytes -= r->span.len;
		store_unpin(&r->pin);
	}
	o->len = m.len;
}

int
out_iov(const struct out *o, struct iovec *iov, int max)
{
	size_t pos = o->head, ref = o->ref_head, skip = o->ref_sent;
	int n = 0;

	while (n < max) {
		size_t stop = ref < o->nrefs ? o->refs[ref].at : o->len;

		if (pos < stop) {
			iov[n++] = (struct iovec){o->bytes + pos, stop - pos};
			pos = stop;
		} else if (ref < o->nrefs) {
			struct span left = span_from(o->refs[ref++].span, skip);

			skip = 0;
			if (left.len > 0)
				iov[n++] = (struct iovec){(char *)left.p, left.len};
		} else
			break;
	}
	return n;
}

/* What has been sent of a buffer that is never quite empty must not stay for ever. */
static void
drop_head(struct out *o)
{
	memmove(o->bytes, o->bytes + o->head, o->len - o->head);
	o->len -= o->head;
	if (o->ref_head > 0)
		memmove(o->refs, o->refs + o->ref_head, (o->nrefs - o->ref_head) * sizeof *o->refs);
	o->nrefs -= o->ref_head;
	o->ref_head = 0;
	for (size_t i = 0; i < o->nrefs; i++)
		o->refs[i].at -= o->head;
	o->head = 0;
}

void
out_sent(struct out *o, size_t n)
{
	while (n > 0) {
		size_t stop = o->ref_head < o->nrefs ? o->refs[o->ref_head].at : o->len;
		size_t some = stop - o->head;

		if (some > 0) {
			some = some < n ? some : n;
			o->head += some;
			n -= some;
			continue;
		}
		if (o->ref_head == o->nrefs)
			break;
		some = o->refs[o->ref_head].span.len - o->ref_sent;
		some = some < n ? some : n;
		o->ref_sent += some;
		o->ref_bytes -= some;
		n -= some;
		if (o->ref_sent == o->refs[o->ref_head].span.len) {
			store_unpin(&o->refs[o->ref_head++].pin);
			o->ref_sent = 0;
		}
	}
	if (out_pending(o) == 0) {
		o->len = o->head = 0;
		o->nrefs = o->ref_head = 0;
		if (o->cap > OUT_KEEP) {
			free(o->bytes);
			o->bytes = NULL;
			o->cap = 0;
		}
	} else if (o->head >= OUT_KEEP && o->head >= o->len / 2)
		drop_head(o);
}
