#include "cache-server/sight/latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct latency {
	struct sample sample; /* first, see latency.h; owner only */
	struct histogram of[LATENCY_NCOMMANDS];
};
_Static_assert(offsetof(struct latency, sample) == 0, "latency_due() finds it at the start");

static const char *const texts[] = {
#define LATENCY_TEXT(name, text, help) text,
    LATENCY_COMMANDS(LATENCY_TEXT)
#undef LATENCY_TEXT
};

static const struct {
	double fraction;
	const char *key, *quantile;
} quantiles[] = {{0.5, "p50", "0.5"}, {0.9, "p90", "0.9"}, {0.99, "p99", "0.99"}, {0.999, "p999", "0.999"}};

enum { NQUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

struct latency *
latency_create(uint32_t sample, uint64_t seed)
{
	struct latency *l = MEM_NEW(struct latency);

	sample_init(&l->sample, sample, seed);
	return l;
}

void
latency_destroy(struct latency **l)
{
	free(*l);
	*l = NULL;
}

bool
latency_again(struct latency *l)
{
	sample_again(&l->sample);
	return l->sample.every != 0;
}

void
latency_note(struct latency *l, enum latency_command command, uint64_t nanoseconds)
{
	histogram_record(&l->of[command], nanoseconds);
}

void
latency_reset(struct latency *const *ls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0; c < LATENCY_NCOMMANDS; c++) {
			struct histogram *h = &ls[i]->of[c];

			for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
				atomic_store_explicit(&h->bucket[b], 0, memory_order_relaxed);
			atomic_store_explicit(&h->count, 0, memory_order_relaxed);
			atomic_store_explicit(&h->sum, 0, memory_order_relaxed);
			atomic_store_explicit(&h->max, 0, memory_order_relaxed);
		}
	}
}

void
latency_merge(struct latency *const *ls, size_t n, enum latency_command command, struct histogram *out)
{
	for (size_t i = 0; i < n; i++)
		histogram_merge(out, &ls[i]->of[command]);
}

const char *
latency_command_text(enum latency_command command)
{
	return (size_t)command < LATENCY_NCOMMANDS ? texts[command] : "?";
}

static void
put_stat(latency_stat_fn *put, void *arg, const char *command, const char *what, uint64_t value)
{
	struct buf key = BUF_INIT, text = BUF_INIT;

	buf_printf(&key, "%s_%s", command, what);
	buf_put_u64(&text, value);
	put(arg, buf_span(&key), buf_span(&text));
	buf_fini(&key);
	buf_fini(&text);
}

void
latency_stats(struct latency *const *ls, size_t n, latency_stat_fn *put, void *arg)
{
	struct histogram *h = MEM_NEW(struct histogram);

	for (size_t c = 0; c < LATENCY_NCOMMANDS; c++) {
		uint64_t count;

		memset(h, 0, sizeof(*h));
		latency_merge(ls, n, (enum latency_command)c, h);
		count = histogram_count(h);
		if (count == 0)
			continue;
		put_stat(put, arg, texts[c], "count", count);
		put_stat(put, arg, texts[c], "mean_ns", histogram_sum(h) / count);
		for (size_t q = 0; q < NQUANTILES; q++) {
			char what[16];

			snprintf(what, sizeof(what), "%s_ns", quantiles[q].key);
			put_stat(put, arg, texts[c], what, histogram_percentile(h, quantiles[q].fraction));
		}
		put_stat(put, arg, texts[c], "max_ns", histogram_max(h));
	}
	free(h);
}

static void
put_seconds(struct buf *out, uint64_t nanoseconds)
{
	buf_printf(out, "%" PRIu64 ".%09" PRIu64 "\n", nanoseconds / 1000000000, nanoseconds % 1000000000);
}

void
latency_render(struct latency *const *ls, size_t n, struct buf *out)
{
	static const char name[] = "squeal_cache_latency_seconds";
	struct histogram *h = MEM_NEW(struct histogram);

	buf_printf(out,
		   "# HELP %s Time from a whole request to its reply in the buffer, of the requests that "
		   "were timed.\n"
		   "# TYPE %s summary\n",
		   name, name);
	for (size_t c = 0; c < LATENCY_NCOMMANDS; c++) {
		memset(h, 0, sizeof(*h));
		latency_merge(ls, n, (enum latency_command)c, h);
		for (size_t q = 0; q < NQUANTILES; q++) {
			buf_printf(out, "%s{command=\"%s\",quantile=\"%s\"} ", name, texts[c],
				   quantiles[q].quantile);
			put_seconds(out, histogram_percentile(h, quantiles[q].fraction));
		}
		buf_printf(out, "%s_sum{command=\"%s\"} ", name, texts[c]);
		put_seconds(out, histogram_sum(h));
		buf_printf(out, "%s_count{command=\"%s\"} %" PRIu64 "\n", name, texts[c], histogram_count(h));
	}
	free(h);
}
