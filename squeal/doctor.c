#include "squeal/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

/* --- facts ------------------------------------------------------------------------------------------------
 */

struct fact {
	char *name;
	char *value;
	char *statement; /* of a failed one: what would help, or NULL */
	bool failed;	 /* `value` says why */
};

struct doctor_facts {
	struct fact *all;
	size_t n, cap;
};

struct doctor_facts *
doctor_facts_create(void)
{
	return MEM_NEW(struct doctor_facts);
}

void
doctor_facts_destroy(struct doctor_facts **f)
{
	if (*f == NULL)
		return;
	for (size_t i = 0; i < (*f)->n; i++) {
		free((*f)->all[i].name);
		free((*f)->all[i].value);
		free((*f)->all[i].statement);
	}
	free((*f)->all);
	free(*f);
	*f = NULL;
}

static struct fact *
find(const struct doctor_facts *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->all[i].name, name) == 0)
			return &f->all[i];
	}
	return NULL;
}

static struct fact *
put(struct doctor_facts *f, const char *name, struct span value)
{
	struct fact *at = find(f, name);
	char *copy = span_dup(value);

	if (at == NULL) {
		if (f->n == f->cap) {
			f->cap = f->cap > 0 ? f->cap * 2 : 64;
			f->all = mem_realloc(f->all, f->cap * sizeof(*f->all));
		}
		at = &f->all[f->n++];
		at->name = mem_strdup(name);
		at->value = at->statement = NULL;
	}
	free(at->value);
	free(at->statement);
	at->value = copy;
	at->statement = NULL;
	at->failed = false;
	return at;
}

void
doctor_fact_put(struct doctor_facts *f, const char *name, struct span value)
{
	put(f, name, value);
}

void
doctor_fact_printf(struct doctor_facts *f, const char *name, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	put(f, name, span_of(buf_str(&b)));
	buf_fini(&b);
}

void
doctor_fact_failed(struct doctor_facts *f, const char *name, const char *why, const char *statement)
{
	struct fact *at = put(f, name, span_of(why));

	at->statement = mem_strdup(statement);
	at->failed = true;
}

const char *
doctor_fact(const struct doctor_facts *f, const char *name)
{
	const struct fact *at = find(f, name);

	return at == NULL || at->failed ? NULL : at->value;
}

/* --- what judges ask --------------------------------------------------------------------------------------
 */

static const char *
text(const struct doctor_facts *f, const char *name)
{
	const char *value = doctor_fact(f, name);

	return value != NULL ? value : "";
}

static bool
is(const struct doctor_facts *f, const char *name, const char *value)
{
	return span_ieq(span_of(text(f, name)), span_of(value));
}

static bool
has(const struct doctor_facts *f, const char *name)
{
	return text(f, name)[0] != '\0';
}

static double
number(const struct doctor_facts *f, const char *name)
{
	return strtod(text(f, name), NULL);
}

static bool
is_on(const struct doctor_facts *f, const char *name)
{
	return is(f, name, "ON") || is(f, name, "1");
}

static bool
is_off(const struct doctor_facts *f, const char *name)
{
	return doctor_fact(f, name) != NULL && !is_on(f, name);
}

static bool
is_mariadb(const struct doctor_facts *f)
{
	return is(f, "server.flavor", "mariadb");
}

/* Calls `fn` for each privilege of the account on *.*; true as soon as one call is. */
static bool
any_privilege(const struct doctor_facts *f, bool (*fn)(struct span privilege, struct span wanted),
	      struct span wanted)
{
	struct span rest = span_of(text(f, "grants"));

	while (rest.len > 0) {
		ptrdiff_t end = span_find(rest, SPAN_LIT("\n"));
		struct span line = span_first(rest, end >= 0 ? (size_t)end : rest.len);
		ptrdiff_t on = span_find(line, SPAN_LIT(" ON *.* TO "));

		rest = span_from(rest, line.len + 1);
		if (!span_starts(line, SPAN_LIT("GRANT ")) || on < 0)
			continue;
		line = span_from(span_first(line, (size_t)on), sizeof("GRANT ") - 1);
		while (line.len > 0) {
			ptrdiff_t comma = span_find(line, SPAN_LIT(","));
			struct span one = span_first(line, comma >= 0 ? (size_t)comma : line.len);

			line = span_from(line, one.len + 1);
			if (fn(span_trim(one), wanted))
				return true;
		}
	}
	return false;
}

static bool
is_privilege(struct span privilege, struct span wanted)
{
	return span_ieq(privilege, wanted) || span_ieq(privilege, SPAN_LIT("ALL PRIVILEGES"));
}

static bool
may(const struct doctor_facts *f, const char *privilege)
{
	return any_privilege(f, is_privilege, span_of(privilege));
}

static bool
is_more_than_needed(struct span privilege, struct span unused)
{
	static const char *const fine[] = {"USAGE",
					   "REPLICATION SLAVE",
					   "BINLOG MONITOR",
					   "REPLICATION CLIENT",
					   "REPLICATION MASTER ADMIN",
					   "SLAVE MONITOR"};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		if (span_ieq(privilege, span_of(fine[i])))
			return false;
	}
	return true;
}

/* --- judges: one question each ----------------------------------------------------------------------------
 */

static bool
always(const struct doctor_facts *f)
{
	return true;
}

#define JUDGE(name, expression)                                                                              \
	static bool name(const struct doctor_facts *f)                                                       \
	{                                                                                                    \
		return expression;                                                                           \
	}

/* clang-format off */
JUDGE(password_readable, (strtoul(text(f, "our.password_mode"), NULL, 8) & 077) != 0)
JUDGE(no_password, !has(f, "our.password_file") && is_on(f, "our.network"))
JUDGE(visibility_off, is(f, "our.visibility", "off"))
JUDGE(log_missing, is(f, "log.code", "ERR_NOT_FOUND"))
JUDGE(log_broken, has(f, "log.error"))

JUDGE(refused, is(f, "connect.code", "ERR_AUTH"))
JUDGE(secret_unreadable, is(f, "connect.code", "ERR_CONFIG"))
JUDGE(unreachable, has(f, "connect.error"))
JUDGE(no_mariadb, !is_mariadb(f))
JUDGE(old_mariadb, is_mariadb(f) && number(f, "server.number") < 100300)
JUDGE(may_not_replicate, !may(f, "REPLICATION SLAVE"))
JUDGE(may_not_monitor, !may(f, text(f, "needed.monitor")) && !may(f, "REPLICATION CLIENT") && !(number(f, "server.number") < 100502 && may(f, "SUPER")))
JUDGE(may_too_much, any_privilege(f, is_more_than_needed, (struct span){"", 0}))
JUDGE(no_tls, is_on(f, "our.network") && !has(f, "cipher"))
JUDGE(tls_unverified, is_on(f, "our.network") && !is(f, "our.tls", "verify"))
JUDGE(clock_off, fabs(number(f, "clock.skew_ms")) > 500 + number(f, "clock.rtt_ms"))

JUDGE(binlog_off, is_off(f, "log_bin"))
JUDGE(format_statement, is(f, "binlog_format", "STATEMENT"))
JUDGE(annotate_off_rows, is_off(f, "binlog_annotate_row_events") && !is(f, "binlog_format", "STATEMENT"))
JUDGE(annotate_off, is_off(f, "binlog_annotate_row_events"))
JUDGE(annotate_anybody, is_mariadb(f) && number(f, "server.number") < 100502)
JUDGE(rows_query_off, is_off(f, "binlog_rows_query_log_events"))
JUDGE(gtid_mode_off, !is(f, "gtid_mode", "ON"))
JUDGE(image_not_full, !is(f, "binlog_row_image", "FULL"))
JUDGE(metadata_not_full, !is(f, "binlog_row_metadata", "FULL"))
JUDGE(sync_not_1, number(f, "sync_binlog") != 1)
JUDGE(flush_not_durable, number(f, "innodb_flush_log_at_trx_commit") != 1 && number(f, "innodb_flush_log_at_trx_commit") != 3)
JUDGE(checksum_none, is(f, "binlog_checksum", "NONE"))
JUDGE(filter_do, has(f, "binlog.do_db"))
JUDGE(filter_ignore, has(f, "binlog.ignore_db"))

JUDGE(expiry_close, number(f, "expiry.s") > 0 && number(f, "resume.age_s") * 2 > number(f, "expiry.s"))
JUDGE(expiry_short, number(f, "expiry.s") > 0 && number(f, "expiry.s") < 86400)
JUDGE(expiry_never, number(f, "expiry.s") == 0)
JUDGE(total_size_bound, number(f, "max_binlog_total_size") > 0)
JUDGE(resume_gap, is(f, "resume.code", "ERR_GAP"))
JUDGE(resume_refused, is(f, "resume.code", "ERR_PRIVILEGE"))
JUDGE(resume_slow, is(f, "resume.code", "ERR_TIMEOUT"))
JUDGE(resume_failed, !is(f, "resume.code", "ERR_OK"))

JUDGE(replica_without_updates, is_on(f, "replica") && is_off(f, "log_slave_updates"))
JUDGE(parallel_domains, is_on(f, "replica") && number(f, "slave_parallel_threads") > 0 && !is(f, "slave_parallel_mode", "none") && number(f, "gtid.domains") > 1)
JUDGE(several_domains, number(f, "gtid.domains") > 1)
JUDGE(not_strict, is_off(f, "gtid_strict_mode"))
JUDGE(server_id_zero, number(f, "server_id") == 0)
JUDGE(server_id_same, is(f, "server_id", text(f, "our.server_id")))
JUDGE(replica_clash, has(f, "replicas.clash"))
JUDGE(semi_sync_early, is_on(f, "rpl_semi_sync_master_enabled") && is(f, "rpl_semi_sync_master_wait_point", "AFTER_SYNC") && visibility_off(f))
JUDGE(semi_sync_slow, is_on(f, "rpl_semi_sync_master_enabled") && is(f, "rpl_semi_sync_master_wait_point", "AFTER_SYNC") && number(f, "rpl_semi_sync_master_timeout") >= number(f, "our.patience_ms"))
JUDGE(semi_sync_on, is_on(f, "rpl_semi_sync_master_enabled"))
JUDGE(scheduling_off, is_off(f, "binlog_optimize_thread_scheduling") && !visibility_off(f))
JUDGE(packet_above_event, number(f, "max_allowed_packet") > number(f, "our.max_event"))
JUDGE(write_timeout_short, number(f, "net_write_timeout") < 10)
JUDGE(encrypted, is_on(f, "encrypt_binlog"))
JUDGE(compressed, is_on(f, "log_bin_compress"))
JUDGE(other_engines, number(f, "tables.other") > 0)
JUDGE(no_tables_seen, number(f, "tables.seen") == 0)

JUDGE(cache_no_memcached, is(f, "cache.code", "ERR_PROTOCOL"))
JUDGE(cache_away, has(f, "cache.error"))
JUDGE(cache_no_meta, is_off(f, "cache.meta"))

JUDGE(command_failed, has(f, "canary.command_error"))
JUDGE(stream_failed, has(f, "canary.stream_error"))
JUDGE(arrived, is(f, "canary.result", "arrived"))
JUDGE(rolled_back, is(f, "canary.result", "rolled_back"))
JUDGE(in_the_middle, is(f, "canary.result", "in_the_middle"))
JUDGE(stripped, is(f, "canary.result", "stripped"))
JUDGE(stripped_by_cli, stripped(f) && is_off(f, "path.comment") && is_on(f, "command.cli") && is_off(f, "command.comments"))
JUDGE(stripped_on_the_way, stripped(f) && is_off(f, "path.comment"))
JUDGE(stripped_at_server, stripped(f) && is_on(f, "path.comment"))
JUDGE(nothing, is(f, "canary.result", "nothing"))
JUDGE(nothing_other_server, nothing(f) && is_off(f, "path.same_server"))
JUDGE(nothing_log_bin, nothing(f) && is_off(f, "path.sql_log_bin"))
JUDGE(nothing_no_text, nothing(f) && number(f, "canary.rows_without_text") > 0)
JUDGE(canary_left, has(f, "canary.left"))
JUDGE(nothing_filter, nothing(f) && (has(f, "binlog.do_db") || has(f, "binlog.ignore_db")))

/* --- the table --------------------------------------------------------------------------------------------- */

#define ROW(check_, scope_, level_, fact_, fires_, what_, danger_, place_, mend_)                                       \
	{.check = check_, .scope = DOCTOR_##scope_, .level = DOCTOR_##level_, .fact = fact_, .fires = fires_,          \
	 .what = what_, .danger = danger_, .place = DOCTOR_##place_, .mend = mend_},
#define FINE(check_, scope_, fact_, what_) ROW(check_, scope_, OK, fact_, always, what_, "", NOWHERE, "")

const struct doctor_row doctor_rows[] = {
    /* squeal's side */
    ROW("password_file", CONFIG, BROKEN, "our.password_mode", password_readable,
	"{our.password_file} has mode {our.password_mode}",
	"Others on this machine can read the password of an account that sees every row, and squeal refuses the file.",
	SHELL, "chmod 600 {our.password_file}")
    ROW("password_file", CONFIG, NOTE, "our.password_file", no_password,
	"no source.password_file, and the database is across a network",
	"Whoever reaches the database as {our.user} reads every change of every table.", YAML,
	"source.password_file: /etc/squeal/password")
    FINE("password_file", CONFIG, "our.password_mode", "{our.password_file} is for its owner only")
    FINE("password_file", CONFIG, "our.password_file", "none configured; the database is on this machine")
    ROW("visibility", CONFIG, DANGER, "our.visibility", visibility_off, "source.visibility is off",
	"A delete can come before readers see its commit, and a reader in between fills the cache with the old value for good.",
	YAML, "source.visibility: gate")
    FINE("visibility", CONFIG, "our.visibility", "keys wait until their commit can be seen (gate)")
    ROW("log", CONFIG, NOTE, "log.error", log_missing, "{log.path} does not exist yet",
	"Nothing yet: squeal makes it at its first start, and what was committed before that start is not deleted.",
	SHELL, "squeal run -c {our.config}")
    ROW("log", CONFIG, BROKEN, "log.error", log_broken, "{log.error}",
	"squeal cannot go on without its log.", ADVICE, "see the finding: it says what to do")
    FINE("log", CONFIG, "log.error", "{log.path}, {log.text}")

    /* the connection */
    ROW("connect", SERVER, BROKEN, "connect.error", secret_unreadable, "{connect.error}",
	"squeal cannot log in, and nothing is invalidated.", YAML, "source.password_file: FILE, readable by squeal's user only")
    ROW("connect", SERVER, BROKEN, "connect.error", refused, "{connect.error}",
	"squeal cannot log in, and nothing is invalidated.", SQL,
	"ALTER USER '{our.user}'@'HOST' IDENTIFIED BY 'the first line of source.password_file'")
    ROW("connect", SERVER, BROKEN, "connect.error", unreachable, "{connect.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", ADVICE,
	"start the database, or correct source.host and source.port (or source.socket): {our.address}")
    FINE("connect", SERVER, "connect.error", "{our.address} answers as {account}, {clock.rtt_ms} ms")
    ROW("version", SERVER, BROKEN, "server.version", no_mariadb, "the server is {server.version}, which is not MariaDB",
	"This version of squeal streams from MariaDB only.", ADVICE,
	"read its binlog files with squeal keys FILE, or put squeal beside a MariaDB replica of it")
    ROW("version", SERVER, DANGER, "server.version", old_mariadb, "MariaDB {server.version} is older than 10.3",
	"Nobody has tried squeal with it.", ADVICE, "upgrade MariaDB to 10.3 or later")
    FINE("version", SERVER, "server.version", "MariaDB {server.version}")
    ROW("privileges", SERVER, BROKEN, "grants", may_not_replicate, "{account} lacks REPLICATION SLAVE",
	"The server gives it no binlog, and nothing is invalidated.", SQL,
	"GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    ROW("privileges", SERVER, DANGER, "grants", may_not_monitor, "{account} lacks {needed.monitor}",
	"squeal cannot list the binlog files, so it cannot start at the earliest one after a gap.", SQL,
	"GRANT {needed.monitor} ON *.* TO {account}")
    ROW("privileges", SERVER, NOTE, "grants", may_too_much, "{account} may do more than squeal needs",
	"Whoever gets its password can change data, not only read it.", SQL,
	"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}; GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    FINE("privileges", SERVER, "grants", "{account} has REPLICATION SLAVE and {needed.monitor}, and nothing more")
    ROW("tls", SERVER, DANGER, "cipher", no_tls, "the connection to {our.address} crosses a network in clear",
	"Whoever is on the way reads every changed row, and can take keys out of the stream.", YAML,
	"source.tls: verify, and source.tls_ca: FILE with the certificate that signed the server's")
    ROW("tls", SERVER, NOTE, "cipher", tls_unverified, "TLS ({cipher}), but the server's certificate is not verified",
	"Whoever can redirect the connection can pose as the database, and take keys out of the stream.", YAML,
	"source.tls: verify, and source.tls_ca: FILE with the certificate that signed the server's")
    FINE("tls", SERVER, "cipher", "{tls.text}")
    ROW("clock", SERVER, NOTE, "clock.skew_ms", clock_off, "the server's clock differs from ours by {clock.skew_ms} ms",
	"Lag and latency figures, and times that you ask a replay for, are wrong by as much.", SHELL,
	"timedatectl set-ntp true   # on both machines")
    FINE("clock", SERVER, "clock.skew_ms", "the server's clock differs from ours by {clock.skew_ms} ms")

    /* what is in the binlog */
    ROW("log_bin", SERVER, BROKEN, "log_bin", binlog_off, "log_bin is OFF",
	"The server writes no binlog, so there is nothing to read.", SERVER_CNF, "log_bin=mariadb-bin")
    FINE("log_bin", SERVER, "log_bin", "on; files: {binlog.files}, {binlog.bytes} bytes in all")
    ROW("binlog_format", SERVER, NOTE, "binlog_format", format_statement, "binlog_format is STATEMENT",
	"LOAD DATA is written to the binlog anew, without its comment, and its keys are lost.", SQL,
	"SET GLOBAL binlog_format=MIXED")
    FINE("binlog_format", SERVER, "binlog_format", "{binlog_format}")
    ROW("annotate", SERVER, BROKEN, "binlog_annotate_row_events", annotate_off_rows,
	"binlog_annotate_row_events is OFF and binlog_format is {binlog_format}",
	"Changed rows are in the binlog without the text of their statement, and with it the keys; squeal refuses to read it.",
	SQL, "SET GLOBAL binlog_annotate_row_events=ON")
    ROW("annotate", SERVER, DANGER, "binlog_annotate_row_events", annotate_off,
	"binlog_annotate_row_events is OFF; it does not matter while binlog_format is STATEMENT",
	"A session that changes its binlog_format writes rows without the text that holds the keys.", SQL,
	"SET GLOBAL binlog_annotate_row_events=ON")
    ROW("annotate", SERVER, NOTE, "binlog_annotate_row_events", annotate_anybody,
	"binlog_annotate_row_events is ON, and before MariaDB 10.5 every session may switch it off for itself",
	"The keys of such a session are lost; squeal_binlog_rows_no_text_total counts it.", ADVICE,
	"watch squeal_binlog_rows_no_text_total, and upgrade to MariaDB 10.5 or later")
    FINE("annotate", SERVER, "binlog_annotate_row_events",
	 "ON; sessions with BINLOG ADMIN can switch it off for themselves (squeal_binlog_rows_no_text_total counts that)")
    ROW("rows_query", SERVER, DANGER, "binlog_rows_query_log_events", rows_query_off, "binlog_rows_query_log_events is OFF",
	"Changed rows are in the binlog without the text of their statement, and with it the keys.", SQL,
	"SET GLOBAL binlog_rows_query_log_events=ON")
    FINE("rows_query", SERVER, "binlog_rows_query_log_events", "ON")
    ROW("gtid_mode", SERVER, NOTE, "gtid_mode", gtid_mode_off, "gtid_mode is {gtid_mode}",
	"Without GTIDs a position is a file and an offset, which mean nothing on another server.", SQL,
	"SET GLOBAL gtid_mode=ON")
    FINE("gtid_mode", SERVER, "gtid_mode", "ON")
    ROW("row_image", SERVER, NOTE, "binlog_row_image", image_not_full, "binlog_row_image is {binlog_row_image}",
	"Keys in comments do not need it, but rules that make keys of columns see only the columns that are in the image.", SQL,
	"SET GLOBAL binlog_row_image=FULL")
    FINE("row_image", SERVER, "binlog_row_image", "{binlog_row_image}")
    ROW("row_metadata", SERVER, NOTE, "binlog_row_metadata", metadata_not_full,
	"binlog_row_metadata is {binlog_row_metadata}",
	"Keys in comments do not need it, but rules that name columns find no names in the binlog.", SQL,
	"SET GLOBAL binlog_row_metadata=FULL")
    FINE("row_metadata", SERVER, "binlog_row_metadata", "{binlog_row_metadata}")
    ROW("sync_binlog", SERVER, DANGER, "sync_binlog", sync_not_1, "sync_binlog is {sync_binlog}",
	"When the operating system crashes, the binlog loses its end while InnoDB keeps the rows, and those invalidations never exist.",
	SQL, "SET GLOBAL sync_binlog=1")
    FINE("sync_binlog", SERVER, "sync_binlog", "{sync_binlog}")
    ROW("flush_log", SERVER, DANGER, "innodb_flush_log_at_trx_commit", flush_not_durable,
	"innodb_flush_log_at_trx_commit is {innodb_flush_log_at_trx_commit}",
	"When the operating system crashes, InnoDB goes back behind commits whose values caches already hold, and nothing deletes those.",
	SQL, "SET GLOBAL innodb_flush_log_at_trx_commit=1")
    FINE("flush_log", SERVER, "innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit is {innodb_flush_log_at_trx_commit}")
    ROW("checksum", SERVER, NOTE, "binlog_checksum", checksum_none, "binlog_checksum is NONE",
	"An event that is damaged on disk or on the way can be taken for a good one.", SQL, "SET GLOBAL binlog_checksum=CRC32")
    FINE("checksum", SERVER, "binlog_checksum", "{binlog_checksum}")
    ROW("filters", SERVER, DANGER, "binlog.do_db", filter_do, "binlog_do_db limits the binlog to: {binlog.do_db}",
	"Writes in every other database are not in the binlog, and their keys are lost.", SERVER_CNF,
	"# remove every binlog_do_db line")
    ROW("filters", SERVER, DANGER, "binlog.ignore_db", filter_ignore, "binlog_ignore_db keeps out of the binlog: {binlog.ignore_db}",
	"Writes in those databases are not in the binlog, and their keys are lost.", SERVER_CNF,
	"# remove every binlog_ignore_db line")
    FINE("filters", SERVER, "binlog.do_db", "no database is kept out of the binlog")

    /* how long it is there, and whether ours still is */
    ROW("expiry", SERVER, DANGER, "expiry.s", expiry_close,
	"squeal is {resume.age_s} s behind, and the binlog is purged after {expiry.s} s",
	"What is purged before it is read is a gap: every cache must be flushed.", SQL, "{expiry.mend}")
    ROW("expiry", SERVER, DANGER, "expiry.s", expiry_short, "the binlog is purged after {expiry.s} s",
	"An outage of squeal that lasts as long is a gap: every cache must be flushed.", SQL, "{expiry.mend}")
    ROW("expiry", SERVER, NOTE, "expiry.s", expiry_never, "the binlog is never purged by age; {binlog.bytes} bytes now",
	"A full disk stops the database, and whoever purges by hand may purge what squeal has not read.", SQL, "{expiry.mend}")
    FINE("expiry", SERVER, "expiry.s", "the binlog is kept for {expiry.s} s; {binlog.bytes} bytes now")
    ROW("total_size", SERVER, NOTE, "max_binlog_total_size", total_size_bound,
	"max_binlog_total_size is {max_binlog_total_size} bytes",
	"A burst of writes during an outage of squeal purges what it has not read, whatever the age.", SQL,
	"SET GLOBAL max_binlog_total_size=0")
    FINE("total_size", SERVER, "max_binlog_total_size", "the binlog is not purged by size")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_gap, "{resume.error}",
	"What was committed since the checkpoint cannot be known.", SHELL,
	"squeal run -c {our.config} --start now   # after flushing every memcached")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_refused, "{resume.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", SQL,
	"GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    ROW("resume", SERVER, NOTE, "resume.code", resume_slow, "the server searches its binlog for the checkpoint for longer than 30 s",
	"squeal run waits for source.first_event, and gives up and begins again when that is too short.", YAML,
	"source.first_event: 30m")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_failed, "{resume.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", ADVICE, "see the finding: it says what to do")
    FINE("resume", SERVER, "resume.code", "{resume.text}")

    /* replicas and ids */
    ROW("log_slave_updates", SERVER, BROKEN, "log_slave_updates", replica_without_updates,
	"the server is a replica with log_slave_updates=OFF",
	"What it takes over from its primary is not in its binlog, and squeal sees none of it.", SERVER_CNF, "log_slave_updates=ON")
    FINE("log_slave_updates", SERVER, "log_slave_updates", "log_slave_updates={log_slave_updates}, {replica.text}")
    ROW("parallel", SERVER, NOTE, "slave_parallel_mode", parallel_domains,
	"{slave_parallel_threads} replication threads, mode {slave_parallel_mode}, {gtid.domains} GTID domains",
	"Transactions of different domains come in another order than on the primary, so an older write of a key may be read last.",
	SQL, "STOP SLAVE; SET GLOBAL slave_parallel_threads=0; START SLAVE")
    FINE("parallel", SERVER, "slave_parallel_mode", "transactions come in the order of their commits (slave_parallel_mode={slave_parallel_mode})")
    ROW("domains", SERVER, NOTE, "gtid_binlog_pos", several_domains, "the binlog has {gtid.domains} GTID domains: {gtid_binlog_pos}",
	"A checkpoint needs all of them, so a server to fail over to must have all of them.", ADVICE,
	"write with one gtid_domain_id; FLUSH BINARY LOGS DELETE_DOMAIN_ID=(N) removes one that is no longer used")
    FINE("domains", SERVER, "gtid_binlog_pos", "GTID position {gtid_binlog_pos}")
    ROW("gtid_strict_mode", SERVER, NOTE, "gtid_strict_mode", not_strict, "gtid_strict_mode is OFF",
	"A write on the wrong server gets a GTID out of order, and then a checkpoint does not tell what was read.", SQL,
	"SET GLOBAL gtid_strict_mode=ON")
    FINE("gtid_strict_mode", SERVER, "gtid_strict_mode", "ON")
    ROW("server_id", SERVER, BROKEN, "server_id", server_id_zero, "the server's server_id is 0",
	"A server without an id refuses replicas, and squeal is one.", SERVER_CNF, "server_id=1")
    ROW("server_id", SERVER, BROKEN, "server_id", server_id_same, "the server's server_id {server_id} is squeal's too",
	"A replica leaves out what its own id wrote, so squeal refuses to start.", YAML, "source.server_id: {free.server_id}")
    FINE("server_id", SERVER, "server_id", "server {server_id}, squeal {our.server_id}")
    ROW("replicas", SERVER, DANGER, "replicas.clash", replica_clash,
	"replica \"{replicas.clash}\" has our server_id {our.server_id}",
	"Two replicas of one id throw each other out again and again.", YAML, "source.server_id: {free.server_id}")
    FINE("replicas", SERVER, "replicas.clash", "{replicas.n} connected; none but squeal has our server_id {our.server_id}")
    ROW("semi_sync", SERVER, DANGER, "rpl_semi_sync_master_enabled", semi_sync_early,
	"semi-sync waits AFTER_SYNC, and source.visibility is off",
	"A commit is in the binlog for up to {rpl_semi_sync_master_timeout} ms before readers see it, and a delete in between is undone by the next reader.",
	YAML, "source.visibility: gate")
    ROW("semi_sync", SERVER, DANGER, "rpl_semi_sync_master_enabled", semi_sync_slow,
	"rpl_semi_sync_master_timeout ({rpl_semi_sync_master_timeout} ms) is not below source.visibility_patience ({our.patience_ms} ms)",
	"While no replica acknowledges, squeal stops waiting for the commit to become visible and deletes too early.", SQL,
	"SET GLOBAL rpl_semi_sync_master_timeout=10000")
    ROW("semi_sync", SERVER, OK, "rpl_semi_sync_master_enabled", semi_sync_on,
	"on, {rpl_semi_sync_master_wait_point}, timeout {rpl_semi_sync_master_timeout} ms; the gate waits for it", "", NOWHERE, "")
    FINE("semi_sync", SERVER, "rpl_semi_sync_master_enabled", "off")
    ROW("scheduling", SERVER, DANGER, "binlog_optimize_thread_scheduling", scheduling_off,
	"binlog_optimize_thread_scheduling is OFF",
	"The server does not say exactly which commits can be seen, so keys wait for source.visibility_patience and may still be early.",
	SERVER_CNF, "binlog_optimize_thread_scheduling=ON")
    FINE("scheduling", SERVER, "binlog_optimize_thread_scheduling", "binlog_optimize_thread_scheduling={binlog_optimize_thread_scheduling}")

    /* limits */
    ROW("max_allowed_packet", SERVER, DANGER, "max_allowed_packet", packet_above_event,
	"max_allowed_packet ({max_allowed_packet}) is above source.max_event ({our.max_event})",
	"One large statement ends the reading in state GAP.", YAML, "source.max_event: {max_allowed_packet}")
    FINE("max_allowed_packet", SERVER, "max_allowed_packet", "{max_allowed_packet} bytes, source.max_event is {our.max_event}")
    ROW("net_write_timeout", SERVER, NOTE, "net_write_timeout", write_timeout_short, "net_write_timeout is {net_write_timeout} s",
	"squeal asks for 600 s in its session, but behind a proxy that drops session settings a slow log would cost the connection.",
	SQL, "SET GLOBAL net_write_timeout=60")
    FINE("net_write_timeout", SERVER, "net_write_timeout", "{net_write_timeout} s; squeal asks for 600 s in its session")
    ROW("encrypt_binlog", SERVER, NOTE, "encrypt_binlog", encrypted, "encrypt_binlog is ON",
	"squeal run is not affected, but squeal keys cannot read the files on disk.", SHELL,
	"mariadb-binlog --read-from-remote-server --raw FILE   # then squeal keys FILE")
    FINE("encrypt_binlog", SERVER, "encrypt_binlog", "OFF")
    ROW("compression", SERVER, OK, "log_bin_compress", compressed, "log_bin_compress is ON; squeal reads compressed statements", "",
	NOWHERE, "")
    FINE("compression", SERVER, "log_bin_compress", "OFF")
    ROW("engines", SERVER, NOTE, "tables.other", other_engines,
	"{tables.other} tables are not InnoDB: {tables.names}",
	"A rollback does not undo writes to them, and a crash can lose them after their keys were deleted.", SQL,
	"ALTER TABLE {tables.first} ENGINE=InnoDB")
    ROW("engines", SERVER, NOTE, "tables.other", no_tables_seen, "not checked: {account} may see no table",
	"A rollback does not undo writes to tables that are not InnoDB, and a crash can lose them after their keys were deleted.",
	ADVICE, "run squeal doctor once with an account that may see the tables; squeal run does not need to")
    FINE("engines", SERVER, "tables.other", "all of the {tables.seen} tables that {account} may see are InnoDB")

    /* each memcached */
    ROW("cache", CACHE, BROKEN, "cache.error", cache_no_memcached, "{cache.error}",
	"Deletes that are sent there reach no cache.", YAML, "clusters: the right host and port of this server")
    ROW("cache", CACHE, DANGER, "cache.error", cache_away, "{cache.error}",
	"Its deletes wait in the log, and when they wait longer than log.retention the server is flushed.", ADVICE,
	"start it, or correct its address in cluster {cache.cluster}")
    ROW("cache", CACHE, NOTE, "cache.meta", cache_no_meta, "memcached {cache.version} does not know meta commands",
	"The router uses classic deletes, and clients cannot fill the cache so that a delete in between wins.", ADVICE,
	"upgrade memcached to 1.6 or later")
    FINE("cache", CACHE, "cache.error", "memcached {cache.version} answers md and mn, {cache.ms} ms")

    /* end to end */
    ROW("end_to_end", CANARY, BROKEN, "canary.command_error", command_failed, "{canary.command_error}",
	"The canary was not written, so nothing is known about the application's path.", ADVICE,
	"make the command run SQL from its standard input, in a database where it may create a table, or give --canary-sql")
    ROW("end_to_end", CANARY, BROKEN, "canary.stream_error", stream_failed, "{canary.stream_error}",
	"The binlog could not be followed, so nothing is known about the application's path.", ADVICE, "see the finding: it says what to do")
    ROW("end_to_end", CANARY, OK, "canary.result", arrived, "key {canary.key} arrived in the binlog {canary.ms} ms after the command began", "",
	NOWHERE, "")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", rolled_back, "the canary's transaction was rolled back",
	"Keys of a transaction that does not commit are not delivered.", ADVICE, "make the command commit")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", in_the_middle,
	"the comment arrived, but not at an end of the statement: {canary.seen}",
	"A comment inside of the statement is not read, because a string could pose as one, and its keys are lost.", YAML,
	"markers.anywhere: true")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_by_cli,
	"{command.name} strips comments: the server got {canary.seen}",
	"Every key that is written through this client is lost.", SHELL, "{command.name} --comments")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_on_the_way,
	"the comment is gone before the statement reaches the server{own.text}: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look at {command.name} and at every proxy between it and the server: turn off comment stripping and query rewriting")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_at_server,
	"the comment reaches the server, but its binlog has the statement without it: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look for what rewrites statements inside of the server: a trigger, a procedure, an event, an audit or rewrite plugin")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped,
	"the canary's transaction arrived without its comment{own.text}: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look at {command.name} and at every proxy between it and the server: turn off comment stripping and query rewriting")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_other_server,
	"nothing arrived: the command talks to another server ({path.server}), not to {our.address}",
	"squeal reads the binlog of a server that these writes do not go to.", YAML,
	"source.host and source.port of the server that the application writes to")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_log_bin,
	"nothing arrived: the command's session has sql_log_bin=0",
	"Nothing that such a session writes is in the binlog.", SQL, "SET SESSION sql_log_bin=1")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_no_text,
	"changed rows arrived without the text of their statement",
	"The session that writes has binlog_annotate_row_events=OFF, and all of its keys are lost.", SQL,
	"SET GLOBAL binlog_annotate_row_events=ON")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_filter,
	"nothing arrived, and the binlog has filters (do: {binlog.do_db}; ignore: {binlog.ignore_db})",
	"Writes in databases that are filtered out are lost.", SERVER_CNF, "# remove every binlog_do_db and binlog_ignore_db line")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing,
	"nothing of the canary arrived within {canary.timeout_ms} ms",
	"Writes of this command are not in the binlog that squeal reads.", ADVICE,
	"check that the command commits, writes to {our.address}, and has sql_log_bin=1")
    ROW("cleanup", CANARY, NOTE, "canary.left", canary_left, "table {canary.table}, if it was made, could not be removed: {canary.left}",
	"It is in nobody's way, but nobody needs it.", SQL, "DROP TABLE {canary.table}")
    FINE("cleanup", CANARY, "canary.left", "table {canary.table} was made for this and is gone again")
};
/* clang-format on */
const size_t doctor_nrows = sizeof(doctor_rows) / sizeof(doctor_rows[0]);

/* --- facts from facts -------------------------------------------------------------------------------------
 */

/* "10.11.6-MariaDB" is 101106, "5.5.5-10.4.1-MariaDB" 100401. */
static unsigned
version_number(const char *version)
{
	unsigned major = 0, minor = 0, patch = 0;

	if (strncmp(version, "5.5.5-", 6) == 0)
		version += 6;
	if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) < 2)
		return 0;
	return major * 10000 + minor * 100 + patch;
}

static unsigned
count_domains(const char *pos)
{
	unsigned n = pos[0] != '\0';

	for (; *pos != '\0'; pos++)
		n += *pos == ',';
	return n;
}

void
doctor_derive(struct doctor_facts *f)
{
	const char *version = doctor_fact(f, "server.version"), *seconds, *days, *pos;
	unsigned n;

	if (version != NULL) {
		n = version_number(version);
		doctor_fact_printf(f, "server.flavor", "%s",
				   strstr(version, "MariaDB") != NULL ? "mariadb" : "mysql");
		doctor_fact_printf(f, "server.number", "%u", n);
		doctor_fact_printf(f, "needed.monitor", "%s",
				   is_mariadb(f) && n >= 100502 ? "BINLOG MONITOR" : "REPLICATION CLIENT");
	}
	seconds = doctor_fact(f, "binlog_expire_logs_seconds");
	days = doctor_fact(f, "expire_logs_days");
	if (seconds != NULL || days != NULL) {
		doctor_fact_printf(f, "expiry.s", "%.0f",
				   seconds != NULL && strtod(seconds, NULL) > 0
				       ? strtod(seconds, NULL)
				       : number(f, "expire_logs_days") * 86400);
		doctor_fact_printf(f, "expiry.mend", "%s",
				   seconds != NULL ? "SET GLOBAL binlog_expire_logs_seconds=604800"
						   : "SET GLOBAL expire_logs_days=7");
	}
	pos = doctor_fact(f, "gtid_binlog_pos");
	if (pos != NULL)
		doctor_fact_printf(f, "gtid.domains", "%u", count_domains(pos));
	if (doctor_fact(f, "our.server_id") != NULL)
		doctor_fact_printf(f, "free.server_id", "%.0f",
				   number(f, "our.server_id") +
				       (number(f, "our.server_id") < UINT32_MAX ? 1 : -1));
	if (doctor_fact(f, "cipher") != NULL)
		doctor_fact_printf(
		    f, "tls.text", "%s%s",
		    has(f, "cipher") ? text(f, "cipher") : "none; the database is on this machine",
		    has(f, "cipher") && is(f, "our.tls", "verify") ? ", certificate verified" : "");
	doctor_fact_printf(f, "replica.text", "%s", is_on(f, "replica") ? "a replica" : "not a replica");
}

/* --- judging ----------------------------------------------------------------------------------------------
 */

/* Replaces {name} by the fact, on one line. */
static const char *
expand(const struct doctor_facts *f, const char *template, struct buf *out)
{
	buf_clear(out);
	while (*template != '\0') {
		const char *end = *template == '{' ? strchr(template, '}') : NULL;
		char name[64];
		const char *value;

		if (end == NULL || (size_t)(end - template) >= sizeof(name)) {
			buf_putc(out, *template ++);
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(end - template - 1), template + 1);
		value = doctor_fact(f, name);
		for (const char *p = value != NULL ? value : "?"; *p != '\0'; p++)
			buf_putc(out, (unsigned char)*p < ' ' ? ' ' : *p);
		template = end + 1;
	}
	return buf_str(out);
}

static void
emit_row(const struct doctor_facts *f, const struct doctor_row *row, const char *subject,
	 doctor_emit_fn *emit, void *arg)
{
	struct buf what = BUF_INIT, danger = BUF_INIT, mend = BUF_INIT;
	struct doctor_finding finding = {
	    .level = row->level,
	    .check = row->check,
	    .subject = subject,
	    .what = expand(f, row->what, &what),
	    .danger = expand(f, row->danger, &danger),
	    .place = row->place,
	    .mend = expand(f, row->mend, &mend),
	    .keep = "",
	    .row = row,
	};

	if (span_starts(buf_span(&mend), SPAN_LIT("SET GLOBAL ")))
		finding.keep = finding.mend + sizeof("SET GLOBAL ") - 1;
	emit(arg, &finding);
	buf_fini(&what);
	buf_fini(&danger);
	buf_fini(&mend);
}

static void
emit_failed(const struct doctor_row *row, const struct fact *fact, const char *subject, doctor_emit_fn *emit,
	    void *arg)
{
	struct buf what = BUF_INIT;
	struct doctor_finding finding = {
	    .level = DOCTOR_NOTE,
	    .check = row->check,
	    .subject = subject,
	    .danger = "What was not looked at may be wrong.",
	    .place = fact->statement != NULL ? DOCTOR_SQL : DOCTOR_ADVICE,
	    .mend = fact->statement != NULL ? fact->statement : "see the finding",
	    .keep = "",
	};

	buf_printf(&what, "not checked: %s", fact->value);
	finding.what = buf_str(&what);
	emit(arg, &finding);
	buf_fini(&what);
}

void
doctor_judge(const struct doctor_facts *f, enum doctor_scope scope, const char *subject, doctor_emit_fn *emit,
	     void *arg)
{
	for (size_t i = 0, end; i < doctor_nrows; i = end) {
		const struct doctor_row *row = &doctor_rows[i], *hit = NULL;
		const struct fact *failed = NULL;

		for (end = i; end < doctor_nrows && strcmp(doctor_rows[end].check, row->check) == 0; end++) {
			const struct fact *fact = find(f, doctor_rows[end].fact);

			if (fact != NULL && fact->failed && failed == NULL)
				failed = fact;
			if (hit == NULL && fact != NULL && !fact->failed && doctor_rows[end].fires(f))
				hit = &doctor_rows[end];
		}
		if (row->scope != scope)
			continue;
		/* What could not be looked at may be what is wrong. */
		if (hit != NULL && (hit->level != DOCTOR_OK || failed == NULL))
			emit_row(f, hit, subject, emit, arg);
		else if (failed != NULL)
			emit_failed(row, failed, subject, emit, arg);
	}
}

const char *
doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {"ok", "note", "danger", "broken"};

	return names[level];
}

const char *
doctor_place_name(enum doctor_place place)
{
	static const char *const names[] = {
	    "", "sql", "server configuration, then restart", "squeal.yaml", "shell", "advice"};

	return names[place];
}
