#include "squeal/binlog/payload.h"

#include <stdlib.h>
#include <zstd.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "squeal/binlog/lenenc.h"

enum {
	/* What the highest of MySQL's levels uses. */
	WINDOW_LOG = 27,
	EVENT_HEAD = 19,
	LENGTH_AT = 9,
	CHUNK = 64 * 1024,
};

enum field { FIELD_END = 0, FIELD_SIZE = 1, FIELD_COMPRESSION = 2, FIELD_UNCOMPRESSED = 3 };
enum compression { COMPRESSION_ZSTD = 0, COMPRESSION_NONE = 255 };

struct payload {
	size_t max_event;
	ZSTD_DCtx *zstd; /* made at the first compressed payload */

	bool open;
	bool plain;
	struct span in;	     /* compressed, not read yet; plain: not handed out yet */
	struct buf out;	     /* decompressed */
	size_t given;	     /* length of the event at the front of `out` that the caller has */
	uint64_t size;	     /* bytes that came out */
	uint64_t promised;   /* bytes that are to come out; UINT64_MAX when it was not said */
	bool between_frames; /* a zstd frame has ended and no other has begun */
};

struct payload *
payload_create(size_t max_event)
{
	struct payload *p = MEM_NEW(struct payload);

	p->max_event = max_event;
	return p;
}

void
payload_destroy(struct payload **p)
{
	if (*p == NULL)
		return;
	ZSTD_freeDCtx((*p)->zstd);
	buf_fini(&(*p)->out);
	free(*p);
	*p = NULL;
}

void
payload_close(struct payload *p)
{
	p->open = false;
	p->in = (struct span){"", 0};
	p->given = 0;
	buf_clear(&p->out);
}

uint64_t
payload_size(const struct payload *p)
{
	return p->size;
}

bool
payload_is_done(const struct payload *p)
{
	return !p->open;
}

static err_t
start_zstd(struct payload *p, struct err_detail *why)
{
	if (p->zstd == NULL) {
		p->zstd = ZSTD_createDCtx();
		if (p->zstd == NULL)
			return err_set(why, ERR_SYS, "no memory for decompression");
		if (ZSTD_isError(ZSTD_DCtx_setParameter(p->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
			return err_set(why, ERR_SYS, "libzstd does not let its window be limited");
	}
	ZSTD_DCtx_reset(p->zstd, ZSTD_reset_session_only);
	p->between_frames = true;
	return ERR_OK;
}

err_t
payload_open(struct payload *p, struct span body, struct err_detail *why)
{
	struct reader r = reader_of(body);
	uint64_t size = UINT64_MAX, compression = COMPRESSION_ZSTD;

	payload_close(p);
	p->size = 0;
	p->promised = UINT64_MAX;
	for (;;) {
		uint64_t field = lenenc_u64(&r);
		struct reader v;

		if (r.short_read || field == FIELD_END)
			break;
		v = reader_of(lenenc_span(&r));
		if (field == FIELD_SIZE)
			size = lenenc_u64(&v);
		else if (field == FIELD_COMPRESSION)
			compression = lenenc_u64(&v);
		else if (field == FIELD_UNCOMPRESSED)
			p->promised = lenenc_u64(&v);
		if (v.short_read)
			r.short_read = true;
	}
	if (r.short_read)
		return err_set(why, ERR_BAD_EVENT, "its head is cut short");
	if (size != UINT64_MAX && size != r.left)
		return err_set(why, ERR_BAD_EVENT, "it holds %zu bytes where its head says %llu", r.left,
			       (unsigned long long)size);
	if (compression != COMPRESSION_ZSTD && compression != COMPRESSION_NONE)
		return err_set(
		    why, ERR_UNKNOWN_EVENT,
		    "its compression %llu is not known; SET GLOBAL binlog_transaction_compression=OFF "
		    "on the server makes new transactions readable",
		    (unsigned long long)compression);
	p->plain = compression == COMPRESSION_NONE;
	p->in = reader_rest(&r);
	if (!p->plain) {
		err_t err = start_zstd(p, why);

		if (err != ERR_OK)
			return err;
	}
	p->open = true;
	return ERR_OK;
}

static size_t
event_length(struct span head)
{
	struct reader r = reader_of(span_from(head, LENGTH_AT));

	return reader_u32(&r);
}

static err_t
check_length(const struct payload *p, size_t n, struct err_detail *why)
{
	if (n < EVENT_HEAD)
		return err_set(why, ERR_BAD_EVENT, "an event inside of it has an impossible length");
	if (n > p->max_event)
		return err_set(why, ERR_TOO_LONG,
			       "an event inside of it has %zu bytes; raise max_event above that", n);
	return ERR_OK;
}

/* Decompresses until `want` bytes are there or none are left. */
static err_t
fill(struct payload *p, size_t want, struct err_detail *why)
{
	while (p->out.len < want) {
		size_t room = want - p->out.len < CHUNK ? CHUNK : want - p->out.len;
		ZSTD_inBuffer in = {p->in.p, p->in.len, 0};
		ZSTD_outBuffer out;
		size_t rc;

		/* In steps, so that a length alone takes no memory. */
		if (room > p->out.len + CHUNK)
			room = p->out.len + CHUNK;
		out = (ZSTD_outBuffer){buf_room(&p->out, room), room, 0};
		rc = ZSTD_decompressStream(p->zstd, &out, &in);
		if (ZSTD_isError(rc))
			return err_set(why, ERR_BAD_EVENT, "it cannot be decompressed: %s",
				       ZSTD_getErrorName(rc));
		if (in.pos > 0 || out.pos > 0)
			p->between_frames = rc == 0;
		buf_added(&p->out, out.pos);
		p->in = span_from(p->in, in.pos);
		p->size += out.pos;
		if (p->size > p->promised)
			return err_set(why, ERR_BAD_EVENT,
				       "more comes out of it than the %llu bytes that its head says",
				       (unsigned long long)p->promised);
		if (in.pos == 0 && out.pos == 0)
			break;
	}
	return ERR_OK;
}

/* Nothing may be left over. */
static err_t
check_end(struct payload *p, struct err_detail *why)
{
	if (!p->plain && !p->between_frames)
		return err_set(why, ERR_BAD_EVENT, "its compressed bytes are cut short");
	if (p->promised != UINT64_MAX && p->size != p->promised)
		return err_set(why, ERR_BAD_EVENT, "%llu bytes come out of it where its head says %llu",
			       (unsigned long long)p->size, (unsigned long long)p->promised);
	return ERR_OK;
}

static err_t
next_plain(struct payload *p, struct span *event, struct err_detail *why)
{
	size_t n;
	err_t err;

	if (p->in.len == 0)
		return check_end(p, why);
	n = p->in.len < EVENT_HEAD ? 0 : event_length(p->in);
	err = check_length(p, n, why);
	if (err != ERR_OK)
		return err;
	if (n > p->in.len)
		return err_set(why, ERR_BAD_EVENT, "it ends inside of an event");
	*event = span_first(p->in, n);
	p->in = span_from(p->in, n);
	p->size += n;
	return ERR_OK;
}

static err_t
next_zstd(struct payload *p, struct span *event, struct err_detail *why)
{
	size_t n;
	err_t err;

	buf_take(&p->out, p->given);
	p->given = 0;
	err = fill(p, EVENT_HEAD, why);
	if (err != ERR_OK)
		return err;
	if (p->out.len == 0)
		return check_end(p, why);
	n = p->out.len < EVENT_HEAD ? 0 : event_length(buf_span(&p->out));
	err = check_length(p, n, why);
	if (err == ERR_OK)
		err = fill(p, n, why);
	if (err != ERR_OK)
		return err;
	if (n > p->out.len)
		return err_set(why, ERR_BAD_EVENT, "it ends inside of an event");
	*event = span_first(buf_span(&p->out), n);
	p->given = n;
	return ERR_OK;
}

err_t
payload_next(struct payload *p, struct span *event, struct err_detail *why)
{
	err_t err;

	*event = (struct span){"", 0};
	if (!p->open)
		return ERR_OK;
	err = p->plain ? next_plain(p, event, why) : next_zstd(p, event, why);
	if (err != ERR_OK || event->len == 0)
		payload_close(p);
	return err;
}
