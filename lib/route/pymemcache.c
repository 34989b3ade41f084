#include "lib/route/pymemcache.h"

#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/route/murmur.h"
#include "lib/route/utf8.h"

enum { ROOM = 1024 }; /* longer texts are made on the heap */

struct node {
	char *name;
	struct murmur3 begun; /* with "name-" */
};

struct pymemcache {
	bool bytes;
	size_t n;
	struct node nodes[];
};

struct pymemcache *
pymemcache_create(const struct server_options *servers, size_t n, bool bytes)
{
	struct pymemcache *p = mem_zalloc(1, sizeof(*p) + n * sizeof(p->nodes[0]));
	struct buf name = BUF_INIT;

	p->bytes = bytes;
	p->n = n;
	for (size_t i = 0; i < n; i++) {
		buf_clear(&name);
		buf_put_str(&name, servers[i].host);
		if (servers[i].host[0] != '/')
			buf_printf(&name, ":%u", (unsigned)servers[i].port);
		p->nodes[i].name = mem_strdup(buf_str(&name));
		buf_putc(&name, '-');
		p->nodes[i].begun = murmur3_start(0);
		murmur3_add(&p->nodes[i].begun, buf_span(&name));
	}
	buf_fini(&name);
	return p;
}

void
pymemcache_destroy(struct pymemcache **p)
{
	if (*p == NULL)
		return;
	for (size_t i = 0; i < (*p)->n; i++)
		free((*p)->nodes[i].name);
	free(*p);
	*p = NULL;
}

/* --- the text ---------------------------------------------------------------------------------------------
 */

/* One byte per character; false when the key is no UTF-8. */
static bool
text_of_str(struct span key, char *out, size_t *n)
{
	uint32_t c;

	*n = 0;
	while (key.len > 0) {
		if (!utf8_take(&key, &c))
			return false;
		out[(*n)++] = (char)(unsigned char)c;
	}
	return true;
}

/* Python's repr() of bytes. */
static size_t
text_of_bytes(struct span key, char *out)
{
	static const char digits[] = "0123456789abcdef";
	bool single = key.len > 0 && memchr(key.p, '\'', key.len) != NULL;
	bool twofold = key.len > 0 && memchr(key.p, '"', key.len) != NULL;
	char quote = single && !twofold ? '"' : '\'';
	size_t n = 0;

	out[n++] = 'b';
	out[n++] = quote;
	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c == '\\' || c == (unsigned char)quote) {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c == '\t' || c == '\n' || c == '\r') {
			out[n++] = '\\';
			out[n++] = c == '\t' ? 't' : c == '\n' ? 'n' : 'r';
		} else if (c < 0x20 || c >= 0x7f) {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		} else {
			out[n++] = (char)c;
		}
	}
	out[n++] = quote;
	return n;
}

size_t
pymemcache_text(struct span key, bool bytes, char *out)
{
	size_t n;

	if (!bytes && text_of_str(key, out, &n))
		return n;
	return text_of_bytes(key, out);
}

static bool
is_ascii(struct span s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= (unsigned char)s.p[i];
	return all < 0x80;
}

/* --- choosing ---------------------------------------------------------------------------------------------
 */

static size_t
highest(const struct pymemcache *p, struct span text)
{
	uint32_t best = 0;
	size_t winner = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct murmur3 m = p->nodes[i].begun;
		uint32_t score;

		murmur3_add(&m, text);
		score = murmur3_end(&m);
		if (i == 0 || score > best ||
		    (score == best && strcmp(p->nodes[i].name, p->nodes[winner].name) > 0)) {
			best = score;
			winner = i;
		}
	}
	return winner;
}

size_t
pymemcache_route(const struct pymemcache *p, struct span key)
{
	char room[ROOM];
	char *text = room;
	size_t winner;

	if (!p->bytes && is_ascii(key))
		return highest(p, key);
	if (PYMEMCACHE_TEXT(key.len) > sizeof(room))
		text = mem_alloc(PYMEMCACHE_TEXT(key.len));
	winner = highest(p, span_make(text, pymemcache_text(key, p->bytes, text)));
	if (text != room)
		free(text);
	return winner;
}
