#include "lib/route/pymemcache.h"

#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/route/murmur.h"
#include "lib/route/utf8.h"

enum {
	ROOM = 1024,	   /* longer texts are made on the heap */
	BLOCKS = ROOM / 4, /* of a text that is hashed for many servers at once */
	AT_ONCE = 64,	   /* so many */
	TAILS = 4,
};

struct node {
	char *name;
	struct murmur3 begun; /* with "name-" */
};

/*
 * Servers whose "name-" has as many bytes behind its last whole block.  The key's blocks lie alike for all of
 * them, so each is scrambled once, and the rest of the work goes through many servers side by side.
 */
struct group {
	size_t n;
	uint32_t *h;	  /* of what was begun */
	uint32_t *tail;	  /* the bytes behind the last block */
	uint32_t *length; /* of "name-" */
	uint32_t *node;	  /* index in the list */
};

struct pymemcache {
	bool bytes;
	size_t n;
	struct group groups[TAILS];
	struct node nodes[];
};

static void
add_to_group(struct group *g, const struct murmur3 *m, size_t node, size_t room)
{
	if (g->n == 0) {
		g->h = mem_zalloc(room, sizeof(g->h[0]));
		g->tail = mem_zalloc(room, sizeof(g->tail[0]));
		g->length = mem_zalloc(room, sizeof(g->length[0]));
		g->node = mem_zalloc(room, sizeof(g->node[0]));
	}
	g->h[g->n] = m->h;
	g->tail[g->n] = m->tail;
	g->length[g->n] = m->length;
	g->node[g->n++] = (uint32_t)node;
}

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
		add_to_group(&p->groups[p->nodes[i].begun.ntail], &p->nodes[i].begun, i, n);
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
	for (size_t t = 0; t < TAILS; t++) {
		free((*p)->groups[t].h);
		free((*p)->groups[t].tail);
		free((*p)->groups[t].length);
		free((*p)->groups[t].node);
	}
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

/* The highest score so far. */
struct best {
	bool any;
	uint32_t score;
	size_t node;
};

/* Nodes come in any order; the first one of a list wins over others of its name, as Python's max() has it. */
static inline void
compare(const struct pymemcache *p, struct best *best, uint32_t score, size_t node)
{
	int order;

	if (best->any && score < best->score)
		return;
	if (best->any && score == best->score) {
		order = strcmp(p->nodes[node].name, p->nodes[best->node].name);
		if (order < 0 || (order == 0 && node > best->node))
			return;
	}
	*best = (struct best){true, score, node};
}

static void
score_one_by_one(const struct pymemcache *p, const struct group *g, struct span text, struct best *best)
{
	for (size_t i = 0; i < g->n; i++) {
		struct murmur3 m = p->nodes[g->node[i]].begun;

		murmur3_add(&m, text);
		compare(p, best, murmur3_end(&m), g->node[i]);
	}
}

/* The text begins with the `head` bytes that fill the block of the servers' tails. */
static void
score_side_by_side(const struct pymemcache *p, const struct group *g, struct span text, size_t head,
		   struct best *best)
{
	struct span rest = span_from(text, head);
	uint32_t first = murmur3_bytes(text.p, head) << (8 * (4 - head) % 32);
	uint32_t blocks[BLOCKS], h[AT_ONCE];
	uint32_t last = 0;
	size_t n = 0;

	for (; rest.len >= 4; rest = span_from(rest, 4))
		blocks[n++] = murmur3_scramble(murmur3_bytes(rest.p, 4));
	if (rest.len > 0)
		last = murmur3_scramble(murmur3_bytes(rest.p, rest.len));
	for (size_t from = 0; from < g->n; from += AT_ONCE) {
		size_t many = g->n - from < AT_ONCE ? g->n - from : AT_ONCE;

		for (size_t i = 0; i < many; i++)
			h[i] = murmur3_block(g->h[from + i], murmur3_scramble(g->tail[from + i] | first));
		for (size_t b = 0; b < n; b++) {
			for (size_t i = 0; i < many; i++)
				h[i] = murmur3_block(h[i], blocks[b]);
		}
		for (size_t i = 0; i < many; i++)
			h[i] = murmur3_finish(h[i] ^ last, g->length[from + i] + (uint32_t)text.len);
		for (size_t i = 0; i < many; i++)
			compare(p, best, h[i], g->node[from + i]);
	}
}

static size_t
highest(const struct pymemcache *p, struct span text)
{
	struct best best = {0};

	for (size_t tail = 0; tail < TAILS; tail++) {
		size_t head = TAILS - tail;

		if (p->groups[tail].n == 0)
			continue;
		if (text.len < head || text.len > ROOM)
			score_one_by_one(p, &p->groups[tail], text, &best);
		else
			score_side_by_side(p, &p->groups[tail], text, head, &best);
	}
	return best.node;
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
