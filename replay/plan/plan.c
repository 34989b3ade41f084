#include "replay/plan/plan.h"

#include <stdlib.h>

#include "lib/core/mem.h"

void
plan_init(struct plan *p, const struct targets *targets)
{
	*p = (struct plan){.nservers = targets_nservers(targets)};
	p->by_server = mem_zalloc(p->nservers + 1, sizeof(*p->by_server));
}

void
plan_fini(struct plan *p)
{
	free(p->by_server);
	*p = (struct plan){0};
}

bool
plan_key(void *arg, struct span key, const struct targets_answer *to)
{
	struct plan *p = arg;

	(void)key;
	for (size_t i = 0; i < to->n; i++) {
		p->by_server[to->hops[i].server]++;
		p->shadow_deletes += to->hops[i].shadow;
		p->former_deletes += to->hops[i].former;
	}
	p->deletes += to->n;
	return true;
}

void
plan_finish(struct plan *p, const struct select *s, const struct filter *f, const struct targets *t,
	    const struct tape *tape)
{
	p->txns = select_txns(s);
	p->keys = select_keys(s);
	p->repeats = select_keys(s) - select_sent_keys(s);
	p->distinct = select_distinct(s);
	p->distinct_is_exact = select_distinct_is_exact(s);
	p->first_us = select_first_us(s);
	p->last_us = select_last_us(s);
	p->filtered_txns = f->txns_dropped;
	p->filtered_keys = f->keys_dropped;
	p->tables_unknown = f->tables_unknown;
	p->foreign = targets_foreign(t);
	p->homeless = targets_homeless(t);
	p->elsewhere = targets_elsewhere(t);
	p->tape = tape->counts;
	p->unit = tape->unit;
	p->noun = tape->noun;
}

uint64_t
plan_seconds(const struct plan *p, uint64_t rate)
{
	return rate == 0 ? 0 : (p->deletes + rate - 1) / rate;
}

uint64_t
plan_reads(const struct plan *p, unsigned hit_percent)
{
	uint64_t most = p->deletes - p->shadow_deletes;

	/* Where repeats are sent as well, or were forgotten: a key that is gone is not a hit again. */
	if (p->keys > 0 && p->keys - p->repeats > p->distinct)
		most = (uint64_t)((double)most * (double)p->distinct / (double)(p->keys - p->repeats));
	return (most * hit_percent + 99) / 100;
}
