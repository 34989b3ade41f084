#include "squeal/binlog/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/mem.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/txn.h"

typedef struct gate_metrics metric_owner;
const struct metric_row gate_metric_rows[] = {METRIC_ROWS(GATE_METRICS)};
const size_t gate_metric_nrows = sizeof(gate_metric_rows) / sizeof(gate_metric_rows[0]);

enum {
	RING = 1024,	     /* transactions that an answer can be matched with */
	FIRST_PAUSE_US = 50, /* between two questions; doubles */
	LAST_PAUSE_US = 2000,
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
	uint64_t epoch;	  /* of the gate when it was asked */
	struct spot at;	  /* where the last commit ended; may be ahead of the truth */
	uint64_t commits; /* Binlog_commits: exact */
	uint64_t groups;  /* Binlog_group_commits */
};

struct gate {
	struct conn *conn;
	const struct source_options *opt;
	const struct clock *clock;
	struct gate_metrics *metrics;
	_Atomic bool interrupted;
	_Atomic bool stale; /* reset: whoever waits closes the connection and asks anew */

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

static uint64_t
file_number(struct span name)
{
	uint64_t n = 0;
	size_t at = name.len;

	while (at > 0 && name.p[at - 1] >= '0' && name.p[at - 1] <= '9')
		at--;
	span_u64(span_from(name, at), &n);
	return n;
}

struct gate *
gate_create(const struct source_options *opt, const struct clock *clock, struct gate_metrics *metrics)
{
	struct gate *g = MEM_NEW(struct gate);

	g->conn = conn_create(opt);
	g->opt = opt;
	g->clock = clock;
	g->metrics = metrics;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
gate_destroy(struct gate **g)
{
	if (*g == NULL)
		return;
	conn_destroy(&(*g)->conn);
	pthread_mutex_destroy(&(*g)->lock);
	free(*g);
	*g = NULL;
}

void
gate_interrupt(struct gate *g)
{
	atomic_store(&g->interrupted, true);
	conn_interrupt(g->conn);
}

static void
forget(struct gate *g)
{
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

/* The connection is left to the thread that waits: it may be in the middle of a question. */
void
gate_reset(struct gate *g)
{
	forget(g);
	atomic_store(&g->stale, true);
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
		a->at.file = file_number(v[1]);
}

static void
take_end(void *arg, const struct span *v, unsigned n)
{
	struct spot *end = arg;

	if (n < 2 || !span_u64(v[1], &end->pos))
		return;
	end->file = file_number(v[0]);
}

static err_t
ask_status(struct gate *g, struct answer *a, struct err_detail *why)
{
	uint64_t began = clock_mono_ns(g->clock);
	err_t err;

	*a = (struct answer){0};
	pthread_mutex_lock(&g->lock);
	a->epoch = g->epoch;
	pthread_mutex_unlock(&g->lock);
	metric_inc(&g->metrics->gate_query);
	err = conn_ask(g->conn, "SHOW STATUS LIKE 'binlog\\_%'", take_status, a, why);
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
check_scheduling(struct gate *g, struct err_detail *why)
{
	struct buf on = BUF_INIT;
	err_t err;

	err = conn_value(g->conn, "SELECT @@global.binlog_optimize_thread_scheduling", &on, why);
	if (err == ERR_OK && !span_is(buf_span(&on), "1"))
		err = err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database runs with binlog_optimize_thread_scheduling=OFF, and then does not say "
		    "exactly "
		    "which commits are visible: remove the setting from its configuration and restart it");
	buf_fini(&on);
	return err;
}

err_t
gate_open(struct gate *g, struct err_detail *why)
{
	struct answer a;
	struct spot end = {0};
	err_t err;

	if (atomic_exchange(&g->stale, false))
		conn_close(g->conn);
	if (conn_is_open(g->conn))
		return ERR_OK;
	forget(g);
	metric_inc(&g->metrics->gate_connect);
	err = conn_open(g->conn, why);
	if (err == ERR_OK)
		err = check_scheduling(g, why);
	/* Both questions once, so that a missing privilege shows now. */
	if (err == ERR_OK)
		err = conn_ask(g->conn, "SHOW MASTER STATUS", take_end, &end, why);
	if (err == ERR_OK)
		err = ask_status(g, &a, why);
	if (err != ERR_OK) {
		metric_inc(&g->metrics->gate_error);
		conn_close(g->conn);
	}
	return err;
}

/* --- matching ---------------------------------------------------------------------------------------------
 */

/*
 * The server's last commit was this transaction, so its count and the ticket belong together.  The place may
 * run ahead of the count but never behind it: of two that differ the higher one is right.  Under the lock.
 */
static void
match(struct gate *g, const struct answer *a, const struct marked *m)
{
	uint64_t offset = a->commits - m->ticket;

	if (g->matched && (int64_t)(offset - g->offset) <= 0)
		return;
	metric_inc(&g->metrics->gate_calibrated);
	g->matched = true;
	g->offset = offset;
}

static void
note(struct gate *g, const struct marked *m)
{
	pthread_mutex_lock(&g->lock);
	if (stream_of(m->ticket) != g->stream) {
		g->stream = stream_of(m->ticket);
		g->matched = false;
		g->ahead.valid = false;
		g->nring = 0;
	}
	g->ring[g->nring++ % RING] = *m;
	if (g->ahead.valid && spot_reaches(m->at, g->ahead.at)) {
		if (spot_same(m->at, g->ahead.at))
			match(g, &g->ahead, m);
		g->ahead.valid = false;
	}
	pthread_mutex_unlock(&g->lock);
}

static struct marked
marked_of(const struct gate_mark *m)
{
	return (struct marked){.at = {.file = file_number(m->file), .pos = m->pos}, .ticket = m->ticket};
}

void
gate_note(struct gate *g, const struct gate_mark *mark)
{
	struct marked m = marked_of(mark);

	note(g, &m);
}

static void
take_answer(struct gate *g, const struct answer *a)
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
is_visible(struct gate *g, const struct marked *m)
{
	bool yes;

	pthread_mutex_lock(&g->lock);
	yes = g->matched && g->answer.valid && stream_of(m->ticket) == g->stream &&
	      (int64_t)(g->answer.commits - m->ticket - g->offset) >= 0;
	if (!yes && g->has_sure)
		yes = spot_reaches(g->sure, m->at) || stream_of(m->ticket) < g->sure_stream;
	pthread_mutex_unlock(&g->lock);
	return yes;
}

/* Whether the count will tell when the transaction is visible. */
static bool
is_matched(struct gate *g, const struct marked *m)
{
	bool yes;

	pthread_mutex_lock(&g->lock);
	yes = g->matched && stream_of(m->ticket) == g->stream;
	pthread_mutex_unlock(&g->lock);
	return yes;
}

static void
unmatch(struct gate *g)
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
hold(struct gate *g, const struct marked *m, uint64_t now_ms, struct err_detail *why)
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
	err = conn_ask(g->conn, "SHOW MASTER STATUS", take_end, &end, why);
	if (err == ERR_OK)
		err = ask_status(g, &a, why);
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

static void
pause_us(uint64_t us)
{
	struct timespec ts = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&ts, NULL);
}

err_t
gate_wait(struct gate *g, const struct gate_mark *mark, uint64_t timeout_ms, struct err_detail *why)
{
	struct marked m = marked_of(mark);
	uint64_t began = clock_mono_ns(g->clock), misfit_ms = clock_mono_ms(g->clock) + MISFIT_MS;
	uint64_t pause = FIRST_PAUSE_US;
	struct answer a;
	err_t err;

	if (atomic_load(&g->interrupted))
		return err_set(why, ERR_CLOSED, "waiting for commits to become visible was interrupted");
	if (is_visible(g, &m)) {
		metric_inc(&g->metrics->gate_pass);
		return ERR_OK;
	}
	err = gate_open(g, why);
	for (bool first = true; err == ERR_OK; first = false) {
		if (atomic_load(&g->stale))
			err = gate_open(g, why);
		if (err == ERR_OK)
			err = ask_status(g, &a, why);
		if (err != ERR_OK)
			break;
		take_answer(g, &a);
		if (is_visible(g, &m)) {
			histogram_record(&g->metrics->gate_time, (clock_mono_ns(g->clock) - began) / 1000);
			return ERR_OK;
		}
		if (first)
			metric_inc(&g->metrics->gate_wait);
		if (clock_mono_ms(g->clock) - began / 1000000 >= timeout_ms)
			return err_set(why, ERR_TIMEOUT,
				       "%.*s:%llu is in the binlog but not visible to readers after %llu ms",
				       SPAN_FMT(span_first(mark->file, 255)), (unsigned long long)mark->pos,
				       (unsigned long long)timeout_ms);
		if (atomic_load(&g->interrupted))
			return err_set(why, ERR_CLOSED,
				       "waiting for commits to become visible was interrupted");
		/* The server counted something that we did not, or the other way round: match anew. */
		if (is_matched(g, &m) && clock_mono_ms(g->clock) >= misfit_ms && spot_reaches(a.at, m.at)) {
			unmatch(g);
			misfit_ms += MISFIT_MS;
		}
		if (!is_matched(g, &m))
			err = hold(g, &m, clock_mono_ms(g->clock), why);
		if (err == ERR_OK && is_visible(g, &m)) {
			histogram_record(&g->metrics->gate_time, (clock_mono_ns(g->clock) - began) / 1000);
			return ERR_OK;
		}
		pause_us(pause);
		pause = pause * 2 < LAST_PAUSE_US ? pause * 2 : LAST_PAUSE_US;
	}
	if (err != ERR_CLOSED)
		metric_inc(&g->metrics->gate_error);
	conn_close(g->conn);
	return err;
}
