#include "lib/broker/broker_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/broker_sqlite.h"
#include "lib/broker/kafka_batch.h"
#include "lib/broker/kafka_tail.h"
#include "lib/broker/kafka_topic.h"
#include "lib/broker/kafka_witness.h"
#include "lib/core/crash.h"
#include "lib/core/mem.h"

enum {
	ASK_MS = 3000,	 /* patience for one answer while opening, unless log.timeout is shorter */
	WALK_MS = 60000, /* for one step of a search through the topic */
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
	struct kafka_topic found;
	struct kafka_settings settings;
	struct mark mark;
	struct kafka_batch *batch; /* the append under way, which the same call goes on with after ERR_BUSY */
};

static const struct broker_writer_ops kafka_writer_ops;

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
	const uint64_t *offsets;
	err_t err;

	log_error(w->ctx.log, "log: a gap is written into the topic: routers flush their servers",
		  F_STR("topic", w->opt->topic), F_UINT("partition", w->mark.partition),
		  F_STR("reason", reason));
	kafka_batch_gap(w->batch, w->mark.partition, reason);
	do {
		err_clear(why);
		err = kafka_batch_send(w->batch, &empty, empty, why);
	} while (err != ERR_OK && err_action(err) == ERR_DO_RETRY && clock_mono_ms(w->ctx.clock) < until_ms);
	kafka_batch_end(w->batch);
	if (err != ERR_OK)
		return err;
	(void)kafka_batch_offsets(w->batch, &offsets);
	w->mark.next = offsets[0] + 1;
	w->mark.witness = kafka_batch_witness(w->batch);
	return write_state(w, empty, NULL, 0, why);
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

static void
close_writer(struct broker_writer *base)
{
	struct kafka_writer *w = (struct kafka_writer *)base;

	kafka_batch_destroy(&w->batch);
	kafka_close(&w->looker);
	broker_writer_close(&w->state);
	free(w->source);
	free(w);
}

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
	if (err != ERR_OK)
		goto done;
	w->batch = kafka_batch_create(opt, w->source, w->settings.max_message_bytes, ctx);
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

/* --- appending ---------------------------------------------------------------------------------------------
 */

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
	kafka_batch_end(w->batch);
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
	const uint64_t *offsets;
	size_t n = kafka_batch_offsets(w->batch, &offsets);

	for (size_t i = 0; i < n; i++) {
		if (offsets[i] < next)
			return lost_while_writing(w, next, offsets[i], why);
		next = offsets[i] + 1;
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
	const uint64_t *offsets;
	struct mark old = w->mark;
	uint64_t at = 0;
	err_t err = ERR_OK;

	kafka_batch_begin(w->batch, w->mark.partition, records, n, checkpoint);
	CRASH_POINT("broker.kafka.begin");
	if (n > 0)
		err = kafka_batch_send(w->batch, records, checkpoint, why);
	CRASH_POINT("broker.kafka.acked");
	if (err == ERR_OK && n > 0) {
		(void)kafka_batch_offsets(w->batch, &offsets);
		at = offsets[0];
		w->mark.next = offsets[n - 1] + 1;
		w->mark.witness = kafka_batch_witness(w->batch);
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
	kafka_batch_end(w->batch);
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
