#include "cache-server/settings/settings_row.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

enum { SHOWN = 60 }; /* bytes of a value in a message */

/* How the words of the tables' columns "kind" and "use" read here, and where the field is. */
#define KIND_BOOL     SETTINGS_BOOL
#define KIND_COUNT    SETTINGS_COUNT
#define KIND_UINT     SETTINGS_UINT
#define KIND_OPTUINT  SETTINGS_OPTUINT
#define KIND_PORT     SETTINGS_PORT
#define KIND_OCTAL    SETTINGS_OCTAL
#define KIND_MEGS     SETTINGS_MEGS
#define KIND_KILOS    SETTINGS_KILOS
#define KIND_BYTES    SETTINGS_BYTES
#define KIND_SECONDS  SETTINGS_SECONDS
#define KIND_RATIO    SETTINGS_RATIO
#define KIND_TEXT     SETTINGS_TEXT
#define KIND_CHAR     SETTINGS_CHAR
#define KIND_PROTOCOL SETTINGS_PROTOCOL
#define KIND_LIST     SETTINGS_LIST
#define KIND_EACH     SETTINGS_EACH
#define KIND_SHOW     SETTINGS_SHOW_TEXT
#define KIND_REFUSED  SETTINGS_NOT_HERE

#define OFFSET_BOOL(field)     offsetof(struct settings, field)
#define OFFSET_COUNT(field)    offsetof(struct settings, field)
#define OFFSET_UINT(field)     offsetof(struct settings, field)
#define OFFSET_OPTUINT(field)  offsetof(struct settings, field)
#define OFFSET_PORT(field)     offsetof(struct settings, field)
#define OFFSET_OCTAL(field)    offsetof(struct settings, field)
#define OFFSET_MEGS(field)     offsetof(struct settings, field)
#define OFFSET_KILOS(field)    offsetof(struct settings, field)
#define OFFSET_BYTES(field)    offsetof(struct settings, field)
#define OFFSET_SECONDS(field)  offsetof(struct settings, field)
#define OFFSET_RATIO(field)    offsetof(struct settings, field)
#define OFFSET_TEXT(field)     offsetof(struct settings, field)
#define OFFSET_CHAR(field)     offsetof(struct settings, field)
#define OFFSET_PROTOCOL(field) offsetof(struct settings, field)
#define OFFSET_LIST(field)     offsetof(struct settings, field)
#define OFFSET_EACH(field)     0
#define OFFSET_SHOW(field)     0
#define OFFSET_REFUSED(field)  0

#define ROW(fl, lt, nm, sb, kn, ar, df, mn, mx, us, hp)                                                      \
	{.letter = lt,                                                                                       \
	 .name = nm,                                                                                         \
	 .sub = sb,                                                                                          \
	 .kind = KIND_##kn,                                                                                  \
	 .arg = ar,                                                                                          \
	 .def = df,                                                                                          \
	 .min = mn,                                                                                          \
	 .max = mx,                                                                                          \
	 .use = SETTINGS_##us,                                                                               \
	 .help = hp,                                                                                         \
	 .offset = OFFSET_##kn(fl)},

const struct settings_row settings_rows[SETTINGS_NROWS] = {SETTINGS_FLAGS(ROW) SETTINGS_EXTENDED(ROW)};

uint64_t
settings_row_unit(const struct settings_row *row)
{
	return row->kind == SETTINGS_MEGS ? 1 << 20 : row->kind == SETTINGS_KILOS ? 1 << 10 : 1;
}

void
settings_row_put_name(const struct settings_row *row, struct buf *out)
{
	if (row->letter != 0)
		buf_printf(out, "-%c", row->letter);
	else if (row->name != NULL)
		buf_printf(out, "--%s", row->name);
	else
		buf_printf(out, "-o %s", row->sub);
}

void
settings_row_defaults(struct settings *s)
{
	struct err_detail why = {0};

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		struct settings_row row = settings_rows[i];

		if (row.def == NULL)
			continue;
		row.min = 0; /* 0 may stand for "not given" where the user could not write it */
		if (settings_row_set(&row, s, span_of(row.def), row.sub != NULL ? row.sub : row.name, &why) !=
		    ERR_OK) {
			fprintf(stderr, "CRIT settings table: %s\n", why.text);
			abort();
		}
	}
}

/* Digits and the letters behind them. */
static bool
split_number(struct span text, uint64_t *number, struct span *letters)
{
	size_t digits = 0;

	while (digits < text.len && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	*letters = span_from(text, digits);
	return span_u64(span_first(text, digits), number);
}

/* Bytes: "64", "64k", "64K", "64KB", "64KiB" and so on; a number alone counts `unit`. */
static bool
parse_size(struct span text, uint64_t unit, uint64_t *out)
{
	static const struct {
		struct span word;
		uint64_t factor;
	} words[] = {{SPAN_LIT("k"), 1 << 10}, {SPAN_LIT("m"), 1 << 20}, {SPAN_LIT("g"), 1 << 30}};
	struct span letters;
	uint64_t n;

	if (!split_number(text, &n, &letters))
		return false;
	if (letters.len == 0)
		return !__builtin_mul_overflow(n, unit, out);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct span behind = span_from(letters, 1);

		if (span_ieq(span_first(letters, 1), words[i].word) &&
		    (behind.len == 0 || span_ieq(behind, SPAN_LIT("b")) || span_ieq(behind, SPAN_LIT("ib"))))
			return !__builtin_mul_overflow(n, words[i].factor, out);
	}
	return false;
}

static bool
parse_seconds(struct span text, uint64_t *out)
{
	static const struct {
		const char *word;
		uint64_t factor;
	} words[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	struct span letters;
	uint64_t n;

	if (!split_number(text, &n, &letters))
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_is(letters, words[i].word))
			return !__builtin_mul_overflow(n, words[i].factor, out);
	}
	return false;
}

static bool
parse_octal(struct span text, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '7' || n > UINT32_MAX)
			return false;
		n = n << 3 | (uint64_t)(text.p[i] - '0');
	}
	*out = n;
	return text.len > 0;
}

/* "1.25"; the locale of the process is "C". */
static bool
parse_ratio(struct span text, double *out)
{
	char copy[32];
	char *end;

	if (text.len == 0 || text.len >= sizeof(copy) || text.p[0] < '0' || text.p[0] > '9')
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	*out = strtod(copy, &end);
	return end == copy + text.len && isfinite(*out);
}

static bool
parse_bool(struct span text, bool *out)
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off",
										    "0"};

	for (size_t i = 0; i < 4; i++) {
		if (!span_is(text, yes[i]) && !span_is(text, no[i]))
			continue;
		*out = span_is(text, yes[i]);
		return true;
	}
	return false;
}

static err_t
not_a(struct err_detail *why, const char *as, struct span text, const char *what)
{
	return err_set(why, ERR_USAGE, "%s: \"%.*s\" is not %s", as, SPAN_FMT(span_first(text, SHOWN)), what);
}

static const char *
form_of(enum settings_kind kind)
{
	switch (kind) {
	case SETTINGS_MEGS:
		return "a number of megabytes, such as 1024, 1024m or 1g";
	case SETTINGS_KILOS:
		return "a number of kilobytes, such as 64, 64k or 1m";
	case SETTINGS_BYTES:
		return "a number of bytes, such as 65536, 64k, 1m or 1g";
	case SETTINGS_SECONDS:
		return "a number of seconds, such as 30, 30s, 10m, 2h or 1d";
	case SETTINGS_OCTAL:
		return "an octal number such as 700";
	default:
		return "a whole number";
	}
}

static err_t
set_number(const struct settings_row *row, void *field, struct span text, const char *as,
	   struct err_detail *why)
{
	uint64_t v = 0, unit = settings_row_unit(row);
	struct span letters;
	bool ok;

	switch (row->kind) {
	case SETTINGS_MEGS:
	case SETTINGS_KILOS:
	case SETTINGS_BYTES:
		ok = parse_size(text, unit, &v);
		break;
	case SETTINGS_SECONDS:
		ok = parse_seconds(text, &v);
		break;
	case SETTINGS_OCTAL:
		ok = parse_octal(text, &v);
		break;
	default:
		ok = split_number(text, &v, &letters) && letters.len == 0;
		break;
	}
	if (!ok)
		return not_a(why, as, text, form_of(row->kind));
	if (v < row->min * unit || v > row->max * unit) {
		if (row->kind == SETTINGS_OCTAL)
			return err_set(why, ERR_USAGE, "%s: %.*s is out of range: %" PRIo64 " to %" PRIo64,
				       as, SPAN_FMT(span_first(text, SHOWN)), row->min, row->max);
		return err_set(why, ERR_USAGE, "%s: %.*s is out of range: %" PRIu64 " to %" PRIu64 "%s", as,
			       SPAN_FMT(span_first(text, SHOWN)), row->min, row->max,
			       row->kind == SETTINGS_MEGS    ? " megabytes"
			       : row->kind == SETTINGS_KILOS ? " kilobytes"
							     : "");
	}
	*(uint64_t *)field = v;
	return ERR_OK;
}

static err_t
set_ratio(const struct settings_row *row, double *field, struct span text, const char *as,
	  struct err_detail *why)
{
	double v;

	if (!parse_ratio(text, &v))
		return not_a(why, as, text, "a number such as 1.25");
	if (v < (double)row->min / 100 || v > (double)row->max / 100)
		return err_set(why, ERR_USAGE, "%s: %.*s is out of range: %.2f to %.2f", as,
			       SPAN_FMT(span_first(text, SHOWN)), (double)row->min / 100,
			       (double)row->max / 100);
	*field = v;
	return ERR_OK;
}

static err_t
set_protocol(enum listen_protocol *field, struct span text, const char *as, struct err_detail *why)
{
	if (span_is(text, "auto"))
		*field = LISTEN_AUTO;
	else if (span_is(text, "ascii"))
		*field = LISTEN_ASCII;
	else if (span_is(text, "binary"))
		*field = LISTEN_BINARY;
	else
		return not_a(why, as, text, "one of ascii, binary and auto");
	return ERR_OK;
}

static void
set_text(char **field, struct span text)
{
	free(*field);
	*field = span_dup(text);
}

/* Joined with ","; what is in the text already is left out, as memcached does it. */
static void
add_to_list(char **field, struct span text)
{
	struct buf joined = BUF_INIT;

	if (*field == NULL || (*field)[0] == '\0') {
		set_text(field, text);
		return;
	}
	if (span_find(span_of(*field), text) >= 0)
		return;
	buf_printf(&joined, "%s,%.*s", *field, SPAN_FMT(text));
	set_text(field, buf_span(&joined));
	buf_fini(&joined);
}

err_t
settings_row_set(const struct settings_row *row, struct settings *s, struct span text, const char *as,
		 struct err_detail *why)
{
	void *field = (char *)s + row->offset;

	if (row->arg != NULL && row->def != NULL && text.len > 0 && memchr(text.p, '\0', text.len) != NULL)
		return err_set(why, ERR_USAGE, "%s: the value holds a NUL byte", as);
	switch (row->kind) {
	case SETTINGS_BOOL:
		return parse_bool(text, field) ? ERR_OK : not_a(why, as, text, "yes or no");
	case SETTINGS_PORT:
		if (span_is(text, "-1")) {
			*(int64_t *)field = -1;
			return ERR_OK;
		}
		return set_number(row, field, text, as, why);
	case SETTINGS_COUNT:
	case SETTINGS_UINT:
	case SETTINGS_OPTUINT:
	case SETTINGS_OCTAL:
	case SETTINGS_MEGS:
	case SETTINGS_KILOS:
	case SETTINGS_BYTES:
	case SETTINGS_SECONDS:
		return set_number(row, field, text, as, why);
	case SETTINGS_RATIO:
		return set_ratio(row, field, text, as, why);
	case SETTINGS_TEXT:
		set_text(field, text);
		return ERR_OK;
	case SETTINGS_LIST:
		add_to_list(field, text);
		return ERR_OK;
	case SETTINGS_CHAR:
		if (text.len == 0)
			return err_set(why, ERR_USAGE,
				       "%s: there is no character; write it behind, as in %s:", as, as);
		*(char *)field = text.p[0]; /* memcached takes the first one too */
		return ERR_OK;
	case SETTINGS_PROTOCOL:
		return set_protocol(field, text, as, why);
	case SETTINGS_EACH:
	case SETTINGS_SHOW_TEXT:
	case SETTINGS_NOT_HERE:
		break;
	}
	return err_set(why, ERR_USAGE, "%s cannot be set", as);
}
