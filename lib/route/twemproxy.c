#include "lib/route/twemproxy.h"

enum { DEFAULT_PORT = 11211 };

struct span
twemproxy_tagged(struct span key, char open, char close)
{
	const char *from = key.len > 0 ? memchr(key.p, open, key.len) : NULL;
	const char *to;

	if (from == NULL)
		return key;
	from++;
	to = memchr(from, close, (size_t)(key.p + key.len - from));
	return to == NULL || to == from ? key : span_make(from, (size_t)(to - from));
}

void
twemproxy_server(const struct server_options *server, const char *name, struct buf *out)
{
	if (name != NULL && name[0] != '\0') {
		buf_put_str(out, name);
		return;
	}
	buf_put_str(out, server->host);
	if (server->host[0] == '/')
		buf_putc(out, ':');
	else if (server->port != DEFAULT_PORT)
		buf_printf(out, ":%u", (unsigned)server->port);
}

uint32_t
twemproxy_hash(uint64_t (*hash)(struct span), struct span text)
{
	return text.len == 0 ? 0 : (uint32_t)hash(text);
}
