/*
 * ages - was an item stored before a moment, or after it?  Known from CAS ids.
 *
 * A memcached gives every item that is stored an id from one counter, which only grows.  Items that we store
 * now and then (probes) tie the counter to time: an item whose id is below a probe's was stored before that
 * probe was answered, one whose id is above it was stored after it was sent.  Ids do not outlive the server's
 * process: whoever loses the connection forgets everything, and an id that is not above the last one does the
 * same.
 *
 * It is wrong about a server behind a proxy that changes servers unseen, and about items whose writer chose
 * the id himself (flag E of meta commands).
 *
 * Threads: one at a time.   Blocks: never.   Time: monotonic nanoseconds, as given by the caller.
 */
#ifndef SQUEAL_REPLAY_AGES_H
#define SQUEAL_REPLAY_AGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ages; /* opaque: the probes of one server */

enum ages_verdict {
	AGES_UNKNOWN, /* no probe says anything about that moment */
	AGES_OLDER,   /* stored before it */
	AGES_NEAR,    /* stored about then, in between two probes */
	AGES_NEWER,   /* stored after it */
};

/* Remembers the last `capacity` probes. */
struct ages *ages_create(size_t capacity);
void ages_destroy(struct ages **a);

/* A probe got the id `cas`.  False: the counter went back, so what was known before is forgotten. */
bool ages_add(struct ages *a, uint64_t sent_ns, uint64_t answered_ns, uint64_t cas);

/* The server may be another one now. */
void ages_forget(struct ages *a);

size_t ages_count(const struct ages *a);

/*
 * The moment is known to lie between `from_ns` and `to_ns`.  AGES_OLDER: stored before from_ns; AGES_NEWER:
 * after to_ns.
 */
enum ages_verdict ages_judge(const struct ages *a, uint64_t cas, uint64_t from_ns, uint64_t to_ns);

/* An item with this id is at least so old; 0 when nothing is known. */
uint64_t ages_least_age_ns(const struct ages *a, uint64_t cas, uint64_t now_ns);

#endif
