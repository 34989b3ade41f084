#include "squeal/tail.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/crash.h"
#include "lib/core/mem.h"
#include "squeal/binlog/txn.h"
#include "squeal/gap.h"
#include "squeal/pause.h"

enum { BACKOFF_FIRST_MS = 50, BAD_EVENT_TRIES = 3 };

/* Two replicas with one id throw each other out: whoever waits longer lets the other one read. */
enum { CLASH_FIRST_MS = 1000, CLASH_MAX_MS = 60000, CLASH_OVER_MS = 600000 };

struct tail {
	struct tail_parts parts;
	struct binlog_decoder decoder;
	struct txn *txn;
	struct buf from;     /* where to open next */
	struct buf bad_from; /* where a bad event came last time */
	unsigned bad_times;
	unsigned random;       /* of the pauses */
	struct gtid_set asked; /* ids that had come when the source was last asked for its gtid_mode */
	_Atomic bool stop;
};

struct tail *
tail_create(const struct tail_parts *parts, const char *from)
{
	struct tail *t = MEM_NEW(struct tail);

	t->parts = *parts;
	binlog_decoder_init(&t->decoder, parts->max_event, parts->metrics);
	t->txn = txn_create(parts->ops, parts->gather, parts->metrics);
	buf_put_str(&t->from, from);
	t->random = (unsigned)clock_mono_ns(parts->clock);
	return t;
}

void
tail_destroy(struct tail **t)
{
	if (*t == NULL)
		return;
	txn_destroy(&(*t)->txn);
	binlog_decoder_fini(&(*t)->decoder);
	buf_fini(&(*t)->from);
	buf_fini(&(*t)->bad_from);
	gtid_set_fini(&(*t)->asked);
	free(*t);
	*t = NULL;
}

void
tail_stop(struct tail *t)
{
	atomic_store(&t->stop, true);
	gather_interrupt(t->parts.gather);
	source_interrupt(t->parts.source);
}

/* Two thirds to all of the pause, so that many daemons do not come back at the same moment. */
static uint64_t
jitter(struct tail *t, uint64_t ms)
{
	t->random = t->random * 1103515245u + 12345u;
	return ms - (ms / 3) * (t->random >> 16 & 0xff) / 255;
}

static void
note_position(struct tail *t)
{
	buf_clear(&t->from);
	position_format(gather_position(t->parts.gather), &t->from);
}

/*
 * The server lacks what was read: its keys again, before anything of the new stream.  The position is still
 * the old one while they are on their way.
 */
static err_t
delete_again(struct tail *t, struct err_detail *why)
{
	struct span text = t->parts.source->info.lost;
	struct gtid_set lost = {0};
	struct position old = {0};
	uint64_t nkeys = 0;
	err_t err;

	err = gtid_set_parse(text, &lost, why);
	if (err == ERR_OK)
		err = position_parse(buf_span(&t->from), &old, why);
	if (err != ERR_OK)
		goto done;
	if (t->parts.gate != NULL)
		gate_lost(t->parts.gate, &lost);
	if (!gather_start(t->parts.gather, &old)) {
		err = ERR_CLOSED;
		goto done;
	}
	err = lost_emit(t->parts.lost, &lost, &nkeys, why);
	if (err == ERR_OK)
		log_warn(
		    t->parts.log,
		    "the source was promoted without transactions that we have read: going on without them; "
		    "their keys are deleted once more",
		    F_SPAN("lost", span_first(text, 300)), F_UINT("transactions", gtid_set_count(&lost)),
		    F_UINT("keys", nkeys));
done:
	gtid_set_fini(&lost);
	position_fini(&old);
	return err;
}

static err_t
open_stream(struct tail *t, struct err_detail *why)
{
	struct source *src = t->parts.source;
	struct position start = {0};
	err_t err;

	err = source_open(src, buf_span(&t->from), why);
	if (err != ERR_OK)
		goto done;
	err = position_parse(src->info.start, &start, why);
	if (err != ERR_OK)
		goto done;
	if (t->parts.gate != NULL)
		gate_reset(t->parts.gate, src->info.endpoint);
	binlog_decoder_start(&t->decoder, src->info.file, src->info.pos, src->info.checksum);
	txn_reset(t->txn);
	if (src->info.lost.len > 0) {
		err = delete_again(t, why);
		if (err != ERR_OK)
			goto done;
		CRASH_POINT("squeal.rewound");
	}
	if (!gather_start(t->parts.gather, &start)) {
		err = ERR_CLOSED;
		goto done;
	}
	note_position(t);
	state_streaming(t->parts.state, src->info.server, buf_span(&t->from));
	log_info(t->parts.log, "streaming", F_SPAN("server", src->info.server),
		 F_SPAN("from", buf_span(&t->from)),
		 F_STR("endpoint", src->info.endpoint != NULL ? endpoint_text(src->info.endpoint).text : ""),
		 F_UINT("server_id", src->info.server_id), F_UINT("source_id", src->info.source_id),
		 F_UINT("connection", src->info.connection));
	if (src->info.note.len > 0)
		log_notice(t->parts.log, "about this start", F_SPAN("note", src->info.note));
done:
	position_fini(&start);
	return err;
}

/*
 * A file's start says which ids are in the files before it.  Where the source had gtid_mode=OFF when it was
 * opened, and more ids have come since, only the source knows whether every transaction has one from now on:
 * *ask_again is to open it once more.
 */
static err_t
offer_gtids(struct tail *t, const struct binlog_event *ev, bool *ask_again, struct err_detail *why)
{
	struct gtid_set before = {0};
	err_t err = gtid_set_decode(ev->u.gtid_set, &before, why);

	if (err != ERR_OK)
		goto done;
	if (t->parts.source->info.has_gtids) {
		gather_offer_gtids(t->parts.gather, &before);
	} else if (gather_position(t->parts.gather)->kind == POSITION_FILE &&
		   !gtid_set_covers(&t->asked, &before)) {
		gtid_set_copy(&t->asked, &before);
		*ask_again = true;
	}
done:
	gtid_set_fini(&before);
	return err;
}

/*
 * Reads until something ends it; *at_end for the end of what was to be read, and ERR_OK without it when the
 * source is to be opened again at once.
 */
static err_t
read_stream(struct tail *t, bool *at_end, struct err_detail *why)
{
	bool ask_again = false;
	struct span bytes;
	err_t err;

	while (!ask_again) {
		struct binlog_event ev;

		err = source_next(t->parts.source, &bytes, why);
		if (err != ERR_OK)
			return err;
		if (bytes.len == 0) {
			*at_end = true;
			return ERR_OK;
		}
		state_heard(t->parts.state);
		CRASH_POINT("squeal.event");
		err = txn_read(t->txn, &t->decoder, bytes, &ev, why);
		if (err != ERR_OK)
			return err;
		if (ev.kind == BINLOG_GTID_SET) {
			err = offer_gtids(t, &ev, &ask_again, why);
			if (err != ERR_OK)
				return err;
		}
		if (ev.kind == BINLOG_HEARTBEAT || ev.kind == BINLOG_ROTATE) {
			state_read(t->parts.state, ev.file, ev.end);
			if (!gather_idle(t->parts.gather))
				return ERR_CLOSED;
		}
	}
	log_notice(t->parts.log, "the source gives ids now; it is asked whether every transaction has one");
	return ERR_OK;
}

/* True when an error that asks for another try has come at the same place too often. */
static bool
is_stuck(struct tail *t, err_t err)
{
	if (err != ERR_CHECKSUM && err != ERR_PROTOCOL && err != ERR_BAD_EVENT)
		return false;
	if (!span_eq(buf_span(&t->bad_from), buf_span(&t->from))) {
		buf_clear(&t->bad_from);
		buf_put_span(&t->bad_from, buf_span(&t->from));
		t->bad_times = 0;
	}
	return ++t->bad_times >= BAD_EVENT_TRIES;
}

/* True when trying again may help without an operator losing anything by it. */
static bool
is_worth_a_retry(struct tail *t, err_t err)
{
	if (is_stuck(t, err))
		return false;
	switch (err) {
	case ERR_BAD_EVENT: /* the bytes may have been damaged on the way where checksums are off */
	case ERR_CONFIG:    /* the password file may be mended */
	case ERR_NOT_FOUND:
	case ERR_SYS:
	case ERR_IN_USE:
		return true;
	default:
		return err_action(err) == ERR_DO_RETRY;
	}
}

static void
enter_gap(struct tail *t, const struct err_detail *why)
{
	state_source(t->parts.state, STATE_GAP, why);
	log_crit(t->parts.log, "GAP: stopped reading, because what follows cannot be proven to be whole",
		 F_STR("gap", gap_of(why->code)->name), F_SPAN("after", buf_span(&t->from)),
		 F_SPAN("file", span_make(t->decoder.file, t->decoder.file_len)),
		 F_UINT("pos", t->decoder.pos), F_STR("code", err_name(why->code)),
		 F_STR("reason", err_why(why)),
		 F_STR("do", "mend the cause, or flush the caches and start again with source.start: now"));
}

void
tail_run(struct tail *t)
{
	uint64_t backoff = BACKOFF_FIRST_MS, clash = CLASH_FIRST_MS;
	struct err_detail gap = {0};
	bool at_end = false;

	while (!t->stop && !at_end) {
		struct err_detail why = {0};
		err_t err = open_stream(t, &why);

		if (err == ERR_OK) {
			uint64_t opened = clock_mono_ms(t->parts.clock), held;

			err = read_stream(t, &at_end, &why);
			note_position(t);
			/* A stream that held for a while starts the pauses afresh. */
			held = clock_mono_ms(t->parts.clock) - opened;
			if (held > 5000)
				backoff = BACKOFF_FIRST_MS;
			if (held > CLASH_OVER_MS)
				clash = CLASH_FIRST_MS;
		}
		source_close(t->parts.source);
		if (err == ERR_OK || err == ERR_CLOSED || t->stop)
			continue;
		if (why.code == ERR_OK)
			err_set(&why, err, "%s",
				gather_why(t->parts.gather)->code == err
				    ? err_why(gather_why(t->parts.gather))
				    : err_text(err));
		if (!is_worth_a_retry(t, err)) {
			gap = why;
			enter_gap(t, &gap);
			break;
		}
		state_source(t->parts.state, STATE_CONNECTING, &why);
		if (err == ERR_IN_USE) {
			backoff = clash;
			clash = pause_longer(clash, CLASH_MAX_MS);
		}
		log_error(t->parts.log, "no stream from the source; trying again",
			  F_STR("code", err_name(err)), F_STR("reason", err_why(&why)),
			  F_SPAN("from", buf_span(&t->from)), F_UINT("pause_ms", backoff));
		pause_ms(&t->stop, jitter(t, backoff));
		backoff = pause_longer(backoff, t->parts.backoff_max_ms);
	}
	if (at_end || t->stop)
		state_source(t->parts.state, STATE_STOPPED, &(struct err_detail){0});
	if (!t->stop)
		t->parts.ended(t->parts.arg, gap.code != ERR_OK ? &gap : NULL);
}
