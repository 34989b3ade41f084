#include "squeal/binlog/gtid.h"

#include <stdlib.h>

#include "lib/core/mem.h"

enum { UUID_TEXT = 36 };

void
gtid_format_uuid(const struct gtid *g, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	char text[UUID_TEXT];
	size_t at = 0;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[at++] = '-';
		text[at++] = hex[g->uuid[i] >> 4];
		text[at++] = hex[g->uuid[i] & 15];
	}
	buf_put(out, text, at);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
gtid_parse_uuid(struct span text, struct gtid *g)
{
	uint8_t uuid[16];
	size_t at = 0;

	if (text.len != UUID_TEXT)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && text.p[at++] != '-')
			return false;
		high = hex_value(text.p[at++]);
		low = hex_value(text.p[at++]);
		if (high < 0 || low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(g->uuid, uuid, sizeof(uuid));
	return true;
}

void
gtid_format(const struct gtid *g, struct buf *out)
{
	if (g->kind == GTID_MARIADB) {
		buf_put_u64(out, g->domain);
		buf_putc(out, '-');
		buf_put_u64(out, g->server);
		buf_putc(out, '-');
		buf_put_u64(out, g->seq);
	} else if (g->kind == GTID_MYSQL) {
		gtid_format_uuid(g, out);
		buf_putc(out, ':');
		if (g->tag_len > 0) {
			buf_put(out, g->tag, g->tag_len);
			buf_putc(out, ':');
		}
		buf_put_u64(out, g->seq);
	}
}

bool
gtid_set_tag(struct gtid *g, struct span tag)
{
	char text[GTID_TAG_MAX] = {0};

	if (tag.len > sizeof(text))
		return false;
	for (size_t i = 0; i < tag.len; i++) {
		char c = tag.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if (c != '_' && !(c >= 'a' && c <= 'z') && !(i > 0 && c >= '0' && c <= '9'))
			return false;
		text[i] = c;
	}
	memcpy(g->tag, text, sizeof(text));
	g->tag_len = (uint8_t)tag.len;
	return true;
}

err_t
gtid_parse(struct span text, struct gtid *out, struct err_detail *why)
{
	struct span whole = span_first(text, GTID_TEXT_MAX);
	struct span rest = text;
	struct gtid g = {0};
	uint64_t domain, server;
	ptrdiff_t colon = span_find(text, SPAN_LIT(":"));

	if (colon >= 0) {
		struct span tag = {"", 0};

		g.kind = GTID_MYSQL;
		rest = span_from(text, (size_t)colon + 1);
		if (span_find(rest, SPAN_LIT(":")) > 0)
			tag = span_cut(&rest, ':');
		if (gtid_parse_uuid(span_first(text, (size_t)colon), &g) && gtid_set_tag(&g, tag) &&
		    span_u64(rest, &g.seq) && g.seq > 0) {
			*out = g;
			return ERR_OK;
		}
	} else {
		g.kind = GTID_MARIADB;
		if (span_u64(span_cut(&rest, '-'), &domain) && span_u64(span_cut(&rest, '-'), &server) &&
		    span_u64(rest, &g.seq) && domain <= UINT32_MAX && server <= UINT32_MAX) {
			g.domain = (uint32_t)domain;
			g.server = (uint32_t)server;
			*out = g;
			return ERR_OK;
		}
	}
	return err_set(why, ERR_USAGE,
		       "\"%.*s\" is not a GTID: write domain-server-sequence, as in 0-1-100, or "
		       "uuid:number for MySQL",
		       SPAN_FMT(whole));
}

bool
gtid_same(const struct gtid *a, const struct gtid *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == GTID_MARIADB)
		return a->domain == b->domain && a->server == b->server && a->seq == b->seq;
	if (a->kind == GTID_MYSQL)
		return a->seq == b->seq && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 &&
		       a->tag_len == b->tag_len && memcmp(a->tag, b->tag, a->tag_len) == 0;
	return true;
}

void
gtid_pos_fini(struct gtid_pos *p)
{
	free(p->ids);
	*p = (struct gtid_pos){0};
}

void
gtid_pos_clear(struct gtid_pos *p)
{
	p->n = 0;
	p->last = 0;
}

void
gtid_pos_copy(struct gtid_pos *to, const struct gtid_pos *from)
{
	if (to == from)
		return;
	if (to->cap < from->n) {
		to->ids = mem_realloc(to->ids, from->n * sizeof(*to->ids));
		to->cap = from->n;
	}
	if (from->n > 0)
		memcpy(to->ids, from->ids, from->n * sizeof(*to->ids));
	to->n = from->n;
	to->last = from->last;
}

/* Index of the domain, or of where it belongs. */
static size_t
place_of(const struct gtid_pos *p, uint32_t domain)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->ids[mid].domain < domain)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void
gtid_pos_advance(struct gtid_pos *p, const struct gtid *g)
{
	size_t at;

	if (g->kind != GTID_MARIADB)
		return;
	if (p->last < p->n && p->ids[p->last].domain == g->domain) {
		p->ids[p->last].server = g->server;
		p->ids[p->last].seq = g->seq;
		return;
	}
	at = place_of(p, g->domain);
	p->last = at;
	if (at < p->n && p->ids[at].domain == g->domain) {
		p->ids[at] = *g;
		return;
	}
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 4;
		p->ids = mem_realloc(p->ids, p->cap * sizeof(*p->ids));
	}
	memmove(p->ids + at + 1, p->ids + at, (p->n - at) * sizeof(*p->ids));
	p->ids[at] = *g;
	p->n++;
}

const struct gtid *
gtid_pos_find(const struct gtid_pos *p, uint32_t domain)
{
	size_t at = place_of(p, domain);

	return at < p->n && p->ids[at].domain == domain ? &p->ids[at] : NULL;
}

void
gtid_pos_format(const struct gtid_pos *p, struct buf *out)
{
	for (size_t i = 0; i < p->n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		gtid_format(&p->ids[i], out);
	}
}

err_t
gtid_pos_parse(struct span text, struct gtid_pos *out, struct err_detail *why)
{
	struct gtid_pos p = {0};
	struct span rest = span_trim(text);
	err_t err = ERR_OK;

	while (rest.len > 0) {
		bool more = rest.p[rest.len - 1] == ',';
		struct gtid g;

		err = gtid_parse(span_trim(span_cut(&rest, ',')), &g, why);
		if (err != ERR_OK)
			goto done;
		if (g.kind != GTID_MARIADB || gtid_pos_find(&p, g.domain) != NULL ||
		    (more && rest.len == 0)) {
			err = err_set(
			    why, ERR_USAGE,
			    "\"%.*s\" is not a MariaDB position: write one id per domain, separated by "
			    "commas, as in 0-1-100,1-2-7",
			    SPAN_FMT(span_first(text, 200)));
			goto done;
		}
		gtid_pos_advance(&p, &g);
	}
	gtid_pos_copy(out, &p);
done:
	gtid_pos_fini(&p);
	return err;
}
