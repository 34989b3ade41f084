#include <pthread.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/gate_way.h"
#include "squeal/binlog/txn.h"

enum {
	RING = 1024, /* transactions that an answer can be matched with */
	HOLD_MS =
	    100, /* while tickets are not matched: a commit takes less than this from binlog to engines */
	HOLD_GROUPS = 3,  /* the same, in group commits: one may run, one may wait behind it, and our own */
	MISFIT_MS = 1000, /* matched, but not visible for so long: is the match still right? */
};

/* A place in the binlog, for comparing. */
struct spot {
	uint64_t file; /* the number at the end of the name */
	uint64_t pos;
};

struct marked {
	struct spot at;
	uint64_t ticket;
};

/* What the server said last. */
struct answer {
	bool valid;
	uint64_t epoch;	  /* when it was asked */
	struct spot at;	  /* where the last commit ended; may be ahead of the truth */
	uint64_t commits; /* Binlog_commits: exact */
	uint64_t groups;  /* Binlog_group_commits */
};

struct gate_tickets {
	const struct clock *clock;
	struct gate_metrics *metrics;
	uint64_t misfits; /* of the transaction that is waited for: times that tickets were matched anew */

	pthread_mutex_t lock; /* for all that follows */
	uint64_t epoch;	      /* counts up when everything is forgotten */
	struct marked ring[RING];
	size_t nring; /* marks ever put into the ring, in the stream's order */
	struct answer answer;
	struct answer ahead; /* one that the stream has not reached yet */
	bool matched;	     /* a transaction with ticket t is visible once commits >= t + offset */
	uint64_t offset;     /* modulo 2^64: tickets start anywhere */

	uint64_t stream; /* of the newest mark; what was learnt about tickets is about this stream */

	/* Until they match: everything before `end`, and every stream before `end_stream`, was in the binlog
	 * when `end_groups` groups had been committed. */
	bool has_end;
	struct spot end;
	uint64_t end_stream;
	uint64_t end_groups;
	uint64_t end_ms;
	bool has_sure; /* the same is visible */
	struct spot sure;
	uint64_t sure_stream;
};

/* Tickets of different streams cannot be compared; txn_reset() begins another one. */
static uint64_t
stream_of(uint64_t ticket)
{
	return ticket >> TXN_TICKET_BITS;
}

static bool
spot_same(struct spot a, struct spot b)
{
	return a.file == b.file && a.pos == b.pos;
}

static bool
spot_reaches(struct spot a, struct spot b)
{
	return a.file != b.file ? a.file > b.file : a.pos >= b.pos;
}

static void *
create(const struct clock *clock, struct gate_metrics *metrics)
{
	struct gate_tickets *g = MEM_NEW(struct gate_tickets);

	g->clock = clock;
	g->metrics = metrics;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

static void
destroy(void *way)
{
	struct gate_tickets *g = way;

	pthread_mutex_destroy(&g->lock);
	free(g);
}

static void
forget(void *way)
{
	struct gate_tickets *g = way;

	pthread_mutex_lock(&g->lock);
	g->epoch++;
	g->nring = 0;
	g->answer.valid = false;
	g->ahead.valid = false;
	g->matched = false;
	g->has_end = false;
	g->has_sure = false;
	pthread_mutex_unlock(&g->lock);
}

/* --- asking -----------------------------------------------------------------------------------------------
 */

static void
take_status(void *arg, const struct span *v, unsigned n)
{
	struct answer *a = arg;

	if (n < 2)
		return;
	if (span_ieq(v[0], SPAN_LIT("Binlog_commits")))
		span_u64(v[1], &a->commits);
	else if (span_ieq(v[0], SPAN_LIT("Binlog_group_commits")))
		span_u64(v[1], &a->groups);
	else if (span_ieq(v[0], SPAN_LIT("Binlog_snapshot_position")))
		a->valid = span_u64(v[1], &a->at.pos);
	else if (span_ieq(v[0], SPAN_LIT("Binlog_snapshot_file")))
		a->at.file = gate_file_number(v[1]);
}

static void
take_end(void *arg, const struct span *v, unsigned n)
{
	struct spot *end = arg;

	if (n < 2 || !span_u64(v[1], &end->pos))
		return;
	end->file = gate_file_number(v[0]);
}

static err_t
ask_status(struct gate_tickets *g, struct conn *c, struct answer *a, struct err_detail *why)
{
	uint64_t began = clock_mono_ns(g->clock);
	err_t err;

	*a = (struct answer){0};
	pthread_mutex_lock(&g->lock);
	a->epoch = g->epoch;
	pthread_mutex_unlock(&g->lock);
	metric_inc(&g->metrics->gate_query);
	err = conn_ask(c, "SHOW STATUS LIKE 'binlog\\_%'", take_status, a, why);
	if (err == ERR_OK && !a->valid)
		err = err_set(why, ERR_SOURCE_SETUP,
			      "the database does not say up to where commits are visible (status "
			      "Binlog_snapshot_position)");
	histogram_record(&g->metrics->gate_query_time, (clock_mono_ns(g->clock) - began) / 1000);
	return err;
}

/* Without it each commit of a group runs in its own thread, and the place runs ahead of the count at every
 * group. */
static err_t
check_scheduling(struct conn *c, struct err_detail *why)
{
	struct buf on = BUF_INIT;
	err_t err;

	err = conn_value(c, "SELECT @@global.binlog_optimize_thread_scheduling", &on, why);
	if (err == ERR_OK && !span_is(buf_span(&on), "1"))
		err = err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database runs with binlog_optimize_thread_scheduling=OFF, and then does not say "
		    "exactly "
		    "which commits are visible: remove the setting from its configuration and restart it");
	buf_fini(&on);
	return err;
}

/* Both questions once, so that a missing privilege shows now. */
static err_t
open_way(void *way, struct conn *c, struct err_detail *why)
{
	struct gate_tickets *g = way;
	struct answer a;
	struct spot end = {0};
	err_t err = check_scheduling(c, why);

	if (err == ERR_OK)
		err = conn_ask(c, "SHOW MASTER STATUS", take_end, &end, why);
	if (err == ERR_OK)
		err = ask_status(g, c, &a, why);
	return err;
}

/* --- matching ---------------------------------------------------------------------------------------------
 */

/*
 * The server's last commit was this transaction, so its count and the ticket belong together.  The place may
 * run ahead of the count but never behind it: of two that differ the higher one is right.  Under the lock.
 */
static void
match(struct gate_tickets *g, const struct answer *a, const struct marked *m)
{
	uint64_t offset = a->commits - m->ticket;

	if (g->matched && (int64_t)(offset - g->offset) <= 0)
		return;
	metric_inc(&g->metrics->gate_calibrated);
	g->matched = true;
	g->offset = offset;
}

static struct marked
marked_of(const struct gate_mark *m)
{
	return (struct marked){.at = {.file = gate_file_number(m->file), .pos = m->pos}, .ticket = m->ticket};
}

static void
note(void *way, const struct gate_mark *mark)
{
	struct gate_tickets *g = way;
	struct marked m = marked_of(mark);

	pthread_mutex_lock(&g->lock);
	if (stream_of(m.ticket) != g->stream) {
		g->stream = stream_of(m.ticket);
		g->matched = false;
		g->ahead.valid = false;
		g->nring = 0;
	}
	g->ring[g->nring++ % RING] = m;
	if (g->ahead.valid && spot_reaches(m.at, g->ahead.at)) {
		if (spot_same(m.at, g->ahead.at))
			match(g, &g->ahead, &m);
		g->ahead.valid = false;
	}
	pthread_mutex_unlock(&g->lock);
}

static void
take_answer(struct gate_tickets *g, const struct answer *a)
{
	pthread_mutex_lock(&g->lock);
	/* Asked before a reset, of a server that may be gone. */
	if (a->epoch != g->epoch) {
		pthread_mutex_unlock(&g->lock);
		return;
	}
	g->answer = *a;
	for (size_t i = g->nring; i > 0 && i + RING > g->nring; i--) {
		const struct marked *m = &g->ring[(i - 1) % RING];

		if (spot_same(m->at, a->at)) {
			match(g, a, m);
			break;
		}
		if (spot_reaches(a->at, m->at)) {
			/* The newest mark is behind it: the stream has yet to come there.  Kept until it
			 * does, since under load each answer is ahead. */
			if (i == g->nring && !g->ahead.valid)
				g->ahead = *a;
			break;
		}
	}
	pthread_mutex_unlock(&g->lock);
}

/* Whether the last answer lets the transaction through. */
static bool
is_visible(void *way, const struct gate_mark *mark)
{
	struct gate_tickets *g = way;
	struct marked m = marked_of(mark);
	bool yes;

	pthread_mutex_lock(&g->lock);
	yes = g->matched && g->answer.valid && stream_of(m.ticket) == g->stream &&
	      (int64_t)(g->answer.commits - m.ticket - g->offset) >= 0;
	if (!yes && g->has_sure)
		yes = spot_reaches(g->sure, m.at) || stream_of(m.ticket) < g->sure_stream;
	pthread_mutex_unlock(&g->lock);
	return yes;
}

/* Whether the count will tell when the transaction is visible. */
static bool
is_matched(struct gate_tickets *g, const struct marked *m)
{
	bool yes;

	pthread_mutex_lock(&g->lock);
	yes = g->matched && stream_of(m->ticket) == g->stream;
	pthread_mutex_unlock(&g->lock);
	return yes;
}

static void
unmatch(struct gate_tickets *g)
{
	pthread_mutex_lock(&g->lock);
	g->matched = false;
	g->ahead.valid = false;
	g->nring = 0;
	pthread_mutex_unlock(&g->lock);
}

/*
 * Without a match the count tells nothing yet.  Then the end of the binlog is remembered, and what is before
 * it counts as visible when as many groups as can be on their way were committed since, or after a fixed
 * time.
 */
static err_t
hold(struct gate_tickets *g, struct conn *c, const struct marked *m, uint64_t now_ms, struct err_detail *why)
{
	struct spot end = {0};
	struct answer a;
	uint64_t stream;
	bool has_end;
	err_t err;

	pthread_mutex_lock(&g->lock);
	has_end = g->has_end && (spot_reaches(g->end, m->at) || stream_of(m->ticket) < g->end_stream);
	if (has_end && (g->answer.groups - g->end_groups >= HOLD_GROUPS || now_ms - g->end_ms >= HOLD_MS)) {
		if (g->answer.groups - g->end_groups < HOLD_GROUPS)
			metric_inc(&g->metrics->gate_held);
		g->has_sure = true;
		g->sure = g->end;
		g->sure_stream = g->end_stream;
		g->has_end = false;
	}
	stream = g->stream;
	pthread_mutex_unlock(&g->lock);
	if (has_end)
		return ERR_OK;
	err = conn_ask(c, "SHOW MASTER STATUS", take_end, &end, why);
	if (err == ERR_OK)
		err = ask_status(g, c, &a, why);
	if (err != ERR_OK)
		return err;
	take_answer(g, &a);
	pthread_mutex_lock(&g->lock);
	g->has_end = a.epoch == g->epoch;
	g->end = end;
	g->end_stream = stream;
	g->end_groups = a.groups;
	g->end_ms = now_ms;
	pthread_mutex_unlock(&g->lock);
	return ERR_OK;
}

static err_t
ask(void *way, struct conn *c, const struct gate_mark *mark, uint64_t waited_ms, struct err_detail *why)
{
	struct gate_tickets *g = way;
	struct marked m = marked_of(mark);
	struct answer a;
	err_t err = ask_status(g, c, &a, why);

	if (err != ERR_OK)
		return err;
	take_answer(g, &a);
	if (is_visible(g, mark))
		return ERR_OK;
	/* The server counted something that we did not, or the other way round: match anew. */
	if (waited_ms < MISFIT_MS)
		g->misfits = 0;
	else if (is_matched(g, &m) && waited_ms >= MISFIT_MS * (g->misfits + 1) && spot_reaches(a.at, m.at)) {
		unmatch(g);
		g->misfits++;
	}
	return is_matched(g, &m) ? ERR_OK : hold(g, c, &m, clock_mono_ms(g->clock), why);
}

const struct gate_way_ops gate_tickets_ops = {
    .create = create,
    .destroy = destroy,
    .forget = forget,
    .open = open_way,
    .note = note,
    .is_visible = is_visible,
    .ask = ask,
};
