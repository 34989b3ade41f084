#include "lib/core/clock.h"

#include <time.h>

static uint64_t
system_mono_ns(const struct clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
system_real_us(const struct clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

const struct clock *
clock_system(void)
{
	static const struct clock system = {system_mono_ns, system_real_us};

	return &system;
}

static uint64_t
fake_mono_ns(const struct clock *c)
{
	return ((const struct clock_fake *)c)->now_ns;
}

static uint64_t
fake_real_us(const struct clock *c)
{
	const struct clock_fake *f = (const struct clock_fake *)c;

	return f->epoch_us + f->now_ns / 1000;
}

void
clock_fake_init(struct clock_fake *f)
{
	*f = (struct clock_fake){
	    .clock = {fake_mono_ns, fake_real_us},
	    .now_ns = 1000000000u,
	    .epoch_us = 1700000000u * UINT64_C(1000000),
	};
}

void
clock_fake_advance_ms(struct clock_fake *f, uint64_t ms)
{
	f->now_ns += ms * 1000000u;
}
