#include "markers/sqllex.h"

#include "markers/anchor.h"

/* Where something other than plain code may begin. */
static const bool sqllex_stops[256] = {
    ['\''] = true, ['"'] = true, ['`'] = true, ['#'] = true, ['-'] = true, ['/'] = true, ['*'] = true,
};

/* The offset behind the literal or identifier that opens at `at`; a doubled quote is two of them in a row. */
static size_t
skip_quoted(struct span s, size_t at, bool escapes)
{
	char quote = s.p[at++];

	if (!escapes) {
		const char *end = at < s.len ? memchr(s.p + at, quote, s.len - at) : NULL;

		return end == NULL ? s.len : (size_t)(end - s.p) + 1;
	}
	for (; at < s.len; at++) {
		if (s.p[at] == quote)
			return at + 1;
		if (s.p[at] == '\\')
			at++;
	}
	return s.len;
}

static size_t
skip_line(struct span s, size_t at)
{
	const char *end = memchr(s.p + at, '\n', s.len - at);

	return end == NULL ? s.len : (size_t)(end - s.p) + 1;
}

/* "--" comments out the line only when white space, a control character or the end follows. */
static bool
is_line_comment(struct span s, size_t at)
{
	unsigned char c;

	if (s.len - at < 2 || s.p[at + 1] != '-')
		return false;
	if (s.len - at == 2)
		return true;
	c = (unsigned char)s.p[at + 2];
	return c <= 0x20 || c == 0x7F;
}

bool
sqllex_comment(struct sqllex *lx, struct span *comment)
{
	struct span s = lx->rest;
	size_t at = 0;

	while (at < s.len) {
		char c = s.p[at];
		char next = at + 1 < s.len ? s.p[at + 1] : '\0';

		if (!sqllex_stops[(unsigned char)c]) {
			at++;
		} else if (c == '\'') {
			at = skip_quoted(s, at, !(lx->mode & SQLLEX_NO_BACKSLASH_ESCAPES));
		} else if (c == '"') {
			at = skip_quoted(s, at,
					 !(lx->mode & (SQLLEX_NO_BACKSLASH_ESCAPES | SQLLEX_ANSI_QUOTES)));
		} else if (c == '`') {
			at = skip_quoted(s, at, false);
		} else if (c == '#' || (c == '-' && is_line_comment(s, at))) {
			at = skip_line(s, at);
		} else if (c == '*' && next == '/' && lx->executable) {
			lx->executable = false;
			at += 2;
		} else if (c == '/' && next == '*' && !lx->executable &&
			   anchor_executable(span_from(s, at))) {
			lx->executable = true;
			at += s.p[at + 2] == '!' ? 3 : 4;
		} else if (c == '/' && next == '*') {
			size_t end = anchor_close(s, at + 2);

			if (end == 0)
				break;
			*comment = span_make(s.p + at, end - at);
			lx->rest = span_from(s, end);
			return true;
		} else {
			at++;
		}
	}
	lx->rest = span_from(s, s.len);
	return false;
}
