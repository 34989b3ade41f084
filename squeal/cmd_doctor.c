#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/conf/endpoint.h"
#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/json.h"
#include "lib/core/option.h"
#include "squeal/cmd.h"
#include "squeal/doctor/canary.h"
#include "squeal/doctor/doctor.h"
#include "squeal/doctor/survey.h"

enum { TIMEOUT_MS = 10000, LEVELS = DOCTOR_BROKEN + 1 };

/* Where findings go. */
struct report {
	bool json;
	unsigned count[LEVELS];
};

static void
print_json(const struct doctor_finding *finding)
{
	struct buf out = BUF_INIT;
	struct json j;

	json_init(&j, &out);
	json_object(&j);
	json_kv_str(&j, "level", doctor_level_name(finding->level));
	json_kv_str(&j, "check", finding->check);
	if (finding->subject[0] != '\0')
		json_kv_str(&j, "subject", finding->subject);
	json_kv_str(&j, "what", finding->what);
	if (finding->level != DOCTOR_OK) {
		json_kv_str(&j, "danger", finding->danger);
		json_kv_str(&j, "mend", finding->mend);
		json_kv_str(&j, "mend_in", doctor_place_name(finding->place));
	}
	if (finding->keep[0] != '\0')
		json_kv_str(&j, "keep", finding->keep);
	json_object_end(&j);
	puts(buf_str(&out));
	buf_fini(&out);
}

static void
print_text(const struct doctor_finding *finding)
{
	printf("%-7s %-18s ", doctor_level_name(finding->level), finding->check);
	if (finding->subject[0] != '\0')
		printf("%s: ", finding->subject);
	printf("%s\n", finding->what);
	if (finding->level == DOCTOR_OK)
		return;
	printf("%27s%s\n", "", finding->danger);
	if (finding->mend[0] != '\0')
		printf("%27smend (%s): %s%s\n", "", doctor_place_name(finding->place), finding->mend,
		       finding->place == DOCTOR_SQL ? ";" : "");
	if (finding->keep[0] != '\0')
		printf("%27skeep: %s in the server's configuration\n", "", finding->keep);
}

static void
report(void *arg, const struct doctor_finding *finding)
{
	struct report *r = arg;

	r->count[finding->level]++;
	if (r->json)
		print_json(finding);
	else
		print_text(finding);
	fflush(stdout);
}

static void
examine_caches(const struct topology *topo, struct report *r)
{
	for (size_t i = 0; i < topo->nclusters; i++) {
		for (size_t k = 0; k < topo->clusters[i].nservers; k++) {
			struct doctor_facts *facts = doctor_facts_create();
			struct buf address = BUF_INIT;

			topology_server_address(&topo->clusters[i].servers[k], &address);
			survey_cache(topo, &topo->clusters[i], buf_str(&address), clock_system(), facts);
			doctor_judge(facts, DOCTOR_CACHE, buf_str(&address), report, r);
			doctor_facts_destroy(&facts);
			buf_fini(&address);
		}
	}
}

/* The databases; the index of the first one that could be connected to, or their number. */
static size_t
examine_servers(const struct topology *topo, const char *config, struct doctor_facts **facts,
		const struct endpoints *all, struct report *r)
{
	size_t first = all->n;

	for (size_t i = 0; i < all->n; i++) {
		struct endpoint_text at = endpoint_text(&all->at[i]);
		struct source_options source = topo->source;

		if (all->n > 1)
			source.endpoints = at.text;
		survey_config(topo, &source, config, clock_system(), facts[i]);
		if (i == 0)
			doctor_judge(facts[i], DOCTOR_CONFIG, "", report, r);
		if (survey_server(topo, &source, clock_system(), facts[i]) && first == all->n)
			first = i;
	}
	survey_compare(facts, all->n);
	for (size_t i = 0; i < all->n; i++)
		doctor_judge(facts[i], DOCTOR_SERVER, all->n > 1 ? endpoint_text(&all->at[i]).text : "",
			     report, r);
	return first;
}

static int
examine(const struct topology *topo, const char *config, struct canary *canary, struct report *r)
{
	struct doctor_facts *facts[ENDPOINTS_MAX];
	struct endpoints all;
	size_t first;

	endpoints_of(&topo->source, &all);
	for (size_t i = 0; i < all.n; i++)
		facts[i] = doctor_facts_create();
	first = examine_servers(topo, config, facts, &all, r);
	examine_caches(topo, r);
	if (canary->command != NULL && first < all.n) {
		canary_run(canary, facts[first]);
		doctor_judge(facts[first], DOCTOR_CANARY, "", report, r);
	}
	for (size_t i = 0; i < all.n; i++)
		doctor_facts_destroy(&facts[i]);
	if (!r->json)
		printf("ok %u, note %u, danger %u, broken %u\n", r->count[DOCTOR_OK], r->count[DOCTOR_NOTE],
		       r->count[DOCTOR_DANGER], r->count[DOCTOR_BROKEN]);
	return r->count[DOCTOR_DANGER] + r->count[DOCTOR_BROKEN] > 0 ? CMD_FAILED : CMD_OK;
}

/* "10s" or "500ms"; false when it is neither. */
static bool
parse_timeout(const char *text, uint64_t *ms)
{
	struct span s = span_of(text);
	uint64_t n, unit = 0;

	if (s.len > 2 && strcmp(text + s.len - 2, "ms") == 0)
		unit = 1, s.len -= 2;
	else if (s.len > 1 && text[s.len - 1] == 's')
		unit = 1000, s.len -= 1;
	if (unit == 0 || !span_u64(s, &n) || n == 0 || n > 3600000)
		return false;
	*ms = n * unit;
	return true;
}

int
cmd_doctor(int argc, char **argv)
{
	enum { OPT_JSON = 256, OPT_END_TO_END, OPT_CANARY_SQL, OPT_TIMEOUT };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"end-to-end", no_argument, NULL, OPT_END_TO_END},
	    {"canary-sql", required_argument, NULL, OPT_CANARY_SQL},
	    {"timeout", required_argument, NULL, OPT_TIMEOUT},
	    {NULL, 0, NULL, 0},
	};
	struct canary canary = {.clock = clock_system(), .timeout_ms = TIMEOUT_MS};
	struct report r = {0};
	struct err_detail why = {0};
	struct topology *topo = NULL;
	struct buf unused = BUF_INIT;
	const char *config = NULL;
	bool end_to_end = false;
	int exit_code;
	int c;

	while ((c = getopt_long(argc, argv, "+:c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case OPT_JSON:
			r.json = true;
			break;
		case OPT_END_TO_END:
			end_to_end = true;
			break;
		case OPT_CANARY_SQL:
			canary.sql = optarg;
			break;
		case OPT_TIMEOUT:
			if (!parse_timeout(optarg, &canary.timeout_ms))
				return cmd_usage("--timeout takes a duration like 10s or 500ms, not \"%s\"",
						 optarg);
			break;
		default:
			return cmd_refused(argv, longs, c);
		}
	}
	if (config == NULL)
		return cmd_usage("doctor needs a configuration: squeal doctor -c squeal.yaml");
	if (end_to_end && optind == argc)
		return cmd_usage(
		    "--end-to-end needs a command that runs SQL from its standard input: squeal doctor -c %s "
		    "--end-to-end -- mariadb --comments DATABASE",
		    config);
	if (!end_to_end && optind < argc)
		return cmd_usage("doctor takes no argument \"%s\" without --end-to-end", argv[optind]);
	if (!end_to_end && canary.sql != NULL)
		return cmd_usage("--canary-sql needs --end-to-end");
	if (canary.sql != NULL && !canary_statement(canary.sql, "", "", &unused))
		return cmd_usage("--canary-sql has no {comment} in it, where the canary's comment goes");
	buf_fini(&unused);
	if (topology_load(&topo, config, &why) != ERR_OK) {
		fprintf(stderr, "squeal: %s\n", err_why(&why));
		return CMD_CONFIG;
	}
	canary.topo = topo;
	canary.command = end_to_end ? argv + optind : NULL;
	if (getrandom(&canary.random, sizeof(canary.random), 0) != (ssize_t)sizeof(canary.random))
		canary.random = clock_mono_ns(clock_system());
	exit_code = examine(topo, config, &canary, &r);
	topology_destroy(&topo);
	return exit_code;
}
