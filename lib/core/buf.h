/*
 * buf - bytes that grow at the end and are taken from the front.
 *
 * Memory is kept when the buffer is emptied, so a buffer that is used again and again stops allocating.
 * Pointers into it are valid until the next call that adds bytes.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_BUF_H
#define SQUEAL_LIB_CORE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "lib/core/span.h"

struct buf {
	char *p;    /* first byte not taken yet */
	size_t len; /* bytes not taken yet */
	char *base; /* what was allocated; NULL before the first byte */
	size_t cap;
};

#define BUF_INIT ((struct buf){0})

/* Frees the memory and leaves an empty buffer that can be used again. */
void buf_fini(struct buf *b);

/* Forgets the bytes, keeps the memory. */
void buf_clear(struct buf *b);

/* Makes room for `n` more bytes; for buf_room(). */
char *buf_grow(struct buf *b, size_t n);

/* Room for `n` more bytes at the returned address; they count only after buf_added(). */
static inline char *
buf_room(struct buf *b, size_t n)
{
	if (b->base != NULL && n <= b->cap - (size_t)(b->p - b->base) - b->len)
		return b->p + b->len;
	return buf_grow(b, n);
}

static inline void
buf_added(struct buf *b, size_t n)
{
	b->len += n;
}

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_span(struct buf *b, struct span s);
void buf_put_str(struct buf *b, const char *s);
void buf_put_u64(struct buf *b, uint64_t v); /* decimal */
void buf_put_le(struct buf *b, uint64_t v,
		size_t bytes); /* the low 1 to 8 bytes, lowest first; see reader_le() */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);

static inline void
buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

/* Drops `n` bytes from the front; more than there are drops all. */
void buf_take(struct buf *b, size_t n);

static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){b->p, b->len};
}

/* The bytes as a C string: a NUL is kept behind them (not counted).  Valid until the next change. */
const char *buf_str(struct buf *b);

#endif
