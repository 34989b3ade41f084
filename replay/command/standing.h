/*
 * standing - what the router of a cluster knows beyond squeal.yaml, so that a replayed delete goes where the
 * router's goes: rings of before that are not sealed, and the mode that squealctl has switched.
 *
 *     the router          is asked at its admin port (/status, /rings)
 *     the router's file   where it does not answer: its rings, not its mode
 *     by hand             --ring-of FILE adds a ring, --mode sets the mode, --admin asks another router too
 *     nothing             squeal.yaml as it is; a sentence says so
 *
 * Where squeal.yaml has another ring than the one that the router uses, the router's counts as one of before.
 * Several routers of a cluster may know different rings: all of them count, and one that is cold makes the
 * cluster cold.
 *
 * Threads: one.   Blocks: on the admin ports, for STANDING_TIMEOUT_MS each, and on files.
 */
#ifndef SQUEAL_REPLAY_COMMAND_STANDING_H
#define SQUEAL_REPLAY_COMMAND_STANDING_H

#include "lib/conf/topology.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "replay/command/arguments.h"
#include "replay/plan/targets.h"

enum { STANDING_TIMEOUT_MS = 2000 };

struct standings; /* opaque */

/* Finds out about the chosen clusters.  Who cannot be asked is no error.  `t` is borrowed.  ERR_USAGE,
 * ERR_CONFIG, ERR_IO: of what was given by hand. */
err_t standings_find(struct standings **out, const struct topology *t, const struct arguments *a,
		     struct err_detail *why) MUST_CHECK;
void standings_destroy(struct standings **s); /* NULL is fine */

/* One for each cluster of the topology, for targets_create(); lives as long as the standings. */
const struct targets_now *standings_now(const struct standings *s);

/* Lines of the plan: what differs from squeal.yaml, and what is not known.  Nothing where there is nothing to
 * say. */
void standings_text(const struct standings *s, struct buf *out);

/*
 * An array:
 *
 *     [{"cluster":"east","known_from":"router","unsealed_rings":1,"mode":"cold","note":""}]
 *
 * known_from is router, file, hand or nothing; the note is a sentence.
 */
void standings_json(const struct standings *s, struct buf *out);

#endif
