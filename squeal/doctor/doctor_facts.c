#include "squeal/doctor/doctor_rows.h"

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
doctor_split(const char *sentence, struct span *what, struct span *mend)
{
	static const char again[] = "mend what it names, and run squeal doctor again",
			  waits[] = "; it is tried again";
	struct span s = span_of(sentence);
	int depth = 0;

	*what = s;
	*mend = span_of(again);
	for (size_t i = 0; i + 2 < s.len; i++) {
		/* Not in what others are quoted with. */
		depth += s.p[i] == '(' ? 1 : s.p[i] == ')' && depth > 0 ? -1 : 0;
		if (depth == 0 && s.p[i] == ';' && s.p[i + 1] == ' ') {
			*what = span_first(s, i);
			*mend = span_from(s, i + 2);
			break;
		}
	}
	/* The client library's own end with their number: "TEXT (error 1236): ADVICE". */
	if (what->len == s.len) {
		ptrdiff_t at = span_find(s, SPAN_LIT("): "));

		if (at >= 0) {
			*what = span_first(s, (size_t)at + 1);
			*mend = span_from(s, (size_t)at + 3);
		}
	}
	/* Squeal tries again; its doctor does not. */
	if (mend->len > strlen(waits) && span_is(span_from(*mend, mend->len - strlen(waits)), waits))
		mend->len -= strlen(waits);
}

void
doctor_fact_sentence(struct doctor_facts *f, const char *name, const char *sentence)
{
	struct span what, mend;
	char mend_name[64];

	doctor_split(sentence, &what, &mend);
	snprintf(mend_name, sizeof(mend_name), "%s.mend", name);
	put(f, name, what);
	put(f, mend_name, mend);
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

const char *
doctor_fact_failure(const struct doctor_facts *f, const char *name, const char **statement)
{
	const struct fact *at = find(f, name);

	if (at == NULL || !at->failed)
		return NULL;
	*statement = at->statement;
	return at->value;
}

/* --- questions --------------------------------------------------------------------------------------------
 */

bool
doctor_always(const struct doctor_facts *f)
{
	return true;
}

const char *
doctor_text(const struct doctor_facts *f, const char *name)
{
	const char *value = doctor_fact(f, name);

	return value != NULL ? value : "";
}

double
doctor_number(const struct doctor_facts *f, const char *name)
{
	return strtod(doctor_text(f, name), NULL);
}

bool
doctor_is(const struct doctor_facts *f, const char *name, const char *value)
{
	return span_ieq(span_of(doctor_text(f, name)), span_of(value));
}

bool
doctor_contains(const struct doctor_facts *f, const char *name, const char *part)
{
	return strcasestr(doctor_text(f, name), part) != NULL;
}

bool
doctor_on(const struct doctor_facts *f, const char *name)
{
	return doctor_is(f, name, "ON") || doctor_is(f, name, "1");
}

bool
doctor_off(const struct doctor_facts *f, const char *name)
{
	return doctor_fact(f, name) != NULL && !doctor_on(f, name);
}

/* Calls `fn` for each privilege of the account on *.*; true as soon as one call is. */
static bool
any_privilege(const struct doctor_facts *f, bool (*fn)(struct span privilege, struct span wanted),
	      struct span wanted)
{
	struct span rest = span_of(doctor_text(f, "grants"));

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

bool
doctor_may(const struct doctor_facts *f, const char *privilege)
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

bool
doctor_may_more(const struct doctor_facts *f)
{
	return any_privilege(f, is_more_than_needed, (struct span){"", 0});
}

/* --- facts from facts -------------------------------------------------------------------------------------
 */

/* "10.11.6-MariaDB" is 101106, "5.5.5-10.4.1-MariaDB" 100401, "9.7.4-2" 90704. */
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

static void
derive_version(struct doctor_facts *f)
{
	const char *version = doctor_fact(f, "server.version");
	bool mariadb;
	unsigned n;

	if (version == NULL) {
		doctor_fact_printf(f, "set", "SET GLOBAL");
		return;
	}
	n = version_number(version);
	mariadb = strstr(version, "MariaDB") != NULL;
	doctor_fact_printf(f, "server.flavor", "%s", mariadb ? "mariadb" : "mysql");
	doctor_fact_printf(f, "server.name", "%s", mariadb ? "MariaDB" : "MySQL");
	doctor_fact_printf(f, "server.number", "%u", n);
	doctor_fact_printf(f, "needed.monitor", "%s",
			   mariadb && n >= 100502 ? "BINLOG MONITOR" : "REPLICATION CLIENT");
	doctor_fact_printf(f, "set", "%s",
			   !mariadb && n >= 80000 && !doctor_off(f, "persisted_globals_load") ? "SET PERSIST"
											      : "SET GLOBAL");
	doctor_fact_printf(f, "text.variable", "%s",
			   mariadb ? "binlog_annotate_row_events" : "binlog_rows_query_log_events");
	doctor_fact_printf(f, "format.better", "%s", mariadb ? "MIXED" : "ROW");
	doctor_fact_printf(f, "word.replica", "%s", !mariadb && n >= 80022 ? "REPLICA" : "SLAVE");
}

/* One fact for a variable that servers call by different names, and one for its name on this server. */
static void
derive_names(struct doctor_facts *f)
{
	static const struct {
		const char *fact, *now, *before;
	} names[] = {
	    {"replica.updates", "log_replica_updates", "log_slave_updates"},
	    {"replica.packet", "replica_max_allowed_packet", "slave_max_allowed_packet"},
	    {"replica.workers", "replica_parallel_workers", "slave_parallel_workers"},
	    {"replica.order", "replica_preserve_commit_order", "slave_preserve_commit_order"},
	    {"semi_sync.enabled", "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"},
	    {"semi_sync.point", "rpl_semi_sync_source_wait_point", "rpl_semi_sync_master_wait_point"},
	    {"semi_sync.timeout", "rpl_semi_sync_source_timeout", "rpl_semi_sync_master_timeout"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = doctor_fact(f, names[i].now) != NULL ? names[i].now : names[i].before;
		const char *value = doctor_fact(f, name);
		char label[40];

		if (value == NULL)
			continue;
		snprintf(label, sizeof(label), "%s.name", names[i].fact);
		doctor_fact_printf(f, label, "%s", name);
		doctor_fact_printf(f, names[i].fact, "%s", value);
	}
}

static void
derive_expiry(struct doctor_facts *f)
{
	const char *seconds = doctor_fact(f, "binlog_expire_logs_seconds");
	const char *days = doctor_fact(f, "expire_logs_days"), *set = doctor_text(f, "set");
	bool mariadb = doctor_is(f, "server.flavor", "mariadb");
	double s = doctor_number(f, "binlog_expire_logs_seconds");

	if (seconds == NULL && days == NULL)
		return;
	if (s <= 0)
		s = doctor_number(f, "expire_logs_days") * 86400;
	/* MySQL, unlike MariaDB, takes only one of the two. */
	if (doctor_off(f, "binlog_expire_logs_auto_purge"))
		doctor_fact_printf(f, "expiry.mend", "%s binlog_expire_logs_auto_purge=ON", set);
	else if (seconds == NULL)
		doctor_fact_printf(f, "expiry.mend", "%s expire_logs_days=7", set);
	else if (!mariadb && doctor_number(f, "expire_logs_days") > 0)
		doctor_fact_printf(f, "expiry.mend",
				   "%s expire_logs_days=0; %s binlog_expire_logs_seconds=604800", set, set);
	else
		doctor_fact_printf(f, "expiry.mend", "%s binlog_expire_logs_seconds=604800", set);
	if (doctor_fact(f, "reach.s") != NULL)
		doctor_fact_printf(f, "reach.text", ", the oldest from %s s ago", doctor_fact(f, "reach.s"));
	else
		doctor_fact_printf(f, "reach.text", "%s", "");
	doctor_fact_printf(f, "expiry.s", "%.0f", doctor_off(f, "binlog_expire_logs_auto_purge") ? 0 : s);
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
	const char *pos = doctor_fact(f, "gtid_binlog_pos");
	double id = doctor_number(f, "our.server_id");
	bool cipher = doctor_text(f, "cipher")[0] != '\0';

	derive_version(f);
	derive_names(f);
	derive_expiry(f);
	if (pos != NULL)
		doctor_fact_printf(f, "gtid.domains", "%u", count_domains(pos));
	if (doctor_fact(f, "our.server_id") != NULL)
		doctor_fact_printf(f, "free.server_id", "%.0f", id + (id < UINT32_MAX ? 1 : -1));
	if (doctor_fact(f, "cipher") != NULL)
		doctor_fact_printf(
		    f, "tls.text", "%s%s",
		    cipher ? doctor_text(f, "cipher") : "none; the database is on this machine",
		    cipher && doctor_is(f, "our.tls", "verify") ? ", certificate verified" : "");
	doctor_fact_printf(f, "replica.text", "%s", doctor_on(f, "replica") ? "a replica" : "not a replica");
}
