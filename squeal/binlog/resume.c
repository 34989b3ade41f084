#include "squeal/binlog/resume.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FLUSH "flush the caches, then start with source.start: now"

enum { START_OF_FILE = 4, SHOWN = 160 };

void
resume_server_fini(struct resume_server *s)
{
	gtid_set_fini(&s->executed);
	gtid_set_fini(&s->purged);
	gtid_pos_fini(&s->binlog);
	*s = (struct resume_server){0};
}

void
resume_rewind(const struct position *from, const struct resume_server *s, struct position *to,
	      struct gtid_set *lost)
{
	gtid_set_clear(lost);
	gtid_set_minus(&from->mysql, &s->executed, lost);
	position_clear(to);
	to->kind = POSITION_MYSQL;
	gtid_set_minus(&from->mysql, lost, &to->mysql);
}

bool
resume_is_never(err_t err)
{
	return err == ERR_GAP || err == ERR_PURGED || err == ERR_BEHIND || err == ERR_OTHER_SERVER;
}

/* Which verdict it is follows from the code that err_set() gives. */
static enum resume
verdict_of(err_t err)
{
	return resume_is_never(err) ? RESUME_NEVER : err == ERR_CONN ? RESUME_LATER : RESUME_SETUP;
}

/* "uuid:1-5,…", cut where it gets long. */
static const char *
shown(const struct gtid_set *set, struct buf *text)
{
	buf_clear(text);
	gtid_set_format(set, text);
	if (text->len > SHOWN) {
		text->len = SHOWN;
		buf_put_str(text, "…");
	}
	return buf_str(text);
}

static void
uuid_text(const uint8_t uuid[16], char out[40])
{
	size_t at = 0;

	for (int i = 0; i < 16; i++)
		at += (size_t)snprintf(out + at, 40 - at,
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
}

/* Leaves in `out` what of `set` the server with this uuid committed itself. */
static void
take_own(const struct gtid_set *set, const char *uuid, struct gtid_set *out)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct gtid_member *m = &set->members[i];
		char name[40];

		uuid_text(m->name.uuid, name);
		if (strcasecmp(name, uuid) != 0)
			continue;
		for (size_t j = 0; j < m->n; j++)
			gtid_set_add_range(out, &m->name, m->ranges[j].first, m->ranges[j].last);
	}
}

static enum resume
from_mysql_set(const struct position *from, const struct resume_server *s, struct err_detail *why)
{
	struct gtid_set missing = {0}, own = {0}, purged = {0};
	enum resume verdict = RESUME_YES;
	struct buf text = BUF_INIT;

	if (!s->has_gtids) {
		verdict = verdict_of(
		    err_set(why, ERR_SOURCE_SETUP,
			    "the checkpoint is a GTID set, and %s has gtid_mode=%s now: set it to ON again "
			    "(OFF_PERMISSIVE, ON_PERMISSIVE, ON, one after the other), or " FLUSH,
			    s->at, s->gtid_mode));
		goto done;
	}
	gtid_set_minus(&from->mysql, &s->executed, &missing);
	take_own(&missing, s->uuid, &own);
	gtid_set_minus(&s->purged, &from->mysql, &purged);
	if (own.n > 0)
		verdict = verdict_of(err_set(
		    why, ERR_BEHIND,
		    "%s has lost transactions of its own that we have read, %s: its binlog lost its end "
		    "(a power loss with sync_binlog<>1), or it was restored from a backup or reset; "
		    "caches may hold what it does not: " FLUSH,
		    s->at, shown(&own, &text)));
	else if (purged.n > 0)
		verdict = verdict_of(
		    err_set(why, ERR_PURGED,
			    "%s has purged binlogs that we had not read, with %s%s; keep them for longer "
			    "(binlog_expire_logs_seconds); what they had is not known: " FLUSH,
			    s->at, shown(&purged, &text),
			    s->logs_updates ? "" : " (or never had them: log_replica_updates=OFF)"));
	else if (missing.n > 0) {
		err_set(why, ERR_CONN,
			"%s lacks transactions that we have read, %s: it is a replica that lags, or was "
			"promoted without them",
			s->at, shown(&missing, &text));
		verdict = RESUME_REWIND;
	}
done:
	gtid_set_fini(&missing);
	gtid_set_fini(&own);
	gtid_set_fini(&purged);
	buf_fini(&text);
	return verdict;
}

static enum resume
from_file(const struct position *from, const struct resume_server *s, struct err_detail *why)
{
	struct span file = span_first(buf_span(&from->file), SHOWN);

	if (from->uuid.len > 0 && !span_ieq(buf_span(&from->uuid), span_of(s->uuid)))
		return verdict_of(
		    err_set(why, ERR_OTHER_SERVER,
			    "the checkpoint is a place in the binlog of the server with uuid %.*s, and %s is "
			    "another one, %s: its address was moved, or it was restored or cloned; files of "
			    "different servers cannot be compared (gtid_mode=ON would): " FLUSH,
			    SPAN_FMT(span_first(buf_span(&from->uuid), 40)), s->at, s->uuid));
	if (!s->has_file)
		return verdict_of(
		    err_set(why, ERR_PURGED,
			    "%s does not have the binlog file %.*s any more: it was purged before "
			    "we had read it, or the binlog was reset; keep binlogs for longer "
			    "(binlog_expire_logs_seconds); what followed is not known: " FLUSH,
			    s->at, SPAN_FMT(file)));
	if (from->pos > s->size)
		return verdict_of(err_set(
		    why, ERR_BEHIND,
		    "the binlog file %.*s of %s ends at %llu, and we have read up to %llu: "
		    "it lost its end (a power loss with sync_binlog<>1), or is another "
		    "server's; caches may hold what the database does not: " FLUSH,
		    SPAN_FMT(file), s->at, (unsigned long long)s->size, (unsigned long long)from->pos));
	return RESUME_YES;
}

static enum resume
from_mariadb_pos(const struct position *from, const struct resume_server *s, struct err_detail *why)
{
	for (size_t i = 0; i < from->mariadb.n; i++) {
		const struct gtid *g = &from->mariadb.ids[i];
		const struct gtid *has = gtid_pos_find(&s->binlog, g->domain);
		struct buf id = BUF_INIT;
		enum resume verdict = RESUME_YES;

		gtid_format(g, &id);
		if (has != NULL && has->seq >= g->seq)
			; /* The server looks whether it is really there. */
		else if (g->server == s->server_id)
			verdict =
			    verdict_of(err_set(why, ERR_BEHIND,
					       "%s has lost transactions of its own that we have read, up to "
					       "%s: its binlog lost its end (a power loss with "
					       "sync_binlog<>1), it was emptied (RESET MASTER), or it was "
					       "restored from a backup; caches may hold what it does "
					       "not: " FLUSH,
					       s->at, buf_str(&id)));
		else if (!s->logs_updates)
			verdict =
			    verdict_of(err_set(why, ERR_BEHIND,
					       "the binlog of %s lacks %s, the last transaction that we have "
					       "read, which it may have had as a replica with "
					       "log_slave_updates=OFF: set log_slave_updates=ON on every "
					       "server that may be promoted; what was committed in between "
					       "is not known: " FLUSH,
					       s->at, buf_str(&id)));
		else
			verdict =
			    verdict_of(err_set(why, ERR_CONN,
					       "the binlog of %s lacks transactions that we have read, up to "
					       "%s: it is a replica that lags, or was promoted without them",
					       s->at, buf_str(&id)));
		buf_fini(&id);
		if (verdict != RESUME_YES)
			return verdict;
	}
	return RESUME_YES;
}

enum resume
resume_from(const struct position *from, const struct resume_server *s, struct err_detail *why)
{
	if (from->kind == POSITION_MARIADB && !s->mariadb)
		return verdict_of(err_set(why, ERR_OTHER_SERVER,
					  "the checkpoint is a GTID of MariaDB, and %s is MySQL: " FLUSH,
					  s->at));
	if (from->kind == POSITION_MYSQL && s->mariadb)
		return verdict_of(err_set(why, ERR_OTHER_SERVER,
					  "the checkpoint is a GTID set of MySQL, and %s is MariaDB: " FLUSH,
					  s->at));
	if (from->kind == POSITION_FILE && !s->mariadb)
		return from_file(from, s, why);
	if (s->mariadb)
		return from_mariadb_pos(from, s, why);
	return from_mysql_set(from, s, why);
}

uint64_t
resume_file_pos(const struct position *from)
{
	return from->pos <= UINT32_MAX ? from->pos : START_OF_FILE;
}

void
resume_put_new_servers(const struct position *from, const struct resume_server *s, struct buf *out)
{
	struct gtid_set unread = {0}, strange = {0};

	if (from->kind != POSITION_MYSQL)
		return;
	gtid_set_minus(&s->executed, &from->mysql, &unread);
	for (size_t i = 0; i < unread.n; i++) {
		const struct gtid_member *m = &unread.members[i];
		bool known = false;

		for (size_t j = 0; j < from->mysql.n; j++)
			known |= memcmp(from->mysql.members[j].name.uuid, m->name.uuid, 16) == 0;
		for (size_t j = 0; !known && j < m->n; j++)
			gtid_set_add_range(&strange, &m->name, m->ranges[j].first, m->ranges[j].last);
	}
	gtid_set_format(&strange, out);
	gtid_set_fini(&unread);
	gtid_set_fini(&strange);
}
