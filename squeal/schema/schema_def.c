#include "squeal/schema/schema_def.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct schema_column {
	size_t name, name_len; /* in text */
	size_t type, type_len;
	uint64_t octets;
	size_t collation, collation_len;
};

struct schema_def {
	struct buf text;
	struct schema_column *columns;
	size_t n, cap;
	uint32_t hidden;
};

struct schema_def *
schema_def_create(void)
{
	struct schema_def *d = MEM_NEW(struct schema_def);

	buf_putc(&d->text, '\0'); /* so that there is a place for empty texts */
	return d;
}

void
schema_def_destroy(struct schema_def **d)
{
	if (*d == NULL)
		return;
	buf_fini(&(*d)->text);
	free((*d)->columns);
	free(*d);
	*d = NULL;
}

static size_t
keep(struct schema_def *d, struct span s)
{
	size_t at = d->text.len;

	buf_put_span(&d->text, s);
	return at;
}

void
schema_def_add(struct schema_def *d, struct span name, struct span type, uint64_t octets,
	       struct span collation)
{
	if (d->n == d->cap) {
		d->cap = d->cap > 0 ? d->cap * 2 : 16;
		d->columns = mem_realloc(d->columns, d->cap * sizeof(*d->columns));
	}
	d->columns[d->n++] = (struct schema_column){
	    .name = keep(d, name),
	    .name_len = name.len,
	    .type = keep(d, type),
	    .type_len = type.len,
	    .octets = octets,
	    .collation = keep(d, collation),
	    .collation_len = collation.len,
	};
}

void
schema_def_hide(struct schema_def *d, uint32_t hidden)
{
	d->hidden = hidden < SCHEMA_HIDDEN_MAX ? hidden : SCHEMA_HIDDEN_MAX;
}

size_t
schema_def_columns(const struct schema_def *d)
{
	return d->n;
}

static struct span
name_of(const struct schema_def *d, const struct schema_column *c)
{
	return span_make(d->text.p + c->name, c->name_len);
}

static struct span
type_of(const struct schema_def *d, const struct schema_column *c)
{
	return span_make(d->text.p + c->type, c->type_len);
}

static struct span
collation_of(const struct schema_def *d, const struct schema_column *c)
{
	return span_make(d->text.p + c->collation, c->collation_len);
}

/* --- COLUMN_TYPE ---------------------------------------------------------------------------------------- */

/* What information_schema calls a type, and what a TABLE_MAP does. */
enum meta_is {
	META_ANY,
	META_NONE,
	META_OCTETS,
	META_DECIMAL,
	META_DIGITS,
	META_BITS,
	META_ENUM,
	META_SET,
	META_VALUE
};

/* clang-format off */
/*	  name          in TABLE_MAP             its metadata    value */
#define SCHEMA_TYPES(X)                                                     \
	X("tinyint",    COLUMN_TINY,             META_NONE,      0)         \
	X("smallint",   COLUMN_SHORT,            META_NONE,      0)         \
	X("mediumint",  COLUMN_INT24,            META_NONE,      0)         \
	X("int",        COLUMN_LONG,             META_NONE,      0)         \
	X("bigint",     COLUMN_LONGLONG,         META_NONE,      0)         \
	X("float",      COLUMN_FLOAT,            META_NONE,      0)         \
	X("double",     COLUMN_DOUBLE,           META_NONE,      0)         \
	X("decimal",    COLUMN_NEWDECIMAL,       META_DECIMAL,   0)         \
	X("date",       COLUMN_DATE,             META_NONE,      0)         \
	X("date",       COLUMN_NEWDATE,          META_NONE,      0)         \
	X("time",       COLUMN_TIME2,            META_DIGITS,    0)         \
	X("time",       COLUMN_TIME,             META_NONE,      0)         \
	X("datetime",   COLUMN_DATETIME2,        META_DIGITS,    0)         \
	X("datetime",   COLUMN_DATETIME,         META_NONE,      0)         \
	X("timestamp",  COLUMN_TIMESTAMP2,       META_DIGITS,    0)         \
	X("timestamp",  COLUMN_TIMESTAMP,        META_NONE,      0)         \
	X("year",       COLUMN_YEAR,             META_NONE,      0)         \
	X("char",       COLUMN_STRING,           META_OCTETS,    0)         \
	X("binary",     COLUMN_STRING,           META_OCTETS,    0)         \
	X("varchar",    COLUMN_VARCHAR,          META_OCTETS,    0)         \
	X("varchar",    COLUMN_VAR_STRING,       META_OCTETS,    0)         \
	X("varchar",    COLUMN_VARCHAR_COMPRESSED, META_ANY,     0)         \
	X("varbinary",  COLUMN_VARCHAR,          META_OCTETS,    0)         \
	X("varbinary",  COLUMN_VAR_STRING,       META_OCTETS,    0)         \
	X("varbinary",  COLUMN_VARCHAR_COMPRESSED, META_ANY,     0)         \
	X("tinytext",   COLUMN_BLOB,             META_VALUE,     1)         \
	X("text",       COLUMN_BLOB,             META_VALUE,     2)         \
	X("mediumtext", COLUMN_BLOB,             META_VALUE,     3)         \
	X("longtext",   COLUMN_BLOB,             META_VALUE,     4)         \
	X("tinyblob",   COLUMN_BLOB,             META_VALUE,     1)         \
	X("blob",       COLUMN_BLOB,             META_VALUE,     2)         \
	X("mediumblob", COLUMN_BLOB,             META_VALUE,     3)         \
	X("longblob",   COLUMN_BLOB,             META_VALUE,     4)         \
	X("tinytext",   COLUMN_BLOB_COMPRESSED,  META_VALUE,     1)         \
	X("text",       COLUMN_BLOB_COMPRESSED,  META_VALUE,     2)         \
	X("mediumtext", COLUMN_BLOB_COMPRESSED,  META_VALUE,     3)         \
	X("longtext",   COLUMN_BLOB_COMPRESSED,  META_VALUE,     4)         \
	X("tinyblob",   COLUMN_BLOB_COMPRESSED,  META_VALUE,     1)         \
	X("blob",       COLUMN_BLOB_COMPRESSED,  META_VALUE,     2)         \
	X("mediumblob", COLUMN_BLOB_COMPRESSED,  META_VALUE,     3)         \
	X("longblob",   COLUMN_BLOB_COMPRESSED,  META_VALUE,     4)         \
	X("json",       COLUMN_JSON,             META_ANY,       0)         \
	X("enum",       COLUMN_ENUM,             META_ENUM,      0)         \
	X("set",        COLUMN_SET,              META_SET,       0)         \
	X("bit",        COLUMN_BIT,              META_BITS,      0)         \
	X("uuid",       COLUMN_STRING,           META_VALUE,     16)        \
	X("inet6",      COLUMN_STRING,           META_VALUE,     16)        \
	X("inet4",      COLUMN_STRING,           META_VALUE,     4)         \
	X("geometry",   COLUMN_GEOMETRY,         META_ANY,       0)         \
	X("point",      COLUMN_GEOMETRY,         META_ANY,       0)         \
	X("linestring", COLUMN_GEOMETRY,         META_ANY,       0)         \
	X("polygon",    COLUMN_GEOMETRY,         META_ANY,       0)         \
	X("multipoint", COLUMN_GEOMETRY,         META_ANY,       0)         \
	X("multilinestring", COLUMN_GEOMETRY,    META_ANY,       0)         \
	X("multipolygon", COLUMN_GEOMETRY,       META_ANY,       0)         \
	X("geometrycollection", COLUMN_GEOMETRY, META_ANY,       0)         \
	X("geomcollection", COLUMN_GEOMETRY,     META_ANY,       0)
/* clang-format on */

static const struct {
	const char *name;
	uint8_t type;
	enum meta_is meta;
	uint16_t value;
} schema_types[] = {
#define SCHEMA_TYPE_ROW(name, type, meta, value) {name, type, meta, value},
    SCHEMA_TYPES(SCHEMA_TYPE_ROW)
#undef SCHEMA_TYPE_ROW
};

/* "decimal" of "decimal(10,2) unsigned". */
static struct span
type_word(struct span type)
{
	size_t n = 0;

	while (n < type.len && type.p[n] != '(' && type.p[n] != ' ')
		n++;
	return span_first(type, n);
}

/* Number `nth` of those in brackets; `none` where there are fewer. */
static uint64_t
type_number(struct span type, unsigned nth, uint64_t none)
{
	size_t at = type_word(type).len;
	uint64_t v = 0;

	if (at == type.len || type.p[at] != '(')
		return none;
	for (at++; at < type.len; at++) {
		if (type.p[at] >= '0' && type.p[at] <= '9')
			v = v * 10 + (uint64_t)(type.p[at] - '0');
		else if (nth-- == 0)
			return v;
		else if (type.p[at] != ',')
			return none;
		else
			v = 0;
	}
	return none;
}

static bool
is_unsigned(struct span type)
{
	/* Not in the texts of an ENUM, which ends in a bracket. */
	return type.len > 0 && type.p[type.len - 1] != ')' && !span_starts(type, SPAN_LIT("enum")) &&
	       !span_starts(type, SPAN_LIT("set")) && span_find(type, SPAN_LIT(" unsigned")) >= 0;
}

/*
 * Takes the next text of "enum('a','b''c')"; *at is 0 at first.  information_schema doubles quotes, and
 * writes a backslash, a NUL, a line end and the like with a backslash.  False at the end.
 */
static bool
take_value(struct span type, size_t *at, struct buf *out)
{
	size_t i = *at > 0 ? *at : type_word(type).len;

	buf_clear(out);
	if (i + 1 >= type.len || (type.p[i] != '(' && type.p[i] != ',') || type.p[i + 1] != '\'')
		return false;
	for (i += 2; i < type.len; i++) {
		char c = type.p[i];

		if (c == '\'') {
			if (i + 1 == type.len || type.p[i + 1] != '\'')
				break;
			i++;
		} else if (c == '\\' && i + 1 < type.len) {
			c = type.p[++i];
			c = c == '0' ? '\0' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'Z' ? '\032' : c;
		}
		buf_putc(out, c);
	}
	*at = i + 1;
	return true;
}

static uint32_t
count_values(struct span type)
{
	struct buf text = BUF_INIT;
	size_t at = 0;
	uint32_t n = 0;

	while (take_value(type, &at, &text))
		n++;
	buf_fini(&text);
	return n;
}

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

/* --- agreement ------------------------------------------------------------------------------------------ */

static bool
meta_agrees(const struct schema_def *d, const struct schema_column *c, const struct table_column *got,
	    enum meta_is meta, uint16_t value)
{
	struct span type = type_of(d, c);
	uint32_t n;

	switch (meta) {
	case META_OCTETS:
		return got->meta == c->octets;
	case META_DECIMAL:
		return got->meta == (type_number(type, 0, 10) << 8 | type_number(type, 1, 0));
	case META_DIGITS:
		return got->meta == type_number(type, 0, 0);
	case META_BITS:
		return got->meta == type_number(type, 0, 1);
	case META_ENUM:
		n = count_values(type);
		return n > 0 && got->size == (n < 256 ? 1 : 2);
	case META_SET:
		n = count_values(type);
		return n > 0 && got->size == (n > 32 ? 8 : (n + 7) / 8);
	case META_VALUE:
		return got->meta == value;
	default:
		return true;
	}
}

/* A type that is not in the table above cannot be compared, and is taken as it comes. */
static bool
column_agrees(const struct schema_def *d, const struct schema_column *c, const struct table_column *got)
{
	struct span word = type_word(type_of(d, c));
	bool is_known = false;

	if (got->type == COLUMN_TYPED_ARRAY)
		return true;
	for (size_t i = 0; i < sizeof(schema_types) / sizeof(schema_types[0]); i++) {
		if (!span_ieq(word, span_of(schema_types[i].name)))
			continue;
		is_known = true;
		if (schema_types[i].type == got->type &&
		    meta_agrees(d, c, got, schema_types[i].meta, schema_types[i].value))
			return true;
	}
	return !is_known;
}

static bool
may_be_hidden(const struct table_column *c)
{
	return c->type == COLUMN_LONGLONG || (c->type == COLUMN_TIMESTAMP2 && c->meta == 6);
}

err_t
schema_def_agrees(const struct schema_def *d, const struct table *t, struct err_detail *why)
{
	if (t->ncolumns < d->n || t->ncolumns > d->n + d->hidden)
		return err_set(why, ERR_KEYS_UNKNOWN, "it has %zu columns now and %u in the binlog", d->n,
			       t->ncolumns);
	for (size_t i = 0; i < d->n; i++) {
		if (!column_agrees(d, &d->columns[i], &t->columns[i]))
			return err_set(why, ERR_KEYS_UNKNOWN,
				       "its column %zu is %.*s %.*s now and of type %u in the binlog", i + 1,
				       SPAN_FMT(span_first(name_of(d, &d->columns[i]), 64)),
				       SPAN_FMT(span_first(type_of(d, &d->columns[i]), 64)),
				       t->columns[i].type);
		/* Servers call a YEAR unsigned in one place and not in the other. */
		if (t->has_signedness && t->columns[i].type != COLUMN_YEAR &&
		    is_unsigned(type_of(d, &d->columns[i])) != t->columns[i].is_unsigned)
			return err_set(why, ERR_KEYS_UNKNOWN,
				       "its column %zu is %.*s %.*s now and %s in the binlog", i + 1,
				       SPAN_FMT(span_first(name_of(d, &d->columns[i]), 64)),
				       SPAN_FMT(span_first(type_of(d, &d->columns[i]), 64)),
				       t->columns[i].is_unsigned ? "unsigned" : "signed");
	}
	for (size_t i = d->n; i < t->ncolumns; i++) {
		if (!may_be_hidden(&t->columns[i]))
			return err_set(why, ERR_KEYS_UNKNOWN, "it has %zu columns now and %u in the binlog",
				       d->n, t->ncolumns);
	}
	return ERR_OK;
}

/* --- use ------------------------------------------------------------------------------------------------ */

struct named {
	struct table table; /* first */
	struct buf text;
	struct table_column columns[];
};

static void
put_lenenc(struct buf *out, uint64_t n)
{
	unsigned char b[9];
	size_t len = n < 251 ? 1 : n < 0x10000 ? 3 : n < 0x1000000 ? 4 : 9;

	b[0] = (unsigned char)(len == 1 ? n : len == 3 ? 0xfc : len == 4 ? 0xfd : 0xfe);
	for (size_t i = 1; i < len; i++)
		b[i] = (unsigned char)(n >> (8 * (i - 1)));
	buf_put(out, b, len);
}

/* Appends the texts as a TABLE_MAP has them; how many, or 0 when their bytes are not known. */
static uint32_t
put_values(const struct schema_def *d, const struct schema_column *c, struct buf *out)
{
	bool is_utf8 = span_starts(collation_of(d, c), SPAN_LIT("utf8"));
	struct buf text = BUF_INIT;
	size_t at = 0, begin = out->len;
	uint32_t n = 0;

	while (take_value(type_of(d, c), &at, &text)) {
		if (!is_utf8 && !is_ascii(buf_span(&text))) {
			n = 0;
			out->len = begin;
			break;
		}
		put_lenenc(out, text.len);
		buf_put_span(out, buf_span(&text));
		n++;
	}
	buf_fini(&text);
	return n;
}

static bool
is_binary(struct span type)
{
	struct span word = type_word(type);

	return span_ieq(word, SPAN_LIT("binary")) || span_ieq(word, SPAN_LIT("varbinary")) ||
	       span_find(word, SPAN_LIT("blob")) >= 0;
}

struct table *
schema_def_apply(const struct schema_def *d, const struct table *t)
{
	struct named *n = mem_zalloc(1, sizeof(*n) + t->ncolumns * sizeof(n->columns[0]));
	size_t *values = mem_zalloc(t->ncolumns + 1, sizeof(*values)), at = 1;

	n->table = *t;
	n->table.columns = n->columns;
	n->table.has_names = true;
	n->table.nkey = 0;
	n->table.key = NULL;
	memcpy(n->columns, t->columns, t->ncolumns * sizeof(n->columns[0]));
	buf_putc(&n->text, '\0'); /* as above */
	/* The text moves while it grows, so spans into it are made at the end. */
	for (size_t i = 0; i < d->n; i++) {
		struct table_column *c = &n->columns[i];

		buf_put_span(&n->text, name_of(d, &d->columns[i]));
		c->is_unsigned = is_unsigned(type_of(d, &d->columns[i]));
		if (is_binary(type_of(d, &d->columns[i])))
			c->collation = COLUMN_CHARSET_BINARY;
		values[i] = n->text.len;
		if (c->type == COLUMN_ENUM || c->type == COLUMN_SET)
			c->nvalues = put_values(d, &d->columns[i], &n->text);
	}
	for (size_t i = 0; i < d->n; i++) {
		size_t end = i + 1 < d->n ? values[i + 1] - d->columns[i + 1].name_len : n->text.len;

		n->columns[i].name = span_make(n->text.p + at, d->columns[i].name_len);
		n->columns[i].values = span_make(n->text.p + values[i], end - values[i]);
		at = end;
	}
	for (size_t i = d->n; i < t->ncolumns; i++)
		n->columns[i].name = (struct span){"", 0};
	n->table.has_signedness = true;
	free(values);
	return &n->table;
}

void
schema_table_destroy(struct table **t)
{
	struct named *n = (struct named *)*t;

	if (n == NULL)
		return;
	buf_fini(&n->text);
	free(n);
	*t = NULL;
}

/* --- as text -------------------------------------------------------------------------------------------- */

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == ':' || c == ',' || c == '.' || c == '(' || c == ')';
}

void
schema_word_put(struct buf *out, struct span word)
{
	if (out->len > 0)
		buf_putc(out, ' ');
	if (word.len == 0)
		buf_putc(out, '=');
	for (size_t i = 0; i < word.len; i++) {
		if (is_plain(word.p[i]))
			buf_putc(out, word.p[i]);
		else
			buf_printf(out, "%%%02x", (unsigned char)word.p[i]);
	}
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
schema_word_take(struct span *text, struct buf *word)
{
	size_t i = 0;

	buf_clear(word);
	if (text->len > 0 && text->p[0] == ' ')
		*text = span_from(*text, 1);
	if (text->len == 0)
		return false;
	if (text->p[0] == '=')
		i = 1;
	for (; i < text->len && text->p[i] != ' '; i++) {
		if (is_plain(text->p[i])) {
			buf_putc(word, text->p[i]);
		} else if (text->p[i] == '%' && i + 2 < text->len && hex_digit(text->p[i + 1]) >= 0 &&
			   hex_digit(text->p[i + 2]) >= 0) {
			buf_putc(word, (char)(hex_digit(text->p[i + 1]) << 4 | hex_digit(text->p[i + 2])));
			i += 2;
		} else {
			return false;
		}
	}
	*text = span_from(*text, i);
	return true;
}

static void
put_number(struct buf *out, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	schema_word_put(out, span_of(text));
}

void
schema_def_write(const struct schema_def *d, struct buf *out)
{
	put_number(out, d->hidden);
	for (size_t i = 0; i < d->n; i++) {
		schema_word_put(out, name_of(d, &d->columns[i]));
		schema_word_put(out, type_of(d, &d->columns[i]));
		put_number(out, d->columns[i].octets);
		schema_word_put(out, collation_of(d, &d->columns[i]));
	}
}

err_t
schema_def_read(struct schema_def **out, struct span text, struct err_detail *why)
{
	struct schema_def *d = schema_def_create();
	struct buf name = BUF_INIT, type = BUF_INIT, number = BUF_INIT, collation = BUF_INIT;
	err_t err = ERR_CORRUPT;
	uint64_t n;

	*out = NULL;
	if (!schema_word_take(&text, &number) || !span_u64(buf_span(&number), &n))
		goto done;
	schema_def_hide(d, (uint32_t)(n < SCHEMA_HIDDEN_MAX ? n : SCHEMA_HIDDEN_MAX));
	while (text.len > 0) {
		if (!schema_word_take(&text, &name) || !schema_word_take(&text, &type) ||
		    !schema_word_take(&text, &number) || !span_u64(buf_span(&number), &n) ||
		    !schema_word_take(&text, &collation))
			goto done;
		schema_def_add(d, buf_span(&name), buf_span(&type), n, buf_span(&collation));
	}
	*out = d;
	d = NULL;
	err = ERR_OK;
done:
	if (err != ERR_OK)
		err_set(why, err, "a table's definition is damaged");
	buf_fini(&name);
	buf_fini(&type);
	buf_fini(&number);
	buf_fini(&collation);
	schema_def_destroy(&d);
	return err;
}
