#include "squeal/keys/range.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/keys/file_list.h"
#include "squeal/keys/moment.h"
#include "squeal/keys/range_ids.h"

enum { FILE_START = 4, SHOWN = 200 };

static const char *const names[RANGE_NBOUNDS] = {
    [RANGE_START] = "start",
    [RANGE_STOP] = "stop",
    [RANGE_START_TIME] = "start-datetime",
    [RANGE_STOP_TIME] = "stop-datetime",
    [RANGE_START_GTID] = "start-gtid",
    [RANGE_STOP_GTID] = "stop-gtid",
    [RANGE_GTID] = "gtid",
    [RANGE_EXCLUDE_GTID] = "exclude-gtid",
};

struct place {
	char *file; /* NULL: not given */
	uint64_t pos;
};

struct range {
	struct log *log;
	bool given[RANGE_NBOUNDS];
	char *texts[RANGE_NBOUNDS];
	struct place start, stop;
	uint64_t start_us, stop_us;
	struct range_ids ids[RANGE_NBOUNDS]; /* of the four bounds that are ids */

	/* of the file */
	const char *file;
	bool is_start_file, is_stop_file;

	/* what the files had */
	bool has_beginning;	 /* GTID_LIST or PREVIOUS_GTIDS of the first file was read */
	struct gtid_pos reached; /* MariaDB */
	struct gtid_set seen;	 /* MySQL; kept for --gtid and the two positions only */
	bool place_is_over;

	/* the open transaction */
	struct gtid gtid;
	uint64_t at;
	bool skip;
	uint64_t taken, left_out;
	uint64_t seen_first_us, seen_last_us;
};

const char *
range_bound_name(enum range_bound bound)
{
	return names[bound];
}

struct range *
range_create(struct log *log)
{
	struct range *r = MEM_NEW(struct range);

	r->log = log;
	return r;
}

void
range_destroy(struct range **rp)
{
	struct range *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (size_t i = 0; i < RANGE_NBOUNDS; i++) {
		range_ids_fini(&r->ids[i]);
		free(r->texts[i]);
	}
	free(r->start.file);
	free(r->stop.file);
	gtid_pos_fini(&r->reached);
	gtid_set_fini(&r->seen);
	free(r);
}

bool
range_is_all(const struct range *r)
{
	for (size_t i = 0; i < RANGE_NBOUNDS; i++) {
		if (r->given[i])
			return false;
	}
	return true;
}

bool
range_has_times(const struct range *r)
{
	return r->given[RANGE_START_TIME] || r->given[RANGE_STOP_TIME];
}

bool
range_has_places(const struct range *r)
{
	return r->given[RANGE_START] || r->given[RANGE_STOP];
}

const char *
range_text(const struct range *r, enum range_bound bound)
{
	return r->given[bound] ? r->texts[bound] : NULL;
}

uint64_t
range_taken(const struct range *r)
{
	return r->taken;
}

uint64_t
range_left_out(const struct range *r)
{
	return r->left_out;
}

void
range_seen(const struct range *r, uint64_t *first_us, uint64_t *last_us)
{
	*first_us = r->seen_first_us;
	*last_us = r->seen_last_us;
}

/* --- bounds from text ------------------------------------------------------------------------------------
 */

/* "mariadb-bin.000007:4711", or the file alone for its beginning or, to stop, its end. */
static err_t
set_place(struct place *p, enum range_bound bound, const char *text, struct err_detail *why)
{
	const char *colon = strrchr(text, ':');
	struct span file = span_of(text);
	uint64_t pos = bound == RANGE_START ? FILE_START : UINT64_MAX;

	if (colon != NULL && span_u64(span_of(colon + 1), &pos))
		file.len = (size_t)(colon - text);
	else if (colon != NULL && (colon[1] == '\0' || (colon[1] >= '0' && colon[1] <= '9')))
		return err_set(why, ERR_USAGE, "\"%s\" is no place; write FILE:POS, as in %s", text,
			       "mariadb-bin.000007:4711");
	if (span_u64(file, &pos))
		return err_set(why, ERR_USAGE,
			       "\"%s\" does not say in which file; write FILE:POS, as in "
			       "mariadb-bin.000007:%s",
			       text, text);
	if (file.len == 0)
		return err_set(why, ERR_USAGE, "\"%s\" names no file; write FILE:POS, as in %s", text,
			       "mariadb-bin.000007:4711");
	free(p->file);
	p->file = span_dup(span_of(file_list_name(text)));
	p->file[file.len - (size_t)(file_list_name(text) - text)] = '\0';
	p->pos = pos < FILE_START ? FILE_START : pos;
	return ERR_OK;
}

err_t
range_set(struct range *r, enum range_bound bound, const char *text, struct err_detail *why)
{
	err_t err = ERR_OK;

	if (r->given[bound])
		return err_set(why, ERR_USAGE, "--%s was given twice", names[bound]);
	r->texts[bound] = mem_strdup(text);
	switch (bound) {
	case RANGE_START:
		err = set_place(&r->start, bound, text, why);
		break;
	case RANGE_STOP:
		err = set_place(&r->stop, bound, text, why);
		break;
	case RANGE_START_TIME:
		err = moment_parse(span_of(text), MOMENT_FIRST, &r->start_us, why);
		break;
	case RANGE_STOP_TIME:
		err = moment_parse(span_of(text), MOMENT_LAST, &r->stop_us, why);
		break;
	default:
		err = range_ids_parse(&r->ids[bound], r->texts[bound],
				      bound == RANGE_GTID || bound == RANGE_EXCLUDE_GTID ? RANGE_IDS_LIST
											 : RANGE_IDS_POSITION,
				      why);
	}
	if (err != ERR_OK) {
		err_wrap(why, "--%s", names[bound]);
		return err;
	}
	r->given[bound] = true;
	if (r->given[RANGE_START_TIME] && r->given[RANGE_STOP_TIME] && r->stop_us <= r->start_us)
		return err_set(
		    why, ERR_USAGE,
		    "--stop-datetime is not behind --start-datetime: no transaction can be between");
	return ERR_OK;
}

/* --- files and places ------------------------------------------------------------------------------------
 */

static err_t
find_file(enum range_bound bound, const struct place *p, const char *const *files, size_t n, size_t *at,
	  struct err_detail *why)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(files[i], p->file) == 0) {
			*at = i;
			return ERR_OK;
		}
	}
	return err_set(why, ERR_NOT_FOUND, "--%s is in %s, which is none of the files that were given",
		       names[bound], p->file);
}

err_t
range_files(struct range *r, const char *const *files, size_t n, size_t *first, size_t *end,
	    struct err_detail *why)
{
	err_t err = ERR_OK;

	*first = 0;
	*end = n;
	if (r->start.file != NULL)
		err = find_file(RANGE_START, &r->start, files, n, first, why);
	if (err == ERR_OK && r->stop.file != NULL) {
		err = find_file(RANGE_STOP, &r->stop, files, n, end, why);
		*end += 1;
	}
	if (err != ERR_OK)
		return err;
	if (*end <= *first || (*end == *first + 1 && r->start.file != NULL && r->stop.file != NULL &&
			       r->stop.pos < r->start.pos))
		return err_set(why, ERR_USAGE, "--stop %s is before --start %s", r->texts[RANGE_STOP],
			       r->texts[RANGE_START]);
	return ERR_OK;
}

bool
range_has_start_file(const struct range *r)
{
	return r->start.file != NULL;
}

bool
range_starts_in(const struct range *r, const char *name)
{
	return r->start.file != NULL && strcmp(name, r->start.file) == 0;
}

bool
range_stops_in(const struct range *r, const char *name)
{
	return r->stop.file != NULL && strcmp(name, r->stop.file) == 0;
}

void
range_enter_file(struct range *r, const char *name)
{
	r->file = name;
	r->is_start_file = r->start.file != NULL && strcmp(name, r->start.file) == 0;
	r->is_stop_file = r->stop.file != NULL && strcmp(name, r->stop.file) == 0;
}

/* Rotations and torn transactions leave none open. */
err_t
range_leave_file(struct range *r, uint64_t end, struct err_detail *why)
{
	if (r->is_start_file && end < r->start.pos)
		return err_set(why, ERR_NOT_FOUND,
			       "--start %s: the file ends at %llu, so there is no such place",
			       r->texts[RANGE_START], (unsigned long long)end);
	if (r->is_stop_file && end < r->stop.pos && r->stop.pos != UINT64_MAX)
		return err_set(why, ERR_NOT_FOUND,
			       "--stop %s: the file ends before that, at %llu; all of it was read",
			       r->texts[RANGE_STOP], (unsigned long long)end);
	return ERR_OK;
}

static bool
is_before_start(const struct range *r, uint64_t at)
{
	return r->is_start_file && at < r->start.pos;
}

static bool
is_behind_stop(const struct range *r, uint64_t end)
{
	return r->is_stop_file && end > r->stop.pos;
}

/* --- where the files begin -------------------------------------------------------------------------------
 */

/* MariaDB: what was committed in earlier files; a start that is before that is not in these. */
static err_t
see_gtid_list(struct range *r, const struct binlog_event *ev, struct err_detail *why)
{
	const struct range_ids *start = &r->ids[RANGE_START_GTID];

	for (uint32_t i = 0; i < ev->u.gtid_list.n; i++) {
		struct gtid id = binlog_gtid_list(ev, i);
		const struct gtid *last = gtid_pos_find(&r->reached, id.domain);

		/* It has the last id of each server; the highest is the domain's. */
		if (last == NULL || id.seq > last->seq)
			gtid_pos_advance(&r->reached, &id);
	}
	for (size_t i = 0; start->kind == GTID_MARIADB && i < start->position.mariadb.n; i++) {
		const struct gtid *from = &start->position.mariadb.ids[i];
		const struct gtid *last = gtid_pos_find(&r->reached, from->domain);

		if (last != NULL && last->seq > from->seq)
			return err_set(why, ERR_NOT_FOUND,
				       "--start-gtid %s is not in these files: %s begins behind %u-%u-%llu; "
				       "give the files before it as well",
				       start->text, r->file, last->domain, last->server,
				       (unsigned long long)last->seq);
	}
	return ERR_OK;
}

void
range_arrive(struct range *r, const struct position *at)
{
	for (size_t i = 0; at->kind == POSITION_MARIADB && i < at->mariadb.n; i++) {
		const struct gtid *last = gtid_pos_find(&r->reached, at->mariadb.ids[i].domain);

		if (last == NULL || at->mariadb.ids[i].seq > last->seq)
			gtid_pos_advance(&r->reached, &at->mariadb.ids[i]);
	}
	if (at->kind == POSITION_MYSQL)
		gtid_set_add_set(&r->seen, &at->mysql);
}

static err_t
early(const struct range *r, enum range_bound bound, struct err_detail *why)
{
	return err_set(why, ERR_NOT_FOUND,
		       "--%s %.*s is not in these files: %s begins behind it; give the files before it as "
		       "well",
		       names[bound], SHOWN, r->ids[bound].text, r->file);
}

/* MySQL: the same. */
static err_t
see_gtid_set(struct range *r, const struct binlog_event *ev, struct err_detail *why)
{
	const struct range_ids *start = &r->ids[RANGE_START_GTID], *stop = &r->ids[RANGE_STOP_GTID];
	struct gtid_set before = {0};
	err_t err = gtid_set_decode(ev->u.gtid_set, &before, why);

	if (err != ERR_OK)
		goto done;
	gtid_set_add_set(&r->seen, &before);
	if (start->single.kind == GTID_MYSQL && gtid_set_has(&before, &start->single))
		err = early(r, RANGE_START_GTID, why);
	else if (start->position.kind == POSITION_MYSQL && !gtid_set_covers(&start->position.mysql, &before))
		err = early(r, RANGE_START_GTID, why);
	else if (stop->single.kind == GTID_MYSQL && gtid_set_has(&before, &stop->single))
		err = early(r, RANGE_STOP_GTID, why);
done:
	gtid_set_fini(&before);
	return err;
}

err_t
range_see(struct range *r, const struct binlog_event *ev, uint64_t at, struct err_detail *why)
{
	if (r->is_start_file && at < r->start.pos && r->start.pos < ev->end)
		return err_set(why, ERR_NOT_FOUND,
			       "--start %s: no event begins there; one begins at %llu and the next at %llu",
			       r->texts[RANGE_START], (unsigned long long)at, (unsigned long long)ev->end);
	if (r->has_beginning)
		return ERR_OK;
	if (ev->kind != BINLOG_GTID_LIST && ev->kind != BINLOG_GTID_SET) {
		r->has_beginning = ev->kind == BINLOG_GTID;
		return ERR_OK;
	}
	r->has_beginning = true;
	return ev->kind == BINLOG_GTID_LIST ? see_gtid_list(r, ev, why) : see_gtid_set(r, ev, why);
}

/* --- transactions ----------------------------------------------------------------------------------------
 */

/* Ids of another kind of server would match nothing, without a word. */
static err_t
check_kind(const struct range *r, enum range_bound bound, const struct gtid *id, struct err_detail *why)
{
	const struct range_ids *ids = &r->ids[bound];

	if (ids->kind == GTID_NONE || ids->kind == id->kind)
		return ERR_OK;
	if (id->kind != GTID_NONE)
		return err_set(
		    why, ERR_USAGE, "--%s %.*s: the files are %s, whose ids look like %s", names[bound],
		    SHOWN, ids->text, id->kind == GTID_MARIADB ? "MariaDB's" : "MySQL's",
		    id->kind == GTID_MARIADB ? "0-1-100" : "3e11fa47-71ca-11e1-9e33-c80aa9429562:5");
	if (bound == RANGE_GTID || bound == RANGE_EXCLUDE_GTID)
		return ERR_OK;
	return err_set(
	    why, ERR_USAGE,
	    "--%s: the transaction at %s:%llu has no GTID; use --start FILE:POS, --stop FILE:POS or "
	    "times",
	    names[bound], r->file, (unsigned long long)r->at);
}

/* Also takes note of the single ids that go by. */
static bool
is_wanted_by_id(struct range *r, const struct gtid *id)
{
	struct range_ids *start = &r->ids[RANGE_START_GTID], *stop = &r->ids[RANGE_STOP_GTID];
	bool wanted = true;

	if (start->single.kind != GTID_NONE) {
		wanted = start->is_met;
		start->is_met = start->is_met || gtid_same(&start->single, id);
	} else if (start->kind != GTID_NONE) {
		wanted = !range_ids_in_position(start, id);
	}
	if (stop->single.kind != GTID_NONE) {
		wanted = wanted && !stop->is_met;
		stop->is_met = stop->is_met || gtid_same(&stop->single, id);
	} else if (stop->kind != GTID_NONE) {
		wanted = wanted && range_ids_in_position(stop, id);
	}
	if (r->given[RANGE_GTID])
		wanted = range_ids_pick(&r->ids[RANGE_GTID], id) && wanted;
	if (r->given[RANGE_EXCLUDE_GTID])
		wanted = !range_ids_pick(&r->ids[RANGE_EXCLUDE_GTID], id) && wanted;
	return wanted;
}

bool
range_has_ids(const struct range *r)
{
	return r->given[RANGE_START_GTID] || r->given[RANGE_STOP_GTID] || r->given[RANGE_GTID] ||
	       r->given[RANGE_EXCLUDE_GTID];
}

err_t
range_begin(struct range *r, const struct gtid *gtid, uint64_t at, bool *skip, struct err_detail *why)
{
	static const enum range_bound bounds[] = {RANGE_START_GTID, RANGE_STOP_GTID, RANGE_GTID,
						  RANGE_EXCLUDE_GTID};
	err_t err = ERR_OK;

	r->gtid = *gtid;
	r->at = at;
	r->skip = is_before_start(r, at) || r->place_is_over;
	if (range_has_ids(r)) {
		for (size_t i = 0; err == ERR_OK && i < sizeof(bounds) / sizeof(bounds[0]); i++)
			err = check_kind(r, bounds[i], gtid, why);
		if (!is_wanted_by_id(r, gtid))
			r->skip = true;
	}
	*skip = r->skip;
	return err;
}

static void
note(struct range *r)
{
	const struct gtid *last;

	if (!range_has_ids(r))
		return;
	if (r->gtid.kind == GTID_MYSQL) {
		gtid_set_add(&r->seen, &r->gtid);
	} else if (r->gtid.kind == GTID_MARIADB) {
		last = gtid_pos_find(&r->reached, r->gtid.domain);
		if (last == NULL || r->gtid.seq > last->seq)
			gtid_pos_advance(&r->reached, &r->gtid);
	}
}

/* A place that somebody chose by hand may be off by an event. */
static void
say_cut(const struct range *r, enum range_bound bound, uint64_t end)
{
	struct buf id = BUF_INIT;

	gtid_format(&r->gtid, &id);
	log_warn(r->log, "a transaction is left out because the range begins or ends inside of it",
		 F_STR("bound", names[bound]), F_SPAN("gtid", buf_span(&id)), F_STR("file", r->file),
		 F_UINT("begins", r->at), F_UINT("ends", end));
	buf_fini(&id);
}

bool
range_commit(struct range *r, uint64_t commit_us, uint64_t end)
{
	bool wanted = !r->skip;

	note(r);
	if (is_before_start(r, r->at) && end > r->start.pos)
		say_cut(r, RANGE_START, end);
	if (is_behind_stop(r, end)) {
		if (r->at < r->stop.pos)
			say_cut(r, RANGE_STOP, end);
		r->place_is_over = true;
		wanted = false;
	}
	if (r->given[RANGE_START_TIME] && commit_us < r->start_us)
		wanted = false;
	if (r->given[RANGE_STOP_TIME] && commit_us >= r->stop_us)
		wanted = false;
	if (commit_us != 0 && (r->seen_first_us == 0 || commit_us < r->seen_first_us))
		r->seen_first_us = commit_us;
	if (commit_us > r->seen_last_us)
		r->seen_last_us = commit_us;
	if (wanted)
		r->taken++;
	else
		r->left_out++;
	return wanted;
}

void
range_rollback(struct range *r)
{
	note(r);
}

/* Behind all of a MariaDB position: numbers rise in each domain. */
static bool
has_reached(const struct range *r, const struct gtid_pos *stop)
{
	for (size_t i = 0; i < stop->n; i++) {
		const struct gtid *last = gtid_pos_find(&r->reached, stop->ids[i].domain);

		if (last == NULL || last->seq < stop->ids[i].seq)
			return false;
	}
	return true;
}

bool
range_is_over(const struct range *r)
{
	const struct range_ids *stop = &r->ids[RANGE_STOP_GTID];

	if (r->place_is_over || stop->is_met)
		return true;
	if (stop->kind == GTID_MARIADB)
		return has_reached(r, &stop->position.mariadb);
	return stop->position.kind == POSITION_MYSQL && gtid_set_covers(&r->seen, &stop->position.mysql);
}

/* --- the end ---------------------------------------------------------------------------------------------
 */

static bool
is_met(const struct range *r, const struct range_ids *ids)
{
	if (ids->single.kind != GTID_NONE)
		return ids->is_met;
	if (ids->kind == GTID_MARIADB)
		return has_reached(r, &ids->position.mariadb);
	return ids->kind == GTID_NONE || gtid_set_covers(&r->seen, &ids->position.mysql);
}

err_t
range_finish(struct range *r, struct err_detail *why)
{
	struct buf reached = BUF_INIT;
	err_t err = ERR_OK;

	gtid_pos_format(&r->reached, &reached);
	gtid_set_format(&r->seen, &reached);
	if (reached.len == 0)
		buf_put_str(&reached, "no id at all");
	if (!is_met(r, &r->ids[RANGE_START_GTID]) && !range_is_over(r))
		err = err_set(why, ERR_NOT_FOUND,
			      "--start-gtid %.*s is not in these files, which end at %.*s: give the files "
			      "behind them",
			      SHOWN, r->ids[RANGE_START_GTID].text,
			      SPAN_FMT(span_first(buf_span(&reached), SHOWN)));
	else if (!is_met(r, &r->ids[RANGE_STOP_GTID]))
		err = err_set(why, ERR_NOT_FOUND,
			      "--stop-gtid %.*s is not reached: the files end at %.*s; all of them was read",
			      SHOWN, r->ids[RANGE_STOP_GTID].text,
			      SPAN_FMT(span_first(buf_span(&reached), SHOWN)));
	buf_clear(&reached);
	if (err == ERR_OK)
		range_ids_missing(&r->ids[RANGE_GTID], &r->seen, &reached);
	if (reached.len > 0)
		log_warn(r->log, "not in these files", F_SPAN("gtid", buf_span(&reached)));
	buf_fini(&reached);
	return err;
}
