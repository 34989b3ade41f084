/*
 * fuzz_xid - the text of an XA id.  What was read must come out as a text that gives the same id again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "squeal/binlog/xid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size);
	struct buf out = BUF_INIT;
	struct xid x, again;
	struct span rest;

	if (!xid_parse(&x, &text))
		return 0;
	if (text.len > size || text.p + text.len != (const char *)data + size)
		abort();
	xid_format(&x, &out);
	rest = buf_span(&out);
	if (!xid_parse(&again, &rest) || rest.len != 0 || !xid_same(&x, &again))
		abort();
	buf_fini(&out);
	return 0;
}
