/*
 * survey - collects the facts that doctor.h judges: asks the database, the log and the memcached servers.
 *
 * Reads only.  It connects with the configured account, and follows the binlog for a moment as a replica with
 * an id of its own, to see whether the server still has what follows the checkpoint.
 *
 * Threads: the main one.   Blocks: up to source.connect_timeout per question.   Clock: injected.
 */
#ifndef SQUEAL_SURVEY_H
#define SQUEAL_SURVEY_H

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "squeal/doctor.h"

/* What squeal.yaml says, the password file, and the log's checkpoint.  `config` is the file's path, for
 * texts. */
void survey_config(const struct topology *topo, const char *config, const struct clock *clock,
		   struct doctor_facts *f);

/* The database.  False when it cannot be connected to; why is in the facts.  Call survey_config() first. */
bool survey_server(const struct topology *topo, const struct clock *clock, struct doctor_facts *f);

/* One memcached; `address` as topology_server_address() says. */
void survey_cache(const struct topology *topo, const struct cluster *cluster, const char *address,
		  const struct clock *clock, struct doctor_facts *f);

/* May the traffic be seen by others?  False for a socket and for loopback addresses. */
bool survey_is_network(const struct source_options *opt);

#endif
