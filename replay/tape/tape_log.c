#include "replay/tape/tape_log.h"

#include <poll.h>
#include <stdlib.h>

#include "lib/broker/broker.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"

enum { SLICE_RECORDS = 256, SLICE_BYTES = 1 << 20, WAIT_MS = 100 };

struct tape_log {
	struct tape tape;
	struct tape_options opt;
	struct tape_log_options log_opt;
	struct broker_metrics metrics;
};

struct log_run {
	struct tape_log *t;
	const struct tape_mark *from; /* NULL: it was reached */
	const struct tape_sink *sink;
	struct range *range;
	struct arena arena;
	uint64_t end;
	bool stop;
	err_t err;
	struct err_detail *why;
};

static void
give_keys(struct log_run *run, const struct span *keys, size_t n)
{
	for (size_t i = 0; i < n && !run->stop; i++)
		run->stop = !tape_give_key(&run->t->tape, run->sink, keys[i]);
}

/* Transaction number `part` of the record. */
static err_t
take_txn(struct log_run *run, const struct broker_record *raw, const struct record_txn *t, uint32_t part,
	 struct err_detail *why)
{
	struct tape *tape = &run->t->tape;
	struct tape_txn txn = {
	    .mark = {.file = {"", 0}, .at = raw->offset, .part = part},
	    .source = raw->source,
	    .gtid = t->gtid,
	    .pool = t->pool,
	    .commit_us = t->commit_us,
	    .holdoff_ms = t->holdoff_ms,
	};
	bool wanted = true;
	err_t err = ERR_OK;

	/* Positions of several sources cannot be compared; the text of an id says nothing about that. */
	if (!range_is_all(run->range))
		err = tape_wants(run->range, t->gtid, t->commit_us, "a record of the log", &wanted, why);
	if (err != ERR_OK)
		return err;
	if (!wanted) {
		tape->counts.left_out++;
		return ERR_OK;
	}
	if (run->from != NULL && !tape_mark_same(run->from, &txn.mark))
		return ERR_OK;
	run->from = NULL;
	if (tape->counts.txns++ == 0)
		tape->counts.begins_inside = tape->counts.left_out == 0;
	switch (run->sink->txn(run->sink->arg, &txn)) {
	case TAPE_STOP:
		run->stop = true;
		break;
	case TAPE_SKIP:
		break;
	case TAPE_TAKE:
		give_keys(run, t->keys, t->nkeys);
		give_keys(run, t->markers, t->nmarkers);
	}
	return ERR_OK;
}

static bool
on_record(void *arg, const struct broker_record *raw)
{
	struct log_run *run = arg;
	struct tape *tape = &run->t->tape;
	struct err_detail bad = {0};
	struct record rec;

	if (raw->offset >= run->end || atomic_load_explicit(&tape->stopping, memory_order_relaxed)) {
		run->stop = true;
		return false;
	}
	arena_reset(&run->arena);
	if (raw->damaged)
		err_set(&bad, ERR_CHECKSUM, "its checksum does not match");
	if (raw->damaged || record_decode(raw->bytes, &run->arena, &rec, &bad) != ERR_OK) {
		tape->counts.bad++;
		log_warn(run->t->opt.log, "a record of the log cannot be read; its keys are not known",
			 F_UINT("offset", raw->offset), F_STR("reason", err_why(&bad)));
		return true;
	}
	for (size_t i = 0; i < rec.ntxns && !run->stop && run->err == ERR_OK; i++)
		run->err = take_txn(run, raw, &rec.txns[i], (uint32_t)i, run->why);
	return !run->stop && run->err == ERR_OK;
}

/* Reads from `next` to the end. */
static err_t
read_records(struct log_run *run, struct broker_reader *reader, uint64_t next, struct err_detail *why)
{
	const struct log_options *opt = &run->t->opt.topology->log;
	const struct clock *clock = run->t->opt.clock;
	struct tape *tape = &run->t->tape;
	uint64_t first = next, heard_ms = clock_mono_ms(clock);
	struct pollfd fd = {.fd = broker_reader_fd(reader), .events = POLLIN};
	err_t err;

	while (next < run->end && !run->stop && !atomic_load(&tape->stopping)) {
		uint64_t before = next;

		err = broker_read(reader, next, SLICE_RECORDS, SLICE_BYTES, on_record, run, &next, why);
		if (run->err != ERR_OK)
			return run->err;
		if (err != ERR_OK) {
			err_wrap(why, "records from offset %llu on", (unsigned long long)before);
			return err;
		}
		atomic_store_explicit(&tape->done, next - first, memory_order_relaxed);
		if (next != before) {
			heard_ms = clock_mono_ms(clock);
			continue;
		}
		/* A log that is elsewhere: what is there by its bounds has not arrived. */
		if (clock_mono_ms(clock) - heard_ms > opt->timeout)
			return err_set(why, ERR_TIMEOUT,
				       "the log ends at %llu, and nothing came from %llu on for %llu ms",
				       (unsigned long long)run->end, (unsigned long long)next,
				       (unsigned long long)opt->timeout);
		poll(&fd, 1, WAIT_MS);
		broker_reader_woken(reader);
	}
	return ERR_OK;
}

static err_t
find_bounds(struct log_run *run, struct broker_reader *reader, uint64_t *next, struct err_detail *why)
{
	const struct tape_log_options *opt = &run->t->log_opt;
	uint64_t first = 0, end = 0;
	err_t err = broker_bounds(reader, &first, &end, why);

	if (err != ERR_OK)
		return err;
	if (opt->start > 0 && opt->start < first)
		return err_set(why, ERR_GAP,
			       "the log begins at offset %llu: what was before is trimmed (log.retention, "
			       "log.max_size); "
			       "replay it from the binlog",
			       (unsigned long long)first);
	if (opt->start > end || opt->stop > end)
		return err_set(why, ERR_NOT_FOUND, "the log ends at offset %llu, before %llu",
			       (unsigned long long)end,
			       (unsigned long long)(opt->start > end ? opt->start : opt->stop));
	*next = opt->start > 0 ? opt->start : first;
	run->end = opt->stop > 0 ? opt->stop : end;
	if (run->from == NULL)
		return ERR_OK;
	if (run->from->at < first)
		return err_set(
		    why, ERR_GAP,
		    "offset %llu is where to go on, but the log begins at %llu by now: the rest was trimmed; "
		    "replay it from the binlog",
		    (unsigned long long)run->from->at, (unsigned long long)first);
	*next = run->from->at;
	return ERR_OK;
}

static err_t
log_run(struct tape *tape, const struct tape_mark *from, const struct tape_sink *sink, struct err_detail *why)
{
	struct tape_log *t = (struct tape_log *)tape;
	struct broker_context ctx = {t->opt.clock, t->opt.log, &t->metrics};
	struct log_run run = {.t = t, .from = from, .sink = sink, .why = why};
	struct broker_reader *reader = NULL;
	uint64_t next = 0;
	err_t err;

	run.range = t->opt.make_range(t->opt.arg, t->opt.log);
	err = broker_check_options(&t->opt.topology->log, why);
	if (err == ERR_OK)
		err = broker_reader_open_partition(&reader, &t->opt.topology->log, t->log_opt.partition, &ctx,
						   why);
	if (err == ERR_OK)
		err = find_bounds(&run, reader, &next, why);
	if (err != ERR_OK)
		goto done;
	atomic_store(&tape->total, run.end > next ? run.end - next : 0);
	err = read_records(&run, reader, next, why);
	if (err == ERR_OK && run.from != NULL && !atomic_load(&tape->stopping))
		err = err_set(why, ERR_NOT_FOUND, "offset %llu is not there any more: this is another log",
			      (unsigned long long)run.from->at);
done:
	range_seen(run.range, &tape->counts.seen_first_us, &tape->counts.seen_last_us);
	broker_reader_close(&reader);
	arena_fini(&run.arena);
	range_destroy(&run.range);
	return err;
}

static void
log_destroy_tape(struct tape *tape)
{
	free(tape);
}

static const struct tape_ops ops = {.run = log_run, .destroy = log_destroy_tape};

struct tape *
tape_log_create(const struct tape_options *opt, const struct tape_log_options *log_opt)
{
	struct tape_log *t = MEM_NEW(struct tape_log);

	t->tape.ops = &ops;
	t->tape.unit = "records";
	t->tape.noun = "transaction";
	t->opt = *opt;
	t->log_opt = *log_opt;
	return &t->tape;
}
