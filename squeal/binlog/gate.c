#include "squeal/binlog/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/mem.h"
#include "squeal/binlog/gate_way.h"

typedef struct gate_metrics metric_owner;
const struct metric_row gate_metric_rows[] = {METRIC_ROWS(GATE_METRICS)};
const size_t gate_metric_nrows = sizeof(gate_metric_rows) / sizeof(gate_metric_rows[0]);

enum {
	FIRST_PAUSE_US = 50, /* between two questions; doubles */
	LAST_PAUSE_US = 2000,
	ANSWER_MS = 2000, /* a question may keep the server busy for a part of this, beyond connect_timeout */
};

enum { TICKETS, GTID, WAYS };
static const struct gate_way_ops *const way_ops[WAYS] = {
    [TICKETS] = &gate_tickets_ops,
    [GTID] = &gate_gtid_ops,
};

struct gate {
	struct conn *conn;
	const struct source_options *opt;
	const struct clock *clock;
	struct gate_metrics *metrics;
	_Atomic bool interrupted;

	pthread_mutex_t lock; /* what is set under it may be read without */
	struct endpoint at;   /* where the stream comes from, when has_at */
	bool has_at;
	_Atomic bool stale; /* reset: whoever waits closes the connection and asks anew */
	void *ways[WAYS];
	_Atomic int way; /* that of the server at hand; WAYS: not known before the connection is there */
};

uint64_t
gate_file_number(struct span name)
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
	for (int i = 0; i < WAYS; i++)
		g->ways[i] = way_ops[i]->create(clock, metrics);
	g->way = WAYS;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
gate_destroy(struct gate **g)
{
	if (*g == NULL)
		return;
	for (int i = 0; i < WAYS; i++)
		way_ops[i]->destroy((*g)->ways[i]);
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

/* Under the lock. */
static void
forget(struct gate *g)
{
	atomic_store(&g->way, WAYS);
	for (int i = 0; i < WAYS; i++)
		way_ops[i]->forget(g->ways[i]);
}

/* The connection is left to the thread that waits: it may be in the middle of a question. */
void
gate_reset(struct gate *g, const struct endpoint *at)
{
	pthread_mutex_lock(&g->lock);
	forget(g);
	g->has_at = at != NULL;
	if (at != NULL)
		g->at = *at;
	atomic_store(&g->stale, true);
	pthread_mutex_unlock(&g->lock);
}

void
gate_lost(struct gate *g, const struct gtid_set *lost)
{
	for (int i = 0; i < WAYS; i++) {
		if (way_ops[i]->lose != NULL)
			way_ops[i]->lose(g->ways[i], lost);
	}
}

err_t
gate_open(struct gate *g, struct err_detail *why)
{
	struct endpoint at;
	bool has_at;
	int way;
	err_t err;

	pthread_mutex_lock(&g->lock);
	if (atomic_exchange(&g->stale, false))
		conn_close(g->conn);
	if (!conn_is_open(g->conn))
		forget(g);
	at = g->at;
	has_at = g->has_at;
	pthread_mutex_unlock(&g->lock);
	if (conn_is_open(g->conn))
		return ERR_OK;
	metric_inc(&g->metrics->gate_connect);
	err = has_at ? conn_open_at(g->conn, &at, why) : conn_open(g->conn, why);
	if (err == ERR_OK) {
		conn_set_timeout(g->conn, g->opt->connect_timeout + ANSWER_MS);
		way = conn_flavour(g->conn) == CONN_MARIADB ? TICKETS : GTID;
		err = way_ops[way]->open(g->ways[way], g->conn, why);
	}
	if (err == ERR_OK) {
		pthread_mutex_lock(&g->lock);
		if (!atomic_load(&g->stale))
			atomic_store(&g->way, way);
		pthread_mutex_unlock(&g->lock);
	} else {
		metric_inc(&g->metrics->gate_error);
		conn_close(g->conn);
	}
	return err;
}

void
gate_note(struct gate *g, const struct gate_mark *m)
{
	int way = atomic_load(&g->way);

	for (int i = 0; i < WAYS; i++) {
		if (way == WAYS || way == i)
			way_ops[i]->note(g->ways[i], m);
	}
}

/* Whether the answers so far let the transaction through. */
static bool
is_visible(struct gate *g, const struct gate_mark *m)
{
	int way = atomic_load(&g->way);

	return way != WAYS && way_ops[way]->is_visible(g->ways[way], m);
}

static void
pause_us(uint64_t us)
{
	struct timespec ts = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&ts, NULL);
}

err_t
gate_wait(struct gate *g, const struct gate_mark *m, uint64_t timeout_ms, struct err_detail *why)
{
	uint64_t began = clock_mono_ns(g->clock), pause = FIRST_PAUSE_US, waited_ms = 0;
	err_t err;

	if (atomic_load(&g->interrupted))
		return err_set(why, ERR_CLOSED, "waiting for commits to become visible was interrupted");
	if (!atomic_load(&g->stale) && is_visible(g, m)) {
		metric_inc(&g->metrics->gate_pass);
		return ERR_OK;
	}
	err = gate_open(g, why);
	for (bool first = true; err == ERR_OK; first = false) {
		int way;

		if (atomic_load(&g->stale))
			err = gate_open(g, why);
		way = atomic_load(&g->way);
		if (err == ERR_OK && way != WAYS)
			err = way_ops[way]->ask(g->ways[way], g->conn, m, waited_ms, why);
		if (err != ERR_OK)
			break;
		waited_ms = clock_mono_ms(g->clock) - began / 1000000;
		/* After a reset the answer was that of a connection which is given up: the next round asks
		 * anew. */
		if (!atomic_load(&g->stale) && is_visible(g, m)) {
			histogram_record(&g->metrics->gate_time, (clock_mono_ns(g->clock) - began) / 1000);
			return ERR_OK;
		}
		if (first)
			metric_inc(&g->metrics->gate_wait);
		if (waited_ms >= timeout_ms)
			return err_set(why, ERR_TIMEOUT,
				       "%.*s:%llu is in the binlog but not visible to readers after %llu ms",
				       SPAN_FMT(span_first(m->file, 255)), (unsigned long long)m->pos,
				       (unsigned long long)timeout_ms);
		if (atomic_load(&g->interrupted))
			return err_set(why, ERR_CLOSED,
				       "waiting for commits to become visible was interrupted");
		pause_us(pause);
		pause = pause * 2 < LAST_PAUSE_US ? pause * 2 : LAST_PAUSE_US;
	}
	if (err != ERR_CLOSED)
		metric_inc(&g->metrics->gate_error);
	conn_close(g->conn);
	return err;
}

/* --- XA ---------------------------------------------------------------------------------------------------
 */

struct xa_question {
	const struct xid *xid;
	bool is_listed;
};

/* A row of XA RECOVER: format id, lengths of the two parts, and their bytes. */
static void
take_xid(void *arg, const struct span *values, unsigned n)
{
	struct xa_question *q = arg;
	uint64_t format, gtrid_len;
	struct xid x;

	if (n >= 4 && span_u64(values[0], &format) && span_u64(values[1], &gtrid_len) &&
	    xid_make(&x, (uint32_t)format, span_first(values[3], (size_t)gtrid_len),
		     span_from(values[3], (size_t)gtrid_len)))
		q->is_listed |= xid_same(&x, q->xid);
}

err_t
gate_wait_xa(struct gate *g, const struct xid *xid, uint64_t timeout_ms, struct err_detail *why)
{
	uint64_t began_ms = clock_mono_ms(g->clock), pause = FIRST_PAUSE_US;
	struct xa_question q = {xid, true};
	err_t err = gate_open(g, why);

	while (err == ERR_OK && atomic_load(&g->way) == TICKETS) {
		q.is_listed = false;
		metric_inc(&g->metrics->gate_query);
		err = conn_ask(g->conn, "XA RECOVER", take_xid, &q, why);
		if (err != ERR_OK || !q.is_listed)
			break;
		if (clock_mono_ms(g->clock) - began_ms >= timeout_ms)
			return err_set(
			    why, ERR_TIMEOUT,
			    "XA RECOVER still lists a transaction %llu ms after its XA COMMIT was read",
			    (unsigned long long)timeout_ms);
		if (atomic_load(&g->interrupted))
			return err_set(why, ERR_CLOSED,
				       "waiting for XA COMMIT to become visible was interrupted");
		pause_us(pause);
		pause = pause * 2 < LAST_PAUSE_US ? pause * 2 : LAST_PAUSE_US;
		err = gate_open(g, why);
	}
	if (err == ERR_OK)
		return ERR_OK;
	if (err != ERR_CLOSED)
		metric_inc(&g->metrics->gate_error);
	conn_close(g->conn);
	return err;
}
