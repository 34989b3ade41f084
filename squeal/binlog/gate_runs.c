#include "squeal/binlog/gate_runs.h"

void
gate_runs_fini(struct gate_runs *r)
{
	gtid_set_fini(&r->before);
	*r = (struct gate_runs){0};
}

static struct gate_run *
run_at(const struct gate_runs *r, size_t i)
{
	return (struct gate_run *)&r->runs[(r->oldest + i) % GATE_RUNS];
}

static bool
has_ids(const struct gate_run *run)
{
	return run->gtid.kind == GTID_MYSQL;
}

/* Adds what the run has up to the ticket. */
static void
put_run(struct gtid_set *set, const struct gate_run *run, uint64_t ticket)
{
	uint64_t last = ticket < run->last ? ticket : run->last;

	if (has_ids(run))
		gtid_set_add_range(set, &run->gtid, run->gtid.seq, run->gtid.seq + (last - run->first));
}

static void
forget_oldest(struct gate_runs *r)
{
	r->oldest = (r->oldest + 1) % GATE_RUNS;
	r->n--;
}

static void
fold_oldest(struct gate_runs *r)
{
	const struct gate_run *run = run_at(r, 0);

	put_run(&r->before, run, run->last);
	r->before_last = run->last;
	if (!has_ids(run) && run->until_ms > r->before_until_ms)
		r->before_until_ms = run->until_ms;
	forget_oldest(r);
}

/* Whether the transaction goes on where the run ends. */
static bool
run_continues(const struct gate_run *run, uint64_t ticket, const struct gtid *gtid, uint64_t now_ms)
{
	struct gtid next = run->gtid;

	if (ticket != run->last + 1)
		return false;
	if (!has_ids(run) || gtid->kind != GTID_MYSQL)
		return !has_ids(run) && gtid->kind != GTID_MYSQL && now_ms + GATE_HOLD_MS <= run->until_ms;
	next.seq += ticket - run->first;
	return gtid_same(&next, gtid);
}

void
gate_runs_add(struct gate_runs *r, uint64_t ticket, const struct gtid *gtid, uint64_t now_ms)
{
	if (r->n > 0 && run_continues(run_at(r, r->n - 1), ticket, gtid, now_ms)) {
		run_at(r, r->n - 1)->last = ticket;
		return;
	}
	if (r->n == GATE_RUNS)
		fold_oldest(r);
	*run_at(r, r->n++) = (struct gate_run){
	    .first = ticket,
	    .last = ticket,
	    .gtid = *gtid,
	    .until_ms = now_ms + GATE_HOLD_MS + GATE_GRAIN_MS,
	};
}

void
gate_runs_drop(struct gate_runs *r, uint64_t ticket)
{
	if (r->before_last <= ticket) {
		gtid_set_clear(&r->before);
		r->before_last = r->before_until_ms = 0;
	}
	while (r->n > 0 && run_at(r, 0)->first <= ticket) {
		struct gate_run *run = run_at(r, 0);

		if (run->last > ticket) {
			run->gtid.seq += ticket + 1 - run->first;
			run->first = ticket + 1;
			return;
		}
		forget_oldest(r);
	}
}

uint64_t
gate_runs_wanted(const struct gate_runs *r, uint64_t ticket, struct gtid_set *wanted)
{
	uint64_t until_ms = r->before_until_ms;

	gtid_set_copy(wanted, &r->before);
	for (size_t i = 0; i < r->n && run_at(r, i)->first <= ticket; i++) {
		const struct gate_run *run = run_at(r, i);

		put_run(wanted, run, ticket);
		if (!has_ids(run) && run->until_ms > until_ms)
			until_ms = run->until_ms;
	}
	return until_ms;
}
