#include "squeal/schema/schema.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "squeal/schema/ddl.h"
#include "squeal/schema/schema_file.h"
#include "squeal/schema/schema_history.h"
#include "squeal/schema/schema_place.h"

enum {
	TRIES = 250,	    /* until the server has reached what we have read */
	FILE_MAX = 8 << 20, /* then it is written anew */
	SHOWN = 120,	    /* bytes of a statement in a sentence */
};

typedef struct schema_metrics metric_owner;
const struct metric_row schema_metric_rows[] = {METRIC_ROWS(SCHEMA_METRICS)};
const size_t schema_metric_nrows = sizeof(schema_metric_rows) / sizeof(schema_metric_rows[0]);

struct schema {
	struct schema_parts parts;
	struct schema_file *file;
	struct schema_history **entries;
	size_t n, cap;
	uint64_t generation;
	bool started;
	bool must_forget;	/* the file too */
	struct position behind; /* the last DDL: ahead of what its transaction's rows are said to be at */
	_Atomic bool interrupted;

	/* while a statement's tables are gone through */
	const struct position *at;
	const struct schema_place *point;
	const struct binlog_event *ev;
	err_t err;
	struct err_detail *why;
};

/* --- places --------------------------------------------------------------------------------------------- */

/* Where rows of the open transaction stand: behind the DDL that may be in it.  A position that has become one
 * of another kind did so at the end of a transaction. */
static const struct position *
here(const struct schema *s, const struct position *at)
{
	if (at->kind != POSITION_EMPTY && at->kind != s->behind.kind)
		return at;
	return schema_place_covers(at, &s->behind) ? at : &s->behind;
}

/* --- what is known -------------------------------------------------------------------------------------- */

static void
count_known(struct schema *s)
{
	uint64_t known = 0;

	for (size_t i = 0; i < s->n; i++)
		known += s->entries[i]->oldest != NULL;
	metric_set(&s->parts.metrics->schema_known, known);
}

static void
forget_all(struct schema *s)
{
	for (size_t i = 0; i < s->n; i++)
		schema_history_destroy(s->entries[i]);
	s->n = 0;
	s->generation++;
}

static struct schema_history *
find_entry(struct schema *s, struct span db, struct span name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (span_is(db, s->entries[i]->db) && span_is(name, s->entries[i]->name))
			return s->entries[i];
	}
	return NULL;
}

static struct schema_history *
get_entry(struct schema *s, struct span db, struct span name)
{
	struct schema_history *e = find_entry(s, db, name);

	if (e != NULL)
		return e;
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 64;
		s->entries = mem_realloc(s->entries, s->cap * sizeof(*s->entries));
	}
	e = schema_history_create(db, name);
	s->entries[s->n++] = e;
	return e;
}

/* --- the file ------------------------------------------------------------------------------------------- */

static err_t
append(struct schema *s, const struct buf *line, struct err_detail *why)
{
	return s->file == NULL ? ERR_OK : schema_file_append(s->file, buf_span(line), why);
}

static err_t
on_line(void *arg, struct span line, struct err_detail *why)
{
	struct schema *s = arg;
	struct buf kind = BUF_INIT, db = BUF_INIT, table = BUF_INIT;
	err_t err = ERR_CORRUPT;

	if (!s->parts.resumed)
		return ERR_OK;
	if (!schema_word_take(&line, &kind) || !schema_word_take(&line, &db) ||
	    !schema_word_take(&line, &table))
		goto done;
	if (span_is(buf_span(&kind), "def"))
		err = schema_history_read_def(get_entry(s, buf_span(&db), buf_span(&table)), line, why);
	else if (span_is(buf_span(&kind), "end"))
		err = schema_history_read_end(get_entry(s, buf_span(&db), buf_span(&table)), line, why);
done:
	if (err != ERR_OK) {
		err_clear(why);
		err = err_set(
		    why, ERR_CORRUPT,
		    "%s makes no sense, as if another version had written it: flush the caches, remove "
		    "the file and start again",
		    s->parts.path);
	}
	buf_fini(&kind);
	buf_fini(&db);
	buf_fini(&table);
	return err;
}

/* Only what still holds, or will. */
static err_t
rewrite(struct schema *s, struct err_detail *why)
{
	struct buf lines = BUF_INIT, line = BUF_INIT;
	err_t err;

	for (size_t i = 0; i < s->n; i++) {
		for (struct schema_version *v = s->entries[i]->oldest; v != NULL; v = v->next) {
			schema_history_write_def(s->entries[i], v, &line);
			buf_put_span(&lines, buf_span(&line));
			buf_putc(&lines, '\n');
			if (!v->has_end)
				continue;
			schema_history_write_end(s->entries[i], &v->end, &line);
			buf_put_span(&lines, buf_span(&line));
			buf_putc(&lines, '\n');
		}
	}
	err = schema_file_replace(s->file, buf_span(&lines), why);
	buf_fini(&lines);
	buf_fini(&line);
	return err;
}

/* Before the file is written to. */
static err_t
tidy(struct schema *s, struct err_detail *why)
{
	err_t err = ERR_OK;

	if (s->file == NULL)
		return ERR_OK;
	if (s->must_forget || schema_file_size(s->file) > FILE_MAX)
		err = rewrite(s, why);
	if (err == ERR_OK)
		s->must_forget = false;
	return err;
}

/* --- life ----------------------------------------------------------------------------------------------- */

err_t
schema_open(struct schema **out, const struct schema_parts *parts, struct err_detail *why)
{
	struct schema *s = MEM_NEW(struct schema);
	err_t err = ERR_OK;

	*out = NULL;
	s->parts = *parts;
	s->parts.path = mem_strdup(parts->path);
	s->generation = 1;
	/* What is not read is not judged either: a damaged file of another time does no harm. */
	if (parts->path != NULL && !parts->resumed && unlink(parts->path) != 0 &&
	    access(parts->path, F_OK) == 0)
		err = err_set(why, ERR_IO, "cannot remove %s, which is of another place in the binlog",
			      parts->path);
	if (parts->path != NULL && err == ERR_OK)
		err = schema_file_open(&s->file, parts->path, on_line, s, why);
	if (err == ERR_OK)
		count_known(s);
	else
		schema_close(&s);
	*out = s;
	return err;
}

void
schema_close(struct schema **s)
{
	if (*s == NULL)
		return;
	forget_all(*s);
	schema_file_close(&(*s)->file);
	position_fini(&(*s)->behind);
	free((*s)->entries);
	free((char *)(*s)->parts.path);
	free(*s);
	*s = NULL;
}

void
schema_interrupt(struct schema *s)
{
	atomic_store(&s->interrupted, true);
	s->parts.ops->interrupt(s->parts.arg);
}

void
schema_start(struct schema *s, const struct position *start)
{
	position_clear(&s->behind);
	s->generation++;
	if (s->started) {
		forget_all(s);
		s->must_forget = true;
	}
	s->started = true;
	for (size_t i = 0; i < s->n; i++) {
		struct schema_version **at = &s->entries[i]->oldest;

		while (*at != NULL) {
			struct schema_version *v = *at;

			if (!v->has_end || schema_place_has(start, &v->end) == SCHEMA_NO) {
				at = &v->next;
				continue;
			}
			*at = v->next;
			schema_version_destroy(v);
			s->must_forget = true; /* once there is something to write */
		}
	}
	count_known(s);
}

uint64_t
schema_generation(const struct schema *s)
{
	return s->generation;
}

/* --- asking --------------------------------------------------------------------------------------------- */

/* Asks until the server has reached `at`: a replica, or one whose commits are not visible yet, is behind. */
static err_t
ask(struct schema *s, const struct position *at, const struct table *t, struct schema_version *v,
    struct err_detail *why)
{
	struct position before = {0};
	err_t err = ERR_OK;

	for (unsigned i = 0; i < TRIES; i++) {
		if (atomic_load(&s->interrupted)) {
			err = ERR_CLOSED;
			break;
		}
		schema_def_destroy(&v->def);
		err = s->parts.ops->ask(s->parts.arg, at->kind, t->db, t->name, &before, &v->def, &v->asked,
					why);
		if (err != ERR_OK || schema_place_covers(&before, at))
			break;
		if (!s->parts.ops->pause(s->parts.arg))
			err = ERR_CLOSED;
		else if (i + 1 == TRIES)
			err = err_set(
			    why, ERR_TIMEOUT,
			    "the server that was asked for the columns of %.*s.%.*s has not yet got to "
			    "where its binlog was read: it is a replica that lags, or another server",
			    SPAN_FMT(span_first(t->db, 64)), SPAN_FMT(span_first(t->name, 64)));
		if (err != ERR_OK)
			break;
	}
	position_fini(&before);
	return err;
}

static err_t
fetch(struct schema *s, struct schema_history *e, const struct position *at, const struct table *t,
      struct schema_version **out, struct err_detail *why)
{
	struct schema_version *v = MEM_NEW(struct schema_version);
	struct err_detail detail = {0};
	struct buf line = BUF_INIT, place = BUF_INIT;
	err_t err;

	position_copy(&v->from, at);
	err = ask(s, at, t, v, why);
	if (err != ERR_OK)
		goto done;
	metric_bump(&s->parts.metrics->schema_fetch, 1);
	schema_place_show(at, &place);
	if (v->def == NULL)
		err = err_set(&detail, ERR_KEYS_UNKNOWN, "the table is not there any more");
	else
		err = schema_def_agrees(v->def, t, &detail);
	if (err != ERR_OK) {
		err_set(why, err,
			"the columns of %.*s.%.*s at %s are not known: %s. Keys of its rows cannot be made: "
			"flush the "
			"caches and start with source.start: now; SET GLOBAL binlog_row_metadata=FULL avoids "
			"this",
			SPAN_FMT(span_first(t->db, 64)), SPAN_FMT(span_first(t->name, 64)), buf_str(&place),
			err_why(&detail));
		goto done;
	}
	err = tidy(s, why);
	if (err != ERR_OK)
		goto done;
	schema_history_write_def(e, v, &line);
	err = append(s, &line, why);
	if (err != ERR_OK)
		goto done;
	log_info(s->parts.log, "columns read from information_schema", F_SPAN("db", t->db),
		 F_SPAN("table", t->name), F_UINT("columns", schema_def_columns(v->def)),
		 F_STR("at", buf_str(&place)));
	schema_history_add(e, v);
	count_known(s);
	*out = v;
	v = NULL;
done:
	if (v != NULL)
		schema_version_destroy(v);
	buf_fini(&line);
	buf_fini(&place);
	return err;
}

err_t
schema_name(struct schema *s, const struct position *at, const struct table *t, struct table **out,
	    struct err_detail *why)
{
	struct schema_history *e = get_entry(s, t->db, t->name);
	struct err_detail detail = {0};
	struct schema_version *v;
	err_t err = ERR_OK;

	*out = NULL;
	at = here(s, at);
	v = schema_history_find(e, at);
	if (v == NULL)
		err = fetch(s, e, at, t, &v, why);
	else if (schema_def_agrees(v->def, t, &detail) != ERR_OK)
		err = err_set(
		    why, ERR_KEYS_UNKNOWN,
		    "table %.*s.%.*s changed without a statement in the binlog (sql_log_bin=0?): %s. Keys of "
		    "its rows may be wrong: flush the caches and start with source.start: now; SET GLOBAL "
		    "binlog_row_metadata=FULL avoids this",
		    SPAN_FMT(span_first(t->db, 64)), SPAN_FMT(span_first(t->name, 64)), err_why(&detail));
	if (err == ERR_OK)
		*out = schema_def_apply(v->def, t);
	return err;
}

/* --- DDL ------------------------------------------------------------------------------------------------ */

/* Some rows behind v->from were read with names that a statement before `asked` may have given. */
static err_t
doubt(struct schema *s, const struct schema_history *e, const struct schema_version *v)
{
	struct buf from = BUF_INIT, to = BUF_INIT, asked = BUF_INIT;
	struct span sql = span_first(span_trim(s->ev->u.query.sql), SHOWN);

	schema_place_show(&v->from, &from);
	schema_place_show(&v->asked, &asked);
	schema_place_format(s->point, &to);
	err_set(
	    s->why, ERR_KEYS_UNKNOWN,
	    "%.64s.%.64s changed at %s (%.*s), but its rows since %s were read with the columns that it had "
	    "at %s: "
	    "their keys may be wrong. Flush the caches of its keys, then start with source.start at the last "
	    "checkpoint's position or now; SET GLOBAL binlog_row_metadata=FULL avoids this",
	    e->db, e->name, buf_str(&to), SPAN_FMT(sql), buf_str(&from), buf_str(&asked));
	buf_fini(&from);
	buf_fini(&to);
	buf_fini(&asked);
	return ERR_KEYS_UNKNOWN;
}

/* Ends what was known of the table. */
static err_t
end_entry(struct schema *s, struct schema_history *e)
{
	struct schema_version **at = &e->oldest;
	struct buf line = BUF_INIT;
	bool ends = false;
	err_t err = ERR_OK;

	for (struct schema_version *v = e->oldest; v != NULL; v = v->next) {
		if (schema_place_has(&v->from, s->point) == SCHEMA_YES)
			continue; /* it is read again; this one begins behind it */
		if (schema_place_has(&v->asked, s->point) != SCHEMA_NO &&
		    !(v->has_end && schema_place_has(s->at, &v->end) != SCHEMA_NO)) {
			err = doubt(s, e, v);
			goto done;
		}
		ends = ends || !v->has_end;
	}
	if (ends) {
		err = tidy(s, s->why);
		if (err != ERR_OK)
			goto done;
		schema_history_write_end(e, s->point, &line);
		err = append(s, &line, s->why);
		if (err != ERR_OK)
			goto done;
	}
	while (*at != NULL) {
		struct schema_version *v = *at;

		if (schema_place_has(&v->from, s->point) == SCHEMA_YES) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		schema_version_destroy(v);
		metric_bump(&s->parts.metrics->schema_dropped, 1);
	}
done:
	buf_fini(&line);
	return err;
}

static void
on_target(void *arg, const struct ddl_target *target)
{
	struct schema *s = arg;
	struct span db = target->db.len > 0 ? target->db : s->ev->u.query.db;
	enum ddl_what what = db.len == 0 ? DDL_EVERYTHING : target->what;

	for (size_t i = 0; s->err == ERR_OK && i < s->n; i++) {
		struct schema_history *e = s->entries[i];

		if (what != DDL_EVERYTHING && !span_ieq(db, span_of(e->db)))
			continue;
		if (what == DDL_TABLE && !span_ieq(target->table, span_of(e->name)))
			continue;
		/* Rows of it were read, so it is there. */
		if (target->only_if_missing && schema_history_find(e, s->at) != NULL)
			continue;
		s->err = end_entry(s, e);
	}
	s->generation++;
}

err_t
schema_statement(struct schema *s, const struct position *at, const struct gtid *gtid,
		 const struct binlog_event *ev, struct err_detail *why)
{
	struct schema_place point = {.gtid = *gtid, .pos = ev->end};
	uint64_t generation = s->generation;
	err_t err;

	buf_put_span(&point.file, ev->file);
	s->at = here(s, at);
	s->point = &point;
	s->ev = ev;
	s->why = why;
	s->err = ERR_OK;
	ddl_targets(ev->u.query.sql, on_target, s);
	err = s->err;
	if (s->generation != generation && err == ERR_OK) {
		struct position behind = {0};

		position_copy(&behind, s->at);
		position_advance(&behind, gtid, ev->file, ev->end);
		position_copy(&s->behind, &behind);
		position_fini(&behind);
		count_known(s);
	}
	buf_fini(&point.file);
	return err;
}
