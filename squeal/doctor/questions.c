#include "squeal/doctor/questions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLOCK_TRIES = 5,
	TABLE_SECONDS = 5, /* patience for information_schema.tables, which opens every table's definition */
	NAMES = 5,	   /* tables named in a finding */
};

/* --- asking -----------------------------------------------------------------------------------------------
 */

/* What a question's rows are put into. */
struct asking {
	struct doctor_facts *f;
	struct conn *c;
	bool mariadb;
	struct buf text;
	struct buf more;
	struct span uuid;
	uint64_t n;
	uint64_t bytes;
	uint64_t id;
};

static void
asking_fini(struct asking *a)
{
	buf_fini(&a->text);
	buf_fini(&a->more);
}

/* `fact` could not be got; when for lack of a privilege, that is said. */
static void
give_up(struct asking *a, const char *fact, const char *privilege, err_t err, const char *why)
{
	char text[700], statement[500];

	if (err != ERR_PRIVILEGE || privilege == NULL) {
		doctor_fact_failed(a->f, fact, why, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%s lacks the privilege %s", conn_account(a->c), privilege);
	snprintf(statement, sizeof(statement), "GRANT %s ON *.* TO %s", privilege, conn_account(a->c));
	doctor_fact_failed(a->f, fact, text, statement);
}

/* Asks; a question that is not answered makes `fact` a failed one. */
static bool
ask(struct asking *a, const char *sql, conn_row_fn *row, const char *fact, const char *privilege)
{
	struct err_detail why = {0};
	err_t err = conn_ask(a->c, sql, row, a, &why);

	if (err != ERR_OK)
		give_up(a, fact, privilege, err, err_why(&why));
	return err == ERR_OK;
}

/* The same, of MySQL: with the statement's name of today, and where the server does not know it, the old one.
 */
static bool
ask_either(struct asking *a, const char *now, const char *before, conn_row_fn *row, const char *fact,
	   const char *privilege)
{
	struct err_detail first = {0}, second = {0};
	struct buf both = BUF_INIT;
	err_t err = conn_ask(a->c, now, row, a, &first);

	if (err == ERR_OK)
		return true;
	if (err == ERR_PRIVILEGE) {
		give_up(a, fact, privilege, err, err_why(&first));
		return false;
	}
	err = conn_ask(a->c, before, row, a, &second);
	if (err != ERR_OK) {
		buf_printf(&both, "%s: %s; %s: %s", now, err_why(&first), before, err_why(&second));
		give_up(a, fact, privilege, err, buf_str(&both));
		buf_fini(&both);
	}
	return err == ERR_OK;
}

static bool
is_on(const struct doctor_facts *f, const char *name)
{
	const char *value = doctor_fact(f, name);

	return value != NULL && strcmp(value, "ON") == 0;
}

/* --- the server and the account ---------------------------------------------------------------------------
 */

static void
take_variable(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	char name[100];

	if (n < 2)
		return;
	snprintf(name, sizeof(name), "%.*s", SPAN_FMT(v[0]));
	doctor_fact_put(a->f, name, v[1]);
}

static void
ask_clock(struct conn *c, const struct clock *clock, struct doctor_facts *f)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	double best_rtt = 0, skew = 0;

	for (unsigned i = 0; i < CLOCK_TRIES; i++) {
		uint64_t from_us = clock_real_us(clock), from_ns = clock_mono_ns(clock), rtt_us;

		buf_clear(&text);
		if (conn_value(c, "SELECT UNIX_TIMESTAMP(SYSDATE(6))", &text, &why) != ERR_OK) {
			doctor_fact_failed(f, "clock.skew_ms", err_why(&why), NULL);
			goto done;
		}
		rtt_us = (clock_mono_ns(clock) - from_ns) / 1000;
		if (i > 0 && (double)rtt_us >= best_rtt)
			continue;
		best_rtt = (double)rtt_us;
		skew = strtod(buf_str(&text), NULL) * 1e3 - ((double)from_us + best_rtt / 2) / 1e3;
	}
	doctor_fact_printf(f, "clock.skew_ms", "%.1f", skew);
	doctor_fact_printf(f, "clock.rtt_ms", "%.2f", best_rtt / 1e3);
done:
	buf_fini(&text);
}

static void
take_grant(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;

	/* What stands behind is no grant but the hash of a password. */
	ptrdiff_t secret = span_find(v[0], SPAN_LIT(" IDENTIFIED "));

	buf_put_span(&a->text, secret >= 0 ? span_first(v[0], (size_t)secret) : v[0]);
	buf_putc(&a->text, '\n');
}

static void
ask_grants(struct conn *c, struct doctor_facts *f)
{
	struct asking a = {.f = f, .c = c};

	if (ask(&a, "SHOW GRANTS", take_grant, "grants", NULL))
		doctor_fact_put(f, "grants", buf_span(&a.text));
	asking_fini(&a);
}

/* What stands between `before` and the next `end`; an empty span when `before` is not there. */
static struct span
part(struct span text, struct span before, char end)
{
	ptrdiff_t at = span_find(text, before), to;

	if (at < 0)
		return (struct span){"", 0};
	text = span_from(text, (size_t)at + before.len);
	to = span_find(text, span_make(&end, 1));
	return to >= 0 ? span_first(text, (size_t)to) : text;
}

/* How we log in, out of SHOW CREATE USER.  The hash of the password is in there too, and goes nowhere. */
static void
ask_account(struct conn *c, bool mariadb, struct doctor_facts *f)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct span create, plugin, require;
	const char *lifetime = doctor_fact(f, "default_password_lifetime");
	bool expires;

	if (conn_value(c, "SHOW CREATE USER CURRENT_USER()", &text, &why) != ERR_OK) {
		doctor_fact_failed(f, "account.plugin", err_why(&why), NULL);
		goto done;
	}
	create = buf_span(&text);
	plugin = mariadb ? part(create, SPAN_LIT(" IDENTIFIED VIA "), ' ')
			 : part(create, SPAN_LIT(" IDENTIFIED WITH '"), '\'');
	if (plugin.len == 0)
		plugin = SPAN_LIT("mysql_native_password");
	require = part(create, SPAN_LIT(" REQUIRE "), ' ');
	if (require.len == 0)
		require = SPAN_LIT("NONE");
	expires = span_find(create, SPAN_LIT(" PASSWORD EXPIRE INTERVAL ")) >= 0 ||
		  (span_find(create, SPAN_LIT(" PASSWORD EXPIRE NEVER")) < 0 && lifetime != NULL &&
		   strtod(lifetime, NULL) > 0);
	doctor_fact_put(f, "account.plugin", plugin);
	doctor_fact_put(f, "account.require", require);
	doctor_fact_printf(f, "account.expires", "%d", expires);
done:
	if (text.base != NULL)
		explicit_bzero(text.base, text.cap);
	buf_fini(&text);
}

/* --- the binlog -------------------------------------------------------------------------------------------
 */

static void
take_file(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	uint64_t bytes = 0;

	if (a->n++ == 0)
		buf_put_span(&a->text, v[0]);
	if (n >= 2 && span_u64(v[1], &bytes))
		a->bytes += bytes;
}

static void
take_filters(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;

	if (n < 4)
		return;
	doctor_fact_put(a->f, "binlog.do_db", v[2]);
	doctor_fact_put(a->f, "binlog.ignore_db", v[3]);
}

static void
ask_binlog(struct conn *c, bool mariadb, struct doctor_facts *f)
{
	struct asking a = {.f = f, .c = c};
	const char *privilege = mariadb ? "BINLOG MONITOR" : "REPLICATION CLIENT";
	struct span first;

	if (!is_on(f, "log_bin"))
		return;
	if (ask(&a, "SHOW BINARY LOGS", take_file, "binlog.files", privilege)) {
		doctor_fact_printf(f, "binlog.files", "%llu", (unsigned long long)a.n);
		doctor_fact_printf(f, "binlog.bytes", "%llu", (unsigned long long)a.bytes);
		/* Numbers begin at 1: a first file of a higher one had others before it. */
		first = buf_span(&a.text);
		doctor_fact_printf(f, "reach.whole", "%d",
				   first.len > 7 && span_is(span_from(first, first.len - 7), ".000001"));
	}
	if (mariadb)
		ask(&a, "SHOW MASTER STATUS", take_filters, "binlog.do_db", privilege);
	else
		ask_either(&a, "SHOW BINARY LOG STATUS", "SHOW MASTER STATUS", take_filters, "binlog.do_db",
			   privilege);
	asking_fini(&a);
}

static void
take_lost(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	bool first = a->text.len == 0;

	buf_printf(&a->text, "%s%.*s", first ? "" : ", ", SPAN_FMT(v[0]));
	buf_printf(&a->more, "%sSET PERSIST %.*s=@@GLOBAL.%.*s", first ? "" : "; ", SPAN_FMT(v[0]),
		   SPAN_FMT(v[0]));
}

/* Variables that were set while the server ran, and not in a way that lasts.  A session that sets one for
 * itself counts too, so only those are asked for that everyday sessions do not or may not set. */
static void
ask_lost(struct conn *c, struct doctor_facts *f)
{
	static const char sql[] =
	    "SELECT LOWER(i.variable_name) FROM performance_schema.variables_info i "
	    "JOIN performance_schema.global_variables g ON g.variable_name = i.variable_name "
	    "LEFT JOIN performance_schema.persisted_variables p ON p.variable_name = i.variable_name "
	    "WHERE i.variable_source = 'DYNAMIC' AND (p.variable_name IS NULL OR p.variable_value <> "
	    "g.variable_value) AND i.variable_name IN ('binlog_format', 'binlog_rows_query_log_events', "
	    "'binlog_row_image', 'binlog_row_metadata', 'binlog_row_value_options', 'sync_binlog', "
	    "'innodb_flush_log_at_trx_commit', 'binlog_error_action', 'binlog_order_commits', "
	    "'binlog_checksum', 'binlog_expire_logs_seconds', 'expire_logs_days', "
	    "'binlog_expire_logs_auto_purge', 'enforce_gtid_consistency', 'gtid_mode', 'server_id', "
	    "'max_allowed_packet', 'default_password_lifetime', "
	    "'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_wait_point', "
	    "'rpl_semi_sync_source_timeout', 'rpl_semi_sync_master_enabled', "
	    "'rpl_semi_sync_master_wait_point', 'rpl_semi_sync_master_timeout') ORDER BY 1";
	struct asking a = {.f = f, .c = c};

	if (ask(&a, sql, take_lost, "lost.names", NULL)) {
		doctor_fact_put(f, "lost.names", buf_span(&a.text));
		doctor_fact_put(f, "lost.mend", buf_span(&a.more));
	}
	asking_fini(&a);
}

/* --- replication ------------------------------------------------------------------------------------------
 */

/* A primary that this server takes over from.  The members of a group are no replicas of each other. */
static void
take_primary(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;

	for (unsigned i = 0; i < n; i++) {
		if (span_starts(v[i], SPAN_LIT("group_replication_")))
			return;
	}
	a->n++;
}

/* Another replica with our id, or with the server's uuid; squeal itself names its host "squeal". */
static void
take_replica(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	uint64_t id = 0;

	a->n++;
	if (n >= 5 && a->uuid.len > 0 && span_ieq(v[4], a->uuid) && a->more.len == 0)
		buf_put_span(&a->more, v[4]);
	if (n < 2 || !span_u64(v[0], &id) || id != a->id || span_is(v[1], "squeal"))
		return;
	buf_put_span(&a->text, v[1].len > 0 ? v[1] : SPAN_LIT("(no name)"));
}

static void
ask_replicas(struct asking *a)
{
	const char *uuid = doctor_fact(a->f, "server_uuid");
	bool answered;

	span_u64(span_of(doctor_fact(a->f, "our.server_id")), &a->id);
	a->uuid = span_of(uuid != NULL ? uuid : "");
	if (a->mariadb)
		answered =
		    ask(a, "SHOW SLAVE HOSTS", take_replica, "replicas.clash", "REPLICATION MASTER ADMIN");
	else
		answered = ask_either(a, "SHOW REPLICAS", "SHOW SLAVE HOSTS", take_replica, "replicas.clash",
				      "REPLICATION SLAVE");
	if (!answered)
		return;
	doctor_fact_put(a->f, "replicas.clash", buf_span(&a->text));
	doctor_fact_printf(a->f, "replicas.n", "%llu", (unsigned long long)a->n);
	if (uuid != NULL)
		doctor_fact_put(a->f, "uuid.clash", buf_span(&a->more));
}

static void
ask_replication(struct conn *c, bool mariadb, struct doctor_facts *f)
{
	struct asking primaries = {.f = f, .c = c}, replicas = {.f = f, .c = c, .mariadb = mariadb};
	const char *pos = doctor_fact(f, "gtid_slave_pos");
	bool answered;

	if (mariadb)
		answered =
		    ask(&primaries, "SHOW ALL SLAVES STATUS", take_primary, "replica", "SLAVE MONITOR");
	else
		answered = ask_either(&primaries, "SHOW REPLICA STATUS", "SHOW SLAVE STATUS", take_primary,
				      "replica", "REPLICATION CLIENT");
	/* Without the privilege: a server that took something over from a primary once has a position. */
	if (answered)
		doctor_fact_printf(f, "replica", "%d", primaries.n > 0);
	else if (pos != NULL)
		doctor_fact_printf(f, "replica", "%d", pos[0] != '\0');
	ask_replicas(&replicas);
	asking_fini(&primaries);
	asking_fini(&replicas);
}

/* "gtid:UUID:1-5,..." and nothing that could be anything else. */
static bool
is_gtid_set(const char *start)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ-:, \n";

	return strncmp(start, "gtid:", 5) == 0 && strchr(start + 5, ':') != NULL &&
	       strspn(start + 5, letters) == strlen(start + 5);
}

static void
ask_difference(struct asking *a, const char *fact, const char *minuend, const char *subtrahend)
{
	struct buf sql = BUF_INIT, answer = BUF_INIT;
	struct err_detail why = {0};

	buf_printf(&sql, "SELECT REPLACE(GTID_SUBTRACT(%s, %s), '\n', ' ')", minuend, subtrahend);
	if (conn_value(a->c, buf_str(&sql), &answer, &why) == ERR_OK)
		doctor_fact_put(a->f, fact, buf_span(&answer));
	else
		doctor_fact_failed(a->f, fact, err_why(&why), NULL);
	buf_fini(&sql);
	buf_fini(&answer);
}

/* Has the server still what squeal has not read, and has it what squeal has read? */
static void
ask_sets(struct conn *c, const char *start, struct doctor_facts *f)
{
	struct asking a = {.f = f, .c = c};
	struct buf ours = BUF_INIT;

	if (!is_gtid_set(start))
		return;
	buf_printf(&ours, "'%s'", start + 5);
	ask_difference(&a, "resume.missing", "@@GLOBAL.gtid_purged", buf_str(&ours));
	ask_difference(&a, "resume.unknown", buf_str(&ours), "@@GLOBAL.gtid_executed");
	buf_fini(&ours);
}

/* --- tables -----------------------------------------------------------------------------------------------
 */

/* A name as an SQL identifier. */
static void
put_identifier(struct buf *out, struct span name)
{
	buf_putc(out, '`');
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == '`')
			buf_putc(out, '`');
		buf_putc(out, name.p[i]);
	}
	buf_putc(out, '`');
}

static void
take_table(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;

	if (n < 3)
		return;
	if (a->n++ == 0) {
		struct buf first = BUF_INIT;

		put_identifier(&first, v[0]);
		buf_putc(&first, '.');
		put_identifier(&first, v[1]);
		doctor_fact_put(a->f, "tables.first", buf_span(&first));
		buf_fini(&first);
	}
	if (a->n <= NAMES)
		buf_printf(&a->text, "%s%.*s.%.*s (%.*s)", a->text.len > 0 ? ", " : "", SPAN_FMT(v[0]),
			   SPAN_FMT(v[1]), SPAN_FMT(v[2]));
	if (a->n == NAMES + 1)
		buf_put_str(&a->text, ", ...");
}

#define USER_TABLES                                                                                          \
	"FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN "            \
	"('mysql', 'sys', 'information_schema', 'performance_schema')"

static void
ask_tables(struct conn *c, bool mariadb, struct doctor_facts *f)
{
	struct asking a = {.f = f, .c = c};
	struct err_detail why = {0};
	struct buf sql = BUF_INIT, seen = BUF_INIT;

	if (mariadb)
		buf_printf(&sql, "SET STATEMENT max_statement_time=%d FOR SELECT", TABLE_SECONDS);
	else
		buf_printf(&sql, "SELECT /*+ MAX_EXECUTION_TIME(%d) */", TABLE_SECONDS * 1000);
	buf_put_str(&sql, " table_schema, table_name, engine " USER_TABLES
			  " AND engine IS NOT NULL AND engine <> 'InnoDB'");
	if (!ask(&a, buf_str(&sql), take_table, "tables.other", NULL))
		goto done;
	if (conn_value(c, "SELECT COUNT(*) " USER_TABLES, &seen, &why) != ERR_OK) {
		doctor_fact_failed(f, "tables.other", err_why(&why), NULL);
		goto done;
	}
	doctor_fact_printf(f, "tables.other", "%llu", (unsigned long long)a.n);
	doctor_fact_put(f, "tables.names", buf_span(&a.text));
	doctor_fact_put(f, "tables.seen", buf_span(&seen));
done:
	asking_fini(&a);
	buf_fini(&sql);
	buf_fini(&seen);
}

/* --- all of it ---------------------------------------------------------------------------------------------
 */

void
questions_ask(struct conn *c, const struct clock *clock, const char *start, struct doctor_facts *f)
{
	struct asking a = {.f = f, .c = c};
	bool mariadb = span_find(conn_version(c), SPAN_LIT("MariaDB")) >= 0;
	unsigned major = (unsigned)strtoul(conn_version(c).p, NULL, 10);

	doctor_fact_put(f, "server.version", conn_version(c));
	doctor_fact_printf(f, "account", "%s", conn_account(c));
	doctor_fact_printf(f, "cipher", "%s", conn_cipher(c) != NULL ? conn_cipher(c) : "");
	ask(&a, "SHOW GLOBAL VARIABLES", take_variable, "log_bin", NULL);
	ask_clock(c, clock, f);
	ask_grants(c, f);
	ask_account(c, mariadb, f);
	ask_binlog(c, mariadb, f);
	ask_tables(c, mariadb, f);
	ask_replication(c, mariadb, f);
	if (mariadb)
		return;
	ask_sets(c, start, f);
	if (major >= 8)
		ask_lost(c, f);
}
