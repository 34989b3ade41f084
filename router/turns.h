/*
 * turns - when those that are behind may hold the loop, and for how long.  All partitions of a router share
 * one, so that a live record of any of them waits for one slice at most, whatever is caught up with.
 *
 * While records come live a slice is short, and is followed by a pause of TURNS_PAUSES times what it took;
 * whoever waits for the pause to end takes turns.  Otherwise slices are longer, because each costs a reading
 * of its own, and follow each other.
 *
 * Threads: the loop's.   Blocks: never.   Time: monotonic, given by the caller.
 */
#ifndef SQUEAL_ROUTER_TURNS_H
#define SQUEAL_ROUTER_TURNS_H

#include <stdint.h>

enum {
	TURNS_LIVE_US = 50000, /* so long after its last record the live feed is at work */
	TURNS_SLICE_US = 250,
	TURNS_SLICE_BESIDE_LIVE_US = 50,
	TURNS_PAUSES = 3,
	TURNS_AFTER_YOU_US = 20,
};

/* Zeroed: nothing has happened yet. */
struct turns {
	uint64_t live_us; /* when the live feed had its last record; 0: never */
	uint64_t next_us; /* when the next slice may begin */
};

/* The live feed had a record. */
void turns_live(struct turns *t, uint64_t now_us);

/* Microseconds until a slice may begin; 0: now. */
uint64_t turns_wait(const struct turns *t, uint64_t now_us);

/* The same for who had the slice before: those that wait for the same moment come first. */
uint64_t turns_again(const struct turns *t, uint64_t now_us);

/* How long a slice that begins now may take. */
uint64_t turns_slice_us(const struct turns *t, uint64_t now_us);

/* A slice is over. */
void turns_took(struct turns *t, uint64_t began_us, uint64_t now_us);

#endif
