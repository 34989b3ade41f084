/*
 * rings - the configurations of before whose rings are not sealed, kept on disk.
 *
 * While clients are told of a changed ring some use the old one and some the new, so a delete goes to the
 * owners by both, until somebody who knows that the old one is out of use seals it (docs/routing.md says when
 * that is safe). Nothing here ever seals by itself.
 *
 * The file also holds the ring that was in use last, so that a change is noticed when the router was down
 * meanwhile, and the servers that were sealed out: when such a server comes back, what it holds is older than
 * what its cursor or the log could tell, and it must be flushed before anything is delivered to it.
 *
 * Every change is on disk, whole, before it counts: rings_take() first, then the new route.  Without a file
 * (a log that is not on this machine, and no `cursors` in the cluster) a change cannot be taken.
 *
 * Threads: the loop's.   Blocks: on the disk.   Time: microseconds since 1970, as given by the caller.
 */
#ifndef SQUEAL_LIB_RINGS_RINGS_H
#define SQUEAL_LIB_RINGS_RINGS_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/json.h"
#include "lib/core/log.h"

enum { RINGS_MAX = 8 };

struct rings; /* opaque */

/* Where they are: beside the cursors; nothing is appended where there is no place. */
void rings_path(const struct topology *t, const struct cluster *c, struct buf *out);

/*
 * Loads what is there; no file is fine.  `path` "": none will ever be.  ERR_CORRUPT: the file is damaged,
 * ERR_CONFIG: it is another cluster's, ERR_READ_ONLY, ERR_SYS; *why says what to do.  Follow with
 * rings_take().
 */
err_t rings_load(struct rings **out, const char *path, const char *cluster,
		 struct err_detail *why) MUST_CHECK;
void rings_destroy(struct rings **r);

/* Appends the file's text: what /rings of the admin port says. */
void rings_text(const struct rings *r, struct buf *out);

/* Reads such a text; errors as of rings_load(), and sentences call it `name`.  These rings are for
 * rings_plan() and for looking: they have no file. */
err_t rings_parse(struct rings **out, struct span text, const char *name, const char *cluster,
		  struct err_detail *why) MUST_CHECK;

/*
 * The cluster as it is to be from now on, at start and at every reload.  Where its ring differs from the last
 * one, that one is kept among those of before; *changed says so.  ERR_CONFIG: more than RINGS_MAX are not
 * sealed, or there is no file to keep it in; ERR_FULL, ERR_IO and the like: the file could not be written. On
 * error nothing has changed, and the new ring must not be used.
 */
err_t rings_take(struct rings *r, const struct cluster *now, uint64_t at_us, bool *changed,
		 struct err_detail *why) MUST_CHECK;

/* As rings_take(), but in memory only: what would be.  Such rings must not be taken, sealed or flushed by. */
err_t rings_plan(struct rings *r, const struct cluster *now, struct err_detail *why) MUST_CHECK;

/*
 * The configurations of before, the latest first, for route_create().  Valid until the next change.
 */
const struct cluster *const *rings_before(const struct rings *r, size_t *n);

/*
 * All rings of before are out of use: they are forgotten, and the servers that only they had are noted.
 * Follow with a new route.  *sealed is how many there were.  On error nothing has changed.
 */
err_t rings_seal(struct rings *r, uint64_t at_us, size_t *sealed, struct err_detail *why) MUST_CHECK;

/* The server ("host:port") was sealed out once, and has not been flushed since. */
bool rings_was_out(const struct rings *r, const char *server);

/* The server is empty, by an acknowledged flush: it may be trusted.  One that was never out is fine.  On
 * error it counts as out still. */
err_t rings_flushed(struct rings *r, const char *server, struct err_detail *why) MUST_CHECK;

/*
 * Members of an open object:
 *
 *     "unsealed_rings":1,
 *     "rings":{"unsealed":[{"until_us":1700000000000000,"servers":["10.0.0.1:11211"]}],
 *              "sealed_out":["10.0.0.9:11211"]}
 */
void rings_status(const struct rings *r, struct json *j);

#endif
