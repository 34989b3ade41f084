#include "lib/broker/commit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

uint64_t
commit_name(struct span server)
{
	return hash_span(server, 0) & ((UINT64_C(1) << 48) - 1);
}

static int
by_offset(const void *a, const void *b)
{
	const struct commit_server *x = a, *y = b;

	/* Those that have most to lose come first. */
	if (x->other_log != y->other_log)
		return x->other_log ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static bool
is_twice(const struct commit *c, size_t at)
{
	for (size_t i = 0; i < c->n; i++) {
		if (i != at && c->servers[i].name == c->servers[at].name)
			return true;
	}
	return false;
}

void
commit_encode(struct commit *c, struct buf *out)
{
	size_t begin = out->len;

	qsort(c->servers, c->n, sizeof(c->servers[0]), by_offset);
	if (c->n > 0 && !c->servers[c->n - 1].other_log)
		c->live = c->servers[c->n - 1].offset;
	buf_printf(out, "1 %s ", c->log_id);
	if (c->has_witness)
		buf_printf(out, "%" PRIu64 ":%016" PRIx64, c->witness_offset, c->witness);
	else
		buf_putc(out, '-');
	buf_printf(out, " %" PRIu64, c->live);
	for (size_t i = 0; i < c->n; i++) {
		size_t before = out->len;

		if (is_twice(c, i)) {
			c->others = true;
			continue;
		}
		buf_putc(out, ' ');
		for (unsigned k = 0; k < COMMIT_NAME; k++)
			buf_putc(out, letters[c->servers[i].name >> (6 * k) & 63]);
		if (c->servers[i].other_log)
			buf_put_str(out, ":!");
		else if (c->servers[i].offset < c->live)
			buf_printf(out, ":%" PRIu64, c->live - c->servers[i].offset);
		if (out->len - begin > COMMIT_MAX) {
			out->len = before;
			c->others = true;
			break;
		}
	}
	if (c->others)
		buf_put_str(out, " +");
}

static bool
take_hex(struct span s, uint64_t *out)
{
	*out = 0;
	if (s.len != 16)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		const char *digit = memchr("0123456789abcdef", s.p[i], 16);
		static const char digits[] = "0123456789abcdef";

		if (digit == NULL)
			return false;
		*out = *out << 4 | (uint64_t)(strchr(digits, s.p[i]) - digits);
	}
	return true;
}

static bool
take_log_id(struct span s, struct commit *c)
{
	if (s.len != CURSOR_LOG_ID_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (memchr("0123456789abcdef", s.p[i], 16) == NULL)
			return false;
	}
	memcpy(c->log_id, s.p, s.len);
	c->log_id[s.len] = '\0';
	return true;
}

static bool
take_witness(struct span s, struct commit *c)
{
	struct span hash = s, offset;

	c->has_witness = false;
	if (span_is(s, "-"))
		return true;
	offset = span_cut(&hash, ':');
	c->has_witness = span_u64(offset, &c->witness_offset) && take_hex(hash, &c->witness);
	return c->has_witness;
}

static bool
take_server(struct span s, struct commit *c)
{
	struct commit_server *server;
	struct span behind = s, name = span_cut(&behind, ':');
	uint64_t n = 0;

	if (c->n == COMMIT_SERVERS || name.len != COMMIT_NAME)
		return false;
	server = &c->servers[c->n];
	server->name = 0;
	for (unsigned k = 0; k < COMMIT_NAME; k++) {
		const char *letter = memchr(letters, name.p[k], 64);

		if (letter == NULL)
			return false;
		server->name |= (uint64_t)(letter - letters) << (6 * k);
	}
	server->other_log = span_is(behind, "!") && s.len > COMMIT_NAME;
	if (s.len > COMMIT_NAME && !server->other_log && (!span_u64(behind, &n) || n > c->live))
		return false;
	server->offset = c->live - n;
	c->n++;
	return true;
}

bool
commit_decode(struct span text, struct commit *c)
{
	c->n = 0;
	c->others = false;
	c->log_id[0] = '\0';
	if (!span_is(span_cut(&text, ' '), "1") || !take_log_id(span_cut(&text, ' '), c) ||
	    !take_witness(span_cut(&text, ' '), c) || !span_u64(span_cut(&text, ' '), &c->live))
		return false;
	while (text.len > 0) {
		struct span word = span_cut(&text, ' ');

		if (c->others)
			return false;
		c->others = span_is(word, "+");
		if (!c->others && !take_server(word, c))
			return false;
	}
	return true;
}

const struct commit_server *
commit_find(const struct commit *c, struct span server)
{
	uint64_t name = commit_name(server);

	for (size_t i = 0; i < c->n; i++) {
		if (c->servers[i].name == name)
			return &c->servers[i];
	}
	return NULL;
}
