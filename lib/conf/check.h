/*
 * check - whether settings that are right one by one make sense together.
 *
 * Each function looks at one section of squeal.yaml and says what is wrong and what would be right.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_CHECK_H
#define SQUEAL_LIB_CONF_CHECK_H

#include <stdbool.h>

#include "lib/conf/section.h"
#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

err_t check_region(const struct section_file *r, const struct section *f,
		   const struct region_options *o) MUST_CHECK;
err_t check_log(const struct section_file *r, const struct section *f,
		const struct log_options *o) MUST_CHECK;
err_t check_source(const struct section_file *r, const struct section *f,
		   const struct source_options *o) MUST_CHECK;
err_t check_markers(const struct section_file *r, const struct section *f,
		    const struct markers_options *o) MUST_CHECK;
err_t check_squeal(const struct section_file *r, const struct section *f,
		   const struct squeal_options *o) MUST_CHECK;
err_t check_router(const struct section_file *r, const struct section *f,
		   const struct router_options *o) MUST_CHECK;
err_t check_cluster(const struct section_file *r, const struct section *f,
		    const struct cluster_options *o) MUST_CHECK;

/* What it left out is the cluster's already. */
err_t check_pool(const struct section_file *r, const struct section *f,
		 const struct pool_options *o) MUST_CHECK;

/* Sets the port of a socket to 0. */
err_t check_server(const struct section_file *r, const struct section *f, struct server_options *o,
		   const char *distribution) MUST_CHECK;

#endif
