#include "squeal/prepared_note.h"

#include "lib/core/reader.h"

enum { HEAD_VERSION = 1, FLAG_CANNOT_BE_UNDONE = 1, FLAG_UNSURE = 2 };

void
prepared_note_name(const struct xid *xid, struct buf *out)
{
	buf_put_str(out, "xa:");
	xid_format(xid, out);
}

void
prepared_note_encode(const struct prepared_note_head *head, struct buf *out)
{
	buf_put_le(out, HEAD_VERSION, 1);
	buf_put_le(out,
		   (head->cannot_be_undone ? FLAG_CANNOT_BE_UNDONE : 0u) | (head->unsure ? FLAG_UNSURE : 0u),
		   1);
	buf_put_le(out, head->holdoff_ms, 4);
	buf_put_le(out, head->nparts, 4);
	buf_put_le(out, head->nkeys, 8);
	buf_put_le(out, head->prepared_us, 8);
	buf_put_span(out, head->pool);
}

bool
prepared_note_decode(struct span value, struct prepared_note_head *head)
{
	struct reader r = reader_of(value);
	bool known = reader_u8(&r) == HEAD_VERSION;
	uint8_t flags = reader_u8(&r);

	*head = (struct prepared_note_head){
	    .cannot_be_undone = flags & FLAG_CANNOT_BE_UNDONE,
	    .unsure = flags & FLAG_UNSURE,
	};
	head->holdoff_ms = reader_u32(&r);
	head->nparts = reader_u32(&r);
	head->nkeys = reader_u64(&r);
	head->prepared_us = reader_u64(&r);
	head->pool = reader_rest(&r);
	return known && !r.short_read;
}
