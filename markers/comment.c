#include "markers/comment.h"

#include "markers/anchor.h"
#include "markers/key.h"

/* A key of 250 bytes is at most three times as long before the inner layer is decoded. */
enum { ITEM_MAX = 3 * KEY_MAX };

struct reason_row {
	const char *label;
	const char *text;
	err_t err;
	bool lost;
};

static const struct reason_row reason_rows[] = {
#define REASON_ROW(name, e, l, lb, tx) [name] = {.label = lb, .text = tx, .err = e, .lost = l},
    COMMENT_REASONS(REASON_ROW)
#undef REASON_ROW
};

static const signed char hex_values[256] = {
    ['0'] = 1,	['1'] = 2,  ['2'] = 3,	['3'] = 4,  ['4'] = 5,	['5'] = 6,  ['6'] = 7,	['7'] = 8,
    ['8'] = 9,	['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* One statement on its way through the parser. */
struct parse {
	const struct comment_parser *parser;
	const struct comment_ops *ops;
	void *arg;
	struct comment_counts counts;
	struct span sql;
	bool searched;	 /* whether `executable` is known */
	bool executable; /* the statement holds the opener of an executed comment */
};

/* Where the comment stands: in the middle and in front nothing but a comment can be there. */
enum place { PLACE_SURE, PLACE_TRAILING };

/* The items of one list value, decoded one after the other. */
struct items {
	const char *p;
	const char *end;
	bool more;
	bool plain; /* nothing to decode: items are handed out as they stand */
	char text[ITEM_MAX + 1];
};

struct item {
	struct span raw;   /* as written */
	struct span bytes; /* decoded; valid until the next item */
	bool too_long;	   /* `bytes` is only the start of it */
	bool loose;	   /* a percent sign stood for itself */
};

static const struct reason_row *
reason_of(enum comment_reason reason)
{
	return &reason_rows[(unsigned)reason < COMMENT_NREASONS ? reason : COMMENT_MALFORMED];
}

const char *
comment_reason_label(enum comment_reason reason)
{
	return reason_of(reason)->label;
}

const char *
comment_reason_text(enum comment_reason reason)
{
	return reason_of(reason)->text;
}

err_t
comment_reason_err(enum comment_reason reason)
{
	return reason_of(reason)->err;
}

bool
comment_reason_lost(enum comment_reason reason)
{
	return reason_of(reason)->lost;
}

err_t
comment_parser_init(struct comment_parser *p, struct span tag, bool anywhere, struct err_detail *why)
{
	p->anywhere = anywhere;
	if (!pair_tag_init(&p->tag, tag))
		return err_set(
		    why, ERR_CONFIG,
		    "the comment tag must be 1 to %d letters, digits, '_', '.' or '-': choose another",
		    PAIR_TAG_MAX);
	return ERR_OK;
}

static void
report(struct parse *ps, enum comment_reason reason, struct span text)
{
	struct comment_issue issue = {reason, span_first(text, COMMENT_SHOWN)};

	ps->counts.issues++;
	ps->ops->issue(ps->arg, &issue);
}

/* The byte that %XX at `p` stands for, or -1. */
static inline int
hex_byte(const char *p, const char *end)
{
	int high, low;

	if (end - p < 3)
		return -1;
	high = hex_values[(unsigned char)p[1]];
	low = hex_values[(unsigned char)p[2]];
	return high == 0 || low == 0 ? -1 : (high - 1) << 4 | (low - 1);
}

/* One byte of the outer layer: %XX, %%XX, \', '' or a byte that stands for itself. */
static inline char
outer_byte(const char **at, const char *end)
{
	const char *p = *at;
	int byte;

	if (*p == '%') {
		byte = hex_byte(p, end);
		if (byte >= 0) {
			*at = p + 3;
			return (char)byte;
		}
		if (end - p > 1 && p[1] == '%') {
			byte = hex_byte(p + 1, end);
			if (byte >= 0) {
				*at = p + 4;
				return (char)byte;
			}
		}
	} else if ((*p == '\\' || *p == '\'') && end - p > 1 && p[1] == '\'') {
		*at = p + 2;
		return '\'';
	}
	*at = p + 1;
	return *p;
}

/* The inner layer, in place. */
static void
inner_decode(char *text, struct item *item)
{
	const char *end = item->bytes.p + item->bytes.len;
	char *out = text;

	for (const char *p = item->bytes.p; p < end;) {
		int byte = *p == '%' ? hex_byte(p, end) : -1;

		if (byte >= 0) {
			*out++ = (char)byte;
			p += 3;
		} else {
			item->loose |= *p == '%';
			*out++ = *p++;
		}
	}
	item->bytes.len = (size_t)(out - text);
}

static void
items_init(struct items *it, const struct pair *pair)
{
	it->p = pair->value.p;
	it->end = pair->value.p + pair->value.len;
	it->more = true;
	it->plain = !pair->quotes && memchr(pair->value.p, '%', pair->value.len) == NULL;
}

static bool
items_next(struct items *it, struct item *item)
{
	/* Locals: bytes are written beside it->p, and the compiler cannot know that they do not change it. */
	const char *start = it->p, *end = it->end, *p = start;
	bool percent = false;
	size_t len = 0;

	if (!it->more)
		return false;
	item->too_long = item->loose = false;
	if (it->plain) {
		const char *comma = memchr(start, ',', (size_t)(end - start));

		it->more = comma != NULL;
		it->p = it->more ? comma + 1 : end;
		item->raw = item->bytes = span_make(start, (size_t)((it->more ? comma : end) - start));
		return true;
	}
	it->more = false;
	item->raw = span_make(start, (size_t)(end - start));
	while (p < end) {
		const char *at = p;
		char c = outer_byte(&p, end);

		if (c == ',') {
			it->more = true;
			item->raw.len = (size_t)(at - start);
			break;
		}
		percent |= c == '%';
		if (len <= ITEM_MAX)
			it->text[len++] = c;
	}
	it->p = p;
	item->too_long = len > ITEM_MAX;
	item->bytes = span_make(it->text, len);
	if (percent && !item->too_long)
		inner_decode(it->text, item);
	return true;
}

/* The one item of a pool or hold-off; false when there are more. */
static bool
only_item(struct items *it, const struct pair *pair, struct item *item)
{
	items_init(it, pair);
	return items_next(it, item) && !it->more && !item->too_long;
}

static void
read_pool(struct parse *ps, const struct pair *pair, struct comment_group *group, char *pool)
{
	struct items it;
	struct item item;

	if (!only_item(&it, pair, &item) || key_fault(item.bytes) != KEY_OK ||
	    (group->pool.len > 0 && !span_eq(group->pool, item.bytes))) {
		report(ps, COMMENT_BAD_POOL, pair->text);
		return;
	}
	if (item.loose)
		report(ps, COMMENT_LOOSE_PERCENT, pair->text);
	memcpy(pool, item.bytes.p, item.bytes.len);
	group->pool = span_make(pool, item.bytes.len);
}

static void
read_holdoff(struct parse *ps, const struct pair *pair, struct comment_group *group)
{
	struct items it;
	struct item item;
	uint64_t ms;

	if (!only_item(&it, pair, &item) || !span_u64(item.bytes, &ms) || ms > UINT32_MAX) {
		report(ps, COMMENT_BAD_HOLDOFF, pair->text);
		return;
	}
	if (ms > group->holdoff_ms)
		group->holdoff_ms = (uint32_t)ms;
}

static err_t
read_list(struct parse *ps, const struct pair *pair, const struct comment_group *group)
{
	static const enum comment_reason reasons[] = {
	    [KEY_EMPTY] = COMMENT_KEY_EMPTY,
	    [KEY_TOO_LONG] = COMMENT_KEY_LONG,
	    [KEY_CONTROL] = COMMENT_KEY_CONTROL,
	};
	bool markers = pair->kind == PAIR_MARKERS;
	struct items it;
	struct item item;

	items_init(&it, pair);
	while (items_next(&it, &item)) {
		enum key_fault fault = item.too_long ? KEY_TOO_LONG : key_fault(item.bytes);
		err_t err;

		if (fault != KEY_OK) {
			report(ps, reasons[fault], item.raw);
			continue;
		}
		if (item.loose)
			report(ps, COMMENT_LOOSE_PERCENT, item.raw);
		err = (markers ? ps->ops->marker : ps->ops->key)(ps->arg, item.bytes, group);
		if (err != ERR_OK)
			return err;
		if (markers)
			ps->counts.markers++;
		else
			ps->counts.keys++;
		if (ps->counts.keys + ps->counts.markers == COMMENT_MANY_KEYS + 1)
			report(ps, COMMENT_MANY, item.raw);
	}
	return ERR_OK;
}

/* Whether the statement holds the opener of an executed comment, looked for once. */
static bool
holds_executable(struct parse *ps)
{
	if (!ps->searched) {
		ps->executable =
		    span_find(ps->sql, SPAN_LIT("/*!")) >= 0 || span_find(ps->sql, SPAN_LIT("/*M!")) >= 0;
		ps->searched = true;
	}
	return ps->executable;
}

static err_t
read_body(struct parse *ps, struct span body, enum place place)
{
	struct comment_group group = {{"", 0}, 0};
	char pool[KEY_MAX];
	bool attributes = false;
	struct pairs it = pairs_of(&ps->parser->tag, body);
	struct pairs lists = it; /* stands before the first list */
	struct pairs before = it;
	size_t nlists = 0;
	struct pair pair;

	for (; pair_next(&it, &pair); before = it) {
		switch (pair.kind) {
		case PAIR_KEYS:
		case PAIR_MARKERS:
			if (nlists++ == 0)
				lists = before;
			break;
		case PAIR_POOL:
			attributes = true;
			read_pool(ps, &pair, &group, pool);
			break;
		case PAIR_HOLDOFF:
			attributes = true;
			read_holdoff(ps, &pair, &group);
			break;
		case PAIR_UNKNOWN:
			report(ps, COMMENT_UNKNOWN_TAG, pair.text);
			break;
		case PAIR_MALFORMED:
			report(ps, COMMENT_MALFORMED, pair.text);
			break;
		case PAIR_FOREIGN:
			continue;
		}
		if (pair.loose && pair.kind != PAIR_MALFORMED)
			report(ps, COMMENT_LOOSE_QUOTE, pair.text);
	}
	if (nlists == 0) {
		if (attributes)
			report(ps, COMMENT_ORPHAN, body);
		return ERR_OK;
	}
	/*
	 * The opener of a trailing comment can stand in a literal after all when an executed comment ends the
	 * statement.  The literal's own end then makes the body malformed.
	 */
	if (place == PLACE_TRAILING && !it.strict && holds_executable(ps)) {
		report(ps, COMMENT_EXECUTABLE, body);
		return ERR_OK;
	}
	ps->counts.comments++;
	while (nlists > 0 && pair_next(&lists, &pair)) {
		if (pair.kind == PAIR_KEYS || pair.kind == PAIR_MARKERS) {
			err_t err = read_list(ps, &pair, &group);

			if (err != ERR_OK)
				return err;
			nlists--;
		}
	}
	return ERR_OK;
}

static err_t
read_comment(struct parse *ps, struct span comment, enum place place)
{
	const struct pair_tag *tag = &ps->parser->tag;
	struct span body = span_make(comment.p + 2, comment.len - 4);

	if (!pair_tag_in(tag, body))
		return ERR_OK;
	if (comment.len > COMMENT_MAX) {
		report(ps, COMMENT_TOO_LONG, body);
		return ERR_OK;
	}
	if (body.p[0] == '+') {
		if (pair_tag_named(tag, body))
			report(ps, COMMENT_MALFORMED, body);
		return ERR_OK;
	}
	return read_body(ps, body, place);
}

static err_t
read_end(struct parse *ps, struct span end, enum place place)
{
	struct span comment;
	err_t err = ERR_OK;

	while (err == ERR_OK && anchor_next(&end, &comment))
		err = read_comment(ps, comment, place);
	return err;
}

static err_t
read_middle(struct parse *ps, struct span middle, unsigned sql_mode)
{
	struct sqllex lx = sqllex_of(middle, sql_mode);
	struct span comment;
	err_t err = ERR_OK;

	while (err == ERR_OK && sqllex_comment(&lx, &comment))
		err = read_comment(ps, comment, PLACE_SURE);
	return err;
}

err_t
comment_parse(const struct comment_parser *p, struct span sql, unsigned sql_mode,
	      const struct comment_ops *ops, void *arg, struct comment_counts *counts)
{
	struct parse ps = {.parser = p, .ops = ops, .arg = arg, .sql = sql};
	struct anchor anchor;
	err_t err = ERR_OK;

	anchor_find(sql, &anchor);
	/* The server refuses such a statement, so it was cut on the way. */
	if (anchor.open && pair_tag_named(&p->tag, anchor.middle))
		report(&ps, COMMENT_MALFORMED, anchor.middle);
	if (anchor.lead.len > 0)
		err = read_end(&ps, anchor.lead, PLACE_SURE);
	if (err == ERR_OK && p->anywhere)
		err = read_middle(&ps, anchor.middle, sql_mode);
	if (err == ERR_OK && anchor.trail.len > 0)
		err = read_end(&ps, anchor.trail, PLACE_TRAILING);
	if (counts != NULL)
		*counts = ps.counts;
	return err;
}
