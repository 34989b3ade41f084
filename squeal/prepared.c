#include "squeal/prepared.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "squeal/prepared_note.h"

enum {
	LISTED = 20, /* transactions that are named at the start */
};

typedef struct prepared_metrics metric_owner;
const struct metric_row prepared_metric_rows[] = {METRIC_ROWS(PREPARED_METRICS)};
const size_t prepared_metric_nrows = sizeof(prepared_metric_rows) / sizeof(prepared_metric_rows[0]);

struct names {
	struct buf *at;
	size_t n, cap;
};

struct prepared {
	struct broker_writer *broker;
	struct log *log;
	struct prepared_metrics *metrics;

	uint64_t *kept; /* hashes of names; for the gauge only */
	size_t nkept, cap_kept;

	/* of the item whose keys are being read */
	struct keyset_parts parts;
	struct buf name;
	struct buf head;
};

struct prepared *
prepared_create(struct broker_writer *broker, struct log *log, struct prepared_metrics *metrics)
{
	struct prepared *p = MEM_NEW(struct prepared);

	p->broker = broker;
	p->log = log;
	p->metrics = metrics;
	return p;
}

void
prepared_destroy(struct prepared **p)
{
	if (*p == NULL)
		return;
	free((*p)->kept);
	buf_fini(&(*p)->name);
	buf_fini(&(*p)->head);
	free(*p);
	*p = NULL;
}

/* --- the gauge --------------------------------------------------------------------------------------------
 */

static void
keep(struct prepared *p, struct span name)
{
	uint64_t hash = hash_span(name, 0);

	for (size_t i = 0; i < p->nkept; i++) {
		if (p->kept[i] == hash)
			return;
	}
	if (p->nkept == p->cap_kept) {
		p->cap_kept = p->cap_kept > 0 ? p->cap_kept * 2 : 64;
		p->kept = mem_realloc(p->kept, p->cap_kept * sizeof(*p->kept));
	}
	p->kept[p->nkept++] = hash;
	metric_set(&p->metrics->xa_kept, p->nkept);
}

static void
forget(struct prepared *p, struct span name)
{
	uint64_t hash = hash_span(name, 0);

	for (size_t i = 0; i < p->nkept; i++) {
		if (p->kept[i] == hash) {
			p->kept[i] = p->kept[--p->nkept];
			break;
		}
	}
	metric_set(&p->metrics->xa_kept, p->nkept);
}

/* --- what is kept -----------------------------------------------------------------------------------------
 */

static void
add_name(void *arg, struct span name)
{
	struct names *l = arg;

	if (!span_starts(name, SPAN_LIT("xa:")))
		return;
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		l->at = mem_realloc(l->at, l->cap * sizeof(*l->at));
	}
	l->at[l->n] = BUF_INIT;
	buf_put_span(&l->at[l->n++], name);
}

/* *found is false when there is no head. */
static err_t
read_head(struct prepared *p, struct span name, struct prepared_note_head *head, bool *found,
	  struct err_detail *why)
{
	err_t err;

	buf_clear(&p->head);
	err = broker_note_read(p->broker, name, PREPARED_NOTE_HEAD, &p->head, found, why);
	if (err == ERR_OK && *found && !prepared_note_decode(buf_span(&p->head), head))
		err = err_set(why, ERR_CORRUPT,
			      "the note %.*s of the log is not of a kind that this program knows; run the "
			      "program that wrote it, or a later one",
			      SPAN_FMT(name));
	return err;
}

static err_t
load_one(struct prepared *p, struct span name, bool unsure, bool say, struct batch *b, struct err_detail *why)
{
	struct broker_note note = {.change = BROKER_NOTE_DROP, .name = name};
	struct prepared_note_head head;
	struct buf value = BUF_INIT;
	bool found;
	err_t err = read_head(p, name, &head, &found, why);

	if (err != ERR_OK)
		return err;
	if (!found) {
		batch_change_note(b, &note);
		return ERR_OK;
	}
	keep(p, name);
	if (unsure && !head.unsure) {
		head.unsure = true;
		prepared_note_encode(&head, &value);
		note.change = BROKER_NOTE_PUT;
		note.part = PREPARED_NOTE_HEAD;
		note.value = buf_span(&value);
		batch_change_note(b, &note);
		buf_fini(&value);
	}
	if (say)
		log_notice(
		    p->log, "a prepared XA transaction waits for XA COMMIT or XA ROLLBACK; its keys are kept",
		    F_SPAN("xid", span_from(name, 3)), F_UINT("keys", head.nkeys),
		    F_UINT("prepared_us", head.prepared_us), F_STR("sure", head.unsure ? "no" : "yes"));
	return ERR_OK;
}

err_t
prepared_load(struct prepared *p, bool unsure, struct batch *b, struct err_detail *why)
{
	struct names names = {NULL, 0, 0};
	bool rebuilt = false;
	err_t err = broker_note_names(p->broker, add_name, &names, why);

	/* Begun elsewhere: what was lost with a state file no longer counts. */
	buf_clear(&p->head);
	if (err == ERR_OK && unsure)
		err = broker_note_read(p->broker, SPAN_LIT(BROKER_NOTE_REBUILT), 0, &p->head, &rebuilt, why);
	if (err == ERR_OK && rebuilt)
		batch_change_note(b, &(struct broker_note){.change = BROKER_NOTE_DROP,
							   .name = SPAN_LIT(BROKER_NOTE_REBUILT)});
	for (size_t i = 0; i < names.n && err == ERR_OK; i++)
		err = load_one(p, buf_span(&names.at[i]), unsure, i < LISTED, b, why);
	if (err == ERR_OK && names.n > LISTED)
		log_notice(p->log, "prepared XA transactions wait", F_UINT("in_all", names.n),
			   F_UINT("not_listed", names.n - LISTED));
	for (size_t i = 0; i < names.n; i++)
		buf_fini(&names.at[i]);
	free(names.at);
	return err;
}

void
prepared_add(struct prepared *p, const struct queue_item *it)
{
	buf_clear(&p->name);
	prepared_note_name(it->xid, &p->name);
	keep(p, buf_span(&p->name));
}

static err_t
read_part(void *arg, uint32_t n, struct buf *out, struct err_detail *why)
{
	struct prepared *p = arg;
	bool found;
	err_t err = broker_note_read(p->broker, buf_span(&p->name), n, out, &found, why);

	if (err == ERR_OK && !found)
		err = err_set(why, ERR_CORRUPT,
			      "part %u of note %.*s is not in the log; somebody changed the file: move it "
			      "aside, and routers flush their servers once",
			      n, SPAN_FMT(buf_span(&p->name)));
	return err;
}

static void
say_unknown(struct prepared *p, const struct queue_item *it)
{
	metric_inc(&p->metrics->xa_unknown);
	log_error(p->log,
		  "XA COMMIT of a transaction whose XA PREPARE was not read: its keys are not known and not "
		  "delivered; flush what it may have changed",
		  F_SPAN("xid", span_from(buf_span(&p->name), 3)),
		  F_STR("file", it->file != NULL ? it->file->text : NULL), F_UINT("pos", it->pos));
}

/*
 * Nothing is kept for this XA COMMIT.  It is from before the stream began, and that is said; unless the
 * checkpoint was taken from the log because what was kept is lost: then its keys were promised, and reading
 * ends.
 */
static err_t
find_nothing(struct prepared *p, const struct queue_item *it, struct err_detail *why)
{
	bool rebuilt;
	err_t err;

	buf_clear(&p->head);
	err = broker_note_read(p->broker, SPAN_LIT(BROKER_NOTE_REBUILT), 0, &p->head, &rebuilt, why);
	if (err == ERR_OK && rebuilt)
		return err_set(why, ERR_GAP,
			       "XA COMMIT of %.*s, whose keys were in the state file that is lost: flush the "
			       "caches, then "
			       "start with source.start: now",
			       SPAN_FMT(span_from(buf_span(&p->name), 3)));
	if (err == ERR_OK)
		say_unknown(p, it);
	return err;
}

err_t
prepared_find(struct prepared *p, struct queue_item *it, struct err_detail *why)
{
	bool commits = it->kind == QUEUE_XA_COMMIT;
	struct prepared_note_head head;
	bool found;
	err_t err;

	buf_clear(&p->name);
	prepared_note_name(it->xid, &p->name);
	err = read_head(p, buf_span(&p->name), &head, &found, why);
	if (err != ERR_OK)
		return err;
	forget(p, buf_span(&p->name));
	if (!found)
		return commits ? find_nothing(p, it, why) : ERR_OK;
	if (!commits && !head.cannot_be_undone)
		return ERR_OK;
	metric_inc(commits ? &p->metrics->xa_delivered : &p->metrics->xa_not_undone);
	if (commits && head.unsure) {
		metric_inc(&p->metrics->xa_unsure);
		log_warn(
		    p->log,
		    "XA COMMIT of a transaction that was prepared before a gap: its keys are delivered, but "
		    "when its id was used again since, others are missing",
		    F_SPAN("xid", span_from(buf_span(&p->name), 3)), F_UINT("keys", head.nkeys));
	}
	p->parts = (struct keyset_parts){.read = read_part, .arg = p, .nparts = head.nparts};
	it->keys.parts = &p->parts;
	it->keys.nkeys = head.nkeys;
	it->holdoff_ms = head.holdoff_ms;
	free(it->pool);
	it->pool = head.pool.len > 0 ? span_dup(head.pool) : NULL;
	return ERR_OK;
}
