/*
 * conn - one client's connection: a socket, a session, and what waits between them.
 *
 * A turn of a connection is: one recv (none when the session goes on with what it has), session_feed() until
 * nothing whole is left, one send.  Requests are read into the worker's buffer; only what is left over, part
 * of a request, is copied into memory of the connection's own.  Replies are made in a buffer that the worker
 * lends and that stays with the connection only while it could not be sent.  So an idle connection is this
 * struct and what the kernel has.
 *
 * A client that does not read: the session asks for SESSION_DRAIN when much is pending, and nothing more is
 * read from the client until all is sent.
 *
 * Threads: conn_create() by the thread that accepted, the rest by the worker of the connection; `state`,
 * `last_s` by any, under the worker's lock, which keeps the connection from going away.   Blocks: as
 * session_feed().   Clock: the server's.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_CONN_H
#define SQUEAL_CACHE_SERVER_SERVE_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cache-server/proto/session.h"
#include "cache-server/report/watch.h"
#include "cache-server/serve/port.h"
#include "cache-server/serve/tls.h"

struct worker;

/* What an event of epoll is for; every struct that waits begins with it. */
enum conn_kind { CONN_STREAM, CONN_DATAGRAM, CONN_WAKE };

struct conn {
	enum conn_kind kind;
	int fd;
	uint32_t events; /* that epoll waits for */
	bool waiting, closing,
	    woken;    /* on the worker's list of those with work left; close when sent; below */
	bool counted; /* by the door */
	struct worker *worker;
	const struct port *port;
	struct tls_session *tls; /* NULL: plain */
	char *in;		 /* left over: shown again with what follows; NULL when nothing is */
	size_t in_len, in_cap;
	struct out out;
	struct watcher *watcher;
	_Atomic(const char *) state; /* of session.state_name, for `stats conns` */
	_Atomic uint32_t last_s;     /* when it was last heard of */
	uint32_t peer;		     /* of the door: which address it counts for */
	struct conn *prev, *next;    /* the worker's, under its lock */
	struct conn *next_waiting;
	struct conn *next_woken; /* under the lock of worker.woken */
	struct session session;
};

/* The socket belongs to the connection from here on, also when it fails (NULL: no memory). */
struct conn *conn_create(struct worker *w, const struct port *port, int fd);

/* epoll says that there is something. */
void conn_event(struct conn *c, uint32_t events);

/* Goes on without an event: it had to let others pass, or a watcher has lines. */
void conn_go_on(struct conn *c);

void conn_close(struct conn *c, enum watch_close reason);

/* Calls fn with what `stats conns` shows.  Any thread, with the worker's lock. */
struct report_connection;
void conn_report(const struct conn *c, uint32_t now_s, void (*fn)(void *, const struct report_connection *),
		 void *arg);

#endif
