/*
 * cluster - one item of `clusters` in squeal.yaml: its pools, their servers, and its limits.
 *
 * Threads: the one that loads the file.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_CLUSTER_H
#define SQUEAL_LIB_CONF_CLUSTER_H

#include "lib/conf/section.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { CLUSTER_MAX_POOLS = 1000, CLUSTER_MAX_SERVERS = 4096, CLUSTER_MAX_LIMITS = 1000 };

/*
 * Reads the item `node` into *c, which is all zero.  On error *c holds what was read so far; the caller calls
 * cluster_fini() in any case.  `f` (its table set) is filled in for the caller's own checks; f->path is valid
 * as long as `path`.
 */
err_t cluster_read(struct cluster *c, const struct section_file *r, struct section *f, struct buf *path,
		   const struct yaml_node *node) MUST_CHECK;

void cluster_fini(struct cluster *c);

/* Makes *to, whose contents do not matter, a copy with nothing in common. */
void cluster_copy(struct cluster *to, const struct cluster *from);

/* Fills servers and nservers from the pools. */
void cluster_gather_servers(struct cluster *c);

/* Relative paths begin at `folder`, which ends in "/" or is empty. */
void cluster_resolve(struct cluster *c, struct span folder);

/* topology_reload() for one cluster. */
void cluster_reload(struct cluster *c, const struct cluster *fresh, topology_change_fn *fn, void *arg);

/* Makes *path, which is not empty and does not begin at "/", begin at `folder`. */
void path_resolve(char **path, struct span folder);

#endif
