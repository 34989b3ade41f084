/*
 * follow - hands the keys of the log to the audit as they are appended, from the log's end on.
 *
 * What cannot be read is counted and logged, and following goes on behind it; a log that is not there, or is
 * replaced, is tried again for as long as it takes.
 *
 * Threads: the loop's.   Blocks: on the disk, for one slice of records.   Clock: the loop's.
 */
#ifndef SQUEAL_REPLAY_FOLLOW_H
#define SQUEAL_REPLAY_FOLLOW_H

#include <stdbool.h>

#include "lib/broker/broker.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/net/loop.h"
#include "lib/route/route.h"
#include "replay/audit.h"

/* clang-format off */
/*	  name                 kind     unit       help */
#define FOLLOW_METRICS(M)                                                                                       \
	M(audit_records,       COUNTER, "records", "records of the log read")                                  \
	M(audit_bad_records,   COUNTER, "records", "records that are damaged or cannot be decoded; their keys are not audited") \
	M(audit_log_gaps,      COUNTER, "gaps",    "records trimmed from the log before they were read; their keys are not audited") \
	M(audit_log_errors,    COUNTER, "errors",  "failures to open or read the log; tried again")
/* clang-format on */

struct follow_metrics {
	METRIC_FIELDS(FOLLOW_METRICS)
};
extern const struct metric_row follow_metric_rows[];
extern const size_t follow_metric_nrows;

struct follow; /* opaque */

struct follow_context {
	struct loop *loop;
	const struct log_options *log_opt;
	struct log *log;
	struct audit *audit;
	const struct route *route; /* of the cluster: what servers know a key as, and how many may hold it */
	struct span probe_key;	   /* with the namespace; is not audited */
	struct metric_registry *metrics; /* may be NULL */
};

struct follow *follow_create(const struct follow_context *ctx);
void follow_destroy(struct follow **f);

void follow_start(struct follow *f);

/* Takes no more keys. */
void follow_stop(struct follow *f);

/* The log has been open at least once. */
bool follow_began(const struct follow *f);

/* Why the log cannot be read now; "" when it can. */
const char *follow_error(const struct follow *f);

const struct follow_metrics *follow_metrics(const struct follow *f);

#endif
