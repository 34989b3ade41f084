/* Any bytes as the head of a request: never a read outside them, and spans that lie inside them. */
#include <stdlib.h>

#include "lib/net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
inside(struct span in, struct span part)
{
	if (part.len > 0 && (part.p < in.p || part.p + part.len > in.p + in.len))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct http_request r;
	struct buf decoded = BUF_INIT;
	int status = http_request_parse(in, &r);

	inside(in, r.method);
	inside(in, r.path);
	inside(in, r.query);
	inside(in, r.host);
	if (status == 200 && (r.path.len == 0 || r.path.p[0] != '/'))
		abort();
	if (http_decode(r.query, &decoded) && decoded.len > r.query.len)
		abort();
	buf_fini(&decoded);
	/* What is whole stays what it is, whatever follows: nothing is decided by bytes that have not come
	 * yet. */
	for (size_t n = size > 40 ? size - 40 : 0; status != 0 && n < size; n++) {
		int before = http_request_parse(span_first(in, n), &r);

		if (before == 200 && status != 200)
			abort();
	}
	return 0;
}
