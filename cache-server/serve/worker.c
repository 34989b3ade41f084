#include "cache-server/serve/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cache-server/serve/server.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum { HOT_KEY_SETS = 64, HOT_CLIENT_SETS = 16 };

/* --- sight --------------------------------------------------------------------------------------------- */

static void
make_sight(struct worker *w)
{
	const struct settings *s = w->server->settings;
	uint64_t seed = hash_seed();
	/* Turns are chosen here for all of it, so that the requests of all others cost nothing. */
	uint32_t every = (uint32_t)(s->hot_sample ? s->hot_sample : s->latency_sample);

	sample_init(&w->turns, every, seed);
	w->hot_keys = mem_zalloc(w->server->ncaches, sizeof(struct topk *));
	w->prefixes = mem_zalloc(w->server->ncaches, sizeof(struct prefix *));
	for (size_t i = 0; i < w->server->ncaches; i++) {
		if (s->hot_sample)
			w->hot_keys[i] = topk_create(HOT_KEY_SETS, every, seed + i);
		w->prefixes[i] = prefix_create(s->prefix_delimiter, PREFIX_DEFAULT);
	}
	if (s->hot_sample)
		w->hot_clients = topk_create(HOT_CLIENT_SETS, every, seed ^ 1);
	if (s->latency_sample)
		w->latency = latency_create(every, seed ^ 2);
}

static void
destroy_sight(struct worker *w)
{
	for (size_t i = 0; i < w->server->ncaches && w->hot_keys; i++) {
		topk_destroy(&w->hot_keys[i]);
		prefix_destroy(&w->prefixes[i]);
	}
	free(w->hot_keys);
	free(w->prefixes);
	topk_destroy(&w->hot_clients);
	latency_destroy(&w->latency);
}

void
worker_look(struct worker *w, struct session *s)
{
	w->looking = sample_due(&w->turns);
	if (__builtin_expect(w->looking, 0)) {
		sample_again(&w->turns);
		/* every == 0: only the counter of what is never due ran out. */
		w->looking = w->turns.every != 0;
		w->look_ns = clock_mono_ns(w->server->clock);
	}
	s->host.notes = w->looking || report_detail(w->server->report);
	s->host.logs = watch_wants(w->server->watch);
}

void
worker_looked(struct worker *w, int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	char host[INET6_ADDRSTRLEN];
	struct span name;

	w->looking = false;
	if (w->hot_clients == NULL || getpeername(fd, (struct sockaddr *)&a, &len) < 0)
		return;
	port_host(&a, host, sizeof host);
	name = span_of(host);
	topk_take(w->hot_clients, name, hash_span(name, 0), 1);
}

/* --- the list of connections --------------------------------------------------------------------------- */

bool
worker_add(struct worker *w, struct conn *c)
{
	struct epoll_event e = {.events = c->events, .data.ptr = c};
	bool added;

	/* The worker may close it as soon as epoll knows it, but takes the lock for that: so not before this
	 * is over. */
	pthread_mutex_lock(&w->lock);
	added = epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
	if (added) {
		c->prev = NULL;
		c->next = w->conns;
		if (c->next)
			c->next->prev = c;
		w->conns = c;
	}
	pthread_mutex_unlock(&w->lock);
	return added;
}

void
worker_wait(struct worker *w, struct conn *c)
{
	if (c->waiting)
		return;
	c->waiting = true;
	c->next_waiting = NULL;
	*w->waiting_tail = c;
	w->waiting_tail = &c->next_waiting;
}

static void
forget_waiting(struct worker *w, struct conn *c)
{
	struct conn **at = &w->waiting;

	while (*at && *at != c)
		at = &(*at)->next_waiting;
	if (*at == NULL)
		return;
	*at = c->next_waiting;
	if (c->next_waiting == NULL)
		w->waiting_tail = at;
	c->waiting = false;
}

void
worker_forget(struct worker *w, struct conn *c)
{
	if (c->waiting)
		forget_waiting(w, c);
	pthread_mutex_lock(&w->woken_lock);
	if (c->woken) {
		struct conn **at = &w->woken;

		while (*at && *at != c)
			at = &(*at)->next_woken;
		if (*at)
			*at = c->next_woken;
		c->woken = false;
	}
	pthread_mutex_unlock(&w->woken_lock);
	pthread_mutex_lock(&w->lock);
	if (c->prev)
		c->prev->next = c->next;
	else if (w->conns == c)
		w->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&w->lock);
}

static void
poke(struct worker *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->eventfd, &one, sizeof one);

	(void)n; /* the counter is full only when it was not read: the worker is awake anyway */
}

void
worker_wake(struct worker *w, struct conn *c)
{
	pthread_mutex_lock(&w->woken_lock);
	if (!c->woken) {
		c->woken = true;
		c->next_woken = w->woken;
		w->woken = c;
	}
	pthread_mutex_unlock(&w->woken_lock);
	poke(w);
}

static void
on_wake(struct worker *w)
{
	uint64_t n;
	ssize_t got = read(w->eventfd, &n, sizeof n);

	(void)got;
	for (;;) {
		struct conn *c;

		pthread_mutex_lock(&w->woken_lock);
		c = w->woken;
		if (c) {
			w->woken = c->next_woken;
			c->woken = false;
		}
		pthread_mutex_unlock(&w->woken_lock);
		if (c == NULL)
			return;
		conn_go_on(c);
	}
}

/* --- the thread ---------------------------------------------------------------------------------------- */

/* Once a second, with -o idle_timeout. */
static void
close_idle(struct worker *w, uint32_t now)
{
	uint64_t limit = w->server->settings->idle_timeout;
	struct conn *next;

	w->idle_s = now + 1;
	/* Only this thread takes connections out of the list, and others add at its front. */
	pthread_mutex_lock(&w->lock);
	next = w->conns;
	pthread_mutex_unlock(&w->lock);
	while (next) {
		struct conn *c = next;
		uint32_t last;

		pthread_mutex_lock(&w->lock);
		next = c->next;
		pthread_mutex_unlock(&w->lock);
		last = atomic_load_explicit(&c->last_s, memory_order_relaxed);
		/* One that came just now may be younger than `now`. */
		if (c->watcher || last >= now || now - last <= limit)
			continue;
		metric_bump(&w->metrics.idle_kicks, 1);
		conn_close(c, WATCH_CLOSE_IDLE);
	}
}

static void
seconds(struct worker *w)
{
	uint32_t now = server_now_s(w->server);

	if (w->server->settings->idle_timeout && now >= w->idle_s)
		close_idle(w, now);
	if (now >= w->decay_s) {
		w->decay_s = now + WORKER_WINDOW_S;
		for (size_t i = 0; i < w->server->ncaches; i++) {
			if (w->hot_keys[i])
				topk_decay(w->hot_keys[i]);
		}
		if (w->hot_clients)
			topk_decay(w->hot_clients);
	}
}

/* Those that waited when the round began get one turn each. */
static void
serve_waiting(struct worker *w)
{
	struct conn *last = NULL;

	for (struct conn *c = w->waiting; c; c = c->next_waiting)
		last = c;
	while (w->waiting) {
		struct conn *c = w->waiting;
		bool end = c == last;

		w->waiting = c->next_waiting;
		if (w->waiting == NULL)
			w->waiting_tail = &w->waiting;
		c->waiting = false;
		w->alone = w->waiting == NULL;
		conn_go_on(c);
		if (end)
			break;
	}
}

static void
serve(struct worker *w, struct epoll_event *events, int n)
{
	bool woken = false;

	for (int i = 0; i < n; i++) {
		void *source = events[i].data.ptr;

		switch (*(enum conn_kind *)source) {
		case CONN_STREAM:
			conn_event(source, events[i].events);
			break;
		case CONN_DATAGRAM:
			datagram_event(source);
			break;
		case CONN_WAKE:
			woken = true;
			break;
		}
	}
	/* Last: a watcher that turns out to be gone is freed, and may have an event in this batch. */
	if (woken)
		on_wake(w);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct quiesce *q = w->server->quiesce;
	struct epoll_event events[WORKER_BATCH];
	int rest = w->server->settings->idle_timeout ? 1000 : -1;

	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		int n = epoll_wait(w->epoll, events, WORKER_BATCH, w->waiting ? 0 : rest);

		quiesce_online(q, w->quiesce);
		for (size_t i = 0; i < w->server->ncaches; i++)
			cache_tick(w->caches[i]);
		w->alone = n == 1 && w->waiting == NULL;
		serve(w, events, n);
		if (w->waiting)
			serve_waiting(w);
		seconds(w);
		quiesce_offline(w->quiesce);
	}
	return NULL;
}

/* --- life ---------------------------------------------------------------------------------------------- */

err_t
worker_create(struct worker **out, struct server *s, unsigned number, struct err_detail *why)
{
	struct worker *w = MEM_NEW(struct worker);
	struct epoll_event e = {.events = EPOLLIN};
	err_t err = ERR_OK;

	*out = NULL;
	w->server = s;
	w->number = number;
	w->wake = CONN_WAKE;
	w->waiting_tail = &w->waiting;
	w->decay_s = WORKER_WINDOW_S;
	w->epoll = w->eventfd = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->woken_lock, NULL);
	w->buffer = mem_alloc(WORKER_BUFFER);
	w->spare = mem_alloc(WORKER_SPARE);
	w->spare_cap = WORKER_SPARE;
	w->scratch = s->tls ? mem_alloc(s->settings->ssl_wbuf_size) : NULL;
	w->caches = mem_zalloc(s->ncaches, sizeof(struct cache_thread *));
	metric_set(&w->metrics.read_buf_count, 1);
	metric_set(&w->metrics.read_buf_bytes, WORKER_BUFFER);
	metric_set(&w->metrics.read_buf_bytes_free, WORKER_BUFFER);
	make_sight(w);
	w->ring = watch_ring_create(s->watch);
	w->quiesce = quiesce_join(s->quiesce);
	if (w->quiesce == NULL || w->ring == NULL) {
		err = err_set(why, ERR_CONFIG, "too many threads, or no memory for them; use fewer (-t)");
		goto done;
	}
	for (size_t i = 0; i < s->ncaches; i++) {
		w->caches[i] = cache_join(s->caches[i], w->quiesce);
		if (w->caches[i] == NULL) {
			err = err_set(why, ERR_SYS, "no memory for a thread; use fewer (-t)");
			goto done;
		}
	}
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	e.data.ptr = &w->wake;
	if (w->epoll < 0 || w->eventfd < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->eventfd, &e) < 0) {
		err = err_set(why, ERR_SYS, "cannot make a thread's epoll: %s; raise the limit of open files",
			      strerror(errno));
		goto done;
	}
	w->datagrams = mem_zalloc(s->ports.n + 1, sizeof(struct datagram *));
	for (size_t i = 0; i < s->ports.n; i++) {
		if (s->ports.at[i].kind != PORT_UDP)
			continue;
		err = datagram_create(&w->datagrams[w->ndatagrams], w, &s->ports.at[i], why);
		if (err != ERR_OK)
			goto done;
		w->ndatagrams++;
	}
	*out = w;
	w = NULL;
done:
	worker_destroy(&w);
	return err;
}

err_t
worker_start(struct worker *w, struct err_detail *why)
{
	char name[16];
	err_t err;

	snprintf(name, sizeof name, "worker %u", w->number);
	err = thread_start(&w->thread, name, work, w, why);
	w->started = err == ERR_OK;
	return err;
}

void
worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	poke(w);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void
worker_destroy(struct worker **wp)
{
	struct worker *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	if (w->quiesce)
		quiesce_online(w->server->quiesce, w->quiesce);
	while (w->conns)
		conn_close(w->conns, WATCH_CLOSE_SHUTDOWN);
	for (size_t i = 0; i < w->ndatagrams; i++)
		datagram_destroy(&w->datagrams[i]);
	free(w->datagrams);
	if (w->quiesce)
		quiesce_offline(w->quiesce);
	for (size_t i = 0; i < w->server->ncaches; i++) {
		if (w->caches[i])
			cache_leave(&w->caches[i]);
	}
	if (w->quiesce)
		quiesce_leave(w->server->quiesce, &w->quiesce);
	if (w->epoll >= 0)
		close(w->epoll);
	if (w->eventfd >= 0)
		close(w->eventfd);
	destroy_sight(w);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->woken_lock);
	free(w->caches);
	free(w->buffer);
	free(w->spare);
	free(w->scratch);
	free(w);
}
