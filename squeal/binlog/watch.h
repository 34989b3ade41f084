/*
 * watch - whether the endpoint that is read has been left behind by another one.
 *
 * A primary that was demoted or fenced, and a replica whose replication broke, stay connected and send
 * heartbeats for ever, but nothing new.  So every `endpoint_check` each of the other endpoints is asked what
 * its binlog has. The endpoint that is read is stale when another one that takes writes (read_only=OFF) has
 * had something for a whole such time that the one that is read still lacks.  What a read-only replica alone
 * has does not count: that was written to it by mistake, and following it would lead away from the primary.
 *
 * Servers without GTIDs cannot be compared; they are left out.
 *
 * Threads: one of its own; the functions from any.   Blocks: destroy, until a question under way is broken
 * off; the others never.   Time: waits are real time.
 */
#ifndef SQUEAL_BINLOG_WATCH_H
#define SQUEAL_BINLOG_WATCH_H

#include "lib/conf/endpoint.h"
#include "lib/core/err.h"

struct watch;

/* Called in the watch's thread when the endpoint that is followed is stale; must not call back. */
typedef void watch_stale_fn(void *arg);

/* `opt` and `all` are borrowed and must outlive it. */
struct watch *watch_create(const struct source_options *opt, const struct endpoints *all,
			   watch_stale_fn *stale, void *arg);
void watch_destroy(struct watch **w);

/* The endpoint with this index is read from now on; SIZE_MAX: none is. */
void watch_follow(struct watch *w, size_t index);

/* True when the endpoint that is followed was found stale: which one is ahead, and a sentence in *why. */
bool watch_is_stale(struct watch *w, size_t *ahead, struct err_detail *why);

#endif
