#include "lib/broker/kafka_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker_kafka.h"
#include "lib/broker/kafka_witness.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum {
	SLICE_MS = 2000, /* a call that takes longer says so; the next one goes on waiting */
	POLL_MS = 100,
	REPORT_MS = 1000,
};

struct kafka_batch {
	struct broker_context ctx;
	const struct log_options *opt;
	const char *source;
	int64_t max_message_bytes; /* of the topic; 0: not known */
	struct kafka *producer;	   /* NULL: to be made */
	rd_kafka_topic_t *topic;

	bool under_way;
	uint64_t id; /* tells these records from others */
	uint32_t partition;
	uint64_t *offsets; /* UINT64_MAX: not acknowledged */
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

struct kafka_batch *
kafka_batch_create(const struct log_options *opt, const char *source, int64_t max_message_bytes,
		   const struct broker_context *ctx)
{
	struct kafka_batch *b = MEM_NEW(struct kafka_batch);

	b->ctx = *ctx;
	b->opt = opt;
	b->source = source;
	b->max_message_bytes = max_message_bytes;
	return b;
}

/* --- the producer ------------------------------------------------------------------------------------------
 */

/* What it has of the append is not acknowledged any more; a record that a broker took all the same is there
 * twice, which does no harm. */
static void
drop_producer(struct kafka_batch *b)
{
	if (b->producer == NULL)
		return;
	rd_kafka_purge(kafka_rk(b->producer), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	/* The reports of what was purged would else be waited for. */
	b->nqueued = b->nacked;
	while (rd_kafka_outq_len(kafka_rk(b->producer)) > 0 &&
	       rd_kafka_poll(kafka_rk(b->producer), POLL_MS) > 0)
		continue;
	rd_kafka_topic_destroy(b->topic);
	b->topic = NULL;
	kafka_close(&b->producer);
	b->nqueued = b->nacked;
	b->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
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
	struct kafka_batch *b = kafka_arg(rk);
	size_t i = (size_t)(uintptr_t)m->_private;

	if (i >= b->n)
		return;
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		/* The first that failed is the one that says why; those behind it were given up with it. */
		if (b->failed == RD_KAFKA_RESP_ERR_NO_ERROR || (i < b->failed_at && !is_purged(m->err)) ||
		    (is_purged(b->failed) && !is_purged(m->err))) {
			b->failed = m->err;
			b->failed_at = i;
		}
		return;
	}
	b->offsets[i] = (uint64_t)m->offset;
	if (i + 1 == b->n)
		b->witness = kafka_witness_of(m).hash;
	while (b->nacked < b->n && b->offsets[b->nacked] != UINT64_MAX)
		b->nacked++;
	b->progress_ms = clock_mono_ms(b->ctx.clock);
}

static void
prepare_producer(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
}

static err_t
make_producer(struct kafka_batch *b, struct err_detail *why)
{
	struct kafka_setting more[2] = {{NULL, NULL}};
	char max[32];
	err_t err;

	if (b->producer != NULL)
		return ERR_OK;
	/* No batch is longer than what the topic takes. */
	if (b->max_message_bytes >= 1000 && b->max_message_bytes <= 1000000000 &&
	    strstr(b->opt->properties != NULL ? b->opt->properties : "", "message.max.bytes=") == NULL) {
		snprintf(max, sizeof(max), "%" PRId64, b->max_message_bytes);
		more[0] = (struct kafka_setting){"message.max.bytes", max};
	}
	err = kafka_open(&b->producer, KAFKA_PRODUCER, b->opt, more, prepare_producer, b, b->ctx.log, why);
	if (err != ERR_OK)
		return err;
	b->topic = rd_kafka_topic_new(kafka_rk(b->producer), b->opt->topic, NULL);
	b->nqueued = b->nacked;
	b->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	return ERR_OK;
}

/* --- appending ---------------------------------------------------------------------------------------------
 */

void
kafka_batch_begin(struct kafka_batch *b, uint32_t partition, const struct span *records, size_t n,
		  struct span checkpoint)
{
	uint64_t id = hash_span(checkpoint, n);

	for (size_t i = 0; i < n; i++)
		id = hash_span(records[i], id);
	if (b->under_way && b->n == n && b->id == id)
		return;
	/* Reports of another append would be taken for this one's. */
	if (b->under_way && b->nqueued > b->nacked)
		drop_producer(b);
	if (n > b->cap_offsets) {
		b->cap_offsets = n;
		b->offsets = mem_realloc(b->offsets, n * sizeof(b->offsets[0]));
	}
	for (size_t i = 0; i < n; i++)
		b->offsets[i] = UINT64_MAX;
	b->under_way = true;
	b->id = id;
	b->n = n;
	b->nqueued = b->nacked = 0;
	b->alone = false;
	b->gap = NULL;
	b->partition = partition;
	b->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	b->progress_ms = clock_mono_ms(b->ctx.clock);
}

/* Hands one record over; the code of librdkafka. */
static rd_kafka_resp_err_t
hand_over(struct kafka_batch *b, struct span record, size_t i, struct span checkpoint)
{
	rd_kafka_headers_t *headers = NULL;
	rd_kafka_resp_err_t code;
	int64_t at_ms = (int64_t)(clock_real_us(b->ctx.clock) / 1000);

	if (b->gap != NULL) {
		headers = rd_kafka_headers_new(1);
		rd_kafka_header_add(headers, BROKER_KAFKA_GAP, -1, b->gap, -1);
	} else if (i + 1 == b->n && checkpoint.len > 0) {
		headers = rd_kafka_headers_new(1);
		rd_kafka_header_add(headers, BROKER_KAFKA_CHECKPOINT, -1, checkpoint.p,
				    (ssize_t)checkpoint.len);
	}
	/* Copied: librdkafka may have it for longer than this call lasts. */
	code = rd_kafka_producev(
	    kafka_rk(b->producer), RD_KAFKA_V_RKT(b->topic), RD_KAFKA_V_PARTITION((int32_t)b->partition),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(b->source, strlen(b->source)),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)record.p, record.len), RD_KAFKA_V_TIMESTAMP(at_ms),
	    RD_KAFKA_V_OPAQUE((void *)(uintptr_t)i), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
		rd_kafka_headers_destroy(headers);
	return code;
}

static void
queue_some(struct kafka_batch *b, const struct span *records, struct span checkpoint)
{
	size_t end = b->alone ? b->nacked + 1 : b->n;

	while (b->nqueued < end) {
		rd_kafka_resp_err_t code = hand_over(b, records[b->nqueued], b->nqueued, checkpoint);

		if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return; /* there is room again when brokers have taken some */
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
			b->failed = code;
			b->failed_at = b->nqueued;
			return;
		}
		b->nqueued++;
	}
}

/* A record failed for good, or the producer did.  ERR_OK: go on. */
static err_t
on_failure(struct kafka_batch *b, const struct span *records, struct err_detail *why)
{
	rd_kafka_resp_err_t code = b->failed, fatal;
	size_t at = b->failed_at;
	char text[256] = "";
	err_t err;

	fatal = rd_kafka_fatal_error(kafka_rk(b->producer), text, sizeof(text));
	/* An error that ends the producer is seen before the reports of the records that it is about. */
	while (fatal != RD_KAFKA_RESP_ERR_NO_ERROR &&
	       (code == RD_KAFKA_RESP_ERR_NO_ERROR || is_purged(code)) &&
	       rd_kafka_outq_len(kafka_rk(b->producer)) > 0 &&
	       rd_kafka_poll(kafka_rk(b->producer), REPORT_MS) > 0) {
		code = b->failed;
		at = b->failed_at;
	}
	if (b->nacked == b->n)
		return ERR_OK;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !b->alone && b->n > 1) {
		/* It may be the records together that are too long for a topic whose limit we do not know. */
		drop_producer(b);
		b->alone = true;
		return ERR_OK;
	}
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
		err = err_set(
		    why, ERR_TOO_LONG,
		    "topic %s takes no record of %zu bytes; raise max.message.bytes of the topic (and "
		    "message.max.bytes in log.properties with it), or lower squeal.batch_bytes",
		    b->opt->topic, records[at].len);
		drop_producer(b);
		b->under_way = false;
		return err;
	}
	if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR && (code == RD_KAFKA_RESP_ERR_NO_ERROR || is_purged(code))) {
		err = err_set(
		    why, ERR_BUSY,
		    "topic %s: librdkafka gave up its connection (%s); a new one is made, and what was not "
		    "acknowledged is written again",
		    b->opt->topic, text);
		err_one_line(why);
	} else {
		err = kafka_error(b->producer, code, "writing", why);
	}
	metric_inc(&b->ctx.metrics->log_new_producer);
	drop_producer(b);
	return err;
}

static err_t
waiting(struct kafka_batch *b, struct err_detail *why)
{
	uint64_t now_ms = clock_mono_ms(b->ctx.clock);
	struct buf trouble = BUF_INIT;
	bool any = kafka_trouble(b->producer, &trouble);
	err_t err =
	    err_set(why, any ? ERR_CONN : ERR_BUSY,
		    "topic %s: no broker has acknowledged a record for %" PRIu64
		    " ms%s%s; look whether the partition has a leader and enough replicas in sync; waiting",
		    b->opt->topic, now_ms - b->progress_ms, any ? ": " : "", any ? buf_str(&trouble) : "");

	err_one_line(why);
	buf_fini(&trouble);
	kafka_untroubled(b->producer);
	return err;
}

err_t
kafka_batch_send(struct kafka_batch *b, const struct span *records, struct span checkpoint,
		 struct err_detail *why)
{
	uint64_t until_ms = clock_mono_ms(b->ctx.clock) + SLICE_MS;
	err_t err = ERR_OK;

	while (err == ERR_OK && b->nacked < b->n) {
		uint64_t now_ms;

		err = make_producer(b, why);
		if (err != ERR_OK)
			break;
		queue_some(b, records, checkpoint);
		if (b->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_poll(kafka_rk(b->producer), POLL_MS);
		now_ms = clock_mono_ms(b->ctx.clock);
		if (b->failed != RD_KAFKA_RESP_ERR_NO_ERROR ||
		    rd_kafka_fatal_error(kafka_rk(b->producer), NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
			if (b->nacked < b->n)
				err = on_failure(b, records, why);
		} else if (b->nacked < b->n && now_ms - b->progress_ms >= b->opt->timeout) {
			err = waiting(b, why);
			metric_inc(&b->ctx.metrics->log_new_producer);
			drop_producer(b);
			b->progress_ms = now_ms;
		} else if (b->nacked < b->n && now_ms >= until_ms) {
			err = waiting(b, why);
		}
	}
	return err;
}

void
kafka_batch_gap(struct kafka_batch *b, uint32_t partition, const char *reason)
{
	const struct span empty = {"", 0};

	kafka_batch_begin(b, partition, &empty, 1, empty);
	b->gap = reason;
}

void
kafka_batch_end(struct kafka_batch *b)
{
	b->under_way = false;
	b->gap = NULL;
}

size_t
kafka_batch_offsets(const struct kafka_batch *b, const uint64_t **offsets)
{
	*offsets = b->offsets;
	return b->n;
}

uint64_t
kafka_batch_witness(const struct kafka_batch *b)
{
	return b->witness;
}

void
kafka_batch_destroy(struct kafka_batch **bp)
{
	struct kafka_batch *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	drop_producer(b);
	free(b->offsets);
	free(b);
}
