/* writer - sends transactions of several kinds, each with its keys, at a steady rate. */
#include <errmsg.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "integration/demo/app.h"
#include "markers/squeal.h"

enum { MAX_KEYS = 4 };

enum outcome { COMMITTED, UNCHANGED, ROLLED_BACK, INDETERMINATE };

/* One transaction while it is written. */
struct work {
	struct app_thread *t;
	uint64_t n;
	uint64_t rows; /* changed so far */
	unsigned keys; /* embedded so far */
	enum outcome outcome;
};

static bool
connection_lost(MYSQL *db)
{
	unsigned e = mysql_errno(db);

	return (e >= CR_MIN_ERROR && e <= CR_MAX_ERROR) || e == ER_SERVER_SHUTDOWN ||
	       e == ER_CONNECTION_KILLED;
}

/* Sends a statement as it is.  On failure the transaction is over; `commits`: and may have happened. */
static bool
send_plain(struct work *w, const char *sql, size_t n, bool commits)
{
	MYSQL *db = w->t->db;

	if (mysql_real_query(db, sql, n) == 0)
		return true;
	w->t->app->sql_errors++;
	if (connection_lost(db)) {
		w->outcome = commits ? INDETERMINATE : ROLLED_BACK;
		app_disconnect(w->t);
	} else {
		w->outcome = ROLLED_BACK;
		if (mysql_query(db, "ROLLBACK") != 0)
			app_disconnect(w->t);
	}
	return false;
}

static bool
send_text(struct work *w, const char *sql)
{
	return send_plain(w, sql, strlen(sql), false);
}

static bool
send_commit(struct work *w)
{
	return send_plain(w, "COMMIT", 6, true);
}

/*
 * Sends a statement about item `id` with the keys that it makes wrong.  `commits`: it is a transaction of its
 * own.  `undone`: it will be rolled back to a savepoint.
 */
static bool
send_change(struct work *w, unsigned id, bool commits, bool undone, const char *fmt, ...)
{
	char sql[512], text[MAX_KEYS][64];
	struct squeal_bytes keys[MAX_KEYS];
	struct squeal_keys what = {.keys = keys};
	char *with_keys;
	size_t size;
	va_list args;
	bool ok;

	va_start(args, fmt);
	vsnprintf(sql, sizeof(sql), fmt, args);
	va_end(args);
	if (undone) {
		snprintf(text[what.nkeys++], sizeof(text[0]), APP_PREFIX "rb:%llu", (unsigned long long)w->n);
	} else {
		snprintf(text[what.nkeys++], sizeof(text[0]), APP_PREFIX "tx:%llu", (unsigned long long)w->n);
		snprintf(text[what.nkeys++], sizeof(text[0]), APP_PREFIX "item:%u", id);
		snprintf(text[what.nkeys++], sizeof(text[0]), APP_PREFIX "shelf:%u", id / APP_SHELF);
		w->keys += 3;
	}
	for (size_t i = 0; i < what.nkeys; i++)
		keys[i] = (struct squeal_bytes){text[i], strlen(text[i])};
	if (squeal_embed(sql, strlen(sql), &what, NULL, &with_keys, &size) != SQUEAL_OK)
		abort();
	ok = send_plain(w, with_keys, size, commits);
	squeal_free(with_keys);
	if (ok && !undone)
		w->rows += mysql_affected_rows(w->t->db);
	return ok;
}

static bool
update(struct work *w, unsigned id, bool commits, bool undone)
{
	return send_change(w, id, commits, undone, "UPDATE items SET v = %llu WHERE id = %u",
			   (unsigned long long)w->n, id);
}

static void
one_update(struct work *w, unsigned a, unsigned b)
{
	(void)b;
	update(w, a, true, false);
}

static void
two_updates(struct work *w, unsigned a, unsigned b)
{
	/* In the order of their ids, or two writers would wait for each other. */
	if (send_text(w, "BEGIN") && update(w, a < b ? a : b, false, false) &&
	    update(w, a < b ? b : a, false, false))
		send_commit(w);
}

static void
remove_item(struct work *w, unsigned a, unsigned b)
{
	(void)b;
	send_change(w, a, true, false, "DELETE FROM items WHERE id = %u", a);
}

static void
put_item(struct work *w, unsigned a, unsigned b)
{
	(void)b;
	send_change(w, a, true, false, "REPLACE INTO items (id, v) VALUES (%u, %llu)", a,
		    (unsigned long long)w->n);
}

static void
rolled_back(struct work *w, unsigned a, unsigned b)
{
	(void)b;
	if (send_text(w, "BEGIN") && update(w, a, false, false) && send_text(w, "ROLLBACK"))
		w->outcome = ROLLED_BACK;
}

static void
back_to_savepoint(struct work *w, unsigned a, unsigned b)
{
	if (send_text(w, "BEGIN") && update(w, a < b ? a : b, false, false) && send_text(w, "SAVEPOINT s") &&
	    update(w, a < b ? b : a, false, true) && send_text(w, "ROLLBACK TO SAVEPOINT s"))
		send_commit(w);
}

/* How many of a hundred transactions are of each kind. */
static const struct {
	unsigned share;
	void (*run)(struct work *w, unsigned a, unsigned b);
} kinds[] = {
    {60, one_update}, {15, two_updates}, {3, remove_item},
    {10, put_item},   {7, rolled_back},	 {5, back_to_savepoint},
};

static void
write_journal(struct work *w, uint64_t now)
{
	struct app *a = w->t->app;
	unsigned long long n = w->n;

	switch (w->outcome) {
	case COMMITTED:
		a->commits++;
		a->keys += w->keys;
		fprintf(a->journal, "C %llu %llu %u\n", n, (unsigned long long)now, w->keys);
		break;
	case UNCHANGED:
		/* Nothing changed, so nothing in a cache is wrong; whether the binlog has it depends on its
		 * format. */
		a->unchanged++;
		break;
	case ROLLED_BACK:
		a->rollbacks++;
		fprintf(a->journal, "R %llu\n", n);
		break;
	case INDETERMINATE:
		a->indeterminate++;
		fprintf(a->journal, "I %llu\n", n);
		break;
	}
}

static void
write_one(struct app_thread *t)
{
	struct work w = {.t = t, .outcome = COMMITTED};
	struct app *a = t->app;
	unsigned item = (unsigned)app_random(t, a->items), other = (unsigned)app_random(t, a->items);
	unsigned pick = (unsigned)app_random(t, 100);
	size_t kind = 0;

	if (!app_connect(t))
		return;
	w.n = a->next++;
	while (pick >= kinds[kind].share)
		pick -= kinds[kind++].share;
	kinds[kind].run(&w, item, other);
	if (w.outcome == COMMITTED && w.rows == 0)
		w.outcome = UNCHANGED;
	write_journal(&w, app_now_us());
}

void *
writer_main(void *thread)
{
	struct app_thread *t = thread;

	mysql_thread_init();
	while (!t->app->stop_writing) {
		app_pace(t);
		write_one(t);
	}
	app_disconnect(t);
	mysql_thread_end();
	return NULL;
}
