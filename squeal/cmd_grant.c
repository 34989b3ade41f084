#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "squeal/cmd.h"
#include "squeal/survey.h"

/* A name as an SQL string. */
static void
put_quoted(struct buf *out, const char *name)
{
	buf_putc(out, '\'');
	for (; *name != '\0'; name++) {
		if (*name == '\'' || *name == '\\')
			buf_putc(out, *name);
		buf_putc(out, *name);
	}
	buf_putc(out, '\'');
}

static void
print_grant(const struct topology *topo, const char *host)
{
	const struct source_options *opt = &topo->source;
	struct buf account = BUF_INIT;
	const char *require = "";

	put_quoted(&account, opt->user);
	buf_putc(&account, '@');
	put_quoted(&account, host);
	if (opt->tls_cert[0] != '\0')
		require = " REQUIRE X509";
	else if (strcmp(opt->tls, "required") == 0 || strcmp(opt->tls, "verify") == 0)
		require = " REQUIRE SSL";
	printf("-- The account that squeal reads the binlog with. It changes nothing, and can read every "
	       "change of every table.\n"
	       "-- PASSWORD: the first line of %s.\n"
	       "CREATE USER %s IDENTIFIED BY 'PASSWORD'%s;\n"
	       "-- REPLICATION SLAVE: the server sends it the binlog.\n"
	       "-- BINLOG MONITOR: it may list binlog files and see where they end (start: earliest, squeal "
	       "doctor).\n"
	       "-- Before MariaDB 10.5, and on MySQL, the second one is called REPLICATION CLIENT.\n"
	       "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO %s;\n"
	       "-- Only for squeal doctor, where it shall see other replicas with our server_id; squeal run "
	       "does without it:\n"
	       "-- GRANT REPLICATION MASTER ADMIN ON *.* TO %s;\n",
	       opt->password_file[0] != '\0' ? opt->password_file : "source.password_file", buf_str(&account),
	       require, buf_str(&account), buf_str(&account));
	if (topo->markers.rules[0] != '\0')
		printf(
		    "-- Rules name columns. Where the binlog does not (binlog_row_metadata is not FULL), "
		    "squeal "
		    "asks for them:\n"
		    "-- REFERENCES shows the columns of tables and none of their rows. The databases of the "
		    "rules' tables are enough.\n"
		    "GRANT REFERENCES ON *.* TO %s;\n",
		    buf_str(&account));
	buf_fini(&account);
}

int
cmd_grant(int argc, char **argv)
{
	enum { OPT_HOST = 256 };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"host", required_argument, NULL, OPT_HOST},
	    {NULL, 0, NULL, 0},
	};
	static const char nothing[] =
	    "log:\n  path: log.db\nclusters:\n  - name: a\n    servers: [127.0.0.1:11211]\n";
	struct err_detail why = {0};
	struct topology *topo = NULL;
	const char *config = NULL, *host = NULL;
	err_t err;
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case OPT_HOST:
			host = optarg;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (optind < argc)
		return cmd_usage("grant takes no argument \"%s\"", argv[optind]);
	/* Without a file: what an empty one would mean. */
	if (config != NULL)
		err = topology_load(&topo, config, &why);
	else
		err = topology_parse(&topo, span_of(nothing), "defaults", &why);
	if (err != ERR_OK) {
		fprintf(stderr, "squeal: %s\n", err_why(&why));
		return CMD_CONFIG;
	}
	/* A host of ours on a network is not known from here. */
	if (host == NULL)
		host = config == NULL || survey_is_network(&topo->source) ? "%" : "localhost";
	print_grant(topo, host);
	topology_destroy(&topo);
	return CMD_OK;
}
