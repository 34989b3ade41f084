#include "squeal/binlog/table.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/lenenc.h"

/* OLD_POST_LEN: pre-releases of MySQL 5.1, whose TABLE_MAP ends with the types. */
enum { BUCKETS = 1024, PREFIX_MAX = 4, OLD_POST_LEN = 6 };

/* The fields behind the null bits: type, length, value. */
enum optional {
	OPTIONAL_SIGNEDNESS = 1,
	OPTIONAL_DEFAULT_CHARSET = 2,
	OPTIONAL_COLUMN_CHARSET = 3,
	OPTIONAL_COLUMN_NAME = 4,
	OPTIONAL_SET_VALUES = 5,
	OPTIONAL_ENUM_VALUES = 6,
	OPTIONAL_GEOMETRY_TYPE = 7,
	OPTIONAL_KEY = 8,
	OPTIONAL_KEY_WITH_PREFIX = 9,
	OPTIONAL_ENUM_SET_DEFAULT_CHARSET = 10,
	OPTIONAL_ENUM_SET_CHARSET = 11,
	OPTIONAL_VISIBILITY = 12,
	OPTIONAL_VECTOR_DIMENSIONS = 13,
};

/* A table and what its spans point into. */
struct entry {
	struct table table;
	struct entry *next_in_bucket;
	struct entry *older, *newer;
	char *body; /* the event's, as it came */
	size_t body_len;
	size_t bytes;
};

struct tables {
	struct entry *buckets[BUCKETS];
	struct entry *oldest, *newest;
	size_t n, bytes;
	uint64_t versions;
};

int
table_find(const struct table *t, struct span name)
{
	for (uint32_t i = 0; t->has_names && i < t->ncolumns; i++) {
		if (span_eq(t->columns[i].name, name))
			return (int)i;
	}
	return -1;
}

/* --- one table --------------------------------------------------------------------------------- */

static bool
is_numeric(const struct table_column *c)
{
	switch (c->type) {
	case COLUMN_TINY:
	case COLUMN_SHORT:
	case COLUMN_INT24:
	case COLUMN_LONG:
	case COLUMN_LONGLONG:
	case COLUMN_NEWDECIMAL:
	case COLUMN_FLOAT:
	case COLUMN_DOUBLE:
	case COLUMN_YEAR:
		return true;
	default:
		return false;
	}
}

static bool
has_charset(const struct table_column *c, bool mariadb)
{
	switch (c->type) {
	case COLUMN_STRING:
	case COLUMN_VAR_STRING:
	case COLUMN_VARCHAR:
	case COLUMN_BLOB:
	case COLUMN_TINY_BLOB:
	case COLUMN_MEDIUM_BLOB:
	case COLUMN_LONG_BLOB:
	case COLUMN_VARCHAR_COMPRESSED:
	case COLUMN_BLOB_COMPRESSED:
		return true;
	case COLUMN_VECTOR:
		return true;
	case COLUMN_GEOMETRY:
		return mariadb;
	default:
		return false;
	}
}

static bool
is_enum_or_set(const struct table_column *c)
{
	return c->type == COLUMN_ENUM || c->type == COLUMN_SET;
}

/* Bytes of a fraction of up to six digits. */
static uint16_t
fraction_size(uint16_t digits)
{
	return (uint16_t)((digits + 1) / 2);
}

/* Bytes of a NEWDECIMAL: four for nine digits, fewer for what is left on either side of the point. */
static uint16_t
decimal_size(unsigned precision, unsigned scale)
{
	static const uint8_t partial[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
	unsigned whole = precision - scale;

	return (uint16_t)(whole / 9 * 4 + partial[whole % 9] + scale / 9 * 4 + partial[scale % 9]);
}

/* Reads the metadata of a column and finds out how its values are laid out.  False: makes no sense. */
static bool
read_metadata(struct table_column *c, struct reader *r)
{
	uint8_t type = c->type, a, b;

	c->prefix = 0;
	if (type == COLUMN_TYPED_ARRAY) {
		/* MySQL's multi-valued index: the type and metadata of its elements; stored like a JSON. */
		type = reader_u8(r);
		if (type == COLUMN_VARCHAR)
			reader_u8(r); /* a third byte of length */
	}
	switch (type) {
	case COLUMN_TINY:
	case COLUMN_YEAR:
		c->size = 1;
		break;
	case COLUMN_SHORT:
		c->size = 2;
		break;
	case COLUMN_INT24:
	case COLUMN_DATE:
	case COLUMN_NEWDATE:
	case COLUMN_TIME:
		c->size = 3;
		break;
	case COLUMN_LONG:
	case COLUMN_TIMESTAMP:
		c->size = 4;
		break;
	case COLUMN_LONGLONG:
	case COLUMN_DATETIME:
		c->size = 8;
		break;
	case COLUMN_NULL:
		c->size = 0;
		break;
	case COLUMN_FLOAT:
	case COLUMN_DOUBLE:
		c->size = c->meta = reader_u8(r);
		if (c->size != 4 && c->size != 8)
			return false;
		break;
	case COLUMN_TIMESTAMP2:
	case COLUMN_DATETIME2:
	case COLUMN_TIME2:
		c->meta = reader_u8(r);
		if (c->meta > 6)
			return false;
		c->size = (uint16_t)((type == COLUMN_TIMESTAMP2	 ? 4
				      : type == COLUMN_DATETIME2 ? 5
								 : 3) +
				     fraction_size(c->meta));
		break;
	case COLUMN_NEWDECIMAL:
		a = reader_u8(r);
		b = reader_u8(r);
		if (a == 0 || a > 65 || b > a || b > 38)
			return false;
		c->meta = (uint16_t)(a << 8 | b);
		c->size = decimal_size(a, b);
		break;
	case COLUMN_BIT:
		a = reader_u8(r);
		b = reader_u8(r);
		if (a > 7 || b > 8)
			return false;
		c->meta = (uint16_t)(b * 8 + a);
		c->size = (uint16_t)((c->meta + 7) / 8);
		if (c->size > 8)
			return false;
		break;
	case COLUMN_VARCHAR:
	case COLUMN_VAR_STRING:
	case COLUMN_VARCHAR_COMPRESSED:
		c->meta = reader_u16(r);
		c->prefix = c->meta > 255 ? 2 : 1;
		break;
	case COLUMN_STRING:
	case COLUMN_ENUM:
	case COLUMN_SET:
		a = reader_u8(r);
		b = reader_u8(r);
		c->meta = b;
		/* Lengths beyond 255 hide in the type, whose two bits are always set. */
		if (type == COLUMN_STRING && (a & 0x30) != 0x30) {
			c->meta = (uint16_t)(b | ((a & 0x30) ^ 0x30) << 4);
			a |= 0x30;
		}
		if (a == COLUMN_ENUM || a == COLUMN_SET) {
			if (c->type != COLUMN_TYPED_ARRAY)
				c->type = a;
			c->size = c->meta;
			if (c->size < 1 || c->size > (a == COLUMN_ENUM ? 2 : 8))
				return false;
		} else {
			c->prefix = c->meta > 255 ? 2 : 1;
		}
		break;
	case COLUMN_BLOB:
	case COLUMN_TINY_BLOB:
	case COLUMN_MEDIUM_BLOB:
	case COLUMN_LONG_BLOB:
	case COLUMN_BLOB_COMPRESSED:
	case COLUMN_GEOMETRY:
	case COLUMN_JSON:
	case COLUMN_VECTOR:
		c->meta = reader_u8(r);
		if (c->meta < 1 || c->meta > PREFIX_MAX)
			return false;
		c->prefix = (uint8_t)c->meta;
		break;
	default:
		return false;
	}
	if (c->type == COLUMN_TYPED_ARRAY) {
		c->prefix = 4;
		c->size = 0;
	}
	return !r->short_read;
}

/* Bit `i` of a bitmap whose first column is its highest bit. */
static bool
high_bit(struct span bits, uint32_t i)
{
	return i / 8 < bits.len && (unsigned char)bits.p[i / 8] & 0x80 >> i % 8;
}

static void
set_signedness(struct table *t, struct span v)
{
	uint32_t nth = 0;

	t->has_signedness = true;
	for (uint32_t i = 0; i < t->ncolumns; i++) {
		if (is_numeric(&t->columns[i]))
			t->columns[i].is_unsigned = high_bit(v, nth++);
	}
}

/* Which columns a list of character sets is about. */
static bool
is_wanted(const struct table_column *c, bool enums, bool mariadb)
{
	return enums ? is_enum_or_set(c) : has_charset(c, mariadb);
}

/* One for all, and pairs of "the how manieth of them" and what that has instead. */
static bool
set_default_charset(struct table *t, struct span v, bool enums, bool mariadb)
{
	struct reader r = reader_of(v);
	uint64_t all = lenenc_u64(&r), at = UINT64_MAX, other = 0;
	uint32_t nth = 0;

	for (uint32_t i = 0; i < t->ncolumns; i++) {
		if (!is_wanted(&t->columns[i], enums, mariadb))
			continue;
		if (at == UINT64_MAX && r.left > 0) {
			at = lenenc_u64(&r);
			other = lenenc_u64(&r);
		}
		t->columns[i].collation = (uint32_t)(at == nth ? other : all);
		if (at == nth)
			at = UINT64_MAX;
		nth++;
	}
	return !r.short_read;
}

static bool
set_charsets(struct table *t, struct span v, bool enums, bool mariadb)
{
	struct reader r = reader_of(v);

	for (uint32_t i = 0; i < t->ncolumns; i++) {
		if (is_wanted(&t->columns[i], enums, mariadb))
			t->columns[i].collation = (uint32_t)lenenc_u64(&r);
	}
	return !r.short_read;
}

static bool
set_names(struct table *t, struct span v)
{
	struct reader r = reader_of(v);

	for (uint32_t i = 0; i < t->ncolumns; i++)
		t->columns[i].name = lenenc_span(&r);
	t->has_names = true;
	return !r.short_read;
}

static bool
set_values(struct table *t, struct span v, uint8_t type)
{
	struct reader r = reader_of(v);

	for (uint32_t i = 0; i < t->ncolumns; i++) {
		struct table_column *c = &t->columns[i];
		uint64_t n;

		if (c->type != type)
			continue;
		n = lenenc_u64(&r);
		if (n > r.left)
			return false;
		c->nvalues = (uint32_t)n;
		c->values = span_make(r.p, r.left);
		for (uint64_t k = 0; k < n && !r.short_read; k++)
			lenenc_span(&r);
		c->values.len -= r.left;
	}
	return !r.short_read;
}

static bool
set_key(struct table *t, struct span v, bool with_prefix)
{
	struct reader r = reader_of(v);

	if (t->key != NULL)
		return false;
	t->key = mem_alloc(t->ncolumns * sizeof(*t->key));
	while (r.left > 0) {
		uint64_t column = lenenc_u64(&r);
		uint64_t prefix = with_prefix ? lenenc_u64(&r) : 0;

		if (r.short_read || column >= t->ncolumns || t->nkey == t->ncolumns)
			return false;
		t->key[t->nkey++] = (struct table_key){(uint32_t)column, (uint32_t)prefix};
	}
	return true;
}

static bool
set_optional(struct table *t, uint8_t field, struct span v, bool mariadb)
{
	switch (field) {
	case OPTIONAL_SIGNEDNESS:
		set_signedness(t, v);
		return true;
	case OPTIONAL_DEFAULT_CHARSET:
	case OPTIONAL_ENUM_SET_DEFAULT_CHARSET:
		return set_default_charset(t, v, field == OPTIONAL_ENUM_SET_DEFAULT_CHARSET, mariadb);
	case OPTIONAL_COLUMN_CHARSET:
	case OPTIONAL_ENUM_SET_CHARSET:
		return set_charsets(t, v, field == OPTIONAL_ENUM_SET_CHARSET, mariadb);
	case OPTIONAL_COLUMN_NAME:
		return set_names(t, v);
	case OPTIONAL_SET_VALUES:
		return set_values(t, v, COLUMN_SET);
	case OPTIONAL_ENUM_VALUES:
		return set_values(t, v, COLUMN_ENUM);
	case OPTIONAL_KEY:
	case OPTIONAL_KEY_WITH_PREFIX:
		return set_key(t, v, field == OPTIONAL_KEY_WITH_PREFIX);
	case OPTIONAL_VISIBILITY:
		for (uint32_t i = 0; i < t->ncolumns; i++)
			t->columns[i].is_invisible = !high_bit(v, i);
		return true;
	default:
		/* Geometry types, vector dimensions, and what is yet to come: nothing here depends on it. */
		return true;
	}
}

static struct span
name_with_nul(struct reader *r)
{
	struct span name = reader_span(r, reader_u8(r));

	reader_take(r, 1);
	return name;
}

/* NULL when `body` makes sense, otherwise what does not. */
static const char *
parse(struct table *t, struct span body, const struct binlog_event *ev)
{
	bool mariadb = ev->u.table.mariadb;
	struct reader r = reader_of(body), meta;
	struct span types, null_bits;
	uint64_t n;

	t->db = name_with_nul(&r);
	t->name = name_with_nul(&r);
	n = lenenc_u64(&r);
	if (r.short_read || n == 0 || n > UINT16_MAX)
		return "it has an impossible number of columns";
	t->ncolumns = (uint32_t)n;
	types = reader_span(&r, t->ncolumns);
	t->has_layout = r.left > 0 || ev->post_len != OLD_POST_LEN;
	if (!t->has_layout && !r.short_read) {
		t->columns = mem_zalloc(t->ncolumns, sizeof(*t->columns));
		for (uint32_t i = 0; i < t->ncolumns; i++)
			t->columns[i].type = (uint8_t)types.p[i];
		return NULL;
	}
	meta = reader_of(lenenc_span(&r));
	null_bits = reader_span(&r, (t->ncolumns + 7) / 8);
	if (r.short_read)
		return "it is cut short";
	t->columns = mem_zalloc(t->ncolumns, sizeof(*t->columns));
	for (uint32_t i = 0; i < t->ncolumns; i++) {
		struct table_column *c = &t->columns[i];

		c->type = (uint8_t)types.p[i];
		c->is_nullable = (unsigned char)null_bits.p[i / 8] & 1u << i % 8;
		if (!read_metadata(c, &meta))
			return "it has a column of a type that is not known";
		t->njson += c->type == COLUMN_JSON;
		t->has_old_times = t->has_old_times || c->type == COLUMN_TIME || c->type == COLUMN_DATETIME ||
				   c->type == COLUMN_TIMESTAMP;
	}
	while (r.left > 0) {
		uint8_t field = reader_u8(&r);
		struct span value = lenenc_span(&r);

		if (r.short_read || !set_optional(t, field, value, mariadb))
			return "its metadata make no sense";
	}
	return NULL;
}

/* --- those that were seen ---------------------------------------------------------------------- */

struct tables *
tables_create(void)
{
	return MEM_NEW(struct tables);
}

void
tables_destroy(struct tables **ts)
{
	if (*ts == NULL)
		return;
	tables_clear(*ts);
	free(*ts);
	*ts = NULL;
}

static void
entry_destroy(struct entry *e)
{
	free(e->table.columns);
	free(e->table.key);
	free(e->body);
	free(e);
}

static struct entry **
bucket_of(struct tables *ts, uint64_t id)
{
	return &ts->buckets[id % BUCKETS];
}

static void
unlink_entry(struct tables *ts, struct entry *e)
{
	*(e->older != NULL ? &e->older->newer : &ts->oldest) = e->newer;
	*(e->newer != NULL ? &e->newer->older : &ts->newest) = e->older;
}

static void
link_newest(struct tables *ts, struct entry *e)
{
	e->newer = NULL;
	e->older = ts->newest;
	*(ts->newest != NULL ? &ts->newest->newer : &ts->oldest) = e;
	ts->newest = e;
}

static void
forget(struct tables *ts, struct entry *e)
{
	struct entry **at = bucket_of(ts, e->table.id);

	while (*at != e)
		at = &(*at)->next_in_bucket;
	*at = e->next_in_bucket;
	unlink_entry(ts, e);
	ts->n--;
	ts->bytes -= e->bytes;
	entry_destroy(e);
}

void
tables_clear(struct tables *ts)
{
	while (ts->oldest != NULL)
		forget(ts, ts->oldest);
}

static struct entry *
find(struct tables *ts, uint64_t id)
{
	struct entry *e = ts->newest;

	/* Most row events are of the table that was named last. */
	if (e != NULL && e->table.id == id)
		return e;
	for (e = *bucket_of(ts, id); e != NULL; e = e->next_in_bucket) {
		if (e->table.id != id)
			continue;
		unlink_entry(ts, e);
		link_newest(ts, e);
		return e;
	}
	return NULL;
}

const struct table *
tables_find(struct tables *ts, uint64_t id)
{
	struct entry *e = find(ts, id);

	return e == NULL ? NULL : &e->table;
}

static void
add(struct tables *ts, struct entry *e)
{
	struct entry **bucket = bucket_of(ts, e->table.id);

	e->next_in_bucket = *bucket;
	*bucket = e;
	link_newest(ts, e);
	ts->n++;
	ts->bytes += e->bytes;
	while (ts->n > 1 && (ts->n > TABLES_MAX || ts->bytes > TABLES_MAX_BYTES))
		forget(ts, ts->oldest);
}

err_t
tables_put(struct tables *ts, const struct binlog_event *ev, const struct table **out, struct err_detail *why)
{
	struct span body = ev->u.table.body;
	struct entry *e = find(ts, ev->u.table.id);
	const char *wrong;

	*out = NULL;
	if (e != NULL) {
		if (span_eq(span_make(e->body, e->body_len), body)) {
			*out = &e->table;
			return ERR_OK;
		}
		forget(ts, e);
	}
	e = MEM_NEW(struct entry);
	e->body = mem_alloc(body.len > 0 ? body.len : 1);
	e->body_len = body.len;
	if (body.len > 0)
		memcpy(e->body, body.p, body.len);
	e->table.id = ev->u.table.id;
	e->table.version = ++ts->versions;
	wrong = parse(&e->table, span_make(e->body, e->body_len), ev);
	if (wrong != NULL) {
		entry_destroy(e);
		return err_set(
		    why, ERR_BAD_EVENT,
		    "TABLE_MAP event (type %u) before %.*s:%llu: %s; compare with mariadb-binlog, or start "
		    "behind it",
		    ev->type, SPAN_FMT(span_first(ev->file, 255)), (unsigned long long)ev->end, wrong);
	}
	e->bytes = sizeof(*e) + e->body_len + e->table.ncolumns * sizeof(struct table_column);
	add(ts, e);
	*out = &e->table;
	return ERR_OK;
}
