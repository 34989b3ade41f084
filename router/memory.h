/*
 * memory - what a router must know after its restart beside cursors and rings, in a file of its own.
 *
 * What squealctl said: which servers are paused, and the cluster's mode where that is not what squeal.yaml
 * says.  And what the router learnt: which process answered at each server's address, so that another one
 * which came while the router was down is noticed (lib/deliver/process.h).
 *
 * When a process was last heard is written at an end in order only; as long as the router runs that would be
 * too early.  After a crash it is the time of the last memory_heard(), which has a file of its own that is
 * overwritten in place: it outlives kill -9, and is not believed after a start of the machine.  Where nothing
 * is known, whatever began before the router's start may have been there before.
 *
 * Changes are made in memory, and written, whole, by memory_save().  A damaged file is put aside: what it
 * said is lost, memory_trouble() says so, and it goes on.  Without a file (a log that is not on this machine,
 * and no `cursors` in the cluster) nothing outlives the router.
 *
 * Threads: the loop's.   Blocks: on the disk.   Clock: injected.
 */
#ifndef SQUEAL_ROUTER_MEMORY_H
#define SQUEAL_ROUTER_MEMORY_H

#include <stdbool.h>

#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/deliver/server.h"

struct memory; /* opaque */

/*
 * Loads what is there; no file is fine, and so is a damaged one.  `path` "": none will ever be.  ERR_CONFIG:
 * the file is another cluster's; ERR_SYS: it cannot be read.  Nothing is written before memory_own().
 */
err_t memory_load(struct memory **out, const char *path, const char *cluster, const struct clock *clock,
		  struct err_detail *why) MUST_CHECK;
void memory_destroy(struct memory **m);

/* No other router has the file: it is ours to write. */
void memory_own(struct memory *m);

/* Writes what has changed.  On error it is changed still. */
err_t memory_save(struct memory *m, struct err_detail *why) MUST_CHECK;

/* As memory_save() at the end: nobody is heard any more. */
err_t memory_stop(struct memory *m, struct err_detail *why) MUST_CHECK;

/* --- what squealctl said ----------------------------------------------------------------------------------
 */

/* `server` NULL: all of them, those that come later too. */
void memory_pause(struct memory *m, const char *server, bool paused);
bool memory_is_paused(const struct memory *m, const char *server);

/* Is anything? */
bool memory_has_pause(const struct memory *m);

/* The mode was said while squeal.yaml says `configured`. */
void memory_mode(struct memory *m, bool cold, bool configured);

/* The mode where squeal.yaml says `configured`: what was said is over when the file has changed since. */
bool memory_is_cold(struct memory *m, bool configured);

/* --- servers ----------------------------------------------------------------------------------------------
 */

/* The process that answers, and is trusted; NULL: it does not say.  One that was heard later stays. */
void memory_learn(struct memory *m, const char *server, const struct server_past *past);

/* False: none is known. */
bool memory_past(const struct memory *m, const char *server, struct server_past *out);

/* To be called before cursors are saved: what they say was heard no later than now. */
void memory_heard(struct memory *m);

/* Forgets what is not a server any more. */
void memory_keep(struct memory *m, bool (*is_server)(void *arg, const char *server), void *arg);

/* --- looking ----------------------------------------------------------------------------------------------
 */

/* NULL: there is none. */
const char *memory_file(const struct memory *m);

/* What went wrong with the file, and what to do; "" for nothing.  What was lost stays here until squealctl
 * says something. */
const char *memory_trouble(const struct memory *m);

/*
 * A member of an open object:
 *
 *     "memory":{"file":"/var/lib/squeal/a.cursors.memory","trouble":"","all_paused":false,
 *               "paused":["10.0.0.1:11211"],"running":[],"processes":4}
 *
 * "running" are those that go on where all are paused.
 */
void memory_status(const struct memory *m, struct json *j);

#endif
