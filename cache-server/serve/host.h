/*
 * host - what sessions may ask of the server around them (session_host_ops), on the worker of the connection.
 *
 * Threads: workers.   Blocks: as the operations do; refreshing certificates reads files.   Clock: the
 * server's.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_HOST_H
#define SQUEAL_CACHE_SERVER_SERVE_HOST_H

#include <sys/socket.h>

#include "cache-server/proto/session.h"
#include "cache-server/report/watch.h"
#include "cache-server/serve/port.h"

struct conn;
struct server;

/* session_host.arg is the struct conn. */
const struct session_host_ops *host_ops(void);

/* The same without what makes no sense in one datagram: watchers, dumps. */
const struct session_host_ops *host_udp_ops(void);

/* Lines for watchers of connevents: the accepting thread, the worker. */
void host_log_open(struct conn *c, const struct sockaddr_storage *peer);
void host_log_close(struct conn *c, enum watch_close reason);

/*
 * -vv: lines of what was received ('<') or is sent ('>'), "<28 get foo"; values are shown as far as they look
 * like lines. At most HOST_SAY_MAX bytes.
 */
enum { HOST_SAY_MAX = 2048 };
void host_say(int fd, char way, struct span bytes);
void host_say_new(struct server *s, int fd, const struct port *port);

#endif
