#include "cache-server/proto/udp.h"

#include "cache-server/proto/binary.h"

bool
udp_header_read(struct span datagram, struct udp_header *h, struct span *data)
{
	if (datagram.len <= UDP_HEADER)
		return false;
	h->request = (uint16_t)binary_get_be(datagram.p, 2);
	h->sequence = (uint16_t)binary_get_be(datagram.p + 2, 2);
	h->total = (uint16_t)binary_get_be(datagram.p + 4, 2);
	*data = span_from(datagram, UDP_HEADER);
	return h->total == 1;
}

void
udp_header_write(const struct udp_header *h, char to[UDP_HEADER])
{
	binary_put_be(to, h->request, 2);
	binary_put_be(to + 2, h->sequence, 2);
	binary_put_be(to + 4, h->total, 2);
	binary_put_be(to + 6, 0, 2);
}

unsigned
udp_datagrams(size_t reply)
{
	return (unsigned)((reply + UDP_MAX_DATA - 1) / UDP_MAX_DATA);
}

int
udp_slice(const struct iovec *reply, int n, unsigned sequence, struct iovec *out, int max, size_t *bytes)
{
	size_t skip = (size_t)sequence * UDP_MAX_DATA, left = UDP_MAX_DATA;
	int used = 0;

	*bytes = 0;
	for (int i = 0; i < n && left > 0 && used < max; i++) {
		size_t len = reply[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len -= skip;
		if (len > left)
			len = left;
		out[used++] = (struct iovec){(char *)reply[i].iov_base + skip, len};
		skip = 0;
		left -= len;
		*bytes += len;
	}
	return used;
}

/* In the protocol of the request, and instead of everything that was there. */
static void
only_error(struct session *s, struct span data, const char *text)
{
	struct span t = span_of(text);

	out_fini(s->out);
	if (s->protocol == SESSION_BINARY) {
		struct binary_header request, h = {.magic = BINARY_RESPONSE_MAGIC};
		char packet[BINARY_HEADER];

		if (data.len < BINARY_HEADER)
			return;
		binary_header_read(data.p, &request);
		h.opcode = request.opcode;
		h.opaque = request.opaque;
		h.status = BINARY_E2BIG;
		h.body_len = (uint32_t)t.len;
		binary_header_write(&h, packet);
		out_put(s->out, packet, sizeof packet);
		out_span(s->out, t);
		return;
	}
	OUT_LITERAL(s->out, "SERVER_ERROR ");
	out_span(s->out, t);
	OUT_LITERAL(s->out, "\r\n");
}

bool
udp_feed(struct session *s, struct span data)
{
	size_t at = 0;

	s->udp = true;
	for (;;) {
		size_t taken = session_feed(s, data.p + at, data.len - at);

		at += taken;
		if (out_pending(s->out) > (size_t)UDP_MAX_REPLY * UDP_MAX_DATA ||
		    (s->want == SESSION_DRAIN && taken == 0)) {
			only_error(s, data, "reply too long for UDP, ask over TCP");
			return false;
		}
		if (s->want == SESSION_WATCH) {
			only_error(s, data, "not over UDP, ask over TCP");
			return false;
		}
		switch (s->want) {
		case SESSION_YIELD:
		case SESSION_DRAIN:
			continue;
		case SESSION_READ:
			if (at == data.len)
				return s->swallow == 0;
			if (taken == 0)
				return false;
			continue;
		case SESSION_CLOSE:
			return true;
		default:
			return false;
		}
	}
}

bool
udp_guard_allows(struct udp_guard *g, uint64_t address_hash, uint64_t now_ms, size_t bytes)
{
	size_t i = address_hash % UDP_GUARD_SLOTS;
	uint64_t passed = now_ms - g->slot[i].at_ms, left;

	/* A clock that went back counts as a long time; a slot of zeros is full. */
	left = g->slot[i].at_ms == 0 || passed >= 1000 ? UDP_GUARD_RATE
						       : g->slot[i].left + passed * UDP_GUARD_RATE / 1000;
	if (left > UDP_GUARD_RATE)
		left = UDP_GUARD_RATE;
	if (bytes > left)
		return false;
	g->slot[i].at_ms = now_ms;
	g->slot[i].left = (uint32_t)(left - bytes);
	return true;
}
