#include "squeal/keys/moment.h"

#include <time.h>

/* Numbers below this are seconds or milliseconds that somebody took for microseconds. */
static const uint64_t LEAST_US = UINT64_C(10000000000000);

struct parts {
	struct tm tm;
	uint32_t micros;
	bool has_time;
	bool has_zone;
	int zone_s; /* east of Greenwich */
};

/* Exactly `n` digits in [least, most]. */
static bool
take_number(struct span *s, size_t n, unsigned least, unsigned most, int *out)
{
	uint64_t v;

	if (s->len < n || !span_u64(span_first(*s, n), &v) || v < least || v > most)
		return false;
	*out = (int)v;
	*s = span_from(*s, n);
	return true;
}

static bool
take_char(struct span *s, char c)
{
	if (s->len == 0 || s->p[0] != c)
		return false;
	*s = span_from(*s, 1);
	return true;
}

static bool
take_fraction(struct span *s, uint32_t *micros)
{
	uint32_t unit = 100000;
	size_t n = 0;

	*micros = 0;
	for (; n < s->len && s->p[n] >= '0' && s->p[n] <= '9'; n++, unit /= 10)
		*micros += (uint32_t)(s->p[n] - '0') * unit;
	*s = span_from(*s, n);
	return n > 0;
}

static bool
take_zone(struct span *s, struct parts *p)
{
	int hours, minutes = 0;
	bool west;

	p->has_zone = true;
	if (take_char(s, 'Z') || take_char(s, 'z'))
		return true;
	west = s->len > 0 && s->p[0] == '-';
	if (!take_char(s, '+') && !take_char(s, '-'))
		return false;
	if (!take_number(s, 2, 0, 23, &hours))
		return false;
	if (s->len > 0) {
		take_char(s, ':');
		if (!take_number(s, 2, 0, 59, &minutes))
			return false;
	}
	p->zone_s = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

static bool
parse_parts(struct span s, struct parts *p)
{
	*p = (struct parts){0};
	if (!take_number(&s, 4, 1970, 9999, &p->tm.tm_year) || !take_char(&s, '-') ||
	    !take_number(&s, 2, 1, 12, &p->tm.tm_mon) || !take_char(&s, '-') ||
	    !take_number(&s, 2, 1, 31, &p->tm.tm_mday))
		return false;
	p->tm.tm_year -= 1900;
	p->tm.tm_mon -= 1;
	if (s.len == 0)
		return true;
	p->has_time = true;
	if (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' '))
		return false;
	if (!take_number(&s, 2, 0, 23, &p->tm.tm_hour) || !take_char(&s, ':') ||
	    !take_number(&s, 2, 0, 59, &p->tm.tm_min))
		return false;
	if (take_char(&s, ':')) {
		if (!take_number(&s, 2, 0, 59, &p->tm.tm_sec))
			return false;
		if (take_char(&s, '.') && !take_fraction(&s, &p->micros))
			return false;
	}
	take_char(&s, ' ');
	return s.len == 0 || (take_zone(&s, p) && s.len == 0);
}

static bool
is_same(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	       a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

/* False: no such local time, as when clocks are set forward. */
static bool
local_seconds(const struct tm *tm, enum moment_choice choice, int64_t *out)
{
	bool found = false;

	for (int dst = 0; dst <= 1; dst++) {
		struct tm try = *tm;
		time_t at;

		try.tm_isdst = dst;
		at = mktime(&try);
		/* mktime() moves what is not so. */
		if (!is_same(&try, tm) || (found && (choice == MOMENT_LAST ? at < *out : at > *out)))
			continue;
		*out = at;
		found = true;
	}
	return found;
}

err_t
moment_parse(struct span text, enum moment_choice choice, uint64_t *us, struct err_detail *why)
{
	struct parts p;
	struct tm utc;
	int64_t seconds;
	uint64_t number;

	text = span_trim(text);
	if (span_u64(text, &number)) {
		if (number < LEAST_US)
			return err_set(why, ERR_USAGE,
				       "%.*s is no time in microseconds since 1970, which has 16 digits "
				       "nowadays; seconds need six more zeros",
				       SPAN_FMT(text));
		*us = number;
		return ERR_OK;
	}
	if (!parse_parts(text, &p))
		return err_set(
		    why, ERR_USAGE,
		    "\"%.*s\" is no time; write \"2026-11-20 21:38:00\" (local time), 2026-11-20T21:38:00Z "
		    "or 2026-11-20T21:38:00+01:00, or microseconds since 1970",
		    SPAN_FMT(span_first(text, 60)));
	utc = p.tm;
	seconds = timegm(&utc);
	if (!is_same(&utc, &p.tm))
		return err_set(why, ERR_USAGE, "\"%.*s\": that month has no such day", SPAN_FMT(text));
	if (p.has_zone)
		seconds -= p.zone_s;
	else if (!local_seconds(&p.tm, choice, &seconds))
		return err_set(why, ERR_USAGE,
			       "\"%.*s\" does not exist in the local time zone, whose clocks are set forward "
			       "over it; write it with a zone, as in 2026-11-20T21:38:00Z",
			       SPAN_FMT(text));
	if (seconds < 0)
		return err_set(why, ERR_USAGE, "\"%.*s\" is before 1970", SPAN_FMT(text));
	*us = (uint64_t)seconds * 1000000 + p.micros;
	return ERR_OK;
}
