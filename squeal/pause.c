#include "squeal/pause.h"

#include <time.h>

void
pause_ms(const _Atomic bool *stop, uint64_t ms)
{
	while (ms > 0 && !atomic_load(stop)) {
		uint64_t step = ms < PAUSE_STEP_MS ? ms : PAUSE_STEP_MS;
		struct timespec ts = {0, (long)step * 1000000};

		nanosleep(&ts, NULL);
		ms -= step;
	}
}

uint64_t
pause_longer(uint64_t ms, uint64_t max_ms)
{
	return ms * 2 > max_ms ? max_ms : ms * 2;
}
