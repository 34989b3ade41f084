#include "cache-server/serve/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache-server/serve/conn.h"
#include "cache-server/serve/host.h"
#include "cache-server/serve/server.h"
#include "cache-server/serve/worker.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum {
	ACCEPTS = 64,	    /* in one go */
	RETRY_MS = 100,	    /* when there is no descriptor left */
	PEER_SLOTS = 65536, /* of -o max_connections_per_ip */
};

struct door {
	struct server *server;
	struct loop_fd *watches; /* one for each port that is not UDP */
	size_t nwatches;
	struct loop_timer retry;
	_Atomic uint64_t inside;
	_Atomic bool closed;
	uint64_t closed_ns;
	unsigned next; /* worker */
	struct serve_metrics metrics;

	/* -o max_connections_per_ip: connections for each hash of an address; two that share one share the
	 * limit. */
	_Atomic uint32_t *peers;
	uint64_t seed;
};

static void
watch_all(struct door *d, int what)
{
	for (size_t i = 0; i < d->nwatches; i++)
		loop_fd_want(&d->watches[i], what);
}

static void
reopen(struct door *d)
{
	uint64_t now = clock_mono_ns(d->server->clock);

	if (!atomic_load(&d->closed))
		return;
	metric_bump(&d->metrics.time_in_listen_disabled_us, (now - d->closed_ns) / 1000);
	atomic_store(&d->closed, false);
	loop_timer_stop(&d->retry);
	watch_all(d, LOOP_READ);
}

static void
on_left(void *arg)
{
	struct door *d = arg;

	if (atomic_load(&d->inside) < d->server->settings->maxconns)
		reopen(d);
}

static void
on_retry(void *arg)
{
	struct door *d = arg;

	if (atomic_load(&d->inside) < d->server->settings->maxconns)
		reopen(d);
	else
		loop_timer_stop(&d->retry);
}

/* `retry`: nobody will say when there is room again. */
static void
stop_accepting(struct door *d, bool retry)
{
	if (!atomic_load(&d->closed)) {
		metric_bump(&d->metrics.listen_disabled_num, 1);
		d->closed_ns = clock_mono_ns(d->server->clock);
		atomic_store(&d->closed, true);
		watch_all(d, 0);
	}
	if (retry)
		loop_timer_once(&d->retry, RETRY_MS);
	else if (atomic_load(&d->inside) < d->server->settings->maxconns)
		reopen(d);
}

/* 0: no place for another one from this address. */
static bool
peer_enter(struct door *d, const struct sockaddr_storage *a, uint32_t *peer)
{
	struct span key;
	_Atomic uint32_t *n;

	*peer = 0;
	if (d->peers == NULL)
		return true;
	if (a->ss_family == AF_INET)
		key = span_make(&((const struct sockaddr_in *)a)->sin_addr, 4);
	else if (a->ss_family == AF_INET6)
		key = span_make(&((const struct sockaddr_in6 *)a)->sin6_addr, 16);
	else
		return true;
	*peer = 1 + (uint32_t)(hash_span(key, d->seed) % (PEER_SLOTS - 1));
	n = &d->peers[*peer];
	if (atomic_load_explicit(n, memory_order_relaxed) >= d->server->settings->max_connections_per_ip)
		return false;
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
	return true;
}

void
door_leave(struct door *d, uint32_t peer)
{
	if (d->peers && peer)
		atomic_fetch_sub_explicit(&d->peers[peer], 1, memory_order_relaxed);
	atomic_fetch_sub(&d->inside, 1);
	if (atomic_load(&d->closed))
		loop_post(d->server->loop, on_left, d);
}

static void
refuse(struct door *d, int fd, const struct port *port)
{
	static const char text[] = "ERROR Too many open connections\r\n";

	metric_bump(&d->metrics.rejected_connections, 1);
	if (port->tls == LISTEN_PLAIN) {
		ssize_t n = send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

		(void)n; /* a courtesy */
	}
	close(fd);
}

static void
enter(struct door *d, const struct port *port, int fd, const struct sockaddr_storage *a)
{
	struct server *s = d->server;
	struct worker *w;
	struct conn *c;
	uint32_t peer;

	if (s->settings->maxconns_fast && atomic_load(&d->inside) >= s->settings->maxconns) {
		refuse(d, fd, port);
		return;
	}
	if (!peer_enter(d, a, &peer)) {
		refuse(d, fd, port);
		return;
	}
	atomic_fetch_add(&d->inside, 1);
	w = s->workers[d->next++ % s->nworkers];
	c = conn_create(w, port, fd);
	if (c == NULL) {
		metric_bump(&d->metrics.malloc_fails, 1);
		door_leave(d, peer);
		return;
	}
	c->peer = peer;
	metric_bump(&d->metrics.curr_connections, 1);
	metric_bump(&d->metrics.connection_structures, 1);
	metric_bump(&d->metrics.total_connections, 1);
	if (__builtin_expect((watch_wants(s->watch) & WATCH_CONNEVENTS) != 0, 0))
		host_log_open(c, a);
	host_say_new(s, fd, port);
	if (!worker_add(w, c)) {
		metric_bump(&d->metrics.malloc_fails, 1);
		metric_bump(&d->metrics.curr_connections, (uint64_t)-1);
		metric_bump(&d->metrics.connection_structures, (uint64_t)-1);
		session_fini(&c->session);
		tls_close(&c->tls);
		close(fd);
		free(c);
		door_leave(d, peer);
	}
}

static void
on_port(void *arg, int what)
{
	const struct port *port = arg;
	struct door *d = NULL;

	(void)what;
	d = port->door;
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage a = {0};
		socklen_t len = sizeof a;
		int fd;

		if (!d->server->settings->maxconns_fast &&
		    atomic_load(&d->inside) >= d->server->settings->maxconns) {
			stop_accepting(d, false);
			return;
		}
		fd = accept4(port->fd, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			enter(d, port, fd, &a);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (atomic_load_explicit(&d->server->verbose, memory_order_relaxed) > 0)
				fprintf(stderr, "Too many open connections\n");
			stop_accepting(d, true);
		}
		return; /* EAGAIN, or a client that gave up */
	}
}

err_t
door_open(struct door **out, struct server *s, struct err_detail *why)
{
	struct door *d = MEM_NEW(struct door);

	d->server = s;
	d->seed = hash_seed();
	if (s->settings->max_connections_per_ip)
		d->peers = mem_zalloc(PEER_SLOTS, sizeof *d->peers);
	d->watches = mem_zalloc(s->ports.n + 1, sizeof *d->watches);
	loop_timer_init(&d->retry, s->loop, on_retry, d);
	s->door = d;
	for (size_t i = 0; i < s->ports.n; i++) {
		struct port *p = &s->ports.at[i];

		if (p->kind == PORT_UDP)
			continue;
		p->door = d;
		loop_fd_init(&d->watches[d->nwatches], s->loop, p->fd, on_port, p);
		loop_fd_want(&d->watches[d->nwatches++], LOOP_READ);
	}
	*out = d;
	return ERR_OK;
}

void
door_close(struct door **dp)
{
	struct door *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->nwatches; i++)
		loop_fd_fini(&d->watches[i]);
	loop_timer_stop(&d->retry);
	free(d->watches);
	free((void *)d->peers);
	free(d);
}

bool
door_is_open(const struct door *d)
{
	return !atomic_load(&((struct door *)d)->closed);
}

struct serve_metrics *
door_metrics(struct door *d)
{
	return &d->metrics;
}
