#include "lib/deliver/process.h"

enum {
	HAS_PID = 1,
	HAS_UPTIME = 2,
	HAS_TIME = 4,
	HAS_CONNECTIONS = 8,
	HAS_ALL = 15,
	HAS_ITEMS = 64 | 128,
	/* memcached's uptime may be whole seconds behind: rounding, and a timer that is late */
	UPTIME_BEHIND_MS = 2000,
	BORN_JITTER_S = 2,
};

void
process_stat(struct process *p, struct span line)
{
	static const char *const names[] = {"pid",	  "uptime", "time",	  "total_connections",
					    "started_us", "age_us", "curr_items", "total_items"};
	uint64_t *const to[] = {&p->pid,	&p->uptime_s, &p->time_s, &p->connections,
				&p->started_us, &p->age_us,   &p->items,  &p->items_ever};
	struct span rest = line, name = span_cut(&rest, ' ');

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (span_is(name, names[i]) && span_u64(rest, to[i]))
			p->has |= 1u << i;
	}
}

void
process_asked(struct process *p, uint64_t asked_ms, uint64_t told_ms)
{
	p->known = (p->has & HAS_ALL) == HAS_ALL;
	p->asked_ms = asked_ms;
	p->told_ms = told_ms;
}

/* How long it had run, at the most, when it was asked. */
static uint64_t
age_ms(const struct process *p)
{
	return p->age_us != 0 ? p->age_us / 1000 + 1 : p->uptime_s * 1000 + UPTIME_BEHIND_MS;
}

/* When it began, at the earliest, by our monotonic clock, which may have begun later. */
static int64_t
started_ms(const struct process *p)
{
	return (int64_t)p->asked_ms - (int64_t)age_ms(p);
}

static bool
is_same(const struct process *a, const struct process *b)
{
	/* By its own clock and its own count, which stand still together when the process is stopped. */
	uint64_t born_a = a->time_s - a->uptime_s, born_b = b->time_s - b->uptime_s;
	uint64_t apart = born_a > born_b ? born_a - born_b : born_b - born_a;

	if (a->pid != b->pid || a->started_us != b->started_us)
		return false;
	if (a->started_us != 0)
		return true;
	return apart <= BORN_JITTER_S && b->connections > a->connections;
}

/* Nothing is there and nothing ever was: whoever it is, it has nothing that a delete was for. */
static bool
is_empty(const struct process *p)
{
	return (p->has & HAS_ITEMS) == HAS_ITEMS && p->items == 0 && p->items_ever == 0;
}

enum server_change
process_compare(const struct process *former, const struct process *now, int64_t heard_ms)
{
	if (!former->met || (!former->known && !now->known))
		return SERVER_SAME;
	if (!former->known || !now->known)
		return SERVER_OTHER;
	if (is_same(former, now))
		return SERVER_SAME;
	return started_ms(now) > heard_ms || is_empty(now) ? SERVER_RESTARTED : SERVER_OTHER;
}

uint64_t
process_started_us(const struct process *p, uint64_t real_us, uint64_t mono_ms)
{
	uint64_t ago;

	if (!p->known)
		return 0;
	ago = (mono_ms - p->asked_ms + age_ms(p)) * 1000;
	return real_us > ago ? real_us - ago : 0;
}

bool
process_past(const struct process *p, int64_t heard_ms, struct server_past *out)
{
	if (!p->met || !p->known)
		return false;
	*out = (struct server_past){.pid = p->pid,
				    .born_s = p->time_s - p->uptime_s,
				    .started_us = p->started_us,
				    .connections = p->connections,
				    .heard_ms = heard_ms};
	return true;
}

void
process_recall(struct process *p, const struct server_past *past)
{
	*p = (struct process){.met = true,
			      .known = true,
			      .pid = past->pid,
			      .time_s = past->born_s,
			      .started_us = past->started_us,
			      .connections = past->connections};
}
