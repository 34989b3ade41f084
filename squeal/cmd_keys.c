#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/clock.h"
#include "lib/core/log.h"
#include "lib/core/option.h"
#include "markers/comment.h"
#include "squeal/cmd.h"
#include "squeal/keys/keys.h"

enum { OPT_TAG = 256, OPT_ANYWHERE, OPT_ROWS, OPT_RULES, OPT_SOURCES, OPT_RANGE };

/* clang-format off */
static const struct option longs[] = {
	{"tag",            required_argument, NULL, OPT_TAG},
	{"anywhere",       no_argument,       NULL, OPT_ANYWHERE},
	{"rows",           no_argument,       NULL, OPT_ROWS},
	{"rules",          required_argument, NULL, OPT_RULES},
	{"sources",        no_argument,       NULL, OPT_SOURCES},
	{"start",          required_argument, NULL, OPT_RANGE + RANGE_START},
	{"stop",           required_argument, NULL, OPT_RANGE + RANGE_STOP},
	{"start-datetime", required_argument, NULL, OPT_RANGE + RANGE_START_TIME},
	{"stop-datetime",  required_argument, NULL, OPT_RANGE + RANGE_STOP_TIME},
	{"start-gtid",     required_argument, NULL, OPT_RANGE + RANGE_START_GTID},
	{"stop-gtid",      required_argument, NULL, OPT_RANGE + RANGE_STOP_GTID},
	{"gtid",           required_argument, NULL, OPT_RANGE + RANGE_GTID},
	{"exclude-gtid",   required_argument, NULL, OPT_RANGE + RANGE_EXCLUDE_GTID},
	{NULL,             0,                 NULL, 0},
};

/* What mariadb-binlog and mysqlbinlog call it: what it is here. */
static const struct {
	const char *theirs, *ours;
} aliases[] = {
	{"--start-position",         "--start FILE:POS, or --start-gtid 0-1-100"},
	{"-j",                       "--start FILE:POS, or --start-gtid 0-1-100"},
	{"--stop-position",          "--stop FILE:POS, or --stop-gtid 0-1-100"},
	{"--start-time",             "--start-datetime"},
	{"--stop-time",              "--stop-datetime"},
	{"--include-gtids",          "--gtid"},
	{"--exclude-gtids",          "--exclude-gtid"},
	{"--verify-binlog-checksum", "nothing: checksums are always verified"},
	{"-v",                       "--rows or --sources"},
	{"--verbose",                "--rows or --sources"},
};
/* clang-format on */

struct command {
	struct markers_options markers;
	struct keys_options keys;
	struct rule_live rules;
	const char *rules_path;
	struct file_list files;
};

/* getopt_long() has said no to argv[optind - 1]. */
static int
wrong_option(char **argv, int c)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]) && c == '?'; i++) {
		if (strncmp(argv[optind - 1], aliases[i].theirs, strcspn(argv[optind - 1], "=")) == 0 &&
		    strlen(aliases[i].theirs) == strcspn(argv[optind - 1], "="))
			return cmd_usage("there is no option %s here; write %s", aliases[i].theirs,
					 aliases[i].ours);
	}
	return cmd_refused(argv, longs, c);
}

/* CMD_OK, or the exit code. */
static int
read_options(struct command *cmd, int argc, char **argv)
{
	struct err_detail why = {0};
	struct comment_parser parser;
	int c;

	while ((c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (c) {
		case OPT_TAG:
			cmd->markers.tag = optarg;
			break;
		case OPT_ANYWHERE:
			cmd->markers.anywhere = true;
			break;
		case OPT_ROWS:
			cmd->keys.count_rows = true;
			break;
		case OPT_RULES:
			cmd->rules_path = optarg;
			break;
		case OPT_SOURCES:
			cmd->keys.sources = true;
			break;
		case '?':
		case ':':
			return wrong_option(argv, c);
		default:
			if (range_set(cmd->keys.range, (enum range_bound)(c - OPT_RANGE), optarg, &why) !=
			    ERR_OK)
				return cmd_usage("%s", err_why(&why));
		}
	}
	if (optind >= argc)
		return cmd_usage("keys needs at least one binlog file: squeal keys mariadb-bin.000001");
	if (comment_parser_init(&parser, span_of(cmd->markers.tag), cmd->markers.anywhere, &why) != ERR_OK)
		return cmd_usage("--tag: %s", err_why(&why));
	for (int i = optind; i < argc; i++) {
		if (file_list_add(&cmd->files, argv[i], &why) == ERR_OK)
			continue;
		fprintf(stderr, "squeal keys: %s\n", err_why(&why));
		return CMD_FAILED;
	}
	return CMD_OK;
}

static int
run(struct command *cmd)
{
	struct err_detail why = {0};
	err_t err;

	if (cmd->rules_path != NULL) {
		if (rule_live_load(&cmd->rules, cmd->rules_path, &why) != ERR_OK) {
			fprintf(stderr, "squeal keys: %s\n", err_why(&why));
			return CMD_CONFIG;
		}
		cmd->keys.rules = &cmd->rules;
	}
	err = keys_run(&cmd->keys, &cmd->files, &why);
	if (err != ERR_OK) {
		fprintf(stderr, "squeal keys: %s\n", err_why(&why));
		return err == ERR_USAGE ? CMD_USAGE : CMD_FAILED;
	}
	if (!range_is_all(cmd->keys.range) && range_taken(cmd->keys.range) == 0) {
		fprintf(
		    stderr,
		    "squeal keys: the range matches nothing: %llu transactions were read and are not in it\n",
		    (unsigned long long)range_left_out(cmd->keys.range));
		return CMD_NOTHING;
	}
	return CMD_OK;
}

int
cmd_keys(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	struct command cmd = {.markers = {.tag = (char *)"inv"}};
	struct log *log = log_create("squeal keys", LOG_INFO, clock_system(), NULL, NULL);
	int exit_code;

	rule_live_init(&cmd.rules, NULL);
	cmd.keys = (struct keys_options){
	    .markers = &cmd.markers,
	    .range = range_create(log),
	    .spill_dir = tmp != NULL ? tmp : "/tmp",
	    .log = log,
	    .out = STDOUT_FILENO,
	};
	exit_code = read_options(&cmd, argc, argv);
	if (exit_code == CMD_OK)
		exit_code = run(&cmd);
	range_destroy(&cmd.keys.range);
	rule_live_fini(&cmd.rules);
	file_list_fini(&cmd.files);
	log_destroy(&log);
	return exit_code;
}
