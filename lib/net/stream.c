#include "lib/net/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/net/address.h"
#include "lib/net/resolve.h"

enum {
	DEFAULT_TIMEOUT_MS = 5000,
	DEFAULT_MAX_INPUT = 65536,
	READ_BYTES = 65536,
	MAX_TRIES = 8, /* addresses of one name */
};

enum state { RESOLVING, CONNECTING, HANDSHAKING, OPEN, OVER };

struct stream {
	struct loop *loop;
	const struct stream_ops *ops;
	void *arg;
	struct stream_options opt;
	enum state state;
	char *address; /* as given, for messages */
	char *tls_name;
	struct address parsed;
	struct resolve resolve;

	/* Addresses still to be tried; each gets its share of the time that is left. */
	struct address_raw tries[MAX_TRIES];
	size_t ntries, try_at;
	uint64_t deadline_ns;
	struct err_detail last_refusal;

	int fd;
	struct loop_fd watch;
	struct loop_timer timeout; /* of one attempt to connect */
	struct loop_timer soon;	   /* what must not happen inside the caller's call */
	int write_errno;	   /* a write failed; told as soon as what there is to read was read */
	bool paused, above_low, show_again;

	struct tls_link *tls; /* NULL: without, or not connected */
	struct buf early;     /* with TLS: written before the handshake was done */
	struct buf sealed;    /* with TLS: as it came */
	struct buf in, out;
	struct stream_counts counts;

	unsigned busy; /* entries from the loop that run */
	bool closed;   /* stream_close() was called while busy */
};

/* --- entries from the loop: the stream may be closed inside ------------------------------------ */

static void
enter(struct stream *s)
{
	s->busy++;
}

static void
leave(struct stream *s)
{
	if (--s->busy > 0 || !s->closed)
		return;
	buf_fini(&s->in);
	buf_fini(&s->out);
	buf_fini(&s->early);
	buf_fini(&s->sealed);
	free(s->address);
	free(s->tls_name);
	free(s);
}

static bool
gone(const struct stream *s)
{
	return s->closed || s->state == OVER;
}

static void
let_go(struct stream *s)
{
	resolve_stop(&s->resolve);
	loop_timer_stop(&s->timeout);
	loop_timer_stop(&s->soon);
	loop_fd_fini(&s->watch);
	tls_link_destroy(&s->tls);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->state = OVER;
}

static void try_next(struct stream *s);
static void over(struct stream *s, err_t err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void
over(struct stream *s, err_t err, const char *fmt, ...)
{
	struct buf why = BUF_INIT;
	va_list ap;

	if (gone(s))
		return;
	let_go(s);
	buf_clear(&s->out);
	va_start(ap, fmt);
	buf_vprintf(&why, fmt, ap);
	va_end(ap);
	s->ops->on_close(s->arg, err, buf_str(&why));
	buf_fini(&why);
}

static void
watch(struct stream *s)
{
	int what = 0;

	if (s->state == CONNECTING)
		what = LOOP_WRITE;
	else if (s->state == HANDSHAKING)
		what = LOOP_READ | (s->out.len > 0 ? LOOP_WRITE : 0);
	else if (s->state == OPEN)
		what = (s->paused ? 0 : LOOP_READ) | (s->out.len > 0 && s->write_errno == 0 ? LOOP_WRITE : 0);
	loop_fd_want(&s->watch, what);
}

static void
watch_unless_gone(struct stream *s)
{
	if (!gone(s))
		watch(s);
}

/* --- open ---------------------------------------------------------------------------------------- */

static void
show(struct stream *s)
{
	size_t took;

	took = s->ops->on_bytes(s->arg, buf_span(&s->in));
	if (gone(s))
		return;
	buf_take(&s->in, took);
	if (s->in.len > s->opt.max_input)
		over(s, ERR_TOO_LONG, "%s sent %zu bytes that do not make a whole reply; closed", s->address,
		     s->in.len);
}

/* Hands `bytes` to the kernel as far as it takes them; returns how many. */
static size_t
send_some(struct stream *s, struct span bytes)
{
	size_t done = 0;

	while (done < bytes.len && s->write_errno == 0) {
		ssize_t n = send(s->fd, bytes.p + done, bytes.len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			s->write_errno = errno;
			loop_timer_once(&s->soon, 0);
			break;
		}
		s->counts.writes++;
		s->counts.bytes_out += (uint64_t)n;
		done += (size_t)n;
	}
	return done;
}

static void refused(struct stream *s, err_t err, const char *text);
static void opened(struct stream *s);

/* The connection broke, or was closed, while it was made or later. */
static void
broken(struct stream *s, const char *text)
{
	if (s->state == HANDSHAKING)
		refused(s, ERR_CONN, text);
	else
		over(s, ERR_CONN, "the connection to %s failed: %s", s->address, text);
}

/* Takes what came under TLS; false when it is over. */
static bool
unseal(struct stream *s)
{
	struct err_detail why = {0};
	err_t err = tls_link_take(s->tls, buf_span(&s->sealed), &s->in, &s->out, &why);

	buf_clear(&s->sealed);
	buf_take(&s->out, send_some(s, buf_span(&s->out)));
	if (err != ERR_OK) {
		broken(s, err_why(&why));
		return false;
	}
	if (s->state == HANDSHAKING && tls_link_is_open(s->tls))
		opened(s);
	if (gone(s) || s->state != OPEN) {
		watch_unless_gone(s);
		return false;
	}
	if (s->in.len > 0 && !s->paused)
		show(s);
	if (!gone(s) && tls_link_is_closed(s->tls))
		over(s, ERR_CONN, "%s closed the connection", s->address);
	watch_unless_gone(s);
	return !gone(s);
}

/* False when there was nothing to read, or it is over. */
static bool
read_some(struct stream *s)
{
	struct buf *to = s->tls != NULL ? &s->sealed : &s->in;
	ssize_t n;

	do
		n = recv(s->fd, buf_room(to, READ_BYTES), READ_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n < 0) {
		broken(s, strerror(errno));
		return false;
	}
	if (n == 0 && s->state == HANDSHAKING) {
		refused(s, ERR_CONN,
			"it closed the connection in the TLS handshake; check that it speaks TLS there");
		return false;
	}
	if (n == 0) {
		over(s, ERR_CONN, "%s closed the connection", s->address);
		return false;
	}
	s->counts.reads++;
	s->counts.bytes_in += (uint64_t)n;
	buf_added(to, (size_t)n);
	if (s->tls != NULL)
		return unseal(s);
	show(s);
	return !gone(s);
}

static void
flush(struct stream *s)
{
	buf_take(&s->out, send_some(s, buf_span(&s->out)));
	if (s->above_low && s->out.len <= s->opt.low_water && s->write_errno == 0) {
		s->above_low = false;
		if (s->ops->on_drain != NULL)
			s->ops->on_drain(s->arg);
	}
	watch_unless_gone(s);
}

/* What was put off because it must not happen inside a call of the stream's user. */
static void
on_soon(void *arg)
{
	struct stream *s = arg;

	enter(s);
	if (s->state == RESOLVING) {
		try_next(s);
	} else if (s->write_errno != 0) {
		/* The other side may have said why before it hung up. */
		while (!s->paused && s->write_errno != 0 && read_some(s))
			;
		if (s->write_errno != 0)
			broken(s, strerror(s->write_errno));
	} else if (s->show_again) {
		s->show_again = false;
		if (s->in.len > 0 && !s->paused)
			show(s);
	}
	leave(s);
}

/* --- connecting ---------------------------------------------------------------------------------- */

static void
refused(struct stream *s, err_t err, const char *text)
{
	loop_timer_stop(&s->timeout);
	loop_fd_fini(&s->watch);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (s->tls != NULL) {
		tls_link_destroy(&s->tls);
		buf_clear(&s->out);
		s->write_errno = 0;
	}
	err_clear(&s->last_refusal);
	err_set(&s->last_refusal, err, "cannot connect to %s: %s", s->address, text);
	try_next(s);
}

/* A connection to a local port of the ephemeral range can meet itself; what comes back would be our own
 * bytes. */
static bool
met_itself(int fd)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t here_len = sizeof(here), there_len = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && here.ss_family != AF_UNIX &&
	       here_len == there_len && memcmp(&here, &there, here_len) == 0;
}

static void
opened(struct stream *s)
{
	loop_timer_stop(&s->timeout);
	s->state = OPEN;
	if (s->early.len > 0 && !tls_link_put(s->tls, buf_span(&s->early), &s->out)) {
		over(s, ERR_CONN, "the connection to %s failed: TLS could not encrypt", s->address);
		return;
	}
	buf_fini(&s->early);
	watch(s);
	/* What was written meanwhile goes out first, so that on_open() finds the order as it wrote it. */
	if (s->out.len > 0)
		flush(s);
	if (!gone(s) && s->ops->on_open != NULL)
		s->ops->on_open(s->arg);
}

/* The socket is connected. */
static void
connected(struct stream *s)
{
	if (s->opt.tls == NULL) {
		opened(s);
		return;
	}
	s->state = HANDSHAKING;
	s->tls = tls_link_create(s->opt.tls, s->tls_name);
	unseal(s);
}

static void
on_fd(void *arg, int what)
{
	struct stream *s = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	enter(s);
	if (s->state == CONNECTING) {
		if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
		if (error == 0 && met_itself(s->fd))
			error = ECONNREFUSED;
		if (error != 0)
			refused(s, ERR_CONN, strerror(error));
		else
			connected(s);
	} else if ((s->state == OPEN || s->state == HANDSHAKING) && what == LOOP_READ) {
		read_some(s);
	} else if (s->state == OPEN || s->state == HANDSHAKING) {
		flush(s);
	}
	leave(s);
}

static void
on_timeout(void *arg)
{
	struct stream *s = arg;

	enter(s);
	if (s->state == RESOLVING)
		over(s, ERR_TIMEOUT, "cannot connect to %s: its name was not resolved in time", s->address);
	else
		refused(s, ERR_TIMEOUT, "no answer in time");
	leave(s);
}

/* False when the attempt failed at once; the reason is in errno. */
static bool
try_address(struct stream *s, const struct address_raw *to)
{
	int one = 1, rc;

	s->fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return false;
	if (to->u.any.sa_family != AF_UNIX) {
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	}
	do
		rc = connect(s->fd, &to->u.any, to->len);
	while (rc < 0 && errno == EINTR);
	return rc == 0 || errno == EINPROGRESS;
}

/* Runs from the loop only: it may end in on_close(). */
static void
try_next(struct stream *s)
{
	while (s->try_at < s->ntries) {
		const struct address_raw *to = &s->tries[s->try_at++];
		uint64_t now = clock_mono_ns(loop_clock(s->loop));
		uint64_t left_ms = s->deadline_ns > now ? (s->deadline_ns - now) / 1000000 : 0;

		s->state = CONNECTING;
		if (try_address(s, to)) {
			loop_fd_init(&s->watch, s->loop, s->fd, on_fd, s);
			loop_timer_once(&s->timeout, left_ms / (s->ntries - s->try_at + 1));
			watch(s);
			return;
		}
		err_clear(&s->last_refusal);
		err_set(&s->last_refusal, ERR_CONN, "cannot connect to %s: %s", s->address, strerror(errno));
		if (s->fd >= 0)
			close(s->fd);
		s->fd = -1;
	}
	over(s, s->last_refusal.code, "%s", err_why(&s->last_refusal));
}

static void
on_resolved(void *arg, const struct addrinfo *list, const char *why)
{
	struct stream *s = arg;

	enter(s);
	loop_timer_stop(&s->timeout);
	for (const struct addrinfo *a = list; a != NULL && s->ntries < MAX_TRIES; a = a->ai_next) {
		struct address_raw *raw = &s->tries[s->ntries];

		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		memcpy(&raw->u, a->ai_addr, a->ai_addrlen);
		raw->len = a->ai_addrlen;
		if (a->ai_family == AF_INET)
			((struct sockaddr_in *)&raw->u)->sin_port = htons((uint16_t)s->parsed.port);
		else
			((struct sockaddr_in6 *)&raw->u)->sin6_port = htons((uint16_t)s->parsed.port);
		s->ntries++;
	}
	if (s->ntries == 0)
		over(s, ERR_CONN, "cannot connect to %s: its name cannot be resolved: %s", s->address,
		     why != NULL ? why : "it has no address");
	else
		try_next(s);
	leave(s);
}

err_t
stream_connect(struct stream **out, struct loop *l, const char *address, const struct stream_options *opt,
	       const struct stream_ops *ops, void *arg, struct err_detail *why)
{
	struct address parsed;
	struct stream *s;
	err_t err;

	*out = NULL;
	err = address_parse(&parsed, span_of(address), why);
	if (err != ERR_OK)
		return err;
	s = MEM_NEW(struct stream);
	s->loop = l;
	s->ops = ops;
	s->arg = arg;
	if (opt != NULL)
		s->opt = *opt;
	if (s->opt.connect_timeout_ms == 0)
		s->opt.connect_timeout_ms = DEFAULT_TIMEOUT_MS;
	if (s->opt.max_input == 0)
		s->opt.max_input = DEFAULT_MAX_INPUT;
	s->fd = -1;
	s->address = mem_strdup(address);
	s->tls_name = mem_strdup(s->opt.tls_name != NULL ? s->opt.tls_name : "");
	s->parsed = parsed;
	s->state = RESOLVING;
	s->deadline_ns = clock_mono_ns(loop_clock(l)) + s->opt.connect_timeout_ms * 1000000;
	loop_timer_init(&s->timeout, l, on_timeout, s);
	loop_timer_init(&s->soon, l, on_soon, s);
	if (address_raw(&parsed, &s->tries[0])) {
		/* The first attempt may fail at once, and that must not be told from inside this call. */
		s->ntries = 1;
		loop_timer_once(&s->soon, 0);
	} else {
		loop_timer_once(&s->timeout, s->opt.connect_timeout_ms);
		resolve_start(&s->resolve, l, parsed.host, on_resolved, s);
	}
	*out = s;
	return ERR_OK;
}

/* --- for the user -------------------------------------------------------------------------------- */

void
stream_close(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	enter(s);
	let_go(s);
	s->closed = true;
	leave(s);
}

static void
written(struct stream *s)
{
	if (s->out.len > s->opt.low_water)
		s->above_low = true;
	if (s->state == OPEN)
		watch(s);
}

/* Under TLS: encrypts, or keeps what cannot be encrypted yet. */
static void
write_sealed(struct stream *s, struct span bytes)
{
	if (s->state != OPEN) {
		buf_put_span(&s->early, bytes);
		return;
	}
	if (!tls_link_put(s->tls, bytes, &s->out) && s->write_errno == 0) {
		s->write_errno = EPROTO;
		loop_timer_once(&s->soon, 0);
	}
	buf_take(&s->out, send_some(s, buf_span(&s->out)));
	written(s);
}

void
stream_write(struct stream *s, struct buf *b)
{
	struct buf spare;

	if (gone(s) || s->write_errno != 0) {
		buf_clear(b);
		return;
	}
	if (s->opt.tls != NULL) {
		write_sealed(s, buf_span(b));
		buf_clear(b);
		return;
	}
	if (s->out.len == 0) {
		if (s->state == OPEN)
			buf_take(b, send_some(s, buf_span(b)));
		if (b->len > 0) {
			spare = s->out;
			s->out = *b;
			*b = spare;
		}
	} else {
		buf_put_span(&s->out, buf_span(b));
	}
	buf_clear(b);
	written(s);
}

void
stream_write_span(struct stream *s, struct span bytes)
{
	if (gone(s) || s->write_errno != 0)
		return;
	if (s->opt.tls != NULL) {
		write_sealed(s, bytes);
		return;
	}
	if (s->out.len == 0 && s->state == OPEN)
		bytes = span_from(bytes, send_some(s, bytes));
	buf_put_span(&s->out, bytes);
	written(s);
}

size_t
stream_unsent(const struct stream *s)
{
	return s->out.len + s->early.len;
}

void
stream_pause(struct stream *s, bool pause)
{
	bool was = s->paused;

	s->paused = pause;
	if (gone(s) || s->state != OPEN || was == pause)
		return;
	watch(s);
	if (!pause && s->in.len > 0) {
		s->show_again = true;
		loop_timer_once(&s->soon, 0);
	}
}

bool
stream_is_open(const struct stream *s)
{
	return s->state == OPEN && !s->closed;
}

const char *
stream_address(const struct stream *s)
{
	return s->address;
}

const struct stream_counts *
stream_counts(const struct stream *s)
{
	return &s->counts;
}
