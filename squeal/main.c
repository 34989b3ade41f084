/*
 * squeal - reads a database's binlog and writes the cache keys that each commit invalidates into the log.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/broker/broker.h"
#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/crash.h"
#include "lib/core/flag.h"
#include "lib/core/metric.h"
#include "lib/core/option.h"
#include "squeal/batch.h"
#include "squeal/binlog/event.h"
#include "squeal/binlog/gate.h"
#include "squeal/cmd.h"
#include "squeal/gather.h"
#include "squeal/lost.h"
#include "squeal/prepared.h"
#include "squeal/schema/schema.h"
#include "squeal/state.h"

static const char help[] =
    "squeal reads a database's binlog and writes the cache keys that each commit invalidates into the log,\n"
    "from which squeal-router deletes them on every memcached.\n"
    "\n"
    "  squeal run -c squeal.yaml [--start WHERE]   run the daemon in the foreground\n"
    "      --start     instead of source.start: checkpoint, now, earliest, or gtid:0-1-100\n"
    "      --standby   while another squeal writes the log, wait until it ends, then take over\n"
    "      --until-end stop where the binlog ends now and print a summary as JSON\n"
    "      --null-log  count records and drop them: for measuring, never for caches\n"
    "  squeal keys FILE... [--tag inv] [--anywhere]   one JSON line per transaction of binlog files (- is "
    "stdin, *.index the files it lists)\n"
    "      --rows      read the row changes too, and say how many rows each transaction changed\n"
    "      --rules     make keys of row changes too, by the rules of this file\n"
    "      --sources   say where each key comes from: the statement, or the rule, its template and the "
    "table\n"
    "      --start, --stop FILE[:POS]   --start-datetime, --stop-datetime TIME\n"
    "      --start-gtid, --stop-gtid POSITION   --gtid, --exclude-gtid IDS   only these transactions, whole\n"
    "  squeal check-config -c squeal.yaml          is the configuration right?\n"
    "      --sample    print a commented squeal.yaml\n"
    "      --schema    print its JSON Schema, for editors\n"
    "  squeal check-config --rules rules.yaml      is the rule file right?\n"
    "      --rules-schema   print its JSON Schema\n"
    "  squeal doctor -c squeal.yaml [--json]       what would make invalidations disappear, and what mends "
    "it\n"
    "      --end-to-end -- COMMAND...  write a canary with COMMAND (SQL on its standard input), and see it "
    "arrive\n"
    "      --canary-sql SQL            that statement instead; it has {comment} where the comment goes\n"
    "      --timeout   how long the canary may take (10s)\n"
    "  squeal grant [-c squeal.yaml]               the statements that make squeal's account, and no more\n"
    "      --host      the hosts it may come from, as in 10.0.%\n"
    "      --flavor mysql|mariadb      for this one, instead of the server that answers\n"
    "      --version   and for this version of it, as in 8.4\n"
    "  squeal help SECTION                         settings of a section of squeal.yaml: ";

static const char help_end[] = "\n"
			       "  squeal help metrics                         every metric, as Markdown\n"
			       "  squeal --version\n"
			       "\n"
			       "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 nothing in the range of keys, "
			       "78 wrong configuration.  Manual: man squeal\n";

int
cmd_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("squeal: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; squeal --help shows every command\n", stderr);
	return CMD_USAGE;
}

int
cmd_refused(char **argv, const struct option *longs, int c)
{
	struct err_detail why = {0};

	(void)flag_refused(argv, longs, c, &why);
	fprintf(stderr, "%s: %s; squeal --help shows how\n", argv[0], err_why(&why));
	return CMD_USAGE;
}

static void
print_metrics(struct buf *out)
{
	metric_markdown(state_metric_rows, state_metric_nrows, "squeal: state", out);
	metric_markdown(binlog_metric_rows, binlog_metric_nrows, "squeal: binlog", out);
	metric_markdown(gather_metric_rows, gather_metric_nrows, "squeal: keys", out);
	metric_markdown(lost_metric_rows, lost_metric_nrows, "squeal: failover", out);
	metric_markdown(rule_metric_rows, rule_metric_nrows, "squeal: rules", out);
	metric_markdown(schema_metric_rows, schema_metric_nrows, "squeal: columns without names", out);
	metric_markdown(gate_metric_rows, gate_metric_nrows, "squeal: visibility gate", out);
	metric_markdown(prepared_metric_rows, prepared_metric_nrows, "squeal: XA transactions", out);
	metric_markdown(batch_metric_rows, batch_metric_nrows, "squeal: batches", out);
	metric_markdown(broker_metric_rows, broker_metric_nrows, "squeal and squeal-router: the log", out);
}

static int
cmd_help(int argc, char **argv)
{
	const struct option_section *sections;
	struct buf out = BUF_INIT;
	size_t n;

	sections = topology_sections(&n);
	if (argc < 2) {
		buf_put_str(&out, help);
		for (size_t i = 0; i < n; i++)
			buf_printf(&out, "%s%s", i > 0 ? ", " : "", sections[i].name);
		buf_put_str(&out, help_end);
	}
	if (argc >= 2 && strcmp(argv[1], "metrics") == 0)
		print_metrics(&out);
	for (size_t i = 0; i < n && argc >= 2; i++) {
		if (strcmp(argv[1], sections[i].name) == 0 || strcmp(argv[1], "all") == 0)
			option_help(&sections[i], &out);
		else if (strcmp(argv[1], "markdown") == 0)
			option_markdown(&sections[i], &out);
	}
	if (out.len == 0)
		return cmd_usage("there is no section \"%s\"", argv[1]);
	fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return CMD_OK;
}

static int
cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("squeal " SQUEAL_VERSION);
	return CMD_OK;
}

static int
cmd_list_crash_points(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	crash_list();
	return CMD_OK;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} commands[] = {
	    {"run", cmd_run},
	    {"keys", cmd_keys},
	    {"check-config", cmd_check_config},
	    {"doctor", cmd_doctor},
	    {"grant", cmd_grant},
	    {"help", cmd_help},
	    {"--help", cmd_help},
	    {"-h", cmd_help},
	    {"--version", cmd_version},
	    {"-V", cmd_version},
	    {"--list-crash-points", cmd_list_crash_points},
	};
	const char *names[] = {"run", "keys", "check-config", "doctor", "grant", "help"};
	const char *near;
	char name[32];

	if (argc < 2)
		return cmd_usage("which command? run, keys, check-config, doctor, grant, or help");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
				return cmd_help(1, argv);
			opterr = 0;
			/* What stands before a refusal. */
			snprintf(name, sizeof(name), "squeal %s", argv[1]);
			argv[1] = name;
			return commands[i].fn(argc - 1, argv + 1);
		}
	}
	near = option_nearest_word(names, sizeof(names) / sizeof(names[0]), span_of(argv[1]));
	if (near != NULL)
		return cmd_usage("there is no command \"%s\"; did you mean \"%s\"?", argv[1], near);
	return cmd_usage("there is no command \"%s\"", argv[1]);
}
