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
#include "squeal/binlog/source_setup.h"
#include "squeal/binlog/source_start.h"
#include "squeal/binlog/watch.h"

struct source_mysql {
	struct source source; /* first */
	const struct source_options *opt;
	const struct clock *clock;
	char *region;
	struct conn *conn;
	bool stop_at_end;
	bool need_rows;
	bool without_texts;
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
set_session(struct source_mysql *s, const struct source_setup *setup, const struct position *start,
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
ask_for_stream(struct source_mysql *s, const struct source_setup *setup, const struct source_start *start,
	       struct err_detail *why)
{
	struct buf gtids = BUF_INIT;
	struct dump d = {
	    .flags = (uint16_t)((setup->mariadb ? DUMP_SEND_ANNOTATE_ROWS : DUMP_SEND_HEARTBEAT_V2) |
				(s->stop_at_end ? DUMP_STOP_AT_END : 0)),
	    .server_id = s->server_id,
	    .file = {"", 0},
	    .pos = SOURCE_START_OF_FILE, /* of MariaDB not used, @slave_connect_state is */
	};
	err_t err;

	if (start->at.kind == POSITION_FILE) {
		d.file = buf_span(&start->at.file);
		d.pos = start->at.pos;
	}
	/* A file may have transactions of the time before GTIDs, which only those get who go by file. */
	if (!setup->mariadb && start->has_gtids && start->at.kind != POSITION_FILE) {
		d.by_gtid = true;
		gtid_set_encode(&start->at.mysql, &gtids);
		d.gtids = buf_span(&gtids);
	}
	err = conn_dump(s->conn, &d, why);
	buf_fini(&gtids);
	return err;
}

/* The server lacks start->lost of what was read, as *why says: ERR_OK when it is followed all the same. */
static err_t
rewind_to(struct source_mysql *s, const struct source_setup *setup, const struct source_start *start,
	  struct err_detail *why)
{
	err_t err = why->code;

	if (!s->rewinds || (setup->read_only && !s->patience_over))
		return err;
	err_clear(why);
	if (s->may_rewind(s->rewind_arg, &start->lost, why) == ERR_OK) {
		gtid_set_format(&start->lost, &s->lost);
		return ERR_OK;
	}
	/* It may get them after all, and what refused may work later: until the patience is over. */
	return why->code = err;
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
	struct source_start start = {0};
	struct source_setup setup = {0};
	err_t err;

	s->has_begun = false;
	*info = (struct source_info){0};
	err = conn_open_at(s->conn, &s->endpoints.at[index], why);
	if (err == ERR_OK)
		err = source_setup_ask(s->conn,
				       &(struct source_needs){s->server_id, s->need_rows, !s->without_texts},
				       &setup, why);
	if (err == ERR_OK)
		err = source_start_find(&start, s->conn, &setup, from, why);
	s->lacks = start.is_behind;
	s->could_rewind[index] = start.lost.n > 0;
	buf_clear(&s->lost);
	if (s->could_rewind[index])
		err = rewind_to(s, &setup, &start, why);
	if (err == ERR_OK)
		err = set_session(s, &setup, &start.at, why);
	if (err == ERR_OK)
		err = ask_for_stream(s, &setup, &start, why);
	if (err != ERR_OK)
		goto done;
	conn_set_timeout(s->conn, s->opt->first_event);
	buf_clear(&s->version);
	buf_put_span(&s->version, conn_version(s->conn));
	buf_clear(&s->start);
	position_format(&start.at, &s->start);
	buf_clear(&s->note);
	buf_put_span(&s->note, buf_span(&start.note));
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
	    .has_gtids = start.has_gtids,
	    .connection = conn_id(s->conn),
	};
done:
	if (err != ERR_OK)
		conn_close(s->conn);
	source_start_fini(&start);
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
	/* As it was when the round began: a round that ends it has not tried all that is tried afterwards. */
	if (!s->patience_over && s->opt->gap_patience > 0)
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
	s->patience_over =
	    s->is_missing && clock_mono_ms(s->clock) - s->missing_since >= s->opt->gap_patience;
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
source_mysql_without_texts(struct source *s)
{
	of(s)->without_texts = true;
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
