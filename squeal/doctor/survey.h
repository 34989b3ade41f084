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
#include "squeal/doctor/doctor.h"

/* What squeal.yaml says, the password file, and the log's checkpoint.  `source` is topo->source, or a copy
 * that names one of its endpoints only; `config` is the file's path, for texts. */
void survey_config(const struct topology *topo, const struct source_options *source, const char *config,
		   const struct clock *clock, struct doctor_facts *f);

/* The first database of `source`.  False when it cannot be connected to; why is in the facts.  Call
 * survey_config() first. */
bool survey_server(const struct topology *topo, const struct source_options *source,
		   const struct clock *clock, struct doctor_facts *f);

/* Compares the facts of `n` endpoints with each other, and puts into each what it has in common with another.
 */
void survey_compare(struct doctor_facts **f, size_t n);

/* One memcached; `address` as topology_server_address() says. */
void survey_cache(const struct topology *topo, const struct cluster *cluster, const char *address,
		  const struct clock *clock, struct doctor_facts *f);

/* May the traffic be seen by others?  False when every endpoint is a socket or a loopback address. */
bool survey_is_network(const struct source_options *opt);

#endif
