/*
 * partitions - follows the whole log: each partition of a topic, or the one of a file.
 *
 * How many there are is found out by opening one after the other.  One more than there is is looked for now
 * and then, because a topic may be given more.
 *
 * Threads: the loop's.   Blocks: as follow.h.   Clock: the loop's.
 */
#ifndef SQUEAL_REPLAY_PARTITIONS_H
#define SQUEAL_REPLAY_PARTITIONS_H

#include "replay/follow.h"

struct partitions; /* opaque */

/* `ctx`: of what is one partition's only, nothing.  `registry` may be NULL. */
struct partitions *partitions_create(const struct follow_context *ctx, struct metric_registry *registry);
void partitions_destroy(struct partitions **p); /* NULL is fine */

void partitions_start(struct partitions *p);

/* Takes no more keys. */
void partitions_stop(struct partitions *p);

/* The log has been open at least once. */
bool partitions_began(const struct partitions *p);

/* Why the log, or a part of it, cannot be read now; "" when it can. */
const char *partitions_error(const struct partitions *p);

/* Those that were found. */
size_t partitions_count(const struct partitions *p);

/* Of all of them. */
const struct follow_metrics *partitions_metrics(const struct partitions *p);

#endif
