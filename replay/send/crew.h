/*
 * crew - the servers that a replay sends to: a connection and an outbox each, what they acknowledged and how
 * fast, and how many keys their readers miss.
 *
 * Every delete is sent so that the server says whether it had the key.
 *
 * Threads: the loop's.   Blocks: crew_create() on files of TLS and passwords.   Clock: the loop's.
 */
#ifndef SQUEAL_REPLAY_SEND_CREW_H
#define SQUEAL_REPLAY_SEND_CREW_H

#include "lib/core/histogram.h"
#include "lib/deliver/server.h"
#include "replay/plan/targets.h"
#include "replay/send/gauge.h"
#include "replay/send/pace.h"

struct crew; /* opaque */

struct crew_setup {
	struct loop *loop;
	const struct topology *topology;
	const struct targets *targets;
	const uint64_t
	    *planned; /* deletes per server: those with none are left alone; NULL: all are needed */
	struct log *log;
	bool gauges; /* somebody asks how many keys readers miss */
};

/* ERR_CONFIG, ERR_IO: of files with certificates and passwords. */
err_t crew_create(struct crew **out, const struct crew_setup *setup, struct err_detail *why) MUST_CHECK;
void crew_destroy(struct crew **c); /* NULL is fine */

/* --- filling ----------------------------------------------------------------------------------------------
 */

enum crew_put { CREW_TAKEN, CREW_FULL /* later */, CREW_UNSENDABLE };

/* A delete of chunk `number`. */
enum crew_put crew_put(struct crew *c, uint64_t number, const struct targets_hop *hop);

/* Chunk `number` is whole. */
void crew_end(struct crew *c, uint64_t number);

/* Sends what may be sent. */
void crew_pump(struct crew *c);

/* Nothing more is sent; what is in flight is awaited. */
void crew_pause(struct crew *c);
bool crew_is_calm(const struct crew *c); /* nothing is in flight */

/* Every chunk before this one is done. */
uint64_t crew_done(const struct crew *c);

/* --- looking ----------------------------------------------------------------------------------------------
 */

struct crew_totals {
	uint64_t acked, hits, misses, given_up;
};
struct crew_totals crew_totals(const struct crew *c);

/* Asks for misses; once a second. */
void crew_ask(struct crew *c);

/* What happened since the last look: acknowledgements and misses. */
void crew_look(struct crew *c, struct pace_look *look);

/* The server that has waited the longest to be reached, with deletes for it; false: none.  `why` names it and
 * the reason. */
bool crew_away(const struct crew *c, uint64_t *for_ms, char *why, size_t size);

/* Of server i of the targets; NULL: it was left alone. */
const struct server *crew_server(const struct crew *c, size_t i);
const struct histogram *crew_acks(const struct crew *c, size_t i); /* us */

#endif
