#include "squeal/binlog/dump.h"

#include <string.h>

static void
put_short(struct buf *b, const char *text)
{
	buf_putc(b, (char)strlen(text));
	buf_put_str(b, text);
}

void
dump_put_register(uint32_t server_id, struct buf *out)
{
	buf_put_le(out, server_id, 4);
	put_short(out, "squeal"); /* host, user, password: shown in SHOW REPLICAS */
	put_short(out, "");
	put_short(out, "");
	buf_put_le(out, 0, 2); /* port */
	buf_put_le(out, 0, 4); /* rank */
	buf_put_le(out, 0, 4); /* the server's id, which it knows */
}

enum dump_command
dump_put(const struct dump *d, struct buf *out)
{
	if (!d->by_gtid) {
		buf_put_le(out, d->pos, 4);
		buf_put_le(out, d->flags, 2);
		buf_put_le(out, d->server_id, 4);
		buf_put_span(out, d->file);
		return DUMP_BY_FILE;
	}
	buf_put_le(out, d->flags, 2);
	buf_put_le(out, d->server_id, 4);
	buf_put_le(out, d->file.len, 4);
	buf_put_span(out, d->file);
	buf_put_le(out, d->pos, 8);
	buf_put_le(out, d->gtids.len, 4);
	buf_put_span(out, d->gtids);
	return DUMP_BY_GTID;
}
