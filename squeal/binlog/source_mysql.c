#include "squeal/binlog/source_mysql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/buf.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/position.h"
#include "squeal/binlog/resume.h"
#include "squeal/binlog/watch.h"

enum { START_OF_FILE = 4 };

struct source_mysql {
	struct source source; /* first */
	const struct source_options *opt;
	const struct clock *clock;
	char *region;
	struct conn *conn;
	bool stop_at_end;
	bool need_rows;
	bool has_begun; /* the server has found the position */
	bool failed;	/* the stream ended with an error: try the next endpoint first */
	uint32_t server_id;

	struct endpoints endpoints;
	size_t current; /* index of the endpoint that was opened last */
	/* Of the endpoints that will never have our position, until a stream has begun at another one. */
	struct err_detail never[ENDPOINTS_MAX];
	bool lacks;	  /* the endpoint that was tried lacks what we have read, and may still get it */
	bool was_missing; /* in the last round an endpoint answered that lacks our position */
	bool is_missing;  /* no endpoint has our position … */
	uint64_t missing_since; /* … and this is how long */

	source_lost_fn *may_rewind; /* NULL: never */
	void *rewind_arg;
	bool rewinds;			  /* the second pass: what could be rewound to is tried … */
	bool could_rewind[ENDPOINTS_MAX]; /* … as the first one found out */
	bool patience_over;		  /* … read-only ones too */

	struct watch *watch;			/* NULL where there is nothing to watch */
	struct err_detail stale[ENDPOINTS_MAX]; /* of those that were left for being stale … */
	uint64_t stale_since;			/* … the last of them at this time */

	struct buf version;
	struct buf start;
	struct buf note;
	struct buf lost;
	struct buf sql;
};

/* What the server is set to. */
struct setup {
	bool mariadb;
	bool log_bin;
	bool annotates;
	bool logs_updates;
	bool read_only;
	uint64_t server_id;
	char uuid[40];
	char format[32];
	char checksum[32];
	char gtid_mode[24];
};

static struct source_mysql *
of(struct source *s)
{
	return (struct source_mysql *)s;
}

static const char *
where(const struct source_mysql *s, struct endpoint_text *text)
{
	*text = endpoint_text(conn_endpoint(s->conn));
	return text->text;
}

static uint64_t
name_hash(const struct source_options *opt, const char *region)
{
	struct buf b = BUF_INIT;
	uint64_t h;

	buf_printf(&b, "%s/%s", region, opt->name);
	h = hash_span(buf_span(&b), 0);
	buf_fini(&b);
	return h;
}

uint32_t
source_mysql_server_id(const struct source_options *opt, const char *region)
{
	enum { LEAST = 1 << 16 };

	if (opt->server_id != 0)
		return (uint32_t)opt->server_id;
	return (uint32_t)(LEAST + name_hash(opt, region) % (UINT32_MAX - LEAST));
}

/* --- what the server must be set to -----------------------------------------------------------------------
 */

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
	struct setup *s = arg;

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
check_updates_logged(struct source_mysql *s, const struct setup *setup, struct err_detail *why)
{
	struct err_detail first = {0}, second = {0};
	struct endpoint_text at;
	bool replica = false;
	err_t err;

	if (setup->logs_updates)
		return ERR_OK;
	err = conn_ask(s->conn, "SHOW SLAVE STATUS", note_a_row, &replica, &first);
	if (err == ERR_PROTOCOL)
		err = conn_ask(s->conn, "SHOW REPLICA STATUS", note_a_row, &replica, &second);
	if (err == ERR_PRIVILEGE && setup->mariadb)
		err = conn_ask(s->conn,
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
		    where(s, &at));
	return ERR_OK;
}

/* Column names are not asked for: what binlog_row_metadata leaves out, schema.h finds. */
static err_t
check_rows(const struct setup *setup, struct err_detail *why)
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

static err_t
check_setup(struct source_mysql *s, struct setup *setup, struct err_detail *why)
{
	const char *texts = conn_flavour(s->conn) == CONN_MARIADB ? "binlog_annotate_row_events"
								  : "binlog_rows_query_log_events";
	err_t err;

	setup->mariadb = conn_flavour(s->conn) == CONN_MARIADB;
	err = conn_ask(s->conn, question_setup, take_setup, setup, why);
	if (err != ERR_OK)
		return err;
	if (!setup->log_bin)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes no binlog (log_bin=OFF): put log_bin and server_id=1 into the "
		    "[%s] section of its configuration and restart it",
		    setup->mariadb ? "mariadb" : "mysqld");
	/* With rules alone texts are not needed. */
	if (!setup->annotates && strcmp(setup->format, "STATEMENT") != 0)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes rows without the text of their statements (binlog_format=%s, "
		    "%s=OFF), so keys in comments are lost: run SET GLOBAL %s=ON, set it in its "
		    "configuration "
		    "too, and let applications connect again",
		    setup->format, texts, texts);
	if (s->need_rows) {
		err = check_rows(setup, why);
		if (err != ERR_OK)
			return err;
	}
	if (setup->server_id == s->server_id)
		return err_set(why, ERR_SOURCE_SETUP,
			       "source.server_id %u is the database's own server_id: choose another one",
			       s->server_id);
	return check_updates_logged(s, setup, why);
}

/* --- where to start ---------------------------------------------------------------------------------------
 */

/* Names and positions go into SQL. */
static err_t
check_file_name(struct source_mysql *s, struct span file, struct err_detail *why)
{
	if (file.len == 0 || span_find(file, SPAN_LIT("'")) >= 0 || span_find(file, SPAN_LIT("\\")) >= 0)
		return err_set(why, ERR_PROTOCOL, "the database lists no binlog files");
	return ERR_OK;
}

/* MariaDB: the GTIDs at a place in a file, into `to`. */
static err_t
convert_file(struct source_mysql *s, struct span file, uint64_t pos, struct position *to,
	     struct err_detail *why)
{
	struct buf text = BUF_INIT;
	struct endpoint_text at;
	err_t err;

	err = check_file_name(s, file, why);
	if (err != ERR_OK)
		goto done;
	buf_clear(&s->sql);
	/* The function takes 32 bits; what lies beyond is read again from the beginning of the file. */
	buf_printf(&s->sql, "SELECT IFNULL(BINLOG_GTID_POS('%.*s', %llu), '?')", SPAN_FMT(file),
		   (unsigned long long)(pos <= UINT32_MAX ? pos : START_OF_FILE));
	err = conn_value(s->conn, buf_str(&s->sql), &text, why);
	if (err != ERR_OK)
		goto done;
	if (text.len > 0 && text.p[0] == '?')
		err = err_set(
		    why, ERR_PURGED,
		    "%s does not have the place %.*s:%llu in its binlog: the file was purged, lost its "
		    "end, or is another server's; what followed is not known: flush the caches, then "
		    "start with source.start: now",
		    where(s, &at), SPAN_FMT(span_first(file, 160)), (unsigned long long)pos);
	else
		err = position_parse(buf_span(&text), to, why);
done:
	buf_fini(&text);
	return err;
}

struct place {
	struct buf file;
	uint64_t pos;
	bool taken;
};

static void
take_place(void *arg, const struct span *v, unsigned n)
{
	struct place *p = arg;

	if (p->taken || n < 2)
		return;
	buf_put_span(&p->file, v[0]);
	p->taken = span_u64(v[1], &p->pos);
}

/* MySQL renamed it with 8.2 and took the old name away with 8.4. */
static err_t
ask_end(struct source_mysql *s, struct place *end, struct err_detail *why)
{
	struct err_detail first = {0};
	err_t err;

	err = conn_ask(s->conn, "SHOW MASTER STATUS", take_place, end, &first);
	if (err == ERR_PROTOCOL)
		err = conn_ask(s->conn, "SHOW BINARY LOG STATUS", take_place, end, why);
	else if (err != ERR_OK)
		*why = first;
	return err;
}

/* MySQL without GTIDs: where its binlog begins or ends. */
static err_t
find_place(struct source_mysql *s, const struct setup *setup, bool earliest, struct position *out,
	   struct err_detail *why)
{
	struct place p = {.file = BUF_INIT};
	err_t err;

	if (earliest)
		err = conn_ask(s->conn, "SHOW BINARY LOGS", take_place, &p, why);
	else
		err = ask_end(s, &p, why);
	if (err == ERR_OK && !p.taken)
		err = err_set(why, ERR_PROTOCOL, "the database lists no binlog files");
	if (err != ERR_OK)
		goto done;
	out->kind = POSITION_FILE;
	out->pos = earliest ? START_OF_FILE : p.pos;
	buf_put_span(&out->file, buf_span(&p.file));
	buf_put_str(&out->uuid, setup->uuid);
done:
	buf_fini(&p.file);
	return err;
}

static err_t
find_earliest(struct source_mysql *s, struct position *out, struct err_detail *why)
{
	struct place first = {.file = BUF_INIT};
	err_t err;

	err = conn_ask(s->conn, "SHOW BINARY LOGS", take_place, &first, why);
	if (err == ERR_OK)
		err = convert_file(s, buf_span(&first.file), START_OF_FILE, out, why);
	buf_fini(&first.file);
	return err;
}

/* The start as a position; `from` may have come from anywhere. */
static err_t
find_start(struct source_mysql *s, const struct setup *setup, const struct resume_server *server,
	   struct span from, struct position *out, struct err_detail *why)
{
	bool earliest = false;
	struct buf value = BUF_INIT;
	err_t err = ERR_OK;

	from = span_trim(from);
	earliest = span_is(from, "earliest");
	if (from.len > 0 && !span_is(from, "now") && !earliest) {
		err = position_parse(from, out, why);
		if (err != ERR_OK) {
			err_wrap(why, "where to start (source.start, or the checkpoint)");
			err = ERR_CONFIG;
		} else if (out->kind == POSITION_FILE && setup->mariadb) {
			struct position gtids = {0};

			err = convert_file(s, buf_span(&out->file), out->pos, &gtids, why);
			if (err == ERR_OK)
				position_copy(out, &gtids);
			position_fini(&gtids);
		} else if (out->kind == POSITION_FILE && out->uuid.len == 0) {
			buf_put_str(&out->uuid, setup->uuid);
		}
	} else if (setup->mariadb) {
		if (earliest)
			err = find_earliest(s, out, why);
		else
			err = conn_value(s->conn, "SELECT @@global.gtid_binlog_pos", &value, why);
		if (err == ERR_OK && !earliest)
			err = position_parse(buf_span(&value), out, why);
	} else if (server->has_gtids) {
		const struct gtid_set *set = earliest ? &server->purged : &server->executed;

		if (set->n > 0) {
			out->kind = POSITION_MYSQL;
			gtid_set_copy(&out->mysql, set);
		}
	} else {
		err = find_place(s, setup, earliest, out, why);
	}
	buf_fini(&value);
	return err;
}

struct file_search {
	struct span name;
	struct resume_server *server;
};

static void
look_for_file(void *arg, const struct span *v, unsigned n)
{
	struct file_search *f = arg;

	if (n >= 2 && span_eq(v[0], f->name))
		f->server->has_file = span_u64(v[1], &f->server->size);
}

static err_t
ask_set(struct source_mysql *s, const char *sql, struct gtid_set *out, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	err = conn_value(s->conn, sql, &text, why);
	if (err == ERR_OK)
		err = gtid_set_parse(buf_span(&text), out, why);
	buf_fini(&text);
	return err;
}

/* What the server says about its history.  gtid_purged is asked last: it only grows. */
static err_t
ask_history(struct source_mysql *s, const struct setup *setup, struct resume_server *server,
	    struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;

	server->mariadb = setup->mariadb;
	server->logs_updates = setup->logs_updates;
	server->server_id = (uint32_t)setup->server_id;
	server->has_gtids = strcmp(setup->gtid_mode, "ON") == 0;
	snprintf(server->gtid_mode, sizeof(server->gtid_mode), "%s", setup->gtid_mode);
	snprintf(server->uuid, sizeof(server->uuid), "%s", setup->uuid);
	if (setup->mariadb) {
		err = conn_value(s->conn, "SELECT @@global.gtid_binlog_pos", &text, why);
		if (err == ERR_OK)
			err = gtid_pos_parse(buf_span(&text), &server->binlog, why);
	} else if (server->has_gtids) {
		err = ask_set(s, "SELECT @@global.gtid_executed", &server->executed, why);
		if (err == ERR_OK)
			err = ask_set(s, "SELECT @@global.gtid_purged", &server->purged, why);
	}
	buf_fini(&text);
	return err;
}

/* They are streamed like all others; that they are there may be news to somebody. */
static void
note_new_servers(struct source_mysql *s, const struct position *start, const struct resume_server *server)
{
	struct buf set = BUF_INIT;

	resume_put_new_servers(start, server, &set);
	if (set.len > 0)
		buf_printf(
		    &s->note,
		    "%s has transactions of servers that we have read nothing of, and they are read now, as "
		    "after a promotion: %.*s",
		    server->at, SPAN_FMT(span_first(buf_span(&set), 300)));
	buf_fini(&set);
}

/* A server that lacks what we have read: true when it is followed all the same, from *start then. */
static bool
rewind_to(struct source_mysql *s, const struct setup *setup, const struct resume_server *server,
	  struct position *start, struct err_detail *why)
{
	struct position to = {0};
	struct gtid_set lost = {0};
	bool ok = false;

	if (s->rewinds && (!setup->read_only || s->patience_over)) {
		resume_rewind(start, server, &to, &lost);
		err_clear(why);
		ok = s->may_rewind(s->rewind_arg, &lost, why) == ERR_OK;
		/* It may get them after all, and what refused may work later: until the patience is over. */
		if (!ok)
			why->code = ERR_CONN;
	}
	if (ok) {
		gtid_set_format(&lost, &s->lost);
		position_copy(start, &to);
	}
	position_fini(&to);
	gtid_set_fini(&lost);
	return ok;
}

/* Finds the start and proves that the server can go on from there. */
static err_t
resolve_start(struct source_mysql *s, size_t index, const struct setup *setup, struct span from,
	      struct position *start, struct err_detail *why)
{
	struct resume_server server = {0};
	struct endpoint_text at;
	enum resume verdict;
	err_t err;

	buf_clear(&s->lost);
	server.at = where(s, &at);
	err = ask_history(s, setup, &server, why);
	if (err == ERR_OK)
		err = find_start(s, setup, &server, from, start, why);
	if (err == ERR_OK && start->kind == POSITION_FILE) {
		struct file_search f = {buf_span(&start->file), &server};

		err = conn_ask(s->conn, "SHOW BINARY LOGS", look_for_file, &f, why);
	}
	if (err != ERR_OK)
		goto done;
	verdict = resume_from(start, &server, why);
	s->could_rewind[index] = verdict == RESUME_REWIND;
	if (verdict == RESUME_REWIND && rewind_to(s, setup, &server, start, why))
		verdict = RESUME_YES;
	if (verdict != RESUME_YES) {
		err = why->code;
		s->lacks = verdict == RESUME_LATER || verdict == RESUME_REWIND;
		goto done;
	}
	buf_clear(&s->note);
	if (start->kind == POSITION_FILE && resume_file_pos(start) != start->pos) {
		buf_printf(&s->note,
			   "the checkpoint is beyond 4 GiB of %.*s, which cannot be asked for: the "
			   "file is read again from its beginning",
			   SPAN_FMT(span_first(buf_span(&start->file), 160)));
		start->pos = resume_file_pos(start);
	}
	if (!span_is(span_trim(from), "earliest"))
		note_new_servers(s, start, &server);
	s->source.info.has_gtids = server.has_gtids;
done:
	resume_server_fini(&server);
	return err;
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

static void
put_uuid(struct source_mysql *s, struct buf *out)
{
	uint64_t a = name_hash(s->opt, s->region);

	buf_printf(out, "'%08x-%04x-%04x-%04x-%04x%08x'", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
		   (unsigned)(a & 0xffff), s->server_id >> 16, s->server_id & 0xffff, (unsigned)(a >> 20));
}

static err_t
set_session(struct source_mysql *s, const struct setup *setup, const struct position *start,
	    struct err_detail *why)
{
	unsigned long long heartbeat = (unsigned long long)s->opt->heartbeat * 1000000;
	/* The server gives up writing to us after this long; we may be held up by a slow log for a while. */
	unsigned write_timeout = 600;

	buf_clear(&s->sql);
	buf_printf(&s->sql,
		   "SET @master_binlog_checksum=@@global.binlog_checksum, @master_heartbeat_period=%llu, "
		   "net_write_timeout=%u, @slave_uuid=",
		   heartbeat, write_timeout);
	put_uuid(s, &s->sql);
	if (setup->mariadb) {
		buf_put_str(&s->sql, ", @mariadb_slave_capability=4, @slave_gtid_strict_mode=1, "
				     "@slave_gtid_ignore_duplicates=0, @slave_connect_state='");
		gtid_pos_format(&start->mariadb, &s->sql);
		buf_put_str(&s->sql, "'");
	} else {
		/* The names since MySQL 8.0.26, which knows the old ones too. */
		buf_printf(
		    &s->sql,
		    ", @source_binlog_checksum=@@global.binlog_checksum, @source_heartbeat_period=%llu, "
		    "@replica_uuid=",
		    heartbeat);
		put_uuid(s, &s->sql);
	}
	return conn_do(s->conn, buf_str(&s->sql), why);
}

static err_t
ask_for_stream(struct source_mysql *s, const struct setup *setup, const struct position *start,
	       struct err_detail *why)
{
	struct buf gtids = BUF_INIT;
	struct dump d = {
	    .flags = (uint16_t)((setup->mariadb ? DUMP_SEND_ANNOTATE_ROWS : DUMP_SEND_HEARTBEAT_V2) |
				(s->stop_at_end ? DUMP_STOP_AT_END : 0)),
	    .server_id = s->server_id,
	    .file = {"", 0},
	    .pos = START_OF_FILE, /* of MariaDB not used, @slave_connect_state is */
	};
	err_t err;

	if (start->kind == POSITION_FILE) {
		d.file = buf_span(&start->file);
		d.pos = start->pos;
	}
	/* A file may have transactions of the time before GTIDs, which only those get who go by file. */
	if (!setup->mariadb && s->source.info.has_gtids && start->kind != POSITION_FILE) {
		d.by_gtid = true;
		gtid_set_encode(&start->mysql, &gtids);
		d.gtids = buf_span(&gtids);
	}
	err = conn_dump(s->conn, &d, why);
	buf_fini(&gtids);
	return err;
}

static void
mysql_close_source(struct source *s)
{
	conn_close(of(s)->conn);
}

static err_t
open_endpoint(struct source_mysql *s, size_t index, struct span from, struct err_detail *why)
{
	struct source_info *info = &s->source.info;
	struct position start = {0};
	struct setup setup = {0};
	err_t err;

	s->has_begun = false;
	*info = (struct source_info){0};
	err = conn_open_at(s->conn, &s->endpoints.at[index], why);
	if (err == ERR_OK)
		err = check_setup(s, &setup, why);
	if (err == ERR_OK)
		err = resolve_start(s, index, &setup, from, &start, why);
	if (err == ERR_OK)
		err = set_session(s, &setup, &start, why);
	if (err == ERR_OK)
		err = ask_for_stream(s, &setup, &start, why);
	if (err != ERR_OK)
		goto done;
	conn_set_timeout(s->conn, s->opt->first_event);
	buf_clear(&s->version);
	buf_put_span(&s->version, conn_version(s->conn));
	buf_clear(&s->start);
	position_format(&start, &s->start);
	*info = (struct source_info){
	    .server = buf_span(&s->version),
	    .start = buf_span(&s->start),
	    .note = buf_span(&s->note),
	    .lost = buf_span(&s->lost),
	    .endpoint = conn_endpoint(s->conn),
	    .file = {"", 0},
	    .checksum = strcmp(setup.checksum, "CRC32") == 0 ? BINLOG_CHECKSUM_CRC32 : BINLOG_CHECKSUM_NONE,
	    .server_id = s->server_id,
	    .source_id = (uint32_t)setup.server_id,
	    .has_gtids = info->has_gtids,
	    .connection = conn_id(s->conn),
	};
done:
	if (err != ERR_OK)
		conn_close(s->conn);
	position_fini(&start);
	return err;
}

/* --- several endpoints ------------------------------------------------------------------------------------
 */

/* True when no endpoint is left to wait for: those that could have our position were left for being stale. */
static bool
is_nobody_left(const struct source_mysql *s)
{
	size_t never = 0;

	for (size_t i = 0; i < s->endpoints.n; i++) {
		if (s->never[i].code == ERR_OK && s->stale[i].code == ERR_OK)
			return false;
		never += s->never[i].code != ERR_OK;
	}
	return never > 0;
}

/* True when no endpoint has our position, and one may go on without a part of it. */
static bool
may_rewind(struct source_mysql *s)
{
	bool could = false;

	if (s->may_rewind == NULL || s->stop_at_end)
		return false;
	for (size_t i = 0; i < s->endpoints.n; i++) {
		if (s->stale[i].code != ERR_OK)
			return false;
		could |= s->could_rewind[i];
	}
	s->patience_over =
	    s->is_missing && clock_mono_ms(s->clock) - s->missing_since >= s->opt->gap_patience;
	return could;
}

/* What becomes of a round in which no endpoint could be opened, because of `why`. */
static err_t
judge_round(struct source_mysql *s, bool missing, const struct err_detail *why)
{
	uint64_t now = clock_mono_ms(s->clock);

	if (!missing || is_nobody_left(s))
		return why->code;
	if (!s->is_missing) {
		s->is_missing = true;
		s->missing_since = now;
	}
	if (now - s->missing_since < s->opt->gap_patience)
		return ERR_CONN;
	return resume_is_never(why->code) ? why->code : ERR_BEHIND;
}

static void
break_stream(void *arg)
{
	struct source_mysql *s = arg;

	conn_break(s->conn);
}

static err_t
start_watch(struct source_mysql *s, struct err_detail *why)
{
	if (s->endpoints.n == 1 || s->opt->endpoint_check == 0 || s->stop_at_end)
		return ERR_OK;
	if (s->watch == NULL)
		s->watch = watch_create(s->opt, &s->endpoints, break_stream, s);
	if (s->watch == NULL)
		return err_set(why, ERR_SYS, "no thread or file handle left to watch the endpoints with");
	watch_follow(s->watch, SIZE_MAX);
	return ERR_OK;
}

/* One that was left for being stale is not taken again until a stream has begun at another one, or no other
 * one has answered for a while. */
static void
forgive_stale(struct source_mysql *s)
{
	if (s->stale_since != 0 && !s->was_missing &&
	    clock_mono_ms(s->clock) - s->stale_since > s->opt->gap_patience) {
		memset(s->stale, 0, sizeof(s->stale));
		s->stale_since = 0;
	}
}

/* An endpoint that will never have our position is not asked again: it could get other transactions under the
 * ids of those that it lost. */
static err_t
mysql_open(struct source *source, struct span from, struct err_detail *why)
{
	struct source_mysql *s = of(source);
	size_t n = s->endpoints.n, first = s->current + s->failed;
	struct err_detail reason = {0};
	bool missing = false;
	err_t err = start_watch(s, why);

	if (err != ERR_OK)
		return err;
	forgive_stale(s);
	s->rewinds = false;
	memset(s->could_rewind, 0, sizeof(s->could_rewind));

	for (size_t i = 0; i < 2 * n; i++) {
		size_t index = (first + i) % n;
		struct err_detail one;

		if (i == n) {
			s->rewinds = may_rewind(s);
			if (!s->rewinds)
				break;
		}
		if (s->rewinds && !s->could_rewind[index])
			continue;

		s->lacks = false;
		one = s->never[index].code != ERR_OK ? s->never[index] : s->stale[index];
		err = one.code != ERR_OK ? one.code : open_endpoint(s, index, from, &one);
		if (err == ERR_OK) {
			s->current = index;
			s->failed = false;
			if (s->watch != NULL)
				watch_follow(s->watch, index);
			return ERR_OK;
		}
		one.code = err;
		if (err == ERR_CLOSED) {
			reason = one;
			break;
		}
		if (resume_is_never(err))
			s->never[index] = one;
		/* What is told: why the position is not there, else what the first one said. */
		if (reason.code == ERR_OK || ((resume_is_never(err) || s->lacks) && (!missing || s->rewinds)))
			reason = one;
		/* A place in a file waits for its own server, which may be one of the others. */
		missing |= (resume_is_never(err) && err != ERR_OTHER_SERVER) || s->lacks;
	}
	s->was_missing = missing;
	if (reason.code != ERR_CLOSED)
		reason.code = judge_round(s, missing, &reason);
	if (why != NULL)
		*why = reason;
	return reason.code;
}

/* The stream ended with an error: the next endpoint has its turn, where there is one. */
static err_t
leave_endpoint(struct source_mysql *s, err_t err, struct err_detail *why)
{
	size_t ahead;

	s->failed = true;
	if (s->watch != NULL && watch_is_stale(s->watch, &ahead, &s->stale[s->current])) {
		if (why != NULL)
			*why = s->stale[s->current];
		s->stale_since = clock_mono_ms(s->clock);
		s->current = ahead;
		s->failed = false;
		return ERR_CONN;
	}
	if (!resume_is_never(err))
		return err;
	s->never[s->current].code = err;
	snprintf(s->never[s->current].text, sizeof(s->never[0].text), "%s", err_why(why));
	if (is_nobody_left(s))
		return err;
	if (why != NULL)
		why->code = ERR_CONN;
	return ERR_CONN;
}

static err_t
mysql_next(struct source *source, struct span *event, struct err_detail *why)
{
	struct source_mysql *s = of(source);
	err_t err;

	*event = (struct span){"", 0};
	if (!conn_is_open(s->conn))
		return err_set(why, ERR_CONN, "the stream is not open");
	err = conn_event(s->conn, event, why);
	if (err == ERR_OK && event->len == 0 && !s->stop_at_end)
		err = err_set(why, ERR_CONN, "the database ended the stream");
	if (err != ERR_OK)
		return err == ERR_CLOSED ? err : leave_endpoint(s, err, why);
	/* ROTATE and FORMAT_DESCRIPTION come before the server looks for the position inside of the file. */
	if (!s->has_begun && event->len >= BINLOG_HEADER && event->p[4] != BINLOG_TYPE_ROTATE &&
	    event->p[4] != BINLOG_TYPE_FORMAT_DESCRIPTION) {
		s->has_begun = true;
		memset(s->never, 0, sizeof(s->never));
		memset(s->stale, 0, sizeof(s->stale));
		s->is_missing = false;
		conn_set_timeout(s->conn, s->opt->dead_after);
	}
	return ERR_OK;
}

static void
mysql_interrupt(struct source *s)
{
	conn_interrupt(of(s)->conn);
}

static void
mysql_destroy(struct source *source)
{
	struct source_mysql *s = of(source);

	watch_destroy(&s->watch);
	conn_destroy(&s->conn);
	buf_fini(&s->version);
	buf_fini(&s->start);
	buf_fini(&s->note);
	buf_fini(&s->lost);
	buf_fini(&s->sql);
	free(s->region);
	free(s);
}

struct source *
source_mysql_create(const struct source_options *opt, const char *region)
{
	static const struct source_ops ops = {mysql_open, mysql_next, mysql_interrupt, mysql_close_source,
					      mysql_destroy};
	struct source_mysql *s = MEM_NEW(struct source_mysql);

	s->source.ops = &ops;
	s->opt = opt;
	s->clock = clock_system();
	s->region = mem_strdup(region);
	s->server_id = source_mysql_server_id(opt, region);
	s->conn = conn_create(opt);
	endpoints_of(opt, &s->endpoints);
	return &s->source;
}

void
source_mysql_use_clock(struct source *s, const struct clock *clock)
{
	of(s)->clock = clock;
}

void
source_mysql_need_rows(struct source *s)
{
	of(s)->need_rows = true;
}

void
source_mysql_may_rewind(struct source *s, source_lost_fn *fn, void *arg)
{
	of(s)->may_rewind = fn;
	of(s)->rewind_arg = arg;
}

void
source_mysql_stop_at_end(struct source *s)
{
	of(s)->stop_at_end = true;
}
