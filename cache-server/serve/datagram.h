/*
 * datagram - one worker's view of one UDP socket: requests of one datagram, replies of several.
 *
 * All workers wait for the same socket; the kernel wakes one of them (EPOLLEXCLUSIVE).
 *
 * Source: proto/udp.h.
 *
 * Threads: life by main, datagram_event() by the worker.   Blocks: as session_feed().   Clock: the server's.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_DATAGRAM_H
#define SQUEAL_CACHE_SERVER_SERVE_DATAGRAM_H

#include "cache-server/serve/port.h"
#include "lib/core/err.h"

struct datagram; /* opaque, but for the struct conn that it begins with */
struct worker;

err_t datagram_create(struct datagram **out, struct worker *w, const struct port *port,
		      struct err_detail *why) MUST_CHECK;
void datagram_destroy(struct datagram **d);

void datagram_event(struct datagram *d);

#endif
