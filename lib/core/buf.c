#include "lib/core/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

void
buf_fini(struct buf *b)
{
	free(b->base);
	*b = BUF_INIT;
}

void
buf_clear(struct buf *b)
{
	b->p = b->base;
	b->len = 0;
}

char *
buf_grow(struct buf *b, size_t n)
{
	size_t front = (size_t)(b->p - b->base);
	size_t cap = b->cap > 0 ? b->cap : 256;

	/* Taken bytes at the front are reused only when that frees half: each byte moves at most once. */
	if (b->base != NULL && front >= b->cap / 2 && n <= b->cap - b->len) {
		memmove(b->base, b->p, b->len);
		b->p = b->base;
		return b->p + b->len;
	}
	while (cap < b->len + n)
		cap *= 2;
	if (front > 0) {
		memmove(b->base, b->p, b->len);
		b->p = b->base;
	}
	if (cap > b->cap) {
		b->base = mem_realloc(b->base, cap);
		b->cap = cap;
	}
	b->p = b->base;
	return b->p + b->len;
}

void
buf_put(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_room(b, n), p, n);
	b->len += n;
}

void
buf_put_span(struct buf *b, struct span s)
{
	buf_put(b, s.p, s.len);
}

void
buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_put(b, text + at, sizeof(text) - at);
}

void
buf_put_le(struct buf *b, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_putc(b, (char)(v >> (8 * i) & 0xff));
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *at = buf_room(b, 128);
	int n;

	va_copy(again, ap);
	n = vsnprintf(at, 128, fmt, ap);
	if (n >= 128) {
		at = buf_room(b, (size_t)n + 1);
		n = vsnprintf(at, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	if (n > 0)
		b->len += (size_t)n;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_take(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_clear(b);
		return;
	}
	b->p += n;
	b->len -= n;
}

const char *
buf_str(struct buf *b)
{
	*buf_room(b, 1) = '\0';
	return b->p;
}
