#include "cache-server/proto/line.h"

void
line_split(struct line *l)
{
	const char *p = l->text.p, *end = p + l->text.len;

	l->n = 0;
	while (l->n < LINE_MAX_WORDS) {
		const char *stop;

		while (p < end && *p == ' ')
			p++;
		if (p == end)
			break;
		stop = line_blank(p, end);
		l->word[l->n++] = span_make(p, (size_t)(stop - p));
		p = stop;
	}
}
