/*
 * address - "host:port", "[::1]:11211" or "/path/of/a/socket", taken apart.
 *
 * No I/O: names are resolved elsewhere (resolve.h).
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_NET_ADDRESS_H
#define SQUEAL_LIB_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

struct address {
	char host[256]; /* without brackets; "" for a unix socket */
	unsigned port;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" unless it is a unix socket */
};

/* A socket address of any family. */
struct address_raw {
	socklen_t len; /* 0: none */
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
};

/* ERR_CONFIG: it is none of the three forms; *why says what is wrong with it. */
err_t address_parse(struct address *out, struct span text, struct err_detail *why) MUST_CHECK;

/* False when the host is a name, which has to be resolved first. */
bool address_raw(const struct address *a, struct address_raw *out);

/* 0.0.0.0 or [::] */
bool address_is_wildcard(const struct address *a);

/* An IPv4 or IPv6 address, without brackets. */
bool address_is_ip(struct span host);

#endif
