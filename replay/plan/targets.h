/*
 * targets - where replayed keys go: the chosen clusters, pools and servers of squeal.yaml.
 *
 * Which servers have a key is decided by lib/route/route.h, as in the router; what is not chosen is left out
 * afterwards, so a choice never changes where a key goes.  A server that is in several clusters is one server
 * per cluster: hold-offs, limits and logins may differ.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_PLAN_TARGETS_H
#define SQUEAL_REPLAY_PLAN_TARGETS_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/deliver/outbox.h"
#include "lib/route/route.h"

/* What the router of a cluster knows beyond squeal.yaml. */
struct targets_now {
	const struct cluster *const *before; /* rings of before that are not sealed, the latest first */
	size_t nbefore;
	bool cold; /* instead of what the cluster's mode says */
};

/* What was chosen; nothing: everything.  Borrowed during targets_create(), as lists of names. */
struct targets_options {
	char *const *clusters, *const *pools, *const *servers;
	size_t nclusters, npools, nservers;
	uint32_t stale_ms;	       /* instead of what the pool says; 0: that */
	uint32_t holdoff_ms;	       /* at least */
	const struct targets_now *now; /* one per cluster of the topology; NULL: squeal.yaml as it is.  Must
					* outlive the targets. */
};

struct targets; /* opaque */

/* `topology` is borrowed.  ERR_USAGE: something chosen does not exist, with what there is; errors of
 * route_create(). */
err_t targets_create(struct targets **out, const struct topology *topology, const struct targets_options *opt,
		     struct err_detail *why) MUST_CHECK;
void targets_destroy(struct targets **t); /* NULL is fine */

struct targets_hop {
	uint32_t server; /* of all clusters, for targets_server() */
	bool shadow;
	bool former;	       /* only by a ring of before */
	struct outbox_key key; /* for outbox_put() */
};

/* What a key comes to.  All zero at first, and used again. */
struct targets_answer {
	struct targets_hop *hops;
	size_t n, cap;
	struct route_answer route;
};

void targets_answer_fini(struct targets_answer *a);

/* Valid until the next call with this answer, and as long as `key`.  `holdoff_ms`: the transaction's. */
void targets_route(struct targets *t, struct span key, struct span pool, uint32_t holdoff_ms,
		   struct targets_answer *out);

/* Keys so far that went nowhere: another region's, of no pool, or not to what was chosen. */
uint64_t targets_foreign(const struct targets *t);
uint64_t targets_homeless(const struct targets *t);
uint64_t targets_elsewhere(const struct targets *t);

size_t targets_nclusters(const struct targets *t);
const struct cluster *targets_cluster(const struct targets *t, size_t i);

/* Servers of all chosen clusters; those that were not chosen get no hops. */
size_t targets_nservers(const struct targets *t);
const struct server_options *targets_server(const struct targets *t, size_t i);
const struct pool_options *targets_server_pool(const struct targets *t, size_t i);
const char *targets_server_name(const struct targets *t, size_t i);
bool targets_server_is_old(const struct targets *t, size_t i); /* only rings of before have it */
size_t targets_server_cluster(const struct targets *t, size_t i);
bool targets_server_is_chosen(const struct targets *t, size_t i);

/* The rate limits of the server's cluster. */
size_t targets_server_limits(const struct targets *t, size_t i, struct outbox_limit *limits, size_t max);

/* Appends all that decides where keys go and what is done there: two that say the same do the same. */
void targets_print(const struct targets *t, struct buf *out);

#endif
