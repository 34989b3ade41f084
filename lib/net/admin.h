/*
 * admin - the HTTP port for people and monitoring: pages to read, and actions for squealctl.
 *
 *     /metrics   Prometheus text 0.0.4
 *     /healthz   200 as long as the loop turns
 *     /readyz    200, or 503 with the reasons:  {"ready":false,"reasons":["no source connection for 12 s"]}
 *     /status    JSON for people
 *     /          the list of pages
 *
 * Pages are read with GET and change nothing.  Actions are asked for with POST, without a body, with the
 * header X-Squeal, and from this machine only (a loopback address): nobody on the network and no web page in
 * a browser here can pause a router.
 *
 * A request whose Host header is neither an IP address, nor localhost, nor the name that the port
 * was bound by is refused, so that no web page can read the port through a browser (DNS rebinding).
 * Connections, header size and the time a client may take are limited; one request per connection.
 *
 * Threads: the loop's; pages are made on it, so they must be quick.   Blocks: admin_open() on a name look-up
 * when the address holds a name.   Clock: the loop's.
 */
#ifndef SQUEAL_LIB_NET_ADMIN_H
#define SQUEAL_LIB_NET_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/net/loop.h"

/* clang-format off */
/*	  name              kind     unit           help */
#define ADMIN_METRICS(M)                                                                              \
	M(admin_request,    COUNTER, "requests",    "requests answered by the admin port")           \
	M(admin_acted,      COUNTER, "requests",    "actions done by order of the admin port")      \
	M(admin_refused,    COUNTER, "requests",    "requests refused: method, host, or unknown page") \
	M(admin_overload,   COUNTER, "connections", "connections closed because there were too many") \
	M(admin_slow,       COUNTER, "connections", "connections closed because the client took too long")
/* clang-format on */

enum {
	ADMIN_MAX_CONNECTIONS = 32,
	ADMIN_MAX_HEADERS = 8192, /* bytes */
	ADMIN_MAX_SECONDS = 10,	  /* from accept to the answer's last byte */
};

struct admin; /* opaque */

struct admin_options {
	const char *address; /* "127.0.0.1:9401", "[::1]:9401", "localhost:0"; port 0 takes a free one */
	const char *setting; /* named in messages: "admin in section squeal of squeal.yaml" */
	const char *program; /* "squeal", for /status and squeal_build_info */
	struct metric_registry *metrics; /* shown by /metrics; the port's own are added.  May be NULL. */
	struct log *log;		 /* may be NULL */
	uint64_t max_ms;		 /* instead of ADMIN_MAX_SECONDS; 0: that */
};

/*
 * Binds and answers from the next round of the loop on.  ERR_IN_USE: the port is taken; ERR_CONFIG: not an
 * address; ERR_SYS: not an address of this machine, or not allowed.  *why says which setting to change.
 */
err_t admin_open(struct admin **out, struct loop *l, const struct admin_options *opt,
		 struct err_detail *why) MUST_CHECK;

/* Closes the port and every connection.  NULL is fine. */
void admin_close(struct admin **a);

/* The port that is bound, also where port 0 was asked for. */
unsigned admin_port(const struct admin *a);

/* Adds why the program is not ready; a sentence. */
struct admin_reasons;
void admin_not_ready(struct admin_reasons *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Asked by /readyz; ready when no reason is added.  Several may be registered, all are asked. */
typedef void admin_ready_fn(void *arg, struct admin_reasons *reasons);
void admin_on_ready(struct admin *a, admin_ready_fn *fn, void *arg);

/* Appends to /metrics what is in no registry: sums that are made when they are asked for. */
typedef void admin_metrics_fn(void *arg, struct buf *out);
void admin_on_metrics(struct admin *a, admin_metrics_fn *fn, void *arg);

/* Adds members to the object of /status (program, version, pid and uptime are there already). */
typedef void admin_status_fn(void *arg, struct json *j);
void admin_on_status(struct admin *a, admin_status_fn *fn, void *arg);

/* A page of the program's own: "/explain".  `query` is the part behind "?", not decoded, "" when there is
 * none. *status is 200 unless it is changed.  `path` and `type` must outlive `a`. */
typedef void admin_page_fn(void *arg, const char *query, struct buf *out, int *status);
void admin_page(struct admin *a, const char *path, const char *type, admin_page_fn *fn, void *arg);

/*
 * An action: POST "/pause?server=10.0.0.1:11211".  The answer is JSON; *status as with pages.  A notice in
 * the log says what was asked.
 */
void admin_action(struct admin *a, const char *path, admin_page_fn *fn, void *arg);

/* The decoded value of `name` in a query ("key=a%20b&x=1"), appended to `out`; false when it is not there. */
bool admin_query(const char *query, const char *name, struct buf *out);

#endif
