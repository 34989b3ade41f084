/*
 * recall - what the router remembers over its restart (memory.h), told to the deliveries and learnt from
 * them.
 *
 * A pause is the router's, for every partition that it has or gets.  Other routers of the cluster, which
 * share a Kafka log with this one, know nothing of it: each is told by itself.
 *
 * The process behind a server's address is remembered once it is trusted: where another one was found, its
 * flush is acknowledged first, so that a crash finds it again.
 *
 * Threads: the loop's.   Blocks: on the file.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_RECALL_H
#define SQUEAL_ROUTER_RECALL_H

#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/route/route.h"
#include "router/router.h"
#include "router/routing.h"

struct recall; /* opaque */

/* Where it is: beside the cursors, of each instance its own where they share a log; nothing is appended where
 * there is no place. */
void recall_path(const struct topology *t, const struct cluster *c, const char *instance, struct buf *out);

/* As memory_load(). */
err_t recall_open(struct recall **out, const struct router_setup *setup, struct err_detail *why) MUST_CHECK;

/* Everybody has left: writes when servers were heard, and goes. */
void recall_close(struct recall **r);

/* The cursors are ours, and so is the file. */
void recall_own(struct recall *r);

/* Every delete holds fills off; asked at the start and after a reload. */
bool recall_is_cold(struct recall *r);

/* A partition came, and nobody has connected yet. */
void recall_tell(const struct recall *r, struct delivery *d);

/* Another route is in force: servers came and went. */
void recall_changed(struct recall *r, const struct route *route, const struct routing_users *users);

/* Learns which processes answer, and writes what has changed.  Call it about once a second, and before a
 * partition goes. */
void recall_look(struct recall *r, const struct routing_users *users);

/* Cursors are about to be saved: whatever they say of servers was heard by now. */
void recall_saving(struct recall *r);

/* What squealctl says.  It counts at once; an error is that a restart forgets it. */
err_t recall_pause(struct recall *r, const char *server, bool paused, const struct routing_users *users,
		   struct err_detail *why) MUST_CHECK;
err_t recall_mode(struct recall *r, bool cold, struct err_detail *why) MUST_CHECK;

/* Is there a file that outlives the router? */
bool recall_lasts(const struct recall *r);

/* As memory_status(). */
void recall_status(const struct recall *r, struct json *j);

#endif
