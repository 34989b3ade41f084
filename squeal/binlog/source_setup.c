#include "squeal/binlog/source_setup.h"

#include <stdio.h>
#include <string.h>

static bool
is_on(struct span v)
{
	return span_is(v, "ON") || span_is(v, "1");
}

static void
take_text(char *to, size_t size, struct span v)
{
	snprintf(to, size, "%.*s", SPAN_FMT(span_first(v, size - 1)));
}

static void
take_setup(void *arg, const struct span *v, unsigned n)
{
	struct source_setup *s = arg;

	if (span_is(v[0], "log_bin"))
		s->log_bin = is_on(v[1]);
	else if (span_is(v[0], "binlog_format"))
		take_text(s->format, sizeof(s->format), v[1]);
	else if (span_is(v[0], "binlog_annotate_row_events") || span_is(v[0], "binlog_rows_query_log_events"))
		s->annotates = is_on(v[1]);
	else if (span_is(v[0], "log_slave_updates") || span_is(v[0], "log_replica_updates"))
		s->logs_updates = is_on(v[1]);
	else if (span_is(v[0], "read_only"))
		s->read_only = is_on(v[1]);
	else if (span_is(v[0], "server_id"))
		span_u64(v[1], &s->server_id);
	else if (span_is(v[0], "server_uuid"))
		take_text(s->uuid, sizeof(s->uuid), v[1]);
	else if (span_is(v[0], "binlog_checksum"))
		take_text(s->checksum, sizeof(s->checksum), v[1]);
	else if (span_is(v[0], "gtid_mode"))
		take_text(s->gtid_mode, sizeof(s->gtid_mode), v[1]);
}

/* Not every server has every one of them. */
static const char question_setup[] =
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'binlog_annotate_row_events', "
    "'binlog_rows_query_log_events', 'log_slave_updates', 'log_replica_updates', 'server_id', 'server_uuid', "
    "'binlog_checksum', 'gtid_mode', 'read_only')";

static void
note_a_row(void *arg, const struct span *v, unsigned n)
{
	*(bool *)arg = true;
}

/*
 * A replica with log_slave_updates=OFF has in its binlog only what was written to it directly: all that it
 * replicates would be missed.  Asking takes a privilege that we may not have on MariaDB, which then shows it
 * by its positions.
 */
static err_t
check_updates_logged(struct conn *c, const struct source_setup *setup, struct err_detail *why)
{
	struct err_detail first = {0}, second = {0};
	struct endpoint_text at = endpoint_text(conn_endpoint(c));
	bool replica = false;
	err_t err;

	if (setup->logs_updates)
		return ERR_OK;
	err = conn_ask(c, "SHOW SLAVE STATUS", note_a_row, &replica, &first);
	if (err == ERR_PROTOCOL)
		err = conn_ask(c, "SHOW REPLICA STATUS", note_a_row, &replica, &second);
	if (err == ERR_PRIVILEGE && setup->mariadb)
		err = conn_ask(c,
			       "SELECT 1 FROM DUAL WHERE @@global.gtid_slave_pos <> '' AND "
			       "@@global.gtid_current_pos <> @@global.gtid_binlog_pos",
			       note_a_row, &replica, &second);
	if (err != ERR_OK) {
		*why = second.code != ERR_OK ? second : first;
		return err;
	}
	if (replica)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "%s is a replica with log_slave_updates=OFF: what it replicates is not in its "
		    "binlog, so it cannot be a source; set log_slave_updates=ON (MySQL 8.0.26 and later: "
		    "log_replica_updates) in its configuration and restart it, or name the primary",
		    at.text);
	return ERR_OK;
}

/* Column names are not asked for: what binlog_row_metadata leaves out, schema.h finds. */
static err_t
check_rows(const struct source_setup *setup, struct err_detail *why)
{
	if (strcmp(setup->format, "ROW") == 0)
		return ERR_OK;
	return err_set(
	    why, ERR_SOURCE_SETUP,
	    "rules (markers.rules) need every change as rows, and the database has binlog_format=%s: run "
	    "SET GLOBAL binlog_format=ROW, set it in its configuration too, and let applications connect "
	    "again",
	    setup->format);
}

err_t
source_setup_ask(struct conn *c, const struct source_needs *needs, struct source_setup *setup,
		 struct err_detail *why)
{
	const char *texts =
	    conn_flavour(c) == CONN_MARIADB ? "binlog_annotate_row_events" : "binlog_rows_query_log_events";
	err_t err;

	setup->mariadb = conn_flavour(c) == CONN_MARIADB;
	err = conn_ask(c, question_setup, take_setup, setup, why);
	if (err != ERR_OK)
		return err;
	if (!setup->log_bin)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes no binlog (log_bin=OFF): put log_bin and server_id=1 into the "
		    "[%s] section of its configuration and restart it",
		    setup->mariadb ? "mariadb" : "mysqld");
	if (needs->texts && !setup->annotates && strcmp(setup->format, "STATEMENT") != 0)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes rows without the text of their statements (binlog_format=%s, "
		    "%s=OFF), so keys in comments are lost: run SET GLOBAL %s=ON, set it in its "
		    "configuration too, and let applications connect again (or set markers.rules_only when "
		    "all "
		    "keys come from rules)",
		    setup->format, texts, texts);
	if (needs->rows) {
		err = check_rows(setup, why);
		if (err != ERR_OK)
			return err;
	}
	if (setup->server_id == needs->server_id)
		return err_set(why, ERR_SOURCE_SETUP,
			       "source.server_id %u is the database's own server_id: choose another one",
			       needs->server_id);
	return check_updates_logged(c, setup, why);
}
