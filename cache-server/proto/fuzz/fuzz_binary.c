/*
 * Any bytes to a session that speaks the binary protocol only: every reply is a whole packet, and it makes no
 * difference how the bytes are cut: by the first byte, which says how long the pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/proto/binary.h"
#include "cache-server/proto/test/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_replies(struct span in)
{
	while (in.len > 0) {
		struct binary_header h;

		if (in.len < BINARY_HEADER)
			abort();
		binary_header_read(in.p, &h);
		if (h.magic != BINARY_RESPONSE_MAGIC || in.len - BINARY_HEADER < h.body_len ||
		    (uint32_t)h.extras_len + h.key_len > h.body_len)
			abort();
		in = span_from(in, BINARY_HEADER + (size_t)h.body_len);
	}
}

/* What the bytes are answered; CAS numbers are as good as in the same conversation with another cut. */
static void
converse(struct span bytes, size_t piece, struct buf *replies)
{
	struct talk *f = malloc(sizeof *f);

	talk_begin(f, NULL);
	f->limits.text = false;
	f->limits.binary = true;
	f->limits.max_requests = 7;
	talk_reconnect(f);
	for (size_t at = 0; at < bytes.len && !f->closed; at += piece)
		talk_say(f, bytes.p + at, piece < bytes.len - at ? piece : bytes.len - at);
	buf_put(replies, f->replies.p, f->replies.len);
	talk_end(f);
	free(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;
	struct span bytes;

	if (size < 2)
		return 0;
	bytes = span_make(data + 1, size - 1);
	converse(bytes, bytes.len, &whole);
	check_replies(buf_span(&whole));
	converse(bytes, (size_t)data[0] + 1, &cut);
	if (!span_eq(buf_span(&whole), buf_span(&cut)))
		abort();
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
