#include "squeal/binlog/rows.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/inflate.h"
#include "squeal/binlog/lenenc.h"

enum { PARTIAL_JSON = 1 }; /* of the value options of PARTIAL_UPDATE_ROWS */

/* Which columns an image has, bit 0 of byte 0 first. */
struct columns {
	struct span bits;
	size_t null_bytes; /* a bit for each that it has */
	bool all;
};

struct rows {
	size_t max_event;
	struct inflate inflate;
	struct buf unpacked;

	struct binlog_event ev;
	const struct table *table;
	struct columns in_before, in_after;
	struct span body; /* all rows */
	size_t pos;
	bool any;     /* a row came out */
	uint32_t *at; /* of the before image, then of the after image */
	size_t cap;
	struct buf partial; /* of the after image; see struct row_image */
};

struct rows *
rows_create(size_t max_event)
{
	struct rows *r = MEM_NEW(struct rows);

	r->max_event = max_event;
	return r;
}

void
rows_destroy(struct rows **r)
{
	if (*r == NULL)
		return;
	inflate_fini(&(*r)->inflate);
	buf_fini(&(*r)->unpacked);
	buf_fini(&(*r)->partial);
	free((*r)->at);
	free(*r);
	*r = NULL;
}

size_t
rows_bytes(const struct rows *r)
{
	return r->body.len;
}

static err_t
bad_rows(const struct rows *r, err_t err, const char *what, struct err_detail *why)
{
	return err_set(why, err, "%s event (type %u) of %.*s.%.*s before %.*s:%llu: %s",
		       binlog_type_name(r->ev.type), r->ev.type, SPAN_FMT(span_first(r->table->db, 64)),
		       SPAN_FMT(span_first(r->table->name, 64)), SPAN_FMT(span_first(r->ev.file, 255)),
		       (unsigned long long)r->ev.end, what);
}

/* There are no rows to be had. */
static err_t
fail(struct rows *r, err_t err)
{
	r->body = (struct span){"", 0};
	r->pos = 0;
	r->any = true;
	return err;
}

/* All rows must add up before the first comes out. */
static err_t
check_all(struct rows *r, struct err_detail *why)
{
	struct row row;
	bool more = true;
	err_t err = ERR_OK;

	while (err == ERR_OK && more)
		err = rows_next(r, &row, &more, why);
	if (err != ERR_OK)
		return fail(r, err);
	r->pos = 0;
	r->any = false;
	return ERR_OK;
}

static uint32_t
count_bits(struct span bits, uint32_t n)
{
	uint32_t count = 0;

	for (size_t i = 0; i < bits.len; i++) {
		unsigned char c = (unsigned char)bits.p[i];

		/* Bits behind the last column mean nothing. */
		if (i == n / 8)
			c &= (unsigned char)((1u << n % 8) - 1);
		count += (uint32_t)__builtin_popcount(c);
	}
	return count;
}

static struct columns
read_columns(struct reader *in, uint32_t n)
{
	struct columns c = {.bits = reader_span(in, (n + 7) / 8)};
	uint32_t has = count_bits(c.bits, n);

	c.null_bytes = (has + 7) / 8;
	c.all = has == n;
	return c;
}

/* What stands between the flags and the rows. */
static err_t
read_head(struct rows *r, struct err_detail *why)
{
	struct reader in = reader_of(r->ev.u.rows.body);

	if (r->ev.u.rows.has_extra) {
		size_t extra = reader_u16(&in); /* counts its own two bytes */

		reader_take(&in, extra >= 2 ? extra - 2 : SIZE_MAX);
	}
	if (lenenc_u64(&in) != r->table->ncolumns && !in.short_read)
		return bad_rows(r, ERR_BAD_EVENT, "it has another number of columns than its table", why);
	if (r->ev.u.rows.action != BINLOG_INSERT)
		r->in_before = read_columns(&in, r->table->ncolumns);
	if (r->ev.u.rows.action != BINLOG_DELETE)
		r->in_after = read_columns(&in, r->table->ncolumns);
	r->body = reader_rest(&in);
	return in.short_read ? bad_rows(r, ERR_BAD_EVENT, "it is cut short", why) : ERR_OK;
}

err_t
rows_open(struct rows *r, const struct binlog_event *ev, const struct table *t, struct err_detail *why)
{
	struct err_detail inner = {0};
	err_t err;

	r->ev = *ev;
	r->table = t;
	r->pos = 0;
	r->any = false;
	err = read_head(r, why);
	if (err != ERR_OK)
		return fail(r, err);
	if (!t->has_layout) {
		err =
		    bad_rows(r, ERR_UNKNOWN_EVENT,
			     "a pre-release of MySQL 5.1 wrote it without saying how long columns are", why);
		return fail(r, err);
	}
	if (ev->u.rows.compressed) {
		err = inflate_unpack(&r->inflate, r->body, r->max_event, &r->unpacked, &inner);
		if (err != ERR_OK)
			return fail(r, bad_rows(r, err, inner.text, why));
		r->body = buf_span(&r->unpacked);
	}
	if (r->body.len >= ROW_NULL)
		return fail(r, bad_rows(r, ERR_TOO_LONG, "it is longer than any event can be", why));
	if (r->cap < 2 * (size_t)t->ncolumns) {
		r->cap = 2 * (size_t)t->ncolumns;
		r->at = mem_realloc(r->at, r->cap * sizeof(*r->at));
	}
	return t->has_old_times ? check_all(r, why) : ERR_OK;
}

static inline bool
low_bit(const unsigned char *bits, uint32_t i)
{
	return bits[i / 8] & 1u << i % 8;
}

/* The value's bytes with the length before them; SIZE_MAX when not even that is there. */
static inline size_t
size_of(const struct table_column *c, const unsigned char *p, size_t left)
{
	size_t size;

	if (c->prefix == 0)
		return c->size;
	if (left < c->prefix)
		return SIZE_MAX;
	size = p[0];
	for (unsigned k = 1; k < c->prefix; k++)
		size |= (size_t)p[k] << (8 * k);
	return size + c->prefix;
}

static bool
is_zero(const unsigned char *p, size_t n, uint32_t bits)
{
	/* Bits behind the last column mean nothing. */
	for (size_t i = 0; i < n; i++) {
		if (p[i] & (i == bits / 8 ? (1u << bits % 8) - 1 : 0xffu))
			return false;
	}
	return true;
}

/* Finds where the columns of an image begin and leaves r->pos behind it. */
static bool
read_image(struct rows *r, const struct columns *present, uint32_t *at, struct row_image *image)
{
	const struct table_column *columns = r->table->columns;
	const unsigned char *bits = (const unsigned char *)present->bits.p;
	const unsigned char *base = (const unsigned char *)r->body.p;
	const unsigned char *p = base + r->pos, *stop = base + r->body.len, *nulls = p;
	uint32_t n = r->table->ncolumns, nth = 0;
	bool plain;

	image->exists = true;
	image->table = r->table;
	image->base = r->body.p;
	image->at = at;
	if ((size_t)(stop - p) < present->null_bytes)
		return false;
	p += present->null_bytes;
	/* Most images have every column, and most of these no NULL. */
	plain = present->all && is_zero(nulls, present->null_bytes, n);
	for (uint32_t i = 0; i < n; i++) {
		size_t size;

		if (!plain && !low_bit(bits, i)) {
			at[i] = ROW_ABSENT;
			continue;
		}
		if (!plain && low_bit(nulls, nth++)) {
			at[i] = ROW_NULL;
			continue;
		}
		at[i] = (uint32_t)(p - base);
		size = size_of(&columns[i], p, (size_t)(stop - p));
		if ((size_t)(stop - p) < size)
			return false;
		p += size;
	}
	r->pos = (size_t)(p - base);
	return true;
}

/* What PARTIAL_UPDATE_ROWS has before an after image. */
static bool
read_partial(struct rows *r, struct row_image *image)
{
	struct reader in = reader_of(span_from(r->body, r->pos));
	uint64_t options = lenenc_u64(&in);

	if (options & ~(uint64_t)PARTIAL_JSON)
		return false;
	if (options & PARTIAL_JSON) {
		buf_clear(&r->partial);
		buf_put_span(&r->partial, reader_span(&in, (r->table->njson + 7) / 8));
		image->partial = (const unsigned char *)r->partial.p;
	}
	r->pos = r->body.len - in.left;
	return !in.short_read;
}

/* A JSON that stays as it was comes as no differences: its value is that before the update. */
static void
take_unchanged(struct rows *r, struct row *row)
{
	uint32_t *before = r->at, *after = r->at + r->table->ncolumns;
	uint32_t nth = 0;

	for (uint32_t i = 0; i < r->table->ncolumns; i++) {
		const struct table_column *c = &r->table->columns[i];
		unsigned char *bits = (unsigned char *)r->partial.p + nth / 8;
		struct row_value v;

		if (c->type != COLUMN_JSON)
			continue;
		if (*bits & 1u << nth % 8 && before[i] != ROW_ABSENT && row_get(&row->after, i, &v) &&
		    !v.is_null && v.bytes.len == 0) {
			after[i] = before[i];
			*bits &= (unsigned char)~(1u << nth % 8);
		}
		nth++;
	}
}

static err_t
does_not_add_up(const struct rows *r, struct err_detail *why)
{
	if (r->table->has_old_times)
		return bad_rows(
		    r, ERR_BAD_EVENT,
		    "its rows do not add up; the table has times in an old format, whose fractions a "
		    "binlog does not tell: ALTER TABLE ... FORCE with mysql56_temporal_format=ON makes "
		    "new rows readable",
		    why);
	return bad_rows(r, ERR_BAD_EVENT,
			"its rows do not add up; compare with mariadb-binlog -v, or start behind it", why);
}

err_t
rows_next(struct rows *r, struct row *row, bool *more, struct err_detail *why)
{
	size_t from = r->pos;

	*more = false;
	if (from == r->body.len && r->any)
		return ERR_OK;
	row->action = r->ev.u.rows.action;
	row->before = row->after = (struct row_image){0};
	if (row->action != BINLOG_INSERT && !read_image(r, &r->in_before, r->at, &row->before))
		return does_not_add_up(r, why);
	if (r->ev.u.rows.partial && !read_partial(r, &row->after))
		return does_not_add_up(r, why);
	if (row->action != BINLOG_DELETE &&
	    !read_image(r, &r->in_after, r->at + r->table->ncolumns, &row->after))
		return does_not_add_up(r, why);
	if (row->after.partial != NULL)
		take_unchanged(r, row);
	/* Rows without columns take no room, so nobody can tell how many they are. */
	if (r->pos == from && (r->any || r->body.len > 0))
		return does_not_add_up(r, why);
	r->any = true;
	*more = true;
	return ERR_OK;
}

/* The bit of a JSON column among all JSON columns. */
static bool
is_partial(const struct row_image *image, uint32_t column)
{
	uint32_t nth = 0;

	if (image->partial == NULL || image->table->columns[column].type != COLUMN_JSON)
		return false;
	for (uint32_t i = 0; i < column; i++)
		nth += image->table->columns[i].type == COLUMN_JSON;
	return low_bit(image->partial, nth);
}

bool
row_get(const struct row_image *image, uint32_t column, struct row_value *out)
{
	const struct table_column *c;
	const unsigned char *p;
	size_t size;

	if (!image->exists || column >= image->table->ncolumns || image->at[column] == ROW_ABSENT)
		return false;
	c = &image->table->columns[column];
	out->column = c;
	out->is_partial = false;
	out->is_null = image->at[column] == ROW_NULL;
	if (out->is_null) {
		out->bytes = (struct span){"", 0};
		return true;
	}
	/* rows_next() has found that all of it is there. */
	p = (const unsigned char *)image->base + image->at[column];
	size = c->prefix == 0 ? c->size : p[0];
	for (unsigned k = 1; k < c->prefix; k++)
		size |= (size_t)p[k] << (8 * k);
	out->bytes = span_make(p + c->prefix, size);
	out->is_partial = image->partial != NULL && is_partial(image, column);
	return true;
}
