#include "squeal/binlog/gtid_set.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/core/reader.h"

enum { UUID_BYTES = 16, UUID_TEXT = 36 };

/* Limits that no real set comes near, and that bytes from outside must not pass. */
enum { MEMBERS_MAX = 1 << 20 };

/* --- members ----------------------------------------------------------------------------------------------
 */

static int
compare_names(const struct gtid *a, const struct gtid *b)
{
	int c = memcmp(a->uuid, b->uuid, UUID_BYTES);

	/* What is behind a tag is 0, so a shorter one comes first. */
	return c != 0 ? c : memcmp(a->tag, b->tag, sizeof(a->tag));
}

/* Index of the member, or of where it belongs. */
static size_t
place_of(const struct gtid_set *s, const struct gtid *name)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_names(&s->members[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct gtid_member *
find_member(const struct gtid_set *s, const struct gtid *name)
{
	size_t at = place_of(s, name);

	return at < s->n && compare_names(&s->members[at].name, name) == 0 ? &s->members[at] : NULL;
}

static struct gtid_member *
obtain_member(struct gtid_set *s, const struct gtid *name)
{
	size_t at;

	if (s->last < s->n && compare_names(&s->members[s->last].name, name) == 0)
		return &s->members[s->last];
	at = place_of(s, name);
	s->last = at;
	if (at < s->n && compare_names(&s->members[at].name, name) == 0)
		return &s->members[at];
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 4;
		s->members = mem_realloc(s->members, s->cap * sizeof(*s->members));
	}
	memmove(s->members + at + 1, s->members + at, (s->n - at) * sizeof(*s->members));
	s->members[at] = (struct gtid_member){.name = *name};
	s->members[at].name.kind = GTID_MYSQL;
	s->members[at].name.seq = 0;
	s->n++;
	return &s->members[at];
}

/* Index of the first range that ends at `number` or behind it. */
static size_t
range_of(const struct gtid_member *m, uint64_t number)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->ranges[mid].last < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
member_add(struct gtid_member *m, uint64_t first, uint64_t last)
{
	size_t from, to;

	/* In a stream the next number follows the last one. */
	if (m->n > 0 && first == m->ranges[m->n - 1].last + 1) {
		m->ranges[m->n - 1].last = last;
		return;
	}
	/* All ranges that touch first..last become one with it. */
	from = range_of(m, first > 1 ? first - 1 : first);
	for (to = from; to < m->n && m->ranges[to].first <= last + 1; to++) {
		if (m->ranges[to].first < first)
			first = m->ranges[to].first;
		if (m->ranges[to].last > last)
			last = m->ranges[to].last;
	}
	if (to == from) {
		if (m->n == m->cap) {
			m->cap = m->cap > 0 ? 2 * m->cap : 2;
			m->ranges = mem_realloc(m->ranges, m->cap * sizeof(*m->ranges));
		}
		memmove(m->ranges + from + 1, m->ranges + from, (m->n - from) * sizeof(*m->ranges));
		m->n++;
	} else {
		memmove(m->ranges + from + 1, m->ranges + to, (m->n - to) * sizeof(*m->ranges));
		m->n -= to - from - 1;
	}
	m->ranges[from] = (struct gtid_range){first, last};
}

/* --- life -------------------------------------------------------------------------------------------------
 */

void
gtid_set_fini(struct gtid_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->members[i].ranges);
	free(s->members);
	*s = (struct gtid_set){0};
}

void
gtid_set_clear(struct gtid_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->members[i].ranges);
	s->n = 0;
	s->last = 0;
}

void
gtid_set_copy(struct gtid_set *to, const struct gtid_set *from)
{
	if (to == from)
		return;
	gtid_set_clear(to);
	gtid_set_add_set(to, from);
	to->last = from->last;
}

/* --- adding and asking ------------------------------------------------------------------------------------
 */

void
gtid_set_add_range(struct gtid_set *s, const struct gtid *g, uint64_t first, uint64_t last)
{
	if (g->kind == GTID_MYSQL && first > 0 && first <= last && last <= GTID_SET_LAST)
		member_add(obtain_member(s, g), first, last);
}

void
gtid_set_add(struct gtid_set *s, const struct gtid *g)
{
	gtid_set_add_range(s, g, g->seq, g->seq);
}

void
gtid_set_add_set(struct gtid_set *s, const struct gtid_set *other)
{
	for (size_t i = 0; i < other->n; i++) {
		const struct gtid_member *m = &other->members[i];

		for (size_t k = 0; k < m->n; k++)
			gtid_set_add_range(s, &m->name, m->ranges[k].first, m->ranges[k].last);
	}
}

/* True when one range has all of first..last. */
static bool
member_has(const struct gtid_member *m, uint64_t first, uint64_t last)
{
	size_t at;

	if (m == NULL)
		return false;
	at = range_of(m, first);
	return at < m->n && m->ranges[at].first <= first && last <= m->ranges[at].last;
}

bool
gtid_set_has(const struct gtid_set *s, const struct gtid *g)
{
	return g->kind == GTID_MYSQL && member_has(find_member(s, g), g->seq, g->seq);
}

bool
gtid_set_covers(const struct gtid_set *s, const struct gtid_set *part)
{
	for (size_t i = 0; i < part->n; i++) {
		const struct gtid_member *p = &part->members[i];
		const struct gtid_member *m = find_member(s, &p->name);

		for (size_t k = 0; k < p->n; k++) {
			if (!member_has(m, p->ranges[k].first, p->ranges[k].last))
				return false;
		}
	}
	return true;
}

bool
gtid_set_same(const struct gtid_set *a, const struct gtid_set *b)
{
	return gtid_set_covers(a, b) && gtid_set_covers(b, a);
}

/* Adds to `out` what of `range` no range of `m` has. */
static void
range_minus(const struct gtid *name, struct gtid_range range, const struct gtid_member *m,
	    struct gtid_set *out)
{
	size_t at = m != NULL ? range_of(m, range.first) : 0;

	while (m != NULL && at < m->n && m->ranges[at].first <= range.last) {
		if (m->ranges[at].first > range.first)
			gtid_set_add_range(out, name, range.first, m->ranges[at].first - 1);
		if (m->ranges[at].last >= range.last)
			return;
		range.first = m->ranges[at].last + 1;
		at++;
	}
	gtid_set_add_range(out, name, range.first, range.last);
}

void
gtid_set_minus(const struct gtid_set *a, const struct gtid_set *b, struct gtid_set *out)
{
	gtid_set_clear(out);
	for (size_t i = 0; i < a->n; i++) {
		const struct gtid_member *m = &a->members[i];
		const struct gtid_member *other = find_member(b, &m->name);

		for (size_t k = 0; k < m->n; k++)
			range_minus(&m->name, m->ranges[k], other, out);
	}
}

uint64_t
gtid_set_count(const struct gtid_set *s)
{
	uint64_t count = 0;

	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->members[i].n; k++) {
			const struct gtid_range *r = &s->members[i].ranges[k];

			if (__builtin_add_overflow(count, r->last - r->first + 1, &count))
				return UINT64_MAX;
		}
	}
	return count;
}

/* --- text -------------------------------------------------------------------------------------------------
 */

void
gtid_set_format(const struct gtid_set *s, struct buf *out)
{
	const struct gtid *before = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct gtid_member *m = &s->members[i];

		/* The tags of a server follow its uuid, which is written once. */
		if (before == NULL || memcmp(before->uuid, m->name.uuid, UUID_BYTES) != 0) {
			if (before != NULL)
				buf_putc(out, ',');
			gtid_format_uuid(&m->name, out);
		}
		before = &m->name;
		if (m->name.tag_len > 0) {
			buf_putc(out, ':');
			buf_put(out, m->name.tag, m->name.tag_len);
		}
		for (size_t k = 0; k < m->n; k++) {
			buf_putc(out, ':');
			buf_put_u64(out, m->ranges[k].first);
			if (m->ranges[k].last > m->ranges[k].first) {
				buf_putc(out, '-');
				buf_put_u64(out, m->ranges[k].last);
			}
		}
	}
}

/* "5" or "1-5". */
static bool
parse_range(struct span text, struct gtid_range *r)
{
	struct span rest = text;
	bool has_end = span_find(text, SPAN_LIT("-")) >= 0;

	if (!span_u64(span_trim(span_cut(&rest, '-')), &r->first))
		return false;
	r->last = r->first;
	if (has_end && !span_u64(span_trim(rest), &r->last))
		return false;
	return r->first > 0 && r->first <= r->last && r->last <= GTID_SET_LAST;
}

/* "uuid:1-5:tag:7". */
static bool
parse_server(struct span text, struct gtid_set *s)
{
	struct gtid name = {.kind = GTID_MYSQL};
	bool has_range = false;

	if (!gtid_parse_uuid(span_trim(span_cut(&text, ':')), &name))
		return false;
	while (text.len > 0) {
		struct span part = span_trim(span_cut(&text, ':'));
		struct gtid_range r;

		if (part.len == 0)
			return false;
		if (part.p[0] >= '0' && part.p[0] <= '9') {
			if (!parse_range(part, &r))
				return false;
			gtid_set_add_range(s, &name, r.first, r.last);
			has_range = true;
		} else if (!gtid_set_tag(&name, part)) {
			return false;
		} else {
			has_range = false;
		}
	}
	return has_range;
}

err_t
gtid_set_parse(struct span text, struct gtid_set *out, struct err_detail *why)
{
	struct gtid_set s = {0};
	struct span rest = span_trim(text);
	err_t err = ERR_OK;

	while (rest.len > 0 && err == ERR_OK) {
		struct span part = span_trim(span_cut(&rest, ','));

		if (part.len > 0 && !parse_server(part, &s))
			err =
			    err_set(why, ERR_USAGE,
				    "\"%.*s\" is not part of a MySQL GTID set: write server uuid and ranges, "
				    "as in 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7",
				    SPAN_FMT(span_first(part, 120)));
	}
	if (err == ERR_OK)
		gtid_set_copy(out, &s);
	gtid_set_fini(&s);
	return err;
}

/* --- bytes ------------------------------------------------------------------------------------------------
 */

/* The form with tags has a 1 in the first and in the last byte of the count. */
#define TAGGED		(UINT64_C(1) << 56 | 1)
#define TAGGED_COUNT(n) ((n) >> 8 & UINT64_C(0xffffffffffff))

void
gtid_set_encode(const struct gtid_set *s, struct buf *out)
{
	bool tagged = false;

	for (size_t i = 0; i < s->n; i++)
		tagged = tagged || s->members[i].name.tag_len > 0;
	buf_put_le(out, tagged ? (uint64_t)s->n << 8 | TAGGED : s->n, 8);
	for (size_t i = 0; i < s->n; i++) {
		const struct gtid_member *m = &s->members[i];

		buf_put(out, m->name.uuid, UUID_BYTES);
		if (tagged) {
			/* The length as a variable-length integer, which below 64 is one byte, shifted. */
			buf_putc(out, (char)(m->name.tag_len << 1));
			buf_put(out, m->name.tag, m->name.tag_len);
		}
		buf_put_le(out, m->n, 8);
		for (size_t k = 0; k < m->n; k++) {
			buf_put_le(out, m->ranges[k].first, 8);
			buf_put_le(out, m->ranges[k].last + 1, 8);
		}
	}
}

static bool
decode_name(struct reader *r, bool tagged, struct gtid *name)
{
	const unsigned char *uuid = reader_take(r, UUID_BYTES);
	uint8_t len;

	if (uuid == NULL)
		return false;
	memcpy(name->uuid, uuid, UUID_BYTES);
	if (!tagged)
		return true;
	len = reader_u8(r);
	return !(len & 1) && gtid_set_tag(name, reader_span(r, len >> 1)) && !r->short_read;
}

static bool
decode_member(struct reader *r, bool tagged, struct gtid_set *s)
{
	struct gtid name = {.kind = GTID_MYSQL};
	uint64_t n;

	if (!decode_name(r, tagged, &name))
		return false;
	n = reader_u64(r);
	if (r->short_read || n > r->left / 16)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t first = reader_u64(r), end = reader_u64(r);

		if (first == 0 || end <= first || end - 1 > GTID_SET_LAST)
			return false;
		gtid_set_add_range(s, &name, first, end - 1);
	}
	return true;
}

err_t
gtid_set_decode(struct span bytes, struct gtid_set *out, struct err_detail *why)
{
	struct gtid_set s = {0};
	struct reader r = reader_of(bytes);
	uint64_t n = reader_u64(&r);
	bool tagged = n >> 56 == 1;
	bool good = !r.short_read && (!tagged || (n & 0xff) == 1);

	if (tagged)
		n = TAGGED_COUNT(n);
	good = good && n <= MEMBERS_MAX;
	for (uint64_t i = 0; good && i < n; i++)
		good = decode_member(&r, tagged, &s);
	good = good && r.left == 0;
	if (good)
		gtid_set_copy(out, &s);
	gtid_set_fini(&s);
	if (!good)
		return err_set(why, ERR_BAD_EVENT,
			       "%zu bytes that should be a GTID set are not one: compare with mysqlbinlog",
			       bytes.len);
	return ERR_OK;
}
