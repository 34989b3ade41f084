/*
 * status - what /status and /readyz say of a cluster's router: over all partitions that it delivers, and each
 * of them.
 *
 * Threads: the loop's.   Blocks: never.
 */
#ifndef SQUEAL_ROUTER_STATUS_H
#define SQUEAL_ROUTER_STATUS_H

#include "lib/conf/topology.h"
#include "lib/core/json.h"
#include "lib/net/admin.h"
#include "router/delivery.h"

struct status {
	const struct cluster *cluster;
	const struct log_options *log;
	const char *instance;
	const char *trouble; /* with the group; "" when there is none */
	uint32_t partitions; /* that the log has; 0: not known yet */
	struct delivery *const *deliveries;
	size_t n;
};

/* Not ready while the group or the log cannot be reached or read, or a server is in GAP. */
void status_ready(const struct status *s, struct admin_reasons *reasons);

/*
 * Members of an object.  "log" and "servers" are those of the only partition; where there are several,
 * "servers" has each once with sums over them, and "partitions" has all of them with everything.
 */
void status_write(const struct status *s, struct json *j);

#endif
