/*
 * worker - a thread with its own epoll and its own connections.
 *
 * It waits for events, goes online (quiesce.h), serves up to WORKER_BATCH of them, then those connections
 * that had to let others pass, goes offline and waits again.  Asleep it delays nobody.
 *
 * Threads: life by main; worker_add() by the thread that accepts; worker_wake() by any; the rest by the
 * worker itself.   Blocks: worker_stop() until its batch is over.   Clock: the caches', and the server's
 * seconds.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_WORKER_H
#define SQUEAL_CACHE_SERVER_SERVE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "cache-server/report/report.h"
#include "cache-server/report/serve_metrics.h"
#include "cache-server/serve/conn.h"
#include "cache-server/serve/datagram.h"
#include "cache-server/sight/latency.h"
#include "cache-server/sight/prefix.h"
#include "lib/core/err.h"
#include "lib/core/sample.h"
#include "lib/core/topk.h"

struct server;

enum {
	WORKER_BATCH = 128,    /* events of one epoll_wait */
	WORKER_BUFFER = 65536, /* bytes read at once */
	WORKER_SPARE = 16384,  /* first size of the buffer for replies */
	WORKER_WINDOW_S = 60,  /* hot keys and clients forget half */
};

struct worker {
	struct server *server;
	unsigned number;
	pthread_t thread;
	bool started;
	int epoll, eventfd;
	enum conn_kind wake; /* CONN_WAKE: what the eventfd's events point to */
	_Atomic bool stop;

	struct quiesce_thread *quiesce;
	struct cache_thread **caches; /* one for each container */

	char *buffer; /* WORKER_BUFFER bytes, for the connection whose turn it is */
	char *spare;  /* for replies; NULL while lent to a connection that could not send all */
	size_t spare_cap;
	char *scratch; /* for TLS */
	bool alone;    /* the connection whose turn it is is the only one with work */

	struct conn *waiting, **waiting_tail; /* had their turn and have work left */
	pthread_mutex_t lock;		      /* of the list of connections */
	struct conn *conns;
	pthread_mutex_t woken_lock;
	struct conn *woken; /* watchers that have lines */

	struct datagram **datagrams; /* UDP sockets, shared with the other workers */
	size_t ndatagrams;

	struct serve_metrics metrics;
	struct watch_ring *ring;

	/* Sight: all of it looks at turns that are chosen by `turns`, and notes all requests of such a turn.
	 */
	struct sample turns;
	bool looking;		/* at this turn */
	uint64_t look_ns;	/* when the last request of this turn was done */
	struct topk **hot_keys; /* one for each container; NULL: not kept */
	struct prefix **prefixes;
	struct topk *hot_clients;
	struct latency *latency;
	uint32_t decay_s, idle_s; /* when the next is due */
};

/* Joins the containers; the thread is not running yet. */
err_t worker_create(struct worker **out, struct server *s, unsigned number,
		    struct err_detail *why) MUST_CHECK;
err_t worker_start(struct worker *w, struct err_detail *why) MUST_CHECK;

/* Stops and joins the thread. */
void worker_stop(struct worker *w);

/* Closes its connections.  The thread has been stopped; NULL is fine. */
void worker_destroy(struct worker **w);

/* The accepting thread: makes it the worker's.  False: not possible, the connection is still the caller's. */
bool worker_add(struct worker *w, struct conn *c);

/* Any thread: conn_go_on() for a watcher soon. */
void worker_wake(struct worker *w, struct conn *c);

/* --- for conn.c and datagram.c ---------------------------------------------------------------------------
 */

/* In the list of those with work left. */
void worker_wait(struct worker *w, struct conn *c);

/* Takes it out of all lists and epoll. */
void worker_forget(struct worker *w, struct conn *c);

/* Before and after a session is fed: chooses turns for sight and tells the session who watches. */
void worker_look(struct worker *w, struct session *s);

/* Notes the client of a turn that was looked at. */
void worker_looked(struct worker *w, int fd);

#endif
