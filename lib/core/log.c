#include "lib/core/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/mem.h"

enum { LOG_RATE_SLOTS = 64 };

/* One text's budget in the current second. */
struct rate {
	const char *what;
	uint64_t second;
	unsigned written;
	uint64_t held_back;
};

struct log {
	char *who;
	_Atomic int min;
	const struct clock *clock;
	log_sink_fn *sink;
	void *arg;
	pthread_mutex_t lock; /* guards everything below */
	struct rate rates[LOG_RATE_SLOTS];
	uint64_t suppressed;
	struct buf line;
};

static const char *const level_names[] = {"DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT"};

static void
to_stderr(void *arg, enum log_level level, struct span line)
{
	ssize_t n = write(STDERR_FILENO, line.p, line.len);

	(void)n; /* there is nowhere left to say that standard error is gone */
}

struct log *
log_create(const char *who, enum log_level min, const struct clock *clock, log_sink_fn *sink, void *arg)
{
	struct log *l = MEM_NEW(struct log);

	l->who = mem_strdup(who);
	l->min = (int)min;
	l->clock = clock;
	l->sink = sink != NULL ? sink : to_stderr;
	l->arg = arg;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
log_destroy(struct log **l)
{
	if (*l == NULL)
		return;
	pthread_mutex_destroy(&(*l)->lock);
	buf_fini(&(*l)->line);
	free((*l)->who);
	free(*l);
	*l = NULL;
}

void
log_set_level(struct log *l, enum log_level min)
{
	l->min = (int)min;
}

bool
log_level_parse(struct span text, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (span_ieq(text, span_of(level_names[i]))) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void
log_escape(struct buf *out, struct span value)
{
	bool plain = value.len > 0;

	for (size_t i = 0; i < value.len && plain; i++) {
		unsigned char c = (unsigned char)value.p[i];

		plain = c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=';
	}
	if (plain) {
		buf_put_span(out, value);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			buf_putc(out, (char)c);
		else
			buf_printf(out, "\\x%02x", c);
	}
	buf_putc(out, '"');
}

static void
put_time(struct buf *out, uint64_t us)
{
	time_t sec = (time_t)(us / 1000000);
	struct tm tm;

	gmtime_r(&sec, &tm);
	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		   tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(us % 1000000));
}

static void
put_field(struct buf *out, const struct log_field *f)
{
	buf_printf(out, " %s=", f->key);
	switch (f->type) {
	case LOG_F_STR:
		log_escape(out, f->v.str != NULL ? span_of(f->v.str) : SPAN_LIT("-"));
		break;
	case LOG_F_SPAN:
		log_escape(out, f->v.span);
		break;
	case LOG_F_UINT:
		buf_printf(out, "%" PRIu64, f->v.u);
		break;
	case LOG_F_INT:
		buf_printf(out, "%" PRId64, f->v.i);
		break;
	case LOG_F_BOOL:
		buf_put_str(out, f->v.u ? "true" : "false");
		break;
	case LOG_F_NONE:
		buf_putc(out, '-');
		break;
	}
}

/* True when the line may be written; *held_back is how many of its kind were not, before it. */
static bool
rate_allows(struct log *l, const char *what, uint64_t second, uint64_t *held_back)
{
	struct rate *r = &l->rates[((uintptr_t)what >> 3) % LOG_RATE_SLOTS];

	*held_back = 0;
	if (r->what != what) {
		/* The slot's former text has its count in `suppressed`; the new one starts afresh. */
		*r = (struct rate){.what = what, .second = second};
	}
	if (r->second != second) {
		r->second = second;
		r->written = 0;
	}
	if (r->written >= LOG_BURST) {
		r->held_back++;
		l->suppressed++;
		return false;
	}
	r->written++;
	*held_back = r->held_back;
	r->held_back = 0;
	return true;
}

void
log_write(struct log *l, enum log_level level, const char *what, const struct log_field *fields, size_t n)
{
	uint64_t now_us;
	uint64_t held_back;

	if (l == NULL || (int)level < l->min)
		return;
	now_us = clock_real_us(l->clock);
	pthread_mutex_lock(&l->lock);
	if (rate_allows(l, what, clock_mono_ns(l->clock) / 1000000000u, &held_back)) {
		buf_clear(&l->line);
		put_time(&l->line, now_us);
		buf_printf(&l->line, " %-6s %s: %s", level_names[level], l->who, what);
		for (size_t i = 0; i < n; i++)
			put_field(&l->line, &fields[i]);
		if (held_back > 0)
			buf_printf(&l->line, " held_back=%" PRIu64, held_back);
		buf_putc(&l->line, '\n');
		l->sink(l->arg, level, buf_span(&l->line));
	}
	pthread_mutex_unlock(&l->lock);
}

uint64_t
log_suppressed(const struct log *l)
{
	struct log *locked = (struct log *)l;
	uint64_t n;

	pthread_mutex_lock(&locked->lock);
	n = l->suppressed;
	pthread_mutex_unlock(&locked->lock);
	return n;
}
