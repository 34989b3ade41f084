#include "squeal/state.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "squeal/gap.h"

typedef struct state_metrics metric_owner;
const struct metric_row state_metric_rows[] = {METRIC_ROWS(STATE_METRICS)};
const size_t state_metric_nrows = sizeof(state_metric_rows) / sizeof(state_metric_rows[0]);

static const char *const source_words[] = {"connecting", "streaming", "GAP", "stopped"};
static const char *const log_words[] = {"ok", "waiting for visibility", "blocked", "failed"};

struct state {
	pthread_mutex_t lock; /* guards everything below but the metrics */
	const struct clock *clock;
	struct state_metrics *metrics;
	char *source;

	enum state_source source_now;
	const char *gap; /* name of the reason; NULL outside of GAP */
	char source_why[sizeof(((struct err_detail *)0)->text)];
	uint64_t source_since_us;
	char server[128];
	struct buf start;
	char file[512];
	uint64_t pos;
	_Atomic uint64_t heard;	   /* events and heartbeats; only the reading thread counts */
	uint64_t heard_before;	   /* at the last state_refresh() */
	_Atomic uint64_t heard_ns; /* monotonic; 0: never */

	enum state_log log_now;
	char log_why[sizeof(((struct err_detail *)0)->text)];
	bool has_checkpoint;
	struct buf checkpoint; /* of MySQL it may be long */
	uint64_t acked_us;
	uint64_t txns, keys;
};

struct state *
state_create(const char *source, const struct clock *clock, struct state_metrics *metrics)
{
	struct state *s = MEM_NEW(struct state);

	pthread_mutex_init(&s->lock, NULL);
	s->clock = clock;
	s->metrics = metrics;
	s->source = mem_strdup(source);
	s->source_since_us = clock_real_us(clock);
	metric_set(&metrics->log_up, 1);
	return s;
}

void
state_destroy(struct state **s)
{
	if (*s == NULL)
		return;
	pthread_mutex_destroy(&(*s)->lock);
	free((*s)->source);
	buf_fini(&(*s)->start);
	buf_fini(&(*s)->checkpoint);
	free(*s);
	*s = NULL;
}

static void
copy_span(char *out, size_t size, struct span text)
{
	snprintf(out, size, "%.*s", SPAN_FMT(span_first(text, size - 1)));
}

static void
copy_buf(struct buf *out, struct span text)
{
	buf_clear(out);
	buf_put_span(out, text);
}

static void
enter(struct state *s, enum state_source now, const char *why)
{
	if (s->source_now != now)
		s->source_since_us = clock_real_us(s->clock);
	s->source_now = now;
	snprintf(s->source_why, sizeof(s->source_why), "%s", why);
	metric_set(&s->metrics->source_up, now == STATE_STREAMING);
	metric_set(&s->metrics->source_gap, now == STATE_GAP);
}

void
state_streaming(struct state *s, struct span server, struct span start)
{
	metric_inc(&s->metrics->source_connect);
	pthread_mutex_lock(&s->lock);
	enter(s, STATE_STREAMING, "");
	copy_span(s->server, sizeof(s->server), server);
	copy_buf(&s->start, start);
	pthread_mutex_unlock(&s->lock);
	atomic_store_explicit(&s->heard_ns, clock_mono_ns(s->clock), memory_order_relaxed);
}

static metric_t *
counter_of(struct state_metrics *m, err_t err)
{
	switch (err) {
	case ERR_AUTH:
		return &m->source_error_auth;
	case ERR_PRIVILEGE:
		return &m->source_error_privilege;
	case ERR_SOURCE_SETUP:
		return &m->source_error_setup;
	case ERR_CONN:
		return &m->source_error_conn;
	case ERR_TIMEOUT:
		return &m->source_error_timeout;
	default:
		return &m->source_error_other;
	}
}

void
state_source(struct state *s, enum state_source now, const struct err_detail *why)
{
	if (why->code != ERR_OK && why->code != ERR_CLOSED)
		metric_inc(counter_of(s->metrics, why->code));
	pthread_mutex_lock(&s->lock);
	enter(s, now, why->code == ERR_OK ? "" : err_why(why));
	s->gap = now == STATE_GAP ? gap_of(why->code)->name : NULL;
	pthread_mutex_unlock(&s->lock);
}

void
state_heard(struct state *s)
{
	atomic_store_explicit(&s->heard, atomic_load_explicit(&s->heard, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

void
state_read(struct state *s, struct span file, uint64_t pos)
{
	pthread_mutex_lock(&s->lock);
	copy_span(s->file, sizeof(s->file), file);
	s->pos = pos;
	pthread_mutex_unlock(&s->lock);
}

void
state_log(struct state *s, enum state_log now, const struct err_detail *why)
{
	pthread_mutex_lock(&s->lock);
	s->log_now = now;
	snprintf(s->log_why, sizeof(s->log_why), "%s", why->code == ERR_OK ? "" : err_why(why));
	metric_set(&s->metrics->log_up, now == STATE_LOG_OK || now == STATE_LOG_WAITING);
	pthread_mutex_unlock(&s->lock);
}

void
state_acknowledged(struct state *s, struct span checkpoint, uint64_t ntxns, uint64_t nkeys)
{
	pthread_mutex_lock(&s->lock);
	if (checkpoint.len > 0) {
		copy_buf(&s->checkpoint, checkpoint);
		s->has_checkpoint = true;
	}
	s->acked_us = clock_real_us(s->clock);
	s->txns += ntxns;
	s->keys += nkeys;
	if (s->log_now != STATE_LOG_OK) {
		s->log_now = STATE_LOG_OK;
		s->log_why[0] = '\0';
		metric_set(&s->metrics->log_up, 1);
	}
	pthread_mutex_unlock(&s->lock);
}

bool
state_has_checkpoint(struct state *s)
{
	bool has;

	pthread_mutex_lock(&s->lock);
	has = s->has_checkpoint;
	pthread_mutex_unlock(&s->lock);
	return has;
}

/* Milliseconds since something was heard; UINT64_MAX when nothing ever was. */
static uint64_t
silence_ms(const struct state *s)
{
	uint64_t heard = atomic_load_explicit(&s->heard_ns, memory_order_relaxed);
	uint64_t now = clock_mono_ns(s->clock);

	if (heard == 0)
		return UINT64_MAX;
	return now > heard ? (now - heard) / 1000000 : 0;
}

void
state_reasons(struct state *s, uint64_t unready_after_ms, state_reason_fn *fn, void *arg)
{
	char text[sizeof(s->source_why) + 64];
	uint64_t silence = silence_ms(s);

	pthread_mutex_lock(&s->lock);
	switch (s->source_now) {
	case STATE_STREAMING:
		if (silence > unready_after_ms) {
			snprintf(text, sizeof(text), "nothing was heard from the source for %" PRIu64 " s",
				 silence / 1000);
			fn(arg, text);
		}
		break;
	case STATE_CONNECTING:
		snprintf(text, sizeof(text), "not connected to the source: %s",
			 s->source_why[0] != '\0' ? s->source_why : "just started");
		fn(arg, text);
		break;
	case STATE_GAP:
		snprintf(text, sizeof(text), "GAP: %s", s->source_why);
		fn(arg, text);
		break;
	case STATE_STOPPED:
		fn(arg, "stopped reading");
		break;
	}
	if (s->log_now == STATE_LOG_BLOCKED || s->log_now == STATE_LOG_FAILED) {
		snprintf(text, sizeof(text), "the log takes no records: %s", s->log_why);
		fn(arg, text);
	}
	if (s->log_now == STATE_LOG_WAITING) {
		snprintf(text, sizeof(text), "commits cannot be seen to be visible on the source: %s",
			 s->log_why);
		fn(arg, text);
	}
	if (!s->has_checkpoint)
		fn(arg, "no checkpoint was stored yet");
	pthread_mutex_unlock(&s->lock);
}

void
state_json(struct state *s, struct json *j)
{
	uint64_t silence = silence_ms(s);

	pthread_mutex_lock(&s->lock);
	json_name(j, "source");
	json_object(j);
	json_kv_str(j, "name", s->source);
	json_kv_str(j, "state", source_words[s->source_now]);
	json_kv_str(j, "reason", s->source_why[0] != '\0' ? s->source_why : NULL);
	json_kv_str(j, "gap", s->gap);
	json_kv_u64(j, "since_us", s->source_since_us);
	json_kv_str(j, "server", s->server);
	json_kv_str(j, "started_at", buf_str(&s->start));
	json_kv_str(j, "file", s->file);
	json_kv_u64(j, "pos", s->pos);
	json_name(j, "silent_ms");
	if (silence == UINT64_MAX)
		json_null(j);
	else
		json_u64(j, silence);
	json_object_end(j);
	json_name(j, "log");
	json_object(j);
	json_kv_str(j, "state", log_words[s->log_now]);
	json_kv_str(j, "reason", s->log_why[0] != '\0' ? s->log_why : NULL);
	json_kv_str(j, "checkpoint", s->has_checkpoint ? buf_str(&s->checkpoint) : NULL);
	json_kv_u64(j, "acknowledged_us", s->acked_us);
	json_kv_u64(j, "transactions", s->txns);
	json_kv_u64(j, "keys", s->keys);
	json_object_end(j);
	pthread_mutex_unlock(&s->lock);
}

void
state_line(struct state *s, char *out, size_t size)
{
	pthread_mutex_lock(&s->lock);
	snprintf(out, size, "source %s, log %s, %" PRIu64 " transactions, checkpoint %.200s",
		 source_words[s->source_now], log_words[s->log_now], s->txns,
		 s->has_checkpoint ? buf_str(&s->checkpoint) : "none");
	pthread_mutex_unlock(&s->lock);
}

void
state_refresh(struct state *s, uint64_t queue_bytes, bool queue_full)
{
	uint64_t heard = atomic_load_explicit(&s->heard, memory_order_relaxed);
	uint64_t silence;

	if (heard != s->heard_before)
		atomic_store_explicit(&s->heard_ns, clock_mono_ns(s->clock), memory_order_relaxed);
	s->heard_before = heard;
	silence = silence_ms(s);
	metric_set(&s->metrics->queue_bytes, queue_bytes);
	metric_set(&s->metrics->queue_full, queue_full);
	metric_set(&s->metrics->heard, silence == UINT64_MAX ? 0 : silence * 1000);
}
