#include "router/turns.h"

#include <stdbool.h>

static bool
beside_live(const struct turns *t, uint64_t now_us)
{
	return t->live_us != 0 && now_us - t->live_us < TURNS_LIVE_US;
}

void
turns_live(struct turns *t, uint64_t now_us)
{
	t->live_us = now_us;
}

uint64_t
turns_wait(const struct turns *t, uint64_t now_us)
{
	return t->next_us > now_us ? t->next_us - now_us : 0;
}

uint64_t
turns_again(const struct turns *t, uint64_t now_us)
{
	uint64_t wait_us = turns_wait(t, now_us);

	return wait_us > 0 ? wait_us + TURNS_AFTER_YOU_US : 0;
}

uint64_t
turns_slice_us(const struct turns *t, uint64_t now_us)
{
	return beside_live(t, now_us) ? TURNS_SLICE_BESIDE_LIVE_US : TURNS_SLICE_US;
}

void
turns_took(struct turns *t, uint64_t began_us, uint64_t now_us)
{
	t->next_us = beside_live(t, now_us) ? now_us + TURNS_PAUSES * (now_us - began_us) : now_us;
}
