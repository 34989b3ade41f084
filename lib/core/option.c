#include "lib/core/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct unit_word {
	const char *word;
	uint64_t factor;
};

enum { DECIMALS = 6 };

/* Factors to milliseconds. */
static const struct unit_word duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit_word size_units[] = {
    {"B", 1},	      {"KB", 1000},	   {"MB", 1000000}, {"GB", 1000000000}, {"KiB", 1024},
    {"MiB", 1048576}, {"GiB", 1073741824}, {"K", 1024},	    {"M", 1048576},	{"G", 1073741824}};

static void *
field_of(const struct option_row *row, const void *base)
{
	return (char *)base + row->offset;
}

static bool
is_text(const struct option_row *row)
{
	return row->type == OPTION_STR || row->type == OPTION_CHOICE || row->type == OPTION_LIST ||
	       row->type == OPTION_MAP;
}

/* Milliseconds in one of the row's units. */
static uint64_t
duration_scale(const struct option_row *row)
{
	return strcmp(row->unit, "s") == 0 ? 1000 : 1;
}

void
option_defaults(const struct option_section *s, void *base)
{
	struct err_detail why = {0};

	memset(base, 0, s->size);
	for (size_t i = 0; i < s->nrows; i++) {
		const struct option_row *row = &s->rows[i];

		if (is_text(row) && (row->type != OPTION_CHOICE || row->def[0] == '\0'))
			*(char **)field_of(row, base) = mem_strdup(row->def);
		else if (option_set(row, base, span_of(row->def), &why) != ERR_OK) {
			fprintf(stderr, "CRIT option table: %s\n", why.text);
			abort();
		}
	}
}

void
option_fini(const struct option_section *s, void *base)
{
	for (size_t i = 0; i < s->nrows; i++) {
		if (!is_text(&s->rows[i]))
			continue;
		free(*(char **)field_of(&s->rows[i], base));
		*(char **)field_of(&s->rows[i], base) = NULL;
	}
}

const struct option_row *
option_find(const struct option_section *s, struct span name)
{
	for (size_t i = 0; i < s->nrows; i++) {
		if (span_is(name, s->rows[i].name))
			return &s->rows[i];
	}
	return NULL;
}

/* Edit distance with adjacent swaps; capped at `limit`. */
static size_t
distance(struct span a, struct span b, size_t limit)
{
	enum { LONGEST = 64 };
	size_t row[3][LONGEST + 1];

	if (a.len > LONGEST || b.len > LONGEST)
		return limit;
	for (size_t j = 0; j <= b.len; j++)
		row[1][j] = j;
	memset(row[0], 0, sizeof(row[0]));
	for (size_t i = 1; i <= a.len; i++) {
		row[2][0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t best = row[1][j - 1] + (a.p[i - 1] != b.p[j - 1]);

			if (row[1][j] + 1 < best)
				best = row[1][j] + 1;
			if (row[2][j - 1] + 1 < best)
				best = row[2][j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
			    row[0][j - 2] + 1 < best)
				best = row[0][j - 2] + 1;
			row[2][j] = best;
		}
		memcpy(row[0], row[1], sizeof(row[0]));
		memcpy(row[1], row[2], sizeof(row[1]));
	}
	return row[1][b.len] < limit ? row[1][b.len] : limit;
}

const char *
option_nearest_word(const char *const *words, size_t n, struct span name)
{
	size_t best = name.len / 3 + 2;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(name, span_of(words[i]), best);

		if (d < best) {
			best = d;
			found = words[i];
		}
	}
	return found;
}

const char *
option_nearest(const struct option_section *s, struct span name)
{
	const char **words = mem_zalloc(s->nrows, sizeof(*words));
	const char *found;

	for (size_t i = 0; i < s->nrows; i++)
		words[i] = s->rows[i].name;
	found = option_nearest_word(words, s->nrows, name);
	free(words);
	return found;
}

/* "10", "10unit", "10 unit" → number times the unit's factor. */
static bool
parse_scaled(struct span text, const struct unit_word *units, size_t nunits, uint64_t bare_factor,
	     uint64_t *out)
{
	size_t digits = 0;
	struct span word;
	uint64_t v;

	while (digits < text.len && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (!span_u64(span_first(text, digits), &v))
		return false;
	word = span_trim(span_from(text, digits));
	if (word.len == 0)
		return !__builtin_mul_overflow(v, bare_factor, out);
	for (size_t i = 0; i < nunits; i++) {
		if (span_ieq(word, span_of(units[i].word)))
			return !__builtin_mul_overflow(v, units[i].factor, out);
	}
	return false;
}

static void
print_number(const struct option_row *row, uint64_t v, struct buf *out)
{
	static const char *const sizes[] = {"", "KiB", "MiB", "GiB"};
	size_t i = 0;

	if (row->type == OPTION_SIZE) {
		while (i < 3 && v > 0 && v % 1024 == 0) {
			v /= 1024;
			i++;
		}
		buf_printf(out, "%" PRIu64 "%s", v, sizes[i]);
	} else if (row->type == OPTION_DURATION) {
		uint64_t ms = v * duration_scale(row);

		if (ms >= 3600000 && ms % 3600000 == 0)
			buf_printf(out, "%" PRIu64 "h", ms / 3600000);
		else if (ms >= 60000 && ms % 60000 == 0)
			buf_printf(out, "%" PRIu64 "m", ms / 60000);
		else if (ms >= 1000 && ms % 1000 == 0)
			buf_printf(out, "%" PRIu64 "s", ms / 1000);
		else
			buf_printf(out, "%" PRIu64 "ms", ms);
	} else {
		buf_printf(out, "%" PRIu64, v);
	}
}

/* What parse_decimal() takes, at its shortest. */
static void
print_decimal(double v, struct buf *out)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%.*f", DECIMALS, v);

	while (n > 0 && text[n - 1] == '0')
		n--;
	if (n > 0 && text[n - 1] == '.')
		n--;
	buf_put(out, text, (size_t)n);
}

/* Digits, and a point with up to DECIMALS digits: no exponents, signs or words such as inf. */
static bool
parse_decimal(struct span text, double *out)
{
	ptrdiff_t point = span_find(text, SPAN_LIT("."));
	struct span whole = point < 0 ? text : span_first(text, (size_t)point);
	struct span part = point < 0 ? SPAN_LIT("") : span_from(text, (size_t)point + 1);
	char copy[64];
	uint64_t digits;

	if (text.len >= sizeof(copy) || part.len > DECIMALS || !span_u64(whole, &digits) ||
	    (point >= 0 && !span_u64(part, &digits)))
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	*out = strtod(copy, NULL);
	return true;
}

static err_t
set_decimal(const struct option_row *row, void *base, struct span text, struct err_detail *why)
{
	double v;

	if (!parse_decimal(text, &v))
		return err_set(why, ERR_CONFIG, "%s: \"%.*s\" is not a number such as 2 or 0.25", row->name,
			       SPAN_FMT(span_first(text, 60)));
	if (v < (double)row->min || v > (double)row->max)
		return err_set(why, ERR_CONFIG, "%s: \"%.*s\" is out of range: %" PRIu64 " to %" PRIu64,
			       row->name, SPAN_FMT(span_first(text, 60)), row->min, row->max);
	*(double *)field_of(row, base) = v;
	return ERR_OK;
}

static err_t
set_number(const struct option_row *row, void *base, struct span text, struct err_detail *why)
{
	struct buf range = BUF_INIT;
	uint64_t v = 0;
	err_t err = ERR_OK;
	bool ok;

	if (row->type == OPTION_DURATION) {
		ok = parse_scaled(text, duration_units, sizeof(duration_units) / sizeof(duration_units[0]),
				  duration_scale(row), &v);
		if (ok && v % duration_scale(row) != 0)
			ok = false;
		v /= duration_scale(row);
	} else if (row->type == OPTION_SIZE) {
		ok = parse_scaled(text, size_units, sizeof(size_units) / sizeof(size_units[0]), 1, &v);
	} else {
		ok = span_u64(text, &v);
	}
	if (!ok) {
		const char *form = row->type == OPTION_DURATION ? "a duration such as 500ms, 2s, 10m or 24h"
				   : row->type == OPTION_SIZE	? "a size such as 64KiB, 10MiB or 1GiB"
								: "a whole number";

		err = err_set(why, ERR_CONFIG, "%s: \"%.*s\" is not %s", row->name,
			      SPAN_FMT(span_first(text, 60)), form);
		goto done;
	}
	if (v < row->min || v > row->max) {
		print_number(row, row->min, &range);
		buf_put_str(&range, " to ");
		print_number(row, row->max, &range);
		err = err_set(why, ERR_CONFIG, "%s: \"%.*s\" is out of range: %s", row->name,
			      SPAN_FMT(span_first(text, 60)), buf_str(&range));
		goto done;
	}
	*(uint64_t *)field_of(row, base) = v;
done:
	buf_fini(&range);
	return err;
}

static err_t
set_bool(const struct option_row *row, void *base, struct span text, struct err_detail *why)
{
	static const char *const yes[] = {"true", "yes", "on"};
	static const char *const no[] = {"false", "no", "off"};

	for (size_t i = 0; i < 3; i++) {
		if (span_ieq(text, span_of(yes[i]))) {
			*(bool *)field_of(row, base) = true;
			return ERR_OK;
		}
		if (span_ieq(text, span_of(no[i]))) {
			*(bool *)field_of(row, base) = false;
			return ERR_OK;
		}
	}
	return err_set(why, ERR_CONFIG, "%s: \"%.*s\" is neither true nor false", row->name,
		       SPAN_FMT(span_first(text, 60)));
}

static bool
is_choice(const char *choices, struct span text)
{
	struct span rest = span_of(choices);

	for (;;) {
		ptrdiff_t bar = span_find(rest, SPAN_LIT("|"));
		struct span word = bar < 0 ? rest : span_first(rest, (size_t)bar);

		if (span_eq(word, text))
			return true;
		if (bar < 0)
			return false;
		rest = span_from(rest, (size_t)bar + 1);
	}
}

err_t
option_set(const struct option_row *row, void *base, struct span text, struct err_detail *why)
{
	char **str = field_of(row, base);

	switch (row->type) {
	case OPTION_UINT:
	case OPTION_DURATION:
	case OPTION_SIZE:
		return set_number(row, base, text, why);
	case OPTION_DECIMAL:
		return set_decimal(row, base, text, why);
	case OPTION_BOOL:
		return set_bool(row, base, text, why);
	case OPTION_CHOICE:
		if (!is_choice(row->unit, text))
			return err_set(why, ERR_CONFIG, "%s: \"%.*s\" is not one of %s", row->name,
				       SPAN_FMT(span_first(text, 60)), row->unit);
		break;
	case OPTION_STR:
	case OPTION_LIST:
	case OPTION_MAP:
		if (text.len > 0 && memchr(text.p, '\0', text.len) != NULL)
			return err_set(why, ERR_CONFIG, "%s: the text holds a NUL byte", row->name);
		break;
	}
	free(*str);
	*str = span_dup(text);
	return ERR_OK;
}

void
option_print(const struct option_row *row, const void *base, struct buf *out)
{
	const void *field = field_of(row, base);

	switch (row->type) {
	case OPTION_UINT:
	case OPTION_DURATION:
	case OPTION_SIZE:
		print_number(row, *(const uint64_t *)field, out);
		break;
	case OPTION_DECIMAL:
		print_decimal(*(const double *)field, out);
		break;
	case OPTION_BOOL:
		buf_put_str(out, *(const bool *)field ? "true" : "false");
		break;
	case OPTION_STR:
	case OPTION_CHOICE:
	case OPTION_LIST:
	case OPTION_MAP:
		buf_put_str(out, *(char *const *)field);
		break;
	}
}

bool
option_line(struct span *rest, struct span *line)
{
	ptrdiff_t end = span_find(*rest, SPAN_LIT("\n"));

	if (rest->len == 0)
		return false;
	*line = end < 0 ? *rest : span_first(*rest, (size_t)end);
	*rest = span_from(*rest, line->len + (end < 0 ? 0 : 1));
	return true;
}

void
option_copy(const struct option_row *row, void *to, const void *from)
{
	if (to == from)
		return;
	if (is_text(row)) {
		char **text = field_of(row, to);

		free(*text);
		*text = mem_strdup(*(char *const *)field_of(row, from));
	} else if (row->type == OPTION_BOOL) {
		*(bool *)field_of(row, to) = *(const bool *)field_of(row, from);
	} else if (row->type == OPTION_DECIMAL) {
		*(double *)field_of(row, to) = *(const double *)field_of(row, from);
	} else {
		*(uint64_t *)field_of(row, to) = *(const uint64_t *)field_of(row, from);
	}
}

bool
option_same(const struct option_row *row, const void *a, const void *b)
{
	if (is_text(row))
		return strcmp(*(char *const *)field_of(row, a), *(char *const *)field_of(row, b)) == 0;
	if (row->type == OPTION_DECIMAL) {
		double x = *(const double *)field_of(row, a), y = *(const double *)field_of(row, b);

		return !(x < y) && !(x > y);
	}
	if (row->type == OPTION_BOOL)
		return *(const bool *)field_of(row, a) == *(const bool *)field_of(row, b);
	return *(const uint64_t *)field_of(row, a) == *(const uint64_t *)field_of(row, b);
}

/* "1ms to 1s", "a, b or c", "text" */
static void
put_range(const struct option_row *row, struct buf *out)
{
	switch (row->type) {
	case OPTION_BOOL:
		buf_put_str(out, "true or false");
		break;
	case OPTION_STR:
		buf_put_str(out, "text");
		break;
	case OPTION_LIST:
		buf_put_str(out, "a list of texts");
		break;
	case OPTION_MAP:
		buf_put_str(out, "a mapping of names to texts");
		break;
	case OPTION_CHOICE:
		for (const char *c = row->unit; *c != '\0'; c++) {
			if (*c == '|')
				buf_put_str(out, ", ");
			else
				buf_putc(out, *c);
		}
		break;
	case OPTION_UINT:
	case OPTION_DECIMAL:
	case OPTION_DURATION:
	case OPTION_SIZE:
		print_number(row, row->min, out);
		buf_put_str(out, " to ");
		print_number(row, row->max, out);
		break;
	}
}

void
option_help(const struct option_section *s, struct buf *out)
{
	buf_printf(out, "%s: %s\n", s->name, s->help);
	for (size_t i = 0; i < s->nrows; i++) {
		const struct option_row *row = &s->rows[i];

		buf_printf(out, "  %-16s %s\n  %-16s (", row->name, row->help, "");
		put_range(row, out);
		buf_printf(out, "; default %s%s)\n", row->def[0] != '\0' ? row->def : "empty",
			   row->reload ? "; SIGHUP reloads it" : "");
	}
}

void
option_sample(const struct option_section *s, int indent, struct buf *out)
{
	for (size_t i = 0; i < s->nrows; i++) {
		const struct option_row *row = &s->rows[i];

		buf_printf(out, "%*s# %s (", indent, "", row->help);
		put_range(row, out);
		buf_printf(out, ")\n%*s# %s: %s\n", indent, "", row->name,
			   row->def[0] != '\0'	      ? row->def
			   : row->type == OPTION_MAP  ? "{}"
			   : row->type == OPTION_LIST ? "[]"
						      : "\"\"");
	}
}

/* A cell of a Markdown table: "|" would end it. */
static void
put_cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_putc(out, '\\');
		buf_putc(out, *text);
	}
}

void
option_markdown(const struct option_section *s, struct buf *out)
{
	buf_printf(out, "## `%s`\n\n", s->name);
	put_cell(out, s->help);
	buf_put_str(out, "\n\n| name | default | values | SIGHUP | meaning |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < s->nrows; i++) {
		const struct option_row *row = &s->rows[i];

		buf_printf(out, "| `%s` | %s%s%s | ", row->name, row->def[0] != '\0' ? "`" : "", row->def,
			   row->def[0] != '\0' ? "`" : "empty");
		put_range(row, out);
		buf_printf(out, " | %s | ", row->reload ? "yes" : "no");
		put_cell(out, row->help);
		buf_put_str(out, " |\n");
	}
	buf_putc(out, '\n');
}
