#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker.h"
#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "squeal/cmd.h"
#include "squeal/gap.h"
#include "squeal/pipeline.h"

/* A log that fails has codes of its own; the rest ended the reading. */
static int
exit_code_of(err_t err)
{
	switch (err) {
	case ERR_OK:
		return CMD_OK;
	case ERR_CONFIG:
		return CMD_CONFIG;
	default:
		return gap_is(err) ? gap_of(err)->exit_code : CMD_FAILED;
	}
}

int
cmd_run(int argc, char **argv)
{
	enum { OPT_START = 256, OPT_NULL_LOG, OPT_UNTIL_END, OPT_STANDBY };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},	   {"start", required_argument, NULL, OPT_START},
	    {"null-log", no_argument, NULL, OPT_NULL_LOG}, {"until-end", no_argument, NULL, OPT_UNTIL_END},
	    {"standby", no_argument, NULL, OPT_STANDBY},   {NULL, 0, NULL, 0},
	};
	struct pipeline_options opt = {0};
	struct err_detail why = {0};
	struct topology *topo = NULL;
	enum log_level level = LOG_INFO;
	struct log *log = NULL;
	int exit_code;
	err_t err;
	int c;

	while ((c = getopt_long(argc, argv, ":c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			opt.config = optarg;
			break;
		case OPT_START:
			opt.start = optarg;
			break;
		case OPT_NULL_LOG:
			opt.null_log = true;
			break;
		case OPT_STANDBY:
			opt.standby = true;
			break;
		case OPT_UNTIL_END:
			opt.until_end = true;
			break;
		default:
			return cmd_refused(argv, longs, c);
		}
	}
	if (optind < argc)
		return cmd_usage("run takes no argument \"%s\"", argv[optind]);
	if (opt.config == NULL)
		return cmd_usage("run needs a configuration: squeal run -c squeal.yaml");
	err = topology_load(&topo, opt.config, &why);
	if (err != ERR_OK) {
		fprintf(stderr, "squeal: %s\n", err_why(&why));
		return CMD_CONFIG;
	}
	log_level_parse(span_of(topo->squeal.log_level), &level);
	log = log_create("squeal", level, clock_system(), NULL, NULL);
	log_info(log, "starting", F_STR("version", SQUEAL_VERSION), F_STR("config", opt.config),
		 F_STR("source", topo->source.name),
		 F_STR("log", opt.null_log		    ? "null"
			      : broker_is_kafka(&topo->log) ? topo->log.topic
							    : topo->log.path));
	err = pipeline_run(topo, &opt, clock_system(), log, &why);
	exit_code = exit_code_of(err);
	if (err != ERR_OK)
		log_crit(log, "leaving", F_STR("code", err_name(err)), F_STR("reason", err_why(&why)));
	else
		log_info(log, "stopped");
	log_destroy(&log);
	topology_destroy(&topo);
	return exit_code;
}
