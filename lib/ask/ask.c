#include "lib/ask/ask.h"

#include <stdlib.h>

#include "lib/core/clock.h"
#include "lib/core/span.h"
#include "lib/net/loop.h"
#include "lib/net/stream.h"

struct asking {
	struct loop *loop;
	struct buf in;
	bool over;
	err_t err;
	struct err_detail *why;
};

static size_t
on_bytes(void *arg, struct span bytes)
{
	struct asking *a = arg;

	buf_put_span(&a->in, bytes);
	if (a->in.len > ASK_MAX_BYTES) {
		a->err = err_set(a->why, ERR_TOO_LONG, "the answer is larger than 32 MiB");
		a->over = true;
		loop_stop(a->loop);
	}
	return bytes.len;
}

/* The port closes behind its answer, so this is the ordinary end. */
static void
on_close(void *arg, err_t err, const char *why)
{
	struct asking *a = arg;

	if (a->in.len == 0)
		a->err = err_set(a->why, err, "%s", why);
	a->over = true;
	loop_stop(a->loop);
}

static void
on_late(void *arg)
{
	struct asking *a = arg;

	a->err = err_set(a->why, ERR_TIMEOUT, "no whole answer in time");
	a->over = true;
	loop_stop(a->loop);
}

/* "HTTP/1.1 200 OK\r\n...\r\n\r\nbody" */
static err_t
take_apart(struct span in, struct buf *body, int *status, struct err_detail *why)
{
	ptrdiff_t end = span_find(in, SPAN_LIT("\r\n\r\n"));
	uint64_t code = 0;

	if (end < 0 || !span_starts(in, SPAN_LIT("HTTP/1.")) || in.len < 12 ||
	    !span_u64(span_first(span_from(in, 9), 3), &code))
		return err_set(why, ERR_PROTOCOL, "the answer is not that of an admin port of Squeal");
	*status = (int)code;
	buf_put_span(body, span_from(in, (size_t)end + 4));
	return ERR_OK;
}

err_t
ask(const struct ask *q, struct buf *body, int *status, struct err_detail *why)
{
	static const struct stream_ops ops = {.on_bytes = on_bytes, .on_close = on_close};
	struct stream_options opt = {.connect_timeout_ms = q->timeout_ms};
	struct asking a = {.why = why};
	struct stream *stream = NULL;
	struct buf request = BUF_INIT;
	struct loop_timer late = {0};
	err_t err;

	err = loop_create(&a.loop, clock_system(), why);
	if (err != ERR_OK)
		return err;
	err = stream_connect(&stream, a.loop, q->address, &opt, &ops, &a, why);
	if (err != ERR_OK)
		goto done;
	buf_printf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n",
		   q->acts ? "POST" : "GET", q->target, q->acts ? "X-Squeal: squealctl\r\n" : "");
	stream_write(stream, &request);
	loop_timer_init(&late, a.loop, on_late, &a);
	loop_timer_once(&late, q->timeout_ms);
	if (!a.over)
		loop_run(a.loop);
	err = a.err;
	if (err == ERR_OK)
		err = take_apart(buf_span(&a.in), body, status, why);
done:
	loop_timer_stop(&late);
	stream_close(&stream);
	buf_fini(&request);
	buf_fini(&a.in);
	loop_destroy(&a.loop);
	return err;
}

void
ask_put_query(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '_' || c == '.')
			buf_putc(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
}
