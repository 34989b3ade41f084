#include "replay/send/progress.h"

#include "lib/core/json.h"
#include "replay/plan/words.h"

enum { BAR = 20, SHORT_BAR = 10 }; /* cells */

static unsigned
percent(const struct progress *p)
{
	if (p->total == 0)
		return 0;
	return p->done >= p->total ? 100 : (unsigned)((double)p->done * 100 / (double)p->total);
}

static void
put_bar(const struct progress *p, unsigned cells, struct buf *out)
{
	unsigned full = percent(p) * cells / 100;

	buf_putc(out, '[');
	for (unsigned i = 0; i < cells; i++)
		buf_putc(out, i < full ? '#' : i == full ? '>' : ' ');
	buf_printf(out, "] %3u %%  ", percent(p));
}

static void
put_left(const struct progress *p, struct buf *out)
{
	if (!p->guess.known || p->total == 0 || p->done >= p->total)
		return;
	buf_put_str(out, ", ");
	words_duration(p->guess.ms, out);
	buf_put_str(out, " left");
	if (p->guess.latest_ms == 0) {
		buf_put_str(out, " (unsteady)");
		return;
	}
	buf_put_str(out, " (");
	words_duration(p->guess.soonest_ms, out);
	buf_put_str(out, " to ");
	words_duration(p->guess.latest_ms, out);
	buf_putc(out, ')');
}

static void
put_reasons(const struct progress *p, struct buf *out)
{
	if (p->throttled[0] != '\0')
		buf_printf(out, "; throttled: %s", p->throttled);
	if (p->waiting[0] != '\0')
		buf_printf(out, "; waiting: %s", p->waiting);
}

/* On a terminal there is little room, and the reason matters more than the rest. */
static void
put_short(const struct progress *p, struct buf *out)
{
	words_number((uint64_t)(p->per_s + 0.5), out);
	buf_put_str(out, "/s");
	if (p->guess.known && p->total > p->done) {
		buf_put_str(out, ", ");
		words_duration(p->guess.ms, out);
		buf_put_str(out, " left");
	}
	put_reasons(p, out);
}

static void
put_words(const struct progress *p, struct buf *out)
{
	if (p->unit[0] == '\0') {
		words_count(p->keys, "key", out);
	} else {
		words_number(p->done, out);
		if (p->total > 0) {
			buf_put_str(out, " of ");
			words_number(p->total, out);
		}
		buf_printf(out, " %s", p->unit);
	}
	if (p->per_s >= 0) {
		buf_put_str(out, ", ");
		words_number((uint64_t)(p->per_s + 0.5), out);
		buf_put_str(out, " deletes/s");
	}
	put_left(p, out);
	put_reasons(p, out);
}

static void
put_json(const struct progress *p, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object(&j);
	json_kv_str(&j, "event", "progress");
	json_kv_str(&j, "phase", p->verb);
	if (p->job[0] != '\0')
		json_kv_str(&j, "job", p->job);
	json_kv_u64(&j, "done", p->done);
	json_kv_u64(&j, "total", p->total);
	json_kv_u64(&j, "keys", p->keys);
	json_kv_u64(&j, "percent", percent(p));
	if (p->per_s >= 0) {
		json_name(&j, "deletes_per_second");
		json_double(&j, p->per_s);
		json_kv_u64(&j, "acked", p->acked);
		json_kv_u64(&j, "hits", p->hits);
		json_kv_u64(&j, "misses", p->misses);
	}
	if (p->guess.known && p->total > 0) {
		json_kv_u64(&j, "left_ms", p->guess.ms);
		json_kv_u64(&j, "left_soonest_ms", p->guess.soonest_ms);
		json_kv_u64(&j, "left_latest_ms", p->guess.latest_ms);
	}
	json_kv_str(&j, "throttled", p->throttled);
	json_kv_str(&j, "waiting", p->waiting);
	json_object_end(&j);
}

void
progress_put(const struct progress *p, enum progress_form form, unsigned width, struct buf *out)
{
	size_t from = out->len;
	bool is_short;

	switch (form) {
	case PROGRESS_JSON:
		put_json(p, out);
		return;
	case PROGRESS_BAR:
		is_short = p->throttled[0] != '\0' || p->waiting[0] != '\0';
		put_bar(p, is_short ? SHORT_BAR : BAR, out);
		if (is_short)
			put_short(p, out);
		else
			put_words(p, out);
		/* A longer line would wrap, and could not be written over. */
		if (out->len - from > width && width > 3) {
			out->len = from + width - 3;
			buf_put_str(out, "...");
		}
		return;
	case PROGRESS_LINE:
		buf_printf(out, "%s ", p->verb);
		if (p->total > 0)
			buf_printf(out, "%u %%, ", percent(p));
		put_words(p, out);
	}
}
