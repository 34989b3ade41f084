#include "cache-server/serve/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/mem.h"

/* --- addresses as text --------------------------------------------------------------------------------- */

unsigned
port_host(const struct sockaddr_storage *a, char *to, size_t max)
{
	to[0] = '\0';
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)a;

		inet_ntop(AF_INET, &in->sin_addr, to, (socklen_t)max);
		return ntohs(in->sin_port);
	}
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;

		inet_ntop(AF_INET6, &in6->sin6_addr, to, (socklen_t)max);
		return ntohs(in6->sin6_port);
	}
	snprintf(to, max, "unix");
	return 0;
}

void
port_describe(int fd, bool own, bool udp, const char *unix_path, char *to, size_t max)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	char host[INET6_ADDRSTRLEN];
	unsigned port;

	if (unix_path[0] != '\0') {
		snprintf(to, max, "unix:%s", unix_path);
		return;
	}
	if ((own ? getsockname(fd, (struct sockaddr *)&a, &len)
		 : getpeername(fd, (struct sockaddr *)&a, &len)) < 0) {
		snprintf(to, max, "<closed>"); /* the client has gone, and nobody has noticed yet */
		return;
	}
	port = port_host(&a, host, sizeof host);
	if (a.ss_family == AF_INET6)
		snprintf(to, max, "%s6:[%s]:%u", udp ? "udp" : "tcp", host, port);
	else
		snprintf(to, max, "%s:%s:%u", udp ? "udp" : "tcp", host, port);
}

/* --- opening ------------------------------------------------------------------------------------------- */

static struct port *
add(struct port_list *l, int fd, enum port_kind kind, size_t container, const char *path)
{
	struct port *p;

	l->at = mem_realloc(l->at, (l->n + 1) * sizeof *l->at);
	p = &l->at[l->n++];
	*p = (struct port){.fd = fd, .kind = kind, .container = container};
	snprintf(p->path, sizeof p->path, "%s", path);
	port_describe(fd, true, kind == PORT_UDP, path, p->address, sizeof p->address);
	return p;
}

/* A large reply is many datagrams at once, and what the send buffer does not take is lost. */
static void
enlarge_send_buffer(int fd)
{
	int size = 4 << 20;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* -1: not possible, errno says why. */
static int
open_socket(const struct addrinfo *a, bool udp, int backlog)
{
	int on = 1, fd, saved;

	fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (fd < 0)
		return -1;
	if (a->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
		goto failed;
	if (udp)
		enlarge_send_buffer(fd);
	else {
		/* Accepted sockets inherit the last two. */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || (!udp && listen(fd, backlog) < 0))
		goto failed;
	return fd;
failed:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Of several addresses of one name it is enough that one can be bound.  The number of sockets, or -1. */
static int
open_listen(struct port_list *l, const struct listen *where, bool udp, size_t container, int backlog,
	    struct err_detail *why)
{
	struct addrinfo hints = {
	    .ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = udp ? SOCK_DGRAM : SOCK_STREAM};
	struct addrinfo *list = NULL;
	char service[8];
	int opened = 0, reason = 0, err;

	snprintf(service, sizeof service, "%u", where->port);
	err = getaddrinfo(where->host[0] ? where->host : NULL, service, &hints, &list);
	if (err != 0) {
		err_set(why, ERR_SYS, "cannot find the address %s: %s; see -l",
			where->host[0] ? where->host : "*",
			err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err));
		return -1;
	}
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = open_socket(a, udp, backlog);
		struct port *p;

		if (fd < 0) {
			reason = errno;
			continue;
		}
		p = add(l, fd, udp ? PORT_UDP : PORT_TCP, container, "");
		p->tls = where->tls;
		p->protocol = where->protocol;
		memcpy(p->tag, where->tag, sizeof p->tag);
		opened++;
	}
	freeaddrinfo(list);
	if (opened == 0)
		errno = reason;
	return opened;
}

/* A machine without IPv6 has no ::1; nobody asked for it unless -l did. */
static bool
may_be_missing(const struct settings *s, const struct container_settings *c, const struct listen *where,
	       int opened)
{
	return opened > 0 && s->listen[0] == '\0' && c->opt.listen[0] == '\0' &&
	       strcmp(where->host, "::1") == 0 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT);
}

static err_t
open_all(struct port_list *l, const struct settings *s, size_t container, bool udp, struct err_detail *why)
{
	const struct container_settings *c = &s->containers.at[container];
	const struct listen_list *list = udp ? &c->udp : &c->tcp;
	int opened = 0;

	for (size_t i = 0; i < list->n; i++) {
		int n = open_listen(l, &list->at[i], udp, container, (int)s->backlog, why);

		if (n > 0) {
			opened += n;
			continue;
		}
		if (n < 0 || may_be_missing(s, c, &list->at[i], opened))
			continue;
		if (s->listen[0] == '\0')
			return err_set(why, ERR_SYS, "failed to listen on %s port %u: %s",
				       udp ? "UDP" : "TCP", list->at[i].port, strerror(errno));
		return err_set(why, ERR_SYS, "failed to listen on one of interface(s) %s: %s", s->listen,
			       strerror(errno));
	}
	return why->code;
}

err_t
port_list_open(struct port_list *l, const struct settings *s, struct err_detail *why)
{
	err_t err = ERR_OK;

	for (size_t i = 0; i < s->containers.n && err == ERR_OK; i++)
		err = open_all(l, s, i, false, why);
	for (size_t i = 0; i < s->containers.n && err == ERR_OK; i++)
		err = open_all(l, s, i, true, why);
	return err;
}

static int
open_unix(const char *path, mode_t mask, int backlog)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, saved, bound;
	mode_t old;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* What an earlier process left. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	old = umask(~mask & 0777);
	bound = bind(fd, (struct sockaddr *)&a, sizeof a);
	umask(old);
	if (bound == 0 && listen(fd, backlog) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

err_t
port_list_open_unix(struct port_list *l, const struct settings *s, struct err_detail *why)
{
	for (size_t i = 0; i < s->containers.n; i++) {
		const char *path = s->containers.at[i].opt.socket;
		struct port *p;
		int fd;

		if (path[0] == '\0')
			continue;
		fd = open_unix(path, (mode_t)s->unix_mask, (int)s->backlog);
		if (fd < 0)
			return err_set(why, ERR_SYS, "failed to listen on UNIX socket: %s: %s", path,
				       strerror(errno));
		p = add(l, fd, PORT_UNIX, i, path);
		p->protocol = s->protocol;
	}
	return ERR_OK;
}

bool
port_list_write(const struct port_list *l, const char *path)
{
	char *beside = mem_alloc(strlen(path) + sizeof ".lck");
	bool ok = false;
	FILE *f;

	sprintf(beside, "%s.lck", path);
	f = fopen(beside, "we");
	if (f == NULL)
		goto done;
	for (size_t i = 0; i < l->n; i++) {
		struct sockaddr_storage a = {0};
		socklen_t len = sizeof a;
		char host[INET6_ADDRSTRLEN];
		unsigned port;

		if (l->at[i].kind == PORT_UNIX || getsockname(l->at[i].fd, (struct sockaddr *)&a, &len) < 0)
			continue;
		port = port_host(&a, host, sizeof host);
		fprintf(f, "%s %s: %u\n", l->at[i].kind == PORT_UDP ? "UDP" : "TCP",
			a.ss_family == AF_INET6 ? "INET6" : "INET", port);
	}
	ok = fclose(f) == 0 && rename(beside, path) == 0;
done:
	free(beside);
	return ok;
}

void
port_list_fini(struct port_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		close(l->at[i].fd);
		if (l->at[i].path[0] != '\0')
			unlink(l->at[i].path);
	}
	free(l->at);
	*l = (struct port_list){0};
}
