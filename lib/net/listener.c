#include "lib/net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/net/address.h"

enum {
	BACKLOG = 128,
	TAKE_AT_ONCE = 16, /* connections per round of the loop */
	REST_MS = 1000,	   /* without descriptors the waiting connection would wake us without end */
};

struct listener {
	struct loop *loop;
	struct log *log;
	listener_fn *fn;
	void *arg;
	int fd;
	unsigned port;
	struct loop_fd watch;
	struct loop_timer rest;
};

static void
on_rested(void *arg)
{
	struct listener *ls = arg;

	loop_fd_want(&ls->watch, LOOP_READ);
}

static void
on_ready(void *arg, int what)
{
	struct listener *ls = arg;

	/* The callback may not close the listener, so the loop needs no guard. */
	for (int i = 0; i < TAKE_AT_ONCE; i++) {
		int fd = accept4(ls->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			ls->fn(ls->arg, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		log_warn(ls->log, "cannot take a connection, resting for a second", F_UINT("port", ls->port),
			 F_STR("reason", strerror(errno)));
		loop_fd_want(&ls->watch, 0);
		loop_timer_once(&ls->rest, REST_MS);
		return;
	}
}

static err_t
resolve(const struct address *a, struct address_raw *out, const char *setting, struct err_detail *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL;
	char port[8];
	int rc;

	if (address_raw(a, out))
		return ERR_OK;
	snprintf(port, sizeof(port), "%u", a->port);
	rc = getaddrinfo(a->host, port, &hints, &list);
	if (rc != 0)
		return err_set(why, ERR_CONFIG,
			       "cannot listen on %s:%u: the name cannot be resolved (%s); change %s", a->host,
			       a->port, gai_strerror(rc), setting);
	memcpy(&out->u, list->ai_addr, list->ai_addrlen);
	out->len = list->ai_addrlen;
	freeaddrinfo(list);
	return ERR_OK;
}

static err_t
refused(int error, const char *address, unsigned port, const char *setting, struct err_detail *why)
{
	switch (error) {
	case EADDRINUSE:
		return err_set(
		    why, ERR_IN_USE,
		    "cannot listen on %s: the port is in use, perhaps by another instance of this program "
		    "(\"ss -ltnp sport = :%u\" names the holder); stop it or change %s",
		    address, port, setting);
	case EADDRNOTAVAIL:
		return err_set(why, ERR_SYS,
			       "cannot listen on %s: it is not an address of this machine; change %s",
			       address, setting);
	case EACCES:
	case EPERM:
		return err_set(
		    why, ERR_SYS,
		    "cannot listen on %s: this user may not (ports below 1024 need CAP_NET_BIND_SERVICE); "
		    "change %s",
		    address, setting);
	default:
		return err_set(why, ERR_SYS, "cannot listen on %s: %s; change %s", address, strerror(error),
			       setting);
	}
}

err_t
listener_open(struct listener **out, struct loop *l, const char *address, const char *setting,
	      struct log *log, listener_fn *fn, void *arg, struct err_detail *why)
{
	struct listener *ls = MEM_NEW(struct listener);
	struct address parsed;
	struct address_raw raw;
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	int one = 1;
	err_t err;

	*out = NULL;
	ls->fd = -1;
	ls->loop = l;
	ls->log = log;
	ls->fn = fn;
	ls->arg = arg;
	err = address_parse(&parsed, span_of(address), why);
	if (err != ERR_OK)
		err_wrap(why, "%s", setting);
	else if (parsed.path[0] != '\0')
		err = err_set(why, ERR_CONFIG, "%s must be host:port, not the path of a socket", setting);
	if (err == ERR_OK)
		err = resolve(&parsed, &raw, setting, why);
	if (err != ERR_OK)
		goto done;
	ls->fd = socket(raw.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ls->fd >= 0)
		setsockopt(ls->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ls->fd < 0 || bind(ls->fd, &raw.u.any, raw.len) != 0 || listen(ls->fd, BACKLOG) != 0 ||
	    getsockname(ls->fd, (struct sockaddr *)&bound, &len) != 0) {
		err = refused(errno, address, parsed.port, setting, why);
		goto done;
	}
	ls->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						     : ((struct sockaddr_in *)&bound)->sin_port);
	loop_timer_init(&ls->rest, l, on_rested, ls);
	loop_fd_init(&ls->watch, l, ls->fd, on_ready, ls);
	loop_fd_want(&ls->watch, LOOP_READ);
	*out = ls;
	ls = NULL;
done:
	listener_close(&ls);
	return err;
}

void
listener_close(struct listener **lsp)
{
	struct listener *ls = *lsp;

	*lsp = NULL;
	if (ls == NULL)
		return;
	loop_timer_stop(&ls->rest);
	loop_fd_fini(&ls->watch);
	if (ls->fd >= 0)
		close(ls->fd);
	free(ls);
}

unsigned
listener_port(const struct listener *ls)
{
	return ls->port;
}
