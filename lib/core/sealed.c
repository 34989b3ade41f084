#include "lib/core/sealed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/option.h"

enum { LAST_LINE = 4 + 16 + 1 };

static void
last_line(struct span before, char out[LAST_LINE + 1])
{
	snprintf(out, LAST_LINE + 1, "sum %016" PRIx64 "\n", hash_span(before, 0));
}

void
sealed_end(struct buf *text, size_t begin)
{
	char last[LAST_LINE + 1];

	last_line(span_from(buf_span(text), begin), last);
	buf_put_str(text, last);
}

const char *
sealed_lines(struct span text, const char *first_line, struct span *lines)
{
	char last[LAST_LINE + 1];
	struct span line;

	if (text.len < LAST_LINE)
		return "it is cut off";
	*lines = span_first(text, text.len - LAST_LINE);
	last_line(*lines, last);
	if (!span_is(span_from(text, lines->len), last))
		return "its checksum does not match";
	if (!option_line(lines, &line) || !span_is(line, first_line))
		return "it is of a version that this program does not know";
	return NULL;
}

bool
sealed_line_is(struct span line, const char *word, struct span *rest)
{
	size_t n = strlen(word);

	if (line.len <= n || !span_starts(line, span_of(word)) || line.p[n] != ' ')
		return false;
	*rest = span_from(line, n + 1);
	return true;
}
