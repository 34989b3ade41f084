#include "squeal/binlog/source_start.h"

#include <stdio.h>
#include <string.h>

#include "squeal/binlog/resume.h"

void
source_start_fini(struct source_start *start)
{
	position_fini(&start->at);
	gtid_set_fini(&start->lost);
	buf_fini(&start->note);
}

/* Names and positions go into SQL. */
static err_t
check_file_name(struct span file, struct err_detail *why)
{
	if (file.len == 0 || span_find(file, SPAN_LIT("'")) >= 0 || span_find(file, SPAN_LIT("\\")) >= 0)
		return err_set(why, ERR_PROTOCOL, "the database lists no binlog files");
	return ERR_OK;
}

/* MariaDB: the GTIDs at a place in a file, into `to`. */
static err_t
convert_file(struct conn *c, struct span file, uint64_t pos, struct position *to, struct err_detail *why)
{
	struct buf text = BUF_INIT, sql = BUF_INIT;
	struct endpoint_text at = endpoint_text(conn_endpoint(c));
	err_t err;

	err = check_file_name(file, why);
	if (err != ERR_OK)
		goto done;
	/* The function takes 32 bits; what lies beyond is read again from the beginning of the file. */
	buf_printf(&sql, "SELECT IFNULL(BINLOG_GTID_POS('%.*s', %llu), '?')", SPAN_FMT(file),
		   (unsigned long long)(pos <= UINT32_MAX ? pos : SOURCE_START_OF_FILE));
	err = conn_value(c, buf_str(&sql), &text, why);
	if (err != ERR_OK)
		goto done;
	if (text.len > 0 && text.p[0] == '?')
		err = err_set(
		    why, ERR_PURGED,
		    "%s does not have the place %.*s:%llu in its binlog: the file was purged, lost its "
		    "end, or is another server's; what followed is not known: flush the caches, then "
		    "start with source.start: now",
		    at.text, SPAN_FMT(span_first(file, 160)), (unsigned long long)pos);
	else
		err = position_parse(buf_span(&text), to, why);
done:
	buf_fini(&text);
	buf_fini(&sql);
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
ask_end(struct conn *c, struct place *end, struct err_detail *why)
{
	struct err_detail first = {0};
	err_t err;

	err = conn_ask(c, "SHOW MASTER STATUS", take_place, end, &first);
	if (err == ERR_PROTOCOL)
		err = conn_ask(c, "SHOW BINARY LOG STATUS", take_place, end, why);
	else if (err != ERR_OK)
		*why = first;
	return err;
}

/* MySQL without GTIDs: where its binlog begins or ends. */
static err_t
find_place(struct conn *c, const struct source_setup *setup, bool earliest, struct position *out,
	   struct err_detail *why)
{
	struct place p = {.file = BUF_INIT};
	err_t err;

	if (earliest)
		err = conn_ask(c, "SHOW BINARY LOGS", take_place, &p, why);
	else
		err = ask_end(c, &p, why);
	if (err == ERR_OK && !p.taken)
		err = err_set(why, ERR_PROTOCOL, "the database lists no binlog files");
	if (err != ERR_OK)
		goto done;
	out->kind = POSITION_FILE;
	out->pos = earliest ? SOURCE_START_OF_FILE : p.pos;
	buf_put_span(&out->file, buf_span(&p.file));
	buf_put_str(&out->uuid, setup->uuid);
done:
	buf_fini(&p.file);
	return err;
}

static err_t
find_earliest(struct conn *c, struct position *out, struct err_detail *why)
{
	struct place first = {.file = BUF_INIT};
	err_t err;

	err = conn_ask(c, "SHOW BINARY LOGS", take_place, &first, why);
	if (err == ERR_OK)
		err = convert_file(c, buf_span(&first.file), SOURCE_START_OF_FILE, out, why);
	buf_fini(&first.file);
	return err;
}

/* The start as a position; `from` may have come from anywhere. */
static err_t
find_start(struct conn *c, const struct source_setup *setup, const struct resume_server *server,
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

			err = convert_file(c, buf_span(&out->file), out->pos, &gtids, why);
			if (err == ERR_OK)
				position_copy(out, &gtids);
			position_fini(&gtids);
		} else if (out->kind == POSITION_FILE && out->uuid.len == 0) {
			buf_put_str(&out->uuid, setup->uuid);
		}
	} else if (setup->mariadb) {
		if (earliest)
			err = find_earliest(c, out, why);
		else
			err = conn_value(c, "SELECT @@global.gtid_binlog_pos", &value, why);
		if (err == ERR_OK && !earliest)
			err = position_parse(buf_span(&value), out, why);
	} else if (server->has_gtids) {
		const struct gtid_set *set = earliest ? &server->purged : &server->executed;

		if (set->n > 0) {
			out->kind = POSITION_MYSQL;
			gtid_set_copy(&out->mysql, set);
		}
	} else {
		err = find_place(c, setup, earliest, out, why);
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
ask_set(struct conn *c, const char *sql, struct gtid_set *out, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	err = conn_value(c, sql, &text, why);
	if (err == ERR_OK)
		err = gtid_set_parse(buf_span(&text), out, why);
	buf_fini(&text);
	return err;
}

/* What the server says about its history.  gtid_purged is asked last: it only grows. */
static err_t
ask_history(struct conn *c, const struct source_setup *setup, struct resume_server *server,
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
		err = conn_value(c, "SELECT @@global.gtid_binlog_pos", &text, why);
		if (err == ERR_OK)
			err = gtid_pos_parse(buf_span(&text), &server->binlog, why);
	} else if (server->has_gtids) {
		err = ask_set(c, "SELECT @@global.gtid_executed", &server->executed, why);
		if (err == ERR_OK)
			err = ask_set(c, "SELECT @@global.gtid_purged", &server->purged, why);
	}
	buf_fini(&text);
	return err;
}

/* They are streamed like all others; that they are there may be news to somebody. */
static void
note_new_servers(const struct position *start, const struct resume_server *server, struct buf *note)
{
	struct buf set = BUF_INIT;

	resume_put_new_servers(start, server, &set);
	if (set.len > 0)
		buf_printf(
		    note,
		    "%s has transactions of servers that we have read nothing of, and they are read now, as "
		    "after a promotion: %.*s",
		    server->at, SPAN_FMT(span_first(buf_span(&set), 300)));
	buf_fini(&set);
}

/* Moves `place` to what the server has of it. */
static void
rewind_to(struct position *place, const struct resume_server *server, struct gtid_set *lost)
{
	struct position to = {0};

	resume_rewind(place, server, &to, lost);
	position_copy(place, &to);
	position_fini(&to);
}

err_t
source_start_find(struct source_start *start, struct conn *c, const struct source_setup *setup,
		  struct span from, struct err_detail *why)
{
	struct resume_server server = {0};
	struct endpoint_text at = endpoint_text(conn_endpoint(c));
	struct position *place = &start->at;
	enum resume verdict;
	err_t err;

	server.at = at.text;
	err = ask_history(c, setup, &server, why);
	if (err == ERR_OK)
		err = find_start(c, setup, &server, from, place, why);
	if (err == ERR_OK && place->kind == POSITION_FILE) {
		struct file_search f = {buf_span(&place->file), &server};

		err = conn_ask(c, "SHOW BINARY LOGS", look_for_file, &f, why);
	}
	if (err != ERR_OK)
		goto done;
	verdict = resume_from(place, &server, why);
	if (verdict != RESUME_YES) {
		err = why->code;
		start->is_behind = verdict == RESUME_LATER || verdict == RESUME_REWIND;
		start->has_gtids = server.has_gtids;
		if (verdict == RESUME_REWIND)
			rewind_to(place, &server, &start->lost);
		goto done;
	}
	if (place->kind == POSITION_FILE && resume_file_pos(place) != place->pos) {
		buf_printf(&start->note,
			   "the checkpoint is beyond 4 GiB of %.*s, which cannot be asked for: the "
			   "file is read again from its beginning",
			   SPAN_FMT(span_first(buf_span(&place->file), 160)));
		place->pos = resume_file_pos(place);
	}
	if (!span_is(span_trim(from), "earliest"))
		note_new_servers(&start->at, &server, &start->note);
	start->has_gtids = server.has_gtids;
done:
	resume_server_fini(&server);
	return err;
}
