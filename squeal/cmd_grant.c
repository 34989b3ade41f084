#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/endpoint.h"
#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "squeal/cmd.h"
#include "squeal/doctor/probe.h"
#include "squeal/doctor/survey.h"

/* Whom the statements are for. */
enum flavor { ANY, MARIADB, MYSQL };

struct server {
	enum flavor flavor;
	unsigned number; /* 101106 for 10.11.6; 0: not known */
	char version[100];
};

/* "10.11", "5.5.5-10.11.6-MariaDB", "9.7.4-2"; 0 when it is none. */
static unsigned
version_number(const char *version)
{
	unsigned major = 0, minor = 0, patch = 0;

	if (strncmp(version, "5.5.5-", 6) == 0)
		version += 6;
	if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) < 2 || minor > 99 || patch > 99)
		return 0;
	return major * 10000 + minor * 100 + patch;
}

/* --- the statements ---------------------------------------------------------------------------------------
 */

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

/* MySQL makes itself a certificate when it is installed; of MariaDB only a configuration that asks for TLS
 * says that it has one. */
static const char *
requirement(const struct source_options *opt, const struct server *server, const char *host)
{
	bool local = strcmp(host, "localhost") == 0;

	if (opt->tls_cert[0] != '\0')
		return " REQUIRE X509";
	if (strcmp(opt->tls, "required") == 0 || strcmp(opt->tls, "verify") == 0)
		return " REQUIRE SSL";
	if (server->flavor == MYSQL && strcmp(opt->tls, "off") != 0 && !local)
		return " REQUIRE SSL";
	return "";
}

static void
print_grant(const struct topology *topo, const struct server *server, const char *host)
{
	const struct source_options *opt = &topo->source;
	bool sha2 = server->flavor == MYSQL && (server->number == 0 || server->number >= 80000);
	bool monitor = server->flavor == MARIADB && (server->number == 0 || server->number >= 100502);
	struct buf account = BUF_INIT;

	put_quoted(&account, opt->user);
	buf_putc(&account, '@');
	put_quoted(&account, host);
	printf("-- The account that squeal reads the binlog with. It changes nothing, and can read every "
	       "change of every table.\n"
	       "-- For %s%s%s.\n"
	       "-- PASSWORD: the first line of %s.\n"
	       "CREATE USER %s IDENTIFIED %sBY 'PASSWORD'%s%s;\n",
	       server->flavor == MYSQL	   ? "MySQL"
	       : server->flavor == MARIADB ? "MariaDB"
					   : "every MariaDB and MySQL",
	       server->version[0] != '\0' ? " " : "", server->version,
	       opt->password_file[0] != '\0' ? opt->password_file : "source.password_file", buf_str(&account),
	       sha2 ? "WITH caching_sha2_password " : "", requirement(opt, server, host),
	       server->flavor == MYSQL ? " PASSWORD EXPIRE NEVER" : "");
	printf("-- REPLICATION SLAVE: the server sends it the binlog.\n"
	       "-- %s: it may list binlog files and see where they end (start: earliest, squeal doctor).\n"
	       "GRANT REPLICATION SLAVE, %s ON *.* TO %s;\n",
	       monitor ? "BINLOG MONITOR" : "REPLICATION CLIENT",
	       monitor ? "BINLOG MONITOR" : "REPLICATION CLIENT", buf_str(&account));
	/* Before it had this privilege, MariaDB did not ask for it. */
	if (server->flavor != MYSQL && (server->number == 0 || server->number >= 100502))
		printf("-- Only for squeal doctor, where it shall see other replicas with our server_id%s; "
		       "squeal "
		       "run does without it:\n"
		       "-- GRANT REPLICATION MASTER ADMIN ON *.* TO %s;\n",
		       server->flavor == ANY ? " (MariaDB)" : "", buf_str(&account));
	if (topo->markers.rules[0] != '\0')
		printf("-- Rules name columns. Where the binlog does not (binlog_row_metadata is not FULL), "
		       "squeal asks "
		       "for them:\n"
		       "-- REFERENCES shows the columns of tables and none of their rows. The databases of "
		       "the rules' "
		       "tables are enough.\n"
		       "GRANT REFERENCES ON *.* TO %s;\n",
		       buf_str(&account));
	buf_fini(&account);
}

/* --- which server -----------------------------------------------------------------------------------------
 */

/* Asks it; without an answer the statements are those that every server takes. */
static void
ask_server(const struct source_options *opt, struct server *server)
{
	struct err_detail why = {0};
	struct endpoints all;
	char reason[400];
	err_t err = ERR_CONN;

	endpoints_of(opt, &all);
	for (size_t i = 0; i < all.n && err != ERR_OK; i++)
		err = probe_database(endpoint_text(&all.at[i]).text, opt->connect_timeout, clock_system(),
				     server->version, sizeof(server->version), &why);
	if (err != ERR_OK) {
		snprintf(reason, sizeof(reason), "%s", err_why(&why));
		/* Nothing of what a server says may start a line of SQL. */
		for (char *p = reason; *p != '\0'; p++)
			*p = (unsigned char)*p < ' ' ? ' ' : *p;
		printf("-- Which server it is for could not be asked: %s\n"
		       "-- Say it: --flavor mysql or --flavor mariadb, and --version 8.4.\n",
		       reason);
		return;
	}
	/* Before 11, MariaDB says "5.5.5-" first. */
	if (strncmp(server->version, "5.5.5-", 6) == 0)
		memmove(server->version, server->version + 6, strlen(server->version + 6) + 1);
	server->version[strspn(
	    server->version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+~_:")] = '\0';
	server->number = version_number(server->version);
	server->flavor = strstr(server->version, "MariaDB") != NULL ? MARIADB : MYSQL;
}

static bool
take_flavor(const char *text, struct server *server)
{
	if (strcmp(text, "mysql") == 0)
		server->flavor = MYSQL;
	else if (strcmp(text, "mariadb") == 0)
		server->flavor = MARIADB;
	else
		return false;
	return true;
}

static bool
take_version(const char *text, struct server *server)
{
	server->number = version_number(text);
	if (server->number == 0 || strspn(text, "0123456789.") != strlen(text) ||
	    strlen(text) >= sizeof(server->version))
		return false;
	snprintf(server->version, sizeof(server->version), "%s", text);
	return true;
}

int
cmd_grant(int argc, char **argv)
{
	enum { OPT_HOST = 256, OPT_FLAVOR, OPT_VERSION };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"host", required_argument, NULL, OPT_HOST},
	    {"flavor", required_argument, NULL, OPT_FLAVOR},
	    {"version", required_argument, NULL, OPT_VERSION},
	    {NULL, 0, NULL, 0},
	};
	static const char nothing[] =
	    "log:\n  path: log.db\nclusters:\n  - name: a\n    servers: [127.0.0.1:11211]\n";
	struct server server = {.flavor = ANY};
	struct err_detail why = {0};
	struct topology *topo = NULL;
	const char *config = NULL, *host = NULL;
	err_t err;
	int c;

	while ((c = getopt_long(argc, argv, ":c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case OPT_HOST:
			host = optarg;
			break;
		case OPT_FLAVOR:
			if (!take_flavor(optarg, &server))
				return cmd_usage("--flavor is mysql or mariadb, not \"%s\"", optarg);
			break;
		case OPT_VERSION:
			if (!take_version(optarg, &server))
				return cmd_usage("--version takes a version like 8.4 or 10.11.6, not \"%s\"",
						 optarg);
			break;
		default:
			return cmd_refused(argv, longs, c);
		}
	}
	if (optind < argc)
		return cmd_usage("grant takes no argument \"%s\"", argv[optind]);
	if (server.number != 0 && server.flavor == ANY)
		return cmd_usage("--version needs --flavor mysql or --flavor mariadb");
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
	if (config != NULL && server.flavor == ANY)
		ask_server(&topo->source, &server);
	print_grant(topo, &server, host);
	topology_destroy(&topo);
	return CMD_OK;
}
