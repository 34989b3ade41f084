#include "lib/core/metric.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

struct metric_set {
	struct metric_set *next;
	const struct metric_row *rows;
	size_t nrows;
	const void *base;
	char *labels;
	bool rendered; /* in the render that is under way */
};

struct metric_registry {
	pthread_mutex_t lock; /* guards the list */
	struct metric_set *sets;
};

struct metric_registry *
metric_registry_create(void)
{
	struct metric_registry *r = MEM_NEW(struct metric_registry);

	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
metric_registry_destroy(struct metric_registry **r)
{
	if (*r == NULL)
		return;
	while ((*r)->sets != NULL)
		metric_registry_remove(*r, (*r)->sets->base);
	pthread_mutex_destroy(&(*r)->lock);
	free(*r);
	*r = NULL;
}

void
metric_registry_add(struct metric_registry *r, const struct metric_row *rows, size_t nrows, const void *base,
		    const char *labels)
{
	struct metric_set *s = MEM_NEW(struct metric_set);
	struct metric_set **end;

	s->rows = rows;
	s->nrows = nrows;
	s->base = base;
	s->labels = mem_strdup(labels);
	pthread_mutex_lock(&r->lock);
	for (end = &r->sets; *end != NULL; end = &(*end)->next)
		;
	*end = s;
	pthread_mutex_unlock(&r->lock);
}

void
metric_registry_remove(struct metric_registry *r, const void *base)
{
	pthread_mutex_lock(&r->lock);
	for (struct metric_set **at = &r->sets; *at != NULL; at = &(*at)->next) {
		struct metric_set *s = *at;

		if (s->base != base)
			continue;
		*at = s->next;
		free(s->labels);
		free(s);
		break;
	}
	pthread_mutex_unlock(&r->lock);
}

/* Microseconds are shown as seconds, as Prometheus wants it. */
static bool
in_seconds(const struct metric_row *row)
{
	return strcmp(row->unit, "us") == 0;
}

static void
put_name(struct buf *out, const struct metric_row *row)
{
	buf_printf(out, "squeal_%s%s%s", row->name, in_seconds(row) ? "_seconds" : "",
		   row->kind == METRIC_COUNTER ? "_total" : "");
}

static void
put_value(struct buf *out, const struct metric_row *row, uint64_t v)
{
	if (in_seconds(row))
		buf_printf(out, "%.6f\n", (double)v / 1e6);
	else
		buf_printf(out, "%" PRIu64 "\n", v);
}

static void
put_summary(struct buf *out, const struct metric_row *row, const struct histogram *h, const char *labels)
{
	static const struct {
		const char *text;
		double fraction;
	} quantiles[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"0.999", 0.999}};
	const char *comma = labels[0] != '\0' ? "," : "";
	const char *open = labels[0] != '\0' ? "{" : "";
	const char *close = labels[0] != '\0' ? "}" : "";

	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		put_name(out, row);
		buf_printf(out, "{%s%squantile=\"%s\"} ", labels, comma, quantiles[i].text);
		put_value(out, row, histogram_percentile(h, quantiles[i].fraction));
	}
	put_name(out, row);
	buf_printf(out, "_sum%s%s%s ", open, labels, close);
	put_value(out, row, histogram_sum(h));
	put_name(out, row);
	buf_printf(out, "_count%s%s%s %" PRIu64 "\n", open, labels, close, histogram_count(h));
}

static void
put_sample(struct buf *out, const struct metric_row *row, const struct metric_set *s)
{
	const void *field = (const char *)s->base + row->offset;

	if (row->kind == METRIC_HISTOGRAM) {
		put_summary(out, row, field, s->labels);
		return;
	}
	put_name(out, row);
	if (s->labels[0] != '\0')
		buf_printf(out, "{%s}", s->labels);
	buf_putc(out, ' ');
	put_value(out, row, metric_get(field));
}

static const char *
kind_name(enum metric_kind kind)
{
	return kind == METRIC_COUNTER ? "counter" : kind == METRIC_GAUGE ? "gauge" : "summary";
}

void
metric_registry_render(struct metric_registry *r, struct buf *out)
{
	pthread_mutex_lock(&r->lock);
	for (struct metric_set *s = r->sets; s != NULL; s = s->next)
		s->rendered = false;
	for (struct metric_set *s = r->sets; s != NULL; s = s->next) {
		if (s->rendered)
			continue;
		for (size_t i = 0; i < s->nrows; i++) {
			const struct metric_row *row = &s->rows[i];

			buf_put_str(out, "# HELP ");
			put_name(out, row);
			buf_printf(out, " %s\n# TYPE ", row->help);
			put_name(out, row);
			buf_printf(out, " %s\n", kind_name(row->kind));
			for (struct metric_set *t = s; t != NULL; t = t->next) {
				if (t->rows != s->rows)
					continue;
				put_sample(out, row, t);
				t->rendered = true;
			}
		}
	}
	pthread_mutex_unlock(&r->lock);
}

void
metric_markdown(const struct metric_row *rows, size_t nrows, const char *title, struct buf *out)
{
	buf_printf(out, "## %s\n\n| metric | kind | unit | meaning |\n|---|---|---|---|\n", title);
	for (size_t i = 0; i < nrows; i++) {
		buf_put_str(out, "| `");
		put_name(out, &rows[i]);
		buf_printf(out, "` | %s | %s | %s |\n", kind_name(rows[i].kind),
			   in_seconds(&rows[i]) ? "seconds" : rows[i].unit, rows[i].help);
	}
	buf_putc(out, '\n');
}
