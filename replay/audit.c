#include "replay/audit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"

/* Two tables in one file: a typedef can name only one owner. */
#define metric_owner struct audit_metrics
const struct metric_row audit_metric_rows[] = {METRIC_ROWS(AUDIT_METRICS)};
#undef metric_owner
const size_t audit_metric_nrows = sizeof(audit_metric_rows) / sizeof(audit_metric_rows[0]);

#define metric_owner struct audit_check_metrics
const struct metric_row audit_check_metric_rows[] = {METRIC_ROWS(AUDIT_CHECK_METRICS)};
#undef metric_owner
const size_t audit_check_metric_nrows = sizeof(audit_check_metric_rows) / sizeof(audit_check_metric_rows[0]);

struct audit_check {
	struct audit_check *next;
	uint64_t taken_ns; /* delays count from here */
	uint64_t from_ns, to_ns;
	uint64_t offset;
	uint32_t partition;
	size_t delay;	/* index of the next look, or of the one that runs */
	size_t waiting; /* servers that have not answered this look */
	size_t nholders;
	size_t copies;
	size_t holder; /* the first of them */
	uint64_t holder_age_ns;
	enum audit_answer worst;
	size_t key_len, wire_len, gtid_len;
	char text[]; /* key, key as servers know it, gtid */
};

/* Checks that wait for the same delay: due in the order in which they were put in. */
struct line {
	struct audit_check *first, **last;
};

struct audit {
	struct audit_options opt;
	const struct clock *clock;
	const struct audit_ops *ops;
	void *arg;
	size_t pending;
	struct line lines[AUDIT_DELAYS_MAX];
	struct audit_metrics metrics;
	struct audit_check_metrics check_metrics[AUDIT_DELAYS_MAX];
};

struct audit *
audit_create(const struct audit_options *opt, const struct clock *clock, const struct audit_ops *ops,
	     void *arg)
{
	struct audit *a = MEM_NEW(struct audit);

	a->opt = *opt;
	a->clock = clock;
	a->ops = ops;
	a->arg = arg;
	for (size_t i = 0; i < AUDIT_DELAYS_MAX; i++)
		a->lines[i].last = &a->lines[i].first;
	return a;
}

void
audit_destroy(struct audit **ap)
{
	struct audit *a = *ap;

	if (a == NULL)
		return;
	for (size_t i = 0; i < a->opt.ndelays; i++) {
		struct audit_check *c, *next;

		for (c = a->lines[i].first; c != NULL; c = next) {
			next = c->next;
			free(c);
		}
	}
	free(a);
	*ap = NULL;
}

static void
set_pending(struct audit *a, size_t n)
{
	a->pending = n;
	metric_set(&a->metrics.audit_pending, n);
}

/* --- taking keys ------------------------------------------------------------------------------------------
 */

static void
line_up(struct audit *a, struct audit_check *c)
{
	struct line *line = &a->lines[c->delay];

	c->next = NULL;
	*line->last = c;
	line->last = &c->next;
}

/* The least moment of the commit by our monotonic clock; whatever is in doubt makes it earlier. */
static uint64_t
commit_from_ns(const struct audit *a, const struct audit_origin *from, uint64_t now_ns)
{
	uint64_t now_us = clock_real_us(a->clock);
	uint64_t stamp_us = from->seen_us != 0 && from->seen_us < from->at_us ? from->seen_us : from->at_us;
	uint64_t margin_ns = (uint64_t)AUDIT_MARGIN_MS * 1000000;
	uint64_t ago_ns = now_us > stamp_us ? (now_us - stamp_us) * 1000 : 0;
	uint64_t from_ns = now_ns > ago_ns + margin_ns ? now_ns - ago_ns - margin_ns : 0;

	return from_ns < from->end_ns ? from_ns : from->end_ns;
}

bool
audit_samples(const struct audit *a, struct span key)
{
	return hash_span(key, a->opt.seed) % a->opt.sample == 0;
}

void
audit_key(struct audit *a, const struct audit_origin *from, struct span key, struct span wire)
{
	struct audit_check *c;

	metric_inc(&a->metrics.audit_keys);
	if (!audit_samples(a, key))
		return;
	metric_inc(&a->metrics.audit_sampled);
	if (wire.len == 0) {
		metric_inc(&a->metrics.audit_invalid);
		return;
	}
	if (a->pending >= a->opt.max_pending) {
		metric_inc(&a->metrics.audit_dropped);
		return;
	}
	c = mem_zalloc(1, sizeof(*c) + key.len + wire.len + from->gtid.len);
	c->taken_ns = clock_mono_ns(a->clock);
	c->from_ns = commit_from_ns(a, from, c->taken_ns);
	c->to_ns = c->taken_ns;
	c->offset = from->offset;
	c->partition = from->partition;
	c->copies = from->copies > 0 ? from->copies : 1;
	c->key_len = key.len;
	c->wire_len = wire.len;
	c->gtid_len = from->gtid.len;
	memcpy(c->text, key.p, key.len);
	memcpy(c->text + key.len, wire.p, wire.len);
	if (from->gtid.len > 0)
		memcpy(c->text + key.len + wire.len, from->gtid.p, from->gtid.len);
	set_pending(a, a->pending + 1);
	line_up(a, c);
}

/* --- asking -----------------------------------------------------------------------------------------------
 */

void
audit_run(struct audit *a)
{
	uint64_t now_ns = clock_mono_ns(a->clock);

	for (size_t i = 0; i < a->opt.ndelays; i++) {
		struct line *line = &a->lines[i];
		struct audit_check *c;

		while ((c = line->first) != NULL && now_ns - c->taken_ns >= a->opt.delays_ms[i] * 1000000) {
			line->first = c->next;
			if (line->first == NULL)
				line->last = &line->first;
			c->waiting = a->opt.nservers;
			c->nholders = 0;
			c->worst = AUDIT_GONE;
			metric_inc(&a->check_metrics[i].audit_asked);
			/* The last answer ends the look, and may end the check. */
			for (size_t s = 0; s < a->opt.nservers; s++) {
				if (!a->ops->ask(a->arg, s, c))
					audit_answer(a, c, s, AUDIT_UNASKED, 0);
			}
		}
	}
}

/* --- answers ----------------------------------------------------------------------------------------------
 */

static void
say(struct audit *a, const struct audit_check *c, size_t server, bool misrouted, uint64_t least_age_ns)
{
	struct audit_finding f = {0};

	f.misrouted = misrouted;
	f.key = span_make(c->text, c->key_len);
	f.gtid = span_make(c->text + c->key_len + c->wire_len, c->gtid_len);
	f.offset = c->offset;
	f.partition = c->partition;
	f.server = server;
	f.after_ms = a->opt.delays_ms[c->delay];
	f.least_age_ns = least_age_ns;
	a->ops->found(a->arg, &f);
}

static void
conclude(struct audit *a, struct audit_check *c)
{
	struct audit_check_metrics *m = &a->check_metrics[c->delay];
	metric_t *const by_answer[] = {
	    [AUDIT_GONE] = &m->audit_gone,	 [AUDIT_REFILLED] = &m->audit_refilled,
	    [AUDIT_NEAR] = &m->audit_near,	 [AUDIT_UNASKED] = &m->audit_unasked,
	    [AUDIT_UNKNOWN] = &m->audit_unknown, [AUDIT_STALE] = &m->audit_stale,
	};

	metric_inc(by_answer[c->worst]);
	if (c->nholders > c->copies)
		metric_inc(&m->audit_misrouted);
	if (++c->delay < a->opt.ndelays) {
		line_up(a, c);
		return;
	}
	set_pending(a, a->pending - 1);
	free(c);
}

void
audit_answer(struct audit *a, struct audit_check *c, size_t server, enum audit_answer answer,
	     uint64_t least_age_ns)
{
	if (answer > c->worst)
		c->worst = answer;
	if (answer == AUDIT_STALE)
		say(a, c, server, false, least_age_ns);
	/* AUDIT_UNKNOWN may be a refusal rather than an item; only what was seen with an age tells of two
	 * places. */
	if (answer == AUDIT_REFILLED || answer == AUDIT_NEAR || answer == AUDIT_STALE) {
		if (c->nholders == 0) {
			c->holder = server;
			c->holder_age_ns = least_age_ns;
		} else if (c->nholders >= c->copies) {
			if (c->nholders == c->copies)
				say(a, c, c->holder, true, c->holder_age_ns);
			say(a, c, server, true, least_age_ns);
		}
		c->nholders++;
	}
	if (--c->waiting == 0)
		conclude(a, c);
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

struct span
audit_check_key(const struct audit_check *c)
{
	return span_make(c->text + c->key_len, c->wire_len);
}

uint64_t
audit_check_from_ns(const struct audit_check *c)
{
	return c->from_ns;
}

uint64_t
audit_check_to_ns(const struct audit_check *c)
{
	return c->to_ns;
}

size_t
audit_pending(const struct audit *a)
{
	return a->pending;
}

const struct audit_metrics *
audit_metrics(const struct audit *a)
{
	return &a->metrics;
}

const struct audit_check_metrics *
audit_check_metrics(const struct audit *a, size_t i)
{
	return &a->check_metrics[i];
}
