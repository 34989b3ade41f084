/* Any datagram: it is refused, or its reply is bounded, and the reply's datagrams together are the reply. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/proto/test/talk.h"
#include "cache-server/proto/udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk *f;
	struct udp_header h;
	struct span in;
	char back[UDP_HEADER];
	size_t reply, sum = 0;
	struct iovec iov[64], part[64];
	int n;

	if (!udp_header_read(span_make(data, size), &h, &in))
		return 0;
	udp_header_write(&h, back);
	if (memcmp(back, data, 6) != 0)
		abort();
	f = malloc(sizeof *f);
	talk_begin(f, NULL);
	f->limits.binary = true;
	f->limits.max_requests = 5;
	talk_reconnect(f);
	(void)udp_feed(&f->session, in);
	reply = out_pending(&f->out);
	if (reply > (size_t)UDP_MAX_REPLY * UDP_MAX_DATA)
		abort();
	n = out_iov(&f->out, iov, 64);
	for (unsigned s = 0; s < udp_datagrams(reply); s++) {
		size_t bytes;

		(void)udp_slice(iov, n, s, part, 64, &bytes);
		if (bytes > UDP_MAX_DATA)
			abort();
		sum += bytes;
	}
	if (n < 64 && sum != reply)
		abort();
	talk_end(f);
	free(f);
	return 0;
}
