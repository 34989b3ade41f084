#include "lib/broker/broker.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker_kafka.h"
#include "lib/broker/broker_ops.h"
#include "lib/broker/broker_sqlite.h"
#include "lib/broker/kafka.h"
#include "lib/core/mem.h"

typedef struct broker_metrics metric_owner;

const struct metric_row broker_metric_rows[] = {METRIC_ROWS(BROKER_METRICS)};
const size_t broker_metric_nrows = sizeof(broker_metric_rows) / sizeof(broker_metric_rows[0]);

bool
broker_is_kafka(const struct log_options *opt)
{
	return opt->type != NULL && strcmp(opt->type, "kafka") == 0;
}

void
broker_describe(const struct log_options *opt, struct buf *out)
{
	if (broker_is_kafka(opt))
		buf_printf(out, "topic %s at %s", opt->topic, opt->brokers);
	else
		buf_put_str(out, opt->path);
}

err_t
broker_check_options(const struct log_options *opt, struct err_detail *why)
{
	return broker_is_kafka(opt) ? kafka_conf_check(opt, why) : ERR_OK;
}

err_t
broker_check(const struct log_options *opt, uint64_t batch_bytes, const struct broker_context *ctx,
	     broker_finding_fn *fn, void *arg, struct err_detail *why)
{
	err_t err = broker_check_options(opt, why);

	return err == ERR_OK && broker_is_kafka(opt) ? broker_kafka_check(opt, batch_bytes, ctx, fn, arg, why)
						     : err;
}

/* --- a writer that keeps nothing ---------------------------------------------------------------------------
 */

struct null_writer {
	struct broker_writer base;
	struct broker_context ctx;
	uint64_t next;
};

static void
null_close(struct broker_writer *w)
{
	free(w);
}

static err_t
null_append(struct broker_writer *base, const struct span *records, size_t n, struct span checkpoint,
	    const struct broker_note *notes, size_t nnotes, uint64_t *first, struct err_detail *why)
{
	struct null_writer *w = (struct null_writer *)base;
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += records[i].len;
	*first = w->next;
	w->next += n;
	metric_inc(&w->ctx.metrics->log_append);
	metric_add(&w->ctx.metrics->log_record, n);
	metric_add(&w->ctx.metrics->log_bytes, bytes);
	histogram_record(&w->ctx.metrics->log_append_time, 0);
	return ERR_OK;
}

static err_t
null_note_read(struct broker_writer *w, struct span name, uint32_t part, struct buf *out, bool *found,
	       struct err_detail *why)
{
	return ERR_OK;
}

static err_t
null_note_names(struct broker_writer *w, broker_note_fn *fn, void *arg, struct err_detail *why)
{
	return ERR_OK;
}

static err_t
null_checkpoint(struct broker_writer *w, struct buf *out, struct err_detail *why)
{
	return ERR_OK;
}

static const struct broker_writer_ops null_ops = {
    .close = null_close,
    .append = null_append,
    .note_read = null_note_read,
    .note_names = null_note_names,
    .checkpoint = null_checkpoint,
};

void
broker_writer_open_null(struct broker_writer **out, const struct broker_context *ctx)
{
	struct null_writer *w = MEM_NEW(struct null_writer);

	w->base.ops = &null_ops;
	w->ctx = *ctx;
	w->next = 1;
	*out = &w->base;
}

/* --- any kind of writer ------------------------------------------------------------------------------------
 */

err_t
broker_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
		   const struct broker_context *ctx, struct err_detail *why)
{
	return broker_is_kafka(opt) ? broker_kafka_writer_open(out, opt, source, ctx, why)
				    : broker_sqlite_writer_open(out, opt, source, ctx, why);
}

void
broker_writer_close(struct broker_writer **w)
{
	if (*w == NULL)
		return;
	(*w)->ops->close(*w);
	*w = NULL;
}

void
broker_writer_retain(struct broker_writer *w, uint64_t retention_s, uint64_t max_size)
{
	if (w->ops->retain != NULL)
		w->ops->retain(w, retention_s, max_size);
}

err_t
broker_append(struct broker_writer *w, const struct span *records, size_t n, struct span checkpoint,
	      uint64_t *first, struct err_detail *why)
{
	return broker_append_notes(w, records, n, checkpoint, NULL, 0, first, why);
}

err_t
broker_append_notes(struct broker_writer *w, const struct span *records, size_t n, struct span checkpoint,
		    const struct broker_note *notes, size_t nnotes, uint64_t *first, struct err_detail *why)
{
	*first = 0;
	if (n == 0 && checkpoint.len == 0 && nnotes == 0)
		return ERR_OK;
	return w->ops->append(w, records, n, checkpoint, notes, nnotes, first, why);
}

err_t
broker_note_read(struct broker_writer *w, struct span name, uint32_t part, struct buf *out, bool *found,
		 struct err_detail *why)
{
	*found = false;
	return w->ops->note_read(w, name, part, out, found, why);
}

err_t
broker_note_names(struct broker_writer *w, broker_note_fn *fn, void *arg, struct err_detail *why)
{
	return w->ops->note_names(w, fn, arg, why);
}

err_t
broker_checkpoint(struct broker_writer *w, struct buf *out, struct err_detail *why)
{
	return w->ops->checkpoint(w, out, why);
}

err_t
broker_trim(struct broker_writer *w, size_t max_records, size_t *removed, struct err_detail *why)
{
	*removed = 0;
	return w->ops->trim != NULL ? w->ops->trim(w, max_records, removed, why) : ERR_OK;
}

/* --- any kind of reader ------------------------------------------------------------------------------------
 */

err_t
broker_reader_open_partition(struct broker_reader **out, const struct log_options *opt, uint32_t partition,
			     const struct broker_context *ctx, struct err_detail *why)
{
	*out = NULL;
	if (broker_is_kafka(opt))
		return broker_kafka_reader_open(out, opt, partition, NULL, ctx, why);
	if (partition > 0)
		return err_set(why, ERR_NOT_FOUND,
			       "log %s is a file and has one partition, 0; there is no partition %u",
			       opt->path, partition);
	return broker_sqlite_reader_open(out, opt, ctx, why);
}

err_t
broker_reader_open(struct broker_reader **out, const struct log_options *opt,
		   const struct broker_context *ctx, struct err_detail *why)
{
	return broker_reader_open_partition(out, opt, 0, ctx, why);
}

err_t
broker_reader_open_source(struct broker_reader **out, const struct log_options *opt, const char *source,
			  const struct broker_context *ctx, struct err_detail *why)
{
	*out = NULL;
	return broker_is_kafka(opt) ? broker_kafka_reader_open(out, opt, 0, source, ctx, why)
				    : broker_sqlite_reader_open(out, opt, ctx, why);
}

void
broker_reader_close(struct broker_reader **r)
{
	if (*r == NULL)
		return;
	(*r)->ops->close(*r);
	*r = NULL;
}

const char *
broker_reader_log_id(const struct broker_reader *r)
{
	return r->ops->log_id(r);
}

err_t
broker_bounds(struct broker_reader *r, uint64_t *first, uint64_t *end, struct err_detail *why)
{
	*first = *end = 0;
	return r->ops->bounds(r, first, end, why);
}

err_t
broker_reader_checkpoint(struct broker_reader *r, const char *source, struct buf *out, struct err_detail *why)
{
	return r->ops->checkpoint(r, source, out, why);
}

err_t
broker_read(struct broker_reader *r, uint64_t from, size_t max_records, size_t max_bytes,
	    broker_record_fn *fn, void *arg, uint64_t *next, struct err_detail *why)
{
	*next = from;
	return r->ops->read(r, from, max_records, max_bytes, fn, arg, next, why);
}

err_t
broker_read_wait(struct broker_reader *r, uint64_t from, size_t max_records, size_t max_bytes,
		 broker_record_fn *fn, void *arg, uint64_t *next, int wait_ms, struct err_detail *why)
{
	uint64_t until_ms = clock_mono_ms(clock_system()) + (uint64_t)wait_ms, first, end;
	err_t err;

	for (;;) {
		struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};
		uint64_t now_ms;

		broker_reader_woken(r);
		err = broker_read(r, from, max_records, max_bytes, fn, arg, next, why);
		if (err != ERR_OK || *next != from || max_records == 0)
			return err;
		err = broker_bounds(r, &first, &end, why);
		if (err != ERR_OK || from == end)
			return err;
		now_ms = clock_mono_ms(clock_system());
		if (now_ms >= until_ms)
			return err_set(why, ERR_TIMEOUT,
				       "record %llu of the log has not come within %d ms; it is there up to "
				       "%llu, so try "
				       "again",
				       (unsigned long long)from, wait_ms, (unsigned long long)end);
		/* Not for long: places that take turns are not rung for. */
		poll(&p, 1, until_ms - now_ms < 100 ? (int)(until_ms - now_ms) : 100);
	}
}

uint64_t
broker_ask(struct broker_reader *r)
{
	return r->ops->ask != NULL ? r->ops->ask(r) : 0;
}

bool
broker_answered(struct broker_reader *r, uint64_t asked)
{
	return r->ops->answered == NULL || r->ops->answered(r, asked);
}

int
broker_reader_fd(const struct broker_reader *r)
{
	return r->ops->fd(r);
}

void
broker_reader_woken(struct broker_reader *r)
{
	r->ops->woken(r);
}
