/*
 * latency - how long commands take, from the first look at a whole request to its reply in the buffer.
 *
 * One per worker thread, merged when they are read.  Only one request in `sample` is timed, at random
 * distances; the caller reads the clock for those alone:
 *
 *     bool timed = latency_due(l);
 *     uint64_t start = timed ? nanoseconds() : 0;
 *     ... the command ...
 *     if (timed)
 *             latency_note(l, LATENCY_GET, nanoseconds() - start);
 *
 * Nanoseconds, unlike elsewhere in this project: most commands take less than one microsecond.
 *
 * Threads: latency_due() and latency_note() by the thread that owns it; the others by any at any time,
 * without locks.   Blocks: never.   Time: the caller's clock.
 */
#ifndef SQUEAL_CACHE_SERVER_SIGHT_LATENCY_H
#define SQUEAL_CACHE_SERVER_SIGHT_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/histogram.h"
#include "lib/core/sample.h"
#include "lib/core/span.h"

/* clang-format off */
/*        name         in text       what is in it */
#define LATENCY_COMMANDS(X)                                                                   \
	X(LATENCY_GET,     "get",        "get, gets, gat, gats; mg; their binary kin")        \
	X(LATENCY_SET,     "set",        "set, add, replace, append, prepend, cas; ms")       \
	X(LATENCY_DELETE,  "delete",     "delete; md")                                        \
	X(LATENCY_ARITH,   "arithmetic", "incr, decr; ma")                                    \
	X(LATENCY_TOUCH,   "touch",      "touch")                                             \
	X(LATENCY_LEASE_GET, "lease_get", "lease-get")                                        \
	X(LATENCY_LEASE_SET, "lease_set", "lease-set")                                        \
	X(LATENCY_OTHER,   "other",      "every other command")
/* clang-format on */

enum latency_command {
#define LATENCY_ENUM(name, text, help) name,
	LATENCY_COMMANDS(LATENCY_ENUM)
#undef LATENCY_ENUM
	    LATENCY_NCOMMANDS
};

struct latency; /* opaque but for what it begins with: its struct sample */

/* `sample` 0: nothing is ever timed.  `seed`: any random bits, different per thread. */
struct latency *latency_create(uint32_t sample, uint64_t seed);
void latency_destroy(struct latency **l); /* NULL is fine; no other thread may be reading */

/* The part of latency_due() behind the sample; false when the sample is 0. */
bool latency_again(struct latency *l);

/* Whether this request is to be timed. */
static inline bool
latency_due(struct latency *l)
{
	return sample_due((struct sample *)l) && latency_again(l);
}

void latency_note(struct latency *l, enum latency_command command, uint64_t nanoseconds);

/* `stats reset`: forgets what was noted. */
void latency_reset(struct latency *const *ls, size_t n);

/* Adds what all of them noted for the command to *out, in nanoseconds. */
void latency_merge(struct latency *const *ls, size_t n, enum latency_command command, struct histogram *out);

/* "get" */
const char *latency_command_text(enum latency_command command);

/*
 * `stats latency`: for each command that was timed `put("get_p50_ns", "812")`, and get_count,
 * get_mean_ns, get_p90_ns, get_p99_ns, get_p999_ns, get_max_ns.  Counts are those of the sample.
 */
typedef void latency_stat_fn(void *arg, struct span key, struct span value);
void latency_stats(struct latency *const *ls, size_t n, latency_stat_fn *put, void *arg);

/* Prometheus: the summary squeal_cache_latency_seconds{command="get",quantile="0.99"}. */
void latency_render(struct latency *const *ls, size_t n, struct buf *out);

#endif
