#include "squeal/binlog/watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/position.h"

/* What one endpoint has. */
struct holding {
	bool known;
	bool takes_writes;
	struct position has;
};

struct watch {
	const struct source_options *opt;
	const struct endpoints *all;
	watch_stale_fn *stale;
	void *arg;
	struct conn *conns[ENDPOINTS_MAX];    /* the thread's */
	struct holding before[ENDPOINTS_MAX]; /* the same; what each had at the check before */

	pthread_t thread;
	bool runs;
	int wake; /* eventfd: the end */
	_Atomic bool end;

	pthread_mutex_t lock; /* for all that follows */
	size_t current;
	uint64_t generation; /* of `current` */
	bool is_stale;
	size_t ahead;
	struct err_detail why;
};

static void
take_holding(void *arg, const struct span *v, unsigned n)
{
	struct holding *h = arg;

	h->takes_writes = span_is(v[0], "0");
	h->known = position_parse(v[1], &h->has, NULL) == ERR_OK;
}

/* An endpoint that cannot be asked is not known; why not is the business of those who read from it. */
static void
ask(struct watch *w, size_t i, struct holding *h)
{
	struct err_detail why = {0};
	const char *sql;

	*h = (struct holding){0};
	if (!conn_is_open(w->conns[i]) && conn_open_at(w->conns[i], &w->all->at[i], &why) != ERR_OK)
		return;
	sql = conn_flavour(w->conns[i]) == CONN_MARIADB
		  ? "SELECT @@global.read_only, @@global.gtid_binlog_pos"
		  : "SELECT @@global.read_only, @@global.gtid_executed";
	if (conn_ask(w->conns[i], sql, take_holding, h, &why) != ERR_OK)
		conn_close(w->conns[i]);
}

/* True when `a` has everything that `b` has; positions of different kinds say nothing. */
static bool
covers(const struct position *a, const struct position *b)
{
	if (b->kind == POSITION_EMPTY)
		return true;
	if (a->kind != POSITION_EMPTY && a->kind != b->kind)
		return true;
	if (b->kind == POSITION_MYSQL)
		return gtid_set_covers(&a->mysql, &b->mysql);
	for (size_t i = 0; i < b->mariadb.n; i++) {
		const struct gtid *g = &b->mariadb.ids[i];
		const struct gtid *has = gtid_pos_find(&a->mariadb, g->domain);

		if (has == NULL || has->seq < g->seq)
			return false;
	}
	return true;
}

static void
tell(struct watch *w, uint64_t generation, size_t current, size_t ahead)
{
	struct endpoint_text old = endpoint_text(&w->all->at[current]),
			     new = endpoint_text(&w->all->at[ahead]);

	pthread_mutex_lock(&w->lock);
	if (w->generation == generation && !w->is_stale) {
		w->is_stale = true;
		w->ahead = ahead;
		err_clear(&w->why);
		err_set(&w->why, ERR_CONN,
			"%s lacks transactions that %s, which takes writes, has had for longer than "
			"source.endpoint_check: it is not the primary any more, or does not replicate; going "
			"on with "
			"the other one",
			old.text, new.text);
		w->stale(w->arg);
	}
	pthread_mutex_unlock(&w->lock);
}

static void
forget(struct watch *w)
{
	for (size_t i = 0; i < w->all->n; i++) {
		position_fini(&w->before[i].has);
		w->before[i] = (struct holding){0};
	}
}

/* The followed endpoint is asked last, so that it has had the whole time. */
static void
check(struct watch *w, uint64_t generation, size_t current)
{
	struct holding now[ENDPOINTS_MAX] = {{0}};
	size_t ahead = SIZE_MAX;

	for (size_t i = 0; i < w->all->n && !w->end; i++) {
		if (i != current)
			ask(w, i, &now[i]);
	}
	ask(w, current, &now[current]);
	for (size_t i = 0; now[current].known && i < w->all->n; i++) {
		if (i != current && w->before[i].known && now[i].known && now[i].takes_writes &&
		    !covers(&now[current].has, &w->before[i].has))
			ahead = i;
	}
	forget(w);
	for (size_t i = 0; i < w->all->n; i++)
		w->before[i] = now[i];
	if (ahead != SIZE_MAX)
		tell(w, generation, current, ahead);
}

static void *
run(void *arg)
{
	struct watch *w = arg;
	uint64_t seen = 0;

	while (!w->end) {
		struct pollfd p = {.fd = w->wake, .events = POLLIN};
		uint64_t generation;
		size_t current;

		poll(&p, 1, (int)w->opt->endpoint_check);
		pthread_mutex_lock(&w->lock);
		generation = w->generation;
		current = w->current;
		pthread_mutex_unlock(&w->lock);
		if (generation != seen)
			forget(w);
		seen = generation;
		if (!w->end && current < w->all->n)
			check(w, generation, current);
	}
	return NULL;
}

struct watch *
watch_create(const struct source_options *opt, const struct endpoints *all, watch_stale_fn *stale, void *arg)
{
	struct watch *w = MEM_NEW(struct watch);

	w->opt = opt;
	w->all = all;
	w->stale = stale;
	w->arg = arg;
	w->current = SIZE_MAX;
	pthread_mutex_init(&w->lock, NULL);
	for (size_t i = 0; i < all->n; i++)
		w->conns[i] = conn_create(opt);
	w->wake = eventfd(0, EFD_CLOEXEC);
	w->runs = w->wake >= 0 && thread_start(&w->thread, "squeal-watch", run, w, NULL) == ERR_OK;
	if (!w->runs)
		watch_destroy(&w);
	return w;
}

void
watch_destroy(struct watch **wp)
{
	struct watch *w = *wp;
	uint64_t one = 1;

	*wp = NULL;
	if (w == NULL)
		return;
	w->end = true;
	for (size_t i = 0; i < w->all->n; i++)
		conn_interrupt(w->conns[i]);
	if (w->runs && write(w->wake, &one, sizeof(one)) == sizeof(one))
		pthread_join(w->thread, NULL);
	for (size_t i = 0; i < w->all->n; i++)
		conn_destroy(&w->conns[i]);
	forget(w);
	if (w->wake >= 0)
		close(w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void
watch_follow(struct watch *w, size_t index)
{
	pthread_mutex_lock(&w->lock);
	w->current = index;
	w->generation++;
	w->is_stale = false;
	pthread_mutex_unlock(&w->lock);
}

bool
watch_is_stale(struct watch *w, size_t *ahead, struct err_detail *why)
{
	bool is;

	pthread_mutex_lock(&w->lock);
	is = w->is_stale;
	if (is) {
		*ahead = w->ahead;
		*why = w->why;
	}
	pthread_mutex_unlock(&w->lock);
	return is;
}
