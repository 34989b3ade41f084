#include "squeal/binlog/dump.h"

#include <string.h>

static void
put_le(struct buf *b, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_putc(b, (char)(v >> (8 * i) & 0xff));
}

static void
put_short(struct buf *b, const char *text)
{
	buf_putc(b, (char)strlen(text));
	buf_put_str(b, text);
}

void
dump_put_register(uint32_t server_id, struct buf *out)
{
	put_le(out, server_id, 4);
	put_short(out, "squeal"); /* host, user, password: shown in SHOW REPLICAS */
	put_short(out, "");
	put_short(out, "");
	put_le(out, 0, 2); /* port */
	put_le(out, 0, 4); /* rank */
	put_le(out, 0, 4); /* the server's id, which it knows */
}

enum dump_command
dump_put(const struct dump *d, struct buf *out)
{
	if (!d->by_gtid) {
		put_le(out, d->pos, 4);
		put_le(out, d->flags, 2);
		put_le(out, d->server_id, 4);
		buf_put_span(out, d->file);
		return DUMP_BY_FILE;
	}
	put_le(out, d->flags, 2);
	put_le(out, d->server_id, 4);
	put_le(out, d->file.len, 4);
	buf_put_span(out, d->file);
	put_le(out, d->pos, 8);
	put_le(out, d->gtids.len, 4);
	buf_put_span(out, d->gtids);
	return DUMP_BY_GTID;
}
