/*
 * squeal-audit - follows the log and looks whether a server of the cluster still holds what should be gone.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker.h"
#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/flag.h"
#include "lib/core/hash.h"
#include "lib/core/log.h"
#include "lib/core/option.h"
#include "replay/cache.h"
#include "replay/follow.h"
#include "replay/job.h"

/* Exit codes, for scripts and service managers. */
enum {
	EXIT_CLEAN = 0,	  /* nothing stale was found */
	EXIT_STALE = 1,	  /* something was */
	EXIT_USAGE = 2,	  /* wrong command line */
	EXIT_FAILED = 69, /* the audit could not be made (EX_UNAVAILABLE) */
	EXIT_CONFIG = 78, /* wrong configuration, or a server that cannot be audited (EX_CONFIG) */
};

/* clang-format off */
/*	  name       type      default         min  max            unit    reload help */
#define MAIN_OPTIONS(OPT)                                                                                          \
	OPT(sample,    UINT,     "1000",         1,   1000000000,    "keys", NO,  "look for one key in so many, chosen by its hash; 1: all") \
	OPT(after,     STR,      "1s,10s,60s",   0,   0,             "",     NO,  "look after these delays: eight at most, growing, up to 1h") \
	OPT(during,    DURATION, "0s",           0,   2592000000ull, "ms",   NO,  "take keys for so long, look for them, and leave; 0s: go on until SIGTERM") \
	OPT(probe_key, STR,      "squeal:audit", 0,   0,             "",     NO,  "key of the probe item, behind the cluster's namespace") \
	OPT(admin,     STR,      "",             0,   0,             "",     NO,  "address for /metrics /healthz /readyz /status; empty: none")
#define MAIN_DELAYS(OPT)                                                                                           \
	OPT(delay,     DURATION, "1s",           1,   3600000,       "ms",   NO,  "one of --after")
/* clang-format on */

struct main_options {
	OPTION_FIELDS(MAIN_OPTIONS)
};
struct main_delay {
	OPTION_FIELDS(MAIN_DELAYS)
};

/* Two tables in one file: a typedef can name only one owner. */
#define option_owner struct main_options
static const struct option_row main_rows[] = {OPTION_ROWS(MAIN_OPTIONS)};
static const struct option_section main_section = {
    "squeal-audit", "", main_rows, sizeof(main_rows) / sizeof(main_rows[0]), sizeof(struct main_options)};
#undef option_owner
#define option_owner struct main_delay
static const struct option_row delay_rows[] = {OPTION_ROWS(MAIN_DELAYS)};
#undef option_owner

static const char help[] =
    "squeal-audit follows the log that squeal writes and looks, some time after each delete, whether a "
    "server\n"
    "of the cluster still holds an item that is older than the commit.  It deletes nothing.\n"
    "\n"
    "  squeal-audit -c squeal.yaml --cluster NAME [--sample N] [--after 1s,10s,60s] [--for DURATION]\n"
    "               [--json] [--probe-key KEY] [--admin ADDRESS]\n"
    "  squeal-audit --help | --version | --metrics\n"
    "\n"
    "--cluster may be left out where there is only one.\n"
    "\n";

static const char help_end[] =
    "\n"
    "Findings go to standard output, one a line, and a summary every minute, on SIGUSR1 and at the end.\n"
    "\n"
    "Exit codes: 0 nothing stale, 1 stale items found, 2 wrong usage, 69 could not audit (the log cannot be\n"
    "read, a port is taken), 78 wrong configuration or a server that cannot be audited (memcached -C).\n"
    "Manual: man squeal-audit\n";

struct arguments {
	const char *config;
	const char *cluster;
	bool json;
	struct main_options opt;
	uint64_t delays_ms[AUDIT_DELAYS_MAX];
	size_t ndelays;
};

static int
usage(const char *what)
{
	fprintf(stderr, "squeal-audit: %s; squeal-audit --help shows how\n", what);
	return EXIT_USAGE;
}

static int
print_help(void)
{
	fputs(help, stdout);
	for (size_t i = 0; i < main_section.nrows; i++) {
		const struct option_row *row = &main_rows[i];
		const char *flag = strcmp(row->name, "during") == 0	 ? "for"
				   : strcmp(row->name, "probe_key") == 0 ? "probe-key"
									 : row->name;

		printf("  --%-10s %s%s%s%s\n", flag, row->help, row->def[0] != '\0' ? " (" : "", row->def,
		       row->def[0] != '\0' ? ")" : "");
	}
	printf("  --%-10s %s\n", "json", "print JSON, an object a line");
	fputs(help_end, stdout);
	return EXIT_CLEAN;
}

static int
print_metrics(void)
{
	struct buf out = BUF_INIT;

	metric_markdown(follow_metric_rows, follow_metric_nrows, "squeal-audit: the log", &out);
	metric_markdown(audit_metric_rows, audit_metric_nrows, "squeal-audit: keys", &out);
	metric_markdown(audit_check_metric_rows, audit_check_metric_nrows,
			"squeal-audit: per delay, its looks", &out);
	metric_markdown(cache_metric_rows, cache_metric_nrows, "squeal-audit: per server", &out);
	fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return EXIT_CLEAN;
}

/* "1s,10s,60s" */
static err_t
parse_delays(struct arguments *a, struct err_detail *why)
{
	struct span rest = span_of(a->opt.after);

	for (;;) {
		const char *comma = memchr(rest.p, ',', rest.len);
		struct span one = span_first(rest, comma != NULL ? (size_t)(comma - rest.p) : rest.len);
		struct main_delay delay = {0};
		err_t err;

		if (a->ndelays == AUDIT_DELAYS_MAX)
			return err_set(why, ERR_USAGE, "--after has more than %d delays", AUDIT_DELAYS_MAX);
		err = option_set(&delay_rows[0], &delay, one, why);
		if (err != ERR_OK)
			return err;
		if (a->ndelays > 0 && delay.delay <= a->delays_ms[a->ndelays - 1])
			return err_set(why, ERR_USAGE, "the delays of --after must grow");
		a->delays_ms[a->ndelays++] = delay.delay;
		if (comma == NULL)
			return ERR_OK;
		rest = span_from(rest, one.len + 1);
	}
}

/* `flag` is what messages call it. */
static int
set_option(struct arguments *a, const char *name, const char *flag, const char *text)
{
	struct option_row row = *option_find(&main_section, span_of(name));
	struct err_detail why = {0};

	row.name = flag;
	if (option_set(&row, &a->opt, span_of(text), &why) != ERR_OK)
		return usage(err_why(&why));
	return -1;
}

/* *exit_code is set when the program is done. */
static void
parse(struct arguments *a, int argc, char **argv, int *exit_code)
{
	enum {
		OPT_CLUSTER = 256,
		OPT_SAMPLE,
		OPT_AFTER,
		OPT_FOR,
		OPT_PROBE_KEY,
		OPT_ADMIN,
		OPT_JSON,
		OPT_METRICS
	};
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"cluster", required_argument, NULL, OPT_CLUSTER},
	    {"sample", required_argument, NULL, OPT_SAMPLE},
	    {"after", required_argument, NULL, OPT_AFTER},
	    {"for", required_argument, NULL, OPT_FOR},
	    {"probe-key", required_argument, NULL, OPT_PROBE_KEY},
	    {"admin", required_argument, NULL, OPT_ADMIN},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {"metrics", no_argument, NULL, OPT_METRICS},
	    {NULL, 0, NULL, 0},
	};
	struct err_detail why = {0};
	int c;

	*exit_code = -1;
	opterr = 0;
	while (*exit_code < 0 && (c = getopt_long(argc, argv, ":c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case OPT_CLUSTER:
			a->cluster = optarg;
			break;
		case OPT_SAMPLE:
			*exit_code = set_option(a, "sample", "--sample", optarg);
			break;
		case OPT_AFTER:
			*exit_code = set_option(a, "after", "--after", optarg);
			break;
		case OPT_FOR:
			*exit_code = set_option(a, "during", "--for", optarg);
			break;
		case OPT_PROBE_KEY:
			*exit_code = set_option(a, "probe_key", "--probe-key", optarg);
			break;
		case OPT_ADMIN:
			*exit_code = set_option(a, "admin", "--admin", optarg);
			break;
		case OPT_JSON:
			a->json = true;
			break;
		case 'h':
			*exit_code = print_help();
			break;
		case 'V':
			puts("squeal-audit " SQUEAL_VERSION);
			*exit_code = EXIT_CLEAN;
			break;
		case OPT_METRICS:
			*exit_code = print_metrics();
			break;
		default:
			(void)flag_refused(argv, longs, c, &why);
			*exit_code = usage(err_why(&why));
		}
	}
	if (*exit_code < 0 && optind < argc)
		*exit_code = usage("arguments without an option's name are not taken");
	if (*exit_code < 0 && a->config == NULL)
		*exit_code = usage("a configuration is needed: -c squeal.yaml");
	if (*exit_code < 0 && parse_delays(a, &why) != ERR_OK)
		*exit_code = usage(err_why(&why));
}

static int
run(const struct arguments *a, const struct topology *t, const struct cluster *cluster)
{
	struct job_setup setup = {0};
	struct job_result result;
	struct err_detail why = {0};
	enum log_level level = LOG_INFO;
	struct log *log;
	err_t err;

	log_level_parse(span_of(t->router.log_level), &level);
	log = log_create("audit", level, clock_system(), NULL, NULL);
	log_info(log, "starting", F_STR("version", SQUEAL_VERSION), F_STR("config", a->config),
		 F_STR("cluster", cluster->opt.name), F_UINT("servers", cluster->nservers),
		 F_UINT("sample", a->opt.sample), F_STR("after", a->opt.after));
	setup.topology = t;
	setup.cluster = cluster;
	setup.clock = clock_system();
	setup.log = log;
	setup.out = stdout;
	setup.audit.sample = a->opt.sample;
	memcpy(setup.audit.delays_ms, a->delays_ms, sizeof(a->delays_ms));
	setup.audit.ndelays = a->ndelays;
	setup.audit.seed = hash_seed();
	setup.for_ms = a->opt.during;
	setup.probe_key = a->opt.probe_key;
	setup.admin = a->opt.admin;
	setup.json = a->json;
	err = job_run(&setup, &result, &why);
	if (err != ERR_OK)
		log_crit(log, "leaving", F_STR("code", err_name(err)), F_STR("reason", err_why(&why)));
	else
		log_info(log, "stopped", F_UINT("stale", result.stale));
	log_destroy(&log);
	return err == ERR_CONFIG   ? EXIT_CONFIG
	       : err != ERR_OK	   ? EXIT_FAILED
	       : result.stale == 0 ? EXIT_CLEAN
				   : EXIT_STALE;
}

int
main(int argc, char **argv)
{
	struct err_detail why = {0};
	struct topology *t = NULL;
	const struct cluster *cluster = NULL;
	struct arguments a = {0};
	int exit_code;

	option_defaults(&main_section, &a.opt);
	parse(&a, argc, argv, &exit_code);
	if (exit_code >= 0)
		goto done;
	if (topology_load(&t, a.config, &why) != ERR_OK || broker_check_options(&t->log, &why) != ERR_OK) {
		fprintf(stderr, "squeal-audit: %s\n", err_why(&why));
		exit_code = EXIT_CONFIG;
		goto done;
	}
	if (a.cluster != NULL)
		cluster = topology_cluster(t, a.cluster);
	else if (t->nclusters == 1)
		cluster = &t->clusters[0];
	if (cluster == NULL) {
		fprintf(stderr, "squeal-audit: %s%s%s; --cluster is one of:",
			a.cluster != NULL ? "there is no cluster \"" : "which cluster?",
			a.cluster != NULL ? a.cluster : "", a.cluster != NULL ? "\"" : "");
		for (size_t i = 0; i < t->nclusters; i++)
			fprintf(stderr, "%s %s", i > 0 ? "," : "", t->clusters[i].opt.name);
		fputc('\n', stderr);
		exit_code = EXIT_USAGE;
		goto done;
	}
	exit_code = run(&a, t, cluster);
done:
	topology_destroy(&t);
	option_fini(&main_section, &a.opt);
	return exit_code;
}
