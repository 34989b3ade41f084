#include "replay/send/eta.h"

#include <math.h>

enum { LEAST_SAMPLES = 3 };

void
eta_see(struct eta *e, uint64_t now_ms, uint64_t done)
{
	uint64_t ms = now_ms - e->last_ms;

	if (!e->began) {
		e->began = true;
		e->last_ms = now_ms;
		e->last_done = done;
		return;
	}
	if (ms < ETA_EVERY_MS)
		return;
	e->rates[e->next] = (double)(done - e->last_done) * 1000 / (double)ms;
	e->next = (e->next + 1) % ETA_SAMPLES;
	if (e->n < ETA_SAMPLES)
		e->n++;
	e->last_ms = now_ms;
	e->last_done = done;
}

static uint64_t
ms_at(uint64_t left, double rate)
{
	return rate > 0 ? (uint64_t)((double)left * 1000 / rate) : 0;
}

struct eta_guess
eta_guess(const struct eta *e, uint64_t left)
{
	struct eta_guess g = {0};
	double mean = 0, squares = 0, error;

	if (e->n < LEAST_SAMPLES)
		return g;
	for (size_t i = 0; i < e->n; i++)
		mean += e->rates[i] / (double)e->n;
	for (size_t i = 0; i < e->n; i++)
		squares += (e->rates[i] - mean) * (e->rates[i] - mean);
	if (mean <= 0)
		return g;
	error = 2 * sqrt(squares / (double)(e->n - 1) / (double)e->n);
	g.known = true;
	g.rate = mean;
	g.ms = ms_at(left, mean);
	g.soonest_ms = ms_at(left, mean + error);
	g.latest_ms = ms_at(left, mean - error);
	return g;
}
