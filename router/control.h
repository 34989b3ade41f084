/*
 * control - what the admin port of a router shows of keys, and the actions that it takes: squealctl's other
 * half.
 *
 *     GET  /explain?key=K[&format=json]  which servers have it, and why
 *     GET  /trace?key=K[&n=10]           story.h
 *     GET  /top[?n=10]                   top.h
 *     POST /watch?key=K                  the key is always noted for /trace
 *     POST /pause[?server=S]  /resume[?server=S]
 *     POST /mode?mode=warm|cold
 *     POST /seal                         ends a ring change
 *
 * Answers of actions are {"done":"a sentence"} or {"error":"a sentence"}.
 *
 * Threads: the loop's.   Blocks: never.   Clock: the loop's.
 */
#ifndef SQUEAL_ROUTER_CONTROL_H
#define SQUEAL_ROUTER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/deliver/outbox.h"
#include "lib/net/admin.h"
#include "lib/net/loop.h"
#include "router/story.h"

/* What the router does when it is asked to. */
struct control_ops {
	/* Appends lines of text; the key is one that can be sent. */
	void (*explain)(void *arg, struct span key, struct buf *text);

	/* NULL: every server.  ERR_NOT_FOUND: there is no such server; any other error: it is done, and a
	 * restart will forget it. */
	err_t (*pause)(void *arg, const char *server, bool paused, struct err_detail *why);

	/* On error it is done, and a restart will forget it. */
	err_t (*mode)(void *arg, bool cold, struct err_detail *why);

	/* Appends what is to be known of how far and how long these two hold; often nothing. */
	void (*caveat)(void *arg, struct buf *text);

	/* *rings: how many old rings there were. */
	err_t (*seal)(void *arg, size_t *rings, struct err_detail *why);
};

struct control; /* opaque */

struct control_context {
	struct loop *loop;
	const struct router_options *opt;
	struct metric_registry *registry; /* may be NULL */
	uint64_t seed;
	const struct control_ops *ops;
	void *arg;
};

struct control *control_create(const struct control_context *ctx);
void control_destroy(struct control **c);

/* Adds the pages and actions. */
void control_open(struct control *c, struct admin *a);

/* NULL where nothing is noted. */
struct story *control_story(struct control *c);

/* A server has acknowledged a delete. */
void control_acked(struct control *c, const struct outbox_ack *ack);

/* Adds "hops_us" for /status. */
void control_status(const struct control *c, struct json *j);

#endif
