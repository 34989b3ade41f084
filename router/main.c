/*
 * squeal-router - reads the log and deletes its keys on the memcached servers of one cluster.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/crash.h"
#include "lib/core/flag.h"
#include "lib/core/hash.h"
#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/option.h"
#include "lib/rings/rings.h"
#include "lib/route/route.h"
#include "lib/wire/mc_request.h"
#include "router/delivery.h"
#include "router/feed.h"
#include "router/lane.h"
#include "router/router.h"
#include "router/trace.h"

/* Exit codes, for scripts and service managers. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,   /* something went wrong while running */
	EXIT_USAGE = 2,	   /* wrong command line */
	EXIT_CURSORS = 65, /* the cursor file is corrupt; restarting does not help (EX_DATAERR) */
	EXIT_CONFIG = 78,  /* wrong configuration; restarting does not help (EX_CONFIG) */
};

static const char help[] =
    "squeal-router reads the log that squeal writes and deletes its keys on the memcached servers of one "
    "cluster.\n"
    "\n"
    "  squeal-router -c squeal.yaml --cluster NAME [--instance NAME]\n"
    "                                                  run in the foreground\n"
    "  squeal-router -c squeal.yaml [--cluster NAME] --explain KEY\n"
    "                                                  which servers have the key, and why\n"
    "                      [--pool POOL] [--json]      as if its transaction named the pool; for programs\n"
    "  squeal-router --help | --version | --metrics\n"
    "\n"
    "--cluster may be left out where there is only one; --explain then answers for every cluster.\n"
    "--instance is this router's name among those of the cluster that share a Kafka log; it should stay the "
    "same "
    "over restarts. Without it: the host's name and the cluster's.\n"
    "--metrics prints a table of the metrics in Markdown.\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 65 corrupt file of cursors or rings, 78 wrong "
    "configuration.\n"
    "Manual: man squeal-router\n"
    "\n"
    "Settings in squeal.yaml that it uses:\n";

struct arguments {
	const char *config;
	const char *cluster;
	const char *instance;
	const char *explain;
	const char *pool;
	bool json;
};

static int
usage(const char *what)
{
	fprintf(stderr, "squeal-router: %s; squeal-router --help shows how\n", what);
	return EXIT_USAGE;
}

static int
print_help(void)
{
	static const char *const used[] = {"log", "router", "clusters"};
	struct buf out = BUF_INIT;
	size_t n;
	const struct option_section *sections = topology_sections(&n);

	buf_put_str(&out, help);
	for (size_t i = 0; i < n; i++) {
		for (size_t u = 0; u < sizeof(used) / sizeof(used[0]); u++) {
			if (strncmp(sections[i].name, used[u], strlen(used[u])) == 0) {
				buf_putc(&out, '\n');
				option_help(&sections[i], &out);
				break;
			}
		}
	}
	fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return EXIT_OK;
}

static int
print_metrics(void)
{
	struct buf out = BUF_INIT;

	metric_markdown(delivery_metric_rows, delivery_metric_nrows, "squeal-router: the log", &out);
	metric_markdown(feed_metric_rows, feed_metric_nrows, "squeal-router: keys", &out);
	metric_markdown(lane_metric_rows, lane_metric_nrows,
			"squeal-router: per server, its place in the log", &out);
	metric_markdown(server_metric_rows, server_metric_nrows, "squeal-router: per server, its connection",
			&out);
	metric_markdown(outbox_metric_rows, outbox_metric_nrows, "squeal-router: per server, its deletes",
			&out);
	metric_markdown(trace_metric_rows, trace_metric_nrows, "squeal-router: trace", &out);
	fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return EXIT_OK;
}

/* *exit_code is set when the program is done. */
static struct arguments
parse(int argc, char **argv, int *exit_code)
{
	enum { OPT_CLUSTER = 256, OPT_INSTANCE, OPT_EXPLAIN, OPT_POOL, OPT_JSON, OPT_CRASH, OPT_METRICS };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"cluster", required_argument, NULL, OPT_CLUSTER},
	    {"instance", required_argument, NULL, OPT_INSTANCE},
	    {"explain", required_argument, NULL, OPT_EXPLAIN},
	    {"pool", required_argument, NULL, OPT_POOL},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {"metrics", no_argument, NULL, OPT_METRICS},
	    {"list-crash-points", no_argument, NULL, OPT_CRASH},
	    {NULL, 0, NULL, 0},
	};
	struct err_detail why = {0};
	struct arguments a = {0};
	int c;

	*exit_code = -1;
	opterr = 0;
	while (*exit_code < 0 && (c = getopt_long(argc, argv, ":c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			a.config = optarg;
			break;
		case OPT_CLUSTER:
			a.cluster = optarg;
			break;
		case OPT_INSTANCE:
			a.instance = optarg;
			break;
		case OPT_EXPLAIN:
			a.explain = optarg;
			break;
		case OPT_POOL:
			a.pool = optarg;
			break;
		case OPT_JSON:
			a.json = true;
			break;
		case 'h':
			*exit_code = print_help();
			break;
		case 'V':
			puts("squeal-router " SQUEAL_VERSION);
			*exit_code = EXIT_OK;
			break;
		case OPT_METRICS:
			*exit_code = print_metrics();
			break;
		case OPT_CRASH:
			crash_list();
			*exit_code = EXIT_OK;
			break;
		default:
			(void)flag_refused(argv, longs, c, &why);
			*exit_code = usage(err_why(&why));
		}
	}
	if (*exit_code < 0 && optind < argc)
		*exit_code = usage("arguments without an option's name are not taken");
	if (*exit_code < 0 && a.explain == NULL && (a.pool != NULL || a.json))
		*exit_code = usage("--pool and --json go with --explain");
	if (*exit_code < 0 && a.config == NULL)
		*exit_code = usage("a configuration is needed: -c squeal.yaml");
	return a;
}

/* As the router routes once it has taken this file: to the owners by rings of before too. */
static err_t
route_of(struct route **out, const struct topology *t, const struct cluster *c, struct err_detail *why)
{
	struct rings *rings = NULL;
	struct buf path = BUF_INIT;
	const struct cluster *const *before = NULL;
	size_t n = 0;
	err_t err;

	rings_path(t, c, &path);
	err = rings_load(&rings, buf_str(&path), c->opt.name, why);
	if (err == ERR_OK)
		err = rings_plan(rings, c, why);
	if (err == ERR_OK) {
		before = rings_before(rings, &n);
		err = route_create(out, c, before, n, why);
	}
	rings_destroy(&rings);
	buf_fini(&path);
	return err;
}

static int
explain(const struct topology *t, const struct cluster *only, const struct arguments *a)
{
	struct span key = span_of(a->explain), pool = span_of(a->pool != NULL ? a->pool : "");
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct json j;
	int exit_code = EXIT_OK;

	if (!mc_request_key_ok(key)) {
		fprintf(
		    stderr,
		    "squeal-router: this is no key: 1 to %d bytes, none of them a space, a control byte or "
		    "DEL\n",
		    MC_KEY_MAX);
		return EXIT_USAGE;
	}
	json_init(&j, &out);
	if (a->json)
		json_array(&j);
	for (size_t i = 0; i < t->nclusters && exit_code == EXIT_OK; i++) {
		struct route *route = NULL;

		if (only != NULL && only != &t->clusters[i])
			continue;
		if (route_of(&route, t, &t->clusters[i], &why) != ERR_OK) {
			fprintf(stderr, "squeal-router: %s\n", err_why(&why));
			exit_code = EXIT_CONFIG;
			break;
		}
		if (a->json) {
			json_object(&j);
			route_explain_json(route, key, pool, &j);
			json_object_end(&j);
		} else {
			if (out.len > 0)
				buf_putc(&out, '\n');
			route_explain(route, key, pool, &out);
		}
		route_destroy(&route);
	}
	if (a->json) {
		json_array_end(&j);
		buf_putc(&out, '\n');
	}
	if (exit_code == EXIT_OK)
		fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return exit_code;
}

/* The router's name where none was given. */
static void
default_instance(const struct cluster *cluster, struct buf *out)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		snprintf(host, sizeof(host), "router");
	buf_printf(out, "%s-%s", host, cluster->opt.name);
}

static int
run(struct topology *t, const struct cluster *cluster, const char *config, const char *instance)
{
	struct router_setup setup = {0};
	struct err_detail why = {0};
	enum log_level level = LOG_INFO;
	struct buf name = BUF_INIT;
	struct log *log;
	err_t err;

	if (instance != NULL)
		buf_put_str(&name, instance);
	else
		default_instance(cluster, &name);
	log_level_parse(span_of(t->router.log_level), &level);
	log = log_create("router", level, clock_system(), NULL, NULL);
	log_info(log, "starting", F_STR("version", SQUEAL_VERSION), F_STR("config", config),
		 F_STR("cluster", cluster->opt.name), F_STR("instance", buf_str(&name)),
		 F_UINT("servers", cluster->nservers));
	setup.topology = t;
	setup.config = config;
	setup.cluster = cluster;
	setup.instance = buf_str(&name);
	setup.clock = clock_system();
	setup.log = log;
	setup.seed = hash_seed();
	err = router_run(&setup, &why);
	if (err != ERR_OK)
		log_crit(log, "leaving", F_STR("code", err_name(err)), F_STR("reason", err_why(&why)));
	else
		log_info(log, "stopped");
	log_destroy(&log);
	buf_fini(&name);
	return err == ERR_OK	    ? EXIT_OK
	       : err == ERR_CORRUPT ? EXIT_CURSORS
	       : err == ERR_CONFIG  ? EXIT_CONFIG
				    : EXIT_FAILED;
}

int
main(int argc, char **argv)
{
	struct err_detail why = {0};
	struct topology *t = NULL;
	const struct cluster *cluster = NULL;
	int exit_code;
	struct arguments a = parse(argc, argv, &exit_code);

	if (exit_code >= 0)
		return exit_code;
	if (topology_load(&t, a.config, &why) != ERR_OK) {
		fprintf(stderr, "squeal-router: %s\n", err_why(&why));
		return EXIT_CONFIG;
	}
	if (a.cluster != NULL)
		cluster = topology_cluster(t, a.cluster);
	else if (t->nclusters == 1)
		cluster = &t->clusters[0];
	if (cluster == NULL && (a.cluster != NULL || a.explain == NULL)) {
		struct buf names = BUF_INIT;

		for (size_t i = 0; i < t->nclusters; i++)
			buf_printf(&names, "%s%s", i > 0 ? ", " : "", t->clusters[i].opt.name);
		fprintf(stderr, "squeal-router: %s%s%s; --cluster is one of: %s\n",
			a.cluster != NULL ? "there is no cluster \"" : "which cluster?",
			a.cluster != NULL ? a.cluster : "", a.cluster != NULL ? "\"" : "", buf_str(&names));
		buf_fini(&names);
		exit_code = EXIT_USAGE;
	} else if (a.explain != NULL) {
		exit_code = explain(t, cluster, &a);
	} else {
		exit_code = run(t, cluster, a.config, a.instance);
	}
	topology_destroy(&t);
	return exit_code;
}
