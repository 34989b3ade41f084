#include "cache-server/serve/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cache-server/serve/door.h"
#include "cache-server/serve/host.h"
#include "cache-server/serve/server.h"
#include "cache-server/serve/worker.h"

enum {
	IOV_MAX_PIECES = 64,
	SEND_ROUNDS = 8,   /* of sendmsg in one turn, for replies of many pieces */
	SINK_ROUNDS = 16,  /* of recv in one turn, for large values */
	YIELD_ROUNDS = 64, /* turns in a row while nobody else has work */
};

enum conn_next { CONN_OPEN, CONN_GONE };

struct conn *
conn_create(struct worker *w, const struct port *port, int fd)
{
	struct session_host host = {.ops = host_ops()};
	struct conn *c = malloc(sizeof *c);

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	memset(c, 0, offsetof(struct conn, session));
	c->kind = CONN_STREAM;
	c->fd = fd;
	c->events = EPOLLIN;
	c->worker = w;
	c->port = port;
	atomic_init(&c->state, "conn_new_cmd");
	atomic_init(&c->last_s, server_now_s(w->server));
	out_init(&c->out);
	host.arg = c;
	session_init(&c->session, w->caches[port->container], &w->server->limits[port - w->server->ports.at],
		     &host, &c->out);
	if (port->tls != LISTEN_PLAIN) {
		c->tls = tls_accept(w->server->tls, fd, port->tls);
		if (c->tls == NULL) {
			close(fd);
			free(c);
			return NULL;
		}
	}
	return c;
}

void
conn_close(struct conn *c, enum watch_close reason)
{
	struct worker *w = c->worker;
	struct server *s = w->server;

	if (__builtin_expect((watch_wants(s->watch) & WATCH_CONNEVENTS) != 0, 0))
		host_log_close(c, reason);
	watch_remove(s->watch, &c->watcher);
	worker_forget(w, c);
	session_fini(&c->session);
	out_fini(&c->out);
	tls_close(&c->tls);
	close(c->fd); /* and leaves epoll */
	if (c->in) {
		metric_bump(&w->metrics.read_buf_count, (uint64_t)-1);
		metric_bump(&w->metrics.read_buf_bytes, (uint64_t) - (int64_t)c->in_cap);
		free(c->in);
	}
	metric_bump(&w->metrics.curr_connections, (uint64_t)-1);
	metric_bump(&w->metrics.connection_structures, (uint64_t)-1);
	door_leave(s->door, c->peer);
	free(c);
}

static enum conn_next
gone(struct conn *c, enum watch_close reason)
{
	conn_close(c, reason);
	return CONN_GONE;
}

static void
want(struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (c->events == events)
		return;
	c->events = events;
	(void)epoll_ctl(c->worker->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

/* --- bytes out ----------------------------------------------------------------------------------------- */

/* Replies are made in the worker's buffer as long as they can be sent at once. */
static inline void
lend(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->out.bytes == NULL && w->spare) {
		c->out.bytes = w->spare;
		c->out.cap = w->spare_cap;
		w->spare = NULL;
	}
}

static inline void
take_back(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->out.bytes == NULL || out_pending(&c->out) > 0)
		return;
	if (w->spare == NULL) {
		w->spare = c->out.bytes;
		w->spare_cap = c->out.cap;
	} else
		free(c->out.bytes);
	c->out.bytes = NULL;
	c->out.cap = 0;
	if (c->out.refs) {
		free(c->out.refs);
		c->out.refs = NULL;
		c->out.cap_refs = 0;
	}
}

static ssize_t
send_some(struct conn *c)
{
	struct out *o = &c->out;
	struct iovec iov[IOV_MAX_PIECES];
	struct msghdr m = {.msg_iov = iov};

	if (__builtin_expect(c->tls != NULL, 0)) {
		int n = out_iov(o, iov, IOV_MAX_PIECES);
		ssize_t sent =
		    tls_write(c->tls, iov, n, c->worker->scratch, c->worker->server->settings->ssl_wbuf_size);

		if (sent == TLS_WANT_READ || sent == TLS_WANT_WRITE)
			errno = EAGAIN;
		else if (sent < 0) {
			metric_bump(&c->worker->metrics.ssl_proto_errors, 1);
			errno = EPIPE;
		}
		return sent;
	}
	if (__builtin_expect(o->nrefs == 0, 1))
		return send(c->fd, o->bytes + o->head, o->len - o->head, MSG_NOSIGNAL);
	m.msg_iovlen = (size_t)out_iov(o, iov, IOV_MAX_PIECES);
	return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

/* False: the connection is broken. */
static bool
flush(struct conn *c)
{
	struct out *o = &c->out;
	struct cache_counters *count = cache_thread_counters(c->session.cache);

	if (__builtin_expect(o->failed, 0)) {
		metric_bump(&c->worker->metrics.response_obj_oom, 1);
		return false;
	}
	for (int i = 0; out_pending(o) > 0; i++) {
		size_t pending = out_pending(o);
		ssize_t n = send_some(c);

		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
		metric_bump(&count->bytes_written, (uint64_t)n);
		if (__builtin_expect((size_t)n == pending && o->nrefs == 0, 1)) {
			o->len = o->head = 0;
			return true;
		}
		out_sent(o, (size_t)n);
		/* Short, and not for want of pieces or of TLS records: the socket is full. */
		if (o->nrefs == 0 && c->tls == NULL)
			return true;
		if (i >= SEND_ROUNDS)
			return true;
	}
	return true;
}

/* --- bytes in ------------------------------------------------------------------------------------------ */

/* What the session did not take stays with the connection. */
static bool
keep(struct conn *c, const char *from, size_t n)
{
	struct worker *w = c->worker;

	if (n == 0) {
		if (__builtin_expect(c->in != NULL, 0)) {
			metric_bump(&w->metrics.read_buf_count, (uint64_t)-1);
			metric_bump(&w->metrics.read_buf_bytes, (uint64_t) - (int64_t)c->in_cap);
			free(c->in);
			c->in = NULL;
			c->in_cap = c->in_len = 0;
		}
		return true;
	}
	if (n > c->in_cap) {
		size_t cap = n < 1024 ? 1024 : (n + 4095) & ~(size_t)4095;
		uint64_t limit = w->server->settings->read_buf_mem_limit / w->server->nworkers;
		char *in;

		if (limit && metric_get(&w->metrics.read_buf_bytes) + cap > limit + WORKER_BUFFER)
			in = NULL;
		else
			in = realloc(c->in, cap);
		if (in == NULL) {
			metric_bump(&w->metrics.read_buf_oom, 1);
			return false;
		}
		if (c->in == NULL)
			metric_bump(&w->metrics.read_buf_count, 1);
		metric_bump(&w->metrics.read_buf_bytes, cap - c->in_cap);
		c->in = in;
		c->in_cap = cap;
	}
	memcpy(c->in, from, n);
	c->in_len = n;
	return true;
}

/* > 0: bytes; 0: the end; -1: none now; -2: broken. */
static ssize_t
receive(struct conn *c, char *to, size_t max)
{
	ssize_t n;

	if (__builtin_expect(c->tls != NULL, 0)) {
		bool open = tls_is_open(c->tls);

		n = tls_read(c->tls, to, max);
		if (n == TLS_WANT_READ || n == TLS_WANT_WRITE) {
			want(c, n == TLS_WANT_READ ? EPOLLIN : EPOLLOUT);
			return -1;
		}
		if (n == TLS_ERROR) {
			metric_bump(open ? &c->worker->metrics.ssl_proto_errors
					 : &c->worker->metrics.ssl_handshake_errors,
				    1);
			return -2;
		}
	} else {
		n = recv(c->fd, to, max, 0);
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? -1 : -2;
	}
	if (n > 0)
		metric_bump(&cache_thread_counters(c->session.cache)->bytes_read, (uint64_t)n);
	return n;
}

/* A large value goes where it will stay. */
static enum conn_next
read_sink(struct conn *c)
{
	for (int i = 0; i < SINK_ROUNDS && c->session.want == SESSION_SINK; i++) {
		size_t max = 0;
		char *to = session_sink(&c->session, &max);
		ssize_t n = receive(c, to, max);

		if (n == -1)
			return CONN_OPEN;
		if (n <= 0)
			return gone(c, n == 0 ? WATCH_CLOSE_NORMAL : WATCH_CLOSE_ERROR);
		session_sunk(&c->session, (size_t)n);
		if ((size_t)n < max && c->tls == NULL)
			break;
	}
	return CONN_OPEN;
}

/* --- a turn -------------------------------------------------------------------------------------------- */

static inline bool
says_lines(const struct conn *c)
{
	return atomic_load_explicit(&c->worker->server->verbose, memory_order_relaxed) > 1;
}

static void
noted(struct conn *c)
{
	const char *name = c->session.state_name;

	if (atomic_load_explicit(&c->state, memory_order_relaxed) != name)
		atomic_store_explicit(&c->state, name, memory_order_relaxed);
	if (__builtin_expect(c->worker->looking, 0))
		worker_looked(c->worker, c->fd);
}

/* Sends what there is and waits for what is next. */
static enum conn_next
finish(struct conn *c)
{
	noted(c);
	if (out_pending(&c->out) > 0 || c->out.failed) {
		if (__builtin_expect(says_lines(c), 0))
			host_say(c->fd, '>', span_make(c->out.bytes + c->out.head, c->out.len - c->out.head));
		if (!flush(c))
			return gone(c, WATCH_CLOSE_ERROR);
		if (out_pending(&c->out) > 0) {
			want(c, EPOLLOUT);
			return CONN_OPEN;
		}
		/* Who stopped because of what was pending goes on: no event will say that it is gone. */
		if (c->session.want == SESSION_DRAIN || c->session.want == SESSION_WATCH)
			worker_wait(c->worker, c);
	}
	take_back(c);
	if (__builtin_expect(c->closing, 0))
		return gone(c, WATCH_CLOSE_NORMAL);
	want(c, EPOLLIN);
	/* The socket was full a moment ago, so the session stopped; now all is sent, and no event will say
	 * so. */
	if (__builtin_expect(c->session.want == SESSION_DRAIN, 0))
		worker_wait(c->worker, c);
	if (__builtin_expect(c->tls != NULL, 0) && !c->waiting && tls_has_more(c->tls))
		worker_wait(c->worker, c);
	return CONN_OPEN;
}

static enum conn_next
watch_lines(struct conn *c)
{
	while (c->watcher && out_pending(&c->out) == 0) {
		char *to = out_room(&c->out, WATCH_MAX_LINE * 4);
		size_t n = to ? watcher_take(c->watcher, to, WATCH_MAX_LINE * 4) : 0;

		if (n == 0)
			break;
		c->out.len += n;
		if (!flush(c))
			return gone(c, WATCH_CLOSE_ERROR);
	}
	return finish(c);
}

/*
 * Feeds bytes until the session wants more than there are.  They lie in the worker's buffer, or are what is
 * left over in the connection's own.
 */
static enum conn_next
feed(struct conn *c, const char *bytes, size_t len)
{
	struct session *s = &c->session;
	size_t at = 0;

	lend(c);
	worker_look(c->worker, s);
	if (__builtin_expect(says_lines(c), 0) && len > 0)
		host_say(c->fd, '<', span_make(bytes, len));
	for (int round = 0;; round++) {
		at += session_feed(s, bytes + at, len - at);
		if (__builtin_expect(s->want == SESSION_READ, 1))
			break;
		switch (s->want) {
		case SESSION_DRAIN:
			if (!flush(c))
				return gone(c, WATCH_CLOSE_ERROR);
			if (out_pending(&c->out) == 0) {
				if (round < YIELD_ROUNDS && c->worker->alone)
					continue;
				worker_wait(c->worker, c);
			}
			break;
		case SESSION_YIELD:
			metric_bump(&c->worker->metrics.conn_yields, 1);
			if (round < YIELD_ROUNDS && c->worker->alone)
				continue;
			worker_wait(c->worker, c);
			break;
		case SESSION_CLOSE:
			c->closing = true;
			at = len;
			break;
		case SESSION_ABORT:
			metric_bump(&c->worker->metrics.protocol_closed, 1);
			return gone(c, WATCH_CLOSE_ERROR);
		case SESSION_WATCH:
			at = len;
			break;
		case SESSION_READ:
		case SESSION_SINK:
			break;
		}
		break;
	}
	if (bytes == c->in && at < len) {
		memmove(c->in, c->in + at, len - at);
		c->in_len = len - at;
	} else if (!keep(c, bytes + at, len - at))
		return gone(c, WATCH_CLOSE_ERROR);
	return s->want == SESSION_WATCH ? watch_lines(c) : finish(c);
}

/* With bytes that have come. */
static enum conn_next
read_turn(struct conn *c)
{
	struct worker *w = c->worker;
	size_t kept = c->in_len;
	ssize_t n;

	if (__builtin_expect(c->session.want == SESSION_SINK, 0)) {
		lend(c);
		if (read_sink(c) == CONN_GONE)
			return CONN_GONE;
		if (c->session.want == SESSION_SINK) {
			noted(c);
			take_back(c);
			if (c->tls && tls_has_more(c->tls))
				worker_wait(c->worker, c);
			return CONN_OPEN;
		}
		return feed(c, c->in, c->in_len);
	}
	if (__builtin_expect(kept >= WORKER_BUFFER, 0))
		return gone(c, WATCH_CLOSE_ERROR); /* session.h promises that this does not happen */
	n = receive(c, w->buffer + kept, WORKER_BUFFER - kept);
	if (n == -1)
		return CONN_OPEN;
	if (n <= 0)
		return gone(c, n == 0 ? WATCH_CLOSE_NORMAL : WATCH_CLOSE_ERROR);
	if (__builtin_expect(c->session.want == SESSION_WATCH, 0))
		return CONN_OPEN; /* watchers have nothing to say */
	if (__builtin_expect(kept > 0, 0))
		memcpy(w->buffer, c->in, kept);
	return feed(c, w->buffer, kept + (size_t)n);
}

void
conn_go_on(struct conn *c)
{
	if (c->session.want == SESSION_WATCH) {
		watch_lines(c);
		return;
	}
	if (out_pending(&c->out) > 0 && (c->session.want == SESSION_DRAIN || c->closing))
		return; /* EPOLLOUT will say when */
	if (c->session.want == SESSION_YIELD || c->session.want == SESSION_DRAIN)
		feed(c, c->in, c->in_len);
	else
		read_turn(c); /* TLS had more */
}

void
conn_event(struct conn *c, uint32_t events)
{
	uint32_t now = server_now_s(c->worker->server);

	if (atomic_load_explicit(&c->last_s, memory_order_relaxed) != now)
		atomic_store_explicit(&c->last_s, now, memory_order_relaxed);
	if (__builtin_expect(events == EPOLLIN, 1)) {
		if (!c->waiting)
			read_turn(c);
		return;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & (EPOLLIN | EPOLLOUT))) {
		conn_close(c, events & EPOLLERR ? WATCH_CLOSE_ERROR : WATCH_CLOSE_NORMAL);
		return;
	}
	if (out_pending(&c->out) > 0) {
		if (!flush(c)) {
			conn_close(c, WATCH_CLOSE_ERROR);
			return;
		}
		if (out_pending(&c->out) > 0) {
			if (events & (EPOLLERR | EPOLLHUP))
				conn_close(c, WATCH_CLOSE_ERROR);
			return;
		}
		if (c->session.want == SESSION_DRAIN) {
			feed(c, c->in, c->in_len);
			return;
		}
		if (c->session.want == SESSION_WATCH) {
			watch_lines(c);
			return;
		}
		if (finish(c) == CONN_GONE)
			return;
		/* What has come meanwhile makes the next event. */
		return;
	}
	if (!c->waiting)
		read_turn(c);
}

void
conn_report(const struct conn *c, uint32_t now_s, report_connection_fn *fn, void *arg)
{
	char address[160], own[160];
	uint32_t last = atomic_load_explicit(&c->last_s, memory_order_relaxed);
	struct report_connection r = {.fd = c->fd,
				      .address = address,
				      .listen_address = own,
				      .state = atomic_load_explicit(&c->state, memory_order_relaxed),
				      .idle_s = now_s > last ? now_s - last : 0};

	port_describe(c->fd, false, false, c->port->path, address, sizeof address);
	port_describe(c->fd, true, false, c->port->path, own, sizeof own);
	fn(arg, &r);
}
