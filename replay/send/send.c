#include "replay/send/send.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"
#include "replay/send/belt.h"
#include "replay/send/crew.h"
#include "replay/send/database.h"

enum { TURN_MS = 5, LOOK_MS = 250, SECOND_MS = 1000, CALM_MS = 10000, IN_FLIGHT_MAX = 4096 };

struct send {
	const struct send_setup *setup;
	struct loop *loop;
	struct loop_signal sigint, sigterm;
	struct loop_timer turn, look, second, calm;
	struct crew *crew;
	struct database *database;
	struct pace pace;
	struct eta eta;
	double sent_per_s; /* between the last two looks */
	uint64_t looked_ns, looked_acked;

	/* the reading thread */
	pthread_t thread;
	bool thread_started;
	struct belt *belt;
	struct select *select;
	struct belt_chunk *filling;

	/* the loop */
	struct belt_chunk *current;		 /* of which something is to be put */
	struct belt_chunk *flying, **flying_end; /* put, not acknowledged by all; oldest first */
	size_t nflying;
	uint64_t next_number;
	struct targets_hop hop; /* that did not fit */
	bool has_hop;
	struct crew_totals before; /* of earlier runs, as the job file has them */
	uint64_t active_before_ms, began_ms;
	uint64_t unsendable;
	bool stopping;
	enum send_end end;
	char away[200];
	err_t err;
	struct err_detail why;
};

/* --- the reading thread -----------------------------------------------------------------------------------
 */

static bool
put_chunk(struct send *s)
{
	struct belt_chunk *c = s->filling;

	if (c == NULL)
		return true;
	s->filling = NULL;
	belt_chunk_end(c, select_place(s->select));
	return belt_put(s->belt, c);
}

static bool
take_key(void *arg, struct span key, const struct targets_answer *to)
{
	struct send *s = arg;

	(void)key;
	if (s->filling == NULL)
		s->filling = belt_blank(s->belt);
	belt_chunk_add(s->filling, to);
	return !belt_chunk_is_whole(s->filling) || put_chunk(s);
}

static void *
read_tape(void *arg)
{
	struct send *s = arg;
	struct err_detail why = {0};
	err_t err = select_run(s->select, s->setup->tape, &why);

	if (!put_chunk(s))
		err = ERR_CLOSED;
	belt_end(s->belt, err, &why);
	return NULL;
}

static void on_turn(void *arg);

static void
wake(void *arg)
{
	struct send *s = arg;

	loop_post(s->loop, on_turn, s);
}

/* --- the end ----------------------------------------------------------------------------------------------
 */

static void
finish(struct send *s, enum send_end end)
{
	s->end = end;
	loop_stop(s->loop);
}

static void
fail(struct send *s, err_t err, const struct err_detail *why)
{
	if (s->err == ERR_OK) {
		s->err = err;
		s->why = *why;
	}
	finish(s, SEND_STOPPED);
}

static void
write_job(struct send *s, enum jobfile_state state)
{
	struct jobfile *j = s->setup->job;
	struct crew_totals t = crew_totals(s->crew);
	struct err_detail why = {0};
	err_t err;

	j->state = state;
	j->numbers[JOBFILE_acked] = s->before.acked + t.acked;
	j->numbers[JOBFILE_hits] = s->before.hits + t.hits;
	j->numbers[JOBFILE_misses] = s->before.misses + t.misses;
	j->numbers[JOBFILE_given_up] = s->before.given_up + t.given_up;
	j->numbers[JOBFILE_active_ms] = s->active_before_ms + clock_mono_ms(s->setup->clock) - s->began_ms;
	err = jobfile_write(j, s->setup->job_path, &why);
	/* Without it the job could not be resumed where it is; what is written is older, never wrong. */
	if (err != ERR_OK)
		fail(s, err, &why);
}

static void
stop_softly(struct send *s, enum send_end end)
{
	s->stopping = true;
	s->end = end;
	crew_pause(s->crew);
	loop_timer_once(&s->calm, CALM_MS);
	on_turn(s);
}

static void
on_signal(void *arg, int signo)
{
	struct send *s = arg;

	(void)signo;
	if (s->stopping)
		finish(s, SEND_HURRIED);
	else
		stop_softly(s, SEND_STOPPED);
}

/* What is in flight was not acknowledged in all this time: it is sent again when the job goes on. */
static void
on_calm(void *arg)
{
	struct send *s = arg;

	finish(s, s->end);
}

/* --- the loop ---------------------------------------------------------------------------------------------
 */

static void
take_done(struct send *s)
{
	uint64_t done = crew_done(s->crew);

	while (s->flying != NULL && s->flying->number < done) {
		struct belt_chunk *c = s->flying;

		s->flying = c->next;
		if (s->flying == NULL)
			s->flying_end = &s->flying;
		s->nflying--;
		jobfile_set_place(s->setup->job, &c->end);
		s->setup->job->numbers[JOBFILE_done_keys] = c->end.keys;
		belt_give_back(s->belt, c);
	}
}

static void
end_chunk(struct send *s)
{
	struct belt_chunk *c = s->current;

	crew_end(s->crew, c->number);
	s->current = NULL;
	c->next = NULL;
	*s->flying_end = c;
	s->flying_end = &c->next;
	s->nflying++;
}

/* Puts deletes into the outboxes, as many as may go now. */
static void
put_some(struct send *s)
{
	uint64_t may = pace_now(&s->pace, clock_mono_ns(s->setup->clock)), n = 0;

	while (n < may && s->nflying < IN_FLIGHT_MAX) {
		enum crew_put put;

		if (s->current == NULL) {
			s->current = belt_take(s->belt);
			if (s->current == NULL)
				break;
			s->current->number = s->next_number++;
		}
		if (!s->has_hop && !belt_chunk_next(s->current, &s->hop)) {
			end_chunk(s);
			continue;
		}
		put = crew_put(s->crew, s->current->number, &s->hop);
		s->has_hop = put == CREW_FULL;
		if (s->has_hop)
			break;
		n++;
		s->unsendable += put == CREW_UNSENDABLE;
	}
	pace_spend(&s->pace, n);
}

static bool
is_all_done(struct send *s)
{
	const uint64_t *numbers = s->setup->job->numbers;
	struct err_detail why = {0};
	err_t err = ERR_OK;

	if (s->current != NULL || s->flying != NULL || !belt_is_over(s->belt, &err, &why))
		return false;
	if (err == ERR_OK && numbers[JOBFILE_done_keys] < numbers[JOBFILE_plan_keys])
		err = err_set(
		    &why, ERR_NOT_FOUND,
		    "the plan had %llu keys, but only %llu came: what is replayed was changed meanwhile; "
		    "make a new plan",
		    (unsigned long long)numbers[JOBFILE_plan_keys],
		    (unsigned long long)numbers[JOBFILE_done_keys]);
	if (err != ERR_OK)
		fail(s, err, &why);
	return err == ERR_OK;
}

static void
on_turn(void *arg)
{
	struct send *s = arg;

	if (!s->stopping) {
		put_some(s);
		crew_pump(s->crew);
	}
	take_done(s);
	if (s->stopping) {
		if (crew_is_calm(s->crew))
			finish(s, s->end);
	} else if (is_all_done(s)) {
		finish(s, SEND_DONE);
	}
}

static void
show(struct send *s)
{
	const struct jobfile *j = s->setup->job;
	struct crew_totals t = crew_totals(s->crew);
	uint64_t done = j->numbers[JOBFILE_done_keys], total = j->numbers[JOBFILE_plan_keys], away_ms;
	char away[200] = "";
	struct progress p = {
	    .verb = s->stopping ? "stopping" : "replaying",
	    .unit = "keys",
	    .done = done,
	    .total = total,
	    .keys = done,
	    .per_s = s->sent_per_s,
	    .guess = eta_guess(&s->eta, total > done ? total - done : 0),
	    .throttled = s->pace.reason,
	    .waiting = away,
	    .job = s->setup->job_id,
	    .acked = s->before.acked + t.acked,
	    .hits = s->before.hits + t.hits,
	    .misses = s->before.misses + t.misses,
	};

	if (crew_away(s->crew, &away_ms, away, sizeof(away)) && away_ms < SECOND_MS)
		away[0] = '\0';
	screen_progress(s->setup->screen, &p);
}

static void
on_look(void *arg)
{
	struct send *s = arg;
	uint64_t now = clock_mono_ns(s->setup->clock), acked = crew_totals(s->crew).acked, away_ms;
	struct pace_look look = {0};
	char away[sizeof(s->away)];

	s->sent_per_s = (double)(acked - s->looked_acked) * 1e9 / (double)(now - s->looked_ns);
	s->looked_acked = acked;
	s->looked_ns = now;
	crew_look(s->crew, &look);
	look.sent = s->sent_per_s;
	look.threads = s->database != NULL ? database_threads(s->database) : 0;
	pace_see(&s->pace, &look);
	eta_see(&s->eta, clock_mono_ms(s->setup->clock), s->setup->job->numbers[JOBFILE_done_keys]);
	if (screen_is_due(s->setup->screen))
		show(s);
	if (!s->stopping && s->setup->patience_ms > 0 && crew_away(s->crew, &away_ms, away, sizeof(away)) &&
	    away_ms > s->setup->patience_ms) {
		snprintf(s->away, sizeof(s->away), "%s", away);
		stop_softly(s, SEND_IMPATIENT);
	}
}

static void
on_second(void *arg)
{
	struct send *s = arg;

	crew_ask(s->crew);
	write_job(s, JOBFILE_RUNNING);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static err_t
open_all(struct send *s, struct err_detail *why)
{
	const struct send_setup *setup = s->setup;
	err_t err;

	err = loop_signal_init(&s->sigint, s->loop, SIGINT, on_signal, s, why);
	if (err == ERR_OK)
		err = loop_signal_init(&s->sigterm, s->loop, SIGTERM, on_signal, s, why);
	if (err == ERR_OK && setup->pace.max_threads > 0)
		err = database_create(&s->database, &setup->topology->source, setup->log, why);
	if (err == ERR_OK)
		err = crew_create(&s->crew,
				  &(struct crew_setup){
				      .loop = s->loop,
				      .topology = setup->topology,
				      .targets = setup->targets,
				      .planned = setup->planned,
				      .log = setup->log,
				      .gauges = setup->pace.max_misses > 0,
				  },
				  why);
	if (err != ERR_OK)
		return err;
	err = thread_start(&s->thread, "replay-read", read_tape, s, why);
	s->thread_started = err == ERR_OK;
	return err;
}

static void
take_result(struct send *s, struct send_result *r)
{
	size_t n = targets_nservers(s->setup->targets);

	r->end = s->end;
	r->ms = clock_mono_ms(s->setup->clock) - s->began_ms;
	r->sent = crew_totals(s->crew).acked;
	r->unsendable = s->unsendable;
	r->throttled = s->pace.looks > 0 ? (double)s->pace.throttled_looks / (double)s->pace.looks : 0;
	r->servers = mem_zalloc(n + 1, sizeof(*r->servers));
	snprintf(r->away, sizeof(r->away), "%s", s->away);
	for (size_t i = 0; i < n; i++) {
		const struct server *server = crew_server(s->crew, i);
		const struct histogram *acks = crew_acks(s->crew, i);
		const struct outbox_metrics *m;

		if (server == NULL)
			continue;
		m = server_outbox_metrics(server);
		r->servers[i] = (struct send_server_result){
		    .acked = metric_get(&m->router_deletes_acked),
		    .hits = metric_get(&m->router_delete_hits),
		    .misses = metric_get(&m->router_delete_misses),
		    .given_up = metric_get(&m->router_deletes_given_up),
		    .coalesced = metric_get(&m->router_deletes_coalesced),
		    .unsupported =
			metric_get(&m->router_holdoff_unsupported) + metric_get(&m->router_stale_unsupported),
		    .ack_p50_us = histogram_percentile(acks, 0.5),
		    .ack_p99_us = histogram_percentile(acks, 0.99),
		    .ack_max_us = histogram_max(acks),
		};
	}
}

static void
close_all(struct send *s)
{
	belt_close(s->belt);
	tape_stop(s->setup->tape);
	if (s->thread_started)
		pthread_join(s->thread, NULL);
	loop_timer_stop(&s->turn);
	loop_timer_stop(&s->look);
	loop_timer_stop(&s->second);
	loop_timer_stop(&s->calm);
	crew_destroy(&s->crew);
	database_destroy(&s->database);
	loop_signal_fini(&s->sigint);
	loop_signal_fini(&s->sigterm);
	while (s->flying != NULL) {
		struct belt_chunk *c = s->flying;

		s->flying = c->next;
		belt_give_back(s->belt, c);
	}
	if (s->current != NULL)
		belt_give_back(s->belt, s->current);
	if (s->filling != NULL)
		belt_give_back(s->belt, s->filling);
	belt_destroy(&s->belt);
	select_destroy(&s->select);
	loop_destroy(&s->loop);
}

static void
init(struct send *s, const struct send_setup *setup)
{
	const uint64_t *numbers = setup->job->numbers;

	*s = (struct send){
	    .setup = setup,
	    .before = {numbers[JOBFILE_acked], numbers[JOBFILE_hits], numbers[JOBFILE_misses],
		       numbers[JOBFILE_given_up]},
	    .active_before_ms = numbers[JOBFILE_active_ms],
	    .began_ms = clock_mono_ms(setup->clock),
	    .looked_ns = clock_mono_ns(setup->clock),
	};
	s->flying_end = &s->flying;
	pace_init(&s->pace, &setup->pace, clock_mono_ns(setup->clock));
	s->belt = belt_create(wake, s);
	s->select = select_create(&(struct select_options){
	    .filter = setup->filter,
	    .targets = setup->targets,
	    .seed = numbers[JOBFILE_seed],
	    .remember = setup->remember,
	    .key = take_key,
	    .arg = s,
	    .from = setup->job->has_place ? &setup->job->place : NULL,
	    .until_keys = numbers[JOBFILE_plan_keys],
	});
}

err_t
send_run(const struct send_setup *setup, struct send_result *result, struct err_detail *why)
{
	struct send *s = MEM_NEW(struct send);
	err_t err;

	*result = (struct send_result){0};
	init(s, setup);
	err = loop_create(&s->loop, setup->clock, why);
	if (err != ERR_OK)
		goto done;
	loop_timer_init(&s->turn, s->loop, on_turn, s);
	loop_timer_init(&s->look, s->loop, on_look, s);
	loop_timer_init(&s->second, s->loop, on_second, s);
	loop_timer_init(&s->calm, s->loop, on_calm, s);
	err = open_all(s, why);
	if (err != ERR_OK)
		goto done;
	loop_timer_every(&s->turn, TURN_MS);
	loop_timer_every(&s->look, LOOK_MS);
	loop_timer_every(&s->second, SECOND_MS);
	write_job(s, JOBFILE_RUNNING);
	if (s->err == ERR_OK)
		loop_run(s->loop);
	/* What was found out last: the loop ends at the first error. */
	if (s->err == ERR_OK || s->end != SEND_HURRIED) {
		show(s);
		write_job(s, s->err == ERR_OK && s->end == SEND_DONE ? JOBFILE_DONE : JOBFILE_STOPPED);
	}
	take_result(s, result);
	if (s->err != ERR_OK)
		err = err_set(why, s->err, "%s", err_why(&s->why));
done:
	close_all(s);
	free(s);
	return err;
}
