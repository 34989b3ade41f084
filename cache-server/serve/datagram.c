#include "cache-server/serve/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cache-server/proto/udp.h"
#include "cache-server/serve/conn.h"
#include "cache-server/serve/host.h"
#include "cache-server/serve/server.h"
#include "cache-server/serve/worker.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum {
	DATAGRAMS = 64, /* in one go */
	PIECES = 1024,	/* of a reply: values that stay in the store, and what is between them */
	SLICES = 64,
};

struct datagram {
	struct conn conn; /* what sessions see of it; its kind is CONN_DATAGRAM */
	struct udp_guard guard;
	uint64_t seed;
};

err_t
datagram_create(struct datagram **out, struct worker *w, const struct port *port, struct err_detail *why)
{
	struct datagram *d = MEM_NEW(struct datagram);
	struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = d};

	*out = NULL;
	d->conn.kind = CONN_DATAGRAM;
	d->conn.fd = port->fd;
	d->conn.worker = w;
	d->conn.port = port;
	d->seed = hash_seed();
	atomic_init(&d->conn.state, "conn_read");
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, port->fd, &e) < 0) {
		free(d);
		return err_set(why, ERR_SYS, "cannot wait for %s: %s", port->address, strerror(errno));
	}
	*out = d;
	return ERR_OK;
}

void
datagram_destroy(struct datagram **d)
{
	free(*d);
	*d = NULL;
}

static uint64_t
address_hash(const struct datagram *d, const struct sockaddr_storage *a)
{
	/* Without the port, which the sender of a forged datagram may choose freely. */
	if (a->ss_family == AF_INET6)
		return hash_span(span_make(&((const struct sockaddr_in6 *)a)->sin6_addr, 16), d->seed);
	return hash_span(span_make(&((const struct sockaddr_in *)a)->sin_addr, 4), d->seed);
}

static void
reply(struct datagram *d, const struct udp_header *to, struct sockaddr_storage *a, socklen_t len)
{
	struct worker *w = d->conn.worker;
	struct iovec pieces[PIECES], slice[SLICES + 1];
	size_t pending = out_pending(&d->conn.out);
	int n = out_iov(&d->conn.out, pieces, PIECES);
	unsigned total = udp_datagrams(pending);
	struct udp_header h = {.request = to->request, .total = (uint16_t)total};
	char header[UDP_HEADER];

	if (total == 0)
		return;
	if (!udp_guard_allows(&d->guard, address_hash(d, a), clock_mono_ms(w->server->clock), pending)) {
		metric_bump(&w->metrics.udp_refused, 1);
		return;
	}
	slice[0] = (struct iovec){header, sizeof header};
	for (unsigned i = 0; i < total; i++) {
		struct msghdr m = {.msg_name = a, .msg_namelen = len, .msg_iov = slice};
		size_t bytes;

		h.sequence = (uint16_t)i;
		udp_header_write(&h, header);
		m.msg_iovlen = 1 + (size_t)udp_slice(pieces, n, i, slice + 1, SLICES, &bytes);
		/* What the socket does not take is lost, as datagrams are; the client asks again. */
		if (sendmsg(d->conn.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		metric_bump(&w->metrics.udp_replies, 1);
		metric_bump(&cache_thread_counters(d->conn.session.cache)->bytes_written, bytes + UDP_HEADER);
	}
}

static void
serve(struct datagram *d, struct span data, const struct udp_header *h, struct sockaddr_storage *a,
      socklen_t len)
{
	struct worker *w = d->conn.worker;
	struct server *s = w->server;
	const struct port *p = d->conn.port;
	struct session_host host = {.ops = host_udp_ops(), .arg = &d->conn};
	struct session *session = &d->conn.session;

	out_init(&d->conn.out);
	session_init(session, w->caches[p->container], &s->limits[p - s->ports.at], &host, &d->conn.out);
	worker_look(w, session);
	session->udp = true;
	if (!udp_feed(session, data))
		metric_bump(&w->metrics.udp_refused, 1);
	w->looking = false;
	reply(d, h, a, len);
	session_fini(session);
	out_fini(&d->conn.out);
}

void
datagram_event(struct datagram *d)
{
	struct worker *w = d->conn.worker;

	atomic_store_explicit(&d->conn.last_s, server_now_s(w->server), memory_order_relaxed);
	for (int i = 0; i < DATAGRAMS; i++) {
		struct sockaddr_storage a = {0};
		socklen_t len = sizeof a;
		ssize_t n =
		    recvfrom(d->conn.fd, w->buffer, WORKER_BUFFER, MSG_DONTWAIT, (struct sockaddr *)&a, &len);
		struct udp_header h;
		struct span data;

		if (n < 0)
			return;
		metric_bump(&w->metrics.udp_datagrams, 1);
		metric_bump(&cache_thread_counters(w->caches[d->conn.port->container])->bytes_read,
			    (uint64_t)n);
		if (udp_header_read(span_make(w->buffer, (size_t)n), &h, &data))
			serve(d, data, &h, &a, len);
		else
			metric_bump(&w->metrics.udp_bad, 1);
	}
}
