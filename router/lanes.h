/*
 * lanes - the servers of one partition of the log: made and dropped as the cluster changes, by their names.
 *
 * Threads: the loop's.   Blocks: on the cursors.   Clock: the loop's.
 */
#ifndef SQUEAL_ROUTER_LANES_H
#define SQUEAL_ROUTER_LANES_H

#include "lib/broker/cursor.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/deliver/server_security.h"
#include "lib/net/loop.h"
#include "router/lane.h"

struct lanes_context {
	struct loop *loop;
	const struct router_options *opt;
	struct cursor_store *cursors;
	struct log *log;		   /* may be NULL */
	struct metric_registry *registry;  /* may be NULL */
	uint64_t seed;			   /* of the jitter */
	uint32_t partition, partitions;	   /* of the log: labels of metrics where there are several */
	server_progress_fn *on_progress;   /* arg: the lane */
	outbox_acked_fn *on_acked;	   /* arg: the lane */
	outbox_coalesced_fn *on_coalesced; /* arg: the lane */
	void (*on_saving)(void *owner);	   /* cursors are about to be saved; may be NULL */
	void *owner;			   /* of each lane */
};

struct lanes {
	struct lanes_context ctx;
	struct lane **lane;	  /* in the cluster's order */
	struct outbox **outboxes; /* of each */
	size_t n;
	bool shown;
	/* between lanes_stage() and lanes_commit() */
	struct lane **staged;
	bool *made; /* it is new, rather than one of `lane` */
	bool *shadow;
	size_t nstaged;
};

/* Empty.  What `ctx` points to must outlive it. */
void lanes_init(struct lanes *l, const struct lanes_context *ctx);
void lanes_fini(struct lanes *l);

/* A server as the route has it. */
struct lanes_server {
	const struct server_options *opt;
	const struct pool_options *pool; /* for TLS and login; may be NULL */
	bool anew;			 /* what it holds is not what a cursor says */
	bool shadow;			 /* does not count for readiness */
};

/*
 * Makes ready the lanes of these servers: one that is there by its name and is connected to by the same
 * address in the same way stays as it is; others are made, with the cursors that were saved for them. Nothing
 * changes before lanes_commit().  On error there is nothing to commit.
 */
err_t lanes_stage(struct lanes *l, const struct lanes_server *servers, size_t n,
		  struct err_detail *why) MUST_CHECK;

/* What was made ready takes the place of what was; lanes that are left over go, and with their servers their
 * cursors. */
void lanes_commit(struct lanes *l);

/* Nothing comes of what was made ready. */
void lanes_abandon(struct lanes *l);

/* Shows the metrics of all of them, or hides them.  Those that come later are like the others. */
void lanes_show(struct lanes *l, bool show);

/* The rate limits of prefixes, to each server. */
void lanes_limits(struct lanes *l, const struct outbox_limit *limits, size_t n);

/* The log has so many partitions. */
void lanes_partitions(struct lanes *l, uint32_t partitions);

/* Labels of this partition's metrics, and of one server's where `server` is not NULL. */
void lanes_labels(const struct lanes *l, const char *server, struct buf *out);

/* Begins to connect to `server`, to all where it is NULL. */
void lanes_connect(struct lanes *l, const char *server);

/* Pauses `server` (NULL: all) or lets it go on.  False: there is no such server. */
bool lanes_pause(struct lanes *l, const char *server, bool pause);

/* Saves the cursors that have moved; *n is how many. */
err_t lanes_save(struct lanes *l, size_t *n, struct err_detail *why) MUST_CHECK;

#endif
