/*
 * http - the head of an HTTP/1 request as a struct, and the head of an answer as bytes.
 *
 * Only what a port that is read needs: requests without a body, answers that end the connection.
 * libevent 2.1's own HTTP server can neither count its connections nor bound the time of a request, which a
 * port that monitoring depends on must do.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_NET_HTTP_H
#define SQUEAL_LIB_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

struct http_request {
	struct span method;
	struct span path;  /* begins with "/", not decoded */
	struct span query; /* behind "?", not decoded; empty when there is none */
	struct span host;  /* name or address without port and brackets; empty when the client gave none */
	bool marked;	   /* has the header X-Squeal, which no web page can make a browser send unasked */
};

/*
 * Reads a request's head; the spans point into `in`.  Returns 200, 0 (more bytes are needed), or the status
 * to answer: 400 (not HTTP, or two hosts, or HTTP/1.1 without one), 413 (it has a body), 505 (not HTTP/1).
 */
int http_request_parse(struct span in, struct http_request *out);

/* "Not Found"; never NULL. */
const char *http_reason(int status);

/* Status line and header for a body of `length` bytes; `extra` is whole header lines or "". */
void http_head(struct buf *out, int status, const char *type, size_t length, const char *extra);

/* Appends `in` without its percent signs and plus signs; false when it holds a broken %XX or a %00. */
bool http_decode(struct span in, struct buf *out);

#endif
