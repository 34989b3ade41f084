#include "lib/broker/broker_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/broker_sqlite.h"
#include "lib/broker/kafka_tail.h"
#include "lib/broker/kafka_topic.h"
#include "lib/broker/kafka_witness.h"
#include "lib/core/crash.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum {
	ASK_MS = 3000,	 /* patience for one answer while opening, unless log.timeout is shorter */
	WALK_MS = 60000, /* for one step of a search through the topic */
	SLICE_MS = 2000, /* an append that takes longer says so; the next call goes on waiting */
	POLL_MS = 100,
	REPORT_MS = 1000,
	MARK_VERSION = 1,
};

#define MARK "\1kafka" /* the note with the mark; squeal does not see it */

/*
 * How far the topic went when the checkpoint was written: the offset behind our last record, and what tells
 * that record from another one at its place.
 */
struct mark {
	char log_id[KAFKA_LOG_ID_LEN + 1];
	uint32_t partition;
	uint64_t next, witness;
};

struct kafka_writer {
	struct broker_writer base;
	struct broker_context ctx;
	const struct log_options *opt;
	char *source;
	struct broker_writer *state;
	struct broker_metrics state_metrics; /* of the state file; nobody's */
	struct kafka *looker;
	struct kafka *producer; /* NULL: to be made */
	rd_kafka_topic_t *topic;
	struct kafka_topic found;
	struct kafka_settings settings;
	struct mark mark;

	/* The append under way, which the same call goes on with after ERR_BUSY. */
	bool under_way;
	uint64_t batch;	   /* tells it from another one */
	uint64_t *offsets; /* of its records, UINT64_MAX: not acknowledged */
	size_t cap_offsets, n;
	size_t nqueued;		    /* handed to librdkafka */
	size_t nacked;		    /* acknowledged without one before them that is not */
	bool alone;		    /* one at a time, to find the one that is too large */
	rd_kafka_resp_err_t failed; /* of the first record that failed */
	size_t failed_at;
	uint64_t witness;     /* of the last acknowledged */
	uint64_t progress_ms; /* when the last of them was acknowledged */
	const char *gap;      /* it is no record but a mark, with this reason */
};

static const struct broker_writer_ops kafka_writer_ops;

static void begin(struct kafka_writer *w, const struct span *records, size_t n, struct span checkpoint);
static err_t send_records(struct kafka_writer *w, const struct span *records, struct span checkpoint,
			  struct err_detail *why);

/* --- the mark ----------------------------------------------------------------------------------------------
 */

static void
mark_put(const struct mark *m, struct buf *out)
{
	buf_printf(out, "%d %s %u %" PRIu64 " %016" PRIx64, MARK_VERSION, m->log_id, m->partition, m->next,
		   m->witness);
}

static bool
mark_parse(struct span text, struct mark *m)
{
	unsigned version = 0;
	char *s = span_dup(text);
	bool ok = sscanf(s, "%u %32[0-9a-f] %u %" SCNu64 " %" SCNx64, &version, m->log_id, &m->partition,
			 &m->next, &m->witness) == 5 &&
		  version == MARK_VERSION && strlen(m->log_id) == KAFKA_LOG_ID_LEN;

	free(s);
	return ok;
}

/* Changes checkpoint, notes and mark in one transaction. */
static err_t
write_state(struct kafka_writer *w, struct span checkpoint, const struct broker_note *notes, size_t nnotes,
	    struct err_detail *why)
{
	struct broker_note *all = mem_zalloc(nnotes + 1, sizeof(all[0]));
	struct buf text = BUF_INIT;
	uint64_t unused;
	err_t err;

	if (nnotes > 0)
		memcpy(all, notes, nnotes * sizeof(all[0]));
	mark_put(&w->mark, &text);
	all[nnotes] = (struct broker_note){
	    .change = BROKER_NOTE_PUT, .name = SPAN_LIT(MARK), .part = 0, .value = buf_span(&text)};
	err = broker_append_notes(w->state, NULL, 0, checkpoint, all, nnotes + 1, &unused, why);
	buf_fini(&text);
	free(all);
	return err;
}

/* --- opening -----------------------------------------------------------------------------------------------
 */

static void
say_finding(void *arg, enum log_level level, const char *sentence)
{
	struct kafka_writer *w = arg;

	LOG_AT(w->ctx.log, level, "log: the topic", F_STR("topic", w->opt->topic),
	       F_STR("finding", sentence));
}

/* Goes back to the last position that the topic has before `end`; *found is false when it has none. */
static err_t
rebuild(struct kafka_writer *w, uint64_t end, bool *found, struct err_detail *why)
{
	struct broker_note note = {
	    .change = BROKER_NOTE_PUT, .name = SPAN_LIT(BROKER_NOTE_REBUILT), .part = 0};
	struct kafka_tail tail = KAFKA_TAIL_INIT;
	err_t err = kafka_tail_find(w->looker, w->mark.partition, w->source, end, WALK_MS, &tail, why);

	/* Records of a time when the topic had another number of partitions. */
	for (uint32_t p = 0; p < w->found.npartitions && err == ERR_OK && !tail.found && end == UINT64_MAX;
	     p++) {
		if (p == w->mark.partition)
			continue;
		err = kafka_tail_find(w->looker, p, w->source, UINT64_MAX, WALK_MS, &tail, why);
		if (err == ERR_OK && tail.found) {
			w->mark.partition = p;
			kafka_log_id(w->found.cluster, w->opt->topic, p, w->mark.log_id);
		}
	}
	*found = err == ERR_OK && tail.found;
	if (*found) {
		w->mark.next = tail.offset + 1;
		w->mark.witness = tail.witness;
		note.value = buf_span(&tail.checkpoint);
		err = write_state(w, buf_span(&tail.checkpoint), &note, 1, why);
	}
	if (err == ERR_OK && *found)
		log_notice(w->ctx.log,
			   "log: the checkpoint was taken from the topic's last record of this source",
			   F_STR("source", w->source), F_SPAN("checkpoint", buf_span(&tail.checkpoint)),
			   F_UINT("partition", w->mark.partition), F_UINT("offset", tail.offset));
	kafka_tail_fini(&tail);
	return err;
}

/* Readers learn that what was in the log before is gone for good.  `reason` is for people. */
static err_t
write_gap(struct kafka_writer *w, const char *reason, struct err_detail *why)
{
	const struct span empty = {"", 0};
	uint64_t until_ms = clock_mono_ms(w->ctx.clock) + w->opt->timeout;
	err_t err;

	log_error(w->ctx.log, "log: a gap is written into the topic: routers flush their servers",
		  F_STR("topic", w->opt->topic), F_UINT("partition", w->mark.partition),
		  F_STR("reason", reason));
	begin(w, &empty, 1, (struct span){"", 0});
	w->gap = reason;
	do {
		err_clear(why);
		err = send_records(w, &empty, (struct span){"", 0}, why);
	} while (err != ERR_OK && err_action(err) == ERR_DO_RETRY && clock_mono_ms(w->ctx.clock) < until_ms);
	w->gap = NULL;
	w->under_way = false;
	if (err != ERR_OK)
		return err;
	w->mark.next = w->offsets[0] + 1;
	w->mark.witness = w->witness;
	return write_state(w, (struct span){"", 0}, NULL, 0, why);
}

/* The topic lacks what it had acknowledged: its end, or all of it. */
static err_t
lost_end(struct kafka_writer *w, uint64_t end, struct err_detail *why)
{
	bool found = false;
	err_t err;

	metric_inc(&w->ctx.metrics->log_lost_end);
	log_error(
	    w->ctx.log,
	    "log: the topic has lost records that it had acknowledged (made anew, or an unclean election of "
	    "a leader); they are read from the source again",
	    F_STR("topic", w->opt->topic), F_UINT("partition", w->mark.partition),
	    F_UINT("acknowledged_up_to", w->mark.next), F_UINT("end", end));
	err = rebuild(w, UINT64_MAX, &found, why);
	if (err != ERR_OK || found)
		return err;
	/* Nothing of ours is left that would say from where to read again. */
	return write_gap(w, "the topic was made anew or has lost its end", why);
}

static err_t
compare_mark(struct kafka_writer *w, struct err_detail *why)
{
	const struct broker_witness last = {true, w->mark.next - 1, w->mark.witness};
	uint64_t first, end;
	bool same = true;
	err_t err;

	if (w->mark.next == 0)
		return ERR_OK;
	err = kafka_witness_same(w->looker, w->mark.partition, &last, ASK_MS, &same, why);
	if (err != ERR_OK || same)
		return err;
	err = kafka_bounds(w->looker, w->mark.partition, ASK_MS, &first, &end, why);
	return err == ERR_OK ? lost_end(w, end, why) : err;
}

/* No checkpoint anywhere: a new source, or one whose records were removed after its state was lost. */
static err_t
say_nothing_known(struct kafka_writer *w, struct err_detail *why)
{
	uint64_t first, end;
	err_t err = kafka_bounds(w->looker, w->mark.partition, ASK_MS, &first, &end, why);

	if (err == ERR_OK && first > 0)
		log_warn(w->ctx.log,
			 "log: there is no checkpoint, neither in the state file nor in what the topic still "
			 "has; if "
			 "this source is not new, what it committed since was missed: flush the caches",
			 F_STR("source", w->source), F_STR("topic", w->opt->topic),
			 F_STR("state", w->opt->state));
	return err;
}

/* Finds out where we are in the topic. */
static err_t
take_place(struct kafka_writer *w, struct err_detail *why)
{
	struct buf note = BUF_INIT, checkpoint = BUF_INIT;
	struct mark old = {.partition = 0};
	bool marked = false, found = false;
	err_t err;

	w->mark.partition = kafka_partition(w->source, w->found.npartitions);
	err = broker_note_read(w->state, SPAN_LIT(MARK), 0, &note, &marked, why);
	if (err == ERR_OK)
		err = broker_checkpoint(w->state, &checkpoint, why);
	if (err == ERR_CORRUPT && !marked)
		goto done;
	/* A damaged checkpoint is made again like one that is lost. */
	if (err == ERR_CORRUPT) {
		buf_clear(&checkpoint);
		err_clear(why);
		err = ERR_OK;
	}
	marked = marked && mark_parse(buf_span(&note), &old);
	/* The partition stays, whatever number of them the topic gets. */
	if (marked && old.partition < w->found.npartitions)
		w->mark.partition = old.partition;
	kafka_log_id(w->found.cluster, w->opt->topic, w->mark.partition, w->mark.log_id);
	if (err != ERR_OK)
		goto done;
	if (checkpoint.len == 0) {
		err = rebuild(w, UINT64_MAX, &found, why);
		if (err == ERR_OK && !found)
			err = say_nothing_known(w, why);
	} else if (marked && strcmp(old.log_id, w->mark.log_id) == 0) {
		w->mark.next = old.next;
		w->mark.witness = old.witness;
		err = compare_mark(w, why);
	} else {
		err = write_gap(w, "the state file is of another topic; squeal goes on from its checkpoint",
				why);
	}
	if (err == ERR_OK && w->mark.partition != kafka_partition(w->source, w->found.npartitions))
		log_notice(w->ctx.log, "log: the topic has more partitions now; this source stays in its own",
			   F_STR("source", w->source), F_UINT("partition", w->mark.partition),
			   F_UINT("partitions", w->found.npartitions));
done:
	buf_fini(&note);
	buf_fini(&checkpoint);
	return err;
}

static void close_writer(struct broker_writer *base);

err_t
broker_kafka_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			 const struct broker_context *ctx, struct err_detail *why)
{
	int ask_ms = opt->timeout < ASK_MS ? (int)opt->timeout : ASK_MS;
	struct kafka_writer *w = MEM_NEW(struct kafka_writer);
	struct broker_context state_ctx;
	err_t err;

	*out = NULL;
	w->base.ops = &kafka_writer_ops;
	w->ctx = *ctx;
	w->opt = opt;
	w->source = mem_strdup(source);
	state_ctx = (struct broker_context){ctx->clock, ctx->log, &w->state_metrics};
	err = kafka_conf_check(opt, why);
	if (err == ERR_OK)
		err = broker_sqlite_state_open(&w->state, opt, source, &state_ctx, why);
	if (err == ERR_OK)
		err = kafka_open(&w->looker, KAFKA_LOOKER, opt, NULL, NULL, w, ctx->log, why);
	if (err == ERR_OK)
		err = kafka_topic_check(w->looker, opt, 0, ask_ms, &w->found, &w->settings, say_finding, w,
					why);
	if (err == ERR_OK)
		err = take_place(w, why);
	if (err != ERR_OK)
		goto done;
	log_info(ctx->log, "log: writing to Kafka", F_STR("topic", opt->topic),
		 F_UINT("partition", w->mark.partition), F_UINT("partitions", w->found.npartitions),
		 F_STR("log_id", w->mark.log_id));
	*out = &w->base;
	w = NULL;
done:
	if (w != NULL)
		close_writer(&w->base);
	return err;
}

/* --- the producer ------------------------------------------------------------------------------------------
 */

/* What it has of the append is not acknowledged any more; a record that a broker took all the same is there
 * twice, which does no harm. */
static void
drop_producer(struct kafka_writer *w)
{
	if (w->producer == NULL)
		return;
	rd_kafka_purge(kafka_rk(w->producer), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	/* The reports of what was purged would else be waited for. */
	w->nqueued = w->nacked;
	while (rd_kafka_outq_len(kafka_rk(w->producer)) > 0 &&
	       rd_kafka_poll(kafka_rk(w->producer), POLL_MS) > 0)
		continue;
	rd_kafka_topic_destroy(w->topic);
	w->topic = NULL;
	kafka_close(&w->producer);
	w->nqueued = w->nacked;
	w->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void
close_writer(struct broker_writer *base)
{
	struct kafka_writer *w = (struct kafka_writer *)base;

	drop_producer(w);
	kafka_close(&w->looker);
	broker_writer_close(&w->state);
	free(w->offsets);
	free(w->source);
	free(w);
}

static bool
is_purged(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT ||
	       code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE;
}

/* In the appending thread, from rd_kafka_poll(). */
static void
on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_writer *w = kafka_arg(rk);
	size_t i = (size_t)(uintptr_t)m->_private;

	if (i >= w->n)
		return;
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		/* The first that failed is the one that says why; those behind it were given up with it. */
		if (w->failed == RD_KAFKA_RESP_ERR_NO_ERROR || (i < w->failed_at && !is_purged(m->err)) ||
		    (is_purged(w->failed) && !is_purged(m->err))) {
			w->failed = m->err;
			w->failed_at = i;
		}
		return;
	}
	w->offsets[i] = (uint64_t)m->offset;
	if (i + 1 == w->n)
		w->witness = kafka_witness_of(m).hash;
	while (w->nacked < w->n && w->offsets[w->nacked] != UINT64_MAX)
		w->nacked++;
	w->progress_ms = clock_mono_ms(w->ctx.clock);
}

static void
prepare_producer(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
}

static err_t
make_producer(struct kafka_writer *w, struct err_detail *why)
{
	struct kafka_setting more[2] = {{NULL, NULL}};
	char max[32];
	err_t err;

	if (w->producer != NULL)
		return ERR_OK;
	/* No batch is longer than what the topic takes. */
	if (w->settings.max_message_bytes >= 1000 && w->settings.max_message_bytes <= 1000000000 &&
	    strstr(w->opt->properties != NULL ? w->opt->properties : "", "message.max.bytes=") == NULL) {
		snprintf(max, sizeof(max), "%" PRId64, w->settings.max_message_bytes);
		more[0] = (struct kafka_setting){"message.max.bytes", max};
	}
	err = kafka_open(&w->producer, KAFKA_PRODUCER, w->opt, more, prepare_producer, w, w->ctx.log, why);
	if (err != ERR_OK)
		return err;
	w->topic = rd_kafka_topic_new(kafka_rk(w->producer), w->opt->topic, NULL);
	w->nqueued = w->nacked;
	w->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	return ERR_OK;
}

/* --- appending ---------------------------------------------------------------------------------------------
 */

/* Is it the call that is under way? */
static void
begin(struct kafka_writer *w, const struct span *records, size_t n, struct span checkpoint)
{
	uint64_t batch = hash_span(checkpoint, n);

	for (size_t i = 0; i < n; i++)
		batch = hash_span(records[i], batch);
	if (w->under_way && w->n == n && w->batch == batch)
		return;
	/* Reports of another append would be taken for this one's. */
	if (w->under_way && w->nqueued > w->nacked)
		drop_producer(w);
	if (n > w->cap_offsets) {
		w->cap_offsets = n;
		w->offsets = mem_realloc(w->offsets, n * sizeof(w->offsets[0]));
	}
	for (size_t i = 0; i < n; i++)
		w->offsets[i] = UINT64_MAX;
	w->under_way = true;
	w->batch = batch;
	w->n = n;
	w->nqueued = w->nacked = 0;
	w->alone = false;
	w->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	w->progress_ms = clock_mono_ms(w->ctx.clock);
}

/* Hands one record over; the code of librdkafka. */
static rd_kafka_resp_err_t
hand_over(struct kafka_writer *w, struct span record, size_t i, struct span checkpoint)
{
	rd_kafka_headers_t *headers = NULL;
	rd_kafka_resp_err_t code;
	int64_t at_ms = (int64_t)(clock_real_us(w->ctx.clock) / 1000);

	if (w->gap != NULL) {
		headers = rd_kafka_headers_new(1);
		rd_kafka_header_add(headers, BROKER_KAFKA_GAP, -1, w->gap, -1);
	} else if (i + 1 == w->n && checkpoint.len > 0) {
		headers = rd_kafka_headers_new(1);
		rd_kafka_header_add(headers, BROKER_KAFKA_CHECKPOINT, -1, checkpoint.p,
				    (ssize_t)checkpoint.len);
	}
	/* Copied: librdkafka may have it for longer than this call lasts. */
	code = rd_kafka_producev(
	    kafka_rk(w->producer), RD_KAFKA_V_RKT(w->topic), RD_KAFKA_V_PARTITION((int32_t)w->mark.partition),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(w->source, strlen(w->source)),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)record.p, record.len), RD_KAFKA_V_TIMESTAMP(at_ms),
	    RD_KAFKA_V_OPAQUE((void *)(uintptr_t)i), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
		rd_kafka_headers_destroy(headers);
	return code;
}

static void
queue_some(struct kafka_writer *w, const struct span *records, struct span checkpoint)
{
	size_t end = w->alone ? w->nacked + 1 : w->n;

	while (w->nqueued < end) {
		rd_kafka_resp_err_t code = hand_over(w, records[w->nqueued], w->nqueued, checkpoint);

		if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return; /* there is room again when brokers have taken some */
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
			w->failed = code;
			w->failed_at = w->nqueued;
			return;
		}
		w->nqueued++;
	}
}

/* A record failed for good, or the producer did.  ERR_OK: go on. */
static err_t
on_failure(struct kafka_writer *w, const struct span *records, struct err_detail *why)
{
	rd_kafka_resp_err_t code = w->failed, fatal;
	size_t at = w->failed_at;
	char text[256] = "";
	err_t err;

	fatal = rd_kafka_fatal_error(kafka_rk(w->producer), text, sizeof(text));
	/* An error that ends the producer is seen before the reports of the records that it is about. */
	while (fatal != RD_KAFKA_RESP_ERR_NO_ERROR &&
	       (code == RD_KAFKA_RESP_ERR_NO_ERROR || is_purged(code)) &&
	       rd_kafka_outq_len(kafka_rk(w->producer)) > 0 &&
	       rd_kafka_poll(kafka_rk(w->producer), REPORT_MS) > 0) {
		code = w->failed;
		at = w->failed_at;
	}
	if (w->nacked == w->n)
		return ERR_OK;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !w->alone && w->n > 1) {
		/* It may be the records together that are too long for a topic whose limit we do not know. */
		drop_producer(w);
		w->alone = true;
		return ERR_OK;
	}
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
		err = err_set(
		    why, ERR_TOO_LONG,
		    "topic %s takes no record of %zu bytes; raise max.message.bytes of the topic (and "
		    "message.max.bytes in log.properties with it), or lower squeal.batch_bytes",
		    w->opt->topic, records[at].len);
		drop_producer(w);
		w->under_way = false;
		return err;
	}
	if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR && (code == RD_KAFKA_RESP_ERR_NO_ERROR || is_purged(code))) {
		err = err_set(
		    why, ERR_BUSY,
		    "topic %s: librdkafka gave up its connection (%s); a new one is made, and what was not "
		    "acknowledged is written again",
		    w->opt->topic, text);
		err_one_line(why);
	} else {
		err = kafka_error(w->producer, code, "writing", why);
	}
	metric_inc(&w->ctx.metrics->log_new_producer);
	drop_producer(w);
	return err;
}

static err_t
waiting(struct kafka_writer *w, struct err_detail *why)
{
	uint64_t now_ms = clock_mono_ms(w->ctx.clock);
	struct buf trouble = BUF_INIT;
	bool any = kafka_trouble(w->producer, &trouble);
	err_t err =
	    err_set(why, any ? ERR_CONN : ERR_BUSY,
		    "topic %s: no broker has acknowledged a record for %" PRIu64
		    " ms%s%s; look whether the partition has a leader and enough replicas in sync; waiting",
		    w->opt->topic, now_ms - w->progress_ms, any ? ": " : "", any ? buf_str(&trouble) : "");

	err_one_line(why);
	buf_fini(&trouble);
	kafka_untroubled(w->producer);
	return err;
}

/* Until every record is acknowledged, for at most a slice of time. */
static err_t
send_records(struct kafka_writer *w, const struct span *records, struct span checkpoint,
	     struct err_detail *why)
{
	uint64_t until_ms = clock_mono_ms(w->ctx.clock) + SLICE_MS;
	err_t err = ERR_OK;

	while (err == ERR_OK && w->nacked < w->n) {
		uint64_t now_ms;

		err = make_producer(w, why);
		if (err != ERR_OK)
			break;
		queue_some(w, records, checkpoint);
		if (w->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_poll(kafka_rk(w->producer), POLL_MS);
		now_ms = clock_mono_ms(w->ctx.clock);
		if (w->failed != RD_KAFKA_RESP_ERR_NO_ERROR ||
		    rd_kafka_fatal_error(kafka_rk(w->producer), NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
			if (w->nacked < w->n)
				err = on_failure(w, records, why);
		} else if (w->nacked < w->n && now_ms - w->progress_ms >= w->opt->timeout) {
			err = waiting(w, why);
			metric_inc(&w->ctx.metrics->log_new_producer);
			drop_producer(w);
			w->progress_ms = now_ms;
		} else if (w->nacked < w->n && now_ms >= until_ms) {
			err = waiting(w, why);
		}
	}
	return err;
}

/* What was acknowledged before is gone: the new records have offsets that were given before. */
static err_t
lost_while_writing(struct kafka_writer *w, uint64_t had, uint64_t got, struct err_detail *why)
{
	bool found = false;
	err_t err;

	metric_inc(&w->ctx.metrics->log_lost_end);
	err = rebuild(w, got, &found, why);
	if (err != ERR_OK)
		return err;
	w->under_way = false;
	if (!found)
		return write_gap(w, "the topic was made anew or has lost its end", why);
	return err_set(
	    why, ERR_NOT_FOUND,
	    "topic %s has lost acknowledged records (it had %" PRIu64 " and gives %" PRIu64
	    " again): made anew, or an unclean election of a leader; squeal must start again, and reads "
	    "them from the source once more",
	    w->opt->topic, had, got);
}

/* Offsets only grow, within an append too: a topic may be made anew between two of its records. */
static err_t
look_for_loss(struct kafka_writer *w, uint64_t next, struct err_detail *why)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->offsets[i] < next)
			return lost_while_writing(w, next, w->offsets[i], why);
		next = w->offsets[i] + 1;
	}
	return ERR_OK;
}

static err_t
append(struct broker_writer *base, const struct span *records, size_t n, struct span checkpoint,
       const struct broker_note *notes, size_t nnotes, uint64_t *first, struct err_detail *why)
{
	struct kafka_writer *w = (struct kafka_writer *)base;
	struct broker_metrics *m = w->ctx.metrics;
	uint64_t started_ns = clock_mono_ns(w->ctx.clock), bytes = 0;
	struct mark old = w->mark;
	uint64_t at = 0;
	err_t err = ERR_OK;

	begin(w, records, n, checkpoint);
	CRASH_POINT("broker.kafka.begin");
	if (n > 0)
		err = send_records(w, records, checkpoint, why);
	CRASH_POINT("broker.kafka.acked");
	if (err == ERR_OK && n > 0) {
		at = w->offsets[0];
		w->mark.next = w->offsets[n - 1] + 1;
		w->mark.witness = w->witness;
		err = look_for_loss(w, old.next, why);
	}
	if (err == ERR_OK) {
		err = write_state(w, checkpoint, notes, nnotes, why);
		if (err != ERR_OK)
			w->mark = old;
	}
	CRASH_POINT("broker.kafka.stated");
	if (err != ERR_OK) {
		metric_inc(&m->log_append_error);
		return err;
	}
	*first = at;
	w->under_way = false;
	for (size_t i = 0; i < n; i++)
		bytes += records[i].len;
	metric_inc(&m->log_append);
	metric_add(&m->log_record, n);
	metric_add(&m->log_bytes, bytes);
	histogram_record(&m->log_append_time, (clock_mono_ns(w->ctx.clock) - started_ns) / 1000);
	return ERR_OK;
}

/* --- what the state file keeps
 * ------------------------------------------------------------------------------
 */

static err_t
note_read(struct broker_writer *base, struct span name, uint32_t part, struct buf *out, bool *found,
	  struct err_detail *why)
{
	return broker_note_read(((struct kafka_writer *)base)->state, name, part, out, found, why);
}

struct name_filter {
	broker_note_fn *fn;
	void *arg;
};

static void
pass_name(void *arg, struct span name)
{
	struct name_filter *f = arg;

	if (!span_is(name, MARK))
		f->fn(f->arg, name);
}

static err_t
note_names(struct broker_writer *base, broker_note_fn *fn, void *arg, struct err_detail *why)
{
	struct name_filter f = {fn, arg};

	return broker_note_names(((struct kafka_writer *)base)->state, pass_name, &f, why);
}

static err_t
read_checkpoint(struct broker_writer *base, struct buf *out, struct err_detail *why)
{
	return broker_checkpoint(((struct kafka_writer *)base)->state, out, why);
}

static const struct broker_writer_ops kafka_writer_ops = {
    .close = close_writer,
    .append = append,
    .note_read = note_read,
    .note_names = note_names,
    .checkpoint = read_checkpoint,
};
