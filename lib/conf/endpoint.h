/*
 * endpoint - where a database server is: host and port, or a unix socket.
 *
 *     source.endpoints: "db1:3306, db2, [::1]:3307, /run/mysqld/mysqld.sock"
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_ENDPOINT_H
#define SQUEAL_LIB_CONF_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { ENDPOINT_HOST_MAX = 255, ENDPOINT_SOCKET_MAX = 107, ENDPOINTS_MAX = 32 };

struct endpoint {
	char host[ENDPOINT_HOST_MAX + 1];     /* empty with a socket */
	char socket[ENDPOINT_SOCKET_MAX + 1]; /* empty with a host */
	uint16_t port;
};

struct endpoint_text {
	char text[ENDPOINT_HOST_MAX + 16];
};

/* The endpoints of a source, in order: source.endpoints, or the one that host and port or socket name. */
struct endpoints {
	struct endpoint at[ENDPOINTS_MAX];
	size_t n; /* at least 1 */
};

/* One of the list: "host", "host:port", "[::1]:port" or "/path"; without a port `port` is taken.  ERR_USAGE
 * with a sentence. */
err_t endpoint_parse(struct span text, uint16_t port, struct endpoint *out,
		     struct err_detail *why) MUST_CHECK;

/* ERR_USAGE with a sentence: an entry that is none, one twice, too many, none at all. */
err_t endpoints_parse(struct span list, uint16_t port, struct endpoints *out,
		      struct err_detail *why) MUST_CHECK;

/* Of options that were checked (check_source()). */
void endpoints_of(const struct source_options *opt, struct endpoints *out);

/* "db1:3306", "[::1]:3306" or "/path". */
struct endpoint_text endpoint_text(const struct endpoint *e);

bool endpoint_same(const struct endpoint *a, const struct endpoint *b);

#endif
