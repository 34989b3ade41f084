#include "lib/wire/mc_request.h"

#include <stdio.h>

/* Is one of these bytes a control byte, a space or DEL?  Each comparison leaves its answer in the bytes' top
 * bits; those that have their top bit set themselves are good. */
static bool
eight_are_bad(const char *p)
{
	const uint64_t ones = 0x0101010101010101ull, tops = ones << 7;
	uint64_t v, low, below, del;

	memcpy(&v, p, sizeof(v));
	low = v & ~tops;
	below = ~(low + ones * (0x80 - 0x21)); /* top bit: low bits are below 0x21 */
	del = low + ones;		       /* top bit: low bits are 0x7f */
	return ((below | del) & ~v & tops) != 0;
}

bool
mc_request_key_ok(struct span key)
{
	if (key.len == 0 || key.len > MC_KEY_MAX)
		return false;
	/* Eight at a time; the last eight may overlap those before. */
	if (key.len >= 8) {
		for (size_t i = 0; i + 8 < key.len; i += 8) {
			if (eight_are_bad(key.p + i))
				return false;
		}
		return !eight_are_bad(key.p + key.len - 8);
	}
	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c <= 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static err_t
put_keyed(struct buf *out, struct span before, struct span key, struct span after)
{
	char *at;

	if (!mc_request_key_ok(key))
		return ERR_BAD_KEY;
	at = buf_room(out, before.len + key.len + after.len);
	memcpy(at, before.p, before.len);
	memcpy(at + before.len, key.p, key.len);
	memcpy(at + before.len + key.len, after.p, after.len);
	buf_added(out, before.len + key.len + after.len);
	return ERR_OK;
}

err_t
mc_request_delete_quiet(struct buf *out, struct span key)
{
	return put_keyed(out, SPAN_LIT("md "), key, SPAN_LIT(" q\r\n"));
}

err_t
mc_request_delete(struct buf *out, struct span key, const struct mc_delete *d)
{
	char after[48];
	int n = snprintf(after, sizeof(after), "%s", d->quiet ? " q" : "");

	if (d->stale_s > 0)
		n += snprintf(after + n, sizeof(after) - (size_t)n, " I T%u", (unsigned)d->stale_s);
	if (d->holdoff_ms > 0)
		n += snprintf(after + n, sizeof(after) - (size_t)n, " H%u", (unsigned)d->holdoff_ms);
	n += snprintf(after + n, sizeof(after) - (size_t)n, "\r\n");
	return put_keyed(out, SPAN_LIT("md "), key, span_make(after, (size_t)n));
}

void
mc_request_caught_up(struct buf *out, uint32_t part, uint32_t parts)
{
	if (parts > 1)
		buf_printf(out, "caughtup %u/%u\r\n", (unsigned)part, (unsigned)parts);
	else
		buf_put_span(out, SPAN_LIT("caughtup\r\n"));
}

void
mc_request_fence(struct buf *out)
{
	buf_put_span(out, SPAN_LIT("mn\r\n"));
}

err_t
mc_request_delete_meta(struct buf *out, struct span key)
{
	return put_keyed(out, SPAN_LIT("md "), key, SPAN_LIT("\r\n"));
}

err_t
mc_request_delete_classic(struct buf *out, struct span key)
{
	return put_keyed(out, SPAN_LIT("delete "), key, SPAN_LIT("\r\n"));
}

void
mc_request_flush_all(struct buf *out)
{
	buf_put_span(out, SPAN_LIT("flush_all\r\n"));
}

err_t
mc_request_inspect(struct buf *out, struct span key)
{
	return put_keyed(out, SPAN_LIT("me "), key, SPAN_LIT("\r\n"));
}

err_t
mc_request_put_empty(struct buf *out, struct span key, unsigned ttl_s)
{
	char after[40];
	int n = snprintf(after, sizeof(after), " 0 c T%u\r\n\r\n", ttl_s);

	return put_keyed(out, SPAN_LIT("ms "), key, span_make(after, (size_t)n));
}

void
mc_request_login(struct buf *out, struct span login)
{
	buf_printf(out, "set auth 0 0 %zu\r\n", login.len);
	buf_put_span(out, login);
	buf_put_str(out, "\r\n");
}

void
mc_request_stats(struct buf *out, const char *which)
{
	buf_printf(out, "stats%s%s\r\n", which[0] != '\0' ? " " : "", which);
}

void
mc_request_version(struct buf *out)
{
	buf_put_span(out, SPAN_LIT("version\r\n"));
}
