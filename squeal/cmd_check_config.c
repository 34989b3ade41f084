#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "lib/broker/broker.h"
#include "lib/conf/rules.h"
#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/file.h"
#include "markers/rule_set.h"
#include "squeal/cmd.h"

static int
check_rules(const char *path)
{
	struct err_detail why = {0};
	struct rule_set *set = NULL;
	size_t keys = 0;

	if (rule_set_load(&set, path, &why) != ERR_OK) {
		fprintf(stderr, "squeal: %s\n", err_why(&why));
		return CMD_CONFIG;
	}
	for (size_t i = 0; i < set->n; i++)
		keys += set->rules[i].nkeys;
	printf("%s: ok: %zu rule%s with %zu key template%s\n", path, set->n, set->n == 1 ? "" : "s", keys,
	       keys == 1 ? "" : "s");
	rule_set_release(&set);
	return CMD_OK;
}

static int
print_effective(const struct topology *topo, const char *path)
{
	struct buf log = BUF_INIT;
	size_t servers = 0, pools = 0;

	for (size_t i = 0; i < topo->nclusters; i++) {
		servers += topo->clusters[i].nservers;
		pools += topo->clusters[i].npools;
	}
	broker_describe(&topo->log, &log);
	printf("%s: ok: source %s, log %s, %zu cluster%s with %zu pool%s and %zu server%s\n", path,
	       topo->source.name, buf_str(&log), topo->nclusters, topo->nclusters == 1 ? "" : "s", pools,
	       pools == 1 ? "" : "s", servers, servers == 1 ? "" : "s");
	buf_fini(&log);
	return CMD_OK;
}

/* Not an error of the file: on another machine, or for another user, it may be there. */
static void
note_password(const struct topology *topo, const char *path)
{
	struct err_detail why = {0};
	struct buf password = BUF_INIT;

	if (topo->source.password_file[0] != '\0' &&
	    file_read_secret(topo->source.password_file, &password, &why) != ERR_OK)
		printf("%s: note: %s; squeal run cannot log in without it\n", path, err_why(&why));
	buf_fini(&password);
}

int
cmd_check_config(int argc, char **argv)
{
	enum { OPT_SAMPLE = 256, OPT_SCHEMA, OPT_RULES, OPT_RULES_SCHEMA };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"sample", no_argument, NULL, OPT_SAMPLE},
	    {"schema", no_argument, NULL, OPT_SCHEMA},
	    {"rules", required_argument, NULL, OPT_RULES},
	    {"rules-schema", no_argument, NULL, OPT_RULES_SCHEMA},
	    {NULL, 0, NULL, 0},
	};
	struct err_detail why = {0};
	struct topology *topo = NULL;
	const char *config = NULL, *rules = NULL;
	struct buf out = BUF_INIT;
	int exit_code;
	int c;

	while ((c = getopt_long(argc, argv, ":c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case OPT_SAMPLE:
			topology_sample(&out);
			break;
		case OPT_SCHEMA:
			topology_json_schema(&out);
			break;
		case OPT_RULES:
			rules = optarg;
			break;
		case OPT_RULES_SCHEMA:
			rules_json_schema(&out);
			break;
		default:
			return cmd_refused(argv, longs, c);
		}
	}
	if (out.len > 0) {
		fputs(buf_str(&out), stdout);
		buf_fini(&out);
		return CMD_OK;
	}
	if (config == NULL && optind < argc)
		config = argv[optind++];
	if (config == NULL && rules != NULL)
		return check_rules(rules);
	if (config == NULL || optind < argc)
		return cmd_usage("check-config needs one file: squeal check-config -c squeal.yaml");
	if (topology_load(&topo, config, &why) != ERR_OK) {
		fprintf(stderr, "squeal: %s\n", err_why(&why));
		return CMD_CONFIG;
	}
	if (broker_check_options(&topo->log, &why) != ERR_OK) {
		fprintf(stderr, "squeal: %s: %s\n", config, err_why(&why));
		topology_destroy(&topo);
		return CMD_CONFIG;
	}
	if (broker_is_kafka(&topo->log) && topo->log.state[0] == '\0') {
		fprintf(stderr,
			"squeal: %s: state in log is missing; with Kafka squeal keeps there what it must "
			"know after a "
			"restart: name a file, as in state: /var/lib/squeal/writer.db\n",
			config);
		topology_destroy(&topo);
		return CMD_CONFIG;
	}
	exit_code = print_effective(topo, config);
	note_password(topo, config);
	if (exit_code == CMD_OK && rules == NULL && topo->markers.rules[0] != '\0')
		rules = topo->markers.rules;
	if (exit_code == CMD_OK && rules != NULL)
		exit_code = check_rules(rules);
	topology_destroy(&topo);
	return exit_code;
}
