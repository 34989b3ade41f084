/*
 * port - the sockets of containers: TCP, UDP and unix, opened before the process drops what it may.
 *
 * A name or "*" may stand for several addresses; each becomes a port of its own, as memcached has it (IPv6
 * sockets take IPv6 only).  The list is filled before the server exists and does not change afterwards.
 *
 * Source: memcached 1.6.45, server_socket(), server_socket_unix().
 *
 * Threads: main; afterwards any may read.   Blocks: port_list_open() on name look-ups.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_PORT_H
#define SQUEAL_CACHE_SERVER_SERVE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cache-server/settings/settings.h"
#include "lib/core/err.h"

struct door;

enum port_kind { PORT_TCP, PORT_UDP, PORT_UNIX };

struct port {
	int fd;
	enum port_kind kind;
	size_t container; /* index */
	enum listen_tls tls;
	enum listen_protocol protocol;
	char tag[LISTEN_TAG_MAX + 1];
	char path[CONTAINER_SOCKET_MAX + 1]; /* of a unix socket, else "" */
	char address[160];		     /* "tcp:127.0.0.1:11211" */
	struct door *door;		     /* who accepts there; NULL before, and for UDP */
};

struct port_list {
	struct port *at;
	size_t n;
};

/* What is listened on without being root: TCP and UDP ports of all containers.  ERR_SYS: *why has the text.
 */
err_t port_list_open(struct port_list *l, const struct settings *s, struct err_detail *why) MUST_CHECK;

/* Unix sockets, which belong to the user that the process has become. */
err_t port_list_open_unix(struct port_list *l, const struct settings *s, struct err_detail *why) MUST_CHECK;

/*
 * MEMCACHED_PORT_FILENAME: a line "TCP INET: 11211" for each port.  Written beside it and renamed, so that
 * who waits for the file finds it whole.  False: it could not be written, errno says why.
 */
bool port_list_write(const struct port_list *l, const char *path);

/* Closes, and removes the files of unix sockets. */
void port_list_fini(struct port_list *l);

/* "tcp:127.0.0.1:11211", "tcp6:[::1]:11211", "udp:…", "unix:/path"; `own`: the socket's own side, else its
 * peer's. */
void port_describe(int fd, bool own, bool udp, const char *unix_path, char *to, size_t max);

/* The same of an address that is known, without the kind in front; returns its port. */
unsigned port_host(const struct sockaddr_storage *a, char *to, size_t max);

#endif
