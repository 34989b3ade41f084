#include "squeal/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"
#include "squeal/halve.h"
#include "squeal/lost.h"
#include "squeal/pause.h"
#include "squeal/prepared_note.h"

enum {
	IDLE_MS = 1000, /* housekeeping at least this often */
	BACKOFF_FIRST_MS = 20,
	BACKOFF_MAX_MS = 2000,
	TRIM_RECORDS = 2000,	 /* records trimmed in one go, so that an append never waits for long */
	VISIBLE_SLICE_MS = 1000, /* one wait at the gate */
};

struct writer {
	struct writer_parts parts;
	struct batch *batch;
	struct prepared *prepared;
	struct halve halve;  /* records that the log found too large */
	bool since_moves;    /* the note LOST_SINCE goes with the next append */
	bool started;	     /* the position at which the stream began was compared with the checkpoint */
	uint64_t trimmed_ms; /* when retention was looked after */

	/* items that batch_add() has seen and the log has not acknowledged, oldest first */
	struct queue_item *pending;
	struct queue_item **pending_end;

	_Atomic bool hurry;
	_Atomic uint64_t batch_keys, batch_bytes, linger_ms;
};

struct writer *
writer_create(const struct writer_parts *parts, const struct squeal_options *opt)
{
	struct writer *w = MEM_NEW(struct writer);

	w->parts = *parts;
	w->pending_end = &w->pending;
	writer_reload(w, opt);
	w->batch = batch_create(parts->source, (struct batch_limits){w->batch_keys, w->batch_bytes},
				parts->batch_metrics);
	w->prepared = prepared_create(parts->broker, parts->log, parts->prepared_metrics);
	return w;
}

static void
give_back_pending(struct writer *w)
{
	queue_give_back(w->parts.queue, &w->pending);
	w->pending_end = &w->pending;
}

void
writer_destroy(struct writer **w)
{
	if (*w == NULL)
		return;
	give_back_pending(*w);
	batch_destroy(&(*w)->batch);
	prepared_destroy(&(*w)->prepared);
	halve_fini(&(*w)->halve);
	free(*w);
	*w = NULL;
}

void
writer_hurry(struct writer *w)
{
	atomic_store(&w->hurry, true);
}

void
writer_reload(struct writer *w, const struct squeal_options *opt)
{
	atomic_store(&w->batch_keys, opt->batch_keys);
	atomic_store(&w->batch_bytes, opt->batch_bytes);
	atomic_store(&w->linger_ms, opt->linger);
}

/* Keys that readers of the log get.  Those of a prepared transaction wait for its other end. */
static bool
delivers(const struct queue_item *it)
{
	return it->keys.nkeys > 0 && it->kind != QUEUE_PREPARED;
}

/* The last of the pending items that has a place; NULL when none has. */
static const struct queue_item *
last_place(const struct writer *w)
{
	const struct queue_item *found = NULL;

	for (const struct queue_item *it = w->pending; it != NULL; it = it->next) {
		if (delivers(it) && it->file != NULL && it->pos > 0)
			found = it;
	}
	return found;
}

/* Asks the gate of `it` until it lets it through, or the patience is over.  False: hurried, or it gave up. */
static bool
ask_gate(struct writer *w, const struct queue_item *it, bool xa, uint64_t since_ms)
{
	uint64_t backoff = BACKOFF_FIRST_MS;
	bool said = false;

	while (!w->hurry) {
		const struct gate_mark mark = {span_of(it->file->text), it->pos, it->ticket, it->gtid};
		struct err_detail why = {0};
		err_t err = xa ? gate_wait_xa(w->parts.gate, it->xid, VISIBLE_SLICE_MS, &why)
			       : gate_wait(w->parts.gate, &mark, VISIBLE_SLICE_MS, &why);

		if (err == ERR_OK) {
			if (said)
				state_log(w->parts.state, STATE_LOG_OK, &(struct err_detail){0});
			return true;
		}
		if (err == ERR_CLOSED)
			break;
		if (clock_mono_ms(w->parts.clock) - since_ms >= w->parts.visibility_patience_ms) {
			metric_inc(&w->parts.state_metrics->visibility_gave_up);
			log_error(w->parts.log,
				  "released keys whose commit could not be confirmed to be visible",
				  F_STR("file", it->file->text), F_UINT("pos", it->pos),
				  F_STR("reason", err_why(&why)));
			break;
		}
		if (!said)
			log_notice(w->parts.log, "waiting for commits to become visible on the source",
				   F_STR("file", it->file->text), F_UINT("pos", it->pos),
				   F_STR("reason", err_why(&why)));
		said = true;
		state_log(w->parts.state, STATE_LOG_WAITING, &why);
		if (err != ERR_TIMEOUT) {
			pause_ms(&w->hurry, backoff);
			backoff = pause_longer(backoff, BACKOFF_MAX_MS);
		}
	}
	return false;
}

/*
 * Waits until the transactions that are pending can be seen by readers of the source.  A source that cannot
 * say so within the patience is not waited for any longer: it is down, or another server, and then a delete
 * that comes early is better than none.
 */
static void
wait_until_visible(struct writer *w)
{
	const struct queue_item *last = w->parts.gate != NULL ? last_place(w) : NULL;
	uint64_t since_ms = clock_mono_ms(w->parts.clock);
	bool ok = last != NULL && ask_gate(w, last, false, since_ms);

	for (const struct queue_item *it = w->pending; it != NULL && ok; it = it->next) {
		if (it->kind == QUEUE_XA_COMMIT && delivers(it) && it->file != NULL && it->pos > 0)
			ok = ask_gate(w, it, true, since_ms);
	}
}

/* The log can never be written or read again.  Returns false. */
static bool
fail(struct writer *w, const struct err_detail *why)
{
	state_log(w->parts.state, STATE_LOG_FAILED, why);
	w->parts.failed(w->parts.arg, why);
	return false;
}

/* After a read of the disk that may work at the next try.  False: it never will. */
static bool
pause_after(struct writer *w, const char *what, const struct err_detail *why, uint64_t *backoff)
{
	if (err_action(why->code) != ERR_DO_RETRY)
		return fail(w, why);
	log_error(w->parts.log, what, F_STR("reason", err_why(why)), F_UINT("pause_ms", *backoff));
	state_log(w->parts.state, STATE_LOG_BLOCKED, why);
	pause_ms(&w->hurry, *backoff);
	*backoff = pause_longer(*backoff, BACKOFF_MAX_MS);
	return true;
}

/* With the position of the same append: what is behind it is read as ordinary transactions. */
static void
put_since(struct writer *w)
{
	struct broker_note note = {.change = BROKER_NOTE_PUT, .name = SPAN_LIT(LOST_SINCE)};
	struct buf text = BUF_INIT;

	position_format(batch_position(w->batch), &text);
	note.value = buf_span(&text);
	batch_change_note(w->batch, &note);
	buf_fini(&text);
}

/*
 * The log found a record too large.  True: they are smaller now, try again.  One that cannot be made smaller
 * waits until the operator has made room for it; nothing behind it may pass.
 */
static bool
make_smaller(struct writer *w, const struct err_detail *too_long)
{
	struct err_detail why = {0};
	size_t cut;

	if (halve_step(&w->halve, &cut, &why) != ERR_OK || cut == 0)
		return false;
	metric_add(&w->parts.state_metrics->log_halved, cut);
	log_notice(w->parts.log, "the log found a record too large; it is written in halves",
		   F_STR("reason", err_why(too_long)), F_UINT("records", w->halve.n));
	return true;
}

/* Puts what the batch has into the log, for as long as it takes.  False: hurried or failed. */
static bool
flush(struct writer *w)
{
	struct batch_output out;
	uint64_t backoff = BACKOFF_FIRST_MS;
	uint64_t first;

	if (!batch_has_news(w->batch))
		return true;
	if (w->since_moves)
		put_since(w);
	batch_take(w->batch, &out);
	halve_begin(&w->halve, out.records, out.nrecords);
	if (out.nrecords > 0)
		wait_until_visible(w);
	CRASH_POINT("squeal.visible");
	while (!w->hurry) {
		struct err_detail why = {0};
		err_t err = broker_append_notes(w->parts.broker, w->halve.records, w->halve.n, out.checkpoint,
						out.notes, out.nnotes, &first, &why);

		if (err == ERR_OK) {
			uint64_t now = clock_real_us(w->parts.clock);

			CRASH_POINT("squeal.acknowledged");
			for (const struct queue_item *it = w->pending; it != NULL; it = it->next) {
				if (delivers(it))
					histogram_record(&w->parts.state_metrics->commit_to_log,
							 now > it->seen_us ? now - it->seen_us : 0);
			}
			state_acknowledged(w->parts.state, out.checkpoint, out.ntxns, out.nkeys);
			batch_clear(w->batch);
			w->since_moves = false;
			return true;
		}
		if (err == ERR_TOO_LONG && make_smaller(w, &why))
			continue;
		if (err != ERR_TOO_LONG && err_action(err) != ERR_DO_RETRY)
			return fail(w, &why);
		metric_inc(&w->parts.state_metrics->log_retry);
		log_error(w->parts.log, "the log takes no records; trying again",
			  F_STR("reason", err_why(&why)), F_UINT("pause_ms", backoff));
		state_log(w->parts.state, STATE_LOG_BLOCKED, &why);
		pause_ms(&w->hurry, backoff);
		backoff = pause_longer(backoff, BACKOFF_MAX_MS);
	}
	return false;
}

static void
trim(struct writer *w)
{
	struct err_detail why = {0};
	size_t removed = 0;
	uint64_t now = clock_mono_ms(w->parts.clock);

	if (now - w->trimmed_ms < IDLE_MS)
		return;
	w->trimmed_ms = now;
	if (broker_trim(w->parts.broker, TRIM_RECORDS, &removed, &why) != ERR_OK)
		log_warn(w->parts.log, "could not trim the log", F_STR("reason", err_why(&why)));
}

/*
 * The first item is the position at which the stream began.  Where that is not the checkpoint, prepared
 * transactions that are kept may be others by now.  False: hurried or failed.
 */
static bool
start(struct writer *w, const struct queue_item *it)
{
	struct buf checkpoint = BUF_INIT, from = BUF_INIT;
	uint64_t backoff = BACKOFF_FIRST_MS;
	bool goes_on, has_since = false;
	bool ok = true;

	if (it->whole != NULL)
		position_format(it->whole, &from);
	while (!w->started && ok && !w->hurry) {
		struct err_detail why = {0};
		err_t err;

		buf_clear(&checkpoint);
		err = broker_checkpoint(w->parts.broker, &checkpoint, &why);
		/* source.start was given; it will be replaced. */
		if (err == ERR_CORRUPT) {
			err = ERR_OK;
			err_clear(&why);
		}
		goes_on = span_eq(buf_span(&checkpoint), buf_span(&from));
		buf_clear(&checkpoint);
		if (err == ERR_OK)
			err = broker_note_read(w->parts.broker, SPAN_LIT(LOST_SINCE), 0, &checkpoint,
					       &has_since, &why);
		if (err == ERR_OK)
			err = prepared_load(w->prepared, !goes_on, w->batch, &why);
		w->started = err == ERR_OK;
		w->since_moves = !goes_on || !has_since;
		if (err != ERR_OK)
			ok = pause_after(w, "cannot read the log; trying again", &why, &backoff);
	}
	buf_fini(&checkpoint);
	buf_fini(&from);
	return w->started;
}

/* The keys of a prepared transaction that ends with `it`.  False: hurried or failed. */
static bool
find_prepared(struct writer *w, struct queue_item *it)
{
	uint64_t backoff = BACKOFF_FIRST_MS;
	struct buf name = BUF_INIT;
	bool ok = true;

	/* What the batch has of this transaction is not in the log yet. */
	prepared_note_name(it->xid, &name);
	if (batch_changes_note(w->batch, buf_span(&name))) {
		ok = flush(w);
		if (ok)
			give_back_pending(w);
	}
	while (ok && !w->hurry) {
		struct err_detail why = {0};

		if (prepared_find(w->prepared, it, &why) == ERR_OK)
			break;
		ok = pause_after(w, "cannot read kept keys back; trying again", &why, &backoff);
	}
	buf_fini(&name);
	return ok && !w->hurry;
}

/* Adds one item, flushing in between as often as its size asks for.  False: hurried or failed. */
static bool
add(struct writer *w, struct queue_item *it)
{
	uint64_t backoff = BACKOFF_FIRST_MS;
	bool done = false;
	bool ok = w->started || start(w, it);
	/* Ids were switched on. */
	bool from_file = it->whole != NULL && batch_position(w->batch)->kind == POSITION_FILE;

	if (it->kind == QUEUE_PREPARED)
		prepared_add(w->prepared, it);
	else if (ok && it->xid != NULL)
		ok = find_prepared(w, it);

	it->next = NULL;
	*w->pending_end = it;
	w->pending_end = &it->next;
	if (!ok)
		return false;
	while (!done) {
		struct err_detail why; /* not zeroed whole: this runs for every transaction */

		err_clear(&why);
		if (batch_add(w->batch, it, &done, &why) != ERR_OK) {
			if (!pause_after(w, "cannot read keys back; trying again", &why, &backoff))
				return false;
		} else if (!done && !flush(w)) {
			return false;
		}
		if (w->hurry)
			return false;
	}
	w->since_moves |= it->kind == QUEUE_XA_COMMIT || it->kind == QUEUE_XA_ROLLBACK || from_file;
	return true;
}

/* Gives more transactions time to come before the first of them is written, and adds those that came. */
static void
linger(struct writer *w, struct queue_item *first)
{
	struct queue_item *last = first;
	uint64_t ms = w->linger_ms;
	uint64_t keys = 0;

	if (ms == 0)
		return;
	for (struct queue_item *it = first; it != NULL; it = it->next) {
		keys += it->keys.nkeys;
		last = it;
	}
	if (keys == 0 || keys >= w->batch_keys || queue_is_closed(w->parts.queue))
		return;
	pause_ms(&w->hurry, ms);
	last->next = queue_take(w->parts.queue, 0);
}

/* Adds and flushes a list of items.  False: hurried or failed; what is left of the list is given back. */
static bool
write_items(struct writer *w, struct queue_item *items)
{
	bool ok = true;

	while (items != NULL) {
		struct queue_item *it = items;

		if (!ok) {
			queue_give_back(w->parts.queue, &items);
			break;
		}
		items = it->next;
		ok = add(w, it);
	}
	CRASH_POINT("squeal.batched");
	ok = ok && flush(w);
	if (ok)
		give_back_pending(w);
	return ok;
}

void
writer_run(struct writer *w)
{
	bool ok = true;

	while (ok && !w->hurry) {
		struct queue_item *items = queue_take(w->parts.queue, IDLE_MS);

		if (items == NULL && queue_is_closed(w->parts.queue))
			break;
		batch_set_limits(w->batch, (struct batch_limits){w->batch_keys, w->batch_bytes});
		if (items != NULL) {
			CRASH_POINT("squeal.taken");
			linger(w, items);
			ok = write_items(w, items);
		}
		trim(w);
	}
}
