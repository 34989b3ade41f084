/*
 * delivery_inside - what delivery.c, the life of a delivery, and delivery_read.c, which reads the log for it,
 * share.
 *
 * Threads: the loop's.
 */
#ifndef SQUEAL_ROUTER_DELIVERY_INSIDE_H
#define SQUEAL_ROUTER_DELIVERY_INSIDE_H

#include "router/delivery.h"
#include "router/intake.h"
#include "router/lanes.h"
#include "router/places.h"

struct delivery {
	struct delivery_context ctx;
	struct lanes lanes;
	struct places places;
	struct feed *feed;
	struct feed_metrics feed_metrics;
	struct delivery_metrics metrics;
	struct broker_metrics broker_metrics;
	struct intake in;
	struct loop_timer turn, behind, tick, save;
	const struct route *staged; /* between delivery_stage() and delivery_commit() */
	bool more;		    /* the live feed has not come to the end yet */
	struct {
		uint64_t expect;   /* the next record's least offset */
		uint64_t until_us; /* monotonic; 0: no matter */
		bool handed;	   /* there was a record */
		bool patient;	   /* lanes with plenty to send take no more */
	} reading;
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
};

/* For intake: there may be more to read. */
void delivery_read_woken(void *delivery);

/* For the timers `turn` and `behind`. */
void delivery_read_turn(void *delivery);
void delivery_read_behind(void *delivery);

/* Whoever may have something to read finds out. */
void delivery_read_soon(struct delivery *d);

/* Takes notice of what a lane, or each of them, has acknowledged. */
void delivery_look(struct delivery *d, struct lane *lane, uint64_t live);
void delivery_look_all(struct delivery *d);

#endif
