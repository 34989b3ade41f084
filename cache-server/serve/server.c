#include "cache-server/serve/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cache-server/serve/conn.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum { COLLECT_MS = 20 /* of watchers' lines */ };

size_t
server_cache_index(const struct server *s, const struct cache *c)
{
	size_t i = 0;

	while (i + 1 < s->ncaches && s->caches[i] != c)
		i++;
	return i;
}

/* --- what report asks ---------------------------------------------------------------------------------- */

static void
report_now(void *arg, struct cache *c, struct settings_now *out)
{
	struct server *s = arg;
	uint64_t memory = atomic_load_explicit(&s->memory[server_cache_index(s, c)], memory_order_relaxed);

	if (memory)
		out->memory = memory;
	out->verbose = atomic_load_explicit(&s->verbose, memory_order_relaxed);
}

static bool
report_accepting(void *arg)
{
	return door_is_open(((struct server *)arg)->door);
}

static uint64_t
report_certificate_age(void *arg)
{
	struct server *s = arg;

	return s->tls ? tls_age_s(s->tls) : 0;
}

static void
report_connections(void *arg, report_connection_fn *fn, void *fn_arg)
{
	struct server *s = arg;
	uint32_t now = server_now_s(s);

	for (size_t i = 0; i < s->ports.n; i++) {
		const struct port *p = &s->ports.at[i];
		struct report_connection r = {.fd = p->fd,
					      .udp = p->kind == PORT_UDP,
					      .listening = true,
					      .address = p->address,
					      .listen_address = "",
					      .state = p->kind == PORT_UDP ? "conn_read" : "conn_listening",
					      .idle_s = now};

		fn(fn_arg, &r);
	}
	for (size_t i = 0; i < s->nworkers; i++) {
		struct worker *w = s->workers[i];

		pthread_mutex_lock(&w->lock);
		for (const struct conn *c = w->conns; c; c = c->next)
			conn_report(c, now, fn, fn_arg);
		pthread_mutex_unlock(&w->lock);
	}
}

static err_t
make_report(struct server *s, struct err_detail *why)
{
	struct report_container *containers = mem_zalloc(s->ncaches, sizeof *containers);
	struct report_sources src = {.settings = s->settings,
				     .containers = containers,
				     .ncontainers = s->ncaches,
				     .nthreads = s->nworkers,
				     .watch = s->watch,
				     .clock = s->clock,
				     .arg = s,
				     .now = report_now,
				     .accepting = report_accepting,
				     .certificate_age_s = report_certificate_age,
				     .connections = report_connections};

	s->sight = mem_zalloc(1, sizeof *s->sight);
	s->sight->hot_keys = mem_zalloc(s->ncaches * s->nworkers, sizeof(struct topk *));
	s->sight->prefixes = mem_zalloc(s->ncaches * s->nworkers, sizeof(struct prefix *));
	s->sight->hot_clients = mem_zalloc(s->nworkers, sizeof(struct topk *));
	s->sight->latencies = mem_zalloc(s->nworkers, sizeof(struct latency *));
	s->sight->metrics = mem_zalloc(s->nworkers + 1, sizeof(struct serve_metrics *));
	s->sight->containers = containers;
	for (size_t c = 0; c < s->ncaches; c++) {
		containers[c].cache = s->caches[c];
		containers[c].settings = &s->settings->containers.at[c];
		if (s->settings->hot_sample)
			containers[c].hot_keys = s->sight->hot_keys + c * s->nworkers;
		containers[c].prefixes = s->sight->prefixes + c * s->nworkers;
		for (size_t w = 0; w < s->nworkers; w++) {
			s->sight->hot_keys[c * s->nworkers + w] = s->workers[w]->hot_keys[c];
			s->sight->prefixes[c * s->nworkers + w] = s->workers[w]->prefixes[c];
		}
	}
	for (size_t w = 0; w < s->nworkers; w++) {
		s->sight->hot_clients[w] = s->workers[w]->hot_clients;
		s->sight->latencies[w] = s->workers[w]->latency;
		s->sight->metrics[w] = &s->workers[w]->metrics;
	}
	s->sight->metrics[s->nworkers] = door_metrics(s->door);
	if (s->settings->hot_sample)
		src.hot_clients = s->sight->hot_clients;
	if (s->settings->latency_sample)
		src.latencies = s->sight->latencies;
	src.serve = s->sight->metrics;
	src.nserve = s->nworkers + 1;
	return report_create(&s->report, &src, why);
}

static void
destroy_sight(struct server_sight **sp)
{
	struct server_sight *sight = *sp;

	*sp = NULL;
	if (sight == NULL)
		return;
	free(sight->containers);
	free(sight->hot_keys);
	free(sight->prefixes);
	free(sight->hot_clients);
	free(sight->latencies);
	free(sight->metrics);
	free(sight);
}

/* --- the auth file ------------------------------------------------------------------------------------- */

static err_t
load_auth(struct server *s, struct err_detail *why)
{
	struct server_auth *fresh, *old;
	err_t err;

	if (s->settings->auth_file[0] == '\0')
		return ERR_OK;
	fresh = MEM_NEW(struct server_auth);
	err = auth_file_load(&fresh->file, s->settings->auth_file, hash_seed(), why);
	if (err != ERR_OK) {
		free(fresh);
		return err;
	}
	/* Release: workers that see the pointer see what it points to. */
	old = atomic_exchange_explicit(&s->auth, fresh, memory_order_acq_rel);
	if (old) {
		old->stamp = quiesce_stamp(s->quiesce);
		old->next = s->old_auth;
		s->old_auth = old;
	}
	return ERR_OK;
}

static void
free_old_auth(struct server *s, bool all)
{
	struct server_auth **at = &s->old_auth;

	while (*at) {
		struct server_auth *a = *at;

		if (!all && !quiesce_passed(s->quiesce, a->stamp)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		auth_file_destroy(&a->file);
		free(a);
	}
}

/* --- the main thread's timers and signals -------------------------------------------------------------- */

static void
on_second(void *arg)
{
	struct server *s = arg;

	atomic_store_explicit(&s->now_s, (uint32_t)((clock_mono_ms(s->clock) - s->start_ms) / 1000),
			      memory_order_relaxed);
	for (size_t i = 0; i < s->ncaches; i++)
		cache_second(s->caches[i]);
	if (s->old_auth)
		free_old_auth(s, false);
}

static void
on_collect(void *arg)
{
	struct server *s = arg;
	bool found = watch_collect(s->watch);

	if (watch_wants(s->watch) == 0 && !found) {
		loop_timer_stop(&s->collect);
		atomic_store_explicit(&s->watching, false, memory_order_relaxed);
		/* One that came just now saw that it was running. */
		if (watch_wants(s->watch) != 0)
			server_watching(s);
	}
}

static void
on_watching(void *arg)
{
	struct server *s = arg;

	loop_timer_every(&s->collect, COLLECT_MS);
}

void
server_watching(struct server *s)
{
	if (!atomic_exchange_explicit(&s->watching, true, memory_order_relaxed))
		loop_post(s->loop, on_watching, s);
}

static void
on_stop(void *arg)
{
	daemon_shutdown(((struct server *)arg)->daemon);
}

void
server_stop(struct server *s, bool graceful)
{
	int runs = SERVER_RUNS;

	if (atomic_compare_exchange_strong(&s->stop, &runs,
					   graceful ? SERVER_STOPS_GRACEFULLY : SERVER_STOPS))
		loop_post(s->loop, on_stop, s);
}

static void
on_drain(void *arg)
{
	struct server *s = arg;

	daemon_drained(s->daemon);
}

static void
on_reload(void *arg)
{
	struct server *s = arg;
	struct err_detail why = {0};

	if (load_auth(s, &why) != ERR_OK)
		log_error(s->log, "the auth file cannot be used; the old one stays in force",
			  F_STR("reason", err_why(&why)));
	err_clear(&why);
	if (s->tls && tls_reload(s->tls, &why) != ERR_OK)
		log_error(s->log, "the certificates cannot be used; the old ones stay",
			  F_STR("reason", err_why(&why)));
	log_info(s->log, "reloaded");
}

static void
on_usr1(void *arg, int signo)
{
	fprintf(stderr, "Signal handled: %s.\n", strsignal(signo));
	server_stop(arg, true);
}

/* --- life ---------------------------------------------------------------------------------------------- */

/* Ordinary memory is taken when it is used: without this the kernel would kill the server when that is. */
static err_t
check_memory(const struct container_list *l, struct err_detail *why)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), all = 0;
	struct sysinfo info;

	if (sysinfo(&info) == 0)
		machine += (uint64_t)info.totalswap * info.mem_unit;
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].opt.persist[0] == '\0')
			all += l->at[i].opt.memory;
	if (all > machine)
		return err_set(
		    why, ERR_CONFIG,
		    "%llu MiB for items are more than the %llu MiB that this machine has; lower -m",
		    (unsigned long long)(all >> 20), (unsigned long long)(machine >> 20));
	return ERR_OK;
}

static err_t
make_caches(struct server *s, struct err_detail *why)
{
	static const enum cache_policy policies[] = {
	    [CONTAINER_EVICT] = CACHE_EVICT,
	    [CONTAINER_STORE] = CACHE_STORE,
	    [CONTAINER_MARKER] = CACHE_MARKER,
	};
	const struct container_list *l = &s->settings->containers;
	err_t err = check_memory(l, why);

	s->caches = mem_zalloc(l->n, sizeof *s->caches);
	s->memory = mem_zalloc(l->n, sizeof *s->memory);
	for (size_t i = 0; i < l->n && err == ERR_OK; i++) {
		const struct container_settings *c = &l->at[i];
		struct cache_options opt = {
		    .name = c->opt.name,
		    .policy = policies[c->policy],
		    .memory = c->opt.memory,
		    .max_value = s->settings->item_size_max,
		    .guard_memory = c->opt.guard_memory,
		    .file = c->opt.persist[0] ? c->opt.persist : NULL,
		    .serve_immediately = s->settings->serve_immediately,
		    .max_ttl_s = (uint32_t)c->opt.max_ttl,
		    .stale_s = (uint32_t)c->opt.stale_ttl,
		    .lease_ms = (uint32_t)c->opt.lease_seconds * 1000,
		    .threads = (unsigned)s->settings->threads,
		    .quiesce = s->quiesce,
		    .clock = s->clock,
		    .log = s->log,
		};

		err = cache_create(&s->caches[i], &opt, why);
		if (err == ERR_OK)
			s->ncaches++;
	}
	return err;
}

static void
make_limits(struct server *s)
{
	const struct settings *o = s->settings;

	s->limits = mem_zalloc(s->ports.n + 1, sizeof *s->limits);
	for (size_t i = 0; i < s->ports.n; i++) {
		const struct port *p = &s->ports.at[i];
		bool auth = o->auth_file[0] != '\0';

		s->limits[i] = (struct session_limits){
		    .text = p->protocol != LISTEN_BINARY,
		    /* The binary protocol cannot authenticate here. */
		    .binary = p->protocol != LISTEN_ASCII && !auth,
		    .needs_auth = auth,
		    .no_flush = o->disable_flush_all,
		    .no_dump = o->disable_dumping,
		    .no_watch = o->disable_watch,
		    .may_shutdown = o->shutdown_command,
		    .no_cas = o->disable_cas,
		    .debug_commands = o->debug_commands,
		    .max_value = o->item_size_max,
		    .max_requests = (unsigned)o->reqs_per_event,
		};
	}
}

static err_t
make_jobs(struct server *s, struct err_detail *why)
{
	struct jobs_options opt = {.dir = s->settings->job_dir,
				   .quiesce = s->quiesce,
				   .caches = s->caches,
				   .n = s->ncaches,
				   .clock = s->clock,
				   .log = s->log};

	return s->settings->job_dir[0] ? jobs_create(&s->jobs, &opt, why) : ERR_OK;
}

static err_t
make_workers(struct server *s, struct err_detail *why)
{
	err_t err = ERR_OK;

	s->workers = mem_zalloc(s->settings->threads, sizeof *s->workers);
	for (unsigned i = 0; i < s->settings->threads && err == ERR_OK; i++) {
		err = worker_create(&s->workers[i], s, i, why);
		if (err == ERR_OK)
			s->nworkers++;
	}
	return err;
}

static err_t
make_signals(struct server *s, struct err_detail *why)
{
	static const struct daemon_ops ops = {.drain = on_drain, .reload = on_reload};
	struct daemon_options opt = {0};
	err_t err;

	daemon_options_from_env(&opt);
	opt.log = s->log;
	err = daemon_create(&s->daemon, s->loop, &opt, &ops, s, why);
	if (err == ERR_OK)
		err = loop_signal_init(&s->usr1, s->loop, SIGUSR1, on_usr1, s, why);
	return err;
}

static err_t
make_admin(struct server *s, struct err_detail *why)
{
	struct admin_options opt = {
	    .address = s->settings->admin, .setting = "--admin", .program = "squeal-cache", .log = s->log};
	err_t err;

	if (s->settings->admin[0] == '\0')
		return ERR_OK;
	err = admin_open(&s->admin, s->loop, &opt, why);
	if (err == ERR_OK)
		report_admin(s->report, s->admin);
	return err;
}

err_t
server_create(struct server **out, const struct server_options *opt, struct err_detail *why)
{
	struct server *s = MEM_NEW(struct server);
	struct watch_options watch = {.ring_bytes = opt->settings->worker_logbuf_size,
				      .watcher_bytes = opt->settings->watcher_logbuf_size,
				      .clock = opt->clock};
	err_t err;

	*out = NULL;
	s->settings = opt->settings;
	s->clock = opt->clock;
	s->log = opt->log;
	s->ready = opt->ready;
	s->ready_arg = opt->ready_arg;
	s->ports = *opt->ports;
	*opt->ports = (struct port_list){0};
	s->start_ms = clock_mono_ms(s->clock);
	atomic_init(&s->verbose, (unsigned)s->settings->verbose);
	err = loop_create(&s->loop, s->clock, why);
	if (err != ERR_OK)
		goto done;
	loop_timer_init(&s->second, s->loop, on_second, s);
	loop_timer_init(&s->collect, s->loop, on_collect, s);
	if ((err = quiesce_create(&s->quiesce, why)) != ERR_OK || (err = load_auth(s, why)) != ERR_OK ||
	    (s->settings->tls && (err = tls_create(&s->tls, s->settings, s->clock, why)) != ERR_OK) ||
	    (err = make_caches(s, why)) != ERR_OK || (err = make_jobs(s, why)) != ERR_OK ||
	    (err = watch_create(&s->watch, &watch, why)) != ERR_OK)
		goto done;
	s->ring = watch_ring_create(s->watch);
	make_limits(s);
	if ((err = make_workers(s, why)) != ERR_OK || (err = door_open(&s->door, s, why)) != ERR_OK ||
	    (err = make_report(s, why)) != ERR_OK || (err = make_admin(s, why)) != ERR_OK ||
	    (err = make_signals(s, why)) != ERR_OK)
		goto done;
	*out = s;
	s = NULL;
done:
	server_destroy(&s);
	return err;
}

err_t
server_run(struct server *s, struct err_detail *why)
{
	err_t err = keeper_start(&s->keeper, s->quiesce, s->caches, s->ncaches, why);

	on_second(s);
	loop_timer_every(&s->second, 1000);
	for (size_t i = 0; i < s->nworkers && err == ERR_OK; i++)
		err = worker_start(s->workers[i], why);
	if (err == ERR_OK) {
		if (s->ready)
			s->ready(s->ready_arg);
		daemon_ready(s->daemon);
		loop_run(s->loop);
		if (atomic_load(&s->stop) == SERVER_STOPS_GRACEFULLY)
			fprintf(stderr, "Gracefully stopping\n");
		else if (atomic_load_explicit(&s->verbose, memory_order_relaxed) > 0)
			fprintf(stderr, "Exiting normally\n");
	}
	for (size_t i = 0; i < s->nworkers; i++)
		worker_stop(s->workers[i]);
	jobs_stop(s->jobs);
	keeper_stop(&s->keeper);
	return err;
}

void
server_destroy(struct server **sp)
{
	struct server *s = *sp;
	struct server_auth *auth;

	*sp = NULL;
	if (s == NULL)
		return;
	keeper_stop(&s->keeper);
	admin_close(&s->admin);
	report_destroy(&s->report);
	for (size_t i = 0; i < s->nworkers; i++)
		worker_destroy(&s->workers[i]);
	free(s->workers);
	door_close(&s->door);
	destroy_sight(&s->sight);
	jobs_destroy(&s->jobs);
	for (size_t i = 0; i < s->ncaches; i++)
		cache_destroy(&s->caches[i], true);
	watch_destroy(&s->watch);
	free(s->caches);
	free((void *)s->memory);
	free(s->limits);
	tls_destroy(&s->tls);
	free_old_auth(s, true);
	auth = atomic_load(&s->auth);
	if (auth) {
		auth_file_destroy(&auth->file);
		free(auth);
	}
	loop_signal_fini(&s->usr1);
	daemon_destroy(&s->daemon);
	if (s->loop) {
		loop_timer_stop(&s->second);
		loop_timer_stop(&s->collect);
		loop_destroy(&s->loop);
	}
	if (s->quiesce)
		quiesce_destroy(&s->quiesce);
	port_list_fini(&s->ports);
	free(s);
}
