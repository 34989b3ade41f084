#include "replay/send/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

enum { LIMITS_MAX = 256 };

struct member {
	struct crew *crew;
	struct server *server; /* NULL: it was left alone */
	struct outbox *outbox;
	struct server_security *security;
	struct gauge *gauge;
	uint64_t told;		      /* chunk number + 1 that the outbox was told last */
	bool is_dirty;		      /* something was put in since the last pump */
	uint64_t away_ms;	      /* since when it cannot be reached; 0: it can, or need not be */
	struct histogram all, recent; /* from sending to acknowledgement */
};

struct crew {
	struct crew_setup setup;
	struct router_options opt; /* the topology's; every delete asks whether the key was there */
	struct member *members;
	size_t n;
};

/* Who fills the outboxes looks at them every few milliseconds. */
static void
on_progress(void *arg, struct server *s)
{
	(void)arg;
	(void)s;
}

static void
on_acked(void *arg, const struct outbox_ack *ack)
{
	struct member *m = arg;

	if (ack->acked_us < ack->sent_us || ack->sent_us == 0)
		return;
	histogram_record(&m->recent, ack->acked_us - ack->sent_us);
	histogram_record(&m->all, ack->acked_us - ack->sent_us);
}

static err_t
open_member(struct crew *c, size_t i, struct err_detail *why)
{
	const struct targets *t = c->setup.targets;
	const struct server_options *opt = targets_server(t, i);
	const struct pool_options *pool = targets_server_pool(t, i);
	struct member *m = &c->members[i];
	struct outbox_limit limits[LIMITS_MAX];
	struct buf address = BUF_INIT;
	err_t err;

	m->crew = c;
	if (!targets_server_is_chosen(t, i) || (c->setup.planned != NULL && c->setup.planned[i] == 0))
		return ERR_OK;
	err = server_security_create(&m->security,
				     &(struct server_security_options){
					 .tls = pool->tls,
					 .tls_ca = pool->tls_ca,
					 .tls_cert = pool->tls_cert,
					 .tls_key = pool->tls_key,
					 .auth_file = pool->auth_file,
				     },
				     why);
	if (err != ERR_OK)
		return err;
	m->server = server_create(opt, &(struct server_context){
					   .loop = c->setup.loop,
					   .opt = &c->opt,
					   .log = c->setup.log,
					   .seed = i + 1,
					   .security = m->security,
					   .on_progress = on_progress,
					   .on_acked = on_acked,
					   .arg = m,
				       });
	m->outbox = server_outbox(m->server);
	outbox_limits(m->outbox, limits, targets_server_limits(t, i, limits, LIMITS_MAX));
	if (c->setup.gauges) {
		topology_server_address(opt, &address);
		m->gauge = gauge_create(c->setup.loop, buf_str(&address),
					opt->host[0] == '/' ? "" : opt->host, m->security);
		buf_fini(&address);
	}
	m->away_ms = clock_mono_ms(loop_clock(c->setup.loop));
	server_start(m->server);
	return ERR_OK;
}

err_t
crew_create(struct crew **out, const struct crew_setup *setup, struct err_detail *why)
{
	struct crew *c = MEM_NEW(struct crew);
	err_t err = ERR_OK;

	c->setup = *setup;
	c->opt = setup->topology->router;
	c->opt.sample_hits = 1;
	c->n = targets_nservers(setup->targets);
	c->members = mem_zalloc(c->n + 1, sizeof(*c->members));
	for (size_t i = 0; i < c->n && err == ERR_OK; i++)
		err = open_member(c, i, why);
	if (err != ERR_OK)
		crew_destroy(&c);
	*out = c;
	return err;
}

void
crew_destroy(struct crew **c)
{
	if (*c == NULL)
		return;
	for (size_t i = 0; i < (*c)->n; i++) {
		struct member *m = &(*c)->members[i];

		gauge_destroy(&m->gauge);
		server_destroy(&m->server);
		server_security_destroy(&m->security);
	}
	free((*c)->members);
	free(*c);
	*c = NULL;
}

/* --- filling ----------------------------------------------------------------------------------------------
 */

enum crew_put
crew_put(struct crew *c, uint64_t number, const struct targets_hop *hop)
{
	struct member *m = &c->members[hop->server];

	if (m->server == NULL)
		return CREW_UNSENDABLE;
	if (outbox_bytes(m->outbox) >= c->opt.queue_bytes)
		return CREW_FULL;
	if (m->told != number + 1) {
		outbox_txn(m->outbox, number, 0, 0);
		m->told = number + 1;
	}
	m->is_dirty = true;
	return outbox_put(m->outbox, &hop->key) == ERR_OK ? CREW_TAKEN : CREW_UNSENDABLE;
}

void
crew_end(struct crew *c, uint64_t number)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->members[i].server != NULL)
			outbox_record_end(c->members[i].outbox, number + 1);
	}
}

void
crew_pump(struct crew *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->members[i].is_dirty)
			server_pump(c->members[i].server);
		c->members[i].is_dirty = false;
	}
}

void
crew_pause(struct crew *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->members[i].server != NULL)
			outbox_pause(c->members[i].outbox, true);
	}
}

bool
crew_is_calm(const struct crew *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct member *m = &c->members[i];

		if (m->server != NULL && server_is_up(m->server) && outbox_in_flight(m->outbox) > 0)
			return false;
	}
	return true;
}

uint64_t
crew_done(const struct crew *c)
{
	uint64_t done = UINT64_MAX;

	for (size_t i = 0; i < c->n; i++) {
		const struct member *m = &c->members[i];

		if (m->server != NULL && outbox_acked(m->outbox) < done)
			done = outbox_acked(m->outbox);
	}
	return done;
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

struct crew_totals
crew_totals(const struct crew *c)
{
	struct crew_totals t = {0};

	for (size_t i = 0; i < c->n; i++) {
		const struct outbox_metrics *o;

		if (c->members[i].server == NULL)
			continue;
		o = server_outbox_metrics(c->members[i].server);
		t.acked += metric_get(&o->router_deletes_acked);
		t.hits += metric_get(&o->router_delete_hits);
		t.misses += metric_get(&o->router_delete_misses);
		t.given_up += metric_get(&o->router_deletes_given_up);
	}
	return t;
}

void
crew_ask(struct crew *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->members[i].gauge != NULL)
			gauge_ask(c->members[i].gauge);
	}
}

/* What a server needs for an acknowledgement: of those that came, and of the one that does not come. */
static uint64_t
ack_us(struct member *m, uint64_t now_ms)
{
	uint64_t us = histogram_percentile(&m->recent, 0.99);
	uint64_t since = outbox_waiting_since_ms(m->outbox);

	if (since != 0 && now_ms > since && (now_ms - since) * 1000 > us)
		us = (now_ms - since) * 1000;
	memset(&m->recent, 0, sizeof(m->recent));
	return us;
}

static void
look_at_misses(struct crew *c, struct pace_look *look)
{
	const struct targets *t = c->setup.targets;

	for (size_t k = 0; k < targets_nclusters(t); k++) {
		uint64_t sum = 0, one;

		for (size_t i = 0; i < c->n; i++) {
			if (targets_server_cluster(t, i) == k && c->members[i].gauge != NULL &&
			    gauge_misses(c->members[i].gauge, &one))
				sum += one;
		}
		if (sum > look->misses || look->missing == NULL) {
			look->misses = sum;
			look->missing = targets_cluster(t, k)->opt.name;
		}
	}
}

void
crew_look(struct crew *c, struct pace_look *look)
{
	uint64_t now = clock_mono_ms(loop_clock(c->setup.loop));

	look->ack_us = 0;
	look->slowest = "";
	for (size_t i = 0; i < c->n; i++) {
		struct member *m = &c->members[i];
		uint64_t us;

		if (m->server == NULL)
			continue;
		if (server_is_up(m->server) || outbox_is_empty(m->outbox))
			m->away_ms = 0;
		else if (m->away_ms == 0)
			m->away_ms = now;
		us = ack_us(m, now);
		if (us > look->ack_us) {
			look->ack_us = us;
			look->slowest = server_name(m->server);
		}
	}
	look_at_misses(c, look);
}

bool
crew_away(const struct crew *c, uint64_t *for_ms, char *why, size_t size)
{
	uint64_t now = clock_mono_ms(loop_clock(c->setup.loop));
	bool found = false;

	*for_ms = 0;
	for (size_t i = 0; i < c->n; i++) {
		const struct member *m = &c->members[i];
		const char *error;

		if (m->server == NULL || m->away_ms == 0 || outbox_is_empty(m->outbox) ||
		    now - m->away_ms < *for_ms)
			continue;
		found = true;
		*for_ms = now - m->away_ms;
		error = server_last_error(m->server);
		if (error[0] == '\0')
			error = server_state(m->server);
		/* Most sentences name it. */
		if (strstr(error, server_name(m->server)) != NULL)
			snprintf(why, size, "%s", error);
		else
			snprintf(why, size, "%s: %s", server_name(m->server), error);
		if (targets_server_is_old(c->setup.targets, i)) {
			size_t len = strlen(why);

			snprintf(why + len, size - len,
				 " (owner only by a ring of before: squealctl seal, or "
				 "--no-former)");
		}
	}
	return found;
}

const struct server *
crew_server(const struct crew *c, size_t i)
{
	return c->members[i].server;
}

const struct histogram *
crew_acks(const struct crew *c, size_t i)
{
	return &c->members[i].all;
}
