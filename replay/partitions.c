#include "replay/partitions.h"

#include <stdlib.h>

#include "lib/core/mem.h"

struct partitions {
	struct follow_context ctx;
	struct metric_registry *registry;
	struct follow **at; /* of a topic the last one may not be there */
	size_t n;
	bool stopped;
	struct follow_metrics metrics;
	struct broker_metrics broker_metrics;
};

static void on_began(void *arg, struct follow *f);

static void
add(struct partitions *p)
{
	struct follow_context ctx = p->ctx;

	ctx.partition = (uint32_t)p->n;
	ctx.is_optional = p->n > 0;
	ctx.metrics = &p->metrics;
	ctx.broker_metrics = &p->broker_metrics;
	ctx.on_began = on_began;
	ctx.arg = p;
	p->at = mem_realloc(p->at, (p->n + 1) * sizeof(p->at[0]));
	p->at[p->n++] = follow_create(&ctx);
}

static void
on_began(void *arg, struct follow *f)
{
	struct partitions *p = arg;

	if (p->stopped || f != p->at[p->n - 1] || !broker_is_kafka(p->ctx.log_opt))
		return;
	add(p);
	follow_start(p->at[p->n - 1]);
}

struct partitions *
partitions_create(const struct follow_context *ctx, struct metric_registry *registry)
{
	struct partitions *p = MEM_NEW(struct partitions);

	p->ctx = *ctx;
	p->registry = registry;
	if (registry != NULL) {
		metric_registry_add(registry, follow_metric_rows, follow_metric_nrows, &p->metrics, "");
		metric_registry_add(registry, broker_metric_rows, broker_metric_nrows, &p->broker_metrics,
				    "");
	}
	add(p);
	return p;
}

void
partitions_destroy(struct partitions **pp)
{
	struct partitions *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++)
		follow_destroy(&p->at[i]);
	if (p->registry != NULL) {
		metric_registry_remove(p->registry, &p->metrics);
		metric_registry_remove(p->registry, &p->broker_metrics);
	}
	free(p->at);
	free(p);
}

void
partitions_start(struct partitions *p)
{
	follow_start(p->at[0]);
}

void
partitions_stop(struct partitions *p)
{
	p->stopped = true;
	for (size_t i = 0; i < p->n; i++)
		follow_stop(p->at[i]);
}

bool
partitions_began(const struct partitions *p)
{
	return follow_began(p->at[0]);
}

const char *
partitions_error(const struct partitions *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (follow_error(p->at[i])[0] != '\0')
			return follow_error(p->at[i]);
	}
	return "";
}

size_t
partitions_count(const struct partitions *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += follow_began(p->at[i]);
	return n;
}

const struct follow_metrics *
partitions_metrics(const struct partitions *p)
{
	return &p->metrics;
}
