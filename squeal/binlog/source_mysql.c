#include "squeal/binlog/source_mysql.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "squeal/binlog/conn_mysql.h"

struct source_mysql {
	struct source source; /* first */
	const struct source_options *opt;
	char *region;
	struct conn *conn;
	bool stop_at_end;
	bool need_rows;
	bool has_begun; /* the server has found the position */
	uint32_t server_id;
	struct buf version;
	struct buf start;
	struct buf sql;
};

/* What the server is set to. */
struct setup {
	bool log_bin;
	bool annotates;
	bool statement_only;
	uint64_t server_id;
	char format[32];
	char checksum[32];
};

static struct source_mysql *
of(struct source *s)
{
	return (struct source_mysql *)s;
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

static void
take_setup(void *arg, const struct span *v, unsigned n)
{
	struct setup *s = arg;

	s->log_bin = span_is(v[0], "1");
	snprintf(s->format, sizeof(s->format), "%.*s", SPAN_FMT(span_first(v[1], 31)));
	s->statement_only = span_is(v[1], "STATEMENT");
	s->annotates = span_is(v[2], "1");
	span_u64(v[3], &s->server_id);
	snprintf(s->checksum, sizeof(s->checksum), "%.*s", SPAN_FMT(span_first(v[4], 31)));
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
	err_t err;

	err =
	    conn_ask(s->conn,
		     "SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_annotate_row_events, "
		     "@@global.server_id, @@global.binlog_checksum",
		     take_setup, setup, why);
	if (err != ERR_OK)
		return err;
	if (!setup->log_bin)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes no binlog (log_bin=OFF): put log_bin and server_id=1 into the "
		    "[mariadb] section of its configuration and restart it");
	if (!setup->annotates && !setup->statement_only)
		return err_set(
		    why, ERR_SOURCE_SETUP,
		    "the database writes rows without the text of their statements (binlog_format=%s, "
		    "binlog_annotate_row_events=OFF), so keys in comments are lost: run SET GLOBAL "
		    "binlog_annotate_row_events=ON, set it in its configuration too, and let applications "
		    "connect again",
		    setup->format);
	if (s->need_rows) {
		err = check_rows(setup, why);
		if (err != ERR_OK)
			return err;
	}
	if (setup->server_id == s->server_id)
		return err_set(why, ERR_SOURCE_SETUP,
			       "source.server_id %u is the database's own server_id: choose another one",
			       s->server_id);
	return ERR_OK;
}

/* --- where to start ---------------------------------------------------------------------------------------
 */

static err_t
find_earliest(struct source_mysql *s, struct err_detail *why)
{
	struct buf file = BUF_INIT;
	err_t err;

	err = conn_value(s->conn, "SHOW BINARY LOGS", &file, why);
	if (err != ERR_OK)
		goto done;
	if (file.len == 0 || span_find(buf_span(&file), SPAN_LIT("'")) >= 0 ||
	    span_find(buf_span(&file), SPAN_LIT("\\")) >= 0) {
		err = err_set(why, ERR_PROTOCOL, "the database lists no binlog files");
		goto done;
	}
	buf_clear(&s->sql);
	buf_printf(&s->sql, "SELECT BINLOG_GTID_POS('%s', 4)", buf_str(&file));
	err = conn_value(s->conn, buf_str(&s->sql), &s->start, why);
done:
	buf_fini(&file);
	return err;
}

/* Leaves the position in s->start.  It goes into SQL, so wherever it came from it is read and written anew.
 */
static err_t
find_start(struct source_mysql *s, struct span from, struct err_detail *why)
{
	struct gtid_pos pos = {0};
	err_t err = ERR_OK;

	buf_clear(&s->start);
	from = span_trim(from);
	if (from.len == 0 || span_is(from, "now"))
		err = conn_value(s->conn, "SELECT @@global.gtid_binlog_pos", &s->start, why);
	else if (span_is(from, "earliest"))
		err = find_earliest(s, why);
	else
		buf_put_span(&s->start, span_starts(from, SPAN_LIT("gtid:")) ? span_from(from, 5) : from);
	if (err != ERR_OK)
		goto done;
	err = gtid_pos_parse(buf_span(&s->start), &pos, why);
	if (err != ERR_OK) {
		err_wrap(why, "where to start (source.start, or the checkpoint)");
		err = ERR_CONFIG;
		goto done;
	}
	buf_clear(&s->start);
	gtid_pos_format(&pos, &s->start);
done:
	gtid_pos_fini(&pos);
	return err;
}

/*
 * A server whose binlog has nothing of a domain takes any start in it and goes on with what comes next,
 * whatever was in between.  Where it has something of it, it checks the start itself.
 */
static err_t
check_known(struct source_mysql *s, struct err_detail *why)
{
	struct gtid_pos start = {0}, has = {0};
	struct buf text = BUF_INIT;
	err_t err;

	err = conn_value(s->conn, "SELECT @@global.gtid_binlog_pos", &text, why);
	if (err == ERR_OK)
		err = gtid_pos_parse(buf_span(&text), &has, why);
	if (err == ERR_OK)
		err = gtid_pos_parse(buf_span(&s->start), &start, why);
	for (size_t i = 0; err == ERR_OK && i < start.n; i++) {
		if (gtid_pos_find(&has, start.ids[i].domain) == NULL)
			err = err_set(why, ERR_GAP,
				      "the server's binlog has nothing of GTID domain %u, in which "
				      "everything up to %u-%u-%llu "
				      "was read: it was emptied (RESET MASTER) or is another server's; flush "
				      "the caches, then "
				      "start with source.start: now",
				      start.ids[i].domain, start.ids[i].domain, start.ids[i].server,
				      (unsigned long long)start.ids[i].seq);
	}
	gtid_pos_fini(&start);
	gtid_pos_fini(&has);
	buf_fini(&text);
	return err;
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

static err_t
set_session(struct source_mysql *s, struct err_detail *why)
{
	const struct source_options *opt = s->opt;
	uint64_t a = name_hash(opt, s->region);
	/* The server gives up writing to us after this long; we may be held up by a slow log for a while. */
	unsigned write_timeout = 600;

	buf_clear(&s->sql);
	buf_printf(&s->sql,
		   "SET @master_binlog_checksum=@@global.binlog_checksum, @master_heartbeat_period=%llu, "
		   "@slave_uuid='%08x-%04x-%04x-%04x-%04x%08x', @mariadb_slave_capability=4, "
		   "@slave_connect_state='%.*s', @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0, "
		   "net_write_timeout=%u",
		   (unsigned long long)opt->heartbeat * 1000000, (unsigned)(a >> 32),
		   (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), s->server_id >> 16,
		   s->server_id & 0xffff, (unsigned)(a >> 20), SPAN_FMT(buf_span(&s->start)), write_timeout);
	return conn_do(s->conn, buf_str(&s->sql), why);
}

static void
mysql_close_source(struct source *s)
{
	conn_close(of(s)->conn);
}

static err_t
mysql_open(struct source *source, struct span from, struct err_detail *why)
{
	struct source_mysql *s = of(source);
	struct setup setup = {0};
	err_t err;

	s->has_begun = false;
	err = conn_open(s->conn, why);
	if (err != ERR_OK)
		goto done;
	err = check_setup(s, &setup, why);
	if (err != ERR_OK)
		goto done;
	err = find_start(s, from, why);
	if (err != ERR_OK)
		goto done;
	err = check_known(s, why);
	if (err != ERR_OK)
		goto done;
	err = set_session(s, why);
	if (err != ERR_OK)
		goto done;
	err = conn_dump(s->conn, s->server_id, s->stop_at_end, why);
	if (err != ERR_OK)
		goto done;
	conn_set_timeout(s->conn, s->opt->first_event);
	buf_clear(&s->version);
	buf_put_span(&s->version, conn_version(s->conn));
	source->info = (struct source_info){
	    .server = buf_span(&s->version),
	    .start = buf_span(&s->start),
	    .file = {"", 0},
	    .checksum = strcmp(setup.checksum, "CRC32") == 0 ? BINLOG_CHECKSUM_CRC32 : BINLOG_CHECKSUM_NONE,
	    .server_id = s->server_id,
	    .source_id = (uint32_t)setup.server_id,
	    .connection = conn_id(s->conn),
	};
done:
	if (err != ERR_OK)
		conn_close(s->conn);
	return err;
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
	if (err != ERR_OK)
		return err;
	if (event->len == 0)
		return s->stop_at_end ? ERR_OK : err_set(why, ERR_CONN, "the database ended the stream");
	/* ROTATE and FORMAT_DESCRIPTION come before the server looks for the position inside of the file. */
	if (!s->has_begun && event->len >= BINLOG_HEADER && event->p[4] != BINLOG_TYPE_ROTATE &&
	    event->p[4] != BINLOG_TYPE_FORMAT_DESCRIPTION) {
		s->has_begun = true;
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

	conn_destroy(&s->conn);
	buf_fini(&s->version);
	buf_fini(&s->start);
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
	s->region = mem_strdup(region);
	s->server_id = source_mysql_server_id(opt, region);
	s->conn = conn_create(opt);
	return &s->source;
}

void
source_mysql_need_rows(struct source *s)
{
	of(s)->need_rows = true;
}

void
source_mysql_stop_at_end(struct source *s)
{
	of(s)->stop_at_end = true;
}
