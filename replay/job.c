#include "replay/job.h"

#include <signal.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/net/admin.h"
#include "lib/net/daemon.h"
#include "lib/net/loop.h"
#include "lib/route/ring.h"
#include "lib/route/route.h"
#include "lib/wire/mc_request.h"
#include "replay/cache.h"
#include "replay/partitions.h"
#include "replay/report.h"

enum { RUN_MS = 50, SUMMARY_MS = 60000, HISTORY_SPARE_MS = 60000 };

struct job {
	const struct job_setup *setup;
	struct audit_options opt;
	struct loop *loop;
	struct metric_registry *registry;
	struct audit *audit;
	struct cache **caches;
	struct server_security **security; /* of each cache */
	struct route *route;
	struct partitions *log;
	struct admin *admin;
	struct daemon *daemon;
	struct loop_signal usr1;
	struct loop_timer run, summary, until;
	struct buf probe_key; /* with the namespace */
	struct buf line;
	bool ending; /* no more keys are taken */
	bool began;  /* the log has been open */
	struct err_detail unfit;
};

static void
put_line(struct job *j)
{
	fwrite(j->line.p, 1, j->line.len, j->setup->out);
	fflush(j->setup->out);
	buf_clear(&j->line);
}

static void
say_summary(void *arg)
{
	struct job *j = arg;

	report_summary(j->audit, &j->opt, partitions_metrics(j->log), j->setup->json, &j->line);
	put_line(j);
}

static void
on_usr1(void *arg, int signo)
{
	(void)signo;
	say_summary(arg);
}

/* --- what the audit asks and finds ------------------------------------------------------------------------
 */

static bool
ask(void *arg, size_t server, struct audit_check *c)
{
	struct job *j = arg;

	return cache_ask(j->caches[server], c);
}

static void
found(void *arg, const struct audit_finding *f)
{
	struct job *j = arg;

	report_finding(f, cache_name(j->caches[f->server]), j->setup->json, &j->line);
	put_line(j);
}

static void
on_unfit(void *arg, const char *why)
{
	struct job *j = arg;

	err_set(&j->unfit, ERR_CONFIG, "%s", why);
	loop_stop(j->loop);
}

static void
on_run(void *arg)
{
	struct job *j = arg;

	audit_run(j->audit);
	for (size_t i = 0; i < j->opt.nservers; i++)
		cache_flush(j->caches[i]);
	if (j->ending && audit_pending(j->audit) == 0 && !daemon_is_draining(j->daemon))
		daemon_shutdown(j->daemon);
}

static void
on_until(void *arg)
{
	struct job *j = arg;

	j->ending = true;
	j->began = partitions_began(j->log);
	partitions_stop(j->log);
	log_info(j->setup->log, "no more keys are taken; waiting for the looks that are due",
		 F_UINT("pending", audit_pending(j->audit)));
}

/* --- pages ------------------------------------------------------------------------------------------------
 */

static void
ready(void *arg, struct admin_reasons *reasons)
{
	struct job *j = arg;

	if (!j->ending && partitions_error(j->log)[0] != '\0')
		admin_not_ready(reasons, "the log cannot be read: %s", partitions_error(j->log));
}

static void
status(void *arg, struct json *out)
{
	struct job *j = arg;

	json_kv_str(out, "cluster", j->setup->cluster->opt.name);
	json_kv_u64(out, "pending", audit_pending(j->audit));
	json_kv_u64(out, "log_partitions", partitions_count(j->log));
	json_name(out, "servers");
	json_array(out);
	for (size_t i = 0; i < j->opt.nservers; i++) {
		json_object(out);
		json_kv_str(out, "server", cache_name(j->caches[i]));
		json_kv_bool(out, "up", cache_is_up(j->caches[i]));
		json_kv_str(out, "last_error", cache_error(j->caches[i]));
		json_kv_u64(out, "probes", metric_get(&cache_metrics(j->caches[i])->audit_probes));
		json_object_end(out);
	}
	json_array_end(out);
}

static err_t
open_admin(struct job *j, struct err_detail *why)
{
	struct admin_options opt = {0};
	err_t err;

	if (j->setup->admin[0] == '\0')
		return ERR_OK;
	opt.address = j->setup->admin;
	opt.setting = "--admin";
	opt.program = "squeal-audit";
	opt.metrics = j->registry;
	opt.log = j->setup->log;
	err = admin_open(&j->admin, j->loop, &opt, why);
	if (err != ERR_OK)
		return err;
	admin_on_ready(j->admin, ready, j);
	admin_on_status(j->admin, status, j);
	log_info(j->setup->log, "admin port is open", F_STR("address", opt.address),
		 F_UINT("port", admin_port(j->admin)));
	return ERR_OK;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static err_t
make_probe_key(struct job *j, struct err_detail *why)
{
	buf_put_str(&j->probe_key, j->setup->cluster->opt.namespace);
	buf_put_str(&j->probe_key, j->setup->probe_key);
	if (j->setup->probe_key[0] == '\0' || !mc_request_key_ok(buf_span(&j->probe_key)))
		return err_set(
		    why, ERR_CONFIG,
		    "--probe-key is no key: with the cluster's namespace 1 to %d bytes, none of them "
		    "a space, a control byte or DEL",
		    MC_KEY_MAX);
	return ERR_OK;
}

static void
make_audit(struct job *j)
{
	static const struct audit_ops ops = {.ask = ask, .found = found};

	j->opt = j->setup->audit;
	j->opt.nservers = j->setup->cluster->nservers;
	j->opt.max_pending = JOB_PENDING_MAX;
	j->audit = audit_create(&j->opt, j->setup->clock, &ops, j);
	metric_registry_add(j->registry, audit_metric_rows, audit_metric_nrows, audit_metrics(j->audit), "");
	for (size_t i = 0; i < j->opt.ndelays; i++) {
		struct buf label = BUF_INIT;

		buf_put_str(&label, "after=\"");
		report_duration(j->opt.delays_ms[i], &label);
		buf_putc(&label, '"');
		metric_registry_add(j->registry, audit_check_metric_rows, audit_check_metric_nrows,
				    audit_check_metrics(j->audit, i), buf_str(&label));
		buf_fini(&label);
	}
}

/* TLS and password are those of the first pool that the server is in. */
static err_t
make_security(struct job *j, size_t i, struct err_detail *why)
{
	struct buf name = BUF_INIT;
	const struct pool_options *pool;
	size_t server;
	bool found;

	ring_server_name(&j->setup->cluster->servers[i], &name);
	found = route_server_find(j->route, buf_str(&name), &server);
	buf_fini(&name);
	if (!found)
		return ERR_OK;
	pool = route_server_pool(j->route, server);
	return server_security_create(&j->security[i],
				      &(struct server_security_options){
					  .tls = pool->tls,
					  .tls_ca = pool->tls_ca,
					  .tls_cert = pool->tls_cert,
					  .tls_key = pool->tls_key,
					  .auth_file = pool->auth_file,
				      },
				      why);
}

static err_t
make_caches(struct job *j, struct err_detail *why)
{
	const struct router_options *opt = &j->setup->topology->router;
	err_t err = ERR_OK;

	j->caches = mem_zalloc(j->opt.nservers + 1, sizeof(j->caches[0]));
	j->security = mem_zalloc(j->opt.nservers + 1, sizeof(j->security[0]));
	for (size_t i = 0; i < j->opt.nservers && err == ERR_OK; i++) {
		struct cache_context ctx = {0};
		struct buf label = BUF_INIT;

		err = make_security(j, i, why);
		if (err != ERR_OK)
			break;
		ctx.loop = j->loop;
		ctx.log = j->setup->log;
		ctx.security = j->security[i];
		ctx.audit = j->audit;
		ctx.index = i;
		ctx.probe_key = buf_span(&j->probe_key);
		ctx.history_ms = j->opt.delays_ms[j->opt.ndelays - 1] + HISTORY_SPARE_MS;
		ctx.connect_timeout_ms = opt->connect_timeout;
		ctx.answer_timeout_ms = opt->ack_timeout;
		ctx.pause_ms = opt->backoff_max;
		ctx.on_unfit = on_unfit;
		ctx.arg = j;
		j->caches[i] = cache_create(&j->setup->cluster->servers[i], &ctx);
		buf_printf(&label, "server=\"%s\"", cache_name(j->caches[i]));
		metric_registry_add(j->registry, cache_metric_rows, cache_metric_nrows,
				    cache_metrics(j->caches[i]), buf_str(&label));
		buf_fini(&label);
	}
	return err;
}

static void
make_log(struct job *j)
{
	struct follow_context ctx = {0};

	ctx.loop = j->loop;
	ctx.log_opt = &j->setup->topology->log;
	ctx.log = j->setup->log;
	ctx.audit = j->audit;
	ctx.route = j->route;
	ctx.probe_key = buf_span(&j->probe_key);
	j->log = partitions_create(&ctx, j->registry);
}

static void
start(struct job *j)
{
	for (size_t i = 0; i < j->opt.nservers; i++)
		cache_start(j->caches[i]);
	partitions_start(j->log);
	loop_timer_every(&j->run, RUN_MS);
	loop_timer_every(&j->summary, SUMMARY_MS);
	if (j->setup->for_ms > 0)
		loop_timer_once(&j->until, j->setup->for_ms);
	daemon_ready(j->daemon);
}

/* No server has ever answered. */
static bool
was_alone(const struct job *j)
{
	for (size_t i = 0; i < j->opt.nservers; i++) {
		if (metric_get(&cache_metrics(j->caches[i])->audit_probes) > 0)
			return false;
	}
	return j->opt.nservers > 0;
}

/* How it went, after the loop has ended. */
static err_t
conclude(struct job *j, struct job_result *result, struct err_detail *why)
{
	say_summary(j);
	for (size_t i = 0; i < j->opt.ndelays; i++)
		result->stale += metric_get(&audit_check_metrics(j->audit, i)->audit_stale);
	if (j->unfit.code != ERR_OK)
		return err_set(why, j->unfit.code, "%s", err_why(&j->unfit));
	if (!j->began && !partitions_began(j->log))
		return err_set(why, ERR_NOT_FOUND,
			       "nothing was audited, because the log could not be read: %s",
			       partitions_error(j->log));
	if (was_alone(j))
		return err_set(why, ERR_CONN, "nothing was audited, because no server answered; %s: %s",
			       cache_name(j->caches[0]),
			       cache_error(j->caches[0])[0] != '\0' ? cache_error(j->caches[0]) : "not yet");
	if (ferror(j->setup->out))
		return err_set(why, ERR_IO, "the report could not be written");
	return ERR_OK;
}

err_t
job_run(const struct job_setup *setup, struct job_result *result, struct err_detail *why)
{
	static const struct daemon_ops ops = {0};
	struct job j = {.setup = setup};
	struct daemon_options daemon_opt = {0};
	err_t err;

	*result = (struct job_result){0};
	err = loop_create(&j.loop, setup->clock, why);
	if (err != ERR_OK)
		goto done;
	j.registry = metric_registry_create();
	err = make_probe_key(&j, why);
	if (err == ERR_OK)
		err = route_create(&j.route, setup->cluster, NULL, 0, why);
	if (err != ERR_OK)
		goto done;
	make_audit(&j);
	err = make_caches(&j, why);
	if (err != ERR_OK)
		goto done;
	make_log(&j);
	loop_timer_init(&j.run, j.loop, on_run, &j);
	loop_timer_init(&j.summary, j.loop, say_summary, &j);
	loop_timer_init(&j.until, j.loop, on_until, &j);
	err = open_admin(&j, why);
	if (err != ERR_OK)
		goto done;
	daemon_options_from_env(&daemon_opt);
	daemon_opt.log = setup->log;
	err = daemon_create(&j.daemon, j.loop, &daemon_opt, &ops, &j, why);
	if (err == ERR_OK)
		err = loop_signal_init(&j.usr1, j.loop, SIGUSR1, on_usr1, &j, why);
	if (err != ERR_OK)
		goto done;
	start(&j);
	loop_run(j.loop);
	err = conclude(&j, result, why);
done:
	loop_timer_stop(&j.run);
	loop_timer_stop(&j.summary);
	loop_timer_stop(&j.until);
	loop_signal_fini(&j.usr1);
	daemon_destroy(&j.daemon);
	admin_close(&j.admin);
	partitions_destroy(&j.log);
	route_destroy(&j.route);
	for (size_t i = 0; i < j.opt.nservers && j.caches != NULL; i++) {
		cache_destroy(&j.caches[i]);
		server_security_destroy(&j.security[i]);
	}
	free(j.caches);
	free(j.security);
	audit_destroy(&j.audit);
	if (j.registry != NULL)
		metric_registry_destroy(&j.registry);
	buf_fini(&j.probe_key);
	buf_fini(&j.line);
	loop_destroy(&j.loop);
	return err;
}
