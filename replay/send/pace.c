#include "replay/send/pace.h"

#include <stdio.h>

/* At most so much time's deletes go at once. */
#define PACE_BURST_S 0.05

void
pace_init(struct pace *p, const struct pace_options *opt, uint64_t now_ns)
{
	*p = (struct pace){.opt = *opt, .limit = (double)opt->rate, .at_ns = now_ns};
}

uint64_t
pace_now(struct pace *p, uint64_t now_ns)
{
	double most = p->limit * PACE_BURST_S;

	if (p->limit <= 0)
		return UINT64_MAX;
	p->tokens += p->limit * (double)(now_ns - p->at_ns) / 1e9;
	p->at_ns = now_ns;
	if (most < 1)
		most = 1;
	if (p->tokens > most)
		p->tokens = most;
	return p->tokens < 1 ? 0 : (uint64_t)p->tokens;
}

void
pace_spend(struct pace *p, uint64_t n)
{
	if (p->limit > 0)
		p->tokens -= (double)n;
}

static void
put_ms(char *out, size_t size, uint64_t us)
{
	if (us < 10000)
		snprintf(out, size, "%.1f ms", (double)us / 1000);
	else
		snprintf(out, size, "%llu ms", (unsigned long long)(us / 1000));
}

/* What is too much, as a sentence; false: nothing is. */
static bool
find_reason(struct pace *p, const struct pace_look *look)
{
	char ms[32];

	if (p->opt.max_ack_us > 0 && look->ack_us > p->opt.max_ack_us) {
		put_ms(ms, sizeof(ms), look->ack_us);
		snprintf(p->reason, sizeof(p->reason), "%.100s acks %s", look->slowest, ms);
		return true;
	}
	if (p->opt.max_misses > 0 && look->misses > p->opt.max_misses) {
		snprintf(p->reason, sizeof(p->reason), "readers of %.80s miss %llu keys a second",
			 look->missing, (unsigned long long)look->misses);
		return true;
	}
	if (p->opt.max_threads > 0 && look->threads > p->opt.max_threads) {
		snprintf(p->reason, sizeof(p->reason), "%llu threads run in the database",
			 (unsigned long long)look->threads);
		return true;
	}
	return false;
}

void
pace_see(struct pace *p, const struct pace_look *look)
{
	double asked = (double)p->opt.rate;

	p->looks++;
	if (find_reason(p, look)) {
		double from = p->limit > 0 && p->limit < look->sent ? p->limit : look->sent;

		p->throttled_looks++;
		p->is_throttled = true;
		p->limit = from * 0.7 > PACE_LEAST ? from * 0.7 : PACE_LEAST;
		return;
	}
	p->reason[0] = '\0';
	if (!p->is_throttled)
		return;
	p->limit = p->limit * 1.1 + 1;
	/* Without a rate the bound goes when it binds nothing any more. */
	if (asked > 0 ? p->limit >= asked : p->limit > 4 * (look->sent + PACE_LEAST)) {
		p->limit = asked;
		p->is_throttled = false;
	}
}
