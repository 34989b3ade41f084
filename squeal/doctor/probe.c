#include "squeal/doctor/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/net/address.h"
#include "lib/wire/mc_reply.h"
#include "lib/wire/mc_request.h"

struct probe {
	const char *address;
	const struct clock *clock;
	uint64_t until_ms;
	int fd;
};

static int
left_ms(const struct probe *p)
{
	uint64_t now = clock_mono_ms(p->clock);

	return now >= p->until_ms ? 0 : (int)(p->until_ms - now);
}

static err_t
wait_for(const struct probe *p, short events, struct err_detail *why)
{
	struct pollfd pfd = {.fd = p->fd, .events = events};
	int n;

	do
		n = poll(&pfd, 1, left_ms(p));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return ERR_OK;
	return err_set(why, ERR_TIMEOUT, "%s does not answer in time", p->address);
}

static err_t
connect_raw(struct probe *p, const struct sockaddr *to, socklen_t len, struct err_detail *why)
{
	int error = 0;
	socklen_t size = sizeof(error);
	err_t err = ERR_OK;

	p->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return err_set(why, ERR_SYS, "no socket for %s: %s", p->address, strerror(errno));
	if (connect(p->fd, to, len) != 0)
		error = errno;
	if (error == EINPROGRESS) {
		err = wait_for(p, POLLOUT, why);
		if (err != ERR_OK)
			return err;
		getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	if (error != 0)
		return err_set(why, ERR_CONN, "%s cannot be reached: %s", p->address, strerror(error));
	return ERR_OK;
}

static err_t
connect_any(struct probe *p, const struct address *to, struct err_detail *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *all = NULL;
	struct address_raw raw;
	char port[16];
	err_t err = ERR_CONN;
	int rc;

	if (address_raw(to, &raw))
		return connect_raw(p, &raw.u.any, raw.len, why);
	snprintf(port, sizeof(port), "%u", to->port);
	rc = getaddrinfo(to->host, port, &hints, &all);
	if (rc != 0)
		return err_set(why, ERR_CONN, "%s: the name is not known: %s", p->address, gai_strerror(rc));
	for (struct addrinfo *one = all; one != NULL && err != ERR_OK; one = one->ai_next) {
		struct err_detail reason = {0};

		if (p->fd >= 0)
			close(p->fd);
		err = connect_raw(p, one->ai_addr, one->ai_addrlen, &reason);
		if (err != ERR_OK && one->ai_next == NULL)
			err_set(why, err, "%s", err_why(&reason));
	}
	freeaddrinfo(all);
	return err;
}

static err_t
send_all(struct probe *p, struct buf *out, struct err_detail *why)
{
	while (out->len > 0) {
		ssize_t n = send(p->fd, out->p, out->len, MSG_NOSIGNAL);
		err_t err;

		if (n > 0) {
			buf_take(out, (size_t)n);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_set(why, ERR_CONN, "%s closed the connection: %s", p->address,
				       strerror(errno));
		err = wait_for(p, POLLOUT, why);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* Waits for more bytes of the server, and takes them. */
static err_t
receive(struct probe *p, struct buf *in, struct err_detail *why)
{
	ssize_t n;
	err_t err;

	do {
		err = wait_for(p, POLLIN, why);
		if (err != ERR_OK)
			return err;
		n = recv(p->fd, buf_room(in, 2048), 2048, 0);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (n <= 0)
		return err_set(why, ERR_CONN, "%s closed the connection", p->address);
	buf_added(in, (size_t)n);
	return ERR_OK;
}

/* The answers to version, md, mn: VERSION, then HD or NF and MN, or two errors where these are not known. */
static err_t
take_answers(struct probe *p, struct buf *in, struct probe_answer *out, struct err_detail *why)
{
	unsigned errors = 0;
	bool has_version = false;

	for (;;) {
		struct mc_reply reply;
		err_t err = mc_reply_parse(buf_span(in), &reply, why);

		if (err != ERR_OK) {
			err_wrap(why, "%s is no memcached", p->address);
			return err;
		}
		if (reply.kind == MC_REPLY_VERSION && !has_version) {
			snprintf(out->version, sizeof(out->version), "%.*s", SPAN_FMT(span_trim(reply.text)));
			has_version = true;
		} else if (reply.kind != MC_REPLY_MORE && !has_version) {
			return err_set(why, ERR_PROTOCOL, "%s does not tell its version: %s", p->address,
				       mc_reply_name(reply.kind));
		} else if (reply.kind == MC_REPLY_MN) {
			out->meta = true;
			return ERR_OK;
		}
		errors += mc_reply_is_error(reply.kind);
		if (errors == 2)
			return ERR_OK;
		if (reply.kind != MC_REPLY_MORE) {
			buf_take(in, reply.used);
			continue;
		}
		err = receive(p, in, why);
		if (err != ERR_OK)
			return err;
	}
}

/* The first packet: a version, or why nobody may log in. */
static err_t
take_greeting(struct probe *p, struct buf *in, char *version, size_t size, struct err_detail *why)
{
	enum { HEAD = 4, VERSION_10 = 0x0a, REFUSED = 0xff, LEAST = 6 };
	const unsigned char *b;
	struct span body;
	size_t len = LEAST;
	err_t err = ERR_OK;

	while (err == ERR_OK && in->len < HEAD + len) {
		err = receive(p, in, why);
		b = (const unsigned char *)in->p;
		if (err == ERR_OK && in->len >= HEAD)
			len = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16;
		if (err == ERR_OK && in->len >= HEAD && (len < LEAST || len > 1024 || b[3] != 0))
			return err_set(why, ERR_PROTOCOL, "%s is no database", p->address);
	}
	if (err != ERR_OK)
		return err;
	b = (const unsigned char *)in->p + HEAD;
	body = span_make((const char *)b + 1, len - 1);
	if (b[0] == REFUSED)
		return err_set(why, ERR_CONN, "%s lets nobody in: %.*s", p->address,
			       SPAN_FMT(span_from(body, 2)));
	if (b[0] != VERSION_10 || memchr(body.p, '\0', body.len) == NULL)
		return err_set(why, ERR_PROTOCOL, "%s is no database", p->address);
	snprintf(version, size, "%s", body.p);
	return ERR_OK;
}

err_t
probe_database(const char *address, uint64_t timeout_ms, const struct clock *clock, char *version,
	       size_t size, struct err_detail *why)
{
	struct probe p = {address, clock, clock_mono_ms(clock) + timeout_ms, -1};
	struct buf in = BUF_INIT;
	struct address to;
	err_t err;

	err = address_parse(&to, span_of(address), why);
	if (err == ERR_OK)
		err = connect_any(&p, &to, why);
	if (err == ERR_OK)
		err = take_greeting(&p, &in, version, size, why);
	if (p.fd >= 0)
		close(p.fd);
	buf_fini(&in);
	return err;
}

err_t
probe_memcached(const char *address, uint64_t timeout_ms, const struct clock *clock, struct probe_answer *out,
		struct err_detail *why)
{
	struct probe p = {address, clock, clock_mono_ms(clock) + timeout_ms, -1};
	uint64_t began_ns = clock_mono_ns(clock);
	struct buf request = BUF_INIT, in = BUF_INIT;
	struct address to;
	err_t err;

	*out = (struct probe_answer){0};
	err = address_parse(&to, span_of(address), why);
	if (err != ERR_OK)
		goto done;
	err = connect_any(&p, &to, why);
	if (err != ERR_OK)
		goto done;
	mc_request_version(&request);
	err = mc_request_delete_quiet(&request, SPAN_LIT("squeal:doctor:nobody-has-this"));
	if (err != ERR_OK)
		goto done;
	mc_request_fence(&request);
	err = send_all(&p, &request, why);
	if (err == ERR_OK)
		err = take_answers(&p, &in, out, why);
	out->took_us = (clock_mono_ns(clock) - began_ns) / 1000;
done:
	if (p.fd >= 0)
		close(p.fd);
	buf_fini(&request);
	buf_fini(&in);
	return err;
}
