/*
 * follow - hands the keys of one partition of the log to the audit as they are appended, from its end on.
 *
 * What cannot be read is counted and logged, and following goes on behind it; a log that is not there, or is
 * replaced, is tried again for as long as it takes.  A partition that the log may have yet is looked for, and
 * followed from its beginning when it comes.
 *
 * Threads: the loop's.   Blocks: on the disk, for one slice of records; of a topic, when it is opened.
 * Clock: the loop's.
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
	uint32_t partition;
	bool is_optional; /* it need not be there: that is no failure */
	struct follow_metrics *metrics;
	struct broker_metrics *broker_metrics;
	void (*on_began)(void *arg, struct follow *f); /* it was opened for the first time */
	void *arg;
};

struct follow *follow_create(const struct follow_context *ctx);
void follow_destroy(struct follow **f);

void follow_start(struct follow *f);

/* Takes no more keys. */
void follow_stop(struct follow *f);

/* It has been open at least once. */
bool follow_began(const struct follow *f);

/* Why it cannot be read now; "" when it can, and where it need not be there. */
const char *follow_error(const struct follow *f);

#endif
