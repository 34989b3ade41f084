#include "squeal/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/broker/broker.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/probe.h"

enum {
	CLOCK_TRIES = 5,
	TABLE_SECONDS = 5, /* patience for information_schema.tables, which opens every table's definition */
	NAMES = 5,	   /* tables named in a finding */
	RESUME_MS = 30000, /* patience for the server's search of the checkpoint; squeal run has more */
};

/* --- squeal's side ----------------------------------------------------------------------------------------
 */

bool
survey_is_network(const struct source_options *opt)
{
	const char *h = opt->host;

	return opt->socket[0] == '\0' && strncmp(h, "127.", 4) != 0 && strcmp(h, "localhost") != 0 &&
	       strcmp(h, "::1") != 0;
}

static void
look_at_password_file(const char *path, struct doctor_facts *f)
{
	struct stat st;
	char why[600];

	doctor_fact_printf(f, "our.password_file", "%s", path);
	if (path[0] == '\0')
		return;
	if (stat(path, &st) == 0) {
		doctor_fact_printf(f, "our.password_mode", "%03o", (unsigned)(st.st_mode & 0777));
		return;
	}
	snprintf(why, sizeof(why), "%.500s: %s", path, strerror(errno));
	doctor_fact_failed(f, "our.password_mode", why, NULL);
}

static void
look_at_log(const struct topology *topo, const struct clock *clock, struct doctor_facts *f)
{
	struct broker_metrics metrics = {0};
	const struct broker_context context = {clock, NULL, &metrics};
	struct broker_reader *reader = NULL;
	struct buf checkpoint = BUF_INIT;
	struct err_detail why = {0};
	err_t err;

	err = broker_reader_open(&reader, &topo->log, &context, &why);
	if (err == ERR_OK)
		err = broker_reader_checkpoint(reader, topo->source.name, &checkpoint, &why);
	doctor_fact_printf(f, "log.path", "%s", topo->log.path);
	doctor_fact_printf(f, "log.code", "%s", err_name(err));
	doctor_fact_printf(f, "log.error", "%s", err == ERR_OK ? "" : err_why(&why));
	doctor_fact_put(f, "checkpoint", buf_span(&checkpoint));
	doctor_fact_printf(f, "log.text", "%s%s", checkpoint.len > 0 ? "checkpoint " : "no checkpoint yet",
			   buf_str(&checkpoint));
	broker_reader_close(&reader);
	buf_fini(&checkpoint);
}

void
survey_config(const struct topology *topo, const char *config, const struct clock *clock,
	      struct doctor_facts *f)
{
	const struct source_options *opt = &topo->source;

	if (opt->socket[0] != '\0')
		doctor_fact_printf(f, "our.address", "%s", opt->socket);
	else
		doctor_fact_printf(f, "our.address", "%s:%llu", opt->host, (unsigned long long)opt->port);
	doctor_fact_printf(f, "our.config", "%s", config);
	doctor_fact_printf(f, "our.user", "%s", opt->user);
	doctor_fact_printf(f, "our.network", "%d", survey_is_network(opt));
	doctor_fact_printf(f, "our.tls", "%s", opt->tls);
	doctor_fact_printf(f, "our.start", "%s", opt->start);
	doctor_fact_printf(f, "our.visibility", "%s", opt->visibility);
	doctor_fact_printf(f, "our.patience_ms", "%llu", (unsigned long long)opt->visibility_patience);
	doctor_fact_printf(f, "our.max_event", "%llu", (unsigned long long)opt->max_event);
	doctor_fact_printf(f, "our.server_id", "%u", source_mysql_server_id(opt, topo->region.region));
	look_at_password_file(opt->password_file, f);
	look_at_log(topo, clock, f);
}

/* --- questions to the database -----------------------------------------------------------------------------
 */

/* What a question's rows are put into. */
struct asking {
	struct doctor_facts *f;
	struct buf text;
	uint64_t n;
	uint64_t bytes;
	uint64_t id;
};

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
take_grant(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;

	/* What stands behind is no grant but the hash of a password. */
	ptrdiff_t secret = span_find(v[0], SPAN_LIT(" IDENTIFIED "));

	buf_put_span(&a->text, secret >= 0 ? span_first(v[0], (size_t)secret) : v[0]);
	buf_putc(&a->text, '\n');
}

static void
take_file(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	uint64_t bytes = 0;

	if (n >= 2 && span_u64(v[1], &bytes))
		a->bytes += bytes;
	a->n++;
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
take_row(void *arg, const struct span *v, unsigned n)
{
	((struct asking *)arg)->n++;
}

/* Another replica with our id; squeal itself names its host "squeal". */
static void
take_replica(void *arg, const struct span *v, unsigned n)
{
	struct asking *a = arg;
	uint64_t id = 0;

	a->n++;
	if (n < 2 || !span_u64(v[0], &id) || id != a->id || span_is(v[1], "squeal"))
		return;
	buf_put_span(&a->text, v[1].len > 0 ? v[1] : SPAN_LIT("(no name)"));
}

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

/* Asks; a question that is not answered makes `fact` a failed one, with the privilege that would help. */
static bool
ask(struct conn *c, const char *sql, conn_row_fn *row, struct asking *a, const char *fact,
    const char *privilege)
{
	struct err_detail why = {0};
	char text[700], statement[500];
	err_t err = conn_ask(c, sql, row, a, &why);

	if (err == ERR_OK)
		return true;
	if (err != ERR_PRIVILEGE || privilege == NULL) {
		doctor_fact_failed(a->f, fact, err_why(&why), NULL);
		return false;
	}
	snprintf(text, sizeof(text), "%s lacks the privilege %s", conn_account(c), privilege);
	snprintf(statement, sizeof(statement), "GRANT %s ON *.* TO %s", privilege, conn_account(c));
	doctor_fact_failed(a->f, fact, text, statement);
	return false;
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
ask_grants(struct conn *c, struct doctor_facts *f)
{
	struct asking a = {.f = f};

	if (ask(c, "SHOW GRANTS", take_grant, &a, "grants", NULL))
		doctor_fact_put(f, "grants", buf_span(&a.text));
	buf_fini(&a.text);
}

static void
ask_binlog(struct conn *c, struct doctor_facts *f)
{
	struct asking a = {.f = f};
	const char *on = doctor_fact(f, "log_bin");

	if (on == NULL || strcmp(on, "ON") != 0)
		return;
	if (ask(c, "SHOW BINARY LOGS", take_file, &a, "binlog.files", "BINLOG MONITOR")) {
		doctor_fact_printf(f, "binlog.files", "%llu", (unsigned long long)a.n);
		doctor_fact_printf(f, "binlog.bytes", "%llu", (unsigned long long)a.bytes);
	}
	ask(c, "SHOW MASTER STATUS", take_filters, &a, "binlog.do_db", "BINLOG MONITOR");
}

static void
ask_replication(struct conn *c, struct doctor_facts *f)
{
	struct asking a = {.f = f}, hosts = {.f = f};
	const char *pos = doctor_fact(f, "gtid_slave_pos");

	span_u64(span_of(doctor_fact(f, "our.server_id")), &hosts.id);
	/* Without the privilege: a server that took something over from a primary once has a position. */
	if (ask(c, "SHOW ALL SLAVES STATUS", take_row, &a, "replica", "SLAVE MONITOR"))
		doctor_fact_printf(f, "replica", "%d", a.n > 0);
	else if (pos != NULL)
		doctor_fact_printf(f, "replica", "%d", pos[0] != '\0');
	if (ask(c, "SHOW SLAVE HOSTS", take_replica, &hosts, "replicas.clash", "REPLICATION MASTER ADMIN")) {
		doctor_fact_put(f, "replicas.clash", buf_span(&hosts.text));
		doctor_fact_printf(f, "replicas.n", "%llu", (unsigned long long)hosts.n);
	}
	buf_fini(&hosts.text);
}

#define USER_TABLES                                                                                          \
	"FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN "            \
	"('mysql', 'sys', 'information_schema', 'performance_schema')"

static void
ask_tables(struct conn *c, bool mariadb, struct doctor_facts *f)
{
	struct asking a = {.f = f};
	struct err_detail why = {0};
	struct buf sql = BUF_INIT, seen = BUF_INIT;

	if (mariadb)
		buf_printf(&sql, "SET STATEMENT max_statement_time=%d FOR ", TABLE_SECONDS);
	buf_put_str(&sql, "SELECT table_schema, table_name, engine " USER_TABLES
			  " AND engine IS NOT NULL AND engine <> 'InnoDB'");
	if (!ask(c, buf_str(&sql), take_table, &a, "tables.other", NULL))
		goto done;
	if (conn_value(c, "SELECT COUNT(*) " USER_TABLES, &seen, &why) != ERR_OK) {
		doctor_fact_failed(f, "tables.other", err_why(&why), NULL);
		goto done;
	}
	doctor_fact_printf(f, "tables.other", "%llu", (unsigned long long)a.n);
	doctor_fact_put(f, "tables.names", buf_span(&a.text));
	doctor_fact_put(f, "tables.seen", buf_span(&seen));
done:
	buf_fini(&a.text);
	buf_fini(&sql);
	buf_fini(&seen);
}

/* --- can it go on where the checkpoint is? -----------------------------------------------------------------
 */

/* The time of the first transaction behind the start; 0 when there is none. */
static err_t
first_behind(struct source *src, const struct topology *topo, uint32_t *at, struct err_detail *why)
{
	struct binlog_metrics metrics = {0};
	struct binlog_decoder decoder;
	err_t err;

	*at = 0;
	binlog_decoder_init(&decoder, topo->source.max_event, &metrics);
	binlog_decoder_start(&decoder, src->info.file, src->info.pos, src->info.checksum);
	while (*at == 0) {
		struct binlog_event ev;
		struct span bytes;

		err = source_next(src, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		err = binlog_decode(&decoder, bytes, &ev, why);
		if (err != ERR_OK)
			break;
		if (ev.kind == BINLOG_GTID)
			*at = ev.timestamp;
	}
	binlog_decoder_fini(&decoder);
	return err;
}

static void
try_to_resume(const struct topology *topo, const struct clock *clock, struct doctor_facts *f)
{
	struct source_options options = topo->source;
	const char *from = topo->source.start, *checkpoint = doctor_fact(f, "checkpoint");
	struct err_detail why = {0};
	struct source *src;
	char region[60];
	uint32_t at = 0;
	uint64_t now_s = clock_real_us(clock) / 1000000, age_s = 0;
	err_t err;

	if (strcmp(from, "checkpoint") == 0)
		from = checkpoint != NULL && checkpoint[0] != '\0' ? checkpoint : "now";
	/* Not the daemon's id, or the two would throw each other out. */
	options.server_id = 0;
	if (options.first_event > RESUME_MS)
		options.first_event = RESUME_MS;
	snprintf(region, sizeof(region), "doctor %llx %d", (unsigned long long)clock_real_us(clock),
		 (int)getpid());
	src = source_mysql_create(&options, region);
	source_mysql_stop_at_end(src);
	err = source_open(src, span_of(from), &why);
	if (err == ERR_OK)
		err = first_behind(src, topo, &at, &why);
	if (at != 0 && now_s > at)
		age_s = now_s - at;
	doctor_fact_printf(f, "resume.code", "%s", err_name(err));
	doctor_fact_printf(f, "resume.error", "%s", err == ERR_OK ? "" : err_why(&why));
	doctor_fact_printf(f, "resume.age_s", "%llu", (unsigned long long)age_s);
	if (at == 0)
		doctor_fact_printf(f, "resume.text", "the server has what follows %s: nothing yet", from);
	else
		doctor_fact_printf(f, "resume.text", "the server has what follows %s, from %llu s ago on",
				   from, (unsigned long long)age_s);
	source_destroy(&src);
}

/* --- all of it ---------------------------------------------------------------------------------------------
 */

bool
survey_server(const struct topology *topo, const struct clock *clock, struct doctor_facts *f)
{
	struct conn *c = conn_create(&topo->source);
	struct asking a = {.f = f};
	struct err_detail why = {0};
	bool mariadb;
	err_t err;

	err = conn_open(c, &why);
	doctor_fact_printf(f, "connect.code", "%s", err_name(err));
	doctor_fact_printf(f, "connect.error", "%s", err == ERR_OK ? "" : err_why(&why));
	if (err != ERR_OK)
		goto done;
	doctor_fact_put(f, "server.version", conn_version(c));
	doctor_fact_printf(f, "account", "%s", conn_account(c));
	doctor_fact_printf(f, "cipher", "%s", conn_cipher(c) != NULL ? conn_cipher(c) : "");
	mariadb = span_find(conn_version(c), SPAN_LIT("MariaDB")) >= 0;
	ask(c, "SHOW GLOBAL VARIABLES", take_variable, &a, "log_bin", NULL);
	ask_clock(c, clock, f);
	ask_grants(c, f);
	ask_binlog(c, f);
	ask_tables(c, mariadb, f);
	if (mariadb) {
		ask_replication(c, f);
		if (doctor_fact(f, "log_bin") != NULL && strcmp(doctor_fact(f, "log_bin"), "ON") == 0)
			try_to_resume(topo, clock, f);
	}
	doctor_derive(f);
done:
	conn_destroy(&c);
	return err == ERR_OK;
}

void
survey_cache(const struct topology *topo, const struct cluster *cluster, const char *address,
	     const struct clock *clock, struct doctor_facts *f)
{
	struct probe_answer answer;
	struct err_detail why = {0};
	err_t err = probe_memcached(address, topo->router.connect_timeout + topo->router.ack_timeout, clock,
				    &answer, &why);

	doctor_fact_printf(f, "cache.cluster", "%s", cluster->opt.name);
	doctor_fact_printf(f, "cache.code", "%s", err_name(err));
	doctor_fact_printf(f, "cache.error", "%s", err == ERR_OK ? "" : err_why(&why));
	if (err != ERR_OK)
		return;
	doctor_fact_printf(f, "cache.version", "%s", answer.version);
	doctor_fact_printf(f, "cache.meta", "%d", answer.meta);
	doctor_fact_printf(f, "cache.ms", "%.1f", (double)answer.took_us / 1e3);
}
