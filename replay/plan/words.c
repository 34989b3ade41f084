#include "replay/plan/words.h"

#include <string.h>
#include <time.h>

enum { NAME_COLUMN = 14 };

void
words_row(const char *name, struct buf *out)
{
	buf_printf(out, "  %-*s", NAME_COLUMN, name);
}

void
words_number(uint64_t v, struct buf *out)
{
	if (v >= 1000) {
		words_number(v / 1000, out);
		buf_printf(out, ",%03u", (unsigned)(v % 1000));
	} else {
		buf_put_u64(out, v);
	}
}

void
words_count(uint64_t v, const char *noun, struct buf *out)
{
	words_number(v, out);
	buf_printf(out, " %s%s", noun, v == 1 ? "" : "s");
}

void
words_duration(uint64_t ms, struct buf *out)
{
	uint64_t s = (ms + 500) / 1000;

	if (ms < 1000)
		buf_printf(out, "%u ms", (unsigned)ms);
	else if (s < 60)
		buf_printf(out, "%u s", (unsigned)s);
	else if (s < 3600)
		buf_printf(out, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		buf_printf(out, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
	else
		buf_printf(out, "%llu d %u h", (unsigned long long)(s / 86400), (unsigned)(s % 86400 / 3600));
}

void
words_moment(uint64_t us, struct buf *out)
{
	time_t s = (time_t)(us / 1000000);
	char text[64];
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		buf_printf(out, "%llu s after 1970", (unsigned long long)s);
	else
		buf_put_str(out, text);
}

void
words_zone(uint64_t us, struct buf *out)
{
	time_t s = (time_t)(us / 1000000);
	char text[64];
	struct tm tm;

	if (localtime_r(&s, &tm) != NULL && strftime(text, sizeof(text), "%Z", &tm) > 0)
		buf_put_str(out, text);
}
