#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/mem.h"
#include "squeal/binlog/gate_runs.h"
#include "squeal/binlog/gate_way.h"

/* One question; a whole number, since servers before 8.0 need not know fractions. */
enum { WAIT_SECONDS = 1 };

struct gate_gtid {
	const struct clock *clock;
	struct gate_metrics *metrics;

	/* Of the thread that waits. */
	uint64_t waited; /* the ticket it waited for last */
	struct gtid_set wanted;
	struct buf text, sql;

	pthread_mutex_t lock; /* for all that follows */
	uint64_t epoch;	      /* counts up when answers are forgotten */
	uint64_t visible;     /* up to this ticket everything is */
	struct gate_runs runs;
	struct gtid_set lost; /* never comes to be visible */
};

static void *
create(const struct clock *clock, struct gate_metrics *metrics)
{
	struct gate_gtid *g = MEM_NEW(struct gate_gtid);

	g->clock = clock;
	g->metrics = metrics;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

static void
destroy(void *way)
{
	struct gate_gtid *g = way;

	gtid_set_fini(&g->wanted);
	gtid_set_fini(&g->lost);
	gate_runs_fini(&g->runs);
	buf_fini(&g->text);
	buf_fini(&g->sql);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* What was read stays: ids are the same on every server. */
static void
forget(void *way)
{
	struct gate_gtid *g = way;

	pthread_mutex_lock(&g->lock);
	g->epoch++;
	g->visible = 0;
	pthread_mutex_unlock(&g->lock);
}

static void
lose(void *way, const struct gtid_set *lost)
{
	struct gate_gtid *g = way;

	pthread_mutex_lock(&g->lock);
	gtid_set_add_set(&g->lost, lost);
	pthread_mutex_unlock(&g->lock);
}

static err_t
open_way(void *way, struct conn *c, struct err_detail *why)
{
	return ERR_OK;
}

/* set -= part */
static void
take_away(struct gtid_set *set, const struct gtid_set *part)
{
	struct gtid_set rest = {0};

	gtid_set_minus(set, part, &rest);
	gtid_set_fini(set);
	*set = rest;
}

static void
note(void *way, const struct gate_mark *m)
{
	struct gate_gtid *g = way;
	uint64_t now_ms = m->gtid.kind == GTID_MYSQL ? 0 : clock_mono_ms(g->clock);

	pthread_mutex_lock(&g->lock);
	gate_runs_add(&g->runs, m->ticket, &m->gtid, now_ms);
	if (gtid_set_has(&g->lost, &m->gtid)) {
		struct gtid_set again = {0};

		gtid_set_add(&again, &m->gtid);
		take_away(&g->lost, &again);
		gtid_set_fini(&again);
	}
	pthread_mutex_unlock(&g->lock);
}

static bool
is_visible(void *way, const struct gate_mark *m)
{
	struct gate_gtid *g = way;
	bool yes;

	pthread_mutex_lock(&g->lock);
	yes = m->ticket <= g->visible;
	pthread_mutex_unlock(&g->lock);
	return yes;
}

/*
 * The server looks the ids up without writing its own set as text, and wakes us when the last one is there.
 * With gtid_mode=OFF it does not wait, and ids may still come from a time when it was on.
 */
static err_t
ask_set(struct gate_gtid *g, struct conn *c, bool *has_all, struct err_detail *why)
{
	uint64_t began = clock_mono_ns(g->clock);
	struct buf answer = BUF_INIT;
	err_t err;

	buf_clear(&g->text);
	gtid_set_format(&g->wanted, &g->text);
	buf_clear(&g->sql);
	buf_printf(&g->sql,
		   "SELECT IF(@@GLOBAL.gtid_mode='OFF', NOT GTID_SUBSET('%s', @@GLOBAL.gtid_executed), "
		   "WAIT_FOR_EXECUTED_GTID_SET('%s', %d))",
		   buf_str(&g->text), buf_str(&g->text), WAIT_SECONDS);
	metric_inc(&g->metrics->gate_query);
	err = conn_value(c, buf_str(&g->sql), &answer, why);
	*has_all = err == ERR_OK && span_is(buf_span(&answer), "0");
	buf_fini(&answer);
	histogram_record(&g->metrics->gate_query_time, (clock_mono_ns(g->clock) - began) / 1000);
	return err;
}

static void
hold(struct gate_gtid *g, uint64_t until_ms)
{
	uint64_t now_ms = clock_mono_ms(g->clock);
	struct timespec ts = {.tv_nsec = 1000000 * (long)(until_ms - now_ms)};

	metric_inc(&g->metrics->gate_held);
	if (until_ms > now_ms)
		nanosleep(&ts, NULL);
}

static err_t
ask(void *way, struct conn *c, const struct gate_mark *m, uint64_t waited_ms, struct err_detail *why)
{
	struct gate_gtid *g = way;
	bool has_all = true;
	uint64_t until_ms, epoch;
	err_t err = ERR_OK;

	pthread_mutex_lock(&g->lock);
	/* Who goes on to a later one has given up on the one before. */
	if (m->ticket > g->waited)
		gate_runs_drop(&g->runs, g->waited);
	g->waited = m->ticket;
	epoch = g->epoch;
	until_ms = gate_runs_wanted(&g->runs, m->ticket, &g->wanted);
	/* After a reset it is asked for again, though it is none of the runs any more. */
	gtid_set_add(&g->wanted, &m->gtid);
	if (g->lost.n > 0)
		take_away(&g->wanted, &g->lost);
	pthread_mutex_unlock(&g->lock);
	if (g->wanted.n > 0)
		err = ask_set(g, c, &has_all, why);
	if (err != ERR_OK || !has_all)
		return err;
	if (until_ms > 0)
		hold(g, until_ms);
	pthread_mutex_lock(&g->lock);
	/* Otherwise a server said so that may be gone. */
	if (epoch == g->epoch) {
		g->visible = m->ticket;
		gate_runs_drop(&g->runs, m->ticket);
	}
	pthread_mutex_unlock(&g->lock);
	return ERR_OK;
}

const struct gate_way_ops gate_gtid_ops = {
    .create = create,
    .destroy = destroy,
    .forget = forget,
    .open = open_way,
    .note = note,
    .lose = lose,
    .is_visible = is_visible,
    .ask = ask,
};
