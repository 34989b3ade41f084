#include "lib/broker/broker_kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/kafka_tail.h"
#include "lib/broker/kafka_watch.h"
#include "lib/broker/kafka_witness.h"
#include "lib/core/mem.h"

enum {
	STREAMS = 3,	     /* places of the log that are followed at the same time */
	HELD = 64,	     /* messages taken out of librdkafka's queue at once */
	PATIENCE_MS = 1000,  /* a stream that has given nothing yet is not taken away for so long */
	TAIL_MS = 60000,     /* for one step of a search for a checkpoint */
	LOST_END_ROUNDS = 2, /* a place beyond the end must be found there so often: a new leader is behind */
};

/* One place of the log from which records come: a consumer with messages in advance. */
struct stream {
	struct kafka *k; /* NULL: never used */
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue; /* NULL: stopped */
	uint64_t at;		 /* the next offset to hand over */
	uint64_t sought_ms, used_ms;
	bool gave; /* something, since it was put there */
	rd_kafka_message_t *held[HELD];
	size_t next_held, nheld;

	bool out_of_range; /* the broker says that `at` is not in the log */
	uint64_t asked;	   /* an answer of the watch that is older tells nothing of `at` */
	unsigned beyond;   /* answers by which it lies beyond the end */
	bool doubted;	   /* asked whether the log is still the one that was read */
};

struct kafka_reader {
	struct broker_reader base;
	struct broker_context ctx;
	const struct log_options *opt;
	struct kafka_watch *watch;
	struct kafka_view view;
	int fd;
	bool refused;		       /* a place found no stream: somebody should ask again */
	struct broker_witness witness; /* the first record that was handed over */
	struct stream streams[STREAMS];
};

static const struct broker_reader_ops kafka_reader_ops;

/* --- streams -----------------------------------------------------------------------------------------------
 */

static void
ring(struct kafka_reader *r)
{
	static const uint64_t one = 1;

	if (write(r->fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static void
stop(struct kafka_reader *r, struct stream *s)
{
	while (s->next_held < s->nheld)
		rd_kafka_message_destroy(s->held[s->next_held++]);
	s->next_held = s->nheld = 0;
	if (s->queue == NULL)
		return;
	rd_kafka_queue_io_event_enable(s->queue, -1, NULL, 0);
	rd_kafka_consume_stop(s->topic, (int32_t)r->view.partition);
	rd_kafka_queue_destroy(s->queue);
	s->queue = NULL;
}

/* A queue of its own for each place: nothing of the former place can be in it. */
static err_t
start(struct kafka_reader *r, struct stream *s, uint64_t from, struct err_detail *why)
{
	static const uint64_t one = 1;
	err_t err = ERR_OK;

	stop(r, s);
	if (s->k == NULL) {
		err = kafka_open(&s->k, KAFKA_STREAM, r->opt, NULL, NULL, r, r->ctx.log, why);
		if (err != ERR_OK)
			return err;
		s->topic = rd_kafka_topic_new(kafka_rk(s->k), r->opt->topic, NULL);
	}
	s->queue = rd_kafka_queue_new(kafka_rk(s->k));
	rd_kafka_queue_io_event_enable(s->queue, r->fd, &one, sizeof(one));
	s->at = from;
	s->sought_ms = s->used_ms = clock_mono_ms(r->ctx.clock);
	s->gave = s->out_of_range = false;
	if (rd_kafka_consume_start_queue(s->topic, (int32_t)r->view.partition, (int64_t)from, s->queue) !=
	    0) {
		err = kafka_error(s->k, rd_kafka_last_error(), "reading", why);
		rd_kafka_queue_destroy(s->queue);
		s->queue = NULL;
	}
	return err;
}

/* The place farthest ahead, which the live reading follows. */
static const struct stream *
live(const struct kafka_reader *r)
{
	const struct stream *found = NULL;

	for (size_t i = 0; i < STREAMS; i++) {
		if (r->streams[i].queue != NULL && (found == NULL || r->streams[i].at > found->at))
			found = &r->streams[i];
	}
	return found;
}

/*
 * The stream that is at `from`, or one that is put there; *out is NULL when all of them are needed where they
 * are.  A stream is taken away from its place when nobody has asked for that for longest, but not before it
 * has given something, and not from the live place while that is asked for.
 */
static err_t
find_stream(struct kafka_reader *r, uint64_t from, struct stream **out, struct err_detail *why)
{
	uint64_t now_ms = clock_mono_ms(r->ctx.clock);
	const struct stream *front = live(r);
	struct stream *oldest = NULL;

	*out = NULL;
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &r->streams[i];

		if (s->queue != NULL && s->at == from) {
			s->used_ms = now_ms;
			*out = s;
			return ERR_OK;
		}
	}
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &r->streams[i];

		if (s->queue == NULL) {
			oldest = s;
			break;
		}
		if ((!s->gave && now_ms - s->sought_ms < PATIENCE_MS) ||
		    (s == front && from < s->at && now_ms - s->used_ms < PATIENCE_MS))
			continue;
		if (oldest == NULL || s->used_ms < oldest->used_ms)
			oldest = s;
	}
	r->refused = oldest == NULL;
	if (oldest == NULL)
		return ERR_OK;
	oldest->beyond = 0;
	oldest->doubted = false;
	oldest->asked = r->view.round;
	*out = oldest;
	return start(r, oldest, from, why);
}

/* --- what comes --------------------------------------------------------------------------------------------
 */

/* *m is NULL when nothing has come. */
static void
take(struct stream *s, rd_kafka_message_t **m)
{
	*m = NULL;
	if (s->next_held == s->nheld) {
		ssize_t n = rd_kafka_consume_batch_queue(s->queue, 0, s->held, HELD);

		s->next_held = 0;
		s->nheld = n > 0 ? (size_t)n : 0;
	}
	if (s->next_held < s->nheld)
		*m = s->held[s->next_held++];
}

/* The log reaches to s->at just now.  A round of the watch that has begun before may be under way. */
static void
saw_place(const struct kafka_reader *r, struct stream *s)
{
	s->beyond = 0;
	s->doubted = false;
	s->asked = r->view.round + 3;
}

static err_t
take_error(struct kafka_reader *r, struct stream *s, const rd_kafka_message_t *m, struct err_detail *why)
{
	err_t err;

	switch (m->err) {
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		/* What is before the end and did not come is no record (marks of transactions). */
		if (m->offset > 0 && (uint64_t)m->offset > s->at)
			s->at = (uint64_t)m->offset;
		saw_place(r, s);
		return ERR_OK;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		s->out_of_range = true;
		s->asked = kafka_watch_ask(r->watch);
		return ERR_OK;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		/* The watch says whether it is so. */
		kafka_watch_ask(r->watch);
		return ERR_OK;
	default:
		err = kafka_error(s->k, m->err, "reading", why);
		if (err == ERR_PRIVILEGE || err == ERR_AUTH)
			return err;
		/* librdkafka tries again. */
		metric_inc(&r->ctx.metrics->log_read_error);
		log_notice(r->ctx.log, "log: a read failed; it is tried again",
			   F_UINT("partition", r->view.partition), F_STR("reason", err_why(why)));
		err_clear(why);
		return ERR_OK;
	}
}

/*
 * The place lies beyond the end, by several answers.  A log that has lost its end goes on there; another one,
 * that was made anew in its place, is read from its beginning.  What is not known to be the former is taken
 * for the latter: that costs repeats.
 */
static err_t
beyond_end(struct kafka_reader *r, struct stream *s, uint64_t *next, struct err_detail *why)
{
	uint64_t from = s->at;
	bool same;

	if (r->witness.known && !s->doubted) {
		s->doubted = true;
		s->asked = kafka_watch_doubt(r->watch, &r->witness);
		return ERR_OK;
	}
	same = s->doubted && r->view.same;
	*next = same ? r->view.end : r->view.first;
	if (!same)
		r->witness.known = false;
	stop(r, s);
	return err_set(why, ERR_GAP,
		       "topic %s, partition %u ends at record %" PRIu64 " and record %" PRIu64
		       " was read before: it %s; flush the servers",
		       r->opt->topic, r->view.partition, r->view.end, from,
		       same ? "has lost its end" : "was made anew or has lost its end");
}

/* Was the place removed, or does it lie beyond the end? */
static err_t
look_at_range(struct kafka_reader *r, struct stream *s, uint64_t *next, struct err_detail *why)
{
	uint64_t from = s->at;

	if (r->view.round < s->asked)
		return ERR_OK; /* the watch asks once a second, and rings where it was asked to */
	if (from < r->view.first) {
		*next = r->view.first;
		stop(r, s);
		return err_set(
		    why, ERR_GAP,
		    "topic %s, partition %u: records %" PRIu64 " to %" PRIu64
		    " were removed before they were read; flush the servers that missed them, and raise "
		    "the topic's retention.ms or retention.bytes",
		    r->opt->topic, r->view.partition, from, r->view.first - 1);
	}
	if (from > r->view.end && ++s->beyond >= LOST_END_ROUNDS)
		return beyond_end(r, s, next, why);
	s->asked = r->view.round + 1;
	return s->out_of_range ? start(r, s, from, why) : ERR_OK;
}

/* squeal's mark where the log has a hole that nothing can fill (broker_kafka.h). */
static bool
is_gap(const rd_kafka_message_t *m)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	return m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->len == 0 &&
	       rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
	       rd_kafka_header_get_last(headers, BROKER_KAFKA_GAP, &value, &size) ==
		   RD_KAFKA_RESP_ERR_NO_ERROR;
}

static err_t
pass_gap(struct kafka_reader *r, struct stream *s, uint64_t offset, struct err_detail *why)
{
	s->at = offset + 1;
	s->gave = true;
	return err_set(
	    why, ERR_GAP,
	    "topic %s, partition %u: at record %" PRIu64
	    " squeal says that records were lost (the topic was made anew or has lost its end); flush the "
	    "servers",
	    r->opt->topic, r->view.partition, offset);
}

/* Gives one message on.  False: the caller has enough. */
static bool
hand_over(struct kafka_reader *r, struct stream *s, const rd_kafka_message_t *m, broker_record_fn *fn,
	  void *arg)
{
	struct broker_record rec = kafka_record(m);

	if (rec.offset < s->at)
		return true;
	rec.damaged = m->err == RD_KAFKA_RESP_ERR__BAD_MSG;
	if (rec.damaged) {
		rec.source = rec.bytes = SPAN_LIT("");
		metric_inc(&r->ctx.metrics->log_bad_record);
		log_error(r->ctx.log, "log: a record is damaged", F_STR("topic", r->opt->topic),
			  F_UINT("partition", r->view.partition), F_UINT("offset", rec.offset));
	}
	metric_inc(&r->ctx.metrics->log_read);
	s->at = rec.offset + 1;
	s->gave = true;
	saw_place(r, s);
	if (!rec.damaged && !r->witness.known)
		r->witness = kafka_witness_of(m);
	return fn(arg, &rec);
}

static err_t
read_stream(struct kafka_reader *r, struct stream *s, size_t max_records, size_t max_bytes,
	    broker_record_fn *fn, void *arg, struct err_detail *why)
{
	size_t n = 0, bytes = 0;
	err_t err = ERR_OK;
	bool more = true;

	while (more && err == ERR_OK && n < max_records && bytes < max_bytes && !s->out_of_range) {
		rd_kafka_message_t *m;

		take(s, &m);
		if (m == NULL)
			break;
		if (is_gap(m)) {
			if (n > 0) {
				s->next_held--; /* first what was read so far */
				break;
			}
			err = pass_gap(r, s, (uint64_t)m->offset, why);
		} else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || m->err == RD_KAFKA_RESP_ERR__BAD_MSG) {
			bytes += m->len;
			n++;
			more = hand_over(r, s, m, fn, arg);
		} else {
			err = take_error(r, s, m, why);
		}
		rd_kafka_message_destroy(m);
	}
	/* What was given is given; the trouble comes again if it lasts. */
	if (n > 0 && err != ERR_OK && err != ERR_GAP) {
		err_clear(why);
		err = ERR_OK;
	}
	return err;
}

static err_t
read_records(struct broker_reader *base, uint64_t from, size_t max_records, size_t max_bytes,
	     broker_record_fn *fn, void *arg, uint64_t *next, struct err_detail *why)
{
	struct kafka_reader *r = (struct kafka_reader *)base;
	struct stream *s = NULL;
	err_t err = ERR_OK;

	kafka_watch_view(r->watch, &r->view);
	if (r->view.gone)
		return err_set(why, ERR_NOT_FOUND,
			       "topic %s, partition %u is not there any more; open it again", r->opt->topic,
			       r->view.partition);
	if (max_records > 0)
		err = find_stream(r, from, &s, why);
	if (err != ERR_OK || s == NULL)
		goto done;
	err = read_stream(r, s, max_records, max_bytes, fn, arg, why);
	*next = s->at;
	if (err == ERR_OK && *next == from && (s->out_of_range || from > r->view.end))
		err = look_at_range(r, s, next, why);
	if (r->refused && s->gave) {
		r->refused = false;
		ring(r);
	}
done:
	if (err != ERR_OK && err != ERR_GAP)
		metric_inc(&r->ctx.metrics->log_read_error);
	return err;
}

static err_t
bounds(struct broker_reader *base, uint64_t *first, uint64_t *end, struct err_detail *why)
{
	struct kafka_reader *r = (struct kafka_reader *)base;
	int64_t lo, hi;

	kafka_watch_view(r->watch, &r->view);
	if (r->view.gone)
		return err_set(why, ERR_NOT_FOUND,
			       "topic %s, partition %u is not there any more; open it again", r->opt->topic,
			       r->view.partition);
	*first = r->view.first;
	*end = r->view.end;
	/* The live stream knows more than the last answer, unless its place is in doubt. */
	for (size_t i = 0; i < STREAMS; i++) {
		const struct stream *s = &r->streams[i];

		if (s->queue == NULL || s->out_of_range || !s->gave)
			continue;
		if (s->at > *end)
			*end = s->at;
		if (rd_kafka_get_watermark_offsets(kafka_rk(s->k), r->opt->topic, (int32_t)r->view.partition,
						   &lo, &hi) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		    hi > 0 && (uint64_t)hi > *end)
			*end = (uint64_t)hi;
	}
	return ERR_OK;
}

static uint64_t
ask(struct broker_reader *base)
{
	return kafka_watch_ask(((struct kafka_reader *)base)->watch);
}

static bool
answered(struct broker_reader *base, uint64_t asked)
{
	struct kafka_reader *r = (struct kafka_reader *)base;

	kafka_watch_view(r->watch, &r->view);
	return r->view.round >= asked;
}

static err_t
checkpoint(struct broker_reader *base, const char *source, struct buf *out, struct err_detail *why)
{
	struct kafka_reader *r = (struct kafka_reader *)base;
	struct kafka_tail tail = KAFKA_TAIL_INIT;
	struct kafka *k = NULL;
	err_t err = kafka_open(&k, KAFKA_LOOKER, r->opt, NULL, NULL, r, r->ctx.log, why);

	if (err == ERR_OK)
		err = kafka_tail_find(k, r->view.partition, source, UINT64_MAX, TAIL_MS, &tail, why);
	if (err == ERR_OK && tail.found)
		buf_put_span(out, buf_span(&tail.checkpoint));
	kafka_tail_fini(&tail);
	kafka_close(&k);
	return err;
}

/* --- life --------------------------------------------------------------------------------------------------
 */

static void
close_reader(struct broker_reader *base)
{
	struct kafka_reader *r = (struct kafka_reader *)base;

	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &r->streams[i];

		stop(r, s);
		if (s->topic != NULL)
			rd_kafka_topic_destroy(s->topic);
		kafka_close(&s->k);
	}
	kafka_watch_close(&r->watch);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

err_t
broker_kafka_reader_open(struct broker_reader **out, const struct log_options *opt, uint32_t partition,
			 const char *source, const struct broker_context *ctx, struct err_detail *why)
{
	struct kafka_reader *r = MEM_NEW(struct kafka_reader);
	err_t err;

	*out = NULL;
	r->base.ops = &kafka_reader_ops;
	r->ctx = *ctx;
	r->opt = opt;
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->fd < 0)
		err = err_set(why, ERR_SYS, "cannot make an eventfd: %s", strerror(errno));
	else
		err = kafka_watch_open(&r->watch, opt, partition, source, r->fd, ctx->log, why);
	if (err != ERR_OK)
		goto done;
	kafka_watch_view(r->watch, &r->view);
	ring(r); /* the first look */
	*out = &r->base;
	r = NULL;
done:
	if (r != NULL)
		close_reader(&r->base);
	return err;
}

static const char *
log_id(const struct broker_reader *base)
{
	return ((const struct kafka_reader *)base)->view.log_id;
}

static int
fd(const struct broker_reader *base)
{
	return ((const struct kafka_reader *)base)->fd;
}

static void
woken(struct broker_reader *base)
{
	struct kafka_reader *r = (struct kafka_reader *)base;
	uint64_t n;

	if (read(r->fd, &n, sizeof(n)) < 0)
		return; /* it was empty */
}

static struct broker_witness
witness(const struct broker_reader *base)
{
	return ((const struct kafka_reader *)base)->witness;
}

static const struct broker_reader_ops kafka_reader_ops = {
    .close = close_reader,
    .log_id = log_id,
    .bounds = bounds,
    .ask = ask,
    .answered = answered,
    .checkpoint = checkpoint,
    .read = read_records,
    .fd = fd,
    .woken = woken,
    .witness = witness,
};
