/*
 * pause - waits before another try, and stops waiting when it is told to.
 *
 * Threads: any.   Blocks: up to the given time, or about PAUSE_STEP_MS after *stop became true.   Clock: real
 * time.
 */
#ifndef SQUEAL_PAUSE_H
#define SQUEAL_PAUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { PAUSE_STEP_MS = 50 };

void pause_ms(const _Atomic bool *stop, uint64_t ms);

/* The next pause after one of `ms`: twice as long, at most `max_ms`. */
uint64_t pause_longer(uint64_t ms, uint64_t max_ms);

#endif
