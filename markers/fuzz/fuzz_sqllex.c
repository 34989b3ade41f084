/*
 * The lexer against a second one that is written as plainly as possible: one character at a time, one state
 * variable. The first byte of the input is the sql_mode.
 */
#include <stdint.h>
#include <stdlib.h>

#include "markers/sqllex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum state { CODE, SINGLE, DOUBLE, BACKTICK, LINE, COMMENT };

static char
at(struct span s, size_t i)
{
	return i < s.len ? s.p[i] : '\0';
}

/* The next comment at or behind *pos, by the plain rules. */
static bool
plain_comment(struct span s, unsigned mode, size_t *pos, bool *executed, struct span *comment)
{
	enum state state = CODE;
	size_t open = 0;
	size_t i = *pos;

	while (i < s.len) {
		char c = s.p[i];
		char next = at(s, i + 1);

		switch (state) {
		case CODE:
			if (c == '\'') {
				state = SINGLE;
			} else if (c == '"') {
				state = DOUBLE;
			} else if (c == '`') {
				state = BACKTICK;
			} else if (c == '#') {
				state = LINE;
			} else if (c == '-' && next == '-' &&
				   (i + 2 >= s.len || (unsigned char)s.p[i + 2] <= 0x20 ||
				    s.p[i + 2] == 0x7F)) {
				state = LINE;
				i++;
			} else if (*executed && c == '*' && next == '/') {
				*executed = false;
				i++;
			} else if (c == '/' && next == '*') {
				if (!*executed && at(s, i + 2) == '!') {
					*executed = true;
					i += 2;
				} else if (!*executed && at(s, i + 2) == 'M' && at(s, i + 3) == '!') {
					*executed = true;
					i += 3;
				} else {
					state = COMMENT;
					open = i;
					i++;
				}
			}
			break;
		case SINGLE:
			if (c == '\\' && !(mode & SQLLEX_NO_BACKSLASH_ESCAPES))
				i++;
			else if (c == '\'')
				state = CODE;
			break;
		case DOUBLE:
			if (c == '\\' && !(mode & (SQLLEX_NO_BACKSLASH_ESCAPES | SQLLEX_ANSI_QUOTES)))
				i++;
			else if (c == '"')
				state = CODE;
			break;
		case BACKTICK:
			if (c == '`')
				state = CODE;
			break;
		case LINE:
			if (c == '\n')
				state = CODE;
			break;
		case COMMENT:
			if (c == '*' && next == '/') {
				*comment = span_make(s.p + open, i + 2 - open);
				*pos = i + 2;
				return true;
			}
			break;
		}
		i++;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span sql, comment, want;
	struct sqllex lx;
	bool executed = false;
	unsigned mode;
	size_t pos = 0;

	if (size == 0)
		return 0;
	mode = data[0] & 3;
	sql = span_make(data + 1, size - 1);
	lx = sqllex_of(sql, mode);
	while (sqllex_comment(&lx, &comment)) {
		if (!plain_comment(sql, mode, &pos, &executed, &want) || want.p != comment.p ||
		    want.len != comment.len)
			abort();
	}
	if (plain_comment(sql, mode, &pos, &executed, &want))
		abort();
	return 0;
}
