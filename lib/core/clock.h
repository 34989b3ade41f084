/*
 * clock - where time comes from.
 *
 * Code below main.c never asks the operating system for the time; it asks the clock that it was given.
 * Intervals and timeouts use the monotonic time, stamps for people and for latency use the wall clock.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_CLOCK_H
#define SQUEAL_LIB_CORE_CLOCK_H

#include <stdint.h>

struct clock {
	uint64_t (*mono_ns)(const struct clock *c); /* nanoseconds since some fixed point */
	uint64_t (*real_us)(const struct clock *c); /* microseconds since 1970-01-01 UTC */
};

static inline uint64_t
clock_mono_ns(const struct clock *c)
{
	return c->mono_ns(c);
}

static inline uint64_t
clock_mono_ms(const struct clock *c)
{
	return c->mono_ns(c) / 1000000;
}

static inline uint64_t
clock_real_us(const struct clock *c)
{
	return c->real_us(c);
}

/* The system's clock; it has no state. */
const struct clock *clock_system(void);

/* A clock that stands still until it is told to move; for tests. */
struct clock_fake {
	struct clock clock; /* pass &fake.clock on */
	uint64_t now_ns;
	uint64_t epoch_us; /* wall-clock time at now_ns == 0 */
};

void clock_fake_init(struct clock_fake *f);
void clock_fake_advance_ms(struct clock_fake *f, uint64_t ms);

#endif
